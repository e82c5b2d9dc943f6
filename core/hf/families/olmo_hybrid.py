"""Olmo Hybrid (Ai2 2026): three layers of gated delta net, with norms before each part, to one of attention as in OLMo 2, with
norms on what each part gives."""

from collections.abc import Iterator

import torch

from ...parts.attention import Attention
from ...parts.delta import GatedDeltaNet
from ...parts.feedforward import FeedForward
from ...parts.position import NoPosition, Rope
from ...spec import Architecture
from ..reading import pieces, rotary
from ..reading.config import Config, layers
from ..reading.pieces import unless
from ..weights import tensors
from ..weights.checkpoint import Source, Sources
from ..weights.tensors import ignored as ignored
from ..weights.tensors import one

TYPES = ("olmo_hybrid",)
AFTER = {"norm": "output"}


def read(config: Config, model_type: str) -> dict:
    value = pieces.sizes(config, vocab_size=100_352, d_model=3_840, context=65_536, tied=False, eps=1e-6)
    depth = config.depth("num_hidden_layers", 32)
    usual = ["full_attention" if layer % 4 == 3 else "linear_attention" for layer in range(depth)]
    usual = usual if "full_attention" in usual else [*usual[:-1], "full_attention"]
    types = pieces.layer_types(config, depth, usual, "full_attention", "linear_attention")
    attention = pieces.attention(config, value["d_model"], heads=30) | {"qk_norm": {"across": "heads"}}
    parts = {
        "delta": _delta(config, value["d_model"], attention["heads"]),
        "attention": attention,
        "dense": pieces.dense(config, 11_008),
    }
    blocks = {
        "linear_attention": ["delta", "dense"],
        "full_attention": [{"parts": [name], "residual": AFTER} for name in ("attention", "dense")],
    }
    if len(set(types)) < 2:
        raise config.refuse("layer_types", "this family has layers of both kinds")
    position = {"position": _position(config, value["context"])}
    layered = {"layers": layers([blocks[word] for word in types])}
    return value | position | {"parts": parts} | layered | pieces.precision(config, parts)


def _delta(config: Config, d_model: int, heads: int) -> dict:
    keys = config.count("linear_num_key_heads", heads)
    width = config.count("linear_key_head_dim", int(0.75 * d_model / keys))
    config.ignore("linear_a_log_min", "linear_a_log_max", "linear_dt_min", "linear_dt_max", "linear_dt_init_floor")
    return {
        "kind": "gated_delta_net",
        "heads": config.count("linear_num_value_heads", heads),
        "key_heads": keys,
        "key_dim": width,
        "value_dim": config.count("linear_value_head_dim", 2 * width),
        "out_eps": 1e-5,
    } | pieces.mixed(config) | unless(4, kernel=config.count("linear_conv_kernel_dim", 4)) | unless(
        False, negative=config.take("linear_allow_neg_eigval", bool, True)
    )  # fmt: skip


def _position(config: Config, context: int) -> dict:
    """A rope, unless its base is said to be null: the published models turn nothing."""
    given = config.raw.get("rope_scaling") or config.raw.get("rope_parameters") or {}
    inner = isinstance(given, dict) and "rope_theta" in given
    if (given if inner else config.raw).get("rope_theta", 0) is None:
        config.ignore("rope_theta", "rope_scaling", "rope_parameters")
        return {"kind": "none"}
    return rotary.rope(config, context)


def write(arch: Architecture) -> dict:
    kinds = {"delta": GatedDeltaNet, "attention": Attention, "dense": FeedForward}
    delta, attention, dense = pieces.made_of(arch, kinds, Rope | NoPosition)
    position = arch.position
    rope = {"rope_parameters": {"rope_theta": None, "rope_type": "default"}}
    return (
        {"architectures": ["OlmoHybridForCausalLM"], "model_type": "olmo_hybrid", "attention_bias": attention.bias}
        | pieces.write_sizes(arch)
        | pieces.write_heads(attention)
        | pieces.write_dense(dense)
        | {
            "linear_num_value_heads": delta.heads,
            "linear_num_key_heads": delta.key_heads,
            "linear_key_head_dim": delta.key_dim,
            "linear_value_head_dim": delta.value_dim,
            "linear_conv_kernel_dim": delta.kernel,
            "linear_allow_neg_eigval": delta.negative,
            "layer_types": [
                "linear_attention" if block[0].parts == ("delta",) else "full_attention" for block in arch.sequence
            ],
        }
        | (rope if position.kind == "none" else rotary.write_rope(position, arch.context))
        | pieces.write_precision(arch)
    )


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
