"""The workbench's history: undo, redo, reset, snapshots, edits dropped one by one, and coming back through the menu."""

import json
import re
from html import unescape
from pathlib import Path
from urllib.parse import urlencode

import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import given, settings
from hypothesis import strategies as st
from picking import component, sent
from strategies import architectures
from streamlit.testing.v1 import AppTest
from test_state import asked

import core
from app import facts
from app.actions import MOST_STEPS, Past
from app.state import MOST_KEPT, MOST_LETTERS, MOST_NAME, State, link, read, workload, write
from core import edits
from core.library import preset, to_yaml
from core.spec import edited

KV, HEADS = "f:parts.attention.kv_heads", "f:parts.attention.heads"
LLAMA = preset("llama-3-8b")


# ---- the link ----


def own() -> core.Architecture:
    return core.from_hf(
        {"model_type": "qwen3", "hidden_size": 1024, "num_attention_heads": 16, "num_key_value_heads": 8, "num_hidden_layers": 4}
    )


NAMES = st.text(min_size=1, max_size=MOST_NAME).map(lambda text: " ".join(text.split())).filter(lambda text: text and text.isprintable())


@settings(max_examples=settings().max_examples // 10 + 1)
@given(architectures, architectures, st.lists(st.tuples(NAMES, st.sampled_from([LLAMA, preset("gpt2")])), max_size=MOST_KEPT))
def test_start_and_snapshots_are_in_the_link(start, arch, kept):
    first = State((start,), workload({}, start))
    state = State((arch,), workload({}, arch), start=start if arch != start and arch.name == start.name else None, kept=tuple(kept))
    assert first.base == start
    assert read(asked(link(state))) == state


def test_what_was_opened_is_a_start_like_a_preset():
    opened = read({"a": core.encode(own())})
    assert opened.base == own() and "from" not in write(opened)
    edit = opened.holding(edited(own(), "context", 512))
    assert edit.base == own() and read(write(edit)) == edit and set(write(edit)) == {"a", "from", "context"}
    assert edit.holding(own()) == opened, "edited back"
    assert edit.opening(LLAMA).base == LLAMA and "from" not in write(edit.opening(LLAMA))
    assert "from" not in write(read({"preset": "gpt2"}).holding(edited(preset("gpt2"), "d_model", 1536))), "its name says it"
    assert read({"a": core.encode(edited(LLAMA, "context", 9)), "from": "llama-3-8b"}).start is None
    other = read({"a": core.encode(edited(LLAMA, "context", 9)), "from": "llama-3.1-8b"})
    assert other.base == preset("llama-3.1-8b") and read(write(other)) == other
    assert read({"m": ["gpt2", "llama-3-8b"], "from": "llama-3.1-8b"}).start is None, "several have none"


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"from": "s1.x"}, "damaged"),
        ({"from": "nope"}, "is not a preset"),
        ({"from": ""}, "is not a preset"),
        ({"keep": "gpt2"}, "give a snapshot a name of 1 to 40 characters"),
        ({"keep": ":gpt2"}, "give a snapshot a name"),
        ({"keep": " \n :gpt2"}, "give a snapshot a name"),
        ({"keep": "x" * 41 + ":gpt2"}, "give a snapshot a name"),
        ({"keep": "mine:gtp2"}, "is not a preset"),
        ({"keep": "mine:s1.AAAA"}, "damaged"),
        ({"keep": ["mine:gpt2"] * (MOST_KEPT + 1)}, "keep: 7 snapshots are more than a link holds; give at most 6"),
        ({"keep": ["x" * MOST_LETTERS + ":gpt2"]}, "more than 12,000 characters"),
    ],
)
def test_a_link_that_lies_is_a_sentence(params, said):
    with pytest.raises(core.Unsupported, match=said):
        read({"preset": "gpt2", **params})


# ---- the steps ----


@given(st.lists(st.tuples(st.sampled_from("we<>"), st.integers(0, 5)), max_size=90))
def test_steps_are_where_the_page_is(moves):
    """Edits, the page's buttons and the browser's, in any order."""
    past = Past()
    words = [core.encode(edited(LLAMA, "context", 100 + n)) for n in range(6)]
    past.found(((words[0],), ""))
    for move, n in moves:
        step = ((words[n],), "")
        if move == "w":
            past.went(step)
        elif move == "e":
            past.found(step)
        elif to := past.beside(-1 if move == "<" else 1):
            past.at += -1 if move == "<" else 1
            step = to
        else:
            continue
        assert past.steps[past.at] == step and len(past.steps) <= MOST_STEPS
        assert all(a != b for a, b in zip(past.steps, past.steps[1:], strict=False))


def test_the_oldest_steps_are_forgotten():
    past = Past()
    for n in range(MOST_STEPS + 40):
        past.went(((str(n),), ""))
    assert past.steps[0] == (("40",), "") and past.steps[past.at] == past.steps[-1] == ((str(MOST_STEPS + 39),), "")


# ---- the page ----


@pytest.fixture
def page() -> AppTest:
    return AppTest.from_file(str(Path(facts.__file__).parent / "pages" / "workbench.py"), default_timeout=60)


def visit(page: AppTest, link: dict) -> None:
    page.query_params.clear()
    page.query_params.update(link)
    page.run()
    assert not page.exception


def data(page: AppTest) -> dict:
    return json.loads(component(page, "history").json)


def ask(page: AppTest, what: str, about=None) -> dict:
    """What the history's own component sends; it knows the index of the step that is shown."""
    by = {"undo": -1, "redo": 1}.get(what)
    return data(sent(page, "history", "asked", ["step", data(page)["at"] + by] if by else [what, about]))


def give(page: AppTest, key: str, value) -> dict:
    next(w for kind in ("number_input", "selectbox") for w in getattr(page, kind) if w.key == key).set_value(value)
    page.run()
    assert not page.exception
    return data(page)


def shown(page: AppTest) -> State:
    return read(asked(urlencode(page.query_params, doseq=True)))


def test_undo_and_redo_say_what_they_do_and_an_edit_cuts_redo(page):
    visit(page, {"preset": "llama-3-8b", "part": "layers.0.attention"})
    assert (data(page)["undo"], data(page)["redo"], data(page)["reset"], data(page)["edits"]) == (None, None, False, [])
    give(page, KV, 4)
    said = give(page, "w:context", 2048)
    assert said["undo"] == "attention: kv heads 8 → 4", "the workload is no step"
    give(page, HEADS, 16)
    said = ask(page, "undo")
    assert (said["undo"], said["redo"]) == ("attention: kv heads 8 → 4", "attention: heads 32 → 16")
    assert shown(page).workload.context == 2048 and shown(page).selected == "layers.0.attention"
    said = ask(page, "undo")
    assert (said["undo"], said["redo"], shown(page).arch) == (None, "attention: kv heads 8 → 4", LLAMA)
    assert ask(page, "undo")["redo"] == said["redo"], "nothing is left to undo"
    assert ask(page, "redo")["undo"] == "attention: kv heads 8 → 4"
    said = give(page, KV, 2)
    assert (said["undo"], said["redo"]) == ("attention: kv heads 4 → 2", None)
    assert ask(page, "reset")["undo"] == "attention: kv heads 2 → 8" and shown(page).arch == LLAMA
    assert ask(page, "undo")["edits"] == ["attention: kv heads 8 → 2"]


def test_the_browsers_back_button_is_the_same(page):
    visit(page, {"preset": "llama-3-8b", "part": "layers.0.attention"})
    give(page, KV, 4)
    four = dict(page.query_params)
    give(page, KV, 2)
    two = dict(page.query_params)
    visit(page, four)
    assert (data(page)["undo"], data(page)["redo"]) == ("attention: kv heads 8 → 4", "attention: kv heads 4 → 2")
    visit(page, two)
    assert (data(page)["undo"], data(page)["redo"]) == ("attention: kv heads 4 → 2", None)
    ask(page, "undo")
    give(page, HEADS, 16)
    visit(page, two)  # which was cut: back to it is a step
    assert data(page)["undo"] and not data(page)["redo"]
    visit(page, {"preset": "gpt2"})
    assert (data(page)["undo"], data(page)["redo"]) == (None, None), "a link has no past"


def test_another_model_can_be_undone(page):
    visit(page, {"preset": "llama-3-8b", "part": "layers.0.attention"})
    give(page, KV, 4)
    said = data(sent(page, "start", "chosen", "gpt2"))
    assert said["undo"] == "opening GPT-2 small" and said["base"] == "GPT-2 small"
    said = ask(page, "undo")
    assert said["redo"] == "opening GPT-2 small" and said["edits"] == ["attention: kv heads 8 → 4"] and said["base"] == "Llama 3 8B"


def test_one_edit_is_dropped_or_says_what_needs_it(page):
    arch = edited(edited(edited(LLAMA, "context", 32_768), "parts.attention.heads", 64), "parts.attention.kv_heads", 64)
    visit(page, {"a": core.encode(arch)})
    assert data(page)["edits"] == ["context 8K → 32K", "attention: heads 32 → 64", "attention: kv heads 8 → 64"]
    ask(page, "drop", "attention: heads 32 → 64")
    assert shown(page).arch == arch
    reasons = [unescape(found[1]) for html in page.get("html") if (found := re.search(r'class="wrong"[^>]*>(.*)</p>', html.proto.body))]
    assert reasons == ["“attention: heads 32 → 64” is needed by “attention: kv heads 8 → 64”; drop that first"]
    said = ask(page, "drop", "context 8K → 32K")
    assert said["edits"] == ["attention: heads 32 → 64", "attention: kv heads 8 → 64"] and said["undo"] == "context 32K → 8K"
    assert ask(page, "drop", "no such edit")["edits"] == said["edits"]
    ask(page, "drop", "attention: kv heads 8 → 64")
    assert ask(page, "drop", "attention: heads 32 → 64")["edits"] == [] and shown(page).arch == LLAMA


def test_what_is_selected_follows_its_part(page):
    more = edited(preset("deepseek-v3"), "layers.0.repeat", 5)
    visit(page, {"a": core.encode(more), "part": "layers.5.moe.router"})
    ask(page, "reset")
    assert shown(page).selected == "layers.3.moe.router"
    ask(page, "undo")
    assert shown(page).selected == "layers.5.moe.router"
    visit(page, {"a": core.encode(edits.put(more, "own", [0], "after", "dense", {"own": {"kind": "feed_forward", "d_ff": 64}})),
                 "part": "layers.0.own"})  # fmt: skip
    ask(page, "reset")
    assert shown(page).selected == "", "the part is gone"


def test_what_was_opened_is_edited_and_reset(page):
    visit(page, {"a": core.encode(own()), "part": "layers.0.attention"})
    assert data(page)["edits"] == [] and not data(page)["reset"]
    said = give(page, HEADS, 8)
    assert said["edits"] == ["attention: heads 16 → 8"] and said["base"] == own().title
    assert next(w.label for w in page.number_input if w.key == HEADS) == "heads, was 16"
    other = AppTest.from_file(page._script_path, default_timeout=60)
    visit(other, dict(page.query_params))
    assert data(other) == {**said, "undo": None, "at": 0, "steps": 1}, "a link shows what its sender saw"
    ask(other, "reset")
    assert shown(other) == read({"a": core.encode(own()), "part": "layers.0.attention"})


def test_text_of_another_name_is_another_start(page):
    page.session_state["o:yaml"] = True
    visit(page, {"preset": "gpt2", "part": "model"})
    area = next(area for area in page.text_area if area.key.startswith("text:"))
    area.set_value(to_yaml(edited(edited(LLAMA, "context", 4096), "name", "mine")))
    next(button for button in page.button if button.label == "Apply").click()
    page.run()
    assert shown(page).base == shown(page).arch and data(page)["edits"] == [] and data(page)["undo"] == "opening Llama 3 8B"


def test_snapshots_stay_in_the_link(page):
    visit(page, {"preset": "llama-3-8b", "part": "layers.0.attention"})
    assert ask(page, "keep")["kept"] == [["Llama 3 8B", True]]
    give(page, KV, 4)
    assert ask(page, "keep")["kept"] == [["Llama 3 8B", False], ["attention: kv heads 8 → 4", True]]
    four = shown(page).arch
    said = ask(page, "rename", [1, " four  heads"])
    assert said["kept"][1] == ["four heads", True] and shown(page).kept == (("Llama 3 8B", LLAMA), ("four heads", four))
    said = ask(page, "open", 0)
    assert shown(page).arch == LLAMA and said["undo"] == "attention: kv heads 4 → 8"
    sent(page, "start", "chosen", "gpt2")
    assert ask(page, "open", 1)["base"] == "Llama 3 8B" and shown(page).arch == four
    assert ask(page, "forget", 0)["kept"] == [["four heads", True]]
    for _ in range(MOST_KEPT - 1):
        said = ask(page, "keep")
    assert not said["room"] and len({name for name, _ in said["kept"]}) == MOST_KEPT
    assert ask(page, "keep")["kept"] == said["kept"], "there is no room"
    assert any("7 snapshots are more than a link holds" in html.proto.body for html in page.get("html"))


@pytest.mark.parametrize(
    "asked", [("open", 9), ("open", -1), ("open", "0"), ("forget", 9), ("rename", [0, ""]), ("rename", [0, "x" * 50]), ("rename", 3),
              ("drop", 3), ("drop", None), ("nothing", None), ("rename", [True, {}])]
)  # fmt: skip
def test_what_the_component_never_sends_changes_nothing(page, asked):
    visit(page, {"preset": "gpt2", "keep": ["mine:gpt2"]})
    ask(page, *asked)
    assert shown(page) == read({"preset": "gpt2", "keep": ["mine:gpt2"]})


def test_who_comes_back_through_the_menu_finds_what_was_left(page):
    visit(page, {"preset": "llama-3-8b", "part": "layers.0.attention"})
    give(page, KV, 4)
    left = dict(page.query_params)
    for there, here in (({}, left), ({"preset": "gpt2"}, {"preset": "gpt2"})):
        page.session_state["arrived"] = True
        visit(page, there)
        assert dict(page.query_params) == here
    page.session_state["arrived"] = True
    visit(page, {})
    assert dict(page.query_params) == {"preset": "gpt2"}
    visit(page, {})  # the browser's back button
    assert data(page)["base"] == "GPT-2 small"


def test_what_each_edit_did(page):
    arch = edited(edited(LLAMA, "context", 32_768), "parts.attention.kv_heads", 4)
    visit(page, {"a": core.encode(arch)})
    table = next(html.proto.body for html in page.get("html") if 'class="did"' in html.proto.body)
    rows = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall(r"<tr.*?</tr>", table)]
    assert rows[1] == ["Llama 3 8B", "8.0 B", "8.0 B", "16.1 GB", "536.9 MB", "17.2 GFLOP"]
    assert rows[2] == ["context 8K → 32K", *["same"] * 5]
    assert rows[3][0] == "attention: kv heads 8 → 4" and rows[3][4] == "−268.4 MB" and rows[4][4] == "268.4 MB" and rows[4][0] == "Now"
    assert all(cell.startswith("−") for cell in rows[3][1:])


HOSTILE = "<img src=x onerror=alert(1)> ![p](http://foreign.test/p.png)"


def test_what_a_link_calls_things_is_text(page):
    mine = edited(edited(LLAMA, "title", HOSTILE), "name", "mine")
    state = State((edited(mine, "context", 512),), workload({}, mine), start=mine, kept=((HOSTILE[:MOST_NAME], mine),))
    visit(page, write(state))
    assert data(page)["base"] == HOSTILE and data(page)["kept"] == [[HOSTILE[:MOST_NAME], False]]
    assert not any("<img" in html.proto.body for html in page.get("html"))
    words = [str(MessageToDict(element.proto)) for kind in ("button", "caption", "markdown", "toast") for element in page.get(kind)]
    assert not any("foreign" in said for said in words)
