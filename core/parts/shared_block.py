"""Zamba's shared block (arXiv:2405.16712, section 2; Zamba2, arXiv:2411.15242, section 2): one transformer block that many
layers of a state space model share."""

from collections.abc import Iterator
from typing import ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from .attention import Attention, AttentionModule
from .base import OF_MODEL, Flops, Inherited, Linear, Mixer, Rank, Read, Shape
from .feedforward import FeedForward, FeedForwardModule
from .norm import Norm


class SharedBlock(Mixer):
    """Attention, then a feed-forward network, on the concatenation of the residual stream and the embedding:
    2 × d_model channels. Each use has its own projection back to the stream. r = adapter_rank."""

    title = "Shared block"
    line = "attention and feed-forward, one set of weights for all"
    called = "shared"
    components: ClassVar = {
        "attention": ("attention", "attention of the shared block"),
        "feed_forward": ("feed_forward", "feed-forward of the shared block"),
        "adapter": ("feed_forward", "adapter of each use"),
        "leave": ("attention", "projection to the stream"),
    }

    kind: Literal["shared_block"]
    tied: bool = Field(True, description="All layers with this part share one set of weights")
    attention: Attention = Field(description="Attention over twice the stream's channels")
    feed_forward: FeedForward = Field(description="Feed-forward network on the attention's output")
    adapter_rank: Rank | None = Field(None, description="Rank of each use's adapter on gate and up projections; none if empty (Zamba2)")
    attention_adapters: bool = Field(False, description="Adds adapters of that rank to query, key and value projections")
    norm: Inherited[Norm] = OF_MODEL

    @model_validator(mode="after")
    def _consistent(self):
        if self.attention.cache_from or self.attention.tied or self.feed_forward.tied:
            raise ValueError("attention: the block is shared as a whole; remove tied and cache_from inside it")
        if self.attention_adapters and (self.adapter_rank is None or self.attention.shared_kv):
            raise ValueError("attention_adapters: need an adapter_rank and an attention without shared_kv; give both")
        if self.adapter_rank and not self.feed_forward.gated:
            raise ValueError("adapter_rank: it adapts a gate and an up projection; give a gated activation")
        return self

    @property
    def reach(self) -> int | None:
        return self.attention.reach

    def inherit(self, norm, position, vocab_size: int) -> Self:
        inner = {name: getattr(self, name).inherit(norm, position, vocab_size) for name in ("attention", "feed_forward")}
        return super().inherit(norm, position, vocab_size).model_copy(update=inner)

    def each(self, path: str) -> bool:
        return path.startswith("leave.") or "adapter" in path

    def build(self, d_model: int) -> nn.Module:
        return SharedBlockModule(self, d_model)

    def reads(self, d_model: int) -> tuple[Read, ...]:
        return *super().reads(d_model), Read("embedded", "embedded", (d_model,))

    def check(self, d_model: int, context: int) -> None:
        self.attention.check(2 * d_model, context)

    def cache(self, length: int) -> dict[str, Shape]:
        return self.attention.cache(length)

    def plain_cache(self, length: int) -> dict[str, Shape]:
        return self.attention.plain_cache(length)

    def flops(self, d_model: int, new: int, past: int) -> Flops:
        a, d_ff, rank = self.attention, self.feed_forward.d_ff, self.adapter_rank
        flops = a.flops(2 * d_model, new, past).under("attention")
        flops["attention.o"] = 2 * new * a.heads * a.v_dim * d_model
        if self.attention_adapters and rank:
            for name, width in (("q", a.heads * a.head_dim), ("k", a.kv_heads * a.head_dim), ("v", a.kv_heads * a.v_dim)):
                flops[f"attention.{name}.plain"] = flops.pop(f"attention.{name}")
                flops[f"attention.{name}.adapter_down"] = 4 * new * d_model * rank
                flops[f"attention.{name}.adapter_up"] = 2 * new * rank * width
        flops |= self.feed_forward.flops(d_model, new, past).under("feed_forward")
        if rank:
            flops["adapter_down"] = 2 * new * d_model * rank
            flops["adapter_up"] = 4 * new * rank * d_ff
        return Flops(flops | {"leave": 2 * new * d_model**2})

    def shrink(self, scale: float) -> Self:
        inner = {name: getattr(self, name).shrink(scale) for name in ("attention", "feed_forward")}
        return self.model_copy(update=inner | {"adapter_rank": self.adapter_rank and min(self.adapter_rank, 8)})

    def traits(self) -> Iterator[str]:
        yield "reads embedding"
        if self.adapter_rank:
            yield f"adapters {self.adapter_rank}"
        yield from super().traits()

    def facts(self) -> Iterator[str]:
        yield from self.attention.facts()
        yield from self.feed_forward.facts()

    def explain(self, d_model: int) -> str:
        words = (
            f"Attention of {self.attention.heads} heads and a feed-forward network of {self.feed_forward.d_ff:,}, one set of "
            f"weights for all layers that use it. It reads the stream and the token's embedding side by side, {2 * d_model:,} channels, "
            "and each use has its own projection after it. "
        )
        return words + (f"Each use also has its own adapters of rank {self.adapter_rank}." if self.adapter_rank else "")

    def checklist(self, d_model: int) -> Iterator[str]:
        yield f"The norm is over stream and embedding together, {2 * d_model:,} channels; the stream comes first."
        yield "There is no residual connection between its attention and its feed-forward network, which has a norm before it."
        if self.adapter_rank:
            yield "Gate and up share an adapter's first matrix."
        yield from self.attention.checklist(2 * d_model)


class Adapted(nn.Module):
    """A shared linear map plus a low-rank one of this use alone (LoRA, arXiv:2106.09685)."""

    def __init__(self, plain: Linear, rank: int):
        super().__init__()
        self.plain = plain
        self.adapter_down, self.adapter_up = Linear(plain.in_features, rank), Linear(rank, plain.out_features)

    def forward(self, x: Tensor) -> Tensor:
        return self.plain(x) + self.adapter_up(self.adapter_down(x))


class SharedBlockModule(nn.Module):
    def __init__(self, part: SharedBlock, d_model: int):
        super().__init__()
        ff, rank = part.feed_forward, part.adapter_rank
        self.attention_norm = part.norm.build(2 * d_model)
        self.attention = AttentionModule(part.attention, 2 * d_model, d_model)
        if part.attention_adapters and rank:
            for name in "qkv":
                setattr(self.attention, name, Adapted(getattr(self.attention, name), rank))
        self.feed_forward_norm = part.norm.build(d_model)
        self.feed_forward = FeedForwardModule(ff, d_model, ff.d_ff, ff.bias)
        self.adapted = rank is not None
        if rank:
            self.adapter_down, self.adapter_up = Linear(d_model, rank), Linear(rank, 2 * ff.d_ff)
        self.leave = Linear(d_model, d_model)

    def forward(self, x: Tensor, positions: Tensor, embedded: Tensor) -> Tensor:  # (B, T, d_model), (T,), (B, T, d_model)
        x = self.attention_norm(torch.cat((x, embedded), dim=-1))  # (B, T, 2 d_model)
        x = self.feed_forward_norm(self.attention(x, positions))  # (B, T, d_model)
        ff = self.feed_forward
        if not self.adapted or ff.gate is None:
            return self.leave(ff(x))
        gate, up = self.adapter_up(self.adapter_down(x)).chunk(2, dim=-1)  # (B, T, d_ff) each
        return self.leave(ff.narrowed(ff.up(x) + up, ff.gate(x) + gate))
