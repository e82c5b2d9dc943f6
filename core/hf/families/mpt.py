"""MPT (MosaicML 2023): ALiBi, no biases anywhere, queries, keys and values cut at a bound in some models."""

from functools import partial

from ...parts.attention import Attention
from ...parts.feedforward import FeedForward
from ...parts.position import Alibi
from ...spec import Architecture
from ..reading import keys, pieces
from ..reading.config import Config
from ..reading.keys import Always, Key, Unread
from . import before_llama

TYPES = ("mpt",)
ROOTS = ("transformer.",)
NAMES = before_llama.Names(
    embedding="transformer.wte", layer="transformer.blocks.{}", norm="transformer.norm_f", mixer_norm="norm_1", ff_norm="norm_2",
    qkv="attn.Wqkv", o="attn.out_proj", up="ffn.up_proj", down="ffn.down_proj",
)  # fmt: skip
sources = partial(before_llama.sources, names=NAMES)


SCORES = (
    Key("clip_qkv", "attention.clip", None, float, quiet=True),
    Key("softmax_scale", "attention.scores.scale", None, float, quiet=True),
)
KEYS = (
    *keys.sizes(50_368, 2_048, 2_048, 24, tied=True, names="d_model max_seq_len n_layers", **before_llama.LAYER_EPS, bias=False),
    *before_llama.heads("n_heads", 16),
    Always("dense", kind="feed_forward", activation="gelu"),
    Always("position", kind="alibi"),
    *keys.only(no_bias=True, expansion_ratio=4),
    Unread("learned_pos_emb emb_pdrop init_device init_config verbose embedding_fraction norm_type use_cache logit_scale tokenizer_name"),
)


def read(config: Config, model_type: str) -> dict:
    said, inner = keys.read(config, KEYS), config.nested("attn_config")
    keys.read(inner, keys.only(attn_type="multihead_attention", alibi=True, qk_ln=False, prefix_lm=False, alibi_bias_max=8))
    inner.ignore("attn_impl", "attn_uses_sequence_id")
    said["attention"] |= {key: value for key, value in keys.read(inner, SCORES).get("attention", {}).items() if value}
    inner.finish()
    said["dense"]["d_ff"] = 4 * said["d_model"]
    return pieces.model(config, said, [["attention", "dense"]] * said["depth"])


def write(arch: Architecture) -> dict:
    pieces.made_of(arch, {"attention": Attention, "dense": FeedForward}, Alibi)
    return pieces.write_model(arch, "Mpt", "mpt", KEYS) | {"attn_config": {"alibi": True} | keys.write(arch, SCORES)}


def ignored(name: str) -> bool:
    return False
