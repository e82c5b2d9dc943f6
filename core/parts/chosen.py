"""What the sparse attentions share: the scores of an indexer, the choice of the best, and grouped-query
attention to the chosen blocks of keys."""

import math
from collections.abc import Iterator
from typing import Annotated, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor

from .attention import Attention, AttentionModule, CausalAttention
from .base import Box, Cache, Flops, HeadDim, Heads, Length, Linear, Shape, Spec, causal_pairs
from .position import Dynamic, LongRope, Position, Rope, check_turned
from .softmax import ALL, key_positions

Blocks = Annotated[int, Field(ge=1, le=4_096)]


class BlockIndexer(Spec):
    """Chooses the blocks of keys that attention reads, with narrow query heads and one key per token. I = heads, N = dim,
    K = top_blocks."""

    heads: Heads = Field(description="Query heads of the indexer", examples=[4])
    dim: HeadDim = Field(description="Channels of its queries, and of the one key that is cached", examples=[128])
    block: Length = Field(description="Tokens in a block", examples=[128])
    top_blocks: Blocks = Field(description="Blocks that each token attends to", examples=[16])

    def build(self) -> Box:
        """The box that scores the keys and chooses: (B, T, I, N), its keys, (T,) -> (B, T, heads with a choice of their own, K)."""
        raise NotImplementedError

    def pairs(self, new: int, past: int) -> int:
        """How many (query, key) pairs of `new` queries after `past` keys are in the chosen blocks."""
        raise NotImplementedError

    def scored(self, new: int, past: int) -> int:
        """How many (query, key) pairs each head of the indexer scores."""
        raise NotImplementedError

    def flops(self, d_model: int, new: int, past: int) -> Flops:
        i, n = self.heads, self.dim
        return Flops(index_q=2 * new * d_model * i * n, index_k=2 * new * d_model * n, indexer=2 * i * n * self.scored(new, past))

    def shrink(self, heads: int, dim: int) -> Self:
        """The same choice, for a small attention with this many query heads and channels in each."""
        few = {"heads": math.gcd(self.heads, heads), "dim": dim, "block": min(self.block, 4), "top_blocks": min(self.top_blocks, 4)}
        return self.model_copy(update=few)

    def explain(self) -> str:
        raise NotImplementedError

    def checklist(self, heads: int) -> Iterator[str]:
        """Details of the choice for attention with this many query heads."""
        raise NotImplementedError


class ChosenBlocksAttention(Attention):
    """Attention to the keys of the blocks that an indexer chooses."""

    group = "sparse"

    kind: str  # type: ignore[assignment]
    indexer: BlockIndexer = Field(description="Chooses the blocks")

    @model_validator(mode="after")
    def _indexed(self):
        for field in ("sight", "cache_from"):
            if getattr(self, field) != type(self).model_fields[field].default:
                raise ValueError(f"{field}: the indexer chooses what is read; remove this")
        return self

    @property
    def label(self) -> str:
        return self.title

    def build_core(self) -> CausalAttention:
        return ChosenBlocksCore(self)

    def pairs(self, new: int, past: int) -> int:
        return self.indexer.pairs(new, past)

    def check(self, d_model: int, context: int) -> None:
        super().check(d_model, context)
        turned = self.position.turned(self.head_dim) if isinstance(self.position, Rope) else 0
        if turned > self.indexer.dim:
            raise ValueError(f"indexer.dim: {turned} of its channels are rotated; give at least {turned}")

    def cache(self, length: int) -> dict[str, Shape]:
        return super().cache(length) | {"index key": (length, self.indexer.dim)}

    def cache_read(self, length: int) -> dict[str, Shape] | None:
        return None  # heads choose for themselves, perhaps the same

    def flops(self, d_model: int, new: int, past: int) -> Flops:
        return Flops(super().flops(d_model, new, past) | self.indexer.flops(d_model, new, past))

    def shrink(self, scale: float) -> Self:
        small = super().shrink(scale)
        return small.model_copy(update={"indexer": self.indexer.shrink(small.heads, small.head_dim)})

    def facts(self) -> Iterator[str]:
        yield from super().facts()
        yield f"best {self.indexer.top_blocks} blocks of {self.indexer.block}"

    def explain(self, d_model: int) -> str:
        return f"{self.indexer.explain()} {super().explain(d_model)}"

    def checklist(self, d_model: int) -> Iterator[str]:
        yield from self.indexer.checklist(self.heads)
        yield from super().checklist(d_model)


class ChosenBlocksModule(AttentionModule):
    part: ChosenBlocksAttention

    def __init__(self, part: ChosenBlocksAttention, d_model: int):
        super().__init__(part, d_model)
        i, dim = part.indexer, part.indexer.dim
        self.index_q, self.index_k = Linear(d_model, i.heads * dim), Linear(d_model, dim)
        self.index_q_norm, self.index_k_norm = part.norm.build(dim), part.norm.build(dim)
        # The rotary channels are as many as those of the attention's heads, which may have another width.
        turned = part.position.dim(part.head_dim) if isinstance(part.position, Rope) else 0
        share = {"fraction": min(1.0, (turned + 0.5) / dim)} if turned else {}
        self.index_rotary = part.position.model_copy(update=share).rotary(dim)
        self.index_cache = Cache()
        self.indexer = i.build()

    def choose(self, x: Tensor, positions: Tensor, v: Tensor) -> tuple[Tensor]:
        """The blocks that each token attends to, (B, T, heads with a choice of their own, K)."""
        q = self.index_q_norm(self.index_q(x).unflatten(-1, (self.part.indexer.heads, -1)))  # (B, T, I, N)
        return (self.indexer(self.index_rotary(q, positions), self.index_keys(x, positions), positions),)

    def index_keys(self, x: Tensor, positions: Tensor) -> Tensor:
        """The keys that the indexer's queries are scored against, (B, tokens or blocks, N)."""
        raise NotImplementedError


class ChosenBlocksCore(CausalAttention):
    """Softmax attention over the keys of the chosen blocks."""

    part: ChosenBlocksAttention
    explain = "Each query is scored against the keys of its group's chosen blocks; the softmax of the scores weighs the values."

    def seen(self, positions: Tensor, keys: int, chosen: Tensor) -> Tensor:  # (B, T, I, K)
        kept = within(chosen, positions, keys, self.part.indexer.block)  # (B, I, T, S)
        kept = kept.repeat_interleave(self.part.heads // kept.shape[1], dim=1)  # (B, H, T, S)
        return kept.unflatten(1, (self.part.kv_heads, -1))


class LightningIndexer(Box):
    """I_ts = sum over heads i of w_ti ReLU(q_ti k_s), and for each token t the K best s: tokens (DeepSeek-V3.2, equation 1), or
    entries of `ratio` tokens each (DeepSeek-V4, equations 16 and 17)."""

    box = "indexer"
    label = "Lightning indexer"

    def __init__(self, heads: int, dim: int, top_k: int, ratio: int = 1):
        super().__init__()
        self.heads, self.dim, self.top_k, self.ratio = heads, dim, top_k, ratio
        what = "earlier token" if ratio == 1 else "whole entry"
        self.explain = f"Scores every {what} in a few narrow heads, and selects the best."

    def forward(self, q: Tensor, k: Tensor, weights: Tensor, positions: Tensor) -> Tensor:
        """(B, T, I, N), (B, S, N), (B, T, I) -> indices among the S keys, (B, T, K), best first; the last one is repeated if
        there are fewer than K keys."""
        if not k.shape[1]:
            return torch.zeros(*q.shape[:2], self.top_k, dtype=torch.long, device=q.device)
        scores = F.relu(torch.einsum("btid,bsd->btis", q.float(), k.float()) * self.dim**-0.5)  # (B, T, I, S)
        weights = weights.float() * self.heads**-0.5
        total = (weights.unsqueeze(-2) @ scores).squeeze(-2)  # (B, T, S)
        best = ordered(total.masked_fill(~whole(positions, k.shape[1], self.ratio), -torch.inf)).indices[..., : self.top_k]
        return best[..., torch.arange(self.top_k, device=best.device).clamp(max=best.shape[-1] - 1)]

    def outline(self, q: Tensor, k: Tensor, weights: Tensor, positions: Tensor) -> Tensor:
        return q.new_empty(*q.shape[:2], self.top_k, dtype=torch.long)


def check_pooled(position: Position, head_dim: int) -> None:
    """Raise ValueError if the rotation of pooled keys, which are computed once and cached, is not possible."""
    check_turned(position, head_dim)
    if isinstance(getattr(position, "scaling", None), Dynamic | LongRope):
        raise ValueError("position.scaling: pooled keys are rotated once; give a scaling that does not change with the text's length")


def ordered(worth: Tensor) -> torch.return_types.sort:
    """Best first. Ties are common (ReLU, a repeated token): the earlier one comes first, both in a prompt and in decoding."""
    return worth.sort(dim=-1, descending=True, stable=True)


def best_blocks(worth: Tensor, count: int) -> Tensor:
    """Indices of the best blocks, (..., blocks) -> (..., count); -1 where no more blocks can be chosen."""
    best = ordered(worth)
    chosen = best.indices.masked_fill(best.values == -torch.inf, -1)[..., :count]
    return F.pad(chosen, (0, count - chosen.shape[-1]), value=-1)


def within(chosen: Tensor, positions: Tensor, keys: int, block: int) -> Tensor:
    """Which keys are in the chosen blocks and before each query: (B, T, I, K) -> (B, I, T, S)."""
    place = key_positions(positions, keys) // block  # (S,)
    return (chosen.unsqueeze(-1) == place).any(dim=-2).transpose(1, 2) & ALL.visible(positions, keys)


def whole(positions: Tensor, entries: int, ratio: int) -> Tensor:
    """Which entries of `ratio` tokens each query may see, (T, E): those whose tokens are all at or before its position."""
    return torch.arange(entries, device=positions.device) < ((positions + 1) // ratio)[:, None]


def block_pairs(new: int, past: int, block: int, most: int) -> int:
    """(query, key) pairs if each query reads `most` blocks: all complete except its own, of which it sees the tokens so far."""

    def upto(n: int) -> int:  # the pairs of the first n positions
        plain = min(n, most * block)  # these see everything
        whole, rest = divmod(n - plain, block)
        own = whole * block * (block + 1) // 2 + rest * (rest + 1) // 2
        return causal_pairs(plain, 0) + (n - plain) * (most - 1) * block + own

    return upto(past + new) - upto(past)
