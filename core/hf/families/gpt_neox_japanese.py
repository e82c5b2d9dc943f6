"""GPT-NeoX Japanese: one part after the other, no biases but on the last layer's attention."""

from ...parts.attention import Attention
from ...parts.feedforward import FeedForward
from ...spec import Architecture
from ..reading import pieces, rotary
from ..reading.config import Config
from ..weights.checkpoint import Source, Sources
from . import before_llama

TYPES = ("gpt_neox_japanese",)
ROOTS = ("gpt_neox_japanese.", "embed_out.")
NAMES = before_llama.Names(
    embedding="gpt_neox_japanese.embed_in", layer="gpt_neox_japanese.layers.{}", norm="gpt_neox_japanese.final_layer_norm",
    head="embed_out", qkv="attention.query_key_value", split=before_llama.by_group, o="attention.dense", up="mlp.dense_h_to_4h",
    down="mlp.dense_4h_to_h",
)  # fmt: skip


def read(config: Config, model_type: str) -> dict:
    d_model, context = config.count("hidden_size", 2_560), config.count("max_position_embeddings", 2_048)
    times, depth = config.count("intermediate_multiple_size", 4), config.depth("num_hidden_layers", 32)
    attention = before_llama.attention(config, d_model, "num_attention_heads", 32)
    parts = {
        "attention": attention,
        "last": attention | {"out_bias": True},
        "dense": before_llama.dense(config, d_model * times, "hidden_act", "gelu", bias=False),
    }
    base, share = config.take("rotary_emb_base", float, 10_000.0), config.take("rotary_pct", float, 1.0)
    config.expect("rope_theta", base)  # transformers looks at rotary_emb_base and rotary_pct alone
    config.expect("partial_rotary_factor", share)
    value = {
        "vocab_size": config.count("vocab_size", 32_000),
        "d_model": d_model,
        "context": context,
        "tied_embeddings": config.take("tie_word_embeddings", bool, True),
        "norm": {"kind": "layer", "eps": config.take("layer_norm_eps", float, 1e-5)},
    }
    position = rotary.rope(config, context, theta=base, fraction=share)
    blocks = [["attention", "dense"]] * (depth - 1) + [["last", "dense"]]
    return pieces.assemble(config, value, position, parts, blocks)


def write(arch: Architecture) -> dict:
    kinds = {"last": Attention, "dense": FeedForward, "attention": Attention | None}
    attention, dense, _ = pieces.made_of(arch, kinds)
    return {
        "architectures": ["GPTNeoXJapaneseForCausalLM"], "model_type": "gpt_neox_japanese", "vocab_size": arch.vocab_size,
        "hidden_size": arch.d_model, "num_hidden_layers": arch.depth, "num_attention_heads": attention.heads,
        "intermediate_multiple_size": dense.d_ff // arch.d_model, "hidden_act": before_llama.written_activation(dense.activation),
        "layer_norm_eps": arch.norm.eps, "max_position_embeddings": arch.context, "rotary_pct": arch.position.fraction,
        "rotary_emb_base": arch.position.base, "tie_word_embeddings": arch.tied_embeddings,
    } | rotary.write_rope(arch.position, arch.context) | pieces.write_precision(arch)  # fmt: skip


def sources(arch: Architecture) -> Sources:
    for path, ways in before_llama.sources(arch, NAMES):
        yield path, [Source(tuple(n.replace("dense.bias", "dense_bias") for n in way.names), way.make) for way in ways]


def ignored(name: str) -> bool:
    return name.endswith("rotary_emb.inv_freq")
