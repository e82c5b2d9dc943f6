"""Controls: number fields, forms for an architecture's values, the row for the workload.

A widget's key is the path of what it changes, so that it keeps its identity while the page around it changes. It shows the
value from the URL, or the refused value above the reason.
"""

import re
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any

import streamlit as st

from core.precision import CACHE_FORMATS, OFFERED
from core.saying import said

from .. import actions
from .. import state as page
from ..facts import would_do
from .forms import Control
from .page import still, wrong

LARGEST = 1e300  # the largest number shown in a browser
WORKLOAD = {"batch": "Sequences in parallel", "context": "Tokens in each", "weights": "Weights in", "cache": "Cache in"}
STEPS = {"batch": 1, "context": 1024}
AS_SHIPPED, UNSET = "as shipped", "not set"


LATE = 0.3  # seconds that a browser takes to show a page that is done


def put(key: str, value: Any) -> None:
    """Give a widget its value. Until the browser shows it, the browser may still send the old value, which nobody typed: see `late`."""
    if (before := st.session_state.get(key, value)) != value:
        st.session_state.setdefault("late", {})[key] = before
    st.session_state[key] = value


def late(key: str) -> bool:
    """Whether a widget sends an old value that the page has already replaced. This happens while the browser does not show the new
    one yet: the run was interrupted, or it ended a moment ago (main.py notes when)."""
    done = st.session_state.get("done", -LATE)
    return (not done or monotonic() - done < LATE) and st.session_state.get("late", {}).get(key, object()) == st.session_state[key]


def number(label: str, key: str, value: float | None, step: float | None, change: Callable[..., None], **more: Any) -> None:
    """A field for a number. Whole numbers are also sent as floats, since for integers the browser would read 2.5 as 2 and 1e6 as 1."""
    put(key, None if value is None else float(min(max(value, -LARGEST), LARGEST)))
    step = None if step is None else float(step)
    st.number_input(label, value=None, key=key, step=step, format="%g", on_change=change, **more)


def typed(key: str) -> float | None:
    """The value of a number field, as an int if it is whole."""
    value = st.session_state[key]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def folded(label: str, key: str, draw: Callable[[], None]) -> None:
    """A section to open, whose content is created only while it is open."""
    box = st.expander(label, key=key, on_change="rerun")
    if box.open:
        with box:
            draw()


# ---- the workload ----


def workload(state: page.State) -> None:
    """The row of controls for the workload."""
    refused = actions.refusals(state)["workload"]
    for column, (name, words) in zip(st.columns(len(WORKLOAD)), WORKLOAD.items(), strict=True):
        problem, value = refused.get(name), getattr(state.workload, name)
        with column:
            _asked(name, words, problem.shown if problem else value)
            if problem:
                wrong(problem.words)
    for arch in state.archs:
        if arch.meant_for and state.workload.context > arch.meant_for:
            wrong(
                f"{arch.title} is meant for at most {arch.meant_for:,} tokens; {state.workload.context:,} tokens are more than it can read."
            )


def _asked(name: str, words: str, value: Any) -> None:
    key = f"w:{name}"

    def change() -> None:
        if late(key):
            return
        given = typed(key) if name in STEPS else st.session_state[key]
        actions.change_workload(name, None if given == AS_SHIPPED else given, st.session_state[key])

    if name in STEPS:
        number(words, key, value, STEPS[name], change)
    else:
        put(key, value or AS_SHIPPED)
        options = [AS_SHIPPED, *OFFERED] if name == "weights" else CACHE_FORMATS
        st.selectbox(words, options, key=key, on_change=change)


# ---- an architecture's own values ----


def form(state: page.State, name: str, own: list[Control], was: Mapping[str, Any]) -> None:
    """Widgets for fields of the selected architecture; each edits its field. `was` has the preset's values by path."""
    refused = actions.refusals(state)["fields"]
    waiting: list[Control] = []  # refused fields, whose reasons follow their row
    halves = 0

    def row_ends() -> None:
        nonlocal halves
        halves = 0
        for control in waiting:
            _refused(state, control, refused[control.path])
        waiting.clear()

    with st.container(key=f"form-{name}"):
        for control in own:
            full = control.kind == "section" or _few(control)
            if full or halves == 2:
                row_ends()
            if control.kind == "section":
                if sum(other.path.rpartition(".")[0] == control.path for other in own) > 1:  # one field needs no heading
                    st.caption(control.label)
                continue
            key, problem = f"f:{control.path}", refused.get(control.path)
            changed = control.path in was and was[control.path] != control.value
            label = f"{control.label}, was {_said(was[control.path])}" if changed else control.label
            _widget(control, key, label, problem.shown if problem else control.value)
            waiting += [control] if problem else []
            halves += 2 if full else 1
        row_ends()


def _refused(state: page.State, control: Control, problem: actions.Refused) -> None:
    """Why a value was refused, what the model still has, and buttons with values that would do."""

    def take(path: str, value: Any) -> None:
        actions.edit(path, value, value)

    with st.container(key=f"refused-{control.path}", gap="xsmall"):
        wrong(problem.words)
        if not isinstance(problem.value, int | float | str | None):
            return
        found = would_do(state.arch, control.path, problem.value, state.workload)
        now = _said(control.value)
        still(f"Not applied: {control.label} is still {now}." + " These would do:" * bool(found))
        with st.container(horizontal=True, gap="xsmall"):
            for offer in found:
                label = f"{offer.words} :small[:gray[{offer.effect}]]" if offer.effect else offer.words
                st.button(label, key=f"r:{control.path}:{offer.words}", on_click=take, args=(offer.path, offer.value))
            st.button(f"keep {now}", key=f"r:{control.path}:keep", type="tertiary", on_click=take, args=(control.path, control.value))


def _said(value: object) -> str:
    return UNSET if value is None else said(value)


def _widget(control: Control, key: str, label: str, value: Any) -> None:
    def change() -> None:
        if late(key):
            return
        given = shown = st.session_state[key]
        if control.kind in ("integer", "number"):
            given = typed(key)
        elif control.kind == "word":
            given = _value(shown)
        elif control.kind == "optional":
            given = control.starters["on"] if shown and control.starters else None
        elif control.kind == "choice":
            chosen = None if shown == UNSET else shown
            given = chosen if control.starters is None else control.starters.get(shown)
        actions.edit(control.path, given, shown)

    more: dict[str, Any] = {"key": key, "help": control.help or None, "on_change": change}
    match control.kind:
        case "integer" | "number":
            step = _step(value) if control.kind == "integer" else None
            number(label, value=value, step=step, change=more.pop("on_change"), placeholder="none" if control.empty else None, **more)
        case "word":
            put(key, value if isinstance(value, str) else "" if value is None else _said(value).replace(",", ""))
            st.text_input(label, placeholder="none" if control.empty else None, max_chars=64, **more)
        case "switch" | "optional":
            put(key, value)
            st.toggle(label.replace("_", "_\u200b"), **more)  # where a long name may break
        case "choice":
            options = _options(control)
            put(key, value if value in options else options[0])
            if _few(control):
                st.segmented_control(label, options, required=True, width="stretch", **more)
            else:
                st.selectbox(label, options, **more)


def _value(word: str) -> str | float | bool | None:
    """What a word says: a number, on, off, nothing, or the word itself."""
    word = word.strip()
    if re.fullmatch(r"-?[0-9]{1,15}(\.[0-9]{0,15})?(e[-+]?[0-9]{1,2})?", word):
        return float(word)
    return {"": None, "on": True, "off": False}.get(word, word)


def _options(control: Control) -> list[str]:
    return [*([UNSET] if control.empty and not control.starters else []), *control.options]


def _few(control: Control) -> bool:
    """Whether all options of a choice stand in one row."""
    options = _options(control)
    return control.kind == "choice" and len(options) <= 3 and sum(len(str(option)) for option in options) < 24


def _step(value: float | None) -> int:
    """The step of a number field: 1 for counts, larger for widths."""
    return 64 if value and value >= 128 and value % 64 == 0 else 1
