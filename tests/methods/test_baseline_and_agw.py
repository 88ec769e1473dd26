"""What is particular to the baseline and to AGW."""

import pytest
import torch
from pydantic import ValidationError

from vireid.losses.hetero_center import hetero_center_triplet_loss
from vireid.losses.triplet import triplet_loss
from vireid.losses.weighted_triplet import weighted_triplet_loss
from vireid.methods import agw, baseline
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
    return module.build(module.Config(backbone="resnet18", weights="none", **options), 3).train()


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
@pytest.mark.parametrize("options", [{"splt": 2}, {"split": 5}, {"gem_p": 0}, {"loss": {"identiy": 1}}])
def test_bad_options_are_refused(module, options):
    with pytest.raises(ValidationError):
        module.Config(**options)
