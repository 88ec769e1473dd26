"""Regions of the body as the kernels see them against those the garments are made by."""

import numpy as np
import pytest

pytest.importorskip("warp", reason="not installed: pip install 'vireid[synth]'")

import warp as wp

from vireid.synth import body as b
from vireid.synth import raster
from vireid.synth.fit import Part
from vireid.synth.garment import beard_mask, dress, hair_mask, top_mask
from vireid.synth.poses import Posture
from vireid.synth.shot import Performer, _actor
from vireid.synth.spectra import wardrobe
from vireid.synth.surface import (
    HEAD_X,
    HEAD_Y,
    HEAD_Z,
    Actor,
    in_beard,
    in_brows,
    in_eyes,
    in_glasses,
    in_hair,
    in_lips,
    in_top,
    mixed,
)

FIRST = wp.constant(wp.vec3(1.0, 0.0, 0.0))


@wp.kernel
def _regions(actor: Actor, out: wp.array2d(dtype=int)) -> None:
    i = wp.tid()
    face = actor.faces[i]
    x = mixed(actor, face, FIRST, HEAD_X)
    y = mixed(actor, face, FIRST, HEAD_Y)
    z = mixed(actor, face, FIRST, HEAD_Z)
    out[i, 0] = int(in_top(actor, face, FIRST))
    out[i, 1] = int(in_hair(x, y, z))
    out[i, 2] = int(in_beard(x, y, z))
    out[i, 3] = int(in_eyes(x, y, z))
    out[i, 4] = int(in_brows(x, y, z))
    out[i, 5] = int(in_lips(x, y, z))
    out[i, 6] = int(in_glasses(x, y, z))


@pytest.mark.parametrize("number", range(4))
def test_the_kernels_regions_are_those_of_the_garments(painter, number):
    person = painter.identity(number)
    day = person.days[0]
    posed = painter._body.pose([Posture("walking", 0.3)], person.phenotype, person.changes)
    (figure,) = dress(painter._body, person, day, posed, [0])
    performer = Performer.of(figure, wardrobe(person, day), "cpu")
    stood = raster.stand(performer.shape, 0.0, np.zeros(3))
    actor = _actor(performer, stood, stood.world)
    out = wp.zeros((len(figure.faces), 7), dtype=int, device="cpu")
    wp.launch(_regions, len(figure.faces), [actor, out], device="cpu")
    on_body = figure.parts == Part.BODY
    found = out.numpy()[on_body].astype(bool)
    a = figure.attributes[figure.faces[on_body, 0]]
    wanted = (top_mask(a, day.top.sleeve, day.top.hem), hair_mask(a), beard_mask(a))
    for column, mask in enumerate(wanted):
        assert (found[:, column] != mask).mean() < 0.01
        assert mask.any()
    # Everybody has a face, in front and on the head; hair keeps off it.
    head = a[:, b.IN_HEAD] > 0.5
    for column in (3, 4, 5, 6):
        where = found[:, column] & head
        assert 20 < where.sum() < 0.35 * head.sum()
        assert (a[where, b.HEAD_Y] < 0.05).all()
        assert not (where & found[:, 1]).any()
