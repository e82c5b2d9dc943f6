"""What pages show, computed by core and cached by the architecture's value, so all visitors of a model share it."""

import re
from functools import lru_cache
from threading import Lock

import core
from core import offers, search
from core.facets import TEXT, TEXTS, Entry, entry
from core.kept import kept, weight
from core.library import preset
from core.parts.experts import Experts
from core.routing import glimpse
from core.shares import Shares, shares
from core.split import apart as split_apart
from core.split import split as split_of
from core.words import figure, size, tokens

from .picture.alongside import alongside
from .picture.diagram import diagram
from .picture.sheet import sheet
from .picture.standalone import pdf, png, standalone
from .picture.zoom import zoom

FORMS = ("svg", "png", "pdf")  # of `picture_as`


decoded = kept(32_000_000, weight)(core.decode)
encoded = kept(8_000_000)(core.encode)
apart = kept(16_000_000, lambda edits: 1_000 + 2 * sum(weight(edit.after) for edit in edits))(split_apart)
split = kept(32_000_000, lambda edits: 1_000 + sum(weight(edit.after) for edit in edits))(split_of)
cost = kept(64_000_000, lambda found: weight(found.architecture) + 1_500 * len(found.rows))(core.cost)
graph = kept(100_000_000, lambda found: 2_200 * len(found))(core.graph)


def shares_of(arch: core.Architecture, by: str, workload: core.Workload | None) -> Shares:
    return shares(cost(arch, workload), by)


@kept(32_000_000)
def picture_of(arch: core.Architecture, selected: str = "", wide: bool = True, by: str = "", workload: core.Workload | None = None) -> str:
    """The diagram with the selected node marked, by role or shaded `by` a measure at a workload; Unsupported if that is not known."""
    found = shares_of(arch, by, workload) if by else None
    words = found.answer if found else subtitle(arch)
    return diagram(graph(arch), parameters(arch), words, selected, glimpses(arch), wide, found)


@kept(16_000_000)
def alongside_of(archs: tuple[core.Architecture, ...], wide: bool = True) -> str:
    """The diagrams of several architectures beside each other, aligned row by row."""
    return alongside(archs, [graph(arch) for arch in archs], [parameters(arch) for arch in archs], 1216 if wide else 358, wide)


def sheet_of(archs: tuple[core.Architecture, ...], workload: core.Workload, dark: bool = False) -> bytes:
    """A whole comparison as a PNG of twice its size."""
    svg = sheet(compared(archs, workload), [graph(arch) for arch in archs], [parameters(arch) for arch in archs])
    width, height = (int(side) for side in re.findall(r' (?:width|height)="(\d+)"', svg)[:2])
    return png(standalone(svg, dark, boxes=True), round(width * min(2, 16_000 / height)))


@kept(4_000_000)
def zoom_of(arch: core.Architecture, part: str, selected: str = "") -> str:
    """A part's inset with the shape of every tensor, by its node; empty if the architecture has no such part."""
    g = graph(arch)
    if part not in g or "role" not in g.nodes[part]:
        return ""
    return zoom(g, part, glimpses(arch).get(g.nodes[part]["part"], ()), selected)


compared = kept(64_000_000, lambda found: 60 * sum(map(weight, found.archs)))(core.compare)  # up to 80 architectures for each but the first
would_do = kept(4_000_000, lambda found: 1_000 + sum(weight(offer.architecture) for offer in found))(offers.offers)
judged = kept(16_000_000, lambda found: 12 * weight(found[0].arch) + 1_500 * len(found[0].cost.rows))(core.modern)
ONCE = Lock()


def entries() -> tuple[Entry, ...]:
    """All presets with their figures and options, the newest first; those whose date is not known come last. Who asks while a server
    starts waits for the first answer instead of computing another one."""
    with ONCE:
        return _entries()


@lru_cache(maxsize=1)
def _entries() -> tuple[Entry, ...]:
    models = (entry(preset(name)) for name in core.presets())
    return tuple(sorted(models, key=lambda one: -one.day))


@lru_cache(maxsize=1)
def _known() -> dict[core.Architecture, search.Known]:
    """What each preset is known by, the newest first."""
    of = {one.arch: one for one in entries()}
    return {arch: search.known(arch, of.__getitem__) for arch in of}


@lru_cache(maxsize=256)  # a page asks for the same several times
def exactly(asked: str, length: int = 0) -> tuple[Entry, ...]:
    """The presets that answer a query, the best first, and of those that answer as well the newest. `length` is of the text whose memory
    it may ask for."""
    known, of = _known(), {one.arch: one for one in entries()}
    return tuple(of[arch] for arch in search.found(asked, known, known.__getitem__, length))


@lru_cache(maxsize=256)
def found(asked: str, length: int = TEXT) -> tuple[Entry, ...]:
    """The same, for a text of this length; those that answer what it may mean if none answers it."""
    answers = exactly(asked, length) or (exactly(other, length) if (other := meant(asked)) else ())
    return answers if length == TEXT else tuple(_at(length)[one.arch.name] for one in answers)


@lru_cache(maxsize=len(TEXTS))
def _at(length: int) -> dict[str, Entry]:
    return {one.arch.name: one.at(length) for one in entries()}


@lru_cache(maxsize=64)
def meant(asked: str) -> str:
    """What a query that no preset answers may mean; empty if it has answers."""
    known = _known()
    return "" if exactly(asked) else search.meant(asked, known, known.__getitem__)


@lru_cache(maxsize=64)
def idle(asked: str) -> tuple[str, ...]:
    """What a query leaves out although no preset has it, in sentences."""
    known = _known()
    return tuple(search.idle(asked, known, known.__getitem__))


@lru_cache(maxsize=64)
def unmet(asked: str) -> tuple[str, ...]:
    """Why no preset answers a query, in sentences."""
    known = _known()
    return tuple(search.unmet(asked, known, known.__getitem__))


def code_file(arch: core.Architecture) -> str:
    """The whole model as a Python file, or a comment that says why there is none."""
    try:
        return core.code(arch)
    except core.Unsupported as problem:
        return f"# {' '.join(str(problem).split())}\n"


def picture_file(
    arch: core.Architecture, dark: bool = False, wide: bool = True, by: str = "", workload: core.Workload | None = None, boxes: bool = False
) -> str:
    """The diagram as a separate file; with `boxes` it has no text in a viewer's font."""
    return standalone(picture_of(arch, "", wide, by, workload), dark, boxes)


def picture_as(
    form: str, arch: core.Architecture, dark: bool = False, wide: bool = True, by: str = "", workload: core.Workload | None = None
) -> bytes:
    """The same as svg, as pdf, or as png of twice its size."""
    svg = picture_file(arch, dark, wide, by, workload, boxes=form != "svg")
    if form == "svg":
        return svg.encode()
    if form == "pdf":
        return pdf(svg, arch.title)
    width, height = (int(side) for side in re.findall(r' (?:width|height)="(\d+)"', svg)[:2])
    return png(svg, round(width * min(2, 16_000 / height)))


def parameters(arch: core.Architecture) -> dict[str, int]:
    """Parameters of the main model by role."""
    found = cost(arch).by("role").items()
    return {role: figures["parameters"] for role, figures in found if figures["parameters"]}


def glimpses(arch: core.Architecture) -> dict[str, tuple[int, ...]]:
    """For each part with experts, the experts of one token."""
    return {name: glimpse(part) for name in arch.parts if isinstance(part := arch.part(name), Experts)}


def edited(arch: core.Architecture) -> str:
    """The word "edited", for a preset that was changed; otherwise empty."""
    return "edited" if arch.name in core.presets() and arch != preset(arch.name) else ""


def subtitle(arch: core.Architecture) -> str:
    """The figures under the picture's title."""
    c = cost(arch)
    active = f"{figure(c.active_parameters)} active" if c.active_parameters != c.parameters else ""
    released = f"{arch.released:%b %Y}" if arch.released else ""
    caches = f"{c.kv_bytes_per_token:,} bytes of cache {c.per_token}" if c.kv_bytes_per_token else ""
    states = f"{size(c.state_bytes)} of states" if c.state_bytes else ""
    pieces = (
        edited(arch), f"{figure(c.parameters)} parameters", active, caches, states,
        f"{tokens(arch.meant_for)} context" if arch.meant_for else "", released,
    )  # fmt: skip
    return " · ".join(piece for piece in pieces if piece)
