"""Routing, sharing and stages of the two-stream ResNet, on resnet18 at 64x32."""

import pytest
import timm
import torch

from vireid.errors import InputError
from vireid.models.non_local import NonLocal
from vireid.models.two_stream_resnet import STAGES, SharedStage, TwoStreamResNet, TwoStreamStage
from vireid.sample import Modality

V, I = Modality.VISIBLE, Modality.INFRARED  # noqa: E741


def backbone(**options):
    torch.manual_seed(0)
    return TwoStreamResNet("resnet18", weights="none", **options)


def images(count, seed=0):
    return torch.randn(count, 3, 64, 32, generator=torch.Generator().manual_seed(seed))


def tell_streams_apart(model):
    """Make infrared bodies differ from the visible ones they start equal to."""
    with torch.no_grad():
        for stage in STAGES:
            if isinstance(body := getattr(model, stage), TwoStreamStage):
                for module in body.infrared.modules():
                    if isinstance(module, torch.nn.BatchNorm2d):
                        module.weight.mul_(1.5).add_(0.1)


@pytest.mark.parametrize("split", range(5))
def test_split_counts_the_specific_stages(split):
    model = backbone(split=split)
    kinds = [type(getattr(model, stage)) for stage in STAGES]
    assert kinds == [TwoStreamStage] * split + [SharedStage] * (5 - split)


def test_only_what_is_used_is_held():
    plain = timm.create_model("resnet18", num_classes=0)
    count = sum(p.numel() for p in plain.parameters())
    stem = sum(p.numel() for part in (plain.conv1, plain.bn1) for p in part.parameters())
    layer1 = sum(p.numel() for p in plain.layer1.parameters())
    assert sum(p.numel() for p in backbone(split=0).parameters()) == count
    assert sum(p.numel() for p in backbone(split=1).parameters()) == count + stem
    assert sum(p.numel() for p in backbone(split=2).parameters()) == count + stem + layer1


@pytest.mark.parametrize(
    "options", [{"split": 2}, {"split": 0, "bn_specific": ("stem", "layer1", "layer4")}], ids=["split", "bn"]
)
def test_rows_keep_their_order_and_their_stream(options):
    model = backbone(**options).eval().double()
    tell_streams_apart(model)
    rows = images(5).double()
    modalities = torch.tensor([I, V, V, I, V])
    with torch.no_grad():
        mixed = model(rows, modalities)
        alone = torch.cat([model(rows[i : i + 1], modalities[i : i + 1]) for i in range(5)])
        swapped = model(rows, 1 - modalities)
    torch.testing.assert_close(mixed, alone, rtol=1e-4, atol=1e-5)
    assert ((mixed - swapped).abs().amax((1, 2, 3)) > 1e-2).all()


def test_modalities_do_not_matter_when_all_is_shared():
    model = backbone(split=0).eval()
    with torch.no_grad():
        assert torch.equal(model(images(2), torch.tensor([V, I])), model(images(2), torch.tensor([I, V])))


@pytest.mark.parametrize("modality", [V, I])
def test_a_batch_of_one_modality_trains_its_own_stream_only(modality):
    model = backbone(split=1)
    model(images(4), torch.full((4,), modality)).sum().backward()
    streams = {V: model.stem.visible, I: model.stem.infrared}
    used, unused = streams[modality], streams[modality.other]
    assert all(p.grad is not None for p in used.parameters())
    assert all(p.grad is None for p in unused.parameters())
    assert all(p.grad is not None for p in model.layer1.parameters())


def test_specific_batch_norm_over_shared_convolutions():
    model = backbone(split=0, bn_specific=("stem", "layer1"))
    visible, infrared = (
        dict(model.layer1.visible.named_modules()),
        dict(model.layer1.infrared.named_modules()),
    )
    for name, module in visible.items():
        if isinstance(module, torch.nn.Conv2d):
            assert infrared[name] is module
        if isinstance(module, torch.nn.BatchNorm2d):
            assert infrared[name] is not module
    model(images(4), torch.full((4,), V)).sum().backward()
    assert model.stem.infrared[0].weight.grad is not None
    assert model.stem.infrared[1].weight.grad is None
    assert model.stem.infrared[1].num_batches_tracked == 0
    names = [name for name, _ in model.named_parameters()]
    assert len(names) == len(set(names))
    extra = sum(p.numel() for p in model.parameters()) - sum(p.numel() for p in backbone(split=0).parameters())
    assert extra == 2 * 64 * (1 + 4)  # one BatchNorm in the stem, four in layer1, weight and bias of 64 channels


def test_training_statistics_are_kept_apart():
    model = backbone(split=1).train()
    model(torch.cat([images(2), 5 + images(2, 1)]), torch.tensor([V, V, I, I]))
    difference = (model.stem.visible[1].running_var - model.stem.infrared[1].running_var).abs()
    assert difference.max() > 0


def test_map_size_and_channels():
    model = backbone()
    with torch.no_grad():
        assert model(images(1), torch.tensor([V])).shape == (1, 512, 4, 2)
        last = TwoStreamResNet("resnet18", weights="none", last_stride=2)
        assert last(images(1), torch.tensor([V])).shape == (1, 512, 2, 1)
    assert model.channels == {"stem": 64, "layer1": 64, "layer2": 128, "layer3": 256, "layer4": 512}


def test_stages_compose_to_the_whole():
    model = backbone(split=2).eval()
    rows, modalities = images(3), torch.tensor([V, I, V])
    with torch.no_grad():
        tap = model.stages(rows, modalities, last="layer3")
        assert tap.shape == (3, 256, 4, 2)
        whole = model.layer4(tap, modalities)
        torch.testing.assert_close(whole, model(rows, modalities))
        torch.testing.assert_close(whole, model.stages(tap, modalities, first="layer4"))


def test_matches_timm():
    model = backbone(split=3, last_stride=2).eval()
    torch.manual_seed(0)
    plain = timm.create_model("resnet18", num_classes=0, zero_init_last=False).eval()
    with torch.no_grad():
        torch.testing.assert_close(model(images(2), torch.tensor([I, V])), plain.forward_features(images(2)))


def test_deep_stem_variants():
    model = TwoStreamResNet("resnet14t", weights="none", split=1).eval()
    with torch.no_grad():
        assert model(images(1), torch.tensor([I])).shape[2:] == (4, 2)


def test_non_local_blocks_start_as_identity():
    options = {"non_local": {"layer2": 2, "layer3": 3}, "non_local_width": 1}
    plain, with_blocks = backbone().eval(), backbone(**options).eval()
    # resnet18 has only two blocks a stage.
    assert sum(isinstance(module, NonLocal) for module in with_blocks.modules()) == 4
    weights = plain.state_dict()
    renamed = {}
    for name in with_blocks.state_dict():
        parts = name.split(".")
        if parts[0] in ("layer2", "layer3") and parts[3] == "0":
            renamed[name] = weights[".".join(parts[:3] + parts[4:])]
        elif name in weights:
            renamed[name] = weights[name]
    with_blocks.load_state_dict(renamed, strict=False)
    with torch.no_grad():
        modalities = torch.tensor([V, I])
        torch.testing.assert_close(with_blocks(images(2), modalities), plain(images(2), modalities))


@pytest.mark.parametrize(
    "options", [{"split": 1}, {"split": 1, "bn_specific": ["layer1", "layer2", "layer3", "layer4"]}, {"split": 3}]
)
def test_shipped_weights_with_non_local_blocks(options):
    """The blocks start as the identity, so the map is that of the shipped weights without them."""
    plain = TwoStreamResNet("resnet18", weights="default", **options).eval()
    non_local = {"layer2": 2, "layer3": 1}
    with_blocks = TwoStreamResNet("resnet18", weights="default", non_local=non_local, **options).eval()
    assert any(isinstance(module, NonLocal) for module in with_blocks.modules())
    with torch.no_grad():
        modalities = torch.tensor([V, I])
        assert torch.equal(with_blocks(images(2), modalities), plain(images(2), modalities))


def test_non_local_block_slow_reference():
    torch.manual_seed(0)
    block = NonLocal(3, 2).eval()
    torch.nn.init.ones_(block.bn.weight)
    x = torch.randn(1, 3, 2, 2)
    with torch.no_grad():
        theta, phi, g = (conv(x)[0].flatten(1) for conv in (block.theta, block.phi, block.g))  # (2, 4)
        attended = torch.zeros(2, 4)
        for i in range(4):
            for j in range(4):
                attended[:, i] += (theta[:, i] @ phi[:, j]) / 4 * g[:, j]
        expected = x + block.bn(block.out(attended.reshape(1, 2, 2, 2)))
        torch.testing.assert_close(block(x), expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "resnet19"}, "unknown backbone 'resnet19'"),
        ({"name": "vit_base_patch16_224"}, "unknown backbone"),
        ({"name": "resnetblur50"}, "unknown backbone"),
        ({"split": 5}, "split is 5"),
        ({"bn_specific": ("layer9",)}, "bn_specific names 'layer9'"),
        ({"split": 2, "bn_specific": ("layer1",)}, "split 2 makes all of it specific"),
    ],
)
def test_bad_options_say_what_was_expected(options, message):
    name = options.pop("name", "resnet18")
    with pytest.raises(InputError, match=message):
        TwoStreamResNet(name, weights="none", **options)


@pytest.mark.parametrize("size", [(64, 32), (32, 16)])
def test_maps_of_two_columns_are_finite_in_bf16(size):
    torch.manual_seed(0)
    backbone = TwoStreamResNet("resnet18", weights="none", last_stride=2).to(memory_format=torch.channels_last)
    images = torch.randn(12, 3, *size).to(memory_format=torch.channels_last)
    for _ in range(5):
        # What is read but was never written shows if the freed memory holds no numbers.
        del [torch.full((2**power,), torch.nan) for power in (12, 14, 16, 18, 20, 22) for _ in range(4)][:]
        with torch.autocast("cpu", torch.bfloat16):
            features = backbone(images, torch.arange(12) % 2)
        features.float().square().mean().backward()
        assert features.isfinite().all()
        assert all(p.grad.isfinite().all() for p in backbone.parameters())
