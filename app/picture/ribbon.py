"""Every layer of a model as a narrow column, in order: mixers above, parts that work on single tokens below."""

from collections.abc import Sequence
from html import escape

from core.roles import MIXERS

from .pen import Pen

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
