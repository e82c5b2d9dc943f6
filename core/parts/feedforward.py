"""Feed-forward networks: plain (arXiv:1706.03762) and gated linear units (arXiv:2002.05202)."""

import math
from collections.abc import Callable, Iterator
from statistics import NormalDist
from typing import Annotated, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from .base import OF_MODEL, Box, Flops, Inherited, Linear, Part, Positive, Spec, Trait, Width, scaled, times
from .gaussian import GaussianTopK
from .norm import PartNorm, check_plain
from .situ import situ_glu, situ_note

PLAIN: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "relu2": lambda x: F.relu(x).square(),  # Primer, arXiv:2109.08668
    "gelu": F.gelu,  # arXiv:1606.08415
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,  # arXiv:1702.03118
    "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
}
Plain = Literal["relu", "relu2", "gelu", "gelu_tanh", "silu"]
GATED = {"reglu": "relu", "reglu2": "relu2", "geglu": "gelu", "geglu_tanh": "gelu_tanh", "swiglu": "silu", "quick_geglu": "quick_gelu"}
Activation = Literal[
    "relu",
    "relu2",
    "gelu",
    "gelu_tanh",
    "silu",
    "quick_gelu",
    "xielu",
    "reglu",
    "reglu2",
    "geglu",
    "geglu_tanh",
    "quick_geglu",
    "swiglu",
    "clamped_swiglu",
    "capped_swiglu",
    "situ_glu",
]
NAMES = {
    "relu": "ReLU", "relu2": "ReLU²", "gelu": "GELU", "gelu_tanh": "GELU (tanh)", "silu": "SiLU", "xielu": "xIELU", "reglu": "ReGLU",
    "reglu2": "ReGLU²", "geglu": "GEGLU", "geglu_tanh": "GEGLU (tanh)", "swiglu": "SwiGLU", "clamped_swiglu": "clamped SwiGLU",
    "capped_swiglu": "capped SwiGLU", "situ_glu": "SiTU-GLU", "quick_gelu": "quick GELU", "quick_geglu": "quick GEGLU",
}  # fmt: skip


class Activated(Spec):
    """What feed-forward networks and experts have in common: an activation, gated or not.

    clamped_swiglu is gpt-oss's (arXiv:2508.10925): the gate is clamped from above and the up projection to ± `clamp`, with
    a swish of slope `swish_slope` and one added to the up projection. capped_swiglu is Step 3.5's (arXiv:2602.10604):
    both factors of SwiGLU are clamped at `clamp`, the gate after its swish. xielu is the expanded integral of ELU
    (arXiv:2411.13010), with two learned slopes per layer. situ_glu is Kimi K3's
    (arXiv:2607.24653): both factors approach a bound (situ.py).
    """

    activation: Activation = Field("swiglu", description="Activation function; the -glu kinds multiply two projections")
    clamp: Positive = Field(7.0, description="Limit at which clamped_swiglu and capped_swiglu clamp")
    swish_slope: Positive = Field(1.702, description="Slope of clamped_swiglu's swish")
    gate_bound: Positive = Field(4.0, description="Bound that situ_glu's gate approaches (Kimi K3)")
    up_bound: Positive | None = Field(25.0, description="± bound that situ_glu's up projection approaches; none if empty")
    limit: Positive | None = Field(None, description="Clamps the gate to at most this and the up projection to ± this (DeepSeek-V4)")
    gate_scale: Positive = Field(1.0, description="Factor on the gate before its activation (Falcon H1)")

    @property
    def gated(self) -> bool:
        return self.activation not in PLAIN and self.activation != "xielu"

    @property
    def matrices(self) -> int:
        return 3 if self.gated else 2

    def notes(self) -> Iterator[str]:
        """What an implementation must get right about the activation."""
        if self.activation == "clamped_swiglu":
            yield (
                f"The gate is clamped to at most {self.clamp:g}, the up projection to ±{self.clamp:g}; the swish has slope "
                f"{self.swish_slope:g}, and one is added to the up projection."
            )
        elif self.activation == "capped_swiglu":
            yield f"The gate is clamped to at most {self.clamp:g} after its swish, the up projection to ±{self.clamp:g}."
        elif self.activation == "situ_glu":
            yield situ_note(self.gate_bound, self.up_bound)
        elif self.activation == "xielu":
            yield "xIELU's slopes are the softplus of the stored values, the negative one plus beta; each layer has its own two."
        elif "gelu" in (GATED.get(self.activation), self.activation):
            yield "GELU is the exact one, with the error function."
        elif self.activation.endswith("_tanh"):
            yield "GELU is its tanh approximation."
        if self.limit:
            yield f"Before the activation, the gate is clamped to at most {self.limit:g}, the up projection to ±{self.limit:g}."
        if self.gate_scale != 1:
            yield f"The gate is multiplied by {self.gate_scale:g} before its activation."

    def activate(self, up: Tensor, gate: Tensor | None) -> Tensor:
        if gate is None:
            return PLAIN[self.activation](up)
        gate = times(gate, self.gate_scale)
        if self.limit:
            gate, up = gate.clamp(max=self.limit), up.clamp(-self.limit, self.limit)
        if self.activation == "clamped_swiglu":
            gate, up = gate.clamp(max=self.clamp), up.clamp(-self.clamp, self.clamp)
            return gate * torch.sigmoid(self.swish_slope * gate) * (up + 1)
        if self.activation == "capped_swiglu":
            return F.silu(gate).clamp(max=self.clamp) * up.clamp(-self.clamp, self.clamp)
        if self.activation == "situ_glu":
            return situ_glu(gate, up, self.gate_bound, self.up_bound)
        return PLAIN[GATED[self.activation]](gate) * up


class FeedForward(Activated, Part):
    """d_model -> d_ff -> d_model, at each position separately; gated kinds multiply two projections of width d_ff."""

    title = "Feed-forward"
    line = "widens each token, then narrows it: SwiGLU and others"
    also = ("FFN", "MLP")
    called = "dense"
    role = "feed_forward"

    kind: Literal["feed_forward"]
    d_ff: Width = Field(description="Hidden size, between the two projections", examples=[4096])
    bias: Annotated[bool, Trait("bias")] = Field(False, description="Biases on all projections")
    sparsity: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="Approximate share of the gate's channels set to zero before the activation (Gemma 3n)"
    )
    sub_norm: bool = Field(False, description="A norm before the down projection (BitNet)")
    out_scale: bool = Field(False, description="Multiplies the output by one learned number (Inkling)")
    norm: Inherited[PartNorm] = OF_MODEL

    @model_validator(mode="after")
    def _consistent(self):
        if self.sparsity and not self.gated:
            raise ValueError("sparsity: this activation has no gate to sparsify; give 0, or a gated activation")
        if self.sub_norm:
            check_plain("sub_norm", self.norm)
        return self

    @property
    def label(self) -> str:
        return f"Feed-forward, {NAMES[self.activation]}"

    def build(self, d_model: int) -> nn.Module:
        return FeedForwardModule(self, d_model, self.d_ff, self.bias)

    def flops(self, d_model: int, new: int, past: int) -> Flops:
        return feed_forward_flops(self, d_model, self.d_ff, new)

    def shrink(self, scale: float) -> Self:
        return self.model_copy(update={"d_ff": scaled(self.d_ff, scale)})

    def quantities(self, d_model: int) -> Iterator[tuple[str, ...]]:
        yield f"{self.d_ff:,} hidden", f"{self.d_ff / d_model:.3g} × the stream"

    def facts(self):
        yield f"d_ff {self.d_ff:,}"
        if self.sparsity:
            yield f"{self.sparsity:.0%} sparse"

    def explain(self, d_model: int) -> str:
        how = "two up projections, one gates the other," if self.gated else "one up projection"
        return (
            f"At each position separately: {how} from {d_model:,} to {self.d_ff:,} channels with {NAMES[self.activation]}, "
            f"then one down projection. {self.matrices} × {d_model:,} × {self.d_ff:,} weights, and nothing is cached."
        )

    def checklist(self, d_model: int) -> Iterator[str]:
        yield from self.notes()
        if self.sparsity:
            yield (
                f"Before its activation, the gate's mean plus {NormalDist().inv_cdf(self.sparsity):.4g} standard deviations "
                "(of the population) is subtracted, and negative values become zero."
            )
        if self.sub_norm:
            yield f"The {self.d_ff:,} channels are normalised after the activation, before the down projection."


def feed_forward_flops(part: Activated, d_model: int, d_ff: int, tokens: int) -> Flops:
    names = ("gate", "up", "down") if part.gated else ("up", "down")
    return Flops(dict.fromkeys(names, 2 * tokens * d_model * d_ff))


class FeedForwardModule(nn.Module):
    """d_model -> d_ff -> d_model, at each position separately."""

    def __init__(self, part: Activated, d_model: int, d_ff: int, bias: bool):
        super().__init__()
        self.part = part
        self.gate = Linear(d_model, d_ff, bias) if part.gated else None
        sparsity = getattr(part, "sparsity", 0)
        self.top_k = GaussianTopK(sparsity) if sparsity else None
        self.up = Linear(d_model, d_ff, bias)
        self.activation = XIELU() if part.activation == "xielu" else Activate(part)
        self.sub_norm = part.norm.build(d_ff) if isinstance(part, FeedForward) and part.sub_norm else None
        self.down = Linear(d_ff, d_model, bias)
        self.out_scale = OutScale() if getattr(part, "out_scale", False) else None

    def forward(self, x: Tensor, shares: Tensor | None = None) -> Tensor:  # (B, T, d_model)
        """`shares` (B, T, S) weight S equal pieces of the hidden channels, each of which is one shared expert."""
        return self.narrowed(self.up(x), None if self.gate is None else self.gate(x), shares)

    def narrowed(self, up: Tensor, gate: Tensor | None, shares: Tensor | None = None) -> Tensor:
        """The steps after the up projections: (B, T, d_ff) twice -> (B, T, d_model)."""
        gate = gate if self.top_k is None else self.top_k(gate)
        y = self.activation(up) if gate is None else self.activation(up, gate)
        if shares is not None:
            y = (y.unflatten(-1, (shares.shape[-1], -1)) * shares.unsqueeze(-1)).flatten(-2)
        y = self.down(y if self.sub_norm is None else self.sub_norm(y))
        return y if self.out_scale is None else self.out_scale(y)


class OutScale(Box):
    """One learned number that multiplies a whole output."""

    box = "scale"
    keeps_shape = True
    label = "Scale"
    explain = "The whole output is multiplied by one learned number."

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight


class Activate(Box):
    """The activation as a box of the picture: f(up), or f(gate) * up."""

    box = "activation"
    keeps_shape = True

    def __init__(self, part: Activated):
        super().__init__()
        self.part = part
        self.label = NAMES[part.activation]
        self.explain = f"{self.label}, element by element" + (": one projection gates the other." if part.gated else ".")

    def forward(self, up: Tensor, gate: Tensor | None = None) -> Tensor:
        return self.part.activate(up, gate)


class XIELU(Box):
    """a x² + b x above zero, c (e^x - 1 - x) + b x below it: an activation that is not flat anywhere."""

    box = "activation"
    keeps_shape = True
    label = NAMES["xielu"]
    explain = "xIELU, element by element: quadratic above zero, the integral of an exponential below, with two learned slopes."

    beta: Tensor
    eps: Tensor

    def __init__(self):
        super().__init__()
        self.alpha_p = nn.Parameter(torch.tensor([math.log(math.expm1(0.8))]))
        self.alpha_n = nn.Parameter(torch.tensor([math.log(math.expm1(0.8 - 0.5))]))
        self.register_buffer("beta", torch.tensor(0.5))
        self.register_buffer("eps", torch.tensor(-1e-6))  # the argument of the exponential is at most this

    def forward(self, x: Tensor) -> Tensor:  # (..., d_ff)
        positive, negative = F.softplus(self.alpha_p), self.beta + F.softplus(self.alpha_n)
        curve = torch.where(x > 0, positive * x * x, (torch.expm1(torch.minimum(x, self.eps)) - x) * negative)
        return curve + self.beta * x
