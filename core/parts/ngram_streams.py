"""N-grams in the residual streams (Qwen 4): hashed embedding tables of n-grams, with a gate for each stream."""

import math
from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache
from itertools import accumulate, islice
from typing import Annotated, ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from .base import OF_MODEL, Box, Embedding, Eps, Flops, Inherited, Linear, Mixer, Read, Shape, State, Vocabulary, Width, scaled
from .convolution import CausalConvolution, Kernel
from .ngram import Recent, earlier
from .residual import Streams

SMALL = 512  # rows of a table, and tokens, of a live model


class NGramStreams(Mixer):
    """A token is looked up with the one before it, the two before it and so on, in several hashed tables for each length. What
    is found gives a value, which each residual stream gates with its own key; a convolution over time follows (Qwen 4).

    All streams are read and written at once, so its step has the residual `all_streams`. An n-gram's row in a table is the
    exclusive or of its tokens, each times a constant, modulo a prime; the tables' sizes are consecutive primes from `rows` on.
    """

    title = "N-grams in the streams"
    line = "looks up the last few tokens in hashed tables"
    called = "ngrams"
    role: ClassVar[str] = "embedding"

    kind: Literal["ngram_streams"]
    streams: Streams = 4
    width: Width = Field(description="Channels of all vectors found for a token together", examples=[2560])
    longest: Annotated[int, Field(ge=2, le=8)] = Field(3, description="Tokens of the longest n-gram; also the dilation of the convolution")
    tables: Annotated[int, Field(ge=1, le=16)] = Field(8, description="Tables for each n-gram length")
    rows: Annotated[int, Field(ge=2, le=2**31)] = Field(20_000_000, description="Least rows; table sizes are the primes from here on")
    multiple: Annotated[int, Field(ge=1, le=65_536)] = Field(
        128, description="All tables are stored as one, padded to a multiple of this many rows"
    )
    place: Annotated[int, Field(ge=0, le=15)] = Field(0, description="Number of such parts before this one; sets its primes and constants")
    seed: Annotated[int, Field(ge=0, lt=2**63)] = Field(1234, description="Random seed of the hash constants")
    end: Annotated[int, Field(ge=0, lt=16_777_216)] = Field(description="End-of-text token; no n-gram reaches past it", examples=[2])
    kernel: Kernel = Field(4, description="Kernel size: tokens that the convolution reads, the current one included")
    norm_eps: Eps = Field(1e-6, description="Epsilon of the norms on each stream")
    vocab_size: Annotated[Inherited[Vocabulary], Field(description="Vocabulary size that bounds the constants; the model's if empty")] = (
        OF_MODEL
    )

    @model_validator(mode="after")
    def _consistent(self):
        if self.width % self.count:
            raise ValueError(f"width: {self.count} tables share it; give a multiple of {self.count}")
        if self.vocab_size and self.end >= self.vocab_size:
            raise ValueError(f"end: give a token below {self.vocab_size:,}")
        return self

    @property
    def count(self) -> int:
        return self.tables * (self.longest - 1)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Rows of each table."""
        return primes(self.rows, self.count * (self.place + 1))[-self.count :]

    @property
    def stored_rows(self) -> int:
        return math.ceil(sum(self.sizes) / self.multiple) * self.multiple

    @property
    def constants(self) -> tuple[int, ...]:
        """The factors of the current token and each one before it: odd, and small enough that each product fits in 64 bits."""
        most = max(1, (2**63 - 1) // self.vocab_size // 2)
        first = self.seed + 10_007 * self.place
        return tuple(2 * (splitmix(first + back * GOLDEN) % most) + 1 for back in range(1, self.longest + 1))

    @property
    def span(self) -> int:
        """How many earlier tokens the convolution keeps."""
        return (self.kernel - 1) * self.longest

    @property
    def reach(self) -> int:
        return self.span + self.longest

    def of_stream(self, d_model: int) -> Shape:
        return self.streams, d_model

    def build(self, d_model: int) -> nn.Module:
        return NGramStreamsModule(self, d_model)

    def reads(self, d_model: int) -> tuple[Read, ...]:
        return (Read("tokens", "tokens"),)

    def state(self, d_model: int) -> dict[str, Shape]:
        return {"inputs": (self.span, self.streams * d_model)}

    def flops(self, d_model: int, new: int, past: int) -> Flops:
        wide = self.streams * d_model
        return Flops(value=2 * new * self.width * d_model, key=2 * new * self.width * wide, convolve=2 * new * self.kernel * wide)

    def shrink(self, scale: float) -> Self:
        end = self.end if self.end < SMALL else 0
        small = {"width": scaled(self.width, scale, self.count, self.count), "rows": min(self.rows, SMALL)}
        return self.model_copy(update=small | {"end": end, "vocab_size": None})

    def facts(self) -> Iterator[str]:
        yield f"n-grams of 2 to {self.longest} tokens" if self.longest > 2 else "pairs of tokens"
        yield f"{self.stored_rows:,} rows"

    def explain(self, d_model: int) -> str:
        return (
            f"The n-grams of the last 2 to {self.longest} tokens are looked up by their hash, each in {self.tables} tables of about "
            f"{self.rows:,} rows. A token reads {self.count} of {self.stored_rows:,} rows, so the rest can stay in slow memory. "
            f"The result is added to each of the {self.streams} streams through a gate, the match of stream and key, and once more after a "
            f"convolution that keeps {self.span} tokens."
        )

    def checklist(self, d_model: int) -> Iterator[str]:
        yield f"An n-gram that begins before its text is padded with the token {self.end}, also at the start of a prompt."
        yield "The tables' sizes are consecutive primes, and they are stored one after another in one table, by length, then by number."
        yield f"A gate is the sigmoid of the signed root of (key · stream) / √{d_model:,}, both normalised, with |·| at least 1e-6."
        yield f"The convolution's {self.kernel} tokens are {self.longest} apart; a SiLU follows, then the input is added."
        yield "The norms are on each stream separately, and their weights are stored minus one."


class NGramStreamsModule(nn.Module):
    def __init__(self, part: NGramStreams, d_model: int):
        super().__init__()
        self.shape = wide = part.of_stream(d_model)
        self.table = HashedRuns(part)
        self.key, self.value = Linear(part.width, math.prod(wide)), Linear(part.width, d_model)
        self.key_norm, self.stream_norm = StreamNorm(wide, part.norm_eps), StreamNorm(wide, part.norm_eps)
        self.gate = StreamGate()
        self.gated_norm = StreamNorm(wide, part.norm_eps)
        self.state = State(part.span, math.prod(wide))
        self.convolve = CausalConvolution(math.prod(wide), part.kernel, activation="silu", dilation=part.longest)

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:  # (B, T, n, d_model), (B, T)
        found = self.table(tokens)  # (B, T, width)
        keys = self.key_norm(self.key(found).unflatten(-1, self.shape))  # (B, T, n, d_model)
        x = self.gate(self.stream_norm(x), keys, self.value(found))  # (B, T, n, d_model)
        inputs = self.gated_norm(x).flatten(2)  # (B, T, n * d_model)
        mixed, last = self.convolve(inputs, self.state.before(inputs))
        self.state(last)
        return x + mixed.unflatten(-1, self.shape)


class HashedRuns(Box):
    """The rows of all tables for the n-grams that end at each token."""

    box = "embedding"
    label = "N-gram tables"
    unread = "in rows that are not read"

    def __init__(self, part: NGramStreams):
        super().__init__()
        self.part, self.constants, self.sizes = part, part.constants, part.sizes
        self.offsets = (0, *accumulate(part.sizes[:-1]))
        self.rows = Embedding(part.stored_rows, part.width // part.count)
        self.idle = (part.stored_rows - part.count) * (part.width // part.count)
        self.explain = f"{part.count} tables, one after another. Looking an n-gram up costs no FLOPs."
        self.recent = Recent(part.longest)

    def read_share(self, tensor: str) -> Fraction | None:
        return Fraction(self.part.count, self.part.stored_rows)

    def forward(self, tokens: Tensor) -> Tensor:  # (B, T) -> (B, T, width)
        part = self.part
        run = earlier(self.recent(tokens), part.longest, tokens.shape[1], part.end, part.end)  # (B, T) each
        hashed, hashes = run[0] * self.constants[0], []
        for token, constant in zip(run[1:], self.constants[1:], strict=True):
            hashed = hashed ^ (token * constant)
            hashes.append(hashed)
        hashed = torch.stack(hashes, dim=-1).repeat_interleave(part.tables, dim=-1)  # (B, T, tables)
        sizes = torch.tensor(self.sizes, device=tokens.device)
        offsets = torch.tensor(self.offsets, device=tokens.device)
        return self.rows(hashed % sizes + offsets).flatten(-2)

    def outline(self, tokens: Tensor) -> Tensor:
        return self.rows.weight.new_empty(*tokens.shape, self.part.width)


class StreamNorm(Box):
    """RMSNorm on each stream, with a weight for each channel of each stream, stored minus one."""

    box = "norm"
    keeps_shape = True
    label = "RMSNorm of each stream"

    def __init__(self, shape: Shape, eps: float):
        super().__init__()
        self.eps, self.weight = eps, nn.Parameter(torch.zeros(shape))
        self.explain = f"Divides each stream by its own root mean square; each has its own {shape[-1]:,} weights."

    def forward(self, x: Tensor) -> Tensor:  # (B, T, n, d_model)
        normed = F.rms_norm(x.float(), x.shape[-1:], None, self.eps)
        return (normed * (1 + self.weight.float())).to(x.dtype)


class StreamGate(Box):
    """sigmoid(sign(s) sqrt|s|) v with s = q · k / sqrt(d_model), for each stream."""

    box = "gate"
    keeps_shape = True
    label = "Gate each stream"
    explain = "The value for each stream, times a sigmoid of the match between the stream and its key."

    def forward(self, queries: Tensor, keys: Tensor, value: Tensor) -> Tensor:
        """(B, T, n, d_model) twice, (B, T, d_model) -> (B, T, n, d_model)."""
        score = (queries * keys).sum(dim=-1, keepdim=True) / math.sqrt(value.shape[-1])  # (B, T, n, 1)
        score = score.abs().clamp_min(1e-6).sqrt() * score.sign()
        return score.sigmoid() * value.unsqueeze(2)


GOLDEN = 0x9E3779B97F4A7C15  # 2^64 over the golden ratio


def splitmix(value: int) -> int:
    """One step of SplitMix64 (Steele, Lea and Flood 2014)."""
    value = (value + GOLDEN) % 2**64
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    value = (value ^ value >> 27) * 0x94D049BB133111EB % 2**64
    return value ^ value >> 31


@lru_cache(maxsize=64)
def primes(first: int, count: int) -> tuple[int, ...]:
    """The next `count` prime numbers from `first` on, up to a little above 2^31, where gaps between primes are below 320."""
    span = 320 * count
    prime = bytearray(b"\1") * span
    for n in range(2, math.isqrt(first + span) + 1):
        start = max(n * n, -(-first // n) * n) - first
        prime[start::n] = bytes(len(range(start, span, n)))
    return tuple(islice((first + n for n in range(span) if prime[n]), count))
