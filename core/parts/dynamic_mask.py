"""Dynamic mask attention (Doge, arXiv:2412.11834): the value of a key decides its weight, and in long texts whether it is read at all."""

from collections.abc import Iterator
from typing import Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from .attention import Attention, AttentionModule, CausalAttention
from .base import Box, Flops, Length, Shape, causal_pairs, normal
from .chosen import ordered


class DynamicMaskAttention(Attention):
    """Each key adds exp(a softplus(W v)) to its scores, one number per key and value head, and a query sees only the
    `keep` keys with the largest numbers."""

    title = "Dynamic mask attention"
    line = "each head keeps only its highest-scored keys"
    also = ("DMA",)
    group = "sparse"

    kind: Literal["dynamic_mask_attention"]  # type: ignore[assignment]
    keep: Length = Field(2_048, description="Most keys that a query sees: those with the largest weights")

    @model_validator(mode="after")
    def _whole(self):
        if self.sight.chunk:
            raise ValueError("sight.chunk: a dynamic mask chooses among all keys or those of a window; remove it")
        return self

    @property
    def label(self) -> str:
        return self.title

    def build(self, d_model: int) -> nn.Module:
        return DynamicMaskModule(self, d_model)

    def build_core(self) -> CausalAttention:
        return DynamicMaskCore(self)

    def pairs(self, new: int, past: int) -> int:
        return causal_pairs(new, past, self.sight.kept(self.keep))

    def cache_read(self, length: int) -> dict[str, Shape] | None:
        return None  # heads choose for themselves, perhaps the same

    def flops(self, d_model: int, new: int, past: int) -> Flops:
        flops = super().flops(d_model, new, past)
        keys = self.sight.kept(past + 1) + new - 1
        return Flops(flops | {"weigh": 2 * keys * self.kv_heads * self.v_dim * self.kv_heads})

    def shrink(self, scale: float) -> Self:
        return super().shrink(scale).model_copy(update={"keep": min(self.keep, 16)})

    def facts(self) -> Iterator[str]:
        yield from super().facts()
        yield f"best {self.keep:,} keys"

    def explain(self, d_model: int) -> str:
        return f"{super().explain(d_model)} Each value gives its key a weight; a query sees the {self.keep:,} largest."

    def checklist(self, d_model: int) -> Iterator[str]:
        yield "A key's weight is exp(a · softplus(W v)), with its values in all heads together as v, and is added to the scaled scores."
        yield from super().checklist(d_model)


class DynamicMaskModule(AttentionModule):
    def __init__(self, part: DynamicMaskAttention, d_model: int):
        super().__init__(part, d_model)
        self.weigh = KeyWeights(part)

    def choose(self, x: Tensor, positions: Tensor, v: Tensor) -> tuple[Tensor]:
        return (self.weigh(v),)


class KeyWeights(Box):
    """exp(a softplus(W v)) of the values of all heads together: one number per key and value head."""

    box = "activation"
    label = "Key weights"
    explain = "The values of a token give its key a weight in each key and value head."

    def __init__(self, part: DynamicMaskAttention):
        super().__init__()
        self.weight = normal(part.kv_heads, part.kv_heads * part.v_dim)
        self.bias = nn.Parameter(torch.zeros(part.kv_heads)) if part.bias else None
        self.decay = nn.Parameter(torch.zeros(part.kv_heads))

    def forward(self, v: Tensor) -> Tensor:  # (B, S, G, V) -> (B, S, G)
        return torch.exp(self.decay * F.softplus(F.linear(v.flatten(2), self.weight, self.bias)))

    def outline(self, v: Tensor) -> Tensor:
        return v.new_empty(v.shape[:3])


class DynamicMaskCore(CausalAttention):
    """Softmax attention with a weight added for each key, over the visible keys with the largest weights."""

    part: DynamicMaskAttention
    explain = "Scores plus a weight for each key, computed from its value; the softmax is over the keys with the largest weights."

    def placed(self, scores: Tensor, positions: Tensor, weights: Tensor) -> Tensor:
        """(B, G, H / G, T, S), (T,), (B, S, G) -> as the scores."""
        return scores + weights.transpose(1, 2)[:, :, None, None]

    def seen(self, positions: Tensor, keys: int, weights: Tensor) -> Tensor:
        plain = super().seen(positions, keys)  # (T, S)
        if keys <= self.part.keep:
            return plain
        weights = weights.transpose(1, 2)[:, :, None].expand(-1, -1, len(plain), -1)  # (B, G, T, S)
        weights = weights.masked_fill(~plain, -torch.inf)
        best = ordered(weights).indices[..., : self.part.keep]
        return (torch.zeros_like(weights, dtype=torch.bool).scatter(-1, best, True) & plain).unsqueeze(2)
