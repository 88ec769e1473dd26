"""Pretrained weights: local files, their faults, and no network."""

import pytest
import timm
import torch
from safetensors.torch import save_file

from vireid.errors import InputError
from vireid.models.two_stream_resnet import TwoStreamResNet
from vireid.models.weights import load_weights


@pytest.fixture(scope="module")
def pretrained():
    """A resnet18 with a classifier, as torchvision and timm save it."""
    torch.manual_seed(1)
    return {name: value.clone() for name, value in timm.create_model("resnet18").state_dict().items()}


def saved(state, path):
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)
    return str(path)


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors"])
def test_a_local_file_fills_both_streams(pretrained, tmp_path, suffix):
    model = TwoStreamResNet("resnet18", split=2, weights=saved(pretrained, tmp_path / f"r{suffix}"))
    for stream in (model.stem.visible, model.stem.infrared):
        assert torch.equal(stream[0].weight, pretrained["conv1.weight"])
    for stream in (model.layer1.visible, model.layer1.infrared):
        assert torch.equal(stream[0].conv1.weight, pretrained["layer1.0.conv1.weight"])
    assert torch.equal(model.layer4.body[1].conv2.weight, pretrained["layer4.1.conv2.weight"])


@pytest.mark.parametrize(
    "wrap", [lambda s: {"state_dict": s}, lambda s: {f"module.{k}": v for k, v in s.items()}]
)
def test_wrapped_state_dicts_are_understood(pretrained, tmp_path, wrap):
    model = timm.create_model("resnet18", num_classes=0)
    load_weights(model, saved(wrap(pretrained), tmp_path / "r.pth"), "resnet18")
    assert torch.equal(model.conv1.weight, pretrained["conv1.weight"])


def test_old_files_without_batch_counters(pretrained, tmp_path):
    old = {name: value for name, value in pretrained.items() if "num_batches" not in name}
    TwoStreamResNet("resnet18", weights=saved(old, tmp_path / "r.pth"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"layer9.weight": torch.zeros(1)}, "does not hold a resnet18: .* for example 'conv1.weight'"),
        ({"epoch": 3}, "holds no tensors by name"),
        ([1, 2], "holds no tensors by name"),
    ],
)
def test_the_wrong_file_is_named(tmp_path, content, message):
    with pytest.raises(InputError, match=message) as caught:
        TwoStreamResNet("resnet18", weights=saved(content, tmp_path / "wrong.pth"))
    assert "wrong.pth" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_another_shape_is_named(pretrained, tmp_path):
    wide = {**pretrained, "layer2.0.conv1.weight": torch.zeros(7, 64, 3, 3)}
    with pytest.raises(
        InputError, match=r"'layer2.0.conv1.weight' is \(7, 64, 3, 3\), expected \(128, 64, 3, 3\)"
    ):
        TwoStreamResNet("resnet18", weights=saved(wide, tmp_path / "r.pth"))


def test_another_depth_is_named(pretrained, tmp_path):
    with pytest.raises(InputError, match="does not hold a resnet34"):
        TwoStreamResNet("resnet34", weights=saved(pretrained, tmp_path / "r.pth"))


@pytest.mark.parametrize("name", ["broken.pth", "broken.safetensors"])
def test_a_damaged_file_is_named(tmp_path, name):
    (tmp_path / name).write_bytes(b"not weights at all")
    with pytest.raises(InputError, match=name) as caught:
        TwoStreamResNet("resnet18", weights=str(tmp_path / name))
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="weights not found"):
        TwoStreamResNet("resnet18", weights=str(tmp_path / "nowhere.pth"))


def test_imagenet_comes_from_timm(pretrained, monkeypatch):
    genuine = timm.create_model

    def create(name, pretrained=False, **options):
        torch.manual_seed(7 if pretrained else 8)
        return genuine(name, **options)

    monkeypatch.setattr(timm, "create_model", create)
    model = TwoStreamResNet("resnet18", split=1, weights="imagenet")
    expected = create("resnet18", pretrained=True, num_classes=0).conv1.weight
    assert torch.equal(model.stem.visible[0].weight, expected)
    assert torch.equal(model.stem.infrared[0].weight, expected)


def test_imagenet_without_a_network_says_what_to_do(monkeypatch):
    genuine = timm.create_model

    def offline(name, pretrained=False, **options):
        if pretrained:
            raise OSError("no route to host\nand a long trace")
        return genuine(name, **options)

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(InputError, match=r"no route to host.*method\.weights") as caught:
        TwoStreamResNet("resnet18", weights="imagenet")
    assert "\n" not in str(caught.value)
