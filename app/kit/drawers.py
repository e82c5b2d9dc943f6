"""The drawers of the strip: edits that ask for more than a click, each with a preview before it is applied."""

from collections.abc import Callable, Iterator
from html import escape
from typing import Any

import streamlit as st

import core
from core import edits, kinds
from core.blocks import layers_in_words
from core.edits import Parts, Place
from core.parts import PARTS, Mixer
from core.words import figure, size, tokens

from .. import actions
from .. import state as page
from ..facts import cost
from .layers import part_of, ribbon
from .page import wrong
from .widgets import typed

Make = Callable[[core.Architecture], core.Architecture]
Close = Callable[[], None]
NEW, COPY = "+", "="  # before a kind, and before the name of a part, among the options


def every(state: page.State, place: Place, close: Close) -> None:
    """Every n-th layer gets one part, the others another one."""
    arch, mine = state.arch, _parts(state.arch, place)
    length = len(arch.layers[place.segment].blocks)
    n = length if length > 1 else min(4, arch.depth)
    k = edits.layers_of(arch, place)[0] if length > 1 else n - 1
    own = _selected(state) if _selected(state) in mine else mine[0]
    with _fields():
        n = _number("Every … layers", "d:n", 1, arch.depth, n)
        k = _number("from layer", "d:k", 0, arch.depth - 1, k)
        one = _choose("one is", arch, [own, *mine, *arch.parts], own, "d:one")
        alike = [name for name, _ in edits.uses(arch).most_common() if arch.parts[name].mixes is _mixes(arch, one)]
        rest = [name for name in alike if name != one]
        others = _choose("the others are", arch, rest, alike[0] if alike else own, f"d:others:{one}")

    def make(arch: core.Architecture) -> core.Architecture:
        name, new = _resolved(arch, one)
        otherwise, more = _resolved(arch, others, new)
        return edits.every(arch, n, name, otherwise, k, {**new, **more})

    _offer(state, make, close)


def part(state: page.State, place: Place, close: Close) -> None:
    """A part, new or not, comes into blocks."""
    arch, mine = state.arch, _parts(state.arch, place)
    with _fields():
        own = _selected(state) if _selected(state) in mine else mine[-1]
        chosen = _choose("Part", arch, [name for name in arch.parts if name not in mine], own, "d:part")
        fresh = chosen[0] in NEW + COPY
        same = [name for name in mine if fresh and arch.parts[name].mixes is _mixes(arch, chosen)]
        ways = [*(f"in place of {name}" for name in same), *(f"{way} {name}" for way in WAYS for name in reversed(mine))]
        way, _, of = st.selectbox("Where in the block", list(dict.fromkeys(ways)), key=f"d:way:{chosen}", width=210).rpartition(" ")
        wheres = dict(_wheres(arch, place, of))
        where = wheres[st.selectbox("In which layers", list(wheres), key=f"d:where:{of}", width=260)]
        given = _named(arch, chosen) if fresh else chosen
        name = st.text_input("Name", given, max_chars=32, key=f"d:name:{chosen}", width=150) if fresh else chosen

    def make(arch: core.Architecture) -> core.Architecture:
        if chosen == COPY + of and way == "in place of":
            return edits.variant(arch, of, name, {}, where)
        new = {name: _resolved(arch, chosen)[1].popitem()[1]} if fresh else {}
        return edits.put(arch, name, where, WAYS[way], of, new)

    _offer(state, make, close, lambda arch: actions.box_of(arch, name))


WAYS = {"after": "after", "before": "before", "beside": "beside", "in place of": "instead"}


def _wheres(arch: core.Architecture, place: Place, of: str) -> Iterator[tuple[str, edits.Where]]:
    """Which layers get a part, in words: those of a place, of its segment, and all that have the part `of`."""
    yield f"this {'segment' if place.block is None else 'block'}, {layers_in_words(edits.layers_of(arch, place))}", place
    segment = Place(place.segment)
    if place.block is not None and len(edits.cycle(arch.layers[place.segment])) > 1:
        yield f"this segment, {layers_in_words(edits.layers_of(arch, segment))}", segment
    found = [n for n, block in enumerate(arch.sequence) if of in edits.parts_of(block)]
    yield f"all {len(found)} layers with {of}", found


def insert(state: page.State, place: Place, close: Close) -> None:
    """A new block or segment at a place, of parts that are there."""
    arch = state.arch
    near = min(place.segment, len(arch.layers) - 1)
    runs = edits.cycle(arch.layers[near])
    like = runs[min(place.block or 0, len(runs) - 1)][0]
    with _fields():
        given = st.multiselect("Parts of the new block, in order", list(arch.parts), edits.parts_of(like), key="d:block")
    usual = next((block for block in arch.distinct() if edits.parts_of(block) == given), None)
    block = [step.model_dump(mode="json", exclude_defaults=True) for step in usual] if usual else given
    _offer(state, lambda arch: edits.inserted(arch, place, block), close)


def rename(state: page.State, place: Place, close: Close) -> None:
    """A part gets another name, everywhere."""
    name = _selected(state)
    if not name:
        close()
        return
    new = st.text_input(f"New name of {name}", name, max_chars=32, key=f"d:rename:{name}", width=260)
    _offer(state, lambda arch: edits.renamed(arch, name, new) if new != name else arch, close, lambda arch: actions.box_of(arch, new))


DRAWERS: dict[str, Callable[[page.State, Place, Close], None]] = {"every": every, "part": part, "insert": insert, "rename": rename}


# ---- preview and Apply ----


def _fields() -> Any:
    return st.container(horizontal=True, vertical_alignment="bottom", key="drawer-fields")


def _number(label: str, key: str, least: int, most: int, value: int) -> Any:
    """A whole number; another one is sent as it is typed, for the edit to refuse."""
    given = st.number_input(label, float(least), float(most), float(value), 1.0, key=key, format="%g", width=130)
    return typed(key) if given is not None else value


def _offer(state: page.State, make: Make, close: Close, select: Callable[[core.Architecture], str] | None = None) -> None:
    """What the edit would give, or why it cannot be; and the buttons."""
    try:
        after = make(state.arch)
    except core.Unsupported as error:
        after = None
        wrong(str(error))

    def apply() -> None:
        if actions.change("drawer", make, select=select):
            close()

    if after:
        st.html(f'{ribbon(after)}<p class="effect">{effect(state.arch, after, state.workload)}</p>')
    with st.container(horizontal=True, horizontal_alignment="right"):
        st.button("Cancel", on_click=close, key="d:cancel")
        st.button("Apply", type="primary", on_click=apply, disabled=after in (None, state.arch), key="d:apply")


def effect(before: core.Architecture, after: core.Architecture, workload: core.Workload) -> str:
    """The counts of layers that change, the caches at the workload's context and the parameters, as HTML."""
    was, now = edits.uses(before), edits.uses(after)
    counts = [f"{name} {was[name]} → {now[name]}" for name in {**was, **now} if was[name] != now[name]]
    old, new = cost(before, workload), cost(after, workload)
    more = new.parameters - old.parameters
    caches = f"{size(old.kept_bytes)} → {size(new.kept_bytes)}" if old.kept_bytes != new.kept_bytes else f"{size(new.kept_bytes)} as before"
    said = f"{'+' if more > 0 else '−'}{figure(abs(more))}" if more else "as before"
    depth = [f"{before.depth:,} → {after.depth:,} layers"] if before.depth != after.depth else []
    layers = escape(" · ".join([*depth, *counts])) or "The same layers"
    return f"<b>{layers}</b><br>caches and states at {tokens(workload.context)} {caches} · parameters {said}"


# ---- parts to choose from ----


def _choose(label: str, arch: core.Architecture, names: list[str], like: str, key: str) -> str:
    """One of these parts, a copy of one, or a new part: first of the kinds that could stand where `like` stands."""
    first = kinds.choices(arch.parts[like])
    new = {f"{NEW}{choice.name}": choice for choice in (*first, *kinds.choices())}
    copies = [f"{COPY}{name}" for name in dict.fromkeys((like, *arch.parts))]

    def words(option: str) -> str:
        if option in new:
            return f"new · {kinds.GROUPS[new[option].group].title} · {new[option].title}"
        return f"a copy of {option[1:]}" if option[0] == COPY else option

    return st.selectbox(label, list(dict.fromkeys((*names, *copies[:1], *new, *copies))), key=key, format_func=words, width=250)


def _mixes(arch: core.Architecture, option: str) -> bool:
    kind = next((choice.kind for choice in kinds.choices() if NEW + choice.name == option), "")
    return issubclass(PARTS[kind], Mixer) if kind else arch.parts[option.lstrip(COPY)].mixes


def _named(arch: core.Architecture, option: str) -> str:
    """The name that a new part is offered; a part that cannot be is refused when it is previewed."""
    try:
        return _resolved(arch, option)[0]
    except core.Unsupported:
        return option[1:]


def _resolved(arch: core.Architecture, option: str, besides: Parts = edits.NONE) -> tuple[str, dict[str, Any]]:
    """The name of a chosen part, and its value if it is new."""
    if option[0] == COPY:
        part = arch.parts[option[1:]].model_dump(mode="json", exclude_defaults=True)
        return (name := edits.unused(arch, option[1:], besides)), {name: part}
    new = edits.fresh(arch, option[1:], besides) if option[0] == NEW else {}
    return next(iter(new), option), new


def _parts(arch: core.Architecture, place: Place) -> list[str]:
    runs = edits.cycle(arch.layers[place.segment])
    blocks = [block for b, (block, _) in enumerate(runs) if place.block in (None, b)]
    return list(dict.fromkeys(name for block in blocks for name in edits.parts_of(block)))


def _selected(state: page.State) -> str:
    """The part of the selected node."""
    return part_of(state.arch, state.selected, state.arch.parts)
