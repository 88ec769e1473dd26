"""Cloth, skin and garments in three spectra."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

pytest.importorskip("warp", reason="not installed: pip install 'vireid[synth]'")

from vireid.synth import body as b
from vireid.synth.garment import Part, bottom_mask, top_mask
from vireid.synth.identity import Fabric, draw_identity
from vireid.synth.spectra import Surface, materials, print_share, sense_nir, sense_thermal, sense_visible

WHITE, BLACK = np.ones(3), np.zeros(3)
PATTERNS = ("hstripe", "vstripe", "check", "block", "logo")


def cloth(pattern, print_nir):
    return Fabric(WHITE, BLACK, 0.6, print_nir, pattern, 14.0, 0.5, 0.1, 7)


def put(fabric):
    """The fabric on a grid of points over the chest."""
    x, z = np.meshgrid(np.linspace(-0.2, 0.2, 40), np.linspace(0.0, 0.5, 50))
    a = np.zeros((x.size, b.COLUMNS), np.float32)
    a[:, b.X], a[:, b.Y], a[:, b.Z] = x.ravel(), -0.1, z.ravel()
    surface = Surface.empty(len(a))
    surface.put_cloth(np.ones(len(a), bool), fabric, a, 0.8)
    return surface


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_dyed_print_vanishes_in_the_near_infrared(pattern):
    surface = put(cloth(pattern, 0.6))
    assert surface.albedo.std() > 0.1
    np.testing.assert_allclose(surface.nir, 0.6, atol=1e-6)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pigment_print_stays_in_the_near_infrared(pattern):
    surface = put(cloth(pattern, 0.2))
    np.testing.assert_allclose(surface.nir, 0.2 + 0.4 * surface.albedo[:, 0], atol=1e-6)
    assert np.ptp(surface.nir) > 0.15


@pytest.mark.parametrize("pattern", PATTERNS)
def test_prints_vanish_in_the_thermal_band(pattern):
    np.testing.assert_array_equal(put(cloth(pattern, 0.2)).warmth, put(cloth("plain", 0.2)).warmth)


def test_print_shares_by_hand():
    points = np.array([[0, 0, 0.2], [0, 0, 0.3]], np.float32)
    np.testing.assert_array_equal(print_share(cloth("block", 0.6), points), [0, 1])  # above 0.1 + 0.009 * 14
    points = np.array([[0, 0, np.pi / 2 / 84], [0, 0, -np.pi / 2 / 84]], np.float32)
    np.testing.assert_array_equal(print_share(cloth("hstripe", 0.6), points), [1, 0])
    np.testing.assert_array_equal(print_share(cloth("plain", 0.6), points), [0, 0])


def test_bare_skin_is_warmer_than_a_coat(attributes):
    person = draw_identity(np.random.default_rng(1), 2)
    body = np.full(len(attributes), int(Part.BODY))
    upper_arm = (attributes[:, b.IN_ARM] > 0.9) & (attributes[:, b.ARM] > 0.3) & (attributes[:, b.ARM] < 0.9)
    bare = replace(person, top=replace(person.top, kind="tank", sleeve=0.0, is_open=False))
    coat = replace(person, top=replace(person.top, kind="coat", sleeve=1.97, is_open=False))
    skin = materials(bare, attributes, body).warmth[upper_arm]
    cloth = materials(coat, attributes, body).warmth[upper_arm]
    assert skin.mean() > cloth.mean() + 0.2
    hanging = materials(coat, attributes, np.full(len(attributes), int(Part.COAT))).warmth
    assert skin.mean() > hanging.mean() + 0.2


def test_longer_garments_cover_more(attributes):
    sleeves = [top_mask(attributes, sleeve, 0.0) for sleeve in (0.0, 0.5, 1.0, 1.97)]
    hems = [top_mask(attributes, 1.0, hem) for hem in (0.3, 0.1, 0.0, -0.1)]
    legs = [bottom_mask(attributes, leg) for leg in (0.3, 0.9, 1.4, 1.95)]
    for masks in (sleeves, hems, legs):
        for shorter, longer in pairwise(masks):
            assert not (shorter & ~longer).any()
            assert longer.sum() > shorter.sum()


def test_sleeves_end_where_they_should(attributes):
    arm = attributes[:, b.IN_ARM] > 0.9
    covered = top_mask(attributes, 1.0, 0.0)
    assert covered[arm & (attributes[:, b.ARM] < 0.95)].all()
    assert not covered[arm & (attributes[:, b.ARM] > 1.05)].any()
    assert not top_mask(attributes, 1.97, 0.0)[attributes[:, b.IN_HEAD] > 0.9].any()


def test_sensors_keep_shape_and_range():
    rng = np.random.default_rng(0)
    light = rng.uniform(0, 3, (32, 16, 3))
    for image, channels in (
        (sense_visible(light, 0.5, 0.01, rng), 3),
        (sense_nir(light[:, :, :1], 1.0, 0.5, 0.01, rng), 1),
        (sense_thermal(light[:, :, :1] * 10, rng), 1),
    ):
        assert image.shape == (32, 16, channels)
        assert image.min() >= 0
        assert image.max() <= 1
