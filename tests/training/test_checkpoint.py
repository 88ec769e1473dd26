import pytest
import torch

from vireid.errors import InputError
from vireid.training import checkpoint

STATE = {"method": "baseline", "model": {"weight": torch.ones(3)}, "epoch": 2}


def test_round_trip_loads_with_weights_only(tmp_path):
    path = tmp_path / "checkpoint.pt"
    checkpoint.save(path, STATE)
    assert torch.equal(checkpoint.load(path)["model"]["weight"], torch.ones(3))
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_a_full_disk_keeps_the_old_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.pt"
    checkpoint.save(path, STATE)

    def full(state, file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(InputError, match="No space left on device; free some disk space"):
        checkpoint.save(path, {**STATE, "epoch": 3})
    assert checkpoint.load(path)["epoch"] == 2
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint.pt"]


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", None])
def test_a_missing_or_damaged_file_is_named(tmp_path, content):
    path = tmp_path / "checkpoint.pt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"checkpoint\.pt"):
        checkpoint.load(path)


def test_a_foreign_file_is_refused(tmp_path):
    torch.save({"state_dict": {}}, tmp_path / "other.pt")
    with pytest.raises(InputError, match="not a vireid checkpoint"):
        checkpoint.load(tmp_path / "other.pt")
