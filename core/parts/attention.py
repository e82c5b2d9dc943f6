"""Softmax attention: multi-head (arXiv:1706.03762), multi-query (arXiv:1911.02150) and grouped-query (arXiv:2305.13245),
over everything before, a sliding window or a chunk of it."""

import math
from collections.abc import Iterator
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import BeforeValidator, Field, model_validator
from torch import Tensor, nn

from ..words import tokens
from .base import (
    Borrow,
    Box,
    Flops,
    HeadDim,
    Heads,
    Keep,
    Length,
    Linear,
    Mixer,
    Positive,
    Shape,
    Spec,
    causal_pairs,
    check_groups,
    scaled,
    times,
)
from .norm import HeadNorms, Norm, RMSNorm
from .position import Alibi, Position, Rope
from .temperature import Temperature


class QKNorm(Spec):
    """Queries and keys are normalised before they meet (arXiv:2010.04245): scores cannot run away."""

    across: Literal["head", "heads"] = Field("head", description="Each head alone, or all heads' channels together")
    after_position: bool = Field(False, description="After the rotary embedding rather than before it")
    own: bool = Field(False, description="Each head has weights of its own (Command R+, StableLM 2)")
    norm: Norm | None = Field(None, description="The model's own norm unless another is given")

    @model_validator(mode="after")
    def _consistent(self):
        if self.own and self.across == "heads":
            raise ValueError("own: a norm over all heads' channels has one weight a channel anyway; give across: head")
        return self

    def build(self, norm: Norm, heads: int, head_dim: int) -> nn.Module:
        if self.own:
            return HeadNorms(norm, heads, head_dim)
        return norm.build(head_dim if self.across == "head" else heads * head_dim)


class Gate(Spec):
    """The output is multiplied by a gate of the input, against the sinks that a softmax needs (arXiv:2505.06708)."""

    per: Literal["channel", "head"] = Field(
        "channel", description="A gate for each channel, or one for all of a head's"
    )
    activation: Literal["sigmoid", "softplus"] = Field("sigmoid", description="What the gate passes")
    bias: bool | Literal["head"] | None = Field(
        None, description="A bias on the gate, or one for all of a head's (Beam); as the queries' unless given"
    )

    def open(self, x: Tensor) -> Tensor:
        return torch.sigmoid(x) if self.activation == "sigmoid" else F.softplus(x)


def _gate(value: object) -> object:
    """`true` is the plain gate."""
    return (Gate() if value else None) if isinstance(value, bool) else value


class Attention(Mixer):
    """Each of `heads` query heads scores every visible key and averages their values; `kv_heads` query groups share
    a key and a value. H = heads, G = kv_heads, D = head_dim."""

    title = "Attention"

    kind: Literal["attention"] = "attention"
    heads: Heads = Field(description="Query heads", examples=[32])
    kv_heads: Heads = Field(
        description="Key and value heads: as many as heads, a divisor of them, or one", examples=[8]
    )
    head_dim: HeadDim = Field(description="Channels of a query or key head", examples=[128])
    v_head_dim: HeadDim | None = Field(None, description="Channels of a value head, where they differ")
    window: Length | None = Field(None, description="Each token sees only this many, itself included")
    chunk: Length | None = Field(None, description="Each token sees only its own chunk of this many")
    sinks: bool = Field(False, description="One learned logit a head takes part in the softmax and keeps nothing")
    softcap: Positive | None = Field(None, description="Scores pass through c * tanh(score / c)")
    clip: Positive | None = Field(None, description="Queries, keys and values are cut at plus and minus this (MPT)")
    bias: bool = Field(False, description="Biases on query, key and value")
    out_bias: bool | None = Field(None, description="A bias on the output; as `bias` unless given")
    qk_norm: QKNorm | None = Field(None, description="Normalise queries and keys")
    v_norm: bool = Field(False, description="Values are normalised, head by head, with no weight (Gemma 3n)")
    gate: Annotated[Gate | None, BeforeValidator(_gate)] = Field(
        None, description="The output is multiplied by a gate of the input"
    )
    sub_norm: bool = Field(False, description="A norm on what the heads give, before the output projection (BitNet)")
    scale: Positive | None = Field(None, description="Scores are multiplied by this; 1 / sqrt(head_dim) unless given")
    value_scale: Positive = Field(1.0, description="Values are multiplied by this (MiMo)")
    in_scale: Positive = Field(1.0, description="The input is multiplied by this (Falcon H1)")
    out_scale: Positive = Field(1.0, description="The output is multiplied by this")
    temperature: Temperature | None = Field(None, description="Scores grow with the query's position")
    shared_kv: bool = Field(False, description="The value is the key, before its norm and position (Gemma 4)")
    cache_from: str | None = Field(
        None, max_length=64, description="Reads the cache of the nearest earlier layer with this part, or of `previous`"
    )
    norm: Norm | None = Field(None, description="Where it differs from the model's")
    position: Position | None = Field(None, description="Where it differs from the model's")

    @model_validator(mode="after")
    def _consistent(self):
        check_groups("kv_heads", self.heads, "heads", self.kv_heads)
        if self.window and self.chunk:
            raise ValueError("window: give a window or a chunk, not both")
        if self.shared_kv and self.v_dim != self.head_dim:
            raise ValueError("v_head_dim: a value that is the key has the key's width")
        return self

    @property
    def v_dim(self) -> int:
        return self.v_head_dim or self.head_dim

    @property
    def gates(self) -> int:
        """How many gates the output has."""
        return 0 if not self.gate else self.heads * (self.v_dim if self.gate.per == "channel" else 1)

    @property
    def reach(self) -> int | None:
        return self.window or self.chunk

    @property
    def label(self) -> str:
        if self.kv_heads == self.heads:
            return "Multi-head attention"
        return "Multi-query attention" if self.kv_heads == 1 else "Grouped-query attention"

    def build(self, d_model: int) -> nn.Module:
        return AttentionModule(self, d_model)

    def build_core(self) -> "CausalAttention":
        return CausalAttention(self)

    def pairs(self, new: int, past: int) -> int:
        """How many (query, key) pairs meet for `new` queries after `past` keys."""
        return causal_pairs(new, past, self.window, self.chunk)

    def check(self, d_model: int, context: int) -> None:
        self.position.check(self.head_dim)

    def cache(self, length: int) -> dict[str, Shape]:
        if self.cache_from:
            return {}
        length = min(length, self.reach or length)
        return {"key": (length, self.kv_heads, self.head_dim), "value": (length, self.kv_heads, self.v_dim)}

    def plain_cache(self, length: int) -> dict[str, Shape]:
        return {"key": (length, self.heads, self.head_dim), "value": (length, self.heads, self.v_dim)}

    def flops(self, d_model: int, new: int, past: int) -> Flops:
        h, g, d, v = self.heads, self.kv_heads, self.head_dim, self.v_dim
        flops = Flops(q=2 * new * d_model * h * d)
        if not self.cache_from:
            flops["k"] = 2 * new * d_model * g * d
            if not self.shared_kv:
                flops["v"] = 2 * new * d_model * g * v
        if self.gate:
            flops["gate"] = 2 * new * d_model * self.gates
        flops["core"] = 2 * h * (d + v) * self.pairs(new, past)
        flops["o"] = 2 * new * h * v * d_model
        return flops

    def shrink(self, scale: float) -> "Attention":
        groups = min(self.kv_heads, 2)
        dim = shrunk_dim(self.position) if isinstance(self.position, Rope) else 16
        return self.model_copy(
            update={
                "heads": self.heads // self.kv_heads * groups,
                "kv_heads": groups,
                "head_dim": dim,
                "v_head_dim": self.v_head_dim and scaled(self.v_head_dim, min(1.0, dim / self.head_dim)),
                "window": self.window and min(self.window, 16),
                "chunk": self.chunk and min(self.chunk, 16),
            }
        )

    def facts(self):
        own = self.kv_heads != self.heads and not self.cache_from
        yield f"{self.heads} heads" + (f" · {self.kv_heads} KV" if own else "")
        if self.cache_from:
            yield "borrowed cache"
        if self.reach:
            yield f"window {tokens(self.window)}" if self.window else f"chunk {tokens(self.chunk)}"

    def explain(self, d_model: int) -> str:
        per = self.heads // self.kv_heads
        shared = (
            "each with a key and a value of its own"
            if per == 1
            else f"{per} to each of {self.kv_heads} key and value heads"
        )
        words = f"{self.heads} query heads of {self.head_dim} channels, {shared}. "
        if self.window:
            stops = "" if self.cache_from else ", so its cache stops growing there"
            words += f"A token sees only the last {self.window:,}{stops}. "
        elif self.chunk:
            words += f"A token sees only its own chunk of {self.chunk:,}. "
        if self.cache_from:
            words += "It keeps no keys or values of its own but reads those of an earlier layer. "
        else:
            kept = self.kv_heads * (self.head_dim + self.v_dim)
            words += f"It keeps {kept:,} values a token. "
        if self.sinks:
            words += "A learned sink in each head lets it attend to nothing. "
        if self.softcap:
            words += f"Scores are capped softly at {self.softcap:g}. "
        if isinstance(self.position, Alibi):
            words += "Scores fall with the distance, in each head by a slope of its own. "
        if self.qk_norm:
            words += "Queries and keys are normalised first. "
        return words.strip()

    def checklist(self, d_model: int) -> Iterator[str]:
        if self.heads * self.head_dim != d_model:
            yield f"Heads × head_dim is {self.heads * self.head_dim:,}, not d_model: q and o are not square."
        if self.scale:
            yield f"Scores are scaled by {self.scale:.6g}, not by 1 / sqrt({self.head_dim})."
        if self.window:
            yield f"The window of {self.window:,} counts the token itself: position p sees p − {self.window - 1:,} to p."
        if self.chunk:
            yield f"Chunks begin at multiples of {self.chunk:,}: the first token of one sees nothing of the one before."
        if self.qk_norm:
            across = "each head's own channels" if self.qk_norm.across == "head" else "all heads' channels together"
            across += ", with weights of its own" if self.qk_norm.own else ""
            when = "after" if self.qk_norm.after_position else "before"
            yield f"Queries and keys are normalised over {across}, {when} the rotary embedding."
        if self.sinks:
            yield "Sinks join the softmax's sum after scaling and masking, and add nothing to the output."
        if self.softcap:
            yield f"Scores pass through {self.softcap:g} · tanh(score / {self.softcap:g}) before the mask."
        if self.clip:
            yield f"Queries, keys and values are clamped to ±{self.clip:g} before the rotary embedding, after any norm before it."
        if self.temperature:
            yield "Scores also grow with the query's position; at short lengths this cannot be seen."
        if self.bias and self.out_bias is False:
            yield "Query, key and value have biases, the output has none."
        if self.in_scale != 1 or self.out_scale != 1:
            yield f"What it reads is multiplied by {self.in_scale:g}, what it gives by {self.out_scale:g}."
        if self.gate:
            per = (
                "each channel has its own gate"
                if self.gate.per == "channel"
                else "all of a head's channels share one gate"
            )
            yield f"The output is gated by a {self.gate.activation} before its projection: {per}."
        if self.sub_norm:
            yield "What all heads give together is normalised once more before the output projection."
        if self.value_scale != 1:
            yield f"Values are multiplied by {self.value_scale:g} before they are kept."
        if self.v_norm:
            yield "Values are divided by their root mean square, head by head, and have no rotary embedding."
        if self.shared_kv:
            yield "The value is the key's projection, before norm and rotation."
        if self.cache_from:
            yield "This layer projects no keys or values: it reads an earlier layer's."
        yield from self.position.checklist(self.head_dim)


def shrunk_dim(position: Position) -> int:
    """A small head that the same rotary embedding fits: 16 channels, or what the factors' lists ask for."""
    scaling = getattr(position, "scaling", None)
    if hasattr(scaling, "short_factor"):
        return round(2 * len(scaling.short_factor) / position.fraction)
    return 16 if getattr(position, "fraction", 1.0) >= 0.25 else 64


class HeadBiased(Linear):
    """A linear map to the channels of several heads, with one bias a head."""

    def __init__(self, d_in: int, heads: int, channels: int):
        super().__init__(d_in, heads * channels)
        self.head_bias = nn.Parameter(torch.zeros(heads, 1))

    @property
    def explain(self) -> str:
        return super().explain.replace(" weights", f" weights and {len(self.head_bias)} biases, one a head")

    def forward(self, x: Tensor) -> Tensor:  # (B, T, d_in) -> (B, T, heads channels)
        return (super().forward(x).unflatten(-1, (len(self.head_bias), -1)) + self.head_bias).flatten(-2)


class AttentionModule(nn.Module):
    def __init__(self, part: Attention, d_model: int, d_out: int | None = None):
        super().__init__()
        self.part = part
        h, g, d, v = part.heads, part.kv_heads, part.head_dim, part.v_dim
        self.q = Linear(d_model, h * d, part.bias)
        gate_bias = part.gate.bias if part.gate and part.gate.bias is not None else part.bias
        if part.gate and gate_bias == "head":
            self.gate = HeadBiased(d_model, h, part.gates // h)
        else:
            self.gate = Linear(d_model, part.gates, gate_bias) if part.gate else None
        if part.cache_from:
            self.k_cache, self.v_cache = Borrow(g, d), Borrow(g, v)
        else:
            self.k = Linear(d_model, g * d, part.bias)
            self.v = None if part.shared_kv else Linear(d_model, g * v, part.bias)
            self.k_cache, self.v_cache = Keep(part.reach), Keep(part.reach)
        if part.qk_norm:
            norm = part.qk_norm.norm or part.norm
            self.q_norm = part.qk_norm.build(norm, h, d)
            self.k_norm = None if part.cache_from else part.qk_norm.build(norm, g, d)
        normed = part.v_norm and not part.cache_from
        self.v_norm = RMSNorm(eps=part.norm.eps, weight=False).build(v) if normed else None
        self.rotary = part.position.rotary(d)
        self.core = part.build_core()
        self.sub_norm = part.norm.build(h * v) if part.sub_norm else None
        self.o = Linear(h * v, d_out or d_model, part.bias if part.out_bias is None else part.out_bias)

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:  # (B, T, d_model), (T,)
        part = self.part
        x = times(x, part.in_scale)
        q = self.turn(self.q(x), part.heads, positions, "q_norm")  # (B, T, H, D)
        if part.cache_from:
            k, v = self.k_cache(x), self.v_cache(x)  # (B, S, G, D), (B, S, G, V)
        else:
            k = self.recent(self.k(x), "k")  # (B, T, G D)
            v = k if part.shared_kv else self.recent(self.v(x), "v")  # (B, T, G V)
            k = self.k_cache(self.turn(k, part.kv_heads, positions, "k_norm"))  # (B, S, G, D)
            v = times(self.cut(v), part.value_scale)
            v = v.unflatten(-1, (part.kv_heads, part.v_dim))  # (B, T, G, V)
            v = self.v_cache(v if self.v_norm is None else self.v_norm(v))  # (B, S, G, V)
        out = self.core(q, k, v, positions, *self.choose(x, positions, v))  # (B, T, H V)
        out = out if self.gate is None else self.gated(out, self.gate(x))
        return times(self.o(out if self.sub_norm is None else self.sub_norm(out)), part.out_scale)

    def recent(self, x: Tensor, name: str) -> Tensor:
        """Keys or values with something of those just before them; as they are where no convolution mixes them."""
        return x

    def choose(self, x: Tensor, positions: Tensor, v: Tensor) -> tuple[Tensor, ...]:
        """What the core must know of a choice among the keys; nothing where there is none."""
        return ()

    def gated(self, out: Tensor, gate: Tensor) -> Tensor:
        """(B, T, H V) times (B, T, H V), or (B, T, H) with one gate a head."""
        gate = self.part.gate.open(gate)
        if self.part.gate.per == "channel":
            return out * gate
        return (out.unflatten(-1, (self.part.heads, -1)) * gate.unsqueeze(-1)).flatten(-2)

    def cut(self, x: Tensor) -> Tensor:
        return x if self.part.clip is None else x.clamp(-self.part.clip, self.part.clip)

    def turn(self, x: Tensor, heads: int, positions: Tensor, norm: str) -> Tensor:
        """Norm, cut and rotary embedding of a projection, in the part's order: (B, T, heads D) -> (B, T, heads, D)."""
        rule = self.part.qk_norm
        if rule and rule.across == "heads":
            x = getattr(self, norm)(x)
        x = x.unflatten(-1, (heads, self.part.head_dim))
        if rule and rule.across == "head" and not rule.after_position:
            x = getattr(self, norm)(x)
        x = self.cut(x)
        if self.rotary is not None:
            x = self.rotary(x, positions)
        if rule and rule.across == "head" and rule.after_position:
            x = getattr(self, norm)(x)
        return x


class CausalAttention(Box):
    """softmax(q k^T * scale) v over the keys that each query may see. The scores are never kept."""

    box = "attention_core"
    label = "Scaled dot-product attention"
    explain = "Each query is scored against every key that it may see; the softmax of the scores weighs the values."

    def __init__(self, part: Attention):
        super().__init__()
        self.part = part
        self.scale = part.scale or part.head_dim**-0.5
        self.sinks = nn.Parameter(torch.zeros(part.heads)) if part.sinks else None

    def forward(self, q: Tensor, k: Tensor, v: Tensor, positions: Tensor, *chosen: Tensor) -> Tensor:
        part = self.part
        q = q.unflatten(2, (k.shape[2], -1))  # (B, T, G, H / G, D)
        scores = torch.einsum("btghd,bsgd->bghts", q, k) * self.scale  # (B, G, H / G, T, S)
        scores = self.placed(scores, positions, *chosen)
        if part.softcap:
            scores = part.softcap * torch.tanh(scores / part.softcap)
        if part.temperature:
            scores = scores * part.temperature.factor(positions)[:, None].to(scores.dtype)  # (T, 1)
        if isinstance(part.position, Alibi):
            slopes = torch.tensor(part.position.slopes(part.heads), device=q.device).view(k.shape[2], -1, 1, 1)
            distance = key_positions(positions, k.shape[1]) - positions[:, None]  # (T, S)
            scores = scores + slopes * distance * (self.scale if part.position.scaled else 1.0)
        seen = self.seen(positions, k.shape[1], *chosen)  # (T, S), or as the scores where heads differ
        scores = scores.masked_fill(~seen, -math.inf).float()
        if self.sinks is not None:
            sinks = self.sinks.float().view(1, k.shape[2], -1, 1, 1).expand(*scores.shape[:-1], 1)
            weights = torch.cat((scores, sinks), dim=-1).softmax(dim=-1)[..., :-1]
        else:
            weights = scores.softmax(dim=-1)
        out = torch.einsum("bghts,bsgv->btghv", weights.to(v.dtype), v)  # (B, T, G, H / G, V)
        return out.flatten(2)  # (B, T, H V)

    def outline(self, q: Tensor, k: Tensor, v: Tensor, positions: Tensor, *chosen: Tensor) -> Tensor:
        return q.new_empty(*q.shape[:2], q.shape[2] * v.shape[-1])

    def placed(self, scores: Tensor, positions: Tensor, *chosen: Tensor) -> Tensor:
        """The scores with what a part adds by place."""
        return scores

    def seen(self, positions: Tensor, keys: int) -> Tensor:
        """Which keys each query may see."""
        return visible(positions, keys, self.part.window, self.part.chunk)


def key_positions(positions: Tensor, keys: int) -> Tensor:
    """Where the last `keys` keys stand, (S,), the last of them beside the last query."""
    return positions[-1] + 1 - keys + torch.arange(keys, device=positions.device)


def visible(positions: Tensor, keys: int, window: int | None, chunk: int | None) -> Tensor:
    """Which of the last `keys` positions each query may see: (T, S) of bool."""
    query = positions[:, None]  # (T, 1)
    key = key_positions(positions, keys)  # (S,)
    seen = key <= query
    if window is not None:
        seen = seen & (key > query - window)
    if chunk is not None:
        seen = seen & (key.div(chunk, rounding_mode="floor") == query.div(chunk, rounding_mode="floor"))
    return seen
