import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from vireid.errors import InputError
from vireid.synth import bodymodel
from vireid.synth.body import LOCAL_CHANGES
from vireid.synth.bodymodel import BODY_FILE, load_body_model

MILLIMETRE = 1e-3


@pytest.fixture(scope="module")
def model(renderer):
    return load_body_model()


@pytest.fixture(scope="module")
def annys_own(renderer):
    """The model anny itself built with our local changes, if it ever did on this machine."""
    from anny.models.model_data import ModelData
    from anny.models.phenotype import Anny
    from anny.paths import get_anny_cache_path

    for path in sorted(get_anny_cache_path().glob("v*/build_compact_model_data_*.safetensors")):
        data = ModelData.load_safetensors(path)
        if set(data.metadata.local_change_labels) == set(LOCAL_CHANGES):
            rig = {"bone_orientation": "cached", "root_identity_orientation": False}
            return Anny.from_model_data(data, pose_parameterization="local-ref", **rig).to(dtype=torch.float32)
    pytest.skip("anny has built no model with these local changes here")


def rest_pose(people: int) -> torch.Tensor:
    return torch.eye(4).repeat(people, 104, 1, 1)


def random_people(model, people: int, seed: int) -> dict:
    """Any phenotype and local change, bones turned by up to 30 degrees about each axis."""
    from roma import rotvec_to_rotmat

    generator = torch.Generator().manual_seed(seed)
    pose = rest_pose(people)
    pose[..., :3, :3] = rotvec_to_rotmat(torch.rand(people, 104, 3, generator=generator) - 0.5)
    return {
        "pose_parameters": pose,
        "phenotype_kwargs": {name: torch.rand(people, generator=generator) for name in model.phenotype_labels},
        "local_changes_kwargs": {name: torch.rand(people, generator=generator) * 2 - 1 for name in LOCAL_CHANGES},
    }


def test_has_the_frozen_local_changes(model):
    assert set(model.local_change_labels) == set(LOCAL_CHANGES)


# Width, depth and height of the body and the left wrist, in metres, printed by anny 0.6.2's own model.
@pytest.mark.parametrize(
    ("phenotype", "changes", "extent", "wrist"),
    [
        ({"gender": 0.0}, {}, (1.10233, 0.43294, 1.69674), (0.47578, -0.17144, 0.14334)),
        (
            {"gender": 1.0, "age": 0.7, "weight": 0.8, "height": 0.3},
            {"upperlegs-height-incr": 1.0, "stomach-tone-incr": -1.0},
            (0.97563, 0.40018, 1.65612),
            (0.41909, -0.14339, 0.12553),
        ),
    ],
)
@torch.no_grad()
def test_known_bodies(model, phenotype, changes, extent, wrist):
    body = model(
        pose_parameters=rest_pose(1),
        phenotype_kwargs={name: torch.tensor([value]) for name, value in phenotype.items()},
        local_changes_kwargs={name: torch.tensor([value]) for name, value in changes.items()},
    )
    vertices = body["vertices"][0]
    found = body["bone_poses"][0, model.bone_labels.index("wrist.L"), :3, 3]
    np.testing.assert_allclose(vertices.amax(0) - vertices.amin(0), extent, atol=0.5 * MILLIMETRE)
    np.testing.assert_allclose(found, wrist, atol=0.5 * MILLIMETRE)


@torch.no_grad()
def test_agrees_with_annys_own_model(model, annys_own):
    people = random_people(model, people=16, seed=3)
    found, expected = model(**people), annys_own(**people)
    assert torch.equal(model.faces, annys_own.faces)
    assert model.bone_labels == annys_own.bone_labels
    for name in ("vertices", "rest_vertices"):
        assert (found[name] - expected[name]).norm(dim=-1).max() < 0.5 * MILLIMETRE
    for name in ("bone_poses", "rest_bone_poses"):
        assert (found[name] - expected[name]).abs().max() < 5e-4


def test_weights_of_a_vertex_add_up_to_one(model):
    np.testing.assert_allclose(model.vertex_bone_weights.sum(1), 1, atol=1e-6)


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize(
    "damage", [lambda content: content[:-1000], flipped, lambda content: b"", lambda content: b"a page of text\n"]
)
def test_a_damaged_file_is_one_clear_line(tmp_path, damage):
    file = tmp_path / "model.npz"
    file.write_bytes(damage(BODY_FILE.read_bytes()))
    with pytest.raises(InputError, match="is damaged; install vireid again") as error:
        load_body_model(file)
    assert "\n" not in str(error.value)


def test_a_file_without_the_model_is_damaged(tmp_path):
    np.savez(tmp_path / "model.npz", faces=np.zeros((1, 3)))
    with pytest.raises(InputError, match="is damaged"):
        load_body_model(tmp_path / "model.npz")


def test_a_missing_file_is_one_clear_line(tmp_path):
    with pytest.raises(InputError, match=r"model\.npz is missing; install vireid again"):
        load_body_model(tmp_path / "model.npz")


def test_another_anny_is_one_clear_line(renderer, monkeypatch):
    # A later anny may ask for more than the file has.
    tensors = bodymodel._tensors
    monkeypatch.setattr(bodymodel, "_tensors", lambda arrays: tensors(arrays) | {"eyelids": torch.zeros(1)})
    with pytest.raises(InputError, match=r"needs anny 0\.6\.2 .*eyelids.*pip install 'anny==0\.6\.2'"):
        load_body_model()


FIRST_USE = """
import hashlib, io, sys
shown, sys.stdout = sys.stdout, io.StringIO()
mine = sys.stdout
from vireid.synth.bodymodel import load_body_model
model = load_body_model()
assert sys.stdout is mine
print(hashlib.sha256(model.blendshapes.numpy()).hexdigest(), file=shown)
"""


def test_two_first_uses_at_once(renderer, tmp_path):
    """Both get the same model, leave standard output alone and write nothing."""
    environment = os.environ | {"HOME": str(tmp_path), "ANNY_CACHE_DIR": str(tmp_path / "anny")}
    environment |= {"PYTHONPATH": str(Path(bodymodel.__file__).parents[2])}
    start = {"env": environment, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    running = [subprocess.Popen([sys.executable, "-c", FIRST_USE], **start) for _ in range(2)]
    outputs = [process.communicate(timeout=300) for process in running]
    assert [process.returncode for process in running] == [0, 0], outputs
    assert outputs[0][0] == outputs[1][0] != ""
    assert not (tmp_path / "anny").exists()
