"""GGUF headers of architectures, as llama.cpp's converters write them: from the keys of a config.json, and with the tensors' names out
of gguf's own tables for a family's modules. Independent of what core/hf/gguf knows."""

import math
import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from statistics import NormalDist
from typing import Any

import gguf
import numpy as np

from core.hf import BY_TYPE, from_hf
from core.model import build

# What the converters of these write of q, k and v in one tensor.
FUSED = "gpt2 starcoder gptneox mpt bloom falcon qwen phi3 chatglm dbrx bailingmoe2 jais".split()
# model_type -> llama.cpp's architecture, where it is not called alike.
ARCHS = {
    "mixtral": "llama", "mistral": "llama", "Yi": "llama", "llama4_text": "llama4", "ministral3": "mistral3", "gpt_bigcode": "starcoder",
    "gpt_neox": "gptneox", "qwen2_moe": "qwen2moe", "qwen3_moe": "qwen3moe", "qwen3_next": "qwen3next", "qwen3_5_text": "qwen35",
    "qwen3_5_moe_text": "qwen35moe", "phi": "phi2", "gemma3_text": "gemma3", "gemma3n_text": "gemma3n", "falcon_mamba": "mamba",
    "cohere": "command-r", "olmo3": "olmo2", "deepseek_v2": "deepseek2", "deepseek_v3": "deepseek2", "youtu": "deepseek2",
    "glm4_moe": "glm4moe", "exaone_moe": "exaone-moe", "granitemoehybrid": "granitehybrid", "bailing_moe": "bailingmoe",
    "bailing_moe_v2": "bailingmoe2", "ernie4_5_moe": "ernie4_5-moe", "hunyuan_v1_moe": "hunyuan-moe", "hunyuan_v1_dense": "hunyuan-dense",
    "gpt_oss": "gpt-oss", "lfm2_moe": "lfm2moe", "minimax_m2": "minimax-m2", "kimi_linear": "kimi-linear", "falcon_h1": "falcon-h1",
    "PanguEmbedded": "pangu-embedded", "git": "grok", "granitemoeshared": "granitemoe", "qwen2_vl_text": "qwen2vl",
    "gemma4_text": "gemma4", "grok-1": "grok", "glm_moe_dsa": "glm-dsa", "glm4_moe_lite": "deepseek2", "solar_open": "glm4moe",
    "mimo_v2_flash": "mimo2", "mimo_v2": "mimo2", "step3p5": "step35", "nemotron-nas": "deci",
}  # fmt: skip
RWKV = {  # what RWKV-7's converter itself renames
    ".attn.": ".attention.", ".ffn.": ".feed_forward.", "_lora.lora.0.weight": "1.weight", "_lora.lora.2.weight": "2.weight",
    "_lora.lora.2.bias": "0.weight", "g_norm": "ln_x", "ffn_norm": "ln2",
}  # fmt: skip
TABLE = dict(gguf.TensorNameMap.block_mappings_cfg)


def arch_of(config: Mapping[str, Any]) -> str:
    name = config["model_type"]
    if name == "nemotron_h" and "n_routed_experts" in config:
        return "nemotron_h_moe"
    return ARCHS.get(name, name)


def metadata(config: dict[str, Any]) -> dict[str, Any]:
    """The keys below the architecture's name."""
    c, arch = dict(config), arch_of(config)
    said: dict[str, Any] = {}

    def find(*names: str) -> Any:
        return next((c[name] for name in names if c.get(name) is not None), None)

    def put(key: str, value: Any) -> None:
        if value is not None:
            said[key] = value

    ropes = c.get("rope_parameters") or {}
    rope = ropes.get("full_attention", ropes) or {"rope_theta": c.get("rope_theta")} | (c.get("rope_scaling") or {})
    depth = find("num_hidden_layers", "n_layer", "n_layers", "num_layers", "num_transformer_layers") or len(c["hybrid_override_pattern"])
    d_model = find("hidden_size", "n_embd", "d_model", "model_dim")
    heads = find("num_attention_heads", "n_head", "n_heads")
    nextn = find("num_nextn_predict_layers") if arch in ("glm4moe", "exaone-moe", "bailingmoe2", "glm-dsa") else 0
    put("block_count", depth + (nextn or 0))
    put(
        "context_length",
        find("max_position_embeddings", "n_positions", "seq_length", "max_seq_len", "model_max_length", "max_context_length"),
    )
    put("embedding_length", d_model)
    put("feed_forward_length", find("intermediate_size", "n_inner", "ffn_hidden_size"))
    put("attention.head_count", heads)
    put("attention.head_count_kv", find("num_key_value_heads", "num_kv_heads", "multi_query_group_num"))
    put("rope.freq_base", rope.get("rope_theta"))
    put("attention.layer_norm_rms_epsilon", find("rms_norm_eps", "norm_eps", "layernorm_epsilon"))
    put("attention.layer_norm_epsilon", find("layer_norm_eps", "layer_norm_epsilon", "norm_epsilon"))
    put("expert_count", find("num_local_experts", "num_experts", "n_routed_experts") or None)
    put("expert_used_count", find("num_experts_per_tok", "num_experts_per_token") if "expert_count" in said else None)
    put("expert_group_count", c.get("n_group"))
    put("expert_group_used_count", c.get("topk_group"))
    if (score := find("score_function", "scoring_func")) in ("sigmoid", "softmax"):
        put("expert_gating_func", 2 if score == "sigmoid" else 1)
    for key in ("key_length", "value_length"):
        put(f"attention.{key}", c.get("head_dim"))
    head_dim = c.get("head_dim") or (d_model // heads if heads else 0)
    kind = rope.get("rope_type")
    if kind in ("linear", "yarn"):
        put("rope.scaling.type", kind)
        put("rope.scaling.factor", rope.get("factor"))
    if kind == "yarn":
        put("rope.scaling.original_context_length", rope["original_max_position_embeddings"])
        put("rope.scaling.yarn_beta_fast", rope.get("beta_fast"))
        put("rope.scaling.yarn_beta_slow", rope.get("beta_slow"))
        put("rope.scaling.yarn_attn_factor", rope.get("attention_factor"))
    if kind == "longrope":
        put("rope.scaling.type", kind)
        put("rope.scaling.original_context_length", rope["original_max_position_embeddings"])
    turned = int(head_dim * (find("partial_rotary_factor") or rope.get("partial_rotary_factor") or 1.0))
    width = find("moe_intermediate_size")
    sliding = [word == "sliding_attention" for word in c.get("layer_types") or ()]
    match arch:
        case "llama" | "mistral3" | "smollm3" | "arcee" | "granite" | "granitemoe" | "afmoe" | "seed_oss" | "apertus" | "xverse":
            put("vocab_size", c["vocab_size"])
            put("rope.dimension_count", head_dim)
        case "llama4":
            moe = c["moe_layers"]
            put("interleave_moe_layer_step", moe[1] - moe[0])
            put("expert_feed_forward_length", c["intermediate_size"])
            put("feed_forward_length", c.get("intermediate_size_mlp", 16_384))
            put("rope.dimension_count", head_dim)
        case "gpt2" | "jais":
            said.pop("attention.head_count_kv", None)
        case "starcoder":
            put("attention.head_count_kv", 1)
            put("feed_forward_length", 4 * d_model)
        case "mpt" | "bloom":
            put("feed_forward_length", 4 * d_model)
            if arch == "mpt":
                put("attention.max_alibi_bias", 8.0)
        case "falcon":
            put("tensor_data_layout", "jploski")
            said.pop("rope.freq_base")
        case "gptneox":
            put("rope.dimension_count", int(c["rotary_pct"] * head_dim))
            put("use_parallel_residual", c["use_parallel_residual"])
            said.pop("rope.freq_base")
        case "phi2":
            put("rope.dimension_count", turned)
        case "phi3":
            put("rope.dimension_count", turned)
            put("attention.sliding_window", c.get("sliding_window") or 0)
            said.setdefault("rope.scaling.original_context_length", c["max_position_embeddings"])
            said.pop("rope.scaling.type", None)
            said.pop("attention.key_length")
            said.pop("attention.value_length")
        case "qwen2moe" | "qwen3moe" | "qwen3next" | "qwen35moe" | "qwen35" | "dots1" | "bailingmoe" | "bailingmoe2":
            put("expert_feed_forward_length", width)
            put("expert_shared_feed_forward_length", c.get("shared_expert_intermediate_size"))
        case "gemma2":
            put("attn_logit_softcapping", c["attn_logit_softcapping"])
            put("final_logit_softcapping", c["final_logit_softcapping"])
            put("attention.sliding_window", c["sliding_window"])
        case "gemma3":
            put("attention.sliding_window", c["sliding_window"])
        case "gemma3n":
            put("attention.sliding_window", c["sliding_window"])
            put("feed_forward_length", c["intermediate_size"])
            put("rope.freq_base_swa", ropes["sliding_attention"]["rope_theta"])
            put("altup.active_idx", c["altup_active_idx"])
            put("altup.num_inputs", c["altup_num_inputs"])
            put("embedding_length_per_layer_input", c["hidden_size_per_layer_input"])
            put("attention.shared_kv_layers", c["num_kv_shared_layers"])
            put("activation_sparsity_scale", [NormalDist().inv_cdf(p) if p else -math.inf for p in c["activation_sparsity_pattern"]])
            put("attention.sliding_window_pattern", sliding)
        case "gemma4":
            put("attention.sliding_window", c["sliding_window"])
            put("attention.sliding_window_pattern", sliding)
            put("attention.shared_kv_layers", c["num_kv_shared_layers"])
            put("embedding_length_per_layer_input", c["hidden_size_per_layer_input"])
            put("final_logit_softcapping", c["final_logit_softcapping"])
            for key in ("key_length", "value_length"):
                put(f"attention.{key}_swa", c["head_dim"])
                put(f"attention.{key}", c["global_head_dim"])
            put("rope.dimension_count", c["global_head_dim"])
            put("rope.dimension_count_swa", c["head_dim"])
            put("rope.freq_base_swa", ropes["sliding_attention"]["rope_theta"])
            put("expert_feed_forward_length", width)
            put("expert_used_count", c.get("top_k_experts"))
            if c["use_double_wide_mlp"]:
                first = depth - c["num_kv_shared_layers"]
                put("feed_forward_length", [c["intermediate_size"] * (1 if layer < first else 2) for layer in range(depth)])
            if c.get("num_global_key_value_heads"):
                near, far = c["num_key_value_heads"], c["num_global_key_value_heads"]
                put("attention.head_count_kv", [near if one else far for one in sliding])
        case "glm-dsa":
            for key in ("head_count", "key_length", "top_k"):
                name = {"head_count": "index_n_heads", "key_length": "index_head_dim", "top_k": "index_topk"}[key]
                put(f"attention.indexer.{key}", c[name])
        case "mamba":
            for key in ("attention.head_count", "feed_forward_length"):
                put(key, 0)
            put("context_length", 2**20)
            put("ssm.inner_size", c["intermediate_size"])
            put("ssm.conv_kernel", c["conv_kernel"])
            put("ssm.state_size", c["state_size"])
            put("ssm.time_step_rank", c["time_step_rank"])
            put("ssm.dt_b_c_rms", c["model_type"] == "falcon_mamba")
            put("attention.layer_norm_rms_epsilon", said.pop("attention.layer_norm_epsilon"))
        case "mamba2":
            for key in ("attention.head_count", "feed_forward_length"):
                put(key, 0)
            said.pop("attention.key_length")
            said.pop("attention.value_length")
            put("context_length", 2**20)
            put("ssm.inner_size", c["expand"] * d_model)
            put("ssm.conv_kernel", c["conv_kernel"])
            put("ssm.state_size", c["state_size"])
            put("ssm.group_count", c["n_groups"])
            put("ssm.time_step_rank", c["num_heads"])
            put("attention.layer_norm_rms_epsilon", said.pop("attention.layer_norm_epsilon"))
        case "jamba":
            here = [layer % c["attn_layer_period"] == c["attn_layer_offset"] for layer in range(depth)]
            put("attention.head_count_kv", [c["num_key_value_heads"] if one else 0 for one in here])
            put("ssm.inner_size", c["mamba_expand"] * d_model)
            put("ssm.conv_kernel", c["mamba_d_conv"])
            put("ssm.state_size", c["mamba_d_state"])
            put("ssm.time_step_rank", c["mamba_dt_rank"])
            said.pop("attention.key_length")
            said.pop("attention.value_length")
        case "command-r" | "cohere2":
            put("logit_scale", c["logit_scale"])
            put("rope.scaling.type", "none")
            if arch == "cohere2":
                put("attention.sliding_window", c["sliding_window"])
                put("rope.dimension_count", head_dim)
        case "dbrx":
            put("feed_forward_length", c["ffn_config"]["ffn_hidden_size"])
            put("attention.head_count_kv", c["attn_config"]["kv_n_heads"])
            put("attention.clamp_kqv", c["attn_config"]["clip_qkv"])
            put("expert_count", c["ffn_config"]["moe_num_experts"])
            put("expert_used_count", c["ffn_config"]["moe_top_k"])
            put("attention.layer_norm_epsilon", 1e-5)
        case "olmo":
            put("attention.layer_norm_epsilon", 1e-5)
            put("attention.clamp_kqv", c.get("clip_qkv"))
        case "olmo2":
            put("attention.sliding_window", c.get("sliding_window"))
            put("attention.sliding_window_pattern", sliding or None)
        case "openelm":
            read = from_hf(config)
            layers = [[read.parts[name] for step in block for name in step.parts] for block in read.sequence]
            put("attention.head_count", [mixer.heads for mixer, _ in layers])
            put("attention.head_count_kv", [mixer.kv_heads for mixer, _ in layers])
            put("feed_forward_length", [dense.d_ff for _, dense in layers])
            put("rope.freq_base", c["rope_freq_constant"])
            put("attention.layer_norm_rms_epsilon", 1e-6)
            put("rope.dimension_count", head_dim)
        case "arctic":
            put("vocab_size", c["vocab_size"])
            put("rope.dimension_count", d_model // heads)
        case "deepseek":
            put("rope.dimension_count", head_dim)
            put("rope.scaling.type", "none")
            put("leading_dense_block_count", c["first_k_dense_replace"])
            put("expert_feed_forward_length", width)
            put("expert_weights_scale", 1.0)
            put("expert_shared_count", c["n_shared_experts"])
        case "deepseek2":
            pass
    local = ropes.get("sliding_attention", {}).get("rope_theta")
    match arch:
        case "deci":
            blocks = from_hf(config).sequence
            parts = from_hf(config).parts
            each = [{parts[name].mixes: parts[name] for step in block for name in step.parts} for block in blocks]
            for layer, block in enumerate(c.get("block_configs") or []):  # layers without any part
                if block["attention"].get("no_op") and block["ffn"].get("no_op"):
                    each.insert(layer, {})
            put("attention.head_count", [one[True].heads if True in one else 0 for one in each])
            put("attention.head_count_kv", [one[True].kv_heads if True in one else 0 for one in each])
            put("feed_forward_length", [one[False].d_ff if False in one else 0 for one in each])
            for key in ("key_length", "value_length"):
                put(f"attention.{key}", d_model // heads)
        case "mimo2":
            put("attention.head_count_kv", [c["swa_num_key_value_heads"] if one else c["num_key_value_heads"] for one in sliding])
            put("attention.sliding_window", c["sliding_window"] - 1)
            put("attention.sliding_window_pattern", [int(one) for one in sliding])
            put("attention.value_length", c["v_head_dim"])
            put("attention.value_scale", c["attention_value_scale"])
            put("expert_feed_forward_length", width)
            put("expert_gating_func", 2)
            put("rope.dimension_count", turned)
            put("rope.freq_base_swa", local)
        case "step35":
            near, far = c["num_sliding_attention_heads"], c["num_attention_heads"]
            put("attention.head_count", [near if one else far for one in sliding[:depth]])
            put("attention.head_count_kv", [c["num_key_value_heads"]] * depth)
            put("attention.sliding_window", c["sliding_window"])
            put("attention.sliding_window_pattern", sliding[:depth])
            put("expert_feed_forward_length", width)
            put("expert_shared_feed_forward_length", c["share_expert_dim"])
            put("expert_weights_scale", c["moe_router_scaling_factor"])
            put("expert_weights_norm", True)
            put("expert_gating_func", 2)
            put("leading_dense_block_count", c["mlp_layer_types"].index("sparse"))
            put("moe_every_n_layers", 1)
            put("rope.freq_base_swa", local)
            put("swiglu_clamp_exp", c["swiglu_limits"][:depth])
            put("swiglu_clamp_shexp", c["swiglu_limits_shared"][:depth])
    match arch:
        case "deepseek2" | "glm-dsa" | "mistral4":
            put("attention.head_count_kv", 1)
            put("leading_dense_block_count", c["first_k_dense_replace"])
            put("attention.q_lora_rank", c["q_lora_rank"])
            put("attention.kv_lora_rank", c["kv_lora_rank"])
            put("attention.key_length", c["kv_lora_rank"] + c["qk_rope_head_dim"])
            put("attention.value_length", c["kv_lora_rank"])
            put("attention.key_length_mla", c["qk_nope_head_dim"] + c["qk_rope_head_dim"])
            put("attention.value_length_mla", c["v_head_dim"])
            put("expert_feed_forward_length", width or c["intermediate_size"])
            put("expert_shared_count", c.get("n_shared_experts") or 0)
            put("expert_weights_scale", c.get("routed_scaling_factor"))
            put("expert_weights_norm", c.get("norm_topk_prob") or None)
            put("rope.dimension_count", c["qk_rope_head_dim"])
            put("nextn_predict_layers", nextn or None)
            put("expert_gating_func", 2 if c.get("scoring_func", "sigmoid") == "sigmoid" and width else None)
            if rope.get("mscale_all_dim"):
                put("rope.scaling.yarn_log_multiplier", 0.1 * rope["mscale_all_dim"])
            if arch == "mistral4":
                put("expert_gating_func", 1)
                put("attention.temperature_scale", rope["llama_4_scaling_beta"])
        case "chatglm":
            put("rope.freq_base", 1e4 * c["rope_ratio"])
            put("rope.dimension_count", d_model // heads // 2)
        case "stablelm" | "nemotron" | "glm4":
            put("rope.dimension_count", turned)
        case "glm4moe":
            put("rope.dimension_count", turned)
            put("expert_feed_forward_length", width)
            put("expert_shared_count", c["n_shared_experts"])
            put("leading_dense_block_count", c.get("first_k_dense_replace", 0))
            put("expert_gating_func", 2)
            put("expert_weights_scale", c["routed_scaling_factor"])
            put("expert_weights_norm", c["norm_topk_prob"])
            put("nextn_predict_layers", nextn)
        case "nemotron_h" | "nemotron_h_moe":
            pattern = c["hybrid_override_pattern"]
            put("attention.head_count_kv", [c["num_key_value_heads"] if one == "*" else 0 for one in pattern])
            put("feed_forward_length", [(width or c["intermediate_size"]) if one in "-E" else 0 for one in pattern])
            put("ssm.inner_size", c["mamba_num_heads"] * c["mamba_head_dim"])
            put("ssm.conv_kernel", c["conv_kernel"])
            put("ssm.state_size", c["ssm_state_size"])
            put("ssm.group_count", c["n_groups"])
            put("ssm.time_step_rank", c["mamba_num_heads"])
            put("attention.layer_norm_rms_epsilon", said.pop("attention.layer_norm_epsilon"))
            put("rope.scaling.finetuned", False)
            if arch.endswith("moe"):
                put("expert_feed_forward_length", width)
                put("expert_shared_feed_forward_length", c["moe_shared_expert_intermediate_size"])
                put("expert_shared_count", c.get("n_shared_experts", 1))
                put("expert_weights_norm", c["norm_topk_prob"])
                put("expert_weights_scale", c["routed_scaling_factor"])
                put("moe_latent_size", c.get("moe_latent_size"))
                said.pop("expert_group_used_count", None)
        case "exaone":
            put("rope.dimension_count", head_dim)
        case "exaone4" | "exaone-moe":
            put("attention.sliding_window", c.get("sliding_window"))
            put("attention.sliding_window_pattern", sliding or None)
            if arch == "exaone-moe":
                put("expert_feed_forward_length", width)
                put("expert_shared_count", c["num_shared_experts"])
                put("expert_shared_feed_forward_length", width * c["num_shared_experts"])
                put("expert_weights_scale", c["routed_scaling_factor"])
                put("expert_weights_norm", c["norm_topk_prob"])
                put("leading_dense_block_count", c["mlp_layer_types"].count("dense"))
                put("nextn_predict_layers", nextn)
                put("rope.scaling.type", "none")
        case "granitehybrid":
            here = [word == "attention" or word == "full_attention" for word in c["layer_types"]]
            put("attention.head_count_kv", [c["num_key_value_heads"] if one else 0 for one in here])
            put("expert_shared_feed_forward_length", c["shared_intermediate_size"])
            put("ssm.inner_size", c["mamba_n_heads"] * c["mamba_d_head"])
            put("ssm.conv_kernel", c["mamba_d_conv"])
            put("ssm.state_size", c["mamba_d_state"])
            put("ssm.group_count", c["mamba_n_groups"])
            put("ssm.time_step_rank", c["mamba_n_heads"])
            put("rope.scaling.finetuned", False)
            put("context_length", 2**20)
            put("vocab_size", c["vocab_size"])
            put("rope.dimension_count", head_dim)
            said.pop("attention.key_length")
            said.pop("attention.value_length")
        case "ernie4_5-moe":
            put("expert_count", c["moe_num_experts"])
            put("expert_used_count", c["moe_k"])
            put("interleave_moe_layer_step", c["moe_layer_interval"])
            put("leading_dense_block_count", c["moe_layer_start_index"])
            put("expert_feed_forward_length", width)
            put("expert_shared_count", c["moe_num_shared_experts"])
        case "hunyuan-moe":
            put("expert_used_count", c["moe_topk"])
            put("expert_shared_feed_forward_length", c["intermediate_size"])
            put("expert_feed_forward_length", c["intermediate_size"])
            put("expert_shared_count", 1)
        case "gpt-oss":
            put("attention.sliding_window", c["sliding_window"])
            put("expert_feed_forward_length", c["intermediate_size"])
        case "lfm2" | "lfm2moe":
            put("attention.head_count_kv", [0 if word == "conv" else c["num_key_value_heads"] for word in c["layer_types"]])
            put("shortconv.l_cache", c["conv_L_cache"])
            put("vocab_size", c["vocab_size"])
            if arch == "lfm2moe":
                put("expert_feed_forward_length", width)
                put("leading_dense_block_count", c["num_dense_layers"])
                put("expert_gating_func", 2)
        case "minicpm":
            put("embedding_scale", c["scale_emb"])
            put("residual_scale", c["scale_depth"] / depth**0.5)
            put("logit_scale", d_model / c["dim_model_base"])
        case "minicpm3":
            put("attention.q_lora_rank", c["q_lora_rank"])
            put("attention.kv_lora_rank", c["kv_lora_rank"])
            put("attention.key_length", c["qk_nope_head_dim"] + c["qk_rope_head_dim"])
            put("rope.dimension_count", c["qk_rope_head_dim"])
            put("attention.head_count_kv", heads)
            said.pop("attention.value_length", None)
        case "minimax-m2":
            put("expert_feed_forward_length", c["intermediate_size"])
            put("rope.dimension_count", turned)
            put("expert_gating_func", 2)
        case "grok":
            put("attn_logit_softcapping", c.get("attn_logit_softcapping"))
            put("router_logit_softcapping", c.get("router_logit_softcapping"))
            put("final_logit_softcapping", c.get("final_logit_softcapping"))
            put("expert_feed_forward_length", width)
            put("embedding_scale", c["embedding_multiplier_scale"])
            put("logit_scale", c["output_multiplier_scale"])
            put("attention.temperature_length", c.get("attn_temperature_len"))
            if c["model_type"] == "grok-1":
                put("attn_logit_softcapping", c["max_attn_value"])
                put("attention.output_scale", c["attn_output_multiplier"])
                put("router_logit_softcapping", 30.0)
        case "rwkv7":
            put("context_length", 2**20)
            put("attention.layer_norm_epsilon", said.pop("attention.layer_norm_rms_epsilon"))
            put("attention.head_count", 0)
            put("wkv.head_size", c["head_dim"])
            for key, name in (("decay", "decay"), ("iclr", "a"), ("value_residual_mix", "v"), ("gate", "gate")):
                put(f"attention.{key}_lora_rank", c[f"{name}_low_rank_dim"])
            said.pop("attention.key_length")
            said.pop("attention.value_length")
        case "falcon-h1":
            put("ssm.inner_size", c["mamba_d_ssm"])
            put("ssm.conv_kernel", c["mamba_d_conv"])
            put("ssm.state_size", c["mamba_d_state"])
            put("ssm.group_count", c["mamba_n_groups"])
            put("ssm.time_step_rank", c["mamba_n_heads"])
        case "kimi-linear":
            full = [word == "full_attention" for word in c["layer_types"]]
            put("attention.head_count_kv", [int(one) for one in full])
            put("ssm.conv_kernel", c["linear_conv_kernel_dim"])
            put("kda.head_dim", c["linear_head_dim"])
            put("attention.kv_lora_rank", c["kv_lora_rank"])
            put("rope.dimension_count", c["qk_rope_head_dim"])
            put("attention.key_length", c["kv_lora_rank"] + c["qk_rope_head_dim"])
            put("attention.key_length_mla", c["qk_nope_head_dim"] + c["qk_rope_head_dim"])
            put("attention.value_length_mla", c["v_head_dim"])
            put("expert_feed_forward_length", width)
            put("expert_shared_count", c["num_shared_experts"])
            put("leading_dense_block_count", c["mlp_layer_types"].count("dense"))
            put("expert_weights_scale", c["routed_scaling_factor"])
            put("expert_gating_func", 2)
    if arch in ("qwen3next", "qwen35", "qwen35moe"):
        put("ssm.conv_kernel", c["linear_conv_kernel_dim"])
        put("ssm.state_size", c["linear_key_head_dim"])
        put("ssm.group_count", c["linear_num_key_heads"])
        put("ssm.time_step_rank", c["linear_num_value_heads"])
        put("ssm.inner_size", c["linear_value_head_dim"] * c["linear_num_value_heads"])
        put("full_attention_interval", c["layer_types"].index("full_attention") + 1)
        put("rope.dimension_count", turned)
    if arch in ("dots1", "bailingmoe", "bailingmoe2"):
        put("leading_dense_block_count", c["first_k_dense_replace"])
        put("expert_shared_count", find("n_shared_experts", "num_shared_experts"))
        put("expert_weights_scale", c.get("routed_scaling_factor", 1.0))
        put("expert_weights_norm", c.get("norm_topk_prob", True))
        put("rope.dimension_count", turned)
        put("nextn_predict_layers", nextn or None)
    if arch in ("granite", "granitemoe", "granitehybrid"):
        put("attention.scale", c.get("attention_multiplier"))
        put("embedding_scale", c.get("embedding_multiplier"))
        put("residual_scale", c.get("residual_multiplier"))
        put("logit_scale", c.get("logits_scaling"))
        put("expert_shared_feed_forward_length", c.get("shared_intermediate_size"))
    if arch == "afmoe":
        put("expert_shared_count", c["num_shared_experts"])
        put("expert_feed_forward_length", width)
        put("leading_dense_block_count", c["num_dense_layers"])
        put("expert_weights_norm", True)
        put("expert_weights_scale", c["route_scale"])
        put("attention.sliding_window", c["sliding_window"])
    if arch == "mistral3" and "llama_4_scaling_beta" in rope:
        put("rope.scaling.yarn_log_multiplier", rope["mscale_all_dim"])
        put("attention.temperature_scale", rope["llama_4_scaling_beta"])
    return said


def ropes(config: dict[str, Any]) -> dict[str, list[float]]:
    """The tensors that say how a rope is stretched."""
    found = config.get("rope_parameters") or {}
    rope = found.get("full_attention", found) or config.get("rope_scaling") or {}
    heads = config.get("num_attention_heads")
    dim = config.get("head_dim") or (config["hidden_size"] // heads if heads else 0)
    if rope.get("rope_type") == "longrope":
        return {f"rope_factors_{which}.weight": rope[f"{which}_factor"] for which in ("long", "short")}
    if rope.get("rope_type") == "proportional":
        half, ones = config["global_head_dim"] // 2, int(config["global_head_dim"] * rope["partial_rotary_factor"] / 2)
        return {"rope_freqs.weight": [1.0] * ones + [1e30] * (half - ones)}
    if rope.get("rope_type") != "llama3":
        return {}
    base, factor, old = (
        config.get("rope_theta") or rope.get("rope_theta", 10_000.0),
        rope["factor"],
        rope["original_max_position_embeddings"],
    )
    low, high = old / rope["low_freq_factor"], old / rope["high_freq_factor"]
    factors = []
    for i in range(0, dim, 2):
        length = 2 * math.pi * base ** (i / dim)
        smooth = (old / length - rope["low_freq_factor"]) / (rope["high_freq_factor"] - rope["low_freq_factor"])
        factors.append(1.0 if length < high else factor if length > low else 1 / ((1 - smooth) / factor + smooth))
    return {"rope_freqs.weight": factors}


def shapes(arch: Any, config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Every tensor's name, from gguf's table of the family's module names, and shape."""
    kind = arch_of(config)
    gguf.TensorNameMap.block_mappings_cfg = dict(TABLE)  # which making a map for Arctic changes for all others
    known = gguf.get_tensor_name_map(next(k for k, name in gguf.MODEL_ARCH_NAMES.items() if name == kind), arch.depth)
    model = build(arch)
    own = {path: tuple(tensor.shape) for path, tensor in (*model.named_parameters(), *model.named_buffers())}
    named: dict[str, list[tuple[int, ...]]] = defaultdict(list)
    for path, ways in BY_TYPE[config["model_type"]].sources(arch):
        if path not in own:
            continue
        at = re.sub(r"^layers\.(\d+)\..*", r"blk.\1.", path) if path.startswith("layers.") else ""
        tail = path.split(".", 3)[3] if at else path
        if theirs := _special(kind, tail, path, arch):
            for name, shape in theirs:
                named[at + name] = [shape or own[path]]
            continue
        if tail.startswith("activation."):
            continue
        name = next((found for way in ways for one in way.names if (found := _mapped(one, known))), None)
        assert name, f"{kind}: {path} {ways[0].names[:2]}"
        name += ".weight" if kind == "rwkv7" and not name.endswith((".weight", ".bias")) else ""
        if kind not in FUSED and tail in ("q.weight", "k.weight", "v.weight", "q.bias", "k.bias", "v.bias") and "attn_qkv" in name:
            name = name.replace("attn_qkv", f"attn_{tail[0]}")
        if kind not in ("phi3", "chatglm", "glm4") and tail in ("gate.weight", "up.weight") and "ffn_up" in name:
            name = name.replace("ffn_up", f"ffn_{tail.split('.')[0]}")
        named[name].append(own[path])
    return {name: (sum(shape[0] for shape in them), *them[0][1:]) for name, them in named.items()}


def _mapped(plain: str, known: Any) -> str | None:
    name = re.sub(r"(\.experts)\.\d+\.", r"\1.", plain)
    base = name.removesuffix("_bias")
    rwkv = name
    for ours, theirs in RWKV.items():
        rwkv = rwkv.replace(ours, theirs)
    tried = (
        name, f"model.{name}", base, f"{base}.bias", name.removeprefix("transformer."), name.removeprefix("model."),
        name.replace("model.", "backbone.", 1), rwkv,
    )  # fmt: skip
    return next((found for one in tried if (found := known.get_name(one, try_suffixes=(".weight", ".bias")))), None)


def _special(kind: str, tail: str, path: str, arch: Any) -> list[tuple[str, tuple[int, ...] | None]]:
    """What converters themselves name, split, merge or stack."""
    part = arch.parts.get(path.split(".")[2]) if path.startswith("layers.") else None
    plain = {
        "experts.gate": "ffn_gate_exps.weight", "experts.up": "ffn_up_exps.weight", "experts.down": "ffn_down_exps.weight",
        "experts.gate_bias": "ffn_gate_exps.bias", "experts.up_bias": "ffn_up_exps.bias", "experts.down_bias": "ffn_down_exps.bias",
        "router.selection_bias": "exp_probs_b.bias", "core.sinks": "attn_sinks.weight", "scan.A_log": "ssm_a", "rule.A_log": "ssm_a",
        "scan.D": "ssm_d", "scan.dt_bias": "ssm_dt.bias", "rule.dt_bias": "ssm_dt.bias",
    }  # fmt: skip
    if tail == "sub_norm.weight":
        return [("attn_sub_norm.weight" if part.mixes else "ffn_sub_norm.weight", None)]
    if kind in ("internlm2", "bailingmoe") and tail in ("q.weight", "k.weight", "v.weight"):
        return [(f"attn_{tail}", None)]
    if tail == "o.weight" and kind == "bailingmoe":
        return [("attn_output.weight", None)]
    if tail == "router.weight" and kind == "granitemoe":
        return [("ffn_gate_inp.weight", None)]
    if kind == "rwkv7" and tail in ("shift.weight", "rule.bonus"):
        mixes = part.kind == "rwkv7_time_mix"
        name = {"shift.weight": "time_mix_lerp_fused" if mixes else "channel_mix_lerp_k", "rule.bonus": "time_mix_r_k"}[tail]
        return [(f"{name}.weight", (6, 1, 1, arch.d_model) if name == "time_mix_lerp_fused" else (arch.d_model,))]
    if tail == "scale" and "_read" in path:
        return [("altup_correct_scale.weight", None)]
    if kind == "kimi-linear" and part is not None and part.kind == "kimi_delta" and tail in ("qkv.weight", "convolve.weight"):
        rows = part.heads * part.head_dim
        if tail == "qkv.weight":
            return [(f"attn_{one}.weight", (rows, arch.d_model)) for one in "qkv"]
        return [(f"ssm_conv1d_{one}.weight", (1, rows, 1, part.kernel)) for one in "qkv"]
    if kind == "gemma4" and tail in (own := {
        "router.scale": "ffn_gate_inp.scale", "router.expert_scale": "ffn_down_exps.scale", "shared.gate.weight": "ffn_gate.weight",
        "shared.up.weight": "ffn_up.weight", "shared.down.weight": "ffn_down.weight", "shared_norm.weight": "ffn_norm.weight",
        "shared_post_norm.weight": "post_ffw_norm_1.weight", "experts_norm.weight": "pre_ffw_norm_2.weight",
        "experts_post_norm.weight": "post_ffw_norm_2.weight", "router.weight": "ffn_gate_inp.weight",
    }):  # fmt: skip
        return [(own[tail], None)]
    if tail == "weight" and path.endswith("layer_scale.weight"):
        return [("layer_output_scale.weight", None)]
    if re.match(r"(split|merge)\.projections\.", path):
        name = "altup_proj" if path.startswith("split") else "altup_unembd_proj"
        return [(f"{name}.weight", (arch.residual.streams - 1, arch.d_model, arch.d_model))]
    if tail in ("shared.gate.weight", "shared.up.weight", "shared.down.weight"):
        return [(f"ffn_{tail.split('.')[1]}_shexp.weight", None)]
    if tail == "kv_up.weight" and kind in ("deepseek2", "kimi-linear", "mistral4"):
        return [("attn_k_b.weight", (part.heads, part.kv_rank, part.nope_dim)), ("attn_v_b.weight", (part.heads, part.v_dim, part.kv_rank))]
    if part is not None and part.kind == "gated_delta_net":
        if tail in ("beta.weight", "decay.weight") and kind == "qwen3next":
            return [("ssm_ba.weight", (2 * part.heads, arch.d_model))]
        return {
            "qkv.weight": [("attn_qkv.weight", None)], "z.weight": [("attn_gate.weight", None)], "beta.weight": [("ssm_beta.weight", None)],
            "decay.weight": [("ssm_alpha.weight", None)], "convolve.weight": [("ssm_conv1d.weight", (part.channels, part.kernel))],
            "out_norm.weight": [("ssm_norm.weight", None)], "o.weight": [("ssm_out.weight", None)],
        }.get(tail) or [(plain[tail], None)]  # fmt: skip
    if part is not None and getattr(part, "gate", None) and tail in ("q.weight", "gate.weight") and kind not in ("afmoe", "step35"):
        return [("attn_q.weight", (2 * part.heads * part.head_dim, arch.d_model))]
    return [(plain[tail], None)] if tail in plain else []


def put_all(writer: gguf.GGUFWriter, name: str, config: dict[str, Any]) -> None:
    for key, value in metadata(config).items():
        full = f"{name}.{key}"
        match value:
            case bool():
                writer.add_bool(full, value)
            case int():
                writer.add_uint32(full, value)
            case float():
                writer.add_float32(full, value)
            case str():
                writer.add_string(full, value)
            case _:
                writer.add_array(full, value)
    writer.add_array("tokenizer.ggml.tokens", ["a"] * 4_097)


def whole(path: Path, config: dict[str, Any], arch: Any) -> None:
    """A whole file, whose matrices are zeros."""
    writer = gguf.GGUFWriter(path, arch_of(config))
    writer.add_name(path.stem)
    put_all(writer, arch_of(config), config)
    for name, shape in shapes(arch, config).items():
        writer.add_tensor(name, np.zeros(shape, np.float32))
    for name, values in ropes(config).items():
        writer.add_tensor(name, np.array(values, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def written(path: Path, config: dict[str, Any], arch: Any, kind: Any = None, tensors: Mapping[str, Any] | None = None) -> bytes:
    """A header without the tensors' bytes; all matrices in `kind`, or each as `tensors` says."""
    name = arch_of(config)
    writer = gguf.GGUFWriter(path, name)
    put_all(writer, name, config)
    for key, values in ropes(config).items():
        writer.add_array(f"strata.values.{key}", [float(one) for one in values])
    F32 = gguf.GGMLQuantizationType.F32
    for tensor, shape in {**shapes(arch, config), **{key: (len(one),) for key, one in ropes(config).items()}}.items():
        chosen = (tensors or {}).get(tensor, kind if len(shape) > 1 and kind is not None else F32)
        block, width = gguf.GGML_QUANT_SIZES[chosen]
        if shape[-1] % block:
            chosen, (block, width) = F32, gguf.GGML_QUANT_SIZES[F32]
        size = math.prod(shape) // block * width
        writer.tensors[0][tensor] = gguf.gguf_writer.TensorInfo(shape=shape, dtype=chosen, nbytes=size)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    return path.read_bytes()
