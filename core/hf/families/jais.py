"""Jais (arXiv:2308.16149) and BTLM (arXiv:2309.11568), one class under two names: GPT-2's layers with ALiBi and SwiGLU, and the
multipliers of maximal update parametrisation on embeddings, scores and logits. It came with their weights."""

from ...parts.attention import Attention
from ...parts.feedforward import FeedForward
from ...parts.position import Alibi
from ...spec import Architecture
from ..reading import keys, pieces
from ..reading.config import Config
from ..reading.keys import Always, Has, Key, Of, Unread
from ..weights.checkpoint import Sources
from . import before_llama
from .gpt2 import ignored as ignored

TYPES = ("jais", "btlm")
ROOTS = ("transformer.",)
NAMES = before_llama.Names(
    embedding="transformer.wte", layer="transformer.h.{}", norm="transformer.ln_f", mixer_norm="ln_1", ff_norm="ln_2",
    qkv="attn.c_attn", o="attn.c_proj", up="mlp.c_fc", down="mlp.c_proj", turned=True,
)  # fmt: skip


# What Jais' first files call its multipliers, the last of them the product of two.
FIRST = {"embeddings_scale": "mup_embeddings_scale", "scale_qk_dot_by_d": "mup_scale_qk_dot_by_d", "width_scale": "mup_width_scale"}
KEYS = (
    *keys.sizes(50_257, 768, 1_024, 12, tied=True, names=before_llama.GPT, **before_llama.LAYER_EPS),
    *before_llama.heads("n_head", 12, bias=True),
    Always("dense", kind="feed_forward", bias=True),
    Key("n_inner", "dense.d_ff", Of("d_model", times=4)),
    Has("mup_scale_qk_dot_by_d", "attention.scores.scale", False, on=lambda said: 1 / said["attention"]["head_dim"]),
    Key("mup_embeddings_scale", "embedding.scale", 1.0),
    Key("mup_output_alpha", "head.scale", 1.0),
    Key("mup_width_scale", "head_times", 1.0),
    Key("activation_function", "activation", "gelu"),
    Key("position_embedding_type", "position.kind", "learned"),
    *keys.only(scale_attn_by_inverse_layer_idx=False, scale_attn_weights=True),
    Unread("reorder_and_upcast_attn"),
)


def read(config: Config, model_type: str) -> dict:
    config.rename(FIRST)
    said = keys.read(config, KEYS)
    if said["position"]["kind"] != "alibi":
        raise config.refuse("position_embedding_type", "only 'alibi' is supported")
    if said["activation"] != "swiglu":
        raise config.refuse("activation_function", "only 'swiglu' is supported")
    said["head"]["scale"] = keys.times(said["head"]["scale"], said["head_times"])
    return pieces.model(config, said, [["attention", "dense"]] * said["depth"])


def write(arch: Architecture) -> dict:
    pieces.made_of(arch, {"attention": Attention, "dense": FeedForward}, Alibi)
    model_type = arch.model_type if arch.model_type in TYPES else TYPES[0]
    name = f"{model_type.upper()}LMHeadModel"
    return pieces.write_model(arch, name, model_type, KEYS, head_times=1.0, activation="swiglu")


def sources(arch: Architecture) -> Sources:
    yield from before_llama.sources(arch, NAMES)
    for layer in range(arch.depth):
        yield from NAMES.matrix(f"layers.{layer}.dense.gate", f"transformer.h.{layer}.mlp.c_fc2", True)
