import numpy as np
import pytest
import torch
from torch import nn

from vireid.data.augment import normalize
from vireid.errors import InputError
from vireid.evaluation.extract import extract
from vireid.methods.base import Method
from vireid.sample import Modality


class Small(Method):
    """A convolution and a batch norm per modality, so that batch statistics would show."""

    def __init__(self, fail=False):
        super().__init__()
        self.layer = nn.Conv2d(3, 8, 3)
        self.norm = nn.BatchNorm1d(8)
        self.frozen = nn.BatchNorm1d(8)
        self.fail = fail

    def forward(self, batch):
        return {}

    def embed(self, images, modalities):
        assert torch.is_inference_mode_enabled() and not self.training
        if self.fail:
            raise RuntimeError("broken")
        pooled = self.layer(images).mean((2, 3)) + modalities[:, None]
        return nn.functional.normalize(self.frozen(self.norm(pooled)))

    def parameter_groups(self):
        return [{"params": list(self.parameters()), "lr_scale": 1.0}]


class Source:
    def __init__(self, pixels):
        self.pixels = pixels

    def __len__(self):
        return len(self.pixels)

    def gather(self, indices):
        return torch.from_numpy(self.pixels[indices])


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (11, 3, 12, 8), dtype=np.uint8)


@pytest.fixture
def modalities():
    return np.array([Modality.VISIBLE, Modality.INFRARED] * 5 + [Modality.VISIBLE])


@pytest.fixture
def method():
    torch.manual_seed(0)
    return Small()


def test_batches_do_not_change_embeddings(method, pixels, modalities):
    whole = extract(method, pixels, modalities, batch_size=11)
    assert whole.shape == (11, 8)
    assert whole.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(whole, axis=1), 1, atol=1e-5)
    for source in (Source(pixels), torch.from_numpy(pixels)):
        parts = extract(method, source, modalities, batch_size=4, progress=False)
        np.testing.assert_allclose(parts, whole, atol=1e-6)
    single = np.concatenate([extract(method, pixels[i : i + 1], modalities[i : i + 1]) for i in range(11)])
    np.testing.assert_allclose(single, whole, atol=1e-6)


def test_values(method, pixels, modalities):
    method.eval()
    with torch.inference_mode():
        expected = method.embed(normalize(torch.from_numpy(pixels)), torch.from_numpy(modalities))
    np.testing.assert_allclose(extract(method, pixels, modalities), expected.numpy(), atol=1e-6)


def test_bf16_is_close(method, pixels, modalities):
    exact = extract(method, pixels, modalities)
    fast = extract(method, pixels, modalities, precision="bf16-mixed")
    assert fast.dtype == np.float32
    np.testing.assert_allclose(fast, exact, atol=0.05)


@pytest.mark.parametrize("fail", [False, True])
def test_training_modes_are_restored(pixels, modalities, fail):
    method = Small(fail)
    method.train()
    method.frozen.eval()
    if fail:
        with pytest.raises(RuntimeError, match="broken"):
            extract(method, pixels, modalities)
    else:
        extract(method, pixels, modalities)
    assert method.training and method.norm.training and not method.frozen.training
    assert method.norm.num_batches_tracked == 0


def test_bad_input(method, pixels, modalities):
    with pytest.raises(InputError, match="10 modalities for 11 images"):
        extract(method, pixels, modalities[:10])
    with pytest.raises(InputError, match="batch_size=0"):
        extract(method, pixels, modalities, batch_size=0)
    assert extract(method, pixels[:0], modalities[:0]).shape[0] == 0
