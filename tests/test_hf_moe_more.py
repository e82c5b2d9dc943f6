"""Families with experts and layers in a window that differ in more than a switch, against transformers."""

import pytest
from parity import check_logits

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
}  # fmt: skip
REFUSED = {
    "gating": LAGUNA | dict(gating=False),
    "rope_theta": LAGUNA | dict(rope_theta=1e6),
    "num_attention_heads_per_layer": LAGUNA | dict(num_attention_heads_per_layer=[4]),
}


@pytest.mark.parametrize("name", CASES)
def test_logits_are_those_of_transformers(name):
    arch = check_logits(CASES[name])
    assert from_hf(to_hf(arch)) == arch


@pytest.mark.parametrize("key", REFUSED)
def test_what_the_spec_cannot_say_is_refused_by_name(key):
    with pytest.raises(core.Unsupported, match=rf"^{key}: "):
        from_hf(REFUSED[key])
