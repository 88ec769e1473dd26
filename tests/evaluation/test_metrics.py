import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from vireid.errors import InputError
from vireid.evaluation import metrics
from vireid.evaluation.metrics import retrieval_metrics
from vireid.evaluation.protocols import same_camera_ignore, sysu_ignore

GOLDEN = Path(__file__).parents[1] / "golden"
CASES = {case["name"]: case for case in json.loads((GOLDEN / "eval.json").read_text())["cases"]}
COUNTS = json.loads((GOLDEN / "sysu_counts.json").read_text())["counts"]


def golden_inputs(recipes, case):
    """Distances, ids and cameras of a case, from its recipe in words."""
    text = case["recipe"]
    if text.startswith("sysu_structure"):
        shots, cams = re.search(r"shots=(\d+),cams=([\d,]+)\)", text).groups()
        parts = recipes.sysu_structure(COUNTS, int(shots), tuple(map(int, cams.split(","))))
    elif text.startswith("random_structure"):
        parts = eval(text.split("; ")[0], {"random_structure": recipes.random_structure})
    else:
        ids, each, absent = map(int, re.search(r"arange\((\d+)\),(\d+)\).*full\((\d+),9999\)", text).groups())
        gallery = np.repeat(np.arange(ids), each)
        query = np.concatenate([gallery, np.full(absent, 9999)])
        parts = query, np.full_like(query, 1), gallery, np.full_like(gallery, 2)
    seed, signal = re.search(r"dist_recipe\(seed=(\d+),signal=([\d.]+)\)", text).groups()
    matrix = recipes.dist_recipe(int(seed), parts[0], parts[2], float(signal))
    return np.round(matrix * 4) / 4 if "round" in text else matrix, *parts


def ignore_of(case, q_ids, q_cams, g_ids, g_cams):
    if case["evaluator"] == "eval_sysu":
        return sysu_ignore(q_cams, g_cams)
    return same_camera_ignore(q_ids, q_cams, g_ids, g_cams) if case["evaluator"] == "eval_llcm" else None


def slow(distances, query_ids, gallery_ids, ignore, cmc_unit, max_rank=20):
    """The definition, one query at a time in plain Python."""
    curves, precisions, penalties = [], [], []
    for row, pid in enumerate(query_ids):
        order = sorted(range(len(gallery_ids)), key=lambda column: (distances[row][column], column))
        ranked = [gallery_ids[c] for c in order if ignore is None or not ignore[row][c]]
        positions = [place for place, found in enumerate(ranked, 1) if found == pid]
        if not positions:
            continue
        precisions.append(sum(n / place for n, place in enumerate(positions, 1)) / len(positions))
        penalties.append(len(positions) / positions[-1])
        units = list(dict.fromkeys(ranked)) if cmc_unit == "identity" else ranked
        hits = [pid in units[: k + 1] for k in range(max_rank)]
        curves.append(hits)
    return np.mean(curves, axis=0), np.mean(precisions), np.mean(penalties), len(curves)


@pytest.fixture(scope="module")
def recipes():
    import importlib.util

    spec = importlib.util.spec_from_file_location("recipes", GOLDEN / "recipes.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", CASES)
def test_published_evaluators(recipes, name):
    case = CASES[name]
    matrix, q_ids, q_cams, g_ids, g_cams = golden_inputs(recipes, case)
    assert (len(q_ids), len(g_ids)) == (case["num_q"], case["num_g"])
    assert matrix.sum() == pytest.approx(case["dist_sum"], rel=1e-9)
    ignore = ignore_of(case, q_ids, q_cams, g_ids, g_cams)
    unit = "image" if case["evaluator"] == "eval_regdb" else "identity"
    found = retrieval_metrics(matrix, q_ids, g_ids, ignore=ignore, cmc_unit=unit)
    assert found.num_valid_queries == case["valid_q"]
    expected = case["stable_sort_expected"] or case["expected"]
    if "raises" in expected:  # the published code crashes: ragged curves; ours goes on with the last value
        cmc, mean_ap, mean_inp, valid = slow(matrix, q_ids, g_ids, ignore, unit)
        assert found.num_valid_queries == valid
        assert found.cmc == pytest.approx(cmc, abs=1e-12)
        assert (found.mean_ap, found.mean_inp) == pytest.approx((mean_ap, mean_inp), abs=1e-12)
        assert found.cmc[-1] == 1
        return
    assert found.mean_ap == pytest.approx(expected["mAP"], abs=1e-9)
    assert found.mean_inp == pytest.approx(expected["mINP"], abs=1e-9)
    curve = expected.get("cmc_full", expected["cmc"])
    padded = np.array(curve + curve[-1:] * (20 - len(curve)))
    np.testing.assert_allclose(found.cmc, padded, atol=1e-6)


def test_by_hand():
    # Ranked ids: 5 5 7 5 7 (the second image of 5 is hidden) for query 7; 7 first for query 5.
    distances = [[0.1, 0.2, 0.3, 0.4, 0.5], [0.9, 0.8, 0.1, 0.7, 0.2]]
    ignore = np.array([[0, 1, 0, 0, 0], [0, 0, 0, 0, 0]], bool)
    gallery = [5, 5, 7, 5, 7]
    by_identity = retrieval_metrics(distances, [7, 5], gallery, ignore=ignore, max_rank=3)
    by_image = retrieval_metrics(distances, [7, 5], gallery, ignore=ignore, cmc_unit="image", max_rank=4)
    # Query 7 sees 5 7 5 7: first match at 2 either way. Query 5 sees 7 7 5 5 5: image 3, identity 2.
    assert by_identity.cmc.tolist() == [0, 1, 1]
    assert by_image.cmc.tolist() == [0, 0.5, 1, 1]
    precision = ((1 / 2 + 2 / 4) / 2 + (1 / 3 + 2 / 4 + 3 / 5) / 3) / 2
    assert by_image.mean_ap == by_identity.mean_ap == pytest.approx(precision)
    assert by_image.mean_inp == pytest.approx((2 / 4 + 3 / 5) / 2)
    assert by_image.rank(2) == 0.5


def test_equal_distances_keep_the_gallerys_order():
    assert retrieval_metrics(np.zeros((1, 3)), [2], [1, 2, 3], cmc_unit="image").cmc[:2].tolist() == [0, 1]
    wide = np.zeros((3, 700))
    assert retrieval_metrics(wide, [5, 6, 699], np.arange(700), max_rank=7).cmc.tolist() == pytest.approx(
        [0, 0, 0, 0, 0, 1 / 3, 2 / 3]
    )


@pytest.mark.parametrize("unit", ["identity", "image"])
@pytest.mark.parametrize("seed", range(8))
def test_slow_reference(monkeypatch, unit, seed):
    rng = np.random.default_rng(seed)
    monkeypatch.setattr(metrics, "BLOCK_ENTRIES", 100)  # several blocks
    distances = np.round(rng.random((23, 31)), 1 if seed % 2 else 8)
    query, gallery = rng.integers(0, 9, 23), rng.integers(0, 7, 31)
    ignore = rng.random((23, 31)) < 0.4 if seed % 3 else None
    found = retrieval_metrics(distances, query, gallery, ignore=ignore, cmc_unit=unit, max_rank=12)
    cmc, mean_ap, mean_inp, valid = slow(distances, query, gallery, ignore, unit, 12)
    np.testing.assert_allclose(found.cmc, cmc, atol=1e-12)
    assert (found.mean_ap, found.mean_inp) == pytest.approx((mean_ap, mean_inp), abs=1e-12)
    assert found.num_valid_queries == valid


@pytest.mark.parametrize("unit", ["identity", "image"])
@pytest.mark.parametrize("values", [[1.0], [0.5, np.inf], [np.inf], [0.0, -0.0, 1.0, -np.inf]], ids=str)
def test_slow_reference_where_most_distances_are_equal(unit, values):
    rng = np.random.default_rng(len(values))
    distances = rng.choice(values, (29, 37))
    query, gallery, ignore = rng.integers(0, 9, 29), rng.integers(0, 7, 37), rng.random((29, 37)) < 0.4
    found = retrieval_metrics(distances, query, gallery, ignore=ignore, cmc_unit=unit, max_rank=12)
    cmc, mean_ap, mean_inp, valid = slow(distances, query, gallery, ignore, unit, 12)
    np.testing.assert_allclose(found.cmc, cmc, atol=1e-12)
    assert (found.mean_ap, found.mean_inp) == pytest.approx((mean_ap, mean_inp), abs=1e-12)
    assert found.num_valid_queries == valid


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.float16])
def test_tensors_and_lists(kind):
    distances = torch.tensor([[0.5, 0.25, 0.75]], dtype=kind, requires_grad=True)
    found = retrieval_metrics(distances, torch.tensor([3]), torch.tensor([1, 3, 3]), ignore=torch.zeros(1, 3))
    assert found.cmc[0] == 1
    assert found.mean_ap == pytest.approx((1 + 2 / 3) / 2)


@pytest.mark.parametrize("kind", [np.longdouble, ">f8", np.int32, np.float16])
def test_numbers_of_other_kinds(kind):
    found = retrieval_metrics(np.array([[2, 1, 3]], kind), [3], [1, 3, 3])
    assert found.mean_ap == pytest.approx((1 + 2 / 3) / 2)


def test_infinite_distances_count_and_queries_without_a_match_do_not():
    found = retrieval_metrics([[np.inf, 0.0], [0.0, 1.0]], [1, 99], [1, 2], max_rank=2)
    assert found.num_valid_queries == 1
    assert found.cmc.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"distances": np.zeros((1, 2)), "query_ids": [1], "gallery_ids": [2, 3]}, "no query has a match"),
        ({"distances": np.zeros((1, 0)), "query_ids": [1], "gallery_ids": []}, "0 gallery images"),
        ({"distances": np.zeros((0, 1)), "query_ids": [], "gallery_ids": [1]}, "0 queries"),
        (
            {"distances": np.zeros((2, 1)), "query_ids": [1], "gallery_ids": [1]},
            r"shape \(2, 1\); expected .*\(1, 1\)",
        ),
        ({"distances": np.zeros((1, 1)), "query_ids": [[1]], "gallery_ids": [1]}, "identities have shapes"),
        (
            {"distances": np.zeros((1, 1)), "query_ids": [1], "gallery_ids": [1], "ignore": [[0, 0]]},
            "ignore has shape",
        ),
        ({"distances": [[np.nan]], "query_ids": [1], "gallery_ids": [1]}, "NaN"),
        (
            {"distances": [[0.0]], "query_ids": [1], "gallery_ids": [1], "cmc_unit": "person"},
            "expected identity or image",
        ),
        ({"distances": [[0.0]], "query_ids": [1], "gallery_ids": [1], "max_rank": 0}, "max_rank 0"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(InputError, match=message):
        retrieval_metrics(**arguments)


def test_rank_outside_the_curve():
    with pytest.raises(InputError, match="from 1 to 5"):
        retrieval_metrics([[0.0]], [1], [1], max_rank=5).rank(6)
