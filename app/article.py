"""Articles: one Markdown file each, whose figures are computed and whose references point into models that are built.

A file begins with front matter in YAML:

    title: What makes DeepSeek V3 different
    date: 2026-11-29
    lead: One sentence that answers the title.
    models:                     # the architectures that it speaks of; the first is meant where none is named
      v3: deepseek-v3
      plain: {from: deepseek-v3, title: DeepSeek-V3 with four experts, set: {parts.moe.top_k: 4}}
    context: 32768              # of the figures, if not 4,096

Its text is Markdown with two additions. `{cost.kv_bytes_per_token}` is a figure of the first model, `{plain.parts.moe.top_k}` one of
another, and `{layers.attention}` counts the layers with a part. Figures can be added, subtracted, multiplied and divided, and `| exact`
or another of `FORMS` says how the result is written. A number that is typed is an error. `[its latent](node:attention.kv_down)` points
to a box of the picture beside the text, `(model:v3)` opens a model, `(edit:parts.moe.top_k=4)` the picture's model with an edit,
`(article:NAME)` another article, `(term:kv-cache)` the glossary, `(page:gallery?q=mla)` a page, `(arxiv:2412.19437)` a paper. A fenced
block whose language is one of `BLOCKS` is a picture, a comparison, a chart, bars, a table or a demonstration; its lines are YAML.
"""

import ast
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from difflib import get_close_matches
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from markdown_it import MarkdownIt

import core
from core.compare import GROWS
from core.cost import Cost
from core.edits import with_fields
from core.evolution import adoption, evolution
from core.facets import FIGURES, TEXTS
from core.library import preset
from core.saying import joined
from core.words import figure, number, percent, size, tokens

from . import facts
from .demos import DEMOS
from .glossary import explained, glossary
from .state import link, opened

ARTICLES = Path(__file__).resolve().parent / "articles"
NAMED = {"title", "date", "lead", "models", "context"}  # front matter


class Broken(ValueError):
    """A mistake in an article, with its file and line."""

    def __init__(self, name: str, line: int, words: str):
        super().__init__(f"app/articles/{name}.md, line {line}: {words}")


# ---- blocks ----


class Text(NamedTuple):
    """Paragraphs, lists and headings, as HTML."""

    html: str


class Picture(NamedTuple):
    """The model that stands beside the text from here on."""

    of: str


class Compare(NamedTuple):
    """Two to four models, aligned row by row."""

    of: tuple[str, ...]


class Chart(NamedTuple):
    """One of `core.compare.GROWS` against the context, a line for each model."""

    of: tuple[str, ...]
    shows: str


class Bars(NamedTuple):
    """Where the parameters are: a bar for each of these models, or for each year's models, by role."""

    of: tuple[str, ...]  # empty for the years


class Table(NamedTuple):
    """The presets that answer a query of the gallery, or all, with some of its figures."""

    query: str
    figures: tuple[str, ...]
    sort: str
    most: int


class Demo(NamedTuple):
    """A demonstration, with the values that it begins with."""

    name: str
    values: Mapping[str, Any]


Block = Text | Picture | Compare | Chart | Bars | Table | Demo


@dataclass(frozen=True)
class Article:
    """An article, read and resolved."""

    name: str
    title: str
    date: date
    lead: str
    models: Mapping[str, core.Architecture]
    workload: core.Workload
    blocks: tuple[Block, ...] = ()

    @property
    def first(self) -> str:
        return next(iter(self.models))

    @cached_property
    def pictures(self) -> dict[str, str]:
        """The pictures that stand beside the text, by the names of their models."""
        shown = dict.fromkeys([self.first, *(block.of for block in self.blocks if isinstance(block, Picture))])
        return {name: beside(self.models[name]) for name in shown}


def beside(arch: core.Architecture) -> str:
    """The picture of a model in the column beside a text."""
    return facts.picture_of(arch, "", False)


def articles() -> list[str]:
    """The names of all articles, the latest first."""
    return sorted((path.stem for path in ARTICLES.glob("*.md")), key=lambda name: (article(name).date, name), reverse=True)


@cache
def article(name: str) -> Article:
    """The article of this name; Unsupported if there is none, Broken if it has a mistake."""
    path = ARTICLES / f"{name}.md"
    if not re.fullmatch(r"[a-z0-9-]{1,80}", name) or not path.is_file():
        raise core.Unsupported(f"{name[:80]!r} is no article; the page Learn lists them")
    return read(name, path.read_text(encoding="utf-8"))


# ---- reading ----


def read(name: str, source: str) -> Article:
    """An article from its source; Broken, with the line, if something in it does not resolve."""
    found = re.match(r"---\n(.*?)\n---\n", source, re.DOTALL)
    if not found:
        raise Broken(name, 1, "begin with front matter between two lines of ---")
    head = _mapping(name, 1, found[1])
    if missing := {"title", "date", "lead", "models"} - head.keys():
        raise Broken(name, 1, f"the front matter has no {min(missing)}")
    if unknown := head.keys() - NAMED:
        raise Broken(name, 1, f"the front matter has {min(unknown)!r}; give {', '.join(sorted(NAMED))}")
    if not isinstance(head["date"], date):
        raise Broken(name, 1, "give the date as 2026-11-29")
    try:
        models = {str(key): _model(given) for key, given in head["models"].items()}
        workload = core.Workload(context=head.get("context", 4_096))
    except (AttributeError, KeyError, TypeError, ValueError) as problem:
        raise Broken(name, 1, f"models: {problem}") from None
    article = Article(name, str(head["title"]), head["date"], str(head["lead"]), models, workload)
    begin = source[: found.end()].count("\n")
    told: set[str] = set()
    blocks = tuple(
        block._replace(html=explained(block.html, told)) if isinstance(block, Text) else block
        for block in _blocks(article, source[found.end() :], begin)
    )
    return replace(article, lead=_line(article, article.lead, 1), blocks=blocks)


def _model(given: Any) -> core.Architecture:
    if isinstance(given, str):
        return preset(given)
    if isinstance(given, Mapping) and given.keys() == {"step"}:
        return evolution().step(given["step"]).after
    if isinstance(given, Mapping) and given.keys() == {"from", "title", "set"}:
        return with_fields(preset(given["from"]), given["set"]).model_copy(update={"title": str(given["title"])})
    raise core.Unsupported(f"give a preset's name, {{from: NAME, title: WORDS, set: {{path: value}}}} or {{step: NAME}} (not {given})")


def _mapping(name: str, line: int, text: str) -> dict[str, Any]:
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as problem:
        at = getattr(problem, "problem_mark", None)
        raise Broken(name, line + (at.line + 1 if at else 0), f"this is not YAML ({getattr(problem, 'problem', problem)})") from None
    if not isinstance(found, dict):
        raise Broken(name, line, "give names and values, such as of: v3")
    return found


def _blocks(article: Article, source: str, begin: int) -> Iterator[Block]:
    """The blocks of a text that begins after line `begin` of its file."""
    markdown, picture = MarkdownIt("commonmark").enable("table"), article.first
    lines = source.split("\n")
    tokens = markdown.parse(source)
    fences = [token for token in tokens if token.type == "fence" and token.level == 0 and token.info.strip() in BLOCKS]
    at = 0
    for fence in [*fences, None]:
        upto = fence.map[0] if fence and fence.map else len(lines)
        if text := "\n".join(lines[at:upto]).strip("\n"):
            first = begin + at + 1 + next(n for n, line in enumerate(lines[at:upto]) if line.strip())
            yield Text(_html(article, markdown, text, first, picture))
        if fence and fence.map:
            line, at = begin + fence.map[0] + 1, fence.map[1]
            block = BLOCKS[fence.info.strip()](article, _mapping(article.name, line, fence.content or "{}"), line)
            picture = block.of if isinstance(block, Picture) else picture
            yield block


def _html(article: Article, markdown: MarkdownIt, text: str, first: int, picture: str) -> str:
    """Markdown as HTML, with its figures computed and its links resolved."""
    lines, fenced = text.split("\n"), False
    for n, words in enumerate(lines):
        fenced ^= words.startswith(("```", "~~~"))
        lines[n] = words if fenced else _line(article, words, first + n)
    tokens = markdown.parse("\n".join(lines))
    for token in tokens:
        line = first + (token.map[0] if token.map else 0)
        if token.type in ("html_block", "html_inline"):
            raise Broken(article.name, line, "HTML is not shown; write Markdown")
        for child in token.children or ():
            if child.type in ("image", "html_inline"):
                raise Broken(article.name, line, "pictures are blocks, and HTML is not shown; write Markdown")
            if child.type == "link_open":
                href = str(child.attrs["href"])
                near = (n for n, given in enumerate(lines[line - first :], line) if f"]({href})" in given)
                child.attrs = _link(article, href, next(near, line), picture)
    return markdown.renderer.render(tokens, markdown.options, {})


# ---- links ----


def boxes(arch: core.Architecture) -> dict[str, str]:
    """The boxes of a model's picture, by node, each with its name in a reference, which is the same in all layers."""
    return {node: re.sub(r"^layers\.\d+\.?", "", node) for node in re.findall(r'data-node="([^"]*)"', beside(arch))}


def nodes(arch: core.Architecture, name: str) -> list[str]:
    """The boxes that a reference means: one of the frame, or that of a block or inside a part, in all blocks."""
    return [node for node, own in boxes(arch).items() if own == name]


def _link(article: Article, href: str, line: int, picture: str) -> dict[str, str | int | float]:
    kind, _, rest = href.partition(":")
    match kind:
        case "node":
            if found := nodes(article.models[picture], rest):
                return {"href": "#picture", "data-node": " ".join(found), "class": "ref"}
            known = sorted({*boxes(article.models[picture]).values()} - {""})
            raise Broken(article.name, line, f"{rest!r} is no box of {picture}'s picture; give one of {', '.join(known)}")
        case "model":
            if rest in article.models:
                arch = article.models[rest]
            elif rest in core.presets():
                arch = preset(rest)
            else:
                raise Broken(article.name, line, f"{rest!r} is no model of this article and no preset")
            return {"href": f"/workbench{link(opened(arch))}", "target": "_self"}
        case "edit":
            path, _, value = rest.partition("=")
            try:
                arch = with_fields(article.models[picture], {path: yaml.safe_load(value)})
            except (ValueError, yaml.YAMLError) as problem:
                raise Broken(article.name, line, f"{rest!r}: {problem}") from None
            return {"href": f"/workbench{link(opened(arch))}", "target": "_self"}
        case "article":
            if not (ARTICLES / f"{rest}.md").is_file():
                raise Broken(article.name, line, f"{rest!r} is no article")
            return {"href": f"/learn?article={rest}", "target": "_self"}
        case "term":
            if rest not in {term.slug for term in glossary()}:
                raise Broken(article.name, line, f"{rest!r} is no term of the glossary; give one such as kv-cache")
            return {"href": f"/learn?glossary={rest}", "target": "_self", "class": "term"}
        case "arxiv":
            if not re.fullmatch(r"\d{4}\.\d{4,5}", rest):
                raise Broken(article.name, line, f"{rest!r} is no number of a paper; give it as 2412.19437")
            return {"href": f"https://arxiv.org/abs/{rest}", "target": "_blank", "rel": "noopener"}
        case "https":
            return {"href": href, "target": "_blank", "rel": "noopener"}
        case "page" if re.fullmatch(r"(gallery|compare|evolution|routing|learn)(\?[\w=&.%+-]*)?", rest):
            return {"href": f"/{rest}", "target": "_self"}
    raise Broken(
        article.name, line, f"{href[:60]!r} is no reference; begin it with node:, model:, edit:, article:, term:, page:, arxiv: or https:"
    )


# ---- figures ----

FORMS: dict[str, Callable[[Any], str]] = {
    "decimal": lambda n: f"{n:,.1f}",
    "exact": number,
    "figure": figure,
    "flops": lambda n: figure(n, "FLOP"),
    "percent": percent,
    "size": size,
    "times": lambda n: f"{n:,.0f} ×" if n >= 20 else f"{n:,.1f} ×",
    "tokens": lambda n: tokens(round(n)),
}
PATH = r"[A-Za-z_]\w*(?:\.\w+)*"
# Before a number that is part of a name, such as Llama 3.1 405B. It is no figure, and neither are a year and the mark of a list.
NAME = re.compile(r"[A-Z][\w.-]*(?:\s[\d.][\w.-]*)*\s?-?$")


def _line(article: Article, line: str, at: int) -> str:
    """A line of text with its figures; Broken if a number is typed."""
    bare = re.sub(r"\{[^{}]*\}|\]\([^)]*\)|`[^`]*`", "", line)
    for typed in re.finditer(r"(?<![\w.,-])\d[\d,.]*", bare):
        before = bare[: typed.start()]
        year = re.fullmatch(r"(19|20)\d\d[.,]?", typed[0])
        if not (year or NAME.search(before) or not before.strip(" >") and re.match(r"[.)] ", bare[typed.end() - 1 :])):
            raise Broken(article.name, at, f"{typed[0]!r} is typed; compute it, such as {{cost.parameters}}, or write it as a word")
    return re.sub(r"\{([^{}]*)\}", lambda found: re.sub(r"([_*`\[\]])", r"\\\1", _figure(article, found[1], at)), line)


def _figure(article: Article, given: str, line: int) -> str:
    asked, _, form = (piece.strip() for piece in given.partition("|"))
    try:
        paths = re.findall(PATH, asked)
        names = iter(range(len(paths)))  # a part may have the name of one of Python's words
        value, usual = _value(article, ast.parse(re.sub(PATH, lambda _: f"_{next(names)}", asked), mode="eval").body, paths)
        if form and form not in FORMS:
            raise core.Unsupported(f"{form!r} is no form; give one of {', '.join(FORMS)}")
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise core.Unsupported(f"{asked!r} is {type(value).__name__}, not a figure")
        return value if isinstance(value, str) else FORMS[form or usual](value)
    except (SyntaxError, AttributeError, KeyError, TypeError, ZeroDivisionError, core.Unsupported) as problem:
        said = str(problem) if isinstance(problem, core.Unsupported) else f"{asked!r} does not resolve ({problem})"
        raise Broken(article.name, line, said) from None


def _value(article: Article, asked: ast.expr, paths: list[str]) -> tuple[Any, str]:
    """The value of an expression, in which `_0` is the first path, and how it is usually written."""
    if isinstance(asked, ast.BinOp):
        (a, one), (b, other) = (_value(article, side, paths) for side in (asked.left, asked.right))
        match asked.op:
            case ast.Add():
                return a + b, one
            case ast.Sub():
                return a - b, one
            case ast.Mult():
                return a * b, one if other == "exact" else other
            case ast.Div():
                return a / b, "times" if one == other else one
    if isinstance(asked, ast.Constant):
        raise core.Unsupported("a number is typed; write the figures that give it, such as (a - b) / a")
    path = paths[int(asked.id[1:])].split(".") if isinstance(asked, ast.Name) else [""]
    if not all(piece[:1].isalpha() for piece in path):
        raise core.Unsupported("this is no figure; give a path, such as cost.parameters or parts.attention.heads")
    if path == ["presets"]:
        return len(core.presets()), "exact"
    if path[0] == "adoption" and len(path) == 3:
        return _adoption(path[1], path[2])
    if path[0] == "workload":
        return getattr(article.workload, path[1]), _form(path)
    arch = article.models[path.pop(0) if path[0] in article.models else article.first]
    value: Any = facts.cost(arch, article.workload) if path[0] == "cost" else arch
    for piece in path[1:] if path[0] == "cost" else path:
        if piece != "layers" and piece not in (known := _named(value)):
            near = get_close_matches(piece, known, 6, cutoff=0.4) or sorted(known)[:12]
            raise core.Unsupported(f"{piece!r} is not there; give {', '.join(near)}")
        if isinstance(value, Mapping):
            value = value[piece]
        elif value is arch and piece == "parts":
            value = {name: arch.part(name) for name in arch.parts}
        elif value is arch and piece == "layers":  # how many have a part
            value = Counter(name for block in arch.sequence for step in block for name in step.parts)
        else:
            value = value.by("role") if piece == "roles" else getattr(value, piece)
    return value, _form(path)


def _named(value: Any) -> list[str]:
    """The names that a path may go on with."""
    if isinstance(value, Mapping):
        return [*value]
    return [*(["roles"] if isinstance(value, Cost) else []), *(name for name in dir(value) if not name.startswith(("_", "model_")))]


def _adoption(name: str, asked: str) -> tuple[Any, str]:
    """How many presets have an idea of the evolution, and its share of the latest year's models."""
    found = adoption(name)
    year, (have, all_) = [*found.years.items()][-1]
    answers = {
        "presets": (len(found.names), "exact"), "share": (have / all_, "percent"), "models": (all_, "exact"), "year": (str(year), "exact"),
    }  # fmt: skip
    if asked not in answers:
        raise core.Unsupported(f"adoption.{name}.{asked}: give presets, share, models or year")
    return answers[asked]


USUAL = {"bytes": "size", "bytes_per_token": "size", "flops": "flops", "parameters": "figure", "context": "tokens"}


def _form(path: list[str]) -> str:
    return next((form for ending, form in USUAL.items() if path[-1].endswith(ending)), "exact")


# ---- blocks, from their YAML ----


def _names(article: Article, given: Mapping[str, Any], line: int, least: int, most: int) -> tuple[str, ...]:
    names = given.get("of", article.first)
    names = (names,) if isinstance(names, str) else tuple(names)
    if not least <= len(names) <= most:
        raise Broken(article.name, line, f"of: give {least} to {most} models")
    for name in names:
        if name not in article.models:
            raise Broken(article.name, line, f"of: {name!r} is none of this article's models, {', '.join(article.models)}")
    return names


def _only(article: Article, given: Mapping[str, Any], line: int, *known: str) -> None:
    if unknown := given.keys() - {*known}:
        raise Broken(article.name, line, f"{min(map(str, unknown))!r} is not known here; give {', '.join(known)}")


def _picture(article: Article, given: Mapping[str, Any], line: int) -> Picture:
    _only(article, given, line, "of")
    return Picture(_names(article, given, line, 1, 1)[0])


def _compare(article: Article, given: Mapping[str, Any], line: int) -> Compare:
    _only(article, given, line, "of")
    return Compare(_names(article, given, line, 2, 4))


def _chart(article: Article, given: Mapping[str, Any], line: int) -> Chart:
    _only(article, given, line, "of", "shows")
    shows = given.get("shows", "kept_bytes")
    if shows not in GROWS:
        raise Broken(article.name, line, f"shows: {shows!r} is no chart; give {', '.join(GROWS)}")
    return Chart(_names(article, given, line, 1, 4), shows)


def _bars(article: Article, given: Mapping[str, Any], line: int) -> Bars:
    _only(article, given, line, "of", "by")
    if given.get("by", "year") != "year" or len(given) > 1:
        raise Broken(article.name, line, "give of: [models], or by: year")
    return Bars(() if "by" in given else _names(article, given, line, 1, 8))


def _table(article: Article, given: Mapping[str, Any], line: int) -> Table:
    _only(article, given, line, "query", "figures", "sort", "most")
    asked = tuple(given.get("figures", ("parameters", "active", "cache")))
    sort = str(given.get("sort", "-released"))
    if unknown := {*asked, sort.removeprefix("-")} - FIGURES.keys():
        raise Broken(article.name, line, f"{min(unknown)!r} is no figure of a table; give {', '.join(FIGURES)}")
    query = str(given.get("query", ""))
    if not facts.found(query):
        raise Broken(article.name, line, f"query: no model answers {query!r}")
    if article.workload.context not in TEXTS:
        raise Broken(article.name, line, f"a table is for texts of {joined(map(number, TEXTS))} tokens: give one as the context")
    return Table(query, asked, sort, int(given.get("most", len(core.presets()))))


def _demo(article: Article, given: Mapping[str, Any], line: int) -> Demo:
    name, values = given.get("name"), {key: value for key, value in given.items() if key != "name"}
    if name not in DEMOS:
        raise Broken(article.name, line, f"name: {name!r} is no demonstration; give one of {', '.join(DEMOS)}")
    try:
        DEMOS[name].checked(values)
    except core.Unsupported as problem:
        raise Broken(article.name, line, str(problem)) from None
    return Demo(name, values)


BLOCKS: dict[str, Callable[[Article, Mapping[str, Any], int], Block]] = {
    "picture": _picture,
    "compare": _compare,
    "chart": _chart,
    "bars": _bars,
    "table": _table,
    "demo": _demo,
}
