"""A run's test images with their embeddings, for whoever looks at more than scores.

Shapes: N images, D embedding size, Q queries, G gallery images.
"""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from vireid.config import ExperimentConfig, Named
from vireid.data.cache import DecodedImages
from vireid.embedder import Run, build_method
from vireid.errors import InputError
from vireid.evaluation import protocols
from vireid.evaluation.distance import distances
from vireid.evaluation.extract import extract
from vireid.evaluation.protocols import Protocol
from vireid.experiment.sets import decoded, test_samples, test_sets
from vireid.methods.base import Method
from vireid.models.precision import resolve_device
from vireid.sample import Direction, Modality, Sample

MOST_PAIRS = 50_000_000  # of a query and a gallery image that are looked at one by one; 200 MB


class Search(NamedTuple):
    """One trial as it is scored: which samples ask and answer, how far they are apart, and what is hidden.

    Attributes:
        query: `(Q,)` indices into the test's samples.
        gallery: `(G,)`.
        distances: `(Q, G)`.
        ignore: `(Q, G)`, true where a query does not see a gallery image; None where it sees all.
    """

    query: npt.NDArray[np.int64]
    gallery: npt.NDArray[np.int64]
    distances: npt.NDArray[np.float32]
    ignore: npt.NDArray[np.bool_] | None


@dataclass(frozen=True, eq=False)
class EmbeddedTest:
    """One test set of a run.

    Attributes:
        name: a short word for the set, fit for file names.
        data: the data set and its options.
        method: with the run's weights, in eval mode.
        samples: the N test samples.
        images: decoded, at the size the run embeds.
        embeddings: `(N, D)`.
    """

    name: str
    data: Named
    method: Method
    samples: list[Sample]
    images: DecodedImages
    embeddings: npt.NDArray[np.float32]

    @cached_property
    def pids(self) -> npt.NDArray[np.int64]:
        """`(N,)`."""
        return np.array([sample.pid for sample in self.samples], np.int64)

    @cached_property
    def modalities(self) -> npt.NDArray[np.int64]:
        """`(N,)` values of `Modality`."""
        return modalities_of(self.samples)

    def of(self, modality: Modality) -> npt.NDArray[np.int64]:
        """Indices of the readable samples of a modality."""
        return np.flatnonzero((self.modalities == modality) & self.images.readable)

    def protocol(self, direction: Direction) -> Protocol:
        """The test set's rules, less the images that cannot be read."""
        rules = protocols.build(self.data.options, self.data.name, self.samples, direction)
        return rules.without(np.flatnonzero(~self.images.readable).tolist())

    def protocols(self, directions: Iterable[Direction] = Direction) -> list[Protocol]:
        """Those of the directions that the data can be asked in: where roles are fixed, it may be one only.

        Raises:
            InputError: there is none.
        """
        found, faults = [], []
        for direction in directions:
            try:
                found.append(self.protocol(direction))
            except InputError as error:
                faults.append(error)
        if not found:
            raise faults[0]
        return found

    def search(self, protocol: Protocol, *, seed: int = 0) -> Search:
        """A protocol's first trial, one of the draws where galleries are drawn. Of very many queries `seed` draws some.

        Args:
            protocol: of these samples, of this test or of another run's.
            seed: of the draw.
        """
        query, gallery = protocol.trials[0].query, protocol.trials[0].gallery
        most = max(1, MOST_PAIRS // len(gallery))
        if len(query) > most:
            query = np.sort(np.random.default_rng(seed).choice(query, most, replace=False))
        apart = distances(self.embeddings[query], self.embeddings[gallery])
        return Search(query, gallery, apart, protocol.ignore_mask(query, gallery))


def embed_tests(run: Run, *, root: Path | None = None, device: str = "auto") -> list[EmbeddedTest]:
    """Every test set of a run, or of other data at `root`, embedded as for `vireid evaluate`."""
    method = build_method(run).to(resolve_device(device))
    return [embed_test(method, data, test_samples(data), run.config) for data in test_sets(run.config, root)]


def embed_test(method: Method, data: Named, samples: list[Sample], config: ExperimentConfig) -> EmbeddedTest:
    """The samples of a test set, embedded on the method's device; those that cannot be read are warned of.

    Raises:
        InputError: there is no sample, or none can be read.
    """
    images = decoded(samples, config)
    if not images.readable.any():
        raise InputError(f"{data.root}: none of {len(samples)} test images can be read; expected some, split test")
    if images.unreadable:
        names = ", ".join(str(path) for path, _ in images.unreadable[:5])
        warnings.warn(f"{len(images.unreadable)} test images cannot be read and are left out: {names}", stacklevel=2)
    about, device = config.evaluation, next(method.parameters()).device
    embeddings = extract(
        method, images, modalities_of(samples), device=device, batch_size=about.batch_size, precision=about.precision
    )
    return EmbeddedTest(name_of(data), data, method, samples, images, embeddings)


def modalities_of(samples: Sequence[Sample]) -> npt.NDArray[np.int64]:
    """`(N,)` values of `Modality`."""
    return np.array([sample.modality for sample in samples], np.int64)


def name_of(data: Named) -> str:
    """A short word for a test set, fit for file names."""
    return f"{data.name}-{data.options.part}" if data.name == "synthvi" else data.name


def require_same_images(tests: Mapping[str, Sequence[Sample]]) -> None:
    """Raise `InputError` unless the test samples of all runs, by name, are the same images."""
    first = next(iter(tests))
    for name, samples in tests.items():
        if [sample.path for sample in samples] != [sample.path for sample in tests[first]]:
            raise InputError(
                f"{name} and {first} are tested on different images and cannot be shown side by side; give --data "
                "for a test set that suits both"
            )
