"""Mamba (arXiv:2312.00752), Falcon Mamba (arXiv:2410.05355) and Jamba (arXiv:2403.19887), which has attention without positions in
every eighth layer and experts in every second."""

import math

from ...parts.attention import Attention
from ...parts.mamba import Mamba
from ...parts.position import NoPosition
from ...spec import Architecture
from ..reading import pieces
from ..reading.config import Config
from ..reading.pieces import unless
from ..weights import tensors
from ..weights.checkpoint import Sources
from ..weights.tensors import one

TYPES = ("mamba", "falcon_mamba", "jamba")
CONTEXT = 1_048_576  # a state has no end; the spec asks for some length
NEUTRAL = (
    "time_step_scale", "time_step_min", "time_step_max", "time_step_init_scheme", "time_step_floor", "rescale_prenorm_residual",
    "residual_in_fp32", "use_mambapy", "use_associative_scan", "use_mamba_kernels", "d_model", "d_inner", "n_layer", "ssm_cfg", "rms_norm",
    "fused_add_norm", "pad_vocab_size_multiple", "num_logits_to_keep",
)  # fmt: skip


def read(config: Config, model_type: str) -> dict:
    config.ignore(*NEUTRAL)
    return _read_jamba(config) if model_type == "jamba" else _read_mamba(config, model_type)


def read_rank(config: Config, key: str, d_model: int) -> int:
    rank = config.take(key, (int, str), "auto")
    if isinstance(rank, str) and rank != "auto":
        raise config.refuse(key, "give a number, or auto for hidden_size / 16")
    return math.ceil(d_model / 16) if rank == "auto" else config.count(key)


def _read_mamba(config: Config, model_type: str) -> dict:
    d_model = config.count("hidden_size", 768)
    inner = config.count("intermediate_size", config.count("expand", 2) * d_model)
    part = {
        "kind": "mamba",
        "inner": inner,
        "state_size": config.count("state_size", 16),
        "step_rank": read_rank(config, "time_step_rank", d_model),
    }
    part |= unless(4, kernel=config.count("conv_kernel", 4)) | unless(False, bias=config.take("use_bias", bool, False))
    part |= unless(True, conv_bias=config.take("use_conv_bias", bool, True)) | pieces.mixed(config)
    if model_type == "falcon_mamba":
        part["inner_norm"] = {"kind": "rms", "eps": config.take("mixer_rms_eps", float, 1e-6), "weight": False}
    value = {
        "vocab_size": config.count("vocab_size", 50_280),
        "d_model": d_model,
        "context": CONTEXT,
        "tied_embeddings": config.take("tie_word_embeddings", bool, True),
        "norm": {"kind": "rms", "eps": config.take("layer_norm_epsilon", float, 1e-5)},
    }
    blocks = [["mamba"]] * config.depth("num_hidden_layers", 32)
    return pieces.assemble(config, value, {"kind": "none"}, {"mamba": part}, blocks)


def _read_jamba(config: Config) -> dict:
    value = pieces.sizes(config, vocab_size=65_536, d_model=4_096, context=262_144, tied=False, eps=1e-6)
    d_model, depth = value["d_model"], config.depth("num_hidden_layers", 32)
    config.ignore("n_ctx", "sliding_window")
    part = {
        "kind": "mamba",
        "inner": config.count("mamba_expand", 2) * d_model,
        "state_size": config.count("mamba_d_state", 16),
        "step_rank": read_rank(config, "mamba_dt_rank", d_model),
        "inner_norm": dict(value["norm"]),
    }
    config.expect("mamba_inner_layernorms", True)
    part |= unless(4, kernel=config.count("mamba_d_conv", 4)) | unless(
        False, bias=config.take("mamba_proj_bias", bool, False)
    )
    part |= unless(True, conv_bias=config.take("mamba_conv_bias", bool, True)) | pieces.mixed(config)
    count = config.count("num_experts", 16)
    dense = pieces.dense(config, 14_336)
    parts = {
        "mamba": part,
        "attention": {"kind": "attention"} | pieces.heads(config, d_model, heads=32, kv_heads=8),
        "dense": dense,
        "moe": dense
        | {
            "kind": "experts",
            "count": count,
            "top_k": config.count("num_experts_per_tok", 2),
            "router": {"score": "softmax"},
        },
    }

    def each(name: str, period: int, offset: int) -> list[bool]:
        period, offset = config.count(f"{name}_period", period), config.count(f"{name}_offset", offset, least=0)
        return [layer % period == offset for layer in range(depth)]

    attends, routes = each("attn_layer", 8, 4), each("expert_layer", 2, 1)
    blocks = [
        ["attention" if attend else "mamba", "moe" if route and count > 1 else "dense"]
        for attend, route in zip(attends, routes, strict=True)
    ]
    if {name for block in blocks for name in block} == {"mamba", "dense"}:
        raise config.refuse("attn_layer_period", "without attention and experts it is no Jamba")
    return pieces.assemble(config, value, {"kind": "none"}, parts, blocks)


def write(arch: Architecture) -> dict:
    if len(arch.parts) > 1:
        return _write_jamba(arch)
    (part,) = pieces.made_of(arch, {"mamba": Mamba}, NoPosition, (Mamba,))
    model_type = "falcon_mamba" if part.inner_norm else "mamba"
    name = {"mamba": "Mamba", "falcon_mamba": "FalconMamba"}[model_type]
    return {
        "architectures": [f"{name}ForCausalLM"], "model_type": model_type, "vocab_size": arch.vocab_size, "hidden_size": arch.d_model,
        "intermediate_size": part.inner, "state_size": part.state_size, "time_step_rank": part.step_rank, "conv_kernel": part.kernel,
        "use_bias": part.bias, "use_conv_bias": part.conv_bias, "num_hidden_layers": arch.depth, "layer_norm_epsilon": arch.norm.eps,
        "tie_word_embeddings": arch.tied_embeddings, "hidden_act": pieces.write_activation(part.activation),
    } | ({"mixer_rms_eps": part.inner_norm.eps} if part.inner_norm else {}) | pieces.write_precision(arch)  # fmt: skip


def _write_jamba(arch: Architecture) -> dict:
    made = {"mamba": Mamba | None, "attention": Attention | None} | pieces.FEEDS
    part, attention, dense, moe = pieces.made_of(arch, made, NoPosition)
    kinds = [(block[0].parts[0], block[1].parts[0]) for block in arch.sequence]
    attends = [layer for layer, (mixer, _) in enumerate(kinds) if mixer == "attention"]
    routes = [layer for layer, (_, ff) in enumerate(kinds) if ff == "moe"]
    written = {
        "architectures": ["JambaForCausalLM"], "model_type": "jamba", "intermediate_size": (moe or dense).d_ff,
        "hidden_act": pieces.write_activation((moe or dense).activation), "num_experts": moe.count if moe else 1,
        "num_experts_per_tok": moe.top_k if moe else 1,
    }  # fmt: skip
    if part:
        written |= {
            "mamba_expand": part.inner // arch.d_model, "mamba_d_state": part.state_size, "mamba_dt_rank": part.step_rank,
            "mamba_d_conv": part.kernel, "mamba_proj_bias": part.bias, "mamba_conv_bias": part.conv_bias,
        }  # fmt: skip
    for name, layers in (("attn_layer", attends), ("expert_layer", routes)):
        written[f"{name}_offset"] = layers[0] if layers else arch.depth
        written[f"{name}_period"] = layers[1] - layers[0] if len(layers) > 1 else arch.depth + 1
    return written | pieces.write_sizes(arch) | pieces.write_heads(attention) | pieces.write_precision(arch)


def sources(arch: Architecture) -> Sources:
    if "dense" in arch.parts or "moe" in arch.parts:
        yield from _jamba(arch)
        return
    yield one("embedding.weight", "model.embeddings.weight")
    yield one("norm.weight", "model.norm_f.weight")
    yield from tensors.head_source(arch, "model.embeddings.weight")
    for index in range(arch.depth):
        at = f"model.layers.{index}"
        yield one(f"layers.{index}.mamba_norm.weight", f"{at}.norm.weight")
        yield from _mamba(f"layers.{index}.mamba", f"{at}.mixer", arch.parts["mamba"])


def _jamba(arch: Architecture) -> Sources:
    def mixer(path, at, part):
        if isinstance(part, Mamba):
            yield from _mamba(path, f"{at}.mamba", part)
        else:
            yield from tensors.attention_sources(path, f"{at}.self_attn", part)

    def ff(path, at, part):
        if part.kind == "experts":
            yield from tensors.experts_sources(path, f"{at}.feed_forward", part, router="router")
        else:
            yield from tensors.dense_sources(path, f"{at}.feed_forward", part)

    named = tensors.renamed(tensors.llama_sources(arch, mixer, ff), post_attention_layernorm="pre_ff_layernorm")
    for path, ways in named:
        yield (path, ways) if path != "norm.weight" else one("norm.weight", "model.final_layernorm.weight")


def _mamba(path: str, at: str, part: Mamba) -> Sources:
    names = (
        ("project", "in_proj", part.bias), ("convolve", "conv1d", part.conv_bias), ("o", "out_proj", part.bias),
    )  # fmt: skip
    yield one(f"{path}.select.weight", f"{at}.x_proj.weight", make=lambda one_head: one_head[None])
    for kind in ("weight", "bias"):
        yield one(f"{path}.step.{kind}", f"{at}.dt_proj.{kind}", make=lambda one_head: one_head[None])
    for ours, theirs, bias in names:
        for kind in ("weight", "bias") if bias else ("weight",):
            yield one(f"{path}.{ours}.{kind}", f"{at}.{theirs}.{kind}")
    for name in ("A_log", "D"):
        yield one(f"{path}.scan.{name}", f"{at}.{name}")
    if part.inner_norm and part.inner_norm.weight:
        for ours, theirs in (("step_norm", "dt_layernorm"), ("b_norm", "b_layernorm"), ("c_norm", "c_layernorm")):
            yield one(f"{path}.{ours}.weight", f"{at}.{theirs}.weight")


def ignored(name: str) -> bool:
    """Falcon Mamba's inner norms are ones."""
    return name.endswith(("dt_layernorm.weight", "b_layernorm.weight", "c_layernorm.weight"))
