"""Relative attention (Inkling, Thinking Machines, 2026): no rotary embedding; each query computes, for each head, a profile
of what the distance of a key adds to its score."""

from collections.abc import Iterator
from typing import Literal, Self

from pydantic import Field, model_validator
from torch import Tensor, nn

from .attention import Attention, AttentionModule, CausalAttention
from .base import Box, Flops, HeadDim, Length, Linear, Shape, State, check_channels, normal
from .convolution import CausalConvolution, Kernel
from .softmax import key_positions


class RelativeAttention(Attention):
    """A query head's profile over the last `extent` distances is its relative_dim numbers times profiles that all heads share; keys
    and values pass a short convolution first. R = relative_dim, L = extent, K = kernel."""

    title = "Relative attention"
    line = "learned weights by distance in place of rotation"

    kind: Literal["relative_attention"]  # type: ignore[assignment]
    relative_dim: HeadDim = Field(description="Numbers per head that weight the shared profiles", examples=[16])
    extent: Length = Field(description="Distances that the profile covers; nothing is added beyond them", examples=[1024])
    kernel: Kernel | None = Field(None, description="Kernel size of the convolutions on keys and values; none if empty")

    @model_validator(mode="after")
    def _separate(self):
        check_channels("extent", self.heads, self.extent)
        for field in ("shared_kv", "cache_from"):
            if getattr(self, field):
                raise ValueError(f"{field}: keys and values each have their own convolution; remove this")
        return self

    @property
    def label(self) -> str:
        return self.title

    def build(self, d_model: int) -> nn.Module:
        return RelativeModule(self, d_model)

    def build_core(self) -> CausalAttention:
        return RelativeCore(self)

    def state(self, d_model: int) -> dict[str, Shape]:
        if not self.kernel:
            return {}
        widths = {"key inputs": self.kv_heads * self.head_dim, "value inputs": self.kv_heads * self.v_dim}
        return {name: (self.kernel - 1, width) for name, width in widths.items()}

    def flops(self, d_model: int, new: int, past: int) -> Flops:
        flops = super().flops(d_model, new, past)
        flops["relative"] = 2 * new * d_model * self.heads * self.relative_dim
        flops["profile"] = 2 * new * self.heads * self.relative_dim * self.extent
        if self.kernel:
            flops["k_convolve"] = 2 * new * self.kv_heads * self.head_dim * self.kernel
            flops["v_convolve"] = 2 * new * self.kv_heads * self.v_dim * self.kernel
        return Flops(flops)

    def shrink(self, scale: float) -> Self:
        return super().shrink(scale).model_copy(update={"extent": min(self.extent, 16)})

    def explain(self, d_model: int) -> str:
        words = (
            f"Each query adds a number to its scores for each of the last {self.extent:,} distances, computed from "
            f"{self.relative_dim} numbers of its own. "
        )
        if self.kernel:
            words += f"Keys and values are first mixed with those of the last {self.kernel - 1} tokens. "
        return words + super().explain(d_model)

    def checklist(self, d_model: int) -> Iterator[str]:
        yield f"The term for the distance is not scaled like the product of query and key; beyond {self.extent - 1:,} tokens it is zero."
        if self.kernel:
            yield "The convolutions' output is added to their input, before the norm of keys; they have no bias and no activation."
        if self.scores.temperature:
            yield "The temperature multiplies the product and the profile together."
        yield from super().checklist(d_model)


class RelativeModule(AttentionModule):
    part: RelativeAttention

    def __init__(self, part: RelativeAttention, d_model: int):
        super().__init__(part, d_model)
        self.relative = Linear(d_model, part.heads * part.relative_dim)
        self.profile = Profile(part)
        if part.kernel:
            for name, width in (("k", part.kv_heads * part.head_dim), ("v", part.kv_heads * part.v_dim)):
                self.add_module(f"{name}_inputs", State(part.kernel - 1, width))
                self.add_module(f"{name}_convolve", CausalConvolution(width, part.kernel))

    def recent(self, x: Tensor, name: str) -> Tensor:
        if not self.part.kernel:
            return x
        inputs = getattr(self, f"{name}_inputs")
        y, last = getattr(self, f"{name}_convolve")(x, inputs.before(x))
        inputs(last)
        return x + y

    def choose(self, x: Tensor, positions: Tensor, v: Tensor) -> tuple[Tensor]:
        return (self.profile(self.relative(x)),)


class Profile(Box):
    """What each query head adds to the score of a key at each distance: (B, T, H R) -> (B, T, H, L)."""

    box = "linear"

    def __init__(self, part: RelativeAttention):
        super().__init__()
        self.heads = part.heads
        self.weight = normal(part.relative_dim, part.extent)
        self.label = f"Profile over {part.extent:,} distances"
        self.explain = f"Each head's {part.relative_dim} numbers weight {part.relative_dim} learned profiles that all heads share."

    def forward(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)) @ self.weight


class RelativeCore(CausalAttention):
    part: RelativeAttention
    explain = "A score is the product of query and key plus the value of the query's profile for their distance."

    def placed(self, scores: Tensor, positions: Tensor, profile: Tensor) -> Tensor:
        distance = positions[:, None] - key_positions(positions, scores.shape[-1])  # (T, S)
        near = (distance >= 0) & (distance < self.part.extent)
        index = distance.clamp(0, self.part.extent - 1)[:, None].expand(*profile.shape[:-1], -1)  # (B, T, H, S)
        added = profile.gather(-1, index).masked_fill(~near[:, None], 0).transpose(1, 2)  # (B, H, T, S)
        return scores + added.unflatten(1, scores.shape[1:3])

    def seen(self, positions: Tensor, keys: int, profile: Tensor) -> Tensor:
        return super().seen(positions, keys)
