"""Sensors: from light or temperature to an 8-bit picture, as Warp kernels for the CPU or a GPU.

Shapes: H and W pixels. Lengths are in pixels of a picture 128 high and grow with the picture.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import warp as wp

from vireid.synth import kernels as kernels  # sets Warp up

Array = npt.NDArray[Any]

BINS = wp.constant(4096)
ROWS_FIRST, COLUMNS_FIRST = 0, 1
THERMAL_RANGE = (-60.0, 100.0)  # degrees Celsius that a thermal camera tells apart; chosen
PLATEAU = 300  # no bin of the histogram counts for more than this part of the view; chosen


@wp.kernel
def _blur(
    image: wp.array2d(dtype=wp.vec3), weights: wp.array(dtype=float), along: int, out: wp.array2d(dtype=wp.vec3)
) -> None:
    row, column = wp.tid()
    radius = (weights.shape[0] - 1) // 2
    total = wp.vec3(0.0, 0.0, 0.0)
    for k in range(weights.shape[0]):
        if along == 0:
            total += weights[k] * image[wp.clamp(row + k - radius, 0, image.shape[0] - 1), column]
        else:
            total += weights[k] * image[row, wp.clamp(column + k - radius, 0, image.shape[1] - 1)]
    out[row, column] = total


@wp.kernel
def _average(image: wp.array2d(dtype=wp.vec3), radius: int, along: int, out: wp.array2d(dtype=wp.vec3)) -> None:
    # One thread follows one line with a running sum, so that the cost does not grow with the radius.
    line = wp.tid()
    length = image.shape[1 - along]
    total = wp.vec3(0.0, 0.0, 0.0)
    for k in range(-radius, radius + 1):
        at = wp.clamp(k, 0, length - 1)
        if along == 0:
            total += image[line, at]
        else:
            total += image[at, line]
    scale = 1.0 / float(2 * radius + 1)
    for k in range(length):
        enter = wp.min(k + radius + 1, length - 1)
        leave = wp.max(k - radius, 0)
        if along == 0:
            out[line, k] = total * scale
            total += image[line, enter] - image[line, leave]
        else:
            out[k, line] = total * scale
            total += image[enter, line] - image[leave, line]


@wp.func
def _byte(value: float) -> wp.uint8:
    return wp.uint8(wp.clamp(value, 0.0, 1.0) * 255.0 + 0.5)


@wp.func
def _noise(seed: int, at: int, channel: int) -> float:
    return wp.randn(wp.rand_init(seed, at * 3 + channel))


@wp.kernel
def _sense_visible(
    image: wp.array2d(dtype=wp.vec3),
    middle: float,
    balance: wp.vec3,
    aim: float,
    veil: float,
    noise: float,
    seed: int,
    out: wp.array3d(dtype=wp.uint8),
) -> None:
    row, column = wp.tid()
    # Automatic exposure brings the median near its aim, but not all the way: dark places stay darker.
    gain = aim / wp.max(wp.pow(middle, 0.75) * 0.72, 0.02)
    light = wp.max(image[row, column] * gain, wp.vec3(0.0, 0.0, 0.0))
    dark = 0.5 + 0.5 * wp.min(gain, 3.0)
    at = row * image.shape[1] + column
    for channel in range(3):
        value = light[channel] * balance[channel]
        value = value * (1.0 - veil) + veil * aim * 1.6
        value = wp.pow(value / (1.0 + 0.3 * value), 1.0 / 2.2) * 1.06
        out[row, column, channel] = _byte(value + noise * dark * _noise(seed, at, channel))


@wp.kernel
def _sense_nir(
    image: wp.array2d(dtype=wp.vec3),
    bright: float,
    exposure: float,
    veil: float,
    noise: float,
    seed: int,
    out: wp.array3d(dtype=wp.uint8),
) -> None:
    row, column = wp.tid()
    # Automatic exposure on the bright end, with a soft shoulder for who comes near the lamp.
    value = image[row, column][0] / (bright + 0.03) * exposure * 0.8
    value = value * (1.0 - veil) + veil * 0.35
    value = 1.15 * value / (1.0 + 0.25 * value * value)
    value = wp.pow(wp.max(value, 0.0), 1.0 / 1.6)
    out[row, column, 0] = _byte(value + noise * _noise(seed, row * image.shape[1] + column, 0))


@wp.kernel
def _sense_thermal(
    image: wp.array2d(dtype=wp.vec3),
    around: wp.array2d(dtype=wp.vec3),
    coldest: float,
    warmest: float,
    ranks: wp.array(dtype=float),
    floor: float,
    bins_per_degree: float,
    room: wp.vec2,
    equalize: float,
    detail: float,
    curve: float,
    noise: float,
    stripes: float,
    seed: int,
    out: wp.array3d(dtype=wp.uint8),
) -> None:
    row, column = wp.tid()
    at = row * image.shape[1] + column
    # Noise is in degrees; stripes are the columns' own offsets.
    reading = image[row, column][0] + noise * _noise(seed, at, 0) + stripes * _noise(seed + 1, column, 1)
    low = coldest - room[0]
    high = warmest + room[1]
    span = wp.max(high - low, 1.0)
    mean = around[row, column][0]
    even = wp.clamp((mean - low) / span, 0.0, 1.0)
    ranked = ranks[wp.clamp(int((mean - floor) * bins_per_degree), 0, BINS - 1)]
    base = wp.lerp(wp.pow(even, curve), ranked, equalize)
    value = base + (reading - mean) / span * detail
    # A soft shoulder at both ends, so that halos do not turn into flat black and white.
    out[row, column, 0] = _byte(0.5 + 0.55 * wp.tanh(1.7 * (value - 0.5)))


@dataclass(frozen=True, slots=True)
class Sensor:
    """How a camera turns light into numbers.

    Attributes:
        blur: standard deviation of the blur, pixels of a picture 128 high.
        smear: length of the motion blur across, in the same pixels.
        noise: of a pixel: share of full scale; in the thermal band degrees (noise equivalent temperature).
        balance: `(3,)` gains of the colours.
        aim: what the exposure brings the middle of the picture to, 0 to 1; in the near infrared a factor on it.
        veil: share of stray light.
        room: degrees below the coldest and above the warmest that automatic gain leaves, thermal only.
        equalize: how far the broad gradations follow the histogram instead of the temperature, 0 to 1, thermal only.
        detail: how strongly local contrast is raised, 1 not at all, thermal only.
        curve: exponent on the broad gradations, below 1 lifts them, thermal only.
        stripes: degrees of the columns' own offsets, thermal only.
    """

    blur: float
    smear: float
    noise: float
    balance: Array
    aim: float
    veil: float
    room: tuple[float, float]
    equalize: float
    detail: float
    curve: float
    stripes: float


def blur(image: Any, sigma: float, smear: float) -> Any:
    """Gaussian blur of `(H, W)` vectors by `sigma` pixels, and a box of `smear` pixels across; edges repeat."""
    for along, weights in ((ROWS_FIRST, _gauss(sigma)), (COLUMNS_FIRST, np.convolve(_gauss(sigma), _box(smear)))):
        out = wp.empty_like(image)
        kernel = wp.array(weights, dtype=float, device=image.device)
        wp.launch(_blur, image.shape, [image, kernel, along, out], device=image.device)
        image = out
    return image


def _gauss(sigma: float) -> Array:
    radius = max(1, int(3 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / max(sigma, 0.05)) ** 2)
    return kernel / kernel.sum()


def _box(length: float) -> Array:
    half = max(0, round((length - 1) / 2))
    return np.full(2 * half + 1, 1 / (2 * half + 1))


def averaged(image: Any, radius: int) -> Any:
    """Two passes of a box of `radius` pixels in both directions over `(H, W)` vectors."""
    height, width = image.shape
    for along, lines in ((0, height), (1, width)) * 2:
        out = wp.empty_like(image)
        wp.launch(_average, lines, [image, radius, along, out], device=image.device)
        image = out
    return image


@dataclass(frozen=True, slots=True)
class Meter:
    """What automatic exposure and gain go by: the whole view of the camera, never the crop.

    A crop would tell by its exposure what the person wears.

    Attributes:
        low, middle, high: of the view's light, or of its degrees Celsius.
        ranks: `(BINS,)` shares of the view colder than each bin of `THERMAL_RANGE`, on the device; thermal only.
    """

    low: float
    middle: float
    high: float
    ranks: Any


def meter_light(values: Array) -> Meter:
    """The meter of a view's light `(N,)`: the 5th, 50th and 96th percentile."""
    low, middle, high = map(float, np.percentile(values, (5, 50, 96)))
    return Meter(low, middle, high, None)


def meter_heat(degrees: Array, people: tuple[float, float], device: str) -> Meter:
    """The meter of a view's temperatures `(N,)` with people in it.

    Args:
        degrees: of the empty view, Celsius.
        people: degrees of the coldest and the warmest that people are, who take up a seventh of the view.
        device: where the ranks go.
    """
    cold, warm = people
    low, middle, high = np.percentile(degrees, (2, 50, 98.5))
    crowd = np.linspace(cold, warm, max(1, len(degrees) // 6))
    bins, _ = np.histogram(np.concatenate([degrees, crowd]).clip(*THERMAL_RANGE), int(BINS), THERMAL_RANGE)
    # A bin counts up to a plateau: a large even area does not take all grey levels for itself.
    counted = np.minimum(bins, max(1, len(degrees) // PLATEAU)).cumsum()
    ranks: Any = wp.array((counted / counted[-1]).astype(np.float32), dtype=float, device=device)
    return Meter(float(low), float(middle), float(max(high, cold + 0.8 * (warm - cold))), ranks)


def sense_visible(light: Any, sensor: Sensor, meter: Meter, seed: int) -> Any:
    """A colour picture `(H, W, 3)` uint8 of light `(H, W)`."""
    grow = (light.shape[0] / 128) ** 0.5
    image = blur(light, sensor.blur * grow, sensor.smear * light.shape[0] / 128)
    out = wp.empty((*image.shape, 3), dtype=wp.uint8, device=image.device)
    balance = wp.vec3(*map(float, sensor.balance))
    arguments = [image, meter.middle, balance, sensor.aim, sensor.veil, sensor.noise, seed, out]
    wp.launch(_sense_visible, image.shape, arguments, device=image.device)
    return out


def sense_nir(light: Any, sensor: Sensor, meter: Meter, seed: int) -> Any:
    """A near-infrared picture `(H, W, 1)` uint8 of light `(H, W)`, in x."""
    grow = (light.shape[0] / 128) ** 0.5
    image = blur(light, sensor.blur * grow, sensor.smear * light.shape[0] / 128)
    out = wp.empty((*image.shape, 1), dtype=wp.uint8, device=image.device)
    arguments = [image, meter.high, sensor.aim, sensor.veil, sensor.noise, seed, out]
    wp.launch(_sense_nir, image.shape, arguments, device=image.device)
    return out


def sense_thermal(temperatures: Any, sensor: Sensor, meter: Meter, seed: int) -> Any:
    """A white-hot picture `(H, W, 1)` uint8 of degrees Celsius `(H, W)`, in x.

    Broad gradations and detail are scaled apart, as the local contrast enhancement of thermal cameras does: that is
    what gives such pictures their halos and their texture. The broad ones follow, in part, the histogram with a
    plateau, which such cameras use so that a small warm person does not leave the place black.
    """
    scale = temperatures.shape[0] / 128
    image = blur(temperatures, sensor.blur * scale**0.7, sensor.smear * scale)
    around = averaged(image, max(1, round(7 * scale)))
    floor, ceiling = THERMAL_RANGE
    out = wp.empty((*image.shape, 1), dtype=wp.uint8, device=image.device)
    gain = [meter.low, meter.high, meter.ranks, floor, int(BINS) / (ceiling - floor)]
    settings = [wp.vec2(*sensor.room), sensor.equalize, sensor.detail, sensor.curve, sensor.noise, sensor.stripes]
    wp.launch(_sense_thermal, image.shape, [image, around, *gain, *settings, seed, out], device=image.device)
    return out
