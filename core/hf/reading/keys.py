"""Declared keys: what a config.json calls a field of the spec, and what it means when it is absent.

A family's list of keys serves import (`read`), export (`write`) and the table in docs/config.md (`rows` of each entry). An entry is
a `Key`, or says what a key may say (`Only`), repeat (`Again`) or say in vain (`Unread`), what holds without any key (`Always`), or
what several keys say together (`Rule`).
Fields are paths: of the model, `norm.eps`; of a part, `attention.heads`; `depth` is the number of layers.
"""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ...parts.feedforward import GATED
from ...spec import MAX_LAYERS, Architecture, Unsupported
from .config import SAME, Config

NOWHERE = object()  # the field of a part that no layer has


@dataclass(frozen=True)
class Of:
    """A default that follows from other fields: `Of("d_model", times=4)`, `Of("d_model", over="attention.heads")`."""

    field: str
    times: float = 1
    over: str = ""
    too_many: str = ""  # the key that is refused where nothing is left for it

    def __call__(self, get: Callable[[str], Any]) -> Any:
        whole = get(self.field)
        whole = whole * self.times if self.times != 1 else whole
        return int(whole / get(self.over)) if self.over else whole

    def __str__(self) -> str:
        return f"{self.times} × " * (self.times != 1) + self.field + f" / {self.over}" * bool(self.over)


@dataclass(frozen=True)
class Form:
    """How a config.json says a value, where it is not as the spec says it. Both functions raise ValueError, saying why."""

    read: Callable[[Any], Any]
    write: Callable[[Any], Any]


class Entry:
    """One entry of a family's list of keys."""

    def read(self, config: Config, said: dict) -> None:
        """Take what the config says and put it into `said`, which has what the entries before said."""

    def write(self, of: "Writing") -> Mapping[str, Any]:
        """The keys of an architecture."""
        return {}

    def rows(self) -> Iterable[tuple[str, str, str]]:
        """For the table: keys, the field that they say, what it is when they are absent."""
        return ()


@dataclass(frozen=True)
class Key(Entry):
    """`Key("num_attention_heads", "attention.heads", 32)`: a key, the field that it is, and what it means when it is absent."""

    name: str
    field: str
    default: Any = ...  # ...: the key has to be there
    kind: type | None = None  # of its value, where the default does not tell
    null: Any = SAME  # what null means, where it does not mean the same as absent
    none: Any = None  # the word for there being nothing of it
    also: str = ""  # other names: all may stand there, if they agree
    least: int = 1
    most: int = 2**31
    positive: bool = False  # of a number with a point: above 0
    form: Form | None = None
    spare: Any = ...  # what is written where no layer has the part
    quiet: bool = False  # not written where it says what it means when it is absent

    def read(self, config: Config, said: dict) -> None:
        kind, name = self.kind, self.name
        if kind is None:
            kind = int if self.default in (..., None) or isinstance(self.default, Of) else type(self.default)
        if self.also:
            name = next(filter(config.has, (name, *self.also.split())), name)
        if name in config.raw and config.raw[name] is None and type(self.default) is int and self.null is SAME and self.is_size:
            raise config.refuse(name, "it is a size; give a whole number")
        if kind is int:
            value = config.count(name, self.default, self.null, self.least, self.most)
        elif self.positive:
            value = config.positive(name, self.default, self.null)
        else:
            value = config.take(name, kind, self.default, self.null)
        for other in (self.name, *self.also.split()) if self.also else ():
            config.expect(other, value)
        if isinstance(value, Of):
            usual, value = value, value(lambda field: get(said, field))
            if not usual.over:  # that one is no choice: a head's width, say
                config.fill(name, value)
            if usual.too_many and value < self.least:
                raise config.refuse(usual.too_many, f"give at most hidden_size, {said['d_model']:,}")
        if value is None or (self.none is not None and value == self.none):
            return
        if self.form:
            try:
                value = self.form.read(value)
            except ValueError as error:
                raise config.refuse(name, str(error)) from None
        put(said, self.field, value)

    @property
    def is_size(self) -> bool:
        """Whether every model has it: null is then no way to leave it out."""
        return self.field in ("d_model", "vocab_size", "depth") or self.field.endswith((".heads", ".d_ff"))

    def write(self, of: "Writing") -> Mapping[str, Any]:
        value = of.get(self.field)
        if value is NOWHERE:
            spare = self.spare(of.get) if isinstance(self.spare, Of) else self.spare
            return {} if spare is ... else {self.name: spare}
        try:
            word = self.none if value is None else self.form.write(value) if self.form else value
        except ValueError as error:
            raise Unsupported(f"{self.field}: {error}") from None
        return {} if self.quiet and word == self.default else {self.name: word}

    def rows(self) -> Iterator[tuple[str, str, str]]:
        said = self.default is None or isinstance(self.default, bool)
        default = "must be given" if self.default is ... else json.dumps(self.default) if said else str(self.default)
        yield ", ".join((self.name, *self.also.split())), self.field, default


@dataclass(frozen=True)
class Has(Key):
    """A switch that says whether there is something: `on` is it, or a function of the fields that were read before."""

    on: Any = None

    def read(self, config: Config, said: dict) -> None:
        if config.take(self.name, bool, self.default):
            put(said, self.field, self.on(said) if callable(self.on) else self.on)

    def write(self, of: "Writing") -> Mapping[str, Any]:
        value = of.get(self.field)
        return {} if value is NOWHERE else {self.name: value is not None}


@dataclass(frozen=True)
class Shared(Key):
    """A number of shared experts, which are one network of their summed width."""

    def read(self, config: Config, said: dict) -> None:
        found: dict[str, int] = {}
        Key(self.name, "count", self.default, also=self.also, least=0, most=4_096).read(config, found)
        if found["count"]:
            said["moe"]["shared"] = {"d_ff": found["count"] * said["moe"]["d_ff"]} | found


@dataclass(frozen=True)
class Groups(Entry):
    """What limits a token to the experts of some groups, where there are several; `score` is the spec's word for a group's."""

    count: Any
    chosen: Any
    score: str = "top2"
    alone: bool = False  # of one group, how many are chosen means nothing
    names: str = "n_group"

    def read(self, config: Config, said: dict) -> None:
        count = read(config, (named(self.names, "count", self.count),))["count"]
        chosen = config.count("topk_group", self.chosen)
        if count != 1 or not (self.alone or chosen == 1):
            said["moe"].setdefault("router", {}).update(groups=count, top_groups=chosen, group_score=self.score)

    def write(self, of: "Writing") -> Mapping[str, Any]:
        count, chosen = of.get("moe.router.groups"), of.get("moe.router.top_groups")
        return {} if count is NOWHERE else {self.names.split("/")[0]: count, "topk_group": chosen}

    def rows(self) -> Iterator[tuple[str, str, str]]:
        yield self.names.replace("/", ", "), "moe.router.groups", str(self.count)
        yield "topk_group", "moe.router.top_groups", str(self.chosen)


@dataclass(frozen=True)
class Rule(Entry):
    """What several keys say together: a function of the config and of the fields that were read before."""

    holds: Callable[[Config, dict], Any]

    def read(self, config: Config, said: dict) -> None:
        self.holds(config, said)


class Only(Entry):
    """A key that may say nothing but what holds for this family anyway."""

    def __init__(self, name: str, *accepted: Any, written: bool = False):
        self.name, self.accepted, self.written = name, accepted, written

    def read(self, config: Config, said: dict) -> None:
        config.expect(self.name, *self.accepted)

    def write(self, of: "Writing") -> Mapping[str, Any]:
        return {self.name: self.accepted[0]} if self.written else {}

    def rows(self) -> Iterator[tuple[str, str, str]]:
        yield self.name, "only " + " or ".join(map(json.dumps, self.accepted)), ""


def only(**keys: Any) -> tuple[Only, ...]:
    """Keys that may say one thing each."""
    return tuple(Only(name, says) for name, says in keys.items())


@dataclass(frozen=True)
class Again(Entry):
    """Keys that may stand there too, and say a field again."""

    names: str
    field: str

    def read(self, config: Config, said: dict) -> None:
        for name in self.names.split():
            config.expect(name, get(said, self.field))

    def rows(self) -> Iterator[tuple[str, str, str]]:
        yield self.names.replace(" ", ", "), f"{self.field} again", ""


class Unread(Entry):
    """Keys of this family that change nothing; the first may be written for others to read: `written` is the field that it says."""

    def __init__(self, *names: str, written: str = ""):
        self.names, self.written = tuple(name for several in names for name in several.split()), written

    def read(self, config: Config, said: dict) -> None:
        config.ignore(*self.names)

    def write(self, of: "Writing") -> Mapping[str, Any]:
        value = of.get(self.written) if self.written else NOWHERE
        return {} if value is NOWHERE else {self.names[0]: value}

    def rows(self) -> Iterator[tuple[str, str, str]]:
        if self.names:
            yield ", ".join(self.names), "changes nothing", ""


class Always(Entry):
    """What holds for every model of a family, without a key: `Always("attention", kind="attention", qk_norm={})`."""

    def __init__(self, field: str, **said: Any):
        self.field, self.said = field, said

    def read(self, config: Config, said: dict) -> None:
        for name, value in self.said.items():
            put(said, f"{self.field}.{name}", dict(value) if isinstance(value, Mapping) else value)


Keys = tuple[Entry, ...]


def read(config: Config, keys: Iterable[Entry], said: dict | None = None) -> dict[str, Any]:
    """The fields that the keys say, as nested mappings: of the model, and of each part under the name that the keys give it."""
    said = {} if said is None else said
    for entry in keys:
        entry.read(config, said)
    return said


class Writing:
    """Where the fields of keys are looked up: in these parts, else in the model's fields, else in its parts."""

    def __init__(self, arch: Architecture | None, parts: Mapping[str, Any]):
        self.arch: Any = arch  # none where every field is of the parts
        self.parts = parts

    def get(self, field: str) -> Any:
        """A field's value, None where there is nothing of it, NOWHERE where no layer has the part."""
        first, _, rest = field.partition(".")
        if first in self.parts or not hasattr(self.arch, first):
            value = self.parts[first] if first in self.parts else self.arch.parts.get(first)
            if value is None:
                return NOWHERE
        else:
            value = getattr(self.arch, first)
        for step in rest.split(".") if rest else ():
            if value is None:
                return None
            value = getattr(value, step, None)
        return value


def write(arch: Architecture | None, keys: Iterable[Entry], **parts: Any) -> dict[str, Any]:
    """What the keys say of an architecture; `parts` are those that a name of the keys stands for where it is no part's own."""
    of = Writing(arch, parts)
    written: dict[str, Any] = {}
    for entry in keys:
        written.update(entry.write(of))
    return written


def put(said: dict, field: str, value: Any) -> None:
    *steps, last = field.split(".")
    for step in steps:
        said = said.setdefault(step, {})
    if isinstance(value, dict) and isinstance(said.get(last), dict):
        said[last].update(value)
    else:
        said[last] = value


def get(said: Mapping[str, Any], field: str) -> Any:
    """A field that was read; None for none."""
    value: Any = said
    for step in field.split("."):
        value = value.get(step) if value is not None else None
    return value


# ---- forms ----

# What a config.json calls an activation -> the spec's name for it, not gated.
ACTIVATIONS = {
    "relu": "relu", "relu2": "relu2", "gelu": "gelu", "gelu_python": "gelu", "gelu_new": "gelu_tanh", "gelu_fast": "gelu_tanh",
    "gelu_accurate": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "gelu_python_tanh": "gelu_tanh", "silu": "silu", "swish": "silu",
    "xielu": "xielu", "quick_gelu": "quick_gelu",
}  # fmt: skip
_GATED = {plain: gated for gated, plain in GATED.items()}
_WRITTEN = {"gelu_tanh": "gelu_pytorch_tanh"}


def _activation(name: str, gated: bool) -> str:
    plain = ACTIVATIONS.get(name)
    if plain is None or (gated and plain not in _GATED):
        raise ValueError(f"the spec has {', '.join(a for a, p in ACTIVATIONS.items() if not gated or p in _GATED)}")
    return _GATED[plain] if gated else plain


def write_activation(name: str) -> str:
    plain = GATED.get(name, name)
    return _WRITTEN.get(plain, plain)


def times(x: float, by: float) -> float:
    """The number near x * by that gives x again when it is divided by `by`."""
    y = x * by
    for near in (y, math.nextafter(y, math.inf), math.nextafter(y, 0)):
        if near / by == x:
            return near
    raise Unsupported(f"{x!r} is not a number divided by {by!r}")


def rounded(x: float) -> float:
    """Twelve digits: what is written of them reads back as the same."""
    return float(f"{x:.12g}")


GATED_ACTIVATION = Form(lambda name: _activation(name, True), write_activation)
PLAIN_ACTIVATION = Form(lambda name: _activation(name, False), write_activation)
SQRT_D_MODEL = Form(lambda on: "sqrt_d_model" if on else 1.0, lambda scale: scale == "sqrt_d_model")
SANDWICH = Form(lambda on: "sandwich" if on else "pre", lambda norm: norm == "sandwich")
TWICE = Form(lambda value: 2 * value, lambda value: value / 2)
INVERSE = Form(lambda value: 1 / value, lambda value: 1 / value)


# ---- keys that many families have ----


def named(names: str, field: str, default: Any, **more: Any) -> Key:
    """A key and its other names: `num_hidden_layers/n_layer`."""
    name, *also = names.split("/")
    return Key(name, field, default, also=" ".join(also), **more)


def sizes(
    vocab_size: Any, d_model: Any, context: Any, depth: Any, *, tied: bool | None = False, eps: float = 1e-6, eps_key: str = "rms_norm_eps",
    names: str = "hidden_size max_position_embeddings num_hidden_layers", **norm: Any,
) -> Keys:  # fmt: skip
    """What every model says once; the arguments are the family's defaults, what it calls d_model, context and depth, and what its
    norms always are; `tied` is None where no key says it."""
    width, length, layers = names.split()
    return (
        Key("vocab_size", "vocab_size", vocab_size),
        named(width, "d_model", d_model),
        named(length, "context", context),
        named(layers, "depth", depth, most=MAX_LAYERS),
        *((Key("tie_word_embeddings", "tied_embeddings", tied),) if tied is not None else ()),
        Always("norm", **{"kind": "rms", **norm}),
        *((named(eps_key, "norm.eps", eps),) if eps_key else (Always("norm", eps=eps),)),
    )


def heads(count: Any, kv_heads: int | None = None, head_dim: int | None = None, part: str = "attention") -> Keys:
    """Heads, those of keys and values, and their width; None where these follow from the others. Where no layer has attention,
    one head stands for what is read all the same, whatever the width."""
    many, width = Of(f"{part}.heads"), Of("d_model", 1, f"{part}.heads", too_many="num_attention_heads")
    return (
        Key("num_attention_heads", f"{part}.heads", count, spare=1),
        # null is as many as heads, whatever an absent key means
        Key("num_key_value_heads", f"{part}.kv_heads", many if kv_heads is None else kv_heads, null=many, spare=1),
        Key("head_dim", f"{part}.head_dim", width if head_dim is None else head_dim, null=width),
    )


def attention(count: Any, kv_heads: int | None = None, head_dim: int | None = None, **always: Any) -> Keys:
    """Softmax attention, with biases where attention_bias says so, and what it always has."""
    return (
        Always("attention", **{"kind": "attention"} | always),
        *heads(count, kv_heads, head_dim),
        Key("attention_bias", "attention.bias", False),
    )


def feed_forward(
    d_ff: Any, act: str = "hidden_act", usual: str = "silu", gated: bool = True, bias: Any = None, width: str = "intermediate_size",
    form: Form | None = None, spare: Any = ..., **always: Any,
) -> Keys:  # fmt: skip
    """A network; `width` and `act` are the keys of its width and activation, `usual` what the second says by default, `bias` a
    `switch`'s."""
    return (
        Always("dense", **{"kind": "feed_forward"} | always),
        named(width, "dense.d_ff", d_ff, spare=spare),
        Key(act, "dense.activation", usual, form=form or (GATED_ACTIVATION if gated else PLAIN_ACTIVATION)),
        *switch("dense.bias", bias),
    )


def experts(
    count: Any, top_k: Any, d_ff: Any, *, names: str = "n_routed_experts/num_local_experts", chosen: str = "num_experts_per_tok",
    width: str = "moe_intermediate_size", act: str = "hidden_act", router: Mapping[str, Any] = MappingProxyType({}), **always: Any,
) -> Keys:  # fmt: skip
    """Routed experts; the arguments are the family's defaults, what it calls them, and what its experts and router always have."""
    return (
        Always("moe", **{"kind": "experts"} | always),
        Always("moe.router", **router),
        named(width, "moe.d_ff", d_ff),
        named(names, "moe.count", count, most=4_096),
        named(chosen, "moe.top_k", top_k),
        *((Key(act, "moe.activation", "silu", form=GATED_ACTIVATION),) if act else ()),
    )


def shared(count: Any, names: str = "n_shared_experts/num_shared_experts") -> Shared:
    name, *also = names.split("/")
    return Shared(name, "moe.shared.count", count, also=" ".join(also), none=0)


def ahead(usual: int, names: str = "num_nextn_predict_layers/num_mtp_layers") -> Key:
    """How many modules predict further tokens."""
    return named(names, "mtp.count", usual, least=0, most=16, none=0)


def switch(field: str, says: tuple[str, bool] | bool | None) -> Keys:
    """A field that a key with this default says, or that always is so; nothing of it where there is neither."""
    if isinstance(says, bool):
        part, _, name = field.rpartition(".")
        return (Always(part, **{name: says}),)
    return (Key(says[0], field, says[1]),) if says else ()
