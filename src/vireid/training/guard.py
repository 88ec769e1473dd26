"""Watches the losses: stops on NaN, warns when one no longer moves."""

import math
import warnings
from collections import deque
from collections.abc import Mapping

import torch
from torch import nn

from vireid.errors import Stopped


class TrainingDiverged(Stopped):
    """A loss or a weight became NaN or infinite; the last checkpoint is still good."""


class LossGuard:
    """Looks at every step's losses.

    A triplet loss that has collapsed (all embeddings equal) sits still at its margin and a clamped one sits still at
    its bound; neither raises an error and both ruin a run, so a loss whose values stay within `tolerance` of each
    other (relative) for `window` steps is reported once.
    """

    def __init__(self, window: int = 200, tolerance: float = 1e-3) -> None:
        self.window = window
        self.tolerance = tolerance
        self._recent: dict[str, deque[float]] = {}
        self._warned: set[str] = set()

    def check(self, losses: Mapping[str, float], where: str) -> None:
        """Raise `TrainingDiverged` on a value that is not finite; warn about one that is stuck."""
        for name, value in losses.items():
            if not math.isfinite(value):
                raise TrainingDiverged(
                    f"loss '{name}' became {value} at {where}; lower train.optimizer.lr or set train.clip_grad_norm"
                )
            recent = self._recent.setdefault(name, deque(maxlen=self.window))
            recent.append(value)
            low, high = min(recent), max(recent)
            stuck = len(recent) == self.window and high > 0 and high - low <= self.tolerance * high
            if stuck and name not in self._warned:
                self._warned.add(name)
                warnings.warn(
                    f"loss '{name}' has stayed at {value:.4g} for {self.window} steps (until {where}): "
                    "collapsed embeddings or a clamped loss; its gradient may be zero",
                    stacklevel=2,
                )

    def check_weights(self, method: nn.Module, where: str) -> None:
        """Raise `TrainingDiverged` on a weight that is not finite: no loss has seen the last step's."""
        for name, parameter in method.named_parameters():
            if not torch.isfinite(parameter).all():
                raise TrainingDiverged(
                    f"weight '{name}' is no longer finite after {where}; lower train.optimizer.lr or set "
                    "train.clip_grad_norm"
                )
