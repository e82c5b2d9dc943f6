"""Keys that config.json files say otherwise than we thought of: other names, contradictions, values of the wrong shape."""

import math

import pytest
import transformers

import core
from core.hf import from_hf
from core.hf.config import OTHER_NAMES

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
            from_hf(config | {other: config[key] + 1})


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
