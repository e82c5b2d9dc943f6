"""The text part of DeepSeek-OCR 2: DeepSeekMoE's attention, DeepSeek-V2's routing (arXiv:2601.20552)."""

from ...parts.attention import Attention
from ...spec import Architecture
from ..reading import keys, pieces
from ..reading.config import Config
from ..reading.keys import Key, Only, Unread
from ..reading.rotary import Turning
from ..weights.tensors import ignored as ignored
from ..weights.tensors import llama_sources as sources  # noqa: F401
from . import deepseek_v2 as v2

TYPES = ("deepseek_ocr2_text",)


KEYS = (
    *keys.sizes(102_400, 4_096, 2_048, 32),
    *keys.attention(32),
    *keys.feed_forward(11_008, bias=("mlp_bias", False)),
    *keys.experts(64, ..., 1_407, names="n_routed_experts/num_experts"),
    keys.shared(2),
    Key("routed_scaling_factor", "moe.router.scale", 1.0),
    Turning(),
    Only("scoring_func", "softmax"),
    Unread("norm_topk_prob", written="moe.router.normalise"),  # weights are as they are
)


def read(config: Config, model_type: str) -> dict:
    config.ignore("head_dim")  # heads together are as wide as the stream
    config.raw = {key: said for key, said in config.raw.items() if key != "head_dim"}
    said = keys.read(config, KEYS)
    v2.groups(config, said)
    if "shared" in said["moe"]:
        said["moe"]["shared"]["bias"] = said["dense"]["bias"]
    if not config.has("mlp_layer_types"):
        raise config.refuse("mlp_layer_types", f"give dense or sparse for each of the {said['depth']} layers")
    sparse = pieces.sparse_layers(config, said["depth"], 0)
    return pieces.model(config, said, [["attention", "moe" if routed else "dense"] for routed in sparse])


def write(arch: Architecture) -> dict:
    pieces.made_of(arch, {"attention": Attention} | pieces.FEEDS)
    written = {"num_experts_per_tok": 1} | pieces.write_model(arch, "", "deepseek_ocr2_text", KEYS) | v2.write_groups(arch)
    del written["architectures"]
    return written | {"mlp_layer_types": pieces.write_sparse_layers(arch), "mlp_bias": v2.biased(arch)}
