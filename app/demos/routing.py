"""A router with and without the bias that balances it: who gets the tokens."""

from functools import cache
from typing import NamedTuple

import torch

from core.parts.experts import Experts
from core.parts.norm import RMSNorm
from core.parts.router import Router, RouterModule
from core.routing import settled
from core.words import percent

from . import Control, Demo
from ._draw import WIDTH, Axis, Curve, line, panel, plot, rect, side, svg, text

EXPERTS, CHOSEN, D_MODEL, TOKENS = 8, 2, 16, 512
STEPS = (0, 10, 50, 200)
RATE, SKEW = 2e-3, 0.7  # of the bias in each step; how alike the tokens are


class Run(NamedTuple):
    """The loads (steps + 1, E) of a batch, the bias (E,) after the last step, and the share of choices that it changed."""

    loads: torch.Tensor
    bias: torch.Tensor
    moved: float


RULES = {"a step each": RATE, "quantiles": None}  # and the rate of each


@cache
def run(steps: int, rate: float | None = RATE) -> Run:
    """A small router with fixed weights, a batch of tokens that are alike, and the rule for so many steps."""
    rule = Router(score="sigmoid", normalise=True, selection_bias=True)
    part = Experts(kind="experts", count=EXPERTS, top_k=CHOSEN, d_ff=8, router=rule, norm=RMSNorm())
    router, generator = RouterModule(part, D_MODEL).requires_grad_(False), torch.Generator().manual_seed(4)
    router.weight.normal_(0, D_MODEL**-0.5, generator=generator)
    batch = torch.randn(1, TOKENS, D_MODEL, generator=generator) + SKEW * torch.randn(D_MODEL, generator=generator)
    scores = router.scores(batch)
    before = router.choose(scores)
    loads = torch.stack([*settled(router, scores, steps, rate)])
    after, bias = router.choose(router.biased(scores)), router.selection_bias
    assert bias is not None
    same = (after.unsqueeze(-1) == before.unsqueeze(-2)).any(dim=-1)
    return Run(loads, bias.clone(), 1 - float(same.float().mean()))


def draw(rule: str, steps: int) -> tuple[str, str]:
    found = run(steps, RULES[rule]) if rule in RULES else run(0)
    share = found.loads / found.loads.mean(dim=-1, keepdim=True)  # of an even load
    now, first = share[-1], share[0]
    loads = f"he busiest of {EXPERTS} experts gets {_times(now.max())} its share of {TOKENS} tokens, and the idlest {_times(now.min())}"
    if rule not in RULES:
        said = f"T{loads}: nothing moves, however many steps."
    elif not steps:
        said = f"T{loads}, before the rule has begun."
    else:
        said = f"After {steps} steps of the rule t{loads}; before it {_times(first.max())} and {_times(first.min())}. "
        said += f"The bias changes {percent(found.moved)} of the choices; weights come from the scores without it."
    return said, side(_bars(now, first, found.bias), _curve(steps, rule), least=250)


def _times(load: torch.Tensor) -> str:
    return f"{float(load):.2f} times"


def _bars(now: torch.Tensor, first: torch.Tensor, bias: torch.Tensor) -> str:
    """Each expert's load, that before the rule as an outline, and its bias."""
    high, top, wide = 120, 14, WIDTH - 36
    each = wide / EXPERTS
    most, drawn = max(1.5, float(torch.cat((now, first)).max())), []
    for n, (load, before, moved) in enumerate(zip(now.tolist(), first.tolist(), bias.tolist())):
        x, tall, old = n * each + 4, high * load / most, high * before / most
        drawn.append(rect(x, top + high - tall, each - 8, tall, "var(--experts)"))
        drawn.append(rect(x, top + high - old, each - 8, old, "none", "stroke:var(--line);stroke-dasharray:2 2"))
        drawn.append(
            text(x + each / 2 - 4, top + high + 16, f"{moved:+.2f}".replace("-", "−") if moved else "0", "fill:var(--soft);", "middle")
        )
    even = top + high - high / most
    drawn += [line(0, even, wide, even, "line", "stroke-dasharray:5 3"), text(wide + 5, even + 4, "even", "fill:var(--soft);")]
    picture = svg(top + high + 22, drawn, "Load of each expert")
    return panel("Load of each expert, and its bias", picture, '<span class="soft">Dashed: before the rule</span>')


def _curve(steps: int, rule: str) -> str:
    """The busiest expert over the steps, with the rule and without."""
    last = STEPS[-1]
    loads = {name: run(last, rate).loads for name, rate in RULES.items()}
    busiest = {name: (each.amax(dim=-1) / each.mean(dim=-1)).tolist() for name, each in loads.items()}
    first = busiest["quantiles"][0]
    curves = [Curve([(0, first), (last, first)], "none", "accent" if rule not in RULES else "soft", dashed=True)]
    curves += [Curve([*enumerate(each)], name, "accent" if rule == name else "soft") for name, each in busiest.items()]
    top = max(map(max, busiest.values())) * 1.08
    y = Axis(0.9, top, [(n / 2, f"{n / 2:g} ×") for n in range(2, 10) if n / 2 < top], "busiest expert, in shares")
    x = Axis(0, last, [(n, f"{n}") for n in (0, 50, 100, 150, 200)], "steps")
    return panel("While the rule works", plot(curves, x, y, "Load of the busiest expert", 195, 36, 52, [(steps, "")]))


DEMO = Demo(
    "Balancing a router without a loss",
    (Control("rule", "The rule", (*RULES, "none"), "a step each"), Control("steps", "Steps", STEPS, 50)),
    draw,
)
