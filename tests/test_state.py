"""A page's value and its URL: one or several architectures, each with its own edits, a workload and a selection."""

from pathlib import Path
from urllib.parse import parse_qs, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import architectures
from streamlit.testing.v1 import AppTest

import core
from app import actions, facts
from app.state import MOST, REPEATED, State, beside, link, opened, read, workload
from core.library import preset
from core.spec import edited

KV = "f:parts.attention.kv_heads"


def asked(query: str) -> dict[str, str | list[str]]:
    """A URL's parameters as pages read them."""
    given = parse_qs(query.removeprefix("?"), keep_blank_values=True)
    return {name: values if name in REPEATED else values[-1] for name, values in given.items()}


@st.composite
def states(draw) -> State:
    archs = tuple(draw(st.lists(architectures | st.sampled_from(core.presets()).map(preset), min_size=1, max_size=MOST)))
    usual = workload({}, *archs)
    asked = usual.model_copy(update={"batch": draw(st.integers(1, 9)), "context": draw(st.integers(1, 10**6))})
    return State(archs, draw(st.sampled_from([usual, asked])), draw(st.sampled_from(["", "model"])), len(archs) - 1)


@given(states())
def test_a_link_is_its_page(state):
    assert read(asked(link(state))) == state


def test_a_link_says_only_what_does_not_go_without_saying():
    one, other = preset("gpt2"), edited(preset("deepseek-v3"), "parts.moe.top_k", 4)
    assert link(State((one,), workload({}, one))) == "?preset=gpt2"
    two = State((one, other), workload({}, one, other))
    assert link(two) == f"?m=gpt2&m={core.encode(other)}" and two.arch == one and two.base == one
    assert two.workload.context == 1_024, "within what each can read"
    assert read({"m": ["gpt2", "gpt2"], "at": "1"}) == State((one, one), workload({}, one), at=1)
    assert read({"m": "gpt2"}) == read({"preset": "gpt2"}) == read({"a": core.encode(one)})


def test_another_model_takes_the_place_of_the_selected_one():
    llama, gpt2, mistral = map(preset, ("llama-3-8b", "gpt2", "mistral-7b"))
    before = State((gpt2, llama), workload({"batch": "2", "context": "512"}, gpt2), "layers.0", 1)
    after = opened(mistral, before)
    assert after == State((gpt2, mistral), before.workload, "", 1)
    usual = State((gpt2, llama), workload({}, gpt2, llama))
    assert opened(mistral, usual).workload.context == 8_192, "the usual context is that of the models that are there"
    assert beside(usual, [llama]).workload.context == 4_096 and beside(usual, [mistral, mistral]).workload.context == 32_768
    assert after.holding(gpt2).archs == (gpt2, gpt2)


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"m": ["gpt2"] * (MOST + 1)}, "m: 5 architectures are more than a page shows; give at most 4"),
        ({"m": ["gpt2", "gtp2"]}, "'gtp2' is not a preset; give a name such as gpt2"),
        ({"m": ["gpt2", "s1.x"]}, "damaged"),
        ({"m": ["gpt2", ""]}, "is not a preset"),
        ({"m": ["gpt2", "gpt2"], "batch": "0"}, "batch: give 1 to"),
    ],
)
def test_what_makes_no_page_is_a_sentence(params, said):
    with pytest.raises(core.Unsupported, match=said):
        read(params)


@pytest.mark.parametrize("at", ["", "2", "-1", "one", "٠", "9" * 5_000])
def test_a_place_that_is_none_is_the_first(at):
    assert read({"m": ["gpt2", "llama-3-8b"], "at": at}).at == 0


# ---- a page of several ----


def several() -> None:
    from app import actions, state
    from app.kit.inspector import inspector
    from app.kit.widgets import workload

    now = state.current()
    actions.refusals(now)
    inspector(now)
    workload(now)


@pytest.fixture
def page() -> AppTest:
    return AppTest.from_function(several, default_timeout=60)


def visit(page: AppTest, **params) -> None:
    page.query_params.clear()
    page.query_params.update(params)
    page.run()
    assert not page.exception


def give(page: AppTest, key: str, value) -> None:
    next(w for kind in ("number_input", "selectbox") for w in getattr(page, kind) if w.key == key).set_value(value)
    page.run()
    assert not page.exception


def shown(page: AppTest) -> State:
    return read(asked(urlencode(page.query_params, doseq=True)))


def wrong(page: AppTest) -> int:
    return sum('class="wrong"' in element.proto.body for element in page.get("html"))


def test_each_has_its_own_edits(page):
    llama = preset("llama-3-8b")
    four, two = (edited(llama, "parts.attention.kv_heads", n) for n in (4, 2))
    visit(page, m=["llama-3-8b", "llama-3-8b"], at="1", part="layers.0.attention")
    give(page, KV, 4)
    assert shown(page).archs == (llama, four) and shown(page).selected == "layers.0.attention"
    visit(page, **page.query_params | {"at": "0"})
    assert page.number_input(key=KV).value == 8
    give(page, KV, 2)
    assert shown(page).archs == (two, four) and shown(page).at == 0
    visit(page, **page.query_params | {"at": "1"})
    assert page.number_input(key=KV).value == 4 and "kv_heads, was 8" in page.number_input(key=KV).label
    give(page, "w:batch", 2)
    assert shown(page) == State((two, four), workload({"batch": 2}, llama, llama), "layers.0.attention", 1)


def test_what_was_refused_of_one_is_not_of_its_equal(page):
    visit(page, m=["llama-3-8b", "llama-3-8b"], part="layers.0.attention")
    give(page, KV, 5)
    assert wrong(page) == 1 and page.number_input(key=KV).value == 5
    visit(page, m=["llama-3-8b", "llama-3-8b"], part="layers.0.attention", at="1")
    assert wrong(page) == 0 and page.number_input(key=KV).value == 8
    give(page, "w:batch", 0)
    assert wrong(page) == 1
    visit(page, m=["llama-3-8b", "gpt2"], context="5000")
    assert wrong(page) == 1, "what is more than one of them can read is said of that one"


def test_a_click_selects_in_any_of_them():
    def script() -> None:
        import streamlit as st

        from app import actions

        st.button("b", on_click=lambda: actions.select("layers.0", 1))
        st.button("reset", on_click=actions.reset)

    page = AppTest.from_function(script, default_timeout=60)
    four = edited(preset("llama-3-8b"), "parts.attention.kv_heads", 4)
    visit(page, m=["gpt2", core.encode(four)], part="model")
    page.button[0].click().run()
    assert (shown(page).selected, shown(page).at, shown(page).archs[1]) == ("layers.0", 1, four)
    page.button[1].click().run()
    assert shown(page).archs == (preset("gpt2"), preset("llama-3-8b"))


def test_the_gallery_takes_all_of_it_out_of_its_address():
    page = AppTest.from_file(str(Path(facts.__file__).parent / "pages" / "gallery.py"), default_timeout=60)
    visit(page, m=["gpt2", "gtp2"], at="1", part="model", batch="2", sort="largest")
    assert page.query_params == {"sort": "largest"}
    assert any("could not be opened" in element.proto.body for element in page.get("html"))


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (None, "is not a file that can be opened"), ({}, "is not a file"), ({"gguf": 5}, "is not a file"),
        ({"gguf": "!!"}, "was damaged on its way"), ({"gguf": "A" * 4_000_000}, "is not a file"),
        ({"gguf": "R0dVRg=="}, "cannot be read as GGUF"), ({"text": ""}, "an empty text"), ({"problem": "x" * 900}, "^x{300}$"),
        ({"text": "PNG", "begin": "\x89PNG\r"}, "is a picture"), ({"text": "heads: [", "begin": [1]}, "this is not YAML"),
        ({"text": "x" * 200_001}, "more than 200,000 characters"),
        ({"text": "hello", "begin": "hello", "name": "Model.GGUF"}, "is not a GGUF file, which begins"),
    ],
)  # fmt: skip
def test_what_a_browser_sends_of_a_file_may_be_anything(sent, words):
    with pytest.raises(core.Unsupported, match=words):
        actions._in_file(sent)
