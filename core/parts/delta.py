"""Gated delta net (arXiv:2412.06464): linear attention with a state that decays by a gate and is corrected by the delta rule."""

from collections.abc import Iterator
from typing import Annotated, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from .base import OF_MODEL, Box, Eps, Flops, HeadDim, Heads, Inherited, Linear, Recurrence, Shape, State, Trait, check_groups
from .convolution import CausalConvolution, Kernel
from .feedforward import NAMES, Plain
from .norm import GatedRMSNorm, Norm


class GatedDeltaNet(Recurrence):
    """As in Qwen3-Next: queries, keys and values pass a short convolution, then each of `heads` value heads keeps a matrix of
    key_dim × value_dim. H = heads, G = key_heads, K = key_dim, V = value_dim."""

    title = "Gated delta net"
    line = "a state that forgets, and corrects what a key holds"
    also = ("GDN", "DeltaNet")
    called = "delta"

    kind: Literal["gated_delta_net"]
    heads: Heads = Field(description="Value heads, each with its own state", examples=[32])
    key_heads: Heads = Field(description="Query and key heads: a divisor of the value heads", examples=[16])
    key_dim: HeadDim = Field(description="Channels of a query or key head", examples=[128])
    value_dim: HeadDim = Field(description="Channels of a value head", examples=[128])
    kernel: Annotated[Kernel, Trait("conv {}")] = Field(4, description="Kernel size of the convolution on queries, keys and values")
    activation: Plain = Field("silu", description="Activation after the convolution")
    sigmoid_gate: bool = Field(False, description="The output gate uses a sigmoid, not SiLU (Qwen 4)")
    negative: bool = Field(False, description="Beta ranges up to 2, so negative eigenvalues are possible (Olmo Hybrid)")
    out_eps: Eps | None = Field(None, description="Epsilon of the output norm; the model's if empty")
    norm: Inherited[Norm] = OF_MODEL

    @model_validator(mode="after")
    def _consistent(self):
        check_groups("key_heads", self.heads, "heads", self.key_heads)
        return self

    @property
    def channels(self) -> int:
        """Channels of queries, keys and values together, over which the convolution runs."""
        return 2 * self.key_heads * self.key_dim + self.heads * self.value_dim

    def build(self, d_model: int) -> nn.Module:
        return GatedDeltaNetModule(self, d_model)

    in_float32 = ("memory",)

    def state(self, d_model: int) -> dict[str, Shape]:
        return {"inputs": (self.kernel - 1, self.channels), "memory": (self.heads, self.key_dim, self.value_dim)}

    def flops(self, d_model: int, new: int, past: int) -> Flops:
        wide = self.heads * self.value_dim
        return Flops(
            qkv=2 * new * d_model * self.channels,
            convolve=2 * new * self.channels * self.kernel,
            z=2 * new * d_model * wide,
            beta=2 * new * d_model * self.heads,
            decay=2 * new * d_model * self.heads,
            rule=6 * new * self.heads * self.key_dim * self.value_dim,
            o=2 * new * wide * d_model,
        )

    def shrink(self, scale: float) -> Self:
        groups = min(self.key_heads, 2)
        return self.model_copy(update={"heads": self.heads // self.key_heads * groups, "key_heads": groups, "key_dim": 16, "value_dim": 16})

    def traits(self) -> Iterator[str]:
        yield from super().traits()
        yield "gate"

    def facts(self) -> Iterator[str]:
        yield f"{self.heads} heads · {self.key_dim} × {self.value_dim} each"

    def explain(self, d_model: int) -> str:
        kept = self.heads * self.key_dim * self.value_dim
        return (
            f"Each of {self.heads} heads keeps a matrix of {self.key_dim} × {self.value_dim}, {kept:,} values in all, whatever "
            "the length of the text. Each token decays it by a gate and corrects the value that it returns for the token's key. No scores, "
            "no growing cache."
        )

    def checklist(self, d_model: int) -> Iterator[str]:
        yield "Queries and keys are divided by their L2 norm (eps 1e-6 under the root), queries also by √key_dim."
        yield "The log decay is −exp(A) · softplus(a + dt), in float32; the decay is applied before the state is read."
        yield f"The convolution of {self.kernel} on queries, keys and values is followed by {NAMES[self.activation]}."
        if self.negative:
            yield "Beta is twice a sigmoid: the state's eigenvalues reach −1 (arXiv:2411.12537)."
        gate = "a sigmoid" if self.sigmoid_gate else "SiLU"
        yield f"The output norm is over each head; its gate passes {gate} and is applied after the norm."


class GatedDeltaNetModule(nn.Module):
    def __init__(self, part: GatedDeltaNet, d_model: int):
        super().__init__()
        self.part = part
        h, wide = part.heads, part.heads * part.value_dim
        self.qkv = Linear(d_model, part.channels)
        self.inputs = State(part.kernel - 1, part.channels)
        self.convolve = CausalConvolution(part.channels, part.kernel, activation=part.activation)
        self.beta = Linear(d_model, h)
        self.decay = Linear(d_model, h)
        self.memory = State(h, part.key_dim, part.value_dim)
        self.rule = DeltaRule(h, part.negative)
        self.z = Linear(d_model, wide)
        self.out_norm = GatedRMSNorm(part.value_dim, part.out_eps or part.norm.eps, sigmoid=part.sigmoid_gate)
        self.o = Linear(wide, d_model)

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:  # (B, T, d_model), (T,)
        part = self.part
        qkv = self.qkv(x)  # (B, T, 2 G K + H V)
        qkv, last = self.convolve(qkv, self.inputs.before(qkv))
        self.inputs(last)
        keys = part.key_heads * part.key_dim
        q, k, v = qkv.split((keys, keys, part.heads * part.value_dim), dim=-1)
        q, k = (t.unflatten(-1, (part.key_heads, part.key_dim)) for t in (q, k))  # (B, T, G, K)
        v = v.unflatten(-1, (part.heads, part.value_dim))  # (B, T, H, V)
        y, after = self.rule(q, k, v, self.beta(x), self.decay(x), self.memory.before(v))
        self.memory(after)
        z = self.z(x).unflatten(-1, (part.heads, part.value_dim))  # (B, T, H, V)
        return self.o(self.out_norm(y, z).flatten(-2))


class DeltaRule(Box):
    """S <- exp(g_t) S, then S <- S + k_t (beta_t (v_t - S^T k_t))^T, and o_t = S^T q_t (arXiv:2412.06464, equation 10)."""

    box = "recurrence"
    label = "Gated delta rule"
    explain = "Token by token: the state decays, its value for the key moves toward the token's value, and the query reads it."

    def __init__(self, heads: int, negative: bool):
        super().__init__()
        self.reach = 2.0 if negative else 1.0  # of beta
        self.A_log = nn.Parameter(torch.zeros(heads))
        self.dt_bias = nn.Parameter(torch.ones(heads))

    def forward(self, q: Tensor, k: Tensor, v: Tensor, beta: Tensor, decay: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, G, K) twice, (B, T, H, V), (B, T, H) twice, (B, H, K, V) -> (B, T, H, V) and the state after."""
        each = v.shape[2] // q.shape[2]
        q = unit(q).repeat_interleave(each, dim=2) * q.shape[-1] ** -0.5  # (B, T, H, K)
        k = unit(k).repeat_interleave(each, dim=2)  # (B, T, H, K)
        beta = self.reach * torch.sigmoid(beta)  # (B, T, H)
        fade = torch.exp(-self.A_log.float().exp() * F.softplus(decay.float() + self.dt_bias.float()))  # (B, T, H)
        return delta_rule(q, k, v, beta, fade[..., None], state)

    def outline(self, q: Tensor, k: Tensor, v: Tensor, beta: Tensor, decay: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        return v.new_empty(v.shape), state


def delta_rule(q: Tensor, k: Tensor, v: Tensor, beta: Tensor, fade: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """Token by token, in float32: (B, T, H, K) twice, (B, T, H, V), (B, T, H), (B, T, H, K or 1), (B, H, K, V) ->
    (B, T, H, V) and the state after."""
    state, beta, out = state.float(), beta.float(), []
    for t in range(q.shape[1]):
        key = k[:, t, :, :, None].float()  # (B, H, K, 1)
        #: S = exp(g_t) S_(t-1)
        state = state * fade[:, t, :, :, None]  # (B, H, K, V)
        answer = key.mT @ state  # (B, H, 1, V)
        #: S_t = S + k_t (β_t (v_t - S⊤ k_t))⊤
        state = state + key @ (beta[:, t, :, None, None] * (v[:, t, :, None].float() - answer))
        #: o_t = S_t⊤ q_t
        out.append(q[:, t, :, None].float() @ state)  # (B, H, 1, V)
    return torch.cat(out, dim=2).transpose(1, 2).to(v.dtype), state


def unit(x: Tensor) -> Tensor:
    """Each vector of the last dimension divided by its L2 norm."""
    x = x.float()
    return x * torch.rsqrt(x.square().sum(-1, keepdim=True) + 1e-6)
