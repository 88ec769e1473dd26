"""What clients may do with a gallery, apart from how they ask: each call is checked, and does one thing.

Shapes: D embedding size, H and W height and width in pixels.
"""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc
from PIL import Image

from vireid.app.messages import (
    AddAnswer,
    AddOptions,
    EmbedAnswer,
    Found,
    GalleryAnswer,
    HeatAnswer,
    SearchAnswer,
    SearchOptions,
)
from vireid.app.refusal import Refused
from vireid.app.uploads import Limits, read_image
from vireid.bulk import content_id
from vireid.data.cache import decode
from vireid.data.manifest import MODALITIES
from vireid.embedder import resolve_modalities
from vireid.errors import InputError
from vireid.sample import Modality
from vireid.search.gallery import Gallery
from vireid.search.heat import similarity_map
from vireid.search.hits import Hit
from vireid.search.rows import small_jpeg
from vireid.search.where import EVERYTHING, Where, show_time

PICTURE = "/v1/gallery/{}/image"
LENGTH_OFF = 0.01  # of an embedding that was written with few digits

Vector = npt.NDArray[np.float32]


class Service:
    """A gallery with limits. Not for several threads at once where it embeds: see `vireid.app.desk`."""

    def __init__(self, gallery: Gallery, limits: Limits) -> None:
        self.gallery = gallery
        self.limits = limits

    def search_image(self, content: bytes, options: SearchOptions) -> SearchAnswer:
        """The crops most similar to an image.

        Raises:
            Refused: the image cannot be decoded, or what is asked makes no sense (413, 422).
        """
        vector, seen = self._embedded(content, options.modality)
        return _answer(self._search(vector, seen, options), seen)

    def search_embedding(self, numbers: Sequence[float], options: SearchOptions) -> SearchAnswer:
        """The crops most similar to an embedding `(D,)`; raises `Refused` (422)."""
        seen = None if options.modality == "auto" else MODALITIES[options.modality]
        return _answer(self._search(self._vector(numbers), seen, options), seen)

    def search_crop(self, crop_id: str, options: SearchOptions) -> SearchAnswer:
        """The crops most similar to one of the gallery, without itself; raises `Refused` (404, 422)."""
        vector, seen = self._kept(crop_id)
        found = self._search(vector, seen, options.model_copy(update={"k": options.k + 1}))
        return _answer([hit for hit in found if hit.id != crop_id][: options.k], seen)

    def heat(self, crop_id: str, *, embedding: Sequence[float] | None, query_id: str | None) -> HeatAnswer:
        """Where in a crop, its small picture if one is kept, the similarity to an embedding or another crop comes from.

        Raises:
            Refused: a crop or its picture is not there, or the embedding is none of this model (404, 422).
        """
        query = self._kept(query_id or "")[0] if embedding is None else self._vector(embedding)
        modality, embedder = self._kept(crop_id)[1], self.gallery.embedder
        kept = self.gallery.thumbnail(crop_id)
        image = self._file(crop_id) if kept is None else read_image(kept, self.limits.pixels)
        lost = similarity_map(embedder, decode(image, embedder.height, embedder.width), modality, query)
        return HeatAnswer(cells=lost.round(5).tolist())

    def embed(self, content: bytes, modality: str) -> EmbedAnswer:
        """The embedding of an image; raises `Refused` (413, 422)."""
        vector, seen = self._embedded(content, modality)
        return EmbedAnswer(embedding=vector.tolist(), modality=_told(seen), model=self.gallery.facts.fingerprint)

    def add(self, contents: Sequence[bytes], options: AddOptions) -> AddAnswer:
        """Add images, all or, if one of them cannot be decoded, none; small pictures of them are kept.

        Raises:
            Refused: one cannot be decoded (413, 422).
        """
        names = [content_id(content) for content in contents]
        added = self.gallery.add_images(
            map(partial(read_image, pixels=self.limits.pixels), contents),  # one at a time is in memory
            names,
            modality=options.modality,
            camera=options.camera,
            time="" if options.time is None else show_time(options.time),
            track=options.track,
            pid=options.pid,
        )
        return AddAnswer(ids=names, added=added.new, known=added.known)

    def remove(self, crop_id: str) -> int:
        """Remove a crop; raises `Refused` if it is not there (404)."""
        removed = self.gallery.remove(Where(ids=(crop_id,)))
        if not removed:
            raise _gone()
        return removed

    def describe(self) -> GalleryAnswer:
        """What the gallery holds."""
        cameras: Counter[str] = Counter()
        times: list[float] = []
        for batch in self.gallery.store.rows(EVERYTHING, ("camera", "time")):
            for each in pc.value_counts(batch.column("camera")).to_pylist():
                cameras[each["values"]] += each["counts"]
            times += [each for each in pc.min_max(batch.column("time")).as_py().values() if each is not None]
        return GalleryAnswer(
            count=cameras.total(),
            model=self.gallery.facts.fingerprint,
            dimensions=self.gallery.facts.dimensions,
            cameras=dict(sorted(cameras.items())),
            first=show_time(min(times)) if times else None,
            last=show_time(max(times)) if times else None,
            rates=self._rates(),
            image_bytes=self.limits.image_bytes,
        )

    def picture(self, crop_id: str) -> bytes:
        """A small JPEG of a crop: the one that is kept, or made from the file that the gallery names.

        Raises:
            Refused: there is neither (404).
        """
        kept = self.gallery.thumbnail(crop_id)
        return small_jpeg(Image.fromarray(self._file(crop_id))) if kept is None else kept

    def _file(self, crop_id: str) -> npt.NDArray[np.uint8]:
        """The image that the gallery names; raises `Refused` (404)."""
        row = next(self.gallery.crops(Where(ids=(crop_id,)), 1), None)
        if row is None:
            raise _gone()
        try:
            path = Path(row.path)
            # A pipe or a device would be read for ever.
            if row.path and path.is_file() and path.stat().st_size <= self.limits.body_bytes:
                return read_image(path.read_bytes(), self.limits.pixels)
        except (OSError, ValueError, Refused):
            pass
        raise Refused(404, "of this crop no picture is kept, and its file is gone or cannot be shown")

    def _kept(self, crop_id: str) -> tuple[Vector, Modality]:
        """What the gallery keeps of a crop; raises `Refused` (404)."""
        for batch in self.gallery.store.rows(Where(ids=(crop_id,)), ("embedding", "modality")):
            for row in batch.to_pylist():
                return np.asarray(row["embedding"], np.float32), MODALITIES[row["modality"]]
        raise _gone()

    def _vector(self, numbers: Sequence[float]) -> Vector:
        """An embedding as it was sent; raises `Refused` (422)."""
        wide = np.asarray(numbers, np.float64)
        small = bool(np.all(np.abs(wide) < 2))  # and a number each; the length of larger ones may overflow
        if len(wide) != self.gallery.facts.dimensions or not small or abs(np.linalg.norm(wide) - 1) > LENGTH_OFF:
            raise Refused(422, f"embedding: expected {self.gallery.facts.dimensions} numbers, together of length 1")
        return wide.astype(np.float32)

    def _embedded(self, content: bytes, modality: str) -> tuple[Vector, Modality]:
        embedder = self.gallery.embedder
        pixels = decode(read_image(content, self.limits.pixels), embedder.height, embedder.width)[None]
        modalities = resolve_modalities(modality, pixels)
        return embedder.embed_pixels(pixels, modalities)[0], Modality(modalities[0])

    def _search(self, vector: Vector, seen: Modality | None, options: SearchOptions) -> list[Found]:
        where = options.where()
        if options.fmr is not None:
            self._require_rate(options.fmr, seen)
        modality: Any = "auto" if seen is None else seen
        search = partial(self.gallery.search, vector, options.k, where=where, modality=modality, rerank=options.rerank)
        try:
            hits = search(fmr=options.fmr)
        except InputError:
            if options.fmr is None:
                raise
            raise Refused(
                422, "fmr: for some of these pairs of modalities no threshold at this rate is known"
            ) from None
        return [_found(hit) for hit in hits]

    def _require_rate(self, fmr: float, seen: Modality | None) -> None:
        if self.gallery.calibrations is None:
            raise Refused(422, "fmr: the gallery's model was not calibrated, so no threshold is known; leave it out")
        if seen is None:
            raise Refused(422, "fmr: thresholds depend on the modality of the query; say modality")
        if fmr not in self._rates():
            raise Refused(422, f"fmr: expected one of {', '.join(f'{rate:g}' for rate in self._rates())}")

    def _rates(self) -> list[float]:
        """False match rates with a threshold for some pair of modalities, ascending."""
        calibrations = self.gallery.calibrations
        kinds = {} if calibrations is None else calibrations.kinds
        return sorted({each.fmr for kind in kinds.values() for each in kind.thresholds})


def _gone() -> Refused:
    return Refused(404, "no crop of the gallery has this id")


def _answer(hits: list[Found], seen: Modality | None) -> SearchAnswer:
    return SearchAnswer(hits=hits, modality=None if seen is None else _told(seen))


def _told(modality: Modality) -> Literal["visible", "infrared"]:
    return "visible" if modality is Modality.VISIBLE else "infrared"


def _found(hit: Hit) -> Found:
    """Without the path: that is the server's own affair."""
    told = hit.plain()
    del told["path"]
    return Found(**told, thumbnail=PICTURE.format(quote(hit.id, safe="")))
