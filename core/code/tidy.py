"""Statements made tidy: values that only the next statement reads are put into it, and those that nothing reads are left out."""

import ast
import keyword
import re
from collections import Counter

from .source import WIDTH, copied, expression, walk
from .values import counted, mentioned, name, replaced


def tidy(body: list[ast.stmt], fresh: dict[str, str]) -> list[ast.stmt]:
    """Fold what inlined code left, and give variables their plain names where these are free again."""
    body = folded(body, only_inlined=True)
    body = alive(without_counters(body))
    for index, node in enumerate(body):
        targets = assigned_names(node)
        for one in targets:
            base = fresh.get(one)
            if base is None:
                continue
            after = mentioned(body[index + 1 :])
            if base not in after and base not in targets:
                new: dict[str, ast.expr] = {one: name(base)}
                if isinstance(node, ast.Assign):
                    node.targets = [replaced(target, new) for target in node.targets]
                body[index + 1 :] = [replaced(later, new) for later in body[index + 1 :]]
                targets = assigned_names(node)
    body = by_module(body, fresh)
    body = [one for node in body for one in apart(node)]
    body = folded(body, only_inlined=True)  # what is now returned under its plain name
    uses = counted_in(body)
    for each in walk(body):
        if isinstance(each, ast.Assign) and isinstance(each.targets[0], ast.Tuple):
            for target in each.targets[0].elts:
                if isinstance(target, ast.Name) and uses[target.id] == 1 and not target.id.startswith("_"):
                    target.id = f"_{target.id}"
    return body


def by_module(body: list[ast.stmt], fresh: dict[str, str]) -> list[ast.stmt]:
    """Give a variable that still has a number the name of the module whose result it is."""
    for node in body:
        match node:
            case ast.Assign(targets=[ast.Name(id=one)], value=ast.Call(func=ast.Attribute(value=ast.Name(id="self"), attr=attr))) if (
                one in fresh and attr not in mentioned(body) and not keyword.iskeyword(attr)
            ):
                body = [replaced(later, {one: name(attr)}) for later in body]
    return body


def apart(node: ast.stmt) -> list[ast.stmt]:
    """`a, b = x, y` as two statements if it is too long for a line."""
    match node:
        case ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Tuple(elts=values)) if len(expression(node)) > WIDTH - 8:
            later = (mentioned(one) for one in values[1:])
            if len(targets) == len(values) and not set().union(*later) & mentioned(targets):
                made: list[ast.stmt] = [ast.Assign([target], value) for target, value in zip(targets, values)]
                shapes = re.findall(r"\([^()]*\)", getattr(node, "note", ""))
                fit = f"# {', '.join(shapes)}" == getattr(node, "note", "") and len(shapes) == len(made)
                for index, one in enumerate(made):
                    one.note = f"# {shapes[index]}" if fit else "" if index else getattr(node, "note", "")  # type: ignore[attr-defined]
                    one.above = [] if index else getattr(node, "above", [])  # type: ignore[attr-defined]
                return made
    return [node]


def counted_in(body: list[ast.stmt]) -> Counter[str]:
    return Counter(one.id for one in walk(body) if isinstance(one, ast.Name))


def alive(body: list[ast.stmt], beyond: tuple[ast.stmt, ...] = ()) -> list[ast.stmt]:
    """The statements without those whose result nothing reads."""
    for index, node in enumerate(body):
        rest = (*body[index + 1 :], *beyond, *([node] if isinstance(node, ast.For | ast.While) else []))
        for field in ("body", "orelse", "finalbody"):
            if isinstance(getattr(node, field, None), list):
                setattr(node, field, alive(getattr(node, field), rest))
    return [node for index, node in enumerate(body) if not itself(node) and not dead(node, [*body[index + 1 :], *beyond])]


def without_counters(body: list[ast.stmt]) -> list[ast.stmt]:
    """The statements without variables that nothing but their own next value reads."""
    own = [node for node in walk(body) if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)]
    read = Counter(one.id for node in own for one in walk(node.value) if isinstance(one, ast.Name) and one.id == node.targets[0].id)  # type: ignore[attr-defined]
    places = counted_in([node.targets[0] for node in own])  # type: ignore[misc]
    total = counted_in(body)
    idle = {key for key in read if total[key] == read[key] + places[key]}
    return dropped(body, idle) if idle else body


def dropped(body: list[ast.stmt], names: set[str]) -> list[ast.stmt]:
    for node in body:
        for field in ("body", "orelse", "finalbody"):
            if isinstance(getattr(node, field, None), list):
                setattr(node, field, dropped(getattr(node, field), names))
    return [node for node in body if not (assigned_names(node) and set(assigned_names(node)) <= names and len(node.targets) == 1)]  # type: ignore[attr-defined]


def itself(node: ast.stmt) -> bool:
    """x = x."""
    match node:
        case ast.Assign(targets=[ast.Name(id=one)], value=ast.Name(id=other)):
            return one == other
    return False


def dead(node: ast.stmt, later: list[ast.stmt]) -> bool:
    """Whether nothing reads what a statement assigns, and computing it changes nothing."""
    names = assigned_names(node)
    if not names or not isinstance(node, ast.Assign) or any(isinstance(one, ast.Call) and not pure(one) for one in walk(node.value)):
        return False
    return not set(names) & mentioned(later) and not any(isinstance(one, ast.Attribute | ast.Subscript) for one in node.targets)


def pure(call: ast.Call) -> bool:
    """A call of a function of torch, which changes nothing."""
    match call.func:
        case ast.Attribute(value=ast.Name(id="torch" | "F")):
            return True
    return False


def assigned_names(node: ast.stmt) -> list[str]:
    if not isinstance(node, ast.Assign):
        return []
    found = []
    for target in node.targets:
        elts = target.elts if isinstance(target, ast.Tuple) else [target]
        found += [one.id for one in elts if isinstance(one, ast.Name)]
    return found


def folded(body: list[ast.stmt], only_inlined: bool = False, beyond: tuple[ast.stmt, ...] = ()) -> list[ast.stmt]:
    """Put a value that only the next statement reads into that statement."""
    body = list(body)
    for index, node in enumerate(body):
        rest = (*body[index + 1 :], *beyond, *([node] if isinstance(node, ast.For | ast.While) else []))
        for field in ("body", "orelse", "finalbody"):
            if isinstance(getattr(node, field, None), list):
                setattr(node, field, folded(getattr(node, field), only_inlined, rest))
    index = len(body) - 2
    while index >= 0:
        node, after = body[index], body[index + 1]
        if foldable(node, after, [*body[index + 2 :], *beyond], only_inlined):
            assert isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
            key = node.targets[0].id
            trial = replaced(copied(after), {key: node.value}) if not isinstance(after, ast.Assign) else copied(after)
            if isinstance(trial, ast.Assign):
                trial.value = replaced(trial.value, {key: node.value})
            if isinstance(after, ast.Return) and isinstance(after.value, ast.Name) or len(expression(trial)) <= WIDTH - 12:
                trial.above = getattr(node, "above", []) + getattr(after, "above", [])
                body[index : index + 2] = [trial]
        index -= 1
    return body


def foldable(node: ast.stmt, after: ast.stmt, later: list[ast.stmt], only_inlined: bool) -> bool:
    if not (isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name)):
        return False
    key = node.targets[0].id
    copy = isinstance(after, ast.Assign) and isinstance(after.value, ast.Name) and after.value.id == key
    if copy and key not in mentioned(later) and not getattr(after, "note", ""):
        after.note = getattr(node, "note", "")  # type: ignore[attr-defined]
        return True
    whole = isinstance(after, ast.Return) and isinstance(after.value, ast.Name) and after.value.id == key
    if getattr(node, "note", "") and not (whole and not getattr(after, "note", "")):
        return False
    if whole:
        after.note = getattr(node, "note", "")  # type: ignore[attr-defined]
        return True
    if only_inlined and not getattr(node, "folds", False):
        return False
    if isinstance(after, ast.Assign):
        if any(isinstance(one, ast.Name) is False and key in mentioned(one) for one in after.targets if not isinstance(one, ast.Tuple)):
            return False
        again = key in assigned_names(after)
        uses = counted(after.value).get(key, 0)
    elif isinstance(after, ast.Return | ast.Expr):
        again, uses = False, counted(after).get(key, 0)
    else:
        return False
    return uses == 1 and (again or key not in mentioned(later))
