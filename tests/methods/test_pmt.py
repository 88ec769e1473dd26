"""What is particular to PMT."""

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional as F

from vireid import config as configuration
from vireid.costs.macs import count_macs
from vireid.errors import InputError
from vireid.losses.discriminative_center import discriminative_center_loss
from vireid.losses.shared_enhancement import modality_shared_enhancement_loss
from vireid.losses.triplet import triplet_loss
from vireid.methods import pmt
from vireid.models.gray import to_gray
from vireid.sample import Batch, Modality

IDENTITIES = 3
PIDS = torch.tensor([0, 0, 1, 1, 2, 2] * 2)
MODALITIES = torch.tensor([Modality.VISIBLE] * 6 + [Modality.INFRARED] * 6)
BATCH = Batch(torch.randn(12, 3, 64, 32, generator=torch.Generator().manual_seed(0)), PIDS, MODALITIES)
VISIBLE = MODALITIES == Modality.VISIBLE


def small(epoch=0, **options):
    """On the tiny ViT, in an epoch of 4, the first 2 of which are grey; same seed, same weights."""
    torch.manual_seed(0)
    options = {"backbone": "test_vit", "weights": "none", "grid": (5, 2), "progressive_epochs": 2} | options
    method = pmt.build(pmt.Config(**{"dropout": 0, "drop_path": 0} | options), IDENTITIES).train()
    method.start_epoch(epoch, 4)
    return method


@pytest.mark.parametrize(
    ("progressive_epochs", "stages"),
    [(2, ["gray", "gray", "rgb", "rgb"]), (0, ["rgb"] * 4), (4, ["gray"] * 4), (9, ["gray"] * 4)],
)
def test_stages(progressive_epochs, stages):
    method = small(progressive_epochs=progressive_epochs)
    assert [method.start_epoch(epoch, 4) for epoch in range(4)] == stages
    assert method.start_epoch(0, 4) == stages[0]


def seen(method):
    """The images that the backbone gets in training, and the features it makes of them."""
    calls = []
    hook = method.backbone.register_forward_hook(lambda _, inputs, tokens: calls.append((inputs[0], tokens[:, 0])))
    losses = method(BATCH)
    hook.remove()
    return losses, *calls[0]


def identity_by_hand(method, features):
    """The sum over the modalities of the mean cross-entropy after a BatchNorm over all images."""
    normed = (features - features.mean(0)) / (features.var(0, unbiased=False) + 1e-5).sqrt()
    log_probabilities = (normed @ method.neck.classifier.weight.T).log_softmax(1)
    own = -log_probabilities[torch.arange(12), PIDS]
    return (own[:6].mean() + own[6:].mean()).item()


def test_the_gray_stage_by_hand():
    """Grey visible images, infrared ones as they are; triplets of each modality alone."""
    method = small(epoch=1, loss={"identity": 2.0, "triplet": 3.0}, margin=0.4)
    with torch.no_grad():
        losses, images, features = seen(method)
        triplets = [triplet_loss(features[half], PIDS[half], margin=0.4).item() for half in (VISIBLE, ~VISIBLE)]
        identity = identity_by_hand(method, features)
    assert torch.equal(images, to_gray(BATCH.images, VISIBLE))
    assert not torch.equal(images[:6], BATCH.images[:6])
    assert torch.equal(images[6:], BATCH.images[6:])
    expected = {"identity": 2 * identity, "triplet": 3 * sum(triplets)}
    assert {name: loss.item() for name, loss in losses.items()} == pytest.approx(expected, rel=1e-4)


def test_the_rgb_stage_by_hand():
    """Images as they are; triplets across the modalities, MSEL and DCL, all before the neck."""
    method = small(epoch=2, margin=0.4)
    with torch.no_grad():
        losses, images, features = seen(method)
        expected = {
            "identity": identity_by_hand(method, features),
            "triplet": triplet_loss(features, PIDS, margin=0.4).item(),
            "shared_enhancement": 0.5 * modality_shared_enhancement_loss(features, PIDS, MODALITIES).item(),
            "discriminative_center": 0.5 * discriminative_center_loss(features, PIDS).item(),
        }
    assert torch.equal(images, BATCH.images)
    assert {name: loss.item() for name, loss in losses.items()} == pytest.approx(expected, rel=1e-4)


def test_a_triplet_across_the_modalities_counts_after_the_gray_stage_only():
    """An infrared image far from the rest changes no triplet of visible images in the gray stage."""
    for epoch, intra in ((0, True), (3, False)):
        method = small(epoch=epoch)
        _, _, features = seen(method)
        loss = method(BATCH)["triplet"]
        visible = triplet_loss(features[:6], PIDS[:6], margin=0.1) + triplet_loss(features[6:], PIDS[6:], margin=0.1)
        assert (loss.item() == pytest.approx(visible.item(), rel=1e-5)) == intra


def test_a_factor_of_0_leaves_a_loss_out():
    everything = {"identity", "triplet", "shared_enhancement", "discriminative_center"}
    for name in everything - {"identity"}:
        assert set(small(epoch=3, loss={name: 0})(BATCH)) == everything - {name}
    assert set(small(loss={"triplet": 0})(BATCH)) == {"identity"}


def test_the_embedding_is_the_class_token_after_the_neck_whatever_the_stage():
    method = small().eval()
    method.neck.bn.body.running_mean.uniform_(-1, 1)
    with torch.no_grad():
        embeddings = method.embed(BATCH.images, MODALITIES)
        features = method.backbone(BATCH.images)[:, 0]
        method.start_epoch(3, 4)
        assert torch.equal(method.embed(BATCH.images, MODALITIES), embeddings)
    torch.testing.assert_close(embeddings, F.normalize(features - method.neck.bn.body.running_mean))


def test_patches_and_blocks_learn_at_their_own_rate():
    method = small(trunk_lr_scale=0.25)
    trunk, new = method.parameter_groups()
    assert (trunk["lr_scale"], new["lr_scale"]) == (0.25, 1.0)
    names = {id(p): name for name, p in method.named_parameters()}
    assert {names[id(p)].split(".")[1] for p in trunk["params"]} == {"patch_embed", "blocks"}
    assert {names[id(p)] for p in new["params"]} == {
        *("backbone.cls_token", "backbone.pos_embed", "backbone.norm.weight", "backbone.norm.bias"),
        *("neck.bn.body.weight", "neck.classifier.weight"),
    }


def test_published_cost_with_395_identities():
    with torch.device("meta"):
        method = pmt.build(pmt.Config(weights="none"), 395)
    assert sum(p.numel() for p in method.backbone.parameters()) / 1e6 == pytest.approx(85.8, abs=0.05)
    assert sum(p.numel() for p in method.parameters()) / 1e6 == pytest.approx(86.1, abs=0.05)
    tokens, width = 1 + 21 * 10, 768
    blocks = 12 * (12 * tokens * width**2 + 2 * tokens**2 * width)
    by_hand = 210 * 16 * 16 * 3 * width + blocks
    assert by_hand / 1e9 == pytest.approx(18.9, abs=0.05)
    assert count_macs(method, 256, 128) == 2 * (by_hand + 2 * width)  # the last is the neck


@pytest.mark.parametrize(
    "options",
    [{"strides": 2}, {"stride": 0}, {"progressive_epochs": -1}, {"dropout": 1.0}, {"loss": {"identity": 0}}],
)
def test_bad_options_are_refused(options):
    with pytest.raises(ValidationError):
        pmt.Config(**options)


def test_a_resnet_is_refused():
    with pytest.raises(InputError, match="unknown backbone 'resnet50', expected a plain ViT"):
        small(backbone="resnet50")


@pytest.mark.parametrize(("data", "epochs"), [("sysu_mm01", 24), ("regdb", 36), ("llcm", 24)])
def test_the_shipped_settings_are_the_published_ones(data, epochs):
    experiment = configuration.load(Path(__file__).parents[2] / f"configs/pmt_{data}.yaml")
    train, images = experiment.train, experiment.images
    assert experiment.method.options == pmt.Config()
    assert (images.height, images.width, images.augment.pad, images.augment.erase) == (256, 128, 0, 0.5)
    assert (train.identities, train.images_per_modality, train.epochs) == (8, 4, epochs)
    assert (train.optimizer.name, train.optimizer.lr, train.optimizer.weight_decay) == ("adamw", 3e-4, 1e-4)
    assert (train.schedule.name, train.schedule.warmup_epochs, train.schedule.floor) == ("cosine", 3, 0.01)
