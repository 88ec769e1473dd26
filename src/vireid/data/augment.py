"""Augmentation of whole batches on the training device, every random number from a given generator.

Shapes: N images, H and W their height and width in pixels. The order is: zoom and stretch, pad and crop, flip, channel
exchange, grayscale, jitter, gamma, blur, normalisation, erasing.
"""

import math
from typing import Annotated, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, field_validator
from torch import Tensor
from torch.nn.functional import affine_grid, conv2d, grid_sample, pad

from vireid.sample import Modality

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
LUMA = (0.299, 0.587, 0.114)
ERASE_ATTEMPTS = 10

Probability = Annotated[float, Field(ge=0, le=1)]


class AugmentConfig(BaseModel):
    """What is done to training images; the defaults are AGW's crop and flip, everything stronger is off.

    Attributes:
        zoom: least and greatest magnification about a random point, as detectors' boxes are tight or loose; where an
            image does not reach, its border goes on.
        stretch: width over height changes by a factor within 1 / (1 + s) to 1 + s.
        pad: black border in pixels from which a random crop of the old size is taken; 0 leaves it out.
        flip: probability of a left-right flip.
        erase: probability of erasing one random rectangle.
        erase_area: least and largest share of the image that is erased.
        erase_aspect: least and largest height / width of the rectangle.
        fill: what the rectangle holds after normalisation: `zero`, the mean colour, or `means`, the numbers
            0.485, 0.456, 0.406. The latter are the means before normalisation, used after it by mistake in
            the code of CAJ, DEEN and PMT; it is there to repeat their results.
        channel_exchange: for visible images (CAJ, Ye et al., ICCV 2021): in three of four cases one channel,
            drawn at random, replaces all; in the fourth the image is kept (`keep`) or becomes grey (`gray`).
        grayscale: probability that a visible image becomes grey.
        jitter: probability that brightness and contrast change, in both modalities.
        jitter_strength: both are scaled by a factor within 1 - s to 1 + s.
        gamma: every image, in both modalities, is raised to a power within exp(-g) to exp(g).
        blur: probability that an infrared image is blurred.
        blur_sigma: least and largest standard deviation of the blur in pixels.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    zoom: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0, le=4)]] = (1.0, 1.0)
    stretch: float = Field(0.0, ge=0, le=1)
    pad: int = Field(10, ge=0, le=256)
    flip: Probability = 0.5
    erase: Probability = 0.0
    erase_area: tuple[Probability, Probability] = (0.02, 0.4)
    erase_aspect: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] = (0.3, 3.3)
    fill: Literal["zero", "means"] = "zero"
    channel_exchange: Literal["off", "keep", "gray"] = "off"
    grayscale: Probability = 0.0
    jitter: Probability = 0.0
    jitter_strength: Probability = 0.3
    gamma: float = Field(0.0, ge=0, le=2)
    blur: Probability = 0.0
    blur_sigma: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0, le=5)]] = (0.1, 2.0)

    @field_validator("zoom", "erase_area", "erase_aspect", "blur_sigma")
    @classmethod
    def _least_first(cls, value: tuple[float, float]) -> tuple[float, float]:
        if value[0] > value[1]:
            raise ValueError("expected the least value first, then the largest")
        return value


def normalize(images: Tensor) -> Tensor:
    """Subtract ImageNet's mean and divide by its standard deviation, channel by channel.

    Args:
        images: `(N, 3, H, W)`, uint8 0 to 255 or float 0 to 1.

    Returns:
        `(N, 3, H, W)` float32.
    """
    scaled = images.float().div_(255) if images.dtype == torch.uint8 else images.to(torch.float32, copy=True)
    return scaled.sub_(_channels(IMAGENET_MEAN, scaled)).div_(_channels(IMAGENET_STD, scaled))


def augment(images: Tensor, modalities: Tensor, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    """Augmented and normalised training images.

    Args:
        images: `(N, 3, H, W)` uint8.
        modalities: `(N,)` values of `Modality`, on the same device.
        config: what is done.
        generator: on the same device; its state decides everything that is random.

    Returns:
        `(N, 3, H, W)` float32.
    """
    return recolor(place(images, config, generator), modalities, config, generator)


def place(images: Tensor, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    """The part of the augmentation that moves pixels: zoom and stretch, pad and crop, flip.

    Args:
        images: `(N, C, H, W)` uint8; further channels, such as silhouettes, go along with their image.
        config: what is done.
        generator: on the same device.

    Returns:
        `(N, C, H, W)` uint8.
    """
    if config.zoom != (1.0, 1.0) or config.stretch:
        images = zoom(images, config.zoom, config.stretch, generator)
    return crop_and_flip(images, config.pad, config.flip, generator)


def recolor(
    images: Tensor,
    modalities: Tensor,
    config: AugmentConfig,
    generator: torch.Generator,
    out: Tensor | None = None,
) -> Tensor:
    """All the rest, which changes what a pixel holds; as `augment`, written to a contiguous `out` if there is one."""
    visible = modalities == Modality.VISIBLE
    # All that is linear in a pixel's colour, normalisation too, is one matrix of its image and one pass.
    pixels, mixture = images.float(), torch.eye(3, device=images.device) / 255
    if config.channel_exchange != "off":
        mixture = exchange(visible, config.channel_exchange == "gray", generator) @ mixture
    if config.grayscale:
        chosen = _coin(images, config.grayscale, generator)[:, :, 0] & visible[:, None, None]
        mixture = torch.where(chosen, _luma(images.device) @ mixture, mixture)
    if config.jitter or config.gamma or config.blur:
        pixels, mixture = _mixed(pixels, mixture), torch.eye(3, device=images.device)
    if config.jitter:
        pixels = jitter(pixels, config.jitter, config.jitter_strength, generator)
    if config.gamma:
        exponent = torch.exp(_uniform(len(pixels), -config.gamma, config.gamma, generator))
        pixels = pixels ** exponent[:, None, None, None]
    if config.blur:
        pixels = blur(pixels, ~visible, config.blur, config.blur_sigma, generator)
    mean, std = (torch.tensor(values, device=images.device)[:, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    pixels = _mixed(pixels, mixture / std, -mean / std, out)
    return erase(pixels, config, generator) if config.erase else pixels


def zoom(images: Tensor, scale: tuple[float, float], stretch: float, generator: torch.Generator) -> Tensor:
    """Magnify by a factor within `scale` about a random point, and stretch; `(N, C, H, W)` uint8 in and out."""
    if not len(images):
        return images
    factor = _uniform(len(images), *scale, generator)
    wider = torch.exp(math.log1p(stretch) * _uniform(len(images), -0.5, 0.5, generator))
    # From places in the new image to places in the old one, both -1 to 1; the point that stays is anywhere.
    across, down = 1 / (factor * wider), wider / factor
    stays = _uniform((2, len(images)), -1.0, 1.0, generator)
    zero = torch.zeros_like(factor)
    rows = [
        torch.stack([across, zero, stays[0] * (1 - across)], 1),
        torch.stack([zero, down, stays[1] * (1 - down)], 1),
    ]
    grid = affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    moved = grid_sample(images.float(), grid, padding_mode="border", align_corners=False)
    return moved.round_().to(torch.uint8)


def crop_and_flip(images: Tensor, border: int, flip: float, generator: torch.Generator) -> Tensor:
    """Add a black border, cut the old size out at a random place, and flip some images left to right.

    `(N, C, H, W)` in and out.
    """
    number, channels, height, width = images.shape
    if not number:
        return images
    corners = torch.zeros(2, number, dtype=torch.int64, device=images.device)
    if border:
        corners = torch.randint(2 * border + 1, (2, number), generator=generator, device=images.device)
    flipped = _coin(images, flip, generator).flatten()
    both = images.new_zeros(2, number, channels, height + 2 * border, width + 2 * border)
    inside = (..., slice(border, border + height), slice(border, border + width))
    both[0][inside] = images
    both[1][inside] = images.flip(3)
    # Each row of the result lies in one piece in one row of these: the whole is a copy of rows from where they start.
    first = (torch.arange(number, device=images.device) + number * flipped)[:, None] * channels
    first = first + torch.arange(channels, device=images.device)
    row = (first * both.shape[3] + corners[0, :, None])[..., None] + torch.arange(height, device=images.device)
    start = row * both.shape[4] + corners[1, :, None, None]
    return both.view(-1).unfold(0, width, 1).index_select(0, start.flatten()).view(images.shape)


def exchange(visible: Tensor, gray: bool, generator: torch.Generator) -> Tensor:
    """Red, green or blue in all channels of a visible image, or the fourth case, equally likely.

    Args:
        visible: `(N,)` bool; the other images stay as they are.
        gray: what the fourth case is: the luminance in all channels, or the image as it is.
        generator: on the same device.

    Returns:
        Matrices `(N, 3, 3)` for the colours of the images.
    """
    same = torch.eye(3, device=visible.device)
    cases = torch.cat([same[:, None].expand(3, 3, 3), (_luma(visible.device) if gray else same)[None]])
    case = torch.randint(4, (len(visible),), generator=generator, device=visible.device)
    return torch.where(visible[:, None, None], cases[case], same)


def _mixed(pixels: Tensor, matrix: Tensor, offset: Tensor | None = None, out: Tensor | None = None) -> Tensor:
    """Colours times a matrix `(3, 3)` or one of each image `(N, 3, 3)`, plus an offset `(3, 1)`."""
    if out is None:
        out = torch.empty_like(pixels, memory_format=torch.contiguous_format)
    offset = pixels.new_zeros(1) if offset is None else offset
    torch.baddbmm(offset, matrix.expand(len(pixels), 3, 3), pixels.flatten(2), out=out.flatten(2))
    return out


def _luma(device: torch.device) -> Tensor:
    """The matrix `(3, 3)` that makes a colour grey."""
    return torch.tensor(LUMA, device=device).expand(3, 3)


def jitter(pixels: Tensor, probability: float, strength: float, generator: torch.Generator) -> Tensor:
    """Scale brightness, then contrast about the mean, each by a factor in 1 - strength to 1 + strength."""
    chosen = _coin(pixels, probability, generator)
    factors = 1 + strength * (2 * torch.rand(2, len(pixels), 1, 1, 1, generator=generator, device=pixels.device) - 1)
    bright = (pixels * factors[0]).clamp_(0, 1)
    mean = _gray(bright).mean((1, 2, 3), keepdim=True)
    return torch.where(chosen, (mean + (bright - mean) * factors[1]).clamp_(0, 1), pixels)


def blur(
    pixels: Tensor, where: Tensor, probability: float, sigma: tuple[float, float], generator: torch.Generator
) -> Tensor:
    """Gaussian blur of some of the images in `where (N,)`, each with a standard deviation of its own."""
    number, channels, height, width = pixels.shape
    chosen = _coin(pixels, probability, generator) & where[:, None, None, None]
    deviation = _uniform(number, *sigma, generator)
    radius = min(math.ceil(3 * sigma[1]), height - 1, width - 1)
    distance = torch.arange(-radius, radius + 1, device=pixels.device)
    kernel = torch.exp(-0.5 * (distance / deviation[:, None]) ** 2)
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(channels, 0)
    if not number:
        return pixels
    padded = pad(pixels, (radius, radius, radius, radius), mode="reflect")
    flat = padded.reshape(1, number * channels, height + 2 * radius, width + 2 * radius)
    flat = conv2d(flat, kernel[:, None, None, :], groups=number * channels)
    flat = conv2d(flat, kernel[:, None, :, None], groups=number * channels)
    return torch.where(chosen, flat.reshape(pixels.shape), pixels)


def erase(normalised: Tensor, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    """Fill one random rectangle of some images (Zhong et al., AAAI 2020), after normalisation; in place.

    The rectangle's area and aspect ratio are drawn until it fits; an image where ten draws do not fit is left
    as is.
    """
    number, _, height, width = normalised.shape
    shape = (number, ERASE_ATTEMPTS)
    area = _uniform(shape, *config.erase_area, generator) * height * width
    aspect = _uniform(shape, *config.erase_aspect, generator)
    rows, columns = (area * aspect).sqrt().round().int(), (area / aspect).sqrt().round().int()
    fits = (rows < height) & (columns < width) & (rows > 0) & (columns > 0)
    first = fits.int().argmax(1, keepdim=True)
    rows, columns = rows.gather(1, first), columns.gather(1, first)
    place = torch.rand(2, number, 1, generator=generator, device=normalised.device)
    top, left = (place[0] * (height - rows + 1)).int(), (place[1] * (width - columns + 1)).int()
    chosen = _coin(normalised, config.erase, generator)[:, 0, 0] & fits.any(1, keepdim=True)
    fill = _channels(IMAGENET_MEAN, normalised)[0] if config.fill == "means" else 0.0
    # A mask for all images would take several times as long as writing the few rectangles.
    boxes = torch.cat([chosen, top, rows, left, columns], 1).tolist()
    for image, (is_chosen, y, tall, x, wide) in zip(normalised, boxes, strict=True):
        if is_chosen:
            image[:, y : y + tall, x : x + wide] = fill
    return normalised


def _coin(images: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """`(N, 1, 1, 1)` bool, true with the given probability."""
    return torch.rand(len(images), 1, 1, 1, generator=generator, device=images.device) < probability


def _uniform(shape: int | tuple[int, ...], low: float, high: float, generator: torch.Generator) -> Tensor:
    size = (shape,) if isinstance(shape, int) else shape
    return low + (high - low) * torch.rand(size, generator=generator, device=generator.device)


def _gray(pixels: Tensor) -> Tensor:
    """Luminance in three equal channels, `(N, 3, H, W)`."""
    return (pixels * _channels(LUMA, pixels)).sum(1, keepdim=True).expand_as(pixels)


def _channels(values: tuple[float, float, float], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device).reshape(1, 3, 1, 1)
