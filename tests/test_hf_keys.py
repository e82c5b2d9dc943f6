"""Declared keys: one line reads a key, writes it and tells of it in the docs."""

from typing import get_args

import pytest
from pydantic import BaseModel

import core
from core.hf import from_hf, to_hf
from core.hf.families import BY_TYPE
from core.hf.reading import keys
from core.hf.reading.config import Config
from core.hf.reading.keys import Always, Has, Key, Of, Only, Unread
from core.parts import PARTS
from docs import config as page

LLAMA = to_hf(core.load("llama-3.2-1b"))
ROPE = ("rope_theta", "rope_scaling", "architectures", "model_type", "torch_dtype", "strata")


def test_the_page_in_the_docs_is_what_the_families_declare():
    assert (page.HERE / "config.md").read_text() == page.table()


def test_every_key_that_llama_writes_is_declared():
    declared = {name for entry in page.keys("llama") for names, *_ in entry.rows() for name in names.split(", ")}
    assert {key for key in LLAMA if key not in ROPE} <= declared


@pytest.mark.parametrize(
    ("entry", "said", "field", "written"),
    [
        (Key("n_head", "d_model", 12), {}, 12, 12),
        (Key("n_head", "d_model", 12), {"n_head": 3}, 3, 3),
        (Key("n_head", "d_model", also="heads"), {"heads": 3}, 3, 3),
        (Key("cap", "d_model", 30.0, null=None), {"cap": None}, None, None),
        (Key("shared", "d_model", 1, none=0, least=0), {"shared": 0}, None, 0),
        (Key("act", "d_model", "silu", form=keys.GATED_ACTIVATION), {"act": "gelu_new"}, "geglu_tanh", "gelu_pytorch_tanh"),
        (Has("switch", "d_model", False, on={}), {"switch": True}, {}, True),
    ],
)  # fmt: skip
def test_a_key_reads_and_writes(entry, said, field, written):
    read = keys.read(Config(said), (entry,))
    assert keys.get(read, "d_model") == field

    class Model:
        d_model = field

    assert keys.write(Model, (entry,)) == {entry.name: written}


def test_a_default_may_follow_from_other_fields():
    entries = (Key("width", "d_model", 64), Key("heads", "part.heads", 4), Key("dim", "part.dim", Of("d_model", over="part.heads")))
    assert keys.read(Config({"width": 128}), entries) == {"d_model": 128, "part": {"heads": 4, "dim": 32}}


def test_a_key_that_must_be_there_says_so():
    with pytest.raises(core.Unsupported, match="experts: is missing"):
        keys.read(Config({}), (Key("experts", "moe.count"),))


def test_what_is_fixed_or_unread_reaches_no_field():
    entries = (Only("score", "sigmoid"), Unread("chunk ep_size"), Always("moe", kind="experts"))
    config = Config({"score": "sigmoid", "chunk": 5})
    assert keys.read(config, entries) == {"moe": {"kind": "experts"}} and not config.left
    with pytest.raises(core.Unsupported, match=r"score.*only 'sigmoid'"):
        keys.read(Config({"score": "softmax"}), entries)


def test_a_refusal_names_the_key_that_was_probably_meant():
    with pytest.raises(core.Unsupported, match="it knows num_key_value_heads"):
        from_hf({key: value for key, value in LLAMA.items() if key != "num_key_value_heads"} | {"num_kv_value_heads": 8})


def classes(annotation) -> set[type]:
    """The values of the spec that an annotation holds."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {annotation}
    return set().union(*map(classes, get_args(annotation)))


def has(owners: set[type], path: list[str]) -> bool:
    """Whether one of these classes has the field, or what it holds has."""
    first, *rest = path
    fields = [owner.model_fields[first] for owner in owners if first in owner.model_fields]
    if not rest:
        return bool(fields) or any(hasattr(owner, first) for owner in owners)
    return has(set().union(*(classes(field.annotation) for field in fields)), rest)


@pytest.mark.parametrize("model_type", sorted(filter(page.keys, BY_TYPE)))
def test_every_declared_field_of_a_part_or_of_the_model_is_the_specs(model_type):
    entries = page.keys(model_type)
    parts = {entry.field: PARTS[entry.said["kind"]] for entry in entries if isinstance(entry, Always) and entry.said.get("kind") in PARTS}
    for entry in (entry for entry in entries if isinstance(entry, Key)):
        first, *rest = entry.field.split(".")
        if first in parts and rest:
            assert has({parts[first]}, rest), entry
        elif rest and first in core.Architecture.model_fields:
            assert has({core.Architecture}, [first, *rest]), entry
