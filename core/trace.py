"""Traced dataflow: the operations of a module and the tensors between them, with shapes in B and T.

The module's own forward runs on meta tensors, and every box and every function between boxes is recorded with
the tensors that it reads and returns. (torch.fx would see the same, but it replaces `nn.Module.__call__` for the whole
process while it traces, which would disturb other visitors' live models; and it needs a second run for the shapes.)
Operations that only rearrange a tensor (view, split, transpose) are not boxes: they are merged into their edge.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache, partial
from threading import Lock
from typing import Literal

import torch
from cachetools import LRUCache, cached
from torch import nn
from torch.overrides import TorchFunctionMode

from .frame import Frame, PredictAhead
from .model import Block, Layers
from .parts import Part
from .parts.base import Box, arguments
from .spec import Architecture, Step

# Sizes that stand for "any batch" and "any length". T is prime and larger than any width the spec accepts, so a
# dimension that is a multiple of it depends on T; it is so large that one entry per few hundred tokens can also be recognised.
B, T = 101, 1_073_741_827
WIDEST = 1_048_576

Sizes = tuple[int | str, ...]

SHAPE_ONLY = {
    "view", "reshape", "flatten", "unflatten", "split", "chunk", "transpose", "permute", "squeeze", "unsqueeze", "expand",
    "contiguous", "repeat", "to", "float", "type_as", "getitem", "get",
}  # fmt: skip
FUNCTIONS = {
    "add": ("add", "+"), "mul": ("multiply", "×"), "div": ("multiply", "÷"), "sigmoid": ("activation", "σ"), "silu": ("activation", "SiLU"),
    "cat": ("concatenate", "concat"),
}  # fmt: skip


@dataclass(frozen=True)
class Tensor:
    """One tensor on its way from an operation into another: `name` is the reader's name for it."""

    source: str
    name: str
    shape: Sizes


@dataclass(frozen=True)
class Operation:
    """A box: a leaf module or a function. `path` is the module's own, or that of the parameter that a function uses, or
    empty; for a module that runs more than once, `again` is true after the first time."""

    id: str
    path: str
    kind: str
    label: str
    inputs: tuple[Tensor, ...]
    shape: Sizes
    activation: int  # values written, for B = T = 1 (reshapes are free)
    again: bool = False


@dataclass(frozen=True)
class Traced:
    """A module as dataflow: its inputs first, then operations in order; `tensors` are its parameters and buffers."""

    operations: tuple[Operation, ...]
    output: Tensor
    parameters: dict[str, tuple[int, ...]] = field(hash=False)
    buffers: dict[str, tuple[int, ...]] = field(hash=False)
    boxes: dict[str, Box] = field(hash=False, repr=False)  # also those inside others


class _Recorder(TorchFunctionMode):
    """Records the operations that run inside it. Tensors are compared by identity: each comes from one operation."""

    def __init__(self, inputs: dict[str, torch.Tensor], weights: dict[int, str]):
        super().__init__()
        self.weights = weights  # id -> the path of a parameter that a function outside any box may use
        self.operations: list[Operation] = []
        self.known: dict[int, tuple[torch.Tensor, str, str]] = {}  # id -> the tensor, its operation, its name
        self.used: set[str] = set(inputs)
        self.ran: set[str] = set()  # the paths of boxes
        self.inside = False  # a box: its inner operations are not recorded
        for name, tensor in inputs.items():
            self.known[id(tensor)] = tensor, name, name
            self.operations.append(Operation(name, "", "input", name, (), symbolic(tensor.shape), 0))

    def __torch_function__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if self.inside or not all(isinstance(t, torch.Tensor) for t in _each(out)):
            return out  # inside a box, or a query of a tensor's shape or dtype
        name = func.__name__.strip("_")
        if name.startswith("new_") or name.endswith("_like"):
            return out  # it reads only the shape
        if name in SHAPE_ONLY:
            source = next((self.known[id(t)] for t in _tensors(args) if id(t) in self.known), None)
            if source:
                for tensor in _each(out):
                    self.known.setdefault(id(tensor), (tensor, *source[1:]))
            return out
        kind, label = FUNCTIONS.get(name, ("function", name))
        weight = next((self.weights[id(t)] for t in _tensors(args) if id(t) in self.weights), "")
        return self.record(name, weight, kind, label, (), args, out)

    def box(self, path: str, box: Box, forward: Callable, *args: object, **kwargs: object) -> object:
        """Replaces a box's forward while its module is traced."""
        if self.inside:
            return forward(*args, **kwargs)
        self.inside = True
        out: object = box.outline(*args, **kwargs)
        given = (*args, *kwargs.values())
        out = self.record(path.replace(".", "_"), path, box.box, box.label, box.names, given, out, box.scratch)
        self.inside = False
        return out

    def record(
        self, wanted: str, path: str, kind: str, label: str, names: tuple[str, ...], args: tuple, out: object, scratch: int = 0
    ) -> object:
        inputs = []
        for index, tensor in enumerate(_tensors(args)):
            if id(tensor) in self.known:
                _, source, name = self.known[id(tensor)]
                inputs.append(Tensor(source, names[index] if 1 < len(names) > index else name, symbolic(tensor.shape)))
        if not inputs:  # computed from weights and constants only
            return out
        number, name = 0, wanted
        while name in self.used:
            number, name = number + 1, f"{wanted}_{number + 1}"
        self.used.add(name)
        # A tensor that a box returns unchanged now counts as its output.
        given = tuple(t.detach() if id(t) in self.known else t for t in _each(out))
        for tensor in given:
            self.known[id(tensor)] = tensor, name, name
        shape, written = symbolic(given[0].shape), sum(_per_token(t.shape) for t in given) + scratch
        again = path in self.ran
        self.operations.append(Operation(name, path, kind, label, tuple(inputs), shape, written, again))
        if path:
            self.ran.add(path)
        return given if isinstance(out, tuple) else given[0]


def _each(value: object) -> tuple:
    return tuple(value) if isinstance(value, tuple | list) else (value,)


def _tensors(args: tuple) -> Iterator[torch.Tensor]:
    """The tensors among arguments, also those in lists."""
    return (t for arg in args for t in _each(arg) if isinstance(t, torch.Tensor))


@torch.no_grad()
def trace(module: nn.Module, inputs: dict[str, torch.Tensor]) -> Traced:
    """Trace `module`, built only for this, on meta tensors named like the arguments of its forward."""
    inputs = {name: inputs[name] for name in arguments(type(module).forward) if name in inputs}
    parameters = dict(module.named_parameters())
    recorder = _Recorder(inputs, {id(p): path for path, p in parameters.items()})
    boxes = {path: box for path, box in module.named_modules() if isinstance(box, Box)}
    for path, box in boxes.items():
        box.forward = partial(recorder.box, path, box, box.forward)
    with recorder:
        out = module(**inputs)
    for box in boxes.values():
        del box.forward
    _, source, name = recorder.known[id(out)]
    return Traced(
        tuple(recorder.operations),
        Tensor(source, name, symbolic(out.shape)),
        {path: tuple(p.shape) for path, p in parameters.items()},
        {path: tuple(b.shape) for path, b in module.named_buffers()},
        boxes,
    )


@lru_cache(maxsize=4096)
def symbolic(shape: tuple[int, ...]) -> Sizes:
    """(101, 1073741827, 7168) -> ("B", "T", 7168); T / 16 - 1 in place of tokens is "T/16−1"."""

    def size(index: int, n: int) -> int | str:
        if n % (B * T) == 0:
            return "B·T" if n == B * T else f"B·T·{n // (B * T)}"
        if n % T == 0:
            return "T" if n == T else f"T·{n // T}"
        if index == 1 and n > WIDEST:
            per = T // n
            short = T // per - n  # a few blocks that are not complete yet
            return (f"T/{per}" if per > 1 else "T") + (f"−{short}" if short else "") if short < WIDEST else n
        return "B" if index == 0 and n == B else n

    return tuple(size(index, n) for index, n in enumerate(shape))


def _per_token(shape: tuple[int, ...]) -> int:
    """Values of a tensor for one token of one sequence."""
    total = 1
    for n in shape:
        total *= n
    return total // (B * T) if total % B == 0 else 0


def _weight(traced: Traced) -> int:
    """The approximate bytes of a trace, most of them for its modules and operations."""
    return 8_000 + 2_000 * len(traced.operations) + 1_000 * len(traced.parameters)


@cached(LRUCache(64_000_000, getsizeof=_weight), lock=Lock())
def trace_part(part: Part, d_model: int) -> Traced:
    """One part on its own. A part is a value, so equal parts of all models are traced once."""
    with torch.device("meta"):
        module = part.build(d_model)
        inputs = {"x": torch.empty(B, T, *part.of_stream(d_model))} | part.beside(B, T, d_model)
    return trace(module, inputs)


class Stub(Box):
    """Replaces in a trace what is traced separately: a part in its block, or the layers in their frame."""

    box = "part"
    keeps_shape = True
    names: tuple[str, ...] = ()

    def __init__(self, name: str, label: str, names: tuple[str, ...]):
        super().__init__()
        self.name, self.label, self.names = name, label, names

    def forward(self, x: torch.Tensor, *beside: torch.Tensor) -> torch.Tensor:
        return x


def trace_frame(arch: Architecture) -> Traced:
    """The frame around the layers, with all layers as one box."""
    beneath = arch.fed and (arch.part(arch.fed[0]), len(arch.fed[1]))
    sizes = arch.vocab_size, arch.d_model, arch.embedding, arch.tied_embeddings, arch.head
    return _trace("frame", (*sizes, arch.position.added and arch.position, arch.norm, arch.residual, beneath), arch)


def trace_block(arch: Architecture, steps: tuple[Step, ...]) -> Traced:
    """A block with its parts as boxes."""
    return _trace("block", _wiring(arch, steps), arch, steps)


def trace_ahead(arch: Architecture, steps: tuple[Step, ...]) -> Traced:
    """One multi-token-prediction module with its parts as boxes."""
    return _trace("ahead", (*_wiring(arch.ahead, steps), arch.mtp and arch.mtp.norm), arch.ahead, steps)


def _wiring(arch: Architecture, steps: tuple[Step, ...]) -> tuple:
    """What the dataflow between a block's parts depends on."""
    names = {name for step in steps for name in step.parts}
    used = [(name, arch.parts[name]) for name in sorted(names)]
    d = arch.d_model
    given = {name: tuple((read.name, read.shape) for read in part.reads(d) if read.given) for name, part in used}
    return d, arch.norm, arch.residual, *((name, part.kind, getattr(part, "norm", None), given[name]) for name, part in used)


@cached(LRUCache(64_000_000, getsizeof=_weight), key=lambda kind, key, arch, steps=(): (kind, key, steps), lock=Lock())
def _trace(kind: Literal["frame", "block", "ahead"], key: tuple, arch: Architecture, steps: tuple[Step, ...] = ()) -> Traced:
    """`key` is everything that the dataflow depends on: other edits, such as inside a part, keep the cached trace."""
    d = arch.d_model

    def stub(name: str) -> Stub:
        return Stub(name, arch.parts[name].title, ("x", *arch.parts[name].given))

    with torch.device("meta"):
        inputs = {"tokens": torch.empty(B, T, dtype=torch.long), "positions": torch.empty(T, dtype=torch.long)}
        if kind == "frame":
            module: nn.Module = Frame(arch, lambda _: Stub("layers", "Layers", arguments(Layers.forward)))
        else:
            block = Block(arch, steps, stub)
            module = block if kind == "block" else PredictAhead(arch, block)
            streams = () if arch.residual.streams == 1 else (arch.residual.streams,)
            inputs |= {"stream": torch.empty(B, T, *streams, d), "ahead": torch.empty(B, T, d)}
            for name in (name for step in steps for name in step.parts):
                inputs |= arch.parts[name].beside(B, T, d)
    return trace(module, inputs)  # outside the device context, which would slow every operation
