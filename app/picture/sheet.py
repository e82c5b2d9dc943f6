"""A whole comparison as one picture: the sentences, the figures, the diagrams beside each other, the curves, and what differs."""

from collections.abc import Mapping, Sequence
from html import escape
from itertools import groupby
from math import ceil, floor, log, log10

import networkx as nx

from core.compare import GROWS, HEADINGS, LETTERS, Comparison, bounds
from core.words import rounds, tokens

from .alongside import Alongside
from .layered import spread
from .pen import STYLE, Pen, fit, wrap

WIDTH, MARGIN, LINE, ROW = 1_216, 32, 17, 26
GAP, TALL = 36, 190  # between the panels of curves, and their height


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
    y = _curves(pen, found, y + 50 + height + 34)
    y = _differences(pen, found, drawing, y)
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


def _curves(pen: Pen, found: Comparison, y: float) -> float:
    """What grows with the text, a panel each; dotted past what a model is meant for."""
    pen.text(0, y, "Over the length of the text", "n")
    pen.text(330, y, "dotted: past what a model is meant for", "s")
    step = (WIDTH + GAP) / len(GROWS)
    for n, name in enumerate(GROWS):
        _panel(pen, found, name, n * step, y + 30, step - GAP)
    return y + 30 + TALL + 96


def _panel(pen: Pen, found: Comparison, name: str, x: float, y: float, width: float) -> None:
    """One of `GROWS` over the context, which is logarithmic; so are the bytes that are kept, which differ most."""
    heading, note, show = GROWS[name]
    pen.text(x, y, heading, "b")
    pen.text(x, y + 17, note, "r")
    curves, contexts = found.curves(name), found.contexts
    known = [value for curve in curves for value in curve.values if value] or [1]
    least, most = (log10(min(known)), log10(max(known)) + 0.1) if name == "kept_bytes" else (0.0, max(known) * 1.06)
    left, right, top, bottom = x + 64, x + width - 22, y + 34, y + 34 + TALL
    lowest, longest = log10(contexts[0]), log10(contexts[-1])

    def across(tokens: float) -> float:
        return left + (log10(tokens) - lowest) / (longest - lowest) * (right - left)

    def up(value: float) -> float:
        share = ((log10(max(value, 1)) if name == "kept_bytes" else value) - least) / ((most - least) or 1)
        return bottom - max(share, 0) * (bottom - top)

    if name == "kept_bytes":
        decades = [10.0**power for power in range(ceil(least), floor(most) + 1)]
        marks = decades if len(decades) > 1 else [min(known), max(known)]
    else:
        marks = rounds(most)
    for value in marks:
        pen.bar(left, up(value), right - left, 1, "hair")
        pen.text(left - 8, up(value) + 4, show(value) if value else "0", "k e")
    for value in (1 << power for power in range(9, 31, 2) if 1 << power <= contexts[-1]):
        pen.bar(across(value), bottom, 1, 5, "hair")
        pen.text(across(value), bottom + 18, tokens(value), "k c")
    pen.bar(across(found.workload.context), top, 1, bottom - top, "line")
    ends = sorted((up(curve.values[-1]), " ".join(LETTERS[index] for index in curve.those)) for curve in curves)
    for at, (_, letters) in zip(spread([at for at, _ in ends], [14.0] * (len(ends) - 1)), ends, strict=True):
        pen.text(right + 6, at + 4, letters, "q")
    for curve in curves:
        colour, dash = (("ink", ""), ("ink", "7 4"), ("box-line", ""), ("box-line", "7 4"))[curve.those[0]]
        points = [(across(length), up(value), length) for length, value in zip(contexts, curve.values, strict=True)]
        within = [(a, b) for a, b, length in points if length <= curve.limit]
        past = [(a, b) for a, b, length in points if length >= curve.limit]
        for line, dashes, thick in ((within, dash, 2.2), (past, "1.5 3.5", 1.6)):
            if len(line) > 1:
                path = "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in line)
                pen.out.append(
                    f'<path d="{path}" style="fill:none;stroke:var(--{colour});stroke-width:{thick};stroke-dasharray:{dashes or "none"}"/>'
                )


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
