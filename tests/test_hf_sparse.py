"""Families with an indexer against transformers: logits on small random weights, the round trip, what is refused."""

import pytest
from parity import check_logits

import core
from core.hf import from_hf, to_hf

V32 = dict(
    model_type="deepseek_v32", vocab_size=64, hidden_size=48, intermediate_size=40, moe_intermediate_size=24, num_hidden_layers=3,
    num_attention_heads=4, num_key_value_heads=4, n_routed_experts=8, num_experts_per_tok=2, n_group=2, topk_group=1, kv_lora_rank=16,
    q_lora_rank=24, qk_rope_head_dim=8, qk_nope_head_dim=16, v_head_dim=12, index_topk=6, index_head_dim=16, index_n_heads=8,
    first_k_dense_replace=1, max_position_embeddings=64, rms_norm_eps=1e-6,
)  # fmt: skip
GLM5 = V32 | dict(model_type="glm_moe_dsa", n_group=1)
YARN = dict(
    rope_type="yarn",
    rope_theta=1e4,
    factor=4.0,
    original_max_position_embeddings=16,
    beta_fast=32,
    beta_slow=1,
    mscale=1.0,
)
LOGITS = {
    "v3.2": V32,
    "v3.2 yarn": V32 | dict(rope_parameters=YARN | dict(mscale_all_dim=1.0), attention_bias=True, index_n_heads=12),
    "v3.2 reads everything": V32 | dict(index_topk=64),
    "glm-5": GLM5,
    "glm-5 other layers": GLM5 | dict(mlp_layer_types=["dense", "sparse", "dense"], norm_topk_prob=False, routed_scaling_factor=1.0),
}  # fmt: skip


@pytest.mark.parametrize("name", LOGITS)
def test_logits_are_those_of_transformers(name):
    arch = check_logits(LOGITS[name])
    assert from_hf(to_hf(arch)) == arch


def test_indexers_that_layers_share_are_refused():
    with pytest.raises(core.Unsupported, match=r"^indexer_types: "):
        from_hf(GLM5 | dict(indexer_types=["full", "shared", "shared"]))
