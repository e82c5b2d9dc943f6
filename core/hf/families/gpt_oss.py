"""gpt-oss (arXiv:2508.10925): attention sinks, every other layer in a window, experts with biases and a clamped SwiGLU."""

from collections.abc import Iterator

import torch
from torch import Tensor

from ...parts.attention import Attention
from ...parts.experts import Experts
from ...spec import Architecture, Unsupported
from ..reading import keys, pieces, rotary
from ..reading.config import Config
from ..reading.keys import Again, Always, Key, Unread
from ..weights import tensors
from ..weights.checkpoint import Source, Sources
from ..weights.tensors import one

TYPES = ("gpt_oss",)
KINDS = {"sliding_attention": "local", "full_attention": "global"}
FP4 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)  # what the three bits below the sign say
YARN = {"kind": "yarn", "factor": 32.0, "beta_fast": 32.0, "beta_slow": 1.0, "truncate": False}


KEYS = (
    *keys.sizes(201_088, 2_880, 131_072, 36, eps=1e-5),
    Always("attention", kind="attention", scores={"sinks": True}),
    *keys.heads(64, 8, 64),
    Key("attention_bias", "attention.bias", True),
    *keys.experts(
        128, 4, 2_880, names="num_local_experts/num_experts", width="intermediate_size", act="", activation="clamped_swiglu", bias=True,
        router={"over": "chosen", "bias": True},
    ),
    Key("swiglu_limit", "moe.clamp", 7.0),
    Key("swiglu_alpha", "moe.swish_slope", 1.702),
    Again("experts_per_token", "moe.top_k"),
    Unread("hidden_act"),  # the experts' activation is fixed, whatever this says
    Unread("initial_context_length"),  # said again in the rope's own keys
)  # fmt: skip


def read(config: Config, model_type: str) -> dict:
    said = keys.read(config, KEYS)
    said["position"] = rotary.rope(config, said["context"], theta=1.5e5)
    if config.raw.get("rope_parameters") is None and not config.raw.get("rope_scaling"):
        said["position"]["scaling"] = YARN | {"original_context": config.raw.get("original_max_position_embeddings") or 4_096}
    depth, part = said["depth"], said.pop("attention")
    types = pieces.layer_types(config, depth, (["sliding_attention", "full_attention"] * depth)[:depth], *KINDS)
    window = config.count("sliding_window", 128, null=None)
    if window is None and "sliding_attention" in types:
        raise config.refuse("sliding_window", "layer_types has layers with a window")
    said |= {KINDS["sliding_attention"]: part | pieces.sight(window), KINDS["full_attention"]: part}
    return pieces.model(config, said, [[KINDS[word], "moe"] for word in types])


def write(arch: Architecture) -> dict:
    local, far, _ = pieces.made_of(arch, {"local": Attention | None, "global": Attention | None, "moe": Experts})
    written = pieces.write_model(arch, "GptOss", "gpt_oss", KEYS, attention=local or far) | {
        "hidden_act": "silu",
        "layer_types": pieces.write_layer_types(arch),
        "rope_parameters": rotary.write_dictionary(arch.position, arch.context),  # without it the family's scaling would hold
    }
    return written | ({"sliding_window": local.sight.window} if local else {})


def sources(arch: Architecture) -> Sources:
    return tensors.llama_sources(arch, ff=_experts)


def ignored(name: str) -> bool:
    return False


def _experts(path: str, at: str, part: Experts) -> Iterator[tuple[str, list[Source]]]:
    """Gate and up are the even and odd rows of one matrix, which lies (in, out), or (out, in) in mxfp4."""
    for name in ("weight", "bias"):
        yield one(f"{path}.router.{name}", f"{at}.mlp.router.{name}")
    rows = {"gate": ("gate_up_proj", slice(0, None, 2)), "up": ("gate_up_proj", slice(1, None, 2)), "down": ("down_proj", slice(None))}
    for ours, (name, which) in rows.items():
        theirs = f"{at}.mlp.experts.{name}"
        plain = Source((theirs,), lambda m, which=which: m.mT[:, which])
        packed = Source((f"{theirs}_blocks", f"{theirs}_scales"), lambda b, s, which=which: mxfp4(b[:, which], s[:, which]))
        yield f"{path}.experts.{ours}", [plain, packed]
        yield one(f"{path}.experts.{ours}_bias", f"{theirs}_bias", make=lambda b, which=which: b[:, which])


def mxfp4(blocks: Tensor, scales: Tensor) -> Tensor:
    """Two values a byte, low bits first, and a power of two for every 32: (..., in / 32, 16), (..., in / 32) -> (..., in)."""
    if scales.shape != blocks.shape[:-1]:
        raise Unsupported(f"blocks of shape {tuple(blocks.shape)} have scales of shape {tuple(blocks.shape[:-1])}")
    table = torch.tensor([*FP4, *(-value for value in FP4)], device=blocks.device)
    values = table[torch.stack((blocks & 15, blocks >> 4), dim=-1).flatten(-2).int()]  # (..., in / 32, 32)
    return torch.ldexp(values, scales.int().unsqueeze(-1) - 127).flatten(-2)
