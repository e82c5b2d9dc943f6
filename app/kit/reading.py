"""A text beside a picture that follows it: what is read is lit in the picture, and the rest of it is dimmed."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from html import escape
from urllib.parse import urlencode

import streamlit as st

from app.article import Article, Bars, Block, Chart, Compare, Demo, Picture, Table, Text, nodes
from app.demos import DEMOS, Control
from app.glossary import glossary
from core.compare import GROWS, LETTERS
from core.facets import FIGURES
from core.library import preset
from core.roles import ROLES
from core.shares import by_role, by_year
from core.words import percent, tokens

from .. import state as page
from ..facts import alongside_of, cost, entries, found, picture_of
from ..finding import order
from .charts import compare_curve, legend
from .component import component, show_alongside
from .page import dark, figure, lead, title
from .widgets import late, put

_reading = component(
    "reading",
    '<div class="strata-root"><p class="name"></p><div class="picture" tabindex="0" role="group" aria-label="The model"></div></div>',
    ".strata-root",
)
_demo = component("demo", '<div class="strata-root"></div>', ".strata-root")
LEAST, WIDE = 0.001, 0.12  # shares that are told, and those with room for their figure


def side(pictures: Mapping[str, tuple[str, str]], key: str = "reading", lit: Sequence[str] = ()) -> None:
    """The picture beside a text, by the text's marks: a heading for each, and its SVG. `lit` are the boxes that are lit while the text
    that is read points to none."""
    _reading(key=key, data={"pictures": {name: [*pair] for name, pair in pictures.items()}, "lit": [*lit]})


def mark(name: str) -> None:
    """From here on, the picture of this name stands beside the text."""
    st.html(f'<span data-picture="{escape(name)}"></span>')


@st.fragment
def demonstration(name: str, values: Mapping[str, object] | None = None, nth: int = 1) -> None:
    """A demonstration with its controls, the `nth` of its kind on the page. What is chosen is in the page's URL."""
    demo, own = DEMOS[name], name if nth == 1 else f"{name}-{nth}"
    first = demo.checked(values or {})

    def value(control: Control) -> object:
        given = st.query_params.get(f"{own}.{control.name}")
        return next((one for one in control.options if str(one) == given), first[control.name])

    def choose(control: Control, key: str) -> None:
        picked = st.session_state[key]
        if not late(key) and picked != value(control):  # the browser may send what it shows already, when the page around it changes
            st.query_params[f"{own}.{control.name}"] = str(picked)

    with st.container(border=True, key=f"demo-{own}"):
        title(demo.title, level=3)
        with st.container(horizontal=True, key=f"controls-{own}"):
            for control in demo.controls:
                put(key := f"d:{own}.{control.name}", value(control))
                st.segmented_control(control.label, control.options, required=True, key=key, on_change=choose, args=(control, key))
        chosen = {control.name: value(control) for control in demo.controls}
        sentence, drawn = demo.drawn(chosen)
        lead(sentence)
        _demo(key=f"drawn-{own}", data={"html": drawn})


def text(article: Article) -> None:
    """The blocks of an article, one below the other."""
    mark(article.first)
    for number, block in enumerate(article.blocks):
        _block(article, block, number)


def _block(article: Article, block: Block, number: int) -> None:
    key = f"{article.name}-{number}"
    match block:
        case Text(html):
            st.html(f'<div class="reading">{html}</div>')
        case Picture(of):
            mark(of)
        case Demo(name, values):
            demonstration(name, values, sum(isinstance(one, Demo) and one.name == name for one in article.blocks[: number + 1]))
        case Chart(of, shows):
            archs = tuple(article.models[name] for name in of)
            heading, words, _ = GROWS[shows]
            figure(heading, words, compare_curve(archs, article.workload, dark(), shows), key=f"chart-{key}")
            names = (f'<div class="letter"><b>{letter}</b> <span>{escape(arch.title)}</span></div>' for letter, arch in zip(LETTERS, archs))
            st.html(f'<div class="letters">{"".join(names)}</div>')
        case Compare(of):
            archs = tuple(article.models[name] for name in of)
            show_alongside("", alongside_of(archs, False), key=f"alongside-{key}")
            to = escape(urlencode({"m": [page.word(arch) for arch in archs]}, doseq=True))
            st.html(f'<p class="reading"><a href="/compare?{to}" target="_self">What differs, and what each difference costs</a></p>')
        case Bars(of):
            models = {article.models[name].title: by_role(cost(article.models[name])) for name in of}
            _bars(models or {f"{year}, {count} models": row for year, (count, row) in by_year(cost(one.arch) for one in entries()).items()})
        case Table():
            _table(block, article.workload.context)


def _bars(rows: Mapping[str, Mapping[str, float]]) -> None:
    """A bar for each row, its parts in the colours of their roles; the largest part is named in it."""
    roles = {role: words for role, words in ROLES.items() if any(row.get(role, 0) >= LEAST for row in rows.values())}
    lines = []
    for name, row in rows.items():
        told = ", ".join(f"{ROLES[role]} {percent(share)}" for role, share in row.items() if share >= LEAST)
        colours = {role: f"width:{row[role]:.2%};background:var(--{role});color:var(--{role}-ink)" for role in roles if role in row}
        pieces = "".join(f'<b style="{style}">{percent(row[role]) if row[role] >= WIDE else ""}</b>' for role, style in colours.items())
        lines.append(f'<div class="k">{escape(name)}</div><div class="bar" role="img" aria-label="{escape(told)}">{pieces}</div>')
    st.html(f'{legend(roles)}<div class="shares">{"".join(lines)}</div>')


def _table(block: Table, length: int) -> None:
    """Presets with figures, by one of them; those without that figure come last."""
    figures = [FIGURES[name] for name in block.figures]
    rows = order([*found(block.query, length)], block.sort)[: block.most]
    heads = "".join(f'<th scope="col">{escape(one.title)}</th>' for one in figures)
    cells = (
        f'<tr><th scope="row"><a href="/workbench?preset={one.arch.name}" target="_self">{escape(one.arch.title)}</a></th>'
        + "".join(f"<td>{'—' if (value := shown.get(one)) is None else escape(shown.show(value))}</td>" for shown in figures)
        + "</tr>"
        for one in rows
    )
    table = f'<table><thead><tr><th scope="col">Model</th>{heads}</tr></thead><tbody>{"".join(cells)}</tbody></table>'
    if {"cache", "text"} & {*block.figures}:
        lead(f"Caches and memory are those of a text of {tokens(length)} tokens.")
    st.html(f'<div class="did rows" tabindex="0" role="region" aria-label="Models and figures">{table}</div>')


# ---- the page ----


def listed(found: list[Article]) -> None:
    """All articles, each with its first sentence."""
    items = (
        f'<li><a href="/learn?article={one.name}" target="_self">{escape(one.title)}</a><p>{escape(one.lead)}</p>'
        f"<small>{_day(one.date)}</small></li>"
        for one in found
    )
    st.html(f'<ul class="articles">{"".join(items)}</ul>')


def glossary_page(asked: str) -> None:
    """All terms, each with what it means and a model that shows it; the one that was asked for, by its slug, first."""
    rows = []
    for term in sorted(glossary(), key=lambda term: term.slug != asked):
        arch = preset(term.model)
        to = page.link(replace(page.opened(arch), selected=nodes(arch, term.box)[0]))
        mark = ' class="asked"' if term.slug == asked else ""
        also = f" <small>{escape(', '.join(term.also))}</small>" if term.also else ""
        rows.append(
            f"<div{mark}><dt>{escape(term.name)}{also}</dt><dd>{escape(term.words)} "
            f'<a href="/workbench{escape(to)}" target="_self">See it in {escape(arch.title)}</a></dd></div>'
        )
    st.html(f'<dl class="glossary">{"".join(rows)}</dl>')


def reading(article: Article, printed: bool) -> None:
    """An article, its picture beside it; printed, the pictures stand in the text."""
    models = ", ".join(
        f'<a href="/workbench{escape(page.link(page.opened(arch)))}" target="_self">{escape(arch.title)}</a>'
        for arch in article.models.values()
    )
    other = "" if printed else f' · <a href="/learn?article={article.name}&print=1" target="_self">Print view</a>'
    st.html(
        f'<div class="reading head"><h1>{escape(article.title)}</h1><p class="first">{escape(article.lead)}</p>'
        f"<p class='about'>{_day(article.date)} · about {models}{other}</p></div>"
    )
    if printed:
        with st.container(key="printed"):
            _printed(article)
        return
    words, picture = st.columns([1.3, 1], gap="large")
    with picture, st.container(key="side"):
        side({name: (article.models[name].title, svg) for name, svg in article.pictures.items()})
    with words:
        text(article)


def _printed(article: Article) -> None:
    def picture(name: str) -> None:
        with st.container(key=f"inset-{name}"):
            _demo(key=f"inset-svg-{name}-{len(shown)}", data={"html": picture_of(article.models[name])})
        shown.append(name)

    shown: list[str] = []
    picture(article.first)
    for number, block in enumerate(article.blocks):
        if isinstance(block, Picture):
            picture(block.of)
        else:
            _block(article, block, number)


def _day(day: date) -> str:
    return f"{day.day} {day:%B %Y}"
