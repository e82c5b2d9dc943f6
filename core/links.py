"""What parts read from elsewhere in the model, resolved once. The check of the spec, the wiring of the model and the arrows of the
picture use it."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .parts.base import Part, Read, Shape, check_channels

if TYPE_CHECKING:
    from .spec import Architecture

AHEAD = ("positions", "tokens", "layer")  # the only sources that a prediction module gets


@dataclass(frozen=True)
class Link:
    """A layer's part reads what a part lends in an earlier layer, or earlier in the same layer. Parts have their module's name in the
    block: a part that occurs twice there is attention, then attention_2."""

    layer: int
    part: str
    read: Read
    source_layer: int
    source: str


def links(arch: "Architecture") -> Iterator[Link]:
    """All links between two layers, in order, and links to a layer's own number. Raises ValueError, naming the field, for a part that
    reads what no earlier layer lends, or reads it in another shape."""
    reads = {name: between(part, arch.d_model) for name, part in arch.parts.items()}
    if not any(reads.values()):
        return
    lends = {name: part.lends(arch.d_model) for name, part in arch.parts.items()}
    # What is lent -> the parts that have lent it so far, the last one last -> the layer and the module's name.
    latest: dict[str, dict[str, tuple[int, str]]] = {}
    for layer, block in enumerate(arch.sequence):
        times: Counter[str] = Counter()
        for name in (name for step in block for name in step.parts):
            times[name] += 1
            own = f"{name}_{times[name]}" if times[name] > 1 else name
            for read in reads[name]:
                if not read.lender:
                    yield Link(layer, own, read, layer, own)
                    continue
                lenders = latest.get(read.lender, {})
                source = next(reversed(lenders), "") if read.source == "previous" else read.source
                if source not in lenders:
                    these = f"give {' or '.join((*lenders, 'previous'))}" if lenders else "put a layer that does before it"
                    raise ValueError(f"parts.{name}.{read.field}: no layer before {layer} lends what it names; {these}")
                _check(arch, name, read, source, lends[source][read.lender])
                yield Link(layer, own, read, *lenders[source])
            for lent in lends[name]:
                lenders = latest.setdefault(lent, {})
                lenders.pop(name, None)
                lenders[name] = layer, own


def _check(arch: "Architecture", name: str, read: Read, source: str, lent: Shape) -> None:
    field, reach, most = f"parts.{name}.{read.field}", arch.parts[name].reach, arch.parts[source].reach
    if lent != read.shape:
        raise ValueError(
            f"{field}: {source} keeps tensors of another shape, {_sizes(lent)} a token and not {_sizes(read.shape)}; give both "
            "the same sizes"
        )
    if most and (reach is None or reach > most):
        raise ValueError(f"{field}: {source} keeps only {most:,} tokens; give this part a window of at most {most:,}, or name another part")


def _sizes(shape: Shape) -> str:
    return " × ".join(f"{n:,}" for n in shape)


def between(part: Part, d_model: int) -> list[Read]:
    """What a part reads that is not an argument of its forward."""
    return [read for read in part.reads(d_model) if not read.given]


def fed(arch: "Architecture") -> tuple[str, tuple[int, ...]] | None:
    """The part whose layers get their own input from a module below all layers, and those layers. Raises ValueError
    if there are two such parts."""
    reads = {
        name: read.shape[-1]
        for name, part in arch.parts.items()
        for read in part.reads(arch.d_model)
        if read.given and read.source == "per_layer"
    }
    if not reads:
        return None
    name, *more = reads
    if more:
        raise ValueError(f"parts.{more[0]}: {name} has per-layer embeddings already, and only one part can; remove this one")
    layers = tuple(n for n, block in enumerate(arch.sequence) if any(name in step.parts for step in block))
    check_channels(f"parts.{name}.width", len(layers), reads[name])
    return name, layers


def check_ahead(arch: "Architecture") -> None:
    """Raise ValueError for a part in a prediction module that reads what only the model's own layers get."""
    for name in (name for block in (arch.mtp.each if arch.mtp else ()) for step in block for name in step.parts):
        part = arch.parts[name]
        if any(read.lender or read.source not in AHEAD for read in part.reads(arch.d_model)):
            raise ValueError(
                f"mtp.block: {name} ({part.title}) reads what only the model's own layers get; give the modules that "
                "predict ahead another part"
            )
