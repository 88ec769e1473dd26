"""My method passes every check, and its loss is the one worked out by hand. Run: pytest test_mymethod.py."""

import pytest
import torch
from mylab.mymethod import alignment_loss

from vireid.testing import CHECKS, Check, small


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_check(check: Check) -> None:
    """Every check that `vireid method check` makes."""
    check(small("mylab.mymethod"))


def test_alignment_loss_by_hand() -> None:
    """Person 0: centres (1, 0) and (1, 2), squared distance 4. Person 1: (0, 0) and (0, 1), 1. Mean 2.5."""
    embeddings = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 0.0], [1.0, 2.0], [0.0, 1.0]])
    pids, modalities = torch.tensor([0, 0, 1, 0, 1]), torch.tensor([0, 0, 0, 1, 1])
    assert alignment_loss(embeddings, pids, modalities).item() == pytest.approx(2.5)
