"""The mLSTM of xLSTM (arXiv:2405.04517, section 2.3), in the form of xLSTM 7B (arXiv:2503.13427, section 3)."""

from collections.abc import Iterator
from typing import Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from .base import OF_MODEL, Box, Eps, Flops, HeadDim, Heads, Inherited, Linear, Positive, Recurrence, Shape, State
from .norm import Norm


class MLSTM(Recurrence):
    """Each of `heads` heads keeps a matrix of key_dim × value_dim. An exponential input gate adds a token and a sigmoid forget gate
    decays the matrix, one number per head each. H = heads, K = key_dim, V = value_dim."""

    title = "mLSTM"
    line = "a matrix memory with input and forget gates"
    also = ("xLSTM",)

    kind: Literal["mlstm"]
    heads: Heads = Field(description="Heads, each with its own state", examples=[8])
    key_dim: HeadDim = Field(description="Channels of a query or key head", examples=[256])
    value_dim: HeadDim = Field(description="Channels of a value head", examples=[512])
    gate_cap: Positive | None = Field(None, description="Soft cap c on both gates: c * tanh(gate / c)")
    bias: bool = Field(False, description="Biases on the projections and on the heads' norm; both gates always have one")
    eps: Eps = Field(1e-6, description="Epsilon, added to the divisor of the output")
    norm: Inherited[Norm] = OF_MODEL

    def build(self, d_model: int) -> nn.Module:
        return MLSTMModule(self, d_model)

    in_float32 = ("memory", "total", "peak")

    def state(self, d_model: int) -> dict[str, Shape]:
        return {"memory": (self.heads, self.key_dim, self.value_dim), "total": (self.heads, self.key_dim), "peak": (self.heads, 1)}

    def flops(self, d_model: int, new: int, past: int) -> Flops:
        keys, values = self.heads * self.key_dim, self.heads * self.value_dim
        flops = {"q": keys, "k": keys, "v": values, "out_gate": values, "input_gate": self.heads, "forget_gate": self.heads}
        flops = {name: 2 * new * d_model * width for name, width in flops.items()}
        return Flops(flops, cell=4 * new * keys * self.value_dim, o=2 * new * values * d_model)

    def shrink(self, scale: float) -> Self:
        return self.model_copy(update={"heads": min(self.heads, 2), "key_dim": 16, "value_dim": 16})

    def facts(self) -> Iterator[str]:
        yield f"{self.heads} heads · {self.key_dim} × {self.value_dim} each"

    def explain(self, d_model: int) -> str:
        kept = self.heads * self.key_dim * self.value_dim
        return (
            f"Each of {self.heads} heads keeps a matrix of {self.key_dim} × {self.value_dim}, {kept:,} values in all, whatever "
            "the length of the text. A token's key and value are added with an exponential gate while the matrix decays; a query reads it, "
            "normalised by the gated sum of all keys. No scores, no growing cache."
        )

    def checklist(self, d_model: int) -> Iterator[str]:
        yield "The gates are kept as logarithms: matrix and sum are divided by exp of the largest logarithm so far, which starts at 0."
        yield f"The output is divided by the larger of |q · n| and exp(−m), plus {self.eps:g}; queries by √{self.key_dim} first."
        if self.gate_cap:
            yield f"Both gates pass through {self.gate_cap:g} · tanh(gate / {self.gate_cap:g}) and have biases."
        yield "Each head's output passes its own LayerNorm, then a sigmoid gate for each channel."


class MLSTMModule(nn.Module):
    def __init__(self, part: MLSTM, d_model: int):
        super().__init__()
        self.part = part
        h, keys, values = part.heads, part.heads * part.key_dim, part.heads * part.value_dim
        self.q, self.k = (Linear(d_model, keys, part.bias) for _ in range(2))
        self.v = Linear(d_model, values, part.bias)
        self.input_gate, self.forget_gate = (Linear(d_model, h, bias=True) for _ in range(2))
        self.memory, self.total, self.peak = State(h, part.key_dim, part.value_dim), State(h, part.key_dim), State(h, 1)
        self.cell = Cell(part)
        self.head_norm = HeadNorm(h, part.value_dim, part.norm.eps, part.bias)
        self.out_gate = Linear(d_model, values, part.bias)
        self.o = Linear(values, d_model, part.bias)

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:  # (B, T, d_model), (T,)
        heads = (self.part.heads, -1)
        q, k, v = (p(x).unflatten(-1, heads) for p in (self.q, self.k, self.v))  # (B, T, H, K) twice, (B, T, H, V)
        memory, total, peak = self.memory.before(v), self.total.before(v), self.peak.before(v)
        y, memory, total, peak = self.cell(q, k, v, self.input_gate(x), self.forget_gate(x), memory, total, peak)
        self.memory(memory)
        self.total(total)
        self.peak(peak)
        return self.o(torch.sigmoid(self.out_gate(x)) * self.head_norm(y).flatten(-2))


class Cell(Box):
    """C_t = f_t C_(t-1) + i_t k_t v_t^T, n_t = f_t n_(t-1) + i_t k_t, and h_t = C_t^T q_t / max(|n_t^T q_t|, 1), with i_t = exp of
    the input gate and f_t the sigmoid of the other, all in units of exp(m_t) (arXiv:2503.13427, equations 19 to 27)."""

    box = "recurrence"
    label = "Matrix memory"
    explain = "Token by token: the matrix decays, adds key times value with an exponential gate, and the query reads it."

    def __init__(self, part: MLSTM):
        super().__init__()
        self.part = part

    def forward(
        self, q: Tensor, k: Tensor, v: Tensor, into: Tensor, fade: Tensor, memory: Tensor, total: Tensor, peak: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(B, T, H, K) twice, (B, T, H, V), (B, T, H) twice, the state -> (B, T, H, V) and the state after."""
        q = q.float() * self.part.key_dim**-0.5
        into, fade = self.cap(into.float()), F.logsigmoid(self.cap(fade.float()))  # (B, T, H)
        memory, total, peak, out = memory.float(), total.float(), peak.float(), []
        for t in range(q.shape[1]):
            old, new = fade[:, t, :, None] + peak, into[:, t, :, None]  # (B, H, 1): logarithms of both gates
            peak = torch.maximum(old, new)
            old, new = torch.exp(old - peak), torch.exp(new - peak)
            key = k[:, t, :, :, None].float()  # (B, H, K, 1)
            #: C_t = f_t C_(t-1) + i_t k_t v_t⊤
            memory = old[..., None] * memory + new[..., None] * (key @ v[:, t, :, None].float())  # (B, H, K, V)
            #: n_t = f_t n_(t-1) + i_t k_t
            total = old * total + new * key.squeeze(-1)  # (B, H, K)
            share = (q[:, t] * total).sum(-1, keepdim=True).abs()  # (B, H, 1)
            y = (q[:, t, :, None] @ memory).squeeze(2)  # (B, H, V)
            #: h_t = C_t⊤ q_t / max(|n_t⊤ q_t|, 1)
            out.append(y / (torch.maximum(share, torch.exp(-peak)) + self.part.eps))
        return torch.stack(out, dim=1).to(v.dtype), memory, total, peak

    def cap(self, gate: Tensor) -> Tensor:
        cap = self.part.gate_cap
        return gate if cap is None else cap * torch.tanh(gate / cap)

    def outline(
        self, q: Tensor, k: Tensor, v: Tensor, into: Tensor, fade: Tensor, memory: Tensor, total: Tensor, peak: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return v.new_empty(v.shape), memory, total, peak


class HeadNorm(Box):
    """LayerNorm of each head's channels alone."""

    box = "norm"
    keeps_shape = True
    label = "LayerNorm of each head"
    explain = "Each head's values are shifted and scaled to mean 0 and variance 1; each channel has its own weight."

    def __init__(self, heads: int, dim: int, eps: float, bias: bool):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(heads, dim))
        self.bias = nn.Parameter(torch.zeros(heads, dim)) if bias else None

    def forward(self, x: Tensor) -> Tensor:  # (B, T, H, V)
        y = F.layer_norm(x, x.shape[-1:], eps=self.eps) * self.weight
        return y if self.bias is None else y + self.bias
