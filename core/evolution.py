"""From GPT-2 to DeepSeek-V3 and on to 2026, as a chain of single edits: each step is an architecture that builds and runs.

All steps stand on GPT-2's own skeleton (depth, width, vocabulary), so that one step differs from the one before it by its idea alone.
With a budget, the skeleton is as large as the budget asks for, and after each step the feed-forward network or the experts are made so
wide that a token uses as many parameters as before: what then differs is what the idea brings.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import groupby, pairwise
from typing import Any, NamedTuple

import networkx as nx

from .budget import scaled, with_active
from .changes import Change, changes
from .cost import Cost, cost, derived
from .diff import MOVED, SMALL, Moves, flops
from .edits import Place, every, first_dense, predicting, put, repeated, swapped, taken, variant, with_fields
from .facets import TEXT, attentions, positions, techniques
from .graph import graph
from .library import preset, presets
from .modern import FEW, habit
from .parts import Part
from .parts.experts import Experts
from .parts.latent import LatentAttention
from .parts.norm import RMSNorm
from .parts.position import Yarn
from .saying import few
from .spec import METADATA, Architecture, Unsupported, Workload
from .split import Edit, split
from .words import figure, percent, size, table, tokens

START, GOAL = "gpt2", "deepseek-v3"
REACHED = "fp8"  # the step at which the chain has all that DeepSeek-V3 has, at another size
LEAST, MOST = 3e8, 1e12  # active parameters of a budget; with fewer, the tables of tokens leave no room for layers
WIDTH = 256  # the stream is a multiple of this, so that heads form groups at any size
PLAIN = dict.fromkeys(METADATA) | {"name": START, "sources": (), "head_twice": False}  # what describes no published model


class Source(NamedTuple):
    """Who introduced an idea: a paper, or the first preset that has it where no paper says so."""

    paper: str = ""
    arxiv: str = ""
    model: str = ""  # a preset's name

    @property
    def title(self) -> str:
        return preset(self.model).title if self.model else self.paper

    @property
    def date(self) -> str:
        """Its year and month, 2021-04: a paper's number begins with them."""
        return f"{preset(self.model).released:%Y-%m}" if self.model else f"20{self.arxiv[:2]}-{self.arxiv[2:4]}"

    def to_dict(self) -> dict[str, str]:
        return {"title": self.title, "arxiv": self.arxiv, "model": self.model, "date": self.date}

    def __str__(self) -> str:
        return f"{self.title} ({f'arXiv:{self.arxiv}, ' * bool(self.arxiv)}{self.date})"


class Idea(NamedTuple):
    """One step: what it replaces, what it costs or risks, who introduced it, which architectures have it, and the edit."""

    name: str
    title: str
    replaces: str
    risk: str
    source: Source | None
    has: Callable[[Architecture], Any]
    change: Callable[[Architecture], Architecture]
    short: str = ""
    form: Source | None = None  # of the form that the step takes, where that is not the first one
    counted: str = "have it in some layer"  # what `has` asks of a model
    again: str = ""  # the step that it goes back to, which says who introduced it and who has it

    @property
    def label(self) -> str:
        """Its name where there is little room."""
        return self.short or self.title


class Sum(NamedTuple):
    """How a figure of `MOVED` is computed before and after a step: the rows that differ; empty for none."""

    figure: str
    before: str
    after: str


class Score(NamedTuple):
    """What a step is judged by. `each` is the bytes of caches and states for each token of the text."""

    parameters: int
    active: int
    each: float
    decode: int
    weights: int

    @classmethod
    def of(cls, found: Cost) -> "Score":
        each = found.kept_bytes / found.workload.context / found.workload.batch
        return cls(found.parameters, found.active_parameters, each, found.decode_flops, found.weight_bytes or 0)


@dataclass(frozen=True)
class Adoption:
    """The presets that have an idea, in order of release, and how many of a year's models have it: (those, all of the year)."""

    names: tuple[str, ...]
    years: Mapping[int, tuple[int, int]]

    def __str__(self) -> str:
        shares = (f"{year}: {percent(have / all_)} of {all_}" for year, (have, all_) in self.years.items())
        return f"{len(self.names)} of {len(presets())} presets; {', '.join(shares)}"


@dataclass(frozen=True)
class Step:
    """An idea, and the architecture before and after it."""

    idea: Idea
    before: Architecture
    after: Architecture
    workload: Workload

    @cached_property
    def edits(self) -> tuple[Edit, ...]:
        """What differs, in words. With a budget, that includes the width that keeps to it."""
        return tuple(edit for edit in split(self.before, self.after) if any(told.group != "description" for told in edit.told))

    @property
    def changes(self) -> tuple[Change, ...]:
        """The fields that differ."""
        return changes(self.before, self.after)

    @property
    def words(self) -> str:
        return few([edit.words for edit in self.edits])

    @property
    def costs(self) -> tuple[Cost, Cost]:
        """Before and after it."""
        return _priced(self.before, self.workload), _priced(self.after, self.workload)

    @property
    def moves(self) -> Moves:
        """The figures that it moves."""
        return Moves.between(*self.costs)

    @property
    def sums(self) -> tuple[Sum, ...]:
        """How the two figures that it moves most are computed, before and after it; figures that follow from others are left out."""
        before, after = self.costs
        own = {name: pair for name, pair in self.moves.items() if name not in ("active_parameters", "read_bytes") and all(pair)}
        if "parameters" in own and self.before.precision == self.after.precision:
            own.pop("weight_bytes", None)  # they follow from the parameters
        far = sorted(own, key=lambda name: -abs(math.log(own[name][1] / own[name][0])))  # type: ignore[operator]
        some = [name for name in far if abs(math.log(own[name][1] / own[name][0])) >= SMALL] or far  # type: ignore[operator]
        return tuple(Sum(name, *_sums(before, after, name)) for name in some[:2])

    @property
    def boxes(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The nodes of the graphs before and after it that differ, and those that its fields are about."""
        before, after = graph(self.before), graph(self.after)
        return _boxes(before, after, self.changes), _boxes(after, before, self.changes)

    @property
    def adoption(self) -> Adoption:
        return adoption(self.idea.name)

    def to_dict(self) -> dict[str, Any]:
        before, after = self.costs
        named = ("kv_bytes_per_token", *MOVED)
        taken_up, source = self.adoption, self.idea.source
        return {
            "name": self.idea.name,
            "title": self.idea.title,
            "replaces": self.idea.replaces,
            "risk": self.idea.risk,
            "source": source and source.to_dict(),
            "form": self.idea.form and self.idea.form.to_dict(),
            "edits": [edit.words for edit in self.edits],
            "changes": [{"path": one.path, "before": one.before, "after": one.after} for one in self.changes],
            "figures": {name: {"before": getattr(before, name), "after": getattr(after, name)} for name in named},
            "adoption": {
                "presets": list(taken_up.names),
                "years": {str(year): {"have": have, "models": all_} for year, (have, all_) in taken_up.years.items()},
            },
            "architecture": self.after.model_dump(mode="json", exclude_defaults=True),
        }


class Evolution(tuple[Step, ...]):
    """The steps in order: those up to the techniques of DeepSeek-V3, and those since."""

    @property
    def start(self) -> Architecture:
        return self[0].before

    @property
    def sentence(self) -> str:
        """How many edits there are, and what they do together."""
        first, last, reached = self.scores[0], self.scores[-1], self.index(self.reached) + 1
        workload, most = self[0].workload, self.start.context
        ends = f" (as if GPT-2's table of positions did not end at {most:,})" if most and most < workload.context else ""
        return (
            f"{reached} edits give GPT-2 all that DeepSeek-V3 has, and {len(self) - reached} more what came since. At "
            f"{tokens(workload.context)} tokens{ends}, the cache of a token goes from {size(first.each)} to {size(last.each)}, "
            f"a new token from {flops(first.decode)} to {flops(last.decode)}, and the parameters from {figure(first.parameters)} to "
            f"{figure(last.parameters)}, of which a token uses {figure(last.active)}."
        )

    @cached_property
    def scores(self) -> tuple[Score, ...]:
        """The score of GPT-2, and after each step."""
        return tuple(map(Score.of, (self[0].costs[0], *(one.costs[1] for one in self))))

    @property
    def reached(self) -> Step:
        """The step at which the chain has all that DeepSeek-V3 has; those after it came since."""
        return self.step(REACHED)

    def step(self, name: str) -> Step:
        """The step of this name or number, from 1; Unsupported if there is none."""
        if found := next((one for number, one in enumerate(self, 1) if name in (one.idea.name, str(number))), None):
            return found
        raise Unsupported(f"{name[:40]!r} is no step; give one of {', '.join(one.idea.name for one in self)}")

    def __str__(self) -> str:
        workload = self[0].workload
        each = f"cache of a token at {tokens(workload.context)}>"
        rows = [("GPT-2", *_score(self[0].costs[0]), "")]
        rows += [(one.idea.title, *_score(one.costs[1]), f"{len(one.adoption.names)} of {len(presets())}") for one in self]
        sources = ("; this form: ".join(map(str, filter(None, (one.idea.source, one.idea.form)))) for one in self)
        told = ((one.idea.title, one.idea.replaces, one.words, by) for one, by in zip(self, sources, strict=True))
        names = ("step", "parameters>", "active>", each, "decode>", "read>", "as shipped>", "presets>")
        return "\n\n".join((table(names, rows), table(("step", "what it replaces", "edit", "introduced by"), told)))

    def to_dict(self) -> dict[str, Any]:
        start = self.start.model_dump(mode="json", exclude_defaults=True)
        workload = self[0].workload.model_dump(mode="json")
        return {"workload": workload, "start": start, "goal": GOAL, "reached": REACHED, "steps": [one.to_dict() for one in self]}


@lru_cache(maxsize=32)
def evolution(budget: float | None = None, workload: Workload | None = None) -> Evolution:
    """The chain of steps at GPT-2's own size, or with as many active parameters as `budget` asks for at each step.

    Figures are those of one text of `facets.TEXT` tokens without a workload, whether or not a step was made for one as long.
    """
    chain = _chain(None if budget is None else _asked(budget))
    given = workload or Workload(context=TEXT)
    return Evolution(Step(idea, *pair, given) for idea, pair in zip(IDEAS, pairwise(chain), strict=True))


@lru_cache(maxsize=8)
def _chain(budget: int | None) -> tuple[Architecture, ...]:
    """GPT-2, and the architecture after each idea."""
    arch = preset(START) if budget is None else _fitted(_skeleton(budget), budget)
    found = [arch]
    for number, idea in enumerate(IDEAS, 1):
        arch = _fitted(idea.change(arch), budget)
        said = {"name": f"{START}-{idea.name.replace('_', '-')}", "title": f"GPT-2, step {number}: {idea.title}", "note": idea.replaces}
        found.append(arch.model_copy(update=PLAIN | said))
    return tuple(found)


def _fitted(arch: Architecture, budget: int | None) -> Architecture:
    return arch if budget is None else with_active(arch, budget).architecture


def _asked(budget: float) -> int:
    if not LEAST <= budget <= MOST:
        raise Unsupported(f"budget: give {LEAST:,.0f} to {MOST:,.0f} active parameters, such as 1e9 (not {budget:,.0f})")
    return round(budget)


def _skeleton(budget: int) -> Architecture:
    """GPT-2 with about as many parameters, in its proportions, with heads that form groups."""
    wide = scaled(preset(START), parameters=budget).architecture
    d_model = max(WIDTH, round(wide.d_model / WIDTH) * WIDTH)
    heads = d_model // wide.part("attention").head_dim  # type: ignore[attr-defined]
    sizes = {"d_model": d_model, "parts.attention.heads": heads, "parts.dense.d_ff": 4 * d_model}
    arch = with_fields(wide, sizes | {"parts.attention.kv_heads": heads})
    two, one = (cost(repeated(arch, Place(0), depth)).parameters for depth in (2, 1))
    deep = repeated(arch, Place(0), max(2 * RATIO, round(1 + (budget - one) / (two - one))))
    return deep.model_copy(update=PLAIN | {"title": f"GPT-2 with {figure(budget)} parameters"})


@lru_cache(maxsize=128)  # the steps of three chains
def _priced(arch: Architecture, workload: Workload) -> Cost:
    return cost(arch, workload)


def _score(found: Cost) -> tuple[str, ...]:
    own = Score.of(found)
    return (
        figure(own.parameters), figure(own.active), size(own.each), flops(found.decode_flops), size(found.read_bytes),
        size(found.weight_bytes),
    )  # fmt: skip


def _sums(before: Cost, after: Cost, name: str) -> Iterator[str]:
    """The rows that differ in a figure, as sums: the largest three of each side."""
    names = [name]
    if name == "kept_bytes":  # of a token, where each leaves as much
        even = all(found.kv_bytes == found.kv_bytes_per_token * found.workload.context for found in (before, after))
        names = ["kv_bytes_per_token" if even else "kv_bytes", "state_bytes"]
    unit = {"parameters": "", "decode_flops": " FLOPs"}.get(name, " bytes")
    told = [_terms(before, names), _terms(after, names)]
    for own, other in (told, told[::-1]):
        left = [(count - (other[key][0] if key in other else 0), each, words) for key, (count, each, words) in own.items()]
        rows = sorted((count * each, _shorter(derived(words, count))) for count, each, words in left if count > 0)[::-1]
        rest = f" + {len(rows) - 3} more" if len(rows) > 3 else ""
        yield " + ".join(words for _, words in rows[:3]) + f"{rest} = {sum(value for value, _ in rows):,}{unit}" if rows else ""


def _terms(found: Cost, names: Sequence[str]) -> dict[tuple[str, str], tuple[int, int, str]]:
    """The rows of some figures by their component and their sum without names: in how many layers, the value in one, and the sum. It has
    names if they are the same in all these layers."""
    terms: dict[tuple[str, str], tuple[int, int, str]] = {}
    for row in found.rows:
        for name in names:
            if value := getattr(row, name):
                words = row.derivation[name].removeprefix("{layers}")
                times = row.count if words != row.derivation[name] else 1
                key = row.component, _unnamed(words)
                count, each, first = terms.get(key, (0, value // times, "{layers}" + words))
                terms[key] = count + times, each, first if first.endswith(words) else "{layers}" + _unnamed(words)
    return terms


def _unnamed(words: str) -> str:
    """A sum without the names of its terms, so that a part which only has another name is the same."""
    return re.sub(r"[a-z_][\w.]* (?=\d)", "", words)


_NUMBERED = re.compile(r"(?P<open>(?:.*\()?)(?P<name>[a-z_][\w.]*)\.\d+ (?P<rows>[\d,]+)(?P<rest>(?: × [\d,]+)+)\)?")


def _numbered(term: str) -> tuple[str, str]:
    """The name of a term without its number, and its sizes after the first; the term itself where it has no number."""
    found = _NUMBERED.fullmatch(term)
    return (found["name"], found["rest"]) if found else ("", term)


def _shorter(words: str) -> str:
    """A sum of at most twelve terms; tensors that differ by their number and first size are one term, the others are counted."""
    terms: list[str] = []
    for (name, rest), some in groupby(words.split(" + "), _numbered):
        same = list(some)
        if name and len(same) > 1:
            first, *_ = pieces = [*map(_NUMBERED.fullmatch, same)]
            rows = sum(int(piece["rows"].replace(",", "")) for piece in pieces if piece)
            same = [f"{first['open'] if first else ''}{name} {rows:,}{rest}{')' * same[-1].endswith(')')}"]
        terms += same
    words = " + ".join(terms)
    return words if len(terms) <= 12 else f"{' + '.join(terms[:10])} + {len(terms) - 10} more" + ")" * words.endswith(")")


def _boxes(own: nx.DiGraph, other: nx.DiGraph, told: Sequence[Change]) -> tuple[str, ...]:
    """The nodes of a graph that another one lacks, or that the fields which differ are about."""

    def known(node: str, data: Mapping[str, Any]) -> tuple:
        name = re.sub(r"^layers\.\d+\.(\w+?(?=(_post)?_(norm|add|read)$))?", "", node)  # what stands around a part has no name of its own
        return name, data["label"], str(data.get("shape_out")), data.get("parameters")

    others = {known(*item) for item in other.nodes(data=True)}
    aside = {"model", "block", "input", "output"}
    both = "mtp" in own and "mtp" in other  # where further tokens are predicted, the parts are those of the layers
    drawn = {node: data for node, data in own.nodes(data=True) if data["kind"] not in aside and not (both and node.startswith("mtp"))}
    found = [node for node, data in drawn.items() if known(node, data) not in others]
    paths = [change.path.split(".") for change in told]
    parts = {root[1]: root[2:3] for root in paths if root[0] == "parts" and len(root) > 1}
    for node, data in drawn.items():
        if (part := data.get("part")) in parts and "role" in data:
            found += [node, *(f"{node}.{inner}" for inner in parts[part])]
        if ["position", "scaling"] in [path[:2] for path in paths] and data["kind"] == "rope":
            found.append(node)
        of_parts = {path[1] for path in paths if path[0] == "precision" and len(path) > 1}
        if "role" in data and data.get("part") in of_parts:
            found.append(node)
    return tuple(dict.fromkeys(node for node in found if node in own))


# ---- who has taken it up ----


@lru_cache(maxsize=64)
def adoption(name: str) -> Adoption:
    """Which presets have the idea of this name. A year with fewer than `FEW` models is left out, and so are models without a date."""
    idea = next((one for one in IDEAS if one.name == name), None)
    if idea is None:
        raise Unsupported(f"{name[:40]!r} is no step; give one of {', '.join(one.name for one in IDEAS)}")
    archs = [preset(of) for of in presets()]
    having = [arch for arch in archs if idea.has(arch)]
    each, all_ = (Counter(arch.released.year for arch in some if arch.released) for some in (having, archs))
    return Adoption(tuple(arch.name for arch in having), {year: (each[year], all_[year]) for year in sorted(all_) if all_[year] >= FEW})


def _technique(title: str) -> Callable[[Architecture], bool]:
    return lambda arch: any(one.title == title for one in techniques(arch))


def _any(test: Callable[[Any], Any]) -> Callable[[Architecture], bool]:
    return lambda arch: any(test(arch.part(name)) for name in arch.parts)


def _experts(test: Callable[[Experts], Any]) -> Callable[[Architecture], bool]:
    return _any(lambda part: isinstance(part, Experts) and test(part))


def _stored(pattern: str) -> Callable[[Architecture], bool]:
    return lambda arch: not arch.unsized and any(re.match(pattern, fmt) for fmt in arch.precision.values())


def _stretched(part: Part) -> bool:
    return any(isinstance(getattr(position, "scaling", None), Yarn) for position in positions(part))


def _dense_first(arch: Architecture) -> bool:
    """Whether the first layers have a feed-forward network, and all later ones experts."""
    roles = [{arch.parts[name].role for step in block for name in step.parts} for block in arch.sequence]
    routed = ["experts" in found for found in roles if found & {"experts", "feed_forward"}]
    return any(routed) and not routed[0] and all(routed[routed.index(True) :])


def _mostly_windows(arch: Architecture) -> bool:
    """Whether more than two in three layers with attention have a window, and some see everything."""
    seen = [arch.part(name) for block in arch.sequence for step in block for name in step.parts if arch.parts[name].role == "attention"]
    windows = sum("sliding_window" in attentions(part) for part in seen)
    return 2 * len(seen) < 3 * windows < 3 * len(seen)


def _sandwich(arch: Architecture) -> bool:
    steps = (step.residual for block in arch.distinct() for step in block if step.residual)
    return any(residual.norm == "sandwich" for residual in (arch.residual, *steps))


# ---- the edits ----

RATIO = 6  # layers of which one sees everything
WINDOW, NARROW = 4_096, 1_024  # tokens of the first windows, and of those that most layers have then
EXPERTS, CHOSEN, PIECES = 16, 2, 4  # the first experts, those of one token, and the pieces that each is split in
GROUPS, BEST = 8, 4  # of experts, and those that a token chooses from
TOP = 2_048  # tokens that an indexer picks
STREAMS = 4


def _fields(fields: Mapping[str, Any]) -> Callable[[Architecture], Architecture]:
    return lambda arch: with_fields(arch, fields)


def _of(arch: Architecture, name: str) -> Any:
    """A part, whose fields depend on its kind."""
    return arch.parts[name]


def _latent(arch: Architecture) -> Architecture:
    """In DeepSeek-V3's proportions: a latent of four heads' width, and half a head of rotary channels."""
    dim = _of(arch, "attention").head_dim
    made = swapped(arch, "attention", "latent_attention")
    sizes = {"kv_rank": 4 * dim, "q_rank": arch.d_model // 4, "nope_dim": dim, "rope_dim": dim // 2, "v_dim": dim}
    return with_fields(made, {f"parts.attention.{field}": value for field, value in sizes.items()})


def _mixture(arch: Architecture) -> Architecture:
    """The experts of a token are together as wide as the network before."""
    made = swapped(arch, "dense", "experts")
    sizes = {"count": EXPERTS, "top_k": CHOSEN, "d_ff": _of(arch, "dense").d_ff // CHOSEN}
    return with_fields(made, {f"parts.moe.{field}": value for field, value in sizes.items()})


def _split_in(pieces: int, more: int) -> Callable[[Architecture], Architecture]:
    """Each expert in so many pieces, and `more` times as many of them."""

    def change(arch: Architecture) -> Architecture:
        moe = _of(arch, "moe")
        sizes = {"count": moe.count * pieces * more, "top_k": moe.top_k * pieces, "d_ff": moe.d_ff // pieces}
        return with_fields(arch, {f"parts.moe.{field}": value for field, value in sizes.items()})

    return change


def _shared(arch: Architecture) -> Architecture:
    """One of a token's experts becomes the one that all tokens share."""
    moe = _of(arch, "moe")
    return with_fields(arch, {"parts.moe.top_k": moe.top_k - 1, "parts.moe.shared": {"d_ff": moe.d_ff}})


def _indexed(arch: Architecture) -> Architecture:
    attention = _of(arch, "attention")
    made = swapped(arch, "attention", "sparse_latent_attention")
    indexer = {"heads": attention.heads // 2, "dim": attention.nope_dim, "top_k": TOP}
    return with_fields(made, {"parts.attention.indexer": indexer})


def _grouped(arch: Architecture) -> Architecture:
    made = swapped(arch, "attention", "grouped_query")
    return with_fields(made, {"parts.attention.kv_heads": _of(made, "attention").heads // 4})


def _windows(arch: Architecture) -> Architecture:
    return variant(arch, "attention", "local", {"sight": {"window": WINDOW}}, range(0, arch.depth, 2))


def _ratio(arch: Architecture) -> Architecture:
    return with_fields(every(arch, RATIO, "attention", "local"), {"parts.local.sight.window": NARROW})


def _hybrid(arch: Architecture) -> Architecture:
    attention = _of(arch, "attention")
    heads, dim = attention.heads, attention.head_dim
    delta = {"kind": "gated_delta_net", "heads": heads, "key_heads": heads // 2, "key_dim": dim, "value_dim": dim}
    where = [layer for layer, block in enumerate(arch.sequence) if any("local" in step.parts for step in block)]
    return put(arch, "delta", where, "instead", "local", new={"delta": delta})


def _per_layer(arch: Architecture) -> Architecture:
    """All layers' tables together are as large as the table of the first layer."""
    own = {"kind": "per_layer_embedding", "width": max(8, round(arch.d_model / arch.depth / 8) * 8), "rows": arch.vocab_size}
    return put(arch, "layer_embedding", range(arch.depth), new={"layer_embedding": own})


def _ngrams(arch: Architecture) -> Architecture:
    return with_fields(taken(arch, "layer_embedding", range(arch.depth)), {"embedding.ngrams": {"rows": 4 * arch.vocab_size + 1}})


def _everywhere(fields: Mapping[str, Any]) -> Callable[[Architecture], Architecture]:
    """Fields of both attentions."""
    return _fields({f"parts.{name}.{field}": value for name in ("attention", "local") for field, value in fields.items()})


_V2, _V3 = Source("DeepSeek-V2", "2405.04434"), Source("DeepSeek-V3", "2412.19437")
_FINE, _OSS = Source("DeepSeekMoE", "2401.06066"), Source("gpt-oss", "2508.10925")
_EIGHT = ("attention", "dense", "moe")

IDEAS: tuple[Idea, ...] = (
    Idea(
        "rope", "Rotary positions", "Queries and keys are rotated by their position; the table of learned positions goes.",
        "Past the trained length the angles are new, so longer texts need a stretched rotation.",
        Source("RoFormer", "2104.09864"), habit("rotary").holds, _fields({"position": {"kind": "rope", "interleaved": True}}),
        short="RoPE",
    ),
    Idea(
        "rms_norm", "RMSNorm", "Each vector is divided by its root mean square; subtracting the mean and the bias go.",
        "The mean of the stream is free to drift.",
        Source("Root Mean Square Layer Normalization", "1910.07467"), lambda arch: isinstance(arch.norm, RMSNorm),
        _fields({"norm": {"kind": "rms"}}),
    ),
    Idea(
        "no_biases", "No biases", "Projections are matrices alone; their biases go.",
        "A few models keep those of queries, keys and values.",
        Source("PaLM", "2204.02311"), lambda arch: not _technique("Biases")(arch),
        _fields({"parts.attention.bias": False, "parts.dense.bias": False}),
    ),
    Idea(
        "swiglu", "SwiGLU", "A gate with a swish replaces GELU; three narrower matrices replace two.",
        "One more product for each hidden channel.",
        Source("GLU variants improve transformer", "2002.05202"), habit("swiglu").holds, habit("swiglu").edit,
    ),
    Idea(
        "untied", "A separate output head", "A matrix of its own gives the logits, in place of the embedding table.",
        "A small model pays for it: the head is as large as the table.",
        None, lambda arch: not arch.tied_embeddings, _fields({"tied_embeddings": False}),
        short="Own head",
    ),
    Idea(
        "bf16", "BF16", "Two bytes with the range of four replace four bytes for each weight.",
        "Seven bits of fraction: sums are still kept in four bytes.",
        Source("A study of BFLOAT16 for deep learning training", "1905.12322"), habit("bf16").holds, habit("bf16").edit,
        counted="ship their weights in at most two bytes, with the range of four",
    ),
    Idea(
        "grouped", "Grouped-query attention", "Several query heads share one key and value head, in place of one each.",
        "Fewer keys to tell tokens apart with.",
        Source("GQA", "2305.13245"), _technique("Grouped-query"), habit("shared_keys").edit,
        short="GQA",
    ),
    Idea(
        "yarn", "A longer context by YaRN", "Slow rotations are stretched for longer texts; before, they were those of training.",
        "The cache grows with the text, and so does the time for a token.",
        Source("YaRN", "2309.00071"), _any(_stretched),
        _fields({
            "position.scaling": {"kind": "yarn", "factor": 40, "original_context": 4_096, "mscale": 1, "mscale_all_dim": 1},
            "context": 163_840,
        }),
        short="YaRN",
    ),
    Idea(
        "latent", "Multi-head latent attention", "One narrow latent is kept for each token, in place of keys and values.",
        "Keys are rebuilt from the latent, or queries are taken into its space: more products for each token.",
        _V2, _any(lambda part: isinstance(part, LatentAttention)), _latent,
        short="MLA",
    ),
    Idea(
        "experts", "Mixture of experts", f"A router sends each token to {CHOSEN} of {EXPERTS} networks, in place of one network for all.",
        "All experts must be in memory, and the router must keep them equally busy.",
        Source("The sparsely-gated mixture-of-experts layer", "1701.06538"), _any(lambda part: part.role == "experts"), _mixture,
        short="Experts",
    ),
    Idea(
        "fine_experts", "Small and many experts", f"Each expert is split in {PIECES}, and a token takes {PIECES} times as many.",
        "Smaller matrices, and more messages between machines.",
        _FINE, habit("fine_experts").holds, _split_in(4, 1),
        short="Small experts",
    ),
    Idea(
        "shared_expert", "A shared expert", "One expert that every token passes replaces one of those that the router chooses.",
        "Less of the model is chosen by the token.",
        Source("DeepSpeed-MoE", "2201.05596"), _technique("Shared experts"), _shared,
        short="Shared expert", form=_FINE,
    ),
    Idea(
        "dense_first", "First layers dense", "The first layers have one network for all tokens again, in place of experts.",
        "These layers hold fewer parameters at the same cost.",
        _FINE, _dense_first, lambda arch: first_dense(arch, max(1, round(arch.depth * 3 / 61))),
        short="Dense first",
    ),
    Idea(
        "sigmoid", "Sigmoid scores", "Each expert is scored alone by a sigmoid, in place of a softmax over all.",
        "Scores do not sum to one, so the chosen ones are divided by their sum.",
        _V3, _experts(lambda part: part.router.score == "sigmoid"),
        _fields({"parts.moe.router": {"score": "sigmoid", "normalise": True, "scale": 2.5}}),
        short="Sigmoid",
    ),
    Idea(
        "groups", "Groups of experts", f"A token chooses experts from its best {BEST} of {GROUPS} groups, in place of all.",
        "The best experts may be in a group that is left out.",
        _V2, _experts(lambda part: part.router.groups > 1),
        _fields({"parts.moe.router.groups": GROUPS, "parts.moe.router.top_groups": BEST, "parts.moe.router.group_score": "top2"}),
        short="Groups",
    ),
    Idea(
        "balance", "Balancing by a bias", "A bias on the choice keeps experts equally busy, in place of a second loss.",
        "A rule outside the gradient moves the bias, at a speed of its own; quantile balancing needs no speed.",
        Source("Auxiliary-loss-free load balancing", "2408.15664"), habit("balance").holds, habit("balance").edit,
        short="Bias balance",
    ),
    Idea(
        "ahead", "Multi-token prediction", "Training also asks for the token after the next; before, it asked for the next alone.",
        "One more block to train and to ship; the main model runs without it.",
        Source("Better and faster large language models via multi-token prediction", "2404.19737"), _technique("Multi-token prediction"),
        lambda arch: predicting(arch, 1),
        short="MTP",
    ),
    Idea(
        "fp8", "FP8 as shipped", "One byte for a weight, with a scale for each block of 128 × 128, replaces two bytes.",
        "Training has to keep the range of each block in bounds.",
        _V3, _stored("fp8"),
        lambda arch: with_fields(arch, {"precision": dict.fromkeys(_EIGHT, "fp8_block") | {
            "default": "bf16", "moe.router": "bf16", "moe.router.selection_bias": "fp32",
        }}),
        short="FP8", counted="ship weights in FP8",
    ),
    Idea(
        "sparse", "Sparse attention with an indexer", f"A small indexer picks {TOP:,} tokens to attend to, in place of all.",
        "The indexer still scores every token, and keeps a key for each.",
        Source("DeepSeek-V3.2", "2512.02556"), _any(lambda part: getattr(part, "indexer", None)), _indexed,
        short="Indexer", counted="have an indexer in some layer, of tokens, of blocks or of compressed entries",
    ),
    Idea(
        "grouped_again", "Grouped keys again", "Keys and values of a few heads replace the latent and its indexer.",
        "More bytes for each token, until windows bound them.",
        None, _technique("Grouped-query"), _grouped,
        short="GQA again", again="grouped",
    ),
    Idea(
        "qk_norm", "QK norm", "Queries and keys are normalised in each head; before, nothing bounded their products.",
        "A key has to be rebuilt to be normalised, so latent attention does without it.",
        Source("Query-key normalization for transformers", "2010.04245"), habit("qk_norm").holds, habit("qk_norm").edit,
    ),
    Idea(
        "windows", "Sliding windows", f"Every other layer sees the last {WINDOW:,} tokens, in place of all.",
        "What is further back reaches these layers only through the others.",
        Source("Longformer", "2004.05150"), _technique("Sliding window"), _windows,
        short="Windows", form=Source("Gemma 2", "2408.00118"),
    ),
    Idea(
        "ratio", "Mostly windows", f"{RATIO - 1} layers with a window of {NARROW:,} come before each that sees all,"
        f" in place of one of {WINDOW:,}.",
        "Few layers can look a fact up from far back.",
        Source(model="command-r7b"), _mostly_windows, _ratio,
        form=Source("Gemma 3", "2503.19786"),
    ),
    Idea(
        "sinks", "Attention sinks", "A learned logit takes the weight that a head has no use for; before, the first token took it.",
        "Kernels for attention need to know of it.",
        Source("Efficient streaming language models with attention sinks", "2309.17453"), _technique("Attention sinks"),
        _everywhere({"scores": {"sinks": True}}),
        short="Sinks", form=_OSS,
    ),
    Idea(
        "gate", "Gated attention", "A gate on the output lets a head say nothing, in place of the sink.",
        "One more projection, as wide as the queries.",
        Source("Gated attention for large language models", "2505.06708"),
        _any(lambda part: part.role == "attention" and "gate" in part.traits()), _everywhere({"scores": {}, "gate": {}}),
        short="Gate",
    ),
    Idea(
        "sandwich", "Norms on both sides", "A norm before and one after each part replace the one before it.",
        "Twice as many norms to run.",
        Source("CogView", "2105.13290"), _sandwich, _fields({"residual.norm": "sandwich"}),
        short="Sandwich",
    ),
    Idea(
        "hybrid", "Hybrid layers", "A gated delta net with a state of fixed size replaces attention in the layers with windows.",
        "A state forgets: exact recall is left to the layers with attention.",
        Source("Hungry hungry hippos", "2212.14052"), habit("hybrid").holds, _hybrid,
        short="Hybrid", form=Source("Gated delta networks", "2412.06464"),
    ),
    Idea(
        "more_experts", "More and smaller experts", f"{8 * EXPERTS * PIECES} experts of half the width replace {EXPERTS * PIECES}.",
        "More memory for the same work.",
        Source("Scaling laws for fine-grained mixture of experts", "2402.07871"), _experts(lambda part: part.count > 256), _split_in(2, 4),
        short="More experts", form=Source("Kimi K2", "2507.20534"),
    ),
    Idea(
        "latent_experts", "Experts in a latent", "Experts read a projection to a quarter of the stream, in place of all of it.",
        "All experts of a layer see the same narrow view.",
        Source("LatentMoE", "2601.18089"), _experts(lambda part: part.latent),
        lambda arch: with_fields(arch, {"parts.moe.latent": arch.d_model // 4}),
        short="Latent experts",
    ),
    Idea(
        "per_layer", "Per-layer embeddings", "Each layer looks up a vector of its own for the token; before, only the first layer did.",
        "Large tables, of which a token reads one row for each layer.",
        Source(model="gemma-3n-e2b"), _technique("Per-layer embedding"), _per_layer,
        short="Per layer",
    ),
    Idea(
        "ngrams", "N-gram tables", "Tables of the last two to four tokens replace the tables of single tokens in each layer.",
        "Different n-grams share a row by chance, and the tables take memory that no product uses.",
        Source("Over-Tokenized Transformer", "2501.16975"),
        lambda arch: arch.embedding.ngrams or _technique("N-grams in the streams")(arch), _ngrams,
        short="N-grams", form=Source("LongCat-Flash-Lite", "2601.21204"),
    ),
    Idea(
        "streams", "Hyper-connections", f"{STREAMS} residual streams that are mixed at each part replace one.",
        f"Between parts, activations are {STREAMS} times as wide.",
        Source("Hyper-connections", "2409.19606"), lambda arch: "hyper-connections" in arch.residual.title.lower(),
        lambda arch: with_fields(arch, {"residual": {"kind": "manifold_hyper", "streams": STREAMS, "norm": arch.residual.norm}}),
        short="Streams", form=Source("mHC: manifold-constrained hyper-connections", "2512.24880"),
    ),
    Idea(
        "mxfp4", "MXFP4 as shipped", "A weight of an expert takes four bits, with a scale for each block of 32, in place of a byte.",
        "Sixteen values for a weight: training has to know of it.",
        _OSS, _stored("mxfp4"), habit("four_bits").edit,
        short="MXFP4", counted="ship weights in MXFP4; the checklist counts every format of at most four bits",
    ),
)  # fmt: skip
