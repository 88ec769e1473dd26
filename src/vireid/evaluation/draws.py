"""Random galleries exactly as published evaluation code draws them."""

import random
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from vireid.errors import InputError
from vireid.evaluation.metrics import IntArray
from vireid.sample import Sample

# (pid, camid), ascending, to the indices of its samples sorted by file name.
Groups = Mapping[tuple[int, int], Sequence[int]]


def group(samples: Sequence[Sample], indices: IntArray) -> Groups:
    """Group samples by identity and camera."""
    groups: dict[tuple[int, int], list[int]] = {}
    for index in indices.tolist():
        groups.setdefault((samples[index].pid, samples[index].camid), []).append(index)
    return {key: sorted(groups[key], key=lambda index: samples[index].path.name) for key in sorted(groups)}


def draw_by_seed(groups: Groups, shots: int, trial: int) -> IntArray:
    """The AGW rule: Python's generator seeded with the trial, identity by identity and camera by camera.

    One shot equals AGW's `random.choice`. More shots are drawn without replacement, all images where there
    are fewer; that form is ours, since published ten-shot code does not seed the generator it draws from.
    """
    generator = random.Random(trial)
    if shots == 1:
        return np.array([members[generator.randrange(len(members))] for members in groups.values()], np.int64)
    drawn = [generator.sample(list(members), min(shots, len(members))) for members in groups.values()]
    return np.array([index for chosen in drawn for index in chosen], np.int64)


def draw_by_permutation(
    groups: Groups, shots: int, trial: int, permutations: Mapping[tuple[int, int], npt.NDArray[np.int64]]
) -> IntArray:
    """The official SYSU-MM01 rule: the first images of the trial's row, by camera and then by identity.

    Raises:
        InputError: a row is missing, or was drawn from another number of images.
    """
    chosen: list[int] = []
    for pid, camid in sorted(groups, key=lambda key: (key[1], key[0])):
        members = groups[pid, camid]
        rows = permutations.get((camid, pid))
        if rows is None or trial >= len(rows):
            raise InputError(
                f"the official gallery has no draw {trial + 1} for camera {camid}, identity {pid}; expected "
                "ten for every test identity: use the original rand_perm_cam.mat, or set data.gallery to agw"
            )
        if rows.shape[1] != len(members):
            # One file too few shifts the numbers of all that follow.
            raise InputError(
                f"camera {camid}, identity {pid} has {len(members)} images, the official gallery was drawn "
                f"from {rows.shape[1]}; restore the original images, or set data.gallery to agw"
            )
        chosen += [members[number - 1] for number in rows[trial, :shots].tolist()]
    return np.array(chosen, np.int64)
