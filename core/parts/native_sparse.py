"""Native sparse attention (DeepSeek, arXiv:2502.11089, sections 3.2 and 3.3): three parallel attentions, to blocks pooled into
one key each, to the few best blocks by these scores, and to a sliding window, summed with gates.

Choices where the paper gives no detail: the pooling network has one hidden layer with ReLU, no biases, and is shared by all heads; there
is one for keys and one for values, each with a vector added to each place of a block. Pooled keys are rotated as their block's first
token, after pooling, so that one rotated query serves all three branches (as in XunhaoLai's kernels; lucidrains' rotate neither).
The gates are one linear map, as in both and in fla-org's. Before the first complete block, the compressed branch outputs zeros.
Importance is equation 9 in its later form: a stride's score is the sum of the probabilities of all pooled blocks that cover it."""

from collections.abc import Iterator
from typing import Any, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from ..words import tokens
from .base import (
    OF_MODEL,
    Box,
    Cache,
    Flops,
    HeadDim,
    Heads,
    Inherited,
    Length,
    Linear,
    Mixer,
    Shape,
    State,
    Width,
    Window,
    causal_pairs,
    check_groups,
    entry_pairs,
    normal,
    scaled,
)
from .chosen import Blocks, best_blocks, block_pairs, check_pooled, within
from .norm import PartNorm
from .position import Position
from .softmax import Sight, masked_softmax


class NativeSparseAttention(Mixer):
    """Every query head reads three sets of keys and values, each of `kv_heads` heads with its own projections: one pooled from
    every `block` tokens, `stride` apart; those of the `top_blocks` best blocks of `select_block` tokens; and the last `window`.
    H = heads, G = kv_heads, D = head_dim, V = v_dim, E = pooled blocks so far, K = top_blocks."""

    title = "Native sparse attention"
    line = "summaries, chosen blocks and a window"
    also = ("NSA",)
    group = "sparse"

    kind: Literal["native_sparse_attention"]
    heads: Heads = Field(description="Query heads", examples=[64])
    kv_heads: Heads = Field(description="Key and value heads of each branch; each chooses blocks for its query heads", examples=[4])
    head_dim: HeadDim = Field(description="Channels of a query or key head", examples=[192])
    v_head_dim: HeadDim | None = Field(None, description="Channels of a value head; head_dim if empty")
    block: int = Field(32, ge=2, le=65_536, description="Tokens per pooled key")
    stride: Length = Field(16, description="Tokens between the starts of two pooled blocks")
    pool_hidden: Width = Field(description="Hidden size of the pooling network", examples=[512])
    select_block: Length = Field(64, description="Tokens in a block of the selected branch")
    top_blocks: Blocks = Field(16, description="Selected blocks per token, the first and last ones included")
    first_blocks: int = Field(1, ge=0, le=1_000_000, description="Blocks at the start that are always chosen")
    local_blocks: int = Field(2, ge=1, le=1_000_000, description="Last blocks that are always chosen, a token's own included")
    window: Window = Field(512, description="Sliding window of the third branch, the token itself included")
    position: Inherited[Position] = OF_MODEL
    norm: Inherited[PartNorm] = OF_MODEL

    @model_validator(mode="after")
    def _consistent(self):
        check_groups("kv_heads", self.heads, "heads", self.kv_heads)
        for field in ("block", "select_block"):
            if getattr(self, field) % self.stride:
                raise ValueError(f"{field}: is not a multiple of the stride; give a multiple of {self.stride}")
        if self.first_blocks + self.local_blocks > self.top_blocks:
            raise ValueError(f"top_blocks: {self.first_blocks} + {self.local_blocks} blocks are always chosen; give at least that many")
        return self

    @property
    def v_dim(self) -> int:
        return self.v_head_dim or self.head_dim

    def entries(self, length: int) -> int:
        """How many pooled blocks `length` tokens make."""
        return max(0, (length - self.block) // self.stride + 1)

    def build(self, d_model: int) -> nn.Module:
        return NativeSparseModule(self, d_model)

    def check(self, d_model: int, context: int) -> None:
        check_pooled(self.position, self.head_dim)

    def cache(self, length: int) -> dict[str, Shape]:
        kept = {"compressed": self.entries(length), "selected": length, "window": min(length, self.window)}
        dims = {"key": self.head_dim, "value": self.v_dim}
        return {f"{branch} {name}": (n, self.kv_heads, dim) for branch, n in kept.items() for name, dim in dims.items()}

    def cache_read(self, length: int) -> dict[str, Shape] | None:
        return None  # blocks that are chosen may be in the window too

    def plain_cache(self, length: int) -> dict[str, Shape]:
        return {"key": (length, self.heads, self.head_dim), "value": (length, self.heads, self.v_dim)}

    def state(self, d_model: int) -> dict[str, Shape]:
        """The keys and values of the tokens at the start of the next pooled blocks."""
        return {"pending": (self.block - 1, self.kv_heads * (self.head_dim + self.v_dim))}

    def pairs(self, new: int, past: int) -> dict[str, int]:
        """How many (query, key) pairs each branch scores."""
        early = self.block - self.stride  # as if pooled blocks had `stride` tokens and began that much earlier
        before, after = max(0, past - early), max(0, past + new - early)
        return {
            "compressed_core": entry_pairs(after - before, before, self.stride),
            "selected_core": block_pairs(new, past, self.select_block, self.top_blocks),
            "window_core": causal_pairs(new, past, self.window),
        }

    def flops(self, d_model: int, new: int, past: int) -> Flops:
        h, g, d, v = self.heads, self.kv_heads, self.head_dim, self.v_dim
        pooled = self.entries(past + new) - self.entries(past)
        projections = dict.fromkeys(("compressed_kv", "selected_kv", "window_kv"), 2 * new * d_model * g * (d + v))
        return Flops(
            q=2 * new * d_model * h * d,
            **projections,
            compress=2 * pooled * g * (self.block + 1) * (d + v) * self.pool_hidden,
            **{path: 2 * h * (d + v) * pairs for path, pairs in self.pairs(new, past).items()},
            gate=2 * new * d_model * 3 * h,
            o=2 * new * h * v * d_model,
        )

    def shrink(self, scale: float) -> Self:
        groups, stride = min(self.kv_heads, 2), min(self.stride, 2)
        dim = self.position.shrunk(self.head_dim)
        first, local = min(self.first_blocks, 1), min(self.local_blocks, 2)
        return self.model_copy(
            update={
                "heads": self.heads // self.kv_heads * groups,
                "kv_heads": groups,
                "head_dim": dim,
                "v_head_dim": self.v_head_dim and scaled(self.v_head_dim, min(1.0, dim / self.head_dim)),
                "block": min(self.block // self.stride, 4) * stride,
                "stride": stride,
                "pool_hidden": min(self.pool_hidden, 32),
                "select_block": min(self.select_block // self.stride, 4) * stride,
                "top_blocks": min(self.top_blocks, first + local + 1),
                "first_blocks": first,
                "local_blocks": local,
                "window": min(self.window, 16),
            }
        )

    def facts(self) -> Iterator[str]:
        yield f"{self.heads} heads" + (f" · {self.kv_heads} KV" if self.kv_heads != self.heads else "")
        yield f"best {self.top_blocks} × {self.select_block}"
        yield f"window {tokens(self.window)}"

    def explain(self, d_model: int) -> str:
        return (
            f"{self.heads} query heads read three sets of keys and values of {self.kv_heads} heads each. Every {self.block} tokens, "
            f"{self.stride} apart, are pooled into one; a query's softmax over these chooses the {self.top_blocks} blocks of "
            f"{self.select_block} tokens that it reads in full; it also reads the last {self.window:,} tokens. In each head, a "
            "sigmoid gate of the input weights each branch."
        )

    def checklist(self, d_model: int) -> Iterator[str]:
        yield "Each branch has its own key and value projections; all three share the query."
        yield f"A pooled block is visible once all its {self.block} tokens are past; its key is rotated as its first token, after pooling."
        yield (
            f"The score of a block is the sum, over its {self.select_block // self.stride} strides, of the probabilities of all pooled "
            "blocks that cover a stride, and over the query heads that share a key: those heads read the same blocks."
        )
        always = f"{self.first_blocks} at the start and {self.local_blocks} at the end, a token's own included"
        yield f"Of the {self.top_blocks} chosen blocks, {always}, are always read."
        yield f"Before {self.block} tokens are read, the compressed branch outputs zeros, not a softmax over no keys."
        yield f"Scores are scaled by 1 / sqrt({self.head_dim}); the gates are sigmoids, not a softmax over branches."
        yield from self.position.checklist(self.head_dim)


class NativeSparseModule(nn.Module):
    def __init__(self, part: NativeSparseAttention, d_model: int):
        super().__init__()
        self.part = part
        h, d, v = part.heads, part.head_dim, part.v_dim
        self.q = Linear(d_model, h * d)
        self.compressed_kv, self.selected_kv, self.window_kv = (Linear(d_model, part.kv_heads * (d + v)) for _ in range(3))
        self.pending = State(part.block - 1, part.kv_heads * (d + v))
        self.compress = Compress(part)
        self.rotary = part.position.rotary(d)
        self.compressed_k_cache, self.compressed_v_cache = Cache(), Cache()
        self.selected_k_cache, self.selected_v_cache = Cache(), Cache()
        self.window_k_cache, self.window_v_cache = Cache(part.window), Cache(part.window)
        self.compressed_core = CompressedBranch(part)
        self.selected_core = SelectedBranch(part)
        self.window_core = WindowBranch(part)
        self.gate = Linear(d_model, 3 * h)
        self.mix = GatedSum()
        self.o = Linear(h * v, d_model)

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:  # (B, T, d_model), (T,)
        part, past = self.part, self.selected_k_cache.seen
        q = self.rotary(self.q(x).unflatten(-1, (part.heads, -1)), positions)  # (B, T, H, D)

        kv = self.compressed_kv(x)  # (B, T, G (D + V))
        k, v, left = self.compress(kv, self.pending.before(kv), past)  # (B, new entries, G, D), (B, new entries, G, V)
        self.pending(left)
        places = part.stride * torch.arange(part.entries(past), part.entries(past) + k.shape[1], device=x.device)
        k = self.rotary(k, places) if k.shape[1] else k
        k, v = self.compressed_k_cache(k), self.compressed_v_cache(v)  # (B, E, G, D), (B, E, G, V)
        compressed, chosen = self.compressed_core(q, k, v, positions)  # (B, T, H V), (B, T, G, K)

        k, v = self.split(self.selected_kv(x))
        k, v = self.selected_k_cache(self.rotary(k, positions)), self.selected_v_cache(v)  # (B, S, G, D), (B, S, G, V)
        selected = self.selected_core(q, k, v, positions, chosen)  # (B, T, H V)

        k, v = self.split(self.window_kv(x))
        k, v = (self.window_k_cache(self.rotary(k, positions)), self.window_v_cache(v))  # (B, window, G, D), (B, window, G, V)
        near = self.window_core(q, k, v, positions)  # (B, T, H V)
        return self.o(self.mix(self.gate(x), compressed, selected, near))

    def split(self, kv: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, G (D + V)) -> keys (B, T, G, D) and values (B, T, G, V)."""
        return kv.unflatten(-1, (self.part.kv_heads, -1)).split((self.part.head_dim, self.part.v_dim), dim=-1)


class Compress(Box):
    """The key and the value of a block: W2 ReLU(W1 [x_1 + e_1, ..., x_l + e_l]), with its own weights for each (equation 7)."""

    box = "pool"
    label = "Pool blocks"

    key_up: Linear
    key_down: Linear
    value_up: Linear
    value_down: Linear

    def __init__(self, part: NativeSparseAttention):
        super().__init__()
        self.part = part
        for name, dim in (("key", part.head_dim), ("value", part.v_dim)):
            self.register_parameter(f"{name}_places", normal(part.block, dim))
            self.add_module(f"{name}_up", Linear(part.block * dim, part.pool_hidden))
            self.add_module(f"{name}_down", Linear(part.pool_hidden, dim))
        self.explain = f"Every {part.stride} tokens, {part.block} tokens become one key and one value, each by a small network."

    def forward(self, kv: Tensor, before: Tensor, past: int) -> tuple[Tensor, Tensor, Tensor]:
        """(B, T, G (D + V)) and those of the tokens before, (B, block - 1, G (D + V)) -> keys and values of the blocks that are complete
        now, (B, E, G, D) and (B, E, G, V), and the last `block - 1` tokens."""
        part, new = self.part, kv.shape[1]
        kv = torch.cat((before, kv), dim=1)  # tokens past - (block - 1), ...
        left = kv[:, new:]
        if not self.made(new, past):
            return *self.empty(kv, 0), left
        start = part.entries(past) * part.stride - past + part.block - 1  # where the next block begins
        blocks = kv[:, start:].unfold(1, part.block, part.stride).unflatten(2, (part.kv_heads, -1))  # (B, E, G, D + V, block)
        k, v = blocks.transpose(-1, -2).split((part.head_dim, part.v_dim), dim=-1)  # (B, E, G, block, D or V)
        key = self.key_down(F.relu(self.key_up((k + self.key_places).flatten(-2))))
        value = self.value_down(F.relu(self.value_up((v + self.value_places).flatten(-2))))
        return key, value, left

    def made(self, new: int, past: int) -> int:
        """How many blocks become complete."""
        return self.part.entries(past + new) - self.part.entries(past)

    def empty(self, kv: Tensor, entries: int) -> tuple[Tensor, Tensor]:
        shape = len(kv), entries, self.part.kv_heads
        return kv.new_empty(*shape, self.part.head_dim), kv.new_empty(*shape, self.part.v_dim)

    def outline(self, kv: Tensor, before: Tensor, past: int) -> tuple[Tensor, Tensor, Tensor]:
        return *self.empty(kv, self.made(kv.shape[1], past)), torch.empty_like(before)


class Branch(Box):
    """softmax(q k^T / sqrt(D)) v over the keys that each query may see; zeros if it sees none."""

    box = "attention_core"

    def __init__(self, part: NativeSparseAttention):
        super().__init__()
        self.part = part

    def weights(self, q: Tensor, k: Tensor, seen: Tensor) -> Tensor:
        """(B, T, H, D), (B, S, G, D), (T, S) or (B, G, 1, T, S) -> (B, G, H / G, T, S)."""
        scores = torch.einsum("btghd,bsgd->bghts", q.unflatten(2, (k.shape[2], -1)), k) * self.part.head_dim**-0.5
        return masked_softmax(scores, seen).masked_fill(~seen, 0)

    def mean(self, weights: Tensor, v: Tensor) -> Tensor:
        return torch.einsum("bghts,bsgv->btghv", weights.to(v.dtype), v).flatten(2)  # (B, T, H V)

    def empty(self, q: Tensor, v: Tensor) -> Tensor:
        return q.new_empty(*q.shape[:2], q.shape[2] * v.shape[-1])


class CompressedBranch(Branch):
    """Attention to the pooled blocks; its probabilities also choose the blocks that each group of query heads will read."""

    label = "Attention to pooled blocks"
    explain = "Each query is scored against one key per block; the probabilities choose the blocks that are read token by token."

    def forward(self, q: Tensor, k: Tensor, v: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, H, D), (B, E, G, D), (B, E, G, V) -> (B, T, H V), indices of the chosen blocks (B, T, G, K), -1 where there are
        fewer than K."""
        whole = (positions + 1 - self.part.block) // self.part.stride + 1  # pooled blocks that are all past
        seen = torch.arange(k.shape[1], device=q.device) < whole[:, None]  # (T, E)
        weights = self.weights(q, k, seen)  # (B, G, H / G, T, E)
        return self.mean(weights, v), self.choose(weights.sum(dim=2).transpose(1, 2), positions)

    def choose(self, given: Tensor, positions: Tensor) -> Tensor:
        """The blocks whose strides have the highest probability, after the first and the last ones (equations 9 to 11)."""
        part = self.part
        covers, strides = part.block // part.stride, part.select_block // part.stride
        # Pooled block i covers the strides i, i + 1, ...: each stride gets the sum of all blocks that cover it.
        padded = [F.pad(given, (n, covers - 1 - n)) for n in range(covers)]
        given = sum(padded[1:], padded[0])  # (B, T, G, E) -> (B, T, G, strides of the text)
        blocks = given.shape[-1] // strides
        worth = given[..., : blocks * strides].unflatten(-1, (blocks, strides)).sum(dim=-1)
        worth = F.pad(worth, (0, 1))  # and the block that is not complete yet
        number = torch.arange(blocks + 1, device=worth.device)
        back = positions[:, None] // part.select_block - number  # (T, blocks)
        always = (back < part.local_blocks) | (number < part.first_blocks)
        worth = worth.masked_fill(always[:, None], torch.inf).masked_fill((back < 0)[:, None], -torch.inf)
        return best_blocks(worth, part.top_blocks)

    def outline(self, q: Tensor, k: Tensor, v: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        chosen = q.new_empty(*q.shape[:2], k.shape[2], self.part.top_blocks, dtype=torch.long)
        return self.empty(q, v), chosen


class TokenBranch(Branch):
    """Attention to tokens: which ones is a branch's own."""

    def forward(self, q: Tensor, k: Tensor, v: Tensor, positions: Tensor, *chosen: Tensor) -> Tensor:
        return self.mean(self.weights(q, k, self.seen(positions, k.shape[1], *chosen)), v)

    def outline(self, q: Tensor, k: Tensor, v: Tensor, positions: Tensor, *chosen: Tensor) -> Tensor:
        return self.empty(q, v)

    def seen(self, positions: Tensor, keys: int, *chosen: Any) -> Tensor:
        """Which keys each query may see."""
        raise NotImplementedError


class SelectedBranch(TokenBranch):
    label = "Attention to chosen blocks"
    explain = "Each query is scored against all keys of the blocks that its group chose."

    def seen(self, positions: Tensor, keys: int, chosen: Tensor) -> Tensor:  # (B, T, G, K)
        return within(chosen, positions, keys, self.part.select_block).unsqueeze(2)  # (B, G, 1, T, S)


class WindowBranch(TokenBranch):
    label = "Attention to the window"
    explain = "Each query is scored against the last tokens, with this branch's own keys and values."

    def seen(self, positions: Tensor, keys: int) -> Tensor:
        return Sight(window=self.part.window).visible(positions, keys)


class GatedSum(Box):
    """sum over branches c of sigmoid(g_c) y_c, with a gate for each head (equation 5)."""

    box = "scale"
    label = "Gated sum"
    explain = "The sum of the three branches, each multiplied by a sigmoid gate of the input for each head."

    def forward(self, gates: Tensor, *branches: Tensor) -> Tensor:  # (B, T, 3 H), (B, T, H V) three times -> (B, T, H V)
        gates = torch.sigmoid(gates).unflatten(-1, (3, -1, 1))  # (B, T, 3, H, 1)
        y = torch.stack(branches, dim=2).unflatten(-1, (gates.shape[3], -1))  # (B, T, 3, H, V)
        return (gates * y).sum(dim=2).flatten(2)

    def outline(self, gates: Tensor, *branches: Tensor) -> Tensor:
        return torch.empty_like(branches[0])
