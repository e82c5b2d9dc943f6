"""The header of a GGUF file: what it says of its model, and the name, type and shape of every tensor
(github.com/ggml-org/ggml, docs/gguf.md). Only the header is read, in place; no memory is allocated for sizes that it only claims."""

import math
import mmap
import os
import re
import struct
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

from ...spec import Unsupported

MOST_TENSORS, MOST_KEYS = 50_000, 5_000  # in a header: published ones have about 20,000 and 1,000
MOST_TEXTS = 1_500_000  # in all its lists: vocabularies and merges have about 300,000 each
MOST_VALUES = 2**59  # in one tensor, so that its bytes do not overflow
MOST_ENTRIES = 4_096  # of a list that is kept: one entry for each layer; longer lists are the tokenizer's
MOST_TEXT, MOST_KEPT = 100_000, 4_000_000  # bytes of a text that is kept, and of all that is kept
MOST_FILES = 1_000  # of one model
# How a rope is stretched is in these tensors, and not in the metadata; a page that sends no tensors sends them under this prefix.
ROPES, SENT = ("rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"), "strata.values."
_TEXT, _LIST = 8, 9  # type codes of a value
_FORMS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}  # of the other types
_PART = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$")


@dataclass(frozen=True)
class Stored:
    """A tensor: its type, its shape with the rows first, its bytes, and where they begin in its file."""

    dtype: str
    shape: tuple[int, ...]
    bytes: int
    at: int = 0
    file: str = ""


@dataclass(frozen=True)
class Header:
    """`said` is the metadata, in which a list that is too long to keep is its `Long`; `ropes` the values of the tensors in ROPES."""

    said: Mapping[str, Any]
    tensors: Mapping[str, Stored]
    ropes: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    @property
    def arch(self) -> str:
        """llama.cpp's name of the architecture."""
        name = self.said.get("general.architecture")
        return name if isinstance(name, str) else ""


@dataclass(frozen=True)
class Long:
    """A list or a text that is not kept: its number of entries or bytes."""

    length: int


def read(path: str | Path, whole: Collection[str] = ()) -> Header:
    """A file's header; of a model in several files, all of theirs together. Lists whose keys are in `whole` are kept at any length.

    Raises Unsupported for a file that cannot be read, is damaged, or claims what no model has.
    """
    path = str(path)
    first = _one(path, whole)
    count = first.said.get("split.count", 1)
    if not isinstance(count, int) or count <= 1:
        return first
    part = _PART.search(path)
    if not part or int(part[2]) != count or count > MOST_FILES:
        raise Unsupported(
            f"{path[-200:]}: is one of {count:,} files of a model; give it the name that it was made with, …-00001-of-00002.gguf"
        )
    headers = []
    for number in range(1, count + 1):
        name = path[: part.start()] + f"-{number:05}-of-{count:05}.gguf"
        if not os.path.exists(name):
            raise Unsupported(f"{name[-200:]}: is missing; the model is in {count:,} files, which must be in one folder")
        headers.append(_one(name, whole))
    tensors: dict[str, Stored] = {}
    for header in headers:
        if twice := header.tensors.keys() & tensors.keys():
            raise Unsupported(f"{path[-200:]}: {min(twice)} is in two of the model's {count:,} files")
        tensors |= header.tensors
    if len(tensors) > MOST_TENSORS:
        raise Unsupported(f"{path[-200:]}: its files have {len(tensors):,} tensors; at most {MOST_TENSORS:,} are read")
    ropes = {name: values for header in headers for name, values in header.ropes.items()}
    return Header(headers[0].said, tensors, ropes)


def _one(path: str, whole: Collection[str]) -> Header:
    try:
        if not Path(path).is_file():
            raise ValueError("it is not a readable file")
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
            header = _Reading(view, whole).header(len(view))
            ropes = {name: _floats(view, header.tensors[name]) for name in ROPES if name in header.tensors}
    except (OSError, ValueError, struct.error) as error:
        raise Unsupported(f"{path[-200:]}: cannot be read as GGUF ({_words(error)})") from None
    tensors = {name: replace(one, file=path) for name, one in header.tensors.items()}
    return Header(header.said, tensors, {name: values for name, values in ropes.items() if values})


def of_bytes(data: bytes) -> Header:
    """The header in these first bytes of a file, whose tensors are elsewhere. Raises Unsupported like `read`."""
    try:
        header = _Reading(data, ()).header(None)
    except (ValueError, struct.error) as error:
        raise Unsupported(f"the file cannot be read as GGUF ({_words(error)})") from None
    if isinstance(count := header.said.get("split.count", 1), int) and count > 1:
        raise Unsupported(f"this is one of the {count:,} files of a model; merge them (llama-gguf-split --merge), or use the command line")
    sent = {key.removeprefix(SENT): value for key, value in header.said.items() if key.startswith(SENT)}
    ropes = {name: tuple(map(float, values)) for name, values in sent.items() if name in ROPES and isinstance(values, list)}
    return Header({key: value for key, value in header.said.items() if not key.startswith(SENT)}, header.tensors, ropes)


def _words(error: Exception) -> str:
    words = {struct.error: "it is cut short", UnicodeDecodeError: "a name in it is not text"}
    return words.get(type(error), str(error)[:200])


def _floats(view: Any, one: Stored) -> tuple[float, ...]:
    """The values of a short tensor of floats; nothing of another one."""
    if one.dtype != "F32" or one.bytes > 4 * MOST_ENTRIES:
        return ()
    return tuple(map(_number, np.frombuffer(view[one.at : one.at + one.bytes], "<f4").tolist()))


def _number(value: float) -> float:
    """A number that was stored in 32 bits as it was written: 1e-5, not 9.999999747378752e-06. A whole one that is not round is exact."""
    short = f"{np.float32(value):.9g}" if not math.isfinite(value) else np.format_float_scientific(np.float32(value), trim="-")
    digits = short.lstrip("-").split("e")[0].replace(".", "")
    return value if len(digits) > 5 and value.is_integer() else float(short)


class _Reading:
    """One pass over a header. ValueError or struct.error for an invalid one."""

    def __init__(self, view: Any, whole: Collection[str]):
        self.view, self.whole = view, whole
        self.at = self.texts = 0
        self.room = MOST_KEPT

    def take(self, form: str) -> Any:
        (value,) = struct.unpack_from(f"<{form}", self.view, self.at)
        self.at += struct.calcsize(f"<{form}")
        return value

    def skip(self, length: int) -> int:
        self.at += length
        if self.at > len(self.view):
            raise ValueError("it is shorter than its header says")
        return self.at

    def text(self, most: int) -> str:
        length = self.take("Q")
        if length > most:
            raise ValueError(f"a name of {length:,} bytes")
        return self.view[self.at : self.skip(length)].decode()

    def fits(self, length: int, most: int) -> bool:
        """Whether so much more is to be kept."""
        self.room -= 8 * length if length <= most else 0
        return length <= most and self.room >= 0

    def counted(self, count: int, most: int, what: str) -> range:
        if count > most:
            raise ValueError(f"its header says {count:,} {what}; at most {most:,} are read")
        return range(count)

    def value(self, kind: int, keep: bool) -> Any:
        """A value; a long text or list only where it is to be kept, otherwise its length. A list of lists is none."""
        if form := _FORMS.get(kind):
            value = self.take(form)
            return _number(value) if form == "f" else value
        if kind == _TEXT:
            length = self.take("Q")
            if not keep and not self.fits(length, MOST_TEXT):
                self.skip(length)
                return Long(length)
            return self.view[self.at : self.skip(length)].decode(errors="replace")
        if kind != _LIST:
            raise ValueError(f"a value of kind {kind}")
        inner, count = self.take("I"), self.take("Q")
        kept = keep or self.fits(count, MOST_ENTRIES)
        if form := _FORMS.get(inner):
            start, end = self.at, self.skip(struct.calcsize(f"<{form}") * count)
            if not kept:
                return Long(count)
            values = np.frombuffer(self.view[start:end], np.dtype(form).newbyteorder("<")).tolist()
            return list(map(_number, values)) if form == "f" else values
        if inner != _TEXT:
            raise ValueError(f"a list of values of kind {inner}")
        self.texts += count
        self.counted(self.texts, MOST_TEXTS, "texts in its lists")
        if kept:
            return [self.value(inner, keep) for _ in range(count)]
        for _ in range(count):
            self.skip(self.take("Q"))
        return Long(count)

    def header(self, size: int | None) -> Header:
        """The whole header; tensors must lie within `size` bytes, where it is known."""
        version = self.take("I") if self.view[self.skip(4) - 4 : self.at] == b"GGUF" else 0
        if version in (1, 2 << 24, 3 << 24):
            what = "of version 1; convert the model again" if version == 1 else "big-endian; turn it round with gguf-convert-endian"
            raise ValueError(f"it is {what}")
        if version not in (2, 3):
            raise ValueError("it does not begin as a GGUF file of version 2 or 3")
        tensors, values = self.take("Q"), self.take("Q")
        said: dict[str, Any] = {}
        for _ in self.counted(values, MOST_KEYS, "keys"):
            key, kind = self.text(65_535), self.take("I")
            if key in said:
                raise ValueError(f"{key[:80]!r} occurs twice in it")
            said[key] = self.value(kind, key in self.whole)
        found = dict(self.tensor() for _ in self.counted(tensors, MOST_TENSORS, "tensors"))
        if len(found) != tensors:
            raise ValueError("a tensor occurs twice in it")
        align = said.get("general.alignment", 32)
        if type(align) is not int or align <= 0:
            raise ValueError("its alignment is 0")
        start = self.at + -self.at % align
        in_order = sorted((one.at, one.at + one.bytes, name) for name, one in found.items())
        for (_, end, _), (offset, _, name) in zip([(0, 0, ""), *in_order], in_order):
            if offset < end or offset % align:
                raise ValueError(f"{name} overlaps another tensor, or is not aligned")
        if size is not None and found and start + max(end for _, end, _ in in_order) > size:
            raise ValueError("it is shorter than its header says")
        return Header(said, {name: replace(one, at=start + one.at) for name, one in found.items()})

    def tensor(self) -> tuple[str, Stored]:
        name = self.text(1_000)
        if not name.isprintable():
            raise ValueError(f"the tensor {name[:80]!r} is not a valid name")
        rank = self.take("I")
        if not 1 <= rank <= 4:
            raise ValueError(f"{name} has {rank:,} dimensions")
        shape = tuple(self.take("Q") for _ in range(rank))
        kind, offset = GGMLQuantizationType(self.take("I")), self.take("Q")
        block, width = GGML_QUANT_SIZES[kind]
        values = 1
        for length in shape:
            values *= length
        if not 0 < values <= MOST_VALUES or shape[0] % block:
            raise ValueError(f"{name} has shape {shape} in {kind.name}")
        return name, Stored(kind.name, shape[::-1], values // block * width, offset)
