"""Differential attention (arXiv:2410.05258): the difference of two softmaxes cancels the noise that both contain."""

import math
from collections.abc import Iterator
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from .base import OF_MODEL, Box, Cache, Flops, HeadDim, Heads, Inherited, Linear, Mixer, Read, Shape, causal_pairs, check_groups, normal
from .norm import Norm, RMSNorm
from .position import Position, check_turned
from .softmax import ALL, masked_softmax


class DifferentialAttention(Mixer):
    """Heads form pairs: the attention weights of the first half minus lambda times those of the second average the values of two heads
    side by side. lambda is learned and starts higher in deeper layers. H = heads, G = kv_heads, D = head_dim."""

    title = "Differential attention"
    line = "two softmax maps, one taken from the other"
    also = ("Diff Transformer",)

    kind: Literal["differential_attention"]
    heads: Heads = Field(description="Query heads, an even number; half of them are subtracted", examples=[32])
    kv_heads: Heads = Field(description="Key and value heads: an even divisor of heads", examples=[8])
    head_dim: HeadDim = Field(description="Channels of a query, key or value head", examples=[64])
    bias: bool = Field(False, description="Biases on all projections")
    out_norm: Norm = Field(RMSNorm(eps=1e-5, weight=False), description="Norm of each pair's output")
    norm: Inherited[Norm] = OF_MODEL
    position: Inherited[Position] = OF_MODEL

    @model_validator(mode="after")
    def _consistent(self):
        if self.kv_heads % 2:
            raise ValueError(f"kv_heads: {self.kv_heads} heads do not form pairs; give an even number")
        check_groups("kv_heads", self.heads, "heads", self.kv_heads)
        return self

    def reads(self, d_model: int) -> tuple[Read, ...]:
        return *super().reads(d_model), Read("core", "layer")

    def build(self, d_model: int) -> nn.Module:
        return DifferentialModule(self, d_model)

    def check(self, d_model: int, context: int) -> None:
        check_turned(self.position, self.head_dim)

    def cache(self, length: int) -> dict[str, Shape]:
        return dict.fromkeys(("key", "value"), (length, self.kv_heads, self.head_dim))

    def plain_cache(self, length: int) -> dict[str, Shape]:
        return dict.fromkeys(("key", "value"), (length, self.heads, self.head_dim))

    def flops(self, d_model: int, new: int, past: int) -> Flops:
        h, g, d = self.heads, self.kv_heads, self.head_dim
        return Flops(
            q=2 * new * d_model * h * d,
            k=2 * new * d_model * g * d,
            v=2 * new * d_model * g * d,
            core=2 * h * 3 * d * causal_pairs(new, past),
            o=2 * new * h * d * d_model,
        )

    def shrink(self, scale: float) -> Self:
        dim = self.position.shrunk(self.head_dim)
        heads = self.heads // self.kv_heads * 2
        return self.model_copy(update={"heads": heads, "kv_heads": 2, "head_dim": dim})

    def facts(self) -> Iterator[str]:
        yield f"{self.heads // 2} pairs of heads" + ("" if self.kv_heads == self.heads else f" · {self.kv_heads} KV")

    def explain(self, d_model: int) -> str:
        return (
            f"{self.heads} heads of {self.head_dim} channels in {self.heads // 2} pairs: one softmax minus lambda times the "
            f"other, so that attention to irrelevant tokens cancels out. It caches {2 * self.kv_heads * self.head_dim:,} values per token."
        )

    def checklist(self, d_model: int) -> Iterator[str]:
        yield "Heads i and i + H / 2 are a pair; value heads g and g + G / 2 are concatenated, so a pair's output is 2 D wide."
        yield "lambda is exp(q1 · k1) − exp(q2 · k2) + 0.8 − 0.6 exp(−0.3 l) for layer l, counted from 0."
        yield "Each pair's output is normalised alone and multiplied by 0.2 + 0.6 exp(−0.3 l), which is not learned."
        yield from self.position.checklist(self.head_dim)


class DifferentialModule(nn.Module):
    def __init__(self, part: DifferentialAttention, d_model: int):
        super().__init__()
        self.part = part
        h, g, d = part.heads, part.kv_heads, part.head_dim
        self.q = Linear(d_model, h * d, part.bias)
        self.k, self.v = Linear(d_model, g * d, part.bias), Linear(d_model, g * d, part.bias)
        self.k_cache, self.v_cache = Cache(), Cache()
        self.rotary = part.position.rotary(d)
        self.core = DifferentialCore(part)
        self.out_norm = part.out_norm.build(2 * d)
        self.o = Linear(h * d, d_model, part.bias)

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:  # (B, T, d_model), (T,)
        q, k = self.turn(self.q(x), positions), self.turn(self.k(x), positions)  # (B, T, H, D), (B, T, G, D)
        v = self.v_cache(self.v(x).unflatten(-1, (self.part.kv_heads, -1)))  # (B, S, G, D)
        pairs = self.core(q, self.k_cache(k), v, positions)  # (B, T, H / 2, 2 D)
        return self.o((self.out_norm(pairs) * (1 - self.core.start)).flatten(-2))

    def turn(self, x: Tensor, positions: Tensor) -> Tensor:
        return self.rotary(x.unflatten(-1, (-1, self.part.head_dim)), positions)


class DifferentialCore(Box):
    """(softmax(q1 k1^T) - lambda softmax(q2 k2^T)) v over the keys that each query may see."""

    box = "attention_core"
    label = "Difference of two softmaxes"
    layer = 0
    explain = "Each pair of heads scores the keys twice; lambda times the second softmax is subtracted from the first."

    def __init__(self, part: DifferentialAttention):
        super().__init__()
        self.part = part
        self.lambda_q1, self.lambda_k1 = normal(part.head_dim), normal(part.head_dim)
        self.lambda_q2, self.lambda_k2 = normal(part.head_dim), normal(part.head_dim)

    @property
    def start(self) -> float:
        """The initial lambda of this layer."""
        return 0.8 - 0.6 * math.exp(-0.3 * self.layer)

    def forward(self, q: Tensor, k: Tensor, v: Tensor, positions: Tensor) -> Tensor:
        first = (self.lambda_q1 * self.lambda_k1).sum().exp()
        second = (self.lambda_q2 * self.lambda_k2).sum().exp()
        q = q.unflatten(2, (2, k.shape[2] // 2, -1))  # (B, T, 2, G / 2, H / G, D)
        k, v = k.unflatten(2, (2, -1)), torch.cat(v.chunk(2, dim=2), dim=-1)  # (B, S, 2, G / 2, D), (B, S, G / 2, 2 D)
        scores = torch.einsum("btpghd,bspgd->bpghts", q, k) * self.part.head_dim**-0.5  # (B, 2, G / 2, H / G, T, S)
        weights = masked_softmax(scores, ALL.visible(positions, k.shape[1])).to(v.dtype)
        out = torch.einsum("bpghts,bsgv->bptghv", weights, v)  # (B, 2, T, G / 2, H / G, 2 D)
        return (out[:, 0] - (first - second + self.start) * out[:, 1]).flatten(2, 3)  # (B, T, H / 2, 2 D)

    def outline(self, q: Tensor, k: Tensor, v: Tensor, positions: Tensor) -> Tensor:
        return q.new_empty(*q.shape[:2], q.shape[2] // 2, 2 * q.shape[3])
