"""Traced dataflow: the operations of a module and the tensors between them, with shapes in B and T.

`torch.fx` traces the module's own forward; running the trace on meta tensors gives the shapes. Operations that only
rearrange a tensor (view, split, transpose) are no boxes: they fold into the edge that they lie on.
"""

import inspect
import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache

import torch
from torch import fx, nn

from .model import Block, PredictAhead
from .parts import Part
from .spec import Architecture, Step

# Sizes that stand for "any batch" and "any length". T is prime and larger than any width the spec accepts, so a
# dimension that is a multiple of it is one of T.
B, T = 101, 1_000_003

Sizes = tuple[int | str, ...]

SHAPE_ONLY = {
    "view", "reshape", "flatten", "unflatten", "split", "chunk", "transpose", "permute", "squeeze", "unsqueeze", "expand",
    "contiguous", "repeat", "to", "float", "type_as", "getitem",
}  # fmt: skip
FUNCTIONS = {"add": ("add", "+"), "mul": ("multiply", "×"), "sigmoid": ("activation", "σ"), "cat": ("concatenate", "concat")}


@dataclass(frozen=True)
class Tensor:
    """One tensor on its way from an operation into another: `name` is what the reader calls it."""

    source: str
    name: str
    shape: Sizes


@dataclass(frozen=True)
class Operation:
    """A box: a leaf module or a function. `path` is the module's own path, empty for functions and inputs."""

    id: str
    path: str
    kind: str
    label: str
    inputs: tuple[Tensor, ...]
    shape: Sizes
    activation: int  # values written, in units where B = T = 1 (what reshapes is free)


@dataclass(frozen=True)
class Traced:
    """A module as dataflow: its inputs first, then operations in order; `tensors` are its parameters and buffers."""

    operations: tuple[Operation, ...]
    output: Tensor
    parameters: dict[str, tuple[int, ...]] = field(hash=False)
    buffers: dict[str, tuple[int, ...]] = field(hash=False)
    modules: dict[str, nn.Module] = field(hash=False, repr=False)


class _Tracer(fx.Tracer):
    def is_leaf_module(self, module: nn.Module, path: str) -> bool:
        return hasattr(module, "box")


def trace(module: nn.Module, inputs: dict[str, torch.Tensor]) -> Traced:
    """Trace `module` on meta tensors named as its forward's arguments."""
    graph = _Tracer().trace(module)
    modules = dict(module.named_modules())
    values: dict[fx.Node, object] = {}
    origin: dict[fx.Node, str] = {}  # the operation whose tensor a shape-only node rearranges
    operations: list[Operation] = []

    def load(node: fx.Node) -> object:
        return values[node]

    for node in graph.nodes:
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), load) if node.op != "output" else ((), {})
        match node.op:
            case "placeholder":
                values[node] = inputs[node.name]
                operations.append(Operation(node.name, "", "input", node.name, (), _sizes(values[node]), 0))
                origin[node] = node.name
            case "get_attr":
                values[node] = operator.attrgetter(node.target)(module)
            case "output":
                source = node.args[0]
                return Traced(
                    tuple(operations),
                    Tensor(origin[source], source.name, _sizes(values[source])),
                    {path: tuple(p.shape) for path, p in module.named_parameters()},
                    {path: tuple(b.shape) for path, b in module.named_buffers()},
                    modules,
                )
            case "call_module":
                target = modules[node.target]
                values[node] = args[0] if getattr(target, "keeps_shape", False) else target(*args, **kwargs)
                origin[node] = node.name
                operations.append(_operation(node, node.target, target.box, target.label, origin, values, _names(target)))
            case _:
                name = node.target if isinstance(node.target, str) else node.target.__name__
                run: Callable = (lambda x, *a, **k: getattr(x, name)(*a, **k)) if node.op == "call_method" else node.target
                values[node] = run(*args, **kwargs)
                reads = [n for n in node.all_input_nodes if n in origin]
                if name in SHAPE_ONLY and reads:
                    origin[node] = origin[reads[0]]
                    continue
                origin[node] = node.name
                kind, label = FUNCTIONS.get(name, ("function", name))
                operations.append(_operation(node, "", kind, label, origin, values, ()))
    raise AssertionError("a traced graph ends with its output")


def _operation(
    node: fx.Node, path: str, kind: str, label: str, origin: dict, values: dict, names: Iterable[str]
) -> Operation:
    readable = list(names)
    inputs = []
    for index, read in enumerate(n for n in node.args if isinstance(n, fx.Node)):
        if read in origin:
            name = readable[index] if len(readable) > 1 and index < len(readable) else read.name
            inputs.append(Tensor(origin[read], name, _sizes(values[read])))
    written = values[node]
    written = written if isinstance(written, tuple) else (written,)
    activation = sum(_per_token(t.shape) for t in written)
    return Operation(node.name, path, kind, label, tuple(inputs), _sizes(written[0]), activation)


def _names(module: nn.Module) -> list[str]:
    return [p.name for p in inspect.signature(module.forward).parameters.values()]


def _sizes(value: object) -> Sizes:
    value = value[0] if isinstance(value, tuple | list) else value
    return symbolic(tuple(value.shape))


def symbolic(shape: tuple[int, ...]) -> Sizes:
    """(101, 1000003, 7168) -> ("B", "T", 7168)."""

    def size(index: int, n: int) -> int | str:
        if n % (B * T) == 0:
            return "B·T" if n == B * T else f"B·T·{n // (B * T)}"
        if n % T == 0:
            return "T" if n == T else f"T·{n // T}"
        return "B" if index == 0 and n == B else n

    return tuple(size(index, n) for index, n in enumerate(shape))


def _per_token(shape: tuple[int, ...]) -> int:
    """Values of a tensor for one token of one sequence."""
    total = 1
    for n in shape:
        total *= n
    return total // (B * T) if total % (B * T) == 0 else 0


@lru_cache(maxsize=4096)
def trace_part(part: Part, d_model: int) -> Traced:
    """One part alone. A part is a value, so the same part in any model is traced once."""
    with torch.device("meta"):
        module = part.build(d_model)
        return trace(module, {"x": torch.empty(B, T, d_model), "positions": torch.empty(T, dtype=torch.long)})


class Stub(nn.Module):
    """Stands for a part in a block's trace: the part itself is traced by its own value."""

    box = "part"
    keeps_shape = True

    def __init__(self, part: Part):
        super().__init__()
        self.label = part.title

    def forward(self, x: torch.Tensor, positions: torch.Tensor | None = None) -> torch.Tensor:
        return x


@dataclass(frozen=True)
class _Wiring:
    """What the dataflow between a block's parts depends on: nothing inside the parts, so an edit there keeps it."""

    steps: tuple[Step, ...]
    d_model: int
    defaults: tuple
    parts: tuple[tuple, ...]
    arch: Architecture = field(compare=False, hash=False, repr=False)


def trace_block(arch: Architecture, steps: tuple[Step, ...]) -> Traced:
    """A block with its parts as boxes."""
    return _trace_block(_wiring(arch, steps))


def trace_ahead(arch: Architecture) -> Traced:
    """One multi-token-prediction module with its parts as boxes."""
    return _trace_ahead(_wiring(arch, arch.mtp.block))


def _wiring(arch: Architecture, steps: tuple[Step, ...]) -> _Wiring:
    names = {name for step in steps for name in step.parts}
    parts = tuple((name, arch.parts[name].kind, getattr(arch.parts[name], "norm", None)) for name in sorted(names))
    return _Wiring(steps, arch.d_model, (arch.norm, arch.residual), parts, arch)


@lru_cache(maxsize=1024)
def _trace_block(wiring: _Wiring) -> Traced:
    arch, d = wiring.arch, wiring.d_model
    streams = () if arch.residual.streams == 1 else (arch.residual.streams,)
    with torch.device("meta"):
        module = Block(arch, wiring.steps, lambda name: Stub(arch.parts[name]))
        return trace(module, {"stream": torch.empty(B, T, *streams, d), "positions": torch.empty(T, dtype=torch.long)})


@lru_cache(maxsize=256)
def _trace_ahead(wiring: _Wiring) -> Traced:
    arch, d = wiring.arch, wiring.d_model
    with torch.device("meta"):
        module = PredictAhead(arch, lambda name: Stub(arch.parts[name]))
        stream = torch.empty(B, T, d)
        return trace(module, {"stream": stream, "ahead": stream, "positions": torch.empty(T, dtype=torch.long)})
