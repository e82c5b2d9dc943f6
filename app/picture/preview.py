"""The preview of a link: name, figures and the upper part of the picture."""

from html import escape

import core
from core.about import about
from core.kept import kept
from core.words import figure, size, tokens

from ..facts import cost, edited, graph
from .column import FRAME, RIBBON, Column
from .pen import Pen, fit, text_width, wrap
from .standalone import png, standalone

WIDTH, HEIGHT, EDGE = 1200, 630, 60
ZOOM = 1.2  # of the column, so that its text is readable in a small preview
LEFT = 38  # for the numbers of layers and the line that ties the embedding
COLUMN = (LEFT + RIBBON + 32 + FRAME) * ZOOM


@kept(16_000_000)
def preview(arch: core.Architecture) -> bytes:
    """PNG of an architecture's preview, 1,200 by 630."""
    return png(standalone(card(arch), boxes=True), WIDTH)


def card(arch: core.Architecture) -> str:
    """SVG of the same: text on the left, the model's column on the right, as far down as there is room."""
    g, pen = graph(arch), Pen()
    left = WIDTH - 2 * EDGE - COLUMN - 56
    when = f"{arch.released:%b %Y}" if arch.released else ""
    who = " · ".join(piece for piece in (arch.organisation, when, edited(arch)) if piece)
    pen.text(EDGE, 88, fit(who, left - 130, 22), "s", more=_size(22))
    for i, role in enumerate(("attention", "feed_forward", "experts")):  # the logo
        mark = f'x="{EDGE + left - 98:.1f}" y="{70.5 + 7 * i}" width="20" height="4.6" rx="1.4"'
        pen.out.append(f'<rect {mark} style="fill:var(--{role})"/>')
    pen.text(EDGE + left, 88, "Strata", "h e", more=_size(22))
    y = _title(pen, arch.title, left)
    for i, (words, value) in enumerate(_figures(arch).items()):
        x, line = EDGE + (i % 2) * left / 2, y + 84 + (i // 2) * 96
        pen.text(x, line, value, "n", more=_size(40))
        pen.text(x, line + 30, words, "s", more=_size(20))
    for i, words in enumerate(wrap(about(arch, "It"), left, 21)):
        pen.text(EDGE, y + 272 + 30 * i, words, "s", more=_size(21))
    drawn = Pen()
    bottom = Column(g, drawn, LEFT).draw(0) * ZOOM  # the lower half is not visible
    top = max((HEIGHT - bottom) / 2, 34)
    pen.out.append(f'<g transform="translate({WIDTH - EDGE - COLUMN:.1f} {top:.1f}) scale({ZOOM})">')
    pen.out += [*drawn.out, "</g>"]
    return (
        f'<svg class="strata" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'aria-label="{escape(arch.title)}">{"".join(pen.out)}</svg>'
    )


def _size(pixels: float) -> str:
    return f' style="font-size:{pixels:g}px"'


def _title(pen: Pen, title: str, width: float) -> float:
    """The name, on one line if it fits, otherwise on two; returns the lower edge of the last line."""
    for pixels, most in ((64, 1), (54, 1), (46, 1), (46, 2), (36, 2)):
        lines = wrap(title, width, pixels)
        if len(lines) <= most and all(text_width(line, pixels) <= width for line in lines):
            break
    y = 104 - 0.15 * pixels
    for line in [*lines[:1], *filter(None, [" ".join(lines[1:])])]:
        y += 1.1 * pixels
        pen.text(EDGE, y, fit(line, width, pixels), "t", more=_size(pixels))
    return y


def _figures(arch: core.Architecture) -> dict[str, str]:
    c = cost(arch)
    kept = {f"of cache {c.per_token}": size(c.kv_bytes_per_token)} if c.kv_bytes_per_token else {"of states": size(c.state_bytes)}
    some = c.active_parameters != c.parameters
    share = {"active": figure(c.active_parameters)} if some else {"of weights": size(c.weight_bytes)}
    longest = {"context": tokens(arch.meant_for)} if arch.meant_for else {"layers": f"{arch.depth:,}"}
    return {"parameters": figure(c.parameters), **share, **kept, **longest}
