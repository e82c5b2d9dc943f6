"""The dense models like llama against transformers: logits on small random weights, the round trip, what is refused."""

import pytest
from parity import check_logits

import core
from core.hf import from_hf, to_hf
from core.hf.families.like_llama import MODELS

SMALL = dict(
    vocab_size=64, hidden_size=64, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=16,
    max_position_embeddings=64, pad_token_id=0,
)  # fmt: skip
VARIED = {  # beside the default switches of every family
    "apertus": dict(attention_bias=True, hidden_act="relu2", rope_parameters=dict(rope_type="default", rope_theta=500.0)),
    "arcee": dict(attention_bias=True, mlp_bias=True, hidden_act="quick_gelu"),
    "bitnet": dict(attention_bias=True, hidden_act="silu"),
    "cohere": dict(logit_scale=0.3, attention_bias=True, use_qk_norm=True),
    "cohere_compass_text": dict(
        sliding_window=5,
        layer_types=["sliding_attention", "full_attention"],
        rope_parameters=dict(sliding_attention=dict(rope_type="default", rope_theta=500.0), full_attention=None),
        logit_scale=0.3,
        attention_bias=True,
    ),
    "cohere2": dict(sliding_window=5, num_hidden_layers=4, sliding_window_pattern=2),
    "cwm": dict(sliding_window=5, num_hidden_layers=5, rope_parameters=dict(rope_type="default", rope_theta=500.0)),
    "diffllama": dict(attention_bias=True, num_hidden_layers=3, rms_norm_eps=1e-3, num_attention_heads=8),
    "ernie4_5": dict(use_bias=True, tie_word_embeddings=False),
    "exaone4": dict(
        sliding_window=5, sliding_window_pattern="LLLG", num_hidden_layers=4, layer_types=["sliding_attention"] * 3 + ["full_attention"]
    ),
    "gemma": dict(attention_bias=True),
    "glm": dict(attention_bias=False, partial_rotary_factor=1.0),
    "glm4": dict(attention_bias=False),
    "granite": dict(attention_multiplier=0.3, logits_scaling=4.0, embedding_multiplier=3.0, residual_multiplier=0.5),
    "granite_swa": dict(
        num_hidden_layers=6,
        layer_rope_theta=[1e4, 0, 500, 0, 1e4, 7.5],
        sliding_window=5,
        attention_multiplier=0.3,
        mlp_bias=True,
        logits_scaling=4.0,
        attention_bias=True,
    ),
    "hyperclovax": dict(attention_multiplier=0.3, logits_scaling=4.0, residual_multiplier=0.5, use_post_norm=False),
    "helium": dict(attention_bias=True, mlp_bias=True),
    "internlm3": dict(attention_bias=True, mlp_bias=True, hidden_act="quick_gelu"),
    "iquestcoder": dict(rope_theta=500.0),
    "jais2": dict(attention_bias=False, mlp_bias=False),
    "ministral": dict(sliding_window=5, layer_types=["sliding_attention", "full_attention"]),
    "nanochat": dict(final_logit_softcapping=None, attention_bias=True, tie_word_embeddings=True),
    "nemotron": dict(mlp_bias=True, partial_rotary_factor=0.25),
    "olmo": dict(clip_qkv=0.5),
    "olmo3": dict(
        sliding_window=5,
        num_hidden_layers=4,
        rope_scaling=dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=16, beta_fast=32, beta_slow=1),
    ),
    "phi3": dict(sliding_window=5, partial_rotary_factor=0.5),
    "qwen2": dict(use_sliding_window=True, sliding_window=5, max_window_layers=1),
    "seed_oss": dict(attention_bias=False, mlp_bias=True),
    "stablelm": dict(use_qkv_bias=True, partial_rotary_factor=0.5, qk_layernorm=True, use_parallel_residual=True),
    "starcoder2": dict(sliding_window=5, use_bias=False, mlp_type="default", norm_type="layer_norm", rms_norm_eps=1e-5),
    "hunyuan_v1_dense": dict(
        attention_bias=True,
        head_dim=16,
        rope_parameters=dict(rope_type="dynamic", rope_theta=1e4, alpha=1e3, factor=1.0, mscale=1.0, mscale_all_dim=1.0),
    ),
}
TURNED = dict(rope_parameters=dict(full_attention=dict(rope_type="default", rope_theta=500.0)))
AXES = dict(rope_parameters=dict(rope_type="default", rope_theta=500.0, mrope_section=[2, 3, 3]))
DEFAULTS = {"cohere_compass_text": TURNED, "cosmos3_edge_text": AXES}  # what a family cannot be without
CASES = [(name, DEFAULTS.get(name, {})) for name in MODELS] + list(VARIED.items())


@pytest.mark.parametrize(("model_type", "varied"), CASES)
def test_logits_are_those_of_transformers(model_type, varied):
    arch = check_logits(SMALL | {"model_type": model_type} | varied)
    assert from_hf(to_hf(arch)) == arch


@pytest.mark.parametrize(
    ("model_type", "varied", "key"),
    [
        ("helium", dict(head_dim=32), "head_dim"),
        ("olmo3", dict(rope_scaling=dict(type="linear", factor=2.0)), "rope_scaling"),
        ("stablelm", dict(head_dim=32), "head_dim"),
        ("starcoder2", dict(sliding_window=5, layer_types=["full_attention"] * 2), "layer_types"),
        ("cohere_compass_text", {}, "rope_parameters"),
        ("granite_swa", dict(layer_rope_theta=[1e4]), "layer_rope_theta"),
        ("granite", dict(mystery=3), "mystery"),
        ("phi3", dict(layer_types=["far", "far"]), "layer_types"),
    ],
)
def test_what_the_spec_cannot_say_is_refused_by_name(model_type, varied, key):
    with pytest.raises(core.Unsupported, match=rf"^{key}: "):
        from_hf(SMALL | {"model_type": model_type} | varied)
