"""Normalisation: LayerNorm (arXiv:1607.06450) and RMSNorm (arXiv:1910.07467)."""

from collections.abc import Iterator
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from .base import Box, Eps, Linear, Spec


class RMSNorm(Spec):
    """Divides by the root mean square; with `unit_offset` the weight is stored minus one (Gemma)."""

    kind: Literal["rms"] = "rms"
    eps: Eps = Field(1e-6, description="Epsilon, added to the mean square before the root")
    weight: bool = Field(True, description="A learned weight for each channel")
    unit_offset: bool = Field(False, description="Stores the weight minus one")
    bias: bool = Field(False, description="A learned bias for each channel")

    def build(self, dim: int) -> Box:
        return RMSNormModule(self, dim)

    def explain(self, dim: int) -> str:
        learned = "and a learned weight for each channel" if self.weight else "with no learned weight"
        return f"Divides each token's {dim:,} values by their root mean square, {learned} (eps {self.eps:g})."

    def checklist(self) -> Iterator[str]:
        yield f"RMSNorm adds {self.eps:g} to the mean square inside the root, and computes in float32."
        if self.unit_offset:
            yield "The norm weight is stored minus one: multiply by 1 + weight."
        if not self.weight:
            yield "The norm has no weight."
        if self.bias:
            yield "The norm has a bias, unlike a usual RMSNorm."


class LayerNorm(Spec):
    """Subtracts the mean and divides by the standard deviation."""

    kind: Literal["layer"] = "layer"
    eps: Eps = Field(1e-5, description="Epsilon, added to the variance before the root")
    weight: bool = Field(True, description="A learned weight for each channel")
    bias: bool = Field(True, description="A learned bias for each channel")
    unit_offset: bool = Field(False, description="Stores the weight minus one (Nemotron)")

    def build(self, dim: int) -> Box:
        return LayerNormModule(self, dim)

    def explain(self, dim: int) -> str:
        return f"Shifts and scales each token's {dim:,} values to mean 0 and variance 1 (eps {self.eps:g})."

    def checklist(self) -> Iterator[str]:
        yield f"LayerNorm adds {self.eps:g} to the variance, and {'has' if self.bias else 'has no'} bias."
        if self.unit_offset:
            yield "The norm weight is stored minus one: multiply by 1 + weight."


class SelfGatedRMSNorm(Spec):
    """RMSNorm, then a sigmoid gate on each channel, computed from all of them through a low rank (A.X K2)."""

    kind: Literal["self_gated_rms"]
    eps: Eps = Field(1e-6, description="Epsilon, added to the mean square before the root")
    rank: Annotated[int, Field(ge=1, le=8_192)] = Field(16, description="Rank of the gate's projections")

    def build(self, dim: int) -> Box:
        return SelfGatedRMSNormModule(self, dim)

    def explain(self, dim: int) -> str:
        return RMSNorm(eps=self.eps).explain(dim) + f" A gate of rank {self.rank} reads the result and multiplies it."

    def checklist(self) -> Iterator[str]:
        yield from RMSNorm(eps=self.eps).checklist()
        yield "The norm's gate reads the norm's output, weight included: a SiLU between its two projections, a sigmoid after them."


class LayerNormModule(Box, nn.LayerNorm):
    box = "norm"
    keeps_shape = True
    label = "LayerNorm"

    def __init__(self, norm: LayerNorm, dim: int):
        super().__init__(dim, eps=norm.eps, elementwise_affine=norm.weight, bias=norm.bias)
        self.norm, self.explain = norm, norm.explain(dim)
        if norm.unit_offset and norm.weight:
            nn.init.zeros_(self.weight)

    def forward(self, x: Tensor) -> Tensor:  # (..., dim)
        if self.weight is None or not self.norm.unit_offset:
            return super().forward(x)
        return F.layer_norm(x, x.shape[-1:], self.weight + 1, self.bias, self.eps)


class RMSNormModule(Box, nn.RMSNorm):
    box = "norm"
    keeps_shape = True
    label = "RMSNorm"

    def __init__(self, norm: RMSNorm, dim: int):
        super().__init__(dim, eps=norm.eps, elementwise_affine=norm.weight)
        self.norm, self.explain = norm, norm.explain(dim)
        if norm.unit_offset and norm.weight:
            nn.init.zeros_(self.weight)
        self.bias = nn.Parameter(torch.zeros(dim)) if norm.bias else None

    def forward(self, x: Tensor) -> Tensor:  # (..., dim)
        if self.weight is None or not self.norm.unit_offset:
            y = super().forward(x)  # torch rounds after the weight, as gpt-oss does; Llama rounds before it too
        else:
            # In float32: in bfloat16, 1 + a small weight would be rounded.
            y = F.rms_norm(x.float(), x.shape[-1:], 1 + self.weight.float(), self.eps).to(x.dtype)
        return y if self.bias is None else y + self.bias


class SelfGatedRMSNormModule(RMSNormModule):
    label = "Self-gated RMSNorm"

    def __init__(self, norm: SelfGatedRMSNorm, dim: int):
        super().__init__(RMSNorm(eps=norm.eps), dim)
        self.explain = norm.explain(dim)
        self.down, self.up = Linear(dim, norm.rank), Linear(norm.rank, dim)
        self.token_flops = 4 * dim * norm.rank

    def forward(self, x: Tensor) -> Tensor:  # (..., dim)
        y = super().forward(x)
        return y * torch.sigmoid(self.up(F.silu(self.down(y))).float()).to(y.dtype)


class Affine(Spec):
    """Not a norm, only its affine step: a learned shift and scale of each channel (ZAYA)."""

    def build(self, dim: int) -> Box:
        return AffineModule(dim)

    def explain(self, dim: int) -> str:
        return f"A learned shift, then a learned scale, of each of {dim:,} channels."


class AffineModule(Box):
    box = "norm"
    keeps_shape = True
    label = "Shift and scale"

    def __init__(self, dim: int):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(dim)), nn.Parameter(torch.zeros(dim))
        self.explain = f"A learned shift, then a learned scale, of each of {dim:,} channels."

    def forward(self, x: Tensor) -> Tensor:  # (..., dim)
        return (x + self.bias) * self.weight


class HeadNorms(Box):
    """One kind of norm for all heads, each with its own weights."""

    box = "norm"
    keeps_shape = True

    def __init__(self, norm: "Norm", heads: int, dim: int):
        super().__init__()
        plain = {"weight": False, "bias": False, "unit_offset": False}
        self.norm = norm.model_copy(update={k: v for k, v in plain.items() if hasattr(norm, k)}).build(dim)
        self.label, self.explain = self.norm.label, norm.explain(dim) + " Each head has its own weights."
        self.weight = nn.Parameter(torch.ones(heads, dim))

    def forward(self, x: Tensor) -> Tensor:  # (B, T, heads, dim)
        return self.norm(x) * self.weight


class GatedRMSNorm(Box):
    """RMSNorm of a recurrence's output, times a function of a gate.

    The norm can be one of equal groups of channels, and the gate can come before it.
    """

    box = "norm"
    keeps_shape = True
    label = "Gated RMSNorm"

    def __init__(self, dim: int, eps: float, groups: int = 1, gate_first: bool = False, sigmoid: bool = False):
        super().__init__()
        self.sigmoid = sigmoid
        self.groups, self.eps, self.gate_first = groups, eps, gate_first
        self.weight = nn.Parameter(torch.ones(dim))
        act, when = "a sigmoid" if sigmoid else "SiLU", "first" if gate_first else "last"
        self.explain = f"Divided by its root mean square and multiplied by {act} of a gate from the input; the gate {when}."

    def forward(self, x: Tensor, gate: Tensor) -> Tensor:  # (..., dim) twice
        gate = torch.sigmoid(gate.float()) if self.sigmoid else F.silu(gate.float())
        y = x * gate if self.gate_first else x
        if self.groups == 1:
            y = F.rms_norm(y, y.shape[-1:], None, self.eps)
        else:
            y = y.unflatten(-1, (self.groups, -1))
            y = F.rms_norm(y, y.shape[-1:], None, self.eps).flatten(-2)
        if self.gate_first:
            return y.to(x.dtype) * self.weight
        return (y * self.weight * gate).to(x.dtype)


Norm = Annotated[RMSNorm | LayerNorm, Field(discriminator="kind")]


def check_plain(field: str, norm: object) -> None:
    """Raise ValueError if a part would use a self-gated norm inside, since no part counts its matrix products."""
    if isinstance(norm, SelfGatedRMSNorm):
        raise ValueError(f"{field}: a self-gated norm is possible before a part, not inside one; give another norm")


PartNorm = Annotated[RMSNorm | LayerNorm | SelfGatedRMSNorm, Field(discriminator="kind")]  # before a part
