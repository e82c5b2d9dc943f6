"""GPT-J (Wang and Komatsuzaki 2021) and CodeGen (arXiv:2203.13474): attention and feed-forward side by side behind one norm,
rotary embedding of neighbours, biases in the feed-forward network and the head alone."""

from ...parts.attention import Attention
from ...parts.base import Mixer
from ...parts.feedforward import Activated, FeedForward
from ...spec import Architecture
from ..reading import keys, pieces
from ..reading.config import Config
from ..reading.keys import Always, Key, Of, Unread
from ..weights.checkpoint import Sources
from . import before_llama

TYPES = ("gptj", "codegen")
ROOTS = ("transformer.",)
SHARDS = 4  # CodeGen's fused matrix keeps the order of the four chips that it was trained on


KEYS = (
    *keys.sizes(50_400, 4_096, 2_048, 28, names=before_llama.GPT, **before_llama.LAYER_EPS),
    *before_llama.heads("n_head", 16),
    *before_llama.dense(Of("d_model", times=4), "activation_function", "gelu_new", width="n_inner"),
    Always("position", kind="rope", interleaved=True),
    Always("head", bias=True),
    Key("rotary_dim", "turned", 64, null=None),
    Unread("n_ctx"),  # n_positions alone decides
    Unread("rotary scale_attn_weights"),
)


def read(config: Config, model_type: str) -> dict:
    said = keys.read(config, KEYS)
    attention, turned = said["attention"], said.get("turned")
    if turned is None or turned > attention["head_dim"]:
        raise config.refuse("rotary_dim", f"give 2 to {attention['head_dim']}, the channels of a head")
    if model_type == "codegen" and attention["heads"] % SHARDS:
        raise config.refuse("n_head", f"CodeGen's heads stand in {SHARDS} equal groups")
    said["position"]["fraction"] = turned / attention["head_dim"]
    return pieces.model(config, said, [[["attention", "dense"]]] * said["depth"])


def write(arch: Architecture) -> dict:
    attention, _ = pieces.made_of(arch, {"attention": Attention, "dense": FeedForward}, layer=((Mixer, Activated),))
    name, model_type = ("CodeGen", "codegen") if arch.model_type == "codegen" else ("GPTJ", "gptj")
    return pieces.write_model(arch, name, model_type, KEYS, turned=arch.position.dim(attention.head_dim))


def sources(arch: Architecture) -> Sources:
    fused = arch.family == "codegen"
    names = before_llama.Names(
        embedding="transformer.wte", layer="transformer.h.{}", norm="transformer.ln_f", mixer_norm="ln_1", split=_sharded,
        qkv="attn.qkv_proj" if fused else ("attn.q_proj", "attn.k_proj", "attn.v_proj"), o="attn.out_proj", up="mlp.fc_in",
        down="mlp.fc_out",
    )  # fmt: skip
    return before_llama.sources(arch, names)


def _sharded(name: str, part: Attention):
    """Query, value and key of each chip, in this order."""
    return lambda fused: fused.unflatten(0, (SHARDS, 3, -1))[:, "qvk".index(name)].flatten(0, 1)


def ignored(name: str) -> bool:
    return name.endswith((".attn.bias", ".attn.masked_bias", ".attn.causal_mask", "embed_positions"))
