"""Falcon (arXiv:2311.16867): multi-query attention beside the feed-forward network behind one norm (7B), grouped queries behind
a norm of their own (40B and 180B), or one after the other with ALiBi (the RefinedWeb models)."""

from functools import partial

from ...parts.attention import Attention
from ...parts.feedforward import FeedForward
from ...parts.position import Alibi, Rope
from ...spec import Architecture
from ..reading import pieces, rotary
from ..reading.config import Config
from ..weights.checkpoint import Sources
from . import before_llama

TYPES = ("falcon", "RefinedWeb", "RefinedWebModel")
ROOTS = ("transformer.",)
NAMES = partial(
    before_llama.Names, embedding="transformer.word_embeddings", layer="transformer.h.{}", norm="transformer.ln_f",
    qkv="self_attention.query_key_value", split=before_llama.by_group, o="self_attention.dense", up="mlp.dense_h_to_4h",
    down="mlp.dense_4h_to_h",
)  # fmt: skip


def read(config: Config, model_type: str) -> dict:
    d_model, context = config.count("hidden_size", 4_544), config.count("max_position_embeddings", 2_048)
    key = "num_attention_heads" if not config.has("n_head") else "n_head"
    kv_key = "num_kv_heads" if not config.has("n_head_kv") else "n_head_kv"
    grouped = config.take("new_decoder_architecture", bool, model_type == "RefinedWeb" and config.has("n_head_kv"))
    single = config.take("multi_query", bool, True) and not grouped
    part = before_llama.attention(config, d_model, key, 71)
    kv_heads = config.count(kv_key, part["heads"])
    if part["heads"] % kv_heads or not (grouped or single or kv_heads == part["heads"]):
        raise config.refuse(kv_key, f"{part['heads']} heads do not divide into so many groups here")
    bias = pieces.unless(False, bias=config.take("bias", bool, False))
    parts = {
        "attention": part | {"kv_heads": 1 if single else kv_heads} | bias,
        "dense": before_llama.dense(
            config, config.count("ffn_hidden_size", 4 * d_model), "activation", "gelu", bias=bool(bias)
        ),
    }
    config.expect("ff_factor", parts["dense"]["d_ff"] / d_model)
    side = config.take("parallel_attn", bool, True)
    norms = config.count("num_ln_in_parallel_attn", 2 if grouped else 1, most=2)
    if (norms == 2 or grouped) and not (grouped and side):
        raise config.refuse("new_decoder_architecture", "it goes with parallel_attn, and two norms with it alone")
    step = {"parts": ["attention", "dense"], "own_norms": True} if norms == 2 else ["attention", "dense"]
    rope = rotary.rope(config, context)
    depth = config.depth("n_layer" if config.has("n_layer") else "num_hidden_layers", 32)
    return before_llama.model(
        config, parts, [step] if side else ["attention", "dense"], depth,
        ("layer_norm_epsilon", 1e-5), vocab_size=config.count("vocab_size", 65_024), d_model=d_model, context=context,
        position={"kind": "alibi", "scaled": True} if config.take("alibi", bool, False) else rope,
        tied_embeddings=config.take("tie_word_embeddings", bool, True),
    )  # fmt: skip


def write(arch: Architecture) -> dict:
    attention, dense = pieces.made_of(
        arch, {"attention": Attention, "dense": FeedForward}, Rope | Alibi, pieces.abreast(arch)
    )
    step = arch.sequence[0][0]
    alibi, side = arch.position.kind == "alibi", len(step.parts) == 2
    grouped = step.own_norms or attention.kv_heads not in (1, attention.heads)
    return {
        "architectures": ["FalconForCausalLM"], "model_type": "falcon", "vocab_size": arch.vocab_size, "hidden_size": arch.d_model,
        "num_hidden_layers": arch.depth, "num_attention_heads": attention.heads, "num_kv_heads": attention.kv_heads,
        "new_decoder_architecture": grouped, "multi_query": attention.kv_heads == 1 and not grouped, "parallel_attn": side,
        "num_ln_in_parallel_attn": 1 + step.own_norms if side else None, "bias": attention.bias, "alibi": alibi,
        "ffn_hidden_size": dense.d_ff, "activation": before_llama.written_activation(dense.activation), "layer_norm_epsilon": arch.norm.eps,
        "max_position_embeddings": arch.context, "tie_word_embeddings": arch.tied_embeddings,
    } | ({} if alibi else rotary.write_rope(arch.position, arch.context)) | pieces.write_precision(arch)  # fmt: skip


def sources(arch: Architecture) -> Sources:
    two = arch.sequence[0][0].own_norms
    return before_llama.sources(arch, NAMES(mixer_norm="ln_attn", ff_norm="ln_mlp") if two else NAMES())


def ignored(name: str) -> bool:
    return name.endswith("rotary_emb.inv_freq")
