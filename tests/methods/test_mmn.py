"""What is particular to MMN."""

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional as F

from vireid import config as configuration
from vireid.costs.macs import count_macs
from vireid.costs.measure import embedding_parameters
from vireid.losses.middle_modality import middle_consistency_loss, pairing_gap
from vireid.losses.triplet import triplet_loss
from vireid.methods import mmn
from vireid.sample import Batch

BATCH = Batch(
    torch.randn(12, 3, 64, 32, generator=torch.Generator().manual_seed(0)),
    torch.tensor([0, 0, 1, 1, 2, 2] * 2),
    torch.tensor([0] * 6 + [1] * 6),
)
IDENTITIES = 3


def small(**options):
    """On ResNet-18, whose map has 4 rows for the batch's images; same seed, same weights."""
    torch.manual_seed(0)
    options = {"backbone": "resnet18", "weights": "none"} | options
    return mmn.build(mmn.Config(**options), IDENTITIES).train()


def trained(**options):
    """In eval mode, after a batch has moved the statistics and all features."""
    method = small(**options)
    with torch.no_grad():
        method(BATCH)
        for name, parameter in method.generator.named_parameters():
            parameter.add_(0.1 * torch.arange(parameter.numel()).view_as(parameter) + 0.05 * len(name))
    return method.eval()


def test_losses_by_hand():
    """Means over strips: cross-entropy of four kinds of rows, four triplet losses, the projected distance."""
    factors = {"identity": 2.0, "triplet": 0.5, "consistency": 3.0, "pairing_gap": 4.0}
    pids = BATCH.pids[:6]
    with torch.no_grad():
        losses = small(loss=factors, margin=0.4)(BATCH)
        method = small(loss=factors)
        visible, infrared = BATCH.images.split(6)
        middle_v, middle_r = method.generator(BATCH.images, BATCH.modalities).split(6)
        kinds = torch.cat([visible, middle_v, infrared, middle_r])  # the order of the authors' batch
        maps = method.backbone(kinds, torch.arange(2).repeat_interleave(12))
        expected = dict.fromkeys(factors, 0.0)
        for row, neck in enumerate(method.necks):
            pooled = maps[:, :, row].mean(2)
            unit = (pooled - pooled.mean(0)) / (pooled.var(0, unbiased=False) + 1e-5).sqrt()
            logits = unit @ neck.classifier.weight.T
            assert len(logits) == 4 * len(pids)
            expected["identity"] += 2 * F.cross_entropy(logits, pids.repeat(4)).item() / 4
            v, vm, r, rm = pooled.split(6)
            for a, b in ((v, r), (v, rm), (vm, r), (vm, rm)):
                loss = triplet_loss(torch.cat([a, b]), pids.repeat(2), margin=0.4).item()
                expected["triplet"] += 0.5 * loss / 16
            projected = method.projection(torch.cat([vm, rm]))
            expected["consistency"] += 3 * middle_consistency_loss(projected, BATCH.pids, BATCH.modalities).item() / 4
            views = torch.cat([v, r]), torch.cat([vm, rm])
            expected["pairing_gap"] += 4 * pairing_gap(*views, BATCH.pids, BATCH.modalities).item() / 4
    assert {name: loss.item() for name, loss in losses.items()} == pytest.approx(expected, rel=1e-3)


def test_a_factor_of_0_leaves_a_loss_out():
    assert set(small()(BATCH)) == {"identity", "triplet", "consistency"}
    method = small(loss={"triplet": 0, "consistency": 0})
    assert set(method(BATCH)) == {"identity"}
    assert method.projection is None


def views_of(method):
    """Embeddings of the images and of their middle images, each with its own stem, without the method's `embed`."""
    embeddings = []
    for views in (BATCH.images, method.generator(BATCH.images, BATCH.modalities)):
        strips = method.backbone(views, BATCH.modalities).mean(3).unbind(2)
        after = [neck(strip, BATCH.modalities) for neck, strip in zip(method.necks, strips, strict=True)]
        embeddings.append(F.normalize(torch.cat(after, 1)))
    return embeddings


def test_fusions():
    with torch.no_grad():
        embedded = {}
        for fuse in ("none", "middle", "sum"):
            method = trained(fuse=fuse)
            embedded[fuse] = method.embed(BATCH.images, BATCH.modalities)
        original, middle = views_of(method)
    assert original.shape == (12, 4 * 512)
    torch.testing.assert_close(embedded["none"], original)
    torch.testing.assert_close(embedded["middle"], middle)
    assert (original - middle).abs().max() > 1e-3
    # Four similarity matrices in one product, but for a factor per query and one per gallery image.
    four = sum(a @ b.T for a in (original, middle) for b in (original, middle))
    lengths = (2 + 2 * (original * middle).sum(1)).sqrt()
    torch.testing.assert_close(embedded["sum"] @ embedded["sum"].T, four / lengths[:, None] / lengths[None, :])


def test_the_image_alone_needs_no_generator():
    method, other = trained(), trained()
    with torch.no_grad():
        other.generator.decoder[0].bias.add_(1)
        expected = method.embed(BATCH.images, BATCH.modalities)
        assert torch.equal(other.embed(BATCH.images, BATCH.modalities), expected)


def test_the_projection_is_frozen_unless_asked():
    for train_head in (False, True):
        method = small(train_head=train_head)
        torch.stack(list(method(BATCH).values())).sum().backward()
        grouped = {id(p) for group in method.parameter_groups() for p in group["params"]}
        for parameter in method.projection.parameters():
            assert (parameter.grad is not None) == train_head
            assert (id(parameter) in grouped) == train_head
        # A frozen projection hands the gradient on to what is before it.
        assert method.generator.decoder[0].weight.grad.abs().sum() > 0


def test_consistency_alone_reaches_the_encoders_of_both_modalities():
    method = small()
    method(BATCH)["consistency"].backward()
    for encoder in (method.generator.encoder.visible, method.generator.encoder.infrared):
        assert encoder[0].weight.grad.abs().sum() > 0
    assert all(neck.classifier.weight.grad is None for neck in method.necks)


def test_the_generator_learns_at_the_rate_of_the_trunk():
    method = small(trunk_lr_scale=0.25)
    trunk, new = method.parameter_groups()
    assert (trunk["lr_scale"], new["lr_scale"]) == (0.25, 1.0)
    pretrained = [*method.backbone.parameters(), *method.generator.parameters()]
    assert {id(p) for p in trunk["params"]} == {id(p) for p in pretrained}
    assert any(p is method.necks[0].classifier.weight for p in new["params"])


def test_parameters_with_395_identities():
    with torch.device("meta"):
        method = mmn.build(mmn.Config(weights="none"), 395)
    necks, classifiers = 4 * 2 * 2048, 4 * 2048 * 395
    projection = 2048 * 256 + 2 * 256 + (256 * 256 + 256) + 2 * 256
    total = sum(p.numel() for p in method.parameters())
    trunk = sum(p.numel() for p in method.backbone.parameters())
    assert trunk / 1e6 == pytest.approx(23.518, abs=5e-4)
    assert total == trunk + 22 + necks + classifiers + projection


@pytest.mark.parametrize(("fuse", "views"), [("none", 1), ("sum", 2)])
def test_cost_of_embedding(fuse, views):
    """Image and middle image of both modalities at 384 x 192: Table 2 of the DFW-SLN paper prints 23.53 and 36.633."""
    method = mmn.build(mmn.Config(weights="none", fuse=fuse), 206)
    necks = 2 * views * 4 * 2 * 2048  # what does not grow with the image
    macs = 16 * (count_macs(method, 96, 48) - necks) + necks
    assert macs / 1e9 == pytest.approx(views * 36.633 / 2, rel=2e-4)
    parameters = sum(p.numel() for p in embedding_parameters(method, 96, 48))
    assert parameters / 1e6 == pytest.approx(23.53, abs=5e-3)


def test_parameters_that_belong_to_people_are_named_classifier():
    names = [name for name, p in small().named_parameters() if p.shape[0] == IDENTITIES and "generator" not in name]
    assert len(names) == 4
    assert all("classifier" in name.split(".") for name in names)


@pytest.mark.parametrize(
    "options", [{"part": 4}, {"split": 5}, {"parts": 0}, {"fuse": "max"}, {"loss": {"identity": 0}}]
)
def test_bad_options_are_refused(options):
    with pytest.raises(ValidationError):
        mmn.Config(**options)


@pytest.mark.parametrize("data", ["sysu_mm01", "regdb", "llcm"])
def test_the_shipped_settings_are_the_published_ones(data):
    experiment = configuration.load(Path(__file__).parents[2] / f"configs/mmn_{data}.yaml")
    method, train, images = experiment.method.options, experiment.train, experiment.images
    assert method == mmn.Config()
    assert (method.split, method.parts, method.loss.consistency, method.margin) == (1, 4, 0.2, 0.3)
    assert (train.identities, train.images_per_modality, train.epochs) == (4, 4, 80)
    assert (train.optimizer.lr, train.schedule.name) == (0.1, "agw_step")
    assert (images.height, images.width, images.augment.erase) == (384, 192, 0.5)
