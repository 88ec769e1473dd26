"""Where in a picture a similarity comes from: cover one part after another and see what is lost.

Method: occlusion maps, section 4.2 of Zeiler and Fergus, Visualizing and Understanding Convolutional Networks, ECCV
2014. It asks the model for nothing but embeddings, so it holds for every method and for exported models.

Shapes: H and W height and width in pixels, D embedding size, R and C rows and columns of cells.
"""

import numpy as np
import numpy.typing as npt
from torch import Tensor

from vireid.embedder import Embedder
from vireid.sample import Modality

ROWS, COLUMNS = 12, 6
REACH = 1.0  # cells from the middle of a cell to the edges of what is covered: covers overlap, the map is smoother


def similarity_map(
    embedder: Embedder, pixels: Tensor, modality: Modality, query: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """How much lower the cosine similarity to a query is when a part of the picture is covered.

    Args:
        embedder: the model.
        pixels: `(3, H, W)` uint8, of the embedder's size.
        modality: of the picture.
        query: `(D,)`, of length 1.

    Returns:
        `(R, C)` cells from top left to bottom right, -2 to 2; above 0 where the picture speaks for the query.
    """
    height, width = pixels.shape[1:]
    views = pixels.repeat(ROWS * COLUMNS + 1, 1, 1, 1)  # the last one stays as it is
    mean = pixels.float().mean((1, 2)).round().to(pixels.dtype)[:, None, None]
    for row in range(ROWS):
        for column in range(COLUMNS):
            across, down = _covered(row, ROWS, height), _covered(column, COLUMNS, width)
            views[row * COLUMNS + column, :, across, down] = mean
    scores = embedder.embed_pixels(views, np.full(len(views), int(modality), np.int64)) @ query
    lost: npt.NDArray[np.float32] = (scores[-1] - scores[:-1]).reshape(ROWS, COLUMNS)
    return lost


def _covered(cell: int, cells: int, size: int) -> slice:
    """The pixels that a cover hides along one side."""
    step = size / cells
    first, last = (cell + 0.5 - REACH) * step, (cell + 0.5 + REACH) * step
    return slice(max(0, round(first)), max(round(last), round(first) + 1))
