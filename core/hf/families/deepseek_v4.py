"""DeepSeek-V4: attention to compressed entries, hash-routed first layers, manifold hyper-connections."""

from collections.abc import Mapping
from typing import Any

from ...blocks import folded
from ...parts.compressed import CompressedAttention
from ...parts.experts import Experts
from ...parts.manifold_hyper import ManifoldHyperConnections
from ...spec import Architecture, Unsupported
from ..reading import pieces, rotary
from ..reading.config import Config
from ..reading.pieces import unless
from ..weights import mtp, tensors
from ..weights.checkpoint import Source, Sources
from ..weights.tensors import one
from . import deepseek_v3 as v3

TYPES = ("deepseek_v4",)
AHEAD = mtp.Names(
    "mtp.{module}", "mtp.{module}.enorm", "mtp.{module}.hnorm", ("mtp.{module}.e_proj", "mtp.{module}.h_proj"), "mtp.{module}.norm", {}
)
SLIDING, SPARSE, HEAVY = ATTENTION = ("sliding_attention", "compressed_sparse_attention", "heavily_compressed_attention")
RATIOS = {0: SLIDING, 4: SPARSE, 128: HEAVY}  # the older words of a layer
NAMES = {SLIDING: "local", SPARSE: "sparse", HEAVY: "heavy"}
SCORES = {"sqrtsoftplus": "sqrt_softplus", "sigmoid": "sigmoid"}


# ---- config.json ----


def read(config: Config, model_type: str) -> dict:
    value = pieces.sizes(config, vocab_size=129_280, d_model=4_096, context=1_048_576, tied=False, eps=1e-6)
    depth = config.depth("num_hidden_layers", 43)
    near, far, turned = ropes(config, value["context"])
    attention = {
        "kind": "compressed_attention",
        "heads": config.count("num_attention_heads", 64),
        "head_dim": config.count("head_dim", 512),
        "rope_dim": turned,
        "q_rank": config.count("q_lora_rank", 1_024),
        "window": config.count("sliding_window", 128),
        "out_groups": config.count("o_groups", 8),
        "out_rank": config.count("o_lora_rank", 1_024),
    }
    indexer = {
        "heads": config.count("index_n_heads", 64),
        "dim": config.count("index_head_dim", 128),
        "top_k": config.count("index_topk", 512),
    }
    rates = compress_rates(config)
    parts = {
        "local": attention | ({"position": near} if near != far else {}),
        "sparse": attention | {"ratio": rates[SPARSE], "overlap": True, "indexer": indexer},
        "heavy": attention | {"ratio": rates[HEAVY]},
        "moe": experts(config),
    }
    parts["hash_moe"] = parts["moe"] | {"router": parts["moe"]["router"] | {"selection_bias": False, "hashed": True}}
    blocks = [[NAMES[word], feed] for word, feed in zip(attention_types(config, depth), feeds(config, depth), strict=True)]
    config.expect("topk_method", "noaux_tc")
    config.expect("rope_interleave", True)
    # The class has one key, one shared expert, weights that sum to one and no bias in attention, whatever these say.
    config.ignore("num_key_value_heads", "n_shared_experts", "norm_topk_prob", "attention_bias")
    ahead = config.count("num_nextn_predict_layers", 1, least=0, most=16)
    used = {name for block in blocks for name in block} | ({"local", "moe"} if ahead else set())
    parts = {name: part for name, part in parts.items() if name in used}
    value |= {"position": far, "residual": residual(config, value["norm"]["eps"])}
    return value | {"parts": parts, "layers": folded(blocks)} | mtp.modules(ahead, ["local", "moe"]) | precision(config, parts)


def ropes(config: Config, context: int) -> tuple[dict, dict, int]:
    """The rope of layers that see a window alone, that of the others, and how many channels of a head turn.

    `rope_parameters` names both (main, compress); or it, or the older rope_scaling, is the second's, whose base is
    compress_rope_theta.
    """
    head_dim = config.count("head_dim", 512)
    legacy = config.count("qk_rope_head_dim", None)
    share = config.take("partial_rotary_factor", float, legacy / head_dim if legacy else 64 / 512)
    config.expect("qk_nope_head_dim", head_dim - int(head_dim * share))
    bases = (config.take("rope_theta", float, 10_000.0), config.take("compress_rope_theta", float, 160_000.0))
    key = "rope_scaling" if config.raw.get("rope_scaling") else "rope_parameters"
    given = config.nested(key)
    config.ignore("rope_scaling", "rope_parameters")
    both = [given.raw.get(name) for name in ("main", "compress")]
    if all(isinstance(one_of, Mapping) for one_of in both):
        inner = [given.nested(name) for name in ("main", "compress")]
        shares = [each.take("partial_rotary_factor", float, 1.0) for each in inner]
        if shares[0] != shares[1]:
            raise given.refuse("main", "both ropes turn the same share of a head's channels")
        share = shares[0]
        bases = [each.take("rope_theta", float) for each in inner]
        scalings = [rotary.rope_scaling(each, context) for each in inner]
    else:
        given.ignore("main", "compress")
        given.expect("rope_theta", *bases)
        given.expect("partial_rotary_factor", share)
        scaling = rotary.rope_scaling(given, context)
        if scaling and scaling["scaling"]["kind"] == "yarn":
            scaling["scaling"].setdefault("attention_factor", 1.0)
        scalings = [{}, scaling]
    found = [{"kind": "rope", "base": base, "interleaved": True} | scaling for base, scaling in zip(bases, scalings, strict=True)]
    return *found, int(head_dim * share)


def compress_rates(config: Config) -> dict[str, int]:
    rates = {SPARSE: 4, HEAVY: 128}
    if config.has("compress_rates"):
        given = config.nested("compress_rates")
        rates = {word: given.count(word, rates[word], most=512) for word in rates}
        given.ignore(SLIDING)
        given.finish()
    config.ignore("compress_rates")
    legacy = {SPARSE: "compress_rate_csa", HEAVY: "compress_rate_hca"}
    return {word: config.count(legacy[word], rate, most=512) for word, rate in rates.items()}


def attention_types(config: Config, depth: int) -> list[str]:
    """Which attention each layer has: layer_types, else the older compress_ratios (those past the last layer are of the
    prediction modules), else two heavy ones and then each other kind in turn."""
    default = [HEAVY if n < 2 or n % 2 == 0 else SPARSE for n in range(depth)]
    ratios = config.listing("compress_ratios", int)
    if ratios is not None and not config.has("layer_types"):
        if len(ratios) < depth or not set(ratios) <= set(RATIOS) or any(ratios[depth:]):
            raise config.refuse("compress_ratios", f"give 0, 4 or 128 for each of the {depth} layers, and 0 past them")
        default = [RATIOS[ratio] for ratio in ratios[:depth]]
    return pieces.layer_types(config, depth, default, *ATTENTION)


def feeds(config: Config, depth: int) -> list[str]:
    """Which layers find their experts in a table."""
    hashed = min(config.count("num_hash_layers", 3, least=0), depth)
    words = config.listing("mlp_layer_types", str) or ["hash_moe"] * hashed + ["moe"] * (depth - hashed)
    if len(words) != depth or not set(words) <= {"hash_moe", "moe"}:
        raise config.refuse("mlp_layer_types", f"give hash_moe or moe for each of the {depth} layers")
    return words


def experts(config: Config) -> dict:
    width = v3.either(config, "moe_intermediate_size", "intermediate_size", 2_048, most=1_048_576)
    scoring = config.take("scoring_func", str, "sqrtsoftplus")
    if scoring not in SCORES:
        raise config.refuse("scoring_func", f"only {' or '.join(SCORES)} is supported")
    scale = config.take("routed_scaling_factor", float, 1.5)
    biased = config.take("mlp_bias", bool, False)
    return {
        "kind": "experts",
        "count": v3.either(config, "n_routed_experts", "num_local_experts", 256),
        "top_k": config.count("num_experts_per_tok", 6),
        "d_ff": width,
        "limit": config.take("swiglu_limit", float, 10.0),
        "router": {"score": SCORES[scoring], "normalise": True, "selection_bias": True} | unless(1.0, scale=scale),
        "shared": {"d_ff": width} | unless(False, bias=biased),
    } | unless("swiglu", activation=pieces.activation(config))  # fmt: skip


def residual(config: Config, norm_eps: float) -> dict:
    return {
        "kind": "manifold_hyper",
        "streams": config.count("hc_mult", 4),
        "iterations": config.count("hc_sinkhorn_iters", 20),
        "eps": config.take("hc_eps", float, 1e-6),
        "norm_eps": norm_eps,
    }


def precision(config: Config, parts: Mapping[str, Mapping]) -> dict:
    """The routed experts in fp4 where they are, and what is stored in float32 whatever the rest is: the weights of the
    streams, sinks and biases."""
    said = pieces.precision(config, parts)
    formats = said.get("precision", {"default": "bf16"})
    config.expect("expert_dtype", "fp4", "fp8")
    if config.take("expert_dtype", str, None) == "fp4":
        formats |= {f"{name}.experts": "mxfp4" for name, part in parts.items() if part["kind"] == "experts"}
    if formats["default"] != "fp32":
        formats["streams"] = "fp32"
        for name, part in parts.items():
            if part["kind"] == "compressed_attention":
                formats[f"{name}.core.sinks"] = "fp32"
                formats |= {f"{name}.{pooled}.pool.bias": "fp32" for pooled in _pooled(part)}
            elif part["router"].get("hashed"):
                formats[f"{name}.router.table"] = "int64"
    return said | {"precision": formats}


def _pooled(part: Mapping[str, Any]) -> list[str]:
    return (["compress"] if part.get("ratio") else []) + (["index_compress"] if part.get("indexer") else [])


def write(arch: Architecture) -> dict:
    made = dict.fromkeys(NAMES.values(), CompressedAttention | None) | dict.fromkeys(("moe", "hash_moe"), Experts | None)
    *mixers, moe, hashed = pieces.made_of(arch, made)
    kinds = dict(zip(NAMES, mixers, strict=True))
    part, moe = next(filter(None, mixers)), moe or hashed
    if not isinstance(arch.residual, ManifoldHyperConnections) or not moe.shared or moe.router.score not in SCORES.values():
        raise Unsupported("residual: this family needs several streams, and a shared expert")
    near = arch.position if not kinds[SLIDING] else arch.part("local").position
    share = part.rope_dim / part.head_dim
    words = {name: word for word, name in NAMES.items()}
    indexer = kinds[SPARSE] and kinds[SPARSE].indexer
    written = pieces.write_sizes(arch) | {
        "architectures": ["DeepseekV4ForCausalLM"],
        "model_type": "deepseek_v4",
        "num_attention_heads": part.heads,
        "num_key_value_heads": 1,
        "head_dim": part.head_dim,
        "q_lora_rank": part.q_rank,
        "o_groups": part.out_groups,
        "o_lora_rank": part.out_rank,
        "sliding_window": part.window,
        "partial_rotary_factor": share,
        "rope_parameters": {
            name: {"partial_rotary_factor": share} | rotary.write_dictionary(rope, arch.context)
            for name, rope in (("main", near), ("compress", arch.position))
        },
        "compress_rates": {word: kinds[word].ratio for word in (SPARSE, HEAVY) if kinds[word]},
        "layer_types": [words[block[0].parts[0]] for block in arch.sequence],
        "mlp_layer_types": [block[1].parts[0] for block in arch.sequence],
        "moe_intermediate_size": moe.d_ff,
        "n_routed_experts": moe.count,
        "n_shared_experts": 1,
        "num_experts_per_tok": moe.top_k,
        "scoring_func": {ours: theirs for theirs, ours in SCORES.items()}[moe.router.score],
        "norm_topk_prob": True,
        "routed_scaling_factor": moe.router.scale,
        "swiglu_limit": moe.limit,
        "hidden_act": pieces.write_activation(moe.activation),
        "mlp_bias": moe.shared.bias,
        "hc_mult": arch.residual.streams,
        "hc_sinkhorn_iters": arch.residual.iterations,
        "hc_eps": arch.residual.eps,
        "num_nextn_predict_layers": v3.write_mtp(arch),
    }
    if indexer:
        written |= {"index_n_heads": indexer.heads, "index_head_dim": indexer.dim, "index_topk": indexer.top_k}
    dtype = pieces.write_precision(arch)["torch_dtype"]
    return written | {"torch_dtype": dtype}


# ---- stored narrow: fp8 in blocks with scales of one byte, and the routed experts in fp4 ----


def stored(arch: Architecture, quantisation: Config) -> Architecture:
    """The architecture with what DeepSeek's quantization_config says: compressors, indexer weights and routers stay wide."""
    quantisation.ignore("activation_scheme", "dequantize", "use_kernel", "modules_to_not_convert")
    quantisation.expect("modules_to_not_convert", [])
    quantisation.expect("quant_method", "fp8")
    quantisation.expect("fmt", "e4m3", "float8_e4m3fn")
    quantisation.expect("weight_block_size", [128, 128])
    name = "fp8_ue8m0" if quantisation.take("scale_fmt", str, None) == "ue8m0" else "fp8_block"
    quantisation.expect("scale_fmt", "ue8m0")
    narrow = quantisation.take("expert_dtype", str, None)
    quantisation.expect("expert_dtype", "fp4", "fp8")
    quantisation.finish()
    plain = arch.precision.get("default", "bf16")
    formats = dict(arch.precision)
    for part_name, part in arch.parts.items():
        formats[part_name] = name
        wide = ["router"]
        if isinstance(part, CompressedAttention):
            wide = _pooled(part.model_dump()) + (["index_weights"] if part.indexer else [])
        elif narrow == "fp4":
            formats[f"{part_name}.experts"] = "mxfp4"
        formats |= {f"{part_name}.{path}": plain for path in wide}
    formats |= {"mtp": name} if arch.mtp else {}
    return Architecture.model_validate(arch.model_dump() | {"precision": formats})


def write_stored(arch: Architecture) -> dict:
    formats = {arch.precision[name] for name in arch.parts if name in arch.precision}
    written = {
        "quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": [128, 128],
    } | ({"scale_fmt": "ue8m0"} if "fp8_ue8m0" in formats else {})  # fmt: skip
    fp4 = {"expert_dtype": "fp4"} if "mxfp4" in arch.precision.values() else {}
    return fp4 | ({"quantization_config": written} if formats else {})


# ---- tensors ----


# transformers' words for a tensor's modules -> those of DeepSeek's own files, in the order in which they are replaced.
OWN_WORDS = {
    "compressor.indexer.scorer.weights_proj": "indexer.weights_proj", "compressor.indexer.q_b_proj": "indexer.wq_b",
    "compressor.indexer.": "indexer.compressor.", "compressor.kv_norm": "compressor.norm", "compressor.gate_proj": "compressor.wgate",
    "self_attn": "attn", "mlp": "ffn", "q_a_proj": "wq_a", "q_b_proj": "wq_b", "kv_proj": "wkv", "o_a_proj": "wo_a", "o_b_proj": "wo_b",
    "q_a_norm": "q_norm", "position_bias": "ape", "sinks": "attn_sink", "e_score_correction_bias": "bias", "gate_proj": "w1",
    "down_proj": "w2", "up_proj": "w3", "attn_hc.": "hc_attn_", "ffn_hc.": "hc_ffn_", "hc_head.hc_": "hc_head_",
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "embed_tokens": "embed", "lm_head.": "model.head.",
}  # fmt: skip


def own_name(name: str) -> str:
    """What DeepSeek's files call a tensor, below `model.` as here."""
    for theirs, own in OWN_WORDS.items():
        name = name.replace(theirs, own)
    return name


def ignored(name: str) -> bool:
    """The prediction modules are beside the model."""
    return name.startswith(("mtp.", "model.mtp.")) or tensors.ignored(name)


def sources(arch: Architecture) -> Sources:
    for path, ways in _sources(arch):
        yield path, [*ways, *(Source(tuple(map(own_name, way.names)), way.make) for way in ways)]


def _sources(arch: Architecture) -> Sources:
    yield from tensors.llama_sources(arch, mixer=_attention, ff=_experts)
    for index, block in enumerate(arch.sequence):
        for step, theirs in zip(block, ("attn_hc", "ffn_hc"), strict=True):
            yield from hyper_sources(f"layers.{index}.{step.parts[0]}_read", f"model.layers.{index}.{theirs}.")
    yield from hyper_sources("merge", "model.hc_head.hc_")


def hyper_sources(path: str, at: str) -> Sources:
    """What computes the weights of several streams."""
    for ours, theirs in (("weight", "fn"), ("base", "base"), ("scale", "scale")):
        yield one(f"{path}.{ours}", f"{at}{theirs}")


def _attention(path: str, at: str, part: CompressedAttention) -> Sources:
    at = f"{at}.self_attn"
    for ours, theirs in (
        ("q_down", "q_a_proj"),
        ("q_norm", "q_a_norm"),
        ("q", "q_b_proj"),
        ("kv", "kv_proj"),
        ("kv_norm", "kv_norm"),
        ("o", "o_b_proj"),
    ):
        yield one(f"{path}.{ours}.weight", f"{at}.{theirs}.weight")
    groups = part.out_groups
    yield one(f"{path}.o_down.weight", f"{at}.o_a_proj.weight", make=lambda rows: rows.unflatten(0, (groups, -1)))
    yield one(f"{path}.core.sinks", f"{at}.sinks")
    if part.ratio:
        yield from _compressor(f"{path}.compress", f"{at}.compressor")
    if part.indexer:
        at = f"{at}.compressor.indexer"
        yield from _compressor(f"{path}.index_compress", at)
        yield one(f"{path}.index_q.weight", f"{at}.q_b_proj.weight")
        yield one(f"{path}.index_weights.weight", f"{at}.scorer.weights_proj.weight")


def _compressor(path: str, at: str) -> Sources:
    for ours, theirs in (("kv", "kv_proj"), ("gate", "gate_proj"), ("norm", "kv_norm")):
        yield one(f"{path}.{ours}.weight", f"{at}.{theirs}.weight")
    yield one(f"{path}.pool.bias", f"{at}.position_bias")


def _experts(path: str, at: str, part) -> Sources:
    yield from tensors.experts_sources(path, f"{at}.mlp", part)
    if part.router.hashed:
        yield one(f"{path}.router.table", f"{at}.mlp.gate.tid2eid")
