"""State-space families against transformers: logits and states on small random weights, the round trip, what is refused."""

import pytest
from parity import check_logits

import core
from core.hf import from_hf, to_hf

MAMBA2 = dict(
    model_type="mamba2", vocab_size=64, hidden_size=32, num_hidden_layers=2, num_heads=8, head_dim=8, state_size=12,
    n_groups=2, pad_token_id=0,
)  # fmt: skip
# transformers cuts the steps of a prompt at time_step_min, though not those of a decode; the authors' code and the key
# time_step_limit say that nothing is cut.
NEMOTRON = dict(
    time_step_min=1e-30,
    model_type="nemotron_h", vocab_size=64, hidden_size=48, hybrid_override_pattern="ME*M-", num_attention_heads=4, num_key_value_heads=2,
    head_dim=16, intermediate_size=40, ssm_state_size=12, mamba_num_heads=8, mamba_head_dim=8, n_groups=2, n_routed_experts=8,
    moe_intermediate_size=24, moe_shared_expert_intermediate_size=32, max_position_embeddings=64,
)  # fmt: skip
MAMBA = dict(model_type="mamba", vocab_size=64, hidden_size=32, num_hidden_layers=2, state_size=6, pad_token_id=0)
JAMBA = dict(
    model_type="jamba", vocab_size=64, hidden_size=32, intermediate_size=40, num_hidden_layers=4, num_attention_heads=4,
    num_key_value_heads=2, attn_layer_period=4, attn_layer_offset=1, num_experts=4, mamba_d_state=6, max_position_embeddings=64,
)  # fmt: skip
LFM2 = dict(
    model_type="lfm2", vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=4, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=64, block_multiple_of=16,
    layer_types=["conv", "conv", "full_attention", "conv"],
)  # fmt: skip
LOGITS = {
    "mamba": MAMBA,
    "mamba biases": MAMBA | dict(use_bias=True, use_conv_bias=False, expand=3, time_step_rank=5, tie_word_embeddings=False),
    "falcon mamba": MAMBA | dict(model_type="falcon_mamba", mixer_rms_eps=1e-3, expand=3, intermediate_size=40, hidden_act="gelu"),
    "jamba": JAMBA,
    "jamba other periods": JAMBA | dict(expert_layer_period=3, expert_layer_offset=0, mamba_proj_bias=True, mamba_d_conv=3,
           hidden_act="relu"),
    "lfm2": LFM2,
    "lfm2 biases": LFM2 | dict(conv_bias=True, conv_L_cache=4, block_auto_adjust_ff_dim=False, tie_word_embeddings=False),
    "lfm2 experts": LFM2
    | dict(model_type="lfm2_moe", num_experts=8, num_experts_per_tok=2, moe_intermediate_size=24, num_dense_layers=1),
    "mamba2": MAMBA2,
    "mamba2 biases": MAMBA2 | dict(use_bias=True, use_conv_bias=False, n_groups=1, conv_kernel=3, tie_word_embeddings=True),
    "mamba2 steps with limits": MAMBA2 | dict(time_step_limit=[0.5, 0.8], hidden_act="relu2"),
    "nemotron": NEMOTRON,
    "nemotron latent": NEMOTRON
    | dict(moe_latent_size=16, routed_scaling_factor=2.5, n_group=2, topk_group=1, num_experts_per_tok=3, norm_topk_prob=False,
           mamba_hidden_act="gelu", sliding_window=3),
    "nemotron words": {k: v for k, v in NEMOTRON.items() if k != "hybrid_override_pattern"}
    | dict(layers_block_type=["linear_attention", "full_attention", "mlp"], mlp_bias=True, use_bias=True),
}  # fmt: skip


@pytest.mark.parametrize("name", LOGITS)
def test_logits_are_those_of_transformers(name):
    arch = check_logits(LOGITS[name])
    assert from_hf(to_hf(arch)) == arch


@pytest.mark.parametrize(
    ("config", "key"),
    [
        (NEMOTRON | dict(hybrid_override_pattern="MX"), "hybrid_override_pattern"),
        (NEMOTRON | dict(time_step_limit=[0.1, 1.0]), "time_step_limit"),
        (MAMBA2 | dict(num_heads=4), "num_heads"),
    ],
)
def test_what_the_spec_cannot_say_is_refused_by_name(config, key):
    with pytest.raises(core.Unsupported, match=rf"^{key}: "):
        from_hf(config)
