import math

import numpy as np
import pytest
from scipy import integrate

from vireid.evaluation.significance import holm, mean_and_std, paired_comparison


def t_density(x, freedom):
    factor = math.gamma((freedom + 1) / 2) / (math.sqrt(freedom * math.pi) * math.gamma(freedom / 2))
    return factor * (1 + x * x / freedom) ** (-(freedom + 1) / 2)


def slow_p(differences):
    """The area under Student's density outside of +-t, t spelled out term by term."""
    n = len(differences)
    mean = sum(differences) / n
    variance = sum((d - mean) ** 2 for d in differences) / (n - 1)
    t = abs(mean) / math.sqrt(variance / n)
    return 1 - 2 * integrate.quad(t_density, 0, t, args=(n - 1,))[0]


def test_three_pairs_by_hand():
    # Differences 0.01, 0.02, 0.03: mean 0.02, std 0.01, error 0.01 / sqrt(3), t = 2 sqrt(3) = 3.4641 at 2 degrees of
    # freedom, where p = 1 - t / sqrt(t^2 + 2) = 1 - sqrt(12 / 14); the table's 97.5 % point is 4.30265.
    got = paired_comparison([0.51, 0.42, 0.33], [0.50, 0.40, 0.30])
    assert (got.n, got.mean, got.std) == (3, pytest.approx(0.02), pytest.approx(0.01))
    assert got.p == pytest.approx(1 - math.sqrt(12 / 14))
    assert got.high - got.mean == pytest.approx(4.30265 * 0.01 / math.sqrt(3), rel=1e-5)
    assert got.mean - got.low == pytest.approx(got.high - got.mean)


@pytest.mark.parametrize("n", [2, 3, 5, 10])
def test_p_is_the_area_outside_t(n):
    values, reference = np.random.default_rng(n).random((2, n))
    assert paired_comparison(values, reference).p == pytest.approx(slow_p((values - reference).tolist()), rel=1e-6)


def test_the_interval_touches_zero_where_p_is_five_percent():
    values, reference = np.random.default_rng(1).random((2, 6))
    got = paired_comparison(values, reference)
    # Moved by the reach of the interval, one end lies on 0.
    moved = paired_comparison(values - got.low, reference)
    assert moved.low == pytest.approx(0, abs=1e-12)
    assert moved.p == pytest.approx(0.05)


def test_one_pair_says_nothing_about_chance():
    got = paired_comparison([0.5], [0.4])
    assert got.mean == pytest.approx(0.1)
    assert (got.std, got.low, got.high, got.p) == (None, None, None, None)


@pytest.mark.parametrize(("shift", "p"), [(0.0, 1.0), (0.1, None)])
def test_equal_differences_have_no_interval(shift, p):
    reference = [0.3, 0.1, 0.7]
    got = paired_comparison([value + shift for value in reference], reference)
    assert (got.std, got.low, got.high, got.p) == (0.0, None, None, p)


def test_holm_by_hand():
    # Sorted 0.01, 0.02, 0.03, 0.04, times 4, 3, 2, 1: 0.04, 0.06, 0.06, 0.04; never below the one before it.
    assert holm([0.02, 0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.06, 0.04, 0.06])


def test_holm_leaves_out_what_was_not_asked_and_stays_below_one():
    assert holm([None, 0.6, None, 0.7]) == [None, 1.0, None, 1.0]
    assert holm([None]) == [None]
    assert holm([]) == []


def test_holm_is_the_largest_of_the_steps_up_to_each_value():
    p_values = np.random.default_rng(3).random(7) / 5
    slow = [min(1.0, max(q * (7 - sum(other < q for other in p_values)) for q in p_values if q <= p)) for p in p_values]
    assert holm(p_values.tolist()) == pytest.approx(slow)


def test_the_standard_deviation_is_the_samples():
    assert mean_and_std([0.2, 0.4]) == (pytest.approx(0.3), pytest.approx(math.sqrt(0.02)))
    assert mean_and_std([0.2]) == (0.2, None)


def test_an_undefined_p_value_is_no_question():
    assert holm([float("nan"), 0.01, None]) == [None, 0.01, None]
