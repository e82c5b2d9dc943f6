"""GPT (Radford et al. 2018): the norm after each sum, none before the head."""

from functools import partial

from ...parts.attention import Attention
from ...parts.feedforward import FeedForward
from ...parts.position import Learned
from ...spec import Architecture
from ..reading import keys, pieces
from ..reading.config import Config
from ..reading.keys import Again, Always, Form, Key, Unread
from . import before_llama

TYPES = ("openai-gpt",)
ROOTS = ("transformer.",)
NAMES = before_llama.Names(
    embedding="transformer.tokens_embed", positions="transformer.positions_embed", layer="transformer.h.{}", norm="",
    mixer_norm="ln_1", ff_norm="ln_2", qkv="attn.c_attn", o="attn.c_proj", up="mlp.c_fc", down="mlp.c_proj", turned=True,
)  # fmt: skip
sources = partial(before_llama.sources, names=NAMES)


ACTIVATIONS = {"gelu": "gelu_tanh", "relu": "relu", "silu": "silu", "swish": "silu"}


def activation(name: str) -> str:
    if name not in ACTIVATIONS:
        raise ValueError("it has gelu, relu, silu")
    return ACTIVATIONS[name]


KEYS = (
    *keys.sizes(40_478, 768, 512, 12, tied=True, names=before_llama.GPT, **before_llama.LAYER_EPS),
    before_llama.LEARNED,
    *before_llama.heads("n_head", 12, bias=True),
    Always("dense", kind="feed_forward", bias=True),
    Key("afn", "dense.activation", "gelu", form=Form(activation, lambda name: "gelu" if name == "gelu_tanh" else name)),
    Always("residual", norm="post"),
    Always("head", norm=False),
    Again("n_ctx", "context"),
    *keys.only(predict_special_tokens=True),
    Unread("n_special"),
)


def read(config: Config, model_type: str) -> dict:
    said = keys.read(config, KEYS)
    said["dense"]["d_ff"] = 4 * said["d_model"]
    return pieces.model(config, said, [["attention", "dense"]] * said["depth"], "fp32")


def write(arch: Architecture) -> dict:
    pieces.made_of(arch, {"attention": Attention, "dense": FeedForward}, Learned)
    return pieces.write_model(arch, "OpenAIGPTLMHeadModel", "openai-gpt", KEYS)


def ignored(name: str) -> bool:
    return name.endswith(".attn.bias")
