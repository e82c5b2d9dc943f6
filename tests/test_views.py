"""What the app draws, without a browser: pictures that are whole, forms from the schema, charts that plotly accepts."""

import re
import tomllib
import xml.etree.ElementTree as ET
from itertools import combinations
from pathlib import Path

import plotly.graph_objects as go
import pytest
from hypothesis import given
from strategies import architectures
from streamlit.testing.v1 import AppTest

import core
from app import facts
from app.kit import charts, forms
from app.kit.cards import card
from app.kit.theme import DARK, LIGHT
from app.picture.diagram import diagram
from app.picture.layered import layered
from app.picture.pen import text_width
from app.picture.ribbon import cells, tone
from core import kinds
from core.edits import swapped
from core.facets import entry
from core.hardware import ACCELERATORS
from core.parts import PARTS
from core.roles import ROLES
from core.routing import route
from core.spec import Unsupported, edited, parse

SVG = "{http://www.w3.org/2000/svg}"


def check_picture(arch: core.Architecture, wide: bool) -> None:
    g = core.graph(arch)
    text = diagram(g, facts.parameters(arch), facts.subtitle(arch), "layers.0", facts.glimpses(arch), wide=wide)
    svg = ET.fromstring(text)
    width, height = (float(svg.get(side)) for side in ("width", "height"))
    drawn = {element.get("data-node") for element in svg.iter() if element.get("data-node")}
    assert drawn <= set(g), "a box without a node"
    blocks = {node for node, data in g.nodes(data=True) if data["kind"] == "block"}
    assert {"embedding", "head", "tokens"} | blocks <= drawn
    parts = {node: data["part"] for node, data in g.nodes(data=True) if "role" in data and not node.startswith("mtp")}
    shown = {part for node, part in parts.items() if node in drawn}
    assert set(parts.values()) == shown or re.search(r"and \d+ more", text), "every part is in the picture, in one of its layers"
    for element in svg.iter():
        colours = [part.split(")")[0] for part in (element.get("style") or "").split("var(--")[1:]]
        assert set(colours) <= set(LIGHT), "a colour that the palette does not have"
    inner = {id(element) for group in svg.iter(f"{SVG}g") if group.get("transform") for element in group.iter()}
    for rect in (rect for rect in svg.iter(f"{SVG}rect") if id(rect) not in inner):
        x, w = float(rect.get("x") or 0), float(rect.get("width"))
        assert x >= 0 and x + w <= width + 1 and float(rect.get("height")) >= 0
    assert height > 300 and not re.search(r"\b(undefined|nan|inf)\b", text)


@pytest.mark.parametrize("name", core.presets())
@pytest.mark.parametrize("wide", [True, False])
def test_every_presets_picture_is_whole(name, wide):
    check_picture(core.load(name), wide)


@given(architectures)
def test_any_picture_is_whole(arch):
    check_picture(arch, wide=True)
    check_picture(arch, wide=False)
    ET.fromstring(card(entry(arch)).replace("&nbsp;", " "))


@pytest.mark.parametrize("name", core.presets())
def test_roles_add_up_to_the_model(name):
    arch = core.load(name)
    assert sum(facts.parameters(arch).values()) == core.graph(arch).nodes["model"]["parameters"]


def test_what_a_person_wrote_is_escaped():
    hostile = "<script>alert(1)</script>\"&'"
    arch = edited(edited(core.load("gpt2"), "title", hostile), "note", hostile)
    for text in (facts.picture_file(arch), card(entry(arch))):
        assert "<script" not in text
        ET.fromstring(text)


@pytest.mark.parametrize("name", ["deepseek-v3", "gpt2"])
def test_insets_have_no_crossings(name):
    """Traced dataflow is laid out so that no two tensors cross."""
    from app.picture.inset import Inset

    g = core.graph(core.load(name))
    for node, data in g.nodes(data=True):
        if "role" in data and not node.startswith("mtp"):
            assert Inset(g, node, 560).layout.crossings == 0, node


def test_a_layout_keeps_boxes_apart():
    boxes = tuple((str(i), 60 + 10 * i, 20) for i in range(8))
    edges = tuple(tuple(edge) for edge in "01 02 03 14 24 35 46 56 06 67".split())
    layout = layered(boxes, edges)
    for rank in layout.order:
        for a, b in zip(rank, rank[1:]):
            left, right = layout.boxes[a], layout.boxes[b]
            assert left.x + left.width / 2 <= right.x - right.width / 2
    for a, b in edges:
        assert layout.boxes[a].rank > layout.boxes[b].rank, "from below to above"


def test_the_palettes_say_the_same_roles():
    assert LIGHT.keys() == DARK.keys() and ROLES.keys() <= LIGHT.keys()
    used = {row.role for name in core.presets() for row in core.cost(core.load(name)).rows}
    assert used <= set(ROLES)
    config = tomllib.loads(Path("app/.streamlit/config.toml").read_text())
    for palette, theme in ((LIGHT, config["theme"]["light"]), (DARK, config["theme"]["dark"])):
        assert (theme["primaryColor"], theme["backgroundColor"], theme["textColor"]) == (palette["accent"], palette["page"], palette["ink"])


def contrast(a: str, b: str) -> float:
    def luminance(colour: str) -> float:
        channels = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_words_can_be_read(palette):
    """WCAG AA for text on what it stands on."""
    pairs = [("ink", "page"), ("soft", "page"), ("ink", "panel"), ("accent", "page"), ("bad", "page"), ("accent", "accent-soft")]
    pairs += [(f"{role}-ink", role) for role in ("attention", "experts", "feed_forward", "shared")]
    pairs += [
        ("ink", "linear"),
        ("ink", "embedding-tint"),
        ("cache-ink", "cache-tint"),
        ("soft", "experts-tint"),
        ("soft", "feed_forward-tint"),
    ]
    for ink, ground in pairs:
        assert contrast(palette[ink], palette[ground]) >= 4.5, (ink, ground, contrast(palette[ink], palette[ground]))


def test_text_is_measured_about_right():
    assert text_width("Multi-head latent attention", 13.5) == pytest.approx(180, rel=0.08)
    assert text_width("iiii") < text_width("mmmm") / 2


# ---- forms ----


@pytest.mark.parametrize("kind", PARTS)
def test_every_part_has_a_form_and_a_starting_value(kind):
    """A new technique needs no line in the app."""
    plain = edited(core.load("deepseek-v3"), "mtp", None)  # which reads nothing that only layers have
    models = (plain, core.load("qwen3.8-flash-next"), core.load("gemma-3n-e2b"))
    base, name = next((m, n) for m in models for n in reversed(m.parts) if kinds.stands(kind, m.parts[n]))
    arch = swapped(base, name, kind)
    name = next((part for part in arch.parts if part not in base.parts), name)
    found = list(forms.controls(arch.parts[name], f"parts.{name}"))
    named = {control.path.split(".")[2] for control in found}
    assert named >= set(PARTS[kind].model_fields) - {"kind"}
    for control in found:
        assert control.label and (control.kind == "section" or control.help or "." in control.path)


def values(control: forms.Control) -> list:
    match control.kind:
        case "integer":
            return [control.value, (control.value or 1) * 2, 1, 0, -1, 10**12]
        case "word":
            return [control.value, "previous", "nothing", 2, True, None]
        case "number":
            return [control.value, 0.5, 1e9, 0.0, -1.0]
        case "switch":
            return [True, False]
        case "choice":
            starters = control.starters
            return [starters[o] if starters else o for o in control.options if starters is None or o in starters]
        case "optional":
            return [control.starters["on"], None]
    return []


@pytest.mark.parametrize("name", ["deepseek-v3", "gpt2", "grok-2.5"])
def test_every_value_of_every_control_is_an_architecture_or_a_sentence(name):
    arch = core.load(name)
    made = 0
    everything = [*forms.controls(arch, "")]
    everything += [c for part in arch.parts for c in forms.controls(arch.parts[part], f"parts.{part}")]
    for control in everything:
        for value in values(control):
            try:
                other = edited(arch, control.path, value)
            except Unsupported as error:
                assert len(str(error)) > 10 and "\n" not in str(error)
            else:
                made += 1
                assert core.cost(other).parameters > 0
    assert made > 60


# ---- charts ----


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("name", ["deepseek-v3", "gpt2"])
def test_plotly_accepts_what_is_drawn(name, dark):
    arch = core.load(name)
    workload = core.Workload(batch=3, weights="int4", cache="fp8")
    figures = [charts.memory(arch, workload, dark), charts.cache_curve(arch, workload, dark)]
    if name == "deepseek-v3":
        found = route(arch)
        figures += [charts.routing_layers(found, dark), charts.routing_tokens(found, found.layers[0], dark)]
    for figure in figures:
        go.Figure(figure.to_dict())


def test_bars_are_the_costs():
    arch, workload = core.load("deepseek-v3"), core.Workload()
    figure = charts.memory(arch, workload, False)
    shipped = sum(trace["x"][0] for trace in figure.to_dict()["data"])
    c = core.cost(arch, workload)
    assert shipped == c.weight_bytes + c.kv_bytes + c.state_bytes


@pytest.mark.parametrize("name", ["deepseek-v3", "kimi-k2", "llama-3.1-405b", "gpt2", "gemma-3-27b"])
def test_every_line_of_an_accelerator_has_a_name_of_its_own(name):
    arch = core.load(name)
    for figure in (charts.memory(arch, core.Workload(), False), charts.cache_curve(arch, core.Workload(), False)):
        lines, named = figure.layout.shapes, [a for a in figure.layout.annotations if a.text in {one.name for one in ACCELERATORS}]
        assert [line.x0 or line.y0 for line in lines] == [next(o.memory for o in ACCELERATORS if o.name == a.text) for a in named]
        assert len({(a.xshift, a.yshift, a.x, a.y) for a in named}) == len(named)
        if figure.layout.yaxis.type != "log":  # in one row, names stand nearly a fifth of the axis apart: so they fit on a phone
            most = figure.layout.xaxis.range[1]
            for one, other in combinations(named, 2):
                assert one.yshift != other.yshift or abs(one.x - other.x) > 0.18 * most


def test_a_model_without_a_cache_is_drawn_too():
    value = core.load("gpt2").model_dump(mode="json")
    value |= {"parts": {"dense": value["parts"]["dense"]}, "layers": [{"blocks": [["dense"]]}]}
    arch = parse(value)
    for figure in (charts.memory(arch, core.Workload(), False), charts.cache_curve(arch, core.Workload(), False)):
        go.Figure(figure.to_dict())
    check_picture(arch, wide=True)


@pytest.mark.long("kinds")
@pytest.mark.parametrize("name", core.presets())
def test_the_workbench_opens_every_preset(name):
    """The whole page, closed and with a box open, without a browser; `test_app.py` opens every part's controls."""
    page = AppTest.from_file(str(Path(facts.__file__).parent / "pages" / "workbench.py"), default_timeout=60)
    part = next(node for node, data in core.graph(core.load(name)).nodes(data=True) if "role" in data)
    for node in ("", part):
        page.query_params.clear()
        page.query_params.update({"preset": name} | ({"part": node} if node else {}))
        page.run()
        assert not page.exception, node


@pytest.mark.parametrize("name", ["gemma-4-e2b", "deepseek-v4-pro", "gpt-oss-20b", "zamba2-7b", "qwen3-next-80b-a3b"])
def test_a_cards_ribbon_is_the_pictures(name):
    """Without a graph, each layer has the colours of the picture's ribbon, and is hollow where it borrows a cache."""
    arch = core.load(name)
    g = facts.graph(arch)
    readers = {reader for reader, _, _ in g.graph["lent"]}
    for layer, (block, own) in enumerate(zip(g.graph["layers"], cells(arch), strict=True)):
        nodes = [node for node in g if g.nodes[node]["parent"] == block and "role" in g.nodes[node]]
        mixing = [g.nodes[node]["role"] in ("attention", "recurrence") for node in nodes]
        assert own == tuple((tone(g, node), mixes, mixes and layer in readers) for node, mixes in zip(nodes, mixing, strict=True))
