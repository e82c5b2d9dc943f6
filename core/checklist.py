"""What an implementation of an architecture must get right: the details that models of one family differ in."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from .precision import FORMATS
from .spec import Architecture


@dataclass(frozen=True)
class Item:
    """One detail. `where` is a part's name, or `model`."""

    where: str
    words: str

    def __str__(self) -> str:
        return f"{self.where}: {self.words}"


def checklist(arch: Architecture) -> tuple[Item, ...]:
    """Every part's own details and the model's, without repetition, the model's first."""
    items = [Item("model", words) for words in _model(arch)]
    said = {item.words for item in items}
    for name in arch.parts:
        for words in arch.part(name).checklist(arch.d_model):
            if words not in said:
                items.append(Item(name, words))
                said.add(words)
    return tuple(items)


def _model(arch: Architecture) -> Iterator[str]:
    if arch.tied_embeddings:
        yield "The output head is the embedding table."
    if arch.embedding.scale != 1:
        root = f" (√{arch.d_model:,}, rounded to the stream's own type)" if arch.embedding.scale == "sqrt_d_model" else ""
        yield f"Embeddings are multiplied by {arch.embedding_scale:.6g}{root}."
    yield from arch.residual.checklist()
    yield from arch.norm.checklist()
    if not arch.head.norm:
        yield "There is no norm before the output head."
    if arch.head.unit:
        yield f"The vectors of the head's {arch.head.unit} are divided by their L2 norm before use."
    if arch.head.scale != 1:
        yield f"Logits are multiplied by {arch.head.scale:g}."
    if arch.head.softcap:
        yield f"Logits pass through {arch.head.softcap:g} · tanh(logit / {arch.head.softcap:g})."
    if any(part.tied and part.sets == 1 for part in arch.parts.values()):
        yield "Parts marked tied share one set of weights, but each layer has its own cache."
    uses = Counter(name for block in arch.sequence for step in block for name in step.parts)
    for name, sets in ((name, part.sets) for name, part in arch.parts.items() if 1 < part.sets < uses[name]):
        yield f"Layers with {name} use its {sets} sets of weights in turn, the n-th layer set n modulo {sets}; each has its own cache."
    narrow = sorted({fmt for fmt in arch.precision.values() if FORMATS[fmt].bits < 16})
    if narrow:
        wide = "norms and biases" if "embedding" in arch.precision else "norms, biases and embeddings"
        yield f"The published weights are stored in {', '.join(narrow)}; {wide} are not."
    if arch.mtp:
        yield "The multi-token-prediction modules are not part of the main model's forward pass."
