"""What changed since GPT-2? Its steps as single edits with their score, and the habits that the field has by now."""

import streamlit as st

from app.kit.page import lead, tab, title

tab("Evolution")
top = st.container()

from app.kit.evolution import asked, common, habits, step, stepper, views  # noqa: E402

now = asked()
with top:
    if now.view == "habits":
        title("What the field does by now", level=1)
        lead(common())
    else:
        title("From GPT-2 to today, one edit at a time", level=1)
        lead(now.chain().sentence)
views(now)
if now.view == "habits":
    habits()
else:
    tab(now.chain().step(now.step).idea.title)
    with st.container(key="score"):
        stepper(now.chain(), now)
    step(now.chain(), now)
