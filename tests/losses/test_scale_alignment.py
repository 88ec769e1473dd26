"""Parts of an image, and the alignment of the modalities in each of them."""

import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional as F

from vireid.losses.gaussian_consistency import distribution_consistency_loss
from vireid.losses.scale_alignment import AlignmentConfig, parts_of, scale_alignment_loss
from vireid.losses.shared_enhancement import modality_shared_enhancement_loss

VISIBLE, INFRARED = 0, 1


def batch(seed=0, identities=3, images=2, parts=4, dim=5):
    """Shuffled rows."""
    generator = torch.Generator().manual_seed(seed)
    pids = torch.arange(identities).repeat_interleave(images).repeat(2)
    modalities = torch.arange(2).repeat_interleave(identities * images)
    order = torch.randperm(len(pids), generator=generator)
    rows = torch.randn(len(pids), parts, dim, generator=generator, dtype=torch.float64)
    return rows, pids[order], modalities[order]


# Parts


@pytest.mark.parametrize("grid", [(21, 10), (10, 5), (7, 2)])
@pytest.mark.parametrize("number", [1, 2, 3, 5, 7])
def test_strips_partition_the_patches(grid, number):
    """With each patch in a dimension of its own, a strip's mean shows which patches are in it."""
    patches = grid[0] * grid[1]
    tokens = torch.cat([torch.zeros(1, patches), torch.eye(patches)])[None]
    strips = parts_of(tokens, grid, [number])[0, 1:]
    assert len(strips) == number
    assert ((strips > 0).sum(0) == 1).all()
    torch.testing.assert_close(strips.sum(1), torch.ones(number))
    heights = (strips > 0).sum(1) / grid[1]
    assert heights.max() - heights.min() <= 1
    owner = strips.argmax(0)
    assert (owner == owner.sort().values).all()  # top first
    assert (owner.view(grid) == owner.view(grid)[:, :1]).all()  # horizontal


def test_parts_by_hand():
    # Two rows of two patches; the class token is 9.
    tokens = torch.tensor([9.0, 1.0, 3.0, 5.0, 11.0])[None, :, None]
    assert parts_of(tokens, (2, 2), [1, 2]).flatten().tolist() == [9, 5, 2, 8]


def test_a_grid_with_fewer_rows_than_strips_gives_its_rows():
    tokens = torch.tensor([9.0, 1.0, 3.0, 5.0])[None, :, None]
    assert parts_of(tokens, (3, 1), [7]).flatten().tolist() == [9, 1, 3, 5]


def test_the_published_grid_gives_twelve_parts():
    assert parts_of(torch.zeros(2, 211, 8), (21, 10), (1, 3, 7)).shape == (2, 12, 8)


# The loss


def test_by_hand():
    # One person, two parts. Part 1: directions (1, 0) and (0, 1), squared distance 2. Part 2: twice (0, 1), length 1
    # and 3: 0. The mean is 1.
    parts = torch.tensor([[[2.0, 0.0], [0.0, 1.0]], [[0.0, 5.0], [0.0, 3.0]]])
    loss = scale_alignment_loss(parts, torch.tensor([7, 7]), torch.tensor([VISIBLE, INFRARED]))
    assert loss.item() == pytest.approx(1.0)


def test_equals_a_slow_reference():
    parts, pids, modalities = batch()
    terms = []
    for part in range(parts.shape[1]):
        for pid in range(3):
            centers = []
            for modality in (VISIBLE, INFRARED):
                rows = [parts[i, part] for i in range(len(pids)) if pids[i] == pid and modalities[i] == modality]
                centers.append(sum(row / row.norm() for row in rows) / len(rows))
            terms.append(((centers[0] - centers[1]) ** 2).sum().item())
    assert scale_alignment_loss(parts, pids, modalities).item() == pytest.approx(sum(terms) / len(terms), rel=1e-12)


def test_it_is_0_where_the_centres_coincide():
    parts, pids, modalities = batch(images=3)
    visible, infrared = (modalities == m for m in (VISIBLE, INFRARED))
    for pid in range(3):
        # The same images in both modalities, in another order.
        parts[visible & (pids == pid)] = 2 * parts[infrared & (pids == pid)].flip(0)
    assert scale_alignment_loss(parts, pids, modalities).item() == pytest.approx(0, abs=1e-30)
    assert scale_alignment_loss(parts + 1, pids, modalities).item() > 0.01


def test_an_identity_without_one_modality_does_not_count():
    parts, pids, modalities = batch()
    kept = (pids != 1) | (modalities == VISIBLE)
    expected = scale_alignment_loss(parts[pids != 1], pids[pids != 1], modalities[pids != 1])
    torch.testing.assert_close(scale_alignment_loss(parts[kept], pids[kept], modalities[kept]), expected)


def test_nothing_to_compare_is_0_with_a_warning():
    parts, pids, _ = batch()
    parts.requires_grad_()
    with pytest.warns(UserWarning, match="the loss is 0"):
        loss = scale_alignment_loss(parts, pids, torch.zeros_like(pids))
    loss.backward()
    assert loss == 0 and (parts.grad == 0).all()


def test_the_gradient_is_right_and_finite_for_parts_that_are_0():
    parts, pids, modalities = batch(identities=2, parts=2, dim=3)
    assert torch.autograd.gradcheck(lambda x: scale_alignment_loss(x, pids, modalities), parts.requires_grad_())
    zeros = torch.zeros_like(parts, requires_grad=True)
    scale_alignment_loss(zeros, pids, modalities).backward()
    assert zeros.grad.isfinite().all()


def test_other_kinds_are_the_means_over_parts():
    parts, pids, modalities = batch()
    unit = F.normalize(parts, dim=2)
    kinds = {"msel": modality_shared_enhancement_loss, "mmd": distribution_consistency_loss}
    for kind, loss in kinds.items():
        options = {"kind": "mmd"} if kind == "mmd" else {}
        expected = sum(loss(unit[:, part], pids, modalities, **options) for part in range(4)) / 4
        torch.testing.assert_close(scale_alignment_loss(parts, pids, modalities, kind=kind), expected)


@pytest.mark.parametrize("wrong", [{"taps": []}, {"taps": [0, 4]}, {"strips": [3, 1]}, {"strips": [2, 2]}])
def test_bad_options_are_refused(wrong):
    with pytest.raises(ValidationError, match="the smallest first"):
        AlignmentConfig(**wrong)
