"""BNNeck: metric losses before a BatchNorm, classification after it.

Shapes: B images, D embedding size, I identities.
"""

from torch import Tensor, nn

from vireid.models.two_stream_resnet import SharedStage, TwoStreamStage


class BNNeck(nn.Module):
    """BatchNorm with a frozen bias, and a linear classifier without one.

    Source: Luo et al., Bag of Tricks and a Strong Baseline for Deep Person Re-Identification, CVPR workshops
    2019, https://arxiv.org/abs/1903.07071, section 3.6.

    Args:
        dim: D.
        num_identities: I.
        specific: one BatchNorm per modality.
    """

    def __init__(self, dim: int, num_identities: int, *, specific: bool = False) -> None:
        super().__init__()
        self.bn = TwoStreamStage(_batch_norm(dim), _batch_norm(dim)) if specific else SharedStage(_batch_norm(dim))
        self.classifier = nn.Linear(dim, num_identities, bias=False)
        nn.init.normal_(self.classifier.weight, std=0.001)

    def forward(self, pooled: Tensor, modalities: Tensor) -> Tensor:
        """The embedding `(B, D)` of pooled features `(B, D)` with modalities `(B,)`."""
        embeddings: Tensor = self.bn(pooled, modalities)
        return embeddings

    def classify(self, embeddings: Tensor) -> Tensor:
        """Logits `(B, I)` of embeddings `(B, D)`."""
        logits: Tensor = self.classifier(embeddings)
        return logits


def _batch_norm(dim: int) -> nn.BatchNorm1d:
    bn = nn.BatchNorm1d(dim)
    bn.bias.requires_grad_(False)
    return bn
