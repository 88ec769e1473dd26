"""What is particular to HCT."""

import re
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional as F

from vireid import config as configuration
from vireid.costs.macs import count_macs
from vireid.errors import InputError
from vireid.losses.hetero_center import hetero_center_triplet_loss
from vireid.losses.identity import identity_loss
from vireid.methods import baseline, hct
from vireid.models.pooling import GeM
from vireid.models.strips import cut
from vireid.models.two_stream_resnet import TwoStreamResNet
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
    options = {"backbone": "resnet18", "weights": "none", "parts": 4, "part_dim": 16} | options
    return hct.build(hct.Config(**options), IDENTITIES).train()


def test_without_strips_it_is_the_split_2_gem_baseline():
    method = small(parts=0, gem_p=3).eval()
    options = {"backbone": "resnet18", "weights": "none", "split": 2, "pool": "gem", "gem_p": 3}
    same = baseline.build(baseline.Config(**options), IDENTITIES).eval()
    same.backbone.load_state_dict(method.backbone.state_dict())
    same.neck.load_state_dict(method.head.neck.state_dict())
    with torch.no_grad():
        expected = same.embed(BATCH.images, BATCH.modalities)
        assert torch.equal(method.embed(BATCH.images, BATCH.modalities), expected)
    assert sum(p.numel() for p in method.parameters()) == sum(p.numel() for p in same.parameters())
    losses, options = method.train()(BATCH), options | {"loss": {"triplet": 0, "hetero_center": 1}}
    centers = baseline.build(baseline.Config(**options), IDENTITIES).train()
    centers.load_state_dict(same.state_dict())
    expected = centers(BATCH)
    assert set(losses) == set(expected) == {"identity", "hetero_center"}
    for name, loss in expected.items():
        assert losses[name].item() == pytest.approx(loss.item(), rel=1e-5)


@pytest.mark.parametrize(("height", "rows"), [(18, [3] * 6), (8, [2, 2, 1, 1, 1, 1]), (6, [1] * 6)])
def test_strips_partition_the_map(height, rows):
    maps = torch.randn(2, 5, height, 3, generator=torch.Generator().manual_seed(0))
    strips = cut(maps, 6)
    assert [strip.shape[2] for strip in strips] == rows
    assert torch.equal(torch.cat(strips, 2), maps)


def test_fewer_rows_than_strips_are_refused():
    message = "method.parts is 6, but the last map has only 4 rows.*set images.height to 96"
    with pytest.raises(InputError, match=message):
        small(parts=6).embed(BATCH.images, BATCH.modalities)
    assert small(parts=6).eval().embed(torch.zeros(1, 3, 96, 32), torch.tensor([0])).shape == (1, 96)


def test_a_strip_sees_its_own_rows_only():
    head = small(parts=3).head.eval()
    generator = torch.Generator().manual_seed(0)
    maps = torch.rand(2, 512, 7, 2, generator=generator)
    before = head(maps)
    for part, rows in enumerate([slice(0, 3), slice(3, 5), slice(5, 7)]):
        changed = maps.clone()
        changed[:, :, rows] = torch.rand(changed[:, :, rows].shape, generator=generator)
        differs = [not torch.equal(a, b) for a, b in zip(before, head(changed), strict=True)]
        assert differs == [index == part for index in range(3)]


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_losses_by_hand(label_smoothing):
    """Sum over strips of the identity losses, HCT on all strips together, w times the sum of HCT by strip."""
    factors = {"identity": 2.0, "hetero_center": 0.5, "part_hetero_center": 3.0}
    method = small(loss=factors, margin=0.4, label_smoothing=label_smoothing)
    pids, modalities = BATCH.pids, BATCH.modalities
    with torch.no_grad():
        losses = method(BATCH)
        maps = small().backbone.train()(BATCH.images, modalities)
        identity, parts, features = 0.0, 0.0, []
        for row, (strip, classifier) in enumerate(zip(method.head.strips, method.head.classifier, strict=True)):
            pooled = maps[:, :, row].pow(3).mean(2).pow(1 / 3)
            reduced = F.linear(pooled, strip[1].weight)
            mean, variance = reduced.mean(0), reduced.var(0, unbiased=False)
            features.append(((reduced - mean) / (variance + 1e-5).sqrt()).clamp(min=0))
            logits = features[-1] @ classifier.weight.T
            identity += identity_loss(logits, pids, label_smoothing=label_smoothing).item()
            parts += hetero_center_triplet_loss(features[-1], pids, modalities, margin=0.4).item()
        together = hetero_center_triplet_loss(torch.cat(features, 1), pids, modalities, margin=0.4).item()
    expected = {"identity": 2 * identity, "hetero_center": 0.5 * together, "part_hetero_center": 3 * parts}
    assert {name: loss.item() for name, loss in losses.items()} == pytest.approx(expected, rel=1e-3)


def test_a_factor_of_0_leaves_a_loss_out():
    assert set(small(loss={"part_hetero_center": 0})(BATCH)) == {"identity", "hetero_center"}
    assert set(small(loss={"hetero_center": 0})(BATCH)) == {"identity", "part_hetero_center"}


@pytest.mark.parametrize("seed", range(3))
def test_hetero_center_loss_over_identities_in_any_order(seed):
    """The paper's sum over identities, each with its centre of either modality as the anchor."""
    generator = torch.Generator().manual_seed(seed)
    pids = torch.tensor([7, 2, 5, 9]).repeat_interleave(3).repeat(2)
    modalities = torch.arange(2).repeat_interleave(12)
    rows = torch.randn(24, 8, generator=generator, dtype=torch.float64)
    centers = {(pid, m): rows[(pids == pid) & (modalities == m)].mean(0) for pid in (7, 2, 5, 9) for m in (0, 1)}
    total = 0.0
    for (pid, modality), anchor in centers.items():
        positive = (anchor - centers[pid, 1 - modality]).norm()
        negative = min((anchor - center).norm() for (other, _), center in centers.items() if other != pid)
        total += max(0.0, (0.3 + positive - negative).item())
    order = torch.randperm(24, generator=generator)
    loss = hetero_center_triplet_loss(rows[order], pids[order], modalities[order], margin=0.3)
    assert total > 0
    assert loss.item() == pytest.approx(total / 8, rel=1e-9)


def test_embedding_is_all_strips_together_without_a_neck():
    method = small().eval()
    with torch.no_grad():
        embeddings = method.embed(BATCH.images, BATCH.modalities)
        strips = torch.cat(method.head(method.backbone(BATCH.images, BATCH.modalities)), 1)
    assert embeddings.shape == (12, 4 * 16)
    torch.testing.assert_close(embeddings, strips / strips.norm(dim=1, keepdim=True))


def test_each_strip_has_its_own_exponent():
    pools = [strip[0] for strip in small(gem_p=10, learn_p=True).head.strips]
    assert all(isinstance(pool, GeM) and pool.p.item() == 10 for pool in pools)
    assert len({id(pool.p) for pool in pools}) == 4


def test_the_trunk_learns_at_its_own_rate():
    method = small(trunk_lr_scale=0.25)
    trunk, new = method.parameter_groups()
    assert (trunk["lr_scale"], new["lr_scale"]) == (0.25, 1.0)
    assert {id(p) for p in trunk["params"]} == {id(p) for p in method.backbone.parameters()}
    assert any(p is method.head.classifier[0].weight for p in new["params"])


def bottlenecks(blocks, channels, width):
    """Parameters of a ResNet-50 stage: 1x1, 3x3 and 1x1 convolutions, each with the two of BatchNorm."""
    total = channels * 4 * width + 2 * 4 * width  # the shortcut of the first block
    for _ in range(blocks):
        total += channels * width + 9 * width * width + 4 * width * width + 2 * (width + width + 4 * width)
        channels = 4 * width
    return total


STAGES = [3 * 64 * 49 + 2 * 64, *map(bottlenecks, (3, 4, 6, 3), (64, 256, 512, 1024), (64, 128, 256, 512))]


@pytest.mark.parametrize(("split", "millions"), [(0, 23.508), (1, 23.518), (2, 23.733), (3, 24.953), (4, 32.051)])
def test_every_split_builds_with_its_parameters(split, millions):
    by_hand = sum(STAGES) + sum(STAGES[:split])
    with torch.device("meta"):
        trunk = TwoStreamResNet("resnet50", split=split, weights="none")
    assert sum(p.numel() for p in trunk.parameters()) == by_hand
    assert by_hand / 1e6 == pytest.approx(millions, abs=5e-4)
    assert small(split=split)(BATCH)["identity"].isfinite()


def test_published_cost_with_395_identities():
    """The paper's 27.5 M hold the six classifiers; the count of operations leaves them out."""
    method = hct.build(hct.Config(weights="none"), 395)
    strips = 6 * (2048 * 256 + 2 * 256)
    by_hand = sum(STAGES) + sum(STAGES[:2]) + strips + 6 * 256 * 395
    assert sum(p.numel() for p in method.parameters()) == by_hand
    assert by_hand / 1e6 == pytest.approx(27.5, rel=1e-3)
    trunk = 10.302e9  # for a visible and an infrared image of 288 x 144
    assert count_macs(method, 288, 144) == pytest.approx(trunk + 2 * strips, rel=1e-4)


def test_parameters_that_belong_to_people_are_named_classifier():
    names = [name for name, p in small().named_parameters() if p.shape[0] == IDENTITIES]
    assert len(names) == 4
    assert all("classifier" in name.split(".") for name in names)


def test_modality_specific_batch_norm_shares_the_convolutions():
    method = small(bn_specific=["layer2", "layer3", "layer4"])
    layer2 = method.backbone.layer2
    assert layer2.visible[0].conv1 is layer2.infrared[0].conv1
    assert layer2.visible[0].bn1 is not layer2.infrared[0].bn1
    with pytest.raises(InputError, match=re.escape("bn_specific names 'layer1', but split 2")):
        small(bn_specific=["layer1"])


@pytest.mark.parametrize(
    "options", [{"splt": 2}, {"split": 5}, {"parts": -1}, {"bn_specific": ["neck"]}, {"loss": {"identity": 0}}]
)
def test_bad_options_are_refused(options):
    with pytest.raises(ValidationError):
        hct.Config(**options)


@pytest.mark.parametrize(
    ("data", "gem_p", "part_weight", "smoothing", "identities", "images"),
    [("sysu_mm01", 3, 1, 0.0, 6, 8), ("regdb", 10, 2, 0.1, 8, 4), ("llcm", 3, 1, 0.0, 6, 8)],
)
def test_the_shipped_settings_are_the_published_ones(data, gem_p, part_weight, smoothing, identities, images):
    experiment = configuration.load(Path(__file__).parents[2] / f"configs/hct_{data}.yaml")
    method, train = experiment.method.options, experiment.train
    assert (method.split, method.parts, method.part_dim, method.gem_p) == (2, 6, 256, gem_p)
    assert (method.loss.part_hetero_center, method.label_smoothing) == (part_weight, smoothing)
    assert (train.identities, train.images_per_modality, train.epochs) == (identities, images, 60)
    assert (train.optimizer.lr, train.schedule.name, experiment.images.augment.erase) == (0.1, "agw_step", 0)
