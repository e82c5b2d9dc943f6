"""One architecture: its picture, the controls that change it, its memory, its routing, and what the edits did."""

import streamlit as st

import core
from app import state as page
from app.facts import pictures
from app.views.component import copy_button, show_diagram
from app.views.inspector import inspector
from app.views.sections import export, headline, memory, routing, strip

state = page.current()
arch = state.arch

left, *right = st.columns([5.2, 0.9, 0.95, 1.1], vertical_alignment="bottom")
with left:
    names = core.presets()
    titles = {name: core.library.preset(name).title for name in names}
    st.session_state["start"] = arch.name if arch.name in names else None
    st.selectbox(
        "Architecture", names, key="start", format_func=titles.get, placeholder=arch.title,
        on_change=lambda: st.session_state["start"] and page.show(page.State(core.load(st.session_state["start"]), state.workload, "")),
    )  # fmt: skip
with right[0]:
    st.button(
        "Reset",
        disabled=state.base in (None, arch),
        width="stretch",
        help="Back to the preset",
        on_click=lambda: page.show(page.State(state.base, state.workload, state.selected)),
    )
with right[1]:
    export(arch)
with right[2]:
    copy_button("?" + "&".join(f"{k}={v}" for k, v in page.write(state).items()))

headline(state)
strip(state)
picture, controls = st.columns([2.7, 1], gap="medium")
with picture, st.container(border=True):
    show_diagram(*pictures(arch, state.selected), arch.name, page.select)
with controls, st.container(border=True):
    inspector(state)
with st.container(border=True):
    memory(state)
if any(part.kind == "experts" for part in arch.parts.values()):
    with st.container(border=True):
        routing(arch)
