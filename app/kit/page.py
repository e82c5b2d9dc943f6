"""What every page has: the logo, the style sheet, and the small HTML pieces that words and figures are shown in.

Words that may quote a visitor (titles, notes, sentences about what was refused) go through these pieces alone: Streamlit's
own st.error, st.caption and labels read their words as Markdown, which fetches pictures and makes links.
"""

from collections.abc import Callable
from html import escape
from typing import Any
from urllib.parse import quote

import streamlit as st

from .component import asset
from .theme import LIGHT, palette, variables

LARGEST = 1e300  # that a browser is shown
CSS, LOGO = asset("page.css"), asset("logo.svg")
ICON = "data:image/svg+xml," + quote(asset("icon.svg"))


def dark() -> bool:
    return st.context.theme.type == "dark"


def tab(words: str) -> None:
    """What the browser's tab says."""
    st.set_page_config(page_title=f"{words} · Strata")


def frame() -> None:
    """The logo and the style sheet, in the theme that the visitor's browser shows."""
    st.logo("data:image/svg+xml," + quote(LOGO.replace(LIGHT["ink"], palette(dark())["ink"])), size="large")
    with st.container(key="strata-style"):
        st.html(f"<style>{variables(':root', dark())}{CSS}</style>")


def figures(rows: list[tuple[str, str, str, str]], below: str = "") -> None:
    """Cards of (words, figure, note, direction), direction up, down or nothing; HTML below them in the same element, so
    that what follows on the page keeps its place whether or not something is there."""

    def card(words: str, value: str, note: str, way: str) -> str:
        note = escape(note)
        return (
            f'<div class="figure"><div class="k">{escape(words)}</div><div class="v">{escape(value)}</div>'
            f'<div class="d {way}" title="{note}">{note}</div></div>'
        )

    st.html(f'<div class="figures">{"".join(card(*row) for row in rows)}</div>{below}')


def table(rows: dict[str, str]) -> None:
    cells = "".join(f"<tr><td>{escape(k)}</td><td>{escape(v)}</td></tr>" for k, v in rows.items())
    st.html(f'<table class="facts">{cells}</table>')


def title(words: str, small: str = "", level: int = 2) -> None:
    st.html(f'<h{level} class="t">{escape(words)}<small>{escape(small)}</small></h{level}>')


def lead(words: str) -> None:
    st.html(f'<p class="lead">{escape(words)}</p>')


def how(what: str, words: str) -> None:
    """A derivation or a note: what it is about, and the words."""
    about = f"<b>{escape(what)}</b><br>" if what else ""
    st.html(f'<p class="how">{about}{escape(words)}</p>')


def mono(text: str) -> None:
    st.html(f'<pre class="mono">{escape(text)}</pre>')


def folded(label: str, key: str, draw: Callable[[], None]) -> None:
    """Something to open, made only while it is open."""
    box = st.expander(label, key=key, on_change="rerun")
    if box.open:
        with box:
            draw()


def number(
    label: str, key: str, value: float | None, step: float | None, change: Callable[..., None], **more: Any
) -> None:
    """A field for a number. Also whole ones are sent as floats: for integers the browser would read 2.5 as 2, 1e6 as 1."""
    st.session_state[key] = None if value is None else float(min(max(value, -LARGEST), LARGEST))
    step = None if step is None else float(step)
    st.number_input(label, value=None, key=key, step=step, format="%g", on_change=change, **more)


def typed(key: str) -> float | None:
    """What was given to a field for a number, as an int where it is whole."""
    value = st.session_state[key]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def wrong(words: str) -> None:
    """Why an edit could not be made, under its control."""
    st.html(f'<p class="wrong" role="alert">{escape(words)}</p>')


def notice(words: str, way: str = "") -> None:
    """What a page has to say first; `way` is "good", "bad" or nothing."""
    st.html(f'<p class="notice {way}" role="alert">{escape(words)}</p>')
