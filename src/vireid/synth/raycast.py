"""Ray casting and procedural noise as NVIDIA Warp kernels on the CPU.

Shapes: V vertices, F triangles, N rays or points.
"""
# ruff: noqa: UP018, FURB
# mypy: disable-error-code="misc, attr-defined, valid-type, no-any-return, untyped-decorator"
# mypy: disable-error-code="name-defined, no-untyped-call"

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import warp as wp

Array = npt.NDArray[Any]

DEVICE = "cpu"
FAR = 1.0e3


@contextlib.contextmanager
def _mute() -> Iterator[None]:
    """Silence stdout and stderr at the level of the process: Warp's library writes there past Python."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(descriptor) for descriptor in (1, 2)]
    try:
        with Path(os.devnull).open("wb") as nowhere:
            for descriptor in (1, 2):
                os.dup2(nowhere.fileno(), descriptor)
        yield
    finally:
        for descriptor, copy in zip((1, 2), kept, strict=True):
            os.dup2(copy, descriptor)
            os.close(copy)


wp.config.log_level = wp.LOG_ERROR
# Without a GPU the library warns of the absent driver once per process; the rays are cast on the CPU anyway.
with _mute():
    wp.init()


@wp.kernel
def _trace(
    mesh: wp.uint64,
    origin: wp.vec3,
    directions: wp.array(dtype=wp.vec3),
    face: wp.array(dtype=wp.int32),
    u: wp.array(dtype=float),
    v: wp.array(dtype=float),
    t: wp.array(dtype=float),
) -> None:
    i = wp.tid()
    query = wp.mesh_query_ray(mesh, origin, directions[i], 1.0e3)
    if query.result:
        face[i] = query.face
        u[i] = query.u
        v[i] = query.v
        t[i] = query.t
    else:
        face[i] = -1


@wp.kernel
def _occluded(mesh: wp.uint64, points: wp.array(dtype=wp.vec3), light: wp.vec3, out: wp.array(dtype=wp.uint8)) -> None:
    i = wp.tid()
    if wp.mesh_query_ray_anyhit(mesh, points[i], light, 1.0e3):
        out[i] = wp.uint8(1)
    else:
        out[i] = wp.uint8(0)


@wp.func
def _hash(i: int, j: int, k: int, seed: int) -> float:
    h = wp.uint32(i) * wp.uint32(73856093)
    h = h ^ (wp.uint32(j) * wp.uint32(19349663))
    h = h ^ (wp.uint32(k) * wp.uint32(83492791))
    h = h ^ (wp.uint32(seed) * wp.uint32(1640531513))
    h = (h ^ (h >> wp.uint32(15))) * wp.uint32(1540483477)
    h = (h ^ (h >> wp.uint32(13))) * wp.uint32(1103515245)
    h = h ^ (h >> wp.uint32(16))
    return float(h & wp.uint32(65535)) / 65535.0


@wp.func
def _noise(p: wp.vec3, seed: int) -> float:
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
        wp.lerp(_hash(i, j, k, seed), _hash(i + 1, j, k, seed), x),
        wp.lerp(_hash(i, j + 1, k, seed), _hash(i + 1, j + 1, k, seed), x),
        y,
    )
    high = wp.lerp(
        wp.lerp(_hash(i, j, k + 1, seed), _hash(i + 1, j, k + 1, seed), x),
        wp.lerp(_hash(i, j + 1, k + 1, seed), _hash(i + 1, j + 1, k + 1, seed), x),
        y,
    )
    return wp.lerp(low, high, z)


@wp.kernel
def _fractal(points: wp.array(dtype=wp.vec3), seed: int, octaves: int, out: wp.array(dtype=float)) -> None:
    i = wp.tid()
    total = float(0.0)
    weight = float(0.0)
    amplitude = float(1.0)
    q = points[i]
    for k in range(octaves):
        total = total + amplitude * _noise(q, seed + k)
        weight = weight + amplitude
        amplitude = amplitude * 0.5
        q = q * 2.0
    out[i] = total / weight


@wp.kernel
def _gradient(points: wp.array(dtype=wp.vec3), seed: int, e: float, out: wp.array(dtype=wp.vec3)) -> None:
    i = wp.tid()
    q = points[i]
    x = wp.vec3(e, 0.0, 0.0)
    y = wp.vec3(0.0, e, 0.0)
    z = wp.vec3(0.0, 0.0, e)
    out[i] = wp.vec3(
        _noise(q + x, seed) - _noise(q - x, seed),
        _noise(q + y, seed) - _noise(q - y, seed),
        _noise(q + z, seed) - _noise(q - z, seed),
    )


def compile_kernels() -> None:
    """Compile (once per machine, seconds) and load the kernels without Warp's messages."""
    with _mute():
        wp.load_module(__name__, device=DEVICE)


def _points(values: Array) -> Any:
    return wp.array(np.ascontiguousarray(values, np.float32), dtype=wp.vec3, device=DEVICE)


@dataclass(frozen=True, slots=True)
class Hits:
    """Where N rays meet the mesh: triangle (-1: none), barycentric weights `(N, 3)`, distance in metres."""

    face: Array
    weights: Array
    distance: Array


class Mesh:
    """A triangle mesh with a bounding-volume hierarchy."""

    def __init__(self, vertices: Array, faces: Array) -> None:
        indices: Any = wp.array(np.ascontiguousarray(faces, np.int32).ravel(), dtype=wp.int32, device=DEVICE)
        self._mesh = wp.Mesh(_points(vertices), indices)

    def cast(self, origin: Array, directions: Array) -> Hits:
        """First hit of each ray; `origin` `(3,)`, unit `directions` `(N, 3)`."""
        n = len(directions)
        out = [wp.zeros(n, dtype=kind, device=DEVICE) for kind in (wp.int32, float, float, float)]
        rays = _points(directions)
        wp.launch(_trace, n, [self._mesh.id, wp.vec3(*map(float, origin)), rays, *out], device=DEVICE)
        face, u, v, t = (array.numpy() for array in out)
        # Warp's u and v weigh the first two corners.
        return Hits(face, np.stack([u, v, 1 - u - v], 1), t)

    def shadowed(self, points: Array, light: Array) -> Array:
        """Whether each point `(N, 3)` has the mesh between it and a far light in unit direction `(3,)`."""
        out = wp.empty(len(points), dtype=wp.uint8, device=DEVICE)
        arguments = [self._mesh.id, _points(points), wp.vec3(*map(float, light)), out]
        wp.launch(_occluded, len(points), arguments, device=DEVICE)
        return np.asarray(out.numpy() > 0)


def fractal_noise(points: Array, seed: int, octaves: int = 1) -> Array:
    """Value noise in 0 to 1 at points `(N, 3)`, `octaves` doublings of frequency summed."""
    out = wp.empty(len(points), dtype=float, device=DEVICE)
    if len(points):
        wp.launch(_fractal, len(points), [_points(points), int(seed), octaves, out], device=DEVICE)
    return np.asarray(out.numpy())


def noise_gradient(points: Array, seed: int, step: float = 0.35) -> Array:
    """Finite-difference gradient `(N, 3)` of value noise."""
    out = wp.empty(len(points), dtype=wp.vec3, device=DEVICE)
    if len(points):
        wp.launch(_gradient, len(points), [_points(points), int(seed), step, out], device=DEVICE)
    return np.asarray(out.numpy())
