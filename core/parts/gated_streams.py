"""Gated residual streams (Qwen 4): several streams, each read through a gate on every channel."""

from collections.abc import Iterator
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from .base import Box, Eps, Rank, normal
from .manifold_hyper import ManifoldWrite
from .residual import CopyStreams, Streams, _Residual


class GatedStreams(_Residual):
    """Several streams. Each part reads them through its own gate on every channel, computed from all streams through a
    low rank; each stream gets its own share of the part's output (Qwen 4). The norm is on each stream, in the read."""

    title: ClassVar[str] = "Gated streams"
    kind: Literal["gated_streams"]
    norm: Literal["none"] = Field("none", description="No norm before a part except the norm on the streams")
    streams: Streams = 4
    rank: Rank = Field(320, description="Rank of the gates' projections")
    norm_eps: Eps = Field(1e-6, description="Epsilon of the norm on each stream")

    def split(self, d_model: int) -> nn.Module:
        return CopyStreams(self.streams)

    def merge(self, d_model: int) -> nn.Module:
        return GatedMerge(self, d_model)

    def build(self, d_model: int, index: int) -> tuple[nn.Module | None, nn.Module]:
        return GatedRead(self, d_model), ManifoldWrite(self.scale)

    def checklist(self) -> Iterator[str]:
        yield from super().checklist()
        yield f"A part reads the mean of the {self.streams} normalised streams, each channel times its own sigmoid gate."
        yield f"The logits of both gates are divided by {self.streams}; the share of a stream is twice a sigmoid."
        yield "The norm weight of the streams is stored minus one; after the last layer, one more read replaces the norm."


class GatedMerge(Box):
    """x = mean of g_i * norm X_i, with gates g = sigmoid(U silu(D norm X / n)) of every channel of every stream."""

    box = "read"
    label = "Gate streams"
    explain = "The mean of the normalised streams, each channel times a gate computed from all of them through a low rank."

    def __init__(self, residual: GatedStreams, d_model: int):
        super().__init__()
        self.residual, n = residual, residual.streams
        self.norm_weight = nn.Parameter(torch.zeros(n, d_model))  # stored minus one
        self.down, self.up = normal(residual.rank, n * d_model), normal(n * d_model, residual.rank)
        self.token_flops = 2 * (self.down.numel() + self.up.numel())

    def forward(self, stream: Tensor) -> Tensor | tuple[Tensor, ...]:  # (B, T, n, d_model) -> (B, T, d_model)
        return self.mean(self.normed(stream))

    def normed(self, stream: Tensor) -> Tensor:
        x = F.rms_norm(stream.float(), stream.shape[-1:], None, self.residual.norm_eps)
        return (x * (1 + self.norm_weight.float())).to(stream.dtype)

    def mean(self, normed: Tensor) -> Tensor:
        gates = F.silu(F.linear(normed.flatten(2), self.down) / self.residual.streams)  # (B, T, rank)
        gates = torch.sigmoid(F.linear(gates, self.up)).unflatten(-1, normed.shape[2:])  # (B, T, n, d_model)
        return (gates * normed).mean(dim=2)


class GatedRead(GatedMerge):
    """The same, and each stream's share of the output: 2 sigmoid(W norm X / n)."""

    def __init__(self, residual: GatedStreams, d_model: int):
        super().__init__(residual, d_model)
        self.take = normal(residual.streams, residual.streams * d_model)
        self.token_flops += 2 * self.take.numel()

    def forward(self, stream: Tensor) -> tuple[Tensor, Tensor]:  # (B, T, n, d_model) -> (B, T, d_model), (B, T, n)
        normed = self.normed(stream)
        return self.mean(normed), 2 * torch.sigmoid(F.linear(normed.flatten(2), self.take) / self.residual.streams)
