"""What is particular to EMIF."""

from pathlib import Path

import pytest
import torch
from batches import take
from pydantic import ValidationError
from torch.nn import functional as F

from vireid import config as configuration
from vireid.costs.macs import count_macs
from vireid.losses.gaussian_consistency import distribution_consistency_loss
from vireid.losses.identity import identity_loss
from vireid.losses.triplet import triplet_loss
from vireid.losses.weighted_triplet import weighted_triplet_loss
from vireid.methods import baseline, emif
from vireid.models.two_stream_resnet import TwoStreamResNet
from vireid.sample import Batch, Modality

BATCH = Batch(
    torch.randn(12, 3, 64, 32, generator=torch.Generator().manual_seed(0)),
    torch.tensor([0, 0, 1, 1, 2, 2] * 2),
    torch.tensor([0] * 6 + [1] * 6),
)
IDENTITIES = 3
INVARIANT = {"identity", "weighted_triplet"}
INTRA = {"intra_identity", "intra_triplet", "intra_compactness"}


def small(**options):
    """On ResNet-18; same seed, same weights."""
    torch.manual_seed(0)
    return emif.build(emif.Config(**{"backbone": "resnet18", "weights": "none"} | options), IDENTITIES).train()


def one_modality(modality):
    kept = BATCH.modalities == modality
    return take(BATCH, kept)


def test_without_branches_and_consistency_it_is_a_baseline_with_the_weighted_triplet_loss():
    method = small(intra={"branch": "off"}, consistency={"weight": 0})
    options = {"backbone": "resnet18", "weights": "none", "pool": "gem", "loss": {"triplet": 0}}
    same = baseline.build(baseline.Config(**options), IDENTITIES).train()
    same.load_state_dict(method.state_dict())
    losses, expected = method(BATCH), same(BATCH)
    assert set(losses) == INVARIANT
    assert losses["identity"].item() == expected["identity"].item()
    assert torch.equal(method.eval().embed(*BATCH[::2]), same.eval().embed(*BATCH[::2]))


def test_branches_leave_the_invariant_path_as_it_is():
    """Its weights at the start and its losses are those without branches."""
    plain, full = small(intra={"branch": "off"}), small()
    state = full.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in plain.state_dict().items())
    losses = full(BATCH)
    assert set(losses) == INVARIANT | INTRA | {"consistency"}
    for name, loss in plain(BATCH).items():
        assert losses[name].item() == pytest.approx(loss.item(), rel=1e-6)


def test_losses_and_their_factors():
    options = {"weight": 2.0, "compactness": 0.25, "margin": 0.7, "distill": 3.0}
    losses = small(intra=options, loss={"identity": 4, "weighted_triplet": 0.1})(BATCH)
    method = small()
    maps = method.backbone.stages(BATCH.images, BATCH.modalities, last="layer3")
    pooled = method.pool(method.backbone.layer4(maps, BATCH.modalities))
    embeddings = method.neck(pooled, BATCH.modalities)
    logits = method.neck.classify(embeddings)
    expected = {
        "identity": 4 * identity_loss(logits, BATCH.pids),
        "weighted_triplet": 0.1 * weighted_triplet_loss(pooled, BATCH.pids),
        "consistency": 0.1 / 10 * distribution_consistency_loss(embeddings, BATCH.pids, BATCH.modalities),
    } | dict.fromkeys([*INTRA, "distill"], 0.0)
    for modality in Modality:
        rows, pids = BATCH.modalities == modality, BATCH.pids[BATCH.modalities == modality]
        branch = method.branches[modality.name.lower()]
        features = branch.pool(branch.layer4(maps[rows]))
        own = branch.neck.classify(branch.neck(features, BATCH.modalities[rows]))
        expected["intra_identity"] += 2 * identity_loss(own, pids)
        expected["intra_triplet"] += 2 * triplet_loss(features, pids, margin=0.7)
        expected["intra_compactness"] += 0.5 * emif.compactness_loss(features, pids)
        expected["distill"] += 3 / 2 * emif.distillation_loss(logits[rows], own)
    assert set(losses) == set(expected)
    for name, loss in expected.items():
        assert losses[name].item() == pytest.approx(loss.item(), rel=1e-4), name


def test_the_consistency_ramps_up_with_the_epochs():
    method = small(consistency={"ramp_epochs": 4, "weight": 0.2, "kind": "w2g"})
    values = []
    for epoch in (0, 3, 9):
        method.start_epoch(epoch, 10)
        values.append(method(BATCH)["consistency"].item())
    assert values[1:] == pytest.approx([4 * values[0]] * 2, rel=1e-5)


@pytest.mark.parametrize("branch", ["layer4", "head"])
@pytest.mark.parametrize("modality", list(Modality), ids=lambda modality: modality.name)
def test_no_loss_of_a_modality_touches_the_other_branch(branch, modality):
    method = small(intra={"branch": branch, "compactness": 0.1}, consistency={"weight": 0})
    losses = method(one_modality(modality))
    torch.stack([losses[name] for name in INTRA]).sum().backward()
    own, other = (method.branches[m.name.lower()] for m in (modality, modality.other))
    assert all(p.grad is not None for p in own.parameters() if p.requires_grad)
    assert all(p.grad is None for p in other.parameters())
    assert method.backbone.layer3.body[0].conv1.weight.grad.abs().sum() > 0
    # The shared layer4 hears of it only where the branches are no more than heads on it.
    assert (method.backbone.layer4.body[0].conv1.weight.grad is not None) == (branch == "head")


def test_a_visible_image_changes_no_gradient_of_the_infrared_branch():
    gradients = []
    for batch in (BATCH, BATCH._replace(images=BATCH.images + (BATCH.modalities == 0).view(-1, 1, 1, 1))):
        method = small(split=4)  # so that not even the layers before the branch have seen the visible images
        method(batch)["intra_identity"].backward()
        gradients.append([p.grad for p in method.branches["infrared"].parameters() if p.requires_grad])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_the_embedding_has_nothing_of_the_branches():
    """Only what the embedding's graph reaches would be exported, and the rest may take any value."""
    method = small().eval()
    embeddings = method.embed(BATCH.images, BATCH.modalities)
    embeddings.square().cumsum(1).sum().backward()
    reached = {name for name, p in method.named_parameters() if p.grad is not None}
    assert reached == {n for n, _ in method.named_parameters() if n.startswith("backbone.")} | {"neck.bn.body.weight"}
    with torch.no_grad():
        for value in method.branches.state_dict().values():
            value.fill_(float("nan") if value.is_floating_point() else 0)
        assert torch.equal(method.embed(BATCH.images, BATCH.modalities), embeddings)


def test_a_branch_starts_as_a_copy_of_the_shared_layer4():
    method = small()
    shared = method.backbone.layer4.body.state_dict()
    for branch in method.branches.values():
        for key, value in branch.layer4.state_dict().items():
            assert torch.equal(value, shared[key])
            assert value.data_ptr() != shared[key].data_ptr()


def test_shipped_weights_and_a_batch_norm_per_modality():
    stages = ["layer2", "layer3", "layer4"]
    method = small(weights="default", split=2, bn_specific=stages)
    trunk = TwoStreamResNet("resnet18", split=2, bn_specific=stages, weights="default")
    for name, branch in method.branches.items():
        expected = getattr(trunk.layer4, name).state_dict()
        assert all(torch.equal(value, expected[key]) for key, value in branch.layer4.state_dict().items())
    own = [branch.layer4[0].conv1.weight for branch in method.branches.values()]
    assert len({own[0].data_ptr(), own[1].data_ptr(), trunk.layer4.visible[0].conv1.weight.data_ptr()}) == 3
    assert small(weights="default")(BATCH)["intra_identity"].isfinite()


def test_the_pretrained_layers_learn_at_the_trunks_rate():
    method = small(trunk_lr_scale=0.25)
    trunk, new = method.parameter_groups()
    assert (trunk["lr_scale"], new["lr_scale"]) == (0.25, 1.0)
    pretrained = [*method.backbone.parameters()]
    pretrained += [p for branch in method.branches.values() for p in branch.layer4.parameters()]
    assert {id(p) for p in trunk["params"]} == {id(p) for p in pretrained}
    assert any(p is method.branches["visible"].neck.classifier.weight for p in new["params"])


def test_parameters_that_belong_to_people_are_named_classifier():
    names = [name for name, p in small().named_parameters() if p.shape[0] == IDENTITIES]
    assert len(names) == 3
    assert all("classifier" in name.split(".") for name in names)


def test_compactness_by_hand():
    # Centres (1, 0) and (0, 5): distances 1, 1 and 0.
    rows = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 5.0]], requires_grad=True)
    loss = emif.compactness_loss(rows, torch.tensor([4, 4, 1]))
    assert loss.item() == pytest.approx(2 / 3)
    loss.backward()
    assert torch.allclose(rows.grad, torch.tensor([[-1 / 3, 0], [1 / 3, 0], [0, 0]]))


def test_compactness_against_a_slow_reference():
    generator = torch.Generator().manual_seed(0)
    rows, pids = torch.randn(15, 4, generator=generator), torch.randint(5, (15,), generator=generator)
    total = sum((row - rows[pids == pid].mean(0)).norm().item() for row, pid in zip(rows, pids, strict=True))
    assert emif.compactness_loss(rows, pids).item() == pytest.approx(total / 15, rel=1e-5)
    duplicated = rows[[0, 0, 0, 1]].clone().requires_grad_()
    emif.compactness_loss(duplicated, torch.tensor([0, 0, 1, 1])).backward()
    assert duplicated.grad.isfinite().all()


def test_distillation_by_hand():
    student, teacher = torch.tensor([[0.0, 0.0]]), torch.tensor([[0.0, 3.0]]).log1p()
    expected = F.kl_div(torch.tensor([[0.5, 0.5]]).log(), torch.tensor([[0.2, 0.8]]), reduction="sum")
    assert emif.distillation_loss(student, teacher).item() == pytest.approx(expected.item(), rel=1e-6)
    assert emif.distillation_loss(teacher, teacher).item() == pytest.approx(0, abs=1e-7)
    student, teacher = student.requires_grad_(), teacher.requires_grad_()
    emif.distillation_loss(student, teacher).backward()
    assert teacher.grad is None
    assert student.grad.abs().sum() > 0


def test_cost_with_395_identities():
    """At test time a plain ResNet-50 with a neck; in training two layer4, necks and classifiers more."""
    with torch.device("meta"):
        counts = {
            branch: sum(
                p.numel()
                for n, p in emif.build(emif.Config(weights="none", intra={"branch": branch}), 395).named_parameters()
                if "classifier" not in n
            )
            for branch in ("off", "layer4", "head")
        }
    assert counts["off"] / 1e6 == pytest.approx(23.52, abs=5e-3)
    assert (counts["layer4"] - counts["off"]) / 1e6 == pytest.approx(2 * 14.965 + 2 * 0.004, abs=1e-2)
    macs = count_macs(emif.build(emif.Config(weights="none"), 395), 288, 144)
    assert macs == pytest.approx(2 * 5.151e9, rel=1e-3)  # for a visible and an infrared image, BatchNorm counted
    assert counts["head"] - counts["off"] == 2 * (2048 * 2048 + 2048 + 2 * 2048)


@pytest.mark.parametrize(
    "options",
    [{"intra": {"branch": "layer3"}}, {"intra": {"weight": 0}}, {"consistency": {"kind": "kl"}}, {"concat": True}],
)
def test_bad_options_are_refused(options):
    with pytest.raises(ValidationError):
        emif.Config(**options)


@pytest.mark.parametrize("data", ["sysu_mm01", "regdb", "llcm"])
def test_the_shipped_settings_are_those_of_its_page(data):
    experiment = configuration.load(Path(__file__).parents[2] / f"configs/emif_{data}.yaml")
    method, train = experiment.method.options, experiment.train
    assert (method.split, method.gem_p, method.intra.weight, method.consistency.weight) == (1, 3.0, 0.5, 0.1)
    assert (method.intra.branch, method.consistency.kind, method.consistency.scope) == ("layer4", "klg", "modality")
    assert (train.identities, train.images_per_modality, train.epochs) == (8, 4, 80)
    assert (train.optimizer.lr, train.schedule.name, experiment.images.augment.erase) == (0.1, "agw_step", 0.5)
