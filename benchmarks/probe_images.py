"""What the probes of SynthVI and of its transfer look at: the person, the outline or the scene alone.

A masked part is a folder of `vireid synth --masks`: `manifest.csv`, `dataset.json`, `images/` and, for each image, its
silhouette `masks/<path of the image>.png`. Shapes: N images, H and W height and width in pixels.
"""

import csv
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from scipy.ndimage import binary_dilation, distance_transform_edt
from tqdm import tqdm

from vireid.data.augment import normalize
from vireid.data.cache import DecodedImages
from vireid.data.synthvi import mask_path
from vireid.embedder import Run, build_method
from vireid.errors import InputError
from vireid.models.foreground import person_share
from vireid.models.precision import resolve_device
from vireid.sample import Sample

HEIGHT, WIDTH = 128, 64  # as the default model sees them
DILATION = 2  # pixels of HEIGHT x WIDTH around the person that count as the person: blur and compression spread it
KEPT = 0.15  # share of the image that `background` leaves, the same pixels in every image
BATCH = 256
KINDS = ("background", "silhouette", "outline", "person")

Pixels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


def read(folder: Path, samples: Sequence[Sample]) -> tuple[Pixels, Mask]:
    """Images `(N, 3, H, W)` and where the person is, with a margin, `(N, H, W)`.

    Raises:
        InputError: a silhouette is missing, or a file cannot be read.
    """
    paths = [sample.path for sample in samples]
    masks = [mask_path(folder, path) for path in paths]
    absent = next((path for path in masks if not path.is_file()), None)
    if absent is not None:
        raise InputError(f"{absent} does not exist; the probes need silhouettes: render with `vireid synth --masks`")
    images, shapes = (DecodedImages.build(files, HEIGHT, WIDTH) for files in (paths, masks))
    for path, reason in (*images.unreadable, *shapes.unreadable):
        raise InputError(f"{path} cannot be read ({reason}); render the set anew")
    return np.array(images.pixels), np.stack([_widened(shape[0]) for shape in shapes.pixels])


def _widened(shape: Pixels) -> Mask:
    widened: Mask = binary_dilation(shape > 0, iterations=DILATION)
    return widened


def common_cover(masks: Mask) -> Mask:
    """The pixels `(H, W)` that people cover most often over all images; `KEPT` of the image is outside.

    The hole in a single image has the person's outline; this one is the same for everybody and tells nothing.
    """
    often = masks.mean(axis=0, dtype=np.float64)
    rank = np.argsort(np.argsort(often, axis=None, kind="stable"), axis=None).reshape(often.shape)
    cover: Mask = rank >= round(KEPT * often.size)
    return cover


def change(kind: str, image: Pixels, person: Mask, cover: Mask, found: Pixels | None = None) -> Pixels:
    """An image `(3, H, W)` as a probe sees it.

    Args:
        kind: `silhouette`, white where the person is; `person`, the image where the person is; both black elsewhere, so
            that they differ in what is inside the outline; `outline`, as bright as the person was `found`, which is the
            silhouette as far as it can be told from the image; `background`, all of `cover` filled with the mean of the
            scene outside, and limbs beyond it with the nearest pixel of the scene. No colour of the person remains, of
            the outline little: streaks where a limb reached beyond the cover, and shadows on the ground.
        image: the image.
        person: `(H, W)`.
        cover: `(H, W)` of `common_cover`.
        found: `(H, W)`, how sure a network is of the person, 0 to 255; for `outline` only.
    """
    if kind == "silhouette":
        return np.repeat(person[None] * np.uint8(255), 3, axis=0)
    if kind == "outline":
        assert found is not None, "an outline is found by a network"
        return np.repeat(found[None], 3, axis=0)
    if kind == "person":
        return np.where(person, image, np.uint8(0))
    scene = ~cover & ~person
    color = np.full(3, 128.0)
    if scene.any():
        nearest = distance_transform_edt(~scene, return_distances=False, return_indices=True)
        image, color = image[:, nearest[0], nearest[1]], image[:, scene].mean(1)
    return np.where(cover, np.round(color).astype(np.uint8)[:, None, None], image)


def outlines(reference: Run, images: npt.NDArray[np.uint8], device: str) -> npt.NDArray[np.uint8]:
    """How sure the default model is that a pixel shows the person, `(N, H, W)`, 0 to 255, in images `(N, 3, H, W)`."""
    method: Any = build_method(reference)
    place = resolve_device(device)
    network = method.foreground.to(place).eval()
    result = []
    with torch.inference_mode():
        for start in tqdm(range(0, len(images), BATCH), "outlines", leave=False):
            part = normalize(torch.from_numpy(images[start : start + BATCH]).to(place))
            share = person_share(network(part), part.shape[2:])
            result.append((share[:, 0] * 255).round().to(torch.uint8).cpu().numpy())
    return np.concatenate(result)


def write(folder: Path, source: Path, samples: Sequence[Sample], images: Pixels) -> None:
    """A part as `source` with other pixels: `manifest.csv`, `dataset.json` and lossless images."""
    folder.mkdir(parents=True)
    shutil.copy(source / "dataset.json", folder)
    columns = ("path", "pid", "modality", "camid", "split", "track", "time")
    with (folder / "manifest.csv").open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(columns)
        for sample, image in zip(samples, images, strict=True):
            path = sample.path.relative_to(source).with_suffix(".png")
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image.transpose(1, 2, 0)).save(folder / path)
            about = (sample.pid, sample.modality.name.lower(), sample.camid, sample.split, sample.track, sample.time)
            rows.writerow([path.as_posix(), *about])


def histograms(images: Pixels, where: Mask, bins: int = 16) -> npt.NDArray[np.float32]:
    """Roots of the shares of each channel's levels, `(N, 3 bins)` of length 1; cosines are Bhattacharyya coefficients.

    Only the pixels `where` `(N, H, W)` count.
    """
    levels = (torch.from_numpy(images).long() * bins) // 256
    weights = torch.from_numpy(where).float()[:, None].expand(-1, 3, -1, -1)
    counts = torch.zeros(len(images), 3, bins).scatter_add_(2, levels.flatten(2), weights.flatten(2))
    shares: npt.NDArray[np.float32] = (counts / counts.sum(2, keepdim=True).clamp_min(1) / 3).sqrt().flatten(1).numpy()
    return shares
