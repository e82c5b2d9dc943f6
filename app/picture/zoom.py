"""One part over the whole page: its inset with the shape of every tensor, where a box reads it and where a box writes it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from html import escape
from itertools import accumulate
from math import inf
from typing import Any

import networkx as nx

from .inset import BESIDE, OPENED, PAD, Inset, One, Rect
from .layered import Box, Layout
from .nodes import arrows
from .pen import KINDS, STYLE, Pen, text_width

WIDTH, LEAST = 1200, 240  # the least leaves room for the shape beside the arrow of the output
LINE, SMALL = 14, 11


class Zoomed(Inset):
    """An inset whose boxes have the shapes of what they read along their lower edge, each below its arrow, and that of what they write
    at the top."""

    def lay_out(self, room: float = inf, share: float = 1) -> Layout:
        self.at: dict[tuple[str, str], float] = {}  # edge -> the middle of its lines
        self.read: dict[str, dict[tuple[str, str], list[str]]] = {}  # box -> edge -> a line for each tensor
        inside, several = set(self.inside), dict[str, int]()
        for source, target, beside in arrows(self.g).get(self.part, ()):
            edge = (self.owner(source) if source in inside else beside or "x", self.owner(target))
            if self.g.nodes[source]["kind"] == "input" or edge[0] == edge[1] or beside and self.kind(target) == "borrowed":
                continue
            data = self.g.edges[source, target]
            tensors = [(data["tensor"].split(", ")[0], data["shape"]), *data.get("also", ())]
            lines = self.read.setdefault(edge[1], {}).setdefault(edge, [])
            lines += [line for name, shape in tensors if (line := f"{name.replace('_', ' ')} {said(shape)}") not in lines]
            several[edge[1]] = several.get(edge[1], 0) + len(tensors)
        for box, count in several.items():
            if count == 1:  # an only input needs no name
                self.read[box] = {edge: [lines[0][lines[0].index("(") :]] for edge, lines in self.read[box].items()}
        return super().lay_out(room, share)

    def size(self, node: str) -> tuple[float, float]:
        width, height = super().size(node)
        if width == height == 20:  # a sum or a product, whose tensors have their shapes elsewhere
            return width, height
        labels = sum(wide(lines) for lines in self.read.get(node, {}).values())
        return max(width, labels, text_width(self.written(node), SMALL) + self.edge), height + 2 * self.pad(node)

    def pad(self, node: str) -> float:
        """The height for shapes above a box's name, and as much below it."""
        return 6 + LINE * max((len(lines) for lines in self.read.get(node, {}).values()), default=1)

    def written(self, node: str) -> str:
        """The shape of a box's output."""
        last = node if node in self.g else [one for one in self.inside if one in self.together][-1]
        return said(self.g.nodes[last]["shape_out"])

    def ports(self, box: Box, edges: Sequence[tuple[str, str]], wanted: Sequence[float]) -> list[float]:
        """Each arrow enters above the shape of its tensor."""
        if box.width == box.height == 20:
            return super().ports(box, edges, wanted)
        widths = [wide(self.read[box.key][edge]) for edge in edges]
        lefts = [box.x - sum(widths) / 2 + before for before in accumulate(widths[:-1], initial=0.0)]
        self.at |= {edge: left + width / 2 for edge, left, width in zip(edges, lefts, widths, strict=True)}
        return [min(max(x, left + 12), left + width - 12) for x, left, width in zip(wanted, lefts, widths, strict=True)]

    def named(self, pen: Pen, y: float, edges: Mapping[float, tuple[str, str]], lines: Sequence[Rect], taken: list[Rect]) -> None:
        """The names stand in the boxes."""

    @property
    def head(self) -> float:
        return 30

    def opened(self, inside: Mapping[str, Any], many: str) -> One:
        return OneZoomed(inside, many)

    def close(self) -> None:
        """As narrow as what it holds."""
        one = self.one.width + BESIDE if self.one and self.beside else 0
        self.room = min(max(self.layout.width, LEAST), WIDTH - 2 * PAD - one)
        if self.one and not self.beside:
            self.room = max(self.room, self.one.width + 2 * OPENED)
        self.width = self.room + one + 2 * PAD

    def flow(self, pen: Pen) -> None:
        super().flow(pen)
        top = self.layout.boxes[self.last()]
        pen.text(top.x + 8, top.y - top.height / 2 - 8, said(self.data["shape_out"]), "f2")

    def box(self, pen: Pen, key: str, box: Box) -> None:
        inner = box
        if self.kind(key) == "experts" and self.routed:  # the grid has a frame of its own
            pen.box(key, box.x, box.y, box.width, box.height, KINDS["experts"], "", tip="Routed experts")
            inner = replace(box, height=box.height - 2 * self.pad(key))
        super().box(pen, key, inner)
        if key in self.given or box.width == box.height == 20:
            return
        ink = KINDS["shared" if key not in self.g else self.kind(key)].ink if key not in self.g or self.kind(key) in KINDS else "ink"
        top, low = box.y - box.height / 2, box.y + box.height / 2
        pen.text(box.x, top + LINE + 1, self.written(key), "f2 c", ink, ' pointer-events="none"')
        for edge, lines in self.read.get(key, {}).items():
            for i, line in enumerate(reversed(lines)):
                pen.text(self.at[edge], low - 7 - LINE * i, line, "f2 c", ink, ' pointer-events="none"')


class OneZoomed(One, Zoomed):
    """One of many alike networks, opened, with the shapes of its tensors."""


def said(shape: Sequence[int | str]) -> str:
    return f"({', '.join(f'{n:,}' if isinstance(n, int) else n for n in shape)})"


def wide(lines: Sequence[str]) -> float:
    return max(text_width(line, SMALL) for line in lines) + 16


def zoom(graph: nx.DiGraph, part: str, chosen: tuple[int, ...] = (), selected: str = "") -> str:
    """SVG of a part by its node, as wide as it needs to be up to `WIDTH`; `chosen` are the experts of one token."""
    pen, inset = Pen(selected), Zoomed(graph, part, WIDTH, chosen)
    inset.close()
    inset.contents(pen, 0, 0)
    width, height = inset.width, inset.height
    size = f'viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}"'
    return (
        f'<svg class="strata" xmlns="http://www.w3.org/2000/svg" {size} role="group" '
        f'aria-label="{escape(graph.nodes[part]["label"])}"><style>{STYLE}</style>{"".join(pen.out)}</svg>'
    )
