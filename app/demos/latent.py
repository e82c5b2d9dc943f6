"""The latent of multi-head latent attention: what is kept and what is rebuilt, and the two ways to compute with it."""

from functools import cache
from math import ceil, log10, prod
from typing import Any

from core.edits import swapped
from core.library import preset
from core.parts import Part
from core.parts.attention import Attention
from core.parts.latent import LatentAttention
from core.words import figure, number, size, tokens

from . import Control, Demo
from ._draw import WIDTH, Axis, Curve, panel, plot, rect, side, svg, text

MODELS = {preset(name).title: name for name in ("deepseek-v2-lite", "kimi-k2", "deepseek-v3")}
CONTEXTS = {tokens(n): n for n in (1_024, 8_192, 131_072)}
BYTES = 2  # of a value that is kept, in bf16


@cache
def parts(model: str) -> tuple[LatentAttention, Attention]:
    """A model's latent attention, and the grouped attention that the workbench would put in its place."""
    arch = preset(MODELS[model])
    name = next(name for name, part in arch.parts.items() if isinstance(part, LatentAttention))
    grouped = swapped(arch, name, "grouped_query")
    found: Any = arch.part(name), next(grouped.part(other) for other in grouped.parts if isinstance(grouped.parts[other], Attention))
    return found


def kept(part: Part) -> int:
    """The values that a token leaves in a layer."""
    return sum(map(prod, part.cache(1).values()))


def rebuilt(part: LatentAttention) -> int:
    """The values of a token's keys and values of all heads, which would be kept without a latent."""
    return sum(map(prod, part.plain_cache(1).values()))


def decode(model: str, past: int) -> dict[str, int]:
    """FLOPs of a layer's attention for one new token after `past` others, each way."""
    (own, grouped), d_model = parts(model), preset(MODELS[model]).d_model
    return {form: flops.total for form, flops in own.flops_forms(d_model, 1, past).items()} | {
        "grouped": grouped.flops(d_model, 1, past).total
    }


def draw(model: str, context: str) -> tuple[str, str]:
    (own, grouped), past = parts(model), CONTEXTS[context]
    flops = decode(model, past)
    said = (
        f"A layer of {model} keeps {number(kept(own))} values of a token instead of {number(rebuilt(own))}. After {number(past)} tokens, a "
        f"new one takes {figure(flops['expanded'], 'FLOP')} if all keys and values are rebuilt, and {figure(flops['absorbed'], 'FLOP')} on "
        f"the latents themselves, {flops['expanded'] / flops['absorbed']:,.0f} times less."
    )
    return said, side(_bars(own, grouped, past), _curves(model, own, past), least=250)


def _bars(own: LatentAttention, grouped: Attention, past: int) -> str:
    """What a token leaves or would leave in a layer."""
    rows = (
        ("keys and values of all heads", f"{own.heads} heads × ({own.qk_dim} + {own.v_dim}), rebuilt", rebuilt(own), "attention-near"),
        ("grouped keys and values", f"{grouped.kv_heads} pairs × ({grouped.head_dim} + {grouped.v_dim}), kept", kept(grouped), "cache"),
        ("latent and rotary key", f"{own.kv_rank} + {own.rope_dim}, kept", kept(own), "cache"),
    )
    drawn, most = [], max(row[2] for row in rows)
    for n, (title, how, values, colour) in enumerate(rows):
        y = 58 * n
        drawn += [text(0, y + 12, title, "font-weight:600;"), text(WIDTH, y + 12, number(values), "font-weight:600;", "end")]
        drawn += [rect(0, y + 19, WIDTH, 12, "var(--idle)"), rect(0, y + 19, max(2.5, WIDTH * values / most), 12, f"var(--{colour})")]
        drawn.append(text(0, y + 44, how, "fill:var(--soft);"))
    both = (f"<b>{size(BYTES * past * kept(part))}</b> of {word}" for part, word in ((own, "latents"), (grouped, "grouped ones")))
    return panel(
        "Values of one token in one layer", svg(166, drawn, "Values of one token"), f"For {number(past)} tokens in bf16: {', '.join(both)}"
    )


def _curves(model: str, own: LatentAttention, past: int) -> str:
    """FLOPs of a new token over the context."""
    steps = [round(2 ** (n / 4)) for n in range(32, 71)]
    found = [(n, decode(model, n)) for n in steps]
    colours = {"expanded": "attention-near", "absorbed": "accent", "grouped": "cache"}
    curves = [Curve([(n, flops[form]) for n, flops in found], form, colour) for form, colour in colours.items()]
    low, high = (
        edge(min(y for _, y in curve.points) if edge is min else max(y for _, y in curve.points) for curve in curves) for edge in (min, max)
    )
    y = Axis(
        low * 0.7,
        high,
        [(10**n, figure(10**n, "F").replace(".0", "")) for n in range(ceil(log10(low * 0.7)), 16) if 10**n <= high],
        "FLOPs of one layer's attention",
        True,
    )
    x = Axis(steps[0], steps[-1], [(n, tokens(n)) for n in (1 << k for k in (8, 11, 14, 17))], "tokens before it", True)
    drawn = plot(curves, x, y, "FLOPs of a new token", 205, left=48, right=62, marks=[(past, tokens(past))])
    after = own.absorbed_after
    note = f"Absorbed takes less after {number(after)} tokens" if after else "Absorbed takes less after any number of tokens"
    return panel("What a new token takes", drawn, *[note] * (after is not None))


DEMO = Demo(
    "A latent instead of keys and values",
    (Control("model", "Model", tuple(MODELS), "DeepSeek-V3"), Control("context", "Tokens before", tuple(CONTEXTS), "8K")),
    draw,
)
