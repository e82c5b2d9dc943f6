"""Hyper-connections (arXiv:2409.19606): several residual streams that each part mixes with learned weights."""

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from .base import Box
from .residual import CopyStreams, Streams, _Residual


class HyperConnections(_Residual):
    """Several streams. Each part mixes, reads and writes them with learned weights (static
    hyper-connections, arXiv:2409.19606, section 2.1)."""

    title: ClassVar[str] = "Hyper-connections"
    kind: Literal["hyper"]
    streams: Streams = 4

    def split(self, d_model: int) -> nn.Module:
        return CopyStreams(self.streams)

    def merge(self, d_model: int) -> nn.Module:
        return SumStreams()

    def build(self, d_model: int, index: int) -> tuple[nn.Module | None, nn.Module]:
        return HyperRead(self.streams, index, d_model), HyperWrite(self.streams, self.scale, d_model)


class SumStreams(Box):
    box = "read"
    label = "Sum of streams"
    explain = "The streams are added up."

    def forward(self, stream: Tensor) -> Tensor:  # (B, T, streams, d_model) -> (B, T, d_model)
        return stream.sum(dim=2)


class HyperRead(Box):
    """x = sum over streams of a_i h_i; initially step k reads only stream k mod n, as in the paper."""

    box = "read"
    label = "Read streams"
    explain = "The part reads a learned mix of all residual streams."

    def __init__(self, streams: int, index: int, d_model: int):
        super().__init__()
        self.token_flops = 2 * streams * d_model
        self.weight = nn.Parameter(torch.eye(streams)[index % streams])

    def forward(self, stream: Tensor) -> tuple[Tensor]:  # (B, T, streams, d_model) -> (B, T, d_model)
        return (torch.einsum("btnd,n->btd", stream, self.weight),)


class HyperWrite(Box):
    """h_i <- sum over j of A_ij h_j + b_i f(x); initially n plain residual streams."""

    box = "add"
    keeps_shape = True
    label = "Write streams"
    explain = "The streams are mixed with one another, and each gets its own share of the part's output."

    def __init__(self, streams: int, scale: float, d_model: int):
        super().__init__()
        self.scale, self.token_flops = scale, 2 * streams * streams * d_model
        self.mix = nn.Parameter(torch.eye(streams))
        self.weight = nn.Parameter(torch.ones(streams))

    def forward(self, stream: Tensor, update: Tensor) -> Tensor:  # (B, T, streams, d_model), (B, T, d_model)
        mixed = torch.einsum("ij,btjd->btid", self.mix, stream)  # (B, T, streams, d_model)
        return mixed + self.scale * self.weight[:, None] * update.unsqueeze(2)
