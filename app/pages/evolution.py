"""What changed since GPT-2? Its steps as single edits with their score, and the habits that the field has by now."""

import streamlit as st

from app.kit.page import lead, tab, title

tab("Evolution")
of_all = st.query_params.get("view") == "habits"
title("What the field does by now" if of_all else "From GPT-2 to today, one edit at a time", level=1)

from app.kit.evolution import asked, common, habits, step, stepper  # noqa: E402

now = asked()
with st.spinner("Judging all models …" if of_all else "Building the model of each step …"):  # it shows after half a second
    answer = common() if of_all else now.chain().sentence
lead(answer)
if of_all:
    habits()
else:
    tab(now.chain().step(now.step).idea.title)
    with st.container(key="score"):
        stepper(now.chain(), now)
    step(now.chain(), now)
