import json

import pytest
import synthvi_tables

SOURCE = '''"""A module."""
import this

# Of skin: Smith 1950.
SKIN = 1
SKIN_NIR = (0.4, -0.6)  # dark, light
WEIGHT: float = 0.5  # chosen
CODES, OTHERS = range(2)

# Emissivities: Jones 1970.
CLOTH = {"wool": 0.9}

BAGS = ("none", "tote")
AIR = np.array([20, 21])  # chosen
_HIDDEN = 1
BINS = wp.constant(4096)
PLACE = dict(band=1)
'''


def test_constants_carry_the_comment_above_that_names_them_or_the_one_behind():
    assert list(synthvi_tables.sourced_constants(SOURCE, "a.py")) == [
        ("SKIN", "1", "Of skin: Smith 1950."),
        ("SKIN_NIR", "(0.4, -0.6): dark, light", "Of skin: Smith 1950."),
        ("WEIGHT", "0.5", "chosen"),
        ("CLOTH", "wool 0.9", "Emissivities: Jones 1970."),
        ("AIR", "[20, 21]", "chosen"),
    ]


@pytest.mark.parametrize("text", ["# Of skin: Smith 1950.\nSKIN = 1\nAIR = 2\n", "# Lost.\n\n\nAIR = 2\n"])
def test_a_number_without_a_source_takes_no_other_s(text):
    with pytest.raises(SystemExit, match=r"^a\.py:[34]: nothing says where AIR is from; write"):
        list(synthvi_tables.sourced_constants(text, "a.py"))


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setattr(synthvi_tables, "RESULTS", tmp_path)
    return tmp_path


def score(mean, above_low, std=None):
    return {"mean": mean, "low": mean - 0.01, "high": mean + 0.02, "chance": 0.02, "above_low": above_low, "std": std}


def test_what_is_not_measured_is_said(results):
    for make in (synthvi_tables.probes, synthvi_tables.transfer, synthvi_tables.speed):
        assert make().startswith("Not measured yet")


def test_probes_above_chance_stand_out(results):
    row = {way: {name: score(0.5, 0.1) for name in ("rank1", "mAP")} for way in ("i2v", "v2i")}
    level = {way: {name: score(0.02, -0.01) for name in ("rank1", "mAP")} for way in ("i2v", "v2i")}
    stage = {"train.steps_per_epoch": 5, "images.height": 96, "images.width": 48}
    recipe = [{**stage, "train.epochs": 2}, {**stage, "train.epochs": 6}]
    about = {"generator": 2, "preset": "nir", "seed": 1, "size": [9, 5], "identities": {"train": 50, "test": 40}}
    data = {role: dict.fromkeys(("nir", "lwir"), about) for role in ("test", "train")}
    content = {
        "settings": {"recipe": recipe, "data": data},
        "parts": {part: {"colours": level, "outline": row} for part in data["test"]},
    }
    (results / "probes.json").write_text(json.dumps(content))
    lines = synthvi_tables.probes().splitlines()
    assert lines[2] == "| nir | chance | 2.0 | 2.0 | 2.0 | 2.0 |"
    assert lines[3].startswith("| nir | colours | 2.0 [1.0, 4.0] |")
    assert lines[4].startswith("| nir | outline | **50.0 [49.0, 52.0]** |")
    assert "nir: generator 2, preset nir, 40 people, 9x5" in lines[-1] and "90 people, 9x5 of seed 1" in lines[-1]
    assert "10 and then 30 steps" in lines[-1] and "96x48" in lines[-1]
    assert lines[-1].endswith("Not measured yet: the network on whole image, background, silhouette, outline, person.")
    for rows in content["parts"].values():
        rows |= {f"network: {kind}": level for kind in synthvi_tables.NETWORKS}
    (results / "probes.json").write_text(json.dumps(content))
    assert "Not measured" not in synthvi_tables.probes()


def test_the_transfer_log_has_a_row_for_each_line(results):
    row = {way: {name: score(0.15, 0.1, 0.02) for name in ("rank1", "mAP")} for way in ("i2v", "v2i")}
    line = {"label": "a", "people": 38, "images": {"visible": 39, "infrared": 39}, "runs": [{"data": "data/old"}] * 2}
    data = {"generator": 2, "preset": "mini", "part": "lwir", "seed": 1, "train_ids": "all", "limit": None}
    run = {"data": {**data, "identities": {"train": 50, "test": 50}}, "size": [96, 48], "steps": 1000}
    lines = [{**line, "label": "first"}, {**line, "label": "second", "runs": [run, run]}]
    lines = [{**each, "trained": row, "untrained": row} for each in lines]
    lines[1]["scene"] = {way: {name: score(0.05, -0.1) for name in ("rank1", "mAP")} for way in ("i2v", "v2i")}
    (results / "transfer.jsonl").write_text("".join(json.dumps(each) + "\n" for each in lines))
    table = synthvi_tables.transfer()
    assert "| first |  | 2 | 15.0 ± 2.0 [14.0, 17.0] |" in table
    about = "generator 2, mini lwir, seed 1, 100 people, 96x48, 1000 steps"
    assert f"| second | {about} | 2 |" in table and table.index("| first") < table.index("| second")
    # What a line says of the scene alone stands below it; the first line, an older one, says nothing of it.
    below = table[table.index("| second") :].splitlines()[1]
    assert below.startswith("| the same, person faded out |  | 2 | 5.0 [4.0, 7.0] |")
    assert table.count("person faded out") == 1 and "scene faded out" not in table


def test_speed_names_both_versions_and_the_ratio(results):
    machine = {"cores": 2, "cpu": "a processor", "gpu": "a GPU"}
    about = {"preset": "nir", "size": "288x144", "workers": 2, "against": "83302e4", "machine": machine}
    median = {"working tree": {"rate": 90000.0, "whole": 8.0}, "83302e4": {"rate": 30000.0, "whole": 7.0}}
    report = {"settings": about, "median": median, "ratio": 3.0, "ratios": [2.5, 3.0, 3.5]}
    (results / "speed.json").write_text(json.dumps(report))
    lines = synthvi_tables.speed().splitlines()
    assert lines[2] == "| nir | 288x144 | a GPU | 2 | this one | 90,000 | 8 | 3.0 (2.5 to 3.5) |"
    assert lines[3] == "| nir | 288x144 | a processor | 2 | 83302e4 | 30,000 | 7 | 1 |"
