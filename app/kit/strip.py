"""The section "Layers": a ribbon of all layers, below it the segments and their blocks with the controls that change them."""

import re
from collections.abc import Callable, Mapping
from html import escape
from typing import Any

import streamlit as st

import core
from core import edits
from core.blocks import block_names, layers_in_words
from core.edits import Place
from core.kept import kept
from core.spec import Step

from .. import actions
from .. import state as page
from ..facts import graph
from .component import component
from .drawers import DRAWERS
from .layers import part_of, ribbon

MOST = 160  # blocks that are drawn; the others are changed as text
CHOSEN, OPEN = "strip:chosen", "strip:open"  # of the session: the place that is selected, and the drawer that is open for one
CLOSED = ("", Place(0))
HINT = '<span class="hint">drag a block, or Alt + ← →</span>'

_strip = component("strip", '<div class="strata-root"></div>', ".strata-root")


def strip(state: page.State) -> None:
    """The layers of the selected architecture and what changes them."""
    place = chosen(state)
    drawer, where = st.session_state.get(OPEN, CLOSED)
    if (
        not _stands(state.arch, where, drawer == "insert")
        or drawer == "rename"
        and not part_of(state.arch, state.selected, state.arch.parts)
    ):
        drawer = ""
    found = actions.refusals(state)["edits"].items()
    refused = {control: (one.shown, one.words) for control, one in found if ":" in control or control in ("dense", "mtp")}
    html = _html(state.arch, place, state.selected, drawer if where == place else "", tuple(refused.items()))
    _strip(key="strip", data=html, on_acted_change=lambda: act(st.session_state["strip"].acted))
    if drawer:
        with st.container(border=True, key="drawer"):
            DRAWERS[drawer](state, where, _closed)


def _closed() -> None:
    st.session_state.pop(OPEN, None)


# ---- what is selected ----


def nodes(arch: core.Architecture) -> dict[Place, str]:
    """The graph's node for the block of each place."""
    names = block_names(arch)
    return {Place(s, b): names[block] for s, segment in enumerate(arch.layers) for b, (block, _) in enumerate(edits.cycle(segment))}


def chosen(state: page.State) -> Place | None:
    """The place that is selected: a block with the node of the URL, or a segment with such a block. If there are several, the last
    one that was clicked."""
    node, places = ".".join(state.selected.split(".")[:2]), nodes(state.arch)
    held = [place for place, name in places.items() if name == node]
    clicked = st.session_state.get(CHOSEN)
    if clicked in held or any(clicked == Place(place.segment) for place in held):
        return clicked
    return held[0] if held else None


def _stands(arch: core.Architecture, place: Place, end: int = 0) -> bool:
    """Whether there is such a place, or with `end` a gap before it or at the end."""
    if place.segment >= len(arch.layers):
        return place == Place(len(arch.layers)) and bool(end)
    return place.block is None or place.block < len(edits.cycle(arch.layers[place.segment])) + end


def _node(arch: core.Architecture, place: Place | None, selected: str) -> str:
    """The node to select for a place: the part that was selected before, if the block has it, otherwise the block."""
    if place is None or place.segment >= len(arch.layers):
        return ""
    held = {node for at, node in nodes(arch).items() if place in (at, Place(at.segment))}
    if ".".join(selected.split(".")[:2]) in held and selected in graph(arch):
        return selected
    block = nodes(arch).get(place if place.block is not None else Place(place.segment, 0), "")
    part = f"{block}.{selected.split('.')[2]}" if selected.count(".") > 1 else ""
    return part if part and part in graph(arch) else block


# ---- what a control does ----


def act(action: Any) -> None:
    """What a control of the strip asks for: `do` says what, `place` where, `value` a number or a name. Anything else is ignored."""
    if not isinstance(action, Mapping):
        return
    state, do, place, value = page.current(), str(action.get("do")), _read(action.get("place")), action.get("value")
    if do != "select":
        actions.put_away()
    if do == "select":
        _choose(place, str(action.get("node", "")), state)
    elif do in DRAWERS and place and _stands(state.arch, place, do == "insert"):
        st.session_state[OPEN] = (do, place) if st.session_state.get(OPEN) != (do, place) else CLOSED
    elif do == "tie":
        actions.edit("tied_embeddings", not state.arch.tied_embeddings, None)
    elif do in ("dense", "mtp"):
        number = _number(value)
        change = edits.first_dense if do == "dense" else edits.predicting
        if number is not None:
            actions.change(do, lambda arch: change(arch, number), number)
    elif (
        place is not None
        and place in (*nodes(state.arch), *map(Place, range(len(state.arch.layers))))
        and (made := _of_place(state.arch, do, place, value))
    ):
        after, make = made
        shown = value if do == "repeat" else None
        if actions.change(f"{do}:{_written(place)}", make, shown, lambda arch: _node(arch, after, state.selected)):
            st.session_state[CHOSEN] = after


def _of_place(arch: core.Architecture, do: str, place: Place, value: Any) -> tuple[Place | None, Callable] | None:
    """The place that is selected after an edit of this place, and the edit."""
    if do == "repeat" and (times := _number(value)) is not None:
        return place, lambda arch: edits.repeated(arch, place, times)
    here = whole(arch, place)
    match do:
        case "duplicate":
            return place, lambda arch: edits.duplicated(arch, here)
        case "remove":
            return None, lambda arch: edits.removed(arch, here)
        case "parallel":
            return place, lambda arch: edits.parallel(arch, place, not is_parallel(arch, place))
        case "take" if isinstance(value, str):
            return place, lambda arch: edits.taken(arch, value, place)
        case "earlier" | "later":
            to = _beside(here, -1 if do == "earlier" else 1)
            return _block(to, place), lambda arch: edits.moved(arch, here, to)
        case "move" if (gap := _read(value)) is not None:
            return _dropped(arch, place, gap)
    return None


def _dropped(arch: core.Architecture, place: Place, gap: Place) -> tuple[Place | None, Callable]:
    """A block or segment that is dropped on the gap before another one."""
    here = whole(arch, place) if gap.block is None else place
    same = gap.block is None if here.block is None else here.segment == gap.segment and gap.block is not None
    to = _beside(gap, -1) if same and gap > here else gap
    gone = gap.block is not None and whole(arch, place).block is None and gap.segment > here.segment  # its segment is empty then
    return _block(Place(to.segment - gone, to.block), place), lambda arch: edits.moved(arch, here, to)


def whole(arch: core.Architecture, place: Place) -> Place:
    """The segment, if a block is all that it has."""
    return Place(place.segment) if len(edits.cycle(arch.layers[place.segment])) == 1 else place


def _beside(place: Place, step: int) -> Place:
    return Place(place.segment + step) if place.block is None else Place(place.segment, max(0, place.block + step))


def _block(to: Place, place: Place) -> Place:
    """A segment that was moved because its only block was selected: this block."""
    return Place(to.segment, 0) if to.block is None and place.block is not None else to


def is_parallel(arch: core.Architecture, place: Place) -> bool:
    """Whether all mixers of a place have another part beside them."""
    blocks = [block for b, (block, _) in enumerate(edits.cycle(arch.layers[place.segment])) if place.block in (None, b)]
    return all(any(len(step.parts) > 1 for step in block) for block in blocks)


def _choose(place: Place | None, node: str, state: page.State) -> None:
    """Select a box; on a phone, a part's inspector opens, and a block's does not: its controls are those of the strip."""
    opens = bool(node) and node.count(".") != 1
    if place and _stands(state.arch, place):
        st.session_state[CHOSEN] = place
        node = node or _node(state.arch, place, state.selected)
    actions.select(node[:200], sheet=opens)


def _read(word: Any) -> Place | None:
    """`1:` is a segment, `1:0` a block."""
    found = re.fullmatch(r"([0-9]{1,4}):([0-9]{1,4})?", word) if isinstance(word, str) else None
    return Place(int(found[1]), int(found[2]) if found[2] else None) if found else None


def _written(place: Place) -> str:
    return f"{place.segment}:{'' if place.block is None else place.block}"


def _number(value: Any) -> Any:
    """A number, as an int if it is whole; the edit refuses another one."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not -1e9 < value < 1e9:
        return None
    return int(value) if value == int(value) else value


# ---- how it is drawn ----


@kept(8_000_000)
def _html(arch: core.Architecture, place: Place | None, selected: str, drawer: str, refused: tuple) -> str:
    """The whole section."""
    said = dict(refused)
    on_top = next((words for control, (_, words) in refused if control == "dense"), "")
    below = next((words for control, (_, words) in refused if control != "dense"), "")
    return (
        f'<div class="top"><h2>Layers <small>{escape(_summary(arch))}</small></h2><div class="switches">{_first_dense(arch, said)}'
        f'<button class="switch" role="switch" aria-checked="{str(arch.tied_embeddings).lower()}" {_does("tie")}>'
        f"<i></i>Tie embeddings</button></div></div>{_wrong(on_top)}{ribbon(arch, place)}{_frames(arch, place, selected, said)}"
        f"{_toolbar(arch, place, selected, drawer)}{_wrong(below)}"
    )


def _wrong(words: str) -> str:
    return f'<p class="wrong" role="alert">{escape(words)}</p>' if words else ""


def _does(do: str, place: Place | None = None, **more: str) -> str:
    """The attributes of a control; `data-key` finds it again after the next run."""
    given = {"do": do} | ({} if place is None else {"place": _written(place)}) | more
    said = " ".join(f'data-{name}="{escape(value)}"' for name, value in given.items())
    return f'{said} data-key="{escape(" ".join(given.values()))}"'


def _summary(arch: core.Architecture) -> str:
    """How many layers there are, and how many of them have each part."""
    found: dict[bool, list[str]] = {True: [], False: []}
    for name, count in edits.uses(arch).items():
        if count:  # not one that only the modules ahead have
            found[arch.parts[name].mixes].append(f"{name} {count}")
    said = [", ".join(words) for words in found.values() if words and len(words) <= 6]
    return " · ".join([f"{arch.depth} in order, first to last", *said])


def _first_dense(arch: core.Architecture, said: Mapping) -> str:
    """How many layers at the start are dense, in a model with experts."""
    dense = [name for name, part in arch.parts.items() if part.role == "feed_forward"]
    if not any(part.role == "experts" and not part.mixes for part in arch.parts.values()) or len(dense) > 1:
        return ""
    blocks = [edits.parts_of(block) for block in arch.sequence]
    if all(arch.parts[name].mixes for name in blocks[0]):
        return ""  # there is nothing to replace at the start
    count = next((n for n, parts in enumerate(blocks) if not set(dense) & set(parts)), len(blocks))
    if edits.uses(arch)[dense[0]] != count if dense else False:
        return ""  # they are elsewhere too
    return (
        f'<span class="field">First {_stepper("dense", None, count, "Dense layers at the start", 0, said.get("dense"))} layers dense</span>'
    )


def _stepper(do: str, place: Place | None, value: int, label: str, least: int, refused: tuple | None = None) -> str:
    """A number with a button on each side. A refused number stays in it."""
    shown, bad = (refused[0], ' aria-invalid="true"') if refused and refused[0] is not None else (value, "")
    less = "disabled" if value <= least else ""
    return (
        f'<span class="step" data-now="{value}"><button {_does(do, place, by="-1")} {less} aria-label="{label}: one less">−</button>'
        f'<input type="number" min="{least}" value="{escape(str(shown))}" {_does(do, place)} aria-label="{label}"{bad} '
        f'style="width:{len(str(shown)) + 1}ch">'
        f'<button {_does(do, place, by="1")} aria-label="{label}: one more">+</button></span>'
    )


def _frames(arch: core.Architecture, place: Place | None, selected: str, said: Mapping) -> str:
    """The segments as frames, with their blocks, between the embedding and the head."""
    out, drawn, named = [_end("embedding", "Embedding", selected), _gap(Place(0))], 0, block_names(arch)
    for s, segment in enumerate(arch.layers):
        runs = edits.cycle(segment)
        drawn += len(runs)
        if drawn > MOST:
            out.append(f'<p class="rest">{len(arch.layers) - s:,} more segments. Change them in the inspector, "Everything as YAML".</p>')
            break
        where = layers_in_words(edits.layers_of(arch, Place(s)))
        on = " on" if place == Place(s) else ""
        blocks = [_gap(Place(s, 0))]
        for b, (block, times) in enumerate(runs):
            blocks += [
                _block_html(arch, named[block], Place(s, b), block, times, len(runs) > 1 or times > 1, place, selected, said),
                _gap(Place(s, b + 1)),
            ]
        repeat = _stepper("repeat", Place(s), segment.repeat, f"Repeats of {where}", 1, said.get(f"repeat:{s}:"))
        out.append(
            f'<section class="segment{on}" data-place="{s}:" draggable="true"><header>{repeat}<span>×</span>'
            f'<button class="where" {_does("select", Place(s))} aria-pressed="{str(bool(on)).lower()}">{where}</button></header>'
            f'<div class="blocks">{"".join(blocks)}</div></section>{_gap(Place(s + 1))}'
        )
    out += [_end("head", "Head", selected), _ahead(arch, selected, said)]
    return f'<div class="strip" role="group" aria-label="Segments and blocks, in order">{"".join(out)}</div>'


def _end(node: str, words: str, selected: str) -> str:
    on = node == selected
    return f'<button class="end{" on" * on}" {_does("select", node=node)} aria-pressed="{str(on).lower()}"><span>{words}</span></button>'


def _gap(place: Place) -> str:
    where = f"before segment {place.segment}" if place.block is None else f"as block {place.block} of segment {place.segment}"
    kind = "between" if place.block is None else "within"
    return f'<button class="gap {kind}" {_does("insert", place)} aria-label="Insert a block {where}" title="Insert a block">+</button>'


def _block_html(
    arch: core.Architecture,
    node: str,
    place: Place,
    block: tuple[Step, ...],
    times: int,
    stepper: bool,
    now: Place | None,
    selected: str,
    said: Mapping,
) -> str:
    where, seen = layers_in_words(edits.layers_of(arch, place)), dict[str, int]()
    rows = []
    for step in block:
        row = ""
        for name in step.parts:
            seen[name] = seen.get(name, 0) + 1
            own = f"{node}.{name}" + (f"_{seen[name]}" if seen[name] > 1 else "")
            part, on = arch.parts[name], place == now and selected == own
            row += (
                f'<button class="part{" on" * on}" style="{_colours(part.role)}" '
                f'{_does("select", place, node=own)} aria-pressed="{str(on).lower()}" title="{escape(part.label)}, {where}">{name}</button>'
            )
        rows.append(f'<div class="row">{row}</div>')
    head = (
        _stepper("repeat", place, times, f"In a row in each repeat, {where}", 1, said.get(f"repeat:{_written(place)}")) if stepper else ""
    )
    chosen = " on" if place == now else ""
    return (
        f'<div class="block{chosen}" data-place="{_written(place)}" data-do="select" draggable="true">'
        f'{f"<header>{head}<span>×</span></header>" if head else ""}<div class="stack">{"".join(reversed(rows))}</div></div>'
    )


def _colours(role: str) -> str:
    return f"background:var(--{role});color:var(--{role}-ink)"


def _ahead(arch: core.Architecture, selected: str, said: Mapping) -> str:
    """The modules that predict further tokens, or the control that adds one."""
    if not arch.mtp:
        return f'<button class="ahead new" {_does("mtp", value="1")}><b>+</b><span>multi-token prediction</span></button>'
    on = selected.split(".")[0] == "mtp"
    parts = "".join(
        f'<div class="row"><span class="part" style="{_colours(arch.parts[name].role)}">{name}</span></div>'
        for name in reversed(edits.parts_of(arch.mtp.block))
    )
    count = _stepper("mtp", None, arch.mtp.count, "Multi-token-prediction modules", 0, said.get("mtp"))
    return (
        f'<section class="ahead{" on" * on}"><header>{count}<span>×</span></header>'
        f'<button class="name" {_does("select", node="mtp")} aria-pressed="{str(on).lower()}">multi-token prediction</button>'
        f'<div class="stack">{parts}</div></section>'
    )


def _toolbar(arch: core.Architecture, place: Place | None, selected: str, drawer: str) -> str:
    if place is None:
        return '<p class="hint">Click a block or a segment to change it. Drag a block, or press Alt and an arrow key on it, to move it.</p>'
    here, runs = whole(arch, place), edits.cycle(arch.layers[place.segment])
    blocks = [block for b, (block, _) in enumerate(runs) if place.block in (None, b)]
    parts = list(dict.fromkeys(name for block in blocks for name in edits.parts_of(block)))
    roles = list(dict.fromkeys(arch.parts[name].role for name in parts))
    dots = "".join(f'<i style="background:var(--{role})"></i>' for role in roles)
    at, last = (here.segment, len(arch.layers) - 1) if here.block is None else (here.block, len(runs) - 1)

    def button(do: str, words: str, on: bool = True, **more: str) -> str:
        opened = f'aria-expanded="{str(do == drawer).lower()}"' if do in DRAWERS else ""
        return f"<button {_does(do, place, **more)} {opened} {'' if on else 'disabled'}>{words}</button>"

    only = arch.depth == len(edits.layers_of(arch, here))
    tools = [
        button("duplicate", "Duplicate"), button("earlier", "‹ <em>Move </em>earlier", at > 0),
        button("later", "› <em>Move </em>later", at < last), button("remove", "Remove", not only), button("every", "Every n-th layer …"),
        button("part", "+ Part"),
    ]  # fmt: skip
    mixes = [[[arch.parts[name].mixes for name in step.parts] for step in block] for block in blocks]
    beside = is_parallel(arch, place)
    if beside or any(a == [True] and b == [False] for block in mixes for a, b in zip(block, block[1:])):
        pressed = f'aria-pressed="{str(beside).lower()}"'
        tools.append(
            f'<button {_does("parallel", place)} {pressed} title="Attention and feed-forward read the same input">Parallel</button>'
        )
    name = part_of(arch, selected, parts)
    if name:
        tools.append(button("rename", f"Rename<span> {name}</span> …"))
        tools.append(button("take", f"Take out<span> {name}</span>", all(len(edits.parts_of(block)) > 1 for block in blocks), value=name))
    where = layers_in_words(edits.layers_of(arch, place))
    return (
        f'<div class="bar" role="toolbar" aria-label="Change {where}"><span class="what">{dots}<b>{", ".join(parts)}</b> {where}</span>'
        f"{''.join(tools)}{'' if name else HINT}</div>"
    )
