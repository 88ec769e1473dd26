"""The discriminative centre loss."""

import pytest
import torch

from vireid.losses.discriminative_center import discriminative_center_loss


def test_by_hand():
    """On a line, two people: images at 0 and 2 (centre 1), and at 10 and 16 (centre 13).

    Positive distances 1, 1, 3, 3. From 1 the others are 9 and 15 away, 9 is below their mean; from 13, 13 and 11.
    """
    loss = discriminative_center_loss(torch.tensor([[0.0], [10.0], [2.0], [16.0]]), torch.tensor([3, 8, 3, 8]))
    assert loss.item() == pytest.approx(2 / ((9 + 11) / 2), rel=1e-6)


def test_equally_far_others_all_count():
    """Each centre lies on a corner of a square's diagonal; of the others none is nearer than their mean."""
    loss = discriminative_center_loss(torch.tensor([[0.0], [0.0], [4.0], [4.0]]), torch.tensor([0, 0, 1, 1]))
    assert loss.item() == 0
    apart = torch.tensor([[0.0, 1.0], [0.0, -1.0], [4.0, 3.0], [4.0, -3.0]])
    loss = discriminative_center_loss(apart, torch.tensor([0, 0, 1, 1]))
    assert loss.item() == pytest.approx(((1 + 1 + 3 + 3) / 4) / ((5 + 17**0.5) / 2), rel=1e-6)


def slow_reference(rows, pids):
    own, others = [], []
    for pid in set(pids.tolist()):
        center = rows[pids == pid].mean(0)
        own += [(row - center).norm().item() for row in rows[pids == pid]]
        far = [(row - center).norm().item() for row in rows[pids != pid]]
        nearer = [d for d in far if d < sum(far) / len(far)]
        others.append(sum(nearer) / len(nearer))
    return (sum(own) / len(own)) / (sum(others) / len(others))


@pytest.mark.parametrize("seed", range(3))
def test_against_a_slow_reference(seed):
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(20, 7, generator=generator, dtype=torch.float64)
    pids = torch.randint(5, (20,), generator=generator)
    loss = discriminative_center_loss(rows, pids)
    assert loss.item() == pytest.approx(slow_reference(rows, pids), rel=1e-10)
    assert discriminative_center_loss(100 * rows, pids).item() == pytest.approx(loss.item(), rel=1e-10)


def test_one_identity_is_zero_with_a_warning():
    embeddings = torch.randn(4, 3, requires_grad=True)
    with pytest.warns(UserWarning, match="the loss is 0: it needs two identities"):
        loss = discriminative_center_loss(embeddings, torch.zeros(4, dtype=torch.int64))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(embeddings.grad, torch.zeros(4, 3))
