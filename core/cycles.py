"""The rhythm of the layers: which of them share one frame of the picture, and which frames repeat in a cycle.

Layers whose blocks differ only in settings have one form: the same kinds of parts in the same steps. A run of one form is one frame.
Forms that repeat in turn are a cycle; layers in an order without a period are a cycle of no length.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import prod
from typing import Any

import numpy as np

from .changes import differences
from .parts.base import Part
from .saying import called, said
from .spec import Architecture, Step
from .words import tokens

Block = tuple[Step, ...]
UNEVEN, MIXED, EACH = 0.2, 0.8, 0.02  # what a remainder, layers without a period, and each form in them add to the height
LED = 0.2  # what a cycle after one run of first layers takes from the height: people know "the first two dense"
FEW = 3  # runs that are told one by one, as two around an odd layer
MOST = 8  # frames; more are layers without a period
LONGEST = 64  # layers of a cycle that a reader would see as one
ENDS = 4  # where layers without a period may begin and end, counted in runs from both ends of the model


@dataclass(frozen=True)
class Frame:
    """Layers of one form in one cycle. `layers` are their numbers, in order; `times` is how many of them one cycle has."""

    layers: tuple[int, ...]
    times: int


@dataclass(frozen=True)
class Cycle:
    """Consecutive layers: `length` of them are one cycle, 0 if they have no period. `ordered` says that each form is one run in a
    cycle, so that the frames stand in the order of the flow; otherwise they stand in the order of their first layers. `runs` of one form
    each follow each other in a cycle, or in all these layers."""

    first: int
    stop: int
    length: int
    ordered: bool
    frames: tuple[Frame, ...]
    runs: int

    @property
    def whole(self) -> int:
        """Whole cycles."""
        return (self.stop - self.first) // self.length if self.length else 0

    @property
    def rest(self) -> int:
        """Layers of a last cycle that is cut."""
        return (self.stop - self.first) % self.length if self.length else 0


def rhythm(arch: Architecture) -> tuple[Cycle, ...]:
    """The cycles of an architecture, from the first layer to the last, with as few frames as possible."""
    forms = {block: form(arch, block) for block in arch.distinct()}
    return cycles([forms[block] for block in arch.sequence])


def form(arch: Architecture, block: Block) -> Hashable:
    """What two blocks have in common if they differ only in the settings of their parts."""

    def step(one: Step) -> tuple[Any, ...]:
        kinds, place = tuple(arch.parts[name].kind for name in one.parts), one.parts.index
        delays = tuple(sorted((place(name), delay) for name, delay in one.shortcut.items()))
        residual = type(one.residual)
        return kinds, one.aside, one.own_norms, tuple(map(place, one.unnormed)), delays, residual

    return tuple(map(step, block))


def cycles(forms: Sequence[Hashable]) -> tuple[Cycle, ...]:
    """The cut of a sequence of forms into cycles that takes the fewest frames; one without a period if these were too many."""
    starts = [0, *(n for n, (before, after) in enumerate(zip(forms, forms[1:]), start=1) if before != after)]
    found = list(_periodic(forms))
    cuts = sorted({*starts, len(forms), *(end for first, stop, _ in found for end in (first, stop))})
    best: dict[int, tuple[float, tuple[Cycle, ...]]] = {0: (0.0, ())}
    for index, stop in enumerate(cuts[1:], start=1):
        run = starts[bisect_left(starts, stop) - 1]  # where the run of the layer before began
        tries = [cycle for cycle in found if cycle[1] == stop] + [(first, stop, 1) for first in cuts[:index] if first >= run]
        if index >= len(cuts) - ENDS:
            tries += [(first, stop, 0) for first in cuts[: min(index, ENDS)]]
        best[stop] = min(
            (
                (best[c.first][0] + _height(c) - LED * (c.length > 1 and len(best[c.first][1]) == 1), (*best[c.first][1], c))
                for c in (_cycle(forms, *one) for one in tries)
            ),
            key=lambda one: (one[0], len(one[1])),
        )
    made = best[len(forms)][1]
    return made if sum(len(cycle.frames) for cycle in made) <= MOST else (_cycle(forms, 0, len(forms), 0),)


def _periodic(forms: Sequence[Hashable]) -> Iterator[tuple[int, int, int]]:
    """Each longest stretch of at least two cycles of one length, of several forms: (first, stop, length)."""
    known: dict[Hashable, int] = {}
    numbers = np.array([known.setdefault(form, len(known)) for form in forms])
    for length in range(2, min(LONGEST, len(forms) // 2) + 1):
        alike = np.concatenate(([0], numbers[:-length] == numbers[length:], [0]))
        edges = np.flatnonzero(np.diff(alike))
        for first, stop in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
            if stop - first >= length and (numbers[first : first + length] != numbers[first]).any():
                yield first, stop + length, length


def _cycle(forms: Sequence[Hashable], first: int, stop: int, length: int) -> Cycle:
    one = forms[first : first + (length or stop - first)]
    layers: dict[Hashable, list[int]] = {}
    for layer in range(first, stop):
        layers.setdefault(forms[layer], []).append(layer)
    frames = tuple(Frame(tuple(found), sum(other == kind for other in one)) for kind, found in layers.items())
    runs = len(list(groupby(one)))
    return Cycle(first, stop, length, runs == len(frames), frames, runs)


def _height(cycle: Cycle) -> float:
    """About the height that it is drawn with, in frames."""
    if not cycle.length:
        return max(len(cycle.frames) * (1 + EACH) + MIXED, cycle.runs + EACH if cycle.runs <= FEW else 0)
    return len(cycle.frames) + UNEVEN * ((cycle.rest > 0) + (not cycle.ordered))


LOOKS = 4  # that a picture can tell apart
LONG = 65_536  # tokens, at which caches are compared


def borrowers(arch: Architecture) -> list[str]:
    """The names of parts that read what another layer keeps of the text and keep nothing themselves."""
    names = dict.fromkeys(name for steps in arch.distinct() for step in steps for name in step.parts)
    read = {link.part for link in arch.links if link.read.lender}
    parts = {name: arch.part(name) for name in names if name in read}
    return [name for name, part in parts.items() if part.mixes and not (part.cache(1) or part.state(arch.d_model))]


def looks(arch: Architecture) -> dict[str, int]:
    """By the name of each part in the layers, which of the looks of its role a picture gives it, so that different parts look
    different: 0 for the one that keeps most of a long text, or is in most layers. Parts that see all tokens, parts that see some of
    them, and those that borrow all that they read are counted apart: these look different anyway."""
    parts, layers = {name: arch.part(name) for steps in arch.distinct() for step in steps for name in step.parts}, Counter[str]()
    for steps in arch.sequence:
        layers.update({name for step in steps for name in step.parts})
    borrow = borrowers(arch)
    groups: dict[tuple[str, bool, bool], list[str]] = {}
    for name, part in parts.items():
        groups.setdefault((part.role, part.reach is not None, name in borrow), []).append(name)
    found: dict[str, int] = {}
    for names in groups.values():
        kept = {name: sum(map(prod, parts[name].cache(LONG).values())) for name in names}
        names.sort(key=lambda name: (-kept[name], -layers[name]))
        found |= {name: n * LOOKS // len(names) if len(names) > LOOKS else n for n, name in enumerate(names)}
    return found


@dataclass(frozen=True)
class Variants:
    """What the parts at one place of a frame have in common, and what each has of its own: a few words, the first the most important."""

    title: str
    noun: str  # the title within a sentence
    facts: tuple[str, ...]
    traits: tuple[str, ...]
    own: tuple[tuple[str, ...], ...]


def variants(parts: Mapping[str, Part]) -> Variants:
    """The words for different parts of one kind, by name. Parts that no label, fact or trait tells apart are told apart by
    their fields, or by their names."""
    first = next(iter(parts.values()))
    labels = [part.label.partition(", ")[::2] for part in parts.values()]
    title = labels[0][0] if len({label for label, _ in labels}) == 1 else first.title
    if len(set(labels)) == 1:
        title = first.label
    facts, traits = [tuple(part.facts()) for part in parts.values()], [tuple(part.traits()) for part in parts.values()]
    shared_facts, shared_traits = (tuple(word for word in words[0] if all(word in other for other in words)) for words in (facts, traits))
    limited = any(part.reach for part in parts.values())
    own = []
    for part, (label, rest), *words in zip(parts.values(), labels, facts, traits, strict=True):
        more = [word for some in words for word in some if word not in shared_facts + shared_traits]
        more.sort(key=lambda word: not (part.reach and tokens(part.reach) in word))  # what it sees comes first
        sort = [rest] * (rest != "" and rest not in title)
        more = sort + ["all tokens"] * (limited and part.mixes and part.reach is None and not sort) + more
        own.append((*([label.removesuffix(f" {first.title.lower()}")] if label not in title else []), *more))
    if len(set(own)) < len(parts):
        apart = [part.model_copy(update={"tied": False}) for part in parts.values()]
        own = [(*words, *_fields(part, apart[1] if part is apart[0] else apart[0])) for words, part in zip(own, apart, strict=True)]
    if len(set(own)) < len(parts):
        own = [(name.replace("_", " "), *words) for name, words in zip(parts, own, strict=True)]
    elif len({words[:1] for words in own}) < len(parts):  # the words that no other has come before those that some have
        times = Counter(word for words in own for word in words)
        own = [(*words[: 1 if limited else 0], *sorted(words[1 if limited else 0 :], key=lambda word: times[word])) for words in own]
    return Variants(title, first.in_sentence(title.partition(",")[0]), shared_facts, shared_traits, tuple(own))


def versus(one: str, other: str, in_turn: bool) -> str:
    """What a ratio is of, in words: "window 128 to full", "low to high attention"; "without, then with value rank" where the second
    begins only after the first, not `in_turn`."""
    join = " to " if in_turn else ", then "
    for absent, given, signs in ((one, other, ("without", "with")), (other, one, ("with", "without"))):
        name = absent.removeprefix("no ")
        if absent == "" or name != absent and given.startswith(name):
            return f"{signs[0]}{join}{signs[1]} {name or given}"
    first, second = one.split(), other.split()
    start, end = _common(first, second), _common(first[::-1], second[::-1])
    if start + end < min(len(first), len(second)):  # what both have is said once
        first, second = first[: len(first) - end], second[start:]
    return f"{' '.join(first)}{join}{' '.join(second)}"


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    """How many words both begin with."""
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), 0)


def _fields(part: Part, other: Part) -> Iterator[str]:
    """The fields in which a part differs from another one."""
    for change in differences(other, part):
        name = called(f"parts.{part.kind}.{change.path}")[1]
        value = said(change.after).replace("_", " ")
        yield name if change.after is True else f"no {name}" if change.after in (None, False) else f"{name} {value}"
