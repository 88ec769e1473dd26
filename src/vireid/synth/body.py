"""Posed human bodies from the anny model, with per-vertex canonical coordinates.

Units are metres; z points up and the body faces -y.
Shapes: B poses, J bones, V vertices, F triangles.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse

from vireid.synth.bodymodel import load_body_model
from vireid.synth.poses import Posture, rotations

Array = npt.NDArray[Any]

# The list is frozen: another one makes anny build (and cache) another model, which takes minutes.
LOCAL_CHANGES = [
    "torso-scale-horiz-incr",
    "torso-scale-depth-incr",
    "torso-vshape-incr",
    "hip-scale-horiz-incr",
    "hip-scale-depth-incr",
    "stomach-tone-incr",
    "buttocks-volume-incr",
    "measure-shoulder-dist-incr",
    "measure-waist-circ-incr",
    "upperlegs-height-incr",
    "lowerlegs-height-incr",
    "l-upperleg-fat-incr",
    "r-upperleg-fat-incr",
    "l-upperarm-fat-incr",
    "r-upperarm-fat-incr",
    "head-scale-horiz-incr",
    "head-scale-vert-incr",
    "head-fat-incr",
    "neck-scale-vert-incr",
    "measure-napetowaist-dist-incr",
]

# Columns of the canonical attributes: rest position; distance along arm (0 shoulder, 1 elbow, 2 wrist), leg
# (0 hip, 1 knee, 2 ankle) and torso (0 hip, 1 neck); skinning weight of each region; head position in units
# of the distance from eyes to crown.
X, Y, Z, ARM, LEG, TORSO, IN_ARM, IN_LEG, IN_HEAD, HEAD_X, HEAD_Y, HEAD_Z, IN_HAND, IN_FOOT, IN_EYE = range(15)
COLUMNS = 15


# How high a foot stays above the ground on a bicycle's pedal.
PEDAL = 0.13


@dataclass(frozen=True, slots=True)
class Posed:
    """A batch of posed bodies of one person.

    Attributes:
        postures: B postures.
        vertices: `(B, V, 3)`, feet (or the lower pedal's, `PEDAL`) at z = 0.
        bones: `(B, J, 4, 4)` posed bone frames.
        rest_bones: `(J, 4, 4)` bone frames of the rest pose.
        attributes: `(V, COLUMNS)` canonical attributes of the rest shape.
    """

    postures: tuple[Posture, ...]
    vertices: Array
    bones: Array
    rest_bones: Array
    attributes: Array

    def transforms(self) -> Array:
        """What carries rest points along with each bone: `(B, J, 3, 4)`."""
        inverse = np.linalg.inv(self.rest_bones.astype(np.float64))
        return np.asarray((self.bones @ inverse)[:, :, :3], np.float32)


class Body:
    """The anny body model with its topology, skinning weights and Laplacian."""

    def __init__(self) -> None:
        model = self.model = load_body_model()
        self.faces: Array = model.faces.numpy().astype(np.int32)
        self.bone = {name: i for i, name in enumerate(model.bone_labels)}
        count = len(model.template_vertices)
        indices, weights = model.vertex_bone_indices.numpy(), model.vertex_bone_weights.numpy()
        rows = np.arange(count)[:, None].repeat(indices.shape[1], 1)
        shape = (count, model.bone_count)
        self.weights = sparse.csr_array((weights.ravel(), (rows.ravel(), indices.ravel())), shape, dtype=np.float32)
        self.weights.eliminate_zeros()
        hand = ("wrist", "finger", "metac")
        self.regions = {
            IN_ARM: self._region(("upperarm", "lowerarm", *hand)),
            IN_HAND: self._region(hand),
            IN_LEG: self._region(("upperleg", "lowerleg", "foot", "toe")),
            IN_FOOT: self._region(("foot", "toe")),
            IN_HEAD: self._region(("head", "eye.", "neck03")),
            IN_EYE: self._region(("eye.",)),
        }
        # Fingers, toes and the face make up most vertices, and no cloth lies there.
        bare = (self.regions[IN_HAND] > 0.9) | (self.regions[IN_HEAD] > 0.9)
        self.clothable: Array = np.flatnonzero(~bare)
        average = _averaging(self.faces, count)[self.clothable]
        self._within = average[:, self.clothable]
        self._across = average[:, np.flatnonzero(bare)]
        self._bare = np.flatnonzero(bare)

    def _region(self, prefixes: tuple[str, ...]) -> Array:
        columns = [i for name, i in self.bone.items() if name.startswith(prefixes)]
        return np.asarray(self.weights[:, columns].sum(1)).ravel()

    def smooth(self, values: Array, steps: int) -> Array:
        """Average `(V, C)` values with their neighbours, `steps` times, where cloth may lie."""
        result = np.array(values, np.float32)
        cloth, border = result[self.clothable], self._across @ result[self._bare]
        for _ in range(steps):
            cloth = self._within @ cloth + border
        result[self.clothable] = cloth
        return result

    @torch.no_grad()
    def pose(self, postures: Sequence[Posture], phenotype: dict[str, float], changes: Array) -> Posed:
        """Bodies of one person in several postures.

        Args:
            postures: B postures.
            phenotype: anny's phenotype values, each 0 to 1.
            changes: one value in -1 to 1 for each of `LOCAL_CHANGES`.
        """
        count = len(postures)
        pose = np.tile(np.eye(4, dtype=np.float32), (count, self.model.bone_count, 1, 1))
        for k, posture in enumerate(postures):
            for name, matrix in rotations(posture).items():
                pose[k, self.bone[name], :3, :3] = matrix
        out = self.model(
            pose_parameters=torch.from_numpy(pose),
            phenotype_kwargs={k: torch.full((count,), float(v)) for k, v in phenotype.items()},
            local_changes_kwargs={
                k: torch.full((count,), float(v)) for k, v in zip(LOCAL_CHANGES, changes, strict=True)
            },
        )
        vertices = out["vertices"].numpy().astype(np.float32).copy()
        bones = out["bone_poses"].numpy().copy()
        ground = vertices[:, :, 2].min(1)
        ground -= [PEDAL if posture.activity == "cycling" else 0.0 for posture in postures]
        vertices[:, :, 2] -= ground[:, None]
        bones[:, :, 2, 3] -= ground[:, None]
        rest_bones = out["rest_bone_poses"][0].numpy()
        rest = out["rest_vertices"][0].numpy()
        return Posed(tuple(postures), vertices, bones, rest_bones, self._attributes(rest, rest_bones[:, :3, 3]))

    def _attributes(self, rest: Array, joints: Array) -> Array:
        at: Callable[[str], Array] = lambda name: joints[self.bone[name]]  # noqa: E731
        left = rest[:, 0] > 0
        result = np.zeros((len(rest), COLUMNS), np.float32)
        result[:, X : Z + 1] = rest
        for column, names in (
            (ARM, ("upperarm01", "lowerarm01", "wrist")),
            (LEG, ("upperleg02", "lowerleg01", "foot")),
        ):
            sides = [_along(rest, *(at(f"{name}.{side}") for name in names)) for side in ("L", "R")]
            result[:, column] = np.where(left, *sides)
        low, high = at("upperleg01.L")[2], at("neck01")[2]
        result[:, TORSO] = (rest[:, 2] - low) / (high - low)
        eye = (at("eye.L") + at("eye.R")) / 2
        result[:, HEAD_X : HEAD_Z + 1] = (rest - eye) / (rest[:, 2].max() - eye[2])
        for column, weight in self.regions.items():
            result[:, column] = weight
        return result


def _along(points: Array, start: Array, middle: Array, end: Array) -> Array:
    """Distance along a two-bone limb: 0 at its start, 1 at its middle joint, 2 at its end."""
    upper, lower = middle - start, end - middle
    first = ((points - start) @ upper) / (upper @ upper)
    second = ((points - middle) @ lower) / (lower @ lower)
    return np.asarray(np.where(second > 0, 1 + second, np.minimum(first, 1)))


def _averaging(faces: Array, count: int) -> sparse.csr_array:
    """`(V, V)`: half a vertex itself, half the mean of its neighbours."""
    pairs = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    edges = np.unique(np.sort(pairs, 1), axis=0)
    rows = np.concatenate([edges[:, 0], edges[:, 1], np.arange(count)])
    columns = np.concatenate([edges[:, 1], edges[:, 0], np.arange(count)])
    degree = np.bincount(edges.ravel(), minlength=count)
    values = np.concatenate([0.5 / degree[rows[: 2 * len(edges)]], np.full(count, 0.5)])
    return sparse.csr_array((values.astype(np.float32), (rows, columns)), (count, count))
