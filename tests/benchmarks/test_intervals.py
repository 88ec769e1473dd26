import numpy as np
import pytest
from intervals import ByQuery, interval, mean_of, score_queries, summarise
from trees import make_synthvi

from vireid.data import synthvi
from vireid.evaluation import protocols
from vireid.evaluation.distance import distances
from vireid.evaluation.evaluate import evaluate_protocol
from vireid.sample import Direction, Modality, Sample


@pytest.mark.parametrize("part", ["nir", "lwir"])
@pytest.mark.parametrize("way", Direction)
def test_the_means_over_queries_are_those_of_an_evaluation(tmp_path, part, way):
    config = synthvi.Config(root=make_synthvi(tmp_path, part), part=part, trials=3)
    samples = synthvi.load(config)
    rules = protocols.build(config, "synthvi", samples, way)
    rows = np.random.default_rng(0).normal(size=(len(samples), 8)).astype(np.float32)
    found = score_queries(rules, lambda query, gallery: distances(rows[query], rows[gallery]))
    result = evaluate_protocol(rows, rules)
    assert found.scores.mean(0) == pytest.approx([result.mean["rank1"], result.mean["mAP"]])
    assert found.chance.mean(0) == pytest.approx([result.chance["rank1"], result.chance["mAP"]])


def test_a_query_without_a_match_is_left_out():
    kinds = [(1, Modality.INFRARED), (2, Modality.INFRARED), (1, Modality.VISIBLE), (3, Modality.VISIBLE)]
    samples = [Sample(f"{n}.png", pid, kind) for n, (pid, kind) in enumerate(kinds)]
    rules = protocols.manifest(samples, Direction.I2V)
    found = score_queries(rules, lambda query, gallery: np.array([[0.2, 0.1], [0.1, 0.2]]))
    assert found.pids.tolist() == [1] and found.scores.tolist() == [[0.0, 0.5]]
    # One match in two places: first or second, AP 1 or 1/2.
    assert found.chance.tolist() == [[0.5, 0.75]]


def test_an_interval_draws_people_not_images():
    values = np.repeat([0.0, 1.0], 50)
    low, high = interval(values, np.repeat([1, 2], 50))
    assert (low, high) == (0.0, 1.0)  # both people alike happens in half of the draws
    low, high = interval(values, np.arange(100))
    assert 0.35 < low < 0.45 and 0.55 < high < 0.65


def test_a_person_weighs_as_many_queries_as_they_have():
    # Of four equally likely draws of two people: 1 1, 2 2 and 1 2 twice, whose mean is (0 + 3) / 4.
    low, high = interval(np.array([0.0, 1.0, 1.0, 1.0]), np.array([1, 2, 2, 2]), draws=4000)
    assert (low, high) == (0.0, 1.0)
    assert interval(np.array([0.3, 0.5]), np.array([7, 7])) == (0.4, 0.4)


def test_a_summary_and_the_mean_of_runs():
    pids, chance = np.array([1, 2]), np.full((2, 2), 0.25)
    runs = [ByQuery(pids, np.array([[1.0, 1.0], [0.0, 0.5]]), chance), ByQuery(pids, np.zeros((2, 2)), chance)]
    whole = summarise(mean_of(runs))
    assert whole["rank1"]["mean"] == 0.25 and whole["mAP"]["mean"] == 0.375
    assert whole["rank1"]["chance"] == 0.25
    assert whole["rank1"]["above_low"] == whole["rank1"]["low"] - 0.25
