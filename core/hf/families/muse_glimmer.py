"""Muse Glimmer (Meta, 2026): norms before and after each part, the latter with an eps of their own, and one without weights on the
embedding; gated attention with norms of queries and keys that have no weights. Three layers in a window, with rope, to one that
sees everything, without."""

from ...parts.attention import Attention
from ...parts.feedforward import FeedForward
from ...spec import Architecture, Unsupported
from ..reading import pieces, rotary
from ..reading.config import Config, text_config
from ..weights import tensors
from ..weights.checkpoint import Source, Sources
from ..weights.tensors import ignored as ignored
from .gemma2 import KINDS, window

TYPES = ("muse_glimmer_text", "muse_glimmer")  # muse_glimmer wraps the text model and one that sees
NOPE = {"position": {"kind": "none"}}


def read(config: Config, model_type: str) -> dict:
    if model_type == "muse_glimmer":
        config.ignore("out_hidden_size", "projector_hidden_size", "projector_hidden_act")
        text = text_config(config, "muse_glimmer_text")
        value = read(text, "muse_glimmer_text")
        text.finish(value)
        return value
    value = pieces.sizes(config, vocab_size=202_048, d_model=6_656, context=131_072, tied=False, eps=1e-5)
    value["norm"] |= {"unit_offset": True}
    value["residual"] = {"norm": "sandwich", "after_eps": config.take("post_norm_eps", float, 1e-8)}
    value["embedding"] = {"norm": True, "weightless": True}
    value["head"] = {
        "scale": config.take("output_multiplier", float, 0.19611613513818404),
        "softcap": config.take("final_logit_softcapping", float, 20.0),
    }
    depth = config.depth("num_hidden_layers", 52)
    last = [(depth - 1 - layer) % 4 == 0 for layer in range(depth)]  # of each four layers, from the end
    types = pieces.layer_types(
        config, depth, ["full_attention" if far else "sliding_attention" for far in last], *KINDS
    )
    bases = config.listing("layer_rope_theta", (int, float)) or [0.0 if far else 1.0 for far in last]
    if len(bases) != depth:
        raise config.refuse("layer_rope_theta", f"it has {len(bases)} entries for {depth} layers")
    attention, near = _attention(config, value["d_model"]), {"window": window(config, types, 2_048)}
    layers = [
        attention | (near if kind == "sliding_attention" else {}) | ({} if base else NOPE)
        for kind, base in zip(types, bases, strict=True)
    ]
    names = [_name(kind, base) for kind, base in zip(types, bases, strict=True)]
    parts = dict(zip(names, layers, strict=True)) | {"dense": pieces.dense(config, 19_968, act="hidden_activation")}
    return pieces.assemble(config, value, rotary.rope(config, value["context"]), parts, [[n, "dense"] for n in names])


def _name(kind: str, base: float) -> str:
    """`local` layers have rope and `global` ones none; the others say so."""
    near = kind == "sliding_attention"
    return ("local" if base else "local_nope") if near else ("global_rope" if base else "global")


def _attention(config: Config, d_model: int) -> dict:
    part = pieces.attention(config, d_model, heads=32, kv_heads=2, head_dim=128)
    bare = {"norm": {"kind": "rms", "eps": config.take("rms_norm_eps", float, 1e-5), "weight": False}}
    scale = config.take("qk_scale_factor", float, 3.87) * part["head_dim"] ** -0.5
    return part | {"qk_norm": bare, "gate": {"bias": False} if part.get("bias") else True, "scale": scale}


def write(arch: Architecture) -> dict:
    kinds = {"dense": FeedForward, "local*": Attention, "global*": Attention}
    dense = pieces.write_dense(*pieces.made_of(arch, kinds))
    parts = pieces.mixers(arch)
    if not parts[0].scores.scale:
        raise Unsupported("parts.local.scores.scale: this family's scores have one")
    dense["hidden_activation"] = dense.pop("hidden_act")
    ropes = [0.0 if part.position and part.position.kind == "none" else arch.position.base for part in parts]
    return (
        {"architectures": ["MuseGlimmerForConditionalGeneration"], "model_type": "muse_glimmer_text"}
        | pieces.write_sizes(arch)
        | pieces.write_heads(parts[0])
        | dense
        | {
            "attention_bias": parts[0].bias,
            "post_norm_eps": arch.residual.after_eps,
            "output_multiplier": arch.head.scale,
            "final_logit_softcapping": arch.head.softcap,
            "qk_scale_factor": round(parts[0].scores.scale * parts[0].head_dim ** 0.5, 12),
            "sliding_window": pieces.window(arch) or 2_048,
            "layer_types": pieces.write_layer_types(arch),
            "layer_rope_theta": ropes,
        }
        | rotary.write_rope(arch.position, arch.context)
        | pieces.write_precision(arch)
    )


def sources(arch: Architecture) -> Sources:
    for path, ways in tensors.llama_sources(arch):
        if path == "norm.weight":  # the one norm whose weight is stored as it is
            ways = [Source(way.names, lambda weight: weight - 1) for way in ways]
        yield path, ways
