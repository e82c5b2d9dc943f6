"""Sparse attention to blocks that are chosen by pooled keys (Qwen 4's QSA): an indexer scores one key per block, the mean of its
tokens' keys, and grouped-query attention reads the best blocks and the one that is not complete yet."""

from collections.abc import Iterator
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from .base import Box, Heads, entry_pairs
from .chosen import BlockIndexer, Blocks, ChosenBlocksAttention, ChosenBlocksModule, best_blocks, whole


class PooledIndexer(BlockIndexer):
    """The score of a block is the sum over I narrow queries of ReLU(q k), where k is the mean of its tokens' keys; the block
    that is not complete yet is always chosen. E = complete blocks so far."""

    heads: Heads = Field(description="Query heads of the indexer; their scores are summed", examples=[4])
    block: Annotated[int, Field(ge=1, le=512)] = Field(description="Tokens in a block", examples=[16])
    top_blocks: Blocks = Field(description="Blocks that each token attends to", examples=[128])

    def build(self) -> Box:
        return BestPooled(self)

    def pairs(self, new: int, past: int) -> int:
        """A token attends to its chosen blocks, and to the tokens since the last complete one."""

        def rest(n: int) -> int:  # the sum of m % block for m = 1 ... n
            full, left = divmod(n + 1, self.block)
            return full * self.block * (self.block - 1) // 2 + left * (left - 1) // 2

        chosen = self.block * entry_pairs(new, past, self.block, self.top_blocks)
        return chosen + rest(past + new) - rest(past)

    def scored(self, new: int, past: int) -> int:
        return entry_pairs(new, past, self.block)

    def explain(self) -> str:
        return (
            f"The keys of every {self.block} tokens are pooled into one of {self.dim} values; an indexer of {self.heads} "
            f"narrow heads scores these, and attention reads the tokens of the best {self.top_blocks} blocks."
        )

    def checklist(self, heads: int) -> Iterator[str]:
        yield f"A block's key is the mean of its {self.block} tokens' keys, then normalised, then rotated as its first token."
        yield "The indexer's scores pass ReLU and are summed over its heads; all heads read the same blocks."
        yield "Tokens after the last complete block are always attended to, including the token itself."


class PooledSparseAttention(ChosenBlocksAttention):
    """Attention to the complete blocks with the best pooled keys, and to the tokens so far of the next one."""

    title = "Pooled sparse attention"
    line = "whole blocks of keys, chosen by their mean key"

    kind: Literal["pooled_sparse_attention"]
    indexer: PooledIndexer = Field(description="Chooses the blocks")

    def build(self, d_model: int) -> nn.Module:
        return PooledSparseModule(self, d_model)


class PooledSparseModule(ChosenBlocksModule):
    def __init__(self, part: PooledSparseAttention, d_model: int):
        super().__init__(part, d_model)
        self.pool = BlockMeans(part.indexer.block)

    def index_keys(self, x: Tensor, positions: Tensor) -> Tensor:
        """One key per complete block, (B, E, N)."""
        k = self.index_k_norm(self.pool(self.index_cache(self.index_k(x)))).unsqueeze(2)  # (B, E, 1, N)
        if k.shape[1]:
            k = self.index_rotary(k, self.part.indexer.block * torch.arange(k.shape[1], device=x.device))
        return k.squeeze(2)


class BlockMeans(Box):
    box = "pool"
    label = "Mean of blocks"

    def __init__(self, block: int):
        super().__init__()
        self.block = block
        self.explain = f"The keys of {block} tokens become one, their mean; tokens after the last complete block have none yet."

    def forward(self, k: Tensor) -> Tensor:  # (B, S, N) -> (B, E, N)
        blocks = k.shape[1] // self.block
        return k[:, : blocks * self.block].unflatten(1, (blocks, self.block)).float().mean(dim=2).to(k.dtype)

    def outline(self, k: Tensor) -> Tensor:
        return k.new_empty(len(k), k.shape[1] // self.block, k.shape[2])


class BestPooled(Box):
    """The K blocks with the largest sum over heads of ReLU(q_ti k_e), and the block that is not complete."""

    box = "indexer"
    label = "Block indexer"
    explain = "Scores every complete block by one key, and selects the best, and the one that is not complete yet."

    def __init__(self, rule: PooledIndexer):
        super().__init__()
        self.rule = rule

    def forward(self, q: Tensor, k: Tensor, positions: Tensor) -> Tensor:
        """(B, T, I, N), (B, E, N) -> indices of the chosen blocks, (B, T, 1, K + 1), -1 where there are fewer."""
        rule = self.rule
        own = ((positions + 1) // rule.block)[None, :, None].expand(len(q), -1, 1)  # (B, T, 1)
        scores = F.relu(torch.einsum("btin,ben->btie", q.float(), k.float())).sum(dim=2)  # (B, T, E)
        seen = whole(positions, k.shape[1], rule.block)  # (T, E)
        chosen = best_blocks(scores.masked_fill(~seen, -torch.inf), rule.top_blocks)
        return torch.cat((chosen, own), dim=-1).unsqueeze(2)

    def outline(self, q: Tensor, k: Tensor, positions: Tensor) -> Tensor:
        return q.new_empty(*q.shape[:2], 1, self.rule.top_blocks + 1, dtype=torch.long)
