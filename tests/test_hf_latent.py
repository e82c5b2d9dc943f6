"""Families with latent attention against transformers: logits on small random weights, the round trip, what is refused."""

import pytest
import torch
from parity import check_logits, parameters, reference

import core
from core.hf import from_hf, to_hf

SMALL = dict(
    vocab_size=64, hidden_size=48, intermediate_size=40, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=4,
    max_position_embeddings=64, kv_lora_rank=16, q_lora_rank=24, qk_rope_head_dim=8, qk_nope_head_dim=16, v_head_dim=12, pad_token_id=0,
)  # fmt: skip
ROUTED = SMALL | dict(n_routed_experts=8, num_experts_per_tok=2, moe_intermediate_size=24)
V3 = ROUTED | dict(model_type="deepseek_v3", n_group=2, topk_group=1)
GLM45 = {key: value for key, value in ROUTED.items() if "lora" not in key and not key.startswith(("qk", "v_"))} | dict(
    model_type="glm4_moe", num_attention_heads=5, num_key_value_heads=1, first_k_dense_replace=1
)
LOGITS = {
    "glm4_moe, heads that do not divide the stream": GLM45 | dict(hidden_size=64),
    "glm4_moe, an odd number of channels turns": GLM45 | dict(hidden_size=52, attention_bias=True, use_qk_norm=True),
}
COUNTS = {
    "deepseek_v3, keys that change nothing": V3 | dict(num_key_value_heads=2, head_dim=32),
}


@pytest.mark.parametrize("name", LOGITS)
def test_logits_are_those_of_transformers(name):
    arch = check_logits(LOGITS[name])
    assert from_hf(to_hf(arch)) == arch


@pytest.mark.parametrize("name", COUNTS)
def test_parameters_are_those_of_transformers(name):
    with torch.device("meta"):
        expected = parameters(reference(COUNTS[name]))
    assert core.cost(from_hf(COUNTS[name])).parameters == expected
