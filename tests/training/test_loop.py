"""The loop on a method small enough to follow: a linear layer on image means."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from vireid.data.augment import AugmentConfig
from vireid.errors import InputError
from vireid.methods.base import Method
from vireid.training import checkpoint
from vireid.training.batches import TrainingSet
from vireid.training.guard import TrainingDiverged
from vireid.training.loop import Interrupted, TrainConfig, launch_fabric, train

IDENTITIES = 4


class Linear(Method):
    def __init__(self, explode_at=None):
        super().__init__()
        self.layer = nn.Linear(3, IDENTITIES)
        self.drop = nn.Dropout(0.2)  # draws from the global generator: resuming has to restore it
        self.explode_at = explode_at
        self.calls = 0

    def forward(self, batch):
        self.calls += 1
        loss = F.cross_entropy(self.layer(self.drop(batch.images.mean((2, 3)))), batch.pids)
        return {"identity": loss * float("nan") if self.calls == self.explode_at else loss}

    def embed(self, images, modalities):
        return F.normalize(self.layer(images.mean((2, 3))))

    def parameter_groups(self):
        return [{"params": list(self.parameters()), "lr_scale": 1.0}]


class Array:
    def __init__(self, images):
        self.images = images

    def gather(self, indices):
        return torch.from_numpy(self.images[np.asarray(indices)])


@pytest.fixture
def data():
    return make_data()


def make_data():
    rng = np.random.default_rng(0)
    pids = np.repeat(np.arange(IDENTITIES), 8)
    modalities = np.tile(np.repeat([0, 1], 4), IDENTITIES)
    images = rng.integers(0, 255, (len(pids), 3, 16, 8), dtype=np.uint8)
    return TrainingSet(Array(images), pids, modalities)


def settings(**changes):
    plain = {"epochs": 4, "steps_per_epoch": 5, "identities": 3, "images_per_modality": 2, "checkpoint_every": 1}
    return TrainConfig(**plain | {"precision": "32-true"} | changes)


def run(data, folder, method=None, resume=None, augmentation=None, **changes):
    folder.mkdir(exist_ok=True)
    torch.manual_seed(0)
    method = method or Linear()
    augmentation = augmentation or AugmentConfig()
    metadata = {"method": "linear"}
    fabric = launch_fabric("cpu", "32-true")
    train(method, data, settings(**changes), augmentation, fabric, folder, metadata=metadata, resume=resume)
    return method


def weights(folder):
    return checkpoint.load(folder / "checkpoint.pt")["model"]


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_two_and_two_epochs_equal_four_bit_for_bit(data, tmp_path, monkeypatch):
    run(data, tmp_path / "whole")
    whole = weights(tmp_path / "whole")
    # Stop after two epochs by the number of steps, with the schedule of four.
    stop_after(monkeypatch, steps=10)
    with pytest.raises(Interrupted):
        run(data, tmp_path / "halves")
    monkeypatch.undo()
    half = checkpoint.load(tmp_path / "halves" / "checkpoint.pt")
    assert (half["epoch"], half["step"]) == (2, 0)
    torch.manual_seed(999)
    run(data, tmp_path / "halves", resume=half)
    assert same(whole, weights(tmp_path / "halves"))
    losses = [[row["loss/identity"] for row in lines(tmp_path / name)] for name in ("whole", "halves")]
    assert losses[0] == losses[1]


class SeesMasks(Linear):
    def forward(self, batch):
        # The images' first channel, as it was before its colours changed.
        level = (batch.images[:, :1] * 0.229 + 0.485).round(decimals=4)
        torch.testing.assert_close(batch.masks, level, atol=1e-4, rtol=0)
        return super().forward(batch)


def test_masks_are_moved_with_their_images(data, tmp_path):
    run(replace(data, masks=data.images), tmp_path / "run", SeesMasks(), epochs=1)


def test_ctrl_c_in_the_middle_of_an_epoch_resumes_exactly(data, tmp_path, monkeypatch):
    run(data, tmp_path / "whole")
    stop_after(monkeypatch, steps=8)
    with pytest.raises(Interrupted, match="epoch 2 after step 3 of 5"):
        run(data, tmp_path / "cut")
    monkeypatch.undo()
    state = checkpoint.load(tmp_path / "cut" / "checkpoint.pt")
    assert (state["epoch"], state["step"]) == (1, 3)
    run(data, tmp_path / "cut", resume=state)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "cut"))
    assert [row["epoch"] for row in lines(tmp_path / "cut")] == [1, 2, 3, 4]


def stop_after(monkeypatch, steps):
    """Send this process a real Ctrl-C during the forward pass of that step."""
    original = Linear.forward

    def forward(self, batch):
        losses = original(self, batch)
        if self.calls == steps:
            os.kill(os.getpid(), signal.SIGINT)
        return losses

    monkeypatch.setattr(Linear, "forward", forward)


class Staged(Linear):
    """Its loss doubles in the second half of training; starts from the same weights every time."""

    def __init__(self):
        torch.manual_seed(0)
        super().__init__()

    def start_epoch(self, epoch, epochs):
        super().start_epoch(epoch, epochs)
        return "late" if epoch >= epochs // 2 else "early"

    def forward(self, batch):
        return {name: loss * (1 + (self.epoch >= self.epochs // 2)) for name, loss in super().forward(batch).items()}


def test_a_method_is_told_the_epoch_and_its_stage_is_logged_and_shown(data, tmp_path, monkeypatch, capfd):
    run(data, tmp_path / "whole", Staged())
    assert [row["stage"] for row in lines(tmp_path / "whole")] == ["early", "early", "late", "late"]
    shown = capfd.readouterr().err
    assert "epoch 2/4 early identity" in shown
    assert "epoch 3/4 late identity" in shown
    stop_after(monkeypatch, steps=13)
    with pytest.raises(Interrupted, match="epoch 3 after step 3 of 5"):
        run(data, tmp_path / "cut", Staged())
    monkeypatch.undo()
    run(data, tmp_path / "cut", Staged(), resume=checkpoint.load(tmp_path / "cut" / "checkpoint.pt"))
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "cut"))
    assert [row["stage"] for row in lines(tmp_path / "cut")] == ["early", "early", "late", "late"]
    run(data, tmp_path / "plain")
    assert all("stage" not in row for row in lines(tmp_path / "plain"))


def test_two_processes_end_with_the_same_weights(tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    script = Path(__file__).with_name("two_ranks.py")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, str(script), str(tmp_path)], capture_output=True, text=True, env=environment, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1))
    assert same(first, second)
    assert same(first, weights(tmp_path))
    assert [row["epoch"] for row in lines(tmp_path)] == [1, 2, 3, 4]  # one process logs


def test_nan_stops_training_and_the_checkpoint_before_it_stays(data, tmp_path):
    with pytest.raises(TrainingDiverged, match="epoch 2, step 2"):
        run(data, tmp_path / "nan", method=Linear(explode_at=7))
    state = checkpoint.load(tmp_path / "nan" / "checkpoint.pt")
    assert state["epoch"] == 1
    assert all(torch.isfinite(value).all() for value in state["model"].values())


def test_the_loss_falls_and_every_epoch_is_logged(data, tmp_path):
    run(data, tmp_path / "run", epochs=6)
    rows = lines(tmp_path / "run")
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert rows[-1]["loss/identity"] < rows[0]["loss/identity"]
    assert {"lr", "seconds", "images_per_second"} <= rows[0].keys()
    assert list((tmp_path / "run" / "tensorboard").iterdir())


def test_the_seed_decides_everything(data, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run(data, tmp_path / name, seed=seed)
    assert same(weights(tmp_path / "a"), weights(tmp_path / "b"))
    assert not same(weights(tmp_path / "a"), weights(tmp_path / "c"))


def test_gradient_clipping_bounds_the_step(data, tmp_path):
    torch.manual_seed(0)
    before = Linear().state_dict()
    changes = {"epochs": 1, "steps_per_epoch": 1, "clip_grad_norm": 1e-3}
    optimizer = {"lr": 1.0, "weight_decay": 0.0, "momentum": 0.0, "nesterov": False}
    schedule = {"name": "step", "warmup_epochs": 0, "milestones": []}
    run(data, tmp_path / "run", **changes, optimizer=optimizer, schedule=schedule)
    after = weights(tmp_path / "run")
    moved = torch.sqrt(sum(((after[name] - before[name]) ** 2).sum() for name in after))
    assert float(moved) == pytest.approx(1e-3, rel=1e-3)


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "tpu"])
def test_an_unknown_or_absent_device_is_bad_input(device):
    with pytest.raises(InputError, match="--device"):
        launch_fabric(device, "auto")
