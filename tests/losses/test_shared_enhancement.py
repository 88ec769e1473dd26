"""The modality-shared enhancement loss."""

import math

import pytest
import torch
from test_golden_losses import EXPECTED, loss_batch
from torch.nn import functional as F

from vireid.losses.shared_enhancement import modality_shared_enhancement_loss

VISIBLE, INFRARED = 0, 1
DISTANCES = {
    "euclidean": lambda a, b: (a - b).norm().item(),
    "cosine": lambda a, b: 1 - F.cosine_similarity(a, b, dim=0).item(),
}


def test_by_hand():
    """Distances within: visible 2, infrared 0; across: from (0, 0) 3 and 3, from (0, 2) sqrt 13 twice."""
    embeddings = torch.tensor([[0.0, 0.0], [0.0, 2.0], [3.0, 0.0], [3.0, 0.0]])
    modalities = torch.tensor([VISIBLE, VISIBLE, INFRARED, INFRARED])
    visible = ((3 - 2) ** 2 + (math.sqrt(13) - 2) ** 2) / 2
    infrared = ((3 + math.sqrt(13)) / 2 - 0) ** 2
    loss = modality_shared_enhancement_loss(embeddings, torch.tensor([4, 4, 4, 4]), modalities)
    assert loss.item() == pytest.approx((visible + infrared) / 2, rel=1e-6)


def test_by_hand_to_centers():
    """Visible 0 and 2, infrared 5 and 5, on a line: |5 - 0| - 2, |5 - 2| - 2, and twice |1 - 5| - 0."""
    embeddings = torch.tensor([[0.0], [2.0], [5.0], [5.0]])
    modalities = torch.tensor([VISIBLE, VISIBLE, INFRARED, INFRARED])
    loss = modality_shared_enhancement_loss(embeddings, torch.tensor([4, 4, 4, 4]), modalities, distance="center")
    assert loss.item() == pytest.approx(((9 + 1) / 2 + 16) / 2, rel=1e-6)


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_zero_where_all_positives_are_equally_far(distance):
    """The four images of a person, on four axes, are as far apart across the modalities as within them."""
    embeddings = torch.cat([torch.eye(4), torch.eye(4) + 7.0])
    pids, modalities = torch.arange(2).repeat_interleave(4), torch.tensor([VISIBLE, VISIBLE, INFRARED, INFRARED] * 2)
    loss = modality_shared_enhancement_loss(embeddings, pids, modalities, distance=distance)
    assert loss.item() == pytest.approx(0, abs=1e-10)


def others(rows, pids, modalities, a, modality):
    return [rows[o] for o in range(len(rows)) if o != a and pids[o] == pids[a] and modalities[o] == modality]


def to_images(distance):
    return lambda a, images: sum(DISTANCES[distance](a, image) for image in images) / len(images)


def to_center(a, images):
    return (a - torch.stack(images).mean(0)).norm().item()


MEASURES = {"euclidean": to_images("euclidean"), "cosine": to_images("cosine"), "center": to_center}


@pytest.mark.parametrize("distance", MEASURES)
@pytest.mark.parametrize("seed", range(3))
def test_against_a_slow_reference(distance, seed):
    """On batches with any number of images, where some anchors lack a positive."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(20, 7, generator=generator, dtype=torch.float64)
    pids, modalities = torch.randint(5, (20,), generator=generator), torch.randint(2, (20,), generator=generator)
    squares = {VISIBLE: [], INFRARED: []}
    for a in range(20):
        own = modalities[a].item()
        near, far = (others(rows, pids, modalities, a, modality) for modality in (own, 1 - own))
        if near and far:
            squares[own].append((MEASURES[distance](rows[a], far) - MEASURES[distance](rows[a], near)) ** 2)
    expected = sum(sum(values) / len(values) for values in squares.values()) / 2
    loss = modality_shared_enhancement_loss(rows, pids, modalities, distance=distance)
    assert loss.item() == pytest.approx(expected, rel=1e-10)


def to_centers(rows, labels, slip):
    """On a batch of two halves; with the slip, infrared images look at the other visible ones for their own."""
    half, total = len(rows) // 2, 0.0
    for a in range(len(rows)):
        first = half * (a >= half)
        own = [o for o in range(first, first + half) if labels[o] == labels[a] and o != a]
        other = [o for o in range(half - first, 2 * half - first) if labels[o] == labels[a]]
        if slip and first:
            own = [o - half for o in own]
        total += (to_center(rows[a], list(rows[other])) - to_center(rows[a], list(rows[own]))) ** 2
    return total / len(rows)


def test_centers_differ_from_the_published_ones_in_their_slip_only():
    """Published: an infrared image's own centre is built of visible images."""
    for row in EXPECTED["pmt_MSEL_Feat"]["rows"]:
        rows, labels = map(torch.tensor, loss_batch(**row["batch"], chunks=row["chunks"]))
        modalities = torch.arange(2).repeat_interleave(len(rows) // 2)
        loss = modality_shared_enhancement_loss(rows, labels, modalities, distance="center").item()
        assert to_centers(rows, labels, slip=True) == pytest.approx(row["float64"]["loss"], rel=1e-6)
        assert loss == pytest.approx(to_centers(rows, labels, slip=False), rel=1e-9)
        assert loss != pytest.approx(row["float64"]["loss"], rel=1e-3)


def test_a_modality_without_a_second_image_is_left_out():
    embeddings = torch.tensor([[0.0], [1.0], [3.0]])
    modalities = torch.tensor([VISIBLE, INFRARED, INFRARED])
    loss = modality_shared_enhancement_loss(embeddings, torch.tensor([4, 4, 4]), modalities)
    assert loss.item() == pytest.approx(((1 - 2) ** 2 + (3 - 2) ** 2) / 2)


@pytest.mark.parametrize("modalities", [[0, 0, 0, 0], [1, 1, 1, 1], [0, 1, 0, 1]])
def test_nothing_to_compare_is_zero_with_a_warning(modalities):
    embeddings = torch.randn(4, 3, requires_grad=True)
    with pytest.warns(UserWarning, match="the loss is 0: no identity has two images in one modality and one in the"):
        loss = modality_shared_enhancement_loss(embeddings, torch.tensor([0, 0, 1, 1]), torch.tensor(modalities))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(embeddings.grad, torch.zeros(4, 3))
