"""Laguna (poolside, 2026): as many query heads as each layer's kind wants, a softplus gate on what attention gives, DeepSeek-V3's
router."""

from ...parts.attention import Attention
from ...spec import Architecture, Unsupported
from ..reading import keys, pieces, rotary
from ..reading.config import Config
from ..reading.keys import Key, Rule
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


def soft_cap(config: Config, said: dict) -> None:
    cap = config.take("moe_router_logit_softcapping", float, 0.0)
    said["moe"]["router"] |= {"softcap": cap} if cap > 0 else {}


KEYS = (
    *keys.sizes(100_352, 2_048, 131_072, 40),
    *keys.attention(48, 8, 128, qk_norm={}),
    *keys.feed_forward(8_192),
    *keys.experts(
        256, 8, 512, names="num_experts",
        router={"score": "sigmoid", "normalise": True, "selection_bias": True, "counted": True},
    ),
    Key("shared_expert_intermediate_size", "moe.shared.d_ff", 512, none=0, least=0),
    Key("moe_routed_scaling_factor", "moe.router.scale", 1.0),
    Rule(soft_cap),
    *keys.only(moe_apply_router_weight_on_input=False, norm_topk_prob=True, decoder_sparse_step=1),
)  # fmt: skip


def read(config: Config, model_type: str) -> dict:
    said = keys.read(config, KEYS)
    depth, part = said["depth"], said.pop("attention")
    part["gate"] = {"per": _gate(config), "activation": "softplus", "bias": False}
    types = pieces.layer_types(config, depth, ["full_attention"] * depth, "full_attention", "sliding_attention")
    heads = config.listing("num_attention_heads_per_layer", int) or [part["heads"]] * depth
    if len(heads) != depth or min(heads) < 1:
        raise config.refuse("num_attention_heads_per_layer", f"give a number for each of the {depth} layers")
    near, said["position"] = rotary.ropes(config, said["context"], 5e5, 1e4, 1.0, USUAL)
    window = pieces.sight(config.count("sliding_window", 512)) | ({} if near == said["position"] else {"position": near})
    own = {"full_attention": {}, "sliding_attention": window}
    parts, order = pieces.named_kinds([part | {"heads": n} | own[word] for n, word in zip(heads, types, strict=True)])
    sparse = pieces.sparse_layers(config, depth, 1)
    config.expect("qkv_bias", part["bias"])
    config.expect("mlp_only_layers", [n for n, routed in enumerate(sparse) if not routed])
    blocks = [[name, "moe" if routed else "dense"] for name, routed in zip(order, sparse, strict=True)]
    return pieces.model(config, said | parts, blocks)


def _gate(config: Config) -> str:
    says = config.take("gating", (bool, str), True)
    if says not in GATES:
        raise config.refuse("gating", "give true, 'per-head' or 'per-element'")
    return GATES[says]


def write(arch: Architecture) -> dict:
    kinds = dict.fromkeys(("attention", "local*", "global*"), Attention | None) | pieces.FEEDS
    _, _, moe = pieces.made_of(arch, kinds)
    mixers = pieces.mixers(arch)
    if not mixers[0].gate:
        raise Unsupported("parts.attention.gate: this family's attention has a gate; give one")
    written = pieces.write_model(arch, "Laguna", "laguna", KEYS, attention=mixers[0]) | {
        "gating": "per-head" if mixers[0].gate.per == "head" else "per-element",
        "num_attention_heads_per_layer": [part.heads for part in mixers],
        "layer_types": pieces.write_layer_types(arch),
        "mlp_layer_types": pieces.write_sparse_layers(arch),
    }
    written |= {"moe_router_logit_softcapping": moe.router.softcap or 0.0} if moe else {}
    written |= unless(None, sliding_window=pieces.window(arch))
    return written | rotary.write_ropes(*pieces.near_and_far(arch), arch.context)


def sources(arch: Architecture) -> Sources:
    return tensors.also_named(tensors.llama_sources(arch), PUBLISHED)
