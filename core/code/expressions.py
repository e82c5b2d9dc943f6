"""The expressions of a function: known values are computed, and what depends on tensors is written in its source's form."""

import ast
import functools
import inspect
import math
import operator
import types
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from torch import Tensor, nn

from ..parts.base import Spec
from . import source
from .calls import Calls
from .source import walk
from .values import (
    MISSING,
    Arg,
    Bound,
    Cannot,
    Closure,
    Construct,
    Dyn,
    EachLayer,
    Frame,
    Super,
    called,
    constant,
    derived,
    dynamic,
    form_of,
    from_figures,
    holder,
    is_number,
    lift,
    name,
    of_project,
    on_device,
    plain,
    size,
    snake,
    starred,
    with_origin,
)

OPERATORS: dict[type, Callable[..., Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv, ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod, ast.Pow: operator.pow, ast.MatMult: operator.matmul, ast.BitAnd: operator.and_, ast.BitOr: operator.or_,
    ast.BitXor: operator.xor, ast.LShift: operator.lshift, ast.RShift: operator.rshift, ast.Eq: operator.eq, ast.NotEq: operator.ne,
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge, ast.Is: operator.is_, ast.IsNot: operator.is_not,
    ast.In: lambda a, b: a in b, ast.NotIn: lambda a, b: a not in b, ast.USub: operator.neg, ast.UAdd: operator.pos, ast.Not: operator.not_,
    ast.Invert: operator.invert,
}  # fmt: skip


LONG = 10  # characters of a number whose digits say nothing
SHORT_SUM = 6  # names, numbers and operators of a sum or product that has no name of its own


class Expressions(Calls):
    def ev(self, node: ast.expr, frame: Frame) -> Any:
        return getattr(self, "ev_" + type(node).__name__)(node, frame)

    def arg(self, node: ast.expr, frame: Frame) -> Arg:
        value = self.ev(node, frame)
        sizes = isinstance(value, tuple) and bool(value) and all(map(is_number, value))
        return Arg(value, self.form(node, frame, value) if is_number(value) or sizes else None)

    def form(self, node: ast.expr, frame: Frame, value: Any = MISSING) -> ast.expr:
        """An expression in its written form: a product of known sizes stays a product, and a number knows its name."""
        value = self.ev(node, frame) if value is MISSING else value
        if isinstance(value, tuple) and isinstance(node, ast.Tuple) and len(value) == len(node.elts) and not starred(node):
            return ast.Tuple([self.form(one, frame, v) for one, v in zip(node.elts, value)])
        if isinstance(value, tuple) and isinstance(node, ast.Name) and not dynamic(value) and (known := frame.form(node.id)) is not None:
            return known
        if isinstance(value, tuple) and isinstance(node, ast.IfExp) and not dynamic(value):
            return self.form(self.taken(node, frame), frame, value)
        if isinstance(value, tuple) and isinstance(node, ast.Attribute) and not dynamic(value):
            owner = self.ev(node.value, frame)
            if isinstance(owner, nn.Module) and value and all(map(is_number, value)):
                return ast.Tuple([placed(constant(one), id(owner), node.attr, n) for n, one in enumerate(value)])
            return self.form_of_property(node, frame, value) or lift(value)
        if isinstance(value, slice) and isinstance(node, ast.Slice):
            bounds = zip((node.lower, node.upper, node.step), (value.start, value.stop, value.step))
            return ast.Slice(*(None if one is None else self.form(one, frame, v) for one, v in bounds))
        if not is_number(value):
            return lift(value)
        match node:
            case ast.UnaryOp(op=ast.USub()):
                inner = self.form(node.operand, frame, -value)
                return ast.UnaryOp(ast.USub(), inner) if isinstance(inner, ast.Call) or from_figures(inner) else lift(value)
            case ast.Name():
                known = frame.form(node.id)
                return with_origin(lift(value), node.id) if known is None else known
            case ast.Attribute():
                if (product := self.form_of_property(node, frame, value)) is not None:
                    return product
                owner = self.ev(node.value, frame) if isinstance(node.value, ast.Name | ast.Attribute) else None
                if isinstance(owner, nn.Module):
                    return placed(constant(value) if value > 0 and math.isfinite(value) else lift(value), id(owner), node.attr)
                return with_origin(lift(value), node.attr)
            case ast.BinOp():
                left, right = self.ev(node.left, frame), self.ev(node.right, frame)
                if is_number(left) and is_number(right):
                    return self.form_of_operation(node, frame, (left, right), value)
            case ast.Call(func=ast.Name(id="sum"), args=[ast.Attribute() as one]):
                parts = self.form(one, frame)
                if isinstance(parts, ast.Tuple) and parts.elts:
                    return functools.reduce(lambda a, b: ast.BinOp(a, ast.Add(), b), parts.elts)
            case ast.Call():
                return self.form_of_call(node, frame, value) or lift(value)
            case ast.BoolOp() | ast.IfExp():
                return self.form(self.taken(node, frame), frame, value)
        return lift(value)

    def form_of_operation(self, node: ast.BinOp, frame: Frame, operands: tuple[Any, Any], value: Any) -> ast.expr:
        """The form of a sum, product or the like of numbers, without what changes nothing."""
        left, right = operands
        second = 1 if isinstance(node.op, ast.Mult | ast.Div | ast.FloorDiv | ast.Pow) else 0
        if right == second and value == left and not isinstance(node.op, ast.Mod):
            return self.form(node.left, frame, left)
        if left == second and value == right and isinstance(node.op, ast.Mult | ast.Add):
            return self.form(node.right, frame, right)
        first, last = self.form(node.left, frame, left), self.form(node.right, frame, right)
        if (
            isinstance(last, ast.BinOp)
            and type(last.op) is type(node.op)
            and isinstance(node.op, ast.Mult | ast.Add)
            and isinstance(value, int)
        ):
            first, last = ast.BinOp(first, node.op, last.left), last.right  # a * (b * c)
        made = ast.BinOp(first, node.op, last)
        shown = isinstance(node.op, ast.Pow) or (isinstance(node.op, ast.Mult | ast.Add) and 0 not in operands)
        if shown and not any(form_of(one) for one in walk(made)):  # a product of sizes stays one also where these have no names
            return made
        return derived(value, made) if from_figures(made) else lift(value)

    def form_of_call(self, node: ast.Call, frame: Frame, value: Any) -> ast.expr | None:
        """The form of what a function returns for known values."""
        given = [self.ev(one, frame) for one in node.args if not isinstance(one, ast.Starred)]
        if node.keywords or len(given) < len(node.args):
            return None
        for one, known in zip(node.args, given):
            if (
                is_number(known)
                and known == value
                and type(known) is type(value)
                and isinstance(node.func, ast.Name)
                and node.func.id in ("max", "min", "int", "float", "round")
            ):
                return self.form(one, frame, known)
        function = self.ev(node.func, frame)
        if isinstance(function, Closure | Bound | types.FunctionType) and not isinstance(getattr(function, "owner", None), nn.Module):
            return self.returned(function, [self.arg(one, frame) for one in node.args])
        if all(map(is_number, given)) and (function in (int, round) or getattr(function, "__module__", "") == "math"):
            forms = [self.form(one, frame, known) for one, known in zip(node.args, given)]
            match forms:
                case [ast.Constant(value=int())] if function is int:  # int(d * 1.0)
                    return forms[0]
            made = ast.Call(lift(function), forms, [])
            if from_figures(made):
                return derived(value, made)
            return made if len(repr(value)) > LONG else None  # math.exp(-0.5) says more than its digits
        return None

    def returned(self, function: Any, args: list[Arg]) -> ast.expr | None:
        """The form of what a short function of the project returns."""
        bound = Bound(None, function, object) if isinstance(function, types.FunctionType) else function
        real = function.node if isinstance(function, Closure) else inspect.unwrap(bound.function)
        if not isinstance(function, Closure) and not (isinstance(real, types.FunctionType) and of_project(real)):
            return None
        tree = real if isinstance(function, Closure) else source.tree(real)
        if not simple(tree):
            return None
        written, used, fresh = len(self.out), set(self.used), dict(self.fresh)
        self.form_returned = None
        with suppress(Cannot):
            self.inlined(bound, args, {})
        found, self.form_returned = self.form_returned, None
        del self.out[written:]
        self.used, self.fresh = used, fresh
        own = bound.cls if isinstance(bound, Bound) else None
        kind = snake(own.__name__) if isinstance(own, type) and issubclass(own, Spec) else ""
        return called(found, tree.name, kind) if isinstance(tree, ast.FunctionDef) else found

    def form_of_property(self, node: ast.Attribute, frame: Frame, value: Any) -> ast.expr | None:
        """The form of a property of a configuration that computes a size from its fields."""
        owner = self.ev(node.value, frame) if isinstance(node.value, ast.Name | ast.Attribute) else None
        if not isinstance(owner, Spec):
            return None
        found = inspect.getattr_static(type(owner), node.attr, None)
        if is_number(value) and isinstance(found, property) and isinstance(found.fget, types.FunctionType):
            made, kind = self.returned(Bound(owner, found.fget, holder(type(owner), node.attr)), []), snake(type(owner).__name__)
            if isinstance(made, ast.BinOp) and size(made) > SHORT_SUM:
                return derived(value, made, f"{kind}_{node.attr}")
            return called(made, node.attr)
        if (product := product_of(type(owner), node.attr)) is None:
            return None
        inner = Frame(None, type(owner), owner, outer=frame)
        inner.env["self"] = owner
        return self.form(product, inner, value)

    def taken(self, node: ast.expr, frame: Frame) -> ast.expr:
        """The operand that gives a known value."""
        if isinstance(node, ast.IfExp):
            return node.body if self.truth(self.ev(node.test, frame)) else node.orelse
        assert isinstance(node, ast.BoolOp)
        for one in node.values:
            if self.truth(self.ev(one, frame)) == isinstance(node.op, ast.Or):
                return one
        return node.values[-1]

    def truth(self, value: Any) -> bool | None:
        """None if only a run knows."""
        if isinstance(value, Dyn):
            return True if value.true else None
        if isinstance(value, nn.Module) and not isinstance(value, nn.ModuleList):
            return True
        return bool(value)

    def ev_Constant(self, node: ast.Constant, frame: Frame) -> Any:
        return node.value

    def ev_Name(self, node: ast.Name, frame: Frame) -> Any:
        value = frame.find(node.id)
        return Dyn(self.path(value)) if isinstance(value, Tensor) else value

    def ev_NamedExpr(self, node: ast.NamedExpr, frame: Frame) -> Any:
        self.bind(node.target, self.arg(node.value, frame), frame, node)
        return self.ev(node.target, frame)

    def ev_Attribute(self, node: ast.Attribute, frame: Frame) -> Any:
        return self.attribute(self.ev(node.value, frame), node.attr)

    def attribute(self, base: Any, attr: str) -> Any:
        if isinstance(base, Dyn):
            if attr == "is_meta":  # nothing that is written is built for analysis alone
                return False
            node = on_device(base.node) if attr == "device" else base.node
            return Dyn(ast.Attribute(node, attr), maybe=attr in self.file.nullable)
        if isinstance(base, Super):
            return self.above(base, attr)
        if isinstance(base, nn.Module):
            return self.of_module(base, attr)
        if isinstance(base, Construct | EachLayer):
            raise Cannot(f"{attr} of what is not built")
        value = inspect.getattr_static(type(base), attr, None)
        if isinstance(value, types.FunctionType) and of_project(type(base)):
            return Bound(base, value, holder(type(base), attr))
        return getattr(base, attr)

    def of_module(self, module: nn.Module, attr: str) -> Any:
        for group in (module._parameters, module._buffers):
            if attr in group:
                if group[attr] is None:
                    return None
                node = ast.Attribute(self.path(module), attr)
                node.lasting = True  # type: ignore[attr-defined]
                return Dyn(node)
        if attr in module._modules:
            return module._modules[attr]
        if attr in self.file.changing(module):
            true = bool(module.__dict__.get(attr)) and isinstance(module.__dict__[attr], tuple)
            node = ast.Attribute(self.path(module), attr)
            return Dyn(node, maybe=attr in self.file.nullable, true=true)
        if attr in module.__dict__:
            return module.__dict__[attr]
        found = inspect.getattr_static(type(module), attr)
        if isinstance(found, property):
            return self.property_of(module, attr, found)
        if isinstance(found, functools.cached_property):
            return getattr(module, attr)
        if isinstance(found, types.FunctionType):
            return Bound(module, found, holder(type(module), attr))
        return getattr(module, attr)

    def property_of(self, module: nn.Module, attr: str, found: property) -> Any:
        function = found.fget
        assert isinstance(function, types.FunctionType)
        if not of_project(function):
            return Dyn(ast.Attribute(self.path(module), attr))
        bound = Bound(module, function, holder(type(module), attr))
        if self.owner is not None and module is self.owner.module:
            return self.call_method(bound, [], {})
        self.file.of(module).method(attr, function, bound.cls, [], {}, decorator="property")
        return Dyn(ast.Attribute(self.path(module), attr))

    def above(self, base: Super, attr: str) -> Any:
        order = type(base.owner).__mro__
        for cls in order[order.index(base.cls) + 1 :]:
            if attr in cls.__dict__:
                found = cls.__dict__[attr]
                if isinstance(found, types.FunctionType) and of_project(cls):
                    return Bound(base.owner, found, cls, above=True)
                break
        return Dyn(ast.Attribute(ast.Call(name("super"), [], []), attr))

    def ev_Subscript(self, node: ast.Subscript, frame: Frame) -> Any:
        base = self.ev(node.value, frame)
        index = self.ev(node.slice, frame)
        if isinstance(base, Dyn):
            if index == slice(None) or index == (..., slice(None)):
                return base
            return Dyn(ast.Subscript(base.node, self.form(node.slice, frame, index)))
        if dynamic(index):
            return Dyn(ast.Subscript(self.written(base), lift(index)))
        return base[index]

    def ev_Slice(self, node: ast.Slice, frame: Frame) -> Any:
        return slice(*(None if one is None else self.ev(one, frame) for one in (node.lower, node.upper, node.step)))

    def ev_Tuple(self, node: ast.Tuple, frame: Frame) -> Any:
        return self.display(node.elts, frame, tuple, ast.Tuple)

    def ev_List(self, node: ast.List, frame: Frame) -> Any:
        return self.display(node.elts, frame, list, ast.List)

    def ev_Set(self, node: ast.Set, frame: Frame) -> Any:
        return self.display(node.elts, frame, set, ast.Set)

    def display(self, elts: list[ast.expr], frame: Frame, kind: type, tree: type) -> Any:
        items: list[Any] = []
        forms: list[ast.expr] = []
        loose = False
        many: int | None = 0  # values of what is starred
        for one in elts:
            if isinstance(one, ast.Starred):
                value = self.ev(one.value, frame)
                if isinstance(value, Dyn) and isinstance(value.node, ast.Tuple) and not starred(value.node):
                    value = [Dyn(node) for node in value.node.elts]
                if isinstance(value, Dyn):
                    loose, many = True, None if many is None or value.arity is None else many + value.arity
                    forms.append(ast.Starred(value.node))
                    continue
                items += value
                forms += [self.maybe_lift(v) for v in value]
            else:
                value = self.ev(one, frame)
                items.append(value)
                forms.append(self.form(one, frame, value) if is_number(value) else self.maybe_lift(value))
        if loose:
            return Dyn(tree(forms), None if many is None else many + len(items))
        return kind(items)

    def maybe_lift(self, value: Any) -> ast.expr:
        try:
            return lift(value)
        except Cannot:
            return name("?")

    def ev_Dict(self, node: ast.Dict, frame: Frame) -> Any:
        return {self.ev(key, frame): self.ev(value, frame) for key, value in zip(node.keys, node.values) if key is not None}

    def ev_JoinedStr(self, node: ast.JoinedStr, frame: Frame) -> Any:
        pieces = []
        for piece in node.values:
            if isinstance(piece, ast.FormattedValue):
                value = self.ev(piece.value, frame)
                spec = self.ev(piece.format_spec, frame) if piece.format_spec is not None else ""
                pieces.append(format(value, spec))
            else:
                pieces.append(piece.value)  # type: ignore[attr-defined]
        return "".join(pieces)

    def ev_Lambda(self, node: ast.Lambda, frame: Frame) -> Any:
        return Closure(node, frame)

    def ev_Yield(self, node: ast.Yield, frame: Frame) -> Any:
        return Dyn(ast.Yield(None if node.value is None else self.written(self.ev(node.value, frame))))

    def ev_UnaryOp(self, node: ast.UnaryOp, frame: Frame) -> Any:
        value = self.ev(node.operand, frame)
        if isinstance(node.op, ast.Not) and (truth := self.truth(value)) is not None:
            return not truth
        if isinstance(value, Dyn):
            return Dyn(ast.UnaryOp(node.op, value.node))
        return OPERATORS[type(node.op)](value)

    def ev_BinOp(self, node: ast.BinOp, frame: Frame) -> Any:
        left, right = self.ev(node.left, frame), self.ev(node.right, frame)
        if not isinstance(left, Dyn) and not isinstance(right, Dyn):
            return OPERATORS[type(node.op)](left, right)
        for one, other in ((left, right), (right, left)):
            if isinstance(one, Dyn) or not is_number(one):
                continue
            second = one is right
            whole = isinstance(one, int) and isinstance(node.op, ast.FloorDiv)  # of positions and lengths
            if (one == 1 and (isinstance(node.op, ast.Mult) or second and (whole or isinstance(node.op, ast.Div | ast.Pow)))) or (
                one == 0 and isinstance(one, int) and (isinstance(node.op, ast.Add) or second and isinstance(node.op, ast.Sub))
            ):
                return other
        return Dyn(ast.BinOp(self.form(node.left, frame, left), node.op, self.form(node.right, frame, right)))

    def ev_Compare(self, node: ast.Compare, frame: Frame) -> Any:
        values = [self.ev(one, frame) for one in (node.left, *node.comparators)]
        if len(node.ops) == 1 and isinstance(node.ops[0], ast.Is | ast.IsNot):
            one, other = values
            if other is None and (not isinstance(one, Dyn) or not one.maybe):
                return (one is None) == isinstance(node.ops[0], ast.Is)
        if any(map(dynamic, values)):
            left, *right = (self.form(n, frame, v) for n, v in zip((node.left, *node.comparators), values))
            return Dyn(ast.Compare(left, node.ops, right))
        return all(OPERATORS[type(op)](a, b) for op, a, b in zip(node.ops, values, values[1:]))

    def ev_BoolOp(self, node: ast.BoolOp, frame: Frame) -> Any:
        stop = isinstance(node.op, ast.Or)
        left: list[ast.expr] = []
        value: Any = None
        for index, one in enumerate(node.values):
            self.lazy += bool(left)
            value = self.ev(one, frame)
            self.lazy -= bool(left)
            truth = self.truth(value)
            last = index == len(node.values) - 1
            if truth is None or (last and left and isinstance(value, Dyn)):
                left.append(value.node)
            elif truth == stop:
                if left:
                    left.append(self.written(value))
                    break
                return value
            elif last and not left:
                return value
        return Dyn(ast.BoolOp(node.op, left)) if len(left) > 1 else Dyn(left[0])

    def ev_IfExp(self, node: ast.IfExp, frame: Frame) -> Any:
        test = self.ev(node.test, frame)
        truth = self.truth(test)
        if truth is not None:
            return self.ev(node.body if truth else node.orelse, frame)
        self.lazy += 1
        body, other = self.ev(node.body, frame), self.ev(node.orelse, frame)
        self.lazy -= 1
        maybe = any(v is None or isinstance(v, Dyn) and v.maybe for v in (body, other))
        return Dyn(ast.IfExp(lift(test), self.form(node.body, frame, body), self.form(node.orelse, frame, other)), maybe=maybe)

    def ev_ListComp(self, node: ast.ListComp, frame: Frame) -> Any:
        return self.comprehension(node, frame, list)

    def ev_SetComp(self, node: ast.SetComp, frame: Frame) -> Any:
        return self.comprehension(node, frame, set)

    def ev_GeneratorExp(self, node: ast.GeneratorExp, frame: Frame) -> Any:
        return self.comprehension(node, frame, list)

    def ev_DictComp(self, node: ast.DictComp, frame: Frame) -> Any:
        found = {}
        inner = self.inner(frame)
        for item in self.ev(node.generators[0].iter, frame):
            self.bind(node.generators[0].target, Arg(item), inner, node)
            if all(self.ev(one, inner) for one in node.generators[0].ifs):
                found[self.ev(node.key, inner)] = self.ev(node.value, inner)
        return found

    def inner(self, frame: Frame) -> Frame:
        inner = Frame(frame.function, frame.cls, frame.owner, outer=frame)
        inner.inline = True
        return inner

    def comprehension(self, node: Any, frame: Frame, kind: type) -> Any:
        (generator,) = node.generators
        over = self.ev(generator.iter, frame)
        inner = self.inner(frame)
        items = None if isinstance(over, Dyn) else over if isinstance(over, range | nn.ModuleList) else list(over)
        iterated = over.node if items is None else self.rounds(generator.iter, frame, items) if len(items) > 1 and not self.init else None
        if isinstance(node, ast.ListComp) and isinstance(items, list | tuple) and not numbers(items) and not all(map(is_plain, items)):
            iterated = None  # what is made of modules and new values may be read one by one
        if iterated is not None:
            taken = [one.id for one in walk(generator.target) if isinstance(one, ast.Name)]
            for one in taken:
                inner.env[one] = Dyn(name(one))
            target = self.target(generator.target, inner)
            kept, self.out = self.out, []
            self.lazy += 1
            element = self.ev(node.elt, inner)
            self.lazy -= 1
            ifs = [lift(self.ev(one, inner)) for one in generator.ifs]
            extra, self.out = self.out, kept
            if extra and items is None:
                raise Cannot("statements inside a comprehension")
            if not extra and isinstance(element, Dyn) and (dynamic(items) or not numbers(items) or reads_more(element.node, taken)):
                built = type(node)(element.node, [ast.comprehension(target, iterated, ifs, 0)])
                return Dyn(built, None if items is None else len(items))
        found = []
        for item in items or []:
            inner = self.inner(frame)
            self.bind(generator.target, Arg(item), inner, node)
            if all(self.ev(one, inner) for one in generator.ifs):
                value = self.ev(node.elt, inner)
                found.append(self.kept(value))
        return kind(found)

    def rounds(self, node: ast.expr, frame: Frame, items: Any) -> ast.expr | None:
        """What a loop over known values is written over, if these are of one sort: tensors, functions, torch's modules or numbers."""
        match node:
            case ast.Call(func=ast.Name(id="enumerate" | "zip" as called), args=args):
                if any(isinstance(one, ast.Starred) for one in args):
                    return None
                inner = [self.rounds(one, frame, self.ev(one, frame)) for one in args]
                written = [one for one in inner if one is not None]
                keywords = node.keywords if called == "zip" else []
                return ast.Call(name(called), written, keywords) if len(written) == len(inner) else None
        if isinstance(items, Dyn):
            return items.node
        if isinstance(items, nn.ModuleList):
            return self.path(items) if all(map(self.by_torch, items)) else None
        if isinstance(items, range):
            bounds = node.args if isinstance(node, ast.Call) else []
            return ast.Call(name("range"), [self.form(one, frame) for one in bounds], []) if len(items) > 2 else None
        if not isinstance(items, list | tuple):
            return None
        if all(isinstance(one, Dyn) for one in items) or all(type(one).__name__ == "builtin_function_or_method" for one in items):
            return ast.Tuple([lift(one) for one in items])
        if all(isinstance(one, nn.Module) and self.by_torch(one) for one in items):
            return ast.Tuple([self.path(one) for one in items])
        return lift(tuple(items)) if len(items) > 2 and numbers(items) else None

    def by_torch(self, module: nn.Module) -> bool:
        """Whether a module's class does what torch's does, so that a loop can call it."""
        if not of_project(type(module)):
            return True
        one, function = self.file.of(module), inspect.unwrap(type(module).forward)
        if not one.native and isinstance(module, nn.Linear | nn.Embedding):
            one.method("forward", function, holder(type(module), "forward"), [Arg(Dyn(name("x")))], {})  # notes whether it is
        return one.native

    def ev_Call(self, node: ast.Call, frame: Frame) -> Any:
        if isinstance(node.func, ast.Name) and node.func.id == "super":
            here: Frame | None = frame
            while here is not None and here.cls is None:
                here = here.outer
            assert here is not None and here.cls is not None
            return Super(here.owner, here.cls)
        function = self.ev(node.func, frame)
        args: list[Arg] = []
        stars = False
        for one in node.args:
            if isinstance(one, ast.Starred):
                value = self.ev(one.value, frame)
                if isinstance(value, Dyn):
                    args.append(Arg(Dyn(ast.Starred(value.node))))
                    stars = True
                elif isinstance(one.value, ast.Attribute) and isinstance(value, tuple) and all(map(is_number, value)):
                    owner = id(self.ev(one.value.value, frame))
                    args += [Arg(item, placed(lift(item), owner, one.value.attr, n)) for n, item in enumerate(value)]
                else:
                    args += [Arg(item) for item in value]
            else:
                args.append(self.arg_of(one, frame))
        kwargs: dict[str, Arg] = {}
        for keyword in node.keywords:
            if keyword.arg is None:
                kwargs |= {key: Arg(value) for key, value in self.ev(keyword.value, frame).items()}
            else:
                kwargs[keyword.arg] = self.arg_of(keyword.value, frame)
        return self.call(function, args, kwargs, frame, stars)

    def arg_of(self, node: ast.expr, frame: Frame) -> Arg:
        value = self.ev(node, frame)
        if isinstance(value, nn.Module | Construct | EachLayer) or callable(value) and not isinstance(value, Dyn):
            return Arg(value)
        if is_number(value) or isinstance(value, tuple):
            try:
                return Arg(value, self.form(node, frame, value))
            except Cannot:
                return Arg(value)
        return Arg(value)


def placed(node: ast.expr, owner: int, attr: str, index: int | None = None) -> ast.expr:
    """A number that a module's `__init__` keeps: where it came from is known when that is written."""
    if isinstance(node, ast.Constant):
        node.place = owner, attr, index or 0  # type: ignore[attr-defined]
    return with_origin(node, attr if index is None else "")


@functools.cache
def simple(tree: ast.FunctionDef | ast.Lambda) -> bool:
    """Whether a function has no loop, so that what it returns has a form."""
    loops = (ast.For, ast.While, ast.ListComp, ast.GeneratorExp, ast.SetComp, ast.DictComp, ast.Yield, ast.YieldFrom, ast.With, ast.Try)
    return not any(isinstance(one, loops) for one in walk(tree))


@functools.cache
def product_of(cls: type, attr: str) -> ast.expr | None:
    """What a property of a configuration returns, if it is no more than a product or sum of its fields."""
    found = inspect.getattr_static(cls, attr, None)
    if not isinstance(found, property) or not isinstance(found.fget, types.FunctionType) or not of_project(found.fget):
        return None
    match source.tree(found.fget).body:
        case [*_, ast.Return(value=ast.BinOp() | ast.BoolOp() | ast.Attribute() | ast.Tuple() as value)]:
            usual = (ast.BinOp, ast.Mult, ast.Add, ast.BoolOp, ast.Or, ast.Tuple, ast.Attribute, ast.Name, ast.Constant, ast.expr_context)
            return value if all(isinstance(one, usual) for one in walk(value)) else None
    return None


def is_plain(value: Any) -> bool:
    return plain(value.node) if isinstance(value, Dyn) else type(value).__name__ == "builtin_function_or_method"


def numbers(items: Any) -> bool:
    """Whether these are numbers, or tuples of numbers."""
    if isinstance(items, range):
        return True
    flat = (inner for one in items or () for inner in (one if isinstance(one, tuple) else (one,)))
    return bool(items) and not isinstance(items, nn.ModuleList) and all(map(is_number, flat))


def reads_more(node: ast.expr, counters: list[str]) -> bool:
    """Whether an expression reads more than the counters of its loop."""
    return any(isinstance(one, ast.Name) and one.id not in (*counters, "math") for one in walk(node))
