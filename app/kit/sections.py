"""The workbench's sections around the picture: figures, edits, export, memory, routing."""

import json
from collections.abc import Callable
from functools import lru_cache
from html import escape
from threading import Lock
from time import sleep

import streamlit as st

import core
from core import library
from core.cost import Cost
from core.graph import to_dot, to_graphml, to_json, to_mermaid
from core.precision import CACHE_FORMATS, FORMATS
from core.routing import LayerRouting, Routing
from core.words import figure, percent, size, tokens

from .. import state as page
from ..facts import changed, cost, graph, kept, picture_file
from .charts import CONFIG, cache_curve, legend, memory_roles, routing_layers, routing_tokens
from .charts import memory as memory_chart
from .page import dark, figures, how, lead, number, table, title, typed, wrong

WORKLOAD = {"batch": "Sequences at once", "context": "Tokens in each", "weights": "Weights in", "cache": "Cache in"}
STEPS = {"batch": 1, "context": 1024}
AS_SHIPPED = "as shipped"
MOST_EDITS = 12  # said one by one
PICTURE_FIRST = 0.03  # seconds in which the browser paints the picture, before charts come that cost it more


def headline(state: page.State) -> None:
    """Five figures and what the edits did to each; below them the edits."""
    w = state.workload
    now = cost(state.arch, w)
    then = cost(state.base, w) if state.base not in (None, state.arch) else None
    active = (
        "all of them"
        if now.active_parameters == now.parameters
        else f"{percent(now.active_parameters / now.parameters)} of all"
    )
    kept = (
        f"and {size(now.state_bytes // w.batch)} of states" if now.state_bytes else f"{now.kv_bytes_per_token:,} bytes"
    )
    formats = sorted(set(state.arch.precision.values()), key=lambda name: FORMATS[name].bits)
    stored = "why is said under Memory" if now.unsized else w.weights or ", ".join(formats)

    def row(
        words: str, of: Callable[[Cost], int | None], show: Callable[[float | None], str], note: str
    ) -> tuple[str, str, str, str]:
        both = [of(c) for c in (now, then) if c]
        return words, show(of(now)), *(_change(*both, show) if len(both) == 2 and None not in both else (note, ""))

    figures(
        [
            row("Parameters", lambda c: c.parameters, figure, f"{now.parameters:,}"),
            row("Active a token", lambda c: c.active_parameters, figure, active),
            row("Cache a token", lambda c: c.kv_bytes_per_token, size, kept),
            row("Weights" if w.weights else "Weights as shipped", lambda c: c.weight_bytes, size, stored),
            row(
                "Decode a token", lambda c: c.decode_flops // w.batch, lambda n: figure(n, "FLOP"),
                f"at {tokens(w.context)} context",
            ),
        ],
        below=edits(state),
    )  # fmt: skip


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
        "Architecture, JSON": (
            f"{name}.json",
            lambda: json.dumps(arch.model_dump(mode="json", exclude_defaults=True), indent=1, allow_nan=False),
        ),
        "config.json": ("config.json", lambda: json.dumps(core.to_hf(arch), indent=2, allow_nan=False)),
        "Picture, SVG": (f"{name}.svg", lambda: picture_file(arch)),
        "Graph, JSON": (f"{name}.graph.json", lambda: json.dumps(to_json(graph(arch)), allow_nan=False)),
        "Graph, GraphML": (f"{name}.graphml", lambda: to_graphml(graph(arch))),
        "Graph, DOT": (f"{name}.dot", lambda: to_dot(graph(arch))),
        "Graph, Mermaid": (f"{name}.mmd", lambda: to_mermaid(graph(arch))),
        "Cost, JSON": (f"{name}.cost.json", lambda: json.dumps(cost(arch).to_dict(), indent=1, allow_nan=False)),
    }
    box = st.popover("Export", width="content", key="export", on_change="rerun")
    if not box.open:
        return
    with box:
        for words, (file, make) in files.items():
            if file == "config.json" and not _has_config(arch):
                st.caption("No family's config.json can say this architecture.")
                continue
            st.download_button(words, make, file, key=f"get:{file}", on_click="ignore", width="stretch")
        st.caption("PNG: the button at the picture's corner.")


@lru_cache(maxsize=4)
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
    kept = c.kv_bytes + c.state_bytes
    weights = "Weights of a size that is not known," if c.unsized else f"{size(c.weight_bytes)} of weights"
    title("Memory", f"{weights} and {size(kept)} of caches and states")
    if c.unsized:
        lead(
            f"The bytes of the weights as shipped are not known: {c.unsized}. Choose a format below to see their bytes in it."
        )
    refused = page.refused("workload", (arch, w))
    for column, (name, words) in zip(st.columns(4), WORKLOAD.items(), strict=True):
        problem = refused.get(name)
        with column:
            _workload_field(name, words, problem.shown if problem else getattr(w, name))
            if problem:
                wrong(problem.words)
    if w.context > arch.context:
        wrong(f"{arch.title} is meant for at most {arch.context:,} tokens; {w.context:,} are more than it can read.")
    _memory_charts(arch, w)


@st.fragment(parallel=True)  # the picture does not wait for the charts
def _memory_charts(arch: core.Architecture, w: core.Workload) -> None:
    sleep(PICTURE_FIRST)
    weights, caches = st.columns(2, gap="large")
    with weights:
        lead("Weights by component, and the caches at the end of each bar. Dotted lines: what accelerators hold.")
        st.plotly_chart(memory_chart(arch, w, dark()), key="memory", config=CONFIG, theme=None)
        st.html(legend(memory_roles(arch)))
    with caches:
        lead(
            "Caches and states as the context grows. Dashed: what plain multi-head attention without windows would keep."
        )
        st.plotly_chart(cache_curve(arch, w, dark()), key="curve", config=CONFIG, theme=None)
        c = cost(arch, w)
        left = f"A token leaves {c.derivation('kv_bytes_per_token')} bytes. " if c.kv_bytes_per_token else ""
        how("", left + (f"States keep {size(c.state_bytes)}, however long the text." if c.state_bytes else ""))


def _workload_field(name: str, words: str, value: float | str | None) -> None:
    key = f"w:{name}"

    def change() -> None:
        given = typed(key) if name in STEPS else st.session_state[key]
        page.change_workload(name, None if given == AS_SHIPPED else given, st.session_state[key])

    if name in STEPS:
        number(words, key, value, STEPS[name], change)
    else:
        st.session_state[key] = value or AS_SHIPPED
        options = [AS_SHIPPED, *FORMATS] if name == "weights" else CACHE_FORMATS
        st.selectbox(words, options, key=key, on_change=change)


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
    mean = sum(layer.max_violation for layer in layers) / len(layers)
    lead(
        f"{len(found.tokens)} pieces of text through {len(layers)} routers. MaxVio is the busiest expert's load over the mean, "
        f"less one: {mean:.2f} on average here, and 0 where the load is even."
    )
    overview, one = st.columns(2, gap="large")
    with one:
        paths = {layer.path: layer for layer in layers}
        chosen = st.selectbox(
            "One layer, token by token", list(paths), key="layer", format_func=lambda path: f"layer {paths[path].layer}"
        )
        layer = paths.get(chosen, layers[0])
        st.plotly_chart(routing_tokens(found, layer, dark()), key="tokens", config=CONFIG, theme=None)
    with overview:
        st.plotly_chart(routing_layers(found, dark()), key="layers", config=CONFIG, theme=None)
        table(_balance(found, layer))


def _balance(found: Routing, layer: LayerRouting) -> dict[str, str]:
    """How even the load is: everywhere, and in one layer."""
    layers = found.layers
    experts, unused = sum(len(one.load) for one in layers), sum(len(one.dead) for one in layers)
    here = f"Layer {layer.layer}: "
    rows = {
        "Entropy of the load, mean of all layers": f"{sum(one.entropy for one in layers) / len(layers):.3f} of 1",
        "Experts that no token reached": f"{unused:,} of {experts:,}",
        here + "MaxVio": f"{layer.max_violation:.2f}",
        here + "entropy": f"{layer.entropy:.3f}",
    }
    if layer.changed_by_groups:
        rows[here + "choices that the group limit changes"] = percent(layer.changed_by_groups)
    if layer.changed_by_bias:
        rows[here + "choices that the selection bias changes"] = percent(layer.changed_by_bias)
    return rows
