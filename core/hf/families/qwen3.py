"""Qwen3, dense and with experts (arXiv:2505.09388): a norm on each head's queries and keys, heads wider than d_model / heads."""

from collections.abc import Sequence

from ...spec import Architecture
from ..reading import pieces, rotary
from ..reading.config import Config
from ..weights.tensors import ignored as ignored
from ..weights.tensors import llama_sources as sources  # noqa: F401

TYPES = ("qwen3", "qwen3_moe")


def read(config: Config, model_type: str) -> dict:
    return (_read_moe if model_type == "qwen3_moe" else _read_dense)(config)


def _window(config: Config) -> int | None:
    window = config.count("sliding_window", 4_096, null=None)
    return window if config.take("use_sliding_window", bool, False) else None


def _attention(config: Config, d_model: int, **defaults: int | None) -> dict:
    return pieces.attention(config, d_model, **defaults) | {"qk_norm": {}}


def _read_dense(config: Config) -> dict:
    value = pieces.sizes(config, vocab_size=151_936, d_model=4_096, context=32_768, tied=False, eps=1e-6)
    depth = config.depth("num_hidden_layers", 32)
    window, first = _window(config), config.count("max_window_layers", 28, least=0)
    usual = ["sliding_attention" if window and layer >= first else "full_attention" for layer in range(depth)]
    types = pieces.layer_types(config, depth, usual, "full_attention", *(["sliding_attention"] if window else []))
    attention = _attention(config, value["d_model"], heads=32, kv_heads=32, head_dim=128)
    mixers, order = pieces.windowed(types, attention, window)
    parts = mixers | {"dense": pieces.dense(config, 22_016)}
    return pieces.assemble(
        config, value, rotary.rope(config, value["context"]), parts, [[name, "dense"] for name in order]
    )


def _read_moe(config: Config) -> dict:
    value = pieces.sizes(config, vocab_size=151_936, d_model=2_048, context=32_768, tied=False, eps=1e-6)
    window = _window(config)  # of every layer, whatever max_window_layers says
    config.ignore("max_window_layers")
    config.expect("shared_expert_intermediate_size", 0)  # Qwen3-Coder's files say these two
    config.expect("use_qk_norm", True)
    activation = pieces.unless("swiglu", activation=pieces.activation(config))
    parts = {
        "attention": _attention(config, value["d_model"], heads=32, kv_heads=4) | pieces.unless(None, window=window),
        "dense": pieces.dense(config, 6_144),
        "moe": {
            "kind": "experts",
            "count": config.count("num_local_experts", 128),
            "top_k": config.count("num_experts_per_tok", 8),
            "d_ff": config.count("moe_intermediate_size", 768),
        }
        | activation
        | {"router": {"score": "softmax"} | pieces.unless(False, normalise=config.take("norm_topk_prob", bool, False))},
    }
    dense = set(config.listing("mlp_only_layers", int, ()))
    step = config.count("decoder_sparse_step", 1)
    blocks = [
        ["attention", "dense" if layer in dense or (layer + 1) % step else "moe"]
        for layer in range(config.depth("num_hidden_layers", 24))
    ]
    return pieces.assemble(config, value, rotary.rope(config, value["context"]), parts, blocks)


def write(arch: Architecture) -> dict:
    pieces.made_of(arch, pieces.WINDOWED | pieces.FEEDS)
    written = (
        pieces.write_sizes(arch)
        | pieces.write_heads(pieces.mixers(arch)[0])
        | {"attention_bias": pieces.mixers(arch)[0].bias}
        | {"use_sliding_window": pieces.window(arch) is not None, "sliding_window": pieces.window(arch)}
        | rotary.write_rope(arch.position, arch.context)
        | pieces.write_precision(arch)
    )
    if "moe" in arch.parts:
        return written | _write_moe(arch)
    types = pieces.write_layer_types(arch)
    return (
        written
        | {
            "architectures": ["Qwen3ForCausalLM"],
            "model_type": "qwen3",
            "max_window_layers": _first(types, "sliding_attention"),
        }
        | {"layer_types": types}
        | pieces.write_dense(arch.parts["dense"])
    )


def _write_moe(arch: Architecture) -> dict:
    moe, dense = arch.parts["moe"], arch.parts.get("dense")
    return {
        "architectures": ["Qwen3MoeForCausalLM"],
        "model_type": "qwen3_moe",
        "intermediate_size": dense.d_ff if dense else 4 * arch.d_model,
        "hidden_act": pieces.write_activation(moe.activation),
        "num_experts": moe.count,
        "num_experts_per_tok": moe.top_k,
        "moe_intermediate_size": moe.d_ff,
        "norm_topk_prob": moe.router.normalise,
        "decoder_sparse_step": 1,
        "mlp_only_layers": [layer for layer, block in enumerate(arch.sequence) if block[1].parts == ("dense",)],
    }


def _first(words: Sequence[str], word: str) -> int:
    return words.index(word) if word in words else len(words)
