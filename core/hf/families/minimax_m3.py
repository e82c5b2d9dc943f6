"""MiniMax-M3 (2026): in most layers attention reads only the blocks of keys that an indexer chooses; gpt-oss's clamped SwiGLU,
Gemma's norm, MiniMax-M2's router and one shared expert. transformers' own keys, and MiniMax's."""

from ...parts.attention import Attention
from ...parts.block_sparse import BlockSparseAttention
from ...spec import Architecture
from ..reading import keys, pieces
from ..reading.config import Config, wrapped
from ..reading.keys import Always, Key, Unread
from ..reading.rotary import Turning
from ..weights import tensors
from ..weights.checkpoint import Sources
from ..weights.tensors import one

TYPES = ("minimax_m3_vl_text", "minimax_m3_vl")  # the second wraps the text model and one that sees images
KINDS = ("full_attention", "minimax_m3_sparse")
ROUTER = {"score": "sigmoid", "normalise": True, "selection_bias": True}
PUBLISHED_INDEXER = {  # what MiniMax calls the indexer's sizes, below sparse_attention_config
    "heads": "sparse_num_index_heads", "dim": "sparse_index_dim", "block": "sparse_block_size", "top_blocks": "sparse_topk_blocks",
    "local_blocks": "sparse_local_block",
}  # fmt: skip
PUBLISHED = {
    "mlp.gate.e_score_correction_bias": "block_sparse_moe.e_score_correction_bias", "mlp.gate.weight": "block_sparse_moe.gate.weight",
    "mlp.shared_experts": "block_sparse_moe.shared_experts", "self_attn.indexer.": "self_attn.index_",
}  # fmt: skip
KEYS = (
    *keys.sizes(200_064, 6_144, 524_288, 60, unit_offset=True),
    Always("attention", kind="attention", qk_norm={}),
    *keys.heads(64, 4, 128),
    Always("sparse", kind="block_sparse_attention"),
    Key("index_n_heads", "sparse.indexer.heads", 4, least=0),
    Key("index_head_dim", "sparse.indexer.dim", 128, least=0),
    Key("index_block_size", "sparse.indexer.block", 128, least=0),
    Key("index_topk_blocks", "sparse.indexer.top_blocks", 16, least=0),
    Key("index_local_blocks", "sparse.indexer.local_blocks", 1, least=0),
    *keys.experts(128, 4, 3_072, names="num_local_experts", width="intermediate_size", act="", activation="clamped_swiglu", router=ROUTER),
    Key("shared_intermediate_size", "moe.shared.d_ff", 3_072, least=0, none=0),
    Key("routed_scaling_factor", "moe.router.scale", 2.0),
    Always("dense", kind="feed_forward", activation="clamped_swiglu"),
    Key("dense_intermediate_size", "dense.d_ff", 12_288),
    *(Key("swiglu_limit", f"{part}.clamp", 7.0) for part in ("moe", "dense")),
    *(Key("swiglu_alpha", f"{part}.swish_slope", 1.702) for part in ("moe", "dense")),
    Turning(5e6, 1.0),
    *keys.only(
        use_gemma_norm=True, use_qk_norm=True, qk_norm_type="per_head", scoring_func="sigmoid", use_routing_bias=True, n_shared_experts=1,
        mtp_transformer_layers=1, attention_bias=False, attention_output_gate=False,
    ),
    # The class computes the clamped SwiGLU whatever hidden_act says, and turns what partial_rotary_factor says.
    Unread("hidden_act rotary_dim use_mtp num_mtp_modules num_nextn_predict_layers"),
)  # fmt: skip


def read(config: Config, model_type: str) -> dict:
    if model_type == "minimax_m3_vl":
        config.ignore("merged_hidden_size", "img_token_compression_config", "process_image_mode")
        tie = config.take("tie_word_embeddings", bool, False) or None  # where either says so
        return wrapped(config, read, "minimax_m3_vl_text", "minimax_m3_vl_text", "minimax_m3_text", "minimax_m3", tie=tie)
    said = keys.read(config, KEYS)
    depth, full, chosen = said["depth"], said["attention"], said["sparse"]
    given = config.nested("sparse_attention_config")
    frequency = pieces.patterned(given, "sparse_attention_freq", depth, KINDS)
    types = pieces.layer_types(config, depth, frequency or ["full_attention"] * depth, *KINDS)
    for field, theirs in PUBLISHED_INDEXER.items():  # these go first, as in transformers
        chosen["indexer"][field] = given.count(theirs, chosen["indexer"][field], least=0)
    said["sparse"] = full | chosen
    for key, says in {"use_sparse_attention": True, "sparse_init_block": 0, "sparse_score_type": "max"}.items():
        given.expect(key, says)
    given.expect("sparse_disable_index_value", [int(word == KINDS[1]) for word in types], [1] * depth)
    given.finish()
    words = pieces.patterned(config, "moe_layer_freq", depth, ("dense", "sparse"))
    sparse = pieces.sparse_layers(config, depth, 0)
    if words and not config.has("mlp_layer_types"):
        sparse = [word == "sparse" for word in words]
    names = {"full_attention": "attention", "minimax_m3_sparse": "sparse"}
    blocks = [[names[kind], "moe" if routed else "dense"] for kind, routed in zip(types, sparse, strict=True)]
    return pieces.model(config, said, blocks)


def write(arch: Architecture) -> dict:
    kinds = {"attention": Attention | None, "sparse": BlockSparseAttention | None} | pieces.FEEDS
    pieces.made_of(arch, kinds)
    mixers = pieces.mixers(arch)
    return pieces.write_model(arch, "MiniMaxM3VL", "minimax_m3_vl_text", KEYS, attention=mixers[0]) | {
        "layer_types": [KINDS[part.kind == "block_sparse_attention"] for part in mixers],
        "mlp_layer_types": pieces.write_sparse_layers(arch),
    }


def sources(arch: Architecture) -> Sources:
    def mixer(path, at, part):
        yield from tensors.attention_sources(path, f"{at}.self_attn", part)
        if part.kind == "block_sparse_attention":
            for name in ("q", "k"):
                yield one(f"{path}.index_{name}.weight", f"{at}.self_attn.indexer.{name}_proj.weight")
                yield one(f"{path}.index_{name}_norm.weight", f"{at}.self_attn.indexer.{name}_norm.weight")

    def experts(path, at, part):
        if part.kind != "experts":
            yield from tensors.part_sources(path, at, part)
            return
        yield from tensors.experts_sources(path, f"{at}.mlp", part, names=("w1", "w3", "w2"), each=f"{at}.block_sparse_moe")

    return tensors.also_named(tensors.llama_sources(arch, mixer=mixer, ff=experts), PUBLISHED)


def ignored(name: str) -> bool:
    return tensors.ignored(name) or ".mtp." in name or "patch_merge_mlp." in name
