"""The z-buffer against numbers worked by hand and a slow reference."""

import numpy as np
import pytest

pytest.importorskip("warp", reason="not installed: pip install 'vireid[synth]'")

from vireid.synth import raster
from vireid.synth.raster import EMPTY, Frame

SQUARE = np.array([[-1.0, 0, -1], [1, 0, -1], [1, 0, 1], [-1, 0, 1]])
TWO = np.array([[0, 1, 2], [0, 2, 3]])


def shape(vertices, faces):
    return raster.upload(vertices, np.zeros_like(vertices), faces, np.zeros((len(vertices), 15)), faces[:, 0], "cpu")


def seen(vertices, faces, window, frame, perspective=True):
    stood = raster.stand(shape(vertices, faces), 0.0, np.zeros(3))
    plane = raster.project(stood, frame, perspective=perspective)
    buffer = raster.blank(window.height, window.width, "cpu")
    raster.draw(plane, stood.shape.faces, 0, window, buffer, perspective=perspective)
    return buffer.numpy().reshape(window.height, window.width)


def depths(keys):
    return np.where(keys == EMPTY, np.inf, (keys >> np.uint64(32)).astype(float) * 1e-5)


def test_a_square_of_two_metres_four_metres_away_fills_half_the_picture():
    # It spans -0.25 to 0.25 at unit distance; the picture spans -0.5 to 0.5 in eight samples.
    frame = Frame.looking(np.array([0, -4.0, 0]), np.zeros(3))
    keys = seen(SQUARE, TWO, raster.window(-0.5, -0.5, 1.0, 1.0, 8, 8), frame)
    wanted = np.zeros((8, 8), bool)
    wanted[2:6, 2:6] = True
    np.testing.assert_array_equal(keys != EMPTY, wanted)
    np.testing.assert_allclose(depths(keys)[wanted], 4, atol=1e-3)
    # The first triangle is the lower right one.
    assert keys[5, 5] & np.uint64(0xFFFFFFFF) == 0
    assert keys[2, 2] & np.uint64(0xFFFFFFFF) == 1


def test_the_nearest_triangle_wins_whatever_the_order():
    frame = Frame.looking(np.array([0, -4.0, 0]), np.zeros(3))
    window = raster.window(-0.2, -0.2, 0.4, 0.4, 4, 4)
    vertices = np.concatenate([SQUARE, SQUARE + np.array([0, 1.0, 0])])
    near_first = seen(vertices, np.concatenate([TWO, TWO + 4]), window, frame)
    far_first = seen(vertices, np.concatenate([TWO + 4, TWO]), window, frame)
    np.testing.assert_allclose(depths(near_first), 4, atol=1e-3)
    np.testing.assert_array_equal(depths(near_first), depths(far_first))
    assert (near_first & np.uint64(0xFFFFFFFF) < 2).all()
    assert (far_first & np.uint64(0xFFFFFFFF) >= 2).all()


def test_depth_of_a_slanted_triangle_is_that_of_the_plane():
    rng = np.random.default_rng(0)
    vertices = np.array([[-3.0, 2, -3], [3, 3, -3], [0, 7, 4]])
    frame = Frame.looking(np.array([0, -4.0, 1.0]), np.zeros(3))
    keys = seen(vertices, np.array([[0, 1, 2]]), raster.window(-0.3, -0.3, 0.6, 0.6, 16, 16), frame)
    normal = np.cross(vertices[1] - vertices[0], vertices[2] - vertices[0])
    for row, column in rng.integers(0, 16, (20, 2)):
        x, y = -0.3 + (column + 0.5) * 0.6 / 16, -0.3 + (row + 0.5) * 0.6 / 16
        ray = frame.forward + x * frame.right - y * frame.up
        depth = normal @ (vertices[0] - frame.origin) / (normal @ ray)  # the ray has depth 1
        if keys[row, column] != EMPTY:
            assert depths(keys)[row, column] == pytest.approx(depth, abs=1e-3)
    assert (keys != EMPTY).mean() > 0.3


def test_what_reaches_behind_the_camera_is_left_out():
    frame = Frame.looking(np.zeros(3), np.array([0, 1.0, 0]))
    around = np.array([[-1.0, -2, -1], [1, -2, -1], [0, 3, 1]])
    keys = seen(around, np.array([[0, 1, 2]]), raster.window(-1, -1, 2, 2, 8, 8), frame)
    assert (keys == EMPTY).all()


def test_along_a_direction_depth_may_be_negative():
    frame = Frame.looking(np.zeros(3), np.array([0, 1.0, 0]))
    window = raster.window(-2, -2, 4, 4, 8, 8)
    keys = seen(SQUARE - np.array([0, 3.0, 0]), TWO, window, frame, perspective=False)
    wanted = np.zeros((8, 8), bool)
    wanted[2:6, 2:6] = True
    np.testing.assert_array_equal(keys != EMPTY, wanted)
    np.testing.assert_allclose(depths(keys)[wanted] - 100, -3, atol=1e-3)


def test_standing_turns_about_the_vertical_and_moves():
    stood = raster.stand(shape(np.array([[0.0, -1, 2]] * 3), np.array([[0, 1, 2]])), np.pi / 2, np.array([5.0, 6, 0]))
    np.testing.assert_allclose(stood.world.numpy()[0], [6, 6, 2], atol=1e-6)
