"""The difference of two architectures as single edits: from one to the other in order, and without any one of them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import architectures

import core
from core import edits
from core.blocks import folded
from core.library import preset
from core.rhythm import Rhythm
from core.spec import Unsupported, edited, parse
from core.split import MOST_EDITS, MOST_TRIES, MOST_WORDS, _Split, split, without

ANY = architectures | st.sampled_from(core.presets()).map(preset)


@settings(max_examples=settings().max_examples // 4 + 1)
@given(ANY, ANY, st.randoms(use_true_random=False))
def test_all_in_order_lead_there_and_dropped_in_any_order_back(base, arch, dice):
    found = _Split(base, arch)
    steps = found.edits()
    ends = [base, *(step.after for step in steps)]
    assert ends[-1] == arch and [step.before for step in steps] == ends[:-1]
    assert all(step.words and len(step.words) <= MOST_WORDS + 5 and step.before != step.after for step in steps)
    assert len({step.words for step in steps}) == len(steps), "an edit is dropped by its words"
    assert all(parse(end.model_dump(mode="json")) == end for end in ends[1:-1]), "each is valid"
    assert len(steps) <= MOST_EDITS and len(found.tried) <= MOST_TRIES
    for _ in range(8):
        if arch == base:
            return
        index = dice.randrange(len(split(base, arch)))
        try:
            left = without(base, arch, index)
        except Unsupported as error:
            assert "is needed by" in str(error)
            return
        assert left != arch
        arch = left


def test_no_two_edits_have_the_same_words(monkeypatch):
    """An edit is dropped by its words."""
    monkeypatch.setattr(_Split, "words", lambda self, group: "one edit")
    assert [step.words for step in split(preset("gpt-oss-20b"), preset("gpt-oss-120b"))][:2] == ["one edit", "one edit (2)"]


def test_nothing_differs():
    assert split(preset("gpt2"), preset("gpt2")) == ()
    with pytest.raises(Unsupported, match="edit: "):
        without(preset("gpt2"), preset("gpt2"), 0)


def hybrid() -> core.Architecture:
    """Llama 3 8B with a longer context, a delta net in three of four layers, experts after the first four, and 36 layers."""
    arch = edited(preset("llama-3-8b"), "context", 32_768)
    tree = arch.model_dump(mode="json", exclude_defaults=True)
    moe = {"kind": "experts", "count": 64, "top_k": 6, "d_ff": 1792}
    delta = preset("qwen3-next-80b-a3b").parts["delta"].model_dump(mode="json")
    mixers = ["attention" if layer % 4 == 3 else "delta" for layer in range(36)]
    blocks = [[mixer, "dense" if layer < 4 else "moe"] for layer, mixer in enumerate(mixers)]
    return parse(tree | {"parts": tree["parts"] | {"moe": moe, "delta": delta}, "layers": folded(blocks)})


def test_each_edit_has_the_words_of_a_person():
    arch = edited(hybrid(), "parts.attention.heads", 30, {"parts.attention.kv_heads": 5})
    words = [step.words for step in split(preset("llama-3-8b"), arch)]
    assert words == [
        "context 8K → 32K",
        "32 layers → 36",
        "3 of every 4 layers: attention → gated delta net",
        "layers 4-35: dense → 64 experts (6 per token)",
        "attention: heads 32 → 30, kv heads 8 → 5",
    ]


def test_what_is_valid_only_together_is_one_edit_and_no_more():
    arch = base = preset("gpt-oss-20b")
    for name in ("local", "global"):
        arch = edited(arch, f"parts.{name}.heads", 60, {f"parts.{name}.kv_heads": 5})
    words = [f"{name}: heads 64 → 60, kv heads 8 → 5" for name in ("local", "global")]
    assert [step.words for step in split(base, arch)] == words
    assert [step.words for step in split(base, without(base, arch, 0))] == words[1:]


def test_one_is_dropped_and_the_others_stay():
    base, arch = preset("llama-3-8b"), hybrid()
    for index, step in enumerate(split(base, arch)):
        rest = [one.words for one in split(base, without(base, arch, index))]
        assert step.words not in rest and len(rest) == 3
    fewer = without(base, arch, 1)
    assert [n for n, block in enumerate(fewer.sequence) if "attention" in edits.parts_of(block)] == [*range(3, 32, 4)], "the rhythm stays"
    assert "delta" not in without(base, arch, 2).parts


V3, LLAMA, GEMMA, E4B, ZAMBA = map(preset, ("deepseek-v3", "llama-3-8b", "gemma-3-27b", "gemma-4-e4b", "zamba2-7b"))
DENSE = LLAMA.parts["dense"].model_dump(mode="json")
EIGHT = {"kind": "experts", "count": 8, "top_k": 2, "d_ff": 64}
LAST = {"repeat": 1, "blocks": [["attention", "dense"]]}


@pytest.mark.parametrize(
    ("arch", "words"),
    [
        (edits.first(V3, 1, "dense"), "layers 1-2: dense → moe"),
        (edits.repeated(V3, edits.Place(1), 20), "58 layers with moe → 20"),
        (edits.renamed(V3, "moe", "sparse"), "moe renamed sparse"),
        (edits.removed(V3, 30), "58 layers with moe → 57"),
        (edited(V3, "mtp", None), "multi-token prediction removed"),
        (edited(V3, "precision.moe", "bf16"), "moe weights fp8_block → bf16"),
        (edited(V3, "tied_embeddings", True), "tied embeddings on"),
        (edited(V3, "parts.moe.shared", None), "moe: shared off"),
        (edited(V3, "parts.moe.router.bias", True), "moe: router bias on"),
        (edited(V3, "parts.moe.count", 128), "moe: experts 256 → 128"),
        (edited(V3, "parts.attention.sight", {"window": 4_096}), "attention: window none → 4,096"),
        (edited(V3, "parts.attention.gate", {}), "attention: gate on (per channel, activation sigmoid)"),
        (edited(V3, "parts.attention.q_rank", None), "attention: q rank 1,536 → none"),
        (edited(V3, "position.base", 1e6), "rope base 10,000 → 1,000,000"),
        (edited(V3, "position.scaling", None), "rope scaling yarn → none"),
        (edited(V3, "parts.attention.position", {"kind": "none"}), "attention: position as in the model (rope) → none"),
        (edited(V3, "norm.eps", 1e-5), "norm eps 1e-6 → 1e-5"),
        (edited(V3, "head.softcap", 30), "output head softcap none → 30"),
        (edited(V3, "vocab_size", 128_000), "vocabulary 129,280 → 128,000"),
        (edited(V3, "mtp.count", 2), "multi-token prediction: tokens ahead 1 → 2"),
        (edited(V3, "precision", {"default": "bf16"}), "all weights stored in bf16"),
        (edited(V3, "precision", {**V3.precision, "moe.experts@4-60": "mxfp4"}), "moe.experts weights in layers 4-60 fp8_block → mxfp4"),
        (edits.swapped(V3, "attention", "mamba"), "attention → Mamba"),
        (edited(V3, "parts.attention", LLAMA.parts["attention"].model_dump()), "attention: multi-head latent attention → attention"),
        (edited(GEMMA, "layers.0.repeat", 5), "62 layers → 32"),
        (edits.every(LLAMA, 5, "dense2", start=3, new={"dense2": DENSE}), "every 5th layer, from layer 3: dense → dense2 (new, as dense)"),
        (edits.inserted(LLAMA, 16, ["attention", "dense"]), "32 layers → 33"),
        (edits.inserted(LLAMA, 16, ["attention", "dense", "dense"]), "32 layers → 33, layer 16 with attention, dense and dense"),
        (edits.inserted(V3, 30, ["attention", "dense"]), "61 layers → 62, layer 30 with attention and dense"),
        (edited(V3, "title", "Mine"), "title → Mine"),
        (edited(V3, "parts.dense", EIGHT), "dense → 8 experts (2 per token)"),
        (edits.variant(V3, "moe", "few", {"top_k": 4}, range(4, 61, 2)), "29 of 61 layers: moe top_k 8 → 4"),
        (edited(V3, "layers.1.blocks.0", [["attention", "moe"]]), "layers 3-60: attention and moe in parallel"),
        (edited(V3, "layers.1.blocks.0", ["attention", "moe", "dense"]), "layers 3-60: feed-forward added"),
        (edited(V3, "layers.1.blocks.0", ["attention", {"parts": ["moe"], "scale": 0.5}]), "layers 3-60: moe output scale 1 → 0.5"),
        (edited(V3, "layers", [*V3.model_dump(mode="json")["layers"], LAST]), "61 layers → 62, layer 61 with attention and dense"),
        (edits.parallel(E4B, range(42), True), "attention and feed-forward in parallel"),  # the embedding after them stays what it is
        (edits.parallel(E4B, range(4), True), "first 4 layers: local and dense in parallel"),
        (edits.moved(ZAMBA, 0, 80), "layers in another order"),
        (edits.repeated(ZAMBA, edits.Place(0), 5), "6 layers at the start → 5"),
    ],
)  # fmt: skip
def test_one_edit_is_one_edit(arch, words):
    base = preset(arch.name)
    assert [step.words for step in split(base, arch)] == [words]
    assert without(base, arch, 0) == base


def test_more_layers_are_called_the_same_from_every_start():
    new = edits.every(LLAMA, 5, "dense2", start=3, new={"dense2": DENSE})
    deeper = edits.repeated(new, edits.Place(0), 7)
    (last,) = split(new, deeper)
    assert last.words == split(LLAMA, deeper)[0].words == "32 layers → 37"


def test_what_another_edit_needs_stays():
    gemma = preset("gemma-3n-e2b")
    arch = edits.renamed(gemma, "local", "near")
    steps = split(gemma, arch)
    assert len(steps) == 1, "its readers follow it"
    two = edited(edited(preset("llama-3-8b"), "parts.attention.heads", 64), "parts.attention.kv_heads", 64)
    assert [step.words for step in split(preset("llama-3-8b"), two)] == ["attention: heads 32 → 64", "attention: kv heads 8 → 64"]
    with pytest.raises(Unsupported, match=r"“attention: heads 32 → 64” is needed by “attention: kv heads 8 → 64”; drop that first"):
        without(preset("llama-3-8b"), two, 0)
    assert without(preset("llama-3-8b"), two, 1).parts["attention"].kv_heads == 8


@pytest.mark.parametrize(
    ("layers", "words", "deeper"),
    [
        ((0, 1, 2), "first 3 layers", [0, 1, 2]),
        ((10, 11), "layers 10-11", [*range(10, 24)]),
        ((3, 7, 11), "every 4th layer", [*range(3, 24, 4)]),
        ((1, 5, 9), "every 4th layer, from layer 1", [*range(1, 24, 4)]),
        ((0, 1, 4, 5, 8, 9), "2 of every 4 layers", [n for n in range(24) if n % 4 < 2]),
        ((5,), "layer 5", [10, 11]),
        ((4, 5, 6), "layers 4-6", [*range(8, 14)]),
        ((2, 5, 6), "3 of 12 layers", [4, 5, 10, 11, 12, 13]),
        (range(12), "", [*range(24)]),
    ],
)
def test_some_layers_in_words_and_in_a_model_twice_as_deep(layers, words, deeper):
    some = Rhythm(frozenset(layers), 12)
    assert str(some) == words and [n for n in range(12) if some.has(n, 12)] == [*layers]
    assert [n for n in range(24) if some.has(n, 24)] == deeper
