"""Mamba-2 (arXiv:2405.21060): a state space model whose state decays by one number per head and token."""

from collections.abc import Iterator
from typing import Annotated, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from .base import (
    OF_MODEL,
    Box,
    Eps,
    Flops,
    HeadDim,
    Inherited,
    Linear,
    Positive,
    Recurrence,
    Shape,
    Spec,
    State,
    Trait,
    check_groups,
    times,
)
from .convolution import CausalConvolution, Kernel
from .feedforward import NAMES, Plain
from .norm import GatedRMSNorm, Norm

Many = Annotated[int, Field(ge=1, le=4_096), "heads"]


class Scales(Spec):
    """Factors on the five pieces of the input projection (Falcon-H1, arXiv:2507.22448)."""

    gate: Positive = Field(1.0, description="Factor on the gate")
    x: Positive = Field(1.0, description="Factor on x, the channels that enter the state")
    b: Positive = Field(1.0, description="Factor on B, which writes the state")
    c: Positive = Field(1.0, description="Factor on C, which reads the state")
    step: Positive = Field(1.0, description="Factor on the time step, before its bias")


class Mamba2(Recurrence):
    """Each of `heads` heads keeps head_dim × state_size values; B and C, which write and read them, are shared by a group of heads.
    H = heads, P = head_dim, G = groups, N = state_size."""

    title = "Mamba-2"
    also = ("SSM", "state space model", "Mamba 2", "SSD")
    proper = True
    line = "one decay for each head, the state is a matrix"
    called = "mamba"

    kind: Literal["mamba2"]
    heads: Many = Field(description="Heads, each with its own state", examples=[64])
    head_dim: HeadDim = Field(description="Channels of a head", examples=[64])
    state_size: HeadDim = Field(description="State size: values kept for each channel", examples=[128])
    groups: Many = Field(1, description="Groups of heads that share B and C")
    kernel: Annotated[Kernel, Trait("conv {}")] = Field(4, description="Kernel size: tokens that the convolution reads")
    activation: Plain = Field("silu", description="Activation after the convolution")
    bias: bool = Field(False, description="Biases on the projections")
    out_bias: bool | None = Field(None, description="Bias on the output projection; same as `bias` if empty")
    conv_bias: bool = Field(True, description="A bias on the convolution")
    gate: Literal["first", "last", "alone"] = Field(
        "first", description="Output gate before the norm, after it, or without a norm (Falcon H1)"
    )
    out_eps: Eps | None = Field(None, description="Epsilon of the output norm; the model's if empty")
    step_min: Annotated[float, Field(ge=0, le=1e3)] = Field(0.0, description="Smallest time step")
    step_max: Positive | None = Field(None, description="Largest time step; no limit if empty")
    in_scale: Positive = Field(1.0, description="Factor on the input")
    scales: Scales | None = Field(None, description="Factors on the pieces of the input projection")
    out_scale: Positive = Field(1.0, description="Factor on the output")
    norm: Inherited[Norm] = OF_MODEL

    @model_validator(mode="after")
    def _consistent(self):
        check_groups("groups", self.heads, "heads", self.groups)
        if self.step_max is not None and self.step_max < self.step_min:
            raise ValueError(f"step_max: {self.step_max:g} is below step_min; give at least {self.step_min:g}")
        return self

    @property
    def inner(self) -> int:
        return self.heads * self.head_dim

    @property
    def channels(self) -> int:
        """Channels of x, B and C together, over which the convolution runs."""
        return self.inner + 2 * self.groups * self.state_size

    def build(self, d_model: int) -> nn.Module:
        return Mamba2Module(self, d_model)

    in_float32 = ("memory",)

    def state(self, d_model: int) -> dict[str, Shape]:
        return {"inputs": (self.kernel - 1, self.channels), "memory": (self.heads, self.head_dim, self.state_size)}

    def flops(self, d_model: int, new: int, past: int) -> Flops:
        return Flops(
            project=2 * new * d_model * (self.inner + self.channels + self.heads),
            convolve=2 * new * self.channels * self.kernel,
            scan=4 * new * self.inner * self.state_size,
            o=2 * new * self.inner * d_model,
        )

    def shrink(self, scale: float) -> Self:
        groups = min(self.groups, 2)
        per = min(self.heads // self.groups, 4)
        return self.model_copy(update={"heads": groups * per, "groups": groups, "head_dim": 16, "state_size": 16})

    def facts(self) -> Iterator[str]:
        yield f"{self.heads} heads · {self.head_dim} × {self.state_size} each"

    def explain(self, d_model: int) -> str:
        kept = self.inner * self.state_size
        return (
            f"Each of {self.heads} heads keeps a state of {self.head_dim} × {self.state_size}, {kept:,} values in all, whatever "
            "the length of the text. Each token decides the decay, what it writes and what it reads. No scores, no "
            "growing cache."
        )

    def checklist(self, d_model: int) -> Iterator[str]:
        act = NAMES[self.activation]
        yield f"The projection gives gate, x, B, C and the time step in this order; x, B and C pass the convolution and {act}."
        yield "The time step is softplus(dt + bias); the state decays by exp(−exp(A) · step), both in float32."
        if self.step_min or self.step_max:
            upper = "" if self.step_max is None else f" and {self.step_max:g} at most"
            yield f"The time step is {self.step_min:g} at least{upper}."
        if self.gate == "alone":
            yield "SiLU of the gate multiplies the output; there is no norm."
        else:
            when = {"first": "before", "last": "after"}[self.gate]
            yield f"The gate goes through SiLU {when} the norm, which is over each of {self.groups} groups of channels."
        if self.scales:
            scales = ", ".join(f"{scale:g}" for _, scale in self.scales)
            yield f"Gate, x, B, C and time step are multiplied by {scales}."
        if self.in_scale != 1 or self.out_scale != 1:
            yield f"The input is multiplied by {self.in_scale:g}, the output by {self.out_scale:g}."


class Mamba2Module(nn.Module):
    def __init__(self, part: Mamba2, d_model: int):
        super().__init__()
        self.part = part
        self.project = Linear(d_model, part.inner + part.channels + part.heads, part.bias)
        self.inputs = State(part.kernel - 1, part.channels)
        self.convolve = CausalConvolution(part.channels, part.kernel, part.conv_bias, activation=part.activation)
        self.memory = State(part.heads, part.head_dim, part.state_size)
        self.scan = SelectiveScan(part)
        eps, first = part.out_eps or part.norm.eps, part.gate == "first"
        self.out_norm = None if part.gate == "alone" else GatedRMSNorm(part.inner, eps, part.groups, gate_first=first)
        self.o = Linear(part.inner, d_model, part.bias if part.out_bias is None else part.out_bias)

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:  # (B, T, d_model), (T,)
        part = self.part
        projected = self.project(times(x, part.in_scale))
        if part.scales:
            projected = projected * self.multipliers(projected)
        z, xbc, dt = projected.split((part.inner, part.channels, part.heads), dim=-1)  # (B, T, ...)
        xbc, last = self.convolve(xbc, self.inputs.before(xbc))
        self.inputs(last)
        shared = part.groups * part.state_size
        x, b, c = xbc.split((part.inner, shared, shared), dim=-1)
        x = x.unflatten(-1, (part.heads, part.head_dim))  # (B, T, H, P)
        b, c = (t.unflatten(-1, (part.groups, part.state_size)) for t in (b, c))  # (B, T, G, N)
        y, after = self.scan(x, b, c, dt, self.memory.before(x))  # (B, T, H, P)
        self.memory(after)
        y = y.flatten(-2)  # (B, T, inner)
        return times(self.o(self.out_norm(y, z) if self.out_norm else y * F.silu(z)), part.out_scale)

    def multipliers(self, like: Tensor) -> Tensor:
        """The factor of each projected channel."""
        part, shared = self.part, self.part.groups * self.part.state_size
        widths = (part.inner, part.inner, shared, shared, part.heads)
        pairs = zip(widths, (scale for _, scale in part.scales or ()), strict=True)
        return torch.cat([torch.full((n,), scale, dtype=like.dtype, device=like.device) for n, scale in pairs])


class SelectiveScan(Box):
    """h_t = exp(-exp(A) d_t) h_(t-1) + d_t x_t B_t^T, and y_t = h_t C_t + D x_t, with d_t = softplus(dt_t + bias)."""

    box = "recurrence"
    label = "Selective state space"
    explain = "Token by token: the state decays by a step that the token sets, adds x B, and C reads it."

    def __init__(self, part: Mamba2):
        super().__init__()
        self.limits = part.step_min, part.step_max
        self.A_log = nn.Parameter(torch.zeros(part.heads))
        self.dt_bias = nn.Parameter(torch.ones(part.heads))
        self.D = nn.Parameter(torch.ones(part.heads))

    def forward(self, x: Tensor, b: Tensor, c: Tensor, dt: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, H, P), (B, T, G, N) twice, (B, T, H), (B, H, P, N) -> (B, T, H, P) and the state after."""
        per = x.shape[2] // b.shape[2]
        b, c = (t.float().repeat_interleave(per, dim=2) for t in (b, c))  # (B, T, H, N)
        step = F.softplus(dt.float() + self.dt_bias.float()).clamp(*self.limits)[..., None, None]  # (B, T, H, 1, 1)
        fade = torch.exp(-self.A_log.float().exp()[:, None, None] * step)
        state, out = state.float(), []
        for t in range(x.shape[1]):
            written = (step[:, t, ..., 0] * x[:, t].float())[..., None] @ b[:, t, :, None]  # (B, H, P, N)
            #: S_t = exp(-exp(A) d_t) S_(t-1) + d_t x_t B_t⊤
            state = fade[:, t] * state + written
            #: y_t = S_t C_t
            out.append(state @ c[:, t, ..., None])  # (B, H, P, 1)
        y = torch.cat(out, dim=-1).permute(0, 3, 1, 2)  # (B, T, H, P)
        return (y + self.D[:, None] * x).to(x.dtype), state

    def outline(self, x: Tensor, b: Tensor, c: Tensor, dt: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        return x.new_empty(x.shape), state
