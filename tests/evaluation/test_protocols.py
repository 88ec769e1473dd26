import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from vireid.data.synthvi import Config as SynthVI
from vireid.errors import InputError
from vireid.evaluation import protocols
from vireid.evaluation.draws import group
from vireid.evaluation.metrics import retrieval_metrics
from vireid.sample import Direction, Modality, Sample

GOLDEN = Path(__file__).parents[1] / "golden"
COUNTS = json.loads((GOLDEN / "sysu_counts.json").read_text())["counts"]
I2V, V2I = Direction.I2V, Direction.V2I
VISIBLE, INFRARED = Modality.VISIBLE, Modality.INFRARED


def sysu_samples(counts=COUNTS):
    """One sample per image of the test set, by camera, identity and file name, as the loader gives them."""
    return [
        Sample(
            Path(f"cam{cam}/{int(pid):04d}/{n + 1:04d}.jpg"),
            int(pid),
            INFRARED if cam in (3, 6) else VISIBLE,
            cam,
        )
        for cam in range(1, 7)
        for pid in sorted(counts, key=int)
        for n in range(counts[pid][cam - 1])
    ]


def official_draws(counts=COUNTS):
    """The stored first ten entries of every permutation, filled up with the numbers that are left."""
    stored = json.loads((GOLDEN / "official_perm_first10.json").read_text())["perm"]
    draws = {}
    for cam, ids in stored.items():
        for pid, rows in ids.items():
            count = counts[pid][int(cam[3:]) - 1]
            full = []
            for row in rows:
                first = [int(number) for number in row.split()]
                full.append(first + sorted(set(range(1, count + 1)) - set(first)))
            draws[int(cam[3:]), int(pid)] = np.array(full)
    return draws


def short_name(sample):
    return f"cam{sample.camid}/{sample.pid:04d}/{sample.path.stem}"


def make(*rows):
    """Samples from `pid modality camid split` words."""
    return [
        Sample(Path(f"{i:03d}.jpg"), int(p), VISIBLE if m == "v" else INFRARED, int(c), s)
        for i, (p, m, c, s) in enumerate(row.split() for row in rows)
    ]


@pytest.fixture(scope="module")
def samples():
    return sysu_samples()


@pytest.mark.parametrize("search", ["all", "indoor"])
def test_agw_galleries(samples, search):
    golden = json.loads((GOLDEN / "agw_gallery.json").read_text())
    expected, query = golden["agw_single"][search], golden["query"]
    rules = protocols.sysu_mm01(samples, I2V, search=search, shots=1, gallery="agw")
    assert len(rules.trials) == len(expected) == 10
    for trial, names in zip(rules.trials, expected, strict=True):
        assert [short_name(samples[i]) for i in trial.gallery] == names.split()
        asked = [short_name(samples[i]) for i in trial.query]
        assert len(asked) == query["n"] == 3803
        assert {samples[i].camid for i in trial.query} == {3, 6}
        # AGW lists its queries by identity first; the order changes no mean.
        by_identity = sorted(asked, key=lambda name: (name.split("/")[1], name))
        assert (by_identity[:3], by_identity[-3:]) == (query["first"], query["last"])
        assert [int(name[3]) for name in by_identity[:40]] == query["cams_head"]


def test_pmt_galleries_from_the_same_groups(samples):
    """PMT draws from a generator it does not seed, so its rule is no choice here; with a seed its images are known."""
    expected = json.loads((GOLDEN / "agw_gallery.json").read_text())["pmt_multi_all_after_np_random_seed0_trials0_1"]
    visible = np.array([i for i, s in enumerate(samples) if s.modality is VISIBLE])
    groups, generator = group(samples, visible), np.random.RandomState(0)
    for names in expected:
        drawn = [index for cell in groups.values() for index in generator.choice(cell, 10, replace=False)]
        assert len(drawn) == 3010
        first = names.split()  # the stored part
        assert [short_name(samples[i]) for i in drawn[: len(first)]] == first


@pytest.mark.parametrize("search", ["all", "indoor"])
@pytest.mark.parametrize("shots", [1, 10])
def test_official_protocol(samples, search, shots):
    golden = json.loads((GOLDEN / "official_sysu.json").read_text())
    expected = golden["results"][f"{search}_{shots}shot"]
    rules = protocols.sysu_mm01(samples, I2V, search=search, shots=shots, permutations=official_draws())
    images = features()
    assert len(rules.trials[0].query) == expected["num_query"]
    assert {len(trial.gallery) for trial in rules.trials} == {expected["num_gallery"]}
    firsts = golden["first_selected_cam_pid_images_1based_trials_0_and_9"][f"{search}_{shots}shot"]
    for number, chosen in zip((0, 9), firsts, strict=True):
        names = [f"cam{cam}/{pid:04d}/{n:04d}" for cam, pid, numbers in chosen for n in numbers]
        assert [short_name(samples[i]) for i in rules.trials[number].gallery[: len(names)]] == names
    found = [
        check_trial(rules, trial, images, values)
        for trial, values in zip(rules.trials, expected["trials"], strict=True)
    ]
    assert np.mean([scores.mean_ap for scores in found]) == pytest.approx(expected["mean_mAP"], abs=1e-9)
    for rank, value in expected["mean_cmc"].items():
        assert np.mean([scores.rank(int(rank)) for scores in found]) == pytest.approx(value, abs=1e-9)


def check_trial(rules, trial, images, expected):
    query, gallery = images[trial.query], images[trial.gallery]
    # Ranks as the Euclidean distance: what is constant for a query may be left out.
    distances = (gallery**2).sum(1) - 2 * query @ gallery.T
    ignore = rules.ignore_mask(trial.query, trial.gallery)
    ids = rules.pids[trial.query], rules.pids[trial.gallery]
    found = retrieval_metrics(distances, *ids, ignore=ignore, cmc_unit=rules.cmc_unit)
    for rank, value in expected["cmc"].items():
        assert found.rank(int(rank)) == pytest.approx(value, abs=1e-9)
    assert found.mean_ap == pytest.approx(expected["mAP"], abs=1e-9)
    assert found.mean_inp == pytest.approx(expected["agw_eval_sysu"]["mINP"], abs=1e-9)
    return found


def features():
    import importlib.util

    spec = importlib.util.spec_from_file_location("recipes", GOLDEN / "recipes.py")
    recipes = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipes)
    return np.concatenate(
        [
            recipes.official_feature(int(pid), cam, COUNTS[pid][cam - 1])
            for cam in range(1, 7)
            for pid in sorted(COUNTS, key=int)
        ]
    )


def test_the_order_of_the_samples_does_not_change_a_draw(samples):
    shuffled = [samples[i] for i in np.random.default_rng(0).permutation(len(samples))]
    for gallery in ("agw", "official"):
        options = {"gallery": gallery, "shots": 10, "trials": 2, "permutations": official_draws()}
        one = protocols.sysu_mm01(samples, I2V, **options).trials[1].gallery
        other = protocols.sysu_mm01(shuffled, I2V, **options).trials[1].gallery
        assert [samples[i].path for i in one] == [shuffled[i].path for i in other]


def test_sysu_visible_to_infrared(samples):
    rules = protocols.sysu_mm01(samples, V2I, search="indoor", shots=10, gallery="agw")
    trial = rules.trials[3]
    assert {samples[i].camid for i in trial.query} == {1, 2}
    assert {samples[i].camid for i in trial.gallery} == {3, 6}
    drawn = [samples[i] for i in trial.gallery]
    assert len(set(trial.gallery.tolist())) == len(drawn)
    cells = {(s.pid, s.camid) for s in drawn}
    assert len(drawn) == sum(min(10, COUNTS[str(pid)][cam - 1]) for pid, cam in cells)
    assert "as defined by vireid" in rules.name
    ignore = rules.ignore_mask(trial.query, trial.gallery)
    assert ignore[rules.camids[trial.query] == 2][:, rules.camids[trial.gallery] == 3].all()
    assert not ignore[rules.camids[trial.query] == 1].any()


def test_fewer_images_than_shots_gives_all_of_them():
    few = sysu_samples({"1": [3, 0, 2, 12, 0, 1]})
    trial = protocols.sysu_mm01(few, I2V, shots=10, gallery="agw", trials=1).trials[0]
    assert sorted(few[i].camid for i in trial.gallery) == [1] * 3 + [4] * 10


def test_official_gallery_that_does_not_fit():
    few = sysu_samples({"6": [41, 29, 20, 20, 20, 20]})
    draws = official_draws()
    with pytest.raises(InputError, match=r"camera 1, identity 6 has 41 images.* from 42"):
        protocols.sysu_mm01(few, I2V, permutations=draws)
    del draws[1, 6]
    with pytest.raises(InputError, match="no draw 1 for camera 1, identity 6"):
        protocols.sysu_mm01(few, I2V, permutations=draws)
    with pytest.raises(InputError, match=r"needs rand_perm_cam.mat"):
        protocols.sysu_mm01(few, I2V)


def test_ignore_rules_by_hand():
    assert protocols.sysu_ignore([3, 6], [1, 2, 4, 5]).tolist() == [[False, True, False, False], [False] * 4]
    assert protocols.sysu_ignore([1, 2], [3, 6]).tolist() == [[False, False], [True, False]]
    same = protocols.same_camera_ignore([7, 8], [1, 1], [7, 7, 8], [1, 2, 2])
    assert same.tolist() == [[True, False, False], [False, False, False]]


def test_regdb():
    rows = ["1 v 1 train", "2 v 1 test", "3 v 1 test", "2 i 2 test", "3 i 2 test", "1 i 2 train"]
    rules = protocols.regdb(make(*rows), V2I, trial=4)
    assert (rules.trials[0].query.tolist(), rules.trials[0].gallery.tolist()) == ([1, 2], [3, 4])
    assert (rules.cmc_unit, rules.name, len(rules.trials)) == ("image", "trial 4", 1)
    assert rules.ignore_mask(rules.trials[0].query, rules.trials[0].gallery) is None
    other = protocols.regdb(make(*rows), I2V).trials[0]
    assert (other.query.tolist(), other.gallery.tolist()) == ([3, 4], [1, 2])


def llcm_samples():
    rng = np.random.default_rng(5)
    return [
        Sample(Path(f"test_{m}/cam{cam}/{pid:04d}/{n:04d}.jpg"), pid, modality, cam)
        for m, modality, cams in (("vis", VISIBLE, range(1, 10)), ("nir", INFRARED, (1, 2, 4, 5, 6, 7, 8, 9)))
        for cam in cams
        for pid in range(1, 12)
        for n in range(rng.integers(0, 5))
    ]


def test_llcm_draw():
    import random

    everyone = llcm_samples()
    rules = protocols.llcm(everyone, I2V)
    assert (rules.cmc_unit, rules.ignore, len(rules.trials)) == ("identity", "same_camera", 10)
    for number, trial in enumerate(rules.trials):
        generator = random.Random(number)  # identities outside, cameras inside, one choice of the sorted names each
        expected = []
        for pid in range(1, 12):
            for cam in range(1, 10):
                cell = [s for s in everyone if (s.pid, s.camid, s.modality) == (pid, cam, VISIBLE)]
                if cell:
                    expected.append(generator.choice(sorted(cell, key=lambda s: s.path)).path)
        assert [everyone[i].path for i in trial.gallery] == expected
        assert all(everyone[i].modality is INFRARED for i in trial.query)


def test_llcm_variants():
    everyone = llcm_samples()
    paper, script = (protocols.llcm(everyone, V2I, protocol=name) for name in ("paper", "repo_script"))
    for one, other in zip(paper.trials, script.trials, strict=True):
        assert one.query.tolist() == other.gallery.tolist()
        assert one.gallery.tolist() == other.query.tolist()
        assert {everyone[i].modality for i in one.query} == {VISIBLE}
    assert "roles swapped" in script.name
    paper, script = (protocols.llcm(everyone, I2V, protocol=name) for name in ("paper", "repo_script"))
    assert paper.trials[2].gallery.tolist() == script.trials[2].gallery.tolist()
    assert paper.trials[2].query.tolist() == script.trials[2].query.tolist()


def test_manifest():
    rows = ["1 v 0 test", "1 i 0 test", "2 v 3 test", "2 i 3 test", "3 v 0 train", "3 i 0 val"]
    rules = protocols.manifest(make(*rows), I2V)
    assert (rules.trials[0].query.tolist(), rules.trials[0].gallery.tolist()) == ([1, 3], [0, 2])
    assert (rules.cmc_unit, rules.ignore, rules.name) == ("image", "none", "all against all")
    fixed = protocols.manifest(make("1 i 1 query", "1 i 1 gallery", "1 v 2 gallery", "2 v 2 query"), I2V)
    assert (fixed.trials[0].query.tolist(), fixed.trials[0].gallery.tolist()) == ([0], [2])
    assert fixed.name == "query against gallery"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["1 v 1 test"], "query is empty: no infrared image with split 'query' or 'test'"),
        (["1 i 1 test", "1 v 1 train"], "gallery is empty: no visible image with split 'gallery' or 'test'"),
        (["1 i 1 gallery", "1 v 1 query"], "query is empty"),
    ],
)
def test_empty_sides(rows, message):
    with pytest.raises(InputError, match=message):
        protocols.manifest(make(*rows), I2V)


def test_empty_search_names_the_cameras():
    with pytest.raises(InputError, match=r"gallery is empty: no visible image .* in cameras 1, 2"):
        protocols.sysu_mm01(make("1 i 3 test", "1 v 4 test"), I2V, search="indoor", gallery="agw")


def test_without_unreadable_images():
    rules = protocols.manifest(make("1 v 0 test", "1 i 0 test", "2 v 0 test", "2 i 0 test"), I2V)
    left = rules.without({0, 3}).trials[0]
    assert (left.query.tolist(), left.gallery.tolist()) == ([1], [2])
    with pytest.raises(InputError, match="no query or gallery image can be read"):
        rules.without({1, 3})


def test_synthvi():
    everyone = sysu_samples({"1": [2, 2, 2, 2, 2, 2], "2": [1, 3, 4, 1, 1, 1]})
    near = protocols.synthvi(everyone, I2V, part="nir", search="indoor", shots=1, trials=3)
    same = protocols.sysu_mm01(everyone, I2V, search="indoor", shots=1, gallery="agw", trials=3)
    assert (near.dataset, near.ignore, len(near.trials)) == ("synthvi", "same_place", 3)
    assert near.trials[2].gallery.tolist() == same.trials[2].gallery.tolist()
    far = protocols.synthvi(make("1 v 1 test", "1 i 2 test"), V2I, part="lwir")
    assert (far.dataset, far.cmc_unit, far.ignore) == ("synthvi", "image", "same_track")
    with pytest.raises(InputError, match=r"set data.part to nir or lwir"):
        protocols.synthvi(everyone, I2V, part="all")


def test_a_mixed_gallery_holds_both_kinds_of_light_but_not_the_query_s_own_view():
    rows = ["1 i 3 test", "1 i 3 test", "1 i 6 test", "1 v 1 test", "2 v 3 test", "2 i 3 test", "3 v 1 train"]
    rules = protocols.mixed(make(*rows), I2V, dataset="manifest")
    (trial,) = rules.trials
    assert (trial.query.tolist(), trial.gallery.tolist()) == ([0, 1, 2, 5], [0, 1, 2, 3, 4, 5])
    hidden = rules.ignore_mask(trial.query, trial.gallery)
    # Itself and the other picture by camera 3; itself; itself and its own picture by the same camera.
    assert [np.flatnonzero(row).tolist() for row in hidden] == [[0, 1], [0, 1], [2], [4, 5]]
    assert (rules.name, rules.cmc_unit) == ("mixed gallery", "image")
    assert protocols.mixed(make(*rows), V2I, dataset="manifest").trials[0].query.tolist() == [3, 4]


def test_where_cameras_are_not_known_a_mixed_gallery_hides_the_image_itself_only():
    rules = protocols.mixed(make("1 i 0 test", "1 i 0 test", "1 v 0 test"), I2V, dataset="manifest")
    hidden = rules.ignore_mask(rules.trials[0].query, rules.trials[0].gallery)
    assert [np.flatnonzero(row).tolist() for row in hidden] == [[0], [1]]


def test_synthvi_is_named_after_the_set():
    near = protocols.synthvi(sysu_samples({"1": [2, 2, 2, 2, 2, 2]}), I2V, part="nir", name="SynthVI2-nir-400")
    assert near.name == "SynthVI2-nir-400, all search, 1-shot"
    far = protocols.synthvi(make("1 v 1 test", "1 i 2 test"), V2I, part="lwir", name="SynthVI2-lwir-100")
    assert far.name == "SynthVI2-lwir-100, all against all, other instants"
    assert protocols.synthvi(make("1 v 1 test", "1 i 2 test"), V2I, part="lwir").name.startswith("lwir, all")


def test_pictures_of_one_instant_do_not_find_each_other():
    pairs = make("1 v 1 test", "1 v 1 test", "1 v 1 test", "1 i 2 test", "1 i 2 test", "2 i 2 test")
    tracks = ["1-a", "1-b", "", "1-a", "", "2-a"]
    samples = [replace(sample, track=track) for sample, track in zip(pairs, tracks, strict=True)]
    rules = protocols.synthvi(samples, V2I, part="lwir")
    (trial,) = rules.trials
    assert (trial.query.tolist(), trial.gallery.tolist()) == ([0, 1, 2], [3, 4, 5])
    # Only the first query has its instant in the gallery; what has no track is hidden from nobody.
    mask = rules.ignore_mask(trial.query, trial.gallery)
    assert mask.tolist() == [[True, False, False], [False] * 3, [False] * 3]


def test_build_reads_the_data_config(samples, tmp_path):
    agw = SimpleNamespace(root=Path("x"), search="indoor", shots=10, gallery="agw", trials=2)
    rules = protocols.build(agw, "sysu_mm01", samples, I2V)
    assert (rules.name, len(rules.trials)) == ("indoor search, 10-shot, agw gallery", 2)
    pair = make("1 v 1 test", "1 i 2 test")
    assert protocols.build(SimpleNamespace(trial=7), "regdb", pair, I2V).name == "trial 7"
    script = SimpleNamespace(protocol="repo_script", trials=4)
    assert len(protocols.build(script, "llcm", pair, V2I).trials) == 4
    about = {"name": "SynthVI", "part": "lwir", "benchmark": "SynthVI2-lwir", "identities": {"train": 60, "test": 60}}
    (tmp_path / "dataset.json").write_text(json.dumps(about))
    (tmp_path / "manifest.csv").touch()
    synthetic = SynthVI(root=tmp_path, part="lwir")
    assert protocols.build(synthetic, "synthvi", pair, V2I).name == "SynthVI2-lwir-120, all against all, other instants"
    assert protocols.build(SimpleNamespace(), "mylab.corridor", pair, V2I).dataset == "mylab.corridor"


def test_build_without_the_official_file(samples, tmp_path):
    official = SimpleNamespace(root=tmp_path, search="all", shots=1, gallery="official", trials=10)
    with pytest.raises(InputError, match="wuancong/SYSU-MM01"):
        protocols.build(official, "sysu_mm01", samples, I2V)
