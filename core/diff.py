"""The difference of two architectures: the fields that differ, in words, and what the difference costs."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from .cost import Cost, cost
from .parts.base import Spec
from .saying import change
from .spec import METADATA, Architecture, Workload
from .words import table

FIGURES = (
    "parameters",
    "active_parameters",
    "weight_bytes",
    "kv_bytes_per_token",
    "kv_bytes",
    "state_bytes",
    "prefill_flops",
    "decode_flops",
)


@dataclass(frozen=True)
class Change:
    """One field that differs. `path` is the field's own in the spec; a side without it is None."""

    path: str
    before: Any = field(hash=False)
    after: Any = field(hash=False)

    def __str__(self) -> str:
        return change(self.path, self.before, self.after)


@dataclass(frozen=True)
class Diff:
    """The changes from one architecture to another, and the costs of both, computed on first use. Iterates over its changes."""

    changes: tuple[Change, ...]
    sides: tuple[Architecture, Architecture] = field(repr=False)
    workload: Workload | None = field(repr=False)

    def __iter__(self) -> Iterator[Change]:
        return iter(self.changes)

    def __len__(self) -> int:
        return len(self.changes)

    @cached_property
    def before(self) -> Cost:
        return cost(self.sides[0], self.workload)

    @cached_property
    def after(self) -> Cost:
        return cost(self.sides[1], self.workload)

    @property
    def figures(self) -> dict[str, tuple[int | None, int | None]]:
        """The costs that differ, each before and after; None if it is not known."""
        both = {name: (getattr(self.before, name), getattr(self.after, name)) for name in FIGURES}
        return {name: (a, b) for name, (a, b) in both.items() if a != b}

    def __str__(self) -> str:
        """One line per change, then a table of the figures that differ."""
        lines = [str(change) for change in self.changes] or ["no difference"]
        if figures := self.figures:
            rows = ((name.replace("_", " "), *map(_known, both), _share(*both)) for name, both in figures.items())
            lines.append(table(("", "before>", "after>", "change>"), rows))
        return "\n".join([*lines, *filter(None, (self.before.caveat, self.after.caveat))])

    def to_dict(self) -> dict:
        return {
            "before": self.sides[0].name,
            "after": self.sides[1].name,
            "changes": [{"path": c.path, "before": c.before, "after": c.after, "words": str(c)} for c in self.changes],
            "figures": {name: {"before": a, "after": b} for name, (a, b) in self.figures.items()},
        }


def diff(a: Architecture, b: Architecture, workload: Workload | None = None) -> Diff:
    """What changes from `a` to `b`. Metadata (title, sources) is not compared."""
    before, after = (arch.model_dump(mode="json", exclude={*METADATA, "layers"}) for arch in (a, b))
    changes = [*_changes(before, after, ""), *_layers(a, b)]
    return Diff(tuple(changes), (a, b), workload)


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


def _known(figure: int | None) -> str:
    return "not known" if figure is None else f"{figure:,}"


def _share(before: int | None, after: int | None) -> str:
    return f"{(after - before) / before:+.1%}" if before and after is not None else ""
