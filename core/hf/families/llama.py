"""Llama 1 to 3 (arXiv:2302.13971, arXiv:2407.21783): the shape that most later families vary."""

from ...parts.attention import Attention
from ...parts.feedforward import FeedForward
from ...spec import Architecture
from ..reading import keys, pieces
from ..reading.config import Config
from ..reading.keys import Key, Only
from ..reading.rotary import Turning
from ..weights.tensors import ignored as ignored
from ..weights.tensors import llama_sources as sources  # noqa: F401

TYPES = ("llama",)
KEYS = (
    *keys.sizes(vocab_size=32_000, d_model=4_096, context=2_048, depth=32),
    *keys.attention(32),
    *keys.feed_forward(11_008),
    Key("mlp_bias", "dense.bias", False),
    Turning(),
    Only("activation", "swiglu"),  # Falcon 3 says again what hidden_act does
    Only("is_llama_config", True),  # SmolLM2's files say so
)


def read(config: Config, model_type: str) -> dict:
    said = keys.read(config, KEYS)
    return pieces.model(config, said, [["attention", "dense"]] * said["depth"])


def write(arch: Architecture) -> dict:
    pieces.made_of(arch, {"attention": Attention, "dense": FeedForward})
    return pieces.write_model(arch, "Llama", "llama", KEYS)
