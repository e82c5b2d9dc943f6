"""From GPT-2 to today: the steps with their score, what one of them changed, and the field's habits at a glance."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from math import log
from urllib.parse import quote, urlencode

import streamlit as st

import core
from app.demos import DEMOS
from app.glossary import explained
from core.diff import MOVED, Moves
from core.evolution import Evolution, Source, Step, adoption, evolution
from core.facets import TEXT
from core.library import preset
from core.modern import ANSWERS, HABITS, by_year, standing
from core.saying import joined
from core.words import change, percent, tokens

from .. import state as page
from ..facts import exactly, graph, picture_of
from ..finding import everything
from .component import component
from .page import notice
from .reading import demonstration, side

_stepper = component("stepper", '<div class="strata-root"></div>', ".strata-root")
VIEWS = {"": "The edits", "habits": "The habits"}
BUDGETS = {"": "GPT-2's own", "300M": "300 M", "1B": "1 B", "3B": "3 B", "10B": "10 B", "30B": "30 B"}  # active parameters
ACTIVE = {"300M": 3e8, "1B": 1e9, "3B": 3e9, "10B": 1e10, "30B": 3e10}
CONTEXTS = {"4096": "4K", "": "32K", "131072": "128K"}
SHOWN = {"before": "Before", "": "After"}
ASKED: dict[str, Mapping[str, str]] = {"view": VIEWS, "budget": BUDGETS, "context": CONTEXTS, "show": SHOWN}
COLOURS = {
    "parameters": "experts", "active_parameters": "experts", "weight_bytes": "embedding-2", "kept_bytes": "cache",
    "decode_flops": "attention", "read_bytes": "feed_forward",
}  # fmt: skip
# The demonstration that helps with a step, by the step's name.
DEMO_OF = {
    "rope": "rope", "yarn": "rope", "swiglu": "activations", "bf16": "formats", "fp8": "formats", "mxfp4": "formats", "grouped": "heads",
    "latent": "latent", "sparse": "sight", "windows": "sight", "ratio": "sight", "sigmoid": "routing", "balance": "routing",
    "hybrid": "state",
}  # fmt: skip


# ---- the address ----


@dataclass(frozen=True)
class Asked:
    """What the page shows: a value of each of `ASKED`, and a step."""

    view: str
    budget: str
    context: str
    show: str
    step: str

    def chain(self) -> Evolution:
        return evolution(ACTIVE.get(self.budget), core.Workload(context=int(self.context or TEXT)))


def asked() -> Asked:
    """What the address asks for. What it cannot ask for is said, and left out."""
    given = {}
    for name, options in ASKED.items():
        value = st.query_params.get(name, "")
        if value not in options:
            notice(f"{name}: {value[:40]!r} cannot be shown; give {joined(filter(None, options))}", "bad")
            value = ""
        given[name] = value
    chain = evolution()
    step = chain[0]
    try:
        step = chain.step(st.query_params.get("step") or step.idea.name)
    except core.Unsupported as error:
        notice(str(error), "bad")
    return Asked(**given, step=step.idea.name)


def choose(name: str, value: str) -> None:
    """Write a choice to the address, without defaults."""
    if name == "start":  # GPT-2 itself is what the first step changes
        choose("step", "")
        choose("show", "before")
    elif value:
        st.query_params[name] = value
    elif name in st.query_params:
        del st.query_params[name]


def _control(html: str, key: str) -> None:
    """HTML whose buttons have the name and the value of a choice."""

    def chosen() -> None:
        match st.session_state[key].chosen:
            case {"name": "step", "value": str(value)} if value in [one.idea.name for one in evolution()]:
                choose("step", value)
                choose("show", "")
            case {"name": str(name), "value": str(value)} if name == "start" or value in ASKED.get(name, ()):
                choose(name, value)

    _stepper(key=key, data={"html": html}, on_chosen_change=chosen)


def _options(words: str, name: str, now: str) -> str:
    """The options of a choice as buttons beside each other."""
    buttons = (
        f'<button type="button" data-name="{name}" data-value="{value}" aria-pressed="{str(value == now).lower()}">{escape(shown)}</button>'
        for value, shown in ASKED[name].items()
    )
    said = f"<span>{escape(words)}</span>" if words else ""
    return f'<div class="options" role="group" aria-label="{escape(words or name)}">{said}{"".join(buttons)}</div>'


# ---- the steps and their score ----


@dataclass(frozen=True)
class Line:
    """A row of the score: a figure after each step. On a log scale the experts' size does not squash the rest."""

    words: str
    figure: str
    values: list[float]
    log: bool

    def show(self, value: float) -> str:
        return MOVED[self.figure].show(value)

    def height(self, value: float) -> float:
        """Percent of the row's height."""
        most, least = max(self.values), min(filter(None, self.values), default=1) / 1.7
        share = log(max(value, least) / least) / log(most / least) if self.log else value / (most or 1)
        return round(100 * share, 1)


def stepper(chain: Evolution, now: Asked) -> None:
    """The choices of the page, and the steps; each is a column with its figures."""
    own = {"Size, in active parameters": ("budget", now.budget), "Tokens of the text": ("context", now.context)}
    choices = "".join(_options(words, *choice) for words, choice in own.items())
    start, context = chain.start, tokens(chain[0].workload.context)
    kept = "the feed-forward network or the experts are as wide as the budget allows after each step" if now.budget else "as in GPT-2 small"
    note = (
        f"{start.depth} layers of {start.d_model:,} channels, {kept}; one text of {context} tokens, also where a model was made for less."
    )
    html = f'<div class="choices">{_options("", "view", now.view)}{choices}</div><p class="note">{note}</p>{_score(chain, now)}'
    _control(html, "stepper")


def _score(chain: Evolution, now: Asked) -> str:
    scores, at = chain.scores, [one.idea.name for one in chain].index(now.step) + 1
    reached = chain.index(chain.reached) + 1
    lines = [
        Line("Parameters", "parameters", [one.parameters for one in scores], True),
        Line("Cache per token", "kept_bytes", [one.each for one in scores], False),
        Line("Decode", "decode_flops", [one.decode for one in scores], False),
        Line("As shipped", "weight_bytes", [one.weights for one in scores], True),
    ]
    heads = "".join(
        f'<div class="k"><span>{one.words}{" <small>log</small>" if one.log else ""}</span><b></b><em></em></div>' for one in lines
    )
    columns = []
    for number, name in enumerate(("start", *(one.idea.name for one in chain))):
        label, words = ("GPT-2", "GPT-2") if not number else (chain[number - 1].idea.label, chain[number - 1].idea.title)
        values = [line.show(line.values[number]) for line in lines]
        moved = [change(line.values[number], line.values[number - 1], line.show) if number else "" for line in lines]
        bars = "".join(
            f'<i><s style="height:{one.height(one.values[number])}%;background:var(--{COLOURS[one.figure]})"></s></i>' for one in lines
        )
        aloud = f"{number or 'Start'}, {words}: " + ", ".join(f"{line.words} {value}" for line, value in zip(lines, values, strict=True))
        when = "on" if number == at else "past" if number < at else "next"
        kind = "step" if number else "start"
        current = ' aria-current="step"' if number == at else ""
        columns.append(
            f'<button type="button" class="{when}{" since" * (number == reached + 1)}" data-name="{kind}" '
            f'data-value="{name * bool(number)}" tabindex="{0 if number == at else -1}"{current} '
            f'aria-label="{escape(aloud)}" data-said="{escape("|".join(values))}"'
            f' data-moved="{escape("|".join(moved))}"><span>{escape(label)}</span><u>{number or "•"}</u>{bars}</button>'
        )
    chapters = (
        f'<div class="chapters" style="--first:{reached + 1};--rest:{len(chain) - reached}"><span>to DeepSeek-V3</span>'
        "<span>since then</span></div>"
    )
    return (
        f'<div class="score"><div class="heads">{heads}</div><div class="scroll" role="group" aria-label="Steps">{chapters}'
        f'<div class="steps">{"".join(columns)}</div></div></div>'
    )


# ---- one step ----


def step(chain: Evolution, now: Asked) -> None:
    """What a step changed, beside the picture of the model before or after it."""
    one, number = chain.step(now.step), [each.idea.name for each in chain].index(now.step) + 1
    before = now.show == "before"
    boxes = _boxes(one, before)
    words, picture = st.columns([1.25, 1], gap="large")
    with picture, st.container(key="side"):
        which = "GPT-2" if before and number == 1 else f"The model {'before' if before else 'after'} step {number}"
        _control(f'<div class="which"><h3>{which}</h3>{_options("", "show", now.show)}</div>', "which-picture")
        arch = one.before if before else one.after.model_copy(update={"title": f"Step {number}: {one.idea.label}"})
        side({now.step: ("", picture_of(arch, "", False))}, "picture", [node for nodes in boxes.values() for node in nodes])
    with words:
        _told(one, number, len(chain), boxes)
        _moved(one)
        _summed(one)
        if one.idea.again:
            _told_there(chain.step(one.idea.again), chain)
        else:
            _introduced(one)
            _taken_up(one)
        if (name := DEMO_OF.get(now.step)) in DEMOS:
            demonstration(name)
    _control(_around(chain, number), "around")


def _told(one: Step, number: int, of: int, boxes: Mapping[str, list[str]]) -> None:
    idea = one.idea
    day = f" · {_month(idea.source.date)}" if idea.source else ""
    both = escape(urlencode([("m", page.word(one.before)), ("m", page.word(one.after))]))
    st.html(
        f'<div class="reading step"><p class="at"><b>Step {number} of {of}</b>{day}</p><h2>{escape(idea.title)}</h2>'
        + explained(f"<p>{escape(idea.replaces)} {_lit(boxes)}</p><p><b>What it costs or risks.</b> {escape(idea.risk)}</p>")
        + f'<p class="edit">{"".join(f"<code>{escape(edit.words)}</code>" for edit in one.edits)}</p>'
        f'<p class="go"><a href="/workbench{escape(page.link(page.opened(one.after)))}" target="_self">Open in Workbench</a>'
        f'<a href="/compare?{both}" target="_self">Compare before and after</a></p></div>'
    )


def _boxes(one: Step, before: bool) -> dict[str, list[str]]:
    """The boxes of the picture that a step is about, by the labels of the outermost; for what is inside a box, that box too."""
    drawn, nodes = graph(one.before if before else one.after).nodes, one.boxes[0 if before else 1]
    found: dict[str, list[str]] = {}
    for node in nodes:
        around = [node]
        while drawn.get(of := drawn[around[0]]["parent"], {"kind": "model"})["kind"] not in ("model", "block"):
            around.insert(0, of)
        named = next(one for one in around if one in nodes)
        found.setdefault(drawn[named]["label"], []).extend(around)
    return {label: [*dict.fromkeys(own)] for label, own in found.items()}


def _lit(boxes: Mapping[str, list[str]]) -> str:
    """Links into the picture."""
    links = [
        f'<a class="ref" href="#" data-node="{escape(" ".join(nodes))}">{escape(label)}</a>'
        for label, nodes in boxes.items()
        if label != "+"
    ]
    return f"In the picture: {joined(links[:4])}." if links else ""


def _moved(one: Step) -> None:
    """The figures that moved, before and after."""
    moves = one.moves
    if not moves:
        st.html('<div class="moved"><h3>What moved</h3><p>No figure: the sizes stay, what they are used for changes.</p></div>')
        return
    each = one.workload.context * one.workload.batch
    told = [name for name in moves if name != "active_parameters" or moves[name] != moves.get("parameters")]
    st.html(f'<div class="moved"><h3>What moved</h3>{"".join(_row(name, moves, each) for name in told)}</div>')


def _row(name: str, moves: Moves, kept: int) -> str:
    then, now = moves[name]
    words, show = MOVED[name].title, MOVED[name].show
    if then is None or now is None:
        return ""
    if name == "kept_bytes":
        words, then, now = "Cache per token", then / kept, now / kept  # type: ignore[assignment]
    most, colour = max(then, now) or 1, COLOURS[name]
    bar = f'<i><s style="width:{100 * now / most:.1f}%;background:var(--{colour})"></s><u style="left:{100 * then / most:.1f}%"></u></i>'
    return (
        f"<div><span>{words}</span><span>{escape(show(then))} → <b>{escape(show(now))}</b></span>{bar}"
        f"<em>{escape(change(now, then, show))}</em></div>"
    )


def _summed(one: Step) -> None:
    """The sums that changed, with their numbers."""
    if not one.sums:
        return
    words = "What each token leaves" if all(c.kv_bytes == c.kv_bytes_per_token * c.workload.context for c in one.costs) else "What is kept"
    told = "".join(
        f"<dt>{escape(words if figure == 'kept_bytes' else MOVED[figure].title)}</dt>"
        f"<dd><small>before</small> {_sum(before, after)}</dd><dd><small>after</small> {_sum(after, before)}</dd>"
        for figure, before, after in one.sums
    )
    st.html(f'<div class="summed"><h3>The sum that changed</h3><dl>{told}</dl></div>')


def _sum(own: str, other: str) -> str:
    """A sum, in which the terms that the other one lacks stand out."""
    ends = r"( \+ | = |[()]| layers × | values × )"
    there = {*re.split(ends, other)}
    pieces = (escape(piece) if piece in there or n % 2 else f"<b>{escape(piece)}</b>" for n, piece in enumerate(re.split(ends, own)))
    return "".join(pieces) if own else "nothing"


def _told_there(one: Step, chain: Evolution) -> None:
    to = escape(urlencode(st.query_params.to_dict() | {"step": one.idea.name}))
    number = chain.index(one) + 1
    st.html(
        '<div class="taken"><h3>Who introduced it, and who uses it now</h3>'
        f'<p>This step goes back to <a href="/evolution?{to}" target="_self">step {number}, {escape(one.idea.title)}</a>, '
        "which says it.</p></div>"
    )


def _introduced(one: Step) -> None:
    source, names = one.idea.source, one.adoption.names
    dated = [name for name in names if preset(name).released]
    first = "".join(f"<li>{_model(name)}, {_month(f'{preset(name).released:%Y-%m}')}</li>" for name in dated[:3])
    st.html(
        f'<div class="pair"><div><h3>Who introduced it</h3><p>{_source(source)}{_form(one.idea.form)}</p></div>'
        f"<div><h3>First in the gallery</h3><ul>{first}</ul></div></div>"
    )


def _source(source: Source | None) -> str:
    if source is None:
        return "No paper: models had one before they began to tie it to the embedding."
    if source.model:
        return f"Of the models here, {_model(source.model)} had it first, {_month(source.date)}, without a paper."
    return f"{_paper(source)}."


def _form(source: Source | None) -> str:
    return f" The form of this step: {_paper(source)}." if source else ""


def _paper(source: Source) -> str:
    paper = f'<a href="https://arxiv.org/abs/{source.arxiv}" target="_blank" rel="noopener">arXiv:{source.arxiv}</a>'
    return f"{escape(source.title)}, {paper}, {_month(source.date)}"


def _taken_up(one: Step) -> None:
    """Which models have it, and the share of each year's."""
    found = one.adoption
    names, all_ = found.names, len(core.presets())
    columns = "".join(
        f'<div><b>{percent(have / count)}</b><i><s style="height:{100 * have / count:.1f}%"></s></i><span>{year}</span>'
        f"<small>{have} of {count}</small></div>"
        for year, (have, count) in found.years.items()
    )
    query = gallery_of(one.idea.name, one.idea.title, one.idea.label)
    more = f'<a href="/?{escape(query)}" target="_self">Show them in the gallery</a>' if query else ""
    listed = ", ".join(map(_model, reversed(names)))
    st.html(
        f'<div class="taken"><h3>Who uses it now</h3><p>{len(names)} of the {all_} models of the gallery {one.idea.counted}. {more}</p>'
        f'<div class="years">{columns}</div>'
        f"<details><summary>All {len(names)}, the latest first</summary><p>{listed}</p></details></div>"
    )


@lru_cache(maxsize=64)
def gallery_of(name: str, *words: str) -> str:
    """The gallery's filter or search that shows exactly the models which have a step's idea; empty if there is none."""
    names = set(adoption(name).names)
    for facet in everything():
        for option in facet.options:
            if {one.arch.name for one in exactly("") if option.name in one.options[facet.name]} == names:
                return urlencode({facet.name: option.name})
    return next((urlencode({"q": one}) for one in words if {found.arch.name for found in exactly(one)} == names), "")


def _around(chain: Evolution, number: int) -> str:
    """The steps before and after this one."""

    def link(to: int, way: str) -> str:
        if not 1 <= to <= len(chain):
            return "<span></span>"
        idea = chain[to - 1].idea
        words = f"← {to} · {escape(idea.label)}" if way == "back" else f"{to} · {escape(idea.label)} →"
        about = "" if way == "back" else f"<span>Next: {escape(idea.replaces)}</span>"
        return f'{about}<button type="button" class="{way}" data-name="step" data-value="{idea.name}" data-up="1">{words}</button>'

    return f'<div class="around">{link(number - 1, "back")}<div>{link(number + 1, "on")}</div></div>'


def _model(name: str) -> str:
    return f'<a href="/workbench?preset={quote(name)}" target="_self">{escape(preset(name).title)}</a>'


def _month(day: str) -> str:
    year, month = day.split("-")
    return f"{'Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec'.split()[int(month) - 1]} {year}"


# ---- the habits ----


def common() -> str:
    """How common the habits are among the models of the latest year."""
    years = by_year()
    latest = max(year for found in years.values() for year in found)
    shares = {one: have / all_ for one in HABITS if latest in years[one.name] for have, all_ in (years[one.name][latest],)}
    *_, last = ranked = sorted(shares, key=shares.__getitem__, reverse=True)
    return (
        f"{sum(share >= 0.5 for share in shares.values())} of {len(HABITS)} habits are those of most models of {latest} that they apply "
        f"to: the most common is {ranked[0].title} ({percent(shares[ranked[0]])}), the rarest {last.title} ({percent(shares[last])})."
    )


def habits() -> None:
    """The field's habits in all presets, by date."""
    _control(f'<div class="choices">{_options("", "view", "habits")}</div>', "views")
    st.html(_table())
    terms = "".join(f"<dt>{escape(one.title)}</dt><dd>{escape(one.line)}</dd>" for one in HABITS)
    st.html(f'<dl class="terms">{terms}</dl>')


@lru_cache(maxsize=1)
def _table() -> str:
    """A row for each year with the shares, and below it one for each of its models, the newest first."""
    answers, years = standing(), by_year()
    heads = "".join(f'<th scope="col" title="{escape(one.line)}"><span>{escape(one.label)}</span></th>' for one in HABITS)
    rows: list[str] = []
    archs = sorted(map(preset, core.presets()), key=lambda arch: (arch.released is not None, arch.released), reverse=True)
    year: int | None = 0
    for arch in archs:
        now = arch.released.year if arch.released else None
        if now != year:
            year, count = now, sum((one.released and one.released.year) == now for one in archs)
            cells = "".join(_share(*years[one.name].get(now or 0, (0, 0))) for one in HABITS)
            words = f"{now or 'No date'} <small>{count} model{'s' * (count > 1)}</small>"
            rows.append(f'<tr class="year"><th scope="row">{words}</th>{cells}</tr>')
        own = (answers[one.name][arch.name] for one in HABITS)
        cells = "".join(f'<td class="{str(answer).lower()}">{ANSWERS[answer]}</td>' for answer in own)
        rows.append(f'<tr><th scope="row">{_model(arch.name)}</th>{cells}</tr>')
    key = (
        '<p class="key"><i class="true"></i>yes <i class="false"></i>no <i class="none"></i>does not apply. Of a year: the share of the '
        "models that it applies to, if they are at least five.</p>"
    )
    table = f'<table><thead><tr><th scope="col">Model</th>{heads}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
    return f'<div class="habits">{key}<div class="all" tabindex="0" role="region" aria-label="Habits of all models">{table}</div></div>'


def _share(have: int, of: int) -> str:
    if not of:
        return '<td class="few">·</td>'
    share = have / of
    return f'<td title="{have} of {of}"><b class="c{min(4, int(share * 5))}">{round(100 * share)}<span> %</span></b></td>'
