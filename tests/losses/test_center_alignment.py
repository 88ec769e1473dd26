"""Hand-worked numbers, a slow reference and the properties of the centre alignment loss."""

import math
from itertools import combinations

import pytest
import torch

from vireid.losses.center_alignment import center_alignment_loss

ALONE = {name: {"alignment": 0.0, "cluster": 0.0, "push": 0.0, name: 1.0} for name in ("alignment", "cluster", "push")}


def batch(seed=0, identities=4, images=3, dim=5, scale=1.0):
    """Shuffled rows: identities with `images` images per modality."""
    generator = torch.Generator().manual_seed(seed)
    pids = torch.tensor([7, 2, 9, 4, 5])[:identities].repeat_interleave(images).repeat(2)
    modalities = torch.arange(2).repeat_interleave(identities * images)
    order = torch.randperm(len(pids), generator=generator)
    rows = scale * torch.randn(len(pids), dim, generator=generator, dtype=torch.float64)
    return rows, pids[order], modalities[order]


def at_centers(distance, spread=0.0, gap=0.0):
    """Four identities, two images per modality: centres `distance` apart along the first axis.

    The second axis parts the modalities by `gap`, the third two images of one modality by `spread`.
    """
    pids = torch.arange(4).repeat_interleave(4)
    modalities = torch.tensor([0, 0, 1, 1] * 4)
    half = torch.tensor([0.5, -0.5] * 8)
    rows = torch.stack([distance * pids, gap * modalities, spread * half], 1).double()
    return rows, pids, modalities


def test_by_hand():
    # Identity 0: visible 0 and 2 (centre 1), infrared 4 and 4 (centre 4), both 2.5. Identity 1: 3, 3, both 3.
    x = torch.tensor([[0.0], [2.0], [3.0], [4.0], [4.0], [3.0]])
    pids, modalities = torch.tensor([0, 0, 1, 0, 0, 1]), torch.tensor([0, 0, 0, 1, 1, 1])
    alignment = (3 + 0) / 2
    cluster = (2.5 + 0.5 + 0 + 1.5 + 1.5 + 0) / 6
    push = 0.7 - 0.5
    parts = [center_alignment_loss(x, pids, modalities, **ALONE[name]).item() for name in ALONE]
    assert parts == pytest.approx([alignment, cluster, push])
    assert center_alignment_loss(x, pids, modalities).item() == pytest.approx(alignment + cluster + push)
    weighted = center_alignment_loss(x, pids, modalities, margin=1.0, alignment=2.0, cluster=0.5, push=4.0)
    assert weighted.item() == pytest.approx(2 * alignment + 0.5 * cluster + 4 * 0.5)


@pytest.mark.parametrize("dropped", [0, 4])
def test_slow_reference(dropped):
    """Also on groups of unequal size."""
    x, pids, modalities = (rows[dropped:] for rows in batch(scale=0.4))
    identities = sorted(set(pids.tolist()))
    center = {i: x[pids == i].mean(0) for i in identities}
    half = {(i, m): x[(pids == i) & (modalities == m)].mean(0) for i in identities for m in (0, 1)}
    both = [i for i in identities if not (half[i, 0].isnan().any() or half[i, 1].isnan().any())]
    expected = sum(math.dist(half[i, 0], half[i, 1]) for i in both) / len(both)
    expected += sum(math.dist(row, center[int(pid)]) for row, pid in zip(x, pids, strict=True)) / len(x)
    hinges = [max(0.0, 0.7 - math.dist(center[i], center[j])) for i, j in combinations(identities, 2)]
    assert sum(hinges) > 0
    expected += sum(hinges) / len(hinges)
    assert center_alignment_loss(x, pids, modalities).item() == pytest.approx(expected, rel=1e-12)


def test_the_alignment_term_is_0_where_the_modalities_share_their_centres():
    assert center_alignment_loss(*at_centers(0.1, spread=3.0), **ALONE["alignment"]) == 0
    assert center_alignment_loss(*at_centers(0.1, gap=0.25), **ALONE["alignment"]).item() == pytest.approx(0.25)


def test_the_cluster_term_is_0_where_every_feature_is_its_centre():
    assert center_alignment_loss(*at_centers(0.1), **ALONE["cluster"]).item() == pytest.approx(0, abs=1e-12)
    assert center_alignment_loss(*at_centers(0.1, spread=2.0), **ALONE["cluster"]).item() == pytest.approx(1.0)


def test_the_push_term_is_0_where_all_centres_are_farther_apart_than_the_margin():
    assert center_alignment_loss(*at_centers(0.75, spread=5.0), **ALONE["push"]) == 0
    # Three pairs at 0.6, two at 1.2, one at 1.8.
    assert center_alignment_loss(*at_centers(0.6), **ALONE["push"]).item() == pytest.approx(3 * 0.1 / 6)


def test_it_is_0_exactly_where_all_three_terms_are():
    assert center_alignment_loss(*at_centers(0.75)) == 0
    for rows in (at_centers(0.5), at_centers(0.75, spread=0.1), at_centers(0.75, gap=0.1)):
        assert center_alignment_loss(*rows) > 0


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_the_batch_does_not_matter(seed):
    x, pids, modalities = batch(seed, scale=0.3)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    shuffled = center_alignment_loss(x[order], pids[order], modalities[order])
    assert shuffled.item() == pytest.approx(center_alignment_loss(x, pids, modalities).item(), rel=1e-12)


def test_an_identity_of_one_modality_is_clustered_and_pushed_but_not_aligned():
    x = torch.tensor([[0.0], [1.0], [0.6], [0.8]])
    pids, modalities = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 1, 1])
    parts = [center_alignment_loss(x, pids, modalities, **ALONE[name]).item() for name in ALONE]
    assert parts == pytest.approx([1.0, (0.5 + 0.5 + 0.1 + 0.1) / 4, 0.7 - 0.2])


@pytest.mark.parametrize("case", ["one modality", "one identity", "no identity in both"])
def test_nothing_to_compare_is_a_0_with_a_warning(case):
    x, pids, modalities = batch(identities=2)
    if case == "one modality":
        modalities = torch.ones_like(modalities)
    elif case == "one identity":
        pids = torch.zeros_like(pids)
    else:
        modalities = (pids == 7).long()
    x.requires_grad_()
    with pytest.warns(UserWarning, match="the loss is 0: it needs two identities, one of them in both modalities"):
        loss = center_alignment_loss(x, pids, modalities)
    loss.backward()
    assert loss == 0
    assert (x.grad == 0).all()


def test_the_gradient_at_distance_0_is_finite():
    x, pids, modalities = at_centers(0.0)
    x.requires_grad_()
    center_alignment_loss(x, pids, modalities).backward()
    assert (x.grad == 0).all()
