"""The gallery's cards: figures and a small picture of every layer, made from the architecture."""

from html import escape

import core
from core.words import figure, size, tokens

from ..facts import cost


def card(arch: core.Architecture) -> str:
    """One architecture's card, a link to its workbench."""
    c = cost(arch)
    active = figure(c.active_parameters) if c.active_parameters != c.parameters else "all"
    facts = {"Parameters": figure(c.parameters), "Active": active, "Cache a token": size(c.kv_bytes_per_token)}
    when = f"{arch.released:%-d %b %Y}" if arch.released else ""
    who = " · ".join(p for p in (arch.organisation, when, f"{tokens(arch.context)} context") if p)
    return (
        f'<a class="card" data-name="{escape(arch.name)}" href="/workbench?preset={escape(arch.name)}"><div><h3>{escape(arch.title)}</h3>'
        f'<p class="who">{escape(who)}</p></div>{ribbon(arch)}<dl>'
        + "".join(f"<div><dt>{k}</dt><dd>{v}</dd></div>" for k, v in facts.items())
        + f'</dl><p class="note">{escape(arch.note or "")}</p></a>'
    )


def closed_card(entry: dict) -> str:
    """A model whose makers have not said what it is: only what they did say."""
    said = "".join(f"<li>{escape(str(line))}</li>" for line in entry["undisclosed"][:4])
    who = f"{entry.get('organisation', '')} · {entry.get('released', '')}"
    return f'<div class="card closed"><div><h3>{escape(entry["title"])}</h3><p class="who">{escape(who)} · not disclosed</p></div><ul>{said}</ul></div>'


def ribbon(arch: core.Architecture) -> str:
    """Every layer as a column: what mixes tokens above, what works on each below; a window is a shorter bar."""
    width, layers = 240, arch.sequence
    step = width / len(layers)
    out = []
    for i, block in enumerate(layers):
        parts = [arch.parts[name] for step_ in block for name in step_.parts]
        mixers = [p for p in parts if p.role == "attention"]
        others = [p for p in parts if p.role != "attention"]
        x, w = i * step, max(step - (1.2 if step > 4 else 0.4), 0.4)
        for j, part in enumerate(mixers):
            tall = 24 / len(mixers)
            kept = 0.45 if getattr(part, "window", None) or getattr(part, "chunk", None) else 1
            out.append(
                f'<rect x="{x:.2f}" y="{24 - tall * (j + kept):.2f}" width="{w:.2f}" height="{tall * kept:.2f}" fill="var(--attention)"/>'
            )
        for j, part in enumerate(others):
            tall = 26 / len(others)
            out.append(
                f'<rect x="{x:.2f}" y="{26 + tall * j:.2f}" width="{w:.2f}" height="{tall - 0.5:.2f}" fill="var(--{part.role})"/>'
            )
    return f'<svg viewBox="0 0 {width} 52" preserveAspectRatio="none" role="img" aria-label="{len(layers)} layers">{"".join(out)}</svg>'
