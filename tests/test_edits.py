"""Edits of layers: counted by hand, back and forth to what it was, and refused with a sentence."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import architectures

import core
from core import edits
from core.__main__ import main
from core.spec import Unsupported


def blocks(arch: core.Architecture) -> list[tuple]:
    return [tuple(edits.parts_of(block)) for block in arch.sequence]


def test_every_nth_layer():
    arch = edits.variant(core.load("llama-3-8b"), "attention", "local", {"sight": {"window": 1024}}, range(32))
    assert list(arch.parts) == ["dense", "local"], "the part that no layer has any more is gone"
    again = edits.variant(arch, "local", "global", {"sight": {}}, [31])
    four = edits.every(again, 4, "global")
    assert blocks(four) == [("global" if n % 4 == 3 else "local", "dense") for n in range(32)]
    assert four.layers[0].repeat == 8, "what repeats is written once"
    kept = core.cost(four, core.Workload(context=8192)).kv_bytes / core.cost(core.load("llama-3-8b"), core.Workload(context=8192)).kv_bytes
    assert kept == (8 * 8192 + 24 * 1024) / (32 * 8192)
    assert blocks(edits.every(four, 6, "global")).count(("global", "dense")) == 5, "and no other layer"


def test_the_first_layers():
    v3 = core.load("deepseek-v3")
    one = edits.first(v3, 1, "dense")
    assert blocks(one) == [("attention", "dense")] + [("attention", "moe")] * 60
    dense, expert = 3 * 7168 * 18_432, 3 * 7168 * 2048  # gate, up and down
    moe = 257 * expert + 256 * 7168  # one of them shared; and the router
    assert core.cost(one).parameters - core.cost(v3).parameters == 2 * (moe - dense)
    none = edits.first(v3, 0, "dense")
    assert "dense" not in none.parts and "dense" not in none.precision and edits.first(v3, 3, "dense") == v3


def test_layers_come_and_go():
    arch = core.load("gpt-oss-20b")
    assert edits.removed(edits.inserted(arch, 5, ["local", "moe"]), 5) == arch
    assert edits.moved(edits.moved(arch, 3, 20), 20, 3) == arch
    assert edits.repeated(edits.repeated(arch, 0, 5), 0, 12) == arch
    assert edits.inserted(arch, arch.depth, ["local"]).depth == 25


def test_a_name_changes_wherever_it_stands():
    arch = core.load("gemma-3n-e2b")
    near = edits.renamed(arch, "local", "near")
    assert near.parts["local_shared"].cache_from == "near" and "local" not in near.pattern.replace("local_shared", "")
    assert edits.renamed(near, "near", "local").parts == arch.parts
    moe = edits.renamed(core.load("deepseek-v3"), "moe", "sparse")
    assert moe.precision["sparse.router.selection_bias"] == "fp32" and moe.mtp.block[1].parts == ("sparse",)
    assert core.cost(moe).weight_bytes == core.cost(core.load("deepseek-v3")).weight_bytes


@given(architectures, st.data())
def test_a_random_architecture_and_back(arch, data):
    name = data.draw(st.sampled_from(sorted(arch.parts)))
    other = edits.renamed(arch, name, "another")
    assert core.cost(other).parameters == core.cost(arch).parameters
    assert edits.renamed(other, "another", name) == arch
    assert edits.layered(arch, edits._blocks(arch)).sequence == arch.sequence


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda a: edits.every(a, 13, "attention"), "every: give 1 to 12"),
        (lambda a: edits.every(a, 2, "moe"), "parts.moe: GPT-2 small has no such part; it has attention, dense"),
        (lambda a: edits.first(a, 13, "attention"), "first: give 0 to 12"),
        (lambda a: edits.first(a, 3, "attention"), "all layers have attention in this place"),
        (lambda a: edits.repeated(a, 0, 0), "layers: a model needs at least one"),
        (lambda a: edits.repeated(a, 1, 2), "segment: give 0 to 0"),
        (lambda a: edits.removed(a, 12), "layer: give 0 to 11"),
        (lambda a: edits.moved(a, 0, 12), "layer: give 0 to 11"),
        (lambda a: edits.inserted(a, 0, ["moe"]), "moe is not one of the parts"),
        (lambda a: edits.renamed(a, "attention", "dense"), "this name is in use"),
        (lambda a: edits.renamed(a, "attention", "Not a name"), "lower-case letters"),
        (lambda a: edits.variant(a, "attention", "local", {"sight": {"window": 8}}, []), "give at least one layer"),
        (lambda a: edits.variant(a, "attention", "local", {"heads": 0}, [1]), "parts.local.attention.heads|parts.local.heads"),
    ],
)
def test_what_cannot_be_is_refused(change, words):
    with pytest.raises(Unsupported, match=words):
        change(core.load("gpt2"))


def test_the_command_line_has_them(capsys):
    asked = ["edit", "llama-3-8b", "--variant", "attention", "local", "sight.window=1024", "1", "--json"]
    assert main(asked) == 0
    assert json.loads(capsys.readouterr().out)["parts"]["local"]["sight"] == {"window": 1024}
    asked = ["edit", "deepseek-v3", "--set", "parts.moe.top_k=4", "--first", "1", "dense", "--rename", "moe", "sparse", "--format", "link"]
    assert main(asked) == 0
    arch = core.decode(capsys.readouterr().out.strip())
    assert arch.parts["sparse"].top_k == 4 and arch.pattern == "[attention, dense], 60 × [attention, sparse]"
    assert main(["edit", "gpt2", "--insert", "0", "attention,dense", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["layers"] == [{"repeat": 13, "blocks": [["attention", "dense"]]}]
    for wrong in (["--set", "x"], ["--every", "x", "attention"], ["--remove", "12"], ["--set", "parts.attention.heads=7.5"]):
        assert main(["edit", "gpt2", *wrong]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("name, part", [("deepseek-v3", "moe"), ("gpt-oss-20b", "moe"), ("zaya1-8b", "moe")])
def test_a_variant_is_stored_as_what_it_varies(name, part):
    arch = core.load(name)
    nth = [layer for layer, block in enumerate(arch.sequence) if part in edits.parts_of(block)][2:]
    same = edits.variant(arch, part, "same", {}, nth)
    assert core.cost(same).weight_bytes == core.cost(arch).weight_bytes


def test_readers_follow_a_variant_that_takes_the_place_of_what_they_read():
    arch = core.load("rwkv-7-world-1.5b")
    follows = edits.variant(arch, "first", "begin", {}, [0])
    assert follows.parts["time_mix"].value_from == "begin"


def test_what_is_said_of_a_part_that_is_gone_goes_with_it():
    arch = core.spec.edited(core.load("deepseek-v3"), "precision", {"dense": "fp8_block"})
    assert edits.repeated(arch, 0, 0).precision == {"default": "bf16"}


@pytest.mark.parametrize("name", ["default", "embedding", "head", "norm", "mtp", "streams", "previous"])
def test_a_word_of_the_spec_is_no_name(name):
    with pytest.raises(Unsupported, match=f"parts.{name}: "):
        edits.renamed(core.load("deepseek-v3"), "moe", name)


@pytest.mark.parametrize("block", ["attention", None, 3, [], [None], [{"foo": 1}], [["attention"] * 9]])
def test_what_is_no_block_is_refused(block):
    with pytest.raises(Unsupported, match=r"block: give a list of parts, such as \[attention, dense\]"):
        edits.inserted(core.load("gpt2"), 0, block)


@pytest.mark.parametrize("otherwise", ["attention", "moe", "nope"])
def test_the_other_part_stands_in_the_same_place(otherwise):
    with pytest.raises(Unsupported, match="otherwise: give a part that stands in the same place"):
        edits.every(core.load("deepseek-v3"), 2, "moe", otherwise)
