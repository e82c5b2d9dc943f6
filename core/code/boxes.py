"""Which modules each line of a part's code runs or makes: what a picture of the part lights when a line is pointed at."""

import ast
from collections.abc import Iterator
from functools import lru_cache


@lru_cache(maxsize=64)
def boxes(text: str) -> dict[int, tuple[str, ...]]:
    """The paths of modules from the part on, such as `kv_down` or `router.norm`, by line of `core.code(arch, part)`, counted from 0.

    A line inside the class of a module belongs to that module too.
    """
    found: dict[int, set[str]] = {}
    classes = {node.name: node for node in ast.parse(text).body if isinstance(node, ast.ClassDef)}
    left = [("", next(iter(classes)))] if classes else []
    seen = set(left)
    while left:
        prefix, name = left.pop()
        for node in ast.walk(classes[name]):
            if isinstance(node, ast.stmt) and node is not classes[name] and prefix:
                found.setdefault(node.lineno - 1, set()).add(prefix)
            if isinstance(node, ast.Attribute) and (attr := _of_self(node)):
                for line in range(node.lineno - 1, (node.end_lineno or node.lineno)):
                    found.setdefault(line, set()).add(f"{prefix}.{attr}".strip("."))
        for attr, child in _made(classes[name]):
            inner = f"{prefix}.{attr}".strip("."), child
            if child in classes and inner not in seen:
                seen.add(inner)
                left.append(inner)
    return {line: tuple(sorted(paths)) for line, paths in found.items()}


def _of_self(node: ast.Attribute) -> str:
    return node.attr if isinstance(node.value, ast.Name) and node.value.id == "self" else ""


def _made(cls: ast.ClassDef) -> Iterator[tuple[str, str]]:
    """The attributes that hold modules of classes, with the names of these."""
    for node in ast.walk(cls):
        match node:
            case ast.Assign(targets=[ast.Attribute(value=ast.Name(id="self"), attr=attr)], value=ast.Call(func=ast.Name(id=child))):
                yield attr, child
