"""Gemma 2 (arXiv:2408.00118): norms before and after each part, every other layer in a window, capped scores and logits;
and VaultGemma (arXiv:2510.15001), which has the norms before alone."""

from collections.abc import Iterator
from typing import Any

from ...parts.feedforward import FeedForward
from ...spec import Architecture
from ..reading import keys, pieces
from ..reading.config import Config
from ..reading.keys import Always, Entry, Key, Keys, Unread, Writing
from ..reading.rotary import Turning
from ..weights import tensors
from ..weights.checkpoint import Sources
from ..weights.tensors import ignored as ignored

TYPES = ("gemma2", "vaultgemma")
KINDS = ("full_attention", "sliding_attention")


class Scalar(Entry):
    """query_pre_attn_scalar, by whose root scores are divided in place of the head's width."""

    def read(self, config: Config, said: dict) -> None:
        scale = config.positive("query_pre_attn_scalar", 256.0) ** -0.5
        if scale != said["attention"]["head_dim"] ** -0.5:
            keys.put(said, "attention.scores.scale", scale)

    def write(self, of: Writing) -> dict:
        return {"query_pre_attn_scalar": round(pieces.write_scalar(of.parts["attention"]))}

    def rows(self) -> Iterator[tuple[str, str, str]]:
        yield "query_pre_attn_scalar", "attention.scores.scale ** -2", "256"


def gemma(vocab_size: int, context: int, softcap: float | None, *own: Entry, **always: Any) -> Keys:
    """What Gemma 2 and 3 share: sizes, the scaled embedding, norms stored as their distance from one, a cap on the logits."""
    return (
        *keys.sizes(vocab_size, 2_304, context, 26, tied=True, unit_offset=True),
        *keys.attention(8, 4, 256, **always),
        Scalar(),
        *own,
        *keys.feed_forward(9_216, "hidden_activation", "gelu_pytorch_tanh"),
        Always("embedding", scale="sqrt_d_model"),
        Always("residual", norm="sandwich"),
        Key("final_logit_softcapping", "head.softcap", softcap, float, null=None),
        *keys.only(use_bidirectional_attention=False),
        Unread("hidden_act"),  # an older name, which nothing reads
    )


KEYS = gemma(
    256_000, 8_192, 30.0, Key("attn_logit_softcapping", "attention.scores.softcap", 50.0, null=None), Turning(),
    Unread("sliding_window_size"),  # an older name, which nothing reads
)  # fmt: skip


def read(config: Config, model_type: str) -> dict:
    said = keys.read(config, KEYS)
    if model_type == "vaultgemma":
        del said["residual"]
    usual = ["full_attention" if layer % 2 else "sliding_attention" for layer in range(said["depth"])]
    types = pieces.layer_types(config, said["depth"], usual, *KINDS)
    mixers, order = pieces.windowed(types, said.pop("attention"), window(config, types))
    return pieces.model(config, said | mixers, [[name, "dense"] for name in order])


def write(arch: Architecture) -> dict:
    name, kind = ("Gemma2", "gemma2") if arch.residual.norm == "sandwich" else ("VaultGemma", "vaultgemma")
    return write_gemma(arch, name, kind, KEYS)


def sources(arch: Architecture) -> Sources:
    vault = {} if arch.residual.norm == "sandwich" else {"post_attention_layernorm": "pre_feedforward_layernorm"}
    return tensors.renamed(tensors.llama_sources(arch), **vault)


def window(config: Config, types: list[str], usual: int = 4_096) -> int | None:
    length = config.count("sliding_window", usual, null=None)
    if length is None and "sliding_attention" in types:
        raise config.refuse("sliding_window", "some layers are of sliding_attention")
    return length


def write_gemma(arch: Architecture, name: str, model_type: str, entries: Keys) -> dict:
    pieces.made_of(arch, pieces.WINDOWED | {"dense": FeedForward})
    written = pieces.write_model(arch, name, model_type, entries, attention=pieces.mixers(arch)[0])
    return written | {"sliding_window": pieces.window(arch) or 4_096, "layer_types": pieces.write_layer_types(arch)}
