"""What is particular to the baseline and to AGW."""

import pytest
import torch
from pydantic import ValidationError

from vireid.losses.gaussian_consistency import distribution_consistency_loss
from vireid.losses.hetero_center import hetero_center_triplet_loss
from vireid.losses.identity import identity_loss
from vireid.losses.triplet import triplet_loss
from vireid.losses.weighted_triplet import weighted_triplet_loss
from vireid.methods import agw, baseline
from vireid.models.feature_weakening import weaken
from vireid.models.non_local import NonLocal
from vireid.models.pooling import AveragePool, GeM
from vireid.sample import Batch

BATCH = Batch(
    torch.randn(8, 3, 64, 32, generator=torch.Generator().manual_seed(0)),
    torch.tensor([0, 0, 1, 1] * 2),
    torch.tensor([0] * 4 + [1] * 4),
)


def small(module, **options):
    torch.manual_seed(0)
    return module.build(module.Config(**{"backbone": "resnet18", "weights": "none"} | options), 3).train()


def test_baseline_losses_and_their_factors():
    plain = small(baseline)(BATCH)
    assert set(plain) == {"identity", "triplet"}
    weighted = small(baseline, loss={"identity": 2, "triplet": 0.5, "hetero_center": 3}, margin=0.3)(BATCH)
    assert weighted["identity"].item() == pytest.approx(2 * plain["identity"].item(), rel=1e-5)
    assert weighted["triplet"].item() == pytest.approx(0.5 * plain["triplet"].item(), rel=1e-5)
    method = small(baseline)
    pooled = method.pool(method.backbone(BATCH.images, BATCH.modalities))
    assert plain["triplet"].item() == pytest.approx(triplet_loss(pooled, BATCH.pids).item(), rel=1e-4)
    centers = hetero_center_triplet_loss(pooled, BATCH.pids, BATCH.modalities)
    assert weighted["hetero_center"].item() == pytest.approx(3 * centers.item(), rel=1e-4)


def test_a_loss_switched_off_leaves_no_parameter_without_a_gradient():
    method = small(baseline, loss={"identity": 0})
    losses = method(BATCH)
    assert set(losses) == {"triplet"}
    losses["triplet"].backward()
    assert all(p.grad is not None for p in method.parameters() if p.requires_grad)
    assert method.neck.bn.body.num_batches_tracked == 1  # the embedding's statistics are still gathered


def test_cosine_identity_loss_is_bounded_by_its_scale():
    method = small(baseline, cosine={"scale": 5, "margin": 0.1}, label_smoothing=0.1)
    loss = method(BATCH)["identity"]
    assert 0 < loss.item() < 2 * 5 * 1.1 + torch.log(torch.tensor(3.0))
    loss.backward()
    assert method.neck.classifier.weight.grad.abs().sum() > 0


def test_pooling_options():
    assert isinstance(small(baseline).pool, AveragePool)
    pool = small(baseline, pool="gem", gem_p=10, learn_p=True).pool
    assert isinstance(pool, GeM)
    assert pool.p.item() == 10


@pytest.mark.parametrize("module", [baseline, agw])
def test_the_trunk_learns_at_its_own_rate(module):
    method = small(module, trunk_lr_scale=0.25)
    trunk, new = method.parameter_groups()
    assert (trunk["lr_scale"], new["lr_scale"]) == (0.25, 1.0)
    assert {id(p) for p in trunk["params"]} == {id(p) for p in method.backbone.parameters()}
    assert any(p is method.neck.classifier.weight for p in new["params"])


def test_agw_losses_in_both_modes():
    method = small(agw)
    losses = method(BATCH)
    assert set(losses) == {"identity", "weighted_triplet"}
    method = small(agw)
    pooled = method.pool(method.backbone(BATCH.images, BATCH.modalities))
    for mode in ("stable", "peer"):
        loss = small(agw, wrt_mode=mode, loss={"weighted_triplet": 2})(BATCH)["weighted_triplet"]
        expected = 2 * weighted_triplet_loss(pooled, BATCH.pids, mode=mode)
        assert loss.item() == pytest.approx(expected.item(), rel=1e-4)


def test_agw_non_local_blocks_of_a_resnet50():
    method = agw.build(agw.Config(weights="none"), 3)
    for stage, blocks, channels in (("layer2", [2, 3], 512), ("layer3", [3, 4, 5], 1024)):
        body = getattr(method.backbone, stage).body
        found = [i for i, block in enumerate(body) if any(isinstance(m, NonLocal) for m in block.modules())]
        assert found == blocks
        assert body[blocks[0]][1].theta.weight.shape == (1, channels, 1, 1)
    wide = agw.build(agw.Config(weights="none", nl_width=None), 3)
    assert wide.backbone.layer2.body[3][1].theta.weight.shape == (256, 512, 1, 1)


@pytest.mark.parametrize("module", [baseline, agw])
def test_plug_ins_are_off_by_default_and_then_change_nothing(module):
    method, same = small(module), small(module, dfw={"enabled": False}, consistency={"weight": 0.0})
    losses, twice = method(BATCH), same(BATCH)
    assert "consistency" not in losses
    assert {name: loss.item() for name, loss in losses.items()} == {name: loss.item() for name, loss in twice.items()}
    # The values of a version without the plug-ins.
    by_hand = small(module)
    pooled = by_hand.pool(by_hand.backbone(BATCH.images, BATCH.modalities))
    logits = by_hand.neck.classify(by_hand.neck(pooled, BATCH.modalities))
    assert torch.equal(losses["identity"], identity_loss(logits, BATCH.pids))
    with_both = small(module, dfw={"enabled": True}, consistency={"weight": 0.1})
    assert with_both.state_dict().keys() == method.state_dict().keys()


@pytest.mark.parametrize("module", [baseline, agw])
def test_feature_weakening_sits_before_layer4_in_training_and_in_the_embedding(module):
    method = small(module, dfw={"enabled": True, "alpha": 0.0, "apply": "mask"})
    maps = weaken(method.backbone.stages(BATCH.images, BATCH.modalities, last="layer3"), method.config.dfw)
    pooled = method.pool(method.backbone.stages(maps, BATCH.modalities, first="layer4"))
    expected = identity_loss(method.neck.classify(method.neck(pooled, BATCH.modalities)), BATCH.pids)
    assert (
        small(module, dfw={"enabled": True, "alpha": 0.0, "apply": "mask"})(BATCH)["identity"].item() == expected.item()
    )
    weakened, plain = (small(module, dfw={"alpha": 0.0, "apply": "mask", "enabled": on}).eval() for on in (True, False))
    with torch.no_grad():
        embeddings = [network.embed(BATCH.images, BATCH.modalities) for network in (weakened, plain)]
    assert (embeddings[0] - embeddings[1]).abs().max() > 1e-3


@pytest.mark.parametrize("module", [baseline, agw])
def test_consistency_is_of_the_embeddings_and_ramps_up(module):
    options = {"consistency": {"kind": "w2g", "scope": "identity", "weight": 0.4, "ramp_epochs": 4}}
    method = small(module, **options)
    embeddings = method.neck(method.pool(method.backbone(BATCH.images, BATCH.modalities)), BATCH.modalities)
    whole = (
        0.4
        * distribution_consistency_loss(embeddings, BATCH.pids, BATCH.modalities, kind="w2g", scope="identity").item()
    )
    for epoch, share in ((0, 1 / 4), (1, 2 / 4), (7, 1)):
        method.start_epoch(epoch, 8)
        assert method(BATCH)["consistency"].item() == pytest.approx(share * whole, rel=1e-4)


def test_consistency_keeps_the_neck_training_without_an_identity_loss():
    method = small(baseline, loss={"identity": 0}, consistency={"weight": 1.0, "kind": "w2g"})
    torch.stack(list(method(BATCH).values())).sum().backward()
    assert all(p.grad is not None for p in method.parameters() if p.requires_grad)
    assert method.neck.bn.body.weight.grad.abs().sum() > 0


def test_agw_from_the_shipped_weights_with_a_batch_norm_per_modality():
    stages = ["layer1", "layer2", "layer3", "layer4"]
    method = small(agw, weights="default", bn_specific=stages)
    assert isinstance(method.backbone.layer2.infrared[1][1], NonLocal)
    plain = small(baseline, weights="default", bn_specific=stages, pool="gem").eval()
    with torch.no_grad():
        assert torch.equal(method.eval().embed(*BATCH[::2]), plain.embed(*BATCH[::2]))


@pytest.mark.parametrize("module", [baseline, agw])
@pytest.mark.parametrize("options", [{"splt": 2}, {"split": 5}, {"gem_p": 0}, {"loss": {"identiy": 1}}])
def test_bad_options_are_refused(module, options):
    with pytest.raises(ValidationError):
        module.Config(**options)
