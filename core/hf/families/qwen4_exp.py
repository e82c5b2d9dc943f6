"""Qwen4-Exp (Qwen 2026): Qwen3.5's gated delta nets with experts, attention to blocks that pooled keys choose, residual streams
that every part reads through gates, and in some layers n-grams that join all streams."""

import torch
from torch import Tensor

from ...parts.delta import GatedDeltaNet
from ...parts.experts import Experts
from ...parts.gated_streams import GatedStreams
from ...parts.ngram_streams import NGramStreams
from ...parts.pooled_sparse import PooledSparseAttention
from ...spec import Architecture, Unsupported
from ..reading import keys, pieces, rotary
from ..reading.config import Config, wrapped
from ..reading.pieces import unless
from ..weights.checkpoint import Source, Sources
from ..weights.tensors import one
from . import qwen3_next

TYPES = ("qwen4_exp_text", "qwen4_exp")  # the second wraps a text model and one that sees images
HASH = ("layer_multipliers", "ngram_heads_vocab_sizes", "ngram_heads_offsets")  # computed, yet in the files
SHARDS = (512, 128)  # pieces that the files have the n-gram table in: by default, and Qwen3.8-Flash-Next's


def ignored(name: str) -> bool:
    return name.endswith(HASH) or qwen3_next.ignored(name)


def read(config: Config, model_type: str) -> dict:
    if model_type == "qwen4_exp":
        return wrapped(config, read, "qwen4_exp_text")
    value = pieces.sizes(config, vocab_size=248_320, d_model=2_048, context=32_768, tied=False, eps=1e-6)
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
    types = pieces.layer_types(config, depth, usual, "linear_attention", "indexed_attention", "full_attention")
    order = ["delta" if word == "linear_attention" else "attention" for word in types]
    attention = keys.read(config, keys.attention(16, 2, 256), {"d_model": value["d_model"]})["attention"]
    gate = config.take("output_gate_type", str, config.take("hidden_act", str, "silu"))
    if gate not in ("silu", "swish", "sigmoid"):
        raise config.refuse("output_gate_type", "only silu or sigmoid is supported")
    delta = keys.read(config, qwen3_next.DELTA)["delta"] | unless(False, sigmoid_gate=gate == "sigmoid")
    parts = {"delta": delta, "moe": keys.read(config, qwen3_next.experts(512, 10, True))["moe"]}
    if "attention" in order:
        parts["attention"] = attention | {"kind": "pooled_sparse_attention", "qk_norm": {}, "gate": True} | indexer(config)
    # Nothing reads these.
    config.ignore("mamba_ssm_dtype", "mtp", "mtp_num_hidden_layers", "mtp_use_dedicated_embeddings")
    config.ignore("indexer_n_heads", "indexer_kv_heads", "indexer_head_dim", "indexer_budget", "indexer_compress_ratio")
    blocks = [[mixer, "moe"] for mixer in order]
    for place, layer in enumerate(sorted(set(config.listing("ple_layer_ids", int) or ()))):
        if not (0 < layer <= depth and order[layer - 1] == "delta"):
            raise config.refuse("ple_layer_ids", f"give layers of linear attention, from 1 to {depth}")
        name = f"ngrams{place or ''}"
        parts[name] = ngrams(config, value, place)
        residual = {"kind": "all_streams", "streams": value["residual"]["streams"]}
        blocks[layer - 1] = [{"parts": [name], "residual": residual}, *blocks[layer - 1]]
    config.ignore(
        "ple_embed_dim", "ple_conv_kernel_size", "ngram_size", "heads_per_ngram", "ngram_vocab_size_base", "split_ngram_parts", "seed",
        "make_ngram_vocab_size_divisible_by", "number_of_conv_states",
    )  # fmt: skip
    position = rotary.rope(qwen3_next.plain_rope(config), value["context"], fraction=1.0)
    return pieces.assemble(config, value, position, parts, blocks)


def ngrams(config: Config, value: dict, place: int) -> dict:
    """The tables of one layer, which has so many such layers before it."""
    ends = config.take("eos_token_id", (int, list))
    end = (config.listing("eos_token_id", int) or [None])[0] if isinstance(ends, list) else ends
    if end is None or not 0 <= end < value["vocab_size"]:
        raise config.refuse("eos_token_id", f"runs of tokens end at it; give a token below {value['vocab_size']:,}")
    longest, tables = config.count("ngram_size", 3, least=2, most=8), config.count("heads_per_ngram", 8, most=16)
    width, count = config.count("ple_embed_dim", value["d_model"]), (longest - 1) * tables
    if width % count:
        raise config.refuse("ple_embed_dim", f"{count} tables share it; give a multiple of that")
    return {
        "kind": "ngram_streams",
        "streams": value["residual"]["streams"],
        "width": width,
        "longest": longest,
        "tables": tables,
        "rows": config.count("ngram_vocab_size_base", 20_000_000, least=2),
        "multiple": config.count("make_ngram_vocab_size_divisible_by", 128),
        "seed": config.count("seed", 1_234, least=0),
        "kernel": config.count("ple_conv_kernel_size", 4),
        "norm_eps": value["norm"]["eps"],
        "end": end,
        "place": place,
    }


def indexer(config: Config) -> dict:
    config.expect("indexer_kv_heads", 1)
    block, budget = config.count("indexer_compress_ratio", most=512), config.count("indexer_budget")
    if budget % block:
        raise config.refuse("indexer_budget", f"give a multiple of indexer_compress_ratio, {block}")
    heads, dim = config.count("indexer_n_heads"), config.count("indexer_head_dim")
    return {"indexer": {"heads": heads, "dim": dim, "block": block, "top_blocks": budget // block}}


def write(arch: Architecture) -> dict:
    kinds = {"delta": GatedDeltaNet | None, "attention": PooledSparseAttention | None, "moe": Experts}
    delta, part, moe = pieces.made_of(arch, kinds | {"ngrams*": NGramStreams}, layer=())
    if not isinstance(arch.residual, GatedStreams) or any(len(block) < 2 for block in arch.sequence):
        raise Unsupported("residual: this family needs several gated streams")
    written = qwen3_next.write_layers(arch, delta, part, None, moe) | {
        "architectures": ["Qwen4ExpForCausalLM"],
        "model_type": "qwen4_exp_text",
        "layer_types": ["linear_attention" if b[-2].parts == ("delta",) else "indexed_attention" for b in arch.sequence],
        "norm_topk_prob": moe.router.normalise,
        "hc_count": arch.residual.streams,
        "hc_lowrank": arch.residual.rank,
        "output_gate_type": "sigmoid" if delta and delta.sigmoid_gate else "silu",
    }
    for key in ("decoder_sparse_step", "mlp_only_layers", "num_nextn_predict_layers", "mtp_num_hidden_layers"):
        written.pop(key, None)
    if part:
        written |= {
            "indexer_n_heads": part.indexer.heads, "indexer_kv_heads": 1, "indexer_head_dim": part.indexer.dim,
            "indexer_budget": part.indexer.block * part.indexer.top_blocks, "indexer_compress_ratio": part.indexer.block,
        }  # fmt: skip
    with_ngrams = [layer for layer, block in enumerate(arch.sequence, start=1) if len(block) > 2]
    if with_ngrams:
        part = arch.parts["ngrams"]
        written |= {
            "ple_layer_ids": with_ngrams, "ple_embed_dim": part.width, "ple_conv_kernel_size": part.kernel, "ngram_size": part.longest,
            "heads_per_ngram": part.tables, "ngram_vocab_size_base": part.rows, "seed": part.seed, "eos_token_id": part.end,
            "make_ngram_vocab_size_divisible_by": part.multiple,
        }  # fmt: skip
    return written


def sources(arch: Architecture) -> Sources:
    yield from qwen3_next.sources(arch, ngram_streams=_ngrams)
    for index, block in enumerate(arch.sequence):
        at = f"model.layers.{index}"
        for step, theirs in zip(block[-2:], ("attn_hyper_connection", "mlp_hyper_connection"), strict=True):
            yield from _streams(arch, f"layers.{index}.{step.parts[0]}_read", f"{at}.{theirs}")
            yield one(f"layers.{index}.{step.parts[0]}_read.take", f"{at}.{theirs}.block_inject_weight.weight")
        if block[-2].parts == ("attention",):
            yield from _indexer(arch, f"layers.{index}.attention", f"{at}.self_attn.indexer")
    yield from _streams(arch, "merge", "model.hyper_connection_mixer")


def _streams(arch: Architecture, path: str, at: str) -> Sources:
    streams = arch.residual.streams
    yield one(f"{path}.norm_weight", f"{at}.hc_norm.weight", make=lambda weight: weight.unflatten(0, (streams, -1)))
    yield one(f"{path}.down", f"{at}.input_mix_weight_down.weight")
    yield one(f"{path}.up", f"{at}.input_mix_weight_up.weight")


def _ngrams(path: str, at: str, part: NGramStreams) -> Sources:
    at, table = f"{at}.ple", f"{at}.ple.ple_embedding.ngram_embedding"
    pieces = [Source(tuple(f"{table}.shard_{n}.weight" for n in range(count)), _joined) for count in SHARDS]
    yield f"{path}.table.rows.weight", [Source((f"{table}.weight",)), *pieces]
    for name in ("key", "value"):
        yield one(f"{path}.{name}.weight", f"{at}.{name}_proj.weight")
    for ours, theirs in {"key_norm": "norm_key", "stream_norm": "norm_query", "gated_norm": "norm_conv"}.items():
        yield one(f"{path}.{ours}.weight", f"{at}.{theirs}.weight", make=lambda w: w.unflatten(0, (part.streams, -1)))
    yield one(f"{path}.convolve.weight", f"{at}.conv1d.weight")


def _joined(*pieces: Tensor) -> Tensor:
    return torch.cat(pieces)


def _indexer(arch: Architecture, path: str, at: str) -> Sources:
    part = arch.parts["attention"]
    queries = part.indexer.heads * part.indexer.dim
    yield one(f"{path}.index_q.weight", f"{at}.index_qk_proj.weight", make=lambda both: both[:queries])
    yield one(f"{path}.index_k.weight", f"{at}.index_qk_proj.weight", make=lambda both: both[queries:])
    for name in "qk":
        yield one(f"{path}.index_{name}_norm.weight", f"{at}.{name}_layernorm.weight")
