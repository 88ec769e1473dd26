import math

import pytest
import torch

from vireid.losses.identity import cosine_logits, identity_loss


def test_cross_entropy_by_hand():
    logits = torch.tensor([[math.log(3.0), 0.0], [0.0, 0.0]])
    loss = identity_loss(logits, torch.tensor([0, 1]))
    assert loss.item() == pytest.approx((math.log(4 / 3) + math.log(2)) / 2, rel=1e-6)


def test_label_smoothing_by_hand():
    logits = torch.tensor([[math.log(3.0), 0.0]])
    # Target 0.9 + 0.05 on the right class of two, 0.05 on the other.
    expected = 0.95 * math.log(4 / 3) + 0.05 * math.log(4)
    assert identity_loss(logits, torch.tensor([0]), label_smoothing=0.1).item() == pytest.approx(expected, rel=1e-6)


def test_cosine_logits_ignore_lengths_and_hold_the_margin():
    embeddings = torch.tensor([[3.0, 0.0], [0.0, 0.1]])
    classes = torch.tensor([[0.0, 5.0], [7.0, 0.0]])
    logits = cosine_logits(embeddings, classes, torch.tensor([1, 1]), scale=30, margin=0.2)
    torch.testing.assert_close(logits, torch.tensor([[0.0, 24.0], [30.0, -6.0]]))
