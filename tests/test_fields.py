"""Every field of the spec is drawn: what the other tests say of random architectures, they say of each field."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Literal, get_args, get_origin

from hypothesis import Phase, find, settings
from hypothesis.errors import NoSuchExample
from strategies import mappings, parsed

from core.parts import PARTS
from core.parts.base import Spec
from core.spec import METADATA, Architecture

# Fields that a class has from another and refuses.
NEVER = {
    "AllStreams.after_eps": "the parts have norms of their own",
    "AllStreams.layer_scale": "a step cannot say it, and a model of such steps alone has no other part",
    "GatedStreams.after_eps": "the streams are normalised as they are read, not what parts give",
    "BlockSparseAttention.sight": "the indexer chooses what is read",
    "BlockSparseAttention.cache_from": "the indexer chooses what is read",
    "PooledSparseAttention.sight": "the indexer chooses what is read",
    "PooledSparseAttention.cache_from": "the indexer chooses what is read",
    "SparseLatentAttention.sight": "the indexer chooses what is read",
    "SparseGatedLatentAttention.sight": "the indexer chooses what is read",
    "RelativeAttention.shared_kv": "keys and values each have their own convolution",
    "RelativeAttention.cache_from": "keys and values each have their own convolution",
}


def classes(annotation: object, found: dict[type[Spec], None]) -> dict[type[Spec], None]:
    """All values of the spec that a type can hold, nested ones too."""
    if isinstance(annotation, type) and issubclass(annotation, Spec) and annotation not in found:
        found[annotation] = None
        for field in annotation.model_fields.values():
            classes(field.annotation, found)
    for inner in get_args(annotation):
        classes(inner, found)
    return found


def fields(cls: type[Spec]) -> Iterator[str]:
    """The fields of a class that can have more than one value, but for words about a model, which change nothing."""
    for name, field in cls.model_fields.items():
        one = get_origin(field.annotation) is Literal and len(get_args(field.annotation)) == 1
        if not one and not (cls is Architecture and name in METADATA):
            yield f"{cls.__name__}.{name}"


def said(value: object) -> Iterator[str]:
    """The fields that this value, and those in it, have set to something else than their default."""
    if isinstance(value, Spec):
        for name, field in type(value).model_fields.items():
            if field.is_required() or getattr(value, name) != field.get_default(call_default_factory=True):
                yield f"{type(value).__name__}.{name}"
            yield from said(getattr(value, name))
    elif isinstance(value, dict | tuple):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from said(inner)


def search(kind: str | None, wanted: set[str], drawn: set[str], most: int) -> None:
    """Draw architectures, of parts of this kind if it is given, until these fields have been set; at most so many."""

    def enough(value: dict) -> bool:
        if arch := parsed(value):
            drawn.update(said(arch))
        return wanted <= drawn

    with suppress(NoSuchExample):
        find(mappings(kind), enough, settings=settings(max_examples=most, phases=[Phase.generate], database=None))


def test_every_field_is_drawn():
    known = {name for cls in classes(Architecture, {}) for name in fields(cls)}
    assert known >= NEVER.keys(), "an exception that is no field any more"
    wanted, drawn = known - NEVER.keys(), set()
    for kind, part in PARTS.items():
        inside = {name for cls in classes(part, {}) for name in fields(cls)}
        search(kind, wanted & inside, drawn, 200)
    search(None, wanted, drawn, 600)
    assert not sorted(wanted - drawn), "no random architecture sets them; see strategies.py"
    assert not sorted(drawn & NEVER.keys()), "these are drawn; take them from the exceptions"
