"""The page of the steps since GPT-2, without a browser."""

import re
from html import unescape
from pathlib import Path
from urllib.parse import parse_qs, parse_qsl

import pytest
from starlette.testclient import TestClient
from streamlit.testing.v1 import AppTest

import core
from app import server
from app.demos import DEMOS
from app.kit.evolution import DEMO_OF, gallery_of
from app.server import preview_of_step
from app.state import of_word
from core.evolution import IDEAS, adoption, evolution
from core.facets import chosen, facets, matches


@pytest.fixture(scope="module")
def page() -> AppTest:
    return AppTest.from_file(str(Path(server.__file__).with_name("pages") / "evolution.py"), default_timeout=60)


def shown(page: AppTest, **asked: str) -> str:
    page.query_params.clear()
    page.query_params.update(asked)
    page.run()
    assert not page.exception, [error.message for error in page.exception]
    return "\n".join(block.proto.body for block in page.get("html"))


@pytest.mark.parametrize("name", ["grouped", "ratio", "ahead", "untied"])
def test_a_step_says_all_of_it(page, name):
    html, one = shown(page, step=name), evolution().step(name)
    words = unescape(re.sub("<[^>]+>", " ", re.sub("</?a[^>]*>", "", html)))
    source, found = one.idea.source, one.adoption
    for told in (evolution().sentence, one.idea.title, one.idea.replaces, one.idea.risk, *(edit.words for edit in one.edits)):
        assert told in words
    for by in filter(None, (source, one.idea.form)):
        assert by.title in words and (not by.arxiv or f"https://arxiv.org/abs/{by.arxiv}" in html)
    assert f"{len(found.names)} of the {len(core.presets())} models" in words
    for year, (have, all_) in found.years.items():
        assert re.search(rf"{year}\s*{have} of {all_}\b", words)
    assert html.count('href="/workbench?preset=') >= len(found.names)
    pair = dict(enumerate(value for _, value in parse_qsl(unescape(re.search(r'/compare\?([^"]+)', html).group(1)))))
    assert [of_word(pair[0]), of_word(pair[1])] == [one.before, one.after]


def test_what_is_chosen_is_in_the_address(page):
    html = shown(page, step="grouped", budget="300M", context="4096", show="before")
    chain = evolution(3e8, core.Workload(context=4096))
    assert chain.sentence in unescape(re.sub("</?a[^>]*>", "", html)) and "At 4K tokens" in chain.sentence
    assert "Grouped-query attention" in html


@pytest.mark.parametrize(
    ("asked", "said"), [({"step": "<b>x"}, "'<b>x' is no step; give one of rope"), ({"budget": "1e99"}, "budget: '1e99'")]
)
def test_what_a_link_cannot_ask_for_is_said(page, asked, said):
    html = shown(page, **asked)
    assert said in unescape(html) and "<b>x" not in html and "Rotary positions" in html


def test_the_habits_of_all_models(page):
    html = shown(page, view="habits")
    assert html.count('href="/workbench?preset=') == len(core.presets())
    assert re.search(r"\d+ of 11 habits are those of most models of \d{4}", html)


def test_the_gallery_is_asked_for_exactly_these_models():
    from app.facts import entries, exactly

    known = facets(entries())
    told = {idea.name: gallery_of(idea.name, idea.title, idea.label) for idea in IDEAS}
    assert sum(map(bool, told.values())) > len(IDEAS) / 2
    for name, query in told.items():
        for key, value in parse_qsl(query):
            models = exactly(value) if key == "q" else [one for one in entries() if matches(one, chosen([f"{key}={value}"], known))]
            assert {one.arch.name for one in models} == set(adoption(name).names)


def test_a_step_opens_by_its_number_and_one_that_goes_back_names_the_first(page):
    assert f"<h2>{evolution().step('latent').idea.title}</h2>" in shown(page, step="9")
    html = shown(page, step="20", budget="300M")
    assert "step 7, Grouped-query" in html and "<h3>Who introduced it</h3>" not in html
    assert parse_qs(unescape(re.search(r'/evolution\?([^"]+)', html).group(1))) == {"step": ["grouped"], "budget": ["300M"]}


def test_demonstrations_are_of_steps():
    assert set(DEMO_OF) <= {idea.name for idea in IDEAS} and "heads" in DEMOS and DEMO_OF["grouped"] == "heads"


def test_a_link_has_a_preview():
    html = TestClient(server.app).get("/evolution?step=latent").text
    assert "<title>Multi-head latent attention · Strata</title>" in html and "One narrow latent" in html and "og:image" in html
    assert preview_of_step("", "")[1] == evolution().sentence
    assert TestClient(server.app).get("/evolution?step=x").status_code == 200


# ---- the checklist of one model, in the workbench ----


def only_the_checklist() -> None:
    import streamlit as st

    from app import state
    from app.kit.habits import habits

    st.session_state["o:habits"] = True
    habits(state.current())


def test_an_edit_that_a_habit_asks_for_is_one_click():
    page = AppTest.from_function(only_the_checklist, default_timeout=60)
    page.query_params["preset"] = "llama-3-8b"
    page.run()
    assert not page.exception
    words = unescape(re.sub("<[^>]+>", "", "\n".join(block.proto.body for block in page.get("html"))))
    found = core.modern(core.load("llama-3-8b"))
    offers = {one.habit.name: one.offer for one in found if one.offer}
    assert {button.key.removeprefix("make:") for button in page.button} == set(offers) and "qk_norm" in offers
    for one in found:
        assert one.habit.title in words and one.reason[1:] in words and (not one.why or one.why in words)
        assert one.offer is None or str(one.offer.moves) in words
    page.button(key="make:qk_norm").click().run()
    assert not page.exception
    assert of_word("".join(page.query_params["a"])) == offers["qk_norm"].architecture
    assert "make:qk_norm" not in [button.key for button in page.button]
