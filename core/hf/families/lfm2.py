"""LFM2, dense and with experts (Liquid AI, arXiv:2511.23404): gated short convolutions, and attention in some layers."""

from ...parts.attention import Attention
from ...parts.convolution import ShortConvolution
from ...spec import Architecture
from ..reading import pieces, rotary
from ..reading.config import Config
from ..reading.pieces import unless
from ..weights import tensors
from ..weights.checkpoint import Sources
from ..weights.tensors import one

TYPES = ("lfm2", "lfm2_moe")


def read(config: Config, model_type: str) -> dict:
    routed = model_type == "lfm2_moe"
    d_model = config.count("hidden_size", 2_048 if routed else 2_560)
    depth, context = config.depth("num_hidden_layers", 32), config.count("max_position_embeddings", 128_000)
    tied = config.take("tie_embedding", bool, config.take("tie_word_embeddings", bool, True))
    config.ignore(
        "tie_word_embeddings", "theta", "block_dim", "block_mlp_init_scale", "block_norm_eps", "block_out_init_scale"
    )
    config.ignore(
        "block_use_swiglu",
        "block_use_xavier_init",
        "conv_dim",
        "conv_dim_out",
        "conv_use_xavier_init",
        "num_heads",
        "use_pos_enc",
    )
    attends = config.listing("full_attn_idxs", int)
    everywhere = set(range(depth)) if attends is None else set(attends)
    usual = ["full_attention" if layer in everywhere else "conv" for layer in range(depth)]
    types = pieces.layer_types(config, depth, usual, "full_attention", "conv")
    bias = unless(False, bias=config.take("conv_bias", bool, False))
    parts = {
        "convolution": {"kind": "short_convolution"} | unless(3, kernel=config.count("conv_L_cache", 3)) | bias,
        "attention": {"kind": "attention"} | pieces.heads(config, d_model, heads=32, kv_heads=8) | {"qk_norm": {}},
        "dense": {"kind": "feed_forward", "d_ff": _d_ff(config, routed)},
    }
    first = depth
    if routed:
        parts["moe"] = _experts(config)
        first = config.count("num_dense_layers", 2, least=0)
    value = {
        "vocab_size": config.count("vocab_size", 65_536),
        "d_model": d_model,
        "context": context,
        "tied_embeddings": tied,
        "norm": {"kind": "rms", "eps": config.take("norm_eps", float, 1e-5)},
    }
    mixers = ["attention" if word == "full_attention" else "convolution" for word in types]
    blocks = [[mixer, "dense" if layer < first else "moe"] for layer, mixer in enumerate(mixers)]
    return pieces.assemble(config, value, rotary.rope(config, context, theta=1e6), parts, blocks)


def _d_ff(config: Config, routed: bool) -> int:
    """intermediate_size, or two thirds of it rounded up to a multiple where the config says so."""
    width = config.count("block_ff_dim", config.count("intermediate_size", 7_168 if routed else 12_288))
    config.ignore("intermediate_size")
    if routed or not config.take("block_auto_adjust_ff_dim", bool, True):
        config.ignore("block_ffn_dim_multiplier", "block_multiple_of", "block_auto_adjust_ff_dim")
        return width
    width = int(config.take("block_ffn_dim_multiplier", float, 1.0) * int(2 * width / 3))
    multiple = config.count("block_multiple_of", 256)
    return -(-width // multiple) * multiple


def _experts(config: Config) -> dict:
    router = {"score": "sigmoid"} | unless(False, normalise=config.take("norm_topk_prob", bool, True))
    router |= unless(1.0, scale=config.take("routed_scaling_factor", float, 1.0))
    router |= unless(False, selection_bias=config.take("use_expert_bias", bool, True))
    return {
        "kind": "experts",
        "count": config.count("num_experts", 32),
        "top_k": config.count("num_experts_per_tok", 4),
        "d_ff": config.count("moe_intermediate_size", 1_792),
        "router": router,
    }


def write(arch: Architecture) -> dict:
    made = {"convolution": ShortConvolution | None, "attention": Attention | None} | pieces.FEEDS
    convolution, attention, dense, moe = pieces.made_of(arch, made)
    kinds = [block[1].parts[0] for block in arch.sequence]
    written = {
        "architectures": ["Lfm2MoeForCausalLM" if moe else "Lfm2ForCausalLM"], "model_type": "lfm2_moe" if moe else "lfm2",
        "vocab_size": arch.vocab_size, "hidden_size": arch.d_model, "num_hidden_layers": arch.depth, "norm_eps": arch.norm.eps,
        "max_position_embeddings": arch.context, "tie_word_embeddings": arch.tied_embeddings,
        "layer_types": ["full_attention" if block[0].parts == ("attention",) else "conv" for block in arch.sequence],
    }  # fmt: skip
    if convolution:
        written |= {"conv_L_cache": convolution.kernel, "conv_bias": convolution.bias}
    written |= pieces.write_heads(attention)
    if dense:
        written["intermediate_size"] = dense.d_ff
    if moe:
        written |= {
            "num_experts": moe.count, "num_experts_per_tok": moe.top_k, "moe_intermediate_size": moe.d_ff,
            "num_dense_layers": (*kinds, "moe").index("moe"),
            "norm_topk_prob": moe.router.normalise, "routed_scaling_factor": moe.router.scale,
            "use_expert_bias": moe.router.selection_bias,
        }  # fmt: skip
    else:
        written["block_auto_adjust_ff_dim"] = False
    return written | rotary.write_rope(arch.position, arch.context) | pieces.write_precision(arch)


def sources(arch: Architecture) -> Sources:
    names = {
        "input_layernorm": "operator_norm", "post_attention_layernorm": "ffn_norm", "o_proj": "out_proj", "q_norm": "q_layernorm",
        "k_norm": "k_layernorm", "gate_proj": "w1", "up_proj": "w3", "down_proj": "w2",
    }  # fmt: skip

    def mixer(path, at, part):
        if not isinstance(part, ShortConvolution):
            yield from tensors.renamed(tensors.attention_sources(path, f"{at}.self_attn", part), **names)
            return
        for ours, theirs in (("project", "in_proj"), ("convolve", "conv"), ("o", "out_proj")):
            for kind in ("weight", "bias") if part.bias else ("weight",):
                yield one(f"{path}.{ours}.{kind}", f"{at}.conv.{theirs}.{kind}")

    def ff(path, at, part):
        at = f"{at}.feed_forward"
        if part.kind == "experts":
            yield from tensors.experts_sources(path, at, part, names=("w1", "w3", "w2"), bias="expert_bias")
        else:
            yield from tensors.renamed(tensors.dense_sources(path, at, part), **names)

    norms = {key: names[key] for key in ("input_layernorm", "post_attention_layernorm")}
    for path, ways in tensors.renamed(tensors.llama_sources(arch, mixer, ff), **norms):
        yield (path, ways) if path != "norm.weight" else one("norm.weight", "model.embedding_norm.weight")


def ignored(name: str) -> bool:
    return tensors.ignored(name)
