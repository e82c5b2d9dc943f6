"""Grok-1 (xAI 2024), as the config.json's of its copies on the Hub say it and as xAI's own code computes it: the two chosen experts'
weights are not divided by their sum, and GELU is the tanh approximation."""

from ..spec import Architecture
from . import common, rotary, tensors
from .config import Config
from .deepseek_v3 import either
from .weights import Sources

TYPES = ("grok-1",)


def read(config: Config, model_type: str) -> dict:
    value = common.sizes(config, vocab_size=131_072, d_model=6_144, context=8_192, tied=True, eps=1e-5)
    config.expect("hidden_act", "gelu", "gelu_new")
    value |= {
        "residual": {"norm": "sandwich"},
        "embedding": {"scale": config.take("embedding_multiplier_scale", float, 78.38367176906169)},
        "head": {"scale": config.take("output_multiplier_scale", float, 0.5773502691896257)},
    }
    attention = common.attention(config, value["d_model"], biased=None, heads=48, kv_heads=8)
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
    return common.assemble(config, value, rotary.rope(config, value["context"]), parts, blocks)


def write(arch: Architecture) -> dict:
    attention, moe = arch.parts["attention"], arch.parts["moe"]
    return (
        {"architectures": ["Grok1ModelForCausalLM"], "model_type": "grok-1"}
        | common.write_sizes(arch)
        | common.write_heads(attention)
        | {"attn_output_multiplier": attention.scale, "max_attn_value": attention.softcap}
        | {"embedding_multiplier_scale": arch.embedding.scale, "output_multiplier_scale": arch.head.scale}
        | {"num_experts": moe.count, "num_experts_per_tok": moe.top_k, "intermediate_size": moe.d_ff}
        | rotary.write_rope(arch.position, arch.context)
        | common.write_precision(arch)
    )


def sources(arch: Architecture) -> Sources:
    def ff(path, at, part):
        names = ("linear", "linear_v", "linear_1")
        return tensors.experts_sources(path, f"{at}.moe_block", part, names=names)

    named = tensors.renamed(
        tensors.llama_sources(arch, ff=ff), self_attn="attn", input_layernorm="pre_attn_norm",
        post_attention_layernorm="post_attn_norm", pre_feedforward_layernorm="pre_moe_norm", post_feedforward_layernorm="post_moe_norm",
    )  # fmt: skip
    return tensors.also_named(named, {"norm.weight": "norm.scale"})


ignored = tensors.ignored
