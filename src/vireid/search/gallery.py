"""A gallery: person crops of visible and infrared cameras that can be searched with a crop.

Shapes: Q queries, N crops, D embedding size.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from vireid.bulk import Crop, content_ids, embed_blocks, find_crops
from vireid.data.cache import Source, Unreadable, decode
from vireid.embedder import Embedder, fingerprint, load, load_run, resolve_modalities
from vireid.errors import InputError
from vireid.models.weights import SHIPPED
from vireid.sample import Modality
from vireid.search import store as stores
from vireid.search.calibrate import FILE as CALIBRATION
from vireid.search.calibrate import Calibrations, read_calibrations
from vireid.search.hits import Hit, Row, hits_of, known_of, reranked
from vireid.search.rows import ROWS_AT_ONCE, read_file, rows_of, small_jpeg, table_of
from vireid.search.store import COLUMNS, Facts, VectorStore
from vireid.search.where import EVERYTHING, Where

EXACT_UP_TO = 50_000  # rows that are compared one by one; more go through the index, unless a filter leaves fewer
CANDIDATES = 100  # nearest crops among which re-ranking looks for mutual neighbours

Query = Source | npt.NDArray[np.float32]


@dataclass(frozen=True)
class Added:
    """What adding did: crops that are new, crops that were there already, and images that cannot be read."""

    new: int
    known: int
    unreadable: Unreadable
    timeless: int = 0


class Gallery:
    """Person crops in a vector store; made by `Gallery.open` or `Gallery.create`."""

    def __init__(self, store: VectorStore, device: str = "auto", calibration: Path | None = None) -> None:
        """Of an opened store; `calibration` is a file of `vireid calibrate` that comes before the model's own."""
        self.store = store
        self._calibration = calibration
        self.device = device
        self._embedder: Embedder | None = None

    @classmethod
    def open(cls, uri: str | Path, *, device: str = "auto") -> "Gallery":
        """The gallery at an address: a folder, `http://host:19530` of a Milvus server, or a `.db` file of milvus-lite.

        Raises:
            InputError: there is none.
        """
        return cls(stores.open_store(str(uri)), device, Path(f"{uri}.{CALIBRATION}"))

    @classmethod
    def create(cls, uri: str | Path, *, model: str | Path = "default", device: str = "auto") -> "Gallery":
        """A new, empty gallery for the embeddings of one model, a run folder or `default`.

        Raises:
            InputError: there is something at the address, it cannot be written, or there is no such model.
        """
        embedder = load(model, device=device)
        name = "default" if str(model) == "default" else str(Path(model).resolve())
        facts = Facts(name, embedder.fingerprint, embedder.dimensions)
        gallery = cls(stores.create(str(uri), facts), device, Path(f"{uri}.{CALIBRATION}"))
        gallery._embedder = embedder
        return gallery

    @property
    def facts(self) -> Facts:
        """Which model's embeddings it holds, and their size."""
        return self.store.facts

    @property
    def embedder(self) -> Embedder:
        """The model that embeds images for this gallery, loaded when first needed.

        Raises:
            InputError: its run is no longer there, or was trained on since.
        """
        if self._embedder is None:
            embedder = load(self.facts.model, device=self.device)
            self._require_model(embedder.fingerprint, f"the model at {self.facts.model}")
            self._embedder = embedder
        return self._embedder

    def count(self, where: Where = EVERYTHING) -> int:
        """How many crops there are."""
        return self.store.count(where)

    def remove(self, where: Where) -> int:
        """Remove crops; returns how many.

        Raises:
            InputError: `where` restricts nothing: that would empty the gallery.
        """
        if not where.restricts:
            raise InputError("nothing says which crops to remove; name ids, cameras, tracks, people or a time range")
        return self.store.remove(where)

    def add(self, source: str | Path | Sequence[Crop], *, modality: str = "auto", thumbnails: bool = False) -> Added:
        """Add images: an image, a folder, a manifest, or crops. Those already there are skipped before embedding.

        What was written before an interruption stays; the same call goes on.

        Args:
            source: where they are, or the crops with what is known of each.
            modality: `visible`, `infrared`, or `auto`: what the manifest says, else by colour.
            thumbnails: keep a small picture of each in the gallery, for where the files do not stay.
        """
        crops = find_crops(Path(source)) if isinstance(source, str | Path) else list(source)
        names = content_ids([crop.path for crop in crops])
        known = self._known(names)
        first = dict(zip(reversed(names), reversed(crops), strict=True))  # one crop of each content
        fresh = [
            crop
            for name, crop in zip(names, crops, strict=True)
            if not name or (name not in known and first[name] is crop)
        ]
        new, unreadable, timeless = 0, [], 0
        for part in embed_blocks(self.embedder, fresh, modality) if fresh else ():
            unreadable += part.unreadable
            if not part.crops:
                continue
            rows, without = rows_of(part, thumbnails)
            new += self.store.add(rows)
            timeless += without
        return Added(new, len(crops) - new - len(unreadable), unreadable, timeless)

    def add_images(
        self,
        images: Iterable[npt.NDArray[np.uint8]],
        ids: Sequence[str],
        *,
        modality: str = "auto",
        thumbnails: bool = True,
        pid: str = "",
        camera: str = "",
        time: str = "",
        track: str = "",
    ) -> Added:
        """Add images that are in no file, in one piece: all that are new, or, if one is refused, none.

        Args:
            images: uint8 `(H, W, 3)` or `(H, W)`, taken one at a time; only their reduced copies are held together.
            ids: of the images' contents, such as `vireid.bulk.content_id` of the files they came in.
            modality: `visible`, `infrared`, or `auto`, by colour.
            thumbnails: keep a small picture of each.
            pid: who they all show, if that is known; likewise `camera`, `time` and `track`.
            camera: where all were taken.
            time: when, as `parse_time` understands it.
            track: their tracklet.
        """
        known, pixels, pictures, fresh = self._known(ids), [], [], []
        for name, image in zip(ids, images, strict=True):
            if name not in known:
                known.add(name)
                fresh.append(name)
                pixels.append(decode(image, self.embedder.height, self.embedder.width))
                pictures.append(small_jpeg(Image.fromarray(image)) if thumbnails else b"")
        if not fresh:
            return Added(0, len(ids), [])
        stacked = torch.stack(pixels)
        modalities = resolve_modalities(modality, stacked)
        names = [Modality(value).name.lower() for value in modalities]
        told = {"path": "", "pid": pid, "camera": camera, "time": time, "track": track}
        columns = {name: [value] * len(fresh) for name, value in told.items()}
        vectors = self.embedder.embed_pixels(stacked, modalities)
        rows, timeless = table_of(vectors, {**columns, "id": fresh, "modality": names, "thumbnail": pictures})
        new = self.store.add(rows)
        return Added(new, len(ids) - new, [], timeless)

    def add_file(self, path: str | Path) -> Added:
        """Add the `.parquet` file that `vireid embed` wrote, piece by piece; what is there already is skipped.

        Raises:
            InputError: the file is no such file, or its embeddings are of another model.
        """
        new = total = timeless = 0
        for name, rows, without in read_file(Path(path), self.facts.dimensions):
            self._require_model(name, str(path))
            new += self.store.add(rows)
            total += rows.num_rows
            timeless += without
        return Added(new, total - new, [], timeless)

    def search(
        self,
        query: Query,
        k: int = 20,
        *,
        where: Where = EVERYTHING,
        modality: str | Modality = "auto",
        rerank: bool = False,
        fmr: float | None = None,
    ) -> list[Hit]:
        """The k crops most similar to a query, best first.

        Args:
            query: an image (a path, or uint8 `(H, W, 3)` or `(H, W)`), or an embedding `(D,)` of this gallery's model.
            k: hits, or all crops if there are fewer.
            where: which crops are looked at.
            modality: of the query: `visible`, `infrared` or `auto`, which is by an image's colours, and says nothing of
                an embedding.
            fmr: leave out what does not reach the threshold at this false match rate; `vireid calibrate` sets them.
            rerank: sort by k-reciprocal encoding among the nearest crops (Zhong et al., CVPR 2017).
        """
        seen: Modality | None
        if isinstance(query, np.ndarray) and query.dtype.kind == "f":
            vectors = np.asarray(query, np.float32)[None]
            seen = None if modality == "auto" else Modality(resolve_modalities(modality, torch.empty(1))[0])
        else:
            pixels = decode(cast(Source, query), self.embedder.height, self.embedder.width)[None]
            modalities = resolve_modalities(modality, pixels)
            vectors, seen = self.embedder.embed_pixels(pixels, modalities), Modality(modalities[0])
        hits = self.search_many(vectors, k, where=where, rerank=rerank)[0]
        return self._judged(hits, seen, fmr)

    def search_many(
        self, embeddings: npt.NDArray[np.floating[Any]], k: int = 20, *, where: Where = EVERYTHING, rerank: bool = False
    ) -> list[list[Hit]]:
        """As `search`, for Q embeddings `(Q, D)` at once.

        Raises:
            InputError: they are of another size, not finite, or k is below 1.
        """
        vectors = np.ascontiguousarray(embeddings, np.float32)
        if vectors.ndim != 2 or vectors.shape[1] != self.facts.dimensions:
            raise InputError(f"the embeddings have shape {vectors.shape}; expected (Q, {self.facts.dimensions})")
        if not np.isfinite(vectors).all():
            raise InputError("an embedding has a number that is not finite; embed the query anew")
        if k < 1:
            raise InputError(f"k is {k}; expected at least 1")
        exact = self.store.indexed == 0 or self.count(where) <= EXACT_UP_TO
        if not rerank:
            found = self.store.nearest(vectors, k, where, exact=exact)
            return [hits_of(table) for table in found]
        columns = (*COLUMNS, "embedding")
        found = self.store.nearest(vectors, max(k, CANDIDATES), where, exact=exact, columns=columns)
        return [reranked(vector, table)[:k] for vector, table in zip(vectors, found, strict=True)]

    def _judged(self, hits: list[Hit], seen: Modality | None, fmr: float | None) -> list[Hit]:
        """Hits with their probability, and without those that do not reach the threshold at a false match rate."""
        found = None if seen is None else self.calibrations
        if fmr is not None and found is None:
            why = "say its modality" if seen is None else f"run vireid calibrate {self.facts.model} first"
            raise InputError(f"nothing says which score a false match rate of {fmr:g} asks for; {why}")
        if found is None or seen is None:
            return hits
        kept = []
        for hit in hits:
            calibration = found.of(seen, hit.modality)
            if calibration is not None and (fmr is None or hit.score >= calibration.threshold(fmr).score):
                kept.append(replace(hit, probability=calibration.probability(hit.score)))
            elif fmr is None:
                kept.append(hit)
        return kept

    @cached_property
    def calibrations(self) -> Calibrations | None:
        """What the scores of its model mean, if that was measured.

        A file `<gallery>.calibration.json`, of crops of these cameras, comes before the model's own.
        """
        folder = SHIPPED if self.facts.model == "default" else Path(self.facts.model)
        files = (self._calibration, folder / CALIBRATION)
        found = (read_calibrations(file, self.facts.fingerprint) for file in files if file is not None)
        return next((each for each in found if each is not None), None)

    def crops(self, where: Where = EVERYTHING, limit: int | None = None) -> Iterator[Row]:
        """Crops in no particular order, at most `limit`."""
        batches = self.store.rows(where, ("id", "path", "pid", "camera", "time", "modality", "track"))
        rows = (Row(**known_of(row)) for batch in batches for row in batch.to_pylist())
        return islice(rows, limit)

    def thumbnail(self, crop_id: str) -> bytes | None:
        """The small picture of a crop, JPEG; None if there is none."""
        for batch in self.store.rows(Where(ids=(crop_id,)), ("thumbnail",)):
            for picture in batch.column("thumbnail").to_pylist():
                return picture or None
        return None

    def _known(self, names: Sequence[str]) -> set[str]:
        known: set[str] = set()
        named = [name for name in dict.fromkeys(names) if name]
        for start in range(0, len(named), ROWS_AT_ONCE):
            where = Where(ids=tuple(named[start : start + ROWS_AT_ONCE]))
            for batch in self.store.rows(where, ("id",)):
                known.update(batch.column("id").to_pylist())
        return known

    def require_model(self, model: str | Path) -> None:
        """Raise `InputError` unless the gallery holds embeddings of this run."""
        self._require_model(fingerprint(load_run(model)), str(model))

    def _require_model(self, fingerprint: str, source: str) -> None:
        if fingerprint != self.facts.fingerprint:
            raise InputError(
                f"{source} has fingerprint {fingerprint or 'none'}, but this gallery holds embeddings of "
                f"{self.facts.model} with fingerprint {self.facts.fingerprint}; embed with that model, or make another "
                "gallery"
            )


def find(source: Path, camera: str = "", time: str = "") -> list[Crop] | None:
    """The crops of a source, with camera and time where its manifest tells none; None for a `.parquet` file."""
    if source.suffix == ".parquet":
        if camera or time:
            raise InputError(f"{source} says itself where and when its crops were taken; leave out --camera and --time")
        return None
    return [replace(crop, camera=crop.camera or camera, time=crop.time or time) for crop in find_crops(source)]
