"""Dense families (and Mixtral and Qwen3 with experts) against transformers: counts, logits, round trips."""

import random

import pytest
import torch
import transformers
from parity import check, check_logits, reference

import core
from core.hf import BY_TYPE, from_hf, to_hf

SMALL = dict(
    vocab_size=96,
    hidden_size=64,
    num_hidden_layers=4,
    num_attention_heads=4,
    num_key_value_heads=2,
    intermediate_size=80,
    max_position_embeddings=256,
)
GPT2 = dict(model_type="gpt2", vocab_size=96, n_embd=64, n_layer=3, n_head=4, n_positions=64)
LLAMA = SMALL | dict(model_type="llama")
MISTRAL = SMALL | dict(model_type="mistral", sliding_window=7)
MIXTRAL = SMALL | dict(model_type="mixtral", num_local_experts=4, num_experts_per_tok=2, intermediate_size=48)
OLMO2 = SMALL | dict(model_type="olmo2")
GEMMA2 = SMALL | dict(model_type="gemma2", head_dim=24, sliding_window=7, query_pre_attn_scalar=20)
GEMMA3 = SMALL | dict(model_type="gemma3_text", head_dim=24, sliding_window=7, num_hidden_layers=7, query_pre_attn_scalar=24)
QWEN3 = SMALL | dict(model_type="qwen3", head_dim=24)
QWEN3_MOE = SMALL | dict(
    model_type="qwen3_moe", head_dim=24, num_experts=8, num_experts_per_tok=3, moe_intermediate_size=32, decoder_sparse_step=1
)
SMOLLM3 = SMALL | dict(model_type="smollm3", pad_token_id=0)
LLAMA3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=64)
YARN = dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=64)
LONG = dict(
    rope_type="longrope",
    factor=4.0,
    original_max_position_embeddings=64,
    short_factor=[1.0 + i / 8 for i in range(8)],
    long_factor=[2.0 + i for i in range(8)],
)

LOGITS = {
    "gpt2": GPT2,
    "gpt2 untied, wider, plain scores": GPT2
    | dict(tie_word_embeddings=False, n_inner=96, scale_attn_weights=False, activation_function="relu", layer_norm_epsilon=1e-3),
    "llama": LLAMA,
    "llama tied, biases, one kv head": LLAMA
    | dict(tie_word_embeddings=True, attention_bias=True, mlp_bias=True, num_key_value_heads=1, head_dim=24, hidden_act="gelu"),
    "llama llama3": LLAMA | dict(rope_scaling=LLAMA3, rope_theta=500000.0),
    "llama linear": LLAMA | dict(rope_scaling=dict(type="linear", factor=4.0)),
    "llama yarn": LLAMA | dict(rope_parameters=YARN | dict(rope_theta=5000.0)),
    "llama yarn, own magnitude": LLAMA | dict(rope_scaling=YARN | dict(attention_factor=1.2, beta_fast=16, beta_slow=2)),
    "llama longrope": LLAMA | dict(rope_scaling=LONG),
    "llama dynamic": LLAMA | dict(rope_scaling=dict(rope_type="dynamic", factor=2.0), max_position_embeddings=12),
    "mistral": MISTRAL,
    "mistral no window": MISTRAL | dict(sliding_window=None, head_dim=24, rope_theta=1e6),
    "mixtral": MIXTRAL,
    "mixtral window": MIXTRAL | dict(sliding_window=5, num_experts_per_tok=1, rms_norm_eps=1e-3),
    "olmo2": OLMO2,
    "olmo2 biases": OLMO2 | dict(attention_bias=True, tie_word_embeddings=True, rope_theta=5e5),
    "gemma2": GEMMA2,
    "gemma2 no caps": GEMMA2 | dict(attn_logit_softcapping=None, final_logit_softcapping=None, attention_bias=True),
    "gemma2 other pattern": GEMMA2 | dict(layer_types=["full_attention", "sliding_attention", "sliding_attention", "full_attention"]),
    "gemma3": GEMMA3,
    "gemma3 scaled": GEMMA3 | dict(rope_scaling=dict(rope_type="linear", factor=8.0), rope_theta=1e5, rope_local_base_freq=500.0),
    "gemma3 newer form": GEMMA3
    | dict(
        rope_parameters={"sliding_attention": dict(rope_type="default", rope_theta=700.0), "full_attention": YARN | dict(rope_theta=9e4)}
    ),
    "gemma3 pattern of three": GEMMA3 | dict(sliding_window_pattern=3, final_logit_softcapping=8.0),
    "qwen3": QWEN3,
    "qwen3 windows": QWEN3 | dict(use_sliding_window=True, sliding_window=5, max_window_layers=2, attention_bias=True),
    "qwen3 tied": QWEN3 | dict(tie_word_embeddings=True, rope_theta=1e6),
    "qwen3 experts": QWEN3_MOE,
    "qwen3 experts, some dense": QWEN3_MOE | dict(mlp_only_layers=[0], norm_topk_prob=True, decoder_sparse_step=2),
    "smollm3": SMOLLM3,
    "smollm3 other pattern": SMOLLM3 | dict(no_rope_layers=[1, 0, 0, 1], mlp_bias=True, attention_bias=True, tie_word_embeddings=False),
}


@pytest.mark.parametrize("name", LOGITS)
def test_logits_are_those_of_transformers(name):
    arch = check_logits(LOGITS[name])
    if arch.position.kind != "rope" or getattr(arch.position.scaling, "kind", "") != "dynamic":
        assert from_hf(to_hf(arch)) == arch


SWEEP = {  # keys that change the count, and what to
    "gpt2": (
        GPT2,
        dict(n_inner=[None, 96], tie_word_embeddings=[False], n_embd=[32, 128], n_layer=[1, 5], n_positions=[32], vocab_size=[50]),
    ),
    "llama": (
        LLAMA,
        dict(
            attention_bias=[True],
            mlp_bias=[True],
            tie_word_embeddings=[True],
            head_dim=[8, 32],
            num_key_value_heads=[1, 4],
            hidden_size=[32, 128],
            num_hidden_layers=[1, 7],
            intermediate_size=[33],
            vocab_size=[50],
        ),
    ),
    "mistral": (
        MISTRAL,
        dict(sliding_window=[None, 3], head_dim=[8, 32], num_key_value_heads=[1, 4], tie_word_embeddings=[True], vocab_size=[50]),
    ),
    "mixtral": (
        MIXTRAL,
        dict(num_local_experts=[2, 8], num_experts_per_tok=[1], head_dim=[8, 32], num_key_value_heads=[4], tie_word_embeddings=[True]),
    ),
    "olmo2": (
        OLMO2,
        dict(attention_bias=[True], num_key_value_heads=[1, 4], tie_word_embeddings=[True], hidden_size=[32], num_hidden_layers=[2]),
    ),
    "gemma2": (
        GEMMA2,
        dict(attention_bias=[True], head_dim=[8, 32], num_key_value_heads=[1, 4], tie_word_embeddings=[False], num_hidden_layers=[3]),
    ),
    "gemma3_text": (
        GEMMA3,
        dict(
            attention_bias=[True],
            head_dim=[8, 32],
            num_key_value_heads=[1, 4],
            tie_word_embeddings=[False],
            num_hidden_layers=[3, 12],
            sliding_window_pattern=[2, 7],
        ),
    ),
    "qwen3": (
        QWEN3,
        dict(
            attention_bias=[True],
            head_dim=[8, 32],
            num_key_value_heads=[1, 4],
            tie_word_embeddings=[True],
            use_sliding_window=[True],
            max_window_layers=[0, 2],
            hidden_size=[32],
        ),
    ),
    "qwen3_moe": (
        QWEN3_MOE,
        dict(
            attention_bias=[True],
            head_dim=[8, 32],
            num_experts=[4, 16],
            mlp_only_layers=[[0], [1, 3]],
            decoder_sparse_step=[2, 3],
            moe_intermediate_size=[16],
            tie_word_embeddings=[True],
        ),
    ),
    "smollm3": (
        SMOLLM3,
        dict(
            attention_bias=[True],
            mlp_bias=[True],
            num_key_value_heads=[1, 4],
            tie_word_embeddings=[False],
            no_rope_layer_interval=[2, 3],
            num_hidden_layers=[3, 9],
        ),
    ),
}


@pytest.mark.parametrize("model_type", SWEEP)
def test_counts_over_a_sweep_of_the_keys(model_type):
    base, varied = SWEEP[model_type]
    dice = random.Random(model_type)
    seen = set()
    for _ in range(14):
        chosen = dice.sample(sorted(varied), dice.randint(1, 4))
        seen.add(core.cost(check(base | {key: dice.choice(varied[key]) for key in chosen})).parameters)
    assert len(seen) > 6


@pytest.mark.parametrize("model_type", sorted(BY_TYPE))
def test_a_class_default_is_read_or_refused_by_name(model_type):
    try:
        config = transformers.AutoConfig.for_model(model_type).to_dict()
    except ValueError:
        pytest.skip("transformers has no class of this name")
    try:
        with torch.device("meta"):
            theirs = reference(config)
    except (TypeError, ValueError, AttributeError, KeyError):
        pytest.skip("transformers cannot build its own default")
    try:
        check(config, theirs)
    except core.Unsupported as error:
        # Their defaults name no architecture: experts without top-k, heads that do not divide, two words on one tie.
        alone = "deepseek_v2 hunyuan_v1_moe qwen3_omni_moe_text qwen3_omni_moe_thinker qwen3_omni_moe paligemma git".split()
        assert model_type in alone or "tie_word_embeddings: True is not supported: text_config" in str(error), error


WRAPPERS = {
    "mistral3": ({k: v for k, v in MISTRAL.items() if k != "sliding_window"} | dict(sliding_window=None), "mistral"),
    "gemma3": (GEMMA3, "gemma3_text"),
    "llama4": (SMALL | dict(model_type="llama4_text", head_dim=16, intermediate_size_mlp=80, num_local_experts=4), "llama4_text"),
}


@pytest.mark.parametrize("model_type", WRAPPERS)
@pytest.mark.parametrize("dtype", ["torch_dtype", "dtype"])
def test_of_a_multimodal_model_the_text_is_read(model_type, dtype):
    text, inner = WRAPPERS[model_type]
    vision = {"hidden_size": 32, "model_type": "some_vision", "unknown_here": [1, 2]}
    wrapped = {"model_type": model_type, "vision_config": vision, "image_token_index": 5, dtype: "float16"}
    arch = check(wrapped | {"text_config": text | {"model_type": inner}})
    assert arch.precision["default"] == "fp16" and arch.d_model == 64
    with pytest.raises(core.Unsupported, match=r"text_config\.mystery"):
        from_hf(wrapped | {"text_config": text | {"model_type": inner, "mystery": 3}})
    with pytest.raises(core.Unsupported, match="mystery"):
        from_hf(wrapped | {"text_config": text | {"model_type": inner}, "mystery": 3})
