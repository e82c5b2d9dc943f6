"""Hybrids of state spaces and attention against transformers: logits on small random weights, the round trip, what is refused."""

import pytest
from parity import check_logits

import core
from core.hf import from_hf, to_hf

SMALL = dict(
    vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2,
    max_position_embeddings=64, mamba_n_heads=8, mamba_d_state=12, pad_token_id=0,
)  # fmt: skip
BAMBA = SMALL | dict(model_type="bamba", attn_layer_indices=[1, 3])
GRANITE = SMALL | dict(
    model_type="granitemoehybrid", num_local_experts=8, shared_intermediate_size=40,
    layer_types=["mamba", "mamba", "attention", "mamba"],
)  # fmt: skip
FALCON = SMALL | dict(model_type="falcon_h1", mamba_d_ssm=40)
SHARED = dict(
    vocab_size=64, hidden_size=32, intermediate_size=48, num_attention_heads=4, num_key_value_heads=4, max_position_embeddings=64,
    mamba_d_state=6, pad_token_id=0, num_hidden_layers=6, layers_block_type=["mamba", "hybrid", "mamba", "hybrid", "hybrid", "mamba"],
)  # fmt: skip
ZAMBA = SHARED | dict(model_type="zamba")
ZAMBA2 = SHARED | dict(model_type="zamba2", n_mamba_heads=8, adapter_rank=4)
LFM3 = dict(
    model_type="lfm3", vocab_size=64, hidden_size=32, intermediate_size=48, num_attention_heads=4, num_key_value_heads=2, head_dim=16,
    max_position_embeddings=64, num_hidden_layers=6, sliding_window=5, pad_token_id=0,
)  # fmt: skip
LOGITS = {
    "lfm3": LFM3,
    "lfm3, no gate, norms before alone": LFM3
    | dict(
        use_attention_gate=False, use_sandwich_norm=False, conv_bias=True, conv_L_cache=3, attention_bias=True, norm_eps=1e-3,
        tie_word_embeddings=False,
        rope_parameters=dict(
            sliding_attention=dict(rope_type="linear", factor=2.0, rope_theta=500.0),
            full_attention=dict(rope_theta=1e5, rope_type="default")
        ),
    ),
    "lfm3, windows alone": LFM3 | dict(layer_types=["sliding_attention"] * 6, attention_bias=True),
    "lfm3, convolutions alone": LFM3 | dict(layer_types=["conv"] * 6),
    "zamba": ZAMBA,
    "zamba, by period": {k: v for k, v in ZAMBA.items() if k != "layers_block_type"}
    | dict(
        attn_layer_period=3, attn_layer_offset=1, n_mamba_heads=4, num_hidden_layers=8, mamba_proj_bias=True, mamba_conv_bias=False,
        hidden_act="silu", hidden_mamba_act="gelu", num_key_value_heads=2, mamba_dt_rank=5, mamba_d_conv=3, tie_word_embeddings=False,
    ),
    "zamba2": ZAMBA2,
    "zamba2, two blocks": ZAMBA2
    | dict(
        num_mem_blocks=2, use_shared_attention_adapter=True, use_mem_rope=True, add_bias_linear=True, mamba_ngroups=2, rms_norm_eps=1e-3,
        time_step_min=0.5, rope_theta=500.0, hidden_act="silu",
    ),
    "zamba2, fewer uses than blocks": ZAMBA2
    | dict(num_mem_blocks=5, num_key_value_heads=2, attention_head_dim=8, tie_word_embeddings=False),
    "bamba": BAMBA,
    "bamba, biases and groups": BAMBA
    | dict(
        mamba_n_groups=2, mamba_d_conv=3, mamba_expand=3, mamba_n_heads=6, mamba_d_head=16, mamba_conv_bias=False, mamba_proj_bias=True,
        attention_bias=True, mlp_bias=True, hidden_act="gelu", tie_word_embeddings=True, time_step_limit=[0.5, 0.8], head_dim=16,
        rope_parameters=dict(rope_theta=500.0, rope_type="linear", factor=2.0, partial_rotary_factor=0.25),
    ),
    "bamba without attention": BAMBA | dict(attn_layer_indices=None, partial_rotary_factor=1.0),
    "granite": GRANITE,
    "granite, factors": GRANITE
    | dict(
        embedding_multiplier=3, logits_scaling=2.0, residual_multiplier=0.5, attention_multiplier=0.3, position_embedding_type="rope",
        num_experts_per_tok=3, mamba_n_groups=2, hidden_act="relu", attention_bias=True, shared_intermediate_size=0,
    ),
    "granite, dense": GRANITE | dict(num_local_experts=0, tie_word_embeddings=True, rope_theta=500.0),
    "granite, attention alone": GRANITE | dict(layer_types=["full_attention"] * 4, position_embedding_type="rope"),
    "granite, mamba alone": GRANITE | dict(layer_types=None),
    "falcon-h1": FALCON,
    "falcon-h1, factors": FALCON
    | dict(
        embedding_multiplier=5.65, lm_head_multiplier=0.5, key_multiplier=0.39, attention_in_multiplier=1.3, attention_out_multiplier=0.9,
        ssm_in_multiplier=1.25, ssm_out_multiplier=0.23, ssm_multipliers=[0.35, 0.25, 0.17, 0.5, 0.31], mlp_multipliers=[0.88, 0.58],
        mamba_d_ssm=None, mamba_rms_norm=True, mamba_n_groups=2, projectors_bias=True, rope_theta=1e11,
    ),
    "falcon-h1, norm before gate": FALCON
    | dict(
        mamba_rms_norm=True, mamba_norm_before_gate=False, mamba_proj_bias=True, mamba_d_ssm=24, mamba_d_head=3, attention_bias=True,
        ssm_in_multiplier=1.25, mlp_bias=True, hidden_act="relu", tie_word_embeddings=True, time_step_limit=[0.5, 0.8], head_dim=16,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LOGITS)
def test_logits_are_those_of_transformers(name):
    arch = check_logits(LOGITS[name])
    again = from_hf(to_hf(arch))
    assert again.model_copy(update={"family": arch.family}) == arch


@pytest.mark.parametrize(
    ("config", "key"),
    [
        (ZAMBA2 | dict(num_key_value_heads=2, use_shared_attention_adapter=True), "num_key_value_heads"),
        (ZAMBA2 | dict(tie_word_embeddings=False), "tie_word_embeddings"),
        (ZAMBA | dict(layers_block_type=["attention"] * 6), "layers_block_type"),
        (BAMBA | dict(mamba_n_heads=7), "mamba_n_heads"),
        (GRANITE | dict(layer_types=["mamba"]), "layer_types"),
        (FALCON | dict(ssm_multipliers=[1.0]), "ssm_multipliers"),
        (FALCON | dict(time_step_limit=["a", 1]), "time_step_limit"),
    ],
)
def test_what_the_spec_cannot_say_is_refused_by_name(config, key):
    with pytest.raises(core.Unsupported, match=rf"^{key}: "):
        from_hf(config)


def test_what_the_published_lfm3_calls_default_turns_a_part_of_the_channels():
    full = dict(rope_theta=1e6, partial_rotary_factor=0.5)
    ropes = [
        dict(sliding_attention=dict(rope_theta=1e4, rope_type="default"), full_attention=full | said)
        for said in (dict(rope_type="default"), dict(rope_type="proportional"), {})
    ]
    published, ours, unsaid = (from_hf(LFM3 | dict(rope_parameters=each)) for each in ropes)
    assert published == ours == unsaid
    assert ours.position.scaling.fraction == 0.5
