"""Articles in a real browser: the picture follows the text, and demonstrations answer."""

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
    page.locator("[class*=st-key-controls-]").first.get_by_role("radio").last.click()
    page.wait_for_url(re.compile(r"article=deepseek-v3&\w+\.\w+="))
    settled(page)
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
