"""MPT (MosaicML 2023): ALiBi, no biases anywhere, queries, keys and values cut at a bound in some models."""

from functools import partial

from ...parts.attention import Attention
from ...parts.feedforward import FeedForward
from ...parts.position import Alibi
from ...spec import Architecture
from ..reading import pieces
from ..reading.config import Config
from . import before_llama

TYPES = ("mpt",)
ROOTS = ("transformer.",)
NAMES = before_llama.Names(
    embedding="transformer.wte", layer="transformer.blocks.{}", norm="transformer.norm_f", mixer_norm="norm_1", ff_norm="norm_2",
    qkv="attn.Wqkv", o="attn.out_proj", up="ffn.up_proj", down="ffn.down_proj",
)  # fmt: skip
sources = partial(before_llama.sources, names=NAMES)


def read(config: Config, model_type: str) -> dict:
    d_model = config.count("d_model", 2_048)
    part = before_llama.attention(config, d_model, "n_heads", 16)
    inner = config.nested("attn_config")
    inner.expect("attn_type", "multihead_attention")
    inner.expect("alibi", True)
    inner.expect("qk_ln", False)
    inner.expect("prefix_lm", False)
    inner.ignore("attn_impl", "attn_uses_sequence_id")
    for key in ("clip_qkv", "softmax_scale"):
        if value := inner.take(key, float, None):
            part[{"clip_qkv": "clip", "softmax_scale": "scale"}[key]] = value
    inner.expect("alibi_bias_max", 8)
    inner.finish()
    config.expect("no_bias", True)
    config.expect("expansion_ratio", 4)
    config.ignore(
        "learned_pos_emb", "emb_pdrop", "init_device", "init_config", "verbose", "embedding_fraction", "norm_type",
        "use_cache", "logit_scale", "tokenizer_name",
    )  # fmt: skip
    parts = {
        "attention": part,
        "dense": {"kind": "feed_forward", "d_ff": 4 * d_model, "activation": "gelu"},
    }
    value = before_llama.model(
        config, parts, ["attention", "dense"], config.depth("n_layers", 24), ("layer_norm_epsilon", 1e-5),
        vocab_size=config.count("vocab_size", 50_368), d_model=d_model, context=config.count("max_seq_len", 2_048),
        position={"kind": "alibi"}, tied_embeddings=config.take("tie_word_embeddings", bool, True),
    )  # fmt: skip
    value["norm"]["bias"] = False
    return value


def write(arch: Architecture) -> dict:
    part, _ = pieces.made_of(arch, {"attention": Attention, "dense": FeedForward}, Alibi)
    inner = {
        "alibi": True,
        "clip_qkv": part.clip,
        "softmax_scale": part.scale,
    }
    return {
        "architectures": ["MptForCausalLM"], "model_type": "mpt", "vocab_size": arch.vocab_size, "d_model": arch.d_model,
        "n_layers": arch.depth, "n_heads": part.heads, "max_seq_len": arch.context, "layer_norm_epsilon": arch.norm.eps,
        "attn_config": {key: value for key, value in inner.items() if value is not None},
        "tie_word_embeddings": arch.tied_embeddings,
    } | pieces.write_precision(arch)  # fmt: skip


def ignored(name: str) -> bool:
    return False
