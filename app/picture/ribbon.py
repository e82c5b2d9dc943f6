"""Every layer of a model as a narrow column, in order: mixers above, parts that work on single tokens below."""

from collections.abc import Sequence
from functools import lru_cache
from html import escape

import networkx as nx

from core.roles import MIXERS

from .nodes import children
from .pen import Pen, text_width

# A layer's parts: (role, whether its reach is limited to a window or a chunk).
Layer = Sequence[tuple[str, bool]]


def ribbon(
    pen: Pen, layers: Sequence[Layer], x: float, y: float, width: float, height: float, tips: Sequence[str] = (), nodes: Sequence[str] = ()
) -> None:
    """Draw the layers side by side; a limited attention span is a shorter bar. A click on a layer selects its node."""
    step, half = width / len(layers), height / 2
    w = max(step - (1.6 if step > 5 else 0.5 if step > 2 else 0.2), 0.4)
    for i, parts in enumerate(layers):
        pen.out.append(f'<g data-node="{escape(nodes[i])}"><title>{escape(tips[i])}</title>' if nodes else "<g>")
        mixers = [(role, limited) for role, limited in parts if role in MIXERS]
        others = [role for role, _ in parts if role not in MIXERS]
        for j, (role, limited) in enumerate(mixers):
            tall = half / len(mixers)
            bar = (tall - 0.8) * (0.45 if limited else 1)
            pen.bar(x + i * step, y + half - 0.8 - j * tall - bar, w, bar, role)
        for j, role in enumerate(others):
            tall = half / len(others)
            pen.bar(x + i * step, y + half + 0.8 + j * tall, w, tall - 0.8, role)
        pen.out.append("</g>")


NARROW = 7  # of a cell's width, for the parts that work on single tokens


def tone(graph: nx.DiGraph, node: str) -> str:
    """The colour of a part: lighter for attention to a part of the text, or for the second of two attentions that share a frame."""
    data = graph.nodes[node]
    return data["role"] + "-near" * (data["role"] == "attention" and data["part"] in near(graph))


@lru_cache(maxsize=2)
def near(graph: nx.DiGraph) -> frozenset[str]:
    """The attentions with the lighter colour."""
    parts = {data["part"]: data["reach"] for _, data in graph.nodes(data=True) if "role" in data}
    found = {name for name, reach in parts.items() if reach is not None}
    for place in (place for cycle in graph.graph["rhythm"] for frame in cycle["frames"] for place in frame["places"]):
        names = list(dict.fromkeys(place["parts"]))
        if len({name in found for name in names}) == 1:
            found.difference_update(names[::2])
            found.update(names[1::2])
    return frozenset(found)


def upright(pen: Pen, graph: nx.DiGraph, x: float, top: float, width: float, height: float) -> None:
    """Every layer as a cell, layer 0 at the bottom: its mixers, and beside them the parts that work on single tokens.

    A layer that reads what another one keeps is hollow, and the other has a dot. A click on a cell selects its block.
    """
    names = graph.graph["layers"]
    readers = {reader for reader, lender, _ in graph.graph["lent"]}
    lenders = {lender for _, lender, _ in graph.graph["lent"]}
    inside = {name: [node for node in children(graph)[name] if "role" in graph.nodes[node]] for name in dict.fromkeys(names)}
    step = height / len(names)
    tall = max(step - (2 if step > 7 else 1 if step > 3.5 else 0.4), 0.5)
    pen.text(x + width / 2, top - 20, f"{len(names)}", "b c")
    pen.text(x + width / 2, top - 6, "layers" if len(names) > 1 else "layer", "r c")
    for layer, name in enumerate(names):
        y, parts = top + height - (layer + 1) * step + (step - tall) / 2, inside[name]
        mixers = [node for node in parts if graph.nodes[node]["role"] in MIXERS]
        others = [node for node in parts if node not in mixers]
        pen.out.append(
            f'<g data-layer="{layer}" data-node="{escape(name)}"><title>layer {layer}: {escape(graph.nodes[name]["label"])}</title>'
        )
        left = width - (NARROW + 2) * bool(mixers and others)
        for group, start, wide in ((mixers, x, left), (others, x + width - NARROW if mixers else x, NARROW if mixers else width)):
            for i, node in enumerate(group):
                each = wide / len(group)
                pen.cell(
                    start + i * each,
                    y,
                    each - (i + 1 < len(group)),
                    tall,
                    pen.tone(node, tone(graph, node)),
                    layer in readers and node in mixers,
                )
        if layer in lenders:
            pen.out.append(
                f'<circle class="lender" cx="{x + left / 2:.1f}" cy="{y + tall / 2:.1f}" r="{min(3.2, max(tall / 3, 1.6)):.1f}"/>'
            )
        pen.out.append("</g>")
    for layer in (0, len(names) - 1)[: len(names)]:
        pen.text(x - 7, top + height - (layer + 0.5) * step + 4, f"{layer}", "r e")
    if readers:
        bracket(pen, graph, x + width + 5, top, height, step)


def bracket(pen: Pen, graph: nx.DiGraph, x: float, top: float, height: float, step: float) -> None:
    """A line beside the layers that read what others keep, with a sentence along it."""
    lent = graph.graph["lent"]
    readers, lenders = sorted({reader for reader, _, _ in lent}), sorted({lender for _, lender, _ in lent})
    low, high = top + height - readers[0] * step - 1, top + height - (readers[-1] + 1) * step + 1
    pen.out.append(f'<path class="lent" d="M{x:.1f} {high:.1f}h4V{low:.1f}h-4"/>')
    kinds = {lender.rpartition(".")[2].removesuffix("_cache") for _, _, lender in lent}
    what = "K/V" if kinds <= {"k", "v"} else " and ".join(sorted(kind.replace("_", " ") for kind in kinds))
    from_ = " and ".join(map(str, lenders)) if len(lenders) < 3 else f"{len(lenders)} layers below"
    words = f"{len(readers)} layer{'s' if len(readers) > 1 else ''} read{'' if len(readers) > 1 else 's'} the {what} of {from_}"
    if (low - high) > text_width(words, 11):
        middle = (low + high) / 2
        pen.text(x + 16, middle, words, "g c", more=f' transform="rotate(-90 {x + 16:.1f} {middle:.1f})"')
