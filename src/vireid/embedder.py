"""A trained model as an object: images or paths in, embeddings out.

Shapes: N images, D embedding size, H and W image height and width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vireid import config as configuration
from vireid.config import ExperimentConfig
from vireid.data.cache import decode
from vireid.data.pixels import resolve_modalities as resolve_modalities
from vireid.errors import InputError
from vireid.evaluation.extract import extract
from vireid.methods.base import Method
from vireid.models.precision import AnyPrecision, resolve_device
from vireid.models.weights import SHIPPED, read_shipped
from vireid.sample import Modality
from vireid.training import checkpoint


@dataclass(frozen=True)
class Run:
    """A finished (or interrupted) run: its config, its weights and what the checkpoint says of itself."""

    path: Path
    config: ExperimentConfig
    weights: dict[str, Tensor]
    num_identities: int
    epoch: int


def load_run(run: str | Path) -> Run:
    """Read a run folder, or the shipped model when `run` is `"default"`.

    Raises:
        InputError: the folder, its config or its checkpoint is missing or damaged, or the checkpoint holds another
            method than the config names.
    """
    path = SHIPPED if str(run) == "default" else Path(run)
    require_run(path)
    config = configuration.load(path / "config.yaml")
    shipped = path / "model.safetensors"
    if shipped.is_file():
        weights = read_shipped(shipped)
        return Run(path, config, weights, num_identities=0, epoch=config.train.epochs)
    name = "checkpoint_val.pt" if config.evaluation.select == "val" else "checkpoint.pt"
    state = checkpoint.load(path / name, {"num_identities": int})
    if state["method"] != config.method.name:
        raise InputError(
            f"{path}: the checkpoint holds method '{state['method']}' but config.yaml says '{config.method.name}'; "
            "use the config.yaml it was trained with"
        )
    return Run(path, config, state["model"], state["num_identities"], state["epoch"])


def fingerprint(run: Run) -> str:
    """A name for what decides a run's embeddings: its weights and the size of its images; 16 hexadecimal digits."""
    digest = blake2b(f"{run.config.images.height}x{run.config.images.width}".encode(), digest_size=8)
    for name, values in sorted(run.weights.items()):
        if "classifier" not in name:
            digest.update(name.encode() + values.float().contiguous().numpy().tobytes())
    return digest.hexdigest()


def require_run(path: Path) -> None:
    """Raise `InputError` unless `path` is a run folder."""
    if not path.is_dir():
        raise InputError(f"run not found: {path}; give a folder that `vireid train` wrote, or `default`")
    if not (path / "config.yaml").is_file():
        raise InputError(f"{path} is no run: it holds no config.yaml; give a folder that `vireid train` wrote")


def without_download(options: Any) -> Any:
    """A method's options less its initial weights, for a network whose weights come from elsewhere."""
    return options.model_copy(update={"weights": "none"}) if hasattr(options, "weights") else options


def build_method(run: Run) -> Method:
    """The run's method with its trained weights, in eval mode."""
    options = without_download(run.config.method.options)
    method: Method = run.config.method.module.build(options, max(run.num_identities, 1))
    load_weights(method, run.weights, str(run.path), skip_classifier=run.num_identities == 0)
    return method.eval()


def load_weights(method: Method, weights: dict[str, Tensor], source: str, *, skip_classifier: bool) -> None:
    """Copy weights by name; `skip_classifier` leaves the identity classifiers alone, which belong to other people.

    Raises:
        InputError: the weights belong to another method or another size of it.
    """
    own = method.state_dict()
    if skip_classifier:
        own, weights = ({n: value for n, value in s.items() if "classifier" not in n} for s in (own, weights))
    wrong = [name for name, value in weights.items() if name not in own or own[name].shape != value.shape]
    absent = [name for name in own if name not in weights]
    if wrong or absent:
        example = (wrong + absent)[0]
        if all(name.startswith("foreground.") for name in wrong + absent):
            has, enabled = ("no network", "false") if absent else ("a network", "true")
            raise InputError(
                f"{source} has {has} that cuts people out: set method.foreground.enabled to {enabled}, as it was "
                "trained with"
            )
        raise InputError(
            f"{source} holds the weights of another method or size: {len(wrong)} tensors do not fit and "
            f"{len(absent)} are absent, for example '{example}'"
        )
    method.load_state_dict(weights, strict=not skip_classifier)


class Embedder:
    """Turns person crops into L2-normalised embeddings; made by `vireid.load`."""

    def __init__(
        self,
        method: Method,
        height: int,
        width: int,
        device: torch.device,
        fingerprint: str,
        *,
        batch_size: int = 128,
        precision: AnyPrecision = "32-true",
    ) -> None:
        self.method = method.to(device)
        self.fingerprint = fingerprint
        self.height, self.width = height, width
        self.device = device
        self.batch_size = batch_size
        self.precision: AnyPrecision = precision

    @property
    def dimensions(self) -> int:
        """D."""
        black = torch.zeros(1, 3, self.height, self.width, dtype=torch.uint8)
        return int(extract(self.method, black, np.zeros(1, np.int64), device=self.device, progress=False).shape[1])

    def embed(
        self, images: Sequence[str | Path | np.ndarray], modality: str | Modality | Sequence[Modality]
    ) -> np.ndarray:
        """Embeddings `(N, D)` float32, each row of length 1.

        Args:
            images: paths, or uint8 arrays `(H, W, 3)` or `(H, W)` of any size.
            modality: `"visible"`, `"infrared"`, `"auto"` (grey images count as infrared), or one per image.

        Raises:
            InputError: an image cannot be read (the first such is named), or the modality is not one of these.
        """
        decoded = [decode(image, self.height, self.width) for image in images]
        pixels = torch.stack(decoded) if decoded else torch.empty(0, 3, self.height, self.width, dtype=torch.uint8)
        modalities = resolve_modalities(modality, pixels)
        return self.embed_pixels(pixels, modalities)

    def embed_pixels(self, pixels: Tensor, modalities: np.ndarray) -> np.ndarray:
        """Embeddings `(N, D)` float32 of decoded images `(N, 3, H, W)` uint8 at the model's input size."""
        return extract(
            self.method,
            pixels,
            modalities,
            device=self.device,
            batch_size=self.batch_size,
            precision=self.precision,
        )


def load(run: str | Path, *, device: str = "auto", precision: AnyPrecision = "auto") -> Embedder:
    """The embedder of a run folder, or of the shipped model for `"default"`.

    Args:
        run: a folder that `vireid train` wrote, or `"default"`.
        device: a torch device, or `"auto"` for the GPU where there is one.
        precision: `"32-true"`, as runs are evaluated, `"bf16-mixed"`, or `"auto"` for the device's fastest.
    """
    loaded = load_run(run)
    images, batch_size = loaded.config.images, loaded.config.evaluation.batch_size
    place, name = resolve_device(device), fingerprint(loaded)
    return Embedder(
        build_method(loaded), images.height, images.width, place, name, batch_size=batch_size, precision=precision
    )
