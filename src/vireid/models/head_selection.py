"""Dynamic attention selection: the class token looks through the best combination of attention heads only.

Paper: CM-DASN, Multimedia Systems 2025; re-implemented from its abstract (methods/cm_dasn.py says what it leaves open).

Shapes: B images, N tokens, D width of a token, H heads, d = D / H width of a head.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional as F

from vireid.errors import InputError

Role = Literal["shared", "specific"]
MOMENTUM = 0.9  # of the running mean of the heads' scores


class SelectionConfig(BaseModel):
    """Dynamic attention selection (DASM)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    roles: Literal["both", "shared", "specific", "off"] = Field("both", description="features that get selected heads")
    start: float = Field(0.667, ge=0, le=1, description="share of the epochs before the third stage; 1: no such stage")
    k: int | None = Field(None, ge=1, description="heads that are kept; null: half of them")
    blocks: int = Field(1, ge=1, le=3, description="last blocks whose heads are selected")
    select: Literal["batch_ema", "per_sample"] = Field("batch_ema", description="whose scores rank the heads")
    alternate: Literal["epoch", "iteration", "off"] = Field("epoch", description="the roles' turns; off: both at once")


class HeadGate(nn.Module):
    """Scores the heads of a block for one role and keeps the best.

    With `u_h` the class token's output of head h: `a = softmax_h(w . u_h)`; the mask `m` is 1 for the `keep` heads with
    the largest running mean of a, 0 for the others; the gates `g_h = H a_h m_h / sum(a m)` sum to H. The mask has no
    gradient, a has one. A bias would cancel in the softmax.

    Args:
        heads: H.
        dim: d.
        keep: heads that are kept, 1 to H.
        per_sample: rank the heads by each image's own scores instead of by the running mean.

    Attributes:
        scorer: w, `(d,)`.
        mean: the scores' running mean over the batches of training `(H,)`, which the first batch sets.
        batches: how many there were; until the first every head is kept.
    """

    mean: Tensor
    batches: Tensor

    def __init__(self, heads: int, dim: int, *, keep: int, per_sample: bool = False) -> None:
        super().__init__()
        self.keep = keep
        self.per_sample = per_sample
        self.scorer = nn.Parameter(torch.randn(dim) / dim**0.5)
        self.register_buffer("mean", torch.zeros(heads))
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))

    def forward(self, outputs: Tensor) -> Tensor:
        """Gates `(B, H)`, at least 0, of the heads' outputs `(B, H, d)`; training moves the running mean."""
        rows = outputs if outputs.dtype == torch.float64 else outputs.float()
        logits = (rows * self.scorer).sum(2)  # no matrix product, which autocast would do in half precision
        scores = logits.detach().softmax(1)
        if self.training:
            self._move(scores.mean(0))
        # The same as a m / sum(a m), but what is masked has no part in rounding either.
        return logits.shape[1] * logits.masked_fill(~self._mask(scores), -torch.inf).softmax(1)

    def _move(self, scores: Tensor) -> None:
        # With several processes each moves its own; DistributedDataParallel then spreads the first one's.
        moved = MOMENTUM * self.mean + (1 - MOMENTUM) * scores
        self.mean.copy_(torch.where(self.batches > 0, moved, scores))
        self.batches.add_(1)

    def _mask(self, scores: Tensor) -> Tensor:
        """Which heads are kept: `(B, H)` bool, or `(H,)` for all images alike."""
        ranking = scores if self.per_sample else self.mean
        best = torch.zeros_like(ranking, dtype=torch.bool).scatter(-1, ranking.topk(self.keep).indices, True)
        return best | (self.batches == 0)


class HeadSelection(nn.Module):
    """A block of a vision transformer, whose class token takes further ways through it, with gated heads.

    The block's own weights serve all ways; only the scorers, d numbers for each role, are new. Only the class token's
    row is computed again: one query against the keys and values that the block has computed anyway.

    Args:
        heads: H.
        width: D.
        roles: each has a gate of its own.
        keep: heads that are kept; None for half of them.
        per_sample: see `HeadGate`.

    Raises:
        InputError: more heads to keep than there are.
    """

    def __init__(
        self, heads: int, width: int, *, roles: Sequence[Role], keep: int | None = None, per_sample: bool = False
    ) -> None:
        super().__init__()
        if keep is not None and keep > heads:
            raise InputError(f"method.dasm.k is {keep}, but the backbone has {heads} heads; set it to {heads} or less")
        kept = max(1, heads // 2) if keep is None else keep
        self.gates = nn.ModuleDict(
            {role: HeadGate(heads, width // heads, keep=kept, per_sample=per_sample) for role in roles}
        )

    def gate(self, role: Role) -> HeadGate:
        """The gate of a role."""
        gate = self.gates[role]
        assert isinstance(gate, HeadGate)
        return gate

    def forward(self, block: Any, tokens: Tensor, rows: Mapping[Role, Tensor]) -> tuple[Tensor, dict[Role, Tensor]]:
        """The block's output, and that of the class token with each role's gates.

        Args:
            block: a plain block of timm.
            tokens: `(B, N, D)`, the class token first.
            rows: the class token `(B, D)` of each role that is wanted; it takes the place of the one in `tokens`.

        Returns:
            `(B, N, D)`, the same as `block(tokens)`, and `(B, D)` for each role.
        """
        query, keys, values = project(block.attn, block.norm1(tokens))
        plain = _residual(block, tokens, F.scaled_dot_product_attention(query, keys, values))
        selected = {}
        for role, row in rows.items():
            query, key, value = project(block.attn, block.norm1(row[:, None]))
            others = torch.cat([key, keys[:, :, 1:]], 2), torch.cat([value, values[:, :, 1:]], 2)
            heads = F.scaled_dot_product_attention(query, *others)  # (B, H, 1, d)
            gates = self.gates[role](heads.squeeze(2)).to(heads.dtype)
            selected[role] = _residual(block, row[:, None], heads * gates[:, :, None, None]).squeeze(1)
        return plain, selected


def project(attention: Any, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values `(B, H, N, d)` of an attention layer of timm for normed tokens `(B, N, D)`."""
    joined = attention.qkv(tokens).unflatten(2, (3, attention.num_heads, -1))
    query, key, value = joined.permute(2, 0, 3, 1, 4)
    return attention.q_norm(query), attention.k_norm(key), value


def _residual(block: Any, tokens: Tensor, heads: Tensor) -> Tensor:
    """The rest of a block: tokens `(B, N, D)` with what its heads saw, `(B, H, N, d)`."""
    attention = block.attn
    seen = attention.proj_drop(attention.proj(heads.transpose(1, 2).flatten(2)))
    tokens = tokens + block.drop_path1(block.ls1(seen))
    output: Tensor = tokens + block.drop_path2(block.ls2(block.mlp(block.norm2(tokens))))
    return output
