"""Pictures beside each other: rows in line, nothing over anything else, and marks only where something differs."""

import re
import xml.etree.ElementTree as ET
from itertools import combinations

import pytest
from hypothesis import settings

import core
from app.facts import alongside_of, graph
from app.picture.alongside import Alongside, aligned
from app.picture.pen import CLASSES, text_width
from core.library import preset
from core.spec import edited

SVG = "{http://www.w3.org/2000/svg}"
THIRTY = """gpt2 llama-3-8b gemma-2-9b gemma-3-27b gemma-3n-e4b gemma-4-e4b mistral-7b mixtral-8x7b qwen3-235b-a22b qwen3-next-80b-a3b
deepseek-v3 deepseek-v4-pro kimi-k2 kimi-linear-48b-a3b glm-4.5 gpt-oss-20b mamba-2.8b jamba-1.5-mini zamba2-7b rwkv-7-world-2.9b
nemotron-h-8b longcat-flash-chat longcat-flash-lite olmo-2-7b falcon-h1-0.5b minimax-text-01 step-3.5-flash openelm-270m gpt-j-6b
recurrentgemma-2b""".split()
SOME = [
    ("deepseek-v3", "kimi-k2", "qwen3-235b-a22b"), ("gpt2", "gpt-oss-20b"), ("mamba-2.8b", "jamba-1.5-mini"),
    ("gemma-3n-e4b", "gemma-4-e4b"), ("deepseek-v3", "deepseek-v4-pro"), ("gpt2", "gpt2"),
    ("zamba2-7b", "jamba-1.5-mini", "gemma-3n-e4b", "longcat-flash-chat"), ("gpt-j-6b", "nemotron-h-8b", "openelm-270m"),
]  # fmt: skip
PAIRS = [*combinations(THIRTY, 2)] if settings().max_examples > 100 else []

Edges = tuple[float, float, float, float]


def texts(root: ET.Element) -> list[tuple[str, Edges]]:
    """Every text, and where it is: left, top, right, bottom."""
    found = []
    for text in root.iter(f"{SVG}text"):
        classes = text.get("class", "").split()
        size = float(re.search(r"font-size:([\d.]+)px", " ".join(CLASSES.get(name, "") for name in classes))[1])
        x, y, wide = float(text.get("x")), float(text.get("y")), text_width(text.text or "", size)
        left = x - wide / 2 if "c" in classes else x - wide if "e" in classes else x
        found.append((text.text or "", (left, y - 0.75 * size, left + wide, y + 0.2 * size)))
    return found


def boxes(root: ET.Element) -> list[Edges]:
    """Boxes with words in them, and sums; not the panels around them."""
    found = [rect for rect in root.iter(f"{SVG}rect") if rect.get("class") == "box-of" and rect.find(f"{SVG}title") is not None]
    edges = [tuple(float(rect.get(name)) for name in ("x", "y", "width", "height")) for rect in found]
    sums = [tuple(float(one.get(name)) for name in ("cx", "cy", "r")) for one in root.iter(f"{SVG}circle") if not one.get("class")]
    return [(x, y, x + w, y + h) for x, y, w, h in edges] + [(x - r, y - r, x + r, y + r) for x, y, r in sums]


def tabs(root: ET.Element) -> list[Edges]:
    """The strips in boxes that say what the variants of a part have of their own."""
    found = [
        [float(rect.get(name)) for name in ("x", "y", "width", "height")]
        for rect in root.iter(f"{SVG}rect")
        if rect.get("class") == "tab-of"
    ]
    return [(x, y, x + w, y + h) for x, y, w, h in found]


def lines(root: ET.Element) -> list[Edges]:
    """The straight pieces of arrows and of the stream."""
    found: list[Edges] = []
    for path in (path for path in root.iter(f"{SVG}path") if path.get("class") in ("wire", "stream", "streams")):
        points = [(float(x), float(y)) for x, y in re.findall(r"([\d.]+) ([\d.]+)(?=[A-Z]|$)", path.get("d"))]
        found += [(min(a[0], b[0]), min(a[1], b[1]), max(a[0], b[0]), max(a[1], b[1])) for a, b in zip(points, points[1:])]
    return found


def over(a: Edges, b: Edges, slack: float = 0.6) -> bool:
    return min(a[2], b[2]) - max(a[0], b[0]) > slack and min(a[3], b[3]) - max(a[1], b[1]) > slack


@pytest.mark.long
@pytest.mark.parametrize("wide", [True, False], ids=["wide", "narrow"])
@pytest.mark.parametrize("names", [*SOME, *PAIRS], ids=" ".join)
def test_nothing_is_over_anything_else(names, wide):
    svg = alongside_of(tuple(map(preset, names)), wide)
    root = ET.fromstring(svg)
    width, words, drawn, wires = float(root.get("width")), texts(root), boxes(root), lines(root)
    assert len(wires) > 5 * len(names)
    assert not [(a, b) for a, b in combinations(drawn, 2) if over(a, b)]
    assert not [(a, b) for (a, one), (b, other) in combinations(words, 2) if over(one, other, 1.5)]
    strips = tabs(root)
    assert not [(a, b) for a, b in combinations(strips, 2) if over(a, b)]
    assert all(any(b[0] <= a[0] and b[1] <= a[1] and a[2] <= b[2] and a[3] <= b[3] for b in drawn) for a in strips)
    drawn += strips
    for text, (left, top, right, bottom) in words:
        assert left >= -1 and right <= width + 1, text
        middle = (left + right) / 2, (top + bottom) / 2
        inside = [box for box in drawn if box[0] < middle[0] < box[2] and box[1] < middle[1] < box[3]]
        assert all(box[0] <= left + 1 and right <= box[2] + 1 and box[1] <= top + 2 and bottom <= box[3] + 2 for box in inside), text
        assert inside or not any(over((left, top, right, bottom), box, 2) for box in drawn), f"{text} is over a box that it is not in"
        struck = [w for w in wires if left + 1 < w[2] and w[0] < right - 1 and top + 1 < w[3] and w[1] < bottom - 1]
        assert inside or not struck, f"a line goes through {text}"


@pytest.mark.parametrize("names", SOME, ids=" ".join)
def test_rows_are_in_line_and_marks_are_true(names):
    archs = tuple(map(preset, names))
    drawing = Alongside(archs, [graph(arch) for arch in archs], [{"attention": 1}] * len(archs), 1_216, True)
    svg = drawing.draw()
    stacks = [[cell for frame in stack.frames for step in frame.steps for cell in step] for stack in drawing.stacks]
    rows = [row for span, _ in drawing.frames for row in span.rows]
    for n, cells in enumerate(stacks):
        assert [row.cells[n] for row in rows if row.cells[n] is not None and row.cells[n].kind != "frame"] == cells, "all, in order"
    assert [row.top for row in rows] == sorted(row.top for row in rows)
    assert all(len({cell.kind for cell in row.cells if cell}) == 1 for row in rows)
    marks, gaps = svg.count('class="differs-at"'), svg.count('class="gap-of"')
    if len({*archs}) == 1:
        assert marks == 0 and gaps == 0
    missing = sum(item is None for span, _ in drawing.frames for item in span.items)
    assert marks > 0 or len({*archs}) == 1 and gaps >= missing


def test_what_differs_is_said():
    svg = alongside_of(tuple(map(preset, ("deepseek-v3", "kimi-k2", "qwen3-235b-a22b"))))
    said = [text for text, _ in texts(ET.fromstring(svg))]
    for one, other in (
        ("60 layers", "not 58 layers"),
        ("64 heads", "not 128 heads"),
        ("8 of 384", "not 8 of 256"),
        ("4,096 wide", "not 7,168 wide"),
    ):
        assert said.index(other) == said.index(one, said.index(other) - 1) + 1
    assert svg.count('class="gap-of"') == 1 and "no layers with" in said
    dense = edited(preset("llama-3-8b"), "parts.dense.d_ff", 8_192)
    assert "not d_ff 14,336" in [text for text, _ in texts(ET.fromstring(alongside_of((preset("llama-3-8b"), dense))))]


@pytest.mark.parametrize("wide", [True, False], ids=["wide", "narrow"])
@pytest.mark.parametrize("name", ["gemma-3n-e2b", "gemma-4-e4b", "deepseek-v4-pro", "gpt-oss-20b", "laguna-xs.2"])
def test_every_variant_of_a_part_is_said(name, wide):
    """In the words of the model's own picture, and how many layers have it."""
    svg = alongside_of((preset("gpt2"), preset(name)), wide)
    said = " ".join(text for text, _ in texts(ET.fromstring(svg)) if text)
    frames = [frame for cycle in graph(preset(name)).graph["rhythm"] for frame in cycle["frames"]]
    own = [words for frame in frames for place in frame["places"] for words in place["own"] if len(place["own"]) > 1]
    assert len(tabs(ET.fromstring(svg))) == len(own) > 1
    plain = said.replace("- ", "-").replace(" · ", " ")
    assert all(" ".join(words).replace(" · ", " ") in plain for words in own)


def test_streams_and_what_scales_a_layer_are_marked():
    said = [text for text, _ in texts(ET.fromstring(alongside_of((preset("llama-3-8b"), preset("gemma-4-e4b")))))]
    assert said[said.index("Layer scale", said.index("Layer scale") + 1) + 1] == "none in A"
    svg = alongside_of((preset("deepseek-v3"), preset("deepseek-v4-pro")))
    said = [text for text, _ in texts(ET.fromstring(svg))]
    assert said.count("Read streams") == 3 and said.count("Merge streams") == 2, "the note of two alike is written once"
    assert svg.count('class="streams"') > 4 and alongside_of((preset("deepseek-v3"), preset("gpt2"))).count('class="streams"') == 0


def test_a_phone_shows_what_differs():
    for archs in (("deepseek-v3", "kimi-k2"), ("llama-3-8b", "gpt-oss-20b")):
        said = [text for text, _ in texts(ET.fromstring(alongside_of(tuple(map(preset, archs)), False)))]
        assert {"deepseek-v3": "not 8 of 256", "llama-3-8b": "not Feed-forward"}[archs[0]] in said


def test_lists_are_aligned_by_what_is_alike():
    def same(a: str, b: str) -> float:
        return a == b

    assert aligned(["abcd", "bd", "ebf"], same) == [
        (None, None, "e"), ("a", None, None), ("b", "b", "b"), (None, None, "f"), ("c", None, None), ("d", "d", None),
    ]  # fmt: skip
    assert aligned(["", "ab"], same) == [(None, "a"), (None, "b")]


def test_a_hostile_title_is_text():
    own = edited(preset("gpt2"), "title", '<script>alert("1")</script> & 通义 ' + "x" * 60)
    for wide in (True, False):
        root = ET.fromstring(alongside_of((preset("gpt2"), own), wide))
        assert not [*root.iter(f"{SVG}script")]
        assert core.load("gpt2").title in [text for text, _ in texts(root)]
