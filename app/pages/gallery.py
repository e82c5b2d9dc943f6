"""All presets as cards: search, sort, open; or open your own architecture."""

import streamlit as st

from app.kit.page import lead, notice, tab, title, wrong

SORTS = ("best match", "newest", "oldest", "largest", "smallest", "most active", "fewest active", "least cache per token")

tab("Architectures of large language models")
first = st.container()
title("Architectures of large language models", level=1)
lead("Each is built as a real PyTorch model, and all pictures and figures are computed from it. Open one to look inside and change it.")
with st.container(horizontal=True, vertical_alignment="bottom", key="find"):
    wanted = st.text_input(
        "Search", placeholder="MLA, sliding window, hybrid 2026, Alibaba, MIT …", key="q", bind="query-params", max_chars=80
    )
    order = st.selectbox("Sort", SORTS, key="sort", bind="query-params", width=190)
    own = st.popover("Open your own", icon=":material/add:", width="content")

# The text above is on the screen before torch is loaded.
import core  # noqa: E402
from app import actions  # noqa: E402
from app import state as page  # noqa: E402
from app.facts import cost, searched  # noqa: E402
from app.kit.cards import card, closed_card  # noqa: E402
from app.kit.component import show_cards  # noqa: E402
from app.kit.opening import open_file, refusal  # noqa: E402
from core import hub, search  # noqa: E402
from core.library import preset, undisclosed  # noqa: E402

if problem := page.leave():
    with first:
        notice(f"That link could not be opened: {problem}", "bad")


def key(arch: core.Architecture) -> float:
    """The sort key of the chosen order, smallest first. The best match is the newest of those that answer as well."""
    match order:
        case "oldest":
            return arch.released.toordinal() if arch.released else 0
        case "largest":
            return -cost(arch).parameters
        case "smallest":
            return cost(arch).parameters
        case "most active":
            return -cost(arch).active_parameters
        case "fewest active":
            return cost(arch).active_parameters
        case "least cache per token":
            return cost(arch).kv_bytes_per_token
    return -(arch.released.toordinal() if arch.released else 0)


with own:
    if arch := open_file(None):
        st.switch_page("pages/workbench.py", query_params=page.write(page.opened(arch)))
    refusal(None)
    st.text_area(
        "A config.json, a spec as YAML, a preset's name, a link, or a model's id as hf:organisation/model", key="own", height=220,
        max_chars=60_000,
        placeholder='{"model_type": "qwen3", "hidden_size": 1024, …}, or hf:Qwen/Qwen3-0.6B',
    )  # fmt: skip
    if st.button("Open", type="primary", width="stretch") and (arch := actions.opened_text(st.session_state["own"], None)):
        if hub.is_name(given := st.session_state["own"].strip()):
            st.session_state["said"] = hub.beside(given, cost(arch).weight_bytes)
        st.switch_page("pages/workbench.py", query_params=page.write(page.opened(arch)))
    if (before := actions.refused("text", None).get("")) and before.shown == st.session_state["own"]:
        wrong(before.words)

wanted = wanted or ""
archs = [preset(name) for name in core.presets()]
shown = search.found(wanted, sorted(archs, key=key), searched)
if order != "best match":
    shown.sort(key=key)
closed = [entry for entry in undisclosed() if search.score(wanted, search.undisclosed(entry))]
st.caption(f"{len(shown)} of {len(archs)} models" + (f" · {len(closed)} not disclosed" if closed else ""))
if not shown and not closed:
    st.info("No model matches all of these words. Try fewer, or a maker's name.", icon=":material/search_off:")
opened = show_cards("".join([*map(card, shown), *map(closed_card, closed)]))
if opened in core.presets():
    st.switch_page("pages/workbench.py", query_params={"preset": opened})
