"""A partial evaluator: it runs a function whose some values are known, and writes down what depends on the others.

A value is either known, any Python object, or `Dyn`, an expression of the code that is written. Attributes of a part's configuration,
conditions and loops over them are known, so they are gone from the result; what happens to tensors stays, in its source's own form.
"""

import ast
import builtins
import functools
import inspect
import math
import operator
import re
import types
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..model import Layers
from . import source
from .source import copied, walk

if TYPE_CHECKING:
    from .classes import Class, File

PROJECT = __name__.split(".")[0] + "."
NAMESPACES = {torch: "torch", F: "F", nn: "nn", math: "math"}
OPERATORS: dict[type, Callable[..., Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv, ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod, ast.Pow: operator.pow, ast.MatMult: operator.matmul, ast.BitAnd: operator.and_, ast.BitOr: operator.or_,
    ast.BitXor: operator.xor, ast.LShift: operator.lshift, ast.RShift: operator.rshift, ast.Eq: operator.eq, ast.NotEq: operator.ne,
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge, ast.Is: operator.is_, ast.IsNot: operator.is_not,
    ast.In: lambda a, b: a in b, ast.NotIn: lambda a, b: a not in b, ast.USub: operator.neg, ast.UAdd: operator.pos, ast.Not: operator.not_,
    ast.Invert: operator.invert,
}  # fmt: skip
MODULES = re.compile("Tensor|Module|Parameter|Linear|Box|Core|Rotary|Attention")  # in the annotation of what builds or computes
DONE = object()  # a return has ended the block
MISSING = object()


class Dyn:
    """An expression of the written code. `arity`: the length of the tuple it gives; `maybe`: whether it can be None."""

    __slots__ = ("arity", "maybe", "node", "true")

    def __init__(self, node: ast.expr, arity: int | None = None, maybe: bool = False, true: bool = False):
        self.node, self.arity, self.maybe, self.true = node, arity, maybe, true

    def __add__(self, other: Any) -> "Dyn":  # for the built-in sum
        return Dyn(ast.BinOp(self.node, ast.Add(), lift(other)))

    def __radd__(self, other: Any) -> "Dyn":
        return self if isinstance(other, int) and other == 0 else Dyn(ast.BinOp(lift(other), ast.Add(), self.node))


class Construct:
    """A module that an `__init__` makes: its class and the arguments, each with the form in which it is written."""

    def __init__(self, cls: type, args: list["Arg"], kwargs: dict[str, "Arg"]):
        self.cls, self.args, self.kwargs = cls, args, kwargs


class Arg:
    __slots__ = ("form", "value")

    def __init__(self, value: Any, form: ast.expr | None = None):
        self.value, self.form = value, form


class Bound:
    """A method of a module, or a function above it in the order of its classes."""

    def __init__(self, owner: Any, function: Any, cls: type, above: bool = False):
        self.owner, self.function, self.cls, self.above = owner, function, cls, above


class Super:
    def __init__(self, owner: Any, cls: type):
        self.owner, self.cls = owner, cls


class Closure:
    """A function defined inside another."""

    def __init__(self, node: Any, frame: "Frame"):
        self.node, self.frame = node, frame


class EachLayer:
    """Any one of the layers, in the loop over all of them."""

    def __init__(self, layers: Layers, node: ast.expr):
        self.layers, self.node = layers, node


class Frame:
    def __init__(self, function: types.FunctionType | None, cls: type | None, owner: Any = None, outer: "Frame | None" = None):
        self.function, self.cls, self.owner, self.outer = function, cls, owner, outer
        self.env: dict[str, Any] = {}
        self.forms: dict[str, ast.expr] = {}
        self.names: dict[str, str] = {}
        self.fixed: set[str] = set()
        self.inline = False
        self.result: Any = None
        self.globals: dict[str, Any] = function.__globals__ if function else outer.globals if outer else {}

    def find(self, name: str) -> Any:
        frame: Frame | None = self
        while frame is not None:
            if name in frame.env:
                return frame.env[name]
            frame = frame.outer
        function = self.function
        if function and function.__closure__ and name in function.__code__.co_freevars:
            return function.__closure__[function.__code__.co_freevars.index(name)].cell_contents
        if name in self.globals:
            return self.globals[name]
        return getattr(builtins, name)


class Cannot(Exception):
    """This call is not possible in place."""


def name(of: str) -> ast.Name:
    return ast.Name(of)


def constant(value: Any, origin: str = "") -> ast.Constant:
    node = ast.Constant(value)
    node.origin = origin  # type: ignore[attr-defined]
    return node


def lift(value: Any) -> ast.expr:
    """The expression that gives a value."""
    if isinstance(value, Dyn):
        return value.node
    if isinstance(value, float) and math.isinf(value):
        return ast.UnaryOp(ast.USub(), ast.Attribute(name("math"), "inf")) if value < 0 else ast.Attribute(name("math"), "inf")
    if isinstance(value, float) and value in (math.pi, 2 * math.pi):
        pi = ast.Attribute(name("math"), "pi")
        return pi if value == math.pi else ast.BinOp(constant(2), ast.Mult(), pi)
    if value is None or value is ... or isinstance(value, bool | int | float | str):
        if isinstance(value, int | float) and not isinstance(value, bool) and value < 0:
            return ast.UnaryOp(ast.USub(), constant(-value))
        return constant(value)
    if isinstance(value, tuple):
        return ast.Tuple([lift(one) for one in value])
    if isinstance(value, list):
        return ast.List([lift(one) for one in value])
    if isinstance(value, dict):
        return ast.Dict([lift(one) for one in value], [lift(one) for one in value.values()])
    if isinstance(value, slice):
        bounds = [None if one is None else lift(one) for one in (value.start, value.stop, value.step)]
        return ast.Slice(*bounds)
    if isinstance(value, range):
        return ast.Call(name("range"), [lift(one) for one in (value.start, value.stop, value.step)[: 3 if value.step != 1 else 2]], [])
    if isinstance(value, torch.dtype):
        return ast.Attribute(name("torch"), str(value).split(".")[1])
    called = getattr(value, "__name__", "")
    if callable(value) and (known := library().get(value)) is not None:
        return ast.Attribute(name(known[0]), known[1])
    if isinstance(value, type) and issubclass(value, nn.Module) or isinstance(value, types.UnionType):
        node = name("?")
        node.classes = value.__args__ if isinstance(value, types.UnionType) else (value,)  # type: ignore[attr-defined]
        return node
    if getattr(builtins, called, None) is value:
        return name(called)
    raise Cannot(f"{value!r} cannot be written")


@functools.cache
def library() -> dict[Any, tuple[str, str]]:
    """What torch and math offer, by the names that code uses."""
    found: dict[Any, tuple[str, str]] = {}
    for space, short in ((F, "F"), (torch, "torch"), (nn, "nn"), (nn.init, "nn.init"), (math, "math")):
        for key, value in vars(space).items():
            if key.startswith("_") or not isinstance(value, types.FunctionType | types.BuiltinFunctionType | type):
                continue
            if getattr(builtins, getattr(value, "__name__", ""), None) is not value:
                found.setdefault(value, (short, key))
    return found


def dynamic(value: Any) -> bool:
    """Whether a value depends on what only a run knows."""
    if isinstance(value, Dyn | Construct | EachLayer):
        return True
    if isinstance(value, list | tuple | set):
        return any(map(dynamic, value))
    if isinstance(value, dict):
        return any(map(dynamic, value.values()))
    if isinstance(value, slice):
        return any(map(dynamic, (value.start, value.stop, value.step)))
    return isinstance(value, Closure)


def plain(node: ast.expr) -> bool:
    """An expression that can be written twice without computing anything twice."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return isinstance(node, ast.Name | ast.Constant)


def mentioned(node: ast.AST | list) -> set[str]:
    return {one.id for one in walk(node) if isinstance(one, ast.Name)}


def mentions(value: Any, of: str) -> bool:
    if isinstance(value, Dyn):
        return value.node.id == of if isinstance(value.node, ast.Name) else of in mentioned(value.node)
    if isinstance(value, list | tuple):
        return any(mentions(one, of) for one in value)
    if isinstance(value, dict):
        return any(mentions(one, of) for one in value.values())
    return False


def of_project(thing: Any) -> bool:
    return getattr(thing, "__module__", "").startswith(PROJECT)


def project_classes(cls: type) -> list[type]:
    return [one for one in cls.__mro__ if of_project(one)]


class Method:
    """A written function: its live arguments, its statements, and its one expression if it is no more than that."""

    def __init__(self, name: str, params: list[str], body: list[ast.stmt], arity: int | None, expr: ast.expr | None, maybe: bool):
        self.name, self.params, self.body, self.arity, self.expr, self.maybe = name, params, body, arity, expr, maybe
        self.source: Any = None  # the tree it was written from
        self.given: dict[str, ast.expr] = {}  # the arguments of the call at hand
        self.signature: list[str] | None = None  # where it must take more than it reads
        self.root = False  # whether a reader calls it
        self.cls: type | None = None


class Scope:
    """The writing of one function."""

    def __init__(self, file: "File", owner: "Class | None", init: bool = False):
        self.file, self.owner, self.init = file, owner, init
        self.out: list[ast.stmt] = []
        self.used: set[str] = set()
        self.fresh: dict[str, str] = {}
        self.frames: list[Frame] = []
        self.arities: set[int | None] = set()
        self.maybe = False

    # Statements

    def block(self, body: list[ast.stmt], frame: Frame) -> Any:
        for node in body:
            if self.statement(node, frame) is DONE:
                return DONE
        return None

    def write(self, node: ast.stmt, source_node: ast.AST | None = None, frame: Frame | None = None) -> None:
        if source_node is not None:
            node.note = getattr(source_node, "note", "")  # type: ignore[attr-defined]
            node.above = getattr(source_node, "above", [])  # type: ignore[attr-defined]
        node.folds = frame is not None and frame.inline  # type: ignore[attr-defined]
        self.out.append(node)

    def statement(self, node: ast.stmt, frame: Frame) -> Any:
        return getattr(self, "st_" + type(node).__name__)(node, frame)

    def st_Pass(self, node: ast.Pass, frame: Frame) -> None:
        pass

    st_Assert = st_Pass
    st_Import = st_ImportFrom = st_Pass

    def st_Expr(self, node: ast.Expr, frame: Frame) -> None:
        if isinstance(node.value, ast.Constant):
            return
        value = self.ev(node.value, frame)
        if isinstance(value, Dyn) and not plain(value.node):
            self.write(ast.Expr(value.node), node, frame)

    def st_Return(self, node: ast.Return, frame: Frame) -> Any:
        value = None if node.value is None else self.ev(node.value, frame)
        if frame.inline:
            frame.result = value
            return DONE
        self.arities.add(len(value) if isinstance(value, tuple) else value.arity if isinstance(value, Dyn) else None)
        self.maybe |= value is None or (isinstance(value, Dyn) and value.maybe)
        form = self.form(node.value, frame, value) if node.value is not None else None
        self.write(ast.Return(form), node, frame)
        return DONE

    def st_FunctionDef(self, node: ast.FunctionDef, frame: Frame) -> None:
        frame.env[node.name] = Closure(node, frame)

    def st_If(self, node: ast.If, frame: Frame) -> Any:
        test = self.ev(node.test, frame)
        truth = self.truth(test)
        if truth is not None:
            return self.block(node.body if truth else node.orelse, frame)
        kept, ends, envs, outs = self.out, [], [], []
        before = dict(frame.env)
        for body in (node.body, node.orelse):
            frame.env, self.out = dict(before), []
            ends.append(self.block(body, frame))
            envs.append(frame.env)
            outs.append(self.out)
        self.out = kept
        if DONE in ends and frame.inline:
            raise Cannot("a return under a condition")
        if ends[0] is None and ends[1] is None:
            frame.env = self.joined(frame, envs, outs)
        else:
            frame.env = envs[1] if ends[0] is DONE else envs[0]
        then, other = outs
        if ends[0] is DONE and ends[1] is None:
            self.write(ast.If(lift(test), then, []), node, frame)
            self.out += other
        elif then:
            self.write(ast.If(lift(test), then, other), node, frame)
        elif other:
            self.write(ast.If(negated(lift(test)), other, []), node, frame)
        return DONE if ends == [DONE, DONE] else None

    def joined(self, frame: Frame, envs: list[dict], outs: list[list[ast.stmt]]) -> dict:
        """What holds after both branches; values that differ get a name in each."""
        env = {}
        for key in {**envs[0], **envs[1]}:
            values = [e.get(key, MISSING) for e in envs]
            if MISSING in values:
                env[key] = values[0] if values[1] is MISSING else values[1]
                continue
            if same(*values):
                env[key] = values[0]
                continue
            target = next((v.node.id for v in values if isinstance(v, Dyn) and isinstance(v.node, ast.Name)), None) or self.naming(
                frame, key
            )
            for value, out in zip(values, outs):
                if not (isinstance(value, Dyn) and isinstance(value.node, ast.Name) and value.node.id == target):
                    out.append(ast.Assign([name(target)], lift(value)))
            maybe = any(v is None or (isinstance(v, Dyn) and v.maybe) for v in values)
            env[key] = Dyn(name(target), maybe=maybe)
        return env

    def st_For(self, node: ast.For, frame: Frame) -> Any:
        if (layers := self.all_layers(node.iter, frame)) is not None:
            return self.over_layers(node, frame, layers)
        over = self.ev(node.iter, frame)
        if not isinstance(over, Dyn):
            for item in over:
                self.bind(node.target, Arg(item), frame, node)
                if self.block(node.body, frame) is DONE:
                    return DONE
            return None
        self.settle(node.body, frame)
        for one in walk(node.target):
            if isinstance(one, ast.Name):
                frame.env[one.id] = Dyn(name(self.naming(frame, one.id)))
        target = self.target(node.target, frame)
        kept, self.out = self.out, []
        self.block(node.body, frame)
        body, self.out = self.out, kept
        self.write(ast.For(target, over.node, body, []), node, frame)
        return None

    def all_layers(self, node: ast.expr, frame: Frame) -> Layers | None:
        match node:
            case ast.Call(func=ast.Name(id="enumerate"), args=[ast.Name() as over]):
                value = frame.find(over.id)
                return value if isinstance(value, Layers) else None
        return None

    def over_layers(self, node: ast.For, frame: Frame, layers: Layers) -> None:
        """The loop over all layers, written once for all."""
        self.settle(node.body, frame)
        assert isinstance(node.target, ast.Tuple)
        index, layer = (self.naming(frame, one.id) for one in node.target.elts if isinstance(one, ast.Name))
        frame.env |= {"index": Dyn(name(index)), "layer": EachLayer(layers, name(layer))}
        kept, self.out = self.out, []
        self.block(node.body, frame)
        body, self.out = self.out, kept
        path = self.path(layers)
        if index in mentioned(body):
            over: ast.expr = ast.Call(name("enumerate"), [path], [])
            target: ast.expr = ast.Tuple([name(index), name(layer)])
        else:
            over, target = path, name(layer)
        self.write(ast.For(target, over, body, []), node, frame)

    def settle(self, body: list[ast.stmt], frame: Frame) -> None:
        """Give every variable that a loop changes a name before the loop begins."""
        changed: dict[str, None] = {}
        for node in (one for statement in body for one in walk(statement)):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                changed[node.id] = None
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id=key), attr="append" | "extend")):
                    changed[key] = None
        for key in changed:
            if key not in frame.env:
                continue
            value = frame.env[key]
            target = self.naming(frame, key)
            if not (isinstance(value, Dyn) and isinstance(value.node, ast.Name) and value.node.id == target):
                self.write(ast.Assign([name(target)], lift(value)), None, frame)
            frame.env[key] = Dyn(name(target), maybe=isinstance(value, Dyn) and value.maybe)
            frame.fixed.add(key)

    def st_With(self, node: ast.With, frame: Frame) -> Any:
        items = [ast.withitem(lift(self.ev(item.context_expr, frame)), None) for item in node.items]
        kept, self.out = self.out, []
        end = self.block(node.body, frame)
        body, self.out = self.out, kept
        self.write(ast.With(items, body), node, frame)
        return end

    def st_Try(self, node: ast.Try, frame: Frame) -> Any:
        kept, outs = self.out, []
        for body in (node.body, node.finalbody):
            self.out = []
            self.block(body, frame)
            outs.append(self.out)
        self.out = kept
        self.write(ast.Try(outs[0], [], [], outs[1]), node, frame)

    def st_Match(self, node: ast.Match, frame: Frame) -> Any:
        subject = self.ev(node.subject, frame)
        if isinstance(subject, Dyn):
            raise Cannot("a match of what is not known")
        for case in node.cases:
            if self.fits(case.pattern, subject, frame) and (case.guard is None or self.ev(case.guard, frame)):
                return self.block(case.body, frame)
        return None

    def fits(self, pattern: ast.pattern, subject: Any, frame: Frame) -> bool:
        match pattern:
            case ast.MatchValue():
                return bool(subject == self.ev(pattern.value, frame))
            case ast.MatchSingleton():
                return subject is pattern.value
            case ast.MatchOr():
                return any(self.fits(one, subject, frame) for one in pattern.patterns)
            case ast.MatchAs(pattern=None, name=None):
                return True
            case ast.MatchClass(patterns=[], kwd_patterns=[]):
                return isinstance(subject, self.ev(pattern.cls, frame))
        raise Cannot("a pattern of another kind")

    def st_Delete(self, node: ast.Delete, frame: Frame) -> None:
        for target in node.targets:
            assert isinstance(target, ast.Subscript)
            del self.ev(target.value, frame)[self.ev(target.slice, frame)]

    def st_AnnAssign(self, node: ast.AnnAssign, frame: Frame) -> None:
        if node.value is not None:
            self.assign(node.target, node.value, frame, node)

    def st_Assign(self, node: ast.Assign, frame: Frame) -> None:
        first, *others = node.targets
        self.assign(first, node.value, frame, node)
        for target in others:  # a = b = value
            self.assign(target, first, frame, node)

    def assign(self, target: ast.expr, value: ast.expr, frame: Frame, node: ast.stmt) -> None:
        if self.init and isinstance(target, ast.Attribute) and not self.wanted(target, frame):
            return
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and not starred(target) and not starred(value):
            if self.init and any(isinstance(one, ast.Attribute) for one in target.elts):
                for one, of in zip(target.elts, value.elts, strict=True):
                    self.assign(one, of, frame, node)
                return
            args = [self.arg(one, frame) for one in value.elts]
            self.bind_all(target.elts, args, frame, node)
            return
        self.bind(target, self.arg(value, frame), frame, node, isinstance(value, ast.Tuple | ast.List))

    def wanted(self, target: ast.Attribute, frame: Frame) -> bool:
        """Whether an attribute set in `__init__` is part of the code: a module, a tensor, or what changes later."""
        owner = self.ev(target.value, frame)
        if not isinstance(owner, nn.Module):
            return True
        held: list[Any] = [owner._modules, owner._parameters, owner._buffers]
        return any(group.get(target.attr) is not None for group in held) or target.attr in self.file.changing(owner)

    def bind(self, target: ast.expr, arg: Arg, frame: Frame, node: ast.AST, display: bool = False) -> None:
        value = arg.value
        match target:
            case ast.Name():
                self.named(target.id, arg, frame, node, display)
            case ast.Tuple() | ast.List():
                self.unpack(target, value, frame, node)
            case ast.Attribute():
                self.store(target, arg, frame, node)
            case ast.Subscript():
                base, index = self.ev(target.value, frame), self.ev(target.slice, frame)
                if isinstance(base, Dyn):
                    self.write(ast.Assign([ast.Subscript(base.node, lift(index))], lift(value)), node, frame)
                else:
                    base[index] = value
            case _:
                raise Cannot("an unusual target")

    def unpack(self, target: ast.Tuple | ast.List, value: Any, frame: Frame, node: ast.AST) -> None:
        elts = list(target.elts)
        star = next((n for n, one in enumerate(elts) if isinstance(one, ast.Starred)), None)
        if isinstance(value, Dyn) and isinstance(value.node, ast.Tuple) and not starred(value.node):
            value = [Dyn(one) for one in value.node.elts]
        if isinstance(value, Dyn):
            if star is None:
                nodes = [self.new(one, frame) for one in elts]
                self.write(ast.Assign([ast.Tuple(nodes)], value.node), node, frame)
                return
            if value.arity is None:
                nodes = [ast.Starred(self.new(one.value, frame)) if isinstance(one, ast.Starred) else self.new(one, frame) for one in elts]
                self.write(ast.Assign([ast.Tuple(nodes)], value.node), node, frame)
                return
            many = value.arity - len(elts) + 1
            rest = elts[star].value  # type: ignore[attr-defined]
            fresh = [self.free(rest.id) for _ in range(many)]
            nodes = [self.new(one, frame) for one in elts[:star]] + [name(one) for one in fresh]
            nodes += [self.new(one, frame) for one in elts[star + 1 :]]
            frame.env[rest.id] = [Dyn(name(one)) for one in fresh]
            self.write(ast.Assign([ast.Tuple(nodes)], value.node), node, frame)
            return
        items = list(value)
        if star is not None:
            many = len(items) - len(elts) + 1
            rest = elts[star].value  # type: ignore[attr-defined]
            frame.env[rest.id] = items[star : star + many]
            items[star : star + many] = []
            del elts[star]
        self.bind_all(elts, [Arg(one) for one in items], frame, node)

    def bind_all(self, targets: list[ast.expr], args: list[Arg], frame: Frame, node: ast.AST) -> None:
        """Several targets at once: what is known is bound, the others are one statement."""
        left = []
        for target, arg in zip(targets, args, strict=True):
            value = arg.value
            simple = isinstance(target, ast.Name) and target.id not in frame.fixed
            if simple and (not isinstance(value, Dyn) or isinstance(value.node, ast.Name)):
                left.append((target, arg, True))
            else:
                left.append((target, arg, False))
        late = [(t, a) for t, a, known in left if not known]
        if len(late) > 1 and all(isinstance(t, ast.Name | ast.Attribute) and not isinstance(a.value, Construct) for t, a in late):
            values = [lift(a.value) for _, a in late]
            maybes = [(a.value is None or isinstance(a.value, Dyn) and a.value.maybe) for _, a in late]
            arities = [a.value.arity if isinstance(a.value, Dyn) else None for _, a in late]
            for target, arg, known in left:
                if known:
                    self.named(target.id, arg, frame, node)  # type: ignore[attr-defined]
            nodes = [self.new(t, frame, arity, maybe) for (t, _), arity, maybe in zip(late, arities, maybes)]
            self.write(ast.Assign([ast.Tuple(nodes)], ast.Tuple(values)), node, frame)
            return
        for target, arg, known in left:
            if known:
                self.named(target.id, arg, frame, node)  # type: ignore[attr-defined]
        for target, arg in late:
            self.bind(target, arg, frame, node)

    def new(self, target: ast.expr, frame: Frame, arity: int | None = None, maybe: bool = False) -> ast.expr:
        """The written form of a target whose value is not known."""
        if isinstance(target, ast.Name):
            written = self.naming(frame, target.id)
            frame.env[target.id] = Dyn(name(written), arity, maybe)
            return name(written)
        if isinstance(target, ast.Tuple):
            return ast.Tuple([self.new(one, frame) for one in target.elts])
        return self.target(target, frame)

    def target(self, target: ast.expr, frame: Frame) -> ast.expr:
        if isinstance(target, ast.Tuple):
            return ast.Tuple([self.target(one, frame) for one in target.elts])
        if isinstance(target, ast.Attribute):
            return ast.Attribute(lift_owner(self, self.ev(target.value, frame)), target.attr)
        return lift(self.ev(target, frame))

    def named(self, key: str, arg: Arg, frame: Frame, node: ast.AST, display: bool = False) -> None:
        value = arg.value
        fixed = key in frame.fixed
        if isinstance(value, tuple | list) and display and not fixed and value and any(isinstance(one, Dyn) for one in value):
            with suppress(Cannot):
                value = Dyn(lift(value), len(value))
        if not fixed and not isinstance(value, Dyn):
            frame.env[key] = value
            if arg.form is not None:
                frame.forms[key] = arg.form
            else:
                frame.forms.pop(key, None)
            return
        if not fixed and (isinstance(value.node, ast.Name) or self.lasting(value.node)):
            frame.env[key] = value
            return
        form = lift(value)
        written = self.naming(frame, key)
        known = isinstance(value, Dyn)
        frame.env[key] = Dyn(name(written), value.arity if known else None, value.maybe if known else value is None)
        self.write(ast.Assign([name(written)], form), node, frame)

    def lasting(self, node: ast.expr) -> bool:
        """A parameter or buffer: it does not change during a run, so it needs no second name."""
        return getattr(node, "lasting", False)

    def naming(self, frame: Frame, key: str) -> str:
        """The name under which a variable is written. Another live value that mentions it keeps it; this one gets a new one."""
        written = frame.names.get(key)
        if written is None:
            written = key if key not in self.used else self.free(key)
        elif key not in frame.fixed and any(
            mentions(value, written) for one in self.frames for k, value in one.env.items() if not (one is frame and k == key)
        ):
            written = self.free(key)
        frame.names[key] = written
        self.used.add(written)
        return written

    def free(self, base: str) -> str:
        if base not in self.used:
            self.used.add(base)
            return base
        number = 2
        while f"{base}_{number}" in self.used:
            number += 1
        found = f"{base}_{number}"
        self.used.add(found)
        self.fresh[found] = base
        return found

    def store(self, target: ast.Attribute, arg: Arg, frame: Frame, node: ast.AST) -> None:
        owner = self.ev(target.value, frame)
        if not isinstance(owner, nn.Module | Dyn):
            setattr(owner, target.attr, arg.value)
            return
        place = ast.Attribute(lift_owner(self, owner), target.attr)
        self.write(ast.Assign([place], self.made(arg, owner, target.attr)), node, frame)

    def made(self, arg: Arg, owner: Any, attr: str) -> ast.expr:
        """The written form of what becomes an attribute; a module is made by a call of its class."""
        if isinstance(arg.value, Construct):
            return self.file.construct(arg.value, getattr(owner, attr, None), self)
        if isinstance(arg.value, nn.Module):
            return self.path(arg.value)
        return arg.form if arg.form is not None else lift(arg.value)

    def st_AugAssign(self, node: ast.AugAssign, frame: Frame) -> None:
        assert isinstance(node.target, ast.Name | ast.Attribute)
        if self.init and isinstance(node.target, ast.Attribute) and not self.wanted(node.target, frame):
            return
        value = self.arg(node.value, frame)
        if isinstance(node.target, ast.Attribute):
            place = ast.Attribute(lift_owner(self, self.ev(node.target.value, frame)), node.target.attr)
            self.write(ast.AugAssign(place, node.op, lift(value.value)), node, frame)
            return
        old = self.ev(ast.Name(node.target.id), frame)
        if not dynamic(old) and not dynamic(value.value):
            frame.env[node.target.id] = OPERATORS[type(node.op)](old, value.value)
            frame.forms.pop(node.target.id, None)
            return
        if isinstance(old, list) and isinstance(value.value, list):
            frame.env[node.target.id] = old + value.value
            return
        self.named(node.target.id, Arg(Dyn(ast.BinOp(lift(old), node.op, lift(value.value)))), frame, node)

    # Expressions

    def ev(self, node: ast.expr, frame: Frame) -> Any:
        return getattr(self, "ev_" + type(node).__name__)(node, frame)

    def arg(self, node: ast.expr, frame: Frame) -> Arg:
        value = self.ev(node, frame)
        return Arg(value, self.form(node, frame, value) if is_number(value) else None)

    def form(self, node: ast.expr, frame: Frame, value: Any = MISSING) -> ast.expr:
        """An expression in its written form: a product of known sizes stays a product, and a number knows its name."""
        value = self.ev(node, frame) if value is MISSING else value
        if isinstance(value, tuple) and isinstance(node, ast.Tuple) and len(value) == len(node.elts) and not starred(node):
            return ast.Tuple([self.form(one, frame, v) for one, v in zip(node.elts, value)])
        if isinstance(value, tuple) and isinstance(node, ast.Name) and node.id in frame.forms and not dynamic(value):
            return frame.forms[node.id]
        if not is_number(value):
            return lift(value)
        match node:
            case ast.Name() if node.id in frame.forms:
                return frame.forms[node.id]
            case ast.Name():
                return with_origin(lift(value), node.id)
            case ast.Attribute():
                return with_origin(lift(value), node.attr)
            case ast.BinOp(op=ast.Mult() | ast.Add() | ast.Pow()):
                left, right = self.ev(node.left, frame), self.ev(node.right, frame)
                if is_number(left) and is_number(right) and (isinstance(node.op, ast.Pow) or 0 not in (left, right)):
                    if isinstance(node.op, ast.Mult) and 1 in (left, right):
                        return self.form(node.right if left == 1 else node.left, frame, value)
                    return ast.BinOp(self.form(node.left, frame, left), node.op, self.form(node.right, frame, right))
            case ast.BoolOp() | ast.IfExp():
                return self.form(self.taken(node, frame), frame, value)
        return lift(value)

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
        for one in elts:
            if isinstance(one, ast.Starred):
                value = self.ev(one.value, frame)
                if isinstance(value, Dyn) and value.arity is None:
                    loose = True
                    forms.append(ast.Starred(value.node))
                    continue
                if isinstance(value, Dyn):
                    raise Cannot("a starred expression that is not known")
                items += value
                forms += [self.maybe_lift(v) for v in value]
            else:
                value = self.ev(one, frame)
                items.append(value)
                forms.append(self.form(one, frame, value) if is_number(value) else self.maybe_lift(value))
        if loose:
            return Dyn(tree(forms))
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
            if (one == 1 and (isinstance(node.op, ast.Mult) or second and isinstance(node.op, ast.Div | ast.Pow))) or (
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
            value = self.ev(one, frame)
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
        body, other = self.ev(node.body, frame), self.ev(node.orelse, frame)
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
        items = None if isinstance(over, Dyn) else list(over)
        alike = items is not None and len(items) > 1 and all(isinstance(one, Dyn) and plain(one.node) for one in items)
        turned = (
            items is not None
            and len(items) > 1
            and all(callable(one) and type(one).__name__ == "builtin_function_or_method" for one in items)
        )
        if items is None or alike or turned:
            taken = [one.id for one in walk(generator.target) if isinstance(one, ast.Name)]
            for one in taken:
                inner.env[one] = Dyn(name(one))
            target = self.target(generator.target, inner)
            kept, self.out = self.out, []
            element = self.ev(node.elt, inner)
            ifs = [lift(self.ev(one, inner)) for one in generator.ifs]
            extra, self.out = self.out, kept
            if extra and items is None:
                raise Cannot("statements inside a comprehension")
            if not extra and isinstance(element, Dyn):
                iterated = over.node if items is None else ast.Tuple([lift(one) for one in items])
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

    def kept(self, value: Any, base: str = "x") -> Any:
        """A value that a known list may hold: an expression with a name, so that it is computed once and now."""
        if isinstance(value, Dyn) and not plain(value.node):
            written = self.free(base)
            statement = ast.Assign([name(written)], value.node)
            statement.folds = True  # type: ignore[attr-defined]
            self.out.append(statement)
            return Dyn(name(written), value.arity, value.maybe)
        return value

    # Calls

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

    def call(self, function: Any, args: list[Arg], kwargs: dict[str, Arg], frame: Frame, stars: bool = False) -> Any:
        values = [arg.value for arg in args]
        named = {key: arg.value for key, arg in kwargs.items()}
        known = not any(map(dynamic, values)) and not any(map(dynamic, named.values()))
        if isinstance(function, Dyn):
            match function.node:  # a method of modules that the root does not name
                case ast.Attribute(value=ast.Name(), attr=attr) if self.owner is not None and self.owner.module is self.file.root:
                    self.file.demanded.add(attr)
            return self.residual(function.node, args, kwargs)
        if isinstance(function, EachLayer):
            return self.file.call_layer(self, function, args)
        if isinstance(function, Closure):
            return self.inlined(function, args, kwargs)
        if isinstance(function, Bound):
            return self.call_bound(function, args, kwargs, known)
        if isinstance(function, nn.Module):
            return self.call_module(function, args, kwargs)
        if isinstance(function, type) and issubclass(function, nn.Module):
            return Construct(function, args, kwargs)
        if function in (getattr, hasattr):
            if isinstance(values[0], Dyn):
                raise Cannot("an attribute by name")
            if function is hasattr:
                return hasattr(values[0], values[1])
            if len(values) == 3 and not hasattr(values[0], values[1]):
                return values[2]
            return self.attribute(values[0], values[1])
        if function is setattr:
            self.store(ast.Attribute(ast.Constant(values[0]), values[1]), args[2], frame, ast.Pass())
            return None
        if function is isinstance and isinstance(values[0], Dyn) and values[1] is not Tensor:
            return self.residual(name("isinstance"), args, kwargs)
        if function is isinstance:
            return True if isinstance(values[0], Dyn) else isinstance(*values)
        unwrapped = inspect.unwrap(function) if callable(function) else function
        if isinstance(unwrapped, types.FunctionType) and of_project(unwrapped):
            if known and not MODULES.search(str(unwrapped.__annotations__.get("return", "Tensor"))):
                return function(*values, **named)
            return self.call_function(unwrapped, args, kwargs)
        if isinstance(function, type) and of_project(function) and known:
            return function(*values, **named)
        if known and not from_torch(function):
            return function(*values, **named)
        if function is sum and isinstance(values[0], list):
            return sum(*values)
        if function in (zip, enumerate, list, tuple, sum, reversed, dict, iter, len) and not any(isinstance(v, Dyn) for v in values):
            result = function(*values, **named)
            return list(result) if function in (zip, enumerate, reversed) else result
        if function is len and values[0].arity is not None:
            return values[0].arity
        owner = getattr(function, "__self__", None)
        if isinstance(owner, list | dict | tuple | set) and not isinstance(owner, Dyn):
            return function(*(self.kept(v) for v in values), **named)
        if isinstance(function, type) and of_project(function):
            return self.instance(function, args, kwargs)
        if callable(function) and of_project(type(function)):
            found = type(function).__call__
            return self.inlined(Bound(function, found, type(function)), args, kwargs)
        return self.residual(lift(function), args, kwargs)

    def instance(self, cls: type, args: list[Arg], kwargs: dict[str, Arg]) -> Any:
        raise Cannot(f"{cls.__name__} of what is not known")

    def residual(self, function: ast.expr, args: list[Arg], kwargs: dict[str, Arg]) -> Dyn:
        forms = [arg.form if arg.form is not None else self.written(arg.value) for arg in args]
        keys = [ast.keyword(key, arg.form if arg.form is not None else self.written(arg.value)) for key, arg in kwargs.items()]
        arity = None
        if isinstance(function, ast.Attribute) and args:
            first = args[0].value
            if function.attr in ("split", "tensor_split") and isinstance(first, tuple | list):
                arity = len(first) + (function.attr == "tensor_split")
            elif function.attr in ("chunk", "tensor_split") and isinstance(first, int):
                arity = first
        return Dyn(ast.Call(function, forms, keys), arity)

    def written(self, value: Any) -> ast.expr:
        if isinstance(value, nn.Module):
            return self.path(value)
        if isinstance(value, Construct):
            return self.file.construct(value, None, self)
        if isinstance(value, Bound):
            return ast.Attribute(lift_owner(self, value.owner), value.function.__name__)
        if isinstance(value, list) and value and all(isinstance(one, Construct) for one in value):
            return ast.List([self.written(one) for one in value])
        return lift(value)

    def call_bound(self, bound: Bound, args: list[Arg], kwargs: dict[str, Arg], known: bool) -> Any:
        owner, function = bound.owner, inspect.unwrap(bound.function)
        if isinstance(owner, nn.Module):
            if not of_project(function):
                return self.torch_method(owner, function, args, kwargs)
            return self.call_method(bound, args, kwargs)
        returns = str(function.__annotations__.get("return", "Tensor"))
        if known and not MODULES.search(returns):
            return function(owner, *(arg.value for arg in args), **{key: arg.value for key, arg in kwargs.items()})
        if isinstance(owner, torch.nn.Module) or hasattr(type(owner), "model_fields"):
            return self.call_function(function, [Arg(owner), *args], kwargs, bound.cls)
        return self.inlined(bound, args, kwargs)

    def torch_method(self, owner: nn.Module, function: Any, args: list[Arg], kwargs: dict[str, Arg]) -> Any:
        called = function.__name__
        if self.init and called in ("add_module", "register_parameter", "register_buffer", "__setattr__"):
            key = args[0].value
            if getattr(owner, key, None) is None:
                return None
            form = self.made(args[1], owner, key)
            if called == "register_buffer":
                call = ast.Call(
                    ast.Attribute(self.path(owner), called),
                    [constant(key), form],
                    [ast.keyword(k, lift(a.value)) for k, a in kwargs.items()],
                )
                self.out.append(ast.Expr(call))
            else:
                self.out.append(ast.Assign([ast.Attribute(self.path(owner), key)], form))
            return None
        return self.residual(ast.Attribute(self.path(owner), called), args, kwargs)

    def call_method(self, bound: Bound, args: list[Arg], kwargs: dict[str, Arg]) -> Any:
        """A method of this module, or of one in it."""
        owner, function = bound.owner, inspect.unwrap(bound.function)
        assert self.owner is not None
        if self.init and owner is self.owner.module:
            return self.inlined(Bound(owner, function, bound.cls), args, kwargs)
        if isinstance(owner, Layers):
            return self.inlined(bound, args, kwargs)
        called = function.__name__ if not bound.above else f"plain_{function.__name__}"
        one = self.owner if owner is self.owner.module else self.file.of(owner)
        method = one.method(called, function, bound.cls, args, kwargs)
        here = owner is self.owner.module
        if (found := self.substituted(method, anywhere=here)) is not MISSING:
            return found
        one.needs(method)
        return Dyn(ast.Call(ast.Attribute(self.path(owner), method.name), self.passed(method), []), method.arity, method.maybe)

    def call_module(self, module: nn.Module, args: list[Arg], kwargs: dict[str, Arg]) -> Any:
        if isinstance(module, Layers):
            return self.inlined(Bound(module, type(module).forward, type(module)), args, kwargs)
        if isinstance(module, nn.Identity):
            return args[0].value
        if not of_project(type(module)):
            return self.residual(self.path(module), args, kwargs)
        one = self.file.of(module)
        if one.native:
            return self.residual(self.path(module), args, kwargs)
        function = inspect.unwrap(type(module).forward)
        method = one.method("forward", function, holder(type(module), "forward"), args, kwargs)
        if one.native:
            return self.residual(self.path(module), args, kwargs)
        if (found := self.substituted(method)) is not MISSING:
            return found
        one.needs(method)
        called: ast.expr = self.path(module)
        if method.name != "forward":
            called = ast.Attribute(called, method.name)
        return Dyn(ast.Call(called, self.passed(method), []), method.arity, method.maybe)

    def call_function(self, function: types.FunctionType, args: list[Arg], kwargs: dict[str, Arg], cls: type | None = None) -> Any:
        """A function of the project, or a method of a configuration."""
        if function.__name__ == "<lambda>":
            return self.inlined(Bound(None, function, object), args, kwargs)
        if self.init:
            return self.inlined(Bound(None, function, cls or object), args, kwargs)
        method = self.file.function(self, function, cls, args, kwargs)
        if method is None:
            return self.inlined(Bound(None, function, cls or object), args, kwargs)
        if (found := self.substituted(method, anywhere=True)) is not MISSING:
            return found
        self.file.need(method)
        node = name(method.name)
        return Dyn(ast.Call(node, self.passed(method), []), method.arity, method.maybe)

    def passed(self, method: Method) -> list[ast.expr]:
        given = method.given
        return [given[one] for one in method.params]

    def substituted(self, method: Method, anywhere: bool = False) -> Any:
        """The call's value as an expression in place, if it is short; `anywhere`: also if it reads this module."""
        if method.expr is None or (not anywhere and {"self", "super"} & mentioned(method.expr)):
            return MISSING
        given = method.given
        uses = counted(method.expr)
        for key, node in given.items():
            if uses.get(key, 0) > 1 and not plain(node):
                return MISSING
        if isinstance(method.expr, ast.Constant):
            return method.expr.value
        made = replaced(copied(method.expr), given)
        for inner in walk(made):
            if isinstance(inner, ast.Attribute) and inner.attr == "device":
                inner.value = on_device(inner.value)
        return Dyn(made, method.arity, method.maybe)

    def inlined(self, function: Any, args: list[Arg], kwargs: dict[str, Arg]) -> Any:
        """The function's statements in place of its call."""
        if isinstance(function, Closure):
            node, outer = function.node, function.frame
            frame = Frame(outer.function, None, outer.owner, outer=outer)
        else:
            assert isinstance(function, Bound)
            real = inspect.unwrap(function.function)
            node, frame = source.tree(real), Frame(real, function.cls, function.owner)
            if function.owner is not None:
                args = [Arg(function.owner), *args]
        frame.inline = True
        if frame.owner is None and args and frame.cls not in (None, object):
            frame.owner = args[0].value
        for key, arg in bound_args(node, args, kwargs, lambda default: self.ev(default, frame)).items():
            value = arg.value
            if isinstance(value, Dyn) and not plain(value.node):
                written = key if key not in self.used else self.free(key)
                self.used.add(written)
                statement = ast.Assign([name(written)], value.node)
                statement.folds = True  # type: ignore[attr-defined]
                self.out.append(statement)
                value = Dyn(name(written), value.arity, value.maybe)
            frame.env[key] = value
            if arg.form is not None and (is_number(value) or isinstance(value, tuple)):
                frame.forms[key] = arg.form
            elif is_number(value):
                frame.forms[key] = with_origin(lift(value), key)
        self.frames.append(frame)
        try:
            if isinstance(node, ast.Lambda):
                return self.ev(node.body, frame)
            self.block(node.body, frame)
            return frame.result
        finally:
            self.frames.pop()

    # Modules

    def path(self, module: Any) -> ast.expr:
        """`self.attention.q` for a module of this class."""
        if self.owner is None:
            raise Cannot("a module outside a class")
        return self.owner.path(module)


def bound_args(node: Any, args: list[Arg], kwargs: dict[str, Arg], default: Callable[[ast.expr], Any]) -> dict[str, Arg]:
    """The arguments of a call by the function's own names."""
    spec = node.args
    names = [one.arg for one in (*spec.posonlyargs, *spec.args)]
    found = dict(zip(names, args))
    if spec.vararg:
        rest = args[len(names) :]
        form = None if any(dynamic(arg.value) for arg in rest) else ast.Tuple([lift(a.value) if a.form is None else a.form for a in rest])
        found[spec.vararg.arg] = Arg(tuple(arg.value for arg in rest), form)
    found |= kwargs
    for key, value in zip(reversed(names), reversed(spec.defaults)):
        if key not in found:
            found[key] = Arg(default(value))
    for one, value in zip(spec.kwonlyargs, spec.kw_defaults):
        if one.arg not in found and value is not None:
            found[one.arg] = Arg(default(value))
    return found


def on_device(node: ast.expr) -> ast.expr:
    """The tensor from which a sum or an element takes its device."""
    while isinstance(node, ast.BinOp | ast.Subscript):
        node = node.left if isinstance(node, ast.BinOp) else node.value
    return node


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def with_origin(node: ast.expr, origin: str) -> ast.expr:
    if isinstance(node, ast.Constant):
        node.origin = origin  # type: ignore[attr-defined]
    return node


def from_torch(function: Any) -> bool:
    if isinstance(function, type(torch.finfo)) and function is torch.finfo:
        return True
    where = getattr(function, "__module__", None) or ""
    return (
        where.startswith("torch")
        or type(function).__module__.startswith("torch")
        or getattr(torch, getattr(function, "__name__", "?"), None) is function
    )


def holder(cls: type, attr: str) -> type:
    return next(one for one in cls.__mro__ if attr in one.__dict__)


def lift_owner(scope: Scope, owner: Any) -> ast.expr:
    return owner.node if isinstance(owner, Dyn) else scope.path(owner)


def starred(node: ast.Tuple | ast.List) -> bool:
    return any(isinstance(one, ast.Starred) for one in node.elts)


def same(one: Any, other: Any) -> bool:
    if one is other:
        return True
    if isinstance(one, Dyn) and isinstance(other, Dyn):
        return ast.dump(one.node) == ast.dump(other.node)
    if isinstance(one, Dyn) or isinstance(other, Dyn):
        return False
    try:
        return type(one) is type(other) and bool(one == other)
    except Exception:
        return False


def negated(node: ast.expr) -> ast.expr:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return node.operand
    return ast.UnaryOp(ast.Not(), node)


def counted(node: ast.AST) -> dict[str, int]:
    found: dict[str, int] = {}
    for one in walk(node):
        if isinstance(one, ast.Name):
            found[one.id] = found.get(one.id, 0) + 1
        if isinstance(one, ast.GeneratorExp | ast.ListComp):  # what is inside may be computed several times
            for inner in walk(one.elt):
                if isinstance(inner, ast.Name):
                    found[inner.id] = found.get(inner.id, 0) + 1
    return found


def replaced(node: Any, given: dict[str, ast.expr]) -> Any:
    """A tree with names replaced by expressions."""
    if isinstance(node, ast.Name):
        return given.get(node.id, node)
    for key, value in node.__dict__.items():
        if isinstance(value, ast.AST):
            node.__dict__[key] = replaced(value, given)
        elif isinstance(value, list):
            node.__dict__[key] = [replaced(one, given) if isinstance(one, ast.AST) else one for one in value]
    return node
