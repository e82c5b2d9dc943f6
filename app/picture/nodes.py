"""What pictures ask of a graph: its nodes by parent, its arrows, the parts of a block."""

from functools import lru_cache

import networkx as nx


@lru_cache(maxsize=4)  # also of an opened expert
def children(graph: nx.DiGraph) -> dict[str | None, list[str]]:
    """A graph's nodes by their parent, in the graph's order."""
    found: dict[str | None, list[str]] = {}
    for name, parent in graph.nodes(data="parent"):
        found.setdefault(parent, []).append(name)
    return found


@lru_cache(maxsize=4)  # also of an opened expert
def arrows(graph: nx.DiGraph) -> dict[str | None, list[tuple[str, str, str]]]:
    """The edges by the parent of their target, in the graph's order: (source, target, input from beside the stream)."""
    found: dict[str | None, list[tuple[str, str, str]]] = {}
    for source, target, beside in graph.edges(data="brings", default=""):
        found.setdefault(graph.nodes[target]["parent"], []).append((source, target, beside))
    return found


def parts_of(graph: nx.DiGraph, block: str) -> list[str]:
    """A block's parts."""
    return [node for node in children(graph).get(block, ()) if "role" in graph.nodes[node]]


def parts(graph: nx.DiGraph, block: str) -> list[dict]:
    """The data of a block's parts."""
    return [graph.nodes[node] for node in parts_of(graph, block)]


def tint_of(graph: nx.DiGraph, block: str) -> str:
    """The role that gives a block its tint: the role that distinguishes it from other blocks, experts first."""
    roles = {part["role"] for part in parts(graph, block)}
    return next((role for role in ("experts", "feed_forward", "recurrence") if role in roles), "attention")
