"""A ResNet whose first stages see one modality each and whose later stages see both.

Shapes: B images, C channels, H and W height and width in pixels, h and w of a feature map.
"""

import copy
import re
from collections.abc import Collection, Mapping
from typing import Any, Literal, get_args

import timm
import torch
from timm.models.resnet import ResNet
from torch import Tensor, nn

from vireid.errors import InputError
from vireid.models.non_local import NonLocal
from vireid.models.precision import through
from vireid.models.weights import load_weights, shipped_trunk
from vireid.sample import Modality

Stage = Literal["stem", "layer1", "layer2", "layer3", "layer4"]
STAGES: tuple[Stage, ...] = get_args(Stage)


class SharedStage(nn.Module):
    """A stage both modalities pass through; takes the modalities so that all stages are called alike."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor, modalities: Tensor) -> Tensor:
        """`(B, C, h, w)` to `(B, C', h', w')`."""
        return through(self.body, x)


class TwoStreamStage(nn.Module):
    """A stage with one body per modality; every row goes through the body of its own modality."""

    def __init__(self, visible: nn.Module, infrared: nn.Module) -> None:
        super().__init__()
        self.visible = visible
        self.infrared = infrared

    def forward(self, x: Tensor, modalities: Tensor) -> Tensor:
        """`(B, C, h, w)` with modalities `(B,)` to `(B, C', h', w')`, in the order of the input."""
        visible = (modalities == Modality.VISIBLE).nonzero().squeeze(1)
        infrared = (modalities == Modality.INFRARED).nonzero().squeeze(1)
        assert len(visible) + len(infrared) == len(x), "a row's modality is neither visible nor infrared"
        if len(infrared) == 0:
            return through(self.visible, x)
        if len(visible) == 0:
            return through(self.infrared, x)
        streams = torch.cat([through(self.visible, x[visible]), through(self.infrared, x[infrared])])
        return streams[torch.cat([visible, infrared]).argsort()]


class TwoStreamResNet(nn.Module):
    """A ResNet of timm with modality-specific first stages.

    The stages are the attributes `stem`, `layer1` to `layer4`, each called as `stage(x, modalities)`, so that
    a method can put its own modules between them:

        x = backbone.stages(images, modalities, last="layer3")
        x = backbone.layer4(my_module(x), modalities)

    Args:
        name: a ResNet of timm, for example `resnet18` or `resnet50`.
        split: how many stages are modality-specific: 0 all shared, 1 the stem, 2 stem and layer1, ... 4.
        bn_specific: shared stages whose BatchNorm layers are modality-specific while their convolutions are
            shared.
        weights: `imagenet` (timm), the path of a state dict, or `none`; both streams start from the same
            weights. `default` is the trunk of the shipped model, which has one BatchNorm per modality: a shared
            BatchNorm gets the statistics of both together and the mean of their scales and shifts; non-local
            blocks stay as they start.
        last_stride: stride of layer4; 1 keeps the map twice as high and wide as an ImageNet ResNet does.
        non_local: number of last blocks in a stage that a non-local block follows, for example `{"layer2":
            2}`.
        non_local_width: inner channels of the non-local blocks; None for half of the stage's channels.

    Attributes:
        channels: output channels of each stage by name.

    Raises:
        InputError: no such ResNet, a stage name that does not exist or is already specific, unusable weights.
    """

    def __init__(
        self,
        name: str = "resnet50",
        *,
        split: int = 1,
        bn_specific: Collection[str] = (),
        weights: str = "imagenet",
        last_stride: int = 1,
        non_local: Mapping[str, int] | None = None,
        non_local_width: int | None = None,
    ) -> None:
        super().__init__()
        if not 0 <= split <= 4:
            raise InputError(f"split is {split}, expected 0 (all stages shared) to 4 (all but layer4 specific)")
        _check_bn_specific(bn_specific, split)
        resnet = _create(name, "none" if weights == "default" else weights)
        widths = [int(str(info["num_chs"])) for info in resnet.feature_info]
        self.channels: dict[str, int] = dict(zip(STAGES, widths, strict=True))
        bodies = {"stem": nn.Sequential(resnet.conv1, resnet.bn1, resnet.act1, resnet.maxpool)}
        bodies |= {stage: getattr(resnet, stage) for stage in STAGES[1:]}
        _set_stride(bodies["layer4"][0], last_stride)
        for stage, blocks in (non_local or {}).items():
            _add_non_local(bodies[stage], blocks, self.channels[stage], non_local_width)
        for depth, (stage, body) in enumerate(bodies.items()):
            if depth < split:
                self.add_module(stage, TwoStreamStage(body, copy.deepcopy(body)))
            elif stage in bn_specific:
                self.add_module(stage, TwoStreamStage(body, copy_sharing_convolutions(body)))
            else:
                self.add_module(stage, SharedStage(body))
        if weights == "default":
            self._load_shipped(name)

    def _load_shipped(self, name: str) -> None:
        shipped, own = shipped_trunk(), self.state_dict()
        blocks = [f"{block}." for block, module in self.named_modules() if isinstance(module, NonLocal)]
        loaded = {
            # A new non-local block is the identity and stays so.
            key: own[key] if key.startswith(tuple(blocks)) else _of_any_stream(shipped, _without_non_local(key, blocks))
            for key in own
        }
        if any(value is None or value.shape != own[key].shape for key, value in loaded.items()):
            raise InputError(
                f"method.weights default: the shipped model is a resnet18, this trunk is a {name}; set "
                "method.backbone to resnet18, or method.weights to imagenet, a file or none"
            )
        self.load_state_dict(loaded)

    def forward(self, images: Tensor, modalities: Tensor) -> Tensor:
        """The layer4 map `(B, C, h, w)` of images `(B, 3, H, W)` with modalities `(B,)`, order kept."""
        return self.stages(images, modalities)

    def stages(self, x: Tensor, modalities: Tensor, *, first: str = "stem", last: str = "layer4") -> Tensor:
        """Run the stages `first` to `last`, both included, on `(B, C, h, w)`."""
        for stage in STAGES[STAGES.index(first) : STAGES.index(last) + 1]:
            x = getattr(self, stage)(x, modalities)
        return x


def _without_non_local(key: str, blocks: Collection[str]) -> str:
    """`layer2.body.1.0.conv1.weight` as it is called where no non-local block `layer2.body.1.1.` follows."""
    for block in blocks:
        pair = block.removesuffix("1.")  # both are in a sequence: 0 is the ResNet's, 1 the non-local block
        if key.startswith(f"{pair}0."):
            return pair + key.removeprefix(f"{pair}0.")
    return key


def _of_any_stream(trunk: Mapping[str, Tensor], key: str) -> Tensor | None:
    """The value for `<stage>.<stream>.<rest>`: of the same stream, of the shared body, or the mean of both streams."""
    stage, _, rest = key.split(".", 2)
    for same in (key, f"{stage}.body.{rest}"):
        if same in trunk:
            return trunk[same]
    streams = [f"{stage}.{other}." for other in ("visible", "infrared")]
    if any(f"{stream}{rest}" not in trunk for stream in streams):
        return None
    both = torch.stack([trunk[f"{stream}{rest}"] for stream in streams])
    mean = both.float().mean(0).to(both.dtype)
    if not rest.endswith("running_var"):
        return mean
    centers = torch.stack([trunk[f"{stream}{rest.removesuffix('var')}mean"] for stream in streams])
    return mean + centers.var(0, correction=0)


def _check_bn_specific(bn_specific: Collection[str], split: int) -> None:
    for stage in bn_specific:
        if stage not in STAGES:
            raise InputError(f"bn_specific names '{stage}', expected some of {', '.join(STAGES)}")
        if STAGES.index(stage) < split:
            raise InputError(f"bn_specific names '{stage}', but split {split} makes all of it specific; remove it")


def _create(name: str, weights: str) -> ResNet:
    # Others of timm's ResNets (blur pooling, group norm) have no stride or no BatchNorm to change.
    # timm starts each block as the identity; without pretrained weights that only delays learning.
    resnet = timm.create_model(name, num_classes=0, zero_init_last=False) if _is_plain(name) else None
    if not isinstance(resnet, ResNet):
        raise InputError(f"unknown backbone '{name}', expected a ResNet of timm such as resnet18 or resnet50")
    load_weights(resnet, weights, name)
    return resnet


def _is_plain(name: str) -> bool:
    return re.fullmatch(r"resnet\d+[a-z]?", name) is not None and timm.is_model(name)


def _set_stride(block: nn.Module, stride: int) -> None:
    """Set the stride of a stage's first block, on its main path and its shortcut."""
    for module in block.modules():
        if isinstance(module, nn.Conv2d | nn.AvgPool2d) and module.stride in (2, (2, 2)):
            module.stride = (stride, stride)
            if isinstance(module, nn.AvgPool2d):
                module.kernel_size = (stride, stride)


def _add_non_local(stage: nn.Sequential, blocks: int, channels: int, width: int | None) -> None:
    for index in range(max(0, len(stage) - blocks), len(stage)):
        stage[index] = nn.Sequential(stage[index], NonLocal(channels, width or channels // 2))


def copy_sharing_convolutions(body: nn.Module) -> nn.Module:
    """A copy of a stage with its own BatchNorm layers and the very same convolutions."""
    shared: dict[int, Any] = {id(module): module for module in body.modules() if isinstance(module, nn.Conv2d)}
    # deepcopy takes the objects listed in its memo as they are: the copy holds the very same convolutions.
    return copy.deepcopy(body, shared)
