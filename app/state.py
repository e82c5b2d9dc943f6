"""The one value that a page shares, kept in the URL: an architecture, a workload and what is selected.

Reading the URL gives the State; an edit writes the URL. Nothing else is remembered but sentences about edits that
could not be made, so the browser's back button is undo and a link shows what its sender saw.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import streamlit as st
from pydantic import ValidationError

import core
from core.library import preset
from core.spec import edited, sentence

FIRST = "deepseek-v3"


@dataclass(frozen=True)
class State:
    arch: core.Architecture
    workload: core.Workload
    selected: str  # a node of the graph, or nothing

    @property
    def base(self) -> core.Architecture | None:
        """The preset that this architecture began as."""
        return preset(self.arch.name) if self.arch.name in core.presets() else None


def read(params: Mapping[str, str]) -> State:
    """The State of a URL's parameters; Unsupported, with a sentence, where they do not make one."""
    if "a" in params:
        arch = _decoded(params["a"])
    else:
        arch = preset(params.get("preset", FIRST))
    given = {name: params[name] for name in ("batch", "context", "weights", "cache") if params.get(name)}
    try:
        workload = core.Workload.model_validate(given)
    except ValidationError as error:
        raise core.Unsupported(sentence(error)) from None
    return State(arch, workload, params.get("part", "")[:200])


@lru_cache(maxsize=256)
def _decoded(token: str) -> core.Architecture:
    return core.decode(token)


def write(state: State) -> dict[str, str]:
    """The URL's parameters of a State, defaults left out."""
    arch = state.arch
    params = {"preset": arch.name} if arch == state.base else {"a": core.encode(arch)}
    params |= {k: str(v) for k, v in state.workload.model_dump(mode="json", exclude_defaults=True).items()}
    return params | ({"part": state.selected} if state.selected else {})


def current() -> State:
    """This page's State; a URL that makes none leads to the gallery, with the sentence that says why."""
    try:
        return read(st.query_params.to_dict())
    except core.Unsupported as error:
        st.session_state["notice"] = str(error)
        st.switch_page("pages/gallery.py")


def show(state: State) -> None:
    """Put a State in the URL; the browser's history remembers the one before."""
    st.query_params.from_dict(write(state))


def problems() -> dict[str, str]:
    """Sentences about edits that could not be made, by the field's path, until the next one that could."""
    return st.session_state.setdefault("problems", {})


def edit(path: str, value: Any) -> None:
    """Change one field of this page's architecture; where that is impossible the architecture stays and the reason is kept."""
    state = current()
    try:
        arch = edited(state.arch, path, value)
    except core.Unsupported as error:
        problems()[path] = str(error)
        return
    problems().clear()
    show(State(arch, state.workload, state.selected))


def select(node: str) -> None:
    state = current()
    show(State(state.arch, state.workload, node))


def change_workload(**fields: Any) -> None:
    """Change the workload, to what the spec accepts of it."""
    state = current()
    try:
        workload = core.Workload.model_validate(state.workload.model_dump() | fields)
    except ValidationError as error:
        problems()["workload"] = sentence(error)
        return
    problems().pop("workload", None)
    show(State(state.arch, workload, state.selected))
