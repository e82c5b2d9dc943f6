"""The difference of two architectures, split into single edits.

A patch changes as little as has a name of its own: a field, the number of layers, one part in place of another in some layers,
a step more in a block. A patch that is valid alone is an edit; patches that are valid only together are one edit.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache
from itertools import islice
from types import MappingProxyType
from typing import Any

from .blocks import folded, names_of, renamed_in, spelled
from .diff import diff, differences
from .precision import at_layers, root
from .rhythm import Rhythm
from .saying import ARROW, change, few, joined, said, swap, together
from .spec import METADATA, Architecture, Step, Unsupported, parse

MOST_EDITS = 24  # what differs beyond this is one more edit
MOST_TRIES = 96  # validations for one difference
MOST_WORK = 300_000  # microseconds, roughly, for all of them: architectures with very varied layers get fewer tries
MOST_PATCHES = 128  # told apart; more are one edit of all layers and parts
MOST_WORDS = 120  # characters of an edit, without its number if several have the same words

Block = tuple[Step, ...]


@dataclass(frozen=True)
class Edit:
    """One edit in words, and the architecture before and after it."""

    words: str
    before: Architecture
    after: Architecture


def split(base: Architecture, arch: Architecture) -> tuple[Edit, ...]:
    """The edits that lead from `base` to `arch` in this order; each of them leaves a valid architecture."""
    return _Split(base, arch).edits()


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
class _Way(_Patch):
    """Other fields of a step, by old block and step, in some layers."""

    where: Rhythm
    fields: Mapping[tuple[Block, int], Mapping[str, Any]]


@dataclass(frozen=True, eq=False)
class _Steps(_Patch):
    """Other steps in the blocks of some layers, by old block and -1: those that are gone, and those that follow one (-1: come first)."""

    where: Rhythm
    changes: Mapping[tuple[Block, int], tuple[tuple[int, ...], tuple[tuple[int, Step], ...]]]


class _Split:
    """The patches between two architectures, and what some of them lead to."""

    def __init__(self, base: Architecture, arch: Architecture):
        self.base, self.arch = base, arch
        self.ours, self.theirs = base.model_dump(mode="json"), arch.model_dump(mode="json")
        self.text = json.dumps(self.ours)  # to be read anew for every try
        self.changes = diff(base, arch).changes
        self.tried: dict[frozenset[int], Architecture | None] = {}
        fields, layers = list(self._fields()), list(islice(self._layers(), MOST_PATCHES + 1))
        self.patches: list[_Patch] = [*fields, *layers, *self._parts(), *self._rest()]
        layered = ("layers", "parts", "mtp", "precision", *METADATA)
        words = f"layers {arch.pattern}" if base.pattern != arch.pattern else "other parts"
        for names in (layered, tuple(self.theirs)):
            many = len(self.patches) > MOST_PATCHES
            if len(self.patches) > 1 and (many or self._made(self.patches) != arch):  # too tangled to be told one by one
                self.patches = [*(fields if names == layered else []), _Together(words, names)]
        self.all = frozenset(range(len(self.patches)))
        written = sum(len(block) for side in (base, arch) for segment in side.layers for block in segment.blocks)
        work = 100 * len(arch.parts) + 10 * written + arch.depth * len(layers) // 4
        self.tries = max(8, min(MOST_TRIES, MOST_WORK // work))

    # ---- what differs ----

    def _fields(self) -> Iterator[_Patch]:
        """Fields of the model."""
        for found in self.changes:
            if found.path.split(".")[0] not in ("parts", "layers", "precision", "mtp"):
                yield _Field(str(found), found.path, found.after)

    def _parts(self) -> Iterator[_Patch]:
        """Fields of the parts that both have, and parts of another kind."""
        for found in self.changes:
            head, _, path = found.path.partition(".")
            name, _, inner = path.partition(".")
            if head == "parts" and name in self.base.parts and name in self.arch.parts:
                words = str(found) if inner else swap(name, self.base.parts[name].brief, self.arch.parts[name].brief)
                yield _Field(words, found.path, found.after)

    def _rest(self) -> Iterator[_Patch]:
        """The modules ahead, the stored formats, and what describes the model."""
        told = ("mtp.block", "mtp.further") if self._ahead else ()
        for found in self.changes:
            if found.path.split(".")[0] == "mtp" and found.path not in told:
                yield _Field(str(found), found.path, found.after)
        before, after = self.base.precision, self.arch.precision
        if changed := [path for path in after | before if before.get(path) != after.get(path) and not self._comes(path)]:
            yield _Together(_stored(changed, self.base, self.arch), ("precision",))
        if described := [name for name in METADATA if self.ours[name] != self.theirs[name]]:
            words = f"title{ARROW}{self.arch.title}" if "title" in described else f"{joined(described).replace('_', ' ')} changed"
            yield _Together(words, tuple(described))

    def _comes(self, path: str) -> bool:
        """Whether a stored format is of a part that only one side has: it comes and goes with its part."""
        return (root(path) in self.base.parts) != (root(path) in self.arch.parts)

    def _layers(self) -> Iterator[_Patch]:
        """Their number; parts in place of others; steps that work in another way; other steps."""
        base, arch = self.base, self.arch
        self._ahead = self._swapped_ahead()
        if base.sequence == arch.sequence and base.layers != arch.layers:
            yield _Together("layers written in another way", ("layers",))
        depth, self.rows = self._depth()
        yield from depth
        between = lru_cache(maxsize=None)(self._between)
        swaps: dict[Any, tuple[set[int], dict]] = {names: (set(), {}) for names in self._ahead}
        ways: dict[Any, tuple[set[int], dict]] = {}
        steps: dict[Any, tuple[set[int], dict]] = {}
        for layer, (old, new) in enumerate(zip(self.rows, arch.sequence, strict=True)):
            for found, (key, place, value) in between(old, new) if old != new else ():
                layers, values = {"swap": swaps, "way": ways, "steps": steps}[found].setdefault(key, (set(), {}))
                layers.add(layer)
                values[old, place] = value
        for (a, b), (layers, places) in swaps.items():
            where = Rhythm(frozenset(layers), arch.depth)
            yield _Swap(self._swapped(a, b, where), a, b, where, frozenset(places), (a, b) in self._ahead)
        for layers, fields in ways.values():
            where = Rhythm(frozenset(layers), arch.depth)
            words = ", ".join(_way(field, value) for field, value in next(iter(fields.values())).items())
            yield _Way(f"{str(where) or 'all layers'}: {words}", where, fields)
        for (gone, come), (layers, changes) in steps.items():
            where = Rhythm(frozenset(layers), arch.depth)
            yield _Steps(self._more(gone, come, where, changes.values()), where, changes)

    def _depth(self) -> tuple[list[_Patch], Sequence[Block]]:
        """The patches that change the number of layers, and the old block that each layer then has."""
        base, arch = self.base, self.arch
        old, new = base.sequence, arch.sequence
        if len(old) == len(new):
            return [], old
        pairs = list(zip(base.layers, arch.layers, strict=False))
        if len(base.layers) == len(arch.layers) and all(len(a.blocks) == len(b.blocks) for a, b in pairs):
            found: list[_Patch] = []
            for n, (a, b) in enumerate(pairs):
                if a.repeat != b.repeat:
                    of = f" {self._of_segment(n)}" if len(pairs) > 1 else ""
                    found.append(_Repeat(_deeper(a.repeat * len(a.blocks), b.repeat * len(a.blocks), of), n, b.repeat))
            return found, [block for a, b in pairs for _ in range(b.repeat) for block in a.blocks]
        shorter = min(len(old), len(new))
        start = next((n for n in range(shorter) if old[n] != new[n]), shorter)
        end = next((n for n in range(shorter - start) if old[-1 - n] != new[-1 - n]), shorter - start)
        middle, wanted = old[start : len(old) - end], new[start : len(new) - end]
        if middle and wanted:  # the same pattern in more layers or fewer; of several patterns, each in as large a share
            times = range(len(wanted))
            one = len(base.layers) == 1
            wanted = tuple(middle[n % len(middle) if one else n * len(middle) // len(wanted)] for n in times)
        rows = (*old[:start], *wanted, *old[len(old) - end :])
        return [_Depth(_deeper(len(old), len(new)), rows)], rows

    def _between(self, old: Block, new: Block) -> list[tuple[str, tuple[Any, int | tuple[int, int], Any]]]:
        """What differs between two blocks: the sort of patch; its key, its place in the old block, and what is there then."""
        mixes = {name: part.mixes for name, part in (*self.base.parts.items(), *self.arch.parts.items())}
        a, b = ([tuple(mixes[name] for name in step.parts) for step in block] for block in (old, new))
        same = SequenceMatcher(None, a, b, autojunk=False).get_matching_blocks()
        pairs = {match.a + n: match.b + n for match in same for n in range(match.size)}
        found: list[tuple[str, tuple[Any, int | tuple[int, int], Any]]] = []
        for i, j in pairs.items():
            plain = _plain(old[i])
            for slot, names in enumerate(zip(old[i].parts, new[j].parts, strict=True)):
                if names[0] != names[1]:
                    found.append(("swap", (names, (i, slot), True)))
                    plain = renamed_in(plain, *names)
            then, now = (spelled(side) for side in (plain, _plain(new[j])))
            fields = {key: now.get(key) for key in then | now if key != "parts" and then.get(key) != now.get(key)}
            if fields:
                found.append(("way", (json.dumps(fields, sort_keys=True), i, fields)))
        gone = tuple(i for i in range(len(old)) if i not in pairs)
        after = {j: i for i, j in pairs.items()}
        come = tuple((max((after[k] for k in range(j) if k in after), default=-1), new[j]) for j in range(len(new)) if j not in after)
        if gone or come:
            left, added = sorted(p for i in gone for p in old[i].parts), sorted(p for _, step in come for p in step.parts)
            found.append(("steps", ((tuple(left), tuple(added)), -1, (gone, come))))
        return found

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

    def _of_segment(self, segment: int) -> str:
        """The layers of a segment: by the parts that all of them have and no other segment, or by all their parts."""
        names = [[{name for step in block for name in step.parts} for block in found.blocks] for found in self.base.layers]
        others = set().union(*(block for n, blocks in enumerate(names) if n != segment for block in blocks))
        every = list(dict.fromkeys(name for block in self.base.layers[segment].blocks for step in block for name in step.parts))
        own = [name for name in every if name not in others and all(name in block for block in names[segment])]
        return f"with {joined(own)}" if own else f"of {joined(every)}"

    def _swapped(self, old: str, new: str, where: Rhythm) -> str:
        """A part in place of another in some layers."""
        places = f"{where}: " if str(where) else ""
        if not where.layers:
            return f"multi-token prediction: {old}{ARROW}{new}"
        if new in self.base.parts:
            return f"{places}{old}{ARROW}{new}"
        a, b = self.base.parts[old] if old in self.base.parts else self.arch.parts[old], self.arch.parts[new]
        if a.kind != b.kind:
            return places + swap(old, a.brief, b.brief)
        changes = [change(f"parts.{old if places else new}.{found.path}", found.before, found.after) for found in differences(a, b)]
        if not changes:
            return f"{places * (old in self.arch.parts)}{old} renamed {new}"
        return f"{places}{together(changes).replace(': ', ' ', 1)}" if places else together(changes)

    def _more(self, gone: Sequence[str], come: Sequence[str], where: Rhythm, changes: Iterable[Any]) -> str:
        """Other steps in a block."""
        places = f"{where}: " if str(where) else ""
        if gone == come:
            beside = any(len(step.parts) > 1 for _, steps in changes for _, step in steps)
            return f"{places}{joined(come)} {'in parallel' if beside else 'one after the other'}"
        old, new = Counter(gone), Counter(come)
        briefs = {name: part.brief.partition(" (")[0] for name, part in (*self.base.parts.items(), *self.arch.parts.items())}
        added, left = (joined(briefs[name] for name in found.elements()) for found in (new - old, old - new))
        if added and left:
            return f"{places}{left}{ARROW}{added}"
        return f"{places}{added} added" if added else f"{places}{left} removed"

    # ---- some of them ----

    def at(self, chosen: frozenset[int]) -> Architecture | None:
        """The architecture with these patches; None if it is not valid, or if too many were tried."""
        if not chosen or chosen == self.all:
            return self.arch if chosen else self.base
        if chosen not in self.tried:
            patches = [self.patches[n] for n in sorted(chosen)]
            self.tried[chosen] = self._made(patches) if len(self.tried) < self.tries else None
        return self.tried[chosen]

    def _made(self, patches: Sequence[_Patch]) -> Architecture | None:
        return _valid(json.dumps(self._tree(patches)))

    def _tree(self, patches: Sequence[_Patch]) -> dict[str, Any]:
        tree = json.loads(self.text)
        for patch in patches:
            if isinstance(patch, _Field):
                _put(tree, patch.path.split("."), patch.value)
            elif isinstance(patch, _Together):
                tree |= {name: self.theirs[name] for name in patch.fields}
        if any(isinstance(patch, _Together) and "parts" in patch.fields for patch in patches):
            return tree
        swaps = {patch.old: patch.new for patch in patches if isinstance(patch, _Swap) and patch.ahead}
        if swaps and tree["mtp"]:
            blocks = [[_plain(step, swaps) for step in block] for block in self.base.mtp.each]  # type: ignore[union-attr]
            tree["mtp"] |= {"block": blocks[0], "further": blocks[1:] if tree["mtp"]["further"] else []}
        moves = [patch for patch in patches if isinstance(patch, _Repeat | _Depth | _Swap | _Way | _Steps)]
        if moves:
            rows, most = self._rows(moves), sum(isinstance(patch, _Repeat | _Depth | _Swap | _Way | _Steps) for patch in self.patches)
            written = lru_cache(maxsize=None)(_written)
            local = [patch for patch in moves if isinstance(patch, _Swap | _Way | _Steps)]
            blocks = [written(row, tuple(p for p in local if p.where.has(layer, len(rows)))) for layer, row in enumerate(rows)]
            tree["layers"] = self.theirs["layers"] if len(moves) == most else folded(blocks)
        ahead = tree["mtp"] or {"block": (), "further": ()}
        named = [block for segment in tree["layers"] for block in segment["blocks"]] + [ahead["block"], *ahead["further"]]
        used = {name for block in named for step in block for name in names_of(step)}
        gone, come = tree["parts"].keys() - used, used - tree["parts"].keys()
        tree["parts"] = {k: v for k, v in tree["parts"].items() if k in used} | {k: self.theirs["parts"].get(k) for k in come}
        tree["precision"] = {path: fmt for path, fmt in tree["precision"].items() if root(path) not in gone}
        tree["precision"] |= {path: fmt for path, fmt in self.theirs["precision"].items() if root(path) in come}
        return tree

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
            one = next((n for n in left if self.at(done | {n}) is not None), None) if len(found) < MOST_EDITS - 1 else None
            group = frozenset({one}) if one is not None else self._needed(done, left, len(found) >= MOST_EDITS - 1)
            found.append(group)
            done |= group
            left = [n for n in left if n not in group]
        return found

    def _needed(self, done: frozenset[int], left: Sequence[int], whole: bool) -> frozenset[int]:
        """The first of these patches, with as few others as make it valid; or all of them."""
        first, group = self.patches[left[0]], frozenset(left)
        if isinstance(first, _Field) and not whole:  # most often another field of its part: removing one by one keeps both of a pair
            part = first.path.split(".")[:2]
            for n in left[1:]:
                other = self.patches[n]
                if isinstance(other, _Field) and other.path.split(".")[:2] == part and self.at(done | {left[0], n}) is not None:
                    return frozenset({left[0], n})
        for n in () if whole else reversed(left[1:]):
            if self.at(done | group - {n}) is not None:
                group -= {n}
        return group

    def words(self, group: Iterable[int]) -> str:
        """An edit in words; of many fields the first ones."""
        text = together([self.patches[n].words for n in sorted(group)])
        return text if len(text) <= MOST_WORDS else f"{text[: MOST_WORDS - 1].rstrip()}…"

    def edits(self) -> tuple[Edit, ...]:
        found, done, before, same = [], frozenset[int](), self.base, Counter[str]()
        for group in self.groups():
            done |= group
            after = self.at(done)
            assert after is not None  # it was valid when the group was found
            words = self.words(group)
            same[words] += 1  # an edit is dropped by its words
            found.append(Edit(f"{words} ({same[words]})" if same[words] > 1 else words, before, after))
            before = after
        return tuple(found)


@lru_cache(maxsize=64)
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


def _written(block: Block, patches: tuple[Any, ...]) -> list[Any]:
    """A block as the spec writes it, after these patches."""
    steps: list[list[Any]] = []
    for n, step in enumerate(block):
        plain = _plain(step)
        for patch in patches:
            if isinstance(patch, _Swap) and any(name == patch.old and patch.here(block, n, i) for i, name in enumerate(step.parts)):
                plain = renamed_in(plain, patch.old, patch.new)
        for fields in (patch.fields[block, n] for patch in patches if isinstance(patch, _Way) and (block, n) in patch.fields):
            plain = {key: value for key, value in {**spelled(plain), **fields}.items() if value is not None}
        steps.append([plain])
    first: list[Any] = []
    for gone, come in (patch.changes[block, -1] for patch in patches if isinstance(patch, _Steps) and (block, -1) in patch.changes):
        for n in gone:
            steps[n] = steps[n][1:]
        for n, step in come:
            (first if n < 0 else steps[n]).append(_plain(step))
    return [*first, *(step for found in steps for step in found)]


def _deeper(before: int, after: int, of: str = "") -> str:
    return f"{before:,} layer{'s' if before > 1 else ''}{of}{ARROW}{after:,}"


def _way(field: str, value: Any) -> str:
    """A field of a step; None is its default."""
    if value is None and field != "residual":
        value = Step.model_fields[field].get_default(call_default_factory=True)
    return f"{field.replace('_', ' ')} {'as in the model' if value is None else said(value)}"


def _stored(changed: Sequence[str], base: Architecture, arch: Architecture) -> str:
    """Other stored formats, in words."""
    old, new = ({path: side.precision.get(path) or side.format(at_layers(path)[0], (1, 1)) for path in changed} for side in (base, arch))
    if old == new:
        return "stored formats written in another way"
    if len(changed) == 1:
        return change(f"precision.{changed[0]}", old[changed[0]], new[changed[0]])
    formats, names = set(new.values()), ["other weights" if path == "default" else path.replace("@", " in layers ") for path in changed]
    shown = "all weights" if arch.precision.keys() == {"default"} else few(names) if len(names) > 3 else joined(names)
    return f"{shown} stored in {formats.pop() if len(formats) == 1 else 'other formats'}"
