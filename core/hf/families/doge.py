"""Doge (SmallDoge, 2025): dynamic mask attention, residual streams weighed channel by channel, and in some of its models
thousands of experts of one neuron each.

Of several tokens at once transformers mixes their product keys; one token after another, as here, it does not.
"""

from ...parts.attention import Attention
from ...parts.dynamic_mask import DynamicMaskAttention
from ...parts.feedforward import FeedForward
from ...parts.product_keys import ProductKeyExperts
from ...spec import Architecture
from ..reading import keys, pieces
from ..reading.config import Config
from ..reading.keys import Always, Key, Unread
from ..weights import tensors
from ..weights.checkpoint import Sources
from ..weights.tensors import ignored as ignored
from ..weights.tensors import one
from . import like_llama

TYPES = ("doge",)
ROW = like_llama.LikeLlama(
    "Doge", (32_768, 1_024, 2_048, 32, 2_048), (8, None, None), mlp_bias=("mlp_bias", False), window=like_llama.uniform,
    attention={"kind": "dynamic_mask_attention", "qk_norm": {}}, residual={"weighted": True}, ignored="hidden_dropout",
    more=(Key("keep_window_size", "attention.keep", 2_048),),
)  # fmt: skip


EXPERTS = (
    Always("dense", kind="product_key_experts"),
    Key("num_experts", "dense.count", 16_384),
    Key("num_experts_per_tok", "dense.top_k", 64),
    Unread("norm_topk_prob"),  # the weights sum to one in any case
)
KEYS = ROW.keys + ROW.network + EXPERTS


def read(config: Config, model_type: str) -> dict:
    said, mixers, order = like_llama.frame(config, model_type, ROW)
    keys.read(config, ROW.network, said)
    many = keys.read(config, EXPERTS)["dense"]
    if config.take("is_moe", bool, False):
        said["dense"] |= many
    return pieces.model(config, said | mixers, [[name, "dense"] for name in order])


def write(arch: Architecture) -> dict:
    written = like_llama.write_frame(arch, "doge", ROW, {"dense": FeedForward | ProductKeyExperts})
    many = arch.parts["dense"].kind == "product_key_experts"
    return written | keys.write(arch, ROW.network + many * EXPERTS) | {"is_moe": many}


def sources(arch: Architecture) -> Sources:
    yield from tensors.llama_sources(arch, mixer=_attention, ff=_network)
    for index, block in enumerate(arch.sequence):
        for step, name in zip(block, ("input_residual", "post_attention_residual"), strict=True):
            yield one(f"layers.{index}.{step.parts[0]}_add.weight", f"model.layers.{index}.{name}")


def _attention(path: str, at: str, part: DynamicMaskAttention) -> Sources:
    yield from tensors.attention_sources(path, f"{at}.self_attn", Attention.model_validate(_plain(part)))
    yield one(f"{path}.weigh.decay", f"{at}.self_attn.A")
    for kind in ("weight", "bias") if part.bias else ("weight",):
        yield one(f"{path}.weigh.{kind}", f"{at}.self_attn.dt_proj.{kind}")


def _plain(part: DynamicMaskAttention) -> dict:
    return part.model_dump(exclude={"kind", "keep"}) | {"kind": "attention"}


def _network(path: str, at: str, part) -> Sources:
    if part.kind == "feed_forward":
        yield from tensors.dense_sources(path, f"{at}.mlp", part)
        return
    yield from tensors.dense_sources(f"{path}.shared", f"{at}.mlp", part)
    yield one(f"{path}.router.weight", f"{at}.mlp.router_gate.weight")
    yield one(f"{path}.experts.down", f"{at}.mlp.down_embed.weight")
    yield one(f"{path}.experts.up", f"{at}.mlp.up_embed.weight")
