import pytest
import torch
from torch.nn import functional as F

from vireid.data.augment import normalize
from vireid.errors import InputError
from vireid.explain.heat import _cells, heat_maps, kind_of_map, rollout, shares
from vireid.methods.base import Method
from vireid.methods.baseline import Config, build
from vireid.sample import Modality
from vireid.testing import small

HEIGHT, WIDTH = 64, 32
MODALITIES = torch.tensor([Modality.VISIBLE, Modality.INFRARED, Modality.VISIBLE])


@pytest.fixture(scope="module")
def pixels():
    return torch.randint(0, 256, (3, 3, HEIGHT, WIDTH), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def embedded(method, pixels):
    with torch.no_grad():
        return method.embed(normalize(pixels), MODALITIES)


def baseline():
    torch.manual_seed(0)
    method = build(Config(backbone="resnet18", weights="none", pool="avg"), 4).eval()
    # As after training: a mean that the neck takes off, and a scale for each channel.
    method.neck.bn.body.running_mean.uniform_(0, 0.5)
    method.neck.bn.body.weight.data.uniform_(0.5, 2)
    return method


def test_shares_are_those_worked_out_from_the_map_by_hand(pixels):
    """Average pooling and BatchNorm are linear: a cell's share is its channels' part of the inner product."""
    method, images = baseline(), normalize(pixels)
    targets = embedded(method, pixels).roll(1, 0)
    found = shares(method, images, MODALITIES, targets)
    with torch.no_grad():
        maps = method.backbone(images, MODALITIES)
        bn = method.neck.bn.body
        scale = bn.weight / (bn.running_var + bn.eps).sqrt()
        centred = (maps - bn.running_mean[:, None, None]) * scale[:, None, None] / maps[0, 0].numel()
        length = centred.sum((2, 3)).norm(dim=1)
        expected = (centred * targets[:, :, None, None]).sum(1) / length[:, None, None]
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", ["baseline", "agw", "hct", "dfw_sln", "psmg", "emif", "mmn"])
def test_cells_add_up_to_the_similarity_where_nothing_is_taken_off(name, pixels):
    """Untrained BatchNorms have mean 0 and shift 0, and every pooling here is homogeneous of degree 1."""
    method = small(name).build().eval()
    targets = embedded(method, pixels).roll(1, 0)
    found = _cells(method, normalize(pixels), MODALITIES, targets)
    expected = (embedded(method, pixels) * targets).sum(1)
    torch.testing.assert_close(found.sum((1, 2)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["baseline", "dfw_sln", "pmt", "cm_dasn"])
def test_maps_are_scaled_image_by_image_and_the_method_is_left_as_it_was(name, pixels):
    method = small(name).build().eval()
    before = {key: value.clone() for key, value in method.state_dict().items()}
    targets = embedded(method, pixels).numpy()
    maps = heat_maps(method, pixels, MODALITIES.numpy(), targets)
    assert maps.shape == (3, HEIGHT, WIDTH)
    assert maps.min() >= 0 and maps.max(axis=(1, 2)) == pytest.approx(1)
    assert kind_of_map(method) == ("attention rollout" if name in ("pmt", "cm_dasn") else "HiResCAM")
    assert all(torch.equal(before[key], value) for key, value in method.state_dict().items())
    assert all(parameter.grad is None for parameter in method.parameters())
    alone = heat_maps(method, pixels[1:2], MODALITIES[1:2].numpy(), targets[1:2])
    assert alone[0] == pytest.approx(maps[1], abs=1e-3)


def test_rollout_of_two_blocks_by_hand():
    """Half of each token stays, half comes from what it attends to, the mean of two heads."""
    first = torch.tensor([[[[1.0, 0.0], [1.0, 0.0]], [[0.0, 1.0], [1.0, 0.0]]]])  # mean: [[.5, .5], [1, 0]]
    second = torch.tensor([[[[0.0, 1.0], [0.0, 1.0]]]])
    # After one block: ([[.5, .5], [1, 0]] + I) / 2 = [[.75, .25], [.5, .5]]. After two, with ([[0, 1], [0, 1]] + I) / 2
    # = [[.5, .5], [0, 1]] from the left: [[.625, .375], [.5, .5]].
    torch.testing.assert_close(rollout([first]), torch.tensor([[[0.75, 0.25], [0.5, 0.5]]]))
    torch.testing.assert_close(rollout([first, second]), torch.tensor([[[0.625, 0.375], [0.5, 0.5]]]))


def test_rollout_sees_the_attention_that_the_blocks_compute(pixels):
    """Against a second implementation: every block's attention by torch's own softmax of its layers."""
    method = small("pmt").build().eval()
    trunk = method.backbone
    with torch.no_grad():
        tokens = trunk.tokens(normalize(pixels))
        mixed = torch.eye(tokens.shape[1]).expand(3, -1, -1)
        for block in trunk.blocks:
            q, k, _ = block.attn.qkv(block.norm1(tokens)).chunk(3, -1)
            pairs = zip(q.chunk(trunk.heads, -1), k.chunk(trunk.heads, -1), strict=True)
            heads = [F.softmax(a @ b.mT / a.shape[-1] ** 0.5, -1) for a, b in pairs]
            mixed = (torch.stack(heads).mean(0) + torch.eye(tokens.shape[1])) / 2 @ mixed
            tokens = block(tokens)
    seen = mixed[:, 0, 1:].reshape(3, *trunk.grid_of(normalize(pixels)))
    seen = seen - seen.amin((1, 2), keepdim=True)
    large = F.interpolate(seen[:, None], (HEIGHT, WIDTH), mode="bilinear")[:, 0]
    expected = large / large.amax((1, 2), keepdim=True)
    found = heat_maps(method, pixels, MODALITIES.numpy(), embedded(method, pixels).numpy())
    assert found == pytest.approx(expected.numpy(), abs=1e-4)


class Plain(Method):
    """Neither of the known trunks."""

    def forward(self, batch):
        return {}

    def embed(self, images, modalities):
        return images

    def parameter_groups(self):
        return []


def test_bad_input_is_named(pixels):
    method = small("baseline").build().eval()
    with pytest.raises(InputError, match="got 3 images, 2 modalities and 3 targets"):
        heat_maps(method, pixels, MODALITIES[:2].numpy(), embedded(method, pixels).numpy())
    with pytest.raises(InputError, match="neither a TwoStreamResNet nor a VisionTransformer"):
        kind_of_map(Plain())
