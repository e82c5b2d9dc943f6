"""Doge (SmallDoge, 2025): dynamic mask attention, residual streams weighed channel by channel, and in some of its models
thousands of experts of one neuron each.

Of several tokens at once transformers mixes their product keys; one token after another, as here, it does not.
"""

from ...parts.attention import Attention
from ...parts.dynamic_mask import DynamicMaskAttention
from ...parts.feedforward import FeedForward
from ...parts.product_keys import ProductKeyExperts
from ...spec import Architecture
from ..reading import pieces
from ..reading.config import Config
from ..weights import tensors
from ..weights.checkpoint import Sources
from ..weights.tensors import ignored as ignored
from ..weights.tensors import one
from . import like_llama

TYPES = ("doge",)
ROW = like_llama.LikeLlama(
    "Doge", (32_768, 1_024, 2_048, 32, 2_048), (8, None, None), mlp_bias=("mlp_bias", False), window=like_llama.uniform,
    attention={"kind": "dynamic_mask_attention", "qk_norm": {}}, residual={"weighted": True}, ignored="hidden_dropout",
)  # fmt: skip


def read(config: Config, model_type: str) -> dict:
    value, position, mixers, order = like_llama.frame(config, model_type, ROW)
    keep = config.count("keep_window_size", 2_048)
    mixers = {name: mixer | pieces.unless(2_048, keep=keep) for name, mixer in mixers.items()}
    network = like_llama.dense(config, ROW)
    count, top_k = config.count("num_experts", 16_384), config.count("num_experts_per_tok", 64)
    config.ignore("norm_topk_prob")  # the weights sum to one in any case
    moe = network | {"kind": "product_key_experts", "count": count, "top_k": top_k}
    network = moe if config.take("is_moe", bool, False) else network
    return pieces.assemble(config, value, position, mixers | {"dense": network}, [[name, "dense"] for name in order])


def write(arch: Architecture) -> dict:
    written = like_llama.write_frame(arch, "doge", ROW, {"dense": FeedForward | ProductKeyExperts})
    network, attention = arch.parts["dense"], pieces.mixers(arch)[0]
    written |= {
        "keep_window_size": attention.keep, "intermediate_size": network.d_ff, "mlp_bias": network.bias,
        "hidden_act": pieces.write_activation(network.activation), "is_moe": network.kind == "product_key_experts",
    }  # fmt: skip
    return written | ({"num_experts": network.count, "num_experts_per_tok": network.top_k} if written["is_moe"] else {})


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
