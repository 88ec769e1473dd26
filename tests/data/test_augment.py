import numpy as np
import pytest
import torch
from pydantic import ValidationError

from vireid.data.augment import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    AugmentConfig,
    augment,
    blur,
    crop_and_flip,
    erase,
    exchange,
    jitter,
    normalize,
    place,
    recolor,
    zoom,
)
from vireid.sample import Modality

N, H, W = 16, 24, 12
OFF = AugmentConfig(pad=0, flip=0)
STRONG = AugmentConfig(
    zoom=(0.8, 1.2),
    stretch=0.2,
    pad=4,
    erase=0.5,
    channel_exchange="gray",
    grayscale=0.5,
    jitter=0.5,
    gamma=0.4,
    blur=0.5,
    blur_sigma=(0.1, 1.0),
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def images():
    return torch.randint(0, 256, (N, 3, H, W), dtype=torch.uint8, generator=generator(1))


@pytest.fixture
def modalities():
    return torch.tensor([Modality.VISIBLE] * (N // 2) + [Modality.INFRARED] * (N // 2))


def test_normalize_by_hand():
    image = torch.tensor([255, 0, 51], dtype=torch.uint8).reshape(1, 3, 1, 1)
    expected = [(1 - 0.485) / 0.229, (0 - 0.456) / 0.224, (0.2 - 0.406) / 0.225]
    assert normalize(image).flatten().tolist() == pytest.approx(expected, rel=1e-6)
    assert torch.equal(normalize(image.float() / 255), normalize(image))
    assert normalize(image).dtype == torch.float32
    assert image.flatten().tolist() == [255, 0, 51]


def test_everything_off_only_normalises(images, modalities):
    torch.testing.assert_close(augment(images, modalities, OFF, generator()), normalize(images))


def test_defaults_are_crop_and_flip():
    plain = AugmentConfig()
    assert (plain.pad, plain.flip, plain.fill) == (10, 0.5, "zero")
    assert plain.erase == plain.grayscale == plain.jitter == plain.blur == 0
    assert plain.channel_exchange == "off"


@pytest.mark.parametrize(
    "change", [{"erase": 1.5}, {"fill": "mean"}, {"pad": -1}, {"flips": 0.5}, {"zoom": (1.2, 0.8)}]
)
def test_bad_settings(change):
    with pytest.raises(ValidationError):
        AugmentConfig(**change)


def test_further_channels_go_along_with_their_image(images):
    config = AugmentConfig(zoom=(1.0, 1.5), stretch=0.2, pad=4, flip=0.5)
    four = place(torch.cat([images, images[:, :1]], 1), config, torch.Generator().manual_seed(0))
    assert torch.equal(four[:, 3], four[:, 0])
    assert torch.equal(four[:, :3], place(images, config, torch.Generator().manual_seed(0)))


def test_the_generator_decides(images, modalities):
    first = augment(images, modalities, STRONG, generator(3))
    torch.manual_seed(99)  # the global generator has no part in it
    assert torch.equal(augment(images, modalities, STRONG, generator(3)), first)
    assert not torch.equal(augment(images, modalities, STRONG, generator(4)), first)
    assert first.shape == images.shape
    assert first.dtype == torch.float32
    assert first.isfinite().all()


def test_the_layout_in_memory_changes_nothing(images, modalities):
    other = images.contiguous(memory_format=torch.channels_last)
    assert torch.equal(
        augment(other, modalities, STRONG, generator()), augment(images, modalities, STRONG, generator())
    )
    first, second = (recolor(each, modalities, STRONG, generator()) for each in (images, other))
    assert torch.equal(first, second)


def test_the_input_is_left_alone(images, modalities):
    before = images.clone()
    augment(images, modalities, STRONG, generator())
    assert torch.equal(images, before)


def test_flip_flips(images):
    always = place(images, AugmentConfig(pad=0, flip=1), generator())
    assert torch.equal(always, images.flip(3))
    some = place(images, AugmentConfig(pad=0, flip=0.5), generator())
    flipped = [torch.equal(some[i], images.flip(3)[i]) for i in range(N)]
    kept = [torch.equal(some[i], images[i]) for i in range(N)]
    assert all(a != b for a, b in zip(flipped, kept, strict=True))
    assert 0 < sum(flipped) < N


def test_crop_is_a_slice_of_the_padded_image(images):
    border = 3
    cropped = crop_and_flip(images, border, 0.0, generator())
    padded = np.pad(images.numpy(), ((0, 0), (0, 0), (border, border), (border, border)))
    places = set()
    for image, source in zip(cropped.numpy(), padded, strict=True):
        matches = [
            (top, left)
            for top in range(2 * border + 1)
            for left in range(2 * border + 1)
            if (source[:, top : top + H, left : left + W] == image).all()
        ]
        assert len(matches) == 1
        places.update(matches)
    assert len(places) > N // 2


def test_every_crop_occurs():
    # A single bright pixel in the middle shows where the crop was taken.
    image = torch.zeros(400, 3, 5, 5, dtype=torch.uint8)
    image[:, :, 2, 2] = 255
    cropped = crop_and_flip(image, 1, 0.0, generator())
    assert {tuple(place.tolist()) for place in cropped[:, 0].nonzero()[:, 1:]} == {
        (y, x) for y in (1, 2, 3) for x in (1, 2, 3)
    }


def erased_boxes(config, fill, number=300):
    normalised = torch.full((number, 3, H, W), 9.0)
    result = erase(normalised.clone(), config, generator())
    changed = (result != normalised).any(1)
    boxes = []
    for i in range(number):
        if not changed[i].any():
            continue
        rows, columns = changed[i].any(1).nonzero().flatten(), changed[i].any(0).nonzero().flatten()
        height, width = int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1
        assert int(changed[i].sum()) == height * width  # a whole rectangle
        inside = result[i][:, changed[i]]
        torch.testing.assert_close(inside, torch.tensor(fill)[:, None].expand_as(inside))
        boxes.append((height, width))
    return np.array(boxes)


def test_erased_rectangles_are_within_bounds():
    boxes = erased_boxes(AugmentConfig(erase=1.0), [0.0, 0.0, 0.0])
    assert len(boxes) > 295
    area, aspect = boxes.prod(1) / (H * W), boxes[:, 0] / boxes[:, 1]
    # Sides are rounded to whole pixels, so the bounds hold to half a pixel per side.
    slack = 0.5 * boxes.sum(1) / (H * W) + 0.25 / (H * W)
    assert (area >= 0.02 - slack).all()
    assert (area <= 0.4 + slack).all()
    assert (aspect > 0.3 * 0.6).all()
    assert (aspect < 3.3 * 1.7).all()
    assert area.max() > 0.3
    assert area.min() < 0.06


def test_erasing_probability_and_fill():
    assert 100 < len(erased_boxes(AugmentConfig(erase=0.5), [0.0, 0.0, 0.0])) < 200
    erased_boxes(AugmentConfig(erase=1.0, fill="means"), list(IMAGENET_MEAN))
    assert len(erased_boxes(AugmentConfig(erase=1.0, erase_area=(1.0, 1.0)), [0.0] * 3)) == 0


def test_fill_means_is_not_the_mean_colour(images, modalities):
    """The trap: 0.485 after normalisation is a light grey, not the mean that 0 stands for."""
    whole = {"erase": 1.0, "erase_area": (0.2, 0.4), "pad": 0, "flip": 0}
    zero = augment(images, modalities, AugmentConfig(**whole, fill="zero"), generator())
    means = augment(images, modalities, AugmentConfig(**whole, fill="means"), generator())
    changed = zero != means
    assert changed.any((1, 2, 3)).all()
    assert (zero[changed] == 0).all()
    pixels = means * torch.tensor(IMAGENET_STD).reshape(3, 1, 1) + torch.tensor(IMAGENET_MEAN).reshape(3, 1, 1)
    assert pixels[changed].min() > 0.49


def test_grayscale_leaves_infrared_untouched(images, modalities):
    result = augment(images, modalities, AugmentConfig(pad=0, flip=0, grayscale=1), generator())
    infrared = modalities == Modality.INFRARED
    torch.testing.assert_close(result[infrared], normalize(images[infrared]))
    luma = torch.tensor([0.299, 0.587, 0.114]).reshape(3, 1, 1)
    gray = (images[~infrared] / 255 * luma).sum(1, keepdim=True).expand(-1, 3, -1, -1)
    torch.testing.assert_close(result[~infrared], normalize(gray))


@pytest.mark.parametrize("gray", [False, True])
def test_exchange_picks_one_channel(gray):
    number = 400
    pixels = torch.rand(number, 3, 4, 4, generator=generator(2))
    visible = torch.arange(number) % 4 != 0
    result = torch.einsum("nij,njhw->nihw", exchange(visible, gray, generator()), pixels)
    assert torch.equal(result[~visible], pixels[~visible])
    counts = torch.zeros(4, dtype=torch.long)
    for image, source in zip(result[visible], pixels[visible], strict=True):
        cases = [torch.equal(image, source[c].expand(3, 4, 4)) for c in range(3)]
        if any(cases):
            counts[cases.index(True)] += 1
        elif gray:
            luma = 0.299 * source[0] + 0.587 * source[1] + 0.114 * source[2]
            torch.testing.assert_close(image, luma.expand(3, 4, 4))
            counts[3] += 1
        else:
            assert torch.equal(image, source)
            counts[3] += 1
    assert ((counts > 50) & (counts < 100)).all()  # 75 expected of each


def test_jitter_by_hand():
    pixels = torch.tensor([0.2, 0.4]).reshape(1, 1, 1, 2).expand(500, 3, 1, 2)
    result = jitter(pixels, 1.0, 0.3, generator())
    assert (result[:, 0] == result[:, 1]).all()
    # brightness b and contrast c turn (0.2, 0.4) into b (0.3 - 0.1 c), b (0.3 + 0.1 c)
    brightness = result.mean((1, 2, 3)) / 0.3
    contrast = (result[:, 0, 0, 1] - result[:, 0, 0, 0]) / (0.2 * brightness)
    for factor in (brightness, contrast):
        assert 0.7 - 1e-5 < factor.min() < 0.72
        assert 1.28 < factor.max() < 1.3 + 1e-5
    kept = (jitter(pixels, 0.5, 0.3, generator()) == pixels).all((1, 2, 3)).sum()
    assert 200 < kept < 300
    assert jitter(torch.ones(50, 3, 2, 2), 1.0, 1.0, generator()).max() <= 1


def test_blur_touches_infrared_only_and_keeps_flat_images(modalities):
    pixels = torch.rand(N, 3, H, W, generator=generator(5))
    infrared = modalities == Modality.INFRARED
    result = blur(pixels, infrared, 1.0, (1.0, 1.0), generator())
    assert torch.equal(result[~infrared], pixels[~infrared])
    assert (result[infrared].std((2, 3)) < 0.5 * pixels[infrared].std((2, 3))).all()
    flat = torch.full((N, 3, H, W), 0.3)
    torch.testing.assert_close(blur(flat, infrared, 1.0, (0.1, 2.0), generator()), flat)
    assert torch.equal(blur(pixels, infrared, 0.0, (1.0, 1.0), generator()), pixels)


def test_blur_of_a_point_is_a_gaussian():
    pixels = torch.zeros(1, 3, 17, 17)
    pixels[:, :, 8, 8] = 1
    result = blur(pixels, torch.tensor([True]), 1.0, (1.0, 1.0), generator())
    weights = np.exp(-0.5 * np.arange(-3, 4) ** 2.0)
    weights /= weights.sum()
    np.testing.assert_allclose(result[0, 1, 5:12, 5:12].numpy(), np.outer(weights, weights), atol=1e-6)
    assert float(result.sum()) == pytest.approx(3, abs=1e-5)


def test_infrared_stays_grey_through_everything(modalities):
    grey = torch.randint(0, 256, (N, 1, H, W), dtype=torch.uint8, generator=generator(6)).expand(-1, 3, -1, -1)
    result = augment(grey, modalities, STRONG.model_copy(update={"erase": 0.0}), generator())
    pixels = result * torch.tensor(IMAGENET_STD).reshape(3, 1, 1) + torch.tensor(IMAGENET_MEAN).reshape(3, 1, 1)
    torch.testing.assert_close(pixels, pixels[:, :1].expand_as(pixels), atol=1e-5, rtol=0)


def test_one_image_and_none(images, modalities):
    assert augment(images[:1], modalities[:1], STRONG, generator()).shape == (1, 3, H, W)
    assert augment(images[:0], modalities[:0], STRONG, generator()).shape == (0, 3, H, W)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu(images, modalities):
    on_gpu = torch.Generator(device="cuda").manual_seed(0)
    result = augment(images.cuda(), modalities.cuda(), STRONG, on_gpu)
    assert result.device.type == "cuda"
    assert result.isfinite().all()


def test_twice_as_large_shows_half_of_the_picture(images):
    # A ramp across: twice as large it has half the slope, and what was at the point that stays is still there.
    ramp = (torch.arange(100) * 2).to(torch.uint8).expand(4, 3, 60, 100).contiguous()
    large = zoom(ramp, (2.0, 2.0), 0.0, generator()).float()
    slope = large[:, 0, 30, 80] - large[:, 0, 30, 20]
    assert slope.tolist() == pytest.approx([60] * 4, abs=2)
    assert (large.amin((1, 2, 3)) >= 0).all()
    assert len(set(large[:, 0, 30, 50].tolist())) > 1  # each about a point of its own
    assert torch.equal(zoom(images, (1.0, 1.0), 0.0, generator()), images)


def test_beyond_the_picture_its_border_goes_on():
    white = torch.full((3, 3, 20, 10), 255, dtype=torch.uint8)
    assert torch.equal(zoom(white, (0.5, 0.5), 0.3, generator()), white)


def test_stretching_changes_width_over_height_within_its_bounds():
    # A square of 20 in the middle of an otherwise black picture.
    square = torch.zeros(200, 3, 80, 80)
    square[:, :, 30:50, 30:50] = 255
    out = zoom(square.to(torch.uint8), (1.0, 1.0), 0.5, generator())[:, 0] > 127
    wide, tall = out.any(1).sum(1).float(), out.any(2).sum(1).float()
    whole = (wide > 0) & (tall > 0)
    ratio = (wide / tall)[whole]
    assert 1.35 < ratio.max() < 1.65
    assert 1 / 1.65 < ratio.min() < 1 / 1.35


def test_gamma_is_a_power_within_its_bounds(modalities):
    gray = torch.full((N, 3, H, W), 128, dtype=torch.uint8)
    result = augment(gray, modalities, AugmentConfig(pad=0, flip=0, gamma=0.5), generator())
    value = result[:, 0, 0, 0] * 0.229 + 0.485
    power = torch.log(value) / np.log(128 / 255)
    assert (power > np.exp(-0.5) - 1e-3).all()
    assert (power < np.exp(0.5) + 1e-3).all()
    assert power.std() > 0.1
