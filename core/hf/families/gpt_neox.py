"""GPT-NeoX (arXiv:2204.06745) and Pythia: attention and feed-forward side by side, each with a norm of its own."""

from functools import partial

from ...parts.attention import Attention
from ...parts.feedforward import FeedForward
from ...spec import Architecture
from ..reading import keys, pieces
from ..reading.config import Config
from ..reading.keys import Key, Unread
from . import before_llama

TYPES = ("gpt_neox",)
ROOTS = ("gpt_neox.", "embed_out.")
NAMES = before_llama.Names(
    embedding="gpt_neox.embed_in", layer="gpt_neox.layers.{}", norm="gpt_neox.final_layer_norm", head="embed_out",
    qkv="attention.query_key_value", split=before_llama.by_group, o="attention.dense", up="mlp.dense_h_to_4h", down="mlp.dense_4h_to_h",
)  # fmt: skip
sources = partial(before_llama.sources, names=NAMES)


KEYS = (
    *keys.sizes(50_432, 6_144, 2_048, 44, kind="layer", eps=1e-5, eps_key="layer_norm_eps"),
    Key("attention_bias", "attention.bias", True),
    *before_llama.heads("num_attention_heads", 64),
    *before_llama.dense(24_576, "hidden_act", "gelu"),
    Key("use_parallel_residual", "parallel", True),
    before_llama.Rotary(0.25),
    Unread("classifier_dropout"),
)


def read(config: Config, model_type: str) -> dict:
    said = keys.read(config, KEYS)
    beside = [{"parts": ["attention", "dense"], "own_norms": True}]
    return pieces.model(config, said, [beside if said["parallel"] else ["attention", "dense"]] * said["depth"])


def write(arch: Architecture) -> dict:
    pieces.made_of(arch, {"attention": Attention, "dense": FeedForward}, layer=pieces.abreast(arch))
    return pieces.write_model(arch, "GPTNeoX", "gpt_neox", KEYS, parallel=len(arch.sequence[0]) == 1)


def ignored(name: str) -> bool:
    """Masks and tables that are computed."""
    return name.endswith((".attention.bias", ".masked_bias", "rotary_emb.inv_freq"))
