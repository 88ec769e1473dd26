"""Sensors against numbers worked by hand and slow references."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("warp", reason="not installed: pip install 'vireid[synth]'")

import warp as wp

from vireid.synth import sensor
from vireid.synth.sensor import Meter, Sensor, averaged, blur, meter_heat, meter_light

PLAIN = Sensor(
    blur=0.05,
    smear=1.0,
    noise=0.0,
    balance=np.ones(3),
    aim=0.25,
    veil=0.0,
    room=(0.0, 0.0),
    equalize=0.0,
    detail=1.0,
    curve=1.0,
    stripes=0.0,
)


def sense_visible(light, settings, seed):
    return sensor.sense_visible(light, settings, meter_light(off_device(light)), seed)


def sense_nir(light, settings, seed):
    return sensor.sense_nir(light, settings, meter_light(off_device(light)), seed)


def sense_thermal(degrees, settings, seed):
    """By a meter that has seen just this picture."""
    seen = off_device(degrees).ravel()
    low, high = np.percentile(seen, (2, 98.5))
    ranks = meter_heat(seen, (seen.max(), seen.max()), "cpu").ranks
    return sensor.sense_thermal(degrees, settings, Meter(low, 0.0, high, ranks), seed)


def on_device(values):
    """An image `(H, W)` of one value as vectors."""
    return wp.array(np.repeat(np.asarray(values, np.float32)[:, :, None], 3, 2), dtype=wp.vec3, device="cpu")


def off_device(image):
    return image.numpy()[:, :, 0]


@pytest.fixture
def image():
    return np.random.default_rng(0).uniform(0, 1, (12, 7))


def test_blur_keeps_what_is_even_and_the_sum_of_a_point():
    np.testing.assert_allclose(off_device(blur(on_device(np.full((6, 5), 3.0)), 0.8, 3.0)), 3, rtol=1e-5)
    point = np.zeros((21, 21))
    point[10, 10] = 1
    spread = off_device(blur(on_device(point), 1.0, 1.0))
    assert spread.sum() == pytest.approx(1, abs=1e-4)
    # Of a Gaussian of one pixel: the ratio of neighbour to centre is exp(-1/2).
    assert spread[10, 11] / spread[10, 10] == pytest.approx(np.exp(-0.5), rel=1e-4)
    np.testing.assert_allclose(spread, spread.T, rtol=1e-4)


def test_motion_blurs_across_only():
    point = np.zeros((9, 9))
    point[4, 4] = 1
    spread = off_device(blur(on_device(point), 0.05, 3.0))
    np.testing.assert_allclose(spread[4, 3:6], 1 / 3, rtol=1e-4)
    assert spread[3].max() < 1e-4


@pytest.mark.parametrize("radius", [1, 2, 9])
def test_running_sums_equal_a_slow_box(image, radius):
    def box(rows):
        padded = np.pad(rows, ((0, 0), (radius, radius)), "edge")
        return np.stack([padded[:, k : k + 2 * radius + 1].mean(1) for k in range(rows.shape[1])], 1)

    expected = image
    for _ in range(2):
        expected = box(box(expected).T).T
    np.testing.assert_allclose(off_device(averaged(on_device(image), radius)), expected, rtol=1e-4)


def test_meters_by_hand():
    ramp = np.arange(101, dtype=float)
    meter = meter_light(ramp)
    assert (meter.low, meter.middle, meter.high) == (5, 50, 96)
    # A view of one temperature, and people: what is warmest counts though nobody is in the view.
    meter = meter_heat(np.full(600, 10.0), (20.0, 30.0), "cpu")
    assert (meter.low, meter.middle, meter.high) == (10, 10, 28)
    ranks = meter.ranks.numpy()
    assert ranks[-1] == 1
    assert (np.diff(ranks) >= 0).all()


def test_exposure_does_not_tell_what_is_worn():
    """The same place with somebody in white and somebody in black: the place keeps its grey."""
    meter = meter_light(np.full(100, 0.3))
    for sense in (sensor.sense_visible, sensor.sense_nir):
        place = []
        for reflectance in (0.05, 0.9):
            light = np.full((40, 20), 0.3)
            light[10:30, 5:15] = reflectance
            place.append(sense(on_device(light), PLAIN, meter, 0).numpy()[:5])
        np.testing.assert_array_equal(*place)


def test_thermal_gain_spreads_the_temperatures_white_hot():
    # From the 2nd to the 98.5th percentile through the soft shoulder, without noise, blur and detail.
    degrees = np.linspace(10, 40, 256).reshape(16, 16)
    out = sense_thermal(on_device(degrees), PLAIN, 0).numpy()[:, :, 0].astype(float)
    low, high = np.percentile(degrees, (2, 98.5))
    expected = 255 * (0.5 + 0.55 * np.tanh(1.7 * ((degrees - low) / (high - low) - 0.5)))
    inner = (slice(3, 13), slice(3, 13))  # at the edges the halo of the local contrast is clipped
    assert np.abs(out - expected)[inner].max() < 3
    assert out[0, 0] < out[-1, -1]


def test_equalizing_gives_every_temperature_as_many_grey_levels_as_pixels():
    # Half of the picture at 10 degrees and little between them and 60: by temperature the middle would be 0.4.
    degrees = np.repeat([[10.0], [10.2], [30.0], [60.0]], 4, 0).repeat(8, 1)
    even, ranked = (sense_thermal(on_device(degrees), replace(PLAIN, equalize=e), 0).numpy() for e in (0, 1))
    rows = {"even": even[:, 4, 0].astype(int), "ranked": ranked[:, 4, 0].astype(int)}
    assert rows["ranked"][8] - rows["even"][8] > 20
    assert rows["ranked"][0] < rows["ranked"][8] < rows["ranked"][15]  # still white-hot


def test_detail_raises_local_contrast():
    degrees = np.full((64, 32), 20.0)
    degrees[:, 16:] += 10
    degrees[30:34, 8] += 0.5
    flat, sharp = (
        sense_thermal(on_device(degrees), replace(PLAIN, detail=d), 0).numpy()[:, :, 0].astype(float) for d in (1, 3)
    )
    assert sharp[32, 8] - sharp[20, 8] > 1.5 * (flat[32, 8] - flat[20, 8]) > 0


def test_noise_comes_from_the_seed():
    light = on_device(np.full((16, 8), 0.3))
    noisy = replace(PLAIN, noise=0.05)
    for sense in (sense_visible, sense_nir):
        first, again, other = (sense(light, noisy, seed).numpy() for seed in (1, 1, 2))
        np.testing.assert_array_equal(first, again)
        assert (first != other).any()
        quiet = sense(light, PLAIN, 1).numpy()
        assert np.ptp(quiet) == 0
        assert 5 < first.astype(float).std() < 25


def test_exposure_hides_most_of_how_bright_the_light_is():
    values = np.random.default_rng(1).uniform(0.1, 1, (16, 8))
    dim, bright = (sense_visible(on_device(values * k), PLAIN, 0).numpy().mean() for k in (0.2, 1.0))
    assert 0.5 * bright < dim < bright
    dim, bright = (sense_nir(on_device(values * k), PLAIN, 0).numpy().mean() for k in (0.5, 1.0))
    assert dim == pytest.approx(bright, rel=0.1)


def test_veil_lifts_the_darkest():
    values = np.linspace(0, 1, 128).reshape(16, 8)
    clear, veiled = (sense_visible(on_device(values), replace(PLAIN, veil=v), 0).numpy() for v in (0.0, 0.2))
    assert veiled.min() > clear.min() + 30
