"""Gemma 3 (arXiv:2503.19786): five layers in a window to one that sees everything, each kind with a rope of its own."""

from collections.abc import Mapping

from ...parts.position import Rope
from ...spec import Architecture
from ..reading import keys, pieces, rotary
from ..reading.config import Config, wrapped
from ..reading.keys import Unread
from ..weights.tensors import ignored as ignored
from ..weights.tensors import llama_sources as sources  # noqa: F401
from .gemma2 import KINDS, gemma, window, write_gemma

TYPES = ("gemma3_text", "gemma3")  # gemma3 wraps the text model and one that sees images


KEYS = gemma(
    262_208, 131_072, None,
    Unread("attn_logit_softcapping", written="attention.scores.softcap"),  # Gemma 2's, which nothing reads here
    Unread("_sliding_window_pattern"),  # what layer_types were made from
    qk_norm={},
)  # fmt: skip


def read(config: Config, model_type: str) -> dict:
    if model_type == "gemma3":
        return wrapped(config, read, "gemma3_text", tie=config.take("tie_word_embeddings", bool, True))
    said = keys.read(config, KEYS)
    depth, attention, every = said["depth"], said.pop("attention"), config.count("sliding_window_pattern", 6)
    usual = ["sliding_attention" if (layer + 1) % every else "full_attention" for layer in range(depth)]
    types = pieces.layer_types(config, depth, usual, *KINDS)
    without_null_ropes(config)
    near, far = rotary.ropes(config, said["context"], 1e6, config.take("rope_local_base_freq", float, 1e4))
    said["position"] = position = far if "full_attention" in types else near
    mixers, order = pieces.windowed(types, attention, window(config, types), {} if near == position else {"position": near})
    return pieces.model(config, said | mixers, [[name, "dense"] for name in order])


def without_null_ropes(config: Config) -> None:
    """Here a kind of layer whose rope is null has the usual one."""
    ropes = config.raw.get("rope_parameters")
    if isinstance(ropes, Mapping):
        said = {kind: rope for kind, rope in ropes.items() if rope is not None}
        config.raw = {**config.raw, "rope_parameters": said}


def write(arch: Architecture) -> dict:
    far = arch.position
    near = next((part.position for part in arch.parts.values() if getattr(part, "position", None)), arch.position)
    named = write_gemma(arch, "Gemma3", "gemma3_text", KEYS)
    older = isinstance(near, Rope) and near.scaling is None
    ropes = (
        {"rope_local_base_freq": near.base} | rotary.write_rope(far, arch.context) if older else rotary.write_ropes(near, far, arch.context)
    )
    return named | ropes
