"""Training images a second, beside a plain pipeline: `python benchmarks/input_speed.py --output FILE.json`.

Decoded images of 288x144, half visible and half infrared, augmented and delivered in batches of 64: by vireid from its
memory-mapped cache, and by torchvision image by image in two worker processes of a `DataLoader`, from an array in
memory, as published training scripts do. In turns, once with crop and flip and once with channel exchange and random
erasing too.
"""

import math
import random
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from timing import in_child, in_turns, median, memory, rates, run
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from vireid.data.augment import IMAGENET_MEAN, IMAGENET_STD, LUMA, AugmentConfig
from vireid.data.cache import DecodedImages
from vireid.data.samplers import CrossModalPKSampler
from vireid.training.batches import TrainingSet, batches
from vireid.training.memory import keep_freed_memory

HEIGHT, WIDTH, PAD = 288, 144, 10
IDENTITIES, EACH, WORKERS = 8, 4, 2
CONFIGS = {
    "crop, flip": AugmentConfig(pad=PAD),
    "crop, flip, channel exchange, erasing": AugmentConfig(pad=PAD, channel_exchange="gray", erase=0.5),
}


class Erasing:
    """Random erasing of half of the images."""

    def __call__(self, image: Tensor) -> Tensor:
        """`(3, H, W)` in and out."""
        for _ in range(10 if random.random() < 0.5 else 0):
            area = random.uniform(0.02, 0.4) * HEIGHT * WIDTH
            aspect = random.uniform(0.3, 3.3)
            height, width = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if 0 < height < HEIGHT and 0 < width < WIDTH:
                top, left = random.randint(0, HEIGHT - height), random.randint(0, WIDTH - width)
                image[:, top : top + height, left : left + width] = 0
                break
        return image


class ChannelExchange:
    """One channel in all, or grey."""

    def __call__(self, image: Tensor) -> Tensor:
        """`(3, H, W)` in and out."""
        case = random.randrange(4)
        chosen = image[case] if case < 3 else sum(weight * image[c] for c, weight in enumerate(LUMA))
        return chosen.expand(3, -1, -1).contiguous()


class Pairs(Dataset):
    """A visible and an infrared image at a time."""

    def __init__(self, pixels: npt.NDArray[np.uint8], config: AugmentConfig, length: int) -> None:
        self.pixels, self.length = pixels, length
        steps = [
            transforms.ToPILImage(),
            transforms.Pad(PAD),
            transforms.RandomCrop((HEIGHT, WIDTH)),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
        ]
        last = [transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD)] + ([Erasing()] if config.erase else [])
        exchange = [ChannelExchange()] if config.channel_exchange != "off" else []
        self.visible, self.infrared = (transforms.Compose([*steps, *more, *last]) for more in (exchange, []))

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        half = len(self.pixels) // 2
        return self.visible(self.pixels[index % half]), self.infrared(self.pixels[half + index % half])


def compare(turns: int, steps: int, images: int) -> dict[str, Any]:
    """Images a second of each pipeline and setting, in a process as one that trains."""
    keep_freed_memory()
    rng, batch = np.random.default_rng(0), 2 * IDENTITIES * EACH
    report: dict[str, Any] = {"size": [HEIGHT, WIDTH], "batch": batch, "rows": {}}
    with TemporaryDirectory() as folder:
        file = Path(folder) / "pixels.npy"
        mapped = np.lib.format.open_memmap(file, "w+", np.uint8, (images, 3, HEIGHT, WIDTH))
        for image in mapped:  # one by one: memory that is freed here would be taken again below, unseen
            image[:] = rng.integers(0, 256, image.shape, np.uint8)
        kinds = np.repeat([0, 1], [images // 2, images - images // 2])
        pids = np.arange(images) % (images // 2) // 10
        data = TrainingSet(DecodedImages(mapped, [], np.ones(images, bool)), pids, kinds)
        sampler = CrossModalPKSampler(pids, kinds, identities=IDENTITIES, images_per_modality=EACH, seed=0, steps=steps)
        before = memory("RssAnon")

        def ours(config: AugmentConfig) -> None:
            for _ in batches(data, enumerate(sampler), config, torch.device("cpu"), seed=0, epoch=0):
                pass

        for config in CONFIGS.values():
            ours(config)
        report["memory taken, GB"] = memory("RssAnon") - before
        report["decoded images, GB"] = mapped.nbytes / 1e9
        channels_last = np.ascontiguousarray(mapped.transpose(0, 2, 3, 1))

        for name, config in CONFIGS.items():
            loader = DataLoader(
                Pairs(channels_last, config, steps * batch // 2),
                batch // 2,
                num_workers=WORKERS,
                collate_fn=lambda rows: torch.stack([image for kind in zip(*rows, strict=True) for image in kind]),
                persistent_workers=True,
                multiprocessing_context="fork",  # as on Linux in a script
            )

            def theirs(loader: Any = loader) -> None:
                for _ in loader:
                    pass

            seconds = median(in_turns({"vireid": lambda config=config: ours(config), "plain": theirs}, turns))
            report["rows"][name] = {
                "images a second": {way: steps * batch / value for way, value in seconds.items()},
                "vireid over plain": seconds["plain"] / seconds["vireid"],
            }
    return report


def measure(turns: int = 5, steps: int = 60, images: int = 3000) -> dict[str, Any]:
    """Both settings."""
    found, _ = in_child(compare, turns, steps, images)
    return {"rates": rates()} | found


if __name__ == "__main__":
    run(measure)
