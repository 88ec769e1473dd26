"""Bulk embedding with Ray: what it writes and how it goes on, with blocks embedded here; once on two nodes."""

import re
import socket
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from vireid import bulk
from vireid.errors import InputError

parquet = pytest.importorskip("pyarrow.parquet")
bulk_ray = pytest.importorskip("vireid.bulk_ray")


@pytest.fixture
def crops(tmp_path):
    """A folder of six crops and one file that is none."""
    folder = tmp_path / "crops"
    folder.mkdir()
    for seed in range(6):
        pixels = np.random.default_rng(seed).integers(0, 256, (32, 16, 3), np.uint8)
        Image.fromarray(pixels if seed % 2 else pixels.mean(2).astype(np.uint8)).save(folder / f"{seed}.png")
    (folder / "4-broken.png").write_bytes(b"no picture")
    return folder


@pytest.fixture
def here(monkeypatch):
    """Blocks are embedded in this process; a function that says how many, and makes it stop after some."""
    done, stop = [], [None]

    def embedded(blocks, options):
        worker = bulk_ray._Worker(**options)
        for number, block in blocks:
            if len(done) == stop[0]:
                raise KeyboardInterrupt
            row = worker({"number": np.array([number]), "block": [bulk_ray.pickle.dumps(block)]})
            done.append(number)
            yield number, bulk_ray.with_unreadable(*bulk_ray.pickle.loads(row["part"][0]))

    monkeypatch.setattr(bulk_ray, "_require_ray", lambda: None)
    monkeypatch.setattr(bulk_ray, "_embedded", embedded)
    return done, stop


def same_rows(a, b):
    one, other = parquet.read_table(a), parquet.read_table(b)
    assert one.schema.equals(other.schema, check_metadata=True)
    vectors = [np.stack(table["embedding"].to_numpy(zero_copy_only=False)) for table in (one, other)]
    np.testing.assert_allclose(*vectors, atol=2e-3)
    assert one.drop_columns("embedding").equals(other.drop_columns("embedding"))


def test_it_writes_what_the_plain_engine_writes(crops, here, tmp_path, capsys):
    bulk.embed_source(crops, tmp_path / "plain.parquet", device="cpu")
    told = capsys.readouterr().err
    assert bulk_ray.embed_on_ray(crops, tmp_path / "ray.parquet", device="cpu", block=2) == 6
    same_rows(tmp_path / "plain.parquet", tmp_path / "ray.parquet")
    again = capsys.readouterr().err
    for line in ("modality guessed from colour: 3 visible, 3 infrared", "4-broken.png"):
        assert line in told and line in again
    assert here[0] == [0, 1, 2, 3] and not (tmp_path / "ray.parquet.parts").exists()


def test_a_killed_job_goes_on_with_what_is_missing(crops, here, tmp_path):
    done, stop = here
    output = tmp_path / "ray.parquet"
    stop[0] = 2
    with pytest.raises(KeyboardInterrupt):
        bulk_ray.embed_on_ray(crops, output, device="cpu", block=2)
    assert not output.exists() and len(list((tmp_path / "ray.parquet.parts").glob("*.parquet"))) == 2
    stop[0] = None
    assert bulk_ray.embed_on_ray(crops, output, device="cpu", block=2) == 6
    assert done == [0, 1, 2, 3]  # none twice
    bulk.embed_source(crops, tmp_path / "plain.parquet", device="cpu")
    same_rows(tmp_path / "plain.parquet", output)


def test_parts_of_other_images_are_not_used(crops, here, tmp_path, capsys):
    done, stop = here
    stop[0] = 1
    with pytest.raises(KeyboardInterrupt):
        bulk_ray.embed_on_ray(crops, tmp_path / "ray.parquet", device="cpu", block=2)
    (crops / "0.png").unlink()
    stop[0] = None
    assert bulk_ray.embed_on_ray(crops, tmp_path / "ray.parquet", device="cpu", block=2) == 5
    assert "embedded anew" in capsys.readouterr().err and done == [0, 0, 1, 2]


def test_what_is_refused(crops, here, tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"ending in \.parquet"):
        bulk_ray.embed_on_ray(crops, tmp_path / "a.npz")
    for image in crops.glob("?.png"):
        image.write_bytes(b"no picture")
    with pytest.raises(InputError, match="none of the 7 images can be read"):
        bulk_ray.embed_on_ray(crops, tmp_path / "a.parquet", device="cpu")
    monkeypatch.undo()
    monkeypatch.setattr(bulk_ray, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'vireid\[ray\]'"):
        bulk_ray.embed_on_ray(crops, tmp_path / "a.parquet")


def test_a_cluster_that_does_not_answer_is_named(monkeypatch):
    monkeypatch.setattr(bulk_ray, "import_module", lambda name: SimpleNamespace(is_initialized=lambda: False))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    for named in (address, f"ray://{address}", "127.0.0.1:99999", f"{'a' * 70}.b:6379", "[::1"):
        monkeypatch.setenv("RAY_ADDRESS", named)
        told = rf"RAY_ADDRESS={re.escape(named)} .*ray start --head"
        with pytest.raises(InputError, match=told), bulk_ray._cluster():
            pass
    for left_to_ray in ("", "auto", "local"):
        bulk_ray._require_answer(left_to_ray)


@pytest.mark.parametrize(
    ("family", "host", "shown"), [(socket.AF_INET, "127.0.0.1", "127.0.0.1"), (socket.AF_INET6, "::1", "[::1]")]
)
def test_a_cluster_that_answers_is_left_to_ray(family, host, shown):
    try:
        server = socket.create_server((host, 0), family=family)
    except OSError:
        pytest.skip(f"this machine has no {host}")
    with server:
        bulk_ray._require_answer(f"{shown}:{server.getsockname()[1]}")


@pytest.mark.slow  # starts a cluster
@pytest.mark.parametrize("cpus", [1, 2])
def test_two_nodes(cpus, crops, tmp_path, monkeypatch):
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("PYTHONPATH", str(Path(bulk_ray.__file__).parents[1]))
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": cpus, "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=cpus)
        monkeypatch.setenv("RAY_ADDRESS", cluster.address)
        assert bulk_ray.embed_on_ray(crops, tmp_path / "ray.parquet", device="cpu", block=2) == 6
    finally:
        cluster.shutdown()
    bulk.embed_source(crops, tmp_path / "plain.parquet", device="cpu")
    same_rows(tmp_path / "plain.parquet", tmp_path / "ray.parquet")
