"""Edits of an architecture: its layers and parts are changed in the way a person describes it.

Every function returns a new architecture, or raises Unsupported with a sentence that says what is accepted. Parts that no
layer uses any more are removed. Layers are counted from 0.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from pydantic import ValidationError

from .spec import FRAME, MAX_LAYERS, Architecture, Segment, Step, Unsupported, parse

Block = list[Any]  # steps as the spec writes them: names, lists of names, mappings


def every(arch: Architecture, n: int, name: str, otherwise: str | None = None) -> Architecture:
    """Every n-th layer (n - 1, 2 n - 1, ...) gets the part `name` in place of its mixer, or of its other part if `name` is no mixer.
    Other layers that have it now get `otherwise`, or the part that most layers have there."""
    return _placed(arch, name, nth(arch, n).__contains__, otherwise)


def nth(arch: Architecture, n: int) -> range:
    """Every n-th layer."""
    if not 1 <= n <= arch.depth:
        raise Unsupported(f"every: give 1 to {arch.depth:,}, the number of layers (not {n:,})")
    return range(n - 1, arch.depth, n)


def first(arch: Architecture, count: int, name: str, otherwise: str | None = None) -> Architecture:
    """The first `count` layers get the part `name` in the place that `every` uses; 0 removes it from all layers."""
    if not 0 <= count <= arch.depth:
        raise Unsupported(f"first: give 0 to {arch.depth:,}, the number of layers (not {count:,})")
    return _placed(arch, name, lambda layer: layer < count, otherwise)


def _placed(arch: Architecture, name: str, here: Callable[[int], bool], otherwise: str | None) -> Architecture:
    """The part `name` in these layers only, in place of the part with the same task there."""
    _known(arch, name)
    mixes = arch.parts[name].mixes
    alike = {other for other, part in arch.parts.items() if part.mixes is mixes}
    if otherwise and otherwise not in alike - {name}:
        raise Unsupported(f"otherwise: give a part that stands in the same place ({', '.join(sorted(alike - {name})) or 'there is none'})")
    counts = Counter(p for block in arch.sequence for step in block for p in step.parts if p in alike - {name})
    usual = otherwise or next(iter(dict(counts.most_common(1))), None)
    blocks = []
    for layer, block in enumerate(_blocks(arch)):
        found = [part for step in block for part in _names(step) if part in alike]
        if not here(layer) and found == [name] and usual is None:
            raise Unsupported(f"layers: all layers have {name} in this place; add another part first")
        wanted = name if here(layer) else usual if found == [name] else None
        if wanted is None or found == [wanted]:
            blocks.append(block)
            continue
        if len(found) != 1:
            what = "mixers" if mixes else "parts that are not mixers"
            raise Unsupported(f"layers: layer {layer} has {len(found)} {what}, so it is not clear which to replace; give its whole block")
        blocks.append([_renamed(step, found[0], wanted) for step in block])
    return layered(arch, blocks)


def layered(arch: Architecture, blocks: Sequence[Block]) -> Architecture:
    """The architecture with these blocks, one for each layer; repeated blocks are written once."""
    tree = arch.model_dump(mode="json", exclude_defaults=True)
    return _used(tree | {"layers": folded(blocks)})


def repeated(arch: Architecture, segment: int, times: int) -> Architecture:
    """One segment with another number of repeats; 0 removes it."""
    tree = arch.model_dump(mode="json", exclude_defaults=True)
    segments = tree["layers"]
    _within("segment", segment, len(segments))
    if not 0 <= times <= MAX_LAYERS:
        raise Unsupported(f"repeat: give 0 to {MAX_LAYERS:,} (not {times:,})")
    if times == 0:
        return _used(tree | {"layers": [*segments[:segment], *segments[segment + 1 :]]})
    segments[segment]["repeat"] = times
    return _used(tree)


def inserted(arch: Architecture, layer: int, block: Block) -> Architecture:
    """A new layer before this one; if `layer` is the depth, it becomes the last."""
    _within("layer", layer, arch.depth + 1)
    try:
        steps = Segment(blocks=(block,)).blocks[0] if isinstance(block, list | tuple) else None
    except ValidationError:
        steps = None
    if steps is None:
        raise Unsupported(f"block: give a list of parts, such as [{', '.join(parts_of(arch.sequence[0]))}]")
    blocks = _blocks(arch)
    return layered(arch, [*blocks[:layer], _plain(steps), *blocks[layer:]])


def removed(arch: Architecture, layer: int) -> Architecture:
    """The architecture without one layer."""
    _within("layer", layer, arch.depth)
    blocks = _blocks(arch)
    return layered(arch, [*blocks[:layer], *blocks[layer + 1 :]])


def moved(arch: Architecture, layer: int, to: int) -> Architecture:
    """One layer moved to another place."""
    for place in (layer, to):
        _within("layer", place, arch.depth)
    blocks = _blocks(arch)
    block = blocks.pop(layer)
    return layered(arch, [*blocks[:to], block, *blocks[to:]])


def variant(arch: Architecture, name: str, new: str, fields: dict[str, Any], layers: Sequence[int]) -> Architecture:
    """A copy of the part `name` with some other fields, which replaces it in these layers."""
    _known(arch, name)
    _free(arch, new)
    if not layers:
        raise Unsupported(f"parts.{new}: give at least one layer for it")
    blocks = _blocks(arch)
    for layer in layers:
        _within("layer", layer, arch.depth)
        if name not in parts_of(arch.sequence[layer]):
            raise Unsupported(f"layers: layer {layer} does not have {name}")
        blocks[layer] = [_renamed(step, name, new) for step in blocks[layer]]
    tree = arch.model_dump(mode="json", exclude_defaults=True)
    tree["parts"][new] = tree["parts"][name] | fields
    tree["precision"] = _formats(tree, name, new) | tree.get("precision", {})
    if all(name not in [part for step in block for part in _names(step)] for block in blocks):
        _follow(tree, arch, name, new)  # no layer has what they read by the old name
    return _used(tree | {"layers": folded(blocks)})


def renamed(arch: Architecture, name: str, new: str) -> Architecture:
    """A part with another name, changed everywhere it is named."""
    _known(arch, name)
    _free(arch, new)
    tree = arch.model_dump(mode="json", exclude_defaults=True)

    def block(steps: Block) -> Block:
        return [_renamed(step, name, new) for step in steps]

    for segment in tree["layers"]:
        segment["blocks"] = [block(steps) for steps in segment["blocks"]]
    if mtp := tree.get("mtp"):
        mtp["block"] = block(mtp["block"])
        if "further" in mtp:
            mtp["further"] = [block(steps) for steps in mtp["further"]]
    _follow(tree, arch, name, new)
    tree["parts"] = {new if part == name else part: value for part, value in tree["parts"].items()}
    if "precision" in tree:
        others = {path: fmt for path, fmt in tree["precision"].items() if path.partition(".")[0] != name}
        tree["precision"] = others | _formats(tree, name, new)
    return parse(tree)


def _formats(tree: dict[str, Any], name: str, new: str) -> dict[str, str]:
    """What is said of a part's stored formats, as said of another one."""
    paths = [(path.partition("."), fmt) for path, fmt in tree.get("precision", {}).items()]
    return {new + dot + rest: fmt for (root, dot, rest), fmt in paths if root == name}


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
    used = {name for block in blocks for step in block for name in _names(step)}
    gone = tree["parts"].keys() - used
    parts = {name: part for name, part in tree["parts"].items() if name in used}
    precision = {path: fmt for path, fmt in tree.get("precision", {}).items() if path.partition(".")[0] not in gone}
    rest = {key: value for key, value in tree.items() if key != "precision"}
    return parse(rest | {"parts": parts} | ({"precision": precision} if precision else {}))


def _blocks(arch: Architecture) -> list[Block]:
    """The block of every layer, in the form of the spec."""
    plain = {block: _plain(block) for block in arch.distinct()}
    return [plain[block] for block in arch.sequence]


def _plain(block: Sequence[Step]) -> Block:
    return [step.model_dump(mode="json", exclude_defaults=True) for step in block]


def parts_of(block: Sequence[Step]) -> list[str]:
    """The names of a block's parts, in order."""
    return [name for step in block for name in step.parts]


def _names(step: Any) -> list[str]:
    return [step] if isinstance(step, str) else step if isinstance(step, list) else step["parts"]


def _renamed(step: Any, name: str, new: str) -> Any:
    if isinstance(step, dict):
        shortcut = {new if part == name else part: delay for part, delay in step.get("shortcut", {}).items()}
        lists = {field: [new if part == name else part for part in step[field]] for field in ("parts", "unnormed") if field in step}
        return step | lists | ({"shortcut": shortcut} if shortcut else {})
    names = [new if part == name else part for part in _names(step)]
    return names[0] if isinstance(step, str) else names


def _known(arch: Architecture, name: str) -> None:
    if name not in arch.parts:
        raise Unsupported(f"parts.{name}: {arch.title} has no such part; it has {', '.join(arch.parts)}")


def _free(arch: Architecture, name: str) -> None:
    if name in arch.parts:
        raise Unsupported(f"parts.{name}: this name is in use; choose another name")
    if name in (*FRAME, "previous"):
        raise Unsupported(f"parts.{name}: the spec has this word for something else; choose another name")


def _within(what: str, index: int, count: int) -> None:
    if not 0 <= index < count:
        raise Unsupported(f"{what}: give 0 to {count - 1:,} (not {index:,})")


def folded(blocks: Sequence[Sequence[Any]]) -> list[dict]:
    """The spec's `layers` for one block per layer: repeatedly the shortest pattern that covers the most layers."""
    kinds: dict[Any, str] = {}
    text = "".join(kinds.setdefault(_key(block), chr(len(kinds))) for block in blocks)  # a letter for each kind of block
    return [{"repeat": times, "blocks": [list(block) for block in blocks[at : at + period]]} for at, period, times in _runs(text)]


def _key(block: Sequence[Any]) -> Any:
    return tuple(block) if all(type(step) is str for step in block) else str(block)


@lru_cache(maxsize=64)
def _runs(text: str) -> list[tuple[int, int, int]]:
    """(start, length, number of repeats) of each pattern in a text."""
    runs, at = [], 0
    while at < len(text):
        best = (1, 1)  # period, times
        for period in range(1, min(64, (len(text) - at) // 2) + 1):
            times, unit = 1, text[at : at + period]
            while text.startswith(unit, at + times * period):
                times += 1
            if times > 1 and period * times > best[0] * best[1]:
                best = (period, times)
            if best[0] * best[1] == len(text) - at:
                break
        runs.append((at, *best))
        at += best[0] * best[1]
    return runs
