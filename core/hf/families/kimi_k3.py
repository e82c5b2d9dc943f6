"""Kimi K3 (arXiv:2607.24653): Kimi Linear's layers with gates on both attentions, experts in a latent, SiTU in place of SwiGLU and
attention residuals. Its config.json wraps the text model in one that sees."""

import sys
from collections.abc import Iterator
from typing import Any

from torch import Tensor

from ...parts.attention_residuals import AttentionResiduals
from ...parts.experts import Experts
from ...parts.feedforward import FeedForward
from ...parts.kimi_delta import KimiDelta
from ...parts.latent import LatentAttention
from ...parts.position import NoPosition
from ...spec import Architecture, Unsupported
from ..reading import keys, pieces, quantised
from ..reading.config import Config, wrapped
from ..reading.keys import Always, Form, Has, Key, Only, Unread
from ..weights import tensors
from ..weights.checkpoint import Source, Sources
from ..weights.tensors import ignored as ignored
from ..weights.tensors import one
from . import deepseek_v3 as v3
from . import kimi_linear

TYPES = ("kimi_k3",)
SITU = {"activation": "situ_glu"}
KEYS = (
    *keys.sizes(..., ..., ..., ..., tied=None, eps=1e-5),
    Only("tie_word_embeddings", False, written=True),
    *v3.latent(..., (..., ...), (..., ..., ...)),  # type: ignore[arg-type]
    Has("mla_use_output_gate", "attention.gate", ..., on={}),
    Always("dense", kind="feed_forward", **SITU),
    Key("intermediate_size", "dense.d_ff", ...),
    *kimi_linear.experts(..., ..., 1.0, 1, 1, act=""),
    Always("moe", **SITU),
    Key("routed_expert_hidden_size", "moe.latent", ...),
    Key("latent_moe_use_norm", "moe.latent_norm", ..., bool),
    Only("hidden_act", "situ", written=True),
    *(
        entry
        for part in ("dense", "moe")
        for entry in (
            Key("activation_situ_beta", f"{part}.gate_bound", ..., float),
            Key("activation_situ_linear_beta", f"{part}.up_bound", ..., float, null=None),
        )
    ),
    Always("residual", kind="attention_residuals"),
    Key("attn_res_block_size", "residual.block", ...),
    Always("delta", kind="kimi_delta"),
    Always("position", kind="none"),
    Unread("rope_theta rope_scaling rope_parameters"),  # nothing turns
    *keys.only(mla_use_nope=True, num_nextn_predict_layers=0),
)
LINEAR = (
    Key("num_heads", "delta.heads", ...),
    Key("head_dim", "delta.head_dim", ...),
    Key("short_conv_kernel_size", "delta.kernel", ...),
    Key("use_full_rank_gate", "delta.whole", ..., bool, form=Form(lambda on: "gate" if on else False, lambda whole: whole == "gate")),
    Key("gate_lower_bound", "delta.floor", ..., float, null=None),
)


def read(config: Config, model_type: str) -> dict:
    config.ignore("image_placeholder")
    return wrapped(config, _read, "kimi_linear")


def _read(config: Config, model_type: str) -> dict:
    said, linear = keys.read(config, KEYS), config.nested("linear_attn_config")
    blocks = kimi_linear.blocks(config, linear, said["depth"])
    keys.read(linear, LINEAR, said)
    linear.finish()
    residual = said["residual"]
    residual |= {"streams": -(-said["depth"] // residual["block"]) + 1, "norm_eps": said["norm"]["eps"]}
    value = pieces.model(config, said, blocks)
    formats = value.get("precision", {"default": "bf16"})
    return value | {"precision": formats | ({} if formats["default"] == "fp32" else WIDE)}


def write(arch: Architecture) -> dict:
    kinds = {"delta": KimiDelta, "attention": LatentAttention, "dense": FeedForward, "moe": Experts}
    delta, *_ = pieces.made_of(arch, kinds, NoPosition)
    if not isinstance(arch.residual, AttentionResiduals):
        raise Unsupported("residual: this family has attention residuals")
    layers: dict[str, list[int]] = {"kda_layers": [], "full_attn_layers": []}
    for number, block in enumerate(arch.sequence, start=1):
        layers["kda_layers" if block[0].parts == ("delta",) else "full_attn_layers"].append(number)
    text = {"first_k_dense_replace": pieces.first_routed(arch), "linear_attn_config": keys.write(arch, LINEAR, delta=delta) | layers}
    written: dict[str, Any] = pieces.write_model(arch, "KimiLinear", "kimi_linear", KEYS) | text
    outer = {"architectures": ["KimiK3ForConditionalGeneration"], "model_type": "kimi_k3", "torch_dtype": written.pop("torch_dtype")}
    return outer | {"text_config": written} | {name: written.pop(name) for name in ("quantization_config",) if name in written}


WIDE = {"delta.rule": "fp32", "delta.convolve": "fp32", "delta.out_norm": "fp32"}  # whatever the rest is stored in
KEPT = "re:.*routed_expert_(down|up)_proj.*"


def stored(arch: Architecture, config: Config) -> Architecture:
    """The architecture with what its quantization_config says. Its makers' own list does not keep the projections around the experts,
    but their files have them in bf16."""
    if config.raw.get("format") == "mxfp4-pack-quantized":
        config = Config({**config.raw, "ignore": [*(config.raw.get("ignore") or ()), KEPT]}, config.where)
    told = quantised.narrowed(arch, sys.modules[__name__], config)
    plain, wide = arch.precision["default"], {path: fmt for path, fmt in arch.precision.items() if path in WIDE}
    formats = {path: fmt for path, fmt in told.precision.items() if fmt != plain or path not in arch.parts} | wide
    return Architecture.model_validate(told.model_dump() | {"precision": formats})


def sources(arch: Architecture) -> Sources:
    yield from tensors.llama_sources(arch, _mixer, _feed)
    for index, block in enumerate(arch.sequence):
        for step, theirs in zip(block, ("self_attention", "mlp"), strict=True):
            yield from _sums(f"layers.{index}.{step.parts[0]}_read", f"model.layers.{index}.{theirs}")
    yield from _sums("merge", "model.output_attn")


def _sums(path: str, at: str) -> Iterator[tuple[str, list[Source]]]:
    yield one(f"{path}.norm", f"{at}_res_norm.weight")
    yield one(f"{path}.query", f"{at}_res_proj.weight", make=Tensor.flatten)


def _mixer(path: str, at: str, part: Any) -> Iterator[tuple[str, list[Source]]]:
    if not isinstance(part, KimiDelta):
        yield from v3.latent_sources(path, at, part)
        if part.gate:
            yield one(f"{path}.gate.weight", f"{at}.self_attn.g_proj.weight")
        return
    for name, ways in kimi_linear.delta_sources(path, at, part):
        if name == f"{path}.rule.A_log":  # the files fill it up with zeros to a multiple of 128
            ways = [Source(ways[0].names, lambda tensor: tensor.flatten()[: part.heads])]
        yield name, ways


def _feed(path: str, at: str, part: Any) -> Iterator[tuple[str, list[Source]]]:
    if not isinstance(part, Experts):
        yield from tensors.dense_sources(path, f"{at}.mlp", part)
        return
    at = f"{at}.block_sparse_moe"
    yield from tensors.experts_sources(path, at, part, names=("w1", "w3", "w2"))
    yield one(f"{path}.enter.weight", f"{at}.routed_expert_down_proj.weight")
    if part.latent_norm:
        yield one(f"{path}.leave_norm.weight", f"{at}.routed_expert_norm.weight")
    yield one(f"{path}.leave.weight", f"{at}.routed_expert_up_proj.weight")
