"""DeepSeek-V3.2 (arXiv:2512.02556) and GLM-5 (arXiv:2602.15763): DeepSeek-V3's keys, and an indexer that chooses what attention reads.
GLM's layers may share what one of them chose."""

from ...parts.sparse import SparseLatentAttention
from ...spec import Architecture
from ..reading import keys, pieces
from ..reading.config import Config
from ..reading.keys import Always, Key, Keys, Unread
from ..weights import mtp, tensors
from ..weights.checkpoint import Sources
from ..weights.tensors import ignored as ignored
from ..weights.tensors import one
from . import deepseek_v3 as v3

TYPES = ("deepseek_v32", "glm_moe_dsa")


def indexer(heads: int) -> Keys:
    """What makes latent attention sparse."""
    return (
        Always("attention", kind="sparse_latent_attention"),
        Key("index_n_heads", "attention.indexer.heads", heads),
        Key("index_head_dim", "attention.indexer.dim", 128),
        Key("index_topk", "attention.indexer.top_k", 2_048),
    )


def _keys(sizes: Keys, latent: Keys, d_ff: int, groups: tuple[int, int], heads: int, interleaved: bool) -> Keys:
    return (
        *sizes,
        *latent,
        *indexer(heads),
        Always("attention.indexer", interleaved=interleaved),
        *keys.feed_forward(d_ff),
        *keys.experts(256, 8, 2_048, names="n_routed_experts/num_local_experts/num_experts"),
        keys.shared(1),
        *v3.balanced(*groups, 2.5),
        v3.LatentTurning(interleaved=True),
        Key("first_k_dense_replace", "leading", 3, least=0),
        keys.ahead(0),
        *keys.only(moe_layer_freq=1, rope_interleave=True, indexer_rope_interleave=interleaved),
        Unread("ep_size mlp_bias moe_router_dtype index_share_for_mtp_iteration"),
    )


KEYS = {
    "deepseek_v32": _keys(
        keys.sizes(129_280, 7_168, 163_840, 61), v3.latent(128, (1_536, 512), (128, 64, 128)), 18_432, (8, 4), 64, False
    ),
    "glm_moe_dsa": _keys(
        keys.sizes(154_880, 6_144, 202_752, 78, eps=1e-5), v3.latent(64, (2_048, 512), (192, 64, 256)), 12_288, (1, 1), 32, True
    ),
}  # fmt: skip


def read(config: Config, model_type: str) -> dict:
    said = keys.read(config, KEYS[model_type])
    depth, part = said["depth"], said["attention"]
    config.expect("layer_types", ["indexed_attention"] * depth, ["deepseek_sparse_attention"] * depth)
    shared = _shared(config, depth)
    if model_type != "glm_moe_dsa" and any(shared):
        raise config.refuse("indexer_types", "every layer of this family has an indexer of its own")
    said["following"] = part | {"choice_from": "attention"}
    sparse = pieces.sparse_layers(config, depth, min(said["leading"], depth))
    mixers = ["following" if follows else "attention" for follows in shared]
    blocks = [[mixer, "moe" if routed else "dense"] for mixer, routed in zip(mixers, sparse, strict=True)]
    repeated = {"copies": ("embedding", "head")} if model_type == "deepseek_v32" else {}
    return pieces.model(config, said, blocks, **mtp.foretold(said, ["attention", "moe"], **repeated))


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
            "indexer_types" if config.has("indexer_types") else "index_topk_pattern", f"give full or shared for each of the {depth} layers"
        )
    return [word == "shared" for word in words[:depth]]


def write(arch: Architecture) -> dict:
    kinds = {"attention": SparseLatentAttention, "following": SparseLatentAttention | None}
    part, *_ = pieces.made_of(arch, kinds | pieces.FEEDS)
    name, model_type = ("GlmMoeDsa", "glm_moe_dsa") if part.indexer.interleaved else ("DeepseekV32", "deepseek_v32")
    written = pieces.write_model(arch, name, model_type, KEYS[model_type], leading=pieces.first_routed(arch))
    written["mlp_layer_types"] = pieces.write_sparse_layers(arch)
    return written | ({"indexer_types": _write_shared(arch)} if model_type == "glm_moe_dsa" else {})


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
