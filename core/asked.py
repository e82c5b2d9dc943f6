"""A query as what it asks for: words, amounts ("8 experts", "under 10b", "128k-1m context"), a machine, an order ("newest").

What an amount is about is a noun that the figures of `facets` declare, or the name of a number in a part or a residual, with its
other names (`Also`): a new part's numbers are found without a line here.
"""

import math
import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple, get_args

from .facets import FIGURES, FITS
from .parts import PARTS, RESIDUALS
from .parts.base import Spec, named

UNITS = {"k": 3, "m": 6, "b": 9, "t": 12, "kb": 3, "mb": 6, "gb": 9, "tb": 12}  # powers of ten
BINARY = {"k": 10, "m": 20}  # and of two, for what is counted in tokens
SPOKEN = {"thousand": "k", "million": "m", "billion": "b", "bn": "b", "trillion": "t"}
WAYS = {  # how an amount may be compared, in words
    "<": "under below < fewer_than less_than smaller_than shorter_than before",
    "<=": "at_most up_to no_more_than not_more_than maximum max <= ≤ within fits_on fits_in fit_on fit_in fits fit runs_on run_on",
    ">": "over above > more_than larger_than bigger_than longer_than greater_than after beyond",
    ">=": "at_least no_less_than not_less_than minimum min >= ≥ since from",
}  # fmt: skip
_WAYS = {tuple(words.split("_")): way for way, each in WAYS.items() for words in each.split()}
BETWEEN = ("between", "of", "with", "=", ":")  # what may stand between a noun and its amount
SLACK = {1: 0.15, 2: 0.05, 3: 0.01}  # how far a figure may be from an amount of so many digits: "7b" is 5.95 to 8.05 billion
CLOSE = 0.025  # the same for tokens, which are counted in powers of two or of ten
_TOKEN = re.compile(r"huggingface\.co|[<>]=?|[≤≥=]|\d{1,3}(?:,\d{3})+(?:\.\d+)?[^\W_]*\+?|[^\W_]+(?:\.[0-9][^\W_]*)*\+?")
_AMOUNT = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)(k|m|b|t|kb|mb|gb|tb|bn)?(\+?)", re.ASCII)
_RANGE = re.compile(r"(?<![\w.-])(\d[\d.,]*[a-z]{0,2}) ?(?:[-–]| to ) ?(\d[\d.,]*[a-z]{1,2}|20\d\d)(?![\w-])")


class Word(NamedTuple):
    """A word that a model must have."""

    said: str


class Amount(NamedTuple):
    """A figure of the model that lies in one of these ranges. If it is only a number with a unit, such as "7b", it may also be a word
    in a name: `word`. It is `plain` if nothing says how to compare it."""

    said: str
    noun: str
    ranges: tuple[tuple[float, float], ...]
    word: str = ""
    plain: bool = False

    def holds(self, value: float) -> bool:
        return any(least <= value <= most for least, most in self.ranges)


class Fits(NamedTuple):
    """A machine that holds the model: the name of an option of `FITS`."""

    said: str
    option: str


class Order(NamedTuple):
    """The figure that comes first, with - for the largest."""

    said: str
    figure: str


Piece = Word | Amount | Fits | Order


@lru_cache(maxsize=64)
def asked(query: str) -> tuple[Piece, ...]:
    """The pieces of a query, in its order."""
    text = unicodedata.normalize("NFKC", query).lower()
    text = re.sub(r"(?<![\w.] )\b(?:an? )?(?=million tokens?\b)", "1 ", text) if not re.search(r"\d ?million", text) else text
    text = _RANGE.sub(r"between \1 and \2", text)
    text = re.sub(r"\b(\d+) ?[x×] (?=[a-z])", r"\1x", text)  # "8 x H100" is 8xH100
    return tuple(_pieces(_TOKEN.findall(text)))


def _pieces(said: list[str]) -> Iterator[Piece]:
    at = 0
    while at < len(said):
        for read in (_order, _machine, _number):
            if found := read(said, at):
                piece, at = found
                yield piece
                break
        else:
            if said[at] not in ("<", ">", "<=", ">=", "≤", "≥", "="):
                yield Word(said[at])
            at += 1


def _longest(said: list[str], at: int, known: dict[tuple[str, ...], Any]) -> tuple[Any, int] | None:
    """The longest of these phrases that begins here, and where it ends."""
    for many in (4, 3, 2, 1):
        phrase = tuple(map(singular, said[at : at + many]))
        if len(phrase) == many and phrase in known:
            return known[phrase], at + many
    return None


def singular(word: str) -> str:
    """A noun's singular, as far as its last letter says it."""
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def _order(said: list[str], at: int) -> tuple[Piece, int] | None:
    found = _longest(said, at, orders())
    return (Order(" ".join(said[at : found[1]]), found[0]), found[1]) if found else None


def _machine(said: list[str], at: int) -> tuple[Piece, int] | None:
    """ "h200", "fits on 8 × h100"."""
    begun = _way(said, at)
    start = begun[1] if begun and begun[0] == "<=" else at
    while start < len(said) and start > at and said[start] in ("a", "an", "one", "on", "in"):
        start += 1
    found = _longest(said, start, machines())
    return (Fits(" ".join(said[at : found[1]]), found[0]), found[1]) if found else None


def _number(said: list[str], at: int) -> tuple[Piece, int] | None:
    """An amount with what it is compared by and what it is about, on either side of it."""
    noun, here = None, at
    if found := _longest(said, here, nouns()):
        noun, here = found
        while here < len(said) - 1 and said[here] in BETWEEN[1:]:
            here += 1
    way, here = _way(said, here) or ("", here)
    several = here < len(said) and said[here] == BETWEEN[0]
    first, here = _spoken(said, here + several)
    if not first:
        return None
    second = None
    if several:
        second, here = _spoken(said, here + 1) if said[here : here + 1] == ["and"] else (None, here)
        if not second:
            return None
    after = _longest(said, here, nouns())
    if after and (not noun or f"{noun} {after[0]}" in nouns().values()):  # "top 8 experts"
        noun, here = f"{noun} {after[0]}" if noun else after[0], after[1]
    elif after and not _next_amount(said, after[1]):
        return None  # "attention window 8 experts": the noun before is a word of its own
    words = " ".join(said[at:here])
    return _made(words, noun or "", way, first, second, here)


def _made(said: str, noun: str, way: str, first: "_Number", second: "_Number | None", here: int) -> tuple[Piece, int] | None:
    if second and second.unit and not first.unit:
        first = first._replace(unit=second.unit)
    way = way or (">=" if first.plus else "")
    about = noun or first.unit or ("year" if (way or second) and 1990 <= first.number <= 2100 else "")
    if not about:
        return None
    if second:
        ranges: tuple[tuple[float, float], ...] = ((min(first.values(about)) * (1 - 1e-9), max(second.values(about)) * (1 + 1e-9)),)
    elif way:
        value = min(first.values(about)) if ">" in way else max(first.values(about))
        hair = abs(value) * 1e-9 * (1 if "=" in way else -1)
        ranges = ((value - hair, math.inf),) if ">" in way else ((-math.inf, value + hair),)
    else:
        ranges = tuple(first.about(about))
    plain = not way and not second
    return Amount(said, about, ranges, said.replace(" ", "") if plain and not noun else "", plain), here


class _Number(NamedTuple):
    text: str
    unit: str
    plus: bool

    @property
    def number(self) -> float:
        return float(self.text)

    def values(self, about: str) -> list[float]:
        """What it may mean: 128K is 128,000 or 131,072 tokens."""
        found = [self.number * 10 ** UNITS.get(self.unit, 0)]
        return [*found, self.number * 2 ** BINARY[self.unit]] if self.unit in BINARY and not _rough(about) else found

    def about(self, about: str) -> Iterator[tuple[float, float]]:
        """The figures that people would say so."""
        digits = len(self.text.replace(".", "").strip("0")) or 1
        slack = (SLACK[min(digits, 3)] if _rough(about) else CLOSE) if self.unit else 0
        yield from ((value * (1 - slack), value * (1 + slack)) for value in self.values(about))


def _rough(about: str) -> bool:
    """Whether what an amount is about is a figure that people round, such as parameters and bytes."""
    return any(one.rough for one in FIGURES.values() if about in one.units or about in one.nouns)


def _amount(token: str) -> _Number | None:
    found = _AMOUNT.fullmatch(token.replace(",", ""))
    return _Number(found[1], SPOKEN.get(found[2] or "", found[2] or ""), bool(found[3])) if found else None


def _spoken(said: list[str], at: int) -> tuple[_Number | None, int]:
    """The amount at a place and where it ends: "8b", "8 billion", "24 gb"."""
    found = _amount(said[at]) if at < len(said) else None
    if found and not found.unit and at + 1 < len(said):
        unit = SPOKEN.get(said[at + 1], said[at + 1])
        if unit in UNITS:
            return found._replace(unit=unit), at + 2
    return found, at + 1


def _next_amount(said: list[str], at: int) -> bool:
    way = _way(said, at)
    return bool(_spoken(said, way[1] if way else at)[0])


def _way(said: list[str], at: int) -> tuple[str, int] | None:
    for many in (3, 2, 1):
        if (phrase := tuple(said[at : at + many])) in _WAYS and len(phrase) == many:
            return _WAYS[phrase], at + many
    return None


def said_in(phrase: tuple[str, ...], said: tuple[str, ...]) -> bool:
    """Whether these words stand in a query side by side."""
    many, phrase = len(phrase), tuple(map(singular, phrase))
    return any(tuple(map(singular, said[at : at + many])) == phrase for at in range(len(said) - many + 1))


# ---- the words that figures, parts and machines declare ----


def _phrase(text: str) -> tuple[str, ...]:
    return tuple(map(singular, re.findall(r"[^\W_]+", text.lower())))


@lru_cache(maxsize=1)
def nouns() -> dict[tuple[str, ...], str]:
    """The nouns that an amount may be about, as words, each with its name in `numbers` or among the figures."""
    classes: set[type[Spec]] = set()
    for cls in (*PARTS.values(), *RESIDUALS.values()):
        _within(cls, classes)
    names = {name for cls in classes for field in cls.model_fields for name in named(cls, field)}
    names |= {noun for one in FIGURES.values() for noun in one.nouns}
    return {_phrase(name): name for name in sorted({*names, "year"})}


def _within(annotation: Any, found: set[type[Spec]]) -> None:
    if isinstance(annotation, type) and issubclass(annotation, Spec) and annotation not in found:
        found.add(annotation)
        for field in annotation.model_fields.values():
            _within(field.annotation, found)
    for inner in get_args(annotation):
        _within(inner, found)


@lru_cache(maxsize=1)
def machines() -> dict[tuple[str, ...], str]:
    return {phrase: one.name for one in FITS.options for phrase in (_phrase(one.title), _phrase(one.title.replace(" × ", "x")))}


@lru_cache(maxsize=1)
def orders() -> dict[tuple[str, ...], str]:
    found = {_phrase(words): name for name, one in FIGURES.items() for words in one.least}
    return found | {_phrase(words): f"-{name}" for name, one in FIGURES.items() for words in one.most}
