"""Multi-head latent attention (DeepSeek-V2, arXiv:2405.04434, section 2.1)."""

import math
from collections.abc import Iterator
from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from ..words import tokens
from .attention import visible
from .base import Box, Flops, HeadDim, Heads, Keep, Length, Linear, Mixer, Positive, Shape, causal_pairs
from .norm import Norm, PartNorm, RMSNorm
from .position import Position, Yarn, check_turned, yarn_magnitude
from .temperature import Temperature

Rank = Annotated[int, Field(ge=1, le=65_536)]


class LatentAttention(Mixer):
    """Keys and values of all heads are rebuilt from one narrow latent a token, so the cache holds the latent instead.

    A rotary embedding would stand between the latent and its keys, so position lives in `rope_dim` further channels
    of the query and in one rotary key that all heads share.
    """

    title = "Multi-head latent attention"

    kind: Literal["latent_attention"]
    heads: Heads = Field(
        description="Query heads; each has a key and a value of its own, rebuilt from the latent", examples=[32]
    )
    kv_rank: Rank = Field(description="Width of the latent that is kept for each token", examples=[512])
    q_rank: Rank | None = Field(None, description="Width that queries are compressed to; uncompressed if empty")
    nope_dim: HeadDim = Field(description="Channels of a query or key head that carry no position", examples=[128])
    rope_dim: HeadDim = Field(
        description="Rotary channels of a query head, and of the one shared rotary key", examples=[64]
    )
    v_dim: HeadDim = Field(description="Channels of a value head", examples=[128])
    bias: bool = Field(False, description="Biases on the compressions and on the output")
    gate: bool = Field(False, description="Each head's output is multiplied by a sigmoid of the input (Ling 3.0)")
    gate_channels: bool = Field(False, description="That sigmoid is one for each channel, not for each head (Hy4)")
    sinks: bool = Field(False, description="One learned logit a head takes part in the softmax and keeps nothing (Hy4)")
    joint_gate: bool = Field(
        False,
        description="Compressed queries, normed and as they were, give queries and a sigmoid gate on what leaves (A.X K2)",
    )
    key_norm: bool = Field(False, description="The rotary key is normalised before it turns (dots3)")
    window: Length | None = Field(None, description="Each token sees only this many, itself included")
    scale: Positive | None = Field(
        None, description="Scores are multiplied by this; 1 / sqrt(query width) unless given"
    )
    temperature: Temperature | None = Field(None, description="Scores grow with the query's position (Mistral 4)")
    scaled_ranks: bool = Field(
        False, description="Compressed queries and the latent are multiplied by sqrt(d_model / rank) (LongCat)"
    )
    rank_norm: Norm = Field(RMSNorm(eps=1e-6), description="Norm of the compressed queries and of the latent")
    position: Position | None = Field(None, description="Where it differs from the model's")
    norm: PartNorm | None = Field(None, description="Where it differs from the model's")

    @model_validator(mode="after")
    def _gated(self):
        if self.joint_gate and not self.q_rank:
            raise ValueError("joint_gate: it reads the compressed queries; give a q_rank")
        if self.gate_channels and not self.gate:
            raise ValueError("gate_channels: there is no gate; set gate to true")
        return self

    @property
    def reach(self) -> int | None:
        return self.window

    @property
    def qk_dim(self) -> int:
        return self.nope_dim + self.rope_dim

    @property
    def softmax_scale(self) -> float:
        """1 / sqrt(qk_dim); DeepSeek's YaRN multiplies it by the square of its second magnitude."""
        scaling = getattr(self.position, "scaling", None)
        yarn = isinstance(scaling, Yarn) and scaling.mscale_all_dim
        return (self.scale or self.qk_dim**-0.5) * (yarn_magnitude(scaling.factor, yarn) ** 2 if yarn else 1)

    @property
    def attended(self) -> int | None:
        """How many tokens one token attends to at most; None for all that came before."""
        return self.window

    def build(self, d_model: int) -> nn.Module:
        return LatentAttentionModule(self, d_model)

    def check(self, d_model: int, context: int) -> None:
        check_turned(self.position, self.rope_dim)

    def cache(self, length: int) -> dict[str, Shape]:
        length = min(length, self.window or length)
        return {"latent": (length, self.kv_rank), "rotary key": (length, self.rope_dim)}

    def plain_cache(self, length: int) -> dict[str, Shape]:
        return {"key": (length, self.heads, self.qk_dim), "value": (length, self.heads, self.v_dim)}

    def flops(self, d_model: int, new: int, past: int) -> Flops:
        """The cheaper of the two forms: expanded for a prompt, absorbed for one token after a long past."""
        return min(self.flops_forms(d_model, new, past).values(), key=lambda form: form.total)

    def flops_forms(self, d_model: int, new: int, past: int) -> dict[str, Flops]:
        """Expanded rebuilds every key and value from its latent; absorbed folds the up-projection into the query and
        the output, and attends to the latents themselves (section 2.1.2)."""
        h, n, r, v, c = self.heads, self.nope_dim, self.rope_dim, self.v_dim, self.kv_rank
        pairs = causal_pairs(new, past, self.attended)
        own = Flops()
        if self.q_rank:
            own["q_down"] = 2 * new * d_model * self.q_rank
        own["q"] = 2 * new * (self.q_rank or d_model) * h * (n + r)
        if self.joint_gate:
            own["q"] = 2 * new * 2 * self.q_rank * h * (n + r + v)
        own["kv_down"] = 2 * new * d_model * (c + r)
        if self.gate:
            own["gate"] = 2 * new * d_model * h * (v if self.gate_channels else 1)
        own["o"] = 2 * new * h * v * d_model
        seen = new + (past if self.window is None else min(past, self.window - 1))
        expanded = {"kv_up": 2 * seen * c * h * (n + v), "core": 2 * pairs * h * (n + r + v)}
        absorbed = {"kv_up": 2 * new * c * h * (n + v), "core": 2 * pairs * h * (c + r + c)}
        return {"expanded": Flops(own | expanded), "absorbed": Flops(own | absorbed)}

    def shrink(self, scale: float) -> "LatentAttention":
        return self.model_copy(
            update={
                "heads": min(self.heads, 4),
                "kv_rank": 16,
                "q_rank": self.q_rank and 24,
                "nope_dim": 16,
                "rope_dim": 8,
                "v_dim": 16,
                "window": self.window and min(self.window, 16),
            }
        )

    def facts(self):
        yield f"{self.heads} heads · latent {self.kv_rank} + {self.rope_dim}"
        if self.window:
            yield f"window {tokens(self.window)}"

    def explain(self, d_model: int) -> str:
        whole = self.heads * (self.qk_dim + self.v_dim)
        kept = self.kv_rank + self.rope_dim
        queries = f"Queries pass through a rank of {self.q_rank:,}. " if self.q_rank else ""
        if self.window:
            queries += f"A token sees only the last {self.window:,}, so its cache stops growing there. "
        return (
            f"Each token is compressed to a latent of {self.kv_rank} values, from which the keys and values of all "
            f"{self.heads} heads are rebuilt; one rotary key of {self.rope_dim} is shared by the heads. {queries}"
            f"It keeps {kept:,} values a token where full keys and values would be {whole:,}, {whole / kept:.0f} times more."
        )

    def checklist(self, d_model: int) -> Iterator[str]:
        plain = self.scale or self.qk_dim**-0.5
        yield f"Scores are scaled by 1 / sqrt({self.qk_dim}), the width of both halves of a query together."
        if self.softmax_scale != plain:
            yield f"YaRN's second magnitude multiplies that scale by {self.softmax_scale / plain:.4g}."
        if self.temperature:
            yield "Scores also grow with the query's position; at short lengths this cannot be seen."
        if self.scaled_ranks:
            ranks = [f"the latent by sqrt({d_model:,} / {self.kv_rank:,})"]
            ranks += [f"compressed queries by sqrt({d_model:,} / {self.q_rank:,})"] if self.q_rank else []
            yield f"After their norms, {' and '.join(reversed(ranks))} are multiplied; the rotary key is not."
        if self.gate:
            per = "each channel by its own" if self.gate_channels else "all of a head's channels by one"
            yield f"What leaves is multiplied by sigmoids of the layer's input before the projection, {per}."
        if self.sinks:
            yield "Each head's softmax has one learned logit more, whose weight is dropped."
        if self.joint_gate:
            yield f"The query projection reads {2 * self.q_rank:,} channels, the compressed queries after their norm and then before it."
            yield "Head by head it gives a query and then a gate; the gate's sigmoid multiplies what leaves the attention."
        if self.key_norm:
            yield "The rotary key has a norm of its own, before it turns."
        if self.window:
            yield f"The window of {self.window:,} counts the token itself: position p sees p − {self.window - 1:,} to p."
        yield "The latent is kept after its norm, the rotary key after its rotation."
        yield f"Heads are {self.qk_dim} wide in queries and keys but {self.v_dim} in values: {self.heads * self.v_dim:,} channels leave."
        yield from self.position.checklist(self.rope_dim)


class LatentAttentionModule(nn.Module):
    def __init__(self, part: LatentAttention, d_model: int):
        super().__init__()
        self.part = part
        h, c, r = part.heads, part.kv_rank, part.rope_dim
        if part.q_rank:
            self.q_down = Linear(d_model, part.q_rank, part.bias)
            self.q_norm = part.rank_norm.build(part.q_rank)
        if part.joint_gate:
            self.q = Linear(2 * part.q_rank, h * (part.qk_dim + part.v_dim))
        else:
            self.q = Linear(part.q_rank or d_model, h * part.qk_dim)
        self.kv_down = Linear(d_model, c + r, part.bias)
        self.kv_norm = part.rank_norm.build(c)
        self.kv_up = Linear(c, h * (part.nope_dim + part.v_dim))
        self.key_norm = part.rank_norm.build(r) if part.key_norm else None
        self.rotary = part.position.rotary(r)
        self.latent_cache, self.key_cache = Keep(part.window), Keep(part.window)
        self.core = LatentCore(part)
        self.gate = Linear(d_model, h * (part.v_dim if part.gate_channels else 1)) if part.gate else None
        self.o = Linear(h * part.v_dim, d_model, part.bias)

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:  # (B, T, d_model), (T,)
        part = self.part
        raw = self.q_down(x) if part.q_rank else x
        compressed = self.ranked(self.q_norm(raw)) if part.q_rank else x  # (B, T, q_rank)
        q = self.q(torch.cat((compressed, raw), dim=-1) if part.joint_gate else compressed)
        q = q.unflatten(-1, (part.heads, -1))  # (B, T, H, N + R), with a joint gate (B, T, H, N + R + V)
        q_nope, rest = q.split((part.nope_dim, q.shape[-1] - part.nope_dim), dim=-1)
        q_rope = rest[..., : part.rope_dim] if part.joint_gate else rest
        latent, k_rope = self.kv_down(x).split((part.kv_rank, part.rope_dim), dim=-1)  # (B, T, C), (B, T, R)
        latent = self.ranked(self.kv_norm(latent))
        k_rope = k_rope if self.key_norm is None else self.key_norm(k_rope)
        if self.rotary is not None:
            q_rope = self.rotary(q_rope, positions)
            k_rope = self.rotary(k_rope.unsqueeze(2), positions).squeeze(2)
        chosen = self.choose(x, compressed, positions)
        after = self.latent_cache.past
        latent, k_rope = self.latent_cache(latent), self.key_cache(k_rope)  # (B, S, C), (B, S, R)
        if after and not self.expand(after):
            up = self.kv_up.weight.unflatten(0, (part.heads, -1))  # (H, N + V, C)
            y = self.core.absorbed(q_nope, q_rope, latent, k_rope, up, positions, chosen)  # (B, T, H V)
        else:
            k_nope, v = self.kv_up(latent).unflatten(-1, (part.heads, -1)).split((part.nope_dim, part.v_dim), dim=-1)
            y = self.core(q_nope, q_rope, k_nope, k_rope, v, positions, chosen)  # (B, T, H V)
        if part.gate:
            gate = torch.sigmoid(self.gate(x)).unflatten(-1, (part.heads, -1))  # (B, T, H, 1 or V)
            y = (y.unflatten(-1, (part.heads, -1)) * gate).flatten(-2)
        if part.joint_gate:
            y = y * torch.sigmoid(rest[..., part.rope_dim :].flatten(-2).float()).to(y.dtype)
        return self.o(y)

    def ranked(self, x: Tensor) -> Tensor:
        """A compressed vector, times what makes up for its width where ranks are scaled."""
        return x * math.sqrt(self.o.out_features / x.shape[-1]) if self.part.scaled_ranks else x

    def choose(self, x: Tensor, compressed: Tensor, positions: Tensor) -> Tensor | None:
        """The tokens that each token attends to, where it does not attend to all of them."""
        return None

    def expand(self, past: int) -> bool:
        """Whether one more token is cheaper with the keys and values rebuilt: only after a very short past."""
        forms = self.part.flops_forms(1, 1, past)
        return forms["expanded"].total < forms["absorbed"].total


class LatentCore(Box):
    """The two ways to attend: to rebuilt keys and values, or to the latents. They agree to rounding."""

    box = "attention_core"
    label = "Scaled dot-product attention"
    explain = (
        "A score is the sum of two products: one without position in each head, one with the rotary key of all heads."
    )

    def __init__(self, part: LatentAttention):
        super().__init__()
        self.part = part
        self.sinks = nn.Parameter(torch.zeros(part.heads)) if part.sinks else None

    def forward(
        self, q_nope: Tensor, q_rope: Tensor, k_nope: Tensor, k_rope: Tensor, v: Tensor, positions: Tensor,
        chosen: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        scores = torch.einsum("bthn,bshn->bhts", q_nope, k_nope)  # (B, H, T, S)
        scores = scores + torch.einsum("bthr,bsr->bhts", q_rope, k_rope)
        return torch.einsum("bhts,bshv->bthv", self.weights(scores, positions, chosen, v.dtype), v).flatten(
            2
        )  # (B, T, H V)

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
        q_latent = torch.einsum("bthn,hnc->bthc", q_nope, k_up)  # (B, T, H, C)
        scores = torch.einsum("bthc,bsc->bhts", q_latent, latent)  # (B, H, T, S)
        scores = scores + torch.einsum("bthr,bsr->bhts", q_rope, k_rope)
        mean = torch.einsum(
            "bhts,bsc->bthc", self.weights(scores, positions, chosen, latent.dtype), latent
        )  # (B, T, H, C)
        return torch.einsum("bthc,hvc->bthv", mean, v_up).flatten(2)  # (B, T, H V)

    def weights(self, scores: Tensor, positions: Tensor, chosen: Tensor | None, dtype: torch.dtype) -> Tensor:
        seen = visible(positions, scores.shape[-1], self.part.window, None)  # (T, S)
        if chosen is not None:  # (B, T, K) places among the keys
            picked = torch.zeros(len(scores), *seen.shape, dtype=torch.bool, device=scores.device).scatter(
                -1, chosen, True
            )
            seen = (seen & picked).unsqueeze(1)  # (B, 1, T, S)
        if self.part.temperature:
            scores = scores * self.part.temperature.factor(positions)[:, None].to(scores.dtype)  # (T, 1)
        scores = (scores * self.part.softmax_scale).masked_fill(~seen, -math.inf).float()
        if self.sinks is None:
            return scores.softmax(dim=-1).to(dtype)
        sinks = self.sinks.float().view(1, -1, 1, 1).expand(*scores.shape[:-1], 1)
        return torch.cat((scores, sinks), dim=-1).softmax(dim=-1)[..., :-1].to(dtype)
