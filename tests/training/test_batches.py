"""Batches: what they hold, what decides them, and reading ahead."""

import numpy as np
import pytest
import torch

from vireid.data.augment import AugmentConfig, normalize
from vireid.training import batches as module
from vireid.training.batches import TrainingSet, batches

CPU = torch.device("cpu")
OFF = AugmentConfig(pad=0, flip=0)
STRONG = AugmentConfig(pad=3, erase=0.5, channel_exchange="gray", grayscale=0.3, jitter=0.5, blur=0.5)


class Pictures:
    """Images in memory; remembers which were read."""

    def __init__(self, pixels):
        self.pixels, self.read = pixels, []

    def gather(self, indices):
        self.read.append(list(indices))
        return torch.from_numpy(self.pixels[np.asarray(indices)])


@pytest.fixture
def data():
    pixels = np.random.default_rng(0).integers(0, 256, (50, 3, 16, 8), np.uint8)
    return TrainingSet(Pictures(pixels), np.arange(50) // 5, np.arange(50) % 2)


def drawn(steps=4, size=6):
    return enumerate(np.random.default_rng(1).integers(0, 50, (steps, size)).tolist())


def test_a_batch_holds_the_images_of_its_indices_in_order(data):
    made = batches(data, drawn(), OFF, CPU, seed=0, epoch=0)
    for (step, indices), (number, batch) in zip(drawn(), made, strict=True):
        assert step == number
        torch.testing.assert_close(batch.images, normalize(torch.from_numpy(data.images.pixels[indices])))
        assert batch.pids.tolist() == [index // 5 for index in indices]
        assert batch.modalities.tolist() == [index % 2 for index in indices]
        assert batch.masks is None


def test_seed_epoch_step_and_rank_decide(data):
    def second(seed=0, epoch=0, rank=0, first=0):
        steps = list(drawn())[first:]
        return dict(batches(data, steps, STRONG, CPU, seed=seed, epoch=epoch, rank=rank))[2].images

    same = second()
    assert torch.equal(second(), same)
    assert torch.equal(second(first=2), same)  # as a resumed run begins
    for other in ({"seed": 1}, {"epoch": 1}, {"rank": 1}):
        assert not torch.equal(second(**other), same)


def test_dropout_draws_from_the_step_too(data):
    numbers = [torch.rand(1).item() for _ in batches(data, drawn(), OFF, CPU, seed=0, epoch=0)]
    torch.manual_seed(5)
    again = [torch.rand(1).item() for _ in batches(data, list(drawn())[2:], OFF, CPU, seed=0, epoch=0)]
    assert len(set(numbers)) == 4 and again == numbers[2:]


def test_silhouettes_move_with_their_images(data, monkeypatch):
    monkeypatch.setattr(module, "PIECE", 4)  # several pieces, the last one smaller
    data = TrainingSet(data.images, data.pids, data.modalities, masks=data.images)
    moving = AugmentConfig(pad=3, flip=0.5, zoom=(0.8, 1.2), stretch=0.2)
    for _, batch in batches(data, drawn(size=10), moving, CPU, seed=0, epoch=0):
        red = batch.images[:, 0] * 0.229 + 0.485
        torch.testing.assert_close(batch.masks[:, 0], red, atol=1e-5, rtol=0)


def test_reading_ahead_changes_nothing_but_when(data):
    now, early = (list(module._read(data.images.gather, drawn(), ahead)) for ahead in (0, 2))
    assert [step for step, *_ in now] == [step for step, *_ in early] == [0, 1, 2, 3]
    assert all(torch.equal(a[2], b[2]) for a, b in zip(now, early, strict=True))
    data.images.read.clear()
    steps = module._read(data.images.gather, drawn(steps=9), 2)
    next(steps)
    steps.close()
    assert len(data.images.read) == 3


def test_an_image_that_cannot_be_read_ahead_is_an_error_of_its_batch(data):
    with pytest.raises(IndexError):
        list(module._read(data.images.gather, [(0, [1]), (1, [99])], 2))
