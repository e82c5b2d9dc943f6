"""One architecture: its picture, the controls that change it, its memory, its routing, and the effect of the edits."""

from time import sleep

import streamlit as st

from app import actions
from app import state as page
from app.kit.budget import budget
from app.kit.checkpoint import verify
from app.kit.comparison import compare_with
from app.kit.component import copy_button
from app.kit.habits import habits
from app.kit.headline import headline
from app.kit.history import history, what_each_did
from app.kit.inspector import inspector
from app.kit.memory import memory
from app.kit.opening import open_file, refusal
from app.kit.page import PICTURE_FIRST, notice, tab
from app.kit.picker import picker
from app.kit.picture import picture
from app.kit.sections import export, routing
from app.kit.strip import strip
from core.library import preset

page.back_again("left")
state = page.current()
arch = state.arch
tab(arch.title)


top = st.container(horizontal=True, vertical_alignment="bottom", key="top")
above = st.container()
if left_out := page.mended(page.address())[1]:
    with above:
        notice(f"Left out of this link: {'; '.join(left_out)}.", "bad")
reading = st.session_state.get("tab") == "Code"  # its lines need more room than controls
drawn, controls = st.columns([1, 1.35] if reading else [2.6, 1], gap="medium")
below = st.container()
# The picture, in which an edit is watched, is sent first, and the rest of the page when the browser has painted it.
with drawn, st.container(border=True):
    picture(state)
sleep(PICTURE_FIRST)
with top:
    with st.container(key="which"):
        picker("Architecture", arch.title, "start", lambda name: actions.show(page.opened(preset(name), page.current())))
    found = open_file((state.at, arch), 130)
    budget(state)
    compare_with(state)
    verify(arch)
    export(state)
    copy_button(page.link(state))
if found:
    actions.show(page.opened(found, state))
    st.rerun()
if said := st.session_state.pop("said", ""):  # about a model that was opened by its id
    st.toast(said, icon=":material/compare_arrows:", duration="long")
with above:
    refusal((state.at, arch))
    headline(state)
    history(state)
    with st.container(border=True, key="segments"):
        strip(state)
with controls, st.container(border=True, key="inspector"):
    inspector(state)
with below:
    with st.container(border=True):
        memory(state)
    habits(state)
    if arch != state.base:
        with st.container(border=True):
            what_each_did(state)
    if any(part.kind == "experts" for part in arch.parts.values()):
        with st.container(border=True):
            routing(arch)
