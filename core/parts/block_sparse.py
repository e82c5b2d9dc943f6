"""Block-sparse attention with an indexer (MiniMax-M3, 2026): a few narrow heads choose the blocks of keys that grouped-query
attention reads, separately for each group of query heads."""

from collections.abc import Iterator
from typing import Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from .base import Box, Length, causal_pairs, check_groups
from .chosen import BlockIndexer, ChosenBlocksAttention, ChosenBlocksModule, best_blocks, block_pairs
from .softmax import ALL


class BestKeyIndexer(BlockIndexer):
    """The score of a block is that of its best key for one of I narrow queries; the last `local_blocks` are always chosen."""

    block: Length = Field(128, description="Keys in a block")
    local_blocks: int = Field(1, ge=0, le=1_000_000, description="Last blocks that are always attended to")

    @model_validator(mode="after")
    def _few(self):
        if self.local_blocks > self.top_blocks:
            raise ValueError(f"local_blocks: {self.local_blocks} is more than top_blocks; give at most {self.top_blocks}")
        return self

    def build(self) -> Box:
        return BestBlocks(self)

    def pairs(self, new: int, past: int) -> int:
        return block_pairs(new, past, self.block, self.top_blocks)

    def scored(self, new: int, past: int) -> int:
        return causal_pairs(new, past)

    def shrink(self, heads: int, dim: int) -> Self:
        small = super().shrink(heads, dim)
        return small.model_copy(update={"local_blocks": min(self.local_blocks, small.top_blocks)})

    def explain(self) -> str:
        return (
            f"An indexer of {self.heads} narrow heads scores every earlier token by a key of {self.dim} values; each of its "
            f"heads selects the {self.top_blocks} blocks of {self.block} tokens with the best tokens."
        )

    def checklist(self, heads: int) -> Iterator[str]:
        yield f"Blocks begin at multiples of {self.block}; the score of a block is that of its best token, without scale or softmax."
        if self.local_blocks:
            yield f"The last {self.local_blocks} of a token's blocks, its own included, are always chosen."
        yield f"Each of the indexer's heads chooses for {heads // self.heads} query heads."
        yield "The indexer's queries and key have their own norms and the rotary embedding of the attention."


class BlockSparseAttention(ChosenBlocksAttention):
    """Attention to the blocks of keys whose best key scores highest for one of the indexer's queries."""

    title = "Block-sparse attention"
    line = "whole blocks of keys, chosen by their best key"

    kind: Literal["block_sparse_attention"]
    indexer: BestKeyIndexer = Field(description="Chooses the blocks; its heads are a divisor of the attention's heads")

    @model_validator(mode="after")
    def _grouped(self):
        check_groups("indexer.heads", self.heads, "heads", self.indexer.heads)
        return self

    def build(self, d_model: int) -> nn.Module:
        return BlockSparseModule(self, d_model)


class BlockSparseModule(ChosenBlocksModule):
    def index_keys(self, x: Tensor, positions: Tensor) -> Tensor:
        """A key a token, (B, S, N)."""
        k = self.index_k_norm(self.index_k(x)).unsqueeze(2)  # (B, T, 1, N)
        return self.index_cache(self.index_rotary(k, positions).squeeze(2))


class BestBlocks(Box):
    """Each head scores all keys, takes the best score of each block, and selects the best blocks."""

    box = "indexer"
    label = "Block indexer"
    explain = "Scores every earlier token in a few narrow heads, and selects the blocks with the best tokens."

    def __init__(self, rule: BestKeyIndexer):
        super().__init__()
        self.rule = rule

    def forward(self, q: Tensor, k: Tensor, positions: Tensor) -> Tensor:
        """(B, T, I, N), (B, S, N) -> indices of the chosen blocks, (B, T, I, K), -1 where there are fewer than K."""
        rule = self.rule
        scores = torch.einsum("btin,bsn->btis", q.float(), k.float())  # (B, T, I, S)
        unseen = ~ALL.visible(positions, k.shape[1])  # (T, S)
        scores = scores.masked_fill(unseen[:, None], -torch.inf)
        scores = F.pad(scores, (0, -k.shape[1] % rule.block), value=-torch.inf)
        worth = scores.unflatten(-1, (-1, rule.block)).amax(dim=-1)  # (B, T, I, blocks)
        back = positions[:, None] // rule.block - torch.arange(worth.shape[-1], device=q.device)  # (T, blocks)
        worth = worth.masked_fill(((back >= 0) & (back < rule.local_blocks))[:, None], torch.inf)
        return best_blocks(worth, rule.top_blocks)

    def outline(self, q: Tensor, k: Tensor, positions: Tensor) -> Tensor:
        return q.new_empty(*q.shape[:3], self.rule.top_blocks, dtype=torch.long)
