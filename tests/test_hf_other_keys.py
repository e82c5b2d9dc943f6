"""Keys that config.json files say otherwise than we thought of: other names, contradictions, values of the wrong shape."""

import math

import pytest
import transformers
from parity import check, check_logits

import core
from core.hf import from_hf, to_hf
from core.hf.reading.config import OTHER_NAMES

LLAMA = dict(model_type="llama", vocab_size=64, hidden_size=64, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2,
)  # fmt: skip


def default(model_type: str) -> dict:
    return transformers.AutoConfig.for_model(model_type).to_dict() | {"model_type": model_type}


@pytest.mark.parametrize("model_type", OTHER_NAMES)
def test_other_names_are_those_of_the_class_and_mean_the_same(model_type):
    config = default(model_type) | (dict(attn_config=dict(kv_n_heads=4, clip_qkv=8.0)) if model_type == "dbrx" else {})
    known = type(transformers.AutoConfig.for_model(model_type)).attribute_map
    for other, key in OTHER_NAMES[model_type].items():
        assert known[other] == key
        renamed = {name: value for name, value in config.items() if name != key} | {other: config[key]}
        assert from_hf(renamed) == from_hf(config) == from_hf(renamed | {key: config[key]})
        with pytest.raises(core.Unsupported, match=rf"^{other}: "):
            from_hf(config | {other: config[key] * 2 or 1})


def test_the_text_model_of_a_wrapper_has_other_names_too():
    text = {key: value for key, value in LLAMA.items() if key != "model_type"} | dict(model_type="mixtral")
    arch = from_hf(dict(model_type="llava", text_config=text | dict(num_experts=6)))
    assert arch == from_hf(dict(model_type="llava", text_config=text | dict(num_local_experts=6)))
    vision = dict(model_type="qwen3_vl_moe", text_config=text | dict(model_type="qwen3_vl_moe_text", num_experts=12))
    assert from_hf(vision).parts["moe"].count == 12


def test_a_decoder_may_say_that_it_is_causal_and_only_that():
    assert from_hf(LLAMA | dict(is_causal=True)) == from_hf(LLAMA)
    with pytest.raises(core.Unsupported, match=r"^is_causal: "):
        from_hf(LLAMA | dict(is_causal=False))


@pytest.mark.parametrize("limits", [[0.0], [0.0, math.inf, math.inf], ["a", 1.0], [0.0, True]])
@pytest.mark.parametrize("model_type", ["mamba2", "nemotron_h"])
def test_limits_of_a_step_are_two_numbers(model_type, limits):
    with pytest.raises(core.Unsupported, match=r"^time_step_limit: "):
        from_hf(default(model_type) | dict(time_step_limit=limits))


@pytest.mark.parametrize(
    ("model_type", "key", "value"),
    [
        ("longcat_flash", "qk_head_dim", 128),  # transformers would build projections that do not fit together
        ("nemotron_h", "tie_word_embeddings", True),  # its authors' code ties, transformers does not
        ("nemotron_h", "time_step_min", 0.5),
    ],
)
def test_what_cannot_be_both_is_refused_by_name(model_type, key, value):
    with pytest.raises(core.Unsupported, match=rf"^{key}: "):
        from_hf(default(model_type) | {key: value})


ONE_KIND = [("nemotron_h", dict(layers_block_type=[word] * 3)) for word in ("mamba", "mlp", "attention", "moe")]
ONE_KIND += [(family, dict(mlp_layer_types=["dense"] * 3)) for family in ("laguna", "mimo_v2_flash", "minimax_m3_vl_text")]


@pytest.mark.parametrize(("model_type", "layers"), ONE_KIND)
def test_layers_may_all_be_of_one_kind(model_type, layers):
    arch = check(dict(model_type=model_type, num_hidden_layers=3, hidden_size=256, vocab_size=64) | layers)
    assert from_hf(to_hf(arch)) == arch


def test_the_shared_expert_alone_has_biases_in_nemotron_h():
    sizes = dict(n_routed_experts=4, moe_intermediate_size=24, moe_shared_expert_intermediate_size=40, mamba_num_heads=8, mamba_head_dim=16)
    config = dict(
        model_type="nemotron_h", vocab_size=64, hidden_size=64, intermediate_size=48, num_attention_heads=4, num_key_value_heads=2,
        head_dim=16, max_position_embeddings=64, ssm_state_size=8, n_groups=2, chunk_size=8, mlp_bias=True, **sizes,
    )  # fmt: skip
    for kinds in (["mamba", "moe"], ["mamba", "mlp", "attention", "moe"]):
        arch = check_logits(config | dict(layers_block_type=kinds))
        assert from_hf(to_hf(arch)) == arch and arch.parts["moe"].shared.bias and not arch.parts["moe"].bias
    with pytest.raises(core.Unsupported, match=r"^mlp_bias: "):
        from_hf(config | dict(layers_block_type=["moe"], moe_latent_size=32))


# What published files say beside what their classes read, and what they must say there.
BESIDE = {
    "llama": dict(max_sequence_length=2_048, is_llama_config=True, rope_interleaved=False, activation="swiglu"),
    "stablelm": dict(norm_eps=1e-5, rope_pct=0.25, num_heads=32),
    "phi3": dict(full_attn_mod=1, interpolate_factor=1, lm_head_bias=False),
    "persimmon": dict(num_key_value_heads=64, rotary_emb_base=25_000.0, rope_theta=25_000.0),
    "starcoder2": dict(
        activation_function="gelu", layer_norm_epsilon=1e-5, attention_softmax_in_fp32=True, mlp_type="default", scale_attn_weights=True,
    ),
    "recurrent_gemma": dict(_block_types=["recurrent", "recurrent", "attention"], embeddings_scale_by_sqrt_dim=True),
    "jetmoe": dict(glu=True, bias=True, rotary_percent=1.0),
    "nemotron": dict(rope_percent=0.5, head_dim=128, num_key_value_heads=8),
    "nemotron_h": dict(attention_head_dim=128, num_query_groups=8, rms_norm_eps=1e-5),
    "xlstm": dict(add_post_blocks_norm=True, cell_norm_eps=1e-6, add_qk_norm=False, gate_bias_init_range=[3.0, 6.0]),
    "longcat_flash": dict(router_dtype="float32"),
    "zamba2": dict(gated_linear_unit=True, expansion_factor=2, ft_lora=False),
}  # fmt: skip
REFUSED = {
    "llama": dict(rope_interleaved=True),
    "stablelm": dict(rope_pct=0.5),
    "phi3": dict(full_attn_mod=2),
    "persimmon": dict(num_key_value_heads=8),
    "recurrent_gemma": dict(_block_types=["attention"]),
    "jetmoe": dict(rotary_percent=0.5),
    "nemotron": dict(rope_percent=0.25),
    "nemotron_h": dict(attention_head_dim=64),
    "xlstm": dict(add_post_blocks_norm=False),
    "zamba2": dict(layer_types=["mamba"] * 54),
    "olmoe": dict(head_dim=32),
    "qwen2_moe": dict(shared_expert_intermediate_size=0),
    "mellum": dict(rope_theta=1e4),
}


@pytest.mark.parametrize(
    ("model_type", "key", "value"),
    [("nemotron", "layer_norm_eps", 1e-6), ("gemma3n_text", "query_pre_attn_scalar", 256), ("xlstm", "head_dim", 512)],
)
def test_keys_that_a_class_does_not_look_at(model_type, key, value):
    config = default(model_type)
    assert key not in config and from_hf(config | {key: value}) == from_hf(config)


@pytest.mark.parametrize("model_type", BESIDE)
def test_published_files_say_more_than_is_read(model_type):
    config = {"model_type": model_type} | BESIDE[model_type]
    read = ("rope_theta", "head_dim", "num_key_value_heads")
    plain = {key: value for key, value in config.items() if key in ("model_type", *read)}
    plain = plain if model_type != "persimmon" else dict(model_type=model_type, rope_theta=25_000.0)
    known = dict(is_causal=True)  # by which neither is a bare file
    assert from_hf(config | known) == from_hf(plain | known)


@pytest.mark.parametrize("model_type", REFUSED)
def test_what_they_say_otherwise_is_refused_by_name(model_type):
    (key,) = REFUSED[model_type]
    base = dict(head_dim=128, num_key_value_heads=8) if model_type == "nemotron" else default(model_type)
    with pytest.raises(core.Unsupported, match=rf"^{key}: "):
        from_hf(base | dict(model_type=model_type) | REFUSED[model_type])


# The same of wrappers: beside the text_config, and in it.
OUTSIDE = {
    "idefics3": (dict(image_seq_len=81), dict(perceiver_config={"x": 1}, pixel_shuffle_factor=3, neftune_noise_alpha=0.0)),
    "lfm2_vl": (dict(do_image_splitting=True, encoder_patch_size=16, max_tiles=10, tile_size=512, use_thumbnail=True), {}),
    "llava": ({}, dict(is_composition=True)),
    "qwen2_5_omni_thinker": (dict(init_std=0.02), dict(init_std=0.02)),
    "qwen3_omni_moe_thinker": ({}, dict(use_qk_norm=True, shared_expert_intermediate_size=0)),
}  # fmt: skip


@pytest.mark.parametrize("wrapper", OUTSIDE)
def test_published_wrappers_say_more_than_is_read(wrapper):
    outer, inner = OUTSIDE[wrapper]
    text = dict(head_dim=64, num_key_value_heads=4) if wrapper == "qwen3_omni_moe_thinker" else {}
    plain = dict(model_type=wrapper, text_config=text)
    assert from_hf(plain | outer | dict(text_config=text | inner)) == from_hf(plain)


def test_the_channels_of_three_axes_may_be_interleaved():
    text = dict(model_type="qwen3_vl_text", rope_theta=5e6)
    rope = dict(rope_type="default", type="default", interleaved=True, mrope_interleaved=True, mrope_section=[24, 20, 20])
    plain = from_hf(dict(model_type="qwen3_vl", text_config=text))
    assert from_hf(dict(model_type="qwen3_vl", text_config=text | dict(rope_scaling=rope))) == plain


def test_heads_that_do_not_divide_the_stream_are_as_wide_as_they_fit():
    sizes = dict(vocab_size=64, hidden_size=64, intermediate_size=48, num_hidden_layers=2, num_key_value_heads=2)
    for model_type in ("qwen2", "mistral", "phi3"):
        arch = check_logits(sizes | dict(model_type=model_type, num_attention_heads=6, pad_token_id=0))
        assert arch.parts["attention"].head_dim == 10 and from_hf(to_hf(arch)) == arch
    with pytest.raises(core.Unsupported, match=r"^num_attention_heads: "):
        from_hf(sizes | dict(model_type="qwen2", num_attention_heads=65))


def test_opt_may_have_no_last_norm():
    sizes = dict(vocab_size=64, hidden_size=32, ffn_dim=48, num_attention_heads=4, word_embed_proj_dim=32, max_position_embeddings=64)
    for before in (True, False):
        keys = dict(model_type="opt", num_hidden_layers=2, do_layer_norm_before=before, _remove_final_layer_norm=True, pad_token_id=1)
        assert not check_logits(sizes | keys).head.norm
