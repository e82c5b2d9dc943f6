"""RWKV-4 (arXiv:2305.13048). At inference the stream may be halved after every few layers so that fp16 can hold it
(rescale_every). Training knows nothing of it, and the norms undo it but for their epsilon, so it is no part of the architecture."""

import torch
from torch import Tensor

from ...parts.position import NoPosition
from ...parts.rwkv import ChannelMix, TimeMix
from ...spec import Architecture
from ..reading import pieces
from ..reading.config import Config
from ..weights import tensors
from ..weights.checkpoint import Source, Sources
from ..weights.tensors import one

TYPES = ("rwkv",)
ROOTS = ("rwkv.", "head.")


def read(config: Config, model_type: str) -> dict:
    d_model = config.count("hidden_size", 4_096)
    config.expect("layer_norm_epsilon", 1e-5)  # the last norm's is fixed
    if 0 < config.take("rescale_every", int, 6) < 6:
        raise config.refuse(
            "rescale_every", "halved so often, the norms' epsilon would count; give 6 or more, or 0 for never"
        )
    parts = {
        "time_mix": {"kind": "rwkv_time_mix", "width": config.count("attention_hidden_size", d_model)},
        "channel_mix": {"kind": "rwkv_channel_mix", "d_ff": config.count("intermediate_size", 4 * d_model)},
    }
    value = {
        "vocab_size": config.count("vocab_size", 50_277),
        "d_model": d_model,
        "context": config.count("max_position_embeddings", config.count("context_length", 1_024)),
        "tied_embeddings": config.take("tie_word_embeddings", bool, False),
        "embedding": {"norm": True},
        "norm": {"kind": "layer"},
    }
    config.expect("context_length", value["context"])
    blocks = [["time_mix", "channel_mix"]] * config.depth("num_hidden_layers", 32)
    return pieces.assemble(config, value, {"kind": "none"}, parts, blocks)


def write(arch: Architecture) -> dict:
    kinds = {"time_mix": TimeMix, "channel_mix": ChannelMix}
    time_mix, channel_mix = pieces.made_of(arch, kinds, NoPosition, (TimeMix, ChannelMix))
    return {
        "architectures": ["RwkvForCausalLM"], "model_type": "rwkv", "vocab_size": arch.vocab_size, "hidden_size": arch.d_model,
        "num_hidden_layers": arch.depth, "context_length": arch.context, "attention_hidden_size": time_mix.width,
        "intermediate_size": channel_mix.d_ff, "tie_word_embeddings": arch.tied_embeddings,
    } | pieces.write_precision(arch)  # fmt: skip


def sources(arch: Architecture) -> Sources:
    yield one("embedding.weight", "rwkv.embeddings.weight")
    yield from tensors.norm_sources(arch, "embedding_norm", "rwkv.blocks.0.pre_ln")
    yield from tensors.norm_sources(arch, "norm", "rwkv.ln_out")
    yield one("head.weight", "head.weight", *(("rwkv.embeddings.weight",) if arch.tied_embeddings else ()))
    for layer in range(arch.depth):
        at, path = f"rwkv.blocks.{layer}", f"layers.{layer}.time_mix"
        yield from tensors.norm_sources(arch, f"{path}_norm", f"{at}.ln1")
        yield _shift(path, f"{at}.attention", "key", "value", "receptance")
        yield one(f"{path}.average.w", f"{at}.attention.time_decay")
        yield one(f"{path}.average.u", f"{at}.attention.time_first")
        for ours, theirs in (("k", "key"), ("v", "value"), ("receptance", "receptance"), ("o", "output")):
            yield one(f"{path}.{ours}.weight", f"{at}.attention.{theirs}.weight")
        path = f"layers.{layer}.channel_mix"
        yield from tensors.norm_sources(arch, f"{path}_norm", f"{at}.ln2")
        yield _shift(path, f"{at}.feed_forward", "key", "receptance")
        for ours, theirs in (("up", "key"), ("down", "value"), ("receptance", "receptance")):
            yield one(f"{path}.{ours}.weight", f"{at}.feed_forward.{theirs}.weight")


def _shift(path: str, at: str, *names: str) -> tuple[str, list[Source]]:
    """The weights of a token shift: one (1, 1, d_model) for each projection."""

    def rows(*mixes: Tensor) -> Tensor:
        return torch.stack([mix.flatten() for mix in mixes])

    return f"{path}.shift.weight", [Source(tuple(f"{at}.time_mix_{name}" for name in names), rows)]


def ignored(name: str) -> bool:
    return False
