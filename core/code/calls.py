"""The calls of a function: computed if all is known, replaced by the body of a short function, or written."""

import ast
import inspect
import re
import types
from typing import Any

import torch
from torch import Tensor, nn

from ..model import Layers
from . import source
from .source import copied, walk
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
    Method,
    bound_args,
    constant,
    counted,
    dynamic,
    from_figures,
    holder,
    is_number,
    lift,
    mentioned,
    name,
    of_project,
    on_device,
    plain,
    replaced,
    size,
    with_origin,
)
from .writing import Writing

MODULES = re.compile("Tensor|Module|Parameter|Linear|Box|Core|Rotary|Attention")  # in the annotation of what builds or computes

SHORT = 8  # the size of an expression that is written inside another
USUAL = {"dilation": 1, "elementwise_affine": True}  # what torch does if it is not told


class Calls(Writing):
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
        if function is sum and isinstance(values[0], list | tuple):
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
        if isinstance(function, ast.Name) and function.id == "zip":
            forms = [lift(run_of(arg.value)) if isinstance(arg.value, tuple) else form for arg, form in zip(args, forms)]
        keys = [ast.keyword(key, arg.form if arg.form is not None else self.written(arg.value)) for key, arg in kwargs.items()]
        if isinstance(function, ast.Attribute) and (function.attr == "clamp" or ast.unparse(function.value) == "F"):
            while forms and isinstance(forms[-1], ast.Constant) and forms[-1].value is None:
                forms.pop()
        keys = [one for one in keys if not (isinstance(one.value, ast.Constant) and USUAL.get(one.arg or "") is one.value.value)]
        arity = None
        if isinstance(function, ast.Attribute) and args:
            first = args[0].value
            if function.attr in ("split", "tensor_split") and isinstance(first, tuple | list):
                arity = len(first) + (function.attr == "tensor_split")
            elif function.attr in ("chunk", "tensor_split") and isinstance(first, int):
                arity = first
        return Dyn(ast.Call(function, forms, keys), arity)

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
        called = function.__name__
        if bound.above:
            written, lazy = len(self.out), self.lazy
            try:
                return self.inlined(Bound(owner, function, bound.cls), args, kwargs)
            except Cannot:
                del self.out[written:]
                self.lazy = lazy
                called = f"plain_{called}"
        one = self.owner if owner is self.owner.module else self.file.of(owner)
        method = one.method(called, function, bound.cls, args, kwargs)
        here = owner is self.owner.module
        if (found := self.substituted(method, anywhere=here)) is not MISSING:
            return found
        one.needs(method)
        return self.result(ast.Attribute(self.path(owner), method.name), method)

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
        return self.result(called, method)

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
        return self.result(name(method.name), method)

    def result(self, function: ast.expr, method: Method) -> Any:
        """What a call of a written function gives."""
        node = ast.Call(function, [method.given.get(one, constant(None)) for one in method.signature or method.params], [])
        value = Dyn(node, method.arity, method.maybe, names=method.names)
        return (self.kept(value, method.names[0] or "x"),) if method.single else value

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
        much = not self.init and not self.lazy
        if much and size(method.expr) > 1:
            given = {key: self.kept(Dyn(node), key).node if size(node) > SHORT else node for key, node in given.items() if key in uses}
        made = replaced(copied(method.expr), given)
        for inner in walk(made):
            if isinstance(inner, ast.Attribute) and inner.attr == "device":
                inner.value = on_device(inner.value)
        value = Dyn(made, method.arity, method.maybe, names=method.names)
        if much and size(method.expr) > SHORT and method.arity is None:
            value = self.kept(value, method.called if method.called != "forward" else "y")
            self.out[-1].passing = True  # type: ignore[attr-defined]
        return (value,) if method.single else value

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
                bare = isinstance(arg.form, ast.Constant) and not from_figures(arg.form)
                frame.forms[key] = with_origin(lift(value), key) if bare else arg.form
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


def run_of(numbers: tuple) -> tuple | range:
    """Whole numbers in a row as a range."""
    whole = len(numbers) > 2 and all(isinstance(one, int) for one in numbers)
    run = range(numbers[0], numbers[0] + len(numbers)) if whole else range(0)
    return run if tuple(run) == numbers else numbers


def from_torch(function: Any) -> bool:
    if isinstance(function, type(torch.finfo)) and function is torch.finfo:
        return True
    where = getattr(function, "__module__", None) or ""
    return (
        where.startswith("torch")
        or type(function).__module__.startswith("torch")
        or getattr(torch, getattr(function, "__name__", "?"), None) is function
    )
