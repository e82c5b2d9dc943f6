"""Mixture-of-experts families against transformers: counts, logits, round trips, refusals, and the presets' own figures."""

import json
import random

import pytest
import torch
from parity import check, check_logits, parameters, reference

import core
from core.hf import from_hf, to_hf

LATENT = dict(
    vocab_size=96,
    hidden_size=64,
    num_hidden_layers=4,
    num_attention_heads=4,
    num_key_value_heads=4,
    max_position_embeddings=256,
    q_lora_rank=24,
    kv_lora_rank=16,
    qk_nope_head_dim=16,
    qk_rope_head_dim=8,
    v_head_dim=12,
    intermediate_size=96,
    moe_intermediate_size=32,
    n_routed_experts=8,
    num_experts_per_tok=3,
    n_shared_experts=2,
)
V2 = LATENT | dict(model_type="deepseek_v2", first_k_dense_replace=1, routed_scaling_factor=1.5)
V3 = LATENT | dict(model_type="deepseek_v3", first_k_dense_replace=2, n_group=4, topk_group=2, num_nextn_predict_layers=1)
V1 = dict(
    model_type="deepseek",
    vocab_size=96,
    hidden_size=64,
    num_hidden_layers=4,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=256,
    intermediate_size=96,
    moe_intermediate_size=32,
    n_routed_experts=8,
    n_shared_experts=2,
    num_experts_per_tok=3,
    first_k_dense_replace=1,
)
GLM = dict(
    model_type="glm4_moe",
    vocab_size=96,
    hidden_size=64,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=24,
    max_position_embeddings=256,
    intermediate_size=96,
    moe_intermediate_size=32,
    n_routed_experts=8,
    num_experts_per_tok=3,
    n_shared_experts=1,
    first_k_dense_replace=1,
    partial_rotary_factor=0.5,
    num_nextn_predict_layers=1,
    use_qk_norm=True,
    attention_bias=True,
    routed_scaling_factor=2.5,
)
OSS = dict(
    model_type="gpt_oss",
    vocab_size=96,
    hidden_size=64,
    num_hidden_layers=4,
    num_attention_heads=8,
    num_key_value_heads=2,
    head_dim=16,
    max_position_embeddings=4096,
    intermediate_size=48,
    num_local_experts=8,
    num_experts_per_tok=3,
    sliding_window=6,
)
LLAMA4 = dict(
    model_type="llama4_text",
    vocab_size=96,
    hidden_size=64,
    num_hidden_layers=4,
    num_attention_heads=8,
    num_key_value_heads=2,
    head_dim=16,
    max_position_embeddings=256,
    intermediate_size=48,
    intermediate_size_mlp=80,
    num_local_experts=8,
    interleave_moe_layer_step=2,
    attention_chunk_size=7,
    floor_scale=5,
)
YARN = {"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 32, "beta_fast": 32, "beta_slow": 1}

LOGITS = {
    "v2 greedy": V2,
    "v2 groups, no query rank": V2
    | dict(
        topk_method="group_limited_greedy",
        n_group=4,
        topk_group=2,
        q_lora_rank=None,
        rope_scaling=YARN | dict(mscale=0.7, mscale_all_dim=0.9),
    ),
    "v2 says that it normalises": V2 | dict(norm_topk_prob=True, attention_bias=True, num_experts_per_tok=2),
    "v3": V3,
    "v3 yarn on the softmax": V3 | dict(rope_scaling=YARN | dict(mscale=1.0, mscale_all_dim=1.0), attention_bias=True),
    "v3 halves, one group, no norm": V3
    | dict(rope_interleave=False, n_group=1, topk_group=1, norm_topk_prob=False, q_lora_rank=None, routed_scaling_factor=1.0),
    "v3 tied, experts alone": V3 | dict(tie_word_embeddings=True, first_k_dense_replace=0, num_nextn_predict_layers=0, hidden_act="gelu"),
    "glm": GLM,
    "glm plain": GLM
    | dict(use_qk_norm=False, attention_bias=False, norm_topk_prob=False, partial_rotary_factor=1.0, n_group=2, topk_group=1),
    "gpt-oss": OSS,
    "gpt-oss plain rope": OSS
    | dict(rope_parameters={"rope_type": "default", "rope_theta": 5000.0}, swiglu_alpha=1.3, swiglu_limit=0.5, attention_bias=False),
    "gpt-oss all layers in a window": OSS | dict(layer_types=["sliding_attention"] * 4, tie_word_embeddings=True),
    "llama 4": LLAMA4,
    "llama 4, two experts, no norm": LLAMA4
    | dict(num_experts_per_tok=2, use_qk_norm=False, attn_temperature_tuning=False, moe_layers=[0, 3], attention_bias=True),
    "llama 4, other patterns": LLAMA4
    | dict(
        no_rope_layers=[1, 0, 0, 1],
        layer_types=["full_attention", "chunked_attention", "full_attention", "chunked_attention"],
        attn_scale=0.4,
    ),
    "llama 4, empty band": LLAMA4
    | dict(
        rope_scaling=dict(rope_type="llama3", factor=16.0, low_freq_factor=1.0, high_freq_factor=1.0, original_max_position_embeddings=64)
    ),
}


@pytest.mark.parametrize("name", LOGITS)
def test_logits_are_those_of_transformers(name):
    arch = check_logits(LOGITS[name])
    assert from_hf(to_hf(arch)) == arch


# Each family's keys, one or several changed at a time: (base, what may change).
SWEEP = {
    "deepseek_v2": (
        V2,
        dict(
            q_lora_rank=[None, 12],
            n_shared_experts=[1, 3],
            first_k_dense_replace=[0, 3, 4],
            attention_bias=[True],
            v_head_dim=[8],
            qk_nope_head_dim=[8],
            moe_intermediate_size=[16, 40],
            num_experts_per_tok=[1, 8],
            tie_word_embeddings=[True],
            n_routed_experts=[4, 16],
            kv_lora_rank=[32],
        ),
    ),
    "deepseek_v3": (
        V3,
        dict(
            q_lora_rank=[None, 12],
            n_shared_experts=[1, 3],
            first_k_dense_replace=[0, 3, 9],
            attention_bias=[True],
            v_head_dim=[8],
            qk_rope_head_dim=[16],
            moe_intermediate_size=[16, 40],
            tie_word_embeddings=[True],
            n_routed_experts=[16, 32],
            num_nextn_predict_layers=[0, 2],
            n_group=[2],
        ),
    ),
    "glm4_moe": (
        GLM,
        dict(
            use_qk_norm=[False],
            attention_bias=[False],
            first_k_dense_replace=[0, 2, 3],
            head_dim=[16, 32],
            num_key_value_heads=[1, 4],
            n_shared_experts=[2],
            n_routed_experts=[4, 16],
            tie_word_embeddings=[True],
            num_nextn_predict_layers=[0, 2],
            hidden_size=[48],
        ),
    ),
    "gpt_oss": (
        OSS,
        dict(
            attention_bias=[False],
            num_local_experts=[4, 16],
            head_dim=[8, 32],
            num_key_value_heads=[1, 8],
            intermediate_size=[32],
            sliding_window=[3],
            num_hidden_layers=[1, 5],
            tie_word_embeddings=[True],
            hidden_size=[32, 80],
        ),
    ),
    "llama4_text": (
        LLAMA4,
        dict(
            interleave_moe_layer_step=[1, 3],
            moe_layers=[[], [1], [0, 1, 2, 3]],
            no_rope_layers=[[], [1, 1, 1, 1], [0, 0, 0, 0]],
            no_rope_layer_interval=[2, 3],
            use_qk_norm=[False],
            attention_bias=[True],
            num_local_experts=[2, 16],
            intermediate_size=[32],
            intermediate_size_mlp=[32],
            num_key_value_heads=[1, 8],
            tie_word_embeddings=[True],
        ),
    ),
}


@pytest.mark.parametrize("model_type", SWEEP)
def test_counts_over_a_sweep_of_the_keys(model_type):
    base, varied = SWEEP[model_type]
    dice = random.Random(model_type)
    seen = set()
    for _ in range(16):
        chosen = dice.sample(sorted(varied), dice.randint(1, 4))
        arch = check(base | {key: dice.choice(varied[key]) for key in chosen})
        seen.add(core.cost(arch).parameters)
    assert len(seen) > 8


ABSENT = {  # keys that can be left out, one at a time, beside what the others say
    "deepseek_v2": "q_lora_rank kv_lora_rank qk_nope_head_dim qk_rope_head_dim v_head_dim moe_intermediate_size "
    "n_routed_experts n_shared_experts first_k_dense_replace num_key_value_heads intermediate_size num_hidden_layers",
    "deepseek_v3": "q_lora_rank qk_nope_head_dim v_head_dim moe_intermediate_size n_shared_experts "
    "num_nextn_predict_layers n_routed_experts",
    "glm4_moe": "intermediate_size moe_intermediate_size n_routed_experts num_experts_per_tok "
    "first_k_dense_replace partial_rotary_factor use_qk_norm",
    "gpt_oss": "head_dim intermediate_size num_local_experts num_experts_per_tok sliding_window num_hidden_layers",
    "llama4_text": "head_dim intermediate_size intermediate_size_mlp num_local_experts interleave_moe_layer_step num_hidden_layers",
}


@pytest.mark.parametrize("model_type", ABSENT)
def test_an_absent_key_is_the_class_default(model_type):
    base = SWEEP[model_type][0]
    for key in ABSENT[model_type].split():
        check({k: v for k, v in base.items() if k != key})


def meta_count(config: dict) -> int:
    with torch.device("meta"):
        return parameters(reference(config))


PUBLISHED = {  # the main model, as the files' own tensors add up; transformers counts the same where it has the family
    "deepseek-moe-16b": 16_375_728_128,
    "deepseek-v2": 235_741_434_880,
    "deepseek-v3": 671_026_404_352,
    "deepseek-r1": 671_026_404_352,
    "kimi-k2": 1_026_408_209_408,
    "glm-4.5": 352_797_814_784,
    "grok-2.5": 269_515_497_472,
    "gpt-oss-20b": 20_914_757_184,
    "gpt-oss-120b": 116_829_156_672,
    "llama-4-scout": 107_769_861_120,
    "llama-4-maverick": 400_711_848_960,
}
REMOTE = ("deepseek-moe-16b", "grok-2.5")  # transformers has no class for these


@pytest.mark.parametrize("name", PUBLISHED)
def test_presets_have_the_published_parameters(name):
    assert core.cost(core.load(name)).parameters == PUBLISHED[name]


@pytest.mark.parametrize("name", [name for name in PUBLISHED if name not in REMOTE])
def test_presets_count_as_transformers_does(name):
    config = to_hf(core.load(name))
    config.pop("strata")
    config.pop("quantization_config", None)
    assert meta_count(config) == core.cost(core.load(name)).parameters


@pytest.mark.parametrize("name", PUBLISHED)
def test_presets_leave_and_return(name):
    arch = core.load(name)
    assert from_hf(json.loads(json.dumps(to_hf(arch)))) == arch


@pytest.mark.parametrize(
    ("name", "published", "apart"),
    [  # bytes of the files, and of what in them is no parameter of the model
        ("gpt-oss-20b", 13_761_264_768, 0),
        ("gpt-oss-120b", 65_248_815_744, 0),
        ("kimi-k2", 1_029_173_256_720, 61 * 56 * 4),  # the rotary embedding's frequencies
        ("deepseek-v3", 688_574_839_360, 0),  # with embedding and head again, for the module ahead
    ],
)
def test_stored_bytes_are_those_of_the_files(name, published, apart):
    assert core.cost(core.load(name)).weight_bytes == pytest.approx(published - apart, rel=2e-5)
