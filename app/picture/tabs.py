"""The different parts that share one box of a frame: a white tab for each, with what it alone has and its layers."""

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

import networkx as nx

from core.blocks import layers_in_words

from .pen import Pen, Tone, broken, fit, packed, text_width, whole
from .ribbon import tone

SMALL, ROW = 20, 12  # height of a tab of one line, and of each further line
INSIDE = 20  # of its width, for the cell and what is around the words


@dataclass(frozen=True)
class Tab:
    node: str  # the part in the first block that has it
    words: tuple[str, ...]  # what it alone has, the most important first
    layers: tuple[int, ...]
    blocks: tuple[str, ...]  # all blocks that have it
    nodes: tuple[str, ...]  # the part in each of them
    tone: Tone
    hollow: bool  # it keeps nothing of its own

    @property
    def title(self) -> str:
        return self.words[0] if self.words else "otherwise"

    @property
    def where(self) -> str:
        return layers_in_words(list(self.layers)).removeprefix("layers ")

    @property
    def count(self) -> str:
        return f"{len(self.layers):,} layer{'s' if len(self.layers) > 1 else ''}"

    def near(self, width: float) -> str:
        """Which layers, or how many if there is no room for that."""
        return self.where if text_width(self.where, 11) <= width else self.count

    def on_one_line(self, width: float, where: bool) -> tuple[str, str]:
        """As many of its words as fit, and its layers: which, how many, or only a number where more words fit then."""
        words = " · ".join(self.words) or self.title
        ends = [self.where, self.count, f"{len(self.layers):,} ×"] if where else [""]
        shown = [(whole(words, width - text_width(end, 11) - 6 * where, 11), end) for end in ends]
        return max(shown, key=lambda one: len(one[0].removesuffix("…")))

    def lines(self, width: float) -> list[str]:
        """The words after the first that fit, in at most two lines."""
        lines: list[str] = []
        for word in (word for word in self.words[1:] if text_width(word, 11) <= width - 6):
            if lines and text_width(f"{lines[-1]} · {word}", 11) <= width - 6:
                lines[-1] += f" · {word}"
            elif len(lines) < 2:
                lines.append(word)
        return lines

    def high(self, width: float, where: bool) -> float:
        """The height of the tab on one line, or on as many as its first words need."""
        return SMALL + ROW * (len(self.name(width, where)) - 1)

    def name(self, width: float, where: bool) -> list[str]:
        """The first words on as few lines as possible, beside its layers if `where`."""
        return broken(self.title, width - INSIDE - where * (6 + text_width(f"{len(self.layers):,} ×", 11)), 11)

    def entire(self, width: float) -> list[tuple[str, str]]:
        """All its words on as few lines as possible, and at the end of the last one, or below it, its layers or how many they are."""
        lines = packed(self.words or (self.title,), width - INSIDE, 11)
        left = width - INSIDE - text_width(lines[-1], 11) - 8
        if text_width(where := self.near(left), 11) <= left:
            return [*((line, "") for line in lines[:-1]), (lines[-1], where)]
        return [*((line, "") for line in lines), ("", self.near(width - INSIDE))]

    def print(self, pen: Pen, x: float, y: float, w: float) -> None:
        """With all its words, where nothing can be clicked."""
        lines = self.entire(w)
        high = SMALL + ROW * (len(lines) - 1)
        pen.out.append(
            f'<rect class="tab-of" x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{high:.1f}" rx="5" '
            f'style="fill:var(--box);stroke:var(--{self.tone.colour});stroke-width:1"/>'
        )
        pen.cell(x + 4, y + 4, 6, high - 8, self.tone, self.hollow)
        for i, (words, where) in enumerate(lines):
            if words:
                pen.text(x + 14, y + 14 + ROW * i, words, "p")
            if where:
                pen.text(x + w - 7, y + 14 + ROW * i, where, "k e")

    def draw(self, pen: Pen, x: float, y: float, w: float, h: float, where: bool = True) -> None:
        """With its upper left corner at x, y: on one line, or with its words below each other. With it is a cell as in the ribbon."""
        tone = pen.tone(self.node, self.tone)
        said = pen.said(", ".join([*(self.words or (self.title,)), layers_in_words(list(self.layers))]), self.nodes)
        pen.out.append(
            f'<g{pen.on(self.node)} data-node="{escape(self.node)}" data-of="{escape(" ".join(self.blocks))}" tabindex="0" role="button" '
            f'aria-label="{escape(said)}"><title>{escape(said)}</title><rect x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}" '
            f'rx="5" style="fill:var(--box);stroke:var(--{tone.colour});stroke-width:1"/>'
        )
        if h == self.high(w, where):
            (words, right), lines = self.on_one_line(w - INSIDE, where), self.name(w, where)
            pen.cell(x + 4, y + 4, 6, h - 8, tone, self.hollow)
            for i, line in enumerate(lines if len(lines) > 1 else [words]):
                pen.text(x + 14, y + 14 + ROW * i, fit(line, w - INSIDE, 11), "p")
            pen.text(x + w - 7, y + 14, right, "k e")
        else:
            size, cls = (12, "q c") if text_width(self.title, 12) <= w - 6 else (11, "p c")
            pen.text(x + w / 2, y + 15, fit(self.title, w - 6, size), cls)
            for i, line in enumerate([*self.lines(w), self.near(w - 6)]):
                pen.text(x + w / 2, y + 29 + 14 * i, fit(line, w - 6, 11), "k c")
            pen.cell(x + 8, y + h - 6.5, w - 16, 4, tone, self.hollow)
        pen.out.append("</g>")


def tabs(graph: nx.DiGraph, frame: Mapping, place: int, nodes: Mapping[str, str]) -> tuple[Tab, ...]:
    """The tabs of a place in a frame; none if all its layers have one part there. `nodes` has the part's node by block."""
    blocks: dict[str, list[str]] = {}
    for block, part in zip(frame["blocks"], frame["places"][place]["parts"], strict=True):
        blocks.setdefault(part, []).append(block)
    made = []
    for own, words in zip(blocks.values(), frame["places"][place]["own"], strict=True):
        layers = tuple(layer for layer in frame["layers"] if graph.graph["layers"][layer] in own)
        node = nodes[own[0]]
        hollow = graph.nodes[node]["part"] in graph.graph["borrowers"]
        made.append(Tab(node, tuple(words), layers, tuple(own), tuple(nodes[block] for block in own), tone(graph, node), hollow))
    return tuple(made) if len(made) > 1 else ()
