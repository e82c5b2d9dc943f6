"""Mixture of attention heads (arXiv:2210.05144): experts inside attention, as in JetMoE (arXiv:2404.07413, section 3.2)."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Annotated, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from .attention import Attention, CausalAttention
from .base import OF_MODEL, Also, Box, Cache, Flops, HeadDim, Heads, Inherited, Linear, Mixer, Shape, causal_pairs, normal
from .experts import grouped_linear
from .norm import Norm
from .position import Position
from .router import Count, Router, RouterModule


class AttentionExperts(Mixer):
    """Each of `count` experts is a query and an output projection of `heads` heads; all experts share keys and values.
    A token's `top_k` experts attend side by side. E = count, K = top_k, H = heads, D = head_dim."""

    title = "Mixture of attention heads"
    line = "a router picks a few heads for each token"
    also = ("MoA", "MoE")

    kind: Literal["attention_experts"]
    count: Annotated[Count, Also(("experts",))] = Field(description="Experts", examples=[8])
    top_k: Count = Field(description="Experts per token", examples=[2])
    heads: Heads = Field(description="Heads of one expert, and of keys and values", examples=[16])
    head_dim: HeadDim = Field(description="Channels of a head", examples=[128])
    out_bias: bool = Field(False, description="A bias on the sum of the experts")
    router: Router = Field(Router(over="chosen"), description="How experts are chosen and weighted")
    norm: Inherited[Norm] = OF_MODEL
    position: Inherited[Position] = OF_MODEL

    @model_validator(mode="after")
    def _consistent(self):
        if self.top_k > self.count:
            raise ValueError(f"top_k: {self.top_k} is more than the {self.count} experts; give 1 to {self.count}")
        if self.top_k * self.heads > 1_024:
            raise ValueError(f"heads: {self.top_k} experts of {self.heads} heads are more than 1,024; give fewer")
        if self.router.hidden or self.router.hashed:
            raise ValueError("router: these experts need a router of one matrix; remove hidden and hashed")
        if self.router.groups > 1:
            raise ValueError("router.groups: these experts have no groups; give 1")
        return self

    @property
    def choices(self) -> int:
        return self.count

    @property
    def chosen(self) -> Attention:
        """The attention of one token's experts: K query heads to each key."""
        return Attention(heads=self.top_k * self.heads, kv_heads=self.heads, head_dim=self.head_dim, position=self.position)

    def build(self, d_model: int) -> nn.Module:
        return AttentionExpertsModule(self, d_model)

    def check(self, d_model: int, context: int) -> None:
        self.position.check(self.head_dim)

    def cache(self, length: int) -> dict[str, Shape]:
        return dict.fromkeys(("key", "value"), (length, self.heads, self.head_dim))

    def plain_cache(self, length: int) -> dict[str, Shape]:
        return dict.fromkeys(("key", "value"), (length, self.top_k * self.heads, self.head_dim))

    def flops(self, d_model: int, new: int, past: int) -> Flops:
        wide = self.heads * self.head_dim
        return Flops(
            router=2 * new * d_model * self.count,
            q=2 * new * self.top_k * d_model * wide,
            k=2 * new * d_model * wide,
            v=2 * new * d_model * wide,
            core=4 * self.top_k * wide * causal_pairs(new, past),
            o=2 * new * self.top_k * wide * d_model,
        )

    def shrink(self, scale: float) -> Self:
        return self.model_copy(update={"heads": min(self.heads, 2), "head_dim": self.position.shrunk(self.head_dim)})

    def facts(self) -> Iterator[str]:
        yield f"{self.top_k} of {self.count} · {self.heads} heads each"

    def explain(self, d_model: int) -> str:
        kept = 2 * self.heads * self.head_dim
        return (
            f"A router sends each token to {self.top_k} of {self.count} experts, each a query and an output projection of "
            f"{self.heads} heads of {self.head_dim} channels. Keys and values are one projection for all experts, so the cache "
            f"keeps {kept:,} values per token for any number of experts."
        )

    def checklist(self, d_model: int) -> Iterator[str]:
        yield f"Head h of every expert reads key and value head h: keys are repeated {self.top_k} times, expert by expert."
        yield "The router's weights multiply an expert's output, after its output projection."
        yield from self.router.checklist(self.top_k, self.choices, d_model)
        if self.out_bias:
            yield "One bias is added to the sum of the experts."
        yield from self.position.checklist(self.head_dim)


class AttentionExpertsModule(nn.Module):
    def __init__(self, part: AttentionExperts, d_model: int):
        super().__init__()
        self.part = part
        wide = part.heads * part.head_dim
        self.router = RouterModule(part, d_model)
        self.q = ExpertProjections(part, d_model, wide)
        self.k, self.v = Linear(d_model, wide), Linear(d_model, wide)
        self.rotary = part.position.rotary(part.head_dim)
        self.k_cache, self.v_cache = Cache(), Cache()
        self.core = CausalAttention(part.chosen)
        self.o = WeightedProjections(part, wide, d_model)

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:  # (B, T, d_model), (T,)
        part = self.part
        weights, chosen = self.router(x)  # (B, T, K) twice
        q = self.q(x, chosen).unflatten(-1, (part.heads, part.head_dim))  # (B, T, K, H, D)
        q = q.transpose(2, 3).flatten(2, 3)  # (B, T, H K, D)
        k, v = (t.unflatten(-1, (part.heads, part.head_dim)) for t in (self.k(x), self.v(x)))  # (B, T, H, D)
        q, k = self.rotary(q, positions), self.rotary(k, positions)
        y = self.core(q, self.k_cache(k), self.v_cache(v), positions)  # (B, T, H K D)
        y = y.unflatten(-1, (part.heads, part.top_k, part.head_dim)).transpose(2, 3).flatten(-2)  # (B, T, K, H D)
        return self.o(y, weights, chosen)


class ExpertMatrices(Box):
    """A matrix for each expert, (E, out, in): each token passes those of its chosen experts."""

    box = "linear"

    def __init__(self, part: AttentionExperts, d_in: int, d_out: int):
        super().__init__()
        self.weight = normal(part.count, d_out, d_in)
        self.idle = (part.count - part.top_k) * d_out * d_in

    def read_share(self, tensor: str) -> Fraction | None:
        return 1 - Fraction(self.idle, self.weight.numel())

    def project(self, x: Tensor, chosen: Tensor) -> Tensor:  # (B, T, K, in), (B, T, K) -> (B, T, K, out)
        order = chosen.flatten().argsort()  # (B T K,): slots, expert by expert
        y = grouped_linear(x.flatten(0, 2)[order], self.weight, chosen.flatten()[order])
        return torch.empty_like(y).index_copy(0, order, y).unflatten(0, chosen.shape)


class ExpertProjections(ExpertMatrices):
    label = "Query experts"
    explain = "Each of a token's experts computes its own queries."

    def forward(self, x: Tensor, chosen: Tensor) -> Tensor:  # (B, T, in), (B, T, K) -> (B, T, K, out)
        return self.project(x.unsqueeze(2).expand(-1, -1, chosen.shape[-1], -1), chosen)

    def outline(self, x: Tensor, chosen: Tensor) -> Tensor:
        return x.new_empty(*chosen.shape, self.weight.shape[1])


class WeightedProjections(ExpertMatrices):
    """From each expert's heads back to the stream, summed by the router's weights."""

    label = "Output experts"
    explain = "The heads' output of each expert is projected back and summed with the router's weights."

    def __init__(self, part: AttentionExperts, d_in: int, d_out: int):
        super().__init__(part, d_in, d_out)
        self.bias = nn.Parameter(torch.zeros(d_out)) if part.out_bias else None

    def forward(self, x: Tensor, weights: Tensor, chosen: Tensor) -> Tensor:
        """(B, T, K, in), (B, T, K) twice -> (B, T, out)."""
        y = (self.project(x, chosen) * weights.unsqueeze(-1)).sum(dim=2)
        return y if self.bias is None else y + self.bias

    def outline(self, x: Tensor, weights: Tensor, chosen: Tensor) -> Tensor:
        return x.new_empty(*x.shape[:2], self.weight.shape[1])
