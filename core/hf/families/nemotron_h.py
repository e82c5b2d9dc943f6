"""Nemotron-H and Nemotron 3 (arXiv:2504.03624, NVIDIA 2025): every layer one part, Mamba-2, attention without positions, a network
of ReLU squared or experts of it; and Mamba-2 alone (arXiv:2405.21060)."""

import math
from collections.abc import Mapping

from ...parts.attention import Attention
from ...parts.base import Part
from ...parts.mamba2 import Mamba2
from ...parts.position import NoPosition
from ...spec import MAX_LAYERS, Architecture, Unsupported
from ..reading import pieces
from ..reading.config import Config
from ..reading.pieces import unless
from ..weights import mtp, tensors
from ..weights.checkpoint import Sources
from ..weights.tensors import one

TYPES = ("nemotron_h", "mamba2")
AHEAD = mtp.Names(
    "mtp.layers.{step}", "mtp.layers.{first}.enorm", "mtp.layers.{first}.hnorm", ("mtp.layers.{first}.eh_proj",),
    "mtp.layers.{last}.final_layernorm", {}, stepped=True,
)  # fmt: skip
LETTERS = {"M": "mamba", "*": "attention", "-": "dense", "E": "moe"}
WORDS = {
    "mamba": "mamba",
    "linear_attention": "mamba",
    "attention": "attention",
    "full_attention": "attention",
    "mlp": "dense",
    "moe": "moe",
}
NEUTRAL = (
    "time_step_min", "time_step_max", "time_step_floor", "chunk_size", "use_mamba_kernels", "mamba_ssm_cache_dtype", "num_logits_to_keep",
    "rescale_prenorm_residual", "residual_in_fp32", "expand", "rms_norm", "time_step_rank", "norm_before_gate", "time_step_scale",
    "time_step_init_scheme",
)  # fmt: skip
LARGEST = 3.4e38  # of float32, nearly
CONTEXT = 1_048_576  # a state has no end; the spec asks for some length


def read(config: Config, model_type: str) -> dict:
    config.ignore(*NEUTRAL)
    value = {
        "vocab_size": config.count("vocab_size", 131_072 if model_type == "nemotron_h" else 32_768),
        "d_model": config.count("hidden_size", 4_096),
        "tied_embeddings": config.take("tie_word_embeddings", bool, False),
        "norm": {"kind": "rms", "eps": config.take("layer_norm_epsilon", float, 1e-5)},
    }
    return (_read_hybrid if model_type == "nemotron_h" else _read_mamba)(config, value)


def _mamba(config: Config, heads: str, head_dim: str, state: str, bias: str) -> dict:
    part = {
        "kind": "mamba2",
        "heads": config.count(heads, 128),
        "head_dim": config.count(head_dim, 64),
        "state_size": config.count(state, 128),
    }
    part |= unless(1, groups=config.count("n_groups", 8)) | unless(4, kernel=config.count("conv_kernel", 4))
    return (
        part
        | unless(False, bias=config.take(bias, bool, False))
        | unless(True, conv_bias=config.take("use_conv_bias", bool, True))
    )


def step_limits(config: Config, key: str) -> dict:
    """The least and the largest time step, where there are any. JSON has no infinity: files say its name, or a number that no
    float32 reaches."""
    limits = list(config.take(key, (list, tuple), ()) or (0.0, math.inf))
    high = limits[1] if len(limits) == 2 else 0.0
    high = high.get("__float__") if isinstance(high, Mapping) else high
    if str(high).lower().lstrip("+") in ("infinity", "inf") or isinstance(high, int | float) and high >= LARGEST:
        limits[1] = None
    if len(limits) != 2 or not all(isinstance(x, float | int | None) and not isinstance(x, bool) for x in limits):
        raise config.refuse(key, "give two numbers, the least time step and the largest")
    low, high = limits
    return unless(0.0, step_min=low) | unless(None, step_max=high)


def write_step_limits(part: Mamba2) -> dict:
    """As transformers writes them: JSON has no infinity. None and no end are what its classes have by themselves."""
    limits = [part.step_min, {"__float__": "Infinity"} if part.step_max is None else part.step_max]
    return {"time_step_limit": limits} if part.step_min or part.step_max is not None else {}


def _read_mamba(config: Config, value: dict) -> dict:
    part = _mamba(config, "num_heads", "head_dim", "state_size", "use_bias")
    part |= pieces.mixed(config) | step_limits(config, "time_step_limit")
    if part["heads"] * part["head_dim"] != value["d_model"] * config.count("expand", 2):
        raise config.refuse("num_heads", "heads times head_dim is expand times hidden_size")
    config.ignore("intermediate_size")  # which nothing reads
    blocks = [["mamba"]] * config.depth("num_hidden_layers", 64)
    return pieces.assemble(config, value | {"context": CONTEXT}, {"kind": "none"}, {"mamba": part}, blocks)


def _read_hybrid(config: Config, value: dict) -> dict:
    for limit in ("time_step_limit", "mamba_dt_limit"):
        if step_limits(config, limit):  # no class reads it
            raise config.refuse(limit, "this family's steps have no limits")
    if config.take("time_step_min", float, 0.001) > 0.001:  # to its authors where steps start, to transformers a limit
        raise config.refuse("time_step_min", "give at most 0.001, which is no limit in practice")
    config.expect("tie_word_embeddings", False)  # transformers keeps a head of its own, its authors' code does not
    config.expect("moe_shared_expert_overlap", True, False)
    for key in ("norm_eps", "rms_norm_eps"):
        config.expect(key, value["norm"]["eps"])
    config.expect("attention_bias", False)
    config.ignore(
        "use_bias",
        "rope_theta",
        "partial_rotary_factor",
        "sliding_window",
    )
    kinds = _kinds(config)
    heads = pieces.heads(config, value["d_model"], heads=32, kv_heads=8, head_dim=128)
    config.expect("attention_head_dim", heads["head_dim"])
    config.expect("num_query_groups", heads["kv_heads"])
    activation = pieces.activation(config, "mlp_hidden_act", "relu2", gated=False)
    bias = unless(False, bias=config.take("mlp_bias", bool, False))
    parts = {
        "mamba": _mamba(config, "mamba_num_heads", "mamba_head_dim", "ssm_state_size", "use_bias")
        | pieces.mixed(config, "mamba_hidden_act"),
        "attention": {"kind": "attention"} | heads,
        "dense": {"kind": "feed_forward", "d_ff": config.count("intermediate_size", 21_504), "activation": activation}
        | bias,
        "moe": _experts(config, activation),
    }
    if bias and "latent" in parts["moe"] and "moe" in kinds:
        raise config.refuse("mlp_bias", "projections to a latent have none")
    parts["moe"]["shared"] |= bias  # alone: those that tokens are sent to never have any
    value["context"] = config.count("max_position_embeddings", 4_096)
    ahead = _modules(config)
    return pieces.assemble(config, value, {"kind": "none"}, parts, [[kind] for kind in kinds], **ahead)


def _modules(config: Config) -> dict:
    """What predicts ahead: attention and then experts, or as letters or words say."""
    count = config.count("num_nextn_predict_layers", 0, least=0, most=16)
    keys = ("mtp_hybrid_override_pattern", "mtp_layers_block_type")
    config.ignore(*keys)
    return mtp.modules(count, _listed(config, *keys) or ["attention", "moe"]) if count else {}


def _experts(config: Config, activation: str) -> dict:
    router = {"score": "sigmoid", "selection_bias": True} | unless(
        1.0, scale=config.take("routed_scaling_factor", float, 1.0)
    )
    router |= unless(False, normalise=config.take("norm_topk_prob", bool, True))
    groups, chosen = config.count("n_group", 1), config.count("topk_group", 1)
    router |= {} if groups == 1 else {"groups": groups, "top_groups": chosen, "group_score": "top2"}
    config.ignore("n_shared_experts")  # one network, whose width the next key says
    part = {
        "kind": "experts",
        "count": config.count("n_routed_experts", 8),
        "top_k": config.count("num_experts_per_tok", 2),
        "d_ff": config.count("moe_intermediate_size", 7_688),
        "activation": activation,
        "router": router,
        "shared": {"d_ff": config.count("moe_shared_expert_intermediate_size", 7_688)},
    }
    return part | unless(None, latent=config.count("moe_latent_size", None))


def _kinds(config: Config) -> list[str]:
    """The one part of each layer, from letters or words."""
    config.ignore("num_hidden_layers")
    kinds = _listed(config, "layers_block_type", "layer_types", "hybrid_override_pattern")
    return kinds or ["mamba", "moe", "attention", "dense"]


def _listed(config: Config, *keys: str) -> list[str] | None:
    """What the first of these keys that is there says of each layer."""
    key = next(filter(config.has, keys), None)
    config.ignore(*keys)
    if key is None:
        return None
    given = config.take(key, (str, list, tuple))
    known = LETTERS if isinstance(given, str) else WORDS
    kinds = [known.get(word) if isinstance(word, str) else None for word in given]
    if not kinds or len(kinds) > MAX_LAYERS or None in kinds:
        raise config.refuse(key, f"give one of {', '.join(known)} for each layer")
    return kinds


def write(arch: Architecture) -> dict:
    kinds = {"mamba": Mamba2 | None, "attention": Attention | None} | pieces.FEEDS
    mamba, attention, dense, moe = pieces.made_of(arch, kinds, NoPosition, (Part,))
    mamba = mamba or Mamba2(kind="mamba2", heads=1, head_dim=1, state_size=1)
    shared = {
        "vocab_size": arch.vocab_size, "hidden_size": arch.d_model, "tie_word_embeddings": arch.tied_embeddings,
        "layer_norm_epsilon": arch.norm.eps, "n_groups": mamba.groups, "conv_kernel": mamba.kernel, "use_conv_bias": mamba.conv_bias,
    } | pieces.write_precision(arch)  # fmt: skip
    if set(arch.parts) == {"mamba"} and arch.context == CONTEXT:
        return shared | {
            "architectures": ["Mamba2ForCausalLM"], "model_type": "mamba2", "num_heads": mamba.heads, "head_dim": mamba.head_dim,
            "state_size": mamba.state_size, "use_bias": mamba.bias, "num_hidden_layers": arch.depth,
            "expand": mamba.inner // arch.d_model, "hidden_act": pieces.write_activation(mamba.activation),
            **write_step_limits(mamba),
        }  # fmt: skip
    letters = {kind: letter for letter, kind in LETTERS.items()}
    if moe and not moe.shared:
        raise Unsupported("parts.moe.shared: this family's experts have a shared one beside them")
    written = shared | {
        "architectures": ["NemotronHForCausalLM"], "model_type": "nemotron_h", "mamba_num_heads": mamba.heads,
        "mamba_head_dim": mamba.head_dim, "ssm_state_size": mamba.state_size, "use_bias": mamba.bias,
        "mamba_hidden_act": pieces.write_activation(mamba.activation),
        "hybrid_override_pattern": "".join(letters[block[0].parts[0]] for block in arch.sequence),
        "max_position_embeddings": arch.context,
    }  # fmt: skip
    written |= {"mlp_hidden_act": pieces.write_activation((dense or moe).activation)} if dense or moe else {}
    written |= pieces.write_heads(attention)
    written |= {"intermediate_size": dense.d_ff, "mlp_bias": dense.bias} if dense else {}
    if arch.mtp:
        block = "".join(letters[step.parts[0]] for step in arch.mtp.block)  # of all alike
        written |= {"num_nextn_predict_layers": arch.mtp.count, "mtp_hybrid_override_pattern": block}
    return written | (_write_experts(moe) | {"mlp_bias": moe.shared.bias} if moe else {})


def _write_experts(moe) -> dict:
    return {
        "n_routed_experts": moe.count, "num_experts_per_tok": moe.top_k, "moe_intermediate_size": moe.d_ff,
        "moe_shared_expert_intermediate_size": moe.shared.d_ff, "moe_latent_size": moe.latent, "routed_scaling_factor": moe.router.scale,
        "norm_topk_prob": moe.router.normalise, "n_group": moe.router.groups, "topk_group": moe.router.top_groups,
    }  # fmt: skip


def sources(arch: Architecture) -> Sources:
    yield one("embedding.weight", "model.embeddings.weight")
    yield one("norm.weight", "model.norm_f.weight")
    yield from tensors.head_source(arch, "model.embeddings.weight")
    for index, block in enumerate(arch.sequence):
        name = block[0].parts[0]
        path = f"layers.{index}.{name}"
        at = f"model.layers.{index}"
        yield one(f"{path}_norm.weight", f"{at}.norm.weight")
        yield from _part(path, f"{at}.mixer", arch.part(name))


def _part(path: str, at: str, part) -> Sources:
    if isinstance(part, Mamba2):
        yield from mamba2_sources(path, at, part)
    elif part.kind == "experts":
        yield from tensors.experts_sources(path, at, part)
        for ours, theirs in (("enter", "fc1_latent_proj"), ("leave", "fc2_latent_proj")) if part.latent else ():
            yield one(f"{path}.{ours}.weight", f"{at}.{theirs}.weight")
    elif part.kind == "attention":
        yield from tensors.attention_sources(path, at, part)
    else:
        yield from tensors.dense_sources(path, at, part)


def mamba2_sources(path: str, at: str, part: Mamba2) -> Sources:
    """Mamba-2's own names."""
    out_bias = part.bias if part.out_bias is None else part.out_bias
    for ours, theirs, bias in (
        ("project", "in_proj", part.bias),
        ("convolve", "conv1d", part.conv_bias),
        ("o", "out_proj", out_bias),
    ):
        for kind in ("weight", "bias") if bias else ("weight",):
            yield one(f"{path}.{ours}.{kind}", f"{at}.{theirs}.{kind}")
    for name in ("A_log", "dt_bias", "D"):
        yield one(f"{path}.scan.{name}", f"{at}.{name}")
    if part.gate != "alone":
        yield one(f"{path}.out_norm.weight", f"{at}.norm.weight")


def ignored(name: str) -> bool:
    return name.startswith(("mtp.", "model.mtp."))
