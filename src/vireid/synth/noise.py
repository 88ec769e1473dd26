"""Procedural value noise as Warp functions, and the same for NumPy arrays."""

from typing import Any

import numpy as np
import numpy.typing as npt
import warp as wp

from vireid.synth import kernels as kernels  # sets Warp up

Array = npt.NDArray[Any]


@wp.func
def hash_unit(i: int, j: int, k: int, seed: int) -> float:
    """A number in 0 to 1 for a lattice point and a seed."""
    h = wp.uint32(i) * wp.uint32(73856093)
    h = h ^ (wp.uint32(j) * wp.uint32(19349663))
    h = h ^ (wp.uint32(k) * wp.uint32(83492791))
    h = h ^ (wp.uint32(seed) * wp.uint32(1640531513))
    h = (h ^ (h >> wp.uint32(15))) * wp.uint32(1540483477)
    h = (h ^ (h >> wp.uint32(13))) * wp.uint32(1103515245)
    h = h ^ (h >> wp.uint32(16))
    return float(h & wp.uint32(65535)) / 65535.0


@wp.func
def value_noise(p: wp.vec3, seed: int) -> float:
    """Smooth noise in 0 to 1 whose lattice is the integers."""
    fx = wp.floor(p[0])
    fy = wp.floor(p[1])
    fz = wp.floor(p[2])
    i = int(fx)
    j = int(fy)
    k = int(fz)
    x = p[0] - fx
    y = p[1] - fy
    z = p[2] - fz
    x = x * x * (3.0 - 2.0 * x)
    y = y * y * (3.0 - 2.0 * y)
    z = z * z * (3.0 - 2.0 * z)
    low = wp.lerp(
        wp.lerp(hash_unit(i, j, k, seed), hash_unit(i + 1, j, k, seed), x),
        wp.lerp(hash_unit(i, j + 1, k, seed), hash_unit(i + 1, j + 1, k, seed), x),
        y,
    )
    high = wp.lerp(
        wp.lerp(hash_unit(i, j, k + 1, seed), hash_unit(i + 1, j, k + 1, seed), x),
        wp.lerp(hash_unit(i, j + 1, k + 1, seed), hash_unit(i + 1, j + 1, k + 1, seed), x),
        y,
    )
    return wp.lerp(low, high, z)


@wp.func
def noise_slope(p: wp.vec3, seed: int) -> wp.vec3:
    """The gradient of `value_noise`."""
    fx = wp.floor(p[0])
    fy = wp.floor(p[1])
    fz = wp.floor(p[2])
    i = int(fx)
    j = int(fy)
    k = int(fz)
    x = p[0] - fx
    y = p[1] - fy
    z = p[2] - fz
    u = x * x * (3.0 - 2.0 * x)
    v = y * y * (3.0 - 2.0 * y)
    w = z * z * (3.0 - 2.0 * z)
    c000 = hash_unit(i, j, k, seed)
    c100 = hash_unit(i + 1, j, k, seed)
    c010 = hash_unit(i, j + 1, k, seed)
    c110 = hash_unit(i + 1, j + 1, k, seed)
    c001 = hash_unit(i, j, k + 1, seed)
    c101 = hash_unit(i + 1, j, k + 1, seed)
    c011 = hash_unit(i, j + 1, k + 1, seed)
    c111 = hash_unit(i + 1, j + 1, k + 1, seed)
    along_x = wp.lerp(wp.lerp(c100 - c000, c110 - c010, v), wp.lerp(c101 - c001, c111 - c011, v), w)
    along_y = wp.lerp(wp.lerp(c010 - c000, c110 - c100, u), wp.lerp(c011 - c001, c111 - c101, u), w)
    along_z = wp.lerp(wp.lerp(c001 - c000, c101 - c100, u), wp.lerp(c011 - c010, c111 - c110, u), v)
    return wp.vec3(
        along_x * 6.0 * x * (1.0 - x),
        along_y * 6.0 * y * (1.0 - y),
        along_z * 6.0 * z * (1.0 - z),
    )


@wp.func
def fractal(p: wp.vec3, seed: int, octaves: int) -> float:
    """`octaves` doublings of frequency summed, each half as strong; 0 to 1."""
    total = float(0.0)
    weight = float(0.0)
    amplitude = float(1.0)
    q = p
    for k in range(octaves):
        total = total + amplitude * value_noise(q, seed + k)
        weight = weight + amplitude
        amplitude = amplitude * 0.5
        q = q * 2.0
    return total / weight


@wp.kernel
def _fractal(points: wp.array(dtype=wp.vec3), seed: int, octaves: int, out: wp.array(dtype=float)) -> None:
    i = wp.tid()
    out[i] = fractal(points[i], seed, octaves)


def fractal_noise(points: Array, seed: int, octaves: int = 1) -> Array:
    """Value noise in 0 to 1 at points `(N, 3)`, computed on the CPU."""
    out = wp.empty(len(points), dtype=float, device="cpu")
    if len(points):
        where = wp.array(np.ascontiguousarray(points, np.float32), dtype=wp.vec3, device="cpu")
        wp.launch(_fractal, len(points), [where, int(seed), octaves, out], device="cpu")
    return np.asarray(out.numpy())
