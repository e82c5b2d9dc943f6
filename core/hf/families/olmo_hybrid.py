"""Olmo Hybrid (Ai2 2026): three layers of gated delta net, with norms before each part, to one of attention as in OLMo 2, with
norms on what each part gives."""

from collections.abc import Iterator

import torch

from ...parts.attention import Attention
from ...parts.delta import GatedDeltaNet
from ...parts.feedforward import FeedForward
from ...parts.position import NoPosition, Rope
from ...spec import Architecture
from ..reading import keys, pieces, rotary
from ..reading.config import Config
from ..reading.keys import Always, Key, Of, Unread
from ..weights import tensors
from ..weights.checkpoint import Source, Sources
from ..weights.tensors import ignored as ignored
from ..weights.tensors import one

TYPES = ("olmo_hybrid",)
AFTER = {"norm": "output"}


KEYS = (
    *keys.sizes(100_352, 3_840, 65_536, 32),
    *keys.attention(30, qk_norm={"across": "heads"}),
    Always("delta", kind="gated_delta_net", out_eps=1e-5),
    Key("linear_num_value_heads", "delta.heads", Of("attention.heads")),
    Key("linear_num_key_heads", "delta.key_heads", Of("attention.heads")),
    Key("linear_key_head_dim", "delta.key_dim", Of("d_model", 0.75, "delta.key_heads")),
    Key("linear_value_head_dim", "delta.value_dim", Of("delta.key_dim", times=2)),
    Key("linear_conv_kernel_dim", "delta.kernel", 4),
    Key("linear_allow_neg_eigval", "delta.negative", True),
    Key("hidden_act", "delta.activation", "silu", form=keys.PLAIN_ACTIVATION),
    *keys.feed_forward(11_008),
    Unread("linear_a_log_min linear_a_log_max linear_dt_min linear_dt_max linear_dt_init_floor"),
)


def read(config: Config, model_type: str) -> dict:
    said = keys.read(config, KEYS)
    depth = said["depth"]
    said["position"] = _position(config, said["context"])
    usual = ["full_attention" if layer % 4 == 3 else "linear_attention" for layer in range(depth)]
    usual = usual if "full_attention" in usual else [*usual[:-1], "full_attention"]
    types = pieces.layer_types(config, depth, usual, "full_attention", "linear_attention")
    if len(set(types)) < 2:
        raise config.refuse("layer_types", "this family has layers of both kinds")
    blocks = {
        "linear_attention": ["delta", "dense"],
        "full_attention": [{"parts": [name], "residual": AFTER} for name in ("attention", "dense")],
    }
    return pieces.model(config, said, [blocks[word] for word in types])


def _position(config: Config, context: int) -> dict:
    """A rope, unless its base is said to be null: the published models turn nothing."""
    given = config.raw.get("rope_scaling") or config.raw.get("rope_parameters") or {}
    inner = isinstance(given, dict) and "rope_theta" in given
    if (given if inner else config.raw).get("rope_theta", 0) is None:
        config.ignore("rope_theta", "rope_scaling", "rope_parameters")
        return {"kind": "none"}
    return rotary.rope(config, context)


def write(arch: Architecture) -> dict:
    pieces.made_of(arch, {"delta": GatedDeltaNet, "attention": Attention, "dense": FeedForward}, Rope | NoPosition)
    kinds = {"delta": "linear_attention", "attention": "full_attention"}
    rope = {"rope_parameters": {"rope_theta": None, "rope_type": "default"}}
    if arch.position.kind != "none":
        rope = rotary.write_rope(arch.position, arch.context)
    written = pieces.write_model(arch, "OlmoHybrid", "olmo_hybrid", KEYS) | rope
    return written | {"layer_types": [kinds[block[0].parts[0]] for block in arch.sequence]}


def sources(arch: Architecture) -> Sources:
    """As transformers has them, and as the published files call the norms before a part."""
    published = {"input_layernorm": "attention_layer_norm", "post_attention_layernorm": "feedforward_layer_norm"}

    def mixer(path, at, part):
        return (_delta_sources if isinstance(part, GatedDeltaNet) else tensors.part_sources)(path, at, part)

    own, others = tensors.llama_sources(arch, mixer), tensors.renamed(tensors.llama_sources(arch, mixer), **published)
    for (path, ways), (_, more) in zip(own, others, strict=True):
        yield path, ways + more


def _delta_sources(path: str, at: str, part: GatedDeltaNet) -> Iterator[tuple[str, list[Source]]]:
    at = f"{at}.linear_attn"

    def joined(*tensors: torch.Tensor) -> torch.Tensor:
        return torch.cat(tensors)

    yield f"{path}.qkv.weight", [Source(tuple(f"{at}.{name}_proj.weight" for name in "qkv"), joined)]
    convolutions = Source(tuple(f"{at}.{name}_conv1d.weight" for name in "qkv"), joined)
    yield f"{path}.convolve.weight", [Source((f"{at}.conv1d.weight",)), convolutions]
    for ours, theirs in {"z": "g", "beta": "b", "decay": "a", "o": "o"}.items():
        yield one(f"{path}.{ours}.weight", f"{at}.{theirs}_proj.weight")
    for name in ("A_log", "dt_bias"):
        yield one(f"{path}.rule.{name}", f"{at}.{name}")
    yield one(f"{path}.out_norm.weight", f"{at}.o_norm.weight")
