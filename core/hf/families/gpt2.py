"""GPT-2 (Radford et al. 2019): learned positions, LayerNorm, biases everywhere, one matrix for query, key and value."""

import re
from functools import partial

from ...parts.attention import Attention
from ...parts.feedforward import FeedForward
from ...parts.position import Learned
from ...spec import Architecture
from ..reading import keys, pieces
from ..reading.config import Config
from ..reading.keys import Again, Key, Of, Unread
from . import before_llama

TYPES = ("gpt2", "gpt-sw3")
ROOTS = ("transformer.",)
NAMES = before_llama.Names(
    embedding="transformer.wte", positions="transformer.wpe", layer="transformer.h.{}", norm="transformer.ln_f", mixer_norm="ln_1",
    ff_norm="ln_2", qkv="attn.c_attn", o="attn.c_proj", up="mlp.c_fc", down="mlp.c_proj", turned=True,
)  # fmt: skip
sources = partial(before_llama.sources, names=NAMES)


KEYS = (
    *keys.sizes(50_257, 768, 1_024, 12, tied=True, names=before_llama.GPT, **before_llama.LAYER_EPS),
    before_llama.LEARNED,
    *before_llama.heads("n_head", 12, bias=True),
    *before_llama.dense(Of("d_model", times=4), "activation_function", "gelu_new", width="n_inner"),
    Key("scale_attn_weights", "attention.scores.scale", True, none=True, form=before_llama.UNSCALED, quiet=True),
    *keys.only(scale_attn_by_inverse_layer_idx=False, add_cross_attention=False),
    Again("n_ctx", "context"),
    Unread("reorder_and_upcast_attn predict_special_tokens n_special"),
)


def read(config: Config, model_type: str) -> dict:
    said = keys.read(config, KEYS)
    return pieces.model(config, said, [["attention", "dense"]] * said["depth"], "fp32")  # older than the key that says so


def write(arch: Architecture) -> dict:
    pieces.made_of(arch, {"attention": Attention, "dense": FeedForward}, Learned)
    return pieces.write_model(arch, "GPT2LMHeadModel", "gpt2", KEYS)


def ignored(name: str) -> bool:
    return re.search(r"\.attn\.(masked_)?bias$", name) is not None  # causal masks
