"""The values of the partial evaluator: known ones, any Python object, or `Dyn`, an expression of the code that is written."""

import ast
import builtins
import functools
import math
import re
import types
from collections.abc import Callable, Iterable
from itertools import takewhile
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ..model import Layers
from .source import copied, walk

PROJECT = __name__.split(".")[0] + "."
MISSING = object()


class Dyn:
    """An expression of the written code. `arity`: the length of the tuple it gives, and `names`: what its function calls these;
    `maybe`: whether it can be None."""

    __slots__ = ("arity", "maybe", "names", "node", "true")

    def __init__(self, node: ast.expr, arity: int | None = None, maybe: bool = False, true: bool = False, names: tuple[str, ...] = ()):
        self.node, self.arity, self.maybe, self.true, self.names = node, arity, maybe, true, names

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

    def form(self, name: str) -> ast.expr | None:
        """The form in which a known value is written, if it has one."""
        frame: Frame | None = self
        while frame is not None and name not in frame.env:
            frame = frame.outer
        return frame.forms.get(name) if frame is not None else None

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


class TooMuch(Exception):
    """There is more to write than a second allows."""


class Cannot(Exception):
    """This call is not possible in place."""


class Method:
    """A written function: its live arguments, its statements, and its one expression if it is no more than that."""

    def __init__(self, name: str, params: list[str], body: list[ast.stmt], arity: int | None, expr: ast.expr | None, maybe: bool):
        self.name, self.params, self.body, self.arity, self.expr, self.maybe = name, params, body, arity, expr, maybe
        self.called = name  # in the source
        self.source: Any = None  # the tree it was written from
        self.given: dict[str, ast.expr] = {}  # the arguments of the call at hand
        self.signature: list[str] | None = None  # where it must take more than it reads
        self.root = False  # whether a reader calls it
        self.cls: type | None = None
        returned = [one.value for node in body for one in walk(node) if isinstance(one, ast.Return)]
        self.names = tuple(map(of_variable, returned[-1].elts)) if returned and isinstance(returned[-1], ast.Tuple) else ()
        self.single = arity == 1 and all(isinstance(one, ast.Tuple) for one in returned)  # its only value is returned without a tuple


def name(of: str) -> ast.Name:
    return ast.Name(of)


def constant(value: Any, origin: str = "") -> ast.Constant:
    node = ast.Constant(value)
    node.origin = origin  # type: ignore[attr-defined]
    return node


def with_origin(node: ast.expr, origin: str) -> ast.expr:
    if isinstance(node, ast.Constant):
        node.origin = origin  # type: ignore[attr-defined]
    return node


def derived(value: Any, form: ast.expr, called: str = "") -> ast.expr:
    """A number that follows from figures: `form` is how, in their terms, and `called` what the source calls it."""
    if value < 0 and isinstance(form, ast.UnaryOp):
        return ast.UnaryOp(form.op, derived(-value, form.operand, called))
    node = constant(value)
    node.form, node.called = (form,), called  # type: ignore[attr-defined]
    return node


def form_of(node: ast.AST) -> ast.expr | None:
    """How a number follows from figures, if it does. It is held apart, so that the number is read as a number until names are known."""
    return getattr(node, "form", (None,))[0]


def from_figures(node: ast.expr) -> bool:
    """Whether a form has a number with a name."""
    return any(getattr(one, "origin", "") or hasattr(one, "place") or hasattr(one, "form") for one in walk(node))


def called(node: ast.expr | None, word: str, kind: str = "") -> ast.expr | None:
    """A number under the name that the source gives it."""
    if isinstance(node, ast.Constant) and (form := form_of(node)) is not None:
        kind = kind or getattr(node, "kind_of", "")
        word, form = word if "_" in word else f"{kind}_{word}".strip("_"), copied(form)
        for one in walk(form):
            if getattr(one, "called", "") == word:  # the last value under this name has it
                one.called = ""  # type: ignore[attr-defined]
        node = derived(node.value, form, word)
        node.kind_of = kind  # type: ignore[attr-defined]
    return node


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def lift(value: Any) -> ast.expr:
    """The expression that gives a value."""
    if isinstance(value, Dyn):
        return value.node
    if isinstance(value, float) and math.isinf(value):
        return ast.UnaryOp(ast.USub(), ast.Attribute(name("math"), "inf")) if value < 0 else ast.Attribute(name("math"), "inf")
    if isinstance(value, float) and value in (math.pi, 2 * math.pi):
        pi = ast.Attribute(name("math"), "pi")
        return pi if value == math.pi else ast.BinOp(constant(2), ast.Mult(), pi)
    if isinstance(value, float) and (root := root_of(value)) is not None:
        return root
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
        return ast.Slice(*(None if one is None else lift(one) for one in (value.start, value.stop, value.step)))
    if isinstance(value, range):
        bounds = (value.start, value.stop, value.step) if value.step != 1 else (value.start, value.stop) if value.start else (value.stop,)
        return ast.Call(name("range"), [lift(one) for one in bounds], [])
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


def root_of(value: float, usual: bool = False) -> ast.expr | None:
    """n**0.5 or n**-0.5 for a number with many digits that is exactly that. With `usual`, also 1 / sqrt of a head's channels."""
    if not 1e-4 < value < 1e4:
        return None
    for power in (0.5, -0.5):
        number = round(value ** (1 / power))
        short = len(repr(value)) < 10 and not (usual and power < 0 and number in (64, 256))
        if number > 0 and number**power == value and not short:
            exponent = constant(power) if power > 0 else ast.UnaryOp(ast.USub(), constant(-power))
            return ast.BinOp(constant(number), ast.Pow(), exponent)
    return None


@functools.cache
def library() -> dict[Any, tuple[str, str]]:
    """What torch and math offer, by the names that code uses."""
    found: dict[Any, tuple[str, str]] = {}
    for space, short in ((F, "F"), (torch, "torch"), (nn, "nn"), (nn.init, "nn.init"), (torch.compiler, "torch.compiler"), (math, "math")):
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


def on_device(node: ast.expr) -> ast.expr:
    """The tensor from which a sum or an element takes its device."""
    while isinstance(node, ast.BinOp | ast.Subscript):
        node = node.left if isinstance(node, ast.BinOp) else node.value
    return node


def of_variable(node: ast.expr) -> str:
    """The variable that an expression ends with: `take` for `take.to(x.dtype)`; empty if it is more than that."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) and node.id not in ("self", "torch", "F") else ""


def snake(words: str) -> str:
    """`per_layer` for PerLayer."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", words).lower()


def beginning(names: Iterable[str]) -> str:
    """The words that all names begin with: `local` for local and local_shared."""
    words = [one.split("_") for one in names]
    same = takewhile(lambda some: len(set(some)) == 1, zip(*words))
    return "_".join(some[0] for some in same)


def size(node: ast.AST) -> int:
    """How much there is to read in an expression."""
    return sum(1 for one in walk(node) if isinstance(one, ast.Name | ast.Attribute | ast.Constant | ast.Call | ast.BinOp))


def of_project(thing: Any) -> bool:
    return getattr(thing, "__module__", "").startswith(PROJECT)


def project_classes(cls: type) -> list[type]:
    return [one for one in cls.__mro__ if of_project(one)]


def holder(cls: type, attr: str) -> type:
    return next(one for one in cls.__mro__ if attr in one.__dict__)


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
