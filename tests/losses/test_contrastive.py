import math

import pytest
import torch

from vireid.losses.contrastive import cross_modality_contrastive_loss

VISIBLE, INFRARED = 0, 1


def test_by_hand():
    # Two people, one image each per modality; similarities: own 1, other 0. t = 0.5:
    # every anchor has -log(e^2 / (e^2 + e^0)) = log(1 + e^-2).
    embeddings = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0], [0.0, 1.0]])
    pids = torch.tensor([5, 9, 5, 9])
    modalities = torch.tensor([VISIBLE, VISIBLE, INFRARED, INFRARED])
    loss = cross_modality_contrastive_loss(embeddings, pids, modalities, temperature=0.5)
    assert float(loss) == pytest.approx(math.log(1 + math.exp(-2)), rel=1e-6)


def test_two_positives_by_hand():
    # The visible anchor of person 1 sees two of its own (similarities 1 and 0) and one other (0), t = 1:
    # -( (1 - z) + (0 - z) ) / 2 with z = log(e + 1 + 1).
    embeddings = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    pids = torch.tensor([1, 1, 1, 2])
    modalities = torch.tensor([VISIBLE, INFRARED, INFRARED, INFRARED])
    z = math.log(math.e + 2)
    # The infrared anchors see one visible image only, so they have nothing to tell it from.
    loss = cross_modality_contrastive_loss(embeddings, pids, modalities, temperature=1.0)
    assert float(loss) == pytest.approx(z - 0.5, rel=1e-6)


def slow_reference(embeddings, pids, modalities, temperature):
    unit = embeddings / embeddings.norm(dim=1, keepdim=True)
    terms = []
    for a in range(len(unit)):
        others = [o for o in range(len(unit)) if modalities[o] != modalities[a]]
        own = [o for o in others if pids[o] == pids[a]]
        if not own or len(own) == len(others):
            continue
        total = sum(math.exp(float(unit[a] @ unit[o]) / temperature) for o in others)
        terms.append(-sum(math.log(math.exp(float(unit[a] @ unit[p]) / temperature) / total) for p in own) / len(own))
    return sum(terms) / len(terms)


@pytest.mark.parametrize("seed", range(3))
def test_against_a_slow_reference(seed):
    generator = torch.Generator().manual_seed(seed)
    embeddings = torch.randn(20, 7, generator=generator, dtype=torch.float64)
    pids = torch.randint(5, (20,), generator=generator)
    modalities = torch.randint(2, (20,), generator=generator)
    loss = cross_modality_contrastive_loss(embeddings, pids, modalities, temperature=0.3)
    assert float(loss) == pytest.approx(slow_reference(embeddings, pids, modalities, 0.3), rel=1e-10)
    order = torch.randperm(20, generator=generator)
    shuffled = cross_modality_contrastive_loss(embeddings[order], pids[order], modalities[order], temperature=0.3)
    assert float(shuffled) == pytest.approx(float(loss), rel=1e-10)


def test_the_gradient_is_right():
    embeddings = torch.randn(6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    pids, modalities = torch.tensor([0, 0, 1, 1, 0, 1]), torch.tensor([0, 1, 0, 1, 1, 0])
    assert torch.autograd.gradcheck(
        lambda x: cross_modality_contrastive_loss(x, pids, modalities), embeddings.requires_grad_()
    )


@pytest.mark.parametrize("modalities", [[0, 0, 0, 0], [0, 1, 0, 1]])
def test_nothing_to_compare_is_zero_with_a_warning(modalities):
    embeddings = torch.randn(4, 3, requires_grad=True)
    pids = torch.zeros(4, dtype=torch.int64)
    with pytest.warns(UserWarning, match="the loss is 0"):
        loss = cross_modality_contrastive_loss(embeddings, pids, torch.tensor(modalities))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(embeddings.grad, torch.zeros(4, 3))
