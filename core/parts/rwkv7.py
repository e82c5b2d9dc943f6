"""RWKV-7 "Goose" (arXiv:2503.14456, section 4): a delta rule with general decay and write rates, values that are mixed
with an earlier layer's, and a feed-forward network that also reads the token before."""

import math
from collections.abc import Iterator
from typing import Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from .base import OF_MODEL, Borrow, Box, Flops, HeadDim, Heads, Inherited, Lends, Linear, Rank, Read, Recurrence, Shape, State
from .feedforward import Activate, Activated
from .norm import Norm
from .rwkv import SHIFT, ChannelMix, TokenShift


class GooseTimeMix(Recurrence):
    """Each head keeps a matrix of head_dim × head_dim. Each token decays its columns, each at its own rate; removes, for each
    channel at its own rate, what the matrix returns for a key; and writes its value for that key. H = heads, N = head_dim, W = H N."""

    title = "RWKV-7 time mix"
    line = "delta rule with a decay for each channel"
    called = "time_mix"
    in_float32 = ("memory",)

    kind: Literal["rwkv7_time_mix"]
    heads: Heads = Field(description="Heads, each with its own state", examples=[40])
    head_dim: HeadDim = Field(64, description="Channels of a head; also rows and columns of its state")
    decay_rank: Rank = Field(description="Rank of the decay's projection", examples=[96])
    rate_rank: Rank = Field(description="Rank of the projection to the in-context learning rate", examples=[96])
    gate_rank: Rank = Field(description="Rank of the output gate's projection", examples=[320])
    value_rank: Rank | None = Field(None, description="Rank of the weight on the earlier layer's value", examples=[64])
    value_from: str | None = Field(
        None, max_length=64, description="Part whose values in the nearest earlier layer are mixed in, or `previous`"
    )
    norm: Inherited[Norm] = OF_MODEL

    @model_validator(mode="after")
    def _mixed(self):
        if bool(self.value_rank) != bool(self.value_from):
            raise ValueError("value_rank: it weights the values that value_from names; give both or neither")
        return self

    @property
    def width(self) -> int:
        return self.heads * self.head_dim

    def build(self, d_model: int) -> nn.Module:
        return GooseTimeMixModule(self, d_model)

    def reads(self, d_model: int) -> tuple[Read, ...]:
        value = Read("value", self.value_from or "", (self.width,), "v", "value_from")
        return (*super().reads(d_model), value) if self.value_from else super().reads(d_model)

    def lends(self, d_model: int) -> dict[str, Shape]:
        return {} if self.value_from else {"v": (self.width,)}

    def state(self, d_model: int) -> dict[str, Shape]:
        return {"last": (1, d_model), "memory": (self.heads, self.head_dim, self.head_dim)}

    def flops(self, d_model: int, new: int, past: int) -> Flops:
        w = self.width
        flops = Flops(dict.fromkeys(("receptance", "k", "v", "o"), 2 * new * d_model * w))
        ranks = {"decay": self.decay_rank, "rate": self.rate_rank, "gate": self.gate_rank, "value_weight": self.value_rank}
        for name, rank in ranks.items():
            if rank:
                flops[name] = 2 * new * rank * (d_model + w)
        flops["rule"] = 8 * new * w * self.head_dim
        return flops

    def shrink(self, scale: float) -> Self:
        ranks = {name: 16 for name in ("decay_rank", "rate_rank", "gate_rank", "value_rank") if getattr(self, name)}
        return self.model_copy(update={"heads": min(self.heads, 4), "head_dim": 16} | ranks)

    def facts(self) -> Iterator[str]:
        yield f"{self.heads} heads · {self.head_dim} × {self.head_dim} each"

    def explain(self, d_model: int) -> str:
        words = (
            f"Each of {self.heads} heads keeps a matrix of {self.head_dim} × {self.head_dim}, {self.width * self.head_dim:,} values in "
            "all, whatever the length of the text. Each token decays its columns, removes part of what the matrix returns for its key and "
            "writes its value for that key. "
        )
        return words + ("Its values are mixed with those of an earlier layer." if self.value_from else "Later layers may read its values.")

    def checklist(self, d_model: int) -> Iterator[str]:
        yield SHIFT
        yield "A channel's decay is exp(−exp(−½) · sigmoid(·)): above 0.545 for any input."
        yield "The removed value is read with key × κ, divided by its length; the new one is written to key × (1 + (rate − 1) · α)."
        yield "The key reads the matrix before the decay; the receptance reads it after the token is written."
        yield f"Each head is normalised with a bias, eps {self.head_dim} × the model's; then v times Σ r · ρ · key is added, then the gate."
        yield "Inside the low rank, the decay has tanh, the gate a sigmoid, rate and value weight no activation; only the gate has no bias."
        if self.value_from:
            yield "The earlier layer's value is the output of its projection; each channel has its own weight, computed from the input."


class GooseTimeMixModule(nn.Module):
    def __init__(self, part: GooseTimeMix, d_model: int):
        super().__init__()
        self.part = part
        w = part.width
        self.last = State(1, d_model)
        self.shift = TokenShift(d_model, 6, of_before=True)
        self.receptance, self.k = Linear(d_model, w), Linear(d_model, w)
        self.v = Value(d_model, w)
        self.decay = LowRank(d_model, part.decay_rank, w, torch.tanh)
        self.rate = LowRank(d_model, part.rate_rank, w)
        self.gate = LowRank(d_model, part.gate_rank, w, torch.sigmoid, bias=False)
        if part.value_rank:
            self.value = EarlierValue(w)
            self.value_weight = LowRank(d_model, part.value_rank, w)
            self.mix = MixValues()
        self.memory = State(part.heads, part.head_dim, part.head_dim)
        self.rule = GooseRule(part)
        self.out_norm = HeadLayerNorm(part.heads, part.head_dim, part.head_dim * part.norm.eps)
        self.o = Linear(w, d_model)

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:  # (B, T, d_model), (T,)
        r, w, k, v, a, g, last = self.shift(x, self.last.before(x))  # (B, T, d_model) six times
        self.last(last)
        value = self.v(v)  # (B, T, W)
        if self.part.value_from:
            value = self.mix(value, self.value(x), self.value_weight(v))
        rows = (self.receptance(r), self.k(k), value, self.decay(w), self.rate(a))
        r, k, v, w, a = (t.unflatten(-1, (self.part.heads, -1)) for t in rows)  # (B, T, H, N) each
        y, bonus, after = self.rule(r, k, v, w, a, self.memory.before(x))  # (B, T, H, N) twice, (B, H, N, N)
        self.memory(after)
        return self.o((self.out_norm(y) + bonus).flatten(-2) * self.gate(g))


class GooseRule(Box):
    """S_t = S_(t - 1) (diag(w_t) - k̂_t^T (a_t * k̂_t)) + v_t^T k̃_t, and y_t = r_t S_t^T, with k̂ = k * κ divided by its length and
    k̃ = k * (1 + (a - 1) * α). Also the bonus: the token's own value, weighted by the product of r and k̃."""

    box = "recurrence"
    label = "Generalised delta rule"
    explain = (
        "Token by token: columns of the state decay, part of its value for the key is removed, the new value is written, the "
        "receptance reads."
    )

    def __init__(self, part: GooseTimeMix):
        super().__init__()
        shape = part.heads, part.head_dim
        self.remove = nn.Parameter(torch.ones(shape))  # κ
        self.write = nn.Parameter(torch.ones(shape))  # α
        self.bonus = nn.Parameter(torch.zeros(shape))  # ρ

    def forward(self, r: Tensor, k: Tensor, v: Tensor, decay: Tensor, rate: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, T, H, N) five times, (B, H, N values, N keys) -> the output and the bonus, (B, T, H, N) each, and the state after."""
        dtype = v.dtype
        r, k, v, a = r.float(), k.float(), v.float(), torch.sigmoid(rate.float())
        w = torch.exp(-math.exp(-0.5) * torch.sigmoid(decay.float()))  # (B, T, H, N)
        asked = F.normalize(k * self.remove.float(), dim=-1)
        k = k * (1 + (a - 1) * self.write.float())
        state, out = state.float(), []
        for t in range(k.shape[1]):
            answer = state @ asked[:, t, :, :, None]  # (B, H, N, 1)
            taken = answer @ (asked * a)[:, t, :, None]  # (B, H, N, N)
            #: S_t = S_(t-1) (diag(w_t) - k̂_t⊤ (a_t k̂_t)) + v_t⊤ k̃_t
            state = state * w[:, t, :, None] - taken + v[:, t, :, :, None] @ k[:, t, :, None]
            #: y_t = r_t S_t⊤
            out.append(state @ r[:, t, :, :, None])  # (B, H, N, 1)
        y = torch.stack(out, dim=1).squeeze(-1)
        return y.to(dtype), ((r * k * self.bonus).sum(dim=-1, keepdim=True) * v).to(dtype), state

    def outline(self, r: Tensor, k: Tensor, v: Tensor, decay: Tensor, rate: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return v.new_empty(v.shape), v.new_empty(v.shape), state


class LowRank(Box):
    """A projection down to a few channels and a projection up again."""

    box = "linear"

    def __init__(self, d_in: int, rank: int, d_out: int, inner=None, bias: bool = True):
        super().__init__()
        self.inner = inner
        self.down, self.up = Linear(d_in, rank), Linear(rank, d_out, bias)
        self.label = f"Linear {d_in:,} → {rank:,} → {d_out:,}"
        inside = f", with {inner.__name__} between" if inner else ""
        self.explain = f"Two matrices through a rank of {rank:,}{inside}{' and a bias' if bias else ''}."

    def forward(self, x: Tensor) -> Tensor:  # (B, T, d_in) -> (B, T, d_out)
        x = self.down(x)
        return self.up(x if self.inner is None else self.inner(x))

    def outline(self, x: Tensor) -> Tensor:
        return x.new_empty(*x.shape[:-1], self.up.out_features)


class Value(Lends, Linear):
    """The value projection, whose output later layers may read."""

    def forward(self, x: Tensor) -> Tensor:
        return self.lend(super().forward(x))


class EarlierValue(Borrow):
    label = "Earlier layer's values"
    explain = "The values that an earlier layer projected from the same tokens; they are not cached."


class MixValues(Box):
    """v + sigmoid(m) (v_first - v)."""

    box = "scale"
    keeps_shape = True
    label = "Value residual"
    explain = "Each channel of the value is mixed with that of the earlier layer, weighted by a sigmoid of the input."

    def forward(self, own: Tensor, first: Tensor, weight: Tensor) -> Tensor:  # (B, T, W) three times
        return torch.lerp(own, first, torch.sigmoid(weight))


class HeadLayerNorm(Box):
    """LayerNorm of each head separately, with a weight and a bias for every channel (a group norm)."""

    box = "norm"
    keeps_shape = True
    label = "LayerNorm a head"
    explain = "Each head's channels minus their mean, divided by their standard deviation, times its own weights plus its own biases."

    def __init__(self, heads: int, head_dim: int, eps: float):
        super().__init__()
        self.eps = eps
        self.weight, self.bias = nn.Parameter(torch.ones(heads, head_dim)), nn.Parameter(torch.zeros(heads, head_dim))

    def forward(self, x: Tensor) -> Tensor:  # (B, T, heads, head_dim)
        return F.layer_norm(x.float(), x.shape[-1:], eps=self.eps).to(x.dtype) * self.weight + self.bias


class GooseChannelMix(ChannelMix):
    """RWKV-7's feed-forward network: a squared ReLU of width d_ff between two projections, of each token mixed with the one before.
    It has no gate."""

    title = "RWKV-7 channel mix"
    line = "squared ReLU without a gate; sees the token before"

    kind: Literal["rwkv7_channel_mix"]  # type: ignore[assignment]

    def build(self, d_model: int) -> nn.Module:
        return GooseChannelMixModule(self, d_model)

    def flops(self, d_model: int, new: int, past: int) -> Flops:
        return Flops(dict.fromkeys(("up", "down"), 2 * new * d_model * self.d_ff))

    def explain(self, d_model: int) -> str:
        return (
            f"One up projection from {d_model:,} to {self.d_ff:,} channels with ReLU², one down projection. "
            "Each token is first mixed with the one before it, and only that token is kept."
        )


class GooseChannelMixModule(nn.Module):
    def __init__(self, part: GooseChannelMix, d_model: int):
        super().__init__()
        self.last = State(1, d_model)
        self.shift = TokenShift(d_model, 1, of_before=True)
        self.up = Linear(d_model, part.d_ff)
        self.activation = Activate(Activated(activation="relu2"))
        self.down = Linear(part.d_ff, d_model)

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:  # (B, T, d_model), (T,)
        x, last = self.shift(x, self.last.before(x))  # (B, T, d_model)
        self.last(last)
        return self.down(self.activation(self.up(x)))
