"""GPT (Radford et al. 2018): the norm after each sum, none before the head."""

from functools import partial

from ...parts.attention import Attention
from ...parts.feedforward import FeedForward
from ...parts.position import Learned
from ...spec import Architecture
from ..reading import pieces
from ..reading.config import Config
from . import before_llama

TYPES = ("openai-gpt",)
ROOTS = ("transformer.",)
NAMES = before_llama.Names(
    embedding="transformer.tokens_embed", positions="transformer.positions_embed", layer="transformer.h.{}", norm="",
    mixer_norm="ln_1", ff_norm="ln_2", qkv="attn.c_attn", o="attn.c_proj", up="mlp.c_fc", down="mlp.c_proj", turned=True,
)  # fmt: skip
sources = partial(before_llama.sources, names=NAMES)


def read(config: Config, model_type: str) -> dict:
    d_model, rows = config.count("n_embd", 768), config.count("n_positions", 512)
    config.expect("n_ctx", rows)
    config.expect("predict_special_tokens", True)
    config.ignore("n_special", "predict_special_tokens")
    name = config.take("afn", str, "gelu")
    activation = {"gelu": "gelu_tanh", "relu": "relu", "silu": "silu", "swish": "silu"}.get(name)
    if activation is None:
        raise config.refuse("afn", "it has gelu, relu, silu")
    parts = {
        "attention": before_llama.attention(config, d_model, "n_head", 12) | {"bias": True},
        "dense": {"kind": "feed_forward", "d_ff": 4 * d_model, "activation": activation, "bias": True},
    }
    return before_llama.model(
        config, parts, ["attention", "dense"], config.depth("n_layer", 12), ("layer_norm_epsilon", 1e-5), precision="fp32",
        vocab_size=config.count("vocab_size", 40_478), d_model=d_model, context=rows, position={"kind": "learned", "length": rows},
        residual={"norm": "post"}, head={"norm": False}, tied_embeddings=config.take("tie_word_embeddings", bool, True),
    )  # fmt: skip


def write(arch: Architecture) -> dict:
    part, dense = pieces.made_of(arch, {"attention": Attention, "dense": FeedForward}, Learned)
    return {
        "architectures": ["OpenAIGPTLMHeadModel"], "model_type": "openai-gpt", "vocab_size": arch.vocab_size, "n_embd": arch.d_model,
        "n_positions": arch.position.length, "n_layer": arch.depth, "n_head": part.heads,
        "afn": "gelu" if dense.activation == "gelu_tanh" else dense.activation, "layer_norm_epsilon": arch.norm.eps,
        "tie_word_embeddings": arch.tied_embeddings,
    } | pieces.write_precision(arch)  # fmt: skip


def ignored(name: str) -> bool:
    return name.endswith(".attn.bias")
