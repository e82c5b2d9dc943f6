"""The picture of an architecture, drawn from its graph alone: one column for the model, insets that open its parts.

A box exists because a module does, an arrow because a tensor flows. The wide layout has the insets beside the column,
the narrow one below it. Everything that came from a person is escaped on its way into the SVG.
"""

from dataclasses import dataclass
from html import escape

import networkx as nx

from core.words import figure, percent

from .layered import Box, Layout, layered, spread
from .theme import FONT, ROLE_WORDS, variables

PART_W, PART_H, NORM_W, NORM_H = 196, 46, 168, 22
ROW = 16  # between the rows of a block
COLUMN = 372  # width of the model's panel
INSET = 672  # width of an inset in the wide layout
NARROW = 520

STYLE = f"""
text{{font-family:{FONT};fill:var(--ink)}} .t{{font-size:26px;font-weight:700}} .s{{font-size:13px;fill:var(--soft)}}
.b{{font-size:13px;font-weight:600}} .f{{font-size:11.5px;opacity:.86}} .l{{font-size:11px;fill:var(--soft)}} .n{{font-size:22px;font-weight:700}}
.h{{font-size:15px;font-weight:700}} .c{{text-anchor:middle}} .e{{text-anchor:end}}
.wire{{fill:none;stroke:var(--line);stroke-width:1.4}} .head{{fill:var(--line)}} .call{{fill:none;stroke:var(--soft);stroke-width:1.2;stroke-dasharray:2 4}}
.box rect{{stroke-width:1.2}} [data-node]{{cursor:pointer}} [data-node]:hover>rect,[data-node]:hover>circle{{filter:brightness(1.06)}}
[data-node]:focus{{outline:none}} [data-node]:focus-visible>rect,.on>rect,.on>circle{{stroke:var(--accent)!important;stroke-width:2.6px!important}}
.halo{{paint-order:stroke;stroke:var(--page);stroke-width:4px}}
"""


@dataclass(frozen=True)
class Look:
    """How a kind of node is drawn: fill, outline and ink, as names of the palette."""

    fill: str
    line: str
    ink: str = "ink"
    round: float = 6


KINDS = {
    "norm": Look("box", "box-line"), "rope": Look("box", "ink"), "linear": Look("linear", "linear-line"),
    "cache": Look("cache-tint", "cache", "cache-ink", 14), "borrowed": Look("cache-tint", "cache", "cache-ink", 14),
    "attention_core": Look("attention", "attention", "attention-ink"), "router": Look("box", "router"),
    "activation": Look("feed_forward-tint", "feed_forward"), "experts": Look("experts-tint", "experts-line"),
    "embedding": Look("embedding-tint", "embedding"), "head": Look("embedding-tint", "embedding"), "input": Look("box", "box-line"),
    "shared": Look("shared", "experts", "shared-ink"), "read": Look("box", "box-line"),
}  # fmt: skip
ROLES = {
    "attention": Look("attention", "attention", "attention-ink", 8),
    "experts": Look("experts", "experts", "experts-ink", 8),
    "feed_forward": Look("feed_forward", "feed_forward", "feed_forward-ink", 8),
}


def diagram(
    graph: nx.DiGraph,
    subtitle: str = "",
    selected: str = "",
    chosen: dict[str, tuple[int, ...]] | None = None,
    wide: bool = True,
    standalone: bool = False,
) -> str:
    """SVG of an architecture's graph.

    `selected` is the node to mark; `chosen` gives, for an expert part's name, the experts that one live token was sent
    to. `standalone` adds the palette and a background, for a file.
    """
    return _Drawing(graph, subtitle, selected, chosen or {}, wide, standalone).svg()


def text_width(text: str, size: float = 13) -> float:
    """About as wide as the text will be."""
    narrow, broad = sum(c in "iljt.,:;|'()[] ·f" for c in text), sum(c in "mwMWABCDGHNOQRU%—→" for c in text)
    return size * (0.57 * (len(text) - narrow - broad) + 0.32 * narrow + 0.78 * broad)


class _Drawing:
    def __init__(self, graph, subtitle, selected, chosen, wide, standalone):
        self.g, self.subtitle, self.selected, self.chosen = graph, subtitle, selected, chosen
        self.wide, self.standalone = wide, standalone
        self.out: list[str] = []
        self.children: dict[str | None, list[str]] = {}
        for name, data in graph.nodes(data=True):
            self.children.setdefault(data["parent"], []).append(name)
        self.anchors: dict[str, tuple[float, float]] = {}  # a part's name -> the right edge of its topmost box
        self.inset_at: dict[str, tuple[float, float]] = {}  # an opened part -> where its call-out may end

    # ---- small pieces -------------------------------------------------------------------------------------------

    def text(self, x: float, y: float, words: str, cls: str, fill: str = "") -> None:
        style = f' style="fill:var(--{fill})"' if fill else ""
        self.out.append(f'<text x="{x:.1f}" y="{y:.1f}" class="{cls}"{style}>{escape(words)}</text>')

    def wire(self, points: list[tuple[float, float]], head: bool = True, cls: str = "wire") -> None:
        """A line through the points, with rounded corners and an arrow head at its end."""
        path = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
        for before, here, after in zip(points, points[1:], points[2:]):
            r = min(
                7,
                *(
                    abs(a - b) / 2
                    for p, q in ((before, here), (here, after))
                    for a, b in zip(p, q, strict=True)
                    if a != b
                ),
            )
            enter, leave = _towards(here, before, r), _towards(here, after, r)
            path += f"L{enter[0]:.1f} {enter[1]:.1f}Q{here[0]:.1f} {here[1]:.1f} {leave[0]:.1f} {leave[1]:.1f}"
        end = points[-1]
        self.out.append(f'<path class="{cls}" d="{path}L{end[0]:.1f} {end[1]:.1f}"/>')
        if head:
            dx, dy = _direction(points[-2], end)
            back, side = (end[0] - 8 * dx, end[1] - 8 * dy), (4 * dy, 4 * dx)
            self.out.append(
                f'<path class="head" d="M{end[0]:.1f} {end[1]:.1f}L{back[0] + side[0]:.1f} {back[1] + side[1]:.1f}'
                f'L{back[0] - side[0]:.1f} {back[1] - side[1]:.1f}Z"/>'
            )

    def box(self, node: str, x: float, y: float, w: float, h: float, look: Look, label: str, facts: str = "") -> None:
        """A labelled box centred at x, y: what a click on it selects is the node's path."""
        lines = [(label, "b c")] + ([(facts, "f c")] if facts else [])
        on = " on" if node == self.selected else ""
        title = self.g.nodes[node].get("explain") or label if node in self.g else label
        self.out.append(
            f'<g class="box{on}" data-node="{escape(node)}" tabindex="0" role="button" aria-label="{escape(label)}"><title>{escape(title)}</title>'
            f'<rect x="{x - w / 2:.1f}" y="{y - h / 2:.1f}" width="{w:.1f}" height="{h:.1f}" rx="{look.round}" '
            f'style="fill:var(--{look.fill});stroke:var(--{look.line})"/>'
        )
        top = y + 4.5 - (len(lines) - 1) * 8
        for i, (words, cls) in enumerate(lines):
            self.text(x, top + i * 16, _fit(words, w - 10, 13 if i == 0 else 11.5), cls, look.ink)
        self.out.append("</g>")

    def plus(self, node: str, x: float, y: float, sign: str = "+") -> None:
        on = " on" if node == self.selected else ""
        self.out.append(
            f'<g class="box{on}" data-node="{escape(node)}"><circle cx="{x:.1f}" cy="{y:.1f}" r="10" style="fill:var(--box);stroke:var(--line);stroke-width:1.4"/>'
        )
        self.text(x, y + 4.5, sign, "b c")
        self.out.append("</g>")

    def panel(
        self,
        x: float,
        y: float,
        w: float,
        h: float,
        fill: str,
        line: str,
        node: str = "",
        dashed: bool = False,
        r: float = 16,
    ) -> None:
        dash = ' stroke-dasharray="4 4"' if dashed else ""
        click = f' data-node="{escape(node)}"' if node else ""
        on = ' class="on"' if node and node == self.selected else ""
        self.out.append(
            f'<g{click}{on}><rect x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}" rx="{r}" '
            f'style="fill:var(--{fill});stroke:var(--{line});stroke-width:1.2"{dash}/></g>'
        )

    # ---- the whole ----------------------------------------------------------------------------------------------

    def svg(self) -> str:
        data = self.g.nodes["model"]
        width = COLUMN + 96 + INSET + 24 if self.wide else NARROW
        top = 92 if self.subtitle else 62
        self.text(24, 44, _fit(data["label"], width - 48, 26), "t")
        self.text(24, 68, _fit(self.subtitle, width - 48, 13), "s")
        if self.wide:
            bottom = self.column(24, top)
            insets = self.insets()
            right = COLUMN + 96
            y = top
            for part, layout in insets:
                y = self.inset(part, layout, right, y, INSET) + 22
            y = self.ribbon(right, y + 6, INSET)
            y = self.shares(right, y + 26, INSET)
            height = max(bottom, y) + 20
            self.callouts(right, insets)
        else:
            y = self.column((NARROW - COLUMN) / 2, top) + 26
            insets = self.insets()
            for part, layout in insets:
                y = self.inset(part, layout, 12, y, NARROW - 24) + 20
            y = self.ribbon(20, y + 6, NARROW - 40)
            height = self.shares(20, y + 26, NARROW - 40) + 20
        palette = "svg.strata{background:var(--page)}" + variables("svg.strata", False) if self.standalone else ""
        label = escape(f"Architecture of {data['label']}. {self.subtitle}")
        return (
            f'<svg class="strata" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:.0f}" width="{width}" height="{height:.0f}" '
            f'role="group" aria-label="{label}"><style>{palette}{STYLE}</style>{self.background(width, height)}{"".join(self.out)}</svg>'
        )

    def background(self, width: float, height: float) -> str:
        return f'<rect width="{width}" height="{height:.0f}" style="fill:var(--page)"/>' if self.standalone else ""

    # ---- the column ---------------------------------------------------------------------------------------------

    def column(self, x: float, top: float) -> float:
        """The model bottom-up in its panel; returns the y below it. Drawn downwards from the logits."""
        cx, y = x + COLUMN / 2, top + 12
        self.text(cx, y, "next-token logits", "l c")
        panel_top = y + 34
        place = len(self.out)
        y = panel_top + 34
        wires = [(cx, y - 18), (cx, top + 20)]
        self.wire(wires)
        head = self.g.nodes["head"]
        self.box("head", cx, y, 178, 32, KINDS["head"], head["label"])
        self.text(x + COLUMN - 10, y + 4, f"{head['shape_out'][-1]:,} tokens", "l e")
        y += 16
        if "norm" in self.g:
            self.wire([(cx, y + ROW + 12), (cx, y)])
            y += ROW + 12 + NORM_H / 2
            self.box("norm", cx, y, NORM_W, NORM_H, KINDS["norm"], self.g.nodes["norm"]["label"])
            y += NORM_H / 2
        blocks = [n for n in self.children["model"] if self.g.nodes[n]["kind"] == "block"]
        for block in reversed(blocks):
            self.wire([(cx, y + ROW + 14), (cx, y)])
            y = self.block(block, x + 22, y + ROW + 4, COLUMN - 44, cx)
        self.wire([(cx, y + ROW + 12), (cx, y)])
        y += ROW + 12
        y = self.embeddings(x, cx, y)
        panel = self.out[place:]
        del self.out[place:]
        self.panel(x, panel_top, COLUMN, y - panel_top + 20, "panel", "panel-line", "model", r=22)
        self.out += panel
        below = y + 20
        self.wire([(cx, below + 26), (cx, y)])
        self.box("tokens", cx, below + 40, 156, 28, KINDS["input"], self.g.nodes["tokens"]["label"])
        return below + 58

    def embeddings(self, x: float, cx: float, y: float) -> float:
        """The embedding, and the position table beside it where there is one; returns its lower edge."""
        d_model = self.g.nodes["embedding"]["shape_out"][-1]
        if "positions" not in self.g:
            self.box("embedding", cx, y + 16, 178, 32, KINDS["embedding"], "Token embedding")
            self.text(x + COLUMN - 10, y + 20, f"d_model {d_model:,}", "l e")
            return y + 32
        self.plus("embedding_add", cx, y + 10)
        left, right = cx - 12, cx + 122
        self.wire([(cx, y + 48), (cx, y + 20)])
        self.wire([(right, y + 48), (right, y + 10), (cx + 10, y + 10)])
        self.box("embedding", left - 22, y + 64, 168, 32, KINDS["embedding"], "Token embedding")
        self.box("positions", right - 8, y + 64, 104, 32, KINDS["embedding"], "Positions", "")
        self.text(x + 12, y + 14, f"d_model {d_model:,}", "l")
        return y + 80

    def block(self, block: str, x: float, y: float, w: float, cx: float) -> float:
        """One distinct block in its tinted panel; returns its lower edge."""
        data = self.g.nodes[block]
        rows = self.rows(block)
        tint = self.tint(block)
        head = 46
        heights = [max(self.size(n)[1] for n in row) for row in rows]
        height = head + sum(heights) + ROW * (len(rows) + 1) + 14
        self.panel(x, y, w, height, f"{tint}-tint", f"{tint}-line", block)
        self.text(x + 14, y + 27, f"{data['repeat']} ×", "n")
        self.text(x + 14, y + 43, _fit(data["where"], 110, 11), "l")
        share = data["parameters"] * data["repeat"] / max(self.g.nodes["model"]["parameters"], 1)
        self.text(x + w - 12, y + 24, f"{percent(share)} of parameters", "l e")
        at = y + head
        centres: dict[str, tuple[float, float]] = {}
        for row, tall in zip(reversed(rows), reversed(heights), strict=True):
            widths = [self.size(n)[0] for n in row]
            left = cx - (sum(widths) + 12 * (len(row) - 1)) / 2
            for node, width in zip(row, widths, strict=True):
                centres[node] = (left + width / 2, at + ROW + tall / 2)
                left += width + 12
            at += ROW + tall
        bottom = y + height
        self.block_wires(block, rows, centres, cx, x + w - 16, bottom)
        for node in centres:
            self.block_node(node, *centres[node], x)
        return bottom

    def rows(self, block: str) -> list[list[str]]:
        """The block's nodes bottom-up, those side by side that do not wait for one another."""
        inside = [n for n in self.children.get(block, ())]
        rank: dict[str, int] = {}
        for node in inside:
            rank[node] = 1 + max((rank[source] for source in self.sources(node) if source in rank), default=-1)
        rows: list[list[str]] = [[] for _ in range(max(rank.values(), default=-1) + 1)]
        for node in inside:
            rows[rank[node]].append(node)
        return rows

    def sources(self, node: str) -> list[str]:
        """Where the tensors into a node (or into a part's inside) come from, as nodes of the same level."""
        inner = set(self.descendants(node))
        level = self.g.nodes[node]["parent"]
        found = []
        for source, target, data in self.g.in_edges(inner, data=True):
            if source not in inner and source != "positions_index":
                found.append((self.lift(source, level), data["tensor"]))
        return list(dict.fromkeys(source for source, _ in found))

    def lift(self, node: str, level: str) -> str:
        while self.g.nodes[node]["parent"] not in (level, None):
            node = self.g.nodes[node]["parent"]
        return node

    def descendants(self, node: str) -> list[str]:
        return [node] + [d for child in self.children.get(node, ()) for d in self.descendants(child)]

    def size(self, node: str) -> tuple[float, float]:
        data = self.g.nodes[node]
        if "role" in data:
            siblings = [n for n in self.children[data["parent"]] if "role" in self.g.nodes[n]]
            side_by_side = (
                any(len(r) > 1 and node in r for r in self.rows(data["parent"])) if len(siblings) > 1 else False
            )
            return (138 if side_by_side else PART_W), PART_H
        return (20, 20) if data["kind"] in ("add", "multiply") else (NORM_W, NORM_H)

    def block_node(self, node: str, x: float, y: float, left: float) -> None:
        data = self.g.nodes[node]
        w, h = self.size(node)
        if "role" in data:
            look = ROLES[data["role"]]
            self.box(node, x, y, w, h, look, data["label"], " · ".join(data["facts"][:2]))
            self.anchors.setdefault(data["part"], (x + w / 2, y))
            rope = next((c for c in self.children.get(node, ()) if self.g.nodes[c]["kind"] == "rope"), None)
            if rope:
                at = left + 31
                self.wire([(at + 23, y), (x - w / 2, y)])
                self.box(rope, at, y, 46, 24, KINDS["rope"], "RoPE")
        elif data["kind"] == "add":
            self.plus(node, x, y)
        elif data["kind"] == "multiply":
            self.plus(node, x, y, "×")
        else:
            self.box(node, x, y, w, h, KINDS.get(data["kind"], KINDS["norm"]), data["label"])

    def block_wires(
        self, block: str, rows: list[list[str]], centres: dict, cx: float, loop_x: float, bottom: float
    ) -> None:
        """Arrows up the column, and each residual path as a loop from below its step into the plus."""
        level = {node: i for i, row in enumerate(rows) for node in row}
        lower_edge = {i: max(centres[n][1] + self.size(n)[1] / 2 for n in row) for i, row in enumerate(rows)}
        for node, (x, y) in centres.items():
            h = self.size(node)[1]
            streams = self.stream_sources(node)
            for source in self.sources(node):
                if source in streams:
                    start = level.get(source, -1) + 1  # the first row of this step
                    tap = lower_edge[start] + ROW / 2 + 2
                    self.wire([(cx, tap), (loop_x, tap), (loop_x, y), (x + 10, y)])
                    continue
                sx, sy = centres.get(source, (cx, bottom))
                sy -= self.size(source)[1] / 2 if source in centres else 0
                end = y + h / 2
                if source in centres and level[node] - level[source] > 1 and len(rows[level[source]]) > 1:
                    side = sx + self.size(source)[0] / 2 + 6  # a delayed output passes the boxes in between
                    self.wire([(sx, sy), (sx, sy - 6), (side, sy - 6), (side, y), (x + 10, y)])
                elif abs(sx - x) < 1:
                    self.wire([(x, sy), (x, end)])
                else:
                    middle = end + ROW / 2
                    self.wire([(sx, sy), (sx, middle), (x, middle), (x, end)])
            if (
                not [s for s in self.sources(node) if s in centres and s not in streams]
                and level[node] > 0
                and not streams
            ):
                self.wire([(cx, lower_edge[level[node]] + ROW / 2), (x, y + h / 2)], head=True)

    def stream_sources(self, node: str) -> set[str]:
        """The sources of a plus that are the residual stream itself."""
        if self.g.nodes[node]["kind"] != "add" or not self.g.nodes[node]["path"]:
            return set()
        level = self.g.nodes[node]["parent"]
        return {
            self.lift(s, level) for s, _, d in self.g.in_edges(node, data=True) if "stream" in d["tensor"].split(", ")
        }

    def tint(self, block: str) -> str:
        roles = [self.g.nodes[n]["role"] for n in self.children[block] if "role" in self.g.nodes[n]]
        return next((role for role in ("experts", "feed_forward") if role in roles), "attention")

    # ---- the insets ---------------------------------------------------------------------------------------------

    def insets(self) -> list[tuple[str, Layout]]:
        """The parts that are opened, from the top of the column down: one a kind, the selected one if it is of it."""
        parts: dict[str, str] = {}
        for node, data in self.g.nodes(data=True):
            if "role" in data and not node.startswith("mtp"):
                inside = self.selected == node or self.selected.startswith(node + ".")
                if data["kind"] not in parts or inside:
                    parts[data["kind"]] = node
        by_role: dict[str, list[str]] = {}
        for node in parts.values():
            by_role.setdefault(self.g.nodes[node]["role"], []).append(node)
        wanted = by_role.get("attention", [])[:2] + (by_role.get("experts") or by_role.get("feed_forward", []))[:1]
        dense = by_role.get("feed_forward", [])
        if (
            by_role.get("experts")
            and dense
            and (self.selected in dense or self.selected.startswith(tuple(d + "." for d in dense)))
        ):
            wanted += dense[:1]
        wanted.sort(key=lambda node: self.anchors[self.g.nodes[node]["part"]][1])  # so that no call-out crosses another
        return [(node, self.part_layout(node)) for node in wanted]

    def part_layout(self, part: str) -> Layout:
        boxes: dict[str, Box] = {"x": Box("x", 60, 16)}
        owner: dict[str, str] = {}
        for node in self.children.get(part, ()):
            data = self.g.nodes[node]
            shared = self.shared_of(part, node)
            owner[node] = shared or node
            if shared:
                boxes.setdefault(shared, Box(shared, 158, 44))
                continue
            boxes[node] = Box(node, *self.inner_size(part, node, data))
        edges = []
        for source, target in self.g.edges:
            if target in owner and source != "positions_index":
                a, b = owner.get(source, "x"), owner[target]
                if a != b:
                    edges.append((a, b))
        return layered(list(boxes.values()), edges)

    def shared_of(self, part: str, node: str) -> str:
        """The shared expert is one box of the experts' inset, whatever it is made of."""
        path = self.g.nodes[node]["path"]
        return f"{part}.shared" if path.startswith(f"{part}.shared.") else ""

    def inner_size(self, part: str, node: str, data: dict) -> tuple[float, float]:
        match data["kind"]:
            case "add" | "multiply":
                return 20, 20
            case "attention_core":
                return 250, 34
            case "experts":
                return self.grid(part)[2:4]
            case "router":
                return 236, 42
            case "activation" if len(data["label"]) == 1:
                return 34, 24
            case "norm":
                return max(86, text_width(data["label"]) + 26), 22
        return max(64, text_width(self.inner_label(data)) + 26), 28

    def inner_label(self, data: dict) -> str:
        if data["kind"] in ("cache", "borrowed"):
            name = data["path"].rsplit(".", 1)[-1].removesuffix("_cache").replace("_", " ")
            words = {"k": "key", "v": "value"}.get(name, name)
            size = " × ".join(f"{n:,}" for n in data["shape_out"][2:])
            return f"{words} cache {size}" if data["kind"] == "cache" else f"another layer's {words}s {size}"
        return data["label"]

    def inset(self, part: str, layout: Layout, x: float, y: float, width: float) -> float:
        """A part opened: its traced dataflow under its name and words; returns the lower edge."""
        data = self.g.nodes[part]
        look = ROLES[data["role"]]
        scale = min(1.0, (width - 40) / layout.width)
        words = _wrap(data["explain"], width - 40, 12.5)[:2]
        head = 40 + 17 * len(words) + 18
        height = head + layout.height * scale + 34
        self.inset_at[part] = (y + 24, y + height - 24)
        self.panel(x, y, width, height, f"{data['role']}-tint", look.line, part, dashed=True)
        title = data["label"] + (
            f" · {data['part'].replace('_', ' ')}" if data["part"] != data["role"] and self.twins(part) else ""
        )
        self.text(x + 20, y + 30, title, "h")
        for i, line in enumerate(words):
            self.text(x + 20, y + 50 + 17 * i, line, "s")
        left = x + 20 + (width - 40 - layout.width * scale) / 2
        self.out.append(f'<g transform="translate({left:.1f} {y + head:.1f}) scale({scale:.4f})">')
        self.flow(part, layout)
        self.out.append("</g>")
        return y + height

    def twins(self, part: str) -> bool:
        kind = self.g.nodes[part]["kind"]
        return len({d["part"] for _, d in self.g.nodes(data=True) if "role" in d and d["kind"] == kind}) > 1

    def flow(self, part: str, layout: Layout) -> None:
        """The boxes and wires of a traced part."""
        boxes = layout.boxes
        incoming: dict[str, list[tuple[str, str]]] = {}
        for edge in layout.routes:
            incoming.setdefault(edge[1], []).append(edge)
        for key, edges in incoming.items():
            for box in [boxes[key]]:
                if (
                    self.kind(key) == "attention_core"
                ):  # as wide as what it reads, so that tensors rise straight into it
                    xs = [boxes[layout.routes[e][-2]].x for e in edges]
                    box.x, box.width = (min(xs) + max(xs)) / 2, max(box.width, max(xs) - min(xs) + 60)
        ports: dict[tuple[str, str], float] = {}
        for key, edges in incoming.items():
            edges.sort(key=lambda e: boxes[layout.routes[e][-2]].x)
            box = boxes[key]
            half = max(box.width / 2 - 14, 0)
            wanted = [min(max(boxes[layout.routes[e][-2]].x, box.x - half), box.x + half) for e in edges]
            ports |= dict(
                zip(edges, spread(wanted, [min(20, 2 * half / max(len(edges) - 1, 1))] * (len(edges) - 1)), strict=True)
            )
        rank_top = {r: min(boxes[k].y - boxes[k].height / 2 for k in keys) for r, keys in enumerate(layout.order)}
        rank_low = {r: max(boxes[k].y + boxes[k].height / 2 for k in keys) for r, keys in enumerate(layout.order)}
        tracks: dict[int, list[str]] = {}
        for edge, path in layout.routes.items():
            self.route(edge, path, boxes, ports[edge], rank_top, rank_low, tracks)
        for edge in layout.routes:
            self.edge_label(part, edge, boxes, ports[edge], len(incoming[edge[1]]))
        for key, box in boxes.items():
            if not box.virtual:
                self.inner(part, key, box)
        top = next(box for box in boxes.values() if box.rank == 0)
        self.wire([(top.x, top.y - top.height / 2), (top.x, top.y - top.height / 2 - 18)])

    def route(self, edge, path, boxes, port, rank_top, rank_low, tracks) -> None:
        """One tensor's way up: straight through virtual boxes, sideways only between the ranks."""
        source = boxes[path[0]]
        points = [(source.x, source.y - source.height / 2)]
        stops = [(boxes[key].x, boxes[key]) for key in path[1:-1]] + [(port, boxes[path[-1]])]
        for x, box in stops:
            here = points[-1]
            if abs(here[0] - x) > 0.5:
                below, above = rank_top[box.rank + 1], rank_low[box.rank]
                lane = tracks.setdefault(box.rank, [])
                if path[0] not in lane:
                    lane.append(path[0])
                middle = below - (below - above) * (0.42 + 0.16 * (lane.index(path[0]) % 3))
                points += [(here[0], middle), (x, middle)]
            points.append((x, box.y + box.height / 2 if not box.virtual else box.y))
        self.wire(_straight(points))

    def edge_label(self, part: str, edge: tuple[str, str], boxes: dict[str, Box], port: float, many: int) -> None:
        """The tensor's name where several meet in one box."""
        if many < 2 or self.kind(edge[1]) not in ("attention_core", "experts"):
            return
        data = self.g.edges.get(edge)
        if not data:
            return
        box = boxes[edge[1]]
        for i, name in enumerate(data["tensor"].split(", ")[:2]):
            self.text(port + 5, box.y + box.height / 2 + 15 + 12 * i, name.replace("_", " "), "l")

    def kind(self, node: str) -> str:
        return self.g.nodes[node]["kind"] if node in self.g else ""

    def inner(self, part: str, key: str, box: Box) -> None:
        if key == "x":
            shape = ", ".join(f"{n:,}" if isinstance(n, int) else n for n in self.g.nodes[part]["shape_in"])
            self.text(box.x, box.y + 6, f"x ({shape})", "s c")
            return
        if key.endswith(".shared") and key not in self.g:
            inside = [n for n in self.children[part] if self.shared_of(part, n)]
            width = next(
                (self.g.nodes[n]["shape_out"][-1] for n in inside if self.g.nodes[n]["kind"] == "activation"), 0
            )
            self.box(
                inside[0],
                box.x,
                box.y,
                box.width,
                box.height,
                KINDS["shared"],
                "Shared expert",
                f"d_ff {width:,}, always on",
            )
            return
        data = self.g.nodes[key]
        match data["kind"]:
            case "add":
                self.plus(key, box.x, box.y)
            case "multiply":
                self.plus(key, box.x, box.y, "×")
            case "experts":
                self.expert_grid(part, key, box)
            case "router":
                self.box(
                    key,
                    box.x,
                    box.y,
                    box.width,
                    box.height,
                    KINDS["router"],
                    "Router",
                    self.routing(self.g.nodes[part]["config"]),
                )
            case kind:
                self.box(
                    key, box.x, box.y, box.width, box.height, KINDS.get(kind, KINDS["norm"]), self.inner_label(data)
                )

    def routing(self, config: dict) -> str:
        router = config["router"]
        groups = (
            f"{router['top_groups']} of {router['groups']} groups, " if router["top_groups"] < router["groups"] else ""
        )
        return f"{router['score']} scores, {groups}top {config['top_k']}"

    def grid(self, part: str) -> tuple[int, int, float, float, float]:
        """Columns, rows, width, height and cell size of the picture of all experts."""
        config = self.g.nodes[part]["config"]
        count, groups = config["count"], config["router"]["groups"]
        each = count // groups
        across = min(groups, 8) if groups > 1 else 1
        wanted = (each * (5 if groups == 1 else 2)) ** 0.5
        per_row = min((n for n in range(1, min(each, 64) + 1) if each % n == 0), key=lambda n: abs(n - wanted))
        per_row = (
            per_row if abs(per_row - wanted) < wanted / 2 else min(each, round(wanted))
        )  # full rows where there are any
        lines = -(-each // per_row) * -(-groups // across)
        cell = max(3.0, min(16.0, 420 / (per_row * across + 2 * (across - 1))))
        width = across * per_row * cell + (across - 1) * 12 + 32
        height = lines * cell + (-(-groups // across) - 1) * 12 + 46
        return per_row, across, max(width, 230), height, cell

    def expert_grid(self, part: str, key: str, box: Box) -> None:
        """Every routed expert as a cell, in the router's own groups; the filled ones are those of one live token."""
        data = self.g.nodes[part]
        per_row, across, width, height, cell = self.grid(part)
        config = data["config"]
        count, groups = config["count"], config["router"]["groups"]
        each = count // groups
        picked = set(self.chosen.get(data["part"], ()))
        open_groups = {expert // each for expert in picked}
        left, top = box.x - width / 2, box.y - height / 2
        self.out.append(
            f'<g class="box{" on" if key == self.selected else ""}" data-node="{escape(key)}" tabindex="0" role="button" aria-label="Routed experts">'
        )
        self.out.append(
            f'<rect x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}" rx="8" style="fill:var(--page);stroke:var(--experts-line)"/>'
        )
        group_w, group_h = per_row * cell, -(-each // per_row) * cell
        inset = (width - (across * group_w + (across - 1) * 12)) / 2
        cells = {"idle": [], "experts-line": [], "experts": []}
        for expert in range(count):
            group, within = divmod(expert, each)
            x = left + inset + (group % across) * (group_w + 12) + (within % per_row) * cell
            y = top + 12 + (group // across) * (group_h + 12) + (within // per_row) * cell
            tone = "experts" if expert in picked else "experts-line" if group in open_groups or groups == 1 else "idle"
            size = cell - (1.5 if cell > 5 else 0.6)
            cells[tone].append(f"M{x:.1f} {y:.1f}h{size:.1f}v{size:.1f}h-{size:.1f}z")
        for tone, paths in cells.items():
            if paths:
                self.out.append(f'<path d="{"".join(paths)}" style="fill:var(--{tone})"/>')
        width_words = f"{count} experts of width {config['d_ff']:,}"
        grouped = f" in {groups} groups" if groups > 1 else ""
        self.text(
            box.x,
            top + height - 12,
            f"{width_words}{grouped}; filled: one token's {config['top_k']}" if picked else f"{width_words}{grouped}",
            "l c",
        )
        self.out.append("</g>")

    def callouts(self, right: float, insets: list[tuple[str, Layout]]) -> None:
        """A dotted line from each opened part to its inset, in the order of the column so that none cross."""
        for part, _ in insets:
            x, y = self.anchors[self.g.nodes[part]["part"]]
            low, high = self.inset_at[part]
            target = min(max(y, low), high)
            self.out.append(
                f'<path class="call" d="M{x:.1f} {y:.1f}C{x + 60:.1f} {y:.1f} {right - 60:.1f} {target:.1f} {right:.1f} {target:.1f}"/>'
            )

    # ---- the ribbon and the bar ---------------------------------------------------------------------------------

    def ribbon(self, x: float, y: float, width: float) -> float:
        """Every layer as a cell in its block's colour, in order."""
        layers = self.g.graph["layers"]
        distinct = list(dict.fromkeys(layers))
        self.text(x, y + 12, "Layers", "b")
        kinds = f"{len(layers)} layer{'s' if len(layers) > 1 else ''}, {len(distinct)} kind{'s' if len(distinct) > 1 else ''} of block"
        self.text(x + width, y + 12, kinds, "l e")
        step = width / len(layers)
        for i, layer in enumerate(layers):
            shade = 1 - 0.55 * self.shade(layer, distinct)
            self.out.append(
                f'<rect data-node="{escape(layer)}" x="{x + i * step:.2f}" y="{y + 22}" width="{max(step - (2 if step > 6 else 0.6), 0.5):.2f}" height="20" '
                f'rx="{2 if step > 6 else 0}" style="fill:var(--{self.tint(layer)});opacity:{shade:.2f}"><title>layer {i}: {escape(self.g.nodes[layer]["label"])}</title></rect>'
            )
        self.text(x, y + 56, "0", "l")
        self.text(x + width, y + 56, str(len(layers) - 1), "l e")
        return y + 58

    def shade(self, layer: str, distinct: list[str]) -> float:
        """Blocks of one tint differ in strength: 0 for the first."""
        alike = [d for d in distinct if self.tint(d) == self.tint(layer)]
        return alike.index(layer) / max(len(alike) - 1, 1) if len(alike) > 1 else 0.0

    def shares(self, x: float, y: float, width: float) -> float:
        """One bar for where the parameters are, by role."""
        totals = self.roles()
        whole = sum(totals.values()) or 1
        self.text(x, y + 12, "Where the parameters are", "b")
        at = x
        for role, value in totals.items():
            w = width * value / whole
            self.out.append(
                f'<rect x="{at:.2f}" y="{y + 22}" width="{max(w - 1, 0.4):.2f}" height="20" style="fill:var(--{role})"><title>{escape(ROLE_WORDS[role])} {value:,}</title></rect>'
            )
            at += w
        at, line = x, y + 62
        for role, value in totals.items():
            words = f"{ROLE_WORDS[role]} {figure(value)}"
            need = text_width(words, 11.5) + 34
            if at + need > x + width and at > x:
                at, line = x, line + 20
            self.out.append(f'<circle cx="{at + 5:.1f}" cy="{line - 4}" r="5" style="fill:var(--{role})"/>')
            self.text(at + 15, line, words, "l")
            at += need
        return line + 8

    def roles(self) -> dict[str, int]:
        """Parameters of the main model by role, largest first."""
        totals: dict[str, int] = {}
        for node, data in self.g.nodes(data=True):
            if self.children.get(node) or node.startswith("mtp") or not data["parameters"]:
                continue
            repeat = data["repeat"]
            totals[self.role(node)] = totals.get(self.role(node), 0) + data["parameters"] * repeat
        return dict(sorted(totals.items(), key=lambda item: -item[1]))

    def role(self, node: str) -> str:
        data = self.g.nodes[node]
        parent = self.g.nodes[data["parent"]]
        if "role" not in parent:
            return "norm" if data["kind"] == "norm" else "embedding"
        if parent["role"] == "experts":
            if self.shared_of(data["parent"], node):
                return "shared"
            return "router" if data["kind"] == "router" else "experts"
        return parent["role"]


def _fit(words: str, width: float, size: float) -> str:
    """The words, cut with an ellipsis where they would not fit."""
    if text_width(words, size) <= width:
        return words
    while words and text_width(words + "…", size) > width:
        words = words[:-1]
    return words + "…"


def _wrap(words: str, width: float, size: float) -> list[str]:
    lines, line = [], ""
    for word in words.split():
        if text_width(f"{line} {word}", size) > width and line:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}".strip()
    return [*lines, line] if line else lines


def _straight(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Without the points that a straight line passes anyway."""
    out = points[:1]
    for here, after in zip(points[1:], points[2:]):
        if not (out[-1][0] == here[0] == after[0] or out[-1][1] == here[1] == after[1]) and here != out[-1]:
            out.append(here)
    return [*out, points[-1]]


def _towards(a: tuple[float, float], b: tuple[float, float], r: float) -> tuple[float, float]:
    dx, dy = _direction(a, b)
    return a[0] + dx * r, a[1] + dy * r


def _direction(a: tuple[float, float], b: tuple[float, float]) -> tuple[float, float]:
    dx, dy = b[0] - a[0], b[1] - a[1]
    length = (dx * dx + dy * dy) ** 0.5 or 1
    return dx / length, dy / length
