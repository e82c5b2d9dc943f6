"""Two streams at two paces (HRM, arXiv:2506.21734; HRM-Text, arXiv:2605.20613): a fast stack of layers runs several times on
its own output and the slow stream, then the slow stack runs once on the result."""

from collections.abc import Iterator
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from .base import Box, Eps
from .residual import _Residual


class Hierarchy(_Residual):
    """A slow stream, which begins as the embedding, and a fast one, which begins as a learned vector. The first part of a stack begins
    with the sum of both; its last one divides the stream by its root mean square. The head reads the last slow stream."""

    title: ClassVar[str] = "Slow and fast stream"
    kind: Literal["hierarchy"]
    writes: Literal["fast", "slow"] = Field("fast", description="The stream that the parts read and write")
    enter: bool = Field(False, description="Adds the other stream first: a stack begins here")
    leave: bool = Field(False, description="Divides the stream by its root mean square: a stack ends here")
    eps: Eps = Field(1e-6, description="Epsilon, added to that mean square before the root")

    @property
    def streams(self) -> int:
        return 2

    def split(self, d_model: int) -> nn.Module:
        return BothPaces(d_model)

    def merge(self, d_model: int) -> nn.Module:
        return SlowStream()

    def build(self, d_model: int, index: int) -> tuple[nn.Module | None, nn.Module]:
        return PaceRead(self), PaceWrite(self)

    def checklist(self) -> Iterator[str]:
        yield from super().checklist()
        yield "A stack begins with the sum of both streams and ends with a norm without weights; it changes only its own stream."
        yield "Each run of a stack has its own key-value cache, although the weights are the same."


class BothPaces(Box):
    box = "read"
    label = "Fast and slow stream"
    explain = "The slow stream begins as the embedding, the fast one as one learned vector."

    def __init__(self, d_model: int):
        super().__init__()
        self.start = nn.Parameter(torch.zeros(d_model))

    def forward(self, x: Tensor) -> Tensor:  # (B, T, d_model) -> (B, T, 2, d_model)
        return torch.stack((self.start.to(x.dtype).expand_as(x), x), dim=2)


class SlowStream(Box):
    box = "read"
    label = "Slow stream"
    explain = "The head reads only the slow stream."

    def forward(self, stream: Tensor) -> Tensor:  # (B, T, 2, d_model) -> (B, T, d_model)
        return stream[:, :, 1].clone()


class Pace(Box):
    """What a stack reads of both streams."""

    def __init__(self, residual: Hierarchy):
        super().__init__()
        self.residual, self.own = residual, ("fast", "slow").index(residual.writes)
        both = ", to which the other is added" if residual.enter else ""
        self.explain = f"The part reads the {residual.writes} stream{both}."

    def read(self, stream: Tensor) -> Tensor:  # (B, T, 2, d_model) -> (B, T, d_model)
        return stream.sum(dim=2) if self.residual.enter else stream[:, :, self.own].clone()


class PaceRead(Pace):
    box = "read"

    def __init__(self, residual: Hierarchy):
        super().__init__(residual)
        self.label = "Sum of both streams" if residual.enter else f"{residual.writes.capitalize()} stream"

    def forward(self, stream: Tensor) -> tuple[Tensor]:  # (B, T, 2, d_model) -> (B, T, d_model)
        return (self.read(stream),)


class PaceWrite(Pace):
    """The stream that was read plus the part's output; the other does not change."""

    box = "add"
    keeps_shape = True

    def __init__(self, residual: Hierarchy):
        super().__init__(residual)
        self.label = "+, norm" if residual.leave else "+"

    def forward(self, stream: Tensor, update: Tensor) -> Tensor:  # (B, T, 2, d_model), (B, T, d_model)
        own = self.read(stream) + self.residual.scale * update
        own = F.rms_norm(own, own.shape[-1:], None, self.residual.eps) if self.residual.leave else own
        both = (own, stream[:, :, 1]) if self.residual.writes == "fast" else (stream[:, :, 0], own)
        return torch.stack(both, dim=2)
