"""The search for models: what must come first, what must not be found, and that the words come from the parts."""

import pytest

import core
from core import search
from core.facets import OPEN
from core.kinds import choices
from core.library import preset, undisclosed

MODELS = {name: search.known(preset(name)) for name in core.presets()}

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
    "tied embeddings 2025": lambda a: a.tied_embeddings and str(a.released)[:4] == "2025",
}  # fmt: skip


def parts(arch: core.Architecture) -> list:
    return [arch.part(name) for name in arch.parts]


def activations(arch: core.Architecture) -> set[str]:
    return {part.activation for part in parts(arch) if part.kind in ("feed_forward", "experts")}


def placed(arch: core.Architecture) -> set[str]:
    return {(step.residual or arch.residual).norm for block in arch.distinct() for step in block}


def experts(arch: core.Architecture) -> bool:
    return any(part.role == "experts" for part in parts(arch))


def answers(asked: str) -> list[str]:
    return sorted((name for name in MODELS if search.score(asked, MODELS[name])), key=lambda name: -search.score(asked, MODELS[name]))


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
