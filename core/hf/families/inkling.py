"""Inkling (Thinking Machines): relative attention, short convolutions on keys, values and every part's output, experts whose shared
ones are weighed by the router too."""

import math

import torch

from ...parts.position import NoPosition
from ...parts.relative import RelativeAttention
from ...parts.residual import Residual
from ...parts.temperature import LateTemperature
from ...spec import Architecture, Unsupported
from ..reading import pieces
from ..reading.config import Config, text_config
from ..reading.pieces import unless
from ..weights import mtp, tensors
from ..weights.checkpoint import Sources
from ..weights.tensors import ignored as _ignored
from ..weights.tensors import one
from . import deepseek_v3 as v3

TYPES = ("inkling_text", "inkling_mm_model")
KINDS = {"local": "hybrid_sliding", "global": "hybrid"}
# Two names of one key, and what always holds where a checkpoint says it.
NAMES = {
    "max_position_embeddings": "model_max_length", "sliding_window_size": "sliding_window", "n_routed_experts": "num_local_experts",
    "conv_kernel_size": "sconv_kernel_size", "logits_mup_width_multiplier": "embedding_multiplier",
}  # fmt: skip
ALWAYS = {
    "gate_activation": "sigmoid", "norm_after_topk": True, "use_global_scale": True, "use_gate_bias": True, "use_sconv": True,
    "use_embed_norm": True, "shared_expert_sink": True, "q_bias": False, "o_bias": False, "tie_word_embeddings": False,
}  # fmt: skip
UNREAD = ("rms_norm_eps_moe_gate", "number_of_conv_states")
BESIDE = {  # what stands in the wrapper's mtp_config, and what it is called in a text model's own
    "num_nextn_predict_layers": "num_mtp_layers", "local_layer_ids": "mtp_local_layer_ids",
    "chain_hidden_post_norm": "chain_hidden_post_norm",
}  # fmt: skip
AHEAD = mtp.Names(
    "mtp.layers.{module}.transformer_block", "mtp.layers.{module}.embed_norm", "mtp.layers.{module}.hidden_norm",
    ("mtp.layers.{module}.input_proj",), "mtp.chain_norm", {}, stream_first=True,
)  # fmt: skip


def read(config: Config, model_type: str) -> dict:
    if model_type == "inkling_mm_model":
        foretold = config.nested("mtp_config")
        text = text_config(config, "inkling_text", tie=False)
        text.raw = {ours: foretold.raw[key] for key, ours in BESIDE.items() if foretold.has(key)} | text.raw
        foretold.ignore(*BESIDE)
        foretold.finish()
        value = read(text, "inkling_text")
        text.finish(value)
        return value
    config.ignore(*UNREAD)
    for key, value in ALWAYS.items():
        config.expect(key, value)
    config.expect("final_logit_softcapping", None)
    depth, vocabulary = config.depth("num_hidden_layers", 66), config.count("vocab_size", 201_024)
    routed, wide = _widths(config)
    local = config.listing("local_layer_ids", int)
    near = {n for n in range(depth) if (n + 1) % 6} if local is None else set(local)
    usual = ["hybrid_sliding" if n in near else "hybrid" for n in range(depth)]
    types = pieces.layer_types(config, depth, usual, *KINDS.values())
    sparse = pieces.sparse_layers(config, depth, config.count("dense_mlp_idx", 0, least=0))
    kept = config.count("unpadded_vocab_size", vocabulary)
    value = {
        "vocab_size": vocabulary,
        "d_model": config.count("hidden_size", 6_144),
        "context": _count(config, "max_position_embeddings", 131_072),
        "embedding": {"norm": True},
        "norm": {"kind": "rms", "eps": config.take("rms_norm_eps", float, 1e-6)},
        "residual": {"kernel": _count(config, "conv_kernel_size", 4)},
        "head": {"scale": 1 / _number(config, "logits_mup_width_multiplier", 24.0)} | ({"kept": kept} if kept < vocabulary else {}),
    }
    activation = unless("swiglu", activation=pieces.activation(config))
    parts = _attention(config, value["residual"]["kernel"]) | {
        "dense": {"kind": "feed_forward", "d_ff": wide, "out_scale": True} | activation,
        "moe": _experts(config, routed) | activation,
    }
    blocks = [
        ["local" if word == "hybrid_sliding" else "global", "moe" if routed else "dense"]
        for word, routed in zip(types, sparse, strict=True)
    ]
    return pieces.assemble(config, value, {"kind": "none"}, parts, blocks, **_modules(config))


def _modules(config: Config) -> dict:
    """The multi-token-prediction modules: dense, some in a window, without a norm before the head, or one for all."""
    count = config.count("num_mtp_layers", 0, least=0, most=16)
    near = config.listing("mtp_local_layer_ids", int, ())
    chained = config.take("chain_hidden_post_norm", bool, False)
    config.ignore("mtp_hidden_states_first")
    if count and not config.take("mtp_hidden_states_first", bool, True):
        raise config.refuse("mtp_hidden_states_first", "in this family the stream stands before the next token")
    if chained and count > 1:
        raise config.refuse("chain_hidden_post_norm", "the spec has no norm that several such modules share alone")
    return mtp.each([["local" if n in near else "global", "dense"] for n in range(count)], **unless(True, norm=chained))


def _count(config: Config, key: str, usual: int) -> int:
    """A key that has another name, which may stand beside it only to say the same."""
    value = config.count(key, config.count(NAMES[key], usual))
    config.expect(NAMES[key], value)
    return value


def _number(config: Config, key: str, usual: float) -> float:
    value = config.positive(key, config.positive(NAMES[key], usual))
    config.expect(NAMES[key], value)
    return value


def _widths(config: Config) -> tuple[int, int]:
    """Of one expert and of a dense network; older files call the expert's intermediate_size."""
    routed, wide = config.count("moe_intermediate_size", 3_072), config.count("intermediate_size", 24_576)
    dense = config.count("dense_intermediate_size", None)
    return (routed, wide) if dense is None else (wide, dense)


def _attention(config: Config, kernel: int) -> dict[str, dict]:
    window, extent = _count(config, "sliding_window_size", 512), config.count("rel_extent", 1_024)
    floor, alpha = config.count("log_scaling_n_floor", None), config.take("log_scaling_alpha", float, 0.1)
    parts = {}
    for name, prefix, kv_heads in (("local", "swa_", 16), ("global", "", 8)):
        head_dim = config.count(f"{prefix}head_dim", 128)
        parts[name] = {
            "kind": "relative_attention",
            "heads": config.count(f"{prefix}num_attention_heads", 64),
            "kv_heads": config.count(f"{prefix}num_key_value_heads", kv_heads),
            "head_dim": head_dim,
            "qk_norm": {},
            "scores": {"scale": 1 / head_dim},
            "relative_dim": config.count("d_rel", 16),
            "extent": extent if name == "global" else window,
            "kernel": kernel,
        }
    parts["local"] |= pieces.sight(window)
    if floor is not None:
        parts["global"]["scores"]["temperature"] = {"kind": "late", "scale": alpha, "length": floor}
    return parts


def _experts(config: Config, d_ff: int) -> dict:
    shared = config.count("n_shared_experts", 2)
    return {
        "kind": "experts",
        "count": _count(config, "n_routed_experts", 256),
        "top_k": config.count("num_experts_per_tok", 6),
        "d_ff": d_ff,
        "router": {
            "score": "sigmoid",
            "normalise": True,
            "selection_bias": True,
            "all_scale": True,
            "scale": config.take("route_scale", float, 8.0),
        },
        "shared": {"d_ff": shared * d_ff, "count": shared, "scored": True},
    }


def write(arch: Architecture) -> dict:
    kinds = dict.fromkeys(KINDS, RelativeAttention | None) | pieces.FEEDS
    local, far, dense, moe = pieces.made_of(arch, kinds, NoPosition)
    if not isinstance(arch.residual, Residual) or moe and not moe.shared:
        raise Unsupported("residual: this family needs a plain residual, and shared experts")
    written = {
        "architectures": ["InklingForCausalLM"], "model_type": "inkling_text", "vocab_size": arch.vocab_size,
        "unpadded_vocab_size": arch.head.kept, "hidden_size": arch.d_model, "num_hidden_layers": arch.depth,
        "max_position_embeddings": arch.context, "rms_norm_eps": arch.norm.eps, "conv_kernel_size": arch.residual.kernel,
        "logits_mup_width_multiplier": _whole(1 / arch.head.scale), "d_rel": (local or far).relative_dim,
        "layer_types": [KINDS[block[0].parts[0]] for block in arch.sequence], "mlp_layer_types": pieces.write_sparse_layers(arch),
        "hidden_act": pieces.write_activation((moe or dense).activation),
    }  # fmt: skip
    if arch.mtp:
        near = [module for module, block in enumerate(arch.mtp.each) if block[0].parts == ("local",)]
        written |= {"num_mtp_layers": v3.write_mtp(arch), "mtp_local_layer_ids": near, "chain_hidden_post_norm": arch.mtp.norm}
    for prefix, part in (("swa_", local), ("", far)):
        written |= {f"{prefix}{key}": value for key, value in pieces.write_heads(part).items()} if part else {}
    if local:
        written["sliding_window_size"] = local.sight.window
    if far:
        late = far.scores.temperature
        if not isinstance(late, LateTemperature | None):
            raise Unsupported(f"temperature: this family's scores grow past a length, not by {late.kind}; give kind late")
        written |= {"rel_extent": far.extent, "log_scaling_n_floor": late and late.length}
        written |= {"log_scaling_alpha": late.scale} if late else {}
    if dense:
        written["intermediate_size"] = dense.d_ff
    if moe:
        written |= {
            "n_routed_experts": moe.count, "num_experts_per_tok": moe.top_k, "moe_intermediate_size": moe.d_ff,
            "n_shared_experts": moe.shared.count, "route_scale": moe.router.scale,
        }  # fmt: skip
    return written | pieces.write_precision(arch)


def _whole(number: float) -> float:
    """Without what two divisions leave."""
    return float(round(number)) if math.isfinite(number) and abs(number - round(number)) < 1e-9 * number else number


def sources(arch: Architecture) -> Sources:
    yield one("embedding.weight", "model.embed_tokens.weight")
    yield one("embedding_norm.weight", "model.embed_tokens.embed_norm.weight")
    yield one("norm.weight", "model.norm.weight")
    yield one("head.weight", "lm_head.weight")
    for layer, (mix, ff) in enumerate(arch.sequence):
        at, path = f"model.layers.{layer}", f"layers.{layer}.{mix.parts[0]}"
        yield one(f"{path}_norm.weight", f"{at}.input_layernorm.weight")
        yield one(f"{path}_add.convolve.weight", f"{at}.attn_sconv.conv1d.weight")
        yield from tensors.attention_sources(path, f"{at}.self_attn", arch.part(mix.parts[0]))
        yield one(f"{path}.relative.weight", f"{at}.self_attn.r_proj.weight")
        yield one(f"{path}.profile.weight", f"{at}.self_attn.rel_logits_proj.proj")
        for name in "kv":
            yield one(f"{path}.{name}_convolve.weight", f"{at}.self_attn.{name}_sconv.conv1d.weight")
        path, part = f"layers.{layer}.{ff.parts[0]}", arch.part(ff.parts[0])
        yield one(f"{path}_norm.weight", f"{at}.post_attention_layernorm.weight")
        yield one(f"{path}_add.convolve.weight", f"{at}.mlp_sconv.conv1d.weight")
        if part.kind != "experts":
            yield from tensors.dense_sources(path, f"{at}.mlp", part)
            yield one(f"{path}.out_scale.weight", f"{at}.mlp.global_scale")
            continue
        yield from tensors.experts_sources(path, f"{at}.mlp", part.model_copy(update={"shared": None}))
        yield one(f"{path}.router.all_scale", f"{at}.mlp.gate.global_scale")
        for name in ("gate", "up"):
            yield one(f"{path}.shared.{name}.weight", f"{at}.mlp.shared_experts.{name}_proj", make=lambda each: each.flatten(0, 1))
        yield one(f"{path}.shared.down.weight", f"{at}.mlp.shared_experts.down_proj", make=lambda each: torch.cat(tuple(each), 1))


def ignored(name: str) -> bool:
    return _ignored(name) or name.startswith("model.mtp.")
