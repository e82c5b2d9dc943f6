"""GPT-2 (Radford et al. 2019): learned positions, LayerNorm, biases everywhere, one matrix for query, key and value."""

import re
from collections.abc import Iterator

from torch import Tensor

from ..spec import Architecture
from . import common
from .common import one, unless
from .config import Config, layers
from .weights import Source, Sources

TYPES = ("gpt2",)
ROOT = "transformer."


def read(config: Config, model_type: str) -> dict:
    d_model = config.count("n_embd", 768)
    rows = config.count("n_positions", 1_024)
    heads = config.count("n_head", 12)
    if d_model % heads:
        raise config.refuse("n_head", f"n_embd {d_model:,} does not divide into so many heads")
    activation = common.activation(config, "activation_function", "gelu_new", gated=False)
    scaled = config.take("scale_attn_weights", bool, True)
    config.expect("scale_attn_by_inverse_layer_idx", False)
    config.expect("add_cross_attention", False)
    config.expect("n_ctx", rows)
    config.ignore("reorder_and_upcast_attn", "output_past")
    parts = {
        "attention": {
            "kind": "attention",
            "heads": heads,
            "kv_heads": heads,
            "head_dim": d_model // heads,
            "bias": True,
        }
        | ({} if scaled else {"scale": 1.0}),
        "dense": {
            "kind": "feed_forward",
            "d_ff": config.count("n_inner", 4 * d_model),
            "activation": activation,
            "bias": True,
        },
    }
    return {
        "vocab_size": config.count("vocab_size", 50_257),
        "d_model": d_model,
        "context": rows,
        "tied_embeddings": config.take("tie_word_embeddings", bool, True),
        "norm": {"kind": "layer", "eps": config.take("layer_norm_epsilon", float, 1e-5)},
        "position": {"kind": "learned", "length": rows},
        "parts": parts,
        "layers": layers([["attention", "dense"]] * config.depth("n_layer", 12)),
    } | common.precision(config, parts, default="fp32")  # older than the key that says so


def write(arch: Architecture) -> dict:
    attention, dense = arch.parts["attention"], arch.parts["dense"]
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "vocab_size": arch.vocab_size,
        "n_positions": arch.position.length,
        "n_embd": arch.d_model,
        "n_layer": arch.depth,
        "n_head": attention.heads,
        "n_inner": dense.d_ff,
        "activation_function": "gelu_new" if dense.activation == "gelu_tanh" else dense.activation,
        "layer_norm_epsilon": arch.norm.eps,
        "tie_word_embeddings": arch.tied_embeddings,
    } | unless(True, scale_attn_weights=attention.scale is None) | common.write_precision(arch)  # fmt: skip


def sources(arch: Architecture) -> Sources:
    yield one("embedding.weight", "transformer.wte.weight")
    yield one("positions.weight", "transformer.wpe.weight")
    yield from _both("norm", "transformer.ln_f")
    yield from common.head_source(arch, "transformer.wte.weight")
    for index in range(arch.depth):
        ours, theirs = f"layers.{index}", f"transformer.h.{index}"
        yield from _both(f"{ours}.attention_norm", f"{theirs}.ln_1")
        yield from _both(f"{ours}.dense_norm", f"{theirs}.ln_2")
        for third, name in enumerate("qkv"):
            for kind in ("weight", "bias"):
                yield one(f"{ours}.attention.{name}.{kind}", f"{theirs}.attn.c_attn.{kind}", make=_third(third))
        yield from _both(f"{ours}.attention.o", f"{theirs}.attn.c_proj", Tensor.t)
        yield from _both(f"{ours}.dense.up", f"{theirs}.mlp.c_fc", Tensor.t)
        yield from _both(f"{ours}.dense.down", f"{theirs}.mlp.c_proj", Tensor.t)


def _both(ours: str, theirs: str, make=lambda tensor: tensor) -> Iterator[tuple[str, list[Source]]]:
    """Weight and bias. GPT-2 keeps its matrices as (in, out), so they are turned."""
    yield one(f"{ours}.weight", f"{theirs}.weight", make=make)
    yield one(f"{ours}.bias", f"{theirs}.bias")


def _third(index: int):
    """Query, key or value out of (d_model, 3 d_model), or out of the bias."""
    return lambda tensor: tensor.chunk(3, dim=-1)[index].t()


def ignored(name: str) -> bool:
    return re.search(r"\.attn\.(masked_)?bias$", name) is not None  # causal masks
