"""Recurrent families and other odd ones against transformers: logits, states, the round trip, what is refused."""

import pytest
import torch
from parity import check, check_logits, reference

import core
from core.hf import from_hf, to_hf

GRIFFIN = dict(
    model_type="recurrent_gemma", vocab_size=64, hidden_size=48, intermediate_size=80, num_hidden_layers=4, num_attention_heads=4,
    attention_window_size=7,
)  # fmt: skip
RWKV = dict(model_type="rwkv", vocab_size=64, hidden_size=48, num_hidden_layers=3, context_length=64)
XLSTM = dict(model_type="xlstm", vocab_size=64, hidden_size=48, num_hidden_layers=3, num_heads=4, ffn_round_up_to_multiple_of=16)
BEAM = dict(
    model_type="beam", vocab_size=64, hidden_size=48, intermediate_size=72, moe_intermediate_size=24, num_hidden_layers=5,
    num_attention_heads=4, num_key_value_heads=2, head_dim=16, sliding_window=7, num_experts=8, num_experts_per_tok=2, n_group=2,
    topk_group=1, max_position_embeddings=64,
)  # fmt: skip
INKLING = dict(
    model_type="inkling_text", vocab_size=64, hidden_size=48, intermediate_size=72, moe_intermediate_size=24, num_hidden_layers=7,
    num_attention_heads=4, num_key_value_heads=2, head_dim=16, swa_num_attention_heads=6, swa_num_key_value_heads=3, swa_head_dim=8,
    sliding_window_size=7, d_rel=4, rel_extent=9, n_routed_experts=8, num_experts_per_tok=2, dense_mlp_idx=1,
    logits_mup_width_multiplier=2.0,
)  # fmt: skip
HRM = dict(
    model_type="hrm_text", vocab_size=64, hidden_size=48, intermediate_size=72, num_hidden_layers=2, num_attention_heads=4, head_dim=16,
    max_position_embeddings=64,
)  # fmt: skip
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
    "xlstm": XLSTM,
    "xlstm otherwise": XLSTM
    | dict(use_bias=True, qk_dim_factor=0.75, v_dim_factor=1.5, num_blocks=2, ffn_proj_factor=1.3, gate_soft_cap=3.0,
           output_logit_soft_cap=2.0, eps=1e-4, norm_eps=1e-3),
    "xlstm in chunks": XLSTM | dict(chunk_size=8, mode="train"),
    "beam": BEAM,
    "beam otherwise": BEAM
    | dict(layer_types=["full_attention", "sliding_attention"] * 2 + ["full_attention"], mlp_layer_types=["sparse"] * 4 + ["dense"],
           n_group=1, topk_group=1, norm_topk_prob=False, routed_scaling_factor=1.5, attention_bias=True, hidden_act="gelu",
           final_logit_softcapping=None, tie_word_embeddings=True,
           rope_parameters={"sliding_attention": None, "full_attention": {"rope_type": "default", "rope_theta": 500.0}}),
    "hrm": HRM,
    "hrm otherwise": HRM
    | dict(num_layers_per_stack=1, H_cycles=3, L_cycles=1, embedding_scale=2.0, attention_bias=True, mlp_bias=True, prefix_lm=False,
           tie_word_embeddings=True, hidden_act="gelu", rms_norm_eps=1e-3, rope_theta=500.0),
    "inkling": INKLING,
    "inkling that sees and hears": dict(
        model_type="inkling_mm_model", text_config=INKLING | dict(shared_expert_sink=True), mtp_config={"num_nextn_predict_layers": 1}
    ),
    "inkling otherwise": INKLING
    | dict(num_hidden_layers=4, local_layer_ids=[1], mlp_layer_types=["sparse", "dense", "sparse", "dense"], log_scaling_n_floor=6,
           n_shared_experts=3, route_scale=2.0, conv_kernel_size=3, hidden_act="gelu", unpadded_vocab_size=50, rms_norm_eps=1e-3),
}  # fmt: skip


@pytest.mark.parametrize("name", LOGITS)
def test_logits_are_those_of_transformers(name):
    arch = check_logits(LOGITS[name])
    assert from_hf(to_hf(arch)) == arch
    check(to_hf(arch))


def test_matrices_that_xlstm_keeps_in_one_are_taken_apart():
    arch = from_hf(XLSTM | dict(weight_mode="fused"))
    model, fused = core.build(arch, device="cpu"), {}
    theirs = dict(reference(XLSTM | dict(weight_mode="single")).state_dict())
    core.load_weights(model, theirs)
    names = (
        ("mlstm_layer.qkv_opreact", ("mlstm_layer.q", "mlstm_layer.k", "mlstm_layer.v", "mlstm_layer.ogate_preact")),
        ("mlstm_layer.ifgate_preact", ("mlstm_layer.igate_preact", "mlstm_layer.fgate_preact")),
        ("ffn.proj_up_gate_z", ("ffn.proj_up_gate", "ffn.proj_up")),
    )
    for layer in range(arch.depth):
        at = f"backbone.blocks.{layer}"
        for whole, pieces in names:
            for kind in ("weight", "bias") if "ifgate" in whole else ("weight",):
                fused[f"{at}.{whole}.{kind}"] = torch.cat([theirs.pop(f"{at}.{piece}.{kind}") for piece in pieces])
    other = core.build(arch, device="cpu")
    core.load_weights(other, theirs | fused)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize(
    ("config", "key"),
    [
        (GRIFFIN | dict(block_types=["recurrent", "mlp"]), "block_types"),
        (GRIFFIN | dict(rope_scaling={"rope_type": "linear", "factor": 2.0}), "rope_parameters"),
        (GRIFFIN | dict(sliding_window=9), "attention_window_size"),
        (RWKV | dict(layer_norm_epsilon=1e-3), "layer_norm_epsilon"),
        (RWKV | dict(rescale_every=2), "rescale_every"),
        (XLSTM | dict(embedding_dim=32), "embedding_dim"),
        (XLSTM | dict(qk_dim_factor=0.53), "qk_dim_factor"),
        (XLSTM | dict(add_out_norm=False), "add_out_norm"),
        (INKLING | dict(use_sconv=False), "use_sconv"),
        (INKLING | dict(sliding_window=8), "sliding_window"),
        (BEAM | dict(sliding_window=None), "sliding_window"),
        (HRM | dict(num_hidden_layers=2_000), "num_hidden_layers"),
        (GRIFFIN | dict(mystery=1), "mystery"),
    ],
)
def test_what_the_spec_cannot_say_is_refused_by_name(config, key):
    with pytest.raises(core.Unsupported, match=rf"^{key}: "):
        from_hf(config)
