"""Manifold-constrained hyper-connections (mHC, arXiv:2512.24880; DeepSeek-V4): streams whose mix cannot make them grow."""

from collections.abc import Iterator
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from .base import Box, Eps, Positive, normal
from .residual import CopyStreams, Streams, _Residual


class ManifoldHyperConnections(_Residual):
    """Hyper-connections whose weights each token computes from its own streams. What mixes the streams among one another
    is brought near a doubly stochastic matrix by Sinkhorn's iterations, so that no depth makes them grow (mHC,
    arXiv:2512.24880, section 4; DeepSeek-V4, section 2.2)."""

    kind: Literal["manifold_hyper"]
    streams: Streams = 4
    iterations: int = Field(20, ge=0, le=100, description="Sinkhorn's iterations; 0 leaves each stream to itself (Hy4)")
    reach: Positive = Field(2.0, description="A stream takes at most this much of a part's output")
    eps: Eps = Field(1e-6, description="Added to the weights, and to the sums that they are divided by")
    norm_eps: Eps = Field(
        1e-6, description="Of the norm over all streams together, which the weights are computed from"
    )

    def split(self, d_model: int) -> nn.Module:
        return CopyStreams(self.streams)

    def merge(self, d_model: int) -> nn.Module:
        return ManifoldMerge(self, d_model)

    def build(self, d_model: int, index: int) -> tuple[nn.Module | None, nn.Module]:
        flops = 2 * self.streams**2 * d_model if self.iterations else 0
        return ManifoldRead(self, d_model), ManifoldWrite(self.scale, flops)

    def checklist(self) -> Iterator[str]:
        yield from super().checklist()
        yield f"A token's weights for its {self.streams} streams are computed in float32 from all of them together, under one norm."
        yield f"What is read passes a sigmoid plus {self.eps:g}; what is written, {self.reach:g} times a sigmoid."
        if self.iterations:
            yield (
                f"What mixes the streams is a softmax by rows, then divided by its columns' sums and {self.iterations - 1} times "
                "by rows' and columns' again; it is applied transposed."
            )


class ManifoldRead(Box):
    """Of n streams X: x = sum of a_i X_i with a = sigmoid + eps; how much of the output each takes; and the n × n matrix
    that mixes them. All are one linear map of the normalised streams, times a scale for each kind, plus a base."""

    box = "read"
    label = "Read streams"
    explain = (
        "From all its streams together each token computes what the part reads of them, what they will take of its output, "
        "and how they are mixed."
    )

    def __init__(self, residual: ManifoldHyperConnections, d_model: int):
        super().__init__()
        self.residual, n = residual, residual.streams
        self.sizes = (n, n, n * n) if residual.iterations else (n, n)
        self.weight = normal(sum(self.sizes), n * d_model)
        self.base = nn.Parameter(torch.zeros(sum(self.sizes)))
        self.scale = nn.Parameter(torch.ones(len(self.sizes)))
        self.token_flops = 2 * self.weight.numel()

    def forward(self, stream: Tensor) -> tuple[Tensor, ...]:
        """(B, T, n, d_model) -> (B, T, d_model), (B, T, n) and, where streams are mixed, (B, T, n, n)."""
        spec = self.residual
        logits = manifold_logits(stream, self.weight, spec.norm_eps).split(self.sizes, dim=-1)
        logits = [
            x * scale + base for x, scale, base in zip(logits, self.scale, self.base.split(self.sizes), strict=True)
        ]
        read, take = logits[0].sigmoid() + spec.eps, spec.reach * logits[1].sigmoid()
        x = (read.unsqueeze(-1) * stream).sum(dim=2).to(stream.dtype)
        if not spec.iterations:
            return x, (take + spec.eps).to(x.dtype)
        mix = logits[2].unflatten(-1, (spec.streams, -1)).softmax(dim=-1) + spec.eps  # (B, T, n, n)
        for step in range(spec.iterations):
            mix = mix / (mix.sum(dim=-1, keepdim=True) + spec.eps) if step else mix
            mix = mix / (mix.sum(dim=-2, keepdim=True) + spec.eps)
        return x, take.to(x.dtype), mix.to(x.dtype)

    def outline(self, stream: Tensor) -> tuple[Tensor, ...]:
        *lead, n, d = stream.shape
        shapes = ((d,), (n,), (n, n))
        return tuple(stream.new_empty(*lead, *shape) for shape in shapes[: len(self.sizes)])


class ManifoldWrite(Box):
    """X_j <- sum over i of M_ij X_i + b_j f(x)."""

    box = "add"
    keeps_shape = True
    label = "Write streams"
    explain = "The streams are mixed among one another, and each takes its own share of the part's output."

    def __init__(self, scale: float, token_flops: int = 0):
        super().__init__()
        self.scale, self.token_flops = scale, token_flops

    def forward(self, stream: Tensor, update: Tensor, take: Tensor, mix: Tensor | None = None) -> Tensor:
        """(B, T, n, d_model), (B, T, d_model), (B, T, n), (B, T, n, n) -> (B, T, n, d_model)."""
        kept = stream if mix is None else torch.einsum("btij,btid->btjd", mix, stream)
        return kept + self.scale * take.unsqueeze(-1) * update.unsqueeze(2)


class ManifoldMerge(Box):
    """x = sum of a_i X_i, with weights computed as those that a part reads by."""

    box = "read"
    label = "Merge streams"
    explain = "One more mix of the streams, computed by each token from its own, is what the last norm reads."

    def __init__(self, residual: ManifoldHyperConnections, d_model: int):
        super().__init__()
        self.residual, n = residual, residual.streams
        self.weight = normal(n, n * d_model)
        self.base, self.scale = nn.Parameter(torch.zeros(n)), nn.Parameter(torch.ones(1))
        self.token_flops = 2 * self.weight.numel()

    def forward(self, stream: Tensor) -> Tensor:  # (B, T, n, d_model) -> (B, T, d_model)
        logits = manifold_logits(stream, self.weight, self.residual.norm_eps) * self.scale + self.base  # (B, T, n)
        return ((logits.sigmoid() + self.residual.eps).unsqueeze(-1) * stream).sum(dim=2).to(stream.dtype)


def manifold_logits(stream: Tensor, weight: Tensor, eps: float) -> Tensor:
    """(B, T, n, d_model), (out, n d_model) -> (B, T, out) of all streams together under one norm, in float32."""
    flat = stream.flatten(2).float()
    return F.linear(F.rms_norm(flat, flat.shape[-1:], None, eps), weight.float())
