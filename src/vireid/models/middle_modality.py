"""What MMN adds to a trunk: the generator of middle images and the projection of its consistency loss.

Source of both: Zhang et al., Towards a Unified Middle Modality Learning for Visible-Infrared Person
Re-Identification, ACM MM 2021, https://doi.org/10.1145/3474085.3475250.

Shapes: B images, D embedding size, E projected size, H and W height and width in pixels.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from vireid.models.two_stream_resnet import TwoStreamStage


class MiddleModalityGenerator(nn.Module):
    """One small encoder per modality to a single channel, and a decoder to three channels that both share.

    Every layer is a 1x1 convolution, so a pixel of the middle image depends on the same pixel of the image only,
    and, in training, on the statistics of its modality in the batch. The whole has 22 parameters. The convolutions'
    weights start at 0.333 and their biases at 0, as in the authors' code: at first both encoders see the same grey.
    """

    def __init__(self) -> None:
        super().__init__()
        self.encoder = TwoStreamStage(_encoder(), _encoder())
        self.decoder = nn.Sequential(_grey_convolution(1, 3), nn.ReLU())

    def forward(self, images: Tensor, modalities: Tensor) -> Tensor:
        """Middle images `(B, 3, H, W)`, not below 0, of normalised images `(B, 3, H, W)` with modalities `(B,)`."""
        middle: Tensor = self.decoder(self.encoder(images, modalities))
        return middle


def _encoder() -> nn.Sequential:
    return nn.Sequential(
        _grey_convolution(3, 1), nn.ReLU(), _grey_convolution(1, 1), nn.ReLU(), nn.BatchNorm2d(1)
    )  # fmt: skip


def _grey_convolution(inputs: int, outputs: int) -> nn.Conv2d:
    """A 1x1 convolution that starts, for three inputs, as their mean."""
    convolution = nn.Conv2d(inputs, outputs, 1)
    nn.init.constant_(convolution.weight, 0.333)
    assert convolution.bias is not None
    nn.init.zeros_(convolution.bias)
    return convolution


class ProjectionHead(nn.Module):
    """Embeddings at length 1, reduced by a linear layer, a BatchNorm with ReLU, a second layer and BatchNorm.

    Args:
        dim: D.
        projected: E; 256 in the authors' code.
    """

    def __init__(self, dim: int, projected: int = 256) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(dim, projected, bias=False),
            nn.BatchNorm1d(projected),
            nn.ReLU(),
            nn.Linear(projected, projected),
            nn.BatchNorm1d(projected),
        )

    def forward(self, embeddings: Tensor) -> Tensor:
        """`(B, E)`, any length, of embeddings `(B, D)`; B is at least 2 in training."""
        projected: Tensor = self.layers(F.normalize(embeddings))
        return projected
