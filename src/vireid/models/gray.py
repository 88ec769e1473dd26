"""Grey images from normalised ones.

Shapes: B images, H and W height and width in pixels.
"""

import torch
from torch import Tensor

# Those of `vireid.data.augment`, which a model does not import.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
LUMA = (0.299, 0.587, 0.114)


def to_gray(images: Tensor, where: Tensor) -> Tensor:
    """Turn some images grey: their luminance in three channels, as infrared images are read.

    Args:
        images: `(B, 3, H, W)`, normalised by ImageNet's mean and standard deviation.
        where: `(B,)` bool, the images to change.

    Returns:
        `(B, 3, H, W)`, normalised again.
    """
    mean, std, luma = (images.new_tensor(values).view(3, 1, 1) for values in (MEAN, STD, LUMA))
    gray = ((images * std + mean) * luma).sum(1, keepdim=True)
    return torch.where(where[:, None, None, None], (gray - mean) / std, images)
