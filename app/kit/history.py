"""The workbench's history: undo, redo and reset, snapshots, the edits one by one, and what each of them did."""

from collections.abc import Callable
from html import escape
from typing import Any

import streamlit as st

import core
from core.words import figure, size, tokens

from .. import actions
from .. import state as page
from ..facts import apart, cost, split
from .component import component
from .headline import moves
from .page import title, wrong

MOST_WORDS = 60  # characters of an edit on a button
_history = component("history", '<div class="strata-root"></div>', ".strata-root")


def history(state: page.State) -> None:
    """Undo, redo and reset, each with what it does; the snapshots; and the edits, each to be dropped."""
    past, base, arch = actions.seen(state), state.base, state.arch
    st.session_state["left"] = page.write(state)
    edits = [edit.words for edit in split(base, arch)]
    refused = actions.refusals(state)
    data = {
        "at": past.at,
        "steps": len(past.steps),
        "undo": _between(past.beside(-1), actions.opened_of(state)),
        "redo": _between(actions.opened_of(state), past.beside(1)),
        "base": base.title,
        "edits": edits,
        "reset": bool(edits) or any(refused.values()),
        "kept": [[name, one == arch] for name, one in state.kept],
        "room": len(state.kept) < page.MOST_KEPT,
        "last": _last(state, past.beside(-1)),
    }
    _history(key="history", data=data, on_asked_change=lambda: _do(st.session_state["history"].asked))
    for problem in refused["history"].values():
        wrong(problem.words)


def _do(asked: Any) -> None:
    """What a visitor asked for: a word, and what it is about."""
    match asked:
        case ["step", int(at)]:
            actions.step_to(at)
        case ["reset", _]:
            actions.reset()
        case ["drop", str(words)]:
            actions.drop(words)
        case ["keep", _]:
            actions.keep(_name(page.current()))
        case ["rename", [int(index), str(name)]]:
            actions.rename_kept(index, name)
        case ["open", int(index)]:
            actions.open_kept(index)
        case ["forget", int(index)]:
            actions.forget(index)


def _last(state: page.State, before: actions.Opened | None) -> dict[str, Any] | None:
    """What the last edit moved, for the bar on a phone; of a link that is opened edited, what all its edits moved. None without edits."""
    edited = before and len(before[0]) == len(state.archs) and actions.start_of(before) == actions.start_of(actions.opened_of(state))
    if not edited and state.arch == state.base:
        return None
    began = page.of_word(before[0][state.at]) if before and edited else state.base
    edits = [edit.words for edit in split(began, state.arch)]
    words = edits[0] if len(edits) == 1 else f"{len(edits)} edits"
    return {"words": words, "at": tokens(state.workload.context), "moves": moves(state.arch, began, state.workload)} if edits else None


def _between(before: actions.Opened | None, after: actions.Opened | None) -> str | None:
    """What leads from one step to the next, in words; None if there is no such step."""
    if before is None or after is None:
        return None
    if len(before[0]) != len(after[0]) or actions.start_of(before) != actions.start_of(after):
        return f"opening {page.of_word(after[0][0]).title}"
    a, b = next(((a, b) for a, b in zip(before[0], after[0], strict=True) if a != b), (before[0][0], after[0][0]))
    edits = [edit.words for edit in split(page.of_word(a), page.of_word(b))]
    if len(edits) > 1 and b in actions.start_of(after):
        return "reset"
    edits = [edit.words for edit in apart(page.of_word(a), page.of_word(b))] if len(edits) > 1 else edits  # one change of several parts
    return _short(edits[0] if len(edits) == 1 else f"{len(edits)} edits") if edits else "opening"


def _short(words: str, most: int = MOST_WORDS) -> str:
    return words if len(words) <= most else f"{words[: most - 1].rstrip()}…"


def _name(state: page.State) -> str:
    """A name for a snapshot: what differs from the start, or the start itself; no two are the same."""
    edits = [edit.words for edit in split(state.base, state.arch)]
    words = _short(", ".join(reversed(edits)) or state.base.title, page.MOST_NAME)
    names, number = {name for name, _ in state.kept}, 2
    name = words
    while name in names:
        name, number = f"{_short(words, page.MOST_NAME - 3)} {number}", number + 1
    return name


# ---- what each edit did ----


@st.fragment(parallel=True)
def what_each_did(state: page.State) -> None:
    """A row for each edit, in order: its effect on each figure. The first row is the start, the last one is now."""
    w = state.workload
    title("What each edit did", f"in order, at {f'{w.batch:,} × ' if w.batch > 1 else ''}{tokens(w.context)}")
    columns: dict[str, tuple[str, Callable[[float], str]]] = {
        "Parameters": ("parameters", figure),
        "Active": ("active_parameters", figure),
        "Weights": ("weight_bytes", size),
        "Caches": ("kept_bytes", size),
        "Decode": ("decode_flops", lambda n: figure(n, "FLOP")),
    }

    def values(arch: core.Architecture) -> list[float | None]:
        found = cost(arch, w)
        return [getattr(found, name) for name, _ in columns.values()]

    def cell(value: float | None, before: float | None, show: Callable[[float], str]) -> str:
        if value is None or before is None:
            return "<td>not known</td>"
        if value == before:
            return '<td class="same">same</td>'
        return f"<td>{'+' if value > before else '−'}{escape(show(abs(value - before)))}</td>"

    shows = [show for _, show in columns.values()]

    def whole(words: str, arch: core.Architecture) -> str:
        cells = (f"<td>{'not known' if n is None else escape(show(n))}</td>" for n, show in zip(values(arch), shows, strict=True))
        return f'<tr class="whole"><th scope="row">{escape(words)}</th>{"".join(cells)}</tr>'

    rows = [whole(state.base.title, state.base)]
    for edit in split(state.base, state.arch):
        cells = map(cell, values(edit.after), values(edit.before), shows)
        rows.append(f'<tr><th scope="row">{escape(edit.words)}</th>{"".join(cells)}</tr>')
    rows.append(whole("Now", state.arch))
    heads = "".join(f'<th scope="col">{name}</th>' for name in columns)
    table = f'<table><thead><tr><th scope="col">Edit</th>{heads}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
    st.html(f'<div class="did" tabindex="0" role="region" aria-label="What each edit did">{table}</div>')
