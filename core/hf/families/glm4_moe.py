"""GLM-4.5 (arXiv:2508.06471): grouped-query attention that turns half of each head, DeepSeek-V3's experts and router."""

from ...parts.attention import Attention
from ...spec import Architecture
from ..reading import pieces, rotary
from ..reading.config import Config
from ..weights import mtp, tensors
from ..weights.checkpoint import Sources
from . import deepseek_v3 as v3

TYPES = ("glm4_moe",)
ignored = v3.ignored


def read(config: Config, model_type: str) -> dict:
    value = pieces.sizes(config, vocab_size=151_552, d_model=4_096, context=131_072, tied=False, eps=1e-5)
    # A null here would turn whole heads, where an absent key turns halves.
    value["position"] = rotary.rope(
        config, value["context"], fraction=1.0 if config.raw.get("partial_rotary_factor", 0) is None else 0.5
    )
    width = value["d_model"] // config.count("num_attention_heads", 96)  # cut off where heads do not divide the stream
    attention = {"kind": "attention"} | pieces.heads(config, value["d_model"], heads=96, kv_heads=8, head_dim=width)
    if config.take("attention_bias", bool, False):
        attention |= {"bias": True, "out_bias": False}
    if config.take("use_qk_norm", bool, False):
        attention["qk_norm"] = {}
    parts = {
        "attention": attention,
        "dense": v3.dense(config, 10_944),
        "moe": v3.experts(config, count=128, top_k=8, d_ff=1_408, shared=1)
        | {"router": v3.noaux_router(config, 1, 1, 1.0)},
    }
    ahead = mtp.modules(v3.read_mtp(config), ["attention", "moe"], copies=("embedding", "head"))
    return value | v3.leading_dense(config, parts, depth=46, first=1, ahead=ahead)


def write(arch: Architecture) -> dict:
    attention, *_ = pieces.made_of(arch, {"attention": Attention} | pieces.FEEDS)
    return (
        {"architectures": ["Glm4MoeForCausalLM"], "model_type": "glm4_moe"}
        | pieces.write_sizes(arch)
        | pieces.write_heads(attention)
        | {"attention_bias": attention.bias, "use_qk_norm": attention.qk_norm is not None}
        | v3.write_blocks(arch)
        | {"num_nextn_predict_layers": v3.write_mtp(arch)}
        | rotary.write_rope(arch.position, arch.context)
        | {"partial_rotary_factor": arch.position.fraction}
        | pieces.write_precision(arch)
    )


def sources(arch: Architecture) -> Sources:
    return tensors.llama_sources(arch)
