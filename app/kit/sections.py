"""The workbench's sections around the picture: figures, edits, export, memory, routing."""

import json
from collections.abc import Callable
from html import escape
from threading import Lock
from time import sleep
from typing import Any

import streamlit as st

import core
from core import library, words
from core.graph import to_dot, to_graphml, to_json, to_mermaid
from core.precision import FORMATS
from core.routing import LayerRouting, Routing
from core.words import percent, size, tokens

from .. import state as page
from ..facts import changed, cost, graph, kept, picture_file
from .charts import cache_curve, legend, memory_roles, routing_layers, routing_tokens
from .charts import memory as memory_chart
from .page import dark, figure, figures, how, lead, table, title
from .widgets import workload

MOST_EDITS = 12  # said one by one
PICTURE_FIRST = 0.03  # seconds in which the browser paints the picture, before charts come that cost it more


def headline(state: page.State) -> None:
    """Five figures and what the edits did to each; below them the edits."""
    arch, w = state.arch, state.workload.model_copy(update={"batch": 1})
    now = cost(arch, w)
    then = cost(state.base, w) if state.base not in (None, arch) else None
    some = now.active_parameters != now.parameters
    active = f"{percent(now.active_parameters / now.parameters)} of all" if some else "all of them"
    kept = f"and {size(now.state_bytes)} of states" if now.state_bytes else f"{now.kv_bytes_per_token:,} bytes"
    formats = sorted(set(arch.precision.values()), key=lambda name: FORMATS[name].bits)
    stored = "why is said under Memory" if now.unsized else w.weights or ", ".join(formats)

    def row(label: str, name: str, show: Callable[[Any], str], note: str) -> tuple[str, str, str, str]:
        value, before = getattr(now, name), getattr(then, name, None)
        change = (note, "") if value is None or before is None else _change(value, before, show)
        return label, show(value), *change

    figures(
        [
            row("Parameters", "parameters", words.figure, f"{now.parameters:,}"),
            row("Active a token", "active_parameters", words.figure, active),
            row("Cache a token", "kv_bytes_per_token", size, kept),
            row("Weights" if w.weights else "Weights as shipped", "weight_bytes", size, stored),
            row("Decode a token", "decode_flops", lambda n: words.figure(n, "FLOP"), f"at {tokens(w.context)} context"),
        ],
        below=edits(state),
    )


def _change(now: int, then: int, show: Callable[[float], str]) -> tuple[str, str]:
    """What an edit did to a figure: the words, and which way it went."""
    if now == then:
        return "unchanged", ""
    share = f" ({(now - then) / then:+.1%})" if then else ""
    return f"{'+' if now > then else '−'}{show(abs(now - then))}{share}", "up" if now > then else "down"


def edits(state: page.State) -> str:
    """The edits against the preset as HTML, each as a word and its two values."""
    if state.base is None:
        return '<div class="edits"><span class="pill">Your own architecture</span> not one of the presets</div>'
    changes = [str(change) for change in changed(state.base, state.arch)]
    if not changes:
        return ""
    pill = f"{len(changes)} edit{'s' if len(changes) > 1 else ''} against {escape(state.base.title)}"
    cut = (words if len(words) <= 110 else words[:108] + "…" for words in changes[:MOST_EDITS])
    said = "".join(f'<span class="e">{escape(words)}</span>' for words in cut)
    more = f" and {len(changes) - MOST_EDITS} more" if len(changes) > MOST_EDITS else ""
    return f'<div class="edits"><span class="pill">{pill}</span> {said}{more}</div>'


def export(arch: core.Architecture) -> None:
    """Files of this architecture, made when they are asked for."""
    name = arch.name
    files = {
        "Architecture, YAML": (f"{name}.yaml", lambda: library.to_yaml(arch)),
        "Architecture, JSON": (f"{name}.json", lambda: text(arch.model_dump(mode="json", exclude_defaults=True))),
        "config.json": ("config.json", lambda: config_of(arch)),
        "Picture, SVG": (f"{name}.svg", lambda: picture_file(arch)),
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
                st.caption("No family's config.json can say this architecture.")
                continue
            st.download_button(label, make, file, key=f"get:{file}", on_click="ignore", width="stretch")
        st.caption("PNG: the button at the picture's corner.")


def text(value: dict) -> str:
    return json.dumps(value, indent=1, allow_nan=False)


@kept(4_000_000, lambda found: 1_000 + len(found))
def config_of(arch: core.Architecture) -> str:
    """The config.json that says this architecture; nothing where none can."""
    try:
        return json.dumps(core.to_hf(arch), indent=2, allow_nan=False)
    except core.Unsupported:
        return ""


def memory(state: page.State) -> None:
    """Weights and caches in bytes, with the workload's own controls."""
    c = cost(state.arch, state.workload)
    weights = "Weights of a size that is not known," if c.unsized else f"{size(c.weight_bytes)} of weights"
    title("Memory", f"{weights} and {size(c.kept_bytes)} of caches and states")
    if c.unsized:
        lead(
            f"The bytes of the weights as shipped are not known: {c.unsized}. Choose a format below to see their bytes in it."
        )
    workload(state)
    _memory_charts(state.arch, state.workload)


@st.fragment(parallel=True)  # the picture does not wait for the charts
def _memory_charts(arch: core.Architecture, w: core.Workload) -> None:
    sleep(PICTURE_FIRST)
    weights, caches = st.columns(2, gap="large")
    with weights:
        sentence = "Weights by component, and the caches at the end of each bar. Dotted lines: what accelerators hold."
        figure("", sentence, memory_chart(arch, w, dark()), key="memory")
        st.html(legend(memory_roles(arch)))
    with caches:
        sentence = "Caches and states as the context grows. Dashed: what plain multi-head attention without windows would keep."
        figure("", sentence, cache_curve(arch, w, dark()), key="curve")
        how("", cost(arch, w).kept)


_one_live_model = Lock()  # a live model takes 90 MB, so visitors' models run one after the other


@kept(64_000_000, lambda routing: 2 * sum(layer.scores.nbytes for layer in routing.layers))
def routed(live: core.Architecture) -> Routing:
    """A text through the routers, kept by the live architecture: most edits of the full size leave it as it is."""
    with _one_live_model:
        return core.route(live)


@st.fragment(parallel=True)  # the picture does not wait for the live model
def routing(arch: core.Architecture) -> None:
    """Who sends which tokens where, on a live model of random weights."""
    title(
        "Routing, live at a small size", "random weights: the structure is the architecture's, the preferences are not"
    )
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
        f"{len(found.tokens)} pieces of text through {len(layers)} routers. MaxVio is the busiest expert's load over the mean, "
        f"less one: {found.mean('max_violation'):.2f} on average here, and 0 where the load is even."
    )
    overview, one = st.columns(2, gap="large")
    with one:
        paths = {layer.path: layer for layer in layers}
        chosen = st.selectbox(
            "One layer, token by token", list(paths), key="layer", format_func=lambda path: f"layer {paths[path].layer}"
        )
        layer = paths.get(chosen, layers[0])
        figure("", "", routing_tokens(found, layer, dark()), key="tokens")
    with overview:
        figure("", "", routing_layers(found, dark()), key="layers")
        table(_balance(found, layer))


def _balance(found: Routing, layer: LayerRouting) -> dict[str, str]:
    """How even the load is: everywhere, and in one layer."""
    here = f"Layer {layer.layer}: "
    rows = {
        "Entropy of the load, mean of all layers": f"{found.mean('entropy'):.3f} of 1",
        "Experts that no token reached": f"{found.dead:,} of {found.experts:,}",
        here + "MaxVio": f"{layer.max_violation:.2f}",
        here + "entropy": f"{layer.entropy:.3f}",
    }
    if layer.changed_by_groups:
        rows[here + "choices that the group limit changes"] = percent(layer.changed_by_groups)
    if layer.changed_by_bias:
        rows[here + "choices that the selection bias changes"] = percent(layer.changed_by_bias)
    return rows
