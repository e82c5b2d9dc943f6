"""What the selected box is, and the controls that change it."""

from collections.abc import Iterable

import streamlit as st

import core
from core.cost import sentences
from core.parts import Part
from core.words import figure

from .. import state as page
from ..facts import cost, graph, named
from .forms import Control, controls, part_kinds, part_starter
from .page import lead, table, title, wrong

MODEL_FIELDS = (
    "d_model",
    "vocab_size",
    "context",
    "tied_embeddings",
    "norm",
    "residual",
    "position",
    "embedding",
    "head",
)


def inspector(state: page.State) -> None:
    """The inspector of the selected node: a part, a block of layers, or the model as a whole."""
    arch, g = state.arch, graph(state.arch)
    node = named(g, state.selected) or _first(g)
    choices = {n: _words(g, n) for n in g if "role" in g.nodes[n] and not n.startswith("mtp")}
    blocks = {n: f"Layers: {d['where']}" for n, d in g.nodes(data=True) if d["kind"] == "block"}
    options = {"model": "The whole model"} | blocks | choices
    node = node if node in options else "model"
    st.session_state["inspect"] = node
    st.selectbox(
        "Inspect",
        list(options),
        key="inspect",
        format_func=options.get,
        on_change=lambda: page.select(st.session_state["inspect"]),
        label_visibility="collapsed",
    )
    inner = state.selected if state.selected in g and state.selected != node else ""
    if inner:
        _operation(g, inner)
    match g.nodes[node]["kind"]:
        case "block":
            _block(arch, g, node)
        case "model":
            _model(arch, g)
        case _:
            _part(state, g, node)


def _first(g) -> str:
    """The most telling part: experts where there are any, else attention."""
    parts = [n for n, d in g.nodes(data=True) if "role" in d and not n.startswith("mtp")]
    order = {"experts": 0, "attention": 1, "feed_forward": 2}
    return min(parts, key=lambda n: order.get(g.nodes[n]["role"], 3))


def _words(g, node: str) -> str:
    data = g.nodes[node]
    return f"{data['label']} · {data['part'].replace('_', ' ')}, {g.nodes[data['parent']]['where']}"


def _shape(sizes: list) -> str:
    return f"({', '.join(f'{n:,}' if isinstance(n, int) else n for n in sizes)})"


def _operation(g, node: str) -> None:
    """One box inside a part, or between parts."""
    data = g.nodes[node]
    title(data["label"], data["path"])
    if data["explain"]:
        lead(data["explain"])
    rows = {"In, out": f"{_shape(data['shape_in'])} → {_shape(data['shape_out'])}"}
    if data["parameters"]:
        rows["Parameters"] = f"{data['parameters']:,}"
    if data["flops"]:
        rows["FLOPs a token, after 4,096"] = figure(data["flops"], "FLOP")
    if data["cache_bytes"]:
        rows["Kept a token"] = f"{data['cache_bytes']:,} bytes"
    for source, _, edge in g.in_edges(node, data=True):
        if source != "positions_index":
            rows[f"Reads {edge['tensor'].replace('_', ' ')}"] = _shape(edge["shape"])
    table(rows)
    st.divider()


def _part(state: page.State, g, node: str) -> None:
    arch, data = state.arch, g.nodes[node]
    name = data["part"]
    part = arch.part(name)
    title(data["label"], g.nodes[data["parent"]]["where"])
    lead(data["explain"])
    kinds = part_kinds(part)
    titles = {kind: words for words, kind in kinds.items()}
    _select(f"parts.{name}", "Kind", part.kind, list(titles), titles, lambda kind: part_starter(kind, part))
    base = state.base and state.base.parts.get(name)
    own = list(controls(arch.parts[name], f"parts.{name}"))
    front, rest = _split(own, arch.parts[name], base)
    _form(front)
    with st.expander("More settings"):
        _form(rest)
    table(
        {
            "Parameters, a layer": f"{data['parameters']:,}",
            "Active, a layer": f"{data['active_parameters']:,}",
            "FLOPs a token, a layer": figure(data["flops"], "FLOP"),
            "Kept a token, a layer": f"{data['cache_bytes']:,} bytes" if data["cache_bytes"] else "nothing",
            "In, out": _shape(data["shape_in"]),
        }
    )
    with st.expander("How these figures come about"):
        for row in cost(arch, state.workload).rows:
            if row.part == name:
                for what, words in sentences(row).items():
                    st.html(
                        f'<p class="how"><b>{row.component}, {row.block}, {what.replace("_", " ")}</b><br>{words}</p>'
                    )
        st.html(f'<p class="how">{(type(part).__doc__ or "").split(".")[0].replace("`", "")}.</p>')


def _split(own: list[Control], part: Part, base: Part | None) -> tuple[list[Control], list[Control]]:
    """What the part must say, or says differently from its kind, stands in front; the preset decides, so that nothing
    moves while it is edited."""
    reference = base if base is not None and base.kind == part.kind else part
    fields = type(part).model_fields
    told = reference.model_dump(exclude_defaults=True)

    def leads(control: Control) -> bool:
        name = control.path.split(".")[2]
        return name not in ("tied", "norm") and (
            fields[name].is_required() or name in told or name in ("router", "window")
        )

    return [c for c in own if leads(c)], [c for c in own if not leads(c)]


def _block(arch: core.Architecture, g, node: str) -> None:
    data = g.nodes[node]
    title(f"{data['repeat']} × {data['label']}", data["where"])
    lead(
        "Each layer adds what its parts make of the residual stream to it. The layers are written as segments that repeat:"
    )
    for i, segment in enumerate(arch.layers):
        pattern = ", ".join(" → ".join("+".join(step.parts) for step in block) for block in segment.blocks)
        words = pattern if len(pattern) < 60 else f"{len(segment.blocks)} blocks"
        _form(
            [
                Control(
                    f"layers.{i}.repeat",
                    f"repeat: {words}",
                    "integer",
                    segment.repeat,
                    "Times that these blocks are repeated",
                    1,
                    1024,
                )
            ]
        )
    table(
        {
            "Parameters, a layer": f"{data['parameters']:,}",
            "Active, a layer": f"{data['active_parameters']:,}",
            "FLOPs a token, a layer": figure(data["flops"], "FLOP"),
            "Kept a token, a layer": f"{data['cache_bytes']:,} bytes" if data["cache_bytes"] else "nothing",
        }
    )


def _model(arch: core.Architecture, g) -> None:
    title(arch.title, "the whole model")
    if arch.note:
        lead(arch.note)
    _form([c for c in controls(arch, "") if c.path.split(".")[0] in MODEL_FIELDS[:4]])
    with st.expander("Norm, residual stream, positions, head"):
        _form([c for c in controls(arch, "") if c.path.split(".")[0] in MODEL_FIELDS[4:]])
    facts = {
        "Organisation": arch.organisation,
        "Released": arch.released and f"{arch.released:%-d %B %Y}",
        "Licence": arch.licence,
    }
    table({k: v for k, v in facts.items() if v})
    if arch.sources:
        with st.expander("Sources"):
            for source in arch.sources:
                st.text(source)
    with st.expander("What an implementation must get right"):
        for item in core.checklist(arch):
            st.text(str(item))


def _form(own: Iterable[Control]) -> None:
    """Widgets that show the architecture's own values; a change edits the architecture, a refusal stands under the widget."""
    for control in own:
        key = f"f:{control.path}"
        problem = page.problems().get(control.path)
        shown = control.value
        if problem is None:  # what was refused stays in its widget, beside the reason
            st.session_state[key] = shown
        _widget(control, key)
        if problem:
            wrong(problem)


def _widget(control: Control, key: str) -> None:
    label = control.label[0].upper() + control.label[1:]
    match control.kind:
        case "integer" | "number":
            _number(control, key, label)
        case "switch":
            st.toggle(label, key=key, help=control.help or None, on_change=_changed, args=(control.path, key))
        case "choice":
            _choice(control, key, label)
        case "optional":
            on = (control.starters or {}).get("on")
            st.toggle(label, key=key, help=control.help or None, on_change=_switched, args=(control.path, key, on))
        case "section":
            st.caption(label)


def _number(control: Control, key: str, label: str) -> None:
    whole = control.kind == "integer"
    value = st.session_state[key]
    kind = int if whole else float
    st.session_state[key] = None if value is None else kind(value)
    st.number_input(
        label, key=key, help=control.help or None, step=_step(value) if whole else None, min_value=None, max_value=None, placeholder="not set" if control.empty else None,
        format="%d" if whole else "%g", on_change=_changed, args=(control.path, key),
    )  # fmt: skip


def _step(value: int | None) -> int:
    """One at a time for counts, in blocks for widths."""
    return 1 if value is None or value < 128 else 64 if value % 64 == 0 else 1


def _choice(control: Control, key: str, label: str) -> None:
    options = list(
        dict.fromkeys(("not set", *control.options) if control.empty and not control.starters else control.options)
    )
    st.session_state[key] = st.session_state[key] if st.session_state[key] in options else options[0]
    args = (control.path, key, control.starters)
    if len(options) <= 3 and sum(map(len, options)) < 24:
        st.segmented_control(
            label,
            options,
            key=key,
            help=control.help or None,
            required=True,
            width="stretch",
            on_change=_chosen,
            args=args,
        )
    else:
        st.selectbox(label, options, key=key, help=control.help or None, on_change=_chosen, args=args)


def _select(path: str, label: str, value: str, options: list[str], titles: dict[str, str], make) -> None:
    """The kind of a part: choosing another puts a part of it there."""
    key = f"k:{path}"
    st.session_state[key] = value
    st.selectbox(
        label, options, key=key, format_func=titles.get, on_change=lambda: page.edit(path, make(st.session_state[key]))
    )
    if problem := page.problems().get(path):
        wrong(problem)


def _changed(path: str, key: str) -> None:
    page.edit(path, st.session_state[key])


def _switched(path: str, key: str, on: dict | None) -> None:
    page.edit(path, on if st.session_state[key] else None)


def _chosen(path: str, key: str, starters: dict | None) -> None:
    value = st.session_state[key]
    if starters is not None:
        value = starters.get(value)
    page.edit(path, None if value == "not set" else value)
