"""The inspector: a description of the selected box, and the controls that change it."""

import re
from collections.abc import Iterable

import networkx as nx
import streamlit as st

import core
from core.cost import sentences
from core.edits import swapped
from core.kept import kept
from core.kinds import FIRST, GROUPS, choices
from core.library import to_yaml
from core.model import summary
from core.parts import Part
from core.words import figure

from .. import actions
from .. import state as page
from ..facts import cost, graph
from .code import show_code
from .component import show_kinds
from .forms import Control, controls
from .page import how, lead, mono, table, title, wrong
from .widgets import folded, form, late, put

MODEL_FRONT = ("d_model", "vocab_size", "context", "tied_embeddings")
MODEL_REST = ("norm", "residual", "position", "embedding", "head")


def inspector(state: page.State) -> None:
    """The inspector of the selected node: a box inside a part, a part, a block of layers, or the model as a whole."""
    g = graph(state.arch)
    options = {"model": "The whole model"}
    options |= {n: f"Layers: {d['where']}" for n, d in g.nodes(data=True) if d["kind"] == "block"}
    options |= {n: _where(g, n) for n, d in g.nodes(data=True) if "role" in d and not n.startswith("mtp")}
    options |= {"mtp": "Multi-token prediction"} if "mtp" in g else {}
    node = _owner(g, state.selected, options) or _first(g)
    put("inspect", node)

    def choose() -> None:
        if not late("inspect"):
            actions.select(st.session_state["inspect"])

    st.selectbox("Inspect", list(options), key="inspect", format_func=options.__getitem__, on_change=choose, label_visibility="collapsed")
    if state.selected in g and state.selected != node:
        _operation(g, state.selected)
    match g.nodes[node]["kind"]:
        case "block":
            _block(state, g, node)
        case "model":
            _model(state)
        case "mtp":
            _operation(g, node)
        case _:
            _part(state, g, node)
    if st.session_state.get("diagram", {}).get("narrow"):  # on a phone it is a sheet over the page
        if state.selected and st.session_state.get("sheet", True):
            st.button("Close the inspector", key="close", icon=":material/close:", on_click=actions.put_away)
        else:
            st.button("Open the inspector", key="open-inspector", icon=":material/tune:", on_click=choose, width="stretch")


def _owner(g: nx.DiGraph, node: str, options: Iterable[str]) -> str:
    """The part, block or model that a selected box belongs to; empty if nothing is selected."""
    while node in g and node not in options:
        node = g.nodes[node]["parent"] or "model"
    return node if node in g else ""


def _first(g: nx.DiGraph) -> str:
    """The most interesting part: experts if there are any, otherwise a mixer."""
    parts = [n for n, d in g.nodes(data=True) if "role" in d and not n.startswith("mtp")]
    order = {"experts": 0, "recurrence": 1, "attention": 2, "feed_forward": 3}
    return min(parts, key=lambda n: (order.get(g.nodes[n]["role"], len(order)), -g.nodes[n]["repeat"]))


def _where(g: nx.DiGraph, node: str) -> str:
    data = g.nodes[node]
    own = node.rpartition(".")[2]  # it distinguishes a part that occurs twice in a block
    return f"{own} · {g.nodes[data['parent']]['where']}"


def _shape(sizes: list) -> str:
    return f"({', '.join(f'{n:,}' if isinstance(n, int) else n for n in sizes)})"


# ---- what can be inspected ----


def _operation(g: nx.DiGraph, node: str) -> None:
    """One box: its inputs and outputs."""
    data = g.nodes[node]
    title(data["label"], data["path"])
    if data["explain"]:
        lead(data["explain"])
    rows = {"In, out": f"{_shape(data['shape_in'])} → {_shape(data['shape_out'])}"}
    for source, _, edge in g.in_edges(node, data=True):
        if source != "positions_index":
            rows[f"Reads {edge['tensor'].replace('_', ' ')}"] = _shape(edge["shape"])
    table(rows | _figures(data, ""))


def _figures(data: dict, of: str = ", per layer") -> dict[str, str]:
    """The figures of a node that are not zero."""
    rows = {f"Parameters{of}": f"{data['parameters']:,}"} if data["parameters"] else {}
    if data["active_parameters"] != data["parameters"]:
        rows[f"Active{of}"] = f"{data['active_parameters']:,}"
    if data["flops"]:
        rows["Decode, after 4K"] = figure(data["flops"], "FLOP")
    if data["cache_bytes"]:
        rows[f"Cached per token{of}"] = f"{data['cache_bytes']:,} bytes"
    return rows


def _part(state: page.State, g: nx.DiGraph, node: str) -> None:
    arch, data = state.arch, g.nodes[node]
    name = data["part"]
    part = arch.part(name)
    _kind(state, name, data["label"])
    gist, *more = re.split(r"(?<=\.) (?=[A-Z])", data["explain"], maxsplit=1)
    lead(gist)
    settings, code, figures = st.tabs(["Settings", "Code", "Figures"], key="tab", on_change="rerun")
    if settings.open:
        with settings:
            _settings(state, name)
    if code.open:
        with code:
            show_code(state, name)
    if figures.open:
        with figures:
            lead(" ".join(more))
            table(_figures(data) | {"In, out": _shape(data["shape_in"])})
            folded("How these figures are computed", f"o:how:{name}", lambda: _derived(state, name, part))


def _settings(state: page.State, name: str) -> None:
    part, base = state.arch.parts[name], state.base.parts.get(name) if state.base else None
    front, rest = _split(list(controls(part, f"parts.{name}")), part, base)
    was = {c.path: c.value for c in controls(base, f"parts.{name}")} if base and base.kind == part.kind else {}
    form(state, f"part-{name}", front, was)
    folded("More settings", f"o:more:{name}", lambda: form(state, f"more-{name}", rest, was))


def _derived(state: page.State, name: str, part: Part) -> None:
    """Each figure of a part as a sentence, and the source of the technique."""
    for row in cost(state.arch, state.workload).rows:
        if row.part == name:
            for what, words in sentences(row).items():
                how(f"{row.component}, {row.block}, {what.replace('_', ' ')}", words)
    if hasattr(part, "flops_forms"):
        for form, flops in part.flops_forms(state.arch.d_model, 1, state.workload.context).items():
            how(f"decode, {form} form, a layer", figure(flops.total, "FLOP"))
    how("source", (type(part).__doc__ or "").strip().split("\n\n")[0])


def _kind(state: page.State, name: str, label: str) -> None:
    """The kind of a part, as the heading of the inspector; it opens the list of kinds that could stand there."""
    part = state.arch.part(name)
    listed = [(choice, {"name": choice.name, "title": choice.title, "line": choice.line, "role": choice.role, "on": choice.holds(part)})
              for choice in choices(part)]  # fmt: skip
    first = [told | {"title": FIRST[choice.name]} for choice, told in listed if choice.name in FIRST]
    groups = [
        {"title": group.title, "line": group.line, "kinds": kinds}
        for key, group in GROUPS.items()
        if (kinds := [told for choice, told in listed if choice.group == key])
    ]
    data = {"now": label, "role": part.role, "first": first, "groups": groups, "note": "Fields that both kinds have carry over."}
    show_kinds(data, "kinds", lambda kind: swap(state.arch, name, kind))
    if problem := actions.refusals(state)["edits"].get(f"kind.{name}"):
        wrong(problem.words)


def swap(arch: core.Architecture, name: str, kind: str) -> None:
    """Another kind for a part, which stays selected, also by another name."""

    def select(made: core.Architecture) -> str:
        new = next((part for part in made.parts if part not in arch.parts), name)
        return actions.box_of(made, new)

    actions.change(f"kind.{name}", lambda before: swapped(before, name, kind), kind, select)


def _split(own: list[Control], part: Part, base: Part | None) -> tuple[list[Control], list[Control]]:
    """Required fields, and fields that differ from the default, come first, and also the first field of nested values.
    The preset decides, so that nothing moves during edits."""
    reference = base if base is not None and base.kind == part.kind else part
    told = reference.model_dump(exclude_defaults=True)
    front: list[Control] = []
    rest: list[Control] = []
    begun, divided = set(), set()
    for control in own:
        name, *inner = control.path.split(".")[2:]
        leads = name not in ("tied", "sets", "norm") and (name in told or name in ("router", "sight"))
        if leads and inner:
            around = control.path.rpartition(".")[0]
            leads = around not in begun or _says(told, (name, *inner))
            begun.add(around)
            if not leads and around not in divided:  # its heading is in the first group: repeat it
                divided.add(around)
                rest.append(Control(around, ".".join((name, *inner[:-1])), "section", None))
        (front if leads else rest).append(control)
    return front, rest


def _says(told: dict, names: Iterable[str]) -> bool:
    """Whether a dump without defaults has a value at one of these paths."""
    for name in names:
        if not isinstance(told, dict) or name not in told:
            return False
        told = told[name]
    return True


def _block(state: page.State, g: nx.DiGraph, node: str) -> None:
    arch, data = state.arch, g.nodes[node]
    title(f"{data['repeat']:,} × {data['label']}", data["where"])
    lead("In each layer, parts read the residual stream and add their output to it. Layers are segments that repeat:")
    repeats = []
    for i, segment in enumerate(arch.layers):
        repeats.append(Control(f"layers.{i}.repeat", f"repeat of {segment.pattern}", "integer", segment.repeat))
    was = {f"layers.{i}.repeat": s.repeat for i, s in enumerate(state.base.layers)}
    form(state, "layers", repeats, was)
    table(_figures(data))
    folded("Table from torchinfo", "o:torchinfo", lambda: mono(_listed(arch, node)))


@kept(1_000_000)
def _listed(arch: core.Architecture, node: str) -> str:
    """torchinfo's table of one layer; `node` is the path of the first of its kind."""
    return str(summary(arch, arch.sequence[int(node.rpartition(".")[2])])).partition("\nTotal mult-adds")[0]


def _model(state: page.State) -> None:
    arch = state.arch
    title(arch.title, "the whole model")
    if arch.note:
        lead(arch.note)
    own = list(controls(arch, ""))
    was = {c.path: c.value for c in controls(state.base, "")}
    form(state, "model", [c for c in own if c.path.split(".")[0] in MODEL_FRONT], was)
    rest = [c for c in own if c.path.split(".")[0] in MODEL_REST]
    folded("Norm, residual stream, positions, head", "o:rest", lambda: form(state, "model-rest", rest, was))
    folded("The code", "o:code", lambda: show_code(state))
    folded("Everything as YAML", "o:yaml", lambda: _yaml(state))
    released = arch.released and f"{arch.released.day} {arch.released:%B %Y}"
    said = {"Organisation": arch.organisation, "Released": released, "Licence": arch.licence}
    table({name: words for name, words in said.items() if words})
    if arch.sources:
        folded("Sources", "o:sources", lambda: _listing(("", source) for source in arch.sources))
    items = core.checklist(arch)
    folded("What an implementation must get right", "o:checklist", lambda: _listing((i.where, i.words) for i in items))


def _listing(items: Iterable[tuple[str, str]]) -> None:
    for where, words in items:
        how(where, words)


def _yaml(state: page.State) -> None:
    """The whole spec as text: parts can be added and layers reordered there."""
    key, before = actions.text_key(state.arch), actions.refusals(state)["text"].get("")
    st.session_state.setdefault(key, before.shown if before else to_yaml(state.arch))
    text = st.text_area("The spec", key=key, height=340, max_chars=60_000, label_visibility="collapsed")
    if before and before.shown == text:
        wrong(before.words)
    st.button("Apply", on_click=lambda: actions.rewrite(st.session_state[key]))
