"""What a search finds: crops with what is known of them, as the stores' rows tell it, and their order.

Shapes: K candidates, D embedding size.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vireid.data.manifest import MODALITIES
from vireid.evaluation.rerank import k_reciprocal
from vireid.sample import Modality
from vireid.search.where import show_time


@dataclass(frozen=True)
class Row:
    """A crop of a gallery.

    Attributes:
        id: name of its content.
        path: where the image was when it was added; empty if it never was a file.
        pid: who it is, if that was known.
        camera: name of the camera, if known.
        time: seconds since 1970, if known.
        modality: of the crop.
        track: name of the tracklet, if known.
    """

    id: str
    path: str
    pid: str
    camera: str
    time: float | None
    modality: Modality
    track: str

    def plain(self) -> dict[str, Any]:
        """For JSON and tables: times in ISO 8601, the modality by name."""
        when = None if self.time is None else show_time(self.time)
        return asdict(self) | {"time": when, "modality": self.modality.name.lower()}


@dataclass(frozen=True)
class Hit(Row):
    """A crop that was found.

    Attributes:
        score: cosine similarity to the query, -1 to 1.
        probability: that it is the same person, if before looking that was as likely as not; None where the model was
            not calibrated, or the query's modality is not known.
        distance: after re-ranking, 0 to 1, by which hits are sorted; None without it.
    """

    score: float
    probability: float | None
    distance: float | None


def known_of(row: dict[str, Any]) -> dict[str, Any]:
    """The fields of a `Row`."""
    told = {name: row[name] for name in ("id", "path", "pid", "camera", "time", "track")}
    return told | {"modality": MODALITIES[row["modality"]]}


def hits_of(table: pa.Table, distances: Sequence[float] | None = None) -> list[Hit]:
    """Hits of a store's answer to one query, with their `distances` after re-ranking; probabilities come later."""
    return [
        Hit(
            **known_of(row),
            score=row["score"],
            probability=None,
            distance=None if distances is None else distances[rank],
        )
        for rank, row in enumerate(table.to_pylist())
    ]


def reranked(query: npt.NDArray[np.float32], table: pa.Table) -> list[Hit]:
    """The candidates of a query sorted anew; one alone has nothing to be sorted among."""
    if table.num_rows < 2:
        return hits_of(table)
    found = np.stack(table.column("embedding").to_numpy(zero_copy_only=False)).astype(np.float32)
    distances = k_reciprocal(query[None], found)[0]
    order = np.argsort(distances, kind="stable")
    return hits_of(table.drop_columns(["embedding"]).take(order), distances[order].tolist())
