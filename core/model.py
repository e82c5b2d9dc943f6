"""From an architecture to its PyTorch model: whole on meta or live, and shrunk to run on a laptop."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from .frame import Ahead, Frame
from .parts.base import Cache, Shape, State, scaled
from .parts.position import Learned
from .parts.residual import LayerScale, LevelledAdd, Numbered, Sharing
from .spec import Architecture, Segment, Step, Unsupported

LIVE_D_MODEL = 64
LIVE_VOCABULARY = 512
LIVE_CONTEXT = 512
LIVE_PARAMETERS = 24_000_000  # in all blocks together: under 100 MB in float32
Made = TypeVar("Made", bound=nn.Module)
LIVE_PARTS = 320  # in all blocks together


# How each module of a block came about: the configuration that builds it, or a part's name; more arguments; and which of several results.
Plans = dict[str, tuple[object, tuple[int, ...], int | None]]


class Block(nn.Module):
    """One layer: its steps in order on the residual stream.

    `make` builds a part by its name, so that an analysis can use a stub for a part that is traced separately.
    """

    def __init__(self, arch: Architecture, steps: tuple[Step, ...], make: Callable[[str], nn.Module]):
        super().__init__()
        self.plans: Plans = {}
        self.moves = [_Move(self, arch, step, index, make) for index, step in enumerate(steps)]
        self.layer_scale = LayerScale() if arch.residual.layer_scale else None
        shared: dict[str, nn.Module] = {}
        for module in self.modules():
            if isinstance(module, Sharing):
                module.share(shared)

    def forward(
        self, stream: Tensor, positions: Tensor, per_layer: Tensor | None = None, tokens: Tensor | None = None,
        embedded: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """The residual stream after this layer.

        If there are several, (B, T, streams, d_model).
        """
        # What its parts may read: (T,), this layer's own input (B, T, width), (B, T), the input of the first layer (B, T, d_model).
        beside = {"positions": positions, "per_layer": per_layer, "tokens": tokens, "embedded": embedded}
        aside = None  # the previous step's output for this step only
        late: dict[int, list[tuple[_Move, tuple[Tensor, ...]]]] = {}
        for index, move in enumerate(self.moves):
            stream, delayed, aside = move(stream, beside, aside)
            for steps, given in delayed:
                late.setdefault(index + steps, []).append((move, given))
            for earlier, given in late.pop(index, ()):
                stream = earlier.join(stream, *given)
        return stream if self.layer_scale is None else self.layer_scale(stream)


class _Move:
    """One step of a block. Its modules are the block's children, named after the parts: attention, attention_norm, ..."""

    def __init__(self, block: Block, arch: Architecture, step: Step, index: int, make: Callable[[str], nn.Module]):
        residual = step.residual or arch.residual
        self.step, self.placement = step, residual.norm
        specs = {_fresh(block, part): arch.parts[part] for part in step.parts}

        def child(name: str, module: nn.Module, spec: object, which: int | None = None) -> nn.Module:
            block.add_module(name, module)
            block.plans[name] = spec, (index,) if which is not None else (), which
            return module

        def norm(name: str, suffix: str, eps: float | None = None) -> nn.Module:
            spec = getattr(specs[name], "norm", None) or arch.norm
            spec = spec.model_copy(update={"eps": eps}) if eps else spec
            return child(name + suffix, spec.build(arch.d_model), spec)

        self.parts = [(part, child(name, make(part), part)) for part, name in zip(step.parts, specs, strict=True)]
        self.reads = [spec.given for spec in specs.values()]
        first, owners = next(iter(specs)), list(specs) if step.own_norms else list(specs)[:1]
        self.before = [norm(name, "_norm") for name in owners] if self.placement in ("pre", "sandwich") else []
        after = self.placement in ("post", "output", "sandwich")
        self.after = norm(first, "_post_norm", residual.after_eps) if after else None
        read, write = residual.build(arch.d_model, index)
        self.read = child(f"{first}_read", read, residual, which=0) if read else None
        self.add = None if step.aside else child(f"{first}_add", write, residual, which=1)

    def __call__(
        self, stream: Tensor, beside: Mapping[str, Tensor | None], aside: Tensor | None
    ) -> tuple[Tensor, list[tuple[int, tuple[Tensor, ...]]], Tensor | None]:
        """The stream after this step, the outputs that are added later, and the output that only the next step reads."""
        x, *mix = (stream,) if self.read is None else self.read(stream)  # x: (B, T, d_model)
        x = x if aside is None else x + aside
        inputs = [norm(x) for norm in self.before] or [x]
        inputs = inputs * (len(self.parts) // len(inputs))
        now, delayed = [], []
        for (name, part), reads, h in zip(self.parts, self.reads, inputs, strict=True):
            y = part(h, *(beside[read] for read in reads))
            delayed.append((self.step.shortcut[name], (y, *mix))) if name in self.step.shortcut else now.append(y)
        raw = [y for (name, _), y in zip(self.parts, now) if name in self.step.unnormed]
        now = [y for (name, _), y in zip(self.parts, now) if name not in self.step.unnormed]
        if self.step.aside:
            return stream, delayed, self.given(sum(now[1:], now[0]), raw)
        return self.join(stream, sum(now[1:], now[0]), *mix, raw=raw) if now else stream, delayed, None

    def join(self, stream: Tensor, y: Tensor, *mix: Tensor, raw: Sequence[Tensor] = ()) -> Tensor:
        """The stream plus the parts' outputs, added in the step's own way; `raw` outputs skip the norm."""
        assert self.add is not None  # what goes aside does not join
        stream = self.add(stream, self.given(y, raw), *mix)
        return self.after(stream) if self.after and self.placement == "post" else stream

    def given(self, y: Tensor, raw: Sequence[Tensor] = ()) -> Tensor:
        y = y if self.step.scale == 1 else y * self.step.scale
        return sum(raw, self.after(y) if self.after and self.placement != "post" else y)


def _fresh(block: nn.Module, name: str) -> str:
    """A part that occurs twice in a block is attention, then attention_2."""
    taken = [n for n in dict(block.named_children()) if n == name or n.rsplit("_", 1)[0] == name and n[-1].isdigit()]
    return f"{name}_{len(taken) + 1}" if taken else name


class Layers(nn.ModuleList):
    """All blocks in order, and what some of them read from others. With `once`, for what reads modules and does not run them, layers
    that are alike are one block in several places."""

    def __init__(self, arch: Architecture, once: bool = False):
        super().__init__()
        self.arch = arch
        tied: dict[tuple[str, int], nn.Module] = {}
        uses: Counter[str] = Counter()

        def make(name: str) -> nn.Module:
            part = arch.part(name)
            module = part.build(arch.d_model)
            if part.tied:  # each layer has its own cache, so the parameters are shared, not the module
                _share(module, tied.setdefault((name, uses[name] % part.sets), module), part.each)
                uses[name] += 1
            return module

        links: dict[int, set[tuple[str, str]]] = {}
        for link in arch.links if once else ():
            links.setdefault(link.layer, set()).add((link.part, link.read.name))
            links.setdefault(link.source_layer, set()).add((link.source, link.read.lender))
        made: dict[object, Block] = {}
        for layer, steps in enumerate(arch.sequence):
            key = (steps, frozenset(links.get(layer, ()))) if once else layer
            if key not in made:
                made[key] = Block(arch, steps, make)
            self.append(made[key])
        layers: list[Block] = list(self)  # type: ignore[arg-type]
        adds = [move.add for layer in layers for move in layer.moves if move.add]
        for sums, add in enumerate(adds, start=2):
            if isinstance(add, LevelledAdd):
                add.sums = sums
        for number, block in enumerate(layers):
            for module in block.children():
                if isinstance(module, Numbered):
                    module.layer = number
        self._link()

    def forward(self, stream: Tensor, positions: Tensor, tokens: Tensor, embedded: Tensor, per_layer: Tensor | None = None) -> Tensor:
        """The stream below the first layer (B, T, d_model) or (B, T, streams, d_model), (T,), (B, T), the input of the first
        layer (B, T, d_model) and, if some layers read it, the own input of each of them (B, T, layers, width)
        -> the stream after the last."""
        fed = self.arch.fed[1] if self.arch.fed else ()
        own = {} if per_layer is None else dict(zip(fed, per_layer.unbind(2), strict=True))
        for index, layer in enumerate(self):
            stream = layer(stream, positions, own.get(index), tokens, embedded)
        return stream

    def _link(self) -> None:
        """Connect every module that reads from an earlier layer to the module that lends, and set the layer's number on modules
        that read it."""
        for link in self.arch.links:
            reader: Any = self[link.layer].get_submodule(f"{link.part}.{link.read.name}")
            if not link.read.lender:
                reader.layer = link.layer
                continue
            lender: Any = self[link.source_layer].get_submodule(f"{link.source}.{link.read.lender}")
            reader.source, lender.lending = (lender,), True


class Model(Frame):
    """Tokens to next-token logits."""

    def __init__(self, arch: Architecture, layers: Callable[[Architecture], nn.Module] = Layers):
        super().__init__(arch, layers)

    def forward(self, tokens: Tensor, start: int = 0) -> Tensor:  # type: ignore[override]
        """(B, T) token ids, the first at position `start` -> logits (B, T, vocab_size)."""
        return self.logits(self.stream(tokens, start))

    def stream(self, tokens: Tensor, start: int = 0) -> Tensor:  # type: ignore[override]
        """(B, T) -> the residual stream after the last layer, (B, T, d_model)."""
        return super().stream(tokens, torch.arange(start, start + tokens.shape[1], device=tokens.device))

    @contextmanager
    def caching(self) -> Iterator["Model"]:
        """Turn the caches on inside this context: first a prompt, then token by token."""
        for cache in self.caches():
            cache.clear(on=True)
        try:
            yield self
        finally:
            for cache in self.caches():
                cache.clear(on=False)

    def caches(self) -> Iterator[Cache | State]:
        return (module for module in self.modules() if isinstance(module, Cache | State))

    @property
    def cache_bytes(self) -> int:
        """Measured bytes of all caches and states at this moment."""
        return sum(cache.nbytes for cache in self.caches())

    @torch.inference_mode()
    def generate(self, tokens: Tensor, steps: int, temperature: float = 0.0, seed: int = 0) -> Iterator[Tensor]:
        """Continue (B, T) token ids, yielding the next (B, 1) `steps` times; greedy at temperature 0."""
        generator = torch.Generator().manual_seed(seed)
        with self.caching():
            start, new = 0, tokens
            for _ in range(steps):
                logits = self.logits(self.stream(new, start)[:, -1:])[:, -1]  # (B, vocab_size)
                start += new.shape[1]
                if temperature > 0:
                    odds = (logits.float() / temperature).softmax(-1)
                    new = torch.multinomial(odds.cpu(), 1, generator=generator).to(tokens.device)
                else:
                    new = logits.argmax(-1, keepdim=True)
                yield new


def build(arch: Architecture, device: str | torch.device = "meta", dtype: torch.dtype = torch.float32) -> Model:
    """The whole model: any size on "meta", where tensors have shapes and no memory; random weights elsewhere.

    Multi-token-prediction modules are built separately: `build_mtp`.
    """
    return _made(lambda: Model(arch), device, dtype)


def shapes(arch: Architecture) -> tuple[dict[str, Shape], dict[str, Shape]]:
    """The shapes of the whole model's parameters, a shared one by its first path, and of its buffers. Each distinct block is built
    once, so that the time does not grow with the layers."""

    def make(name: str) -> nn.Module:
        return arch.part(name).build(arch.d_model)

    with torch.device("meta"):
        frame = Frame(arch, lambda _: nn.Identity())
        made = {steps: Block(arch, steps, make) for steps in arch.distinct()}
    parameters, buffers = _shapes(frame.named_parameters()), _shapes(frame.named_buffers())
    inside = {steps: (_shapes(block.named_parameters()), _shapes(block.named_buffers())) for steps, block in made.items()}
    tied = {steps: _tied(arch, block) for steps, block in made.items()}
    uses: Counter[str] = Counter()
    for layer, steps in enumerate(arch.sequence):
        held: set[str] = set()  # weights that an earlier use of their part has
        for name, paths in tied[steps]:
            held |= paths if uses[name] >= arch.parts[name].sets else set()
            uses[name] += 1
        parameters |= {f"layers.{layer}.{path}": shape for path, shape in inside[steps][0].items() if path not in held}
        buffers |= {f"layers.{layer}.{path}": shape for path, shape in inside[steps][1].items()}
    return parameters, buffers


def _shapes(named: Iterable[tuple[str, Tensor]]) -> dict[str, Shape]:
    return {path: tuple(tensor.shape) for path, tensor in named}


def _tied(arch: Architecture, block: Block) -> list[tuple[str, set[str]]]:
    """For each tied part of a block, in order: its name and the paths of the weights that it shares."""
    paths = {id(module): path for path, module in block.named_children()}
    uses = [(name, module) for move in block.moves for name, module in move.parts if arch.parts[name].tied]
    each = ((name, paths[id(module)], module) for name, module in uses)
    return [
        (name, {f"{at}.{path}" for path, _ in module.named_parameters() if not arch.part(name).each(path)}) for name, at, module in each
    ]


def build_once(arch: Architecture) -> Model:
    """The model on meta with one block for all layers that are alike: for what reads its modules and does not run it."""
    return _made(lambda: Model(arch, partial(Layers, once=True)), "meta", torch.float32)


def build_mtp(arch: Architecture, device: str | torch.device = "meta", dtype: torch.dtype = torch.float32) -> Ahead:
    """The multi-token-prediction modules; an empty list if the architecture has none."""

    def make(name: str) -> nn.Module:
        return arch.part(name).build(arch.d_model)

    each = arch.mtp.each if arch.mtp else ()
    modules = _made(lambda: Ahead(arch, (Block(arch.ahead, steps, make) for steps in each)), device, dtype)
    for layer, module in enumerate(modules, start=arch.depth):
        for path in numbered(arch, each[layer - arch.depth]):
            reader: Any = module.get_submodule(f"block.{path}")
            reader.layer = layer
    return modules


def numbered(arch: Architecture, steps: tuple[Step, ...]) -> Iterator[str]:
    """The modules of a block that read its layer's number, by their paths."""
    for name in (name for step in steps for name in step.parts):
        yield from (f"{name}.{read.name}" for read in arch.parts[name].reads(arch.d_model) if not read.given)


def _made(make: Callable[[], Made], device: str | torch.device, dtype: torch.dtype) -> Made:
    with torch.device(device):
        return make().eval().to(dtype)  # the default dtype belongs to the process, and other threads build at the same time


def shrink(arch: Architecture) -> Architecture:
    """The same structure at a size that runs live on a laptop's processor.

    Patterns, head ratios, expert counts, top-k, norms and scalings stay; widths, windows and vocabulary become small.
    Repeats also stay unless the live model would have over 24 million parameters or 320 parts. Raises Unsupported if one
    repeat of each block is still more than that; before that is known, only shapes are built.
    """
    scale = min(1.0, LIVE_D_MODEL / arch.d_model)
    for width in (scale, scale / 2):  # half the widths where many blocks with many experts do not repeat
        small = _scaled(arch, width)
        size, places = _sizes(small)
        while (share := min(LIVE_PARAMETERS / max(1, size), LIVE_PARTS / places)) < 1:
            layers = tuple(_fewer(segment, share) for segment in small.layers)
            if layers == small.layers:  # it cannot be less than one repeat of each
                break
            small = small.model_copy(update={"layers": layers})
            size, places = _sizes(small)
        if places > LIVE_PARTS:
            raise Unsupported(
                f"{arch.title}: {places:,} parts in layers that do not repeat are too many to run live; at most {LIVE_PARTS} can"
            )
        if size <= LIVE_PARAMETERS:
            return Architecture.model_validate(small.model_dump())
    raise Unsupported(f"{arch.title}: too large to run live; even with small widths it has {size:,} parameters")


def _scaled(arch: Architecture, scale: float) -> Architecture:
    position, width, ngrams = arch.position, arch.embedding.width, arch.embedding.ngrams
    if isinstance(position, Learned):
        position = position.model_copy(update={"length": min(position.length, LIVE_CONTEXT)})
    small = arch.model_copy(
        update={
            "vocab_size": min(arch.vocab_size, LIVE_VOCABULARY),
            "d_model": min(arch.d_model, LIVE_D_MODEL),
            "context": min(arch.context, LIVE_CONTEXT),
            "position": position,
            "head": arch.head.model_copy(update={"kept": None}),
            "embedding": arch.embedding.model_copy(
                update={"width": width and scaled(width, scale), "ngrams": ngrams and ngrams.shrink(LIVE_VOCABULARY)}
            ),
            "parts": {name: part.inherit(arch.norm, position, arch.vocab_size).shrink(scale) for name, part in arch.parts.items()},
        }
    )
    return Architecture.model_validate(small.model_dump())


def _sizes(arch: Architecture) -> tuple[int, int]:
    """Parameters of all blocks together, and the number of parts in them."""
    blocks = arch.distinct()
    with torch.device("meta"):
        weight = {name: parameters(arch.part(name).build(arch.d_model)) for name in arch.parts}
    each = {block: [name for step in block for name in step.parts] for block in blocks}
    size = sum(count * sum(weight[name] for name in each[block]) for block, count in blocks.items())
    return size, sum(count * len(each[block]) for block, count in blocks.items())


def _fewer(segment: Segment, share: float) -> Segment:
    return segment.model_copy(update={"repeat": max(1, int(segment.repeat * share))})


def build_part(arch: Architecture, name: str) -> nn.Module:
    """One part of an architecture, on meta."""
    with torch.device("meta"):
        return arch.part(name).build(arch.d_model)


def summary(arch: Architecture, steps: tuple[Step, ...], length: int = 16):
    """torchinfo's table of one block at its full size, on meta: every module's shapes and parameters."""
    import torchinfo

    streams = () if arch.residual.streams == 1 else (arch.residual.streams,)
    with torch.device("meta"):
        block = Block(arch, steps, lambda name: arch.part(name).build(arch.d_model)).eval()
        inputs = {"stream": torch.empty(1, length, *streams, arch.d_model), "positions": torch.arange(length)}
        for name in (name for step in steps for name in step.parts):
            inputs |= arch.parts[name].beside(1, length, arch.d_model)
    columns = ("input_size", "output_size", "num_params")
    return torchinfo.summary(block, input_data=inputs, device="meta", depth=8, col_names=columns, row_settings=("var_names",), verbose=0)


def parameters(module: nn.Module) -> int:
    """Parameters of a module; shared tensors count once."""
    return sum(p.numel() for p in module.parameters())


def _share(module: nn.Module, source: nn.Module, each: Callable[[str], bool]) -> None:
    """Make `module` use the parameters of `source`, except those that each layer has for itself."""
    for path, parameter in source.named_parameters():
        if each(path):
            continue
        parent, _, name = path.rpartition(".")
        setattr(module.get_submodule(parent), name, parameter)
