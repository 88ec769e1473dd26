import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from vireid.errors import InputError
from vireid.evaluation import rerank
from vireid.evaluation.distance import distances
from vireid.evaluation.evaluate import evaluate_protocol
from vireid.evaluation.metrics import retrieval_metrics
from vireid.evaluation.protocols import synthvi
from vireid.evaluation.rerank import k_reciprocal
from vireid.sample import Direction, Modality, Sample

GOLDEN = Path(__file__).parents[1] / "golden"
CASES = json.loads((GOLDEN / "rerank.json").read_text())["cases"]


@pytest.fixture(scope="module")
def recipes():
    spec = importlib.util.spec_from_file_location("recipes", GOLDEN / "recipes.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def dense(query, gallery, k1, k2, weight, apart=()):
    """The definition with whole matrices, image by image; `apart` are pairs (query, gallery) never neighbours."""
    features = np.concatenate([query, gallery]).astype(np.float64)
    count = len(features)
    original = ((features[:, None] - features[None]) ** 2).sum(-1)
    original /= original.max(axis=1, keepdims=True)
    barred = {pair for q, g in apart for pair in ((q, len(query) + g), (len(query) + g, q))}
    order = [
        sorted((j for j in range(count) if (i, j) not in barred), key=lambda j: (j != i, original[i, j], j))
        for i in range(count)
    ]

    def mutual(i, k):
        return {j for j in order[i][: k + 1] if i in order[j][: k + 1]}

    encoding = np.zeros((count, count))
    for i in range(count):
        core = mutual(i, k1)
        expanded = set(core)
        for j in core:
            candidate = mutual(j, round(k1 / 2))
            if 3 * len(candidate & core) > 2 * len(candidate):
                expanded |= candidate
        members = sorted(j for j in expanded if (i, j) not in barred)
        encoding[i, members] = np.exp(-original[i, members])
        encoding[i] /= encoding[i].sum()
    encoding = np.array([encoding[order[i][:k2]].mean(axis=0) for i in range(count)])
    result = np.empty((len(query), len(gallery)))
    for i in range(len(query)):
        for j in range(len(gallery)):
            pair = encoding[[i, len(query) + j]]
            jaccard = 1 - pair.min(axis=0).sum() / pair.max(axis=0).sum()
            result[i, j] = (1 - weight) * jaccard + weight * original[i, len(query) + j]
    return result


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["params"]["seed"]))
def test_published_code_in_64_bits(recipes, case):
    query, gallery, q_ids, g_ids = recipes.rerank_features(**case["params"])
    found = k_reciprocal(query, gallery, k1=case["k1"], k2=case["k2"], lambda_value=case["lam"])
    expected = case["zhunzhong_fp64"]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.ravel()[case["sample_flat_idx"]], expected["samples"], atol=1e-6)
    assert found.sum(dtype=np.float64) == pytest.approx(expected["sum"], abs=1e-4)
    assert (found.astype(np.float64) ** 2).sum() == pytest.approx(expected["sumsq"], abs=1e-4)
    assert (found.min(), found.max()) == pytest.approx((expected["min"], expected["max"]), abs=1e-6)
    scores = retrieval_metrics(found, q_ids, g_ids, cmc_unit="image")
    assert scores.mean_ap == pytest.approx(expected["mAP"], abs=1e-9)
    assert scores.mean_inp == pytest.approx(expected["mINP"], abs=1e-9)
    assert scores.rank(1) == pytest.approx(expected["r1"], abs=1e-6)


@pytest.mark.parametrize(("k1", "k2", "weight"), [(20, 6, 0.3), (7, 3, 0.0), (5, 1, 0.5), (1, 1, 1.0), (3, 9, 0.3)])
def test_slow_reference(recipes, monkeypatch, k1, k2, weight):
    monkeypatch.setattr(rerank, "DISTANCE_BLOCK", 300)  # several blocks
    monkeypatch.setattr(rerank, "PAIR_BLOCK", 50)
    query, gallery, *_ = recipes.rerank_features(11, 17, 26, 5, 8)
    found = k_reciprocal(query, gallery, k1=k1, k2=k2, lambda_value=weight)
    np.testing.assert_allclose(found, dense(query, gallery, k1, k2, weight), atol=1e-6)


@pytest.mark.parametrize(("k1", "k2"), [(7, 3), (5, 1), (50, 60)])
def test_pairs_kept_apart(recipes, k1, k2):
    query, gallery, *_ = recipes.rerank_features(11, 9, 14, 5, 8)
    apart = np.random.default_rng(0).random((9, 14)) < 0.2
    found = k_reciprocal(query, gallery, k1=k1, k2=k2, apart=apart)
    expected = dense(query, gallery, k1, k2, 0.3, list(zip(*np.nonzero(apart), strict=True)))
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("direction", list(Direction))
def test_embeddings_of_the_instant_find_nobody(direction):
    """They tell the instant, and the person in a code of each modality: the two say nothing across modalities."""
    people, instants, rng = 15, 10, np.random.default_rng(0)
    moment, code = rng.standard_normal((people, instants, 32)), 2 * rng.standard_normal((2, people, 32))
    samples, vectors = [], []
    for m, modality in enumerate(Modality):
        for pid, i in np.ndindex(people, instants):
            samples.append(Sample(Path("x.jpg"), pid, modality, m + 1, "test", f"{pid}-{i}"))
            vectors.append(np.concatenate([moment[pid, i], code[m, pid] * (m == 0), code[m, pid] * (m == 1)]))
    embeddings = np.float32(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    rules = synthvi(samples, direction, part="lwir")
    chance = evaluate_protocol(embeddings, rules).chance["mAP"]
    scores = {name: evaluate_protocol(embeddings, rules, rerank=name).mean["mAP"] for name in ("off", "k-reciprocal")}
    assert scores == pytest.approx({"off": chance, "k-reciprocal": chance}, abs=0.04)
    (trial,) = rules.trials
    mask = rules.ignore_mask(trial.query, trial.gallery)
    seen = k_reciprocal(embeddings[trial.query], embeddings[trial.gallery])
    told = retrieval_metrics(seen, rules.pids[trial.query], rules.pids[trial.gallery], ignore=mask, cmc_unit="image")
    assert told.mean_ap > 3 * chance


def test_more_neighbours_than_images(recipes):
    query, gallery, *_ = recipes.rerank_features(3, 4, 5, 2, 8)
    found = k_reciprocal(torch.from_numpy(query), torch.from_numpy(gallery), k1=20, k2=6)
    np.testing.assert_allclose(found, dense(query, gallery, 20, 6, 0.3), atol=1e-6)


def test_duplicates_and_equal_images(recipes):
    query, gallery, *_ = recipes.rerank_features(3, 6, 8, 3, 8)
    doubled = np.concatenate([gallery, gallery, query])
    found = k_reciprocal(query, doubled, k1=5, k2=2)
    np.testing.assert_allclose(found, dense(query, doubled, 5, 2, 0.3), atol=1e-6)
    same = k_reciprocal(np.ones((2, 4)) / 2, np.ones((30, 4)) / 2)
    assert np.isfinite(same).all()


def test_the_first_of_equal_entries_are_kept():
    block = torch.from_numpy(np.round(np.random.default_rng(0).random((200, 40)), 1))
    for k in (1, 3, 10, 39, 40):
        values, columns = block.sort(dim=1, stable=True)
        found = rerank._smallest(block, k)
        torch.testing.assert_close(found, (values[:, :k], columns[:, :k]), rtol=0, atol=0)


def test_what_rounding_would_change_is_settled_in_64_bits(monkeypatch):
    # Every image is as far from every other one, but for a part that 32 bits cannot tell.
    rng = np.random.default_rng(0)
    features = np.eye(60) + 1e-7 * rng.standard_normal((60, 60))
    query, gallery = features[:20], features[20:]
    expected = dense(query, gallery, 5, 3, 0.3)
    assert np.abs(k_reciprocal(query, gallery, k1=5, k2=3) - expected).max() < 1e-6
    monkeypatch.setattr(rerank, "ROUNDING", -1.0)
    assert np.abs(k_reciprocal(query, gallery, k1=5, k2=3) - expected).max() > 1e-2


def test_a_program_that_allows_rough_products_gets_the_same(recipes):
    query, gallery, *_ = recipes.rerank_features(40, 40, 20, 5, 64)
    query, gallery = query.astype(np.float32), gallery.astype(np.float32)
    exact = k_reciprocal(query, gallery), distances(query, gallery)
    torch.set_float32_matmul_precision("medium")
    try:
        found = k_reciprocal(query, gallery), distances(query, gallery)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")
    np.testing.assert_array_equal(found[0], exact[0])
    np.testing.assert_array_equal(found[1], exact[1])


@pytest.mark.parametrize(
    ("query", "gallery", "options", "message"),
    [
        (np.ones((2, 3)), np.ones((2, 4)), {}, r"shapes \(2, 3\) and \(2, 4\)"),
        (np.ones((0, 3)), np.ones((2, 3)), {}, "0 queries"),
        (np.ones((2, 3)), np.full((2, 3), np.nan), {}, "NaN"),
        (np.ones((2, 3)), np.ones((2, 3)), {"k1": 0}, "k1=0"),
        (np.ones((2, 3)), np.ones((2, 3)), {"lambda_value": 1.5}, "lambda=1.5"),
    ],
)
def test_bad_input(query, gallery, options, message):
    with pytest.raises(InputError, match=message):
        k_reciprocal(query, gallery, **options)


def test_cosine_distances_rank_as_euclidean_ones(recipes):
    query, gallery, *_ = recipes.rerank_features(3, 6, 8, 3, 8)
    squares = ((query[:, None] - gallery[None]) ** 2).sum(-1)
    np.testing.assert_allclose(2 * distances(query, gallery), squares, atol=1e-5)
    with pytest.raises(InputError, match="expected"):
        distances(query, gallery[:, :3])
