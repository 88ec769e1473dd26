"""Small geometry: outlines of point sets, ribbons, tubes, boxes, hanging cloth and vertex normals.

Shapes: N points, V vertices, F triangles, K rings, C columns around, B poses. Angles are radians about z, 0
towards x; metres.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

Array = npt.NDArray[Any]
Surface = tuple[Array, Array]

FRONT, BACK = -np.pi / 2, np.pi / 2


def vertex_normals(vertices: Array, faces: Array) -> Array:
    """Area-weighted unit normals `(V, B, 3)` of a mesh in B poses, vertices `(V, B, 3)`."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    u, v = b - a, c - a
    flat = np.empty_like(u)
    for axis in range(3):
        i, j = (axis + 1) % 3, (axis + 2) % 3
        flat[..., axis] = u[..., i] * v[..., j] - u[..., j] * v[..., i]
    count = len(faces)
    corners = (np.ones(3 * count, np.float32), (faces.T.ravel(), np.tile(np.arange(count), 3)))
    total = sparse.csr_array(corners, (len(vertices), count)) @ flat.reshape(count, -1)
    total = total.reshape(vertices.shape)
    length = np.sqrt(np.einsum("vbi,vbi->vb", total, total)) + 1e-9
    return np.asarray(total / length[..., None], np.float32)


def grid_faces(rows: int, columns: int, closed: bool = True) -> Array:
    """Triangles `(F, 3)` of a grid of vertices, row after row, that closes around its columns or not."""
    row, column = np.divmod(np.arange((rows - 1) * (columns if closed else columns - 1)), columns - (not closed))
    a = row * columns + column
    b = row * columns + (column + 1) % columns
    return np.concatenate([np.stack([a, b, b + columns], 1), np.stack([a, b + columns, a + columns], 1)])


def superellipsoid(center: Array, radii: Array, exponent: float = 1.0, columns: int = 16, rows: int = 10) -> Surface:
    """Vertices and triangles; exponent 1 is an ellipsoid, towards 0 a box."""
    theta, phi = np.meshgrid(
        np.linspace(0, 2 * np.pi, columns, endpoint=False),
        np.linspace(-np.pi / 2 + 0.01, np.pi / 2 - 0.01, rows),
    )

    def power(x: Array) -> Array:
        return np.asarray(np.sign(x) * np.abs(x) ** exponent)

    unit = [
        power(np.cos(phi)) * power(np.cos(theta)),
        power(np.cos(phi)) * power(np.sin(theta)),
        power(np.sin(phi)),
    ]
    return np.stack(unit, -1).reshape(-1, 3) * np.asarray(radii) + np.asarray(center), grid_faces(rows, columns)


def ribbon(path: Array, outward: Array, width: float) -> Surface:
    """A flat band along `path` `(N, 3)`, its middle a little raised; `outward` `(N, 3)` are its normals."""
    along = np.gradient(path, axis=0)
    across = np.cross(along, outward)
    across *= width / 2 / (np.linalg.norm(across, axis=1, keepdims=True) + 1e-9)
    outward = outward / (np.linalg.norm(outward, axis=1, keepdims=True) + 1e-9)
    rows = np.stack([path - across, path + 0.1 * width * outward, path + across], 1)
    return rows.reshape(-1, 3), grid_faces(len(path), 3, closed=False)


def tube(path: Array, radii: Array, columns: int = 10, closed: bool = False) -> Surface:
    """A round tube along `path` `(N, 3)` with `radii` `(N,)` or `(N, 2)` (sideways, upward)."""
    path = np.asarray(path, float)
    radii = np.broadcast_to(np.asarray(radii, float).reshape(len(path), -1), (len(path), 2))
    along = np.roll(path, -1, 0) - np.roll(path, 1, 0) if closed else np.gradient(path, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True) + 1e-9
    # One reference for the whole tube keeps it from twisting; it must not run along the tube.
    reference = np.eye(3)[np.abs(along).max(0).argmin()]
    side = np.cross(along, reference)
    side /= np.linalg.norm(side, axis=1, keepdims=True) + 1e-9
    up = np.cross(side, along)
    angle = np.linspace(0, 2 * np.pi, columns, endpoint=False)
    round_ = (
        radii[:, :1, None] * np.cos(angle)[None, :, None] * side[:, None]
        + radii[:, 1:, None] * np.sin(angle)[None, :, None] * up[:, None]
    )
    points = (path[:, None] + round_).reshape(-1, 3)
    faces = grid_faces(len(path) + closed, columns) % len(points)
    return points, faces


def curve(knots: Sequence[Any] | Array, count: int) -> Array:
    """`count` points of a smooth (Catmull-Rom) curve through `knots` `(N, 3)`."""
    p = np.asarray(knots, float)
    p = np.concatenate([2 * p[:1] - p[1:2], p, 2 * p[-1:] - p[-2:-1]])
    t = np.linspace(0, len(p) - 3, count)
    k = np.minimum(t.astype(int), len(p) - 4)
    u = (t - k)[:, None]
    a, b, c, d = (p[k + i] for i in range(4))
    return np.asarray(b + 0.5 * u * (c - a + u * (2 * a - 5 * b + 4 * c - d + u * (3 * (b - c) + d - a))))


def directions(columns: int) -> Array:
    """Unit vectors `(C, 2)` evenly around the circle."""
    angle = np.linspace(0, 2 * np.pi, columns, endpoint=False)
    return np.stack([np.cos(angle), np.sin(angle)], 1)


def convex_radii(points: Array, columns: int = 36) -> Array:
    """Radii `(C,)` of the convex outline of points `(N, 2)` around the origin, which must lie inside."""
    return _convex((points @ directions(columns).T).max(0))


def _convex(support: Array) -> Array:
    """From support values `(..., C)` to radii: in direction phi the least of h(psi) / cos(psi - phi)."""
    columns = support.shape[-1]
    angle = np.linspace(0, 2 * np.pi, columns, endpoint=False)
    cosine = np.cos(angle[:, None] - angle[None])
    support = np.maximum(support, 0.005)
    slack = np.where(cosine > 0.15, 1 / np.maximum(cosine, 0.15), 1e9)
    return np.asarray((support[..., :, None] * slack).min(-2))


def outlines(points: Array, levels: Array, knots: Array, half: float, columns: int = 36) -> Array:
    """Convex radii `(K, C)` of points `(N, 2)` around the axis, in bands around `knots` `(K,)` of their levels `(N,)`.

    An empty band takes the outline of the band before it.
    """
    reach = points @ directions(columns).T
    support = np.full((len(knots), columns), 0.02)
    for k, knot in enumerate(knots):
        near = np.abs(levels - knot) < half
        if near.any():
            support[k] = np.maximum(reach[near].max(0), 0.005)
        elif k:
            support[k] = support[k - 1]
    return _convex(support)


def widest(points: Array, levels: Array, knots: Array, half: float, columns: int = 32) -> Array:
    """Greatest radii `(K, C)` of points `(N, 2)` in bands around `knots`, 0 where there is no point."""
    column = np.round(np.arctan2(points[:, 1], points[:, 0]) / (2 * np.pi) * columns).astype(int) % columns
    radius = np.hypot(*points.T)
    result = np.zeros((len(knots), columns))
    for k, knot in enumerate(knots):
        near = np.abs(levels - knot) < half
        np.maximum.at(result[k], column[near], radius[near])
    # A column without a point would let the surface fall to the axis there.
    return np.asarray(np.maximum(result, np.maximum(np.roll(result, 1, 1), np.roll(result, -1, 1)) * 0.98))


def look_up(table: Array, row: Array, angle: Array) -> Array:
    """Values `(N,)` of a table `(K, C)` at fractional rows and angles, with linear interpolation."""
    rows, columns = table.shape
    row = np.clip(row, 0, rows - 1.001)
    column = (np.asarray(angle) / (2 * np.pi) * columns) % columns
    i, j = row.astype(int), column.astype(int) % columns
    u, v = row - i, column - column.astype(int)
    left = table[i, j] * (1 - u) + table[i + 1, j] * u
    right = table[i, (j + 1) % columns] * (1 - u) + table[i + 1, (j + 1) % columns] * u
    return np.asarray(left * (1 - v) + right * v)


def round_off(radii: Array, times: int = 2) -> Array:
    """Radii `(K, C)` averaged with their neighbours; the first and the last ring stay at their height."""
    for _ in range(times):
        radii = (np.roll(radii, 1, 1) + radii * 2 + np.roll(radii, -1, 1)) / 4
        radii[1:-1] = (radii[:-2] + 2 * radii[1:-1] + radii[2:]) / 4
    return radii


def hanging(
    points: Array, heights: Array, center: Array, flare: float, folds: float, columns: int = 36, sunk: float = 0.0
) -> Array:
    """Radii `(K, C)` of cloth that hangs around points: convex at each height, hardly tighter than above.

    Args:
        points: `(N, 3)` what the cloth must cover.
        heights: `(K,)` z of each ring, from the top down.
        center: `(2,)` the axis.
        flare: metres added to the radius at the lowest ring.
        folds: share of the flare that comes and goes around.
        columns: vertices per ring.
        sunk: metres by which the first ring hides below what it continues.
    """
    radius = outlines(points[:, :2] - center, points[:, 2], heights, 0.035, columns)
    for k in range(1, len(heights)):
        radius[k] = np.maximum(radius[k], radius[k - 1] * 0.95)
    radius = round_off(radius)
    down = np.linspace(0, 1, len(heights))[:, None]
    if sunk > 0:
        # At its top the cloth lies on what it continues, without a step.
        own = round_off(widest(points[:, :2] - center, points[:, 2], heights, 0.03, columns), 3)
        radius = own + np.maximum(radius - own, 0) * np.minimum(1, 3 * down)
    angle = np.linspace(0, 2 * np.pi, columns, endpoint=False)
    wave = np.cos(angle * 7 + 1.3) * 0.6 + np.cos(angle * 11 + 0.4) * 0.4
    ease = 0.002 - sunk + (0.01 + sunk) * np.minimum(1, 2.5 * down)
    return np.asarray(radius + ease + flare * down * (1 + folds * wave[None] * down))


def rings(radii: Array, heights: Array, center: Array) -> Surface:
    """The surface of rings of `radii` `(K, C)` at `heights` `(K,)` or `(K, C)` around the axis `center` `(2,)`."""
    count, columns = radii.shape
    z = np.broadcast_to(np.asarray(heights, float).reshape(count, -1), (count, columns))
    xy = np.asarray(center)[None, None] + radii[:, :, None] * directions(columns)[None]
    return np.concatenate([xy, z[:, :, None]], 2).reshape(-1, 3), grid_faces(count, columns)
