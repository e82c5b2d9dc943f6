"""Articles and the steps since GPT-2 in a real browser: the picture follows the text, and demonstrations answer."""

import re

import pytest
from pages import WAIT, settled
from playwright.sync_api import expect


@pytest.mark.parametrize("width", [1280, 390])
def test_what_is_read_is_lit_in_the_picture(visitor, width):
    page = visitor("/learn", width)
    page.get_by_role("link", name="What makes DeepSeek V3 different").click()
    picture = page.locator(".st-key-side .picture")
    expect(picture.locator(".lit").first).to_be_attached(timeout=WAIT)
    settled(page)
    link = page.locator("a.ref").last
    link.scroll_into_view_if_needed()
    link.click()
    lit = picture.locator(f'.lit[data-node="{link.get_attribute("data-node").split()[0]}"]').first
    expect(lit).to_be_in_viewport()
    expect(picture.locator("text.p.dim").first).to_be_attached()  # a chip in a box that is not lit
    if width == 390:
        column = page.locator("[data-testid=stColumn]:has(.st-key-side)").first
        assert column.bounding_box()["height"] <= 0.3 * page.viewport_size["height"]
    demo = page.locator("[class*=st-key-demo-]").first
    named = demo.evaluate("""demo => {
        document.querySelector('[data-testid=stMain]').scrollBy(0, demo.getBoundingClientRect().top - 40);
        return [...document.querySelectorAll('.reading p a.ref')].filter((a) => a.compareDocumentPosition(demo) & 4).at(-1).dataset.node;
    }""")
    expect(picture.locator(f'.lit[data-node="{named.split()[0]}"]').first).to_be_attached()  # what the text before it is about
    page.locator("[class*=st-key-controls-]").first.get_by_role("radio").last.click()
    page.wait_for_url(re.compile(r"article=deepseek-v3&\w+\.\w+="))
    settled(page)
    chosen = page.locator("[class*=st-key-controls-]").first.get_by_role("radio", checked=True).last
    last = chosen.text_content()
    page.go_back()
    expect(chosen).not_to_have_text(last)
    assert page.get_by_test_id("stMain").evaluate("e => e.scrollWidth - e.clientWidth") <= 1


def test_an_article_has_a_preview_a_print_view_and_a_refusal(visitor, server):
    page = visitor("/learn?article=deepseek-v3&print=1")
    expect(page.locator("[class*=st-key-inset-] svg").first).to_be_visible(timeout=WAIT)
    expect(page.locator(".st-key-side")).to_have_count(0)
    page = visitor("/learn?article=nothing")
    expect(page.get_by_role("alert")).to_contain_text("'nothing' is no article", timeout=WAIT)
    expect(page.get_by_role("link", name="What makes DeepSeek V3 different")).to_be_visible()
    html = page.request.get(f"{server}/learn?article=deepseek-v3").text()
    assert "<title>What makes DeepSeek V3 different · Strata</title>" in html and "70.3 KB" in html


@pytest.mark.parametrize("width", [1280, 390])
def test_steps_by_keyboard_and_the_picture_of_what_changed(visitor, width):
    page = visitor("/evolution?step=grouped", width)
    steps, picture = page.locator(".steps button"), page.locator(".st-key-side .picture")
    chosen = page.locator(".steps [aria-current]")
    expect(chosen).to_be_in_viewport(timeout=WAIT)
    expect(picture.locator('.lit[data-node="layers.0.attention"]').first).to_be_attached(timeout=WAIT)
    expect(picture.locator('.dim[data-node="head"]').first).to_be_attached()
    expect(page.locator(".k b").nth(1)).to_have_text("9.2 KB")
    page.get_by_role("button", name="Before").click()
    page.wait_for_url(re.compile("show=before"))
    expect(picture).to_contain_text("12 heads")
    settled(page)
    chosen.press("ArrowRight")
    page.wait_for_url(re.compile("step=yarn"))
    expect(page.locator(".reading.step h2")).to_have_text("A longer context by YaRN")
    expect(steps.nth(8)).to_be_focused()
    expect(chosen).to_be_in_viewport()
    settled(page)
    page.locator(".around .on").click()
    page.wait_for_url(re.compile("step=latent"))
    expect(page.locator(".reading.step h2")).to_have_text("Multi-head latent attention")
    expect(chosen).to_be_in_viewport()
    page.go_back()
    expect(page.locator(".reading.step h2")).to_have_text("A longer context by YaRN")
    settled(page)
    assert page.get_by_test_id("stMain").evaluate("e => e.scrollWidth - e.clientWidth") <= 1
