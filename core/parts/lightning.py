"""Lightning attention (arXiv:2401.04658): linear attention whose state decays at a fixed rate for each head."""

import math
from collections.abc import Iterator
from typing import Annotated, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from .base import OF_MODEL, Box, Flops, HeadDim, Heads, Inherited, Linear, Recurrence, Shape, State, check_groups, times
from .feedforward import NAMES, PLAIN, Plain
from .norm import HeadNorms, Norm, RMSNorm
from .position import NoPosition, Rope


class LightningAttention(Recurrence):
    """As in MiniMax-Text-01 (arXiv:2501.08313, section 2.2.1): queries, keys and values pass SiLU, and each head keeps, as a matrix, the
    sum of its keys times its values. In Ring-linear (arXiv:2510.19338, section 2.2) queries and keys are instead
    normalised and rotated. H = heads, D = head_dim."""

    title = "Lightning attention"
    line = "linear attention with a fixed decay for each head"
    also = ("retention",)
    called = "lightning"

    kind: Literal["lightning_attention"]
    heads: Heads = Field(description="Heads, each with its own state", examples=[64])
    head_dim: HeadDim = Field(description="Channels of a query, key or value head", examples=[128])
    activation: Plain | None = Field("silu", description="Activation on queries, keys and values; none if empty")
    qk_norm: bool = Field(False, description="Normalises queries and keys, each head alone")
    position: Annotated[NoPosition | Rope, Field(discriminator="kind")] = Field(
        NoPosition(), description="Rotary embedding of queries and keys, independent of the model's"
    )
    scaled: bool = Field(False, description="Divides queries by sqrt(head_dim)")
    full_at: Literal[0, 1] = Field(0, description="First layer, 0 or 1, with ALiBi's full slopes; later layers have smaller ones")
    out_norm: Norm = Field(RMSNorm(eps=1e-6), description="Norm on the output of all heads together")
    groups: Heads = Field(1, description="Groups of channels that the output norm normalises separately")
    wide_state: bool = Field(False, description="Keeps the state in float32 for any dtype of the model")
    norm: Inherited[Norm] = OF_MODEL

    @model_validator(mode="after")
    def _consistent(self):
        check_groups("groups", self.wide, "channels", self.groups)
        return self

    @property
    def wide(self) -> int:
        return self.heads * self.head_dim

    @property
    def in_float32(self) -> tuple[str, ...]:  # type: ignore[override]
        return ("memory",) if self.wide_state else ()

    def build(self, d_model: int) -> nn.Module:
        return LightningModule(self, d_model)

    def check(self, d_model: int, context: int) -> None:
        self.position.check(self.head_dim)

    def slopes(self, layer: int = 0, layers: int = 2) -> Tensor:
        """The decay of each head's log state per token, (H,): 2^(-8 h / H) for h = 1 ... H as in ALiBi,
        times 1 - layer / (layers - 1), so that deep layers forget very slowly."""
        per_head = 2.0 ** (-8 * torch.arange(1, self.heads + 1) / self.heads)
        depth = layers - 1 if self.full_at else layers - 1 + 1e-5  # as Ling's class divides, and MiniMax's
        return per_head * (1 + (self.full_at - layer) / depth + 1e-5)

    def state(self, d_model: int) -> dict[str, Shape]:
        return {"memory": (self.heads, self.head_dim, self.head_dim)}

    def flops(self, d_model: int, new: int, past: int) -> Flops:
        return Flops(
            qkv=6 * new * d_model * self.wide,
            sum=4 * new * self.wide * self.head_dim,
            gate=2 * new * d_model * self.wide,
            o=2 * new * self.wide * d_model,
        )

    def shrink(self, scale: float) -> Self:
        heads, dim = min(self.heads, 4), self.position.shrunk(self.head_dim)
        return self.model_copy(update={"heads": heads, "head_dim": dim, "groups": math.gcd(self.groups, heads)})

    def facts(self) -> Iterator[str]:
        yield f"{self.heads} heads · {self.head_dim} × {self.head_dim} each"

    def explain(self, d_model: int) -> str:
        return (
            f"Each of {self.heads} heads keeps a matrix of {self.head_dim} × {self.head_dim}, {self.wide * self.head_dim:,} "
            "values in all, whatever the length of the text. Each token decays it by a fixed factor, adds its key times its value "
            "and reads it with its query. No softmax, no growing cache."
        )

    def checklist(self, d_model: int) -> Iterator[str]:
        passed = f"each pass {NAMES[self.activation]}" if self.activation else "pass no activation"
        scale = "queries are divided by √head_dim" if self.scaled else "there is no scale"
        turn = "queries and keys are rotated" if self.position.kind == "rope" else "there is no rotary embedding"
        yield f"Queries, keys and values {passed}; {scale}; {turn}; there is no softmax."
        if self.qk_norm:
            yield "Queries and keys are normalised over each head's own channels, before the rotation."
        layer = "(layer − 1)" if self.full_at else "layer"
        yield f"Slopes are 2^(−8h / heads) for h = 1 to heads, times 1 − {layer} / (layers − 1); the first layer is 0."
        over = f"each of {self.groups} groups of channels" if self.groups > 1 else "all heads' outputs together"
        yield f"The norm is over {over}, and the sigmoid gate comes after it."


class LightningModule(nn.Module):
    def __init__(self, part: LightningAttention, d_model: int):
        super().__init__()
        self.part = part
        self.qkv = Linear(d_model, 3 * part.wide)
        self.q_norm = part.norm.build(part.head_dim) if part.qk_norm else None
        self.k_norm = part.norm.build(part.head_dim) if part.qk_norm else None
        self.rotary = part.position.rotary(part.head_dim)
        self.memory = State(part.heads, part.head_dim, part.head_dim)
        self.sum = FadingSum(part)
        self.out_norm = part.out_norm.build(part.wide) if part.groups == 1 else GroupNorms(part)
        self.gate = Linear(d_model, part.wide)
        self.o = Linear(part.wide, d_model)

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:  # (B, T, d_model), (T,)
        part = self.part
        qkv = self.qkv(x) if part.activation is None else PLAIN[part.activation](self.qkv(x))
        q, k, v = qkv.unflatten(-1, (part.heads, 3 * part.head_dim)).chunk(3, dim=-1)  # (B, T, H, D) each
        if self.q_norm and self.k_norm:
            q, k = self.q_norm(q), self.k_norm(k)
        q, k = self.rotary(q, positions), self.rotary(k, positions)
        q = times(q, part.head_dim**-0.5 if part.scaled else 1.0)
        y, after = self.sum(q, k, v, self.memory.before(v))
        self.memory(after)
        return self.o(torch.sigmoid(self.gate(x)) * self.out_norm(y.flatten(-2)))


class GroupNorms(HeadNorms):
    """One norm over each equal group of channels, with a weight for every channel."""

    def __init__(self, part: LightningAttention):
        super().__init__(part.out_norm, part.groups, part.wide // part.groups)
        self.groups = part.groups
        self.explain = self.norm.explain + f" Each of {part.groups} groups of channels is normalised alone."

    def forward(self, x: Tensor) -> Tensor:  # (B, T, H D)
        return super().forward(x.unflatten(-1, (self.groups, -1))).flatten(-2)


class FadingSum(Box):
    """S <- exp(-slope) S + k_t v_t^T, and o_t = S^T q_t (equation 4)."""

    box = "recurrence"
    label = "Decaying sum of keys × values"
    explain = "Token by token: the state decays by each head's own factor, the key writes the value, the query reads."

    slopes: Tensor

    def __init__(self, part: LightningAttention):
        super().__init__()
        self.wide_state = part.wide_state
        # They depend on the layer's number and are never learned: a buffer, which the weights' loader sets.
        self.register_buffer("slopes", part.slopes())

    def forward(self, q: Tensor, k: Tensor, v: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, H, D) three times, (B, H, D, D) -> (B, T, H, D) and the state after."""
        kind = torch.promote_types(v.dtype, torch.float32) if self.wide_state else v.dtype
        fade, out = torch.exp(-self.slopes)[:, None, None].to(v.device, kind), []  # (H, 1, 1)
        q, k, state = q.to(kind), k.to(kind), state.to(kind)
        for t in range(q.shape[1]):
            #: S_t = exp(-slope) S_(t-1) + k_t v_t⊤
            state = state * fade + k[:, t, :, :, None] @ v[:, t, :, None].to(kind)  # (B, H, D, D)
            #: o_t = S_t⊤ q_t
            out.append(q[:, t, :, None] @ state)  # (B, H, 1, D)
        return torch.cat(out, dim=2).transpose(1, 2).to(v.dtype), state

    def outline(self, q: Tensor, k: Tensor, v: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        return v.new_empty(v.shape), state
