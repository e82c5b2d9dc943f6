"""Block-sparse attention with an indexer (MiniMax-M3, 2026): a few narrow heads choose which blocks of keys grouped-query
attention reads, one choice for each group of query heads."""

import math
from collections.abc import Iterator
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from .attention import visible
from .base import Box, Heads, Length, causal_pairs, check_groups
from .chosen import ChosenBlocksAttention, ChosenBlocksModule, best_blocks, block_pairs


class BlockSparseAttention(ChosenBlocksAttention):
    """Attention to the `top_blocks` blocks of keys whose best key scores most under one of index_heads narrow queries; the last
    `local_blocks` are always among them. I = index_heads, N = index_dim, K = top_blocks."""

    title = "Block-sparse attention"

    kind: Literal["block_sparse_attention"]
    index_heads: Heads = Field(description="Query heads of the indexer: as many as heads, or a divisor", examples=[4])
    block: Length = Field(128, description="Keys in a block")
    local_blocks: int = Field(1, ge=0, le=1_000_000, description="The last so many blocks are always attended to")

    @model_validator(mode="after")
    def _grouped(self):
        check_groups("index_heads", self.heads, "heads", self.index_heads)
        if self.local_blocks > self.top_blocks:
            raise ValueError(f"local_blocks: give at most top_blocks, {self.top_blocks}")
        return self

    def build(self, d_model: int) -> nn.Module:
        return BlockSparseModule(self, d_model)

    def pairs(self, new: int, past: int) -> int:
        return block_pairs(new, past, self.block, self.top_blocks)

    def index_pairs(self, new: int, past: int) -> int:
        return causal_pairs(new, past)

    def shrink(self, scale: float) -> "BlockSparseAttention":
        small = super().shrink(scale)
        top = min(self.top_blocks, 4)
        few = {"index_heads": math.gcd(self.index_heads, small.heads), "index_dim": small.head_dim, "top_blocks": top}
        few |= {"block": min(self.block, 4), "local_blocks": min(self.local_blocks, top)}
        return small.model_copy(update=few)

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


class BlockSparseModule(ChosenBlocksModule):
    def __init__(self, part: BlockSparseAttention, d_model: int):
        super().__init__(part, d_model)
        self.indexer = BlockIndexer(part)

    def index_keys(self, x: Tensor, positions: Tensor) -> Tensor:
        """A key a token, (B, S, N)."""
        k = self.index_k_norm(self.index_k(x)).unsqueeze(2)  # (B, T, 1, N)
        return self.index_cache(self.index_turned(k, positions).squeeze(2))


class BlockIndexer(Box):
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
        return best_blocks(worth, part.top_blocks)

    def outline(self, q: Tensor, k: Tensor, positions: Tensor) -> Tensor:
        return q.new_empty(*q.shape[:3], self.part.top_blocks, dtype=torch.long)
