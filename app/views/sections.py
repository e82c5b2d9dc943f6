"""The workbench's sections around the picture: figures, edits, export, memory, routing."""

import json
from functools import lru_cache
from html import escape

import streamlit as st

import core
from core import library
from core.graph import to_dot, to_graphml, to_json, to_mermaid
from core.precision import FORMATS
from core.routing import Routing
from core.words import figure, size, tokens

from .. import state as page
from ..facts import cost, graph, picture_file
from .charts import CONFIG, cache_curve, routing_layers, routing_load, routing_tokens
from .charts import memory as memory_chart
from .page import dark, figures, lead, table, title, wrong


def headline(state: page.State) -> None:
    """Five figures, and what the edits did to each."""
    now = cost(state.arch, state.workload)
    then = cost(state.base, state.workload) if state.base not in (None, state.arch) else None
    at = f"at {tokens(state.workload.context)} context" + (
        f", batch {state.workload.batch:,}" if state.workload.batch > 1 else ""
    )
    rows = (
        ("Parameters", "parameters", figure, f"{now.parameters:,}"),
        (
            "Active a token",
            "active_parameters",
            figure,
            "all of them"
            if now.active_parameters == now.parameters
            else f"{now.active_parameters / now.parameters:.1%} of all",
        ),
        ("Cache a token", "kv_bytes_per_token", size, f"{now.kv_bytes_per_token:,} bytes"),
        (
            "Weights" if state.workload.weights else "Weights as shipped",
            "weight_bytes",
            size,
            state.workload.weights or _shipped(state.arch),
        ),
        ("Decode a token", "decode_flops", lambda n: figure(n, "FLOP"), at),
    )
    figures(
        [(words, show(getattr(now, name)), *_delta(now, then, name, show, note)) for words, name, show, note in rows]
    )


def _shipped(arch: core.Architecture) -> str:
    return ", ".join(dict.fromkeys(arch.precision.values()))


def _delta(now, then, name: str, show, note: str) -> tuple[str, str]:
    """The change against the preset as words, or the note where there is none."""
    if then is None:
        return note, ""
    change = getattr(now, name) - getattr(then, name)
    if not change:
        return "unchanged", ""
    before = getattr(then, name)
    share = f" ({change / before:+.1%})" if before else ""
    return f"{'+' if change > 0 else '−'}{show(abs(change))}{share}", "up" if change > 0 else "down"


def strip(state: page.State) -> None:
    """The edits against the preset, each as a word and its two values."""
    if state.base is None:
        st.html('<div class="edits"><span class="pill">Your own architecture</span> not one of the presets</div>')
        return
    changes = core.diff(state.base, state.arch)
    if not changes:
        return
    pill = f"{len(changes)} edit{'s' if len(changes) > 1 else ''} against {escape(state.base.title)}"
    said = "".join(f'<span class="e">{escape(_cut(str(change)))}</span>' for change in changes[:12])
    more = f" and {len(changes) - 12} more" if len(changes) > 12 else ""
    st.html(f'<div class="edits"><span class="pill">{pill}</span> {said}{more}</div>')


def _cut(words: str) -> str:
    return words if len(words) <= 110 else words[:108] + "…"


def export(arch: core.Architecture) -> None:
    """Files of this architecture, made when they are asked for."""
    name = arch.name
    files = {
        "Architecture, YAML": (f"{name}.yaml", lambda: library.to_yaml(arch)),
        "Architecture, JSON": (
            f"{name}.json",
            lambda: json.dumps(arch.model_dump(mode="json", exclude_defaults=True), indent=1),
        ),
        "config.json": ("config.json", lambda: json.dumps(core.to_hf(arch), indent=2)),
        "Picture, SVG": (f"{name}.svg", lambda: picture_file(arch)),
        "Graph, JSON": (f"{name}.graph.json", lambda: json.dumps(to_json(graph(arch)))),
        "Graph, GraphML": (f"{name}.graphml", lambda: to_graphml(graph(arch))),
        "Graph, DOT": (f"{name}.dot", lambda: to_dot(graph(arch))),
        "Graph, Mermaid": (f"{name}.mmd", lambda: to_mermaid(graph(arch))),
        "Cost, JSON": (f"{name}.cost.json", lambda: json.dumps(cost(arch).to_dict(), indent=1)),
    }
    with st.popover("Export", width="stretch"):
        for words, (file, make) in files.items():
            if file == "config.json" and not _has_config(arch):
                st.caption("No family's config.json can say this architecture.")
                continue
            st.download_button(words, make, file, key=f"get:{file}", on_click="ignore", width="stretch")
        st.caption("PNG: the button at the picture's corner.")


@lru_cache(maxsize=256)
def _has_config(arch: core.Architecture) -> bool:
    try:
        core.to_hf(arch)
    except core.Unsupported:
        return False
    return True


def memory(state: page.State) -> None:
    """Weights and caches in bytes, with the workload's own controls."""
    arch, w = state.arch, state.workload
    c = cost(arch, w)
    title("Memory", f"{size(c.weight_bytes)} of weights and {size(c.kv_bytes + c.state_bytes)} of cache")
    columns = st.columns(4)
    fields = {"batch": "Sequences at once", "context": "Tokens in each"}
    for column, (name, words) in zip(columns, fields.items(), strict=False):
        st.session_state[f"w:{name}"] = getattr(w, name)
        column.number_input(
            words, key=f"w:{name}", step=1 if name == "batch" else 1024, format="%d", on_change=_workload, args=(name,)
        )
    options = {"weights": ["as shipped", *FORMATS], "cache": list(FORMATS)}
    for column, (name, choices) in zip(columns[2:], options.items(), strict=True):
        st.session_state[f"w:{name}"] = getattr(w, name) or "as shipped"
        column.selectbox(
            {"weights": "Weights in", "cache": "Cache in"}[name],
            choices,
            key=f"w:{name}",
            on_change=_workload,
            args=(name,),
        )
    if problem := page.problems().get("workload"):
        wrong(problem)
    weights, caches = st.columns(2, gap="large")
    with weights:
        lead("Weights by component, and the cache at the end of each bar. Dotted lines: what accelerators hold.")
        st.plotly_chart(memory_chart(arch, w, dark()), key="memory", config=CONFIG)
    with caches:
        saved = c.derivation("kv_bytes_per_token")
        lead("Cache against context, beside what plain multi-head attention would keep.")
        st.plotly_chart(cache_curve(arch, w, dark()), key="curve", config=CONFIG)
        st.html(f'<p class="how">A token: {escape(saved)} bytes</p>')


def _workload(name: str) -> None:
    value = st.session_state[f"w:{name}"]
    page.change_workload(**{name: None if value == "as shipped" else value})


@lru_cache(maxsize=12)
def routed(live: core.Architecture) -> Routing:
    """A text through the routers, kept by the live architecture: most edits of the full size leave it as it is."""
    return core.route(live)


@st.fragment
def routing(arch: core.Architecture) -> None:
    """Who sends which tokens where, on a live model of random weights."""
    title(
        "Routing, live at a small size", "random weights: the structure is the architecture's, the preferences are not"
    )
    try:
        with st.spinner("Running the routers …", show_time=False):
            found = routed(core.shrink(arch))
    except core.Unsupported as error:
        lead(str(error))
        return
    violations = [layer.max_violation for layer in found.layers]
    lead(
        f"{len(found.tokens)} pieces of text through {len(found.layers)} routers. Mean MaxVio {sum(violations) / len(violations):.2f} "
        f"(0 is an even load), entropy {sum(layer.entropy for layer in found.layers) / len(found.layers):.2f} of 1, "
        f"{sum(len(layer.dead) for layer in found.layers):,} of {sum(len(layer.load) for layer in found.layers):,} experts unused."
    )
    overview, one = st.columns(2, gap="large")
    with overview:
        st.plotly_chart(routing_layers(found, dark()), key="layers", config=CONFIG)
    with one:
        by_number = {layer.layer: layer for layer in found.layers}
        number = st.selectbox(
            "One layer, token by token", list(by_number), key="layer", format_func=lambda n: f"layer {n}"
        )
        layer = by_number[number if number in by_number else found.layers[0].layer]
        st.plotly_chart(routing_tokens(found, layer, dark()), key="tokens", config=CONFIG)
        st.plotly_chart(routing_load(layer, dark()), key="load", config=CONFIG)
        rows = {
            "MaxVio": f"{layer.max_violation:.2f}",
            "Entropy of the load": f"{layer.entropy:.3f}",
            "Unused experts": f"{len(layer.dead):,}",
        }
        rows |= (
            {"Choices that the group limit changes": f"{layer.changed_by_groups:.0%}"}
            if layer.changed_by_groups
            else {}
        )
        table(rows)
