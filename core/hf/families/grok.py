"""Grok-1 (xAI 2024), as the config.json's of its copies on the Hub say it and as xAI's own code computes it: the two chosen experts'
weights are not divided by their sum, and GELU is the tanh approximation. Grok-2's config.json (its type is "git") as SGLang computes
it, the server that xAI recommends: a rope of type "original" is plain, whatever else stands there, and a dense network runs beside
the experts."""

import math
from typing import Any

from ...parts.attention import Attention
from ...parts.experts import Experts
from ...parts.feedforward import FeedForward
from ...parts.temperature import LogTemperature
from ...spec import Architecture, Unsupported
from ..reading import classes, keys, pieces
from ..reading.config import Config
from ..reading.keys import Always, Key, Only, Rule, Unread
from ..reading.rotary import Turning
from ..weights import tensors
from ..weights.checkpoint import Sources

TYPES = ("grok-1", "git")
PLAIN_ROPE = "scaling_factor extrapolation_factor attn_factor beta_fast beta_slow original_max_position_embeddings".split()


def sqrt_of_width(config: Config, said: dict) -> None:
    if math.isclose(said["embedding"]["scale"], said["d_model"] ** 0.5):
        said["embedding"]["scale"] = "sqrt_d_model"


KEYS = {
    "grok-1": (
        *keys.sizes(131_072, 6_144, 8_192, 64, tied=True, eps=1e-5),
        Always("attention", kind="attention"),
        *keys.heads(48, 8),
        Key("attn_output_multiplier", "attention.scores.scale", 0.08838834764831845),
        Key("max_attn_value", "attention.scores.softcap", 30.0),
        *keys.experts(8, 2, 32_768, names="num_experts/num_local_experts", width="intermediate_size", act="", activation="geglu_tanh"),
        Key("embedding_multiplier_scale", "embedding.scale", 78.38367176906169),
        Key("output_multiplier_scale", "head.scale", 0.5773502691896257),
        Always("residual", norm="sandwich"),
        Turning(),
        Only("hidden_act", "gelu", "gelu_new"),
    ),
    "git": (  # Grok-2's keys, all of them: no class has defaults for them
        *keys.sizes(..., ..., ..., ..., eps_key=""),
        Key("rms_norm_eps", "norm.eps", kind=float),
        Always("attention", kind="attention", scores={"temperature": {"kind": "log"}}),
        *keys.heads(..., ...),
        Key("attn_logit_softcapping", "attention.scores.softcap", kind=float),
        Key("attn_temperature_len", "attention.scores.temperature.length"),
        Always("dense", kind="feed_forward", activation="geglu_tanh"),
        Key("intermediate_size", "dense.d_ff"),
        *keys.experts(..., ..., ..., names="num_local_experts", act="", activation="geglu_tanh"),
        Key("router_logit_softcapping", "moe.router.softcap", kind=float),
        Key("embedding_multiplier_scale", "embedding.scale", kind=float),
        Rule(sqrt_of_width),
        Key("output_multiplier_scale", "head.scale", kind=float),
        Key("final_logit_softcapping", "head.softcap", kind=float),
        Always("residual", norm="sandwich"),
        Always("position", kind="rope"),
        Key("rope_theta", "position.base", kind=float),
        Only("hidden_act", "gelu"),
        Only("rope_type", "original", written=True),
        *keys.only(sliding_window_size=-1, global_attn_every_n=1),
        Unread(*PLAIN_ROPE),
    ),
}


def read(config: Config, model_type: str) -> dict:
    if model_type == "git" and classes.names(config) != ["Grok1ForCausalLM"]:  # transformers has another of this type
        raise config.refuse("architectures", "of this type only Grok1ForCausalLM, as Grok-2's files say it, is read")
    said = keys.read(config, KEYS[model_type])
    feed: Any = "moe"
    if model_type == "git":
        feed = {"parts": ["dense", "moe"], "scale": 1 / 2**0.5}
        if not config.take("residual_moe", bool):
            raise config.refuse("residual_moe", "only Grok-2's dense network beside the experts is read")
    return pieces.model(config, said, [["attention", feed]] * said["depth"])


def write(arch: Architecture) -> dict:
    if "dense" not in arch.parts:
        pieces.made_of(arch, {"attention": Attention, "moe": Experts})
        return pieces.write_model(arch, "Grok1Model", "grok-1", KEYS["grok-1"]) | {"architectures": ["Grok1ModelForCausalLM"]}
    kinds = {"attention": Attention, "dense": FeedForward, "moe": Experts}
    attention, *_ = pieces.made_of(arch, kinds, layer=(Attention, (FeedForward, Experts)))
    if not isinstance(attention.scores.temperature, LogTemperature):
        raise Unsupported("parts.attention.scores.temperature: this model's scores grow with the logarithm of the length; give kind log")
    written = pieces.write_model(arch, "Grok1", "git", KEYS["git"])
    return written | {"residual_moe": True, "embedding_multiplier_scale": arch.embedding_scale}


def sources(arch: Architecture) -> Sources:
    if "dense" in arch.parts:
        return _sources_2(arch)

    def ff(path, at, part):
        names = ("linear", "linear_v", "linear_1")
        return tensors.experts_sources(path, f"{at}.moe_block", part, names=names)

    named = tensors.renamed(
        tensors.llama_sources(arch, ff=ff), self_attn="attn", input_layernorm="pre_attn_norm",
        post_attention_layernorm="post_attn_norm", pre_feedforward_layernorm="pre_moe_norm", post_feedforward_layernorm="post_moe_norm",
    )  # fmt: skip
    return tensors.also_named(named, {"norm.weight": "norm.scale"})


def _sources_2(arch: Architecture) -> Sources:
    def ff(path, at, part):
        if part.kind == "experts":
            yield from tensors.experts_sources(path, f"{at}.block_sparse_moe", part, names=("w1", "w3", "w2"))
        else:
            yield from tensors.dense_sources(path, f"{at}.mlp", part)

    return tensors.renamed(
        tensors.llama_sources(arch, ff=ff), input_layernorm="pre_attn_norm", post_attention_layernorm="post_attn_norm",
        pre_feedforward_layernorm="pre_moe_norm", post_feedforward_layernorm="post_moe_norm",
    )  # fmt: skip


ignored = tensors.ignored
