"""Short convolutions over time: LFM2's gated mixer, and the causal convolution before the core of recurrent parts."""

from collections.abc import Iterator
from typing import Annotated, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from .base import Box, Flops, Linear, Recurrence, Shape, State
from .feedforward import NAMES, PLAIN

Kernel = Annotated[int, Field(ge=2, le=64)]


class CausalConvolution(Box):
    """Each channel alone over the last `kernel` tokens: y_t = sum over k of w_k x_(t - K + 1 + k).

    An activation may follow. With a dilation, these tokens are `dilation` apart.
    Between calls the last (kernel - 1) * dilation inputs are its `State`.
    """

    box = "convolution"

    def __init__(self, channels: int, kernel: int, bias: bool = False, activation: str | None = None, dilation: int = 1):
        super().__init__()
        self.kernel, self.activation, self.dilation = kernel, activation, dilation
        weight = torch.empty(channels, 1, kernel)
        self.weight = nn.Parameter(weight if weight.is_meta else nn.init.normal_(weight, std=kernel**-0.5))
        self.bias = nn.Parameter(torch.zeros(channels)) if bias else None
        far = dilation > 1
        self.label = f"Convolution over {kernel}" + (f", {dilation} apart" if far else "")
        self.label += f", {NAMES[activation]}" if activation else ""
        self.explain = f"Each of {channels:,} channels alone: a weighted sum of its last {kernel} values"
        self.explain += f", {dilation} tokens apart." if far else "."

    def forward(self, x: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, C) and the inputs before them, (B, K - 1, C) -> (B, T, C) and the last K - 1 inputs of both."""
        x = torch.cat((before, x), dim=1)  # (B, K - 1 + T, C)
        y = F.conv1d(x.transpose(1, 2), self.weight, self.bias, dilation=self.dilation, groups=x.shape[-1])  # (B, C, T)
        y = y.transpose(1, 2)
        return PLAIN[self.activation](y) if self.activation else y, x[:, -(self.kernel - 1) * self.dilation :]

    def outline(self, x: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        return x.new_empty(x.shape), before


class ShortConvolution(Recurrence):
    """LFM2's mixer (Liquid AI, "LFM2 technical report", arXiv:2511.23404, section 2): C * conv(B * x), with the gates B
    and C and the value x all projected from the input."""

    title = "Gated short convolution"
    line = "a short filter between two gates; sees few tokens"
    called = "convolution"

    kind: Literal["short_convolution"] = "short_convolution"
    kernel: Kernel = Field(3, description="Kernel size: tokens that one output reads, itself included")
    bias: bool = Field(False, description="Biases on the projections and the convolution")

    @property
    def reach(self) -> int:
        return self.kernel

    def build(self, d_model: int) -> nn.Module:
        return ShortConvolutionModule(self, d_model)

    def state(self, d_model: int) -> dict[str, Shape]:
        return {"inputs": (self.kernel - 1, d_model)}

    def flops(self, d_model: int, new: int, past: int) -> Flops:
        flops = {"project": 6 * new * d_model**2, "convolve": 2 * new * d_model * self.kernel, "o": 2 * new * d_model**2}
        return Flops(flops)

    def shrink(self, scale: float) -> Self:
        return self

    def facts(self) -> Iterator[str]:
        yield f"over {self.kernel} tokens"

    def explain(self, d_model: int) -> str:
        return (
            f"Each channel mixes its last {self.kernel} tokens, with a gate before and after, both computed from the input. "
            f"Only {self.kernel - 1} × {d_model:,} values are kept, whatever the length of the text."
        )

    def checklist(self, d_model: int) -> Iterator[str]:
        yield "The projection gives B, C and x in this order; B gates before the convolution and C after it."
        yield "There is no activation: the gates are plain products."


class ShortConvolutionModule(nn.Module):
    def __init__(self, part: ShortConvolution, d_model: int):
        super().__init__()
        self.project = Linear(d_model, 3 * d_model, part.bias)
        self.state = State(part.kernel - 1, d_model)
        self.convolve = CausalConvolution(d_model, part.kernel, part.bias)
        self.o = Linear(d_model, d_model, part.bias)

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:  # (B, T, d_model), (T,)
        before, after, x = self.project(x).chunk(3, dim=-1)  # (B, T, d_model) each
        x, last = self.convolve(before * x, self.state.before(x))  # (B, T, d_model), (B, K - 1, d_model)
        self.state(last)
        return self.o(after * x)
