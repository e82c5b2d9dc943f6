"""Edits of an architecture: its layers and parts are changed in the way a person describes it.

Every function returns a new architecture, or raises Unsupported with a sentence that says what is accepted. Parts that no
layer uses any more are removed. Layers are counted from 0.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from .spec import Architecture, Step, Unsupported, parse

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
    for known in filter(None, (name, otherwise)):
        _known(arch, known)
    mixes = arch.parts[name].mixes
    alike = {other for other, part in arch.parts.items() if part.mixes is mixes}
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
            raise Unsupported(
                f"layers: layer {layer} has {len(found)} {what}, so it is not clear which to replace; give its whole block"
            )
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
    if times == 0:
        return _used(tree | {"layers": [*segments[:segment], *segments[segment + 1 :]]})
    segments[segment]["repeat"] = times
    return _used(tree)


def inserted(arch: Architecture, layer: int, block: Block) -> Architecture:
    """A new layer before this one; if `layer` is the depth, it becomes the last."""
    _within("layer", layer, arch.depth + 1)
    blocks = _blocks(arch)
    return layered(arch, [*blocks[:layer], block, *blocks[layer:]])


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
    if new in arch.parts:
        raise Unsupported(f"parts.{new}: this name is in use; choose another name")
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
    return _used(tree | {"layers": folded(blocks)})


def renamed(arch: Architecture, name: str, new: str) -> Architecture:
    """A part with another name, changed everywhere it is named."""
    _known(arch, name)
    if new in arch.parts:
        raise Unsupported(f"parts.{new}: this name is in use; choose another name")
    tree = arch.model_dump(mode="json", exclude_defaults=True)

    def block(steps: Block) -> Block:
        return [_renamed(step, name, new) for step in steps]

    for segment in tree["layers"]:
        segment["blocks"] = [block(steps) for steps in segment["blocks"]]
    if mtp := tree.get("mtp"):
        mtp["block"] = block(mtp["block"])
        if "further" in mtp:
            mtp["further"] = [block(steps) for steps in mtp["further"]]
    for reader, part in arch.parts.items():
        for read in (read for read in part.reads(arch.d_model) if read.source == name):
            tree["parts"][reader][read.field] = new
    tree["parts"] = {new if part == name else part: value for part, value in tree["parts"].items()}
    if "precision" in tree:
        paths = {path: path.partition(".") for path in tree["precision"]}
        tree["precision"] = {
            "".join((new, *rest)) if root == name else path: tree["precision"][path]
            for path, (root, *rest) in paths.items()
        }
    return parse(tree)


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
    return parse(tree | {"parts": parts} | ({"precision": precision} if precision else {}))


def _blocks(arch: Architecture) -> list[Block]:
    """The block of every layer, in the form of the spec."""
    return [[step.model_dump(mode="json", exclude_defaults=True) for step in block] for block in arch.sequence]


def parts_of(block: Sequence[Step]) -> list[str]:
    """The names of a block's parts, in order."""
    return [name for step in block for name in step.parts]


def _names(step: Any) -> list[str]:
    return [step] if isinstance(step, str) else step if isinstance(step, list) else step["parts"]


def _renamed(step: Any, name: str, new: str) -> Any:
    if isinstance(step, dict):
        shortcut = {new if part == name else part: delay for part, delay in step.get("shortcut", {}).items()}
        lists = {
            field: [new if part == name else part for part in step[field]]
            for field in ("parts", "unnormed")
            if field in step
        }
        return step | lists | ({"shortcut": shortcut} if shortcut else {})
    names = [new if part == name else part for part in _names(step)]
    return names[0] if isinstance(step, str) else names


def _known(arch: Architecture, name: str) -> None:
    if name not in arch.parts:
        raise Unsupported(f"parts.{name}: {arch.title} has no such part; it has {', '.join(arch.parts)}")


def _within(what: str, index: int, count: int) -> None:
    if not 0 <= index < count:
        raise Unsupported(f"{what}: give 0 to {count - 1:,} (not {index:,})")


def folded(blocks: Sequence[Sequence[Any]]) -> list[dict]:
    """The spec's `layers` for one block per layer: repeatedly the shortest pattern that covers the most layers."""
    kinds: dict[Any, str] = {}
    text = "".join(
        kinds.setdefault(_key(block), chr(len(kinds))) for block in blocks
    )  # a letter for each kind of block
    return [
        {"repeat": times, "blocks": [list(block) for block in blocks[at : at + period]]}
        for at, period, times in _runs(text)
    ]


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
