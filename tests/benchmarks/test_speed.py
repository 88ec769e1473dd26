"""The references that vireid is timed beside compute the same, and what the benchmarks share."""

import json
import math

import growth
import metrics_speed
import numpy as np
import pytest
import rerank_speed
import start_speed
import timing

from vireid.evaluation.metrics import retrieval_metrics
from vireid.evaluation.rerank import k_reciprocal


@pytest.mark.parametrize("unit", ["identity", "image"])
def test_the_plain_evaluator_scores_the_same(unit):
    rng = np.random.default_rng(0)
    distances, query, gallery = rng.random((30, 40)), rng.integers(0, 9, 30), rng.integers(0, 7, 40)
    ignore = rng.random((30, 40)) < 0.3
    found = retrieval_metrics(distances, query, gallery, ignore=ignore, cmc_unit=unit)
    expected = metrics_speed.plain(distances, query, gallery, ignore, unit)
    assert (found.rank(1), found.mean_ap, found.mean_inp) == pytest.approx(expected, abs=1e-12)


def test_whole_matrices_give_the_same_order():
    query, gallery = rerank_speed.embeddings(40, 1), rerank_speed.embeddings(60, 2)
    expected = rerank_speed.plain(query.astype(np.float64), gallery.astype(np.float64))
    np.testing.assert_allclose(k_reciprocal(query, gallery), expected, atol=1e-6)


def test_the_exponent_is_the_power():
    assert growth.exponent({10: 3.0, 20: 12.0, 40: 48.0}) == pytest.approx(2)
    assert growth.exponent({10: 3.0, 100: 3.0}) == pytest.approx(0)


def test_turns_and_shares():
    calls = []
    seconds = timing.in_turns({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 2)
    assert calls == ["a", "b"] * 3
    assert all(len(turns) == 2 and min(turns) >= 0 for turns in seconds.values())
    found = timing.shares(lambda: sorted(range(100_000), key=math.sqrt))
    assert next(iter(found)) == "builtins.sorted" and found["builtins.sorted"] > 0.5
    assert sum(found.values()) <= 1 + 1e-9


def test_a_child_has_its_own_memory_and_the_commands_environment(monkeypatch):
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    found, peak = timing.in_child(timing.os.getenv, "OMP_WAIT_POLICY")
    assert found == "PASSIVE" and 0 < peak < 10
    assert timing.in_child(timing.os.getenv, "OMP_WAIT_POLICY", as_command=False)[0] is None
    assert timing.os.environ["OMP_WAIT_POLICY"] == "ACTIVE"


def test_a_benchmark_is_a_command(monkeypatch, tmp_path, capsys):
    output = tmp_path / "start.json"
    monkeypatch.setattr("sys.argv", ["start_speed.py", "--turns", "1", "--output", str(output)])
    timing.run(start_speed.measure)
    report = json.loads(output.read_text())
    assert report["settings"] == {"turns": 1} and report["machine"]["cores"] >= 1
    assert set(report["seconds"]) == set(start_speed.COMMANDS)
    monkeypatch.setattr("sys.argv", ["start_speed.py", "--turns", "0", "--output", str(output)])
    with pytest.raises(SystemExit) as stopped:
        timing.run(start_speed.measure)
    assert stopped.value.code == 2 and "1 or more" in capsys.readouterr().err
