"""A z-buffer in Warp kernels: which triangle each sample of a picture sees, from a camera or from the sun.

Shapes: V vertices, F triangles, H and W samples. A cell of the buffer holds the depth in units of 10 um in its
upper 32 bits and the number of the triangle in its lower ones, so that the nearest triangle wins by one atomic
minimum, whatever the order in which they are drawn.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import warp as wp

from vireid.synth import kernels as kernels  # sets Warp up

Array = npt.NDArray[Any]

EMPTY = 0x7FFFFFFFFFFFFFFF


@wp.struct
class Window:
    """The rectangle of the image plane that is drawn: left and top edge, samples per unit across and down."""

    left: float
    top: float
    across: float
    down: float
    width: int
    height: int


@wp.kernel
def _stand(
    vertices: wp.array(dtype=wp.vec3),
    normals: wp.array(dtype=wp.vec3),
    cosine: float,
    sine: float,
    position: wp.vec3,
    world: wp.array(dtype=wp.vec3),
    turned: wp.array(dtype=wp.vec3),
) -> None:
    i = wp.tid()
    p = vertices[i]
    n = normals[i]
    world[i] = wp.vec3(cosine * p[0] - sine * p[1], sine * p[0] + cosine * p[1], p[2]) + position
    turned[i] = wp.vec3(cosine * n[0] - sine * n[1], sine * n[0] + cosine * n[1], n[2])


@wp.kernel
def _project(
    world: wp.array(dtype=wp.vec3),
    origin: wp.vec3,
    right: wp.vec3,
    up: wp.vec3,
    forward: wp.vec3,
    perspective: int,
    out: wp.array(dtype=wp.vec3),
) -> None:
    i = wp.tid()
    p = world[i] - origin
    depth = wp.dot(p, forward)
    x = wp.dot(p, right)
    y = -wp.dot(p, up)
    if perspective == 1:
        x = x / depth
        y = y / depth
    out[i] = wp.vec3(x, y, depth)


@wp.func
def edge(a: wp.vec3, b: wp.vec3, x: float, y: float) -> float:
    """Twice the signed area of the triangle of two vertices and a point of the image plane."""
    return (b[0] - a[0]) * (y - a[1]) - (b[1] - a[1]) * (x - a[0])


@wp.kernel
def _draw(
    plane: wp.array(dtype=wp.vec3),
    faces: wp.array(dtype=wp.vec3i),
    first: int,
    window: Window,
    perspective: int,
    buffer: wp.array(dtype=wp.uint64),
) -> None:
    i = wp.tid()
    face = faces[i]
    a = plane[face[0]]
    b = plane[face[1]]
    c = plane[face[2]]
    # A triangle that reaches behind the camera is left out: nobody stands that near.
    if perspective == 1 and wp.min(a[2], wp.min(b[2], c[2])) < 0.2:
        return
    area = edge(a, b, c[0], c[1])
    if wp.abs(area) < 1.0e-14:
        return
    x0 = wp.max(0, int(wp.ceil((wp.min(a[0], wp.min(b[0], c[0])) - window.left) * window.across - 0.5)))
    x1 = wp.min(window.width - 1, int(wp.floor((wp.max(a[0], wp.max(b[0], c[0])) - window.left) * window.across - 0.5)))
    y0 = wp.max(0, int(wp.ceil((wp.min(a[1], wp.min(b[1], c[1])) - window.top) * window.down - 0.5)))
    y1 = wp.min(window.height - 1, int(wp.floor((wp.max(a[1], wp.max(b[1], c[1])) - window.top) * window.down - 0.5)))
    inverse = 1.0 / area
    for row in range(y0, y1 + 1):
        y = window.top + (float(row) + 0.5) / window.down
        for column in range(x0, x1 + 1):
            x = window.left + (float(column) + 0.5) / window.across
            u = edge(b, c, x, y) * inverse
            v = edge(c, a, x, y) * inverse
            w = 1.0 - u - v
            if u >= 0.0 and v >= 0.0 and w >= 0.0:
                depth = float(0.0)
                if perspective == 1:
                    depth = 1.0 / (u / a[2] + v / b[2] + w / c[2])
                else:
                    depth = u * a[2] + v * b[2] + w * c[2] + 100.0
                key = (wp.uint64(depth * 1.0e5) << wp.uint64(32)) | wp.uint64(first + i)
                wp.atomic_min(buffer, row * window.width + column, key)


@dataclass(frozen=True, slots=True)
class Shape:
    """A figure's arrays on the device.

    Attributes:
        vertices, normals: `(V,)` vectors in the figure's frame.
        faces: `(F,)` triples.
        attributes: `(V, COLUMNS)`.
        parts: `(F,)`.
    """

    vertices: Any
    normals: Any
    faces: Any
    attributes: Any
    parts: Any


@dataclass(frozen=True, slots=True)
class Stood:
    """A shape that stands in the world: its vertices and normals `(V,)` there."""

    shape: Shape
    world: Any
    normals: Any


@dataclass(frozen=True, slots=True)
class Frame:
    """A camera's or the sun's frame: where it is and three unit vectors `(3,)`."""

    origin: Array
    right: Array
    up: Array
    forward: Array

    @classmethod
    def looking(cls, origin: Array, target: Array) -> "Frame":
        """At `origin`, towards `target`, upright."""
        forward = np.asarray(target, float) - origin
        forward /= np.linalg.norm(forward)
        x, y, z = forward
        level = np.hypot(x, y)
        # The cross products of forward with the vertical, and of that with forward, written out.
        right = np.array([y, -x, 0]) / level
        up = np.array([-x * z, -y * z, level**2]) / level
        return cls(np.asarray(origin, float), right, up, forward)


def upload(vertices: Array, normals: Array, faces: Array, attributes: Array, parts: Array, device: str) -> Shape:
    """Put a figure's arrays on the device."""

    def vectors(values: Array) -> Any:
        return wp.array(np.ascontiguousarray(values, np.float32), dtype=wp.vec3, device=device)

    return Shape(
        vectors(vertices),
        vectors(normals),
        wp.array(np.ascontiguousarray(faces, np.int32), dtype=wp.vec3i, device=device),
        wp.array(np.ascontiguousarray(attributes, np.float32), dtype=float, device=device),
        wp.array(np.ascontiguousarray(parts, np.int32), dtype=wp.int32, device=device),
    )


def stand(shape: Shape, heading: float, position: Array) -> Stood:
    """Turn a shape about the vertical by `heading` radians and move it to `position` `(3,)`."""
    device, count = shape.vertices.device, len(shape.vertices)
    world, normals = (wp.empty(count, dtype=wp.vec3, device=device) for _ in range(2))
    turn = [float(np.cos(heading)), float(np.sin(heading)), wp.vec3(*map(float, position))]
    wp.launch(_stand, count, [shape.vertices, shape.normals, *turn, world, normals], device=device)
    return Stood(shape, world, normals)


def project(stood: Stood, frame: Frame, *, perspective: bool) -> Any:
    """Image plane coordinates and depth `(V,)` of the vertices; x to the right and y down, at unit distance."""
    out = wp.empty(len(stood.world), dtype=wp.vec3, device=stood.world.device)
    vectors = [wp.vec3(*map(float, v)) for v in (frame.origin, frame.right, frame.up, frame.forward)]
    wp.launch(_project, len(out), [stood.world, *vectors, int(perspective), out], device=out.device)
    return out


def window(left: float, top: float, wide: float, tall: float, height: int, width: int) -> Any:
    """A rectangle of the image plane, `wide` by `tall`, drawn with `height` x `width` samples."""
    result = Window()
    result.left, result.top = left, top
    result.across, result.down = width / wide, height / tall
    result.width, result.height = width, height
    return result


def blank(height: int, width: int, device: str) -> Any:
    """A buffer `(H W,)` that has seen nothing."""
    buffer = wp.empty(height * width, dtype=wp.uint64, device=device)
    buffer.fill_(EMPTY)
    return buffer


def draw(plane: Any, faces: Any, first: int, where: Any, buffer: Any, *, perspective: bool) -> None:
    """Draw triangles into a buffer, numbered from `first`."""
    wp.launch(_draw, len(faces), [plane, faces, first, where, int(perspective), buffer], device=buffer.device)


@wp.func
def depth_of(key: wp.uint64) -> float:
    """The depth of a buffer's cell."""
    return float(key >> wp.uint64(32)) * 1.0e-5


@wp.func
def sun_depth_of(key: wp.uint64) -> float:
    """The depth of a cell drawn along a direction."""
    return float(key >> wp.uint64(32)) * 1.0e-5 - 100.0
