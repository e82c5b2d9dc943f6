"""Gemma 3 (arXiv:2503.19786): five layers in a window to one that sees everything, each kind with a rope of its own."""

from collections.abc import Mapping

from ...parts.position import Rope
from ...spec import Architecture
from ..reading import pieces, rotary
from ..reading.config import Config, text_config
from ..weights.tensors import ignored as ignored
from ..weights.tensors import llama_sources as sources  # noqa: F401
from .gemma2 import KINDS, gemma, gemma_attention, gemma_dense, window, write_gemma

TYPES = ("gemma3_text", "gemma3")  # gemma3 wraps the text model and one that sees images


def read(config: Config, model_type: str) -> dict:
    if model_type == "gemma3":
        text = text_config(config, "gemma3_text", tie=config.take("tie_word_embeddings", bool, True))
        value = read(text, "gemma3_text")
        text.finish(value)
        return value
    value = gemma(config, vocab_size=262_208, context=131_072, softcap=None)
    attention = gemma_attention(config, value["d_model"]) | {"qk_norm": {}}
    config.ignore("_sliding_window_pattern")  # what layer_types were made from
    config.ignore("attn_logit_softcapping")  # Gemma 2's, which nothing reads here
    depth, every = config.depth("num_hidden_layers", 26), config.count("sliding_window_pattern", 6)
    usual = ["sliding_attention" if (layer + 1) % every else "full_attention" for layer in range(depth)]
    types = pieces.layer_types(config, depth, usual, *KINDS)
    without_null_ropes(config)
    near, far = rotary.ropes(config, value["context"], 1e6, config.take("rope_local_base_freq", float, 1e4))
    position = far if "full_attention" in types else near
    mixers, order = pieces.windowed(
        types, attention, window(config, types), {} if near == position else {"position": near}
    )
    parts = mixers | {"dense": gemma_dense(config)}
    return pieces.assemble(config, value, position, parts, [[name, "dense"] for name in order])


def without_null_ropes(config: Config) -> None:
    """Here a kind of layer whose rope is null has the usual one."""
    ropes = config.raw.get("rope_parameters")
    if isinstance(ropes, Mapping):
        said = {kind: rope for kind, rope in ropes.items() if rope is not None}
        config.raw = {**config.raw, "rope_parameters": said}


def write(arch: Architecture) -> dict:
    far = arch.position
    near = next((part.position for part in arch.parts.values() if getattr(part, "position", None)), arch.position)
    named = {"architectures": ["Gemma3ForCausalLM"], "model_type": "gemma3_text"} | write_gemma(arch)
    older = isinstance(near, Rope) and near.scaling is None
    ropes = (
        {"rope_local_base_freq": near.base} | rotary.write_rope(far, arch.context)
        if older
        else rotary.write_ropes(near, far, arch.context)
    )
    return named | ropes
