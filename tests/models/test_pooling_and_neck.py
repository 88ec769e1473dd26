import pytest
import torch

from vireid.models.bnneck import BNNeck
from vireid.models.pooling import AveragePool, GeM


def test_gem_by_hand():
    x = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    assert GeM(3)(x).item() == pytest.approx(((1 + 8 + 27 + 64) / 4) ** (1 / 3), rel=1e-6)
    assert GeM(1)(x).item() == pytest.approx(2.5)
    assert AveragePool()(x).item() == 2.5


@pytest.mark.parametrize("p", [1.0, 3.0, 10.0])
def test_gem_equals_its_formula_and_gradient(p):
    x = torch.rand(2, 3, 4, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 0.1
    torch.testing.assert_close(GeM(p)(x), x.pow(p).mean((2, 3)).pow(1 / p))
    assert torch.autograd.gradcheck(GeM(p), x.requires_grad_())


def test_large_p_nears_the_maximum():
    x = torch.rand(2, 3, 8, 4, generator=torch.Generator().manual_seed(0))
    assert (GeM(20)(x) / x.amax((2, 3)) > 0.8).all()


@pytest.mark.parametrize("scale", [0.0, 1e-8, 1e8])
@pytest.mark.parametrize("p", [3.0, 4.0, 10.0])
def test_gem_is_finite_for_dead_tiny_and_huge_maps(scale, p):
    x = (scale * torch.rand(2, 3, 4, 2, generator=torch.Generator().manual_seed(0))).requires_grad_()
    pool = GeM(p, learn=True)
    pooled = pool(x)
    pooled.sum().backward()
    assert pool.p.grad.isfinite()
    assert pooled.isfinite().all()
    assert x.grad.isfinite().all()


def test_negative_inputs_count_as_zero():
    x = torch.tensor([[[[-5.0, 2.0]]]])
    assert GeM(3)(x).item() == pytest.approx((8 / 2) ** (1 / 3), rel=1e-5)


def test_learned_p_gets_a_gradient_and_is_clamped():
    x = torch.rand(2, 3, 4, 2, generator=torch.Generator().manual_seed(0))
    pool = GeM(3, learn=True)
    pool(x).sum().backward()
    assert pool.p.grad > 0  # a larger exponent gives a larger mean
    with torch.no_grad():
        pool.p.fill_(-4)
        torch.testing.assert_close(pool(x), x.mean((2, 3)))
    assert not list(GeM(3).parameters())


@pytest.mark.parametrize("pool", [GeM(3), AveragePool()], ids=["gem", "avg"])
def test_float32_under_autocast(pool):
    x = torch.rand(2, 3, 4, 2, generator=torch.Generator().manual_seed(0)).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        pooled = pool(x)
    assert pooled.dtype == torch.float32
    assert torch.equal(pooled, pool(x.float()))


def test_neck():
    torch.manual_seed(0)
    neck = BNNeck(512, 300)
    modalities = torch.arange(64) % 2
    x = 3 + 2 * torch.randn(64, 512)
    embeddings = neck(x, modalities)
    assert neck.classify(embeddings).shape == (64, 300)
    assert embeddings.mean(0).abs().max() < 1e-5
    assert not neck.bn.body.bias.requires_grad
    assert neck.bn.body.weight.requires_grad
    assert neck.classifier.bias is None
    assert neck.classifier.weight.std().item() == pytest.approx(0.001, rel=0.02)


def test_a_specific_neck_centres_each_modality_by_itself():
    neck = BNNeck(8, 3, specific=True)
    modalities = torch.arange(64) % 2
    x = torch.randn(64, 8, generator=torch.Generator().manual_seed(0)) + 5 * modalities[:, None]
    embeddings = neck(x, modalities)
    assert embeddings[modalities == 0].mean(0).abs().max() < 1e-5
    assert embeddings[modalities == 1].mean(0).abs().max() < 1e-5
    assert not any(parameter.requires_grad for name, parameter in neck.named_parameters() if name.endswith("bn.bias"))
