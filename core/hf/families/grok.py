"""Grok-1 (xAI 2024), as the config.json's of its copies on the Hub say it and as xAI's own code computes it: the two chosen experts'
weights are not divided by their sum, and GELU is the tanh approximation. Grok-2's config.json (its type is "git") as SGLang computes
it, the server that xAI recommends: a rope of type "original" is plain, whatever else stands there, and a dense network runs beside
the experts."""

import math

from ...parts.attention import Attention
from ...parts.experts import Experts
from ...parts.feedforward import FeedForward
from ...parts.temperature import LogTemperature
from ...spec import Architecture, Unsupported
from ..reading import classes, pieces, rotary
from ..reading.config import Config
from ..weights import tensors
from ..weights.checkpoint import Sources
from .deepseek_v3 import either

TYPES = ("grok-1", "git")
PLAIN_ROPE = (
    "scaling_factor extrapolation_factor attn_factor beta_fast beta_slow original_max_position_embeddings".split()
)


def read(config: Config, model_type: str) -> dict:
    if model_type == "git":
        return _read_2(config)
    value = pieces.sizes(config, vocab_size=131_072, d_model=6_144, context=8_192, tied=True, eps=1e-5)
    config.expect("hidden_act", "gelu", "gelu_new")
    value |= {
        "residual": {"norm": "sandwich"},
        "embedding": {"scale": config.take("embedding_multiplier_scale", float, 78.38367176906169)},
        "head": {"scale": config.take("output_multiplier_scale", float, 0.5773502691896257)},
    }
    attention = pieces.attention(config, value["d_model"], biased=None, heads=48, kv_heads=8)
    parts = {
        "attention": attention | {
            "scale": config.take("attn_output_multiplier", float, 0.08838834764831845),
            "softcap": config.take("max_attn_value", float, 30.0),
        },
        "moe": {
            "kind": "experts", "count": either(config, "num_experts", "num_local_experts", 8), "activation": "geglu_tanh",
            "top_k": config.count("num_experts_per_tok", 2), "d_ff": config.count("intermediate_size", 32_768),
        },
    }  # fmt: skip
    blocks = [["attention", "moe"]] * config.depth("num_hidden_layers", 64)
    return pieces.assemble(config, value, rotary.rope(config, value["context"]), parts, blocks)


def _read_2(config: Config) -> dict:
    """Grok-2's keys, all of them: no class has defaults for them."""
    if classes.names(config) != ["Grok1ForCausalLM"]:  # transformers has another model of this type
        raise config.refuse("architectures", "of this type only Grok1ForCausalLM, as Grok-2's files say it, is read")
    value = pieces.sizes(config, vocab_size=..., d_model=..., context=..., tied=False, eps=...)
    config.expect("hidden_act", "gelu")
    config.expect("rope_type", "original")
    config.ignore(*PLAIN_ROPE)
    config.expect("sliding_window_size", -1)
    config.expect("global_attn_every_n", 1)
    if not config.take("residual_moe", bool):
        raise config.refuse("residual_moe", "only Grok-2's dense network beside the experts is read")
    scale = config.take("embedding_multiplier_scale", float)
    value |= {
        "residual": {"norm": "sandwich"},
        "embedding": {"scale": "sqrt_d_model" if math.isclose(scale, value["d_model"] ** 0.5) else scale},
        "head": {
            "scale": config.take("output_multiplier_scale", float),
            "softcap": config.take("final_logit_softcapping", float),
        },
    }
    attention = pieces.attention(config, value["d_model"], biased=None, heads=..., kv_heads=...)
    parts = {
        "attention": attention | {
            "softcap": config.take("attn_logit_softcapping", float),
            "temperature": {"kind": "log", "length": config.count("attn_temperature_len")},
        },
        "dense": pieces.dense(config, ..., default="gelu") | {"activation": "geglu_tanh"},
        "moe": {
            "kind": "experts", "count": config.count("num_local_experts"), "top_k": config.count("num_experts_per_tok"),
            "d_ff": config.count("moe_intermediate_size"), "activation": "geglu_tanh",
            "router": {"softcap": config.take("router_logit_softcapping", float)},
        },
    }  # fmt: skip
    blocks = [["attention", {"parts": ["dense", "moe"], "scale": 1 / 2**0.5}]] * config.depth("num_hidden_layers")
    return pieces.assemble(config, value, {"kind": "rope", "base": config.take("rope_theta", float)}, parts, blocks)


def _write_2(arch: Architecture) -> dict:
    kinds = {"attention": Attention, "dense": FeedForward, "moe": Experts}
    attention, dense, moe = pieces.made_of(arch, kinds, layer=(Attention, (FeedForward, Experts)))
    if not isinstance(attention.scores.temperature, LogTemperature):
        raise Unsupported("parts.attention.scores.temperature: this model's scores grow with a text's logarithm")
    scale = arch.embedding.scale
    return (
        {"architectures": ["Grok1ForCausalLM"], "model_type": "git", "rope_type": "original", "residual_moe": True}
        | pieces.write_sizes(arch)
        | pieces.write_heads(attention)
        | {"embedding_multiplier_scale": arch.d_model**0.5 if scale == "sqrt_d_model" else scale}
        | {"output_multiplier_scale": arch.head.scale, "final_logit_softcapping": arch.head.softcap}
        | {
            "attn_logit_softcapping": attention.scores.softcap,
            "attn_temperature_len": attention.scores.temperature.length,
        }
        | {
            "router_logit_softcapping": moe.router.softcap,
            "intermediate_size": dense.d_ff,
            "rope_theta": arch.position.base,
        }
        | {"num_local_experts": moe.count, "num_experts_per_tok": moe.top_k, "moe_intermediate_size": moe.d_ff}
        | pieces.write_precision(arch)
    )


def write(arch: Architecture) -> dict:
    if "dense" in arch.parts:
        return _write_2(arch)
    attention, moe = pieces.made_of(arch, {"attention": Attention, "moe": Experts})
    return (
        {"architectures": ["Grok1ModelForCausalLM"], "model_type": "grok-1"}
        | pieces.write_sizes(arch)
        | pieces.write_heads(attention)
        | {"attn_output_multiplier": attention.scores.scale, "max_attn_value": attention.scores.softcap}
        | {"embedding_multiplier_scale": arch.embedding.scale, "output_multiplier_scale": arch.head.scale}
        | {"num_experts": moe.count, "num_experts_per_tok": moe.top_k, "intermediate_size": moe.d_ff}
        | rotary.write_rope(arch.position, arch.context)
        | pieces.write_precision(arch)
    )


def sources(arch: Architecture) -> Sources:
    if "dense" in arch.parts:
        return _sources_2(arch)

    def ff(path, at, part):
        names = ("linear", "linear_v", "linear_1")
        return tensors.experts_sources(path, f"{at}.moe_block", part, names=names)

    named = tensors.renamed(
        tensors.llama_sources(arch, ff=ff), self_attn="attn", input_layernorm="pre_attn_norm",
        post_attention_layernorm="post_attn_norm", pre_feedforward_layernorm="pre_moe_norm", post_feedforward_layernorm="post_moe_norm",
    )  # fmt: skip
    return tensors.also_named(named, {"norm.weight": "norm.scale"})


def _sources_2(arch: Architecture) -> Sources:
    def ff(path, at, part):
        if part.kind == "experts":
            yield from tensors.experts_sources(path, f"{at}.block_sparse_moe", part, names=("w1", "w3", "w2"))
        else:
            yield from tensors.dense_sources(path, f"{at}.mlp", part)

    return tensors.renamed(
        tensors.llama_sources(arch, ff=ff), input_layernorm="pre_attn_norm", post_attention_layernorm="post_attn_norm",
        pre_feedforward_layernorm="pre_moe_norm", post_feedforward_layernorm="post_moe_norm",
    )  # fmt: skip


ignored = tensors.ignored
