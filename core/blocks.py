"""Blocks: what their layers are called, and how the spec writes them: a step is a part's name, a list of names, or a mapping with more
fields."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from .spec import Architecture, Step

Block = list[Any]  # steps as the spec writes them
FEW_RUNS = 3  # of layers that are told one by one


# ---- their layers ----


def block_words(arch: Architecture) -> dict[tuple[Step, ...], str]:
    """The layers of each distinct block: "layers 3-60"."""
    places: dict[tuple[Step, ...], list[int]] = {}
    for index, steps in enumerate(arch.sequence):
        places.setdefault(steps, []).append(index)
    return {steps: layers_in_words(indices) for steps, indices in places.items()}


def block_names(arch: Architecture) -> dict[tuple[Step, ...], str]:
    """Each distinct block's node: the path of its first layer."""
    names: dict[tuple[Step, ...], str] = {}
    begin = 0
    for segment in arch.layers:
        for index, steps in enumerate(segment.blocks, begin):  # further repeats bring no other blocks
            names.setdefault(steps, f"layers.{index}")
        begin += segment.repeat * len(segment.blocks)
    return names


def layers_in_words(indices: list[int]) -> str:
    """[0, 1, 2] -> "layers 0-2"; [1, 3, 5] -> "layers 1, 3, … 5"; [0, 1, 3, 4] -> "layers 0-1, 3-4"."""
    if len(indices) == 1:
        return f"layer {indices[0]}"
    steps = {b - a for a, b in zip(indices, indices[1:])}
    if steps == {1}:
        return f"layers {indices[0]}-{indices[-1]}"
    if len(steps) == 1 and len(indices) > 2:
        return f"layers {indices[0]}, {indices[1]}, … {indices[-1]}"
    starts = [0, *(n for n in range(1, len(indices)) if indices[n] - indices[n - 1] > 1), len(indices)]
    if len(starts) <= FEW_RUNS + 1:
        runs = [(indices[a], indices[b - 1]) for a, b in zip(starts, starts[1:])]
        return f"layers {', '.join(f'{a}-{b}' if a < b else f'{a}' for a, b in runs)}"
    return among(indices)


def among(indices: Sequence[int]) -> str:
    """[0, 2, 3, 5] -> "4 of layers 0-5"."""
    return f"{len(indices):,} of layers {indices[0]}-{indices[-1]}"


# ---- as the spec writes them ----


def plain(block: Sequence[Step]) -> Block:
    return [step.model_dump(mode="json", exclude_defaults=True) for step in block]


def spelled(step: Any) -> dict[str, Any]:
    """A step with the names of its fields."""
    return step if isinstance(step, dict) else {"parts": names_of(step)}


def names_of(step: Any) -> list[str]:
    return [step] if isinstance(step, str) else step if isinstance(step, list) else step["parts"]


def renamed_in(step: Any, name: str, new: str) -> Any:
    if isinstance(step, dict):
        shortcut = {new if part == name else part: delay for part, delay in step.get("shortcut", {}).items()}
        lists = {field: [new if part == name else part for part in step[field]] for field in ("parts", "unnormed") if field in step}
        return step | lists | ({"shortcut": shortcut} if shortcut else {})
    names = [new if part == name else part for part in names_of(step)]
    return names[0] if isinstance(step, str) else names


def without_part(step: Any, name: str) -> Any:
    if isinstance(step, dict):
        shortcut = {part: delay for part, delay in step.get("shortcut", {}).items() if part != name}
        lists = {field: [part for part in step[field] if part != name] for field in ("parts", "unnormed") if field in step}
        return step | lists | ({"shortcut": shortcut} if "shortcut" in step else {})
    return [part for part in names_of(step) if part != name]


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
