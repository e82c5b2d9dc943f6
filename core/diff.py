"""The difference of two architectures: the fields and the edits that lead from one to the other, in words, and what each costs."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from .changes import Change, changes
from .cost import Cost, cost
from .spec import Architecture, Workload
from .split import Apart, apart
from .words import change, figure, size, table, tokens

FIGURES = (
    "parameters",
    "active_parameters",
    "weight_bytes",
    "kv_bytes_per_token",
    "kv_bytes",
    "state_bytes",
    "prefill_flops",
    "decode_flops",
    "read_bytes",
)
MOST_COSTS = 1_500  # places of parts in all architectures that are priced for one difference; one takes about half a millisecond


SMALL = 1e-3  # a move that is not told beside larger ones


class Moved(NamedTuple):
    """A figure that an edit can move: its name, the same within a sentence, short in a list of moves, and how it is shown."""

    title: str
    noun: str
    short: str
    show: Callable[[float], str]


def flops(n: float) -> str:
    return figure(n, "FLOP")


MOVED = {
    "parameters": Moved("Parameters", "parameters", "parameters", figure),
    "active_parameters": Moved("Active parameters", "active parameters", "active", figure),
    "weight_bytes": Moved("Weights", "bytes of weights", "weights", size),
    "kept_bytes": Moved("Caches and states", "bytes of caches and states", "caches", size),
    "decode_flops": Moved("Decode FLOPs", "FLOPs for a new token", "decode", flops),
    "read_bytes": Moved("Bytes read", "bytes read for a new token", "read", size),
}


class Moves(dict[str, tuple[int | None, int | None]]):
    """The figures of `MOVED` that an edit moves, each before and after; None is not known."""

    @classmethod
    def between(cls, before: Cost, after: Cost) -> "Moves":
        both = {name: (getattr(before, name), getattr(after, name)) for name in MOVED}
        return cls({name: pair for name, pair in both.items() if pair[0] != pair[1]})

    def __str__(self) -> str:
        """How each figure moves: "−5.2 B parameters, all active, decode 0.54×". Weights that follow the parameters are left out, and so
        is what moves by less than a thousandth beside what moves by more, in one word."""
        added = {name: after - before for name, (before, after) in self.items() if before is not None and after is not None}
        some = [name for name, pair in self.items() if _logarithm(*pair) >= SMALL] or [*self]
        said = []
        for name in some:
            (before, after), moved = self[name], MOVED[name]
            if name == "active_parameters" and "parameters" in some and added[name] == added["parameters"]:
                said.append("all active")
                continue
            words = change(after, before, moved.show) or "not known"
            if name == "weight_bytes" and "parameters" in some and words == change(*self["parameters"][::-1], figure):
                continue
            said.append(f"{words} {moved.short}" if words[0] in "+−" else f"{moved.short} {words}")
        left = "; the rest by less than 0.1 %" if len(some) < len(self) else ""
        return f"{', '.join(said)}{left}" if said else "no figure changes"

    @property
    def most(self) -> tuple[float, str]:
        """The largest move as the logarithm of its ratio, and the figure that it is of."""
        known = [(_logarithm(*pair), name) for name, pair in self.items()]
        return max(known, default=(0.0, ""))


@dataclass(frozen=True)
class Step:
    """One edit, and the figures that it moves: alone, made to the first architecture, and after the edits before it. None where it
    cannot be made alone, or where the architectures are too varied to price each edit."""

    edit: Apart
    alone: Moves | None
    then: Moves | None

    @property
    def effect(self) -> str:
        """What it does, in words: alone if it can be made alone."""
        if self.alone is not None:
            return str(self.alone)
        return f"only after {self.edit.needs}: {self.then}" if self.then is not None and self.edit.needs else "not computed"


@dataclass(frozen=True)
class Diff:
    """The fields that differ, the edits that lead from one architecture to another, and the costs of both. All but the fields are
    computed on first use. Iterates over the edits."""

    changes: tuple[Change, ...]
    sides: tuple[Architecture, Architecture] = field(repr=False)
    workload: Workload | None = field(repr=False)

    def __iter__(self) -> Iterator[Apart]:
        return iter(self.edits)

    def __len__(self) -> int:
        return len(self.edits)

    @cached_property
    def before(self) -> Cost:
        return cost(self.sides[0], self.workload)

    @cached_property
    def after(self) -> Cost:
        return cost(self.sides[1], self.workload)

    @cached_property
    def edits(self) -> tuple[Apart, ...]:
        """Edits that lead from one side to the other in this order, as few as have words of their own. Each leaves a valid architecture."""
        return apart(*self.sides)

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """The edits with what each costs, alone and in order."""
        found, priced = [], 0
        known: dict[Architecture, Cost] = {self.sides[0]: self.before, self.sides[1]: self.after}

        def of(arch: Architecture) -> Cost | None:
            nonlocal priced
            if arch not in known:
                priced += sum(len(step.parts) for block in arch.distinct() for step in block)
                if priced > MOST_COSTS:
                    return None
                known[arch] = cost(arch, self.workload)
            return known[arch]

        def moves(before: Architecture, after: Architecture | None) -> Moves | None:
            first, second = of(before), of(after) if after else None
            return Moves.between(first, second) if first and second else None

        for edit in self.edits:
            found.append(Step(edit, moves(self.sides[0], edit.alone), moves(edit.before, edit.after)))
        return tuple(found)

    @property
    def figures(self) -> dict[str, tuple[int | None, int | None]]:
        """The costs that differ, each before and after; None if it is not known."""
        both = {name: (getattr(self.before, name), getattr(self.after, name)) for name in FIGURES}
        return {name: (a, b) for name, (a, b) in both.items() if a != b}

    @property
    def verdict(self) -> str:
        """The difference in one sentence: what the second side costs beside the first, and the edit that alone moves a figure most."""
        a, b = (side.title for side in self.sides)
        return self.sentence(a, b) if a != b else self.sentence("the first", "The second")

    def costs(self, a: str, b: str) -> str:
        """What the second side costs beside the first, in a sentence with these names; it is there before the edits are."""
        return f"{_costs(self.before, self.after, a, b) if self.changes else f'{b} is the same architecture as {a}'}."

    def sentence(self, a: str, b: str) -> str:
        """The verdict with these names for the two sides."""
        costs = self.costs(a, b)
        alone = [(step.alone.most, step.edit.words, step.alone) for step in self.steps if step.alone]
        if not alone or not self.changes:
            return costs
        (_, name), words, moves = max(alone, key=lambda one: one[0][0])
        (before, after), moved = moves[name], MOVED[name]
        batch = self.before.workload.batch
        noun = moved.noun if batch == 1 or name != "decode_flops" else f"FLOPs for a step of {batch:,} tokens"
        return f"{costs[:-1]}; what differs most is {words}, which alone gives {_beside(before, after, noun, moved.show)}."

    def __str__(self) -> str:
        """One line per edit, then a table of the figures that differ."""
        if not self.changes:
            return "\n".join(["no difference", *filter(None, (self.before.caveat, self.after.caveat))])
        lines = [table(("", "made alone"), ((step.edit.words, step.effect) for step in self.steps))]
        if figures := self.figures:
            rows = ((name.replace("_", " "), *map(_known, both), _share(*both)) for name, both in figures.items())
            lines.append(table(("", "before>", "after>", "change>"), rows))
        return "\n".join([*lines, *filter(None, (self.before.caveat, self.after.caveat))])

    def to_dict(self) -> dict:
        return {
            "before": self.sides[0].name,
            "after": self.sides[1].name,
            "verdict": self.verdict,
            "changes": [{"path": c.path, "before": c.before, "after": c.after, "words": str(c)} for c in self.changes],
            "edits": [
                {
                    "words": step.edit.words,
                    "told": [told._asdict() for told in step.edit.told],
                    "needs": step.edit.needs,
                    "alone": _plain(step.alone),
                    "in_sequence": _plain(step.then),
                }
                for step in self.steps
            ],
            "figures": _plain(self.figures),
        }


def diff(a: Architecture, b: Architecture, workload: Workload | None = None) -> Diff:
    """What changes from `a` to `b`. Metadata (title, sources) is no field that differs, but the last edit gives it too."""
    return Diff(changes(a, b), (a, b), workload)


def _costs(before: Cost, after: Cost, a: str, b: str) -> str:
    """What the second costs beside the first: "B has 3.2× the parameters of A but reads 0.4× the bytes for a new token at 32K"."""
    w = after.workload
    sized = None not in (before.read_bytes, after.read_bytes)
    verb, noun, show, name = ("reads", "bytes", size, "read_bytes") if sized else ("takes", "FLOPs", flops, "decode_flops")
    count, work, kept = ((getattr(before, of), getattr(after, of)) for of in ("parameters", name, "kept_bytes"))
    token = "a new token" if sized or w.batch == 1 else f"a step of {w.batch:,} tokens"
    have = f"as many parameters as {a}" if count[0] == count[1] else _beside(*count, "parameters", figure, a)
    opposed = (count[1] - count[0]) * (work[1] - work[0]) < 0
    keeps = f"keeps {_beside(*kept, 'bytes of caches and states', size)}"
    return (
        f"{b} has {have} {'but' if opposed else 'and'} {verb} {_beside(*work, noun, show)} for {token} at {tokens(w.context)}, and {keeps}"
    )


def _beside(before: int | None, after: int | None, noun: str, show: Callable[[float], str], of: str = "") -> str:
    """A figure beside another one: "1.53× the parameters of A", "1.8 M more parameters than A", "184.8 MB fewer bytes"."""
    words = change(after, before, show)
    if not words or before is None or after is None:
        return f"the same {noun}"
    if words.endswith("×"):
        return f"{words} the {noun}{f' of {of}' if of else ''}"
    return f"{words[1:]} {'more' if after > before else 'fewer'} {noun}{f' than {of}' if of else ''}"


def _logarithm(before: int | None, after: int | None) -> float:
    """How far a figure moves, up as far as down; from or to nothing is as far as anything."""
    if before is None or after is None:
        return 0.0
    return abs(math.log(after / before)) if before and after else math.inf


def _plain(moves: Mapping[str, tuple[int | None, int | None]] | None) -> dict | None:
    return None if moves is None else {name: {"before": a, "after": b} for name, (a, b) in moves.items()}


def _known(figure: int | None) -> str:
    return "not known" if figure is None else f"{figure:,}"


def _share(before: int | None, after: int | None) -> str:
    return f"{(after - before) / before:+.1%}" if before and after is not None else ""
