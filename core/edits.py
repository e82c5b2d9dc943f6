"""Edits of an architecture: its layers and parts are changed in the way a person describes it.

Every function returns a new architecture, or raises Unsupported with a sentence that says what is accepted. Parts that no
layer uses any more are removed. Layers are counted from 0. `new` gives parts that the architecture does not have yet, by name.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from pydantic import ValidationError

from . import kinds
from .blocks import Block, folded, names_of, plain, renamed_in, spelled, without_part
from .parts import PARTS, Mixer
from .parts.experts import Experts
from .parts.feedforward import FeedForward
from .precision import root
from .spec import FRAME, MAX_LAYERS, Architecture, Segment, Step, Unsupported, edited, parse

Parts = Mapping[str, Mapping[str, Any]]  # parts as the spec writes them, by name
Formats = Mapping[str, str]  # formats by module path
NONE: Mapping[str, Any] = MappingProxyType({})
HOW = ("after", "before", "beside", "instead")


class Place(NamedTuple):
    """A segment of the layers, or one of its blocks. Equal neighbours in a segment are one block that stands there several times."""

    segment: int
    block: int | None = None


Where = Place | Sequence[int]  # blocks to change: those of a place, or those of these layers


# ---- parts by a rule ----


def every(arch: Architecture, n: int, name: str, otherwise: str | None = None, start: int | None = None, new: Parts = NONE) -> Architecture:
    """Every n-th layer (n - 1, 2 n - 1, ..., or from `start` on) gets the part `name` in place of its mixer, or of its other part if
    `name` is no mixer. All other layers get `otherwise`. Without it, only those that have `name` now change, to the part that most
    layers have there."""
    return _placed(arch, name, nth(arch, n, start).__contains__, otherwise, new)


def nth(arch: Architecture, n: int, start: int | None = None) -> range:
    """Every n-th layer. The first of them is layer `start`, or n - 1."""
    _counted("every", n, 1, arch.depth, ", the number of layers")
    if start is not None:
        _within("from layer", start, arch.depth)
    return range(n - 1 if start is None else start, arch.depth, n)


def first(arch: Architecture, count: int, name: str, otherwise: str | None = None, new: Parts = NONE) -> Architecture:
    """The first `count` layers get the part `name` in the place that `every` uses; 0 removes it from all layers."""
    _counted("first", count, 0, arch.depth, ", the number of layers")
    return _placed(arch, name, lambda layer: layer < count, otherwise, new)


def first_dense(arch: Architecture, count: int) -> Architecture:
    """The first `count` layers with a feed-forward network in place of the experts; 0 gives experts to all layers. A model without
    one gets it as wide as the experts of one token together, as DeepSeek-V3's is."""
    counts = uses(arch)
    experts = [name for name, part in arch.parts.items() if isinstance(part, Experts) and counts[name]]
    dense = [name for name, part in arch.parts.items() if isinstance(part, FeedForward) and counts[name]]
    if not experts or len(dense) > 1:
        raise Unsupported("first layers dense: the model needs experts and at most one other feed-forward part; use `first` with a part")
    if dense or not count:
        return first(arch, count, dense[0]) if dense else arch
    most = arch.parts[max(experts, key=counts.__getitem__)]
    assert isinstance(most, Experts)
    alike = most.model_dump(mode="json", exclude_defaults=True, include=set(FeedForward.model_fields))
    wide = most.top_k * most.d_ff + (most.shared.d_ff if most.shared else 0)
    name = unused(arch, "dense")
    return first(arch, count, name, new={name: alike | {"kind": "feed_forward", "d_ff": wide}})


def _placed(arch: Architecture, name: str, here: Callable[[int], bool], otherwise: str | None, new: Parts) -> Architecture:
    """The part `name` in these layers only, in place of the part with the same task there."""
    mixes = {part: value.mixes for part, value in arch.parts.items()}
    mixes |= {part: issubclass(PARTS[value["kind"]], Mixer) for part, value in _new(arch, new).items()}
    if name not in mixes:
        _known(arch, name)
    alike = {other for other in mixes if mixes[other] is mixes[name]}
    if otherwise and otherwise not in alike - {name}:
        raise Unsupported(f"otherwise: give a part that stands in the same place ({', '.join(sorted(alike - {name})) or 'there is none'})")
    counts = Counter(p for block in arch.sequence for step in block for p in step.parts if p in alike - {name})
    usual = otherwise or next(iter(dict(counts.most_common(1))), None)
    blocks = []
    for layer, block in enumerate(_blocks(arch)):
        found = [part for step in block for part in names_of(step) if part in alike]
        if not here(layer) and found == [name] and usual is None:
            raise Unsupported(f"layers: all layers have {name} in this place; add another part first")
        wanted = name if here(layer) else usual if found == [name] else otherwise if found else None
        if wanted is None or found == [wanted]:
            blocks.append(block)
            continue
        if len(found) != 1:
            what = "mixers" if mixes[name] else "parts that are not mixers"
            raise Unsupported(f"layers: layer {layer} has {len(found)} {what}, so it is not clear which to replace; give its whole block")
        blocks.append([renamed_in(step, found[0], wanted) for step in block])
    return _with(_tree(arch), folded(blocks), _new(arch, new))


# ---- layers, segments and blocks ----


def layered(arch: Architecture, blocks: Sequence[Block]) -> Architecture:
    """The architecture with these blocks, one for each layer; repeated blocks are written once."""
    return _with(_tree(arch), folded(blocks))


def repeated(arch: Architecture, place: Place, times: int) -> Architecture:
    """A segment, or a block of one, with another number of repeats; 0 removes it."""
    _counted("repeat", times, 0, MAX_LAYERS)
    return _changed(arch, place, lambda items, at: items[at].__setitem__(1, times))


def duplicated(arch: Architecture, place: Place | int) -> Architecture:
    """A layer, segment or block, and behind it another one."""
    return _changed(arch, place, lambda items, at: items.insert(at, items[at]))


def inserted(arch: Architecture, place: Place | int, block: Block) -> Architecture:
    """A new layer before this one, or a new segment or block. If the place is one past the end, it becomes the last."""
    try:
        steps = Segment(blocks=(block,)).blocks[0] if isinstance(block, list | tuple) else None
    except ValidationError:
        steps = None
    if steps is None:
        raise Unsupported(f"block: give a list of parts, such as [{', '.join(parts_of(arch.sequence[0]))}]")
    one = plain(steps)
    item = one if isinstance(place, int) else [[[one, 1]], 1] if place.block is None else [one, 1]
    return _changed(arch, place, lambda items, at: items.insert(at, item), end=1)


def removed(arch: Architecture, place: Place | int) -> Architecture:
    """The architecture without one layer, segment or block."""
    return _changed(arch, place, lambda items, at: items.pop(at))


def moved(arch: Architecture, place: Place | int, to: Place | int) -> Architecture:
    """One layer, segment or block moved: `to` is its place afterwards. A block can move into another segment, or between
    segments, where it becomes a segment of its own."""
    if isinstance(place, int) and isinstance(to, int):
        _within("layer", to, arch.depth)
        return _changed(arch, place, lambda items, at: items.insert(to, items.pop(at)))
    if isinstance(place, int) or isinstance(to, int) or (place.block is None and to.block is not None):
        raise Unsupported("to: a layer moves to a layer, a segment to a segment, a block to a block or a segment; give such a place")
    segments = _segments(arch)
    items, at = _found(segments, place)
    others, index = _found(segments, to, end=1)
    if others is items:
        _within("to", index, len(items))
        items.insert(index, items.pop(at))
    else:
        block, times = items[at]
        others.insert(index, [[[block, 1]], times * segments[place.segment][1]] if to.block is None else [block, times])
        items.pop(at)
    return _with(_tree(arch), _written(segments))


def layers_of(arch: Architecture, place: Place) -> list[int]:
    """The layers of a segment or block."""
    _within("segment", place.segment, len(arch.layers))
    segment = arch.layers[place.segment]
    begin = sum(before.repeat * len(before.blocks) for before in arch.layers[: place.segment])
    found = cycle(segment)
    if place.block is not None:
        _within("block", place.block, len(found))
    runs = [index for index, (_, times) in enumerate(found) for _ in range(times)] * segment.repeat
    return [begin + n for n, block in enumerate(runs) if place.block in (None, block)]


def cycle(segment: Segment) -> list[tuple[tuple[Step, ...], int]]:
    """The blocks of a segment, each with the number of times that it stands there in a row."""
    return [(block, len(list(run))) for block, run in groupby(segment.blocks)]


def _changed(arch: Architecture, place: Place | int, change: Callable[[list, int], Any], end: int = 0) -> Architecture:
    """The architecture after a change of the list that a place is in: of all layers, of the segments, or of a segment's blocks."""
    if isinstance(place, int):
        _within("layer", place, arch.depth + end)
        change(blocks := _blocks(arch), place)
        return layered(arch, blocks)
    segments = _segments(arch)
    change(*_found(segments, place, end))
    return _with(_tree(arch), _written(segments))


def _segments(arch: Architecture) -> list[list]:
    """The segments to be changed, each [blocks, repeat], and its blocks each [block, times]."""
    written = {block: plain(block) for block in arch.distinct()}
    return [[[[written[block], times] for block, times in cycle(segment)], segment.repeat] for segment in arch.layers]


def _written(segments: list[list]) -> list[dict]:
    """Segments as the spec writes them, without those that are empty."""
    layers = [{"repeat": repeat, "blocks": [block for block, times in blocks for _ in range(times)]} for blocks, repeat in segments]
    return [segment for segment in layers if segment["repeat"] and segment["blocks"]]


def _found(segments: list[list], place: Place, end: int = 0) -> tuple[list, int]:
    """The list that a place is in, and its index there."""
    _within("segment", place.segment, len(segments) + (end if place.block is None else 0))
    if place.block is None:
        return segments, place.segment
    blocks = segments[place.segment][0]
    _within("block", place.block, len(blocks) + end)
    return blocks, place.block


# ---- parts in blocks ----


def put(
    arch: Architecture, name: str, where: Where, how: str = "after", of: str | None = None, new: Parts = NONE, formats: Formats = NONE
) -> Architecture:
    """The part `name` in more blocks: as a step of its own after or before the part `of`, beside it in its step, or instead of it.
    Without `of` it is the last or first step. `formats` says how a new part is stored."""
    if name not in arch.parts.keys() | new.keys():
        _known(arch, name)
    if how not in HOW:
        raise Unsupported(f"put: give {', '.join(HOW[:-1])} or {HOW[-1]} (not {how[:40]!r})")
    if not of and how in ("beside", "instead"):
        raise Unsupported(f"put: {name} {how} which part? Give one of {', '.join(arch.parts)}")

    def change(block: Block) -> Block:
        at = _step(block, of) if of else 0 if how == "before" else len(block) - 1
        if of and how == "instead":
            return [renamed_in(step, of, name) for step in block]
        if how == "beside":
            wider = [*names_of(block[at]), name]
            return [*block[:at], block[at] | {"parts": wider} if isinstance(block[at], dict) else wider, *block[at + 1 :]]
        at += how == "after"
        return [*block[:at], name, *block[at:]]

    layers = _mapped(arch, where, change)
    tree = _tree(arch)
    if of and of not in {part for segment in layers for block in segment["blocks"] for step in block for part in names_of(step)}:
        _follow(tree, arch, of, name)  # no layer has what they read by the old name
    return _with(tree, layers, _new(arch, new), formats)


def taken(arch: Architecture, name: str, where: Where) -> Architecture:
    """Blocks without the part `name`."""
    _known(arch, name)

    def change(block: Block) -> Block:
        _step(block, name)
        left = [without_part(step, name) for step in block if names_of(step) != [name]]
        if not left:
            raise Unsupported(f"{name} stands alone in a block; remove the block, or put another part in place of {name}")
        return left

    return _with(_tree(arch), _mapped(arch, where, change))


def parallel(arch: Architecture, where: Where, on: bool) -> Architecture:
    """Blocks whose mixer and the part after it read the same input, in one step side by side (GPT-J), or one after the other."""

    def change(block: Block) -> Block:
        steps = [spelled(step) for step in block]
        if own := next((field for step in steps for field in step if field not in ("parts", "scale", "residual", "own_norms")), None):
            raise Unsupported(f"parallel: a step of this block has {own}, which says where its output goes; remove {own} first")
        out: list[dict] = []
        for step in steps:
            mixes = [arch.parts[name].mixes for name in step["parts"]]
            if not on:
                rest = {field: value for field, value in step.items() if field != "own_norms"}
                out += [rest | {"parts": [name]} for name in step["parts"]]
            elif out and not any(mixes) and all(arch.parts[name].mixes for name in out[-1]["parts"]):
                if out[-1].keys() != {"parts"} or step.keys() != {"parts"}:
                    raise Unsupported("parallel: these steps have settings of their own; remove their scale and residual first")
                out[-1] = {"parts": out[-1]["parts"] + step["parts"]}
            else:
                out.append(step)
        return out

    after = _with(_tree(arch), _mapped(arch, where, change))
    if after.sequence == arch.sequence:
        what = "a mixer with another part after it" if on else "a step with several parts"
        raise Unsupported(f"parallel: nothing changes in these blocks; choose blocks with {what}")
    return after


def variant(arch: Architecture, name: str, new: str, fields: Mapping[str, Any], where: Where) -> Architecture:
    """A copy of the part `name` with some other fields, which replaces it in these layers, stored in the same formats."""
    _known(arch, name)
    if not where:
        raise Unsupported(f"parts.{new}: give at least one layer for it")
    tree = _tree(arch)
    return put(arch, new, where, "instead", name, {new: tree["parts"][name] | fields}, _formats(tree, name, new))


def renamed(arch: Architecture, name: str, new: str) -> Architecture:
    """A part with another name, changed everywhere it is named."""
    _known(arch, name)
    _free(arch, new)
    tree = _tree(arch)

    def block(steps: Block) -> Block:
        return [renamed_in(step, name, new) for step in steps]

    for segment in tree["layers"]:
        segment["blocks"] = [block(steps) for steps in segment["blocks"]]
    if mtp := tree.get("mtp"):
        mtp["block"] = block(mtp["block"])
        if "further" in mtp:
            mtp["further"] = [block(steps) for steps in mtp["further"]]
    _follow(tree, arch, name, new)
    tree["parts"] = {new if part == name else part: value for part, value in tree["parts"].items()}
    if "precision" in tree:
        others = {path: fmt for path, fmt in tree["precision"].items() if root(path) != name}
        tree["precision"] = others | _formats(tree, name, new)
    return parse(tree)


def with_fields(arch: Architecture, fields: Mapping[str, Any]) -> Architecture:
    """The architecture with other values of some fields, by path; Unsupported without any."""
    if not fields:
        raise Unsupported(f"{arch.title}: no part of it has a field to change here")
    *others, (path, value) = fields.items()
    return edited(arch, path, value, dict(others))


# ---- around the layers ----


def predicting(arch: Architecture, count: int) -> Architecture:
    """Modules that predict `count` tokens beyond the next one, each with the model's last block, as DeepSeek-V3's has it. Modules that
    are there stay; 0 removes them."""
    _counted("mtp", count, 0, 16, " tokens")
    tree = _tree(arch)
    mtp = tree.pop("mtp", None) or {"block": plain(arch.sequence[-1])}
    if further := mtp.pop("further", None):
        mtp["further"] = [*further, *[further[-1]] * count][: count - 1]
    return _used(tree | ({"mtp": mtp | {"count": count}} if count else {}))


# ---- what the spec writes ----


def _tree(arch: Architecture) -> dict[str, Any]:
    return arch.model_dump(mode="json", exclude_defaults=True)


def _with(tree: dict[str, Any], layers: list[dict], new: Parts = NONE, formats: Formats = NONE) -> Architecture:
    """The architecture with these layers and new parts."""
    return _used(tree | {"layers": layers, "parts": tree["parts"] | new, "precision": {**formats, **tree.get("precision", {})}})


def _new(arch: Architecture, new: Parts) -> Parts:
    """New parts, if their names are free and their kinds known."""
    for name, value in new.items():
        _free(arch, name)
        if value.get("kind") not in PARTS:
            raise Unsupported(f"parts.{name}.kind: give one of {', '.join(PARTS)}")
    return new


def _mapped(arch: Architecture, where: Where, change: Callable[[Block], Block]) -> list[dict]:
    """The layers with some of their blocks changed."""
    if isinstance(where, Place):
        segments = _segments(arch)
        items, at = _found(segments, where)
        for item in [items[at]] if where.block is not None else items[at][0]:
            item[0] = change(item[0])
        return _written(segments)
    blocks = _blocks(arch)
    for layer in where:
        _within("layer", layer, arch.depth)
        try:
            blocks[layer] = change(blocks[layer])
        except Unsupported as error:
            raise Unsupported(f"layer {layer}: {error}") from None
    return folded(blocks)


def _step(block: Block, name: str) -> int:
    """The step of a block that has this part."""
    for at, step in enumerate(block):
        if name in names_of(step):
            return at
    raise Unsupported(f"this block does not have {name}; it has {', '.join(name for step in block for name in names_of(step))}")


# ---- another kind ----


def swapped(arch: Architecture, name: str, kind: str) -> Architecture:
    """A part as another kind, or with a setting that has a name of its own (`kinds.choices`: multi_query, sliding_window).

    What both kinds have carries over; other fields come from their examples and defaults. A name that says the old kind changes too.
    """
    _known(arch, name)
    part = arch.parts[name]
    try:
        choice = kinds.choice(part, kind)
    except ValueError as error:
        raise Unsupported(f"parts.{name}.kind: {error}") from None
    made = arch if choice.keeps(part) else _remade(arch, name, choice.kind)
    named = [choice.form] if choice.form else [*kinds.forms(choice.kind).values()]
    if named and not any(form.holds(made.part(name)) for form in named):  # the kind itself is its first setting with a name
        tree = _tree(made)
        tree["parts"][name] |= named[0].fields(made.part(name), arch.context)
        made = parse(tree)
    new = kinds.renamed(name, made.parts[name].kind)
    if new == name or made is arch:
        return made
    return renamed(made, name, unused(arch, new))


def fresh(arch: Architecture, kind: str, besides: Parts = NONE) -> dict[str, Any]:
    """A new part of a kind, or with a setting of `kinds.choices`: its name and value. It takes over what it can of the most used part
    that it could stand for."""
    found = kinds.meant(kind, kinds.choices())
    if len(found) != 1:
        names = [choice.name for choice in found] or kinds.near(kind)
        which = f"may be {' or '.join(names)}; give one of these" if found else f"is no kind of part; the nearest: {', '.join(names)}"
        every = f"is no kind of part; give one of {', '.join(choice.name for choice in kinds.choices())}"
        raise Unsupported(f"{kind[:40]!r} {which if names else every}")
    (chosen,) = found
    kind = kind if kind in (chosen.name, chosen.kind) else chosen.name
    like = next((name for name, _ in uses(arch).most_common() if kinds.stands(chosen.kind, arch.parts[name])), None)
    name = unused(arch, chosen.name if chosen.form and kind == chosen.name else PARTS[chosen.kind].called or chosen.kind, besides)
    if like is None:
        return {name: kinds.first_value(chosen.kind, {})}
    made = swapped(arch, like, kind)
    (became,) = made.parts.keys() - (arch.parts.keys() - {like})
    return {name: _tree(made)["parts"][became]}


def _remade(arch: Architecture, name: str, kind: str) -> Architecture:
    """A part as another kind with all fields that both have, except those that are refused there. Parts that read from it what the
    new kind does not have compute it themselves."""
    tree = _tree(arch)
    like = kinds.carried(arch.parts[name], kind)
    readers = {f"parts.{other}.{read.field}" for other, part in arch.parts.items() for read in part.reads(arch.d_model) if read.lender}
    alone: set[str] = set()
    movable = "position" in PARTS[kind].model_fields  # it may need another position than the model's
    while True:
        tree["parts"][name] = kinds.first_value(kind, like)
        try:
            made = parse(tree)
            break
        except Unsupported as error:
            where, words = str(error).partition(": ")[::2]
            named = [field for field in like if re.search(rf"\b{field}\b", words)]
            if where in readers and not where.startswith(f"parts.{name}."):
                readers.remove(where)
                alone.add(where.rpartition(".")[0])
                _forget(tree, where)
            elif where in alone:  # a field that only says how it reads
                alone.remove(where)
                _forget(tree, f"{where}.{words.partition(':')[0]}")
            elif words.startswith("position") and movable:
                like["position"], movable = {"kind": "rope"}, False
            elif like:
                del like[named[0] if named else next(reversed(like))]
            else:
                raise
    own = [path for path in made.precision if path.startswith(f"{name}.")]
    if not own:
        return made
    with torch.device("meta"):
        inner = {path for path, _ in made.part(name).build(made.d_model).named_children()}
    formats = {path: fmt for path, fmt in made.precision.items() if path not in own or re.split("[.@]", path)[1] in inner}
    return parse(made.model_dump(mode="json") | {"precision": formats})


def _forget(tree: dict[str, Any], path: str) -> None:
    """Give a field its default."""
    *parents, last = path.split(".")
    for key in parents:
        tree = tree.get(key, {})
    tree.pop(last, None)


def _formats(tree: dict[str, Any], name: str, new: str) -> dict[str, str]:
    """What is said of a part's stored formats, as said of another one."""
    return {new + path.removeprefix(name): fmt for path, fmt in tree.get("precision", {}).items() if root(path) == name}


def _follow(tree: dict[str, Any], arch: Architecture, name: str, new: str) -> None:
    """Parts that read what `name` lends read it of `new`."""
    for reader, part in arch.parts.items():
        for read in (read for read in part.reads(arch.d_model) if read.lender and read.source == name):
            tree["parts"][reader][read.field] = new


def _used(tree: dict[str, Any]) -> Architecture:
    """The architecture of a mapping, without the parts that no layer uses and without their formats."""
    if not tree["layers"]:
        raise Unsupported("layers: a model needs at least one layer; keep one")
    mtp = tree.get("mtp") or {}
    ahead = [mtp["block"], *mtp.get("further", ())] if mtp else []
    blocks = [block for segment in tree["layers"] for block in segment["blocks"]] + ahead
    used = {name for block in blocks for step in block for name in names_of(step)}
    gone = tree["parts"].keys() - used
    parts = {name: part for name, part in tree["parts"].items() if name in used}
    precision = {path: fmt for path, fmt in tree.get("precision", {}).items() if root(path) not in gone}
    rest = {key: value for key, value in tree.items() if key != "precision"}
    return parse(rest | {"parts": parts} | ({"precision": precision} if precision else {}))


def _blocks(arch: Architecture) -> list[Block]:
    """The block of every layer, in the form of the spec."""
    written = {block: plain(block) for block in arch.distinct()}
    return [written[block] for block in arch.sequence]


def parts_of(block: Sequence[Step]) -> list[str]:
    """The names of a block's parts, in order."""
    return [name for step in block for name in step.parts]


def uses(arch: Architecture) -> Counter[str]:
    """The number of layers that have each part."""
    return Counter({name: sum(count for block, count in arch.distinct().items() if name in parts_of(block)) for name in arch.parts})


def unused(arch: Architecture, word: str, besides: Parts = NONE) -> str:
    """A name like this word that no part has: dense, dense2, dense3."""
    names = (word if n == 1 else f"{word[:30]}{n}" for n in range(1, len(arch.parts) + len(besides) + 2))
    return next(name for name in names if name not in {*arch.parts, *besides})


def _known(arch: Architecture, name: str) -> None:
    if name not in arch.parts:
        raise Unsupported(f"parts.{name}: {arch.title} has no such part; it has {', '.join(arch.parts)}")


def _free(arch: Architecture, name: str) -> None:
    if name in arch.parts:
        raise Unsupported(f"parts.{name}: this name is in use; choose another name")
    if name in (*FRAME, "previous"):
        raise Unsupported(f"parts.{name}: the spec has this word for something else; choose another name")


def _within(what: str, index: int, count: int) -> None:
    _counted(what, index, 0, count - 1)


def _counted(what: str, value: int, least: int, most: int, of: str = "") -> None:
    """Refuses what is no whole number within these bounds, as the spec does."""
    if value not in range(least, most + 1):
        raise Unsupported(f"{what}: give {least} to {most:,}{of}{', a whole number' * (value % 1 != 0)} (not {value:,})")
