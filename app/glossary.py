"""What the terms of the pages mean: those of parts from the parts' own words, the others from glossary.yaml."""

import re
from collections.abc import Iterator
from datetime import date
from functools import cache, lru_cache
from html import escape
from pathlib import Path
from typing import NamedTuple

import yaml

from core.facets import POSITIONS, positions
from core.kinds import choices
from core.library import preset, presets
from core.parts import PARTS

FILE = Path(__file__).with_name("glossary.yaml")
COMMON = {"state", "head", "context", "layer", "active", "weights", "heads", "token", "tokens", "cache", "states", "stream", "decode"}


class Term(NamedTuple):
    """A term, what it means in two sentences, its other names, and the box of a preset that shows it."""

    name: str
    words: str
    also: tuple[str, ...]
    model: str
    box: str

    @property
    def slug(self) -> str:
        return re.sub(r"\W+", "-", self.name.lower()).strip("-")


@cache
def glossary() -> tuple[Term, ...]:
    """All terms in the order of their names."""
    given = {one["term"]: one for one in yaml.safe_load(FILE.read_text(encoding="utf-8"))}
    written = [Term(name, one["words"], tuple(one.get("also", ())), *one["shows"].split("/")) for name, one in given.items()]
    return tuple(sorted([*written, *_of_parts()], key=lambda term: term.name.lower()))


def _of_parts() -> Iterator[Term]:
    """The kinds of parts and of positions that a preset has: what they are, and the numbers of the first preset with them."""
    dated = [(arch.released, arch) for arch in map(preset, presets()) if arch.released]
    parts = [(arch, name, arch.part(name)) for _, arch in sorted(dated, key=lambda pair: pair[0]) for name in arch.parts]
    for choice in choices():
        held = ((arch, name, part) for arch, name, part in parts if part.kind == choice.kind and choice.holds(part))
        if not (choice.form and choice.form.plain) and (first := next(held, None)):
            arch, name, part = first
            words = f"{_capital(choice.line)}. In {arch.title}: {_about(choice.line, part.explain(arch.d_model))}"
            also = choice.form.also if choice.form else PARTS[choice.kind].also
            # Names of forms with a hyphen are adjectives, such as grouped-query.
            title = f"{choice.title} {_part(PARTS[choice.kind].title)}" if choice.form and "-" in choice.title else choice.title
            yield Term(title, words, tuple(also), arch.name, name)
    for cls in POSITIONS:
        placed = ((arch, name, part) for arch, name, part in parts if any(isinstance(one, cls) for one in positions(part)))
        if first := next(placed, None):
            arch, name, part = first
            title, *names = cls.title.split(", ")
            words = f"{_capital(cls.line)}. {_first(cls.__doc__ or '')}"
            yield Term(f"Positions: {title}", words, (*names, f"{title} positions"), arch.name, name)


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


def _part(title: str) -> str:
    return title if title[1:2].isupper() else title[:1].lower() + title[1:]


def _about(line: str, words: str) -> str:
    """The sentence of a text that has most words of a line in it; the first of several."""
    own = {*re.findall(r"\w{3,}", line.lower())}
    return max(re.split(r"(?<=[.!?])\s+(?=[A-Z0-9])", words.strip()), key=lambda one: len(own & {*re.findall(r"\w{3,}", one.lower())}))


def _first(doc: str) -> str:
    """The first sentence of a docstring, without its sources and marks."""
    plain = re.sub(r"\s+", " ", re.sub(r"\s*\([^()]*(?:arXiv|GPT)[^()]*\)|`", "", doc)).strip()
    first = re.split(r"(?<=[.!?])\s", plain)[0]
    name, _, rest = first.partition(": ")
    return _capital((rest if rest and len(name.split()) <= 5 else name).rstrip(":.")) + "."


@lru_cache(maxsize=1)
def _pattern() -> tuple[re.Pattern, dict[str, Term]]:
    by_word: dict[str, Term] = {}
    for term in sorted(glossary(), key=lambda term: preset(term.model).released or date.max):  # who had a name first keeps it
        by_word |= {word.lower(): term for word in (term.name, *term.also) if word.lower() not in COMMON} | by_word
    words = sorted(by_word, key=len, reverse=True)
    return re.compile(rf"(?<![\w-])({'|'.join(map(re.escape, words))})(?![\w-])", re.IGNORECASE), by_word


def explained(html: str, told: set[str] | None = None) -> str:
    """A text in which the first use of each term has its meaning as a tooltip; `told` holds the terms that were told before it. Links,
    headings and code stay as they are."""
    told = set() if told is None else told
    pattern, by_word = _pattern()

    def mark(found: re.Match) -> str:
        term = by_word[found[0].lower()]
        if term.slug in told:
            return found[0]
        told.add(term.slug)
        return f'<a class="term" href="/learn?glossary={term.slug}" target="_self" title="{escape(term.words)}">{found[0]}</a>'

    pieces = re.split(r"(<(?:a|h\d|code)\b.*?</(?:a|h\d|code)>|<[^>]*>)", html, flags=re.DOTALL)
    return "".join(piece if n % 2 else pattern.sub(mark, piece) for n, piece in enumerate(pieces))
