"""The gallery's cards: figures and a small picture of every layer, made from the architecture."""

from html import escape

import core
from core.words import figure, size, tokens

from ..facts import cost, kept
from ..picture.pen import Pen
from ..picture.ribbon import cells, ribbon


def card(arch: core.Architecture) -> str:
    """One architecture's card, a link to its workbench."""
    c = cost(arch)
    active = figure(c.active_parameters) if c.active_parameters != c.parameters else "all"
    facts = {"Parameters": figure(c.parameters), "Active": active, "Cache per token": size(c.kv_bytes_per_token)}
    when = f"{arch.released:%b %Y}" if arch.released else ""
    who = " · ".join(p for p in (arch.organisation, when, arch.meant_for and f"{tokens(arch.meant_for)} context") if p)
    return (
        f'<a class="card" data-name="{escape(arch.name)}" href="/workbench?preset={escape(arch.name)}"><div><h3>{escape(arch.title)}</h3>'
        f'<p class="who">{escape(who)}</p></div>{picture(arch)}<dl>'
        + "".join(f"<div><dt>{k}</dt><dd>{v}</dd></div>" for k, v in facts.items())
        + f'</dl><p class="note">{escape(arch.note or "")}</p></a>'
    )


def closed_card(entry: dict) -> str:
    """A card for a model with an undisclosed architecture: only what its makers have said."""
    said = "".join(f"<li>{escape(str(line))}</li>" for line in entry["undisclosed"][:4])
    who = f"{entry.get('organisation', '')} · {entry.get('released', '')}"
    head = f'<div><h3>{escape(entry["title"])}</h3><p class="who">{escape(who)} · not disclosed</p></div>'
    return f'<div class="card closed">{head}<ul>{said}</ul></div>'


@kept(4_000_000)
def picture(arch: core.Architecture) -> str:
    """Every layer of an architecture, scaled to fit a card."""
    pen = Pen()
    ribbon(pen, cells(arch), 240, 52)
    label = f"{arch.depth:,} layers: {escape(arch.pattern)}"
    return f'<svg viewBox="0 0 240 52" preserveAspectRatio="none" role="img" aria-label="{label}">{"".join(pen.out)}</svg>'
