"""The pages without a browser, in Streamlit's own AppTest: clicks in any order, every fold, and what a visitor may send."""

import json
import random
import re
from html import unescape
from pathlib import Path
from time import monotonic
from urllib.parse import quote

import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import given
from hypothesis import strategies as st
from picking import sent
from starlette.testclient import TestClient
from streamlit.testing.v1 import AppTest
from test_history import ask, data

import core
from app import server
from app.state import read, write
from core.edits import swapped
from core.kinds import choices
from core.library import parse_text, preset, to_yaml
from core.spec import edited

PAGES = Path(server.__file__).with_name("pages")
TABS = ("Settings", "Figures", "Code")
FOLDS = ("o:rest", "o:code", "o:yaml", "o:sources", "o:checklist", "o:torchinfo")


def only_the_inspector() -> None:
    from app import actions, state
    from app.kit.inspector import inspector

    now = state.current()
    actions.refusals(now)
    inspector(now)


@pytest.fixture(scope="module")
def inspector() -> AppTest:
    return AppTest.from_function(only_the_inspector, default_timeout=60)


@pytest.fixture
def workbench(monkeypatch: pytest.MonkeyPatch) -> AppTest:
    monkeypatch.setattr("app.kit.page.PICTURE_FIRST", 0)  # no browser paints
    return AppTest.from_file(str(PAGES / "workbench.py"), default_timeout=60)


def visit(page: AppTest, link: dict[str, str]) -> AppTest:
    page.query_params.clear()
    page.query_params.update(link)
    return calm(page.run())


def calm(page: AppTest) -> AppTest:
    """The page, which has no error on it."""
    assert not page.exception, [error.message for error in page.exception]
    return page


def widgets(page: AppTest) -> dict:
    kinds = ("number_input", "selectbox", "toggle", "segmented_control", "text_area", "text_input")
    return {widget.key: widget for kind in kinds for widget in getattr(page, kind) if widget.key}


def give(page: AppTest, key: str, value) -> AppTest:
    widgets(page)[key].set_value(value)
    return calm(page.run())


def press(page: AppTest, label: str) -> AppTest:
    next(button for button in page.button if button.label == label).click()
    return calm(page.run())


def wrong(page: AppTest) -> list[str]:
    """The sentences about what was refused."""
    found = (re.search(r'class="wrong"[^>]*>(.*)</p>', element.proto.body) for element in page.get("html"))
    return [unescape(match[1]) for match in found if match]


def address(page: AppTest) -> dict[str, str]:
    return {name: given if isinstance(given, str) else given[-1] for name, given in page.query_params.items()}


def shown(page: AppTest) -> core.Architecture:
    return read(address(page)).arch


def resettable(page: AppTest) -> bool:
    return data(page)["reset"]


def parts(arch: core.Architecture) -> dict[str, str]:
    """Each part and the node of its box."""
    nodes = core.graph(arch).nodes(data=True)
    return {data["part"]: node for node, data in nodes if "role" in data and not node.startswith("mtp")}


def boxes(arch: core.Architecture) -> list[str]:
    """Everything that can be inspected."""
    g = core.graph(arch)
    blocks = [node for node, data in g.nodes(data=True) if data["kind"] == "block"]
    return ["model", *blocks, *parts(arch).values(), *(["mtp"] if "mtp" in g else [])]


# ---- what was refused ----

HEADS, KV, FF = "f:parts.attention.heads", "f:parts.attention.kv_heads", "f:parts.dense.d_ff"
REFUSED = "32 heads do not divide into 5 equal groups; give 1, 2, 4, 8, 16 or 32"


def test_what_was_refused_stays_with_its_field(workbench):
    page = visit(workbench, {"preset": "llama-3-8b", "part": "layers.0.attention"})
    assert not resettable(page)
    give(page, KV, 5)
    assert wrong(page) == [REFUSED] and widgets(page)[KV].value == 5 and resettable(page)
    give(page, "inspect", "layers.0.dense")
    assert wrong(page) == [] and resettable(page)
    give(page, "inspect", "layers.0.attention")
    assert wrong(page) == [REFUSED] and widgets(page)[KV].value == 5
    assert shown(page) == preset("llama-3-8b")
    ask(page, "reset")
    assert wrong(page) == [] and widgets(page)[KV].value == 8 and not resettable(page)


@pytest.mark.parametrize("other", ["mistral-7b", "gpt2", "deepseek-v3"])
def test_what_was_refused_goes_with_its_architecture(workbench, other):
    """By another preset, by a link, by the back button: all change what the address says."""
    page = visit(workbench, {"preset": "llama-3-8b", "part": "layers.0.attention"})
    give(page, KV, 5)
    give(page, "w:batch", 0)
    sent(page, "start", "chosen", other)
    assert wrong(page) == [] and shown(page) == preset(other) and not resettable(page)
    visit(page, {"preset": "llama-3-8b", "part": "layers.0.attention"})
    assert wrong(page) == [] and widgets(page)[KV].value == 8


def test_what_a_browser_showed_before_is_no_edit(workbench):
    """A run that is broken off gives widgets values that the browser never shows; it sends the old ones with its next click."""
    page = visit(workbench, {"preset": "mixtral-8x7b", "part": "layers.0.moe"})
    shown_before = widgets(page)["f:parts.moe.count"].value
    page.session_state["done"] = 0.0  # main.py's: this run does not come to its end
    visit(page, {"preset": "gpt-oss-120b", "part": "layers.0.moe"})
    give(page, "f:parts.moe.count", shown_before)
    assert shown(page) == preset("gpt-oss-120b") and widgets(page)["f:parts.moe.count"].value == 128
    give(page, "f:parts.moe.count", 64)
    assert shown(page).parts["moe"].count == 64
    page.session_state["done"] = monotonic() - 10  # it did, long ago
    give(page, "f:parts.moe.count", 128)
    assert shown(page) == preset("gpt-oss-120b")


def test_another_model_is_asked_to_do_the_same(workbench):
    page = visit(workbench, {"preset": "deepseek-v3", "batch": "4", "context": "100000", "weights": "int4", "cache": "fp8"})
    sent(page, "start", "chosen", "llama-3-8b")
    same = {"preset": "llama-3-8b", "batch": "4", "weights": "int4", "cache": "fp8"}
    assert address(page) == same | {"context": "8192"}
    visit(page, {"preset": "gpt2", "batch": "2"})
    sent(page, "start", "chosen", "llama-3-8b")
    assert address(page) == {"preset": "llama-3-8b", "batch": "2"}, "the usual context is each model's own"


def test_two_fields_that_only_fit_together(workbench):
    for one, two in (((HEADS, 30), (KV, 5)), ((KV, 5), (HEADS, 30))):
        page = visit(workbench, {"preset": "llama-3-8b", "part": "layers.0.attention"})
        give(page, *one)
        assert len(wrong(page)) == 1 and shown(page) == preset("llama-3-8b")
        give(page, "f:parts.attention.head_dim", 7)  # what fits with nothing does not stand in their way
        assert len(wrong(page)) == 2
        give(page, *two)
        assert (shown(page).parts["attention"].heads, shown(page).parts["attention"].kv_heads) == (30, 5)
        assert len(wrong(page)) == 1 and widgets(page)["f:parts.attention.head_dim"].value == 7
        ask(page, "reset")
        assert shown(page) == preset("llama-3-8b")


def test_what_was_refused_waits_while_others_are_accepted(workbench):
    page = visit(workbench, {"preset": "llama-3-8b", "part": "layers.0.attention"})
    give(page, "w:batch", 0)
    give(page, KV, 5)
    give(page, "f:parts.attention.head_dim", 64)
    narrow = edited(preset("llama-3-8b"), "parts.attention.head_dim", 64)
    assert shown(page) == narrow and widgets(page)[KV].value == 5 and widgets(page)["w:batch"].value == 0
    assert sorted(wrong(page)) == [REFUSED, "give 1 to 1,000,000 (not 0)"]
    give(page, HEADS, 36)
    assert "36 heads do not divide into 5 equal groups; give 1, 2, 3, 4, 6, 9, 12, 18 or 36" not in wrong(page)
    give(page, HEADS, 30)
    wanted = edited(edited(narrow, "parts.attention.heads", 30, {"parts.attention.kv_heads": 5}), "parts.attention.head_dim", 64)
    assert shown(page) == wanted and wrong(page) == ["give 1 to 1,000,000 (not 0)"]
    give(page, "w:batch", 2)
    give(page, KV, 4)
    assert len(wrong(page)) == 1
    give(page, KV, 5)  # typed back
    assert wrong(page) == [] and shown(page) == wanted
    give(page, KV, 4)
    visit(page, write(read({"a": core.encode(swapped(shown(page), "attention", "latent_attention")), "part": "layers.0.attention"})))
    assert wrong(page) == [], "there is no such field any more"
    visit(page, {"preset": "llama-3-8b", "part": "layers.0.attention"})
    assert wrong(page) == [] and widgets(page)[KV].value == 8


def test_what_would_do_is_a_button(workbench):
    link = {"preset": "llama-3-8b", "part": "layers.0.attention"}
    page = give(visit(workbench, link), HEADS, 30)
    pressed = [button.label.partition(" :")[0] for button in page.button if button.key and button.key.startswith("r:")]
    assert pressed == ["heads 24", "kv heads 6", "kv heads 10", "keep 32"]
    press_with(page, "kv heads 6")
    assert wrong(page) == [] and shown(page) == edited(preset("llama-3-8b"), HEADS[2:], 30, {KV[2:]: 6})
    for words, heads in {"heads 24": 24, "keep 32": 32}.items():
        press_with(give(visit(page, link), HEADS, 30), words)
        assert wrong(page) == [] and shown(page) == edited(preset("llama-3-8b"), HEADS[2:], heads)
    give(give(page, HEADS, 30), "f:parts.attention.head_dim", 7)
    press_with(page, "kv heads 10")
    assert len(wrong(page)) == 1 and shown(page).parts["attention"].heads == 30, "another refused value waits"


def press_with(page: AppTest, words: str) -> AppTest:
    """Press the button whose label begins with these words."""
    next(button for button in page.button if button.label.startswith(words)).click()
    return calm(page.run())


def a_swap() -> None:
    import streamlit as st

    from app import state
    from app.kit.inspector import inspector, swap

    now = state.current()
    if asked := st.session_state.pop("swap", None):
        swap(now.arch, *asked)
        st.rerun()
    inspector(now)


def test_a_part_that_became_another_kind_stays_selected():
    page = AppTest.from_function(a_swap, default_timeout=60)
    visit(page, {"preset": "deepseek-v3", "part": "layers.0.dense"})
    page.session_state["swap"] = ("dense", "experts")
    calm(page.run())
    assert shown(page) == swapped(preset("deepseek-v3"), "dense", "experts") and address(page)["part"] == "layers.0.moe2"
    visit(page, {"preset": "gemma-3n-e2b", "part": "layers.0.local"})
    page.session_state["swap"] = ("local", "multi_head")
    calm(page.run())
    assert shown(page) == preset("gemma-3n-e2b") and "keeps tensors of another shape" in wrong(page)[0]


def test_a_refused_workload_stays_in_its_widget(workbench):
    page = visit(workbench, {"preset": "llama-3-8b"})
    give(page, "w:batch", 0)
    assert wrong(page) == ["give 1 to 1,000,000 (not 0)"] and widgets(page)["w:batch"].value == 0
    give(page, "w:context", None)
    assert "give 1 to 1,000,000,000 (it is empty)" in wrong(page)
    give(page, "w:cache", "fp8")
    assert len(wrong(page)) == 2 and address(page)["cache"] == "fp8" and widgets(page)["w:batch"].value == 0


# ---- the whole as text ----


def text_of(page: AppTest):
    return next(area for area in page.text_area if area.key.startswith("text:"))


def test_text_keeps_workload_and_selection(workbench):
    workbench.session_state["o:yaml"] = True
    page = visit(workbench, {"preset": "deepseek-v3", "part": "model", "batch": "4", "context": "8192"})
    other = edited(preset("deepseek-v3"), "parts.moe.top_k", 4)
    text_of(page).set_value(to_yaml(other))
    press(page, "Apply")
    assert shown(page) == other and (address(page)["batch"], address(page)["part"]) == ("4", "model")
    assert parse_text(text_of(page).value) == other
    text_of(page).set_value(to_yaml(preset("gpt2")))
    press(page, "Apply")
    assert shown(page) == preset("gpt2") and address(page)["context"] == "8192"


def test_refused_text_stays_with_its_sentence(workbench):
    workbench.session_state["o:yaml"] = True
    page = visit(workbench, {"preset": "gpt2", "part": "model"})
    mine = to_yaml(preset("gpt2")).replace("d_model: 768", "d_model: wide")
    text_of(page).set_value(mine)
    press(page, "Apply")
    sentence = "d_model: give 1 to 262,144 (not 'wide')"
    assert wrong(page) == [sentence] and text_of(page).value == mine and resettable(page)
    give(page, "inspect", "layers.0.dense")
    give(page, "inspect", "model")
    page.session_state["o:yaml"] = True
    calm(page.run())
    assert wrong(page) == [sentence] and text_of(page).value == mine
    text_of(page).set_value(mine + "# more")
    calm(page.run())
    assert wrong(page) == [], "it was about another text"
    ask(page, "reset")
    assert text_of(page).value == to_yaml(preset("gpt2")) and wrong(page) == []


# ---- every fold, every pair of edits ----


@pytest.mark.long
@pytest.mark.parametrize("name", core.presets())
def test_every_fold_of_every_part_opens(inspector, name):
    arch = preset(name)
    folds = {*FOLDS, *(f"o:{fold}:{part}" for part in arch.parts for fold in ("more", "how"))}
    for fold in folds:
        inspector.session_state[fold] = True
    own = [*parts(arch).values()]
    for tab, node in [*((TABS[0], node) for node in (*boxes(arch)[:2], *own)), *((TABS[1], node) for node in own), (TABS[2], own[0])]:
        inspector.session_state["tab"] = tab
        visit(inspector, {"preset": name, "part": node})
        assert all(fold.proto.expanded for fold in inspector.expander), "each was open"
        choices = widgets(inspector)["inspect"].options
        assert len(set(choices)) == len(choices), "a choice is sent by its words: two of the same would be one"


@st.composite
def swaps(draw) -> tuple[str, str, str]:
    """A preset, one of its parts, and a kind that could stand there."""
    name = draw(st.sampled_from(core.presets()))
    part = draw(st.sampled_from(sorted(preset(name).parts)))
    return name, part, draw(st.sampled_from([choice.name for choice in choices(preset(name).parts[part])]))


@given(swaps())
def test_every_fold_opens_of_a_part_that_became_another_kind(inspector, swap):
    name, part, kind = swap
    before = preset(name)
    try:
        made = swapped(before, part, kind)
    except core.Unsupported:
        return
    (new,) = made.parts.keys() - (before.parts.keys() - {part})
    nodes = parts(made)
    if new not in nodes:  # of the modules ahead alone
        return
    for fold in ("more", "how"):
        inspector.session_state[f"o:{fold}:{new}"] = True
    visit(inspector, {"a": core.encode(made), "part": nodes[new]})
    assert wrong(inspector) == []


def values(widget) -> list:
    """What a visitor could do with a widget, sense and nonsense."""
    match type(widget).__name__:
        case "NumberInput":
            return [None, -1, 0, 1, 3, 5, (widget.value or 1) * 2, 2**53 - 1]
        case "Toggle":
            return [not widget.value]
        case "TextInput":
            return ["", "on", "previous", "sqrt_d_model", "3", "1e300", "<b>", "-"]
    return list(widget.options)


@given(st.sampled_from(core.presets()), st.sampled_from(core.presets()), st.randoms(use_true_random=False))
def test_edits_in_any_order_then_every_box_then_another_model(inspector, name, other, dice: random.Random):
    """Pairs of edits of any fields, refused or not, the second in any box; what is shown agrees with the address."""
    for fold in (*FOLDS, *(f"o:more:{part}" for part in preset(name).parts)):
        inspector.session_state[fold] = dice.random() < 0.5
    visit(inspector, {"preset": name})
    for _ in range(2):
        before = shown(inspector)
        give(inspector, "inspect", dice.choice(boxes(before)))
        own = {key: widget for key, widget in widgets(inspector).items() if key.startswith("f:")}
        if own:
            key = dice.choice(sorted(own))
            value = dice.choice(values(own[key]))
            give(inspector, key, value)
            assert shown(inspector) != before or wrong(inspector) or value == own[key].value, (key, value)
    for node in boxes(shown(inspector)):
        give(inspector, "inspect", node)
        assert widgets(inspector)["inspect"].value == node
    same = shown(inspector) == preset(other)
    visit(inspector, {"preset": other})
    assert shown(inspector) == preset(other) and (same or wrong(inspector) == [])


def test_the_choices_are_told_apart():
    titles = [preset(name).title for name in core.presets()]
    assert len(set(titles)) == len(titles)


# ---- what a visitor sends ----

HOSTILE = "![p](http://foreign.test/p.png) [l](http://foreign.test) <img src=x onerror=alert(1)> http://foreign.test/a $x^2$ :red[r]"


def markdown_of(page: AppTest) -> list[str]:
    """All words that Streamlit reads as Markdown: labels, helps, captions, alerts, toasts; not HTML, options and values."""
    found = []

    def below(node) -> None:
        proto = getattr(node, "proto", None)
        if proto is not None and node.type not in ("html", "bidi_component", "plotly_chart"):
            said = MessageToDict(proto) if hasattr(proto, "DESCRIPTOR") else {}
            found.extend(str(said[name]) for name in ("label", "help", "body", "text", "title", "caption") if name in said)
        for child in getattr(node, "children", {}).values():
            below(child)

    below(page._tree)
    return found


def dangerous(words: list[str]) -> list[str]:
    return [text for text in words if re.search(r"foreign\.test|onerror|\$x|:red\[r", text)]


def hostile() -> core.Architecture:
    arch = preset("deepseek-v3")
    for field, most in {"title": 100, "note": 900, "family": 64, "organisation": 100, "licence": 100}.items():
        arch = edited(arch, field, HOSTILE[:most])
    return edited(edited(arch, "sources", [HOSTILE]), "name", "mine")


@pytest.mark.parametrize("node", ["model", "layers.3", "layers.3.moe", HOSTILE])
def test_what_a_link_says_is_text(workbench, node):
    for fold in (*FOLDS, "o:more:moe", "o:how:moe"):
        workbench.session_state[fold] = True
    page = visit(workbench, write(read({"a": core.encode(hostile()), "part": node})))
    assert not dangerous(markdown_of(page))
    give(page, "w:batch", 0)
    assert wrong(page) and not dangerous(markdown_of(page))


def test_a_refused_link_is_text():
    page = AppTest.from_file(str(PAGES / "gallery.py"), default_timeout=60)
    visit(page, {"preset": HOSTILE})
    assert not dangerous(markdown_of(page))
    assert any('class="notice bad"' in element.proto.body and "foreign" in element.proto.body for element in page.get("html"))
    page.text_area(key="own").set_value("name: " + HOSTILE)
    press(page, "Open")
    assert wrong(page) and not dangerous(markdown_of(page))


PASTED = {
    "gpt2": "gpt2",
    "/workbench?preset=gpt2": "gpt2",
    "https://strata.example/workbench?preset=deepseek-v3&batch=4": "deepseek-v3",
    f"https://strata.example/workbench?a={core.encode(preset('gpt2'))}": "gpt2",
    "GPT-2 small": "gpt2",
    "DeepSeek-V3": "deepseek-v3",
    "deepseek v3": "deepseek-v3",
    " GPT2\n": "gpt2",
    "\u00a0gpt2\u00a0": "gpt2",
    "?preset=GPT2": "gpt2",
    "?preset=gpt2%20": "gpt2",
}


@pytest.mark.parametrize("text", PASTED, ids=range(len(PASTED)))
def test_a_pasted_name_or_link_opens(text):
    from app.actions import opened_text

    page = AppTest.from_function(lambda: None)
    page.run()
    assert opened_text(text, None) == preset(PASTED[text])


@pytest.mark.parametrize(
    ("text", "said"),
    {
        "": "this is empty; give a config.json",
        " \u00a0\n": "this is empty; give a config.json",
        "a small model, please": "this is none of these; give a config.json",
        "![x](http://foreign.test)": "this is none of these; give a config.json",
        "Qwen/Qwen3-0.6B": "to open a model on the Hugging Face Hub, give hf:Qwen/Qwen3-0.6B",
        "gtp2": "'gtp2' is not a preset; give a name such as gpt2",
    }.items(),
)
def test_what_cannot_be_opened_is_told_what_can(text, said):
    from app.actions import opened_text, refused

    AppTest.from_function(lambda: None).run()
    assert opened_text(text, "here") is None
    assert refused("text", "here")[""].words.startswith(said)


def test_a_config_of_ones_own_is_no_edit_of_a_preset():
    from app.actions import opened_text

    AppTest.from_function(lambda: None).run()
    own = opened_text('{"model_type": "bloom", "hidden_size": 64, "n_head": 4, "n_layer": 2}', None)
    assert own.name not in core.presets() and own.d_model == 64
    edit = edited(preset("gpt2"), "d_model", 1536)
    assert opened_text(to_yaml(edit), None) == edit
    assert opened_text(to_yaml(edited(edit, "title", "Mine")), None).name not in core.presets()


def test_a_truth_value_is_no_number():
    for path in ("d_model", "parts.attention.heads", "layers.0.repeat"):
        with pytest.raises(core.Unsupported, match=r"give 1 to [\d,]+ \(not 'true'\)"):
            edited(preset("llama-3-8b"), path, True)
    with pytest.raises(core.Unsupported, match="give a number above 0"):
        edited(preset("llama-3-8b"), "norm.eps", True)
    assert edited(preset("llama-3-8b"), "tied_embeddings", True).tied_embeddings


NAMES = (
    "nothing", "s1.", "s1.broken", "S1.x", "%00", "%ed%a0%80", "%ff%fe", "..%2f..%2fetc%2fpasswd", "a" * 20_000, "s1." + "A" * 9_000,
    "%F0%9F%98%80", "gpt2%0a", "gpt2;x", "%7Bname%7D", "hf:a/b.", quote(HOSTILE, safe=""), "con",
)  # fmt: skip
ASKED = (
    "batch=-1", "batch=0", "batch=1e30", "batch=" + "9" * 5_000, "batch=NaN", "batch=inf", "batch=1.5", "batch=1&batch=2", "batch=",
    "batch=%00", "batch=true", "context=0x10", "context=1_000", "context=%D9%A1", "weights=%ed%a0%80",
    "weights=" + "x" * 9_000, "cache=mxfp4",
    "cache[]=1", "__class__=1", "&&&=", "%", "a=1&preset=2", "part=" + "x" * 5_000, "part=%00", "context=1000000000&batch=1000000",
)  # fmt: skip


@pytest.fixture(scope="module")
def visitor() -> TestClient:
    """Errors of a route are errors of the test."""
    return TestClient(server.app, follow_redirects=False)


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_no_name_is_an_error_of_the_servers(visitor, name):
    for path in (f"/api/architecture/{name}", f"/api/cost/{name}", f"/api/graph/{name}", f"/card/{name}.svg"):
        answer = visitor.get(path)
        assert answer.status_code in (301, 400, 404, 422), path
        if answer.status_code == 422:
            assert len(answer.json()["error"]) < 1_000
    for path in (f"/?preset={name}", f"/workbench?preset={name}", f"/workbench?a={name}"):
        answer = visitor.get(path, follow_redirects=True)
        assert answer.status_code == 200 and "<img" not in answer.text and "foreign.test/a $" not in answer.text


@pytest.mark.parametrize("asked", ASKED, ids=range(len(ASKED)))
def test_no_question_is_an_error_of_the_servers(visitor, asked):
    assert visitor.get(f"/api/cost/gpt2?{asked}").status_code in (200, 422)
    assert visitor.get(f"/api/graph/gpt2?{asked}").status_code == 200
    for page in ("/", "/workbench"):
        assert visitor.get(f"{page}?{asked}", follow_redirects=True).status_code == 200
        assert visitor.get(f"{page}?preset=gpt2&{asked}", follow_redirects=True).status_code == 200


def test_paths_lead_somewhere(visitor):
    for path, there in {"/gallery": "/", "/gallery/": "/", "/gallery?q=moe": "/?q=moe", "/workbench/": "/workbench"}.items():
        answer = visitor.get(path)
        assert (answer.status_code, answer.headers["location"]) == (301, there)
    for path in (
        "/nothing", "/workbench/deepseek-v3", "/a/b", "/%3Cscript%3E", "/workbench.html", "/index.html", "/a.b/c", "/a..b", "/static",
        "/static/js/x.js", "/foo/static/index.js", "/app/static/x", "/_stcore/xyz", "/_stcore/stream", "/_stcore/upload_file/x",
        "/gallery/%2f%2fevil.test", "/card/x.gif", "/x%0a", "/" + "%26" * 300,
    ):  # fmt: skip
        answer = visitor.get(path)
        assert answer.status_code == 404 and "There is no page here" in answer.text and "<script>" not in answer.text, path
        assert "&" not in answer.text.replace("&amp;", "").replace("&lt;", "").replace("&gt;", ""), "cut within a character's name"
    for path in ("/api/nothing", "/api", "/api/cost/a/b", "/api/x.html"):
        answer = visitor.get(path)
        assert answer.status_code == 404 and "Strata has no /api" in answer.json()["error"]


def test_what_streamlit_serves_is_served(visitor):
    assert visitor.get("/favicon.png").headers["content-type"] == "image/png"
    assert visitor.get("/_stcore/health").text == "ok" and visitor.get("/_stcore/host-config").json()
    for file in re.findall(r'(?:src|href)="\./([^"]+)"', server.INDEX):
        answer = visitor.get(f"/{file}")
        assert answer.status_code == 200 and "<title>" not in answer.text[:2_000], file


def test_a_link_that_opens_nothing_leads_to_the_gallery(visitor):
    answer = visitor.get("/workbench?preset=nope&batch=2")
    assert (answer.status_code, answer.headers["location"]) == (307, "/?preset=nope&batch=2")
    assert "GPT-2" not in visitor.get("/gallery?preset=gpt2", follow_redirects=True).text


def test_the_gallery_has_no_workbench_in_its_address():
    page = AppTest.from_file(str(PAGES / "gallery.py"), default_timeout=60)
    visit(page, {"preset": "mamba-2.8b", "part": "model", "batch": "2", "sort": "largest"})
    assert address(page) == {"sort": "largest"}
    assert not any("could not be opened" in element.proto.body for element in page.get("html"))


def test_a_hostile_title_is_text_in_a_preview(visitor):
    answer = visitor.get("/workbench", params={"a": core.encode(hostile())})
    assert answer.status_code == 200 and "<img src=x" not in answer.text and "&lt;img" in answer.text
    assert json.loads(visitor.get(f"/api/architecture/{core.encode(hostile())}").text)["title"] == hostile().title


# ---- a budget ----


def told(page: AppTest) -> str:
    return " ".join(unescape(element.proto.body) for element in page.get("html"))


def test_a_budget_shows_its_candidate_and_is_applied_as_one_edit(workbench):
    workbench.session_state["budget"] = True
    visit(workbench, {"preset": "deepseek-v3"})
    assert "The model is there already" in told(workbench)
    give(workbench, "fit:parameters", "100B")
    assert all(words in told(workbench) for words in (" of 100 B asked, ", "<td>layers</td>", "<td>moe d_ff</td>"))
    press(workbench, "Apply")
    assert abs(core.cost(shown(workbench)).parameters / 100e9 - 1) < 0.05
    workbench.session_state["budget"] = True  # closed since
    workbench.run()
    give(workbench, "fit:what", "same_cache")
    assert "DeepSeek-V3 keeps 287.8 MB" in told(workbench) and "<td>attention kv rank</td>" in told(workbench)
    press(workbench, "Apply")
    caches = [core.cost(arch).kept_bytes for arch in (shown(workbench), preset("deepseek-v3"))]
    assert abs(caches[0] / caches[1] - 1) < 0.05


@pytest.mark.parametrize(("what", "given", "figure"), [("active", "3B", "active_parameters"), ("cache", "150 MB", "kept_bytes")])
def test_active_parameters_and_caches_have_budgets_too(workbench, what, given, figure):
    workbench.session_state["budget"], workbench.session_state["fit:what"] = True, what
    visit(workbench, {"preset": "deepseek-v3"})
    give(workbench, f"fit:{what}", given)
    press(workbench, "Apply")
    assert abs(getattr(core.cost(shown(workbench)), figure) / {"3B": 3e9, "150 MB": 150e6}[given] - 1) < 0.1


@pytest.mark.parametrize("words", ("", "many", "-3", "9e99", "<b>8B</b>", "1"))
def test_what_is_no_budget_is_said_and_offers_nothing(workbench, words):
    workbench.session_state["budget"], workbench.session_state["fit:parameters"] = True, words
    visit(workbench, {"preset": "gpt2"})
    assert len(wrong(workbench)) == 1 and not [button for button in workbench.button if button.label == "Apply"]
