"""Falcon (arXiv:2311.16867): multi-query attention beside the feed-forward network behind one norm (7B), grouped queries behind
a norm of their own (40B and 180B), or one after the other with ALiBi (the RefinedWeb models)."""

from functools import partial

from ...parts.attention import Attention
from ...parts.feedforward import FeedForward
from ...parts.position import Alibi, Rope
from ...spec import Architecture
from ..reading import keys, pieces, rotary
from ..reading.config import Config
from ..reading.keys import Key, Of
from ..weights.checkpoint import Sources
from . import before_llama

TYPES = ("falcon", "RefinedWeb", "RefinedWebModel")
ROOTS = ("transformer.",)
NAMES = partial(
    before_llama.Names, embedding="transformer.word_embeddings", layer="transformer.h.{}", norm="transformer.ln_f",
    qkv="self_attention.query_key_value", split=before_llama.by_group, o="self_attention.dense", up="mlp.dense_h_to_4h",
    down="mlp.dense_4h_to_h",
)  # fmt: skip


KEYS = (
    *keys.sizes(65_024, 4_544, 2_048, 32, tied=True, names="hidden_size max_position_embeddings num_hidden_layers/n_layer",
                **before_llama.LAYER_EPS),
    *before_llama.heads("num_attention_heads/n_head", 71),
    keys.named("num_kv_heads/n_head_kv", "attention.kv_heads", Of("attention.heads")),
    Key("bias", "attention.bias", False),
    *before_llama.dense(Of("d_model", times=4), "activation", "gelu", ("bias", False), width="ffn_hidden_size"),
    Key("multi_query", "single", True),
    Key("parallel_attn", "parallel", True),
    Key("alibi", "alibi", False),
)  # fmt: skip


def read(config: Config, model_type: str) -> dict:
    grouped = config.take("new_decoder_architecture", bool, model_type == "RefinedWeb" and config.has("n_head_kv"))
    said = keys.read(config, KEYS)
    part, side = said["attention"], said["parallel"]
    single = said["single"] and not grouped
    if part["heads"] % part["kv_heads"] or not (grouped or single or part["kv_heads"] == part["heads"]):
        raise config.refuse("num_kv_heads", f"{part['heads']} heads do not divide into so many groups here")
    part["kv_heads"] = 1 if single else part["kv_heads"]
    config.expect("ff_factor", said["dense"]["d_ff"] / said["d_model"])
    norms = config.count("num_ln_in_parallel_attn", 2 if grouped else 1, most=2)
    if (norms == 2 or grouped) and not (grouped and side):
        raise config.refuse("new_decoder_architecture", "it goes with parallel_attn, and two norms with it alone")
    rope = rotary.rope(config, said["context"])
    said["position"] = {"kind": "alibi", "scaled": True} if said["alibi"] else rope
    step = {"parts": ["attention", "dense"], "own_norms": True} if norms == 2 else ["attention", "dense"]
    return pieces.model(config, said, [[step] if side else ["attention", "dense"]] * said["depth"])


def write(arch: Architecture) -> dict:
    attention, _ = pieces.made_of(arch, {"attention": Attention, "dense": FeedForward}, Rope | Alibi, pieces.abreast(arch))
    step, alibi = arch.sequence[0][0], arch.position.kind == "alibi"
    grouped = step.own_norms or attention.kv_heads not in (1, attention.heads)
    single, side = attention.kv_heads == 1 and not grouped, len(step.parts) == 2
    written = pieces.write_model(arch, "Falcon", "falcon", KEYS, single=single, parallel=side, alibi=alibi)
    written |= {"new_decoder_architecture": grouped, "num_ln_in_parallel_attn": 1 + step.own_norms if side else None}
    return written | ({} if alibi else rotary.write_rope(arch.position, arch.context))


def sources(arch: Architecture) -> Sources:
    two = arch.sequence[0][0].own_norms
    return before_llama.sources(arch, NAMES(mixer_norm="ln_attn", ff_norm="ln_mlp") if two else NAMES())


def ignored(name: str) -> bool:
    return name.endswith("rotary_emb.inv_freq")
