"""Who is searched where: the evaluation protocol of each data set as plain data.

A protocol lists, trial by trial, which samples ask and which answer, what each query must not see, and what
the CMC counts. Only samples with the split `test`, `query` or `gallery` take part. Indices refer to the list
of samples that the protocol was built from.

Shapes: N samples, Q queries, G gallery images.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from vireid.data import synthvi as synthvi_data
from vireid.data import sysu_mm01 as sysu_data
from vireid.errors import InputError
from vireid.evaluation.draws import draw_by_permutation, draw_by_seed, group
from vireid.evaluation.metrics import BoolArray, CmcUnit, IntArray
from vireid.sample import Direction, Modality, Sample

IgnoreRule = Literal["none", "same_place", "same_camera", "same_track", "same_view"]
VISIBLE_CAMERAS: dict[str, tuple[int, ...]] = {"all": (1, 2, 4, 5), "indoor": (1, 2)}
INFRARED_CAMERAS: tuple[int, ...] = (3, 6)
SPLITS = {"query": ("query", "test"), "gallery": ("gallery", "test")}


@dataclass(frozen=True, eq=False)
class Trial:
    """One search task: indices of the query samples `(Q,)` and of the gallery samples `(G,)`."""

    query: IntArray
    gallery: IntArray


@dataclass(frozen=True, eq=False)
class Protocol:
    """The rules of one evaluation and its trials.

    Attributes:
        dataset: name of the data set.
        name: the variant, in words that are printed beside every number.
        direction: as reported. Only LLCM's `repo_script` asks with the other modality than its direction
            says.
        cmc_unit: what the CMC counts.
        ignore: `same_place` (SYSU-MM01), `same_camera` (LLCM), `same_track` (SynthVI's part `lwir`), `same_view`
            (mixed galleries) or `none`.
        pids: `(N,)` identities of all samples.
        camids: `(N,)` cameras of all samples.
        tracks: `(N,)` a number for each track or instant, -1 where a sample has none.
        trials: scored one by one, then averaged.
    """

    dataset: str
    name: str
    direction: Direction
    cmc_unit: CmcUnit
    ignore: IgnoreRule
    pids: IntArray
    camids: IntArray
    tracks: IntArray
    trials: tuple[Trial, ...]

    def ignore_mask(self, query: IntArray, gallery: IntArray) -> BoolArray | None:
        """`(Q, G)`, true where the query must not see the gallery image; None if it may see all."""
        if self.ignore == "same_place":
            return sysu_ignore(self.camids[query], self.camids[gallery])
        if self.ignore == "same_camera":
            return same_camera_ignore(self.pids[query], self.camids[query], self.pids[gallery], self.camids[gallery])
        if self.ignore == "same_track":
            return same_track_ignore(self.tracks[query], self.tracks[gallery])
        if self.ignore == "same_view":
            mask = same_camera_ignore(self.pids[query], self.camids[query], self.pids[gallery], self.camids[gallery])
            mask &= self.camids[query][:, None] > 0  # 0: not known, so not the same
            mask |= same_track_ignore(self.tracks[query], self.tracks[gallery])
            mask |= query[:, None] == gallery[None, :]
            return mask
        return None

    def without(self, indices: Collection[int]) -> "Protocol":
        """The same trials less these samples, for images that cannot be read.

        Raises:
            InputError: a trial has no query or no gallery image left.
        """
        gone = np.fromiter(indices, np.int64, len(indices))
        trials = tuple(
            Trial(t.query[~np.isin(t.query, gone)], t.gallery[~np.isin(t.gallery, gone)]) for t in self.trials
        )
        if any(not len(trial.query) or not len(trial.gallery) for trial in trials):
            raise InputError(f"{self.dataset}: no query or gallery image can be read; check the image files")
        return replace(self, trials=trials)


def sysu_ignore(query_cams: npt.ArrayLike, gallery_cams: npt.ArrayLike) -> BoolArray:
    """SYSU-MM01's rule `(Q, G)`: cameras 2 and 3 stand in the same place, so one never searches the other.

    It holds whatever the identity. Both ways, so that it serves searches from visible to infrared as well.
    """
    query, gallery = np.asarray(query_cams)[:, None], np.asarray(gallery_cams)[None, :]
    mask: BoolArray = ((query == 3) & (gallery == 2)) | ((query == 2) & (gallery == 3))
    return mask


def same_camera_ignore(
    query_ids: npt.ArrayLike,
    query_cams: npt.ArrayLike,
    gallery_ids: npt.ArrayLike,
    gallery_cams: npt.ArrayLike,
) -> BoolArray:
    """LLCM's rule `(Q, G)`: images of the same identity in the same camera are not to be found."""
    same_id = np.asarray(query_ids)[:, None] == np.asarray(gallery_ids)[None, :]
    same_camera = np.asarray(query_cams)[:, None] == np.asarray(gallery_cams)[None, :]
    mask: BoolArray = same_id & same_camera
    return mask


def same_track_ignore(query_tracks: npt.ArrayLike, gallery_tracks: npt.ArrayLike) -> BoolArray:
    """`(Q, G)`: images of the same track, such as two cameras' pictures of one instant, are not to be found."""
    query, gallery = np.asarray(query_tracks)[:, None], np.asarray(gallery_tracks)[None, :]
    mask: BoolArray = (query == gallery) & (query >= 0)
    return mask


def sysu_mm01(
    samples: Sequence[Sample],
    direction: Direction,
    *,
    search: Literal["all", "indoor"] = "all",
    shots: int = 1,
    gallery: Literal["official", "agw"] = "official",
    trials: int = 10,
    permutations: Mapping[tuple[int, int], npt.NDArray[np.int64]] | None = None,
) -> Protocol:
    """SYSU-MM01: one or ten gallery images per identity and camera, drawn anew in each trial.

    Infrared to visible is the published protocol; the query is every infrared test image in both searches.
    Visible to infrared is ours, since the field defines none: every visible test image of the search's
    cameras asks, the infrared gallery is drawn by the same rule, and the place rule holds in both senses.

    Args:
        samples: all of the data set.
        direction: who asks.
        search: gallery (or, visible to infrared, query) cameras 1, 2, 4, 5 or 1, 2.
        shots: 1 or 10; fewer where an identity has fewer images in a camera.
        gallery: `official` takes the draws of rand_perm_cam.mat, `agw` those of the AGW code (seeded by the
            trial; its ten-shot form is ours).
        trials: number of draws.
        permutations: for `official`: `(camid, pid)` to `(10, n)` image numbers from 1 by sorted file name.

    Raises:
        InputError: nothing to search, or the permutations are missing or do not fit the images.
    """
    name = f"{search} search, {shots}-shot, {gallery} gallery"
    if direction is Direction.V2I:
        name += ", v2i as defined by vireid"
    cameras = {Modality.VISIBLE: VISIBLE_CAMERAS[search], Modality.INFRARED: INFRARED_CAMERAS}
    query = _pick(samples, "query", direction.query_modality, cameras[direction.query_modality])
    members = _pick(samples, "gallery", direction.gallery_modality, cameras[direction.gallery_modality])
    groups = group(samples, members)
    if gallery == "agw":
        drawn = [draw_by_seed(groups, shots, trial) for trial in range(trials)]
    elif permutations is None:
        raise InputError("SYSU-MM01's official gallery needs rand_perm_cam.mat; give it, or set data.gallery to agw")
    else:
        drawn = [draw_by_permutation(groups, shots, trial, permutations) for trial in range(trials)]
    return _protocol(samples, "sysu_mm01", name, direction, "identity", "same_place", [(query, g) for g in drawn])


def regdb(samples: Sequence[Sample], direction: Direction, *, trial: int = 1) -> Protocol:
    """RegDB: every image of one modality against every one of the other, CMC over images.

    Args:
        samples: those of one of the ten splits.
        direction: who asks.
        trial: which split it is, for the name only. The published number is the mean of ten models, one a
            split.
    """
    pairs = [_everything(samples, direction)]
    return _protocol(samples, "regdb", f"trial {trial}", direction, "image", "none", pairs)


def llcm(
    samples: Sequence[Sample],
    direction: Direction,
    *,
    protocol: Literal["paper", "repo_script"] = "paper",
    trials: int = 10,
) -> Protocol:
    """LLCM: one random gallery image per identity and camera; the same person in the same camera is left out.

    Args:
        samples: all of the data set.
        direction: as reported.
        protocol: `paper` asks with every image of the query modality. `repo_script` is what the authors'
            public script computes: its visible-to-infrared score swaps the roles, so the drawn infrared
            images ask and every visible image answers. The two agree on infrared to visible.
        trials: number of draws, seeded 0, 1, ... as in that script.
    """
    query = _pick(samples, "query", direction.query_modality)
    groups = group(samples, _pick(samples, "gallery", direction.gallery_modality))
    pairs = [(query, draw_by_seed(groups, 1, trial)) for trial in range(trials)]
    name = f"{protocol} protocol"
    if protocol == "repo_script" and direction is Direction.V2I:
        pairs = [(drawn, everything) for everything, drawn in pairs]
        name += " (roles swapped)"
    return _protocol(samples, "llcm", name, direction, "identity", "same_camera", pairs)


def manifest(samples: Sequence[Sample], direction: Direction, *, dataset: str = "manifest") -> Protocol:
    """Your own images: every query of one modality against every gallery image of the other, CMC over images.

    Samples of the split `test` play both roles, `query` and `gallery` one. Nothing is ignored: the two
    modalities are two cameras, even where a device with two lenses gives both the same number.
    """
    pairs = [_everything(samples, direction)]
    fixed = any(sample.split in ("query", "gallery") for sample in samples)
    name = "query against gallery" if fixed else "all against all"
    return _protocol(samples, dataset, name, direction, "image", "none", pairs)


def synthvi(
    samples: Sequence[Sample],
    direction: Direction,
    *,
    part: Literal["nir", "lwir"],
    search: Literal["all", "indoor"] = "all",
    shots: int = 1,
    trials: int = 10,
    name: str | None = None,
) -> Protocol:
    """SynthVI: part `nir` by the rules of SYSU-MM01 with seeded draws, part `lwir` by those of RegDB but for one.

    In `lwir` two cameras side by side picture the same instants. A query must not see the picture of its own instant:
    it would be found by its outline alone.

    `name` is that of the set, for the protocol's name only: results of one name can be compared.
    """
    if part == "nir":
        rules = sysu_mm01(samples, direction, search=search, shots=shots, gallery="agw", trials=trials)
        return replace(rules, dataset="synthvi", name=f"{name or part}, {search} search, {shots}-shot")
    if part == "lwir":
        name = f"{name or part}, all against all, other instants"
        return replace(regdb(samples, direction), dataset="synthvi", name=name, ignore="same_track")
    raise InputError(f"SynthVI part '{part}' cannot be evaluated as one; set data.part to nir or lwir")


def mixed(samples: Sequence[Sample], direction: Direction, *, dataset: str, name: str = "") -> Protocol:
    """A gallery of both kinds of light, as a search in practice has it; ours, since the field defines none.

    Every image of the direction's query modality asks, every visible and infrared image answers, CMC over images. Left
    out are the image itself, other images of the person by its camera, and those of its track, which would be found
    without knowing the person.

    Args:
        samples: all of the data set.
        direction: who asks; both kinds of light answer.
        dataset: name of the data set.
        name: of the set, where it has one.
    """
    query = _pick(samples, "query", direction.query_modality)
    gallery = np.sort(np.concatenate([_pick(samples, "gallery", modality) for modality in Modality]))
    title = f"{name}, mixed gallery" if name else "mixed gallery"
    return _protocol(samples, dataset, title, direction, "image", "same_view", [(query, gallery)])


def build(
    data_config: Any, data_name: str, samples: Sequence[Sample], direction: Direction, *, mixed_gallery: bool = False
) -> Protocol:
    """The protocol of a data set from its `Config`; a data set we do not know is evaluated as a manifest.

    Args:
        data_config: the data set's `Config`.
        data_name: its name, such as `sysu_mm01`.
        samples: what its `load` gave.
        direction: who asks.
        mixed_gallery: visible and infrared images answer, by the rules of `mixed`.

    Raises:
        InputError: query or gallery is empty, or the official gallery file is missing or does not fit.
    """
    c = data_config
    if mixed_gallery:
        name = synthvi_data.benchmark(c) if data_name == "synthvi" else ""
        return mixed(samples, direction, dataset=data_name, name=name)
    match data_name:
        case "sysu_mm01":
            draws = sysu_data.official_permutations(c.root) if c.gallery == "official" else None
            return sysu_mm01(
                samples,
                direction,
                search=c.search,
                shots=c.shots,
                gallery=c.gallery,
                trials=c.trials,
                permutations=draws,
            )
        case "regdb":
            return regdb(samples, direction, trial=c.trial)
        case "llcm":
            return llcm(samples, direction, protocol=c.protocol, trials=c.trials)
        case "synthvi":
            return synthvi(
                samples,
                direction,
                part=c.part,
                search=c.search,
                shots=c.shots,
                trials=c.trials,
                name=synthvi_data.benchmark(c),
            )
    return manifest(samples, direction, dataset=data_name)


def _pick(samples: Sequence[Sample], role: str, modality: Modality, cameras: Collection[int] | None = None) -> IntArray:
    """Indices of the samples that may play a role; `InputError` if there is none."""
    chosen = [
        index
        for index, sample in enumerate(samples)
        if sample.split in SPLITS[role] and sample.modality is modality and (cameras is None or sample.camid in cameras)
    ]
    if not chosen:
        where = "" if cameras is None else f" in cameras {', '.join(map(str, cameras))}"
        splits = " or ".join(f"'{split}'" for split in SPLITS[role])
        raise InputError(
            f"the {role} is empty: no {modality.name.lower()} image with split {splits}{where}; "
            "add such images, or evaluate the other direction"
        )
    return np.array(chosen, np.int64)


def _everything(samples: Sequence[Sample], direction: Direction) -> tuple[IntArray, IntArray]:
    query = _pick(samples, "query", direction.query_modality)
    return query, _pick(samples, "gallery", direction.gallery_modality)


def _protocol(
    samples: Sequence[Sample],
    dataset: str,
    name: str,
    direction: Direction,
    cmc_unit: CmcUnit,
    ignore: IgnoreRule,
    pairs: Sequence[tuple[IntArray, IntArray]],
) -> Protocol:
    pids = np.array([sample.pid for sample in samples], np.int64)
    camids = np.array([sample.camid for sample in samples], np.int64)
    # Two people may have tracks of one name.
    names = dict.fromkeys((sample.pid, sample.track) for sample in samples)
    numbers = {name: number for number, name in enumerate(names)}
    tracks = np.array([numbers[s.pid, s.track] if s.track else -1 for s in samples], np.int64)
    trials = tuple(Trial(query, gallery) for query, gallery in pairs)
    return Protocol(dataset, name, direction, cmc_unit, ignore, pids, camids, tracks, trials)
