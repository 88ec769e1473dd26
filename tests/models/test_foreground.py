"""The network that cuts people out: its loss, what it leaves of an image, that it learns, and a method with it."""

import math

import pytest
import torch

from vireid.costs.measure import embedding_parameters
from vireid.methods import baseline
from vireid.models.foreground import Foreground, cut_out, foreground_loss
from vireid.sample import Batch


def squares(count, seed=0):
    """Noise with a brighter rectangle in each image, and masks of the rectangles."""
    generator = torch.Generator().manual_seed(seed)
    images, masks = 0.3 * torch.randn(count, 3, 32, 16, generator=generator), torch.zeros(count, 1, 32, 16)
    for image, mask in zip(images, masks, strict=True):
        top, left = (
            int(torch.randint(4, 12, (), generator=generator)),
            int(torch.randint(2, 6, (), generator=generator)),
        )
        mask[:, top : top + 14, left : left + 8] = 1
        image += mask
    return images, masks


def batch(count=8):
    images, masks = squares(count)
    return Batch(images, torch.arange(count) // 2, torch.tensor([0, 1] * (count // 2)), masks)


def method(**foreground):
    torch.manual_seed(0)
    options = {"backbone": "resnet18", "weights": "none", "foreground": {"enabled": True, **foreground}}
    return baseline.build(baseline.Config(**options), 4).train()


@pytest.mark.parametrize("size", [(32, 16), (33, 17), (96, 48)])
def test_one_logit_for_four_pixels(size):
    logits = Foreground()(torch.randn(2, 3, *size))
    assert logits.shape == (2, 1, math.ceil(size[0] / 2), math.ceil(size[1] / 2))


def test_the_loss_by_hand():
    masks = torch.tensor([[[[1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]]]])  # shares 0.75 and 0
    logits = torch.tensor([[[[math.log(3), 0.0]]]])  # probabilities 0.75 and 0.5
    expected = (-0.75 * math.log(0.75) - 0.25 * math.log(0.25) + math.log(2)) / 2
    assert foreground_loss(logits, masks).item() == pytest.approx(expected)


def test_what_is_left_of_an_image():
    images = torch.randn(1, 3, 8, 4)
    for logit, share in ((30.0, 1.0), (-30.0, 0.0), (0.0, 0.5), (math.log(3) / 2, 0.75)):
        logits = torch.full((1, 1, 4, 2), logit)
        torch.testing.assert_close(cut_out(images, logits), share * images)


def test_it_learns_where_the_squares_are():
    torch.manual_seed(0)
    network = Foreground()
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    for step in range(40):
        images, masks = squares(16, seed=step)
        optimizer.zero_grad()
        foreground_loss(network(images), masks).backward()
        optimizer.step()
    images, masks = squares(32, seed=1000)
    found = torch.nn.functional.interpolate(network.eval()(images), scale_factor=2.0) > 0
    overlap = (found & (masks > 0.5)).sum() / (found | (masks > 0.5)).sum()
    assert overlap > 0.8


def test_in_its_first_epochs_nothing_else_is_learned():
    one = method(epochs=2)
    assert one.needs_masks
    assert one.start_epoch(1, 5) == "foreground"
    losses = one(batch())
    assert set(losses) == {"foreground"}
    losses["foreground"].backward()
    assert all(p.grad is None for p in one.backbone.parameters())
    assert one.start_epoch(2, 5) == ""
    assert set(one(batch())) == {"foreground", "identity", "triplet"}


def test_its_factor_and_that_the_rest_sees_the_cut_out_image():
    once, twice = method()(batch()), method(weight=2.0)(batch())
    assert twice["foreground"].item() == pytest.approx(2 * once["foreground"].item(), rel=1e-5)
    one, data = method().eval(), batch()
    seen = cut_out(data.images, one.foreground(data.images))
    plain = baseline.build(baseline.Config(backbone="resnet18", weights="none"), 4).eval()
    plain.load_state_dict({key: value for key, value in one.state_dict().items() if not key.startswith("foreground.")})
    torch.testing.assert_close(one.embed(data.images, data.modalities), plain.embed(seen, data.modalities))


def test_other_losses_do_not_move_it_and_embeddings_come_from_it():
    one = method()
    losses = one(batch())
    (losses["identity"] + losses["triplet"]).backward()
    assert all(p.grad is None for p in one.foreground.parameters())
    used = {id(p) for p in embedding_parameters(one, 32, 16)}
    assert used >= {id(p) for p in one.foreground.parameters()}


def test_without_a_factor_it_stays_as_it_is_and_needs_no_masks():
    one = method(weight=0.0)
    assert not one.needs_masks
    before = {key: value.clone() for key, value in one.foreground.state_dict().items()}
    losses = one(batch()._replace(masks=None))
    assert set(losses) == {"identity", "triplet"}
    torch.stack(list(losses.values())).sum().backward()
    torch.optim.SGD([p for p in one.parameters() if p.requires_grad], lr=0.1).step()
    assert all(torch.equal(before[key], value) for key, value in one.foreground.state_dict().items())
