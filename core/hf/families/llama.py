"""Llama 1 to 3 (arXiv:2302.13971, arXiv:2407.21783): the shape that most later families vary."""

from ...parts.attention import Attention
from ...parts.feedforward import FeedForward
from ...spec import Architecture
from ..reading import pieces, rotary
from ..reading.config import Config
from ..weights.tensors import ignored as ignored
from ..weights.tensors import llama_sources as sources  # noqa: F401

TYPES = ("llama",)


def read(config: Config, model_type: str) -> dict:
    config.expect("activation", "swiglu")  # Falcon 3 says again what hidden_act does
    value = pieces.sizes(config, vocab_size=32_000, d_model=4_096, context=2_048, tied=False, eps=1e-6)
    config.expect("is_llama_config", True)  # SmolLM2's files say so
    parts = {
        "attention": pieces.attention(config, value["d_model"], heads=32),
        "dense": pieces.dense(config, 11_008, biased="mlp_bias"),
    }
    blocks = [["attention", "dense"]] * config.depth("num_hidden_layers", 32)
    return pieces.assemble(config, value, rotary.rope(config, value["context"]), parts, blocks)


def write(arch: Architecture) -> dict:
    attention, dense = pieces.made_of(arch, {"attention": Attention, "dense": FeedForward})
    return (
        {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}
        | pieces.write_sizes(arch)
        | pieces.write_heads(attention)
        | pieces.write_dense(dense)
        | {"attention_bias": attention.bias, "mlp_bias": dense.bias}
        | rotary.write_rope(arch.position, arch.context)
        | pieces.write_precision(arch)
    )
