"""The workbench's sections around the picture: export, routing."""

import json
from threading import Lock

import streamlit as st

import core
from core import library
from core.graph import to_dot, to_graphml, to_json, to_mermaid
from core.kept import kept
from core.routing import LayerRouting, Routing
from core.words import percent

from .. import state as page
from ..facts import code_file, cost, graph, picture_file
from .charts import routing_layers, routing_tokens
from .page import dark, figure, lead, table, title
from .picture import shading


def export(state: page.State) -> None:
    """Files of this architecture, created on request."""
    arch, name = state.arch, state.arch.name
    files = {
        "Architecture, YAML": (f"{name}.yaml", lambda: library.to_yaml(arch)),
        "Architecture, JSON": (f"{name}.json", lambda: text(arch.model_dump(mode="json", exclude_defaults=True))),
        "PyTorch, one file": ("model.py", lambda: code_file(arch)),
        "config.json": ("config.json", lambda: config_of(arch)),
        "Picture, SVG": (f"{name}.svg", lambda: picture_file(arch, by=shading(state)[0], workload=state.workload)),
        "Graph, JSON": (f"{name}.graph.json", lambda: json.dumps(to_json(graph(arch)), allow_nan=False)),
        "Graph, GraphML": (f"{name}.graphml", lambda: to_graphml(graph(arch))),
        "Graph, DOT": (f"{name}.dot", lambda: to_dot(graph(arch))),
        "Graph, Mermaid": (f"{name}.mmd", lambda: to_mermaid(graph(arch))),
        "Cost, JSON": (f"{name}.cost.json", lambda: text(cost(arch).to_dict())),
    }
    box = st.popover("Export", width="content", key="export", on_change="rerun")
    if not box.open:
        return
    with box:
        for label, (file, make) in files.items():
            if file == "config.json" and not config_of(arch):
                st.caption("No known config.json can represent this architecture.")
                continue
            st.download_button(label, make, file, key=f"get:{file}", on_click="ignore", width="stretch")
        st.caption("PNG: use the button in the corner of the picture.")


def text(value: dict) -> str:
    return json.dumps(value, indent=1, allow_nan=False)


@kept(4_000_000, lambda found: 1_000 + len(found))
def config_of(arch: core.Architecture) -> str:
    """The config.json of this architecture; empty if no family can represent it."""
    try:
        return json.dumps(core.to_hf(arch), indent=2, allow_nan=False)
    except core.Unsupported:
        return ""


_one_live_model = Lock()  # a live model takes 90 MB, so visitors' models run one at a time


@kept(64_000_000, lambda routing: 2 * sum(layer.scores.nbytes for layer in routing.layers))
def routed(live: core.Architecture) -> Routing:
    """A text through the routers, cached by the live architecture, which most edits of the full size do not change."""
    with _one_live_model:
        return core.route(live)


@st.fragment(parallel=True)  # so that the picture does not wait for the live model
def routing(arch: core.Architecture) -> None:
    """Which experts get which tokens, in a live model with random weights."""
    title("Routing, live at a small size", "random weights: the structure is real, the preferences of the experts are not")
    waiting = st.empty()
    waiting.caption("Running the routers …")
    try:
        found = routed(core.shrink(arch))
    except core.Unsupported as error:
        with waiting:
            lead(str(error))
        return
    waiting.empty()
    layers = found.layers
    lead(
        f"{len(found.tokens)} pieces of text through {len(layers)} routers. MaxVio is the busiest expert's load divided by the mean, "
        f"minus one: {found.mean('max_violation'):.2f} on average here, and 0 if the load is equal."
    )
    overview, one = st.columns(2, gap="large")
    with one:
        paths = {layer.path: layer for layer in layers}
        chosen = st.selectbox("One layer, token by token", list(paths), key="layer", format_func=lambda path: f"layer {paths[path].layer}")
        layer = paths.get(chosen, layers[0])
        figure("", "", routing_tokens(found, layer, dark()), key="tokens")
    with overview:
        figure("", "", routing_layers(found, dark()), key="layers")
        table(_balance(found, layer))


def _balance(found: Routing, layer: LayerRouting) -> dict[str, str]:
    """The balance of the load, in all layers and in one layer."""
    here = f"Layer {layer.layer}: "
    rows = {
        "Entropy of the load, mean of all layers": f"{found.mean('entropy'):.3f} of 1",
        "Experts without any token": f"{found.dead:,} of {found.experts:,}",
        here + "MaxVio": f"{layer.max_violation:.2f}",
        here + "entropy": f"{layer.entropy:.3f}",
    }
    if layer.changed_by_groups:
        rows[here + "choices changed by the group limit"] = percent(layer.changed_by_groups)
    if layer.changed_by_bias:
        rows[here + "choices changed by the selection bias"] = percent(layer.changed_by_bias)
    return rows
