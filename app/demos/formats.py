"""Narrow formats on a matrix of weights: the values that one block can hold, and the error of rounding to them."""

from functools import cache

import torch
from torch import Tensor

from core.precision import FORMATS, FormatName
from core.rounding import rounded
from core.words import percent

from . import Control, Demo
from ._draw import WIDTH, line, panel, rect, side, svg, text

NAMED: dict[str, FormatName] = {"bf16": "bf16", "fp8": "fp8_block", "int8": "q8_0", "int4": "int4", "mxfp4": "mxfp4"}
OUTLIERS = {"none": 0, "1 in 1,000": 1_000, "1 in 100": 100}
SHAPE, SPREAD, LARGER = (128, 512), 0.02, 10
FEW = 300  # values that can be drawn


@cache
def matrix(every: int) -> tuple[Tensor, Tensor]:
    """Normal weights of which one in `every` is so many times larger, and which those are."""
    generator = torch.Generator().manual_seed(0)
    values = SPREAD * torch.randn(SHAPE, generator=generator)
    places = torch.rand(SHAPE, generator=generator) < (1 / every if every else 0)
    return torch.where(places, LARGER * values, values), places


@cache
def error(name: str, every: int) -> float:
    """The root mean square of what rounding does to the usual values, as a share of their own."""
    values, places = matrix(every)
    lost = (rounded(values, NAMED[name]) - values)[~places]
    return float(lost.square().mean().sqrt() / values[~places].square().mean().sqrt())


def bits(name: str) -> float:
    """Bits of a value, with its share of the scales."""
    return 8 * FORMATS[NAMED[name]].bytes(SHAPE) / (SHAPE[0] * SHAPE[1])


def levels(name: str, largest: float) -> list[float]:
    """The values that a block can hold whose largest one is this: fine ramps are rounded, beside that value in every block."""
    small = largest * torch.logspace(-7, 0, 4_096)
    ramp = torch.cat((torch.linspace(-largest, largest, 8_192), small, -small)).view(128, 128)
    ramp[:, ::32] = largest
    return rounded(ramp, NAMED[name]).unique().tolist()


def block(name: str, every: int) -> Tensor:
    """The values that share a scale with the first outlier of usual size, or with the first value."""
    values, places = matrix(every)
    row, column = divmod(int((places & (values.abs() > LARGER * SPREAD)).int().argmax()), SHAPE[1])
    sides = FORMATS[NAMED[name]].block
    high, wide = (1, *sides)[-2:] if sides else (1, 1)
    return values[row // high * high :, column // wide * wide :][:high, :wide]


def draw(format: str, outliers: str) -> tuple[str, str]:
    every = OUTLIERS[outliers]
    scales = " with its scales" if FORMATS[NAMED[format]].block else ""
    said = f"In {format} a value takes {bits(format):.3g} bits{scales}. Rounding moves normally distributed weights by "
    said += f"{percent(error(format, 0))} of their size (root mean square)"
    if every:
        said += f", and by {percent(error(format, every))} where one in {every:,} beside them is {LARGER} times larger"
    drawn = side(_histogram(format, every), _errors(format, every), least=250)
    return f"{said}.", drawn


def _histogram(name: str, every: int) -> str:
    """How often values occur, and below them what the first block can hold."""
    values, _ = matrix(every)
    own = block(name, every).flatten()
    largest = float(own[own.abs().argmax()])
    edge = 4 * SPREAD
    counts = torch.histc(values, 60, -edge, edge)
    high, step = 110, WIDTH / 60
    drawn = [
        rect(n * step + 0.5, 4 + high * (1 - share), step - 1, high * share, "var(--attention-near)", round_=1)
        for n, share in enumerate((counts / counts.max()).tolist())
    ]
    drawn.append(line(0, 4.5 + high, WIDTH, 4.5 + high, "line"))
    held = levels(name, largest)
    if len(held) > FEW:
        drawn.append(rect(0, high + 10, WIDTH, 16, "var(--accent)", round_=1))
    for value in held if len(held) <= FEW else []:
        if abs(value) <= edge:
            x = WIDTH * (value + edge) / (2 * edge)
            drawn.append(line(x, high + 10, x, high + 26, "accent", "stroke-width:1.2"))
    for value in (-edge, 0, edge):
        x = WIDTH * (value + edge) / (2 * edge)
        anchor = "start" if value < 0 else "end" if value else "middle"
        drawn.append(text(x, high + 42, f"{value:g}".replace("-", "−"), "fill:var(--soft);", anchor))
    beside = " with an outlier" if every and len(held) <= FEW else ""
    note = f"A block{beside} can hold {len(held)} values" if len(held) <= FEW else "Every value has a scale of its own, its exponent"
    return panel("Values, and what a block can hold", svg(high + 46, drawn, "Histogram of values"), note)


def _errors(chosen: str, every: int) -> str:
    """The error of each format."""
    most = max(error(name, every) for name in NAMED)
    drawn, left, wide = [], 92, WIDTH - 92 - 52
    for n, name in enumerate(NAMED):
        y, own = 27 * n + 4, "accent" if name == chosen else "attention-near"
        drawn += [text(0, y + 13, name, "font-weight:600;"), text(left - 8, y + 13, f"{bits(name):.3g} bits", "fill:var(--soft);", "end")]
        drawn.append(rect(left, y, max(1.5, wide * error(name, every) / most), 18, f"var(--{own})"))
        drawn.append(text(left + wide * error(name, every) / most + 6, y + 13, percent(error(name, every))))
    return panel("Error of the usual values", svg(27 * len(NAMED) + 4, drawn, "Error by format"))


DEMO = Demo(
    "What a narrow format does to weights",
    (Control("format", "Format", tuple(NAMED), "mxfp4"), Control("outliers", "Outliers", tuple(OUTLIERS), "none")),
    draw,
)
