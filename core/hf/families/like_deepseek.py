"""The models with DeepSeek-V3's latent attention that differ from it in their sizes and a few switches: one row of MODELS each.

GLM-4.7-Flash, A.X K1, Mistral 4 and Sarvam 105B, whose class came with its weights, have its experts too; Youtu-LLM and MiniCPM3
(arXiv:2404.06395 for its multipliers) are dense.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from ...parts.feedforward import FeedForward
from ...parts.latent import LatentAttention
from ...spec import Architecture, Unsupported
from ..reading import pieces, rotary
from ..reading.config import Config
from ..reading.pieces import unless
from ..weights import mtp, tensors
from ..weights.checkpoint import Source, Sources
from . import deepseek_v3 as v3
from .like_llama import Family


@dataclass(frozen=True)
class LikeDeepSeek:
    """A family's defaults, and where it departs from DeepSeek-V3."""

    name: str  # of its class, before ForCausalLM
    sizes: tuple[int, int, int, int, Any]  # vocabulary, d_model, d_ff, layers, context
    heads: int
    ranks: tuple[int | None, int]  # of queries and latent
    dims: tuple[int, int, int | None]  # of a head: without position, with it, its value; None what divides d_model
    eps: float = 1e-6
    tied: bool = False
    interleaved: bool = True
    experts: tuple[int, int, int, int] | None = None  # routed, chosen, their width, shared
    score: str = "sigmoid"
    groups: tuple[int, int] = (1, 1)
    scale: float = 1.0
    first: int = 0  # layers without experts
    typed: str = ""  # what says it: mlp_layer_types beside the usual keys, or alone
    normed: bool = False  # a norm on what experts give
    multipliers: bool = False  # MiniCPM's
    head_dim: bool = False  # another name of qk_rope_head_dim, which goes before it
    yarn: Mapping[str, Any] | None = None  # the usual rope dictionary
    ignored: str = ""
    copies: tuple[str, ...] = ()  # what the files of modules that predict ahead repeat


MODELS = {
    "axk1": LikeDeepSeek(
        "AXK1", (163_840, 7_168, 18_432, 61, 32_768), 64, (1_536, 512), (128, 64, 128), experts=(192, 8, 2_048, 1), groups=(8, 4),
        scale=2.5, first=1, typed="beside", normed=True,
    ),
    "glm4_moe_lite": LikeDeepSeek(
        "Glm4MoeLite", (154_880, 2_048, 10_240, 47, 202_752), 20, (768, 512), (192, 64, 256), eps=1e-5, experts=(64, 4, 1_536, 1),
        scale=1.8, first=1, typed="alone", head_dim=True, copies=("embedding", "head"),
    ),
    "minicpm3": LikeDeepSeek(
        "MiniCPM3", (73_448, 2_560, 6_400, 62, 32_768), 40, (768, 256), (64, 32, None), eps=1e-5, tied=True, interleaved=False,
        multipliers=True,
    ),
    "mistral4": LikeDeepSeek(
        "Mistral4", (131_072, 4_096, 12_288, 36, 1_048_576), 32, (1_024, 256), (64, 64, 128), experts=(128, 4, 2_048, 1),
        score="softmax",
        yarn=dict(rope_type="yarn", rope_theta=1e4, factor=128.0, original_max_position_embeddings=8_192, beta_fast=32.0, beta_slow=1.0,
                  mscale_all_dim=1.0, mscale=1.0, llama_4_scaling_beta=0.1),
    ),
    "sarvam_mla": LikeDeepSeek(
        "SarvamMLA", (262_144, 4_096, 16_384, 32, ...), 64, (None, 512), (128, 64, 128), experts=(128, 8, 2_048, 1), scale=2.5, first=1,
        ignored="default_theta output_dropout q_head_dim use_qk_norm",
    ),
    "youtu": LikeDeepSeek(
        "Youtu", (128_256, 2_048, 6_144, 32, 131_072), 16, (1_536, 512), (128, 64, 128), tied=True,
        ignored="embedding_initializer_range first_k_dense_replace mlp_bias moe_intermediate_size moe_layer_freq n_group n_routed_experts "
        "n_shared_experts norm_topk_prob num_experts_per_tok num_nextn_predict_layers routed_scaling_factor scoring_func topk_group "
        "topk_method",
    ),
}  # fmt: skip


def read(row: LikeDeepSeek, config: Config, model_type: str) -> dict:
    vocabulary, width, d_ff, depth, context = row.sizes
    value = pieces.sizes(config, vocab_size=vocabulary, d_model=width, context=context, tied=row.tied, eps=row.eps)
    depth = config.depth("num_hidden_layers", depth)
    own = value["d_model"] // config.count("num_attention_heads", row.heads)
    attention = v3.latent(config, row.heads, row.ranks, (*row.dims[:2], row.dims[2] or own))
    if row.head_dim:
        attention["rope_dim"] = config.count("head_dim", attention["rope_dim"])
    if row.yarn:
        attention |= rotary.temperature(config, row.yarn)
        config.raw = _whole(config.raw, attention)
    position = v3.rope(config, value["context"])
    if row.interleaved:
        position |= unless(False, interleaved=config.take("rope_interleave", bool, True))
    if row.multipliers:
        value |= _multipliers(config, value["d_model"], depth)
    config.ignore("ep_size", *row.ignored.split())
    dense = v3.dense(config, d_ff) | unless(False, bias=row.multipliers and config.take("mlp_bias", bool, False))
    parts, value["position"] = {"attention": attention, "dense": dense}, position
    if not row.experts:
        return value | v3.blocks(config, parts, ["dense"] * depth)
    config.expect("moe_router_enable_expert_bias", True)
    config.expect("score_function", row.score)
    count, top_k, width, shared = row.experts
    router = v3.noaux_router(config, *row.groups, row.scale, row.score)
    parts["moe"] = v3.experts(config, count, top_k, width, shared, "num_local_experts num_experts") | {"router": router}
    count = v3.either(config, "num_nextn_predict_layers", "num_mtp_layers", 0, least=0, most=16)
    step = {"parts": ["moe"], "residual": {"norm": "sandwich"}} if row.normed else "moe"
    ahead = mtp.modules(count, ["attention", step], **unless((), copies=row.copies))
    return value | v3.blocks(config, parts, _feeds(row, config, depth), ahead, step)


def _whole(raw: Mapping[str, Any], attention: Mapping[str, Any]) -> dict:
    """The keys with a rope that turns all of a head's rotary channels, said as their share of the whole head."""
    key = "rope_scaling" if raw.get("rope_scaling") else "rope_parameters"
    rope = dict(raw[key])
    share, whole = rope.pop("partial_rotary_factor", None), attention["nope_dim"] + attention["rope_dim"]
    if share is not None and int(whole * share) != attention["rope_dim"]:
        raise Unsupported(f"{key}.partial_rotary_factor: {share!r} of {whole} channels are not qk_rope_head_dim")
    return raw | {key: rope}


def _multipliers(config: Config, d_model: int, depth: int) -> dict:
    depth_scale = config.take("scale_depth", float, 1.4, null=math.sqrt(depth))
    base = config.count("dim_model_base", 256, null=d_model)
    return {
        "embedding": {"scale": config.take("scale_emb", float, 12.0)},
        "residual": {"scale": depth_scale / math.sqrt(depth)},
        "head": {"scale": base / d_model},
    }


def _feeds(row: LikeDeepSeek, config: Config, depth: int) -> list[str]:
    """What follows attention in each layer."""
    first = row.first if row.typed == "alone" else config.count("first_k_dense_replace", row.first, least=0)
    every = config.count("moe_layer_freq", 1) if row.typed == "beside" else 1
    config.expect("moe_layer_freq", every)
    words = config.listing("mlp_layer_types", str) if row.typed else None
    if words is None:
        words = ["sparse" if layer >= first and layer % every == 0 else "dense" for layer in range(depth)]
    if len(words) != depth or not set(words) <= {"dense", "sparse"}:
        raise config.refuse("mlp_layer_types", f"give dense or sparse for each of the {depth} layers")
    if row.typed == "alone":  # its class reads no other key, so they may not say otherwise
        config.expect("first_k_dense_replace", (*words, "sparse").index("sparse"))
    return ["moe" if word == "sparse" else "dense" for word in words]


def write(row: LikeDeepSeek, model_type: str, arch: Architecture) -> dict:
    feeds = pieces.FEEDS if row.experts else {"dense": FeedForward}
    part, *_ = pieces.made_of(arch, {"attention": LatentAttention} | feeds)
    written = (
        {"architectures": [f"{row.name}ForCausalLM"], "model_type": model_type}
        | pieces.write_sizes(arch)
        | v3.write_latent(part)
        | v3.write_blocks(arch)
        | pieces.write_precision(arch)
    )
    written |= {"rope_interleave": arch.position.interleaved} if row.interleaved else {}
    if row.experts:
        written["num_nextn_predict_layers"] = v3.write_mtp(arch)
    if row.typed:
        written["mlp_layer_types"] = ["dense" if block[-1].parts == ("dense",) else "sparse" for block in arch.sequence]
    if row.multipliers:
        del written["first_k_dense_replace"]
        written |= {
            "scale_emb": arch.embedding.scale,
            "scale_depth": pieces.times(arch.residual.scale, math.sqrt(arch.depth)),
            "dim_model_base": round(arch.head.scale * arch.d_model),
            "mlp_bias": arch.parts["dense"].bias,
        }
    if row.yarn:
        rope = rotary.write_dictionary(arch.position, arch.context)
        return written | {"rope_parameters": rope | rotary.write_temperature(part.scores.temperature)}
    return written | rotary.write_rope(arch.position, arch.context)


def sources(row: LikeDeepSeek, arch: Architecture) -> Sources:
    def plain():
        return tensors.llama_sources(arch, mixer=v3.latent_sources)

    return _normed(plain, arch) if row.normed else plain()


def _normed(plain: Callable[[], Sources], arch: Architecture) -> Sources:
    """A.X K1: a norm on what experts give, in the published files beside them; these have no selection bias."""
    names = [
        {"pre_feedforward_layernorm": "post_attention_layernorm", "post_feedforward_layernorm": norm}
        for norm in ("mlp.post_mlp_layernorm", "post_mlp_layernorm")
    ]
    for (path, ways), (_, others) in zip(*(tensors.renamed(plain(), **own) for own in names), strict=True):
        zeros = partial(torch.zeros, arch.parts["moe"].count) if path.endswith("selection_bias") else None
        yield path, [*ways, *others] + ([Source((), zeros)] if zeros else [])


def ignored(name: str) -> bool:
    return tensors.ignored(name) or name.endswith(
        "post_mlp_layernorm.weight"
    )  # of dense layers, which have no such norm


FAMILIES = [
    Family(name, partial(read, row), partial(write, row, name), partial(sources, row), ignored)
    for name, row in MODELS.items()
]
