"""Several architectures beside the first: figures with ratios, what differs in which part, and a sentence for each."""

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from .cost import Cost, cost
from .diff import Diff, Step, diff, flops
from .roles import ROLES
from .saying import called, sides
from .spec import METADATA, Architecture, Unsupported, Workload
from .split import GROUPS, Told, group_of
from .words import change, figure, size, table, tokens

LETTERS = "ABCD"
ANY = "any length"  # of a text: nothing in the model bounds it
ORDER = ("layers", *ROLES, "files")  # of the groups; how a model is called is no difference
HEADINGS = {**ROLES, **GROUPS}


GROWS: dict[str, tuple[str, str, Callable[[float | None], str]]] = {  # what grows with the text: its title, a note, and it in words
    "kept_bytes": ("Caches and states", "of one text", size),
    "read_bytes": ("Bytes read", "for one new token: active weights, caches, states", size),
    "decode_flops": ("Decode", "FLOPs of one new token", lambda n: figure(n or 0, "FLOP")),
}


class Curve(NamedTuple):
    """One of `GROWS` over `Comparison.contexts`, of the architectures (by index) that have the same; past `limit` no one of them is
    meant to read."""

    those: tuple[int, ...]
    values: tuple[int, ...]
    limit: int


class Line(NamedTuple):
    """A figure of every architecture. `show` gives it in words."""

    name: str
    title: str
    note: str
    show: Callable[[float | None], str]
    values: tuple[int | None, ...]

    def ratio(self, index: int) -> float | None:
        """One value to the first; None if there is none."""
        first, other = self.values[0], self.values[index]
        return other / first if first and other is not None else None

    def beside(self, index: int) -> str:
        """One value beside the first, in words."""
        first, other = self.values[0], self.values[index]
        if first is None or other is None:
            return ""
        return change(other, first, self.show) or "same"


@dataclass
class Difference:
    """What differs in one place: the first architecture's value, and by the index of another one its own value and the step that the
    difference is, or where it is counted, if its step is told there."""

    group: str
    of: str
    name: str
    first: str
    others: dict[int, tuple[str, Step | str]] = field(default_factory=dict)

    @property
    def still(self) -> bool:
        """Whether it moves no figure of any of the models."""
        if not self.others:
            return False
        moves = [step.then if step.alone is None else step.alone for _, step in self.others.values() if not isinstance(step, str)]
        return len(moves) == len(self.others) and all(found is not None and not found for found in moves)


@dataclass(frozen=True)
class Comparison:
    """Two to four architectures at one workload. Everything is computed on first use."""

    archs: tuple[Architecture, ...]
    workload: Workload

    @cached_property
    def costs(self) -> tuple[Cost, ...]:
        return tuple(cost(arch, self.workload) for arch in self.archs)

    @cached_property
    def diffs(self) -> tuple[Diff, ...]:
        """From the first to each of the others."""
        return tuple(diff(self.archs[0], arch, self.workload) for arch in self.archs[1:])

    @property
    def names(self) -> tuple[str, ...]:
        """A name for each within a sentence: its title, or its letter if the titles are not all different."""
        titles = [arch.title for arch in self.archs]
        return tuple(titles if len(set(titles)) == len(titles) else LETTERS[: len(titles)])

    @property
    def openings(self) -> tuple[str, ...]:
        """The first half of each verdict, which needs no edits."""
        return tuple(found.costs(self.names[0], name) for found, name in zip(self.diffs, self.names[1:], strict=True))

    @property
    def verdicts(self) -> tuple[str, ...]:
        """A sentence for each of the others."""
        return tuple(found.sentence(self.names[0], name) for found, name in zip(self.diffs, self.names[1:], strict=True))

    @cached_property
    def lines(self) -> tuple[Line, ...]:
        at = f"at {tokens(self.workload.context)}"
        many = "" if self.workload.batch == 1 else f", {self.workload.batch:,} sequences"

        def line(name: str, title: str, note: str, show: Callable[[float], str]) -> Line:
            return Line(name, title, note, lambda n: "not known" if n is None else show(n), tuple(getattr(c, name) for c in self.costs))

        context = tuple(arch.meant_for for arch in self.archs)
        return (
            line("parameters", "Parameters", "every weight", figure),
            line("active_parameters", "Active parameters", "used for a token", figure),
            line("weight_bytes", "Weights", f"in {self.workload.weights}" if self.workload.weights else "as shipped", size),
            line("kv_bytes_per_token", "Cache of a token", "the first of a text; later ones may keep less", size),
            line("kept_bytes", "Caches and states", f"{at}{many}", size),
            line("read_bytes", "Bytes read", f"for a new token {at}", size),
            line("decode_flops", "Decode", f"a new token {at}{many}", flops),
            line("prefill_flops", "Prefill", f"the whole text {at}{many}", flops),
            Line("context", "Longest text", "that it is meant for", lambda n: tokens(int(n)) if n else ANY, context),
        )

    @cached_property
    def contexts(self) -> tuple[int, ...]:
        """Lengths of text from 512 tokens to the longest that one of them is meant for, with the workload's own and each one's longest."""
        ends = [arch.meant_for for arch in self.archs]
        top = max(self.workload.context, 4_096, *(end or 131_072 for end in ends))
        between = (round(512 * (top / 512) ** (n / 55)) for n in range(56))
        return tuple(sorted({self.workload.context, top, *(end for end in ends if end), *between}))

    def curves(self, name: str) -> list[Curve]:
        """One of `GROWS`, a curve for each architecture or for several that have the same; none for one whose figure is not known."""
        found: dict[tuple[int, ...], list[int]] = {}
        for index, c in enumerate(self.costs):
            at = [*self.contexts]
            values = c.kept_at(at)[0] if name == "kept_bytes" else c.read_at(at) if name == "read_bytes" else c.decode_at(at)
            if values:
                found.setdefault(tuple(values), []).append(index)
        top = self.contexts[-1]
        return [Curve(tuple(those), values, max(self.archs[n].meant_for or top for n in those)) for values, those in found.items()]

    @cached_property
    def differences(self) -> tuple[Difference, ...]:
        """What differs from the first, in order of the groups, in each first what moves a figure; how a model is called is left out."""
        found: dict[tuple, Difference] = {}
        for index, one in enumerate(self.diffs, start=1):
            seen: Counter[tuple] = Counter()  # several in one place, such as one part in place of another in some layers each
            for step in one.steps:
                for place, told in enumerate(step.edit.told):
                    if told.group in ORDER:
                        first, other = (self._said(n, told, words) for n, words in ((0, told.before), (index, told.after)))
                        row = found.setdefault((*told[:3], seen[told[:3]]), Difference(*told[:3], first))
                        with_ = step.edit.told[0]
                        row.others[index] = other, f"counted with {with_.of} {with_.name}".replace("  ", " ") if place else step
                        seen[told[:3]] += 1
        return tuple(sorted(found.values(), key=lambda row: (ORDER.index(row.group), row.still, row.of)))

    def _said(self, index: int, told: Told, words: str) -> str:
        """One side of a difference; a context says nothing of a model that reads texts of any length."""
        return ANY if told[:3] == ("files", "", "context") and self.archs[index].meant_for is None else words

    @cached_property
    def alike(self) -> tuple[Difference, ...]:
        """What all have in common with the first: the fields that it sets, of parts that all have under one name."""
        first, *others = self.archs
        told = {change.path for found in self.diffs for change in found.changes}
        shared = [name for name, part in first.parts.items() if all(getattr(a.parts.get(name), "kind", "") == part.kind for a in others)]
        tree = first.model_dump(mode="json", exclude_defaults=True, exclude={*METADATA, "layers"})
        tree["parts"] = {name: tree["parts"][name] for name in shared}
        rows = []
        for path, value in _leaves(tree, ""):
            if any(path == other or path.startswith(f"{other}.") for other in told):
                continue
            name = path.split(".")[1] if path.startswith("parts.") else ""
            group = first.parts[name].role if name else group_of(path)
            rows.append(Difference(group, *called(path), sides(path, value, value)[0]))
        if all(arch.depth == first.depth for arch in others):
            rows.append(Difference("layers", "", "layers", f"{first.depth:,}"))
        return tuple(sorted((row for row in rows if row.name), key=lambda row: (ORDER.index(row.group), row.of)))

    def __str__(self) -> str:
        """The sentences, a table of the figures, and one of what differs."""
        letters = LETTERS[: len(self.archs)]
        models = [f"{letter}: {arch.title} ({arch.name})" for letter, arch in zip(letters, self.archs, strict=True)]
        heads = ("", *(f"{letter}>" for letter in letters), *(f"{letter} to A>" for letter in letters[1:]))
        rows = [(f"{line.title}, {line.note}", *map(line.show, line.values), *_ratios(line)) for line in self.lines]
        out = ["\n".join([*self.verdicts, "", *models]), table(heads, rows)]
        if self.differences:
            named = [(HEADINGS[row.group], f"{row.of} {row.name}".strip(), row.first, *self._cells(row)) for row in self.differences]
            out.append(table(("", "what differs", "A", *letters[1:]), named))
            out.append("Below or after a value: what this difference alone, made to A, does to its figures.")
        return "\n".join([*out, *(c.caveat for c in self.costs if c.caveat)])

    def _cells(self, row: Difference) -> list[str]:
        cells = []
        for index in range(1, len(self.archs)):
            value, step = row.others.get(index, ("same", ""))
            cells.append(f"{value} ({_effect(step)})" if step else value)
        return cells

    def csv(self) -> str:
        """Figures, then what differs, as one table of comma-separated values: a row each, a column each architecture, and one for what
        each difference alone does to the first one's figures."""
        out = io.StringIO()
        rows = csv.writer(out, lineterminator="\n")
        others = range(1, len(self.archs))
        rows.writerow(["group", "what", *(arch.title for arch in self.archs), *(f"{self.archs[n].title}: effect alone" for n in others)])
        for line in self.lines:
            cells = ((ANY if line.name == "context" else "") if n is None else n for n in line.values)
            rows.writerow(["figures", f"{line.title}, {line.note}", *cells, *map(line.beside, others)])
        for row in self.differences:
            found = [row.others.get(n) for n in others]
            values = [row.first, *(pair[0] if pair else row.first for pair in found)]
            effects = (_effect(pair[1]) if pair else "" for pair in found)
            rows.writerow([HEADINGS[row.group], f"{row.of} {row.name}".strip(), *values, *effects])
        return out.getvalue()

    def to_dict(self) -> dict:
        return {
            "architectures": [arch.name for arch in self.archs],
            "workload": self.workload.model_dump(mode="json"),
            "verdicts": list(self.verdicts),
            "figures": [{"name": one.name, "title": one.title, "note": one.note, "values": list(one.values)} for one in self.lines],
            "differences": [found.to_dict() for found in self.diffs],
        }


def bounds(found: Comparison) -> float:
    """A round number that no ratio of a figure to the first one's passes, nor its inverse: the end of a logarithmic scale."""
    ratios = [ratio for line in found.lines for n in range(1, len(found.archs)) if (ratio := line.ratio(n))]
    most = max((max(ratio, 1 / ratio) for ratio in ratios), default=1.0)
    return next(end * 10.0**digits for digits in range(400) for end in (2, 5, 10) if end * 10.0**digits >= most * 0.999)


def compare(archs: Sequence[Architecture], workload: Workload | None = None) -> Comparison:
    """Two to four architectures beside the first one; at one sequence of 4,096 tokens if no workload is given."""
    if not 2 <= len(archs) <= len(LETTERS):
        raise Unsupported(f"compare: give 2 to {len(LETTERS)} architectures (not {len(archs)})")
    return Comparison(tuple(archs), workload or Workload())


def _leaves(tree: Mapping[str, Any], path: str) -> Iterator[tuple[str, Any]]:
    """The fields of a tree and their values; a choice is told by its kind."""
    for key, value in tree.items():
        at = f"{path}.{key}" if path else key
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, at)
        elif key != "kind" or at == "position.kind":
            yield at, value


def _ratios(line: Line) -> list[str]:
    return [line.beside(n) for n in range(1, len(line.values))]


def _effect(step: Step | str) -> str:
    return step if isinstance(step, str) else step.effect
