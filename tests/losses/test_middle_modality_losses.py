"""MMN's losses between images and middle images."""

import torch

from vireid.losses.hetero_center import hetero_center_triplet_loss
from vireid.losses.middle_modality import mean_over_pairings
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
