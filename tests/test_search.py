"""The search for models: what must come first, what must not be found, and that the words come from the parts."""

import pytest

import core
from app.facts import entries
from core import search
from core.asked import asked as pieces
from core.facets import OPEN
from core.kinds import choices
from core.library import preset, undisclosed

ENTRIES = {one.arch: one for one in entries()}
MODELS = {name: search.known(preset(name), ENTRIES.__getitem__) for name in core.presets()}

FIRST = {
    "deepseek v3": "deepseek-v3", "DeepSeek-V3": "deepseek-v3", "deepseekv3": "deepseek-v3", "deepseek v3.2": "deepseek-v3.2",
    "llama3": "llama-3-8b", "llama 3.1 8b": "llama-3.1-8b", "Llama-3.3": "llama-3.3-70b", "gpt2": "gpt2", "gpt2 xl": "gpt2-xl",
    "qwen3 next": "qwen3-next-80b-a3b", "Qwen3-Next-80B-A3B": "qwen3-next-80b-a3b", "kimi k2": "kimi-k2", "gptoss 20b": "gpt-oss-20b",
    "gpt-oss 120b": "gpt-oss-120b", "mixtral": "mixtral-8x7b", "mamba": "mamba-2.8b", "rwkv 4": "rwkv-4-14b", "bloom": "bloom",
    "zamba": "zamba2-7b", "jamba mini": "jamba-1.5-mini", "nemotron h 56b": "nemotron-h-56b", "smollm3": "smollm3-3b",
    "alibaba delta net next": "qwen3-next-80b-a3b", "openai learned small": "gpt2", "xlstm": "xlstm-7b", "kda": "kimi-linear-48b-a3b",
    "deep seek v3": "deepseek-v3", "x.ai 2024": "grok-1", "minimax 4m context": "minimax-text-01",
    "qwen 3 next": "qwen3-next-80b-a3b", "gpt 2": "gpt2",
    "gemma 3 1b": "gemma-3-1b", "qwen3.5 4b": "qwen3.5-4b", "nemotron ultra": "nemotron-3-ultra-550b-a55b", "lfm2.5 moe": "lfm2.5-8b-a1b",
    "mla 2024 lite": "deepseek-v2-lite", "linear attention moonshot": "kimi-linear-48b-a3b", "bitnet": "bitnet-b1.58-2b-4t",
    "sparse attention deepseek": "deepseek-v3.2", "open moe sliding window": "gpt-oss-120b", "chatglm": "chatglm3-6b",
    "deepseek-ai/DeepSeek-V3": "deepseek-v3", "https://huggingface.co/openai/gpt-oss-20b": "gpt-oss-20b", "command a": "command-a-plus",
    "attention sinks openai": "gpt-oss-120b", "parallel cohere mini": "north-mini-code",
    "newest llama 3.3": "llama-3.3-70b", "largest gemma": "gemma-4-31b", "smallest moe": "trinity-nano", "command r": "command-r",
    "longest context meta": "llama-4-scout", "oldest": "gpt-1", "qwen3 30b-a3b": "qwen3-30b-a3b", "gemma 2 9b": "gemma-2-9b",
    "671b 256 experts": "deepseek-v3", "smallest mla": "youtu-llm-2b",
}  # fmt: skip
# Each of these is found, and nothing else, where the rule holds.
HOLDS = {
    "which open MoE has sliding windows": lambda a: experts(a) and a.licence in OPEN and HOLDS["SWA"](a),
    "open source": lambda a: a.licence in OPEN,
    "MoE with MLA": lambda a: experts(a) and HOLDS["MLA"](a),
    "ＭＬＡ": lambda a: HOLDS["MLA"](a),
    "ReLU²": lambda a: HOLDS["relu2"](a),
    "MLA": lambda a: any("latent" in part.kind for part in parts(a)),
    "SWA": lambda a: any(choice.name == "sliding_window" and choice.holds(part) for part in parts(a) for choice in choices(part)),
    "hyper-connections": lambda a: "hyper" in a.residual.kind,
    "MQA": lambda a: any(part.kind == "attention" and part.kv_heads == 1 for part in parts(a)),
    "MoE 2024": lambda a: experts(a) and a.released.year == 2024,
    "mixture of experts": lambda a: experts(a),
    "MTP": lambda a: a.mtp is not None,
    "hybrid moe": lambda a: experts(a) and {"attention", "recurrence"} <= {part.role for part in parts(a)},
    "alibi": lambda a: "alibi" in {a.position.kind, *(part.position.kind for part in parts(a) if getattr(part, "position", None))},
    "Alibaba": lambda a: a.organisation == "Qwen",
    "facebook 2023": lambda a: a.organisation == "Meta" and a.released.year == 2023,
    "deep seek": lambda a: a.organisation == "DeepSeek",
    "x.ai": lambda a: a.organisation == "xAI",
    "december 2024": lambda a: f"{a.released}".startswith("2024-12"),
    "dec 2024": lambda a: f"{a.released}".startswith("2024-12"),
    "128k context": lambda a: a.meant_for in (128_000, 131_072),
    "million tokens": lambda a: a.meant_for is not None and a.meant_for >= 1e6,
    "1m context": lambda a: a.meant_for == 1 << 20,
    "LayerNorm": lambda a: a.norm.kind == "layer",
    "rms norm": lambda a: a.norm.kind == "rms",
    "relu2": lambda a: "relu2" in activations(a),
    "squared ReLU": lambda a: "relu2" in activations(a),
    "parallel": lambda a: any(len(step.parts) > 1 for block in a.distinct() for step in block),
    "untied": lambda a: not a.tied_embeddings,
    "kv sharing": lambda a: any(getattr(part, "cache_from", None) for part in parts(a)),
    "borrowed cache": lambda a: any(getattr(part, "cache_from", None) for part in parts(a)),
    "post-norm": lambda a: "post" in placed(a),
    "sandwich norm": lambda a: "sandwich" in placed(a),
    "8 experts": lambda a: 8 in numbers(a, "experts", "count"),
    "128 experts": lambda a: 128 in numbers(a, "experts", "count"),
    "more than 300 experts": lambda a: any(n > 300 for n in numbers(a, "experts", "count")),
    "mla 128 experts top 8": lambda a: HOLDS["MLA"](a) and 128 in numbers(a, "experts", "count") and 8 in numbers(a, "experts", "top_k"),
    "window 128": lambda a: 128 in windows(a),
    "window under 1k": lambda a: any(n < 1_000 for n in windows(a)),
    "61 layers": lambda a: a.depth == 61,
    "8 kv heads": lambda a: 8 in numbers(a, "", "kv_heads"),
    "1t parameters": lambda a: 0.85e12 <= of(a).parameters <= 1.15e12,
    "3B active": lambda a: 2.55e9 <= of(a).active <= 3.45e9,
    "moe under 10b active": lambda a: experts(a) and of(a).active < 10e9,
    "under 10b": lambda a: of(a).parameters < 10e9,
    "over 100 billion": lambda a: of(a).parameters > 100e9,
    "7b-14b dense": lambda a: not experts(a) and 7e9 <= of(a).parameters <= 14e9,
    "context over 500k": lambda a: a.meant_for and a.meant_for > 500_000,
    "since 2026": lambda a: a.released and a.released.year >= 2026,
    "oct 2026": lambda a: f"{a.released}".startswith("2026-10"),
    "fits on H200": lambda a: "h200" in of(a).options["fits"],
    "8 x H100 moe": lambda a: experts(a) and "8-h100" in of(a).options["fits"],
    "mHC": lambda a: a.residual.kind == "manifold_hyper",
    "chunked attention": lambda a: any(getattr(getattr(part, "sight", None), "chunk", None) for part in parts(a)),
    "CSA": lambda a: any(part.kind == "compressed_attention" and part.indexer for part in parts(a)),
    "attention logit softcapping": lambda a: any(getattr(getattr(part, "scores", None), "softcap", None) for part in parts(a)),
    "cross-layer kv sharing": lambda a: HOLDS["kv sharing"](a),
    "quantized": lambda a: {"fp8_block", "fp8_ue8m0", "fp8", "int4", "mxfp4", "ternary", "nvfp4"} & {*a.precision.values()},
    "tied embeddings 2025": lambda a: a.tied_embeddings and str(a.released)[:4] == "2025",
}  # fmt: skip


def of(arch: core.Architecture):
    return ENTRIES[arch]


def numbers(arch: core.Architecture, role: str, field: str) -> set:
    return {getattr(part, field, None) for part in parts(arch) if role in part.role}


def windows(arch: core.Architecture) -> set[int]:
    found = {getattr(getattr(part, "sight", part), "window", None) or getattr(part, "window", None) for part in parts(arch)}
    return {n for n in found if n}


def parts(arch: core.Architecture) -> list:
    return [arch.part(name) for name in arch.parts]


def activations(arch: core.Architecture) -> set[str]:
    return {part.activation for part in parts(arch) if part.kind in ("feed_forward", "experts")}


def placed(arch: core.Architecture) -> set[str]:
    return {(step.residual or arch.residual).norm for block in arch.distinct() for step in block}


def experts(arch: core.Architecture) -> bool:
    return any(part.role == "experts" for part in parts(arch))


def answers(asked: str) -> list[str]:
    return [arch.name for arch in search.found(asked, map(preset, MODELS), lambda arch: MODELS[arch.name])]


@pytest.mark.parametrize("asked, first", FIRST.items())
def test_what_comes_first(asked, first):
    assert answers(asked)[0] == first


@pytest.mark.parametrize("asked", HOLDS)
def test_a_technique_a_maker_and_a_year_find_the_models_that_have_them(asked):
    wanted = {name for name in core.presets() if HOLDS[asked](preset(name))}
    found = answers(asked)
    assert wanted and wanted <= set(found)
    assert wanted == set(found[: len(wanted)]), "before those that only mention it"


FIELD = "sliding windows, GQA, NoPE, QK norm, YaRN, linear attention, sparse attention, MIT, apache 2.0, fp8, SSM"


@pytest.mark.parametrize("asked", FIELD.split(", "))
def test_the_words_of_the_field_are_found(asked):
    assert 2 < len(answers(asked)) < len(MODELS)


@pytest.mark.parametrize("choice", choices(), ids=lambda choice: choice.name)
def test_every_kind_is_found_by_its_title(choice):
    having = [name for name in core.presets() if any(choice.holds(part) for part in parts(preset(name)))]
    assert set(having) <= set(answers(choice.title))


def test_nothing_is_found_for_words_of_nobody_and_everything_for_none():
    assert not answers("xyzzy") and not answers("deepseek xyzzy") and not answers("gpt2 2026")
    assert len(answers("")) == len(answers("  ")) == len(MODELS)
    for asked in ("%%%", "🦙", "  - "):
        assert not answers(asked) and not search.found(asked, [preset("gpt2")]), asked
        assert not any(search.score(asked, search.undisclosed(entry)) for entry in undisclosed())
    assert len(answers("z" * 10_000)) == 0
    assert any(search.score("openai closed", search.undisclosed(entry)) for entry in undisclosed())


def test_names_come_before_what_is_only_mentioned():
    found = [arch.name for arch in search.found("mamba", map(preset, core.presets()))]
    assert found.index("mamba-2.8b") < found.index("falcon-mamba-7b") < found.index("nemotron-h-8b")


def test_what_shall_not_be_is_left_out():
    archs = [preset(name) for name in core.presets()]
    without = search.found("not moe", archs)
    assert len(without) > 100 and not any(experts(arch) for arch in without)
    assert {arch.name for arch in search.found("mistral without sliding window", archs)} >= {"mixtral-8x7b"}
    assert preset("mistral-7b") not in search.found("mistral without sliding window", archs)


def test_amounts_are_read_with_what_they_are_about():
    def read(query: str) -> list[str]:
        return [getattr(piece, "noun", type(piece).__name__) for piece in pieces(query)]

    assert read("window 128 experts 8") == ["window", "experts"] == read("128 window 8 experts")[::1]
    assert read("gpt 2 qwen 3 next") == ["Word"] * 5 and read("llama 3 8b") == ["Word", "Word", "b"]
    assert read("newest moe fits on an H100") == ["Order", "Word", "Fits"]
    (amount,) = pieces("context 128k")
    assert all(map(amount.holds, (128_000, 131_072))) and not any(map(amount.holds, (120_000, 136_000)))
    for hostile in ("9" * 80, "8" * 16 + "b experts", "<" * 80, "between 1 and", "under", "1-2-3-4b", "0k context", "≥ 0 experts"):
        pieces(hostile), search.found(hostile, ENTRIES, lambda arch: MODELS[arch.name])
    assert len(search.pieces("a b " * 3_000)) == search.MOST_LETTERS // 2, "a long query is read in part"


def test_a_number_of_a_new_part_is_found_by_its_fields_name():
    """`state_size` is declared by the part alone."""
    found = [preset(name) for name in answers("state size 128")]
    assert found and all(any(getattr(part, "state_size", 0) == 128 for part in parts(arch)) for arch in found)


def test_what_no_model_has_is_said():
    def said(query: str) -> str:
        return " ".join(search.unmet(query, ENTRIES, lambda arch: MODELS[arch.name]))

    assert "LongRoPE can be built here" in said("longrope") and "The latest model here is of" in said("nov 2026")
    assert said("1000 experts") == "No model here has “1000 experts”; the nearest is 896" and "for “zzzz”" in said("zzzz")


def test_only_what_follows_a_not_is_barred():
    assert answers("moe -qwen") and not {"Qwen"} & {preset(name).organisation for name in answers("moe -qwen")}
    assert answers("not chinese moe sliding window") == answers("moe with sliding window not chinese") == answers("moe sliding window")
    assert set(answers("not sliding window moe")) == set(answers("moe")) - set(answers("sliding window"))
    assert set(answers("without moe or mla")) == set(answers("without moe")) & set(answers("without mla"))
    assert search.pieces("dense not qwen under 7b") == ["dense", "under 7b", "without qwen"]
    assert answers("without attention") and all(
        "attention" not in part.role for name in answers("without attention") for part in parts(preset(name))
    )
    said = search.idle("moe not chinese -qwen", ENTRIES, lambda arch: MODELS[arch.name])
    assert said == ["No model here is known for “chinese”, so that leaves out none"]


def test_more_context_than_is_asked_for_comes_after_what_is_asked_for():
    found = [of(preset(name)).context for name in answers("1m context")]
    assert found[0] == 1 << 20 and max(found) >= 10_000_000 and min(found) >= 1_000_000


def test_a_format_of_four_bits_is_found_by_its_family_and_a_year_by_its_noun():
    assert {"gpt-oss-20b", "kimi-k3"} <= set(answers("fp4"))
    assert set(answers("year 2024")) == {name for name in core.presets() if str(preset(name).released)[:4] == "2024"}
    assert search.unmet("engram", ENTRIES, lambda arch: MODELS[arch.name]) == ["No model here is known for “engram”"]


def test_the_least_memory_is_of_the_text_that_a_query_names():
    assert search.length_of("million tokens least memory") == 1 << 20 and search.length_of("moe least memory") == 32_768
    found = [of(preset(name)).at(1 << 20) for name in answers("million tokens least memory")]
    assert [one.text for one in found] == sorted(one.text for one in found) and min(one.context for one in found) >= 1_000_000
