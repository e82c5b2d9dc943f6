"""Edits as they are typed: the options of `strata edit`, their arguments, and what each does."""

import re
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from pydantic import ValidationError

from . import budget, edits, kinds
from .cost import cost
from .reading import read_value
from .spec import Architecture, Unsupported, Workload, edited, sentence


def length(word: str) -> str:
    """A number of tokens, also written as 128K, 10M or 1e6 (argparse's type; the spec refuses other words)."""
    if found := re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)([kKmM])", word):
        size = float(found[1]) * 2 ** (10 if found[2] in "kK" else 20)
    elif re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?[eE]\+?[0-9]{1,2}", word):
        size = float(word)
    else:
        return word
    return str(int(size)) if size == int(size) else word


def _set(arch: Architecture, start: Architecture, words: str) -> Architecture:
    path, given, value = words.partition("=")
    if not given:
        raise Unsupported(f"--set {words[:80]}: give a field and its value, such as parts.moe.top_k=4")
    return edited(arch, path.strip(), read_value(value))


def _fit(arch: Architecture, start: Architecture, words: str) -> Architecture:
    """parameters=8B, active=3B, cache=2GB@32K; with `start` as the amount, as many as before the edits, by one thing alone."""
    (what, _, rest), known = words.partition("="), "parameters=8B, active=3B, active=start, cache=2GB@32K or cache=start@32K"
    asked, at, context = rest.partition("@")
    if what not in ("parameters", "active", "cache") or not asked or at and what != "cache":
        raise Unsupported(f"--fit {words[:80]}: give {known}")
    try:
        w = Workload(context=length(context)) if at else Workload()
    except ValidationError as error:
        raise Unsupported(sentence(error)) from None
    then = cost(start, w)
    match what, asked:
        case "parameters", "start":
            fit = budget.scaled(arch, parameters=then.parameters)
        case "active", "start":
            fit = budget.with_active(arch, then.active_parameters, start)
        case "parameters", _:
            fit = budget.scaled(arch, parameters=budget.amount(asked))
        case "active", _:
            fit = budget.scaled(arch, active_parameters=budget.amount(asked))
        case _:
            fit = budget.with_cache(arch, then.kept_bytes if asked == "start" else budget.amount(asked), w)
    print(f"{budget.WORDS[fit.figure]}: {fit}", file=sys.stderr)
    return fit.architecture


def _variant(arch: Architecture, start: Architecture, part: str, new: str, words: str, n: str) -> Architecture:
    nth = [layer for layer in edits.nth(arch, _whole(n)) if part in edits.parts_of(arch.sequence[layer])]
    return _set(edits.variant(arch, part, new, {}, nth), start, f"parts.{new}.{words}")


def _every(arch: Architecture, start: Architecture, rhythm: str, words: str) -> Architecture:
    (n, _, begin), (part, _, others) = rhythm.partition(":"), words.partition(":")
    name, new = _part(arch, part)
    otherwise, more = _part(arch, others) if others else (None, {})
    return edits.every(arch, _whole(n), name, otherwise, _whole(begin) if begin else None, new | more)


def _first(arch: Architecture, start: Architecture, count: str, word: str) -> Architecture:
    name, new = _part(arch, word)
    return edits.first(arch, _whole(count), name, new=new)


def _put(arch: Architecture, start: Architecture, word: str, where: str, words: str) -> Architecture:
    (name, new), (how, _, of) = _part(arch, word), words.partition(":")
    return edits.put(arch, name, _where(arch, where), how, of or None, new)


def _parallel(arch: Architecture, start: Architecture, where: str, word: str) -> Architecture:
    if word not in ("on", "off"):
        raise Unsupported(f"parallel: give on or off (not {word[:40]!r})")
    return edits.parallel(arch, _where(arch, where), word == "on")


def _part(arch: Architecture, word: str) -> tuple[str, dict[str, Any]]:
    """A part's name, and its value if it is new: NAME=KIND, or NAME=PART for a copy."""
    name, given, like = word.partition("=")
    if not given and name not in arch.parts:
        like = next((one.name for one in kinds.meant(name, kinds.choices())), "grouped_query")
        has = f"{arch.title} has no such part; it has {', '.join(arch.parts)}"
        new = name if re.fullmatch("[a-z][a-z0-9_]{0,31}", name) else "new"
        raise Unsupported(f"{name[:40]!r}: {has}. NAME=KIND makes a new one, such as {new}={like}; NAME=PART makes a copy")
    if not given:
        return name, {}
    (value,) = [arch.parts[like].model_dump(mode="json")] if like in arch.parts else edits.fresh(arch, like).values()
    return name, {name: value}


def _place(word: str) -> edits.Place | int:
    """A layer, `4`; a segment, `1:`; or a block of a segment, `1:0`."""
    segment, within, block = word.partition(":")
    return edits.Place(_whole(segment), _whole(block) if block else None) if within else _whole(segment)


def _where(arch: Architecture, word: str) -> edits.Where:
    """Blocks: `all`, a layer, the layers `3-7`, or a place."""
    if word == "all":
        return range(arch.depth)
    start, several, last = word.partition("-")
    if several:
        return range(_whole(start), min(_whole(last), arch.depth) + 1)
    place = _place(word)
    return [place] if isinstance(place, int) else place


def _whole(word: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", word):
        raise Unsupported(f"{word[:40]!r} is not a whole number of at least 0; give one such as 4")
    return int(word)


class Typed(NamedTuple):
    """An option of `strata edit`: its arguments, its help, and the edit; the architecture before all edits comes second."""

    arguments: tuple[str, ...]
    words: str
    make: Callable[..., Architecture]


EDITS = {
    "set": Typed(("PATH=VALUE",), "a field, such as parts.moe.top_k=4", _set),
    "every": Typed(
        ("N[:K]", "PART[:OTHERS]"),
        "give every N-th layer, from layer K on, this part in place of its own, and other layers OTHERS; NAME=KIND is a new part, such as "
        "local=sliding_window, and NAME=PART a copy",
        _every,
    ),
    "first": Typed(("K", "PART"), "give only the first K layers this part; a part that is not there yet is NAME=KIND or NAME=PART", _first),
    "first_dense": Typed(
        ("K",),
        "give the first K layers a feed-forward network in place of experts",
        lambda arch, start, count: edits.first_dense(arch, _whole(count)),
    ),
    "variant": Typed(
        ("PART", "NAME", "FIELD=VALUE", "N"), "give every N-th layer with the part a copy with one other field and its own name", _variant
    ),
    "put": Typed(
        ("PART", "WHERE", "HOW"), "put a part into blocks: after, before, after:OTHER, before:OTHER, beside:OTHER or instead:OTHER", _put
    ),
    "take": Typed(
        ("PART", "WHERE"),
        "take a part out of blocks; WHERE is all, LAYER, FIRST-LAST, SEGMENT: or SEGMENT:BLOCK",
        lambda arch, start, part, where: edits.taken(arch, part, _where(arch, where)),
    ),
    "parallel": Typed(("WHERE", "ON"), "on: a mixer and the part after it side by side; off: one after the other", _parallel),
    "repeat": Typed(
        ("SEGMENT[:BLOCK]", "TIMES"),
        "set the repeats of a segment, or of a block in it; 0 removes it",
        lambda arch, start, place, times: edits.repeated(arch, edits.Place(*map(_whole, place.rstrip(":").split(":", 1))), _whole(times)),
    ),
    "duplicate": Typed(
        ("PLACE",),
        "repeat a place once more behind itself; PLACE is LAYER, SEGMENT: or SEGMENT:BLOCK, all counted from 0",
        lambda arch, start, place: edits.duplicated(arch, _place(place)),
    ),
    "insert": Typed(
        ("PLACE", "PARTS"),
        "add a layer, segment or block of these parts, such as attention,dense, before this one",
        lambda arch, start, place, parts: edits.inserted(arch, _place(place), parts.split(",")),
    ),
    "remove": Typed(("PLACE",), "remove a layer, segment or block", lambda arch, start, place: edits.removed(arch, _place(place))),
    "move": Typed(
        ("PLACE", "TO"), "move a layer, segment or block", lambda arch, start, place, to: edits.moved(arch, _place(place), _place(to))
    ),
    "kind": Typed(
        ("PART", "KIND"),
        "make a part another kind, such as latent_attention, multi_query or experts; what both have carries over",
        lambda arch, start, *words: edits.swapped(arch, *words),
    ),
    "rename": Typed(("PART", "NAME"), "rename a part", lambda arch, start, *words: edits.renamed(arch, *words)),
    "fit": Typed(
        ("BUDGET",), "scale to parameters=8B or active=3B; experts alone to active=start, keys and values alone to cache=2GB@32K", _fit
    ),
    "mtp": Typed(
        ("COUNT",),
        "modules for multi-token prediction, each with the last block; 0 removes them",
        lambda arch, start, count: edits.predicting(arch, _whole(count)),
    ),
}
