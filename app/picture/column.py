"""The model's own column: bottom-up from the text to the logits, each distinct block once, and the residual stream as a
thick line with a loop around every part."""

import re
from functools import cache, lru_cache
from itertools import groupby

import networkx as nx

from core.words import percent

from .pen import KINDS, ROLES, Pen, Point, fit, text_width

WIDTH = 348
PART_W, PART_H, NORM_W, NORM_H = 186, 46, 160, 22
ROW = 16  # between the rows of a block
MOST_ALIKE = 4  # consecutive blocks that differ only in sizes
MOST_BLOCKS = 24  # in one picture; more would be too tall to scroll


class Column:
    """Draws the column of a graph with a pen, its panel's left edge at `x`, with at most `most` blocks.

    `anchors` then says where the topmost box of each part ends on the right: name -> (x, y).
    """

    def __init__(self, graph: nx.DiGraph, pen: Pen, x: float, most: int = MOST_BLOCKS):
        self.g, self.pen, self.x, self.cx = graph, pen, x, x + WIDTH / 2
        self.children, self.most = children(graph), most
        self.anchors: dict[str, tuple[float, float]] = {}
        self.edges: dict[str, tuple[float, float]] = {}  # the right edge of each part's box
        # Used many times while a block is drawn.
        for name in ("rows", "sources", "inside", "row", "size"):
            setattr(self, name, cache(getattr(self, name)))

    def draw(self, top: float) -> float:
        """From `top` downwards, logits first; returns the lower edge."""
        pen, cx = self.pen, self.cx
        pen.text(cx, top + 12, "next-token logits", "l c")
        panel_top = top + 34
        outside = pen.out
        pen.out = []  # the panel is drawn behind its content, but its height is known last
        y = panel_top + 18
        head = self.g.nodes["head"]
        pen.wire([(cx, y), (cx, top + 20)])
        facts = f"logits over {head['shape_out'][-1]:,} tokens"
        pen.box("head", cx, y + 21, 210, 42, KINDS["head"], head["label"], facts, head["explain"])
        y += 42
        ahead = "mtp" in self.g and any(t.startswith("mtp") for s in ("norm", "merge") if s in self.g for t in self.g[s])
        if ahead:  # it reads the input of the head
            self.ahead(top, y + 9)
        for name in (name for name in ("norm", "merge") if name in self.g):
            pen.wire([(cx, y + 18), (cx, y)])
            node = self.g.nodes[name]
            look = KINDS[node["kind"]]
            pen.box(name, cx, y + 18 + NORM_H / 2, NORM_W, NORM_H, look, node["label"], tip=node["explain"])
            y += 18 + NORM_H
        if "mtp" in self.g and not ahead:
            self.ahead(top, y + 8)
        for block, left_out in self.shown():
            if left_out:
                pen.wire([(cx, y + 34), (cx, y)], head=False, cls="stream")
                pen.text(cx + 12, y + 26, left_out, "l")
                y += 34
            below = self.block(block, y + ROW + 4)
            pen.wire([(cx, y + ROW + 6), (cx, y)], cls="stream")
            y = below
        y = self.bottom(y)
        self.lent()
        inside, pen.out = pen.out, outside
        pen.panel(self.x, panel_top, WIDTH, y + 18 - panel_top, "panel", "panel-line", "model", r=22)
        pen.out += inside
        text = self.g.nodes["tokens"]
        pen.wire([(cx, y + 46), (cx, y)])
        pen.box("tokens", cx, y + 60, 150, 28, KINDS["input"], text["label"])
        return y + 78

    def shown(self) -> list[tuple[str, str]]:
        """The blocks to draw, from the top, each with a text about the blocks that are left out just above it."""

        def more(blocks: list[str], other: str) -> str:
            return f"{sum(self.g.nodes[one]['repeat'] for one in blocks)} more, of other {other}"

        shown: list[tuple[str, str]] = []
        blocks = [n for n in reversed(self.children["model"]) if self.g.nodes[n]["kind"] == "block"]
        for _, group in groupby(blocks, key=self.form):
            alike = list(group)
            if len(alike) > MOST_ALIKE:  # the first and the last show what changes
                shown += [(alike[0], ""), (alike[-1], more(alike[1:-1], "sizes"))]
            else:
                shown += [(block, "") for block in alike]
        if len(shown) > self.most:
            upper, lower = shown[: self.most // 2], shown[-(self.most // 2) :]
            between = blocks[blocks.index(upper[-1][0]) + 1 : blocks.index(lower[0][0])]
            shown = [*upper, (lower[0][0], more(between, "kinds")), *lower[1:]]
        return shown

    def form(self, block: str) -> tuple[tuple[str, str, bool], ...]:
        """The look of a block without its sizes: for each node in it, the kind, the text without numbers, and whether its attention
        is limited."""
        inside = (self.g.nodes[node] for node in sorted(self.inside(block) - {block}))
        return tuple((d["kind"], re.sub(r"[\d.,]+", "", d["label"]), d.get("reach") is None) for d in inside)

    def lent(self) -> None:
        """An arrow beside the blocks from each part whose cache another part reads to that part."""
        pairs = {
            (self.g.nodes[source]["parent"], self.g.nodes[target]["parent"]): None
            for source, target in self.g.edges
            if self.g.nodes[target]["kind"] == "borrowed" and self.g.edges[source, target].get("beside")
        }
        drawn = ((a, b) for a, b in pairs if a in self.edges and b in self.edges)
        for lane, (lender, reader) in enumerate(drawn):
            leave, enter = self.beside(lender, -1), self.beside(reader, 1)
            side = self.cx + WIDTH / 2 - 12 + 5 * (lane % 2)
            self.pen.wire([*leave, (side, leave[-1][1]), (side, enter[-1][1]), *reversed(enter)], cls="lent")

    def beside(self, part: str, way: int) -> list[Point]:
        """A path out of a part's box on the right, above its middle (-1) or below (1), around other boxes there."""
        x, y = self.edges[part]
        out = [(x, y + 12 * way)]
        return out if part == self.row(part)[-1] else [*out, (x + 5, out[0][1]), (x + 5, y + (PART_H / 2 + 11) * way)]

    def ahead(self, top: float, stream: float) -> None:
        """The multi-token-prediction modules, beside the model and outside its panel."""
        data, x = self.g.nodes["mtp"], self.x + WIDTH - 58
        self.pen.wire([(self.cx, stream), (x, stream), (x, top + 26)])
        self.pen.box("mtp", x, top + 7, 116, 38, KINDS["mtp"], data["short"], data["facts"][0], data["explain"])

    def bottom(self, y: float) -> float:
        """The embedding, and the position table beside it, if there is one; returns its lower edge."""
        pen, cx = self.pen, self.cx
        embedding = self.g.nodes["embedding"]
        for name in (name for name in ("split", "embedding_norm") if name in self.g):
            data = self.g.nodes[name]
            pen.wire([(cx, y + 14), (cx, y)], cls="stream")
            y += 14 + NORM_H
            pen.box(name, cx, y - NORM_H / 2, NORM_W, NORM_H, KINDS["norm"], data["label"], tip=data["explain"])
        if "ngrams" in self.g:
            ngrams = self.g.nodes["ngrams"]
            pen.wire([(cx, y + 14), (cx, y)], cls="stream")
            y += 14 + 32
            pen.box("ngrams", cx, y - 16, 186, 32, KINDS["embedding"], ngrams["label"], tip=ngrams["explain"])
        width = f"{embedding['shape_out'][-1]:,} wide"
        if "positions" not in self.g:
            pen.wire([(cx, y + 34), (cx, y)], cls="stream")
            pen.text(cx + 10, y + 24, f"stream, {width}", "l")
            if "beneath" in self.g:
                beneath, left = self.g.nodes["beneath"], cx - 136
                pen.wire([(cx, y + 74), (cx, y + 86), (left, y + 86), (left, y + 66)])
                facts = f"{beneath['shape_out'][-2]} × {beneath['shape_out'][-1]:,}"
                pen.box("beneath", left, y + 50, 64, 32, KINDS["embedding"], beneath["short"], facts, beneath["explain"])
            pen.box("embedding", cx, y + 50, 186, 32, KINDS["embedding"], embedding["label"], tip=embedding["explain"])
            return y + 66
        right = cx + 112
        positions = self.g.nodes["positions"]
        pen.wire([(cx, y + 30), (cx, y)], cls="stream")
        pen.text(cx - 12, y + 22, f"stream, {width}", "l e")
        pen.wire([(cx, y + 76), (cx, y + 50)])
        pen.wire([(right, y + 76), (right, y + 40), (cx + 10, y + 40)])
        pen.circle("embedding_add", cx, y + 40)
        pen.box("embedding", cx - 22, y + 92, 164, 32, KINDS["embedding"], embedding["label"], tip=embedding["explain"])
        pen.box("positions", right - 4, y + 92, 88, 32, KINDS["embedding"], "Positions", tip=positions["explain"])
        return y + 108

    # ---- a block ----

    def block(self, block: str, y: float) -> float:
        """One distinct block in its tinted panel; returns its lower edge."""
        pen, data, x, w = self.pen, self.g.nodes[block], self.x + 16, WIDTH - 32
        rows = self.rows(block)
        heights = [max(self.size(node)[1] for node in row) for row in rows]
        height = 46 + sum(heights) + ROW * (len(rows) + 1) + 12
        tint = tint_of(self.g, block)
        pen.panel(x, y, w, height, f"{tint}-tint", f"{tint}-line", block)
        pen.text(x + 14, y + 28, f"{data['repeat']} ×", "n")
        pen.text(x + 14, y + 45, fit(data["where"], 128, 12), "l")
        share = data["all_parameters"] / max(self.g.nodes["model"]["parameters"], 1)
        pen.text(x + w - 12, y + 24, percent(share), "l e")
        pen.text(x + w - 12, y + 39, "of parameters", "l e")
        at, centres = y + 46, {}
        for row, tall in zip(reversed(rows), reversed(heights), strict=True):
            widths = [self.size(node)[0] for node in row]
            left = self.cx - (sum(widths) + 10 * (len(row) - 1)) / 2
            for node, width in zip(row, widths, strict=True):
                centres[node] = (left + width / 2, at + ROW + tall / 2)
                left += width + 10
            at += ROW + tall
        self.wires(rows, centres, x + w - 12, y, y + height)
        for node in centres:
            self.node(node, *centres[node], x)
        return y + height

    def rows(self, block: str) -> list[list[str]]:
        """The block's nodes bottom-up; independent nodes are side by side."""
        inside = self.children.get(block, [])
        rank: dict[str, int] = {}
        for node in inside:
            rank[node] = 1 + max((rank[source] for source in self.sources(node) if source in rank), default=-1)
        rows: list[list[str]] = [[] for _ in range(max(rank.values(), default=-1) + 1)]
        for node in inside:
            rows[rank[node]].append(node)
        return rows

    def sources(self, node: str) -> dict[str, bool]:
        """The sources of the tensors into a node (or into the inside of a part), as nodes of its own level; True for the residual
        stream that a sum adds to."""
        inner, level = self.inside(node), self.g.nodes[node]["parent"]
        found: dict[str, bool] = {}
        for source, _, data in self.g.in_edges(inner, data=True):
            if source not in inner and self.g.nodes[source]["kind"] != "input" and not data.get("beside"):
                while self.g.nodes[source]["parent"] not in (level, None):
                    source = self.g.nodes[source]["parent"]
                stream = self.g.nodes[node]["kind"] == "add" and "stream" in data["tensor"].split(", ")
                found[source] = found.get(source, False) or stream
        return found

    def inside(self, node: str) -> set[str]:
        return {node}.union(*(self.inside(child) for child in self.children.get(node, ())))

    def size(self, node: str) -> tuple[float, float]:
        data = self.g.nodes[node]
        if data["kind"] in ("add", "multiply"):
            return 20, 20
        width, height = (PART_W, PART_H) if "role" in data else (NORM_W, NORM_H)
        row = self.row(node)
        if len(row) == 1:
            return width, height
        room = WIDTH - 58 - 10 * (len(row) - 1)
        needs = {n: max(92, text_width(self.g.nodes[n]["label"].partition(",")[0], 12) + 14) for n in row}
        if max(needs.values()) <= room / len(row):
            return min(width, room / len(row)), height
        return needs[node] * room / sum(needs.values()), height

    def row(self, node: str) -> list[str]:
        """The nodes that are side by side with this one, including itself."""
        return next(row for row in self.rows(self.g.nodes[node]["parent"]) if node in row)

    def node(self, node: str, x: float, y: float, left: float) -> None:
        pen, data, (w, h) = self.pen, self.g.nodes[node], self.size(node)
        if data["kind"] in ("add", "multiply"):
            pen.circle(node, x, y, "+" if data["kind"] == "add" else "×")
        elif "role" not in data:
            pen.box(node, x, y, w, h, KINDS.get(data["kind"], KINDS["norm"]), data["label"], tip=data["explain"])
        else:
            label = data["label"] if text_width(data["label"]) < w - 10 else data["label"].partition(",")[0]
            row = [n for n in self.row(node) if "role" in self.g.nodes[n]]
            rope = next((c for c in self.children.get(node, ()) if self.g.nodes[c]["kind"] == "rope"), None)
            own = any(source.startswith("beneath.") for source, _ in self.g.in_edges(self.inside(node)))
            facts = data["facts"][:2] if len(row) == 1 else [*data["facts"][:1], *(["RoPE"] if rope else [])]
            pen.box(node, x, y, w, h, ROLES[data["role"]], label, " · ".join(facts), data["explain"])
            self.edges[node] = x + w / 2, y
            after = len(row) - 1 - row.index(node)  # call-outs begin to the right of all boxes that are side by side
            lift = 8 * (row.index(node) - after)
            self.anchors.setdefault(data["part"], (x + w / 2 + after * (w + 10), y + lift))
            if rope and len(row) == 1:
                pen.wire([(left + 51, y), (x - w / 2, y)])
                pen.box(rope, left + 28, y, 46, 24, KINDS["rope"], "RoPE", tip=self.g.nodes[rope]["explain"])
            if own and len(row) == 1:
                pen.wire([(left + 51, y), (x - w / 2, y)])
                beneath = self.g.nodes["beneath"]
                pen.box("beneath", left + 28, y, 46, 24, KINDS["embedding"], beneath["short"], tip=beneath["explain"])

    def wires(self, rows: list[list[str]], centres: dict, loop: float, top: float, bottom: float) -> None:
        """Arrows up the column; the stream is thick and has a loop around each step into its sum."""
        pen, cx = self.pen, self.cx
        level = {node: i for i, row in enumerate(rows) for node in row}
        lower = [max(centres[n][1] + self.size(n)[1] / 2 for n in row) for row in rows] + [top]
        streams = {source for node in centres for source, stream in self.sources(node).items() if stream}

        def tap(source: str) -> float:
            """The height at which the loop around the step above this source begins."""
            return lower[level.get(source, -1) + 1] + ROW / 2

        def upper(source: str) -> float:
            return centres[source][1] - self.size(source)[1] / 2 if source in centres else bottom

        for node, (x, y) in centres.items():
            below = y + self.size(node)[1] / 2
            for source, stream in self.sources(node).items():
                start, sx = tap(source), centres.get(source, (cx, 0))[0]
                if stream:
                    path = [(cx, upper(source)), (cx, start), (loop, start), (loop, y), (x + 10, y)]
                elif source in streams or source not in centres:  # it reads the stream
                    middle = below + ROW / 2 - 2
                    path = [(cx, start), *([(cx, middle), (x, middle)] if x != cx else []), (x, below)]
                elif level[node] - level[source] > 1:  # a delayed output passes the boxes in between
                    out, side = upper(source) - 6, sx + self.size(source)[0] / 2 + 7
                    path = [(sx, upper(source)), (sx, out), (side, out), (side, y), (x + 10, y)]
                else:
                    middle, apart = below + ROW / 2, abs(sx - x) > 1
                    path = [(sx if apart else x, upper(source)), *([(sx, middle), (x, middle)] if apart else []), (x, below)]
                pen.wire(path, cls="stream" if stream else "wire")
        last = rows[-1][0]
        pen.wire([(cx, upper(last)), (cx, top - 6)], head=False, cls="stream")


@lru_cache(maxsize=2)
def children(graph: nx.DiGraph) -> dict[str | None, list[str]]:
    """A graph's nodes by their parent, in the graph's order."""
    found: dict[str | None, list[str]] = {}
    for name, parent in graph.nodes(data="parent"):
        found.setdefault(parent, []).append(name)
    return found


@lru_cache(maxsize=2)
def arrows(graph: nx.DiGraph) -> dict[str | None, list[tuple[str, str, str]]]:
    """The edges by the parent of their target, in the graph's order: (source, target, input from beside the stream)."""
    found: dict[str | None, list[tuple[str, str, str]]] = {}
    for source, target, beside in graph.edges(data="brings", default=""):
        found.setdefault(graph.nodes[target]["parent"], []).append((source, target, beside))
    return found


def parts(graph: nx.DiGraph, block: str) -> list[dict]:
    """The data of a block's parts."""
    inside = (graph.nodes[node] for node in children(graph).get(block, ()))
    return [data for data in inside if "role" in data]


def tint_of(graph: nx.DiGraph, block: str) -> str:
    """The role that gives a block its tint: the role that distinguishes it from other blocks, experts first."""
    roles = {part["role"] for part in parts(graph, block)}
    return next((role for role in ("experts", "feed_forward", "recurrence") if role in roles), "attention")
