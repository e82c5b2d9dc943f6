"""Mamba (arXiv:2312.00752): a selective state space model in which every channel keeps its own small state."""

from collections.abc import Iterator
from typing import Annotated, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from .base import (
    MOST_CHANNELS,
    OF_MODEL,
    Box,
    Flops,
    HeadDim,
    Inherited,
    Linear,
    Rank,
    Recurrence,
    Shape,
    State,
    Trait,
    check_channels,
    check_groups,
    normal,
    scaled,
)
from .convolution import CausalConvolution, Kernel
from .feedforward import NAMES, Plain
from .norm import Norm

Many = Annotated[int, Field(ge=1, le=1_024)]


class Mamba(Recurrence):
    """Each of `inner` channels keeps state_size values; the step d, and B and C, which write and read the state, are computed from
    the channels. E = inner, N = state_size, R = step_rank."""

    title = "Mamba"
    also = ("SSM", "state space model")
    proper = True
    line = "a state space whose step depends on the token"

    kind: Literal["mamba"]
    inner: Annotated[int, Field(ge=1, le=MOST_CHANNELS), "width"] = Field(description="Channels of the state space", examples=[8192])
    state_size: HeadDim = Field(16, description="State size: values kept for each channel")
    heads: Many = Field(1, description="Equal groups of channels, each with its own step, B and C (Zamba)")
    step_rank: Rank = Field(description="Rank of the step's projection", examples=[256])
    kernel: Annotated[Kernel, Trait("conv {}")] = Field(4, description="Kernel size: tokens that the convolution reads")
    activation: Plain = Field("silu", description="Activation after the convolution")
    bias: bool = Field(False, description="Biases on the projections")
    conv_bias: bool = Field(True, description="A bias on the convolution")
    inner_norm: Norm | None = Field(None, description="A norm on each of step, B and C (Jamba, Falcon Mamba)")
    norm: Inherited[Norm] = OF_MODEL

    @model_validator(mode="after")
    def _consistent(self):
        check_groups("heads", self.inner, "channels", self.heads)
        check_channels("heads", self.heads, self.step_rank + 2 * self.state_size)
        return self

    def build(self, d_model: int) -> nn.Module:
        return MambaModule(self, d_model)

    in_float32 = ("memory",)

    def state(self, d_model: int) -> dict[str, Shape]:
        return {"inputs": (self.kernel - 1, self.inner), "memory": (self.inner, self.state_size)}

    def flops(self, d_model: int, new: int, past: int) -> Flops:
        return Flops(
            project=4 * new * d_model * self.inner,
            convolve=2 * new * self.inner * self.kernel,
            select=2 * new * self.inner * (self.step_rank + 2 * self.state_size),
            step=2 * new * self.step_rank * self.inner,
            scan=4 * new * self.inner * self.state_size,
            o=2 * new * self.inner * d_model,
        )

    def shrink(self, scale: float) -> Self:
        return self.model_copy(update={"inner": scaled(self.inner, scale, 8 * self.heads), "step_rank": min(self.step_rank, 8)})

    def facts(self) -> Iterator[str]:
        yield f"{self.inner:,} channels × {self.state_size}"

    def explain(self, d_model: int) -> str:
        return (
            f"Each of {self.inner:,} channels keeps {self.state_size} values, {self.inner * self.state_size:,} in all, whatever "
            "the length of the text. Each token decides the decay, what it writes and what it reads. No scores, no growing cache."
        )

    def checklist(self, d_model: int) -> Iterator[str]:
        act = NAMES[self.activation]
        yield f"The projection gives x, then the gate; x passes the convolution and {act} before step, B and C are computed from it."
        yield "The step is the softplus of its second projection, bias included; the state is kept in float32."
        if self.heads > 1:
            yield f"Each of {self.heads} groups of channels computes its own step, B and C."
        if self.inner_norm:
            yield "Step, B and C are normalised before they are used."


class MambaModule(nn.Module):
    def __init__(self, part: Mamba, d_model: int):
        super().__init__()
        self.part = part
        self.project = Linear(d_model, 2 * part.inner, part.bias)
        self.inputs = State(part.kernel - 1, part.inner)
        self.convolve = CausalConvolution(part.inner, part.kernel, part.conv_bias, activation=part.activation)
        each = part.inner // part.heads
        self.select = HeadLinear(part.heads, each, part.step_rank + 2 * part.state_size)
        if part.inner_norm:
            self.step_norm = part.inner_norm.build(part.step_rank)
            self.b_norm = part.inner_norm.build(part.state_size)
            self.c_norm = part.inner_norm.build(part.state_size)
        self.step = HeadLinear(part.heads, part.step_rank, each, bias=True)
        self.memory = State(part.inner, part.state_size)
        self.scan = ChannelScan(part.inner, part.state_size)
        self.o = Linear(part.inner, d_model, part.bias)

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:  # (B, T, d_model), (T,)
        part = self.part
        x, z = self.project(x).chunk(2, dim=-1)  # (B, T, E) twice
        x, last = self.convolve(x, self.inputs.before(x))
        self.inputs(last)
        selected = self.select(x.unflatten(-1, (part.heads, -1)))  # (B, T, H, R + 2 N)
        step, b, c = selected.split((part.step_rank, part.state_size, part.state_size), dim=-1)
        if part.inner_norm:
            step, b, c = self.step_norm(step), self.b_norm(b), self.c_norm(c)
        y, after = self.scan(x, b, c, self.step(step), self.memory.before(x))  # (B, T, E)
        self.memory(after)
        return self.o(y * F.silu(z))


class HeadLinear(Box):
    """A linear map for each head: (B, T, H, in) -> (B, T, H, out)."""

    box = "linear"

    def __init__(self, heads: int, d_in: int, d_out: int, bias: bool = False):
        super().__init__()
        self.weight = normal(heads, d_out, d_in)
        self.bias = nn.Parameter(torch.zeros(heads, d_out)) if bias else None
        self.label = f"Linear {d_in:,} → {d_out:,}" if heads == 1 else f"{heads} × linear {d_in:,} → {d_out:,}"
        each = "A matrix" if heads == 1 else f"{heads} matrices"
        self.explain = f"{each} of {d_out:,} × {d_in:,} weights{' and a bias' if bias else ''}."

    def forward(self, x: Tensor) -> Tensor:
        y = torch.einsum("bthi,hoi->btho", x, self.weight)
        return y if self.bias is None else y + self.bias


class ChannelScan(Box):
    """h_t = exp(-exp(A) d_t) h_(t-1) + d_t x_t B_t, and y_t = h_t C_t + D x_t, with d_t the softplus of the step."""

    box = "recurrence"
    label = "Selective state space"
    explain = "Token by token: each channel's state decays by a step that the token sets, adds x B, and C reads it."

    def __init__(self, channels: int, state_size: int):
        super().__init__()
        self.A_log = nn.Parameter(torch.zeros(channels, state_size))
        self.D = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor, b: Tensor, c: Tensor, step: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, E), (B, T, H, N) twice, (B, T, H, P), (B, E, N) -> (B, T, E) and the state after."""
        heads = step.shape[2:]  # H, P
        step = F.softplus(step.float())[..., None]  # (B, T, H, P, 1)
        into = step * x.unflatten(-1, heads)[..., None].float()  # (B, T, H, P, 1)
        decay = -self.A_log.float().exp().unflatten(0, heads)  # (H, P, N)
        state, out = state.float().unflatten(1, heads), []
        for t in range(x.shape[1]):
            written = into[:, t] @ b[:, t, :, None].float()  # (B, H, P, N)
            #: h_t = exp(-exp(A) d_t) h_(t-1) + d_t x_t B_t
            state = torch.exp(decay * step[:, t]) * state + written
            #: y_t = h_t C_t
            out.append(state @ c[:, t, ..., None].float())  # (B, H, P, 1)
        y = torch.cat(out, dim=-1).permute(0, 3, 1, 2).flatten(-2)  # (B, T, E)
        return (y + self.D * x).to(x.dtype), state.flatten(1, 2)

    def outline(self, x: Tensor, b: Tensor, c: Tensor, step: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        return x.new_empty(x.shape), state
