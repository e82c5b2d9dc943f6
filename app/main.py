"""Pages and navigation."""

from time import monotonic, perf_counter

import streamlit as st

from app.kit.page import ICON, frame
from app.metrics import RUNS

began = perf_counter()
if st.session_state.get("done"):  # the run before this one came to its end (see app/kit/widgets.py)
    st.session_state.pop("late", None)
st.session_state["done"] = 0.0
st.set_page_config(page_title="Strata", page_icon=ICON, layout="wide", initial_sidebar_state="collapsed")
frame()
page = st.navigation(
    [
        st.Page("pages/gallery.py", title="Gallery", url_path="gallery", default=True),
        st.Page("pages/workbench.py", title="Workbench", url_path="workbench"),
        st.Page("pages/compare.py", title="Compare", url_path="compare"),
        st.Page("pages/learn.py", title="Learn", url_path="learn"),
        st.Page("pages/evolution.py", title="Evolution", url_path="evolution"),
    ],
    position="top",
)
if st.session_state.get("page") != page.url_path:
    st.session_state["page"], st.session_state["arrived"] = page.url_path, True
page.run()
st.session_state["done"] = monotonic()
RUNS.labels(page.url_path or "gallery").observe(perf_counter() - began)
