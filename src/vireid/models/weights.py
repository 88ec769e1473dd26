"""Initial weights of a backbone: ImageNet through timm, the shipped model's, a local file, or none."""

import json
from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import timm
import torch
from huggingface_hub import constants, hf_hub_download
from huggingface_hub.errors import HfHubHTTPError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from vireid.errors import InputError

SHIPPED = Path(str(files("vireid"))) / "assets" / "default"  # the model that comes with the package


def load_weights(
    model: nn.Module, weights: str, name: str, adapt: Callable[[dict[str, Tensor]], dict[str, Tensor]] = dict
) -> None:
    """Fill a backbone, in place, with pretrained weights.

    Args:
        model: a backbone of timm without a classifier.
        weights: `imagenet`, `none`, or the path of a state dict (.pth, .pt, .safetensors) with the keys of
            torchvision or timm; what the backbone has no place for, such as `fc`, is left out.
        name: the backbone's name in timm.
        adapt: changes the state dict before it is compared with the backbone, for example resizes its positions.

    Raises:
        InputError: the weights cannot be fetched, read, or do not fit the backbone.
    """
    if weights == "none":
        return
    path = _imagenet(name) if weights == "imagenet" else Path(weights).expanduser()
    expected = model.state_dict()
    state = adapt(_strip_prefix(_read(path), set(expected)))
    _check_fit(state, expected, path, name)
    model.load_state_dict({key: state.get(key, value) for key, value in expected.items()})


def _check_fit(state: dict[str, Tensor], expected: dict[str, Tensor], path: Path, name: str) -> None:
    # Files older than PyTorch 0.4.1 lack the batch counters, which nothing here reads.
    missing = [key for key in expected if key not in state and not key.endswith("num_batches_tracked")]
    if missing:
        raise InputError(
            f"{path} does not hold a {name}: {len(missing)} of {len(expected)} entries are missing, for "
            f"example '{missing[0]}'; give a state dict of torchvision's or timm's {name}"
        )
    for key in expected:
        if key in state and state[key].shape != expected[key].shape:
            found, wanted = tuple(state[key].shape), tuple(expected[key].shape)
            raise InputError(
                f"{path} does not hold a {name}: '{key}' is {found}, expected {wanted}; change "
                "method.backbone or the file"
            )
    # A deeper network of the same widths fits too: its first blocks alone would be loaded.
    parts = {key.partition(".")[0] for key in expected}
    deeper = [key for key in state if key not in expected and key.partition(".")[0] in parts]
    if deeper:
        raise InputError(
            f"{path} holds a deeper network than {name}, with '{deeper[0]}'; change method.backbone or the file"
        )


def _imagenet(name: str) -> Path:
    """The file with timm's ImageNet weights, downloaded unless it is in the hub's cache already.

    Where there are several, those of torchvision or, for a ViT, of its authors are taken: the field's published
    numbers start from them.
    """
    several = timm.list_pretrained(f"{name}.*")
    original = [tagged for tag in ("tv_in1k", "orig_in21k_ft_in1k") if (tagged := f"{name}.{tag}") in several]
    config = timm.get_pretrained_cfg(original[0] if original else name)
    if config is None or not config.hf_hub_id:
        raise InputError(f"timm has no ImageNet weights for {name}; set method.weights to a local file or 'none'")
    online = _hub_answers()
    try:
        # Without a network the hub's client retries for most of a minute, even when the file is in its cache.
        return Path(hf_hub_download(config.hf_hub_id, "model.safetensors", local_files_only=not online))
    except (OSError, ValueError, HfHubHTTPError) as error:
        reason = str(error).strip().partition("\n")[0] if online else "no network, no copy in the cache"
        raise InputError(
            f"cannot fetch the ImageNet weights of {name} ({reason}); go online once, or set method.weights "
            f"to a local state dict (.pth or .safetensors) or to 'none'"
        ) from None


def _hub_answers() -> bool:
    request = Request(constants.ENDPOINT, method="HEAD")
    try:
        urlopen(request, timeout=5).close()
    except HTTPError:
        return True  # it answered, if only with a refusal
    except OSError:
        return False
    return True


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise InputError(f"weights not found: {path}; give a .pth, .pt or .safetensors file, 'imagenet' or 'none'")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except SafetensorError as error:
        raise InputError(f"{path} is not a safetensors file: {str(error).splitlines()[0]}") from None
    except Exception as error:  # torch raises many kinds for a damaged file
        raise InputError(
            f"{path} is not a state dict that loads with weights_only=True: {str(error).splitlines()[0]}"
        ) from None
    return _tensors(content, path)


def _tensors(content: Any, path: Path) -> dict[str, Tensor]:
    for wrapper in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not isinstance(content, Mapping) or not any(isinstance(value, Tensor) for value in content.values()):
        raise InputError(f"{path} holds no tensors by name, expected a state dict of torchvision or timm")
    return {str(key): value for key, value in content.items() if isinstance(value, Tensor)}


def _strip_prefix(state: dict[str, Tensor], expected: set[str]) -> dict[str, Tensor]:
    """Drop `module.` and the like, which wrappers put before every key."""
    for prefix in ("module.", "model.", "backbone."):
        if not expected & state.keys():
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def shipped_trunk() -> dict[str, Tensor]:
    """The trunk of the shipped model: the state of a `TwoStreamResNet` with one BatchNorm per modality.

    Raises:
        InputError: the package was installed without it.
    """
    file = SHIPPED / "model.safetensors"
    if not file.is_file():
        raise InputError(f"the shipped model {file} is missing; reinstall vireid, or set method.weights to none")
    state = read_shipped(file)
    return {key.removeprefix("backbone."): value for key, value in state.items() if key.startswith("backbone.")}


def read_shipped(path: Path) -> dict[str, Tensor]:
    """Weights by name of `tools/ship_default.py`: half precision, shared tensors once."""
    with safe_open(path, framework="pt") as file:
        weights = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
        same_as: dict[str, str] = json.loads((file.metadata() or {}).get("same_as", "{}"))
    return weights | {name: weights[first] for name, first in same_as.items()}
