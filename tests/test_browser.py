"""The app in a real browser, as a visitor uses it."""

import hashlib
import json
import re
import socket
import urllib.error
import urllib.request
from io import BytesIO
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from pages import WAIT, change, field, settled, workbench
from PIL import Image
from playwright.sync_api import Browser, expect
from test_verify import SMALL

import core
from app import facts
from app.picture.standalone import png
from core.hf import opened
from core.share import MAX_TOKEN
from core.spec import edited
from core.words import size


def test_from_the_gallery_to_an_edit_to_a_link_that_somebody_else_opens(visitor):
    page = visitor("/")
    page.get_by_role("searchbox").press_sequentially("deepseek v3", delay=20)
    page.locator('a[data-open="deepseek-v3"]').click()
    workbench(page)
    assert page.url.endswith("/workbench?preset=deepseek-v3")
    expect(page.locator(".figures")).to_contain_text("671,026,404,352")
    change(page, "parts.moe.top_k", "4")
    expect(page.get_by_role("button", name="Reset to DeepSeek-V3, 1 edit")).to_be_enabled()
    expect(page.locator(".edits")).to_contain_text("moe: top_k 8 → 4")
    expect(page.locator(".picture svg")).to_contain_text("4 of 256 + 1 shared")
    change(page, "parts.moe.d_ff", "1024")
    expect(page.locator(".edits")).to_contain_text("moe: d_ff 2,048 → 1,024")
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    link = page.evaluate("navigator.clipboard.readText()")
    wanted = edited(edited(core.load("deepseek-v3"), "parts.moe.top_k", 4), "parts.moe.d_ff", 1024)
    assert core.decode(re.search(r"[?&]a=([\w.-]+)", link)[1]) == wanted

    other = visitor(link)
    workbench(other)
    expect(other.locator(".edits li")).to_have_count(2)
    expect(field(other, "parts.moe.top_k")).to_have_value("4")
    assert other.locator(".figures").inner_text() == page.locator(".figures").inner_text()
    other.get_by_role("button", name="Reset to DeepSeek-V3, 2 edits").click()
    expect(other.locator(".edits")).to_have_count(0)
    assert other.url.endswith("?preset=deepseek-v3")


def test_the_back_button_is_undo(visitor):
    page = visitor("/workbench?preset=deepseek-v3")
    workbench(page)
    for value in ("4", "2"):
        change(page, "parts.moe.top_k", value)
        expect(page.locator(".edits")).to_contain_text(f"moe: top_k 8 → {value}")
        settled(page)
    waiting = (
        "e => { e.dataset.stale = 'true'; const { opacity, transitionDuration: fade } = getComputedStyle(e); return [opacity, fade]; }"
    )
    assert page.locator(".stElementContainer[data-stale]").first.evaluate(waiting) == ["1", "0s"]  # a fade costs each edit 40 ms
    page.go_back()
    expect(page.locator(".edits")).to_contain_text("moe: top_k 8 → 4")
    expect(field(page, "parts.moe.top_k")).to_have_value("4")
    page.go_back()
    expect(page.locator(".edits")).to_have_count(0)
    page.go_forward()
    expect(page.locator(".edits")).to_contain_text("moe: top_k 8 → 4")
    page.reload()
    workbench(page)
    expect(field(page, "parts.moe.top_k")).to_have_value("4")


@pytest.mark.parametrize("width", [1280, 390])
def test_edits_are_undone_dropped_and_kept(visitor, width):
    page = visitor("/workbench?preset=deepseek-v3&part=layers.3.moe", width)
    workbench(page)
    change(page, "parts.moe.top_k", "4")
    expect(page.locator(".edits")).to_contain_text("moe: top_k 8 → 4")
    settled(page)
    page.get_by_role("button", name="Keep this one").click()
    expect(page.get_by_role("button", name="Rename the snapshot moe: top_k 8 → 4")).to_be_visible()
    settled(page)
    change(page, "parts.moe.d_ff", "1024")
    expect(page.get_by_role("row", name=re.compile("moe: d_ff 2,048 → 1,024"))).to_contain_text("−327.0 B")
    settled(page)
    page.get_by_role("button", name="Undo moe: d_ff 2,048 → 1,024").click()
    expect(page.locator(".edits li")).to_have_count(1)
    settled(page)
    page.go_back()
    expect(page.get_by_role("button", name="Undo moe: d_ff 2,048 → 1,024")).to_be_enabled()
    settled(page)
    page.locator("body").press("Control+z")
    expect(page.get_by_role("button", name="Redo moe: d_ff 2,048 → 1,024")).to_be_enabled()
    settled(page)
    page.locator("body").press("Control+Shift+Z")
    expect(page.locator(".edits li")).to_have_count(2)
    settled(page)
    page.get_by_role("button", name="Undo moe: d_ff 2,048 → 1,024").dblclick()  # quicker than the page follows
    expect(page.locator(".edits li")).to_have_count(0)
    settled(page)
    page.get_by_role("button", name="Redo moe: top_k 8 → 4").dblclick()
    expect(page.locator(".edits li")).to_have_count(2)
    settled(page)
    page.get_by_role("button", name="Drop moe: top_k 8 → 4").click()
    expect(page.locator(".edits li")).to_have_text(["moe: d_ff 2,048 → 1,024"])
    settled(page)
    left = page.url
    if width == 390:  # the menu is folded there
        page.get_by_test_id("stExpandSidebarButton").click()
    page.get_by_role("link", name="Gallery").click()
    expect(page.locator(".card a").first).to_be_visible()
    settled(page)
    if width == 390:
        page.get_by_test_id("stExpandSidebarButton").click()
    page.get_by_role("link", name="Workbench").first.click()
    expect(page.locator(".edits li")).to_have_text(["moe: d_ff 2,048 → 1,024"])
    assert page.url == left
    assert page.get_by_test_id("stMain").evaluate("e => e.scrollWidth - e.clientWidth") <= 1, "nothing stands out sideways"


def test_an_impossible_edit_is_explained_and_the_picture_stays(visitor):
    page = visitor("/workbench?preset=deepseek-v3")
    workbench(page)
    before = page.locator(".picture").inner_html()
    change(page, "parts.moe.top_k", "300")
    expect(page.locator(".wrong")).to_contain_text("300 is more than the 256 experts; give 1 to 256")
    assert page.locator(".picture").inner_html() == before
    assert page.url.endswith("?preset=deepseek-v3")
    change(page, "parts.moe.top_k", "16")
    expect(page.locator(".wrong")).to_have_count(0)
    settled(page)
    field(page, "parts.moe.top_k").fill("3")
    field(page, "parts.moe.top_k").press("Escape")
    expect(field(page, "parts.moe.top_k")).to_have_value("16")
    field(page, "parts.moe.top_k").blur()
    expect(page.locator(".picture svg")).to_contain_text("16 of 256")


def test_a_click_opens_a_box(visitor):
    page = visitor("/workbench?preset=deepseek-v3")
    workbench(page)
    page.locator('.picture [data-node="layers.3.attention.kv_up"]').click()
    expect(page.locator(".st-key-inspector")).to_contain_text("A matrix of 32,768 × 512 weights")
    expect(page.locator(".picture .on")).to_have_count(1)
    page.locator('.picture [data-node="layers.0.dense"]').first.click()
    expect(field(page, "parts.dense.d_ff")).to_have_value("18432")
    page.locator('.picture [data-node="embedding"]').click()
    expect(page.locator(".st-key-inspector")).to_contain_text("129,280 tokens")
    page.locator('.picture [data-node="layers.3"]').first.click(position={"x": 6, "y": 60})
    expect(page.locator(".st-key-inspector")).to_contain_text("58 × attention → moe")
    page.get_by_text("Table from torchinfo").click()
    expect(page.locator(".mono")).to_contain_text("Total params: 11,507,286,016")


def test_a_line_of_code_and_its_box_light_each_other(visitor):
    page = visitor("/workbench?preset=llama-3-8b&part=layers.0.attention")
    workbench(page)
    page.get_by_role("tab", name="Code").click()
    line = page.locator(".code .row", has_text="out = self.core(")
    box = page.locator('.picture [data-node="layers.0.attention.core"]')
    line.hover()
    expect(box).to_have_class(re.compile("lit"))
    line.click()
    expect(box).to_be_in_viewport()
    expect(line).to_be_in_viewport()
    box.hover()
    expect(line).to_have_class(re.compile("lit"))
    page.mouse.move(1, 1)
    expect(page.locator(".code .lit, .picture .lit")).to_have_count(0)
    page.set_viewport_size({"width": 390, "height": 844})
    line.scroll_into_view_if_needed()
    assert page.locator(".code:not(.equations)").bounding_box()["height"] > 844 / 2, "most of a phone's sheet"
    expect(page.locator(".code.equations")).to_be_hidden()
    page.get_by_text("equations").click()
    expect(page.locator(".code.equations")).to_be_visible()


def test_what_was_refused_waits_in_its_field_and_goes_with_its_model(visitor):
    page = visitor("/workbench?preset=llama-3-8b&part=layers.0.attention")
    workbench(page)
    change(page, "parts.attention.kv_heads", "5")
    expect(page.locator(".wrong")).to_contain_text("32 heads do not divide into 5 equal groups; give 1, 2, 4, 8, 16 or 32")
    page.locator('.picture [data-node="layers.0.dense"]').first.click()
    expect(field(page, "parts.dense.d_ff")).to_have_value("14336")
    # A click at the moment in which the picture is replaced is none.
    expect(page.locator('.picture .on[data-node="layers.0.dense"]').first).to_be_visible()
    page.locator('.picture [data-node="layers.0.attention"]').first.click()
    expect(page.locator('.picture .on[data-node="layers.0.attention"]').first).to_be_visible()
    expect(field(page, "parts.attention.kv_heads")).to_have_value("5")
    for value in ("2.5", "1e6", "-3", ""):  # what a browser's own integers would read as 2, as 1, and as nothing
        change(page, "parts.attention.head_dim", value)
        expect(page.locator(".wrong")).to_have_count(2)
        expect(page.locator(".wrong").last).to_contain_text("give 1 to 8,192")
    change(page, "parts.attention.heads", "30")
    expect(page.locator(".edits")).to_contain_text("kv heads 8 → 5")
    expect(page.locator(".wrong")).to_have_count(1)  # of head_dim, which waits
    expect(page.get_by_role("spinbutton", name="kv_heads, was 8")).to_have_value("5")
    for path, colour in (("kv_heads", "rgb(194, 60, 30)"), ("sight-window", "rgb(27, 33, 48)")):
        expect(page.locator(f".st-key-f-parts-attention-{path} label p").first).to_have_css("color", colour)
    assert page.title() == "Llama 3 8B · Strata"
    page.go_back()
    expect(field(page, "parts.attention.kv_heads")).to_have_value("8")
    expect(page.locator(".wrong")).to_have_count(0)


FOREIGN = "![p](http://foreign.test/p.png) <img src=http://foreign.test/h.png> [l](http://foreign.test) www.foreign.test"


def of_foreign_words() -> str:
    arch = edited(core.load("deepseek-v3"), "name", "mine")
    for name, most in {"title": 100, "note": 900, "family": 64, "organisation": 100, "licence": 100}.items():
        arch = edited(arch, name, FOREIGN[:most])
    return core.encode(edited(arch, "sources", [FOREIGN]))


@pytest.mark.parametrize(
    "link",
    [
        f"/workbench?part=model&a={of_foreign_words()}",
        f"/workbench?part=layers.3.moe&a={of_foreign_words()}",
        "/workbench?preset=" + quote(FOREIGN),
        "/workbench?preset=gpt2&batch=" + quote(FOREIGN),
        "/workbench?preset=gpt2&part=" + quote(FOREIGN),
        "/?q=" + quote(FOREIGN[:40]),
        f"/compare?m=gpt2&m={of_foreign_words()}",
    ],
    ids=range(7),
)
def test_no_words_of_a_visitors_are_fetched_or_linked(visitor, server, link):
    page = visitor("/health")
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(link)
    expect(page.locator(".picture svg, h1.t").first).to_be_visible(timeout=WAIT)
    settled(page)
    for fold in ("Sources", "What an implementation must get right", "More settings", re.compile("A to B")):
        for found in page.get_by_text(fold, exact=isinstance(fold, str)).all():
            found.click()
            settled(page)
    own = (server, "data:", "blob:", server.replace("http", "ws", 1))
    assert asked and not [url for url in asked if not url.startswith(own)]
    links = page.eval_on_selector_all("a", "all => all.map(a => a.href)")
    assert not [there for there in links if not there.startswith(server)]


def test_every_tab_says_what_it_shows(visitor):
    for path, title in {
        "/gallery": "Architectures of large language models · Strata",
        "/gallery/?sort=largest": "Architectures of large language models · Strata",
        "/workbench/?preset=gpt2": "GPT-2 small · Strata",
        "/workbench?preset=deepseek-v3&part=layers.3.moe": "DeepSeek-V3 · Strata",
    }.items():
        page = visitor(path)
        expect(page.locator(".picture svg, .card a").first).to_be_visible(timeout=WAIT)
        expect(page).to_have_title(title)
        expect(page.get_by_text("Page not found")).to_have_count(0)


BROKEN = {
    "/workbench?a=s1.nonsense": "damaged",
    "/workbench?a=" + core.encode(core.load("deepseek-v3"))[:-9]: "damaged",
    "/workbench?a=" + "x" * 9000: "not a Strata link",
    "/workbench?preset=gpt-17": "not a preset",
    "/workbench?preset=gpt2&batch=none": "batch",
    "/workbench?preset=../../etc/passwd": "not a preset",
}


@pytest.mark.parametrize("link", BROKEN, ids=range(len(BROKEN)))
def test_a_broken_link_is_a_sentence_and_the_gallery(visitor, link):
    page = visitor(link)
    expect(page.locator(".notice")).to_contain_text(BROKEN[link])
    expect(page.locator(".card a").first).to_be_visible()
    assert "Traceback" not in page.content()


def test_back_leads_to_pages_that_were_visited(visitor):
    page = visitor("/")
    page.locator(".card a").first.click()
    workbench(page)
    page.go_back()
    expect(page.locator(".card a").first).to_be_visible()
    settled(page)
    expect(page).to_have_url(re.compile("/$"))
    page = visitor("/?sort=largest")
    expect(page.locator(".card a").first).to_be_visible()
    page.goto("/workbench?preset=nope")
    expect(page.locator(".notice")).to_contain_text("not a preset")
    expect(page).to_have_url(re.compile("/$"))
    for _ in range(4):
        page.go_back()
        settled(page)
        assert "/workbench" not in page.url
        if page.url.endswith("/?sort=largest"):
            return
        page.wait_for_timeout(500)
    raise AssertionError(page.url)


def test_the_gallery_is_searched_and_sorted(visitor):
    page = visitor("/")
    expect(page.locator(".card a")).to_have_count(48)
    page.get_by_role("button", name="Show 48 more").click()
    expect(page.locator(".card a")).to_have_count(96)
    search = page.get_by_role("searchbox")
    search.press_sequentially("openai learned", delay=30)  # without Enter
    expect(page.locator('a[data-open="gpt2"]')).to_be_visible()
    expect(page.locator('a[data-open="deepseek-v3"]')).to_have_count(0)
    expect(search).to_be_focused()
    assert "q=openai" in page.url
    search.fill("nothing that exists")
    expect(page.get_by_text("No model here is known for “exists”")).to_be_visible()
    page.get_by_role("button", name="show all models").click()
    expect(search).to_have_value("")
    other = visitor("/?sort=largest")
    expect(other.locator(".card a").first).to_be_visible()
    sizes = [core.cost(core.load(card.get_attribute("data-open"))).parameters for card in other.locator(".card a").all()]
    assert sizes == sorted(sizes, reverse=True)


def test_beside_code_there_is_no_button_of_a_phone(visitor):
    page = visitor("/workbench?preset=llama-3-8b")
    workbench(page)
    page.get_by_role("tab", name="Code").click()
    expect(page.get_by_role("button", name="Copy the code")).to_be_visible()
    expect(page.locator(".st-key-open-inspector")).to_be_attached()  # since the picture is as narrow as on a phone
    expect(page.locator(".st-key-open-inspector")).to_be_hidden()


def test_another_model_is_found_by_the_words_of_the_search(visitor):
    page = visitor("/workbench?preset=llama-3-8b&batch=2")
    workbench(page)
    find = page.get_by_role("combobox", name="Architecture")
    find.click()
    expect(page.get_by_role("option")).to_have_count(12)
    find.press_sequentially("moonshot linear 48b", delay=20)
    expect(page.get_by_role("option")).to_have_count(1)
    find.press("ArrowDown")
    find.press("Enter")
    expect(page.locator(".picture svg")).to_contain_text("Kimi Linear 48B-A3B")
    page.wait_for_timeout(400)  # longer than a list takes to close
    expect(find).to_have_value("Kimi Linear 48B-A3B")
    assert page.url.endswith("?preset=kimi-linear-48b-a3b&batch=2")
    find.click()
    find.press_sequentially("gemma 3 27b")  # and Enter before the answer is there
    find.press("Enter")
    expect(page.locator(".picture svg")).to_contain_text("Gemma 3 27B")
    expect(find).to_have_value("Gemma 3 27B")
    page.wait_for_timeout(400)  # the list is closed by then
    expect(find).to_have_value("Gemma 3 27B")
    assert page.url.endswith("?preset=gemma-3-27b&batch=2")
    find.click()
    for asked, words in (("gpt-4", "is not disclosed"), ("hf:someone/something", "hf:someone/something"), ("asdfgh", "Use fewer words")):
        find.fill(asked)
        expect(page.locator("#rows .none")).to_contain_text(words)


@pytest.mark.parametrize("width", [1280, 390])
def test_models_are_filtered_ticked_and_come_back(visitor, width):
    page = visitor("/", width)
    if width == 390:  # all filters are one button there
        expect(page.locator("details[data-key=attention]")).to_be_hidden()
        page.get_by_role("button", name="Filters").click()
    page.locator("details[data-key=attention] summary").click()
    window = page.get_by_role("checkbox", name="Sliding window")
    window.check()
    expect(page.locator(".count")).to_contain_text(f"of {len(core.presets())} models")
    expect(page.get_by_role("button", name="Drop the filter Sliding window")).to_be_visible()
    expect(window).to_be_checked()  # the list stays open
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Table").click()
    page.get_by_label("Compare gpt-oss 120B").check()
    page.get_by_label("Compare gpt-oss 20B").check()
    expect(page.get_by_role("link", name="Compare →")).to_have_attribute("href", "/compare?m=gpt-oss-120b&m=gpt-oss-20b")
    shown = page.url
    page.get_by_role("link", name="gpt-oss 20B").click()
    workbench(page)
    page.go_back()
    expect(page.get_by_label("Compare gpt-oss 20B")).to_be_checked()
    expect(page.get_by_label("Compare gpt-oss 20B")).to_be_in_viewport()
    assert page.url == shown
    page.get_by_role("button", name="Scatter").click()
    point = page.get_by_role("button", name="gpt-oss 20B", exact=True)
    point.focus()
    point.press("Enter")
    expect(page.locator(".look")).to_contain_text("OpenAI · Aug 2025")
    page.get_by_role("button", name="Timeline").click()
    expect(page.locator("svg.timeline")).to_contain_text("Sliding window")
    page.get_by_role("link", name="Compare →").click()
    expect(page).to_have_url(re.compile("/compare\\?m=gpt-oss-120b&m=gpt-oss-20b$"))
    expect(page.get_by_text("gpt-oss 20B has")).to_be_visible()
    page.go_back()
    expect(page.locator("svg.timeline")).to_be_visible()


def test_a_config_of_ones_own_is_opened_or_explained(visitor):
    page = visitor("/")
    page.get_by_role("button", name="Open your own").click()
    text = page.get_by_label("A config.json, a spec as YAML")
    text.fill('{"model_type": "llama", "mystery": 3}')
    page.get_by_test_id("stBaseButton-primary").click()
    expect(page.locator(".wrong")).to_contain_text("mystery: 3")
    config = {"model_type": "qwen3", "hidden_size": 1024, "num_attention_heads": 16, "num_key_value_heads": 8, "num_hidden_layers": 28}
    text.fill(json.dumps(config))
    page.get_by_test_id("stBaseButton-primary").click()
    workbench(page)
    expect(page.locator(".edits")).to_have_count(0)  # it is where edits start
    assert core.decode(re.search(r"a=([\w.-]+)", page.url)[1]) == opened(config)


def test_a_model_is_opened_by_its_id_and_verified(visitor):
    page = visitor("/")
    page.get_by_role("button", name="Open your own").click()
    text = page.get_by_label("A config.json, a spec as YAML")
    text.fill("hf:org/nothing")
    page.get_by_test_id("stBaseButton-primary").click()
    expect(page.locator(".wrong")).to_contain_text("no public model with this id")
    text.fill("hf:org/model")
    page.get_by_test_id("stBaseButton-primary").click()
    expect(page.get_by_text("bytes of tensors; this architecture")).to_be_visible(timeout=WAIT)
    workbench(page)
    figures = page.locator(".figures")
    expect(figures).to_contain_text(f"{core.cost(core.from_hf(SMALL)).parameters:,}")
    page.get_by_role("button", name="Verify").click()
    page.get_by_label("Model on the Hugging Face Hub").fill("org/model")
    page.get_by_role("button", name="Compare files").click()
    expect(page.get_by_text("tensors match the config.json")).to_be_visible()
    page.keyboard.press("Escape")
    page.locator('.picture [data-node="layers.0.dense"]').first.click()
    change(page, "parts.dense.d_ff", "1024")
    expect(figures).not_to_contain_text(f"{core.cost(core.from_hf(SMALL)).parameters:,}")
    page.get_by_role("button", name="Verify").click()
    page.get_by_label("Model on the Hugging Face Hub").fill("org/model")
    page.get_by_role("button", name="Compare files").click()
    expect(page.get_by_text("mlp.up_proj.weight: has shape").first).to_be_visible()


def test_the_spec_is_edited_as_text(visitor):
    page = visitor("/workbench?preset=gpt2&part=model")
    workbench(page)
    page.get_by_text("Everything as YAML").click()
    text = page.get_by_label("The spec")
    expect(text).to_have_value(re.compile("repeat: 12"))
    spec = text.input_value()
    text.fill(spec.replace("repeat: 12", "repeat: 12, surprise: 1"))
    page.get_by_role("button", name="Apply").click()
    expect(page.locator(".wrong")).to_contain_text("layers.0.surprise")
    text.fill(spec.replace("repeat: 12", "repeat: 6"))
    page.get_by_role("button", name="Apply").click()
    expect(page.locator(".edits")).to_contain_text("12 layers → 6")


def test_files_leave(visitor):
    page = visitor("/workbench?preset=gpt2")
    workbench(page)
    page.get_by_role("button", name="Export").click()
    for name, check in (
        ("Architecture, YAML", lambda path: core.load(path) == core.load("gpt2")),
        ("config.json", lambda path: core.load(path) == core.load("gpt2")),
        ("Picture, SVG", lambda path: Path(path).read_text().startswith("<svg")),
        ("Graph, GraphML", lambda path: "graphml" in Path(path).read_text()),
        ("Cost, JSON", lambda path: json.loads(Path(path).read_text())["parameters"] == 124_439_808),
    ):
        with page.expect_download() as download:
            page.get_by_role("button", name=name).click()
        assert check(download.value.path()), name


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_png_is_the_file_in_the_theme_that_is_seen(visitor, theme):
    """An edited model's too, whose link is long; with the app's letters, which no picture loads by itself."""
    arch = edited(core.load("gpt2"), "title", "Ours <b>&")
    page = visitor(f"/workbench?a={core.encode(arch)}", theme=theme)
    workbench(page)
    with page.expect_download() as download:
        page.locator("button.png").click()
    saved = Image.open(download.value.path()).convert("RGB")
    file = Image.open(BytesIO(png(facts.picture_file(arch, theme == "dark"), saved.width))).convert("RGB")
    assert saved.size == file.size and saved.width > 2000
    off = np.abs(np.asarray(saved, int) - np.asarray(file, int)).max(axis=2)
    assert (off > 96).mean() < 0.002 and off.mean() < 1.5


def test_routing_and_memory_follow(visitor):
    page = visitor("/workbench?preset=deepseek-v3&context=32768&batch=2")
    workbench(page)
    expect(page.get_by_text("Routing, live at a small size")).to_be_visible()
    expect(page.locator(".js-plotly-plot")).to_have_count(4, timeout=WAIT)
    expect(page.locator(".js-plotly-plot", has_text="random weights")).to_have_count(2)
    said = page.locator(".aloud").all_inner_texts()
    total = core.cost(core.load("deepseek-v3"), core.Workload(context=32768, batch=2))
    assert f"as shipped {size(total.weight_bytes + total.kept_bytes)}" in said[0]
    assert f"{size(total.kept_bytes)} after 32,768 tokens" in said[1] and len(set(said)) == 4
    kept = core.cost(core.load("deepseek-v3"), core.Workload(context=32768, batch=2)).kv_bytes
    assert kept == 2 * 32768 * 70272
    expect(page.locator(".keeps")).to_contain_text(f"{kept / 1e9:.1f} GB")
    page.get_by_label("Tokens in each").fill("1000000")
    page.get_by_label("Tokens in each").press("Enter")
    expect(page.locator(".wrong")).to_contain_text("at most 163,840 tokens")


def test_two_models_are_compared_and_one_becomes_the_other_edit_by_edit(visitor):
    """On a phone: from the workbench to a comparison, its pictures and curves, and through the difference."""
    page = visitor("/workbench?preset=llama-3-8b", 390)
    workbench(page)
    page.get_by_role("button", name="Compare").click()
    page.get_by_label("Compare with").fill("Qwen3 8B")
    page.get_by_label("Compare with").press("Enter")
    expect(page.locator(".answer")).to_contain_text("Qwen3 8B has 160.5 M more parameters than Llama 3 8B")
    expect(page.locator(".slim svg")).to_be_visible()
    expect(page.locator(".wide svg")).to_be_hidden()
    expect(page.locator(".js-plotly-plot")).to_have_count(3)
    assert page.get_by_test_id("stMain").evaluate("e => e.scrollWidth - e.clientWidth") <= 1, "nothing stands out sideways"
    assert "m=llama-3-8b&m=qwen3-8b" in page.url
    page.get_by_role("button", name="Add a model").click()
    page.get_by_label("Or a link, a config.json").fill("gpt2")
    page.get_by_label("Or a link, a config.json").press("Enter")
    expect(page.locator(".answer").nth(1)).to_contain_text("GPT-2 small")
    page.get_by_text("A to B: 8 edits").click()
    page.get_by_role("button", name="Open in the workbench").click()
    workbench(page)
    for words in ("vocabulary 128,256 → 151,936", "context 8K → 40K"):
        page.get_by_role("button", name=f"Redo {words}").click()
        expect(page.locator(".edits")).to_contain_text(words)
    assert core.load(page.url).vocab_size == 151_936


@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (390, "dark")])  # no width depends on the theme, no colour on the width
@pytest.mark.parametrize("path", ["/", "/workbench?preset=deepseek-v3", "/workbench?preset=gpt2"])
def test_pages_fit_their_screens(visitor, path, width, theme):
    page = visitor(path, width, theme)
    workbench(page) if "workbench" in path else expect(page.locator(".card a").first).to_be_visible(timeout=WAIT)
    main = page.get_by_test_id("stMain")
    assert main.evaluate("e => e.scrollWidth - e.clientWidth") <= 1, "nothing stands out sideways"
    background = page.evaluate("getComputedStyle(document.querySelector('.stApp')).backgroundColor")
    assert background == ("rgb(255, 255, 255)" if theme == "light" else "rgb(16, 19, 26)")
    if "workbench" in path:
        expect(page.locator(".picture svg")).to_have_attribute("width", re.compile("396" if width == 390 else "[0-9]{4}"))
        shown = page.locator(".picture svg").first.bounding_box()["width"]
        assert shown >= (326 if width == 390 else 830), "the scale that test_cycles.py takes for the least size of words"


def test_on_a_phone_the_inspector_is_a_sheet_and_the_effect_stays_in_sight(visitor):
    page = visitor("/workbench?preset=deepseek-v3", 390)
    workbench(page)
    bar, sheet, box = page.locator(".moved"), page.locator(".st-key-inspector"), page.locator('.picture [data-node="layers.3.moe"]').first
    expect(bar).to_have_count(0)
    expect(field(page, "parts.moe.top_k")).to_be_hidden()  # nothing is selected
    box.click()
    expect(field(page, "parts.moe.top_k")).to_be_visible()
    expect(sheet).to_have_css("position", "fixed")
    page.wait_for_function("document.querySelector('[data-testid=stMain]').scrollTop > 0")
    page.wait_for_timeout(700)  # the page scrolls to it
    change(page, "parts.moe.top_k", "4")
    expect(bar).to_contain_text(re.compile("moe: top_k 8 → 4.*Active.*27.3 B.*0.73×.*Decode.*0.86×"))
    settled(page)
    screen, above, low = page.viewport_size["height"], sheet.bounding_box(), bar.bounding_box()
    assert low["y"] + low["height"] == pytest.approx(screen) and above["y"] + above["height"] == pytest.approx(low["y"], abs=1)
    tapped = box.bounding_box()
    assert tapped["y"] > 0 and tapped["y"] + tapped["height"] < above["y"], "the box stays in sight above the sheet"
    small = bar.get_by_role("button", name="Undo: moe: top_k 8 → 4")
    for target in (small, page.get_by_role("button", name="Close the inspector"), sheet.get_by_test_id("stNumberInputStepUp").first):
        assert min(target.bounding_box()["width"], target.bounding_box()["height"]) >= 39.5
    small.click()
    expect(bar).to_have_count(0)
    expect(field(page, "parts.moe.top_k")).to_have_value("8")
    page.get_by_role("button", name="Close the inspector").click()
    expect(field(page, "parts.moe.top_k")).to_be_hidden()
    tapped = page.locator(".strip button.part", has_text="moe")
    tapped.click()
    expect(field(page, "parts.moe.top_k")).to_be_visible()
    page.wait_for_timeout(700)
    low = tapped.bounding_box()
    assert low["y"] > 0 and low["y"] + low["height"] < sheet.bounding_box()["y"], "a part of the strip stays in sight too"
    page.get_by_role("button", name="Close the inspector").click()
    expect(field(page, "parts.moe.top_k")).to_be_hidden()
    page.get_by_role("button", name="Every n-th layer").click()  # what is selected stayed
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator(".strip")).to_be_in_viewport()
    page.get_by_test_id("stExpandSidebarButton").click()
    page.get_by_role("link", name="Gallery").click()
    expect(page.locator(".card a").first).to_be_visible()
    expect(page.get_by_role("link", name="Gallery")).not_to_be_in_viewport()


def get(server: str, path: str) -> tuple[int, str, bytes]:
    try:
        with urllib.request.urlopen(f"{server}{path}", timeout=30) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers["Content-Type"], error.read()


def test_the_api_answers(server):
    assert json.loads(get(server, "/health")[2]) == {"status": "ok"}
    assert b"strata_page_seconds" in get(server, "/metrics")[2]
    assert sorted(p["name"] for p in json.loads(get(server, "/api/presets")[2])) == sorted(core.presets())
    assert {tuple(p["kind"]) for p in json.loads(get(server, "/api/presets?kind=recurrent")[2])} == {("dense", "recurrent")}
    assert "no option" in json.loads(get(server, "/api/presets?kind=x")[2])["error"]
    assert "'limit' is not known" in json.loads(get(server, "/api/presets?limit=2")[2])["error"]
    cost = json.loads(get(server, "/api/cost/deepseek-v3?context=8192")[2])
    assert cost["kv_bytes"] == 8192 * 70_272
    assert json.loads(get(server, "/api/presets?q=llama3")[2])[0]["name"] == "llama-3-8b"
    token = core.encode(edited(core.load("gpt2"), "d_model", 1536))
    assert json.loads(get(server, f"/api/architecture/{token}")[2])["d_model"] == 1536
    assert json.loads(get(server, "/api/graph/gpt2")[2])["nodes"]
    status, kind, body = get(server, f"/card/{token}.svg")
    assert status == 200 and kind.startswith("image/svg+xml") and body.startswith(b"<svg")
    status, kind, body = get(server, f"/card/{token}.png")
    assert status == 200 and kind == "image/png" and Image.open(BytesIO(body)).size == (1200, 630)


@pytest.mark.parametrize(
    "path", ["/api/cost/nothing", "/api/graph/s1.broken", "/card/..%2f..%2fetc%2fpasswd.svg", "/api/cost/gpt2?batch=-1"]
)
def test_the_api_refuses_with_a_sentence(server, path):
    status, _, body = get(server, path)
    assert status in (400, 404, 422) and b"Traceback" not in body


def test_a_link_is_previewed(server):
    body = get(server, "/workbench?preset=deepseek-v3")[2].decode()
    assert (
        "<title>DeepSeek-V3 · Strata</title>" in body
        and "671.0 B parameters" in body
        and f'<meta property="og:image" content="{server}/card/deepseek-v3.png">' in body
        and f'<meta property="og:url" content="{server}/workbench?preset=deepseek-v3">' in body
    )
    token = core.encode(edited(core.load("gpt2"), "d_model", 1536))
    body = get(server, f"/workbench?a={token}")[2].decode()
    picture = re.search(r'"og:image" content="([^"]*)"', body)[1]
    assert picture == f"{server}/card/{token}.png" and get("", picture)[2].startswith(b"\x89PNG")
    assert "<title>Strata</title>" in get(server, "/workbench?a=s1.%3Cscript%3E")[2].decode()


def test_a_preview_of_a_link_as_long_as_any(server):
    """A link may hold thousands of characters; its picture's address does too."""
    noise = [hashlib.shake_256(bytes([i])).hexdigest(200) for i in range(20)]
    token = core.encode(edited(core.load("deepseek-v3"), "sources", noise))
    assert MAX_TOKEN / 2 < len(token) <= MAX_TOKEN
    for kind in ("png", "svg"):
        assert get(server, f"/card/{token}.{kind}")[0] == 200
    with socket.create_connection(server.removeprefix("http://").split(":"), timeout=10) as raw:
        raw.sendall(b'GET /workbench?preset=gpt2 HTTP/1.1\r\nHost: a"><script>\r\nConnection: close\r\n\r\n')
        said = b"".join(iter(lambda: raw.recv(65536), b""))
    assert said.startswith(b"HTTP/1.1 200") and b'"><script>"' not in said and b'content="http://a"' not in said


def test_visitors_do_not_see_each_other(visitor, browser: Browser):
    one, two = visitor("/workbench?preset=gpt2"), visitor("/workbench?preset=gpt2")
    workbench(one)
    workbench(two)
    change(one, "parts.attention.sight.window", "128")
    expect(one.locator(".edits")).to_contain_text("attention: window none → 128")
    expect(two.locator(".edits")).to_have_count(0)
    two.reload()
    workbench(two)
    expect(two.locator(".edits")).to_have_count(0)
