"""Figures that others publish or measure (docs/figures.yaml), against what we compute."""

import pytest

import core
from docs import figures


@pytest.mark.parametrize(("row", "figure"), figures.CASES, ids=[f"{row['preset']}-{figure}" for row, figure in figures.CASES])
def test_a_published_figure_is_ours_or_we_say_why_not(row, figure):
    if "ours" in row:
        assert figures.near(row, figure, row["ours"]) and not figures.agrees(row, figure) and row["why"]
    else:
        assert figures.agrees(row, figure), f"{figures.computed(row, figure):,}; {row[figure]} by {row['source']}"


def test_rows_say_what_they_are():
    for row in figures.ROWS:
        assert row["preset"] in core.presets() and row["source"] and set(row) - figures.ABOUT, row


def test_the_page_in_the_docs_is_what_the_rows_give():
    assert (figures.HERE / "figures.md").read_text() == figures.page()
