"""MMN's losses between images and middle images."""

import math

import pytest
import torch

from vireid.losses.hetero_center import hetero_center_triplet_loss
from vireid.losses.middle_modality import mean_over_pairings, middle_consistency_loss, pairing_gap
from vireid.losses.triplet import triplet_loss
from vireid.sample import Modality

V, R = Modality.VISIBLE, Modality.INFRARED


def batch(identities=3, images=2, dim=5):
    generator = torch.Generator().manual_seed(0)
    pids = torch.arange(identities).repeat_interleave(images).repeat(2)
    modalities = torch.arange(2).repeat_interleave(identities * images)
    original, middle = torch.randn(2, len(pids), dim, generator=generator, dtype=torch.float64)
    return original, middle, pids, modalities


def test_pairings_by_hand():
    original, middle = torch.tensor([[1.0], [10.0]]), torch.tensor([[100.0], [1000.0]])
    seen = []

    def recorded(rows, pids, modalities):
        seen.append(rows.flatten().tolist())
        return rows.sum()

    # First row visible, second infrared: v = 1, r = 10, v' = 100, r' = 1000.
    value = mean_over_pairings(recorded, original, middle, torch.tensor([0, 0]), torch.tensor([V, R]))
    assert seen == [[1, 10], [1, 1000], [100, 10], [100, 1000]]
    assert value == (11 + 1001 + 110 + 1100) / 4


def test_pairings_equal_the_published_chunks_on_a_sorted_batch():
    original, middle, pids, modalities = batch()
    half = len(pids) // 2
    (v, r), (v_middle, r_middle) = original.split(half), middle.split(half)
    pairs = [(v, r), (v, r_middle), (v_middle, r), (v_middle, r_middle)]
    for loss in (lambda x, pids, modalities: triplet_loss(x, pids), hetero_center_triplet_loss):
        expected = sum(loss(torch.cat(pair), pids, modalities) for pair in pairs) / 4
        torch.testing.assert_close(mean_over_pairings(loss, original, middle, pids, modalities), expected)


def test_pairings_do_not_depend_on_the_order_of_rows():
    rows = batch()
    order = torch.randperm(len(rows[2]), generator=torch.Generator().manual_seed(1))
    shuffled = mean_over_pairings(hetero_center_triplet_loss, *(x[order] for x in rows))
    torch.testing.assert_close(shuffled, mean_over_pairings(hetero_center_triplet_loss, *rows))


def test_consistency_by_hand():
    """Two images against one of identity 0, at angles of 90 and 60 degrees; identity 1 has visible images only."""
    projected = torch.tensor([[2.0, 0.0], [0.5, 3**0.5 / 2], [0.0, 7.0], [1.0, 1.0]])
    pids, modalities = torch.tensor([0, 0, 0, 1]), torch.tensor([V, R, V, V])
    right_angle_to_30, sixty = 2 * math.sin(math.radians(15)), 1.0
    value = middle_consistency_loss(projected, pids, modalities)
    assert value.item() == pytest.approx((right_angle_to_30 + sixty) / 2, rel=1e-6)
    # The first visible row with the first infrared row; the second has none to go with.
    peer = middle_consistency_loss(projected, pids, modalities, mode="peer")
    assert peer.item() == pytest.approx(sixty, rel=1e-6)


def test_consistency_is_the_mean_over_all_matches_of_the_published_one():
    _, projected, pids, modalities = batch(identities=3, images=3)
    shifted = []
    for shift in range(3):  # each image of an identity meets each of the other modality once
        rows = projected.view(2, 3, 3, -1).clone()
        rows[R] = rows[R].roll(shift, 1)
        shifted.append(middle_consistency_loss(rows.view(18, -1), pids, modalities, mode="peer"))
    assert len({round(value.item(), 9) for value in shifted}) == 3
    torch.testing.assert_close(middle_consistency_loss(projected, pids, modalities), torch.stack(shifted).mean())


def test_consistency_is_the_published_one_with_one_image_each():
    _, projected, pids, modalities = batch(images=1)
    both = [middle_consistency_loss(projected, pids, modalities, mode=mode) for mode in ("all_pairs", "peer")]
    torch.testing.assert_close(*both)


@pytest.mark.parametrize("mode", ["all_pairs", "peer"])
def test_consistency_needs_an_identity_in_both_modalities(mode):
    projected = torch.randn(4, 3, requires_grad=True)
    with pytest.warns(UserWarning, match="the loss is 0: it needs an identity in both modalities"):
        loss = middle_consistency_loss(projected, torch.tensor([0, 0, 1, 1]), torch.tensor([V, V, R, R]), mode=mode)
    loss.backward()
    assert loss == 0
    assert (projected.grad == 0).all()


def gap_by_loops(original, middle, pids, modalities):
    def spread(of_visible, of_infrared):
        rows = [(of_visible if m == V else of_infrared)[i] for i, m in enumerate(modalities.tolist())]
        means = []
        for anchor, pid in zip(rows, pids, strict=True):
            own = [(anchor - row).norm() for row, other in zip(rows, pids, strict=True) if other == pid]
            means.append(sum(own) / len(own))
        return sum(means) / len(means)

    return abs(spread(original, middle) - spread(middle, original))


def test_pairing_gap_by_loops():
    rows = batch()
    torch.testing.assert_close(pairing_gap(*rows), gap_by_loops(*rows))


def test_the_slip_is_all_that_the_published_pairing_gap_differs_by():
    """Where (v', r) is such that its distances are the roots of those of (v, r'), both agree."""
    pids, modalities = torch.tensor([0, 0]), torch.tensor([V, R])
    original, middle = torch.tensor([[0.0], [3.0]]), torch.tensor([[0.0], [9.0]])  # |v' - r| = 3, |v - r'| = 9
    strict, peer = (pairing_gap(original, middle, pids, modalities, mode=mode) for mode in ("strict", "peer"))
    assert strict.item() == pytest.approx((9 - 3) / 2)  # halved: an image is at distance 0 of itself
    assert peer.item() == pytest.approx(strict.item(), abs=1e-3)


def test_pairing_gap_moves_the_wider_pairing_only():
    original, middle = (
        torch.tensor([[0.0], [3.0]], requires_grad=True),
        torch.tensor([[0.0], [9.0]], requires_grad=True),
    )
    pairing_gap(original, middle, torch.tensor([0, 0]), torch.tensor([V, R])).backward()
    assert original.grad.flatten().tolist() == [-0.5, 0]
    assert middle.grad.flatten().tolist() == [0, 0.5]


def test_pairing_gap_needs_two_images():
    with pytest.warns(UserWarning, match="the loss is 0: it needs an identity with two images"):
        assert pairing_gap(torch.randn(2, 3), torch.randn(2, 3), torch.tensor([0, 1]), torch.tensor([V, R])) == 0
