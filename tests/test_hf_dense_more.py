"""Further dense families against transformers: logits on small random weights, the round trip, what is refused."""

import pytest
import torch
from parity import check_logits, parameters, perturb, reference

import core
from core.hf import from_hf, to_hf

SMALL = dict(
    vocab_size=64, hidden_size=64, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=16,
    max_position_embeddings=64, pad_token_id=0,
)  # fmt: skip
MINISTRAL = SMALL | dict(model_type="ministral3")
YARN = dict(rope_type="yarn", rope_theta=500.0, factor=4.0, original_max_position_embeddings=16, beta_fast=32, beta_slow=1)
OPT = dict(
    model_type="opt", vocab_size=64, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, ffn_dim=48, max_position_embeddings=64,
    pad_token_id=0,
)  # fmt: skip
XGLM = dict(
    model_type="xglm", vocab_size=64, d_model=32, num_layers=2, attention_heads=4, ffn_dim=48, max_position_embeddings=64,
)  # fmt: skip
CTRL = dict(model_type="ctrl", vocab_size=64, n_embd=32, n_layer=2, n_head=4, dff=48, n_positions=64)
BIGCODE = dict(model_type="gpt_bigcode", vocab_size=64, n_embd=32, n_layer=2, n_head=4, n_positions=64)
DOGE = SMALL | dict(model_type="doge", vocab_size=5_000)  # of two equal tokens transformers keeps any, so few are equal
DBRX = dict(
    model_type="dbrx", vocab_size=64, d_model=64, n_heads=4, n_layers=2, max_seq_len=64, rope_theta=500.0,
    attn_config=dict(kv_n_heads=2, clip_qkv=0.5, rope_theta=500.0), ffn_config=dict(ffn_hidden_size=48, moe_num_experts=8, moe_top_k=2),
)  # fmt: skip
JAPANESE = dict(
    model_type="gpt_neox_japanese", vocab_size=64, hidden_size=32, num_hidden_layers=3, num_attention_heads=4, max_position_embeddings=64,
)  # fmt: skip
CASES = [
    OPT | dict(word_embed_proj_dim=16, do_layer_norm_before=False),
    OPT | dict(word_embed_proj_dim=48, tie_word_embeddings=False, _remove_final_layer_norm=True),
    OPT | dict(layer_norm_elementwise_affine=False),
    XGLM,
    XGLM | dict(scale_embedding=False, activation_function="relu", tie_word_embeddings=False),
    CTRL,
    CTRL | dict(tie_word_embeddings=False),
    BIGCODE | dict(num_key_value_heads=2),
    BIGCODE | dict(num_key_value_heads=2, multi_query=False),
    DBRX,
    DBRX | dict(ffn_config=DBRX["ffn_config"] | dict(moe_normalize_expert_weights=None, ffn_act_fn=dict(name="gelu"))),
    JAPANESE,
    JAPANESE | dict(num_hidden_layers=1, rotary_pct=0.5, rotary_emb_base=500, intermediate_multiple_size=2, tie_word_embeddings=False),
    DOGE,
    DOGE | dict(keep_window_size=7, attention_bias=True, mlp_bias=True, num_attention_heads=2, tie_word_embeddings=True),
    DOGE | dict(keep_window_size=5, sliding_window=9),
    MINISTRAL,
    SMALL | dict(model_type="ministral3", sliding_window=5, rope_parameters=YARN | dict(llama_4_scaling_beta=0.5)),
    SMALL | dict(
        model_type="ministral3", tie_word_embeddings=True,
        rope_scaling=dict(rope_type="default", original_max_position_embeddings=6, llama_4_scaling_beta=0.5),
    ),
]  # fmt: skip


@pytest.mark.parametrize("config", CASES)
def test_logits_are_those_of_transformers(config):
    arch = check_logits(config)
    assert from_hf(to_hf(arch)) == arch


def test_neurons_are_those_of_transformers_token_after_token():
    config = DOGE | dict(is_moe=True, num_experts=30, num_experts_per_tok=3, mlp_bias=True)
    torch.manual_seed(0)
    theirs = reference(config)
    perturb(theirs)
    arch = from_hf(config)
    ours = core.build(arch, device="cpu")
    core.load_weights(ours, theirs.state_dict())
    tokens, kept, logits = torch.randint(arch.vocab_size, (1, 12)), None, []
    with torch.inference_mode():
        for at in range(12):
            out = theirs(tokens[:, at : at + 1], past_key_values=kept, use_cache=True)
            kept = out.past_key_values
            logits.append(out.logits)
        assert (ours(tokens) - torch.cat(logits, dim=1)).abs().max() <= 1e-4
    assert from_hf(to_hf(arch)) == arch and parameters(theirs) == core.cost(arch).parameters


def test_ministral_3_is_read_inside_its_wrapper():
    text = MINISTRAL | dict(rope_parameters=YARN | dict(llama_4_scaling_beta=0.5))
    assert from_hf({"model_type": "mistral3", "text_config": text, "vision_config": {}}).parts == from_hf(text).parts


def test_published_keys_that_say_what_holds_anyway_are_read():
    apertus = SMALL | dict(model_type="apertus", qk_norm=True, post_norm=False, mlp_bias=False, hidden_dropout=0.0)
    assert from_hf(apertus).parts["dense"].activation == "xielu"
    commands = SMALL | dict(model_type="cohere2", layer_switch=4, sliding_window_pattern=4, num_hidden_layers=4)
    assert from_hf(commands).pattern == "3 × [local+dense], [global+dense]"
    exaone = SMALL | dict(model_type="exaone4", sliding_window=5, sliding_window_pattern="LLG", num_hidden_layers=3)
    assert from_hf(exaone).pattern == "2 × [local, dense], [global, dense]"


def test_ternary_weights_are_stored_four_to_a_byte():
    arch = from_hf(SMALL | dict(model_type="bitnet", quantization_config=dict(quant_method="bitnet")))
    assert arch.precision == {"default": "bf16", "attention": "ternary", "dense": "ternary"}
    assert from_hf(to_hf(arch)) == arch
    online = dict(quant_method="bitnet", linear_class="autobitlinear", quantization_mode="online")
    assert from_hf(SMALL | dict(model_type="bitnet", quantization_config=online)).precision == {"default": "bf16"}


@pytest.mark.parametrize(
    ("config", "key"),
    [
        (MINISTRAL | dict(mystery=3), "mystery"),
        (MINISTRAL | dict(rope_parameters=YARN | dict(mystery=3)), "mystery"),
        (DBRX | dict(tie_word_embeddings=True), "tie_word_embeddings"),
        (DBRX | dict(ffn_config=dict(moe_normalize_expert_weights=2.0)), "moe_normalize_expert_weights"),
        (XGLM | dict(pad_token_id=7), "pad_token_id"),
        (JAPANESE | dict(rope_theta=500.0), "rope_theta"),
        (SMALL | dict(model_type="diffllama", num_key_value_heads=1), "kv_heads"),
    ],
)
def test_what_the_spec_cannot_say_is_refused_by_name(config, key):
    with pytest.raises(core.Unsupported, match=rf"{key}: "):
        from_hf(config)
