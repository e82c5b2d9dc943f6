"""What changed, and why? Articles whose figures are computed and whose texts point into models."""

import streamlit as st

from app.article import article, articles
from app.kit.page import lead, notice, tab, title
from app.kit.reading import glossary_page, listed, reading
from core import Unsupported

found = None
if name := st.query_params.get("article"):
    try:
        found = article(name)
    except Unsupported as problem:
        notice(str(problem), "bad")
if found:
    tab(found.title)
    reading(found, st.query_params.get("print") == "1")
elif asked := st.query_params.get("glossary"):
    tab("Glossary")
    title("Glossary", level=1)
    lead("What the words of these pages mean, and a model that shows each of them.")
    glossary_page(asked)
else:
    tab("Learn")
    title("Learn", level=1)
    lead("What changed from model to model, and what each change costs. All figures are computed from the models that a text is about.")
    listed([article(one) for one in articles()])
    st.html(
        '<p class="lead"><a href="/evolution" target="_self">From GPT-2 to today, one edit at a time</a> · '
        '<a href="/learn?glossary=all" target="_self">Glossary: what the words mean</a></p>'
    )
