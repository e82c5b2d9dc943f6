"""Softmax attention: multi-head (arXiv:1706.03762), multi-query (arXiv:1911.02150) and grouped-query (arXiv:2305.13245),
over all earlier tokens, a sliding window or a chunk of them."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from .base import (
    OF_MODEL,
    Borrow,
    Box,
    Cache,
    Flops,
    Form,
    HeadDim,
    Heads,
    Inherited,
    Linear,
    Mixer,
    Positive,
    Read,
    Shape,
    Spec,
    Trait,
    check_groups,
    scaled,
    times,
)
from .norm import HeadNorms, Norm, RMSNorm
from .position import Alibi, Position
from .softmax import ALL, OptionalGate, Scores, Sight, key_positions, masked_softmax


class QKNorm(Spec):
    """Queries and keys are normalised before the scores (arXiv:2010.04245), which keeps the scores small."""

    across: Literal["head", "heads"] = Field("head", description="Normalise each head alone, or the channels of all heads together")
    after_position: bool = Field(False, description="Normalise after the rotary embedding, not before it")
    own: bool = Field(False, description="Each head has its own norm weights (Command R+, StableLM 2)")
    norm: Norm | None = Field(None, description="Norm of queries and keys; the part's norm if empty")

    @model_validator(mode="after")
    def _consistent(self):
        if self.own and self.across == "heads":
            raise ValueError("own: a norm over all heads has one weight per channel already; give across: head")
        return self

    def traits(self) -> Iterator[str]:
        yield "QK norm"

    def build(self, norm: Norm, heads: int, head_dim: int) -> nn.Module:
        if self.own:
            return HeadNorms(norm, heads, head_dim)
        return norm.build(head_dim if self.across == "head" else heads * head_dim)


def _grouped(heads: int) -> int:
    """Key and value heads for a quarter of the query heads each, or for the nearest share that divides them."""
    return next((heads // per for per in (4, 8, 2, 3, 5) if heads % per == 0 and heads > per), 1)


class Attention(Mixer):
    """Each of `heads` query heads scores every visible key and averages the values; each of the `kv_heads` groups of query heads shares
    a key and a value head. H = heads, G = kv_heads, D = head_dim."""

    title = "Attention"
    line = "queries score keys; their softmax weighs the values"
    forms = {
        "multi_head": Form(
            "Multi-head",
            "each query head has its own key and value head",
            lambda part: part.kv_heads == part.heads,
            lambda part, context: {"kv_heads": part.heads},
            also=("MHA",),
        ),
        "grouped_query": Form(
            "Grouped-query",
            "query heads share fewer key and value heads",
            lambda part: 1 < part.kv_heads < part.heads,
            lambda part, context: {"kv_heads": _grouped(part.heads)},
            also=("GQA",),
        ),
        "multi_query": Form(
            "Multi-query",
            "all query heads share one key and value head",
            lambda part: part.kv_heads == 1,
            lambda part, context: {"kv_heads": 1},
            also=("MQA",),
        ),
        "all_tokens": Form(
            "All tokens",
            "sees every earlier token; the cache grows with the text",
            lambda part: part.reach is None,
            lambda part, context: {"sight": {}},
            keeps="sight",
            plain=True,
        ),
        "sliding_window": Form(
            "Sliding window",
            "sees the last n tokens; the cache stops there",
            lambda part: part.sight.window is not None,
            lambda part, context: {"sight": {"window": max(1, min(4_096, context // 4))}},
            keeps="sight",
            also=("SWA", "local attention"),
        ),
    }

    kind: Literal["attention"] = "attention"
    heads: Heads = Field(description="Query heads", examples=[32])
    kv_heads: Heads = Field(description="Key and value heads: a divisor of the query heads, from 1 to all of them", examples=[8])
    head_dim: HeadDim = Field(description="Channels of a query or key head", examples=[128])
    v_head_dim: HeadDim | None = Field(None, description="Channels of a value head; head_dim if empty")
    sight: Sight = Field(ALL, description="Attention mask: which tokens a query sees")
    scores: Scores = Field(Scores(), description="Changes to the attention scores before the softmax")
    gate: OptionalGate = Field(None, description="Multiplies the output by a gate computed from the input")
    clip: Positive | None = Field(None, description="Clamps queries, keys and values to ± this (MPT)")
    bias: Annotated[bool, Trait("bias")] = Field(False, description="Biases on the query, key and value projections")
    out_bias: bool | None = Field(None, description="Bias on the output projection; same as `bias` if empty")
    qk_norm: QKNorm | None = Field(None, description="Normalise queries and keys")
    v_norm: Annotated[bool, Trait("V norm")] = Field(False, description="Normalises each value head, without learned weights (Gemma 3n)")
    sub_norm: bool = Field(False, description="A norm on the heads' output, before the output projection (BitNet)")
    value_scale: Positive = Field(1.0, description="Factor on the values (MiMo)")
    in_scale: Positive = Field(1.0, description="The input is multiplied by this (Falcon H1)")
    out_scale: Positive = Field(1.0, description="Factor on the output")
    shared_kv: Annotated[bool, Trait("K = V")] = Field(
        False, description="Uses the key projection as the value, before norm and position (Gemma 4)"
    )
    cache_from: str | None = Field(
        None, max_length=64, description="Part whose key-value cache in the nearest earlier layer is read, or `previous`"
    )
    norm: Inherited[Norm] = OF_MODEL
    position: Inherited[Position] = OF_MODEL

    @model_validator(mode="after")
    def _consistent(self):
        check_groups("kv_heads", self.heads, "heads", self.kv_heads)
        if self.shared_kv and self.v_dim != self.head_dim:
            raise ValueError("v_head_dim: with shared_kv the value has the width of the key; leave it empty")
        return self

    @property
    def v_dim(self) -> int:
        return self.v_head_dim or self.head_dim

    @property
    def reach(self) -> int | None:
        return self.sight.limit

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
        """How many (query, key) pairs are scored for `new` queries after `past` keys."""
        return self.sight.pairs(new, past)

    def check(self, d_model: int, context: int) -> None:
        self.position.check(self.head_dim)

    def cache(self, length: int) -> dict[str, Shape]:
        if self.cache_from:
            return {}
        length = self.sight.kept(length)
        return {"key": (length, self.kv_heads, self.head_dim), "value": (length, self.kv_heads, self.v_dim)}

    def cache_read(self, length: int) -> dict[str, Shape] | None:
        seen = self.pairs(1, length) - 1  # all but itself
        return {"key": (seen, self.kv_heads, self.head_dim), "value": (seen, self.kv_heads, self.v_dim)}

    def reads(self, d_model: int) -> tuple[Read, ...]:
        borrowed = {"k_cache": self.head_dim, "v_cache": self.v_dim} if self.cache_from else {}
        return *super().reads(d_model), *(
            Read(name, self.cache_from or "", (self.kv_heads, dim), name, "cache_from") for name, dim in borrowed.items()
        )

    def lends(self, d_model: int) -> dict[str, Shape]:
        if self.cache_from:
            return {}
        return {"k_cache": (self.kv_heads, self.head_dim), "v_cache": (self.kv_heads, self.v_dim)}

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
            flops["gate"] = 2 * new * d_model * self.gate.width(h, v)
        flops["core"] = 2 * h * (d + v) * self.pairs(new, past)
        flops["o"] = 2 * new * h * v * d_model
        return flops

    def shrink(self, scale: float) -> Self:
        groups = min(self.kv_heads, 2)
        dim = self.position.shrunk(self.head_dim)
        return self.model_copy(
            update={
                "heads": self.heads // self.kv_heads * groups,
                "kv_heads": groups,
                "head_dim": dim,
                "v_head_dim": self.v_head_dim and scaled(self.v_head_dim, min(1.0, dim / self.head_dim)),
                "sight": self.sight.shrink(),
            }
        )

    def facts(self):
        yield f"{self.heads} heads" + (f" · {self.kv_heads} KV" if self.kv_heads != self.heads else "")
        if self.cache_from:
            yield "borrowed K/V"
        yield from self.sight.facts()

    def quantities(self, d_model: int) -> Iterator[tuple[str, ...]]:
        per = self.heads // self.kv_heads
        yield (f"{per} queries to 1 K/V" if per > 1 else f"{self.heads} heads"), f"heads {self.head_dim} wide"
        yield from super().quantities(d_model)

    def explain(self, d_model: int) -> str:
        per = self.heads // self.kv_heads
        shared = {1: "each with its own key and value", self.heads: "which all share one key and value head"}.get(
            per, f"{per} to each of {self.kv_heads} key and value heads"
        )
        words = f"{self.heads} query heads of {self.head_dim} channels, {shared}. "
        words += self.sight.explain(keeps=not self.cache_from)
        if self.cache_from:
            words += "It caches no keys or values and reads those of an earlier layer. "
        else:
            kept = self.kv_heads * (self.head_dim + self.v_dim)
            words += f"It caches {kept:,} values per token. "
        words += self.scores.explain()
        if isinstance(self.position, Alibi):
            words += "Scores fall linearly with the distance; each head has its own slope. "
        if self.qk_norm:
            words += "Queries and keys are normalised first. "
        return words.strip()

    def checklist(self, d_model: int) -> Iterator[str]:
        if self.heads * self.head_dim != d_model:
            yield f"Heads × head_dim is {self.heads * self.head_dim:,}, not d_model: q and o are not square."
        yield from self.sight.checklist()
        yield from self.scores.checklist(self.head_dim)
        if self.qk_norm:
            across = "each head's own channels" if self.qk_norm.across == "head" else "all heads' channels together"
            across += ", with its own weights" if self.qk_norm.own else ""
            when = "after" if self.qk_norm.after_position else "before"
            yield f"Queries and keys are normalised over {across}, {when} the rotary embedding."
        if self.clip:
            yield f"Queries, keys and values are clamped to ±{self.clip:g} before the rotary embedding, after any norm before it."
        if self.bias and self.out_bias is False:
            yield "The query, key and value projections have biases, the output projection has none."
        if self.in_scale != 1 or self.out_scale != 1:
            yield f"The input is multiplied by {self.in_scale:g}, the output by {self.out_scale:g}."
        if self.gate:
            yield from self.gate.checklist()
        if self.sub_norm:
            yield "The output of all heads together is normalised once more before the output projection."
        if self.value_scale != 1:
            yield f"Values are multiplied by {self.value_scale:g} before they are cached."
        if self.v_norm:
            yield "Values are divided by their root mean square, head by head, and have no rotary embedding."
        if self.shared_kv:
            yield "The value is the output of the key projection, before norm and rotation."
        if self.cache_from:
            yield "This layer projects no keys or values: it reads an earlier layer's."
        yield from self.position.checklist(self.head_dim)


class AttentionModule(nn.Module):
    part: Attention
    k_cache: Cache | Borrow
    v_cache: Cache | Borrow

    def __init__(self, part: Attention, d_model: int, d_out: int | None = None):
        super().__init__()
        self.part = part
        h, g, d, v = part.heads, part.kv_heads, part.head_dim, part.v_dim
        self.q = Linear(d_model, h * d, part.bias)
        self.gate = part.gate.build(d_model, h, v, part.bias) if part.gate else None
        if part.cache_from:
            self.k_cache, self.v_cache = Borrow(g, d), Borrow(g, v)
        else:
            self.k = Linear(d_model, g * d, part.bias)
            self.v = None if part.shared_kv else Linear(d_model, g * v, part.bias)
            self.k_cache, self.v_cache = Cache(part.reach), Cache(part.reach)
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
            v = k if self.v is None else self.recent(self.v(x), "v")  # (B, T, G V)
            k = self.k_cache(self.turn(k, part.kv_heads, positions, "k_norm"))  # (B, S, G, D)
            v = times(self.cut(v), part.value_scale)
            v = v.unflatten(-1, (part.kv_heads, part.v_dim))  # (B, T, G, V)
            v = self.v_cache(v if self.v_norm is None else self.v_norm(v))  # (B, S, G, V)
        out = self.core(q, k, v, positions, *self.choose(x, positions, v))  # (B, T, H V)
        if part.gate and self.gate:
            out = part.gate.on(out, self.gate(x), part.heads)
        return times(self.o(out if self.sub_norm is None else self.sub_norm(out)), part.out_scale)

    def recent(self, x: Tensor, name: str) -> Tensor:
        """Keys or values mixed with those just before them; unchanged if there is no convolution."""
        return x

    def choose(self, x: Tensor, positions: Tensor, v: Tensor) -> tuple[Tensor, ...]:
        """What the core must know about a choice among the keys; nothing if there is none."""
        return ()

    def cut(self, x: Tensor) -> Tensor:
        return x if self.part.clip is None else x.clamp(-self.part.clip, self.part.clip)

    def turn(self, x: Tensor, heads: int, positions: Tensor, norm: str) -> Tensor:
        """Norm, clamp and rotary embedding of a projection, in the part's order: (B, T, heads D) -> (B, T, heads, D)."""
        rule = self.part.qk_norm
        if rule and rule.across == "heads":
            x = getattr(self, norm)(x)
        x = x.unflatten(-1, (heads, self.part.head_dim))
        if rule and rule.across == "head" and not rule.after_position:
            x = getattr(self, norm)(x)
        x = self.cut(x)
        x = self.rotary(x, positions)
        if rule and rule.across == "head" and rule.after_position:
            x = getattr(self, norm)(x)
        return x


class CausalAttention(Box):
    """The mean of the values v_s that the query t may see, weighed by softmax_s(λ q_t · k_s); λ is the scale."""

    box = "attention_core"
    label = "Scaled dot-product attention"
    explain = "Each query is scored against every key that it may see; the softmax of the scores weighs the values."

    part: Attention

    def __init__(self, part: Attention):
        super().__init__()
        self.part = part
        self.scale = part.scores.factor(part.head_dim)
        self.sinks = part.scores.sink(part.heads)

    def forward(self, q: Tensor, k: Tensor, v: Tensor, positions: Tensor, *chosen: Tensor) -> Tensor:
        part = self.part
        q = q.unflatten(2, (k.shape[2], -1))  # (B, T, G, H / G, D)
        #: s_ts = λ q_t · k_s
        scores = torch.einsum("btghd,bsgd->bghts", q, k) * self.scale  # (B, G, H / G, T, S)
        scores = part.scores.shaped(self.placed(scores, positions, *chosen), positions)
        if isinstance(part.position, Alibi):
            slopes = part.position.slopes(part.heads, q.device).view(k.shape[2], -1, 1, 1)
            distance = key_positions(positions, k.shape[1]) - positions[:, None]  # (T, S)
            scores = scores + slopes * distance * (self.scale if part.position.scaled else 1.0)
        seen = self.seen(positions, k.shape[1], *chosen)  # (..., T, S)
        #: a_ts = softmax_s(s_ts)
        weights = masked_softmax(scores, seen, self.sinks)
        #: o_t = Σ_s a_ts v_s
        out = torch.einsum("bghts,bsgv->btghv", weights.to(v.dtype), v)  # (B, T, G, H / G, V)
        return out.flatten(2)  # (B, T, H V)

    def outline(self, q: Tensor, k: Tensor, v: Tensor, positions: Tensor, *chosen: Tensor) -> Tensor:
        return q.new_empty(*q.shape[:2], q.shape[2] * v.shape[-1])

    def placed(self, scores: Tensor, positions: Tensor, *chosen: Any) -> Tensor:
        """The scores with what a part adds for the key or its distance."""
        return scores

    def seen(self, positions: Tensor, keys: int, *chosen: Any) -> Tensor:
        """Which keys each query may see."""
        return self.part.sight.visible(positions, keys)
