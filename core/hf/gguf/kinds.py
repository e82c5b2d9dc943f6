"""The architectures of llama.cpp one after another: the family that reads each, and what its header leaves out."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any

from ...spec import Unsupported
from ..families import openelm
from .positions import by_frequency, listed, yarn_log
from .said import BY_LAYER, FULL, GATING, SLIDING, Made, Said


def _nothing(said: Said, made: Made) -> None:
    pass


@dataclass(frozen=True)
class Kind:
    """One of llama.cpp's architectures: the family that reads it, what it calls the keys of MEANINGS, what always holds in it."""

    model_type: str
    names: Mapping[str, str] = field(default_factory=dict)  # of MEANINGS -> the family's; "" for what says nothing new
    always: Mapping[str, Any] = field(default_factory=dict)
    biases: Mapping[str, str] = field(default_factory=dict)  # the family's switch -> the tensor that tells
    more: Callable[[Said, Made], None] = _nothing  # changes the config.json
    rope: bool = True
    gating: tuple[int, ...] = ()  # values of expert_gating_func that it may have
    tied: bool = True  # has tie_word_embeddings


def _llama(said: Said, made: Made) -> None:
    if said.count("expert_count", 0):
        made |= {"model_type": "mixtral", "num_local_experts": made.pop("num_experts")}
        made.pop("moe_intermediate_size", None)
        return
    for name in ("num_experts", "num_experts_per_tok"):  # zeros of files that were made long ago
        made.pop(name, None)
    made |= {"attention_bias": said.has("attn_q.bias"), "mlp_bias": said.has("ffn_up.bias")}


def _llama4(said: Said, made: Made) -> None:
    step, dense = made.pop("interleave_moe_layer_step"), made.pop("first_k_dense_replace", 0)
    said.expect("leading_dense_block_count", 0)
    chunked = ["full_attention" if (layer + 1) % 4 == 0 else "chunked_attention" for layer in range(said.depth)]
    made |= {
        "intermediate_size_mlp": made["intermediate_size"], "intermediate_size": made.pop("moe_intermediate_size"),
        "num_local_experts": made.pop("num_experts"), "attention_bias": said.has("attn_q.bias"),
        "attention_chunk_size": said.count("attention.chunk_size", 8_192), "layer_types": chunked,
        "no_rope_layers": [int((layer + 1) % 4 != 0) for layer in range(said.depth)],
        "moe_layers": [layer for layer in range(said.depth) if step and (layer + 1) % step == 0 and layer >= dense],
        "use_qk_norm": said.count("expert_count") != 128, "attn_temperature_tuning": True, "attn_scale": 0.1, "floor_scale": 8_192,
    }  # fmt: skip


def _gpt(said: Said, made: Made) -> None:
    said.expect("attention.head_count_kv", said.heads)
    made.pop("num_key_value_heads", None)


def _big_code(said: Said, made: Made) -> None:
    made["multi_query"] = said.same("attention.head_count_kv", said.heads) == 1
    made.pop("num_key_value_heads", None)


def _neox(said: Said, made: Made) -> None:
    _gpt(said, made)
    made |= {"use_parallel_residual": said.get("use_parallel_residual", True), "rotary_emb_base": made.pop("rope_theta")}
    made["rotary_pct"] = made.pop("partial_rotary_factor", 1.0)


def _mpt(said: Said, made: Made) -> None:
    bias = said.number("attention.max_alibi_bias", 0.0)
    made["attn_config"] = {"alibi": bias > 0} | ({"alibi_bias_max": bias} if bias else {})
    if "clip_qkv" in made:
        made["attn_config"]["clip_qkv"] = made.pop("clip_qkv")
    _gpt(said, made)
    if made.pop("intermediate_size") != 4 * said.d_model:
        raise said.refuse("feed_forward_length", f"this family has {4 * said.d_model:,}")


def _bloom(said: Said, made: Made) -> None:
    _gpt(said, made)
    if made.pop("intermediate_size") != 4 * said.d_model:
        raise said.refuse("feed_forward_length", f"this family has {4 * said.d_model:,}")


def _falcon(said: Said, made: Made) -> None:
    groups, two = said.same("attention.head_count_kv", said.heads), said.has("attn_norm_2.weight")
    new = two or groups not in (1, said.heads)
    made.pop("num_key_value_heads", None)
    made |= {"new_decoder_architecture": new, "multi_query": groups == 1 and not new, "num_kv_heads": groups}
    if new:
        made["num_ln_in_parallel_attn"] = 2 if two else 1


def _baichuan(said: Said, made: Made) -> None:
    _gpt(said, made)
    if said.depth == 40:  # the 13B models, which llama.cpp too knows by their depth
        made["model_max_length"] = made.pop("max_position_embeddings")
    made.pop("rope_theta")


def _grok(said: Said, made: Made) -> None:
    """Grok-2 has a dense network beside its experts, Grok-1 has none."""
    made["rope_theta"] = said.number("rope.freq_base", 10_000.0)
    made |= {"embedding_multiplier_scale": made.pop("embedding_multiplier"), "output_multiplier_scale": made.pop("logit_scale")}
    scale, cap = said.number("attention.output_scale", 0.0), made["attn_logit_softcapping"]
    if not said.has("ffn_up.weight"):
        made |= {"model_type": "grok-1", "attn_output_multiplier": scale, "max_attn_value": made.pop("attn_logit_softcapping")}
        for name in ("router_logit_softcapping", "moe_intermediate_size"):
            made.pop(name, None)
        return
    if math.isclose(made["embedding_multiplier_scale"], said.d_model**0.5, rel_tol=1e-6):
        made["embedding_multiplier_scale"] = said.d_model**0.5
    for key in [key for key in said.left if key.startswith("rope.")]:
        said.get(key)  # Grok-2's file says them, and its own code does not read them
    made |= {
        "architectures": ["Grok1ForCausalLM"], "num_local_experts": made.pop("num_experts"), "attn_logit_softcapping": cap,
        "rope_type": "original", "residual_moe": True, "attn_temperature_len": said.count("attention.temperature_length"),
    }  # fmt: skip


def _qwen(said: Said, made: Made) -> None:
    _gpt(said, made)
    made |= {"kv_channels": said.head_dim, "rotary_emb_base": made.pop("rope_theta"), "seq_length": made["max_position_embeddings"]}


def _qwen2(said: Said, made: Made) -> None:
    made["use_sliding_window"] = False


def _qwen_moe(said: Said, made: Made) -> None:
    made |= {"decoder_sparse_step": 1, "mlp_only_layers": []}


def _delta_net(said: Said, made: Made) -> None:
    """Qwen3-Next's and Qwen3.5's linear layers."""
    heads, step = said.count("ssm.time_step_rank"), said.count("full_attention_interval", 4, least=1)
    inner = said.count("ssm.inner_size")
    made |= {
        "linear_conv_kernel_dim": made.pop("conv_kernel"), "linear_key_head_dim": made.pop("state_size"),
        "linear_num_key_heads": made.pop("n_groups"), "linear_num_value_heads": made.pop("time_step_rank"),
        "linear_value_head_dim": inner // max(heads, 1),
        "layer_types": [FULL if (layer + 1) % step == 0 else "linear_attention" for layer in range(said.depth)],
    }  # fmt: skip
    made.setdefault("partial_rotary_factor", 1.0)


def _qwen3_next(said: Said, made: Made) -> None:
    _delta_net(said, made)
    _qwen_moe(said, made)
    made.pop("intermediate_size", None)


def _qwen3_5(said: Said, made: Made) -> None:
    _delta_net(said, made)
    made["mtp_num_hidden_layers"] = made.pop("num_nextn_predict_layers", 0)
    if "num_experts" in made:
        made.pop("intermediate_size", None)


def _phi(said: Said, made: Made) -> None:
    made["qk_layernorm"] = said.has("attn_q_norm.weight")


def _phi3(said: Said, made: Made) -> None:
    window = made.pop("sliding_window", 0) or None
    made |= {"sliding_window": window, "layer_types": [SLIDING if window else FULL] * said.depth}
    made.setdefault("partial_rotary_factor", 1.0)
    scaling = made.get("rope_scaling")
    if scaling:
        made["original_max_position_embeddings"] = scaling["original_max_position_embeddings"]


def _phi_moe(said: Said, made: Made) -> None:
    made["lm_head_bias"] = "output.bias" in said.header.tensors
    made["sliding_window"] = made.pop("sliding_window", 0) or None
    if scaling := made.get("rope_scaling"):
        made["original_max_position_embeddings"] = original = scaling["original_max_position_embeddings"]
        scale = made["max_position_embeddings"] / original
        usual = math.sqrt(1 + math.log(scale) / math.log(original)) if scale > 1 else 1.0
        magnitude = scaling.pop("attention_factor", usual)
        scaling |= {"short_mscale": magnitude, "long_mscale": magnitude}


def _plamo(said: Said, made: Made) -> None:
    groups = said.same("attention.head_count_kv", said.heads)
    made["n_shared_head"] = said.heads // max(groups, 1)
    made.pop("num_key_value_heads", None)
    made.pop("rope_theta")


def _minicpm(said: Said, made: Made) -> None:
    depth = round(made.pop("residual_multiplier", 1.0) * math.sqrt(said.depth), 6)
    base = round(said.d_model / made.pop("logit_scale", 1.0))
    made |= {"scale_emb": made.pop("embedding_multiplier", 1.0), "scale_depth": float(f"{depth:.5g}"), "dim_model_base": base}


def _minicpm3(said: Said, made: Made) -> None:
    rope = said.count("rope.dimension_count", least=1)
    made |= {
        "qk_rope_head_dim": rope,
        "qk_nope_head_dim": said.head_dim - rope,
        "v_head_dim": said.shape("attn_output.weight")[1] // said.heads,
    }
    for name in ("head_dim", "partial_rotary_factor"):
        made.pop(name, None)
    made |= {"scale_emb": 12.0, "scale_depth": 1.4, "dim_model_base": 256}  # which llama.cpp too has in its code
    made["num_key_value_heads"] = said.heads


def _gemma(said: Said, made: Made) -> None:
    made["tie_word_embeddings"] = True


def _gemma2(said: Said, made: Made) -> None:
    made |= {"tie_word_embeddings": True, "layer_types": said.windows(2)}
    made["query_pre_attn_scalar"] = said.d_model // said.heads if said.depth == 46 else said.head_dim  # 46 layers: the 27B model


def _gemma3(said: Said, made: Made) -> None:
    made |= {"tie_word_embeddings": True, "layer_types": said.windows(6) if "sliding_window" in made else [FULL] * said.depth}
    made["query_pre_attn_scalar"] = said.d_model // said.heads if said.depth == 62 else said.head_dim  # 62 layers: the 27B model
    made["rope_local_base_freq"] = said.number("rope.freq_base_swa", 10_000.0)
    made.setdefault("sliding_window", 4_096)


def _gemma3n(said: Said, made: Made) -> None:
    local, far = said.number("rope.freq_base_swa", 10_000.0), made.pop("rope_theta")
    sparse = said.get("activation_sparsity_scale", [])
    if not isinstance(sparse, list) or not all(type(one) in (int, float) for one in sparse):
        raise said.refuse("activation_sparsity_scale", "give a number for each layer")
    made |= {
        "tie_word_embeddings": True, "layer_types": said.windows(5), "intermediate_size": said.each("feed_forward_length"),
        "rope_parameters": {SLIDING: {"rope_theta": local, "rope_type": "default"}, FULL: {"rope_theta": far, "rope_type": "default"}},
        "activation_sparsity_pattern": [round(NormalDist().cdf(one), 4) if math.isfinite(one) else 0.0 for one in sparse],
        "altup_active_idx": said.count("altup.active_idx", 0), "altup_num_inputs": said.count("altup.num_inputs", 4),
        "altup_correct_scale": said.has("altup_correct_scale.weight"), "laurel_rank": said.shape("laurel_l.weight")[0],
        "vocab_size_per_layer_input": said.shape("per_layer_token_embd.weight")[0],
    }  # fmt: skip


def _gemma4(said: Said, made: Made) -> None:
    types, groups, widths = said.windows(6), said.each("attention.head_count_kv"), said.each("feed_forward_length")
    near = {one for one, kind in zip(groups, types) if kind == SLIDING}
    far = {one for one, kind in zip(groups, types) if kind == FULL}
    if len(near) > 1 or len(far) > 1:
        raise said.refuse("attention.head_count_kv", "layers of one kind differ")
    full = next((layer for layer, kind in enumerate(types) if kind == FULL), 0)
    shared = f"blk.{full}.attn_v.weight" not in said.header.tensors and FULL in types
    ones = listed(said, "rope_freqs.weight").count(1.0) if "rope_freqs.weight" in said.header.tensors else said.head_dim // 2
    said.count("rope.dimension_count", said.head_dim)
    local = said.count("attention.key_length_swa", said.head_dim)
    for key in ("attention.value_length_swa", "rope.dimension_count_swa"):
        said.expect(key, local)
    base = said.number("rope.freq_base", 1_000_000.0)
    made |= {
        "tie_word_embeddings": True, "layer_types": types, "head_dim": local, "global_head_dim": said.head_dim,
        "num_key_value_heads": (near or far).pop(), "attention_k_eq_v": shared,
        "num_global_key_value_heads": next(iter(far), None) if shared else None,
        "intermediate_size": min(widths), "use_double_wide_mlp": min(widths) != max(widths),
        "final_logit_softcapping": made.get("final_logit_softcapping"), "enable_moe_block": "num_experts" in made,
        "rope_parameters": {
            SLIDING: {"rope_type": "default", "rope_theta": said.number("rope.freq_base_swa", 10_000.0)},
            FULL: {"rope_type": "proportional", "rope_theta": base, "partial_rotary_factor": 2 * ones / said.head_dim, "factor": 1.0},
        },
    }  # fmt: skip
    if "num_experts" in made:
        made["top_k_experts"] = made.pop("num_experts_per_tok")
    if made.get("hidden_size_per_layer_input"):
        made["vocab_size_per_layer_input"] = said.shape("per_layer_token_embd.weight")[0]


def _rwkv7(said: Said, made: Made) -> None:
    for name in ("num_attention_heads", "num_key_value_heads"):
        made.pop(name, None)
    said.count("token_shift_count", 2)
    made |= {
        "head_dim": said.count("wkv.head_size"), "decay_low_rank_dim": said.count("attention.decay_lora_rank"),
        "a_low_rank_dim": said.count("attention.iclr_lora_rank"), "gate_low_rank_dim": said.count("attention.gate_lora_rank"),
        "v_low_rank_dim": said.count("attention.value_residual_mix_lora_rank"),
    }  # fmt: skip


def _mamba(said: Said, made: Made) -> None:
    for name in ("intermediate_size", "num_attention_heads", "num_key_value_heads", "max_position_embeddings"):
        made.pop(name, None)
    made["intermediate_size"] = said.count("ssm.inner_size")
    made["layer_norm_epsilon"] = made.pop("rms_norm_eps")
    if said.get("ssm.dt_b_c_rms"):
        made |= {"model_type": "falcon_mamba"}


def _mamba2(said: Said, made: Made) -> None:
    _mamba(said, made)
    inner, heads = made.pop("intermediate_size"), made.pop("time_step_rank")
    if not heads or inner % heads or inner % said.d_model:
        raise said.refuse("ssm.inner_size", f"it must divide into {heads} heads, and be a multiple of {said.d_model:,}")
    made |= {"num_heads": heads, "head_dim": inner // heads, "expand": inner // said.d_model}


def _jamba(said: Said, made: Made) -> None:
    groups = said.each("attention.head_count_kv")
    where = [layer for layer, one in enumerate(groups) if one]
    routed = sorted(int(name.split(".")[1]) for name in said.header.tensors if name.endswith("ffn_gate_inp.weight"))
    made |= {"num_key_value_heads": said.same("attention.head_count_kv"), "mamba_d_conv": made.pop("conv_kernel")}
    made |= {"mamba_d_state": made.pop("state_size"), "mamba_dt_rank": made.pop("time_step_rank")}
    made["mamba_expand"] = said.count("ssm.inner_size") // said.d_model
    for name, layers in (("attn", where), ("expert", routed)):
        first, step = layers[0] if layers else said.depth, layers[1] - layers[0] if len(layers) > 1 else said.depth
        if layers != [*range(first, said.depth, step)]:
            raise Unsupported(
                f"the layers with {'attention' if name == 'attn' else 'experts'} are not at equal distances, as this family's are"
            )
        made |= {f"{name}_layer_offset": first, f"{name}_layer_period": step}


def _command_r(said: Said, made: Made) -> None:
    made |= {"use_qk_norm": said.has("attn_q_norm.weight")}


def _cohere2(said: Said, made: Made) -> None:
    made["layer_types"] = said.windows(4)


def _dbrx(said: Said, made: Made) -> None:
    theta = made.pop("rope_theta")
    made |= {
        "rope_theta": theta,
        "attn_config": {"kv_n_heads": made.pop("num_key_value_heads"), "clip_qkv": made.pop("clip_qkv", None), "rope_theta": theta},
        "ffn_config": {
            "ffn_hidden_size": made.pop("intermediate_size"), "moe_num_experts": made.pop("num_experts"),
            "moe_top_k": made.pop("num_experts_per_tok"), "ffn_act_fn": {"name": "silu"}, "moe_normalize_expert_weights": 1.0,
        },
    }  # fmt: skip
    made.pop("layer_norm_eps", None)


def _olmo2(said: Said, made: Made) -> None:
    if "sliding_window" not in made:
        return
    ropes = {"rope_theta": made.pop("rope_theta")}
    scaling = made.pop("rope_scaling", None) or {"rope_type": "default"}
    made |= {"model_type": "olmo3", "layer_types": said.windows(4)}
    made["rope_parameters"] = {SLIDING: ropes | {"rope_type": "default"}, FULL: ropes | scaling}


def _openelm(said: Said, made: Made) -> None:
    heads, groups = said.each("attention.head_count"), said.each("attention.head_count_kv")
    made |= {"num_query_heads": heads, "num_kv_heads": groups, "model_dim": said.d_model, "rope_freq_constant": made.pop("rope_theta")}
    made |= {"num_transformer_layers": said.depth, "max_context_length": made.pop("max_position_embeddings")}
    made |= {"ffn_multipliers": [one / said.d_model for one in said.each("feed_forward_length")], "ffn_dim_divisor": 1}
    made |= {"normalize_qk_projections": said.has("attn_q_norm.weight"), "share_input_output_layers": made["tie_word_embeddings"]}
    if not groups[0] or any(a % b or a // b != heads[0] // groups[0] for a, b in zip(heads, groups)):
        raise said.refuse("attention.head_count_kv", "the layers' queries share keys in different numbers")
    made["num_gqa_groups"] = each = heads[0] // groups[0]
    made["qkv_multipliers"] = openelm.line(heads, said.head_dim, each, said.d_model)
    for name in (
        "tie_word_embeddings",
        "num_attention_heads",
        "num_key_value_heads",
        "intermediate_size",
        "hidden_size",
        "num_hidden_layers",
        "rms_norm_eps",
    ):
        made.pop(name, None)


def _arctic(said: Said, made: Made) -> None:
    made |= {"num_local_experts": made.pop("num_experts"), "moe_layer_frequency": 1}


def _deepseek(said: Said, made: Made) -> None:
    made |= {"n_routed_experts": made.pop("num_experts"), "moe_layer_freq": 1, "norm_topk_prob": made.get("norm_topk_prob", False)}
    said.expect("expert_weights_scale", 1.0)
    made.pop("routed_scaling_factor", None)


def _latent(said: Said, made: Made) -> None:
    """The sizes of multi-head latent attention, in today's form and in that of files before 2025-04, which say the whole heads'."""
    rope, rank = said.count("rope.dimension_count"), said.count("attention.kv_lora_rank")
    key = said.count("attention.key_length_mla", said.head_dim)
    value = said.count("attention.value_length_mla", said.count("attention.value_length", said.head_dim))
    said.expect("attention.value_length", rank, value)
    made |= {"qk_rope_head_dim": rope, "qk_nope_head_dim": key - rope, "v_head_dim": value, "num_key_value_heads": said.heads}
    said.expect("attention.head_count_kv", 1, said.heads)
    said.values.pop("attention.value_length", None)
    for name in ("head_dim", "partial_rotary_factor"):
        made.pop(name, None)
    made.setdefault("q_lora_rank", None)


def _deepseek2(said: Said, made: Made) -> None:
    if "attention.temperature_scale" in said.values:  # Mistral Large 3
        _mistral4(said, made)
        return
    _latent(said, made)
    if scaling := made.get("rope_scaling"):
        yarn_log(scaling, 0.1)
    balanced = said.has("exp_probs_b.bias")
    experts = said.count("expert_count", 0)
    if not experts:
        for name in ("moe_intermediate_size", "n_shared_experts", "num_experts", "num_experts_per_tok"):
            made.pop(name, None)
        made |= {"model_type": "youtu", "rope_interleave": True, "first_k_dense_replace": said.depth}
        return
    scoring = GATING.get(said.get("expert_gating_func", 2 if balanced else 1))
    made["n_routed_experts"] = made.pop("num_experts")
    if scoring == "sigmoid":
        made |= {"model_type": "deepseek_v3", "rope_interleave": True, "scoring_func": "sigmoid", "topk_method": "noaux_tc"}
        made |= {"n_group": made.get("n_group", 1), "topk_group": made.get("topk_group", 1)}
        made.setdefault("num_nextn_predict_layers", 0)
        return
    made |= {"norm_topk_prob": made.get("norm_topk_prob", False), "scoring_func": "softmax"}
    made["topk_method"] = "group_limited_greedy" if made.get("n_group", 0) > 1 else "greedy"
    made.setdefault("n_shared_experts", None)


def _glm_dsa(said: Said, made: Made) -> None:
    _latent(said, made)
    made["n_routed_experts"] = made.pop("num_experts")
    types = said.get("attention.indexer.types", [True] * said.depth)
    if not isinstance(types, list) or len(types) < said.depth:
        raise said.refuse("attention.indexer.types", f"give an entry for each of the {said.depth} layers")
    dense = made.pop("first_k_dense_replace", 0)
    made |= {
        "indexer_types": ["full" if one else "shared" for one in types[: said.depth]], "n_group": made.get("n_group", 1),
        "topk_group": made.get("topk_group", 1), "mlp_layer_types": ["dense"] * dense + ["sparse"] * (said.depth - dense),
    }  # fmt: skip


def _chatglm(said: Said, made: Made) -> None:
    groups = said.same("attention.head_count_kv", said.heads)
    made.pop("num_key_value_heads", None)
    made |= {"multi_query_attention": groups != said.heads, "multi_query_group_num": groups, "kv_channels": said.head_dim}
    made["rope_ratio"] = made.pop("rope_theta") / 1e4
    made.pop("partial_rotary_factor", None)
    made.pop("head_dim", None)


def _glm4(said: Said, made: Made) -> None:
    made.setdefault("partial_rotary_factor", 1.0)


def _glm4_moe(said: Said, made: Made) -> None:
    made.setdefault("num_nextn_predict_layers", 0)
    made |= {"use_qk_norm": said.has("attn_q_norm.weight"), "n_routed_experts": made.pop("num_experts")}
    made.setdefault("partial_rotary_factor", 1.0)


def _bitnet(said: Said, made: Made) -> None:
    pass


def _nemotron_h(said: Said, made: Made) -> None:
    groups, widths = said.each("attention.head_count_kv"), said.each("feed_forward_length")
    routed = "E" if "num_experts" in made else "-"
    pattern = "".join("*" if one else routed if width else "M" for one, width in zip(groups, widths))
    heads, inner = made.pop("time_step_rank"), said.count("ssm.inner_size")
    made |= {
        "num_key_value_heads": said.same("attention.head_count_kv"), "hybrid_override_pattern": pattern, "mamba_num_heads": heads,
        "mamba_head_dim": inner // max(heads, 1), "ssm_state_size": made.pop("state_size"), "layer_norm_epsilon": made.pop("rms_norm_eps"),
        "intermediate_size": said.same("feed_forward_length"),
    }  # fmt: skip
    if routed == "E":
        made |= {
            "n_routed_experts": made.pop("num_experts"),
            "moe_shared_expert_intermediate_size": made.pop("shared_expert_intermediate_size"),
        }
        made.setdefault("topk_group", 1)
        made.setdefault("n_group", 1)


def _exaone4(said: Said, made: Made) -> None:
    if "sliding_window" in made:
        made["layer_types"] = said.windows(4)
    else:
        made |= {"sliding_window": None, "layer_types": [FULL] * said.depth}


def _exaone_moe(said: Said, made: Made) -> None:
    _exaone4(said, made)
    dense = made.pop("first_k_dense_replace", 0)
    made |= {"num_shared_experts": made.pop("n_shared_experts"), "mlp_layer_types": ["dense"] * dense + ["sparse"] * (said.depth - dense)}
    made.pop("shared_expert_intermediate_size", None)


def _granite(said: Said, made: Made) -> None:
    made["logits_scaling"] = made.pop("logit_scale", 1.0)
    made |= {"num_local_experts": made.pop("num_experts")} if made.get("num_experts") else {}
    if made.get("num_local_experts") is None:
        for name in ("num_experts", "num_experts_per_tok"):
            made.pop(name, None)
    if shared := made.pop("shared_expert_intermediate_size", 0):
        made |= {"model_type": "granitemoeshared", "shared_intermediate_size": shared}
    if said.get("rope.scaling.finetuned") is False and said.arch == "granite":
        raise said.refuse("rope.scaling.finetuned", "without positions it is Granite 4's hybrid family")


def _granite_hybrid(said: Said, made: Made) -> None:
    groups = said.each("attention.head_count_kv")
    inner, heads = said.count("ssm.inner_size"), made.pop("time_step_rank")
    shared = made.pop("shared_expert_intermediate_size", 0)
    made |= {
        "num_key_value_heads": said.same("attention.head_count_kv"), "mamba_n_heads": heads, "mamba_d_head": inner // max(heads, 1),
        "mamba_d_state": made.pop("state_size"), "mamba_n_groups": made.pop("n_groups"), "mamba_d_conv": made.pop("conv_kernel"),
        "mamba_expand": inner // said.d_model, "logits_scaling": made.pop("logit_scale", 1.0),
        "layer_types": ["attention" if one else "mamba" for one in groups],
        "num_local_experts": made.pop("num_experts", 0), "shared_intermediate_size": shared or made["intermediate_size"],
        "position_embedding_type": "rope" if said.get("rope.scaling.finetuned", True) else "nope",
    }  # fmt: skip
    if not made["num_local_experts"]:
        made.pop("num_experts_per_tok", None)


def _bailing(said: Said, made: Made) -> None:
    made |= {"num_shared_experts": made.pop("n_shared_experts", 0), "use_bias": False}
    said.expect("expert_weights_scale", 1.0)
    made.pop("routed_scaling_factor", None)


def _bailing2(said: Said, made: Made) -> None:
    made |= {"num_shared_experts": made.pop("n_shared_experts", 0), "use_bias": False}
    made.pop("shared_expert_intermediate_size", None)
    made.setdefault("partial_rotary_factor", 1.0)


def _dots(said: Said, made: Made) -> None:
    made["n_routed_experts"] = made.pop("num_experts")
    made |= {"n_group": made.get("n_group", 1), "topk_group": made.get("topk_group", 1), "layer_types": [FULL] * said.depth}
    made["sliding_window"] = None


def _afmoe(said: Said, made: Made) -> None:
    made |= {
        "layer_types": said.windows(4), "num_shared_experts": made.pop("n_shared_experts", 0), "mup_enabled": True,
        "num_dense_layers": made.pop("first_k_dense_replace", 0), "route_scale": made.pop("routed_scaling_factor", 1.0),
    }  # fmt: skip
    said.expect("expert_weights_norm", True)
    made.pop("norm_topk_prob", None)


def _ernie_moe(said: Said, made: Made) -> None:
    made |= {"moe_num_experts": made.pop("num_experts"), "moe_k": made.pop("num_experts_per_tok")}
    made |= {"moe_num_shared_experts": made.pop("n_shared_experts", 0), "moe_layer_start_index": made.pop("first_k_dense_replace", 0)}
    made |= {"moe_layer_interval": made.pop("interleave_moe_layer_step", 1), "moe_layer_end_index": said.depth - 1}
    made.pop("shared_expert_intermediate_size", None)


def _hunyuan_moe(said: Said, made: Made) -> None:
    made["moe_topk"] = made.pop("num_experts_per_tok")
    said.expect("expert_shared_count", 1)
    for name in ("n_shared_experts", "shared_expert_intermediate_size"):
        made.pop(name, None)
    if (width := made.pop("moe_intermediate_size", None)) not in (None, made["intermediate_size"]):
        raise said.refuse("expert_feed_forward_length", f"{width:,} and {made['intermediate_size']:,} must be the same")


def _deci(said: Said, made: Made) -> None:
    """Sizes of each layer, 0 for a part that it does not have."""
    heads, groups, widths = (said.each(key) for key in (*BY_LAYER[1:], BY_LAYER[0]))
    if any(one and not share for one, share in zip(heads, groups)):
        raise said.refuse("attention.head_count_kv", "layers whose attention became one matrix are not known here")
    made |= {"num_attention_heads": said.same("attention.head_count"), "mlp_bias": said.has("ffn_up.bias")}
    made.pop("num_key_value_heads", None)
    if all(groups) and len(set(widths)) == 1:
        made |= {"model_type": "deci", "num_key_value_heads_per_layer": groups}
        return
    made.pop("intermediate_size", None)
    made["block_configs"] = [
        {
            "attention": {"n_heads_in_group": said.heads // share} if share else {"no_op": True},
            "ffn": {"ffn_mult": 1.5 * width / said.d_model} if width else {"no_op": True},
        }
        for share, width in zip(groups, widths)
    ]


def _mistral4(said: Said, made: Made) -> None:
    _latent(said, made)
    ropes = {"rope_theta": made.pop("rope_theta")} | made.pop("rope_scaling", {"rope_type": "default"})
    yarn_log(ropes, 0.1)
    ropes["llama_4_scaling_beta"] = said.number("attention.temperature_scale", 0.1)
    said.expect("attention.temperature_length", ropes.get("original_max_position_embeddings"))
    made |= {
        "model_type": "mistral4", "rope_parameters": ropes, "rope_interleave": True, "n_routed_experts": made.pop("num_experts"),
        "n_group": made.get("n_group", 1), "topk_group": made.get("topk_group", 1),
    }  # fmt: skip
    made.setdefault("norm_topk_prob", True)


def _by_window(said: Said, key: str, types: list[str]) -> dict[str, int]:
    """What layers that see everything have of this, and what those in a window have."""
    found: dict[str, int] = {}
    for one, kind in zip(said.each(key), types, strict=True):
        if found.setdefault(kind, one) != one:
            raise said.refuse(key, "layers of one kind differ")
    return {FULL: found.get(FULL, 1), SLIDING: found.get(SLIDING, found.get(FULL, 1))}


def _sparse(said: Said) -> list[bool]:
    """Which layers have experts, by their tensors."""
    return [f"blk.{layer}.ffn_gate_inp.weight" in said.header.tensors for layer in range(said.depth)]


def _mimo2(said: Said, made: Made) -> None:
    types = said.windows(6)
    groups, dim = _by_window(said, "attention.head_count_kv", types), said.count("rope.dimension_count", said.head_dim)
    digits = next((digits for digits in range(1, 9) if int(_up(dim / said.head_dim, digits) * said.head_dim) == dim), 9)
    turns = {"rope_type": "default", "partial_rotary_factor": _up(dim / said.head_dim, digits)}
    sinks = [f"blk.{layer}.attn_sinks.weight" in said.header.tensors for layer in range(said.depth)]
    has = {kind: any(sink for sink, one in zip(sinks, types) if one == kind) for kind in (FULL, SLIDING)}
    made |= {
        "num_key_value_heads": groups[FULL], "swa_num_key_value_heads": groups[SLIDING], "v_head_dim": said.count("attention.value_length"),
        "sliding_window_size": made.pop("sliding_window"), "hybrid_layer_pattern": [int(one == SLIDING) for one in types],
        "moe_layer_freq": [int(one) for one in _sparse(said)], "n_routed_experts": made.pop("num_experts"),
        "attention_value_scale": said.number("attention.value_scale", 1.0),
        "add_full_attention_sink_bias": has[FULL], "add_swa_attention_sink_bias": has[SLIDING], "swa_head_dim": said.head_dim,
        "swa_num_attention_heads": said.heads, "swa_v_head_dim": said.count("attention.value_length"),
        "rope_parameters": {
            FULL: turns | {"rope_theta": said.number("rope.freq_base")},
            SLIDING: turns | {"rope_theta": said.number("rope.freq_base_swa", 1e4)},
        },
    }  # fmt: skip
    made.pop("partial_rotary_factor", None)
    made.pop("num_nextn_predict_layers", None)


def _up(number: float, digits: int) -> float:
    return math.ceil(number * 10**digits - 1e-6) / 10**digits


def _step35(said: Said, made: Made) -> None:
    types = said.windows(4)
    heads, groups = (_by_window(said, f"attention.{key}", types) for key in ("head_count", "head_count_kv"))
    if groups[FULL] != groups[SLIDING]:
        raise said.refuse("attention.head_count_kv", "this family has as many in a window as elsewhere")
    base = said.number("rope.freq_base")
    far: Made = {"rope_type": "default"}
    if "rope_freqs.weight" in said.header.tensors:  # made for a whole head, of which a half turns
        far = by_frequency(said, listed(said, "rope_freqs.weight"), base, said.head_dim)
    far |= {"rope_theta": base, "partial_rotary_factor": said.count("rope.dimension_count", said.head_dim // 2) / said.head_dim}
    near = {"rope_type": "default", "rope_theta": said.number("rope.freq_base_swa", 1e4)}
    said.expect("rope.dimension_count_swa", said.head_dim)
    said.expect("expert_weights_norm", True)
    said.expect("moe_every_n_layers", 1)
    limits = {"swiglu_limits": "swiglu_clamp_exp", "swiglu_limits_shared": "swiglu_clamp_shexp"}
    made |= {name: value[: said.depth] for name, key in limits.items() if isinstance(value := said.get(key), list)}
    made |= {
        "num_attention_heads": heads[FULL], "num_sliding_attention_heads": heads[SLIDING], "num_key_value_heads": groups[FULL],
        "layer_types": types, "mlp_layer_types": ["sparse" if one else "dense" for one in _sparse(said)],
        "n_routed_experts": made.pop("num_experts"), "share_expert_dim": made.pop("shared_expert_intermediate_size", 0),
        "moe_router_scaling_factor": made.pop("routed_scaling_factor", 1.0), "rope_parameters": {FULL: far, SLIDING: near},
    }  # fmt: skip
    for name in ("norm_topk_prob", "first_k_dense_replace", "num_nextn_predict_layers", "n_shared_experts"):
        made.pop(name, None)


def _smollm3(said: Said, made: Made) -> None:
    made |= {"no_rope_layers": [int((layer + 1) % 4 != 0) for layer in range(said.depth)], "use_sliding_window": False}


def _gpt_oss(said: Said, made: Made) -> None:
    width = made.pop("moe_intermediate_size", made["intermediate_size"])
    scaling = made.pop("rope_scaling", None)
    ropes = {"rope_theta": made.pop("rope_theta")} | (scaling | {"truncate": False} if scaling else {"rope_type": "default"})
    made |= {
        "intermediate_size": width,
        "num_local_experts": made.pop("num_experts"),
        "layer_types": said.windows(2),
        "rope_parameters": ropes,
    }


def _lfm2(said: Said, made: Made) -> None:
    made |= {
        "num_key_value_heads": said.same("attention.head_count_kv"), "norm_eps": made.pop("rms_norm_eps"), "conv_bias": False,
        "layer_types": [FULL if one else "conv" for one in said.each("attention.head_count_kv")],
    }  # fmt: skip
    if "num_experts" in made:
        made |= {"num_dense_layers": made.pop("first_k_dense_replace", 0), "use_expert_bias": said.has("exp_probs_b.bias")}
        made |= {"norm_topk_prob": True, "routed_scaling_factor": 1.0}


def _mistral3(said: Said, made: Made) -> None:
    beta = said.number("attention.temperature_scale", 0.0)
    scaling = made.pop("rope_scaling", None)
    if not beta:
        if scaling:
            raise said.refuse("rope.scaling.type", "without attention.temperature_scale no published model of this family has it")
        made |= {"model_type": "mistral", "sliding_window": None}
        return
    ropes = {"rope_theta": made.pop("rope_theta")} | (scaling or {"rope_type": "default"}) | {"llama_4_scaling_beta": beta}
    yarn_log(ropes, 1.0)
    made |= {"rope_parameters": ropes, "sliding_window": None}


def _minimax2(said: Said, made: Made) -> None:
    width = made.pop("moe_intermediate_size", made["intermediate_size"])
    made |= {"num_local_experts": made.pop("num_experts"), "intermediate_size": width}
    made.setdefault("partial_rotary_factor", 1.0)


def _seed(said: Said, made: Made) -> None:
    made |= {"attention_bias": said.has("attn_q.bias"), "attention_out_bias": said.has("attn_output.bias")}


def _xielu(said: Said, made: Made) -> None:
    for key in ("alpha_n", "alpha_p", "beta", "eps"):  # which the weights hold too
        said.get(f"xielu.{key}")


def _jais(said: Said, made: Made) -> None:
    said.number("attention.max_alibi_bias", 8.0)
    _gpt(said, made)
    made |= {"mup_width_scale": 1.0}


def _falcon_h1(said: Said, made: Made) -> None:
    inner, heads = said.count("ssm.inner_size"), made.pop("time_step_rank")
    made |= {
        "mamba_n_heads": heads, "mamba_d_head": inner // max(heads, 1), "mamba_d_state": made.pop("state_size"), "mamba_d_ssm": inner,
        "mamba_n_groups": made.pop("n_groups"), "mamba_d_conv": made.pop("conv_kernel"), "mamba_rms_norm": said.has("ssm_norm.weight"),
    }  # fmt: skip
    one = ("embedding", "lm_head", "attention_in", "attention_out", "ssm_in", "ssm_out", "key")  # which the weights hold already
    made |= {f"{name}_multiplier": 1.0 for name in one} | {"ssm_multipliers": [1.0] * 5, "mlp_multipliers": [1.0] * 2}


def _stablelm(said: Said, made: Made) -> None:
    made |= {"use_parallel_residual": not said.has("ffn_norm.weight"), "qk_layernorm": said.has("attn_q_norm.weight")}
    said.get("use_parallel_residual")
    made.setdefault("partial_rotary_factor", 1.0)


def _rope_fraction(said: Said, made: Made) -> None:
    made.setdefault("partial_rotary_factor", 1.0)


def _kimi_linear(said: Said, made: Made) -> None:
    groups = said.each("attention.head_count_kv")
    said.values["attention.head_count_kv"] = 1
    dim, dense = said.count("kda.head_dim"), made.pop("first_k_dense_replace", 0)
    _latent(said, made)
    made |= {
        "linear_num_heads": said.heads, "linear_head_dim": dim, "linear_conv_kernel_dim": made.pop("conv_kernel"),
        "layer_types": [FULL if one else "linear_attention" for one in groups],
        "mlp_layer_types": ["dense"] * dense + ["sparse"] * (said.depth - dense),
        "num_shared_experts": made.pop("n_shared_experts"), "num_experts_per_token": made.pop("num_experts_per_tok"),
        "model_max_length": made.pop("max_position_embeddings"), "moe_renormalize": True, "num_expert_group": 1, "topk_group": 1,
    }  # fmt: skip
    made.pop("rope_theta")


QKV = "attn_q.bias"
GPT = {
    "hidden_size": "n_embd", "max_position_embeddings": "n_positions", "num_hidden_layers": "n_layer", "num_attention_heads": "n_head",
    "intermediate_size": "n_inner", "layer_norm_eps": "layer_norm_epsilon",
}  # fmt: skip
TANH = {"hidden_activation": "gelu_pytorch_tanh"}
BIAS = {"attention_bias": QKV}
SPARSE = {"norm_topk_prob": True}
EPSILON = {"rms_norm_eps": "layer_norm_epsilon", "layer_norm_eps": "layer_norm_epsilon"}
NEMOTRON_H = Kind(
    "nemotron_h", always={"use_bias": False, "mlp_bias": False}, biases={"use_conv_bias": "ssm_conv1d.bias"}, more=_nemotron_h, rope=False
)
KINDS: dict[str, Kind] = {
    "llama": Kind("llama", more=_llama),
    "llama4": Kind("llama4_text", more=_llama4, gating=(2,)),
    "arcee": Kind("arcee", always={"hidden_act": "relu2"}, biases=BIAS | {"mlp_bias": "ffn_up.bias"}),
    "smollm3": Kind("smollm3", biases=BIAS | {"mlp_bias": "ffn_up.bias"}, more=_smollm3),
    "deci": Kind("nemotron-nas", biases=BIAS, more=_deci),
    "mistral3": Kind("ministral3", more=_mistral3),
    "mistral4": Kind("mistral4", always={"attention_bias": False}, more=_mistral4, gating=(1,)),
    "mimo2": Kind("mimo_v2", always={"norm_topk_prob": True}, biases=BIAS, more=_mimo2, rope=False, gating=(2,)),
    "step35": Kind("step3p5", biases=BIAS | {"mlp_bias": "ffn_up.bias"}, more=_step35, rope=False, gating=(2,)),
    "gpt2": Kind("gpt2", GPT, {"activation_function": "gelu_new"}, more=_gpt, rope=False),
    "starcoder": Kind("gpt_bigcode", GPT, more=_big_code, rope=False),
    "gptneox": Kind("gpt_neox", biases={"attention_bias": "attn_qkv.bias"}, more=_neox),
    "mpt": Kind(
        "mpt", {"hidden_size": "d_model", "max_position_embeddings": "max_seq_len", "num_hidden_layers": "n_layers",
                "num_attention_heads": "n_heads", "layer_norm_eps": "layer_norm_epsilon"}, more=_mpt, rope=False,
    ),
    "bloom": Kind(
        "bloom", {"max_position_embeddings": "seq_length", "num_hidden_layers": "n_layer", "num_attention_heads": "n_head",
                  "layer_norm_eps": "layer_norm_epsilon"}, more=_bloom, rope=False,
    ),
    "falcon": Kind(
        "falcon", {"layer_norm_eps": "layer_norm_epsilon", "intermediate_size": "ffn_hidden_size"},
        {"bias": False, "parallel_attn": True, "alibi": False}, more=_falcon,
    ),
    "baichuan": Kind("baichuan", more=_baichuan),
    "grok": Kind("git", more=_grok, rope=False),
    "stablelm": Kind("stablelm", biases={"use_qkv_bias": QKV}, more=_stablelm),
    "qwen": Kind("qwen", {"rms_norm_eps": "layer_norm_epsilon"}, {"use_dynamic_ntk": False, "use_logn_attn": False}, more=_qwen),
    "qwen2": Kind("qwen2", more=_qwen2),
    "qwen2vl": Kind("qwen2_vl_text", more=_qwen2),
    "qwen2moe": Kind("qwen2_moe", always={"norm_topk_prob": False, "use_sliding_window": False}, biases={"qkv_bias": QKV}, more=_qwen_moe),
    "qwen3": Kind("qwen3", biases=BIAS, more=_qwen2),
    "qwen3vl": Kind("qwen3_vl_text", biases=BIAS),
    "qwen3moe": Kind("qwen3_moe", always=SPARSE | {"use_sliding_window": False}, biases=BIAS, more=_qwen_moe),
    "qwen3vlmoe": Kind("qwen3_vl_moe_text", always=SPARSE, biases=BIAS, more=_qwen_moe),
    "qwen3next": Kind("qwen3_next", always=SPARSE, biases=BIAS, more=_qwen3_next),
    "qwen35": Kind("qwen3_5_text", biases=BIAS, more=_qwen3_5),
    "qwen35moe": Kind("qwen3_5_moe_text", biases=BIAS, more=_qwen3_5),
    "phi2": Kind("phi", always={"hidden_act": "gelu_new"}, more=_phi),
    "phi3": Kind("phi3", more=_phi3),
    "phimoe": Kind("phimoe", {"num_experts": "num_local_experts"}, biases=BIAS, more=_phi_moe),
    "plamo": Kind("plamo", more=_plamo),
    "orion": Kind("orion", {"layer_norm_eps": "rms_norm_eps"}),
    "internlm2": Kind("internlm2", biases={"bias": QKV}),
    "xverse": Kind("xverse"),
    "minicpm": Kind("minicpm", more=_minicpm),
    "minicpm3": Kind("minicpm3", more=_minicpm3),
    "gemma": Kind("gemma", always={"hidden_act": "gelu_pytorch_tanh"}, more=_gemma),
    "gemma2": Kind("gemma2", always=TANH, more=_gemma2),
    "gemma3": Kind("gemma3_text", always=TANH, more=_gemma3),
    "gemma3n": Kind("gemma3n_text", always=TANH | {"final_logit_softcapping": 30.0}, more=_gemma3n),
    "gemma4": Kind("gemma4_text", always=TANH, biases=BIAS, more=_gemma4, rope=False),
    "starcoder2": Kind(
        "starcoder2", {"layer_norm_eps": "norm_epsilon"}, {"hidden_act": "gelu_pytorch_tanh", "sliding_window": None},
        {"use_bias": "ffn_up.bias"},
    ),
    "rwkv7": Kind(
        "rwkv7", {"layer_norm_eps": "norm_eps"}, {"norm_first": True, "norm_bias": True, "hidden_act": "sqrelu", "attn": None},
        more=_rwkv7, rope=False,
    ),
    "mamba": Kind("mamba", biases={"use_bias": "ssm_in.bias", "use_conv_bias": "ssm_conv1d.bias"}, more=_mamba, rope=False),
    "mamba2": Kind("mamba2", biases={"use_bias": "ssm_in.bias", "use_conv_bias": "ssm_conv1d.bias"}, more=_mamba2, rope=False),
    "jamba": Kind("jamba", always={"mamba_proj_bias": False}, biases={"mamba_conv_bias": "ssm_conv1d.bias"}, more=_jamba, rope=False),
    "command-r": Kind("cohere", biases=BIAS, more=_command_r),
    "cohere2": Kind("cohere2", biases=BIAS, more=_cohere2),
    "dbrx": Kind(
        "dbrx", {"hidden_size": "d_model", "max_position_embeddings": "max_seq_len", "num_hidden_layers": "n_layers",
                 "num_attention_heads": "n_heads"}, more=_dbrx,
    ),
    "olmo": Kind("olmo", biases=BIAS),
    "olmo2": Kind("olmo2", biases=BIAS, more=_olmo2),
    "olmoe": Kind("olmoe", {"moe_intermediate_size": ""}, {"norm_topk_prob": False}, BIAS),
    "openelm": Kind("openelm", always={"ffn_with_glu": True, "activation_fn_name": "swish"}, more=_openelm),
    "arctic": Kind("arctic", {"moe_intermediate_size": ""}, {"parallel_attn_mlp_res": True, "use_residual": True}, BIAS, _arctic),
    "deepseek": Kind("deepseek", always={"scoring_func": "softmax"}, biases=BIAS, more=_deepseek, gating=(1,)),
    "deepseek2": Kind("deepseek_v2", always={"attention_bias": False}, more=_deepseek2),
    "glm-dsa": Kind("glm_moe_dsa", always={"attention_bias": False}, more=_glm_dsa, gating=(2,)),
    "chatglm": Kind(
        "chatglm", {"vocab_size": "padded_vocab_size", "intermediate_size": "ffn_hidden_size", "num_hidden_layers": "num_layers",
                    "max_position_embeddings": "seq_length", "rms_norm_eps": "layernorm_epsilon"},
        biases={"add_qkv_bias": "attn_qkv.bias"}, more=_chatglm,
    ),
    "glm4": Kind("glm4", biases=BIAS, more=_glm4),
    "glm4moe": Kind("glm4_moe", biases=BIAS, more=_glm4_moe, gating=(2,)),
    "bitnet": Kind("bitnet", always={"hidden_act": "relu2"}, biases=BIAS),
    "jais": Kind("jais", GPT, {"activation_function": "swiglu", "position_embedding_type": "alibi"}, more=_jais, rope=False),
    "jais2": Kind("jais2", biases=BIAS | {"mlp_bias": "ffn_up.bias"}),
    "nemotron": Kind("nemotron", {"layer_norm_eps": "norm_eps"}, biases=BIAS | {"mlp_bias": "ffn_up.bias"}, more=_rope_fraction),
    "nemotron_h": NEMOTRON_H,
    "nemotron_h_moe": NEMOTRON_H,
    "exaone": Kind("exaone", EPSILON | {"num_hidden_layers": "num_layers"}),
    "exaone4": Kind("exaone4", more=_exaone4),
    "exaone-moe": Kind("exaone_moe", more=_exaone_moe, gating=(2,)),
    "granite": Kind("granite", biases=BIAS | {"mlp_bias": "ffn_up.bias"}, more=_granite),
    "granitemoe": Kind("granitemoe", biases=BIAS, more=_granite),
    "granitehybrid": Kind(
        "granitemoehybrid", always={"mamba_proj_bias": False}, biases=BIAS | {"mamba_conv_bias": "ssm_conv1d.bias"}, more=_granite_hybrid,
    ),
    "bailingmoe": Kind("bailing_moe", biases={"use_qkv_bias": QKV}, more=_bailing),
    "bailingmoe2": Kind("bailing_moe_v2", biases={"use_qkv_bias": "attn_qkv.bias"}, more=_bailing2, gating=(2,)),
    "dots1": Kind("dots1", biases=BIAS, more=_dots, gating=(2,)),
    "afmoe": Kind("afmoe", biases=BIAS, more=_afmoe, gating=(2,)),
    "ernie4_5": Kind("ernie4_5", biases={"use_bias": QKV}),
    "ernie4_5-moe": Kind("ernie4_5_moe", biases={"use_bias": QKV}, more=_ernie_moe),
    "hunyuan-moe": Kind("hunyuan_v1_moe", biases=BIAS, more=_hunyuan_moe),
    "hunyuan-dense": Kind("hunyuan_v1_dense", biases=BIAS),
    "gpt-oss": Kind("gpt_oss", biases=BIAS, more=_gpt_oss, gating=(3,)),
    "lfm2": Kind("lfm2", always={"block_auto_adjust_ff_dim": False}, more=_lfm2),
    "lfm2moe": Kind("lfm2_moe", more=_lfm2, gating=(2,)),
    "seed_oss": Kind("seed_oss", biases={"mlp_bias": "ffn_up.bias"}, more=_seed),
    "apertus": Kind("apertus", always={"hidden_act": "xielu"}, biases=BIAS, more=_xielu),
    "minimax-m2": Kind("minimax_m2", more=_minimax2, gating=(2,)),
    "pangu-embedded": Kind("PanguEmbedded", biases={"bias": QKV}),
    "kimi-linear": Kind("kimi_linear", always={"attention_bias": False}, more=_kimi_linear, gating=(2,)),
    "falcon-h1": Kind(
        "falcon_h1", always={"mamba_proj_bias": False, "projectors_bias": False}, more=_falcon_h1,
        biases=BIAS | {"mamba_conv_bias": "ssm_conv1d.bias", "mlp_bias": "ffn_up.bias"},
    ),
}  # fmt: skip
