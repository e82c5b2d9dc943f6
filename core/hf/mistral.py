"""Mistral 7B (arXiv:2310.06825) and its successors: llama's shape, in a sliding window where one is given."""

from ..spec import Architecture
from . import common
from .common import ignored as ignored
from .common import llama_sources as sources  # noqa: F401
from .config import Config

TYPES = ("mistral", "mistral3")  # mistral3 wraps the text model and one that sees images
# The text model of a mistral3 config.json that says nothing about it: Mistral Small 3.1.
SMALL = {
    "head_dim": 128, "hidden_size": 5_120, "intermediate_size": 32_768, "max_position_embeddings": 131_072, "num_attention_heads": 32,
    "num_hidden_layers": 40, "num_key_value_heads": 8, "rms_norm_eps": 1e-5, "rope_theta": 1e9, "sliding_window": None,
    "vocab_size": 131_072,
}  # fmt: skip


def read(config: Config, model_type: str) -> dict:
    if model_type == "mistral3":
        text = common.text_config(config if config.has("text_config") else _small(config), "mistral")
        value = read(text, "mistral")
        text.finish()
        return value
    value = common.sizes(config, vocab_size=32_000, d_model=4_096, context=131_072, tied=False, eps=1e-6)
    window = config.count("sliding_window", 4_096, null=None)
    config.expect(
        "layer_types", ["sliding_attention" if window else "full_attention"] * config.depth("num_hidden_layers", 32)
    )
    parts = {
        "attention": common.attention(config, value["d_model"], biased=None, heads=32, kv_heads=8)
        | common.unless(None, window=window),
        "dense": common.dense(config, 14_336),
    }
    blocks = [["attention", "dense"]] * config.depth("num_hidden_layers", 32)
    return common.assemble(config, value, common.rope(config, value["context"]), parts, blocks)


def _small(config: Config) -> Config:
    config.left.discard("text_config")
    config.raw = {**config.raw, "text_config": SMALL}
    return config


def write(arch: Architecture) -> dict:
    attention = arch.parts["attention"]
    return (
        {"architectures": ["MistralForCausalLM"], "model_type": "mistral", "sliding_window": attention.window}
        | common.write_sizes(arch)
        | common.write_heads(attention)
        | common.write_dense(arch.parts["dense"])
        | common.write_rope(arch.position, arch.context)
        | common.write_precision(arch)
    )
