"""Phi-1 to Phi-2 (arXiv:2306.11644) and Persimmon (Adept 2023): LayerNorm, biases, part of each head turning; Phi's attention and
feed-forward stand side by side behind one norm."""

from ...parts.attention import Attention
from ...parts.feedforward import FeedForward
from ...spec import Architecture
from ..reading import keys, pieces
from ..reading.config import Config
from ..reading.keys import Again, Always, Entry, Has, Key, Keys, Of, Rule
from ..reading.rotary import Turning
from ..weights.checkpoint import Sources
from . import before_llama

TYPES = ("phi", "persimmon")
PHI = before_llama.Names(
    embedding="model.embed_tokens", layer="model.layers.{}", norm="model.final_layernorm", up="mlp.fc1", down="mlp.fc2",
    qkv=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"), o="self_attn.dense",
    qk_norm=("self_attn.q_layernorm", "self_attn.k_layernorm"),
)  # fmt: skip
PERSIMMON = before_llama.Names(
    embedding="model.embed_tokens", layer="model.layers.{}", norm="model.final_layernorm", up="mlp.dense_h_to_4h",
    down="mlp.dense_4h_to_h", qkv="self_attn.query_key_value", split=before_llama.by_group, o="self_attn.dense",
    qk_norm=("self_attn.q_layernorm", "self_attn.k_layernorm"),
)  # fmt: skip


def _base_again(config: Config, said: dict) -> None:
    config.expect("rotary_emb_base", config.raw.get("rope_theta"))


def _keys(d_model: int, heads: int, d_ff: int, depth: int, vocab_size: int, context: int, act: str, norms: bool, *own: Entry) -> Keys:
    return (
        *keys.sizes(vocab_size, d_model, context, depth, kind="layer", eps=1e-5, eps_key="layer_norm_eps"),
        *before_llama.heads("num_attention_heads", heads, bias=True),
        Has("qk_layernorm", "attention.qk_norm", norms, on={}),
        *before_llama.dense(d_ff, "hidden_act", act),
        Turning(fraction=0.5),
        *own,
    )


KEYS = {
    "phi": _keys(
        2_048, 32, 8_192, 24, 51_200, 2_048, "gelu_new", False,
        Key("num_key_value_heads", "attention.kv_heads", Of("attention.heads")), Always("head", bias=True),
    ),
    "persimmon": _keys(
        4_096, 64, 16_384, 36, 262_144, 16_384, "relu2", True,
        Again("num_key_value_heads", "attention.heads"), Rule(_base_again),
    ),
}  # fmt: skip


def read(config: Config, model_type: str) -> dict:
    said = keys.read(config, KEYS[model_type])
    block = [["attention", "dense"]] if model_type == "phi" else ["attention", "dense"]
    return pieces.model(config, said, [block] * said["depth"])


def write(arch: Architecture) -> dict:
    pieces.made_of(arch, {"attention": Attention, "dense": FeedForward}, layer=pieces.abreast(arch))
    name, model_type = ("Phi", "phi") if len(arch.sequence[0]) == 1 else ("Persimmon", "persimmon")
    return pieces.write_model(arch, name, model_type, KEYS[model_type])


def sources(arch: Architecture) -> Sources:
    return before_llama.sources(arch, PHI if len(arch.sequence[0]) == 1 else PERSIMMON)


def ignored(name: str) -> bool:
    return name.endswith("rotary_emb.inv_freq")
