"""StarCoder (arXiv:2305.06161): GPT-2 with one key and value head for all queries."""

from ...parts.attention import Attention
from ...parts.feedforward import FeedForward
from ...parts.position import Learned
from ...spec import Architecture
from ..reading import pieces
from ..reading.config import Config
from ..weights.checkpoint import Sources
from . import before_llama

TYPES = ("gpt_bigcode",)
ROOTS = ("transformer.",)


def read(config: Config, model_type: str) -> dict:
    d_model, length = config.count("n_embd", 768), config.count("n_positions", 1_024)
    config.expect("add_cross_attention", False)
    config.ignore(
        "inference_runner", "max_batch_size", "pad_key_length", "pre_allocate_kv_cache", "validate_runner_input"
    )
    single = config.take("multi_query", bool, True)
    config.ignore("num_key_value_heads")  # multi_query alone decides
    scaled = config.take("scale_attn_weights", bool, True)
    part = before_llama.attention(config, d_model, "n_head", 12, kv_heads=1 if single else None) | {"bias": True}
    parts = {
        "attention": part | ({} if scaled else {"scale": 1.0}),
        "dense": before_llama.dense(
            config, config.count("n_inner", 4 * d_model), "activation_function", "gelu_pytorch_tanh"
        ),
    }
    return before_llama.model(
        config, parts, ["attention", "dense"], config.depth("n_layer", 12), ("layer_norm_epsilon", 1e-5),
        vocab_size=config.count("vocab_size", 50_257), d_model=d_model, context=length,
        position={"kind": "learned", "length": length}, tied_embeddings=config.take("tie_word_embeddings", bool, True),
    )  # fmt: skip


def write(arch: Architecture) -> dict:
    part, dense = pieces.made_of(arch, {"attention": Attention, "dense": FeedForward}, Learned)
    return {
        "architectures": ["GPTBigCodeForCausalLM"], "model_type": "gpt_bigcode", "vocab_size": arch.vocab_size, "n_embd": arch.d_model,
        "n_positions": arch.position.length, "n_layer": arch.depth, "n_head": part.heads, "multi_query": part.kv_heads == 1,
        "n_inner": dense.d_ff, "activation_function": pieces.write_activation(dense.activation), "layer_norm_epsilon": arch.norm.eps,
        "tie_word_embeddings": arch.tied_embeddings, "scale_attn_weights": part.scale is None,
    } | pieces.write_precision(arch)  # fmt: skip


def sources(arch: Architecture) -> Sources:
    names = before_llama.Names(
        embedding="transformer.wte", positions="transformer.wpe", layer="transformer.h.{}", norm="transformer.ln_f", mixer_norm="ln_1",
        ff_norm="ln_2", qkv="attn.c_attn", split=_split, o="attn.c_proj", up="mlp.c_fc", down="mlp.c_proj",
    )  # fmt: skip
    return before_llama.sources(arch, names)


def _split(name: str, part: Attention):
    """All queries, then the one key and value; or head by head where each has its own."""
    return (before_llama.side_by_side if part.kv_heads == 1 else before_llama.by_group)(name, part)


def ignored(name: str) -> bool:
    return name.endswith((".attn.bias", ".attn.masked_bias"))
