"""The pictures of several architectures beside each other, aligned row by row: what differs from the first is marked with a dot and a
note, what is missing is a gap.

Each column is drawn from its graph, from the logits down to the text, as in `column.py`; here a row is as high as its highest box.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

import networkx as nx

import core
from core.blocks import layers_in_words
from core.roles import MIXERS
from core.roles import ROLES as NAMES

from .column import Column
from .nodes import tint_of
from .pen import KINDS, ROLES, STYLE, Look, Pen, text_width
from .ribbon import cells, ribbon

LETTERS = "ABCD"
GAP, PAD, LANE = 12, 12, 18  # between rows; between a frame and its boxes; for the loop around a step
LABELS, NOTES, LEAST_NOTES = 128, 116, 84  # widths in the wide layout: of the names of rows, and of the notes beside a column
LEAST = 114  # width of a column in the narrow layout; more than three are wider than a phone
LINE, NORM, SUM = 14, 20, 20  # heights: of a line, of a norm's box, of a sum
HEADER, OUTER = 44, 36  # of a frame, and of what is said above it of a cycle
MOST_LINES = 6  # of facts in a box; 2 in boxes side by side


@dataclass(frozen=True)
class Cell:
    """What one architecture has in a row: boxes side by side, a sum, or the words above a frame."""

    kind: str  # head, norm, part, sum, frame, box
    names: tuple[str, ...]  # of the boxes
    facts: tuple[tuple[str, ...], ...] = ()
    looks: tuple[Look, ...] = ()
    role: str = ""
    nodes: tuple[str, ...] = ()

    @property
    def said(self) -> tuple[str, ...]:
        return (*self.names, *(fact for some in self.facts for fact in some))


@dataclass
class Frame:
    """Layers of one form: what stands above it, its steps from the top, each a list of rows, and the part of its tint."""

    header: Cell
    outer: tuple[str, ...]  # of the cycle that begins here: how often, how long, and its ratio
    inside: bool  # of a cycle of several frames
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


@dataclass
class Span:
    """Rows that belong together: a frame of each architecture, or a step of it; None where an architecture has none."""

    items: tuple[Any, ...]
    rows: list[Row] = field(default_factory=list)


# ---- what an architecture has, from the top ----


class Stack:
    """The rows of one architecture, from its graph."""

    def __init__(self, graph: nx.DiGraph):
        self.g, self.column = graph, Column(graph, Pen(), 0)
        data = graph.nodes
        ahead = (f"and {data['mtp']['label'].lower()}",) if "mtp" in graph else ()
        self.above = [Cell("head", (data["head"]["label"],), ((f"{data['head']['shape_out'][-1]:,} tokens", *ahead),), (KINDS["head"],))]
        self.above += [self.plain(name) for name in ("norm", "merge") if name in graph]
        self.below = [self.plain(name) for name in ("split", "embedding_norm") if name in graph]
        more = [data[name]["label"].lower() for name in ("ngrams", "positions", "beneath") if name in graph]
        facts = (
            f"{data['embedding']['shape_out'][-1]:,} wide",
            *["tied to the head"] * graph.graph["tied"],
            *(f"and {one}" for one in more),
        )
        self.below.append(Cell("head", (data["embedding"]["label"],), (facts,), (KINDS["embedding"],)))
        self.frames = [frame for cycle in reversed(graph.graph["rhythm"]) for frame in self.of_cycle(cycle)]

    def plain(self, name: str) -> Cell:
        data = self.g.nodes[name]
        return Cell("norm", (data["label"],), ((),), (KINDS.get(data["kind"], KINDS["norm"]),), nodes=(name,))

    def of_cycle(self, cycle: Mapping) -> Iterator[Frame]:
        """Its frames from the top."""
        frames, count = cycle["frames"], cycle["stop"] - cycle["first"]
        outer: tuple[str, ...] = ()
        if len(frames) > 1:
            ratio = " : ".join(str(frame["times"]) for frame in frames[:4])
            outer = (f"{cycle['whole']:,} ×", f"cycle of {cycle['length']}", ratio) if cycle["length"] else (f"{count:,} ×", "no cycle", "")
        for index, frame in enumerate(reversed(frames)):
            block = frame["blocks"][0]
            where = layers_in_words(list(frame["layers"])) if len(frame["layers"]) < len(self.g.graph["layers"]) else "all layers"
            short = f"{frame['layers'][0]:,} to {frame['layers'][-1]:,}" if "to" in where or "…" in where else where.removeprefix("layers ")
            header = Cell("frame", (f"{len(frame['layers']):,} ×",), ((where,), (short,)))
            steps = self.steps(block, frame)
            roles = tuple(cell.role for step in reversed(steps) for cell in step if cell.kind == "part")
            yield Frame(header, outer if not index else (), len(frames) > 1, steps, tint_of(self.g, block), roles)

    def steps(self, block: str, frame: Mapping) -> list[list[Cell]]:
        """The rows of a block from the top; a step begins with its sum."""
        found: list[list[Cell]] = []
        for row in reversed(self.column.rows(block)):
            cell = self.cell(row, frame)
            if not found or cell.kind == "sum" and any(other.kind == "part" for other in found[-1]):
                found.append([])
            found[-1].append(cell)
        return found

    def cell(self, row: Sequence[str], frame: Mapping) -> Cell:
        data = [self.g.nodes[node] for node in row]
        parts = [node for node in row if "role" in self.g.nodes[node]]
        if not parts:
            sums = all(one["kind"] in ("add", "multiply") for one in data)
            signs = tuple("+" if one["kind"] == "add" else "×" if one["kind"] == "multiply" else one["label"] for one in data)
            plain = tuple(KINDS.get(one["kind"], KINDS["norm"]) for one in data)
            return Cell("sum" if sums else "norm", signs, tuple(() for _ in row), plain, nodes=tuple(row))
        names: list[str] = []
        facts: list[tuple[str, ...]] = []
        looks: list[Look] = []
        for node, one in zip(row, data, strict=True):
            if node not in parts:
                names.append(one["label"])
                facts.append(())
                looks.append(KINDS.get(one["kind"], KINDS["norm"]))
                continue
            words = frame["places"][self.column.at(node)]
            names.append(words["title"].partition(",")[0])
            more = [words["title"].partition(", ")[2], *words["facts"], *words["traits"]]
            if len(words["own"]) > 1:
                more += [" · ".join(own[:2]) or "otherwise" for own in words["own"][:3]]
                more += [f"and {len(words['own']) - 3} more"] * (len(words["own"]) > 3)
            facts.append(tuple(filter(None, more)))
            looks.append(ROLES[one["role"]])
        role = next((self.g.nodes[node]["role"] for node in parts if self.g.nodes[node]["role"] in MIXERS), self.g.nodes[parts[0]]["role"])
        return Cell("part", tuple(names), tuple(facts), tuple(looks), role, tuple(row))


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
    """The picture of several stacks; `width` in pixels. The narrow layout has no names of rows and no notes."""

    def __init__(
        self,
        archs: Sequence[core.Architecture],
        graphs: Sequence[nx.DiGraph],
        parameters: Sequence[Mapping[str, int]],
        width: float,
        wide: bool,
    ):
        self.archs, self.graphs, self.parameters, self.wide, self.width = archs, graphs, parameters, wide, width
        self.stacks, self.pen, count = [Stack(graph) for graph in graphs], Pen(), len(graphs)
        self.label = LABELS if wide else 0
        self.between = 16 if wide else 5
        if not wide:
            cells = (cell for stack in self.stacks for frame in stack.frames for step in frame.steps for cell in step)
            most = max((sum(_needs(cell)) + 6 * (len(cell.names) - 1) for cell in cells if len(cell.names) > 1), default=0)
            self.width = width = max(width, count * max(LEAST, most + 28) + self.between * (count - 1))
        each = (width - self.label - self.between * (count - 1)) / count
        self.notes = max(LEAST_NOTES, min(NOTES, each * 0.3)) if wide else 0
        self.panel = min(each - self.notes, 330) if wide else each
        self.step = each + self.between
        self.pad, self.lane = (PAD, LANE) if wide else (4, 9)
        self.inner = self.panel - 4 * self.pad - self.lane  # of a box
        self.size = 13 if wide else 11
        self.spans: list[Span] = []
        self.frames: list[tuple[Span, list[Span]]] = []

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
            outer = any(frame and frame.outer for frame in frames)
            header = Row(tuple(frame and frame.header for frame in frames), "", GAP + 4 + OUTER * outer)
            made.append(header)
            span.rows.append(header)
            for those in aligned([frame.steps if frame else [] for frame in frames], _steps_alike):
                together = Span(those)
                for row in aligned([step or [] for step in those], _cells_alike):
                    one = Row(row, self.named(row))
                    made.append(one)
                    together.rows.append(one)
                    span.rows.append(one)
                steps.append(together)
            self.frames.append((span, steps))
        below = aligned([stack.below for stack in self.stacks], _cells_alike)
        made += [Row(cells, "Embedding" if n == len(below) - 1 else "", GAP + 14 * (n == 0)) for n, cells in enumerate(below)]
        return made

    def named(self, row: Sequence[Cell | None]) -> str:
        """The name of a row: the roles of its parts."""
        parts = [cell for cell in row if cell and cell.kind == "part"]
        words = " or ".join(dict.fromkeys(NAMES[cell.role] if cell.role != "embedding" else cell.names[0].lower() for cell in parts))
        return words[:1].upper() + words[1:]

    def tall(self, cell: Cell | None) -> float:
        """The height that a cell needs."""
        if cell is None:
            return 0
        match cell.kind:
            case "sum":
                return SUM
            case "frame":
                return HEADER if self.wide else 34
        return max(sum(map(len, self.lines(cell, n))) * LINE + (12 if cell.kind != "norm" else 6) for n in range(len(cell.names)))

    def widths(self, cell: Cell) -> list[float]:
        """Those of the boxes of a row: as their names need, if there are several."""
        if cell.kind == "norm" and len(cell.names) == 1:
            return [min(self.inner, 132)]
        room = self.inner - 6 * (len(cell.names) - 1)
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

    def lines(self, cell: Cell, n: int) -> tuple[list[str], list[str]]:
        """The lines of a box: its name, and those of its facts that fit."""
        alone = len(cell.names) == 1
        room = self.widths(cell)[n] - (8 if alone else 4)
        name = _lines(cell.names[n], room, self.size if cell.kind != "norm" and alone else 11)
        facts: list[str] = []
        for fact in cell.facts[n]:
            if len(facts) + len(more := _lines(fact, room, 11)) <= (MOST_LINES if alone else 2):
                facts += more
        return name, facts

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
        ends = {id(span.rows[-1]): span for span, _ in self.frames if span.rows}
        for row in rows:
            row.top = y + row.space
            row.height = max(self.tall(cell) for cell in row.cells)
            y = row.top + row.height + (GAP if id(row) in ends else 0)
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
        pen, x, cx = self.pen, self.left(n), self.middle(n)
        self.rect(x, top + 14, self.panel, bottom - top - 34, "panel", "panel-line", 12)
        for span, steps in self.frames:
            self.frame(n, span, steps)
        present = [row for row in rows if row.cells[n] is not None]
        pen.text(cx, top + 8, "logits", "l c")
        last = present[-1]
        pen.wire([(cx, bottom - 8), (cx, last.top + last.height)])
        pen.text(cx, bottom + 4, "text", "l c")
        pen.wire([(cx, present[0].top), (cx, top + 12)])
        boxes = [(row, cell) for row, cell in ((row, row.cells[n]) for row in present) if cell and cell.kind != "frame"]
        for (upper, above), (lower, below) in zip(boxes, boxes[1:]):
            start, end = lower.top, upper.top + upper.height
            ins, outs = (self.spots(n, cell) if len(cell.names) > 1 and cell.kind != "sum" else [] for cell in (above, below))
            for x, _ in outs:
                pen.wire([(x, start), (x, start - 5), (cx, start - 5)], head=False)
            for x, _ in ins:
                pen.wire([(cx, end + 7), (x, end + 7), (x, end)])
            pen.wire([(cx, start - 5 * bool(outs)), (cx, end + 7 * bool(ins))], head=not ins)
        for _, steps in self.frames:
            for step in steps:
                self.loop(n, step)
        for row in present:
            self.boxes(n, row)

    def frame(self, n: int, span: Span, steps: Sequence[Span]) -> None:
        """The panel of a frame and what is said above it; a dashed gap where there is none, and for each step that is missing."""
        frame: Frame | None = span.items[n]
        x, top, last = self.left(n) + self.pad, span.rows[0].top, span.rows[-1]
        width, height = self.panel - 2 * self.pad, last.top + last.height + GAP - top
        if frame is None:
            there = next(one for one in span.items if one)
            self.gap(x, top, width, height, f"no {_of(there)}")
            return
        if frame.outer:
            times, length, ratio = frame.outer
            pen = self.pen
            pen.text(x + 2, top - 20, times, "h" if self.wide else "q")
            pen.text(x + 2, top - 6, length if self.wide or not ratio else ratio, "k")
            pen.text(x + width - 2, top - 6, ratio if self.wide else "", "q e")
        self.rect(x, top, width, height, f"{frame.tint}-tint", f"{frame.tint}-line", 10)
        for step in steps:
            if step.items[n] is None and step.rows:
                y = step.rows[0].top
                inside = step.rows[-1].top + step.rows[-1].height - y
                name = next((cell.names[0] for item in step.items if item for cell in item if cell.kind == "part"), "such step")
                self.gap(self.middle(n) - self.inner / 2, y, self.inner, inside, f"no {name[0].lower()}{name[1:]}")

    def gap(self, x: float, y: float, w: float, h: float, words: str) -> None:
        self.pen.out.append(
            f'<rect class="gap-of" x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}" rx="10" '
            'style="fill:none;stroke:var(--box-line);stroke-width:1.2;stroke-dasharray:5 4"/>'
        )
        room = w / 2 - 8
        fits = self.wide and all(text_width(piece.strip(), 11.5) <= room for piece in _pieces(words))
        lines = _lines(words if fits else "none", room, 11.5)
        for i, line in enumerate(lines):
            self.pen.text(x + w * 0.74, y + h / 2 + 4 + LINE * (i - (len(lines) - 1) / 2), line, "r c")

    def loop(self, n: int, step: Span) -> None:
        """The stream past a step, into its sum."""
        mine = [(row, row.cells[n]) for row in step.rows if row.cells[n] is not None]
        if not mine or mine[0][1].kind != "sum" or len(mine) < 2:  # type: ignore[union-attr]
            return
        column, graph = self.stacks[n].column, self.graphs[n]
        node = next((node for node in mine[0][1].nodes if any(column.sources(node).values())), "")  # type: ignore[union-attr]
        source = next((one for one, stream in column.sources(node).items() if stream), "") if node else ""
        if not source:
            return
        above = [row for row, cell in mine if source in cell.nodes]  # type: ignore[union-attr]
        low = above[0].top - GAP / 2 if above else mine[-1][0].top + mine[-1][0].height + GAP / 2 - 1
        cx, y = self.middle(n), mine[0][0].top + SUM / 2
        x = cx + self.inner / 2 + self.lane * 0.62
        self.pen.several = "split" in graph and self.wide
        self.pen.wire([(cx, low), (x, low), (x, y), (cx + 10, y)], cls="stream")

    def boxes(self, n: int, row: Row) -> None:
        """What one architecture has in a row, with a dot and a note where it differs from the first."""
        cell, pen, cx = row.cells[n], self.pen, self.middle(n)
        assert cell
        if cell.kind == "frame":
            x, half = self.left(n) + 2 * self.pad, self.inner / 2 - 6
            pen.text(x, row.top + (22 if self.wide else 15), cell.names[0], "h" if self.wide else "q")
            where = cell.facts[0][0]
            if text_width(where, 11) <= half:
                pen.text(x, row.top + (37 if self.wide else 28), where, "k")
            else:  # beside the stream
                room = half + self.lane
                lines = _lines(where, room, 11)
                for i, line in enumerate(lines if len(lines) < 3 else _lines(cell.facts[1][0], room, 11)[:2]):
                    pen.text(cx + 10, row.top + (16 if self.wide else 13) + 12.5 * i, line, "k")
            self.mark(n, row, cell, self.left(n) + self.panel - self.pad - 3, row.top + 3)
            return
        if cell.kind == "sum":
            for i, name in enumerate(cell.names):
                x = cx + (i - (len(cell.names) - 1) / 2) * 40
                pen.out.append(
                    f'<circle cx="{x:.1f}" cy="{row.top + SUM / 2:.1f}" r="9" style="fill:var(--box);stroke:var(--line);stroke-width:1.3"/>'
                )
                pen.text(x, row.top + SUM / 2 + 4.6, name, "b c")
            return
        height = self.tall(cell)
        top = row.top + (row.height - height) / 2 if cell.kind == "norm" else row.top
        height, x, width = height if cell.kind == "norm" else row.height, cx, 0.0
        for i, ((x, width), look) in enumerate(zip(self.spots(n, cell), cell.looks, strict=True)):
            named, facts = self.lines(cell, i)
            self.rect(x - width / 2, top, width, height, look.fill, look.line, min(look.round, 8), cell.names[i])
            y = top + height / 2 - LINE * (len(named) + len(facts)) / 2 + 11
            for j, line in enumerate([*named, *facts]):
                small = not self.wide or cell.kind == "norm" or len(cell.names) > 1
                pen.text(x, y + LINE * j, line, f"{('b3' if small else 'b') if j < len(named) else 'f2'} c", look.ink)
        self.mark(n, row, cell, x + width / 2, top)

    def mark(self, n: int, row: Row, cell: Cell, x: float, y: float) -> None:
        first = row.cells[0]
        if not n or (first and first.said == cell.said) or (not first and cell.kind not in ("part", "frame")):
            return
        if not first and cell.kind == "part" and any(row in span.rows and span.items[0] is None for span, _ in self.frames):
            return  # said at its frame
        self.pen.out.append(
            f'<circle class="differs-at" cx="{x:.1f}" cy="{y:.1f}" r="4" style="fill:var(--accent);stroke:var(--page);stroke-width:1.4"/>'
        )
        if not self.wide or cell.kind == "norm" and row.label != "Last norm":
            return
        at, room = self.left(n) + self.panel + 8, self.notes - 14
        strong, soft = _note(first, cell)
        lines = [(line, "q") for line in _lines(strong, room, 12)[:3]] + [(line, "r") for line in _lines(soft, room, 11.5)[:3]]
        middle = row.top + row.height / 2
        high = LINE * len(lines)
        self.pen.bar(at - 4, middle - high / 2, 2, high, "accent")
        for i, (line, cls) in enumerate(lines):
            self.pen.text(at + 4, middle - high / 2 + 11 + LINE * i, line, cls, "accent" if cls == "q" else "")

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
    """The widths that boxes side by side need for the longest piece of their names."""
    return [max(text_width(piece.strip(), 11) for piece in _pieces(name)) + 8 for name in cell.names]


def _note(first: Cell | None, cell: Cell) -> tuple[str, str]:
    """What a cell has that the first one's does not, and what that has in its place."""
    if first is None:
        return "only here" if cell.kind == "frame" else cell.names[0], "none in A"
    pairs = [(cell.names, first.names)]
    if cell.names == first.names:  # of each box
        pairs = [(_pieces_of(mine), _pieces_of(theirs)) for mine, theirs in zip(cell.facts, first.facts, strict=True)]
    for mine, theirs in pairs:
        more, less = [piece for piece in mine if piece not in theirs], [piece for piece in theirs if piece not in mine]
        if more:
            return more[0], f"not {less[0]}" if less else "not in A"
        if less:
            return f"no {less[0]}", ""
    return "another order", ""


def _pieces_of(facts: Sequence[str]) -> tuple[str, ...]:
    """Facts that stand on one line, one by one."""
    return tuple(piece for words in facts for piece in re.split(r" · | \+ ", words))


def _of(frame: Frame) -> str:
    """The layers of a frame in a word or two."""
    role = next((role for role in frame.roles if role not in MIXERS), frame.roles[0] if frame.roles else "")
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
