"""What held-out configurations found: values that a key seldom has, and keys that a family's class never reads."""

import pytest
from parity import check_logits

import core
from core.hf import from_hf, to_hf

SMALL = dict(
    vocab_size=64, hidden_size=64, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, head_dim=16,
    max_position_embeddings=64, pad_token_id=0,
)  # fmt: skip
LATENT = dict(num_key_value_heads=4, q_lora_rank=24, kv_lora_rank=16, qk_rope_head_dim=8, qk_nope_head_dim=16, v_head_dim=16, head_dim=8)
ROUTED = dict(n_routed_experts=8, num_experts_per_tok=2, moe_intermediate_size=24, n_group=2, topk_group=1)
EXACT = {
    "a switch that is null is off": LATENT | ROUTED | dict(model_type="deepseek_v3", rope_interleave=None, norm_topk_prob=None),
    "shared experts of no width": LATENT | ROUTED | dict(model_type="deepseek_v3", n_shared_experts=0),
    "a cap that Gemma 3 has no more": dict(model_type="gemma3_text", sliding_window=5, attn_logit_softcapping=0.5),
}  # fmt: skip
REFUSED = [
    (dict(model_type="gemma3_text", rope_scaling=dict(type="linear", factor=2.0)), "rope_scaling"),
    (dict(model_type="cohere2_moe", rope_scaling=dict(rope_type="linear", factor=2.0)), "rope_scaling"),
    (dict(model_type="beam", final_logit_softcapping=0.0), "head.softcap"),
    (dict(model_type="zamba2", use_shared_attention_adapter=True, attention_head_dim=80), "attention_head_dim"),
    (dict(model_type="granite", logits_scaling=0.0), "logits_scaling"),
    (dict(model_type="hy_v4", hidden_act="gelu"), "hidden_act"),
    (dict(model_type="aria_text", hidden_act="gelu"), "hidden_act"),
    (dict(model_type="dots3_note_text", rope_parameters={}), "rope_parameters"),
]


@pytest.mark.parametrize("name", EXACT)
def test_logits_are_those_of_transformers(name):
    arch = check_logits(SMALL | EXACT[name])
    assert from_hf(to_hf(arch)) == arch


def test_the_number_of_a_token_changes_nothing():
    plain = dict(model_type="llama", hidden_size=4_096)
    assert from_hf(plain | dict(image_token_id=5, some_start_token_index=6)) == from_hf(plain)


@pytest.mark.parametrize(("config", "key"), REFUSED)
def test_what_transformers_does_otherwise_is_refused_by_name(config, key):
    with pytest.raises(core.Unsupported, match=rf"^{key}: "):
        from_hf(config)
