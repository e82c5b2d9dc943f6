"""Compressed convolutional attention (arXiv:2510.04476): attention in fewer channels than the residual stream, with queries and keys that
pass convolutions over time and values of which half come from the token before. ZAYA1's mixer."""

from collections.abc import Iterator
from typing import Annotated, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from .attention import Attention, CausalAttention
from .base import OF_MODEL, Box, Cache, Flops, HeadDim, Heads, Inherited, Linear, Mixer, Shape, State, check_groups
from .convolution import Kernel
from .position import Position
from .softmax import ALL, Sight


class ConvolutionalAttention(Mixer):
    """As in ZAYA1. H = heads, G = kv_heads, D = head_dim, C = (H + G) D."""

    title = "Compressed convolutional attention"
    line = "narrow queries and keys, mixed by convolutions"

    kind: Literal["convolutional_attention"]
    heads: Heads = Field(description="Query heads", examples=[8])
    kv_heads: Heads = Field(description="Key and value heads: a divisor of the query heads", examples=[2])
    head_dim: HeadDim = Field(description="Channels of a head", examples=[128])
    kernel: Kernel = Field(2, description="Kernel size of the first convolution, of each channel alone")
    head_kernel: Annotated[int, Field(ge=1, le=64)] = Field(
        2, description="Kernel size of the second convolution, over all channels of a head"
    )
    sight: Sight = Field(ALL, description="Attention mask: which tokens a query sees")
    bias: bool = Field(False, description="Biases on the query, key, value and output projections")
    position: Inherited[Position] = OF_MODEL

    @model_validator(mode="after")
    def _consistent(self):
        check_groups("kv_heads", self.heads, "heads", self.kv_heads)
        if self.kv_heads * self.head_dim % 2:
            raise ValueError("head_dim: half of the value channels come from the token before; give an even number")
        return self

    @property
    def reach(self) -> int | None:
        return self.sight.limit

    @property
    def channels(self) -> int:
        """Channels of queries and keys together, over which the convolutions run."""
        return (self.heads + self.kv_heads) * self.head_dim

    @property
    def before(self) -> int:
        """Earlier tokens that a query or key is computed from."""
        return self.kernel + self.head_kernel - 2

    @property
    def half(self) -> int:
        """Value channels from the token itself; as many come from the one before."""
        return self.kv_heads * self.head_dim // 2

    def pairs(self, new: int, past: int) -> int:
        """How many (query, key) pairs are scored for `new` queries after `past` keys."""
        return self.sight.pairs(new, past)

    def build(self, d_model: int) -> nn.Module:
        return ConvolutionalAttentionModule(self, d_model)

    def check(self, d_model: int, context: int) -> None:
        self.position.check(self.head_dim)

    def cache(self, length: int) -> dict[str, Shape]:
        length = self.sight.kept(length)
        return dict.fromkeys(("key", "value"), (length, self.kv_heads, self.head_dim))

    def cache_read(self, length: int) -> dict[str, Shape] | None:
        seen = self.pairs(1, length) - 1  # all but itself
        return {name: (seen, *shape[1:]) for name, shape in self.cache(length).items()}

    def plain_cache(self, length: int) -> dict[str, Shape]:
        return dict.fromkeys(("key", "value"), (length, self.heads, self.head_dim))

    def state(self, d_model: int) -> dict[str, Shape]:
        return {"inputs": (self.before, self.channels), "late": (self.half,)}

    def flops(self, d_model: int, new: int, past: int) -> Flops:
        wide, narrow = self.heads * self.head_dim, self.kv_heads * self.head_dim
        alone = 2 * self.channels * self.kernel * (new + self.head_kernel - 1)
        return Flops(
            q=2 * new * d_model * wide,
            k=2 * new * d_model * narrow,
            convolve=alone + 2 * new * self.channels * self.head_dim * self.head_kernel,
            v_now=2 * new * d_model * self.half,
            v_late=2 * new * d_model * self.half,
            core=4 * wide * self.pairs(new, past),
            o=2 * new * wide * d_model,
        )

    def shrink(self, scale: float) -> Self:
        groups = min(self.kv_heads, 2)
        few = {"heads": self.heads // self.kv_heads * groups, "kv_heads": groups, "head_dim": self.position.shrunk(self.head_dim)}
        return self.model_copy(update=few | {"sight": self.sight.shrink()})

    def facts(self) -> Iterator[str]:
        yield f"{self.heads} heads · {self.kv_heads} KV"
        yield from self.sight.facts()

    def explain(self, d_model: int) -> str:
        wide, kept = self.heads * self.head_dim, 2 * self.kv_heads * self.head_dim
        return (
            f"Attention works in {wide:,} channels, while the stream has {d_model:,}. Queries and keys pass two "
            f"convolutions over the last {self.before + 1} tokens; half of the value channels come from the token before. "
            f"It caches {kept:,} values per token, and {self.before * self.channels + self.half:,} for any length."
        )

    def checklist(self, d_model: int) -> Iterator[str]:
        yield "The second convolution mixes the channels of each head. Before the text both read zeros, the second plus the first's bias."
        yield "Half the sum of a query and its key is added to the convolved query; its mean over a group is added to the key."
        yield f"Queries and keys are then scaled to length √{self.head_dim}, and the keys of each head multiplied by a learned number."
        yield "The value heads are the token's own channels first, then those of the token before."
        yield from self.sight.checklist()
        yield from self.position.checklist(self.head_dim)


class ConvolutionalAttentionModule(nn.Module):
    def __init__(self, part: ConvolutionalAttention, d_model: int):
        super().__init__()
        self.part = part
        wide, narrow = part.heads * part.head_dim, part.kv_heads * part.head_dim
        self.q, self.k = Linear(d_model, wide, part.bias), Linear(d_model, narrow, part.bias)
        self.inputs = State(part.before, part.channels)
        self.convolve = TwoConvolutions(part)
        self.unit = LengthenedMeans(part)
        self.v_now, self.v_late = Linear(d_model, part.half, part.bias), Linear(d_model, part.half)
        self.late = State(part.half)
        self.delay = Delay(part)
        self.rotary = part.position.rotary(part.head_dim)
        self.k_cache, self.v_cache = Cache(part.reach), Cache(part.reach)
        self.core = CausalAttention(
            Attention(heads=part.heads, kv_heads=part.kv_heads, head_dim=part.head_dim, sight=part.sight, position=part.position)
        )
        self.o = Linear(wide, d_model, part.bias)

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:  # (B, T, d_model), (T,)
        part = self.part
        q, k = self.q(x), self.k(x)  # (B, T, H D), (B, T, G D)
        both = torch.cat((q, k), dim=-1)  # (B, T, C)
        mixed, last = self.convolve(both, self.inputs.before(both))  # (B, T, C), (B, before, C)
        self.inputs(last)
        q, k = self.unit(q, k, mixed)  # (B, T, H, D), (B, T, G, D)
        late = self.v_late(x)  # (B, T, G D / 2)
        earlier, last = self.delay(late, self.late.before(late))
        self.late(last)
        v = torch.cat((self.v_now(x), earlier), dim=-1).unflatten(-1, (part.kv_heads, part.head_dim))  # (B, T, G, D)
        q, k = self.rotary(q, positions), self.rotary(k, positions)
        return self.o(self.core(q, self.k_cache(k), self.v_cache(v), positions))


class TwoConvolutions(Box):
    """Over time: each channel alone, then all channels of each head together; both with a bias."""

    box = "convolution"
    explain = "First each query and key channel alone over its last tokens, then all channels of each head together."

    def __init__(self, part: ConvolutionalAttention):
        super().__init__()
        self.part = part
        channels, dim = part.channels, part.head_dim
        self.alone, self.heads = _weight(channels, 1, part.kernel), _weight(channels, dim, part.head_kernel)
        self.alone_bias, self.heads_bias = (nn.Parameter(torch.zeros(channels)) for _ in range(2))
        self.label = f"Convolutions over {part.kernel} and {part.head_kernel}"

    def forward(self, x: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:  # (B, T, C), (B, before, C)
        part = self.part
        x = torch.cat((before, x), dim=1)  # (B, before + T, C)
        y = F.conv1d(x.mT, self.alone, self.alone_bias, groups=part.channels)
        y = F.conv1d(y, self.heads, self.heads_bias, groups=part.heads + part.kv_heads)  # (B, C, T)
        return y.mT, x[:, -part.before :]

    def outline(self, x: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        return x.new_empty(x.shape), before


def _weight(channels: int, width: int, kernel: int) -> nn.Parameter:
    weight = torch.empty(channels, width, kernel)
    return nn.Parameter(weight if weight.is_meta else nn.init.normal_(weight, std=(width * kernel) ** -0.5))


class LengthenedMeans(Box):
    """The convolved queries and keys plus means of the unconvolved ones; then all are scaled to one length."""

    box = "norm"
    label = "Means, one length"
    explain = "Means of the unconvolved queries and keys are added; then each vector is scaled to one length."

    def __init__(self, part: ConvolutionalAttention):
        super().__init__()
        self.part = part
        self.scale = nn.Parameter(torch.ones(part.kv_heads))

    def forward(self, q: Tensor, k: Tensor, mixed: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, H D), (B, T, G D), (B, T, C) -> (B, T, H, D), (B, T, G, D)."""
        g, d = self.part.kv_heads, self.part.head_dim
        mean = (q.unflatten(-1, (g, -1, d)) + k.unflatten(-1, (g, 1, d))) / 2  # (B, T, G, H / G, D)
        new_q, new_k = mixed.split((q.shape[-1], k.shape[-1]), dim=-1)
        new_q = new_q.unflatten(-1, (-1, d)) + mean.flatten(2, 3)  # (B, T, H, D)
        new_k = new_k.unflatten(-1, (-1, d)) + mean.mean(dim=3)  # (B, T, G, D)
        q, k = (x * (d**0.5 / x.norm(dim=-1, keepdim=True).clamp_min(torch.finfo(x.dtype).eps)) for x in (new_q, new_k))
        return q, k * self.scale[:, None]

    def outline(self, q: Tensor, k: Tensor, mixed: Tensor) -> tuple[Tensor, Tensor]:
        g, h, d = self.part.kv_heads, self.part.heads, self.part.head_dim
        return q.new_empty(*q.shape[:2], h, d), k.new_empty(*k.shape[:2], g, d)


class Delay(Box):
    """Each token gets the vector of the token before it; the first gets zeros. Then the bias."""

    box = "convolution"
    label = "One token later"
    explain = "Half of the value channels come from the token before."

    def __init__(self, part: ConvolutionalAttention):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(part.half)) if part.bias else None

    def forward(self, x: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:  # (B, T, W), (B, W) -> the same
        y = torch.cat((before.unsqueeze(1), x[:, :-1]), dim=1)
        return y if self.bias is None else y + self.bias, x[:, -1]

    def outline(self, x: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        return x.new_empty(x.shape), before
