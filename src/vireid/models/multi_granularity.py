"""Branches for a whole map and for its strips, each with a descriptor and a BNNeck of its own.

Shapes: B images, C channels, h and w of the map, D embedding size of a branch, I identities.
"""

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from vireid.models.bnneck import BNNeck
from vireid.models.pooling import AveragePool, GeM
from vireid.models.strips import cut, reduced

WHOLE = 1  # the granularity of the uncut map


class MultiGranularityHead(nn.Module):
    """One branch for each strip of each granularity, which is the number of strips that the map is cut into.

    The whole map is pooled by GeM, a strip as `part_pool` says and then, unless `part_dim` is None, reduced by a 1x1
    convolution with BatchNorm and ReLU.

    Args:
        channels: C.
        num_identities: I.
        granularities: for example 1, 4: the whole map and four strips.
        gem_p: exponent of all GeM.
        part_pool: of the strips.
        part_dim: D of the strips; None for C.

    Attributes:
        sizes: the granularity that each branch belongs to.
        dims: D of each branch.
    """

    def __init__(
        self,
        channels: int,
        num_identities: int,
        *,
        granularities: Sequence[int],
        gem_p: float = 3.0,
        part_pool: Literal["avg", "gem"] = "avg",
        part_dim: int | None = None,
    ) -> None:
        super().__init__()
        self.granularities = tuple(granularities)
        self.sizes = [size for size in self.granularities for _ in range(size)]
        self.dims = [channels if size == WHOLE else part_dim or channels for size in self.sizes]
        self.descriptors = nn.ModuleList()
        self.necks = nn.ModuleList()
        for size, dim in zip(self.sizes, self.dims, strict=True):
            pool = GeM(gem_p) if size == WHOLE or part_pool == "gem" else AveragePool()
            self.descriptors.append(pool if size == WHOLE or part_dim is None else reduced(pool, channels, dim))
            self.necks.append(BNNeck(dim, num_identities))

    def forward(self, maps: Tensor) -> list[Tensor]:
        """The features `(B, D)` before the neck of each branch, of maps `(B, C, h, w)`.

        Raises:
            InputError: fewer rows than strips.
        """
        option = "an entry of method.granularities"
        regions = [strip for size in self.granularities for strip in cut(maps, size, option=option)]
        return [describe(region) for describe, region in zip(self.descriptors, regions, strict=True)]

    def embed(self, features: list[Tensor], modalities: Tensor) -> list[Tensor]:
        """The features `(B, D)` after the neck of each branch."""
        return [neck(rows, modalities) for neck, rows in zip(self.necks, features, strict=True)]

    def classify(self, embeddings: list[Tensor]) -> list[Tensor]:
        """Logits `(B, I)` of each branch."""
        logits = []
        for neck, rows in zip(self.necks, embeddings, strict=True):
            assert isinstance(neck, BNNeck)
            logits.append(neck.classify(rows))
        return logits
