"""The one value that a page shares, kept in the URL: one or several architectures, a workload, snapshots and what is selected.

Reading the URL gives the State; an edit writes the URL. So the browser's back button is undo, and a link shows what its sender
saw. The session also has refused inputs for the value that the page shows, and the steps that led to it.
"""

import re
from base64 import b64decode
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any
from urllib.parse import urlencode

import streamlit as st
from pydantic import ValidationError

import core
from core.library import called, parse_text, preset
from core.share import PREFIX
from core.spec import edited, sentence
from core.split import without

from .facts import decoded, encoded, graph, split

FIRST = "deepseek-v3"
MOST = 4  # architectures on one page
OURS = {"preset", "a", "from", "m", "at", "part", "keep", *core.Workload.model_fields}  # the URL parameters of a State
REPEATED = ("m", "keep")
MOST_KEPT, MOST_NAME, MOST_LETTERS = 6, 40, 12_000  # snapshots, characters of a name, characters of all in a link
MOST_STEPS = 60  # that can be undone
MOST_HEADER = 3_000_000  # letters of a GGUF header that a browser sends


@dataclass(frozen=True)
class State:
    """What a page shows. Controls, edits and the inspector are for `arch`, the selected architecture."""

    archs: tuple[core.Architecture, ...]
    workload: core.Workload
    selected: str = ""  # a node of its graph, or nothing
    at: int = 0  # the index of the selected architecture
    start: core.Architecture | None = None  # what the page's one architecture was edited from, if it is no preset of its name
    kept: tuple[tuple[str, core.Architecture], ...] = ()  # snapshots and their names

    @property
    def arch(self) -> core.Architecture:
        return self.archs[self.at]

    @property
    def base(self) -> core.Architecture:
        """What this architecture was edited from: a preset, or what was opened."""
        return self.start or base_of(self.arch)

    def holding(self, arch: core.Architecture) -> "State":
        """The same page with the selected architecture edited."""
        return self._with(arch, self.base if len(self.archs) == 1 else None)

    def opening(self, arch: core.Architecture) -> "State":
        """The same page with another architecture instead of the selected one, from which edits start."""
        return self._with(arch, None)

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
    return decoded(given) if given.startswith(PREFIX) else preset(given.strip())


def opened(arch: core.Architecture, before: State | None = None) -> State:
    """The page for a newly opened architecture, which replaces the page's selected one. The workload
    stays, limited to what the models can read."""
    if before is None:
        return State((arch,), workload({}, arch))
    after, asked = replace(before.opening(arch), selected=""), before.workload.context
    chosen = asked != workload({}, *before.archs).context
    context = min(asked, *(one.context for one in after.archs)) if chosen else workload({}, *after.archs).context
    return replace(after, workload=before.workload.model_copy(update={"context": context}))


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
    state = State(archs, workload(params, *archs), params.get("part", "")[:200], at, kept=_kept(kept))
    return state._with(state.arch, of_word(params["from"])) if "from" in params and len(archs) == 1 else state


def _kept(words: Sequence[str]) -> tuple[tuple[str, core.Architecture], ...]:
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
    return _checked({"context": min(4_096, *(arch.context for arch in archs))} | given)


def _checked(fields: Mapping[str, Any]) -> core.Workload:
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
    params |= {"keep": [f"{name}:{word(arch)}" for name, arch in state.kept]} if state.kept else {}
    return params | ({"part": state.selected} if state.selected else {})


def link(state: State) -> str:
    """The address of a State, relative to its page."""
    return "?" + urlencode(write(state), doseq=True)


def address() -> dict[str, str | list[str]]:
    """The parameters of this page's URL; all values of those that may be repeated, and the last value of others."""
    several = {name: st.query_params.get_all(name) for name in REPEATED if name in st.query_params}
    return {**st.query_params.to_dict(), **several}


def current() -> State:
    """This page's State; an invalid URL leads to the gallery, which shows the reason. A URL without a State stands for the one that
    was left when the visitor came back to it."""
    given = address()
    try:
        return read(given if given.keys() & OURS else st.session_state.get("returned", {}))
    except core.Unsupported:
        st.switch_page("pages/gallery.py", query_params=given)


def back_again() -> None:
    """A visitor who comes back through the menu, whose links have no parameters, finds what was left."""
    if st.session_state.pop("arrived", False) and not address().keys() & OURS and (left := st.session_state.get("left")):
        st.session_state["returned"] = left
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


def show(state: State) -> None:
    """Write a State to the URL; the browser's history keeps the previous one, and so does `past` if the architecture is another."""
    seen(current()).went(opened_of(state))
    st.query_params.from_dict(write(state))


# ---- undo and redo ----


Opened = tuple[tuple[str, ...], str]  # the part of a URL that counts for undo: the architectures, and what they were edited from


@dataclass
class Past:
    """The steps of a session: what the page showed one after another, and which of it is shown now."""

    steps: tuple[Opened, ...] = ()
    at: int = 0

    def went(self, now: Opened) -> None:
        """A new step, if it is one; what was undone before it cannot be redone any more."""
        if self.steps and self.steps[self.at] == now:
            return
        self.steps = (*self.steps[: self.at + 1], now)[-MOST_STEPS:]
        self.at = len(self.steps) - 1

    def found(self, now: Opened) -> None:
        """What the address says, perhaps after the browser's own buttons: the nearest step that is equal; another start has no past."""
        same = [n for n, step in enumerate(self.steps) if step == now]
        if same:
            self.at = min(same, key=lambda n: abs(n - self.at))
        elif self.steps and start_of(self.steps[self.at]) == start_of(now):
            self.went(now)
        else:
            self.steps, self.at = (now,), 0

    def beside(self, by: int) -> Opened | None:
        """The step before (-1) or after (1) the one that is shown."""
        return self.steps[self.at + by] if 0 <= self.at + by < len(self.steps) else None


def opened_of(state: State) -> Opened:
    return tuple(map(word, state.archs)), word(state.start) if state.start else ""


def start_of(opened: Opened) -> tuple[str, ...]:
    """What the architectures of a step were edited from, as words of a link."""
    return (opened[1],) if opened[1] else tuple(word(base_of(of_word(given))) for given in opened[0])


def of_step(step: Opened, state: State) -> State:
    """The page with the architectures of a step; workload, selection and snapshots stay."""
    archs = tuple(map(of_word, step[0]))
    return replace(state, archs=archs, at=min(state.at, len(archs) - 1), start=of_word(step[1]) if step[1] else None)


def seen(state: State) -> Past:
    """The session's steps, of which this State is the present one."""
    past = st.session_state.setdefault("past", Past())
    past.found(opened_of(state))
    return past


def step(by: int) -> None:
    """Undo (-1) or redo (1)."""
    state = current()
    past = seen(state)
    if to := past.beside(by):
        past.at += by
        st.query_params.from_dict(write(of_step(to, state)))


# ---- refused inputs ----


@dataclass(frozen=True)
class Refused:
    """A refused input of a visitor: its widget still shows it, with the reason."""

    shown: Any  # what the widget shows
    words: str
    value: Any = None  # the value of the field


def refused(form: str, of: Hashable) -> dict[str, Refused]:
    """Refused inputs by field, for the value that a form shows; forgotten when that form shows another value."""
    kept = st.session_state.setdefault("refused", {})
    if form not in kept or kept[form][0] != of:
        kept[form] = (of, {})
    return kept[form][1]


def refusals(state: State) -> dict[str, dict[str, Refused]]:
    """All refused inputs of a page: of its fields, its layers, its text, its workload."""
    own = (state.at, state.arch)
    asked = (state.archs, state.workload)
    forms = {"fields": own, "edits": own, "text": own, "history": own, "workload": asked}
    return {form: refused(form, of) for form, of in forms.items()}


def text_key(arch: core.Architecture) -> str:
    """The key of the widget with an architecture as text; each architecture has its own."""
    return f"text:{hash(arch)}"


def reset() -> None:
    """Go back to what this architecture was edited from, and forget refused inputs."""
    state = current()
    for found in refusals(state).values():
        found.clear()
    st.session_state.pop(text_key(state.arch), None)
    show(state.holding(state.base))


def edit(path: str, value: Any, shown: Any) -> None:
    """Change one field of the selected architecture; if that is refused, the architecture stays, and the widget keeps its input."""
    state = current()
    found = refusals(state)
    if arch := _tried(found["fields"], path, value, shown, lambda also: edited(state.arch, path, value, also)):
        _showing(state.holding(arch), found, path)


def change(control: str, make: Callable[[core.Architecture], core.Architecture], shown: Any = None, select: Callable | None = None) -> bool:
    """Apply one of `core.edits` to the selected architecture. If it is refused, the architecture stays, and the reason stays beside the
    control. `select` gives the node to select afterwards; otherwise the selected one stays if it is still there."""
    state = current()
    found = refusals(state)
    found["edits"].clear()
    try:
        arch = make(state.arch)
    except core.Unsupported as error:
        found["edits"][control] = Refused(shown, str(error))
        return False
    node = select(arch) if select else state.selected
    _showing(replace(state.holding(arch), selected=node if node in graph(arch) else ""), found, control)
    return True


def _showing(after: State, found: Mapping[str, dict[str, Refused]], changed: str) -> None:
    """Show the page after an edit; other inputs that were refused before it stay in their fields."""
    waiting = refusals(after)
    _wait(found["fields"], waiting["fields"], changed, lambda field, given: edited(after.arch, field, given))
    _wait(found["workload"], waiting["workload"], changed, lambda field, given: change_of(after, field, given))
    show(after)


def change_workload(name: str, value: Any, shown: Any) -> None:
    """Change one field of the workload, if the spec accepts it."""
    state = current()
    found = refusals(state)["workload"]
    if asked := _tried(found, name, value, shown, lambda also: change_of(state, name, value, also)):
        after = replace(state, workload=asked)
        _wait(found, refusals(after)["workload"], name, lambda field, given: change_of(after, field, given))
        show(after)


def change_of(state: State, name: str, value: Any, also: Mapping[str, Any] = MappingProxyType({})) -> core.Workload:
    """The workload with one field changed, and before it the fields of `also`."""
    return _checked({**state.workload.model_dump(), **also, name: value})


def _tried(found: dict[str, Refused], path: str, value: Any, shown: Any, make: Callable[[Mapping[str, Any]], Any]) -> Any:
    """The result of `make` for one more change: together with all earlier refused changes, which may be valid now, with one of
    them, or alone. None if none of these is valid; the change is then refused too."""
    before = {field: one.value for field, one in found.items() if field != path}
    for also in (before, *({field: given} for field, given in before.items()), {}):
        try:
            made = make(also)
        except core.Unsupported as error:
            words = str(error)  # finally the message about this change alone
        else:
            for field in (path, *also):
                found.pop(field, None)
            return made
    for name in path.split("."):  # its widget exists already
        words = re.sub(rf"^{re.escape(name)}(\.|: )", "", words)
    found[path] = Refused(shown, words, value)
    return None


def _wait(found: Mapping[str, Refused], after: dict[str, Refused], changed: str, make: Callable[[str, Any], Any]) -> None:
    """Changes that are still refused stay in their fields, also for the value `after` the change; those
    below the changed field are dropped."""
    for field, one in [*found.items()]:

        def again(also: Mapping[str, Any], field: str = field, value: Any = one.value) -> Any:
            return make(field, value)

        if not field.startswith(f"{changed}."):
            _tried(after, field, one.value, one.shown, again)


def opened_text(text: str, of: Hashable, name: str = "") -> core.Architecture | None:
    """The architecture that a text describes (YAML, JSON, a config.json, a preset's name, a link); None if it describes
    none, and the text is then refused. `name` is the name of the architecture that it replaces."""
    found = refused("text", of)
    try:
        arch = _of_its_own(_pasted(text), text, name)
    except core.Unsupported as error:
        found[""] = Refused(text, str(error))
        return None
    found.clear()
    return arch


def opened_file(given: Any, of: Hashable) -> core.Architecture | None:
    """The architecture of a file that the browser has read: its text, or the short form of a GGUF header. None if it has none, and
    the file is then refused."""
    found = refused("file", of)
    name = str(given.get("name", ""))[:120] if isinstance(given, Mapping) else ""
    try:
        arch = _of_its_own(_in_file(given), "", "")
    except core.Unsupported as error:
        found[""] = Refused(name, f"{name or 'the file'}: {error}")
        return None
    found.clear()
    return arch


def _in_file(given: Any) -> core.Architecture:
    match given:
        case {"problem": str(words)}:
            raise core.Unsupported(words[:300])
        case {"text": str(text)}:
            return parse_text(text)
        case {"gguf": str(letters)} if len(letters) <= MOST_HEADER:
            from core.hf.gguf import from_gguf, of_bytes  # slow to load

            try:
                return from_gguf(of_bytes(b64decode(letters, validate=True)))
            except ValueError as error:
                raise error if isinstance(error, core.Unsupported) else core.Unsupported("was damaged on its way; try again") from None
    raise core.Unsupported("is not a file that can be opened; give a config.json, a YAML or a GGUF file")


def _pasted(text: str) -> core.Architecture:
    """What `parse_text` reads, or a preset by its title; the message for other texts says what can be read."""
    word = text.strip()
    if name := called(word):
        return preset(name)
    if re.fullmatch(r"[\w.-]{1,96}/[\w.-]{1,96}", word):
        raise core.Unsupported(f"to open a model on the Hugging Face Hub, give hf:{word}")
    if not word or re.search(r"[\s()]", word) and not re.search(r"""^\s*([{[-]|["']?\w+["']?\s*:(\s|$))""", word, re.MULTILINE):
        raise core.Unsupported(
            f"this is {'none of these' if word else 'empty'}; give a config.json, a spec as YAML, a preset's name such as gpt2, "
            "a link of this app, or a model's id as hf:organisation/model"
        )
    return parse_text(text)


def _of_its_own(arch: core.Architecture, text: str, name: str) -> core.Architecture:
    """The architecture with a name that is not a preset's, unless it is an edit of that preset; a config.json's name is its type."""
    if arch.name not in core.presets() or PREFIX in text or arch.name == name:
        return arch
    began = preset(arch.name)
    same = (arch.title, arch.organisation, arch.released) == (began.title, began.organisation, began.released)
    return arch if same else edited(arch, "name", f"own-{arch.name}"[:60])


def rewrite(text: str) -> None:
    """Replace the selected architecture by the one that a text describes; workload and selection stay if possible."""
    state = current()
    if arch := opened_text(text, (state.at, state.arch), state.arch.name):
        after = state.holding(arch) if arch.name == state.arch.name else state.opening(arch)
        show(replace(after, selected=state.selected if state.selected in graph(arch) else ""))


def drop(words: str) -> None:
    """The selected architecture without one of its edits, or the reason why it must stay."""
    state = current()
    edits = [edit.words for edit in split(state.base, state.arch)]
    if words in edits:
        try:
            show(state.holding(without(state.base, state.arch, edits.index(words))))
        except core.Unsupported as error:
            refusals(state)["history"][""] = Refused(words, str(error))


# ---- snapshots ----


def keep(name: str) -> None:
    """Keep the selected architecture as a snapshot in the page's link."""
    state = current()
    _keeping(state, (*state.kept, (name, state.arch)))


def rename_kept(index: int, name: str) -> None:
    state = current()
    _keeping(state, tuple((name if n == index else old, arch) for n, (old, arch) in enumerate(state.kept)))


def forget(index: int) -> None:
    state = current()
    _keeping(state, tuple(one for n, one in enumerate(state.kept) if n != index))


def open_kept(index: int) -> None:
    """Show a snapshot; it keeps the page's start if it is of the same model."""
    state = current()
    if 0 <= index < len(state.kept):
        arch = state.kept[index][1]
        show(state.holding(arch) if arch.name == state.arch.name else state.opening(arch))


def _keeping(state: State, kept: tuple[tuple[str, core.Architecture], ...]) -> None:
    try:
        words = [f"{name}:{word(arch)}" for name, arch in kept]
        show(replace(state, kept=_kept(words)))
    except core.Unsupported as error:
        refusals(state)["history"][""] = Refused(None, str(error))


def select(node: str, at: int | None = None) -> None:
    """Select a node; `at` chooses another of the page's architectures."""
    state = current()
    show(replace(state, selected=node, at=state.at if at is None else at))
