"""What changed, and why? Articles whose figures are computed and whose texts point into models."""

import streamlit as st

from app.kit.page import lead, tab, title

name = st.query_params.get("article", "")

from app.article import article, articles  # noqa: E402
from app.kit.reading import listed, reading, refused  # noqa: E402
from core import Unsupported  # noqa: E402

found = None
if name:
    try:
        found = article(name)
    except Unsupported as problem:
        refused(problem)
if found:
    tab(found.title)
    reading(found, st.query_params.get("print") == "1")
else:
    tab("Learn")
    title("Learn", level=1)
    lead("What changed from model to model, and what each change costs. All figures are computed from the models that a text is about.")
    listed([article(one) for one in articles()])
