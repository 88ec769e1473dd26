"""What is particular to PSMG."""

import pytest
import torch
from batches import take
from pydantic import ValidationError
from torch.nn import functional as F

from vireid.costs.macs import count_macs
from vireid.costs.measure import embedding_parameters
from vireid.errors import InputError
from vireid.losses.center_alignment import center_alignment_loss
from vireid.losses.gaussian_consistency import distribution_consistency_loss
from vireid.losses.hetero_center import hetero_center_triplet_loss
from vireid.losses.identity import identity_loss
from vireid.losses.middle_modality import middle_consistency_loss
from vireid.losses.triplet import triplet_loss
from vireid.methods import mmn, psmg
from vireid.models.feature_weakening import WeakeningConfig, weakened_stages
from vireid.models.multi_granularity import MultiGranularityHead
from vireid.models.pooling import AveragePool, GeM
from vireid.models.strips import cut
from vireid.models.two_stream_resnet import TwoStreamResNet
from vireid.sample import Batch

PIDS, MODALITIES = torch.tensor([0, 0, 1, 1, 2, 2] * 2), torch.tensor([0] * 6 + [1] * 6)
BATCH = Batch(torch.randn(12, 3, 64, 32, generator=torch.Generator().manual_seed(0)), PIDS, MODALITIES)
VISIBLE_ONLY = take(BATCH, slice(6))
IDENTITIES = 3
NO_CENTER_ALIGNMENT = {"alignment": 0, "cluster": 0, "push": 0}
ALL_LOSSES = {"triplet": 1.0, "center_alignment": {"alignment": 1.0, "cluster": 0.5, "push": 2.0}}


def small(**options):
    """On ResNet-18, whose map has 4 rows for the batch's images; same seed, same weights."""
    torch.manual_seed(0)
    return psmg.build(psmg.Config(**{"backbone": "resnet18", "weights": "none", "part_dim": 16} | options), IDENTITIES)


def head(**options):
    torch.manual_seed(0)
    return MultiGranularityHead(8, IDENTITIES, granularities=(1, 4), **options)


# Parameter sharing.


@pytest.mark.parametrize("stage", ["stem", "layer1"])
def test_both_streams_hold_the_same_convolutions_and_their_own_batch_norm(stage):
    streams = getattr(small().backbone, stage)
    visible, infrared = dict(streams.visible.named_modules()), dict(streams.infrared.named_modules())
    convolutions, norms = 0, 0
    for name, module in visible.items():
        if isinstance(module, torch.nn.Conv2d):
            assert module.weight.data_ptr() == infrared[name].weight.data_ptr()
            convolutions += 1
        if isinstance(module, torch.nn.BatchNorm2d):
            for own, other in zip(module.state_dict().values(), infrared[name].state_dict().values(), strict=True):
                assert own.data_ptr() != other.data_ptr()
            norms += 1
    assert convolutions == norms == {"stem": 1, "layer1": 4}[stage]


def test_all_later_stages_are_shared():
    backbone = small().backbone
    assert [hasattr(getattr(backbone, f"layer{depth}"), "body") for depth in (2, 3, 4)] == [True] * 3


@pytest.mark.filterwarnings("ignore:the loss is 0")
def test_a_visible_batch_trains_the_shared_stem_but_not_the_infrared_batch_norm():
    method = small().train()
    torch.stack(list(method(VISIBLE_ONLY).values())).sum().backward()
    convolution, norm = method.backbone.stem.infrared[:2]
    assert convolution.weight.grad.abs().sum() > 0
    assert norm.weight.grad is None
    assert norm.num_batches_tracked == 0
    assert method.backbone.stem.visible[1].weight.grad.abs().sum() > 0


# Granularities.


@pytest.mark.parametrize("size", [1, 2, 4, 6])
def test_strips_join_to_the_map(size):
    maps = torch.randn(2, 5, 24, 3, generator=torch.Generator().manual_seed(0))
    strips = cut(maps, size)
    assert [strip.shape[2] for strip in strips] == [24 // size] * size
    assert torch.equal(torch.cat(strips, 2), maps)


def test_each_branch_sees_its_own_rows():
    layers = head(part_dim=4).eval()
    generator = torch.Generator().manual_seed(0)
    maps = torch.rand(2, 8, 4, 2, generator=generator)
    before = layers(maps)
    for row in range(4):
        changed = maps.clone()
        changed[:, :, row] = torch.rand(2, 8, 2, generator=generator)
        differs = [not torch.equal(a, b) for a, b in zip(before, layers(changed), strict=True)]
        assert differs == [True] + [index == row for index in range(4)]


def test_the_whole_map_goes_through_gem_and_strips_through_their_pool_and_reduction():
    maps = torch.rand(6, 8, 4, 2, generator=torch.Generator().manual_seed(0))
    plain = head()(maps)
    torch.testing.assert_close(plain[0], maps.pow(3).mean((2, 3)).pow(1 / 3))
    for row in range(4):
        torch.testing.assert_close(plain[1 + row], maps[:, :, row].mean(2))
    layers = head(part_dim=4).train()
    linear = layers.descriptors[1][1]
    expected = F.relu(F.batch_norm(maps[:, :, 0].mean(2) @ linear.weight.T, None, None, training=True))
    torch.testing.assert_close(layers(maps)[1], expected)
    pools = [type(descriptor) for descriptor in head(part_pool="gem").descriptors]
    assert pools == [GeM] * 5
    assert [type(descriptor) for descriptor in head().descriptors] == [GeM] + [AveragePool] * 4


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({}, 512 + 4 * 16),
        ({"granularities": [1, 2, 4]}, 512 + 6 * 16),
        ({"part_dim": None}, 5 * 512),
        ({"granularities": [1], "loss": {"hetero_center": 0}}, 512),
        ({"granularities": [4], "loss": {"center_alignment": NO_CENTER_ALIGNMENT}}, 4 * 16),
    ],
)
def test_embedding_is_all_branches_after_their_necks(options, size):
    method = small(**options).eval()
    with torch.no_grad():
        embeddings = method.embed(BATCH.images, MODALITIES)
        features = method.head(method.backbone(BATCH.images, MODALITIES))
        joined = torch.cat([neck(rows, MODALITIES) for neck, rows in zip(method.head.necks, features, strict=True)], 1)
    assert embeddings.shape == (12, size)
    torch.testing.assert_close(embeddings, F.normalize(joined))


def test_fewer_rows_than_strips_are_refused():
    with pytest.raises(InputError, match=r"an entry of method.granularities is 6, but the last map has only 4 rows"):
        small(granularities=[1, 6]).eval().embed(BATCH.images, MODALITIES)


# Losses.


def features_of(method, images, modalities):
    features = method.head(method.backbone(images, modalities))
    return features, method.head.embed(features, modalities)


def test_losses_without_middle_images_by_hand():
    options = {"middle": "off", "loss": ALL_LOSSES | {"hetero_center": 3.0}, "margin": 0.4, "center_margin": 9.0}
    with torch.no_grad():
        losses = small(**options).train()(BATCH)
        method = small(**options).train()
        features, embeddings = features_of(method, BATCH.images, MODALITIES)
        logits = method.head.classify(embeddings)
        rows = [*features[1:], torch.cat(features[1:], 1)]
        centers = [hetero_center_triplet_loss(each, PIDS, MODALITIES, margin=0.4).item() for each in rows]
        factors = ALL_LOSSES["center_alignment"]
        expected = {
            "identity": sum(identity_loss(each, PIDS).item() for each in logits) / 5,
            "triplet": sum(triplet_loss(each, PIDS, margin=0.4).item() for each in features) / 5,
            "center_alignment": center_alignment_loss(features[0], PIDS, MODALITIES, margin=9.0, **factors).item(),
            "hetero_center": 3 * (sum(centers[:4]) / 4 + centers[4]),
        }
    assert all(value > 0 for value in expected.values())
    assert {name: loss.item() for name, loss in losses.items()} == pytest.approx(expected, rel=1e-4)


def test_losses_with_middle_images_are_means_over_the_four_pairings():
    with torch.no_grad():
        losses = small(loss=ALL_LOSSES).train()(BATCH)
        method = small(loss=ALL_LOSSES).train()
        views = torch.cat([BATCH.images, method.generator(BATCH.images, MODALITIES)])
        features, embeddings = features_of(method, views, MODALITIES.repeat(2))
        logits = method.head.classify(embeddings)
        v, r, middle_v, middle_r = (slice(start, start + 6) for start in (0, 6, 12, 18))
        pairings = [(v, r), (v, middle_r), (middle_v, r), (middle_v, middle_r)]

        def mean(loss, rows):
            """Over the pairings, each put together by hand."""
            return sum(loss(torch.cat([rows[a], rows[b]]), PIDS, MODALITIES).item() for a, b in pairings) / 4

        def triplet(rows, pids, modalities):
            return triplet_loss(rows, pids, margin=0.3)

        def alignment(*rows):
            return center_alignment_loss(*rows, margin=0.7, **ALL_LOSSES["center_alignment"])

        projected = [method.projections[str(rows.shape[1])](rows[12:]) for rows in features]
        expected = {
            "identity": sum(identity_loss(each, PIDS.repeat(2)).item() for each in logits) / 5,
            "triplet": sum(mean(triplet, rows) for rows in features) / 5,
            "center_alignment": mean(alignment, features[0]),
            "hetero_center": sum(mean(hetero_center_triplet_loss, rows) for rows in features[1:]) / 4
            + mean(hetero_center_triplet_loss, torch.cat(features[1:], 1)),
            "middle_consistency": 0.2
            * sum(middle_consistency_loss(rows, PIDS, MODALITIES).item() for rows in projected)
            / 5,
        }
    assert all(len(rows) == 24 for rows in logits)
    assert {name: loss.item() for name, loss in losses.items()} == pytest.approx(expected, rel=1e-4)


def test_a_factor_of_0_leaves_a_loss_out():
    assert set(small().train()(BATCH)) == {"identity", "center_alignment", "hetero_center", "middle_consistency"}
    off = {"center_alignment": NO_CENTER_ALIGNMENT, "hetero_center": 0, "middle_consistency": 0}
    method = small(loss=off).train()
    assert set(method(BATCH)) == {"identity"}
    assert len(method.projections) == 0


def test_the_projections_are_never_trained():
    method = small().train()
    assert set(method.projections) == {"512", "16"}
    listed = {id(parameter) for group in method.parameter_groups() for parameter in group["params"]}
    assert not any(id(p) in listed or p.requires_grad for p in method.projections.parameters())
    method(BATCH)["middle_consistency"].backward()
    assert all(p.grad is None for p in method.projections.parameters())
    assert all(p.grad is not None for p in method.generator.parameters())


# The baseline it stands on.

AS_MMN = {"split": 1, "bn_specific": [], "granularities": [4], "part_dim": None}
MMN_LOSSES = {"triplet": 1, "center_alignment": NO_CENTER_ALIGNMENT, "hetero_center": 0}


@pytest.mark.parametrize("fuse", ["none", "middle", "sum"])
def test_with_mmns_options_it_is_mmn(fuse):
    method = small(**AS_MMN, loss=MMN_LOSSES, fuse=fuse).train()
    baseline = mmn.build(mmn.Config(backbone="resnet18", weights="none", parts=4, fuse=fuse), IDENTITIES).train()
    own, its = dict(method.named_parameters()), dict(baseline.named_parameters())
    assert len(own) == len(its)
    assert sum(p.numel() for p in own.values()) == sum(p.numel() for p in its.values())
    method.backbone.load_state_dict(baseline.backbone.state_dict())
    method.generator.load_state_dict(baseline.generator.state_dict())
    method.head.necks.load_state_dict(baseline.necks.state_dict())
    method.projections["512"].load_state_dict(baseline.projection.state_dict())
    with torch.no_grad():
        losses, expected = method(BATCH), baseline(BATCH)
        embeddings, its_embeddings = (each.eval().embed(BATCH.images, MODALITIES) for each in (method, baseline))
    assert losses.pop("middle_consistency").item() == pytest.approx(expected.pop("consistency").item(), rel=1e-4)
    assert {name: loss.item() for name, loss in losses.items()} == pytest.approx(
        {name: loss.item() for name, loss in expected.items()}, rel=1e-4
    )
    torch.testing.assert_close(embeddings, its_embeddings)


def test_fused_embeddings():
    """The inner products of `sum` are the sums of the four similarities, but for the lengths of the rows."""
    with torch.no_grad():
        none, middle, both = (
            small(fuse=fuse).eval().embed(BATCH.images, MODALITIES) for fuse in ("none", "middle", "sum")
        )
        method = small().eval()
        generated = method.generator(BATCH.images, MODALITIES)
        torch.testing.assert_close(middle, method.embed(generated, MODALITIES))
    four = none @ none.T + none @ middle.T + middle @ none.T + middle @ middle.T
    lengths = (none + middle).norm(dim=1)
    torch.testing.assert_close(both @ both.T, four / lengths[:, None] / lengths[None, :])


# Options of other methods.


def test_weakened_features_are_an_option():
    config = WeakeningConfig(apply="mask", alpha=0.0)
    method = small(dfw=config.model_dump(), middle="off").eval()
    with torch.no_grad():
        maps = weakened_stages(method.backbone, BATCH.images, MODALITIES, config)
        expected = torch.cat(method.head.embed(method.head(maps), MODALITIES), 1)
        embeddings = method.embed(BATCH.images, MODALITIES)
        torch.testing.assert_close(embeddings, F.normalize(expected))
        assert not torch.allclose(embeddings, small(middle="off").eval().embed(BATCH.images, MODALITIES), atol=1e-3)


@pytest.mark.parametrize("kind", ["klg", "w2g", "mmd", "coral"])
def test_distribution_consistency_of_the_whole_map_is_an_option(kind):
    options = {"middle": "off", "consistency": {"kind": kind, "weight": 0.5, "ramp_epochs": 10}}
    method = small(**options).train()
    method.start_epoch(3, 20)
    with torch.no_grad():
        losses = method(BATCH)
        _, embeddings = features_of(small(**options).train(), BATCH.images, MODALITIES)
        expected = distribution_consistency_loss(embeddings[0], PIDS, MODALITIES, kind=kind).item()
    assert losses["consistency"].item() == pytest.approx(0.5 * 0.4 * expected, rel=1e-4)
    assert {*small(middle="off").train()(BATCH)} == {*losses} - {"consistency"}


def test_consistency_with_middle_images_is_a_mean_over_pairings():
    options = {"consistency": {"weight": 1.0, "ramp_epochs": 0}}
    with torch.no_grad():
        loss = small(**options).train()(BATCH)["consistency"]
        method = small(**options).train()
        views = torch.cat([BATCH.images, method.generator(BATCH.images, MODALITIES)])
        rows = features_of(method, views, MODALITIES.repeat(2))[1][0]
        pairings = [torch.cat([rows[a : a + 6], rows[b : b + 6]]) for a in (0, 12) for b in (6, 18)]
        expected = sum(distribution_consistency_loss(each, PIDS, MODALITIES).item() for each in pairings) / 4
    assert loss.item() == pytest.approx(expected, rel=1e-4)


# Config and size.


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"granularities": [4]}, "look at the whole map; add 1 to granularities"),
        ({"granularities": [1]}, "hetero_center looks at strips; add for example 4"),
        ({"granularities": []}, "at least 1 item"),
        ({"granularities": [0, 4]}, "greater than or equal to 1"),
        ({"middle": "off", "fuse": "sum"}, "fuse is sum, but middle is off"),
        ({"middle": "on"}, "'mmn' or 'off'"),
        ({"loss": {"center_alignment": 1.0}}, "center_alignment"),
    ],
)
def test_options_that_do_not_fit_say_how_to_fix_them(options, message):
    with pytest.raises(ValidationError, match=message):
        psmg.Config(**options)


def test_parameters_that_belong_to_people_are_named_classifier():
    names = [name for name, p in small().named_parameters() if p.shape[0] == IDENTITIES and "generator" not in name]
    assert len(names) == 5
    assert all("classifier" in name.split(".") for name in names)


def test_trunk_and_generator_learn_at_their_own_rate():
    method = small(trunk_lr_scale=0.25)
    trunk, new = method.parameter_groups()
    assert (trunk["lr_scale"], new["lr_scale"]) == (0.25, 1.0)
    expected = {id(p) for part in (method.backbone, method.generator) for p in part.parameters()}
    assert {id(p) for p in trunk["params"]} == expected
    assert any(p is method.head.necks[0].classifier.weight for p in new["params"])


def test_size_and_cost_with_395_identities():
    """Of an image of 384x192: the trunk's operations are those of methods with one stream."""
    method = psmg.build(psmg.Config(weights="none"), 395)
    trunk = TwoStreamResNet("resnet50", split=0, weights="none")
    own = sum(p.numel() for p in method.backbone.parameters()) - sum(p.numel() for p in trunk.parameters())
    assert own == 2 * 64 + 2 * (3 * (64 + 64 + 256) + 256)  # the second BatchNorm layers of stem and layer1
    reduction = 4 * (2048 * 512 + 2 * 512)
    necks, classifiers = 2 * (2048 + 4 * 512), 395 * (2048 + 4 * 512)
    embedding = sum(p.numel() for p in embedding_parameters(method, 64, 32))
    assert embedding == sum(p.numel() for p in method.backbone.parameters()) + reduction + necks
    assert (embedding + classifiers) / 1e6 == pytest.approx(29.3, abs=0.05)
    # By image area, from the trunk's 5.151 G with BatchNorm for 288x144.
    trunk_macs = 5.151e9 * (64 * 32) / (288 * 144)
    assert count_macs(method, 64, 32) == pytest.approx(2 * (trunk_macs + reduction + necks), rel=1e-3)
