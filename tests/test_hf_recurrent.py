"""Recurrent families and other odd ones against transformers: logits, states, the round trip, what is refused."""

import pytest
from parity import check, check_logits

import core
from core.hf import from_hf, to_hf

GRIFFIN = dict(
    model_type="recurrent_gemma", vocab_size=64, hidden_size=48, intermediate_size=80, num_hidden_layers=4, num_attention_heads=4,
    attention_window_size=7,
)  # fmt: skip
RWKV = dict(model_type="rwkv", vocab_size=64, hidden_size=48, num_hidden_layers=3, context_length=64)
LOGITS = {
    "griffin": GRIFFIN,
    "griffin otherwise": GRIFFIN
    | dict(num_key_value_heads=2, lru_width=56, conv1d_width=3, attention_bias=True, block_types=["attention", "recurrent"],
           hidden_activation="silu", logits_soft_cap=9.0, tie_word_embeddings=False, head_dim=16, rms_norm_eps=1e-3,
           rope_parameters={"rope_type": "default", "rope_theta": 500.0, "partial_rotary_factor": 1.0}),
    "griffin without attention": GRIFFIN | dict(block_types=["recurrent"]),
    "rwkv": RWKV,
    "rwkv otherwise": RWKV
    | dict(attention_hidden_size=56, intermediate_size=72, tie_word_embeddings=True, rescale_every=0, num_hidden_layers=7),
}  # fmt: skip


@pytest.mark.parametrize("name", LOGITS)
def test_logits_are_those_of_transformers(name):
    arch = check_logits(LOGITS[name])
    assert from_hf(to_hf(arch)) == arch
    check(to_hf(arch))


@pytest.mark.parametrize(
    ("config", "key"),
    [
        (GRIFFIN | dict(block_types=["recurrent", "mlp"]), "block_types"),
        (GRIFFIN | dict(rope_scaling={"rope_type": "linear", "factor": 2.0}), "rope_parameters"),
        (GRIFFIN | dict(sliding_window=9), "attention_window_size"),
        (RWKV | dict(layer_norm_epsilon=1e-3), "layer_norm_epsilon"),
        (RWKV | dict(rescale_every=2), "rescale_every"),
        (GRIFFIN | dict(mystery=1), "mystery"),
    ],
)
def test_what_the_spec_cannot_say_is_refused_by_name(config, key):
    with pytest.raises(core.Unsupported, match=rf"^{key}: "):
        from_hf(config)
