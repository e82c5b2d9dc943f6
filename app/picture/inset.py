"""The inside of a part: its traced dataflow as a small layered layout, below its name and text."""

from collections.abc import Mapping, Sequence
from html import escape
from math import inf
from typing import Any, NamedTuple

import networkx as nx

from core.words import figure

from . import sight
from .layered import CLOSE, GAP_X, GAP_Y, Box, Layout, layered, spread
from .nodes import arrows, children
from .pen import KINDS, Pen, Point, sentences, text_width, whole

PAD = 20
LEAST = 0.92  # a layout that does not fit is drawn smaller, but not below this: its text has at least 9 px on a page of 1280 or 390 px
SQUEEZED = 1.3  # what is wider than the panel by this factor needs a wider one, if there is one
NARROWER = (1, 0.9, 0.75, 0.6, 0.45, 0.3)  # shares of the room for the boxes of a rank, tried until the edges that pass them fit too
OPENED = 15 + text_width("One expert, opened", 12)  # the title of one of many networks
BESIDE = 12  # between the boxes and one of many networks, opened
CORES = ("attention_core", "recurrence")  # boxes that mix tokens


SKIP, CROSSED = 5, 6  # how bad it is that the name of a tensor is left out, and that it stands on a line, a box or another name
Rect = tuple[float, float, float, float]  # left, top, right, bottom; of a line, its ends


class Name(NamedTuple):
    """Where the name of a tensor may stand."""

    words: list[str]
    x: float
    left: bool
    rect: Rect
    cost: float


def meet(one: Rect, other: Rect) -> bool:
    return one[0] < other[2] + 2 and other[0] < one[2] + 2 and one[1] < other[3] and other[1] < one[3]


def crosses(line: Rect, rect: Rect) -> bool:
    x0, y0, x1, y1 = line
    return meet((min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)), rect)


def around(box: Box) -> Rect:
    return box.x - box.width / 2, box.y - box.height / 2, box.x + box.width / 2, box.y + box.height / 2


class Inset:
    """One part of a graph, laid out for a panel of this width. `chosen` are the experts of one token; `narrow` says that there is no
    wider place for it."""

    def __init__(self, graph: nx.DiGraph, part: str, width: float, chosen: tuple[int, ...] = (), narrow: bool = False):
        self.g, self.part, self.width, self.chosen = graph, part, width, set(chosen)
        self.data = graph.nodes[part]
        self.inside = children(graph).get(part, [])
        self.together = self.shared()
        self.sights = sight.sights(graph, part)
        self.words = sentences(self.data["explain"], width - 2 * PAD, 13, lines=3)
        self.lines, self.gap, self.edge, self.between = 1, GAP_X, 26, GAP_Y  # the edge is what a box is wider than its text
        self.cells: float = 430 if width > 480 else 200  # the width of a grid of experts
        self.room = width - 2 * PAD
        self.layout = self.lay_out()
        if self.layout.width > self.room:  # boxes with two lines of text, nearer to each other, are narrower
            self.lines, self.gap, self.edge = 2, CLOSE, 14
            self.layout = self.lay_out()
        for share in NARROWER if narrow else NARROWER[: self.layout.width < SQUEEZED * self.room]:
            if self.scale < LEAST:  # the text would be too small: use more rows
                self.layout = self.lay_out(self.room, share)
        self.many = next((node for node in self.inside if "inside" in graph.nodes[node]), "")
        self.one = self.opened(graph.nodes[self.many]["inside"], self.many) if self.many else None
        if self.one:
            self.make_room(self.one)

    def opened(self, inside: Mapping[str, Any], many: str) -> "One":
        return One(inside, many)

    def resized(self, width: float) -> "Inset":
        return Inset(self.g, self.part, width, tuple(self.chosen))

    def make_room(self, one: "One") -> None:
        """For one of many networks, opened: at the right, if the flow beside it can be as narrow as that; otherwise below."""
        said = self.lines, self.gap, self.edge, self.cells, self.layout
        room = self.room - one.width - BESIDE
        if self.layout.width > room:
            self.lines, self.gap, self.edge, self.cells = 2, CLOSE, 14, min(self.cells, room - 32)
            self.layout = self.lay_out()
        if self.layout.width > room:
            self.layout = self.lay_out(room)
        self.beside = LEAST * self.layout.width <= room
        if self.beside:
            self.room = room
        else:
            self.lines, self.gap, self.edge, self.cells, self.layout = said

    def lay_out(self, room: float = inf, share: float = 1) -> Layout:
        self.given = {"x": self.data["shape_in"]}  # inputs from outside, with their shapes
        for _, target, data in self.g.in_edges(self.inside, data=True):
            if (beside := data.get("brings")) and self.g.nodes[target]["kind"] != "borrowed":
                self.given[beside] = data["shape"]
        sizes: dict[str, tuple[float, float]] = {key: (text_width(self.said(key), 13), 16) for key in self.given}
        owner: dict[str, str] = {}
        for node in self.inside:
            owner[node] = self.owner(node)
            sizes[owner[node]] = self.size(owner[node])

        def end(source: str, beside: str) -> str:
            return owner.get(source, beside or "x")

        edges = (
            (end(source, beside), owner[target])
            for source, target, beside in arrows(self.g).get(self.part, ())
            if self.g.nodes[source]["kind"] != "input" and end(source, beside) != owner[target]
            if not (beside and self.g.nodes[target]["kind"] == "borrowed")  # its own label says where it is read from
        )
        return layered(tuple((key, *size) for key, size in sizes.items()), tuple(edges), room, self.gap, self.between, share)

    def said(self, key: str) -> str:
        """The label of an input from outside, with its shape."""
        shape = ", ".join(f"{n:,}" if isinstance(n, int) else n for n in self.given[key])
        return f"{key} ({shape})"

    def shared(self) -> set[str]:
        """The nodes of the shared expert, which is drawn as one box: its modules and the functions between them."""
        own = {node for node in self.inside if self.g.nodes[node]["path"].startswith(f"{self.g.nodes[self.part]['path']}.shared.")}
        flow = self.g.subgraph(self.inside)
        after = own.union(*(nx.descendants(flow, node) for node in own))
        return after & own.union(*(nx.ancestors(flow, node) for node in own))

    @property
    def always(self) -> str:
        """About the shared expert."""
        made = [node for node in self.inside if node in self.together]
        width = next((self.g.nodes[node]["shape_out"][-1] for node in made if self.kind(node) == "activation"), 0)
        return f"d_ff {width:,}, for all"

    def owner(self, node: str) -> str:
        """The box that represents or contains a node."""
        return f"{self.part}.shared" if node in self.together else node

    def size(self, node: str) -> tuple[float, float]:
        if node not in self.g:  # the shared expert
            return text_width(self.always, 12) + self.edge, 46
        data = self.g.nodes[node]
        match data["kind"]:
            case "add" | "multiply":
                return 20, 20
            case kind if kind in CORES:
                return 190 + self.gap, 34
            case "experts" if self.routed:
                return self.grid().width, self.grid().height
            case "router" if self.routed:
                name, facts = routed(self.data["config"])
                return max(text_width(name), text_width(facts, 12)) + self.edge, 46
            case "activation" if len(data["label"]) == 1:
                return 34, 24
            case "norm":
                return max(60 + self.edge, text_width(data["label"]) + self.edge), 22
        label, facts = self.label(data)
        return max(64, text_width(label) + self.edge, text_width(facts, 12) + self.edge - 4), 42 if facts else 28

    @property
    def routed(self) -> bool:
        """Whether the experts are chosen by a `Router`, whose groups then form their grid."""
        return "router" in self.data["config"]

    def grid(self) -> "Grid":
        return Grid(self.data["config"], bool(self.chosen), self.cells)

    def label(self, data: dict) -> tuple[str, str]:
        """A box's name and the size of its tensor, on two lines if there is little room."""
        name, size = (data["path"].rsplit(".", 1)[-1], " × ".join(f"{n:,}" for n in data["shape_out"][2:] if isinstance(n, int)))
        match data["kind"]:
            case "linear":
                words, size, join = name, data["label"].removeprefix("Linear "), " · "
            case "state":
                words, size, join = "state", " × ".join(f"{n:,}" for n in data["shape_out"][1:]), " "
            case "cache" | "borrowed":
                own = name.removesuffix("cache").removesuffix("_").replace("_", " ")
                own = {"k": "key", "v": "value"}.get(own, own)
                lent = f"another layer's {own}s" if name.endswith("_cache") else data["label"].lower()
                words, join = f"{own} cache".strip() if data["kind"] == "cache" else lent, " "
            case _:
                return data["label"], ""
        return (words, size) if self.lines == 2 else (f"{words}{join}{size}", "")

    @property
    def scale(self) -> float:
        return min(1.0, self.room / self.layout.width)

    @property
    def height(self) -> float:
        flow = self.layout.height * self.scale
        if self.one:
            flow = max(flow, self.one.high - 18) if self.beside else flow + BESIDE + self.one.low
        return self.head + flow + 20

    @property
    def head(self) -> float:
        """The height above the boxes: for the name, the text, how far a token sees, the output arrow."""
        return 40 + 18 * len(self.words) + 22 + sight.height(self.sights)

    def draw(self, pen: Pen, x: float, y: float, letter: str) -> float:
        """Draw with the upper left corner at x, y, and the letter of its box; returns the lower edge."""
        data, words, width, height = self.data, self.words, self.width, self.height
        pen.out.append(f'<g data-zoom="{escape(self.part)}">')
        pen.panel(x, y, width, height, f"{data['role']}-tint", f"{data['role']}-line", self.part, dashed=True)
        name = data["part"].replace("_", " ")
        twins = {d["part"] for _, d in self.g.nodes(data=True) if "role" in d and d["kind"] == data["kind"]}
        pen.letter(x + PAD + 8, y + 24.5, letter)
        title = data["label"] + (f" · {name}" if len(twins) > 1 and name not in data["label"].lower() else "")
        size, cls = (16, "h") if text_width(title, 16) <= width - 2 * PAD - 46 else (13.5, "b")
        pen.text(x + PAD + 26, y + 30, whole(title, width - 2 * PAD - 46, size), cls)
        for i, line in enumerate(words):
            pen.text(x + PAD, y + 51 + 18 * i, line, "s")
        if self.sights:
            sight.draw(pen, self.sights, self.g.graph["context"], x + PAD, y + 44 + 18 * len(words), width - 2 * PAD)
        self.contents(pen, x, y)
        pen.opener(x + width - 26, y + 25, f"Open {data['label']} at full width")
        pen.out.append("</g>")
        return y + height

    def contents(self, pen: Pen, x: float, y: float) -> None:
        """The boxes, and one of many networks, opened."""
        left, top = x + PAD + (self.room - self.layout.width * self.scale) / 2, y + self.head
        if self.one:
            one, end = self.one, x + self.width - PAD
            if self.beside:
                top += max(0, self.height - 20 - self.head - self.layout.height * self.scale) / 2
                one.upright(pen, end - one.width, y + self.head - 18)
            else:
                one.flat(pen, x + PAD, y + self.height - 20 - one.low, self.width - 2 * PAD)
        pen.out.append(f'<g transform="translate({left:.1f} {top:.1f}) scale({self.scale:.4f})">')
        self.flow(pen)
        pen.out.append("</g>")

    def flow(self, pen: Pen) -> None:
        """The boxes and wires."""
        layout, boxes = self.layout, self.layout.boxes
        incoming: dict[str, list[tuple[str, str]]] = {}
        for edge in layout.routes:
            incoming.setdefault(edge[1], []).append(edge)

        def before(edge: tuple[str, str]) -> float:
            return boxes[layout.routes[edge][-2]].x

        for key, edges in incoming.items():
            if self.kind(key) in CORES:
                self.widen(boxes[key], [before(edge) for edge in edges])
        ports: dict[tuple[str, str], float] = {}
        for key, edges in incoming.items():
            edges.sort(key=before)
            ports |= dict(zip(edges, self.ports(boxes[key], edges, list(map(before, edges))), strict=True))
        lanes: dict[int, list[str]] = {}
        lines: list[Rect] = []
        for edge, path in layout.routes.items():
            points = self.route(pen, path, ports[edge], lanes)
            lines += [(*a, *b) for a, b in zip(points, points[1:])]
        taken: list[Rect] = []
        for key, edges in incoming.items():
            if len(edges) > 1 and self.kind(key) in (*CORES, "experts"):
                low = boxes[key].y + boxes[key].height / 2
                self.named(pen, low, {ports[edge]: edge for edge in edges if edge in self.g.edges}, lines, taken)
        for key, box in boxes.items():
            if not box.virtual:
                self.box(pen, key, box)
        top = boxes[self.last()]
        pen.wire([(top.x, top.y - top.height / 2), (top.x, top.y - top.height / 2 - 18)])

    def ports(self, box: Box, edges: Sequence[tuple[str, str]], wanted: Sequence[float]) -> list[float]:
        """Where the tensors, from the left, enter a box: near where they come from, and apart."""
        half = max(box.width / 2 - 14, 0)
        apart = [min(20, 2 * half / max(len(edges) - 1, 1))] * (len(edges) - 1)
        return spread([min(max(x, box.x - half), box.x + half) for x in wanted], apart)

    def named(self, pen: Pen, y: float, edges: Mapping[float, tuple[str, str]], lines: Sequence[Rect], taken: list[Rect]) -> None:
        """The names of the tensors into a box, below it at y, each beside its port, where they stand on nothing; otherwise it is left out.
        `taken` has the places of the names so far."""
        below = [around(box) for box in self.layout.boxes.values() if not box.virtual and y < box.y < y + 80]
        best: list[tuple[float, list[Name]]] = [(0, [])]  # so far, for each place of the last name
        for port, edge in edges.items():
            first, *rest = self.g.edges[edge]["tensor"].replace("_", " ").split(", ")
            names = [", ".join((first, *rest))] if len(first) == 1 else [first, *([", ".join(rest)] if rest else [])]
            width, places = max(text_width(name, 12) for name in names), [Name([], port, False, (port, y, port, y), SKIP)]
            for down in (16, 29)[: 3 - len(names)]:
                for left in (False, True):
                    start = port - 5 - width if left else port + 5
                    rect = start, y + down - 10, start + width, y + down + 3 + 13 * (len(names) - 1)
                    ports = sum(start < other < start + width for other in edges)
                    on = ports + sum(crosses(line, rect) for line in lines) + sum(meet(rect, other) for other in (*below, *taken))
                    places.append(Name(names, port - 5 if left else port + 5, left, rect, CROSSED * on + down / 20 + left / 4))
            best = [
                min(
                    (
                        (cost + place.cost + CROSSED * any(meet(place.rect, other.rect) for other in so_far), [*so_far, place])
                        for cost, so_far in best
                    ),
                    key=lambda one: one[0],
                )
                for place in places
            ]
        for name in min(best, key=lambda one: one[0])[1]:
            for at, words in enumerate(name.words):
                taken.append(name.rect)
                pen.text(name.x, name.rect[1] + 10 + 13 * at, words, "l e" if name.left else "l")

    def widen(self, box: Box, xs: list[float]) -> None:
        """Makes a box as wide as its inputs, so that tensors enter it vertically, as far as its neighbours leave room."""
        beside = [self.layout.boxes[key] for key in self.layout.order[box.rank] if key != box.key]
        low = max([min(xs) - 30, *(b.x + b.width / 2 + self.gap / 2 for b in beside if b.x < box.x)])
        high = min([max(xs) + 30, *(b.x - b.width / 2 - self.gap / 2 for b in beside if b.x > box.x)])
        if high - low >= box.width:
            box.x, box.width = (low + high) / 2, high - low

    def last(self) -> str:
        """The box of the part's output."""
        inside = set(self.inside)
        leaving = (a for a, b, beside in self.g.out_edges(self.inside, "beside") if b not in inside and not beside)
        node = next(leaving)
        return self.owner(node)

    def route(self, pen: Pen, path: list[str], port: float, lanes: dict[int, list[str]]) -> list[Point]:
        """The path of one tensor: vertical through virtual boxes, horizontal only between the ranks, with one lane per source."""
        boxes, order = self.layout.boxes, self.layout.order
        source = boxes[path[0]]
        points = [(source.x, source.y - source.height / 2)]
        for key in path[1:]:
            box = boxes[key]
            x = box.x if box.virtual else port
            if abs(points[-1][0] - x) > 0.5:
                below = min(boxes[k].y - boxes[k].height / 2 for k in order[box.rank + 1])
                above = max(boxes[k].y + boxes[k].height / 2 for k in order[box.rank])
                lane = lanes.setdefault(box.rank, [])
                if path[0] not in lane:
                    lane.append(path[0])
                middle = below - (below - above) * (0.4 + 0.16 * (lane.index(path[0]) % 3))
                points += [(points[-1][0], middle), (x, middle)]
            points.append((x, box.y if box.virtual else box.y + box.height / 2))
        pen.wire(points)
        return points

    def node(self, key: str) -> str:
        """The node that a click on a box selects."""
        return key

    def kind(self, node: str) -> str:
        return self.g.nodes[node]["kind"] if node in self.g else ""

    def box(self, pen: Pen, key: str, box: Box) -> None:
        if key in self.given:
            pen.text(box.x, box.y + 6, self.said(key), "s c")
            return
        if key not in self.g:  # the shared expert, drawn as one box
            first = next(node for node in self.inside if node in self.together)
            pen.box(first, box.x, box.y, box.width, box.height, KINDS["shared"], "Shared expert", self.always)
            return
        data = self.g.nodes[key]
        match data["kind"]:
            case "add" | "multiply":
                pen.circle(self.node(key), box.x, box.y, "+" if data["kind"] == "add" else "×")
            case "experts" if self.routed:
                self.grid().draw(pen, key, box, self.chosen)
            case "router" if self.routed:
                name, facts = routed(self.data["config"])
                pen.box(key, box.x, box.y, box.width, box.height, KINDS["router"], name, facts, data["explain"])
            case kind:
                look = KINDS.get(kind, KINDS["norm"])
                label, facts = self.label(data)
                pen.box(self.node(key), box.x, box.y, box.width, box.height, look, label, facts, data["explain"])


class One(Inset):
    """One of many alike networks, opened: `inside` is its dataflow, `many` the box that stands for all."""

    TOP, EDGE = 44, 10  # the title's height, and what is around the boxes
    ARROW = 20  # the output's

    def __init__(self, inside: Mapping[str, Any], many: str):
        self.g, self.many, self.parameters = nx.DiGraph(), many, inside["parameters"]
        self.g.add_node("", kind="part", shape_in=inside["shape"], shape_out=inside["shape"])
        for key, data in inside["boxes"].items():
            self.g.add_node(key, **data, parent="", explain="", shape_out=data["shape"])
        for source, key, tensor, shape in inside["tensors"]:
            self.g.add_edge(source if source in self.g else "", key, tensor=tensor, shape=shape)
        self.part, self.data, self.inside, self.together = "", self.g.nodes[""], [*inside["boxes"]], set()
        self.lines, self.gap, self.edge, self.between = 2, CLOSE, 14, 26
        self.layout = self.lay_out()
        self.width = self.layout.width + 2 * self.EDGE

    @property
    def low(self) -> float:
        """The height with the title at the left."""
        return self.ARROW + self.layout.height + 2 * self.EDGE

    @property
    def high(self) -> float:
        """The height with the title on top."""
        return self.low + self.TOP - self.EDGE

    def label(self, data: dict) -> tuple[str, str]:
        label, facts = super().label(data)
        narrows = facts.startswith(f"{self.data['shape_in'][-1]:,} ")
        return label, facts.partition(" ")[2] if narrows else facts  # the input says its own width

    def last(self) -> str:
        return next(key for key in reversed(self.inside) if not self.g.out_degree(key))

    def node(self, key: str) -> str:
        return self.many

    def upright(self, pen: Pen, x: float, y: float) -> None:
        """With the title above the boxes."""
        pen.panel(x, y, self.width, self.high, "box", "experts-line", r=10)
        self.titled(pen, x + (self.width - OPENED) / 2, y + 20)
        self.boxes(pen, x + self.EDGE, y + self.TOP + self.ARROW)

    def flat(self, pen: Pen, x: float, y: float, width: float) -> None:
        """Over this width, with the title at the left of the boxes."""
        pen.panel(x, y, width, self.low, "box", "experts-line", r=10)
        self.titled(pen, x + 14, y + 24)
        free = x + OPENED
        self.boxes(pen, free + (x + width - self.EDGE - free - self.layout.width) / 2, y + self.EDGE + self.ARROW)

    def titled(self, pen: Pen, x: float, y: float) -> None:
        """With the square that this expert is in the grid."""
        pen.out.append(f'<path d="M{x:.1f} {y - 9:.1f}h9v9h-9z" style="fill:var(--experts);stroke:var(--ink);stroke-width:1.2"/>')
        pen.text(x + 15, y, "One expert, opened", "b2")
        pen.text(x + 15, y + 16, f"{figure(self.parameters)} weights", "k")

    def boxes(self, pen: Pen, x: float, y: float) -> None:
        selected, pen.selected = pen.selected, ""  # the box that stands for all is marked
        pen.out.append(f'<g transform="translate({x:.1f} {y:.1f})">')
        self.flow(pen)
        pen.out.append("</g>")
        pen.selected = selected


def routed(config: dict) -> tuple[str, str]:
    """How a router chooses, in two short lines."""
    router, most = config["router"], config["top_k"]
    groups = f" in {router['top_groups']} of {router['groups']} groups" if router["top_groups"] < router["groups"] else ""
    score = router["score"].replace("sqrt_", "√").replace("_", " ")
    return f"Router, {score}", f"{most} from a table" if router["hashed"] else f"top {most}{groups}"


class Grid:
    """Every routed expert as a cell, in the router's groups; with thousands of experts the cells are smaller. Those without weights
    come last and are white."""

    GAP = 12

    def __init__(self, config: dict, filled: bool, room: float):
        self.weighted, zero, self.groups = config["count"], config["zero"], config["router"]["groups"]
        self.count = self.weighted + zero
        self.each = self.count // self.groups
        self.across = min(self.groups, 8 if room > 300 else 4)
        wanted = (self.each * (5 if self.groups == 1 else 2)) ** 0.5
        even = min((n for n in range(1, min(self.each, 96) + 1) if self.each % n == 0), key=lambda n: abs(n - wanted))
        self.row = even if abs(even - wanted) < wanted / 2 else min(self.each, round(wanted))  # full rows if possible
        self.lines, self.stacks = -(-self.each // self.row), -(-self.groups // self.across)
        self.cell = max(2.2, min(16.0, (room - self.GAP * (self.across - 1)) / (self.row * self.across)))
        said = [f"in {self.groups} groups"] if self.groups > 1 else []
        said += ["filled: one token's"] if filled else []
        self.words = [f"{self.weighted:,} experts of d_ff {config['d_ff']:,}"] + (["; ".join(said)] if said else [])
        if zero:
            self.words.insert(1, f"white: {zero:,} without weights" if zero > 1 else "white: one without weights")
        cells = self.across * self.row * self.cell + (self.across - 1) * self.GAP
        self.width = max(cells, *(text_width(line, 12) for line in self.words), 0) + 32
        self.height = self.stacks * self.lines * self.cell + (self.stacks - 1) * self.GAP + 32 + 16 * len(self.words)

    def draw(self, pen: Pen, key: str, box: Box, chosen: set[int]) -> None:
        """The filled cells are the experts of one token; groups that it could not choose from are pale."""
        pen.box(key, box.x, box.y, box.width, box.height, KINDS["experts"], "", tip="Routed experts")
        opened = max((expert for expert in chosen if expert < self.weighted), default=-1)
        open_groups = {expert // self.each for expert in chosen}
        group_w, group_h = self.row * self.cell, self.lines * self.cell
        left = box.x - (self.across * group_w + (self.across - 1) * self.GAP) / 2
        top = box.y - box.height / 2 + 14
        size = self.cell - (1.5 if self.cell > 5 else 0.6)
        cells: dict[str, list[str]] = {"idle": [], "experts-line": [], "box": [], "experts": []}
        for expert in range(self.count):
            group, within = divmod(expert, self.each)
            x = left + (group % self.across) * (group_w + self.GAP) + (within % self.row) * self.cell
            y = top + (group // self.across) * (group_h + self.GAP) + (within // self.row) * self.cell
            reached = self.groups == 1 or not chosen or group in open_groups
            tone = "experts" if expert in chosen else "idle" if not reached else "experts-line" if expert < self.weighted else "box"
            cells[tone].append(f"M{x:.1f} {y:.1f}h{size:.1f}v{size:.1f}h-{size:.1f}z")
            if expert == opened:
                cells["experts"].remove(square := cells["experts"][-1])
                cells["opened"] = [square]
        for tone, paths in cells.items():
            if paths:
                look = f"fill:var(--{tone})" if tone != "opened" else "fill:var(--experts);stroke:var(--ink);stroke-width:1.2"
                pen.out.append(f'<path d="{"".join(paths)}" style="{look};pointer-events:none"/>')
        for i, line in enumerate(reversed(self.words)):
            pen.text(box.x, box.y + box.height / 2 - 12 - 16 * i, line, "l c")
