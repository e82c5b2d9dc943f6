"""Position encodings: learned or sinusoidal absolute positions, rotary embeddings (RoPE, arXiv:2104.09864) and their extensions."""

import math
from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from .base import Box, Embedding, Length, Positive, Spec


class Interpolation(Spec):
    """Position interpolation (arXiv:2306.15595): every frequency divided by `factor`."""

    word: ClassVar[str] = "scaled"  # beside RoPE in a picture
    also: ClassVar[tuple[str, ...]] = ("position interpolation", "linear scaling")
    kind: Literal["linear"] = "linear"
    factor: Positive = Field(description="Factor by which the context becomes longer", examples=[4])

    def frequencies(self, plain: Tensor, rope: "Rope", dim: int, length: Tensor) -> Tensor:
        return plain / self.factor

    def magnitude(self) -> float:
        """The factor on cosine and sine."""
        return 1.0


class Dynamic(Spec):
    """Dynamic NTK: past the trained context, the base grows with the length of the text, or with the trained context
    doubled until it holds that length (Qwen)."""

    word: ClassVar[str] = "NTK"  # beside RoPE in a picture
    also: ClassVar[tuple[str, ...]] = ("dynamic NTK",)
    kind: Literal["dynamic"] = "dynamic"
    factor: Positive = Field(description="How fast the base grows", examples=[4])
    original_context: Length = Field(description="Context length of pretraining", examples=[4096])
    doubling: bool = Field(False, description="Grows in steps: rounds the length up to the trained context times a power of 2")

    def frequencies(self, plain: Tensor, rope: "Rope", dim: int, length: Tensor) -> Tensor:
        length = length.clamp(min=self.original_context)
        if self.doubling:
            length = self.original_context * 2 ** (length / self.original_context).log2().ceil()
        growth = (self.factor * length / self.original_context - (self.factor - 1)) ** (dim / (dim - 2))
        return (rope.base * growth) ** -(torch.arange(0, dim, 2, device=plain.device) / dim)

    def magnitude(self) -> float:
        return 1.0


def yarn_magnitude(factor: float, weight: float) -> float:
    return 1.0 if factor <= 1 else 0.1 * weight * math.log(factor) + 1.0


class Yarn(Spec):
    """YaRN (arXiv:2309.00071): fast frequencies do not change, slow ones are interpolated, with a ramp in between.

    `mscale` and `mscale_all_dim` are DeepSeek's: the first scales cosine and sine, the second the softmax too.
    """

    word: ClassVar[str] = "YaRN"  # beside RoPE in a picture
    also: ClassVar[tuple[str, ...]] = ("YaRN",)
    kind: Literal["yarn"] = "yarn"
    factor: Positive = Field(description="Factor by which the context becomes longer", examples=[4])
    original_context: Length = Field(description="Context length of pretraining", examples=[4096])
    beta_fast: Positive = Field(32, description="Rotations over the trained context above which a frequency does not change")
    beta_slow: Positive = Field(1, description="Rotations below which a frequency is interpolated")
    mscale: float | None = Field(None, ge=0, le=100, description="Weight of the correction to cosine and sine (DeepSeek)")
    mscale_all_dim: float | None = Field(None, ge=0, le=100, description="Weight of the correction to the softmax scale (DeepSeek)")
    attention_factor: Positive | None = Field(None, description="Factor on cosine and sine; computed if empty")
    truncate: bool = Field(True, description="The ramp begins and ends at whole dimensions")

    def frequencies(self, plain: Tensor, rope: "Rope", dim: int, length: Tensor) -> Tensor:
        def dimension(rotations: float) -> float:
            return dim * math.log(self.original_context / (rotations * 2 * math.pi)) / (2 * math.log(rope.base))

        low, high = dimension(self.beta_fast), dimension(self.beta_slow)
        if self.truncate:
            low, high = math.floor(low), math.ceil(high)
        low, high = max(low, 0), min(high, dim - 1)
        high += 0.001 * (low == high)
        slow = ((torch.arange(dim // 2, device=plain.device) - low) / (high - low)).clamp(0, 1)
        return plain * (1 - slow) + plain / self.factor * slow

    def magnitude(self) -> float:
        if self.attention_factor is not None:
            return self.attention_factor
        if self.mscale and self.mscale_all_dim:
            return yarn_magnitude(self.factor, self.mscale) / yarn_magnitude(self.factor, self.mscale_all_dim)
        return yarn_magnitude(self.factor, 1)


class Llama3(Spec):
    """Llama 3.1's scaling (arXiv:2407.21783): low frequencies are divided, high ones kept, with a smooth ramp in between."""

    word: ClassVar[str] = "scaled"  # beside RoPE in a picture
    also: ClassVar[tuple[str, ...]] = ("llama3 scaling",)
    kind: Literal["llama3"] = "llama3"
    factor: Positive = Field(description="Factor by which the context becomes longer", examples=[4])
    low_freq_factor: Positive = Field(1, description="Frequencies with wavelengths above original_context / this are divided")
    high_freq_factor: Positive = Field(4, description="Frequencies with wavelengths below original_context / this do not change")
    original_context: Length = Field(description="Context length of pretraining", examples=[4096])

    @model_validator(mode="after")
    def _ordered(self):
        if self.high_freq_factor < self.low_freq_factor:
            raise ValueError(f"high_freq_factor: is smaller than low_freq_factor; give at least {self.low_freq_factor:g}")
        return self

    def frequencies(self, plain: Tensor, rope: "Rope", dim: int, length: Tensor) -> Tensor:
        turns = self.original_context * plain / (2 * math.pi)  # rotations over the trained context
        band = max(self.high_freq_factor - self.low_freq_factor, 1e-9)  # empty in Llama 4 Scout: a step, not a ramp
        keep = ((turns - self.low_freq_factor) / band).clamp(0, 1)
        return plain * keep + plain / self.factor * (1 - keep)

    def magnitude(self) -> float:
        return 1.0


class LongRope(Spec):
    """LongRoPE (arXiv:2402.13753): a factor for each frequency, found by search, with one list for short texts and one for long ones."""

    word: ClassVar[str] = "LongRoPE"  # beside RoPE in a picture
    also: ClassVar[tuple[str, ...]] = ("LongRoPE",)
    kind: Literal["longrope"] = "longrope"
    factor: Positive = Field(description="Factor by which the context becomes longer")
    original_context: Annotated[int, Field(ge=2, le=1_000_000_000)] = Field(description="Context length of pretraining")
    short_factor: tuple[Positive, ...] = Field(max_length=4096, description="Divisors of the frequencies up to the trained context")
    long_factor: tuple[Positive, ...] = Field(max_length=4096, description="Divisors of the frequencies past the trained context")
    attention_factor: Positive | None = Field(None, description="Factor on cosine and sine; computed if empty")

    def frequencies(self, plain: Tensor, rope: "Rope", dim: int, length: Tensor) -> Tensor:
        short, long = (torch.tensor(f, device=plain.device) for f in (self.short_factor, self.long_factor))
        return plain / torch.where(length > self.original_context, long, short)

    def magnitude(self) -> float:
        if self.attention_factor is not None:
            return self.attention_factor
        return 1.0 if self.factor <= 1 else math.sqrt(1 + math.log(self.factor) / math.log(self.original_context))


class Proportional(Spec):
    """Proportional RoPE (Gemma 4; arXiv:2410.06205): the fastest frequencies rotate as usual, the slowest do not rotate."""

    word: ClassVar[str] = "scaled"  # beside RoPE in a picture
    also: ClassVar[tuple[str, ...]] = ("Proportional RoPE", "p-RoPE")
    kind: Literal["proportional"] = "proportional"
    fraction: Annotated[float, Field(ge=0, le=1)] = Field(0.25, description="Share of the frequencies that rotate")
    factor: Positive = Field(1.0, description="Divisor of those frequencies")

    def frequencies(self, plain: Tensor, rope: "Rope", dim: int, length: Tensor) -> Tensor:
        turning = torch.arange(dim // 2, device=plain.device) < self.fraction * dim // 2
        return torch.where(turning, plain / self.factor, 0.0)

    def magnitude(self) -> float:
        return 1.0


Scaling = Annotated[Interpolation | Dynamic | Yarn | Llama3 | LongRope | Proportional, Field(discriminator="kind")]


class _Position(Spec):
    """The defaults of a position encoding: it changes neither the heads nor the embedding. `title` and `line` name it and say what it
    does, in a list."""

    title: ClassVar[str]
    line: ClassVar[str]

    def check(self, head_dim: int) -> None:
        """Raise ValueError if a head of this width cannot be rotated."""

    def shrunk(self, head_dim: int, least: int = 16) -> int:
        """The width of a small model's heads instead of `head_dim`: the first of `least` and four times that which can be rotated."""
        for dim in (least, 4 * least):
            try:
                self.check(dim)
            except ValueError:  # too few channels for the fraction, or not those of the lists of factors
                continue
            return dim
        return head_dim

    def rotary(self, head_dim: int) -> nn.Module:
        """The module that rotates queries and keys: (B, T, heads, head_dim), (T,) -> the same."""
        return Unturned()

    def table(self, d_model: int) -> nn.Module | None:
        """The module that gives each position a vector, added to the token embedding."""
        return None

    @property
    def added(self) -> str:
        """A description of that table; empty if there is none."""
        return ""


class Rope(_Position):
    """Rotary embedding: query and key channels are rotated in pairs, by an angle proportional to the position."""

    title: ClassVar[str] = "Rotary, RoPE"
    line: ClassVar[str] = "queries and keys are rotated by their position"
    kind: Literal["rope"] = "rope"
    base: Annotated[float, Field(gt=1, le=1e12)] = Field(10_000.0, description="Ratio of slowest to fastest wavelength")
    fraction: Annotated[float, Field(gt=0, le=1)] = Field(1.0, description="Share of each head's channels that is rotated")
    interleaved: bool = Field(False, description="Pairs are neighbours (x0, x1), not halves (x0, x_d/2)")
    reverse: bool = Field(False, description="Rotates by negative angles (nanochat)")
    scaling: Scaling | None = Field(None, description="Method that extends the trained context")

    def dim(self, head_dim: int) -> int:
        return int(head_dim * self.fraction)

    def turned(self, head_dim: int) -> int:
        """Channels that are rotated; an odd number, possible in GLM-4.5's class, is rounded up to whole pairs."""
        return self.dim(head_dim) + self.dim(head_dim) % 2

    def moving(self, head_dim: int) -> int:
        """Channels whose angle is not always 0."""
        if isinstance(self.scaling, Proportional):
            return 2 * int(self.scaling.fraction * head_dim // 2)
        return self.turned(head_dim)

    def check(self, head_dim: int) -> None:
        """Raise ValueError if a head of this width cannot be rotated in pairs."""
        dim = self.dim(head_dim)
        if dim < 1 or self.turned(head_dim) > head_dim or (dim % 2 and self.scaling):
            raise ValueError(f"rope rotates channels in pairs: {dim} of {head_dim} channels is not an even number")
        if isinstance(self.scaling, Dynamic) and dim < 4:
            raise ValueError(f"dynamic scaling needs at least 4 rotary channels, not {dim}")
        if isinstance(self.scaling, LongRope):
            for name in ("short_factor", "long_factor"):
                given = len(getattr(self.scaling, name))
                if given != dim // 2:
                    raise ValueError(f"{name} has {given} entries; {dim // 2} are needed, one for each pair of channels")

    def frequencies(self, head_dim: int, length: Tensor) -> Tensor:
        """Radians per position, (dim / 2,), for a text of `length` tokens."""
        dim = self.dim(head_dim)
        plain = 1.0 / (self.base ** (torch.arange(0, dim, 2, device=length.device).float() / dim))
        return self.scaling.frequencies(plain, self, dim, length) if self.scaling else plain

    def rotary(self, head_dim: int) -> nn.Module:
        return Rotary(self, head_dim)

    def traits(self) -> Iterator[str]:
        share = self.scaling.fraction if isinstance(self.scaling, Proportional) else self.fraction
        part = {0.25: " ¼", 0.5: " ½", 0.75: " ¾", 1: ""}.get(share, f" {share:.0%}")
        yield f"RoPE{part}" + (f", {self.scaling.word}" if self.scaling and self.scaling.factor != 1 else "")

    def explain(self, head_dim: int) -> str:
        scaling = self.scaling if self.scaling and self.scaling.factor != 1 else None
        stretched = f", stretched {scaling.factor:g} times by {scaling.kind}" if scaling else ""
        return (
            f"Rotates {self.moving(head_dim)} of each head's {head_dim} channels by an angle that grows with the "
            f"position (base {self.base:,.0f}{stretched}), so a score depends on how far apart two tokens are."
        )

    def checklist(self, head_dim: int) -> Iterator[str]:
        pairs = "neighbours (x0, x1)" if self.interleaved else f"halves (x0, x{self.turned(head_dim) // 2})"
        yield f"RoPE rotates {pairs} as pairs, with base {self.base:,.0f}; a checkpoint's rows are in that order."
        if self.reverse:
            yield "It rotates in the other direction: by minus the angle."
        if self.fraction < 1:
            yield f"Only the first {self.turned(head_dim)} of {head_dim} channels are rotated."
        if self.moving(head_dim) < self.turned(head_dim):
            yield (
                f"Of {head_dim // 2} frequencies, only the {self.moving(head_dim) // 2} fastest rotate; the "
                "exponents and the pairs are those of the whole head."
            )
        if self.scaling and self.scaling.magnitude() != 1:
            yield f"{self.scaling.kind} multiplies cosine and sine by {self.scaling.magnitude():.4g}."


class Learned(_Position):
    """Learned absolute positions (GPT-2): a table of one vector per position, added to the token embedding."""

    title: ClassVar[str] = "Learned positions"
    line: ClassVar[str] = "a table with a vector for each position"
    kind: Literal["learned"] = "learned"
    length: Length = Field(description="Positions in the table, which limit the length of a text", examples=[4096])
    offset: int = Field(0, ge=0, le=1024, description="Unused rows before the first position (OPT)")

    @property
    def added(self) -> str:
        return f"One learned vector for each of {self.length + self.offset:,} positions: the model cannot read longer texts."

    def table(self, d_model: int) -> nn.Module:
        return Table(self, d_model)

    def checklist(self, head_dim: int) -> Iterator[str]:
        yield f"Positions 0 to {self.length - 1:,} are rows of a table, added to the token embedding."


class Sinusoidal(_Position):
    """Waves of geometrically spaced lengths, added to the token embedding and not learned (arXiv:1706.03762, section
    3.5): first all sines, then all cosines."""

    title: ClassVar[str] = "Sinusoidal positions"
    line: ClassVar[str] = "waves of the position, not learned"
    kind: Literal["sinusoidal"]
    base: Annotated[float, Field(gt=1, le=1e12)] = Field(10_000.0, description="Ratio of slowest to fastest wavelength")
    inclusive: bool = Field(False, description="The last wave has exactly the slowest wavelength (tensor2tensor)")
    offset: int = Field(0, ge=0, le=1024, description="The first position's number (XGLM: 2)")

    @property
    def added(self) -> str:
        return "Sines and cosines of the position, at wavelengths from a few tokens to many thousands: nothing is learned."

    def table(self, d_model: int) -> nn.Module:
        return Sinusoids(self, d_model)

    def checklist(self, head_dim: int) -> Iterator[str]:
        yield "Sines fill the first half of a position's channels, cosines the second half: they are not interleaved."
        if self.offset:
            yield f"The first position counts as {self.offset}."


class Alibi(_Position):
    """Attention with linear biases (arXiv:2108.12409): a score falls linearly with the distance; each head has its own slope."""

    title: ClassVar[str] = "ALiBi"
    line: ClassVar[str] = "scores fall with the distance"
    kind: Literal["alibi"] = "alibi"
    scaled: bool = Field(False, description="The bias is multiplied by the softmax scale too (Falcon)")

    def traits(self) -> Iterator[str]:
        yield "ALiBi"

    def slopes(self, heads: int, device: torch.device | None = None) -> Tensor:
        """2^(-8 k / n) for k = 1 ... n, (n,); if n is not a power of two, those of the next lower power, then every
        other slope of the next higher power."""
        lower = 2 ** math.floor(math.log2(heads))
        k = torch.arange(1, lower + 1, dtype=torch.float64, device=device)
        if lower < heads:
            k = torch.cat((k, torch.arange(heads - lower, device=device) + 0.5))
        return (2 ** (-8 * k / lower)).float()

    def checklist(self, head_dim: int) -> Iterator[str]:
        yield "A score is lowered by slope × distance: no embedding, no rotation; each head has its own slope."
        if self.scaled:
            yield "The bias is added before the scores are scaled."


class NoPosition(_Position):
    """No positional encoding (NoPE, arXiv:2305.19466): the order is known only from the causal mask."""

    title: ClassVar[str] = "None, NoPE"
    line: ClassVar[str] = "some attention knows the order by its mask alone"
    kind: Literal["none"] = "none"

    def traits(self) -> Iterator[str]:
        yield "NoPE"

    def checklist(self, head_dim: int) -> Iterator[str]:
        yield "Queries and keys carry no position here."


class Table(Embedding):
    """One learned vector per position."""

    label = "Position embedding"

    def __init__(self, position: Learned, d_model: int):
        super().__init__(position.length + position.offset, d_model)
        self.offset, self.explain = position.offset, position.added

    def forward(self, positions: Tensor) -> Tensor:  # (T,) -> (T, d_model)
        return super().forward(positions + self.offset)


class Sinusoids(Box):
    """sin(p f) and cos(p f) for frequencies f from one down to about 1 / base."""

    box = "embedding"
    label = "Position embedding"

    def __init__(self, position: Sinusoidal, d_model: int):
        super().__init__()
        self.position, self.d_model, self.explain = position, d_model, position.added

    def forward(self, positions: Tensor) -> Tensor:  # (T,) -> (T, d_model)
        half = self.d_model // 2
        steps = max(half - self.position.inclusive, 1)
        frequencies = self.position.base ** -(torch.arange(half, device=positions.device).float() / steps)  # (half,)
        angles = (positions + self.position.offset)[:, None].float() * frequencies  # (T, half)
        return F.pad(torch.cat((angles.sin(), angles.cos()), dim=-1), (0, self.d_model % 2))


class Unturned(nn.Module):
    """Queries and keys unchanged, if the position enters in another way or not at all."""

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        return x


class Rotary(Box):
    """Turns each pair (a, b) of channels by an angle that grows with the position: (a cos - b sin, a sin + b cos)."""

    box = "rope"
    keeps_shape = True
    label = "RoPE"

    def __init__(self, rope: Rope, head_dim: int, width: int | None = None):
        """`width`: the channels of its input, if they are more than the `head_dim` that the rotation is for."""
        super().__init__()
        self.rope, self.head_dim, self.explain = rope, head_dim, rope.explain(head_dim)
        self.rest = rope.turned(head_dim) < (width or head_dim)  # whether some channels are not rotated

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:  # (B, T, heads, head_dim), (T,)
        dim = self.rope.turned(self.head_dim)
        magnitude = self.rope.scaling.magnitude() if self.rope.scaling else 1.0
        angles = positions[:, None].float() * self.rope.frequencies(self.head_dim, positions[-1] + 1)  # (T, dim / 2)
        angles = -angles if self.rope.reverse else angles
        cos, sin = (magnitude * f(angles)[:, None, :] for f in (torch.cos, torch.sin))  # (T, 1, dim / 2)
        turned = (x[..., :dim] if self.rest else x).float()
        a, b = (turned[..., 0::2], turned[..., 1::2]) if self.rope.interleaved else turned.chunk(2, dim=-1)
        #: (a, b) → (a cos θ - b sin θ, a sin θ + b cos θ)
        pair = (a * cos - b * sin, a * sin + b * cos)
        turned = torch.stack(pair, dim=-1).flatten(-2) if self.rope.interleaved else torch.cat(pair, dim=-1)
        turned = turned.to(x.dtype)
        return torch.cat((turned, x[..., dim:]), dim=-1) if self.rest else turned


class TurnLast(Rotary):
    """Rotates the last channels of every head.

    `back` undoes it on the output, which is a sum of values that were rotated as keys: the result depends on the distance of a token.
    """

    def __init__(self, rope: Rope, rope_dim: int, back: bool = False):
        super().__init__(rope, rope_dim)
        self.back = back
        self.label = "RoPE, back" if back else "RoPE"
        if back:
            self.explain = "Values were rotated like keys; the output is rotated back by the query's position."

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:  # (B, T, heads, D), (T,)
        still, x = x.split((x.shape[-1] - self.head_dim, self.head_dim), dim=-1)
        return torch.cat((still, super().forward(x, -positions if self.back else positions)), dim=-1)


def check_turned(position: _Position, head_dim: int) -> None:
    """Raise ValueError if this position encoding does not rotate queries and keys, or cannot rotate them."""
    if isinstance(position, Alibi):
        raise ValueError("position: this attention cannot add a bias to scores; give rope or none")
    position.check(head_dim)


Position = Annotated[Rope | Learned | Sinusoidal | Alibi | NoPosition, Field(discriminator="kind")]
