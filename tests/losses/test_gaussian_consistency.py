"""The distribution consistency losses: KLG, W2G, MMD and CORAL."""

import math

import pytest
import torch
from pydantic import ValidationError

from vireid.losses.gaussian_consistency import VARIANCE_FLOOR, ConsistencyConfig, distribution_consistency_loss

VISIBLE, INFRARED = 0, 1
KINDS = ["klg", "w2g", "mmd", "coral"]
every_kind = pytest.mark.parametrize("kind", KINDS)
gaussian = pytest.mark.parametrize("kind", ["klg", "w2g"])
every_scope = pytest.mark.parametrize("scope", ["modality", "identity"])

# One dimension: visible 1 and 3 (mean 2, variance 1), infrared -2 and 2 (mean 0, variance 4).
HAND = torch.tensor([[1.0], [3.0], [-2.0], [2.0]], dtype=torch.float64)
# Squared distances: visible 4, infrared 16, across 9, 1, 25, 1; their mean over the 12 ordered pairs: 112 / 12.
SCALE = 112 / 12
KERNEL = {square: sum(math.exp(-square / (2.0**i * SCALE)) for i in range(-2, 3)) for square in (0, 1, 4, 9, 16, 25)}
BY_HAND = {
    "klg": (1 / 4 + 4 - 2 + 4 * (1 + 1 / 4)) / 4,
    "w2g": 4 + 1,
    "mmd": (2 * 5 + 2 * KERNEL[4]) / 4
    + (2 * 5 + 2 * KERNEL[16]) / 4
    - 2 * (KERNEL[9] + 2 * KERNEL[1] + KERNEL[25]) / 4,
    "coral": 9 / 4,
}


def sample(seed=0, identities=3, images=4, dim=5):
    """Two modalities of different means and variances."""
    generator = torch.Generator().manual_seed(seed)
    pids = torch.arange(identities).repeat_interleave(images).repeat(2)
    modalities = torch.arange(2).repeat_interleave(identities * images)
    rows = torch.randn(len(pids), dim, generator=generator, dtype=torch.float64)
    return rows * (1 + 0.5 * modalities[:, None]) + 0.3 * modalities[:, None], pids, modalities


@every_kind
@every_scope
def test_by_hand(kind, scope):
    """With a single identity both scopes are the same."""
    modalities = torch.tensor([VISIBLE, VISIBLE, INFRARED, INFRARED])
    loss = distribution_consistency_loss(HAND, torch.zeros(4, dtype=torch.int64), modalities, kind=kind, scope=scope)
    assert loss.item() == pytest.approx(BY_HAND[kind], rel=1e-12)


@pytest.mark.parametrize("kind", ["klg", "w2g", "coral"])
def test_two_identities_by_hand(kind):
    # Means -1, 1 against 0, 4, deviations +-1 against +-2: the gaps squared are 1 and 9, the variances 1 and 4.
    rows = torch.tensor([[-2.0], [0.0], [0.0], [2.0], [-2.0], [2.0], [2.0], [6.0]])
    pids, modalities = torch.tensor([3, 3, 8, 8] * 2), torch.tensor([VISIBLE] * 4 + [INFRARED] * 4)
    expected = {"klg": (9 / 4 + (1 + 9) / 2 * (5 / 4)) / 4, "w2g": 5 + 1, "coral": 9 / 4}
    loss = distribution_consistency_loss(rows, pids, modalities, kind=kind, scope="identity")
    assert loss.item() == pytest.approx(expected[kind], rel=1e-6)


def slow_reference(rows, pids, modalities, kind, scope):
    groups = pids.tolist() if scope == "identity" else [0] * len(pids)
    sides = [[i for i in range(len(rows)) if modalities[i] == m] for m in (VISIBLE, INFRARED)]
    members = {g: [[i for i in side if groups[i] == g] for side in sides] for g in set(groups)}
    members = {g: pair for g, pair in members.items() if all(pair)}
    if kind == "mmd":
        return sum(slow_mmd(rows[v], rows[r]) for v, r in members.values()) / len(members)
    means = {g: [rows[side].mean(0) for side in pair] for g, pair in members.items()}
    inside = [torch.stack([rows[i] - means[g][m] for g in members for i in members[g][m]]) for m in (0, 1)]
    covariances = [sum(torch.outer(row, row) for row in side) / len(side) for side in inside]
    if kind == "coral":
        return ((covariances[0] - covariances[1]) ** 2).sum().item() / (4 * rows.shape[1] ** 2)
    variances = [[max(x, VARIANCE_FLOOR) for x in covariance.diag().tolist()] for covariance in covariances]
    total = 0.0
    for u, v in means.values():
        for d, (s, t) in enumerate(zip(*variances, strict=True)):
            gap = (u[d] - v[d]).item() ** 2
            total += gap + (s**0.5 - t**0.5) ** 2 if kind == "w2g" else (s / t + t / s - 2 + gap * (1 / s + 1 / t)) / 4
    return total / len(means) / rows.shape[1]


def slow_mmd(x, y):
    rows = torch.cat([x, y])
    n = len(rows)
    scale = sum(((a - b) ** 2).sum().item() for a in rows for b in rows) / (n * n - n)

    def kernel(a, b):
        return sum(math.exp(-((a - b) ** 2).sum().item() / (scale * 2.0**i)) for i in range(-2, 3))

    def mean(p, q):
        return sum(kernel(a, b) for a in p for b in q) / len(p) / len(q)

    return mean(x, x) + mean(y, y) - 2 * mean(x, y)


@every_kind
@every_scope
@pytest.mark.parametrize("seed", range(3))
def test_against_a_slow_reference(kind, scope, seed):
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(20, 4, generator=generator, dtype=torch.float64)
    pids = torch.randint(6, (20,), generator=generator)
    modalities = torch.randint(2, (20,), generator=generator)
    loss = distribution_consistency_loss(rows, pids, modalities, kind=kind, scope=scope)
    assert loss.item() == pytest.approx(slow_reference(rows, pids, modalities, kind, scope), rel=1e-9)


@every_kind
@every_scope
def test_zero_for_the_same_distribution_and_above_otherwise(kind, scope):
    rows, pids, modalities = sample()
    half = len(rows) // 2
    same = torch.cat([rows[:half], rows[:half]])
    assert distribution_consistency_loss(same, pids, modalities, kind=kind, scope=scope).item() == pytest.approx(0)
    assert distribution_consistency_loss(rows, pids, modalities, kind=kind, scope=scope) > 0.01


@gaussian
def test_zero_means_equal_means_and_variances_and_nothing_else(kind):
    """Other samples with the same two moments cost nothing; a change of either moment does."""
    pids, modalities = torch.zeros(6, dtype=torch.int64), torch.tensor([VISIBLE] * 2 + [INFRARED] * 4)
    rows = torch.tensor([[-1.0], [1.0], [-(2**0.5)], [2**0.5], [0.0], [0.0]])
    assert distribution_consistency_loss(rows, pids, modalities, kind=kind).item() == pytest.approx(0, abs=1e-12)
    infrared = (modalities == INFRARED)[:, None]
    for other in (rows + 0.1 * infrared, rows * (1 + 0.1 * infrared)):
        assert distribution_consistency_loss(other, pids, modalities, kind=kind) > 1e-3


@every_kind
@every_scope
def test_symmetric_in_the_modalities(kind, scope):
    rows, pids, modalities = sample()
    loss = distribution_consistency_loss(rows, pids, modalities, kind=kind, scope=scope)
    swapped = distribution_consistency_loss(rows, pids, 1 - modalities, kind=kind, scope=scope)
    assert loss.item() == pytest.approx(swapped.item(), rel=1e-12)


@every_kind
def test_order_inside_a_modality_does_not_matter_but_who_is_in_it_does(kind):
    rows, pids, modalities = sample()
    loss = distribution_consistency_loss(rows, pids, modalities, kind=kind)
    half = len(rows) // 2
    inside = torch.cat([torch.randperm(half, generator=torch.Generator().manual_seed(1)), torch.arange(half, 2 * half)])
    same = distribution_consistency_loss(rows[inside], pids, modalities, kind=kind)
    assert same.item() == pytest.approx(loss.item(), rel=1e-9)
    across = torch.arange(2 * half)
    across[[0, half]] = across[[half, 0]]
    other = distribution_consistency_loss(rows[across], pids, modalities, kind=kind)
    assert abs(other.item() - loss.item()) > 1e-4


@every_scope
@pytest.mark.parametrize("shift", [0.5, -3.0])
def test_w2g_of_a_shifted_copy_is_the_shift_squared(scope, shift):
    rows, pids, modalities = sample()
    half = len(rows) // 2
    shifted = torch.cat([rows[:half], rows[:half] + shift])
    loss = distribution_consistency_loss(shifted, pids, modalities, kind="w2g", scope=scope)
    assert loss.item() == pytest.approx(shift**2, rel=1e-9)


def test_klg_does_not_depend_on_the_scale():
    rows, pids, modalities = sample()
    loss, larger = (distribution_consistency_loss(scale * rows, pids, modalities) for scale in (1, 7))
    assert larger.item() == pytest.approx(loss.item(), rel=1e-9)


@every_kind
@every_scope
def test_a_variance_of_zero_is_finite(kind, scope):
    rows, pids, modalities = sample()
    rows[:, 0] = 0.0  # in both modalities
    rows[modalities == INFRARED, 1] = 2.0  # in one
    rows.requires_grad_()
    loss = distribution_consistency_loss(rows, pids, modalities, kind=kind, scope=scope)
    (gradient,) = torch.autograd.grad(loss, rows)
    assert loss.isfinite()
    assert gradient.isfinite().all()


def test_variances_below_the_floor_are_the_floor():
    rows = torch.tensor([[0.0], [0.0], [0.1], [0.1]])
    loss = distribution_consistency_loss(rows, torch.zeros(4, dtype=torch.int64), torch.tensor([0, 0, 1, 1]))
    assert loss.item() == pytest.approx(0.01 * 2 / VARIANCE_FLOOR / 4, rel=1e-5)


def test_the_margin_of_mmd_is_a_hinge():
    rows, pids, modalities = sample()
    plain = distribution_consistency_loss(rows, pids, modalities, kind="mmd").item()
    less = distribution_consistency_loss(rows, pids, modalities, kind="mmd", margin=plain / 3).item()
    assert less == pytest.approx(plain * 2 / 3, rel=1e-9)
    assert distribution_consistency_loss(rows, pids, modalities, kind="mmd", margin=2 * plain) == 0


@every_kind
def test_identities_without_both_modalities_are_left_out(kind):
    rows, pids, modalities = sample()
    paired = distribution_consistency_loss(rows, pids, modalities, kind=kind, scope="identity")
    more = torch.cat([rows, 9 * rows[:4]])
    pids, modalities = (
        torch.cat([pids, torch.tensor([7, 7, 8, 8])]),
        torch.cat([modalities, torch.tensor([0, 0, 1, 1])]),
    )
    loss = distribution_consistency_loss(more, pids, modalities, kind=kind, scope="identity")
    assert loss.item() == pytest.approx(paired.item(), rel=1e-12)


@every_kind
@every_scope
def test_an_absent_modality_is_zero_with_a_warning(kind, scope):
    rows, pids, _ = sample()
    rows.requires_grad_()
    with pytest.warns(UserWarning, match="the loss is 0"):
        loss = distribution_consistency_loss(rows, pids, torch.full_like(pids, INFRARED), kind=kind, scope=scope)
    loss.backward()
    assert loss == 0
    assert (rows.grad == 0).all()


@every_kind
def test_no_identity_in_both_modalities_is_zero_with_a_warning(kind):
    rows, pids, modalities = sample()
    with pytest.warns(UserWarning, match="of an identity in both modalities"):
        assert distribution_consistency_loss(rows, pids + 10 * modalities, modalities, kind=kind, scope="identity") == 0


def test_the_weight_ramps_up_and_is_never_zero():
    config = ConsistencyConfig(weight=0.2, ramp_epochs=4)
    assert [config.factor(epoch) for epoch in (0, 1, 3, 4, 100)] == pytest.approx([0.05, 0.1, 0.2, 0.2, 0.2])
    assert ConsistencyConfig(weight=0.2, ramp_epochs=0).factor(0) == 0.2
    assert ConsistencyConfig(weight=0).factor(3) == 0


@pytest.mark.parametrize("options", [{"kind": "kl"}, {"scope": "batch"}, {"weight": -1}, {"ramp_epochs": -1}, {"x": 1}])
def test_bad_options_are_refused(options):
    with pytest.raises(ValidationError):
        ConsistencyConfig(**options)
