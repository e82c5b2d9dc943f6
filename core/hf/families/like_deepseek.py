"""The models with DeepSeek-V3's latent attention that differ from it in their sizes and a few switches: one row of MODELS each.

GLM-4.7-Flash, A.X K1, Mistral 4 and Sarvam 105B, whose class came with its weights, have its experts too; Youtu-LLM and MiniCPM3
(arXiv:2404.06395 for its multipliers) are dense.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch

from ...parts.feedforward import FeedForward
from ...parts.latent import LatentAttention
from ...spec import Architecture, Unsupported
from ..reading import keys, pieces, rotary
from ..reading.config import Config
from ..reading.keys import Entry, Key, Keys, Of, Rule, Unread, Writing
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
    copies: tuple[str, ...] = ()  # what the files of multi-token-prediction modules repeat

    @cached_property
    def keys(self) -> Keys:
        vocabulary, width, d_ff, depth, context = self.sizes
        nope, turned, value = self.dims
        own = Of("d_model", over="attention.heads") if value is None else value
        experts: Keys = ()
        if self.experts:
            count, top_k, d_ff_each, shared = self.experts
            experts = (
                *keys.experts(count, top_k, d_ff_each, names="n_routed_experts/num_local_experts/num_experts"),
                keys.shared(shared),
                *v3.balanced(*self.groups, self.scale, self.score),
                *keys.only(moe_router_enable_expert_bias=True, score_function=self.score),
                keys.ahead(0),
            )
        return (
            *keys.sizes(vocabulary, width, context, depth, tied=self.tied, eps=self.eps),
            *v3.latent(self.heads, self.ranks, (nope, turned, own)),
            *((Rule(_turned_by_head_dim),) if self.head_dim else ()),
            Stepping(self.yarn) if self.yarn else v3.LatentTurning(),
            *((Key("rope_interleave", "position.interleaved", True),) if self.interleaved else ()),
            *keys.feed_forward(d_ff, bias=("mlp_bias", False) if self.multipliers else None),
            *((Multipliers(),) if self.multipliers else ()),
            *experts,
            Unread("ep_size", self.ignored),
        )


def _turned_by_head_dim(config: Config, said: dict) -> None:
    said["attention"]["rope_dim"] = config.count("head_dim", said["attention"]["rope_dim"])


class Stepping(rotary.Stepping):
    """The same beside a latent."""

    def read(self, config: Config, said: dict) -> None:
        said["attention"].setdefault("scores", {}).update(rotary.temperature(config, self.usual))
        config.raw = _whole(config.raw, said["attention"])
        v3.LatentTurning().read(config, said)


class Multipliers(Entry):
    """MiniCPM's (arXiv:2404.06395), by the depth and the width of the model that they were found on."""

    def read(self, config: Config, said: dict) -> None:
        depth, d_model = math.sqrt(said["depth"]), said["d_model"]
        said["embedding"] = {"scale": config.take("scale_emb", float, 12.0)}
        said["residual"] = {"scale": config.take("scale_depth", float, 1.4, null=depth) / depth}
        said["head"] = {"scale": config.count("dim_model_base", 256, null=d_model) / d_model}

    def write(self, of: Writing) -> dict:
        arch = of.arch
        return {
            "scale_emb": arch.embedding.scale,
            "scale_depth": keys.times(arch.residual.scale, math.sqrt(arch.depth)),
            "dim_model_base": round(arch.head.scale * arch.d_model),
        }

    def rows(self) -> Iterator[tuple[str, str, str]]:
        yield "scale_emb", "embedding.scale", "12"
        yield "scale_depth", "residual.scale × √depth", "1.4"
        yield "dim_model_base", "head.scale × d_model", "256"


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
    said = keys.read(config, row.keys)
    if not row.experts:
        return pieces.model(config, said, [["attention", "dense"]] * said["depth"])
    step = {"parts": ["moe"], "residual": {"norm": "sandwich"}} if row.normed else "moe"
    ahead = mtp.foretold(said, ["attention", step], **unless((), copies=row.copies))
    feeds = [step if feed == "moe" else feed for feed in _feeds(row, config, said["depth"])]
    return pieces.model(config, said, [["attention", feed] for feed in feeds], **ahead)


def _whole(raw: Mapping[str, Any], attention: Mapping[str, Any]) -> dict:
    """The keys with a rope that turns all of a head's rotary channels, said as their share of the whole head."""
    key = "rope_scaling" if raw.get("rope_scaling") else "rope_parameters"
    rope = dict(raw[key])
    share, whole = rope.pop("partial_rotary_factor", None), attention["nope_dim"] + attention["rope_dim"]
    if share is not None and int(whole * share) != attention["rope_dim"]:
        raise Unsupported(f"{key}.partial_rotary_factor: {share!r} of {whole} channels are not qk_rope_head_dim")
    return raw | {key: rope}


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
    pieces.made_of(arch, {"attention": LatentAttention} | feeds)
    written = pieces.write_model(arch, row.name, model_type, row.keys)
    if not row.multipliers:
        written["first_k_dense_replace"] = pieces.first_routed(arch)
    return written | ({"mlp_layer_types": pieces.write_sparse_layers(arch)} if row.typed else {})


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
    return tensors.ignored(name) or name.endswith("post_mlp_layernorm.weight")  # of dense layers, which have no such norm


FAMILIES = [
    Family(name, partial(read, row), partial(write, row, name), partial(sources, row), ignored, KEYS=row.keys)
    for name, row in MODELS.items()
]
