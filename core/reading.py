"""Text from files, pipes and standard input, and the mapping in YAML or JSON. Sizes are limited, and a refusal names the place."""

import codecs
import json
import os
import re
import select
import stat
import string
import sys
import time
from collections.abc import Callable
from typing import Any

import yaml

from .spec import Unsupported

MAX_TEXT = 200_000  # characters
MAX_DEPTH = 64  # levels of lists and mappings
MAX_DIGITS = 60  # of a number
MAX_VALUES = 250_000
SECONDS = 10  # time limit for a pipe to send its text
MARK = "\ufeff"  # the byte-order mark, which some editors write before a text
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# Files that are not a config: their first bytes -> what they are.
_OTHERS = {
    b"GGUF": "a GGUF file", b"PK\x03\x04": "a zip archive, as PyTorch's checkpoints are", b"\x80": "a Python pickle",
    b"\x1f\x8b": "a gzip archive", b"%PDF": "a PDF", b"\x89PNG": "a picture", b"\xff\xd8\xff": "a picture",
    b"\x89HDF": "an HDF5 file", b"version https://git-lfs": "a Git LFS pointer instead of the file (`git lfs pull` fetches it)",
    b"<!DOCTYPE html": "a web page", b"<!doctype html": "a web page", b"<html": "a web page",
}  # fmt: skip
# The meaning of a plain word in YAML: its core schema (yaml.org, version 1.2.2, section 10.3), and _ between digits.
_WORDS: list[tuple[re.Pattern, Callable[[str], Any]]] = [
    (re.compile(r"~|null|Null|NULL|"), lambda word: None),
    (re.compile(r"true|True|TRUE|false|False|FALSE"), lambda word: word.lower() == "true"),
    (re.compile(r"[-+]?[0-9][0-9_]*"), lambda word: int(word.replace("_", ""))),
    (re.compile(r"0x[0-9a-fA-F]+"), lambda word: int(word, 16)),
    (re.compile(r"0o[0-7]+"), lambda word: int(word, 8)),
    (re.compile(r"[-+]?([0-9][0-9_]*(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?"), lambda word: float(word.replace("_", ""))),
    (re.compile(r"[-+]?\.(inf|Inf|INF)"), lambda word: float(word.replace(".", ""))),
    (re.compile(r"\.(nan|NaN|NAN)"), lambda word: float("nan")),
]  # fmt: skip
_YAML_SAYS = {  # libyaml's words for what is wrong -> ours
    "mapping values are not allowed in this context": "a second colon; put the value in quotes, or on lines of its own",
    "found character that cannot start any token": "a value cannot begin with this; indent with spaces, not tabs, or use quotes",
    "could not find expected ':'": "a colon is expected after the key",
    "did not find expected key": "the indentation of this line matches no line above it",
    "did not find expected '-' indicator": "the indentation of this line matches no line above it",
    "did not find expected ',' or '}'": "a comma or a closing } is expected here",
    "did not find expected ',' or ']'": "a comma or a closing ] is expected here",
    "did not find expected node content": "a value is expected here",
    "found unexpected end of stream": "an opening quote has no closing quote",
    "did not find expected <document start>": "the text goes on after its end",
}
_JSON_SAYS = {  # Python's words for what is wrong -> ours
    "Expecting property name enclosed in double quotes": "a key in double quotes is expected here (and no comma before a })",
    "Expecting value": "a value is expected here",
    "Expecting ',' delimiter": "a comma or a closing bracket is expected here",
    "Expecting ':' delimiter": "a colon is expected here",
    "Extra data": "the text goes on after its end",
    "Unterminated string starting at": "the string that begins here has no end",
    "Invalid control character at": "a character that must be written as an escape, such as \\n",
}


# ---- text ----


def read_file(name: str) -> str:
    """The text of a file, a pipe or, for `-`, standard input: UTF-8, or UTF-16 with its mark; of a long one only the first characters,
    one more than `read_yaml` accepts. Unsupported if it cannot be read."""
    said = "standard input" if name == "-" else name[:200]
    most = 4 * (MAX_TEXT + 1)  # a character has at most four bytes
    try:
        data = _standard_input(most) if name == "-" else _bytes(name, most)
    except Unsupported:
        raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)[:80]
        raise Unsupported(f"{said}: cannot be read ({reason})") from None
    if what := what_begins(data, name):
        raise Unsupported(f"{said}: is {what}; give a config.json, a preset's YAML or a link")
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    zeros = data[:4].count(0) if len(data) > 3 and any(data[:4]) else 0
    if data.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)) or zeros and not wide:
        what = "UTF-16 without its mark" if zeros == 2 and not wide and data[:2] != b"\0\0" else "UTF-32"
        raise Unsupported(f"{said}: is {what} or not a text; save it as UTF-8")
    try:
        decoder = codecs.getincrementaldecoder("utf-16" if wide else "utf-8")()
        return decoder.decode(data, final=len(data) < most)[: MAX_TEXT + 1]
    except UnicodeDecodeError as error:
        if wide:
            raise Unsupported(f"{said}: is not UTF-16, as its first bytes say; save it as UTF-8") from None
        line = data.count(b"\n", 0, error.start) + 1
        raise Unsupported(f"{said}: is not UTF-8 (line {line}); save it as UTF-8") from None


def is_gguf(name: str) -> bool:
    """Whether a regular file begins as a GGUF file does."""
    try:
        if not os.path.isfile(name):
            return False
        with open(name, "rb") as opened:
            return opened.read(4) == b"GGUF"
    except OSError:
        return False


def what_begins(data: bytes, name: str = "") -> str | None:
    """The kind of a file with these first bytes, if it is one that people mistake for a config or for safetensors; or that it is not what
    its name says."""
    if data[4:8] == b"\0\0\0\0" and data[8:10] in (b'{"', b"{}"):
        return "a safetensors file"
    found = next((words for begin, words in _OTHERS.items() if data.startswith(begin)), None)
    return found or ("not a GGUF file, which begins with the letters GGUF" if name.lower().endswith(".gguf") else None)


def _standard_input(most: int) -> bytes:
    if sys.stdin is None:
        raise Unsupported("standard input: is closed; give a file")
    return sys.stdin.buffer.read(most)


def _bytes(name: str, most: int) -> bytes:
    """The first bytes of a file. A pipe has a time limit, and is refused at once if nothing writes to it."""
    opened = os.open(name, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    try:
        mode = os.fstat(opened).st_mode
        if stat.S_ISDIR(mode):
            raise Unsupported(f"{name[:200]}: is a folder; give a file in it")
        data, until = b"", time.monotonic() + SECONDS
        while len(data) < most:
            try:
                more = os.read(opened, most - len(data))
            except BlockingIOError:
                left = until - time.monotonic()
                if left <= 0 or not select.select([opened], [], [], left)[0]:
                    raise Unsupported(f"{name[:200]}: did not send its whole text within {SECONDS} seconds") from None
                continue
            if not more:
                break
            data += more
        if stat.S_ISFIFO(mode) and not data:
            raise Unsupported(f"{name[:200]}: is a pipe that nothing was written to; give a file")
    finally:
        os.close(opened)
    return data


# ---- YAML and JSON ----


def read_yaml(text: str) -> dict[str, Any]:
    """The mapping in a text, as YAML or JSON, without aliases and tags."""
    value = read_value(text)
    if not isinstance(value, dict):
        raise Unsupported(f"expected a mapping of the spec's fields, such as `d_model: 4096`, not {kind_of(value)}")
    return value


def read_value(text: str) -> Any:
    """The value of a text in YAML or JSON, with limits on length and depth."""
    if len(text) > MAX_TEXT:
        raise Unsupported(f"the text has more than {MAX_TEXT:,} characters, too many for an architecture")
    text = text.removeprefix(MARK)
    if comment := re.match(r"\s*(//|/\*)", text):
        line = text.count("\n", 0, comment.end()) + 1
        raise Unsupported(f"line {line}: JSON has no comments ({comment[1]}); remove it")
    # JSON has its own reader, since it has escapes that YAML lacks.
    return _json(text) if text.lstrip(string.whitespace + MARK).startswith("{") else _yaml(text)


def kind_of(value: Any) -> str:
    """A value that is not a mapping, in words."""
    match value:
        case None:
            return "an empty text"
        case list():
            return "a list"
        case str():
            return f"the text {value[:40]!r}"
    return f"the value {value}"


def _json(text: str) -> Any:
    def place(found: str) -> str:
        lines: dict[str, None] = {}
        line, before = 1, 0
        for at in re.finditer(found, text):
            line, before = line + text.count("\n", before, at.start()), at.start()
            lines[str(line)] = None
            if len(lines) == 5:
                break
        where = ", ".join([*lines][:4]) + (" …" if len(lines) > 4 else "")
        return f"line {where}: " if len(lines) == 1 else f"lines {where}: " if lines else ""

    def whole(digits: str) -> int:
        if len(digits) > MAX_DIGITS:
            raise Unsupported(f"{place(re.escape(digits))}a number of {len(digits):,} digits; give a shorter one")
        return int(digits)

    def mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value: dict[str, Any] = {}
        for key, one in pairs:
            if key in value and value[key] != one:
                where = place(rf"{re.escape(json.dumps(key))}\s*:")
                raise Unsupported(f"{where}{key[:60]!r} is given twice, with different values; keep one")
            value[key] = one
        return value

    try:
        return json.loads(text.strip(string.whitespace + MARK), parse_int=whole, object_pairs_hook=mapping)
    except json.JSONDecodeError as error:
        says = _JSON_SAYS.get(error.msg, error.msg)
        if re.match(r"\s*,?\s*(//|/\*|#)", text.splitlines()[error.lineno - 1][error.colno - 1 :]):
            says = "JSON has no comments; remove it"
        raise Unsupported(f"line {error.lineno}, column {error.colno}: this is not JSON: {says}") from None
    except RecursionError:
        raise Unsupported(f"this is nested deeper than {MAX_DEPTH} levels, too deep for an architecture") from None


def _yaml(text: str) -> Any:
    """The value is built while the events are read, so endless nesting is refused before any recursion."""
    odd = re.search("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", text)
    if odd:
        line = text.count("\n", 0, odd.start()) + 1
        raise Unsupported(f"line {line}: the character U+{ord(odd[0]):04X} is not allowed in a text; remove it")
    open_: list[tuple[bool, list]] = [(False, [])]  # whether it is a mapping, and its (value, line) pairs in order
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            line = event.start_mark.line + 1 if event.start_mark else 1
            mapping, items = open_[-1]
            key = mapping and len(items) % 2 == 0
            match event:
                case yaml.AliasEvent():
                    raise Unsupported(f"line {line}: YAML aliases (*name) are not read; write the value out")
                case yaml.ScalarEvent(tag=str(tag)) | yaml.CollectionStartEvent(tag=str(tag)):
                    tag = tag.replace("tag:yaml.org,2002:", "!!")
                    raise Unsupported(f"line {line}: YAML tags ({tag[:40]}) are not read; write the value alone")
                case yaml.ScalarEvent():
                    value = event.value if key or not event.implicit[0] else _plain(event.value, line)
                case yaml.CollectionStartEvent():
                    if key:
                        raise Unsupported(f"line {line}: a key is a word, not a list or a mapping")
                    if len(open_) > MAX_DEPTH:
                        raise Unsupported(f"line {line}: nested deeper than {MAX_DEPTH} levels, too deep for an architecture")
                    open_.append((isinstance(event, yaml.MappingStartEvent), []))
                    continue
                case yaml.CollectionEndEvent():
                    open_.pop()
                    value = _mapping(items) if mapping else [one for one, _ in items]
                    items = open_[-1][1]
                case yaml.DocumentStartEvent() if items:
                    raise Unsupported(f"line {line}: a second document begins (---); give one")
                case _:
                    continue
            items.append((value, line))
    except yaml.MarkedYAMLError as error:
        mark, begun = error.problem_mark, error.context_mark
        says = _YAML_SAYS.get(error.problem or "", error.problem)
        at = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        begins = f" (in what begins on line {begun.line + 1})" if mark and begun and begun.line != mark.line else ""
        raise Unsupported(f"{at}this is not YAML: {says}{begins}") from None
    except yaml.YAMLError as error:
        raise Unsupported(f"this is not YAML or JSON: {str(error).splitlines()[0][:200]}") from None
    return open_[0][1][0][0] if open_[0][1] else None


def _mapping(items: list[tuple[Any, int]]) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for (key, line), (one, _) in zip(items[::2], items[1::2], strict=True):
        if key in value and value[key] != one:
            raise Unsupported(f"line {line}: {key[:60]!r} is given a second time, with another value; keep one")
        value[key] = one
    return value


def _plain(word: str, line: int) -> Any:
    """The value of a plain word, not by YAML 1.1, where 1:59 is a number of seconds, 010 is 8, no is false and 1e-6 is a word."""
    for pattern, value in _WORDS:
        if pattern.fullmatch(word):
            if len(word) > MAX_DIGITS:
                raise Unsupported(f"line {line}: a number of {len(word):,} digits; give a shorter one")
            return value(word)
    return word


def bounded(value: Any, said: str) -> None:
    """Refuse what no config.json contains: endless or deep nesting, text that no file can hold, or very long numbers."""
    todo = [(value, said, 0)]
    for _ in range(MAX_VALUES):
        if not todo:
            return
        one, at, depth = todo.pop()
        match one:
            case dict() | list() | tuple() if depth > MAX_DEPTH:
                raise Unsupported(f"{at}: nested deeper than {MAX_DEPTH} levels, too deep for an architecture")
            case dict():
                for key, inner in one.items():
                    name = ascii(key)[1:-1] if isinstance(key, str) else type(key).__name__
                    below = name[:80] if one is value else f"{at}.{name}"[:80]
                    todo += [(key, below, depth), (inner, below, depth + 1)]
            case list() | tuple():
                todo += [(inner, at, depth + 1) for inner in one]
            case str() if not one.isascii() and re.search("[\ud800-\udfff]", one):
                raise Unsupported(f"{at}: half a character (U+D800 to U+DFFF) is not allowed in a text; remove it")
            case int() if abs(one) >= 10**MAX_DIGITS:
                raise Unsupported(f"{at}: a number of more than {MAX_DIGITS} digits; give a shorter one")
    raise Unsupported(f"{said}: has more than {MAX_VALUES:,} values, too many for an architecture")
