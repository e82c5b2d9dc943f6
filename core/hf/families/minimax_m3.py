"""MiniMax-M3 (2026): in most layers attention reads only the blocks of keys that an indexer chooses; gpt-oss's clamped SwiGLU,
Gemma's norm, MiniMax-M2's router and one shared expert. transformers' own keys, and MiniMax's."""

from ...parts.attention import Attention
from ...parts.block_sparse import BlockSparseAttention
from ...parts.experts import Experts
from ...spec import Architecture
from ..reading import pieces, rotary
from ..reading.config import Config, text_config
from ..reading.pieces import unless
from ..weights import tensors
from ..weights.checkpoint import Sources
from ..weights.tensors import one

TYPES = ("minimax_m3_vl_text", "minimax_m3_vl")  # the second wraps the text model and one that sees images
KINDS = ("full_attention", "minimax_m3_sparse")
INDEXER = {  # of the spec: transformers' key, MiniMax's below sparse_attention_config, the usual value
    "heads": ("index_n_heads", "sparse_num_index_heads", 4), "dim": ("index_head_dim", "sparse_index_dim", 128),
    "block": ("index_block_size", "sparse_block_size", 128), "top_blocks": ("index_topk_blocks", "sparse_topk_blocks", 16),
    "local_blocks": ("index_local_blocks", "sparse_local_block", 1),
}  # fmt: skip
PUBLISHED = {
    "mlp.gate.e_score_correction_bias": "block_sparse_moe.e_score_correction_bias", "mlp.gate.weight": "block_sparse_moe.gate.weight",
    "mlp.shared_experts": "block_sparse_moe.shared_experts", "self_attn.indexer.": "self_attn.index_",
}  # fmt: skip


def read(config: Config, model_type: str) -> dict:
    if model_type == "minimax_m3_vl":
        config.ignore("merged_hidden_size", "img_token_compression_config", "process_image_mode")
        tie = config.take("tie_word_embeddings", bool, False) or None  # where either says so
        text = text_config(config, "minimax_m3_vl_text", "minimax_m3_text", "minimax_m3", tie=tie)
        value = read(text, "minimax_m3_vl_text")
        text.finish(value)
        return value
    value = pieces.sizes(config, vocab_size=200_064, d_model=6_144, context=524_288, tied=False, eps=1e-6)
    value["norm"] |= {"unit_offset": True}
    depth = config.depth("num_hidden_layers", 60)
    given = config.nested("sparse_attention_config")
    full = pieces.attention(config, value["d_model"], biased=None, heads=64, kv_heads=4, head_dim=128) | {"qk_norm": {}}
    frequency = _pattern(given, "sparse_attention_freq", depth, KINDS)
    types = pieces.layer_types(config, depth, frequency or ["full_attention"] * depth, *KINDS)
    chosen = full | {"kind": "block_sparse_attention", "indexer": {key: _either(config, given, key) for key in INDEXER}}
    given.expect("use_sparse_attention", True)
    given.expect("sparse_init_block", 0)
    given.expect("sparse_score_type", "max")
    given.expect("sparse_disable_index_value", [int(word == KINDS[1]) for word in types], [1] * depth)
    given.finish()
    words = _pattern(config, "moe_layer_freq", depth, ("dense", "sparse"))
    sparse = pieces.sparse_layers(config, depth, 0)
    if words and not config.has("mlp_layer_types"):
        sparse = [word == "sparse" for word in words]
    _expected(config)
    clamped = {"activation": "clamped_swiglu"} | unless(7.0, clamp=config.take("swiglu_limit", float, 7.0))
    clamped |= unless(1.702, swish_slope=config.take("swiglu_alpha", float, 1.702))
    parts = {"sparse": chosen, "attention": full}
    parts["dense"] = {"kind": "feed_forward", "d_ff": config.count("dense_intermediate_size", 12_288)} | clamped
    parts["moe"] = _experts(config) | clamped
    position = rotary.rope(config, value["context"], theta=5e6, fraction=1.0)
    names = {"full_attention": "attention", "minimax_m3_sparse": "sparse"}
    blocks = [[names[kind], "moe" if routed else "dense"] for kind, routed in zip(types, sparse, strict=True)]
    return pieces.assemble(config, value, position, parts, blocks)


def _pattern(config: Config, key: str, depth: int, words: tuple[str, str]) -> list[str] | None:
    """MiniMax's lists of 0 and 1 in words."""
    given = config.listing(key, int)
    if given is None:
        return None
    if len(given) != depth or not set(given) <= {0, 1}:
        raise config.refuse(key, f"give 0 or 1 for each of the {depth} layers")
    return [words[which] for which in given]


def _either(config: Config, given: Config, field: str) -> int:
    """One of the indexer's sizes: MiniMax's key goes first, as in transformers."""
    own, theirs, usual = INDEXER[field]
    value = config.count(own, usual, least=0)
    return given.count(theirs, value, least=0)


def _expected(config: Config) -> None:
    """Keys that say what always holds, or what transformers does not read."""
    for key, says in {
        "use_gemma_norm": True, "use_qk_norm": True, "qk_norm_type": "per_head", "scoring_func": "sigmoid", "use_routing_bias": True,
        "n_shared_experts": 1, "mtp_transformer_layers": 1, "attention_bias": False,
    }.items():  # fmt: skip
        config.expect(key, says)
    # The class computes the clamped SwiGLU whatever hidden_act says, and turns what partial_rotary_factor says.
    config.ignore("hidden_act", "rotary_dim", "use_mtp", "num_mtp_modules", "num_nextn_predict_layers")
    config.expect("attention_output_gate", False)


def _experts(config: Config) -> dict:
    shared = config.count("shared_intermediate_size", 3_072, least=0)
    router = {"score": "sigmoid", "normalise": True, "selection_bias": True}
    router |= unless(1.0, scale=config.take("routed_scaling_factor", float, 2.0))
    return {
        "kind": "experts",
        "count": config.count("num_local_experts", 128),
        "top_k": config.count("num_experts_per_tok", 4),
        "d_ff": config.count("intermediate_size", 3_072),
        "router": router,
    } | ({"shared": {"d_ff": shared}} if shared else {})


def write(arch: Architecture) -> dict:
    kinds = {"attention": Attention | None, "sparse": BlockSparseAttention | None} | pieces.FEEDS
    _, chosen, dense, moe = pieces.made_of(arch, kinds)
    mixers = pieces.mixers(arch)
    return (
        {"architectures": ["MiniMaxM3VLForCausalLM"], "model_type": "minimax_m3_vl_text"}
        | pieces.write_sizes(arch)
        | pieces.write_heads(mixers[0])
        | {
            "layer_types": [KINDS[part.kind == "block_sparse_attention"] for part in mixers],
            "mlp_layer_types": pieces.write_sparse_layers(arch),
            "swiglu_limit": (moe or dense).clamp,
            "swiglu_alpha": (moe or dense).swish_slope,
        }
        | (_write_experts(moe) if moe else {})
        | ({INDEXER[field][0]: getattr(chosen.indexer, field) for field in INDEXER} if chosen else {})
        | ({"dense_intermediate_size": dense.d_ff} if dense else {})
        | rotary.write_rope(arch.position, arch.context)
        | pieces.write_precision(arch)
    )


def _write_experts(moe: Experts) -> dict:
    return {
        "num_local_experts": moe.count,
        "num_experts_per_tok": moe.top_k,
        "intermediate_size": moe.d_ff,
        "shared_intermediate_size": moe.shared.d_ff if moe.shared else 0,
        "routed_scaling_factor": moe.router.scale,
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
        yield from tensors.experts_sources(
            path, f"{at}.mlp", part, names=("w1", "w3", "w2"), each=f"{at}.block_sparse_moe"
        )

    return tensors.also_named(tensors.llama_sources(arch, mixer=mixer, ff=experts), PUBLISHED)


def ignored(name: str) -> bool:
    return tensors.ignored(name) or ".mtp." in name or "patch_merge_mlp." in name
