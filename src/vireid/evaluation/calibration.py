"""Which score says "the same person"? Error rates of pairs by their modalities, thresholds and probabilities.

A pair of crops matches where its score reaches a threshold. The false match rate (FMR) is the share of pairs of two
people that match, the false non-match rate (FNMR) the share of pairs of one person that do not (ISO/IEC 19795-1).
Scores of two visible crops, two infrared ones and one of each are not alike, so each kind of pair has thresholds of
its own.

Shapes: N crops, D embedding size, P pairs, T thresholds.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit

from vireid.errors import InputError
from vireid.sample import Modality, Sample

FloatArray = npt.NDArray[np.floating[Any]]

RATES = (0.1, 0.01, 0.001, 0.0001)
MOST = 4000  # crops of one modality that are paired, drawn by seed; 8 million pairs of them
FEWEST = 10  # pairs of two people that must match at a rate, or it cannot be told from a lower one
KINDS = {
    "visible-visible": (Modality.VISIBLE, Modality.VISIBLE),
    "visible-infrared": (Modality.VISIBLE, Modality.INFRARED),
    "infrared-infrared": (Modality.INFRARED, Modality.INFRARED),
}


@dataclass(frozen=True)
class Threshold:
    """The lowest score at which no more than `fmr` of the pairs of two people match, and the `fnmr` it costs."""

    fmr: float
    score: float
    fnmr: float


@dataclass(frozen=True)
class Calibration:
    """What scores of one kind of pair mean.

    Attributes:
        genuine: pairs of one person that were looked at.
        impostor: pairs of two people.
        slope: with `intercept`, of the probability of `probability`.
        intercept: see `slope`.
        thresholds: for `RATES`, those that so many pairs can tell.
        curve: T points `(score, FMR, FNMR)`, for a picture.
    """

    genuine: int
    impostor: int
    slope: float
    intercept: float
    thresholds: tuple[Threshold, ...]
    curve: tuple[tuple[float, float, float], ...]

    def probability(self, score: float) -> float:
        """That the two are one person, if before looking it was as likely as not; 0 to 1."""
        return float(expit(self.slope * score + self.intercept))

    def threshold(self, fmr: float) -> Threshold:
        """The threshold at a rate.

        Raises:
            InputError: it is none of `RATES`, or there were too few pairs to tell it.
        """
        found = next((each for each in self.thresholds if each.fmr == fmr), None)
        if found is None:
            known = ", ".join(f"{each.fmr:g}" for each in self.thresholds) or "none"
            raise InputError(f"no threshold for a false match rate of {fmr:g}; known are {known}")
        return found

    def to_dict(self) -> dict[str, Any]:
        """For JSON; `from_dict` reads it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> "Calibration":
        """The reverse of `to_dict`."""
        thresholds = tuple(Threshold(**each) for each in plain["thresholds"])
        curve = tuple((point[0], point[1], point[2]) for point in plain["curve"])
        return cls(**{**plain, "thresholds": thresholds, "curve": curve})


def calibrate(genuine: FloatArray, impostor: FloatArray, *, points: int = 200) -> Calibration:
    """Calibration from the scores of pairs of one person and of pairs of two.

    Args:
        genuine: `(P1,)` scores, higher for more alike.
        impostor: `(P2,)` scores.
        points: of the curve; T is that or a little less.

    Raises:
        InputError: one of them is empty, or a score is not finite.
    """
    if not len(genuine) or not len(impostor):
        raise InputError(f"{len(genuine)} pairs of one person and {len(impostor)} of two; expected some of each")
    if not (np.isfinite(genuine).all() and np.isfinite(impostor).all()):
        raise InputError("a score is not finite; embed the images anew")
    own, others = np.sort(genuine), np.sort(impostor)
    thresholds = []
    for rate in RATES:
        if rate * len(others) >= FEWEST:
            score = threshold_at(others, rate)
            thresholds.append(Threshold(rate, score, float(np.searchsorted(own, score) / len(own))))
    # Even steps on the logarithmic axes that the two rates are drawn on.
    ranks = [np.geomspace(1, len(side), points // 2).astype(int) for side in (own, others)]
    scores = np.unique(np.concatenate([own[ranks[0] - 1], others[-ranks[1]]]))
    fmr = 1 - np.searchsorted(others, scores) / len(others)
    fnmr = np.searchsorted(own, scores) / len(own)
    slope, intercept = _logistic(own, others)
    curve = tuple(zip(scores.tolist(), fmr.tolist(), fnmr.tolist(), strict=True))
    return Calibration(len(own), len(others), slope, intercept, tuple(thresholds), curve)


def threshold_at(impostor: FloatArray, rate: float) -> float:
    """The lowest score of `impostor` `(P,)`, ascending, that at most `rate` of them reach; above all if none does.

    >>> threshold_at(np.array([0.1, 0.2, 0.3, 0.4]), 0.25)
    0.4
    """
    allowed = int(rate * len(impostor) + 1e-9)
    if allowed == 0:
        return float(np.nextafter(impostor[-1], np.inf))
    score = impostor[len(impostor) - allowed]
    # Ties with the score below would match as well: then the next higher score.
    if len(impostor) > allowed and impostor[len(impostor) - allowed - 1] == score:
        higher = np.searchsorted(impostor, score, side="right")
        return float(impostor[higher]) if higher < len(impostor) else float(np.nextafter(score, np.inf))
    return float(score)


def _logistic(genuine: FloatArray, impostor: FloatArray) -> tuple[float, float]:
    """Slope and intercept of log odds over the score, both kinds of pairs weighing the same (Platt scaling)."""
    sides = [(genuine[_spread(len(genuine))], 1.0), (impostor[_spread(len(impostor))], -1.0)]

    def loss(line: FloatArray) -> tuple[float, FloatArray]:
        total, gradient = 1e-6 * float(line[0] ** 2), np.array([2e-6 * line[0], 0.0])
        for scores, sign in sides:
            margin = sign * (line[0] * scores + line[1])
            total += float(np.logaddexp(0, -margin).mean())
            push = -sign * expit(-margin)
            gradient += (push * scores).mean(), push.mean()
        return total, gradient

    found = minimize(loss, np.array([1.0, 0.0]), jac=True, method="BFGS")
    return float(found.x[0]), float(found.x[1])


def _spread(count: int, most: int = 100_000) -> npt.NDArray[np.int64]:
    """Indices that stand for all of a sorted array."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


def pair_scores(
    samples: Sequence[Sample], embeddings: npt.NDArray[np.float32], kind: str, *, seed: int = 0
) -> tuple[FloatArray, FloatArray]:
    """Scores of the pairs of one person and of two, for one of `KINDS`.

    Pairs of one camera are left out where crops of that kind come from several, as are pairs of one track: such crops
    are alike for other reasons than the person. A camera that is not known (0) is another one for each crop.

    Args:
        samples: N crops.
        embeddings: `(N, D)` of length 1.
        kind: of the pairs.
        seed: which crops are taken where there are more than `MOST` of a modality.
    """
    first, second = (_chosen(samples, modality, seed) for modality in KINDS[kind])
    scores = embeddings[first] @ embeddings[second].T
    facts = {name: np.array([getattr(sample, name) for sample in samples]) for name in ("pid", "camid", "track")}
    same = {name: values[first][:, None] == values[second] for name, values in facts.items()}
    one_track = same["track"] & (facts["track"][first] != "")[:, None]
    kept = ~one_track & (first[:, None] != second)
    if KINDS[kind][0] is KINDS[kind][1]:
        kept &= first[:, None] < second  # each pair once
    one_camera = same["camid"] & (facts["camid"][first] != 0)[:, None]
    if (kept & ~one_camera).any():
        kept &= ~one_camera
    return scores[kept & same["pid"]], scores[kept & ~same["pid"]]


def _chosen(samples: Sequence[Sample], modality: Modality, seed: int) -> npt.NDArray[np.int64]:
    found = np.array([index for index, sample in enumerate(samples) if sample.modality is modality], np.int64)
    if len(found) > MOST:
        found = np.sort(np.random.default_rng(seed).choice(found, MOST, replace=False))
    return found
