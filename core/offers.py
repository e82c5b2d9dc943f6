"""What would do in place of a refused value: other values of the field, or of a field that the refusal names.

There is no table of rules: candidates near the refused value are tried with the spec's own validation.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from pydantic import ValidationError

from .cost import cost
from .parts.base import Spec
from .saying import called, said
from .spec import Architecture, Unsupported, Workload, edited

MOST_TRIED = 60  # validations of a whole architecture, a few milliseconds each
FIGURES = {"kv_bytes": "cache", "state_bytes": "states", "parameters": "parameters", "active_parameters": "active"}
MOST_SEEN = 100  # candidates for one field
LARGEST = 10**9  # numbers above are no candidates


@dataclass(frozen=True)
class Offer:
    """One value with which a refused edit is valid. `words` name it, kv_heads 6; `effect` says what it changes, −25 % cache."""

    path: str
    value: Any
    words: str
    effect: str
    architecture: Architecture


def offers(arch: Architecture, path: str, value: Any, workload: Workload | None = None, most: int = 4) -> list[Offer]:
    """At most `most` offers for a refused edit of one field: its own nearest values, below and above, then values of fields that the
    refusal names, with which the refused value is accepted. Empty if the edit is accepted, or if nothing near is."""
    try:
        edited(arch, path, value)
        return []
    except Unsupported as error:
        words = str(error)
    fields = dict(_fields(arch, path))
    if path not in fields:
        return []
    named = [field for field in fields if field != path and re.search(rf"(?<!\w){field.rpartition('.')[2]}(?!\w)", words)]
    tries = iter(range(MOST_TRIED))
    found: list[Offer] = []
    for field in (path, *named):
        also = {} if field == path else {path: value}
        for candidate, made in _accepted(arch, field, value if field == path else fields[field][0], fields[field], also, words, tries):
            found.append(Offer(field, candidate, f"{_beside(field, path)} {said(candidate)}", _effect(arch, made, workload), made))
    return found[:most]


def _accepted(
    arch: Architecture, field: str, at: Any, known: tuple[Any, Any], also: dict[str, Any], words: str, tries: Iterator[int]
) -> Iterator[tuple[Any, Architecture]]:
    """The accepted values of a field, of numbers the nearest to `at` on each side, with the architectures that have them. A refusal on
    the way may name further numbers."""
    now, annotation = known
    waiting, seen, sides = [*_candidates(at, annotation, words)], set(), set()
    while waiting:
        candidate = min(waiting, key=lambda given: abs(given - at) if _whole(given) and _whole(at) else math.inf)
        waiting.remove(candidate)
        side = candidate > at if _whole(at) and _whole(candidate) else None
        if side in sides or candidate in seen:
            continue
        seen.add(candidate)
        if candidate == now:  # no offer; beyond it, values are further from what was asked
            sides |= {side} if candidate != at else set()
            continue
        refusal = _refusal(arch, {**also, field: candidate})
        if not refusal:
            if next(tries, None) is None:
                return
            try:
                yield candidate, edited(arch, field, candidate, also)
                sides.add(side)
            except Unsupported as error:
                refusal = str(error)
        if refusal and _whole(candidate) and len(seen) < MOST_SEEN:
            waiting = [n for n in _told(refusal) if n not in seen] + waiting


def _refusal(arch: Architecture, values: dict[str, Any]) -> str:
    """Why the part that has these fields refuses them, a quick check before the architecture's; empty if it does not, or if no part has
    them all."""
    parts = {tuple(path.split(".")[:2]) for path in values}
    (top, *name), *more = parts
    if more or top != "parts":
        return ""
    part = arch.parts[name[0]]
    tree = part.model_dump(mode="json")
    for path, value in values.items():
        *parents, last = path.split(".")[2:]
        inner = tree
        for key in parents:
            inner = inner[key]
        inner[last] = value
    try:
        type(part).model_validate(tree)
    except ValidationError as error:
        return error.errors(include_url=False)[0]["msg"]
    return ""


def _fields(arch: Architecture, path: str) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """The fields of the part that a path is in, and those of the model: path -> value, annotation."""
    if path.startswith("parts.") and (part := arch.parts.get(path.split(".")[1])):
        yield from _leaves(part, f"parts.{path.split('.')[1]}.")
    yield from _leaves(arch, "")


def _leaves(spec: Spec, path: str) -> Iterator[tuple[str, tuple[Any, Any]]]:
    for name, field in type(spec).model_fields.items():
        value = getattr(spec, name)
        if isinstance(value, Spec):
            yield from _leaves(value, f"{path}{name}.")
        elif isinstance(value, bool | int | float | str | NoneType) and name not in ("kind", "name", "title"):
            yield f"{path}{name}", (value, field.annotation)


def _candidates(at: Any, annotation: Any, words: str) -> list[Any]:
    """Values of a field to try near one value."""
    empty = [None] if NoneType in get_args(annotation) and at is not None else []
    if not _whole(at) or abs(at) > LARGEST:
        return [*(option for option in _options(annotation) if option != at), *empty]
    told = _told(words)
    near = {*told, *range(at - 8, at + 9)}
    near |= {whole for n in told if n > 1 for whole in (at // n * n, -(-at // n) * n)}
    near |= {1 << at.bit_length() - 1, 1 << at.bit_length()} if at > 0 else {1}
    return [*(n for n in near if 0 <= n <= LARGEST), *empty]


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _told(words: str) -> list[int]:
    """The whole numbers in a sentence."""
    return [int(digits.replace(",", "")) for digits in re.findall(r"(?<![\w.])\d[\d,]{0,12}(?![\w.])", words)]


def _options(annotation: Any) -> Iterator[Any]:
    """The values of a field that has only a few."""
    if annotation is bool:
        yield from (False, True)
    for inner in get_args(annotation):
        yield from (inner,) if get_origin(annotation) is Literal else _options(inner)


def _beside(field: str, path: str) -> str:
    """The name of a field on a button beside another one: with its part only if that is of another part."""
    (of, name), (here, _) = called(field), called(path)
    return f"{of} {name}" if of != here and of else name


def _effect(arch: Architecture, made: Architecture, workload: Workload | None) -> str:
    """What an offer does to the figure that it changes most, in a few words."""
    before, after = cost(arch, workload), cost(made, workload)
    both = {words: (getattr(before, figure), getattr(after, figure)) for figure, words in FIGURES.items()}
    ratios = {words: new / old for words, (old, new) in both.items() if old and new and round(new / old, 3) != 1}
    if not ratios:
        return ""
    words = max(ratios, key=lambda words: abs(math.log(ratios[words])))
    ratio, share = ratios[words], (ratios[words] - 1) * 100
    if ratio >= 2.5:
        return f"{ratio:,.1f} × {words}"
    return f"{share:+.{0 if abs(share) >= 10 else 1}f} % {words}".replace("-", "−")
