"""What every metric loss must survive."""

from functools import partial

import pytest
import torch

from vireid.losses.center_alignment import center_alignment_loss
from vireid.losses.contrastive import cross_modality_contrastive_loss
from vireid.losses.discriminative_center import discriminative_center_loss
from vireid.losses.gaussian_consistency import distribution_consistency_loss
from vireid.losses.hetero_center import hetero_center_triplet_loss
from vireid.losses.identity import cosine_logits, identity_loss
from vireid.losses.middle_modality import mean_over_pairings, middle_consistency_loss
from vireid.losses.scale_alignment import scale_alignment_loss
from vireid.losses.shared_enhancement import modality_shared_enhancement_loss
from vireid.losses.triplet import triplet_loss
from vireid.losses.weighted_triplet import weighted_triplet_loss

CONSISTENCY = {  # of distributions: one identity is enough to compare
    "klg": distribution_consistency_loss,
    "klg_identity": partial(distribution_consistency_loss, scope="identity"),
    "w2g": partial(distribution_consistency_loss, kind="w2g"),
    "mmd": partial(distribution_consistency_loss, kind="mmd"),
    "mmd_identity": partial(distribution_consistency_loss, kind="mmd", scope="identity"),
    "coral": partial(distribution_consistency_loss, kind="coral"),
    "middle": middle_consistency_loss,
    "scale_alignment": lambda x, *rest: scale_alignment_loss(x[:, None], *rest),
}
ENHANCEMENT = {  # one identity is enough, with two images in one of its modalities
    "shared_enhancement": modality_shared_enhancement_loss,
    "shared_enhancement_cosine": partial(modality_shared_enhancement_loss, distance="cosine"),
    "shared_enhancement_center": partial(modality_shared_enhancement_loss, distance="center"),
}
LOSSES = {
    **CONSISTENCY,
    **ENHANCEMENT,
    "triplet": lambda x, pids, modalities: triplet_loss(x, pids),
    "triplet_peer": lambda x, pids, modalities: triplet_loss(x, pids, mode="peer"),
    "weighted_triplet": lambda x, pids, modalities: weighted_triplet_loss(x, pids),
    "weighted_triplet_peer": lambda x, pids, modalities: weighted_triplet_loss(x, pids, mode="peer"),
    "hetero_center": lambda *rows: hetero_center_triplet_loss(*rows, margin=3.0),
    "center_alignment": lambda *rows: center_alignment_loss(*rows, margin=3.0),
    "contrastive": cross_modality_contrastive_loss,
    "discriminative_center": lambda x, pids, modalities: discriminative_center_loss(x, pids),
    "over_pairings": lambda x, *rest: mean_over_pairings(hetero_center_triplet_loss, x, x.flip(1), *rest),
}
every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())


def batch(identities, images, dim=6, dtype=torch.float32):
    generator = torch.Generator().manual_seed(4)
    pids = torch.arange(identities).repeat_interleave(images).repeat(2)
    modalities = torch.arange(2).repeat_interleave(identities * images)
    x = torch.randn(len(pids), dim, generator=generator, dtype=dtype, requires_grad=True)
    return x, pids, modalities


def value_and_gradient(loss, x, pids, modalities):
    value = loss(x, pids, modalities)
    (gradient,) = torch.autograd.grad(value, x)
    return value, gradient


def visible_half(loss, x, pids, modalities):
    half = len(x) // 2
    return value_and_gradient(lambda x, *rest: loss(x[:half], pids[:half], modalities[:half]), x, None, None)


@pytest.mark.filterwarnings("ignore:the loss is 0")
@pytest.mark.parametrize("name", LOSSES)
def test_two_identities_of_one_image_per_modality(name):
    value, gradient = value_and_gradient(LOSSES[name], *batch(2, 1))
    assert value.isfinite()
    assert gradient.isfinite().all()
    assert (gradient.abs().sum() > 0) == (name not in ENHANCEMENT)


@pytest.mark.filterwarnings("ignore:the loss is 0")
@every_loss
@pytest.mark.parametrize("images", [1, 3])
def test_one_modality_absent(loss, images):
    x, pids, modalities = batch(2, images)
    value, gradient = visible_half(loss, x, pids, modalities)
    assert value.isfinite()
    assert gradient.isfinite().all()


@pytest.mark.parametrize("name", ["triplet", "weighted_triplet", "hetero_center", "klg", "mmd_identity", *ENHANCEMENT])
def test_nothing_to_compare_is_a_zero_in_the_graph_with_a_warning(name):
    x, pids, modalities = batch(2, 1)
    with pytest.warns(UserWarning, match="the loss is 0"):
        value, gradient = visible_half(LOSSES[name], x, pids, modalities)
    assert value == 0
    assert (gradient == 0).all()


@pytest.mark.parametrize("name", [name for name in LOSSES if name not in CONSISTENCY | ENHANCEMENT])
def test_one_identity_only(name):
    loss = LOSSES[name]
    x, _, modalities = batch(2, 2)
    with pytest.warns(UserWarning, match="the loss is 0"):
        value, _ = value_and_gradient(loss, x, torch.zeros(len(x), dtype=torch.int64), modalities)
    assert value == 0


@every_loss
def test_duplicated_images(loss):
    x, pids, modalities = batch(3, 2)
    rows = [
        0,
        0,
        2,
        2,
        2,
        2,
        0,
        7,
        8,
        8,
        2,
        2,
    ]  # equal rows within an identity, across identities and modalities
    value, gradient = value_and_gradient(lambda x, *rest: loss(x[rows], *rest), x, pids, modalities)
    assert value.isfinite()
    assert gradient.isfinite().all()


@every_loss
def test_all_embeddings_equal(loss):
    x, pids, modalities = batch(3, 2)
    value, gradient = value_and_gradient(lambda x, *rest: loss(x * 0 + 1, *rest), x, pids, modalities)
    assert value.isfinite()
    assert gradient.isfinite().all()


@every_loss
def test_large_distances(loss):
    x, pids, modalities = batch(3, 2)
    value, gradient = value_and_gradient(lambda x, *rest: loss(1e4 * x, *rest), x, pids, modalities)
    assert value.isfinite()
    assert gradient.isfinite().all()


@every_loss
def test_order_of_the_batch_does_not_matter(loss):
    x, pids, modalities = batch(3, 3, dtype=torch.float64)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    shuffled = loss(x[order], pids[order], modalities[order])
    torch.testing.assert_close(shuffled, loss(x, pids, modalities))


@pytest.mark.parametrize("name", [name for name in LOSSES if "mmd" not in name])  # its bandwidth is held constant
def test_gradient_is_that_of_the_value(name):
    loss = LOSSES[name]
    x, pids, modalities = batch(3, 2, dim=3, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: loss(x, pids, modalities), x)


@every_loss
def test_float32_under_autocast(loss):
    x, pids, modalities = batch(3, 2)
    half = x.detach().bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(half, pids, modalities)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, loss(half.float(), pids, modalities), rtol=0, atol=0)


def test_identity_losses_are_float32_under_autocast():
    x, pids, _ = batch(3, 2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert identity_loss(x.bfloat16(), pids).dtype == torch.float32
        assert cosine_logits(x.bfloat16(), x[:3], pids).dtype == torch.float32
