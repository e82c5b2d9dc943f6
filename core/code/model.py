"""The file of a whole model, and the classes of one part."""

import ast
import inspect
from collections import Counter
from collections.abc import Iterable
from itertools import chain
from typing import Any

from torch import nn

from .. import library
from ..cost import cost
from ..frame import Ahead, PredictAhead
from ..model import Block, Layers, Model, build_mtp, build_once, numbered
from ..parts.base import Part
from ..parts.residual import Add, LevelledAdd, Numbered
from ..spec import METADATA, Architecture, Workload
from ..split import split
from . import source
from .classes import Class, File
from .figures import Figures, with_forms
from .source import expression, lines
from .statements import Scope
from .text import ROOT, Text, text
from .values import Arg, Bound, Construct, Dyn, constant, derived, holder, lift, mentioned, name, replaced

SHOWN_EDITS = 20  # from the published model, in words
USAGE = (
    "With smaller constants `Model()` is small enough to try with random weights. For those of a checkpoint, let Strata fill its own "
    'model, `core.load_weights(core.build(arch, device="cpu"), tensors)`, and save that model\'s state dict. Then:',
    """    with torch.device("meta"):  # no memory until there are weights
        model = Model().eval()
    model.load_state_dict(torch.load("weights.pt"), assign=True)
    for token in model.generate(torch.tensor([[1, 2, 3]]), steps=20):
        print(token)""",
)  # how to run a file


class Writer(File):
    """The classes of one model or one part, from its built modules to text."""

    def __init__(self, arch: Architecture, root: nn.Module):
        super().__init__(root)
        self.arch = arch
        self.counts: dict[str, int] = {}  # numbers of layers, by name

    # Building

    def entries(self, one: Class, *names: str) -> None:
        """Write these methods of a class for arguments that only a run knows."""
        for called in names:
            function = inspect.unwrap(getattr(type(one.module), called))
            args = [Arg(Dyn(name(key.arg))) for key in source.tree(function).args.args[1:]]
            method = one.method(called, function, holder(type(one.module), called), args, {})
            method.root = True
            one.needs(method)

    def part(self, model: Model, part: str) -> Class:
        """The class of one part, as the first block that has it runs it."""
        layers: Any = model.layers
        block, path = next((block, path) for block in layers for path, (spec, *_) in block.plans.items() if spec == part)
        one = self.of(block)
        self.entries(self.of(model), "caching")
        self.entries(one, "forward")
        self.block(one, block)
        return self.of(block.get_submodule(path))

    def whole(self, model: Model) -> Class:
        one = self.of(model)
        self.entries(one, *ROOT)
        forward = next(method for method in one.needed if method.name == "forward")
        forward.params = [key.arg for key in forward.source.args.args[1:]]  # the same for all models, also where nothing reads positions
        one.build(Construct(Model, [Arg(self.arch)], {}))
        assert one.init is not None
        if not any(getattr(node, "origin", "") == "n_layers" for node in with_forms(one.init)):
            node: Any = next(node for node in one.init if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "self.layers")
            node.note = f"# {self.arch.depth} layers"
        one.init += self.wiring(model)
        return one

    def ahead(self, modules: Ahead) -> Class:
        """The modules that predict further tokens, which are apart from the model."""
        self.note(modules)
        one = self.of(modules)
        members: list[Any] = list(modules)
        for module in members:
            self.entries(self.of(module), "forward")
            self.of(module).build(Construct(PredictAhead, [Arg(self.arch.ahead), Arg(Construct(Block, [], {}))], {}))
        above = ast.Attribute(ast.Call(name("super"), [], []), "__init__")
        one.init = [ast.Expr(ast.Call(above, compressed([self.of(module) for module in members]), []))]
        if self.arch.mtp and self.arch.mtp.one_join:
            shared = [around for around in Ahead.AROUND if getattr(members[0], around) is not None]
            first = ast.Subscript(name("self"), ast.Constant(0))
            body: list[ast.stmt] = [ast.Assign([attribute(name("module"), key)], attribute(first, key)) for key in shared]
            one.init.append(ast.For(name("module"), name("self"), body, []))
        for index, steps in enumerate(self.arch.mtp.each if self.arch.mtp else ()):
            for path in numbered(self.arch, steps):
                place = attribute(ast.Subscript(name("self"), ast.Constant(index)), f"block.{path}.layer")
                one.init.append(ast.Assign([place], ast.Constant(self.arch.depth + index)))
        self.units.append(one)
        return one

    def construct(self, made: Construct, real: Any, scope: Scope) -> ast.expr:
        if made.cls is Layers:
            return self.all_layers(real)
        if made.cls is Block:
            self.block(self.of(real), real)
            return call(self.of(real))
        return super().construct(made, real, scope)

    def all_layers(self, layers: Layers) -> ast.expr:
        blocks: list[Any] = list(layers)
        for layer in blocks:
            self.block(self.of(layer), layer)
        made = compressed([self.of(layer) for layer in blocks])
        first, last = ({part for step in block for part in step.parts} for block in (self.arch.sequence[0], self.arch.sequence[-1]))
        own = sorted(first - last)
        self.counts = counted_layers(made, len(blocks), f"{own[0] if own else 'first'}_layers")
        return ast.Call(ast.Attribute(name("nn"), "ModuleList"), made, [])

    def block(self, one: Class, layer: Block) -> None:
        if one.init is not None:
            return
        one.init = []
        scope = Scope(self, one, init=True)
        scope.out.append(ast.Expr(ast.Call(ast.Attribute(ast.Call(name("super"), [], []), "__init__"), [], [])))
        for child, (spec, args, which) in layer.plans.items():
            self.child(scope, layer, child, self.arch.part(spec) if isinstance(spec, str) else spec, args, which)
        if layer.layer_scale is not None:
            value = self.construct(Construct(type(layer.layer_scale), [], {}), layer.layer_scale, scope)
            scope.out.append(ast.Assign([ast.Attribute(name("self"), "layer_scale")], value))
        for module in layer.modules():  # what parts of this layer read from each other
            for attr in sorted(self.changing(module)):
                held = module.__dict__.get(attr)
                if attr != "source" and isinstance(held, tuple) and held and all(id(v) in one.paths for v in held):
                    scope.out.append(ast.Assign([ast.Attribute(one.path(module), attr)], ast.Tuple([one.path(v) for v in held])))
        one.init = as_read(scope.out, [method.body for method in one.needed])
        one.names = [part for move in layer.moves for part in move.step.parts]
        self.units.append(one)

    def child(self, scope: Scope, owner: nn.Module, child: str, spec: Any, args: tuple, which: int | None) -> None:
        known = [Arg(self.arch.d_model, constant(self.arch.d_model, "d_model")), *map(Arg, args)]
        made = scope.inlined(Bound(spec, type(spec).build, type(spec)), known, {})
        made = made if which is None else made[which]
        real = owner.get_submodule(child)
        value = self.construct(made, real, scope)
        if isinstance(spec, Part):
            self.parts.setdefault(id(self.of(real)), child)
            self.of(real).spec = spec
        scope.out.append(ast.Assign([ast.Attribute(name("self"), child)], value))

    def wiring(self, model: Model) -> list[ast.stmt]:
        """What layers read from others, numbers that the model sets, and shared weights, as loops over tables."""
        links: dict[tuple[str, str], list[tuple[int, int]]] = {}
        numbers: dict[Any, list[tuple[int, int]]] = {}
        for link in self.arch.links:
            path = f"{link.part}.{link.read.name}"
            if link.read.lender:
                links.setdefault((f"{path}.source", f"{link.source}.{link.read.lender}"), []).append((link.layer, link.source_layer))
            else:
                numbers.setdefault((path, "layer"), []).append((link.layer, link.layer))
        sums = 2
        layers: Any = model.layers
        for layer, block in enumerate(layers):
            for name_, module in block.named_children():
                if isinstance(module, LevelledAdd):
                    numbers.setdefault((name_, "sums"), []).append((layer, sums))
                if isinstance(module, Numbered):
                    numbers.setdefault((name_, "layer"), []).append((layer, layer))
                sums += isinstance(module, Add)
        made: list[ast.stmt] = []
        alike: dict[tuple, list[ast.stmt]] = {}
        for (path, where), pairs in links.items():
            lender = ast.Tuple([dotted("self", "layers", "source", path=where)])
            alike.setdefault(tuple(pairs), []).append(ast.Assign([dotted("self", "layers", "layer", path=path)], lender))
        made += [loop([*found], "source", body, self.arch.depth) for found, body in alike.items()]
        for (path, attr), pairs in numbers.items():
            body: list[ast.stmt] = [ast.Assign([dotted("self", "layers", "layer", path=f"{path}.{attr}")], name("number"))]
            made.append(loop(pairs, "number", body, self.arch.depth))
        groups: dict[tuple, list[tuple[int, int]]] = {}
        first: dict[tuple[str, int], tuple[int, str]] = {}
        uses: Counter[str] = Counter()
        for layer, block in enumerate(layers):
            for path, (part, _, _) in block.plans.items():
                if not isinstance(part, str) or not (spec := self.arch.parts[part]).tied:
                    continue
                source_layer, where = first.setdefault((part, uses[part] % spec.sets), (layer, path))
                uses[part] += 1
                if (source_layer, where) != (layer, path):
                    names = [key for key, _ in block.get_submodule(path).named_parameters() if not spec.each(key)]
                    groups.setdefault((path, where, *names), []).append((layer, source_layer))
        for (path, where, *names), pairs in groups.items():
            both = ast.Tuple([dotted("self", "layers", "layer", path=path), dotted("self", "layers", "source", path=where)])
            body = [ast.Assign([ast.Tuple([name("own"), name("first")])], both)]
            body += [ast.Assign([attribute(name("own"), key)], attribute(name("first"), key)) for key in names]
            made.append(loop(pairs, "source", body, self.arch.depth))
        return made


def as_read(init: list[ast.stmt], bodies: Iterable[list[ast.stmt]]) -> list[ast.stmt]:
    """The statements of `__init__` in the order in which the forward runs the modules."""
    order: dict[str, int] = {}

    def visit(node: ast.AST) -> None:
        match node:
            case ast.Call():
                for one in (*node.args, node.func):
                    visit(one)
            case ast.Attribute(value=ast.Name(id="self")):
                order.setdefault(node.attr, len(order))
            case _:
                for child in ast.iter_child_nodes(node):
                    visit(child)

    for statement in chain.from_iterable(bodies):
        visit(statement.value if isinstance(statement, ast.Assign) else statement)

    def place(statement: ast.stmt) -> int:
        match statement:
            case ast.Assign(targets=[ast.Attribute(value=ast.Name(id="self"), attr=attr)]):
                return order.get(attr, len(order))
        return len(order) if isinstance(statement, ast.Assign) else -1  # what the constructor of the base class does, first

    return sorted(init, key=place)


def dotted(root: str, attr: str, index: str, path: str) -> ast.expr:
    """`self.layers[layer].attention.q`."""
    return attribute(ast.Subscript(ast.Attribute(name(root), attr), name(index)), path)


def attribute(node: ast.expr, path: str) -> ast.expr:
    for piece in path.split("."):
        node = ast.Subscript(node, ast.Constant(int(piece))) if piece.isdigit() else ast.Attribute(node, piece)
    return node


def loop(pairs: list[tuple[int, Any]], second: str, body: list[ast.stmt], depth: int) -> ast.stmt:
    """A loop over layers and another number each, or over layers alone if the number is the same, or the layer's own."""
    layers, others = [one for one, _ in pairs], {other for _, other in pairs}
    own = layers == [other for _, other in pairs]
    if len(pairs) > 1 and (own or len(others) == 1):
        for node in body:
            replaced(node, {second: name("layer") if own else lift(next(iter(others)))})
        run = range(layers[0], layers[-1] + 1)
        over: Any = lift(run if layers == [*run] else tuple(layers))
        if layers == [*run] and run.stop == depth:
            over.args[-1].origin = "n_layers"
        return ast.For(name("layer"), over, body, [])
    target = ast.Tuple([name("layer"), name(second)])
    table = ast.Tuple([ast.Tuple([ast.Constant(one), lift(other)]) for one, other in pairs])
    return ast.For(target, table, body, [])


def call(one: Class) -> ast.expr:
    node = ast.Call(name("?"), [], [])
    node.made = one  # type: ignore[attr-defined]
    return node


def compressed(classes: list[Class]) -> list[ast.expr]:
    """Classes in a row as the arguments of ModuleList: what repeats is a loop."""
    pieces: list[ast.expr] = []
    start = 0
    while start < len(classes):
        best, period = 1, 1
        for size in range(1, min(16, len(classes) - start) + 1):
            times = 1
            while classes[start + times * size : start + (times + 1) * size] == classes[start : start + size]:
                times += 1
            if times > 1 and times * size > best:
                best, period = times * size, size
        times = best // period
        if times == 1:
            pieces.append(call(classes[start]))
        else:
            over = ast.Call(name("range"), [ast.Constant(times)], [])
            rounds = [ast.comprehension(name("_"), over, [], 0)]
            if period == 1:
                pieces.append(ast.GeneratorExp(call(classes[start]), rounds))
            else:
                each = ast.Tuple([call(one) for one in classes[start : start + period]])
                pieces.append(ast.GeneratorExp(name("layer"), [*rounds, ast.comprehension(name("layer"), each, [], 0)]))
        start += best
    if len(pieces) == 1 and isinstance(pieces[0], ast.GeneratorExp):
        return pieces
    return [ast.List([ast.Starred(one) if isinstance(one, ast.GeneratorExp) else one for one in pieces])]


def counted_layers(made: list[ast.expr], depth: int, first: str) -> dict[str, int]:
    """Say the rounds of the loops in a list of all layers by the number of layers, where that is simple: all, or what is left after
    the first ones. The numbers by name; `first` is that of the first ones."""
    pieces = [one.value if isinstance(one, ast.Starred) else one for one in (made[0].elts if isinstance(made[0], ast.List) else made)]
    loops: list[Any] = [one for one in pieces if isinstance(one, ast.GeneratorExp)]
    single, counts = len(pieces) - len(loops), {"n_layers": depth}
    for loop_ in loops:
        size, (times,) = len(loop_.generators[1].iter.elts) if len(loop_.generators) > 1 else 1, loop_.generators[0].iter.args
        whole: ast.expr = constant(depth, "n_layers")
        if len(loops) == 1 and size == 1 and single:
            whole = ast.BinOp(whole, ast.Sub(), constant(single))
        elif len(loops) == 2 and not single and loop_ is loops[1] and size == 1 and len(loops[0].generators) == 1:
            few = loops[0].generators[0].iter.args[0]
            counts[first], few.origin = few.value, first
            whole = ast.BinOp(whole, ast.Sub(), few)
        elif size > 1 and loop_ is loops[0] and times.value == depth // size:
            whole = ast.BinOp(whole, ast.FloorDiv(), constant(size))
        elif len(loops) > 1 or size > 1:
            continue
        loop_.generators[0].iter.args = [whole if isinstance(whole, ast.Constant) else derived(times.value, whole)]
    return counts


def file(arch: Architecture) -> str:
    """The whole model."""
    model = build_once(arch)
    writer = Writer(arch, model)
    roots = [writer.whole(model)]
    if arch.mtp:
        roots.append(writer.ahead(build_mtp(arch)))
    written = Text(writer, {"vocab_size": arch.vocab_size, "d_model": arch.d_model} | writer.counts, Figures(arch))
    body = written.finish(*roots)
    classes = ("\n".join(lines([node])) for node in body)
    return "\n\n\n".join(("\n\n".join((head(arch), imports(body), constants(written, body))), *classes)) + "\n"


def part_file(arch: Architecture, part: str) -> str:
    """The class of one part, then those of its modules and its functions, below the constants that they read."""
    model = build_once(arch)
    writer = Writer(arch, model)
    written = Text(writer, {"vocab_size": arch.vocab_size, "d_model": arch.d_model, "n_layers": arch.depth}, Figures(arch))
    *others, own = body = written.finish(writer.part(model, part))
    classes = ("\n".join(lines([node])) for node in (own, *others))
    return "\n\n\n".join(filter(None, (constants(written, body), *classes))) + "\n"


def head(arch: Architecture) -> str:
    """The docstring of the file. A model that is not as published under its name or title says how it differs, not who made it."""
    known = library.called(arch.name) or library.called(arch.title)
    published = library.preset(known) if known else arch
    edits = split(published.model_copy(update={key: getattr(arch, key) for key in METADATA}), arch)
    made = ", ".join(filter(None, (arch.organisation, str(arch.released or ""))))
    title = arch.title + (f" ({made})" if made else "")
    if edits:
        title = f"Edited from {published.title}" if arch.title == published.title else f"{arch.title}, edited from {published.title}"
    words = (
        f"{title}: {cost(arch, Workload()).parameters:,} parameters, in a file that needs torch alone. "
        "Written by Strata from the architecture; tensors have the names of Strata's state dict. B sequences of T tokens; S tokens with "
        "those that are cached."
        + (" `Ahead` predicts further tokens, for training and speculative decoding; `Model` does not run it." if arch.mtp else "")
    )
    rows = [f"- {' '.join(edit.words.split())}" for edit in edits[:SHOWN_EDITS]]
    if len(edits) > SHOWN_EDITS:
        rows.append(f"- and {len(edits) - SHOWN_EDITS} more")
    paragraphs = [words, *(["\n".join(rows)] if rows else []), *USAGE]
    return "\n".join(lines([text("\n\n".join(paragraphs))]))


def imports(body: list[ast.stmt]) -> str:
    """The imports of the file."""
    read = mentioned(body)
    standard = {"math": "import math", "contextmanager": "from contextlib import contextmanager"}
    above = [line for name, line in standard.items() if name in read]
    functional = ["import torch.nn.functional as F"] if "F" in read else []
    return "\n".join([*above, *([""] if above else []), "import torch", *functional, "from torch import nn"])


def constants(written: Text, body: list[ast.stmt]) -> str:
    """The constants that the classes read, and those that follow from others."""
    follow = {key: form for key, (form, _) in written.follow.items()}
    read = mentioned([*body, *follow.values()])
    used = [f"{key} = {expression(lift(value))}" for key, value in written.figures_by_name().items() if key in read]
    also = [line for key, form in follow.items() for line in lines([ast.Assign([name(key)], form)])]
    return "\n".join([*used, *(["", "# Computed from them"] if also else []), *also])
