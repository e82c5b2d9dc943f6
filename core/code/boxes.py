"""Which modules each line of code runs or makes: what a picture lights when a line is pointed at."""

import ast
from collections.abc import Iterator
from functools import lru_cache
from typing import Any


@lru_cache(maxsize=64)
def boxes(text: str, layers: frozenset[str] = frozenset()) -> dict[int, tuple[str, ...]]:
    """The paths of modules by line of code, counted from 0: from the part on, such as `kv_down` or `router.norm`, for
    `core.code(arch, part)`; from the model on, such as `layers.3.moe.router`, for `core.code(arch)`, of those `layers` that a picture
    shows, such as `layers.3`, and of the modules that predict further tokens as `mtp.norm`.

    A line inside the class of a module belongs to that module too.
    """
    found: dict[int, set[str]] = {}
    tree = ast.parse(text)
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    numbers = {
        key: one.value.value
        for one in tree.body
        if isinstance(one, ast.Assign) and isinstance(one.value, ast.Constant)
        for key in _called(one.targets[0])
    }
    left = [("", "Model" if layers else next(iter(classes)))] if classes else []
    if layers and "Ahead" in classes:
        kinds = dict.fromkeys(child for child in _members(_listed(classes["Ahead"]), numbers) if child in classes)
        left += [("mtp" if n == 1 else f"mtp_{n}", child) for n, child in enumerate(kinds, start=1)]
    seen = set(left)
    while left:
        prefix, name = left.pop()
        for node in ast.walk(classes[name]):
            if isinstance(node, ast.stmt) and node is not classes[name] and prefix:
                found.setdefault(node.lineno - 1, set()).add(prefix)
            if isinstance(node, ast.Attribute) and (attr := _of_self(node)):
                for line in range(node.lineno - 1, (node.end_lineno or node.lineno)):
                    found.setdefault(line, set()).add(f"{prefix}.{attr}".strip("."))
        for attr, child in _made(classes[name], layers, numbers):
            inner = f"{prefix}.{attr}".strip("."), child
            if child in classes and inner not in seen:
                seen.add(inner)
                left.append(inner)
    return {line: tuple(sorted(paths)) for line, paths in found.items()}


def _of_self(node: ast.Attribute) -> str:
    return node.attr if isinstance(node.value, ast.Name) and node.value.id == "self" else ""


def _made(cls: ast.ClassDef, layers: frozenset[str], numbers: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The attributes that hold modules of classes, with the names of these."""
    for node in ast.walk(cls):
        match node:
            case ast.Assign(targets=[ast.Attribute(value=ast.Name(id="self"), attr=attr)], value=ast.Call(func=func) as made):
                if isinstance(func, ast.Name):
                    yield attr, func.id
                elif isinstance(func, ast.Attribute) and func.attr == "ModuleList":
                    places = ((f"{attr}.{n}", child) for n, child in enumerate(_members(made, numbers)))
                    yield from ((path, child) for path, child in places if path in layers)
            case ast.Expr(value=ast.Call(func=ast.Attribute(attr="add_module"), args=[ast.Constant(value=attr), ast.Call() as made])):
                yield from ((str(attr), child) for child in _called(made.func))


def _listed(cls: ast.ClassDef) -> ast.AST:
    """What `super().__init__` of a list of modules is given."""
    return next(one for one in ast.walk(cls) if isinstance(one, ast.List | ast.GeneratorExp))


def _members(node: ast.AST, numbers: dict[str, Any]) -> Iterator[str]:
    """The classes of a list of modules, in order."""
    match node:
        case ast.Call(func=ast.Name(id=name)):
            yield name
        case ast.Call(args=[inner]) | ast.Starred(value=inner):
            yield from _members(inner, numbers)
        case ast.List(elts=elts) | ast.Tuple(elts=elts):
            for one in elts:
                yield from _members(one, numbers)
        case ast.GeneratorExp(elt=one, generators=[ast.comprehension(iter=ast.Call(args=[times])), *more]):
            yield from [*_members(more[0].iter if more else one, numbers)] * eval(ast.unparse(times), {}, numbers)


def _called(node: ast.AST) -> Iterator[str]:
    """The names in a tree, in order."""
    return (one.id for one in ast.walk(node) if isinstance(one, ast.Name))
