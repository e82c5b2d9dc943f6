"""A partial evaluator: it runs a function whose some values are known, and writes down what depends on the others.

A value is either known, any Python object, or `Dyn`, an expression of the code that is written. Attributes of a part's configuration,
conditions and loops over them are known, so they are gone from the result; what happens to tensors stays, in its source's own form.
"""

import ast
from contextlib import suppress
from typing import Any

from torch import nn

from ..model import Layers
from ..parts.base import Spec
from .expressions import Expressions
from .source import walk
from .values import (
    MISSING,
    Arg,
    Cannot,
    Closure,
    Construct,
    Dyn,
    EachLayer,
    Frame,
    called,
    dynamic,
    is_number,
    lift,
    mentioned,
    name,
    negated,
    plain,
    same,
    snake,
    starred,
)

DONE = object()  # a return has ended the block
FEW = 3  # rounds of a loop over known values from which on it stays a loop


class Scope(Expressions):
    """The writing of one function, statement by statement."""

    def block(self, body: list[ast.stmt], frame: Frame) -> Any:
        for node in body:
            if self.statement(node, frame) is DONE:
                return DONE
        return None

    def statement(self, node: ast.stmt, frame: Frame) -> Any:
        return getattr(self, "st_" + type(node).__name__)(node, frame)

    def st_Pass(self, node: ast.Pass, frame: Frame) -> None:
        pass

    def st_Assert(self, node: ast.Assert, frame: Frame) -> None:
        match node.test:
            case ast.Compare(left=ast.Name(id=key), ops=[ast.IsNot()], comparators=[ast.Constant(value=None)]):
                value = frame.env.get(key)
                if isinstance(value, Dyn):
                    frame.env[key] = Dyn(value.node, value.arity, names=value.names)

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
            self.form_returned = self.form(node.value, frame, value) if node.value is not None and is_number(value) else None
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
            over = over if isinstance(over, range | nn.ModuleList) else list(over)
            if not self.init and self.as_loop(node, frame, over):
                return None
            for item in over:
                self.bind(node.target, Arg(item), frame, node)
                if self.block(node.body, frame) is DONE:
                    return DONE
            return None
        self.loop(node, frame, over.node)
        return None

    def loop(self, node: ast.For, frame: Frame, over: ast.expr) -> list[ast.stmt]:
        self.settle(node.body, frame)
        for one in walk(node.target):
            if isinstance(one, ast.Name):
                frame.env[one.id] = Dyn(name(self.naming(frame, one.id)))
        target = self.target(node.target, frame)
        kept, self.out = self.out, []
        self.block(node.body, frame)
        body, self.out = self.out, kept
        self.write(ast.For(target, over, body, []), node, frame)
        return body

    def as_loop(self, node: ast.For, frame: Frame, over: Any) -> bool:
        """Write a loop over known values as a loop, if every round does the same with what only a run knows."""
        names = [one for statement in node.body for one in walk(statement) if isinstance(one, ast.Name)]
        stored = {one.id for one in names if isinstance(one.ctx, ast.Store)}
        if len(over) < FEW or not all(isinstance(frame.env.get(key, Dyn(node.target)), Dyn) for key in stored):
            return False
        if (written := self.rounds(node.iter, frame, over)) is None:
            return False
        out, before, used, fresh = self.out, len(self.out), set(self.used), dict(self.fresh)
        env, forms, named, fixed = dict(frame.env), dict(frame.forms), dict(frame.names), set(frame.fixed)
        with suppress(Cannot, AttributeError, IndexError, KeyError, TypeError, ValueError):
            if (body := self.loop(node, frame, written)) and not any(isinstance(one, ast.If | ast.IfExp) for one in walk(body)):
                return True
        self.out, self.used, self.fresh = out, used, fresh
        del self.out[before:]
        frame.env, frame.forms, frame.names, frame.fixed = env, forms, named, fixed
        return False

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
        if self.init and isinstance(target, ast.Attribute):
            self.remember(target, value, frame)
            if not self.wanted(target, frame):
                return
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and not starred(target) and not starred(value):
            if self.init and any(isinstance(one, ast.Attribute) for one in target.elts):
                for one, of in zip(target.elts, value.elts, strict=True):
                    self.assign(one, of, frame, node)
                return
            self.lazy += 1
            args = [self.arg(one, frame) for one in value.elts]
            self.lazy -= 1
            self.bind_all(target.elts, args, frame, node)
            return
        self.bind(target, self.arg(value, frame), frame, node, isinstance(value, ast.Tuple | ast.List))

    def remember(self, target: ast.Attribute, value: ast.expr, frame: Frame) -> None:
        """Where a number that becomes an attribute comes from."""
        if isinstance(owner := self.ev(target.value, frame), nn.Module):
            held = owner.__dict__.get(target.attr)
            if is_number(held) or (isinstance(held, tuple) and held and all(map(is_number, held))):
                known = self.ev(value, frame)
                with suppress(Cannot):
                    form = self.form(value, frame, known)
                    for index, one in enumerate(form.elts if isinstance(form, ast.Tuple) else [form]):
                        self.file.origins[id(owner), target.attr, index] = one

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
            called = value.names[star : star + many] or ("",) * many
            fresh = [self.free(one or rest.id) for one in called]
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
            return ast.Attribute(self.owner_of(self.ev(target.value, frame)), target.attr)
        return lift(self.ev(target, frame))

    def named(self, key: str, arg: Arg, frame: Frame, node: ast.AST, display: bool = False) -> None:
        value = arg.value
        fixed = key in frame.fixed
        if isinstance(value, Dyn) and isinstance(value.node, ast.Name) and self.out and getattr(self.out[-1], "passing", False):
            (target,) = self.out[-1].targets  # type: ignore[attr-defined]
            if target.id == value.node.id:  # it had a name only in passing
                value = Dyn(self.out.pop().value, value.arity, value.maybe, names=value.names)  # type: ignore[attr-defined]
                self.used.discard(target.id)
        if isinstance(value, tuple | list) and display and not fixed and value and any(isinstance(one, Dyn) for one in value):
            with suppress(Cannot):
                value = Dyn(lift(value), len(value))
        if not fixed and not isinstance(value, Dyn):
            frame.env[key] = value
            if arg.form is not None:
                own = frame.cls if frame.cls and issubclass(frame.cls, Spec) else None
                frame.forms[key] = called(arg.form, key, snake(own.__name__) if own else "") or arg.form
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

    def store(self, target: ast.Attribute, arg: Arg, frame: Frame, node: ast.AST) -> None:
        owner = self.ev(target.value, frame)
        if not isinstance(owner, nn.Module | Dyn):
            setattr(owner, target.attr, arg.value)
            return
        place = ast.Attribute(self.owner_of(owner), target.attr)
        self.write(ast.Assign([place], self.made(arg, owner, target.attr)), node, frame)

    def st_AugAssign(self, node: ast.AugAssign, frame: Frame) -> None:
        assert isinstance(node.target, ast.Name | ast.Attribute)
        if self.init and isinstance(node.target, ast.Attribute) and not self.wanted(node.target, frame):
            return
        value = self.arg(node.value, frame)
        if isinstance(node.target, ast.Attribute):
            place = ast.Attribute(self.owner_of(self.ev(node.target.value, frame)), node.target.attr)
            self.write(ast.AugAssign(place, node.op, lift(value.value)), node, frame)
            return
        old = self.ev(ast.Name(node.target.id), frame)
        if not dynamic(old) and not dynamic(value.value):
            whole = ast.BinOp(ast.Name(node.target.id), node.op, node.value)
            self.named(node.target.id, self.arg(whole, frame), frame, node)
            return
        if isinstance(old, list) and isinstance(value.value, list):
            frame.env[node.target.id] = old + value.value
            return
        self.named(node.target.id, Arg(Dyn(ast.BinOp(lift(old), node.op, lift(value.value)))), frame, node)
