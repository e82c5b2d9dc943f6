"""Which model? All presets, searched, filtered and shown as cards, a table, points or a timeline; or open your own architecture."""

import streamlit as st

from app.kit.page import lead, notice, tab, title, wrong

tab("Architectures of large language models")
first = st.container()
with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute", key="head"):
    title("Architectures of large language models", level=1)
    own = st.popover("Open your own", icon=":material/add:", width="content")
lead("Each is built as a real PyTorch model, and all pictures and figures are computed from it. Open one to look inside and change it.")

# The text above is on the screen before torch is loaded.
from app import actions  # noqa: E402
from app import finding as found  # noqa: E402
from app import state as page  # noqa: E402
from app.facts import cost  # noqa: E402
from app.kit.find import gallery  # noqa: E402
from app.kit.opening import open_file, refusal  # noqa: E402
from core import hub, search  # noqa: E402
from core.library import undisclosed  # noqa: E402

if problem := page.leave():
    with first:
        notice(f"That link could not be opened: {problem}", "bad")

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

finding, unknown = found.current()
if unknown:
    with first:
        notice(f"A part of that link is not known, and is left out: {unknown}.", "bad")
closed = [] if finding.chosen else [entry for entry in undisclosed() if search.score(finding.q, search.undisclosed(entry))]
if away := gallery(finding, closed):
    name, params = away
    st.switch_page(f"pages/{name}.py", query_params=params)
