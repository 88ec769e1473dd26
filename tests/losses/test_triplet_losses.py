"""Hand-worked numbers and slow references of the triplet losses."""

import math

import pytest
import torch

from vireid.losses.hetero_center import hetero_center_triplet_loss, modality_centers
from vireid.losses.triplet import triplet_loss
from vireid.losses.weighted_triplet import weighted_triplet_loss


def batch(seed=0, identities=3, images=4, dim=5):
    """Shuffled rows: identities with `images` images per modality."""
    generator = torch.Generator().manual_seed(seed)
    pids = torch.arange(identities).repeat_interleave(images).repeat(2)
    modalities = torch.arange(2).repeat_interleave(identities * images)
    order = torch.randperm(len(pids), generator=generator)
    rows = torch.randn(len(pids), dim, generator=generator, dtype=torch.float64)
    return rows, pids[order], modalities[order]


def distance(a, b):
    return math.dist(a.tolist(), b.tolist())


def test_batch_hard_by_hand():
    x = torch.tensor([[0.0], [1.0], [3.0], [3.5]])
    pids = torch.tensor([5, 5, 7, 7])
    # Anchor 0: 1 - 3; 1: 1 - 2; 3: 0.5 - 2; 3.5: 0.5 - 2.5. With margin 1.2 only anchor 1 is active.
    assert triplet_loss(x, pids, margin=1.2).item() == pytest.approx(0.2 / 4, abs=1e-6)


def test_batch_hard_slow_reference():
    x, pids, _ = batch()
    hinges = []
    for a in range(len(x)):
        others = [b for b in range(len(x)) if b != a]
        positive = max(distance(x[a], x[b]) for b in others if pids[b] == pids[a])
        negative = min(distance(x[a], x[b]) for b in others if pids[b] != pids[a])
        hinges.append(max(0.0, 0.3 + positive - negative))
    assert triplet_loss(x, pids).item() == pytest.approx(sum(hinges) / len(hinges), rel=1e-12)


def test_random_triplets_by_hand():
    x = torch.tensor([[0.0], [1.0], [5.0], [9.0]])
    pids = torch.tensor([1, 1, 2, 2])
    # Each anchor has one positive (distances 1, 1, 4, 4) and one of two negatives: 16 equally likely batches.
    negatives = [(5, 9), (4, 8), (5, 4), (9, 8)]
    means = {
        round(
            sum(max(0, 4 + p - n[k >> i & 1]) for i, (p, n) in enumerate(zip((1, 1, 4, 4), negatives, strict=True)))
            / 4,
            6,
        )
        for k in range(16)
    }
    torch.manual_seed(0)
    drawn = {round(triplet_loss(x, pids, margin=4.0, mining="random").item(), 6) for _ in range(200)}
    assert drawn == means
    hard = triplet_loss(x, pids, margin=4.0).item()
    assert hard == pytest.approx(max(means))


def test_an_anchor_without_a_positive_is_left_out_unless_peer():
    x = torch.tensor([[0.0], [1.0], [3.0]])
    pids = torch.tensor([5, 5, 7])
    assert triplet_loss(x, pids, margin=2.0).item() == pytest.approx((0.0 + 1.0) / 2)
    # The lone image is its own positive at distance 0: 2 + 0 - 2 = 0.
    assert triplet_loss(x, pids, margin=2.0, mode="peer").item() == pytest.approx((0.0 + 1.0 + 0.0) / 3)


def test_weighted_triplet_by_hand():
    x = torch.tensor([[0.0], [2.0]], dtype=torch.float64)
    pids = torch.tensor([1, 1])
    x = torch.cat([x, torch.tensor([[5.0], [5.0]], dtype=torch.float64)])
    pids = torch.cat([pids, torch.tensor([2, 2])])
    near = math.exp(2) / (1 + math.exp(2)) * 2  # own distance 0 and 2, weighted by their softmax
    first = math.log1p(math.exp(near - 5))
    second = math.log1p(math.exp(near - 3))
    # The pair at 5 coincides: positives at 0; negatives at 5 and 3, weighted by the softmax of -5 and -3.
    far = (5 * math.exp(-5) + 3 * math.exp(-3)) / (math.exp(-5) + math.exp(-3))
    third = math.log1p(math.exp(-far))
    expected = (first + second + 2 * third) / 4
    assert weighted_triplet_loss(x, pids).item() == pytest.approx(expected, rel=1e-12)


def test_weighted_triplet_slow_reference():
    x, pids, _ = batch()
    losses = []
    for a in range(len(x)):
        positive = [distance(x[a], x[b]) for b in range(len(x)) if pids[b] == pids[a]]
        negative = [distance(x[a], x[b]) for b in range(len(x)) if pids[b] != pids[a]]
        far = sum(d * math.exp(d) for d in positive) / sum(math.exp(d) for d in positive)
        close = sum(d * math.exp(-d) for d in negative) / sum(math.exp(-d) for d in negative)
        losses.append(math.log1p(math.exp(far - close)))
    assert weighted_triplet_loss(x, pids).item() == pytest.approx(sum(losses) / len(losses), rel=1e-12)


def test_weighted_triplet_sees_negatives_at_large_distances_where_peer_does_not():
    x, pids, _ = batch()
    x = 100 * x
    stable, peer = weighted_triplet_loss(x, pids), weighted_triplet_loss(x, pids, mode="peer")
    positive = torch.stack([torch.cdist(x, x)[a][pids == pids[a]].max() for a in range(len(x))]).mean()
    assert peer == pytest.approx(positive.item(), rel=1e-3)
    assert stable < peer - 50


def test_hetero_center_by_hand():
    # Centres: identity 0 at 0 (visible) and 1 (infrared), identity 1 at 1.5 (visible) and 4 (infrared).
    x = torch.tensor([[-1.0], [1.0], [1.5], [1.0], [3.0], [5.0]])
    pids = torch.tensor([0, 0, 1, 0, 1, 1])
    modalities = torch.tensor([0, 0, 0, 1, 1, 1])
    # Hinges: 0.3 + 1 - 1.5 -> 0; 0.3 + 1 - 0.5 = 0.8; 0.3 + 2.5 - 0.5 = 2.3; 0.3 + 2.5 - 3 -> 0.
    loss = hetero_center_triplet_loss(x, pids, modalities)
    assert loss.item() == pytest.approx((0.8 + 2.3) / 4, abs=1e-6)


@pytest.mark.parametrize("order", [0, 1])
def test_hetero_center_is_the_equation_of_its_paper(order):
    """Eq. 6 of DFW-SLN: both modalities' centres of every identity as anchors, centres of all others as negatives."""
    x, pids, modalities = batch(seed=order)
    center = {(i, m): x[(pids == i) & (modalities == m)].mean(0) for i in range(3) for m in range(2)}
    total = 0.0
    for i in range(3):
        for m in range(2):
            positive = distance(center[i, m], center[i, 1 - m])
            negative = min(distance(center[i, m], center[j, n]) for j in range(3) if j != i for n in range(2))
            total += max(0.0, 0.8 + positive - negative)
    summed = hetero_center_triplet_loss(x, pids, modalities, margin=0.8, reduction="sum")
    assert total > 0
    assert summed.item() == pytest.approx(total, rel=1e-12)
    assert hetero_center_triplet_loss(x, pids, modalities, margin=0.8).item() == pytest.approx(total / 6, rel=1e-12)


def test_hetero_center_slow_reference_on_unequal_groups():
    x, pids, modalities = (rows[:-3] for rows in batch(seed=3))
    groups = sorted({(int(p), int(m)) for p, m in zip(pids, modalities, strict=True)})
    centers = {g: x[(pids == g[0]) & (modalities == g[1])].mean(0) for g in groups}
    hinges = []
    for pid, modality in groups:
        positive = distance(centers[pid, modality], centers[pid, 1 - modality])
        negative = min(distance(centers[pid, modality], centers[g]) for g in groups if g[0] != pid)
        hinges.append(max(0.0, 0.9 + positive - negative))
    loss = hetero_center_triplet_loss(x, pids, modalities, margin=0.9)
    assert loss.item() == pytest.approx(sum(hinges) / len(hinges), rel=1e-12)
    stacked, center_pids = modality_centers(x, pids, modalities)
    assert center_pids.tolist() == [pid for pid, _ in groups]
    torch.testing.assert_close(stacked, torch.stack([centers[g] for g in groups]))


def test_an_identity_in_one_modality_is_a_negative_but_no_anchor():
    x = torch.tensor([[0.0], [1.0], [2.0]])
    pids, modalities = torch.tensor([0, 0, 1]), torch.tensor([0, 1, 0])
    # Hinges with margin 2: 2 + 1 - 2 = 1 and 2 + 1 - 1 = 2.
    assert hetero_center_triplet_loss(x, pids, modalities, margin=2.0).item() == pytest.approx(1.5)
