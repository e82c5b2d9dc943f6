"""Jais (arXiv:2308.16149) and BTLM (arXiv:2309.11568), one class under two names: GPT-2's layers with ALiBi and SwiGLU, and the
multipliers of maximal update parametrisation on embeddings, scores and logits. It came with their weights."""

from ...parts.attention import Attention
from ...parts.feedforward import FeedForward
from ...parts.position import Alibi
from ...spec import Architecture
from ..reading import pieces
from ..reading.config import Config
from ..reading.pieces import times, unless
from ..weights.checkpoint import Sources
from . import before_llama
from .gpt2 import ignored as ignored

TYPES = ("jais", "btlm")
ROOTS = ("transformer.",)
NAMES = before_llama.Names(
    embedding="transformer.wte", layer="transformer.h.{}", norm="transformer.ln_f", mixer_norm="ln_1", ff_norm="ln_2",
    qkv="attn.c_attn", o="attn.c_proj", up="mlp.c_fc", down="mlp.c_proj", turned=True,
)  # fmt: skip


def read(config: Config, model_type: str) -> dict:
    d_model = config.count("n_embd", 768)
    config.expect("scale_attn_by_inverse_layer_idx", False)
    config.expect("scale_attn_weights", True)
    if config.take("position_embedding_type", str, "learned") != "alibi":
        raise config.refuse("position_embedding_type", "only 'alibi' is supported")
    if config.take("activation_function", str, "gelu") != "swiglu":
        raise config.refuse("activation_function", "only 'swiglu' is supported")
    config.ignore("reorder_and_upcast_attn")
    attention = before_llama.attention(config, d_model, "n_head", 12) | {"bias": True}
    if config.take("mup_scale_qk_dot_by_d", bool, False):
        attention["scale"] = 1 / attention["head_dim"]
    parts = {
        "attention": attention,
        "dense": {"kind": "feed_forward", "d_ff": config.count("n_inner", 4 * d_model), "bias": True},
    }
    logits = times(config.take("mup_output_alpha", float, 1.0), config.take("mup_width_scale", float, 1.0))
    embeddings = config.take("mup_embeddings_scale", float, 1.0)
    return before_llama.model(
        config, parts, ["attention", "dense"], config.depth("n_layer", 12), ("layer_norm_epsilon", 1e-5),
        vocab_size=config.count("vocab_size", 50_257), d_model=d_model, context=config.count("n_positions", 1_024),
        position={"kind": "alibi"}, tied_embeddings=config.take("tie_word_embeddings", bool, True),
        embedding=unless(1.0, scale=embeddings), head=unless(1.0, scale=logits),
    )  # fmt: skip


def write(arch: Architecture) -> dict:
    attention, dense = pieces.made_of(arch, {"attention": Attention, "dense": FeedForward}, Alibi)
    model_type = arch.model_type if arch.model_type in TYPES else TYPES[0]
    return {
        "architectures": [f"{model_type.upper()}LMHeadModel"],
        "model_type": model_type,
        "vocab_size": arch.vocab_size,
        "n_positions": arch.context,
        "n_embd": arch.d_model,
        "n_layer": arch.depth,
        "n_head": attention.heads,
        "n_inner": dense.d_ff,
        "activation_function": "swiglu",
        "position_embedding_type": "alibi",
        "mup_scale_qk_dot_by_d": attention.scale is not None,
        "mup_embeddings_scale": arch.embedding.scale,
        "mup_output_alpha": arch.head.scale,
        "mup_width_scale": 1.0,
        "layer_norm_epsilon": arch.norm.eps,
        "tie_word_embeddings": arch.tied_embeddings,
    } | pieces.write_precision(arch)


def sources(arch: Architecture) -> Sources:
    yield from before_llama.sources(arch, NAMES)
    for layer in range(arch.depth):
        yield from NAMES.matrix(f"layers.{layer}.dense.gate", f"transformer.h.{layer}.mlp.c_fc2", True)
