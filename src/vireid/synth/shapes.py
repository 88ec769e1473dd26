"""Small geometry: superellipsoids, hanging-cloth envelopes and vertex normals."""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Surface = tuple[Array, Array]


def vertex_normals(vertices: Array, faces: Array) -> Array:
    """Area-weighted unit normals `(V, 3)`."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    flat = np.cross(b - a, c - a)
    result = np.empty_like(vertices)
    for axis in range(3):
        weights = np.tile(flat[:, axis], 3)
        result[:, axis] = np.bincount(faces.T.ravel(), weights, len(vertices))
    return np.asarray(result / (np.linalg.norm(result, axis=1, keepdims=True) + 1e-9))


def grid_faces(rows: int, columns: int) -> Array:
    """Triangles `(F, 3)` of a grid of vertices that closes around its columns."""
    i = np.arange((rows - 1) * columns)
    a = i
    b = (i // columns) * columns + (i % columns + 1) % columns
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


def envelope(points: Array, heights: Array, center: Array, flare: float, columns: int = 36) -> Surface:
    """Cloth that hangs around points: their convex outline at each height, never much tighter than above it.

    Args:
        points: `(N, 3)` what the cloth must cover.
        heights: z of each ring, from the top down.
        center: `(2,)` the axis.
        flare: metres added to the radius at the lowest ring.
        columns: vertices per ring.
    """
    angle = np.linspace(0, 2 * np.pi, columns, endpoint=False)
    outward = np.stack([np.cos(angle), np.sin(angle)], 1)
    support = np.zeros((len(heights), columns))
    for k, z in enumerate(heights):
        near = points[np.abs(points[:, 2] - z) < 0.035][:, :2] - center
        support[k] = (near @ outward.T).max(0) if len(near) else (support[k - 1] if k else 0.1)
    # The boundary of a convex set in direction phi is the minimum of h(psi) / cos(psi - phi) over psi.
    cosine = np.cos(angle[:, None] - angle[None])
    slack = np.where(cosine > 0.15, 1 / np.maximum(cosine, 0.15), 1e9)
    radius = (support[:, :, None] * slack).min(1)
    for k in range(1, len(heights)):
        radius[k] = np.maximum(radius[k], radius[k - 1] * 0.93)
    for _ in range(2):
        radius = (np.roll(radius, 1, 1) + radius * 2 + np.roll(radius, -1, 1)) / 4
        radius[1:-1] = (radius[:-2] + 2 * radius[1:-1] + radius[2:]) / 4
    down = np.linspace(0, 1, len(heights))[:, None]
    radius = radius + 0.012 + flare * down * (1 + 0.35 * np.cos(angle * 7 + 1.3)[None] * down)
    rings = [
        np.column_stack([center + radius[k][:, None] * outward, np.full(columns, z)]) for k, z in enumerate(heights)
    ]
    return np.concatenate(rings), grid_faces(len(heights), columns)
