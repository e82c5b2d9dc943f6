"""The picture of an architecture, drawn only from its graph: one column for the model, and insets that show the inside of its parts.

Each box is a module, each arrow is a tensor. The wide layout has the insets beside the column,
the narrow one has them below it.
"""

from collections import Counter
from collections.abc import Mapping
from html import escape

import networkx as nx

from core.roles import MIXERS, ROLES
from core.words import figure

from . import column
from .column import Column
from .inset import Inset
from .pen import STYLE, Pen, fit, text_width, wrap
from .ribbon import ribbon

MARGIN, GAP = 20, 64
INSET = 560  # width of an inset in the wide layout
NARROW = 400
MOST_OPENED = 10  # insets beside a tall column
RIBBONS = 260  # height of both ribbons, one above the other


def diagram(
    graph: nx.DiGraph,
    parameters: Mapping[str, int],
    subtitle: str = "",
    selected: str = "",
    chosen: Mapping[str, tuple[int, ...]] | None = None,
    wide: bool = True,
) -> str:
    """SVG of an architecture's graph.

    `parameters` are those of each role; `selected` is the node to mark; `chosen` has, by the name of an expert part, the
    experts of one live token.
    """
    pen = Pen(selected)
    width = MARGIN + column.WIDTH + GAP + INSET + MARGIN if wide else NARROW
    pen.text(MARGIN, 38, fit(graph.nodes["model"]["label"], width - 2 * MARGIN - 60, 26), "t")
    lines = wrap(subtitle, width - 2 * MARGIN, 13)
    for i, line in enumerate(lines):
        pen.text(MARGIN, 62 + 18 * i, line, "s")
    top = 62 + 18 * len(lines) + 8
    model = Column(graph, pen, MARGIN if wide else (NARROW - column.WIDTH) / 2)
    bottom = model.draw(top)
    x, y, w = (MARGIN + column.WIDTH + GAP, top, INSET) if wide else (12, bottom + 22, NARROW - 24)

    def ribbons(x: float, y: float, width: float) -> float:
        return shares(parameters, pen, x, layers(graph, pen, x, y, width) + 26, width)

    insets = opened(graph, selected, model.anchors, chosen or {}, w, bottom - top if wide else 0)
    for inset in insets:
        y = inset.draw(pen, x, y) + 20
    if wide:
        callouts(pen, model, insets, x)
    if not wide:
        height = ribbons(x, y + 6, w)
    elif bottom + RIBBONS < y:  # they are below a column that is shorter than its insets
        height = max(ribbons(MARGIN, bottom + 24, column.WIDTH), y - 20)
    else:
        y, half = max(bottom, y - 20) + 24, (width - 2 * MARGIN - GAP / 2) / 2
        height = max(layers(graph, pen, MARGIN, y, half), shares(parameters, pen, width - MARGIN - half, y, half))
    height += MARGIN
    words = escape(f"Architecture of {graph.nodes['model']['label']}. {subtitle}")
    return (
        f'<svg class="strata" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:.0f}" width="{width}" height="{height:.0f}" '
        f'role="group" aria-label="{words}"><style>{STYLE}</style>{"".join(pen.out)}</svg>'
    )


def opened(
    graph: nx.DiGraph,
    selected: str,
    anchors: Mapping[str, tuple[float, float]],
    chosen: Mapping[str, tuple[int, ...]],
    width: float,
    room: float,
) -> list[Inset]:
    """The parts with an inset, in the column's order: two mixers and one other part, of different kinds,
    then as many others as fit in `room` beside a tall column. Of each kind, the selected part comes first, otherwise the one with the
    most boxes."""
    parts = [(node, data) for node, data in graph.nodes(data=True) if "role" in data and data["part"] in anchors]
    boxes: Counter[str] = Counter()
    for node in graph:
        while node is not None:
            boxes[node] += 1
            node = graph.nodes[node]["parent"]
    parts.sort(key=lambda part: (not within(selected, part[0]), part[1]["role"] != "experts", -boxes[part[0]], -part[1]["repeat"]))
    found: dict[str, str] = {}
    for node, data in parts:
        found.setdefault(data["kind"], node)
    mixers = [node for node in found.values() if graph.nodes[node]["role"] in MIXERS][:2]
    others = [node for node in found.values() if graph.nodes[node]["role"] not in MIXERS][:1]
    usual, names = [*mixers, *others], {graph.nodes[node]["part"]: node for node, _ in reversed(parts)}
    kinds = {graph.nodes[node]["kind"] for node in usual}
    others = [*reversed(names.values())]
    others.sort(key=lambda node: graph.nodes[node]["kind"] in kinds)
    insets: list[Inset] = []
    for node in [*usual, *others]:
        part = graph.nodes[node]["part"]
        if part in (inset.data["part"] for inset in insets):
            continue
        if node not in usual and (len(insets) == MOST_OPENED or sum(i.height + 20 for i in insets) > room):
            break
        inset = Inset(graph, node, width, chosen.get(part, ()))
        if node in usual or sum(i.height + 20 for i in [*insets, inset]) <= room:
            insets.append(inset)
    return sorted(insets, key=lambda inset: anchors[inset.data["part"]][1])


def within(node: str, parent: str) -> bool:
    return node == parent or node.startswith(f"{parent}.")


def callouts(pen: Pen, model: Column, insets: list[Inset], right: float) -> None:
    """A dotted line from each opened part to its inset; both are in the same order, so no lines cross."""
    for inset in insets:
        x, y = model.anchors[inset.data["part"]]
        low, high = inset.span
        target = min(max(y, low), high)
        edge = model.x + column.WIDTH
        path = f"M{x:.1f} {y:.1f}H{edge:.1f}C{edge + 34:.1f} {y:.1f} {right - 34:.1f} {target:.1f} {right:.1f} {target:.1f}"
        pen.out.append(f'<path class="call" d="{path}"/>')


def layers(graph: nx.DiGraph, pen: Pen, x: float, y: float, width: float) -> float:
    """Every layer as a column of the ribbon, and the pattern in words; returns the lower edge."""
    names = graph.graph["layers"]
    kinds = {block: [(part["role"], part["reach"] is not None) for part in column.parts(graph, block)] for block in dict.fromkeys(names)}
    pen.text(x, y + 12, "Layers", "b")
    count = f"{len(names)} layer{'s' if len(names) > 1 else ''}, {len(kinds)} kind{'s' if len(kinds) > 1 else ''} of block"
    pen.text(x + width, y + 12, count, "l e")
    tips = [f"layer {i}: {graph.nodes[name]['label']}" for i, name in enumerate(names)]
    ribbon(pen, [kinds[name] for name in names], x, y + 22, width, 30, tips, names)
    first, *rest = wrap(graph.graph["pattern"], width, 12)
    lines = [fit(line, width, 12) for line in (first, " ".join(rest)) if line]
    for i, line in enumerate(lines):
        pen.text(x, y + 68 + 16 * i, line, "l")
    return y + 52 + 16 * len(lines)


def shares(parameters: Mapping[str, int], pen: Pen, x: float, y: float, width: float) -> float:
    """One bar with the share of parameters of each role, largest first; returns the lower edge."""
    totals = dict(sorted(parameters.items(), key=lambda item: -item[1]))
    whole = sum(totals.values()) or 1
    pen.text(x, y + 12, "Where the parameters are", "b")
    at = x
    for role, value in totals.items():
        w = width * value / whole
        pen.bar(at, y + 22, max(w - 1, 0.4), 20, role, f"{ROLES[role]} {value:,}")
        at += w
    at, line = x, y + 62
    for role, value in totals.items():
        words = f"{ROLES[role]} {figure(value)}"
        need = text_width(words, 12) + 36
        if at + need > x + width + 20 and at > x:
            at, line = x, line + 20
        pen.out.append(f'<circle cx="{at + 5:.1f}" cy="{line - 4}" r="5" style="fill:var(--{role})"/>')
        pen.text(at + 15, line, words, "l")
        at += need
    return line + 8
