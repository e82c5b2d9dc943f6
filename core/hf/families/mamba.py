"""Mamba (arXiv:2312.00752), Falcon Mamba (arXiv:2410.05355) and Jamba (arXiv:2403.19887), which has attention without positions in
every eighth layer and experts in every second."""

import math
from dataclasses import dataclass

from ...parts.attention import Attention
from ...parts.mamba import Mamba
from ...parts.position import NoPosition
from ...spec import MAX_LAYERS, Architecture
from ..reading import keys, pieces
from ..reading.config import Config
from ..reading.keys import Always, Key, Keys, Of, Only, Rule, Unread
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


@dataclass(frozen=True)
class Rank(Key):
    """The rank of what makes the steps: a number, or auto for a sixteenth of the stream."""

    def read(self, config: Config, said: dict) -> None:
        rank = config.take(self.name, (int, str), "auto")
        if isinstance(rank, str) and rank != "auto":
            raise config.refuse(self.name, "give a number, or auto for hidden_size / 16")
        keys.put(said, self.field, math.ceil(said["d_model"] / 16) if rank == "auto" else config.count(self.name))


def inner(key: str, times: int = 2) -> Rule:
    """The channels of a state space are so many times the stream's."""

    def follow(config: Config, said: dict) -> None:
        keys.put(said, "mamba.inner", config.count(key, times) * said["d_model"])

    return Rule(follow)


def selective(state: str, rank: str, kernel: str, bias: str, conv_bias: str, act: str = "hidden_act") -> Keys:
    """Mamba's keys, which have other names in each family."""
    return (
        Always("mamba", kind="mamba"),
        Key(state, "mamba.state_size", 16),
        Rank(rank, "mamba.step_rank", "auto"),
        Key(kernel, "mamba.kernel", 4),
        Key(bias, "mamba.bias", False),
        Key(conv_bias, "mamba.conv_bias", True),
        Key(act, "mamba.activation", "silu", form=keys.PLAIN_ACTIVATION),
        Always("position", kind="none"),
    )


MAMBA = (
    Key("vocab_size", "vocab_size", 50_280),
    Key("hidden_size", "d_model", 768),
    Key("num_hidden_layers", "depth", 32, most=MAX_LAYERS),
    Key("tie_word_embeddings", "tied_embeddings", True),
    Always("norm", kind="rms"),
    Key("layer_norm_epsilon", "norm.eps", 1e-5),
    inner("expand"),
    *selective("state_size", "time_step_rank", "conv_kernel", "use_bias", "use_conv_bias"),
    Key("intermediate_size", "mamba.inner", Of("mamba.inner")),
    Unread(*NEUTRAL),
)
KEYS = {
    "mamba": MAMBA,
    "falcon_mamba": (*MAMBA, Always("mamba.inner_norm", kind="rms", weight=False), Key("mixer_rms_eps", "mamba.inner_norm.eps", 1e-6)),
    "jamba": (
        *keys.sizes(65_536, 4_096, 262_144, 32),
        *selective("mamba_d_state", "mamba_dt_rank", "mamba_d_conv", "mamba_proj_bias", "mamba_conv_bias"),
        inner("mamba_expand"),
        Always("attention", kind="attention"),
        *keys.heads(32, 8),
        *keys.feed_forward(14_336),
        *keys.experts(16, 2, 14_336, names="num_experts", width="intermediate_size", router={"score": "softmax"}),
        Only("mamba_inner_layernorms", True),
        Unread("n_ctx sliding_window", *NEUTRAL),
    ),
}
PERIODS = (("attn_layer", 8, 4), ("expert_layer", 2, 1))  # every so many layers, beginning with this one


def read(config: Config, model_type: str) -> dict:
    said = keys.read(config, KEYS[model_type])
    if model_type != "jamba":
        return pieces.model(config, said | {"context": CONTEXT}, [["mamba"]] * said["depth"])
    said["mamba"]["inner_norm"] = dict(said["norm"])
    attends, routes = (
        [
            layer % config.count(f"{name}_period", period) == config.count(f"{name}_offset", offset, least=0)
            for layer in range(said["depth"])
        ]
        for name, period, offset in PERIODS
    )
    several = said["moe"]["count"] > 1
    blocks = [
        ["attention" if attend else "mamba", "moe" if route and several else "dense"] for attend, route in zip(attends, routes, strict=True)
    ]
    if {name for block in blocks for name in block} == {"mamba", "dense"}:
        raise config.refuse("attn_layer_period", "without attention and experts it is no Jamba")
    return pieces.model(config, said, blocks)


def write(arch: Architecture) -> dict:
    if len(arch.parts) > 1:
        return _write_jamba(arch)
    (part,) = pieces.made_of(arch, {"mamba": Mamba}, NoPosition, (Mamba,))
    name, model_type = ("FalconMamba", "falcon_mamba") if part.inner_norm else ("Mamba", "mamba")
    return pieces.write_model(arch, name, model_type, KEYS[model_type])


def _write_jamba(arch: Architecture) -> dict:
    made = {"mamba": Mamba | None, "attention": Attention | None} | pieces.FEEDS
    part, *_ = pieces.made_of(arch, made, NoPosition)
    kinds = [(block[0].parts[0], block[1].parts[0]) for block in arch.sequence]
    written = {"num_experts": 1, "num_experts_per_tok": 1} | pieces.write_model(arch, "Jamba", "jamba", KEYS["jamba"])
    written |= {"mamba_expand": part.inner // arch.d_model} if part else {}
    for at, (name, *_) in enumerate(PERIODS):
        layers = [layer for layer, kind in enumerate(kinds) if kind[at] == ("attention", "moe")[at]]
        written[f"{name}_offset"] = layers[0] if layers else arch.depth
        written[f"{name}_period"] = layers[1] - layers[0] if len(layers) > 1 else arch.depth + 1
    return written


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
