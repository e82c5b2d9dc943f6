"""GPT-2 (Radford et al. 2019): learned positions, LayerNorm, biases everywhere, one matrix for query, key and value."""

import re
from functools import partial

from ...parts.attention import Attention
from ...parts.feedforward import FeedForward
from ...parts.position import Learned
from ...spec import Architecture
from ..reading import pieces
from ..reading.config import Config
from ..reading.pieces import unless
from . import before_llama

TYPES = ("gpt2", "gpt-sw3")
ROOTS = ("transformer.",)
NAMES = before_llama.Names(
    embedding="transformer.wte", positions="transformer.wpe", layer="transformer.h.{}", norm="transformer.ln_f", mixer_norm="ln_1",
    ff_norm="ln_2", qkv="attn.c_attn", o="attn.c_proj", up="mlp.c_fc", down="mlp.c_proj", turned=True,
)  # fmt: skip
sources = partial(before_llama.sources, names=NAMES)


def read(config: Config, model_type: str) -> dict:
    d_model, rows = config.count("n_embd", 768), config.count("n_positions", 1_024)
    scaled = config.take("scale_attn_weights", bool, True)
    config.expect("scale_attn_by_inverse_layer_idx", False)
    config.expect("add_cross_attention", False)
    config.expect("n_ctx", rows)
    config.ignore("reorder_and_upcast_attn", "output_past")
    part = before_llama.attention(config, d_model, "n_head", 12) | {"bias": True}
    parts = {
        "attention": part | ({} if scaled else {"scale": 1.0}),
        "dense": before_llama.dense(config, config.count("n_inner", 4 * d_model), "activation_function", "gelu_new"),
    }
    return before_llama.model(
        config, parts, ["attention", "dense"], config.depth("n_layer", 12), ("layer_norm_epsilon", 1e-5),
        precision="fp32",  # older than the key that says so
        vocab_size=config.count("vocab_size", 50_257), d_model=d_model, context=rows, position={"kind": "learned", "length": rows},
        tied_embeddings=config.take("tie_word_embeddings", bool, True),
    )  # fmt: skip


def write(arch: Architecture) -> dict:
    attention, dense = pieces.made_of(arch, {"attention": Attention, "dense": FeedForward}, Learned)
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "vocab_size": arch.vocab_size,
        "n_positions": arch.position.length,
        "n_embd": arch.d_model,
        "n_layer": arch.depth,
        "n_head": attention.heads,
        "n_inner": dense.d_ff,
        "activation_function": before_llama.written_activation(dense.activation),
        "layer_norm_epsilon": arch.norm.eps,
        "tie_word_embeddings": arch.tied_embeddings,
    } | unless(True, scale_attn_weights=attention.scale is None) | pieces.write_precision(arch)  # fmt: skip


def ignored(name: str) -> bool:
    return re.search(r"\.attn\.(masked_)?bias$", name) is not None  # causal masks
