"""Hy4 (Tencent 2026): latent attention with an indexer that following layers share, with sinks and gates; four residual streams, each
left to itself."""

from ...parts.manifold_hyper import ManifoldHyperConnections
from ...parts.sparse import SparseLatentAttention
from ...spec import Architecture, Unsupported
from ..reading import pieces, rotary
from ..reading.config import Config
from ..reading.pieces import unless
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


def read(config: Config, model_type: str) -> dict:
    value = pieces.sizes(config, vocab_size=120_832, d_model=2_816, context=262_144, tied=False, eps=1e-5)
    eps = value["norm"]["eps"]
    depth = config.depth("num_hidden_layers", 34)
    attention = v3.latent(config, 32, (1_536, 512), (192, 64, 256)) | deepseek_v32.indexer(config, 16)
    attention["indexer"] |= {"last": True, "eps": eps}
    attention |= {"gate": {}, "scores": {"sinks": True}}
    config.expect("layer_types", ["indexed_attention"] * depth, ["deepseek_sparse_attention"] * depth)
    for key, always in (
        ("enable_ihc", True),
        ("gated_mla", True),
        ("gating_type", "elementwise"),
        ("learnable_sink", True),
    ):
        config.expect(key, always)
    config.ignore("learnable_sink_init", "enable_lm_head_fp32", "mtp_loss_factor")
    count = v3.either(config, "num_nextn_predict_layers", "num_mtp_layers", 0, least=0, most=16)
    ahead = mtp.modules(count, ["attention", "moe"], residual={"kind": "plain"})
    words = config.listing("indexer_types", str) or ["shared" if n % 4 != 1 and n else "full" for n in range(depth)]
    if len(words) < depth or not set(words) <= {"full", "shared"}:
        raise config.refuse("indexer_types", f"give full or shared for each of the {depth} layers")
    feeds = config.listing("mlp_layer_types", str) or ["dense" if n == 0 else "sparse" for n in range(depth)]
    if len(feeds) < depth or not set(feeds) <= {"dense", "sparse"}:
        raise config.refuse("mlp_layer_types", f"give dense or sparse for each of the {depth} layers")
    config.expect("first_k_dense_replace", feeds.index("sparse") if "sparse" in feeds else depth)
    config.expect("moe_layer_freq", 1)
    config.expect("hidden_act", "silu", "swish")  # of dense layers and shared experts alone: the routed have it always
    experts = v3.experts(config, count=256, top_k=8, d_ff=768, shared=1)
    experts |= {"router": v3.noaux_router(config, 1, 1, 2.827), "limit": config.take("swiglu_limit", float, 10.0)}
    if "shared" in experts:
        experts["shared"] |= {"limited": False}
    parts = {
        "attention": attention,
        "following": attention | {"choice_from": "attention"},
        "dense": v3.dense(config, 6_912),
        "moe": experts,
    }
    value["residual"] = {
        "kind": "manifold_hyper",
        "streams": config.count("hc_mult", 4),
        "iterations": 0,
        "reach": config.take("hc_magnitude", float, 2.0),
        "eps": config.take("hc_eps", float, 1e-6),
        "norm_eps": eps,
    }
    value["position"] = v3.rope(config, value["context"])
    mixers = ["attention" if word == "full" else "following" for word in words[:depth]]
    feeds = ["moe" if f == "sparse" else f for f in feeds[:depth]]
    return value | v3.blocks(config, parts, feeds, ahead, mixers=mixers)


def write(arch: Architecture) -> dict:
    kinds = {"attention": SparseLatentAttention, "following": SparseLatentAttention | None}
    part, _, _, moe = pieces.made_of(arch, kinds | pieces.FEEDS)
    if not isinstance(arch.residual, ManifoldHyperConnections):
        raise Unsupported("residual: in this family the stream is several")
    written = (
        pieces.write_sizes(arch) | v3.write_latent(part) | deepseek_v32.write_indexer(part) | v3.write_blocks(arch)
    )
    written |= {
        "architectures": ["HYV4ForCausalLM"],
        "model_type": "hy_v4",
        "indexer_types": ["full" if block[0].parts == ("attention",) else "shared" for block in arch.sequence],
        "mlp_layer_types": ["dense" if block[1].parts == ("dense",) else "sparse" for block in arch.sequence],
        "num_nextn_predict_layers": v3.write_mtp(arch),
        "hc_mult": arch.residual.streams,
        "hc_magnitude": arch.residual.reach,
        "hc_eps": arch.residual.eps,
    } | unless(None, swiglu_limit=moe and moe.limit)  # fmt: skip
    written.pop("first_k_dense_replace")
    return written | rotary.write_rope(arch.position, arch.context) | pieces.write_precision(arch)


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
