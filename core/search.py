"""What a search for models looks through, and what it finds there."""

from typing import Any

from .spec import Architecture


def text(arch: Architecture) -> str:
    """What is known of an architecture in words: its names, its maker, its note, and what each part is."""
    parts = " ".join(f"{part.label} {part.explain(arch.d_model)}" for part in map(arch.part, arch.parts))
    return f"{arch.name} {arch.title} {arch.family} {arch.organisation} {arch.note} {parts}".lower()


def undisclosed_text(entry: dict[str, Any]) -> str:
    """The same of a model whose architecture is not known."""
    return f"{entry['title']} {entry['organisation']} not disclosed".lower()


def matches(asked: str, text: str) -> bool:
    """Whether every word that is asked for is in the text."""
    return all(term in text for term in asked.lower().split())
