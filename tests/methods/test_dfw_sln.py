"""DFW-SLN: every property that its equations promise, and the rows of its ablation."""

import math
from pathlib import Path

import pytest
import torch
import yaml

from vireid import config as configuration
from vireid.losses.hetero_center import hetero_center_triplet_loss
from vireid.losses.identity import identity_loss
from vireid.losses.triplet import triplet_loss
from vireid.methods import baseline, dfw_sln
from vireid.methods.dfw_sln import SegmentationConfig, focus_map, overlap_penalty
from vireid.models.pooling import GeM
from vireid.sample import Batch

SIZE = (128, 64)  # of the images: a map of 8 x 4 cells has 16 pixels to a cell
BATCH = Batch(
    torch.randn(8, 3, 64, 32, generator=torch.Generator().manual_seed(0)),
    torch.tensor([0, 0, 1, 1] * 2),
    torch.tensor([0] * 4 + [1] * 4),
)
OFF = {"enabled": False}


def small(**options):
    torch.manual_seed(0)
    return dfw_sln.build(dfw_sln.Config(backbone="resnet18", weights="none", **options), 3).train()


def features(images=3, seed=1):
    """As a ReLU leaves them."""
    return torch.randn(images, 5, 6, 4, generator=torch.Generator().manual_seed(seed)).relu()


def peak(row, column, height=8, width=4, sharpness=1.0):
    """A map `(1, h, w)` with one bump, its top at the cell (row, column)."""
    rows, columns = torch.meshgrid(torch.arange(float(height)), torch.arange(float(width)), indexing="ij")
    return torch.exp(-sharpness * ((rows - row) ** 2 + (columns - column) ** 2))[None]


def test_placement_and_train_only():
    images, modalities = BATCH.images, BATCH.modalities
    plain, after3, twice = (
        small(dfw=dfw, sln=OFF).eval().embed(images, modalities)
        for dfw in (OFF, {"after": ["layer3"]}, {"after": ["layer2", "layer3"]})
    )
    assert not torch.allclose(plain, after3, atol=1e-4)
    assert not torch.allclose(after3, twice, atol=1e-4)
    method = small(dfw={"train_only": True}, sln=OFF).eval()
    torch.testing.assert_close(method.embed(images, modalities), plain)
    train, other = small(dfw={"train_only": True}, sln=OFF)(BATCH), small(dfw=OFF, sln=OFF)(BATCH)
    assert train["triplet"].item() != pytest.approx(other["triplet"].item(), rel=1e-4)


# Overlap penalty


@pytest.mark.parametrize(
    ("metric", "expected"),
    [("pixel", 16 * math.hypot(3, 2)), ("grid", math.hypot(3, 2)), ("grid_sq", 13), ("flat_index", 14)],
)
def test_penalty_by_hand_in_every_metric(metric, expected):
    # Peaks at (1, 1) and (4, 3): three rows and two columns apart, flat indices 5 and 19.
    options = SegmentationConfig(metric=metric, peak="hard", S=100, op_scale="raw")
    penalty = overlap_penalty(peak(1, 1), peak(4, 3), options, image_size=SIZE)
    assert penalty.item() == pytest.approx(100 - expected, rel=1e-6)
    scaled = overlap_penalty(peak(1, 1), peak(4, 3), options.model_copy(update={"op_scale": "by_S"}), image_size=SIZE)
    assert scaled.item() == pytest.approx(1 - expected / 100, rel=1e-6)


def test_penalty_is_the_mean_of_the_hinges_of_the_images():
    first, second = torch.cat([peak(0, 0), peak(1, 1)]), torch.cat([peak(7, 3), peak(1, 2)])
    options = SegmentationConfig(peak="hard", S=20, op_scale="raw")
    assert overlap_penalty(first, second, options, image_size=SIZE).item() == pytest.approx((0 + 4) / 2)


@pytest.mark.parametrize("peak_kind", ["hard", "st"])
def test_no_penalty_beyond_S_and_all_of_it_at_coinciding_peaks(peak_kind):
    options = SegmentationConfig(peak=peak_kind, S=60, op_scale="raw")
    assert overlap_penalty(peak(1, 1), peak(6, 2), options, image_size=SIZE).item() == 0
    assert overlap_penalty(peak(3, 1), peak(3, 1, sharpness=0.2), options, image_size=SIZE).item() == 60
    for scale in ("raw", "by_S"):
        off = SegmentationConfig(peak=peak_kind, S=0, op_scale=scale)
        first = peak(3, 1, sharpness=0.2).requires_grad_()
        penalty = overlap_penalty(first, peak(3, 1), off, image_size=SIZE) + 0 * first.sum()
        (gradient,) = torch.autograd.grad(penalty, first)
        assert penalty.item() == 0 and not gradient.any()  # the control of Figure 4


@pytest.mark.parametrize("peak_kind", ["hard", "st", "soft", "oap"])
def test_penalty_is_symmetric_in_the_branches(peak_kind):
    first, second = peak(2, 1, sharpness=0.3), peak(4, 2)
    options = SegmentationConfig(peak=peak_kind)
    one, other = (overlap_penalty(*pair, options, image_size=SIZE) for pair in ((first, second), (second, first)))
    assert one.item() == pytest.approx(other.item(), rel=1e-6)


def test_hard_has_no_gradient_and_st_has_its_value():
    first, second = peak(3, 1).requires_grad_(), peak(4, 2)
    hard = overlap_penalty(first, second, SegmentationConfig(peak="hard"), image_size=SIZE)
    assert not hard.requires_grad
    straight = overlap_penalty(first, second, SegmentationConfig(peak="st"), image_size=SIZE)
    assert straight.item() == pytest.approx(hard.item(), rel=1e-6)
    (gradient,) = torch.autograd.grad(straight, first)
    assert gradient.isfinite().all() and gradient.abs().sum() > 0


@pytest.mark.parametrize("peak_kind", ["st", "soft", "oap"])
def test_the_gradient_is_the_same_under_autocast(peak_kind):
    """At first the branches look almost at one place: positions rounded to bf16 would not differ at all."""
    gradients = []
    for enabled in (False, True):
        first = peak(3.0, 1.0, sharpness=0.3).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            penalty = overlap_penalty(
                first, peak(3.01, 1.0, sharpness=0.3), SegmentationConfig(peak=peak_kind), image_size=SIZE
            )
        gradients += torch.autograd.grad(penalty, first)
    assert gradients[0].abs().sum() > 0
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("peak_kind", ["st", "soft", "oap"])
@pytest.mark.parametrize("metric", ["pixel", "grid", "grid_sq", "flat_index"])
def test_the_gradient_moves_a_peak_away(peak_kind, metric):
    options = SegmentationConfig(peak=peak_kind, metric=metric, S=100)
    still = peak(3.0, 1.0, sharpness=0.3)
    row = torch.tensor(3.4, requires_grad=True)  # one branch looks a little below the other
    start = row.item()
    for _ in range(200):
        rows, columns = torch.meshgrid(torch.arange(8.0), torch.arange(4.0), indexing="ij")
        moving = torch.exp(-0.3 * ((rows - row) ** 2 + (columns - 1) ** 2))[None]
        (gradient,) = torch.autograd.grad(overlap_penalty(still, moving, options, image_size=SIZE), row)
        with torch.no_grad():
            row -= 0.05 * gradient.sign()
    assert row.item() > start + 2


def test_oap_by_hand():
    options = SegmentationConfig(peak="oap")
    far = overlap_penalty(peak(0, 0), peak(7, 3), options, image_size=SIZE)
    same = overlap_penalty(peak(3, 1), peak(3, 1), options, image_size=SIZE)
    assert far < 0.05 < same <= 1
    # Maps that are 0 and 1 give soft masks a = 1 / (1 + e^5) and b = 1 - a.
    a = 1 / (1 + math.exp(5))
    b = 1 - a
    half = torch.tensor([[[1.0, 1.0, 0.0, 0.0]]])
    one = torch.tensor([[[0.0, 1.0, 0.0, 0.0]]])
    expected = (a * b + b * b + 2 * a * a) / (b + 3 * a)
    assert overlap_penalty(half, one, options, image_size=SIZE).item() == pytest.approx(expected, rel=1e-4)


def test_focus_map_is_gem_over_the_channels():
    x = features()
    expected = (x.double().pow(3).mean(1)).pow(1 / 3)
    torch.testing.assert_close(focus_map(x, GeM(3.0)).double(), expected, rtol=1e-4, atol=1e-5)


# The whole method


def test_losses_are_those_of_the_paper():
    method = small()
    losses = method(BATCH)
    assert list(losses) == ["identity", "triplet", "hetero_center", "overlap"]
    assert set(small(sln=OFF)(BATCH)) == {"identity", "triplet"}  # the baseline's L_ReID alone
    assert set(small(sln=OFF, loss={"hetero_center": 1.0})(BATCH)) == {"identity", "triplet", "hetero_center"}
    assert set(small(sln={"lambda": 0.0}, loss={"hetero_center": 0.0})(BATCH)) == {"identity", "triplet"}


def test_losses_by_their_parts():
    weights = {"identity": 2.0, "triplet": 0.5, "hetero_center": 3.0}
    losses = small(sln={"lambda": 0.7}, loss=weights)(BATCH)
    method = small(sln={"lambda": 0.7}, loss=weights)
    maps = method._maps(BATCH.images, BATCH.modalities)
    rows = [method.pool(branch) for branch in maps]
    logits = [neck.classify(neck(x, BATCH.modalities)) for neck, x in zip(method.necks, rows, strict=True)]
    identity = sum(identity_loss(x, BATCH.pids) for x in logits) / 2
    triplet = sum(triplet_loss(x, BATCH.pids) for x in rows) / 2
    centers = hetero_center_triplet_loss(torch.cat(rows, 1), BATCH.pids, BATCH.modalities)
    focus = [focus_map(branch, method.pool) for branch in maps]
    overlap = overlap_penalty(*focus, method.config.sln, image_size=(64, 32))
    expected = {
        "identity": 2 * identity,
        "triplet": 0.5 * triplet,
        "hetero_center": 3 * centers,
        "overlap": 0.7 * overlap,
    }
    for name, value in expected.items():
        assert losses[name].item() == pytest.approx(value.item(), rel=1e-4), name


def test_without_dfw_and_sln_it_is_the_baseline():
    torch.manual_seed(0)
    plain = baseline.build(baseline.Config(backbone="resnet18", weights="none", split=2, pool="gem"), 3).train()
    method = small(dfw=OFF, sln=OFF)
    method.backbone.load_state_dict(plain.backbone.state_dict())
    method.necks[0].load_state_dict(plain.neck.state_dict())
    ours, theirs = method(BATCH), plain(BATCH)
    assert {name: value.item() for name, value in ours.items()} == pytest.approx(
        {name: value.item() for name, value in theirs.items()}, rel=1e-5
    )
    embeddings = method.eval().embed(BATCH.images, BATCH.modalities)
    torch.testing.assert_close(embeddings, plain.eval().embed(BATCH.images, BATCH.modalities))


def test_embedding_joins_both_branches():
    method = small().eval()
    embeddings = method.embed(BATCH.images, BATCH.modalities)
    assert embeddings.shape == (8, 2 * 512)
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(8))
    order = torch.randperm(8, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(method.embed(BATCH.images[order], BATCH.modalities[order]), embeddings[order])


def trained(factor):
    """Eight steps, then the penalty itself, whatever its factor was in training."""
    method = small(dfw=OFF, sln={"lambda": factor, "S": 40})
    optimizer = torch.optim.SGD(method.parameters(), lr=0.02, momentum=0.9)
    for _ in range(8):
        optimizer.zero_grad()
        sum(method(BATCH).values()).backward()
        optimizer.step()
    with torch.no_grad():
        focus = [focus_map(branch, method.pool) for branch in method._maps(BATCH.images, BATCH.modalities)]
        return method, overlap_penalty(*focus, SegmentationConfig(S=40), image_size=(64, 32)).item()


def test_branches_start_alike_and_diverge_in_training_because_of_the_penalty():
    start = small(dfw=OFF)
    pairs = list(zip(start.backbone.layer4.parameters(), start.twin.parameters(), strict=True))
    relative = ((pairs[0][1] - pairs[0][0]) / pairs[0][0]).flatten()
    assert 0.005 < relative.std() < 0.02  # one per cent of noise
    apart = sum((a - b).norm().item() ** 2 for a, b in pairs) ** 0.5
    without, with_penalty = trained(0.0), trained(5.0)
    for method, _ in (without, with_penalty):
        pairs = zip(method.backbone.layer4.parameters(), method.twin.parameters(), strict=True)
        assert sum((a - b).norm().item() ** 2 for a, b in pairs) ** 0.5 > 1.2 * apart
    assert with_penalty[1] < without[1] - 0.1


@pytest.mark.parametrize(("share", "own"), [("none", 8_393_728), ("conv", 2 * 5 * 512), ("all", 0)])
def test_what_the_two_layer4_share(share, own):
    method = small(sln={"share": share})
    known = {id(parameter) for parameter in method.backbone.parameters()}
    twin = [] if method.twin is None else list(method.twin.parameters())
    assert sum(p.numel() for p in twin if id(p) not in known) == own
    # One and the same layer4 cannot look at two places.
    assert ("overlap" in method(BATCH)) == (share != "all")
    groups = method.parameter_groups()
    grouped = [id(p) for group in groups for p in group["params"]]
    assert len(grouped) == len(set(grouped)) == sum(p.requires_grad for p in method.parameters())
    assert method.eval().embed(BATCH.images, BATCH.modalities).shape == (8, 1024)


def test_both_layer4_learn_and_the_penalty_alone_reaches_them():
    method = small()
    method(BATCH)["overlap"].backward()
    for layer4 in (method.backbone.layer4, method.twin):
        assert sum(p.grad.abs().sum() for p in layer4.parameters()) > 0


def test_options_of_the_losses_change_them():
    hard, random = small()(BATCH), small(mining="random")(BATCH)
    assert random["triplet"] < hard["triplet"]
    total = small(center_reduction="sum")(BATCH)
    assert total["hetero_center"].item() == pytest.approx(4 * hard["hetero_center"].item(), rel=1e-4)  # 2 P anchors


@pytest.mark.parametrize(
    "wrong",
    [
        {"dfw": {"alpha": 1.5}},
        {"dfw": {"matrix": "D4"}},
        {"dfw": {"after": ["layer4"]}},
        {"dfw": {"after": []}},
        {"sln": {"S": -1}},
        {"sln": {"lamda": 1}},
        {"split": 5},
    ],
)
def test_bad_options_are_refused(wrong):
    with pytest.raises(ValueError):
        dfw_sln.Config(**wrong)


# Table 1

CONFIGS = Path(__file__).parents[2] / "configs"
#                       DFW, SLN, random erasing, in the order of the paper's Table 1
TABLE_1 = {"A": (0, 0, 0), "B": (1, 0, 0), "C": (0, 1, 0), "D": (0, 0, 1)}
TABLE_1 |= {"E": (1, 0, 1), "F": (1, 1, 0), "G": (0, 1, 1), "H": (1, 1, 1)}


@pytest.mark.parametrize("data", ["sysu_mm01", "regdb", "synthvi_nir"])
@pytest.mark.parametrize("letter", TABLE_1)
def test_rows_of_table_1_build_what_they_say(letter, data):
    rows = yaml.safe_load((CONFIGS / f"sweeps/dfw_sln_table1_{data}.yaml").read_text())["rows"]
    (name,) = [row for row in rows if row.split()[0] == letter and "mask" not in row]
    changes = {"method.backbone": "resnet18", "method.weights": "none", "method.bn_specific": [], **rows[name]}
    experiment = configuration.load(CONFIGS / f"dfw_sln_{data}.yaml").override(changes)
    dfw, sln, erase = TABLE_1[letter]
    method = dfw_sln.build(experiment.method.options, 395)
    assert experiment.images.augment.erase == 0.5 * erase
    assert method.config.dfw.enabled == bool(dfw)
    assert len(method.necks) == 1 + sln and (method.twin is not None) == bool(sln)
    trunk = 11_176_512 + 157_504  # a resnet18 with a second stem and layer1
    neck = 512 * 2 + 512 * 395  # BatchNorm, classifier
    layer4 = 8_393_728
    assert sum(p.numel() for p in method.parameters()) == trunk + neck + sln * (layer4 + neck)


@pytest.mark.parametrize(
    ("data", "alpha", "factor", "identities", "images"),
    [("sysu_mm01", 0.5, 0.5, 6, 6), ("regdb", 0.2, 1.0, 8, 4), ("llcm", 0.5, 0.5, 6, 6)],
)
def test_the_shipped_settings_are_those_of_the_paper(data, alpha, factor, identities, images):
    experiment = configuration.load(CONFIGS / f"dfw_sln_{data}.yaml")
    method, train = experiment.method.options, experiment.train
    assert (method.dfw.matrix, method.dfw.alpha, method.sln.S, method.sln.lambda_) == ("D1", alpha, 100, factor)
    assert (train.identities, train.images_per_modality, train.epochs) == (identities, images, 60)
    assert (train.optimizer.name, train.optimizer.lr, train.schedule.name) == ("sgd", 0.1, "agw_step")
    assert (experiment.images.height, experiment.images.width, experiment.images.augment.erase) == (288, 144, 0.5)
    assert (method.backbone, method.split, method.gem_p, method.margin) == ("resnet50", 2, 3, 0.3)
