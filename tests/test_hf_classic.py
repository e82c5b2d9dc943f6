"""The decoders before llama, against transformers: logits on small random weights, the round trip, what is refused."""

import pytest
from parity import check_logits

import core
from core.hf import from_hf, to_hf
from core.parts.position import Alibi

GPT2 = dict(model_type="gpt2", vocab_size=64, n_embd=32, n_layer=2, n_head=4, n_positions=32)
GPT = dict(GPT2, model_type="openai-gpt")
NEOX = dict(
    model_type="gpt_neox", vocab_size=64, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48,
    max_position_embeddings=32, rotary_pct=0.5,
)  # fmt: skip
GPTJ = dict(model_type="gptj", vocab_size=64, n_embd=32, n_layer=2, n_head=4, n_positions=32, rotary_dim=4)
BLOOM = dict(model_type="bloom", vocab_size=64, hidden_size=48, n_layer=2, n_head=6)
MPT = dict(model_type="mpt", vocab_size=64, d_model=32, n_layers=2, n_heads=4, max_seq_len=32)
FALCON = dict(model_type="falcon", vocab_size=64, hidden_size=32, num_hidden_layers=2, num_attention_heads=4)
OPT = dict(
    model_type="opt", vocab_size=64, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, ffn_dim=48,
    max_position_embeddings=32,
)  # fmt: skip
BIOGPT = dict(
    model_type="biogpt", vocab_size=64, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48,
    max_position_embeddings=32, layer_norm_eps=1e-5,
)  # fmt: skip
PHI = dict(
    model_type="phi", vocab_size=64, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48,
    max_position_embeddings=32, partial_rotary_factor=0.5,
)  # fmt: skip
NEO = dict(
    model_type="gpt_neo", vocab_size=64, hidden_size=32, num_layers=3, num_heads=4, window_size=6, max_position_embeddings=32,
    attention_types=[[["global", "local"], 1], [["local"], 1]],
)  # fmt: skip
CODE = dict(model_type="gpt_bigcode", vocab_size=64, n_embd=32, n_layer=2, n_head=4, n_positions=32)

LOGITS = {
    "gpt": GPT,
    "gpt relu": GPT | dict(afn="relu", tie_word_embeddings=False),
    "gpt2": GPT2,
    "gpt neox": NEOX,
    "gpt neox in turn, no biases": NEOX | dict(use_parallel_residual=False, attention_bias=False, rotary_emb_base=500.0),
    "gpt-j": GPTJ,
    "codegen": GPTJ | dict(model_type="codegen"),
    "bloom": BLOOM,
    "mpt": MPT,
    "mpt clipped": MPT | dict(n_heads=8, attn_config=dict(clip_qkv=0.5, softmax_scale=0.3)),
    "falcon 7b": FALCON,
    "falcon 40b": FALCON | dict(new_decoder_architecture=True, num_kv_heads=2),
    "falcon 11b": FALCON | dict(new_decoder_architecture=True, num_kv_heads=2, num_ln_in_parallel_attn=1),
    "falcon rw": FALCON | dict(alibi=True, parallel_attn=False, multi_query=False, bias=True),
    "opt": OPT,
    "opt no biases": OPT | dict(enable_bias=False, activation_function="gelu"),
    "biogpt": BIOGPT,
    "phi": PHI,
    "phi grouped": PHI | dict(num_key_value_heads=2, qk_layernorm=True, hidden_act="gelu"),
    "persimmon": PHI | dict(model_type="persimmon", hidden_act="relu2"),
    "gpt neo": NEO,
    "starcoder": CODE,
    "starcoder, all heads": CODE | dict(multi_query=False, scale_attn_weights=False),
}  # fmt: skip


@pytest.mark.parametrize("name", LOGITS)
def test_logits_are_those_of_transformers(name):
    # Falcon's eager path adds ALiBi's bias to the scores and to the mask; the other path adds it once.
    arch = check_logits(LOGITS[name], attention="sdpa" if "rw" in name else "eager")
    assert from_hf(to_hf(arch)) == arch


@pytest.mark.parametrize(
    ("config", "key"),
    [
        (FALCON | dict(num_ln_in_parallel_attn=2), "new_decoder_architecture"),
        (BLOOM | dict(apply_residual_connection_post_layernorm=True), "apply_residual_connection_post_layernorm"),
        (MPT | dict(attn_config=dict(alibi=False)), "attn_config.alibi"),
        (GPTJ | dict(rotary_dim=None), "rotary_dim"),
        (NEO | dict(attention_types=[[["far"], 3]]), "attention_types"),
        (GPT | dict(afn="tanh"), "afn"),
    ],
)
def test_what_the_spec_cannot_say_is_refused_by_name(config, key):
    with pytest.raises(core.Unsupported, match=rf"^{key}: "):
        from_hf(config)


def test_slopes_of_heads_that_are_no_power_of_two():
    assert Alibi().slopes(8).tolist() == [2**-k for k in range(1, 9)]
    assert Alibi().slopes(12)[:8].equal(Alibi().slopes(8)) and Alibi().slopes(12)[8:].tolist() == pytest.approx(
        [2 ** -(k + 0.5) for k in range(4)]
    )
