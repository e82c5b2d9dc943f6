"""Manifold-constrained hyper-connections (mHC, arXiv:2512.24880; DeepSeek-V4): streams mixed in a way that cannot make them grow."""

from collections.abc import Iterator
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from .base import Box, Eps, Positive, normal
from .residual import CopyStreams, Streams, _Residual


class ManifoldHyperConnections(_Residual):
    """Hyper-connections whose weights each token computes from its own streams. The matrix that mixes the streams
    is made almost doubly stochastic by Sinkhorn iterations, so that they do not grow with depth (mHC,
    arXiv:2512.24880, section 4; DeepSeek-V4, section 2.2)."""

    title: ClassVar[str] = "Manifold hyper-connections"
    also: ClassVar[tuple[str, ...]] = ("mHC",)
    kind: Literal["manifold_hyper"]
    streams: Streams = 4
    iterations: int = Field(20, ge=0, le=100, description="Sinkhorn iterations; with 0 the streams are not mixed (Hy4)")
    reach: Positive = Field(2.0, description="Largest weight of a part's output in a stream")
    eps: Eps = Field(1e-6, description="Epsilon, added to the weights and to the sums that divide them")
    norm_eps: Eps = Field(1e-6, description="Epsilon of the norm over all streams together")

    def split(self, d_model: int) -> nn.Module:
        return CopyStreams(self.streams)

    def merge(self, d_model: int) -> nn.Module:
        return ManifoldMerge(self, d_model)

    def build(self, d_model: int, index: int) -> tuple[nn.Module | None, nn.Module]:
        flops = 2 * self.streams**2 * d_model if self.iterations else 0
        return ManifoldRead(self, d_model), ManifoldWrite(self.scale, flops)

    def checklist(self) -> Iterator[str]:
        yield from super().checklist()
        yield f"A token's weights for its {self.streams} streams are computed in float32 from all of them together, after one norm."
        yield f"The weights for reading are a sigmoid plus {self.eps:g}; those for writing, {self.reach:g} times a sigmoid."
        if self.iterations:
            yield (
                f"The mixing matrix is a softmax over rows, then divided by its column sums, then {self.iterations - 1} times "
                "by its row sums and column sums; it is applied transposed."
            )


class ManifoldRead(Box):
    """Of n streams X: x = sum of a_i X_i with a = sigmoid + eps; each stream's share of the output; and the n × n matrix
    that mixes them. All are one linear map of the normalised streams, times a scale for each kind, plus a base."""

    box = "read"
    label = "Read streams"
    explain = (
        "From all its streams, each token computes what the part reads, each stream's share of the output, and how the streams are mixed."
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
        """(B, T, n, d_model) -> (B, T, d_model), (B, T, n) and, if streams are mixed, (B, T, n, n)."""
        spec = self.residual
        logits = manifold_logits(stream, self.weight, spec.norm_eps).split(self.sizes, dim=-1)
        logits = [x * scale + base for x, scale, base in zip(logits, self.scale, self.base.split(self.sizes), strict=True)]
        read, take = logits[0].sigmoid() + spec.eps, spec.reach * logits[1].sigmoid()
        x = (read.unsqueeze(-1) * stream).sum(dim=2).to(stream.dtype)
        if not spec.iterations:
            return x, (take + spec.eps).to(x.dtype)
        mix = logits[2].unflatten(-1, (spec.streams, -1)).softmax(dim=-1) + spec.eps  # (B, T, n, n)
        mix = mix / (mix.sum(dim=-2, keepdim=True) + spec.eps)
        for _ in range(spec.iterations - 1):
            mix = mix / (mix.sum(dim=-1, keepdim=True) + spec.eps)
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
    explain = "The streams are mixed with one another, and each gets its own share of the part's output."

    def __init__(self, scale: float, token_flops: int = 0):
        super().__init__()
        self.scale, self.token_flops = scale, token_flops

    def forward(self, stream: Tensor, update: Tensor, take: Tensor, mix: Tensor | None = None) -> Tensor:
        """(B, T, n, d_model), (B, T, d_model), (B, T, n), (B, T, n, n) -> (B, T, n, d_model)."""
        kept = stream if mix is None else torch.einsum("btij,btid->btjd", mix, stream)
        return kept + self.scale * take.unsqueeze(-1) * update.unsqueeze(2)


class ManifoldMerge(Box):
    """x = sum of a_i X_i, with weights computed like those for reading."""

    box = "read"
    label = "Merge streams"
    explain = "The last norm reads one more mix of the streams, with weights computed from each token's streams."

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
    """(B, T, n, d_model), (out, n d_model) -> (B, T, out) from all streams together after one norm, in float32."""
    flat = stream.flatten(2).float()
    return F.linear(F.rms_norm(flat, flat.shape[-1:], None, eps), weight.float())
