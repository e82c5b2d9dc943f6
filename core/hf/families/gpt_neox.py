"""GPT-NeoX (arXiv:2204.06745) and Pythia: attention and feed-forward side by side, each with a norm of its own."""

from functools import partial

from ...parts.attention import Attention
from ...parts.feedforward import FeedForward
from ...spec import Architecture
from ..reading import pieces, rotary
from ..reading.config import Config
from . import before_llama

TYPES = ("gpt_neox",)
ROOTS = ("gpt_neox.", "embed_out.")
NAMES = before_llama.Names(
    embedding="gpt_neox.embed_in", layer="gpt_neox.layers.{}", norm="gpt_neox.final_layer_norm", head="embed_out",
    qkv="attention.query_key_value", split=before_llama.by_group, o="attention.dense", up="mlp.dense_h_to_4h", down="mlp.dense_4h_to_h",
)  # fmt: skip
sources = partial(before_llama.sources, names=NAMES)


def read(config: Config, model_type: str) -> dict:
    d_model, context = config.count("hidden_size", 6_144), config.count("max_position_embeddings", 2_048)
    bias = config.take("attention_bias", bool, True)
    parts = {
        "attention": before_llama.attention(config, d_model, "num_attention_heads", 64)
        | pieces.unless(False, bias=bias),
        "dense": before_llama.dense(config, config.count("intermediate_size", 24_576), "hidden_act", "gelu"),
    }
    side = config.take("use_parallel_residual", bool, True)
    base, share = config.take("rotary_emb_base", float, 10_000.0), config.take("rotary_pct", float, 0.25)
    config.expect("rope_theta", base)  # transformers looks at rotary_emb_base and rotary_pct alone
    config.expect("partial_rotary_factor", share)
    config.ignore("classifier_dropout")
    return before_llama.model(
        config, parts, [{"parts": ["attention", "dense"], "own_norms": True}] if side else ["attention", "dense"],
        config.depth("num_hidden_layers", 44), ("layer_norm_eps", 1e-5), vocab_size=config.count("vocab_size", 50_432),
        d_model=d_model, context=context, tied_embeddings=config.take("tie_word_embeddings", bool, False),
        position=rotary.rope(config, context, theta=base, fraction=share),
    )  # fmt: skip


def write(arch: Architecture) -> dict:
    attention, dense = pieces.made_of(arch, {"attention": Attention, "dense": FeedForward}, layer=pieces.abreast(arch))
    return {
        "architectures": ["GPTNeoXForCausalLM"], "model_type": "gpt_neox", "vocab_size": arch.vocab_size, "hidden_size": arch.d_model,
        "num_hidden_layers": arch.depth, "num_attention_heads": attention.heads, "intermediate_size": dense.d_ff,
        "hidden_act": before_llama.written_activation(dense.activation), "attention_bias": attention.bias, "layer_norm_eps": arch.norm.eps,
        "max_position_embeddings": arch.context, "use_parallel_residual": len(arch.sequence[0]) == 1,
        "rotary_pct": arch.position.fraction, "rotary_emb_base": arch.position.base, "tie_word_embeddings": arch.tied_embeddings,
    } | rotary.write_rope(arch.position, arch.context) | pieces.write_precision(arch)  # fmt: skip


def ignored(name: str) -> bool:
    """Masks and tables that are computed."""
    return name.endswith((".attention.bias", ".masked_bias", "rotary_emb.inv_freq"))
