"""Attention residuals over blocks of layers (AttnRes, arXiv:2603.15031; Kimi K3): each part reads a softmax mix of earlier sums."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from .base import Box, Eps, normal
from .residual import Numbered, Streams, _Residual


class AttentionResiduals(_Residual):
    """Outputs are summed within a block of layers. A part reads no sum alone: a learned query of its own scores the sum so far and
    the finished sums of all earlier blocks, the embedding first, and the part reads their softmax mix (section 3.2). The stream's
    first place has the sum so far, the others those of finished blocks, in order. n = streams."""

    title: ClassVar[str] = "Attention residuals"
    also: ClassVar[tuple[str, ...]] = ("AttnRes",)
    kind: Literal["attention_residuals"]
    streams: Streams = Field(4, description="Places for sums: one for the sum so far, and one for the embedding and each finished block")
    block: Annotated[int, Field(ge=1, le=1_024)] = Field(12, description="Layers in a block")
    norm_eps: Eps = Field(1e-5, description="Epsilon of the norm on the sums before they are scored")

    def check_block(self, steps: Sequence[_Residual], delayed: bool) -> None:
        if delayed:
            raise ValueError("shortcut, aside: attention residuals have neither; remove them")

    def check_layers(self, depth: int, steps: Iterable[_Residual], ahead: bool) -> None:
        if any(getattr(step, "block", None) != self.block for step in steps):
            raise ValueError("residual: give all steps of all layers attention residuals with the same block")
        if (needed := -(-depth // self.block) + 1) > self.streams:
            raise ValueError(
                f"residual.streams: {depth:,} layers in blocks of {self.block:,} need {needed:,}; give {needed:,} or a larger block"
            )
        if ahead:
            raise ValueError("mtp.residual: modules that predict ahead are in no block of layers; give another residual")

    def split(self, d_model: int) -> nn.Module:
        return PlaceSum(self.streams, d_model)

    def merge(self, d_model: int) -> nn.Module:
        return MixSums(self, d_model, 0)

    def build(self, d_model: int, index: int) -> tuple[nn.Module, nn.Module]:
        return ReadSums(self, d_model, index), (AddToSum if index else BeginBlock)(self, d_model)

    def checklist(self) -> Iterator[str]:
        yield from super().checklist()
        yield (
            f"A block has {self.block:,} layers. At its first layer, the sum so far joins the finished ones, and the layer's first output "
            "begins a new sum; the embedding is the first that is finished."
        )
        yield "Sums are scored after a norm and mixed without it, in float32; the part's own norm follows."
        yield "The last norm reads one more mix, with a query of its own."


class PlaceSum(Box):
    box = "read"
    label = "First sum"
    explain = "The embedding is the first sum; the places of finished sums are empty."

    def __init__(self, streams: int, d_model: int):
        super().__init__()
        self.streams = streams
        self.scratch = -streams * d_model  # nothing new is written: the first sum is the embedding

    def forward(self, x: Tensor) -> Tensor:  # (B, T, d_model) -> (B, T, n, d_model)
        return F.pad(x.unsqueeze(2), (0, 0, 0, self.streams - 1))


class MixSums(Numbered):
    """h = Σ_i a_i s_i over the sum so far and the finished ones, with a = softmax_i(w · norm(s_i))."""

    box = "read"
    label = "Mix of sums"
    explain = "A learned query scores the sum so far and the finished sums of earlier blocks of layers; their softmax mix is read."

    def __init__(self, residual: AttentionResiduals, d_model: int, index: int):
        super().__init__()
        self.residual = residual
        self.begun = 1 if index else 0  # whether the layer's own block has begun, and its input is a finished sum
        self.norm = nn.Parameter(torch.ones(d_model))
        self.query = normal(d_model)

    def forward(self, stream: Tensor) -> Tensor | tuple[Tensor]:  # (B, T, n, d_model) -> (B, T, d_model)
        return self.mix(stream)

    def mix(self, stream: Tensor) -> Tensor:
        block = self.residual.block
        finished = self.layer // block + 1 if self.begun else (self.layer + block - 1) // block
        sums = stream[:, :, : finished + 1].float()
        #: a_i = softmax_i(w · norm(s_i))
        scores = F.rms_norm(sums, sums.shape[-1:], self.norm.float(), self.residual.norm_eps) * self.query.float()
        weights = scores.sum(dim=-1, keepdim=True).softmax(dim=2)  # (B, T, finished + 1, 1)
        #: h = Σ_i a_i s_i
        return (weights * sums).sum(dim=2).to(stream.dtype)

    def outline(self, stream: Tensor) -> Tensor | tuple[Tensor]:
        return stream.new_empty(*stream.shape[:2], stream.shape[-1])


class ReadSums(MixSums):
    def forward(self, stream: Tensor) -> tuple[Tensor]:  # (B, T, n, d_model) -> (B, T, d_model)
        return (self.mix(stream),)

    def outline(self, stream: Tensor) -> tuple[Tensor]:
        return (stream.new_empty(*stream.shape[:2], stream.shape[-1]),)


class AddToSum(Box):
    box = "add"
    keeps_shape = True
    label = "+"
    explain = "The part's output is added to the sum so far; finished sums stay unchanged."

    def __init__(self, residual: AttentionResiduals, d_model: int):
        super().__init__()
        self.residual = residual
        self.scratch = (1 - residual.streams) * d_model  # finished sums are passed on, not written again

    def forward(self, stream: Tensor, update: Tensor) -> Tensor:  # (B, T, n, d_model), (B, T, d_model)
        so_far = stream[:, :, :1] + self.residual.scale * update.unsqueeze(2)
        return torch.cat((so_far, stream[:, :, 1:]), dim=2)


class BeginBlock(Numbered):
    """A layer's first sum: in the first layer of a block the sum so far is finished, and the output begins the next one."""

    box = "add"
    keeps_shape = True
    label = "+"
    explain = (
        "The part's output is added to the sum so far. In the first layer of a block the old sum is kept as a finished one, and the "
        "output begins a new sum."
    )

    def __init__(self, residual: AttentionResiduals, d_model: int):
        super().__init__()
        self.residual = residual
        self.scratch = (1 - residual.streams) * d_model

    def forward(self, stream: Tensor, update: Tensor) -> Tensor:  # (B, T, n, d_model), (B, T, d_model)
        residual = self.residual
        update, so_far, finished = residual.scale * update.unsqueeze(2), stream[:, :, :1], stream[:, :, 1:]
        if self.layer % residual.block:
            return torch.cat((so_far + update, finished), dim=2)
        before = self.layer // residual.block  # finished sums
        return torch.cat((update, finished[:, :, :before], so_far, finished[:, :, before + 1 :]), dim=2)
