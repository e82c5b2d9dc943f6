"""Drawing in SVG: texts, wires, boxes. Colours are names of the palette; texts from users are escaped here."""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from typing import NamedTuple
from unicodedata import category, east_asian_width

from ..kit.theme import FONT

Point = tuple[float, float]
LINE, NORM_H = 14, 21  # height of a line of a box's name, and of a norm
PIECES = re.compile(r"(?= · | \+ )")
MARKS = ("Mn", "Me", "Cf")  # characters without their own width

# The style of each class of texts and lines: a style sheet in the app, attributes of each element in a file.
TEXT = f"font-family:{FONT};fill:var(--ink)"
CLASSES = {
    "c": "text-anchor:middle", "e": "text-anchor:end",
    "t": "font-size:26px;font-weight:700", "t2": "font-size:20px;font-weight:700",
    "s": "font-size:13px;fill:var(--soft)", "h": "font-size:16px;font-weight:700",
    "b": "font-size:13.5px;font-weight:600", "b2": "font-size:12px;font-weight:600", "b3": "font-size:11px;font-weight:600",
    "f": "font-size:12px;opacity:.88", "f2": "font-size:11px;opacity:.88",
    "l": "font-size:12px;fill:var(--soft)", "n": "font-size:23px;font-weight:700",
    "wire": "fill:none;stroke:var(--line);stroke-width:1.4", "stream": "fill:none;stroke:var(--stream);stroke-width:3",
    "head": "fill:var(--line)", "lent": "fill:none;stroke:var(--cache);stroke-width:1.6;stroke-dasharray:5 3",
    "m": "font-size:18px;font-weight:700", "q": "font-size:12px;font-weight:600", "r": "font-size:11.5px;fill:var(--soft)",
    "g": "font-size:11px;font-weight:600;fill:var(--cache)", "p": "font-size:11px;font-weight:500", "k": "font-size:11px;fill:var(--soft)",
    "lead": "fill:none;stroke:var(--box-line);stroke-width:1", "dot": "fill:var(--box-line)",
    "lender": "fill:var(--cache);stroke:var(--page)",
    "tied": "fill:none;stroke:var(--embedding);stroke-width:1.6;stroke-dasharray:5 4",
    "streams": "fill:none;stroke:var(--stream);stroke-width:8",
    "gap": "fill:none;stroke:var(--box);stroke-width:5", "thin": "fill:none;stroke:var(--stream);stroke-width:1.4",
}  # fmt: skip
STYLE = f"text{{{TEXT}}}" + "".join(f".{name}{{{said}}}" for name, said in CLASSES.items())
STYLE += """
[data-node]{cursor:pointer} [data-node]:hover>rect,[data-node]:hover>circle{filter:brightness(1.06)} [data-node]:focus{outline:none}
[data-node]:focus-visible>rect,.on>rect,.on>circle{stroke:var(--accent)!important;stroke-width:2.6px!important}
[data-zoom]{cursor:zoom-in} [data-open]{opacity:0} [data-open]:focus{outline:none}
[data-zoom]:hover [data-open],[data-open]:focus-visible{opacity:1} @media(pointer:coarse){[data-open]{opacity:.6}}
[data-repeat]{cursor:pointer} [data-repeat]:focus{outline:none}
[data-repeat]:hover text,[data-repeat]:focus-visible text{fill:var(--accent)!important}
[data-layer]:hover>rect{filter:brightness(1.25)} .lit>rect:first-of-type{stroke:var(--accent)!important;stroke-width:2px!important}
"""


@dataclass(frozen=True)
class Look:
    """How a box is drawn: fill, outline and ink, as names of the palette."""

    fill: str
    line: str
    ink: str = "ink"
    round: float = 6


class Tone(NamedTuple):
    """How a part looks in a ribbon and under its tab: a name of the palette, perhaps with a dash on it."""

    colour: str
    dashed: bool = False


KINDS = {
    "norm": Look("box", "box-line"), "rope": Look("box", "ink"), "linear": Look("linear", "linear-line"),
    "scale": Look("box", "box-line", round=14),
    "cache": Look("cache-tint", "cache", "cache-ink", 14), "borrowed": Look("cache-tint", "cache", "cache-ink", 14),
    "indexer": Look("box", "attention"), "state": Look("cache-tint", "cache", "cache-ink", 0),
    "recurrence": Look("recurrence", "recurrence", "recurrence-ink"),
    "convolution": Look("recurrence-tint", "recurrence-line"),
    "attention_core": Look("attention", "attention", "attention-ink"), "router": Look("box", "router"),
    "activation": Look("feed_forward-tint", "feed_forward"), "experts": Look("experts-tint", "experts-line"),
    "embedding": Look("embedding-tint", "embedding"), "head": Look("embedding-tint", "embedding"), "input": Look("box", "box-line"),
    "shared": Look("shared", "experts", "shared-ink"), "mtp": Look("box", "mtp"), "read": Look("box", "box-line"),
}  # fmt: skip
ROLES = {role: Look(role, role, f"{role}-ink", 8) for role in ("attention", "recurrence", "experts", "feed_forward")}
ROLES["embedding"] = Look("embedding-tint", "embedding", round=8)


class Pen:
    """Collects SVG. `selected` is the node whose box is marked."""

    def __init__(self, selected: str = ""):
        self.selected = selected
        self.several = False  # several residual streams, drawn as several lines
        self.out: list[str] = []

    def text(self, x: float, y: float, words: str, cls: str, fill: str = "", more: str = "") -> None:
        style = f' style="fill:var(--{fill})"' if fill else ""
        self.out.append(f'<text x="{x:.1f}" y="{y:.1f}" class="{cls}"{style}{more}>{escape(words)}</text>')

    def wire(self, points: list[Point], head: bool = True, cls: str = "wire") -> None:
        """A line through the points with rounded corners, and an arrow head at its end."""
        points = straightened(points)
        end = points[-1]
        dx, dy = _direction(points[-2], end)
        if head:  # the line ends inside the arrow head
            points = [*points[:-1], (end[0] - 4 * dx, end[1] - 4 * dy)]
        path = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
        for before, here, after in zip(points, points[1:], points[2:]):
            r = min(7, _distance(before, here) / 2, _distance(here, after) / 2)
            enter, leave = _towards(here, before, r), _towards(here, after, r)
            path += f"L{enter[0]:.1f} {enter[1]:.1f}Q{here[0]:.1f} {here[1]:.1f} {leave[0]:.1f} {leave[1]:.1f}"
        for name in ("streams", "gap", "thin") if cls == "stream" and self.several else (cls,):
            self.out.append(f'<path class="{name}" d="{path}L{points[-1][0]:.1f} {points[-1][1]:.1f}"/>')
        if head:
            back, side = (end[0] - 8 * dx, end[1] - 8 * dy), (4.2 * dy, 4.2 * dx)
            self.out.append(
                f'<path class="head" d="M{end[0]:.1f} {end[1]:.1f}L{back[0] + side[0]:.1f} {back[1] + side[1]:.1f}'
                f'L{back[0] - side[0]:.1f} {back[1] - side[1]:.1f}Z"/>'
            )

    def box(
        self, node: str, x: float, y: float, w: float, h: float, look: Look, label: str, facts: str = "", tip: str = "", at: float = 0
    ) -> None:  # fmt: skip
        """A labelled box centred at x, y; a click on it selects the node. `at` is the middle of its words, if it is not that of the box."""
        middle = at or y
        self.out.append(
            f'<g{self.on(node)} data-node="{escape(node)}" tabindex="0" role="button" aria-label="{escape(label)}">'
            f"<title>{escape(tip or label)}</title>"
            f'<rect x="{x - w / 2:.1f}" y="{y - h / 2:.1f}" width="{w:.1f}" height="{h:.1f}" rx="{look.round}" '
            f'style="fill:var(--{look.fill});stroke:var(--{look.line});stroke-width:1.2"/>'
        )
        lines, size = named(label, w)
        cls = {13.5: "b c", 12: "b2 c", 11: "b3 c"}[size]
        most = max(1, int((h - (28 if facts else NORM_H - LINE)) / LINE))  # where a name does not fit on one line
        lines = [*lines[: most - 1], " ".join(lines[most - 1 :])] if len(lines) > most else lines
        middle += 0 if facts or at else LINE * (len(lines) - 1) / 2
        for up, words in enumerate(reversed(lines)):
            self.text(x, middle - LINE * up + (-3.5 if facts else 4.7), fit(words, w - 6, size), cls, look.ink)
        for down, words in enumerate(facts.split("\n") if facts else ()):
            size, cls = (12, "f c") if text_width(words, 12) <= w - 6 else (11, "f2 c")
            self.text(x, middle + 13 + LINE * down, whole(words, w - 6, size), cls, look.ink)
        self.out.append("</g>")

    def facts(self, node: str, words: str) -> str:
        """What stands below the name of a part."""
        return words

    def figures(self, node: str, lines: list) -> list:
        """What stands beside a part."""
        return lines

    def said(self, words: str, nodes: Sequence[str]) -> str:
        """What is said of nodes that are one variant."""
        return words

    def tone(self, node: str, given: Tone) -> Tone:
        """How a part looks in the ribbon and under its tab."""
        return given

    def word(self, node: str, x: float, y: float, words: str, cls: str) -> None:
        """A text; a click on it selects the node."""
        self.out.append(f'<g{self.on(node)} data-node="{escape(node)}" tabindex="0" role="button" aria-label="{escape(words)}">')
        self.text(x, y, words, cls)
        self.out.append("</g>")

    @contextmanager
    def repeats(self, block: str, words: str, area: tuple[float, float, float, float], inner: bool = False) -> Iterator[None]:
        """What is drawn meanwhile, and its area (x, y, width, height), leads to the control for how often the layers of a block repeat,
        in a cycle if it is an `inner` one."""
        inside = ' data-inner="1"' if inner else ""
        shape = 'x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"'.format(*area)
        self.out.append(
            f'<g data-repeat="{escape(block)}"{inside} tabindex="0" role="button" aria-label="{escape(words)}">'
            f'<rect {shape} style="fill:none;pointer-events:all"/>'
        )
        yield
        self.out.append("</g>")

    def circle(self, node: str, x: float, y: float, sign: str = "+") -> None:
        """A sum, or a product."""
        self.out.append(
            f'<g{self.on(node)} data-node="{escape(node)}"><circle cx="{x:.1f}" cy="{y:.1f}" r="10" '
            'style="fill:var(--box);stroke:var(--line);stroke-width:1.4"/>'
        )
        self.text(x, y + 4.7, sign, "b c")
        self.out.append("</g>")

    def pills(self, words: list[str], x: float, y: float, ink: str) -> None:
        """Traits in a row, centred at x, from y downwards."""
        widths = [text_width(word, 11) + 14 for word in words]
        left = x - (sum(widths) + 4 * (len(words) - 1)) / 2
        for word, w in zip(words, widths, strict=True):
            shape = f'x="{left:.1f}" y="{y:.1f}" width="{w:.1f}" height="18" rx="9"'
            self.out.append(f'<rect {shape} style="fill:none;stroke:var(--{ink});stroke-width:.8;opacity:.7;pointer-events:none"/>')
            self.text(left + w / 2, y + 13, word, "p c", ink)
            left += w + 4

    def letter(self, x: float, y: float, letter: str) -> None:
        """A letter in a disc, which joins a box to its inset."""
        self.out.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="10" style="fill:var(--ink);stroke:var(--page);stroke-width:1.5;pointer-events:none"/>'
        )
        self.text(x, y + 4.3, letter, "q c", "page", ' pointer-events="none"')

    def opener(self, x: float, y: float, words: str) -> None:
        """A sign with two arrows, which opens what it stands in; a file has none."""
        sign = f"M{x - 5:.1f} {y - 1:.1f}v6h6M{x + 5:.1f} {y + 1:.1f}v-6h-6M{x - 5:.1f} {y + 5:.1f}l10 -10"
        self.out.append(
            f'<g data-open="" tabindex="0" role="button" aria-label="{escape(words)}"><rect x="{x - 12:.1f}" y="{y - 12:.1f}" width="24" '
            f'height="24" rx="6" style="fill:var(--box)"/><path class="wire" d="{sign}"/></g>'
        )

    def cell(self, x: float, y: float, w: float, h: float, tone: Tone, hollow: bool) -> None:
        """A layer of a ribbon, or a sign for one; hollow if it keeps nothing of its own."""
        inner, fill = 0.7 if hollow else 0, tone.colour
        paint = f"fill:var(--box);stroke:var(--{fill});stroke-width:1.4" if hollow else f"fill:var(--{fill})"
        size = f'width="{max(w - 2 * inner, 0.5):.1f}" height="{max(h - 2 * inner, 0.4):.1f}"'
        self.out.append(f'<rect x="{x + inner:.1f}" y="{y + inner:.1f}" {size} rx="{min(1.5, h / 4):.1f}" style="{paint}"/>')
        if tone.dashed:
            long, thin = (0.5 * w, max(0.24 * h, 0.8)) if w >= h else (max(0.24 * w, 0.8), 0.5 * h)
            self.bar(x + (w - long) / 2, y + (h - thin) / 2, long, thin, fill if hollow else "box")

    def panel(
        self, x: float, y: float, w: float, h: float, fill: str, line: str,
        node: str = "", dashed: bool = False, r: float = 16, of: Sequence[str] = (),
    ) -> None:  # fmt: skip
        dash = ' stroke-dasharray="4 4"' if dashed else ""
        click = f' data-node="{escape(node)}"' if node else ""
        click += f' data-of="{escape(" ".join(of))}"' if of else ""
        self.out.append(
            f'<g{self.on(node)}{click}><rect x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}" rx="{r}" '
            f'style="fill:var(--{fill});stroke:var(--{line});stroke-width:1.2"{dash}/></g>'
        )

    def bar(self, x: float, y: float, w: float, h: float, fill: str, tip: str = "") -> None:
        """A filled rectangle of a chart."""
        inside = f"><title>{escape(tip)}</title></rect>" if tip else "/>"
        self.out.append(f'<rect x="{x:.2f}" y="{y:.2f}" width="{w:.2f}" height="{h:.2f}" style="fill:var(--{fill})"{inside}')

    def on(self, node: str) -> str:
        return ' class="on"' if node and node == self.selected else ""


@lru_cache(maxsize=16_384)  # the same texts are measured at every edit
def text_width(text: str, size: float = 13.5) -> float:
    """The approximate width of a text."""
    narrow, broad = sum(c in "iljt.,:;|'()[] ·f1" for c in text), sum(c in "mwMWABCDGHNOQRU%—→" for c in text)
    square = marks = 0
    if not text.isascii():
        square, marks = sum(east_asian_width(c) in "WF" for c in text), sum(category(c) in MARKS for c in text)
    return size * (0.57 * (len(text) - narrow - broad - square - marks) + 0.33 * narrow + 0.79 * broad + square)


def fit(words: str, width: float, size: float) -> str:
    """The text, shortened with an ellipsis if it does not fit."""
    if text_width(words, size) <= width:
        return words
    most = bisect_right(range(len(words)), width, key=lambda n: text_width(words[:n] + "…", size)) - 1
    return words[: max(most, 0)].rstrip(" ,.…") + "…"


def whole(words: str, width: float, size: float) -> str:
    """As many of a text's pieces as fit, from the first one on, each whole; the first one shortened if even it does not fit."""
    pieces = PIECES.split(words)
    while len(pieces) > 1 and text_width("".join(pieces), size) > width:
        pieces.pop()
    return fit("".join(pieces), width, size)


def wrap(words: str, width: float, size: float) -> list[str]:
    lines, line = [], ""
    for word in words.split():
        if line and text_width(f"{line} {word}", size) > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}".strip()
    return [*lines, line] if line else lines


def named(label: str, width: float) -> tuple[list[str], float]:
    """The lines of a name in a box of this width, and the size of their font."""
    if 1.05 * text_width(label) <= width - 8:  # the letters of a name are bold
        return [label], 13.5
    size = 12 if all(text_width(piece, 12) <= width - 6 for piece in re.split(r"\s|(?<=-)", label)) else 11
    return broken(label, width - 6, size), size


def broken(words: str, width: float, size: float) -> list[str]:
    """Lines of a name; a word that is wider than a line is divided, after a hyphen of its own if there is one."""
    lines = []
    for line in wrap(words, width, size):
        while text_width(line, size) > width and len(line) > 3:
            most = max(sum(text_width(line[:n] + "-", size) <= width for n in range(1, len(line))), 2)
            own = max((n for n in range(2, most + 2) if line[n - 1] == "-" and text_width(line[:n], size) <= width), default=0)
            lines.append(line[:own] if own else line[:most] + "-")
            line = line[own or most :]
        lines.append(line)
    return lines


def packed(words: Sequence[str], width: float, size: float) -> list[str]:
    """Several words on as few lines as possible, with dots between them; what is wider than a line goes on in the next one."""
    lines: list[str] = []
    for word in words:
        if lines and text_width(f"{lines[-1]} · {word}", size) <= width:
            lines[-1] += f" · {word}"
        else:
            lines += broken(word, width, size)
    return lines


def sentences(words: str, width: float, size: float, lines: int) -> list[str]:
    """As many whole sentences as fit in `lines` lines; always at least the first one."""
    whole = words.split(". ")
    for count in range(len(whole), 0, -1):
        text = ". ".join(whole[:count]).rstrip(".") + "."
        wrapped = wrap(text, width, size)
        if len(wrapped) <= lines:
            return wrapped
    return wrap(whole[0] + ".", width, size)


def straightened(points: list[Point]) -> list[Point]:
    """The points without those that lie on a straight line."""
    out = points[:1]
    for here, after in zip(points[1:], points[2:]):
        if not (out[-1][0] == here[0] == after[0] or out[-1][1] == here[1] == after[1]) and here != out[-1]:
            out.append(here)
    return [*out, points[-1]]


def _distance(a: Point, b: Point) -> float:
    return ((a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2) ** 0.5


def _direction(a: Point, b: Point) -> Point:
    length = _distance(a, b) or 1
    return (b[0] - a[0]) / length, (b[1] - a[1]) / length


def _towards(a: Point, b: Point, r: float) -> Point:
    dx, dy = _direction(a, b)
    return a[0] + dx * r, a[1] + dy * r
