"""What the field does by now: the habits of 2025, and those that came by 2026, each judged on one architecture by its own numbers.

What an implementation must get right is another question: `core.checklist`.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, ClassVar

from . import kinds
from .cost import Cost, cost
from .diff import Moves
from .edits import every, nth, put, swapped, unused, uses, variant, with_fields
from .facets import SIZES, TEXT, attentions, positions
from .library import preset, presets
from .parts import Part
from .parts.experts import Experts
from .parts.feedforward import GATED, NAMES, FeedForward
from .parts.position import Rope
from .precision import FORMATS
from .roles import MIXERS
from .saying import few, joined
from .spec import Architecture, Unsupported, Workload, edited
from .split import split
from .words import figure, percent, size, table, tokens

PAYS = SIZES[2]  # parameters below which one machine holds and reads them all with ease
MANY, CHOSEN = 64, 8  # experts, and those of one token in the edit that is offered
FEW = 5  # models of a year below which nothing is said about it
ONE_IN = 4  # layers of which one sees everything, in the edits that are offered
ANSWERS = {True: "yes", False: "no", None: "does not apply"}


class Habit:
    """Something that most new models do. Each method is of one architecture."""

    name: ClassVar[str]
    title: ClassVar[str]
    year: ClassVar[int]  # of the list that it belongs to
    line: ClassVar[str]  # what it is for
    short: ClassVar[str] = ""

    @property
    def label(self) -> str:
        """Its name where there is little room."""
        return self.short or self.title

    def holds(self, arch: Architecture) -> bool | None:
        """Whether the architecture does it; None if the question does not apply to it."""
        raise NotImplementedError

    def reason(self, arch: Architecture, found: Cost) -> str:
        """The numbers behind the answer, in one sentence."""
        raise NotImplementedError

    def edit(self, arch: Architecture) -> Architecture:
        """The architecture changed so that it holds; Unsupported if this is not possible."""
        raise NotImplementedError

    def helps(self, before: Cost, after: Cost) -> bool:
        """Whether an edit serves what the habit is for."""
        return True


@dataclass(frozen=True)
class Offer:
    """An edit that makes a habit hold: in words, its result, and the figures that it moves."""

    words: str
    architecture: Architecture
    moves: Moves


@dataclass(frozen=True)
class Finding:
    """A habit, judged on one architecture at a workload."""

    habit: Habit
    cost: Cost

    @property
    def arch(self) -> Architecture:
        return self.cost.architecture

    @cached_property
    def holds(self) -> bool | None:
        return self.habit.holds(self.arch)

    @cached_property
    def reason(self) -> str:
        return self.habit.reason(self.arch, self.cost)

    @property
    def judged(self) -> Mapping[str, bool]:
        """The answer of every preset that the question applies to, in order of release."""
        return {name: answer for name, answer in standing()[self.habit.name].items() if answer is not None}

    @property
    def otherwise(self) -> tuple[str, ...]:
        """The presets with another answer, in order of release; those that do it where the question does not apply here."""
        return tuple(name for name, answer in self.judged.items() if answer is not bool(self.holds))

    @cached_property
    def why(self) -> str:
        """The latest of these presets, and the numbers behind its answer; empty without one."""
        if not self.otherwise:
            return ""
        latest = preset(self.otherwise[-1])
        return f"{latest.title}: {self.habit.reason(latest, cost(latest, self.cost.workload))}"

    @cached_property
    def offer(self) -> Offer | None:
        """The edit that would satisfy it, where it does not hold; None if no single edit does, or if it would not help."""
        if self.holds is not False:
            return None
        try:
            made = self.habit.edit(self.arch)
        except Unsupported:
            return None
        if not self.habit.holds(made):
            return None
        found = cost(made, self.cost.workload)
        if not self.habit.helps(self.cost, found):
            return None
        return Offer(few([edit.words for edit in split(self.arch, made)]), made, Moves.between(self.cost, found))

    def to_dict(self) -> dict[str, Any]:
        offer = self.offer
        return {
            "name": self.habit.name,
            "title": self.habit.title,
            "year": self.habit.year,
            "line": self.habit.line,
            "holds": self.holds,
            "reason": self.reason,
            "presets": len(self.judged),
            "presets_that_hold": sum(self.judged.values()),
            "otherwise": list(self.otherwise),
            "why": self.why,
            "edit": offer
            and {
                "words": offer.words,
                "figures": {name: {"before": before, "after": after} for name, (before, after) in offer.moves.items()},
                "architecture": offer.architecture.model_dump(mode="json", exclude_defaults=True),
            },
        }


class Modern(tuple[Finding, ...]):
    """The findings for one architecture, the habits of 2025 first."""

    @property
    def sentence(self) -> str:
        """How many of the habits that apply it has."""
        asked = [one for one in self if one.holds is not None]
        title = self[0].arch.title
        return f"{title} does {sum(map(bool, (one.holds for one in asked)))} of the {len(asked)} things that apply to it."

    def __str__(self) -> str:
        workload = self[0].cost.workload
        rows = ((str(one.habit.year), one.habit.title, ANSWERS[one.holds], one.reason) for one in self)
        lines = [self.sentence, table(("list", "habit", "", "in its own numbers"), rows)]
        if offers := [(one.habit.title, one.offer) for one in self if one.offer]:
            lines.append(f"What would change it, with the figures of one text of {tokens(workload.context)} tokens:")
            lines.append(table(("habit", "edit", "effect"), ((title, offer.words, str(offer.moves)) for title, offer in offers)))
        shares = ((one.habit.title, f"{sum(one.judged.values())} of {len(one.judged)}", one.why) for one in self)
        lines.append(table(("habit", "presets that do it>", "the latest that answers otherwise"), shares))
        return "\n\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        arch, workload = self[0].arch, self[0].cost.workload
        said = {"name": arch.name, "title": arch.title, "workload": workload.model_dump(mode="json"), "sentence": self.sentence}
        return said | {"findings": [one.to_dict() for one in self]}


def modern(arch: Architecture, workload: Workload | None = None) -> Modern:
    """Which of the field's habits an architecture has. Figures are those of one text of `facets.TEXT` tokens without a workload."""
    found = cost(arch, workload or Workload(context=TEXT))
    return Modern(Finding(habit, found) for habit in HABITS)


@lru_cache(maxsize=1)
def standing() -> dict[str, dict[str, bool | None]]:
    """The answer of every preset to every habit, in order of release."""
    archs = [preset(name) for name in presets()]
    return {habit.name: {arch.name: habit.holds(arch) for arch in archs} for habit in HABITS}


@lru_cache(maxsize=1)
def by_year() -> dict[str, dict[int, tuple[int, int]]]:
    """For every habit, how many of a year's presets have it, and how many it applies to; years with fewer than `FEW` are left out."""
    released = {name: day.year for name in presets() if (day := preset(name).released)}
    found: dict[str, dict[int, tuple[int, int]]] = {}
    for habit, answers in standing().items():
        years: dict[int, list[bool]] = {}
        for name, answer in answers.items():
            if answer is not None and name in released:
                years.setdefault(released[name], []).append(answer)
        found[habit] = {year: (sum(own), len(own)) for year, own in sorted(years.items()) if len(own) >= FEW}
    return found


# ---- what the habits ask about ----


def _used(arch: Architecture, *roles: str) -> dict[str, Part]:
    """The parts with these roles that layers have."""
    return {name: arch.part(name) for name, count in uses(arch).items() if count and arch.parts[name].role in roles}


def _layers(arch: Architecture, test: Callable[[Part], Any], *roles: str) -> int:
    """How many layers have a part with one of these roles that passes the test."""
    names = {name for name, part in _used(arch, *roles).items() if test(part)}
    return sum(count for block, count in arch.distinct().items() if any(names.intersection(step.parts) for step in block))


def _any(part: Part) -> bool:
    return True


def _without(arch: Architecture) -> str:
    """Why a question about attention does not apply."""
    return f"none of its {arch.depth:,} layers has softmax attention"


def _text(arch: Architecture) -> int:
    """Tokens of its longest text; of the long text of comparisons if nothing bounds it."""
    return arch.meant_for or TEXT


def _kept(arch: Architecture, found: Cost) -> str:
    """18.1 GB of caches and states at 128K tokens."""
    (kept,), _ = found.kept_at([_text(arch)])
    return f"{size(kept)} of caches and states at {tokens(_text(arch))} tokens"


def _bits(found: Cost) -> str:
    """Bits of a weight on average."""
    weights = found.parameters + found.mtp_parameters
    return f"{size(found.weight_bytes)} for {figure(weights)} parameters, {8 * (found.weight_bytes or 0) / weights:.2g} bits each"


# ---- 2025 ----


class Rotary(Habit):
    name, title, year = "rotary", "Rotary positions", 2025
    short = "Rotary"
    line = "No table bounds the text, and scores depend on distance."

    def holds(self, arch: Architecture) -> bool | None:
        return bool(_layers(arch, self._turned, "attention")) if _used(arch, "attention") else None

    def reason(self, arch: Architecture, found: Cost) -> str:
        if not (all_ := _layers(arch, _any, "attention")):
            return _without(arch)
        if turned := _layers(arch, self._turned, "attention"):
            return f"{turned:,} of {all_:,} attention layers rotate queries and keys; made for {tokens(arch.context)} tokens"
        parts = _used(arch, "attention").values()
        own = {position.title for part in parts for position in positions(part)} or {arch.position.title}
        which = f"{joined(sorted({part.noun for part in parts}))}; positions: {joined(sorted(own))}"
        return f"{all_:,} attention layers without rotation ({which}); made for {tokens(arch.context)} tokens"

    def edit(self, arch: Architecture) -> Architecture:
        own = {f"parts.{name}.position": None for name, part in arch.parts.items() if getattr(part, "position", None)}
        return with_fields(arch, own | {"position": {"kind": "rope"}})

    def _turned(self, part: Part) -> bool:
        return any(isinstance(position, Rope) for position in positions(part))


class SharedKeys(Habit):
    name, title, year = "shared_keys", "Grouped or latent keys", 2025
    short = "Shared keys"
    line = "The cache is smaller than a key and a value for every head."

    def holds(self, arch: Architecture) -> bool | None:
        kept, plain = self._values(arch)
        return kept < plain if plain else None

    def reason(self, arch: Architecture, found: Cost) -> str:
        kept, plain = self._values(arch)
        if not plain:
            return _without(arch)
        where = f"the caches of {_layers(arch, _any, 'attention'):,} attention layers"
        if kept >= plain:
            return f"every head has its own key and value: a token leaves {kept:,} values in {where}"
        return f"a token leaves {kept:,} values in {where}, {plain / max(kept, 1):,.3g} times fewer than the {plain:,} of separate heads"

    def edit(self, arch: Architecture) -> Architecture:
        for name, part in _used(arch, "attention").items():
            choice = next(one for one in kinds.choices() if one.name == "grouped_query")
            if self._of(part)[0] == self._of(part)[1] and choice.keeps(part):
                arch = swapped(arch, name, choice.name)
        return arch

    def _of(self, part: Part) -> tuple[int, int]:
        """Values that one token leaves: as built, and with a key and a value for every head."""
        return sum(map(math.prod, part.cache(1).values())), sum(map(math.prod, part.plain_cache(1).values()))

    def _values(self, arch: Architecture) -> tuple[int, int]:
        counts, each = uses(arch), {name: self._of(part) for name, part in _used(arch, "attention").items()}
        return sum(counts[name] * kept for name, (kept, _) in each.items()), sum(counts[name] * plain for name, (_, plain) in each.items())


class SwiGLU(Habit):
    name, title, year = "swiglu", "SwiGLU", 2025
    line = "One projection gates the other, through a swish."
    roles = ("feed_forward", "experts")

    def holds(self, arch: Architecture) -> bool | None:
        networks = self._networks(arch).values()
        return all(map(self._swish, networks)) if networks else None

    def reason(self, arch: Architecture, found: Cost) -> str:
        networks = self._networks(arch)
        if not networks:
            return f"none of its {arch.depth:,} layers has a feed-forward network that could have another activation"

        def count(word: str) -> int:
            return _layers(arch, lambda part: getattr(part, "activation", "") == word, *self.roles)

        words = dict.fromkeys(part.activation for part in networks.values())
        return joined(f"{NAMES[word]} in {count(word):,} of {arch.depth:,} layers" for word in words)

    def edit(self, arch: Architecture) -> Architecture:
        fields: dict[str, Any] = {}
        for name, part in self._networks(arch).items():
            if not self._swish(part):
                fields[f"parts.{name}.activation"] = "swiglu"
                if not part.gated:  # three matrices with as many parameters as two
                    fields[f"parts.{name}.d_ff"] = max(8, round(part.d_ff * 2 / 3 / 8) * 8)
        return with_fields(arch, fields)

    def _networks(self, arch: Architecture) -> dict[str, Any]:
        return {name: part for name, part in _used(arch, *self.roles).items() if "activation" in type(part).model_fields}

    def _swish(self, part: Any) -> bool:
        return part.activation.endswith("_swiglu") or GATED.get(part.activation) == "silu"


class Sparse(Habit):
    name, title, year = "experts", "Experts where they pay", 2025
    short = "Experts"
    line = "A token uses a few of many networks, so that a large model costs as much as a small one."

    def holds(self, arch: Architecture) -> bool | None:
        if _used(arch, "experts"):
            return True
        networks = _used(arch, "feed_forward")
        own = {name: part for name, part in networks.items() if isinstance(part, FeedForward) and not part.tied}
        least = sum(uses(arch)[name] * part.matrices * part.d_ff * arch.d_model for name, part in own.items())
        if networks and least >= PAYS:  # so all are more, and need not be counted
            return False
        return None if not networks or cost(arch).parameters < PAYS else False

    def reason(self, arch: Architecture, found: Cost) -> str:
        all_, active = found.parameters, found.active_parameters
        if _used(arch, "experts"):
            return f"a token uses {figure(active)} of {figure(all_)} parameters, {percent(active / all_)}"
        if not _used(arch, "feed_forward"):
            return f"none of its {arch.depth:,} layers has a feed-forward network to split"
        if all_ < PAYS:
            return f"{figure(all_)} parameters are fewer than {figure(PAYS)}: one small machine reads them all"
        return f"every token uses {figure(active)} of {figure(all_)} parameters"

    def edit(self, arch: Architecture) -> Architecture:
        """Eight of 64 experts for a token, together as wide as the network that they replace."""
        for name, part in _used(arch, "feed_forward").items():
            if "d_ff" in type(part).model_fields:
                made = swapped(arch, name, "experts")
                (new,) = made.parts.keys() - (arch.parts.keys() - {name})
                wide = max(8, round(part.d_ff / CHOSEN / 8) * 8)  # type: ignore[attr-defined]
                arch = with_fields(made, {f"parts.{new}.top_k": CHOSEN, f"parts.{new}.d_ff": wide, f"parts.{new}.count": MANY})
        return arch


class Bytes(Habit):
    name, title, year = "bf16", "BF16 or FP8", 2025
    line = "Weights are stored in at most two bytes, with the range of four."

    def holds(self, arch: Architecture) -> bool | None:
        default = arch.precision.get("default", "bf16")
        return None if arch.unsized else default == "bf16" or FORMATS[default].bits < 16

    def reason(self, arch: Architecture, found: Cost) -> str:
        if found.weight_bytes is None:
            return f"its stored size is not known: {arch.unsized}"
        return f"{_bits(found)}; stored in {joined(_formats(arch))}"

    def edit(self, arch: Architecture) -> Architecture:
        return edited(arch, "precision", {**arch.precision, "default": "bf16"})


def _formats(arch: Architecture) -> list[str]:
    """The formats of its files, the default first."""
    return [*dict.fromkeys((arch.precision.get("default", "bf16"), *arch.precision.values()))]


# ---- 2026 ----


class QueryNorm(Habit):
    name, title, year = "qk_norm", "QK norm", 2026
    line = "Queries and keys are normalised, so that scores stay small."

    def holds(self, arch: Architecture) -> bool | None:
        parts = _used(arch, "attention").values()
        if any(map(self._normed, parts)):
            return True
        return False if any("qk_norm" in type(part).model_fields for part in parts) else None

    def reason(self, arch: Architecture, found: Cost) -> str:
        if not (all_ := _layers(arch, _any, "attention")):
            return _without(arch)
        if self.holds(arch) is None:
            titles = joined(sorted({part.noun for part in _used(arch, "attention").values()}))
            return f"its {all_:,} attention layers are {titles}, which has no such setting"
        normed = _layers(arch, self._normed, "attention")
        return f"{f'{normed:,}' if normed else 'none'} of {all_:,} attention layers normalise{'s' * (not normed)} queries and keys"

    def edit(self, arch: Architecture) -> Architecture:
        parts = _used(arch, "attention").items()
        return with_fields(arch, {f"parts.{name}.qk_norm": {} for name, part in parts if getattr(part, "qk_norm", part) is None})

    def _normed(self, part: Part) -> bool:
        return "QK norm" in part.traits()


class Windows(Habit):
    name, title, year = "windows", "Windows or sparsity at long context", 2026
    short = "Windows"
    line = "Most layers do not read the whole text."

    def holds(self, arch: Architecture) -> bool | None:
        if arch.meant_for is None or arch.meant_for < TEXT:
            return None
        return bool(_layers(arch, self._less, *MIXERS))

    def reason(self, arch: Architecture, found: Cost) -> str:
        if arch.meant_for is None:
            return _without(arch)
        if arch.meant_for < TEXT:
            return f"made for {tokens(arch.context)} tokens, fewer than the {tokens(TEXT)} of a long text"
        less, all_ = _layers(arch, self._less, *MIXERS), _layers(arch, _any, *MIXERS)
        which = f"{less:,} of {all_:,} layers read only some of the text or a state" if less else f"all {all_:,} layers read the whole text"
        return f"{which}; {_kept(arch, found)}"

    def edit(self, arch: Architecture) -> Architecture:
        """A window in three of four layers of each attention that sees everything."""
        choice = next(one for one in kinds.choices() if one.name == "sliding_window")
        whole = set(nth(arch, ONE_IN))
        for name, part in _used(arch, "attention").items():
            if choice.form and choice.keeps(part) and part.reach is None:
                where = [layer for layer, block in enumerate(arch.sequence) if layer not in whole and any(name in s.parts for s in block)]
                arch = variant(arch, name, unused(arch, "local"), choice.form.fields(part, arch.context), where) if where else arch
        return arch

    def helps(self, before: Cost, after: Cost) -> bool:
        return after.kept_bytes < before.kept_bytes

    def _less(self, part: Part) -> bool:
        return bool(attentions(part) & {"sliding_window", "sparse", "recurrence"})


class Hybrid(Habit):
    name, title, year = "hybrid", "Hybrid layers", 2026
    short = "Hybrid"
    line = "A state of fixed size in most layers, attention in the others."

    def holds(self, arch: Architecture) -> bool | None:
        roles = [role for role in MIXERS if _used(arch, role)]
        if len(roles) == len(MIXERS):
            return True
        return None if not roles or arch.meant_for is not None and arch.meant_for < TEXT else False

    def reason(self, arch: Architecture, found: Cost) -> str:
        if self.holds(arch) is None:
            return f"made for {tokens(arch.context)} tokens, fewer than the {tokens(TEXT)} of a long text"
        seen, states = (_layers(arch, _any, role) for role in MIXERS)
        which = f"attention in {seen:,} and a recurrence in {states:,}" if seen and states else ""
        which = which or f"{'attention alone' if seen else 'a recurrence alone, without exact recall'}, in {seen or states:,}"
        return f"{which} of {arch.depth:,} layers; {_kept(arch, found)}"

    def edit(self, arch: Architecture) -> Architecture:
        """A gated delta net in place of windows, or in three of four layers if more see everything; grouped attention in every fourth
        where there is none. What is new is as wide as the stream."""
        dim = _divisor(arch.d_model)
        heads = arch.d_model // dim
        if not (seen := _used(arch, "attention")):
            keys = {"heads": heads, "kv_heads": heads // 4 if heads % 4 == 0 else heads, "head_dim": dim}
            name = unused(arch, "attention")
            return every(arch, ONE_IN, name, new={name: {"kind": "attention"} | keys})
        name = unused(arch, "delta")
        delta = {"heads": heads, "key_heads": heads // 2 if heads % 2 == 0 else heads, "key_dim": dim, "value_dim": dim}
        new = {name: {"kind": "gated_delta_net"} | delta}
        counts, near = uses(arch), {part for part in seen if seen[part].reach is not None}
        whole = seen.keys() - near
        if near and whole and ONE_IN * sum(counts[part] for part in whole) <= arch.depth:
            for part in sorted(near):
                where = [layer for layer, block in enumerate(arch.sequence) if any(part in step.parts for step in block)]
                arch = put(arch, name, where, "instead", part, new={} if name in arch.parts else new)
            return arch
        return every(arch, ONE_IN, max(sorted(whole or seen), key=counts.__getitem__), name, new=new)

    def helps(self, before: Cost, after: Cost) -> bool:
        """Smaller caches; attention for a recurrence alone is for exact recall instead."""
        return not _used(before.architecture, "attention") or after.kept_bytes < before.kept_bytes


def _divisor(d_model: int) -> int:
    """Channels of a head: 128, or the largest even number below that heads fill a stream with."""
    found = next((dim for dim in range(128, 0, -2) if d_model % dim == 0), None)
    if found is None:
        raise Unsupported(f"d_model: {d_model:,} channels cannot be shared out to heads of an even number of channels")
    return found


class Balance(Habit):
    name, title, year = "balance", "Balancing without a loss", 2026
    short = "Balance"
    line = "A bias on the choice keeps experts busy, and leaves the training loss alone."

    def holds(self, arch: Architecture) -> bool | None:
        routed = self._routed(arch).values()
        return any(map(self._balanced, routed)) if routed else None

    def reason(self, arch: Architecture, found: Cost) -> str:
        routed = self._routed(arch)
        if not routed:
            return f"none of its {arch.depth:,} layers has a router"
        choices = sum(uses(arch)[name] * part.choices for name, part in routed.items())  # type: ignore[attr-defined]
        biased = sum(uses(arch)[name] * part.choices for name, part in routed.items() if self._balanced(part))  # type: ignore[attr-defined]
        which = f"{biased:,} of" if biased else "none of"
        return f"{which} the {choices:,} experts of all layers {'have' if biased else 'has'} a bias on the choice or a place in a table"

    def edit(self, arch: Architecture) -> Architecture:
        return with_fields(arch, {f"parts.{name}.router.selection_bias": True for name in self._routed(arch)})

    def _routed(self, arch: Architecture) -> dict[str, Part]:
        return {name: part for name, part in _used(arch, "experts", "attention").items() if hasattr(part, "router")}

    def _balanced(self, part: Any) -> bool:
        return part.router.selection_bias or part.router.hashed


class Fine(Habit):
    name, title, year = "fine_experts", "Small and many experts", 2026
    short = "Small experts"
    line = f"At least {MANY} experts, each narrower than the stream: more ways to combine them at the same cost."

    def holds(self, arch: Architecture) -> bool | None:
        experts = self._experts(arch).values()
        return all(part.count >= MANY and part.d_ff < arch.d_model for part in experts) if experts else None

    def reason(self, arch: Architecture, found: Cost) -> str:
        experts = self._experts(arch).values()
        if not experts:
            return f"none of its {arch.depth:,} layers has experts that are networks"
        shapes = (f"{part.top_k:,} of {part.count:,} experts, {part.d_ff:,} wide" for part in experts)
        return f"{joined(dict.fromkeys(shapes))}, on a stream of {arch.d_model:,}"

    def edit(self, arch: Architecture) -> Architecture:
        """Each expert split into equal pieces: as many parameters, and as many of them for a token."""
        fields: dict[str, Any] = {}
        for name, part in self._experts(arch).items():
            pieces = max(2 ** math.ceil(math.log2(MANY / part.count)), 2 ** math.floor(math.log2(part.d_ff / arch.d_model) + 1), 1)
            if pieces > 1:
                wide = max(1, part.d_ff // pieces)
                own = {"count": part.count * pieces, "top_k": part.top_k * pieces, "zero": part.zero * pieces, "d_ff": wide}
                fields |= {f"parts.{name}.{field}": value for field, value in own.items()}
        return with_fields(arch, fields)

    def _experts(self, arch: Architecture) -> dict[str, Experts]:
        return {name: part for name, part in _used(arch, "experts").items() if isinstance(part, Experts)}


class FourBits(Habit):
    name, title, year = "four_bits", "4-bit weights as shipped", 2026
    short = "4 bits"
    line = "The published files hold weights in four bits or fewer."

    def holds(self, arch: Architecture) -> bool | None:
        return None if arch.unsized else any(FORMATS[fmt].bits <= 4 for fmt in arch.precision.values())

    def reason(self, arch: Architecture, found: Cost) -> str:
        return Bytes().reason(arch, found)

    def edit(self, arch: Architecture) -> Architecture:
        """The routed experts in MXFP4, as gpt-oss has them; the feed-forward networks without experts."""
        paths = [
            f"{name}.{path}"
            for name, part in _used(arch, "experts").items()
            for path, (role, _) in part.components.items()
            if role == "experts" and path == "experts"
        ]
        paths = paths or [*_used(arch, "feed_forward")]
        return edited(arch, "precision", {**arch.precision, **dict.fromkeys(paths, "mxfp4")})


HABITS: tuple[Habit, ...] = (
    Rotary(), SharedKeys(), SwiGLU(), Sparse(), Bytes(), QueryNorm(), Windows(), Hybrid(), Balance(), Fine(), FourBits(),
)  # fmt: skip


def habit(name: str) -> Habit:
    """The habit of this name; Unsupported if there is none."""
    if found := next((one for one in HABITS if one.name == name), None):
        return found
    raise Unsupported(f"{name[:40]!r} is no habit; give one of {', '.join(one.name for one in HABITS)}")
