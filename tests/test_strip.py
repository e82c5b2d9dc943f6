"""The strip of layers: what each of its controls does to the page's architecture, and what is said where it cannot be."""

import re
from html import unescape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import architectures
from streamlit.testing.v1 import AppTest

import core
from app.kit import forms, strip
from app.state import read
from core import edits
from core.edits import Place
from core.library import preset


def only_the_strip() -> None:
    import streamlit as st

    from app import state
    from app.kit import strip

    if action := st.session_state.pop("asked", None):
        strip.act(action)
    strip.strip(state.current())


@pytest.fixture
def page() -> AppTest:
    return AppTest.from_function(only_the_strip, default_timeout=60)


def visit(page: AppTest, **params: str) -> AppTest:
    page.query_params.update(params)
    return calm(page.run())


def calm(page: AppTest) -> AppTest:
    assert not page.exception, [error.message for error in page.exception]
    return page


def ask(page: AppTest, do: object, place: object = None, value: object = None, **more: object) -> core.Architecture:
    """A click on a control of the strip; the architecture afterwards."""
    page.session_state["asked"] = {"do": do, "place": place, "value": value} | more
    calm(page.run())
    return shown(page)


def shown(page: AppTest) -> core.Architecture:
    return read({name: value if isinstance(value, str) else value[-1] for name, value in page.query_params.items()}).arch


def press(page: AppTest, label: str) -> core.Architecture:
    next(button for button in page.button if button.label == label).click()
    calm(page.run())
    return shown(page)


def choose(page: AppTest, key: str, value: object) -> None:
    next(
        w for kind in ("number_input", "selectbox", "text_input", "multiselect") for w in getattr(page, kind) if w.key.startswith(key)
    ).set_value(value)
    calm(page.run())


def said(page: AppTest) -> str:
    """The texts of the drawer."""
    return " ".join(unescape(re.sub("<[^>]+>", " ", element.proto.body)) for element in page.get("html"))


def selected(page: AppTest) -> str:
    given = page.query_params.get("part", "")
    return given if isinstance(given, str) else given[-1]


def test_blocks_are_repeated_moved_duplicated_and_removed(page):
    visit(page, preset="qwen3-next-80b-a3b", part="layers.3.attention")
    assert ask(page, "repeat", "0:0", 5).pattern == "12 × (5 × [delta, moe], [attention, moe])"
    assert selected(page) == "layers.0", "the block that was changed"
    assert ask(page, "repeat", "0:", 2).depth == 12
    ask(page, "select", "0:1", node="layers.5.attention")
    assert ask(page, "earlier", "0:1").pattern == "2 × ([attention, moe], 5 × [delta, moe])"
    assert selected(page) == "layers.0.attention", "the selected part moves along"
    assert ask(page, "move", "0:0", "0:2").pattern == "2 × (5 × [delta, moe], [attention, moe])"
    assert ask(page, "move", "0:0", "1:").pattern == "2 × [attention, moe], 10 × [delta, moe]"
    assert ask(page, "move", "0:0", "1:1").pattern == "10 × ([delta, moe], [attention, moe])"
    assert selected(page) == "layers.1", "a block without the part that was selected"
    assert ask(page, "duplicate", "0:").depth == 2 * ask(page, "remove", "0:").depth


def test_what_is_around_the_layers(page):
    visit(page, preset="deepseek-v3")
    assert ask(page, "dense", value=1) == edits.first_dense(preset("deepseek-v3"), 1)
    assert ask(page, "mtp", value=0).mtp is None and ask(page, "mtp", value=2).mtp.count == 2
    assert ask(page, "tie").tied_embeddings and not ask(page, "tie").tied_embeddings
    assert ask(page, "parallel", "0:0").pattern.startswith("[attention+dense], ")
    assert ask(page, "parallel", "0:0").pattern.startswith("[attention, dense], ")


def test_what_cannot_be_is_said_and_changes_nothing(page):
    visit(page, preset="llama-3-8b")
    before = shown(page)
    assert ask(page, "repeat", "0:", 5_000) == before
    html = strip._html(before, None, "", "", (("repeat:0:", (5_000, "repeat: give <0> to 1,024")),))
    assert 'value="5000"' in html and 'aria-invalid="true"' in html and "give &lt;0&gt; to 1,024" in html
    assert ask(page, "remove", "0:0") == before and ask(page, "dense", value=3) == before
    for do, place in (("repeat", "0:"), ("mtp", None)):  # refused, not cut to 12
        assert ask(page, do, place, value=12.5) == before
        assert "a whole number (not 12.5)" in str(page.session_state["refused"]["edits"][1])
    assert ask(page, "repeat", "0:", 8).depth == 8 and page.session_state["refused"]["edits"][1] == {}


@pytest.mark.parametrize(
    "action",
    [None, 3, [], {}, {"do": "remove"}, {"do": "remove", "place": "9:"}, {"do": "remove", "place": "0:9"}, {"do": "repeat", "place": "0:0"},
     {"do": "repeat", "place": "0:", "value": 1e300}, {"do": "mtp", "value": "x"}, {"do": "take", "place": "0:0", "value": {}},
     {"do": "take", "place": "0:0", "value": "nothing"}, {"do": "every", "place": "4:"}, {"do": "insert"}, {"do": "rename", "place": "0:0"},
     {"do": "move", "place": "0:", "value": "9:9"}, {"do": "move", "place": "0:0", "value": "0:"}, {"do": "earlier", "place": "0:"},
     {"do": ["x"], "place": [1]}, {"do": "select", "node": 3 * "x"}, {"do": "dense", "value": -1}],
)  # fmt: skip
def test_what_no_control_sends_changes_nothing(page, action):
    visit(page, preset="gpt2")
    page.session_state["asked"] = action
    assert calm(page.run()) and shown(page) == preset("gpt2")


def test_every_nth_layer_previews_before_it_is_applied(page):
    visit(page, preset="llama-3-8b", part="layers.0.attention", context="8192")
    before = ask(page, "every", "0:0")
    choose(page, "d:n", 2.5)
    assert "give 1 to 32, the number of layers, a whole number (not 2.5)" in said(page), "a number that is not whole is not cut"
    choose(page, "d:n", 8)
    choose(page, "d:k", 7)
    choose(page, "d:others", "+gated_delta_net")
    assert "attention 32 → 4 · delta 0 → 28" in said(page) and "1.1 GB → " in said(page) and "parameters +" in said(page)
    assert shown(page) == before, "nothing is changed yet"
    after = press(page, "Apply")
    assert after.pattern == "4 × (7 × [delta, dense], [attention, dense])" and not page.button, "and the drawer closes"


def test_a_part_comes_into_blocks_new_and_old(page):
    visit(page, preset="llama-3-8b", part="layers.0.dense")
    ask(page, "part", "0:0")
    choose(page, "d:part", "+experts")
    made = press(page, "Apply")
    assert made.pattern == "32 × [attention, moe]" and selected(page) == "layers.0.moe"
    assert ask(page, "dense", value=3).pattern == "3 × [attention, dense], 29 × [attention, moe]"
    ask(page, "select", "1:0", node="layers.3.moe")
    ask(page, "part", "1:0")
    choose(page, "d:part", "dense")
    choose(page, "d:way", "beside moe")
    assert press(page, "Apply").pattern == "3 × [attention, dense], 29 × [attention, moe+dense]"
    assert ask(page, "take", "1:0", "dense").pattern == "3 × [attention, dense], 29 × [attention, moe]"
    ask(page, "select", "1:0", node="layers.3.moe")
    ask(page, "rename", "1:0")
    choose(page, "d:rename", "dense")
    assert "this name is in use" in said(page) and next(b for b in page.button if b.label == "Apply").disabled
    choose(page, "d:rename", "sparse")
    assert press(page, "Apply").pattern.endswith("29 × [attention, sparse]") and selected(page) == "layers.3.sparse"
    ask(page, "insert", "1:")
    choose(page, "d:block", ["sparse"])
    assert press(page, "Apply").pattern == "3 × [attention, dense], [sparse], 29 × [attention, sparse]"
    press_cancel = ask(page, "every", "0:0")
    assert press(page, "Cancel") == press_cancel and not page.button


def test_the_strip_of_any_preset():
    for name in core.presets():
        arch = preset(name)
        html = strip._html(arch, Place(0, 0), "", "", ())
        assert html.count('<section class="segment') == len(arch.layers), name
        keys = re.findall(r'data-key="([^"]+)"', html)
        assert len(set(keys)) == len(keys), "each control is found again after an edit"


@pytest.mark.parametrize(
    "name, offered", [("deepseek-v3", 1), ("qwen3-next-80b-a3b", 1), ("gpt2", 0), ("nemotron-3-nano-30b-a3b", 0), ("llama-4-maverick", 0)]
)
def test_first_layers_dense_is_offered_where_it_makes_sense(name, offered):
    assert strip._html(preset(name), None, "", "", ()).count(">First ") == offered


@settings(max_examples=10)
@given(architectures, st.data())
def test_the_strip_of_a_random_architecture(arch, data):
    places = list(strip.nodes(arch))
    place = data.draw(st.sampled_from(places))
    html = strip._html(arch, place, strip.nodes(arch)[place], "", ())
    assert html.count('class="block"') == len(places) - 1 and html.count('class="block on"') == 1


# ---- from one model to another by controls alone ----


def fields(page: AppTest, target: core.Architecture) -> None:
    """Each field that differs gets the target's value, if it has a control."""
    for _ in range(6):  # what a control turns on has fields of its own
        arch = shown(page)
        paths = {c.path: c for c in forms.controls(arch, "")}
        for name, part in arch.parts.items():
            paths |= {c.path: c for c in forms.controls(part, f"parts.{name}")}
        wanted = target.model_dump(mode="json")
        changes = [c.path for c in core.diff(arch, target).changes if c.path.split(".")[0] not in ("layers", "precision", "mtp")]
        if not changes:
            return
        for path in changes:
            path = path if path in paths else path.removesuffix(".kind")
            assert path in paths, f"{path} has no control"
            value = wanted
            for key in path.split("."):
                value = value[key]
            page.session_state["field"] = (path, value)
            calm(page.run())
    raise AssertionError(f"{changes} of {target.name} are not reached")


def with_fields() -> None:
    import streamlit as st

    from app import actions, state
    from app.kit import inspector, strip

    if action := st.session_state.pop("asked", None):
        strip.act(action)
    if edit := st.session_state.pop("field", None):
        actions.edit(*edit, None)
    if swap := st.session_state.pop("swap", None):
        inspector.swap(state.current().arch, *swap)
    strip.strip(state.current())


def swap(page: AppTest, name: str, kind: str) -> None:
    page.session_state["swap"] = (name, kind)
    calm(page.run())


def rename(page: AppTest, place: str, name: str, new: str) -> None:
    places = strip.nodes(shown(page))
    ask(page, "select", place, node=f"{places[strip._read(place)]}.{name}")
    ask(page, "rename", place)
    choose(page, "d:rename", new)
    press(page, "Apply")


def to_gpt_oss(page: AppTest) -> None:
    swap(page, "dense", "experts")
    ask(page, "select", "0:0", node="layers.0.attention")
    ask(page, "every", "0:0")
    choose(page, "d:n", 2)
    choose(page, "d:k", 1)
    choose(page, "d:others", "+sliding_window")
    press(page, "Apply")
    ask(page, "repeat", "0:", 18)
    rename(page, "0:1", "attention", "global")
    rename(page, "0:0", "sliding_window", "local")


def to_qwen3_next(page: AppTest) -> None:
    swap(page, "dense", "experts")
    ask(page, "select", "0:0", node="layers.0.attention")
    ask(page, "every", "0:0")
    choose(page, "d:others", "+gated_delta_net")
    press(page, "Apply")
    ask(page, "repeat", "0:", 12)
    ask(page, "mtp", value=1)


def to_deepseek_v3(page: AppTest) -> None:
    swap(page, "attention", "latent_attention")
    swap(page, "dense", "experts")
    ask(page, "repeat", "0:", 61)
    ask(page, "dense", value=3)
    ask(page, "mtp", value=1)


@pytest.mark.parametrize(
    "name, steps", [("gpt-oss-120b", to_gpt_oss), ("qwen3-next-80b-a3b", to_qwen3_next), ("deepseek-v3", to_deepseek_v3)]
)
def test_llama_becomes_another_model_by_controls_alone(name, steps):
    page, target = AppTest.from_function(with_fields, default_timeout=60), preset(name)
    visit(page, preset="llama-3-8b", part="layers.0.attention")
    steps(page)
    assert shown(page).layers == target.layers
    fields(page, target)
    made = shown(page)
    assert made.parts == target.parts and made.layers == target.layers
    assert core.cost(made).parameters == core.cost(target).parameters and core.cost(made).kv_bytes == core.cost(target).kv_bytes
    assert (made.mtp and made.mtp.block) == (target.mtp and target.mtp.block)
