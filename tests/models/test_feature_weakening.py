"""Dynamic feature weakening: what Eqs. 1 to 3 promise."""

import pytest
import torch

from vireid.models.feature_weakening import WeakeningConfig, pooled_response, weaken, weakening_matrix


def features(images=3, seed=1):
    """As a ReLU leaves them."""
    return torch.randn(images, 5, 6, 4, generator=torch.Generator().manual_seed(seed)).relu()


def test_response_and_matrices_by_hand():
    x = torch.tensor([[[[1.0, 3.0]], [[3.0, 5.0]]]])  # two channels, two cells
    f = pooled_response(x, "channel")
    assert f.flatten().tolist() == [2 + 3, 4 + 5]  # mean + maximum
    assert pooled_response(x, "spatial").flatten().tolist() == [2 + 3, 4 + 5]
    f = torch.tensor([[[[0.0, 1.0, 2.0, 9.0]]]])  # mean 3, one of four cells is strong
    assert weakening_matrix(f, WeakeningConfig(matrix="D1", alpha=0.5)).flatten().tolist() == [1, 1, 1, 0.5]
    assert weakening_matrix(f, WeakeningConfig(matrix="D3")).flatten().tolist() == [1, 1, 1, 0.25]
    # Scaled to 0 ... 1 the cells are 0, 1/9, 2/9, 1; beta moves the threshold, e stays the share above the mean.
    assert weakening_matrix(f, WeakeningConfig(matrix="D2", beta=0.2)).flatten().tolist() == [1, 1, 0.25, 0.25]


@pytest.mark.parametrize("pool", ["channel", "spatial"])
@pytest.mark.parametrize("apply", ["gate", "mask", "gate_residual", "literal"])
@pytest.mark.parametrize("matrix", ["D1", "D2", "D3"])
def test_weakening_equals_a_slow_reference_image_by_image(matrix, apply, pool):
    options = WeakeningConfig(matrix=matrix, apply=apply, pool=pool, alpha=0.3, beta=0.6)
    x = features()
    rows = []
    for image in x:
        places = [image[:, i, j] for i in range(6) for j in range(4)] if pool == "channel" else list(image)
        f = [place.mean().item() + place.max().item() for place in places]
        mean, low, high = sum(f) / len(f), min(f), max(f)
        e = sum(value >= mean for value in f) / len(f)
        strong = [(v - low) / (high - low) >= 0.6 if matrix == "D2" else v >= mean for v in f]
        m = torch.tensor([({"D1": 0.3}.get(matrix, e) if s else 1.0) for s in strong])
        gate = torch.sigmoid(torch.tensor(f) * m)
        shape = (1, 6, 4) if pool == "channel" else (5, 1, 1)
        m, gate = m.view(shape), gate.view(shape)
        whole = {"gate": image * gate, "mask": image * m, "gate_residual": image * (1 + gate)}
        rows.append(whole.get(apply, gate.expand(5, 6, 4)))
    torch.testing.assert_close(weaken(x, options), torch.stack(rows))


@pytest.mark.parametrize("matrix", ["D1", "D2", "D3"])
def test_the_matrix_belongs_to_each_image_alone(matrix):
    options = WeakeningConfig(matrix=matrix)
    x = features(4)
    x[2] *= 50  # an image that responds strongly does not move the threshold of the others
    together = weaken(x, options)
    for index in range(4):
        torch.testing.assert_close(together[index], weaken(x[index : index + 1], options)[0])


def test_alpha_1_and_a_constant_map_change_nothing_before_the_sigmoid():
    f = pooled_response(features(), "channel")
    assert torch.equal(weakening_matrix(f, WeakeningConfig(matrix="D1", alpha=1.0)), torch.ones_like(f))
    for value in (0.0, 0.1, 1 / 3, 1e6):  # in single precision the mean of 0.1, 0.1, ... lies above 0.1
        constant = torch.full((2, 1, 18, 9), value)
        assert torch.equal(weakening_matrix(constant, WeakeningConfig(matrix="D3")), torch.ones_like(constant))
    x = features()
    unweakened = weaken(x, WeakeningConfig(matrix="D1", alpha=1.0, apply="mask"))
    assert torch.equal(unweakened, x)


def test_values_and_gradient_of_the_matrix():
    f = pooled_response(features().requires_grad_(), "channel")
    share = (f >= f.mean((1, 2, 3), keepdim=True)).float().mean((1, 2, 3))
    assert ((share > 0) & (share <= 1)).all()
    for matrix, factor in (("D1", torch.full((3,), 0.2)), ("D2", share), ("D3", share)):
        m = weakening_matrix(f, WeakeningConfig(matrix=matrix, alpha=0.2))
        assert not m.requires_grad
        for index in range(3):
            assert sorted(set(m[index].flatten().tolist())) == pytest.approx([factor[index].item(), 1.0])


def test_the_strong_region_does_not_change_with_scale_and_offset():
    f = pooled_response(features(), "channel")
    for matrix in ("D1", "D2", "D3"):
        options = WeakeningConfig(matrix=matrix, alpha=0.3)
        assert torch.equal(weakening_matrix(f, options), weakening_matrix(4 * f + 8, options))


def test_gate_lies_in_one_half_to_one_for_features_of_a_relu():
    gate = weaken(features(), WeakeningConfig(apply="literal"))
    assert gate.shape == features().shape
    assert ((gate >= 0.5) & (gate < 1)).all()


@pytest.mark.parametrize("apply", ["gate", "mask", "gate_residual", "literal"])
def test_weakening_keeps_shape_type_and_a_finite_gradient(apply):
    for dtype in (torch.float32, torch.bfloat16):
        x = features().to(dtype).requires_grad_()
        y = weaken(x, WeakeningConfig(apply=apply))
        assert y.shape == x.shape and y.dtype == dtype
        y.sum().backward()
        assert x.grad.isfinite().all() and x.grad.abs().sum() > 0
