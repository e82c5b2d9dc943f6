"""RWKV-7 (arXiv:2503.14456) as flash-linear-attention keeps it. Layers of attention between the recurrent ones are refused."""

import torch
from torch import Tensor

from ...parts.position import NoPosition
from ...parts.rwkv7 import GooseChannelMix, GooseTimeMix
from ...spec import Architecture
from ..reading import keys, pieces
from ..reading.config import Config
from ..reading.keys import Always, Key, Only, Unread
from ..weights import tensors
from ..weights.checkpoint import Source, Sources
from ..weights.tensors import one

TYPES = ("rwkv7",)
# A low rank where none is given: this many times the root of the width, in whole 32s; all but the gate's grow with the head.
RANKS = {"decay": ("decay", 2.5), "rate": ("a", 2.5), "gate": ("gate", 5.0), "value": ("v", 1.7)}
SHIFTS = "rwkvag"  # what the token's mixes with the one before are for, in our order


KEYS = (
    *keys.sizes(32_000, 2_048, 2_048, 24, eps=1e-5, eps_key="norm_eps", kind="layer"),
    Key("norm_bias", "norm.bias", True),
    Key("norm_first", "embedding.norm", True),
    Always("position", kind="none"),
    Only("hidden_act", "sqrelu", written=True),
    Unread("attn_mode fuse_norm fuse_cross_entropy fuse_linear_cross_entropy use_l2warp"),  # how it is computed, not what
)


def read(config: Config, model_type: str) -> dict:
    said = keys.read(config, KEYS)
    if config.has("attn"):
        raise config.refuse("attn", "layers of attention among the recurrent ones are not read")
    d_model, depth = said["d_model"], said["depth"]
    head_dim, heads = _heads(config, d_model)
    config.expect("value_dim", d_model, [d_model] * depth)
    ratio = config.take("hidden_ratio", float, 4.0)
    if not 0 < ratio < 1e4:
        raise config.refuse("hidden_ratio", "give a number above 0")
    d_ff = config.count("intermediate_size", 32 * ((int(d_model * ratio) + 31) // 32))
    ranks = {f"{name}_rank": _rank(config, *rule, d_model, head_dim) for name, rule in RANKS.items()}
    said["time_mix"] = {"kind": "rwkv7_time_mix", "heads": heads, "head_dim": head_dim, "value_from": "first"} | ranks
    said["first"] = {key: value for key, value in said["time_mix"].items() if not key.startswith("value_")}
    said["channel_mix"] = {"kind": "rwkv7_channel_mix", "d_ff": d_ff}
    blocks = [["first", "channel_mix"], *[["time_mix", "channel_mix"]] * (depth - 1)]
    return pieces.model(config, said, blocks)


def _heads(config: Config, d_model: int) -> tuple[int, int]:
    """Channels of a head and how many heads, of which one says the other; the channels go first."""
    if config.take("head_dim", int, 64, null=None) is None:
        heads = config.count("num_heads")
        if d_model % heads:
            raise config.refuse("num_heads", f"{d_model:,} channels do not divide into so many heads")
        return d_model // heads, heads
    head_dim = config.count("head_dim", 64)
    if d_model % head_dim:
        raise config.refuse("head_dim", f"{d_model:,} channels do not divide into such heads")
    config.expect("num_heads", None, d_model // head_dim)
    return head_dim, d_model // head_dim


def _rank(config: Config, name: str, times: float, d_model: int, head_dim: int) -> int:
    """A low rank: what is given, or where it is null what the class makes of the widths. Classes differ in what absence means."""
    grows = 1 if name == "gate" else head_dim / 64
    made = max(32, round(times * d_model**0.5 * grows / 32) * 32)
    key = f"{name}_low_rank_dim"
    return config.count(key, null=made)


def write(arch: Architecture) -> dict:
    kinds = {"first": GooseTimeMix, "time_mix": GooseTimeMix | None, "channel_mix": GooseChannelMix}
    mix, later, ff = pieces.made_of(arch, kinds, NoPosition, (GooseTimeMix, GooseChannelMix))
    ranks = {"decay": mix.decay_rank, "a": mix.rate_rank, "gate": mix.gate_rank, "v": (later or mix).value_rank}
    return pieces.write_model(arch, "RWKV7", "rwkv7", KEYS) | {
        "head_dim": mix.head_dim, "intermediate_size": ff.d_ff, "attn": None,
        **{f"{name}_low_rank_dim": rank for name, rank in ranks.items()},
    }  # fmt: skip


def sources(arch: Architecture) -> Sources:
    yield one("embedding.weight", "model.embeddings.weight")
    if arch.embedding.norm:
        yield from tensors.norm_sources(arch, "embedding_norm", "model.layers.0.pre_norm")
    yield from tensors.norm_sources(arch, "norm", "model.norm")
    yield one("head.weight", "lm_head.weight", *(("model.embeddings.weight",) if arch.tied_embeddings else ()))
    for layer, block in enumerate(arch.sequence):
        name = block[0].parts[0]
        at, path = f"model.layers.{layer}.attn", f"layers.{layer}.{name}"
        yield from tensors.norm_sources(arch, f"{path}_norm", f"model.layers.{layer}.attn_norm")
        mixes = tuple(f"{at}.x_{mix}" for mix in SHIFTS)
        yield (f"{path}.shift.weight", [Source(mixes, _rows), Source((f"{at}.x_x",), lambda x: x.reshape(len(SHIFTS), -1))])
        for ours, theirs in (("receptance", "r"), ("k", "k"), ("v", "v"), ("o", "o")):
            yield one(f"{path}.{ours}.weight", f"{at}.{theirs}_proj.weight")
        for ours, theirs in (("decay", "w"), ("rate", "a"), ("gate", "g"), ("value_weight", "v")):
            if ours == "value_weight" and not arch.part(name).value_rank:
                continue
            yield one(f"{path}.{ours}.down.weight", f"{at}.{theirs}_lora.lora.0.weight")
            yield one(f"{path}.{ours}.up.weight", f"{at}.{theirs}_lora.lora.2.weight")
            if ours != "gate":
                yield one(f"{path}.{ours}.up.bias", f"{at}.{theirs}_lora.lora.2.bias")
        heads = (arch.part(name).heads, -1)
        for ours, theirs in (
            ("rule.remove", "k_k"), ("rule.write", "k_a"), ("rule.bonus", "r_k"), ("out_norm.weight", "g_norm.weight"),
            ("out_norm.bias", "g_norm.bias"),
        ):  # fmt: skip
            yield one(f"{path}.{ours}", f"{at}.{theirs}", make=lambda w, heads=heads: w.reshape(heads))
        at, path = f"model.layers.{layer}.ffn", f"layers.{layer}.channel_mix"
        yield from tensors.norm_sources(arch, f"{path}_norm", f"model.layers.{layer}.ffn_norm")
        yield one(f"{path}.shift.weight", f"{at}.x_k", make=lambda x: x.reshape(1, -1))
        yield one(f"{path}.up.weight", f"{at}.key.weight")
        yield one(f"{path}.down.weight", f"{at}.value.weight")


def _rows(*mixes: Tensor) -> Tensor:
    """One (1, 1, d_model) for each of what the token is mixed for."""
    return torch.stack([mix.flatten() for mix in mixes])


def ignored(name: str) -> bool:
    return False
