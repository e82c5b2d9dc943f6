"""GPT-NeoX Japanese: one part after the other, no biases but on the last layer's attention."""

from ...parts.attention import Attention
from ...parts.feedforward import FeedForward
from ...spec import Architecture
from ..reading import keys, pieces
from ..reading.config import Config
from ..weights.checkpoint import Source, Sources
from . import before_llama

TYPES = ("gpt_neox_japanese",)
ROOTS = ("gpt_neox_japanese.", "embed_out.")
NAMES = before_llama.Names(
    embedding="gpt_neox_japanese.embed_in", layer="gpt_neox_japanese.layers.{}", norm="gpt_neox_japanese.final_layer_norm",
    head="embed_out", qkv="attention.query_key_value", split=before_llama.by_group, o="attention.dense", up="mlp.dense_h_to_4h",
    down="mlp.dense_4h_to_h",
)  # fmt: skip


KEYS = (
    *keys.sizes(32_000, 2_560, 2_048, 32, tied=True, kind="layer", eps=1e-5, eps_key="layer_norm_eps"),
    *before_llama.heads("num_attention_heads", 32),
    *before_llama.dense(4, "hidden_act", "gelu", False, width="intermediate_multiple_size"),
    before_llama.Rotary(1.0),
)


def read(config: Config, model_type: str) -> dict:
    said = keys.read(config, KEYS)
    said["dense"]["d_ff"] *= said["d_model"]
    said["last"] = said["attention"] | {"out_bias": True}
    return pieces.model(config, said, [["attention", "dense"]] * (said["depth"] - 1) + [["last", "dense"]])


def write(arch: Architecture) -> dict:
    kinds = {"last": Attention, "dense": FeedForward, "attention": Attention | None}
    attention, dense, _ = pieces.made_of(arch, kinds)
    written = pieces.write_model(arch, "GPTNeoXJapanese", "gpt_neox_japanese", KEYS, attention=attention)
    return written | {"intermediate_multiple_size": dense.d_ff // arch.d_model}


def sources(arch: Architecture) -> Sources:
    for path, ways in before_llama.sources(arch, NAMES):
        yield path, [Source(tuple(n.replace("dense.bias", "dense_bias") for n in way.names), way.make) for way in ways]


def ignored(name: str) -> bool:
    return name.endswith("rotary_emb.inv_freq")
