"""The model's own column: bottom-up from the text to the logits, in frames that show the rhythm of the layers, with the residual
stream as a thick line, a ribbon of all layers at its left and figures at its right."""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from math import gcd
from typing import Any

import networkx as nx

from core.blocks import among, layers_in_words
from core.cycles import MOST, versus
from core.rhythm import Rhythm
from core.roles import MIXERS
from core.saying import joined, nth
from core.words import tokens

from .layered import spread
from .nodes import children, tint_of
from .pen import KINDS, LINE, NORM_H, ROLES, Look, Pen, Tone, fit, named, text_width, wrap
from .ribbon import tone, upright
from .tabs import INSIDE, SMALL, Tab, tabs

RIBBON, FRAME, BOX, NORM_W = 24, 296, 216, 132  # widths
ROW = 16  # between the rows of a block
PILL, PILLS = 18, 3  # height of a trait, and the most on one box
MOST_TABS, TAB = 4, (BOX - 20) / 2  # in one box; the width of one of two
BEFORE, BESIDE = 122, 126  # between the edges of a frame and the stream
NOTE = 14  # height of a line beside the column
TOLD = 5  # runs of layers that are counted where they have no cycle


class Column:
    """Draws the column of a graph with a pen: its ribbon's left edge at `x`, its notes from `notes` if there is room for them. `room`
    is for captions between the stream and the edge of a frame, of at most so many `lines`.

    `anchors` then says where the boxes of each part are: part -> [(left, top)], the topmost box first.
    """

    def __init__(self, graph: nx.DiGraph, pen: Pen, x: float = 0, notes: float = 0, room: float = BESIDE, lines: int = 2):
        self.g, self.pen, self.x, self.beside, self.room, self.lines = graph, pen, x, notes, room, lines
        self.left = x + RIBBON + 32
        self.cx = self.left + FRAME / 2 - 4
        self.children = children(graph)
        pen.several = "split" in graph
        self.anchors: dict[str, list[tuple[float, float]]] = {}
        self.notes: list[tuple[float, float, tuple[str, ...]]] = []  # x and y of what each is about, its lines
        self.frames = {frame["blocks"][0]: frame for cycle in graph.graph["rhythm"] for frame in cycle["frames"]}
        self.pen.selected = self.drawn(pen.selected)
        # Used many times while a block is drawn.
        for name in ("rows", "sources", "inside", "row", "size", "width", "tabs", "at", "said_below"):
            setattr(self, name, cache(getattr(self, name)))

    def drawn(self, selected: str) -> str:
        """The node that stands for the selected one: a block that shares the frame of another has only tabs of its own."""
        block, _, inner = selected.removeprefix("layers.").partition(".")
        for first, frame in self.frames.items():
            if f"layers.{block}" in frame["blocks"][1:]:
                own = {self.part(f"layers.{block}", place): self.part(first, place) for place in range(len(frame["places"]))}
                node = next((mine for mine in own if selected == mine or selected.startswith(f"{mine}.")), "")
                if node and len(set(self.place(first, [*own].index(node))["parts"])) > 1:
                    return selected
                same = own.get(node, first) if node else f"{first}.{inner}" if inner else first
                return same if same in self.g else first
        return selected

    def part(self, block: str, place: int) -> str:
        """The node of the part at a place in a block."""
        return [node for node in self.children[block] if "role" in self.g.nodes[node]][place]

    def place(self, block: str, place: int) -> dict:
        return self.frames[block]["places"][place]

    # ---- from top to bottom ----

    def draw(self, top: float) -> float:
        """From `top` downwards, logits first; returns the lower edge."""
        pen, cx, g = self.pen, self.cx, self.g
        pen.text(cx, top + 12, "next-token logits", "l c")
        head, y = g.nodes["head"], top + 38
        pen.wire([(cx, y), (cx, top + 20)])
        tied, size = g.graph["tied"], f"{head['shape_out'][-1]:,}"
        said = f"{capped} · {size} logits" if (capped := g.graph["about"]["head"]) else f"logits over {size} tokens"
        pen.box("head", cx, y + 21, BOX, 42, KINDS["head"], head["label"], said, head["explain"])
        self.note(cx + BOX / 2, y + 21, f"{head['shape_out'][-1]:,} tokens", "vocabulary; tied" if tied else "vocabulary; head not tied")
        high, y = y + 21, y + 42
        if "mtp" in g:
            y += 8
        streams = {"head": y + 9}  # where each box's input is
        for name in (name for name in ("norm", "merge") if name in g):
            pen.wire([(cx, y + 14), (cx, y)])
            pen.box(name, cx, y + 14 + NORM_H / 2, NORM_W, NORM_H, KINDS["norm"], g.nodes[name]["label"], tip=g.nodes[name]["explain"])
            y += 14 + NORM_H
            streams[name] = y + 6
        if "mtp" in g:  # it reads the input of the head, or of a box below it
            read = (
                at for name, at in streams.items() if any(node.startswith("mtp") for source in g.pred.get(name, ()) for node in g[source])
            )
            self.ahead(next(read, y + 6), (high + 21 + y + 14) / 2)
        first = y + 14
        for cycle in reversed(g.graph["rhythm"]):
            y = self.cycle(cycle, y + 14)
        if g.graph["dense"]:
            self.note(self.left + FRAME, first + 22, f"{self.depth:,} layers", g.graph["dense"])
        self.pen.wire([(cx, first), (cx, first - 14)], head=False, cls="stream")
        upright(pen, g, self.x, first, RIBBON, y - first)
        low, y = self.bottom(y)
        if tied:
            self.tie(high, low)
        self.write(top)
        return y

    def note(self, x: float, y: float, *lines: str) -> None:
        """A figure beside the column, with at most two lines about it, unless it stands there already."""
        if lines not in (said for _, _, said in self.notes):
            self.notes.append((x, y, lines))

    def write(self, top: float) -> None:
        """The figures in the order of what they are about, as near to it as there is room, each with a line to it."""
        if not self.beside:
            return
        self.notes.sort(key=lambda note: note[1])
        tall = [NOTE * len(lines) + 8 for _, _, lines in self.notes]
        ys = spread([max(y, top) for _, y, _ in self.notes], [(a + b) / 2 for a, b in zip(tall, tall[1:])])
        for (x, y, lines), at in zip(self.notes, ys, strict=True):
            path = f"M{x:.1f} {y:.1f}H{self.beside - 18:.1f}L{self.beside - 8:.1f} {at:.1f}H{self.beside - 4:.1f}"
            self.pen.out.append(f'<path class="lead" d="{path}"/><circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="2.2"/>')
            for i, line in enumerate(lines):
                self.pen.text(self.beside, at + 4 + NOTE * (i - (len(lines) - 1) / 2), fit(line, 164, 12), "q" if i == 0 else "r")

    def ahead(self, stream: float, middle: float) -> None:
        """The multi-token-prediction modules, beside the model."""
        data, x = self.g.nodes["mtp"], self.left + FRAME - 32
        turn = self.cx + NORM_W / 2 + 10
        self.pen.wire([(self.cx, stream), (turn, stream), (turn, middle), (x - 38, middle)])
        self.pen.box("mtp", x, middle, 76, 34, KINDS["mtp"], data["short"], data["facts"][0].partition(",")[0], data["explain"])

    def tie(self, high: float, low: float) -> None:
        """Embedding and head are one matrix."""
        x, near = max(self.x - 38, 5), self.cx - BOX / 2
        start = f"M{near + 80:.1f} {low - 19:.1f}v-8" if "beneath" in self.g else f"M{near:.1f} {low:.1f}"  # over the box beside it
        self.pen.out.append(f'<path class="tied" d="{start}H{x:.1f}V{high:.1f}H{near:.1f}"/>')
        self.pen.text(x, high - 8, "tied: one matrix", "r")

    def bottom(self, y: float) -> tuple[float, float]:
        """The embedding, and the position table beside it, if there is one; returns the embedding's middle, and the lower edge."""
        pen, cx, g = self.pen, self.cx, self.g
        embedding, data = g.nodes["embedding"], g.nodes
        for name in (name for name in ("split", "embedding_norm") if name in g):
            pen.wire([(cx, y + 14), (cx, y)], cls="stream")
            y += 14 + NORM_H
            pen.box(name, cx, y - NORM_H / 2, NORM_W, NORM_H, KINDS["norm"], data[name]["label"], tip=data[name]["explain"])
            if name == "split":
                self.note(
                    cx + NORM_W / 2, y - NORM_H / 2, f"{data[name]['shape_out'][2]} streams", f"of {data[name]['shape_out'][3]:,} channels"
                )
        if "ngrams" in g:
            pen.wire([(cx, y + 14), (cx, y)], cls="stream")
            y += 14 + 32
            pen.box("ngrams", cx, y - 16, 186, 32, KINDS["embedding"], data["ngrams"]["label"], tip=data["ngrams"]["explain"])
        if "positions" in g:
            pen.wire([(cx, y + 30), (cx, y)], cls="stream")
            pen.circle("embedding_add", cx, y + 26)
            pen.wire([(cx, y + 58), (cx, y + 36)])
            right = cx + BOX / 2 - 28
            pen.wire([(right, y + 58), (right, y + 26), (cx + 10, y + 26)])
            pen.box("positions", right, y + 74, 84, 32, KINDS["embedding"], "Positions", tip=data["positions"]["explain"])
            width, x, middle = BOX - 96, cx - 28, y + 74
        else:
            pen.wire([(cx, y + 18), (cx, y)], cls="stream")
            width, x, middle = (BOX - 68, cx + 34, y + 37) if "beneath" in g else (BOX, cx, y + 37)
        wide = " · ".join(filter(None, (f"{embedding['shape_out'][-1]:,} wide", g.graph["about"]["embedding"])))
        pen.box(
            "embedding", x, middle, width, 34 if width < BOX else 38, KINDS["embedding"], embedding["label"], wide, embedding["explain"]
        )
        self.note(cx + BOX / 2, middle, f"{embedding['shape_out'][-1]:,} channels", "in the stream")
        y = middle + 19
        if "beneath" in g:
            beneath = data["beneath"]
            facts = f"{beneath['shape_out'][-2]} × {beneath['shape_out'][-1]:,}"
            left = cx - BOX / 2 + (29 if "positions" not in g else -15)
            pen.wire([(x, y + 14), (left, y + 14), (left, y)])
            pen.box("beneath", left, middle, 58, 38, KINDS["embedding"], beneath["short"], facts, beneath["explain"])
        pen.wire([(x, y + 22), (x, y)])
        pen.word("tokens", x, y + 34, data["tokens"]["label"], "l c")
        if g.graph["context"]:
            self.note(x + 56, y + 30, f"{g.graph['context']:,} tokens", ", ".join(filter(None, ("context", g.graph["about"]["stretched"]))))
        return middle, y + 44

    # ---- frames ----

    def cycle(self, cycle: Mapping, y: float) -> float:
        """A cycle of layers: its only frame, or an outer frame around those of several forms; returns the lower edge."""
        frames, count = cycle["frames"], cycle["stop"] - cycle["first"]
        if len(frames) == 1:
            frame = frames[0]
            words = "one block" if len(frame["blocks"]) < max(count, 2) else "all different"
            if count < self.depth:
                words = layers_in_words(frame["layers"])
            alone = count == self.depth or tint_of(self.g, frame["blocks"][0])
            return self.block(frame, y, self.left, FRAME, f"{count:,}", words, "" if alone is True else alone)
        outside, self.pen.out = self.pen.out, []  # the outer frame is behind its content, but its height is known last
        times = cycle["whole"]
        said = f"a {self.turn(cycle)}" if cycle["length"] else self.turn(cycle)
        rest = f", and {cycle['rest']} more" if cycle["rest"] else ""
        lines = [said + rest] if text_width(said + rest, 12) <= BEFORE else [f"{said},", rest.removeprefix(", ")]
        words = f"{times or count:,} times, {said}{rest}: change how often they repeat"
        with self.pen.repeats(frames[0]["blocks"][0], words, (self.left + 6, y + 4, 120, 44)):
            self.pen.text(self.left + 14, y + 27, f"{times or count:,} ×", "n")
            for i, line in enumerate(lines):
                self.pen.text(self.left + 14, y + 43 + NOTE * i, line, "l")
        shown = frames if len(frames) <= MOST else frames[:MOST]
        own = {frame["blocks"][0]: self.own(frame, frames)[0] for frame in frames}
        ratio, about = self.about(cycle)
        if ratio:
            self.pen.text(self.left + FRAME - 14, y + 26, ratio, "h e")
        head = max(self.captions(about or ["from the bottom up"], y), NOTE * (len(lines) - 1))
        top, y = y, y + 52 + head
        if len(shown) < len(frames):
            self.pen.text(self.left + 14, y + 8, f"and {len(frames) - len(shown)} more forms", "l")
            y += 16
        for i, frame in enumerate(reversed(shown)):
            if i:
                self.pen.wire([(self.cx, y + 12), (self.cx, y)], head=False, cls="stream")
                y += 12
            number = f"{frame['times'] if cycle['length'] else len(frame['layers']):,}"
            y = self.block(frame, y, self.left + 10, FRAME - 20, number, layers_in_words(frame["layers"]), own[frame["blocks"][0]])
        self.pen.wire([(self.cx, y + 10), (self.cx, y)], head=False, cls="stream")
        y += 10
        inside, self.pen.out = self.pen.out, outside
        self.pen.panel(self.left, top, FRAME, y - top, "panel", "panel-line", r=16)
        self.pen.wire([(self.cx, top + 52 + head), (self.cx, top)], head=False, cls="stream")
        self.pen.out += inside
        return y

    def turn(self, cycle: Mapping) -> str:
        """In which cycle these layers repeat; that of each part, or of some, if they have none together."""
        if cycle["length"]:
            return f"cycle of {cycle['length']}"
        rules = self.rules(cycle)
        own = {period_of(rule) for _, rule in rules}
        if rules and 0 not in own:
            return f"{'cycles' if len(own) > 1 else 'a cycle'} of {joined(map(str, sorted(own, reverse=True)))}"
        some = (f"{word} every {nth(period)}" for word, rule in rules if (period := period_of(rule)))
        irregular = f"in {cycle['runs']} runs" if cycle["runs"] <= TOLD else "no fixed cycle"
        return next((words for words in some if text_width(words, 12) <= BEFORE), irregular)

    def about(self, cycle: Mapping) -> tuple[str, list[str]]:
        """How many layers of each form a cycle has, and in a few lines what they are and in which order."""
        frames, fixed = cycle["frames"], cycle["length"] > 0
        nouns = [self.own(frame, frames)[1] for frame in frames]
        ratio = " : ".join(str(frame["times"]) for frame in frames[:5]) if fixed else ""
        about = self.said(nouns[0], nouns[1]) if len(frames) == 2 else self.beside_stream(" : ".join(nouns))
        if not fixed and len(mixers := self.mixers(frames)) == 2:  # nearly in turn, although no cycle is whole
            (few, least), (many, most) = sorted(mixers.items(), key=lambda item: item[1])
            turn = round(most / least)
            said, order = self.said(many, few), self.order(cycle)
            about = order if len(order) > 1 else said
            return f"{'about ' * (most != turn * least)}{turn} : 1", about
        if not (fixed and cycle["ordered"]):
            order = self.order(cycle) or wrap("order: see the ribbon", self.room, 12)
            about = [*(about if fixed and len(frames) == 2 and len(about) + len(order) <= self.lines else ()), *order]
        return ratio, about

    def order(self, cycle: Mapping) -> list[str]:
        """Where the rarer parts stand in a cycle, in a few lines: "attention 5th of 8", "MoE every 2nd"; none if that is not all.
        Without a cycle, where those stand that have one of their own."""
        length, lines = cycle["length"], list[str]()
        for word, rule in self.rules(cycle):
            layers, period = rule.layers, rule.period if length else period_of(rule)
            if length and len(layers) > 1 and (length % (period or length) or len(layers) * period != length):
                return []
            if length or period:
                place = f"every {nth(period)}" if len(layers) > 1 else f"{nth(min(layers) + 1)} of {length}"
                lines += wrap(f"{word} {place}", self.room, 12)
        return self.fitting(lines)

    def rules(self, cycle: Mapping) -> list[tuple[str, Rhythm]]:
        """The rarer parts of a cycle, or of all layers without one, each by a word with where it stands in them."""
        first, length = cycle["first"], cycle["length"] or cycle["stop"] - cycle["first"]
        found: dict[str, set[int]] = {}
        for frame in cycle["frames"]:
            for at, place in enumerate(frame["places"]):
                role = self.g.nodes[self.part(frame["blocks"][0], at)]["role"]
                word = {"attention": "attention", "experts": "MoE"}.get(role, place["noun"])
                found.setdefault(word, set()).update(layer - first for layer in frame["layers"] if layer < first + length)
        rules: list[tuple[str, Rhythm]] = []
        for word, layers in sorted(found.items(), key=lambda one: (len(one[1]), one[0] == "feed-forward")):
            if len(layers) < length and {*range(length)} - layers not in [{*rule.layers} for _, rule in rules]:
                rules.append((word, Rhythm(frozenset(layers), length)))
        return rules

    def mixers(self, frames: Sequence[Mapping]) -> dict[str, int]:
        """The layers with each part that mixes tokens, by its noun."""
        found: dict[str, int] = {}
        for frame in frames:
            for at, place in enumerate(frame["places"]):
                if self.g.nodes[self.part(frame["blocks"][0], at)]["role"] in MIXERS:
                    found[place["noun"]] = found.get(place["noun"], 0) + len(frame["layers"])
        return found

    @property
    def depth(self) -> int:
        return len(self.g.graph["layers"])

    def own(self, frame: Mapping, frames: Sequence[Mapping]) -> tuple[str, str]:
        """What tells a frame from the others, its first part that not all of them have: its role, and a word for it."""
        titles = [[place["title"] for place in other["places"]] for other in frames]
        nodes = [self.part(frame["blocks"][0], place) for place in range(len(frame["places"]))]
        at = next((at for at, title in enumerate(titles[frames.index(frame)]) if not all(title in other for other in titles)), 0)
        role, word = self.g.nodes[nodes[at]]["role"], frame["places"][at]["noun"]
        alone = sum(self.g.nodes[self.part(other["blocks"][0], min(at, len(other["places"]) - 1))]["role"] == role for other in frames) == 1
        return role, {"attention": "attention", "experts": "MoE", "feed_forward": "dense"}.get(role, word) if alone else word

    # ---- a block ----

    def block(self, frame: Mapping, y: float, x: float, w: float, number: str, where: str, tint: str) -> float:
        """Layers of one form in their frame, in a role's tint; returns its lower edge."""
        pen, block = self.pen, frame["blocks"][0]
        rows = self.rows(block)
        heights = [max(self.size(node)[1] for node in row) for row in rows]
        split = self.ratio(frame) if w == FRAME else None
        header = 48 + NOTE * (len(split[1]) > 1) if split else 48 if w == FRAME else 30
        height = header + sum(heights) + ROW * (len(rows) + 1) - 2
        marked = [node for node in frame["blocks"] if node == pen.selected]
        pen.panel(
            x, y, w, height, f"{tint}-tint" if tint else "panel", f"{tint or 'panel'}-line", (marked or [block])[0], of=frame["blocks"]
        )
        size = (120.0, 44.0) if w == FRAME else (w - 12, 24.0)
        words = f"{'once' if number == '1' else f'{number} times'}, {where}: change how often they repeat"
        if text_width(where, 12) > BEFORE:
            where = among(frame["layers"])
        with pen.repeats(block, words, (x + 6, y + 4, *size), w < FRAME):
            if w == FRAME:
                pen.text(x + 14, y + 27, f"{number} ×", "n")
                pen.text(x + 14, y + 43, where, "l")
            else:
                pen.text(x + 12, y + 21, f"{number} ×", "m")
                pen.text(x + w - 12, y + 20, where, "l e")
        if split:
            pen.text(x + w - 14, y + 26, split[0], "h e")
            self.captions(split[1], y)
        at, centres = y + header - 14, {}
        for row, tall in zip(reversed(rows), reversed(heights), strict=True):
            widths = [self.size(node)[0] for node in row]
            gap = beside(len(row))
            left = self.cx - (sum(widths) + gap * (len(row) - 1)) / 2
            for node, width in zip(row, widths, strict=True):
                centres[node] = (left + width / 2, at + ROW + tall / 2)
                left += width + gap
            at += ROW + tall
        self.wires(rows, centres, x + w - 12, y, y + height)
        for node in centres:
            self.node(node, *centres[node], frame)
        return y + height

    def ratio(self, frame: Mapping) -> tuple[str, list[str]] | None:
        """How many layers of two kinds a frame has, as a ratio and in words: those that see a part of the text and those that see
        all of it, or those of the first box with two tabs."""
        for node in (self.part(frame["blocks"][0], place) for place in range(len(frame["places"]))):
            tabs = self.tabs(node)
            limited = {tab: self.g.nodes[tab.node]["reach"] is not None for tab in tabs}
            apart = len({*limited.values()}) == 2
            kinds: dict[Any, list[Tab]] = {}
            for tab in tabs:
                kinds.setdefault(limited[tab] if apart else tab, []).append(tab)
            if len(kinds) == 2:
                one, other = ([layer for tab in alike for layer in tab.layers] for alike in kinds.values())
                in_turn = max(one) > min(other) and max(other) > min(one)
                first, second = map(self.kind, kinds.values())
                return " : ".join(map(str, turns(one, other))), self.said(first, second, in_turn)
        return None

    def kind(self, alike: Sequence[Tab]) -> str:
        """What tabs of one side of a ratio have in common, in a few words within a sentence: what they see, otherwise their name."""
        for words in zip(*(tab.words for tab in alike), strict=False):
            if len({*words}) == 1 and words[0] == "all tokens":
                return "full"
        seen = {word for tab in alike for word in tab.words if _seen(word, self.g.nodes[tab.node]["reach"])}
        if len(alike) > 1 or seen:
            names = {self.g.nodes[tab.node]["label"].partition(",")[0] for tab in alike}
            return seen.pop() if len(seen) == 1 else "windows" if seen else _inside(names.pop()) if len(names) == 1 else "others"
        return _inside(alike[0].words[0]) if alike[0].words else ""

    def said(self, one: str, other: str, in_turn: bool = True) -> list[str]:
        """What a ratio is of: with shorter names where there is no room for the whole ones."""
        (first, _, last), (second, _, end) = one.rpartition(" "), other.rpartition(" ")
        if last == end and first and second:
            shorter = [(first, second), (first.rpartition(" ")[2], second), (first, second.rpartition(" ")[2])]
        else:
            twos = [" ".join(words.split()[-2:]) for words in (one, other)]  # "delta net", not "net"
            shorter = [(twos[0], other), (one, twos[1]), (twos[0], twos[1]), (last, other), (one, end), (last, end)]
        tries = (self.beside_stream(versus(*pair, in_turn)) for pair in [(one, other), *shorter])
        return next(filter(None, tries), [])

    def beside_stream(self, words: str) -> list[str]:
        """A caption between the stream and the edge of a frame; none if it does not fit."""
        return self.fitting(wrap(words, self.room, 12))

    def fitting(self, lines: list[str]) -> list[str]:
        return lines if len(lines) <= self.lines and all(text_width(line, 12) <= self.room for line in lines) else []

    def captions(self, lines: Sequence[str], y: float) -> float:
        """A caption below the ratio of a frame that begins at y; returns how much more than one line it needs."""
        for i, line in enumerate(lines):
            self.pen.text(self.left + FRAME - 14, y + 43 + NOTE * i, line, "l e")
        return NOTE * (len(lines) > 1)

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

    def row(self, node: str) -> list[str]:
        """The nodes that are side by side with this one, including itself."""
        return next(row for row in self.rows(self.g.nodes[node]["parent"]) if node in row)

    def tabs(self, node: str) -> tuple[Tab, ...]:
        """The different parts that share a box; none if it is one part's alone."""
        block = self.g.nodes[node]["parent"]
        frame, place = self.frames[block], self.at(node)
        return tabs(self.g, frame, place, {other: self.part(other, place) for other in frame["blocks"]})

    def pills(self, node: str) -> list[str]:
        """The traits that fit on a box."""
        shown, room = list(self.words(node)["traits"][:PILLS]), BOX if len(self.row(node)) == 1 else self.width(node) - 4
        while sum(text_width(word, 11) + 18 for word in shown) > room:
            shown.pop()
        return shown

    def at(self, node: str) -> int:
        """The place of a part in its block."""
        return [n for n in self.children[self.g.nodes[node]["parent"]] if "role" in self.g.nodes[n]].index(node)

    def words(self, node: str) -> Mapping:
        """The words of a frame about a part's place."""
        return self.place(self.g.nodes[node]["parent"], self.at(node))

    def size(self, node: str) -> tuple[float, float]:
        data = self.g.nodes[node]
        if data["kind"] in ("add", "multiply"):
            return 20, 20
        if "role" not in data:
            width = self.width(node)
            return width, NORM_H + LINE * (len(named(data["label"], width)[0]) - 1)
        tabs, alone = self.tabs(node), len(self.row(node)) == 1
        facts: float = 46 + LINE * self.said_below(node).count("\n") if self.said_below(node) else 34
        facts += 0 if alone else 14 + self.above(node)
        if tabs:
            lines = max(len(tab.lines(TAB)) for tab in tabs)
            shown, width = tabs[: MOST_TABS if len(tabs) <= MOST_TABS else MOST_TABS - 1], self.width(node) - 16
            below = sum(tab.high(width, alone) + 2 for tab in shown) + (SMALL + 2) * (len(shown) < len(tabs)) + 6
            facts += 46 + 14 * lines if side_by_side(tabs, alone) else below
        return self.width(node), facts + (PILL + 4 if self.pills(node) else 0)

    def width(self, node: str) -> float:
        """That of a part or norm, which shares the block's with those at its side."""
        row, part = self.row(node), "role" in self.g.nodes[node]
        width = BOX + 16 * bool(self.tabs(node)) if part else NORM_W
        if len(row) == 1:
            return width
        room = FRAME - 56 - beside(len(row)) * (len(row) - 1)
        most = {n: self.need(n, "\n") for n in row}
        if max(most.values()) <= room / len(row):
            return min(width, room / len(row))
        for ends in ("\n", r"\s", r"\s|(?<=\w\w-)(?=\w\w)"):  # where a name may go on in the next line
            needs = {n: self.need(n, ends) for n in row}
            if (spare := room - sum(needs.values())) >= 0:
                more = {n: most[n] - needs[n] or 1 for n in row}
                return needs[node] + spare * more[node] / sum(more.values())
            most = needs
        return needs[node] * room / sum(needs.values())

    def need(self, node: str, ends: str) -> float:
        """The width of a part side by side with others, for its name and its tabs, whose lines have these ends, and for its first fact
        if a name has one line."""

        def size(words: str, font: float) -> float:
            return max(text_width(piece, font) for piece in re.split(ends, words))

        tabs = self.tabs(node) if "role" in self.g.nodes[node] else ()
        fact = (self.g.nodes[node].get("facts") or [""])[0].partition(" · ")[0] if ends == "\n" else ""
        font = 11 if len(self.row(node)) > 3 else 12
        return max(44, size(self.title(node), font) + 7, text_width(fact, 11) + 8, *(size(tab.title, 11) + INSIDE + 18 for tab in tabs))

    def title(self, node: str) -> str:
        """The name of a part or norm side by side with others; of many, without the word that a colour says too."""
        name = self.g.nodes[node]["label"].partition(",")[0]
        return name.removesuffix(" attention") if len(self.row(node)) > 3 else name

    def above(self, node: str) -> float:
        """The height that the name of a part side by side with others needs above the usual two lines."""
        return LINE * max(0, len(named(self.title(node), self.width(node))[0]) - 2)

    def said_below(self, node: str) -> str:
        """The facts below the name of a part, on several lines if it is side by side with others."""
        words, room = self.pen.facts(node, " · ".join(self.words(node)["facts"][:2])), self.width(node) - 6
        if len(self.row(node)) == 1:
            return words
        lines: list[str] = []
        for word in words.split(" · "):
            if lines and text_width(f"{lines[-1]} · {word}", 11) <= room:
                lines[-1] += f" · {word}"
            elif all(text_width(line, 11) <= room for line in wrap(word, room, 11)):
                lines += wrap(word, room, 11)
        return "\n".join(lines)

    def node(self, node: str, x: float, y: float, frame: Mapping) -> None:
        pen, data, (w, h) = self.pen, self.g.nodes[node], self.size(node)
        if data["kind"] in ("add", "multiply"):
            pen.circle(node, x, y, "+" if data["kind"] == "add" else "×")
        elif "role" not in data:
            pen.box(node, x, y, w, h, KINDS.get(data["kind"], KINDS["norm"]), data["label"], tip=data["explain"])
        else:
            self.part_box(node, x, y, w, h, frame)

    def part_box(self, node: str, x: float, y: float, w: float, h: float, frame: Mapping) -> None:
        """A part with its facts, traits and tabs."""
        pen, data, alone, words = self.pen, self.g.nodes[node], len(self.row(node)) == 1, self.words(node)
        look, tabs = ROLES[data["role"]], self.tabs(node)
        title = words["title"] if alone and text_width(words["title"]) < w - 10 else words["title"].partition(",")[0]
        title = title if alone else self.title(node)
        facts = self.said_below(node)
        top = y - h / 2
        above = 0 if alone else 14 + self.above(node)
        pen.box(node, x, y, w, h, look, title, facts, data["explain"], at=top + above + (23 if facts else 16))
        at = top + above + (44 + LINE * facts.count("\n") if facts else 32)
        if shown := self.pills(node):
            pen.pills(shown, x, at, look.ink)
            at += PILL + 6
        if alone:
            each = [self.g.nodes[tab.node]["quantities"] for tab in tabs] or [data["quantities"]]
            figures = _alike(each, [len(tab.layers) for tab in tabs])[:2]
            stored = {self.g.nodes[one]["stored"] for one in ([tab.node for tab in tabs] or [node])}
            if figures and len(stored) == 1 and stored != {""}:
                figures[0] = [*figures[0][:2], f"stored in {stored.pop()}"]
            for i, lines in enumerate(pen.figures(node, figures)):
                self.note(x + w / 2, top + 18 + min(26, h - 36) * i, *lines)
        if tabs:
            self.tabbed(tabs, x, at, w, look, alone)
        elif pen.tone(node, own := tone(self.g, node)) == own != Tone(data["role"]):  # a cell as in the ribbon, where it is not as the box
            pen.out.append('<g pointer-events="none">')
            pen.cell(x - w / 2 + 8, top + h - 5, w - 16, 3, own, data["part"] in self.g.graph["borrowers"])
            pen.out.append("</g>")
        for name in [self.g.nodes[tab.node]["part"] for tab in tabs] or [data["part"]]:
            self.anchors.setdefault(name, []).append((x - w / 2, top))

    def tabbed(self, tabs: Sequence[Tab], x: float, y: float, w: float, look: Look, alone: bool) -> None:
        """Tabs in a box: two side by side joined by "or", more below each other; in a narrow box, without their layers."""
        if side_by_side(tabs, alone):
            lines = max(len(tab.lines(TAB)) for tab in tabs)
            for left, tab in zip((x - w / 2 + 8, x + 10), tabs, strict=True):
                tab.draw(self.pen, left, y, TAB, 38 + 14 * lines)
            self.pen.text(x, y + 23 + 7 * lines, "or", "b2 c", look.ink)
            return
        shown = tabs[: MOST_TABS if len(tabs) <= MOST_TABS else MOST_TABS - 1]
        for tab in shown:
            tab.draw(self.pen, x - w / 2 + 8, y, w - 16, high := tab.high(w - 16, alone), alone)
            y += high + 2
        if len(shown) < len(tabs):
            more = f"and {len(tabs) - len(shown):,} more" + ", layer by layer" * alone
            self.pen.text(x, y + 14, more, "f c", look.ink)

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
                    middle = lower[level[node]] + ROW / 2 - 2  # below its neighbours too
                    path = [(cx, start), *([(cx, middle), (x, middle)] if x != cx else []), (x, below)]
                elif level[node] - level[source] > 1:  # a delayed output passes the boxes in between
                    out, side = upper(source) - 6, sx + self.size(source)[0] / 2 + 7
                    path = [(sx, upper(source)), (sx, out), (side, out), (side, y), (x + 10, y)]
                else:
                    middle, apart = lower[level[node]] + ROW / 2, abs(sx - x) > 1
                    path = [(sx if apart else x, upper(source)), *([(sx, middle), (x, middle)] if apart else []), (x, below)]
                pen.wire(path, cls="stream" if stream else "wire")
        last = rows[-1][0]
        pen.wire([(cx, upper(last)), (cx, top)], head=False, cls="stream")


def beside(count: int) -> float:
    """What is between so many boxes side by side."""
    return 10 if count < 4 else 6


def side_by_side(tabs: Sequence[Tab], alone: bool) -> bool:
    """Whether the tabs of a box are two with an "or" between them, not below each other."""
    return alone and len(tabs) == 2 and all(text_width(tab.title, 11) <= TAB - 6 for tab in tabs)


def _alike(each: Sequence[Sequence[Sequence[str]]], layers: Sequence[int] = ()) -> list[Sequence[str]]:
    """The figures that several parts share, of so many layers each. What is about a figure names all that is true, or is left out
    where it differs; how long it holds is said with the number of layers."""
    shared: list[Sequence[str]] = []
    for lines in each[0]:
        others = [next((other for other in part if other[0] == lines[0]), ()) for part in each]
        if all(other == lines for other in others):
            shared.append(lines)
        elif all(len(other) == 2 for other in others):
            shared.append([lines[0], *either(list(dict.fromkeys(other[1] for other in others)))])
        elif len({tuple(other[:2]) for other in others}) == 1 and len({tuple(other[2:]) for other in others} - {()}) == 1:
            some = sum(count for other, count in zip(others, layers, strict=True) if other[2:])
            until = next(other[2] for other in others if other[2:])
            shared.append(
                [*lines[:2], f"{some:,} layers: {until.removeprefix('for ').removesuffix(' tokens')}" if some < sum(layers) else until]
            )
    return shared


def either(said: Sequence[str]) -> list[str]:
    """Two or three phrases as one, if they differ in one word: "heads 256 or 512 wide"."""
    words = [one.split() for one in said]
    if len(said) > 3 or len({*map(len, words)}) > 1:
        return []
    columns = [list(dict.fromkeys(column)) for column in zip(*words, strict=True)]
    return [" ".join(" or ".join(column) for column in columns)] if sum(len(column) > 1 for column in columns) == 1 else []


def period_of(rule: Rhythm) -> int:
    """After how many layers a part comes again; 0 if that is not the same everywhere."""
    return rule.period if sum(layer < rule.period for layer in rule.layers) == 1 else 0


def turns(one: Sequence[int], other: Sequence[int]) -> tuple[int, int]:
    """How many layers of two kinds there are in each turn, also where the last turn is cut short; of all layers if they take no turns."""
    layers = sorted({*one, *other})
    period = Rhythm(frozenset(layers.index(layer) for layer in other), len(layers)).period
    turn = layers[:period] if period and len(layers) == len(one) + len(other) else layers
    first, second = (sum(layer in turn for layer in kind) for kind in (one, other))
    common = gcd(first, second)
    return first // common, second // common


def _seen(word: str, reach: int | None) -> bool:
    """Whether a tab's word says how far a token sees."""
    return reach is not None and tokens(reach) in word.split()


def _inside(words: str) -> str:
    """A name within a sentence; RoPE keeps its capital."""
    return words[0].lower() + words[1:] if words.partition(" ")[0][1:].islower() else words
