"""What the gallery shows, kept in the URL: a query, filters, a view with its settings, and the models that are ticked to be compared.

Reading the URL gives a Finding; what a visitor does writes another. So the browser's back button is undo, and a link shows what its
sender saw.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import streamlit as st

import core
from core import facets
from core.asked import Order, asked
from core.facets import FIGURES, TEXTS, Chosen, Entry
from core.search import length_of
from core.words import tokens

from .facts import entries, found
from .state import MOST

VIEWS = {"cards": "Cards", "table": "Table", "scatter": "Scatter", "timeline": "Timeline"}
SORTS = {  # in words, by the name in a link: a figure, with - for the largest first
    "": "best match", "-released": "newest", "released": "oldest", "-parameters": "largest", "parameters": "smallest",
    "-active": "most active", "active": "fewest active", "cache": "least cache per token", "text": "least memory for a text",
    "-context": "longest context",
}  # fmt: skip
COLOURS = {"attention": "Attention", "kind": "Kind", "year": "Year", "licence": "Licence"}
LINES = {"4": "4-bit weights", "8": "8-bit weights", "16": "16-bit weights", "none": "none"}
LENGTHS = {tokens(n).lower(): n for n in TEXTS}  # of the text that caches are for, by their names in a link
STEP, MOST_ASKED = 48, 80  # models at once; characters of a query


@dataclass(frozen=True)
class Finding:
    """A query, the chosen options by facet, and how the models that are found are shown."""

    q: str = ""
    chosen: Chosen = field(default_factory=dict)
    view: str = "cards"
    sort: str = ""
    x: str = "parameters"
    y: str = "cache"
    colour: str = "attention"
    area: str = "active"  # the figure that is the size of a point, or "none"
    lines: str = "8"  # bits of a weight, for the lines of what machines hold
    text: str = ""  # one of `LENGTHS`; what the query asks for without one
    many: int = STEP  # models that are shown
    look: str = ""  # a model that is open in the picture
    pick: tuple[str, ...] = ()  # the models that are ticked

    def models(self) -> list[Entry]:
        """The models that are found, in order."""
        return order([one for one in self.asked() if facets.matches(one, self.chosen)], self.sort)

    def asked(self) -> tuple[Entry, ...]:
        """The models that answer the query, the best first, filtered or not."""
        return found(self.q, self.length)

    @property
    def length(self) -> int:
        """Tokens of the text that caches are for."""
        return LENGTHS[self.text] if self.text else length_of(self.q)

    @property
    def sorted_by(self) -> str:
        """The figure that the models are in the order of, as chosen or as the query names it; empty if it is none."""
        orders = [piece.figure for piece in asked(self.q) if isinstance(piece, Order)]
        return (self.sort or next(iter(orders), "")).removeprefix("-")


def order(models: list[Entry], sort: str) -> list[Entry]:
    """Models by a figure; those without it, such as one whose date is not known, come last."""
    if not sort:
        return models
    get, down = FIGURES[sort.removeprefix("-")].get, -1 if sort.startswith("-") else 1
    return sorted(models, key=lambda one: (get(one) is None, down * (get(one) or 0)))


@cache
def everything() -> tuple[facets.Facet, ...]:
    """All facets, with the options of the presets; the same for every visitor."""
    return facets.facets(entries())


# ---- the URL ----

AREAS = {"none": "the same"} | {name: one.title for name, one in FIGURES.items() if one.log}  # a date has no size
OPTIONS: dict[str, Mapping[str, str]] = {"view": VIEWS, "sort": dict.fromkeys(("", *FIGURES, *(f"-{name}" for name in FIGURES)), ""),
           "x": dict.fromkeys(FIGURES, ""), "y": dict.fromkeys(FIGURES, ""), "colour": COLOURS,
           "area": AREAS, "lines": LINES, "text": {"": ""} | {name: name.upper() for name in LENGTHS}}  # fmt: skip


def accepts() -> list[str]:
    """The names of the parameters of a URL."""
    return ["q", *OPTIONS, *(facet.name for facet in everything()), "many", "look", "pick"]


def read(params: Mapping[str, Any]) -> tuple[Finding, str]:
    """The Finding of a URL's parameters, and what is wrong with them, if anything is: the rest still counts."""
    problems = []
    lists = {name: [value] if isinstance(value, str) else value for name, value in params.items() if value}
    given = {name: values[-1] if name in ("q", "many", "look", *OPTIONS) else ",".join(values) for name, values in lists.items()}
    given["sort"] = {words: name for name, words in SORTS.items()}.get(given.get("sort", ""), given.get("sort", ""))
    settings: dict[str, Any] = {}
    for name, accepted in OPTIONS.items():
        if (value := given.get(name, Finding.__dataclass_fields__[name].default)) in accepted:
            settings[name] = value
        else:
            problems.append(f"{name}: {value[:40]!r} is not known; give one of {', '.join(filter(None, accepted))}")
    chosen = {}
    for facet in everything():
        wanted = given[facet.name].split(",") if facet.name in given else ()
        names = {one.name for one in facet.options}
        if unknown := [name for name in wanted if name not in names]:
            problems.append(f"{facet.name}: {unknown[0][:40]!r} is no option; give {', '.join(one.name for one in facet.options)}")
        if wanted and len(unknown) < len(wanted):
            chosen[facet.name] = tuple(dict.fromkeys(name for name in wanted if name in names))
    presets = core.presets()
    pick = tuple(dict.fromkeys(name for name in given.get("pick", "").split(",") if name in presets))[:MOST]
    look = given.get("look", "") if given.get("look", "") in presets else ""
    many = int(given["many"]) if given.get("many", "").isdecimal() and len(given["many"]) < 6 else STEP
    settings |= {"q": given.get("q", "")[:MOST_ASKED], "chosen": chosen, "many": max(many, STEP), "look": look, "pick": pick}
    return Finding(**settings), ". ".join(problems)


def write(finding: Finding) -> dict[str, str]:
    """The URL parameters of a Finding, without defaults."""
    usual = Finding()
    names = ("q", *OPTIONS, "many", "look")
    params = {name: str(getattr(finding, name)) for name in names if getattr(finding, name) != getattr(usual, name)}
    params |= {name: ",".join(options) for name, options in finding.chosen.items() if options}
    return params | ({"pick": ",".join(finding.pick)} if finding.pick else {})


def current() -> tuple[Finding, str]:
    return read({name: st.query_params.get_all(name) for name in st.query_params})


# ---- what a visitor does ----


def act(action: Any) -> None:
    """What a control asks for: `do` says what, `name` and `value` about which. Anything else is ignored."""
    before = after = current()[0]
    for one in actions_of(action):
        do, name, value = (str(one.get(key) or "")[:200] for key in ("do", "name", "value"))
        after = _after(after, do, name, value, bool(one.get("on")))
    if after != before:
        st.query_params.from_dict(write(after))


def actions_of(sent: Any) -> list[Mapping]:
    """What a browser sent, the last few actions: those that were not answered yet come again."""
    return [one for one in sent[-20:] if isinstance(one, Mapping)] if isinstance(sent, list) else []


def _after(finding: Finding, do: str, name: str, value: str, on: bool) -> Finding:
    """The page after one action; `on` says whether what it is about shall be so."""
    fresh = replace(finding, many=STEP, look="")
    match do:
        case "find":
            return replace(fresh, q=value[:MOST_ASKED])
        case "filter":
            had = finding.chosen.get(name, ())
            now = (*(one for one in had if one != value), *((value,) if on else ()))
            return replace(fresh, chosen={**finding.chosen, name: now})
        case "clear":
            return replace(fresh, chosen={other: options for other, options in finding.chosen.items() if name and other != name})
        case "loosen":  # all that hides models
            return replace(fresh, chosen={}, q="")
        case "set" if name in OPTIONS and value in OPTIONS[name]:
            settings: dict[str, Any] = {name: value}
            return replace(finding, **settings, look="")
        case "more" if value.isdecimal() and len(value) < 6:
            return replace(finding, many=int(value))
        case "look":
            return replace(finding, look=name if on else "")
        case "pick":
            left = tuple(one for one in finding.pick if one != name)
            return replace(finding, pick=((*left, name) if on else left)[:MOST])
        case "unpick":
            return replace(finding, pick=())
    return finding


def leads(action: Any, finding: Finding) -> tuple[str, dict[str, Any]] | None:
    """The page that an action leads to, and its URL parameters, if it does."""
    match actions_of(action)[-1:]:
        case [{"do": "open", "name": name}] if name in core.presets():
            return "workbench", {"preset": name}
        case [{"do": "compare"}] if finding.pick:
            return "compare", {"m": list(finding.pick)}
    return None
