"""What an architecture is, in one sentence."""

from collections import Counter

from .rhythm import Rhythm
from .roles import MIXERS
from .spec import Architecture

MOST_MIXERS = 3  # named one by one, the most frequent first


def about(arch: Architecture, name: str = "") -> str:
    """Whether it is dense or a mixture of experts, how many layers it has, and with which mixers: "Qwen3-Next 80B-A3B is a hybrid
    mixture-of-experts decoder of 48 layers, 36 with gated delta net and 12 with grouped-query attention; experts for
    a token: 10 of 512 + 1 shared." `name` stands for its title.
    """
    uses = Counter(part for block in arch.sequence for step in block for part in step.parts)
    parts = {part: arch.part(part) for part in uses}
    roles = {part.role for part in parts.values()}
    mixers: Counter[tuple[str, int | None]] = Counter()
    for called, part in parts.items():
        if part.role in MIXERS:
            mixers[part.noun, part.reach if part.role == "attention" else None] += uses[called]
    routed = max((part for part in uses if parts[part].role == "experts"), key=uses.__getitem__, default="")
    kind = ("hybrid " if roles.issuperset(MIXERS) else "") + (
        "mixture-of-experts " if routed else "dense " if "feed_forward" in roles else ""
    )
    kind += "decoder" if "attention" in roles else "recurrent model"
    layers = f"{len(arch.sequence):,} layer{'s' if len(arch.sequence) > 1 else ''}"
    experts = f"; experts for a token: {next(iter(parts[routed].facts()))}" if routed else ""
    return f"{name or arch.title} is a {kind} of {layers}{_with(mixers)}{experts}."


def dense(arch: Architecture) -> str:
    """Which layers of a mixture of experts have none, in a few words: "first 3 layers dense". Nothing for other models."""
    roles = [{arch.parts[name].role for step in block for name in step.parts} for block in arch.sequence]
    rest = frozenset(layer for layer, own in enumerate(roles) if "experts" not in own)
    if not any("experts" in own for own in roles):
        return ""
    rule = Rhythm(rest, arch.depth)
    if (rule.begins or len(rest) == 1) and all("feed_forward" in roles[layer] for layer in rest):
        return f"{rule} dense" if rest else "all with experts"
    return f"{arch.depth - len(rest):,} of {arch.depth:,} with experts"


def _with(mixers: Counter[tuple[str, int | None]]) -> str:
    """The mixers of one or several kinds, each with how many tokens it sees and how many layers have it."""
    limited = {noun for noun, reach in mixers if reach}

    def words(noun: str, reach: int | None) -> str:
        return f"{noun} over {reach:,} tokens" if reach else f"{noun} over all tokens" if noun in limited else noun

    if len(mixers) == 1:
        return f" with {words(*next(iter(mixers)))}"
    named = [f"{count:,} with {words(*mixer)}" for mixer, count in mixers.most_common(MOST_MIXERS)]
    others = mixers.total() - sum(count for _, count in mixers.most_common(MOST_MIXERS))
    named += [f"{others:,} with others"] if others else []
    return f", {', '.join(named[:-1])} and {named[-1]}" if named else ""
