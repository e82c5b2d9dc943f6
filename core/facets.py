"""What models are filtered, sorted and placed by: facets with their options, and figures.

The options for a technique come from the classes of the parts and positions, so that a new one is found without a line here.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, NamedTuple, get_args

from .cost import cost as cost_of
from .hardware import ACCELERATORS
from .kinds import FIRST, GROUPS, choices, group
from .parts import PARTS, Part
from .parts.base import Spec, numbers
from .parts.experts import Experts
from .parts.position import Position
from .parts.residual import Residual
from .roles import MIXERS
from .spec import Architecture, Unsupported, Workload
from .words import figure, size, tokens

TEXT = 32_768  # tokens of the long text at which caches are compared
TEXTS = (4_096, TEXT, 131_072, 1_048_576)  # the lengths that a list can be asked for
OPEN = ("Apache-2.0", "MIT", "BSD-3-Clause")  # licences that the Open Source Initiative lists
SIZES = (0, 1e9, 4e9, 15e9, 70e9, 300e9)  # parameters at which another size begins
COUNTS = (0, 16, 64, 128, 256)  # the same of experts
WINDOWS = (0, 512, 1_024, 4_096)  # and of tokens that a window holds
POSITIONS = get_args(get_args(Position)[0])  # the classes of position encodings
CONTEXTS = {32_000: "32K", 128_000: "128K", 256_000: "256K", 1_000_000: "1M"}  # tokens, in powers of two or of ten


CALLED = {  # traits whose short word says too little without the part that has it
    "Bias": "Biases", "Conv": "Short convolution", "Gate": "Output gate", "Sinks": "Attention sinks", "Softcap": "Soft cap on scores",
    "Shared gate": "Gate on shared experts", "By a table": "Experts by a table",
}  # fmt: skip


class Technique(NamedTuple):
    """Something that a model has and another one lacks, in the words of its part, and its role."""

    title: str
    role: str


class Option(NamedTuple):
    """One answer to a facet's question: its name in a link, what a list shows, and what it means."""

    name: str
    title: str
    line: str = ""


class Facet(NamedTuple):
    """A question that models answer differently, with its options in their order."""

    name: str
    title: str
    line: str
    options: tuple[Option, ...]

    def option(self, name: str) -> Option:
        """The option of this name; Unsupported if there is none."""
        if found := next((one for one in self.options if one.name == name), None):
            return found
        raise Unsupported(f"{self.name}: {name[:40]!r} is no option; give {', '.join(one.name for one in self.options)}")


@dataclass(frozen=True)
class Entry:
    """A model in a list: its figures, and its options in each facet. Bytes are those of one text of `length` tokens, one of `TEXTS`,
    whether or not the model was made for one as long."""

    arch: Architecture
    parameters: int
    active: int
    weights: int | None  # bytes as shipped; None where they are not known
    kept: tuple[int, ...]  # bytes of caches and states for each of `TEXTS`
    state: int  # bytes of states alone, which do not grow
    context: int | None  # the longest text that it was made for; None if nothing bounds it
    attention: str  # the option that says most about how tokens see one another; empty without one
    options: Mapping[str, frozenset[str]]
    techniques: tuple[Technique, ...]
    length: int = TEXT

    def at(self, length: int) -> "Entry":
        """The same model with a text of another length."""
        one = replace(self, length=length)
        return replace(one, options={**one.options, FITS.name: frozenset(option.name for option in one.machines)})

    @property
    def text(self) -> int:
        """Bytes of caches and states."""
        return self.kept[TEXTS.index(self.length)]

    @property
    def cache(self) -> float:
        """Bytes of caches for each token."""
        return (self.text - self.state) / self.length

    @property
    def machines(self) -> "list[Option]":
        """The machines that hold the weights as shipped and one such text, the smallest first; none if it was not made for one as long."""
        if self.weights is None or self.context is not None and self.context < self.length:
            return []
        return [one for one, machine in zip(FITS.options, ACCELERATORS) if self.weights + self.text <= machine.memory]

    @property
    def fits(self) -> str:
        """The smallest of them; empty without one."""
        return next((one.title for one in self.machines), "")

    @property
    def day(self) -> int:
        """The day of its release, as `date.toordinal` counts; 0 if it is not known."""
        return self.arch.released.toordinal() if self.arch.released else 0

    @property
    def month(self) -> str:
        """The month of its release in words; empty if it is not known."""
        return f"{self.arch.released:%b %Y}" if self.arch.released else ""


def slug(name: str) -> str:
    """A name in a link: "IBM, Princeton" is ibm-princeton."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


# ---- the facets ----

KIND = Facet(
    "kind", "Kind", "What works on each token, and what mixes them", (
        Option("dense", "Dense", "one network for every token"),
        Option("moe", "Mixture of experts", "a router picks networks for each token"),
        Option("hybrid", "Hybrid", "attention in some layers, a recurrence in others"),
        Option("recurrent", "Recurrent", "no attention: a state of fixed size"),
    ),
)  # fmt: skip
_NAMED = tuple(one for one in choices() if one.name in FIRST and one.group == "attention")  # softmax attention that has a name
ATTENTION = Facet(
    "attention", "Attention", "How tokens see one another", (
        *(Option(one.name, FIRST[one.name], one.line) for one in _NAMED),
        Option("other", "Other attention", "softmax attention in a form of its own"),
        Option("sparse", GROUPS["sparse"].title, GROUPS["sparse"].line),
        Option("recurrence", "Linear or recurrent", GROUPS["recurrence"].line),
    ),
)  # fmt: skip
POSITION = Facet(
    "position", "Position", "How the order of tokens is known",
    tuple(Option(get_args(cls.model_fields["kind"].annotation)[0], cls.title, cls.line) for cls in POSITIONS),
)  # fmt: skip
LICENCE = Facet("licence", "Licence", "What one may do with the weights", (
    Option("open", "Open licence", f"{', '.join(OPEN[:-1])} or {OPEN[-1]}"),
    Option("own", "Other terms", "the maker's own licence, or none"),
))  # fmt: skip
CONTEXT = Facet("length", "Context", "The longest text that it was made for", (
    *(Option(short.lower(), f"{short} or more", f"at least {n:,} tokens") for n, short in CONTEXTS.items()),
    Option("any", "Any length", "nothing in the model bounds it"),
))  # fmt: skip
FITS = Facet(
    "fits", "Fits on", "Weights as shipped, with one text",
    tuple(
        Option(slug(one.name), one.name, f"{size(one.memory)} of memory") for one in ACCELERATORS
    ),
)  # fmt: skip


def _steps(name: str, title: str, line: str, least: Sequence[float], show: Callable[[float], str]) -> Facet:
    """A facet of a figure, with an option from each of these values to the next."""

    def option(n: int) -> Option:
        low, high = (show(least[at]) if at < len(least) else "" for at in (n, n + 1))
        if not n:
            return Option(f"under-{high}".lower(), f"Under {high}")
        return Option(f"{low}-{high}".lower(), f"{low} to {high}") if high else Option(f"over-{low}".lower(), f"{low} or more")

    return Facet(name, title, line, tuple(map(option, range(len(least)))))


def _short(n: float) -> str:
    return f"{n / 1e9:g}B"


SIZE = _steps("size", "Size", "All parameters", SIZES, _short)
ACTIVE = _steps("active", "Active", "The parameters that work on one token", SIZES, _short)
EXPERTS = _steps("experts", "Experts", "How many networks a router picks from", COUNTS, lambda n: f"{n:g}")
WINDOW = _steps("window", "Window", "How far back a layer sees that does not see the whole text", WINDOWS, lambda n: tokens(int(n)))


def facets(models: Iterable[Entry]) -> tuple[Facet, ...]:
    """All facets; those of makers and years have the options of these models, the most frequent maker and the latest year first."""
    models = [*models]
    makers = Counter(one.arch.organisation for one in models if one.arch.organisation).most_common()
    years = {name for one in models for name in one.options["year"]}
    options = (Option(slug(name), name) for name, _ in sorted(makers, key=lambda maker: (-maker[1], maker[0])))
    maker = Facet("maker", "Maker", "Who made it", tuple(options))
    year = Facet("year", "Year", "When it was released", tuple(Option(name, name) for name in sorted(years, reverse=True)))
    return KIND, ATTENTION, POSITION, maker, year, SIZE, ACTIVE, EXPERTS, WINDOW, CONTEXT, FITS, LICENCE


# ---- a model's options ----


def attentions(part: Part) -> frozenset[str]:
    """The options of `ATTENTION` that hold for a part; none if it does not mix tokens."""
    if part.role not in MIXERS:
        return frozenset()
    if (own := group(type(part))) == "recurrence":
        return frozenset({own})
    found = {one.name for one in _NAMED if (one.holds(part) if one.form else isinstance(part, PARTS[one.kind]))}
    found |= {own} & {"sparse"} | ({"sliding_window"} if part.reach else set())
    return frozenset(found or {"other"})


def _kinds(parts: Collection[Part]) -> Iterable[str]:
    roles = {part.role for part in parts}
    yield "moe" if "experts" in roles else "dense"
    if roles.issuperset(MIXERS):
        yield "hybrid"
    if "attention" not in roles:
        yield "recurrent"


def _step(facet: Facet, least: Sequence[float], values: Iterable[float]) -> set[str]:
    """The options of a facet of a figure that these values have."""
    return {facet.options[max(at for at, low in enumerate(least) if value >= low)].name for value in values}


def entry(arch: Architecture, cost: Callable = cost_of) -> Entry:
    """The figures and options of a model. A server gives a `cost` that keeps what it has found."""
    found = cost(arch, Workload(context=TEXT))
    parts = [arch.part(name) for name in arch.parts]
    context = arch.meant_for
    seen = frozenset[str]().union(*map(attentions, parts))
    options = {
        "kind": _kinds(parts),
        "attention": seen,
        "position": {position.kind for part in parts for position in positions(part)} | ({arch.position.kind} - {"none"}),
        "maker": [slug(arch.organisation)] if arch.organisation else (),
        "year": [f"{arch.released:%Y}"] if arch.released else (),
        "size": _step(SIZE, SIZES, [found.parameters]),
        "active": _step(ACTIVE, SIZES, [found.active_parameters]),
        "experts": _step(EXPERTS, COUNTS, (number for part in parts for noun, number in numbers(part) if noun == "experts")),
        "window": _step(WINDOW, WINDOWS, (part.reach for part in parts if part.reach)),
        "length": [one.name for one, least in zip(CONTEXT.options, CONTEXTS) if context and context >= least],
        "licence": ["open" if arch.licence in OPEN else "own"],
    }
    if context is None:
        options["length"] = [one.name for one in CONTEXT.options]
    most = next((one.name for one in reversed(ATTENTION.options) if one.name in seen), "")
    return Entry(
        arch, found.parameters, found.active_parameters, found.weight_bytes, tuple(found.kept_at(TEXTS)[0]), found.state_bytes,
        context, most, {name: frozenset(given) for name, given in options.items()}, tuple(techniques(arch)),
    ).at(TEXT)  # fmt: skip


# ---- techniques ----


def techniques(arch: Architecture) -> list[Technique]:
    """What a model is made of, for "who brought what": the kinds of its parts with their forms and traits, its positions, its streams,
    multi-token prediction."""
    found: dict[str, str] = {}
    for part in map(arch.part, arch.parts):
        placed = [*positions(part)]
        theirs = {trait for position in placed for trait in position.traits()}
        words = [one.title for one in choices(part) if one.holds(part) and not (one.form and one.form.plain)]
        traits = (re.sub(r"[ \d.]+$", "", trait) for trait in part.traits() if trait not in theirs)  # "softcap 30" and "softcap 50" are one
        capital = (trait[0].upper() + trait[1:] for trait in traits)
        words += [CALLED.get(trait, trait) for trait in capital]
        words += ["Shared experts"] if isinstance(part, Experts) and part.shared else []
        found |= dict.fromkeys(words, part.role) | found
        found |= dict.fromkeys((position.title for position in placed), "embedding") | found
    found |= {} if isinstance(arch.residual, Residual) else {arch.residual.title: "norm"}
    found |= {"Multi-token prediction": "mtp"} if arch.mtp else {}
    return [Technique(*item) for item in found.items()]


def positions(value: Spec) -> Iterator[Any]:
    """The position encodings of a part and of those within it."""
    for _, inner in value:
        if isinstance(inner, Spec):
            yield from (inner,) if isinstance(inner, POSITIONS) else positions(inner)


# ---- filters ----

Chosen = Mapping[str, Collection[str]]  # by facet, the options of which a model has one


def matches(model: Entry, chosen: Chosen, but: str = "") -> bool:
    """Whether a model has one of the chosen options of each facet, leaving out the facet `but`."""
    return all(name == but or not wanted or not model.options[name].isdisjoint(wanted) for name, wanted in chosen.items())


def counts(models: Collection[Entry], chosen: Chosen, facet: Facet) -> Counter[str]:
    """How many models have each option of a facet, among those that the other facets let through."""
    return Counter(name for one in models if matches(one, chosen, facet.name) for name in one.options[facet.name])


# ---- figures ----


@dataclass(frozen=True)
class Figure:
    """A figure of models: its title, how to get and to show it, and whether a picture of it is better on a log scale.

    A search binds amounts to its `nouns`, or to `units` that stand alone: "3B active", "24 GB". It is `rough` if people round it.
    `least` and `most` are what one says for the model that has the least or the most of it.
    """

    title: str
    get: Callable[[Entry], float | None]
    show: Callable[[float], str]
    log: bool = True
    nouns: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    rough: bool = False
    endless: bool = False  # a model without it has no bound
    least: tuple[str, ...] = ()
    most: tuple[str, ...] = ()


FIGURES = {
    "parameters": Figure(
        "Parameters", lambda e: e.parameters, figure, rough=True, nouns=("parameters", "params", "total"), units=("m", "b", "t"),
        least=("smallest", "tiniest", "fewest parameters"), most=("largest", "biggest", "most parameters"),
    ),
    "active": Figure(
        "Active parameters", lambda e: e.active, figure, rough=True, nouns=("active", "activated", "active parameters", "active params"),
        least=("fewest active", "least active", "fewest active parameters"), most=("most active", "most active parameters"),
    ),
    "weights": Figure(
        "Weights as shipped", lambda e: e.weights, size, rough=True, nouns=("weights", "memory", "vram"), units=("mb", "gb", "tb"),
    ),
    "cache": Figure(
        "Cache per token", lambda e: e.cache, size, rough=True, units=("kb",),
        nouns=("cache", "kv cache", "cache per token", "cache a token"), least=("smallest cache", "least cache", "smallest kv cache"),
    ),
    "text": Figure("Memory of one text", lambda e: e.text, size, rough=True, least=("least memory",)),
    "context": Figure(
        "Context", lambda e: e.context, lambda n: tokens(round(n)), units=("k",), endless=True,
        nouns=("context", "context length", "context window", "tokens", "tokens context", "tokens of context", "token context"),
        most=("longest", "longest context", "longest text"),
    ),
    "depth": Figure("Layers", lambda e: e.arch.depth, lambda n: f"{n:,.0f}", nouns=("layers", "depth"), most=("deepest", "most layers")),
    "width": Figure("Width", lambda e: e.arch.d_model, lambda n: f"{n:,.0f}", nouns=("width", "d_model", "hidden size"), most=("widest",)),
    "vocabulary": Figure(
        "Vocabulary", lambda e: e.arch.vocab_size, lambda n: f"{n:,.0f}",
        nouns=("vocabulary", "vocab", "vocabulary size", "vocab size", "tokens of vocabulary"), most=("largest vocabulary",),
    ),
    "released": Figure(
        "Released", lambda e: e.day or None, lambda n: f"{date.fromordinal(round(n)):%b %Y}", log=False,
        least=("oldest", "earliest"), most=("newest", "latest", "most recent"),
    ),
}  # fmt: skip


def record(one: Entry) -> dict[str, Any]:
    """A model as a row of a file: names, figures and options. Bytes are those of one text of its `length`."""
    arch = one.arch
    said = {
        "name": arch.name,
        "title": arch.title,
        "organisation": arch.organisation,
        "released": arch.released and arch.released.isoformat(),
    }
    figures = {"parameters": one.parameters, "active_parameters": one.active, "weight_bytes": one.weights, "context": one.context}
    text = {
        f"cache_bytes_per_token_at_{one.length}": round(one.cache, 1),
        f"text_bytes_at_{one.length}": one.text,
        "fits": one.fits or None,
    }
    held = {name: sorted(one.options[name]) for name in ("kind", "attention", "position")}
    return said | {"licence": arch.licence} | figures | text | {"fits": one.fits or None} | held


def chosen(given: Iterable[str], known: Iterable[Facet]) -> dict[str, tuple[str, ...]]:
    """The filters that are written as "kind=moe" or "attention=sparse,recurrence"; Unsupported if one is not known."""
    by, found = {facet.name: facet for facet in known}, dict[str, tuple[str, ...]]()
    for text in given:
        name, _, options = text.partition("=")
        if name not in by:
            raise Unsupported(f"{name[:40]!r} is no filter; give one of {', '.join(by)}, such as kind=moe")
        found[name] = (*found.get(name, ()), *(by[name].option(option).name for option in options.split(",")))
    return found
