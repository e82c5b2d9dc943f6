"""A ribbon of all layers as HTML, for the strip and for the previews of its drawers."""

import re
from collections.abc import Iterable, Sequence
from html import escape

import core
from core import edits
from core.blocks import block_names
from core.edits import Place

from ..picture.ribbon import Cell, cells

TICKS = 8  # numbers below the ribbon


def ribbon(arch: core.Architecture, place: Place | None = None) -> str:
    """Every layer as a narrow column in its parts' colours, the first part at the bottom."""
    names, depth = block_names(arch), arch.depth
    paints = {block: _paint(parts) for block, parts in zip(arch.sequence, cells(arch), strict=True)}
    marked = set(edits.layers_of(arch, place)) if place is not None else set()
    columns = "".join(
        f'<i data-do="select" data-node="{names[block]}" title="layer {n}" style="background:{paints[block]}"'
        f"{' class=on' * (n in marked)}></i>"
        for n, block in enumerate(arch.sequence)
    )
    step = next(step for step in (1, 2, 4, 5, 8, 10, 16, 20, 25, 32, 50, 64, 100, 128, 200, 256) if depth / step <= TICKS)
    numbers = [n for n in range(0, depth - 1, step) if depth - 1 - n > step / 2] + [depth - 1]
    ticks = "".join(f'<span style="left:{100 * (n + 0.5) / depth:.2f}%">{n}</span>' for n in numbers)
    label = escape(f"{depth:,} layers: {arch.pattern}"[:600])
    gap = 2 if depth <= 100 else 1 if depth <= 260 else 0
    return (
        f'<div class="ribbon" role="img" aria-label="{label}" style="gap:{gap}px">{columns}</div>'
        f'<div class="ticks" aria-hidden="true">{ticks}</div>'
    )


def _paint(parts: Sequence[Cell]) -> str:
    """A background with a band for each part, pale where it keeps nothing of its own."""
    each, stops = 100 / len(parts), []
    for n, part in enumerate(parts):
        low, high = n * each, (n + 1) * each - (5 if n + 1 < len(parts) else 0)
        full = f"var(--{part.tone.colour})"
        pale = f"color-mix(in srgb,{full} 25%,transparent)"
        fill, middle = pale if part.hollow else full, (low + high) / 2
        dash = f"{fill} {middle - 4:.0f}%,{full if part.hollow else pale} {middle - 4:.0f}% {middle + 4:.0f}%,{fill} {middle + 4:.0f}%,"
        stops.append(f"{fill} {low:.0f}%,{dash * part.tone.dashed}{fill} {high:.0f}%,transparent {high:.0f}% {(n + 1) * each:.0f}%")
    return f"linear-gradient(to top,{','.join(stops)})"


def part_of(arch: core.Architecture, selected: str, parts: Iterable[str]) -> str:
    """The part of a selected node, if it is one of these."""
    word = selected.split(".")[2] if selected.count(".") > 1 else ""
    word = word if word in arch.parts else re.sub(r"_\d+$", "", word)
    return word if word in parts else ""
