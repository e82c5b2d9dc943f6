"""All presets as cards: search, sort, open."""

import streamlit as st

import core
from app.facts import cost
from app.views.cards import card, closed_card
from app.views.component import show_cards
from app.views.page import lead, title
from core.library import preset

SORTS = {
    "newest": lambda a: -(a.released.toordinal() if a.released else 0),
    "oldest": lambda a: a.released.toordinal() if a.released else 0,
    "largest": lambda a: -cost(a).parameters,
    "smallest": lambda a: cost(a).parameters,
    "most active": lambda a: -cost(a).active_parameters,
    "fewest active": lambda a: cost(a).active_parameters,
    "least cache a token": lambda a: cost(a).kv_bytes_per_token,
}


def words_of(arch: core.Architecture) -> str:
    """What a search looks through."""
    parts = " ".join(f"{p.title} {p.label}" for p in arch.parts.values())
    return f"{arch.name} {arch.title} {arch.family} {arch.organisation} {arch.note} {parts}".lower()


if notice := st.session_state.pop("notice", None):
    st.error(f"That link could not be opened: {notice}", icon=":material/link_off:")

title("Architectures of large language models")
lead(
    "Each is built as a real PyTorch model; every picture and every figure is computed from it. Open one to see inside and to change it."
)
search, sort = st.columns([3, 1.2], vertical_alignment="bottom")
wanted = search.text_input(
    "Search",
    placeholder="DeepSeek, latent attention, sliding window, OpenAI …",
    key="q",
    bind="query-params",
    max_chars=80,
)
order = sort.selectbox("Sort", list(SORTS), key="sort", bind="query-params")

terms = (wanted or "").lower().split()
archs = [preset(name) for name in core.presets()]
shown = sorted((a for a in archs if all(t in words_of(a) for t in terms)), key=SORTS.get(order, SORTS["newest"]))
closed = [
    e
    for e in core.undisclosed()
    if all(t in f"{e['title']} {e.get('organisation', '')} undisclosed not disclosed".lower() for t in terms)
]
st.caption(f"{len(shown)} of {len(archs)} models" + (f" · {len(closed)} not disclosed" if closed else ""))
if not shown and not closed:
    st.info("No model matches all of these words. Try fewer, or a maker's name.", icon=":material/search_off:")
opened = show_cards("".join([*map(card, shown), *map(closed_card, closed)]))
if opened in core.presets():
    st.switch_page("pages/workbench.py", query_params={"preset": opened})
