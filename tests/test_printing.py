"""Results print themselves: a table that adds up, one change a line, and a short repr."""

import re
from dataclasses import replace

import pytest

import core
from core.spec import edited
from core.words import table


def cells(printed: str) -> list[list[str]]:
    """A printed table's rows, its head first."""
    return [re.split(r"\s{2,}", line.strip()) for line in printed.splitlines() if re.search(r"\S\s{2,}\S", line)]


@pytest.mark.parametrize("name", ["gpt2", "deepseek-v3", "mamba-2.8b"])
def test_a_cost_is_a_table_that_adds_up(name):
    c = core.cost(core.load(name), core.Workload(batch=2, context=1_000))
    head, *rows, total = cells(str(c))
    assert head[:4] == ["layers", "component", "parameters", "active"] and len(rows) == len(c.rows)
    assert [row[1] for row in rows] == [row.component for row in c.rows]
    counted = sum(int(row[2].replace(",", "")) for row in rows if row[0] != "ahead of the model")
    assert total[0] == "all" and int(total[1].replace(",", "")) == counted == c.parameters
    assert f"2 × 1,000 tokens, weights {c.workload.weights or 'as shipped'}" in str(c)
    assert c.derivation("kv_bytes_per_token") in str(c)


def test_what_is_not_known_is_said():
    c = core.cost(core.load("gpt2").model_copy(update={"unsized": "stored as nobody can tell"}))
    assert c.caveat.endswith("are not known: stored as nobody can tell.") and c.caveat in str(c)
    assert "not known" in cells(str(c))[-1], "nor is the sum"
    sized = core.diff(core.load("gpt2"), c.architecture)
    assert not core.cost(core.load("gpt2")).caveat and c.caveat in str(sized) and "not known" in str(sized)


def test_a_difference_is_one_change_a_line_and_a_table_of_figures():
    before = core.load("deepseek-v3")
    found = core.diff(before, edited(edited(before, "parts.moe.top_k", 4), "context", 8_192))
    edits, figures = str(found).split("change\n")[0].splitlines(), str(found)[str(found).index("before") :]
    assert [str(edit) for edit in found] == ["context 160K → 8K", "moe: top_k 8 → 4"] and len(found) == 2
    assert [line.split("  ")[0].strip() for line in edits[2:4]] == [edit.words for edit in found]
    rows = {row[0]: row[1:] for row in cells(figures)[1:]}
    assert rows.keys() == {name.replace("_", " ") for name in found.figures}
    a, b = found.figures["active_parameters"]
    assert rows["active parameters"] == [f"{a:,}", f"{b:,}", f"{(b - a) / a:+.1%}"]
    assert str(core.diff(before, before)) == "no difference"


def test_routing_is_one_row_a_router():
    found = core.route(core.load("mixtral-8x7b"))
    rows = cells(str(found))[1:]
    assert [row[0] for row in rows] == [layer.path for layer in found.layers]
    assert [int(row[2]) for row in rows] == [layer.load.argmax() for layer in found.layers]
    assert "random weights" in str(found) and "trained weights" in str(replace(found, trained=True))


def test_a_repr_is_short():
    arch = core.load("deepseek-v3")
    for value in (core.cost(arch), core.route(arch), core.route(arch).layers[0]):
        assert len(repr(value)) < 120


def test_a_table_is_the_text_that_it_was_given():
    printed = table(("name", "n>"), [("[bold]a[/bold] :smile:", "1"), ("b", "1,000")], ("all", "1,001"))
    assert cells(printed) == [["name", "n"], ["[bold]a[/bold] :smile:", "1"], ["b", "1,000"], ["all", "1,001"]]
    lines = printed.splitlines()
    assert len({len(line) for line in lines if line}) == 1 and lines[-1].endswith("1,001"), "numbers end alike"
