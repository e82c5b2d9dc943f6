"""DeepSeekMoE (arXiv:2401.06066): llama's attention, many small experts beside shared ones. Its class came with its weights."""

from ...parts.attention import Attention
from ...spec import Architecture, Unsupported
from ..reading import pieces, rotary
from ..reading.config import Config
from ..weights import tensors
from ..weights.checkpoint import Sources
from . import deepseek_v3 as v3

TYPES = ("deepseek",)
ignored = v3.ignored


def read(config: Config, model_type: str) -> dict:
    value = pieces.sizes(config, vocab_size=102_400, d_model=4_096, context=2_048, tied=False, eps=1e-6)
    depth = config.depth("num_hidden_layers", 30)
    value["position"] = rotary.rope(config, value["context"])
    if value["position"].get("scaling", {"kind": "linear"})["kind"] not in ("linear", "dynamic"):
        raise config.refuse("rope_scaling", "this family's code has linear and dynamic")
    attention = {"kind": "attention"} | pieces.heads(config, value["d_model"], heads=32)
    attention |= pieces.unless(False, bias=config.take("attention_bias", bool, False))
    config.expect("head_dim", value["d_model"] // attention["heads"])
    parts = {"attention": attention, "dense": v3.dense(config, 11_008)}
    first, every = config.count("first_k_dense_replace", 0, least=0), config.count("moe_layer_freq", 1)
    routed = config.has("n_routed_experts")  # without them every layer is dense
    feeds = ["moe" if routed and layer >= first and layer % every == 0 else "dense" for layer in range(depth)]
    if routed:
        parts["moe"] = v3.experts(config, count=..., top_k=..., d_ff=1_407, shared=0) | _router(config)
    return value | v3.blocks(config, parts, feeds)


def _router(config: Config) -> dict:
    config.expect("scoring_func", "softmax")
    normalise = config.take("norm_topk_prob", bool, False)
    several = config.raw["num_experts_per_tok"] > 1  # one chosen expert keeps its score
    return {"router": {"normalise": True}} if normalise and several else {}


def write(arch: Architecture) -> dict:
    attention, _, moe = pieces.made_of(arch, {"attention": Attention} | pieces.FEEDS)
    if moe and not moe.shared:
        raise Unsupported("parts.moe.shared: this family's experts have shared ones beside them")
    written = {
        key: value
        for key, value in v3.write_blocks(arch).items()
        if key not in ("n_group", "topk_group", "routed_scaling_factor")
    }
    at = [layer for layer, block in enumerate(arch.sequence) if block[-1].parts[0] == "moe"]
    every = at[1] - at[0] if len(at) > 1 else max(1, arch.depth if at == [0] else 1)
    return (
        {"architectures": ["DeepseekForCausalLM"], "model_type": "deepseek"}
        | pieces.write_sizes(arch)
        | pieces.write_heads(attention)
        | {"attention_bias": attention.bias}
        | ({"scoring_func": "softmax"} if moe else {})
        | written
        | {"moe_layer_freq": every}
        | rotary.write_rope(arch.position, arch.context)
        | pieces.write_precision(arch)
    )


def sources(arch: Architecture) -> Sources:
    return tensors.llama_sources(arch)
