"""Fit an architecture to a budget: a number of parameters, all or active, or bytes of caches.

`scaled` changes depth and width together and keeps the proportions; `with_active` changes the experts alone, `with_cache` what
attention keeps. Each gives the nearest architecture with its real figure (`core.cost`), or raises Unsupported with the nearest
figure if that is not within 5 %. What grows with the stream is what the spec's fields are marked with: widths and ranks in
proportion, heads in number. Widths of a head, numbers of experts, vocabulary and windows stay.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice, product
from typing import Any, Literal

from pydantic import ValidationError

from .cost import Cost, cost
from .parts import Part
from .parts.base import Spec, marked
from .precision import FORMATS
from .saying import called
from .spec import MAX_LAYERS, Architecture, Unsupported, Workload, parse
from .words import percent, size

NEAR = 0.05  # further from what was asked is refused
CLOSE = 0.005  # nearer is as good as equal: proportions decide
MAIN = 0.25  # a segment with this share of the layers repeats more or less often; shorter ones (first dense layers) stay
WIDTHS = 13  # that are tried around the expected one
# Each width is a new model, in which each part of each different block takes some milliseconds: varied layers get fewer widths.
MOST_PLACES = 32
WORK = 96  # parts in different blocks, over all widths

Figure = Literal["parameters", "active_parameters", "kept_bytes"]
WORDS: dict[Figure, str] = {"parameters": "parameters", "active_parameters": "active parameters", "kept_bytes": "caches and states"}
Place = tuple[str, ...]  # of a field: ("parts", "moe", "d_ff")


@dataclass(frozen=True)
class Fit:
    """An architecture that was fitted, and how near it came to what was asked."""

    architecture: Architecture = field(repr=False)
    figure: Figure
    asked: int
    reached: int

    @property
    def off(self) -> float:
        """The share by which it is above (or below, negative) what was asked."""
        return self.reached / self.asked - 1

    def __str__(self) -> str:
        """7.98 B of 8 B asked, 0.3 % below."""
        if self.reached == self.asked:
            return f"{_said(self.figure, self.reached)}, exactly as asked"
        return f"{_said(self.figure, self.reached)} of {_said(self.figure, self.asked)} asked, {self.near}"

    @property
    def near(self) -> str:
        """0.3 % below."""
        if self.off > 1:
            times = self.reached / self.asked
            return f"{times:,.{0 if times >= 1000 else 1}f} times as much"
        share = percent(abs(self.off)) if abs(self.off) >= 1e-4 else "under 0.01 %"
        return f"{share} {'above' if self.off > 0 else 'below'}"


def _said(what: Figure, value: int) -> str:
    if what == "kept_bytes":
        return size(value)
    for unit, name in ((1e12, " T"), (1e9, " B"), (1e6, " M")):
        if value >= unit:
            return f"{value / unit:,.{4 if value < 1000 * unit else 7}g}{name}"
    return f"{value:,}"


def amount(words: str) -> float:
    """The number that a person writes: 8B, 135 M, 2.5 GB, 8e9, 8,030,261,248."""
    found = re.fullmatch(r"([0-9]{1,18}(?:\.[0-9]{0,9})?(?:e\+?[0-9]{1,2})?)([kmbgt]?)b?", re.sub(r"[\s,_]", "", words[:60].lower()))
    if not found:
        raise Unsupported(f"{words[:40]!r} is not an amount; give one such as 8B, 135M or 2.5 GB")
    return float(found[1]) * {"": 1, "k": 1e3, "m": 1e6, "b": 1e9, "g": 1e9, "t": 1e12}[found[2]]


# ---- depth and width ----


def scaled(arch: Architecture, *, parameters: float | None = None, active_parameters: float | None = None) -> Fit:
    """The architecture with as many parameters, all or active, as are asked for. Width and depth change in proportion; of depth only
    the segments that repeat most, by whole repeats."""
    what: Figure = "parameters" if parameters is not None else "active_parameters"
    asked = _asked(arch, what, active_parameters if parameters is None else parameters)
    main = [i for i, segment in enumerate(arch.layers) if segment.repeat > 1 and segment.repeat * len(segment.blocks) >= MAIN * arch.depth]
    wanted = arch.d_model * _growth(cost(arch), what, asked, 3 if main else 2)
    tried: dict[int, _Shape | None] = {}
    most = min(WIDTHS, max(3, WORK // _places(arch)))
    while new := [width for width in _widths(arch.d_model, wanted, most) if width not in tried]:
        tried |= {width: _shape(arch, width, main, what, asked) for width in new}
        best = min(filter(None, tried.values()), key=lambda shape: shape.score, default=None)
        if best is None or abs(best.off) <= NEAR or len(tried) > 2 * most:
            break
        wanted = best.arch.d_model * (asked / best.reached) ** (1 / 3)
    if best is None:
        raise Unsupported(
            f"{WORDS[what]}: no width that the spec accepts comes near {_said(what, asked)}; give a number nearer to the model's own"
        )
    found = parse(_repeated(best.arch, best.repeats).model_dump(mode="json"))
    return _fitted(found, what, asked, f"{found.d_model:,} channels and {found.depth:,} layer{'s' * (found.depth > 1)}")


@dataclass(frozen=True)
class _Shape:
    """A width, and the repeats of segments with which it comes nearest."""

    arch: Architecture  # of this width, with the repeats that the start has
    repeats: Mapping[int, int]
    reached: float
    off: float
    bent: float  # how far from the start's proportions, 0.1 for about 10 %

    @property
    def score(self) -> float:
        return 15 * max(0.0, abs(self.off) - CLOSE) + self.bent


def _shape(arch: Architecture, d_model: int, main: Sequence[int], what: Figure, asked: int) -> _Shape | None:
    try:
        wide = resized(arch, d_model)
    except Unsupported:
        return None
    now = getattr(cost(wide), what)
    each = {i: now - getattr(cost(_repeated(wide, {i: wide.layers[i].repeat - 1})), what) for i in main}  # fewer are never too many
    around = now - sum(wide.layers[i].repeat * each[i] for i in main)
    before = {i: wide.layers[i].repeat for i in main}

    def reached(repeats: Mapping[int, int]) -> float:
        return around + sum(times * each[i] for i, times in repeats.items())

    def depth(repeats: Mapping[int, int]) -> int:
        return wide.depth + sum((times - before[i]) * len(wide.layers[i].blocks) for i, times in repeats.items())

    ways = [way for way in _ways(before, (asked - around) / (sum(before[i] * each[i] for i in main) or 1)) if depth(way) <= MAX_LAYERS]
    if not ways:
        return None
    repeats = min(ways, key=lambda way: abs(reached(way) - asked))
    growth = d_model / arch.d_model
    bent = abs(math.log(depth(repeats) / arch.depth / growth)) if main else 0.0
    heads = [(_most_heads(wide.parts[name]), _most_heads(part)) for name, part in arch.parts.items()]
    bent += max((abs(math.log(now / then / growth)) for now, then in heads if then), default=0.0)
    return _Shape(wide, repeats, reached(repeats), reached(repeats) / asked - 1, bent)


def _ways(repeats: Mapping[int, int], share: float) -> list[dict[int, int]]:
    """Repeats near this share of those that are: every one that rounding gives just below and above it."""
    edges = {(math.floor(share * n) + step) / n for n in repeats.values() for step in (-0.5, 0.5, 1.5)}
    shares = {share, *(edge + by for edge in edges for by in (-1e-9, 1e-9))}
    return [{i: min(MAX_LAYERS, max(1, round(n * one))) for i, n in repeats.items()} for one in shares]


def _repeated(arch: Architecture, repeats: Mapping[int, int]) -> Architecture:
    """The architecture with other repeats of some segments."""
    layers = [segment.model_copy(update={"repeat": repeats.get(i, segment.repeat)}) for i, segment in enumerate(arch.layers)]
    return arch.model_copy(update={"layers": tuple(layers)})


def _growth(found: Cost, what: Figure, asked: int, power: int) -> float:
    """The factor on all widths that is expected to do: what is around the layers grows with it, the layers with a power of it."""
    around = sum(getattr(row, what) for row in found.rows if row.block == "model")
    layers = getattr(found, what) - around
    low, high = 1e-4, 1e4
    for _ in range(60):
        growth = math.sqrt(low * high)
        low, high = (low, growth) if around * growth + layers * growth**power > asked else (growth, high)
    return growth


def _widths(start: int, wanted: float, most: int) -> list[int]:
    """Round widths around the wanted one, the nearest first, and the start's own."""
    step = 2 ** max(3, min(9, math.floor(math.log2(max(wanted, 24) / 24))))
    step = max(step, 64) if wanted >= 512 else step
    middle = round(wanted / step)
    near = [step * (middle + by) for by in range(-WIDTHS, WIDTHS + 1)] + [start]
    near = [width for width in dict.fromkeys(near) if width > 0]
    return sorted(near, key=lambda width: abs(math.log(width / wanted)))[:most]


def resized(arch: Architecture, d_model: int) -> Architecture:
    """The architecture with another width of the stream, and everything that grows with it; Unsupported if the spec refuses that."""
    growth = d_model / arch.d_model
    tree = arch.model_dump(mode="json") | {"d_model": d_model}
    inside: list[tuple[Place, Spec]] = [((name,), value) for name, value in arch if isinstance(value, Spec)]
    inside += [(("parts", name), part) for name, part in arch.parts.items()]
    for root, spec in inside:
        for place, value in {**_grown_heads(spec, growth), **_grown_widths(spec, growth)}.items():
            _put(tree, (*root, *place), value)
    return parse(tree)


def _marked(spec: Spec, mark: str) -> Iterator[tuple[Place, int]]:
    """The places and values of the fields with a mark, nested ones too."""
    for name in marked(type(spec), mark):
        if (value := getattr(spec, name)) is not None:
            yield (name,), value
    for name, value in spec:
        if isinstance(value, Spec):
            yield from (((name, *place), inner) for place, inner in _marked(value, mark))


def _most_heads(part: Part) -> int:
    return max((value for _, value in _marked(part, "heads")), default=0)


def _put(tree: dict, place: Place, value: int) -> None:
    *parents, last = place
    for name in parents:
        tree = tree[name]
    tree[last] = value


def _grown_heads(spec: Spec, growth: float) -> dict[Place, int]:
    """Heads times `growth`: all in proportion where whole numbers come near, otherwise the many of them in equal groups of the few."""
    heads = dict(_marked(spec, "heads"))
    if not heads:
        return {}
    unit, most = math.gcd(*heads.values()), max(heads.values())
    times = max(1, _rounded(unit, growth))
    if abs(math.log(times / (unit * growth))) <= 0.12 or min(heads.values()) == most:
        return {place: value // unit * times for place, value in heads.items()}
    groups = math.lcm(*(value for value in heads.values() if value < most))
    many = groups * max(1, _rounded(most // groups, growth))
    return {place: many if value == most else value for place, value in heads.items()}


def _grown_widths(spec: Spec, growth: float) -> dict[Place, int]:
    """Widths and ranks times `growth`; one that holds several others of its name (shared experts) still does."""
    widths = dict(_marked(spec, "width"))
    grown: dict[Place, int] = {}
    for place, value in sorted(widths.items(), key=lambda one: one[1]):
        parts = [other for other in grown if other[-1] == place[-1] and value % widths[other] == 0]
        grown[place] = value // widths[parts[0]] * grown[parts[0]] if parts else _rounded(value, growth)
    return grown


def _rounded(value: int, growth: float) -> int:
    """A number times `growth`, in steps of the largest power of two up to 128 that divides it and is not coarse for the result."""
    wanted = value * growth
    step = 1
    while step < 128 and value % (2 * step) == 0 and 16 * step <= wanted:
        step *= 2
    return max(step, round(wanted / step) * step)


def _places(arch: Architecture) -> int:
    return sum(len(step.parts) for block in arch.distinct() for step in block)


def _asked(arch: Architecture, what: Figure, value: float | None) -> int:
    if value is None or not 1 <= value < 1e18:
        raise Unsupported(f"{WORDS[what]}: give a number from 1 to 10^18, such as 8e9")
    if (places := _places(arch)) > MOST_PLACES:
        raise Unsupported(
            f"layers: different blocks with {places:,} parts in them are too many to fit to a budget; give at most {MOST_PLACES:,}"
        )
    return round(value)


def _fitted(arch: Architecture, what: Figure, asked: int, shape: str, workload: Workload | None = None) -> Fit:
    """The answer with its real figure, or Unsupported if that is not near."""
    fit = Fit(arch, what, asked, getattr(cost(arch, workload), what))
    if abs(fit.off) > NEAR:
        raise Unsupported(
            f"{WORDS[what]}: the nearest to {_said(what, asked)} is {_said(what, fit.reached)}, {fit.near}, with {shape}; "
            "give a number near that"
        )
    return fit


# ---- one thing alone ----

STEPS = (64, 16, 8)  # widths and windows are multiples of these; the coarsest that comes close is taken
MOST_TIMES = 8  # as wide or as long, and as narrow or as short, as a rank or a window becomes
MOST_WAYS = 256  # combinations of heads that are tried
Values = Mapping[Place, int]  # new values of fields


def with_active(arch: Architecture, asked: float, start: Architecture | None = None) -> Fit:
    """The architecture with as many active parameters as are asked for, by the width of its experts (of its feed-forward networks
    if it has none). If that width is what differs from `start`, by the number of experts that a token takes."""
    what: Figure = "active_parameters"
    wanted = _asked(arch, what, asked)
    wide = {name: part for name, part in arch.parts.items() if "d_ff" in type(part).model_fields}
    role = "experts" if any(part.role == "experts" for part in wide.values()) else "feed_forward"
    wide = {name: part for name, part in wide.items() if part.role == role}
    if not wide:
        raise Unsupported(f"{WORDS[what]}: this model has no experts and no feed-forward network whose width could change")
    then = start.parts if start else {}
    chosen = any(getattr(then.get(name), "d_ff", part.d_ff) != part.d_ff for name, part in wide.items())  # type: ignore[attr-defined]
    name, steps = ("top_k", (1,)) if chosen and all("top_k" in type(part).model_fields for part in wide.values()) else ("d_ff", STEPS)
    before: Values = {("parts", part, name): getattr(value, name) for part, value in wide.items()}

    def figure_of(values: Values) -> float:
        return getattr(cost(_with(arch, values)), what)

    now = figure_of({})
    probe: Values = {place: value - 1 if value > 1 else 2 for place, value in before.items()} if name == "top_k" else _times(before, 2, 1)
    by = sum(probe.values()) / sum(before.values()) - 1  # the figure is linear in it
    share = 1 + (wanted - now) * by / ((figure_of(probe) - now) or math.inf)
    return _nearest(
        arch, what, wanted, [_roundest([_times(before, max(share, 1e-6), step) for step in steps], figure_of, wanted)], figure_of
    )


def with_cache(arch: Architecture, asked: float, workload: Workload | None = None) -> Fit:
    """The architecture that keeps this many bytes in caches and states at the workload, by what its attention keeps: key and value
    heads, latent ranks, windows. Layers, query heads and widths of a head stay."""
    what: Figure = "kept_bytes"
    wanted, w = _asked(arch, what, asked), workload or Workload()
    counts = Counter(name for block in arch.sequence for step in block for name in step.parts)
    fmt = FORMATS[w.cache]

    def kept(name: str, values: Values) -> int:
        part = _copied(arch.parts[name], {place[2:]: value for place, value in values.items() if place[1] == name})
        return w.batch * counts[name] * sum(map(fmt.bytes, part.cache(w.context).values()))

    own = {name: kept(name, {}) for name in counts}
    rest = cost(arch, w).kept_bytes - sum(own.values())  # states

    def total(values: Values) -> int:
        changed = {place[1] for place in values} & own.keys()
        return rest + sum(kept(name, values) if name in changed else own[name] for name in own)

    def figure_at(chosen: Values, before: Values, share: float) -> int:
        return total({**chosen, **_times(before, share)})

    groups = {mark: _keeping(arch, mark, total) for mark in ("heads", "width", "window")}
    if not any(groups.values()):
        raise Unsupported(f"{WORDS[what]}: no part of this model caches anything by key and value heads, a latent or a window")
    heads = [[dict.fromkeys(group, value) for value in _allowed(arch, group)] for group in groups["heads"]]
    together = [{place: value for one in way for place, value in one.items()} for way in islice(product(*heads), MOST_WAYS)]
    smooth = [{place: value for group in groups[mark] for place, value in group.items()} for mark in ("width", "window") if groups[mark]]
    ways: list[Values] = []
    for chosen in together:
        ways.append(chosen)
        for before in smooth if abs(total(chosen) / wanted - 1) > CLOSE else ():
            share = _share(partial(figure_at, chosen, before), wanted)
            if 1 / MOST_TIMES <= share <= MOST_TIMES:
                ways.append(_roundest([{**chosen, **_times(before, share, step, w.context)} for step in STEPS], total, wanted))
    return _nearest(arch, what, wanted, ways, total, w)


def _roundest(ways: Sequence[Values], figure_of: Callable[[Values], float], asked: int) -> Values:
    """The first way that comes close, or the closest."""
    offs = [abs(figure_of(values) / asked - 1) for values in ways]
    return next((values for values, off in zip(ways, offs, strict=True) if off <= CLOSE), ways[offs.index(min(offs))])


def _nearest(
    arch: Architecture, what: Figure, asked: int, ways: Sequence[Values], figure_of: Callable[[Values], float], w: Workload | None = None
) -> Fit:
    """The way that comes close with the smallest changes, with its real figure."""

    def rank(values: Values) -> tuple[float, ...]:
        off = abs(figure_of(values) / asked - 1)
        each = {(place[2:], _at(arch, place), value) for place, value in values.items()}
        bent = sum(abs(math.log(now / then)) for _, then, now in each)
        return (0, 15 * max(0.0, off - CLOSE) + bent) if off <= NEAR else (1, off)

    for values in sorted(ways, key=rank):
        try:
            found = _with(arch, values)
        except Unsupported:
            continue
        said = {f"{' '.join(called('.'.join(place)))} {value:,}" for place, value in values.items() if value != _at(arch, place)}
        return _fitted(found, what, asked, ", ".join(sorted(said)) or "what it keeps now", w)
    raise Unsupported(f"{WORDS[what]}: the spec accepts nothing near {_said(what, asked)}; give a number nearer to the model's own")


def _keeping(arch: Architecture, mark: str, total: Callable[[Values], int]) -> list[Values]:
    """The fields with a mark that change what the caches keep, those that are alike together."""
    now = total({})
    alike: dict[tuple[str, Place, int], dict[Place, int]] = {}
    for name, part in arch.parts.items():
        for place, value in _marked(part, mark):
            alike.setdefault((part.kind, place, value), {})["parts", name, *place] = value
    return [group for group in alike.values() if total({place: value // 2 or 2 for place, value in group.items()}) != now]


def _allowed(arch: Architecture, group: Values) -> list[int]:
    """Other numbers of heads that all parts of a group accept, the present one first."""
    most = max(_most_heads(arch.parts[name]) for _, name, *_ in group)
    (now,) = set(group.values())

    def stands(value: int) -> bool:
        try:
            for _, name, *place in group:
                part = arch.parts[name]
                type(part).model_validate(_copied(part, {tuple(place): value}).model_dump())
        except ValidationError:
            return False
        return True

    near = [n for n in range(1, 4 * most + 1) if n != now and (most % n == 0 or n % most == 0) and stands(n)]
    return [now, *sorted(near, key=lambda n: abs(math.log(n / now)))]


def _share(figure_of: Callable[[float], float], asked: int) -> float:
    """The factor with which a figure that grows with it comes to what is asked."""
    low, high = 2.0**-12, 2.0**12
    for _ in range(24):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if figure_of(middle) > asked else (middle, high)
    return middle


def _times(values: Values, share: float, step: int = 1, most: int = 2**60) -> dict[Place, int]:
    return {place: min(most, max(step, round(value * share / step) * step)) for place, value in values.items()}


def _with(arch: Architecture, values: Values) -> Architecture:
    """The architecture with other values of some fields; Unsupported if the spec refuses them."""
    tree = arch.model_dump(mode="json")
    for place, value in values.items():
        _put(tree, place, value)
    return parse(tree)


def _at(arch: Architecture, place: Place) -> int:
    value: Any = arch.parts[place[1]]
    for name in place[2:]:
        value = getattr(value, name)
    return value


def _copied(spec: Any, values: Values) -> Any:
    """A value with other values of some fields, unchecked."""
    changed: dict[str, Any] = {}
    for (name, *inner), value in values.items():
        changed[name] = _copied(changed.get(name, getattr(spec, name)), {tuple(inner): value}) if inner else value
    return spec.model_copy(update=changed) if changed else spec
