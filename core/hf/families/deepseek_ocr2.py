"""The text part of DeepSeek-OCR 2: DeepSeekMoE's attention, DeepSeek-V2's routing (arXiv:2601.20552)."""

from ...parts.attention import Attention
from ...spec import Architecture
from ..reading import pieces, rotary
from ..reading.config import Config
from ..weights.tensors import ignored as ignored
from ..weights.tensors import llama_sources as sources  # noqa: F401
from . import deepseek_v2 as v2
from . import deepseek_v3 as v3

TYPES = ("deepseek_ocr2_text",)


def read(config: Config, model_type: str) -> dict:
    value = pieces.sizes(config, vocab_size=102_400, d_model=4_096, context=2_048, tied=False, eps=1e-6)
    config.ignore("head_dim", "norm_topk_prob")  # heads together are as wide as the stream; weights are as they are
    wide = Config({key: said for key, said in config.raw.items() if key != "head_dim"}, config.where)
    attention = {"kind": "attention"} | pieces.heads(wide, value["d_model"], heads=32)
    config.ignore("num_attention_heads", "num_key_value_heads")
    biased = pieces.unless(False, bias=config.take("mlp_bias", bool, False))
    moe = v3.experts(config, count=64, top_k=..., d_ff=1_407, shared=2, alias="num_experts") | v2.router(config)
    if "shared" in moe:
        moe["shared"] |= biased
    parts = {
        "attention": attention | pieces.unless(False, bias=config.take("attention_bias", bool, False)),
        "dense": v3.dense(config, 11_008) | biased,
        "moe": moe,
    }
    depth = config.depth("num_hidden_layers", 32)
    if not config.has("mlp_layer_types"):
        raise config.refuse("mlp_layer_types", f"give dense or sparse for each of the {depth} layers")
    sparse = pieces.sparse_layers(config, depth, 0)
    value["position"] = rotary.rope(config, value["context"])
    return value | v3.blocks(config, parts, ["moe" if routed else "dense" for routed in sparse])


def write(arch: Architecture) -> dict:
    attention, *_ = pieces.made_of(arch, {"attention": Attention} | pieces.FEEDS)
    written = v3.write_blocks(arch)
    del written["first_k_dense_replace"]
    grouped = written.get("n_group", 1) > 1
    return (
        {"model_type": "deepseek_ocr2_text", "num_experts_per_tok": 1}
        | pieces.write_sizes(arch)
        | pieces.write_heads(attention)
        | written
        | {"attention_bias": attention.bias, "mlp_bias": v2.biased(arch)}
        | {"mlp_layer_types": pieces.write_sparse_layers(arch)}
        | {"topk_method": "group_limited_greedy" if grouped else "greedy"}
        | rotary.write_rope(arch.position, arch.context)
        | pieces.write_precision(arch)
    )
