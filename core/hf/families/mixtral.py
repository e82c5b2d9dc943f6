"""Mixtral (arXiv:2401.04088): Mistral with experts; the softmax is over the two that are chosen."""

from ...parts.attention import Attention
from ...parts.experts import Experts
from ...spec import Architecture
from ..reading import keys, pieces
from ..reading.config import Config
from ..reading.keys import Always, Key
from ..reading.rotary import Turning
from ..weights import tensors
from ..weights.checkpoint import Sources
from ..weights.tensors import ignored as ignored

TYPES = ("mixtral",)


KEYS = (
    *keys.sizes(32_000, 4_096, 131_072, 32, eps=1e-5),
    Always("attention", kind="attention"),
    *keys.heads(32, 8),
    Key("sliding_window", "attention.sight.window", None),
    *keys.experts(8, 2, 14_336, names="num_local_experts", width="intermediate_size", router={"score": "softmax", "over": "chosen"}),
    Turning(1e6),
)


def read(config: Config, model_type: str) -> dict:
    said = keys.read(config, KEYS)
    return pieces.model(config, said, [["attention", "moe"]] * said["depth"])


def write(arch: Architecture) -> dict:
    pieces.made_of(arch, {"attention": Attention, "moe": Experts})
    return pieces.write_model(arch, "Mixtral", "mixtral", KEYS)


def sources(arch: Architecture) -> Sources:
    def experts(path, at, part):
        return tensors.experts_sources(path, f"{at}.mlp", part, names=("w1", "w3", "w2"), each=f"{at}.block_sparse_moe")

    return tensors.llama_sources(arch, ff=experts)
