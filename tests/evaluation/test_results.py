import json
from pathlib import Path

import numpy as np
import pytest

from vireid.errors import InputError
from vireid.evaluation.chance import chance, expected_average_precision
from vireid.evaluation.evaluate import evaluate_protocol, trial_distances
from vireid.evaluation.metrics import retrieval_metrics
from vireid.evaluation.protocols import llcm, manifest, sysu_mm01
from vireid.evaluation.rerank import k_reciprocal
from vireid.evaluation.results import by_test, labelled, load_results, save_results, table
from vireid.sample import Direction, Modality, Sample

I2V, V2I = Direction.I2V, Direction.V2I


def people(count=12, images=2):
    cameras = {Modality.VISIBLE: (1, 2, 4), Modality.INFRARED: (3, 6)}
    return [
        Sample(Path(f"cam{cam}/{pid:04d}/{n:04d}.jpg"), pid, modality, cam)
        for modality, cams in cameras.items()
        for cam in cams
        for pid in range(1, count + 1)
        for n in range(images)
    ]


def embed(samples, noise=1.0, seed=0):
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((50, 16))
    rows = centres[[s.pid for s in samples]] + noise * rng.standard_normal((len(samples), 16))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def samples():
    return people()


@pytest.fixture
def rows(samples):
    return [
        evaluate_protocol(embed(samples), sysu_mm01(samples, way, gallery="agw", trials=3), method="agw")
        for way in (I2V, V2I)
    ]


def test_every_trial_is_scored_by_the_protocol(samples, rows):
    rules = sysu_mm01(samples, I2V, gallery="agw", trials=3)
    embeddings, found = embed(samples), rows[0]
    assert len(found.trials) == 3
    for trial, scores in zip(rules.trials, found.trials, strict=True):
        matrix = 1 - embeddings[trial.query] @ embeddings[trial.gallery].T
        ignore = rules.ignore_mask(trial.query, trial.gallery)
        expected = retrieval_metrics(matrix, rules.pids[trial.query], rules.pids[trial.gallery], ignore=ignore)
        assert (scores.rank1, scores.mAP) == pytest.approx((expected.rank(1), expected.mean_ap))
        assert (scores.num_queries, scores.num_gallery) == (len(trial.query), len(trial.gallery))
    assert found.mean["rank1"] == pytest.approx(np.mean([trial.rank1 for trial in found.trials]))
    assert found.std["mAP"] == pytest.approx(np.std([trial.mAP for trial in found.trials]))
    assert [found.cmc[k - 1] for k in (1, 20)] == pytest.approx([found.mean["rank1"], found.mean["rank20"]])
    assert len(found.cmc) == 20
    assert found.chance == chance(rules)


def test_reranking(samples):
    rules, embeddings = manifest(samples, I2V), embed(samples)
    found = evaluate_protocol(embeddings, rules, rerank="k-reciprocal")
    trial = rules.trials[0]
    matrix = k_reciprocal(embeddings[trial.query], embeddings[trial.gallery])
    expected = retrieval_metrics(matrix, rules.pids[trial.query], rules.pids[trial.gallery], cmc_unit="image")
    assert (found.rerank, found.mean["mAP"]) == ("k-reciprocal", pytest.approx(expected.mean_ap, abs=1e-6))
    blocks = list(trial_distances(embeddings, trial, "k-reciprocal"))
    np.testing.assert_allclose(np.concatenate([block for _, block in blocks]), matrix, atol=1e-6)


def test_unreadable_images_take_no_part(samples):
    embeddings = embed(samples)
    embeddings[[0, -1]] = np.nan
    missing = {0: "a.jpg", len(samples) - 1: "b.jpg"}
    found = evaluate_protocol(embeddings, manifest(samples, I2V), unreadable=missing)
    assert found.unreadable == ("a.jpg", "b.jpg")
    assert found.trials[0].num_queries == sum(s.modality is Modality.INFRARED for s in samples) - 1
    assert "2 images could not be read" in table([found])


def test_evaluate_bad_input(samples):
    with pytest.raises(InputError, match="3 embeddings for 120 samples"):
        evaluate_protocol(embed(samples)[:3], manifest(samples, I2V))
    with pytest.raises(InputError, match="expected off or k-reciprocal"):
        evaluate_protocol(embed(samples), manifest(samples, I2V), rerank="on")


def test_a_new_row_replaces_its_own_only(tmp_path, rows):
    path = tmp_path / "run" / "results.json"
    assert save_results(path, rows) == rows
    assert load_results(path) == rows
    better = rows[0].model_copy(update={"versions": {"torch": "9"}})
    reranked = rows[1].model_copy(update={"rerank": "k-reciprocal"})
    fewer = rows[0].model_copy(update={"trials": rows[0].trials[:1]})  # another test, though of the same name
    save_results(path, [better, reranked, fewer])
    assert load_results(path) == [better, rows[1], reranked, fewer]
    assert [entry.name for entry in path.parent.iterdir()] == ["results.json"]
    plain = json.loads(path.read_text())["results"][0]
    assert {"method", "dataset", "protocol", "direction", "rerank", "selection", "seed"} <= plain.keys()
    assert plain["trials"][0].keys() >= {"rank1", "rank5", "rank10", "rank20", "mAP", "mINP"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "is not a results file"),
        ('{"format": 99, "results": []}', "format 1"),
        ('{"format": 1, "results": [{"method": "agw"}]}', "bad value at 'dataset'"),
    ],
)
def test_damaged_files(tmp_path, rows, text, message):
    path = tmp_path / "results.json"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        save_results(path, rows)
    assert path.read_text() == text
    with pytest.raises(InputError, match="results not found"):
        load_results(tmp_path / "none.json")


def test_table(samples, rows):
    single = evaluate_protocol(embed(samples), manifest(samples, I2V), method="baseline", rerank="k-reciprocal")
    lines = table([*rows, single]).splitlines()
    assert lines[0].split()[:2] == ["method", "data"]
    assert f"{100 * rows[0].mean['rank1']:.2f} ± {100 * rows[0].std['rank1']:.2f}" in lines[2]
    assert " off " in lines[2] and "i2v" in lines[2] and "v2i" in lines[3]
    assert " k-reciprocal " in lines[4] and "±" not in lines[4]
    assert sum(line.startswith("chance") for line in lines) == 3


def test_chance_by_hand():
    # Two images, one match: AP is 1 or 1/2. Three images, two matches: 1, (1 + 2/3) / 2 or (1/2 + 2/3) / 2.
    found = expected_average_precision([1, 2, 1], [2, 3, 1])
    assert found.tolist() == pytest.approx([0.75, (1 + 5 / 6 + 7 / 12) / 3, 1])


@pytest.mark.parametrize("rules", [manifest, llcm])
def test_chance_is_the_mean_of_random_orders(rules):
    protocol = rules(people(5), I2V)
    rng = np.random.default_rng(0)
    scores = []
    for trial in protocol.trials:
        query, gallery = protocol.pids[trial.query], protocol.pids[trial.gallery]
        ignore = protocol.ignore_mask(trial.query, trial.gallery)
        for _ in range(1500 // len(protocol.trials)):
            order = rng.random((len(query), len(gallery)))
            one = retrieval_metrics(order, query, gallery, ignore=ignore, cmc_unit=protocol.cmc_unit)
            scores.append((one.rank(1), one.mean_ap))
    expected = chance(protocol)
    assert np.mean(scores, axis=0) == pytest.approx([expected["rank1"], expected["mAP"]], abs=0.01)


def test_chance_needs_a_match():
    strangers = [Sample(Path("a"), 1, Modality.VISIBLE), Sample(Path("b"), 2, Modality.INFRARED)]
    with pytest.raises(InputError, match="no query has a match"):
        chance(manifest(strangers, I2V))


def test_rows_are_put_together_test_by_test_wherever_the_data_lie(rows):
    one, back = rows
    moved = one.model_copy(update={"data_root": "/elsewhere"})
    fewer = one.model_copy(update={"trials": one.trials[:1]})
    first, second, third = by_test({"A": [one, back], "B": [moved, fewer]})
    assert first == {"A": [one], "B": [moved]}
    assert second == {"A": [back], "B": []}
    assert third == {"A": [], "B": [fewer]}
    own, others = (one.model_copy(update={"dataset": "manifest", "data_root": place}) for place in ("a.csv", "b.csv"))
    assert len(by_test({"A": [own, others]})) == 2  # other people's crops are another test


def test_rows_are_labelled_by_what_tells_them_apart(rows):
    one = rows[0]
    again = one.model_copy(update={"seed": 1})
    reranked = one.model_copy(update={"rerank": "k-reciprocal"})
    assert [label for label, _ in labelled({"A": [one, reranked], "B": [one, again]})] == [
        "A",
        "A, k-reciprocal",
        "B, seed 0",
        "B, seed 1",
    ]
