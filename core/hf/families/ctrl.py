"""CTRL (arXiv:1909.05858): sinusoids, a wide vocabulary, control codes as its first tokens."""

from ...parts.attention import Attention
from ...parts.feedforward import FeedForward
from ...parts.position import Sinusoidal
from ...spec import Architecture
from ..reading import keys, pieces
from ..reading.config import Config
from ..reading.keys import Always, Key, Only, Unread
from ..weights.checkpoint import Sources
from . import before_llama

TYPES = ("ctrl",)
ROOTS = ("transformer.",)
NAMES = before_llama.Names(
    embedding="transformer.w", layer="transformer.h.{}", norm="transformer.layernorm", mixer_norm="layernorm1", ff_norm="layernorm2",
    qkv=("multi_head_attention.Wq", "multi_head_attention.Wk", "multi_head_attention.Wv"), o="multi_head_attention.dense",
    up="ffn.0", down="ffn.2",
)  # fmt: skip


KEYS = (
    *keys.sizes(246_534, 1_280, 256, 48, tied=True, names=before_llama.GPT, kind="layer", eps_key=""),
    *before_llama.heads("n_head", 16, bias=True),
    Always("dense", kind="feed_forward", activation="relu", bias=True),
    Key("dff", "dense.d_ff", 8_192),
    Always("position", kind="sinusoidal"),
    Always("embedding", scale="sqrt_d_model"),
    Always("head", bias=True),
    Only("layer_norm_epsilon", 1e-6),  # in the layers it always is
    Unread("n_ctx"),  # older than n_positions
)


def read(config: Config, model_type: str) -> dict:
    said = keys.read(config, KEYS)
    if said["d_model"] % 2:
        raise config.refuse("n_embd", "sines and cosines fill an even number of channels")
    return pieces.model(config, said, [["attention", "dense"]] * said["depth"])


def write(arch: Architecture) -> dict:
    pieces.made_of(arch, {"attention": Attention, "dense": FeedForward}, Sinusoidal)
    return pieces.write_model(arch, "CTRLLMHeadModel", "ctrl", KEYS)


def sources(arch: Architecture) -> Sources:
    return before_llama.sources(arch, NAMES)


def ignored(name: str) -> bool:
    return False
