"""OLMo 2 (arXiv:2501.00656): norms on what each part gives, none before it, and one norm over all heads of queries and of keys."""

from ...parts.attention import Attention
from ...parts.feedforward import FeedForward
from ...spec import Architecture
from ..reading import keys, pieces
from ..reading.config import Config
from ..reading.keys import Always
from ..reading.rotary import Turning
from ..weights.tensors import ignored as ignored
from ..weights.tensors import llama_sources as sources  # noqa: F401

TYPES = ("olmo2",)


KEYS = (
    *keys.sizes(50_304, 4_096, 2_048, 32, eps=1e-5),
    *keys.attention(32, qk_norm={"across": "heads"}),
    *keys.feed_forward(11_008),
    Always("residual", norm="output"),
    Turning(),
)


def read(config: Config, model_type: str) -> dict:
    said = keys.read(config, KEYS)
    return pieces.model(config, said, [["attention", "dense"]] * said["depth"])


def write(arch: Architecture) -> dict:
    pieces.made_of(arch, {"attention": Attention, "dense": FeedForward})
    return pieces.write_model(arch, "Olmo2", "olmo2", KEYS)
