"""Two to four architectures beside the first: a verdict, figures with ratios, what differs and what it costs, curves over the context."""

import streamlit as st

from app import actions
from app import state as page
from app.kit.comparison import add, curves, differences, export, figures, in_order, models, pictures, verdict
from app.kit.component import copy_button
from app.kit.page import lead, notice, tab, title

page.back_again("compared", "left")
unfetched = actions.fetched()
state, left_out = page.current(), [*unfetched, *page.mended(page.address())[1]]
names = [arch.title for arch in state.archs]
tab("Compare" if len(names) == 1 else " and ".join(names) if len(names) == 2 else f"{names[0]} and others")

with st.container(horizontal=True, vertical_alignment="center", key="compare-top"):
    title("Compare", level=1)
    add(state)
    if len(state.archs) > 1:
        export(state)
        copy_button(page.link(state))
if left_out:
    notice(f"Left out of this link: {'; '.join(left_out)}.", "bad")
several = len(state.archs) > 1
if several:
    st.session_state["compared"] = page.write(state)
above = st.empty()
with above:
    if several:
        verdict(state, whole=False)
    else:
        lead("Choose a second model: what it costs beside the first, what differs, and what each difference costs.")
models(state)
if several:
    with st.container(key="section-figures"):
        figures(state)
    with above:
        verdict(state)
    for name, draw in {"pictures": pictures, "differences": differences, "curves": curves, "steps": in_order}.items():
        with st.container(key=f"section-{name}"):
            draw(state)
