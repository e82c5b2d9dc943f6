"""What a mixture of experts does with a text: the architecture's own routers are run live, recorded and balanced."""

import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from math import prod
from typing import Literal
from zlib import crc32

import numpy as np
import torch
from torch import Tensor

from .model import LIVE_D_MODEL, Model, build, shrink
from .parts.base import Recurrence
from .parts.experts import Experts
from .parts.router import RouterModule
from .spec import Architecture, Unsupported
from .trace import trace_part
from .words import percent, table

MAX_TOKENS = 256
MAX_RECORDED = 4_000_000  # scores in all layers together: 16 MB
MAX_ATTENDED = 4_000_000  # attention scores of one layer
MAX_ATTENDED_IN_ALL = 32_000_000  # of all layers together
MAX_WRITTEN = 8_000_000  # values that one part may write: 32 MB
MAX_KEPT = 8_000_000  # values of recurrent states
MAX_FLOPS = 20_000_000_000  # for all tokens
MAX_STEPS = 6_000  # tokens of all recurrent layers, which process them one by one
_PIECE = re.compile(r"\w{1,24}|[^\w\s]")
_seeding = threading.Lock()  # the default generator belongs to the process, which visitors share

DEFAULT_TEXT = """\
The river had frozen by the time Ada reached the mill, and nobody could say how long the ice would hold. She counted
the steps: 128 to the wheel, 64 back, 3.14159 metres a turn. "If it breaks," said the miller, "we shall hear it first."

def load(tokens, experts=8):
    counts = [0] * experts
    for t in tokens:
        counts[hash(t) % experts] += 1
    return max(counts) / (sum(counts) / experts)

Am nächsten Morgen schmolz der Schnee, und die Kinder liefen zum Fluss. Le soir, on alluma les lampes; the ledger for
1894 showed 2,750 sacks of rye at 12.40 each, and the sum E = m * c ** 2 scratched in its margin. Nobody knew why.
"""


@dataclass(frozen=True, eq=False)
class LayerRouting:
    """One router over the text. T tokens, E experts, K chosen for each token, best first.

    `scores` (T, E) are the router's scores of each expert (logits if its softmax is over the chosen);
    `chosen` (T, K) are indices, `weights` (T, K) multiply their outputs. The two shares say how many of
    the choices would differ without the group limit, and without the selection bias.
    """

    layer: int
    path: str
    scores: np.ndarray = field(repr=False)
    chosen: np.ndarray = field(repr=False)
    weights: np.ndarray = field(repr=False)
    changed_by_groups: float
    changed_by_bias: float

    @cached_property
    def load(self) -> np.ndarray:
        """Each expert's share of all assignments, (E,); sums to one."""
        return np.bincount(self.chosen.ravel(), minlength=self.scores.shape[1]) / self.chosen.size

    @property
    def entropy(self) -> float:
        """Normalised entropy of the load, between 0 (one expert gets all tokens) and 1 (equal load)."""
        used, experts = self.load[self.load > 0], len(self.load)
        return 1.0 if experts == 1 else float(-(used * np.log(used)).sum() / np.log(experts))

    @property
    def max_violation(self) -> float:
        """MaxVio: the largest load divided by the mean load, minus one (arXiv:2408.15664, section 4.1)."""
        return float(self.load.max() * len(self.load) - 1)

    @property
    def dead(self) -> np.ndarray:
        """The experts that got no token."""
        return np.flatnonzero(self.load == 0)

    def to_dict(self) -> dict:
        arrays = ("scores", "chosen", "weights", "load", "dead")
        plain = ("layer", "path", "entropy", "max_violation", "changed_by_groups", "changed_by_bias")
        return {name: getattr(self, name) for name in plain} | {name: getattr(self, name).tolist() for name in arrays}


@dataclass(frozen=True, eq=False)
class Routing:
    """A text through every router of a live model. `live` is the shrunk architecture that ran, possibly with fewer layers.

    The weights are random, so `trained` is false: structure and balance are those of the architecture, preferences are not.
    """

    architecture: Architecture = field(repr=False)
    live: Architecture = field(repr=False)
    tokens: tuple[str, ...] = field(repr=False)
    layers: tuple[LayerRouting, ...] = field(repr=False)
    trained: bool = False

    @property
    def heatmap(self) -> np.ndarray:
        """Load by layer and expert, (layers, E); NaN where a layer has fewer experts."""
        out = np.full((len(self.layers), max(len(layer.load) for layer in self.layers)), np.nan)
        for row, layer in zip(out, self.layers, strict=True):
            row[: len(layer.load)] = layer.load
        return out

    def mean(self, figure: Literal["entropy", "max_violation"]) -> float:
        """The mean over all routers."""
        return sum(getattr(layer, figure) for layer in self.layers) / len(self.layers)

    @property
    def dead(self) -> int:
        """How many experts, over all layers, got no token."""
        return sum(len(layer.dead) for layer in self.layers)

    @property
    def experts(self) -> int:
        """The number of experts in all layers together."""
        return sum(len(layer.load) for layer in self.layers)

    def __str__(self) -> str:
        """A table with one row per router."""
        names = ("router", "experts>", "busiest>", "unused>", "MaxVio>", "entropy>", "changed by groups>", "by bias>")
        rows = (
            (
                layer.path, f"{len(layer.load)}", f"{layer.load.argmax()}", f"{len(layer.dead)}", f"{layer.max_violation:.2f}",
                f"{layer.entropy:.3f}", percent(layer.changed_by_groups), percent(layer.changed_by_bias),
            )
            for layer in self.layers
        )  # fmt: skip
        weights = "trained" if self.trained else "random"
        said = f"{len(self.tokens)} pieces of text through {len(self.layers)} routers with {weights} weights"
        return f"{said}\n{table(names, rows)}"

    def to_dict(self) -> dict:
        """Plain values for JSON."""
        return {
            "architecture": self.architecture.name,
            "trained": self.trained,
            "live": {"d_model": self.live.d_model, "layers": self.live.depth, "of_layers": self.architecture.depth},
            "tokens": list(self.tokens),
            "layers": [layer.to_dict() for layer in self.layers],
        }


@dataclass(frozen=True, eq=False)
class Balance:
    """The same text before and after the selection biases were adjusted; `curves` is MaxVio by layer and step,
    (layers, steps + 1), for the layers whose routers have a selection bias."""

    before: Routing
    after: Routing
    curves: np.ndarray

    def to_dict(self) -> dict:
        return {"before": self.before.to_dict(), "after": self.after.to_dict(), "curves": self.curves.tolist()}


def route(arch: Architecture, text: str = DEFAULT_TEXT, seed: int = 0) -> Routing:
    """Run the architecture's routers, at a live size with random weights, over the first words of a text.

    Raises Unsupported for an architecture without experts, one that is too large to run live, and a text without words.
    """
    live, model = _live(arch, seed)
    return _record(arch, live, model, _pieces(text, live))


def balance(arch: Architecture, text: str = DEFAULT_TEXT, seed: int = 0, steps: int = 100, rate: float = 1e-3) -> Balance:
    """Balance the routers on a text without an auxiliary loss: b_i += rate * sign(mean load - load_i), `steps` times
    (arXiv:2408.15664, algorithm 1).

    Every layer reads from layers that are balanced already, so one pass is enough. Raises
    Unsupported as `route` does, and if no router has a selection bias.
    """
    live, model = _live(arch, seed)
    if not any(router.selection_bias is not None for _, _, router in _routers(model)):
        raise Unsupported(f"{arch.title}: no router has a selection bias to balance with; set router.selection_bias to true")
    tokens = _pieces(text, live)
    before = _record(arch, live, model, tokens)
    curves: list[list[float]] = []

    def settle(router: RouterModule, args: tuple[Tensor]) -> None:
        if router.selection_bias is not None:
            loads = settled(router, router.scores(args[0]), steps, rate)
            curves.append([float(load.max() / load.mean() - 1) for load in loads])

    hooks = [router.register_forward_pre_hook(settle) for _, _, router in _routers(model)]
    _run(model, tokens)
    for hook in hooks:
        hook.remove()
    return Balance(before, _record(arch, live, model, tokens), np.array(curves))


def settled(router: RouterModule, scores: Tensor, steps: int, rate: float | None = 1e-3) -> Iterator[Tensor]:
    """The rule of `balance` on a router that has a selection bias, for scores (..., E): the load of each expert, (E,), before it and after
    each step. Without a rate the bias is set to what quantiles of the scores say (quantile balancing, Su 2026, "Optimal allocation for
    equilibrium": one step of coordinate descent on the dual of the assignment with equal loads)."""
    bias = router.selection_bias
    assert bias is not None
    flat = scores.flatten(0, -2).float()  # (N, E)
    for step in range(steps + 1):
        chosen = router.choose(router.limited(router.biased(scores)))
        load = torch.bincount(chosen.flatten(), minlength=len(bias)).float()
        yield load
        if step < steps and rate is not None:
            bias += rate * torch.sign(load.mean() - load)
        elif step < steps:
            k = chosen.shape[-1]
            between = (flat + bias).topk(k + 1).values[:, k - 1 :].mean(dim=-1, keepdim=True)  # the last one chosen and the next, (N, 1)
            bias.copy_(-(flat - between).quantile(1 - k / len(bias), dim=0))  # a share of k / E of the tokens is above it


def _live(arch: Architecture, seed: int) -> tuple[Architecture, Model]:
    if not any(arch.parts[name].kind == "experts" for block in arch.distinct() for step in block for name in step.parts):
        raise Unsupported(f"{arch.title}: no layer has experts, so there is nothing to route")
    live = shrink(arch)
    _room(live)
    with _seeding, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return live, build(live, device="cpu")


def _pieces(text: str, live: Architecture) -> tuple[str, ...]:
    """The first words and punctuation marks of a text, as many as a live model may read."""
    pieces = tuple(match.group() for match in islice(_PIECE.finditer(text), _room(live)))
    if not pieces:
        raise Unsupported("the text has no words; give at least one")
    return pieces


def _room(live: Architecture) -> int:
    """How many tokens the routers may process, from closed forms, before anything is built."""
    d, blocks = live.d_model, live.distinct()
    layers = Counter(name for block, count in blocks.items() for step in block for name in step.parts * count)
    parts = {name: live.part(name) for name in layers}
    kept = sum(prod(shape) for part in parts.values() for shape in part.state(d).values())
    recorded = sum(layers[name] * part.choices for name, part in parts.items() if isinstance(part, Experts))
    written = {name: sum(op.activation for op in trace_part(part, d).operations) for name, part in parts.items()}
    flops = sum(count * parts[name].flops(d, 1, MAX_TOKENS).total for name, count in layers.items())
    recurrent = sum(count for name, count in layers.items() if isinstance(parts[name], Recurrence))
    heads = {name: getattr(part, "heads", 1) for name, part in parts.items()}
    most = min(
        MAX_TOKENS, live.context, MAX_RECORDED // max(1, recorded), int((MAX_ATTENDED / max(heads.values())) ** 0.5),
        int((MAX_ATTENDED_IN_ALL / sum(heads[name] * count for name, count in layers.items())) ** 0.5),
        MAX_WRITTEN // max(1, *written.values()), MAX_FLOPS // max(1, flops), MAX_STEPS // max(1, recurrent),
    )  # fmt: skip
    if kept > MAX_KEPT or most < 1:
        raise Unsupported(f"{live.title}: too large to run live, even with small widths")
    return most


@torch.inference_mode()
def _run(model: Model, tokens: tuple[str, ...]) -> None:
    ids = [crc32(piece.encode("utf-8", "replace")) % model.arch.vocab_size for piece in tokens]
    model.stream(torch.tensor([ids]))


def _routers(model: Model) -> Iterator[tuple[int, str, RouterModule]]:
    for path, module in model.layers.named_modules():
        if isinstance(module, RouterModule):
            yield int(path.split(".")[0]), f"layers.{path}", module


def _record(arch: Architecture, live: Architecture, model: Model, tokens: tuple[str, ...]) -> Routing:
    found: list[LayerRouting] = []

    def keep(layer: int, path: str) -> Callable:
        def hook(router: RouterModule, args: tuple[Tensor], output: tuple[Tensor, ...]) -> None:
            weights, chosen, *_ = output  # (1, T, K) twice
            scores = router.scores(args[0])  # (1, T, E)
            if not scores.isfinite().all():
                raise Unsupported(f"{path}: the live model's values overflow; lower the scales of the stream")
            found.append(
                LayerRouting(
                    layer, path, scores[0].numpy(), chosen[0].numpy(), weights[0].numpy(),
                    changed_by_groups=_changed(router, chosen, router.biased(scores)),
                    changed_by_bias=_changed(router, chosen, router.limited(scores)),
                )
            )  # fmt: skip

        return hook

    hooks = [router.register_forward_hook(keep(layer, path)) for layer, path, router in _routers(model)]
    try:
        _run(model, tokens)
    finally:
        for hook in hooks:
            hook.remove()
    return Routing(arch, live, tokens, tuple(found))


def _changed(router: RouterModule, chosen: Tensor, scores: Tensor) -> float:
    """The share of choices that the router would not make with these scores; 0 if a table makes
    them."""
    if router.table is not None:
        return 0.0
    among = torch.zeros_like(scores, dtype=torch.bool).scatter(-1, router.choose(scores), True)
    return 1 - float(among.gather(-1, chosen).float().mean())


def glimpse(part: Experts, seed: int = 0) -> tuple[int, ...]:
    """The experts that the part's own router, with random weights, chooses for one random token; or a random row of a table, if it
    has one."""
    generator = torch.Generator().manual_seed(seed)
    if part.router.hashed:
        return tuple(sorted(torch.randperm(part.count, generator=generator)[: part.top_k].tolist()))
    with torch.device("meta"):
        router = RouterModule(part, LIVE_D_MODEL, part.scored)
    router = router.to_empty(device="cpu")
    for tensor in (*router.parameters(), *router.buffers()):
        tensor.data.normal_(0, 0.02, generator=generator)
    with torch.inference_mode():
        _, chosen, *_ = router(torch.randn(1, 1, LIVE_D_MODEL, generator=generator))
    return tuple(sorted(chosen.flatten().tolist()))
