"""The vision transformer on overlapping patches, and grey images for it."""

import re

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from vireid.data.augment import AugmentConfig, augment, normalize
from vireid.errors import InputError
from vireid.models import weights as weights_module
from vireid.models.gray import to_gray
from vireid.models.vision_transformer import VisionTransformer, resize_positions


def small(**options):
    """For 64 x 32 images, whose patches form 5 rows of 2; same seed, same weights."""
    torch.manual_seed(0)
    return VisionTransformer("test_vit", **{"weights": "none", "grid": (5, 2)} | options)


def images(height=64, width=32, number=2):
    return torch.randn(number, 3, height, width, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def pretrained():
    """The tiny ViT as timm has it, for 160 x 160 images in patches side by side, with a classifier."""
    torch.manual_seed(1)
    return timm.create_model("test_vit").eval()


def saved(state, path):
    save_file({key: value.clone() for key, value in state.items()}, path)
    return str(path)


@pytest.mark.parametrize(
    ("size", "stride", "grid"),
    [((256, 128), 12, (21, 10)), ((128, 64), 12, (10, 5)), ((16, 16), 12, (1, 1)), ((224, 224), 16, (14, 14))],
)
def test_the_grid_of_patches(size, stride, grid):
    vit = small(stride=stride)
    assert vit.grid_of(torch.zeros(1, 3, *size)) == grid
    assert vit(torch.zeros(1, 3, *size)).shape == (1, 1 + grid[0] * grid[1], 64)


def test_tokens_are_class_token_then_patches_row_by_row_with_their_positions():
    vit = small().eval()
    x = images()
    tokens = vit.tokens(x)
    assert tokens.shape == (2, 11, 64)
    torch.testing.assert_close(tokens[:, 0], (vit.cls_token[0, 0] + vit.pos_embed[0, 0]).expand(2, -1))
    patches = F.unfold(x, 16, stride=12)  # (B, 3 * 16 * 16, h * w), row by row
    proj = vit.patch_embed.proj
    expected = patches.transpose(1, 2) @ proj.weight.flatten(1).T + proj.bias + vit.pos_embed[:, 1:]
    torch.testing.assert_close(tokens[:, 1:], expected, rtol=1e-4, atol=1e-5)


def test_it_is_the_model_of_timm_where_patches_lie_side_by_side(pretrained, tmp_path):
    weights = saved(pretrained.state_dict(), tmp_path / "w.safetensors")
    vit = VisionTransformer("test_vit", weights=weights, grid=(10, 10), stride=16).eval()
    with torch.no_grad():
        expected = pretrained.forward_features(images(160, 160))
        torch.testing.assert_close(vit(images(160, 160)), expected)


def test_pretrained_positions_are_resized_bilinearly(pretrained, tmp_path):
    vit = small(weights=saved(pretrained.state_dict(), tmp_path / "w.safetensors"), grid=(5, 2))
    square = pretrained.pos_embed[0, 1:].reshape(10, 10, 64).permute(2, 0, 1)[None]
    expected = F.interpolate(square, (5, 2), mode="bilinear").flatten(2)[0].T
    torch.testing.assert_close(vit.pos_embed[0, 1:], expected)
    torch.testing.assert_close(vit.pos_embed[0, 0], pretrained.pos_embed[0, 0])
    assert torch.equal(vit.blocks[5].mlp.fc2.weight, pretrained.blocks[5].mlp.fc2.weight)


def test_resized_positions_by_hand():
    """Two rows of one column become four: the outer ones stay, those between are a quarter of the way."""
    positions = torch.tensor([[[7.0], [0.0], [8.0]]])
    assert resize_positions(positions, (2, 1), (4, 1)).flatten().tolist() == [7, 0, 2, 6, 8]


@pytest.mark.parametrize("grid", [(5, 2), (4, 4)])
def test_its_own_weights_are_taken_as_they_are(tmp_path, grid):
    """Of a square grid, too."""
    first = small(grid=grid)
    weights = saved(first.state_dict(), tmp_path / "w.safetensors")
    assert torch.equal(small(grid=grid, weights=weights).pos_embed, first.pos_embed)


def test_weights_of_another_grid_that_is_not_square_are_refused(tmp_path):
    weights = saved(small(grid=(5, 2)).state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(InputError, match=r"hold positions of 10 patches, method\.grid 6 x 2 has 12"):
        small(grid=(6, 2), weights=weights)


def test_patches_may_not_leave_gaps():
    with pytest.raises(InputError, match=r"method\.stride is 17, more than a patch of 16 pixels"):
        small(stride=17)


def test_imagenet_weights_are_those_of_the_authors_and_of_a_square_grid(monkeypatch, pretrained, tmp_path):
    asked = []

    def download(repo_id, filename, **_):
        asked.append(repo_id)
        return saved(pretrained.state_dict(), tmp_path / filename)

    monkeypatch.setattr(weights_module, "_hub_answers", lambda: True)
    monkeypatch.setattr(weights_module, "hf_hub_download", download)
    vit = VisionTransformer("test_vit", grid=(20, 5))  # as many patches as the file has, in another shape
    expected = resize_positions(pretrained.pos_embed, (10, 10), (20, 5))
    torch.testing.assert_close(vit.pos_embed, expected)
    with pytest.raises(InputError, match="does not hold a vit_base_patch16_224"), torch.device("meta"):
        VisionTransformer("vit_base_patch16_224")
    assert asked == ["timm/test_vit.r160_in1k", "timm/vit_base_patch16_224.orig_in21k_ft_in1k"]


def test_images_of_another_size_get_resized_positions():
    vit = small().eval()
    taller = vit.tokens(torch.zeros(1, 3, 112, 32))
    expected = resize_positions(vit.pos_embed, (5, 2), (9, 2))[0, 1:] + vit.patch_embed.proj.bias
    torch.testing.assert_close(taller[0, 1:], expected)


def test_images_smaller_than_a_patch_are_refused():
    with pytest.raises(InputError, match="images are 64 x 12 pixels, less than a patch of 16 x 16"):
        small()(images(64, 12))


def test_heads():
    assert (small().heads, small(heads=4).heads) == (2, 4)
    with pytest.raises(InputError, match=r"method\.heads is 5, which does not divide the width of test_vit"):
        small(heads=5)
    with pytest.raises(InputError, match="ImageNet weights were trained with the model's own number of heads"):
        small(heads=4, weights="imagenet")


@pytest.mark.parametrize("name", ["resnet18", "test_vit2", "vit_base_patch16_clip_224", "vit_bse_patch16_224"])
def test_other_models_are_refused(name):
    with torch.device("meta"), pytest.raises(InputError, match=re.escape(f"unknown backbone '{name}', expected a pl")):
        VisionTransformer(name, weights="none")


def test_the_shipped_model_is_no_vit():
    with pytest.raises(InputError, match=re.escape("method.weights default: the shipped model is a resnet18")):
        small(weights="default")


def test_every_parameter_learns_and_bf16_works():
    vit = small().train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        tokens = vit(images(80, 48))
    assert tokens.isfinite().all()
    tokens.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in vit.parameters())


def test_dropout_and_drop_path_act_in_training_only():
    vit = small(dropout=0.5, drop_path=0.5)
    rates = [getattr(block.drop_path1, "drop_prob", 0.0) for block in vit.blocks]
    assert rates == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5])
    assert not torch.equal(vit.train()(images()), vit(images()))
    assert torch.equal(vit.eval()(images()), vit(images()))


@pytest.mark.parametrize(("name", "millions"), [("vit_base_patch16_224", 85.8), ("vit_tiny_patch16_224", 5.5)])
def test_parameters_by_hand(name, millions):
    """12 blocks, each 12 D^2 weights and 13 D biases and scales; patches, class token, positions, last norm."""
    with torch.device("meta"):
        vit = VisionTransformer(name, weights="none")
    width = vit.width
    by_hand = 12 * (12 * width**2 + 13 * width) + (3 * 16 * 16 + 1) * width + (1 + 1 + 210) * width + 2 * width
    assert sum(p.numel() for p in vit.parameters()) == by_hand
    assert by_hand / 1e6 == pytest.approx(millions, abs=0.05)


def test_gray_is_that_of_the_augmentation():
    pixels = torch.randint(256, (4, 3, 6, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    visible = torch.tensor([True, False, True, False])
    options = AugmentConfig(pad=0, flip=0.0, grayscale=1.0)
    expected = augment(pixels, (~visible).long(), options, torch.Generator().manual_seed(0))
    gray = to_gray(normalize(pixels), visible)
    torch.testing.assert_close(gray, expected)
    assert torch.equal(gray[~visible], normalize(pixels)[~visible])
