"""An architecture as a value: named parts, and layers that give the order in which blocks of them repeat.

    parts:  {attention: {kind: attention, ...}, dense: {kind: feed_forward, ...}, moe: {kind: experts, ...}}
    layers: [{repeat: 3, blocks: [[attention, dense]]}, {repeat: 58, blocks: [[attention, moe]]}]

The tree of the spec is the tree of the modules that `core.build` creates.
"""

import datetime
import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from difflib import get_close_matches
from functools import cached_property
from itertools import groupby
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError, field_validator, model_serializer, model_validator
from torch import nn

from .accepts import accepts, nearest, plain
from .links import Link, check_ahead, fed, links
from .parts import AnyPart, AnyResidual
from .parts.base import Also, Length, Line, Part, Positive, Spec, Text, Width, check_channels
from .parts.ngram import NGrams
from .parts.norm import Affine, Norm, RMSNorm
from .parts.position import Learned, Position
from .parts.renamed import path_today
from .parts.residual import Residual
from .precision import CACHE_FORMATS, FORMATS, FormatName, at_layers, in_layers, root

MAX_LAYERS = 1_024
# What `precision` calls the rest, and what is around the layers.
FRAME = ("default", "embedding", "embedding_norm", "head", "norm", "positions", "streams", "mtp")
# Different blocks, and parts in them: analysis visits each once. The most varied published model has 16 and 32.
MAX_BLOCKS, MAX_PLACES = 64, 128
MAX_STEPS = 2_048  # steps written out; repeated blocks are written once
# Fields of an Architecture that describe a model or its files and never change what is built.
METADATA = ("name", "title", "family", "model_type", "organisation", "released", "licence", "sources", "note", "head_twice",
            "unsized")  # fmt: skip


class Unsupported(ValueError):
    """Input that cannot be represented, with a sentence that says what to do. It may quote a file; unprintable characters are replaced."""

    def __init__(self, words: str):
        super().__init__("".join(c if c.isprintable() else "\ufffd" for c in " ".join(words.split())))


class _Frozen(dict):
    """A dict that is a value: immutable, and hashable by its content."""

    def _refuse(self, *_: Any, **__: Any) -> None:
        raise TypeError("an architecture is an immutable value; make another one with model_copy(update=...)")

    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse  # type: ignore[assignment]

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))

    def __reduce__(self):
        return _Frozen, (dict(self),)


# A module path, such as moe.router.selection_bias, in all layers or in some: moe.experts.down@0-3,7.
ModulePath = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9_.]{1,200}(@[0-9]{1,4}([,-][0-9]{1,4}){0,600})?$",
        description="a part's name and a module path in it, joined by dots; after an @, the layers from 0 that have the format, if not all",
    ),
]


def _in_order(formats: Mapping[str, str]) -> _Frozen:
    """The same, with the layers of each path in the shortest form: equal values are equal keys."""
    paths = ((path, at_layers(path)) for path in formats)
    return _Frozen({module if at is None else in_layers(module, at): formats[path] for path, (module, at) in paths})


# Names in a block that are not parts: norms and sums around parts, and a second copy.
_TAKEN = re.compile(r"_(norm|add|read|\d+)$")
PartName = Annotated[
    str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$", description="a letter, then at most 31 letters, digits or _, in lower case")
]


class Step(Spec):
    """One update of the residual stream: a part, or several parallel parts that read the same input and are summed.

    Written as only the part's name if all other fields are default. `shortcut` delays a part's output by that many
    steps, past the parts in between (shortcut-connected experts, arXiv:2404.05019; LongCat).
    """

    parts: tuple[PartName, ...] = Field(min_length=1, max_length=4, description="Parts that read the same input")
    scale: Annotated[float, Field(gt=0, le=1e3)] = Field(1.0, description="Factor on the summed output")
    aside: bool = Field(False, description="Adds the output to the next step's input, not to the stream (Zamba)")
    own_norms: bool = Field(False, description="Each parallel part has its own norm (GPT-NeoX)")
    unnormed: tuple[PartName, ...] = Field((), max_length=3, description="Parts whose output skips the output norm (Gemma 3n)")
    shortcut: Annotated[dict[PartName, Annotated[int, Field(ge=1, le=8)]], AfterValidator(_Frozen)] = Field(
        default_factory=_Frozen, description="Part name to the number of steps that delay its output"
    )
    residual: AnyResidual | None = Field(None, description="Residual of this step; the model's if empty")

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, value: Any) -> Any:
        return {"parts": [value]} if isinstance(value, str) else {"parts": value} if isinstance(value, list | tuple) else value

    @model_serializer(mode="wrap")
    def _plain(self, handler) -> Any:
        if self == Step(parts=self.parts):
            return self.parts[0] if len(self.parts) == 1 else list(self.parts)
        return handler(self)

    @model_validator(mode="after")
    def _consistent(self):
        if len(set(self.parts)) < len(self.parts):
            raise ValueError("parts: a part can occur only once in a step; remove the second")
        if self.unnormed and (self.shortcut or not set(self.unnormed) < set(self.parts)):
            raise ValueError("unnormed: give some of this step's parts, but not all of them, and no shortcut")
        for name in self.shortcut:
            if name not in self.parts:
                raise ValueError(f"shortcut: {name} is not one of this step's parts; give {' or '.join(self.parts)}")
        return self


Block = Annotated[tuple[Step, ...], Field(min_length=1, max_length=16)]


class Segment(Spec):
    """Blocks in order, the whole list `repeat` times."""

    repeat: int = Field(1, ge=1, le=MAX_LAYERS, description="Number of repeats of the blocks")
    blocks: tuple[Block, ...] = Field(min_length=1, max_length=128, description="Blocks in order, each of which is a list of parts")

    @cached_property
    def orders(self) -> frozenset[tuple[tuple[str, ...], ...]]:
        """The parts of every kind of block, step by step."""
        return frozenset(tuple(step.parts for step in block) for block in self.blocks)

    @property
    def pattern(self) -> str:
        """The blocks of one repeat in words: `5 × [local, dense], [global, dense]`."""
        blocks = ("[" + ", ".join("+".join(step.parts) for step in block) + "]" for block in self.blocks)
        return ", ".join(_times(len(list(run)), words) for words, run in groupby(blocks))


def _times(count: int, words: str) -> str:
    return f"{count:,} × {words}" if count > 1 else words


class Embedding(Spec):
    """From tokens to the stream: a look-up in the embedding table, times `scale`."""

    scale: Positive | Literal["sqrt_d_model"] = Field(1.0, description="Factor on the embeddings: a number, or sqrt_d_model (Gemma)")
    norm: bool = Field(False, description="A norm on the embeddings (BLOOM)")
    weightless: bool = Field(False, description="That norm has no learned weights (Muse Glimmer)")
    affine: bool = Field(False, description="A learned shift and scale instead of that norm (ZAYA)")
    width: Width | None = Field(None, description="Embedding size, if a projection maps it to d_model (ALBERT, OPT 350M)")
    ngrams: NGrams | None = Field(None, description="Embedding tables for n-grams (LongCat-Flash-Lite)")

    @model_validator(mode="after")
    def _consistent(self):
        if self.weightless and not self.norm:
            raise ValueError("weightless: there is no norm on the embedding; set norm")
        return self


class Head(Spec):
    """From the stream to logits."""

    norm: bool = Field(True, description="A norm before the output head; post-norm models have none")
    bias: bool = Field(False, description="A bias on the logits")
    scale: Positive = Field(1.0, description="Factor on the logits")
    softcap: Annotated[Positive | None, Also(("softcap", "final logit softcapping"))] = Field(
        None, description="Soft cap c on the logits: c * tanh(logit / c)"
    )
    unit: Literal["tokens", "channels"] | None = Field(
        None, description="Divides each token's row, or each channel's column, by its L2 norm"
    )
    kept: int | None = Field(None, ge=1, le=16_777_216, description="Number of logits; further rows of the matrix are padding")


class MultiTokenPrediction(Spec):
    """Modules that predict tokens after the next one (DeepSeek-V3, arXiv:2412.19437, section 2.2): each combines the
    stream with the next token's embedding, runs one block and shares embedding and head with the model."""

    count: int = Field(1, ge=1, le=16, description="Tokens predicted beyond the next")
    block: Block = Field(description="The parts of each module")
    further: tuple[Block, ...] = Field((), max_length=15, description="Blocks of the modules after the first, if they differ (Inkling)")
    norm: bool = Field(True, description="A norm between a module and the head (not in ERNIE 4.5)")
    residual: AnyResidual | None = Field(None, description="Residual of the modules; the model's if empty (Hy4)")
    one_join: bool = Field(False, description="All modules share the input projection and all norms around the block (Qwen3-Next)")
    copies: tuple[Literal["embedding", "head"], ...] = Field(
        (), max_length=2, description="The model's tables that the files repeat for every module (DeepSeek-V3)"
    )

    @model_validator(mode="after")
    def _consistent(self):
        if self.further and len(self.further) != self.count - 1:
            raise ValueError(f"further: give the parts of the {self.count - 1} modules after the first, or none")
        if len(set(self.copies)) < len(self.copies):
            raise ValueError("copies: a table is named twice; give embedding and head at most once each")
        return self

    @property
    def each(self) -> tuple[tuple[Step, ...], ...]:
        """The block of every module, in order."""
        return (self.block, *self.further) if self.further else (self.block,) * self.count


class Architecture(Spec):
    """A published or edited architecture. Lengths are in tokens, widths in channels; see the description of each field."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$", description="Short name: lower-case letters, digits, . _ -")
    title: Annotated[Line, Field(min_length=1, max_length=100)]
    family: Annotated[Line, Field(max_length=64)] | None = None
    model_type: Annotated[Line, Field(max_length=64)] | None = None
    organisation: Annotated[Line, Field(max_length=100)] | None = None
    released: datetime.date | None = None
    licence: Annotated[Line, Field(max_length=100)] | None = None
    sources: tuple[Text, ...] = Field((), max_length=32)
    note: Text | None = None

    vocab_size: int = Field(ge=1, le=16_777_216, description="Tokens in the vocabulary")
    d_model: int = Field(ge=1, le=262_144, description="Hidden size: channels of the residual stream")
    context: Length = Field(description="Context length that the model is meant for")
    tied_embeddings: bool = Field(False, description="Ties the output head to the embedding table")
    head_twice: bool = Field(False, description="The files store the tied head as a second copy (Qwen3 0.6B)")
    embedding: Embedding = Embedding()
    norm: Norm = RMSNorm()
    residual: AnyResidual = Residual()
    position: Position
    head: Head = Head()
    parts: Annotated[dict[PartName, AnyPart], Field(min_length=1, max_length=64), AfterValidator(_Frozen)]
    layers: tuple[Segment, ...] = Field(min_length=1, max_length=128)
    mtp: MultiTokenPrediction | None = Field(None, description="Multi-token-prediction modules, counted apart")
    precision: Annotated[dict[ModulePath, FormatName], Field(max_length=192), AfterValidator(_in_order)] = Field(
        default_factory=lambda: _Frozen(default="bf16"),
        description="Stored format by module path, with the longest match first; `default` for the rest. `path@0-3,7` is for some layers",
    )

    unsized: Text | None = Field(None, description="Why the bytes of the shipped weights are not known; empty if `precision` gives them")

    @property
    def meant_for(self) -> int | None:
        """The most tokens that the model is meant to read. None if no layer has attention: no length bounds the others, so the context
        in the model's files is bookkeeping."""
        used = {self.parts[name].role for block in self.distinct() for step in block for name in step.parts}
        return self.context if "attention" in used or isinstance(self.position, Learned) else None

    @model_validator(mode="after")
    def _consistent(self):
        used = {name for block in self.distinct() for step in block for name in step.parts}
        foretold = set(self.mtp.each) if self.mtp else set()
        self._check_size({*self.distinct(), *foretold})
        used |= {name for block in foretold for step in block for name in step.parts}
        for name in sorted(used - set(self.parts)):
            raise ValueError(f"layers: {name} is not one of the parts; give one of {', '.join(self.parts)}")
        for block in self.distinct():
            self._check_block(block, self.residual)
        for block in foretold:
            self._check_block(block, self.ahead.residual)
        self._check_residuals(foretold)
        for name in sorted(set(self.parts) - used):
            raise ValueError(f"parts.{name}: no layer uses it; name it in a block or remove it")
        for name in self.parts:
            if (
                hasattr(nn.Module, name)
                or name in ("training", "moves", "layer_scale", "stream", "positions", "per_layer", "embedded")
                or _TAKEN.search(name)
            ):
                raise ValueError(f"parts.{name}: blocks use this name already; choose another name")
        for name, part in self.parts.items():
            if getattr(part, "vocab_size", None) not in (None, self.vocab_size):
                raise ValueError(f"parts.{name}.vocab_size: the model has {self.vocab_size:,} tokens; leave it empty")
        for name, part in self.parts.items():
            for holder in (part, *(value for _, value in part if isinstance(value, Part))):
                own = getattr(holder, "position", None)
                if own and own.added and own != self.position:
                    raise ValueError(
                        f"parts.{name}: position: {own.kind} positions are added to the embedding, not in a part; give rope or none"
                    )
        for name in self.parts:
            try:
                self.part(name).check(self.d_model, self.context)
            except ValueError as error:
                raise ValueError(f"parts.{name}: {error}") from None
        _ = self.links, self.fed  # refuses reads that no layer lends
        check_ahead(self)
        self._check_ngrams()
        self._check_precision()
        check_channels("residual.streams", self.residual.streams, self.d_model)
        if self.ahead.residual.streams not in (1, self.residual.streams):
            raise ValueError(f"mtp.residual: give one stream, or {self.residual.streams}, as many as the model has")
        if self.mtp and self.embedding.width:
            raise ValueError("embedding.width: multi-token prediction needs embeddings as wide as the stream; remove width or mtp")
        if self.head.kept and self.head.kept > self.vocab_size:
            raise ValueError(f"head.kept: {self.head.kept:,} is more than the {self.vocab_size:,} logits; give 1 to {self.vocab_size:,}")
        if isinstance(self.position, Learned) and self.context > self.position.length:
            raise ValueError(f"context: it is more than the rows of the position table; give at most {self.position.length:,}")
        return self

    def _check_size(self, blocks: Set[tuple[Step, ...]]) -> None:
        places = sum(len(step.parts) for block in blocks for step in block)
        if len(blocks) > MAX_BLOCKS or places > MAX_PLACES:
            raise ValueError(
                f"layers: {len(blocks):,} different blocks with {places:,} parts in them are too many; "
                f"give at most {MAX_BLOCKS} with {MAX_PLACES}"
            )
        written = sum(len(block) for segment in self.layers for block in segment.blocks)
        if written > MAX_STEPS:
            raise ValueError(f"layers: {written:,} steps are written out; give at most {MAX_STEPS:,}, and use `repeat` for repeated blocks")
        if self.depth > MAX_LAYERS:
            raise ValueError(f"layers: {self.depth:,} layers are too many; give at most {MAX_LAYERS:,}")

    def _check_precision(self) -> None:
        for path in self.precision:
            if root(path) not in {*self.parts, *FRAME} or path.startswith("default."):
                raise ValueError(
                    f"precision.{path[:200]}: give `default`, `embedding`, `head`, `norm`, `streams`, `mtp`, or a part such as "
                    f"{next(iter(self.parts))}"
                )
            if "@" in path and (root(path) not in {*self.parts, "norm", "streams"} or getattr(self.parts.get(root(path)), "tied", False)):
                raise ValueError(f"precision.{path[:200]}: layers share these weights, or have none; remove the @ and what follows")
        for module, them in self._by_layer.items():
            if sum(len(layers) for layers, _ in them) > len({layer for layers, _ in them for layer in layers}):
                raise ValueError(f"precision.{module}: a layer has two formats; name each layer once")

    def _check_ngrams(self) -> None:
        ngrams = self.embedding.ngrams
        if ngrams and ngrams.count > self.d_model:
            raise ValueError(f"embedding.ngrams: {ngrams.count} tables are too many for a stream of {self.d_model} channels; give fewer")
        if ngrams and (self.position.added or self.fed):
            raise ValueError("embedding.ngrams: not possible with learned positions or per-layer embeddings; remove one of them")
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
                    raise ValueError(f"layers: shortcut of {name}: {left} steps follow in its block; give at most {left}")
            if step.aside and (not left or step.shortcut or (step.residual or own).norm == "post"):
                raise ValueError("layers: aside: another step must follow in the block; remove shortcuts and any norm after the sum")
            if step.residual and step.residual.layer_scale:
                raise ValueError("layers: residual.layer_scale: it applies to the whole layer; set it in the model's residual")
            if step.residual and step.residual.streams != own.streams:
                raise ValueError(f"layers: residual: a step needs as many streams as the model; give {own.streams}")
            handed = (step.residual or own).handed(self.d_model)
            for name in (name for name in step.parts if self.parts[name].of_stream(self.d_model) != handed):
                *several, _ = self.parts[name].of_stream(self.d_model)
                wanted = f"{several[0]} streams; give its step the residual all_streams" if several else "one stream"
                raise ValueError(f"layers: {name} reads {wanted}")

    def _check_residuals(self, foretold: Set[tuple[Step, ...]]) -> None:
        steps = {self.residual, *(step.residual or self.residual for block in self.distinct() for step in block)}
        ahead = {step.residual or self.ahead.residual for block in foretold for step in block}
        try:
            for residual in steps | ahead:
                residual.check_layers(self.depth, steps, residual in ahead)
        except ValueError as error:
            raise ValueError(f"{error}") from None

    @cached_property
    def links(self) -> tuple[Link, ...]:
        """What layers read from earlier ones."""
        return tuple(links(self))

    @cached_property
    def fed(self) -> tuple[str, tuple[int, ...]] | None:
        """The part whose layers get their own input from a module below all layers, and those layers."""
        return fed(self)

    @cached_property
    def sequence(self) -> tuple[tuple[Step, ...], ...]:
        """The block of every layer, in order."""
        return tuple(block for segment in self.layers for _ in range(segment.repeat) for block in segment.blocks)

    @property
    def depth(self) -> int:
        return sum(segment.repeat * len(segment.blocks) for segment in self.layers)

    def held(self) -> Counter[tuple[tuple[Step, ...], str]]:
        """By block and part: the number of a tied part's weight sets that this distinct block is the first to use."""
        uses: Counter[str] = Counter()
        held: Counter[tuple[tuple[Step, ...], str]] = Counter()
        for block in self.sequence:
            for name in (name for step in block for name in step.parts if self.parts[name].tied):
                held[block, name] += uses[name] < self.parts[name].sets
                uses[name] += 1
        return held

    def distinct(self) -> dict[tuple[Step, ...], int]:
        """Each distinct block and its number of layers, in order of first appearance."""
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
        """Another architecture, without the values that this one has cached."""
        copied = super().model_copy(update=update, deep=deep)
        for name in copied.__dict__.keys() - type(self).model_fields.keys():
            del copied.__dict__[name]
        return copied

    @property
    def ahead(self) -> "Architecture":
        """The architecture that the multi-token-prediction modules are built from: with their own residual."""
        own = self.mtp.residual if self.mtp else None
        return self.model_copy(update={"residual": own}) if own else self

    def part(self, name: str) -> Part:
        """The part with the model's norm and position if it has none of its own."""
        return self.parts[name].inherit(self.norm, self.position, self.vocab_size)

    @cached_property
    def _by_layer(self) -> dict[str, list[tuple[frozenset[int], str]]]:
        """What `precision` says of some layers, by module path."""
        found: dict[str, list[tuple[frozenset[int], str]]] = {}
        for path, fmt in self.precision.items():
            module, layers = at_layers(path)
            if layers is not None:
                found.setdefault(module, []).append((layers, fmt))
        return found

    def format(self, path: str, shape: tuple[int, ...], given: str | None = None, layer: int | None = None) -> str:
        """The stored format of a tensor: `path` is `embedding`, `head`, `norm`, `streams` or `part.submodule...`.

        `given` replaces the shipped format. With a format for matrices, vectors keep the default format. Without `layer`, what
        `precision` says of all layers.
        """
        plain = self.precision.get("default", "bf16")
        pieces = path.split(".")
        modules = (".".join(pieces[:n]) for n in range(len(pieces), 0, -1))
        shipped = next((fmt for module in modules if (fmt := self._said(module, layer))), plain)
        chosen = given or shipped
        if FORMATS[chosen].matrices_only and len(shape) < 2:
            return plain if not FORMATS[plain].matrices_only else "bf16"
        return chosen

    def _said(self, module: str, layer: int | None) -> str | None:
        here = (fmt for layers, fmt in self._by_layer.get(module, ()) if layer in layers)
        return next(here, self.precision.get(module))

    @cached_property
    def varied(self) -> bool:
        """Whether layers, or pieces of one tensor, are stored in different formats."""
        return bool(self._by_layer) or any(self._in_pieces(f"{name}.{path}") for name, part in self.parts.items() for path in part.pieces)

    def _in_pieces(self, path: str) -> bool:
        """Whether `precision` names pieces of this tensor."""
        return any(piece in self._by_layer or piece in self.precision for piece in self.pieces(path, ()))

    def stored(self, path: str, shape: tuple[int, ...], given: str | None = None, layers: Sequence[int] = ()) -> dict[str, int]:
        """Bytes of a tensor by its stored format: those of all these layers together, or of one if none are given."""
        if given or not self.varied:
            fmt = self.format(path, shape, given)
            return {fmt: max(len(layers), 1) * FORMATS[fmt].bytes(shape)}
        found: Counter[str] = Counter()
        for piece, rows in (self.pieces(path, shape) if self._in_pieces(path) else {path: shape}).items():
            for fmt, count in Counter(self.format(piece, rows, layer=layer) for layer in layers or (None,)).items():
                found[fmt] += count * FORMATS[fmt].bytes(rows)
        return found

    def pieces(self, path: str, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        """The pieces of a tensor that some files store apart, by their paths in `precision`; the tensor itself if it is always one."""
        name, _, inner = path.partition(".")
        rows = self.parts[name].pieces.get(inner, {}) if name in self.parts else {}
        return {f"{path.removesuffix('.weight')}.{piece}": (n, *shape[1:]) for piece, n in rows.items()} or {path: shape}

    @property
    def table_width(self) -> int:
        """Channels of the embedding table and of the head's input."""
        return self.embedding.width or self.d_model

    @property
    def embedding_norm(self) -> Norm | Affine | None:
        """The norm or affine map between the embedding and the first block."""
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
        """The value as JSON with sorted keys and without defaults."""
        return json.dumps(self.model_dump(mode="json", exclude_defaults=True), sort_keys=True, separators=(",", ":"))

    @cached_property
    def _hash(self) -> int:
        return hash(self.canonical)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Architecture) and self.canonical == other.canonical


class Workload(Spec):
    """The task for an architecture: `batch` sequences of `context` tokens, weights and caches in a format.

    `weights=None` means as shipped.
    """

    batch: int = Field(1, ge=1, le=1_000_000, description="Sequences in parallel")
    context: Length = Field(4_096, description="Tokens in each sequence")
    weights: FormatName | None = Field(None, description="Format of the weights; the shipped formats if empty")
    cache: FormatName = Field("bf16", description="Format of the caches")

    @field_validator("cache")
    @classmethod
    def _of_vectors(cls, value: FormatName) -> FormatName:
        if value not in CACHE_FORMATS:
            raise ValueError(f"{value} is a format for matrices only; give one of {', '.join(CACHE_FORMATS)}")
        return value


def sentence(error: ValidationError) -> str:
    """The first error in a spec: which field, what is wrong, what is accepted."""
    first = error.errors(include_url=False)[0]
    given = first.get("input")
    of = Workload if error.title == Workload.__name__ else Architecture
    where, accepted, most = accepts(of, first["loc"])
    match first["type"]:
        case "missing":
            message = f"is missing; give {accepted or 'a value'}"
        case "extra_forbidden":
            where = f"{where}." * bool(where) + str(first["loc"][-1])[:60]
            near = nearest(of, first["loc"])
            message = f"is not a field of the spec; {f'the nearest is {near}' if near else 'remove it'}"
        case "value_error":
            message = first["msg"].removeprefix("Value error, ")
        case "union_tag_invalid":
            where = f"{where}.kind"
            message = f"{first['ctx']['tag'][:40]!r} is not one of its kinds; give one of {first['ctx']['expected_tags']}"
        case "union_tag_not_found":
            message = "expected a mapping with its `kind`"
        case _:
            message = f"give {accepted}{_not(given, most is not None)}" if accepted else first["msg"]
    words = f"{where}: {message}" if where else message
    return words[:800]


def _not(given: Any, whole: bool = False) -> str:
    """The given value, short enough for a sentence; before it, that a whole number is needed, if it is not one."""
    if whole and isinstance(given, float):
        return f", a whole number{_not(given)}"
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
    changes that are valid only together. Unsupported, with what is accepted there, if it is not valid."""
    tree = arch.model_dump(mode="json")
    for where, given in (*also.items(), (path, value)):
        _put(tree, where, given, arch.title)
    try:
        return Architecture.model_validate(tree)
    except ValidationError as error:
        raise Unsupported(_beside(tree, path, value, error) or sentence(error)) from None


def _put(tree: Any, path: str, value: Any, title: str) -> None:
    *parents, last = path_today(tree, path).split(".")
    key = last
    try:
        for key in parents:
            tree = tree[int(key) if isinstance(tree, list) else key]
        tree[int(last) if isinstance(tree, list) else last] = value
    except (LookupError, TypeError, ValueError):
        near = get_close_matches(key[:60], tree, 1) if isinstance(tree, dict) else []
        raise Unsupported(f"{path[:200]}: {title} has no such field{f'; the nearest of {key[:60]} is {near[0]}' if near else ''}") from None


def _beside(tree: dict, path: str, value: Any, error: ValidationError) -> str:
    """The sentence about a whole number above the schema's bound, if other fields allow even less than the schema
    does. Rules between fields never see such a number, so this tries the largest number that the schema allows."""
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
    return f"{path}: {advice}{_not(value, whole=True)}"


def parse(value: Mapping[str, Any]) -> Architecture:
    """The Architecture that a mapping describes, or Unsupported with a sentence."""
    try:
        return Architecture.model_validate(value)
    except ValidationError as error:
        raise Unsupported(sentence(error)) from None
    except RecursionError:
        raise Unsupported("the architecture is nested too deeply to be one") from None
