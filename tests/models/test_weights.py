"""Pretrained weights: local files, their faults, and no network."""

from urllib.error import URLError

import pytest
import timm
import torch
from huggingface_hub import constants
from safetensors.torch import save_file

from vireid.errors import InputError
from vireid.models import weights as weights_module
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


@pytest.mark.parametrize("wrap", [lambda s: {"state_dict": s}, lambda s: {f"module.{k}": v for k, v in s.items()}])
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
    with pytest.raises(InputError, match=r"'layer2.0.conv1.weight' is \(7, 64, 3, 3\), expected \(128, 64, 3, 3\)"):
        TwoStreamResNet("resnet18", weights=saved(wide, tmp_path / "r.pth"))


def test_another_depth_is_named(pretrained, tmp_path):
    with pytest.raises(InputError, match="does not hold a resnet34"):
        TwoStreamResNet("resnet34", weights=saved(pretrained, tmp_path / "r.pth"))


def test_a_deeper_network_is_not_loaded_by_halves(tmp_path):
    deeper = timm.create_model("resnet34").state_dict()
    with pytest.raises(InputError, match=r"deeper network than resnet18, with 'layer1.2.conv1.weight'"):
        TwoStreamResNet("resnet18", weights=saved(deeper, tmp_path / "r.pth"))


@pytest.mark.parametrize("name", ["broken.pth", "broken.safetensors"])
def test_a_damaged_file_is_named(tmp_path, name):
    (tmp_path / name).write_bytes(b"not weights at all")
    with pytest.raises(InputError, match=name) as caught:
        TwoStreamResNet("resnet18", weights=str(tmp_path / name))
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="weights not found"):
        TwoStreamResNet("resnet18", weights=str(tmp_path / "nowhere.pth"))


@pytest.mark.parametrize(("name", "repository"), [("resnet18", "resnet18.tv_in1k"), ("resnet14t", "resnet14t.c3_in1k")])
def test_imagenet_comes_from_timm(monkeypatch, tmp_path, name, repository):
    torch.manual_seed(1)
    state = timm.create_model(name).state_dict()

    def download(repo_id, filename, *, local_files_only):
        assert repo_id == f"timm/{repository}"
        assert not local_files_only
        return saved({key: value.clone() for key, value in state.items()}, tmp_path / filename)

    monkeypatch.setattr(weights_module, "_hub_answers", lambda: True)
    monkeypatch.setattr(weights_module, "hf_hub_download", download)
    model = TwoStreamResNet(name, split=1, weights="imagenet")
    expected = state["conv1.weight" if name == "resnet18" else "conv1.0.weight"]
    for stream in (model.stem.visible, model.stem.infrared):
        assert any(p.shape == expected.shape and torch.equal(p, expected) for p in stream.parameters())


def test_imagenet_without_a_network_or_a_cached_file_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(weights_module, "_hub_answers", lambda: False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(InputError, match=r"cannot fetch the ImageNet weights of resnet18.*method\.weights") as caught:
        TwoStreamResNet("resnet18", weights="imagenet")
    assert "\n" not in str(caught.value)


def test_a_backbone_without_imagenet_weights(monkeypatch):
    monkeypatch.setattr(timm, "get_pretrained_cfg", lambda name: None)
    with pytest.raises(InputError, match="timm has no ImageNet weights for resnet18"):
        TwoStreamResNet("resnet18", weights="imagenet")


def test_an_unreachable_hub_is_noticed(monkeypatch):
    def unreachable(request, timeout):
        raise URLError("Name or service not known")

    monkeypatch.setattr(weights_module, "urlopen", unreachable)
    assert not weights_module._hub_answers()


@pytest.fixture(scope="module")
def shipped():
    return weights_module.shipped_trunk()


def test_the_shipped_trunk_keeps_each_modality_apart(shipped):
    model = TwoStreamResNet("resnet18", split=2, bn_specific=["layer2", "layer3", "layer4"], weights="default")
    for name, value in model.state_dict().items():
        stage, stream, rest = name.split(".", 2)
        assert torch.equal(value, shipped[f"{stage}.{stream}.{rest}"])
    assert model.layer2.visible[0].conv1.weight is model.layer2.infrared[0].conv1.weight
    assert not torch.equal(model.layer2.visible[0].bn1.running_mean, model.layer2.infrared[0].bn1.running_mean)


def test_a_shared_batch_norm_gets_the_statistics_of_the_shipped_two_together(shipped):
    model = TwoStreamResNet("resnet18", split=0, weights="default")
    bn = model.layer3.body[0].bn1
    means, variances = (
        [shipped[f"layer3.{stream}.0.bn1.running_{what}"] for stream in ("visible", "infrared")]
        for what in ("mean", "var")
    )
    mean = (means[0] + means[1]) / 2
    torch.testing.assert_close(bn.running_mean, mean)
    squares = [variance + center**2 for variance, center in zip(variances, means, strict=True)]
    torch.testing.assert_close(bn.running_var, (squares[0] + squares[1]) / 2 - mean**2)
    assert torch.equal(model.layer3.body[0].conv1.weight, shipped["layer3.visible.0.conv1.weight"])


def test_the_shipped_trunk_fits_its_own_make_only(monkeypatch, tmp_path):
    with pytest.raises(InputError, match=r"is a resnet18, this trunk is a resnet34; .*method.backbone to resnet18"):
        TwoStreamResNet("resnet34", weights="default")
    monkeypatch.setattr(weights_module, "SHIPPED", tmp_path)
    with pytest.raises(InputError, match="is missing; reinstall vireid"):
        TwoStreamResNet("resnet18", weights="default")
