"""The pictures of several architectures beside each other, aligned row by row: what differs from the first is marked with a dot and a
note, what is missing is a gap.

Each column is drawn from its graph, from the logits down to the text, as in `column.py`; here a row is as high as its highest box.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from html import escape
from typing import Any

import networkx as nx

import core
from core.blocks import layers_in_words
from core.roles import MIXERS
from core.roles import ROLES as NAMES

from .column import MOST_TABS, Column
from .layered import spread
from .nodes import children, tint_of
from .pen import KINDS, ROLES, STYLE, Look, Pen, packed, text_width
from .ribbon import cells, ribbon
from .tabs import INSIDE, ROW, SMALL, Tab

LETTERS = "ABCD"
GAP, PAD, LANE = 12, 12, 18  # between rows; between a frame and its boxes; for the loop around a step
TAP = 4  # from the lower of two rows to where the loop begins, so that the arrow above it has its head
LABELS, NOTES = 128, 116  # widths in the wide layout: of the names of rows, and of the notes beside a column
MOST_CROWDED = 300  # for a column with its notes: of four, the notes are in the boxes
LEAST = 114  # width of a column in the narrow layout; more than three are wider than a phone
LINE, NORM, SUM = 14, 20, 20  # heights: of a line, of a norm's box, of a sum
PILLS = 22  # of a row of traits
INSET = 6  # between a box and its tabs
MOST_NOTES = 3  # differences told beside a box; two in it
PLAIN = ("all tokens", "otherwise")  # words for a variant that is as if nothing was said


@dataclass(frozen=True)
class Box:
    """A box, or the words above a frame, whose traits are the ratio of its layers and what it is of. `known` is what is compared where
    it is not the name."""

    name: str
    facts: tuple[str, ...] = ()
    traits: tuple[str, ...] = ()
    tabs: tuple[Tab, ...] = ()
    look: Look = KINDS["norm"]
    node: str = ""
    known: str = ""
    noun: str = ""  # the name within a sentence

    @property
    def said(self) -> tuple[str, ...]:
        """What is compared beside the name, piece by piece; what only some variants have is compared too."""
        words = (*self.facts, *self.traits, *(word for tab in self.tabs for word in tab.words))
        pieces = (piece for word in words for piece in re.split(r" · | \+ ", word) if word not in PLAIN)
        return tuple(dict.fromkeys(re.sub(r"(?<=√)[\d,]+", "width", piece) for piece in pieces))


@dataclass(frozen=True)
class Cell:
    """What one architecture has in a row: boxes side by side, a sum, or the words above a frame."""

    kind: str  # head, norm, part, sum, frame, cycle
    boxes: tuple[Box, ...]
    role: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(box.known or box.name for box in self.boxes)

    @property
    def nodes(self) -> tuple[str, ...]:
        return tuple(box.node for box in self.boxes)

    @property
    def said(self) -> tuple[Any, ...]:
        return self.names, *((box.said, tuple(tab.words for tab in box.tabs)) for box in self.boxes)


@dataclass
class Frame:
    """Layers of one form: what stands above it, its steps from the top, each a list of rows, and the part of its tint."""

    header: Cell
    outer: Cell | None  # what is said of the cycle that begins here
    cycle: int  # the first layer of its cycle, if that has several frames; otherwise -1
    steps: list[list[Cell]]
    tint: str
    roles: tuple[str, ...]


@dataclass
class Row:
    """A row of all architectures; `top` and `height` in the picture."""

    cells: tuple[Cell | None, ...]
    label: str = ""
    space: float = GAP  # above it
    top: float = 0
    height: float = 0

    @property
    def bottom(self) -> float:
        return self.top + self.height


@dataclass
class Span:
    """Rows that belong together: a frame of each architecture, or a step of it; None where an architecture has none."""

    items: tuple[Any, ...]
    rows: list[Row] = field(default_factory=list)


# ---- what an architecture has, from the top ----


class Stack:
    """The rows of one architecture, from its graph, with captions for this `room` beside the stream."""

    def __init__(self, graph: nx.DiGraph, room: float):
        self.g, self.column = graph, Column(graph, Pen(), room=room, lines=4)
        data, about = graph.nodes, graph.graph["about"]
        facts = [f"{data['head']['shape_out'][-1]:,} tokens", about["head"], data["mtp"]["label"].lower() if "mtp" in graph else ""]
        self.above = [self.end("head", facts)] + [self.plain(name) for name in ("norm", "merge") if name in graph]
        self.below = [self.plain(name) for name in ("split", "embedding_norm") if name in graph]
        facts = [f"{data['embedding']['shape_out'][-1]:,} wide", about["embedding"], "tied head" * graph.graph["tied"]]
        facts += [data[name]["label"].lower() for name in ("ngrams", "positions", "beneath") if name in graph]
        self.below.append(self.end("embedding", facts))
        self.frames = [frame for cycle in reversed(graph.graph["rhythm"]) for frame in self.of_cycle(cycle)]
        self.stream = {*self.below[0].nodes}  # what gives the residual stream
        for block in (frame["blocks"][0] for cycle in graph.graph["rhythm"] for frame in cycle["frames"]):
            self.stream.update(self.column.rows(block)[-1])
            self.stream.update(source for node in children(graph)[block] for source, of in self.column.sources(node).items() if of)

    def end(self, name: str, facts: Sequence[str]) -> Cell:
        return Cell("head", (Box(self.g.nodes[name]["label"], tuple(filter(None, facts)), look=KINDS[name], node=name),))

    def plain(self, *names: str) -> Cell:
        data = [self.g.nodes[name] for name in names]
        looks = (KINDS.get(one["kind"], KINDS["norm"]) for one in data)
        return Cell("norm", tuple(Box(one["label"], look=look, node=name) for one, look, name in zip(data, looks, names, strict=True)))

    def of_cycle(self, cycle: Mapping) -> Iterator[Frame]:
        """Its frames from the top."""
        frames, count = cycle["frames"], cycle["stop"] - cycle["first"]
        outer = None
        if len(frames) > 1:
            said = self.column.turn(cycle)
            said += f", and {cycle['rest']} more" * bool(cycle["rest"])
            ratio, about = self.column.about(cycle)
            outer = Cell("cycle", (Box(f"{cycle['whole'] or count:,} ×", (said,), tuple(filter(None, (ratio, *about)))),))
        for index, frame in enumerate(reversed(frames)):
            block, layers = frame["blocks"][0], len(frame["layers"])
            where = layers_in_words(frame["layers"]) if layers < len(self.g.graph["layers"]) else "all layers"
            times = frame["times"] if outer and cycle["length"] else layers
            ratio, about = (self.column.ratio(frame) if not outer else None) or ("", [])
            known = f"{layers:,} layer{'s' * (layers > 1)}"
            header = Cell("frame", (Box(f"{times:,} ×", (where,), tuple(filter(None, (ratio, *about))), known=known),))
            steps = self.steps(block, frame)
            roles = tuple(cell.role for step in reversed(steps) for cell in step if cell.kind == "part")
            yield Frame(header, None if index else outer, cycle["first"] if outer else -1, steps, tint_of(self.g, block), roles)

    def steps(self, block: str, frame: Mapping) -> list[list[Cell]]:
        """The rows of a block from the top; a step begins with its sum, and what scales them all is one of its own."""
        found: list[list[Cell]] = []
        for row in reversed(self.column.rows(block)):
            cell = self.cell(row, frame)
            kinds = {other.kind for other in found[-1]} if found else set()
            if not found or cell.kind == "sum" and ("part" in kinds or "sum" not in kinds):
                found.append([])
            found[-1].append(cell)
        return found

    def cell(self, row: Sequence[str], frame: Mapping) -> Cell:
        data = {node: self.g.nodes[node] for node in row}
        roles = [one["role"] for one in data.values() if "role" in one]
        if not roles:
            signs = {"add": "+", "multiply": "×"}
            if all(one["kind"] in signs for one in data.values()):
                return Cell("sum", tuple(Box(signs[one["kind"]], node=node) for node, one in data.items()))
            return self.plain(*row)
        return Cell("part", tuple(map(self.box, row)), next((role for role in roles if role in MIXERS), roles[0]))

    def box(self, node: str) -> Box:
        data = self.g.nodes[node]
        if "role" not in data:
            return Box(data["label"], look=KINDS.get(data["kind"], KINDS["norm"]), node=node)
        words, tabs = self.column.words(node), self.column.tabs(node)
        name, _, sort = words["title"].partition(", ")
        return Box(
            name, (*[sort] * bool(sort), *words["facts"]), tuple(words["traits"]), tabs, ROLES[data["role"]], node, noun=words["noun"]
        )


# ---- which rows belong together ----


def aligned(lists: Sequence[Sequence[Any]], score: Callable[[Any, Any], float]) -> list[tuple[Any, ...]]:
    """Several lists as rows, each with an item of each list or None, so that items of a row are as alike as possible. Items with a
    score of 0 never share a row."""
    rows: list[tuple[Any, ...]] = [(item,) for item in lists[0]]
    for count, others in enumerate(lists[1:], start=1):
        best = [[(0.0, "")] * (len(others) + 1) for _ in range(len(rows) + 1)]
        for i in range(len(rows) + 1):
            for j in range(len(others) + 1):
                tries = [(best[i - 1][j][0], "left")] if i else []
                tries += [(best[i][j - 1][0], "right")] if j else []
                if i and j and (same := max(score(item, others[j - 1]) for item in rows[i - 1] if item is not None)) > 0:
                    tries.append((best[i - 1][j - 1][0] + same, "both"))
                best[i][j] = max(tries, key=lambda one: one[0]) if tries else (0.0, "")
        made: list[tuple[Any, ...]] = []
        i, j = len(rows), len(others)
        while i or j:
            way = best[i][j][1]
            row = rows[i - 1] if way != "right" else (None,) * count
            made.append((*row, others[j - 1] if way != "left" else None))
            i, j = i - (way != "right"), j - (way != "left")
        rows = made[::-1]
    return rows


def _frames_alike(a: Frame, b: Frame) -> float:
    """Frames with the same sorts of parts, best with the same roles."""
    sorts = [tuple(role in MIXERS for role in one.roles) for one in (a, b)]
    shared = sum(role in b.roles for role in a.roles if role not in MIXERS) * 2 + sum(role in b.roles for role in a.roles if role in MIXERS)
    return 1 + 3 * (sorts[0] == sorts[1]) + shared if set(sorts[0]) & set(sorts[1]) else 0.0


def _steps_alike(a: list[Cell], b: list[Cell]) -> float:
    one, other = (next((cell.role for cell in step if cell.kind == "part"), "") for step in (a, b))
    return 2 + (one == other) if (one in MIXERS) == (other in MIXERS) and bool(one) == bool(other) else 0.0


def _cells_alike(a: Cell, b: Cell) -> float:
    return 1 + (a.names == b.names) if a.kind == b.kind else 0.0


# ---- the picture ----


class Alongside:
    """The picture of several stacks; `width` in pixels. The narrow layout has no names of rows. Its notes are in the boxes, as those of
    four are."""

    def __init__(
        self,
        archs: Sequence[core.Architecture],
        graphs: Sequence[nx.DiGraph],
        parameters: Sequence[Mapping[str, int]],
        width: float,
        wide: bool,
    ):
        self.archs, self.graphs, self.parameters, self.wide, self.width = archs, graphs, parameters, wide, width
        self.pen, count = Pen(), len(graphs)
        self.label, self.between = (LABELS, 16) if wide else (0, 5)
        self.pad, self.lane = (PAD, LANE) if wide else (4, 9)
        self.place(graphs, count)
        if not wide:
            cells = (cell for stack in self.stacks for frame in stack.frames for step in frame.steps for cell in step)
            most = max((sum(_needs(cell)) + 6 * (len(cell.boxes) - 1) for cell in cells if len(cell.boxes) > 1), default=0)
            least = count * max(LEAST, most + 28) + self.between * (count - 1)
            if least > width:
                self.width = least
                self.place(graphs, count)
        self.size = 13 if wide else 11
        self.frames: list[tuple[Span, list[Span]]] = []
        self.owners: dict[int, tuple[Span, Span | None]] = {}  # by row: its frame and its step
        for name in ("items", "widths"):  # used when rows are placed and when they are drawn
            setattr(self, name, cache(getattr(self, name)))

    def place(self, graphs: Sequence[nx.DiGraph], count: int) -> None:
        """Widths for the whole width."""
        each = (self.width - self.label - self.between * (count - 1)) / count
        self.notes = min(NOTES, each * 0.3) if self.wide and each > MOST_CROWDED else 0  # otherwise they are in the boxes
        self.panel = min(each - self.notes, 370) if self.wide else each
        self.step = each + self.between
        self.inner = self.panel - 4 * self.pad - self.lane  # of a box
        self.stacks = [Stack(graph, self.inner / 2 + self.lane - 12) for graph in graphs]

    def left(self, index: int) -> float:
        return self.label + index * self.step

    def middle(self, index: int) -> float:
        return self.left(index) + 2 * self.pad + self.inner / 2

    # -- rows --

    def rows(self) -> list[Row]:
        above = aligned([stack.above for stack in self.stacks], _cells_alike)
        made = [Row(cells, ("Output head", "Last norm", "")[min(n, 2)], 10) for n, cells in enumerate(above)]
        for frames in aligned([stack.frames for stack in self.stacks], _frames_alike):
            span, steps = Span(frames), list[Span]()
            if outer := any(frame and frame.outer for frame in frames):
                made.append(Row(tuple(frame and frame.outer for frame in frames), "", GAP + 8))
            span.rows.append(Row(tuple(frame and frame.header for frame in frames), "", 4 if outer else GAP + 4))
            for those in aligned([frame.steps if frame else [] for frame in frames], _steps_alike):
                step = Span(those)
                step.rows += [Row(row, self.named(row)) for row in aligned([one or [] for one in those], _cells_alike)]
                span.rows += step.rows
                steps.append(step)
                self.owners |= {id(row): (span, step) for row in step.rows}
            self.owners[id(span.rows[0])] = span, None
            made += span.rows
            self.frames.append((span, steps))
        below = aligned([stack.below for stack in self.stacks], _cells_alike)
        made += [Row(cells, "Embedding" if n == len(below) - 1 else "", GAP + 14 * (n == 0)) for n, cells in enumerate(below)]
        return made

    def named(self, row: Sequence[Cell | None]) -> str:
        """The name of a row: the roles of its parts."""
        parts = [cell for cell in row if cell and cell.kind == "part"]
        words = " or ".join(dict.fromkeys(NAMES[cell.role] if cell.role != "embedding" else cell.names[0].lower() for cell in parts))
        return words[:1].upper() + words[1:]

    def tall(self, n: int, row: Row) -> float:
        """The height that an architecture's cell needs."""
        cell = row.cells[n]
        if cell is None:
            return 0
        if cell.kind == "sum":
            return SUM
        noted = LINE * len(self.noted(n, row)) + 4 if not self.notes and self.noted(n, row) else 0
        if cell.kind in ("frame", "cycle"):
            return (24 if self.wide else 17) + 13 * (max(map(len, self.header(cell))) - 1) + 6 + noted
        items = (sum(high for _, _, high in self.items(cell, i)) for i in range(len(cell.boxes)))
        return max(items) + (12 if cell.kind != "norm" else 6) + noted

    def widths(self, cell: Cell) -> list[float]:
        """Those of the boxes of a row: as their names and tabs need, if there are several."""
        if cell.kind == "norm" and len(cell.boxes) == 1:
            return [min(self.inner, 132)]
        room = self.inner - 6 * (len(cell.boxes) - 1)
        needs = _needs(cell)
        return [room * need / sum(needs) for need in needs]

    def spots(self, n: int, cell: Cell) -> list[tuple[float, float]]:
        """The middle and the width of each box of a row."""
        widths = self.widths(cell)
        x, found = self.middle(n) - (sum(widths) + 6 * (len(widths) - 1)) / 2, []
        for width in widths:
            found.append((x + width / 2, width))
            x += width + 6
        return found

    def items(self, cell: Cell, i: int) -> list[tuple[str, Any, float]]:
        """What stands in a box, from the top, each with its height: the lines of its name and its facts, its traits, its tabs."""
        box, alone, width = cell.boxes[i], len(cell.boxes) == 1, self.widths(cell)[i]
        room = width - (8 if alone else 4)
        name = _lines(box.name, room, self.size if cell.kind != "norm" and alone else 11)
        pills = self.wide and alone and box.traits
        facts = packed(box.facts if pills else (*box.facts, *box.traits), room, 11)
        found: list[tuple[str, Any, float]] = [("name", line, LINE) for line in name]
        found += [("fact", line, LINE) for line in facts]
        rows: list[list[str]] = []
        for trait in box.traits if pills else ():
            if rows and sum(text_width(word, 11) + 18 for word in (*rows[-1], trait)) <= room:
                rows[-1].append(trait)
            else:
                rows.append([trait])
        found += [("pills", row, PILLS) for row in rows]
        tabs = [("tab", tab, SMALL + ROW * (len(tab.entire(width - 2 * INSET)) - 1) + 2) for tab in box.tabs]
        if len(tabs) <= MOST_TABS:
            return [*found, *tabs]
        more = _lines(f"{len(tabs) - MOST_TABS + 1:,} more, layer by layer, to", room, 11)
        return [*found, *tabs[: MOST_TABS - 2], *(("fact", line, LINE + 2) for line in more), tabs[-1]]

    def header(self, cell: Cell) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        """The lines above a frame at the left and at the right of the stream, each with its class."""
        (box,) = cell.boxes
        ratio, *about = box.traits or ("",)
        room = self.inner / 2 - 6
        large = "h" if self.wide else "q"
        left = [(box.name, large), *((line, "k") for fact in box.facts for line in _lines(fact, room, 11))]
        if not ratio:
            return left, []
        large = large if text_width(ratio, 16) <= room + 8 else "q"
        return left, [*((line, large) for line in ([ratio] if large == "h" else _lines(ratio, room, 12))), *((line, "k") for line in about)]

    # -- what differs --

    def differs(self, n: int, row: Row) -> bool:
        """Whether a cell is marked; what stands in a frame or step that the first one lacks is not, but its parts are."""
        first, cell = row.cells[0], row.cells[n]
        if not n or not cell or cell.kind == "sum":
            return False
        if first and cell.kind in ("frame", "cycle"):
            return bool(_notes(first, cell))
        if first:
            return first.said != cell.said
        span, step = self.owners.get(id(row), (None, None))
        within = span and span.items[0] is None or step and step.items[0] is None and cell.kind != "part" and _is_norm(cell)
        return cell.kind == "frame" or cell.kind != "cycle" and not within

    def noted(self, n: int, row: Row) -> list[tuple[str, str]]:
        """The lines about what differs, each with its class."""
        cell, first = row.cells[n], row.cells[0]
        if not cell or not self.differs(n, row) or cell.kind == "norm" and row.label != "Last norm" and _is_norm(cell):
            return []
        if self.notes:
            room, found = self.notes - 14, list[tuple[str, str]]()
            for strong, soft in _notes(first, cell):
                found += [(line, "q") for line in _lines(strong, room, 12)] + [(line, "r") for line in _lines(soft, room, 11.5) if line]
            return found
        if cell.kind in ("frame", "cycle"):
            room = self.inner / 2 - 8  # beside the stream
        else:
            room = self.widths(cell)[self.about(n, row)] - 14
        notes = _notes(first, cell)
        if first and notes[0][0] in cell.names and len(cell.boxes) > 1:  # it stands in the box that it is about
            notes = [("none in A" if notes[0][1] == "not in A" else notes[0][1], "")]
        told = [f"{strong} {soft}" if soft == "not in A" else soft or strong for strong, soft in notes]
        return [(line, "k") for words in told[: 1 if cell.kind == "norm" else 2] for line in _lines(words, room, 11)]

    def about(self, n: int, row: Row) -> int:
        """Which of the boxes side by side has the note: that which differs, otherwise the widest."""
        cell, first, widths = row.cells[n], row.cells[0], self.widths(row.cells[n])  # type: ignore[arg-type]
        strong = _notes(first, cell)[0][0] if first and cell else ""
        return cell.names.index(strong) if cell and strong in cell.names else widths.index(max(widths))

    # -- drawing --

    def draw(self) -> str:
        """The picture as SVG."""
        body, height = self.body()
        words = f"Architectures beside each other: {', '.join(arch.title for arch in self.archs)}."
        return (
            f'<svg class="strata" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width:.0f} {height:.0f}" '
            f'width="{self.width:.0f}" height="{height:.0f}" role="img" aria-label="{escape(words)}"><style>{STYLE}</style>'
            f"{''.join(body)}</svg>"
        )

    def body(self) -> tuple[list[str], float]:
        """What is drawn, and its height."""
        pen, rows = self.pen, self.rows()
        y = 34.0
        for n, arch in enumerate(self.archs):
            self.badge(n, arch.title)
        y += 8 + (LINE if any(len(_lines(arch.title, self.panel - 32, self.size)) > 1 for arch in self.archs) else 0)
        top = y
        y += 22
        ends = {id(span.rows[-1]) for span, _ in self.frames}
        for row in rows:
            row.top = y + row.space
            row.height = max(self.tall(n, row) for n in range(len(row.cells)))
            y = row.bottom + (GAP if id(row) in ends else 0)
        bottom = y + 40
        for n in range(len(self.stacks)):
            self.column(n, rows, top, bottom)
        self.labels(rows)
        return pen.out, self.ribbons(bottom + 20)

    def badge(self, n: int, title: str) -> None:
        """The letter and the name above a column."""
        x = self.left(n)
        self.pen.out.append(f'<rect x="{x:.1f}" y="8" width="20" height="20" rx="6" style="fill:var(--ink)"/>')
        self.pen.text(x + 10, 22.5, LETTERS[n], "q c", "page")
        for i, line in enumerate(_lines(title, self.panel - 28, self.size)[:2]):
            self.pen.text(x + 27, 22.5 + LINE * i, line, "b" if self.wide else "b3")

    def column(self, n: int, rows: Sequence[Row], top: float, bottom: float) -> None:
        pen, cx = self.pen, self.middle(n)
        pen.several = "split" in self.graphs[n]
        self.rect(self.left(n), top + 14, self.panel, bottom - top - 34, "panel", "panel-line", 12)
        self.cycles(n, rows)
        for span, steps in self.frames:
            self.frame(n, span, steps)
        pen.text(cx, top + 8, "logits", "l c")
        present = [(row, cell) for row, cell in ((row, row.cells[n]) for row in rows) if cell]
        boxes = [(row, cell) for row, cell in present if cell.kind not in ("frame", "cycle")]
        for row in (row for row in rows if row.cells[n] is None and row.cells[0] and row.cells[0].kind == "norm"):
            if id(row) not in self.owners or all(span and span.items[n] is not None for span in self.owners[id(row)]):
                width = self.widths(row.cells[0])[0]  # type: ignore[arg-type]
                self.gap(cx - width / 2, row.top, width, row.height, "")
        pen.wire([(cx, bottom - 8), (cx, boxes[-1][0].bottom)])
        pen.text(cx, bottom + 4, "text", "l c")
        pen.wire([(cx, boxes[0][0].top), (cx, top + 12)])
        loops = [loop for _, steps in self.frames for step in steps if (loop := self.loop(n, step))]
        x = cx + self.inner / 2 + self.lane * 0.62
        for low, y in loops:
            pen.wire([(cx, low), (x, low), (x, y), (cx + 10, y)], cls="stream")
        for (upper, above), (lower, below) in zip(boxes, boxes[1:]):
            start, end = lower.top, upper.bottom
            ins, outs = (self.spots(n, cell) if len(cell.boxes) > 1 and cell.kind != "sum" else [] for cell in (above, below))
            for x, _ in outs:
                pen.wire([(x, start), (x, start - 5), (cx, start - 5)], head=False)
            for x, _ in ins:
                pen.wire([(cx, end + 7), (x, end + 7), (x, end)])
            if self.stacks[n].stream & {*below.nodes}:  # as a thick line up to where the step above reads it
                last = upper in rows[: len(self.stacks[n].above)] or above.nodes[0] in ("merge", "norm")
                low = end if last else next((low for low, _ in loops if end < low < start), start)
                if low < start:
                    pen.wire([(cx, start), (cx, low)], head=False, cls="stream")
                if not last:
                    pen.wire([(cx, low), (cx, end + 7 * bool(ins))], head=not ins)
            else:
                pen.wire([(cx, start - 5 * bool(outs)), (cx, end + 7 * bool(ins))], head=not ins)
        for row, cell in present:
            self.boxes(n, row, cell)
        if self.notes:
            self.margin(n, rows)

    def cycles(self, n: int, rows: Sequence[Row]) -> None:
        """A panel around the frames of each cycle that has several."""
        for row in (row for row in rows if row.cells[n] and row.cells[n].kind == "cycle"):  # type: ignore[union-attr]
            frames = [(span, span.items[n]) for span, _ in self.frames if span.items[n]]
            first = next(frame.cycle for _, frame in frames if frame.outer is row.cells[n])
            low = max(span.rows[-1].bottom for span, frame in frames if frame.cycle == first) + GAP + self.pad / 2
            out = self.pad / 2 - 1
            self.rect(self.left(n) + out + 1, row.top, self.panel - 2 * out - 2, low - row.top, "page", "panel-line", 12)

    def frame(self, n: int, span: Span, steps: Sequence[Span]) -> None:
        """The panel of a frame; a dashed gap where there is none, and for each step that is missing."""
        frame: Frame | None = span.items[n]
        x, top = self.left(n) + self.pad, span.rows[0].top
        width, height = self.panel - 2 * self.pad, span.rows[-1].bottom + GAP - top
        if frame is None:
            there = next(one for one in span.items if one)
            self.gap(x, top, width, height, f"no {_of(there)}")
            return
        self.rect(x, top, width, height, f"{frame.tint}-tint", f"{frame.tint}-line", 10)
        for step in steps:
            if step.items[n] is None and step.rows:
                y = step.rows[0].top
                missing = [box for item in step.items if item for cell in item for box in cell.boxes]
                noun = next((box.noun for box in missing if box.noun), missing[0].name.lower())
                self.gap(self.middle(n) - self.inner / 2, y, self.inner, step.rows[-1].bottom - y, f"no {noun}")

    def gap(self, x: float, y: float, w: float, h: float, words: str) -> None:
        self.pen.out.append(
            f'<rect class="gap-of" x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}" rx="{min(10, h / 3):.1f}" '
            'style="fill:none;stroke:var(--box-line);stroke-width:1.2;stroke-dasharray:5 4"/>'
        )
        room = w / 2 - 8
        fits = self.wide and all(text_width(piece.strip(), 11.5) <= room for piece in _pieces(words))
        lines = _lines(words if fits else "none", room, 11.5) if words else []
        for i, line in enumerate(lines):
            self.pen.text(x + w * 0.74, y + h / 2 + 4 + LINE * (i - (len(lines) - 1) / 2), line, "r c")

    def loop(self, n: int, step: Span) -> tuple[float, float] | None:
        """Where the stream leaves for the way past a step, and where it comes back into its sum."""
        mine = [(row, cell) for row, cell in ((row, row.cells[n]) for row in step.rows) if cell]
        column = self.stacks[n].column
        for at, (row, cell) in enumerate(mine):
            node = next((node for node in cell.nodes if any(column.sources(node).values())), "") if cell.kind == "sum" else ""
            if node and at < len(mine) - 1:
                source = next(one for one, stream in column.sources(node).items() if stream)
                above = [other for other, cell in mine if source in cell.nodes]
                low = above[0].top - TAP if above else mine[-1][0].bottom + GAP - TAP
                return low, row.top + SUM / 2
        return None

    def boxes(self, n: int, row: Row, cell: Cell) -> None:
        """What one architecture has in a row, with a dot where it differs from the first, and a note in it in the narrow layout."""
        pen, cx = self.pen, self.middle(n)
        noted = [] if self.notes else self.noted(n, row)
        if cell.kind in ("frame", "cycle"):
            x, right, first = self.left(n) + 2 * self.pad, cx + self.inner / 2 + self.lane, row.top + (22 if self.wide else 15)
            for at, lines, end in zip((x, right), self.header(cell), ("", " e"), strict=True):
                for i, (line, cls) in enumerate(lines):
                    pen.text(at, first + 2 * (i > 0) + 13 * i, line, cls + end)
            if noted:
                self.note(noted, x, row.top + max(self.tall(n, row) - LINE * len(noted) - 6, 0))
            self.mark(n, row, self.left(n) + self.panel - self.pad - 3, row.top + 3)
            return
        if cell.kind == "sum":
            for i, box in enumerate(cell.boxes):
                x = cx + (i - (len(cell.boxes) - 1) / 2) * 40
                pen.out.append(
                    f'<circle cx="{x:.1f}" cy="{row.top + SUM / 2:.1f}" r="9" style="fill:var(--box);stroke:var(--line);stroke-width:1.3"/>'
                )
                pen.text(x, row.top + SUM / 2 + 4.6, box.name, "b c")
            return
        height = self.tall(n, row) if cell.kind == "norm" else row.height
        top, x, width = row.top + (row.height - height) / 2, cx, 0.0
        for i, ((x, width), box) in enumerate(zip(self.spots(n, cell), cell.boxes, strict=True)):
            self.rect(x - width / 2, top, width, height, box.look.fill, box.look.line, min(box.look.round, 8), box.name)
            items = self.items(cell, i)
            y = top + (height - (LINE * len(noted) + 4 if noted else 0) - sum(high for _, _, high in items)) / 2
            small = not self.wide or cell.kind == "norm" or len(cell.boxes) > 1
            for kind, what, high in items:
                if kind == "tab":
                    what.print(pen, x - width / 2 + INSET, y + 2, width - 2 * INSET)
                elif kind == "pills":
                    pen.pills(what, x, y + 3, box.look.ink)
                else:
                    pen.text(x, y + 11, what, f"{('b3' if small else 'b') if kind == 'name' else 'f2'} c", box.look.ink)
                y += high
        if noted:
            high = LINE * len(noted) + 4
            middle, room = self.spots(n, cell)[self.about(n, row)]
            self.note(noted, middle - room / 2 + 5, top + height - high - 3, room - 10)
        self.mark(n, row, x + width / 2, top)

    def note(self, lines: Sequence[tuple[str, str]], x: float, y: float, width: float = 0) -> None:
        """What differs, in a strip of a box of this width, or above a frame."""
        if width:
            shape = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{LINE * len(lines) + 4:.1f}"'
            self.pen.out.append(f'<rect {shape} rx="4" style="fill:var(--page)"/>')
        for i, (line, cls) in enumerate(lines):
            middle = " c" if width else ""
            self.pen.text(x + width / 2, y + 13 + LINE * i, line, cls + middle, "accent")

    def mark(self, n: int, row: Row, x: float, y: float) -> None:
        if self.differs(n, row):
            dot = f'class="differs-at" cx="{x:.1f}" cy="{y:.1f}" r="4" style="fill:var(--accent);stroke:var(--page);stroke-width:1.4"'
            self.pen.out.append(f"<circle {dot}/>")

    def margin(self, n: int, rows: Sequence[Row]) -> None:
        """The notes at the right of a column, each as near to its row as there is room; what is said of a norm is said once."""
        notes: list[tuple[float, list[tuple[str, str]]]] = []
        for row in rows:
            cell, lines = row.cells[n], self.noted(n, row)
            if lines and not (cell and cell.kind == "norm" and lines in (said for _, said in notes)):
                notes.append(((row.top + row.bottom) / 2, lines))
        tall = [LINE * len(lines) + 10 for _, lines in notes]
        at = self.left(n) + self.panel + 8
        ys = spread([y for y, _ in notes], [(a + b) / 2 for a, b in zip(tall, tall[1:])]) if notes else []
        for y, (_, lines) in zip(ys, notes, strict=True):
            high = LINE * len(lines)
            self.pen.bar(at - 4, y - high / 2, 2, high, "accent")
            for i, (line, cls) in enumerate(lines):
                self.pen.text(at + 4, y - high / 2 + 11 + LINE * i, line, cls, "accent" if cls == "q" else "")

    def rect(self, x: float, y: float, w: float, h: float, fill: str, line: str, r: float, tip: str = "") -> None:
        self.pen.out.append(
            f'<rect class="box-of" x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}" rx="{r}" '
            f'style="fill:var(--{fill});stroke:var(--{line});stroke-width:1.2">{f"<title>{escape(tip)}</title>" if tip else ""}</rect>'
        )

    def labels(self, rows: Sequence[Row]) -> None:
        """The names of the rows, at the left."""
        if not self.wide:
            return
        for row in rows:
            for i, line in enumerate(lines := _lines(row.label, self.label - 14, 12) if row.label else []):
                self.pen.text(0, row.top + row.height / 2 + 4 + LINE * (i - (len(lines) - 1) / 2), line, "r")

    def ribbons(self, y: float) -> float:
        """Every layer, and the parameters by role, each on one scale for all; returns the lower edge."""
        deepest = max(arch.depth for arch in self.archs)
        totals = [sum(found.values()) for found in self.parameters]
        if self.wide:
            self.pen.text(0, y + 14, "Layers", "r")
            self.pen.text(0, y + 44, "Parameters", "r")
        for n, arch in enumerate(self.archs):
            x, room = self.left(n), self.panel - 2
            inner = Pen()
            ribbon(inner, cells(arch), room * arch.depth / deepest, 22)
            self.pen.out += [f'<g transform="translate({x:.1f} {y:.1f})">', *inner.out, "</g>"]
            at = x
            for role, value in sorted(self.parameters[n].items(), key=lambda item: -item[1]):
                wide = room * value / max(totals)
                self.pen.bar(at, y + 32, max(wide - 0.6, 0.4), 14, role, f"{NAMES[role]} {value:,}")
                at += wide
        return y + 60


def _needs(cell: Cell) -> list[float]:
    """The widths that boxes side by side need for the longest piece of their names and of their tabs."""

    def longest(words: str) -> float:
        return max(text_width(piece.strip(), 11) for piece in _pieces(words))

    inside = INSIDE + 2 * INSET + 2
    return [
        max(longest(box.name) + 8, *(longest(word) + inside for tab in box.tabs for word in tab.words or (tab.title,)), 0)
        for box in cell.boxes
    ]


def _is_norm(cell: Cell) -> bool:
    return all(box.look is KINDS["norm"] and "orm" in box.name for box in cell.boxes)


def _notes(first: Cell | None, cell: Cell) -> list[tuple[str, str]]:
    """What a cell has that the first one's does not, and what that has in its place: a few of these pairs."""
    if first is None:
        return [("only here" if cell.kind == "frame" else cell.names[0], "none in A")]
    if cell.kind in ("frame", "cycle"):
        sides = [(box.known, *(box.traits or ("",))[:1], " ".join(box.traits[1:]), *box.facts) for box in (*cell.boxes, *first.boxes)]
        differ = [(one, other) for one, other in zip(*sides, strict=True) if one != other]
        both = [(one, f"not {other}") for one, other in differ if one and other and not other.startswith("no ")]
        if cell.kind == "frame" and len(both) > 1 and both[0][0] == sides[0][0]:
            both = [pair for pair in both if pair[0] not in cell.boxes[0].facts]  # which layers follows from their number
        return both[:MOST_NOTES]
    found = _pairs(cell.names, first.names)
    for mine in cell.boxes:
        for theirs in (box for box in first.boxes if box.name == mine.name):
            found += _pairs(mine.said, theirs.said)
    return found[:MOST_NOTES] or [("other variants" if any(box.tabs for box in cell.boxes) else "another order", "")]


def _pairs(mine: Sequence[str], theirs: Sequence[str]) -> list[tuple[str, str]]:
    """What only one side has, each with what the other side has of the same sort."""
    more, less = [piece for piece in mine if piece not in theirs], [piece for piece in theirs if piece not in mine]
    pairs: dict[str, str] = {}
    for piece in more:
        kin = next((other for other in less if _sort(other) & _sort(piece)), "")
        if kin:
            pairs[piece] = kin
            less.remove(kin)
    alone = [piece for piece in more if piece not in pairs]
    if len(alone) == len(less) == 1:
        pairs[alone[0]] = less.pop()
    return [(piece, f"not {pairs[piece]}" if piece in pairs else "not in A") for piece in more] + [(f"no {piece}", "") for piece in less]


def _sort(words: str) -> set[str]:
    """What a piece is about: its words without numbers, the form of the whole, and what ends the names of activations and positions."""
    return {re.sub(r"[\d,.]+", "#", words), *re.findall(r"(?<=\w)(?:LU|oPE)\b", words)} | {
        word.strip(",") for word in words.split() if not re.match(r"[\d×½¼¾/:.]", word) and word not in ("of", "in")
    }


def _of(frame: Frame) -> str:
    """The layers of a frame in a word or two."""
    plain = [role for role in frame.roles if role != "embedding"]
    role = next((role for role in plain if role not in MIXERS), plain[0] if plain else "")
    return f"layers with {NAMES.get(role, 'these parts')}"


def _lines(words: str, room: float, size: float) -> list[str]:
    """The words on lines of this width, which may end after a hyphen; a piece that is too long is cut."""
    lines = [""]
    for piece in _pieces(words):
        if not lines[-1] or text_width(lines[-1] + piece, size) <= room:
            lines[-1] += piece
        else:
            lines.append(piece.lstrip())
        while text_width(lines[-1], size) > room and len(lines[-1]) > 3:
            most = next(n for n in range(len(lines[-1]) - 1, 0, -1) if n < 3 or text_width(f"{lines[-1][:n]}-", size) <= room)
            lines[-1:] = [f"{lines[-1][:most]}-", lines[-1][most:]]
    return lines


def _pieces(words: str) -> list[str]:
    """Words and halves of words that may stand on a line of their own, each with the space before it."""
    return re.split(r"(?=\s)|(?<=\w\w-)(?=\w\w)", words)


def alongside(
    archs: Sequence[core.Architecture],
    graphs: Sequence[nx.DiGraph],
    parameters: Sequence[Mapping[str, int]],
    width: float = 1216,
    wide: bool = True,
) -> str:
    """SVG of two to four architectures, by their graphs and their parameters by role."""
    return Alongside(archs, graphs, parameters, width, wide).draw()
