"""Block-sparse attention with an indexer (MiniMax-M3, 2026): a few narrow heads choose which blocks of keys grouped-query
attention reads, one choice for each group of query heads."""

import math
from collections.abc import Iterator
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from .attention import Attention, AttentionModule, CausalAttention, key_positions, visible
from .base import Flops, HeadDim, Heads, Keep, Length, Linear, Shape, causal_pairs
from .position import Rope

Blocks = Annotated[int, Field(ge=1, le=1_000_000)]


class BlockSparseAttention(Attention):
    """Attention to the `top_blocks` blocks of keys whose best key scores most under one of index_heads narrow queries; the last
    `local_blocks` are always among them. I = index_heads, N = index_dim, K = top_blocks."""

    title = "Block-sparse attention"

    kind: Literal["block_sparse_attention"]
    index_heads: Heads = Field(description="Query heads of the indexer: as many as heads, or a divisor", examples=[4])
    index_dim: HeadDim = Field(
        description="Channels of an indexer's query, and of the one key that is kept", examples=[128]
    )
    block: Length = Field(128, description="Keys in a block")
    top_blocks: Blocks = Field(description="Blocks that each token attends to", examples=[16])
    local_blocks: int = Field(1, ge=0, le=1_000_000, description="The last so many blocks are always attended to")

    @model_validator(mode="after")
    def _indexed(self):
        if self.heads % self.index_heads:
            raise ValueError(f"index_heads: {self.heads} heads do not divide into {self.index_heads} equal groups")
        if self.local_blocks > self.top_blocks:
            raise ValueError(f"local_blocks: give at most top_blocks, {self.top_blocks}")
        for field in ("window", "chunk", "cache_from"):
            if getattr(self, field):
                raise ValueError(f"{field}: the indexer chooses what is read; leave this out")
        return self

    @property
    def label(self) -> str:
        return self.title

    def build(self, d_model: int) -> nn.Module:
        return BlockSparseModule(self, d_model)

    def build_core(self) -> CausalAttention:
        return BlockSparseCore(self)

    def check(self, d_model: int, context: int) -> None:
        super().check(d_model, context)
        turned = self.position.turned(self.head_dim) if isinstance(self.position, Rope) else 0
        if turned > self.index_dim:
            raise ValueError(f"index_dim: {turned} of its channels turn; give at least that")

    @property
    def turned(self) -> int:
        """How many channels of a query or key turn, the indexer's too."""
        return self.position.dim(self.head_dim) if isinstance(self.position, Rope) else 0

    def cache(self, length: int) -> dict[str, Shape]:
        return super().cache(length) | {"index key": (length, self.index_dim)}

    def pairs(self, new: int, past: int) -> int:
        """Every chosen block is whole but the token's own, of which it sees what came before."""

        def upto(n: int) -> int:
            plain = min(n, self.top_blocks * self.block)  # these see everything
            further = n - plain
            whole, rest = divmod(further, self.block)
            own = whole * self.block * (self.block + 1) // 2 + rest * (rest + 1) // 2
            return causal_pairs(plain, 0) + further * (self.top_blocks - 1) * self.block + own

        return upto(past + new) - upto(past)

    def flops(self, d_model: int, new: int, past: int) -> Flops:
        i, n = self.index_heads, self.index_dim
        indexer = Flops(
            index_q=2 * new * d_model * i * n,
            index_k=2 * new * d_model * n,
            indexer=2 * i * n * causal_pairs(new, past),
        )
        return Flops(super().flops(d_model, new, past) | indexer)

    def shrink(self, scale: float) -> "BlockSparseAttention":
        small = super().shrink(scale)
        top = min(self.top_blocks, 4)
        few = {"index_heads": math.gcd(self.index_heads, small.heads), "index_dim": small.head_dim, "top_blocks": top}
        few |= {"block": min(self.block, 4), "local_blocks": min(self.local_blocks, top)}
        return small.model_copy(update=few)

    def facts(self) -> Iterator[str]:
        yield from super().facts()
        yield f"best {self.top_blocks} blocks of {self.block}"

    def explain(self, d_model: int) -> str:
        return (
            f"An indexer of {self.index_heads} narrow heads scores every earlier token by a key of {self.index_dim} values; each of its "
            f"heads passes on the {self.top_blocks} blocks of {self.block} with the best tokens. {super().explain(d_model)}"
        )

    def checklist(self, d_model: int) -> Iterator[str]:
        yield f"Blocks begin at multiples of {self.block}; one is worth its best token, without scale or softmax."
        if self.local_blocks:
            yield f"The last {self.local_blocks} of a token's blocks, its own included, are among the chosen whatever they score."
        yield f"Each of the indexer's heads chooses for {self.heads // self.index_heads} query heads."
        yield "The indexer's queries and key have norms of their own, and turn as the attention's do."
        yield from super().checklist(d_model)


class BlockSparseModule(AttentionModule):
    def __init__(self, part: BlockSparseAttention, d_model: int):
        super().__init__(part, d_model)
        self.index_q = Linear(d_model, part.index_heads * part.index_dim)
        self.index_k = Linear(d_model, part.index_dim)
        self.index_q_norm, self.index_k_norm = part.norm.build(part.index_dim), part.norm.build(part.index_dim)
        # As many channels as of the attention's own heads, which may be of another width.
        share = {"fraction": min(1.0, (part.turned + 0.5) / part.index_dim)} if part.turned else {}
        self.index_rotary = part.position.model_copy(update=share).rotary(part.index_dim)
        self.index_cache = Keep()
        self.indexer = BlockIndexer(part)

    def choose(self, x: Tensor, positions: Tensor, v: Tensor) -> tuple[Tensor]:
        """The blocks that each token attends to, (B, T, I, K)."""
        q = self.index_q_norm(self.index_q(x).unflatten(-1, (self.part.index_heads, -1)))  # (B, T, I, N)
        k = self.index_k_norm(self.index_k(x)).unsqueeze(2)  # (B, T, 1, N)
        if self.index_rotary is not None:
            q, k = self.index_rotary(q, positions), self.index_rotary(k, positions)
        return (self.indexer(q, self.index_cache(k.squeeze(2)), positions),)


class BlockIndexer(nn.Module):
    """Each head's scores of all keys, the best of each block, and the blocks with the best of those."""

    box = "indexer"
    label = "Block indexer"
    explain = "Scores every earlier token in a few narrow heads, and passes on the blocks with the best."

    def __init__(self, part: BlockSparseAttention):
        super().__init__()
        self.part = part

    def forward(self, q: Tensor, k: Tensor, positions: Tensor) -> Tensor:
        """(B, T, I, N), (B, S, N) -> numbers of the chosen blocks, (B, T, I, K), -1 where there are no more."""
        part = self.part
        scores = torch.einsum("btin,bsn->btis", q.float(), k.float())  # (B, T, I, S)
        unseen = ~visible(positions, k.shape[1], None, None)  # (T, S)
        scores = scores.masked_fill(unseen[:, None], -torch.inf)
        scores = F.pad(scores, (0, -k.shape[1] % part.block), value=-torch.inf)
        worth = scores.unflatten(-1, (-1, part.block)).amax(dim=-1)  # (B, T, I, blocks)
        back = positions[:, None] // part.block - torch.arange(worth.shape[-1], device=q.device)  # (T, blocks)
        worth = worth.masked_fill(((back >= 0) & (back < part.local_blocks))[:, None], torch.inf)
        best = worth.topk(min(part.top_blocks, worth.shape[-1]), dim=-1)
        chosen = best.indices.masked_fill(best.values == -torch.inf, -1)
        return F.pad(chosen, (0, part.top_blocks - chosen.shape[-1]), value=-1)

    def outline(self, q: Tensor, k: Tensor, positions: Tensor) -> Tensor:
        return q.new_empty(*q.shape[:3], self.part.top_blocks, dtype=torch.long)


class BlockSparseCore(CausalAttention):
    """Softmax attention over the keys of the chosen blocks."""

    explain = "Each query is scored against the keys of its group's chosen blocks; the softmax of the scores weighs the values."

    def seen(self, positions: Tensor, keys: int, chosen: Tensor) -> Tensor:  # (B, T, I, K)
        part = self.part
        block = key_positions(positions, keys) // part.block  # (S,)
        kept = (chosen.unsqueeze(-1) == block).any(dim=-2).transpose(1, 2)  # (B, I, T, S)
        kept = kept.repeat_interleave(part.heads // kept.shape[1], dim=1)  # (B, H, T, S)
        return kept.unflatten(1, (part.kv_heads, -1)) & visible(positions, keys, None, None)
