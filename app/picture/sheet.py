"""A whole comparison as one picture: the sentences, the figures, the diagrams beside each other, and what differs."""

from collections.abc import Mapping, Sequence
from html import escape
from itertools import groupby
from math import log

import networkx as nx

from core.compare import HEADINGS, LETTERS, Comparison, bounds

from .alongside import Alongside
from .pen import STYLE, Pen, fit, wrap

WIDTH, MARGIN, LINE, ROW = 1_216, 32, 17, 26


def sheet(found: Comparison, graphs: Sequence[nx.DiGraph], parameters: Sequence[Mapping[str, int]]) -> str:
    """SVG of a comparison."""
    pen, drawing = Pen(), Alongside(found.archs, graphs, parameters, WIDTH, True)
    pen.text(0, 26, "Compared", "t")
    y = 46.0
    for words in found.verdicts:
        for line in wrap(words, WIDTH, 13):
            y += LINE
            pen.text(0, y, line, "s", "ink")
        y += 6
    y = _figures(pen, found, drawing, y + 40)
    body, height = drawing.body()
    pen.text(0, y + 34, "Architecture", "n")
    pen.out += [f'<g transform="translate(0 {y + 50:.1f})">', *body, "</g>"]
    y = _differences(pen, found, drawing, y + 50 + height + 34)
    words = escape(f"Compared: {', '.join(arch.title for arch in found.archs)}.")
    return (
        f'<svg class="strata" xmlns="http://www.w3.org/2000/svg" viewBox="{-MARGIN} 0 {WIDTH + 2 * MARGIN} {y + MARGIN:.0f}" '
        f'width="{WIDTH + 2 * MARGIN}" height="{y + MARGIN:.0f}" aria-label="{words}"><style>{STYLE}</style>{"".join(pen.out)}</svg>'
    )


def _heads(pen: Pen, found: Comparison, drawing: Alongside, y: float) -> None:
    for n, arch in enumerate(found.archs):
        pen.letter(drawing.left(n) + 10, y - 4, LETTERS[n])
        pen.text(drawing.left(n) + 28, y, fit(arch.title, drawing.step - 40, 13.5), "b")


def _figures(pen: Pen, found: Comparison, drawing: Alongside, y: float) -> float:
    """The figures, with bars on one logarithmic scale."""
    most = bounds(found)
    pen.text(0, y, "Figures", "n")
    pen.text(110, y, f"bars: times A, on a logarithmic scale from 1/{most:,.0f} to {most:,.0f}", "s")
    y += 34
    _heads(pen, found, drawing, y)
    for line in found.lines:
        y += ROW
        pen.bar(0, y - 17, WIDTH, 1, "hair")
        pen.text(0, y, line.title, "q")
        for n, value in enumerate(line.values):
            x = drawing.left(n)
            pen.text(x, y, line.show(value), "b")
            if n:
                pen.text(x + 190, y, line.beside(n), "l")
                if ratio := line.ratio(n):
                    share = 40 * max(-1.0, min(1.0, log(ratio) / log(most)))
                    pen.bar(x + 100, y - 9, 80, 9, "panel")
                    pen.bar(x + 140 + min(share, 0), y - 9, abs(share), 9, "stream")
    return y + 14


def _differences(pen: Pen, found: Comparison, drawing: Alongside, y: float) -> float:
    pen.text(0, y, "What differs", "n")
    pen.text(160, y, "below a value: what this difference alone, made to A, does to its figures", "s")
    y += 34
    _heads(pen, found, drawing, y)
    room = drawing.step - 18
    for group, rows in groupby(found.differences, key=lambda row: row.group):
        y += 34
        pen.text(0, y, HEADINGS[group].capitalize(), "b")
        for row in rows:
            y += 10
            pen.bar(0, y, WIDTH, 1, "hair")
            columns = [wrap(row.first, room, 12)]
            effects: list[list[str]] = [[]]
            for n in range(1, len(found.archs)):
                value, step = row.others.get(n, ("same", ""))
                columns.append(wrap(value, room, 12))
                effects.append(wrap(step if isinstance(step, str) else step.effect, room, 11.5))
            tall = max(len(own) + len(effect) for own, effect in zip(columns, effects, strict=True))
            for i, words in enumerate(wrap(f"{row.of} {row.name}".strip(), drawing.label - 12, 12)):
                pen.text(0, y + 18 + LINE * i, words, "q")
                tall = max(tall, i + 1)
            for n, (own, effect) in enumerate(zip(columns, effects, strict=True)):
                other = n in row.others
                for i, words in enumerate([*own, *effect]):
                    cls = ("q" if other else "l") if i < len(own) else "r"
                    pen.text(drawing.left(n), y + 18 + LINE * i, words, cls, "accent" if other and i < len(own) else "")
            y += LINE * tall + 6
    return y
