"""Query heads that share keys and values, and what one token then leaves in a layer's cache."""

import core
from core.edits import with_fields
from core.library import preset
from core.words import number, percent, size

from . import Control, Demo
from ._draw import panel, side, svg, text

MODEL = "gpt2"
QUERIES = preset(MODEL).part("attention").heads  # type: ignore[attr-defined]
GAP, TOP, BELOW = 25, 2, 74  # between heads; of queries, and of keys


def draw(pairs: int) -> tuple[str, str]:
    model = preset(MODEL)
    kept = {some: core.cost(with_fields(model, {"parts.attention.kv_heads": some})).kv_bytes_per_token for some in (QUERIES, pairs)}
    per = QUERIES // pairs
    if per == 1:
        return f"Each of {QUERIES} query heads has a key and a value of its own: {_leaves(kept[pairs])}.", side(_panel(pairs, kept[pairs]))
    told = "All" if pairs == 1 else f"{per} of"
    said = f"{told} {QUERIES} query heads share a key and a value: {_leaves(kept[pairs])}, {percent(kept[pairs] / kept[QUERIES])} of "
    said += f"the {number(kept[QUERIES])} that {QUERIES} keys and values leave."
    return said, side(*(_panel(some, each) for some, each in kept.items()), least=230)


def _leaves(kept: int) -> str:
    return f"a token leaves {number(kept)} bytes in the caches of {preset(MODEL).title}"


def _panel(pairs: int, kept: int) -> str:
    return panel(
        f"{QUERIES} queries, {pairs} {'keys and values' if pairs > 1 else 'key and value'}", _picture(pairs), f"<b>{size(kept)}</b> a token"
    )


def _picture(pairs: int) -> str:
    """Queries above, the pairs below, each in the middle of its queries."""
    lines, boxes, per = [], [], QUERIES // pairs
    for head in range(QUERIES):
        x, pair = (head + 0.5) * GAP, (head // per + 0.5) * per * GAP
        path = f"M{x:g} {TOP + 20}C{x:g} {BELOW - 20} {pair:g} {BELOW - 26} {pair:g} {BELOW}"
        lines.append(f'<path d="{path}" style="fill:none;stroke:var(--attention-line);stroke-width:1.4"/>')
        boxes.append(_box(x, TOP, "q", "attention", "attention", "attention-ink"))
    for pair in range(pairs):
        x = (pair + 0.5) * per * GAP
        boxes += [_box(x, BELOW + 24 * n, word, "cache-tint", "cache", "cache-ink") for n, word in enumerate("kv")]
    return svg(BELOW + 48, [*lines, *boxes], f"{QUERIES} queries, {pairs} keys and values", QUERIES * GAP)


def _box(x: float, y: float, word: str, fill: str, edge: str, ink: str) -> str:
    shape = f'<rect x="{x - 10:g}" y="{y}" width="20" height="20" rx="4" style="fill:var(--{fill});stroke:var(--{edge})"/>'
    return shape + text(x, y + 14, word, f"font-weight:600;fill:var(--{ink});", "middle")


DEMO = Demo("Heads that share keys and values", (Control("pairs", "Keys and values", (12, 6, 4, 3, 2, 1), 4),), draw)
