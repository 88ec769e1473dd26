"""What is particular to CM-DASN."""

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from vireid import config as configuration
from vireid.ablation.sweep import load_sweep
from vireid.costs.macs import count_macs
from vireid.costs.measure import Setting, count
from vireid.errors import InputError
from vireid.losses.identity import identity_loss
from vireid.losses.scale_alignment import parts_of, scale_alignment_loss
from vireid.losses.triplet import triplet_loss
from vireid.methods import cm_dasn, pmt
from vireid.models.gray import to_gray
from vireid.sample import Batch, Modality

CONFIGS = Path(__file__).parents[2] / "configs"
IDENTITIES = 3
PIDS = torch.tensor([0, 0, 1, 1, 2, 2] * 2)
MODALITIES = torch.tensor([Modality.VISIBLE] * 6 + [Modality.INFRARED] * 6)
BATCH = Batch(torch.randn(12, 3, 64, 32, generator=torch.Generator().manual_seed(0)), PIDS, MODALITIES)
VISIBLE = MODALITIES == Modality.VISIBLE
GRAY, RGB, SHARED, SPECIFIC = 0, 3, 6, 7  # epochs of 9 that lie in these stages
TINY = {"backbone": "test_vit", "weights": "none", "heads": 4, "grid": (5, 2), "dropout": 0, "drop_path": 0}


def small(epoch=GRAY, seed=0, **options):
    """On the tiny ViT, with four heads, in an epoch of 9; same seed, same weights."""
    torch.manual_seed(seed)
    options = TINY | {"progressive_epochs": 2} | options
    method = cm_dasn.build(cm_dasn.Config(**options), IDENTITIES).train()
    method.start_epoch(epoch, 9)
    return method


def embedded(method, rows=slice(None)):
    training = method.training
    with torch.no_grad():
        embeddings = method.eval().embed(BATCH.images[rows], MODALITIES[rows])
    method.train(training)
    return embeddings


# Stages


@pytest.mark.parametrize(("epochs", "third"), [(24, 17), (36, 25)])
def test_the_third_stage_begins_after_two_thirds(epochs, third):
    method = small(progressive_epochs=6)
    names = [method.start_epoch(epoch, epochs) for epoch in range(epochs)]
    assert names[:6] == ["gray"] * 6
    assert names[6 : third - 1] == ["rgb"] * (third - 7)
    turns = names[: third - 2 : -1]
    assert turns[::2] == ["select:shared"] * len(turns[::2])
    assert turns[1::2] == ["select:specific"] * len(turns[1::2])


def test_a_run_too_short_for_all_stages_keeps_the_last_one():
    method = small(progressive_epochs=6)
    assert [method.start_epoch(epoch, 6) for epoch in range(6)] == ["gray"] * 4 + ["select:specific", "select:shared"]
    assert small(dasm={"start": 1}).start_epoch(8, 9) == "rgb"


@pytest.mark.parametrize(
    ("dasm", "names", "roles"),
    [
        ({"roles": "shared"}, ["select:shared"] * 2, [("shared",)] * 2),
        ({"roles": "specific"}, ["select:specific"] * 2, [("specific",)] * 2),
        ({"roles": "off"}, ["align"] * 2, [()] * 2),
        ({"alternate": "off"}, ["select:both"] * 2, [("shared", "specific")] * 2),
        ({"alternate": "iteration"}, ["select:both"] * 2, [("shared",)] * 2),
    ],
)
def test_names_and_turns_of_the_third_stage(dasm, names, roles):
    method = small(dasm=dasm)
    assert [method.start_epoch(epoch, 9) for epoch in (SHARED, SPECIFIC)] == names
    found = []
    for epoch in (SHARED, SPECIFIC):
        method.start_epoch(epoch, 9)
        found.append(method._supervised())
    assert found == roles


def moved(method):
    """The roles that a step trained the selection of."""
    gates = method.selections[0].gates
    before = {role: int(gate.batches) for role, gate in gates.items()}
    method(BATCH)
    return [role for role, gate in gates.items() if gate.batches > before[role]]


def test_roles_take_turns_by_epoch_or_by_step():
    method = small(SHARED)
    assert [moved(method), moved(method)] == [["shared"], ["shared"]]
    method.start_epoch(SPECIFIC, 9)
    assert moved(method) == ["specific"]
    method = small(SHARED, dasm={"alternate": "iteration"})
    assert [moved(method) for _ in range(3)] == [["shared"], ["specific"], ["shared"]]
    assert moved(small(SHARED, dasm={"alternate": "off"})) == ["shared", "specific"]


@pytest.mark.parametrize("epoch", [GRAY, RGB])
def test_head_selection_rests_before_the_third_stage(epoch):
    with_it, without = small(epoch), small(epoch, dasm={"roles": "off"})
    ours, theirs = with_it(BATCH), without(BATCH)
    assert {name: loss.item() for name, loss in ours.items()} == {name: loss.item() for name, loss in theirs.items()}
    torch.stack(list(ours.values())).sum().backward()
    assert all(p.grad is None for part in (with_it.selections, with_it.role_norms) for p in part.parameters())
    assert all(gate.batches == 0 for gate in with_it.selections[0].gates.values())
    torch.testing.assert_close(embedded(with_it), embedded(without))


@pytest.mark.parametrize("alternate", ["epoch", "iteration"])
def test_a_run_resumed_from_its_weights_goes_on_as_if_uninterrupted(alternate):
    def go_on(method, steps):
        """Stateless SGD; one step per epoch, from the sixth epoch of 9 on."""
        losses = []
        for step in steps:
            method.start_epoch(5 + step, 9)
            method.zero_grad()
            total = torch.stack(list(method(BATCH).values())).sum()
            total.backward()
            with torch.no_grad():
                for parameter in method.parameters():
                    if parameter.grad is not None:
                        parameter -= 0.01 * parameter.grad
            losses.append(total.item())
        return losses

    whole = small(dasm={"alternate": alternate})
    first, saved = go_on(whole, [0, 1]), {name: value.clone() for name, value in whole.state_dict().items()}
    second = go_on(whole, [2, 3])
    resumed = small(seed=1, dasm={"alternate": alternate})
    resumed.load_state_dict(saved)
    assert go_on(resumed, [2, 3]) == second != first
    assert torch.equal(embedded(resumed), embedded(whole))


# Losses


def test_losses_of_each_stage():
    common = ["identity", "triplet"]
    across = ["shared_enhancement", "discriminative_center"]
    selected = ["selected_identity", "selected_triplet"]
    assert list(small(GRAY)(BATCH)) == [*common, "alignment"]
    assert list(small(RGB)(BATCH)) == [*common, *across, "alignment"]
    for epoch in (SHARED, SPECIFIC):
        assert list(small(epoch)(BATCH)) == [*common, *across, "alignment", *selected]
    assert list(small(SHARED, dasm={"roles": "off"})(BATCH)) == [*common, *across, "alignment"]


@pytest.mark.parametrize("epoch", [GRAY, RGB, SHARED])
def test_without_selection_and_alignment_it_is_pmt(epoch):
    torch.manual_seed(0)
    plain = pmt.build(pmt.Config(**TINY, progressive_epochs=2), IDENTITIES).train()
    method = small(epoch, dasm={"roles": "off"}, loss={"alignment": 0})
    plain.start_epoch(epoch, 9)
    assert method.state_dict().keys() == plain.state_dict().keys()
    ours, theirs = method(BATCH), plain(BATCH)
    assert {name: loss.item() for name, loss in ours.items()} == pytest.approx(
        {name: loss.item() for name, loss in theirs.items()}, rel=1e-6
    )
    with torch.no_grad():
        torch.testing.assert_close(embedded(method), plain.eval().embed(BATCH.images, MODALITIES))


def cross_entropies(logits):
    return sum(identity_loss(logits[half], PIDS[half]).item() for half in (VISIBLE, ~VISIBLE))


@pytest.mark.parametrize(("epoch", "role"), [(SHARED, "shared"), (SPECIFIC, "specific")])
def test_losses_of_a_role_by_their_parts(epoch, role):
    losses = small(epoch, loss={"selection": 0.7})(BATCH)
    method = small(epoch)
    features = method._features(BATCH.images, [role]).roles[role]
    normed = method.role_norms[role](features, MODALITIES)
    if role == "shared":
        identity = cross_entropies(method.neck.classify(normed))
        triplet = triplet_loss(features, PIDS, margin=0.1).item()
    else:
        own = method.classifier
        identity = cross_entropies(torch.cat([own.visible(normed[VISIBLE]), own.infrared(normed[~VISIBLE])]))
        triplet = sum(triplet_loss(features[half], PIDS[half], margin=0.1).item() for half in (VISIBLE, ~VISIBLE))
    assert losses["selected_identity"].item() == pytest.approx(0.7 * identity, rel=1e-5)
    assert losses["selected_triplet"].item() == pytest.approx(0.7 * triplet, rel=1e-5)


def test_both_roles_at_once_weigh_as_much_as_one():
    shared, specific = small(SHARED)(BATCH), small(SPECIFIC)(BATCH)
    both = small(SHARED, dasm={"alternate": "off"})(BATCH)
    for name in ("selected_identity", "selected_triplet"):
        assert both[name].item() == pytest.approx((shared[name].item() + specific[name].item()) / 2, rel=1e-5)


@pytest.mark.parametrize("blocks", [1, 2])
def test_a_roles_losses_reach_scorers_trunk_and_the_right_classifier(blocks):
    for epoch, role in ((SHARED, "shared"), (SPECIFIC, "specific")):
        method = small(epoch, dasm={"blocks": blocks})
        losses = method(BATCH)
        (losses["selected_identity"] + losses["selected_triplet"]).backward()
        for selection in method.selections:
            grads = {name: gate.scorer.grad for name, gate in selection.gates.items()}
            assert grads[role].abs().sum() > 0
            assert [name for name, grad in grads.items() if grad is not None] == [role]
        assert method.backbone.patch_embed.proj.weight.grad.abs().sum() > 0
        assert (method.neck.classifier.weight.grad is not None) == (role == "shared")
        for classifier in (method.classifier.visible, method.classifier.infrared):
            assert (classifier.weight.grad is not None) == (role == "specific")


# Alignment


@pytest.mark.parametrize(
    ("epoch", "options", "taps", "strips"),
    [
        (GRAY, {}, (2,), (1,)),
        (RGB, {}, (2, 4), (1, 3)),
        (SHARED, {}, (2, 4, 6), (1, 3, 7)),
        (SHARED, {"taps": [3], "strips": [2, 4, 6, 8]}, (3,), (2, 4, 6, 8)),
        (RGB, {"taps": [1, 3, 5, 6]}, (1, 3), (1, 3)),
        (GRAY, {"stages": "all"}, (2, 4, 6), (1, 3, 7)),
    ],
)
def test_scales_of_each_stage(epoch, options, taps, strips):
    assert small(epoch, align=options)._scales() == (taps, strips)


def test_alignment_by_its_parts():
    loss = small(RGB, loss={"alignment": 0.3})(BATCH)["alignment"].item()
    method = small(RGB)
    tokens = method.backbone.tokens(BATCH.images)
    losses = []
    for index, block in enumerate(method.backbone.blocks[:4]):
        tokens = block(tokens)
        if index in (1, 3):
            losses.append(scale_alignment_loss(parts_of(tokens, (5, 2), (1, 3)), PIDS, MODALITIES).item())
    assert loss == pytest.approx(0.3 * sum(losses) / 2, rel=1e-5)


def test_the_first_stage_aligns_grey_images_and_infrared_ones():
    gray = Batch(to_gray(BATCH.images, VISIBLE), PIDS, MODALITIES)
    ours, grayed = small(GRAY)(BATCH), small(GRAY)(gray)
    assert ours["alignment"].item() == pytest.approx(grayed["alignment"].item(), rel=1e-4)
    assert small(RGB)(BATCH)["alignment"].item() != pytest.approx(small(RGB)(gray)["alignment"].item(), rel=1e-4)


# Embeddings


def trained(steps=2, **options):
    """Some steps without an optimiser in each turn, which move the running means and the BatchNorms."""
    method = small(**options)
    for epoch in (SHARED, SPECIFIC):
        method.start_epoch(epoch, 9)
        for _ in range(steps):
            method(BATCH)
    return method.eval()


@pytest.mark.parametrize("select", ["batch_ema", "per_sample"])
@pytest.mark.parametrize("blocks", [1, 3])
def test_embeddings_do_not_depend_on_the_batch_or_on_the_epoch(select, blocks):
    method = trained(dasm={"select": select, "blocks": blocks}, test_feature="concat")
    together = embedded(method)
    for rows in (slice(3, 4), slice(8, 12), torch.tensor([11, 0, 5])):
        torch.testing.assert_close(embedded(method, rows), together[rows], rtol=0, atol=1e-6)
    method.start_epoch(GRAY, 9)
    assert torch.equal(embedded(method), together)


def test_what_an_image_is_embedded_by():
    plain, shared, both = (embedded(trained(test_feature=name)) for name in ("plain", "shared", "concat"))
    assert plain.shape == shared.shape == (12, 64) and both.shape == (12, 128)
    assert not torch.allclose(plain, shared, atol=1e-3)
    torch.testing.assert_close(both[:, :64] * 2**0.5, shared)
    method = trained()
    features = method._features(BATCH.images, ["shared"]).roles["shared"]
    torch.testing.assert_close(shared, F.normalize(method.role_norms["shared"](features, MODALITIES)))


def test_the_plain_class_token_stands_for_a_role_that_was_not_trained():
    fresh = {name: embedded(small(test_feature=name)) for name in ("plain", "shared", "concat")}
    torch.testing.assert_close(fresh["plain"], fresh["shared"])
    torch.testing.assert_close(fresh["concat"] * 2**0.5, torch.cat([fresh["plain"]] * 2, 1))
    for roles in ("specific", "off"):
        options = {"dasm": {"roles": roles}}
        plain = embedded(trained(**options, test_feature="plain"))
        torch.testing.assert_close(embedded(trained(**options)), plain)


# Size


def test_little_is_added():
    def count(method):
        return sum(parameter.numel() for parameter in method.parameters())

    without, shared, both = (count(small(dasm={"roles": roles})) for roles in ("off", "shared", "both"))
    assert shared - without == 16 + 2 * 64  # a scorer and a BatchNorm
    assert both - shared == 16 + 2 * 64 + 2 * 64 * IDENTITIES  # and a classifier per modality
    assert count(small(dasm={"blocks": 3})) - both == 2 * 2 * 16


def test_cost_at_the_published_size():
    with torch.device("meta"):
        method = cm_dasn.build(cm_dasn.Config(weights="none"), 395)
        plain = pmt.build(pmt.Config(weights="none"), 395)
    tokens, width, heads = 1 + 21 * 10, 768, 12
    # One row through a block, and its BatchNorm at two.
    row = 12 * width**2 + 2 * tokens * width + 2 * width
    assert count_macs(method, 256, 128) - count_macs(plain, 256, 128) == 2 * row
    assert row / 1e6 == pytest.approx(7.4, abs=0.05)
    setting = Setting(256, 128, 395, device="meta")
    ours, theirs = (count(each, setting) for each in (method, plain))
    # At test time a scorer and a BatchNorm; in training the same again for the specific role.
    assert ours.parameters - theirs.parameters == width // heads + 2 * width
    assert ours.training_parameters - theirs.training_parameters == width // heads + 2 * width
    assert ours.classifier_parameters - theirs.classifier_parameters == 2 * 395 * width


# Configs


@pytest.mark.parametrize(("data", "epochs"), [("sysu_mm01", 24), ("regdb", 36), ("llcm", 24)])
def test_the_shipped_settings_are_the_defaults_and_otherwise_pmts(data, epochs):
    ours, theirs = (configuration.load(CONFIGS / f"{name}_{data}.yaml") for name in ("cm_dasn", "pmt"))
    assert ours.method.options == cm_dasn.Config(dasm={"k": 6})
    assert (ours.images, ours.train, ours.data.options) == (theirs.images, theirs.train, theirs.data.options)
    assert ours.train.epochs == epochs


@pytest.mark.parametrize("data", ["sysu_mm01", "synthvi_nir"])
def test_rows_of_the_sweeps_build_what_they_say(data):
    runs = load_sweep(CONFIGS / f"sweeps/cm_dasn_components_{data}.yaml").runs
    assert len(runs) == 3 * 7
    options = {run.row.name: run.config.method.options for run in runs}
    assert [type(each) for each in options.values()] == [pmt.Config] + [cm_dasn.Config] * 6
    parts = {
        row: (each.loss.alignment > 0, each.dasm.roles, each.dasm.alternate)
        for row, each in options.items()
        if row != "PMT"
    }
    assert parts == {
        "MS": (True, "off", "epoch"),
        "DASM shared": (False, "shared", "epoch"),
        "DASM specific": (False, "specific", "epoch"),
        "DASM at once": (False, "both", "off"),
        "DASM in turns": (False, "both", "epoch"),
        "MS DASM in turns": (True, "both", "epoch"),
    }
    heads = {run.config.method.options.dasm.k for run in load_sweep(CONFIGS / f"sweeps/cm_dasn_heads_{data}.yaml").runs}
    assert heads == ({2, 4, 6, 8, 12} if data == "sysu_mm01" else {2, 3, 4, 6})


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"dasm": {"k": 5}}, r"method\.dasm\.k is 5, but the backbone has 4 heads"),
        ({"align": {"taps": [3, 7]}}, r"method\.align\.taps has 7, but the backbone has 6 blocks"),
        ({"dasm": {"blocks": 4}}, "blocks"),
        ({"align": {"strips": [3, 1]}}, "the smallest first"),
        ({"loss": {"selection": 0}}, "selection"),
    ],
)
def test_bad_options_are_refused(wrong, message):
    with pytest.raises((InputError, ValueError), match=message):
        small(**wrong)
