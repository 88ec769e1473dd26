"""What a vector store must do for a gallery, and which one an address means.

Two are known: LanceDB, a directory that many processes may read and write at once, and Milvus, a server (or, for
trying, a `.db` file of milvus-lite). Both pass one suite of contract tests.

Shapes: Q queries, D embedding size.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vireid.errors import InputError
from vireid.search.where import EVERYTHING, Where

FORMAT = 1
COLUMNS = ("id", "path", "thumbnail", "pid", "camera", "time", "modality", "track", "added")


@dataclass(frozen=True)
class Facts:
    """What a gallery records of itself when it is made.

    Attributes:
        model: what embeds queries: a run folder, or `default`.
        fingerprint: of that model's weights; embeddings of other weights cannot be compared with these.
        dimensions: D.
    """

    model: str
    fingerprint: str
    dimensions: int
    format: int = FORMAT


def schema(dimensions: int) -> pa.Schema:
    """The columns of a gallery. `id` names a crop by its content; unknown text is empty, an unknown time null."""
    return pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            pa.field("embedding", pa.list_(pa.float32(), dimensions), nullable=False),
            pa.field("path", pa.string(), nullable=False),
            pa.field("thumbnail", pa.binary(), nullable=False),
            pa.field("pid", pa.string(), nullable=False),
            pa.field("camera", pa.string(), nullable=False),
            pa.field("time", pa.float64()),
            pa.field("modality", pa.string(), nullable=False),
            pa.field("track", pa.string(), nullable=False),
            pa.field("added", pa.float64(), nullable=False),
        ]
    )


class VectorStore(Protocol):
    """Rows of `schema`, durable: what a call has written is there after a crash, whole or not at all."""

    facts: Facts

    def add(self, rows: pa.Table) -> int:
        """Write the rows whose id is not there yet, in one piece; returns how many. Ids within `rows` are unique."""

    def remove(self, where: Where) -> int:
        """Delete rows; returns how many."""

    def count(self, where: Where = EVERYTHING) -> int:
        """How many rows there are."""

    def nearest(
        self,
        vectors: npt.NDArray[np.float32],
        k: int,
        where: Where = EVERYTHING,
        *,
        exact: bool,
        columns: Sequence[str] = COLUMNS,
    ) -> list[pa.Table]:
        """For each of Q vectors `(Q, D)`, the k rows (or all, if fewer) of highest inner product, highest first.

        The filter applies before the search. Each table has `columns` (of `schema`) and `score`, float32. Without
        `exact` the index is used, which may miss some rows; rows that it does not hold yet are searched all the same.
        """

    def rows(self, where: Where = EVERYTHING, columns: Sequence[str] = COLUMNS) -> Iterator[pa.RecordBatch]:
        """All rows in batches, in no particular order."""

    def optimize(self) -> None:
        """Join what was written in pieces, and build the index anew or bring it up to date."""

    @property
    def indexed(self) -> int:
        """Rows that the index holds; 0 without an index."""


def exists(uri: str) -> bool:
    """Whether there is a gallery at an address."""
    return _kind(uri).exists(uri)


def create(uri: str, facts: Facts) -> VectorStore:
    """A new, empty gallery; raises `InputError` if there is something at the address, or it cannot be written."""
    return _kind(uri).create(uri, facts)


def open_store(uri: str) -> VectorStore:
    """The gallery at an address; raises `InputError` if there is none or it is of another kind or version."""
    return _kind(uri).open_store(uri)


def read_facts(written: bytes | str | None, uri: str) -> Facts:
    """What `asdict(facts)` as JSON says; raises `InputError` for anything else, or for a gallery of another format."""
    try:
        facts = json.loads(written or "")
    except ValueError:
        raise InputError(f"what is at '{uri}' is no gallery; give the address of a gallery, or a new one") from None
    if facts.get("format") != FORMAT:
        raise InputError(
            f"gallery '{uri}' is of format {facts.get('format')}, this vireid reads {FORMAT}; "
            "use the vireid that made it, or add the crops to a new gallery"
        )
    return Facts(**facts)


class _Kind(Protocol):
    """A module that serves addresses of one kind."""

    def exists(self, uri: str) -> bool: ...
    def create(self, uri: str, facts: Facts) -> VectorStore: ...
    def open_store(self, uri: str) -> VectorStore: ...


def _kind(uri: str) -> _Kind:
    served = "milvus" if re.match(r"(https?|tcp|unix)://", uri) or uri.endswith(".db") else "lance"
    module: Any = import_module(f"vireid.search.{served}")
    kind: _Kind = module
    return kind
