"""Per-layer embeddings (Gemma 3n; Gemma 4): beside the stream, every layer gets a small vector for each token."""

from collections.abc import Iterator
from typing import Literal, Self

import torch
from pydantic import Field
from torch import Tensor, nn

from ..words import figure
from .base import OF_MODEL, Box, Embedding, Flops, Inherited, Linear, Part, Read, Width, scaled
from .feedforward import Activate, Activated
from .norm import Norm


class PerLayerEmbedding(Activated, Part):
    """The stream is projected to `width` channels, passes an activation and gates this layer's own embedding of the
    token; the product is projected back. The embeddings are looked up below the first layer, in one table for all
    layers, and mixed with a projection of the token's embedding. L = layers, P = width."""

    title = "Per-layer embedding"
    line = "each layer adds its own embedding of the token"
    also = ("PLE",)
    called = "layer_embedding"
    short = "PLE"
    role = "embedding"
    beneath_rows = {"table": "per-layer embedding table", "context": "per-layer projection"}

    kind: Literal["per_layer_embedding"]
    width: Width = Field(description="Embedding size of a token per layer", examples=[256])
    rows: int = Field(ge=1, le=16_777_216, description="Rows of the embedding table; further tokens read row 0", examples=[262_144])
    activation: Literal["reglu", "geglu", "geglu_tanh", "swiglu"] = Field("geglu_tanh", description="The gate's")
    norm: Inherited[Norm] = OF_MODEL

    def check(self, d_model: int, context: int) -> None:
        if not getattr(self.norm, "weight", True):
            raise ValueError("norm: the norm of the projection needs a weight; give a norm with weight true")

    def build(self, d_model: int) -> nn.Module:
        return PerLayerModule(self, d_model)

    def reads(self, d_model: int) -> tuple[Read, ...]:
        return (Read("per_layer", "per_layer", (self.width,)),)

    def beneath(self, layers: int, d_model: int) -> nn.Module:
        return PerLayerInputs(self, layers, d_model)

    def flops(self, d_model: int, new: int, past: int) -> Flops:
        return Flops(dict.fromkeys(("gate", "project"), 2 * new * d_model * self.width))

    def shrink(self, scale: float) -> Self:
        return self.model_copy(update={"width": scaled(self.width, scale), "rows": min(self.rows, 512)})

    def quantities(self, d_model: int) -> Iterator[tuple[str, ...]]:
        yield f"{figure(self.rows * self.width)} values", "in a table of each layer,", "looked up, not multiplied"

    def facts(self):
        yield f"{self.width:,} wide"

    def explain(self, d_model: int) -> str:
        return (
            f"Every layer has its own embedding for each of {self.rows:,} tokens, {self.width:,} channels wide: "
            f"{self.rows * self.width:,} values per layer that are looked up and never multiplied, so they can stay in "
            "slow memory. The stream gates it."
        )

    def checklist(self, d_model: int) -> Iterator[str]:
        yield (
            f"A layer's embedding is (looked up × √{self.width:,} + RMSNorm(projection of the token's embedding / "
            f"√{d_model:,})) / √2; one norm serves all layers."
        )
        yield "The per-layer embedding is added to the stream after the feed-forward network and its own norm."
        yield from self.notes()


class PerLayerModule(nn.Module):
    def __init__(self, part: PerLayerEmbedding, d_model: int):
        super().__init__()
        self.gate = Linear(d_model, part.width)
        self.activation = Activate(part)
        self.project = Linear(part.width, d_model)

    def forward(self, x: Tensor, per_layer: Tensor) -> Tensor:  # (B, T, d_model), (B, T, P)
        return self.project(self.activation(per_layer, self.gate(x)))


class PerLayerInputs(nn.Module):
    """The per-layer input of each token: (looked up + projected from its embedding) / sqrt(2)."""

    def __init__(self, part: PerLayerEmbedding, layers: int, d_model: int):
        super().__init__()
        self.part, self.layers = part, layers
        self.table = Table(part.rows, layers * part.width, part.width**0.5)
        self.context = Context(d_model, layers * part.width)
        self.context_norm = part.norm.build(part.width)
        self.context_mean = Mean()

    def forward(self, tokens: Tensor, x: Tensor) -> Tensor:  # (B, T), (B, T, d_model)
        looked = self.table(tokens).unflatten(-1, (self.layers, -1))  # (B, T, L, P)
        context = self.context_norm(self.context(x).unflatten(-1, (self.layers, -1)))  # (B, T, L, P)
        return self.context_mean(context, looked)


class Table(Embedding):
    """One table for all layers; a token without a row in it reads row 0."""

    label = "Per-layer table"
    unread = "in rows that are not read"

    def __init__(self, rows: int, width: int, scale: float):
        super().__init__(rows, width, scale)
        self.rows, self.idle = rows, (rows - 1) * width  # a token reads one row
        self.explain = f"All layers' vectors for each of {rows:,} tokens. Looking one up costs no FLOPs."

    def forward(self, tokens: Tensor) -> Tensor:
        return super().forward(torch.where(tokens < self.rows, tokens, 0))


class Context(Linear):
    """A projection divided by the root of its input's width."""

    def __init__(self, d_in: int, d_out: int):
        super().__init__(d_in, d_out)
        self.token_flops = 2 * self.weight.numel()

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * self.in_features**-0.5


class Mean(Box):
    """(a + b) / sqrt(2): the sum of two independent vectors, scaled to the size of one."""

    box = "add"
    keeps_shape = True
    label = "+"
    explain = "The sum of both, divided by √2."

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return (a + b) * 2**-0.5
