"""OLMo 2 (arXiv:2501.00656): norms on what each part gives, none before it, and one norm over all heads of queries and of keys."""

from ...parts.attention import Attention
from ...parts.feedforward import FeedForward
from ...spec import Architecture
from ..reading import pieces, rotary
from ..reading.config import Config
from ..weights.tensors import ignored as ignored
from ..weights.tensors import llama_sources as sources  # noqa: F401

TYPES = ("olmo2",)


def read(config: Config, model_type: str) -> dict:
    value = pieces.sizes(config, vocab_size=50_304, d_model=4_096, context=2_048, tied=False, eps=1e-5)
    parts = {
        "attention": pieces.attention(config, value["d_model"], heads=32) | {"qk_norm": {"across": "heads"}},
        "dense": pieces.dense(config, 11_008),
    }
    blocks = [["attention", "dense"]] * config.depth("num_hidden_layers", 32)
    return pieces.assemble(
        config, value, rotary.rope(config, value["context"]), parts, blocks, residual={"norm": "output"}
    )


def write(arch: Architecture) -> dict:
    attention, dense = pieces.made_of(arch, {"attention": Attention, "dense": FeedForward})
    return (
        {"architectures": ["Olmo2ForCausalLM"], "model_type": "olmo2", "attention_bias": attention.bias}
        | pieces.write_sizes(arch)
        | pieces.write_heads(attention)
        | pieces.write_dense(dense)
        | rotary.write_rope(arch.position, arch.context)
        | pieces.write_precision(arch)
    )
