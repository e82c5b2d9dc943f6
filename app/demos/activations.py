"""Activations as curves: alone, and as the gate of another projection, with the limits that models put on them."""

from functools import cache

import torch

from core.library import preset, presets
from core.modern import habit
from core.parts.feedforward import GATED, NAMES, PLAIN, Activated

from . import Control, Demo
from ._draw import Axis, Curve, panel, plot, side

ALONE = {NAMES[name]: name for name in ("relu", "relu2", "gelu", "silu")}
LIMITED = {"gpt-oss": ("gpt-oss-20b", "moe"), "DeepSeek-V4": ("deepseek-v4-flash", "moe"), "Step 3.5": ("step-3.5-flash", "moe7")}
GATES = {NAMES[name]: name for name in ("geglu", "swiglu")}
UPS = (-2, 1, 2, 10)
FAR = 1_000.0  # an input that is large for any activation


@cache
def form(name: str) -> Activated:
    """The configuration of this name: an activation alone, as a gate, or of a model."""
    if name in LIMITED:
        model, part = LIMITED[name]
        found = preset(model).part(part)
        assert isinstance(found, Activated)
        return found
    return Activated(activation=(ALONE | GATES)[name])


def curve(of: Activated, x: torch.Tensor, up: float | None = None) -> list[float]:
    """The part's own function: of x alone, or of x as the gate of `up`."""
    return (of.activate(x, None) if up is None else of.activate(torch.full_like(x, up), x)).tolist()


@cache
def users(name: str) -> tuple[str, ...]:
    """The titles of the presets that have this form in some layer."""
    like = form(name)

    def alike(part: object) -> bool:
        same = isinstance(part, Activated) and part.activation.removesuffix("_tanh") == like.activation
        return same and bool(getattr(part, "limit", None)) == bool(like.limit)

    archs = map(preset, presets())
    return tuple(arch.title for arch in archs if any(alike(part) for part in arch.parts.values()))


@cache
def limited() -> tuple[str, ...]:
    """The titles of the presets with a swish as a gate that has a limit in all layers."""
    return tuple(arch.title for arch in map(preset, presets()) if habit("swiglu").holds(arch) and arch.title not in users("SwiGLU"))


def gate_of(name: str) -> str:
    """The function that is shown alone: the plain one, or the one on the gate."""
    activation = form(name).activation
    return NAMES[GATED.get(activation, activation if activation in PLAIN else "silu")]


def draw(function: str, up: int) -> tuple[str, str]:
    of = form(function)
    beside = of if of.gated else Activated(activation=next(gate for gate, plain in GATED.items() if plain == of.activation))
    said = _gated(function, of, up) if of.gated else _alone(function, of)
    used = len(users(function))
    more = f", and {len(limited())} more with a limit" if function == "SwiGLU" else ""
    said += f" {used or 'None'} of {len(presets())} presets {'has' if used == 1 else 'have'} it{more}."
    return said, side(_plain(gate_of(function)), _family(beside, up), least=250)


def _alone(name: str, of: Activated) -> str:
    x = torch.linspace(-8, 8, 3_201)
    y = torch.tensor(curve(of, x))
    at = int(y.argmin())
    low = "It is never negative" if y[at] >= 0 else f"It is lowest at x = {_said(float(x[at]))}, where it is {_said(float(y[at]))}"
    less, more = curve(of, torch.tensor([-1.0, 1.0]))
    return f"{name} makes {_said(less)} of −1 and {_said(more)} of 1. {low}."


def _gated(name: str, of: Activated, up: int) -> str:
    (y,) = curve(of, torch.tensor([3.0]), up)
    ends = [curve(of, torch.tensor([gate]), side)[0] for gate in (-FAR, FAR) for side in (-FAR, FAR)]
    limited = max(map(abs, ends)) < FAR
    bounds = f"it is never below {_said(min(ends))} or above {_said(max(ends))}" if limited else "nothing bounds it"
    what = f"{name}'s {NAMES[of.activation]}" if name in LIMITED else name
    return f"{what} makes {_said(y)} of a gate of 3 and an up projection of {_said(up)}; {bounds}."


def _said(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".").replace("-", "−")


def _plain(chosen: str) -> str:
    x = torch.linspace(-4, 4, 97)
    curves = [
        Curve([*zip(x.tolist(), curve(form(name), x))], name, "accent" if name == chosen else "soft", wide=2.4 if name == chosen else 1.2)
        for name in sorted(ALONE, key=lambda name: name == chosen)
    ]
    ticks = [(n, _said(n)) for n in (-4, -2, 0, 2, 4)]
    y = Axis(-0.6, 4, [(n, f"{n}") for n in range(5)], "f(x)")
    return panel("Alone", plot(curves, Axis(-4, 4, ticks, "x"), y, "Activations", 205, left=22, right=46))


def _family(of: Activated, chosen: int) -> str:
    x = torch.linspace(-6, 14, 161)
    curves = [
        Curve(
            [*zip(x.tolist(), curve(of, x, up))], f"up {_said(up)}", "accent" if up == chosen else "soft", wide=2.4 if up == chosen else 1.2
        )
        for up in sorted(UPS, key=lambda up: up == chosen)
    ]
    ticks = [(n, _said(n)) for n in (-5, 0, 5, 10)]
    y = Axis(-20, 60, [(n, _said(n)) for n in (-20, 0, 20, 40, 60)], "output")
    return panel(f"As a gate: {NAMES[of.activation]}", plot(curves, Axis(-6, 14, ticks, "gate"), y, "Gated", 205, left=30, right=46))


DEMO = Demo(
    "Activations and gates",
    (Control("function", "Function", (*ALONE, *GATES, *LIMITED), "SwiGLU"), Control("up", "Up projection", UPS, 2)),
    draw,
)
