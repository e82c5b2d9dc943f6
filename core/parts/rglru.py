"""The real-gated linear recurrent unit, RG-LRU (Griffin, arXiv:2402.19427, section 2.4), in Griffin's recurrent block."""

from collections.abc import Iterator
from typing import Annotated, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from .base import OF_MODEL, Box, Flops, Heads, Inherited, Linear, Recurrence, Shape, State, Trait, Width, check_groups, normal, scaled
from .convolution import CausalConvolution, Kernel
from .feedforward import Activate, Activated, Activation
from .norm import Norm


class RGLRU(Recurrence):
    """Each of `width` channels keeps one value. Two gates, computed from the channel's own block, control its decay and what it
    adds; a second branch through an activation gates the output. W = width, N = blocks."""

    title = "RG-LRU"
    line = "one decaying value for each channel, with two gates"
    also = ("Griffin", "recurrent unit")
    called = "recurrence"

    kind: Literal["rg_lru"]
    width: Width = Field(description="Channels of the recurrence, each with one value of state", examples=[2560])
    blocks: Heads = Field(description="Blocks of the gates' block-diagonal matrices", examples=[10])
    kernel: Annotated[Kernel, Trait("conv {}")] = Field(4, description="Kernel size: tokens that the convolution reads")
    activation: Activation = Field("gelu_tanh", description="Activation of the branch that gates the output")
    norm: Inherited[Norm] = OF_MODEL

    @model_validator(mode="after")
    def _consistent(self):
        check_groups("blocks", self.width, "channels", self.blocks)
        if Activated(activation=self.activation).gated:
            raise ValueError("activation: this branch is a gate already; give one that is not a -glu")
        if self.activation == "xielu":
            raise ValueError("activation: xielu has learned slopes per layer, which this branch does not support; give another activation")
        return self

    def build(self, d_model: int) -> nn.Module:
        return RGLRUModule(self, d_model)

    in_float32 = ("memory",)

    def state(self, d_model: int) -> dict[str, Shape]:
        return {"inputs": (self.kernel - 1, self.width), "memory": (self.width,)}

    def flops(self, d_model: int, new: int, past: int) -> Flops:
        gate = 2 * new * self.width * (self.width // self.blocks)
        return Flops(
            up=2 * new * d_model * self.width,
            convolve=2 * new * self.width * self.kernel,
            input_gate=gate,
            fade_gate=gate,
            out_gate=2 * new * d_model * self.width,
            o=2 * new * self.width * d_model,
        )

    def shrink(self, scale: float) -> Self:
        blocks = min(self.blocks, 2)
        return self.model_copy(update={"width": scaled(self.width, scale, multiple=8 * blocks), "blocks": blocks})

    def facts(self) -> Iterator[str]:
        yield f"{self.width:,} channels"

    def explain(self, d_model: int) -> str:
        return (
            f"Each of {self.width:,} channels keeps one value, whatever the length of the text: a token decides its decay and how "
            f"much of its input is added. Both gates read only the channel's block of {self.width // self.blocks:,}. "
            "No scores, no growing cache."
        )

    def checklist(self, d_model: int) -> Iterator[str]:
        yield "The decay is exp(−8 · gate · softplus(a)), in float32; the input is scaled by √(1 − decay²), except for the first token."
        yield f"The gates' matrices are block-diagonal, {self.blocks} blocks of {self.width // self.blocks:,}, with biases."
        yield "All three projections and the convolution have biases; no activation follows the convolution."


class RGLRUModule(nn.Module):
    def __init__(self, part: RGLRU, d_model: int):
        super().__init__()
        w = part.width
        self.up = Linear(d_model, w, bias=True)
        self.inputs = State(part.kernel - 1, w)
        self.convolve = CausalConvolution(w, part.kernel, bias=True)
        self.input_gate = BlockLinear(w, part.blocks)
        self.fade_gate = BlockLinear(w, part.blocks)
        self.memory = State(w)
        self.unit = LinearRecurrence(w)
        self.out_gate = Linear(d_model, w, bias=True)
        self.activation = Activate(Activated(activation=part.activation))
        self.o = Linear(w, d_model, bias=True)

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:  # (B, T, d_model), (T,)
        gate = self.activation(self.out_gate(x))  # (B, T, W)
        x = self.up(x)  # (B, T, W)
        x, last = self.convolve(x, self.inputs.before(x))
        self.inputs(last)
        y, after = self.unit(x, self.input_gate(x), self.fade_gate(x), positions, self.memory.before(x))  # (B, T, W)
        self.memory(after)
        return self.o(y * gate)


class BlockLinear(Box):
    """A linear map with a block-diagonal matrix of equal blocks: each block of channels reads only itself."""

    box = "linear"
    keeps_shape = True

    def __init__(self, width: int, blocks: int):
        super().__init__()
        each = width // blocks
        self.weight = normal(blocks, each, each)  # (N, in, out)
        self.bias = nn.Parameter(torch.zeros(blocks, each))
        self.label = f"{blocks} × linear {each:,} → {each:,}"
        self.explain = f"{blocks} matrices of {each:,} × {each:,}, each for its own block of channels, and a bias."

    def forward(self, x: Tensor) -> Tensor:  # (B, T, W)
        x = x.unflatten(-1, self.bias.shape)  # (B, T, N, W / N)
        return (torch.einsum("btni,nio->btno", x, self.weight) + self.bias).flatten(-2)


class LinearRecurrence(Box):
    """a_t = exp(-8 r_t softplus(a)), and h_t = a_t h_(t-1) + sqrt(1 - a_t^2) (i_t x_t), with the sigmoids r_t and i_t."""

    box = "recurrence"
    label = "Linear recurrence"
    explain = "Token by token: each channel's value decays by its gate and adds its share of the input."

    def __init__(self, width: int):
        super().__init__()
        self.a = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor, into: Tensor, fade: Tensor, positions: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, W) three times, (T,), (B, W) -> (B, T, W) and the state after."""
        #: log a_t = -8 r_t softplus(a)
        log = -8 * torch.sigmoid(fade.float()) * F.softplus(self.a.float())  # (B, T, W)
        share = torch.where(positions[:, None] == 0, 1.0, torch.sqrt(1 - torch.exp(2 * log)))
        x, fade = x.float() * torch.sigmoid(into.float()) * share, log.exp()
        state, out = state.float(), []
        for t in range(x.shape[1]):
            #: h_t = a_t h_(t-1) + √(1 - a_t²) (i_t x_t)
            state = fade[:, t] * state + x[:, t]  # (B, W)
            out.append(state)
        return torch.stack(out, dim=1).to(into.dtype), state

    def outline(self, x: Tensor, into: Tensor, fade: Tensor, positions: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        return x.new_empty(x.shape), state
