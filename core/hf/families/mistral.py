"""Mistral 7B (arXiv:2310.06825) and its successors: llama's shape, in a sliding window where one is given. Ministral 3
stretches its rope and lets scores grow with the position."""

from ...parts.attention import Attention
from ...parts.feedforward import FeedForward
from ...spec import Architecture
from ..reading import keys, pieces
from ..reading.config import Config, text_config
from ..reading.keys import Always, Entry, Key, Keys
from ..reading.rotary import Stepping, Turning
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


def _keys(vocab_size: int, context: int, depth: int, eps: float, head_dim: int | None, window: int | None, rope: Entry) -> Keys:
    return (
        *keys.sizes(vocab_size, 4_096, context, depth, eps=eps),
        Always("attention", kind="attention"),
        *keys.heads(32, 8, head_dim),
        Key("sliding_window", "attention.sight.window", window, null=None),
        *keys.feed_forward(14_336),
        rope,
    )


KEYS = {
    "mistral": _keys(32_000, 131_072, 32, 1e-6, None, 4_096, Turning()),
    "ministral3": _keys(131_072, 262_144, 34, 1e-5, 128, None, Stepping(YARN)),
}


def read(config: Config, model_type: str) -> dict:
    if model_type == "mistral3":
        config.suppose("text_config", SMALL)
        text = text_config(config, "mistral", "ministral3", "mistral4")
        inner = text.take("model_type", str, "mistral")
        fourth = like_deepseek.MODELS.get(inner)
        value = like_deepseek.read(fourth, text, inner) if fourth else read(text, inner)
        text.finish(value)
        return value
    said = keys.read(config, KEYS[model_type])
    depth, window = said["depth"], said["attention"].get("sight", {}).get("window")
    config.expect("layer_types", ["sliding_attention" if window else "full_attention"] * depth)
    return pieces.model(config, said, [["attention", "dense"]] * depth)


def write(arch: Architecture) -> dict:
    attention, _ = pieces.made_of(arch, {"attention": Attention, "dense": FeedForward})
    third = attention.scores.temperature or arch.model_type == "ministral3"
    name, model_type = ("Ministral3", "ministral3") if third else ("Mistral", "mistral")
    return pieces.write_model(arch, name, model_type, KEYS[model_type])
