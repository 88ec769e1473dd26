"""Cloth in near infrared: the fibre shows through most dyes, and only what is dark to the eye can be dark there."""

import numpy as np
import pytest

from vireid.synth import fabrics

BLACK, WHITE = np.full(3, 0.04), np.full(3, 0.7)


def drawn(material, color, count=2000):
    rng = np.random.default_rng(0)
    return np.array([fabrics.draw_nir(rng, material, color) for _ in range(count)])


@pytest.mark.parametrize("material", fabrics.CLEAR_NIR)
def test_a_light_piece_has_the_reflectance_of_its_material(material):
    low, high = fabrics.CLEAR_NIR[material]
    found = drawn(material, WHITE)
    assert low <= found.min() < low + 0.01 and high - 0.01 < found.max() <= high


@pytest.mark.parametrize("material", fabrics.CLEAR_NIR)
def test_of_the_dark_pieces_a_share_stays_dark(material):
    found = drawn(material, BLACK)
    dark = found <= fabrics.DARK_NIR[1]
    share = fabrics.DARK_SHARE[material]
    assert dark.mean() == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / len(found)))
    assert found[~dark].min() >= fabrics.CLEAR_NIR[material][0] * (1 - fabrics.DYE_TAKES)


def test_a_dye_takes_less_the_lighter_it_is():
    assert drawn("cotton", BLACK)[drawn("cotton", BLACK) > 0.2].mean() < drawn("cotton", WHITE).mean()
    np.testing.assert_array_equal(drawn("cotton", np.full(3, fabrics.DYE_LIGHT)), drawn("cotton", WHITE))


def test_every_fibre_has_all_constants_and_is_drawn():
    rng = np.random.default_rng(0)
    for fibre in set(fabrics.CLEAR_NIR) - {"rubber"}:
        cloth = fabrics.draw_fabric(rng, {fibre: 1.0})
        assert cloth.fibre == fibre and 0 < cloth.nir < 1 and 0 < cloth.print_nir < 1
    assert set(fabrics.DARK_SHARE) == set(fabrics.CLEAR_NIR) == set(fabrics.INSULATION) | {"rubber"}


def test_grey_has_its_own_luminance():
    assert np.full(3, 0.4) @ fabrics.LUMINANCE == pytest.approx(0.4)
