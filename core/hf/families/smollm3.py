"""SmolLM3 (Hugging Face, 2025): llama's shape, with every fourth layer's attention without position (arXiv:2501.18795)."""

from ...parts.attention import Attention
from ...parts.feedforward import FeedForward
from ...spec import Architecture
from ..reading import keys, pieces
from ..reading.config import Config
from ..reading.keys import Key, Unread
from ..reading.rotary import Turning
from ..weights.tensors import ignored as ignored
from ..weights.tensors import llama_sources as sources  # noqa: F401

TYPES = ("smollm3",)
NAMES = {(True, False): "attention", (False, False): "nope", (True, True): "local", (False, True): "local_nope"}


KEYS = (
    *keys.sizes(128_256, 2_048, 32_768, 36, tied=True),
    *keys.attention(16, 4),
    *keys.feed_forward(11_008, bias=("mlp_bias", False)),
    Turning(2e6),
    Key("sliding_window", "window", None),
    Key("use_sliding_window", "windows", False),
    Unread("max_window_layers"),  # a key of Qwen's, which nothing reads here
)


def read(config: Config, model_type: str) -> dict:
    said = keys.read(config, KEYS)
    depth, every = said["depth"], config.count("no_rope_layer_interval", 4)
    turned = config.listing("no_rope_layers", int)  # despite its name, 1 is a layer with rope
    turned = [(layer + 1) % every != 0 for layer in range(depth)] if turned is None else [bool(t) for t in turned[:depth]]
    if len(turned) < depth:
        raise config.refuse("no_rope_layers", f"it has {len(turned)} entries for {depth} layers")
    window = said.get("window") if said["windows"] else None
    usual = ["sliding_attention" if window and not t else "full_attention" for t in turned]
    types = pieces.layer_types(config, depth, usual, "full_attention", *(["sliding_attention"] if window else []))
    attention = said.pop("attention")
    for (rope, local), name in NAMES.items():
        own = {} if rope else {"position": {"kind": "none"}}
        said[name] = attention | own | ({"window": window} if local else {})
    kinds = [(t, word == "sliding_attention") for t, word in zip(turned, types, strict=True)]
    return pieces.model(config, said, [[NAMES[kind], "dense"] for kind in kinds])


def write(arch: Architecture) -> dict:
    pieces.made_of(arch, {"dense": FeedForward} | dict.fromkeys(NAMES.values(), Attention | None))
    mixers, window = pieces.mixers(arch), pieces.window(arch)
    written = pieces.write_model(arch, "SmolLM3", "smollm3", KEYS, attention=mixers[0], windows=window is not None)
    return written | {
        "no_rope_layers": [int(part.position is None) for part in mixers],
        "layer_types": pieces.write_layer_types(arch),
        "sliding_window": window,
    }
