"""GGUF files in: the architecture that a header describes, how its tensors are stored, and their values.

`header` reads a file's header, `config` says it in the keys of a config.json, which the ordinary families read, and `tensors` knows
which tensors each of our parameters is made of.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...cost import cost
from ...model import Model, build, shapes
from ...parts.base import Shape
from ...precision import FORMATS, in_layers
from ...share import MAX_TOKEN, encode
from ...spec import Architecture, Unsupported, parse
from .. import Default, from_hf, noted, shaping
from ..reading.config import FILLED
from ..reading.quantised import shortest
from ..weights.checkpoint import Reader, Source, fill
from ..weights.tensors import in_part, layer_of, stored_bytes
from . import tensors
from .config import translate
from .header import Header, of_bytes, read
from .kinds import KINDS
from .said import MEANINGS

__all__ = ["File", "from_gguf", "of_bytes", "read"]

# ggml's types -> the spec's formats. q4_0 and iq4_nl are blocks of 32 with a 16-bit scale, which is int4 here.
TYPES = {
    "F32": "fp32", "F16": "fp16", "BF16": "bf16", "MXFP4": "mxfp4", "NVFP4": "nvfp4", "Q4_0": "int4", "IQ4_NL": "int4", "I64": "int64",
} | {name.upper(): name for name in FORMATS if re.match(r"i?q\d_|tq\d_", name)}  # fmt: skip


@dataclass(frozen=True)
class Found:
    """One of our parameters: the tensors of the file that it is made of, or none."""

    path: str
    shape: tuple[int, ...]
    way: Source | None
    missing: str = ""  # the tensor that it needs, where the file does not have it


@dataclass(frozen=True)
class File:
    """A GGUF file beside the architecture that its header describes, or that it is to be compared with."""

    header: Header
    architecture: Architecture

    @cached_property
    def parameters(self) -> dict[str, Shape]:
        """Ours, and the buffers that files hold; a tied one by its first name."""
        parameters, buffers = shapes(self.architecture)
        return parameters | buffers

    @cached_property
    def found(self) -> list[Found]:
        """Every parameter, and the first way in which the file holds it."""
        names = self.header.tensors
        out = []
        for path, ways in tensors.sources(self.architecture, self.header.arch, self.parameters, names):
            if not ways[0].names:
                continue
            held = [way for way in ways if all(name in names for name in way.names)]
            way = next((way for way in held if self.made(way) == self.parameters[path]), held[0] if held else None)
            lost = "" if way else next((name for name in ways[0].names if name not in names), path)
            out.append(Found(path, self.parameters[path], way, lost))
        return out

    def made(self, way: Source) -> Shape | None:
        """The shape of what these tensors make; None where nothing can be made of them."""
        key = way.make, tuple(self.header.tensors[name].shape for name in way.names)
        if key not in self._made:
            try:
                with torch.device("meta"):
                    self._made[key] = tuple(way.made(*map(torch.empty, key[1])).shape)
            except Unsupported:
                self._made[key] = None
        return self._made[key]

    @cached_property
    def _made(self) -> dict[tuple[Any, tuple[Shape, ...]], Shape | None]:
        """What is made of which shapes: most layers are alike."""
        return {}

    @cached_property
    def used(self) -> set[str]:
        return {name for one in self.found if one.way for name in one.way.names}

    @cached_property
    def differences(self) -> list[str]:
        """What the tensors say otherwise than the architecture, a sentence each."""
        said = []
        for one in self.found:
            if one.way is None:
                said.append(f"{one.missing}: is missing ({one.path} needs it)")
            elif (made := self.made(one.way)) is None or squeezed(made) != squeezed(one.shape):
                shapes = " and ".join(str(self.header.tensors[name].shape) for name in one.way.names[:2])
                said.append(f"{one.way.names[0]}: has shape {shapes}; the architecture needs {one.shape} for {one.path}")
        left = sorted(name for name in self.header.tensors if name not in self.used and not self.idle(name))
        return said + [f"{name}: is in the file, but not in the architecture" for name in left]

    def idle(self, name: str) -> bool:
        """Tensors that are no part of the compared model: tables of positions, modules that predict ahead, what nothing
        reads: keys and values of layers that borrow a cache, RWKV's first value weights."""
        layer = re.match(r"blk\.(\d{1,9})\.(.*)", name)
        if layer and int(layer[1]) < self.architecture.depth:
            mixer = self.architecture.parts[self.architecture.sequence[int(layer[1])][0].parts[0]]
            borrows = getattr(mixer, "cache_from", None) and re.match(r"attn_(k|v|k_norm)\.weight$", layer[2])
            unused = self.header.arch == "rwkv7" and layer[1] == "0" and layer[2].startswith("time_mix_v")
            return bool(borrows) or unused or tensors.is_table(name)
        return bool(layer) or tensors.is_table(name)

    @cached_property
    def bytes(self) -> int:
        """Of the tensors that the model is made of."""
        return sum(self.header.tensors[name].bytes for name in self.used)

    @cached_property
    def apart(self) -> dict[str, int]:
        """Bytes of the tensors that are no part of the compared model."""
        others = sum(one.bytes for name, one in self.header.tensors.items() if name not in self.used and self.idle(name))
        return {"other": others} if others else {}

    def stored(self) -> Architecture:
        """The architecture with the formats of the file's tensors. Where `precision` cannot say them, `unsized` says why."""
        value = self.architecture.model_dump()
        try:
            arch = parse(value | {"precision": self._formats(), "unsized": None})
            if (size := sum(stored_bytes(arch, one.path, one.shape) for one in self.found)) != self.bytes:
                raise Unsupported(f"the file's tensors have {self.bytes:,} bytes, and these formats would have {size:,}")
            ahead = sum(row.weight_bytes or 0 for row in cost(arch).rows if row.part == "mtp") if arch.mtp else 0
            if arch.mtp and ahead != sum(self.apart.values()):
                raise Unsupported("the modules that predict ahead are stored in other formats than the layers")
            if len(encode(arch)) > MAX_TOKEN:
                raise Unsupported("its formats differ from layer to layer in a way that is too long for a link")
            return arch
        except Unsupported as error:
            said = f"{error}; its tensors have {self.bytes:,} bytes together"
            return Architecture.model_validate(value | {"precision": {"default": "fp32"}, "unsized": said[:1_000]})

    def _formats(self) -> dict[str, str]:
        """`precision` for the types of the file's tensors: by part, then by what differs in it, then by layers that differ."""
        arch = self.architecture
        held = [(in_part(arch, one.path), one, [self._format(name) for name in one.way.names]) for one in self.found if one.way]
        apart = {path for path, _, formats in held if len(set(formats)) > 1}
        ranks = {path: len(one.shape) for path, one, _ in held}
        found: dict[str, dict[int | None, str]] = defaultdict(dict)  # a tensor's path in its part -> its format, layer by layer
        for path, one, formats in held:
            pieces = list(arch.pieces(path, one.shape)) if path in apart else [path] * len(formats)
            if len(pieces) != len(formats):
                raise Unsupported(f"{path} is in {' and '.join(sorted(set(formats)))} within one layer; the spec says one format for each")
            for piece, fmt in zip(pieces, formats, strict=True):
                if (other := found[piece].setdefault(layer_of(one.path), fmt)) != fmt:
                    raise Unsupported(f"{piece} is in {fmt} and {other} within one layer; the spec says one format for each")
        usual = {path: max(sorted(set(them.values())), key=list(them.values()).count) for path, them in found.items()}
        vectors = [fmt for path, fmt in usual.items() if ranks.get(path) == 1]
        plain = max(sorted(set(vectors)), key=vectors.count) if vectors else "fp32"
        around, differing = {}, {}
        for path, fmt in usual.items():
            name = path.partition(".")[0]
            if name not in arch.parts and fmt != plain:
                around[name if name in ("embedding", "head", "positions") else path.removesuffix(".weight")] = fmt
            module = path.removesuffix(".weight")
            module = path if any(other.startswith(f"{module}.") for other in usual.keys() - {path}) else module
            for other in sorted(set(found[path].values()) - {fmt}):
                layers = [layer for layer, one in found[path].items() if one == other and layer is not None]
                differing[in_layers(module, layers)] = other
        join = f"blk.{arch.depth}.nextn.eh_proj.weight"
        around |= {"mtp": self._format(join)} if arch.mtp and join in self.header.tensors else {}
        return {"default": plain} | around | shortest(arch, usual, plain) | differing

    def _format(self, name: str) -> str:
        if (dtype := self.header.tensors[name].dtype) not in TYPES:
            raise Unsupported(f"{name} is in {dtype}, whose size is not known here")
        return TYPES[dtype]

    def values(self) -> "Values":
        if self.header.arch in tensors.UNREADY:
            raise Unsupported(
                f"{self.header.arch}: its GGUF files hold some weights in another form, which is not read here yet; give safetensors"
            )
        return Values(self.header)

    def filled(self) -> Model:
        """The model on the processor with the file's weights in 32 bits; narrow matrices are widened by gguf's own `dequantize`."""
        if self.differences:
            raise Unsupported(self.differences[0])
        values = self.values()
        model = build(self.architecture).to_empty(device="cpu")
        every = dict(model.named_parameters(remove_duplicate=False)) | dict(model.named_buffers())
        names = {name: name for name in self.header.tensors}
        fill(model, Reader(values, names), tensors.sources(self.architecture, self.header.arch, every, names), self.idle)
        return model


class Values(Mapping[str, Tensor]):
    """The tensors of a file in 32 bits, each read from disk when it is asked for."""

    def __init__(self, header: Header):
        self.tensors = header.tensors

    def __getitem__(self, name: str) -> Tensor:
        import numpy as np
        from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, dequantize

        one = self.tensors[name]
        kind = GGMLQuantizationType[one.dtype]
        data = np.fromfile(one.file, np.uint8, one.bytes, offset=one.at)
        plain = {"F32": np.float32, "F16": np.float16}.get(one.dtype)
        if plain is not None:
            return torch.from_numpy(data.view(plain).astype(np.float32).reshape(one.shape))
        block, width = GGML_QUANT_SIZES[kind]
        try:
            rows = dequantize(data.reshape(*one.shape[:-1], one.shape[-1] // block * width), kind)
        except (NotImplementedError, ValueError) as error:
            raise Unsupported(f"{name}: is in {one.dtype}, which gguf cannot widen ({str(error)[:80]})") from None
        return torch.from_numpy(rows.astype(np.float32).reshape(one.shape))

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)


def from_gguf(source: str | Path | Header) -> Architecture:
    """The Architecture that a GGUF file's header describes, its tensors' stored formats included.

    Raises Unsupported for a header that cannot be read or represented, and where header and tensors contradict each other.
    """
    file = opened(source)
    if file.differences:
        more = f" ({len(file.differences):,} such differences)" if len(file.differences) > 1 else ""
        left = f". {file.architecture.note}" if file.architecture.note else ""
        raise Unsupported(f"the header and the tensors of this GGUF file contradict each other: {file.differences[0]}{more}{left}")
    return file.stored()


def opened(source: str | Path | Header) -> File:
    """A file with the architecture of its header alone."""
    header = source if isinstance(source, Header) else read(source)
    filled: dict[str, Any] = {}
    token = FILLED.set(filled)
    try:
        arch = from_hf(translate(header))
    finally:
        FILLED.reset(token)
    return File(_without_holes(header), noted(arch, _taken(header, arch, filled), "Not in the GGUF header, so defaults:"))


def _taken(header: Header, arch: Architecture, filled: Mapping[str, Any]) -> list[Default]:
    """What was taken for keys that the header does not have, by its own names of them, if the model has what they are about."""
    own, names = f"{header.arch}.", KINDS[header.arch].names
    keys = {names.get(name, name): own + key for key, name in MEANINGS.items()}
    found = [Default(keys[one.key], one.value) for one in shaping(filled) if one.key in keys]
    found += [Default(key, value) for key, value in filled.items() if key.startswith(own)]
    parts = arch.parts.values()
    absent = [] if any(part.reach for part in parts) else ["attention.sliding_window"]
    for role, begin in (("experts", "expert_"), ("feed_forward", "feed_forward_length")):
        absent += [] if any(part.role == role for part in parts) else [begin]
    places = {(getattr(part, "position", None) or arch.position).kind for part in parts if part.mixes}
    absent += ["rope."] if places == {"none"} else []
    return [one for one in found if one.key not in header.said and not one.key.startswith(tuple(own + begin for begin in absent))]


def _without_holes(header: Header) -> Header:
    """The header with its layers numbered on, for a model of which some layers have no part at all: ours does not have them."""
    if header.arch != "deci":
        return header
    split = [(name, re.match(r"blk\.(\d{1,9})\.(.*)", name)) for name in header.tensors]
    numbers = {layer: index for index, layer in enumerate(sorted({int(found[1]) for _, found in split if found}))}
    names = {name: f"blk.{numbers[int(found[1])]}.{found[2]}" if found else name for name, found in split}
    return replace(header, tensors={names[name]: one for name, one in header.tensors.items()})


def squeezed(shape: Sequence[int]) -> list[int]:
    """A shape without dimensions of one, which GGUF files drop and add."""
    return [length for length in shape if length > 1]
