"""MiMo-V2 (Xiaomi, arXiv:2601.02780): narrow values, scaled; layers in a window have sinks and more key and value heads than the others.

Two forms: transformers' own keys, and Xiaomi's (hybrid_layer_pattern, moe_layer_freq, swa_...), in which the layers in a window
have a word for each of their sizes. Xiaomi's window counts the tokens before a token, transformers' the token itself too.
"""

from ...parts.experts import Experts
from ...spec import Architecture
from ..reading import pieces, rotary
from ..reading.config import Config
from ..reading.pieces import unless
from ..weights import mtp, tensors
from ..weights.checkpoint import Sources
from . import deepseek_v3 as v3

TYPES = ("mimo_v2_flash", "mimo_v2")
KINDS = ("full_attention", "sliding_attention")
USUAL = {
    "full_attention": {"rope_type": "default", "rope_theta": 5e6, "partial_rotary_factor": 0.334},
    "sliding_attention": {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.334},
}
AHEAD = mtp.Names(
    "mtp.layers.{module}", "mtp.layers.{module}.enorm", "mtp.layers.{module}.hnorm", ("mtp.layers.{module}.eh_proj",),
    "mtp.layers.{module}.final_layernorm", {}, {"post_attention_layernorm": "pre_mlp_layernorm"},
)  # fmt: skip
PUBLISHED = {"self_attn.sinks": "self_attn.attention_sink_bias"}


def read(config: Config, model_type: str) -> dict:
    eps = config.take("layernorm_epsilon", float, 1e-5)
    value = pieces.sizes(config, vocab_size=152_576, d_model=4_096, context=131_072, tied=False, eps=eps)
    depth = config.depth("num_hidden_layers", 48)
    usual = ["full_attention" if n == 0 or (n + 1) % 6 == 0 else "sliding_attention" for n in range(depth)]
    types = pieces.layer_types(config, depth, _pattern(config, "hybrid_layer_pattern", depth, KINDS) or usual, *KINDS)
    frequency = _pattern(config, "moe_layer_freq", depth, ("dense", "sparse"))
    sparse = pieces.sparse_layers(config, depth, 1)
    if frequency and not config.has("mlp_layer_types"):
        sparse = [word == "sparse" for word in frequency]
    (far, near), (full, local) = _ropes(config, value["context"]), _attention(config, model_type)
    own = {"full_attention": full, "sliding_attention": local | ({} if near == far else {"position": near})}
    parts, order = pieces.named_kinds([own[word] for word in types])
    config.expect("n_shared_experts", 0)
    config.ignore("attention_projection_layout", "attention_chunk_size", "hybrid_block_size", "moe_router_dtype")
    config.ignore("vision_config", "audio_config", "processor_config", "vision_model_type")  # MiMo-V2.5 sees and hears
    parts |= {
        "dense": v3.dense(config, 16_384),
        "moe": v3.experts(config, count=256, top_k=8, d_ff=2_048, shared=0)
        | {"router": v3.noaux_router(config, 1, 1, 1.0)},
    }
    ahead = config.count("num_nextn_predict_layers", 0, least=0, most=16)
    if ahead and "sliding_attention" not in types:
        raise config.refuse("num_nextn_predict_layers", "such a module has a window, and no layer has one")
    block = [order[types.index("sliding_attention")], "dense"] if ahead else []
    blocks = [[name, "moe" if routed else "dense"] for name, routed in zip(order, sparse, strict=True)]
    return pieces.assemble(config, value, far, parts, blocks, **mtp.modules(ahead, block))


def _pattern(config: Config, key: str, depth: int, words: tuple[str, str]) -> list[str] | None:
    """Xiaomi's lists of 0 and 1 in words."""
    given = config.listing(key, int)
    if given is None:
        return None
    if len(given) != depth or not set(given) <= {0, 1}:
        raise config.refuse(key, f"give 0 or 1 for each of the {depth} layers")
    return [words[which] for which in given]


def _attention(config: Config, model_type: str) -> tuple[dict, dict]:
    """The attention of layers that see everything, and of those in a window."""
    h, g = config.count("num_attention_heads", 64), config.count("num_key_value_heads", 4)
    d, v = config.count("head_dim", 192), config.count("v_head_dim", 128)
    window = config.count("sliding_window_size", None)
    plain = config.count("sliding_window", 129)
    both = unless(1.0, value_scale=config.take("attention_value_scale", float, 0.707, null=1.0))
    if config.take("attention_bias", bool, False):
        both |= {"bias": True, "out_bias": False}

    def sized(heads: int, kv_heads: int, head_dim: int, v_head_dim: int, sinks: bool) -> dict:
        sizes = {"kind": "attention", "heads": heads, "kv_heads": kv_heads, "head_dim": head_dim}
        return sizes | unless(head_dim, v_head_dim=v_head_dim) | unless(False, sinks=sinks) | both

    full = sized(h, g, d, v, config.take("add_full_attention_sink_bias", bool, False))
    local = sized(
        config.count("swa_num_attention_heads", h),
        config.count("swa_num_key_value_heads", 2 * g if model_type == "mimo_v2_flash" else g),
        config.count("swa_head_dim", d),
        config.count("swa_v_head_dim", v),
        config.take("add_swa_attention_sink_bias", bool, True),
    )
    return full, local | {"window": window + 1 if window else plain}


def _ropes(config: Config, context: int) -> tuple[dict, dict]:
    """(Of layers that see everything, of those in a window): a dictionary for each kind, or Xiaomi's keys."""
    share = config.take("partial_rotary_factor", float, 0.334)
    given = config.take("rope_parameters", dict, {})
    if any(kind in given for kind in KINDS) or not (given or config.has("rope_theta") or config.has("swa_rope_theta")):
        config.ignore("rope_theta", "swa_rope_theta")
        near, far = rotary.ropes(Config({"rope_parameters": given or USUAL}), context, 5e6, 1e4, 0.334)
        return far, near
    near = {"kind": "rope", "base": config.take("swa_rope_theta", float, 1e4)} | unless(1.0, fraction=share)
    return rotary.rope(config, context, theta=5e6, fraction=share), near


def write(arch: Architecture) -> dict:
    """Transformers' keys, and Xiaomi's where only they can say it."""
    *_, dense, moe = pieces.made_of(arch, pieces.WINDOWED | pieces.FEEDS)
    mixers = pieces.mixers(arch)
    full = next((part for part in mixers if not part.sight.window), mixers[0])
    local = next((part for part in mixers if part.sight.window), full)
    near, far = pieces.near_and_far(arch)
    flash = local.kv_heads == 2 * full.kv_heads and local.scores.sinks and not full.scores.sinks
    return (
        {"architectures": ["MiMoV2FlashForCausalLM" if flash else "MiMoV2ForCausalLM"]}
        | {"model_type": "mimo_v2_flash" if flash else "mimo_v2"}
        | pieces.write_sizes(arch)
        | pieces.write_heads(full)
        | {
            "v_head_dim": full.v_dim,
            "attention_bias": full.bias,
            "attention_value_scale": full.value_scale,
            "swa_num_attention_heads": local.heads,
            "swa_num_key_value_heads": local.kv_heads,
            "swa_head_dim": local.head_dim,
            "swa_v_head_dim": local.v_dim,
            "add_swa_attention_sink_bias": local.scores.sinks,
            "add_full_attention_sink_bias": full.scores.sinks,
            "layer_types": pieces.write_layer_types(arch),
            "sliding_window": pieces.window(arch),
            "mlp_layer_types": pieces.write_sparse_layers(arch),
            "num_nextn_predict_layers": v3.write_mtp(arch),
            "hidden_act": pieces.write_activation((moe or dense).activation),
        }
        | (_write_experts(moe) if moe else {})
        | ({"intermediate_size": dense.d_ff} if dense else {})
        | rotary.write_ropes(near, far, arch.context)
        | pieces.write_precision(arch)
    )


def _write_experts(moe: Experts) -> dict:
    return {
        "n_routed_experts": moe.count,
        "num_experts_per_tok": moe.top_k,
        "moe_intermediate_size": moe.d_ff,
        "n_group": moe.router.groups,
        "topk_group": moe.router.top_groups,
        "norm_topk_prob": moe.router.normalise,
        "routed_scaling_factor": moe.router.scale,
    }


def sources(arch: Architecture) -> Sources:
    return tensors.also_named(tensors.llama_sources(arch), PUBLISHED)


def ignored(name: str) -> bool:
    return tensors.ignored(name) or name.startswith("model.mtp.")
