"""Models that see or hear: their language model against transformers, counts for every wrapper's defaults, logits where the
text model is the wrapper's own."""

import pytest
import torch
import transformers
from parity import check_logits, parameters, reference

import core
from core.hf import from_hf, to_hf
from core.hf.families.multimodal import OWN, THINKERS, WRAPPERS

SMALL = dict(
    vocab_size=64, hidden_size=64, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
    max_position_embeddings=64, pad_token_id=0,
)  # fmt: skip
EXPERTS = dict(num_experts=8, num_experts_per_tok=2, moe_intermediate_size=24)
ROUTED = dict(n_routed_experts=8, num_experts_per_tok=2, moe_intermediate_size=24, n_group=2, topk_group=1)
AXES = dict(rope_type="default", rope_theta=1e6, mrope_section=[2, 3, 3])
TEXTS = {
    "aria": dict(moe_num_experts=8, moe_topk=3, mlp_bias=True),
    "cosmos3_edge": dict(head_dim=8, mlp_bias=True, hidden_act="gelu", rope_parameters=AXES | dict(mrope_section=[2, 1, 1])),
    "deepseek_ocr2": ROUTED | dict(mlp_layer_types=["sparse", "dense", "sparse"], topk_method="group_limited_greedy", mlp_bias=True,
                                   attention_bias=True, routed_scaling_factor=2.0, head_dim=99),
    "emu3": dict(head_dim=8, attention_bias=True),
    "glm4v": dict(rope_parameters=AXES | dict(partial_rotary_factor=0.5, mrope_section=[2, 1, 1])),
    "glm4v_moe": ROUTED | dict(rope_parameters=AXES | dict(partial_rotary_factor=0.5, mrope_section=[2, 1, 1]), routed_scaling_factor=1.5),
    "glm_ocr": dict(head_dim=16, rope_parameters=AXES | dict(mrope_section=[2, 3, 3])),
    "granite4_vision": dict(residual_multiplier=0.5, embedding_multiplier=2.0, attention_multiplier=0.3),
    "granite_docling": dict(logits_scaling=1.0),  # which the wrapper divides by, outside its text model
    "hunyuan_vl": dict(head_dim=16, rope_parameters=AXES),
    "paddleocr_vl": dict(head_dim=16, rope_parameters=AXES),
    "qwen2_vl": dict(rope_parameters=AXES),
    "qwen2_5_vl": dict(rope_parameters=AXES, use_sliding_window=True, max_window_layers=1, sliding_window=5),
    "qwen2_5_omni_thinker": dict(rope_parameters=AXES),
    "qwen3_vl": dict(head_dim=16, rope_parameters=AXES | dict(mrope_interleaved=True)),
    "qwen3_vl_moe": EXPERTS | dict(head_dim=16, rope_parameters=AXES, mlp_only_layers=[1]),
    "qwen3_omni_moe_thinker": EXPERTS | dict(head_dim=16, rope_parameters=AXES, norm_topk_prob=False),
}  # fmt: skip
# What their own defaults say of the text model is no causal decoder, or cannot be.
REFUSED = {
    "paligemma": "text_config.use_bidirectional_attention", "qwen3_omni_moe_thinker": "parts.attention"
}  # fmt: skip
# Whether transformers ties, where the wrapper says yes and its text no; no and yes; nothing and yes.
TIES = {
    "idefics3": "YN?", "qwen3_vl": "YNN", "llava_onevision": "YYY", "blip-2": "NYY", "voxtral": "NNN", "paddleocr_vl": "YYY"
}  # fmt: skip


def default(wrapper: str) -> dict:
    return transformers.AutoConfig.for_model(wrapper).to_dict() | {"model_type": wrapper}


@pytest.mark.parametrize("wrapper", [w for w in (*WRAPPERS, *OWN) if w not in (*REFUSED, "hunyuan_vl", "cohere_compass", "deepseek_ocr2")])
def test_the_text_model_of_every_wrapper_is_counted_as_transformers_does(wrapper):
    """But for three that transformers itself cannot build: without a head_dim, ropes, or which layers have experts."""
    config = default(wrapper)
    with torch.device("meta"):
        expected = parameters(reference(config))
    assert core.cost(from_hf(config)).parameters == expected


@pytest.mark.parametrize("wrapper", REFUSED)
def test_a_default_that_is_no_decoder_is_refused_by_name(wrapper):
    with pytest.raises(core.Unsupported, match=rf"^{REFUSED[wrapper]}: "):
        from_hf(default(wrapper))


@pytest.mark.parametrize("wrapper", TEXTS)
@pytest.mark.parametrize("tied", [False, True])
def test_logits_are_those_of_the_text_model(wrapper, tied):
    text = SMALL | TEXTS[wrapper] | {"model_type": OWN[wrapper], "tie_word_embeddings": tied}
    arch = check_logits({"model_type": wrapper, "text_config": text, "tie_word_embeddings": tied})
    assert arch.tied_embeddings == tied
    assert from_hf(to_hf(arch)) == arch


@pytest.mark.parametrize("wrapper", TIES)
def test_whose_word_on_tied_embeddings_holds(wrapper):
    for (outer, inner), expected in zip([(True, False), (False, True), (None, True)], TIES[wrapper], strict=True):
        config = default(wrapper)
        config["tie_word_embeddings"], config["text_config"]["tie_word_embeddings"] = outer, inner
        if outer is None:
            del config["tie_word_embeddings"]
        theirs = transformers.AutoConfig.for_model(**config)
        with torch.device("meta"):
            theirs = transformers.AutoModelForMultimodalLM.from_config(theirs)
        tied = theirs.get_output_embeddings().weight is theirs.get_input_embeddings().weight
        assert expected == "?" or tied == (expected == "Y")
        assert from_hf(config).tied_embeddings == (tied if expected != "?" else inner)


def test_a_wrapper_of_any_text_model():
    llama = SMALL | dict(model_type="llama")
    arch = check_logits(dict(model_type="llava", text_config=llama, image_token_index=63, ignore_index=-100))
    assert from_hf(llama).parts == arch.parts
    gemma = SMALL | dict(model_type="gemma2", head_dim=16)
    assert from_hf(dict(model_type="llava_next", text_config=gemma)).head.softcap == 30


@pytest.mark.parametrize("wrapper", THINKERS)
def test_what_thinks_is_read_whatever_speaks_beside_it(wrapper):
    text = SMALL | TEXTS[THINKERS[wrapper]] | {"model_type": OWN[THINKERS[wrapper]]}
    thinker = {"model_type": THINKERS[wrapper], "text_config": text, "audio_config": {"d_model": 8}}
    whole = default(wrapper) | {"thinker_config": thinker, "dtype": "float16"}
    arch = from_hf(whole)
    assert arch.precision["default"] == "fp16"
    assert arch.parts == from_hf(thinker).parts and arch.layers == from_hf(thinker).layers
    with pytest.raises(core.Unsupported, match=r"^mystery: "):
        from_hf(whole | {"mystery": 1})
    with pytest.raises(core.Unsupported, match=r"^thinker_config\.mystery: "):
        from_hf(whole | {"thinker_config": thinker | {"mystery": 1}})


def test_phi_4_multimodal_is_phi_3_beside_its_towers():
    """Its towers stand inside the decoder; what text passes is read."""
    towers = dict(
        vision_config=dict(hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=28),
        audio_config=dict(hidden_size=16, intermediate_size=16, num_blocks=1, num_attention_heads=2, ext_pw_out_channel=16,
                          depthwise_separable_out_channel=16, nemo_conv_channels=16),
    )  # fmt: skip
    factors = dict(short_factor=[1.0, 1.1, 1.2, 1.3, 1.5, 2.0], long_factor=[2.0, 2.5, 3.0, 3.5, 4.0, 4.5])
    for keys in (
        {},
        dict(tie_word_embeddings=True, sliding_window=5, num_key_value_heads=None),
        dict(partial_rotary_factor=0.75, rope_scaling=factors | dict(type="longrope"), original_max_position_embeddings=4),
    ):  # fmt: skip
        config = SMALL | towers | keys | dict(model_type="phi4_multimodal")
        arch = check_logits(config)
        assert from_hf(to_hf(arch)) == arch
        plain = {key: value for key, value in config.items() if key not in towers} | dict(model_type="phi3")
        assert from_hf(plain).parts == arch.parts


@pytest.mark.parametrize(
    ("wrapper", "rope"),
    [
        ("paddleocr_vl", dict(type="default", rope_type="default", mrope_section=[2, 3, 3])),
        ("hunyuan_vl", dict(type="xdrope", alpha=1_000.0, factor=1.0, xdrope_section=[2, 2, 2, 2])),
    ],
)
def test_flat_files_are_the_text_models(wrapper, rope):
    keys = SMALL | dict(head_dim=16, rope_scaling=rope)
    arch = check_logits(dict(model_type=wrapper, tie_word_embeddings=True, text_config=keys))
    assert from_hf(dict(model_type=wrapper, tie_word_embeddings=True, vision_config={}, image_token_id=5) | keys) == arch


def test_fuyus_keys_may_stand_beside_its_text():
    flat = dict(hidden_size=64, num_attention_heads=4, num_hidden_layers=3, intermediate_size=48, vocab_size=64, rope_theta=500.0)
    text = transformers.AutoConfig.for_model("fuyu", **flat).get_text_config().to_dict()
    plain = from_hf(dict(model_type="fuyu", text_config=text, tie_word_embeddings=False))
    fuyu = dict(model_type="fuyu", tie_word_embeddings=False, qk_layernorm=True, partial_rotary_factor=0.5, image_size=300)
    assert from_hf(fuyu | flat) == plain == from_hf(fuyu | flat | dict(text_config=text))
    with pytest.raises(core.Unsupported, match=r"^hidden_size: "):
        from_hf(fuyu | dict(hidden_size=99, text_config=text))


@pytest.mark.parametrize("wrapper", ["glmasr", "voxtral"])
def test_what_some_wrappers_texts_leave_out_has_defaults_of_its_own(wrapper):
    theirs = transformers.AutoConfig.for_model(wrapper, text_config=dict(hidden_size=1_024)).get_text_config()
    arch = from_hf(dict(model_type=wrapper, text_config=dict(hidden_size=1_024)))
    part = arch.parts["attention"]
    assert (arch.d_model, arch.vocab_size, arch.depth) == (1_024, theirs.vocab_size, theirs.num_hidden_layers)
    assert (part.heads, part.kv_heads, part.head_dim) == (theirs.num_attention_heads, theirs.num_key_value_heads, theirs.head_dim)
    assert arch.parts["dense"].d_ff == theirs.intermediate_size
    assert arch.position.base == theirs.rope_parameters["rope_theta"]


def test_the_keys_of_older_files_stand_beside_the_wrappers():
    flat = SMALL | dict(
        model_type="qwen2_5_vl", rope_scaling=dict(type="mrope", mrope_section=[2, 3, 3]), rope_theta=1e6, vision_config=dict(depth=32),
        image_token_id=60, vision_token_id=61, torch_dtype="bfloat16", use_sliding_window=False, sliding_window=32, max_window_layers=2,
    )  # fmt: skip
    text = {key: value for key, value in flat.items() if key in SMALL or "rope" in key} | {"model_type": "qwen2_5_vl_text"}
    arch = from_hf(flat)
    assert arch.position.base == 1e6 and arch.position.scaling is None
    assert from_hf(dict(model_type="qwen2_5_vl", text_config=text)) == arch


@pytest.mark.parametrize(
    ("config", "key"),
    [
        (dict(model_type="llava"), "text_config"),
        (dict(model_type="llava", text_config=dict(model_type="t5")), "text_config.model_type"),
        (dict(model_type="llava", text_config=dict(model_type="llava")), "text_config.model_type"),
        (dict(model_type="llava", text_config=SMALL | dict(model_type="llama"), mystery=1), "mystery"),
        (dict(model_type="llava", text_config=SMALL | dict(model_type="llama", mystery=1)), "text_config.mystery"),
        (dict(model_type="qwen3_vl", text_config=SMALL | dict(model_type="llama")), "text_config.model_type"),
        (dict(model_type="qwen2_vl", hidden_size=64, mystery=1), "text_config.mystery"),
    ],
)  # fmt: skip
def test_what_is_no_text_model_that_we_read_is_refused_by_name(config, key):
    with pytest.raises(core.Unsupported, match=rf"^{key}: "):
        from_hf(config)
