"""Lightning attention (arXiv:2401.04658): linear attention whose state fades at a fixed pace, one for each head."""

from collections.abc import Iterator
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from .base import Flops, HeadDim, Heads, Linear, Recurrence, Shape, State
from .feedforward import NAMES, PLAIN, Plain
from .norm import Norm, RMSNorm


class LightningAttention(Recurrence):
    """As in MiniMax-Text-01 (arXiv:2501.08313, section 2.2.1): queries, keys and values pass SiLU, and each head keeps the
    sum of its keys times its values, as a matrix. H = heads, D = head_dim."""

    title = "Lightning attention"

    kind: Literal["lightning_attention"]
    heads: Heads = Field(description="Heads, each with a state of its own", examples=[64])
    head_dim: HeadDim = Field(description="Channels of a query, key or value head", examples=[128])
    activation: Plain = Field("silu", description="What queries, keys and values pass")
    out_norm: Norm = Field(RMSNorm(eps=1e-6), description="Norm of the output, over all heads together")
    norm: Norm | None = Field(None, description="Where it differs from the model's")

    @property
    def wide(self) -> int:
        return self.heads * self.head_dim

    def build(self, d_model: int) -> nn.Module:
        return LightningModule(self, d_model)

    def slopes(self, layer: int = 0, layers: int = 2) -> Tensor:
        """What a token takes from the logarithm of each head's state, (H,): 2^(-8 h / H) for h = 1 ... H as in ALiBi,
        times 1 - layer / (layers - 1), so that deep layers hardly forget."""
        per_head = 2.0 ** (-8 * torch.arange(1, self.heads + 1) / self.heads)
        return per_head * (1 - layer / (layers - 1 + 1e-5) + 1e-5)

    def state(self, d_model: int) -> dict[str, Shape]:
        return {"memory": (self.heads, self.head_dim, self.head_dim)}

    def flops(self, d_model: int, new: int, past: int) -> Flops:
        return Flops(
            qkv=6 * new * d_model * self.wide,
            sum=4 * new * self.wide * self.head_dim,
            gate=2 * new * d_model * self.wide,
            o=2 * new * self.wide * d_model,
        )

    def shrink(self, scale: float) -> "LightningAttention":
        return self.model_copy(update={"heads": min(self.heads, 4), "head_dim": 16})

    def facts(self) -> Iterator[str]:
        yield f"{self.heads} heads · {self.head_dim} × {self.head_dim} each"

    def explain(self, d_model: int) -> str:
        return (
            f"Each of {self.heads} heads keeps a matrix of {self.head_dim} × {self.head_dim}, {self.wide * self.head_dim:,} "
            "values in all, however long the text. Each token lets it fade by a fixed share, adds its key times its value "
            "and reads it with its query. No softmax, no growing cache."
        )

    def checklist(self, d_model: int) -> Iterator[str]:
        yield f"Queries, keys and values each pass {NAMES[self.activation]}; there is no scale, no softmax and no rotary embedding."
        yield "Slopes are 2^(−8h / heads) for h = 1 to heads, times 1 − layer / (layers − 1): they differ from layer to layer."
        yield "The norm is over all heads' outputs together, and the sigmoid gate comes after it."


class LightningModule(nn.Module):
    def __init__(self, part: LightningAttention, d_model: int):
        super().__init__()
        self.part = part
        self.qkv = Linear(d_model, 3 * part.wide)
        self.memory = State(part.heads, part.head_dim, part.head_dim)
        self.sum = FadingSum(part)
        self.out_norm = part.out_norm.build(part.wide)
        self.gate = Linear(d_model, part.wide)
        self.o = Linear(part.wide, d_model)

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:  # (B, T, d_model), (T,)
        part = self.part
        qkv = PLAIN[part.activation](self.qkv(x)).unflatten(-1, (part.heads, 3 * part.head_dim))  # (B, T, H, 3 D)
        q, k, v = qkv.chunk(3, dim=-1)  # (B, T, H, D) each
        y, after = self.sum(q, k, v, self.memory.before(v))
        self.memory(after)
        return self.o(torch.sigmoid(self.gate(x)) * self.out_norm(y.flatten(-2)))


class FadingSum(nn.Module):
    """S <- exp(-slope) S + k_t v_t^T, and o_t = S^T q_t (equation 4)."""

    box = "recurrence"
    label = "Fading sum of keys × values"
    explain = "Token after token: the state fades by each head's own share, the key writes the value, the query reads."

    def __init__(self, part: LightningAttention):
        super().__init__()
        # They follow from the layer's place in the model and are never learned: a buffer, which the weights' loader sets.
        self.register_buffer("slopes", part.slopes())

    def forward(self, q: Tensor, k: Tensor, v: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, H, D) three times, (B, H, D, D) -> (B, T, H, D) and the state after."""
        fade, out = torch.exp(-self.slopes)[:, None, None].to(v), []  # (H, 1, 1)
        for t in range(q.shape[1]):
            state = state * fade + k[:, t, :, :, None] @ v[:, t, :, None]  # (B, H, D, D)
            out.append(q[:, t, :, None] @ state)  # (B, H, 1, D)
        return torch.cat(out, dim=2).transpose(1, 2), state

    def outline(self, q: Tensor, k: Tensor, v: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        return v.new_empty(v.shape), state
