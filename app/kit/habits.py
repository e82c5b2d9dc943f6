"""The workbench's checklist: which of the field's habits this architecture has, and the edit that would give it each of the others."""

import re
from html import escape

import streamlit as st

import core
from core.facets import TEXT
from core.modern import ANSWERS, Finding
from core.words import tokens

from .. import actions
from .. import state as page
from ..facts import judged
from .page import lead, wrong
from .widgets import folded


@st.fragment(parallel=True)  # so that an edit does not wait for it
def habits(state: page.State) -> None:
    folded("What the field does by now", "o:habits", lambda: _habits(state))


def _habits(state: page.State) -> None:
    w = state.workload.model_copy(update={"context": max(state.workload.context, TEXT)})
    found = judged(state.arch, w)
    lead(f"{found.sentence} What an edit would do is said at {tokens(w.context)} tokens.")
    refused = actions.refusals(state)["edits"]
    pressed = [_habit(one, one.habit.name in refused and refused[one.habit.name].words) for one in found]
    st.html('<p class="how"><a href="/evolution?view=habits" target="_self">The habits of all models</a></p>')
    if any(pressed):
        st.rerun()  # the whole page, not this section alone


def _habit(one: Finding, refused: str | bool) -> bool:
    """A habit with its answer, and a button for the edit if there is one; whether that was pressed."""
    with st.container(horizontal=True, vertical_alignment="center", key=f"habit-{one.habit.name}"):
        many = f"{len(one.otherwise)} of {len(one.judged)} models"
        others = f"{many} {'do without' if one.holds else 'do it'}. The latest: {one.why}." if one.otherwise else ""
        offer = one.offer
        effect = f"<p class='effect'>The edit would give: <b>{escape(str(offer.moves))}</b>.</p>" if offer else ""
        st.html(
            f'<div class="habit {str(one.holds).lower()}"><h3>{escape(one.habit.title)} <em>{ANSWERS[one.holds]}</em></h3>'
            f"<p>{escape(_sentence(one.reason))}</p><p class='others'>{escape(others)}</p>{effect}</div>"
        )
        pressed = offer is not None and st.button(_plain(offer.words), key=f"make:{one.habit.name}", on_click=_make, args=(one.habit.name,))
    if refused:
        wrong(str(refused))
    return pressed


def _make(name: str) -> None:
    """Apply the edit, to the architecture that the page has now."""

    def made(arch: core.Architecture) -> core.Architecture:
        one = next(one for one in core.modern(arch) if one.habit.name == name)
        if one.offer is None:
            raise core.Unsupported(f"{one.habit.title}: no single edit makes it hold here")
        return one.offer.architecture

    actions.change(name, made)


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."


def _plain(words: str) -> str:
    """Words as a label, which reads Markdown."""
    return re.sub(r"([\\`*_{}\[\]()#+.!:$~|<>-])", r"\\\1", words)
