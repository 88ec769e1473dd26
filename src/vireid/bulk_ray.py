"""Embeds very many images on one machine or a cluster: Ray Data actors that load the model once.

Blocks of images go out as fast as actors take them, so memory holds few of them at a time. Each finished block becomes
a part beside the output; a job that was killed goes on with the parts that are missing. Images must be readable under
the same paths on every node; what was embedded comes back through Ray, so only this process writes.
"""

import json
import logging
import os
import pickle
import shutil
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple
from hashlib import blake2b
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
from pyarrow import parquet
from tqdm import tqdm

from vireid import load
from vireid.atomic import replacing, require_writable, write_text
from vireid.bulk import BLOCK, Crop, embed_crops, find_crops, say_modalities, say_unreadable, table_of
from vireid.claim import claim
from vireid.data.manifest import MODALITIES
from vireid.errors import InputError

UNREADABLE = b"vireid.unreadable"  # under which a part says which images were left out, and why
# Of a processor; an actor computes on a whole one. Ray needs a whole one left on some node to hand blocks out, and
# waits for ever without; where no node has two, actors ask for none.
ACTOR_CPUS = 0.5
PATIENCE = 10.0  # seconds for a cluster to answer; Ray itself waits for minutes and then gives pages of advice


def embed_on_ray(
    source: Path,
    output: Path,
    *,
    model: str = "default",
    modality: Literal["visible", "infrared", "auto"] = "auto",
    device: str = "auto",
    runtime: Literal["torch", "onnx", "openvino"] | None = None,
    block: int = BLOCK,
) -> int:
    """As `vireid.bulk.embed_source`, to a `.parquet` file; returns how many images were embedded.

    A Ray cluster is used if RAY_ADDRESS names one, else Ray starts on this machine.

    Args:
        source: an image, a folder, or a manifest.
        output: FILE.parquet.
        model: a run folder, `default`, or FILE.onnx; on every node under this path.
        modality: of all images, or `auto`.
        device: `auto` takes the GPUs of the cluster where there are any, one for each actor.
        runtime: as for `vireid.load`.
        block: images in a part.

    Raises:
        InputError: nothing to embed, another output format, Ray is missing or not reached, or no image can be read.
    """
    if output.suffix != ".parquet":
        raise InputError(f"--output {output}: with --engine ray expected a file ending in .parquet")
    require_writable(output)
    _require_ray()
    crops = find_crops(source)
    fingerprint = load(model, device="cpu", runtime=runtime).fingerprint
    folder = output.with_name(f"{output.name}.parts")
    options = {"model": model, "modality": modality, "device": device, "runtime": runtime}
    job = {"fingerprint": fingerprint, "modality": modality, "block": block, "crops": _digest(crops)}
    with claim(folder, "embeds"):
        _require_job(folder, job)
        blocks = [crops[start : start + block] for start in range(0, len(crops), block)]
        todo = [(number, each) for number, each in enumerate(blocks) if not _part(folder, number).exists()]
        left = sum(len(each) for _, each in todo)
        with tqdm(total=len(crops), initial=len(crops) - left, desc="embed", unit="image", leave=False) as bar:
            for number, part in _embedded(todo, options):
                with replacing(_part(folder, number)) as temporary:
                    parquet.write_table(part, temporary)
                bar.update(len(blocks[number]))
        found = _join(folder, output, crops, modality)
    shutil.rmtree(folder)
    return found


class _Worker:
    """An actor: the model, and what it makes of a block."""

    def __init__(self, model: str, modality: str, device: str, runtime: Any) -> None:
        import torch

        torch.set_num_threads(1)
        self._modality = modality
        self._embedder = load(model, device=device, runtime=runtime)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """A batch is one block, pickled; so is what comes back."""
        result = embed_crops(self._embedder, pickle.loads(batch["block"][0]), self._modality)
        told = json.dumps([[str(path), reason] for path, reason in result.unreadable]).encode()
        return {"number": batch["number"], "part": np.array([pickle.dumps((table_of(result), told))], object)}


def _embedded(blocks: Sequence[tuple[int, list[Crop]]], options: dict[str, Any]) -> Iterator[tuple[int, pa.Table]]:
    """Number and rows of each block, in the order in which they are finished."""
    if not blocks:
        return
    ray_data: Any = import_module("ray.data")
    rows = [{"number": number, "block": pickle.dumps(crops)} for number, crops in blocks]
    with _cluster() as resources:
        gpus = int(resources.get("GPU", 0)) if options["device"] in ("auto", "cuda") else 0
        actors = min(gpus or max(1, int(resources.get("CPU", 1))), len(rows))
        needs = {"num_gpus": 1} if gpus else {"num_cpus": ACTOR_CPUS if _largest_node() >= 2 else 0}
        data = ray_data.from_items(rows, override_num_blocks=len(rows)).map_batches(
            _Worker,
            fn_constructor_kwargs=options,
            batch_size=1,
            compute=ray_data.ActorPoolStrategy(size=actors),
            **needs,
        )
        for row in data.iter_rows():
            yield int(row["number"]), with_unreadable(*pickle.loads(row["part"]))


def with_unreadable(table: pa.Table, told: bytes) -> pa.Table:
    """A part: rows, and which images were left out."""
    return table.replace_schema_metadata({**(table.schema.metadata or {}), UNREADABLE: told})


def _require_ray() -> None:
    if find_spec("ray") is None:
        raise InputError("--engine ray needs Ray: pip install 'vireid[ray]', or leave --engine out")


@contextmanager
def _cluster() -> Iterator[dict[str, float]]:
    """What the cluster has; whoever connected to it, or started it, leaves it again."""
    ray: Any = import_module("ray")
    connects = not ray.is_initialized()
    if connects:
        _require_answer(os.environ.get("RAY_ADDRESS", ""))
        try:
            ray.init(log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise InputError(
                f"Ray cannot be reached ({str(error).splitlines()[0]}); RAY_ADDRESS names a cluster that runs, without "
                "it one is started on this machine"
            ) from None
    import_module("ray.data").DataContext.get_current().enable_progress_bars = False  # this job has its own
    try:
        yield ray.cluster_resources()
    finally:
        if connects:
            ray.shutdown()


def _require_answer(address: str) -> None:
    """Raise `InputError` if nothing listens at a cluster's address; one without a port is Ray's own to find."""
    try:
        place = urlsplit(f"//{address.removeprefix('ray://')}")
        if place.hostname and place.port:
            socket.create_connection((place.hostname, place.port), PATIENCE).close()
    except (OSError, ValueError) as error:
        raise InputError(
            f"no Ray cluster answers at RAY_ADDRESS={address} ({error}); start one with `ray start --head`, or unset "
            "RAY_ADDRESS to use this machine alone"
        ) from None


def _largest_node() -> float:
    """Processors of the node that has most."""
    ray: Any = import_module("ray")
    return max((node["Resources"].get("CPU", 0.0) for node in ray.nodes() if node["Alive"]), default=0.0)


def _digest(crops: Sequence[Crop]) -> str:
    """Of what is to be embedded."""
    return blake2b(pickle.dumps([tuple(map(str, astuple(crop))) for crop in crops]), digest_size=16).hexdigest()


def _require_job(folder: Path, job: dict[str, Any]) -> None:
    """Parts of another job are of no use: they are removed, which is said."""
    file = folder / "job.json"
    parts = list(folder.glob("*.parquet"))
    if parts and not (file.exists() and json.loads(file.read_text(encoding="utf-8")) == job):
        print(f"{folder} holds parts of other images or another model; they are embedded anew", file=sys.stderr)
        for part in parts:
            part.unlink()
    write_text(file, json.dumps(job))


def _part(folder: Path, number: int) -> Path:
    return folder / f"{number:06d}.parquet"


def _join(folder: Path, output: Path, crops: Sequence[Crop], modality: str) -> int:
    """Write the parts, in the order of the images, as one file; returns the number of rows."""
    unreadable, seen = [], []
    parts = sorted(folder.glob("*.parquet"))
    files = [parquet.ParquetFile(part) for part in parts]
    for file in files:
        told = json.loads((file.schema_arrow.metadata or {})[UNREADABLE])
        unreadable += [(Path(path), reason) for path, reason in told]
    filled = [file for file in files if file.metadata.num_rows]
    if not filled:
        raise InputError(f"none of the {len(crops)} images can be read; give person crops as JPEG or PNG")
    facts = {name: told for name, told in filled[0].schema_arrow.metadata.items() if name != UNREADABLE}
    schema = filled[0].schema_arrow.with_metadata(facts)
    with replacing(output) as temporary, parquet.ParquetWriter(temporary, schema) as writer:
        for file in filled:
            table = file.read().replace_schema_metadata(facts)
            writer.write_table(table)
            names = zip(table["path"].to_pylist(), table["modality"].to_pylist(), strict=True)
            seen += [Crop(Path(path), modality=MODALITIES[name]) for path, name in names]
    say_modalities(seen, crops, modality)
    say_unreadable(unreadable)
    skipped = f", {len(unreadable)} skipped" if unreadable else ""
    print(f"{output}: {len(seen)} embeddings{skipped}", file=sys.stderr)
    return len(seen)
