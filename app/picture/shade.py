"""The picture by cost: one ramp of one colour says what share of a whole each box costs, and a panel names all of it."""

from bisect import bisect
from collections.abc import Sequence
from dataclasses import replace

import networkx as nx

from core.roles import ROLES
from core.shares import Shares

from .nodes import parts_of
from .pen import Pen, Tone, fit, text_width

STEPS = (0.01, 0.05, 0.12, 0.25)  # shares at which a box gets the next shade
OF_BOX = ("< 1 %", "1–5 %", "5–12 %", "12–25 %", "> 25 %")
OF_CELL = ("< 20 %", "20–40 %", "40–60 %", "60–80 %", "> 80 %")
MOST = 14  # lines of the panel


class Shaded(Pen):
    """A pen that draws boxes in the shade of their shares, which replace the facts on them."""

    def __init__(self, graph: nx.DiGraph, shares: Shares, selected: str = "", beside: bool = True):
        super().__init__(selected)
        self.g, self.shares, self.beside, self.ink = graph, shares, beside, "ink"  # `beside`: whether figures stand beside boxes
        self.alike: dict[str, list[str]] = {}  # the nodes whose figures a box has together
        for frame in (frame for cycle in graph.graph["rhythm"] for frame in cycle["frames"]):
            self.alike[frame["blocks"][0]] = frame["blocks"]
            for same in zip(*(parts_of(graph, block) for block in frame["blocks"]), strict=True):
                self.alike[same[0]] = list(same)
        layers = {node: n / graph.nodes[node]["repeat"] for node, n in shares.nodes.items() if "role" in graph.nodes[node]}
        most = max(layers.values(), default=1)
        self.cells = {node: min(int(5 * n / most), 4) for node, n in layers.items()}

    def value(self, node: str) -> int:
        """What a box costs, in all layers that share it."""
        return sum(self.shares.nodes.get(one, 0) for one in self.alike.get(node, [node]))

    def costs(self, node: str) -> bool:
        """Whether it is a box with a figure of its own; the norms of a block have theirs together."""
        data = self.g.nodes[node]
        return "role" in data or data["parent"] == "model" and data["kind"] not in ("input", "block", "model", "add")

    def box(self, node, x, y, w, h, look, label, facts="", tip="", at=0) -> None:
        if self.costs(node):
            share, said = self.value(node) / self.shares.whole, self.facts(node, "")
            n = bisect(STEPS, share)
            look, self.ink = replace(look, fill=f"cost-{n}", line="cost-line", ink=f"cost-{n}-ink"), f"cost-{n}-ink"
            tip = f"{label}: {said}. {' '.join(' '.join(lines) for lines in self.figures(node, []))}"
            if "\n" not in facts:  # a narrow box has share and amount below each other
                facts = said if text_width(said, 11) <= w - 6 else self.shares.percent(self.value(node))
            facts = facts if h >= 30 else ""
        elif n := self.value(self.g.nodes[node]["parent"]):
            tip = f"{label}. All norms here: {self.shares.percent(n)}"
        super().box(node, x, y, w, h, look, label, facts, tip, at)

    def facts(self, node: str, words: str) -> str:
        n = self.value(node)
        return f"{self.shares.percent(n)} · {self.shares.measure.show(n)}" if n else "nothing"

    def figures(self, node: str, lines: list) -> list:
        """One layer's part of it, if all have the same."""
        each = [(self.shares.nodes.get(one, 0), self.g.nodes[one]["repeat"]) for one in self.alike.get(node, ())]
        layers = sum(repeat for _, repeat in each)
        if len({n / repeat for n, repeat in each}) != 1 or layers == 1 or not (self.beside and self.value(node)):
            return []
        return [(f"{self.shares.measure.show(self.value(node) / layers)} a layer", f"in {layers:,} layers")]

    def said(self, words: str, nodes: Sequence[str]) -> str:
        n = sum(self.shares.nodes.get(node, 0) for node in nodes)
        return f"{words}: {self.shares.percent(n)} · {self.shares.measure.show(n)}" if n else f"{words}: nothing"

    def tone(self, node: str, given: Tone) -> Tone:
        return Tone(f"cost-{self.cells.get(node, 0)}")

    def text(self, x, y, words, cls, fill="", more="") -> None:
        super().text(x, y, words, cls, self.ink if fill.removesuffix("-ink") in ROLES else fill, more)

    def pills(self, words, x, y, ink) -> None:
        super().pills(words, x, y, self.ink)

    def panel(self, x, y, w, h, fill, line, *more, **options) -> None:
        super().panel(x, y, w, h, "panel", "panel-line", *more, **options)

    def key(self, x: float, y: float, width: float) -> float:
        """All components, the largest first, which add up to the whole, and what the shades mean; returns the lower edge."""
        shares = self.shares
        self.text(x, y + 14, shares.measure.heading, "h")
        about = f"{shares.measure.show(shares.whole)} in all, largest first" + f"; {shares.at}" * bool(shares.at)
        self.text(x, y + 34, fit(about, width, 13), "s")
        y, rows = y + 50, [*shares.components.items()]
        if len(rows) > MOST:
            rest = rows[MOST - 1 :]
            rows = [*rows[: MOST - 1], (f"{len(rest)} smaller: {', '.join(name for name, _ in rest)}", sum(n for _, n in rest))]
        most, left = max(n for _, n in rows), x + width - 60
        for name, n in rows:
            said, room = name[0].upper() + name[1:], width - 190
            self.text(x, y + 14, fit(said, width, 12), "l", "ink")
            if text_width(said, 12) > room:  # the figures stand below it
                y += 16
            self.text(left - 68, y + 14, shares.measure.show(n), "l e")
            self.text(left - 8, y + 14, shares.percent(n), "q e")
            self.bar(left, y + 4, max(60 * n / most, 0.6), 12, shares.roles.get(name, "norm"))
            y += 24
        for said, steps in (("Shade of a box: its share", OF_BOX), ("In the ribbon: a part of a layer, against the most costly", OF_CELL)):
            self.text(x, y + 30, fit(said, width, 12), "q")
            each = width / len(steps)
            for n, words in enumerate(steps):
                shape = f'x="{x + n * each:.1f}" y="{y + 38:.1f}" width="{each - 4:.1f}" height="16" rx="3"'
                self.out.append(f'<rect {shape} style="fill:var(--cost-{n});stroke:var(--cost-line);stroke-width:1"/>')
                self.text(x + n * each + (each - 4) / 2, y + 69, words, "r c")
            y += 62
        return y + 20
