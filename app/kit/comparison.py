"""Pieces of the page that sets several architectures beside the first."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from html import escape
from itertools import groupby
from math import log

import streamlit as st

import core
from core.compare import GROWS, HEADINGS, LETTERS, ORDER, Comparison, Difference, Line, bounds
from core.diff import MOVED
from core.library import preset
from core.roles import ROLES
from core.saying import SYMBOLS
from core.words import change, tokens

from .. import actions
from .. import state as page
from ..facts import alongside_of, compared, edited, parameters, sheet_of
from .charts import compare_curve, legend
from .component import show_alongside
from .opening import open_file, refusal
from .page import dark, figure, lead, title, wrong
from .picker import picker
from .widgets import folded, workload

WRITTEN = {"kv": "KV", "qk": "QK", "rope": "RoPE"}
TRY = (("deepseek-v3", "kimi-k2"), ("gemma-3-27b", "gemma-4-31b"), ("gpt2", "gpt-oss-20b"), ("llama-3-8b", "qwen3-8b"))


def found_of(state: page.State) -> Comparison:
    return compared(state.archs, state.workload)


def capital(words: str) -> str:
    """A label as it begins a row; a symbol and a path stay as they are."""
    first, space, rest = words.partition(" ")
    kept = first in SYMBOLS or "." in first or "_" in first
    return f"{WRITTEN.get(first, first if kept else first[:1].upper() + first[1:])}{space}{rest}"


def name_of(arch: core.Architecture) -> str:
    return f"{arch.title}, edited" if edited(arch) else arch.title


# ---- the models ----


def models(state: page.State) -> None:
    """A column each: what is there, another one in its place, the first place, and none."""
    label, *columns = st.columns([1, *[1.6] * max(len(state.archs), 2)], gap="medium")
    with label:
        st.html('<div class="beside models"><div class="k">Models<small>up to four</small></div></div>')
    for index, (arch, column) in enumerate(zip(state.archs, columns, strict=False)):
        with column, st.container(key=f"model-{index}", gap="xsmall"):
            about = " · ".join(filter(None, (arch.organisation, f"{arch.released:%b %Y}" if arch.released else "")))
            st.html(f'<div class="letter"><b>{LETTERS[index]}</b> <span>{escape(about)}</span></div>')
            _choice(state, index, arch)
            if len(state.archs) > 1:
                with st.container(horizontal=True, gap="xsmall"):
                    if index:
                        st.button("Swap with A", key=f"swap:{index}", type="tertiary", on_click=_swap, args=(index,))
                    st.button("Remove", key=f"remove:{index}", type="tertiary", on_click=_remove, args=(index,))
    if len(state.archs) == 1:
        with columns[1], st.container(key="model-1", gap="xsmall"):
            st.html('<div class="letter"><b>B</b> <span>a second model</span></div>')
            _picker("add:first", "A second model")
            st.html('<p class="pairs">or one of these pairs</p>')
            for one, other in TRY:
                words = f"{preset(one).title} and {preset(other).title}"
                st.button(words, key=f"try:{one}", width="stretch", on_click=_show, args=((preset(one), preset(other)),))


def _choice(state: page.State, index: int, arch: core.Architecture) -> None:
    def chosen(name: str) -> None:
        archs = page.current().archs
        _show((*archs[:index], preset(name), *archs[index + 1 :]))

    picker(f"Model {LETTERS[index]}", name_of(arch), f"m:{index}", chosen)


def _picker(key: str, label: str) -> None:
    """A list of all presets; what is chosen comes last."""
    picker(label, "", key, lambda name: _show((*page.current().archs, preset(name))))


def add(state: page.State) -> None:
    """One more: a preset, a file, a link or an id."""
    if len(state.archs) == page.MOST:
        return
    box = st.popover("Add a model", icon=":material/add:", width="content", key="add", on_change="rerun")
    if not box.open:
        return
    with box:
        _picker("add:preset", "A published model")
        own = open_file(("compare", state.archs))
        refusal(("compare", state.archs))
        with st.form("add:form", border=False, enter_to_submit=True):
            given = st.text_input(
                "Or a link, a config.json, or a model's id", key="add:text", placeholder="hf:Qwen/Qwen3-0.6B, or a link of this app",
                max_chars=60_000,
            )  # fmt: skip
            asked = st.form_submit_button("Add", type="primary", width="stretch")
        if asked and given:
            own = actions.opened_text(given, ("compare", state.archs))
        if (before := actions.refused("text", ("compare", state.archs)).get("")) and before.shown == given:
            wrong(before.words)
    if own:
        st.session_state.pop("add", None)
        _show((*state.archs, own))
        st.rerun()


def _show(archs: Sequence[core.Architecture]) -> None:
    actions.show(page.beside(page.current(), archs))


def _swap(index: int) -> None:
    archs = [*page.current().archs]
    archs[0], archs[index] = archs[index], archs[0]
    _show(archs)


def _remove(index: int) -> None:
    archs = page.current().archs
    _show((*archs[:index], *archs[index + 1 :]))


# ---- the answer and the figures ----


def verdict(state: page.State, whole: bool = True) -> None:
    """A sentence for each of the others, or its first half, which does not wait for the edits."""
    found = found_of(state)
    lines = []
    for name, words in zip(found.names[1:], found.verdicts if whole else found.openings, strict=True):
        lines.append(f'<p class="answer"><b>{escape(name)}</b>{escape(words.removeprefix(name))}</p>')
    st.html("".join(lines))


def figures(state: page.State) -> None:
    """Each figure of each model, with its ratio to the first one's as a bar; all bars are on one scale."""
    found = found_of(state)
    most = bounds(found)
    with st.container(horizontal=True, vertical_alignment="center", key="figures-top"):
        title("Figures", f"Bars: times {LETTERS[0]}, on a logarithmic scale from 1/{most:,.0f} to {most:,.0f}.")
        with st.popover(f"At {tokens(state.workload.context)}", width="content", key="at"):
            workload(state)
    rows = [f'<div class="row head"><div></div>{"".join(_heads(found))}</div>']
    rows += [
        f'<div class="row"><div class="k">{escape(line.title)}<small>{escape(line.note)}</small></div>{"".join(_cells(line, most))}</div>'
        for line in found.lines
    ]
    many = " many" * (len(found.archs) == page.MOST)
    st.html(f'<div class="beside{many}" style="--models:{len(found.archs)}">{"".join(rows)}</div>')
    for caveat in (c.caveat for c in found.costs if c.caveat):
        lead(caveat)


def _heads(found: Comparison) -> Iterator[str]:
    for letter, arch in zip(LETTERS, found.archs, strict=False):
        yield f'<div class="letter"><b>{letter}</b> <span>{escape(name_of(arch))}</span></div>'


def _cells(line: Line, most: float) -> Iterator[str]:
    for index, value in enumerate(line.values):
        ratio, words = (line.ratio(index), line.beside(index)) if index else (None, "")
        bar = '<i class="bar none"></i>' * bool(index)
        if ratio:
            share = max(-1.0, min(1.0, log(ratio) / log(most)))
            left, width = 50 + 50 * min(share, 0), 50 * abs(share)
            bar = f'<i class="bar" title="{ratio:.4g} times {LETTERS[0]}"><i style="left:{left:.2f}%;width:{width:.2f}%"></i></i>'
        yield f'<div class="c"><b>{escape(line.show(value))}</b>{bar}<em>{escape(words)}</em></div>'


# ---- the pictures ----


@st.fragment(parallel=True)
def pictures(state: page.State) -> None:
    """The diagrams, aligned row by row, in the layouts of a wide and of a narrow page."""
    title("Architecture", f"row by row; a dot marks what differs from {LETTERS[0]}, a dashed gap what is missing")
    roles = {role for arch in state.archs for role in parameters(arch)}
    st.html(legend({role: words for role, words in ROLES.items() if role in roles}))
    show_alongside(*(alongside_of(state.archs, wide) for wide in (True, False)))


# ---- what differs ----


def differences(state: page.State) -> None:
    """A row for each place that differs, by group; what moves no figure is folded."""
    found = found_of(state)
    with st.container(horizontal=True, vertical_alignment="center", key="differs-top"):
        at = tokens(state.workload.context)
        title("What differs", f"below a value: what this difference alone, made to {LETTERS[0]}, does to its figures at {at}")
        st.session_state["everything"] = state.everything
        st.toggle("Everything", key="everything", on_change=_everything)
    if not found.differences:
        lead("Nothing: these are the same architecture, perhaps under other names.")
        if not state.everything:
            return
    rows = [f'<div class="row head"><div></div>{"".join(_heads(found))}</div>']
    shown = [*found.differences, *(found.alike if state.everything else ())]
    shown.sort(key=lambda row: ORDER.index(row.group))
    for group, several in groupby(shown, key=lambda row: row.group):
        every = [*several]
        still = [row for row in every if row.still]
        heading = HEADINGS[group]
        rows.append(f"<h3>{escape(capital(heading))} <small>{len(every)}</small></h3>")
        rows += [_row(found, row) for row in every if row not in still]
        if still:
            names = ", ".join(dict.fromkeys(row.name for row in still))
            more = "more " * (len(still) < len(every))
            words = f"{len(still)} {more}that change{'s' * (len(still) == 1)} no figure"
            inner = "".join(_row(found, row) for row in still)
            rows.append(f"<details><summary>{escape(words)}: {escape(names)}</summary>{inner}</details>")
    st.html(f'<div class="beside differs" style="--models:{len(found.archs)}">{"".join(rows)}</div>')


def _everything() -> None:
    actions.show(replace(page.current(), everything=st.session_state["everything"]))


def _row(found: Comparison, row: Difference) -> str:
    cells = [
        f'<div class="k">{escape(capital(row.name))}<small>{escape(row.of)}</small></div>',
        f'<div class="c"><span>{escape(row.first)}</span></div>',
    ]
    effects = []
    for index in range(1, len(found.archs)):
        if index not in row.others:
            cells.append('<div class="c same">same</div>')
            continue
        value, step = row.others[index]
        cells.append(f'<div class="c"><b class="other">{escape(value)}</b></div>')
        effect = step if isinstance(step, str) else step.effect
        effects.append(f'<div class="fx" style="--at:{index + 2}" data-letter="{LETTERS[index]}">{escape(effect)}</div>')
    return f'<div class="row">{"".join(cells)}{"".join(effects)}</div>'


# ---- curves ----


@st.fragment(parallel=True)
def curves(state: page.State) -> None:
    """What grows with the text: caches and states, bytes read, FLOPs of a new token."""
    title("Over the length of the text", "dotted: past what a model is meant for")
    for column, (name, (heading, note, _)) in zip(st.columns(len(GROWS), gap="medium"), GROWS.items(), strict=True):
        with column:
            title(heading, note, level=3)
            figure("", "", compare_curve(state.archs, state.workload, dark(), name), key=f"curve-{name}")


# ---- step by step ----


def in_order(state: page.State) -> None:
    """The edits that lead from the first to each of the others, and what each does after those before it."""
    found = found_of(state)
    if not any(found.edits for found in found.diffs):
        return
    title("Step by step", f"from {LETTERS[0]} to another, each edit after those above it")
    for index, arch in enumerate(found.archs[1:], start=1):
        count = len(found.diffs[index - 1].edits)
        words = f"{LETTERS[0]} to {LETTERS[index]}: {count} edit{'s' * (count != 1)}"
        if not count:
            continue

        def steps(index: int = index, arch: core.Architecture = arch, count: int = count) -> None:
            _steps(found, index)
            if st.button("Open in the workbench", key=f"step:{index}", icon=":material/footprint:"):
                first = actions.stepping(found.archs[0], arch)
                st.session_state["said"] = f"Redo makes the next of {count} edits."
                st.switch_page("pages/workbench.py", query_params=page.write(first))

        folded(words, f"steps:{index}", steps)


def _steps(found: Comparison, index: int) -> None:
    heads = "".join(f"<th>{escape(moved.title)}</th>" for moved in MOVED.values())
    rows = []
    for step in found.diffs[index - 1].steps:
        cells = []
        for name, moved in MOVED.items():
            pair = step.then.get(name) if step.then is not None else (None, None)
            cell = "same" if pair is None else change(pair[1], pair[0], moved.show) or "not known"
            cells.append(f'<td class="{"same" if pair is None else ""}">{escape(cell)}</td>')
        endless = step.edit.words.startswith("context ") and not found.archs[index].meant_for
        words = f"{step.edit.words}, which bounds nothing there" if endless else step.edit.words
        rows.append(f"<tr><th>{escape(words)}</th>{''.join(cells)}</tr>")
    st.html(
        f'<div class="did" tabindex="0"><table><thead><tr><th>Edit</th>{heads}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
    )


# ---- files ----


def export(state: page.State) -> None:
    """The comparison as files."""
    box = st.popover("Export", width="content", key="export", on_change="rerun")
    if not box.open:
        return
    names = "-".join(arch.name for arch in state.archs)[:100]
    with box:
        files: dict[str, tuple[str, Callable[[], str | bytes]]] = {
            "Picture, PNG": ("png", lambda: sheet_of(state.archs, state.workload, dark())),
            "Table, CSV": ("csv", lambda: found_of(state).csv()),
        }
        for label, (form, make) in files.items():
            st.download_button(label, make, f"{names}.{form}", key=f"get:{form}", on_click="ignore", width="stretch")


# ---- from the workbench ----


def compare_with(state: page.State) -> None:
    """A list of models to set beside this one."""
    if name := st.session_state.pop("beside", None):
        _to((state.arch, preset(name)))
    box = st.popover("Compare", width="content", key="compare", on_change="rerun")
    if not box.open:
        return

    def chosen() -> None:
        st.session_state["beside"] = st.session_state["compare:with"]

    with box:
        if state.arch != state.base and st.button("With what it was edited from", key="compare:base", width="stretch"):
            _to((state.base, state.arch))
        st.selectbox(
            "Compare with", core.presets(), index=None, key="compare:with", format_func=lambda name: preset(name).title,
            placeholder="Choose a model", on_change=chosen,
        )  # fmt: skip


def _to(archs: tuple[core.Architecture, ...]) -> None:
    st.switch_page("pages/compare.py", query_params=page.write(page.beside(page.current(), archs)))
