"""config.json files as their makers published them, with keys that transformers has since dropped or never knew."""

import pytest

import core
from core.spec import METADATA

COMMON = dict(bos_token_id=1, eos_token_id=2, initializer_range=0.02, use_cache=True, transformers_version="4.44.0")
FILES = {
    "starcoder2-15b": dict(
        model_type="starcoder2", architectures=["Starcoder2ForCausalLM"],
        hidden_act="gelu_pytorch_tanh", hidden_size=6144, intermediate_size=24576, max_position_embeddings=16384,
        mlp_type="default", norm_epsilon=1e-5, norm_type="layer_norm", num_attention_heads=48, num_hidden_layers=40, num_key_value_heads=4,
        rms_norm_eps=1e-5, rope_theta=100000, sliding_window=4096, tie_word_embeddings=False, torch_dtype="float32", use_bias=True,
        vocab_size=49152,
    ),
    "qwen3-coder-480b-a35b": dict(
        model_type="qwen3_moe", architectures=["Qwen3MoeForCausalLM"],
        decoder_sparse_step=1, head_dim=128, hidden_act="silu", hidden_size=6144, intermediate_size=8192,
        max_position_embeddings=262144, max_window_layers=62, mlp_only_layers=[], moe_intermediate_size=2560, norm_topk_prob=True,
        num_attention_heads=96, num_experts=160, num_experts_per_tok=8, num_hidden_layers=62, num_key_value_heads=8, qkv_bias=False,
        rms_norm_eps=1e-6, rope_scaling=None, rope_theta=10000000, router_aux_loss_coef=0.0, shared_expert_intermediate_size=0,
        sliding_window=None, tie_word_embeddings=False, torch_dtype="bfloat16", use_qk_norm=True, use_sliding_window=False,
        vocab_size=151936,
    ),
    "smollm2-1.7b": {
        "model_type": "llama", "architectures": ["LlamaForCausalLM"],
        "attention_bias": False, "hidden_act": "silu", "hidden_size": 2048, "intermediate_size": 8192,
        "is_llama_config": True, "max_position_embeddings": 8192, "mlp_bias": False, "num_attention_heads": 32, "num_hidden_layers": 24,
        "num_key_value_heads": 32, "pretraining_tp": 1, "rms_norm_eps": 1e-5, "rope_interleaved": False, "rope_scaling": None,
        "rope_theta": 130000, "tie_word_embeddings": True, "torch_dtype": "bfloat16", "vocab_size": 49152,
        "transformers.js_config": {"kv_cache_dtype": {"fp16": "float16", "q4f16": "float16"}},
    },
    "gpt-neox-20b": dict(
        model_type="gpt_neox", architectures=["GPTNeoXForCausalLM"],
        attention_probs_dropout_prob=0, hidden_act="gelu_fast", hidden_dropout_prob=0, hidden_size=6144,
        intermediate_size=24576, layer_norm_eps=1e-5, max_position_embeddings=2048, num_attention_heads=64, num_hidden_layers=44,
        rotary_emb_base=10000, rotary_pct=0.25, tie_word_embeddings=False, torch_dtype="float16", vocab_size=50432,
    ),
    "nemotron-h-8b": dict(
        model_type="nemotron_h", architectures=["NemotronHForCausalLM"],
        attention_bias=False, attention_head_dim=128, chunk_size=128, conv_kernel=4, hidden_dropout=0.0,
        hidden_size=4096, hybrid_override_pattern="M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M-", intermediate_size=21504,
        layer_norm_epsilon=1e-5, mamba_head_dim=64, mamba_hidden_act="silu", mamba_num_heads=128, mamba_proj_bias=False,
        max_position_embeddings=8192, mlp_bias=False, mlp_hidden_act="relu2", n_groups=8, num_attention_heads=32, num_hidden_layers=52,
        num_key_value_heads=8, num_logits_to_keep=1, num_query_groups=8, rescale_prenorm_residual=True, residual_in_fp32=False,
        rms_norm_eps=1e-5, sliding_window=None, ssm_state_size=128, tie_word_embeddings=False, time_step_floor=1e-4,
        time_step_limit=[0.0, float("inf")], time_step_max=0.1, time_step_min=0.001, torch_dtype="bfloat16", use_bias=False,
        use_conv_bias=True, use_mamba_kernels=True, vocab_size=131072,
    ),
    "minimax-m3": dict(
        model_type="minimax_m3_vl", architectures=["MiniMaxM3SparseForConditionalGeneration"],
        torch_dtype="bfloat16", vision_config={"hidden_size": 1280},
        text_config=dict(
            attention_output_gate=False, dense_intermediate_size=12288, head_dim=128, hidden_act="swigluoai", hidden_size=6144,
            intermediate_size=3072, max_position_embeddings=1048576, moe_layer_freq=[0] * 3 + [1] * 57, n_shared_experts=1,
            num_attention_heads=64, num_experts_per_tok=4, num_hidden_layers=60, num_key_value_heads=4, num_local_experts=128,
            num_mtp_modules=7, num_nextn_predict_layers=1, partial_rotary_factor=0.5, qk_norm_type="per_head", rms_norm_eps=1e-6,
            rope_theta=5000000, rotary_dim=64, routed_scaling_factor=2.0, scoring_func="sigmoid", shared_intermediate_size=3072,
            sparse_attention_config=dict(
                sparse_attention_freq=[0] * 3 + [1] * 57, sparse_block_size=128, sparse_disable_index_value=[0] * 3 + [1] * 57,
                sparse_index_dim=128, sparse_init_block=0, sparse_local_block=1, sparse_num_index_heads=4, sparse_score_type="max",
                sparse_topk_blocks=16, use_sparse_attention=True,
            ),
            swiglu_alpha=1.702, swiglu_limit=7.0, tie_word_embeddings=False, use_gemma_norm=True, use_qk_norm=True, use_routing_bias=True,
            vocab_size=200064,
        ),
    ),
    "inkling-small": dict(
        model_type="inkling_mm_model", architectures=["InklingForConditionalGeneration"],
        audio_config={"decoder_dmodel": 4096}, vision_config={"decoder_dmodel": 4096},
        mtp_config=dict(chain_hidden_post_norm=False, local_layer_ids=[0, 2, 4, 5, 6, 7], num_nextn_predict_layers=8),
        text_config=dict(
            d_rel=16, dense_intermediate_size=16384, dense_mlp_idx=2, final_logit_softcapping=None, gate_activation="sigmoid", head_dim=128,
            hidden_size=4096, intermediate_size=2048, local_layer_ids=[n for n in range(42) if n % 6 != 5], log_scaling_alpha=0.1,
            log_scaling_n_floor=128000, logits_mup_width_multiplier=16.0, model_max_length=1048576, n_routed_experts=256,
            n_shared_experts=2, norm_after_topk=True, num_attention_heads=32, num_experts_per_tok=6, num_hidden_layers=42,
            num_key_value_heads=8, o_bias=False,
            q_bias=False, rel_extent=1024, rms_norm_eps=1e-6, route_scale=8.0, sconv_kernel_size=4, shared_expert_sink=True,
            sliding_window_size=512, swa_head_dim=128, swa_num_attention_heads=32, swa_num_key_value_heads=8, torch_dtype="bfloat16",
            unpadded_vocab_size=200058, use_embed_norm=True, use_gate_bias=True, use_global_scale=True, use_sconv=True, vocab_size=201024,
        ),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_published_file_is_the_preset(name):
    arch, preset = core.from_hf(COMMON | FILES[name]), core.load(name)
    words = {field: getattr(preset, field) for field in METADATA}
    assert arch.model_copy(update=words) == preset
