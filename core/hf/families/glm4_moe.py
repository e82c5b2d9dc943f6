"""GLM-4.5 (arXiv:2508.06471): grouped-query attention that turns half of each head, DeepSeek-V3's experts and router."""

from ...parts.attention import Attention
from ...spec import Architecture
from ..reading import keys, pieces
from ..reading.config import Config
from ..reading.keys import Always, Has, Key
from ..reading.rotary import Turning
from ..weights import mtp, tensors
from ..weights.checkpoint import Sources
from . import deepseek_v3 as v3

TYPES = ("glm4_moe",)
ignored = v3.ignored


KEYS = (
    *keys.sizes(151_552, 4_096, 131_072, 46, eps=1e-5),
    Always("attention", kind="attention"),
    *keys.heads(96, 8),
    Key("attention_bias", "attention.bias", False),
    Has("use_qk_norm", "attention.qk_norm", False, on={}),
    *keys.feed_forward(10_944),
    *keys.experts(128, 8, 1_408),
    keys.shared(1),
    *v3.balanced(1, 1, 1.0),
    Turning(fraction=0.5),
    Key("first_k_dense_replace", "leading", 1, least=0),
    keys.ahead(1),
)


def read(config: Config, model_type: str) -> dict:
    # Heads do not have to divide the stream, nor to be fewer than its channels. A null share turns whole heads.
    width = config.count("hidden_size", 4_096) // config.count("num_attention_heads", 96)
    if "head_dim" not in config.raw:
        config.suppose("head_dim", width)
    if "partial_rotary_factor" in config.raw:
        config.suppose("partial_rotary_factor", 1.0)
    said = keys.read(config, KEYS)
    if said["attention"]["bias"]:
        said["attention"]["out_bias"] = False
    return v3.leading_dense(config, said, **mtp.foretold(said, ["attention", "moe"], copies=("embedding", "head")))


def write(arch: Architecture) -> dict:
    pieces.made_of(arch, {"attention": Attention} | pieces.FEEDS)
    return pieces.write_model(arch, "Glm4Moe", "glm4_moe", KEYS, leading=pieces.first_routed(arch))


def sources(arch: Architecture) -> Sources:
    return tensors.llama_sources(arch)
