"""Mistral 7B (arXiv:2310.06825) and its successors: llama's shape, in a sliding window where one is given. Ministral 3
stretches its rope and lets scores grow with the position."""

from ...parts.attention import Attention
from ...parts.feedforward import FeedForward
from ...spec import Architecture
from ..reading import pieces, rotary
from ..reading.config import Config, text_config
from ..weights.tensors import ignored as ignored
from ..weights.tensors import llama_sources as sources  # noqa: F401
from . import like_deepseek

TYPES = ("mistral", "ministral3", "mistral3")  # mistral3 wraps a text model and one that sees images
# The text model of a mistral3 config.json that says nothing about it: Mistral Small 3.1.
SMALL = {
    "head_dim": 128, "hidden_size": 5_120, "intermediate_size": 32_768, "max_position_embeddings": 131_072, "num_attention_heads": 32,
    "num_hidden_layers": 40, "num_key_value_heads": 8, "rms_norm_eps": 1e-5, "rope_theta": 1e9, "sliding_window": None,
    "vocab_size": 131_072,
}  # fmt: skip
YARN = {
    "rope_type": "yarn", "rope_theta": 1e6, "factor": 16.0, "original_max_position_embeddings": 16_384, "beta_fast": 32.0, "beta_slow": 1.0,
    "mscale_all_dim": 1.0, "mscale": 1.0, "llama_4_scaling_beta": 0.1,
}  # fmt: skip


def read(config: Config, model_type: str) -> dict:
    if model_type == "mistral3":
        config.suppose("text_config", SMALL)
        text = text_config(config, "mistral", "ministral3", "mistral4")
        inner = text.take("model_type", str, "mistral")
        fourth = like_deepseek.MODELS.get(inner)
        value = like_deepseek.read(fourth, text, inner) if fourth else read(text, inner)
        text.finish(value)
        return value
    third = model_type == "ministral3"
    vocabulary, context, depth, eps = (131_072, 262_144, 34, 1e-5) if third else (32_000, 131_072, 32, 1e-6)
    value = pieces.sizes(config, vocab_size=vocabulary, d_model=4_096, context=context, tied=False, eps=eps)
    window = config.count("sliding_window", None if third else 4_096, null=None)
    depth = config.depth("num_hidden_layers", depth)
    config.expect("layer_types", ["sliding_attention" if window else "full_attention"] * depth)
    sizes = {"heads": 32, "kv_heads": 8, "head_dim": 128 if third else None}
    attention = pieces.attention(config, value["d_model"], biased=None, **sizes) | pieces.unless(None, window=window)
    attention |= rotary.temperature(config, YARN) if third else {}
    position = rotary.rope(config, value["context"])
    parts = {"attention": attention, "dense": pieces.dense(config, 14_336)}
    return pieces.assemble(config, value, position, parts, [["attention", "dense"]] * depth)


def write(arch: Architecture) -> dict:
    attention, dense = pieces.made_of(arch, {"attention": Attention, "dense": FeedForward})
    written = _write(arch, attention, dense)
    if attention.scores.temperature is None:
        return written
    rope = rotary.write_dictionary(arch.position, arch.context)
    rope |= rotary.write_temperature(attention.scores.temperature)
    written |= {"architectures": ["Ministral3ForCausalLM"], "model_type": "ministral3", "rope_parameters": rope}
    return {key: value for key, value in written.items() if key not in ("rope_theta", "rope_scaling")}


def _write(arch: Architecture, attention: Attention, dense: FeedForward) -> dict:
    return (
        {"architectures": ["MistralForCausalLM"], "model_type": "mistral", "sliding_window": attention.sight.window}
        | pieces.write_sizes(arch)
        | pieces.write_heads(attention)
        | pieces.write_dense(dense)
        | rotary.write_rope(arch.position, arch.context)
        | pieces.write_precision(arch)
    )
