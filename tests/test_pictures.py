"""Pictures as files: alike in a browser and out of one, in light and dark; previews; time in line with what is drawn."""

import re
import shutil
import xml.etree.ElementTree as ET
from collections import Counter
from html import unescape
from io import BytesIO

import numpy as np
import pytest
from clock import within
from PIL import Image
from playwright.sync_api import sync_playwright

import core
from app import facts
from app.kit import cards
from app.kit.theme import DARK, LIGHT, variables
from app.picture.diagram import diagram
from app.picture.inset import Grid
from app.picture.layered import Box
from app.picture.pen import CLASSES, Pen, fit, text_width
from app.picture.preview import card, preview
from app.picture.standalone import FONT, SVG, png, standalone
from core.__main__ import main
from core.facets import entry
from core.graph import to_graphml
from core.kept import kept
from core.spec import edited, parse

HOSTILE = "<script>alert(1)</script> & \"'] — Łódź σ → 2 × 4"
FOREIGN = "通义 3.5 深度求索 🚀👩‍🚀 نموذج כבד"
NAMES = ["gpt2", "deepseek-v3", "gpt-oss-20b", "rwkv-7-world-2.9b", "gemma-3n-e2b", "longcat-flash-chat", "jamba-1.5-mini"]


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield chromium
        chromium.close()


def architecture(name: str) -> core.Architecture:
    titles = {"hostile": HOSTILE, "foreign": FOREIGN}
    return edited(core.load("gpt2"), "title", titles[name]) if name in titles else core.load(name)


def pixels(image: bytes) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(image)).convert("RGB")).astype(np.int16)


def shown(browser, svg: str, dark: bool) -> tuple[np.ndarray, list[dict]]:
    """What a browser paints of the picture as it stands in the app, and where its words are."""
    width, height = (int(side) for side in re.search(r'width="(\d+)" height="(\d+)"', svg).groups())
    page = browser.new_page(viewport={"width": width, "height": height})
    page.route("http://app/inter.woff2", lambda route: route.fulfill(path=FONT, headers={"Access-Control-Allow-Origin": "*"}))
    page.route("http://app/", lambda route: route.fulfill(content_type="text/html", body=body))
    body = (
        "<!doctype html><meta charset=utf-8><style>@font-face{font-family:Inter;src:url(/inter.woff2);font-weight:100 900}"
        f"body{{margin:0;background:var(--page)}}svg{{display:block}}{variables(':root', dark)}</style>{svg}"
    )
    page.goto("http://app/")
    page.evaluate("document.fonts.ready")
    places = page.evaluate(
        "[...document.querySelectorAll('text')].map(e => { const b = e.getBoundingClientRect();"
        "return {words: e.textContent, x: b.x, y: b.y, w: b.width, h: b.height}})"
    )
    image = pixels(page.screenshot())
    page.close()
    return image, places


def drawn(browser, svg: str) -> np.ndarray:
    """What a browser paints of a file."""
    width, height = (int(side) for side in re.search(r'width="(\d+)" height="(\d+)"', svg).groups())
    page = browser.new_page(viewport={"width": width, "height": height})
    page.route("http://app/", lambda route: route.fulfill(content_type="image/svg+xml", body=svg))
    page.goto("http://app/")
    image = pixels(page.screenshot())
    page.close()
    return image


def alike(one: np.ndarray, other: np.ndarray) -> None:
    """The same but for how edges are smoothed: flat areas have the same colours, and few pixels differ at all."""
    assert one.shape == other.shape
    off = np.abs(one - other).max(axis=2)
    assert off.mean() < 1.5 and (off > 96).mean() < 0.003, (off.mean(), (off > 96).mean())
    flat = np.ones((off.shape[0] - 2, off.shape[1] - 2), bool)
    for image in (one, other):
        for beside in (image[:-2, 1:-1], image[2:, 1:-1], image[1:-1, :-2], image[1:-1, 2:]):
            flat &= (beside == image[1:-1, 1:-1]).all(axis=2)
    assert flat.mean() > 0.5 and off[1:-1, 1:-1][flat].max() <= 2, "a colour is another one"


@pytest.mark.parametrize(("name", "dark"), [*((name, False) for name in NAMES), ("deepseek-v3", True), ("hostile", True)])
def test_a_file_is_what_the_app_shows(browser, name, dark):
    """A browser with the app's font and palette, a browser with the file alone, and resvg paint one picture."""
    arch = architecture(name)
    file = facts.picture_file(arch, dark)
    app, places = shown(browser, facts.picture_of(arch, "", True), dark)
    resvg = pixels(png(file, app.shape[1]))
    alike(app, drawn(browser, file))
    alike(app, resvg)
    assert len(places) > 20
    for place in (place for place in places if place["words"].strip()):
        top, left = max(int(place["y"]), 0), max(int(place["x"]), 0)
        box = resvg[top : top + int(place["h"]) + 1, left : left + int(place["w"]) + 1]
        assert np.ptp(box, axis=(0, 1)).max() > 60, f"{place['words']!r} is not there"


@pytest.mark.parametrize("name", core.presets())
def test_a_file_needs_nothing(name):
    """No style sheet, no custom property, no font: every element says itself what it looks like."""
    arch = core.load(name)
    app, file, small = facts.picture_of(arch, "", True), facts.picture_file(arch, dark=True), card(arch)
    read = ET.fromstring(file)
    for svg, root in ((file, read), (shown := standalone(small, boxes=True), ET.fromstring(shown))):
        assert not re.search(r"var\(|<style|class=|style=|font-family|<text|tabindex|data-node", svg)
        ids = re.findall(r' id="([^"]*)"', svg)
        assert len(ids) == len(set(ids)) and set(re.findall(r'href="#([^"]*)"', svg)) == set(ids)
        colours = {element.get(kind) for element in root.iter() for kind in ("fill", "stroke")} - {None, "none"}
        assert colours <= set((DARK if svg is file else LIGHT).values())
        assert len(svg) < 500_000
    words = {unescape(text) for text in re.findall(r"<text[^>]*>([^<]+)<", app)}
    assert words <= {group.get("aria-label") for group in read.iter(f"{SVG}g")}, "what is written can still be read aloud"
    said = [unescape(text) for text in re.findall(r"<text[^>]*>([^<]+)<", small)]
    assert "".join(said[2:4]).replace(" ", "").startswith(arch.title.replace(" ", "")[:12])
    assert {"parameters", "context" if arch.meant_for else "layers"} <= set(said) and 'width="1200" height="630"' in small


def test_letters_that_the_font_lacks_stay_text():
    """In a file, for the reader's own font; in a preview, which has none, as boxes."""
    arch = architecture("foreign")
    texts = [text.text for text in ET.fromstring(facts.picture_file(arch)).iter(f"{SVG}text")]
    assert texts == ["通义", "深度求索 🚀👩‍🚀 نموذج כבד"]
    assert "<text" not in standalone(card(arch), boxes=True)
    blank = pixels(preview(edited(arch, "title", "i")))
    assert (pixels(preview(arch)) != blank).any(axis=2).sum() > 3000


@pytest.mark.parametrize("title", [HOSTILE, FOREIGN, "A" * 100, "word " * 19 + "end", "﷽" * 40, "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢L̠ͨͧͩ͘G̴̻͈͍͔̹̑͗̎̅͛́Ǫ̵̹̻̝̳͂̌̌͘"])
def test_any_title_is_drawn(title):
    arch = edited(core.load("gpt2"), "title", title)
    image = Image.open(BytesIO(preview(arch)))
    assert image.size == (1200, 630) and image.format == "PNG"
    file = facts.picture_file(arch)
    assert "<script" not in file and ET.fromstring(file) is not None
    left = pixels(preview(arch))[:, 632:668]
    assert (left == 255).all(), "the title stays out of the picture"


def test_a_preview_is_a_picture_of_1200_by_630():
    for name in ("gpt2", "deepseek-v3"):
        image = preview(core.load(name))
        assert Image.open(BytesIO(image)).size == (1200, 630) and len(image) < 300_000


def as_many_kinds(parts: int) -> core.Architecture:
    """As many different blocks as are accepted, of as many steps, over so many parts: what a hostile link holds."""
    attention = {
        "kind": "compressed_attention", "heads": 1, "head_dim": 8, "rope_dim": 8, "q_rank": 8, "overlap": True, "out_groups": 1,
        "out_rank": 8, "indexer": {"heads": 1, "dim": 8, "top_k": 1}, "position": {"kind": "rope"},
    }  # fmt: skip
    made = {f"p{i}": attention | {"ratio": 4 * (i + 1)} for i in range(parts)}
    count = 64 if parts == 64 else 32  # 128 parts in all blocks are the most
    blocks = [[f"p{(block // parts**i + block * i) % parts}" for i in range(128 // count)] for block in range(count)]
    return parse(
        {
            "name": "x", "title": "x", "vocab_size": 1000, "d_model": 64, "context": 1024, "position": {"kind": "none"},
            "parts": made, "layers": [{"blocks": blocks}], "residual": {"kind": "manifold_hyper", "streams": 2},
        }
    )  # fmt: skip


@pytest.mark.parametrize("parts", [4, 64])
def test_a_picture_takes_time_in_line_with_its_boxes(parts):
    """A second is what any stage of anything that is accepted may take; pictures took minutes."""
    arch = as_many_kinds(parts)
    assert len(arch.distinct()) == (64 if parts == 64 else 32)
    g = core.graph(arch)
    facts.cost(arch)
    facts.graph(arch)
    with within(1):
        svg = diagram(g, facts.parameters(arch), facts.subtitle(arch))
    with within(1):
        file = standalone(svg)
    with within(1):
        preview(arch)
    assert len(svg) < 1_000_000 and len(file) < 2_000_000
    blocks = {node for node, data in g.nodes(data=True) if data["kind"] == "block"}
    panels = blocks & set(re.findall(r'<g data-node="([^"]*)" data-of', svg))
    assert len(panels) <= 8 and (parts == 4 or re.search(r"and \d+ more", svg)), "four kinds have a tab each"


def test_a_recurrent_model_claims_no_context(capsys):
    """What its files call context bounds nothing; a hybrid's and a table of positions do."""
    arch = core.load("mamba2-2.7b")
    told = (facts.subtitle(arch), cards.card(entry(arch)), diagram(core.graph(arch), {}), card(arch), to_graphml(core.graph(arch)))
    assert not any("context" in words or "1,048,576" in words for words in told)
    assert main(["show", "mamba2-2.7b"]) == 0 and "any length: no layer has attention" in capsys.readouterr().out
    assert arch.meant_for is None and core.load("jamba-1.5-mini").meant_for == 262_144
    assert edited(arch, "position", {"kind": "learned", "length": 1_048_576}).meant_for == 1_048_576


TWELVE = edited(edited(core.load("qwen3-30b-a3b"), "parts.moe.count", 256), "parts.moe.top_k", 12)


@pytest.mark.parametrize(
    "arch",
    [TWELVE, *map(core.load, ("longcat-flash-chat", "deepseek-v3", "deepseek-v4-pro", "zaya1-8b", "pangu-pro-moe"))],
    ids=lambda arch: arch.name,
)
def test_as_many_squares_are_filled_as_a_token_has_experts(arch):
    for part, chosen in ((arch.part(name), chosen) for name, chosen in facts.glimpses(arch).items()):
        pen, grid = Pen(), Grid(part.model_dump(mode="json"), True, 200)
        grid.draw(pen, "", Box("", grid.width, grid.height), set(chosen))
        squares = Counter()
        for path, fill in re.findall(r'<path d="(M[^"]*)" style="fill:var\(--([^)]*)\)', "".join(pen.out)):
            squares[fill] += path.count("M")  # the opened one is a path of its own
        assert squares["experts"] == part.top_k and sum(squares.values()) == part.count + part.zero
        assert squares["box"] == sum(expert not in chosen for expert in range(part.count, part.choices))
        assert chosen != tuple(range(part.top_k)) or part.top_k == 1, "not simply the first"


def test_a_cache_is_bounded_by_bytes():
    made = []

    @kept(100, weigh=len)
    def text(size: int) -> str:
        made.append(size)
        return "x" * size

    assert [len(text(n)) for n in (40, 41, 40, 30, 40, 41)] == [40, 41, 40, 30, 40, 41]
    assert made == [40, 41, 30, 41], "the one used longest ago went"
    text(101), text(101)
    assert made[-2:] == [101, 101], "what is larger than all is not kept"
    text.cache_clear()
    text(41)
    assert made[-1] == 41


def test_long_words_are_cut_at_once():
    words = "a name, " * 4000
    with within(0.05):
        cut = fit(words, 400, 12)
    assert cut.endswith("…") and words.startswith(cut[:-1]) and 360 < text_width(cut, 12) <= 400
    assert fit("short", 400, 12) == "short" and fit("none fits", 1, 12) == "…"
    assert fit("layers 22, 24, … 40", 100, 12) == fit("layers 22, 24, 26", 90, 12) == "layers 22, 24…", "one ellipsis"


@pytest.mark.parametrize("name", ["gemma-3n-e2b", "gemma-4-e4b", "rwkv-7-world-1.5b", "glm-5.2"])
def test_the_line_of_a_lent_cache_passes_no_words(name):
    svg = ET.fromstring(facts.picture_of(core.load(name)))
    lines = [re.findall(r"(-?[\d.]+) (-?[\d.]+)", path.get("d")) for path in svg.iter() if path.get("class") == "lent"]
    assert lines
    words = []
    for text in (text for text in svg.iter(f"{SVG}text") if text.get("class") in ("b c", "b2 c", "f c")):
        x, y, half = float(text.get("x")), float(text.get("y")), text_width(text.text or "", 12) / 2
        words.append((x - half, x + half, y - 9, y + 3))
    for line in lines:
        for (x0, y0), (x1, y1) in ((map(float, a), map(float, b)) for a, b in zip(line, line[1:])):
            for left, right, top, bottom in words:
                across = min(x0, x1) < right and max(x0, x1) > left
                assert not (across and min(y0, y1) < bottom and max(y0, y1) > top)


def test_every_class_of_the_pen_is_known():
    """A class without a rule would be black in a file."""
    for name in ("deepseek-v3", "gemma-3n-e2b", "rwkv-7-world-2.9b", "longcat-flash-chat"):
        said = {c for names in re.findall(r'class="([^"]*)"', facts.picture_of(core.load(name))) for c in names.split()}
        assert said - {"strata"} <= set(CLASSES)


@pytest.mark.parametrize(
    ("name", "even"),
    [
        ("llama-3-8b", True),
        ("deepseek-v3.2", True),  # the keys of its indexer grow too
        ("zamba2-7b", True),
        ("gemma-3-27b", False),  # windows fill
        ("llama-4-maverick", False),  # chunks end
        ("deepseek-v4-flash", False),  # several tokens become one entry
    ],
)
def test_the_words_for_what_a_token_leaves_are_true_later_too(name, even):
    arch = core.load(name)
    first, kept = core.cost(arch).kv_bytes_per_token, core.cost(arch, core.Workload(context=65_536)).kv_bytes
    assert (kept == 65_536 * first) == even
    words = f"{first:,} bytes of cache per token{'' if even else ' at first'}"
    assert words in facts.subtitle(arch).split(" · ")
