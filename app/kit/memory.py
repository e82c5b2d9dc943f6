"""The workbench's memory: weights, caches and states in bytes, below each what it was, and the caches of every context."""

from html import escape

import streamlit as st

import core
from core.cost import Cost
from core.words import percent, size, tokens

from .. import state as page
from ..facts import cost
from .charts import cache_curve, legend, memory_roles
from .charts import memory as memory_chart
from .page import dark, figure, how, lead, title
from .widgets import workload


def memory(state: page.State) -> None:
    """What is kept in memory now and at the start, with the workload's own controls."""
    w, start = state.workload, None if state.base == state.arch else state.base
    now, then = cost(state.arch, w), cost(start, w) if start else None
    many = "one sequence" if w.batch == 1 else f"{w.batch:,} sequences"
    grey = f"; grey below: {start.title} at the start" if start else ""
    title(f"Memory at {tokens(w.context)}", f"{many}, cache in {w.cache}{grey}")
    if now.unsized:
        lead(f"The bytes of the weights as shipped are not known: {now.unsized}. Choose a format below to see the bytes in that format.")
    st.html(f'<div class="keeps">{_bars(now, then)}</div>')
    workload(state)
    _memory_charts(state.arch, w, start)


def _bars(now: Cost, then: Cost | None) -> str:
    """A row for the weights, on a scale of its own, and one each for caches and states, on theirs."""
    formats = now.workload.weights or "as shipped"
    read = "all of them are read for a token"
    if now.active_parameters != now.parameters:
        read = f"{percent(now.active_parameters / now.parameters)} are read for a token"
    rows = []
    if not now.unsized:
        roles = {role: figures["weight_bytes"] or 0 for role, figures in now.by("role").items()}
        before = then.weight_bytes if then else None
        rows.append(_row(f"Weights, {formats}", read, roles, before, max(now.weight_bytes or 0, before or 0), then is not None))
    most = max(max(c.kv_bytes, c.state_bytes) for c in (now, then) if c)
    kinds = {"Caches": ("kv_bytes", "cache", "on a scale of their own"), "States": ("state_bytes", "recurrence", "the same at any length")}
    for words, (name, role, note) in kinds.items():
        value, before = getattr(now, name), getattr(then, name) if then else None
        if value or before:
            layers = sum(row.count for row in now.rows if getattr(row, name))
            named = f"{words}, {layers:,} layer{'s' if layers > 1 else ''}" if layers else words
            rows.append(_row(named, note, {role: value}, before, most, then is not None))
    return "".join(rows)


def _row(words: str, note: str, roles: dict[str, int], before: int | None, most: int, edited: bool) -> str:
    """The bytes by role as one bar, and below it the start's."""
    total = sum(roles.values())
    pieces = "".join(f'<b style="width:{100 * n / total:.2f}%;background:var(--{role})"></b>' for role, n in roles.items() if n)
    bar = f'<i class="now" style="width:{100 * total / most:.2f}%">{pieces}</i>' if total else ""
    bar += f'<i class="then" style="width:{100 * before / most:.2f}%"></i>' if before else ""
    was = "" if not edited else "same" if before == total else f"was {size(before) if before != 0 else 'none'}"
    return (
        f'<div class="row"><div class="k">{escape(words)}<small>{escape(note)}</small></div><div class="bar">{bar}</div>'
        f'<div class="v">{escape(size(total) if total else "none")}</div><div class="was">{escape(was)}</div></div>'
    )


@st.fragment(parallel=True)
def _memory_charts(arch: core.Architecture, w: core.Workload, start: core.Architecture | None) -> None:
    weights, caches = st.columns(2, gap="large")
    with weights:
        sentence = "Weights by component, and the caches at the end of each bar. Dotted lines: the memory of accelerators."
        figure("", sentence, memory_chart(arch, w, dark()), key="memory")
        st.html(legend(memory_roles(arch)))
    with caches:
        before = f" Dashed: {start.title} at the start." if start else ""
        sentence = f"Caches and states as the context grows.{before} Dotted curve: plain multi-head attention without windows."
        figure("", sentence, cache_curve(arch, w, dark(), start), key="curve")
        how("", cost(arch, w).kept)
