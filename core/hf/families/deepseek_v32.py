"""DeepSeek-V3.2 (arXiv:2512.02556) and GLM-5 (arXiv:2602.15763): DeepSeek-V3's keys, and an indexer that chooses what attention reads.
GLM's layers may share what one of them chose."""

from ...parts.sparse import SparseLatentAttention
from ...spec import Architecture
from ..reading import pieces, rotary
from ..reading.config import Config
from ..reading.pieces import unless
from ..weights import mtp, tensors
from ..weights.checkpoint import Sources
from ..weights.tensors import ignored as ignored
from ..weights.tensors import one
from . import deepseek_v3 as v3

TYPES = ("deepseek_v32", "glm_moe_dsa")
# vocabulary, d_model, d_ff, layers, context, eps, heads, ranks of query and latent, widths of a head, groups, indexer's heads
DEFAULTS = {
    "deepseek_v32": (129_280, 7_168, 18_432, 61, 163_840, 1e-6, 128, 1_536, (128, 64, 128), (8, 4), 64),
    "glm_moe_dsa": (154_880, 6_144, 12_288, 78, 202_752, 1e-5, 64, 2_048, (192, 64, 256), (1, 1), 32),
}


def read(config: Config, model_type: str) -> dict:
    vocabulary, width, d_ff, depth, context, eps, heads, rank, dims, groups, indexers = DEFAULTS[model_type]
    value = pieces.sizes(config, vocab_size=vocabulary, d_model=width, context=context, tied=False, eps=eps)
    part = v3.latent(config, heads, (rank, 512), dims) | indexer(config, indexers, model_type == "glm_moe_dsa")
    depth = config.depth("num_hidden_layers", depth)
    config.expect("layer_types", ["indexed_attention"] * depth, ["deepseek_sparse_attention"] * depth)
    shared = _shared(config, depth)
    if model_type != "glm_moe_dsa" and any(shared):
        raise config.refuse("indexer_types", "every layer of this family has an indexer of its own")
    config.expect("moe_layer_freq", 1)
    config.expect("rope_interleave", True)
    config.expect("indexer_rope_interleave", model_type == "glm_moe_dsa")
    config.ignore("ep_size", "mlp_bias", "moe_router_dtype", "index_share_for_mtp_iteration")
    feeds = _feeds(config, depth)
    parts = {
        "attention": part,
        "dense": v3.dense(config, d_ff),
        "moe": v3.experts(config, count=256, top_k=8, d_ff=2_048, shared=1, alias="num_local_experts num_experts")
        | {"router": v3.noaux_router(config, *groups, 2.5)},
    }
    value["position"] = v3.rope(config, value["context"]) | {"interleaved": True}
    parts |= {"following": part | {"choice_from": "attention"}} if any(shared) else {}
    mixers = ["following" if follows else "attention" for follows in shared]
    count = v3.either(config, "num_nextn_predict_layers", "num_mtp_layers", 0, least=0, most=16)
    repeated = {"copies": ("embedding", "head")} if model_type == "deepseek_v32" else {}
    ahead = mtp.modules(count, ["attention", "moe"], **repeated)
    return value | v3.blocks(config, parts, feeds, ahead, mixers=mixers)


def indexer(config: Config, heads: int, interleaved: bool = False) -> dict:
    """What makes latent attention sparse."""
    return {
        "kind": "sparse_latent_attention",
        "indexer": {
            "heads": config.count("index_n_heads", heads),
            "dim": config.count("index_head_dim", 128),
            "top_k": config.count("index_topk", 2_048),
        }
        | unless(False, interleaved=interleaved),
    }


def write_indexer(part: SparseLatentAttention) -> dict:
    return {"index_n_heads": part.indexer.heads, "index_head_dim": part.indexer.dim, "index_topk": part.indexer.top_k}


def _shared(config: Config, depth: int) -> list[bool]:
    """Which layers attend to what an earlier one chose: as indexer_types says, or a pattern of F and S, or all but the first few
    and every so many after them."""
    every, offset = config.count("index_topk_freq", 1, least=0), config.count("index_skip_topk_offset", 2, least=0)
    pattern = config.take("index_topk_pattern", (str, list), None)
    words = config.listing("indexer_types", str)
    if words is None and pattern is not None:
        words = [{"F": "full", "S": "shared"}.get(word, word) for word in map(str, pattern)]
    if words is None:
        return [max(layer - offset + 1, 0) % max(every, 1) != 0 for layer in range(depth)]
    if len(words) < depth or not set(words) <= {"full", "shared"}:
        raise config.refuse(
            "indexer_types" if config.has("indexer_types") else "index_topk_pattern",
            f"give full or shared for each of the {depth} layers",
        )
    return [word == "shared" for word in words[:depth]]


def _feeds(config: Config, depth: int) -> list[str]:
    """What follows attention in each layer."""
    first = min(config.count("first_k_dense_replace", 3, least=0), depth)
    words = config.listing("mlp_layer_types", str) or ["dense"] * first + ["sparse"] * (depth - first)
    if len(words) != depth or not set(words) <= {"dense", "sparse"}:
        raise config.refuse("mlp_layer_types", f"give dense or sparse for each of the {depth} layers")
    return ["dense" if word == "dense" else "moe" for word in words]


def write(arch: Architecture) -> dict:
    kinds = {"attention": SparseLatentAttention, "following": SparseLatentAttention | None}
    part, *_ = pieces.made_of(arch, kinds | pieces.FEEDS)
    model_type = "glm_moe_dsa" if part.indexer.interleaved else "deepseek_v32"
    name = {"glm_moe_dsa": "GlmMoeDsa", "deepseek_v32": "DeepseekV32"}[model_type]
    return (
        {"architectures": [f"{name}ForCausalLM"], "model_type": model_type}
        | pieces.write_sizes(arch)
        | v3.write_latent(part)
        | write_indexer(part)
        | v3.write_blocks(arch)
        | {"mlp_layer_types": ["dense" if block[-1].parts == ("dense",) else "sparse" for block in arch.sequence]}
        | ({"indexer_types": _write_shared(arch)} if model_type == "glm_moe_dsa" else {})
        | {"num_nextn_predict_layers": v3.write_mtp(arch)}
        | rotary.write_rope(arch.position, arch.context)
        | pieces.write_precision(arch)
    )


def _write_shared(arch: Architecture) -> list[str]:
    return ["shared" if block[0].parts == ("following",) else "full" for block in arch.sequence]


def sources(arch: Architecture) -> Sources:
    return tensors.llama_sources(arch, mixer=sparse_sources)


def sparse_sources(path: str, at: str, part: SparseLatentAttention) -> Sources:
    """Latent attention and its indexer, where it has one."""
    yield from v3.latent_sources(path, at, part)
    if not isinstance(part, SparseLatentAttention) or part.choice_from:
        return
    at = f"{at}.self_attn.indexer"
    names = {"index_q": "wq_b", "index_k": "wk", "index_norm": "k_norm", "index_weights": "weights_proj"}
    for ours, theirs in names.items():
        yield one(f"{path}.{ours}.weight", f"{at}.{theirs}.weight")
    yield one(f"{path}.index_norm.bias", f"{at}.k_norm.bias")
