"""Batches of P identities with K visible and K infrared images each.

Shapes: N images in the data set, P identities and K images per identity and modality in a batch.
"""

import warnings
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from vireid.errors import InputError
from vireid.sample import Modality

Indices = npt.NDArray[np.int64]


class CrossModalPKSampler:
    """Yields lists of 2PK indices: the visible block, then the infrared one, same order of identities.

    Each batch draws P identities without replacement, as AGW does (Ye et al., TPAMI 2021). Their images are
    drawn without replacement too; an identity with n < K images of a modality gives each of them floor(K/n)
    or ceil(K/n) times. A batch depends on seed, epoch, step and rank only, not on the batches before it. In
    one step the ranks draw different identities as long as there are P times `world_size` of them.
    """

    def __init__(
        self,
        pids: Sequence[int] | Indices,
        modalities: Sequence[int] | Indices,
        *,
        identities: int,
        images_per_modality: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        steps: int | None = None,
        tracks: Sequence[str] | None = None,
        paired: float = 0.0,
    ) -> None:
        """Prepare the draw.

        Args:
            pids: identity of each image `(N,)`.
            modalities: `Modality` of each image `(N,)`.
            identities: P, per process.
            images_per_modality: K.
            seed: the same on all ranks.
            rank: number of this process, 0 to `world_size` - 1.
            world_size: number of processes.
            steps: batches per epoch and rank; default int(n / (P K world_size)) + 1, n the number of images
                of the larger modality, as in AGW.
            tracks: track of each image `(N,)`, empty where unknown; needed for `paired`.
            paired: share of the drawn identities, 0 to 1, whose k-th visible and k-th infrared image come from one
                track, such as both pictures of one instant; those without such a track are drawn as always.

        Raises:
            InputError: no identity has both modalities, or P exceeds the number of those that have.
        """
        labels = np.asarray(pids, np.int64)
        kinds = np.asarray(modalities, np.int64)
        groups = {modality: labels[kinds == modality] for modality in Modality}
        usable = np.intersect1d(groups[Modality.VISIBLE], groups[Modality.INFRARED])
        self._require_identities(np.unique(labels), usable, identities, warn=rank == 0)
        self.identities, self.images_per_modality = identities, images_per_modality
        self.seed, self.rank, self.world_size, self.epoch = seed, rank, world_size, 0
        self._tables = [_table(labels, kinds == modality, usable) for modality in Modality]
        self._number_of_pids = len(usable)
        self.paired = paired
        self._pairs = _pair_table(labels, kinds, tracks or [""] * len(labels), usable) if paired else None
        larger = max(int(counts.sum()) for _, counts in self._tables)
        self.steps = steps or larger // (identities * images_per_modality * world_size) + 1

    def set_epoch(self, epoch: int) -> None:
        """Choose the draw of an epoch; without this call every epoch yields the same batches."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[list[int]]:
        for step in range(self.steps):
            yield self._batch(step)

    def _batch(self, step: int) -> list[int]:
        shared = np.random.default_rng([self.seed, self.epoch, step])
        order = shared.permutation(self._number_of_pids)
        first = self.rank * self.identities
        rows = order[(first + np.arange(self.identities)) % self._number_of_pids]
        own = np.random.default_rng([self.seed, self.epoch, step, self.rank + 1])
        blocks = [_draw(table[rows], counts[rows], self.images_per_modality, own) for table, counts in self._tables]
        if self._pairs is not None:
            self._pair(rows, blocks, own)
        batch: list[int] = np.concatenate(blocks, axis=None).tolist()
        return batch

    def _pair(self, rows: Indices, blocks: list[Indices], own: np.random.Generator) -> None:
        """Replace the images of some identities by pairs of one track each, in place."""
        assert self._pairs is not None
        table, counts = self._pairs
        chosen = np.flatnonzero((counts[rows] > 0) & (own.random(len(rows)) < self.paired))
        pairs = _draw(table[rows[chosen]], counts[rows[chosen]], self.images_per_modality, own)
        for modality, block in zip(Modality, blocks, strict=True):
            block[chosen] = pairs[..., modality]

    @staticmethod
    def _require_identities(everyone: Indices, usable: Indices, wanted: int, *, warn: bool) -> None:
        left_out = len(everyone) - len(usable)
        if not len(usable):
            raise InputError(
                f"none of the {len(everyone)} training identities has both visible and infrared images; "
                "expected both of each identity"
            )
        if wanted > len(usable):
            raise InputError(
                f"a batch asks for {wanted} identities, but only {len(usable)} training identities have both "
                f"modalities; set train.identities to {len(usable)} or less"
            )
        if left_out and warn:
            warnings.warn(
                f"{left_out} of {len(everyone)} training identities lack one modality and are left out",
                stacklevel=3,
            )


def _table(labels: Indices, chosen: npt.NDArray[np.bool_], usable: Indices) -> tuple[Indices, Indices]:
    """Image indices of each identity, padded to `(identities, most images)`, and their numbers."""
    indices = np.flatnonzero(chosen & np.isin(labels, usable))
    rows = np.searchsorted(usable, labels[indices])
    order = np.argsort(rows, kind="stable")
    counts = np.bincount(rows, minlength=len(usable))
    columns = np.arange(len(indices)) - np.repeat(np.cumsum(counts) - counts, counts)
    table = np.zeros((len(usable), counts.max()), np.int64)
    table[rows[order], columns] = indices[order]
    return table, counts


def _pair_table(labels: Indices, kinds: Indices, tracks: Sequence[str], usable: Indices) -> tuple[Indices, Indices]:
    """Visible and infrared image of each track that has both, `(identities, most tracks, 2)`, and their numbers."""
    images: dict[tuple[int, str], dict[int, int]] = {}
    for index, (pid, kind, track) in enumerate(zip(labels.tolist(), kinds.tolist(), tracks, strict=True)):
        if track:
            images.setdefault((pid, track), {}).setdefault(kind, index)
    both = [(pid, list(map(pair.get, Modality))) for (pid, _), pair in images.items() if len(pair) == len(Modality)]
    if not both:
        raise InputError("train.paired needs tracks with a visible and an infrared image; the data set has none")
    rows = np.searchsorted(usable, [pid for pid, _ in both])
    counts = np.bincount(rows, minlength=len(usable))
    order = np.argsort(rows, kind="stable")
    table = np.zeros((len(usable), counts.max(), len(Modality)), np.int64)
    columns = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    table[rows[order], columns] = np.array([pair for _, pair in both])[order]
    return table, counts


def _draw(table: Indices, counts: Indices, images: int, generator: np.random.Generator) -> Indices:
    """K entries of each row, `(P, K, ...)`: a random order of the row, repeated where it is too short."""
    keys = generator.random(table.shape[:2])
    keys[np.arange(table.shape[1]) >= counts[:, None]] = np.inf
    order = np.argsort(keys, axis=1)
    places = np.arange(images) % counts[:, None]
    return table[np.arange(len(table))[:, None], np.take_along_axis(order, places, 1)]
