"""The gallery's cards: figures and a small picture of every layer, made from the architecture."""

from collections.abc import Sequence
from html import escape

import core
from core.facets import FIGURES, Entry
from core.kept import kept
from core.words import figure, size, tokens

from ..picture.pen import Pen
from ..picture.ribbon import cells, ribbon
from ..state import MOST


def cards(models: Sequence[Entry], pick: Sequence[str], by: str = "") -> str:
    return "".join(card(one, one.arch.name in pick, len(pick) >= MOST, by) for one in models)


def card(one: Entry, on: bool = False, full: bool = False, by: str = "") -> str:
    """One model's card, a link to its workbench, with a box to tick it for a comparison unless as many as fit are ticked: `full`. The
    last of its figures is the one that models are sorted `by`, if the card has it nowhere else."""
    arch, name = one.arch, escape(one.arch.name)
    active = figure(one.active) if one.active != one.parameters else "all"
    facts = {"Parameters": figure(one.parameters), "Active": active} | dict([last(one, by)])
    who = " · ".join(p for p in (arch.organisation, one.month, arch.meant_for and f"{tokens(arch.meant_for)} context") if p)
    ticked = ' checked=""' if on else ""
    off = ' disabled=""' if full and not on else ""
    return (
        f'<article class="card{" on" if on else ""}"><div><h2><a href="/workbench?preset={name}" data-open="{name}">'
        f'{escape(arch.title)}</a></h2><p class="who">{escape(who)}</p></div>{picture(arch)}<dl>'
        + "".join(f"<div><dt>{k}</dt><dd>{v}</dd></div>" for k, v in facts.items())
        + f'</dl><p class="note">{escape(arch.note or "")}</p><label class="tick"><input type="checkbox" data-do="pick" data-name="{name}" '
        f'data-key="pick {name}" aria-label="Compare {escape(arch.title)}"{ticked}{off}/></label></article>'
    )


def last(one: Entry, by: str) -> tuple[str, str]:
    """The title and the words of the last figure of a card."""
    at = tokens(one.length)
    if by == "text":
        return f"Memory, {at} text", size(one.text)
    if by in FIGURES and by not in ("parameters", "active", "cache", "released"):
        value = FIGURES[by].get(one)
        return FIGURES[by].title, "–" if value is None else FIGURES[by].show(value)
    return f"Cache / token, {at}", size(one.cache)


def closed_card(entry: dict) -> str:
    """A card for a model with an undisclosed architecture: only what its makers have said."""
    said = "".join(f"<li>{escape(str(line))}</li>" for line in entry["undisclosed"][:4])
    who = f"{entry.get('organisation', '')} · {entry.get('released', '')}"
    head = f'<div><h2>{escape(entry["title"])}</h2><p class="who">{escape(who)} · not disclosed</p></div>'
    return f'<div class="card closed">{head}<ul>{said}</ul></div>'


@kept(4_000_000)
def picture(arch: core.Architecture, height: int = 52) -> str:
    """Every layer of an architecture, scaled to fit a card or a row."""
    pen = Pen()
    ribbon(pen, cells(arch), 240, height)
    label, box = f"{arch.depth:,} layers: {escape(arch.pattern)}", f'viewBox="0 0 240 {height}" preserveAspectRatio="none"'
    return f'<svg class="layers" {box} role="img" aria-label="{label}">{"".join(pen.out)}</svg>'
