"""Edits of layers: counted by hand, back and forth to what it was, and refused with a sentence."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import architectures

import core
from core import edits
from core.__main__ import main
from core.edits import Place
from core.spec import Unsupported, edited


@pytest.mark.parametrize(
    "edit",
    [
        lambda arch: edits.every(arch, 12.5, "attention"),  # type: ignore[arg-type]
        lambda arch: edits.every(arch, 2, "attention", None, 12.5),  # type: ignore[arg-type]
        lambda arch: edits.first_dense(arch, 12.5),  # type: ignore[arg-type]
        lambda arch: edits.predicting(arch, 12.5),  # type: ignore[arg-type]
        lambda arch: edits.repeated(arch, Place(1, 0), 12.5),  # type: ignore[arg-type]
        lambda arch: edited(arch, "parts.moe.top_k", 12.5),
        lambda arch: core.from_hf(core.to_hf(arch) | {"num_experts_per_tok": 12.5}),
    ],
)
def test_12_and_a_half_of_something_whole_is_refused_not_cut(edit):
    with pytest.raises(Unsupported, match=r"a whole number.* \(not 12\.5\)"):
        edit(core.load("deepseek-v3"))


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
    assert edits.repeated(edits.repeated(arch, Place(0), 5), Place(0), 12) == arch
    assert edits.inserted(arch, arch.depth, ["local"]).depth == 25


def test_a_name_changes_wherever_it_stands():
    arch = core.load("gemma-3n-e2b")
    near = edits.renamed(arch, "local", "near")
    assert near.parts["local_shared"].cache_from == "near" and "local" not in near.pattern.replace("local_shared", "")
    assert edits.renamed(near, "near", "local").parts == arch.parts
    moe = edits.renamed(core.load("deepseek-v3"), "moe", "sparse")
    assert moe.precision["sparse.router.selection_bias"] == "fp32" and moe.mtp.block[1].parts == ("sparse",)
    assert core.cost(moe).weight_bytes == core.cost(core.load("deepseek-v3")).weight_bytes


def test_segments_and_blocks_come_and_go():
    arch = core.load("qwen3-next-80b-a3b")
    delta, attention = Place(0, 0), Place(0, 1)
    assert edits.layers_of(arch, attention) == list(range(3, 48, 4)) and edits.layers_of(arch, Place(0)) == list(range(48))
    assert edits.repeated(arch, delta, 5).pattern == "12 × (5 × [delta, moe], [attention, moe])"
    assert edits.moved(arch, attention, delta).pattern == "12 × ([attention, moe], 3 × [delta, moe])"
    assert edits.moved(edits.moved(arch, attention, delta), delta, attention) == arch
    assert edits.duplicated(arch, attention).pattern == "12 × (3 × [delta, moe], 2 × [attention, moe])"
    twice = edits.duplicated(arch, Place(0))
    assert twice.depth == 96 and edits.removed(twice, Place(1)) == arch
    apart = edits.moved(arch, delta, Place(0))
    assert apart.pattern == "36 × [delta, moe], 12 × [attention, moe]" and apart.depth == arch.depth, "no layer is lost"
    assert edits.moved(twice, Place(1, 1), Place(0, 0)).pattern.startswith("12 × ([attention, moe], 3 × [delta, moe], [attention, moe])")
    assert edits.inserted(arch, Place(0, 2), ["moe"]).pattern == "12 × (3 × [delta, moe], [attention, moe], [moe])"
    assert edits.inserted(arch, Place(1), ["attention"]).pattern.endswith(", [attention]")
    assert edits.removed(arch, delta).pattern == "12 × [attention, moe]" and "delta" not in edits.removed(arch, delta).parts


def test_a_part_comes_into_blocks_and_out_of_them():
    arch = core.load("qwen3-next-80b-a3b")
    dense = {"dense": {"kind": "feed_forward", "d_ff": 512}}
    assert edits.put(arch, "dense", Place(0, 1), new=dense).pattern.endswith("[attention, moe, dense])")
    beside = edits.put(arch, "dense", Place(0, 1), "beside", "moe", dense)
    assert beside.pattern.endswith("[attention, moe+dense])") and edits.taken(beside, "dense", Place(0, 1)) == arch
    assert edits.put(arch, "dense", [0], "before", new=dense).pattern.startswith("[dense, delta, moe], ")
    assert (
        edits.put(arch, "attention", Place(0), "before", "moe").pattern == "12 × (3 × [delta, attention, moe], [attention, attention, moe])"
    )
    all_of_it = edits.put(arch, "dense", Place(0), "instead", "moe", dense)
    assert all_of_it.pattern == "12 × (3 × [delta, dense], [attention, dense])" and all_of_it.mtp == arch.mtp


def test_parallel_blocks():
    gptj = core.load("gpt-j-6b")
    apart = edits.parallel(gptj, Place(0), on=False)
    assert apart.pattern == "28 × [attention, dense]" and edits.parallel(apart, range(28), on=True) == gptj
    assert edits.parallel(core.load("deepseek-v3"), Place(0), on=True).pattern == "3 × [attention+dense], 58 × [attention, moe]"


def test_the_first_layers_dense():
    arch = core.load("qwen3-next-80b-a3b")
    four = edits.first_dense(arch, 4)
    assert four.parts["dense"].d_ff == 11 * 512, "as wide as ten experts and the shared one"
    assert edits.uses(four) == {"delta": 36, "attention": 12, "moe": 44, "dense": 4}
    assert edits.first_dense(four, 0) == arch and edits.first_dense(arch, 0) == arch
    assert edits.first_dense(core.load("deepseek-v3"), 1) == edits.first(core.load("deepseek-v3"), 1, "dense")


def test_modules_that_predict_further():
    v3 = core.load("deepseek-v3")
    none = edits.predicting(v3, 0)
    assert none.mtp is None and core.cost(none).parameters == core.cost(v3).parameters
    assert edits.predicting(none, 1).mtp.block == v3.mtp.block and edits.predicting(v3, 2).mtp.count == 2
    inkling = core.load("inkling")
    assert edits.predicting(inkling, 3).mtp.each == inkling.mtp.each[:3]
    assert edits.predicting(inkling, 12).mtp.each[-1] == inkling.mtp.each[-1]


def test_every_nth_layer_from_a_layer_on_and_the_others():
    arch = core.load("llama-3-8b")
    delta = {"delta": {"kind": "gated_delta_net", "heads": 32, "key_heads": 16, "key_dim": 128, "value_dim": 128}}
    made = edits.every(arch, 8, "attention", "delta", 7, delta)
    assert made.pattern == "4 × (7 × [delta, dense], [attention, dense])" and made.parts["attention"] == arch.parts["attention"]
    assert edits.uses(edits.every(made, 4, "attention", "delta", 0)) == {"attention": 8, "dense": 32, "delta": 24}


@settings(max_examples=20)
@given(architectures, st.data())
def test_edits_of_places_on_random_architectures(arch, data):
    segment = data.draw(st.integers(0, len(arch.layers) - 1))
    block = data.draw(st.integers(0, len(edits.cycle(arch.layers[segment])) - 1))
    here = Place(segment, block)
    layers = {arch.sequence[n] for n in edits.layers_of(arch, here)}
    assert len(layers) == 1 and len(edits.layers_of(arch, Place(segment))) == arch.layers[segment].repeat * len(arch.layers[segment].blocks)
    for change in (
        lambda: edits.repeated(arch, here, data.draw(st.integers(0, 3))),
        lambda: edits.removed(arch, here),
        lambda: edits.duplicated(arch, Place(segment)),
        lambda: edits.moved(arch, here, Place(data.draw(st.integers(0, len(arch.layers))))),
        lambda: edits.taken(arch, data.draw(st.sampled_from(sorted(arch.parts))), here),
        lambda: edits.parallel(arch, here, data.draw(st.booleans())),
        lambda: edits.predicting(arch, data.draw(st.integers(0, 2))),
    ):
        try:
            assert change().depth >= 1
        except Unsupported as error:
            assert str(error)


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
        (lambda a: edits.repeated(a, Place(0), 0), "layers: a model needs at least one"),
        (lambda a: edits.repeated(a, Place(1), 2), "segment: give 0 to 0"),
        (lambda a: edits.removed(a, 12), "layer: give 0 to 11"),
        (lambda a: edits.removed(a, Place(0)), "layers: a model needs at least one"),
        (lambda a: edits.removed(a, Place(0, 1)), "block: give 0 to 0"),
        (lambda a: edits.moved(a, Place(0, 0), Place(0, 1)), "to: give 0 to 0"),
        (lambda a: edits.moved(a, Place(0), Place(0, 1)), "to: a layer moves to a layer, a segment to a segment"),
        (lambda a: edits.moved(a, 3, Place(0)), "to: a layer moves to a layer"),
        (lambda a: edits.repeated(a, Place(0), 1025), "repeat: give 0 to 1,024"),
        (lambda a: edits.duplicated(edits.repeated(a, Place(0), 600), Place(0)), "layers: 1,200 layers are too many; give at most 1,024"),
        (lambda a: edits.every(a, 2, "attention", start=12), "from layer: give 0 to 11"),
        (lambda a: edits.put(a, "moe", [0]), "parts.moe: GPT-2 small has no such part"),
        (lambda a: edits.put(a, "dense", [0], "instead"), "put: dense instead which part"),
        (lambda a: edits.put(a, "dense", [0], "under"), "put: give after, before, beside or instead"),
        (lambda a: edits.put(a, "dense", [12]), "layer: give 0 to 11"),
        (lambda a: edits.put(a, "dense", [3], "after", "moe"), "layer 3: this block does not have moe; it has attention, dense"),
        (lambda a: edits.put(a, "dense", [0], "beside", "dense"), "a part can occur only once in a step"),
        (lambda a: edits.put(a, "moe", [0], new={"moe": {"kind": "x"}}), "parts.moe.kind: give one of"),
        (lambda a: edits.taken(edits.taken(a, "dense", Place(0)), "attention", Place(0)), "attention stands alone in a block"),
        (lambda a: edits.parallel(a, Place(0), False), "parallel: nothing changes .* a step with several parts"),
        (lambda a: edits.first_dense(a, 1), "the model needs experts"),
        (lambda a: edits.predicting(a, 17), "mtp: give 0 to 16"),
        (lambda a: edits.moved(a, 0, 12), "layer: give 0 to 11"),
        (lambda a: edits.inserted(a, 0, ["moe"]), "moe is not one of the parts"),
        (lambda a: edits.renamed(a, "attention", "dense"), "this name is in use"),
        (lambda a: edits.renamed(a, "attention", "Not a name"), "in lower case"),
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
    asked = "edit qwen3-next-80b-a3b --move 0:1 0:0 --duplicate 0: --repeat 1 2 --repeat 1:0 2 --remove 1:1 --mtp 0 --first-dense 1"
    assert main([*asked.split(), "--format", "link"]) == 0
    arch = core.decode(capsys.readouterr().out.strip())
    assert arch.pattern == "[attention, dense], 12 × (3 × [delta, moe], [attention, moe]), 3 × [attention, moe]"
    asked = "edit llama-3-8b --every 4:3 attention:local=sliding_window --put near=local 0-2 instead:local --parallel 3 on --take dense 0"
    assert main([*asked.split(), "--format", "link"]) == 0
    arch = core.decode(capsys.readouterr().out.strip())
    assert arch.pattern == "[near], 2 × [near, dense], [attention+dense], 7 × (3 × [local, dense], [attention, dense])"
    for wrong in (["--take", "x", "all"], ["--put", "dense", "0-99999", "in"], ["--parallel", "0", "yes"], ["--remove", "0:9"]):
        assert main(["edit", "gpt2", *wrong]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1
    for wrong, words in (
        (["--every", "4", "global"], "has no such part; it has attention, dense. NAME=KIND makes a new one, such as global=grouped_query"),
        (["--mtp", "-1"], "'-1' is not a whole number of at least 0"),
        (["--set", "parts.attention.windw=128"], "is not a field of the spec; the nearest is parts.attention.sight.window"),
        (["--set", "vocab=2"], "vocab: is not a field of the spec; the nearest is vocab_size"),
        (["--set", "parts.attn.heads=2"], "has no such field; the nearest of attn is attention"),
        (["--set", "xyz=2"], "xyz: is not a field of the spec; remove it"),
    ):
        assert main(["edit", "gpt2", *wrong]) == 2
        assert words in capsys.readouterr().err
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
    assert edits.repeated(arch, Place(0), 0).precision == {"default": "bf16"}


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
