"""StarCoder (arXiv:2305.06161): GPT-2 with one key and value head for all queries."""

from ...parts.attention import Attention
from ...parts.feedforward import FeedForward
from ...parts.position import Learned
from ...spec import Architecture
from ..reading import keys, pieces
from ..reading.config import Config
from ..reading.keys import Form, Key, Of, Unread
from ..weights.checkpoint import Sources
from . import before_llama

TYPES = ("gpt_bigcode",)
ROOTS = ("transformer.",)


ONE_KEY = Form(lambda single: 1, lambda kv_heads: kv_heads == 1)  # false is as many as heads
KEYS = (
    *keys.sizes(50_257, 768, 1_024, 12, tied=True, names=before_llama.GPT, **before_llama.LAYER_EPS),
    before_llama.LEARNED,
    Key("multi_query", "attention.kv_heads", True, none=False, form=ONE_KEY),
    *before_llama.heads("n_head", 12, bias=True),
    *keys.feed_forward(Of("d_model", times=4), "activation_function", "gelu_pytorch_tanh", False, True, width="n_inner"),
    Key("scale_attn_weights", "attention.scores.scale", True, none=True, form=before_llama.UNSCALED),
    *keys.only(add_cross_attention=False),
    Unread("inference_runner max_batch_size pad_key_length pre_allocate_kv_cache validate_runner_input"),
    Unread("num_key_value_heads"),  # multi_query alone decides
)


def read(config: Config, model_type: str) -> dict:
    said = keys.read(config, KEYS)
    return pieces.model(config, said, [["attention", "dense"]] * said["depth"])


def write(arch: Architecture) -> dict:
    pieces.made_of(arch, {"attention": Attention, "dense": FeedForward}, Learned)
    return pieces.write_model(arch, "GPTBigCode", "gpt_bigcode", KEYS)


def sources(arch: Architecture) -> Sources:
    names = before_llama.Names(
        embedding="transformer.wte", positions="transformer.wpe", layer="transformer.h.{}", norm="transformer.ln_f", mixer_norm="ln_1",
        ff_norm="ln_2", qkv="attn.c_attn", split=_split, o="attn.c_proj", up="mlp.c_fc", down="mlp.c_proj",
    )  # fmt: skip
    return before_llama.sources(arch, names)


def _split(name: str, part: Attention):
    """All queries, then the one key and value; or head by head where each has its own."""
    return (before_llama.side_by_side if part.kv_heads == 1 else before_llama.by_group)(name, part)


def ignored(name: str) -> bool:
    return name.endswith((".attn.bias", ".attn.masked_bias"))
