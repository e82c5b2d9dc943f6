"""DeepSeekMoE (arXiv:2401.06066): llama's attention, many small experts beside shared ones. Its class came with its weights."""

from ...parts.attention import Attention
from ...spec import Architecture
from ..reading import keys, pieces
from ..reading.config import Config
from ..reading.keys import Always, Key, Only
from ..reading.rotary import Turning
from ..weights import tensors
from ..weights.checkpoint import Sources
from . import deepseek_v3 as v3

TYPES = ("deepseek",)
ignored = v3.ignored


KEYS = (
    *keys.sizes(102_400, 4_096, 2_048, 30),
    *keys.heads(32),
    Key("attention_bias", "attention.bias", False),
    Always("attention", kind="attention"),
    *keys.feed_forward(11_008),
    Turning(),
    Key("first_k_dense_replace", "leading", 0, least=0),
    Key("moe_layer_freq", "every", 1),
)
EXPERTS = (
    *keys.experts(..., ..., 1_407),
    keys.shared(0),
    Only("scoring_func", "softmax", written=True),
    Key("norm_topk_prob", "moe.router.normalise", False),
)


def read(config: Config, model_type: str) -> dict:
    said = keys.read(config, KEYS)
    if said["position"].get("scaling", {"kind": "linear"})["kind"] not in ("linear", "dynamic"):
        raise config.refuse("rope_scaling", "this family's code has linear and dynamic")
    config.expect("head_dim", said["d_model"] // said["attention"]["heads"])
    routed = config.has("n_routed_experts")  # without them every layer is dense
    if routed:
        keys.read(config, EXPERTS, said)
        said["moe"]["router"]["normalise"] &= said["moe"]["top_k"] > 1  # one chosen expert keeps its score
    first, every = said["leading"], said["every"]
    feeds = ["moe" if routed and n >= first and n % every == 0 else "dense" for n in range(said["depth"])]
    return pieces.model(config, said, [["attention", feed] for feed in feeds])


def write(arch: Architecture) -> dict:
    _, _, moe = pieces.made_of(arch, {"attention": Attention} | pieces.FEEDS)
    at = [layer for layer, block in enumerate(arch.sequence) if block[-1].parts[0] == "moe"]
    every = at[1] - at[0] if len(at) > 1 else max(1, arch.depth if at == [0] else 1)
    own = KEYS + bool(moe) * EXPERTS
    return pieces.write_model(arch, "Deepseek", "deepseek", own, leading=pieces.first_routed(arch), every=every)


def sources(arch: Architecture) -> Sources:
    return tensors.llama_sources(arch)
