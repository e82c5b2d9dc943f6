"""The gallery: the search, the filters, one of four views of the models that are found, and the bar with those that are ticked."""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from html import escape
from urllib.parse import urlencode

import streamlit as st

from core.facets import ATTENTION, FIGURES, FITS, KIND, LICENCE, Entry, Facet, counts, matches
from core.search import pieces
from core.words import figure, size, tokens

from .. import finding as page
from ..facts import entries, exactly, idle, meant, unmet
from ..finding import AREAS, COLOURS, LINES, SORTS, VIEWS, Finding
from ..picture.scatter import scatter
from ..picture.timeline import lanes, timeline
from ..state import MOST
from .cards import cards, closed_card, picture
from .component import component
from .listing import table

_gallery = component(
    "gallery",
    '<div class="strata-root"><div class="find"><input type="search" aria-label="Search" autocomplete="off" spellcheck="false" '
    'placeholder="MLA, window 128, moe under 10b active, newest …"><div class="views" role="group" aria-label="View"></div></div>'
    '<div class="rest"></div></div>',
    ".strata-root",
)
ICONS = {
    "cards": "M2 2h5v5H2zM9 2h5v5H9zM2 9h5v5H2zM9 9h5v5H9z", "table": "M2 3h12v10H2zM2 6.5h12M6.5 6.5V13",
    "scatter": "M2.5 2v11.5H14M6 10h.01M8.5 6.5h.01M12 4h.01", "timeline": "M2 5h12M2 11h12M5 3.5v3M10 9.5v3",
}  # fmt: skip
KINDS = {"hybrid": "see-hybrid", "recurrent": "mtp", "moe": "experts", "dense": "feed_forward"}  # what says most comes first
LICENCES = {"open": "cache", "own": "norm"}
TRIED = 8  # words of a query without an answer
YEARS = ("cost-4", "cost-3", "cost-2", "norm")  # the latest is the darkest


def gallery(finding: Finding, closed: Sequence[dict]) -> tuple[str, dict] | None:
    """The models that are found; another page and its URL parameters, if one was asked for. `closed` are those whose architecture is not
    disclosed, which only cards show."""

    def acted() -> None:
        page.act(st.session_state["gallery"].acted)

    narrow = bool(st.session_state.get("gallery", {}).get("narrow"))
    html = _bar(finding, closed) + _view(finding, closed, not narrow) + _ticked(finding)
    data = {"q": finding.q, "views": _views(finding), "html": html, "narrow": narrow}
    action = _gallery(key="gallery", data=data, on_acted_change=acted, on_narrow_change=lambda: None).acted
    return page.leads(action, finding)


# ---- the controls above the models ----


def tone(facet: str, option: str) -> str:
    """The colour of an option, a name of the palette; empty if it has none."""
    return f"see-{option}" if facet == ATTENTION.name else {**KINDS, **LICENCES}.get(option, "") if facet in ("kind", "licence") else ""


def _views(finding: Finding) -> str:
    return "".join(
        f'<button type="button" data-do="set" data-name="view" data-value="{name}" data-key="view {name}" '
        f'aria-pressed="{str(name == finding.view).lower()}"><svg viewBox="0 0 16 16" aria-hidden="true"><path d="{ICONS[name]}"/></svg>'
        f"<span>{words}</span></button>"
        for name, words in VIEWS.items()
    )


def _bar(finding: Finding, closed: Sequence[dict]) -> str:
    found, everything = finding.models(), page.everything()
    asked = finding.asked()
    filters = "".join(_filter(facet, finding, asked) for facet in everything if facet is not LICENCE)
    many = sum(map(len, finding.chosen.values()))
    fold = f'<button type="button" class="fold" aria-expanded="false">Filters{f"<b>{many}</b>" if many else ""}</button>'
    chips = "".join(
        f'<button type="button" class="chip" data-do="filter" data-name="{facet.name}" data-value="{escape(name)}" '
        f'aria-label="Drop the filter {escape(_chip(facet, name))}">{escape(_chip(facet, name))} <i>✕</i></button>'
        for facet in everything
        for name in finding.chosen.get(facet.name, ())
    )
    clear = '<button type="button" class="link" data-do="clear">Clear all</button>' if chips else ""
    more = f" · {len(closed)} not disclosed" if closed and finding.view == "cards" else ""
    instead = f" for “{escape(other)}”; none has “{escape(finding.q)}”" if (other := meant(finding.q)) else ""
    vain = "".join(f" · {escape(words)}" for words in idle(finding.q))
    count = f'<span class="count" role="status"><b>{len(found)}</b> of {len(entries())} models{more}{instead}{vain}</span>'
    return (
        f'<div class="bar">{fold}<div class="filters" role="group" aria-label="Filters">{filters}{_open(finding)}</div></div>'
        f'<div class="under">{count}{chips}{clear}<span class="gap"></span>{_beside(finding)}</div>'
    )


def _chip(facet: Facet, name: str) -> str:
    """What a filter is called where its facet is not beside it."""
    title = facet.option(name).title
    words = {"active": "{} active", "length": "context {}", "fits": "fits {}", "experts": "{} experts", "window": "window {}"}
    return words.get(facet.name, "{}").format(title)


def _filter(facet: Facet, finding: Finding, asked: Sequence[Entry]) -> str:
    """A facet as a button that opens its options, each with the number of models that it would show."""
    chosen = finding.chosen.get(facet.name, ())
    found = counts(asked, finding.chosen, facet)
    most = max(found.values(), default=1)
    rows = "".join(
        f'<label class="{"none" if not found[one.name] else ""}"><input type="checkbox" data-do="filter" data-name="{facet.name}" '
        f'data-value="{escape(one.name)}" data-key="{facet.name} {escape(one.name)}"{" checked" if one.name in chosen else ""}>'
        + (f'<i class="dot" style="background:var(--{tone(facet.name, one.name)})"></i>' if tone(facet.name, one.name) else "")
        + f"<span>{escape(one.title)}<small>{escape(one.line)}</small></span>"
        f'<i class="much"><b style="width:{100 * found[one.name] / most:.0f}%"></b></i><em>{found[one.name]}</em></label>'
        for one in facet.options
    )
    line = f"{facet.line} of {tokens(finding.length)}" if facet is FITS else facet.line
    clear = f'<button type="button" class="link" data-do="clear" data-name="{facet.name}">Clear</button>' if chosen else ""
    number = f"<b>{len(chosen)}</b>" if chosen else ""
    return (
        f'<details class="filter" data-key="{facet.name}"><summary>{facet.title}{number}</summary><div class="panel">'
        f'<header><h2>{escape(line)}</h2>{clear}</header><div class="options">{rows}</div>'
        f"<footer>Counts follow the other filters.</footer></div></details>"
    )


def _open(finding: Finding) -> str:
    on = "open" in finding.chosen.get(LICENCE.name, ())
    line = escape(LICENCE.option("open").line)
    return (
        f'<button type="button" class="toggle" data-do="filter" data-name="licence" data-value="open" aria-pressed="{str(on).lower()}" '
        f'title="{line}">Open licence</button>'
    )


def _choice(words: str, name: str, options: dict[str, str], chosen: str, about: str = "") -> str:
    listed = "".join(
        f'<option value="{escape(value)}"{" selected" if value == chosen else ""}>{escape(title)}</option>'
        for value, title in options.items()
    )
    tip = f' title="{about}"' if about else ""
    return f'<label class="choice"{tip}>{words} <select data-do="set" data-name="{name}" data-key="{name}">{listed}</select></label>'


def _beside(finding: Finding) -> str:
    """The settings of a view that stand beside the count."""
    lengths = {name: name.upper() for name in page.LENGTHS}
    about = "The length of the text that caches, memory and machines are for"
    text = _choice("Text", "text", lengths, tokens(finding.length).lower(), about) if finding.view != "timeline" else ""
    file = f'{text}<a class="file" href="/gallery.csv?{escape(urlencode(page.write(finding)))}" download="models.csv">CSV</a>'
    if finding.view in ("cards", "table"):
        first = {"": "best match" if finding.q else "newest"}  # of those that answer as well, the newest comes first
        sorts = {name: words for name, words in SORTS.items() if finding.q or name != "-released"} | first
        sort = "" if finding.sort == "-released" and not finding.q else finding.sort
        sorts |= {} if sort in sorts else {sort: "by a column"}
        return _choice("Sort", "sort", sorts, sort) + file
    return file


# ---- the views ----


def _view(finding: Finding, closed: Sequence[dict], wide: bool) -> str:
    found = finding.models()
    if not found and not (closed and finding.view == "cards"):
        return _none(finding)
    shown = [(one, matches(one, finding.chosen)) for one in finding.asked()]
    if finding.view == "table":
        return table(found[: finding.many], finding) + _more(finding, len(found))
    if finding.view == "timeline":  # who brought a technique is asked of all models, not only of those that answer the search
        inside = {one.arch.name for one in found}
        shown = [(one, one.arch.name in inside) for one in entries()]
        return (
            f'<p class="says">{escape(_brought(shown))}</p><div class="chart">{timeline(shown, wide, finding.pick)}{_looked(finding)}</div>'
        )
    if finding.view == "scatter":
        figures = {name: one.title for name, one in FIGURES.items()}
        tones = {one.arch.name: colour(one, finding.colour) for one, _ in shown}
        controls = (
            _choice("Across", "x", figures, finding.x) + _choice("Up", "y", figures, finding.y)
            + _choice("Colour", "colour", COLOURS, finding.colour) + _choice("Size", "area", AREAS, finding.area)
            + (_choice("Lines for", "lines", LINES, finding.lines) if finding.x == "parameters" else "")
        )  # fmt: skip
        drawn = scatter(shown, (finding.x, finding.y), finding.area, tones, finding.lines, wide, finding.pick)
        says = f'<p class="says">{escape(_spans(finding, found))}</p>'
        return f'{says}<div class="chart"><div class="controls">{controls}</div>{_legend(finding, shown)}{drawn}{_looked(finding)}</div>'
    html = cards(found[: finding.many], finding.pick, finding.sorted_by)
    html += "".join(map(closed_card, closed)) if len(found) <= finding.many else ""
    return f'{KEY}<div class="cards">{html}</div>{_more(finding, len(found))}'


def _brought(shown: Sequence[tuple[Entry, bool]]) -> str:
    """What the timeline answers, in a sentence."""
    rows = lanes(shown)
    if not rows:
        return "No release date of these models is known."
    last = rows[-1]
    missing = sum(kept and not one.day for one, kept in shown)
    left_out = f" {missing} model{'s are' if missing > 1 else ' is'} not drawn: the date is not known." if missing else ""
    return (
        f"{len(rows)} techniques, each with the model here that brought it and all that have it since. The latest is "
        f"{last.technique.title}, with {last.models[0].arch.title}.{left_out}"
    )


def _spans(finding: Finding, found: Sequence[Entry]) -> str:
    """What the scatter answers, in a sentence: who has the least and the most of what goes up."""
    figure = FIGURES[finding.y]
    known = [one for one in found if figure.get(one)]
    title = f"{figure.title} of {tokens(finding.length)}" if finding.y == "text" else figure.title
    words = f"{title}: none of these models has any."
    if len(known) == 1:
        words = f"{title}: {figure.show(figure.get(known[0]) or 0)} ({known[0].arch.title})."
    elif known:
        least, most = (which(known, key=lambda one: figure.get(one) or 0) for which in (min, max))
        ends = " to ".join(f"{figure.show(figure.get(one) or 0)} ({one.arch.title})" for one in (least, most))
        words = f"{title} goes from {ends}."
    for axis in {finding.x: FIGURES[finding.x], finding.y: figure}.values():
        if not axis.endless and (missing := sum(axis.get(one) is None for one in found)):
            words += f" {missing} model{'s are' if missing > 1 else ' is'} not drawn: {axis.title.lower()} not known."
    return words


def _swatch(tone: str, words: str) -> str:
    return f'<span class="swatch"><i style="background:var(--{tone})"></i>{words}</span>'


KEY = (
    '<p class="key"><span>A column is a layer. Above, what mixes tokens:</span>'
    + _swatch("attention", "attention")
    + _swatch("attention-near", "to a part of the text")
    + _swatch("recurrence", "recurrence")
    + "<span>Below, what works on each token:</span>"
    + _swatch("feed_forward", "one network")
    + _swatch("experts", "experts")
    + "</p>"
)


@cache
def _latest() -> int:
    """The year of the latest model."""
    return max(one.arch.released.year for one in entries() if one.arch.released)


def colour(one: Entry, by: str) -> str:
    """The colour of a model by what a visitor chose: what says most about it."""
    if by == "kind":
        return next(tone for name, tone in KINDS.items() if name in one.options["kind"])
    if by == "licence":
        return LICENCES["open" if "open" in one.options["licence"] else "own"]
    if by == "year":
        latest = _latest()
        return YEARS[min(latest - one.arch.released.year, len(YEARS) - 1)] if one.arch.released else "norm"
    return f"see-{one.attention}" if one.attention else "norm"


def _legend(finding: Finding, shown: Sequence[tuple[Entry, bool]]) -> str:
    """What the colours mean, with the number of models of each, and what a hollow point is."""
    by = finding.colour
    if by == "year":
        latest = _latest()
        names = {tone: f"{latest - n}{' and before' if n + 1 == len(YEARS) else ''}" for n, tone in enumerate(YEARS)}
    elif by == "attention":
        names = {f"see-{one.name}": one.title for one in ATTENTION.options}
    else:
        names = {tone(by, one.name): one.title for one in (KIND if by == "kind" else LICENCE).options}
    inside = [colour(one, by) for one, kept in shown if kept]
    items = "".join(
        f'<span class="pill"><i style="background:var(--{tone})"></i>{escape(words)} <em>{inside.count(tone)}</em></span>'
        for tone, words in names.items()
        if tone in inside
    )
    rings = "<span class=pill><i class=ring></i>filtered out</span>" if len(inside) < len(shown) else ""
    once = "<span>A model with several has the colour of the last that is listed.</span>" if by == "attention" else ""
    return f'<p class="key">{items}{rings}{once}</p>'


def _none(finding: Finding) -> str:
    """No model is found: what to loosen."""
    asked = finding.asked()
    if not asked:
        fewer = "Use fewer words, or a maker's name" if len(pieces(finding.q)) > 1 else "Use a technique, a figure or a maker's name"
        why = unmet(finding.q) or (f"No model answers “{finding.q}”", fewer)
        words = f"{'. '.join(why)}."
    else:
        words = f"{len(asked)} model{'s' * (len(asked) != 1)} answer the search, but the filters hide all of them."
    ways = [] if asked else [*_fewer(finding.q)]
    for facet in page.everything():
        if options := finding.chosen.get(facet.name):
            without = sum(matches(one, finding.chosen, facet.name) for one in asked)
            if without:
                name = ", ".join(_chip(facet, one) for one in options)
                ways.append(
                    f'<button type="button" class="chip" data-do="clear" data-name="{facet.name}">'
                    f"without {escape(name)}: {without}</button>"
                )
    ways.append('<button type="button" class="chip" data-do="loosen">show all models</button>')
    return f'<div class="nothing"><p>{escape(words)}</p>{"".join(ways)}</div>'


def _fewer(query: str) -> Iterator[str]:
    """The queries that have an answer, without one of the pieces, or else without those that have none with the pieces before them. Of a
    long query only the first pieces are tried."""
    said = pieces(query)[:TRIED]
    rests = [kept for n in range(len(said)) if exactly(" ".join(kept := [*said[:n], *said[n + 1 :]]))] if len(said) > 1 else []
    if not rests:
        rests = [[]]
        for word in said:
            rests[0] += [word] if exactly(" ".join((*rests[0], word))) else []
    for words, rest in {" ".join(rest): rest for rest in rests if rest}.items():
        left_out = ", ".join((Counter(said) - Counter(rest)).elements())
        yield (
            f'<button type="button" class="chip" data-do="find" data-value="{escape(words)}">'
            f"without {escape(left_out)}: {len(exactly(words))}</button>"
        )


def _more(finding: Finding, count: int) -> str:
    left = count - finding.many
    if left <= 0:
        return ""
    many = f'data-value="{finding.many + page.STEP}"'
    return f'<button type="button" class="more" data-do="more" {many}>Show {min(left, page.STEP)} more of {left}</button>'


def _looked(finding: Finding) -> str:
    """The card of the point that was clicked."""
    one = next((one for one in entries() if one.arch.name == finding.look), None)
    if not one:
        return ""
    one = one.at(finding.length)
    arch = one.arch
    facts = {
        "Parameters": figure(one.parameters), "Active": figure(one.active) if one.active != one.parameters else "all",
        f"{tokens(one.length)} text": size(one.text), "Fits": one.fits or "–",
    }  # fmt: skip
    return (
        f'<div class="looked"><aside class="look" aria-label="{escape(arch.title)}"><header><div><h2>{escape(arch.title)}</h2>'
        f"<p>{escape(' · '.join(filter(None, (arch.organisation, one.month))))}</p></div>"
        f'<button type="button" class="link" data-do="look" aria-pressed="true" data-name="{escape(arch.name)}" '
        'aria-label="Close">✕</button></header>'
        f"{picture(arch)}<dl>{''.join(f'<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>' for k, v in facts.items())}</dl>"
        f"<footer>{_tick(arch.name, finding.pick)}"
        f'<a class="go" href="/workbench?preset={escape(arch.name)}" data-open="{escape(arch.name)}">Open</a></footer></aside></div>'
    )


def _tick(name: str, pick: Sequence[str]) -> str:
    on = name in pick
    off = " disabled" if len(pick) >= MOST and not on else ""
    return (
        f'<button type="button" class="toggle" data-do="pick" data-name="{escape(name)}" aria-pressed="{str(on).lower()}"{off}>'
        "Compare</button>"
    )


def _ticked(finding: Finding) -> str:
    """The bar at the lower edge: the models that are ticked."""
    if not finding.pick:
        return ""
    titles = {one.arch.name: one.arch.title for one in entries()}
    chips = "".join(
        f'<button type="button" class="chip" data-do="pick" data-name="{escape(name)}" aria-label="Untick {escape(titles[name])}">'
        f"{escape(titles[name])} <i>✕</i></button>"
        for name in finding.pick
    )
    ready = len(finding.pick) > 1
    hint = "tick one more" if not ready else f"tick up to {MOST}" if len(finding.pick) < MOST else ""
    go = (
        f'<a class="go" href="/compare?{escape(urlencode([("m", name) for name in finding.pick]))}" data-compare="1">Compare →</a>'
        if ready
        else ""
    )
    return (
        f'<div class="tray" role="region" aria-label="Ticked models"><b>{len(finding.pick)} selected</b>{chips}<span>{hint}</span>'
        f'<span class="gap"></span><button type="button" class="link" data-do="unpick">Clear</button>{go}</div>'
    )
