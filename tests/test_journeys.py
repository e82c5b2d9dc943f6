"""Journeys on the workbench in a real browser: layers, kinds, files, budgets, snapshots; and axe on pages in many states."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from headers import whole
from pages import WAIT, change, field, settled, workbench
from playwright.sync_api import Page, expect

import core
from core import edits
from core.budget import amount
from core.library import to_yaml
from core.spec import edited
from core.words import figure

# ---- the picture ----


def test_the_picture_by_keyboard_and_an_inset_over_the_page(visitor):
    """A chosen box keeps the focus and the inspector comes next; "12 ×" leads to its control; Escape closes an inset."""
    page = visitor("/workbench?preset=qwen3-next-80b-a3b")
    workbench(page)
    box = page.locator('.picture [data-node="layers.0.delta"][tabindex]').first
    box.focus()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("part=layers.0.delta"))
    expect(page.locator(".picture .on[tabindex]")).to_be_focused()
    expect(page.locator(".st-key-inspector")).to_contain_text("Gated delta net", timeout=WAIT)
    expect(page.locator(".st-key-inspector input").first).to_be_visible()
    settled(page)
    page.keyboard.press("Tab")
    expect(page.locator(".st-key-inspector :focus")).to_have_count(1)
    for mark, control in zip(page.locator(".picture [data-repeat]").all(), ("0:", "0:1")):
        mark.click()
        expect(page.locator(f'.strip input[data-place="{control}"]')).to_be_focused()
    page.locator('.picture [data-zoom="layers.0.delta"] [data-open]').press("Enter")
    opened = page.locator("dialog[open]")
    expect(opened).to_contain_text("(B, T, 32, 128)")
    settled(page)
    page.keyboard.press("Escape")
    expect(page).not_to_have_url(re.compile("zoom="))
    expect(opened).to_have_count(0)
    page.go_back()
    expect(page).not_to_have_url(re.compile("part="))
    expect(opened).to_have_count(0)
    page.goto(f"{page.url}&zoom=layers.0.delta")  # of a link, then with another box selected in it
    expect(opened).to_contain_text("(B, T, 32, 128)", timeout=WAIT)
    opened.locator("[data-node][tabindex]").nth(1).click()
    expect(page).to_have_url(re.compile("part=.*zoom="))
    settled(page)
    page.keyboard.press("Escape")
    expect(page).not_to_have_url(re.compile("zoom="))
    settled(page)
    page.get_by_role("button", name="one more").first.click()
    expect(page).to_have_url(re.compile("a=.*part="))
    expect(page).not_to_have_url(re.compile("zoom="))
    expect(opened).to_have_count(0)


# ---- the strip of layers ----


@pytest.mark.parametrize("width", [1280, 390])
def test_layers_are_edited_in_place(visitor, width):
    page = visitor("/workbench?preset=llama-3-8b&part=layers.0.attention", width)
    workbench(page)
    strip = page.locator(".strip")
    page.get_by_role("button", name="Every n-th layer").click()
    fields = page.locator(".st-key-drawer")
    expect(fields.locator(".effect")).to_contain_text("attention 32 → 8")
    settled(page)
    fields.get_by_label("the others are").fill("Gated delta")
    page.get_by_role("option", name="new · Recurrent · Gated delta net", exact=True).click()
    expect(fields.locator(".effect")).to_contain_text("attention 32 → 8 · delta 0 → 24")
    fields.get_by_role("button", name="Apply").click()
    expect(strip.locator(".block")).to_have_count(2)
    expect(fields).to_have_count(0)
    times = strip.locator(".block input").first
    times.fill("5")
    times.press("Enter")
    expect(strip.locator(".where")).to_have_text("layers 0-47")
    last = strip.locator(".block .part").last
    last.click()
    expect(strip.locator(".part.on")).to_have_count(1)
    last.press("Alt+ArrowLeft")
    expect(strip.locator(".block").first).to_have_class("block on")
    expect(strip.locator(".part.on")).to_be_focused()
    strip.locator(".part.on").press("Alt+ArrowRight")
    expect(strip.locator(".block").last).to_have_class("block on")
    if width > 640:
        strip.locator(".block").first.drag_to(strip.locator(".gap.between").last)
        expect(strip.locator(".segment")).to_have_count(2)
    else:
        page.get_by_role("button", name="Remove", exact=True).click()
        expect(strip.locator(".block")).to_have_count(1)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "only the strip scrolls sideways"
    page.go_back()
    expect(strip.locator(".segment")).to_have_count(1)
    expect(strip.locator(".block")).to_have_count(2)


def test_an_impossible_repeat_stays_in_its_field(visitor):
    page = visitor("/workbench?preset=gpt2")
    workbench(page)
    times = page.locator(".segment input").first
    times.fill("5000")
    times.press("Enter")
    expect(page.locator(".wrong")).to_contain_text("give 0 to 1,024 (not 5,000)")
    expect(times).to_have_value("5000")
    times.fill("6")
    times.press("Enter")
    expect(page.locator(".wrong")).to_have_count(0)
    expect(page.locator(".where")).to_have_text("layers 0-5")
    page.get_by_role("button", name="Repeats of layers 0-5: one more").click(click_count=3, delay=10)
    page.mouse.down()
    expect(page.locator(".edits")).to_contain_text("12 layers → 9")  # the page comes between press and release
    page.mouse.up()
    expect(page.locator(".where")).to_have_text("layers 0-9")
    expect(page.get_by_role("button", name="Repeats of layers 0-9: one more")).to_be_focused()


def test_a_part_becomes_another_kind_by_keyboard_and_by_a_short_cut(visitor):
    page = visitor("/workbench?preset=llama-3-8b&part=layers.0.attention")
    workbench(page)
    inspector = page.locator(".st-key-inspector")
    head = inspector.locator("button.head")
    expect(head).to_have_text("Grouped-query attention")
    head.click()
    expect(inspector.locator("button.kind[aria-pressed=true] b")).to_have_text(["Grouped-query", "All tokens"])
    find = inspector.get_by_label("Find a kind")
    find.fill("delta")
    expect(inspector.locator("button.kind:visible").first).to_contain_text("Gated delta net")
    find.press("Enter")
    expect(head).to_have_text("Gated delta net")
    expect(page.locator(".picture svg")).to_contain_text("Gated delta net")
    expect(page.locator(".edits")).to_contain_text("attention → ")
    expect(head).to_have_attribute("aria-expanded", "false")
    head.press("Enter")
    find.press("ArrowDown")
    page.keyboard.press("Escape")
    expect(find).to_have_count(0)
    head.click()
    inspector.locator(".first").get_by_text("Multi-query").click()
    expect(head).to_have_text("Multi-query attention")
    expect(field(page, "parts.attention.kv_heads")).to_have_value("1")
    page.go_back()
    expect(head).to_have_text("Gated delta net")


@pytest.mark.parametrize("width", [1280, 390])
def test_a_refused_value_comes_with_values_that_would_do(visitor, width):
    page = visitor("/workbench?preset=llama-3-8b&part=layers.0.attention", width)
    workbench(page)
    change(page, "parts.attention.heads", "30")
    offer = page.get_by_role("button", name=re.compile("^kv heads 6"))
    expect(offer).to_contain_text("−25 % cache")
    expect(field(page, "parts.attention.heads")).to_have_value("30")
    left, right = (page.locator(f".st-key-f-parts-attention-{name}").bounding_box() for name in ("heads", "kv_heads"))
    assert left["y"] == right["y"], "the reason stands below the row"
    offer.click()
    expect(page.locator(".wrong")).to_have_count(0)
    expect(field(page, "parts.attention.kv_heads")).to_have_value("6")
    expect(field(page, "parts.attention.heads")).to_have_value("30")


STRETCHED = {
    "model_type": "llama", "hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2, "num_hidden_layers": 2, "head_dim": 16,
    "intermediate_size": 96, "vocab_size": 300, "max_position_embeddings": 4_096, "rms_norm_eps": 1e-5, "rope_theta": 500_000.0,
    "tie_word_embeddings": True,
    "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                     "original_max_position_embeddings": 8_192},
}  # fmt: skip


def test_a_file_is_opened_and_only_a_gguf_files_header_is_sent(server, browser, tmp_path):
    """A GGUF file of which the browser sends the header without its tokenizer, a YAML, and files that are none."""
    arch = core.from_hf(STRETCHED)
    whole(gguf := tmp_path / "own-model.gguf", STRETCHED, arch)
    page = browser.new_page(viewport={"width": 390, "height": 900})
    sent = []
    page.on("websocket", lambda socket: socket.on("framesent", lambda frame: sent.append(len(frame))))
    page.goto(f"{server}/workbench?preset=gpt2")
    button, choose = page.get_by_role("button", name="Open a file"), page.locator('input[aria-label="Open a file"]')
    expect(button).to_be_visible(timeout=WAIT)
    with page.expect_file_chooser() as chooser:  # by keyboard
        button.focus()
        page.keyboard.press("Enter")
    chooser.value.set_files(gguf)
    page.wait_for_url(re.compile("[?&]a="), timeout=WAIT)
    found = core.load(page.url)
    assert found.position == arch.position and found.parts == arch.parts and found.title == "own-model"
    assert max(sent) < 20_000 < gguf.stat().st_size
    (broken := tmp_path / "broken.gguf").write_bytes(gguf.read_bytes()[:500])
    (tmp_path / "layers.yaml").write_text("layers: [1, 2")
    (tmp_path / "long.json").write_text(" " * 900_000)
    (tmp_path / "shot.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
    for file, words in (
        (broken, "broken.gguf: cannot be read (it is cut short)"),
        (tmp_path / "layers.yaml", "layers.yaml: line 2, column 1: this is not YAML"),
        (tmp_path / "long.json", "long.json: is larger than 200,000 characters"),
        (tmp_path / "shot.png", "shot.png: is a picture; give a config.json, a YAML or a GGUF file"),
    ):
        choose.set_input_files(file)
        expect(page.get_by_role("alert").filter(has_text=words)).to_be_visible(timeout=WAIT)
    text, before = to_yaml(edited(core.load("gpt2"), "d_model", 1_536)), page.url
    make = "(text) => { const data = new DataTransfer(); data.items.add(new File([text], 'spec.yaml')); return data; }"
    dropped = page.evaluate_handle(make, text)
    page.dispatch_event("body", "drop", {"dataTransfer": dropped})
    expect(page.get_by_role("alert")).to_have_count(0, timeout=WAIT)
    page.wait_for_url(lambda url: url != before, timeout=WAIT)
    assert core.load(page.url).d_model == 1_536
    page.go_back()
    page.wait_for_url(before, timeout=WAIT)
    page.close()


# ---- budgets, the strip's switches, one edit of several ----


@pytest.mark.parametrize(
    "width, what, asked, present, changed, measured",
    [
        (1280, "Parameters", "70 B", "671.0 B", "61 → 27", "parameters"),
        (390, "Active parameters", "12 B", "37.6 B", "61 → ", "active_parameters"),
        (1280, "Caches at 4K", "250.5 MB", "287.8 MB", "512 → ", "kept_bytes"),
    ],
)
def test_a_model_is_fitted_to_a_budget(visitor, width, what, asked, present, changed, measured):
    page = visitor("/workbench?preset=deepseek-v3", width)
    workbench(page)
    page.get_by_role("button", name="Fit to a budget").click()
    box = page.get_by_test_id("stPopoverBody")
    if what != "Parameters":
        box.get_by_role("combobox").click()
        page.get_by_role("option", name=what, exact=True).click()
    budget = box.locator("[data-stale=false]").get_by_label("Budget", exact=True)
    expect(budget).to_have_value(present)
    settled(page)
    budget.fill(asked)
    budget.press("Enter")
    expect(box.locator(".notice.good")).to_contain_text(f"of {asked} asked")
    expect(box.locator(".facts")).to_contain_text(changed)
    box.get_by_role("button", name="Apply").click()
    expect(box).to_have_count(0)
    page.wait_for_url(re.compile("[?&]a="))
    arch = core.load(page.url)
    assert getattr(core.cost(arch, core.Workload(context=4096)), measured) == pytest.approx(amount(asked), rel=0.1)
    expect(page.locator(".figure .v").first).to_have_text(figure(core.cost(arch).parameters))


@pytest.mark.parametrize("width", [1280, 390])
def test_dense_layers_prediction_ties_and_parallel_blocks_by_the_strip(visitor, width):
    page = visitor("/workbench?preset=deepseek-v3", width)
    workbench(page)
    strip = page.locator(".st-key-segments")
    strip.get_by_role("button", name="Dense layers at the start: one more").click()
    expect(strip.locator(".where")).to_have_text(["layers 0-3", "layers 4-60"])
    strip.get_by_role("button", name="Multi-token-prediction modules: one less").click()
    strip.locator(".ahead.new").click()
    count = strip.get_by_role("spinbutton", name="Multi-token-prediction modules")
    expect(count).to_have_value("1")
    strip.get_by_role("button", name="Multi-token-prediction modules: one more").click()
    expect(count).to_have_value("2")
    settled(page)
    strip.get_by_role("switch", name="Tie embeddings").click()
    expect(strip.get_by_role("switch", name="Tie embeddings")).to_be_checked()
    settled(page)
    strip.locator(".block").last.get_by_role("button", name="moe").click()
    expect(strip.locator(".part.on")).to_have_text("moe")
    strip.get_by_role("button", name="Parallel", exact=True).click()
    expect(strip.locator(".block.on .row")).to_have_count(1)
    arch = edits.first_dense(core.load("deepseek-v3"), 4)
    for modules in (0, 1, 2):
        arch = edits.predicting(arch, modules)
    wanted = edits.parallel(edited(arch, "tied_embeddings", True), edits.Place(1), True)
    settled(page)
    assert not [str(change) for change in core.diff(wanted, core.load(page.url)).changes]
    assert page.get_by_test_id("stMain").evaluate("e => e.scrollWidth - e.clientWidth") <= 1


def test_one_edit_of_five_is_dropped_and_a_snapshot_is_opened_again(visitor):
    arch = core.load("deepseek-v3")
    for name, value in {"top_k": 4, "d_ff": 1_024, "count": 128, "router.scale": 1.5, "shared.d_ff": 1_024}.items():
        arch = edited(arch, f"parts.moe.{name}", value)
    page = visitor(f"/workbench?a={core.encode(arch)}&part=layers.3.moe")
    workbench(page)
    chips = page.locator(".edits li")
    expect(chips).to_have_count(5)
    said = chips.all_inner_texts()
    chips.nth(2).get_by_role("button").click()
    expect(chips).to_have_text([*said[:2], *said[3:]])
    kept = core.load(page.url)
    assert len(core.diff(kept, arch).changes) == 1
    page.get_by_role("button", name="Keep this one").click()
    snapshot = page.get_by_role("button", name="Open the snapshot")
    expect(snapshot).to_be_disabled()  # it is shown
    settled(page)
    change(page, "parts.moe.top_k", "6")
    expect(snapshot).to_be_enabled()
    settled(page)
    snapshot.click()
    expect(field(page, "parts.moe.top_k")).to_have_value("4")
    expect(snapshot).to_be_disabled()
    assert core.load(page.url) == kept
    page.go_back()
    expect(field(page, "parts.moe.top_k")).to_have_value("6")


def test_what_is_clicked_stays_under_the_pointer(visitor):
    """The first edit makes the page's head longer; the next click at the same place must not meet another control."""
    page = visitor("/workbench?preset=deepseek-v3")
    workbench(page)
    at = page.get_by_role("button", name="Repeats of layers 0-2: one more").bounding_box()
    for times in ("4", "5"):
        page.mouse.click(at["x"] + at["width"] / 2, at["y"] + at["height"] / 2)
        expect(page.locator(".segment input").first).to_have_value(times)
        expect(page.locator(".edits li")).to_contain_text(f"→ {times}")  # the field shows its number before the page does
        settled(page)
        page.wait_for_timeout(100)
    assert page.get_by_test_id("stMain").evaluate("e => e.scrollTop") > 0  # by as much as the head has grown


# ---- for everyone ----


def barriers(page: Page) -> list[str]:
    """What axe finds that keeps people from using the page, when it is at rest: what waits for the server is pale."""
    settled(page)
    expect(page.locator('[data-stale="true"]')).to_have_count(0)
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [f"{rule['id']}: {node['html']}" for rule in found if rule["impact"] in ("serious", "critical") for node in rule["nodes"]]


@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (390, "dark")])  # no width depends on the theme, no colour on the width
def test_nobody_is_kept_out(visitor, width, theme):
    page = visitor("/?q=deepseek", width, theme)
    expect(page.locator(".card a").first).to_be_visible()
    page.get_by_role("button", name="Open your own").click()
    expect(page.get_by_role("button", name="Open", exact=True).last).to_be_visible()
    assert not barriers(page)
    arch = edited(core.load("llama-3-8b"), "parts.dense.d_ff", 16_384)
    page.goto(f"/workbench?a={core.encode(arch)}&part=layers.0.attention&keep=mine:llama-3-8b")
    workbench(page)
    change(page, "parts.attention.heads", "30")
    expect(page.get_by_role("button", name=re.compile("^kv heads 6"))).to_be_visible()
    page.locator(".st-key-inspector button.head").click()
    assert not barriers(page)
    for tool in ("Every n-th layer", "+ Part", "Rename"):
        page.locator(".st-key-segments").get_by_role("button", name=tool).click()
        expect(page.locator(".st-key-drawer")).to_be_visible()
        settled(page)
        assert not barriers(page)
    for menu in ("Fit to a budget", "Verify", "Export"):
        page.get_by_role("button", name=menu).click()
        expect(page.get_by_test_id("stPopoverBody").get_by_role("button").first).to_be_visible()
        assert not barriers(page)
        page.keyboard.press("Escape")
    page.goto("/learn?article=kv-cache" if width > 640 else "/learn?glossary=router")
    expect(page.locator(".st-key-side .lit, .glossary .asked").first).to_be_visible()
    assert not barriers(page)
    page.goto("/evolution?step=grouped" if width > 640 else "/evolution?view=habits")
    expect(page.locator(".taken, .terms")).to_be_visible()
    settled(page)
    assert not barriers(page)
    if width < 640:  # where more of it scrolls
        page.goto("/compare?m=gpt2&m=gemma-3n-e2b&m=jamba-1.5-mini")
        expect(page.locator(".js-plotly-plot")).to_have_count(3)
        page.get_by_text("A to B: ").click()
        expect(page.locator(".did")).to_be_visible()
        assert not barriers(page)
