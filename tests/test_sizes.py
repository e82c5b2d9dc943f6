"""Weight bytes as shipped against what published checkpoints weigh (docs/sizes.yaml)."""

import pytest

from docs import sizes


@pytest.mark.parametrize("entry", sizes.ENTRIES, ids=[entry["preset"] for entry in sizes.ENTRIES])
def test_weights_as_shipped_are_within_a_hundredth_of_the_published_ones(entry):
    assert abs(sizes.difference(entry)) < 0.01


def test_the_table_in_the_docs_is_what_the_entries_give():
    assert (sizes.HERE / "sizes.md").read_text() == sizes.table()
