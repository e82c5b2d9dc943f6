"""What every piece of the evaluator uses: the statements written so far and the names that are free."""

import ast
from typing import Any, Protocol

from torch import nn

from .values import Arg, Bound, Cannot, Construct, Dyn, EachLayer, Frame, Method, lift, mentions, name, plain


class Owner(Protocol):
    """The class whose method is written."""

    module: nn.Module
    native: bool

    def path(self, module: Any) -> ast.expr: ...
    def method(self, called: str, function: Any, cls: type, args: list[Arg], kwargs: dict[str, Arg], decorator: str = "") -> Method: ...
    def needs(self, method: Method) -> None: ...


class Whole(Protocol):
    """All that is written for one model or part."""

    root: nn.Module
    nullable: set[str]
    demanded: set[str]
    origins: dict[tuple[int, str, int], ast.expr]

    def of(self, module: nn.Module) -> Owner: ...
    def changing(self, module: nn.Module) -> frozenset[str]: ...
    def construct(self, made: Construct, real: Any, scope: Any) -> ast.expr: ...
    def call_layer(self, scope: Any, each: EachLayer, args: list[Arg]) -> Dyn: ...
    def function(self, scope: Any, function: Any, cls: type | None, args: list[Arg], kwargs: dict[str, Arg]) -> Method | None: ...
    def need(self, method: Method) -> None: ...


class Writing:
    """The writing of one function. A statement that only exists because a call was replaced by its body has `folds`: it may become
    a part of the next one."""

    def __init__(self, file: Whole, owner: Owner | None, init: bool = False):
        self.file, self.owner, self.init = file, owner, init
        self.out: list[ast.stmt] = []
        self.used: set[str] = set()
        self.fresh: dict[str, str] = {}
        self.frames: list[Frame] = []
        self.arities: set[int | None] = set()
        self.maybe = False
        self.form_returned: ast.expr | None = None  # of the number that the last inlined function returned
        self.lazy = 0  # inside how many expressions that may not be computed

    def write(self, node: ast.stmt, source_node: ast.AST | None = None, frame: Frame | None = None) -> None:
        if source_node is not None:
            node.note = getattr(source_node, "note", "")  # type: ignore[attr-defined]
            node.above = getattr(source_node, "above", [])  # type: ignore[attr-defined]
        node.folds = frame is not None and frame.inline  # type: ignore[attr-defined]
        self.out.append(node)

    def wanted(self, target: ast.Attribute, frame: Frame) -> bool:
        """Whether an attribute set in `__init__` is part of the code: a module, a tensor, or what changes later."""
        owner = self.ev(target.value, frame)
        if not isinstance(owner, nn.Module):
            return True
        held: list[Any] = [owner._modules, owner._parameters, owner._buffers]
        return any(group.get(target.attr) is not None for group in held) or target.attr in self.file.changing(owner)

    def made(self, arg: Arg, owner: Any, attr: str) -> ast.expr:
        """The written form of what becomes an attribute; a module is made by a call of its class."""
        if isinstance(arg.value, Construct):
            return self.file.construct(arg.value, getattr(owner, attr, None), self)
        if isinstance(arg.value, nn.Module):
            return self.path(arg.value)
        return arg.form if arg.form is not None else lift(arg.value)

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

    def kept(self, value: Any, base: str = "x") -> Any:
        """A value that a known list may hold: an expression with a name, so that it is computed once and now."""
        if isinstance(value, Dyn) and not plain(value.node):
            written = self.free(base)
            statement = ast.Assign([name(written)], value.node)
            statement.folds = True  # type: ignore[attr-defined]
            self.out.append(statement)
            return Dyn(name(written), value.arity, value.maybe)
        return value

    def written(self, value: Any) -> ast.expr:
        if isinstance(value, nn.Module):
            return self.path(value)
        if isinstance(value, Construct):
            return self.file.construct(value, None, self)
        if isinstance(value, Bound):
            return ast.Attribute(self.owner_of(value.owner), value.function.__name__)
        if isinstance(value, list) and value and all(isinstance(one, Construct) for one in value):
            return ast.List([self.written(one) for one in value])
        return lift(value)

    def path(self, module: Any) -> ast.expr:
        """`self.attention.q` for a module of this class."""
        if self.owner is None:
            raise Cannot("a module outside a class")
        return self.owner.path(module)

    def owner_of(self, owner: Any) -> ast.expr:
        return owner.node if isinstance(owner, Dyn) else self.path(owner)

    # What the other pieces do

    def block(self, body: list[ast.stmt], frame: Frame) -> Any:
        raise NotImplementedError

    def bind(self, target: ast.expr, arg: Arg, frame: Frame, node: ast.AST, display: bool = False) -> None:
        raise NotImplementedError

    def store(self, target: ast.Attribute, arg: Arg, frame: Frame, node: ast.AST) -> None:
        raise NotImplementedError

    def target(self, target: ast.expr, frame: Frame) -> ast.expr:
        raise NotImplementedError

    def ev(self, node: ast.expr, frame: Frame) -> Any:
        raise NotImplementedError

    def attribute(self, base: Any, attr: str) -> Any:
        raise NotImplementedError
