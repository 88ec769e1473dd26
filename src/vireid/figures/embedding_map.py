"""A map of embeddings: which people lie near each other, and whether the two kinds of light mix.

Shapes: N images, D embedding size.
"""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from vireid.errors import InputError
from vireid.figures.style import COLOURS, new_figure, styled
from vireid.sample import Modality

LEAST = 6  # images that t-SNE is given
SAME = 1e-6  # scikit-learn crashes on points that do not differ
MARKERS = {Modality.VISIBLE: "o", Modality.INFRARED: "^"}
TITLE_WIDTH = 70
NAME_WIDTH = 46


@dataclass(frozen=True, eq=False)
class Places:
    """Where N images lie on a map: `xy (N, 2)`, without unit; whose they are, `pids (N,)`, and `modalities (N,)`."""

    xy: npt.NDArray[np.float32]
    pids: npt.NDArray[np.int64]
    modalities: npt.NDArray[np.int64]


def tsne(embeddings: npt.NDArray[np.float32], *, seed: int) -> npt.NDArray[np.float32]:
    """Places `(N, 2)` of embeddings `(N, D)` by t-SNE on cosine distances, the same for the same seed.

    Source: van der Maaten and Hinton, Visualizing Data using t-SNE, JMLR 2008; computed by scikit-learn. Near stays
    near; sizes of groups and distances between them mean nothing.

    Raises:
        InputError: too few images, or scikit-learn is missing.
    """
    if len(embeddings) < LEAST:
        raise InputError(f"map: {len(embeddings)} images are too few for t-SNE; expected {LEAST} or more")
    if np.ptp(embeddings, axis=0).max() < SAME:
        raise InputError("map: all embeddings are the same, so there is no map of them; the model has collapsed")
    try:
        from sklearn.manifold import TSNE
    except ImportError:
        raise InputError("a map needs scikit-learn: pip install 'vireid[figures]'") from None
    perplexity = min(30.0, (len(embeddings) - 1) / 3)
    places = TSNE(perplexity=perplexity, metric="cosine", init="pca", random_state=seed).fit_transform(embeddings)
    return np.asarray(places, np.float32)


@styled
def map_chart(panels: Mapping[str, Places], *, title: str) -> Figure:
    """A panel for each model (by name): a dot for each image, the person's number in the middle of its images."""
    figure = new_figure(title, 4.4 * len(panels), 4.9)
    figure.suptitle(textwrap.fill(title, TITLE_WIDTH * len(panels)), fontsize="medium")
    for axes, (name, places) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        _draw(axes, places)
        axes.set_title(textwrap.fill(name, NAME_WIDTH))
    marks = [
        Line2D([], [], linestyle="none", marker=marker, color="grey", label=modality.name.lower(), **_fill(modality))
        for modality, marker in MARKERS.items()
    ]
    figure.legend(handles=marks, loc="outside lower center", ncols=2)
    return figure


def _draw(axes: Axes, places: Places) -> None:
    people: Sequence[int] = sorted(set(places.pids.tolist()))
    for number, pid in enumerate(people):
        colour = COLOURS[number % len(COLOURS)]
        for modality, marker in MARKERS.items():
            rows = (places.pids == pid) & (places.modalities == modality)
            style: dict[str, Any] = {"color": colour, "markersize": 5, "alpha": 0.8, **_fill(modality)}
            axes.plot(*places.xy[rows].T, linestyle="none", marker=marker, **style)
        middle = np.median(places.xy[places.pids == pid], axis=0)
        halo = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": colour, "alpha": 0.8}
        axes.text(middle[0], middle[1], str(pid), fontsize=7, ha="center", va="center", bbox=halo)
    axes.set(xticks=[], yticks=[], xlabel="t-SNE, first axis (no unit)", ylabel="second axis (no unit)", aspect="equal")
    axes.set_adjustable("datalim")


def _fill(modality: Modality) -> dict[str, Any]:
    return {"markerfacecolor": "none"} if modality is Modality.INFRARED else {}
