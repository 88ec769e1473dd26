"""One contract for all vector stores; then what LanceDB alone promises, with several processes.

Shapes: N rows, Q queries, D = 8.
"""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from vireid.errors import InputError
from vireid.sample import Modality
from vireid.search import lance
from vireid.search.store import COLUMNS, Facts, create, exists, open_store, schema
from vireid.search.where import EVERYTHING, Where

D = 8
FACTS = Facts(model='runs/o"ne', fingerprint="ab'12é", dimensions=D)
CAMERAS = ["gate", "O'Neill; --", 'a"b\\', "Straße 日本\n\t", "' OR 1=1 --", "%_`$1{x}?"]
ALL = ("embedding", *COLUMNS)


def table(count, start=0, seed=0):
    """Rows `start` to `start + count` of an endless gallery; every fourth has no time."""
    numbers = range(start, start + count)
    columns = {
        "id": [f"i'd\"{n}" if n % 7 == 3 else f"id{n}" for n in numbers],
        "embedding": pa.FixedSizeListArray.from_arrays(np.concatenate([*vectors(numbers, seed), []], dtype="f4"), D),
        "path": [f"crops/{n}.jpg" for n in numbers],
        "thumbnail": [bytes([0, 255, n % 256]) * (n % 3) for n in numbers],
        "pid": [f"p{n % 5}" for n in numbers],
        "camera": [CAMERAS[n % len(CAMERAS)] for n in numbers],
        "time": pa.array([None if n % 4 == 0 else float(n) for n in numbers], pa.float64()),
        "modality": ["visible" if n % 2 else "infrared" for n in numbers],
        "track": [f"t{n // 3}" for n in numbers],
        "added": [1000.0 + n for n in numbers],
    }
    return pa.table(columns, schema=schema(D))


def vectors(numbers, seed=0):
    """A unit vector `(D,)` for each number."""
    drawn = [np.random.default_rng([seed, n]).normal(size=D) for n in numbers]
    return [(vector / np.linalg.norm(vector)).astype("f4") for vector in drawn]


def matrix(rows):
    return np.array(rows["embedding"].to_pylist(), dtype="f4").reshape(-1, D)


def ids(store, where=EVERYTHING):
    return sorted(name for batch in store.rows(where, ["id"]) for name in batch["id"].to_pylist())


def matching(rows, where):
    """The rows that a filter means, one by one."""

    def fits(row):
        return (
            (not where.ids or row["id"] in where.ids)
            and (not where.cameras or row["camera"] in where.cameras)
            and (not where.tracks or row["track"] in where.tracks)
            and (not where.pids or row["pid"] in where.pids)
            and (where.modality is None or row["modality"] == where.modality.name.lower())
            and (where.start is None or (row["time"] is not None and row["time"] >= where.start))
            and (where.end is None or (row["time"] is not None and row["time"] < where.end))
        )

    return rows.filter(pa.array([fits(row) for row in rows.to_pylist()], pa.bool_()))


FILTERS = [
    EVERYTHING,
    Where(ids=("id1", "i'd\"3", "unknown")),
    *(Where(cameras=(camera,)) for camera in CAMERAS),
    Where(cameras=(CAMERAS[1], CAMERAS[3])),
    Where(cameras=("' OR ''='", "gate') OR (1=1")),
    Where(start=0.0),
    Where(start=9.0),
    Where(end=9.0),
    Where(start=5.0, end=13.0),
    Where(start=-1e300, end=1.5e9),
    Where(start=-1.79e308),
    Where(modality=Modality.VISIBLE),
    Where(modality=Modality.INFRARED),
    Where(tracks=("t1", "t2")),
    Where(pids=("p0",)),
    Where(cameras=("gate", CAMERAS[3]), start=3.0, modality=Modality.VISIBLE, pids=("p1", "p2", "p3", "p4")),
    Where(ids=("id1",), tracks=("t5",)),
]


@pytest.fixture
def store(uri):
    return create(uri, FACTS)


@pytest.fixture
def filled(store):
    store.add(table(30))
    return store


def test_is_made_once_and_opens_with_its_facts(uri):
    assert not exists(uri)
    with pytest.raises(InputError, match="no gallery"):
        open_store(uri)
    assert not exists(uri), "asking makes nothing"
    made = create(uri, FACTS)
    assert exists(uri)
    assert made.facts == FACTS
    assert made.count() == made.indexed == 0
    made.add(table(5))
    with pytest.raises(InputError, match="something already"):
        create(uri, FACTS)
    again = open_store(uri)
    assert again.facts == FACTS
    assert again.count() == made.count() == 5


def test_survives_reopening_from_disk(uri, filled, release):
    release(uri)
    again = open_store(uri)
    assert again.facts == FACTS
    assert ids(again) == sorted(table(30)["id"].to_pylist())


def test_adds_an_id_once(store):
    assert store.add(table(10)) == 10
    assert store.add(table(10, seed=1)) == 0
    assert store.add(table(10, start=5)) == 5
    assert store.add(table(0)) == 0
    assert ids(store) == sorted(table(15)["id"].to_pylist())
    first = next(iter(store.rows(Where(ids=("id1",)), ALL)))
    assert first.to_pylist() == table(10).slice(1, 1).to_pylist(), "what is there stays as it is"


def test_adds_many_rows(store):
    rows = table(1300)
    assert store.add(rows) == 1300
    assert store.add(table(1300, start=100)) == 100
    assert store.count() == 1400
    assert len(ids(store)) == len(set(ids(store))) == 1400
    names = tuple(rows["id"].to_pylist())
    assert store.count(Where(ids=names)) == 1300
    assert store.remove(Where(ids=names)) == 1300


def test_filters(filled):
    query = np.array(vectors([100]))
    for where in FILTERS:
        wanted = sorted(matching(table(30), where)["id"].to_pylist())
        assert filled.count(where) == len(wanted), where
        assert ids(filled, where) == wanted, where
        found = filled.nearest(query, 30, where, exact=True, columns=["id"])[0]
        assert sorted(found["id"].to_pylist()) == wanted, where


def test_removes_what_a_filter_means(store):
    for where in FILTERS:
        store.add(table(30))
        wanted = matching(table(30), where)["id"].to_pylist()
        assert store.remove(where) == len(wanted), where
        assert ids(store) == sorted(set(table(30)["id"].to_pylist()) - set(wanted)), where
        assert store.remove(where) == 0, where


def test_rows_come_as_they_were_added(filled):
    batches = list(filled.rows(columns=ALL))
    assert batches[0].schema == pa.schema([schema(D).field(name) for name in ALL])
    rows = pa.Table.from_batches(batches).sort_by("added")
    assert rows.to_pylist() == table(30).select(ALL).to_pylist()
    np.testing.assert_array_equal(matrix(rows), matrix(table(30)))
    assert list(filled.rows(Where(pids=("nobody",)))) in ([], [next(iter(filled.rows())).slice(0, 0)])
    assert next(iter(filled.rows())).schema.names == list(COLUMNS)


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("queries", [1, 3])
def test_nearest_equals_the_definition(filled, exact, queries):
    asked = np.array(vectors(range(100, 100 + queries)))
    for where in (EVERYTHING, Where(modality=Modality.VISIBLE), Where(start=5.0), Where(pids=("nobody",))):
        rows = matching(table(30), where)
        scores = asked @ matrix(rows).T  # (Q, N)
        for k in (1, 7, 100):
            found = filled.nearest(asked, k, where, exact=exact, columns=["id", "time", "embedding"])
            assert len(found) == queries
            for hits, row in zip(found, scores, strict=True):
                order = np.argsort(-row)[:k]
                assert hits.schema.names == ["id", "time", "embedding", "score"]
                assert hits.schema.field("score").type == pa.float32()
                assert hits["id"].to_pylist() == rows["id"].take(order).to_pylist()
                assert hits["time"].to_pylist() == rows["time"].take(order).to_pylist()
                np.testing.assert_array_equal(matrix(hits), matrix(rows)[order])
                np.testing.assert_allclose(hits["score"].to_numpy(), row[order], atol=1e-6)


def test_nearest_gives_all_columns_unless_told(filled):
    hits = filled.nearest(np.array(vectors([3])), 1, exact=False)[0]
    assert hits.schema.names == [*COLUMNS, "score"]
    assert hits.drop_columns("score").to_pylist() == table(1, start=3).select(COLUMNS).to_pylist()
    assert hits["score"][0].as_py() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("exact", [True, False])
def test_nothing_is_found_in_an_empty_store(store, exact):
    found = store.nearest(np.array(vectors(range(2))), 5, exact=exact)
    assert [hits.num_rows for hits in found] == [0, 0]
    assert found[0].schema.names == [*COLUMNS, "score"]
    assert store.nearest(np.zeros((0, D), "f4"), 5, exact=exact) == []
    assert ids(store) == []
    assert store.remove(EVERYTHING) == 0
    store.optimize()


def test_optimize_keeps_everything_and_later_rows_are_found(store):
    for start in range(0, 20, 5):
        store.add(table(5, start))
    store.remove(Where(ids=("id2",)))
    store.optimize()
    store.add(table(5, 20))
    assert store.count() == 24
    hits = store.nearest(np.array(vectors([22])), 1, exact=False)[0]
    assert hits["id"].to_pylist() == ["id22"]
    store.optimize()
    assert ids(store) == sorted(set(table(25)["id"].to_pylist()) - {"id2"})


def refused(address, *words):
    """The message with which an address is refused, one line that names it."""
    with pytest.raises(InputError) as caught:
        open_store(str(address))
    message = str(caught.value)
    assert "\n" not in message
    for word in (str(address), *words):
        assert word in message
    return message


def test_refuses_what_is_no_gallery(tmp_path):
    pytest.importorskip("lancedb")
    pytest.importorskip("milvus_lite")
    refused(tmp_path / "nothing", "no such folder")
    refused(tmp_path, "holds no table")
    refused(tmp_path / "nothing.db", "no gallery")
    refused("s3://bucket/gallery", "expected a folder")
    refused("http://127.0.0.1:1", "no Milvus server answers")
    for name in ("file", "file.db"):
        (tmp_path / name).write_text("text")
        refused(tmp_path / name, "no gallery")
        with pytest.raises(InputError, match="something already"):
            create(str(tmp_path / name), FACTS)
    with pytest.raises(InputError, match="does not exist"):
        create(str(tmp_path / "no" / "gallery.db"), FACTS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "file.db"], "asking makes nothing"


def test_refuses_a_gallery_of_another_format(uri):
    with pytest.raises(InputError, match="is of format 2, this vireid reads 1"):
        create(uri, Facts(model="default", fingerprint="", dimensions=D, format=2))
    refused(uri, "is of format 2, this vireid reads 1")


def test_refuses_other_tables_of_that_name(tmp_path, release):
    lancedb = pytest.importorskip("lancedb")
    pytest.importorskip("milvus_lite")
    from pymilvus import MilvusClient

    lancedb.connect(tmp_path / "other").create_table("crops", [{"x": 1}])
    refused(tmp_path / "other", "no gallery")
    path = str(tmp_path / "other.db")
    MilvusClient(path).create_collection("crops", dimension=D)
    refused(path, "no gallery")
    release(path)


def test_names_what_cannot_be_written(tmp_path):
    pytest.importorskip("lancedb")
    (tmp_path / "file").write_text("text")
    with pytest.raises(InputError, match="cannot be written"):
        create(str(tmp_path / "file" / "gallery"), FACTS)
    for module, extra in (("lancedb", "search"), ("pymilvus", "milvus")):
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(sys.modules, module, None)
            with pytest.raises(InputError, match=rf"this needs {module}: pip install 'vireid\[{extra}\]'"):
                create(str(tmp_path / ("new" if extra == "search" else "new.db")), FACTS)


def test_milvus_refuses_large_thumbnails(tmp_path, release):
    pytest.importorskip("milvus_lite")
    path = str(tmp_path / "g.db")
    store = create(path, FACTS)
    rows = table(2)
    large = rows.set_column(3, schema(D).field("thumbnail"), pa.array([b"", bytes(50_000)], pa.binary()))
    with pytest.raises(InputError, match=r"thumbnail of crops/1\.jpg has 50000 bytes"):
        store.add(large)
    assert store.count() == 0
    release(path)


def test_milvus_lite_is_open_in_one_process(tmp_path, release):
    pytest.importorskip("milvus_lite")
    path = str(tmp_path / "g.db")
    create(path, FACTS)
    other = python("from vireid.search.store import open_store; open_store(sys.argv[1])", path)
    assert "another process has it open" in other.communicate()[1].splitlines()[-1]
    release(path)


# LanceDB: an index, and several processes.

WRITER = """
from test_stores import table
from vireid.search.store import open_store
store = open_store(sys.argv[1])
for start in range(0, int(sys.argv[2]), 10):
    print(store.add(table(10, start)), flush=True)
"""


def python(code, *arguments):
    """A process that runs a program which can import this file."""
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n{code}"
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def gallery(tmp_path):
    pytest.importorskip("lancedb")
    return create(str(tmp_path / "gallery"), FACTS)


def test_lance_index_is_made_used_and_grows(gallery, monkeypatch):
    monkeypatch.setattr(lance, "INDEX_FROM", 300)
    gallery.add(table(290))
    gallery.optimize()
    assert gallery.indexed == 0
    gallery.add(table(310))
    gallery.optimize()
    assert gallery.indexed == 310
    gallery.add(table(320))
    assert gallery.indexed == 310
    for count in (320, 900):
        asked = np.array(vectors(range(count)))
        found = gallery.nearest(asked, 1, exact=False, columns=["id"])
        assert [hits["id"][0].as_py() for hits in found] == table(count)["id"].to_pylist(), "also rows not indexed yet"
        truth = gallery.nearest(asked[:50], 10, exact=True, columns=["id"])
        found = gallery.nearest(asked[:50], 10, exact=False, columns=["id"])
        shared = [len({*a["id"].to_pylist()} & {*b["id"].to_pylist()}) for a, b in zip(truth, found, strict=True)]
        assert np.mean(shared) > 8
        few = gallery.nearest(asked[:1], 5, Where(tracks=("t1", "t50")), exact=False)[0]
        assert few.num_rows == 5, "a filter that leaves little is searched to the end"
        if count == 320:
            gallery.add(table(900))
            gallery.optimize()
            assert gallery.indexed == 900
    assert gallery.add(table(910)) == 10
    assert gallery.remove(Where(ids=("id909", "id1"))) == 2
    assert gallery.count() == 908


def test_lance_readers_see_what_others_write(gallery, tmp_path):
    seen = [gallery.count()]
    other = python(WRITER, str(tmp_path / "gallery"), "50")
    for total, line in enumerate(other.stdout, start=1):
        assert line == "10\n"
        seen.append(gallery.count())
        assert seen[-1] >= 10 * total
    assert other.wait() == 0
    assert len(gallery.nearest(np.array(vectors([49])), 100, exact=True)[0]) == 50


def test_lance_writers_at_once_add_an_id_once(gallery, tmp_path):
    others = [python(WRITER, str(tmp_path / "gallery"), "100") for _ in range(3)]
    outputs = [other.communicate() for other in others]
    assert [other.returncode for other in others] == [0, 0, 0], outputs
    assert sum(int(line) for output, _ in outputs for line in output.split()) == 100
    assert ids(gallery) == sorted(table(100)["id"].to_pylist())


def test_lance_keeps_what_a_killed_writer_acknowledged(gallery, tmp_path):
    other = python(WRITER, str(tmp_path / "gallery"), "100000")
    acknowledged = sum(int(other.stdout.readline()) for _ in range(5))
    other.send_signal(signal.SIGKILL)
    acknowledged += sum(int(line) for line in other.communicate()[0].split())
    again = open_store(str(tmp_path / "gallery"))
    there = again.count()
    assert there >= acknowledged >= 50
    assert there % 10 == 0, "a batch is there whole or not at all"
    assert ids(again) == sorted(table(there)["id"].to_pylist())
    assert again.add(table(there + 10)) == 10
    assert ids(again) == sorted(table(there + 10)["id"].to_pylist())
