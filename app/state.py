"""The one value that a page shares, kept in the URL: an architecture, a workload and what is selected.

Reading the URL gives the State; an edit writes the URL. Nothing else is remembered but sentences about edits that
could not be made, so the browser's back button is undo and a link shows what its sender saw.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import streamlit as st
from pydantic import ValidationError

import core
from core.library import parse_text, preset
from core.spec import edited, sentence

FIRST = "deepseek-v3"
decoded = lru_cache(maxsize=256)(core.decode)


@dataclass(frozen=True)
class State:
    arch: core.Architecture
    workload: core.Workload
    selected: str = ""  # a node of the graph, or nothing

    @property
    def base(self) -> core.Architecture | None:
        """The preset that this architecture began as."""
        return preset(self.arch.name) if self.arch.name in core.presets() else None


def opened(arch: core.Architecture) -> State:
    """A page that shows this architecture as it is first opened."""
    return State(arch, workload({}, arch))


def read(params: Mapping[str, str]) -> State:
    """The State of a URL's parameters; Unsupported, with a sentence, where they do not make one."""
    arch = decoded(params["a"]) if "a" in params else preset(params.get("preset", FIRST))
    return State(arch, workload(params, arch), params.get("part", "")[:200])


def workload(params: Mapping[str, str], arch: core.Architecture) -> core.Workload:
    """The workload of a URL's parameters; what they leave out is the usual one, within what the model can read."""
    given = {name: params[name] for name in core.Workload.model_fields if params.get(name)}
    return _checked({"context": min(4_096, arch.context)} | given)


def _checked(fields: Mapping[str, Any]) -> core.Workload:
    try:
        return core.Workload.model_validate(fields)
    except ValidationError as error:
        raise core.Unsupported(sentence(error)) from None


def write(state: State) -> dict[str, str]:
    """The URL's parameters of a State, what goes without saying left out."""
    arch, usual = state.arch, workload({}, state.arch)
    params = {"preset": arch.name} if arch == state.base else {"a": core.encode(arch)}
    given = state.workload.model_dump(mode="json", exclude_none=True)
    params |= {name: str(value) for name, value in given.items() if value != getattr(usual, name)}
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
    """Sentences about edits that could not be made, by where they were made, until the next one that could."""
    return st.session_state.setdefault("problems", {})


def edit(path: str, value: Any) -> None:
    """Change one field of this page's architecture; where that is impossible it stays, and the reason is kept."""
    state = current()
    try:
        arch = edited(state.arch, path, value)
    except core.Unsupported as error:
        problems()[path] = str(error)
        return
    problems().clear()
    show(replace(state, arch=arch))


def rewrite(text: str, origin: str) -> core.Architecture | None:
    """The architecture that a text describes (YAML, JSON, a config.json, a link); None where it describes none, with
    the reason kept under `origin`."""
    try:
        arch = parse_text(text)
    except core.Unsupported as error:
        problems()[origin] = str(error)
        return None
    problems().clear()
    return arch


def select(node: str) -> None:
    show(replace(current(), selected=node))


def change_workload(**fields: Any) -> None:
    """Change the workload, to what the spec accepts of it."""
    state = current()
    try:
        changed = _checked(state.workload.model_dump() | fields)
    except core.Unsupported as error:
        problems()["workload"] = str(error)
        return
    problems().pop("workload", None)
    show(replace(state, workload=changed))
