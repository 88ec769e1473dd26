"""Rank sheets: a query beside the gallery images found for it, right ones and wrong ones marked.

Shapes: Q queries, G gallery images.
"""

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vireid.errors import InputError
from vireid.sample import Sample

MIME = {".jpg": "jpeg", ".jpeg": "jpeg", ".png": "png", ".bmp": "bmp"}

STYLE = """
.sheet { display: grid; gap: 6px; margin: 0 0 10px; grid-auto-flow: column; justify-content: start;
  overflow-x: auto; padding-bottom: 4px; }
.sheet figure { margin: 0; text-align: center; font-size: 11px; color: #555; }
.sheet img { display: block; width: 64px; height: 128px; object-fit: contain; background: #eee;
  border: 4px solid; border-radius: 3px; }
.sheet .query { margin-right: 14px; }
.sheet .query img { border-color: #444; }
.sheet .right img { border-color: #18864b; }
.sheet .wrong img { border-color: #c2331f; border-style: dashed; }
"""


@dataclass(frozen=True)
class RankRow:
    """A query and its first gallery images, nearest first, with similarity scores."""

    query: Sample
    found: Sequence[Sample]
    scores: Sequence[float]


def rank_rows(
    distances: np.ndarray, ignore: np.ndarray | None, query: Sequence[Sample], gallery: Sequence[Sample], k: int = 10
) -> list[RankRow]:
    """The first `k` gallery images of every query.

    Args:
        distances: `(Q, G)`, smaller is nearer; the score shown is 1 - distance.
        ignore: `(Q, G)` true where the protocol leaves a gallery image out, or None.
        query: the Q query samples.
        gallery: the G gallery samples.
        k: images a row.
    """
    if not gallery:
        raise InputError("rank sheet: the gallery is empty; give at least one gallery image")
    masked = distances if ignore is None else np.where(ignore, np.inf, distances)
    order = np.argsort(masked, axis=1, kind="stable")[:, :k]
    rows = []
    for number, sample in enumerate(query):
        kept = [index for index in order[number] if np.isfinite(masked[number, index])]
        rows.append(RankRow(sample, [gallery[i] for i in kept], [1 - float(distances[number, i]) for i in kept]))
    return rows


def rank_sheet(rows: Sequence[RankRow]) -> str:
    """HTML of the rows: query first, a solid green border for the right person, a dashed red one for another."""
    return "\n".join(f'<div class="sheet">{_row(row)}</div>' for row in rows)


def _row(row: RankRow) -> str:
    cells = [_figure(row.query, "query", f"query, person {row.query.pid}")]
    for sample, score in zip(row.found, row.scores, strict=True):
        right = sample.pid == row.query.pid
        cells.append(_figure(sample, "right" if right else "wrong", f"{'✓' if right else '✗'} {score:.2f}"))
    return "".join(cells)


def _figure(sample: Sample, kind: str, caption: str) -> str:
    caption = html.escape(caption)
    modality = sample.modality.name.lower()
    alt = html.escape(f"{kind}, {modality}, person {sample.pid}, camera {sample.camid}")
    image = f'<img src="{_inline(sample.path)}" alt="{alt}">'
    return f'<figure class="{kind}">{image}<figcaption>{caption}</figcaption></figure>'


def _inline(path: Path) -> str:
    kind = MIME.get(path.suffix.lower())
    if kind is None:
        raise InputError(f"rank sheet: cannot show {path}; expected one of {', '.join(MIME)}")
    return f"data:image/{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"
