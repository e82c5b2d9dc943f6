"""The page that sets several architectures beside the first, without a browser: what it says, and what its controls do."""

import re
import xml.etree.ElementTree as ET
from html import unescape
from pathlib import Path

import pytest
from picking import sent
from streamlit.testing.v1 import AppTest

import core
from app import server
from app.actions import Past
from app.facts import graph, parameters
from app.kit.charts import compare_curve
from app.picture.sheet import sheet
from app.state import mended, read, word
from core.compare import GROWS
from core.library import preset
from core.spec import edited
from core.split import apart

PAGES = Path(server.__file__).with_name("pages")
V3, K2 = preset("deepseek-v3"), preset("kimi-k2")


@pytest.fixture(scope="module")
def page() -> AppTest:
    return AppTest.from_file(str(PAGES / "compare.py"), default_timeout=60)


def visit(page: AppTest, *names: str, **params: str) -> str:
    """The words of the page with these models."""
    page.query_params.clear()
    page.query_params.update({"m": [*names], **params} if len(names) > 1 else {"preset": names[0], **params})
    return said(page.run())


def said(page: AppTest) -> str:
    assert not page.exception, [error.message for error in page.exception]
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", " ".join(element.proto.body for element in page.get("html")))).split())


def shown(page: AppTest) -> list[str]:
    return [word(arch) for arch in read(page.query_params).archs]


def press(page: AppTest, label: str, nth: int = 0) -> str:
    [button for button in page.button if button.label == label][nth].click()
    return said(page.run())


def test_the_answer_the_figures_and_what_differs(page):
    words = visit(page, "deepseek-v3", "kimi-k2", "qwen3-235b-a22b")
    found = core.compare([V3, K2, preset("qwen3-235b-a22b")], core.Workload(context=32_768))
    assert all(verdict in words for verdict in found.verdicts)
    places = [words.index(title) for title in ("Figures", "What differs", "Over the length of the text", "Step by step")]
    assert places == sorted(places)
    assert "1.53×" in words and "341.7 GFLOP" in words and "5 more that change no figure" in words and "first 3 layers" in words


def test_models_are_added_swapped_and_removed(page):
    visit(page, "deepseek-v3", "kimi-k2")
    sent(page, "m:1", "chosen", "gpt2")
    assert shown(page) == ["deepseek-v3", "gpt2"] and "GPT-2 small has" in said(page)
    press(page, "Swap with A")
    assert shown(page) == ["gpt2", "deepseek-v3"]
    press(page, "Remove")
    assert shown(page) == ["deepseek-v3"] and "Choose a second model" in said(page)
    sent(page, "add:first", "chosen", "gpt2-xl")
    assert shown(page) == ["deepseek-v3", "gpt2-xl"]
    press(page, "Remove", 1)
    press(page, "GPT-2 small and gpt-oss 20B")
    assert shown(page) == ["gpt2", "gpt-oss-20b"]


def test_the_menu_leads_back_to_what_was_compared_or_to_the_model_at_hand():
    left, compared = {"left": {"preset": "phi-4"}}, {"compared": {"m": ["gpt2", "gpt2-xl"]}}
    for seen, names in ((left | compared, ["gpt2", "gpt2-xl"]), (left, ["phi-4"])):
        page = AppTest.from_file(str(PAGES / "compare.py"), default_timeout=60)
        for name, value in ({"arrived": True} | seen).items():
            page.session_state[name] = value
        page.run()
        assert said(page) and shown(page) == names


def test_a_model_and_itself_and_one_edited(page):
    assert "Nothing: these are the same architecture" in visit(page, "gpt2", "gpt2") and "B is the same architecture as A." in said(page)
    own = edited(preset("gpt2"), "title", "<b>*mine*</b> [x](http://foreign.test)")
    words = visit(page, "gpt2", core.encode(edited(own, "d_model", 960)))
    assert "<b>*mine*</b> [x](http://foreign.test)" in words and "960" in words
    for element in page.get("html"):
        assert "<b>*mine*" not in element.proto.body


def test_everything_is_shown_if_asked_for(page):
    assert "129,280" in visit(page, "deepseek-v3", "kimi-k2") and "Tied embeddings" not in said(page) and "Latent" not in said(page)
    page.toggle(key="everything").set_value(True)
    words = said(page.run())
    assert "KV rank attention 512 same" in words and "d_model 7,168 same" in words and page.query_params["all"] == "1"
    assert "Heads attention 128 64" in words, "what differs is not the same"


def test_the_workload_is_in_the_address(page):
    visit(page, "deepseek-v3", "kimi-k2", context="8192", batch="4")
    assert page.number_input(key="w:context").value == 8192
    page.number_input(key="w:context").set_value(16384.0)
    assert "Caches and states at 16K, 4 sequences" in said(page.run()) and page.query_params["context"] == "16384"


def test_the_workbench_goes_through_the_difference_edit_by_edit():
    """Undo and redo are the edits, so that each step is a link of its own."""

    def script() -> None:
        import streamlit as st

        from app import actions, state
        from core.library import preset

        if "past" not in st.session_state:
            st.query_params.from_dict(state.write(actions.stepping(preset("deepseek-v3"), preset("kimi-k2"))))
        st.button("Redo", on_click=lambda: actions.step_to(st.session_state["past"].at + 1))
        actions.seen(state.current())

    bench, steps = AppTest.from_function(script, default_timeout=60), apart(V3, K2)
    bench.run()
    for edit in steps:
        press(bench, "Redo")
        state = read(bench.query_params)
        assert state.arch == edit.after and state.base == V3
    assert state.arch == K2 and isinstance(bench.session_state["past"], Past)


def test_the_whole_comparison_is_one_picture():
    archs = (V3, K2, edited(preset("gpt2"), "title", "<b>"))
    found = core.compare(archs, core.Workload(context=1_024))
    root = ET.fromstring(sheet(found, [*map(graph, archs)], [*map(parameters, archs)]))
    words = " ".join(text.text or "" for text in root.iter("{http://www.w3.org/2000/svg}text"))
    assert all(verdict.split("; ")[0] in words for verdict in found.verdicts)
    for row in found.differences:
        assert row.first.split()[0] in words and all(value.split()[0] in words for value, _ in row.others.values())
    assert root.get("viewBox").startswith("-32 0 1280") and "not 128 heads" in words
    lines = [path for path in root.iter("{http://www.w3.org/2000/svg}path") if "stroke-dasharray:" in path.get("style", "")]
    drawn = sum(2 if curve.limit < found.contexts[-1] else 1 for name in GROWS for curve in found.curves(name))
    assert len(lines) == drawn and all(heading in words for heading, _, _ in GROWS.values())


def test_what_cannot_be_shown_of_a_link_is_left_out_and_the_rest_is_there(page):
    words = visit(page, "deepseek-v3", "nope-7b", "kimi-k2", context="soon", keep="x:nope")
    assert "Left out of this link: 'nope-7b' is not a preset" in words and "context: " in words and "Kimi K2 has" in words
    assert "Caches and states at 32K" in words, "the usual workload"
    words = visit(page, "gpt2", "gpt2-xl", "gpt-1", "phi-2", "phi-4")
    assert "a page shows at most 4 models, so it does not show phi-4" in words and "Phi-2 has" in words
    assert "Choose a second model" in visit(page, "gpt2", "s1.broken") and "Left out of this link" in said(page)
    press(page, "GPT-2 small and gpt-oss 20B")
    assert shown(page) == ["gpt2", "gpt-oss-20b"] and "Left out" not in said(page)
    with pytest.raises(core.Unsupported):
        read({"m": ["gpt2", "nope"]})
    assert mended({"m": ["nope", ""]})[0] == {} and "well" not in mended({"m": ["", " "]})[1]
    words = visit(page, "<script>", "")
    assert "Choose a second model" in words and "'<script>' is not a preset" in words, "no other page"


def test_ids_in_a_link_are_fetched_once_and_refused_with_a_sentence(page, monkeypatch):
    asked = []

    def config(name: str) -> dict:
        asked.append(name)
        if name == "hf:nobody/nothing":
            raise core.Unsupported("nobody/nothing: the Hub has no such model")
        return {"model_type": "llama", "hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 2, "intermediate_size": 128,
                "vocab_size": 100, "_name_or_path": "some/small"}  # fmt: skip

    monkeypatch.setattr("core.hub.config", config)
    words = visit(page, "hf:some/small", "gpt2", "hf:nobody/nothing")
    assert "the Hub has no such model" in words and "GPT-2 small has" in words and len(shown(page)) == 2
    assert "the Hub has no such model" in said(page.run()) and asked == ["hf:some/small", "hf:nobody/nothing"]
    assert mended({"m": ["hf:some/small", "gpt2"]})[0] == {"m": ["gpt2"]}, "a preview fetches nothing"
    assert mended({"preset": "nope", "context": "soon"})[1] == []


def test_a_model_that_reads_any_length_says_so_everywhere():
    found = core.compare([preset("gpt2"), preset("mamba-2.8b")])
    (row,) = [row for row in found.differences if row.name == "context"]
    assert (row.first, row.others[1][0]) == ("1K", "any length") and '"Longest text, that it is meant for",1024,any length,' in found.csv()


def test_curves_that_are_equal_are_one_and_dotted_past_the_model():
    for name in GROWS:
        chart = compare_curve((V3, K2, preset("gpt2")), core.Workload(context=1_024), False, name)
        lines = [trace for trace in chart.data if trace.mode == "lines"]
        assert len(lines) == 2 * (2 if name == "kept_bytes" else 3)
        for full, past in zip(lines[::2], lines[1::2], strict=True):
            assert full.line.dash != "dot" and past.line.dash == "dot" and full.x[-1] == (past.x[0] if past.x else full.x[-1])
        ends = {label.text for label in chart.layout.annotations}
        assert ends == ({"<b>A B</b>", "<b>C</b>"} if name == "kept_bytes" else {"<b>A</b>", "<b>B</b>", "<b>C</b>"})
        assert chart.layout.meta.startswith("After 1,024 tokens: A")
        for trace in (trace for trace in lines if 1_024 in trace.x and trace.line.dash == "solid"):
            index, at = lines.index(trace) // 2, trace.x.index(1_024)
            cost = core.cost((V3, K2, preset("gpt2"))[index if len(lines) == 6 else 2 * index], core.Workload(context=1_024))
            assert trace.y[at] == getattr(cost, name)
