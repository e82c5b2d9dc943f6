"""A field that finds a published model by the same search as the gallery's, while one types."""

from collections.abc import Callable

import streamlit as st

import core
from core import search
from core.library import undisclosed
from core.saying import joined
from core.words import figure

from ..facts import found
from ..finding import MOST_ASKED
from .component import component

ROWS = 12

_pick = component(
    "pick",
    '<div class="strata-root"><input role="combobox" aria-expanded="false" aria-controls="rows" aria-autocomplete="list" '
    'autocomplete="off" spellcheck="false"><ul id="rows" role="listbox" aria-label="Models" hidden></ul></div>',
    ".strata-root",
)


@st.fragment
def picker(label: str, shown: str, key: str, choose: Callable[[str], None], placeholder: str = "Find a model") -> None:
    """The field with the name of what is `shown`; `choose` gets the name of the preset that a visitor chooses. While one types, only
    this field runs again."""

    def chosen() -> None:
        if (name := st.session_state[key].chosen) in core.presets():
            choose(name)

    asked = st.session_state.get(key, {}).get("asked")  # nothing before the field has the focus
    rows = []
    for one in found(str(asked)[:MOST_ASKED])[:ROWS] if asked is not None else ():
        words = (one.arch.organisation, one.month, f"{figure(one.parameters)} parameters")
        rows.append((one.arch.name, one.arch.title, " · ".join(filter(None, words))))
    data = {"label": label, "shown": shown, "placeholder": placeholder, "rows": rows, "asked": asked, "most": MOST_ASKED}
    data["none"] = _beside(str(asked or "")[:MOST_ASKED], bool(rows))
    if _pick(key=key, data=data, on_chosen_change=chosen, on_asked_change=lambda: None).chosen in core.presets():
        st.rerun()


def _beside(asked: str, some: bool) -> str:
    """What is said below the models that answer, of which there are `some`: a model that is not disclosed, or what to do."""
    if closed := [entry["title"] for entry in undisclosed() if search.score(asked, search.undisclosed(entry))]:
        return f"The architecture of {joined(closed)} is not disclosed."
    if some:
        return ""
    if "/" in asked or asked.lower().startswith("hf:"):
        return f"Open a model of the Hub from the gallery: Open your own, then hf:{asked.removeprefix('hf:') or 'organisation/model'}."
    return "No model answers. Use fewer words."
