"""`make parity`: every decoder language model of transformers, by default and with its keys varied by seeded dice:
is the imported count exact, refused by name, or wrong? Wrong must be 0; anything but Unsupported counts as wrong.
"""

import logging
import random
import sys
import warnings

import torch
import transformers
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

import core
from core.hf.reading.config import NEUTRAL
from tests.parity import parameters, reference

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)
VARIATIONS = 20
# Encoders, encoder-decoders and models of sound or images, which the mapping names too.
NOT_DECODERS = set(
    """bart bert bert-generation big_bird bigbird_pegasus blenderbot blenderbot-small blt camembert cpmant data2vec-text
    electra emu3 ernie fuyu gemma4_assistant gemma4_unified_assistant git got_ocr2 marian mbart megatron-bert mllama
    modernbert-decoder moshi moss_transcribe_diarize musicgen musicgen_melody mvp pegasus plbart prophetnet reformer rembert
    roberta roberta-prelayernorm roc_bert roformer trocr whisper xlm xlm-roberta xlm-roberta-xl xlnet xmod""".split()
)
TYPES = [name for name in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES if name not in NOT_DECODERS]
QSA = dict(indexer_n_heads=4, indexer_kv_heads=1, indexer_head_dim=256, indexer_budget=2_048, indexer_compress_ratio=16)
COMPLETED = {  # what a type's own defaults leave out, though nothing can be built without it
    "cohere_compass_text": dict(rope_parameters=dict(full_attention=dict(rope_type="default", rope_theta=1e4))),
    "dbrx": dict(attn_config=dict(kv_n_heads=4, clip_qkv=8.0, rope_theta=5e5)),
    "deepseek_v2": dict(num_experts_per_tok=6),
    "dots1": dict(n_routed_experts=16, n_shared_experts=2, num_experts_per_tok=4),
    "hunyuan_v1_dense": dict(head_dim=128),
    "hunyuan_v1_moe": dict(head_dim=128, num_experts=8, moe_topk=2),
    "lfm2_moe": dict(layer_types=["conv", "full_attention"] * 16),
    "ministral": dict(head_dim=128),
    "qwen4_exp": dict(text_config=QSA),
    "qwen4_exp_text": QSA,
    "nemotron": dict(head_dim=128, num_key_value_heads=8),
}  # fmt: skip
DICE = {  # what a key may say instead, given what it says; every other key by its value's nature
    "num_hidden_layers": lambda n: [1, 3, n + 2], "n_layer": lambda n: [1, 3, n + 2], "vocab_size": lambda n: [1000, n + 64],
    "hidden_size": lambda n: [n * 2, n // 2], "intermediate_size": lambda n: [n * 2, 96] if isinstance(n, int) else [],
    "num_key_value_heads": lambda n: [1, 2, 4], "head_dim": lambda n: [32, 128], "tie_word_embeddings": lambda n: [not n],
    "attention_bias": lambda n: [not n], "mlp_bias": lambda n: [not n], "use_bias": lambda n: [not n], "bias": lambda n: [not n],
    "num_experts": lambda n: [4, 12], "num_local_experts": lambda n: [4, 12], "n_routed_experts": lambda n: [16, 32],
    "moe_intermediate_size": lambda n: [64, 96], "n_shared_experts": lambda n: [1, 3], "num_experts_per_tok": lambda n: [1, 2],
    "shared_expert_intermediate_size": lambda n: [64], "first_k_dense_replace": lambda n: [0, 2], "q_lora_rank": lambda n: [None, 64],
    "kv_lora_rank": lambda n: [64], "use_qk_norm": lambda n: [not n], "sliding_window": lambda n: [64], "rms_norm_eps": lambda n: [1e-3],
    "qkv_bias": lambda n: [not n], "parallel_attn": lambda n: [not n], "use_parallel_residual": lambda n: [not n],
    "qk_layernorm": lambda n: [not n], "alibi": lambda n: [not n], "multi_query": lambda n: [not n],
    "mamba_d_state": lambda n: [8, 32], "state_size": lambda n: [8, 32], "conv_kernel": lambda n: [2, 3], "expand": lambda n: [1, 3],
    "linear_num_value_heads": lambda n: [n * 2], "linear_key_head_dim": lambda n: [32], "linear_value_head_dim": lambda n: [32],
    "rotary_pct": lambda n: [0.5, 1.0], "partial_rotary_factor": lambda n: [0.5], "hidden_act": lambda n: ["gelu", "relu"],
}  # fmt: skip


def choices(key: str, value) -> list:
    """What a key may say instead."""
    if key in DICE:
        found = DICE[key](value or 8)
    elif key in NEUTRAL or key == "is_encoder_decoder" or key.endswith("_token_id"):
        found = []
    else:
        match value:
            case bool():
                found = [not value]
            case int():
                found = [value * 2, value // 2, value + 2]
            case float():
                found = [value / 2]
            case [_, *_]:
                found = [value[::-1], value[:1] * len(value)]
            case _:
                found = []
    return [choice for choice in found if choice != value]


def configs(model_type: str):
    """The type's default config.json, then variations of it."""
    settings = transformers.AutoConfig.for_model(model_type)
    completed = COMPLETED.get(model_type, {})
    base = settings.to_dict() | {"model_type": model_type} | completed
    if isinstance(completed.get("text_config"), dict):
        base["text_config"] = settings.to_dict()["text_config"] | completed["text_config"]
    yield base
    dice = random.Random(model_type)
    inner = "text_config" if isinstance(base.get("text_config"), dict) else None
    keys = [key for key, value in (base[inner] if inner else base).items() if choices(key, value)]
    for _ in range(VARIATIONS if keys else 0):
        text = dict(base[inner] if inner else base)
        for key in dice.sample(keys, min(len(keys), dice.randint(1, 3))):
            text[key] = dice.choice(choices(key, text[key]))
        if "num_hidden_layers" in text:
            text.pop("layer_types", None)
            text.pop("mlp_layer_types", None)
            if pattern := COMPLETED.get(model_type, {}).get("layer_types"):
                text["layer_types"] = (pattern * text["num_hidden_layers"])[: text["num_hidden_layers"]]
        yield base | {inner: text} if inner else text


def outcome(config: dict) -> tuple[str, str]:
    """exact, refused, wrong or skipped (transformers itself cannot build it), and why."""
    try:
        with torch.device("meta"):
            expected = parameters(reference(config))
    except Exception as error:
        return "skipped", f"{type(error).__name__}: {error}"[:140]
    try:
        found = core.cost(core.from_hf(config)).parameters
    except core.Unsupported as error:
        return "refused", str(error)[:140]
    except Exception as error:
        return "wrong", f"{type(error).__name__}: {error}"[:140]
    return ("exact", "") if found == expected else ("wrong", f"{found:,} instead of {expected:,}")


def main(types: list[str]) -> int:
    wrong, whole = 0, 0
    for model_type in types:
        found = [outcome(config) for config in configs(model_type)]
        counts = {word: sum(what == word for what, _ in found) for word in ("exact", "refused", "wrong", "skipped")}
        why = next((why for wanted in ("wrong", "refused", "skipped") for what, why in found if what == wanted), "")
        print(f"{model_type:28}", *(f"{count:3} {word}" for word, count in counts.items() if count), why, flush=True)
        wrong += counts["wrong"]
        whole += found[0][0] == "exact"
    print(f"{whole} of {len(types)} types exact by default; {wrong} wrong")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or TYPES))
