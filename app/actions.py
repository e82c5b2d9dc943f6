"""What a visitor does. Each action takes the State of the page's URL and writes another to it, or says why not.

The session keeps what no link holds: the steps that led to the page, for undo and redo, and inputs that were refused.
"""

import re
from base64 import b64decode
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import streamlit as st

import core
from core import hub
from core.library import called, parse_text, preset
from core.reading import what_begins
from core.share import PREFIX
from core.spec import edited
from core.split import apart, without

from .facts import graph, split
from .state import MOST, State, base_of, checked, current, of_word, snapshots, word, workload, write

MOST_STEPS = 60  # that can be undone
MOST_HEADER = 3_000_000  # letters of a GGUF header that a browser sends


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
    return replace(state, archs=archs, at=min(state.at, len(archs) - 1), start=of_word(step[1]) if step[1] else None, zoom="")


def seen(state: State) -> Past:
    """The session's steps, of which this State is the present one."""
    past = st.session_state.setdefault("past", Past())
    past.found(opened_of(state))
    return past


def step_to(at: int) -> None:
    """Undo or redo to a step of the session, by its index: said twice it does the same, so that quick clicks may overtake each other."""
    state = current()
    past = seen(state)
    if to := past.beside(at - past.at):
        past.at = at
        _go(of_step(to, state))


def stepping(a: core.Architecture, b: core.Architecture) -> State:
    """The workbench at `a`, with the edits that lead to `b` before it: each redo makes the next one."""
    states = [State((a,), workload({}, a)).holding(arch) for arch in (a, *(edit.after for edit in apart(a, b)))]
    st.session_state["past"] = Past(tuple(map(opened_of, states[:MOST_STEPS])))
    return states[0]


# ---- refused inputs ----


@dataclass(frozen=True)
class Refused:
    """A refused input of a visitor: its widget still shows it, with the reason."""

    shown: Any  # what the widget shows
    words: str
    value: Any = None  # the value of the field


def refused(form: str, of: Hashable) -> dict[str, Refused]:
    """Refused inputs by field, for the value that a form shows; forgotten when that form shows another value, unless an edit of this page
    led there: the edit tries them again (`_wait`), and what is still refused stays, since a further edit may make it valid."""
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


# ---- edits ----


def show(state: State) -> None:
    """Write a State to the URL; the browser's history keeps the previous one, and so does `past` if the architecture is another."""
    seen(current()).went(opened_of(state))
    _go(state)


def _go(state: State) -> None:
    zoom = state.zoom if "role" in graph(state.arch).nodes.get(state.zoom, ()) else ""
    st.query_params.from_dict(write(replace(state, selected=followed(state.arch, state.selected), zoom=zoom)))


def box_of(arch: core.Architecture, part: str) -> str:
    """The node of the first box of a part; empty if the main model has none."""
    return next((node for node, data in graph(arch).nodes(data=True) if data.get("part") == part and "role" in data), "")


def followed(arch: core.Architecture, node: str) -> str:
    """A node, or where its part is now; empty if the part is gone."""
    g, (_, _, own, *inner) = graph(arch), (*node.split("."), "", "", "")
    if node in g or not own:
        return node if node in g else ""
    box = box_of(arch, own) or box_of(arch, re.sub(r"_\d+$", "", own))
    same = ".".join(filter(None, (box, *inner)))
    return same if same in g else box


def select(node: str, at: int | None = None, sheet: bool = True) -> None:
    """Select a node; `at` chooses another of the page's architectures. On a phone its inspector opens over the page as a sheet."""
    state = current()
    st.session_state["sheet"] = sheet
    show(replace(state, selected=node, at=state.at if at is None else at))


def shade(by: str) -> None:
    """Colour the picture by a measure of `core.shares`, or by role."""
    show(replace(current(), by=by))


def zoom(node: str) -> None:
    """Open a part over the page, or close the one that is open, if the browser has not taken it out of the address already."""
    if node or current().zoom:
        show(replace(current(), zoom=node))


def put_away() -> None:
    """Close the sheet; what is selected stays."""
    st.session_state["sheet"] = False


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
    control. `select` gives the node to select afterwards; otherwise the selected one stays."""
    state = current()
    found = refusals(state)
    found["edits"].clear()
    try:
        arch = make(state.arch)
    except core.Unsupported as error:
        found["edits"][control] = Refused(shown, str(error))
        return False
    node = select(arch) if select else state.selected
    _showing(replace(state.holding(arch), selected=node), found, control)
    return True


def drop(words: str) -> None:
    """The selected architecture without one of its edits, or the reason why it must stay."""
    state = current()
    edits = [edit.words for edit in split(state.base, state.arch)]
    if words in edits:
        try:
            show(state.holding(without(state.base, state.arch, edits.index(words))))
        except core.Unsupported as error:
            refusals(state)["history"][""] = Refused(words, str(error))


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
    return checked({**state.workload.model_dump(), **also, name: value})


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


# ---- texts and files ----


def opened_text(text: str, of: Hashable, name: str = "") -> core.Architecture | None:
    """The architecture that a text describes (YAML, JSON, a config.json, a preset's name, a link); None if it describes
    none, and the text is then refused. `name` is the name of the architecture that it replaces."""
    return _opened("text", of, text, lambda: _of_its_own(_pasted(text), text, name))


def fetched() -> tuple[str, ...]:
    """Put the models on the Hub that a comparison's link names by their ids into it as what they are, so that no rerun fetches them again.
    Why not, for those that cannot be opened; they leave the link."""
    words = st.query_params.get_all("m")
    ids = [one for one in dict.fromkeys(words) if hub.is_name(one.strip())][:MOST]
    if ids:
        found: dict[str, list[str]] = {}
        told = []
        for one in ids:
            try:
                with st.spinner(f"Fetching the config.json of {one[:60]}"):
                    found[one] = [word(_of_its_own(parse_text(one), one, ""))]
            except core.Unsupported as error:
                found[one] = []
                told.append(str(error))
        st.query_params["m"] = [known for one in words for known in found.get(one, [one])]
        st.session_state["unfetched"] = (st.query_params.get_all("m"), tuple(told))
    left, told_before = st.session_state.get("unfetched", ([], ()))
    return told_before if left == st.query_params.get_all("m") else ()


def opened_file(given: Any, of: Hashable) -> core.Architecture | None:
    """The architecture of a file that the browser has read: its text, or the short form of a GGUF header. None if it has none, and
    the file is then refused."""
    name = str(given.get("name", ""))[:120] if isinstance(given, Mapping) else ""
    return _opened("file", of, name, lambda: _of_its_own(_in_file(given), "", ""), f"{name or 'the file'}: ")


def _opened(form: str, of: Hashable, shown: str, make: Callable[[], core.Architecture], before: str = "") -> core.Architecture | None:
    found = refused(form, of)
    try:
        arch = make()
    except core.Unsupported as error:
        found[""] = Refused(shown, f"{before}{error}")
        return None
    found.clear()
    return arch


def _in_file(given: Any) -> core.Architecture:
    match given:
        case {"problem": str(words)}:
            raise core.Unsupported(words[:300])
        case {"text": str(text)}:
            begin = given.get("begin")  # its first bytes, a letter each
            if isinstance(begin, str) and (what := what_begins(begin[:16].encode("latin-1", "replace"), str(given.get("name", "")))):
                raise core.Unsupported(f"is {what}; give a config.json, a YAML or a GGUF file")
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
        show(after)


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
        show(replace(state, kept=snapshots(words)))
    except core.Unsupported as error:
        refusals(state)["history"][""] = Refused(None, str(error))
