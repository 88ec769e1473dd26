"""Galleries in LanceDB: a folder that many processes may read and write at once.

Every write is one commit: whole or not there after a crash. `id` is declared as the table's primary key, which LanceDB
does not enforce but looks at when two writers commit at once: without it, both could insert the same crop.

Shapes: Q queries, D embedding size.
"""

import json
import math
import random
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from vireid.errors import InputError
from vireid.search.store import COLUMNS, Facts, read_facts, schema
from vireid.search.where import EVERYTHING, Where

TABLE = "crops"
PRIMARY_KEY = {b"lance-schema:unenforced-primary-key": b"true"}
FACTS = b"vireid"  # key of the table's metadata
INDEX = "embedding_"  # an index is named by its partitions
# Fewer rows are scanned: 30,000 x 128 took 43 ms on two busy cores, and nothing is missed.
INDEX_FROM = 50_000
# One in so many partitions is searched. A fourth of them found 94 to 97 % of the 20 nearest, among random clusters of
# 20 rows.
PROBED = 3
ATTEMPTS = 8  # at a commit, each of which LanceDB itself tries several times
KEEP_VERSIONS = timedelta(hours=1)  # a reader that began earlier finds its files gone

Result = TypeVar("Result")


def exists(uri: str) -> bool:
    """Whether the folder holds a table of crops."""
    return (Path(uri) / f"{TABLE}.lance").is_dir()


def create(uri: str, facts: Facts) -> "LanceStore":
    """A new, empty gallery.

    Args:
        uri: a folder that does not exist or is empty.
        facts: what to record.

    Raises:
        InputError: there is something at the address, or it cannot be written.
    """
    folder = _folder(uri)
    lancedb = _lancedb()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"cannot make a gallery at '{uri}': there is something already; give a new folder")
    try:
        columns = schema(facts.dimensions).with_metadata({FACTS: json.dumps(asdict(facts)).encode()})
        columns = columns.set(0, columns.field("id").with_metadata(PRIMARY_KEY))
        lancedb.connect(folder).create_table(TABLE, schema=columns, mode="create")
    except (OSError, RuntimeError) as error:
        raise _unwritable(uri, error) from None
    except ValueError:
        raise InputError(f"cannot make a gallery at '{uri}': another process has just made one; open that") from None
    return open_store(uri)


def open_store(uri: str) -> "LanceStore":
    """The gallery in a folder.

    Raises:
        InputError: there is none, it cannot be read, or it is of another format.
    """
    folder = _folder(uri)
    lancedb = _lancedb()
    if not exists(uri):
        found = "there is no such folder" if not folder.exists() else f"it holds no table {TABLE}.lance"
        raise InputError(f"no gallery at '{uri}': {found}; give the folder of a gallery or add crops to make one")
    try:
        # Zero: every read looks for what other processes have written.
        table = lancedb.connect(folder, read_consistency_interval=timedelta(0)).open_table(TABLE)
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(
            f"gallery '{uri}' cannot be read ({_line(error)}); mend its rights or take another copy"
        ) from None
    return LanceStore(uri, table, read_facts((table.schema.metadata or {}).get(FACTS), uri))


class LanceStore:
    """A gallery in a folder; see `vireid.search.store.VectorStore`."""

    def __init__(self, uri: str, table: Any, facts: Facts) -> None:
        self.facts = facts
        self._uri = uri
        self._table = table

    def add(self, rows: pa.Table) -> int:
        """Write the rows whose id is not there yet, in one commit; returns how many."""
        merge = self._table.merge_insert("id").when_not_matched_insert_all()
        return int(self._commit(lambda: merge.execute(rows)).num_inserted_rows)

    def remove(self, where: Where) -> int:
        """Delete rows; returns how many. Their bytes go with the first `optimize` an hour or more later."""
        return int(self._commit(lambda: self._table.delete(_sql(where) or "true")).num_deleted_rows)

    def count(self, where: Where = EVERYTHING) -> int:
        """How many rows there are."""
        return int(self._table.count_rows(_sql(where)))

    def nearest(
        self,
        vectors: npt.NDArray[np.float32],
        k: int,
        where: Where = EVERYTHING,
        *,
        exact: bool,
        columns: Sequence[str] = COLUMNS,
    ) -> list[pa.Table]:
        """For each of Q vectors `(Q, D)`, the k rows of highest inner product, highest first; see `VectorStore`."""
        if not len(vectors):
            return []
        search = self._table.search(list(vectors), vector_column_name="embedding").distance_type("dot").limit(k)
        search = search.select([*columns, "_distance"])
        sql = _sql(where)
        if sql:
            search = search.where(sql, prefilter=True)
        index = None if exact else self._index()
        if index is None:
            search = search.bypass_vector_index()
        else:
            search = search.nprobes(math.ceil(_partitions_of(index) / PROBED))
            if sql:  # a filter may leave too few rows in these partitions: then go on (0: to the last of them)
                search = search.maximum_nprobes(0)
        found = search.to_arrow()
        order = [("_distance", "ascending")]
        if len(vectors) == 1:
            return [self._scored(found.sort_by(order), columns)]
        found = found.sort_by([("query_index", "ascending"), *order])
        ends = np.searchsorted(found["query_index"].to_numpy(), np.arange(len(vectors) + 1))
        return [self._scored(found.slice(start, end - start), columns) for start, end in pairwise(ends)]

    def rows(self, where: Where = EVERYTHING, columns: Sequence[str] = COLUMNS) -> Iterator[pa.RecordBatch]:
        """All rows in batches, in no particular order, as they were when the iteration began."""
        search = self._table.search().select(list(columns))
        if sql := _sql(where):
            search = search.where(sql)
        wanted = self._columns(columns)
        for batch in search.to_batches():
            yield pa.RecordBatch.from_arrays([batch[name] for name in columns], schema=wanted)

    def optimize(self) -> None:
        """Join small files, drop old versions, and index a gallery of `INDEX_FROM` rows or more."""
        from lancedb.index import BTree, IvfFlat

        self._commit(lambda: self._table.optimize(cleanup_older_than=KEEP_VERSIONS))
        rows = self.count()
        if rows < INDEX_FROM:
            return
        if not any(index.columns == ["id"] for index in self._table.list_indices()):
            # Finds the ids that are there already: 500 rows into 80,000 in 16 to 59 ms, 200 to 248 ms without.
            self._commit(lambda: self._table.create_index("id", config=BTree()))
        old, partitions = self._index(), math.isqrt(rows)
        # Rows added to an index go to the partitions it was made with: it is made anew when they have become too few.
        if old is None or partitions > 1.5 * _partitions_of(old):
            config = IvfFlat(distance_type="dot", num_partitions=partitions, max_iterations=20)
            self._commit(lambda: self._table.create_index("embedding", config=config, name=f"{INDEX}{partitions}"))
            if old is not None:
                self._commit(lambda: self._table.drop_index(old.name))

    @property
    def indexed(self) -> int:
        """Rows that the index holds; 0 without an index."""
        index = self._index()
        return 0 if index is None else int(index.num_indexed_rows)

    def _index(self) -> Any:
        """The newest index of the embeddings, or None."""
        found = [index for index in self._table.list_indices() if index.name.startswith(INDEX)]
        return max(found, key=_partitions_of, default=None)

    def _columns(self, columns: Sequence[str]) -> pa.Schema:
        return pa.schema([schema(self.facts.dimensions).field(name) for name in columns])

    def _scored(self, found: pa.Table, columns: Sequence[str]) -> pa.Table:
        """What a search found, with the inner product in the place of the distance, which is 1 less it."""
        score = pc.subtract(pa.scalar(1, pa.float32()), found["_distance"])
        wanted = self._columns(columns).append(pa.field("score", pa.float32()))
        return pa.Table.from_arrays([*(found[name] for name in columns), score], schema=wanted)

    def _commit(self, write: Callable[[], Result]) -> Result:
        """What a write returns; repeated while other processes commit first.

        Raises:
            InputError: the folder cannot be written, or others kept committing first.
        """
        for attempt in range(ATTEMPTS):
            try:
                return write()
            except (OSError, RuntimeError) as error:
                if not re.search("conflict|concurrent", str(error), re.IGNORECASE):
                    raise _unwritable(self._uri, error) from None
                time.sleep(random.uniform(0, 0.1 * 2**attempt))
        raise InputError(f"gallery '{self._uri}': too many processes write to it at once; let fewer write")


def _partitions_of(index: Any) -> int:
    return int(index.name.removeprefix(INDEX))


def _sql(where: Where) -> str | None:
    """The filter as SQL, or None for no filter."""
    if not where.restricts:
        return None
    parts = [f"{column} IN ({', '.join(map(_quoted, values))})" for column, values in where.named.items()]
    # A comparison with null is not true, so crops without a time are outside.
    parts += [f"time >= {float(where.start)!r}"] if where.start is not None else []
    parts += [f"time < {float(where.end)!r}"] if where.end is not None else []
    return " AND ".join(parts)


def _quoted(text: str) -> str:
    """An SQL string; nothing but the quote has a meaning in it."""
    return "'" + text.replace("'", "''") + "'"


def _folder(uri: str) -> Path:
    if "://" in uri:
        raise InputError(f"gallery '{uri}': expected a folder, a file that ends in .db or http://host:19530")
    return Path(uri)


def _lancedb() -> Any:
    try:
        import lancedb
    except ImportError:
        raise InputError("this needs lancedb: pip install 'vireid[search]'") from None
    return lancedb


def _unwritable(uri: str, error: Exception) -> InputError:
    return InputError(
        f"gallery '{uri}' cannot be written ({_line(error)}); mend the folder's rights, or make room on the disk"
    )


def _line(error: Exception) -> str:
    """The first line of a message, without LanceDB's kind of error before it and the place in its source after it."""
    return re.sub(r"^lance error: (LanceError\(\w+\): )?|, /.*", "", str(error).splitlines()[0])
