"""Pages and navigation."""

import streamlit as st

st.set_page_config(page_title="Strata", page_icon=":material/layers:", layout="wide", initial_sidebar_state="collapsed")

from app.views.page import frame  # noqa: E402 - the page's settings come before anything that could draw

frame()
st.navigation(
    [
        st.Page("pages/gallery.py", title="Gallery", url_path="gallery", default=True),
        st.Page("pages/workbench.py", title="Workbench", url_path="workbench"),
    ],
    position="top",
).run()
