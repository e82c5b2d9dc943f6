"""The difference of two architectures, split into single edits.

A patch changes as little as has a name of its own: a field, the number of layers, one part in place of another in some layers,
a step more in a block. A patch that is valid alone is an edit; patches that are valid only together are one edit. Parts are
matched by where they stand, not by their names: of two parts of one kind, the fields that differ are told.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice, product
from types import MappingProxyType
from typing import Any, NamedTuple

from .blocks import folded, names_of, renamed_in, spelled, without_part
from .changes import Change, changes, differences
from .kept import kept, weight
from .parts import Part
from .precision import at_layers, root
from .rhythm import Rhythm
from .roles import ROLES
from .saying import ARROW, OF_MODEL, called, change, few, joined, said, sides, swap, together
from .spec import METADATA, Architecture, Step, Unsupported, parse
from .words import number

MOST_EDITS = 40  # what differs beyond this is one more edit
MOST_TRIES = 160  # validations for one difference
MOST_WORK = 300_000  # microseconds, roughly, for all of them: architectures with very varied layers get fewer tries
MANY = 4  # values of one field in different layers are told as a range
MOST_PATCHES = 128  # told apart; more are one edit of all layers and parts
MOST_WORDS = 120  # characters of an edit, without its number if several have the same words

Block = tuple[Step, ...]


class Told(NamedTuple):
    """What differs, for a table: its group (a role, or one of `GROUPS`), the part it is of, its name there, and both sides in words."""

    group: str
    of: str
    name: str
    before: str
    after: str


FAMILIAR = ("dense", "moe", "local", "global")  # in names of parts, whatever these are

# Groups of what belongs to no part.
GROUPS = {"layers": "layers", "mtp": "multi-token prediction", "files": "context and files", "description": "name and sources"}


@dataclass(frozen=True)
class Edit:
    """One edit in words, and the architecture before and after it."""

    words: str
    before: Architecture
    after: Architecture
    told: tuple[Told, ...] = ()

    def __str__(self) -> str:
        return self.words


@dataclass(frozen=True)
class Apart(Edit):
    """An edit that is also made alone. `alone` is the first architecture with this edit only; if there is none, None, and `needs`
    says what it cannot be without."""

    alone: Architecture | None = None
    needs: str = ""


def split(base: Architecture, arch: Architecture) -> tuple[Edit, ...]:
    """The edits that lead from `base` to `arch` in this order; each of them leaves a valid architecture."""
    return _Split(base, arch).edits()


def apart(base: Architecture, arch: Architecture) -> tuple[Apart, ...]:
    """The same, as few as a comparison needs: an equal change of several parts is one edit, and so is the order of two parts in
    the layers. Each is also made alone."""
    found = _Split(base, arch, joint=True)
    groups, edits = found.groups(), found.edits()
    made = []
    for index, (group, edit) in enumerate(zip(groups, edits, strict=True)):
        alone = found.at(group)
        alone = None if alone == base else alone  # it is of layers that only another edit brings
        with_others = ((n, found.at(group | groups[n])) for n in range(index) if alone is None)
        needed = next((n for n, both in with_others if both not in (None, found.at(groups[n]))), None)
        needs = "" if alone else "the edits before it" if needed is None else f"“{edits[needed].words}”"
        made.append(Apart(edit.words, edit.before, edit.after, edit.told, alone, needs))
    return tuple(made)


def without(base: Architecture, arch: Architecture, index: int) -> Architecture:
    """`arch` without one of its edits against `base`; Unsupported, with the edit that needs it, if there is no such architecture."""
    found = _Split(base, arch)
    groups = found.groups()
    if not 0 <= index < len(groups):
        raise Unsupported(f"edit: give 0 to {len(groups) - 1:,}, one of the {len(groups):,} edits (not {index:,})")
    rest = found.all - groups[index]
    if (left := found.at(rest)) is not None:
        return left
    words = found.words(groups[index])
    for group in reversed(groups):
        if group != groups[index] and found.at(rest - group) is not None:
            raise Unsupported(f"“{words}” is needed by “{found.words(group)}”; drop that first")
    raise Unsupported(f"“{words}” is needed by several other edits together; drop those first")


# ---- patches ----


@dataclass(frozen=True, eq=False)
class _Patch:
    words: str
    told: Told


@dataclass(frozen=True, eq=False)
class _Field(_Patch):
    """A field of the model or of a part that both sides have."""

    path: str
    value: Any


@dataclass(frozen=True, eq=False)
class _Together(_Patch):
    """Fields that are taken from the other side together, in their own form."""

    fields: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class _Repeat(_Patch):
    """The number of repeats of a segment."""

    segment: int
    times: int


@dataclass(frozen=True, eq=False)
class _Depth(_Patch):
    """Another number of layers: the block of each, which at first is one of the old ones."""

    blocks: tuple[Block, ...]


@dataclass(frozen=True, eq=False)
class _Swap(_Patch):
    """A part in place of another in some layers, at these places of old blocks (step, number in it); and in the modules ahead."""

    old: str
    new: str
    where: Rhythm
    places: frozenset[tuple[Block, tuple[int, int]]]
    ahead: bool

    def here(self, block: Block, step: int, number: int) -> bool:
        return (block, (step, number)) in self.places or all(block != known for known, _ in self.places)


@dataclass(frozen=True, eq=False)
class _Parts(_Patch):
    """A field with another value in several parts: in `names`, which both sides have, and in those that come with `swaps`. Each of
    these parts is the old one with such fields. Without a path, the swaps alone."""

    names: tuple[str, ...]
    swaps: tuple[_Swap, ...]
    path: str
    values: Mapping[Any, Any]  # by name or swap


@dataclass(frozen=True, eq=False)
class _Way(_Patch):
    """Other fields of a step, by old block and step, in some layers."""

    where: Rhythm
    fields: Mapping[tuple[Block, int], Mapping[str, Any]]


@dataclass(frozen=True, eq=False)
class _Beside(_Patch):
    """Other parts beside those of a step, by old block and step, in some layers: those that are gone, and those that come."""

    where: Rhythm
    changes: Mapping[tuple[Block, int], tuple[tuple[str, ...], tuple[str, ...]]]


@dataclass(frozen=True, eq=False)
class _Steps(_Patch):
    """Other steps in the blocks of some layers, by old block and -1: those that are gone, and those that come, each with the step that
    it follows (-1: none), as the spec writes it, and the old places of parts that are moved into it, by their old names."""

    where: Rhythm
    changes: Mapping[tuple[Block, int], tuple[tuple[int, ...], tuple[tuple[int, Any, Mapping[str, tuple[int, int]]], ...]]]


class _Split:
    """The patches between two architectures, and what some of them lead to."""

    def __init__(self, base: Architecture, arch: Architecture, joint: bool = False):
        self.base, self.arch, self.joint = base, arch, joint
        self.ours, self.theirs = base.model_dump(mode="json"), arch.model_dump(mode="json")
        self.text = json.dumps(self.ours)  # to be read anew for every try
        self.changes = changes(base, arch)
        self.tried: dict[frozenset[int], Architecture | None] = {}
        self.swaps: list[_Swap] = []
        self.joined: set[Change] = set()  # told with equal ones of other parts
        self.between = lru_cache(maxsize=None)(self._between)
        self.mixes = {name: part.mixes for name, part in (*base.parts.items(), *arch.parts.items())}
        self.kinds = [{name: part.kind for name, part in side.parts.items()} for side in (base, arch)]
        fields, layers = list(self._fields()), list(islice(self._layers(), MOST_PATCHES + 1))
        self.patches: list[_Patch] = [*fields, *layers, *self._parts(), *self._rest()]
        layered = ("layers", "parts", "mtp", "precision", *METADATA)
        words = f"layers{ARROW}{arch.pattern}" if base.pattern != arch.pattern else "other parts"
        for names in (layered, tuple(self.theirs)):
            many = len(self.patches) > MOST_PATCHES
            if len(self.patches) > 1 and (many or self._made(self.patches) != arch):  # too tangled to be told one by one
                told = Told("layers", "", "layers and parts", base.pattern, arch.pattern)
                self.patches = [*(fields if names == layered else []), _Together(words, told, names)]
        self.all = frozenset(range(len(self.patches)))
        written = sum(len(block) for side in (base, arch) for segment in side.layers for block in segment.blocks)
        work = 100 * len(arch.parts) + 10 * written + arch.depth * len(layers) // 4
        self.tries = max(8, min(MOST_TRIES, MOST_WORK // work))

    # ---- what differs ----

    def _fields(self) -> Iterator[_Patch]:
        """Fields of the model."""
        for found in self.changes:
            if found.path.split(".")[0] not in ("parts", "layers", "precision", "mtp"):
                yield _Field(str(found), _told(found, group_of(found.path)), found.path, found.after)

    def _parts(self) -> Iterator[_Patch]:
        """Fields of the parts that both have, and parts of another kind."""
        for found in self.changes:
            head, _, path = found.path.partition(".")
            name, _, inner = path.partition(".")
            if head == "parts" and name in self.base.parts and name in self.arch.parts and found not in self.joined:
                old, new = self.base.parts[name], self.arch.parts[name]
                told = _told(found, new.role) if inner else Told(old.role, name, "kind", _kind(old), _kind(new))
                yield _Field(self._said(str(found), found) if inner else swap(name, old.brief, new.brief), told, found.path, found.after)

    def _rest(self) -> Iterator[_Patch]:
        """The modules ahead, the stored formats, and what describes the model."""
        told: tuple[str, ...] = ("mtp.block", "mtp.further") if self._ahead else ()
        if (a := self.base.mtp) and (b := self.arch.mtp) and not told and a.further != b.further:
            words = f"{a.count:,} tokens ahead{ARROW}{b.count:,}, in other blocks" if a.count != b.count else "other blocks"
            both = Told("mtp", "", "tokens ahead", number(a.count), f"{number(b.count)}, in other blocks")
            yield _Field(f"multi-token prediction: {words}", both, "mtp", self.theirs["mtp"])
            told = tuple(found.path for found in self.changes if found.path.startswith("mtp."))
        for found in self.changes:
            if found.path.split(".")[0] == "mtp" and found.path not in told:
                yield _Field(str(found), _told(found, "mtp"), found.path, found.after)
        before, after = self.base.precision, self.arch.precision
        if changed := [path for path in after | before if before.get(path) != after.get(path) and not self._comes(path)]:
            formats = (joined(sorted(set(side.precision.values()))) for side in (self.base, self.arch))
            yield _Together(_stored(changed, self.base, self.arch), Told("files", "", "stored in", *formats), ("precision",))
        if described := [name for name in METADATA if self.ours[name] != self.theirs[name]]:
            words = f"title{ARROW}{self.arch.title}" if "title" in described else f"{joined(described).replace('_', ' ')} changed"
            yield _Together(words, Told("description", "", "title", self.base.title, self.arch.title), tuple(described))

    def _comes(self, path: str) -> bool:
        """Whether a stored format is of a part that only one side has: it comes and goes with its part."""
        return (root(path) in self.base.parts) != (root(path) in self.arch.parts)

    def _layers(self) -> Iterator[_Patch]:
        """Their number; parts in place of others; steps that work in another way; other steps."""
        base, arch = self.base, self.arch
        self._ahead = self._swapped_ahead()
        if base.sequence == arch.sequence and base.layers != arch.layers:
            told = Told("layers", "", "written as", base.pattern, arch.pattern)
            yield _Together("layers written in another way", told, ("layers",))
        depth, self.rows = self._depth()
        yield from depth
        between = self.between
        swaps: dict[Any, tuple[set[int], dict]] = {names: (set(), {}) for names in self._ahead}
        ways: dict[Any, tuple[set[int], dict]] = {}
        asides: dict[Any, tuple[set[int], dict]] = {}
        steps: dict[Any, tuple[set[int], dict]] = {}
        for layer, (old, new) in enumerate(zip(self.rows, arch.sequence, strict=True)):
            for found, (key, place, value) in between(old, new) if old != new else ():
                layers, values = {"swap": swaps, "way": ways, "beside": asides, "steps": steps}[found].setdefault(key, (set(), {}))
                layers.add(layer)
                values[old, place] = value
        if steps and Counter(base.sequence) == Counter(arch.sequence):
            yield _Together("layers in another order", Told("layers", "", "layers", "in the first order", "in another order"), ("layers",))
            return
        made = []
        for (a, b), (layers, places) in islice(swaps.items(), MOST_PATCHES + 1):
            where = Rhythm(frozenset(layers), arch.depth)
            gone = a not in arch.parts and sum(old == a for old, _ in swaps) == 1
            made.append(_Swap(*self._swapped(a, b, where, gone), a, b, where, frozenset(places), (a, b) in self._ahead))
        self.swaps = made
        yield from self._alike(made)
        for (left, added), (layers, beside) in asides.items():
            where = Rhythm(frozenset(layers), arch.depth)
            yield _Beside(*self._more(left, added, where), where, beside)
        for layers, fields in ways.values():
            where = Rhythm(frozenset(layers), arch.depth)
            yield _Way(*self._ways(where, fields), where, fields)
        for (gone, come, _), (layers, rows) in steps.items():
            where = Rhythm(frozenset(layers), arch.depth)
            yield _Steps(*(self._more(gone, come, where) if gone or come else self._beside(where, rows)), where, rows)

    def _alike(self, swaps: Sequence[_Swap]) -> Iterator[_Patch]:
        """Parts in place of others: of two of one kind, the fields that differ; of two that stand in both, their order in the layers."""
        fields: dict[str, list[tuple[Change, str | _Swap]]] = {}
        turns: list[tuple[set[str], list[_Swap]]] = []  # parts that take each other's places
        for found in self.changes if self.joint else ():
            name, _, inner = found.path.removeprefix("parts.").partition(".")
            if found.path.startswith("parts.") and inner and name in self.base.parts and name in self.arch.parts:
                key = json.dumps([self.base.parts[name].kind, inner, found.before, found.after])
                fields.setdefault(key, []).append((found, name))
        for one in swaps:
            a, b = self.base.parts.get(one.old), self.arch.parts.get(one.new)
            if one.new in self.base.parts and one.old in self.arch.parts and self.joint and one.where.layers:
                met = [turn for turn in turns if turn[0] & {one.old, one.new}]
                turns = [turn for turn in turns if turn not in met]
                turns.append(({one.old, one.new}.union(*(names for names, _ in met)), [*(two for _, some in met for two in some), one]))
            elif not a or not b or one.new in self.base.parts or a.kind != b.kind or not one.where.layers or a == b:
                yield one
            else:
                for found in differences(a, b):
                    key = json.dumps([a.kind if self.joint else one.old, found.path, found.before, found.after])
                    whole = Change(f"parts.{one.old}.{found.path}", found.before, found.after)
                    fields.setdefault(key, []).append((whole, one))
        for names, pairs in turns:
            yield self._turned(names, pairs)
        several: dict[str, list[str]] = {}
        for key in fields if self.joint else ():
            several.setdefault(json.dumps(json.loads(key)[:2]), []).append(key)
        for keys in several.values():
            if len(keys) >= MANY:
                fields[keys[0]] = [one for key in keys for one in fields.pop(key)]
        for those in fields.values():
            if len(those) > 1 or isinstance(those[0][1], _Swap):
                yield self._several(those, swaps)
                self.joined |= {found for found, of in those if isinstance(of, str)}

    def _turned(self, names: Collection[str], swaps: Sequence[_Swap]) -> _Patch:
        """Parts that stand in other layers than before."""
        both = self.base, self.arch
        counts = [{name: len(_having(side, name).layers) for name in side.parts if name in names} for side in both]
        if len(names) == 2:
            rare = min(names, key=lambda name: [side[name] for side in counts])
            then, now = (_stands(side, rare, next(name for name in names if name != rare)) for side in both)
        else:
            rare = joined(_few_names([*counts[0]]))
            then, now = (", ".join(f"{count:,} {name}" for name, count in side.items()) for side in counts)
        words = f"{rare if len(names) == 2 else 'layers'}: {then}{ARROW}{now}"
        if then == now:
            words, now = f"layers with {joined(_few_names([*counts[0]]))} in another order", "in another order"
        told = Told(self.arch.parts[swaps[0].new].role, rare, "layers", then, now)
        return _Parts(words, told, (), tuple(swaps), "", {})

    def _several(self, changed: Sequence[tuple[Change, str | _Swap]], swaps: Sequence[_Swap]) -> _Patch:
        """A field with another value in several parts."""
        names, those = [of for _, of in changed if isinstance(of, str)], [of for _, of in changed if isinstance(of, _Swap)]
        (found, first), path = changed[0], changed[0][0].path.split(".", 2)[2]
        from_some = {one.old for one in those if any(other.new == one.new for other in swaps if other not in those)}
        whole, some = list(names), dict[str, None]()
        for one in those:
            kept = one.old in self.arch.parts and one.old not in names
            if kept or any(other.old == one.old for other in swaps if other not in those):
                some[one.old] = None
            elif one.old not in whole:
                whole.append(one.old)
        having = (_having(self.base, name).layers for name in from_some)
        before, after = frozenset[int]().union(*having), frozenset[int]().union(*(one.where.layers for one in those if one.old in some))
        where = Rhythm(after, self.arch.depth)
        of, many = joined(_few_names([*whole, *some])), len({json.dumps([one.before, one.after]) for one, _ in changed}) > 1
        told = _told(found, self.arch.parts[first if isinstance(first, str) else first.new].role)._replace(of=of)
        if many:
            both = (_span([side(one) for one, _ in changed]) for side in (lambda one: one.before, lambda one: one.after))
            told = told._replace(**dict(zip(("before", "after"), both)))
        if not some and len(whole) == 1 and not many:
            words = self._said(str(found), found)
        else:
            words = (
                f"{told.name} {told.before}{ARROW}{told.after}"
                if many
                else self._said(change(f"parts.x.{path}", found.before, found.after), found)
            )
            words = f"{where}: {of} {words.removeprefix('x: ')}" if some else f"{of}: {words.removeprefix('x: ')}"
        ends = [
            side if side in ("none", "off") or not some_of or not str(layers) else f"{side} in {layers}"
            for side, some_of, layers in ((told.before, from_some, Rhythm(before, self.base.depth)), (told.after, some, where))
        ]
        values = {of: one.after for one, of in changed}
        return _Parts(words, told._replace(before=ends[0], after=ends[1]), tuple(names), tuple(those), path, values)

    def _depth(self) -> tuple[list[_Patch], Sequence[Block]]:
        """The patches that change the number of layers, and the old block that each layer then has."""
        base, arch = self.base, self.arch
        old, new = base.sequence, arch.sequence
        if len(old) == len(new):
            return [], old
        pairs = list(zip(base.layers, arch.layers, strict=False))
        if len(base.layers) == len(arch.layers) and all(len(a.blocks) == len(b.blocks) for a, b in pairs):
            found, depth = list[_Patch](), base.depth
            for n, (a, b) in enumerate(pairs):
                if a.repeat != b.repeat:
                    of = f" {self._of_segment(n)}" if len(pairs) > 1 else ""
                    times = a.repeat * len(a.blocks), b.repeat * len(a.blocks)
                    told = Told("layers", "", f"layers{of}", *map(number, times))
                    whole = depth, depth + times[1] - times[0]  # a segment without parts of its own is known from this side only
                    depth = whole[1]
                    found.append(_Repeat(_deeper(*whole) if of.startswith(" of ") else _deeper(*times, of), told, n, b.repeat))
            return found, [block for a, b in pairs for _ in range(b.repeat) for block in a.blocks]
        shorter = min(len(old), len(new))
        start = next((n for n in range(shorter) if old[n] != new[n]), shorter)
        end = next((n for n in range(shorter - start) if old[-1 - n] != new[-1 - n]), shorter - start)
        middle, wanted = old[start : len(old) - end], new[start : len(new) - end]
        if middle and wanted:  # the same pattern in more layers or fewer; of several patterns, each in as large a share
            most, one = len(wanted), len(base.layers) == 1
            wanted = tuple(middle[n % len(middle) if one else n * len(middle) // most] for n in range(most))
        choices = [(*old[:start], *wanted, *old[len(old) - end :])]
        longest = max(range(len(base.layers)), key=lambda n: base.layers[n].repeat * len(base.layers[n].blocks))
        runs = [segment.blocks * segment.repeat for segment in base.layers]  # or more or fewer layers of the longest pattern
        if (left := len(new) - len(old) + len(runs[longest])) > 0:
            blocks = base.layers[longest].blocks
            runs[longest] = (blocks * (left // len(blocks) + 1))[:left]
            choices.append(tuple(block for run in runs for block in run))
        rows = min(choices, key=self._distance)
        odd = "" if middle or rows != choices[0] else self._odd(start, wanted, old[max(start - 1, 0) : start + 1])
        return [_Depth(_deeper(len(old), len(new)) + odd, Told("layers", "", "layers", f"{len(old):,}", f"{len(new):,}{odd}"), rows)], rows

    def _odd(self, start: int, blocks: Sequence[Block], beside: Sequence[Block]) -> str:
        """What inserted layers have, if no layer was like them, or if they are alike and unlike the layers beside them."""
        known = beside if len(set(blocks)) == 1 else self.base.sequence
        layers: dict[Block, set[int]] = {}
        for layer, block in enumerate(blocks, start):
            if block not in known:
                layers.setdefault(block, set()).add(layer)
        if len(layers) > 2:
            return f", {sum(map(len, layers.values())):,} of them unlike the others"
        said = ""
        for block, those in layers.items():
            names = [[name for step in one for name in step.parts] for one in (block, *beside)]
            has = f"with {joined(_few_names(names[0]))}" if names[0] not in names[1:] else "with its parts in another way"
            said += f", {Rhythm(frozenset(those), self.arch.depth)} {has}"
        return said

    def _distance(self, rows: Sequence[Block]) -> tuple[int, int]:
        """How many patches lead from these layers to the other side's, and of how many layers they are."""
        found = [self.between(old, new) for old, new in zip(rows, self.arch.sequence, strict=True) if old != new]
        return len({(kind, key) for patches in found for kind, (key, _, _) in patches}), len(found)

    def _between(self, old: Block, new: Block) -> list[tuple[str, tuple[Any, int | tuple[int, int], Any]]]:
        """What differs between two blocks: the sort of patch; its key, its place in the old block, and what is there then."""
        pairs = self._steps_of(old, new)
        found: list[tuple[str, tuple[Any, int | tuple[int, int], Any]]] = []
        for i, j in pairs.items():
            plain, places = _plain(old[i]), {(i, n): name for n, name in enumerate(old[i].parts)}
            took = self._taken(places, {(j, n): name for n, name in enumerate(new[j].parts)})
            for (_, n), place in took.items():
                if (names := (places[place], new[j].parts[n]))[0] != names[1]:
                    found.append(("swap", (names, place, True)))
                    plain = renamed_in(plain, *names)
            rest = tuple(name for place, name in places.items() if place not in took.values())
            added = tuple(name for n, name in enumerate(new[j].parts) if (j, n) not in took)
            if rest or added:
                others = rest, added
                found.append(("beside", (others, i, others)))
                plain = _beside(plain, *others)
            then, now = (spelled(side) for side in (plain, _plain(new[j])))
            fields = {key: now.get(key) for key in then | now if key != "parts" and then.get(key) != now.get(key)}
            if fields:
                found.append(("way", (json.dumps(fields, sort_keys=True), i, fields)))
        gone = tuple(i for i in range(len(old)) if i not in pairs)
        after = {j: i for i, j in pairs.items()}
        places = {(i, n): name for i in gone for n, name in enumerate(old[i].parts)}
        took = self._taken(places, {(j, n): name for j in range(len(new)) if j not in after for n, name in enumerate(new[j].parts)})
        come = []
        for j in (j for j in range(len(new)) if j not in after):  # with the old names of parts that are moved
            plain, moved = _plain(new[j]), {}
            for n, name in enumerate(new[j].parts):
                at = took.get((j, n))
                if at and (places[at] == name or places[at] not in names_of(plain)):
                    moved[places[at]] = at
                    if places[at] != name:
                        plain = renamed_in(plain, name, places[at])
                        found.append(("swap", ((places[at], name), at, True)))
            come.append((max((after[k] for k in range(j) if k in after), default=-1), plain, moved))
        if gone or come:
            then, now = Counter(places.values()), Counter(name for _, step, _ in come for name in names_of(step))
            changed = tuple(tuple(sorted(some.elements())) for some in (then - now, now - then))
            sorts = () if any(changed) else tuple(sorted(self.base.parts[name].role for name in then.elements()))
            found.append(("steps", ((*changed, sorts), -1, (gone, tuple(come)))))
        return found

    def _steps_of(self, old: Block, new: Block) -> dict[int, int]:
        """The steps of a block that are those of another one: as many as possible, in order, with the same sorts of parts, best with the
        same parts."""
        a, b = ([tuple(self.mixes[name] for name in step.parts) for step in block] for block in (old, new))
        best: list[list[tuple[int, dict[int, int]]]] = [[(0, {})] * (len(b) + 1) for _ in range(len(a) + 1)]
        for i, j in product(range(len(a)), range(len(b))):
            tries = [best[i][j + 1], best[i + 1][j]]
            if a[i] == b[j]:
                same, pairs = best[i][j]
                parts = zip(old[i].parts, new[j].parts, strict=True)
                alike = (old[i].parts == new[j].parts) + all(self.kinds[0].get(one) == self.kinds[1].get(other) for one, other in parts)
                tries.append((same + 100 + alike, pairs | {i: j}))  # of equal ones, the first steps are paired
            best[i + 1][j + 1] = max(tries, key=lambda one: one[0])
        pairs = best[-1][-1][1]
        rest = [i for i in range(len(a)) if i not in pairs], [j for j in range(len(b)) if j not in pairs.values()]
        return pairs | _alike_steps(*rest, a, b)

    def _taken(self, old: Mapping[tuple[int, int], str], new: Mapping[tuple[int, int], str]) -> dict[tuple[int, int], tuple[int, int]]:
        """For the places of new parts, those of the old ones that they take: of the same part, otherwise of one of the same kind, or of
        one that mixes tokens as well."""
        took: dict[tuple[int, int], tuple[int, int]] = {}
        kinds = self.kinds
        for alike in (
            lambda one, other: one == other,
            lambda one, other: kinds[0][one] == kinds[1][other],
            lambda one, other: self.mixes[one] == self.mixes[other],
        ):
            for place, name in new.items():
                if place not in took:
                    free = (at for at, other in old.items() if at not in took.values() and alike(other, name))
                    if (at := next(free, None)) is not None:
                        took[place] = at
        return dict(sorted(took.items()))

    def _swapped_ahead(self) -> frozenset[tuple[str, str]]:
        """The parts that stand in place of others in the modules ahead, if nothing else differs in their blocks."""
        a, b = self.base.mtp, self.arch.mtp
        if not a or not b or len(a.each) != len(b.each) or bool(a.further) != bool(b.further):
            return frozenset()
        names = [[name for block in side.each for step in block for name in step.parts] for side in (a, b)]
        swaps = dict(zip(*names, strict=False)) if len(names[0]) == len(names[1]) else {}
        swapped = [[_plain(step, swaps) for step in block] for block in a.each]
        same = swapped == [[_plain(step) for step in block] for block in b.each]
        return frozenset((old, new) for old, new in swaps.items() if old != new) if same else frozenset()

    # ---- in words ----

    def _said(self, words: str, found: Change) -> str:
        """The words of a change, which say what the model has if a side of it takes that."""
        name = found.path.rpartition(".")[2]
        if name not in OF_MODEL or not found.path.startswith(("parts.", "mtp.")) or None not in (found.before, found.after):
            return words
        model = said(getattr(self.base if found.before is None else self.arch, name).model_dump())
        if model == said(found.before or found.after):
            words = f"{words} of its own" if found.before is None else words.replace(ARROW, f" of its own{ARROW}")
        return words.replace("as in the model", f"as in the model ({model})")

    def _ways(self, where: Rhythm, fields: Mapping[tuple[Block, int], Mapping[str, Any]]) -> tuple[str, Told]:
        """Fields of a step, of the first of the steps that have them."""
        (block, i), now = next(iter(fields.items()))
        then, of = spelled(_plain(block[i])), joined(_few_names([*dict.fromkeys(name for block, i in fields for name in block[i].parts)]))
        sides = [
            [_way(field, side.get(field), _residual(model.residual.model_dump())) for field in now]
            for side, model in ((then, self.base), (now, self.arch))
        ]
        words = ", ".join(_told_way(field, *both) for field, *both in zip(now, *sides, strict=True))
        told = Told("layers", of, str(where) or "all layers", *(", ".join(filter(None, side)) or "none" for side in sides))
        return f"{where}: {of} {words}" if str(where) else f"{of}: {words}", told

    def _of_segment(self, segment: int) -> str:
        """The layers of a segment: by the parts that all of them have and no other segment, by all their parts, or by
        where they are."""
        segments = self.base.layers
        names = [[{name for step in block for name in step.parts} for block in found.blocks] for found in segments]
        said = []
        for n, found in enumerate(segments):
            others = set().union(*(block for other, blocks in enumerate(names) if other != n for block in blocks))
            every = list(dict.fromkeys(name for block in found.blocks for step in block for name in step.parts))
            own = [name for name in every if name not in others and all(name in block for block in names[n])]
            parts = {name: self.base.parts[name] for name in own or every}
            words = (name if _tells(name, part) and "_" not in name else _kind(part) for name, part in parts.items())
            said.append(f"{'with' if own else 'of'} {joined(words)}")
        ends = {0: "at the start", len(segments) - 1: "at the end"}
        return said[segment] if said.count(said[segment]) == 1 else ends.get(segment, f"in run {segment + 1} of {len(segments)}")

    def _swapped(self, old: str, new: str, where: Rhythm, gone: bool) -> tuple[str, Told]:
        """A part in place of another in some layers. `gone` says that it takes all places of the old one."""
        places = f"{where}: " if str(where) else ""
        a, b = (side.parts.get(name) or self.arch.parts.get(name) for side, name in ((self.base, old), (self.arch, new)))
        assert a and b
        was, is_ = (old, new) if _kind(a) == _kind(b) else (_kind(a), _kind(b))
        told = Told(a.role, old, "kind", was, f"{is_} in {where}" if places else is_)
        if not where.layers:
            words = f"multi-token prediction: {old}{ARROW}{new}"
            return words, Told("mtp", "multi-token prediction", old, old, new)
        if new in self.base.parts:
            then, now = (_stands(side, old, new) for side in (self.base, self.arch))
            return f"{places}{old}{ARROW}{new}", Told(a.role, old, "layers", then, now)
        if a.kind != b.kind:
            several = sum(part.brief == b.brief for part in self.arch.parts.values()) > 1
            brief = f"{new} ({b.brief})" if several and new != b.brief else b.brief
            return places + (swap(old, a.brief, brief) if _tells(old, a) else f"{old} ({_kind(a)}){ARROW}{brief}"), told
        if not gone:
            return f"{places}{old}{ARROW}{new} (new, as {old})", told
        return f"{old} renamed {new}", Told(b.role, old, "name", old, new)

    def _more(self, gone: Sequence[str], come: Sequence[str], where: Rhythm) -> tuple[str, Told]:
        """Parts that are gone, and parts that come."""
        places = f"{where}: " if str(where) else ""
        parts = {**self.base.parts, **self.arch.parts}
        old, new = Counter(gone), Counter(come)
        briefs = {name: part.brief.partition(" (")[0] for name, part in (*self.base.parts.items(), *self.arch.parts.items())}
        added, left = (joined(briefs[name] for name in some.elements()) for some in (new - old, old - new))
        role = parts[next((new - old or old - new).elements())].role
        told = Told(role, "", str(where) or "all layers", left or "none", added or "none")
        if added and left:
            return f"{places}{left}{ARROW}{added}", told
        return f"{places}{added} added" if added else f"{places}{left} removed", told

    def _beside(self, where: Rhythm, rows: Mapping[tuple[Block, int], tuple[Any, Any]]) -> tuple[str, Told]:
        """The same parts, in parallel or one after the other."""
        parallel = any(len(names_of(step)) > 1 for _, come in rows.values() for _, step, _ in come)
        each = {tuple(name for i in gone for name in block[i].parts) for (block, _), (gone, _) in rows.items()}
        each = {tuple(sorted(names, key=lambda name: (not self.mixes[name], name))) for names in each}
        roles = [ROLES[self.base.parts[name].role] for name in min(each)]
        of = joined(min(each) if len(each) == 1 else roles)
        ways = "one after the other", "in parallel"
        told = Told("layers", of, str(where) or "all layers", ways[not parallel], ways[parallel])
        return f"{where}: {of} {ways[parallel]}" if str(where) else f"{of} {ways[parallel]}", told

    # ---- some of them ----

    def at(self, chosen: frozenset[int]) -> Architecture | None:
        """The architecture with these patches; None if it is not valid, or if too many were tried."""
        if not chosen or chosen == self.all:
            return self.arch if chosen else self.base
        if chosen not in self.tried:
            if len(self.tried) == self.tries:
                return None
            self.tried[chosen] = self._made([self.patches[n] for n in sorted(chosen)])
        return self.tried[chosen]

    def _made(self, patches: Sequence[_Patch]) -> Architecture | None:
        return _valid(json.dumps(self._tree(patches)))

    def _tree(self, patches: Sequence[_Patch]) -> dict[str, Any]:
        tree = json.loads(self.text)
        moves: list[_Patch] = [patch for patch in patches if isinstance(patch, _MOVES)]
        for patch in patches:
            if isinstance(patch, _Field):
                _put(tree, patch.path.split("."), patch.value)
            elif isinstance(patch, _Together):
                tree |= {name: self.theirs[name] for name in patch.fields}
            elif isinstance(patch, _Parts):
                moves += [one for one in patch.swaps if one not in moves]
                for name in patch.names:
                    _put(tree["parts"][name], patch.path.split("."), patch.values[name])
        if any(isinstance(patch, _Together) and "parts" in patch.fields for patch in patches):
            return tree
        values: dict[_Swap, Any] = {}
        for patch in (patch for patch in patches if isinstance(patch, _Parts) and patch.path):
            for one in patch.swaps:
                _put(values.setdefault(one, json.loads(self.text)["parts"][one.old]), patch.path.split("."), patch.values[one])
        whole = True  # each part that comes is the other side's
        for one, value in values.items():
            name = self._named(one, values, tree["parts"])
            whole = whole and name == one.new
            tree["parts"][name] = value
            moves[moves.index(one)] = replace(one, new=name)
            formats = {path: fmt for path, fmt in tree["precision"].items() if root(path) == one.old}
            tree["precision"] |= {name + path.removeprefix(one.old): fmt for path, fmt in formats.items() if name != one.new}
        swaps = {patch.old: patch.new for patch in moves if isinstance(patch, _Swap) and patch.ahead}
        if swaps and tree["mtp"]:
            blocks = [[_plain(step, swaps) for step in block] for block in self.base.mtp.each]  # type: ignore[union-attr]
            tree["mtp"] |= {"block": blocks[0], "further": blocks[1:] if tree["mtp"]["further"] else []}
        if moves:
            rows = self._rows(moves)
            each = (patch.swaps if isinstance(patch, _Parts) else (patch,) for patch in self.patches)
            most = {one for several in each for one in several if isinstance(one, _MOVES)}
            written = lru_cache(maxsize=None)(_written)
            local = [patch for patch in moves if isinstance(patch, _Swap | _Beside | _Way | _Steps)]
            blocks = [written(row, tuple(p for p in local if p.where.has(layer, len(rows)))) for layer, row in enumerate(rows)]
            tree["layers"] = self.theirs["layers"] if whole and len(moves) == len(most) else folded(blocks)
        ahead = tree["mtp"] or {"block": (), "further": ()}
        named = [block for segment in tree["layers"] for block in segment["blocks"]] + [ahead["block"], *ahead["further"]]
        used = {name for block in named for step in block for name in names_of(step)}
        gone, come = tree["parts"].keys() - used, used - self.base.parts.keys()
        kept = {name: part for name, part in tree["parts"].items() if name in used}
        tree["parts"] = kept | {name: self.theirs["parts"].get(name) for name in sorted(come - kept.keys())}
        tree["precision"] = {path: fmt for path, fmt in tree["precision"].items() if root(path) not in gone}
        tree["precision"] |= {path: fmt for path, fmt in self.theirs["precision"].items() if root(path) in come}
        return tree

    def _named(self, swap: _Swap, values: Mapping[_Swap, Any], taken: Mapping[str, Any]) -> str:
        """The name of a part with some of the fields of the one that comes: that one's, if no part with other fields becomes it too."""
        others = [other for other in self.swaps if other.new == swap.new]
        if all(other in values and values[other] == values[swap] for other in others):
            return swap.new
        alone = swap.old not in self.arch.parts and sum(other.old == swap.old for other in self.swaps) == 1
        names = (f"{swap.old[:28]}{n}" for n in range(2, 1_000))
        return swap.old if alone else next(name for name in names if name not in taken and name not in self.arch.parts)

    def _rows(self, patches: Sequence[_Patch]) -> Sequence[Block]:
        """The old block of each layer, in the number of layers that these patches give."""
        if any(isinstance(patch, _Depth) for patch in patches):
            return self.rows
        times = {patch.segment: patch.times for patch in patches if isinstance(patch, _Repeat)}
        segments = enumerate(self.base.layers)
        return [block for n, segment in segments for _ in range(times.get(n, segment.repeat)) for block in segment.blocks]

    # ---- in order ----

    def groups(self) -> list[frozenset[int]]:
        """The patches of each edit, in order."""
        found: list[frozenset[int]] = []
        done: frozenset[int] = frozenset()
        left = sorted(self.all)
        while left:
            few = len(found) < MOST_EDITS - 1
            now = [n for n in left if self.patches[n].told.group != "description"] or left if few else left  # the name comes last
            here = None, self.at(done)  # what changes nothing yet is of a part that another edit brings
            one = next((n for n in now if self.at(done | {n}) not in here), None) if few else None
            group = frozenset({one}) if one is not None else self._needed(done, now, not few)
            group = group if self.at(done | group) not in here else frozenset(left)  # too many were tried
            found.append(group)
            done |= group
            left = [n for n in left if n not in group]
        return found

    def _needed(self, done: frozenset[int], left: Sequence[int], whole: bool) -> frozenset[int]:
        """The first of these patches, with as few others as make it valid; or all of them."""
        first, group = self.patches[left[0]], frozenset(left)
        if not whole:  # most often another field of its part: removing one by one keeps both of a pair
            here = None, self.at(done)
            for n in left[1:]:
                other = self.patches[n].told
                if (other.group, other.of) == (first.told.group, first.told.of) and self.at(done | {left[0], n}) not in here:
                    return frozenset({left[0], n})
        for n in () if whole else reversed(left[1:]):
            if self.at(done | group - {n}) is not None:
                group -= {n}
        return group

    def words(self, group: Iterable[int]) -> str:
        """An edit in words; of many fields the first ones."""
        patches = [self.patches[n] for n in sorted(group)]
        if any(isinstance(patch, _Field) and patch.path.startswith("residual") for patch in patches):  # steps then follow the model
            patches = [
                one
                for one in patches
                if not isinstance(one, _Way) or any(set(now) - {"residual", "unnormed"} for now in one.fields.values())
            ]
        each = [patch.words for patch in patches]
        text = next((text for most in (3, 2, 1) if len(text := together(each, most)) <= MOST_WORDS), "")
        return text or f"{each[0][: MOST_WORDS - 1].rstrip()}…"

    def edits(self) -> tuple[Edit, ...]:
        found, done, before, same = [], frozenset[int](), self.base, Counter[str]()
        for group in self.groups():
            done |= group
            after = self.at(done)
            assert after is not None  # it was valid when the group was found
            words = self.words(group)
            same[words] += 1  # an edit is dropped by its words
            told = tuple(self.patches[n].told for n in sorted(group))
            found.append(Edit(f"{words} ({same[words]})" if same[words] > 1 else words, before, after, told))
            before = after
        return tuple(found)


@kept(16_000_000, lambda arch: 2 * weight(arch) if arch else 20_000)
def _valid(text: str) -> Architecture | None:
    """The architecture of a tree as JSON; kept, since the next edit leaves most of the earlier ones as they are."""
    try:
        return parse(json.loads(text))
    except Unsupported:
        return None


def _put(tree: Any, path: Sequence[str], value: Any) -> None:
    *parents, last = path
    for key in parents:
        tree = tree[key]
    tree[last] = value


def _plain(step: Step, swaps: Mapping[str, str] = MappingProxyType({})) -> Any:
    """A step as the spec writes it, with other names."""
    plain = step.model_dump(mode="json", exclude_defaults=True)
    for name in step.parts if swaps else ():
        plain = renamed_in(plain, name, swaps.get(name, name))
    return plain


def _beside(step: Any, gone: Sequence[str], come: Sequence[str]) -> Any:
    """A step as the spec writes it, without some parts, and with others beside the rest."""
    for name in gone:
        step = without_part(step, name)
    names = [*names_of(step), *come]
    return step | {"parts": names} if isinstance(step, dict) else names[0] if len(names) == 1 else names


def _alike_steps(old: Sequence[int], new: Sequence[int], a: Sequence[tuple[bool, ...]], b: Sequence[tuple[bool, ...]]) -> dict[int, int]:
    """Steps that differ in how many parts they have, if no step has taken these parts over: a pair each."""
    counts = [Counter(mixes for n in some for mixes in steps[n]) for some, steps in ((old, a), (new, b))]
    alike = len(old) == len(new) and counts[0] != counts[1] and all(a[i][0] == b[j][0] for i, j in zip(old, new, strict=True))
    return dict(zip(old, new, strict=True)) if alike else {}


def _written(block: Block, patches: tuple[Any, ...]) -> list[Any]:
    """A block as the spec writes it, after these patches."""
    steps: list[list[Any]] = []
    for n, step in enumerate(block):
        plain = _plain(step)
        for patch in patches:
            if isinstance(patch, _Swap) and any(name == patch.old and patch.here(block, n, i) for i, name in enumerate(step.parts)):
                plain = renamed_in(plain, patch.old, patch.new)
        for others in (patch.changes[block, n] for patch in patches if isinstance(patch, _Beside) and (block, n) in patch.changes):
            plain = _beside(plain, *others)
        for fields in (patch.fields[block, n] for patch in patches if isinstance(patch, _Way) and (block, n) in patch.fields):
            plain = {key: value for key, value in {**spelled(plain), **fields}.items() if value is not None}
        steps.append([plain])
    first: list[Any] = []
    for gone, come in (patch.changes[block, -1] for patch in patches if isinstance(patch, _Steps) and (block, -1) in patch.changes):
        for n in gone:
            steps[n] = steps[n][1:]
        for n, plain, moved in come:
            for patch in (patch for patch in patches if isinstance(patch, _Swap)):
                if patch.old in moved and patch.here(block, *moved[patch.old]):
                    plain = renamed_in(plain, patch.old, patch.new)
            (first if n < 0 else steps[n]).append(plain)
    return [*first, *(step for found in steps for step in found)]


_MOVES = (_Repeat, _Depth, _Swap, _Beside, _Way, _Steps)


def group_of(path: str) -> str:
    """The group of a field of the model."""
    match path.split(".")[0]:
        case "position":
            return "attention"
        case "vocab_size" | "tied_embeddings" | "embedding" | "head":
            return "embedding"
        case "context" | "precision":
            return "files"
        case "mtp":
            return "mtp"
    return "layers"


def _few_names(names: Sequence[str]) -> list[str]:
    """The first of many names, and how many more there are."""
    return [*names[:3], f"{len(names) - 3} more"] if len(names) > 4 else [*names]


def _span(values: Sequence[Any]) -> str:
    """Several values of a field in words: their range, or how many they are."""
    if len({json.dumps(value) for value in values}) == 1:
        return said(values[0])
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    return f"{number(min(numbers))} to {number(max(numbers))}" if len(numbers) == len(values) else "different in different layers"


def _kind(part: Part) -> str:
    """What a part is, in a few words."""
    return part.noun if part.mixes else part.brief


def _told(found: Change, group: str) -> Told:
    """A change of a field for a table."""
    of, name = called(found.path)
    if found.path == "mtp":
        return Told(group, "", "tokens ahead", *(number(side["count"]) if side else "none" for side in (found.before, found.after)))
    return Told(group, "" if group == "mtp" else of, name, *sides(found.path, found.before, found.after))


def _stands(arch: Architecture, name: str, other: str) -> str:
    """Where a part stands among those layers that have it or the other one: "5 : 1 local to global", "first 3 layers"."""
    mine, theirs = _having(arch, name), _having(arch, other)
    if not mine.layers or not theirs.layers:
        return "all layers" if mine.layers else "none"
    period = mine.period
    few, many = (sum(n < period for n in found.layers) for found in (mine, theirs))
    if few and few + many == period:
        return f"{many:,} : {few:,} {other} to {name}"
    return str(mine) or "all layers"


def _having(arch: Architecture, name: str) -> Rhythm:
    """The layers that have a part."""
    return Rhythm(frozenset(n for n, block in enumerate(arch.sequence) if any(name in step.parts for step in block)), arch.depth)


def _tells(name: str, part: Part) -> bool:
    """Whether a part's name says what the part is."""
    known = f"{part.title} {part.kind}".lower()
    return any(word in name for word in FAMILIAR) or any(word in known for word in name.split("_") if len(word) > 2)


def _deeper(before: int, after: int, of: str = "") -> str:
    return f"{before:,} layer{'s' if before > 1 else ''}{of}{ARROW}{after:,}"


def _way(field: str, value: Any, model: str) -> str:
    """A field of a step in words; None is its default, which for the residual is that of the model."""
    match field, value:
        case "residual", None:
            return f"{model}, the model's"
        case "scale", _:
            return number(1.0 if value is None else value)
        case "shortcut", Mapping():
            return joined(f"{name} {count} step{'s' * (count > 1)} later" for name, count in value.items()) if value else ""
        case "unnormed", _:
            return joined(value or ())
        case "residual", _:
            return _residual(value)
    return "on" if value else ""


def _residual(value: Mapping[str, Any]) -> str:
    return ", ".join([said(value), *([f"{value['norm']} norm"] if "norm" in value else [])])


def _told_way(field: str, then: str, now: str) -> str:
    """How a field of a step differs, in words."""
    match field:
        case "residual" | "scale":
            return f"{'output scale' if field == 'scale' else field} {then}{ARROW}{now}"
        case "shortcut":
            return f"output of {now}" if now else "outputs without delay"
        case "unnormed":
            return f"without a norm on the output of {now}" if now else f"with a norm on the output of {then}"
        case "own_norms":
            return "with a norm each" if now else "with one norm"
    return "added to the next input, not to the stream" if now else "added to the stream"


def _stored(changed: Sequence[str], base: Architecture, arch: Architecture) -> str:
    """Other stored formats, in words."""
    old, new = ({path: side.precision.get(path) or side.format(at_layers(path)[0], (1, 1)) for path in changed} for side in (base, arch))
    if old == new:
        return "stored formats written in another way"
    if len(changed) == 1:
        return change(f"precision.{changed[0]}", old[changed[0]], new[changed[0]])
    formats, was, now = set(new.values()), *(joined(sorted({*side.precision.values()})).replace("_", " ") for side in (base, arch))
    if len(formats) > 1 and was and now and was != now:
        return f"stored formats {was}{ARROW}{now}"
    names = ["other weights" if path == "default" else path.replace("@", " in layers ") for path in changed]
    shown = "all weights" if arch.precision.keys() == {"default"} else few(names) if len(names) > 3 else joined(names)
    return f"{shown} stored in {formats.pop() if len(formats) == 1 else 'other formats'}"
