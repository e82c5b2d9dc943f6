"""Further families with experts against transformers: logits on small random weights, the round trip, what is refused."""

import pytest
from parity import check_logits

import core
from core.hf import from_hf, to_hf

SMALL = dict(
    vocab_size=64, hidden_size=64, intermediate_size=48, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2,
    max_position_embeddings=64, pad_token_id=0,
)  # fmt: skip
COHERE = SMALL | dict(model_type="cohere2_moe", head_dim=16, sliding_window=5, num_experts=6)
ERNIE = SMALL | dict(model_type="ernie4_5_moe", moe_num_experts=8, moe_k=3, moe_intermediate_size=24)
FLEX = SMALL | dict(model_type="flex_olmo")
GRANITE = SMALL | dict(model_type="granitemoe_swa", sliding_window=5)
JET = {key: SMALL[key] for key in SMALL if key != "num_attention_heads"} | dict(model_type="jetmoe", kv_channels=16)
PHI = SMALL | dict(model_type="phimoe")
ZAYA = {key: SMALL[key] for key in SMALL if key != "intermediate_size"} | dict(
    model_type="zaya", head_dim=16, moe_intermediate_size=24, num_experts=4, router_hidden_size=24
)
LONG = dict(
    rope_type="longrope", rope_theta=1e4, original_max_position_embeddings=32, factor=2.0, short_factor=[1.0 + i / 8 for i in range(8)],
    long_factor=[2.0 + i for i in range(8)], short_mscale=1.2, long_mscale=1.2,
)  # fmt: skip
LOGITS = {
    "cohere2_moe": COHERE,
    "cohere2_moe dense first": COHERE
    | dict(first_k_dense_replace=2, num_shared_experts=2, prefix_dense_intermediate_size=80, expert_selection_fn="sigmoid"),
    "cohere2_moe dense in windows": COHERE
    | dict(first_k_dense_replace=2, prefix_dense_sliding_window_pattern=2, num_shared_experts=1, rms_norm_eps=1e-5,
           shared_expert_combination_strategy="sum", expert_selection_fn="sigmoid", norm_topk_prob=False, tie_word_embeddings=False),
    "cohere2_moe some dense": COHERE
    | dict(mlp_layer_types=["sparse", "dense", "sparse", "dense"], layer_types=["full_attention", "sliding_attention"] * 2,
           attention_bias=True, num_experts_per_tok=3),
    "ernie4_5_moe": ERNIE,
    "ernie4_5_moe biases": ERNIE | dict(use_bias=True, tie_word_embeddings=False, moe_layer_interval=2, moe_num_shared_experts=1),
    "ernie4_5_moe some layers": ERNIE | dict(moe_layer_start_index=2, moe_layer_end_index=2, moe_num_shared_experts=0, head_dim=24),
    "flex_olmo": FLEX,
    "flex_olmo varied": FLEX | dict(norm_topk_prob=True, attention_bias=True, num_experts=4, num_experts_per_tok=1),
    "granitemoe_swa": GRANITE,
    "granitemoe_swa bases": GRANITE
    | dict(layer_rope_theta=[0, 1e4, 5e5, 1e4], shared_intermediate_size=40, attention_multiplier=0.3, residual_multiplier=0.5,
           rope_parameters=dict(rope_type="default", rope_theta=2e4), attention_bias=True, logits_scaling=2.0),
    "granitemoe_swa everything alike": GRANITE | dict(layer_types=["full_attention"] * 4, layer_rope_theta=[1e5] * 4),
    "jetmoe": JET,
    "jetmoe varied": JET
    | dict(num_local_experts=5, num_experts_per_tok=3, rms_norm_eps=1e-3, tie_word_embeddings=False, activation_function="gelu",
           rope_parameters=dict(rope_type="linear", rope_theta=5e4, factor=2.0)),
    "zaya": ZAYA,
    "zaya varied": ZAYA
    | dict(layer_types=["hybrid", "hybrid_sliding"] * 2, sliding_window=6, attention_bias=True, lm_head_bias=True, cca_time0=3, cca_time1=4,
           tie_word_embeddings=False, num_experts=1),
    "zaya in windows": ZAYA
    | dict(layer_types=["hybrid_sliding"] * 4, sliding_window=6, cca_time1=1, hidden_act="gelu",
           rope_parameters=dict(rope_type="default", hybrid_sliding=dict(rope_type="linear", rope_theta=1e4, factor=2.0))),
    "phimoe": PHI,
    "phimoe varied": PHI | dict(attention_bias=True, lm_head_bias=True, router_jitter_noise=0.3, sliding_window=6, num_local_experts=5),
    "phimoe long": PHI | dict(rope_parameters=LONG, head_dim=16, tie_word_embeddings=True),
}  # fmt: skip


@pytest.mark.parametrize("name", LOGITS)
def test_logits_are_those_of_transformers(name):
    arch = check_logits(LOGITS[name])
    assert from_hf(to_hf(arch)) == arch


@pytest.mark.parametrize(
    ("config", "key"),
    [
        (PHI | dict(num_experts_per_tok=3), "num_experts_per_tok"),
        (PHI | dict(rope_scaling=LONG | dict(long_mscale=1.5)), "rope_scaling.long_mscale"),
        (PHI | dict(rope_scaling=LONG | dict(rope_type="yarn")), "rope_scaling.rope_type"),
        (COHERE | dict(expert_selection_fn="tanh"), "expert_selection_fn"),
        (COHERE | dict(sliding_window=None), "sliding_window"),
        (ERNIE | dict(moe_norm_min=0.5), "moe_norm_min"),
        (ZAYA | dict(layer_types=["hybrid_sliding"] * 4), "sliding_window"),
        (ZAYA | dict(num_experts_per_tok=2), "num_experts_per_tok"),
        (ZAYA | dict(rope_parameters=dict(rope_theta=1e4)), "rope_parameters.hybrid.rope_theta"),
        (GRANITE | dict(layer_rope_theta=[1e4]), "layer_rope_theta"),
    ],
)
def test_what_the_spec_cannot_say_is_refused_by_name(config, key):
    with pytest.raises(core.Unsupported, match=rf"^{key}: "):
        from_hf(config)
