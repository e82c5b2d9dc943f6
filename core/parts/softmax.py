"""What softmax attentions have in common: the mask, changes to the scores, and a gate on the output."""

import math
from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import BeforeValidator, Field, model_validator
from torch import Tensor, nn

from ..words import tokens
from .base import Also, Linear, Positive, Spec, Window, causal_pairs
from .temperature import Temperature


class Sight(Spec):
    """Which tokens a query sees: itself and all before it, a sliding window of them (arXiv:2004.05150, section 3.1), or those of
    its own chunk (Llama 4)."""

    window: Window | None = Field(None, description="Sliding window: each token sees only the last this many, itself included")
    chunk: Annotated[Window | None, Also(("chunked attention",))] = Field(
        None, description="Each token sees only its own chunk of this many tokens"
    )

    @model_validator(mode="after")
    def _one(self):
        if self.window and self.chunk:
            raise ValueError("window: give a window or a chunk, not both")
        return self

    @property
    def limit(self) -> int | None:
        """How many tokens one token sees at most; None if there is no limit."""
        return self.window or self.chunk

    def kept(self, length: int) -> int:
        """How many of `length` tokens a cache holds."""
        return min(length, self.limit or length)

    def pairs(self, new: int, past: int) -> int:
        """How many (query, key) pairs are scored for `new` queries after `past` keys."""
        return causal_pairs(new, past, self.window, self.chunk)

    def visible(self, positions: Tensor, keys: int) -> Tensor:
        """Which of the last `keys` positions each query sees: (T, S) of bool."""
        query, key = positions[:, None], key_positions(positions, keys)  # (T, 1), (S,)
        seen = key <= query
        if self.window:
            seen = seen & (key > query - self.window)
        if self.chunk:
            seen = seen & (key.div(self.chunk, rounding_mode="floor") == query.div(self.chunk, rounding_mode="floor"))
        return seen

    def shrink(self) -> "Sight":
        return Sight(window=self.window and min(self.window, 16), chunk=self.chunk and min(self.chunk, 16))

    def facts(self) -> Iterator[str]:
        for word, most in (("window", self.window), ("chunk", self.chunk)):
            if most:
                yield f"{word} {tokens(most)}"

    def explain(self, keeps: bool = True) -> str:
        if self.chunk:
            return f"A token sees only its own chunk of {self.chunk:,}. "
        stops = ", so its cache stops growing there" if keeps else ""
        return f"A token sees only the last {self.window:,}{stops}. " if self.window else ""

    def checklist(self) -> Iterator[str]:
        if self.window:
            yield f"The window of {self.window:,} counts the token itself: position p sees p − {self.window - 1:,} to p."
        if self.chunk:
            yield f"Chunks begin at multiples of {self.chunk:,}: the first token of one sees nothing of the one before."


ALL = Sight()


class Scores(Spec):
    """What happens to the products of queries and keys before the softmax."""

    scale: Positive | None = Field(None, description="Factor on the scores; 1 / sqrt(channels of a query) if empty")
    softcap: Annotated[Positive | None, Also(("softcap", "attention logit softcapping"))] = Field(
        None, description="Soft cap c on the scores: c * tanh(score / c)"
    )
    temperature: Temperature | None = Field(None, description="Scores grow with the query's position")
    sinks: bool = Field(False, description="Attention sinks: one learned logit per head in the softmax, without a value")

    def traits(self) -> Iterator[str]:
        if self.sinks:
            yield "sinks"
        if self.softcap:
            yield f"softcap {self.softcap:g}"

    def factor(self, channels: int) -> float:
        return self.scale or channels**-0.5

    def sink(self, heads: int) -> nn.Parameter | None:
        return nn.Parameter(torch.zeros(heads)) if self.sinks else None

    def shaped(self, scores: Tensor, positions: Tensor) -> Tensor:
        """Scaled scores, (..., T, S), as the softmax takes them."""
        if self.softcap:
            scores = self.softcap * torch.tanh(scores / self.softcap)
        if self.temperature:
            scores = scores * self.temperature.factor(positions)[:, None].to(scores.dtype)  # (T, 1)
        return scores

    def explain(self) -> str:
        words = "A learned sink in each head lets it attend to nothing. " if self.sinks else ""
        return words + (f"Scores have a soft cap of {self.softcap:g}. " if self.softcap else "")

    def checklist(self, channels: int) -> Iterator[str]:
        if self.scale:
            yield f"Scores are scaled by {self.scale:.6g}, not by 1 / sqrt({channels})."
        if self.softcap:
            yield f"Scores pass through {self.softcap:g} · tanh(score / {self.softcap:g}) before the mask."
        if self.temperature:
            yield "Scores also grow with the query's position; on short texts this has no effect that a test would see."
        if self.sinks:
            yield "Sinks join the softmax's sum after scaling and masking, and add nothing to the output."


def masked_softmax(scores: Tensor, seen: Tensor, sinks: Tensor | None = None) -> Tensor:
    """Weights in float32 of scores (B, ..., T, S) over the keys that are seen, (T, S) or as the scores. A head's sink takes its share
    of each query's weights, and its own weight is dropped."""
    scores = scores.masked_fill(~seen, -math.inf).float()
    if sinks is None:
        return scores.softmax(dim=-1)
    sinks = sinks.float().view(*scores.shape[1:-2], 1, 1).expand(*scores.shape[:-1], 1)
    return torch.cat((scores, sinks), dim=-1).softmax(dim=-1)[..., :-1]


def key_positions(positions: Tensor, keys: int) -> Tensor:
    """The positions of the last `keys` keys, (S,); the last key has the position of the last query."""
    return positions[-1] + 1 - keys + torch.arange(keys, device=positions.device)


class Gate(Spec):
    """The heads' output is multiplied by a gate computed from the layer's input, which avoids attention sinks
    (arXiv:2505.06708)."""

    also: ClassVar[tuple[str, ...]] = ("gated attention",)
    per: Literal["channel", "head"] = Field("channel", description="One gate per channel, or one per head")
    activation: Literal["sigmoid", "softplus"] = Field("sigmoid", description="Activation of the gate")
    bias: bool | Literal["head"] | None = Field(None, description="Bias on the gate, or one per head (Beam); same as the queries' if empty")

    def traits(self) -> Iterator[str]:
        yield "gate"

    def width(self, heads: int, channels: int) -> int:
        return heads * (channels if self.per == "channel" else 1)

    def build(self, d_model: int, heads: int, channels: int, bias: bool = False) -> Linear:
        """The projection that computes the gate; `bias` is that of the queries."""
        if self.bias == "head":
            return HeadBiased(d_model, heads, self.width(1, channels))
        return Linear(d_model, self.width(heads, channels), bias if self.bias is None else self.bias)

    def on(self, y: Tensor, gate: Tensor, heads: int) -> Tensor:
        """(B, T, H V) times (B, T, H V), or (B, T, H) with one gate a head -> (B, T, H V)."""
        gate = torch.sigmoid(gate) if self.activation == "sigmoid" else F.softplus(gate)
        if self.per == "channel":
            return y * gate
        return (y.unflatten(-1, (heads, -1)) * gate.unsqueeze(-1)).flatten(2)

    def checklist(self) -> Iterator[str]:
        per = "each channel has its own gate" if self.per == "channel" else "all channels of a head share one gate"
        yield f"The heads' output is multiplied by a {self.activation} gate of the input before the output projection: {per}."


def _plain(value: object) -> object:
    """`true` means the default gate."""
    return (Gate() if value else None) if isinstance(value, bool) else value


OptionalGate = Annotated[Gate | None, BeforeValidator(_plain)]


class HeadBiased(Linear):
    """A linear map to the channels of several heads, with one bias per head."""

    def __init__(self, d_in: int, heads: int, channels: int):
        super().__init__(d_in, heads * channels)
        self.head_bias = nn.Parameter(torch.zeros(heads, 1))
        self.explain = self.explain.replace(" weights", f" weights and {heads} biases, one per head")

    def forward(self, x: Tensor) -> Tensor:  # (B, T, d_in) -> (B, T, heads channels)
        return (super().forward(x).unflatten(-1, (len(self.head_bias), -1)) + self.head_bias).flatten(-2)
