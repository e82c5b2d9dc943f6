"""An inset over the whole page: the shape of every tensor is written, nothing is cut, and it is in the link."""

import json
import re
from html import unescape
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from streamlit.testing.v1 import AppTest
from test_cycles import faults

import core
from app import facts, server
from app.picture.inset import Inset
from app.picture.pen import Pen, text_width
from app.picture.zoom import WIDTH
from app.state import link, read
from core import edits

KINDS = {part.kind: (name, own) for name in core.presets() for own, part in core.load(name).parts.items()}  # the newest model of each


def said(shape) -> str:
    return f"({', '.join(f'{n:,}' if isinstance(n, int) else n for n in shape)})"


@pytest.mark.parametrize("kind", KINDS)
def test_every_tensor_has_its_shape(kind):
    name, own = KINDS[kind]
    arch = core.load(name)
    g = core.graph(arch)
    part = next(node for node, data in g.nodes(data=True) if data.get("part") == own and "role" in data)
    svg = facts.zoom_of(arch, part)
    words = [unescape(text) for text in re.findall(r"<text[^>]*>([^<]*)</text>", svg)]
    inside = {node for node in g if g.nodes[node]["parent"] == part}
    shared = {node for node in inside if ".shared." in f"{g.nodes[node]['path']}."}
    for source, target, data in g.in_edges(inside - shared, data=True):
        if g.nodes[source]["kind"] == "input" or source in shared or g.nodes[target]["kind"] in ("add", "multiply", "borrowed"):
            continue
        for shape in (data["shape"], *(shape for _, shape in data.get("also", ()))):
            assert any(said(shape) in word for word in words), (source, target, shape)
    assert "…" not in "".join(words) and not faults(svg, True)
    for label, width in re.findall(r'aria-label="([^"]+)"><title>[^<]*</title><rect [^>]*width="([\d.]+)"', svg):
        assert text_width(unescape(label), 12) <= float(width), label
    assert float(re.search(r'viewBox="0 0 (\d+)', svg)[1]) <= WIDTH and "scale(1.0000)" in svg


def test_an_opened_expert_has_its_shapes():
    words = re.findall(r"<text[^>]*>([^<]*)</text>", facts.zoom_of(core.load("deepseek-v3"), "layers.3.moe"))
    opened = words[words.index("One expert, opened") :]
    assert {"gate (B, T, 2,048)", "up (B, T, 2,048)", "(B, T, 2,048)", "(B, T, 7,168)"} <= set(opened)


@pytest.mark.parametrize("kind", [*KINDS, "native_sparse_attention"])
def test_no_line_strikes_through_the_name_of_a_tensor(kind):
    name, own = KINDS.get(kind, ("", "sparse"))
    if name:
        arch = core.load(name)
    else:  # no preset has it
        llama = core.load("llama-3-8b")
        arch = edits.every(llama, 4, own, "attention", new={own: edits.fresh(llama, kind).popitem()[1]})
    g = core.graph(arch)
    node = next(node for node, data in g.nodes(data=True) if data.get("part") == own and "role" in data)
    for width in (392, 972):
        pen = Pen()
        Inset(g, node, width).flow(pen)
        flow = "".join(pen.out)
        lines = []
        for path in re.findall(r'class="wire" d="([^"]*)"', flow):
            points = [(float(x), float(y)) for x, y in re.findall(r"(-?[\d.]+) (-?[\d.]+)", path)]
            lines += zip(points, points[1:], strict=False)
        for x, y, side, words in re.findall(r'<text x="([^"]*)" y="([^"]*)" class="l( e)?">([^<]*)<', flow):
            left, top = float(x) - text_width(words, 12) * bool(side), float(y) - 9
            right, bottom = left + text_width(words, 12), float(y)
            for (x0, y0), (x1, y1) in lines:
                across = min(x0, x1) < right and max(x0, x1) > left
                assert not (across and min(y0, y1) < bottom and max(y0, y1) > top), words


def test_it_is_in_the_link_and_follows_its_part():
    state = read({"preset": "deepseek-v3", "zoom": "layers.3.moe"})
    assert state.zoom == "layers.3.moe" and "zoom=layers.3.moe" in link(state)
    for node in ("model", "layers.3", "nothing", "<b>"):
        assert facts.zoom_of(state.arch, node) == ""
    assert TestClient(server.app).get("/workbench?preset=gpt2&zoom=%3Cb%3E").status_code == 200
    page = AppTest.from_file(str(Path(server.__file__).with_name("pages") / "workbench.py"), default_timeout=60)
    page.query_params["preset"], page.query_params["zoom"] = "gpt2", "layers.0.attention"
    page.run()
    assert not page.exception
    (zoom,) = [found["zoom"] for block in page.get("bidi_component") if "zoom" in (found := json.loads(block.proto.json))]
    assert zoom[0] == "Multi-head attention" and "(B, T, 12, 64)" in zoom[2]


def test_an_edit_another_model_and_an_unknown_part_close_it():
    def script() -> None:
        import streamlit as st

        from app import actions, state
        from core.library import preset

        st.button("select", on_click=lambda: actions.select("model"))
        st.button("edit", on_click=lambda: actions.edit("parts.attention.kv_heads", 4, 4))
        st.button("undo", on_click=lambda: actions.step_to(0))
        st.button("open", on_click=lambda: actions.show(state.opened(preset("mistral-7b"), state.current())))

    page = AppTest.from_function(script, default_timeout=60)

    def after(zoom: str, *pressed: str) -> bool:
        page.query_params.clear()
        page.query_params.update({"preset": "llama-3-8b", "zoom": zoom})
        page.run()
        for label in pressed:
            next(button for button in page.button if button.label == label).click().run()
        assert not page.exception
        return "zoom" in page.query_params

    assert after("layers.0.attention", "select"), "what does not change the model leaves it open"
    for pressed in (("edit",), ("open",)):
        assert not after("layers.0.attention", *pressed)
    after("", "edit")
    page.query_params["zoom"] = "layers.0.attention"
    page.run()
    next(button for button in page.button if button.label == "undo").click().run()
    assert page.query_params["preset"] in ("llama-3-8b", ["llama-3-8b"]) and "zoom" not in page.query_params
    for node in ("layers.3.attention", "layers.0", "nothing"):
        assert not after(node, "select")


def test_a_file_has_no_sign_to_open_it():
    svg = facts.picture_of(core.load("gpt2"))
    assert svg.count("data-open=") == svg.count("data-zoom=") == 2 and "at full width" in svg
    file = facts.picture_file(core.load("gpt2"))
    assert "at full width" not in file and "data-zoom" not in file
