"""What a figure's surface is at a point, as Warp functions: body regions, garments, prints and folds.

The regions repeat `top_mask`, `bottom_mask`, `hair_mask` and `beard_mask` of garment.py, per sample instead of per
vertex, so that hems are as fine as the picture.
"""

import warp as wp

from vireid.synth import body as b
from vireid.synth import spectra as s
from vireid.synth.fit import Part
from vireid.synth.noise import fractal, noise_slope, value_noise

# Columns of the attributes and rows and columns of the table, as constants of the kernels.
X, Y, Z, ARM, LEG, TORSO = (wp.constant(c) for c in (b.X, b.Y, b.Z, b.ARM, b.LEG, b.TORSO))
IN_ARM, IN_LEG, IN_HEAD, IN_HAND, IN_FOOT = (
    wp.constant(c) for c in (b.IN_ARM, b.IN_LEG, b.IN_HEAD, b.IN_HAND, b.IN_FOOT)
)
HEAD_X, HEAD_Y, HEAD_Z = (wp.constant(c) for c in (b.HEAD_X, b.HEAD_Y, b.HEAD_Z))
TOP, INNER, BOTTOM, SOCK = (wp.constant(r) for r in (s.TOP, s.INNER, s.BOTTOM, s.SOCK))
TIGHTS, SOLE, SKIN = (wp.constant(r) for r in (s.TIGHTS, s.SOLE, s.SKIN))
BODY, HAIR, SHOE, BEARD, COAT = (wp.constant(int(p)) for p in (Part.BODY, Part.HAIR, Part.SHOE, Part.BEARD, Part.COAT))
COLOR, PRINT_COLOR, NIR, PRINT_NIR = (wp.constant(c) for c in (s.COLOR, s.PRINT_COLOR, s.NIR, s.PRINT_NIR))
PATTERN, FREQUENCY, WARMTH, EMITS = (wp.constant(c) for c in (s.PATTERN, s.FREQUENCY, s.WARMTH, s.EMITS))
BUMP, GLOSS, SEED = (wp.constant(c) for c in (s.BUMP, s.GLOSS, s.SEED))
LOGO_X, LOGO_Z, LOGO_W, LOGO_H = (wp.constant(c) for c in (s.LOGO_X, s.LOGO_Z, s.LOGO_W, s.LOGO_H))
# Entries of a wardrobe's cut.
SLEEVE, HEM, TROUSER, IS_OPEN, LOW_NECK, ZIP, BUTTONS = (wp.constant(k) for k in range(7))
BELT, SKIRT, HAS_HAIR, HAS_BEARD, GLASSES, UNDER = (wp.constant(k) for k in range(7, 13))
FACE_WARMTH, HAND_WARMTH = wp.constant(s.FACE_WARMTH), wp.constant(s.HAND_WARMTH)


@wp.struct
class Actor:
    """A figure that stands in the world, and what it wears."""

    world: wp.array(dtype=wp.vec3)
    normals: wp.array(dtype=wp.vec3)
    plane: wp.array(dtype=wp.vec3)
    faces: wp.array(dtype=wp.vec3i)
    attributes: wp.array2d(dtype=float)
    parts: wp.array(dtype=wp.int32)
    table: wp.array2d(dtype=float)
    cut: wp.array(dtype=float)


@wp.struct
class Material:
    """What a point is made of: see `spectra.py`.

    `retro` is how strongly it throws a lamp's light back (eyes), `dark` the share of the sun's light that warms it; of
    a cloth that of its ground, since heat spreads under a print.
    """

    color: wp.vec3
    nir: float
    warmth: float
    emits: float
    bump: float
    gloss: float
    retro: float
    dark: float


@wp.func
def mixed(actor: Actor, face: wp.vec3i, weights: wp.vec3, column: int) -> float:
    """An attribute at a point of a triangle."""
    return (
        weights[0] * actor.attributes[face[0], column]
        + weights[1] * actor.attributes[face[1], column]
        + weights[2] * actor.attributes[face[2], column]
    )


@wp.func
def print_share(table: wp.array2d(dtype=float), row: int, p: wp.vec3) -> float:
    """How much of the print's colour a point shows, 0 to 1."""
    pattern = int(table[row, PATTERN])
    frequency = table[row, FREQUENCY]
    share = float(0.0)
    if pattern == 1 and wp.sin(p[2] * frequency * 6.0) > 0.2:
        share = 1.0
    if pattern == 2 and wp.sin(p[0] * frequency * 7.0) > 0.3:
        share = 1.0
    if pattern == 3:
        if wp.sin(p[2] * frequency * 5.0) > 0.0:
            share += 0.5
        if wp.sin(p[0] * frequency * 5.0) > 0.0:
            share += 0.5
    if pattern == 4 and p[2] > 0.1 + 0.009 * frequency:
        share = 1.0
    if pattern == 5 and p[1] < 0.0:
        u = (p[0] - table[row, LOGO_X]) / table[row, LOGO_W]
        v = (p[2] - table[row, LOGO_Z]) / table[row, LOGO_H]
        if wp.max(wp.abs(u), wp.abs(v)) < 1.0:
            if value_noise(wp.vec3(u * 3.0 + 9.0, v * 3.0 + 9.0, 9.0), int(table[row, SEED])) > 0.35:
                share = 1.0
    if pattern == 6 and value_noise(p * (frequency * 1.5), int(table[row, SEED])) > 0.62:
        share = 1.0
    return share


@wp.func
def take(table: wp.array2d(dtype=float), row: int, p: wp.vec3) -> Material:
    """The material of a row at a point in the rest pose; a print is never seen in the warmth."""
    m = Material()
    share = print_share(table, row, p)
    ground = wp.vec3(table[row, COLOR], table[row, COLOR + 1], table[row, COLOR + 2])
    pattern = wp.vec3(table[row, PRINT_COLOR], table[row, PRINT_COLOR + 1], table[row, PRINT_COLOR + 2])
    m.color = wp.lerp(ground, pattern, share)
    m.nir = wp.lerp(table[row, NIR], table[row, PRINT_NIR], share)
    m.warmth = table[row, WARMTH]
    m.emits = table[row, EMITS]
    m.bump = table[row, BUMP]
    m.gloss = table[row, GLOSS]
    m.retro = 0.0
    bright = 0.2126 * ground[0] + 0.7152 * ground[1] + 0.0722 * ground[2]
    m.dark = 1.0 - 0.5 * (bright + table[row, NIR])
    return m


@wp.func
def in_top(actor: Actor, face: wp.vec3i, w: wp.vec3) -> bool:
    """Whether a point of the body lies under the upper garment; as `garment.top_mask`, but for the neck's edge."""
    if mixed(actor, face, w, IN_ARM) > 0.5:
        return mixed(actor, face, w, ARM) < actor.cut[SLEEVE]
    torso = mixed(actor, face, w, TORSO)
    return torso > actor.cut[HEM] and torso < 1.02 and mixed(actor, face, w, IN_HEAD) < 0.45


@wp.func
def in_hair(x: float, y: float, z: float) -> bool:
    """Whether hair grows on a point of the head; as `garment.hair_mask`."""
    ears = wp.abs(x) > 0.62 and z < 0.2 and y < 0.75
    return z > 0.55 - 0.95 * (y + 0.2) and z > -1.0 and not ears


@wp.func
def in_beard(x: float, y: float, z: float) -> bool:
    """Whether a beard grows on a point of the head; as `garment.beard_mask`."""
    lips = z <= -0.56 and z >= -0.72 and wp.abs(x) <= 0.2
    jaw = z < -0.42 + 0.36 * y and y < 0.6 and z > -1.25
    above = z < -0.46 and wp.abs(x) < 0.3 and y < -0.15
    return (jaw or above) and not lips


@wp.func
def in_lips(x: float, y: float, z: float) -> bool:
    """The mouth; like the regions below in the head's own units, in which the face lies at y = -0.2 to -0.3."""
    return z < -0.56 and z > -0.72 and wp.abs(x) < 0.2 and y < -0.15


@wp.func
def in_eyes(x: float, y: float, z: float) -> bool:
    """Both eyes."""
    return wp.abs(z) < 0.1 and wp.abs(wp.abs(x) - 0.28) < 0.12 and y < -0.05


@wp.func
def in_brows(x: float, y: float, z: float) -> bool:
    """Both brows."""
    return wp.abs(z - 0.24) < 0.05 and wp.abs(wp.abs(x) - 0.3) < 0.19 and y < -0.1


@wp.func
def in_glasses(x: float, y: float, z: float) -> bool:
    """Glasses, frame and all."""
    bridge = wp.abs(z - 0.05) < 0.04 and wp.abs(x) < 0.1
    return (bridge or (wp.abs(z) < 0.17 and wp.abs(wp.abs(x) - 0.28) < 0.21)) and y < 0.0


@wp.func
def head(actor: Actor, face: wp.vec3i, w: wp.vec3, m: Material) -> Material:
    """Face, eyes, brows, beard, glasses and the hair that grows on the scalp."""
    x = mixed(actor, face, w, HEAD_X)
    y = mixed(actor, face, w, HEAD_Y)
    z = mixed(actor, face, w, HEAD_Z)
    m.warmth = m.warmth * FACE_WARMTH
    beside = wp.abs(wp.abs(x) - 0.28)
    if in_lips(x, y, z):
        m.color = wp.cw_mul(m.color, wp.vec3(0.8, 0.5, 0.5))
    if actor.cut[HAS_BEARD] > 0.0 and in_beard(x, y, z):
        m = take(actor.table, BEARD, wp.vec3(x, y, z))
        m.warmth = 0.9
    if in_eyes(x, y, z):
        m.color = wp.vec3(0.07, 0.05, 0.05)
        m.nir = 0.25
        m.retro = 1.0
    if in_brows(x, y, z):
        m.color = wp.vec3(actor.table[HAIR, COLOR], actor.table[HAIR, COLOR + 1], actor.table[HAIR, COLOR + 2])
        m.nir = actor.table[HAIR, NIR]
    if actor.cut[GLASSES] > 0.0 and in_glasses(x, y, z):
        # Glass is opaque in the thermal band and has nearly the air's temperature.
        m.warmth = 0.45
        if wp.abs(z) > 0.12 or beside > 0.16:
            m.color = wp.vec3(0.03, 0.03, 0.03)
            m.nir = 0.1
    if actor.cut[HAS_HAIR] > 0.0 and in_hair(x, y, z):
        m = take(actor.table, HAIR, wp.vec3(x, y, z))
        m.warmth = m.warmth + 0.1
    return m


@wp.func
def lower(actor: Actor, face: wp.vec3i, w: wp.vec3, p: wp.vec3, m: Material) -> Material:
    """Trousers, tights, belt, socks and the part of the foot that a shoe covers."""
    leg = mixed(actor, face, w, LEG)
    torso = mixed(actor, face, w, TORSO)
    foot = mixed(actor, face, w, IN_FOOT)
    if leg > 1.78 and mixed(actor, face, w, IN_LEG) > 0.4:
        m = take(actor.table, SOCK, p)
    if torso < 0.24:
        if actor.cut[SKIRT] > 0.0:
            if actor.cut[SKIRT] > 1.5 and leg < 1.78:
                m = take(actor.table, TIGHTS, p)
        elif leg < actor.cut[TROUSER] and foot < 0.6:
            m = take(actor.table, BOTTOM, p)
            m.warmth = m.warmth - 0.03 * wp.clamp(leg, 0.0, 2.0)
            if actor.cut[BELT] > 0.0 and torso > 0.205:
                m.color = wp.vec3(0.05, 0.035, 0.025)
                m.nir = 0.3
    if foot > 0.3 and leg > 1.93:
        m = take(actor.table, SHOE, p)
    return m


@wp.func
def upper(actor: Actor, face: wp.vec3i, w: wp.vec3, p: wp.vec3, m: Material) -> Material:
    """The upper garment with its neckline, opening, zip or buttons."""
    torso = mixed(actor, face, w, TORSO)
    arm = mixed(actor, face, w, IN_ARM)
    front = p[1] < 0.0
    if actor.cut[LOW_NECK] > 0.0 and front and wp.abs(p[0]) < 0.09 and torso > 0.9:
        if mixed(actor, face, w, HEAD_Z) > -2.9:
            return m
    gap = 0.055 + 0.05 * (1.0 - torso)
    if actor.cut[IS_OPEN] > 0.0 and arm < 0.3 and front and wp.abs(p[0]) < gap:
        m = take(actor.table, INNER, p)
    else:
        m = take(actor.table, TOP, p)
        if front and arm < 0.3 and actor.cut[ZIP] > 0.0 and wp.abs(p[0]) < 0.008:
            m.color = 0.4 * m.color + wp.vec3(0.12, 0.12, 0.12)
            m.nir = 0.35
        if front and arm < 0.3 and actor.cut[BUTTONS] > 0.0 and wp.abs(p[0]) < 0.011:
            if wp.abs(p[2] * 11.0 - wp.round(p[2] * 11.0)) < 0.12:
                m.color = 0.3 * m.color + wp.vec3(0.3, 0.3, 0.3)
                m.nir = 0.5
    # The trunk is warmer than the limbs.
    if arm > 0.5:
        m.warmth = m.warmth - 0.06 * wp.clamp(mixed(actor, face, w, ARM) - 0.6, 0.0, 1.4)
    else:
        m.warmth = m.warmth + 0.08 * wp.exp(-((torso - 0.75) / 0.35) * ((torso - 0.75) / 0.35))
    return m


@wp.func
def material(actor: Actor, index: int, w: wp.vec3) -> Material:
    """What triangle `index` of a figure is made of at barycentric `w`."""
    face = actor.faces[index]
    part = actor.parts[index]
    p = wp.vec3(mixed(actor, face, w, X), mixed(actor, face, w, Y), mixed(actor, face, w, Z))
    if part != BODY:
        m = take(actor.table, part, p)
        if part == SHOE and p[2] < -0.075:
            m = take(actor.table, SOLE, p)
        if part == COAT:
            m.warmth = m.warmth - 0.02
        return m
    m = take(actor.table, SKIN, p)
    m.dark = m.dark * 0.25  # blood carries the sun's warmth away
    if mixed(actor, face, w, IN_HAND) > 0.5:
        m.warmth = HAND_WARMTH
    if mixed(actor, face, w, IN_HEAD) > 0.5:
        m = head(actor, face, w, m)
    if mixed(actor, face, w, IN_ARM) < 0.5:
        m = lower(actor, face, w, p, m)
        # A shirt that is longer than the jacket over it.
        torso = mixed(actor, face, w, TORSO)
        if torso > actor.cut[UNDER] and torso <= actor.cut[HEM]:
            m = take(actor.table, INNER, p)
    if in_top(actor, face, w):
        m = upper(actor, face, w, p, m)
    return m


@wp.func
def folds(p: wp.vec3, bump: float) -> wp.vec3:
    """What creases add to the normal of a cloth: long ones down the body and finer ones."""
    long = wp.cw_mul(noise_slope(wp.cw_mul(p, wp.vec3(24.0, 24.0, 8.0)), 6), wp.vec3(1.0, 1.0, 0.35))
    fine = noise_slope(wp.cw_mul(p, wp.vec3(45.0, 45.0, 30.0)), 5)
    return (long * 0.8 + fine * 0.35) * bump


@wp.func
def uneven(p: wp.vec3) -> float:
    """How much nearer to the skin a cloth lies here than elsewhere, -0.5 to 0.5; warm where it touches."""
    return fractal(wp.cw_mul(p, wp.vec3(20.0, 20.0, 10.0)), 7, 3) - 0.5
