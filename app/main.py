"""Pages and navigation."""

from time import perf_counter

import streamlit as st

from app.kit.page import ICON, frame
from app.metrics import RUNS

began = perf_counter()
st.set_page_config(page_title="Strata", page_icon=ICON, layout="wide", initial_sidebar_state="collapsed")
frame()
page = st.navigation(
    [
        st.Page("pages/gallery.py", title="Gallery", url_path="gallery", default=True),
        st.Page("pages/workbench.py", title="Workbench", url_path="workbench"),
        st.Page("pages/compare.py", title="Compare", url_path="compare"),
    ],
    position="top",
)
if st.session_state.get("page") != page.url_path:
    st.session_state["page"], st.session_state["arrived"] = page.url_path, True
page.run()
RUNS.labels(page.url_path or "gallery").observe(perf_counter() - began)
