"""Kimi delta attention (arXiv:2510.26692): a gated delta net with a separate decay for each key channel."""

from collections.abc import Iterator
from typing import Annotated, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from .base import OF_MODEL, Box, Flops, HeadDim, Heads, Inherited, Linear, Recurrence, Shape, State, Trait
from .convolution import CausalConvolution, Kernel
from .delta import delta_rule, unit
from .feedforward import NAMES, Plain
from .norm import Norm, RMSNorm

Floor = Annotated[float, Field(lt=0, ge=-1e3)]


class KimiDelta(Recurrence):
    """Queries, keys and values pass a short convolution, then each head keeps a matrix of head_dim × head_dim. The decay
    and the output gate are computed from the input through a rank of D, or in one step. H = heads, D = head_dim."""

    title = "Kimi delta attention"
    also = ("KDA",)
    proper = True
    line = "gated delta net with a decay for each channel"
    called = "delta"

    kind: Literal["kimi_delta"]
    heads: Heads = Field(description="Heads, each with its own state", examples=[32])
    head_dim: HeadDim = Field(description="Channels of a query, key or value head", examples=[128])
    whole: bool | Literal["gate"] = Field(
        False, description="Decay and output gate are full-rank projections (Ling 3.0), or the gate alone (Kimi K3)"
    )
    floor: Floor | None = Field(None, description="Lowest log decay, reached by a sigmoid instead of a softplus (Ling 3.0)")
    kernel: Annotated[Kernel, Trait("conv {}")] = Field(4, description="Kernel size of the convolution on queries, keys and values")
    activation: Plain = Field("silu", description="Activation after the convolution")
    negative: bool = Field(False, description="Beta ranges up to 2, so negative eigenvalues are possible (Solar Open 2)")
    norm: Inherited[Norm] = OF_MODEL

    @property
    def wide(self) -> int:
        return self.heads * self.head_dim

    @property
    def ranks(self) -> dict[str, int | None]:
        """The ranks of the projections to the decay and to the output gate; None for full ones."""
        return {"decay": None if self.whole is True else self.head_dim, "gate": None if self.whole else self.head_dim}

    @property
    def pieces(self) -> dict[str, dict[str, int]]:
        return {"qkv.weight": dict.fromkeys("qkv", self.wide)}

    def build(self, d_model: int) -> nn.Module:
        return KimiDeltaModule(self, d_model)

    in_float32 = ("memory",)

    def state(self, d_model: int) -> dict[str, Shape]:
        return {"inputs": (self.kernel - 1, 3 * self.wide), "memory": (self.heads, self.head_dim, self.head_dim)}

    def flops(self, d_model: int, new: int, past: int) -> Flops:
        flops = Flops(
            qkv=6 * new * d_model * self.wide,
            convolve=6 * new * self.wide * self.kernel,
            beta=2 * new * d_model * self.heads,
            rule=6 * new * self.wide * self.head_dim,
            o=2 * new * self.wide * d_model,
        )
        for name, rank in self.ranks.items():
            if rank:
                flops[f"{name}_down"] = 2 * new * d_model * rank
            flops[name] = 2 * new * (rank or d_model) * self.wide
        return flops

    def shrink(self, scale: float) -> Self:
        return self.model_copy(update={"heads": min(self.heads, 4), "head_dim": 16})

    def traits(self) -> Iterator[str]:
        yield from super().traits()
        yield "gate"

    def facts(self) -> Iterator[str]:
        yield f"{self.heads} heads · {self.head_dim} × {self.head_dim} each"

    def explain(self, d_model: int) -> str:
        return (
            f"Each of {self.heads} heads keeps a matrix of {self.head_dim} × {self.head_dim}, {self.wide * self.head_dim:,} "
            "values in all, whatever the length of the text. Each token decays every row at its own rate and corrects "
            "the value that the matrix returns for the token's key. No scores, no growing cache."
        )

    def checklist(self, d_model: int) -> Iterator[str]:
        yield "Queries and keys are divided by their L2 norm (eps 1e-6 under the root), queries also by √head_dim."
        if self.floor is None:
            yield "The log decay is −exp(A) · softplus(f + dt), in float32: A for each head, dt for each channel."
        else:
            yield f"The log decay is {self.floor:g} · sigmoid(exp(A) · (f + dt)): A for each head, dt for each channel."
        yield f"The convolution of {self.kernel} on queries, keys and values is followed by {NAMES[self.activation]}."
        if self.negative:
            yield "Beta is twice a sigmoid: the state's eigenvalues reach −1 (arXiv:2411.12537)."
        yield "The output norm is over each head; its gate passes a sigmoid, not SiLU."


class KimiDeltaModule(nn.Module):
    def __init__(self, part: KimiDelta, d_model: int):
        super().__init__()
        self.part = part
        self.qkv = Linear(d_model, 3 * part.wide)
        self.inputs = State(part.kernel - 1, 3 * part.wide)
        self.convolve = CausalConvolution(3 * part.wide, part.kernel, activation=part.activation)
        self.beta = Linear(d_model, part.heads)
        ranks = part.ranks.values()
        self.decay_down, self.gate_down = (Linear(d_model, rank) if rank else None for rank in ranks)
        self.decay, self.gate = (Linear(rank or d_model, part.wide) for rank in ranks)
        self.memory = State(part.heads, part.head_dim, part.head_dim)
        self.rule = ChannelDeltaRule(part)
        self.out_norm = RMSNorm(eps=part.norm.eps).build(part.head_dim)
        self.o = Linear(part.wide, d_model)

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:  # (B, T, d_model), (T,)
        part = self.part
        qkv = self.qkv(x)  # (B, T, 3 H D)
        qkv, last = self.convolve(qkv, self.inputs.before(qkv))
        self.inputs(last)
        q, k, v = (t.unflatten(-1, (part.heads, part.head_dim)) for t in qkv.chunk(3, dim=-1))  # (B, T, H, D) each
        decay = self.decay(x if self.decay_down is None else self.decay_down(x)).unflatten(-1, (part.heads, part.head_dim))
        y, after = self.rule(q, k, v, self.beta(x), decay, self.memory.before(v))
        self.memory(after)
        gate = self.gate(x if self.gate_down is None else self.gate_down(x))  # (B, T, H D)
        return self.o(self.out_norm(y).flatten(-2) * torch.sigmoid(gate))


class ChannelDeltaRule(Box):
    """S <- diag(exp(g_t)) S, then S <- S + k_t (beta_t (v_t - S^T k_t))^T, and o_t = S^T q_t (equation 1)."""

    box = "recurrence"
    label = "Kimi delta rule"
    explain = (
        "Token by token: each row of the state decays at its own rate, its value for the key moves toward the token's "
        "value, and the query reads it."
    )

    def __init__(self, part: KimiDelta):
        super().__init__()
        self.floor, self.reach = part.floor, 2.0 if part.negative else 1.0  # reach: the largest beta
        self.A_log = nn.Parameter(torch.zeros(part.heads))
        self.dt_bias = nn.Parameter(torch.ones(part.wide))

    def forward(self, q: Tensor, k: Tensor, v: Tensor, beta: Tensor, decay: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, H, D) three times, (B, T, H), (B, T, H, D), (B, H, D, D) -> (B, T, H, D) and the state after."""
        q, k = unit(q) * q.shape[-1] ** -0.5, unit(k)  # (B, T, H, D)
        pace = self.A_log.float().exp()[:, None]  # (H, 1)
        decay = decay.float() + self.dt_bias.float().view(len(pace), -1)  # (B, T, H, D)
        fade = -pace * F.softplus(decay) if self.floor is None else self.floor * torch.sigmoid(pace * decay)
        return delta_rule(q, k, v, self.reach * torch.sigmoid(beta), fade.exp(), state)

    def outline(self, q: Tensor, k: Tensor, v: Tensor, beta: Tensor, decay: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        return v.new_empty(v.shape), state
