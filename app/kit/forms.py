"""Forms from the spec's schema: a new part gets its controls without new code here."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from core.kinds import kind_of, resolve, schema, starter
from core.parts.base import Spec


@dataclass(frozen=True)
class Control:
    """One field that can be edited: `path` is its place in the architecture, `kind` is the kind of widget.

    kind: "integer", "number", "word", "switch", "choice", "optional" (on or off, its fields follow) or "section" (a heading).
    """

    path: str
    label: str
    kind: str
    value: Any
    help: str = ""
    least: float | None = None
    most: float | None = None
    options: tuple[str, ...] = ()
    empty: bool = False  # whether it may be empty
    starters: dict[str, Any] | None = None  # the value that each option, or switching on, sets


WORDS = ("string", "number", "integer", "boolean")  # what a field for words takes: a part's name, or a number or a word


def controls(spec: Spec, path: str, skip: tuple[str, ...] = ()) -> Iterator[Control]:
    """The controls of a value of the spec; those of nested values follow their heading."""
    tree = schema(type(spec))
    yield from _fields(tree, tree.get("$defs", {}), spec.model_dump(mode="json"), path, ("kind", *skip))


def _fields(object_schema: dict, defs: dict, values: dict, path: str, skip: tuple[str, ...] = ()) -> Iterator[Control]:
    """Simple fields first, then nested values, so that each of these ends where the next begins."""
    groups = [
        list(_field(name, field, defs, values.get(name), f"{path}.{name}" if path else name, values))
        for name, field in object_schema.get("properties", {}).items()
        if name not in skip
    ]
    for group in sorted(groups, key=lambda group: any(c.starters or c.kind == "section" for c in group)):
        yield from group


def _field(name: str, field: dict, defs: dict, value: Any, path: str, around: dict) -> Iterator[Control]:
    options = [o for o in field.get("anyOf", [field]) if o.get("type") != "null"]
    empty = len(options) < len(field.get("anyOf", [field]))
    if all(o.get("type") in WORDS and "enum" not in o for o in options) and any(o["type"] == "string" for o in options):
        yield Control(path, name, "word", value, field.get("description", ""), empty=empty)
    if len(options) != 1:
        return
    inner, label, words = options[0], name, field.get("description", "")
    choices = [resolve(o, defs) for o in inner.get("oneOf", [])] or ([resolve(inner, defs)] if "$ref" in inner else [])
    choices = [c for c in choices if "properties" in c]
    if choices:
        yield from _nested(label, choices, defs, value, path, words, empty, around)
        return
    inner = resolve(inner, defs)
    kind = {"integer": "integer", "number": "number", "boolean": "switch"}.get(inner.get("type", ""))
    if "enum" in inner:
        yield Control(path, label, "choice", value, words, options=tuple(inner["enum"]), empty=empty)
    elif kind == "switch" and empty:
        yield Control(path, label, "choice", {True: "on", False: "off", None: "as above"}[value], words, options=("as above", "off", "on"),
                      starters={"as above": None, "off": False, "on": True})  # fmt: skip
    elif kind:
        least = inner.get("minimum", inner.get("exclusiveMinimum"))
        most = inner.get("maximum", inner.get("exclusiveMaximum"))
        yield Control(path, label, kind, value, words, least, most, empty=empty)


def _nested(label: str, choices: list[dict], defs: dict, value: Any, path: str, words: str, empty: bool, around: dict) -> Iterator[Control]:
    """A nested value: a heading, a choice between kinds, or a switch that turns it on; then its own fields."""
    starters: dict[str, Any] = {kind_of(c) or "on": s for c in choices if (s := starter(c, defs, {**around, **(value or {})})) is not None}
    now = value.get("kind", "on") if value else None
    if len(choices) > 1:
        options = tuple(dict.fromkeys((*(["none"] if empty else []), *starters, *([now] if now else []))))
        starters |= {"none": None} if empty else {}
        yield Control(path, label, "choice", now or "none", words, options=options, starters=starters)
    elif empty:
        on: dict = starters.get("on") or next(iter(starters.values()), {})
        yield Control(path, label, "optional", value is not None, words, starters={"on": on})
    else:
        yield Control(path, label, "section", None, words)
    if value:
        mine = next((c for c in choices if kind_of(c) in (None, now)), None)
        if mine:
            yield from _fields(mine, defs, value, path, ("kind",))
