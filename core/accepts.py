"""What a field of the spec accepts, in words, from the spec's own schema."""

from collections.abc import Iterator
from difflib import get_close_matches
from functools import lru_cache
from typing import NamedTuple

from pydantic import BaseModel

KEY = "[key]"  # pydantic's name for a step to a mapping's key
EMPTY = "nothing"


class Accepts(NamedTuple):
    """`path` is the path of the field, `parts.moe.top_k`; `words` follow "give" and are empty if the schema does not know
    the field; `most` is the largest whole number, if there is one."""

    path: str
    words: str
    most: int | None


def accepts(cls: type[BaseModel], loc: tuple[str | int, ...]) -> Accepts:
    """What a value of `cls` accepts at pydantic's location, which names the branches of unions beside the fields."""
    path, here = _at(cls, loc)
    words = [_words(o) for o in here]
    said = " or ".join(dict.fromkeys(w for w in words if w and w != EMPTY))
    most = next((o["maximum"] for o in here if o.get("type") == "integer" and "maximum" in o), None)
    return Accepts(".".join(path), f"{said}, or leave it empty" if said and EMPTY in words else said, most)


def nearest(cls: type[BaseModel], loc: tuple[str | int, ...]) -> str:
    """The path of the field whose name is spelled almost like the last step of pydantic's location, in the value that has no such field or
    in one within it; empty if there is none."""
    tree, (path, here) = _schema(cls), _at(cls, loc[:-1])
    named: dict[str, str] = {}
    level = [("", schema) for schema in here]
    for _ in range(3):
        below = []
        for lead, schema in level:
            for name, field in schema.get("properties", {}).items():
                named.setdefault(name, f"{lead}{name}")
                below += [(f"{lead}{name}.", inner) for inner in _options([field], tree)]
        level = below
    word = str(loc[-1])[:60]
    near = get_close_matches(word, named, 1, cutoff=0.7) or [name for name in named if len(word) > 2 and word in name.split("_")]
    return ".".join([*path, named[near[0]]]) if near else ""


def _at(cls: type[BaseModel], loc: tuple[str | int, ...]) -> tuple[list[str], list[dict]]:
    """The path of a field at pydantic's location, and the schemas that its value may follow."""
    tree = _schema(cls)
    found, around = [tree], [tree]
    path: list[str] = []
    for step in loc:
        here = list(_options(around if step == KEY else found, tree))
        tagged = [o for o in here if o.get("properties", {}).get("kind", {}).get("const") == step]
        if len(here) > 1 and tagged:
            around, found = found, tagged
        elif inner := [o for way in here for o in _below(way, step)]:
            around, found, path = found, inner, [*path, str(step)] if step != KEY else path
    return path, list(_options(found, tree))


@lru_cache(maxsize=8)
def _schema(cls: type[BaseModel]) -> dict:
    return cls.model_json_schema()


def _options(schemas: list[dict], tree: dict) -> Iterator[dict]:
    """The schemas that a value may follow, references and unions resolved."""
    for schema in schemas:
        if "$ref" in schema:
            yield from _options([tree["$defs"][schema["$ref"].rsplit("/", 1)[1]]], tree)
        elif inner := schema.get("anyOf", schema.get("oneOf")):
            yield from _options(inner, tree)
        else:
            yield schema


def _below(schema: dict, step: str | int) -> list[dict]:
    if step == KEY:
        return [{"type": "string", "pattern": ""} | schema.get("propertyNames", {})]
    if isinstance(step, int):
        return [schema["items"]] if "items" in schema else []
    if step in schema.get("properties", {}):
        return [schema["properties"][step]]
    every = schema.get("additionalProperties")
    return [*schema.get("patternProperties", {}).values(), *([every] if isinstance(every, dict) else [])]


def plain(value: float) -> str:
    """A bound as people write it: 1,000,000, 0.01."""
    return f"{int(value):,}" if value == int(value) and abs(value) < 1e15 else f"{value:g}"


def _words(schema: dict) -> str:
    """One kind of value: "1 to 1,048,576", "a number above 0, at most 0.01", "bf16, fp8"."""
    if "enum" in schema or "const" in schema:
        return ", ".join(map(str, schema.get("enum", [schema.get("const")])))
    match schema.get("type"):
        case "integer" | "number" as kind:
            least, above = schema.get("minimum"), schema.get("exclusiveMinimum")
            most, below = schema.get("maximum"), schema.get("exclusiveMaximum")
            if kind == "integer" and least is not None and most is not None:
                return f"{plain(least)} to {plain(most)}"
            start = f"from {plain(least)}" if least is not None else f"above {plain(above)}" if above is not None else ""
            end = f"below {plain(below)}" if below is not None else f"at most {plain(most)}" if most is not None else ""
            bounds = ", ".join(filter(None, (start, end)))
            return " ".join(filter(None, ("a whole number" if kind == "integer" else "a number", bounds)))
        case "boolean":
            return "true or false"
        case "string":
            if "pattern" in schema:
                return schema.get("description", "a name").removeprefix("Short name: ")
            if schema.get("format") == "date":
                return "a date such as 2025-08-05"
            least, most = schema.get("minLength", 0), schema.get("maxLength")
            return f"{least} to {most:,} characters" if most else "words"
        case "array":
            least, most = schema.get("minItems", 0), schema.get("maxItems")
            return f"a list of {least} to {most}" if most else "a list"
        case "object":
            most = f" of at most {schema['maxProperties']}" if "maxProperties" in schema else ""
            return f"a mapping{most}"
        case "null":
            return EMPTY
    return ""
