"""Walking human bodies from the anny model, with per-vertex canonical coordinates.

Units are metres and radians unless a name says degrees; z points up and the body faces -y.
Shapes: B poses, J bones, V vertices, F triangles.
"""

import contextlib
import io
import math
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

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


@dataclass(frozen=True, slots=True)
class Gait:
    """How somebody walks: stride and arm swing and forward lean in degrees."""

    stride: float
    arm_swing: float
    slouch: float


@dataclass(frozen=True, slots=True)
class Posed:
    """A batch of posed bodies of one person.

    Attributes:
        vertices: `(B, V, 3)`, feet at z = 0.
        bones: `(B, J, 4, 4)` posed bone frames.
        rest_bones: `(J, 4, 4)` bone frames of the rest pose.
        attributes: `(V, COLUMNS)` canonical attributes of the rest shape.
    """

    vertices: Array
    bones: Array
    rest_bones: Array
    attributes: Array


class Body:
    """The anny body model with its topology, Laplacian and region weights."""

    def __init__(self) -> None:
        # anny replaces sys.stdout when imported, which would break redirected output.
        stdout = sys.stdout
        with contextlib.redirect_stdout(io.StringIO()):
            import anny

            self.model = anny.Anny(local_changes=list(LOCAL_CHANGES)).to(dtype=torch.float32)
        sys.stdout = stdout
        model = self.model
        self.faces: Array = model.faces.numpy().astype(np.int32)
        self.bone = {name: i for i, name in enumerate(model.bone_labels)}
        weights = np.zeros((len(model.template_vertices), model.bone_count), np.float32)
        rows = np.arange(len(weights))[:, None]
        np.add.at(weights, (rows, model.vertex_bone_indices.numpy()), model.vertex_bone_weights.numpy())

        def region(prefixes: tuple[str, ...]) -> Array:
            columns = [i for name, i in self.bone.items() if name.startswith(prefixes)]
            return np.asarray(weights[:, columns].sum(1))

        hand = ("wrist", "finger", "metac")
        self.regions = {
            IN_ARM: region(("upperarm", "lowerarm", *hand)),
            IN_HAND: region(hand),
            IN_LEG: region(("upperleg", "lowerleg", "foot", "toe")),
            IN_FOOT: region(("foot", "toe")),
            IN_HEAD: region(("head", "eye.", "neck03")),
            IN_EYE: region(("eye.",)),
        }
        self.laplacian = _laplacian(self.faces, len(weights))

    def smooth(self, values: Array, steps: int) -> Array:
        """Average `(V, C)` values with their neighbours, `steps` times."""
        tensor = torch.from_numpy(np.ascontiguousarray(values, np.float32))
        for _ in range(steps):
            tensor = 0.5 * tensor + 0.5 * (self.laplacian @ tensor)
        return np.asarray(tensor.numpy())

    def walk(self, phase: float, gait: Gait) -> torch.Tensor:
        """Bone rotations `(J, 4, 4)` of one instant of a walk; phase 0 to 2 pi is one step cycle.

        An analytic gait: cosine hip swing, a Gaussian knee bend in the swing phase, arms opposite to
        the legs.
        """
        pose = torch.eye(4).repeat(self.model.bone_count, 1, 1)

        def turn(bone: str, rotation: torch.Tensor) -> None:
            pose[self.bone[bone], :3, :3] = rotation @ pose[self.bone[bone], :3, :3]

        for side, sign, offset in (("L", 1, 0.0), ("R", -1, math.pi)):
            angle = (phase + offset) % (2 * math.pi)
            hip = gait.stride * math.cos(angle) + 4
            knee = 6 + 52 * math.exp(-(((angle - 1.42 * math.pi) / (0.27 * math.pi)) ** 2))
            swing = -gait.arm_swing * math.cos(angle) - 2
            turn(f"upperleg01.{side}", _rotation(1, sign * 7) @ _rotation(0, -hip))
            turn(f"lowerleg01.{side}", _rotation(0, knee))
            turn(f"foot.{side}", _rotation(0, (hip - knee) * 0.45))
            turn(f"upperarm01.{side}", _rotation(0, -swing) @ _rotation(1, sign * 29))
            turn(f"lowerarm01.{side}", _rotation(0, 36 - max(0.0, swing) * 0.5))
            for finger in range(2, 6):
                for joint in (1, 2):
                    turn(f"finger{finger}-{joint}.{side}", _rotation(1, sign * 18))
        turn("spine03", _rotation(2, 5 * math.cos(phase)) @ _rotation(0, gait.slouch))
        turn("root", _rotation(2, -4 * math.cos(phase)))
        turn("neck01", _rotation(0, -gait.slouch * 0.4))
        return pose

    @torch.no_grad()
    def pose(self, phases: list[float], gait: Gait, phenotype: dict[str, float], changes: Array) -> Posed:
        """Bodies of one person at several gait phases.

        Args:
            phases: B gait phases in radians.
            gait: how the person walks.
            phenotype: anny's phenotype values, each 0 to 1.
            changes: one value in -1 to 1 for each of `LOCAL_CHANGES`.
        """
        count = len(phases)
        out = self.model(
            pose_parameters=torch.stack([self.walk(phase, gait) for phase in phases]),
            phenotype_kwargs={k: torch.full((count,), float(v)) for k, v in phenotype.items()},
            local_changes_kwargs={
                k: torch.full((count,), float(v)) for k, v in zip(LOCAL_CHANGES, changes, strict=True)
            },
        )
        vertices = out["vertices"].numpy().astype(np.float32).copy()
        bones = out["bone_poses"].numpy().copy()
        ground = vertices[:, :, 2].min(1)
        vertices[:, :, 2] -= ground[:, None]
        bones[:, :, 2, 3] -= ground[:, None]
        rest_bones = out["rest_bone_poses"][0].numpy()
        rest = out["rest_vertices"][0].numpy()
        return Posed(vertices, bones, rest_bones, self._attributes(rest, rest_bones[:, :3, 3]))

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


def _rotation(axis: int, degrees: float) -> torch.Tensor:
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    rows = {
        0: [[1, 0, 0], [0, c, -s], [0, s, c]],
        1: [[c, 0, s], [0, 1, 0], [-s, 0, c]],
        2: [[c, -s, 0], [s, c, 0], [0, 0, 1]],
    }
    return torch.tensor(rows[axis], dtype=torch.float32)


def _along(points: Array, start: Array, middle: Array, end: Array) -> Array:
    """Distance along a two-bone limb: 0 at its start, 1 at its middle joint, 2 at its end."""
    upper, lower = middle - start, end - middle
    first = ((points - start) @ upper) / (upper @ upper)
    second = ((points - middle) @ lower) / (lower @ lower)
    return np.asarray(np.where(second > 0, 1 + second, np.minimum(first, 1)))


def _laplacian(faces: Array, count: int) -> torch.Tensor:
    """Row-normalised `(V, V)` adjacency of the mesh."""
    pairs = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    edges = np.unique(np.sort(pairs, 1), axis=0)
    rows = np.concatenate([edges[:, 0], edges[:, 1]])
    columns = np.concatenate([edges[:, 1], edges[:, 0]])
    values = torch.tensor(1 / np.bincount(rows, minlength=count)[rows], dtype=torch.float32)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse")  # torch calls the format beta, once per process
        matrix = torch.sparse_coo_tensor(torch.from_numpy(np.stack([rows, columns])), values, (count, count))
        return matrix.coalesce().to_sparse_csr()
