"""Phi-1 to Phi-2 (arXiv:2306.11644) and Persimmon (Adept 2023): LayerNorm, biases, part of each head turning; Phi's attention and
feed-forward stand side by side behind one norm."""

from ...parts.attention import Attention
from ...parts.feedforward import FeedForward
from ...spec import Architecture
from ..reading import pieces, rotary
from ..reading.config import Config
from ..weights.checkpoint import Sources
from . import before_llama

TYPES = ("phi", "persimmon")
PHI = before_llama.Names(
    embedding="model.embed_tokens", layer="model.layers.{}", norm="model.final_layernorm", up="mlp.fc1", down="mlp.fc2",
    qkv=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"), o="self_attn.dense",
    qk_norm=("self_attn.q_layernorm", "self_attn.k_layernorm"),
)  # fmt: skip
PERSIMMON = before_llama.Names(
    embedding="model.embed_tokens", layer="model.layers.{}", norm="model.final_layernorm", up="mlp.dense_h_to_4h",
    down="mlp.dense_4h_to_h", qkv="self_attn.query_key_value", split=before_llama.by_group, o="self_attn.dense",
    qk_norm=("self_attn.q_layernorm", "self_attn.k_layernorm"),
)  # fmt: skip
# d_model, heads, d_ff, depth, vocabulary, context, activation, whether queries and keys have norms
DEFAULTS = {
    "phi": (2_048, 32, 8_192, 24, 51_200, 2_048, "gelu_new", False),
    "persimmon": (4_096, 64, 16_384, 36, 262_144, 16_384, "relu2", True),
}


def read(config: Config, model_type: str) -> dict:
    width, heads, d_ff, depth, vocabulary, length, act, norms = DEFAULTS[model_type]
    d_model, context = config.count("hidden_size", width), config.count("max_position_embeddings", length)
    part = before_llama.attention(config, d_model, "num_attention_heads", heads) | {"bias": True}
    if model_type == "phi":
        part["kv_heads"] = config.count("num_key_value_heads", part["heads"])
    else:
        config.expect("num_key_value_heads", part["heads"])
        config.expect("rotary_emb_base", config.raw.get("rope_theta"))
    normalised = config.take("qk_layernorm", bool, norms)
    parts = {
        "attention": part | ({"qk_norm": {}} if normalised else {}),
        "dense": before_llama.dense(config, config.count("intermediate_size", d_ff), "hidden_act", act),
    }
    side = model_type == "phi"
    return before_llama.model(
        config, parts, [["attention", "dense"]] if side else ["attention", "dense"], config.depth("num_hidden_layers", depth),
        ("layer_norm_eps", 1e-5), vocab_size=config.count("vocab_size", vocabulary), d_model=d_model, context=context,
        position=rotary.rope(config, context, fraction=0.5),
        tied_embeddings=config.take("tie_word_embeddings", bool, False), **({"head": {"bias": True}} if side else {}),
    )  # fmt: skip


def write(arch: Architecture) -> dict:
    attention, dense = pieces.made_of(arch, {"attention": Attention, "dense": FeedForward}, layer=pieces.abreast(arch))
    model_type = "phi" if len(arch.sequence[0]) == 1 else "persimmon"
    return {
        "architectures": [{"phi": "PhiForCausalLM", "persimmon": "PersimmonForCausalLM"}[model_type]], "model_type": model_type,
        "vocab_size": arch.vocab_size, "hidden_size": arch.d_model, "num_hidden_layers": arch.depth,
        "num_attention_heads": attention.heads, "intermediate_size": dense.d_ff, "qk_layernorm": attention.qk_norm is not None,
        "hidden_act": before_llama.written_activation(dense.activation), "layer_norm_eps": arch.norm.eps,
        "max_position_embeddings": arch.context, "tie_word_embeddings": arch.tied_embeddings,
        "partial_rotary_factor": arch.position.fraction,
    } | ({"num_key_value_heads": attention.kv_heads} if model_type == "phi" else {}) | rotary.write_rope(
        arch.position, arch.context
    ) | pieces.write_precision(arch)  # fmt: skip


def sources(arch: Architecture) -> Sources:
    return before_llama.sources(arch, PHI if len(arch.sequence[0]) == 1 else PERSIMMON)


def ignored(name: str) -> bool:
    return name.endswith("rotary_emb.inv_freq")
