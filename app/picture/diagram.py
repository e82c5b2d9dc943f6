"""The picture of an architecture, drawn only from its graph: one column for the model, and insets that show the inside of its parts.

Each box is a module, each arrow is a tensor. The wide layout has the insets beside the column,
the narrow one has them below it.
"""

from collections import Counter
from collections.abc import Mapping
from html import escape

import networkx as nx

from core.roles import MIXERS, ROLES
from core.shares import Shares
from core.words import figure

from .column import Column
from .inset import LEAST, Inset
from .pen import STYLE, Pen, fit, text_width, wrap
from .shade import Shaded

MARGIN = 20
RIBBON, NOTES, INSETS, WIDTH = 62, 430, 600, 1012  # left edges in the wide layout, and its width
NARROW = 396  # as wide as 11 px still have 9 on a phone of 390
MOST_OPENED = 10  # insets beside a tall column
LETTERS = "ABCDEFGHIJ"


def diagram(
    graph: nx.DiGraph,
    parameters: Mapping[str, int],
    subtitle: str = "",
    selected: str = "",
    chosen: Mapping[str, tuple[int, ...]] | None = None,
    wide: bool = True,
    by: Shares | None = None,
) -> str:
    """SVG of an architecture's graph.

    `parameters` are those of each role; `selected` is the node to mark; `chosen` has, by the name of an expert part, the
    experts of one live token. Boxes are shaded `by` their shares of a whole, if it is given.
    """
    pen = Shaded(graph, by, selected, wide) if by else Pen(selected)
    width = WIDTH if wide else NARROW
    title, room = graph.nodes["model"]["label"], width - 2 * MARGIN - 60 * wide  # beside it is a button
    size, cls = (26, "t") if text_width(title, 26) <= room else (20, "t2")
    pen.text(MARGIN, 38, fit(title, room, size), cls)
    lines = wrap(subtitle, width - 2 * MARGIN, 13)
    for i, line in enumerate(lines):
        pen.text(MARGIN, 62 + 18 * i, line, "s")
    top = 62 + 18 * len(lines) + 8
    model = Column(graph, pen, RIBBON if wide else 34, NOTES if wide else 0)
    bottom = model.draw(top)
    if not wide:
        bottom = listed(pen, model, 12, bottom, NARROW - 24)
    if isinstance(pen, Shaded):
        low = pen.key(INSETS if wide else 12, top if wide else bottom + 20, (WIDTH if wide else NARROW) - (INSETS if wide else 12) - 16)
        return finished(graph, pen, width, max(bottom, low) + MARGIN, subtitle)
    bottom = shares(parameters, pen, MARGIN if wide else 12, bottom + (24 if wide else 8), (INSETS if wide else NARROW) - 2 * MARGIN)
    insets = opened(
        graph, selected, model.anchors, chosen or {}, bottom - top if wide else 0, WIDTH - INSETS - MARGIN if wide else NARROW - 24
    )
    height = placed(pen, model, insets, top if wide else 0, bottom + 24, wide) + MARGIN
    return finished(graph, pen, width, height, subtitle)


def finished(graph: nx.DiGraph, pen: Pen, width: float, height: float, subtitle: str) -> str:
    words = escape(f"Architecture of {graph.nodes['model']['label']}. {subtitle}")
    return (
        f'<svg class="strata" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:.0f}" width="{width}" height="{height:.0f}" '
        f'role="group" aria-label="{words}"><style>{STYLE}</style>{"".join(pen.out)}</svg>'
    )


def opened(
    graph: nx.DiGraph,
    selected: str,
    anchors: Mapping[str, list[tuple[float, float]]],
    chosen: Mapping[str, tuple[int, ...]],
    room: float,
    width: float,
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
        inset = Inset(graph, node, width, chosen.get(part, ()), narrow=not room)
        if node in usual or sum(i.height + 20 for i in [*insets, inset]) <= room:
            insets.append(inset)
    return sorted(insets, key=lambda inset: anchors[inset.data["part"]][0][1])


def placed(pen: Pen, model: Column, insets: list[Inset], top: float, bottom: float, wide: bool) -> float:
    """The insets, each with the letter of its boxes: beside the column or below it, where there is more room, and over the whole width
    if their text would be too small. Returns the lower edge."""
    right, whole = (top, [inset for inset in insets if inset.scale < LEAST]) if wide else (0.0, [])
    ends, lettered = {INSETS: right, MARGIN: bottom}, Counter[tuple[float, float]]()
    for letter, inset in zip(LETTERS, [*(inset for inset in insets if inset not in whole), *whole], strict=False):
        if not wide:
            x, inset = 12, inset
        elif inset in whole:
            ends = dict.fromkeys(ends, max(ends.values()))
            x, inset = MARGIN, inset.resized(WIDTH - 2 * MARGIN)
        elif ends[INSETS] <= ends[MARGIN]:
            x = INSETS
        else:
            x, inset = MARGIN, inset.resized(INSETS - 2 * MARGIN)
        at = x if wide else MARGIN
        ends[at] = inset.draw(pen, x, ends[at], letter) + 20
        if inset.width > INSETS:
            ends = dict.fromkeys(ends, ends[at])
        for anchor in model.anchors[inset.data["part"]]:  # parts with tabs in one box have their letters side by side
            pen.letter(anchor[0] + 1 + 22 * lettered[anchor], anchor[1] - 2, letter)  # above the words
            lettered[anchor] += 1
    return max(ends.values()) - 20


def within(node: str, parent: str) -> bool:
    return node == parent or node.startswith(f"{parent}.")


def listed(pen: Pen, model: Column, x: float, y: float, width: float) -> float:
    """The figures that stand beside a wide column, below a narrow one in two columns; returns the lower edge."""
    notes = [lines for _, _, lines in sorted(model.notes, key=lambda note: note[1])]
    each, ends = width / 2, [y + 14, y + 14]
    for lines in notes:
        side = ends[1] < ends[0]
        for i, line in enumerate(lines):
            pen.text(x + side * each, ends[side] + 14 * i, fit(line, each - 8, 12), "q" if i == 0 else "r")
        ends[side] += 14 * len(lines) + 10
    return max(ends)


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
