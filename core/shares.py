"""What share of a whole each box of the picture costs: parameters, FLOPs or bytes, from the rows of `Cost`."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from .cost import Cost
from .roles import ROLES
from .spec import Unsupported
from .words import figure, percent, size, tokens


def _flops(n: float) -> str:
    return figure(n, "FLOP")


@dataclass(frozen=True)
class Measure:
    """A figure that boxes are shaded by, and the heading of its pieces. Its sentence: experts `hold` 97 % of the 671.0 B` parameters`."""

    title: str
    heading: str
    of: str  # a figure of `Row`
    show: Callable[[float], str]
    verb: str
    words: str


MEASURES = {
    "parameters": Measure("parameters", "Where the parameters are", "parameters", figure, "hold", " parameters"),
    "active": Measure("active parameters", "Where the active parameters are", "active_parameters", figure, "hold", " active parameters"),
    "flops": Measure("decode FLOPs", "Where the FLOPs go", "decode_flops", _flops, "take", " for a new token"),
    "read": Measure("bytes read", "Where the bytes go", "read_bytes", size, "take", " read for a new token"),
    "cache": Measure("cache", "Where the caches are", "kept_bytes", size, "keep", " in caches"),
}


@dataclass(frozen=True)
class Shares:
    """A whole and its pieces: by the graph's node (a part in all its layers; a block for its norms), and by component, the
    largest first. Both add up to it."""

    measure: Measure
    whole: int
    nodes: dict[str, int]
    components: dict[str, int]
    roles: dict[str, str]  # of the components
    answer: str  # in sentences
    at: str  # the workload: "one sequence at 4K"; nothing where it does not matter

    def percent(self, value: float) -> str:
        return "< 0.01 %" if 0 < value < self.whole / 10_000 else percent(value / self.whole)


def shares(found: Cost, by: str) -> Shares:
    """What each box costs by one of `MEASURES`; Unsupported if there is none of that name, or if the whole is not known, or nothing."""
    if by not in MEASURES:
        raise Unsupported(f"by: {by[:40]!r} is no measure; give {', '.join([*MEASURES][:-1])} or {[*MEASURES][-1]}")
    measure, title, w = MEASURES[by], found.architecture.title, found.workload
    nodes, components, roles = Counter[str](), Counter[str](), Counter[str]()
    for row in found.rows:
        if (value := getattr(row, measure.of)) is None:
            reason = found.unsized or f"the text decides how much of its cache {row.part} reads"
            raise Unsupported(f"{measure.title}: not known for {title}, since {reason}")
        nodes[row.node] += value
        components[row.component] += value
        roles[row.role] += value
    if not (whole := nodes.total()):
        raise Unsupported(f"{measure.title}: {title} has none")
    (most, held), *more = ((ROLES[role], percent(value / whole)) for role, value in roles.most_common(3) if value)
    verb = measure.verb if most.endswith("s") or " and " in most else f"{measure.verb}s"
    others = "".join(f", {name} {share}" for name, share in more)
    words = measure.words
    if by == "cache" and found.state_bytes:
        words = " in caches and states" if found.kv_bytes else " in states"
    if by == "flops" and w.batch > 1:
        words = f" for a step of {w.batch:,} tokens"
    kinds = {row.component: row.role for row in found.rows}
    sequences = "one sequence" if w.batch == 1 or by == "read" else f"{w.batch:,} sequences"
    at = "" if by in ("parameters", "active") else f"{sequences} at {tokens(w.context)}{' token' * (w.context == 1)}"
    answer = f"{most[0].upper()}{most[1:]} {verb} {held} of the {measure.show(whole)}{words}{others}{f'; {at}' * bool(at)}."
    return Shares(measure, whole, _found(nodes), _found(components), kinds, answer, at)


def by_role(found: Cost) -> dict[str, float]:
    """Which share of the main model's parameters each role has, in the order of `ROLES`; roles without any are left out."""
    held = {role: figures["parameters"] or 0 for role, figures in found.by("role").items()}
    return {role: held[role] / found.parameters for role in ROLES if held.get(role)}


def by_year(costs: Iterable[Cost], least: int = 5) -> dict[int, tuple[int, dict[str, float]]]:
    """For each year with at least so many models: how many there are, and the mean of `by_role` over them. Models without a date are
    left out."""
    years: dict[int, list[dict[str, float]]] = {}
    for found in costs:
        if found.architecture.released:
            years.setdefault(found.architecture.released.year, []).append(by_role(found))
    return {
        year: (len(rows), {role: sum(row.get(role, 0) for row in rows) / len(rows) for role in ROLES if any(role in row for row in rows)})
        for year, rows in sorted(years.items())
        if len(rows) >= least
    }


def _found(counts: Counter[str]) -> dict[str, int]:
    """What is not zero, the largest first."""
    return {name: n for name, n in counts.most_common() if n}
