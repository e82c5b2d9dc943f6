"""What every page has: the logo, the style sheet, and the small HTML pieces that show texts and figures.

Texts that may quote a visitor (titles, notes, refusals) must use only these pieces: Streamlit's
own st.error, st.caption and labels read texts as Markdown, which can load pictures and make links.
"""

import sys
from html import escape
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

import streamlit as st

from .component import asset
from .theme import LIGHT, palette, variables

if TYPE_CHECKING:  # slow to load, and the first text of a page must not wait for it
    from plotly.graph_objects import Figure

PICTURE_FIRST = 0.08  # seconds for the browser to paint the picture before the rest of the page
CONFIG = {"displayModeBar": False, "scrollZoom": False}  # of every chart
CSS, LOGO = asset("page.css"), asset("logo.svg")
ICON = "data:image/svg+xml," + quote(asset("icon.svg"))


def dark() -> bool:
    return st.context.theme.type == "dark"


def tab(words: str) -> None:
    """The title of the browser's tab."""
    st.set_page_config(page_title=f"{words} · Strata")


def frame() -> None:
    """The logo and the style sheet, in the theme of the visitor's browser."""
    st.logo("data:image/svg+xml," + quote(LOGO.replace(LIGHT["ink"], palette(dark())["ink"])), size="large")
    with st.container(key="strata-style"):
        st.html(f"<style>{variables(':root', dark())}{CSS}</style>")


class Card(NamedTuple):
    """A figure, and its foot: how the edits moved it (empty if they did not; None without edits), and what it was."""

    words: str
    value: str
    note: str
    moved: str | None = None
    was: str = ""


def figures(cards: list[Card], above: str = "") -> None:
    """Cards with figures, below a sentence if there is one."""

    def drawn(card: Card) -> str:
        words, value, note, moved, was = (escape(text or "") for text in card)
        still = "" if moved else " still"
        foot = "" if card.moved is None else f'<div class="foot{still}"><b>{moved or "same"}</b> <span>{was}</span></div>'
        return (
            f'<div class="figure"><div class="k">{words}</div><div class="v">{value}</div>'
            f'<div class="d" title="{note}">{note}</div>{foot}</div>'
        )

    answer = f'<p class="answer">{escape(above)}</p>' if above else ""
    st.html(f'{answer}<div class="figures">{"".join(map(drawn, cards))}</div>')


def table(rows: dict[str, str]) -> None:
    cells = "".join(f"<tr><td>{escape(k)}</td><td>{escape(v)}</td></tr>" for k, v in rows.items())
    st.html(f'<table class="facts">{cells}</table>')


def title(words: str, small: str = "", level: int = 2) -> None:
    st.html(f'<h{level} class="t">{escape(words)}<small>{escape(small)}</small></h{level}>')


def lead(words: str) -> None:
    st.html(f'<p class="lead">{_explained(words)}</p>')


def _explained(words: str) -> str:
    """A text whose terms have tooltips, once the server has loaded the glossary: a page's first text does not wait for it."""
    explained = getattr(sys.modules.get("app.glossary"), "explained", str)
    return explained(escape(words))


def figure(words: str, sentence: str, chart: "Figure", key: str) -> None:
    """A chart below its title and the sentence with its answer, if there are any; screen readers read
    its `meta`."""
    if words:
        title(words)
    if sentence:
        lead(sentence)
    st.plotly_chart(chart, key=key, config=CONFIG, theme=None)
    st.html(f'<p class="aloud">{escape(chart.layout.meta)}</p>')


def how(what: str, words: str) -> None:
    """A derivation or a note: its subject and its text."""
    about = f"<b>{escape(what)}</b><br>" if what else ""
    st.html(f'<p class="how">{about}{_explained(words)}</p>')


def mono(text: str) -> None:
    st.html(f'<pre class="mono">{escape(text)}</pre>')


def wrong(words: str) -> None:
    """Why an edit was refused, below its control."""
    st.html(f'<p class="wrong" role="alert">{escape(words)}</p>')


def still(words: str) -> None:
    """What a refused edit leaves as it was."""
    st.html(f'<p class="still">{escape(words)}</p>')


def notice(words: str, way: str = "") -> None:
    """A message at the top of a page; `way` is "good", "bad" or nothing."""
    st.html(f'<p class="notice {way}" role="alert">{escape(words)}</p>')
