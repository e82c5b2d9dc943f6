"""The rhythm of layers on patterns made by hand, and on any: nested cycles, frames, the words of what differs; and pictures of which
every word can be read."""

import re
import xml.etree.ElementTree as ET
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import architectures

import core
from app import facts
from app.kit.theme import DARK, LIGHT
from app.picture.column import turns
from app.picture.pen import CLASSES, text_width
from app.picture.ribbon import toned
from app.picture.sight import sights
from core import edits
from core.cycles import cycles, looks, rhythm, variants, versus
from core.spec import parse

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
        ("aa" + "ab" * 15, ["2+0 1", "15+0 1:1"]),  # also where the cycle has the form of the first layers
        ("abababcb" * 4, ["4+0 3:4:1?"]),  # a cycle whose forms alternate within it (Jamba)
        ("a" * 10 + "b" + "a" * 10, ["10+0 1", "1+0 1", "10+0 1"]),  # one odd layer in the middle
        ("a" * 10 + "b" + "a" * 9 + "b" + "a" * 11, ["0+0 30:2?"]),  # two of them
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
    words = [one.words for one in placed(facts.picture_of(core.load("gpt-oss-20b")))]
    assert {"8 queries to 1 K/V", "2.0 KB of cache", "12 layers: the last 128"} <= {*words}
    assert {"heads 64 wide", "stored in mxfp4", "context, YaRN × 32"} <= {*words} and "for the last 128 tokens" not in words
    sparse = core.load("deepseek-v4-pro").part("sparse")
    assert list(sparse.quantities(7168)) == []
    local = core.load("gpt-oss-20b").part("local")
    assert list(local.quantities(2880))[1] == ("2.0 KB of cache", "a token and layer, in bf16", "for the last 128 tokens")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("deepseek-v3", ["129,280 tokens", "61 layers", "first 3 layers dense", "2,048 hidden", "7,168 channels", "163,840 tokens"]),
        ("gpt-oss-20b", ["24 layers", "all with experts", "8 queries to 1 K/V", "heads 64 wide"]),
        ("llama-4-maverick", ["48 layers", "24 of 48 with experts"]),
        ("nemotron-3-nano-30b-a3b", ["52 layers", "23 of 52 with experts", "no cache"]),
        ("deepseek-v4-pro", ["4 streams", "of 7,168 channels", "sinks"]),
        ("command-r-plus", ["RoPE", "QK norm"]),  # on boxes side by side too
        ("gemma-2-9b", ["softcap 30 · 256,000 logits", "3,584 wide · × √3,584", "21 layers: the last 4,096"]),
        ("zamba2-7b", ["reads embedding", "adapters 128"]),
        ("deepseek-v4-pro", ["stored in mxfp4", "context, YaRN × 16"]),
        (
            "gemma-4-e2b",
            ["8 queries to 1 K/V", "heads 256 or 512 wide", "67.1 M values", "tied: one matrix"],
        ),  # though heads differ in width
    ],
)
def test_quantities_stand_in_the_margin_and_traits_on_boxes(name, said):
    for wide in (True, False):
        words = [one.words for one in placed(facts.picture_of(core.load(name), "", wide))]
        assert [word for word in said if word not in words] == []
    assert ("layers dense" in " ".join(words)) == (name == "deepseek-v3")


@pytest.mark.parametrize(
    ("name", "reaches"),
    [
        ("gpt-oss-20b", [128, None]),
        ("gemma-4-e2b", [512, None]),  # once each, though two parts have each
        ("mistral-7b", [4096]),
        ("llama-3-8b", []),
        ("deepseek-v4-flash", []),  # its window is only a part of what a token sees
    ],
)
def test_an_inset_shows_how_far_a_token_sees(name, reaches):
    g = core.graph(core.load(name))
    node = next(node for node, role in g.nodes(data="role") if role == "attention")
    assert [reach for _, reach, _ in sights(g, node)] == reaches
    words = [one.words for one in placed(facts.picture_of(core.load(name), "", False))]
    assert [int(word.split()[-2].replace(",", "")) for word in words if word.startswith("at most the last")] == [n for n in reaches if n]
    assert words.count("first token") == (reaches != [])


def layered(layers: list[dict], **parts: dict) -> core.Architecture:
    made = {name: {"kind": "attention", "heads": 4, "kv_heads": 1, "head_dim": 64, **given} for name, given in parts.items()}
    made |= {"mlp": {"kind": "feed_forward", "d_ff": 512}}
    sizes = {"vocab_size": 512, "d_model": 256, "context": 4_096, "position": {"kind": "rope"}}
    return parse({"name": "layered", "title": "Layered", **sizes, "parts": made, "layers": layers})


def captions(arch: core.Architecture) -> list[str]:
    return [one.words for one in placed(facts.picture_of(arch))]


def test_a_frame_says_how_often_and_where():
    """With separators, no list of layers cut, and not "one block" if no two layers are alike."""
    alike = captions(layered([{"repeat": 1_024, "blocks": [["a", "mlp"]]}], a={}))
    assert {"1,024 ×", "one block"} <= {*alike}
    half = captions(layered([{"repeat": 6, "blocks": [["a", "mlp"], ["b", "mlp"]]}], a={}, b={"sight": {"window": 64}}))
    assert {"12 ×", "one block"} <= {*half}
    parts = {f"a{n}": {"sight": {"window": 64 + n}} for n in range(6)}
    different = captions(layered([{"blocks": [[name, "mlp"]]} for name in parts], **parts))
    assert {"6 ×", "all different"} <= {*different}
    blocks = [["a", "mlp"], ["mlp", "mlp"]]
    cycle = {n: captions(layered([{"repeat": n, "blocks": blocks}], a={})) for n in (15, 400)}
    assert {"layers 0, 2, … 28", "layers 1, 3, … 29"} <= {*cycle[15]} and {"400 ×", "layers 0, 2, … 798"} <= {*cycle[400]}
    late = captions(layered([{"repeat": 122, "blocks": [["a", "mlp"]]}, {"repeat": 60, "blocks": [["mlp"], ["a", "mlp"]]}], a={}))
    assert {"60 of layers 122-240", "182 of layers 0-241"} <= {*late}


def test_a_tab_says_its_layers_to_a_screen_reader():
    svg = facts.picture_of(layered([{"blocks": [["a", "mlp"], ["b", "mlp"], ["b", "mlp"]]}], a={}, b={"sight": {"window": 64}}))
    assert {"all tokens, layer 0", "window 64, layers 1-2"} <= {*re.findall(r'aria-label="([^"]*)"', svg)}


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        ("window 128", "full", "window 128 to full"),
        ("low attention", "high attention", "low to high attention"),
        ("d_ff 6,144", "d_ff 12,288", "d_ff 6,144 to 12,288"),
        ("64 heads · 8 KV", "64 heads · 4 KV", "64 heads · 8 to 4 KV"),
        ("no value rank", "value rank 64", "without to with value rank"),
        ("bias", "", "with to without bias"),
        ("attention", "attention 2", "attention to attention 2"),
    ],
)
def test_a_ratio_is_said_in_words(one, other, said):
    assert versus(one, other, True) == said and versus(one, other, False) == said.replace(" to ", ", then ")


def other(kind: str = "", **fields) -> core.Architecture:
    """Llama with another attention in every fourth layer: of another kind, or with other settings."""
    llama = core.load("llama-3-8b")
    part = dict(edits.fresh(llama, kind)).popitem()[1] if kind else llama.parts["attention"].model_dump(mode="json") | fields
    return edits.every(llama, 4, "other", "attention", new={"other": part})


@pytest.mark.parametrize(
    ("arch", "said"),
    [
        (other("block_sparse_attention"), "grouped-query to block-sparse"),
        (other("differential_attention"), "grouped-query to differential attention"),
        (other("dynamic_mask_attention"), "grouped-query to dynamic mask"),
        (other("convolutional_attention"), "grouped-query to convolutional"),
        (other("mamba2"), "attention to Mamba-2"),
        (other(kv_heads=4), "32 heads · 8 to 4 KV"),
        (other(kv_heads=1), "grouped-query to multi-query"),
        (other(head_dim=64), "head dim 128 to 64"),
        (other(position={"kind": "none"}), "RoPE to NoPE"),
        (other(bias=True), "without to with bias"),
        (core.load("gemma-4-12b"), "window 1K to full"),  # though heads differ too
        (core.load("deepseek-v4-flash"), "window, then compressed attention"),  # not by turns
        (core.load("rwkv-7-world-1.5b"), "without, then with value rank"),
        (core.load("granite-4.0-h-1b"), "Mamba-2 to attention attention 6th of 10"),
        (core.load("jamba-1.5-mini"), "attention 5th of 8 MoE every 2nd"),
    ],
    ids=lambda one: one.name if isinstance(one, core.Architecture) else one,
)
def test_a_caption_says_what_a_ratio_is_of(arch, said):
    assert list(ratios(facts.picture_of(arch)).values()) == [said]


@pytest.mark.parametrize(
    ("name", "said"), [("gemma-3-27b", "5 : 1"), ("k-exaone-236b", "3 : 1"), ("inkling", "5 : 1"), ("hy4-preview", "1 : 3")]
)
def test_a_ratio_is_of_one_turn_also_where_the_last_is_cut_short(name, said):
    assert said in ratios(facts.picture_of(core.load(name)))


@pytest.mark.parametrize(
    ("one", "two", "said"),
    [
        ([0, 1, 3, 4, 6], [2, 5], (2, 1)),
        ([0, 1, 4, 5], [2, 3, 6, 7], (1, 1)),
        ([0, 1], [2, 3, 4, 5, 6], (2, 5)),
        ([5, 7, 9], [6, 8], (1, 1)),
    ],
)
def test_turns(one, two, said):
    assert turns(one, two) == said


def test_the_caption_of_a_cycle_ends_before_the_stream():
    llama = core.load("llama-3-8b")
    arch = edits.every(llama, 5, "mamba", "attention", new={"mamba": dict(edits.fresh(llama, "mamba2")).popitem()[1]})
    words = {one.words: one for one in placed(facts.picture_of(arch))}
    assert {"a cycle of 5,", "and 2 more"} <= words.keys()
    assert words["and 2 more"].bottom < words["1 ×"].top


def test_layers_without_a_cycle_say_what_they_have_of_one():
    """In their frames, and each part's own cycle."""
    llama = core.load("llama-3-8b")
    new = {"delta": dict(edits.fresh(llama, "mamba2")).popitem()[1]}
    odd = captions(edits.every(llama, 32, "delta", start=17, new=new))
    assert {"17 ×", "layers 0-16", "1 ×", "layer 17", "14 ×", "layers 18-31"} <= {*odd}
    two = captions(edits.put(llama, "delta", [10, 20], "instead", "attention", new))
    assert {"in 5 runs", "15 : 1", "layers 10, 20", "30 of layers 0-31"} <= {*two}
    eighth = edits.every(llama, 8, "delta", new=new)
    moe = edits.every(eighth, 6, "moe", new=edits.fresh(llama, "experts"))
    words = captions(moe)
    assert {"cycles of 8 and 6", "7 : 1", "Mamba-2 every 8th", "MoE every 6th"} <= {*words} and not [w for w in words if "no fixed" in w]
    some = captions(edits.put(eighth, "moe", [10, 21, 22], "instead", "dense", edits.fresh(llama, "experts")))
    assert {"Mamba-2 every 8th", "7 : 1", "layers 10, 21-22"} <= {*some} and "no fixed cycle" not in some


def ratios(svg: str) -> dict[str, str]:
    """The ratios of a picture, with the captions below them."""
    words = placed(svg)
    heads = [one for one in words if re.fullmatch(r"\d+( : \d+)+", one.words)]
    below = {head: [one for one in words if -6 < one.top - head.bottom < 22 and abs(one.right - head.right) < 1] for head in heads}
    return {head.words: " ".join(one.words for one in found) for head, found in below.items()}


def test_a_tone_means_the_same_in_all_pictures():
    """Dark sees all tokens and light some of them; of several, the one that keeps more is the first."""
    for name, wanted in {
        "gpt-oss-20b": {"local": 0, "global": 0, "moe": 0},  # one that sees all, one that sees some
        "gemma-4-e2b": {"local": 0, "global": 0, "local_shared": 0, "global_shared": 0},  # borrowers are hollow
        "deepseek-v4-flash": {"local": 0, "sparse": 0, "heavy": 1, "moe": 0, "hash_moe": 1},
        "deepseek-v4-pro": {"sparse": 0, "heavy": 1, "moe": 0, "hash_moe": 1},
        "smollm3-3b": {"attention": 0, "nope": 1},
        "openelm-270m": {"attention20": 0, "attention16": 1, "attention12": 2, "dense768": 0, "dense5120": 3},
    }.items():
        found = looks(core.load(name))
        assert wanted == {part: look for part, look in found.items() if part in wanted}
    tones = [{toned("attention", reach, look) for look in range(4)} for reach in (None, 128)]
    assert len(tones[0] | tones[1]) == 8 and {tone.colour for tone in tones[0] | tones[1]} <= set(LIGHT) & set(DARK)


@pytest.mark.parametrize("name", ["gpt-oss-20b", "gemma-4-e2b", "smollm3-3b", "openelm-270m"])
def test_a_tab_has_the_look_of_its_layers(name):
    groups = [*ET.fromstring(facts.picture_of(core.load(name))).iter(f"{SVG}g")]
    cells = {one.findall(f"{SVG}rect")[0].get("style") for one in groups if one.get("data-layer")}
    signs = {rect.get("style") for one in groups if one.get("tabindex") and one.get("data-of") for rect in one.findall(f"{SVG}rect")[1:]}
    assert cells <= signs and len(cells) > 1


class Word(NamedTuple):
    words: str
    left: float
    top: float
    right: float
    bottom: float
    size: float  # of its font, in the picture's units
    beyond: float  # how far it passes the border of its box


def placed(svg: str) -> list[Word]:
    """The words of a picture, but for turned ones."""
    found = []

    def visit(element: ET.Element, x: float, y: float, scale: float, box: ET.Element | None) -> None:
        if moved := element.get("transform"):
            if "rotate" in moved:
                return
            dx, dy, *more = map(float, re.findall(r"-?[\d.]+", moved))
            x, y, scale = x + dx, y + dy, scale * (more[0] if more else 1)
        if element.get("data-node") and element.tag == f"{SVG}g":
            box = element.find(f"{SVG}rect")
        if element.tag == f"{SVG}text" and element.text:
            kinds = (element.get("class") or "").split()
            size = float(re.findall(r"font-size:([\d.]+)px", ";".join(CLASSES[kind] for kind in kinds))[-1])
            at, width = float(element.get("x", 0)), text_width(element.text, size)
            left, base = at - width / 2 if "c" in kinds else at - width if "e" in kinds else at, float(element.get("y", 0))
            beyond = 0.0
            if box is not None:
                start, wide = float(box.get("x", 0)), float(box.get("width", 0))
                beyond = max(start - left, left + width - start - wide)
            ends = (x + scale * left, y + scale * (base - 0.75 * size), x + scale * (left + width), y + scale * (base + 0.1 * size))
            found.append(Word(element.text, *ends, scale * size, beyond))
        for inner in element:
            visit(inner, x, y, scale, box)

    visit(ET.fromstring(svg), 0, 0, 1, None)
    return found


PAGE = {True: 830 / 1012, False: 326 / 396}  # the scale of a wide picture on a page of 1280 px, and of a narrow one on 390 px


def faults(svg: str, wide: bool) -> list[str]:
    """What cannot be read: words cut, on others, below a letter, beyond the border of their box or of the picture, or too small."""
    words = placed(svg)
    width = float(re.search(r'width="(\d+)"', svg)[1])
    found = [f"{one.words!r} is {PAGE[wide] * one.size:.2f} px" for one in words if PAGE[wide] * one.size < 9]
    found += [f"{one.words!r} passes its box" for one in words if one.beyond > 0.1]
    found += [f"{one.words!r} passes the picture" for one in words if one.left < 0 or one.right > width]
    found += [f"{one.words!r} is cut" for one in words if one.words.endswith("…")]
    letters = [(float(x), float(y)) for x, y in re.findall(r'<circle cx="([^"]*)" cy="([^"]*)" r="10" style="fill:var\(--ink\)', svg)]
    found += [
        f"a letter is on {one.words!r}"
        for one in words
        if any(
            one.left < x + 10 and x - 10 < one.right and one.top < y + 10 and y - 10 < one.bottom for x, y in letters if len(one.words) > 1
        )
    ]
    words.sort(key=lambda one: one.top)
    for n, a in enumerate(words):
        for b in words[n + 1 :]:
            if b.top >= a.bottom - 1:
                break
            if a.left < b.right - 1 and b.left < a.right - 1:
                found.append(f"{a.words!r} is on {b.words!r}")
    return found


@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize("name", core.presets())
def test_every_word_of_a_preset_can_be_read(name, wide):
    svg = facts.picture_of(core.load(name), "", wide)
    assert not faults(svg, wide)
    assert all(ratios(svg).values()), "a ratio says what it is of"
    foot = next(one for one in placed(svg) if one.words == "Tokenised text")
    assert not wide or PAGE[wide] * foot.bottom <= 2 * 900, "the column is at most two screens high"


@pytest.mark.parametrize(
    "kinds",
    [
        ("attention", "mamba2", "experts"),
        ("convolutional_attention", "native_sparse_attention", "block_sparse_attention", "experts"),
        ("gated_delta_net", "attention", "short_convolution", "product_key_experts"),
        ("convolutional_attention",) * 4,
    ],
)
def test_every_word_of_parts_side_by_side_can_be_read(kinds):
    llama = core.load("llama-3-8b")
    fresh = {kind: dict(next(iter(edits.fresh(llama, kind).values()))) for kind in kinds}
    parts = {f"part{n}": fresh[kind] | ({"sight": {"window": 1_024}} if kind == "attention" else {}) for n, kind in enumerate(kinds)}
    arch = parse(llama.model_dump(mode="json") | {"parts": parts, "layers": [{"repeat": 9, "blocks": [[{"parts": [*parts]}]]}]})
    for wide in (True, False):
        svg = facts.picture_of(arch, "", wide)
        assert not faults(svg, wide)
        assert ("attention" in kinds) == ("window 1K" in " ".join(one.words for one in placed(svg))), "how far it sees is on the box"


@settings(max_examples=200 if settings.default.max_examples > 1_000 else 5)
@given(architectures)
def test_every_word_of_any_architecture_can_be_read(arch):
    """Two hundred of them in `make sweep`."""
    for wide in (True, False):
        assert not faults(facts.picture_of(arch, "", wide), wide)
