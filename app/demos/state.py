"""A state that is written and read token by token, by the delta rule and as a plain sum, beside a cache that grows."""

from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

import core
from core.cost import Row
from core.library import preset
from core.parts.delta import delta_rule, unit
from core.parts.lightning import FadingSum, LightningAttention
from core.words import number, percent, size, tokens

from . import Control, Demo
from ._draw import Axis, Curve, panel, plot, rect, side, svg, text

DIM, TRIALS = 16, 64  # channels of a key and of a value; texts over which errors are averaged
LENGTHS = (8, 16, 32, 64)
AGAIN = 8  # keys, if they come again
EXACT = 1e-3  # an error below is that of float32
MODEL = "qwen3-next-80b-a3b"


class Recall(NamedTuple):
    """The state (K, V) of the first text after its last token, that token's key (K,), value (V,) and what the key reads (V,). The error
    (T,) of what the key of each token reads, as a share of the value, over all texts."""

    state: Tensor
    key: Tensor
    value: Tensor
    read: Tensor
    error: Tensor


@cache
def written(keys: str, length: int) -> dict[str, Recall]:
    """Tokens with random keys and values, written one by one and then read: by the delta rule, and as a sum of keys times values."""
    generator = torch.Generator().manual_seed(1)
    k, v = (torch.randn(1, LENGTHS[-1], TRIALS, DIM, generator=generator)[:, :length] for _ in "kv")
    if keys == "again":
        k = k[:, torch.arange(length) % AGAIN]
    k, start = unit(k), torch.zeros(1, TRIALS, DIM, DIM)
    plain = FadingSum(LightningAttention(kind="lightning_attention", heads=TRIALS, head_dim=DIM))
    plain.slopes.zero_()  # nothing fades, neither here
    ones = torch.ones(1, length, TRIALS)
    with torch.inference_mode():
        states = {"delta rule": delta_rule(k, k, v, ones, ones[..., None], start)[1], "plain sum": plain(k, k, v, start)[1]}
    return {name: _recall(state, k, v) for name, state in states.items()}


def _recall(state: Tensor, k: Tensor, v: Tensor) -> Recall:
    """(1, H, K, V), (1, T, H, K), (1, T, H, V). A key that comes again means what was last written for it."""
    read = torch.einsum("bthk,bhkv->bthv", k, state)
    last = [max(later for later in range(t, k.shape[1]) if torch.equal(k[:, later], k[:, t])) for t in range(k.shape[1])]
    meant = v[:, last]
    error = ((read - meant).square().sum(-1).mean((0, 2)) / meant.square().sum(-1).mean((0, 2))).sqrt()
    return Recall(state[0, 0], k[0, -1, 0], v[0, -1, 0], read[0, -1, 0], error)


@cache
def rows() -> tuple[Row, Row]:
    """A model's recurrence and its attention, at one token."""
    found = core.cost(preset(MODEL), core.Workload(context=1)).rows
    return next(row for row in found if row.state_bytes), next(row for row in found if row.kv_bytes)


def kept() -> tuple[int, int]:
    """The bytes of a layer's state, and what a token leaves in a layer's cache."""
    state, cached = rows()
    return state.state_bytes // state.count, cached.kv_bytes // cached.count


def draw(length: int, keys: str) -> tuple[str, str]:
    found, (state, each) = written(keys, length), kept()
    ago = AGAIN // 2
    delta, plain = ([float(found[name].error[-1 - n]) for n in (0, ago)] for name in ("delta rule", "plain sum"))
    exact = "exactly" if delta[0] < EXACT else f"with an error of {percent(delta[0])}"
    said = (
        f"After {length} tokens the delta rule reads the last value {exact}, and the one {ago} tokens before with an error of "
        f"{percent(delta[1])}; a plain sum errs by {percent(plain[0])} and {percent(plain[1])}. In {preset(MODEL).title} a layer's state "
        f"takes {size(state)} at any length; the cache of its attention takes as much after {number(round(state / each))} tokens."
    )
    states = (_state(name, one) for name, one in found.items())
    return said, side(*states, _errors(found), _bytes(state, each), least=250)


def _state(name: str, one: Recall) -> str:
    """A state, the last key beside it, and below it what that key reads and the value that was meant."""
    left, cell = 46, 9
    below = DIM * cell + 8
    long, thin = DIM * cell + 1, cell + 1
    under = ((left, 0, long, long), (left - cell - 8, 0, thin, long), (left, below, long, thin), (left, below + cell + 4, long, thin))
    drawn = [rect(x - 1, y - 1, wide, high, "var(--panel)") for x, y, wide, high in under]
    drawn += [*_cells(one.state, left, 0, cell), *_cells(one.key[:, None] * 4, left - cell - 8, 0, cell)]
    drawn += [*_cells(one.read[None], left, below, cell), *_cells(one.value[None], left, below + cell + 4, cell)]
    drawn += [text(left - cell - 14, 10, "key", "", "end")]
    drawn += [text(left + DIM * cell + 6, below + 8 + n * (cell + 4), word) for n, word in enumerate(("it reads", "its value"))]
    picture = svg(below + 2 * cell + 8, [f'<g transform="translate(0 2)">{"".join(drawn)}</g>'], f"State of the {name}")
    wrong = float(one.error[-1])
    note = f"The last key reads it with an error of <b>{percent(wrong)}</b>, the mean of {TRIALS} texts like this one"
    note = "The last key reads <b>its value</b>" if wrong < EXACT else note
    return panel(f"State of the {name}, {DIM} × {DIM}", picture, note)


def _cells(values: Tensor, x: float, y: float, cell: float) -> list[str]:
    """A matrix as cells: red above zero, blue below, pale near it."""
    paths: dict[tuple[str, int], str] = {}
    for row, numbers in enumerate(values.tolist()):
        for column, value in enumerate(numbers):
            look = "accent" if value > 0 else "attention-near", min(4, round(abs(value) * 2.7))
            paths[look] = paths.get(look, "") + f"M{x + column * cell:g} {y + row * cell:g}h{cell - 1}v{cell - 1}h-{cell - 1}z"
    return [f'<path d="{path}" style="fill:var(--{colour});opacity:{deep / 4:g}"/>' for (colour, deep), path in paths.items() if deep]


def _errors(found: dict[str, Recall]) -> str:
    """What a key reads, over the tokens since it was written."""
    colours = {"delta rule": "accent", "plain sum": "soft"}
    curves = [Curve([*enumerate(one.error.flip(0).tolist())], name, colours[name]) for name, one in found.items()]
    last = len(curves[0].points) - 1
    top = max(1.2, max(value for curve in curves for _, value in curve.points) * 1.1)
    y = Axis(0, top, [(n, f"{n}") for n in range(4) if n < top], "error, in the value's own size")
    x = Axis(0, last, [(0, "last"), (last // 2, f"{last // 2}"), (last, f"{last}")], "tokens since the key was written")
    note = f'<span class="soft">Mean of {TRIALS} texts; nothing decays, and β is 1</span>'
    return panel("What a key reads", plot(curves, x, y, "Error over tokens ago", 185, 22, 62), note)


def _bytes(state: int, each: int) -> str:
    """What a layer keeps over the tokens."""
    steps = [2**n for n in range(4, 19)]
    curves = [
        Curve([(n, n * each) for n in steps], "cache", "cache"),
        Curve([(n, state) for n in (steps[0], steps[-1])], "state", "recurrence"),
    ]
    y = Axis(
        steps[0] * each / 2,
        steps[-1] * each * 1.4,
        [(10**n, size(10**n).replace(".0", "")) for n in range(5, 9)],
        "bytes of one layer",
        True,
    )
    x = Axis(steps[0], steps[-1], [(n, tokens(n)) for n in (16, 256, 4_096, 65_536)], "tokens", True)
    return panel(f"One layer of {preset(MODEL).title}", plot(curves, x, y, "Bytes over tokens", 185, 50, 42, [(state / each, "equal")]))


DEMO = Demo(
    "A state that is written and read", (Control("length", "Tokens", LENGTHS, 32), Control("keys", "Keys", ("new", "again"), "new")), draw
)
