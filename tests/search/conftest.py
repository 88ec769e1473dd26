"""A fresh address for a gallery in each of the stores."""

import os
from uuid import uuid4

import pytest

SERVER = os.environ.get("VIREID_MILVUS_URI")
needs_server = pytest.mark.skipif(not SERVER, reason="VIREID_MILVUS_URI names no Milvus server")


@pytest.fixture
def release():
    """A function that ends the server which milvus-lite keeps for a path, so that the next open reads the disk."""

    def end(path):
        if path.endswith(".db"):
            from milvus_lite.server_manager import server_manager_instance

            server_manager_instance.release_server(path)

    return end


@pytest.fixture(params=["lance", "milvus-lite", pytest.param("milvus", marks=needs_server)])
def uri(request, tmp_path, release):
    """An address at which there is no gallery yet."""
    if request.param == "lance":
        pytest.importorskip("lancedb")
        yield str(tmp_path / "gallery")
    elif request.param == "milvus-lite":
        pytest.importorskip("milvus_lite")
        path = str(tmp_path / "gallery.db")
        yield path
        release(path)
    else:
        pymilvus = pytest.importorskip("pymilvus")
        client = pymilvus.MilvusClient(SERVER)
        name = f"vireid_{uuid4().hex}"
        client.create_database(name)
        yield f"{SERVER}/{name}"
        inside = pymilvus.MilvusClient(f"{SERVER}/{name}")
        for collection in inside.list_collections():
            inside.drop_collection(collection)
        client.drop_database(name)
