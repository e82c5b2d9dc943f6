"""What demonstrations are drawn with: panels beside each other, and curves with their names at their ends."""

from collections.abc import Iterable, Sequence
from html import escape
from math import log10
from typing import NamedTuple

WIDTH = 300  # of a panel, about as wide as it is on a page and on a phone, so that its letters keep their size


class Axis(NamedTuple):
    """From `least` to `most`, with a word for each of some values."""

    least: float
    most: float
    ticks: Sequence[tuple[float, str]]
    title: str = ""
    log: bool = False

    def share(self, value: float) -> float:
        """Where a value is, 0 to 1 for what is inside."""
        least, most, value = map(log10, (self.least, self.most, max(value, 1e-300))) if self.log else (self.least, self.most, value)
        return (value - least) / (most - least)


class Curve(NamedTuple):
    """Points, the name at their end, and how the line looks: a colour of the palette, perhaps dashed."""

    points: Sequence[tuple[float, float]]
    name: str = ""
    colour: str = "accent"
    dashed: bool = False
    wide: float = 2.0


def side(*panels: str, least: int = 200) -> str:
    """Panels beside each other, those that have no room below."""
    return f'<div class="side" style="--least:{least}px">{"".join(panels)}</div>'


def panel(title: str, drawn: str, *notes: str) -> str:
    """A picture with its title, and lines below it, which are HTML."""
    return f"<div><h4>{escape(title)}</h4>{drawn}{''.join(f'<p>{note}</p>' for note in notes)}</div>"


def svg(height: float, drawn: Iterable[str], said: str, width: float = WIDTH, most: float = 0) -> str:
    """A picture that is as wide as its panel, at most `most` or not much more than drawn. `said` is for who cannot see it."""
    shape = f'viewBox="0 0 {width:g} {height:g}" style="max-width:{most or 1.2 * width:.0f}px"'
    return f'<svg {shape} role="img" aria-label="{escape(said)}">{"".join(drawn)}</svg>'


def text(x: float, y: float, words: str, look: str = "", anchor: str = "start") -> str:
    """A line of text. `look` is further CSS."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" style="font-size:11px;{look}">{escape(words)}</text>'


SOFT = "fill:var(--soft);"


def rect(x: float, y: float, width: float, height: float, fill: str, more: str = "", round_: float = 2) -> str:
    shape = f'x="{x:.1f}" y="{y:.1f}" width="{max(0, width):.1f}" height="{max(0, height):.1f}" rx="{round_:g}"'
    return f'<rect {shape} style="fill:{fill};{more}"/>'


def line(x1: float, y1: float, x2: float, y2: float, stroke: str = "hair", more: str = "") -> str:
    return f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" style="fill:none;stroke:var(--{stroke});{more}"/>'


def plot(
    curves: Sequence[Curve], x: Axis, y: Axis, said: str, height: float = 190, left: float = 40, right: float = 66,
    marks: Sequence[tuple[float, str]] = (), levels: Sequence[tuple[float, str]] = (),
) -> str:  # fmt: skip
    """Curves over x. `marks` are places on x, `levels` on y, each with a word."""
    top, bottom, wide = 34.0 if marks else 22.0, height - 34, WIDTH - left - right
    drawn = [text(0, 10, y.title, SOFT)]

    def at(point: tuple[float, float]) -> tuple[float, float]:
        return left + wide * x.share(point[0]), bottom - (bottom - top) * y.share(point[1])

    for value, word in y.ticks:
        _, to = at((x.least, value))
        drawn += [line(left, to, left + wide, to), text(left - 6, to + 4, word, SOFT, "end")]
    for value, word in x.ticks:
        to, _ = at((value, y.least))
        drawn.append(text(to, bottom + 15, word, SOFT, "middle"))
    drawn.append(text(left + wide / 2, bottom + 30, x.title, SOFT, "middle"))
    for value, word in marks:
        to, _ = at((value, y.least))
        drawn += [line(to, top, to, bottom, "line", "stroke-dasharray:2 3;"), text(to, top - 4, word, SOFT, "middle")]
    for value, word in levels:
        _, to = at((x.least, value))
        drawn += [line(left, to, left + wide, to, "line", "stroke-dasharray:2 3;"), text(left + wide + 4, to + 4, word, SOFT)]
    names = []
    drawn.append(f'<svg x="{left}" y="{top - 2:g}" width="{wide:g}" height="{bottom - top + 4:g}">')  # what is outside of it is not seen
    for curve in curves:
        points = [at(point) for point in curve.points]
        path = "M" + "L".join(f"{px - left:.1f} {py - top + 2:.1f}" for px, py in points)
        dash = "stroke-dasharray:5 4;" if curve.dashed else ""
        look = f"fill:none;stroke:var(--{curve.colour});stroke-width:{curve.wide:g};stroke-linejoin:round;{dash}"
        drawn.append(f'<path d="{path}" style="{look}"/>')
        if curve.name:
            names.append((min(bottom, max(top, points[-1][1])), curve))
    drawn.append("</svg>")
    last = -100.0
    for to, curve in sorted(names, key=lambda name: name[0]):
        last = max(to + 4, last + 13)
        drawn.append(text(left + wide + 5, last, curve.name, f"font-weight:600;fill:var(--{curve.colour});"))
    return svg(height, drawn, said)
