"""RWKV-4 (arXiv:2305.13048). At inference the stream may be halved after every few layers so that fp16 can hold it
(rescale_every). Training knows nothing of it, and the norms undo it but for their epsilon, so it is no part of the architecture."""

import torch
from torch import Tensor

from ...parts.position import NoPosition
from ...parts.rwkv import ChannelMix, TimeMix
from ...spec import Architecture
from ..reading import keys, pieces
from ..reading.config import Config
from ..reading.keys import Always, Key, Of, Only
from ..weights import tensors
from ..weights.checkpoint import Source, Sources
from ..weights.tensors import one

TYPES = ("rwkv",)
ROOTS = ("rwkv.", "head.")


KEYS = (
    *keys.sizes(
        50_277, 4_096, 1_024, 32, names="hidden_size context_length/max_position_embeddings num_hidden_layers", kind="layer", eps_key="",
        eps=1e-5,
    ),
    Always("time_mix", kind="rwkv_time_mix"),
    Key("attention_hidden_size", "time_mix.width", Of("d_model")),
    Always("channel_mix", kind="rwkv_channel_mix"),
    Key("intermediate_size", "channel_mix.d_ff", Of("d_model", times=4)),
    Always("embedding", norm=True),
    Always("position", kind="none"),
    Only("layer_norm_epsilon", 1e-5),  # the last norm's is fixed
)  # fmt: skip


def read(config: Config, model_type: str) -> dict:
    if 0 < config.take("rescale_every", int, 6) < 6:
        raise config.refuse("rescale_every", "halved so often, the norms' epsilon would count; give 6 or more, or 0 for never")
    said = keys.read(config, KEYS)
    return pieces.model(config, said, [["time_mix", "channel_mix"]] * said["depth"])


def write(arch: Architecture) -> dict:
    pieces.made_of(arch, {"time_mix": TimeMix, "channel_mix": ChannelMix}, NoPosition, (TimeMix, ChannelMix))
    return pieces.write_model(arch, "Rwkv", "rwkv", KEYS)


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
