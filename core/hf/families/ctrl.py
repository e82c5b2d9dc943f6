"""CTRL (arXiv:1909.05858): sinusoids, a wide vocabulary, control codes as its first tokens."""

from ...parts.attention import Attention
from ...parts.feedforward import FeedForward
from ...parts.position import Sinusoidal
from ...spec import Architecture
from ..reading import pieces
from ..reading.config import Config
from ..weights.checkpoint import Sources
from . import before_llama

TYPES = ("ctrl",)
ROOTS = ("transformer.",)
NAMES = before_llama.Names(
    embedding="transformer.w", layer="transformer.h.{}", norm="transformer.layernorm", mixer_norm="layernorm1", ff_norm="layernorm2",
    qkv=("multi_head_attention.Wq", "multi_head_attention.Wk", "multi_head_attention.Wv"), o="multi_head_attention.dense",
    up="ffn.0", down="ffn.2",
)  # fmt: skip


def read(config: Config, model_type: str) -> dict:
    d_model = config.count("n_embd", 1_280)
    config.ignore("n_ctx")  # older than n_positions
    config.expect("layer_norm_epsilon", 1e-6)  # in the layers it always is
    if d_model % 2:
        raise config.refuse("n_embd", "sines and cosines fill an even number of channels")
    parts = {
        "attention": before_llama.attention(config, d_model, "n_head", 16) | {"bias": True},
        "dense": {"kind": "feed_forward", "d_ff": config.count("dff", 8_192), "activation": "relu", "bias": True},
    }
    return before_llama.model(
        config, parts, ["attention", "dense"], config.depth("n_layer", 48), ("layer_norm_epsilon", 1e-6),
        vocab_size=config.count("vocab_size", 246_534), d_model=d_model, context=config.count("n_positions", 256),
        position={"kind": "sinusoidal"}, embedding={"scale": "sqrt_d_model"}, head={"bias": True},
        tied_embeddings=config.take("tie_word_embeddings", bool, True),
    )  # fmt: skip


def write(arch: Architecture) -> dict:
    attention, dense = pieces.made_of(arch, {"attention": Attention, "dense": FeedForward}, Sinusoidal)
    return {
        "architectures": ["CTRLLMHeadModel"], "model_type": "ctrl", "vocab_size": arch.vocab_size, "n_embd": arch.d_model,
        "n_positions": arch.context, "n_layer": arch.depth, "n_head": attention.heads, "dff": dense.d_ff,
        "tie_word_embeddings": arch.tied_embeddings,
    } | pieces.write_precision(arch)  # fmt: skip


def sources(arch: Architecture) -> Sources:
    return before_llama.sources(arch, NAMES)


def ignored(name: str) -> bool:
    return False
