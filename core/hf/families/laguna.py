"""Laguna (poolside, 2026): as many query heads as each layer's kind wants, a softplus gate on what attention gives, DeepSeek-V3's
router."""

from ...parts.attention import Attention
from ...parts.experts import Experts
from ...spec import Architecture, Unsupported
from ..reading import pieces, rotary
from ..reading.config import Config
from ..reading.pieces import unless
from ..weights import tensors
from ..weights.checkpoint import Sources
from ..weights.tensors import ignored as ignored

TYPES = ("laguna",)
GATES = {True: "head", "per-head": "head", "per-element": "channel"}
# What poolside's own checkpoints call some tensors.
PUBLISHED = {"gate.e_score_correction_bias": "experts.e_score_correction_bias", "shared_experts.": "shared_expert."}
USUAL = {
    "full_attention": {"rope_type": "default", "rope_theta": 5e5, "partial_rotary_factor": 0.5},
    "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
}


def read(config: Config, model_type: str) -> dict:
    value = pieces.sizes(config, vocab_size=100_352, d_model=2_048, context=131_072, tied=False, eps=1e-6)
    depth = config.depth("num_hidden_layers", 40)
    types = pieces.layer_types(config, depth, ["full_attention"] * depth, "full_attention", "sliding_attention")
    part = pieces.attention(config, value["d_model"], heads=48, kv_heads=8, head_dim=128)
    part |= {"qk_norm": {}, "gate": {"per": _gate(config), "activation": "softplus", "bias": False}}
    heads = config.listing("num_attention_heads_per_layer", int) or [part["heads"]] * depth
    if len(heads) != depth or min(heads) < 1:
        raise config.refuse("num_attention_heads_per_layer", f"give a number for each of the {depth} layers")
    near, far = rotary.ropes(config, value["context"], 5e5, 1e4, 1.0, USUAL)
    own = {
        "full_attention": {},
        "sliding_attention": {"window": config.count("sliding_window", 512)}
        | ({} if near == far else {"position": near}),
    }
    parts, order = pieces.named_kinds([part | {"heads": n} | own[word] for n, word in zip(heads, types, strict=True)])
    sparse = pieces.sparse_layers(config, depth, 1)
    parts |= {"dense": pieces.dense(config, 8_192), "moe": _experts(config, parts)}
    config.expect("qkv_bias", part.get("bias", False))
    config.expect("mlp_only_layers", [n for n, routed in enumerate(sparse) if not routed])
    config.expect("decoder_sparse_step", 1)
    blocks = [[name, "moe" if routed else "dense"] for name, routed in zip(order, sparse, strict=True)]
    return pieces.assemble(config, value, far, parts, blocks)


def _gate(config: Config) -> str:
    says = config.take("gating", (bool, str), True)
    if says not in GATES:
        raise config.refuse("gating", "give true, 'per-head' or 'per-element'")
    return GATES[says]


def _experts(config: Config, parts: dict) -> dict:
    config.expect("moe_apply_router_weight_on_input", False)
    config.expect("norm_topk_prob", True)
    softcap = config.take("moe_router_logit_softcapping", float, 0.0)
    router = {"score": "sigmoid", "normalise": True, "selection_bias": True, "counted": True}
    router |= unless(1.0, scale=config.take("moe_routed_scaling_factor", float, 1.0))
    shared = config.count("shared_expert_intermediate_size", 512, least=0)
    return {
        "kind": "experts",
        "count": config.count("num_experts", 256),
        "top_k": config.count("num_experts_per_tok", 8),
        "d_ff": config.count("moe_intermediate_size", 512),
        "router": router | ({"softcap": softcap} if softcap > 0 else {}),
    } | unless("swiglu", activation=pieces.activation(config)) | ({"shared": {"d_ff": shared}} if shared else {})  # fmt: skip


def write(arch: Architecture) -> dict:
    kinds = dict.fromkeys(("attention", "local*", "global*"), Attention | None) | pieces.FEEDS
    _, dense, moe = pieces.made_of(arch, kinds)
    mixers = pieces.mixers(arch)
    if not mixers[0].gate:
        raise Unsupported("parts.attention.gate: this family's attention has one")
    near, far = pieces.near_and_far(arch)
    return (
        {"architectures": ["LagunaForCausalLM"], "model_type": "laguna"}
        | pieces.write_sizes(arch)
        | pieces.write_heads(mixers[0])
        | {
            "attention_bias": mixers[0].bias,
            "gating": "per-head" if mixers[0].gate.per == "head" else "per-element",
            "num_attention_heads_per_layer": [part.heads for part in mixers],
            "layer_types": pieces.write_layer_types(arch),
            "mlp_layer_types": pieces.write_sparse_layers(arch),
            "hidden_act": pieces.write_activation((moe or dense).activation),
        }
        | (_write_experts(moe) if moe else {})
        | ({"intermediate_size": dense.d_ff} if dense else {})
        | unless(None, sliding_window=pieces.window(arch))
        | rotary.write_ropes(near, far, arch.context)
        | pieces.write_precision(arch)
    )


def _write_experts(moe: Experts) -> dict:
    return {
        "num_experts": moe.count,
        "num_experts_per_tok": moe.top_k,
        "moe_intermediate_size": moe.d_ff,
        "shared_expert_intermediate_size": moe.shared.d_ff if moe.shared else 0,
        "moe_routed_scaling_factor": moe.router.scale,
        "moe_router_logit_softcapping": moe.router.softcap or 0.0,
    }


def sources(arch: Architecture) -> Sources:
    return tensors.also_named(tensors.llama_sources(arch), PUBLISHED)
