"""Kimi Linear (arXiv:2510.26692): three layers of delta attention to one of latent attention without positions, DeepSeek-V3's
experts. Most counts go by two names, the checkpoint's own and DeepSeek's."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch

from ...parts.experts import Experts
from ...parts.kimi_delta import KimiDelta
from ...parts.latent import LatentAttention
from ...parts.position import NoPosition
from ...spec import Architecture
from ..reading import keys, pieces
from ..reading.config import Config
from ..reading.keys import Always, Groups, Key, Keys, Unread
from ..weights import tensors
from ..weights.checkpoint import Source, Sources
from ..weights.tensors import ignored as ignored
from ..weights.tensors import one
from . import deepseek_v3 as v3
from .like_llama_moe import typed

TYPES = ("kimi_linear",)


def experts(
    count: Any, d_ff: Any, scale: Any, groups: Any, best: Any, normalise: str = "moe_renormalize/norm_topk_prob", act: str = "hidden_act"
) -> Keys:
    """Routed and shared experts and their router; the arguments are the family's defaults."""
    return (
        *keys.experts(
            count, 8 if count is not ... else ..., d_ff, names="num_experts/num_local_experts",
            chosen="num_experts_per_token/num_experts_per_tok", act=act, router={"score": "sigmoid", "selection_bias": True},
        ),
        keys.shared(1, "num_shared_experts/n_shared_experts"),
        keys.named(normalise, "moe.router.normalise", True),
        Key("routed_scaling_factor", "moe.router.scale", scale, float),
        Groups(groups, best, names="num_expert_group/n_group"),
        *keys.only(moe_router_activation_func="sigmoid", topk_method="noaux_tc", use_grouped_topk=True, moe_layer_freq=1),
    )  # fmt: skip


def head(vocab_size: int, d_model: int, context: int, depth: int, eps: float) -> Keys:
    """Sizes of a model whose head has a matrix of its own, whatever tie_word_embeddings says."""
    names = "hidden_size model_max_length/max_position_embeddings num_hidden_layers"
    sizes = keys.sizes(vocab_size, d_model, context, depth, tied=None, eps=eps, names=names)
    return (*sizes, Unread("tie_word_embeddings", written="tied_embeddings"))


KEYS = (
    *head(163_840, 2_304, 1_048_576, 27, 1e-5),
    *v3.latent(32, (None, 512)),
    *keys.feed_forward(9_216),
    *experts(256, 1_024, 2.446, 1, 1),
    Always("delta", kind="kimi_delta"),
    Key("hidden_act", "delta.activation", "silu", form=keys.PLAIN_ACTIVATION),
    Always("position", kind="none"),
    Unread("rope_theta rope_scaling rope_parameters"),  # nothing turns
    *keys.only(mla_use_nope=True, num_nextn_predict_layers=0),
)
DELTA = (
    Key("linear_num_heads", "delta.heads", 32),
    Key("linear_head_dim", "delta.head_dim", 128),
    Key("linear_conv_kernel_dim", "delta.kernel", 4),
)


def read(config: Config, model_type: str) -> dict:
    said = keys.read(config, KEYS)
    depth, linear = said["depth"], config.nested("linear_attn_config")
    made = blocks(config, linear, depth)
    other = {"linear_num_heads": "num_heads", "linear_head_dim": "head_dim", "linear_conv_kernel_dim": "short_conv_kernel_size"}
    keys.read(config, DELTA, said)
    keys.read(linear, [replace(key, name=other[key.name], default=keys.get(said, key.field)) for key in DELTA], said)
    linear.finish()
    return pieces.model(config, said, made)


def blocks(config: Config, linear: Config, depth: int) -> list[list[str]]:
    """Each layer's parts, its mixer by layer_types, or by two lists of layer numbers that begin at 1."""
    usual = ["full_attention" if layer and layer % 4 == 0 else "linear_attention" for layer in range(depth)]
    lists = {"full_attention": "full_attn_layers", "linear_attention": "kda_layers"}
    numbers = {word: linear.listing(key, int) for word, key in lists.items()}
    if not config.has("layer_types") and None not in numbers.values():
        named = {number: word for word, those in numbers.items() for number in those}
        if sorted(named) != list(range(1, depth + 1)) or len(named) != sum(map(len, numbers.values())):
            raise linear.refuse("kda_layers", f"with full_attn_layers it must name each of the layers 1 to {depth} once")
        usual = [named[number] for number in range(1, depth + 1)]
    words = pieces.layer_types(config, depth, usual, *lists)
    config.ignore("first_k_dense_replace")
    return [
        ["delta" if word == "linear_attention" else "attention", "moe" if sparse else "dense"]
        for word, sparse in zip(words, typed(1)(config, depth), strict=True)
    ]


def write(arch: Architecture) -> dict:
    kinds = {"delta": KimiDelta | None, "attention": LatentAttention | None} | pieces.FEEDS
    _, _, dense, moe = pieces.made_of(arch, kinds, NoPosition)
    return pieces.write_model(arch, "KimiLinear", "kimi_linear", KEYS + DELTA) | {
        "hidden_act": keys.write_activation((dense or moe).activation),
        "layer_types": ["linear_attention" if block[0].parts == ("delta",) else "full_attention" for block in arch.sequence],
        "mlp_layer_types": pieces.write_sparse_layers(arch),
    }


def sources(arch: Architecture) -> Sources:
    def mixer(path, at, part):
        return (delta_sources if isinstance(part, KimiDelta) else v3.latent_sources)(path, at, part)

    def ff(path, at, part):
        if not isinstance(part, Experts):
            yield from tensors.dense_sources(path, f"{at}.mlp", part)
            return
        published = tensors.experts_sources(path, f"{at}.block_sparse_moe", part, names=("w1", "w3", "w2"))
        for (name, ways), (_, others) in zip(tensors.experts_sources(path, f"{at}.mlp", part), published, strict=True):
            yield name, ways + others

    return tensors.llama_sources(arch, mixer, ff)


def delta_sources(path: str, at: str, part: KimiDelta) -> Iterator[tuple[str, list[Source]]]:
    """One convolution over queries, keys and values, or one for each; the decay beside them or in a module of its own."""
    at = f"{at}.self_attn"

    def joined(*tensors: torch.Tensor) -> torch.Tensor:
        return torch.cat(tensors)

    yield f"{path}.qkv.weight", [Source(tuple(f"{at}.{name}_proj.weight" for name in "qkv"), joined)]
    convolutions = Source(tuple(f"{at}.{name}_conv1d.weight" for name in "qkv"), joined)
    yield f"{path}.convolve.weight", [Source((f"{at}.conv1d.weight",)), convolutions]
    yield one(f"{path}.beta.weight", f"{at}.b_proj.weight")
    theirs = {}
    for name, rank in part.ranks.items():
        letter = {"decay": "f", "gate": "g"}[name]
        theirs |= {f"{name}_down": f"{letter}_a_proj", name: f"{letter}_b_proj"} if rank else {name: f"{letter}_proj"}
    for name, tensor in theirs.items():
        yield one(f"{path}.{name}.weight", f"{at}.{tensor}.weight", f"{at}.forget_gate.{tensor}.weight")
    for name in ("A_log", "dt_bias"):
        yield one(f"{path}.rule.{name}", f"{at}.{name}", f"{at}.forget_gate.{name}", make=torch.flatten)
    yield one(f"{path}.out_norm.weight", f"{at}.o_norm.weight")
    yield one(f"{path}.o.weight", f"{at}.o_proj.weight")
