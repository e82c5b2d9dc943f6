"""An architecture's figures in the text: numbers that come from a field of it have that field's name, as a constant."""

import ast
from collections.abc import Iterable, Iterator
from typing import Any

from ..parts.base import Spec
from ..spec import Architecture
from .source import walk
from .values import beginning, form_of, is_number, snake

WORDS = {"base": "rope_base", "count": "experts", "zero": "zero_experts"}  # what a field is called where its owner is not at hand
GENERAL = (
    "active",
    "block",
    "dim",
    "end",
    "factor",
    "first",
    "fraction",
    "keep",
    "length",
    "limit",
    "offset",
    "rank",
    "reach",
    "scale",
    "softcap",
    "total",
    "width",
)
EPS = ("eps", "norm_eps")
LARGE = 16  # from here on a number that only one field of a part has is that field, wherever it came from
OF_MODEL = ("norm", "position", "residual", "ngrams", "embedding", "head")  # fields of an architecture that hold what it says once


Key = tuple[str, str, float]  # a kind of part, its field, the value


class Figure:
    def __init__(self, kind: str, word: str, value: float):
        self.kind, self.word, self.value, self.name = kind, word, value, ""
        self.parts: dict[str, None] = {}  # empty, also, for what the model says once
        self.nodes: list[ast.Constant] = []


class Figures:
    """The figures of a model, by what they are: a field of a kind of part, with its value."""

    def __init__(self, arch: Architecture):
        self.arch = arch
        self.shared = {key: value for field in OF_MODEL for key, value in figures_of(getattr(arch, field, None))}
        self.found: dict[Key, Figure] = {}
        self.model = {arch.vocab_size: "VOCAB_SIZE", arch.d_model: "D_MODEL"}
        self.names: dict[int, str] = {}  # of nodes, by their id
        self.ranks: list[Key] = []  # in their order in the configuration

    def take(self, pieces: list[tuple[dict[str, Spec], list[ast.stmt]]]) -> None:
        """Name the numbers in pieces of code, each with the parts that it belongs to, by name."""
        known = {part: dict(figures_of(spec)) for parts, _ in pieces for part, spec in parts.items()}
        self.ranks = [(*key, value) for some in (self.shared, *known.values()) for key, value in some.items()]
        for parts, trees in pieces:
            if not (keys := [(key, part) for part in parts for key in known[part].items()]) and not self.shared:
                continue
            by_field: dict[tuple[str, float], Key] = {}
            owners: dict[Key, dict[str, None]] = {}
            for (kind, field), value in self.shared.items():
                by_field[field, value] = kind, field, value
                owners[kind, field, value] = {"": None}
            for ((kind, field), value), part in keys:
                by_field[field, value] = kind, field, value
                owners.setdefault((kind, field, value), {})[part] = None
            by_value: dict[float, set[Key]] = {}
            turned = {kind for spec in (self.arch, *parts.values()) for (kind, _), _ in figures_of(getattr(spec, "position", None))}
            for (kind, field), value in (*(key for key, _ in keys), *self.shared.items()):
                if kind not in turned and isinstance(value, int):
                    by_value.setdefault(value, set()).add((kind, field, value))
            for node in with_forms(trees):
                held: Any = node.value if isinstance(node, ast.Constant) else None
                if isinstance(node, ast.Constant) and is_number(held) and form_of(node) is None:
                    origin = getattr(node, "origin", "")
                    key = by_field.get(("norm_eps" if origin in EPS else origin, held))
                    alike = by_value.get(held, set())
                    if key is None and len(alike) == 1 and held >= LARGE and held not in self.model:
                        (only,) = alike  # nothing else in these parts has this value
                        key = only if only[:2] not in self.shared else None
                    if key is not None:
                        kind, field, value = key
                        word = f"{snake(kind)}_{field}" if field in GENERAL else WORDS.get(field, field)
                        figure = self.found.setdefault(key, Figure(kind, word, value))
                        figure.nodes.append(node)
                        figure.parts |= owners[key]
                    elif not alike and held in self.model and held >= LARGE:
                        self.names[id(node)] = self.model[held]
        self.settle()

    def settle(self) -> None:
        """One name for one meaning: where several figures have a field's name, each has that of its parts before it."""
        by_word: dict[str, list[Figure]] = {}
        for figure in self.found.values():
            by_word.setdefault(figure.word, []).append(figure)
        taken: set[str] = {"VOCAB_SIZE", "D_MODEL", "N_LAYERS"}
        for word, some in by_word.items():
            for figure in some:
                prefix = "" if len(some) == 1 or "" in figure.parts else beginning(figure.parts)
                prefix = snake(figure.kind) if prefix[-1:].isdigit() else prefix  # attention16 says its heads itself
                figure.name = (word if prefix == word else f"{prefix}_{word}".strip("_")).upper()
            for figure in [one for one in some if one.name and [other.name for other in some].count(one.name) > 1]:
                kind = snake(figure.kind)
                figure.name = (word if kind == word else f"{kind}_{word}".strip("_")).upper()
            for figure in some:
                alone = [one for one in some if one.name == figure.name] == [figure]
                figure.name = figure.name if alone and figure.name not in taken and figure.name.isidentifier() else ""
            taken |= {figure.name for figure in some}
        self.names |= {id(node): figure.name for figure in self.found.values() if figure.name for node in figure.nodes}

    def word(self, field: str, parts: Iterable[str]) -> str:
        """The constant that a field of these parts is, if it is one."""
        of_these = {*parts, ""}
        found = {one.name for (_, key, _), one in self.found.items() if key == field and (not one.parts or of_these & one.parts.keys())}
        if not found:  # a figure of other parts with the same value
            same = {getattr(self.arch.part(part), field, None) for part in parts}
            found = {one.name for (_, key, value), one in self.found.items() if key == field and same == {value}}
        return found.pop() if len(found) == 1 else ""

    def constants(self) -> dict[str, float]:
        """The values by name, in the order of the architecture's parts and of their fields."""
        order = {part: n for n, part in enumerate(self.arch.parts)}
        rank = {key: n for n, key in enumerate(self.ranks)}

        def place(key: Key) -> tuple[int, int]:  # what all layers share comes last
            return min(order.get(part, len(order)) for part in self.found[key].parts), rank[key]

        return {figure.name: figure.value for key in sorted(self.found, key=place) if (figure := self.found[key]).name}


def with_forms(trees: list[ast.stmt]) -> Iterator[ast.AST]:
    """All nodes of trees, and of the forms of derived numbers in them."""
    left: list[Any] = [trees]
    while left:
        for node in walk(left.pop()):
            yield node
            if (form := form_of(node)) is not None:
                left.append(form)


def figures_of(spec: Any, depth: int = 0) -> Iterator[tuple[tuple[str, str], float]]:
    """The numbers of a configuration and of those in it: (kind, field), value."""
    if isinstance(spec, Spec):
        for field in type(spec).model_fields:
            value = getattr(spec, field)
            if is_number(value) and value:
                yield ("", "norm_eps") if field in EPS else (type(spec).__name__, field), value
            elif depth < 2:
                yield from figures_of(value, depth + 1)
