"""Materials in three spectra, and what the kernels make of them."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("warp", reason="not installed: pip install 'vireid[synth]'")

import warp as wp

from vireid.synth import spectra
from vireid.synth.fabrics import Fabric
from vireid.synth.fit import Part
from vireid.synth.identity import draw_identity
from vireid.synth.spectra import EMISSIVITY, PATTERNS, R_AIR, RESISTANCE, wardrobe, warmth
from vireid.synth.surface import print_share, take

WHITE, BLACK = np.ones(3), np.zeros(3)


@wp.kernel
def _shares(table: wp.array2d(dtype=float), points: wp.array(dtype=wp.vec3), out: wp.array(dtype=float)) -> None:
    i = wp.tid()
    out[i] = print_share(table, 0, points[i])


@wp.kernel
def _heat(table: wp.array2d(dtype=float), points: wp.array(dtype=wp.vec3), out: wp.array2d(dtype=float)) -> None:
    i = wp.tid()
    m = take(table, 0, points[i])
    out[i, 0] = m.warmth
    out[i, 1] = m.dark
    out[i, 2] = m.nir
    out[i, 3] = m.color[0]


def seen(fabric, points):
    """Warmth, share of the sun that warms, near-infrared and red reflectance at points `(N, 4)`."""
    table = wp.array(spectra._cloth(fabric, 0.05)[None], dtype=float, device="cpu")
    where = wp.array(np.asarray(points, np.float32), dtype=wp.vec3, device="cpu")
    out = wp.zeros((len(points), 4), dtype=float, device="cpu")
    wp.launch(_heat, len(points), [table, where, out], device="cpu")
    return out.numpy()


def shares(fabric, points):
    table = wp.array(spectra._cloth(fabric, 0.05)[None], dtype=float, device="cpu")
    where = wp.array(np.asarray(points, np.float32), dtype=wp.vec3, device="cpu")
    out = wp.zeros(len(points), dtype=float, device="cpu")
    wp.launch(_shares, len(points), [table, where, out], device="cpu")
    return out.numpy()


def cloth(pattern, print_nir=0.6):
    return Fabric(WHITE, BLACK, 0.6, print_nir, pattern, 14.0, 0.5, 0.1, 7)


def chest():
    x, z = np.meshgrid(np.linspace(-0.2, 0.2, 40), np.linspace(0.0, 0.5, 50))
    return np.stack([x.ravel(), np.full(x.size, -0.1), z.ravel()], 1)


def test_warmth_by_hand():
    assert warmth(0) == 1
    assert warmth(R_AIR) == pytest.approx(0.5)
    assert warmth(3 * R_AIR) == pytest.approx(0.25)
    assert warmth(RESISTANCE["tee"]) > warmth(RESISTANCE["hoodie"]) > warmth(RESISTANCE["coat"])


def test_print_shares_by_hand():
    np.testing.assert_array_equal(shares(cloth("block"), [[0, 0, 0.2], [0, 0, 0.3]]), [0, 1])  # above 0.1 + 0.009 * 14
    at_crest, at_trough = [0, 0, np.pi / 2 / 84], [0, 0, -np.pi / 2 / 84]  # 6 * 14 radians a metre
    np.testing.assert_array_equal(shares(cloth("hstripe"), [at_crest, at_trough]), [1, 0])
    np.testing.assert_array_equal(shares(cloth("plain"), [at_crest, at_trough]), [0, 0])


@pytest.mark.parametrize("pattern", PATTERNS[1:])
def test_every_print_covers_some_of_the_cloth(pattern):
    share = shares(cloth(pattern), chest())
    assert 0.01 < share.mean() < 0.9
    assert share.min() == 0


@pytest.mark.parametrize("pattern", PATTERNS[1:])
def test_a_dyed_print_vanishes_in_the_near_infrared(pattern):
    _, _, nir, red = seen(cloth(pattern, 0.6), chest()).T
    assert red.std() > 0.1
    np.testing.assert_allclose(nir, 0.6, atol=1e-6)


@pytest.mark.parametrize("pattern", PATTERNS[1:])
def test_a_pigment_print_stays_in_the_near_infrared(pattern):
    _, _, nir, red = seen(cloth(pattern, 0.2), chest()).T
    np.testing.assert_allclose(nir, 0.2 + 0.4 * red, atol=1e-6)
    assert np.ptp(nir) > 0.15


@pytest.mark.parametrize("pattern", PATTERNS[1:])
def test_prints_vanish_in_the_thermal_band_in_the_sun_too(pattern):
    plain = seen(cloth("plain", 0.2), chest())
    np.testing.assert_array_equal(seen(cloth(pattern, 0.2), chest())[:, :2], plain[:, :2])


def test_skin_is_warmer_than_cloth_and_cloth_than_a_bag():
    person = draw_identity(np.random.default_rng(1), 2)
    table = wardrobe(person, person.days[0]).table[:, spectra.WARMTH]
    assert table[spectra.SKIN] == 1
    for row in (spectra.TOP, spectra.BOTTOM, Part.SKIRT, Part.COAT, Part.HAT):
        assert table[spectra.SKIN] > table[row] > table[Part.BAG]
    assert table[Part.STRAP] > table[Part.BAG]
    coat = replace(person.days[0], top=replace(person.days[0].top, kind="coat"))
    table = wardrobe(person, coat).table[:, spectra.WARMTH]
    assert table[spectra.SKIN] > max(table[spectra.TOP], table[Part.COAT]) + 0.2


def test_thicker_garments_hide_more():
    person = draw_identity(np.random.default_rng(1), 1)
    day = person.days[0]
    warm = [
        wardrobe(person, replace(day, top=replace(day.top, kind=kind))).table[spectra.TOP, spectra.WARMTH]
        for kind in ("tank", "tee", "long", "hoodie", "jacket", "coat")
    ]
    assert warm == sorted(warm, reverse=True)


def test_everybody_has_every_material():
    for seed in range(30):
        person = draw_identity(np.random.default_rng(seed), 2)
        for day in person.days:
            clothes = wardrobe(person, day)
            assert np.isfinite(clothes.table).all()
            assert clothes.table.shape == (spectra.ROWS, spectra.COLUMNS)
            for columns in (slice(0, 8), [spectra.EMITS]):
                assert clothes.table[:, columns].min() >= 0
                assert clothes.table[:, columns].max() <= 1
            assert person.bag_fabric.fibre in EMISSIVITY
