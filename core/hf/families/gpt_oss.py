"""gpt-oss (arXiv:2508.10925): attention sinks, every other layer in a window, experts with biases and a clamped SwiGLU."""

from collections.abc import Iterator

import torch
from torch import Tensor

from ...parts.attention import Attention
from ...parts.experts import Experts
from ...spec import Architecture, Unsupported
from ..reading import pieces, rotary
from ..reading.config import Config, layers
from ..reading.pieces import unless
from ..weights import tensors
from ..weights.checkpoint import Source, Sources
from ..weights.tensors import one
from .deepseek_v3 import either

TYPES = ("gpt_oss",)
KINDS = {"sliding_attention": "local", "full_attention": "global"}
FP4 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)  # what the three bits below the sign say
YARN = {"kind": "yarn", "factor": 32.0, "beta_fast": 32.0, "beta_slow": 1.0, "truncate": False}


def read(config: Config, model_type: str) -> dict:
    value = pieces.sizes(config, vocab_size=201_088, d_model=2_880, context=131_072, tied=False, eps=1e-5)
    value["position"] = rotary.rope(config, value["context"], theta=150_000.0)
    if config.raw.get("rope_parameters") is None and not config.raw.get("rope_scaling"):
        value["position"]["scaling"] = YARN | {
            "original_context": config.raw.get("original_max_position_embeddings") or 4_096
        }
    depth = config.depth("num_hidden_layers", 36)
    types = pieces.layer_types(config, depth, (["sliding_attention", "full_attention"] * depth)[:depth], *KINDS)
    parts = {KINDS[word]: _attention(config, value["d_model"], word) for word in KINDS if word in types}
    config.ignore("hidden_act")  # the experts' activation is fixed, whatever this says
    parts["moe"] = {
        "kind": "experts",
        "count": either(config, "num_local_experts", "num_experts", 128),
        "top_k": config.count("num_experts_per_tok", 4),
        "d_ff": config.count("intermediate_size", 2_880),
        "activation": "clamped_swiglu",
        "bias": True,
        "router": {"over": "chosen", "bias": True},
    }
    parts["moe"] |= unless(7.0, clamp=config.take("swiglu_limit", float, 7.0))
    parts["moe"] |= unless(1.702, swish_slope=config.take("swiglu_alpha", float, 1.702))
    config.expect("experts_per_token", parts["moe"]["top_k"])
    config.ignore("initial_context_length")  # said again in the rope's own keys
    value |= {"parts": parts, "layers": layers([[KINDS[word], "moe"] for word in types])}
    return value | pieces.precision(config, parts)


def _attention(config: Config, d_model: int, word: str) -> dict:
    part = {"kind": "attention", "sinks": True} | pieces.heads(config, d_model, heads=64, kv_heads=8, head_dim=64)
    part |= unless(False, bias=config.take("attention_bias", bool, True))
    window = config.count("sliding_window", 128, null=None)
    if word == "full_attention":
        return part
    if window is None:
        raise config.refuse("sliding_window", "layer_types has layers with a window")
    return part | {"window": window}


def write(arch: Architecture) -> dict:
    kinds = {"local": Attention | None, "global": Attention | None, "moe": Experts}
    local, far, moe = pieces.made_of(arch, kinds)
    attention = local or far
    words = {name: word for word, name in KINDS.items()}
    rope = rotary.write_dictionary(arch.position, arch.context)
    return (
        {"architectures": ["GptOssForCausalLM"], "model_type": "gpt_oss", "hidden_act": "silu"}
        | pieces.write_sizes(arch)
        | pieces.write_heads(attention)
        | {
            "attention_bias": attention.bias,
            "layer_types": [words[block[0].parts[0]] for block in arch.sequence],
            "num_local_experts": moe.count,
            "num_experts_per_tok": moe.top_k,
            "intermediate_size": moe.d_ff,
            "swiglu_limit": moe.clamp,
            "swiglu_alpha": moe.swish_slope,
            "rope_parameters": rope,  # without it the family's own scaling would hold
        }
        | ({"sliding_window": attention.sight.window} if attention.sight.window else {})
        | pieces.write_precision(arch)
    )


def sources(arch: Architecture) -> Sources:
    return tensors.llama_sources(arch, ff=_experts)


def ignored(name: str) -> bool:
    return False


def _experts(path: str, at: str, part: Experts) -> Iterator[tuple[str, list[Source]]]:
    """Gate and up are the even and odd rows of one matrix, which lies (in, out), or (out, in) in mxfp4."""
    for name in ("weight", "bias"):
        yield one(f"{path}.router.{name}", f"{at}.mlp.router.{name}")
    rows = {
        "gate": ("gate_up_proj", slice(0, None, 2)),
        "up": ("gate_up_proj", slice(1, None, 2)),
        "down": ("down_proj", slice(None)),
    }
    for ours, (name, which) in rows.items():
        theirs = f"{at}.mlp.experts.{name}"
        plain = Source((theirs,), lambda m, which=which: m.mT[:, which])
        packed = Source(
            (f"{theirs}_blocks", f"{theirs}_scales"), lambda b, s, which=which: mxfp4(b[:, which], s[:, which])
        )
        yield f"{path}.experts.{ours}", [plain, packed]
        yield one(f"{path}.experts.{ours}_bias", f"{theirs}_bias", make=lambda b, which=which: b[:, which])


def mxfp4(blocks: Tensor, scales: Tensor) -> Tensor:
    """Two values a byte, low bits first, and a power of two for every 32: (..., in / 32, 16), (..., in / 32) -> (..., in)."""
    if scales.shape != blocks.shape[:-1]:
        raise Unsupported(f"blocks of shape {tuple(blocks.shape)} have scales of shape {tuple(blocks.shape[:-1])}")
    table = torch.tensor([*FP4, *(-value for value in FP4)], device=blocks.device)
    values = table[torch.stack((blocks & 15, blocks >> 4), dim=-1).flatten(-2).int()]  # (..., in / 32, 32)
    return torch.ldexp(values, scales.int().unsqueeze(-1) - 127).flatten(-2)
