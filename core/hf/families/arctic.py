"""Snowflake Arctic (2024): in every layer a dense network follows attention while the experts read what attention reads, so that
their traffic hides behind both. Its class came with its weights."""

from ...parts.attention import Attention
from ...parts.experts import Experts
from ...parts.feedforward import FeedForward
from ...spec import Architecture
from ..reading import keys, pieces
from ..reading.config import Config
from ..reading.keys import Key, Unread
from ..reading.rotary import Turning
from ..weights import tensors
from ..weights.checkpoint import Sources
from ..weights.tensors import ignored as ignored

TYPES = ("arctic",)
BESIDE = {"parts": ["attention", "moe"], "own_norms": True, "shortcut": {"moe": 1}}  # they join after the dense network


KEYS = (
    *keys.sizes(32_000, 4_096, 4_096, 32, eps=1e-5),
    *keys.attention(32),
    *keys.experts(8, 1, 14_336, names="num_local_experts", width="intermediate_size", act=""),
    Key("parallel_attn_mlp_res", "beside", False),
    Key("moe_layer_frequency", "every", 2),
    Turning(1e6),
    *keys.only(sliding_window=None, hidden_act="silu"),
    Unread("moe_train_capacity_factor moe_eval_capacity_factor moe_min_capacity moe_token_dropping"),
    Unread("enable_expert_tensor_parallelism enc_index"),
)


def read(config: Config, model_type: str) -> dict:
    said = keys.read(config, KEYS)
    every, beside, moe = said["every"], said["beside"], said["moe"]
    config.expect("use_residual", beside)
    config.expect("head_dim", said["d_model"] // said["attention"]["heads"])
    moe["router"] = {"over": "chosen"} if moe["top_k"] > 1 else {}
    said |= {name: {"kind": "feed_forward", "d_ff": d} for name, d in (("dense", said["d_model"]), ("wide", moe["d_ff"]))}
    blocks = [
        ["attention", "wide"] if (layer + 1) % every else [BESIDE, "dense"] if beside else ["attention", "moe"]
        for layer in range(said["depth"])
    ]
    return pieces.model(config, said, blocks)


def write(arch: Architecture) -> dict:
    kinds = {"attention": Attention, "moe": Experts, "dense": FeedForward | None, "wide": FeedForward | None}
    pieces.made_of(arch, kinds, layer=())
    routed = [n for n, block in enumerate(arch.sequence, start=1) if any("moe" in step.parts for step in block)]
    beside = any(step.shortcut for block in arch.sequence for step in block)
    written = pieces.write_model(arch, "Arctic", "arctic", KEYS, beside=beside, every=(*routed, arch.depth + 1)[0])
    del written["head_dim"]
    return written | {"use_residual": beside}


def sources(arch: Architecture) -> Sources:
    """llama's names for attention and what surrounds it; the experts' norm is the second of a layer, the dense network's a third."""

    def ff(path, at, part):
        if part.kind == "experts":
            yield from tensors.experts_sources(path, f"{at}.block_sparse_moe", part, names=("w1", "w3", "w2"))
            return
        own = "block_sparse_moe.mlp" if path.endswith("wide") else "residual_mlp"
        for ours, theirs in {"gate": "w1", "up": "w3", "down": "w2"}.items():
            yield tensors.one(f"{path}.{ours}.weight", f"{at}.{own}.{theirs}.weight")

    for path, ways in tensors.llama_sources(arch, ff=ff):
        if path.endswith(".dense_norm.weight"):
            layer = path.split(".")[1]
            yield f"layers.{layer}.moe_norm.weight", ways
            yield tensors.one(path, f"model.layers.{layer}.residual_layernorm.weight")
        else:
            yield path, ways
