"""Horizontal strips of a map, for descriptors of parts of the body.

Shapes: B images, C channels, h and w of the map.
"""

from torch import Tensor, nn

from vireid.errors import InputError


def cut(maps: Tensor, parts: int, *, option: str = "method.parts") -> tuple[Tensor, ...]:
    """`parts` horizontal strips of a layer4 map `(B, C, h, w)`, top first, whose heights differ by a row at most.

    Args:
        maps: the map.
        parts: how many strips.
        option: what the error calls the number.

    Raises:
        InputError: fewer rows than strips.
    """
    if maps.shape[2] < parts:
        raise InputError(
            f"{option} is {parts}, but the last map has only {maps.shape[2]} rows, one per 16 of the image; "
            f"set images.height to {16 * parts} or more, or use fewer strips"
        )
    return maps.tensor_split(parts, 2)


def reduced(pool: nn.Module, channels: int, dim: int) -> nn.Sequential:
    """A strip's descriptor `(B, dim)`, not below 0: pooling, a 1x1 convolution, BatchNorm and ReLU."""
    return nn.Sequential(
        pool,
        # On a pooled map a 1x1 convolution is a linear layer; the BatchNorm after it takes any bias away.
        nn.Linear(channels, dim, bias=False),
        nn.BatchNorm1d(dim),
        nn.ReLU(),
    )
