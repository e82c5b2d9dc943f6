"""How far a token sees: the text as a bar, for each of the attentions that share a box, with what it sees filled."""

import networkx as nx

from .pen import Pen, Tone, fit, text_width
from .ribbon import tone

ROW, FOOT, BAR = 34, 18, 9
NEAR = 0.16  # of the bar, for a limited part of the text: not to scale

Sight = tuple[str, int | None, Tone]  # a part's name, how many tokens it sees at most (None is all), its look


def sights(graph: nx.DiGraph, node: str) -> list[Sight]:
    """Those of a part and of the parts in its box; none where all see all tokens, or choose among them."""
    own, nodes = graph.nodes[node]["part"], dict[str, str]()
    for name, part in graph.nodes(data="part"):
        if part:
            nodes.setdefault(part, name)
    places = (place["parts"] for cycle in graph.graph["rhythm"] for frame in cycle["frames"] for place in frame["places"])
    shared = next((parts for parts in sorted(places, key=len, reverse=True) if own in parts), [own])
    found: dict[int | None, Sight] = {}
    for name in shared:
        data = graph.nodes[nodes[name]]
        if "sight" not in data["config"]:
            return []
        found.setdefault(data["reach"], (name.replace("_", " "), data["reach"], tone(graph, nodes[name])))
    return list(found.values()) if any(found) else []


def height(rows: list[Sight]) -> float:
    return ROW * len(rows) + FOOT if rows else 0


def draw(pen: Pen, rows: list[Sight], context: int, x: float, y: float, width: float) -> None:
    """Below each other from y downwards, over this width."""
    for i, (name, reach, look) in enumerate(rows):
        limited = reach is not None and reach < context
        said, top = f"at most the last {reach:,} tokens" if limited else f"all, up to {context:,} tokens", y + ROW * i
        pen.text(x, top + 11, fit(name, width - text_width(said, 11) - 8, 12), "q")
        pen.text(x + width, top + 11, said, "k e")
        share = width * NEAR if limited else width
        shape = f'x="{x:.1f}" y="{top + 16:.1f}" width="{width:.1f}" height="{BAR}" rx="2"'
        pen.out.append(f'<rect {shape} style="fill:var(--box);stroke:var(--{look.colour})"/>')
        pen.cell(x + width - share, top + 16, share, BAR, look, False)
    pen.text(x, y + ROW * len(rows) + 8, "first token", "k")
    pen.text(x + width, y + ROW * len(rows) + 8, "now; not to scale", "k e")
