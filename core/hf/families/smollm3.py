"""SmolLM3 (Hugging Face, 2025): llama's shape, with every fourth layer's attention without position (arXiv:2501.18795)."""

from ...parts.attention import Attention
from ...parts.feedforward import FeedForward
from ...spec import Architecture
from ..reading import pieces, rotary
from ..reading.config import Config
from ..weights.tensors import ignored as ignored
from ..weights.tensors import llama_sources as sources  # noqa: F401

TYPES = ("smollm3",)
NAMES = {(True, False): "attention", (False, False): "nope", (True, True): "local", (False, True): "local_nope"}


def read(config: Config, model_type: str) -> dict:
    value = pieces.sizes(config, vocab_size=128_256, d_model=2_048, context=32_768, tied=True, eps=1e-6)
    depth, every = config.depth("num_hidden_layers", 36), config.count("no_rope_layer_interval", 4)
    turned = config.listing("no_rope_layers", int)  # despite its name, 1 is a layer with rope
    turned = (
        [(layer + 1) % every != 0 for layer in range(depth)] if turned is None else [bool(t) for t in turned[:depth]]
    )
    if len(turned) < depth:
        raise config.refuse("no_rope_layers", f"it has {len(turned)} entries for {depth} layers")
    window = config.count("sliding_window", None)
    window = window if config.take("use_sliding_window", bool, False) else None
    usual = ["sliding_attention" if window and not t else "full_attention" for t in turned]
    types = pieces.layer_types(config, depth, usual, "full_attention", *(["sliding_attention"] if window else []))
    config.ignore("max_window_layers")  # a key of Qwen's, which nothing reads here
    attention = pieces.attention(config, value["d_model"], heads=16, kv_heads=4)
    kinds = [(t, word == "sliding_attention") for t, word in zip(turned, types, strict=True)]
    parts = {
        name: attention | ({"window": window} if local else {}) | ({} if rope else {"position": {"kind": "none"}})
        for (rope, local), name in NAMES.items()
    }
    parts["dense"] = pieces.dense(config, 11_008, biased="mlp_bias")
    position = rotary.rope(config, value["context"], theta=2e6)
    return pieces.assemble(config, value, position, parts, [[NAMES[kind], "dense"] for kind in kinds])


def write(arch: Architecture) -> dict:
    kinds = {"dense": FeedForward} | dict.fromkeys(NAMES.values(), Attention | None)
    dense, *_ = pieces.made_of(arch, kinds)
    mixers = pieces.mixers(arch)
    return (
        {"architectures": ["SmolLM3ForCausalLM"], "model_type": "smollm3"}
        | pieces.write_sizes(arch)
        | pieces.write_heads(mixers[0])
        | pieces.write_dense(dense)
        | {
            "attention_bias": mixers[0].bias,
            "mlp_bias": dense.bias,
            "no_rope_layers": [int(part.position is None) for part in mixers],
            "layer_types": pieces.write_layer_types(arch),
            "use_sliding_window": pieces.window(arch) is not None,
            "sliding_window": pieces.window(arch),
        }
        | rotary.write_rope(arch.position, arch.context)
        | pieces.write_precision(arch)
    )
