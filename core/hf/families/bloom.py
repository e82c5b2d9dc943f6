"""BLOOM (arXiv:2211.05100): ALiBi in place of positions, and a norm on the embeddings."""

from functools import partial

from ...parts.attention import Attention
from ...parts.feedforward import FeedForward
from ...parts.position import Alibi
from ...spec import Architecture
from ..reading import keys, pieces
from ..reading.config import Config
from ..reading.keys import Always, Unread
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


KEYS = (
    *keys.sizes(250_880, 64, CONTEXT, 2, tied=True, names="hidden_size/n_embed seq_length n_layer", **before_llama.LAYER_EPS),
    *before_llama.heads("n_head", 8, bias=True),
    Always("dense", kind="feed_forward", activation="gelu_tanh", bias=True),
    Always("position", kind="alibi"),
    Always("embedding", norm=True),
    *keys.only(apply_residual_connection_post_layernorm=False),
    Unread("slow_but_exact skip_bias_add skip_bias_add_qkv masked_softmax_fusion offset_alibi bias_dropout_fusion"),
)


def read(config: Config, model_type: str) -> dict:
    said = keys.read(config, KEYS)
    said["dense"]["d_ff"] = 4 * said["d_model"]
    config.expect("n_inner", 4 * said["d_model"])
    return pieces.model(config, said, [["attention", "dense"]] * said["depth"])


def write(arch: Architecture) -> dict:
    pieces.made_of(arch, {"attention": Attention, "dense": FeedForward}, Alibi)
    return pieces.write_model(arch, "Bloom", "bloom", KEYS)


def ignored(name: str) -> bool:
    return False
