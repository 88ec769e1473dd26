"""The middle modality generator."""

import pytest
import torch

from vireid.models.middle_modality import MiddleModalityGenerator, ProjectionHead
from vireid.sample import Modality

MODALITIES = torch.tensor([Modality.VISIBLE, Modality.INFRARED, Modality.INFRARED, Modality.VISIBLE])


def images():
    return torch.randn(4, 3, 5, 2, generator=torch.Generator().manual_seed(0))


def test_untrained_pixel_by_hand():
    generator = MiddleModalityGenerator().eval()
    pixel = torch.tensor([1.0, 2.0, 3.0]).view(1, 3, 1, 1)
    # 0.333 * 6 = 1.998; * 0.333 = 0.665334; the new BatchNorm divides by sqrt(1 + 1e-5); * 0.333 in each channel.
    expected = 0.333 * 0.665334 / (1 + 1e-5) ** 0.5
    for modality in Modality:
        torch.testing.assert_close(generator(pixel, torch.tensor([modality])), torch.full((1, 3, 1, 1), expected))
    assert (generator(-pixel, torch.tensor([Modality.VISIBLE])) == 0).all()


def test_in_training_each_modality_is_standardised_by_itself():
    x = images()
    x[MODALITIES == Modality.INFRARED] *= 4
    middle = MiddleModalityGenerator()(x, MODALITIES)
    for modality in Modality:
        rows = modality == MODALITIES
        grey = 0.333 * (0.333 * x[rows].sum(1)).clamp(min=0)
        unit = (grey - grey.mean()) / (grey.var(correction=0) + 1e-5).sqrt()
        expected = (0.333 * unit).clamp(min=0)[:, None].expand(-1, 3, -1, -1)
        torch.testing.assert_close(middle[rows], expected)


def test_22_parameters_starting_at_their_published_values():
    generator = MiddleModalityGenerator()
    # 2 encoders of (3 + 1) + (1 + 1) + 2 of the BatchNorm, a decoder of 3 + 3.
    assert sum(p.numel() for p in generator.parameters()) == 2 * 8 + 6 == 22
    for name, parameter in generator.named_parameters():
        if parameter.dim() == 4:
            assert (parameter == 0.333).all()
        elif name.endswith("bias"):
            assert (parameter == 0).all()


def test_only_the_decoder_is_shared():
    generator = MiddleModalityGenerator()
    generator(images()[:2], torch.zeros(2, dtype=torch.int64)).sum().backward()
    assert generator.encoder.visible[0].weight.grad is not None
    assert all(p.grad is None for p in generator.encoder.infrared.parameters())
    assert generator.decoder[0].weight.grad is not None


@pytest.mark.parametrize("training", [True, False])
def test_order_of_the_batch_is_kept(training):
    generator = MiddleModalityGenerator().train(training)
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(generator(images()[order], MODALITIES[order]), generator(images(), MODALITIES)[order])


def test_projection_does_not_see_lengths():
    head = ProjectionHead(6, 4).eval()
    rows = torch.randn(3, 6, generator=torch.Generator().manual_seed(0))
    assert head(rows).shape == (3, 4)
    torch.testing.assert_close(head(5 * rows), head(rows))
    assert sum(p.numel() for p in head.parameters()) == 6 * 4 + 2 * 4 + (4 * 4 + 4) + 2 * 4
