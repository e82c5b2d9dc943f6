"""Models by their release, a lane for each technique: who brought what, and since when others use it."""

from collections.abc import Sequence
from datetime import date
from html import escape
from typing import NamedTuple

from core.facets import Entry, Technique

from .pen import Pen, fit, text_width

LANE = 26


class Lane(NamedTuple):
    """A technique, and the models that have it, the oldest first."""

    technique: Technique
    models: list[Entry]


def lanes(models: Sequence[tuple[Entry, bool]]) -> list[Lane]:
    """The techniques of the models that the filters let through, in the order in which they came, each with all models that have it;
    those of one date by how many models have them."""
    found: dict[str, Lane] = {}
    for one in sorted((one for one, _ in models if one.day), key=lambda one: one.day):
        for technique in one.techniques:
            found.setdefault(technique.title, Lane(technique, [])).models.append(one)
    inside = {one.arch for one, kept in models if kept}
    shown = (lane for lane in found.values() if any(one.arch in inside for one in lane.models))
    return sorted(shown, key=lambda lane: (lane.models[0].day, -len(lane.models)))


def timeline(models: Sequence[tuple[Entry, bool]], wide: bool, picked: Sequence[str] = ()) -> str:
    """An SVG of models, each with whether the filters let it through; those that do not are rings. On a narrow one the dots are below
    the words of their lane."""
    rows = lanes(models)
    inside = {one.arch.name for one, kept in models if kept}
    width, lane, head = (1180, LANE, 30) if wide else (390, LANE + 18, 30)
    left, right = (430, width - 56) if wide else (10, width - 14)
    days = [one.day for row in rows for one in row.models] or [date.today().toordinal()]
    first = date(date.fromordinal(min(days)).year, 1, 1).toordinal()
    last = max(max(days) + 20, first + 365)
    height = head + lane * len(rows) + 14
    pen = Pen()

    def place(day: int) -> float:
        return left + (day - first) / (last - first) * (right - left)

    free = -1e9
    for year in range(date.fromordinal(first).year, date.fromordinal(last).year + 1):
        at = place(date(year, 1, 1).toordinal())
        pen.bar(at, head - 8, 1, height - head, "hair")
        if at >= free and at + 30 < width:
            pen.text(at + 3, head - 14, str(year), "k")
            free = at + text_width(str(year), 11) + 10
    for n, row in enumerate(rows):
        y = head + lane * n + (lane / 2 if wide else lane - 13)
        technique, began = row.technique, row.models[0]
        words = y + 4 if wide else y - 14
        pen.bar(place(began.day), y - 0.5, right - place(began.day), 1, "panel-line")
        count = sum(one.arch.name in inside for one in row.models)
        pen.text(0 if wide else left, words, fit(technique.title, 176 if wide else 150, 12), "q")
        by = f"{began.arch.title}, {began.month}"
        pen.text(186 if wide else left + text_width(technique.title, 12) + 8, words, fit(by, 228 if wide else 195, 11.5), "r")
        pen.text(right + 10 if wide else right, words, str(count), "k" if wide else "k e")
        for one in reversed(row.models):
            name = one.arch.name
            pen.out.append(
                f'<g class="point{"" if name in inside else " out"}{" on" if name in picked else ""}" data-do="look" '
                f'data-name="{escape(name)}" tabindex="{0 if one is began else -1}" role="button" aria-label="{escape(one.arch.title)}">'
                f"<title>{escape(f'{one.arch.title}, {one.month}')}</title>"
                f'<circle cx="{place(one.day):.1f}" cy="{y:.1f}" r="{5.5 if one is began else 4}" '
                f'style="{f"fill:var(--{technique.role})" if name in inside else "fill:var(--page)"}"/></g>'
            )
    return (
        f'<svg class="timeline" viewBox="0 0 {width} {height}" role="group" aria-label="{len(rows)} techniques by the release of the '
        f'models that have them">{"".join(pen.out)}</svg>'
    )
