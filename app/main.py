"""Pages and navigation."""

import streamlit as st

from app.views.page import ICON, frame

st.set_page_config(page_title="Strata", page_icon=ICON, layout="wide", initial_sidebar_state="collapsed")

frame()
st.navigation(
    [
        st.Page("pages/gallery.py", title="Gallery", url_path="gallery", default=True),
        st.Page("pages/workbench.py", title="Workbench", url_path="workbench"),
    ],
    position="top",
).run()
