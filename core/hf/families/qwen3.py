"""Qwen3, dense and with experts (arXiv:2505.09388): a norm on each head's queries and keys, heads wider than d_model / heads."""

from ...spec import Architecture
from ..reading import keys, pieces
from ..reading.config import Config
from ..reading.keys import Key, Of, Unread
from ..reading.rotary import Turning
from ..weights.tensors import ignored as ignored
from ..weights.tensors import llama_sources as sources  # noqa: F401

TYPES = ("qwen3", "qwen3_moe")


WINDOW = (Key("sliding_window", "window", 4_096, null=None), Key("use_sliding_window", "windows", False))
KEYS = {
    "qwen3": (
        *keys.sizes(151_936, 4_096, 32_768, 32),
        *keys.attention(32, 32, 128, qk_norm={}),
        *keys.feed_forward(22_016),
        Turning(),
        *WINDOW,
        Key("max_window_layers", "full_layers", 28, least=0),
    ),
    "qwen3_moe": (
        *keys.sizes(151_936, 2_048, 32_768, 24),
        *keys.attention(32, 4, qk_norm={}),
        *keys.feed_forward(6_144, spare=Of("d_model", times=4)),
        *keys.experts(128, 8, 768, names="num_experts/num_local_experts", router={"score": "softmax"}),
        Key("norm_topk_prob", "moe.router.normalise", False),
        Turning(),
        *WINDOW,
        Key("decoder_sparse_step", "every", 1),
        Unread("max_window_layers"),  # the window is every layer's
        *keys.only(shared_expert_intermediate_size=0, use_qk_norm=True),  # Qwen3-Coder's files say these two
    ),
}


def read(config: Config, model_type: str) -> dict:
    said = keys.read(config, KEYS[model_type])
    depth, window = said["depth"], said.get("window") if said["windows"] else None
    if model_type == "qwen3_moe":
        said["attention"]["window"] = window
        alone, every = set(config.listing("mlp_only_layers", int, ())), said["every"]
        feeds = ["dense" if layer in alone or (layer + 1) % every else "moe" for layer in range(depth)]
        return pieces.model(config, said, [["attention", feed] for feed in feeds])
    first = said["full_layers"]
    usual = ["sliding_attention" if window and layer >= first else "full_attention" for layer in range(depth)]
    types = pieces.layer_types(config, depth, usual, "full_attention", *(["sliding_attention"] if window else []))
    mixers, order = pieces.windowed(types, said.pop("attention"), window)
    return pieces.model(config, said | mixers, [[name, "dense"] for name in order])


def write(arch: Architecture) -> dict:
    pieces.made_of(arch, pieces.WINDOWED | pieces.FEEDS)
    window, types = pieces.window(arch), pieces.write_layer_types(arch)
    name, model_type = ("Qwen3Moe", "qwen3_moe") if "moe" in arch.parts else ("Qwen3", "qwen3")
    first = (*types, "sliding_attention").index("sliding_attention")
    parts = {"attention": pieces.mixers(arch)[0], "windows": window is not None, "every": 1, "full_layers": first}
    written = pieces.write_model(arch, name, model_type, KEYS[model_type], **parts) | {"sliding_window": window}
    if model_type == "qwen3":
        return written | {"layer_types": types}
    return written | {"mlp_only_layers": [n for n, word in enumerate(pieces.write_sparse_layers(arch)) if word == "dense"]}
