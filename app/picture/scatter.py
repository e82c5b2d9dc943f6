"""Models as points: two figures on axes, a third as the size of a point, and labels that overlap nothing."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date
from html import escape
from typing import NamedTuple

from core.facets import FIGURES, TEXT, Entry, Figure
from core.hardware import ACCELERATORS
from core.words import size, tokens

from .pen import Pen, text_width

RADII = (4.0, 17.0)  # of the smallest and the largest point
LETTERS = 11.5  # size of a label
RINGS = 6  # labels of points that are filtered out
STRIP = 24  # height of the strip for what a log axis cannot show


class Point(NamedTuple):
    """A model in the picture: its place, its radius, its colour, whether the filters let it through, and its label."""

    model: Entry
    x: float
    y: float
    r: float
    tone: str
    inside: bool
    label: str


class Axis:
    """A figure along an axis from `low` to `high` pixels. A log axis shows neither 0 nor what has no end: each has a strip at its end of
    the axis, with the middle at `zero` and at `far`."""

    def __init__(self, name: str, values: Sequence[float | None], low: float, high: float, zero: float, far: float):
        self.figure: Figure = FIGURES[name]
        self.name, self.low, self.high, self.zero, self.far = name, low, high, zero, far
        self.log = self.figure.log
        shown = [self._scaled(value) for value in values if value is not None and (value > 0 or not self.log)] or [0.0, 1.0]
        room = 0.05 * (max(shown) - min(shown)) or 0.5
        self.least, self.most = min(shown) - room, max(shown) + room

    def _scaled(self, value: float) -> float:
        return math.log10(value) if self.log else value

    def place(self, value: float | None) -> float:
        """Where a value is; None has no end."""
        if value is None:
            return self.far
        if self.log and value <= 0:
            return self.zero
        return self.low + (self._scaled(value) - self.least) / (self.most - self.least) * (self.high - self.low)

    def said(self, value: float | None) -> str:
        return "any" if value is None else self.figure.show(value)

    def holds(self, value: float) -> bool:
        return value > 0 and self.least < self._scaled(value) < self.most

    def ticks(self) -> Iterator[tuple[float, str]]:
        """Round values along the axis, and their words."""
        if self.name == "released":
            years = range(date.fromordinal(max(1, int(self.least))).year + 1, date.fromordinal(int(self.most)).year + 1)
            yield from ((date(year, 1, 1).toordinal(), str(year)) for year in years)
            return
        steps = (1,) if self.most - self.least > 2.2 else (1, 3)
        for power in range(math.floor(self.least), math.ceil(self.most) + 1):
            for step in steps:
                if self.name == "context":
                    value = float(step * 2 ** round(power * math.log2(10)))
                else:
                    value = step * 10.0**power
                if self.holds(value):
                    yield value, self.figure.show(value)


def scatter(
    models: Sequence[tuple[Entry, bool]], axes: tuple[str, str], area: str, tones: dict[str, str], lines: str, wide: bool,
    picked: Sequence[str] = (),
) -> str:  # fmt: skip
    """An SVG of models, each with whether the filters let it through, by two figures. `tones` gives each name its colour, a
    name of the palette; `area` is the figure that is the area of a point, or "none"; `lines` are the bits of a weight, for what
    machines hold, or "none"; `picked` have labels."""
    x, y = axes
    width, height = (1180, 540) if wide else (390, 520)
    left, right, top, bottom = (64, width - (74 if wide else 14), 54, height - 74)
    known = [
        (one, inside, a, b)
        for one, inside in models
        for a, b in ((FIGURES[x].get(one), FIGURES[y].get(one)),)
        if (a is not None or FIGURES[x].endless) and (b is not None or FIGURES[y].endless)
    ]
    across = Axis(x, [one[2] for one in known], left, right, left + STRIP / 2, right - STRIP / 2)
    up = Axis(y, [one[3] for one in known], bottom, top, bottom - STRIP / 2, top + STRIP / 2)
    room = STRIP + 12
    floor, wall = any(v == 0 for *_, v in known) and up.log, any(v == 0 for _, _, v, _ in known) and across.log
    ceiling, end = any(v is None for *_, v in known), any(v is None for _, _, v, _ in known)
    across.low, across.high = left + room * wall, right - room * end
    up.low, up.high = bottom - room * floor, top + room * ceiling
    radius = _radius(area, [one for one, *_ in known])
    places = [(across.place(a), up.place(b)) for _, _, a, b in known]
    corner = Counter(place for place, (_, _, a, b) in zip(places, known, strict=True) if not a and not b)  # all on one point
    points = []
    for place, (one, inside, *_) in zip(places, known, strict=True):
        others = f" and {corner[place] - 1} more" if corner[place] > 1 else ""
        points.append(Point(one, *place, radius(one), tones[one.arch.name], inside, one.arch.title + others))
    points.sort(key=lambda p: (p.inside, -p.r))
    pen = Pen()
    length = models[0][0].length if models else TEXT
    _axes(pen, across, up, left, right, top, bottom, length, wide)
    names = _machines(pen, across, up, lines, left, right, top, bottom)
    for shown, at, words in ((floor, bottom - STRIP, "none"), (ceiling, top, "any")):
        if shown:
            pen.bar(left, at, right - left, STRIP, "panel")
            pen.text(left - 8, at + STRIP / 2 + 4, words, "k e")
    for shown, at, words in ((wall, left, "none"), (end, right - STRIP, "any")):
        if shown:
            pen.bar(at, top, STRIP, bottom - top, "panel")
            pen.text(at + STRIP / 2, bottom + 18, words, "k c")
    for p in points:
        paint = f"fill:var(--{p.tone})" if p.inside else "fill:none"
        said = f"{across.said(across.figure.get(p.model))}|{up.said(up.figure.get(p.model))}"
        pen.out.append(
            f'<g class="point{"" if p.inside else " out"}" data-do="look" data-name="{escape(p.model.arch.name)}" '
            f'data-said="{escape(said)}" '
            f'tabindex="0" role="button" aria-label="{escape(p.model.arch.title)}"><title>{escape(p.model.arch.title)}</title>'
            f'<circle cx="{p.x:.1f}" cy="{p.y:.1f}" r="{p.r:.1f}" style="{paint}"/></g>'
        )
    for p, (tx, ty, way) in labelled(points, (left, top, right, bottom), 30 if wide else 9, picked, names):
        pen.text(tx, ty, p.label, f"label {way}{'' if p.inside else ' out'}")
    missing = len(models) - len(known)
    label = (
        f"{len(known)} models by {across.figure.title.lower()} and {up.figure.title.lower()}"
        + f", {missing} of unknown figures" * bool(missing)
    )
    return (
        f'<svg class="scatter" viewBox="0 0 {width} {height}" role="group" aria-label="{escape(label)}" '
        f'data-area="{left} {right} {top} {bottom}">{"".join(pen.out)}<g class="cross"></g></svg>'
    )


def _radius(area: str, models: Sequence[Entry]):
    """The radius of a model's point: its area grows with the figure; a small one without a figure."""
    values = {one.arch.name: FIGURES[area].get(one) for one in models} if area in FIGURES else {}
    most = max((value for value in values.values() if value), default=0)
    low, high = RADII

    def radius(one: Entry) -> float:
        value = values.get(one.arch.name)
        return low + (high - low) * math.sqrt(value / most) if value and most else low + (0 if area in FIGURES else 1.5)

    return radius


def _axes(pen: Pen, across: Axis, up: Axis, left: float, right: float, top: float, bottom: float, length: int, wide: bool) -> None:
    ends = [-1e9]
    for value, words in across.ticks():
        at, half = across.place(value), text_width(words, 11) / 2
        pen.bar(at, top, 1, bottom - top, "hair")
        if at - half > ends[-1] + 6:
            pen.text(at, bottom + 18, words, "k c")
            ends.append(at + half)
    for value, words in up.ticks():
        at = up.place(value)
        pen.bar(left, at, right - left, 1, "hair")
        pen.text(left - 8, at + 4, words, "k e")
        if up.name == "cache" and wide:
            pen.text(right + 8, at + 4, size(value * length), "k")
    pen.text(left - 52, top - 30, _titled(up, length), "q")
    if up.name == "cache" and wide:
        pen.text(right + 66, top - 30, f"One text of {tokens(length)}", "q e")
    pen.text(right, bottom + 46, _titled(across, length), "q e")


def _titled(axis: Axis, length: int) -> str:
    """The title of an axis; one of texts says how long they are."""
    words = {"cache": "{} at {}", "text": "{} of {}"}.get(axis.name, "{}")
    return words.format(axis.figure.title, tokens(length))


def _machines(
    pen: Pen, across: Axis, up: Axis, lines: str, left: float, right: float, top: float, bottom: float
) -> list[tuple[float, float, float, float]]:
    """Lines for what machines hold, on an axis of bytes, or on one of parameters at so many bits. Returns where their names stand within
    the picture."""
    names: list[tuple[float, float, float, float]] = []
    per = {"weights": 1.0, "text": 1.0, "parameters": int(lines) / 8 if lines.isdecimal() else 0}
    free = -1e9
    for machine in ACCELERATORS if per.get(across.name) else ():
        if across.holds(value := machine.memory / per[across.name]):
            at, half = across.place(value), text_width(machine.name, 11) / 2
            pen.out.append(f'<path class="holds" d="M{at:.1f} {top}V{bottom:.1f}"/>')
            if at - half > free + 8:
                pen.text(at, top - 8, machine.name, "held c")
                free = at + half
    for machine in ACCELERATORS if up.name in ("weights", "text") else ():
        if up.holds(machine.memory):
            at = up.place(machine.memory)
            pen.out.append(f'<path class="holds" d="M{left} {at:.1f}H{right:.1f}"/>')
            box = (right - 8 - text_width(machine.name, 11), at - 16, right, at - 1)
            if not any(_meet(box, other) for other in names):
                pen.text(right - 4, at - 5, machine.name, "held e")
                names.append(box)
    return names


def labelled(
    points: Sequence[Point],
    area: tuple[float, float, float, float],
    most: int,
    picked: Sequence[str] = (),
    others: Sequence[tuple[float, float, float, float]] = (),
) -> list[tuple[Point, tuple[float, float, str]]]:
    """Which points have a label, and where it begins (or ends: class "e"): the ticked ones first, then the largest and the newest. No
    label is on another or on `others`, on a point, or outside `area` (left, top, right, bottom)."""
    left, top, right, bottom = area
    taken = [*others]
    circles = [(p.x - p.r - 1, p.y - p.r - 1, p.x + p.r + 1, p.y + p.r + 1) for p in points]
    newest = {p.model.arch.name: n for n, p in enumerate(sorted(points, key=lambda p: -p.model.day))}

    def worth(p: Point) -> tuple:
        return p.model.arch.name not in picked, not p.inside, newest[p.model.arch.name] - 14 * p.r

    found: list[tuple[Point, tuple[float, float, str]]] = []
    for p in sorted(points, key=worth):
        if len(found) >= (most if p.inside else min(most, RINGS + sum(point.inside for point, _ in found))):
            break
        wide = text_width(p.label, LETTERS)
        gap = p.r + 4
        beside = ((p.x + gap, p.y + 4, ""), (p.x - gap, p.y + 4, "e"), (p.x, p.y - gap, "c"), (p.x, p.y + gap + 8, "c"))
        above, below, far = p.y - 0.7 * p.r - 3, p.y + 0.7 * p.r + 11, 0.7 * p.r + 2
        corners = ((p.x + far, above, ""), (p.x + far, below, ""), (p.x - far, above, "e"), (p.x - far, below, "e"))
        for x, y, way in beside + corners:
            begin = {"": x, "e": x - wide, "c": x - wide / 2}[way]
            box = (begin - 2, y - LETTERS + 1, begin + wide + 2, y + 3)
            inside = left <= box[0] and box[2] <= right and top <= box[1] and box[3] <= bottom
            own = (p.x - p.r - 1, p.y - p.r - 1, p.x + p.r + 1, p.y + p.r + 1)
            if inside and not any(_meet(box, other) for other in (*taken, *(c for c in circles if c != own))):
                taken.append(box)
                found.append((p, (x, y, way)))
                break
    return found


def _meet(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
