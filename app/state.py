"""The one value that a page shares, kept in the URL: one or several architectures, a workload, snapshots and what is selected.

Reading the URL gives the State; `actions` write another. So the browser's back button is undo, and a link shows what its sender saw.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

import streamlit as st
from pydantic import ValidationError

import core
from core import hub
from core.kept import kept
from core.library import preset
from core.share import MAX_TOKEN, PREFIX
from core.shares import MEASURES
from core.spec import sentence

from .facts import decoded, encoded

FIRST = "deepseek-v3"
MOST = 4  # architectures on one page
OURS = {"preset", "a", "from", "m", "at", "part", "keep", *core.Workload.model_fields, "by", "zoom", "all"}  # the URL parameters of a State
REPEATED = ("m", "keep")
MOST_TRIED = 6  # models of a link that are looked at: a wrong one may take a third of a second
ALONE, COMPARED = 4_096, 32_768  # the usual context of one model's page, and of several models beside each other
MOST_KEPT, MOST_NAME, MOST_LETTERS = 6, 40, 12_000  # snapshots, characters of a name, characters of all in a link


@dataclass(frozen=True)
class State:
    """What a page shows. Controls, edits and the inspector are for `arch`, the selected architecture."""

    archs: tuple[core.Architecture, ...]
    workload: core.Workload
    selected: str = ""  # a node of its graph, or nothing
    at: int = 0  # the index of the selected architecture
    start: core.Architecture | None = None  # what the page's one architecture was edited from, if it is no preset of its name
    kept: tuple[tuple[str, core.Architecture], ...] = ()  # snapshots and their names
    zoom: str = ""  # a part, by its node, that is open over the page; an edit or another model closes it
    everything: bool = False  # a comparison also shows what is the same
    by: str = ""  # the measure that shades the picture; its boxes have the colours of their roles without one

    @property
    def arch(self) -> core.Architecture:
        return self.archs[self.at]

    @property
    def base(self) -> core.Architecture:
        """What this architecture was edited from: a preset, or what was opened."""
        return self.start or base_of(self.arch)

    def holding(self, arch: core.Architecture) -> "State":
        """The same page with the selected architecture edited."""
        return replace(self._with(arch, self.base if len(self.archs) == 1 else None), zoom="")

    def opening(self, arch: core.Architecture) -> "State":
        """The same page with another architecture instead of the selected one, from which edits start."""
        return replace(self._with(arch, None), zoom="")

    def _with(self, arch: core.Architecture, start: core.Architecture | None) -> "State":
        archs = (*self.archs[: self.at], arch, *self.archs[self.at + 1 :])
        return replace(self, archs=archs, start=None if start == base_of(arch) else start)


def base_of(arch: core.Architecture) -> core.Architecture:
    """The preset of this name, or the architecture itself."""
    return preset(arch.name) if arch.name in core.presets() else arch


def word(arch: core.Architecture) -> str:
    """An architecture in a link: a preset's name, or a token with the whole architecture."""
    return arch.name if arch.name in core.presets() and arch == preset(arch.name) else encoded(arch)


def of_word(given: str) -> core.Architecture:
    if hub.is_name(given.strip()):
        words = "is fetched only by the page /compare; here give a preset's name or a token, as the links of the app have it"
        raise core.Unsupported(f"{given[:120]!r} {words}")
    return decoded(given) if given.startswith(PREFIX) else preset(given.strip())


def opened(arch: core.Architecture, before: State | None = None) -> State:
    """The page for a newly opened architecture, which replaces the page's selected one. The workload
    stays, limited to what the models can read."""
    if before is None:
        return State((arch,), workload({}, arch))
    return replace(before.opening(arch), selected="", workload=workload_for(before, before.opening(arch).archs))


def beside(before: State, archs: Sequence[core.Architecture]) -> State:
    """The page with other architectures, one to `MOST`."""
    start = before.start if [*archs] == [*before.archs] else None
    return State(tuple(archs), workload_for(before, archs), start=start, kept=before.kept, everything=before.everything)


def workload_for(before: State, archs: Sequence[core.Architecture]) -> core.Workload:
    """A page's workload for other architectures, limited to what they can read."""
    asked = before.workload.context
    chosen = asked != workload({}, *before.archs).context
    context = min(asked, *(one.context for one in archs)) if chosen else workload({}, *archs).context
    return before.workload.model_copy(update={"context": context})


def read(params: Mapping[str, Any]) -> State:
    """The State of a URL's parameters; Unsupported, with a sentence, if they are not valid.

    `preset` (a name) or `a` (a token) gives one architecture, and `from` what it was edited from; repeated `m`, each a name or a
    token, gives several. Each `keep` is a snapshot: its name, a colon, and a preset's name or a token.
    """
    several, kept = ([given] if isinstance(given := params.get(name) or [], str) else given for name in REPEATED)
    if len(several) > MOST:
        raise core.Unsupported(f"m: {len(several)} architectures are more than a page shows; give at most {MOST}")
    archs = tuple(map(of_word, several))
    archs = archs or (decoded(params["a"]) if "a" in params else preset(params.get("preset", FIRST).strip()),)
    places = [str(i) for i in range(len(archs))]
    at = places.index(params["at"]) if params.get("at") in places else 0
    by = by if (by := params.get("by", "")) in MEASURES else ""
    part, zoom = (params.get(name, "")[:200] for name in ("part", "zoom"))
    state = State(archs, workload(params, *archs), part, at, kept=snapshots(kept), zoom=zoom, everything=params.get("all") == "1", by=by)
    return state._with(state.arch, of_word(params["from"])) if "from" in params and len(archs) == 1 else state


def mended(params: Mapping[str, Any]) -> tuple[Mapping[str, Any], list[str]]:
    """The parameters of a comparison's link without what cannot be shown, and a sentence for each thing that is left out. The same
    parameters if they are no comparison."""
    if "m" not in params:
        return params, []
    given = dict(params)
    several, kept = ([value] if isinstance(value := given.get(name) or [], str) else [*value] for name in REPEATED)
    several = [*filter(str.strip, several)]
    good: list[str] = []
    told: list[str] = []
    for name in several[:MOST_TRIED]:
        if len(good) < MOST and (problem := _unopened(name)):
            told.append(problem)
        elif len(good) < MOST:
            good.append(name)
    if rest := several[len(good) + len(told) :]:
        names = ", ".join(name[:40] for name in rest[:MOST])
        told.append(f"a page shows at most {MOST} models, so it does not show {names}{' and others' * (len(rest) > MOST)}")
    given["m"] = good
    if not good:
        del given["m"]
    for name in core.Workload.model_fields:
        if given.get(name) and (problem := _problem(checked, {name: given[name]})):
            told.append(problem)
            del given[name]
    if kept and (problem := _problem(snapshots, kept)):
        told.append(problem)
        del given["keep"]
    return given, told


@kept(4_000_000, lambda words: MAX_TOKEN + len(words))
def _unopened(word: str) -> str:
    """Why a word of a link opens no architecture; empty if it does. Each run of a page asks again."""
    return _problem(of_word, word)


def _problem(make: Callable, given: Any) -> str:
    """Why something cannot be made of what is given; empty if it can."""
    try:
        make(given)
    except core.Unsupported as error:
        return str(error)
    return ""


def snapshots(words: Sequence[str]) -> tuple[tuple[str, core.Architecture], ...]:
    """The snapshots of a URL."""
    if len(words) > MOST_KEPT:
        raise core.Unsupported(f"keep: {len(words)} snapshots are more than a link holds; give at most {MOST_KEPT}")
    if sum(map(len, words)) > MOST_LETTERS:
        raise core.Unsupported(f"keep: the snapshots have more than {MOST_LETTERS:,} characters; give fewer")
    pairs = [word.rpartition(":") for word in words]
    return tuple((named(name), of_word(token)) for name, _, token in pairs)


def named(name: str) -> str:
    """The name of a snapshot, on one line and without characters that cannot be shown."""
    shown = "".join(c if c.isprintable() else "\ufffd" for c in " ".join(name.split()))
    if not 1 <= len(shown) <= MOST_NAME:
        raise core.Unsupported(f"keep: give a snapshot a name of 1 to {MOST_NAME} characters, then a colon and an architecture")
    return shown


def workload(params: Mapping[str, Any], *archs: core.Architecture) -> core.Workload:
    """The workload of a URL's parameters; missing ones have their defaults, limited to what each model can read."""
    given = {name: params[name] for name in core.Workload.model_fields if params.get(name)}
    usual = COMPARED if len(archs) > 1 else ALONE
    return checked({"context": min(usual, *(arch.meant_for or usual for arch in archs))} | given)


def checked(fields: Mapping[str, Any]) -> core.Workload:
    try:
        return core.Workload.model_validate(fields)
    except ValidationError as error:
        raise core.Unsupported(sentence(error)) from None


def write(state: State) -> dict[str, str | list[str]]:
    """The URL parameters of a State, without defaults."""
    words = [word(arch) for arch in state.archs]
    one = "a" if words[0].startswith(PREFIX) else "preset"
    params: dict[str, str | list[str]] = {"m": words} if len(words) > 1 else {one: words[0]}
    params |= {"from": word(state.start)} if state.start else {}
    usual, given = workload({}, *state.archs), state.workload.model_dump(mode="json", exclude_none=True)
    params |= {name: str(value) for name, value in given.items() if value != getattr(usual, name)}
    params |= {"at": str(state.at)} if state.at else {}
    params |= {"all": "1"} if state.everything else {}
    params |= {"keep": [f"{name}:{word(arch)}" for name, arch in state.kept]} if state.kept else {}
    return params | {name: value for name, value in (("part", state.selected), ("zoom", state.zoom), ("by", state.by)) if value}


def link(state: State) -> str:
    """The address of a State, relative to its page."""
    return "?" + urlencode(write(state), doseq=True)


def address() -> dict[str, str | list[str]]:
    """The parameters of this page's URL; all values of those that may be repeated, and the last value of others."""
    several = {name: st.query_params.get_all(name) for name in REPEATED if name in st.query_params}
    return {**st.query_params.to_dict(), **several}


def current() -> State:
    """This page's State; an invalid URL leads to the gallery, which shows the reason. Of a comparison, what is valid is shown. A URL
    without a State stands for the one that was left when the visitor came back to it."""
    given = address()
    try:
        return read(mended(given)[0] if given.keys() & OURS else st.session_state.get("returned", {}))
    except core.Unsupported:
        st.switch_page("pages/gallery.py", query_params=given)


def back_again(*names: str) -> None:
    """A visitor who comes back through the menu, whose links have no parameters, finds what was left: the first of these that is there."""
    if st.session_state.pop("arrived", False) and not address().keys() & OURS:
        left: dict = next((found for name in names if (found := st.session_state.get(name))), {})
        st.session_state["returned"] = left
        if left:
            st.query_params.from_dict(left)


def leave() -> str:
    """Remove a State's parameters from the URL of a page that shows none. Returns why they are invalid, if they are."""
    given = address()
    ours = given.keys() & OURS
    for name in ours:  # one by one: Streamlit does not allow writing those of a widget
        del st.query_params[name]
    try:
        if ours:
            read(given)
    except core.Unsupported as error:
        return str(error)
    return ""
