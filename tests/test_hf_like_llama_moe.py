"""The models like llama with experts against transformers: logits on small random weights, the round trip, what is refused."""

import pytest
from parity import check_logits

import core
from core.hf import from_hf, to_hf

SMALL = dict(
    vocab_size=64, hidden_size=64, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, head_dim=16,
    max_position_embeddings=64, pad_token_id=0,
)  # fmt: skip
FEW = dict(num_experts=8, num_experts_per_tok=2, moe_intermediate_size=24)
ROUTED = dict(n_routed_experts=8, num_experts_per_tok=2, moe_intermediate_size=24, n_shared_experts=2)
DEFAULT = {
    "afmoe": FEW | dict(sliding_window=5),
    "aria_text": dict(moe_num_experts=8, moe_topk=2),
    "dots1": ROUTED,
    "exaone_moe": FEW | dict(sliding_window=5),
    "flint": FEW | dict(num_hidden_layers=5, sliding_window=5, shared_expert_intermediate_size=40),
    "granitemoe": dict(num_local_experts=8),
    "granitemoeshared": dict(num_local_experts=8, shared_intermediate_size=40),
    "hunyuan_v1_moe": dict(num_experts=8, moe_topk=2),
    "hy_v3": FEW,
    "kolibri1": FEW | dict(num_hidden_layers=6, sliding_window=5, shared_expert_intermediate_size=40),
    "mellum": FEW,
    "minimax_m2": dict(num_local_experts=8, num_experts_per_tok=2),
    "olmoe": dict(num_experts=8, num_experts_per_tok=2),
    "qwen2_moe": FEW | dict(shared_expert_intermediate_size=40),
    "solar_open": ROUTED,
}
VARIED = {
    "afmoe": dict(
        num_dense_layers=2,
        global_attn_every_n_layers=2,
        mup_enabled=True,
        route_scale=2.5,
        num_shared_experts=1,
        attention_bias=True,
        tie_word_embeddings=True,
    ),
    "aria_text": dict(moe_topk=3, moe_num_shared_experts=1, mlp_bias=True, attention_bias=True, head_dim=32),
    "dots1": dict(n_group=4, topk_group=2, norm_topk_prob=True, first_k_dense_replace=1, max_window_layers=1, sliding_window=5),
    "exaone_moe": dict(num_shared_experts=2, first_k_dense_replace=2, sliding_window_pattern=2, n_group=2, norm_topk_prob=False),
    "flint": dict(
        layer_types=["full_attention"] * 4 + ["sliding_attention"], norm_topk_prob=False, mlp_only_layers=[3], attention_bias=True
    ),
    "granitemoe": dict(attention_multiplier=0.3, residual_multiplier=0.5, logits_scaling=2.0, embedding_multiplier=2.0),
    "granitemoeshared": dict(num_experts_per_tok=3, attention_bias=True),
    "hunyuan_v1_moe": dict(
        attention_bias=True,
        head_dim=16,
        moe_topk=[2] * 3,
        rope_parameters=dict(rope_type="dynamic", rope_theta=1e4, alpha=1e3, factor=1.0, beta_fast=32, beta_slow=1),
    ),
    "hy_v3": dict(mlp_layer_types=["sparse", "dense", "sparse"], num_shared_experts=2, mlp_bias=True),
    "kolibri1": dict(layer_types=["full_attention"] * 6, norm_topk_prob=True, hidden_act="gelu", tie_word_embeddings=True),
    "mellum": dict(
        layer_types=["full_attention", "sliding_attention", "full_attention"],
        sliding_window=5,
        mlp_layer_types=["dense", "sparse", "sparse"],
        norm_topk_prob=False,
    ),
    "minimax_m2": dict(partial_rotary_factor=0.5),
    "olmoe": dict(norm_topk_prob=True, clip_qkv=0.6),
    "qwen2_moe": dict(
        decoder_sparse_step=2, norm_topk_prob=True, qkv_bias=False, use_sliding_window=True, sliding_window=5, max_window_layers=2
    ),
    "solar_open": dict(n_group=2, topk_group=1, attention_bias=True),
}
CASES = [(name, DEFAULT[name]) for name in DEFAULT] + [(name, DEFAULT[name] | VARIED[name]) for name in DEFAULT]
CASES += [("flint", DEFAULT["flint"] | dict(num_hidden_layers=2))]  # both layers dense: no experts at all
CASES += [("qwen2_moe", DEFAULT["qwen2_moe"] | dict(sliding_window=0))]  # as transformers writes no window
CASES += [("hy_v3", FEW | dict(num_shared_experts=0, mlp_layer_types=["sparse"] * 3))]


@pytest.mark.parametrize(("model_type", "varied"), CASES)
def test_logits_are_those_of_transformers(model_type, varied):
    arch = check_logits(SMALL | {"model_type": model_type} | varied)
    assert from_hf(to_hf(arch)) == arch


@pytest.mark.parametrize(
    ("model_type", "varied", "key"),
    [
        ("qwen2_moe", dict(layer_types=["sliding_attention"] * 3), "sliding_window"),
        ("hy_v3", dict(mlp_layer_types=["sparse"]), "mlp_layer_types"),
        ("olmoe", dict(mystery=3), "mystery"),
    ],
)
def test_what_the_spec_cannot_say_is_refused_by_name(model_type, varied, key):
    with pytest.raises(core.Unsupported, match=rf"^{key}: "):
        from_hf(SMALL | {"model_type": model_type} | DEFAULT[model_type] | varied)
