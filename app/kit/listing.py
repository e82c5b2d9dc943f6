"""The gallery's table: a row for each model, with its layers and its figures as bars."""

import math
from collections.abc import Sequence
from html import escape

from core.facets import ATTENTION, FIGURES, Entry
from core.hardware import ACCELERATORS
from core.words import figure, size, tokens

from ..finding import Finding
from ..state import MOST
from .cards import picture


def groups(length: int, kept: str) -> dict[str, dict[str, str]]:
    """Groups of columns; a column has its title and the figure that it shows and sorts by. `kept` is the one of what a text keeps."""
    return {
        "": {"Model": "", "Layers": ""},
        "Size": {"Parameters": "parameters", "Active": "active"},
        f"One text of {tokens(length)}": {KEPT[kept]: kept, "Fits on": ""},
        "Reads": {"Attention": "", "Context": "context"},
        "Release": {"Released": "released", "Licence": ""},
    }


KEPT = {"cache": "Cache / token", "text": "Memory"}
BARS = {"parameters": "experts", "active": "experts", "cache": "cache", "text": "cache"}  # figures with a bar, and its colour


def table(models: Sequence[Entry], finding: Finding) -> str:
    """The models in their order. The heads of figures sort by them; bars are on a log scale."""
    scales = {name: [math.log10(value) for one in models if (value := FIGURES[name].get(one))] for name in BARS}
    kept = "text" if finding.sorted_by == "text" else "cache"
    own = groups(finding.length, kept)
    heads = "".join(f'<th colspan="{len(columns)}" scope="colgroup">{words}</th>' for words, columns in own.items())
    columns = "".join(_head(words, name, finding.sort) for group in own.values() for words, name in group.items())
    rows = "".join(_row(one, scales, finding.pick, kept) for one in models)
    return (
        f'<div class="list"><table><thead><tr><td></td>{heads}</tr><tr><th scope="col"><span class="aloud">Compare</span></th>'
        f"{columns}</tr></thead>"
        f'<tbody>{rows}</tbody></table></div><p class="aside">Bars are logarithmic.</p>'
    )


def _head(words: str, name: str, sort: str) -> str:
    if not name:
        return f'<th scope="col">{words}</th>'
    way = {name: "ascending", f"-{name}": "descending"}.get(sort, "none")
    arrow = {"ascending": " ↑", "descending": " ↓", "none": ""}[way]
    other = name if sort == f"-{name}" else f"-{name}"
    return (
        f'<th scope="col" class="n" aria-sort="{way}"><button type="button" data-do="set" data-name="sort" data-value="{other}" '
        f'data-key="sort {name}">{words}{arrow}</button></th>'
    )


def _row(one: Entry, scales: dict[str, list[float]], pick: Sequence[str], kept: str) -> str:
    arch, on = one.arch, one.arch.name in pick
    seen = ATTENTION.option(one.attention).title if one.attention else "–"
    dot = f'<i class="dot" style="background:var(--see-{one.attention})"></i>' if one.attention else ""
    machines = [machine.name for machine in ACCELERATORS]
    steps = machines.index(one.fits) + 1 if one.fits else 0
    squares = "".join(f'<i class="{"on" if n < steps else ""}"></i>' for n in range(len(machines)))
    fits = f'<span class="steps">{squares}</span>{escape(one.fits or "–")}'
    when = one.month or "not known"
    context = tokens(one.context) if one.context else "any"
    off = " disabled" if len(pick) >= MOST and not on else ""
    return (
        f'<tr class="{"on" if on else ""}"><td><input type="checkbox" data-do="pick" data-name="{escape(arch.name)}" '
        f'data-key="pick {escape(arch.name)}" aria-label="Compare {escape(arch.title)}"{" checked" if on else ""}{off}></td>'
        f'<th scope="row"><a href="/workbench?preset={escape(arch.name)}" data-open="{escape(arch.name)}">{escape(arch.title)}</a> '
        f"<small>{escape(arch.organisation or '')}</small></th><td>{picture(arch, 22)}</td>"
        f"{_bar('parameters', one.parameters, figure, scales)}{_bar('active', one.active, figure, scales)}"
        f"{_bar(kept, FIGURES[kept].get(one) or 0, size, scales)}<td>{fits}</td>"
        f"<td>{dot}{escape(seen)}</td><td class=n>{context}</td><td class=n>{when}</td>"
        f"<td>{escape(arch.licence or 'not known')}</td></tr>"
    )


def _bar(name: str, value: float, show, scales: dict[str, list[float]]) -> str:
    low, high = (min(scales[name]), max(scales[name])) if scales[name] else (0, 1)
    share = 0.04 + 0.96 * (math.log10(value) - low) / ((high - low) or 1) if value else 0
    return f'<td class=n>{show(value)}<i class="long"><b style="width:{100 * share:.0f}%;background:var(--{BARS[name]})"></b></i></td>'
