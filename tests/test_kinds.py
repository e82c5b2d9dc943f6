"""A part as another kind: any kind that could stand there, what carries over, its name; and what would do in place of a refused value."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

import core
from core import edits, kinds
from core.__main__ import main
from core.edits import swapped
from core.offers import _effect, offers
from core.parts import PARTS
from core.spec import Unsupported, edited

# ---- the list ----


@pytest.mark.parametrize("kind", PARTS)
def test_every_kind_says_what_it_is(kind):
    cls = PARTS[kind]
    assert 10 < len(vars(cls)["line"]) <= 60 and kinds.group(cls) in kinds.GROUPS
    assert kinds.renamed(cls.called or kind, kind) == (cls.called or kind), "its own usual name says what it is"


@pytest.mark.parametrize(
    ("name", "part", "holds"),
    [
        ("llama-3-8b", "attention", {"grouped_query", "all_tokens"}),
        ("gpt-oss-20b", "local", {"grouped_query", "sliding_window"}),
        ("gpt2", "attention", {"multi_head", "all_tokens"}),
        ("deepseek-v3", "attention", {"latent_attention", "all_tokens"}),
        ("deepseek-v3", "moe", {"experts"}),
        ("qwen3-next-80b-a3b", "delta", {"gated_delta_net"}),
        ("deepseek-v3.2", "attention", {"sparse_latent_attention"}),
    ],
)
def test_the_list_says_what_a_part_is(name, part, holds):
    own = core.load(name).part(part)
    listed = kinds.choices(own)
    assert {choice.name for choice in listed if choice.holds(own)} == holds
    assert [*dict.fromkeys(choice.group for choice in listed)] == [g for g in kinds.GROUPS if g in {c.group for c in listed}]
    assert len({choice.name for choice in listed}) == len(listed)


# ---- swaps ----

EVERY = [(name, part) for name in core.presets() for part in core.load(name).parts]
# Another part, or a module that predicts ahead, is in the way; the sentence names it.
IN_THE_WAY = re.compile(r"reads what only the model's own layers get|\.cache_from: \w+ keeps (only|tensors of another shape)")


@given(st.data())
def test_any_part_becomes_any_kind_that_could_stand_there(data):
    name, part = data.draw(st.sampled_from(EVERY))
    arch = core.load(name)
    choice = data.draw(st.sampled_from(kinds.choices(arch.parts[part])))
    try:
        made = swapped(arch, part, choice.name)
    except Unsupported as error:
        assert IN_THE_WAY.search(str(error)), str(error)
        return
    (new,) = made.parts.keys() - (arch.parts.keys() - {part})
    assert choice.holds(made.part(new)) and made.depth == arch.depth
    assert list(made.parts).index(new) == list(arch.parts).index(part), "in its place"
    assert core.cost(made).parameters > 0 and core.decode(core.encode(made)) == made


def test_nearly_every_swap_works():
    """Of a few models that have what stands in the way: caches that others read, values, choices, ALiBi, modules ahead."""
    tried, refused = 0, []
    for name in ("gemma-3n-e2b", "rwkv-7-world-1.5b", "hy4-preview", "bloom", "deepseek-v3", "zaya1-8b"):
        arch = core.load(name)
        for part, own in arch.parts.items():
            for choice in kinds.choices(own)[:: 3 if name != "gemma-3n-e2b" else 1]:
                tried += 1
                try:
                    swapped(arch, part, choice.name)
                except Unsupported as error:
                    refused.append(str(error))
    assert all(IN_THE_WAY.search(words) for words in refused) and len(refused) < tried / 10, refused


def test_what_both_kinds_have_carries_over():
    arch = core.load("gpt-oss-20b")
    latent = swapped(arch, "local", "latent_attention").parts["local"]
    own = arch.parts["local"]
    assert (latent.heads, latent.sight, latent.scores, latent.bias) == (own.heads, own.sight, own.scores, own.bias)
    assert (latent.nope_dim, latent.v_dim) == (own.head_dim, own.head_dim)
    back = swapped(swapped(arch, "local", "latent_attention"), "local", "grouped_query").parts["local"]
    assert (back.heads, back.head_dim, back.sight, back.scores) == (own.heads, own.head_dim, own.sight, own.scores)
    assert swapped(arch, "local", "native_sparse_attention").parts["local"].window == 128
    assert swapped(core.load("deepseek-v4-pro"), "local", "multi_query").parts["local"].sight.window == 128
    dense = swapped(arch, "moe", "feed_forward")
    assert dense.parts["dense"] == PARTS["feed_forward"](kind="feed_forward", d_ff=2880, activation="clamped_swiglu", bias=True)
    wide = swapped(core.load("qwen3-8b"), "attention", "lightning_attention").parts["lightning"]
    assert (wide.heads, wide.head_dim) == (32, 128)


def test_only_what_is_refused_stays_behind():
    sparse = swapped(core.load("gpt2-xl"), "attention", "block_sparse_attention").parts["attention"]
    assert (sparse.head_dim, sparse.bias) == (64, True), "of 25 heads; the width and the biases are kept"


def test_settings_that_have_names():
    arch = core.load("llama-3-8b")
    assert swapped(arch, "attention", "multi_query").parts["attention"].kv_heads == 1
    assert swapped(arch, "attention", "multi_head").parts["attention"].kv_heads == 32
    assert swapped(arch, "attention", "grouped_query") is arch
    assert swapped(arch, "attention", "sliding_window").parts["attention"].sight.window == 2_048
    assert swapped(core.load("gpt-oss-20b"), "local", "all_tokens").parts["local"].reach is None
    latent = swapped(core.load("deepseek-v3"), "attention", "sliding_window").parts["attention"]
    assert (latent.kind, latent.reach) == ("latent_attention", 4_096), "what has a window keeps its kind"
    delta = core.load("qwen3-next-80b-a3b")
    assert swapped(delta, "delta", "multi_query").parts["attention2"].kv_heads == 1


@pytest.mark.parametrize(
    ("name", "kind", "new"),
    [
        ("dense", "experts", "moe"), ("moe", "feed_forward", "dense"), ("feed_forward", "experts", "moe"),
        ("densely", "experts", "densely"),
        ("delta", "latent_attention", "attention"), ("attention", "latent_attention", "attention"), ("local", "mamba2", "local"),
        ("dense768", "experts", "moe768"), ("mamba", "mamba2", "mamba"), ("mamba2", "gated_delta_net", "delta"),
        ("attention", "gated_delta_net", "delta"), ("attention_far", "mamba", "mamba_far"),
    ],
)  # fmt: skip
def test_a_name_that_says_another_kind_changes(name, kind, new):
    assert kinds.renamed(name, kind) == new


@pytest.mark.parametrize(
    "choice", [choice for choice in kinds.choices() if choice.kind.startswith(("compressed", "conv"))], ids=lambda choice: choice.name
)
def test_a_compressed_part_is_called_what_was_chosen(choice):
    arch = swapped(core.load("llama-3-8b"), "attention", choice.name)
    assert next(part for name, part in arch.parts.items() if name != "dense").label == choice.title


def test_a_compressed_part_without_a_setting_has_entries():
    assert swapped(core.load("llama-3-8b"), "attention", "compressed_attention").parts["attention"].label == "Compressed attention, heavy"


@pytest.mark.parametrize(
    ("word", "words"),
    [
        ("sliding", "sliding_window"), ("gated_delta", "gated_delta_net"), ("mla", "latent_attention"), ("GQA", "grouped_query"),
        ("moe", "experts"), ("mamba", "mamba"), ("dense", "feed_forward"),
        ("ssm", "'ssm' may be mamba or mamba2; give one of these"),
        ("slidng", "'slidng' is no kind of part; the nearest: sliding_window"),
        ("xx", "'xx' is no kind of part; give one of multi_head, "),
    ],
)  # fmt: skip
def test_a_kind_is_found_by_what_people_call_it(word, words):
    llama = core.load("llama-3-8b")
    if words.startswith("'"):
        with pytest.raises(Unsupported, match=f"^{words}"):
            edits.fresh(llama, word)
    else:
        assert [*edits.fresh(llama, word).values()] == [*edits.fresh(llama, words).values()]


def test_a_name_in_use_gets_a_number_and_formats_follow():
    arch = swapped(core.load("deepseek-v3"), "dense", "experts")
    assert list(arch.parts) == ["attention", "moe2", "moe"] and arch.pattern == "3 × [attention, moe2], 58 × [attention, moe]"
    oss = swapped(core.load("gpt-oss-20b"), "moe", "feed_forward")
    assert not [path for path in oss.precision if path.startswith("moe") or path.endswith((".router", ".experts"))]


def test_what_others_read_of_it_they_compute_themselves():
    arch = core.load("rwkv-7-world-1.5b")
    made = swapped(arch, "first", "grouped_query")
    assert made.parts["first"].kind == "attention" and made.parts["time_mix"].value_from is None


def test_a_kind_that_cannot_stand_there_is_refused(capsys):
    with pytest.raises(Unsupported, match=r"^parts\.moe\.kind: 'mamba' cannot stand where a part of kind experts stands; give one of"):
        swapped(core.load("deepseek-v3"), "moe", "mamba")
    with pytest.raises(Unsupported, match="has no such part"):
        swapped(core.load("gpt2"), "moe", "mamba")
    main(["edit", "llama-3-8b", "--kind", "dense", "experts", "--set", "parts.moe.count=64", "--kind", "attention", "latent_attention"])
    out = capsys.readouterr().out
    assert "moe: {kind: experts, count: 64, top_k: 2, d_ff: 14336" in out and "kind: latent_attention" in out


# ---- offers ----


@pytest.mark.parametrize(
    ("name", "path", "value", "words"),
    [
        ("llama-3-8b", "parts.attention.heads", 30, ["heads 24", "kv heads 6", "kv heads 10"]),
        ("llama-3-8b", "parts.attention.kv_heads", 7, ["kv heads 4", "heads 35", "heads 28"]),
        ("deepseek-v3", "parts.moe.top_k", 300, ["top_k 128"]),
        ("deepseek-v3", "parts.moe.count", 100, ["experts 96", "experts 104", "router groups 10", "router groups 5"]),
        ("llama-4-scout", "parts.local.sight.window", 4096, ["chunk none"]),
        ("deepseek-v3", "d_model", 10**7, ["d_model 262,144"]),
        ("gpt2", "parts.attention.heads", 10**30, []),
        ("llama-3-8b", "parts.attention.heads", "many", []),
        ("llama-3-8b", "parts.attention.heads", 16, []),
        ("llama-3-8b", "parts.attention.nothing", 16, []),
        ("llama-3-8b", "parts.attention", "mamba", []),
    ],
)
def test_what_would_do_is_offered(name, path, value, words):
    arch = core.load(name)
    found = offers(arch, path, value)
    assert {offer.words for offer in found} == set(words)
    for offer in found:
        also = {} if offer.path == path else {path: value}
        assert offer.architecture == edited(arch, offer.path, offer.value, also) != arch
        assert offer.path != path or offer.value != value


def test_offers_reach_as_far_as_whole_groups():
    arch = edited(core.load("llama-3-8b"), "parts.attention.heads", 128, {"parts.attention.kv_heads": 32})
    assert [offer.words for offer in offers(arch, "parts.attention.heads", 80)] == ["heads 64", "heads 96", "kv heads 40", "kv heads 20"]


def test_an_offer_says_what_it_does():
    found = {offer.words: offer.effect for offer in offers(core.load("llama-3-8b"), "parts.attention.heads", 30)}
    assert found["kv heads 6"] == "−25 % cache" and found["kv heads 10"] == "+25 % cache"


@pytest.mark.parametrize(("d_ff", "effect"), [(14_336, "−50 % cache"), (1_792, "−63 % parameters"), (57_344, "3.1 × parameters")])
def test_the_figure_that_moves_most_is_said(d_ff, effect):
    llama = core.load("llama-3-8b")
    assert _effect(llama, edited(llama, "parts.dense.d_ff", d_ff, {"parts.attention.kv_heads": 4}), None) == effect


def test_offers_are_few_tries(monkeypatch):
    from core import offers as module

    calls = []
    monkeypatch.setattr(module, "edited", lambda *given: calls.append(given) or edited(*given))
    offers(core.load("gemma-3n-e2b"), "parts.local.kv_heads", 1)
    assert 0 < len(calls) <= module.MOST_TRIED + 1
