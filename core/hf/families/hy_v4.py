"""Hy4 (Tencent 2026): latent attention with an indexer that following layers share, with sinks and gates; four residual streams, each
left to itself."""

from ...parts.manifold_hyper import ManifoldHyperConnections
from ...parts.sparse import SparseLatentAttention
from ...spec import Architecture, Unsupported
from ..reading import keys, pieces
from ..reading.config import Config
from ..reading.keys import Always, Key, Only, Unread
from ..weights import mtp, tensors
from ..weights.checkpoint import Sources
from ..weights.tensors import one
from . import deepseek_v3 as v3
from . import deepseek_v32
from .deepseek_v4 import hyper_sources

TYPES = ("hy_v4",)
AHEAD = mtp.Names(  # on one stream
    "mtp_layers.{module}", "mtp_layers.{module}.enorm", "mtp_layers.{module}.hnorm", ("mtp_layers.{module}.eh_proj",),
    "mtp_layers.{module}.final_layernorm", {}, sources=lambda arch: tensors.llama_sources(arch, mixer=_attention),
)  # fmt: skip
ignored = tensors.ignored


KEYS = (
    *keys.sizes(120_832, 2_816, 262_144, 34, eps=1e-5),
    *v3.latent(32, (1_536, 512), (192, 64, 256)),
    *deepseek_v32.indexer(16),
    Always("attention", gate={}, scores={"sinks": True}),
    Always("attention.indexer", last=True),
    *keys.feed_forward(6_912),
    *keys.experts(256, 8, 768),
    keys.shared(1),
    *v3.balanced(1, 1, 2.827),
    Key("swiglu_limit", "moe.limit", 10.0),
    Always("residual", kind="manifold_hyper", iterations=0),
    Key("hc_mult", "residual.streams", 4),
    Key("hc_magnitude", "residual.reach", 2.0),
    Key("hc_eps", "residual.eps", 1e-6),
    v3.LatentTurning(),
    keys.ahead(0),
    Only("hidden_act", "silu", "swish"),  # of dense layers and shared experts alone: the routed have it always
    *keys.only(enable_ihc=True, gated_mla=True, gating_type="elementwise", learnable_sink=True, moe_layer_freq=1),
    Unread("learnable_sink_init enable_lm_head_fp32 mtp_loss_factor"),
)


def read(config: Config, model_type: str) -> dict:
    said = keys.read(config, KEYS)
    depth, eps = said["depth"], said["norm"]["eps"]
    said["attention"]["indexer"]["eps"] = said["residual"]["norm_eps"] = eps
    said["following"] = said["attention"] | {"choice_from": "attention"}
    if "shared" in said["moe"]:
        said["moe"]["shared"]["limited"] = False
    config.expect("layer_types", ["indexed_attention"] * depth, ["deepseek_sparse_attention"] * depth)
    words = config.listing("indexer_types", str) or ["shared" if n % 4 != 1 and n else "full" for n in range(depth)]
    if len(words) < depth or not set(words) <= {"full", "shared"}:
        raise config.refuse("indexer_types", f"give full or shared for each of the {depth} layers")
    feeds = config.listing("mlp_layer_types", str) or ["dense" if n == 0 else "sparse" for n in range(depth)]
    if len(feeds) < depth or not set(feeds) <= {"dense", "sparse"}:
        raise config.refuse("mlp_layer_types", f"give dense or sparse for each of the {depth} layers")
    config.expect("first_k_dense_replace", feeds.index("sparse") if "sparse" in feeds else depth)
    mixers = ["attention" if word == "full" else "following" for word in words[:depth]]
    blocks = [[mixer, feed] for mixer, feed in zip(mixers, pieces.routed(feeds[:depth]), strict=True)]
    ahead = mtp.foretold(said, ["attention", "moe"], residual={"kind": "plain"})
    return pieces.model(config, said, blocks, **ahead)


def write(arch: Architecture) -> dict:
    kinds = {"attention": SparseLatentAttention, "following": SparseLatentAttention | None}
    pieces.made_of(arch, kinds | pieces.FEEDS)
    if not isinstance(arch.residual, ManifoldHyperConnections):
        raise Unsupported("residual: this family needs several streams")
    return pieces.write_model(arch, "HYV4", "hy_v4", KEYS) | {
        "indexer_types": ["full" if block[0].parts == ("attention",) else "shared" for block in arch.sequence],
        "mlp_layer_types": pieces.write_sparse_layers(arch),
    }


def sources(arch: Architecture) -> Sources:
    yield from tensors.llama_sources(arch, mixer=_attention)
    for index, block in enumerate(arch.sequence):
        for step, theirs in zip(block, ("attn_hc", "ffn_hc"), strict=True):
            yield from hyper_sources(f"layers.{index}.{step.parts[0]}_read", f"model.layers.{index}.{theirs}.")
    yield from hyper_sources("merge", "model.hc_head.hc_")


def _attention(path: str, at: str, part: SparseLatentAttention) -> Sources:
    yield from deepseek_v32.sparse_sources(path, at, part)
    yield one(f"{path}.gate.weight", f"{at}.self_attn.gate_proj.weight")
    yield one(f"{path}.core.sinks", f"{at}.self_attn.sinks")
