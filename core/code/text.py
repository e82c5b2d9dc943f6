"""From the classes to the text: one class for those that differ in numbers, without what nothing reads, each with its name."""

import ast
import keyword
import math
import re
import types
from collections.abc import Iterable, Iterator
from itertools import chain, combinations
from typing import Any

from torch import nn

from ..parts.base import Spec
from . import source
from .classes import MOST, SHOWN, Class, File
from .expressions import LONG
from .figures import Figures, with_forms
from .source import walk
from .tidy import alive, apart, assigned_names
from .values import (
    Arg,
    Dyn,
    Method,
    beginning,
    form_of,
    holder,
    is_number,
    lift,
    mentioned,
    name,
    of_project,
    project_classes,
    root_of,
    size,
)

ALIKE = {"table_width": "d_model", "depth": "n_layers", "layers": "n_layers"}  # other names of a constant, where they have its value
SIZES = {1: ("size",), 2: ("rows", "columns"), 3: ("heads", "rows", "columns")}  # of a tensor, where nothing says what they are
FIELD = re.compile(r"(`|\b[A-Z] = |\b(?=[a-z]+_))([a-z][a-z_]*)\b")  # `count`, E = count, d_model
SHORT_FORM = 8  # names, numbers, calls and operators of an expression that stands where its number is read
LONG_FORM = 30
ROOT = ("forward", "generate", "caching")  # what a reader of the model calls


class Final:
    """One class of the text: for one class of modules, or for several that differ in numbers, its arguments."""

    def __init__(self, one: Class, params: dict[int, str], names: list[str]):
        self.one, self.params, self.names = one, params, names
        self.name = ""
        self.node: ast.ClassDef | None = None


class Text:
    """`constants`: those of the model itself, beside its parts' figures."""

    def __init__(self, writer: File, constants: dict[str, int], figures: Figures):
        self.writer, self.constants, self.figures = writer, constants, figures
        self.finals: dict[int, Final] = {}
        self.leaves: dict[int, list[ast.expr]] = {}
        self.order: list[Final] = []
        self.renamed: dict[str, str] = {}
        self.owners: dict[int, dict[str, Spec]] = {}  # the parts that a class belongs to, by its id
        self.follow: dict[str, tuple[ast.expr, Any]] = {}  # constants that follow from others: their forms and values
        self.places: dict[int, tuple[set[str], set[str]]] = {}  # the parts that a class belongs to, and its attributes there

    def names(self) -> None:
        bases: dict[str, list[Final]] = {}
        for final in self.order:
            bases.setdefault(plain_name(type(final.one.module)), []).append(final)
        taken: set[str] = set()
        for base, finals in bases.items():
            alike: dict[str, list[Final]] = {}
            for final in finals:
                alike.setdefault(self.special(final, finals, base) if len(finals) > 1 else base, []).append(final)
            wants = {id(final): word + wanted for wanted, some in alike.items() for final, word in zip(some, own_words(some))}
            for final in finals:
                wanted, number = wants[id(final)], 2
                unique = wanted
                while unique in taken:
                    unique, number = f"{wanted}{number}", number + 1
                taken.add(unique)
                final.name = unique

    def helpers(self) -> dict[str, set[str]]:
        """A function has a name that no variable has, and functions of one name differ in what they belong to, or in a number. The
        parts that each belongs to, by its first name."""
        taken: set[str] = set()
        callers: dict[str, set[str]] = {}
        functions = [unit for unit in self.writer.units if isinstance(unit, Method)]
        names = {unit.name for unit in functions}
        for unit in self.writer.units:
            for body in [m.body for m in unit.needed] if isinstance(unit, Class) else [unit.body]:
                taken |= stored_names(body)
                for one in names & mentioned(body) if isinstance(unit, Class) and id(unit) in self.finals else ():
                    callers.setdefault(one, set()).update(self.places[id(self.finals[id(unit)])][0])
        for unit in functions:
            alike = [one for one in functions if one.called == unit.called]
            wanted = unit.called.removeprefix("_")
            if len({one.cls for one in alike}) > 1 or wanted in taken:
                wanted = f"{unit.cls.__name__.lower()}_{wanted}" if unit.cls else f"{wanted}_of"
            if len([one for one in alike if one.cls is unit.cls]) > 1 and (part := beginning(callers.get(unit.name, set()))):
                wanted = f"{part}_{wanted}"
            unique, number = wanted, 2
            while unique in taken or unique in self.renamed.values():
                unique, number = f"{wanted}_{number}", number + 1
            self.renamed[unit.name] = unique
        return callers

    def special(self, final: Final, finals: list[Final], base: str) -> str:
        """A name that says what this one of several has."""
        names = final.one.names
        if names is not None:
            everywhere = set.intersection(*(set(f.one.names or ()) for f in finals))
            own = [part for part in names if part not in everywhere] or names
            return "".join(map(camel, dict.fromkeys(own))) + base
        part = self.writer.parts.get(id(final.one))
        if part is not None:
            return camel(part) if base.lower() in part.replace("_", "") else camel(part) + base
        for called in (self.part_of, self.attribute_of, lambda one: self.part_of(one) + self.attribute_of(one)):
            found = [called(one) for one in finals]
            if all(found) and len(set(found)) == len(found):
                wanted = called(final)
                return wanted if wanted.endswith(base) else wanted + base
        found = [self.attribute_of(one) for one in finals]
        if found.count("") == 1 and len(set(found)) == len(found):
            return self.attribute_of(final) + base
        return base

    def part_of(self, final: Final) -> str:
        """The one part that a class belongs to, or what the names of its parts begin with."""
        return camel(beginning(self.places[id(final)][0]))

    def attribute_of(self, final: Final) -> str:
        """The one attribute that holds it."""
        _, attrs = self.places[id(final)]
        return camel(next(iter(attrs))) if len(attrs) == 1 else ""

    def placed(self, classes: list[Class]) -> None:
        """Note where each class stands: from above, so that the classes of a part have its name."""
        for final in self.finals.values():
            self.places.setdefault(id(final), (set(), set()))
        for one in reversed(classes):
            final = self.finals[id(one)]
            parts = {self.writer.parts[id(one)]} if id(one) in self.writer.parts else self.places[id(final)][0]
            for node in one.init or []:
                for inner in walk(node):
                    if hasattr(inner, "made"):
                        of_child = self.places[id(self.finals[id(inner.made)])]
                        of_child[0].update(parts)
                        match node:
                            case ast.Assign(targets=[ast.Attribute(attr=attr)]):
                                of_child[1].add(attr)

    def finish(self, *roots: Class) -> list[ast.stmt]:
        used = reachable(roots)
        classes = [unit for unit in self.writer.units if isinstance(unit, Class) and unit in used]
        self.prune(classes)
        used = reachable(roots)
        classes = [one for one in classes if one in used]
        written = [[*self.trees(one)] for one in classes] + [unit.body for unit in self.writer.units if isinstance(unit, Method)]
        for node in (node for trees in written for node in with_forms(trees)):
            if hasattr(node, "place"):
                self.settled(node)
        heights: dict[int, int] = {}

        def height(one: Class) -> int:
            if id(one) not in heights:
                heights[id(one)] = 1 + max((height(child) for child in one.children()), default=0)
            return heights[id(one)]

        for level in range(1, max(map(height, roots)) + 1):
            groups: dict[Any, list[Class]] = {}
            for one in (one for one in classes if height(one) == level):
                leaves: list[Any] = []
                key = type(one.module), tuple(self.shape(node, leaves) for node in self.trees(one))
                self.leaves[id(one)] = leaves
                groups.setdefault(key, []).append(one)
            for members in groups.values():
                self.merge(members)
        order = {id(one): n for n, one in enumerate(classes)}
        self.order = sorted({id(f): f for f in self.finals.values()}.values(), key=lambda f: order[id(f.one)])
        self.placed(classes)
        self.names()
        callers = self.helpers()
        self.figures.take(self.owned(classes, callers))
        parts: dict[int, set[str]] = {}  # those of all classes that are one in the text
        for one in classes:
            parts.setdefault(id(self.finals[id(one)]), set()).update(self.owners.get(id(one), ()))
        found = {id(final): self.said(self.rendered(final), parts[id(final)], final.names) for final in self.order}
        functions = {unit.name: unit for unit in self.writer.units if isinstance(unit, Method)}
        called = mentioned([*found.values()])
        left = [one for one in functions.values() if self.renamed.get(one.name, one.name) in called]
        wanted: dict[str, ast.stmt] = {}
        while left:
            method = left.pop()
            if method.name not in wanted:
                wanted[method.name] = self.said(self.function(method), callers.get(method.name, ()))
                left += [functions[key] for key in mentioned(list(method.body)) if key in functions]
        statements: list[ast.stmt] = []
        for unit in self.writer.units:
            if isinstance(unit, Method):
                statements += [wanted[unit.name]] if unit.name in wanted else []
            elif (final := self.finals.get(id(unit))) is not None and id(final) in found:
                statements.append(found.pop(id(final)))
        return statements

    def settled(self, node: Any) -> None:
        """Say where a number that a module keeps comes from, as its `__init__` has it."""
        found = self.writer.origins.get(node.place)
        if isinstance(found, ast.Constant) and found is not node:
            node.origin = getattr(found, "origin", "") or node.origin
            if (form := form_of(found)) is not None:
                node.form, node.called = (form,), getattr(found, "called", "") or node.place[1]
        elif isinstance(found, ast.BinOp):
            node.form = (found,)

    def owned(self, classes: list[Class], callers: dict[str, set[str]]) -> list[tuple[dict[str, Spec], list[ast.stmt]]]:
        """The parts that each class and function belongs to, and all that is written in it."""
        parts: dict[int, dict[str, Spec]] = {id(one): {} for one in classes}
        for one in reversed(classes):  # from above
            if id(one) in self.writer.parts and isinstance(one.spec, Spec):
                parts[id(one)] = {self.writer.parts[id(one)]: one.spec}
            elif not parts[id(one)] and isinstance(spec := vars(one.module).get("part"), Spec):
                parts[id(one)] = {part: spec for part in self.figures.arch.parts if self.figures.arch.part(part) == spec}
            for child in one.children():
                parts[id(child)] |= parts[id(one)]
        self.owners = parts
        found = [(parts[id(one)], [*self.trees(one)]) for one in classes]
        specs = {part: spec for some in parts.values() for part, spec in some.items()}
        for unit in reversed(self.writer.units):  # a function stands before what calls it
            if isinstance(unit, Method):
                own = callers.get(unit.name, set())
                for inner in mentioned(unit.body):
                    callers.setdefault(inner, set()).update(own)
                found.append(({part: specs[part] for part in own if part in specs}, unit.body))
        return found

    def trees(self, one: Class) -> Iterator[ast.stmt]:
        yield from one.init or []
        for method in one.needed:
            marker = ast.Expr(ast.Constant(f"{method.name}({', '.join(method.params)})"))
            yield marker
            yield from method.body

    def shape(self, node: Any, leaves: list[Any]) -> Any:
        """What is equal in classes that differ in numbers only; the numbers go to `leaves`."""
        if isinstance(node, list):
            return tuple(self.shape(one, leaves) for one in node)
        if not isinstance(node, ast.AST):
            return node
        if numeric(node):
            leaves.append(node)
            return "#"
        if hasattr(node, "made"):
            final = self.finals[id(node.made)]
            own = self.leaves[id(node.made)]
            leaves += [own[place] for place in first_places(final)]
            return "made", id(final)
        if isinstance(node, ast.Name):
            return node.id, getattr(node, "classes", None)
        return type(node).__name__, *(
            self.shape(value, leaves)
            for key, value in node.__dict__.items()
            if key
            not in (
                "lineno",
                "col_offset",
                "end_lineno",
                "end_col_offset",
                "ctx",
                "origin",
                "place",
                "param",
                "note",
                "above",
                "folds",
                "lasting",
                "kind",
            )
        )

    def merge(self, members: list[Class]) -> None:
        """One class for all members, with arguments for the numbers in which they differ."""
        self.part_products(members)
        vectors = [[value_of(leaf) for leaf in self.leaves[id(one)]] for one in members]
        varying = [place for place in range(len(vectors[0])) if len({(type(v[place]), v[place]) for v in vectors}) > 1]
        names: dict[tuple, str] = {}
        params: dict[int, str] = {}
        wants = {place: argument_name([self.leaves[id(one)][place] for one in members]) for place in varying}
        for place in varying:  # a number that nothing names is the one of the same values that has a name
            values = tuple(v[place] for v in vectors)
            wants[place] = wants[place] or next((wants[p] for p in varying if wants[p] and tuple(v[p] for v in vectors) == values), "")
        loose = {tuple(v[place] for v in vectors): place for place in reversed(varying) if not wants[place]}
        sizes = SIZES.get(len(loose), ("size",) * len(loose))
        for place in varying:
            values = tuple(v[place] for v in vectors)
            wanted = wants[place] or sizes[sorted(loose.values()).index(loose[values])]
            if (wanted, values) not in names:
                unique, number = wanted, 2
                while unique in names.values():
                    unique, number = f"{wanted}_{number}", number + 1
                names[wanted, values] = unique
            params[place] = names[wanted, values]
        if len(names) > MOST:
            same: dict[tuple, Final] = {}
            for one, vector in zip(members, vectors):
                self.finals[id(one)] = same.setdefault(tuple(vector), Final(one, {}, []))
            return
        final = Final(members[0], params, list(dict.fromkeys(params.values())))
        for one in members:
            self.finals[id(one)] = final

    def part_products(self, members: list[Class]) -> None:
        """Where all members have a product of as many numbers, each of these is a place of its own."""
        columns = list(zip(*(self.leaves[id(one)] for one in members)))
        found: list[list[ast.expr]] = [[] for _ in members]
        for column in columns:
            factors = [list(leaves_of(node)) for node in column]
            like = len({len(some) for some in factors}) == 1 and len({ast.dump(blank(node)) for node in column}) == 1
            for mine, node, some in zip(found, column, factors):
                mine += some if like else [node]
        for one, leaves in zip(members, found):
            self.leaves[id(one)] = leaves

    def prune(self, classes: list[Class]) -> None:
        """Leave out modules without weights that no code uses, and methods that nothing calls."""
        for one in classes:
            read: set[str] = set()
            for method in one.needed:
                read |= attributes(method.body)
            one.init = [node for node in one.init or [] if not self.unused(one, node, read)]
        roots = {*ROOT, *self.writer.demanded}
        for one in classes:  # what the root calls on modules that it does not name
            for wanted in self.writer.demanded:
                found: Any = getattr(type(one.module), wanted, None)
                if isinstance(found, types.FunctionType) and of_project(found) and one.module is not self.writer.root:
                    args = [Arg(Dyn(name(key.arg))) for key in source.tree(found).args.args[1:]]
                    one.needs(one.method(wanted, found, holder(type(one.module), wanted), args, {}))
        self.dead_attributes(classes)
        while True:
            called = {"forward", *roots}
            for one in classes:
                called |= attributes(one.init or [])
                for method in one.needed:
                    called |= attributes(method.body)
            fewer = False
            for one in classes:
                kept = [m for m in one.needed if m.name in called]
                fewer |= len(kept) < len(one.needed)
                one.needed = kept
            if not fewer:
                return

    def dead_attributes(self, classes: list[Class]) -> None:
        """Leave out attributes that code sets and nothing reads."""
        read: set[str] = set()
        for one in classes:
            for method in one.needed:
                read |= loaded(method.body)
            read |= loaded(one.init or [])
        for one in classes:
            changing = self.writer.changing(one.module) - read
            trees = [*self.trees(one)]
            own = loaded(trees)
            changing |= {attr for attr in self.writer.changing(one.module) - own if only_none(trees, attr)}
            for method in one.needed:
                method.body = alive(without(method.body, changing))
            one.init = without(one.init or [], changing)

    def unused(self, one: Class, node: ast.stmt, read: set[str]) -> bool:
        match node:
            case ast.Assign(targets=[ast.Attribute(value=ast.Name(id="self"), attr=attr)]):
                if attr in read:
                    return False
                module = one.module._modules.get(attr)
                if module is not None:
                    return not module.state_dict()
                return (
                    attr not in one.module._parameters
                    and attr not in one.module._buffers
                    and not self.writer.changing(one.module) >= {attr}
                )
        return False

    def rendered(self, final: Final) -> ast.ClassDef:
        one, leaves = final.one, self.leaves[id(final.one)]
        held = {id(leaves[place]): key for place, key in final.params.items()}
        base = ast.Attribute(name("nn"), one.base.__name__)
        body: list[ast.stmt] = []
        doc = self.doc(one)
        if doc:
            body.append(text(doc))
        named = self.constants_of(final, held)
        body += [ast.Assign([name(key)], nodes[0]) for key, nodes in named.items()]
        held |= {id(node): key for key, nodes in named.items() for node in nodes}
        own = {
            node.targets[0].attr for node in one.init or [] if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute)
        }
        read = set()
        for method in one.needed:
            read |= attributes(method.body)
        for attr in sorted(self.writer.changing(one.module)):
            if attr in own or attr not in read:
                continue
            default = next((c.__dict__[attr] for c in project_classes(type(one.module)) if attr in c.__dict__), None)
            body.append(ast.Assign([name(attr)], lift(default)))
        stored = {key for method in one.needed for key in self.used(method.body, held)}
        init = [self.filled(node, held, init=True) for node in one.init or []]
        if not init and final.names:
            init = [ast.Expr(ast.Call(ast.Attribute(ast.Call(name("super"), [], []), "__init__"), [], []))]
        for key in [key for key in reversed(final.names) if key in stored]:
            init.insert(1, ast.Assign([ast.Attribute(name("self"), key)], name(key)))
        if len(init) > 1 or (init and source.expression(init[0]) != "super().__init__()"):
            body.append(ast.FunctionDef("__init__", arguments(["self", *final.names]), init, []))
        for method in one.needed:
            body.append(self.definition(method, [self.filled(node, held) for node in method.body], one.decorators.get(method.name, [])))
        if not body or (doc and len(body) == 1):
            body.append(ast.Pass())
        return ast.ClassDef(final.name, [base], [], body, [])

    def constants_of(self, final: Final, held: dict[int, str]) -> dict[str, list[ast.Constant]]:
        """Numbers with many digits have the name of the field that they come from."""
        module = final.one.module
        found: dict[str, list[ast.Constant]] = {}
        taken = {*module._modules, *module._parameters, *module._buffers, *self.writer.changing(module), *final.names, ""}
        node: Any
        for node in (one for method in final.one.needed for one in walk(method.body) if id(one) not in held):
            long = isinstance(node, ast.Constant) and isinstance(node.value, float) and len(repr(node.value)) > LONG
            if long and isinstance(self.filled(node, held), ast.Constant):
                found.setdefault(getattr(node, "origin", ""), []).append(node)
        alike = {key: nodes for key, nodes in found.items() if len({node.value for node in nodes}) == 1}
        return {key: nodes for key, nodes in alike.items() if key.isidentifier() and key not in taken and not hasattr(nn.Module, key)}

    def doc(self, one: Class) -> str:
        spec = one.spec
        own = source.docstring(type(one.module)).split("\n\n")[0]
        if spec is not None:
            own = own or source.docstring(type(spec)).split("\n\n")[0]
        return own

    def used(self, body: Any, held: dict[int, str]) -> set[str]:
        return {held[id(node)] for statement in body for node in walk(statement) if id(node) in held}

    def filled(self, node: Any, held: dict[int, str], init: bool = False) -> Any:
        """A copy with the arguments in the places of what differs, and with the names of classes and functions."""
        if isinstance(node, list):
            return [self.filled(one, held, init) for one in node]
        if not isinstance(node, ast.AST):
            return node
        if id(node) in held:
            key = held[id(node)]
            return name(key) if init else ast.Attribute(name("self"), key)
        if hasattr(node, "made"):
            final = self.finals[id(node.made)]
            own = self.leaves[id(node.made)]
            places = {key: place for place, key in reversed(final.params.items())}
            args = [self.filled(own[places[key]], held, init) for key in final.names]
            return ast.Call(name(final.name), args, [])
        if hasattr(node, "classes"):
            found = [f.name for f in self.order if isinstance(f.one.module, node.classes)]
            made: ast.expr = name(found[0]) if found else ast.Tuple([])
            for one in found[1:]:
                made = ast.BinOp(made, ast.BitOr(), name(one))
            return made
        match node:  # a part may have a name that no attribute can have
            case ast.Assign(targets=[ast.Attribute(value=owner, attr=attr)], value=value) if keyword.iskeyword(attr):
                called = ast.Attribute(self.filled(owner, held, init), "add_module")
                return ast.Expr(ast.Call(called, [ast.Constant(attr), self.filled(value, held, init)], []))
            case ast.Attribute(value=owner, attr=attr) if keyword.iskeyword(attr):
                return ast.Call(name("getattr"), [self.filled(owner, held, init), ast.Constant(attr)], [])
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in self.renamed:
            args = [self.filled(one, held, init) for one in node.args]
            return ast.Call(name(self.renamed[node.func.id]), args, [])
        if (form := form_of(node)) is not None:
            return self.expressed(node, self.filled(form, held, init))
        if isinstance(node, ast.Constant) and is_number(node.value):
            key = ALIKE.get(node.origin, node.origin) if hasattr(node, "origin") else ""
            if key in self.constants and self.constants[key] == node.value:
                return name(key.upper())
            if id(node) in self.figures.names:
                return name(self.figures.names[id(node)])
            scale = isinstance(node.value, float) and getattr(node, "place", ("", ""))[1].endswith("scale")
            return (root_of(float(str(node.value)), usual=True) if scale else None) or node
        new = node.__class__.__new__(node.__class__)
        new.__dict__.update({k: self.filled(v, held, init) if isinstance(v, ast.AST | list) else v for k, v in node.__dict__.items()})
        return new

    def expressed(self, node: Any, form: ast.expr) -> ast.expr:
        """A derived number: as an expression of constants, or as a constant of its own if that is long."""
        known, word = self.values(), getattr(node, "called", "").upper()
        named = any(one in known for one in mentioned([form]))
        value = eval(ast.unparse(form), {"math": math, **known}) if named else None
        if value != node.value or (isinstance(node.value, int) and not isinstance(value, int)):
            root = root_of(node.value, usual=True) if word.endswith("SCALE") else None
            return lift(node.value) if root is None else root
        if size(form) > LONG_FORM:  # more than a reader wants to know
            return lift(node.value)
        if not word or (size(form) <= SHORT_FORM and not any(isinstance(one, ast.Call) for one in walk(form))):
            return form
        same = [key for key, (one, _) in self.follow.items() if ast.dump(one) == ast.dump(form)]
        if not same and word not in known and word.isidentifier():
            self.follow[word], same = (form, node.value), [word]
        return name(same[0]) if same else form

    def figures_by_name(self) -> dict[str, float]:
        """The constants that the configuration gives."""
        return {key.upper(): value for key, value in self.constants.items()} | self.figures.constants()

    def values(self) -> dict[str, Any]:
        """The values of all constants."""
        return self.figures_by_name() | {key: value for key, (_, value) in self.follow.items()}

    def definition(self, method: Method, body: list[ast.stmt], decorators: list[str], own: bool = True) -> ast.FunctionDef:
        node = method.source
        params = list(method.params)
        if method.signature is not None:
            params = [key if key in method.params else f"_{key}" for key in method.signature]
        spec = arguments([*(["self"] if own else []), *params])
        if method.root:
            names = [one.arg for one in node.args.args]
            defaults = dict(zip(reversed(names), reversed(node.args.defaults)))
            spec.defaults = [defaults[key] for key in params if key in defaults]
        doc = (ast.get_docstring(node) or "").split("\n\n")[0]
        inputs = [key.arg for key in (*node.args.args, *([node.args.vararg] if node.args.vararg else ()))][own:]
        gone = [key not in method.params for key in inputs]
        if any(f"`{key}`" in doc for key, left_out in zip(inputs, gone) if left_out):
            doc = ""  # about an argument that is gone
        doc = without_shapes(doc, gone)
        start: list[ast.stmt] = [text(doc)] if doc else []
        body = [one for statement in body for one in apart(statement)]  # with the names of constants a line is longer
        made = ast.FunctionDef(
            method.name if own else self.renamed.get(method.name, method.name), spec, start + body, [name(one) for one in decorators]
        )
        if method.root:
            made.decorator_list = node.decorator_list
        made.note = without_shapes(getattr(node, "note", ""), gone)  # type: ignore[attr-defined]
        return made

    def said(self, node: Any, parts: Iterable[str], own: Iterable[str] = ()) -> Any:
        """A class or function whose docstrings and comments name constants where they named fields of the configuration, but not where
        these are arguments, its `own`."""
        figures = self.figures

        def constant(found: re.Match) -> str:
            field = found[2]
            field = ALIKE.get(field, field) if found[1][-2:] == "= " else field
            word = field.upper() if field in self.constants else figures.word(field, parts)
            return found[1] + (found[2] if found[2] in own else word or found[2])

        if isinstance(node, ast.FunctionDef):
            own = [*own, *(one.arg for one in node.args.args)]
        if getattr(node, "doc", False):
            node.value.value = FIELD.sub(constant, node.value.value)
        node.note = FIELD.sub(constant, getattr(node, "note", ""))
        node.above = [line if line.startswith("#:") else FIELD.sub(constant, line) for line in getattr(node, "above", ())]
        for field in ("body", "orelse", "finalbody"):
            for one in getattr(node, field, ()):
                self.said(one, parts, own)
        return node

    def function(self, method: Method) -> ast.FunctionDef:
        return self.definition(method, [self.filled(node, {}) for node in method.body], [], own=False)


def without_shapes(words: str, gone: list[bool]) -> str:
    """A comment on the shapes of all arguments, `(B, T, d_model), (T,) -> ...`, without those of arguments that are gone."""
    mark = "# " if words.startswith("# ") else ""
    inputs, arrow, result = words.removeprefix(mark).partition(" -> ")
    shapes = re.findall(r"\([^()]*\)", inputs)
    if len(shapes) != len(gone) or ", ".join(shapes) != inputs or not any(gone):
        return words
    left = ", ".join(shape for shape, left_out in zip(shapes, gone) if not left_out)
    return mark + (left + arrow + result if left else result)


def stored_names(body: list[ast.stmt]) -> set[str]:
    found: set[str] = set()
    for node in (one for statement in body for one in walk(statement)):
        if isinstance(node, ast.Assign):
            found |= set(assigned_names(node))
        if isinstance(node, ast.For | ast.comprehension):
            found |= mentioned(node.target)
    return found


def loaded(body: list[ast.stmt]) -> set[str]:
    """Attributes that are read, not only set."""
    found: set[str] = set()
    for statement in body:
        stored = set()
        for node in walk(statement):
            if isinstance(node, ast.Assign | ast.AugAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                for target in targets:
                    stored |= {id(one) for one in (target.elts if isinstance(target, ast.Tuple) else [target])}
            if isinstance(node, ast.Attribute) and id(node) not in stored:
                found.add(node.attr)
    return found


def only_none(body: list[ast.stmt], attr: str) -> bool:
    """Whether nothing but None is ever set."""
    for node in walk(body):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                pairs = [(target, node.value)]
                if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                    pairs = list(zip(target.elts, node.value.elts))
                for place, value in pairs:
                    empty = isinstance(value, ast.Constant) and value.value is None
                    if any(isinstance(one, ast.Attribute) and one.attr == attr for one in walk(place)) and not empty:
                        return False
        if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Attribute) and node.target.attr == attr:
            return False
    return True


def without(body: list[ast.stmt], attrs: frozenset[str] | set[str]) -> list[ast.stmt]:
    kept = []
    for node in body:
        for field in ("body", "orelse"):
            if isinstance(getattr(node, field, None), list):
                setattr(node, field, without(getattr(node, field), attrs))
        match node:
            case ast.AugAssign(target=ast.Attribute(attr=attr)) | ast.Assign(targets=[ast.Attribute(attr=attr)]) if attr in attrs:
                continue
            case ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Tuple(elts=values)):
                pairs = [(t, v) for t, v in zip(targets, values) if not (isinstance(t, ast.Attribute) and t.attr in attrs)]
                if not pairs:
                    continue
                if len(pairs) < len(targets):
                    few = [t for t, _ in pairs], [v for _, v in pairs]
                    new = ast.Assign(
                        [ast.Tuple(few[0]) if len(pairs) > 1 else few[0][0]], ast.Tuple(few[1]) if len(pairs) > 1 else few[1][0]
                    )
                    new.note, new.above = getattr(node, "note", ""), getattr(node, "above", [])  # type: ignore[attr-defined]
                    node = new
        kept.append(node)
    return kept


def text(words: str) -> ast.stmt:
    node = ast.Expr(ast.Constant(words))
    node.doc = True  # type: ignore[attr-defined]
    return node


def arguments(names: list[str]) -> ast.arguments:
    return ast.arguments([], [ast.arg(one) for one in names], None, [], [], None, [])


def numeric(node: ast.AST) -> bool:
    """A number, or a product of numbers."""
    if isinstance(node, ast.Constant):
        return is_number(node.value)
    return isinstance(node, ast.BinOp) and numeric(node.left) and numeric(node.right)


def leaves_of(node: ast.expr) -> Iterator[ast.expr]:
    if isinstance(node, ast.BinOp):
        yield from leaves_of(node.left)
        yield from leaves_of(node.right)
    else:
        yield node


def blank(node: ast.expr) -> ast.expr:
    """The same product with all its numbers alike."""
    return ast.BinOp(blank(node.left), node.op, blank(node.right)) if isinstance(node, ast.BinOp) else ast.Constant(0)


def value_of(node: ast.expr) -> Any:
    return node.value if isinstance(node, ast.Constant) else eval(ast.unparse(node))


def argument_name(nodes: list[ast.expr]) -> str:
    for attr in ("param", "origin"):
        found = {getattr(node, attr, "") for node in nodes}
        if len(found) == 1 and (one := found.pop()):
            return one
    if any(hasattr(node, "place") for node in nodes):
        return ""
    return next((one for node in nodes for attr in ("param", "origin") if (one := getattr(node, attr, ""))), "")


def first_places(final: Final) -> list[int]:
    places = {key: place for place, key in reversed(final.params.items())}
    return [places[key] for key in final.names]


def attributes(body: Any) -> set[str]:
    found = set()
    for statement in body:
        for node in walk(statement):
            if isinstance(node, ast.Attribute):
                found.add(node.attr)
    return found


def reachable(roots: Iterable[Class]) -> set[Class]:
    found, left = set(), [*roots]
    while left:
        one = left.pop()
        if one not in found:
            found.add(one)
            left += one.children()
    return found


def own_words(finals: list[Final]) -> list[str]:
    """For each of several classes of one name a word for what it alone has, or for what most others lack; empty for the plainest."""
    found = [traits(final.one.module) for final in finals] if len(finals) > 1 else [{}]
    words: dict[int, str] = {}
    left = []
    for place, mine in enumerate(found):
        others = [one for one in found if one is not mine]
        some = [word for word in mine if not all(word in one for one in others)]
        sets = chain(combinations(some, 1), combinations(some, 2))
        own = next((few for few in sets if not any(one.keys() >= set(few) for one in others)), None)
        if own:
            words[place] = "".join(map(camel, own))
        else:
            left.append((len(some), place, some))
    for _, place, some in sorted(left):
        taken = words.values()
        words[place] = next((word for word in ("", *map(camel, some)) if word not in taken), "")
    return [words[place] for place in range(len(finals))]


def traits(module: nn.Module) -> dict[str, None]:
    """What a module and those in it have or do, in words: settings that are on, functions, and the modules' names."""
    kinds: dict[str, None] = {}
    found: dict[str, None] = {}
    for path, one in module.named_modules():
        for key, value in vars(one).items():
            if key.startswith("_") or key in SHOWN or key == "training":
                continue
            settings = vars(value).items() if isinstance(value, Spec) else ((key, value),)
            for setting, held in settings:
                if isinstance(held, str) and held.isidentifier():
                    (kinds if setting == "kind" else found)[held] = None
                elif (isinstance(held, bool) or is_number(held)) and held:
                    found[setting] = None
                elif isinstance(held, types.FunctionType | types.BuiltinFunctionType):
                    found[held.__name__] = None
        found |= {name_: None for name_ in (path.rpartition(".")[2], *one._parameters) if name_ and not name_.isdigit()}
    return kinds | found


def plain_name(cls: type) -> str:
    return cls.__name__.removesuffix("Module").removeprefix("_")


def camel(words: str) -> str:
    return "".join(piece[:1].upper() + piece[1:] for piece in re.split(r"[_\W]+", words))
