"""The search for models: the text of each, and the match."""

from typing import Any

from .spec import Architecture


def text(arch: Architecture) -> str:
    """The searchable text of an architecture: its names, its maker, its note, and a description of each part."""
    parts = " ".join(f"{part.label} {part.explain(arch.d_model)}" for part in map(arch.part, arch.parts))
    return f"{arch.name} {arch.title} {arch.family} {arch.organisation} {arch.note} {parts}".lower()


def undisclosed_text(entry: dict[str, Any]) -> str:
    """The same for a model whose architecture is not disclosed."""
    return f"{entry['title']} {entry['organisation']} not disclosed".lower()


def matches(asked: str, text: str) -> bool:
    """Whether every word of the query is in the text."""
    return all(term in text for term in asked.lower().split())
