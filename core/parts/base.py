"""What all parts of an architecture share: the base class of their configuration, and the few modules that all parts use.

A part is one technique. Its class holds its configuration, the module that computes it, what it keeps between
calls, what it costs and the text that describes it. All knowledge about the technique is in its file.
"""

import inspect
import math
import re
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple, Self, TypeVar, get_args

import torch
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_serializer, model_validator
from torch import Tensor, nn

from ..words import divisors, size

Shape = tuple[int, ...]

# The bounds of the spec: far above any published model, low enough that no link can make the analysis slow or large.
# The marks say what a field is: a width or a rank grows with the stream, heads grow in number and not in width, a window is in tokens.
Width = Annotated[int, Field(ge=1, le=1_048_576), "width"]
Rank = Annotated[int, Field(ge=1, le=65_536), "width"]
Heads = Annotated[int, Field(ge=1, le=1_024), "heads"]
HeadDim = Annotated[int, Field(ge=1, le=8_192), "of a head"]
MOST_CHANNELS = 262_144  # of all heads together, or of all streams together
Vocabulary = Annotated[int, Field(ge=1, le=16_777_216)]
Length = Annotated[int, Field(ge=1, le=1_000_000_000)]
Window = Annotated[Length, "window"]
Eps = Annotated[float, Field(gt=0, le=1e-2)]
Positive = Annotated[float, Field(gt=0, le=1e6)]
# What no export can hold: control characters, separators that some programs read as the end of a line, surrogates, and
# code points that are not characters in Unicode.
_ODD = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff"
    + "".join(chr(plane << 16 | last) for plane in range(1, 17) for last in (0xFFFE, 0xFFFF))
    + "]"
)


def _legible(text: object) -> object:
    if isinstance(text, str) and (odd := _ODD.search(text)):
        raise ValueError(f"the character U+{ord(odd[0]):04X} cannot be shown or exported; remove it")
    return text


def _one_line(text: str) -> str:
    if "\n" in text or "\t" in text:
        raise ValueError("the text has several lines, or a tab; give one line without tabs")
    return text


Text = Annotated[str, Field(max_length=1_000), BeforeValidator(_legible)]
Line = Annotated[Text, AfterValidator(_one_line)]


@lru_cache(maxsize=512)
def _numbers(cls: type[BaseModel]) -> frozenset[str]:
    """The fields that are numbers, not booleans."""
    kinds = {name: members(field.annotation) for name, field in cls.model_fields.items()}
    return frozenset(name for name, found in kinds.items() if found & {int, float} and bool not in found)


def members(annotation: object) -> set:
    """A type, or the members of a union."""
    return set().union(*map(members, get_args(annotation))) if get_args(annotation) else {annotation}


class Spec(BaseModel):
    """A frozen, hashable value. Equal values are equal keys: the hash is computed from the fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    also: ClassVar[tuple[str, ...]] = ()  # other names, which a search finds: abbreviations, the paper's

    @model_validator(mode="before")
    @classmethod
    def _no_truths(cls, given: Any) -> Any:
        """`true` is not a number, although Python counts with it: it is refused like any other word."""
        if not isinstance(given, dict):
            return given
        numbers = _numbers(cls)
        truths = {name: str(value).lower() for name, value in given.items() if type(value) is bool and name in numbers}
        return given | truths if truths else given

    @model_validator(mode="after")
    def _countable(self):
        """The channels of all heads together stay below the limit at which the size of a tensor of many tokens overflows."""
        heads = {name: getattr(self, name) or 0 for name in marked(type(self), "heads")}
        dims = {name: getattr(self, name) or 0 for name in marked(type(self), "of a head")}
        check_channels(max(heads, key=heads.__getitem__, default=""), max(heads.values(), default=0), sum(dims.values()))
        return self

    @model_serializer(mode="wrap")
    def _plain(self, handler) -> dict:
        """`kind` is always written, even if it is the default: it says which class reads the rest."""
        kind = getattr(self, "kind", None)
        return ({"kind": kind} if kind else {}) | handler(self)

    def traits(self) -> Iterator[str]:
        """Properties that people look for in a picture, in a word or two: those of the values in its fields, then its own."""
        for _, value in reversed(list(self)):
            if isinstance(value, Spec):
                yield from value.traits()
        for name, field in type(self).model_fields.items():
            if value := getattr(self, name):
                yield from (mark.word.format(value) for mark in field.metadata if isinstance(mark, Trait))


GIVEN = ("positions", "tokens", "embedded", "per_layer")  # what the model itself passes to its layers


class Read(NamedTuple):
    """Something that a part reads from elsewhere in the model, beside the stream.

    From the model itself (`GIVEN`): `positions` (T,), `tokens` (B, T), `embedded` (B, T, d_model), the input of the first layer, or
    `per_layer` (B, T, width) from a module `beneath` all layers. Or `layer`, the number of the layer that the part stands in, counted
    from 0: the module at the path `name` has an attribute `layer`, 0 in its class, which the model sets. Or a tensor of an earlier
    layer: `source` is the name of a part, and the nearest earlier layer that has it lends the tensor; with `previous` it is the last
    earlier layer that lends one.
    """

    name: str  # the argument of its forward, or the path of the `Borrow`, that receives it
    source: str  # one of GIVEN, `layer`, a part's name, or `previous`
    shape: Shape = ()  # for one token
    lender: str = ""  # the path of the module that lends it
    field: str = ""  # the field that names the source

    @property
    def given(self) -> bool:
        """Whether the model passes it to the forward; a part may have the name of what is passed."""
        return not self.lender and self.source in GIVEN


class Trait(NamedTuple):
    """The mark of a field that people look for in a picture, with its word there: "bias", "conv {}" with the field's value."""

    word: str


class Also(NamedTuple):
    """The mark of a field with other names that a search finds: "logit softcapping" where it is set, "128 experts" by its number."""

    words: tuple[str, ...]


T = TypeVar("T")
# A field of a part that is the model's unless the part says otherwise. `Part.inherit` fills it in before the part builds, counts or
# explains anything, so none of these asks whether it is there.
if TYPE_CHECKING:
    Inherited = Annotated[T, "the model's"]
else:
    Inherited = Annotated[T | None, Field(description="Where it differs from the model's")]
OF_MODEL: Any = None


class Form(NamedTuple):
    """A setting of a part that people know by a name of its own: multi-query attention is attention with one key and value head."""

    title: str
    line: str
    holds: Callable[[Any], Any]  # whether a part has this setting
    fields: Callable[[Any, int], dict[str, Any]]  # the fields that give it to a part, in a model with this context
    keeps: str = ""  # a part of the same group that has this field keeps its kind
    also: tuple[str, ...] = ()  # other names, which a search finds
    plain: bool = False  # what a part does without a technique, so that it is none


class Flops(dict[str, int]):
    """FLOPs by submodule path, two for each multiply-add; only matrix products count, as torch's FlopCounterMode does."""

    @property
    def total(self) -> int:
        return sum(self.values())

    def under(self, prefix: str) -> "Flops":
        """The same figures for a module that sits at `prefix` of a larger one."""
        return Flops({f"{prefix}.{path}": flops for path, flops in self.items()})


class Part(Spec):
    """One technique on the residual stream: (B, T, d_model) in, (B, T, d_model) out, or all streams in and out (`of_stream`).

    `norm` and `position` are the model's unless the part has its own; with `tied` all layers that use the part
    share one set of weights (Zamba, arXiv:2405.16712), or several `sets` in turn, if a stack of layers runs again.
    """

    title: ClassVar[str]
    short: ClassVar[str] = ""  # a short title, for a part with a module below the layers
    proper: ClassVar[bool] = False  # whether its title begins with a name, which has a capital in a sentence too
    line: ClassVar[str] = ""  # what it is, in at most 60 characters
    group: ClassVar[str] = ""  # its group in the list of kinds (`GROUPS` in kinds.py); its role if empty
    called: ClassVar[str] = ""  # the usual name of such a part in a model; its kind if empty
    forms: ClassVar[dict[str, "Form"]] = {}  # settings of this class that people know by their own names
    role: ClassVar[str]  # "attention", "recurrence", "feed_forward" or "experts": each has one colour in every chart
    # Submodules that get their own row in the cost: path prefix -> (role, words).
    components: ClassVar[dict[str, tuple[str, str]]] = {}

    kind: str
    tied: bool = Field(False, description="All layers with this part share one set of weights")
    sets: Annotated[int, Field(ge=1, le=1_024)] = Field(1, description="Sets of weights of a tied part, which its layers use in turn")

    @model_validator(mode="after")
    def _in_turn(self):
        if self.sets > 1 and not self.tied:
            raise ValueError(f"sets: {self.sets:,} sets of weights need a tied part; give 1, or set tied")
        return self

    @property
    def mixes(self) -> bool:
        """Whether this part mixes information between positions."""
        return isinstance(self, Mixer)

    @property
    def reach(self) -> int | None:
        """How many tokens one token sees at most; None if there is no limit."""
        return None

    @property
    def label(self) -> str:
        """The name on its box."""
        return self.title

    @property
    def brief(self) -> str:
        """A few words for it in a list of edits."""
        return self.in_sentence(self.title)

    @property
    def noun(self) -> str:
        """The label within a sentence."""
        return self.in_sentence(self.label)

    @classmethod
    def in_sentence(cls, words: str) -> str:
        """A title or label without its capital; abbreviations such as RWKV keep theirs."""
        return words if cls.proper or words[1:2].isupper() else words[0].lower() + words[1:]

    def inherit(self, norm: "Spec", position: "Spec", vocab_size: int) -> Self:
        """This part with the model's norm and position if it has none of its own, and with the model's vocabulary size if it
        looks tokens up."""
        given = {"norm": norm, "position": position} | ({"vocab_size": vocab_size} if "tokens" in self.given else {})
        missing = {k: v for k, v in given.items() if k in type(self).model_fields and getattr(self, k) is None}
        return self.model_copy(update=missing) if missing else self

    def build(self, d_model: int) -> nn.Module:
        """The module that computes this part, on the current default device."""
        raise NotImplementedError

    def of_stream(self, d_model: int) -> Shape:
        """Shape of its module's input x and of its output, for one token; the step's residual must provide it."""
        return (d_model,)

    def reads(self, d_model: int) -> tuple[Read, ...]:
        """What it reads from elsewhere in the model; reads from the model itself are in the order of its forward's arguments."""
        return ()

    @property
    def given(self) -> tuple[str, ...]:
        """Names of the arguments that the model passes to its forward beside x."""
        return tuple(read.name for read in self.reads(1) if read.given)

    def beside(self, batch: int, length: int, d_model: int) -> dict[str, Tensor]:
        """These arguments for an analysis: zeros, and positions from 0."""
        found = {}
        for read in (read for read in self.reads(d_model) if read.given):
            kind = torch.long if read.source == "tokens" else None
            zeros = torch.zeros(batch, length, *read.shape, dtype=kind)
            found[read.name] = torch.arange(length) if read.source == "positions" else zeros
        return found

    def each(self, path: str) -> bool:
        """Whether each layer has its own copy of this parameter, although the part is tied."""
        return False

    @property
    def pieces(self) -> dict[str, dict[str, int]]:
        """Parameters that some files store in several tensors, by path, and the rows of each of these: `precision` may name them as
        modules, such as attention.kv_up.keys."""
        return {}

    def beneath(self, layers: int, d_model: int) -> nn.Module | None:
        """A module below the first layer: (tokens, x) -> (B, T, layers, width), which each layer that uses this part
        reads as `per_layer`. x is the output of the token embedding."""
        return None

    # The rows of that module in the cost: path prefix -> words.
    beneath_rows: ClassVar[dict[str, str]] = {}

    def cache(self, length: int) -> dict[str, Shape]:
        """Tensors that one sequence of `length` tokens leaves in the cache, by name; they grow with length up to a window."""
        return {}

    def cache_read(self, length: int) -> dict[str, Shape] | None:
        """What a new token reads of what `length` earlier ones left, its own or what an earlier layer lends; None if the text
        decides how much that is."""
        return self.cache(length)

    def lends(self, d_model: int) -> dict[str, Shape]:
        """What a later layer can read from this one for one token, by the path of the module that lends it."""
        return {}

    def plain_cache(self, length: int) -> dict[str, Shape]:
        """The cache without what makes it smaller (windows, latents, shared heads)."""
        return self.cache(length)

    def state(self, d_model: int) -> dict[str, Shape]:
        """Tensors of constant size that one sequence leaves (recurrent states)."""
        return {}

    # The states that stay in float32 for any dtype of the model: sums over all tokens, as implementations keep them.
    in_float32: ClassVar[tuple[str, ...]] = ()

    def alike(self, d_model: int) -> dict[str, tuple["Part", int]]:
        """The part that a box of this one holds many copies of, by the box's path, and the width that it works on."""
        return {}

    def flops(self, d_model: int, new: int, past: int) -> Flops:
        """FLOPs of one sequence's `new` tokens after `past` kept ones, by submodule path."""
        raise NotImplementedError

    def shrink(self, scale: float) -> Self:
        """The same structure with widths times `scale`, small enough to run live."""
        raise NotImplementedError

    def check(self, d_model: int, context: int) -> None:
        """Raise ValueError, naming the field, if the part does not fit a model of this d_model and context."""

    def facts(self) -> Iterator[str]:
        """Short labels for the box in the picture, most important first."""
        return iter(())

    def quantities(self, d_model: int) -> Iterator[tuple[str, ...]]:
        """The figures beside its box in the picture, the most important first: each a figure, then at most two short lines about it."""
        return iter(())

    def explain(self, d_model: int) -> str:
        """Two or three sentences with this part's own numbers."""
        raise NotImplementedError

    def checklist(self, d_model: int) -> Iterator[str]:
        """Details that implementations often get wrong, one sentence each."""
        return iter(())


class Mixer(Part):
    """A part that mixes information between positions; its module's forward takes (x, positions)."""

    role: ClassVar[str] = "attention"
    called: ClassVar[str] = "attention"

    def reads(self, d_model: int) -> tuple[Read, ...]:
        return (Read("positions", "positions"),)

    def quantities(self, d_model: int) -> Iterator[tuple[str, ...]]:
        """What a layer keeps of a token, or of a whole text; nothing where tokens do not all leave the same."""

        def values(kept: dict[str, Shape]) -> int:
            return sum(map(math.prod, kept.values()))

        most, each, state = self.reach or 4_096, values(self.cache(1)), values(self.state(d_model))
        if each and values(self.cache(most)) == most * each:
            reach = (f"for the last {self.reach:,} tokens",) if self.reach else ()
            yield f"{size(2 * each)} of cache", "a token and layer, in bf16", *reach
        elif state and not each:
            yield "no cache", f"a state of {state:,}", "values, at any length"


class Recurrence(Mixer):
    """A mixer that keeps a state of constant size instead of all earlier keys and values."""

    role: ClassVar[str] = "recurrence"
    called: ClassVar[str] = ""


class Box(nn.Module):
    """A module that is one box of the traced picture, and what it tells the tracer. Modules of other classes are traced inside.

    Figures are for one token of one sequence. The values here are the defaults.
    """

    box: str
    """The kind of its node in the graph: norm, linear, rope, cache, ... The picture has one look for each kind."""

    label: str
    """The text on it."""

    explain: str = ""
    """One or two sentences for the tooltip, with this module's own numbers."""

    keeps_shape: bool = False
    """Whether its one output has the shape of its first input. Analysis then does not run it (see `outline`)."""

    scratch: int = 0
    """Values that it writes internally, beside its outputs: the cost counts them as activations."""

    token_flops: int = 0
    """FLOPs of all matrix products inside it. For a box of a part, the graph and the cost use the figures of
    `Part.flops` for this path if there are any; for a box outside the parts they use this value."""

    idle: int = 0
    """Parameters that one token does not use: the graph and the cost count them as not active."""

    unread: str = "of experts not chosen"
    """Which parameters those are, for the sentence of the cost's row."""

    def read_share(self, tensor: str) -> Fraction | None:
        """The share of a tensor in it that one token reads, of a table or of experts; None for all of it, or for what a box inside says."""
        return None

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its inputs: the labels on the arrows that lead to it."""
        return arguments(type(self).forward)

    def outline(self, *inputs: Any, **more: Any) -> Tensor | tuple[Tensor, ...]:
        """Its outputs with the right shapes and any values: the tracer calls this instead of `forward`. A box overrides
        it if its forward on large meta tensors is slow; a test checks it against a live run."""
        return inputs[0] if self.keeps_shape else type(self).forward(self, *inputs, **more)


@lru_cache(maxsize=512)
def arguments(forward: Callable) -> tuple[str, ...]:
    """The argument names of a module's forward."""
    return tuple(inspect.signature(forward).parameters)[1:]


class Linear(Box, nn.Linear):
    """A linear map, initialised as GPT-2's (normal, 0.02) so that a live model of any depth starts well-behaved."""

    box = "linear"

    def __init__(self, d_in: int, d_out: int, bias: bool = False):
        super().__init__(d_in, d_out, bias=bias)

    # Made when they are asked for: a whole model has thousands of these, and few are shown.
    @cached_property
    def label(self) -> str:  # type: ignore[override]
        return f"Linear {self.in_features:,} → {self.out_features:,}"

    @cached_property
    def explain(self) -> str:  # type: ignore[override]
        bias = " and a bias" if self.bias is not None else ""
        return f"A matrix of {self.out_features:,} × {self.in_features:,} weights{bias}."

    def outline(self, x: Tensor) -> Tensor:
        return x.new_empty(*x.shape[:-1], self.out_features)

    def reset_parameters(self) -> None:
        if self.weight.is_meta:  # there is nothing to fill, and analysis builds thousands of these
            return
        nn.init.normal_(self.weight, std=0.02)
        if self.bias is not None:
            nn.init.zeros_(self.bias)


class Embedding(Box, nn.Embedding):
    """A table with one vector per token, times a constant."""

    box = "embedding"
    label = "Embedding"

    def __init__(self, rows: int, width: int, scale: float = 1.0):
        self.scale = scale
        super().__init__(rows, width)

    def read_share(self, tensor: str) -> Fraction:
        return Fraction(1, self.num_embeddings)

    def reset_parameters(self) -> None:
        if not self.weight.is_meta:
            nn.init.normal_(self.weight, std=0.02)

    def forward(self, index: Tensor) -> Tensor:
        x = super().forward(index)
        return x if self.scale == 1 else x * torch.tensor(self.scale, dtype=x.dtype, device=x.device)


def normal(*shape: int) -> nn.Parameter:
    """A weight initialised like those of `Linear`."""
    weight = torch.empty(shape)
    return nn.Parameter(weight if weight.is_meta else nn.init.normal_(weight, std=0.02))


def times(x: Tensor, factor: float) -> Tensor:
    """x times a constant; no box in the picture if the constant is 1."""
    return x if factor == 1 else x * factor


class Lends:
    """A module whose output later layers may read through a `Borrow`."""

    lending = False  # whether a layer reads it
    latest: Tensor | None = None

    def lend(self, x: Tensor) -> Tensor:
        if self.lending:
            self.latest = x
        return x


class Cache(Lends, Box):
    """The cache of a layer: an identity until `caching` turns it on.

    The traced picture shows it as a box, cached decoding reads its `kept` tensor, and its bytes are the
    measured value of the closed form `Part.cache`.
    """

    box = "cache"
    label = "Cache"

    def __init__(self, window: int | None = None):
        super().__init__()
        self.window = window  # only the last tokens are kept
        self.on = False
        self.seen = 0  # tokens since it was turned on
        self.kept: Tensor | None = None

    @property
    def past(self) -> int:
        return 0 if self.kept is None else self.kept.shape[1]

    def forward(self, x: Tensor) -> Tensor:
        if self.on:
            new = x.shape[1]
            self.seen += new
            x = x if self.kept is None else torch.cat((self.kept, x), dim=1)  # (B, past + new, ...)
            if self.window is not None:
                x = x[:, -(self.window + new - 1) :]  # the first new token sees at most window - 1 earlier ones
            self.kept = x if self.window is None else x[:, -self.window :].clone()
        return self.lend(x)

    def clear(self, on: bool) -> None:
        self.on, self.seen, self.kept, self.latest = on, 0, None, None

    @property
    def nbytes(self) -> int:
        return 0 if self.kept is None else self.kept.numel() * self.kept.element_size()


class State(Box):
    """The recurrent state of a layer, of constant size. Before the first token it is zero.

        y, after = self.core(x, self.state.before(x))
        self.state(after)

    As with `Cache`, the traced picture shows it as a box, and its bytes are the measured value of `Part.state`.
    """

    box = "state"
    label = "State"

    kept: Tensor | None

    def __init__(self, *shape: int):
        super().__init__()
        self.shape = shape  # of one sequence
        self.clear(on=False)

    def before(self, x: Tensor) -> Tensor:
        """The state before the tokens of x (B, T, ...), (B, *shape)."""
        if self.kept is None:
            return torch.zeros(x.shape[0], *self.shape, dtype=x.dtype, device=x.device)
        return self.kept

    def forward(self, after: Tensor) -> Tensor:  # (B, *shape)
        if self.on:
            self.kept = after
        return after

    def clear(self, on: bool) -> None:
        self.on, self.kept = on, None

    @property
    def nbytes(self) -> int:
        return 0 if self.kept is None else self.kept.numel() * self.kept.element_size()


class Borrow(Box):
    """A tensor that another layer keeps or lends, read instead of computed again.

    Gemma 3n and 4 have it for keys and values. The model sets `source`.
    """

    box = "borrowed"
    label = "From an earlier layer"
    explain = "Read from an earlier layer, which lends it: this layer does not compute it again."

    def __init__(self, *width: int, dtype: torch.dtype | None = None):
        super().__init__()
        self.width, self.dtype = width, dtype
        self.source: tuple[Lends, ...] = ()  # a tuple, so that the source is not registered as a child

    def forward(self, x: Tensor) -> Tensor:
        if not self.source:  # when a part is traced alone, only the shape is known
            return x.new_zeros(*x.shape[:2], *self.width, dtype=self.dtype)
        latest = self.source[0].latest
        assert latest is not None  # an earlier layer has run
        return latest


@lru_cache(maxsize=1_024)
def marked(cls: type[Spec], mark: str) -> tuple[str, ...]:
    """The fields of this class whose type has the mark."""

    def has(annotation: object) -> bool:
        return mark in getattr(annotation, "__metadata__", ()) or any(map(has, get_args(annotation)))

    return tuple(name for name, field in cls.model_fields.items() if mark in field.metadata or has(field.annotation))


@lru_cache(maxsize=2_048)
def named(cls: type[Spec], field: str) -> tuple[str, ...]:
    """The names of a field that may hold a number of something; none if it cannot."""
    info = cls.model_fields[field]
    also = tuple(word for mark in info.metadata if isinstance(mark, Also) for word in mark.words)
    return (*also, field.replace("_", " ")) if members(info.annotation) & {int, bool} == {int} else also


def numbers(value: Spec) -> Iterator[tuple[str, float]]:
    """The numbers of a part or a residual and of the values in it, by each of their names."""
    for field, inner in value:
        if isinstance(inner, Spec):
            yield from numbers(inner)
        elif isinstance(inner, int | float) and not isinstance(inner, bool):
            yield from ((name, inner) for name in named(type(value), field))


def check_channels(field: str, many: int, each: int) -> None:
    """Raise ValueError if `many` heads or streams of `each` channels have more than MOST_CHANNELS channels."""
    if many * each > MOST_CHANNELS:
        raise ValueError(f"{field}: {many:,} × {each:,} channels are {many * each:,} in total; give at most {MOST_CHANNELS:,}")


def check_groups(field: str, whole: int, what: str, groups: int) -> None:
    """Raise ValueError if `whole` heads (or experts) do not divide into `groups` equal groups; it names the numbers that do."""
    if whole % groups:
        these = f"{whole:,} {what} do not divide into {groups:,} equal groups"
        raise ValueError(f"{field}: {these}; give {divisors(whole, groups)}")


def causal_pairs(new: int, past: int, window: int | None = None, chunk: int | None = None) -> int:
    """How many (query, key) pairs causal attention has for `new` queries after `past` keys.

    A query at position p sees p + 1 keys; in a window, min(p + 1, window); in chunks, the keys of its own chunk so far.
    """

    def upto(n: int) -> int:  # the pairs of the first n positions
        if window is not None and n > window:
            return window * (window + 1) // 2 + (n - window) * window
        if chunk is not None:
            full, rest = divmod(n, chunk)
            return full * chunk * (chunk + 1) // 2 + rest * (rest + 1) // 2
        return n * (n + 1) // 2

    return upto(past + new) - upto(past)


def entry_pairs(new: int, past: int, ratio: int, most: int | None = None) -> int:
    """(query, entry) pairs if every `ratio` tokens make one entry: the query at position p sees the (p + 1) // ratio complete
    entries, or the best `most` of them."""

    def upto(n: int) -> int:  # the pairs of the first n positions
        capped = 0
        if most is not None and n >= most * ratio:
            capped, n = (n - most * ratio + 1) * most, most * ratio - 1
        full, rest = divmod(n + 1, ratio)
        return capped + ratio * full * (full - 1) // 2 + rest * full

    return upto(past + new) - upto(past)


def scaled(width: int, scale: float, multiple: int = 8, least: int = 8) -> int:
    """A width times `scale`, rounded up to a multiple that grouped matrix products accept."""
    return max(least, math.ceil(width * scale / multiple) * multiple)
