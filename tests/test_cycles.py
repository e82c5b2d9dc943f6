"""The rhythm of layers on patterns made by hand, and on any: nested cycles, frames, the words of what differs; and pictures in which
no words overlap."""

import re
import xml.etree.ElementTree as ET
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import core
from app import facts
from app.picture.pen import CLASSES, text_width
from core.cycles import cycles, rhythm, variants

SVG = "{http://www.w3.org/2000/svg}"


def shape(pattern: str) -> list[str]:
    """The cycles of a pattern of forms, in words: whole cycles and rest, then how many of each form one cycle has."""
    return [
        f"{c.whole}+{c.rest} " + ":".join(str(f.times) for f in c.frames) + "" * c.ordered + "?" * (not c.ordered) for c in cycles(pattern)
    ]


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ("a", ["1+0 1"]),
        ("a" * 32, ["32+0 1"]),
        ("aaab" * 12, ["12+0 3:1"]),  # a cycle of two forms (Qwen3-Next)
        ("ab" * 24, ["24+0 1:1"]),
        ("aab" * 8 + "aa", ["8+2 2:1"]),  # the last cycle is cut (RecurrentGemma)
        ("aaa" + "b" * 58, ["3+0 1", "58+0 1"]),  # first layers of another form (DeepSeek-V3)
        ("a" + "bbbbc" * 4, ["1+0 1", "4+0 4:1"]),  # a first layer, then a cycle
        ("abababcb" * 4, ["4+0 3:4:1?"]),  # a cycle whose forms alternate within it (Jamba)
        ("a" * 10 + "b" + "a" * 10, ["0+0 20:1?"]),  # one odd layer in the middle
        ("aaabaaaab" * 1 + "aab", ["0+0 9:3?"]),  # no period
        ("abcd", ["1+0 1"] * 4),  # all different
        ("abcdefghij", ["0+0 1:1:1:1:1:1:1:1:1:1"]),  # and too many
    ],
)
def test_patterns(pattern, wanted):
    assert shape(pattern) == wanted


@given(st.text("abcd", min_size=1, max_size=60))
def test_cycles_hold_every_layer_once(pattern):
    found = cycles(pattern)
    assert [layer for c in found for layer in range(c.first, c.stop)] == list(range(len(pattern)))
    for cycle in found:
        assert sorted(layer for frame in cycle.frames for layer in frame.layers) == list(range(cycle.first, cycle.stop))
        for frame in cycle.frames:
            assert len({pattern[layer] for layer in frame.layers}) == 1
        if cycle.length:
            part = pattern[cycle.first : cycle.stop]
            assert part[: -cycle.length or None] == part[cycle.length :] or len(part) == cycle.length or len(set(part)) == 1
            assert sum(frame.times for frame in cycle.frames) == cycle.length


@pytest.mark.parametrize(
    ("name", "frames"), [("gpt-oss-20b", 1), ("gemma-4-e2b", 1), ("deepseek-v4-pro", 1), ("qwen3-next-80b-a3b", 2), ("deepseek-v3", 2)]
)
def test_layers_that_differ_only_in_settings_share_a_frame(name, frames):
    assert sum(len(cycle.frames) for cycle in rhythm(core.load(name))) == frames


def test_what_differs_is_said():
    arch = core.load("gpt-oss-20b")
    words = variants({name: arch.part(name) for name in ("local", "global")})
    assert words.title == "Grouped-query attention" and words.facts == ("64 heads · 8 KV",)
    assert words.own == (("window 128",), ("all tokens",)) and set(words.traits) == {"RoPE, YaRN", "sinks", "bias"}


def test_a_figure_beside_a_shared_box_is_true_of_all_its_parts():
    """gpt-oss keeps 128 tokens in its sliding layers alone; a token leaves no whole entry in DeepSeek-V4's compressed caches."""
    words = [word for word, *_ in placed(facts.picture_of(core.load("gpt-oss-20b")))]
    assert "8 queries to 1 K/V" in words and not {"for the last 128 tokens", "2.0 KB of cache"} & set(words)
    sparse = core.load("deepseek-v4-pro").part("sparse")
    assert list(sparse.quantities(7168)) == []
    local = core.load("gpt-oss-20b").part("local")
    assert list(local.quantities(2880))[1] == ("2.0 KB of cache", "a token and layer, in bf16", "for the last 128 tokens")


def placed(svg: str) -> list[tuple[str, float, float, float, float]]:
    """The words of a picture that are not in an inset, each with its left, top, right and bottom edge."""
    root = ET.fromstring(svg)
    inner = {id(one) for group in root.iter(f"{SVG}g") if group.get("transform") for one in group.iter()}
    found = []
    for text in (text for text in root.iter(f"{SVG}text") if id(text) not in inner and not text.get("transform") and text.text):
        kinds = (text.get("class") or "").split()
        rules = ";".join(CLASSES[kind] for kind in kinds)
        size = float(re.findall(r"font-size:([\d.]+)px", rules)[-1])
        x, y, w = float(text.get("x")), float(text.get("y")), text_width(text.text, size)
        left = x - w / 2 if "c" in kinds else x - w if "e" in kinds else x
        found.append((text.text, left, y - 0.75 * size, left + w, y + 0.1 * size))
    return found


def overlaps(svg: str) -> list[str]:
    words = placed(svg)
    return [
        f"{a[0]!r} and {b[0]!r}"
        for a, b in combinations(words, 2)
        if a[1] < b[3] - 1 and b[1] < a[3] - 1 and a[2] < b[4] - 1 and b[2] < a[4] - 1
    ]


@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize("name", core.presets())
def test_no_words_overlap(name, wide):
    arch = core.load(name)
    svg = facts.picture_of(arch, "", wide)
    width = float(re.search(r'width="(\d+)"', svg)[1])
    assert not overlaps(svg)
    assert all(left >= 0 and right <= width for _, left, _, right, _ in placed(svg))
