"""Query heads that share keys and values, and what one token then leaves in a layer's cache."""

from html import escape

import core
from core.edits import with_fields
from core.library import preset
from core.words import number

from . import Control, Demo

QUERIES = 12  # as in GPT-2
GAP, ROW, TOP = 52, 44, 26  # between heads, between rows, above them


def draw(pairs: int) -> tuple[str, str]:
    arch = with_fields(preset("gpt2"), {"parts.attention.kv_heads": pairs})
    each, whole = (core.cost(one).kv_bytes_per_token for one in (arch, preset("gpt2")))
    told = "each has a key and a value of its own" if pairs == QUERIES else f"{QUERIES // pairs} share a key and a value at a time"
    share = "" if pairs == QUERIES else f", {each / whole:.0%} of what {QUERIES} pairs leave".replace("%", " %")
    return f"Of {QUERIES} query heads {told}: a token leaves {number(each)} bytes in the caches of GPT-2{share}.", _picture(pairs)


def _picture(pairs: int) -> str:
    """Queries above, the pairs below, each in the middle of its queries."""
    width, drawn, per = QUERIES * GAP, [], QUERIES // pairs
    for head in range(QUERIES):
        x, pair = (head + 0.5) * GAP, (head // per + 0.5) * per * GAP
        path = f"M{x} {TOP + 24}C{x} {TOP + 48} {pair} {TOP + 40} {pair} {TOP + 66}"
        drawn.append(f'<path d="{path}" style="fill:none;stroke:var(--box-line)"/>')
        drawn.append(_box(x, TOP, "q", "attention"))
    for pair in range(pairs):
        x = (pair + 0.5) * per * GAP
        drawn += [_box(x, TOP + 66, "k", "cache"), _box(x, TOP + 66 + 28, "v", "cache")]
    said = escape(f"{QUERIES} queries and {pairs} keys and values")
    return f'<svg viewBox="0 0 {width} {TOP + 130}" role="img" aria-label="{said}" style="max-width:{width}px">{"".join(drawn)}</svg>'


def _box(x: float, y: float, word: str, role: str) -> str:
    return (
        f'<rect x="{x - 15}" y="{y}" width="30" height="24" rx="6" style="fill:var(--{role}-tint);stroke:var(--{role})"/>'
        f'<text x="{x}" y="{y + 16.5}" text-anchor="middle" style="font:600 12px var(--font);fill:var(--ink)">{word}</text>'
    )


DEMO = Demo("Heads that share keys and values", (Control("pairs", "Keys and values", (12, 6, 4, 3, 2, 1), 12),), draw)
