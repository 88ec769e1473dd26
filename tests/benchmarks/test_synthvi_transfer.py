import json

import pytest
import synthvi_transfer
from trees import make_manifest_tree

from vireid.errors import InputError


@pytest.fixture(scope="module")
def line(tmp_path_factory):
    real = make_manifest_tree(tmp_path_factory.mktemp("real"), identities=5, images=1)
    return synthvi_transfer.measure(real, ["default", "default"], "twice the shipped model", "cpu")


def test_a_line_holds_runs_chance_and_spread(line):
    assert line["people"] == 5 and line["images"] == {"visible": 5, "infrared": 5} and len(line["runs"]) == 2
    for kind in ("trained", "untrained"):
        for way in ("i2v", "v2i"):
            scores = line[kind][way]["rank1"]
            assert scores["chance"] == pytest.approx(0.2)  # one of five
            assert scores["runs"][0] == scores["runs"][1] and scores["std"] == 0
            assert scores["low"] <= scores["mean"] <= scores["high"]
    assert "untrained  v2i" in synthvi_transfer.text(line)


def test_no_line_names_a_folder_of_the_machine(line, tmp_path):
    assert str(tmp_path.parent) not in json.dumps(line)


def test_the_log_keeps_lines_in_order_and_replaces_those_of_a_label(tmp_path):
    log = tmp_path / "new" / "log.jsonl"
    for label, people in (("a", 1), ("b", 2), ("a", 3)):
        synthvi_transfer.add_line(log, {"label": label, "people": people})
    assert synthvi_transfer.read_log(log) == [{"label": "a", "people": 3}, {"label": "b", "people": 2}]


def test_a_file_that_is_no_log_is_not_overwritten(tmp_path):
    (tmp_path / "notes.txt").write_text("hello\n")
    with pytest.raises(InputError, match="no log"):
        synthvi_transfer.read_log(tmp_path / "notes.txt")
