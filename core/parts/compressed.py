"""Compressed attention (DeepSeek-V4, sections 2.3.1 and 2.3.2): a short window of single tokens, and for all earlier tokens
one entry for every few tokens; attention reads all entries or those that an indexer chooses."""

from collections.abc import Iterator
from typing import Annotated, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from ..words import tokens
from .base import (
    OF_MODEL,
    Box,
    Cache,
    Flops,
    Form,
    HeadDim,
    Heads,
    Inherited,
    Linear,
    Mixer,
    Rank,
    Shape,
    Spec,
    State,
    Window,
    causal_pairs,
    check_groups,
    entry_pairs,
    normal,
)
from .chosen import LightningIndexer, check_pooled, whole
from .norm import Norm, RMSNorm
from .position import Position, Rope, TurnLast, Unturned
from .softmax import Sight, masked_softmax

Ratio = Annotated[int, Field(ge=1, le=512)]


class EntryIndexer(Spec):
    """Scores the entries in narrow heads, with keys that are compressed like the entries."""

    heads: Heads = Field(description="Query heads of the indexer", examples=[64])
    dim: HeadDim = Field(description="Channels of its queries, and of the key cached for each entry", examples=[128])
    top_k: Annotated[int, Field(ge=1, le=1_048_576)] = Field(description="Entries that each token attends to", examples=[512])

    def flops(self, q_rank: int, d_model: int, new: int, pairs: int) -> Flops:
        """`pairs` counts the (query, entry) pairs that each head scores."""
        return Flops(
            index_q=2 * new * q_rank * self.heads * self.dim,
            index_weights=2 * new * d_model * self.heads,
            choose=2 * self.heads * (self.dim + 1) * pairs,
        )

    def shrink(self, rope_dim: int) -> "EntryIndexer":
        return EntryIndexer(heads=min(self.heads, 4), dim=max(16, rope_dim), top_k=min(self.top_k, 3))


class CompressedAttention(Mixer):
    """All heads attend to the same vectors, each of which is both key and value: those of the last `window` tokens, and
    entries that are pooled from `ratio` tokens each. H = heads, D = head_dim, R = rope_dim, E = entries so far."""

    title = "Compressed attention"
    line = "pooled entries of older tokens, and a window"
    group = "sparse"
    forms = {
        "compressed_heavy": Form(
            "Compressed attention, heavy",
            "a window, and one entry for every 128 older tokens",
            lambda part: part.ratio and not part.indexer,
            lambda part, context: {"ratio": 128, "overlap": False, "indexer": None},
            also=("HCA", "heavily compressed attention"),
        ),
        "compressed_sparse": Form(
            "Compressed attention, sparse",
            "a window, and the best of entries of 4 older tokens",
            lambda part: part.indexer,
            lambda part, context: {"ratio": 4, "overlap": True, "indexer": {"heads": 64, "dim": max(128, part.rope_dim), "top_k": 512}},
            also=("CSA", "compressed sparse attention"),
        ),
    }

    kind: Literal["compressed_attention"]
    heads: Heads = Field(description="Query heads", examples=[64])
    head_dim: HeadDim = Field(description="Channels of a query head, and of the shared key and value", examples=[512])
    rope_dim: HeadDim = Field(description="Channels of these with rotary embedding, the last ones", examples=[64])
    q_rank: Rank = Field(description="Rank of the query projection, shared with the indexer", examples=[1024])
    window: Window = Field(128, description="Size of the sliding window, the token itself included")
    ratio: Ratio | None = Field(None, description="Tokens per pooled entry; no entries if empty")
    overlap: bool = Field(False, description="Each entry is also pooled from the `ratio` tokens before its own")
    indexer: EntryIndexer | None = Field(None, description="Chooses the entries; attention reads all of them if empty")
    out_groups: Heads = Field(1, description="Groups of heads whose output is compressed separately")
    out_rank: Rank = Field(description="Rank of each group's output projection", examples=[1024])
    norm: Inherited[Norm] = OF_MODEL
    position: Inherited[Position] = OF_MODEL

    @model_validator(mode="after")
    def _consistent(self):
        check_groups("out_groups", self.heads, "heads", self.out_groups)
        if self.rope_dim > self.head_dim:
            raise ValueError(f"rope_dim: {self.rope_dim} is more than the {self.head_dim} channels of a head; give at most {self.head_dim}")
        if self.ratio is None and (self.indexer or self.overlap):
            raise ValueError("ratio: it is empty, so there are no entries for the indexer or the overlap; give a ratio")
        if self.indexer and self.indexer.dim < self.rope_dim:
            raise ValueError(f"indexer.dim: {self.rope_dim} of its channels are rotated; give at least {self.rope_dim}")
        return self

    @property
    def reach(self) -> int | None:
        return None if self.ratio else self.window

    @property
    def label(self) -> str:
        if self.ratio is None:
            return "Window attention"
        return "Compressed attention, " + ("sparse" if self.indexer else "heavy")

    @property
    def span(self) -> int:
        """Tokens that one entry is pooled from."""
        return (self.ratio or 0) * (2 if self.overlap else 1)

    def build(self, d_model: int) -> nn.Module:
        return CompressedAttentionModule(self, d_model)

    def check(self, d_model: int, context: int) -> None:
        check_pooled(self.position, self.rope_dim)

    def cache(self, length: int) -> dict[str, Shape]:
        kept: dict[str, Shape] = {"window": (min(length, self.window), self.head_dim)}
        if self.ratio:
            kept["entries"] = (length // self.ratio, self.head_dim)
            if self.indexer:
                kept["index keys"] = (length // self.ratio, self.indexer.dim)
        return kept

    def cache_read(self, length: int) -> dict[str, Shape] | None:
        """The window, and all entries or those that the indexer chooses; it reads the keys of all."""
        kept = self.cache(length) | {"window": (min(length, self.window - 1), self.head_dim)}
        if self.indexer:
            kept["entries"] = (min(kept["entries"][0], self.indexer.top_k), self.head_dim)
        return kept

    def plain_cache(self, length: int) -> dict[str, Shape]:
        return {"key": (length, self.heads, self.head_dim), "value": (length, self.heads, self.head_dim)}

    def state(self, d_model: int) -> dict[str, Shape]:
        """What is kept of the tokens of the next entry: their values and the logits of their weights."""
        if not self.ratio:
            return {}
        pooled = {"pending": self.head_dim} | ({"pending index": self.indexer.dim} if self.indexer else {})
        wide = 4 if self.overlap else 2
        return {name: (self.span, wide * dim) for name, dim in pooled.items()}

    def pairs(self, new: int, past: int) -> int:
        """How many pairs attention scores: with the tokens of the window, and with entries."""
        near, most = causal_pairs(new, past, self.window), self.indexer.top_k if self.indexer else None
        return near + (entry_pairs(new, past, self.ratio, most) if self.ratio else 0)

    def flops(self, d_model: int, new: int, past: int) -> Flops:
        h, d, wide = self.heads, self.head_dim, 2 if self.overlap else 1
        flops = Flops(
            q_down=2 * new * d_model * self.q_rank,
            q=2 * new * self.q_rank * h * d,
            kv=2 * new * d_model * d,
            core=4 * h * d * self.pairs(new, past),
            o_down=2 * new * h * d * self.out_rank,
            o=2 * new * self.out_groups * self.out_rank * d_model,
        )
        if self.ratio:
            flops |= dict.fromkeys(("compress.kv", "compress.gate"), 2 * new * d_model * wide * d)
            if index := self.indexer:
                flops |= dict.fromkeys(("index_compress.kv", "index_compress.gate"), 2 * new * d_model * wide * index.dim)
                flops |= index.flops(self.q_rank, d_model, new, entry_pairs(new, past, self.ratio))
        return Flops(flops)

    def shrink(self, scale: float) -> Self:
        groups, rope_dim = min(self.out_groups, 2), self.position.shrunk(self.rope_dim, 8)
        return self.model_copy(
            update={
                "heads": groups * min(self.heads // self.out_groups, 4),
                "head_dim": max(16, rope_dim),
                "rope_dim": rope_dim,
                "q_rank": 24,
                "window": min(self.window, 8),
                "ratio": self.ratio and min(self.ratio, 8),
                "indexer": self.indexer and self.indexer.shrink(rope_dim),
                "out_groups": groups,
                "out_rank": 16,
            }
        )

    def traits(self) -> Iterator[str]:
        yield from super().traits()
        yield from ("QK norm", "sinks")

    def facts(self) -> Iterator[str]:
        yield f"{self.heads} heads"
        if self.indexer:
            yield f"1 in {self.ratio}, best {self.indexer.top_k:,}"
        elif self.ratio:
            yield f"1 in {self.ratio}"
        yield f"window {tokens(self.window)}"

    def explain(self, d_model: int) -> str:
        words = (
            f"{self.heads} query heads read one vector of {self.head_dim} values per token, both key and value, for the last "
            f"{self.window:,} tokens. "
        )
        if self.ratio:
            words += f"For all earlier tokens, there is one such entry for every {self.ratio} tokens, pooled from {self.span}. "
        if self.indexer:
            words += f"An indexer chooses the best {self.indexer.top_k:,} entries for each token. "
        elif self.ratio:
            words += "Each token attends to all of them. "
        given = f"each of {self.out_groups} groups of heads" if self.out_groups > 1 else "all heads"
        return words + f"The output of {given} is compressed to {self.out_rank:,} channels before the output projection."

    def checklist(self, d_model: int) -> Iterator[str]:
        yield f"Keys are also the values: the last {self.rope_dim} channels of the output are rotated back by the query's position."
        yield "Queries have a norm without weights on each head, keys one with weights; each head has a sink."
        if self.ratio:
            yield f"An entry is rotated by the position of its first token; a query sees it once all its {self.ratio} tokens are past."
            yield "Within an entry, each channel has its own softmax over tokens, of a projection plus a learned bias for each place."
        if self.overlap:
            yield "A token has two values and two logits: one for its own entry, one for the next; the first entry has none before it."
        if self.indexer:
            yield "The indexer's scores pass ReLU before the weighted sum over its heads; its keys are pooled with their own weights."
        yield from self.position.checklist(self.rope_dim)


class CompressedAttentionModule(nn.Module):
    def __init__(self, part: CompressedAttention, d_model: int):
        super().__init__()
        self.part = part
        h, d = part.heads, part.head_dim
        self.q_down = Linear(d_model, part.q_rank)
        self.q_norm = part.norm.build(part.q_rank)
        self.q = Linear(part.q_rank, h * d)
        self.head_norm = RMSNorm(eps=part.norm.eps, weight=False).build(d)
        self.kv = Linear(d_model, d)
        self.kv_norm = part.norm.build(d)
        self.rotary, self.back = turning(part), turning(part, back=True)
        self.cache = Cache(part.window)
        if part.ratio:
            self.compress = Compressor(part, part.ratio, d_model, d)
            if index := part.indexer:
                self.index_q = Linear(part.q_rank, index.heads * index.dim)
                self.index_weights = Linear(d_model, index.heads)
                self.index_compress = Compressor(part, part.ratio, d_model, index.dim)
                self.choose = LightningIndexer(index.heads, index.dim, index.top_k, part.ratio)
        self.core = CompressedCore(part)
        self.o_down = GroupedLinear(part.out_groups, h * d // part.out_groups, part.out_rank)
        self.o = Linear(part.out_groups * part.out_rank, d_model)

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:  # (B, T, d_model), (T,)
        part, past = self.part, self.cache.seen
        compressed = self.q_norm(self.q_down(x))  # (B, T, q_rank)
        q = self.head_norm(self.q(compressed).unflatten(-1, (part.heads, -1)))  # (B, T, H, D)
        kv = self.kv_norm(self.kv(x)).unsqueeze(2)  # (B, T, 1, D)
        q, kv = self.rotary(q, positions), self.rotary(kv, positions)
        entries = self.compress(x, past) if part.ratio else None  # (B, E, D)
        chosen = self.chosen(x, compressed, positions, past) if part.indexer else None  # (B, T, K)
        y = self.core(q, self.cache(kv.squeeze(2)), entries, positions, chosen)  # (B, T, H, D)
        return self.o(self.o_down(self.back(y, positions).flatten(2)))

    def chosen(self, x: Tensor, compressed: Tensor, positions: Tensor, past: int) -> Tensor:
        """The entries that each token attends to, (B, T, K)."""
        q = self.index_q(compressed).unflatten(-1, (self.choose.heads, -1))  # (B, T, I, D')
        return self.choose(self.rotary(q, positions), self.index_compress(x, past), self.index_weights(x), positions)


def turning(part: CompressedAttention, back: bool = False) -> nn.Module:
    return TurnLast(part.position, part.rope_dim, back) if isinstance(part.position, Rope) else Unturned()


class Compressor(nn.Module):
    """Tokens to entries, each normalised and rotated by the position of its first token."""

    def __init__(self, part: CompressedAttention, ratio: int, d_model: int, dim: int):
        super().__init__()
        self.ratio = ratio
        wide = dim * (2 if part.overlap else 1)
        self.kv, self.gate = Linear(d_model, wide), Linear(d_model, wide)
        self.pending = State(part.span, 2 * wide)
        self.pool = Pool(part, ratio, dim)
        self.norm = part.norm.build(dim)
        self.rotary = turning(part)
        self.cache = Cache()

    def forward(self, x: Tensor, past: int) -> Tensor:  # (B, T, d_model) -> (B, E, D)
        new = torch.cat((self.kv(x), self.gate(x)), dim=-1)  # (B, T, 2 D), twice that if entries overlap
        entries, left = self.pool(new, self.pending.before(new), past)
        self.pending(left)
        entries = self.norm(entries)
        if entries.shape[1]:
            first = past // self.ratio
            places = self.ratio * torch.arange(first, first + entries.shape[1], device=x.device)
            entries = self.rotary(entries.unsqueeze(2), places).squeeze(2)
        return self.cache(entries)


class Pool(Box):
    """C_i = sum over its tokens j of softmax_j(Z_j + B_j) * X_j, channel by channel (DeepSeek-V4, equations 11, 12 and 22, 23)."""

    box = "pool"
    label = "Pool tokens"

    def __init__(self, part: CompressedAttention, ratio: int, dim: int):
        super().__init__()
        self.ratio, self.dim, self.sides = ratio, dim, 2 if part.overlap else 1
        self.bias = nn.Parameter(torch.zeros(ratio, self.sides * dim))
        self.explain = f"Of {part.span} tokens one entry, for every {ratio}: in each channel a softmax weighs the tokens."

    def forward(self, x: Tensor, before: Tensor, past: int) -> tuple[Tensor, Tensor]:
        """(B, T, 2 wide), (B, span, 2 wide) -> the entries that are complete now (B, E, dim), and the last `span` tokens."""
        x = torch.cat((before, x), dim=1)  # tokens past - span, past - span + 1, ...
        made, span = self.made(x.shape[1] - before.shape[1], past), before.shape[1]
        left = x[:, -span:]
        if not made:
            return x.new_empty(len(x), 0, self.dim), left
        first = past // self.ratio
        tokens = x[:, (first + 1) * self.ratio - past :].unfold(1, span, self.ratio)  # (B, E, 2 wide, span)
        tokens = tokens.unflatten(2, (2, self.sides, self.dim)).unflatten(-1, (self.sides, self.ratio))
        tokens = tokens.diagonal(dim1=3, dim2=5)  # (B, E, 2, dim, ratio, sides): the tokens before give their first half
        values, logits = tokens[:, :, 0], tokens[:, :, 1].float()
        logits = logits + self.bias.float().unflatten(1, (self.sides, self.dim)).permute(2, 0, 1)
        if self.sides == 2 and first == 0:  # nothing is before the first entry
            absent = torch.zeros(made, 1, 1, 2, dtype=torch.bool, device=x.device)
            absent[0, :, :, 0] = True
            logits = logits.masked_fill(absent, -torch.inf)
        weights = logits.flatten(-2).softmax(dim=-1).to(x.dtype)
        return (weights * values.flatten(-2)).sum(dim=-1), left

    def made(self, new: int, past: int) -> int:
        """How many entries become complete."""
        return (past + new) // self.ratio - past // self.ratio

    def outline(self, x: Tensor, before: Tensor, past: int) -> tuple[Tensor, Tensor]:
        return x.new_empty(len(x), self.made(x.shape[1], past), self.dim), torch.empty_like(before)


class CompressedCore(Box):
    """One softmax over the tokens of the window, the entries and a sink."""

    box = "attention_core"
    label = "Scaled dot-product attention"
    explain = "Each query is scored against the window's tokens and the entries; one softmax covers both, and a sink."

    def __init__(self, part: CompressedAttention):
        super().__init__()
        self.part = part
        self.sinks = nn.Parameter(torch.zeros(part.heads))

    def forward(self, q: Tensor, kv: Tensor, entries: Tensor | None, positions: Tensor, chosen: Tensor | None = None) -> Tensor:
        """(B, T, H, D), (B, S, D), (B, E, D), (T,), (B, T, K) -> (B, T, H, D)."""
        keys = kv if entries is None else torch.cat((kv, entries), dim=1)  # (B, S + E, D)
        scores = torch.einsum("bthd,bsd->bhts", q, keys) * self.part.head_dim**-0.5  # (B, H, T, S + E)
        seen = Sight(window=self.part.window).visible(positions, kv.shape[1])  # (T, S)
        if entries is not None and self.part.ratio:
            past = whole(positions, entries.shape[1], self.part.ratio)  # (T, E)
            if chosen is not None and entries.shape[1]:
                picked = past.new_zeros(len(q), *past.shape).scatter(-1, chosen, True)
                past = (past & picked).unsqueeze(1)  # (B, 1, T, E)
            seen = torch.cat((seen.expand(*past.shape[:-1], -1), past), dim=-1)
        weights = masked_softmax(scores, seen, self.sinks).to(kv.dtype)
        return torch.einsum("bhts,bsd->bthd", weights, keys)

    def outline(self, q: Tensor, kv: Tensor, entries: Tensor | None, positions: Tensor, chosen: Tensor | None = None) -> Tensor:
        return torch.empty_like(q)


class GroupedLinear(Box):
    """A linear map for each group of channels: it has 1 / groups of the weights of one map for all channels."""

    box = "linear"

    def __init__(self, groups: int, d_in: int, d_out: int):
        super().__init__()
        self.weight = normal(groups, d_out, d_in)
        self.label = f"Linear {groups} × {d_in:,} → {d_out:,}"
        self.explain = f"{groups} groups of channels, each with its own matrix of {d_out:,} × {d_in:,} weights."

    def forward(self, x: Tensor) -> Tensor:  # (B, T, groups d_in) -> (B, T, groups d_out)
        return torch.einsum("btgi,goi->btgo", x.unflatten(-1, (len(self.weight), -1)), self.weight).flatten(2)
