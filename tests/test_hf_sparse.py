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
YARN = dict(rope_type="yarn", rope_theta=1e4, factor=4.0, original_max_position_embeddings=16, beta_fast=32, beta_slow=1, mscale=1.0)
AXK2 = {key: value for key, value in V32.items() if key not in ("n_group", "topk_group")} | dict(model_type="axk2", gated_norm_rank=4)
DOTS = {key: value for key, value in V32.items() if key not in ("n_group", "topk_group")} | dict(
    model_type="dots3_note_text", num_hidden_layers=7, swa_num_attention_heads=2, swa_num_key_value_heads=2, swa_kv_lora_rank=12,
    swa_q_lora_rank=20, swa_head_dim=24, swa_qk_nope_head_dim=16, swa_v_head_dim=8, sliding_window=6, shared_experts_intermediate_size=16,
    pad_token_id=0,
)  # fmt: skip
PLAIN = {key: value for key, value in DOTS.items() if not key.startswith("swa_")} | dict(num_hidden_layers=3, head_dim=24)
LOGITS = {
    "dots3_note_text": DOTS,
    "dots3_note_text, no indexer": DOTS | dict(use_dsa=False, n_group=2, topk_group=1, swa_rope_theta=1e3, rope_theta=1e4),
    "dots3_note_text, layer by layer": PLAIN | dict(
        layer_types=["full_attention", "sliding_attention", "indexed_attention"], per_layer_config={"1": dict(kv_lora_rank=8)},
        mlp_layer_types=["sparse", "dense", "sparse"], n_shared_experts=2, attention_bias=True,
        rope_parameters=dict(
            full_attention=YARN, sliding_attention=dict(rope_type="default", rope_theta=500.0), indexed_attention=YARN)),
    "dots3_note_text, all in a window": PLAIN | dict(layer_types=["sliding_attention"] * 3, moe_layer_freq=[0, 1, 0], per_layer_config={}),
    "axk2": AXK2,
    "axk2, in groups": AXK2 | dict(n_group=2, topk_group=1, mlp_layer_types=["sparse", "dense", "sparse"], norm_topk_prob=False),
    "axk2, varied": AXK2 | dict(rope_parameters=YARN | dict(mscale_all_dim=1.0), attention_bias=True, n_shared_experts=2, index_topk=64),
    "v3.2": V32,
    "v3.2 yarn": V32 | dict(rope_parameters=YARN | dict(mscale_all_dim=1.0), attention_bias=True, index_n_heads=12),
    "v3.2 reads everything": V32 | dict(index_topk=64),
    "glm-5": GLM5,
    "glm-5 other layers": GLM5 | dict(mlp_layer_types=["dense", "sparse", "dense"], norm_topk_prob=False, routed_scaling_factor=1.0),
    "glm-5 shared choices": GLM5 | dict(indexer_types=["full", "shared", "full"], index_topk=4),
    "glm-5 shared by pattern": GLM5 | dict(index_topk_pattern="FSS"),
    "glm-5 shared by number": GLM5 | dict(index_topk_freq=2, index_skip_topk_offset=1, num_nextn_predict_layers=1),
}  # fmt: skip


@pytest.mark.parametrize("name", LOGITS)
def test_logits_are_those_of_transformers(name):
    arch = check_logits(LOGITS[name])
    assert from_hf(to_hf(arch)) == arch


def test_a_choice_that_no_earlier_layer_made_is_refused():
    with pytest.raises(core.Unsupported, match="choice_from: no layer before 0"):
        from_hf(GLM5 | dict(indexer_types=["shared", "full", "full"]))
    with pytest.raises(core.Unsupported, match=r"^index_topk_pattern: "):
        from_hf(GLM5 | dict(index_topk_pattern="FS"))


def test_the_text_model_that_hears_and_sees_stands_alone_or_beside_its_wrapper():
    same = {"name": "x", "title": "x", "family": None, "model_type": None}
    text = from_hf(DOTS).model_copy(update=same)
    for config in (dict(text_config=DOTS, vision_config={"hidden_size": 8}), {k: v for k, v in DOTS.items() if k != "model_type"}):
        arch = from_hf(config | {"model_type": "dots3_note"})
        assert arch.model_copy(update=same) == text
