"""RWKV-4 (arXiv:2305.13048): a recurrence over channels, and a feed-forward network that also reads the token before."""

from collections.abc import Iterator
from typing import Literal, Self

import torch
from pydantic import Field
from torch import Tensor, nn

from .base import OF_MODEL, Box, Flops, Inherited, Linear, Mixer, Recurrence, Shape, State, Width, scaled
from .feedforward import Activate, Activated
from .norm import Norm

SHIFT = "Projections read a learned mix, for each channel, of the token and the one before it; zeros come before the first token."


class TokenShift(Box):
    """Several mixes of each token with the one before: m x_t + (1 - m) x_(t - 1), each with a weight m per channel; or m is the weight
    of the one before."""

    box = "convolution"
    label = "Token shift"
    explain = "Each channel of a token is mixed with the same channel of the token before, with separate weights for each projection."

    def __init__(self, d_model: int, mixes: int, of_before: bool = False):
        super().__init__()
        self.of_before = of_before
        self.weight = nn.Parameter(torch.full((mixes, d_model), 0.5))

    def forward(self, x: Tensor, before: Tensor) -> tuple[Tensor, ...]:
        """(B, T, d_model) and the token before them, (B, 1, d_model) -> each mix, and the last token."""
        earlier = torch.cat((before, x), dim=1)[:, :-1]  # (B, T, d_model)
        one, other = (earlier, x) if self.of_before else (x, earlier)
        return *(other + m * (one - other) for m in self.weight), x[:, -1:]

    def outline(self, x: Tensor, before: Tensor) -> tuple[Tensor, ...]:
        return *(x.new_empty(x.shape) for _ in self.weight), before


class TimeMix(Recurrence):
    """Each of `width` channels keeps an average of its values, weighted by exp of their keys, with its own decay; a
    sigmoid, the receptance, gates the output. A = width."""

    title = "RWKV time mix"
    line = "a decaying average of values for each channel"
    called = "time_mix"

    kind: Literal["rwkv_time_mix"]
    width: Width = Field(description="Channels of the recurrence, each with its own average", examples=[4096])
    norm: Inherited[Norm] = OF_MODEL

    def build(self, d_model: int) -> nn.Module:
        return TimeMixModule(self, d_model)

    in_float32 = ("memory",)

    def state(self, d_model: int) -> dict[str, Shape]:
        return {"last": (1, d_model), "memory": (3, self.width)}

    def flops(self, d_model: int, new: int, past: int) -> Flops:
        return Flops(dict.fromkeys(("k", "v", "receptance", "o"), 2 * new * d_model * self.width))

    def shrink(self, scale: float) -> Self:
        return self.model_copy(update={"width": scaled(self.width, scale)})

    def facts(self) -> Iterator[str]:
        yield f"{self.width:,} channels"

    def explain(self, d_model: int) -> str:
        return (
            f"Each of {self.width:,} channels keeps a weighted average of all its values so far: a token's weight is exp of its "
            "key and decays at the channel's own rate, the same for all tokens. Three numbers per channel and the last token are "
            "kept, whatever the length of the text."
        )

    def checklist(self, d_model: int) -> Iterator[str]:
        yield SHIFT
        yield "The log decay is −exp(w); the current token's key has a bonus u in the output, but not in the state."
        yield "Numerator and denominator are kept in float32, both divided by exp of the largest exponent so far."


class TimeMixModule(nn.Module):
    def __init__(self, part: TimeMix, d_model: int):
        super().__init__()
        a = part.width
        self.last = State(1, d_model)
        self.shift = TokenShift(d_model, 3)
        self.k, self.v, self.receptance = (Linear(d_model, a) for _ in range(3))
        self.memory = State(3, a)
        self.average = FadingAverage(a)
        self.o = Linear(a, d_model)

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:  # (B, T, d_model), (T,)
        k, v, r, last = self.shift(x, self.last.before(x))  # (B, T, d_model) three times
        self.last(last)
        k = self.k(k)  # (B, T, A)
        y, after = self.average(k, self.v(v), self.memory.before(k))  # (B, T, A), (B, 3, A)
        self.memory(after)
        return self.o(torch.sigmoid(self.receptance(r)) * y)


class FadingAverage(Box):
    """wkv_t = sum over i of e_ti v_i / sum of e_ti, with e_tt = exp(u + k_t) and e_ti = exp((t - 1 - i) (-exp w) + k_i)
    before it (equation 16)."""

    box = "recurrence"
    label = "Decaying average (WKV)"
    explain = "Token by token: the average's weights decay, the token's value is added with weight exp of its key, the average is read."

    def __init__(self, width: int):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(width))
        self.u = nn.Parameter(torch.zeros(width))

    def forward(self, k: Tensor, v: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, A) twice, (B, 3, A) -> (B, T, A) and the state after: numerator, denominator, and their exponent."""
        over, under, top = state.float().unbind(1)  # (B, A) each
        top = top.masked_fill(under == 0, -1e38)  # nothing has been seen yet
        pace, out = -self.w.float().exp(), []
        for t in range(k.shape[1]):
            key, value = k[:, t].float(), v[:, t].float()  # (B, A)
            now = _join(over, under, top, value, key + self.u)
            out.append(now[0] / now[1])
            over, under, top = _join(over, under, top + pace, value, key)
        return torch.stack(out, dim=1).to(v.dtype), torch.stack((over, under, top), dim=1)

    def outline(self, k: Tensor, v: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        return v.new_empty(v.shape), state


def _join(over: Tensor, under: Tensor, top: Tensor, value: Tensor, key: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Adds a value with weight exp(key) to an average whose weights are divided by exp(top)."""
    most = torch.maximum(top, key)
    old, new = torch.exp(top - most), torch.exp(key - most)
    return old * over + new * value, old * under + new, most


class ChannelMix(Mixer):
    """RWKV's feed-forward network: a squared ReLU of width d_ff between two projections, and a sigmoid, the receptance, that
    gates the output. It reads each token mixed with the one before, so it also keeps one token."""

    title = "RWKV channel mix"
    line = "squared ReLU and a gate; sees the token before"
    called = "channel_mix"
    role = "feed_forward"

    kind: Literal["rwkv_channel_mix"]
    d_ff: Width = Field(description="Hidden size, between the two projections", examples=[16384])
    norm: Inherited[Norm] = OF_MODEL

    @property
    def reach(self) -> int:
        return 2

    def build(self, d_model: int) -> nn.Module:
        return ChannelMixModule(self, d_model)

    def state(self, d_model: int) -> dict[str, Shape]:
        return {"last": (1, d_model)}

    def flops(self, d_model: int, new: int, past: int) -> Flops:
        wide = 2 * new * d_model * self.d_ff
        return Flops(up=wide, down=wide, receptance=2 * new * d_model**2)

    def shrink(self, scale: float) -> Self:
        return self.model_copy(update={"d_ff": scaled(self.d_ff, scale)})

    def facts(self) -> Iterator[str]:
        yield f"d_ff {self.d_ff:,}"

    def explain(self, d_model: int) -> str:
        return (
            f"One up projection from {d_model:,} to {self.d_ff:,} channels with ReLU², one down projection, times a gate. "
            "Each token is first mixed with the one before it, and only that token is kept."
        )

    def checklist(self, d_model: int) -> Iterator[str]:
        yield SHIFT


class ChannelMixModule(nn.Module):
    def __init__(self, part: ChannelMix, d_model: int):
        super().__init__()
        self.last = State(1, d_model)
        self.shift = TokenShift(d_model, 2)
        self.up = Linear(d_model, part.d_ff)
        self.activation = Activate(Activated(activation="relu2"))
        self.down = Linear(part.d_ff, d_model)
        self.receptance = Linear(d_model, d_model)

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:  # (B, T, d_model), (T,)
        k, r, last = self.shift(x, self.last.before(x))  # (B, T, d_model) twice
        self.last(last)
        return torch.sigmoid(self.receptance(r)) * self.down(self.activation(self.up(k)))
