"""Thresholds and probabilities against numbers worked by hand."""

import json
from pathlib import Path

import numpy as np
import pytest

from vireid.errors import InputError
from vireid.evaluation.calibration import Calibration, calibrate, pair_scores, threshold_at
from vireid.sample import Modality, Sample


@pytest.mark.parametrize(
    ("rate", "score"),
    [
        (0.5, 0.6),  # two of five are allowed: 0.6 and 0.8
        (0.2, 0.8),
        (0.4, 0.6),
        (0.1, np.nextafter(0.8, 1)),  # none is allowed
        (1.0, 0.1),
    ],
)
def test_the_threshold_is_the_lowest_score_that_keeps_the_rate(rate, score):
    assert threshold_at(np.array([0.1, 0.3, 0.5, 0.6, 0.8]), rate) == score


def test_ties_never_break_the_rate():
    tied = np.array([0.1, 0.5, 0.5, 0.5, 0.7])
    assert threshold_at(tied, 0.4) == 0.7  # 0.5 would let four of five match
    assert threshold_at(np.full(5, 0.5), 0.4) > 0.5
    assert threshold_at(tied, 0.8) == 0.5


def test_error_rates_by_hand():
    impostor = np.linspace(0, 0.99, 100)
    genuine = np.array([0.5, 0.85, 0.9, 0.95])
    found = calibrate(genuine, impostor)
    (threshold,) = found.thresholds  # 100 pairs tell a rate of 0.1 and nothing lower
    assert (threshold.fmr, threshold.fnmr) == (0.1, 0.5)  # ten reach 0.9, as do 0.9 and 0.95
    assert threshold.score == pytest.approx(0.9)
    assert found.threshold(0.1) == threshold
    with pytest.raises(InputError, match=r"0\.01; known are 0\.1"):
        found.threshold(0.01)
    scores, fmr, fnmr = np.array(found.curve).T
    for score, false, missed in zip(scores, fmr, fnmr, strict=True):
        assert false == pytest.approx((impostor >= score).mean()) and missed == pytest.approx((genuine < score).mean())


def test_probabilities_are_those_of_even_odds():
    rng = np.random.default_rng(0)
    # Normal scores with means 1 and 0 and spread 0.5: log odds are (score - 0.5) / 0.25 exactly.
    genuine, impostor = rng.normal(1, 0.5, 40_000), rng.normal(0, 0.5, 400_000)
    found = calibrate(genuine, impostor)
    assert found.slope == pytest.approx(4, rel=0.05) and found.intercept == pytest.approx(-2, rel=0.05)
    assert found.probability(0.5) == pytest.approx(0.5, abs=0.02)
    assert found.probability(-5) < 1e-6 < 1 - 1e-6 < found.probability(6)


def test_scores_that_part_wholly_give_a_finite_line():
    found = calibrate(np.full(20, 0.9), np.full(200, 0.1))
    assert np.isfinite([found.slope, found.intercept]).all()
    assert found.probability(0.9) > 0.99 and found.probability(0.1) < 0.01


def test_it_is_read_as_it_was_written():
    found = calibrate(np.array([0.9, 0.5]), np.linspace(0, 1, 500))
    assert Calibration.from_dict(json.loads(json.dumps(found.to_dict()))) == found


@pytest.mark.parametrize(("genuine", "impostor"), [([], [0.1]), ([0.1], []), ([np.nan], [0.1])])
def test_nothing_to_calibrate_by_is_told(genuine, impostor):
    with pytest.raises(InputError, match=r"expected some of each|not finite"):
        calibrate(np.array(genuine), np.array(impostor))


def crop(pid, modality, camid, track=""):
    return Sample(Path(f"{pid}-{camid}-{track}.jpg"), pid, modality, camid, track=track)


V, INFRARED = Modality.VISIBLE, Modality.INFRARED


def test_pairs_are_of_two_cameras_and_counted_once():
    samples = [crop(1, V, 1), crop(1, V, 2), crop(1, V, 2), crop(2, V, 1), crop(1, INFRARED, 3)]
    rows = np.eye(5, 2, dtype=np.float32)
    genuine, impostor = pair_scores(samples, rows, "visible-visible")
    assert len(genuine) == 2 and len(impostor) == 2  # 1-2, 1-3; 2-4, 3-4: cameras 1 and 2
    genuine, impostor = pair_scores(samples, rows, "visible-infrared")
    assert len(genuine) == 3 and len(impostor) == 1
    assert [len(each) for each in pair_scores(samples, rows, "infrared-infrared")] == [0, 0]


def test_pairs_of_one_camera_count_where_there_is_no_other_but_never_those_of_one_track():
    samples = [crop(1, V, 1, "a"), crop(1, V, 1, "a"), crop(1, V, 1, "b"), crop(2, V, 1, "c")]
    rows = np.eye(4, dtype=np.float32)
    genuine, impostor = pair_scores(samples, rows, "visible-visible")
    assert len(genuine) == 2 and len(impostor) == 3
    unknown = [crop(1, V, 0), crop(1, V, 0), crop(1, V, 1), crop(1, V, 1)]  # 0: not known, another one for each
    assert len(pair_scores(unknown, rows, "visible-visible")[0]) == 5  # all but that of camera 1
    instants = [crop(1, V, 1, "now"), crop(1, INFRARED, 2, "now"), crop(1, INFRARED, 2, "later")]
    assert len(pair_scores(instants, rows[:3], "visible-infrared")[0]) == 1
