"""A painter without anny and Warp: plain images in the right places, for tests of everything around the renderer."""

import io

from PIL import Image

from vireid.synth.files import write_atomic
from vireid.synth.presets import CAMERAS, DAYS, PRESETS, split_of
from vireid.synth.progress import Note, write_note


def paint_all(job, out, missing, workers, device):
    """As `workers.paint_all`; workers and device change nothing."""
    for index in missing:
        paint(job, out, index)


def paint(job, out, index):
    """Write what the painter writes of one identity; every third changes its top, every fourth its bag."""
    pid = index + 1
    parts = PRESETS[job.preset].parts
    rows = {part: [_write(job, out, part, camid, pid, n) for camid in CAMERAS[part] for n in range(count)]
            for part, count in parts.items()}  # fmt: skip
    changes = [name for name, every in (("top", 3), ("bag", 4)) if pid % every == 0]
    write_note(out, pid, Note(rows, changes))


def _write(job, out, part, camid, pid, n):
    path = job.image_path(part, camid, pid, n + 1)
    inside = str(path.relative_to(job.part_folder(part)))
    visible = CAMERAS[part][camid][0] == "visible"
    shade = (job.seed + 31 * pid + 7 * camid + n) % 256
    write_atomic(out / path, _encode(job, "RGB" if visible else "L", (shade,) * 3 if visible else shade, path.suffix))
    if job.masks:
        write_atomic(out / job.mask_path(part, inside), _encode(job, "L", 255, ".png"))
    modality = "visible" if visible else "infrared"
    return [inside, str(pid), modality, str(camid), split_of(pid), f"{pid:04d}-{n}", f"day{n % DAYS}/{n}"]


def _encode(job, mode, color, suffix):
    height, width = job.size
    buffer = io.BytesIO()
    Image.new(mode, (width, height), color).save(buffer, {".jpg": "JPEG", ".bmp": "BMP", ".png": "PNG"}[suffix])
    return buffer.getvalue()
