"""Is one row of a table better than another, or did it draw luckier seeds? Paired t-tests and Holm's correction.

Two rows trained with the same seeds are compared seed by seed, so that what a seed does to both cancels out.

Shapes: R repeats (seeds, or seeds times splits).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

LEVEL = 0.95
# Scores are fractions from 0 to 1; differences that agree to this are equal but for rounding.
ROUNDING = 1e-12


@dataclass(frozen=True)
class PairedComparison:
    """Mean difference of `n` pairs, its sample standard deviation, 95 % interval and two-sided p-value.

    `std` is None for fewer than two pairs. `low`, `high` and `p` are None where the test is undefined: fewer than two
    pairs, or differences that are all equal. In the latter case the formula divides by a spread of 0 and would
    report certainty where the spread merely was not seen; only if all differences are 0 is the answer plain: p = 1.
    """

    n: int
    mean: float
    std: float | None
    low: float | None
    high: float | None
    p: float | None


def mean_and_std(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and sample standard deviation (divisor R - 1) of `(R,)`; the latter is None for one value.

    >>> mean_and_std([0.1, 0.3])[0]
    0.2
    """
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None


def paired_comparison(values: Sequence[float], reference: Sequence[float]) -> PairedComparison:
    """Compare `values (R,)` with `reference (R,)`, whose entries belong together pair by pair.

    With d the differences, t = mean(d) / (std(d) / sqrt(R)) has R - 1 degrees of freedom if the true difference is 0.
    """
    assert len(values) == len(reference) > 0, "every value needs its partner"
    differences = np.asarray(values, np.float64) - np.asarray(reference, np.float64)
    n = len(differences)
    mean, std = mean_and_std(differences.tolist())
    if std is None:
        return PairedComparison(n, mean, None, None, None, None)
    if std <= ROUNDING:
        return PairedComparison(n, mean, 0.0, None, None, 1.0 if abs(mean) <= ROUNDING else None)
    error = std / math.sqrt(n)
    reach = float(stats.t.ppf((1 + LEVEL) / 2, n - 1)) * error
    p = 2 * float(stats.t.sf(abs(mean) / error, n - 1))
    return PairedComparison(n, mean, std, mean - reach, mean + reach, p)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """P-values adjusted for having asked m questions at once (Holm, Scandinavian Journal of Statistics 1979).

    The k-th smallest (k from 0) is multiplied by m - k, kept at least as large as the one before it and at most 1.
    None (or NaN) gives None and does not count as a question.

    >>> holm([0.04, None, 0.01])
    [0.04, None, 0.02]
    """
    asked = sorted((p, index) for index, p in enumerate(p_values) if p is not None and not math.isnan(p))
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for k, (p, index) in enumerate(asked):
        largest = min(1.0, max(largest, p * (len(asked) - k)))
        adjusted[index] = largest
    return adjusted
