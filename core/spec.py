"""An architecture as a value: named parts, and layers that say in which order blocks of them repeat.

    parts:  {attention: {kind: attention, ...}, dense: {kind: feed_forward, ...}, moe: {kind: experts, ...}}
    layers: [{repeat: 3, blocks: [[attention, dense]]}, {repeat: 58, blocks: [[attention, moe]]}]

The tree of the spec is the tree of the modules that `core.build` makes of it.
"""

import datetime
import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Set
from functools import cached_property
from itertools import groupby
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError, field_validator, model_serializer, model_validator
from torch import nn

from .accepts import accepts, plain
from .links import Link, check_ahead, fed, links
from .parts import AnyPart, AnyResidual
from .parts.base import Length, Line, Part, Positive, Spec, Text, Width, check_channels
from .parts.ngram import NGrams
from .parts.norm import Affine, Norm, RMSNorm
from .parts.position import Learned, Position
from .parts.residual import Residual
from .precision import CACHE_FORMATS, FORMATS, FormatName

MAX_LAYERS = 1_024
# Blocks that differ, and parts that stand in them: analysis looks at each once. The most varied published model has 16 and 32.
MAX_BLOCKS, MAX_PLACES = 64, 128
MAX_STEPS = 2_048  # that are written out; what repeats is written once
# Fields of an Architecture that are words about a model or its files and never change what is built.
METADATA = ("name", "title", "family", "model_type", "organisation", "released", "licence", "sources", "note", "head_twice",
            "unsized")  # fmt: skip


class Unsupported(ValueError):
    """What cannot be represented, in a sentence that a person can act on. It may quote a file: what cannot be printed is replaced."""

    def __init__(self, words: str):
        super().__init__("".join(c if c.isprintable() else "\ufffd" for c in " ".join(words.split())))


class _Frozen(dict):
    """A dict that is a value: it does not change, and equal ones are equal keys."""

    def _refuse(self, *_: Any, **__: Any) -> None:
        raise TypeError("an architecture is a value: make another one with model_copy(update=...)")

    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse  # type: ignore[assignment]

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))

    def __reduce__(self):
        return _Frozen, (dict(self),)


# A path of modules, such as moe.router.selection_bias.
ModulePath = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9_.]{1,200}$", description="a part's name and modules in it, with dots")
]
# What a block calls the norms and sums around its parts, and a second copy.
_TAKEN = re.compile(r"_(norm|add|read|\d+)$")
PartName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$", description="lower-case letters, digits and _")]


class Step(Spec):
    """One move on the residual stream: a part, or several side by side that read the same input and are summed.

    Written as the part's name alone where nothing else is said. `shortcut` delays a part's output by that many
    steps, past the parts in between (shortcut-connected experts, arXiv:2404.05019; LongCat).
    """

    parts: tuple[PartName, ...] = Field(min_length=1, max_length=4, description="Parts that read the same input")
    scale: Annotated[float, Field(gt=0, le=1e3)] = Field(1.0, description="The summed output is multiplied by this")
    aside: bool = Field(False, description="The output is added to what the next step reads, not to the stream (Zamba)")
    own_norms: bool = Field(False, description="Each parallel part has a norm of its own (GPT-NeoX)")
    unnormed: tuple[PartName, ...] = Field(
        (), max_length=3, description="Parts whose output joins without the norm that is after the others (Gemma 3n)"
    )
    shortcut: Annotated[dict[PartName, Annotated[int, Field(ge=1, le=8)]], AfterValidator(_Frozen)] = Field(
        default_factory=_Frozen,
        description="Part name to the number of steps by which its output joins the stream later",
    )
    residual: AnyResidual | None = Field(None, description="Where it differs from the model's")

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, value: Any) -> Any:
        return (
            {"parts": [value]}
            if isinstance(value, str)
            else {"parts": value}
            if isinstance(value, list | tuple)
            else value
        )

    @model_serializer(mode="wrap")
    def _plain(self, handler) -> Any:
        if self == Step(parts=self.parts):
            return self.parts[0] if len(self.parts) == 1 else list(self.parts)
        return handler(self)

    @model_validator(mode="after")
    def _consistent(self):
        if len(set(self.parts)) < len(self.parts):
            raise ValueError("parts: a part can stand only once in a step")
        if self.unnormed and (self.shortcut or not set(self.unnormed) < set(self.parts)):
            raise ValueError("unnormed: give some of this step's parts, not all, and no shortcut beside them")
        for name in self.shortcut:
            if name not in self.parts:
                raise ValueError(f"shortcut: {name} is not one of this step's parts ({', '.join(self.parts)})")
        return self


Block = Annotated[tuple[Step, ...], Field(min_length=1, max_length=16)]


class Segment(Spec):
    """Blocks in order, the whole list `repeat` times."""

    repeat: int = Field(1, ge=1, le=MAX_LAYERS, description="Times that the blocks are repeated")
    blocks: tuple[Block, ...] = Field(min_length=1, max_length=128, description="Blocks in order, each a list of parts")

    @property
    def pattern(self) -> str:
        """The blocks of one repeat in words: `5 × [local, dense], [global, dense]`."""
        blocks = ("[" + ", ".join("+".join(step.parts) for step in block) + "]" for block in self.blocks)
        return ", ".join(_times(len(list(run)), words) for words, run in groupby(blocks))


def _times(count: int, words: str) -> str:
    return f"{count} × {words}" if count > 1 else words


class Embedding(Spec):
    """From tokens to the stream: a table look-up, times `scale`."""

    scale: Positive | Literal["sqrt_d_model"] = Field(1.0, description="A number, or sqrt_d_model (Gemma)")
    norm: bool = Field(False, description="A norm on what enters the first block (BLOOM)")
    weightless: bool = Field(False, description="That norm has no weights, whatever the others have (Muse Glimmer)")
    affine: bool = Field(False, description="A learned shift and scale in the place of that norm (ZAYA)")
    width: Width | None = Field(
        None, description="The table's and the head's, where a projection joins them to the stream (ALBERT, OPT 350M)"
    )
    ngrams: NGrams | None = Field(
        None, description="Runs of tokens are looked up beside single ones (LongCat-Flash-Lite)"
    )

    @model_validator(mode="after")
    def _consistent(self):
        if self.weightless and not self.norm:
            raise ValueError("weightless: there is no norm on the embedding; set norm")
        return self


class Head(Spec):
    """From the stream to logits."""

    norm: bool = Field(True, description="A norm before it; post-norm models have none")
    bias: bool = Field(False, description="A bias on the logits")
    scale: Positive = Field(1.0, description="The logits are multiplied by this")
    softcap: Positive | None = Field(None, description="Logits pass through c * tanh(logit / c)")
    unit: Literal["tokens", "channels"] | None = Field(
        None, description="Each token's row of the matrix, or each channel's column, is first divided by its length"
    )
    kept: int | None = Field(
        None, ge=1, le=16_777_216, description="Only the first so many logits are given; further rows fill the table up"
    )


class MultiTokenPrediction(Spec):
    """Further modules that predict tokens after the next (DeepSeek-V3, arXiv:2412.19437, section 2.2): each joins the
    stream with the next token's embedding, runs one block and shares embedding and head with the model."""

    count: int = Field(1, ge=1, le=16, description="Tokens predicted beyond the next")
    block: Block = Field(description="The parts of each module")
    further: tuple[Block, ...] = Field(
        (), max_length=15, description="Those of each module after the first, where they are not all alike (Inkling)"
    )
    norm: bool = Field(True, description="A norm on what a module gives to the head (not in ERNIE 4.5)")
    residual: AnyResidual | None = Field(None, description="Where it differs from the model's: on one stream (Hy4)")
    one_join: bool = Field(
        False, description="All modules share the projection that joins, its norms and the last one (Qwen3-Next)"
    )
    copies: tuple[Literal["embedding", "head"], ...] = Field(
        (),
        max_length=2,
        description="What is the model's own and yet repeated in the files of every module (DeepSeek-V3)",
    )

    @model_validator(mode="after")
    def _consistent(self):
        if self.further and len(self.further) != self.count - 1:
            raise ValueError(f"further: give the parts of the {self.count - 1} modules after the first, or none")
        if len(set(self.copies)) < len(self.copies):
            raise ValueError("copies: name embedding and head once each")
        return self

    @property
    def each(self) -> tuple[tuple[Step, ...], ...]:
        """The block of every module, in order."""
        return (self.block, *self.further) if self.further else (self.block,) * self.count


class Architecture(Spec):
    """A published or edited architecture. Lengths in tokens, widths in channels; see each field's own words."""

    name: str = Field(
        pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$", description="Short name: lower-case letters, digits, . _ -"
    )
    title: Annotated[Line, Field(min_length=1, max_length=100)]
    family: Annotated[Line, Field(max_length=64)] | None = None
    model_type: Annotated[Line, Field(max_length=64)] | None = None
    organisation: Annotated[Line, Field(max_length=100)] | None = None
    released: datetime.date | None = None
    licence: Annotated[Line, Field(max_length=100)] | None = None
    sources: tuple[Text, ...] = Field((), max_length=32)
    note: Text | None = None

    vocab_size: int = Field(ge=1, le=16_777_216, description="Tokens in the vocabulary")
    d_model: int = Field(ge=1, le=262_144, description="Width of the residual stream")
    context: Length = Field(description="Longest text the model is meant for")
    tied_embeddings: bool = Field(False, description="The output head is the embedding table")
    head_twice: bool = Field(False, description="The files hold a tied head nevertheless, a second time (Qwen3 0.6B)")
    embedding: Embedding = Embedding()
    norm: Norm = RMSNorm()
    residual: AnyResidual = Residual()
    position: Position
    head: Head = Head()
    parts: Annotated[dict[PartName, AnyPart], Field(min_length=1, max_length=64), AfterValidator(_Frozen)]
    layers: tuple[Segment, ...] = Field(min_length=1, max_length=128)
    mtp: MultiTokenPrediction | None = Field(None, description="Multi-token-prediction modules, counted apart")
    precision: Annotated[dict[ModulePath, FormatName], Field(max_length=64), AfterValidator(_Frozen)] = Field(
        default_factory=lambda: _Frozen(default="bf16"),
        description="Stored format by module path, longest match first; `default` for the rest",
    )

    unsized: Text | None = Field(
        None, description="Why the bytes of the weights as shipped cannot be told; empty where `precision` says them"
    )

    @model_validator(mode="after")
    def _consistent(self):
        used = {name for block in self.distinct() for step in block for name in step.parts}
        foretold = set(self.mtp.each) if self.mtp else set()
        self._check_size({*self.distinct(), *foretold})
        used |= {name for block in foretold for step in block for name in step.parts}
        for name in sorted(used - set(self.parts)):
            raise ValueError(f"layers: {name} is not among the parts ({', '.join(self.parts)})")
        for block in self.distinct():
            self._check_block(block, self.residual)
        for block in foretold:
            self._check_block(block, self.ahead.residual)
        for name in sorted(set(self.parts) - used):
            raise ValueError(f"parts.{name}: no layer uses it; name it in a block or remove it")
        for name in self.parts:
            if (
                hasattr(nn.Module, name)
                or name in ("training", "moves", "layer_scale", "stream", "positions", "per_layer", "embedded")
                or _TAKEN.search(name)
            ):
                raise ValueError(f"parts.{name}: a block has something of that name already; choose another")
        for name, part in self.parts.items():
            if getattr(part, "vocab_size", None) not in (None, self.vocab_size):
                raise ValueError(f"parts.{name}.vocab_size: the model has {self.vocab_size:,} tokens; leave it empty")
        for name, part in self.parts.items():
            for holder in (part, *(value for _, value in part if isinstance(value, Part))):
                own = getattr(holder, "position", None)
                if own and own.added and own != self.position:
                    raise ValueError(
                        f"parts.{name}: position: {own.kind} ones are added to the embedding, which a part cannot do; give rope or none"
                    )
        for name in self.parts:
            try:
                self.part(name).check(self.d_model, self.context)
            except ValueError as error:
                raise ValueError(f"parts.{name}: {error}") from None
        _ = self.links, self.fed  # refuse what no layer lends
        check_ahead(self)
        self._check_ngrams()
        for path in self.precision:
            if path != "default" and path.split(".")[0] not in {
                *self.parts,
                "embedding",
                "embedding_norm",
                "head",
                "norm",
                "positions",
                "streams",
                "mtp",
            }:
                raise ValueError(
                    f"precision.{path}: give `default`, `embedding`, `head`, `norm`, `streams`, `mtp`, or a part such as "
                    f"{next(iter(self.parts))}"
                )
        check_channels("residual.streams", self.residual.streams, self.d_model)
        if self.ahead.residual.streams not in (1, self.residual.streams):
            raise ValueError(f"mtp.residual: give one stream, or as many as the model has, {self.residual.streams}")
        if self.mtp and self.embedding.width:
            raise ValueError(
                "embedding.width: multi-token prediction reads embeddings as wide as the stream; remove one"
            )
        if self.head.kept and self.head.kept > self.vocab_size:
            raise ValueError(
                f"head.kept: {self.head.kept:,} is more than the {self.vocab_size:,} logits; give 1 to {self.vocab_size:,}"
            )
        if isinstance(self.position, Learned) and self.context > self.position.length:
            raise ValueError(f"context: the position table has {self.position.length:,} rows; give at most that")
        return self

    def _check_size(self, blocks: Set[tuple[Step, ...]]) -> None:
        places = sum(len(step.parts) for block in blocks for step in block)
        if len(blocks) > MAX_BLOCKS or places > MAX_PLACES:
            raise ValueError(
                f"layers: {len(blocks):,} different blocks with {places:,} parts in them; "
                f"at most {MAX_BLOCKS} with {MAX_PLACES} are accepted"
            )
        written = sum(len(block) for segment in self.layers for block in segment.blocks)
        if written > MAX_STEPS:
            raise ValueError(
                f"layers: {written:,} steps are written out; at most {MAX_STEPS:,} are accepted: give blocks that repeat a `repeat`"
            )
        if self.depth > MAX_LAYERS:
            raise ValueError(f"layers: {self.depth:,} layers; at most {MAX_LAYERS:,} are accepted")

    def _check_ngrams(self) -> None:
        ngrams = self.embedding.ngrams
        if ngrams and ngrams.count > self.d_model:
            raise ValueError(
                f"embedding.ngrams: {ngrams.count} tables for a stream of {self.d_model} channels; give fewer"
            )
        if ngrams and (self.position.added or self.fed):
            raise ValueError(
                "embedding.ngrams: they stand alone; give no learned positions and no per-layer embeddings"
            )
        if ngrams and ngrams.end is not None and ngrams.end >= self.vocab_size:
            raise ValueError(f"embedding.ngrams.end: give a token below {self.vocab_size:,}")

    def _check_block(self, block: tuple[Step, ...], own: AnyResidual) -> None:
        residuals = [step.residual or own for step in block]
        try:
            for residual in residuals:
                residual.check_block(residuals, any(step.shortcut or step.aside for step in block))
        except ValueError as error:
            raise ValueError(f"layers: {error}") from None
        for index, step in enumerate(block):
            left = len(block) - 1 - index
            for name, delay in step.shortcut.items():
                if delay > left:
                    raise ValueError(f"layers: shortcut of {name}: {left} steps follow in its block; give at most that")
            if step.aside and (not left or step.shortcut or (step.residual or own).norm == "post"):
                raise ValueError(
                    "layers: aside: another step must follow in the block; leave out shortcuts and a norm after the sum"
                )
            if step.residual and step.residual.layer_scale:
                raise ValueError(
                    "layers: residual.layer_scale: it is the whole layer's; give it to the model's residual"
                )
            if step.residual and step.residual.streams != own.streams:
                raise ValueError(f"layers: residual: a step has as many streams as the model, {own.streams}")
            handed = (step.residual or own).handed(self.d_model)
            for name in (name for name in step.parts if self.parts[name].of_stream(self.d_model) != handed):
                *several, _ = self.parts[name].of_stream(self.d_model)
                wanted = f"{several[0]} streams; give its step the residual all_streams" if several else "one stream"
                raise ValueError(f"layers: {name} reads {wanted}")

    @cached_property
    def links(self) -> tuple[Link, ...]:
        """What layers read of earlier ones."""
        return tuple(links(self))

    @cached_property
    def fed(self) -> tuple[str, tuple[int, ...]] | None:
        """The part whose layers have an input of their own from a module beneath them all, and those layers."""
        return fed(self)

    @cached_property
    def sequence(self) -> tuple[tuple[Step, ...], ...]:
        """The block of every layer, in order."""
        return tuple(block for segment in self.layers for _ in range(segment.repeat) for block in segment.blocks)

    @property
    def depth(self) -> int:
        return sum(segment.repeat * len(segment.blocks) for segment in self.layers)

    def held(self) -> Counter[tuple[tuple[Step, ...], str]]:
        """How many sets of a tied part's weights each distinct block is the first to use, by block and part."""
        uses: Counter[str] = Counter()
        held: Counter[tuple[tuple[Step, ...], str]] = Counter()
        for block in self.sequence:
            for name in (name for step in block for name in step.parts if self.parts[name].tied):
                held[block, name] += uses[name] < self.parts[name].sets
                uses[name] += 1
        return held

    def distinct(self) -> dict[tuple[Step, ...], int]:
        """Each distinct block and how many layers are of it, in order of first appearance."""
        counts: Counter[tuple[Step, ...]] = Counter()
        for segment in self.layers:
            for block in segment.blocks:
                counts[block] += segment.repeat
        return dict(counts)

    @property
    def pattern(self) -> str:
        """The layers in words: `3 × [attention, dense], 58 × [attention, moe]`; `10 × (5 × [local, dense], [global, dense])`."""
        words = []
        for segment in self.layers:
            inner = segment.pattern
            alone = len(set(segment.blocks)) == 1 and inner.startswith("[")
            words.append(_times(segment.repeat, inner if alone or segment.repeat == 1 else f"({inner})"))
        return ", ".join(words)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> "Architecture":
        """Another architecture, which works out anew what this one may have kept."""
        copied = super().model_copy(update=update, deep=deep)
        for name in copied.__dict__.keys() - type(self).model_fields.keys():
            del copied.__dict__[name]
        return copied

    @property
    def ahead(self) -> "Architecture":
        """What the multi-token-prediction modules are built by: the architecture with a residual of their own."""
        own = self.mtp.residual if self.mtp else None
        return self.model_copy(update={"residual": own}) if own else self

    def part(self, name: str) -> Part:
        """The part with the model's norm and position where it names none of its own."""
        return self.parts[name].inherit(self.norm, self.position, self.vocab_size)

    def format(self, path: str, shape: tuple[int, ...], given: str | None = None) -> str:
        """The stored format of a tensor: `path` is `embedding`, `head`, `norm`, `streams` or `part.submodule...`.

        `given` replaces what is shipped. Formats for matrices leave vectors in the default one.
        """
        plain = self.precision.get("default", "bf16")
        pieces = path.split(".")
        shipped = next((f for n in range(len(pieces), 0, -1) if (f := self.precision.get(".".join(pieces[:n])))), plain)
        chosen = given or shipped
        if FORMATS[chosen].matrices_only and len(shape) < 2:
            return plain if not FORMATS[plain].matrices_only else "bf16"
        return chosen

    @property
    def table_width(self) -> int:
        """Channels of the embedding table and of what the head reads."""
        return self.embedding.width or self.d_model

    @property
    def embedding_norm(self) -> Norm | Affine | None:
        """What stands between the embedding and the first block."""
        if self.embedding.affine:
            return Affine()
        bare = {"weight": False} if self.embedding.weightless else {}
        return self.norm.model_copy(update=bare) if self.embedding.norm else None

    @property
    def embedding_scale(self) -> float:
        scale = self.embedding.scale
        return math.sqrt(self.d_model) if scale == "sqrt_d_model" else scale

    @cached_property
    def canonical(self) -> str:
        """The value as JSON with sorted keys and nothing that is its default."""
        return json.dumps(self.model_dump(mode="json", exclude_defaults=True), sort_keys=True, separators=(",", ":"))

    @cached_property
    def _hash(self) -> int:
        return hash(self.canonical)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Architecture) and self.canonical == other.canonical


class Workload(Spec):
    """What an architecture is asked to do: `batch` sequences of `context` tokens, weights and caches in a format.

    `weights=None` means as shipped.
    """

    batch: int = Field(1, ge=1, le=1_000_000, description="Sequences at once")
    context: Length = Field(4_096, description="Tokens in each sequence")
    weights: FormatName | None = Field(None, description="Format of the weights; as shipped if empty")
    cache: FormatName = Field("bf16", description="Format of the caches")

    @field_validator("cache")
    @classmethod
    def _of_vectors(cls, value: FormatName) -> FormatName:
        if value not in CACHE_FORMATS:
            raise ValueError(f"{value} is a format of matrices; give {', '.join(CACHE_FORMATS)}")
        return value


def sentence(error: ValidationError) -> str:
    """The first thing that is wrong with a spec: which field, what it is, what would be accepted."""
    first = error.errors(include_url=False)[0]
    given = first.get("input")
    where, accepted, most = accepts(Workload if error.title == Workload.__name__ else Architecture, first["loc"])
    match first["type"]:
        case "missing":
            message = f"is missing; give {accepted or 'a value'}"
        case "extra_forbidden":
            where = f"{where}." * bool(where) + str(first["loc"][-1])[:60]
            message = "is not a field of the spec; remove it"
        case "value_error":
            message = first["msg"].removeprefix("Value error, ")
        case "union_tag_invalid":
            where = f"{where}.kind"
            message = f"{first['ctx']['tag'][:40]!r} is none; accepted are {first['ctx']['expected_tags']}"
        case "union_tag_not_found":
            message = "expected a mapping with its `kind`"
        case _:
            whole = ", a whole number" if isinstance(given, float) and most is not None else ""
            message = f"give {accepted}{whole}{_not(given)}" if accepted else first["msg"]
    words = f"{where}: {message}" if where else message
    return words[:800]


def _not(given: Any) -> str:
    """What was given, as short as a sentence has room for."""
    match given:
        case None:
            return " (it is empty)"
        case str():
            return f" (not {given[:60]!r})"
        case bool():
            return f" (not {str(given).lower()})"
        case float() if math.isnan(given):
            return " (not a number)"
        case int() | float():
            return f" (not {plain(given)})" if abs(given) < 1e15 else " (not a number as large as that)"
    return ""


def edited(arch: Architecture, path: str, value: Any, also: Mapping[str, Any] = MappingProxyType({})) -> Architecture:
    """The architecture with one field changed: `edited(arch, "parts.moe.top_k", 4)`; and before it the fields of `also`, for
    what fits only together. Unsupported, with what would be accepted there, where it cannot be."""
    tree = arch.model_dump(mode="json")
    for where, given in (*also.items(), (path, value)):
        _put(tree, where, given, arch.title)
    try:
        return Architecture.model_validate(tree)
    except ValidationError as error:
        raise Unsupported(_beside(tree, path, value, error) or sentence(error)) from None


def _put(tree: Any, path: str, value: Any, title: str) -> None:
    *parents, last = path.split(".")
    try:
        for key in parents:
            tree = tree[int(key) if isinstance(tree, list) else key]
        tree[int(last) if isinstance(tree, list) else last] = value
    except (LookupError, TypeError, ValueError):
        raise Unsupported(f"{path}: {title} has no such field") from None


def _beside(tree: dict, path: str, value: Any, error: ValidationError) -> str:
    """The sentence about a whole number beyond the schema's bounds where the values beside it leave less than the schema
    does. The rules that join fields never see such a number, so they are asked about the largest that the schema has."""
    where, _, most = accepts(Architecture, error.errors(include_url=False)[0]["loc"])
    if where != path or most is None:
        return ""
    _put(tree, path, most, "")
    try:
        Architecture.model_validate(tree)
        return ""
    except ValidationError as beyond:
        words = sentence(beyond)
    asked = re.compile(rf"(?<![\d,])({most}|{most:,})(?![\d,])")
    why, _, advice = words.partition("; ")
    field, last = path.rpartition(".")[::2]
    if not advice or not asked.search(why) or not re.match(rf"{re.escape(field)}(: |\.){last}: ", why):
        return ""
    if isinstance(value, int) and most < value < 1e15 and " is more than " in why:
        return f"{asked.sub(f'{value:,}', why)}; {advice}"
    return f"{path}: {advice}{_not(value)}"


def parse(value: Mapping[str, Any]) -> Architecture:
    """The Architecture that a mapping describes, or Unsupported with a sentence."""
    try:
        return Architecture.model_validate(value)
    except ValidationError as error:
        raise Unsupported(sentence(error)) from None
    except RecursionError:
        raise Unsupported("the architecture is nested too deeply to be one") from None
