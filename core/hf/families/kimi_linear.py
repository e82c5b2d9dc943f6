"""Kimi Linear (arXiv:2510.26692): three layers of delta attention to one of latent attention without positions, DeepSeek-V3's
experts. Most counts go by two names, the checkpoint's own and DeepSeek's."""

from collections.abc import Iterator

import torch

from ...parts.experts import Experts
from ...parts.kimi_delta import KimiDelta
from ...parts.latent import LatentAttention
from ...parts.position import NoPosition
from ...spec import Architecture
from ..reading import pieces
from ..reading.config import Config
from ..reading.pieces import unless
from ..weights import tensors
from ..weights.checkpoint import Source, Sources
from ..weights.tensors import ignored as ignored
from ..weights.tensors import one
from . import deepseek_v3 as v3
from .like_llama_moe import typed

TYPES = ("kimi_linear",)


def read(config: Config, model_type: str) -> dict:
    value = {
        "vocab_size": config.count("vocab_size", 163_840),
        "d_model": config.count("hidden_size", 2_304),
        "context": v3.either(config, "model_max_length", "max_position_embeddings", 1_048_576, most=2**31),
        "norm": {"kind": "rms", "eps": config.take("rms_norm_eps", float, 1e-5)},
    }
    config.ignore("tie_word_embeddings")  # the head has a matrix of its own, whatever is said
    config.ignore("rope_theta", "rope_scaling", "rope_parameters")  # nothing turns
    config.expect("mla_use_nope", True)
    config.expect("num_nextn_predict_layers", 0)
    depth = config.depth("num_hidden_layers", 27)
    linear = config.nested("linear_attn_config")
    words = _kinds(config, linear, depth)
    parts = {
        "delta": {
            "kind": "kimi_delta",
            "heads": linear.count("num_heads", config.count("linear_num_heads", 32)),
            "head_dim": linear.count("head_dim", config.count("linear_head_dim", 128)),
        }
        | unless(4, kernel=linear.count("short_conv_kernel_size", config.count("linear_conv_kernel_dim", 4)))
        | pieces.mixed(config),
        "attention": v3.latent(config, 32, (None, 512)),
        "dense": pieces.dense(config, 9_216),
        "moe": experts(config, count=256, d_ff=1_024, scale=2.446, groups=1, best=1),
    }
    linear.finish()
    blocks = [
        ["delta" if word == "linear_attention" else "attention", "moe" if sparse else "dense"]
        for word, sparse in zip(words, typed(1)(config, depth), strict=True)
    ]
    config.ignore("first_k_dense_replace")
    return pieces.assemble(config, value, {"kind": "none"}, parts, blocks)


def _kinds(config: Config, linear: Config, depth: int) -> list[str]:
    """Each layer's kind: of layer_types, or of two lists of layer numbers that begin at 1."""
    usual = ["full_attention" if layer and layer % 4 == 0 else "linear_attention" for layer in range(depth)]
    lists = {"full_attention": "full_attn_layers", "linear_attention": "kda_layers"}
    numbers = {word: linear.listing(key, int) for word, key in lists.items()}
    if not config.has("layer_types") and None not in numbers.values():
        named = {number: word for word, those in numbers.items() for number in those}
        if sorted(named) != list(range(1, depth + 1)) or len(named) != sum(map(len, numbers.values())):
            raise linear.refuse(
                "kda_layers", f"with full_attn_layers it must name each of the layers 1 to {depth} once"
            )
        usual = [named[number] for number in range(1, depth + 1)]
    return pieces.layer_types(config, depth, usual, *lists)


def experts(config: Config, *, count: int, d_ff: int, scale: float, groups: int, best: int) -> dict:
    """Routed and shared experts and their router; the arguments are the family's defaults."""
    width = config.count("moe_intermediate_size", d_ff)
    shared = v3.either(config, "num_shared_experts", "n_shared_experts", 1, least=0)
    groups = v3.either(config, "num_expert_group", "n_group", groups)
    best = config.count("topk_group", best)
    key = "norm_topk_prob" if config.has("norm_topk_prob") else "moe_renormalize"
    normalise = config.take(key, bool, True)
    config.expect("moe_renormalize", normalise)
    config.expect("moe_router_activation_func", "sigmoid")
    config.expect("topk_method", "noaux_tc")
    config.expect("use_grouped_topk", True)
    config.expect("moe_layer_freq", 1)
    router = {"score": "sigmoid", "selection_bias": True} | unless(False, normalise=normalise)
    router |= unless(1.0, scale=config.take("routed_scaling_factor", float, scale))
    router |= {} if groups == best == 1 else {"groups": groups, "top_groups": best, "group_score": "top2"}
    return (
        {
            "kind": "experts",
            "count": v3.either(config, "num_experts", "num_local_experts", count),
            "top_k": v3.either(config, "num_experts_per_token", "num_experts_per_tok", 8),
            "d_ff": width,
            "router": router,
        }
        | unless("swiglu", activation=pieces.activation(config))
        | ({"shared": {"d_ff": shared * width} | unless(1, count=shared)} if shared else {})
    )


def write(arch: Architecture) -> dict:
    kinds = {"delta": KimiDelta | None, "attention": LatentAttention | None} | pieces.FEEDS
    delta, latent, dense, moe = pieces.made_of(arch, kinds, NoPosition)
    words = ["linear_attention" if block[0].parts == ("delta",) else "full_attention" for block in arch.sequence]
    written = (
        {"architectures": ["KimiLinearForCausalLM"], "model_type": "kimi_linear"}
        | {"hidden_act": pieces.write_activation((dense or moe).activation)}
        | pieces.write_sizes(arch)
        | {
            "layer_types": words,
            "mlp_layer_types": ["sparse" if block[1].parts == ("moe",) else "dense" for block in arch.sequence],
        }
        | pieces.write_precision(arch)
    )
    written["model_max_length"] = written.pop("max_position_embeddings")
    if delta:
        written |= {
            "linear_num_heads": delta.heads,
            "linear_head_dim": delta.head_dim,
            "linear_conv_kernel_dim": delta.kernel,
        }
    if latent:
        written |= v3.write_latent(latent)
    if dense:
        written["intermediate_size"] = dense.d_ff
    return written | (write_experts(moe) if moe else {})


def write_experts(moe: Experts) -> dict:
    return {
        "num_experts": moe.count,
        "num_experts_per_token": moe.top_k,
        "num_shared_experts": moe.shared.count if moe.shared else 0,
        "moe_intermediate_size": moe.d_ff,
        "num_expert_group": moe.router.groups,
        "topk_group": moe.router.top_groups,
        "moe_renormalize": moe.router.normalise,
        "routed_scaling_factor": moe.router.scale,
    }


def sources(arch: Architecture) -> Sources:
    def mixer(path, at, part):
        return (delta_sources if isinstance(part, KimiDelta) else v3.latent_sources)(path, at, part)

    def ff(path, at, part):
        if not isinstance(part, Experts):
            yield from tensors.dense_sources(path, f"{at}.mlp", part)
            return
        published = tensors.experts_sources(path, f"{at}.block_sparse_moe", part, names=("w1", "w3", "w2"))
        for (name, ways), (_, others) in zip(tensors.experts_sources(path, f"{at}.mlp", part), published, strict=True):
            yield name, ways + others

    return tensors.llama_sources(arch, mixer, ff)


def delta_sources(path: str, at: str, part: KimiDelta) -> Iterator[tuple[str, list[Source]]]:
    """One convolution over queries, keys and values, or one for each; the decay beside them or in a module of its own."""
    at = f"{at}.self_attn"

    def joined(*tensors: torch.Tensor) -> torch.Tensor:
        return torch.cat(tensors)

    yield f"{path}.qkv.weight", [Source(tuple(f"{at}.{name}_proj.weight" for name in "qkv"), joined)]
    convolutions = Source(tuple(f"{at}.{name}_conv1d.weight" for name in "qkv"), joined)
    yield f"{path}.convolve.weight", [Source((f"{at}.conv1d.weight",)), convolutions]
    yield one(f"{path}.beta.weight", f"{at}.b_proj.weight")
    theirs = {"decay": "f_proj", "gate": "g_proj"}
    if part.rank:
        theirs = {"decay_down": "f_a_proj", "decay": "f_b_proj", "gate_down": "g_a_proj", "gate": "g_b_proj"}
    for name, tensor in theirs.items():
        yield one(f"{path}.{name}.weight", f"{at}.{tensor}.weight", f"{at}.forget_gate.{tensor}.weight")
    for name in ("A_log", "dt_bias"):
        yield one(f"{path}.rule.{name}", f"{at}.{name}", f"{at}.forget_gate.{name}", make=torch.flatten)
    yield one(f"{path}.out_norm.weight", f"{at}.o_norm.weight")
    yield one(f"{path}.o.weight", f"{at}.o_proj.weight")
