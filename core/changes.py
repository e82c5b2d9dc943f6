"""The fields in which two values differ, each in words."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from .parts.base import Spec
from .saying import change
from .spec import METADATA, Architecture


@dataclass(frozen=True)
class Change:
    """One field that differs. `path` is the field's own in the spec; a side without it is None."""

    path: str
    before: Any = field(hash=False)
    after: Any = field(hash=False)

    def __str__(self) -> str:
        return change(self.path, self.before, self.after)


def changes(a: Architecture, b: Architecture) -> tuple[Change, ...]:
    """The fields that differ from `a` to `b`. Metadata (title, sources) is not compared."""
    before, after = (arch.model_dump(mode="json", exclude={*METADATA, "layers"}) for arch in (a, b))
    return (*_changes(before, after, ""), *_layers(a, b))


def differences(a: Spec, b: Spec) -> list[Change]:
    """The fields in which two values of one class differ."""
    return list(_changes(a.model_dump(mode="json"), b.model_dump(mode="json"), ""))


def _changes(before: Any, after: Any, path: str) -> Iterator[Change]:
    """Leaf by leaf, down to where the two sides have different kinds."""
    if before == after:
        return
    if isinstance(before, dict) and isinstance(after, dict) and before.get("kind") == after.get("kind"):
        for key in before | after:
            yield from _changes(before.get(key), after.get(key), f"{path}.{key}" if path else key)
        return
    yield Change(path, before, after)


def _layers(a: Architecture, b: Architecture) -> Iterator[Change]:
    """A segment's repeats if nothing else differs, otherwise the whole pattern."""
    if [segment.blocks for segment in a.layers] != [segment.blocks for segment in b.layers]:
        yield Change("layers", a.pattern, b.pattern)
        return
    for index, (old, new) in enumerate(zip(a.layers, b.layers, strict=True)):
        if old.repeat != new.repeat:
            yield Change("layers.repeat" if len(a.layers) == 1 else f"layers.{index}.repeat", old.repeat, new.repeat)
