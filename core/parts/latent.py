"""Multi-head latent attention (DeepSeek-V2, arXiv:2405.04434, section 2.1)."""

import math
from bisect import bisect_left
from collections.abc import Iterator
from functools import cached_property
from typing import ClassVar, Literal, Self

import torch
from pydantic import Field
from torch import Tensor, nn

from .base import OF_MODEL, Box, Cache, Flops, HeadDim, Heads, Inherited, Linear, Mixer, Rank, Shape, times
from .norm import Norm, PartNorm, RMSNorm
from .position import NoPosition, Position, Yarn, check_turned, yarn_magnitude
from .softmax import ALL, OptionalGate, Scores, Sight, masked_softmax


class LatentAttention(Mixer):
    """Keys and values of all heads are projected up from one low-rank latent per token, and the cache holds only the latent.

    The absorbed form is not possible with a rotary embedding on these keys, so the position is in `rope_dim` further channels
    of each query and in one rotary key that all heads share. H = heads, C = kv_rank, Q = q_rank, N = nope_dim, R = rope_dim,
    V = v_dim.
    """

    title = "Multi-head latent attention"
    line = "keys and values are rebuilt from one narrow latent"
    also: ClassVar[tuple[str, ...]] = ("MLA",)

    kind: Literal["latent_attention"]
    heads: Heads = Field(description="Query heads; each has its own key and value, projected up from the latent", examples=[32])
    kv_rank: Rank = Field(description="Rank of the latent that is cached for each token", examples=[512])
    q_rank: Rank | None = Field(None, description="Rank of the query projection; full rank if empty")
    nope_dim: HeadDim = Field(description="Channels of a query or key head without rotary embedding", examples=[128])
    rope_dim: HeadDim = Field(description="Rotary channels of a query head, and of the one shared rotary key", examples=[64])
    v_dim: HeadDim = Field(description="Channels of a value head", examples=[128])
    bias: bool = Field(False, description="Biases on the down projections and on the output projection")
    sight: Sight = Field(ALL, description="Attention mask: which tokens a query sees")
    scores: Scores = Field(Scores(), description="Changes to the attention scores before the softmax")
    gate: OptionalGate = Field(None, description="Multiplies the output by a gate computed from the input")
    rank_norm: Norm = Field(RMSNorm(eps=1e-6), description="Norm on the compressed queries and on the latent")
    scaled_ranks: bool = Field(False, description="Multiplies compressed queries and latent by sqrt(d_model / rank) (LongCat)")
    key_norm: bool = Field(False, description="Normalises the rotary key before its rotation (dots3)")
    position: Inherited[Position] = OF_MODEL
    norm: Inherited[PartNorm] = OF_MODEL

    @property
    def reach(self) -> int | None:
        return self.sight.limit

    @property
    def qk_dim(self) -> int:
        return self.nope_dim + self.rope_dim

    @property
    def pieces(self) -> dict[str, dict[str, int]]:
        return {"kv_up.weight": {"keys": self.heads * self.nope_dim, "values": self.heads * self.v_dim}}

    @property
    def kind_of_key(self) -> str:
        """What the key is that all heads share: one that the position turns, or not (Kimi Linear)."""
        return "plain" if isinstance(self.position, NoPosition) else "rotary"

    def query_width(self, d_model: int) -> int:
        """Channels that the query projection reads."""
        return self.q_rank or d_model

    @property
    def of_query(self) -> tuple[int, ...]:
        """The two pieces of a head's query: channels without rotary embedding, and with it."""
        return self.nope_dim, self.rope_dim

    @property
    def softmax_scale(self) -> float:
        """1 / sqrt(qk_dim); DeepSeek's YaRN multiplies it by the square of its second magnitude."""
        scale, scaling = self.scores.factor(self.qk_dim), getattr(self.position, "scaling", None)
        if isinstance(scaling, Yarn) and scaling.mscale_all_dim:
            scale *= yarn_magnitude(scaling.factor, scaling.mscale_all_dim) ** 2
        return scale

    def rank_scale(self, rank: int, d_model: int) -> float:
        """The factor on a compressed vector."""
        return math.sqrt(d_model / rank) if self.scaled_ranks else 1.0

    def pairs(self, new: int, past: int) -> int:
        """How many (query, key) pairs are scored for `new` queries after `past` keys."""
        return self.sight.pairs(new, past)

    def build(self, d_model: int) -> nn.Module:
        return LatentAttentionModule(self, d_model)

    def check(self, d_model: int, context: int) -> None:
        check_turned(self.position, self.rope_dim)

    def cache(self, length: int) -> dict[str, Shape]:
        length = self.sight.kept(length)
        return {"latent": (length, self.kv_rank), "rotary key": (length, self.rope_dim)}

    def cache_read(self, length: int) -> dict[str, Shape] | None:
        seen = self.pairs(1, length) - 1  # all but itself
        return {name: (seen, *shape[1:]) for name, shape in LatentAttention.cache(self, length).items()}

    def plain_cache(self, length: int) -> dict[str, Shape]:
        return {"key": (length, self.heads, self.qk_dim), "value": (length, self.heads, self.v_dim)}

    def flops(self, d_model: int, new: int, past: int) -> Flops:
        """The cheaper of the two forms: expanded for a prompt, absorbed for one token after many others."""
        return min(self.flops_forms(d_model, new, past).values(), key=lambda form: form.total)

    def flops_forms(self, d_model: int, new: int, past: int) -> dict[str, Flops]:
        """The expanded form projects every latent up to keys and values; the absorbed form merges the up projection into the query and
        the output, and attends directly to the latents (section 2.1.2)."""
        h, n, r, v, c = self.heads, self.nope_dim, self.rope_dim, self.v_dim, self.kv_rank
        pairs, seen = self.pairs(new, past), self.sight.kept(past + 1) + new - 1  # the first query sees the kept ones
        own = Flops()
        if self.q_rank:
            own["q_down"] = 2 * new * d_model * self.q_rank
        own["q"] = 2 * new * self.query_width(d_model) * h * sum(self.of_query)
        own["kv_down"] = 2 * new * d_model * (c + r)
        if self.gate:
            own["gate"] = 2 * new * d_model * self.gate.width(h, v)
        own["o"] = 2 * new * h * v * d_model
        expanded = {"kv_up": 2 * seen * c * h * (n + v), "core": 2 * pairs * h * (n + r + v)}
        absorbed = {"kv_up": 2 * new * c * h * (n + v), "core": 2 * pairs * h * (c + r + c)}
        return {"expanded": Flops(own | expanded), "absorbed": Flops(own | absorbed)}

    @cached_property
    def absorbed_after(self) -> int | None:
        """Past more tokens than this, the absorbed form is the cheaper one for one more token; None if it never is."""

        def cheaper(past: int) -> bool:
            forms = self.flops_forms(1, 1, past)
            return forms["absorbed"].total <= forms["expanded"].total

        most = 1_000_000_000
        return bisect_left(range(1, most), True, key=cheaper) if cheaper(most) else None

    def shrink(self, scale: float) -> Self:
        few = {"heads": min(self.heads, 4), "kv_rank": 16, "q_rank": self.q_rank and 24, "sight": self.sight.shrink()}
        return self.model_copy(update=few | {"nope_dim": 16, "rope_dim": self.position.shrunk(self.rope_dim, 8), "v_dim": 16})

    def facts(self) -> Iterator[str]:
        yield f"{self.heads} heads · latent {self.kv_rank} + {self.rope_dim}"
        yield from self.sight.facts()

    def quantities(self, d_model: int) -> Iterator[tuple[str, ...]]:
        yield f"latent of {self.kv_rank}", f"and {self.rope_dim} {self.kind_of_key} channels,", f"for all {self.heads} heads"
        yield from super().quantities(d_model)

    def explain(self, d_model: int) -> str:
        whole = self.heads * (self.qk_dim + self.v_dim)
        kept = self.kv_rank + self.rope_dim
        queries = f"Queries are projected through rank {self.q_rank:,}. " if self.q_rank else ""
        return (
            f"Each token is compressed to a latent of {self.kv_rank} values, and the keys and values of all "
            f"{self.heads} heads are projected up from it; the heads share one {self.kind_of_key} key of {self.rope_dim} "
            f"channels. {queries}{self.sight.explain()}{self.scores.explain()}"
            f"It caches {kept:,} values per token; full keys and values would be {whole:,}, {whole / kept:.0f} times as many."
        )

    def checklist(self, d_model: int) -> Iterator[str]:
        if not self.scores.scale:
            yield f"Scores are scaled by 1 / sqrt({self.qk_dim}), the width of both pieces of a query together."
        if (yarn := self.softmax_scale / self.scores.factor(self.qk_dim)) != 1:
            yield f"YaRN's second magnitude multiplies that scale by {yarn:.4g}."
        yield from self.scores.checklist(self.qk_dim)
        yield from self.sight.checklist()
        if self.scaled_ranks:
            ranks = [f"compressed queries by sqrt({d_model:,} / {self.q_rank:,})"] if self.q_rank else []
            ranks += [f"the latent by sqrt({d_model:,} / {self.kv_rank:,})"]
            yield f"After their norms, {' and '.join(ranks)} are multiplied; the rotary key is not."
        if self.gate:
            yield from self.gate.checklist()
        if self.key_norm:
            yield "The rotary key has its own norm, before its rotation."
        after = " after its rotation" if self.kind_of_key == "rotary" else ", which nothing turns, as it is projected"
        yield f"The latent is cached after its norm, the {self.kind_of_key} key{after}."
        yield f"Query and key heads have {self.qk_dim} channels, value heads {self.v_dim}: o reads {self.heads * self.v_dim:,} channels."
        yield from self.position.checklist(self.rope_dim)


class LatentAttentionModule(nn.Module):
    def __init__(self, part: LatentAttention, d_model: int):
        super().__init__()
        self.part = part
        h, c, r, v = part.heads, part.kv_rank, part.rope_dim, part.v_dim
        if part.q_rank:
            self.q_down = Linear(d_model, part.q_rank, part.bias)
            self.q_norm = part.rank_norm.build(part.q_rank)
            self.q_scale = part.rank_scale(part.q_rank, d_model)
        self.q = Linear(part.query_width(d_model), h * sum(part.of_query))
        self.kv_down = Linear(d_model, c + r, part.bias)
        self.kv_norm, self.kv_scale = part.rank_norm.build(c), part.rank_scale(c, d_model)
        self.kv_up = Linear(c, h * (part.nope_dim + v))
        self.key_norm = part.rank_norm.build(r) if part.key_norm else nn.Identity()
        self.rotary = part.position.rotary(r)
        self.latent_cache, self.key_cache = Cache(part.reach), Cache(part.reach)
        self.core = LatentCore(part)
        self.gate = part.gate.build(d_model, h, v) if part.gate else None
        self.o = Linear(h * v, d_model, part.bias)

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:  # (B, T, d_model), (T,)
        part = self.part
        raw = self.q_down(x) if part.q_rank else x
        compressed = times(self.q_norm(raw), self.q_scale) if part.q_rank else x  # (B, T, Q)
        q = self.queries(compressed, raw)  # (B, T, H, N + R)
        q_nope, q_rope, *gate = q.split(part.of_query, dim=-1)
        #: [c_t; k^R_t] = [W^DKV; W^KR] h_t
        latent, k_rope = self.kv_down(x).split((part.kv_rank, part.rope_dim), dim=-1)  # (B, T, C), (B, T, R)
        latent = times(self.kv_norm(latent), self.kv_scale)
        #: q^R_t = RoPE(q^R_t)
        q_rope = self.rotary(q_rope, positions)
        #: k^R_t = RoPE(k^R_t), one for all heads
        k_rope = self.rotary(self.key_norm(k_rope).unsqueeze(2), positions).squeeze(2)
        chosen = self.choose(x, compressed, positions)
        past = self.latent_cache.past
        latent, k_rope = self.latent_cache(latent), self.key_cache(k_rope)  # (B, S, C), (B, S, R)
        if part.absorbed_after is not None and past > part.absorbed_after:
            up = self.kv_up.weight.unflatten(0, (part.heads, -1))  # (H, N + V, C)
            y = self.core.absorbed(q_nope, q_rope, latent, k_rope, up, positions, chosen)  # (B, T, H V)
        else:
            #: [k^C_s; v_s] = W^UKV c_s
            k_nope, v = self.kv_up(latent).unflatten(-1, (part.heads, -1)).split((part.nope_dim, part.v_dim), dim=-1)
            y = self.core(q_nope, q_rope, k_nope, k_rope, v, positions, chosen)  # (B, T, H V)
        return self.o(self.gated(y, x, *gate))

    def gated(self, y: Tensor, x: Tensor, *gate: Tensor) -> Tensor:  # (B, T, H V), (B, T, d_model) -> (B, T, H V)
        rule = self.part.gate
        return rule.on(y, self.gate(x), self.part.heads) if rule and self.gate else y

    def queries(self, compressed: Tensor, raw: Tensor) -> Tensor:  # (B, T, Q) with and without its norm -> (B, T, H, N + R)
        return self.q(compressed).unflatten(-1, (self.part.heads, -1))

    def choose(self, x: Tensor, compressed: Tensor, positions: Tensor) -> Tensor | None:
        """The tokens that each token attends to; None if it attends to all of them."""
        return None


class LatentCore(Box):
    """The two forms of attention: on expanded keys and values, or on the latents. They agree up to rounding."""

    box = "attention_core"
    label = "Scaled dot-product attention"
    explain = "A score is the sum of two products: one with each head's own key, one with the key that all heads share."

    def __init__(self, part: LatentAttention):
        super().__init__()
        self.part = part
        self.sinks = part.scores.sink(part.heads)

    def forward(
        self, q_nope: Tensor, q_rope: Tensor, k_nope: Tensor, k_rope: Tensor, v: Tensor, positions: Tensor,
        chosen: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        #: s_ts = q^C_t · k^C_s + q^R_t · k^R_s
        scores = torch.einsum("bthn,bshn->bhts", q_nope, k_nope)  # (B, H, T, S)
        scores = scores + torch.einsum("bthr,bsr->bhts", q_rope, k_rope)
        weights = self.weights(scores, positions, chosen).to(v.dtype)
        #: o_t = Σ_s a_ts v_s
        return torch.einsum("bhts,bshv->bthv", weights, v).flatten(2)  # (B, T, H V)

    def outline(
        self, q_nope: Tensor, q_rope: Tensor, k_nope: Tensor, k_rope: Tensor, v: Tensor, positions: Tensor,
        chosen: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        return v.new_empty(*v.shape[:2], v.shape[2] * v.shape[3])

    def absorbed(
        self, q_nope: Tensor, q_rope: Tensor, latent: Tensor, k_rope: Tensor, up: Tensor, positions: Tensor,
        chosen: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        k_up, v_up = up.split((self.part.nope_dim, self.part.v_dim), dim=1)  # (H, N, C), (H, V, C)
        #: q^C_t · k^C_s = (W^UK⊤ q^C_t) · c_s
        q_latent = torch.einsum("bthn,hnc->bthc", q_nope, k_up)  # (B, T, H, C)
        scores = torch.einsum("bthc,bsc->bhts", q_latent, latent)  # (B, H, T, S)
        scores = scores + torch.einsum("bthr,bsr->bhts", q_rope, k_rope)
        weights = self.weights(scores, positions, chosen).to(latent.dtype)
        #: o_t = W^UV Σ_s a_ts c_s
        mean = torch.einsum("bhts,bsc->bthc", weights, latent)  # (B, T, H, C)
        return torch.einsum("bthc,hvc->bthv", mean, v_up).flatten(2)  # (B, T, H V)

    def weights(self, scores: Tensor, positions: Tensor, chosen: Tensor | None) -> Tensor:
        seen = self.part.sight.visible(positions, scores.shape[-1])  # (T, S)
        if chosen is not None:  # (B, T, K) indices among the keys
            picked = seen.new_zeros(len(scores), *seen.shape).scatter(-1, chosen, True)
            seen = (seen & picked).unsqueeze(1)  # (B, 1, T, S)
        scores = self.part.scores.shaped(scores * self.part.softmax_scale, positions)
        return masked_softmax(scores, seen, self.sinks)
