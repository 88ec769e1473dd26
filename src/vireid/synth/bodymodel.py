"""The body model from the small file in the package, so that nobody waits for anny to build it.

anny builds a model for a choice of local changes from text files: more than a minute, 1.4 GB of memory and 835 MB
of cache. `tools/bake_body.py` did that once and wrote down the result, rounded to less than half a millimetre. Reading
it takes a fraction of a second and writes nothing, so that any number of processes may do so at once.

Shapes: A blend shapes, J bones, V vertices, F triangles, N phenotype combinations. Lengths are in metres.
"""

import contextlib
import io
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from vireid.errors import InputError

Array = npt.NDArray[Any]

BODY_FILE = Path(__file__).parent.parent / "assets" / "body" / "model.npz"
MADE_WITH = "anny 0.6.2"

# The file keeps blend shapes as whole numbers of these steps: metres for vertices and the heads of bones, plain
# numbers for bone orientations. Over 200 random people in random poses a vertex is then off by 0.04 mm on average
# and 0.24 mm at most, where a pixel of a picture covers 6 mm.
VERTEX_STEP = 4e-5
BONE_STEP = 1e-6

METADATA = ("bone_labels", "bone_parents", "blendshape_labels", "phenotype_labels")
# Kept as they are: template_vertices (V, 3), template_bone_heads (J, 3), template orientations (J, 3, 3) of bones,
# the phenotypes multiplied in each combination (N, variations), combinations to blend shapes (N, phenotype shapes).
FLOATS = (
    "template_vertices",
    "template_bone_heads",
    "bone_template_orientation_matrices",
    "reference_bone_orientations",
    "stacked_phenotype_blend_shapes_mask",
    "phenotype_blendshape_projection",
)
# Triangles (F, 3), bones of each vertex (V, 9), vertices of MakeHuman's mesh (V,).
INDICES = ("faces", "vertex_bone_indices", "base_mesh_vertex_indices")
# Blend shapes of vertices (A, 3, V), heads (A, J, 3) and orientations (A, J, 3, 3) of bones, and the weights (V, 9).
ROUNDED = ("blendshapes", "bone_heads_blendshapes", "bone_orientation_blendshapes", "vertex_bone_weights")


def load_body_model(file: Path = BODY_FILE) -> Any:
    """Make anny's body model from a file of `tools/bake_body.py`.

    Args:
        file: the file; by default the one in the package, whose local changes are `body.LOCAL_CHANGES`.

    Returns:
        An `anny.Anny` in float32 on the CPU, as `anny.Anny(local_changes=...)` makes it but without texture
        coordinates.

    Raises:
        InputError: the file is missing or damaged, or the installed anny is another one than the file needs.
    """
    arrays = _read(file)
    try:
        # anny replaces sys.stdout when imported, which would break redirected output.
        with contextlib.redirect_stdout(io.StringIO()):
            from anny.models.model_data import ModelData, ModelMetadata
            from anny.models.phenotype import Anny

            metadata = ModelMetadata(**{name: arrays[name].tolist() for name in METADATA})
            data = ModelData(metadata=metadata, **_tensors(arrays))
            return Anny.from_model_data(
                data, pose_parameterization="local-ref", bone_orientation="cached", root_identity_orientation=False
            )
    except (ImportError, TypeError) as error:
        version = MADE_WITH.replace(" ", "==")
        raise InputError(f"the body model needs {MADE_WITH} ({error}): pip install '{version}'") from error


def _read(file: Path) -> dict[str, Array]:
    """All arrays of the file, checked against the checksums it carries."""
    try:
        with np.load(file, allow_pickle=False) as content:
            return {name: content[name] for name in (*METADATA, *FLOATS, *INDICES, *ROUNDED)}
    except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        state = "damaged" if file.exists() else "missing"
        raise InputError(f"the body model {file} is {state}; install vireid again") from error


def _tensors(arrays: dict[str, Array]) -> dict[str, torch.Tensor]:
    """The fields of anny's `ModelData`, in float32 and int64."""
    values = {name: arrays[name].astype(np.float32) for name in FLOATS}
    # Coordinates come before vertices in the file, where they compress better.
    shapes = np.ascontiguousarray(arrays["blendshapes"].transpose(0, 2, 1))
    values["blendshapes"] = shapes * np.float32(VERTEX_STEP)
    for name in ("bone_heads_blendshapes", "bone_orientation_blendshapes"):
        values[name] = arrays[name].astype(np.float32) * np.float32(BONE_STEP)
    weights = arrays["vertex_bone_weights"].astype(np.float32)
    values["vertex_bone_weights"] = weights / weights.sum(1, keepdims=True)
    values |= {name: arrays[name].astype(np.int64) for name in INDICES}
    return {name: torch.from_numpy(value) for name, value in values.items()}
