"""Rotary embedding and its extensions: how fast each pair of channels turns, and what a score is worth over the distance."""

import math
from typing import Any

import torch

from core.library import preset
from core.parts.position import Dynamic, Interpolation, Llama3, LongRope, Rope, Rotary, Scaling, Yarn
from core.saying import joined
from core.words import tokens

from . import Control, Demo
from ._draw import Axis, Curve, panel, plot, side, svg

MODEL = "phi-3-mini"  # whose longer version has the list below
CONTEXTS = {tokens(n): n for n in (2_048, 4_096, 8_192)}
# Divisors that a search found for Phi-3-mini: long_factor in config.json of microsoft/Phi-3-mini-128k-instruct, rounded.
FOUND = (
    1.03, 1.05, 1.05, 1.08, 1.23, 1.23, 1.3, 1.45, 1.6, 1.65, 1.9, 2.86, 3.69, 5.42, 5.49, 5.49, 9.09, 11.58, 15.66, 15.77, 15.79, 18.36,
    21.99, 23.08, 30.01, 32.35, 32.59, 35.56, 39.95, 53.84, 56.2, 57.95, 59.29, 59.77, 59.92, 61.19, 61.96, 62.5, 63.37, 63.48, 63.48,
    63.66, 63.85, 64.08, 64.76, 64.8, 64.81, 64.81,
)  # fmt: skip
SLACK = 1.001  # an angle that is larger by less is the same
DIALS = 8
NEAR = 12  # distances in a point of a curve, which smooth it
FOUND_FOR = "Phi-3-mini, from 4K to 128K"


def scaling(extension: str, factor: float, context: int) -> Scaling | None:
    """The part's own extension of this name."""
    match extension:
        case "linear":
            return Interpolation(factor=factor)
        case "NTK":
            return Dynamic(factor=1, original_context=context)  # the base grows as the text does
        case "YaRN":
            return Yarn(factor=factor, original_context=context)
        case "Llama 3":
            return Llama3(factor=factor, original_context=context)
        case "LongRoPE":  # only texts past the trained context are shown, which read the second list
            return LongRope(factor=factor, original_context=context, short_factor=FOUND, long_factor=FOUND)
    return None


def turned(rope: Rope, dim: int, distances: torch.Tensor) -> torch.Tensor:
    """The score of a query and an equal key at each distance, as a share of that at distance 0 without an extension: all pairs of channels
    are as long as each other, as they are in the mean."""
    ones = torch.ones(1, len(distances), 1, dim)
    keys = Rotary(rope, dim)(ones, distances)[0, :, 0]
    first = torch.tensor((0, int(distances[-1])))
    query = Rotary(rope, dim)(ones[:, :2], first)[0, 0, 0]  # at the first place of an equally long text
    return keys @ query / dim


def draw(extension: str, factor: int, context: str) -> tuple[str, str]:
    before, after = CONTEXTS[context], CONTEXTS[context] * factor
    model: Any = preset(MODEL)
    dim, base = model.parts["attention"].head_dim, model.position.base
    plain, rope = (Rope(base=base, scaling=one) for one in (None, scaling(extension, factor, before)))
    slow, fast = (one.frequencies(dim, torch.tensor(after)) for one in (rope, plain))
    less = int((before * fast < 2 * math.pi).sum())
    # A pair that turned less than once in training meets angles that it has not seen; one that turned more often has seen all.
    unseen = int(((before * fast < 2 * math.pi) & (after * slow > before * fast * SLACK)).sum())
    said = f"Of {dim // 2} pairs of channels, {less} turn less than once within {before:,} tokens. "
    said += _effect(extension, factor, (fast / slow).tolist())
    new = "no pair" if not unseen else "one pair" if unseen == 1 else f"{unseen} pairs"
    said += f" At {after:,} tokens {new} {'reach' if unseen > 1 else 'reaches'} angles that training never showed."
    lengths = before, after, extension
    return said, side(_waves(fast, slow, *lengths), _decay(plain, rope, dim, *lengths), least=250) + _dials(fast * before, slow * after)


def _effect(extension: str, factor: int, slower: list[float]) -> str:
    same, whole = sum(one < 1.001 for one in slower), sum(abs(one - factor) < 0.001 * factor for one in slower)
    if extension == "none":
        return "Without an extension all turn as in training."
    if extension == "LongRoPE":
        return f"LongRoPE divides by a list that a search found for {FOUND_FOR}: from {min(slower):.2f} to {max(slower):.1f} times slower."
    if extension == "NTK":
        return f"NTK raises the base: the slowest pair turns {max(slower):.1f} times slower, the fastest as before."
    rest = len(slower) - same - whole
    parts = [f"{whole} pairs {factor} times slower"] + [f"{rest} in part"] * bool(rest) + [f"leaves {same} as they are"] * bool(same)
    return f"{extension if extension != 'linear' else 'Linear interpolation'} makes {joined(parts)}."


def _waves(fast: torch.Tensor, slow: torch.Tensor, before: int, after: int, extension: str) -> str:
    """Tokens for one turn, for each pair."""

    def points(frequencies: torch.Tensor) -> list[tuple[float, float]]:
        return [(pair, 2 * math.pi / frequency) for pair, frequency in enumerate(frequencies.tolist())]

    curves = [Curve(points(fast), "RoPE", "soft", dashed=True)]
    if extension != "none":
        curves.append(Curve(points(slow), extension))
    most = max(value for curve in curves for _, value in curve.points)
    y = Axis(5, 1.3 * most, [(10**n, f"{10**n:,}") for n in range(1, 7) if 10**n <= most], "tokens for one turn", True)
    last = len(fast) - 1
    levels = [(before, "trained"), (after, f"{after // before} × longer")]
    x = Axis(0, last, [(0, "0"), (last // 2, f"{last // 2}"), (last, f"{last}")], "pair of channels, the fastest first")
    drawn = plot(curves, x, y, "Wavelengths by pair of channels", 210, left=62, levels=levels)
    return panel("How far a pair must go to turn once", drawn)


def _decay(plain: Rope, rope: Rope, dim: int, before: int, after: int, extension: str) -> str:
    """The score of equal queries and keys over the distance, each point the mean of some distances about as long."""
    far = torch.logspace(0, math.log10(after - 1), NEAR * 100).round().long()
    near = far.view(-1, NEAR).float().mean(dim=1).tolist()

    def points(one: Rope) -> list[tuple[float, float]]:
        return [*zip(near, turned(one, dim, far).view(-1, NEAR).mean(dim=1).tolist())]

    curves = [Curve(points(plain), "RoPE", "soft", dashed=True, wide=1.4)]
    if extension != "none":
        curves.append(Curve(points(rope), extension))
    top = max(1.0, *(value for curve in curves for _, value in curve.points))
    low = min(-0.2, *(value for curve in curves for _, value in curve.points))
    x = Axis(
        1, after, [(10**n, f"{10**n}" if n < 3 else f"{10 ** (n - 3)}K") for n in range(6) if 10**n < after / 2], "distance in tokens", True
    )
    y = Axis(low, top, [(0, "0"), (0.5, "0.5"), (1, "1")], "mean score of equal query and key")
    return panel(
        "What a score is worth over the distance", plot(curves, x, y, "Mean score over distance", 210, left=34, marks=[(before, "trained")])
    )


def _dials(trained: torch.Tensor, reached: torch.Tensor) -> str:
    """How far some pairs turn: what training showed as a sector, what the longer text reaches as an arc."""
    drawn = []
    for pair in sorted({round(n * (len(trained) - 1) / (DIALS - 1)) for n in range(DIALS)}):
        seen, turned = float(trained[pair]), float(reached[pair])
        arcs = [_arc(22, min(seen, 2 * math.pi), "fill:var(--attention-tint);stroke:var(--attention-line)", closed=True)]
        arcs.append(_arc(27, min(turned, 2 * math.pi), "fill:none;stroke-width:4;stroke:var(--attention)"))
        if seen < 2 * math.pi and turned > seen * SLACK:
            arcs.append(_arc(27, min(turned, 2 * math.pi), "fill:none;stroke-width:4;stroke:var(--accent)", begin=seen))
        picture = svg(60, ['<circle cx="30" cy="30" r="22" style="fill:none;stroke:var(--hair)"/>', *arcs], f"Pair {pair}", 60, 62)
        said = f"{turned / 2 / math.pi:,.0f}" if turned >= 4 * math.pi else f"{turned / 2 / math.pi:.2f}"
        drawn.append(f'<div class="dial">{picture}<b>pair {pair}</b> <span class="soft">{said}</span></div>')
    words = "Turns of some pairs over the longer text; the sector is what training showed, red what it did not"
    return f'<div class="dials"><h4>{words}</h4>{"".join(drawn)}</div>'


def _arc(radius: float, angle: float, look: str, begin: float = 0.0, closed: bool = False) -> str:
    """From the right, against the clock, as angles are drawn."""
    if angle - begin >= 2 * math.pi - 1e-3:
        return f'<circle cx="30" cy="30" r="{radius:g}" style="{look}"/>'
    (x1, y1), (x2, y2) = ((30 + radius * math.cos(at), 30 - radius * math.sin(at)) for at in (begin, angle))
    arc = f"M{x1:.1f} {y1:.1f}A{radius:g} {radius:g} 0 {int(angle - begin > math.pi)} 0 {x2:.1f} {y2:.1f}"
    return f'<path d="{arc}{"L30 30z" if closed else ""}" style="{look}"/>'


DEMO = Demo(
    "Rotary embedding and its extensions",
    (
        Control("extension", "Extension", ("none", "linear", "NTK", "YaRN", "Llama 3", "LongRoPE"), "YaRN"),
        Control("factor", "Times longer", (4, 8, 32), 4),
        Control("context", "Trained context", tuple(CONTEXTS), "4K"),
    ),
    draw,
)
