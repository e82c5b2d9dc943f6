"""Qwen4-Exp (Qwen 2026): Qwen3.5's gated delta nets with experts, attention to blocks that pooled keys choose, and residual streams
that every part reads through gates."""

from ..spec import Architecture
from . import common, qwen3_next, rotary
from .common import unless
from .config import Config, text_config
from .tensors import one
from .weights import Sources

TYPES = ("qwen4_exp_text", "qwen4_exp")  # the second wraps a text model and one that sees images
ignored = qwen3_next.ignored


def read(config: Config, model_type: str) -> dict:
    if model_type == "qwen4_exp":
        config.ignore("vision_start_token_id", "vision_end_token_id", "video_token_id", "image_token_id")
        text = text_config(config, "qwen4_exp_text")
        value = read(text, "qwen4_exp_text")
        text.finish()
        return value
    value = common.sizes(config, vocab_size=248_320, d_model=2_048, context=32_768, tied=False, eps=1e-6)
    eps = value["norm"]["eps"]
    value["norm"] |= {"unit_offset": True}
    value["head"] = {"norm": False}
    value["residual"] = {
        "kind": "gated_streams",
        "streams": config.count("hc_count", 4),
        "rank": config.count("hc_lowrank", 320),
        "norm_eps": eps,
    }
    depth = config.depth("num_hidden_layers", 40)
    every = config.count("full_attention_interval", 4)
    usual = ["linear_attention" if (layer + 1) % every else "indexed_attention" for layer in range(depth)]
    types = common.layer_types(config, depth, usual, "linear_attention", "indexed_attention", "full_attention")
    order = ["delta" if word == "linear_attention" else "attention" for word in types]
    attention = common.attention(config, value["d_model"], heads=16, kv_heads=2, head_dim=256)
    gate = config.take("output_gate_type", str, config.take("hidden_act", str, "silu"))
    if gate not in ("silu", "sigmoid"):
        raise config.refuse("output_gate_type", "only silu or sigmoid is supported")
    delta = qwen3_next.delta(config) | unless(False, sigmoid_gate=gate == "sigmoid")
    parts = {"delta": delta, "moe": qwen3_next.experts(config, 512, 10, True)}
    if "attention" in order:
        parts["attention"] = (
            attention | {"kind": "pooled_sparse_attention", "qk_norm": {}, "gate": True} | indexer(config)
        )
    config.ignore("indexer_n_heads", "indexer_kv_heads", "indexer_head_dim", "indexer_budget", "indexer_compress_ratio")
    if config.listing("ple_layer_ids", int):
        raise config.refuse("ple_layer_ids", "the spec has no embeddings of hashed n-grams")
    config.ignore(
        "ple_embed_dim", "ple_conv_kernel_size", "ngram_size", "heads_per_ngram", "ngram_vocab_size_base", "split_ngram_parts", "seed",
        "make_ngram_vocab_size_divisible_by", "number_of_conv_states",
    )  # fmt: skip
    position = rotary.rope(qwen3_next.plain_rope(config), value["context"], fraction=1.0)
    return common.assemble(config, value, position, parts, [[mixer, "moe"] for mixer in order])


def indexer(config: Config) -> dict:
    config.expect("indexer_kv_heads", 1)
    block, budget = config.count("indexer_compress_ratio", most=512), config.count("indexer_budget")
    if budget % block:
        raise config.refuse("indexer_budget", f"give a multiple of indexer_compress_ratio, {block}")
    return {
        "index_heads": config.count("indexer_n_heads"),
        "index_dim": config.count("indexer_head_dim"),
        "block": block,
        "top_blocks": budget // block,
    }


def write(arch: Architecture) -> dict | None:
    if arch.residual.kind != "gated_streams":
        return None
    part, delta = arch.parts.get("attention"), arch.parts.get("delta")
    written = qwen3_next.write(arch) | {
        "architectures": ["Qwen4ExpForCausalLM"],
        "model_type": "qwen4_exp_text",
        "layer_types": ["linear_attention" if b[0].parts == ("delta",) else "indexed_attention" for b in arch.sequence],
        "norm_topk_prob": arch.parts["moe"].router.normalise,
        "hc_count": arch.residual.streams,
        "hc_lowrank": arch.residual.rank,
        "output_gate_type": "sigmoid" if delta and delta.sigmoid_gate else "silu",
    }
    for key in ("decoder_sparse_step", "mlp_only_layers", "num_nextn_predict_layers", "mtp_num_hidden_layers"):
        written.pop(key, None)
    if part:
        written |= {
            "indexer_n_heads": part.index_heads, "indexer_kv_heads": 1, "indexer_head_dim": part.index_dim,
            "indexer_budget": part.block * part.top_blocks, "indexer_compress_ratio": part.block,
        }  # fmt: skip
    return written


def sources(arch: Architecture) -> Sources:
    yield from qwen3_next.sources(arch)
    for index, block in enumerate(arch.sequence):
        at = f"model.layers.{index}"
        for step, theirs in zip(block, ("attn_hyper_connection", "mlp_hyper_connection"), strict=True):
            yield from _streams(arch, f"layers.{index}.{step.parts[0]}_read", f"{at}.{theirs}")
            yield one(f"layers.{index}.{step.parts[0]}_read.take", f"{at}.{theirs}.block_inject_weight.weight")
        if block[0].parts == ("attention",):
            yield from _indexer(arch, f"layers.{index}.attention", f"{at}.self_attn.indexer")
    yield from _streams(arch, "merge", "model.hyper_connection_mixer")


def _streams(arch: Architecture, path: str, at: str) -> Sources:
    streams = arch.residual.streams
    yield one(f"{path}.norm_weight", f"{at}.hc_norm.weight", make=lambda weight: weight.unflatten(0, (streams, -1)))
    yield one(f"{path}.down", f"{at}.input_mix_weight_down.weight")
    yield one(f"{path}.up", f"{at}.input_mix_weight_up.weight")


def _indexer(arch: Architecture, path: str, at: str) -> Sources:
    part = arch.parts["attention"]
    queries = part.index_heads * part.index_dim
    yield one(f"{path}.index_q.weight", f"{at}.index_qk_proj.weight", make=lambda both: both[:queries])
    yield one(f"{path}.index_k.weight", f"{at}.index_qk_proj.weight", make=lambda both: both[queries:])
    for name in "qk":
        yield one(f"{path}.index_{name}_norm.weight", f"{at}.{name}_layernorm.weight")
