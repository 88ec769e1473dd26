import numpy as np
import pytest
import torch

from vireid.sample import Modality
from vireid.search.heat import COLUMNS, ROWS, similarity_map


class Corner:
    """An embedding that sees one pixel: its brightness, and what is missing to length 1."""

    def __init__(self, row, column):
        self.row, self.column, self.asked = row, column, []

    def embed_pixels(self, pixels, modalities):
        self.asked.append((pixels.shape, set(modalities.tolist())))
        share = pixels[:, 0, self.row, self.column].double().numpy() / 255
        return np.stack([share, np.sqrt(1 - share**2)], 1).astype(np.float32)


def test_only_covers_of_the_pixel_that_counts_lose_similarity():
    pixels = torch.zeros(3, 24, 12, dtype=torch.uint8)  # cells of 2x2, covers of 4x4
    pixels[:, 0, 0] = 255
    embedder = Corner(0, 0)
    lost = similarity_map(embedder, pixels, Modality.INFRARED, np.array([1, 0], np.float32))
    assert lost.shape == (ROWS, COLUMNS) == (12, 6)
    # Covered by the mean, 255 / 288, which is stored as 1: the similarity falls from 1 to 1 / 255.
    assert lost[0, 0] == pytest.approx(254 / 255, abs=1e-6)
    assert np.count_nonzero(lost) == 1
    assert embedder.asked == [((73, 3, 24, 12), {int(Modality.INFRARED)})]


def test_covers_overlap_by_half():
    pixels = torch.zeros(3, 24, 12, dtype=torch.uint8)
    pixels[:, 4, 5] = 255
    lost = similarity_map(Corner(4, 5), pixels, Modality.VISIBLE, np.array([1, 0], np.float32))
    # Covers 1 to 5 of row 1 and 3 to 7 of row 2 hide pixel 4; 3 to 7 of column 2 and 5 to 9 of column 3 hide pixel 5.
    assert {tuple(cell) for cell in np.argwhere(lost).tolist()} == {(1, 2), (1, 3), (2, 2), (2, 3)}


def test_what_speaks_against_the_query_is_below_zero():
    pixels = torch.zeros(3, 24, 12, dtype=torch.uint8)
    pixels[:, 0, 0] = 255
    lost = similarity_map(Corner(0, 0), pixels, Modality.VISIBLE, np.array([-1, 0], np.float32))
    assert lost.min() == pytest.approx(-254 / 255, abs=1e-6) and lost.max() == 0


@pytest.mark.parametrize("size", [(16, 8), (5, 3), (131, 67)])
def test_pictures_of_any_size_are_covered_wholly(size):
    pixels = torch.full((3, *size), 255, dtype=torch.uint8)
    pixels[:, ::2] = 0
    for corner in ((0, 0), (size[0] - 1, size[1] - 1)):
        lost = similarity_map(Corner(*corner), pixels, Modality.VISIBLE, np.array([1, 0], np.float32))
        assert np.count_nonzero(lost) >= 1
