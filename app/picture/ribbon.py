"""Every layer of a model in order, with its mixers and the parts that work on single tokens."""

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

import networkx as nx

from core.cycles import borrowers, looks
from core.roles import MIXERS
from core.spec import Architecture

from .nodes import children
from .pen import Pen, Tone, text_width


class Cell(NamedTuple):
    """A part of a layer: its look, whether it mixes tokens, and whether it keeps nothing of its own."""

    tone: Tone
    mixes: bool
    hollow: bool = False


def cells(arch: Architecture) -> list[tuple[Cell, ...]]:
    """Every layer of an architecture that has no graph yet."""
    tones = {name: toned(arch.parts[name].role, arch.parts[name].reach, look) for name, look in looks(arch).items()}
    made = {name: Cell(tone, arch.parts[name].role in MIXERS) for name, tone in tones.items()}
    made |= {name: made[name]._replace(hollow=True) for name in borrowers(arch)}

    return [tuple(made[name] for step in block for name in step.parts) for block in arch.sequence]


def ribbon(pen: Pen, layers: Sequence[Sequence[Cell]], width: float, height: float) -> None:
    """The layers side by side; those that look alike are one path, as a page has many ribbons."""
    step, half = width / len(layers), height / 2
    w = max(step - (1.6 if step > 5 else 0.5 if step > 2 else 0.2), 0.4)
    alike: dict[str, list[str]] = {}
    for i, parts in enumerate(layers):
        mixers, others = ([cell for cell in parts if cell.mixes is mixes] for mixes in (True, False))
        for group, top in ((mixers, 0.0), (others, half + 0.8)):
            tall = half / max(len(group), 1)
            for j, cell in enumerate(group):
                x, y, h = i * step, top + j * tall, tall - 0.8
                if cell.hollow or cell.tone.dashed:
                    pen.cell(x, y, w, h, cell.tone, cell.hollow)
                else:
                    alike.setdefault(cell.tone.colour, []).append(f"M{x:.1f} {y:.1f}h{w:.1f}v{h:.1f}h-{w:.1f}z")
    for colour, pieces in alike.items():
        pen.out.append(f'<path d="{"".join(pieces)}" style="fill:var(--{colour})"/>')


NARROW = 7  # of a cell's width, for the parts that work on single tokens


def tone(graph: nx.DiGraph, node: str) -> Tone:
    """How a part looks in the ribbon."""
    data = graph.nodes[node]
    return toned(data["role"], data["reach"], graph.graph["looks"].get(data["part"], 0))


def toned(role: str, reach: int | None, look: int) -> Tone:
    """Attention is dark where it sees all tokens and light where it sees a part of them. The second look of a role has another shade,
    the third and fourth have a dash."""
    near = "-near" * (role == "attention" and reach is not None)
    return Tone(f"{role}{near}{'-2' * (look % 2)}", look > 1)


def upright(pen: Pen, graph: nx.DiGraph, x: float, top: float, width: float, height: float) -> None:
    """Every layer as a cell, layer 0 at the bottom: its mixers, and beside them the parts that work on single tokens.

    A layer that keeps nothing and reads what another one keeps is hollow; layers that are read have a dot, unless they are most of all.
    A click on a cell selects its block.
    """
    names = graph.graph["layers"]
    readers, lenders = ({link[side] for link in graph.graph["lent"]} for side in (0, 1))
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
                    graph.nodes[node]["part"] in graph.graph["borrowers"],
                )
        if layer in lenders and 2 * len(lenders) <= len(names):
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
    from_ = " and ".join(map(str, lenders)) if len(lenders) < 3 else f"{len(lenders):,} layers below"
    words = f"{len(readers):,} layer{'s' if len(readers) > 1 else ''} read{'' if len(readers) > 1 else 's'} the {what} of {from_}"
    if (low - high) > text_width(words, 11):
        middle = (low + high) / 2
        pen.text(x + 16, middle, words, "g c", more=f' transform="rotate(-90 {x + 16:.1f} {middle:.1f})"')
