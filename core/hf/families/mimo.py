"""MiMo-V2 (Xiaomi, arXiv:2601.02780): narrow values, scaled; layers in a window have sinks and more key and value heads than the others.

Two forms: transformers' own keys, and Xiaomi's (hybrid_layer_pattern, moe_layer_freq, swa_...), in which the layers in a window
have a word for each of their sizes. Xiaomi's window counts the tokens before a token, transformers' the token itself too.
"""

from ...spec import Architecture
from ..reading import keys, pieces, rotary
from ..reading.config import Config
from ..reading.keys import Always, Key, Keys, Of, Only, Rule, Shared, Unread
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
    said = keys.read(config, KEYS[model_type])
    depth = said["depth"]
    usual = ["full_attention" if n == 0 or (n + 1) % 6 == 0 else "sliding_attention" for n in range(depth)]
    types = pieces.layer_types(config, depth, pieces.patterned(config, "hybrid_layer_pattern", depth, KINDS) or usual, *KINDS)
    frequency = pieces.patterned(config, "moe_layer_freq", depth, ("dense", "sparse"))
    sparse = pieces.sparse_layers(config, depth, 1)
    if frequency and not config.has("mlp_layer_types"):
        sparse = [word == "sparse" for word in frequency]
    full, window = said["attention"], config.count("sliding_window_size", None)
    full |= {"out_bias": False} if full["bias"] else {}
    local = full | said["local"] | pieces.sight(window and window + 1)
    for part in (full, local):
        if part["v_head_dim"] == part["head_dim"]:
            del part["v_head_dim"]
    said["position"], near = _ropes(config, said["context"])
    local |= {} if near == said["position"] else {"position": near}
    parts, order = pieces.named_kinds([{"full_attention": full, "sliding_attention": local}[word] for word in types])
    if "mtp" in said and "sliding_attention" not in types:
        raise config.refuse("num_nextn_predict_layers", "such a module has a window, and no layer has one")
    block = [order[types.index("sliding_attention")], "dense"] if "mtp" in said else []
    blocks = [[name, "moe" if routed else "dense"] for name, routed in zip(order, sparse, strict=True)]
    return pieces.model(config, said | parts, blocks, **mtp.foretold(said, block))


def _epsilon(config: Config, said: dict) -> None:
    """Xiaomi's name of it, where transformers' is not there."""
    other = config.take("layernorm_epsilon", float, 1e-5)
    said["norm"]["eps"] = said["norm"]["eps"] if config.has("rms_norm_eps") else other


def _keys(twice: bool) -> Keys:
    """Where `twice`, layers in a window have two times the key heads of the others."""
    return (
        *keys.sizes(152_576, 4_096, 131_072, 48, eps=1e-5),
        Always("attention", kind="attention"),
        Key("num_attention_heads", "attention.heads", 64),
        Key("num_key_value_heads", "attention.kv_heads", 4),
        Key("head_dim", "attention.head_dim", 192),
        Key("v_head_dim", "attention.v_head_dim", 128),
        Key("attention_value_scale", "attention.value_scale", 0.707, null=1.0),
        Key("attention_bias", "attention.bias", False),
        Key("add_full_attention_sink_bias", "attention.scores.sinks", False),
        Key("swa_num_attention_heads", "local.heads", Of("attention.heads")),
        Key("swa_num_key_value_heads", "local.kv_heads", Of("attention.kv_heads", times=2 if twice else 1)),
        Key("swa_head_dim", "local.head_dim", Of("attention.head_dim")),
        Key("swa_v_head_dim", "local.v_head_dim", Of("attention.v_head_dim")),
        Key("add_swa_attention_sink_bias", "local.scores.sinks", True),
        Key("sliding_window", "local.sight.window", 129),
        *keys.feed_forward(16_384),
        *keys.experts(256, 8, 2_048),
        *v3.balanced(1, 1, 1.0),
        keys.ahead(0, "num_nextn_predict_layers"),
        Shared("num_shared_experts", "moe.shared.count", 0, none=0, quiet=True),
        Only("n_shared_experts", 0),
        Rule(_epsilon),
        Unread("attention_projection_layout attention_chunk_size hybrid_block_size moe_router_dtype"),
        Unread("vision_config audio_config processor_config vision_model_type"),  # MiMo-V2.5 sees and hears
    )


KEYS = {"mimo_v2_flash": _keys(True), "mimo_v2": _keys(False)}


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
    pieces.made_of(arch, pieces.WINDOWED | pieces.FEEDS)
    mixers = pieces.mixers(arch)
    full = next((part for part in mixers if not part.sight.window), mixers[0])
    local = next((part for part in mixers if part.sight.window), full)
    near, far = pieces.near_and_far(arch)
    flash = local.kv_heads == 2 * full.kv_heads and local.scores.sinks and not full.scores.sinks
    name, model_type = ("MiMoV2Flash", "mimo_v2_flash") if flash else ("MiMoV2", "mimo_v2")
    written = pieces.write_model(arch, name, model_type, KEYS[model_type], attention=full, local=local)
    return written | rotary.write_ropes(near, far, arch.context) | {
        "v_head_dim": full.v_dim, "swa_v_head_dim": local.v_dim, "sliding_window": pieces.window(arch),
        "layer_types": pieces.write_layer_types(arch), "mlp_layer_types": pieces.write_sparse_layers(arch),
    }  # fmt: skip


def sources(arch: Architecture) -> Sources:
    return tensors.also_named(tensors.llama_sources(arch), PUBLISHED)


def ignored(name: str) -> bool:
    return tensors.ignored(name) or name.startswith("model.mtp.")
