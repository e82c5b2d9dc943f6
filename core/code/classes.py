"""From the modules of a built model to classes: one for all modules that are alike, with arguments for what differs between them."""

import ast
import inspect
import types
from collections.abc import Iterator
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from ..model import Block
from ..parts.base import Box, Spec
from . import source
from .source import copied, walk
from .statements import Scope
from .tidy import folded, tidy
from .values import (
    Arg,
    Bound,
    Cannot,
    Construct,
    Dyn,
    EachLayer,
    Frame,
    Method,
    TooMuch,
    bound_args,
    holder,
    is_number,
    lift,
    mentioned,
    name,
    of_project,
    project_classes,
    size,
    with_origin,
)

AT_BUILD = {"__init__", "outline", "share", "reset_parameters"}  # methods that run before the first token, or never
SHOWN = set(Box.__annotations__)  # what a module tells the picture and the cost
MOST_INLINE = 20  # names, numbers, calls and operators of an expression that is written in place of a call
MOST_METHODS = 300  # written for one model: about a second
MOST = 8  # arguments of a class that several modules share; with more, each gets its own class


class File:
    """All that is written for one model or part."""

    def __init__(self, root: nn.Module):
        self.classes: dict[Any, Class] = {}
        self.functions: dict[Any, Method | None] = {}
        self.texts: dict[Any, Method] = {}  # functions by what they say
        self.units: list[Class | Method] = []
        self.nullable: set[str] = set()
        self.demanded: set[str] = set()
        self.kept: list[Any] = []  # what keys name by its id
        self.origins: dict[tuple[int, str, int], ast.expr] = {}  # of numbers that modules keep: module, attribute, place in a tuple
        self.parts: dict[int, str] = {}  # classes of parts, by the part's name
        self._keys: dict[int, Any] = {}
        self._changing: dict[int, frozenset[str]] = {}
        self.root, self.count = root, 0
        self.note(root)

    # Modules

    def note(self, root: nn.Module) -> None:
        """Note which attributes of its modules can be None."""
        for module in root.modules():
            self.nullable |= {one for one in self.changing(module) if module.__dict__.get(one, getattr(module, one, None)) is None}

    def of(self, module: nn.Module) -> "Class":
        key = self.key(module)
        if key not in self.classes:
            self.classes[key] = Class(self, module)
        return self.classes[key]

    def key(self, value: Any) -> Any:
        """Equal for modules that do the same with tensors of the same shapes."""
        if isinstance(value, nn.Module):
            if id(value) not in self._keys:
                plain_values = tuple(
                    (k, self.key(v))
                    for k, v in value.__dict__.items()
                    if not k.startswith("_") and k not in SHOWN and k not in ("training", "plans") and k not in self.changing(value)
                )
                held = tuple(
                    (k, v if v is None else tuple(v.shape)) for group in (value._parameters, value._buffers) for k, v in group.items()
                )
                children = tuple((k, self.key(v)) for k, v in value._modules.items())
                self._keys[id(value)] = hash((type(value), plain_values, held, children))
            return self._keys[id(value)]
        if isinstance(value, list | tuple):
            return tuple(self.key(one) for one in value)
        if isinstance(value, dict):
            return tuple((k, self.key(v)) for k, v in value.items())
        if isinstance(value, Spec):
            return value  # equal values are equal keys
        if value is None or isinstance(value, str | int | float):
            return type(value).__name__, value
        if isinstance(value, Tensor):
            return tuple(value.shape)
        if of_project(type(value)):
            return tuple((k, self.key(v)) for k, v in vars(value).items() if not isinstance(v, nn.Module) and k not in ("parts", "before"))
        self.kept.append(value)
        return id(value)

    def changing(self, module: nn.Module) -> frozenset[str]:
        """The attributes that a run, or the wiring of the model, changes."""
        if id(module) not in self._changing:
            kind: Any = type(module)
            found = set(assigned(kind))
            for key, value in module.__dict__.items():
                if key in SHOWN or key.startswith("_"):
                    continue
                if isinstance(value, tuple) and value and all(isinstance(one, nn.Module) for one in value):
                    found.add(key)  # modules elsewhere
                elif is_number(value) and any(is_number(c.__dict__.get(key)) for c in project_classes(type(module))):
                    found.add(key)  # a number that the model sets
            self._changing[id(module)] = frozenset(found)
        return self._changing[id(module)]

    def construct(self, made: Construct, real: Any, scope: Scope) -> ast.expr:
        """The call that makes a module; `real` is the module itself, where it is known."""
        if not of_project(made.cls):
            return self._native(made, real, scope)
        if type(real) is not made.cls:
            with torch.device("meta"):
                real = made.cls(*(arg.value for arg in made.args), **{key: arg.value for key, arg in made.kwargs.items()})
            self.kept.append(real)
        one = self.of(real)
        if one.native:
            return one.native_call(made)
        call = ast.Call(name("?"), [], [])
        call.made = one  # type: ignore[attr-defined]
        one.build(made)
        return call

    def _native(self, made: Construct, real: Any, scope: Scope) -> ast.expr:
        function = ast.Attribute(name("nn"), made.cls.__name__)
        args: list[ast.expr] = []
        for arg in made.args:
            if isinstance(arg.value, list) and all(isinstance(one, Construct) for one in arg.value):
                members = list(real) if isinstance(real, nn.ModuleList) else [None] * len(arg.value)
                calls = [self.construct(one, member, scope) for one, member in zip(arg.value, members)]
                dumps = {(id(call.made), self.key(m)) if hasattr(call, "made") else ast.dump(call) for call, m in zip(calls, members)}
                if len(dumps) == 1 and len(calls) > 2:
                    over = ast.Call(name("range"), [lift(len(calls))], [])
                    args.append(ast.GeneratorExp(calls[0], [ast.comprehension(name("_"), over, [], 0)]))
                else:
                    args.append(in_steps(calls) or ast.List(calls))
            else:
                args.append(arg.form if arg.form is not None else scope.written(arg.value))
        return ast.Call(function, args, [ast.keyword(k, a.form if a.form is not None else lift(a.value)) for k, a in made.kwargs.items()])

    def call_layer(self, scope: Scope, each: EachLayer, args: list[Arg]) -> Dyn:
        """A call in the loop over all layers: every kind of layer takes the arguments that any of them reads."""
        blocks = {id(one): one for one in map(self.of, each.layers)}
        function: Any = Block.forward
        order = inspect.getfullargspec(function).args[1:]
        methods = [one.method("forward", function, Block, args, {}) for one in blocks.values()]
        live = [key for key in order if any(key in method.params for method in methods)]
        for one, method in zip(blocks.values(), methods):
            one.needs(method)
            method.signature = live
        given = {key: value for method in methods for key, value in method.given.items()}
        return Dyn(ast.Call(each.node, [given[key] for key in live], []))

    # Functions

    def function(
        self, scope: Scope, function: types.FunctionType, cls: type | None, args: list[Arg], kwargs: dict[str, Arg]
    ) -> Method | None:
        found = self.specialised(function, cls, None, args, kwargs, self.functions, self.texts, function.__name__)
        if found is not None:
            found.cls = cls
        return found

    def need(self, method: Method) -> None:
        if method not in self.units:
            self.units.append(method)

    def specialised(
        self, function: types.FunctionType, cls: type | None, owner: "Class | None", args: list[Arg], kwargs: dict[str, Arg],
        memo: dict[Any, Method | None], written: dict[Any, Method], called: str,
    ) -> Method | None:  # fmt: skip
        """A function for arguments some of which are known. None if it cannot be written alone."""
        node: Any = source.tree(function)
        scope = Scope(self, owner)
        frame = Frame(function, cls, owner.module if owner else None)
        if owner is not None:
            args = [Arg(owner.module), *args]
        bound = bound_args(node, args, kwargs, lambda default: scope.ev(default, frame))
        if owner is None and cls is not None and args:
            frame.owner = args[0].value
        params: list[str] = []
        given: dict[str, ast.expr] = {}
        pattern: list[Any] = [function.__code__, called]

        def take(key: str, arg: Arg) -> Any:
            if isinstance(arg.value, Dyn):
                written = key
                while written in given:
                    written += "_"
                params.append(written)
                given[written] = arg.value.node
                pattern.append((key, "given", arg.value.maybe))
                scope.used.add(written)
                return Dyn(name(written), arg.value.arity, arg.value.maybe)
            pattern.append((key, self.key(arg.value), getattr(arg.form, "origin", "")))  # numbers of one value may have several names
            return arg.value

        for key, arg in bound.items():
            if isinstance(arg.value, list | tuple) and any(isinstance(one, Dyn) for one in arg.value):
                frame.env[key] = tuple(take(key if n == 0 else f"{key}_{n + 1}", Arg(one)) for n, one in enumerate(arg.value))
                continue
            value = take(key, arg)
            frame.env[key] = value
            if isinstance(value, Dyn):
                frame.names[key] = params[-1]
            elif is_number(value):
                frame.forms[key] = arg.form if arg.form is not None else with_origin(lift(value), key)
        memo_key = tuple(pattern)
        if memo_key not in memo:
            memo[memo_key] = None  # a call of itself cannot be written
            scope.frames.append(frame)
            try:
                scope.block(node.body, frame)
            except Cannot as error:
                if owner is not None:
                    raise Cannot(f"{type(owner.module).__name__}.{called}: {error}") from error
                return None
            taken = {one.name for one in memo.values() if one is not None}
            words = [arg.value for arg in bound.values() if isinstance(arg.value, str)]
            wanted = f"{called}_{words[0]}" if owner is not None and len(words) == 1 and words[0].isidentifier() else called
            unique, number = wanted, 2
            while unique in taken:
                unique, number = f"{wanted}_{number}", number + 1
            made = self.method(unique, called, node, params, scope)
            text = called, tuple(made.params), made.maybe, *map(ast.dump, made.body), *(origins(made.body) if made.expr is not None else ())
            memo[memo_key] = written.setdefault(text, made)  # the same for arguments that it does not read
        found = memo[memo_key]
        if found is not None:
            found.given = given
        return found

    def method(self, unique: str, called: str, node: ast.FunctionDef, params: list[str], scope: Scope) -> Method:
        self.count += 1
        if self.count > MOST_METHODS:
            raise TooMuch
        body = tidy(scope.out, scope.fresh)
        used = mentioned(body)
        arity = next(iter(scope.arities)) if len(scope.arities) == 1 else None
        short = folded(copied(body))
        expr = None
        if len(short) == 1 and isinstance(short[0], ast.Return) and short[0].value is not None:
            value = short[0].value
            kinds = {type(one) for one in walk(value)}
            if not kinds & {ast.GeneratorExp, ast.ListComp, ast.Yield} and size(value) <= MOST_INLINE:
                expr = value
        made = Method(unique, [one for one in params if one in used], body, arity, expr, scope.maybe)
        if made.single:
            made.arity = None
            for one in walk([*body, *([expr] if expr is not None else [])]):
                if isinstance(one, ast.Return) and isinstance(one.value, ast.Tuple):
                    one.value = one.value.elts[0]
            made.expr = expr.elts[0] if isinstance(expr, ast.Tuple) else None
        made.called, made.source = called, node
        return made


def origins(body: list[ast.stmt]) -> list[str]:
    """Where the numbers of an expression come from, which is written in place of its calls."""
    return [getattr(node, "origin", "") for node in walk(body) if isinstance(node, ast.Constant)]


def in_steps(calls: list[ast.expr]) -> ast.expr | None:
    """Calls that differ in one number, which grows by the same step each time, as a loop."""
    if len(calls) < 3 or not all(isinstance(one, ast.Call) and not hasattr(one, "made") and not one.keywords for one in calls):
        return None
    columns = list(zip(*(one.args for one in calls)))  # type: ignore[attr-defined]
    varying = [n for n, column in enumerate(columns) if len(set(map(ast.dump, column))) > 1]
    if len(varying) != 1 or len({ast.dump(one.func) for one in calls}) > 1:  # type: ignore[attr-defined]
        return None
    numbers = [one.value for one in columns[varying[0]] if isinstance(one, ast.Constant) and isinstance(one.value, int)]
    steps = {b - a for a, b in zip(numbers, numbers[1:])}
    if len(numbers) < len(calls) or len(steps) != 1 or (step := steps.pop()) < 1:
        return None
    made: Any = copied(calls[0])
    far = name("i") if step == 1 else ast.BinOp(lift(step), ast.Mult(), name("i"))
    made.args[varying[0]] = ast.BinOp(made.args[varying[0]], ast.Add(), far)
    return ast.GeneratorExp(made, [ast.comprehension(name("i"), ast.Call(name("range"), [lift(len(calls))], []), [], 0)])


@cache
def assigned(cls: type) -> frozenset[str]:
    """Attributes that methods other than `__init__` assign."""
    found = set()
    for one in project_classes(cls):
        for key, function in one.__dict__.items():
            if not isinstance(function, types.FunctionType) or key in AT_BUILD or not of_project(function):
                continue
            for node in walk(source.tree(inspect.unwrap(function))):
                if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and isinstance(node.value, ast.Name):
                    found |= {node.attr} if node.value.id == "self" else set()
    return frozenset(found)


class Class:
    """One class of the written file."""

    def __init__(self, file: File, module: nn.Module):
        self.file, self.module = file, module
        self.methods: dict[Any, Method | None] = {}
        self.texts: dict[Any, Method] = {}
        self.needed: list[Method] = []
        self.decorators: dict[str, list[str]] = {}
        self.init: list[ast.stmt] | None = None
        self.paths: dict[int, str] = {}
        for path, one in module.named_modules():
            self.paths.setdefault(id(one), path)
        self.base = next(one for one in type(module).__mro__ if not of_project(one))
        self.native = self.base is not nn.Module and not of_project(holder(type(module), "forward"))
        self.height = 0
        self.names: list[str] | None = None  # the parts of a block
        self.spec: Any = None  # the configuration of a part

    def path(self, module: Any) -> ast.expr:
        if id(module) not in self.paths:
            raise Cannot("a module of another class")
        node: ast.expr = name("self")
        for piece in filter(None, self.paths[id(module)].split(".")):
            node = ast.Subscript(node, ast.Constant(int(piece))) if piece.isdigit() else ast.Attribute(node, piece)
        return node

    def method(
        self, called: str, function: types.FunctionType, cls: type, args: list[Arg], kwargs: dict[str, Arg], decorator: str = ""
    ) -> Method:
        method = self.file.specialised(function, cls, self, args, kwargs, self.methods, self.texts, called)
        if method is None:
            raise Cannot(f"{type(self.module).__name__}.{called}")
        if decorator:
            self.decorators[method.name] = [decorator]
            self.needs(method)
        if called == "forward" and (above := through(method.body, method.params)):
            if above == "forward":
                self.native = self.base is not nn.Module
            else:  # what it calls is all that it does
                (inner,) = (one for one in self.methods.values() if one is not None and one.name == above)
                method.body, method.source, method.arity, method.maybe = inner.body, inner.source, inner.arity, inner.maybe
        return method

    def needs(self, method: Method) -> None:
        if method not in self.needed:
            self.needed.append(method)

    def build(self, made: Construct) -> None:
        """Write `__init__`."""
        if self.init is not None:
            return
        self.init = []
        scope = Scope(self.file, self, init=True)
        if of_project(holder(type(self.module), "__init__")):
            function = Bound(self.module, type(self.module).__init__, holder(type(self.module), "__init__"))
            scope.inlined(function, made.args, made.kwargs)
        self.init = tidy(scope.out, scope.fresh)
        self.file.units.append(self)

    def native_call(self, made: Construct) -> ast.expr:
        """The call of torch's own class, for a class that adds nothing to it but words."""
        scope = Scope(self.file, self, init=True)
        scope.inlined(Bound(self.module, type(self.module).__init__, holder(type(self.module), "__init__")), made.args, made.kwargs)
        for node in scope.out:
            match node:
                case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Call(func=ast.Name(id="super")), attr="__init__")) as call):
                    usual = inspect.signature(self.base).parameters
                    own = [
                        one
                        for one in call.keywords
                        if not (isinstance(one.value, ast.Constant) and usual[str(one.arg)].default is one.value.value)
                    ]
                    return ast.Call(lift(self.base), call.args, own)
        raise Cannot(f"{self.base.__name__} of torch")

    @property
    def tensors(self) -> bool:
        return bool(self.module.state_dict())

    def children(self) -> Iterator["Class"]:
        for node in self.init or []:
            for one in walk(node):
                if hasattr(one, "made"):
                    yield one.made


def through(body: list[ast.stmt], params: list[str]) -> str:
    """The method that a forward calls with its own arguments if it does no more than that: `forward` is that of torch's class above it."""
    match body:
        case [ast.Return(value=ast.Call(func=ast.Attribute(value=owner, attr=attr), args=args))]:
            if [getattr(one, "id", "") for one in args] == params:
                above = isinstance(owner, ast.Call) and ast.unparse(owner) == "super()" and attr == "forward"
                return attr if above or isinstance(owner, ast.Name) and owner.id == "self" and attr.startswith("plain_") else ""
    return ""
