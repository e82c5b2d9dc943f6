"""What a fused attention kernel never writes to memory: scores and probabilities, beside what it reads and writes."""

from functools import cache
from math import prod
from typing import Any

from core.cost import ACTIVATION_BYTES
from core.library import preset
from core.parts import Part
from core.roles import MIXERS
from core.trace import trace_part
from core.words import number, percent, size, tokens

from . import Control, Demo
from ._draw import panel, rect, side, svg, text

MODELS = {preset(name).title: name for name in ("llama-3.1-8b", "gpt-oss-120b", "deepseek-v3")}
LENGTHS = {tokens(n): n for n in (1_024, 8_192, 131_072)}
WORDS = {
    "q": "queries",
    "k": "keys",
    "q_nope": "queries",
    "q_rope": "rotary queries",
    "k_nope": "keys",
    "k_rope": "rotary key",
    "v": "values",
}
SIDE = 190  # of the square of one head's scores


@cache
def attention(model: str) -> tuple[str, Any]:
    """The name of a model's attention that sees everything, and the part."""
    arch = preset(MODELS[model])
    return next((name, arch.part(name)) for name in arch.parts if arch.parts[name].role in MIXERS and arch.part(name).reach is None)


def passed(part: Part, d_model: int) -> dict[str, tuple[int, ...]]:
    """The shapes, for each token, of what the core of an attention reads and writes, from its trace."""
    core = next(one for one in trace_part(part, d_model).operations if one.kind == "attention_core")
    shapes = {WORDS[one.name]: one.shape for one in core.inputs if one.name != "positions"} | {"outputs": core.shape}
    return {name: tuple(n for n in shape if isinstance(n, int)) for name, shape in shapes.items()}


def unwritten(part: Any, length: int) -> int:
    """Values of the scores of all heads for a prompt: a whole square each, before the mask. There are as many probabilities."""
    return part.heads * length * length


def draw(model: str, length: str) -> tuple[str, str]:
    (name, part), n, arch = attention(model), LENGTHS[length], preset(MODELS[model])
    shapes, scores = passed(part, arch.d_model), ACTIVATION_BYTES * unwritten(part, n)
    kept = {word: ACTIVATION_BYTES * n * prod(shape) for word, shape in shapes.items()}
    layers, through = sum(name in step.parts for block in arch.sequence for step in block), sum(kept.values())
    said = (
        f"For a prompt of {number(n)} tokens, plain attention in one layer of {model} writes {size(2 * scores)} of scores and "
        f"probabilities, {2 * scores / through:,.0f} times the {size(through)} of its queries, keys, values and outputs. A fused kernel "
        f"writes none of them, in any of {layers} such layers."
    )
    return said, side(_scale(n, _channels(shapes, "queries"), shapes["values"][-1]), _table(part.heads, n, scores, shapes, kept), least=250)


def _channels(shapes: dict[str, tuple[int, ...]], word: str) -> int:
    """The channels of one head, with those that are rotated apart."""
    return sum(shape[-1] for name, shape in shapes.items() if name.endswith(word))


def _scale(length: int, asked: int, given: int) -> str:
    """One head's tensors: a square of tokens by tokens, and strips of tokens by the channels of queries and of values."""
    gap, (strip, other) = 10, (max(1.0, SIDE * channels / length) for channels in (asked, given))
    at, far = strip + gap, strip + 2 * gap + SIDE
    whole = far + other
    lower = f'<path d="M{at:.1f} {at:.1f}L{at + SIDE:.1f} {at + SIDE:.1f}H{at:.1f}z" style="fill:var(--accent-soft)"/>'
    drawn = [rect(at, at, SIDE, SIDE, "none", "stroke:var(--accent);stroke-dasharray:4 3"), lower]
    strips = ((0, at, strip, SIDE), (at, 0, SIDE, strip), (at, far, SIDE, other), (far, at, other, SIDE))
    drawn += [rect(x, y, wide, high, "var(--cache)", round_=1) for x, y, wide, high in strips]
    middle = at + SIDE / 2
    drawn += [
        text(middle, middle - 4 + 17 * n, words, "font-size:12px;", "middle")
        for n, words in enumerate(("scores, then probabilities", "not written"))
    ]
    pad = 46
    drawn += [text(-7, middle, "queries", "", "end"), text(whole + 7, middle, "outputs"), text(middle, -7, "keys", "", "middle")]
    drawn.append(text(middle, whole + 15, "values", "", "middle"))
    inside = f'<g transform="translate({pad} 18)">{"".join(drawn)}</g>'
    note = f"A strip of {given} channels is {percent(given / length)} as wide as the square of {number(length)} tokens"
    return panel("One head, to scale", svg(whole + 38, [inside], "Scores beside queries, keys, values and outputs", whole + 2 * pad), note)


def _table(heads: int, length: int, scores: int, shapes: dict[str, tuple[int, ...]], kept: dict[str, int]) -> str:
    """The bytes of every tensor in one layer."""
    rows = [(word, f"{heads} × {tokens(length)} × {tokens(length)}", scores, True) for word in ("scores", "probabilities")]
    rows += [(word, " × ".join((tokens(length), *map(number, shapes[word]))), held, False) for word, held in kept.items()]
    cells = "".join(
        f"<tr><td>{word}</td><td class='soft'>{shape}</td><td class='n'>{f'<s>{size(held)}</s>' if gone else size(held)}</td></tr>"
        for word, shape, held, gone in rows
    )
    return panel("All heads of one layer, in bf16", f"<table>{cells}</table>", "Crossed out: what a fused kernel does not write")


DEMO = Demo(
    "What a fused kernel never writes",
    (Control("model", "Model", tuple(MODELS), "Llama 3.1 8B"), Control("length", "Tokens", tuple(LENGTHS), "8K")),
    draw,
)
