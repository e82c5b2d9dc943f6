"""A small layered layout for dataflow: ranks, an order with few crossings, positions that keep long edges straight."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import accumulate
from math import inf

GAP_X, GAP_Y = 22, 36  # between boxes, and between ranks; with little room boxes are nearer
CLOSE = 12


@dataclass
class Box:
    """Something with a size; the layout gives it a rank (0 at the top) and a centre."""

    key: str
    width: float
    height: float
    virtual: bool = False
    rank: int = 0
    x: float = 0.0
    y: float = 0.0


@dataclass
class Layout:
    boxes: dict[str, Box]
    routes: dict[tuple[str, str], list[str]]  # edge -> the boxes it passes through, including virtual ones
    width: float = 0.0
    height: float = 0.0
    order: list[list[str]] = field(default_factory=list)

    @property
    def crossings(self) -> int:
        return sum(_crossings(self, a, b) for a, b in zip(self.order, self.order[1:]))


@lru_cache(maxsize=256)  # most edits do not change most insets
def layered(
    sizes: tuple[tuple[str, float, float], ...], edges: tuple[tuple[str, str], ...], room: float = inf, gap: float = GAP_X,
    between: float = GAP_Y, share: float = 1,
) -> Layout:  # fmt: skip
    """Lay out an acyclic graph of boxes (key, width, height) bottom-up: each edge goes from its source up to its target.

    Ranks with boxes that take more than this `share` of `room` are staggered: every second box is moved one rank lower. The others stay
    in `room` if the edges that pass them leave it. `gap` is the least space between boxes, `between` that between ranks."""
    by_key = {key: Box(key, width, height) for key, width, height in sizes}
    _rank(by_key, edges)
    _stagger(by_key, share * room, gap)
    layout = Layout(by_key, {})
    for edge in dict.fromkeys(edges):
        layout.routes[edge] = _split(by_key, *edge)
    ranks = max((box.rank for box in by_key.values()), default=0) + 1
    layout.order = [[key for key, box in by_key.items() if box.rank == rank] for rank in range(ranks)]
    _sweep(layout)
    _place(layout, gap, between, room)
    return layout


def _rank(boxes: dict[str, Box], edges: Iterable[tuple[str, str]]) -> None:
    """As high as the readers allow: a box is just below the lowest box that reads it; a box without readers is just
    above its inputs."""
    readers: dict[str, list[str]] = {key: [] for key in boxes}
    for source, target in edges:
        readers[source].append(target)

    def rank(key: str) -> int:
        if boxes[key].rank == 0 and readers[key]:
            boxes[key].rank = 1 + max(rank(reader) for reader in readers[key])
        return boxes[key].rank

    for key in boxes:
        rank(key)
    for key in (key for key in boxes if not readers[key]):
        boxes[key].rank = max(0, min((boxes[source].rank for source, to in edges if to == key), default=1) - 1)


def _stagger(boxes: dict[str, Box], room: float, gap: float) -> None:
    """Halve each rank until it is not too wide, from the top, and move the ranks below it down."""
    rank = 0
    while own := [box for box in boxes.values() if box.rank == rank]:
        if len(own) > 1 and sum(box.width + gap for box in own) > room:
            lower = [box for box in boxes.values() if box.rank > rank] + own[1::2]
            for box in lower:
                box.rank += 1
        else:
            rank += 1


def _split(boxes: dict[str, Box], source: str, target: str) -> list[str]:
    """The edge as steps of one rank each, through virtual boxes."""
    path = [source]
    for rank in range(boxes[source].rank - 1, boxes[target].rank, -1):
        key = f"{source}>{target}@{rank}"
        boxes[key] = Box(key, 2, 2, virtual=True, rank=rank)
        path.append(key)
    return [*path, target]


def _links(layout: Layout) -> list[tuple[str, str]]:
    return [pair for path in layout.routes.values() for pair in zip(path, path[1:])]


def _crossings(layout: Layout, upper: list[str], lower: list[str]) -> int:
    above, below = {k: i for i, k in enumerate(upper)}, {k: i for i, k in enumerate(lower)}
    pairs = sorted((below[a], above[b]) for a, b in _links(layout) if a in below and b in above)
    return sum(p[0] < q[0] and p[1] > q[1] for i, p in enumerate(pairs) for q in pairs[i + 1 :])


def _sweep(layout: Layout) -> None:
    """Barycentre sweeps up and down; keeps the best order found."""
    links = _links(layout)
    neighbours: dict[str, list[str]] = {key: [] for key in layout.boxes}
    for a, b in links:
        neighbours[a].append(b)
        neighbours[b].append(a)
    best, fewest = [list(rank) for rank in layout.order], layout.crossings
    for step in range(10):
        down = step % 2 == 0
        for index in range(1, len(layout.order)) if down else range(len(layout.order) - 2, -1, -1):
            fixed = layout.order[index - 1 if down else index + 1]
            place = {key: i for i, key in enumerate(fixed)}

            def centre(key: str, place: dict = place, own: list = layout.order[index]) -> float:
                near = [place[n] for n in neighbours[key] if n in place]
                return sum(near) / len(near) if near else own.index(key)

            layout.order[index] = sorted(layout.order[index], key=centre)
        if layout.crossings < fewest:
            best, fewest = [list(rank) for rank in layout.order], layout.crossings
    layout.order = best


def _place(layout: Layout, gap: float, between: float, room: float) -> None:
    """Horizontal positions near the neighbours' mean, in order and without overlap; long edges weigh most, so that they are straight.
    A rank that fits in `room` stays in it."""
    boxes = layout.boxes
    near: dict[str, list[str]] = {}
    links = _links(layout)
    leaves, enters = Counter(a for a, _ in links), Counter(b for _, b in links)
    for a, b in links:
        pull = 8 if leaves[a] == enters[b] == 1 else 1  # edges of a chain have the largest weight, so that it is a straight line
        near.setdefault(a, []).extend([b] * pull)
        near.setdefault(b, []).extend([a] * pull)
    for rank in layout.order:
        at = 0.0
        for key in rank:
            boxes[key].x, at = at + boxes[key].width / 2, at + boxes[key].width + gap
    for step in range(40):
        for rank in layout.order if step % 2 else reversed(layout.order):
            wanted = [sum(boxes[n].x for n in near[k]) / len(near[k]) if near.get(k) else boxes[k].x for k in rank]
            weights = [8.0 if boxes[k].virtual else 1.0 for k in rank]
            apart = [(boxes[a].width + boxes[b].width) / 2 + gap for a, b in zip(rank, rank[1:])]
            xs = spread(wanted, apart, weights)
            low, high = boxes[rank[0]].width / 2, room - boxes[rank[-1]].width / 2 - sum(apart)
            for key, x, before in zip(rank, xs, accumulate(apart, initial=0.0), strict=True):
                boxes[key].x = max(low, min(high, x - before)) + before if low <= high < inf else x
    left = min(box.x - box.width / 2 for box in boxes.values())
    for box in boxes.values():
        box.x -= left
    layout.width = max(box.x + box.width / 2 for box in boxes.values())
    y = 0.0
    for rank in layout.order:
        tall = max(boxes[key].height for key in rank)
        for key in rank:
            boxes[key].y = y + tall / 2
        y += tall + between
    layout.height = y - between


def spread(wanted: list[float], apart: list[float], weights: list[float] | None = None) -> list[float]:
    """The positions nearest to the wanted ones that keep order and distances (pool adjacent violators)."""
    weights = weights or [1.0] * len(wanted)
    offsets = [0.0]
    for distance in apart:
        offsets.append(offsets[-1] + distance)
    pools: list[tuple[float, float, int]] = []  # mean, weight, count
    for value, offset, weight in zip(wanted, offsets, weights, strict=True):
        pool = (value - offset, weight, 1)
        while pools and pools[-1][0] >= pool[0]:
            mean, heavy, many = pools.pop()
            pool = ((mean * heavy + pool[0] * pool[1]) / (heavy + pool[1]), heavy + pool[1], many + pool[2])
        pools.append(pool)
    flat = [mean for mean, _, many in pools for _ in range(many)]
    return [value + offset for value, offset in zip(flat, offsets, strict=True)]
