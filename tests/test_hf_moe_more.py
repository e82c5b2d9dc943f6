"""Families with experts and layers in a window that differ in more than a switch, against transformers."""

import copy

import pytest
import torch
from parity import check_logits, double_precision, perturb, stepwise

import core
from core.hf import from_hf, to_hf

SMALL = dict(
    vocab_size=64, hidden_size=64, intermediate_size=48, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2, head_dim=16,
    max_position_embeddings=64, pad_token_id=0, sliding_window=5, num_experts_per_tok=2, moe_intermediate_size=24,
)  # fmt: skip
LAGUNA = SMALL | dict(model_type="laguna", num_experts=8, shared_expert_intermediate_size=40)
KINDS = ["full_attention", "sliding_attention", "sliding_attention", "full_attention"]
YARN = dict(
    rope_type="yarn", rope_theta=1e4, factor=4.0, original_max_position_embeddings=16, beta_fast=32.0, beta_slow=1.0,
    partial_rotary_factor=0.5,
)  # fmt: skip
MIMO = SMALL | dict(model_type="mimo_v2_flash", n_routed_experts=8, v_head_dim=12, num_attention_heads=8, head_dim=24)
M3 = {key: value for key, value in SMALL.items() if key not in ("sliding_window", "moe_intermediate_size")} | dict(
    model_type="minimax_m3_vl_text", num_local_experts=8, intermediate_size=24, dense_intermediate_size=40, shared_intermediate_size=32,
    index_n_heads=2, index_head_dim=16, index_block_size=4, index_topk_blocks=2, partial_rotary_factor=0.5,
    layer_types=["full_attention", "minimax_m3_sparse", "minimax_m3_sparse", "full_attention"],
    mlp_layer_types=["dense", "sparse", "sparse", "sparse"],
)  # fmt: skip
CASES = {
    "laguna": LAGUNA,
    "laguna of every kind": LAGUNA
    | dict(
        layer_types=KINDS, num_attention_heads_per_layer=[4, 8, 8, 6], gating="per-element", attention_bias=True,
        mlp_layer_types=["sparse", "dense", "sparse", "sparse"], moe_routed_scaling_factor=2.5, moe_router_logit_softcapping=3.0,
        rope_parameters={"full_attention": YARN, "sliding_attention": {"rope_type": "default", "rope_theta": 500.0}},
        tie_word_embeddings=True,
    ),
    "laguna in a window": LAGUNA | dict(layer_types=["sliding_attention"] * 4, gating="per-head"),
    "mimo": MIMO,
    "mimo of every kind": MIMO
    | dict(
        layer_types=KINDS, mlp_layer_types=["sparse", "dense", "sparse", "sparse"], attention_value_scale=None, attention_bias=True,
        n_group=2, topk_group=1, norm_topk_prob=False, routed_scaling_factor=1.5, tie_word_embeddings=True,
        rope_parameters={"full_attention": YARN, "sliding_attention": {"rope_type": "default", "rope_theta": 500.0}},
    ),
    "mimo sees everything": MIMO | dict(layer_types=["full_attention"] * 4, v_head_dim=24),
    "mimo in Xiaomi's words": MIMO
    | dict(
        num_hidden_layers=6, hybrid_layer_pattern=[0, 1, 1, 1, 1, 0], moe_layer_freq=[0, 1, 1, 1, 1, 1], sliding_window_size=4,
        swa_num_attention_heads=8, swa_num_key_value_heads=4, swa_head_dim=24, swa_v_head_dim=12, swa_rope_theta=10000,
        rope_theta=5000000, partial_rotary_factor=0.334, layernorm_epsilon=1e-5, add_swa_attention_sink_bias=True,
        add_full_attention_sink_bias=False, n_shared_experts=None, routed_scaling_factor=None, scoring_func="sigmoid",
        topk_method="noaux_tc", attention_chunk_size=4,
    ),
    "m3": M3,
    "m3 otherwise": M3
    | dict(
        index_n_heads=1, index_head_dim=24, index_local_blocks=2, index_topk_blocks=3, partial_rotary_factor=None,
        routed_scaling_factor=1.0,
        swiglu_alpha=1.0, swiglu_limit=0.5, num_attention_heads=8, tie_word_embeddings=True, layer_types=["minimax_m3_sparse"] * 4,
    ),
    "m3 without indexer": M3 | dict(layer_types=None, mlp_layer_types=None, index_local_blocks=0),
    "m3 in MiniMax's words": M3
    | dict(
        layer_types=None, mlp_layer_types=None, moe_layer_freq=[0, 1, 1, 1], hidden_act="swigluoai", rotary_dim=8, rope_theta=1e4,
        sparse_attention_config=dict(
            use_sparse_attention=True, sparse_index_dim=16, sparse_num_index_heads=2, sparse_topk_blocks=2, sparse_block_size=4,
            sparse_init_block=0, sparse_local_block=1, sparse_score_type="max", sparse_attention_freq=[0, 1, 1, 1],
            sparse_disable_index_value=[0, 1, 1, 1],
        ),
    ),
}  # fmt: skip
REFUSED = {
    "hybrid_layer_pattern": MIMO | dict(hybrid_layer_pattern=[0, 2, 0, 0]),
    "gating": LAGUNA | dict(gating=False),
    "rope_theta": LAGUNA | dict(rope_theta=1e6),
    "num_attention_heads_per_layer": LAGUNA | dict(num_attention_heads_per_layer=[4]),
}


@pytest.mark.parametrize("name", CASES)
def test_logits_are_those_of_transformers(name):
    arch = check_logits(CASES[name])
    assert from_hf(to_hf(arch)) == arch


def test_a_wrapper_is_its_text_model():
    wrapped = from_hf({"model_type": "minimax_m3_vl", "text_config": M3, "vision_config": {"hidden_size": 32}})
    assert wrapped.parts == from_hf(M3).parts and wrapped.layers == from_hf(M3).layers


STEP = dict(
    model_type="step3p5", vocab_size=64, hidden_size=64, intermediate_size=48, num_hidden_layers=4, num_attention_heads=4, head_dim=16,
    num_attention_groups=2, max_position_embeddings=64, sliding_window=5, moe_num_experts=8, moe_top_k=2, moe_intermediate_size=24,
    share_expert_dim=32, moe_layers_enum="1,2,3", pad_token_id=0,
    layer_types=["full_attention", "sliding_attention", "sliding_attention", "full_attention"],
    attention_other_setting=dict(attention_type="sliding_attention", num_attention_heads=6, num_attention_groups=2, head_dim=16),
    rope_theta=[5e4, 1e3, 1e3, 5e4], partial_rotary_factors=[0.5, 1.0, 1.0, 0.5], use_head_wise_attn_gate=True, zero_centered=True,
)  # fmt: skip
LLAMA3 = dict(rope_type="llama3", factor=2.0, original_max_position_embeddings=32, low_freq_factor=1.0, high_freq_factor=32.0)
STEPS = {
    "plain": STEP,
    "cut": STEP
    | dict(swiglu_limits=[0.0, 0.0, 0.1, 0.1], swiglu_limits_shared=[0.2, 0.0, 0.0, 0.3], moe_router_scaling_factor=3.0,
           rope_scaling=LLAMA3),
    "otherwise": STEP | dict(attention_bias=True, query_pre_attn_scalar=9, moe_layers_enum=None, attention_other_setting=None,
                             rope_theta=1e3, partial_rotary_factors=None, mlp_layer_types=["sparse", "dense", "sparse", "dense"]),
}  # fmt: skip


@pytest.mark.parametrize("name", STEPS)
def test_step_is_transformers_text_model_with_a_head(name):
    """transformers has it only inside Step 3.7, which sees images."""
    from transformers.models.step3p7.modeling_step3p7 import Step3p7TextConfig, Step3p7TextModel

    torch.manual_seed(0)
    settings = Step3p7TextConfig(**{key: value for key, value in copy.deepcopy(STEPS[name]).items() if value is not None})
    settings._attn_implementation = "eager"
    theirs, head = Step3p7TextModel(settings).eval(), torch.randn(64, 64) / 8
    perturb(theirs)
    arch = from_hf(STEPS[name])
    ours = core.build(arch, device="cpu")
    core.load_weights(ours, {f"model.{key}": tensor for key, tensor in theirs.state_dict().items()} | {"lm_head.weight": head})
    tokens = torch.randint(64, (2, 24))
    with torch.inference_mode():
        expected = theirs(tokens, use_cache=False).last_hidden_state @ head.T
        assert (ours(tokens) - expected).abs().max() <= 1e-4
    with double_precision(), torch.inference_mode():
        ours = ours.double()
        assert (ours(tokens) - stepwise(ours, tokens)).abs().max() <= 1e-6
    assert from_hf(to_hf(arch)) == arch


def test_step_predicts_ahead_with_what_its_lists_go_on_to():
    ahead = STEP | dict(
        num_nextn_predict_layers=2, layer_types=[*STEP["layer_types"], *["sliding_attention"] * 2],
        rope_theta=[5e4, 1e3, 1e3, 5e4, 1e3, 1e3],
        partial_rotary_factors=[0.5, 1.0, 1.0, 0.5, 1.0, 1.0],
    )  # fmt: skip
    arch = from_hf({"model_type": "step3p7", "text_config": ahead})
    assert arch.mtp.count == 2 and [step.parts[0] for step in arch.mtp.block] == ["local", "dense"]
    assert from_hf(to_hf(arch)) == arch


def test_mimo_predicts_ahead_in_a_window():
    arch = from_hf(MIMO | dict(num_nextn_predict_layers=3))
    assert arch.mtp.count == 3 and [step.parts[0] for step in arch.mtp.block] == ["local", "dense"]
    assert from_hf(to_hf(arch)) == arch


@pytest.mark.parametrize("key", REFUSED)
def test_what_the_spec_cannot_say_is_refused_by_name(key):
    with pytest.raises(core.Unsupported, match=rf"^{key}: "):
        from_hf(REFUSED[key])
