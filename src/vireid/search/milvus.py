"""Galleries in Milvus: a server or cluster, or, for trying, a `.db` folder of milvus-lite that one process may open.

Reads see all writes that were acknowledged before (consistency level Strong). Not used is what milvus-lite lacks,
templates in filters and the description of a collection, and what servers before 2.5 lack, nullable fields.

Shapes: Q queries, D embedding size.
"""

import base64
import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vireid.errors import InputError
from vireid.search.store import COLUMNS, Facts, read_facts, schema
from vireid.search.where import EVERYTHING, Where

COLLECTION = "crops"
FACTS = "vireid"  # key of the collection's properties
TEXT = 65_535  # bytes, the longest a Milvus field holds
MOST = 16_384  # neighbours, the most Milvus gives
NEVER = -1.7e308  # stands for a time that is not known, below all others
CHUNK = 500  # rows to a request, which must stay under 64 MB
ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n", "\r": r"\r", "\t": r"\t"})
# On a server. All partitions searched is exact, since the vectors in them are kept whole.
PARTITIONS = 1_024
PROBED = 64
SECONDS = 10.0  # for a server to answer at first


def exists(uri: str) -> bool:
    """Whether there is a collection of crops at the address; raises `InputError` if a server does not answer."""
    # milvus-lite makes a folder of its own of any that it opens.
    if _local(uri) and not (Path(uri) / "collections").is_dir():
        return False
    client = _connect(uri)
    with _told(uri):
        return bool(client.has_collection(COLLECTION))


def create(uri: str, facts: Facts) -> "MilvusStore":
    """A new, empty gallery.

    Args:
        uri: of a server, or a `.db` path at which there is nothing.
        facts: what to record.

    Raises:
        InputError: there is something at the address, or it cannot be written or reached.
    """
    if (_local(uri) and Path(uri).exists()) or exists(uri):
        raise InputError(f"cannot make a gallery at '{uri}': there is something already; give a new address")
    if _local(uri) and not Path(uri).absolute().parent.is_dir():
        raise InputError(
            f"cannot make a gallery at '{uri}': the folder {Path(uri).parent} does not exist; make it first"
        )
    client = _connect(uri)
    with _told(uri):
        from pymilvus import DataType

        columns = client.create_schema(auto_id=False, enable_dynamic_field=False)
        columns.add_field("id", DataType.VARCHAR, is_primary=True, max_length=512)
        columns.add_field("embedding", DataType.FLOAT_VECTOR, dim=facts.dimensions)
        for field in schema(facts.dimensions):
            if pa.types.is_float64(field.type):
                columns.add_field(field.name, DataType.DOUBLE)
            elif field.name not in ("id", "embedding"):
                columns.add_field(field.name, DataType.VARCHAR, max_length=TEXT)
        index = client.prepare_index_params()
        if _local(uri):
            index.add_index("embedding", index_type="FLAT", metric_type="IP")
        else:
            index.add_index("embedding", index_type="IVF_FLAT", metric_type="IP", params={"nlist": PARTITIONS})
        properties = {FACTS: json.dumps(asdict(facts))}
        client.create_collection(
            COLLECTION, schema=columns, index_params=index, consistency_level="Strong", properties=properties
        )
    return open_store(uri)


def open_store(uri: str) -> "MilvusStore":
    """The gallery at an address.

    Raises:
        InputError: there is none, it cannot be reached or opened, or it is of another format.
    """
    if not exists(uri):
        raise InputError(f"no gallery at '{uri}'; give the address of a gallery or add crops to make one")
    client = _connect(uri)
    with _told(uri):
        properties = client.describe_collection(COLLECTION).get("properties") or {}
        facts = read_facts(properties.get(FACTS), uri)
        client.load_collection(COLLECTION)
    return MilvusStore(uri, client, facts)


class MilvusStore:
    """A gallery in Milvus; see `vireid.search.store.VectorStore`."""

    def __init__(self, uri: str, client: Any, facts: Facts) -> None:
        self.facts = facts
        self._uri = uri
        self._client = client

    def add(self, rows: pa.Table) -> int:
        """Write the rows whose id is not there yet; returns how many.

        Milvus writes one request whole or not at all, here `CHUNK` rows; if a longer addition breaks off, repeat it.

        Raises:
            InputError: a thumbnail is too large for Milvus, or the server refused the rows; `_told` says why.
        """
        added = 0
        for start in range(0, len(rows), CHUNK):
            part = rows.slice(start, CHUNK)
            known = self.rows(Where(ids=tuple(part["id"].to_pylist())), ["id"])
            there = {name for batch in known for name in batch["id"].to_pylist()}
            new = [record for record in _records(part) if record["id"] not in there]
            if new:
                with _told(self._uri):
                    # Not `insert`: a server would keep both of two rows that two writers add under one id.
                    self._client.upsert(COLLECTION, new)
            added += len(new)
        return added

    def remove(self, where: Where) -> int:
        """Delete rows; returns how many there were."""
        count = self.count(where)
        if count:
            with _told(self._uri):
                self._client.delete(COLLECTION, filter=_expression(where) or 'id != ""')
        return count

    def count(self, where: Where = EVERYTHING) -> int:
        """How many rows there are."""
        with _told(self._uri):
            found = self._client.query(COLLECTION, filter=_expression(where), output_fields=["count(*)"])
        return int(found[0]["count(*)"])

    def nearest(
        self,
        vectors: npt.NDArray[np.float32],
        k: int,
        where: Where = EVERYTHING,
        *,
        exact: bool,
        columns: Sequence[str] = COLUMNS,
    ) -> list[pa.Table]:
        """For each of Q vectors `(Q, D)`, the k rows of highest inner product, highest first; see `VectorStore`.

        milvus-lite compares all rows in any case. A server searches all partitions of its index if `exact`.

        Raises:
            InputError: k is more than `MOST`.
        """
        if k > MOST:
            raise InputError(f"{k} neighbours asked for: Milvus gives at most {MOST}; ask for fewer")
        if not len(vectors):
            return []
        with _told(self._uri):
            found = self._client.search(
                COLLECTION,
                data=list(vectors),
                limit=k,
                filter=_expression(where),
                output_fields=list(columns),
                search_params={"metric_type": "IP", "params": {"nprobe": PARTITIONS if exact else PROBED}},
            )
        tables = []
        for hits in found:
            batch = self._batch([{**hit["entity"], "id": hit["id"]} for hit in hits], columns)
            score = pa.array([hit["distance"] for hit in hits], pa.float32())
            tables.append(pa.Table.from_batches([batch]).append_column("score", score))
        return tables

    def rows(self, where: Where = EVERYTHING, columns: Sequence[str] = COLUMNS) -> Iterator[pa.RecordBatch]:
        """All rows in batches, in no particular order."""
        with _told(self._uri):
            pages = self._client.query_iterator(
                COLLECTION, batch_size=CHUNK, filter=_expression(where), output_fields=list(columns)
            )
            while page := pages.next():
                yield self._batch(page, columns)
            pages.close()

    def optimize(self) -> None:
        """Write out what is in memory and join small pieces; a server does so, and indexes, in the background."""
        with _told(self._uri):
            self._client.flush(COLLECTION)
            self._client.compact(COLLECTION)

    @property
    def indexed(self) -> int:
        """Rows that a server's index holds; 0 in milvus-lite, which has none."""
        if _local(self._uri):
            return 0
        with _told(self._uri):
            return int(self._client.describe_index(COLLECTION, "embedding")["indexed_rows"])

    def _batch(self, records: Sequence[dict[str, Any]], columns: Sequence[str]) -> pa.RecordBatch:
        wanted = pa.schema([schema(self.facts.dimensions).field(name) for name in columns])
        arrays = []
        for field in wanted:
            values = [record[field.name] for record in records]
            if field.name == "embedding":
                flat = np.asarray(values, dtype=np.float32).ravel()
                arrays.append(pa.FixedSizeListArray.from_arrays(flat, self.facts.dimensions))
            elif field.name == "thumbnail":
                arrays.append(pa.array(list(map(base64.b64decode, values)), field.type))
            elif field.name == "time":
                arrays.append(pa.array([None if value == NEVER else value for value in values], field.type))
            else:
                arrays.append(pa.array(values, field.type))
        return pa.RecordBatch.from_arrays(arrays, schema=wanted)


def _records(rows: pa.Table) -> list[dict[str, Any]]:
    """Rows as Milvus takes them: thumbnails in base64, no nulls."""
    records: list[dict[str, Any]] = rows.to_pylist()
    for record in records:
        picture = base64.b64encode(record["thumbnail"]).decode()
        if len(picture) > TEXT:
            raise InputError(
                f"the thumbnail of {record['path'] or record['id']} has {len(record['thumbnail'])} bytes, "
                f"Milvus takes {TEXT // 4 * 3}; make it smaller"
            )
        record["thumbnail"] = picture
        if record["time"] is None:
            record["time"] = NEVER
    return records


def _expression(where: Where) -> str:
    """The filter in the language of Milvus; empty for no filter."""
    parts = [f"{column} in [{', '.join(map(_quoted, values))}]" for column, values in where.named.items()]
    parts += [f"time >= {float(where.start)!r}"] if where.start is not None else []
    parts += [f"time < {float(where.end)!r}"] if where.end is not None else []
    if where.start is not None or where.end is not None:
        parts.append(f"time > {NEVER!r}")  # crops without a time are outside of any range
    return " and ".join(parts)


def _quoted(text: str) -> str:
    """A string of a filter; milvus-lite knows these escapes only, and a server knows them too."""
    return '"' + text.translate(ESCAPES) + '"'


def _local(uri: str) -> bool:
    return uri.endswith(".db")


def _connect(uri: str) -> Any:
    try:
        from pymilvus import MilvusClient, MilvusException

        if _local(uri) and find_spec("milvus_lite") is None:
            raise ImportError
    except ImportError:
        raise InputError("this needs pymilvus: pip install 'vireid[milvus]'") from None
    # What they log, with a traceback on the terminal, comes as an exception too.
    for library in ("pymilvus", "milvus_lite"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    try:
        return MilvusClient(uri, timeout=SECONDS)
    except MilvusException as error:
        if _local(uri):
            raise InputError(
                f"gallery '{uri}' cannot be opened: another process has it open, it cannot be written, or it is not of "
                "milvus-lite; end that process, mend its rights, or keep the gallery in a folder or on a server"
            ) from None
        raise InputError(
            f"no Milvus server answers at '{uri}' ({_line(error)}); start it or give its address, http://host:19530"
        ) from None


@contextmanager
def _told(uri: str) -> Iterator[None]:
    """Turn what Milvus refuses into an `InputError`."""
    from pymilvus import MilvusException

    try:
        yield
    except MilvusException as error:
        raise InputError(
            f"gallery '{uri}': Milvus refused ({_line(error)}); mend that, or see whether the server runs and has room"
        ) from None


def _line(error: Any) -> str:
    return " ".join(str(error.message).split())[:200]
