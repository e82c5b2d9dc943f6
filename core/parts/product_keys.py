"""Experts of one neuron each, selected by product keys (PEER, arXiv:2407.04153; Doge's cross-domain mixture of experts)."""

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Annotated, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from .base import OF_MODEL, Box, Flops, Inherited, Part, Width, normal, scaled
from .feedforward import GATED, NAMES, PLAIN, Activated, FeedForwardModule, feed_forward_flops
from .norm import Norm


class ProductKeyExperts(Activated, Part):
    """A feed-forward network that every token passes, and `top_k` of `count` neurons beside it. The sums of two lists of n = √count
    scores rank all pairs, so that 2 n scores rank n² neurons. E = count, K = top_k."""

    title = "Product-key experts"
    line = "millions of single neurons, found by two short lists"
    also = ("PEER", "MoE")
    called = "moe"
    role = "experts"
    components = {"router": ("router", "product keys"), "shared": ("shared", "network of every token"), "experts": ("experts", "neurons")}

    kind: Literal["product_key_experts"]
    count: Annotated[int, Field(ge=1, le=16_777_216)] = Field(description="Neurons", examples=[16_384])
    top_k: Annotated[int, Field(ge=1, le=65_536)] = Field(description="Neurons per token", examples=[64])
    d_ff: Width = Field(description="Hidden size of the network that every token passes", examples=[1024])
    bias: bool = Field(False, description="Biases in that network")
    norm: Inherited[Norm] = OF_MODEL

    @model_validator(mode="after")
    def _consistent(self):
        if self.top_k > self.keys**2:
            raise ValueError(f"top_k: {self.top_k} is more than the {self.keys**2} neurons; give 1 to {self.keys**2}")
        if self.activation not in GATED.values() and self.activation not in GATED:
            raise ValueError("activation: the neurons need a gated activation, whose gate they leave out; give one of  " + ", ".join(GATED))
        return self

    @property
    def keys(self) -> int:
        """Scores in each of the two lists."""
        return math.isqrt(self.count)

    def build(self, d_model: int) -> nn.Module:
        return ProductKeyModule(self, d_model)

    def flops(self, d_model: int, new: int, past: int) -> Flops:
        own = Flops(router=4 * new * d_model * self.keys, experts=4 * new * d_model * self.top_k)
        return Flops(own | feed_forward_flops(self, d_model, self.d_ff, new).under("shared"))

    def shrink(self, scale: float) -> Self:
        count = min(self.count, 256)
        return self.model_copy(
            update={"d_ff": scaled(self.d_ff, scale), "count": count, "top_k": min(self.top_k, 8, math.isqrt(count) ** 2)}
        )

    def facts(self) -> Iterator[str]:
        yield f"{self.top_k} of {self.count:,} neurons"
        yield f"d_ff {self.d_ff:,}"

    def explain(self, d_model: int) -> str:
        return (
            f"{self.count:,} experts of one neuron each: an input vector and an output vector. Two lists of {self.keys} scores "
            f"rank them all, and the best {self.top_k} are added to a network of width {self.d_ff:,} that every token passes."
        )

    def checklist(self, d_model: int) -> Iterator[str]:
        yield f"The score of neuron i · {self.keys} + j is the i-th score of the first list plus the j-th of the second."
        yield f"The softmax is over the {self.top_k} chosen sums; it multiplies the neuron's value after its activation."
        yield from self.notes()


class ProductKeyModule(nn.Module):
    def __init__(self, part: ProductKeyExperts, d_model: int):
        super().__init__()
        self.router = ProductKeyRouter(part, d_model)
        self.shared = FeedForwardModule(part, d_model, part.d_ff, part.bias)
        self.experts = Neurons(part, d_model)

    def forward(self, x: Tensor) -> Tensor:  # (B, T, d_model)
        weights, chosen = self.router(x)  # (B, T, K) twice
        return self.shared(x) + self.experts(x, weights, chosen)


class ProductKeyRouter(Box):
    """The best K sums of one score from each list."""

    box = "router"
    label = "Product keys"
    explain = "Two short lists of scores, added pair by pair, rank all neurons."

    def __init__(self, part: ProductKeyExperts, d_model: int):
        super().__init__()
        self.part = part
        self.weight = normal(2 * part.keys, d_model)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, d_model) -> weights and indices of the chosen neurons, (B, T, K) each."""
        first, second = F.linear(x, self.weight).chunk(2, dim=-1)  # (B, T, n) twice
        sums = (first.unsqueeze(-1) + second.unsqueeze(-2)).flatten(-2)  # (B, T, n n)
        best = sums.topk(self.part.top_k, dim=-1)
        return best.values.softmax(dim=-1), best.indices

    def outline(self, x: Tensor) -> tuple[Tensor, Tensor]:
        shape = (*x.shape[:2], self.part.top_k)
        return x.new_empty(shape), x.new_empty(shape, dtype=torch.long)


class Neurons(Box):
    box = "experts"
    keeps_shape = True
    label = "Neurons"
    explain = "The product of the token and each chosen neuron's input vector, after the activation, weights its output vector."

    def __init__(self, part: ProductKeyExperts, d_model: int):
        super().__init__()
        self.activation, self.scratch = PLAIN[GATED.get(part.activation, part.activation)], 2 * part.top_k
        self.label = f"Neurons, {NAMES[GATED.get(part.activation, part.activation)]}"
        self.down, self.up = normal(part.count, d_model), normal(part.count, d_model)
        self.idle = 2 * d_model * (part.count - part.top_k)

    def read_share(self, tensor: str) -> Fraction | None:
        return 1 - Fraction(self.idle, 2 * self.down.numel())

    def forward(self, x: Tensor, weights: Tensor, chosen: Tensor) -> Tensor:
        """(B, T, d_model), (B, T, K), (B, T, K) -> (B, T, d_model)."""
        given = (self.down[chosen] @ x.unsqueeze(-1)).squeeze(-1)  # (B, T, K)
        return ((self.activation(given) * weights).unsqueeze(-2) @ self.up[chosen]).squeeze(-2)
