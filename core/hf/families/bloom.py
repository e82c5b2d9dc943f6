"""BLOOM (arXiv:2211.05100): ALiBi in place of positions, and a norm on the embeddings."""

from functools import partial

from ...parts.attention import Attention
from ...parts.feedforward import FeedForward
from ...parts.position import Alibi
from ...spec import Architecture
from ..reading import pieces
from ..reading.config import Config
from . import before_llama

TYPES = ("bloom",)
ROOTS = ("transformer.",)
CONTEXT = 2_048  # the length it was trained with; its config.json does not say
NAMES = before_llama.Names(
    embedding="transformer.word_embeddings", embedding_norm="transformer.word_embeddings_layernorm", layer="transformer.h.{}",
    norm="transformer.ln_f", qkv="self_attention.query_key_value", split=before_llama.by_group, o="self_attention.dense",
    up="mlp.dense_h_to_4h", down="mlp.dense_4h_to_h",
)  # fmt: skip
sources = partial(before_llama.sources, names=NAMES)


def read(config: Config, model_type: str) -> dict:
    d_model = config.count("hidden_size", config.count("n_embed", 64))
    heads = "n_head" if config.has("n_head") else "num_attention_heads"
    config.expect("apply_residual_connection_post_layernorm", False)
    config.ignore(
        "slow_but_exact",
        "skip_bias_add",
        "skip_bias_add_qkv",
        "masked_softmax_fusion",
        "offset_alibi",
    )
    config.ignore("bias_dropout_fusion", "n_inner", "seq_length")
    config.expect("n_inner", 4 * d_model)
    parts = {
        "attention": before_llama.attention(config, d_model, heads, 8) | {"bias": True},
        "dense": {"kind": "feed_forward", "d_ff": 4 * d_model, "activation": "gelu_tanh", "bias": True},
    }
    return before_llama.model(
        config, parts, ["attention", "dense"], config.depth("n_layer" if config.has("n_layer") else "num_hidden_layers", 2),
        ("layer_norm_epsilon", 1e-5), vocab_size=config.count("vocab_size", 250_880), d_model=d_model, position={"kind": "alibi"},
        context=config.count("seq_length", CONTEXT), embedding={"norm": True},
        tied_embeddings=config.take("tie_word_embeddings", bool, True),
    )  # fmt: skip


def write(arch: Architecture) -> dict:
    attention, _ = pieces.made_of(arch, {"attention": Attention, "dense": FeedForward}, Alibi)
    return {
        "architectures": ["BloomForCausalLM"], "model_type": "bloom", "vocab_size": arch.vocab_size, "hidden_size": arch.d_model,
        "n_layer": arch.depth, "n_head": attention.heads, "layer_norm_epsilon": arch.norm.eps,
        "seq_length": arch.context, "tie_word_embeddings": arch.tied_embeddings,
    } | pieces.write_precision(arch)  # fmt: skip


def ignored(name: str) -> bool:
    return False
