"""Nemotron-H and Nemotron 3 (arXiv:2504.03624, NVIDIA 2025): every layer one part, Mamba-2, attention without positions, a network
of ReLU squared or experts of it; and Mamba-2 alone (arXiv:2405.21060)."""

import math
from collections.abc import Mapping
from typing import Any

from ...parts.attention import Attention
from ...parts.base import Part
from ...parts.mamba2 import Mamba2
from ...parts.position import NoPosition
from ...spec import MAX_LAYERS, Architecture, Unsupported
from ..reading import keys, pieces
from ..reading.config import Config
from ..reading.keys import Again, Always, Groups, Key, Keys, Only, Unread
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


def mamba2(
    heads: str, head_dim: str, state: str, bias: str, act: str, groups: str = "n_groups", kernel: str = "conv_kernel",
    conv_bias: str = "use_conv_bias", usual: tuple[int, Any, int, int] = (128, 64, 128, 8),
) -> Keys:  # fmt: skip
    """Mamba-2's keys, which have other names in each family; `usual` are heads, their width, state and groups."""
    return (
        Always("mamba", kind="mamba2"),
        Key(heads, "mamba.heads", usual[0]),
        Key(head_dim, "mamba.head_dim", usual[1]),
        Key(state, "mamba.state_size", usual[2]),
        Key(groups, "mamba.groups", usual[3]),
        Key(kernel, "mamba.kernel", 4),
        Key(bias, "mamba.bias", False),
        Key(conv_bias, "mamba.conv_bias", True),
        Key(act, "mamba.activation", "silu", form=keys.PLAIN_ACTIVATION),
    )


def _sizes(vocab_size: int) -> Keys:
    return (
        Key("vocab_size", "vocab_size", vocab_size),
        Key("hidden_size", "d_model", 4_096),
        Key("tie_word_embeddings", "tied_embeddings", False),
        Always("norm", kind="rms"),
        Key("layer_norm_epsilon", "norm.eps", 1e-5),
        Always("position", kind="none"),
        Unread(*NEUTRAL),
    )


KEYS = {
    "mamba2": (
        *_sizes(32_768),
        *mamba2("num_heads", "head_dim", "state_size", "use_bias", "hidden_act"),
        Key("num_hidden_layers", "depth", 64, most=MAX_LAYERS),
        Unread("intermediate_size"),
    ),
    "nemotron_h": (
        *_sizes(131_072),
        Key("max_position_embeddings", "context", 4_096),
        *mamba2("mamba_num_heads", "mamba_head_dim", "ssm_state_size", "use_bias", "mamba_hidden_act"),
        Always("attention", kind="attention"),
        *keys.heads(32, 8, 128),
        *keys.feed_forward(21_504, "mlp_hidden_act", "relu2", False, ("mlp_bias", False)),
        *keys.experts(8, 2, 7_688, names="n_routed_experts", act="", router={"score": "sigmoid", "selection_bias": True}),
        Key("mlp_hidden_act", "moe.activation", "relu2", form=keys.PLAIN_ACTIVATION),
        Key("moe_shared_expert_intermediate_size", "moe.shared.d_ff", 7_688),
        Key("mlp_bias", "moe.shared.bias", False),  # alone: those that tokens are sent to never have any
        Key("moe_latent_size", "moe.latent", None),
        Key("routed_scaling_factor", "moe.router.scale", 1.0),
        Key("norm_topk_prob", "moe.router.normalise", True),
        Groups(1, 1, alone=True),
        Unread("n_shared_experts"),  # one network, whose width another key says
        Only("tie_word_embeddings", False),  # transformers keeps a head of its own, its authors' code does not
        Only("moe_shared_expert_overlap", True, False),
        Only("attention_bias", False),
        Again("norm_eps rms_norm_eps", "norm.eps"),
        Again("attention_head_dim", "attention.head_dim"),
        Again("num_query_groups", "attention.kv_heads"),
        Unread("use_bias rope_theta partial_rotary_factor sliding_window"),
    ),
}


def read(config: Config, model_type: str) -> dict:
    said = keys.read(config, KEYS[model_type])
    return (_read_hybrid if model_type == "nemotron_h" else _read_mamba)(config, said)


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


def _read_mamba(config: Config, said: dict) -> dict:
    part = said["mamba"]
    part |= step_limits(config, "time_step_limit")
    if part["heads"] * part["head_dim"] != said["d_model"] * config.count("expand", 2):
        raise config.refuse("num_heads", "heads times head_dim is expand times hidden_size")
    return pieces.model(config, said | {"context": CONTEXT}, [["mamba"]] * said["depth"])


def _read_hybrid(config: Config, said: dict) -> dict:
    for limit in ("time_step_limit", "mamba_dt_limit"):
        if step_limits(config, limit):  # no class reads it
            raise config.refuse(limit, "this family's steps have no limits")
    if config.take("time_step_min", float, 0.001) > 0.001:  # to its authors where steps start, to transformers a limit
        raise config.refuse("time_step_min", "give at most 0.001, which is no limit in practice")
    kinds, moe = _kinds(config), said["moe"]
    if moe["shared"]["bias"] and "latent" in moe and "moe" in kinds:
        raise config.refuse("mlp_bias", "projections to a latent have none")
    return pieces.model(config, said, [[kind] for kind in kinds], **_modules(config))


def _modules(config: Config) -> dict:
    """What predicts ahead: attention and then experts, or as letters or words say."""
    count = config.count("num_nextn_predict_layers", 0, least=0, most=16)
    said = ("mtp_hybrid_override_pattern", "mtp_layers_block_type")
    config.ignore(*said)
    return mtp.modules(count, _listed(config, *said) or ["attention", "moe"]) if count else {}


def _kinds(config: Config) -> list[str]:
    """The one part of each layer, from letters or words."""
    config.ignore("num_hidden_layers")
    kinds = _listed(config, "layers_block_type", "layer_types", "hybrid_override_pattern")
    return kinds or ["mamba", "moe", "attention", "dense"]


def _listed(config: Config, *names: str) -> list[str] | None:
    """What the first of these keys that is there says of each layer."""
    key = next(filter(config.has, names), None)
    config.ignore(*names)
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
    mamba, *_, moe = pieces.made_of(arch, kinds, NoPosition, (Part,))
    mamba = mamba or Mamba2(kind="mamba2", heads=1, head_dim=1, state_size=1)
    if set(arch.parts) == {"mamba"} and arch.context == CONTEXT:
        written = pieces.write_model(arch, "Mamba2", "mamba2", KEYS["mamba2"])
        return written | {"expand": mamba.inner // arch.d_model} | write_step_limits(mamba)
    letters = {kind: letter for letter, kind in LETTERS.items()}
    if moe and not moe.shared:
        raise Unsupported("parts.moe.shared: this family has a shared expert; give one")
    written = pieces.write_model(arch, "NemotronH", "nemotron_h", KEYS["nemotron_h"], mamba=mamba)
    written["hybrid_override_pattern"] = "".join(letters[block[0].parts[0]] for block in arch.sequence)
    if arch.mtp:
        block = "".join(letters[step.parts[0]] for step in arch.mtp.block)  # of all alike
        written |= {"num_nextn_predict_layers": arch.mtp.count, "mtp_hybrid_override_pattern": block}
    return written


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
    for ours, theirs, bias in (("project", "in_proj", part.bias), ("convolve", "conv1d", part.conv_bias), ("o", "out_proj", out_bias)):
        for kind in ("weight", "bias") if bias else ("weight",):
            yield one(f"{path}.{ours}.{kind}", f"{at}.{theirs}.{kind}")
    for name in ("A_log", "dt_bias", "D"):
        yield one(f"{path}.scan.{name}", f"{at}.{name}")
    if part.gate != "alone":
        yield one(f"{path}.out_norm.weight", f"{at}.norm.weight")


def ignored(name: str) -> bool:
    return name.startswith(("mtp.", "model.mtp."))
