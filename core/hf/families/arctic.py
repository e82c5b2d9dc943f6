"""Snowflake Arctic (2024): in every layer a dense network follows attention while the experts read what attention reads, so that
their traffic hides behind both. Its class came with its weights."""

from ...parts.attention import Attention
from ...parts.experts import Experts
from ...parts.feedforward import FeedForward
from ...spec import Architecture
from ..reading import pieces, rotary
from ..reading.config import Config
from ..weights import tensors
from ..weights.checkpoint import Sources
from ..weights.tensors import ignored as ignored

TYPES = ("arctic",)
BESIDE = {"parts": ["attention", "moe"], "own_norms": True, "shortcut": {"moe": 1}}  # they join after the dense network


def read(config: Config, model_type: str) -> dict:
    value = pieces.sizes(config, vocab_size=32_000, d_model=4_096, context=4_096, tied=False, eps=1e-5)
    d_ff, depth = config.count("intermediate_size", 14_336), config.depth("num_hidden_layers", 32)
    every = config.count("moe_layer_frequency", 2)
    beside = config.take("parallel_attn_mlp_res", bool, False)
    config.expect("use_residual", beside)
    config.expect("sliding_window", None)
    config.expect("hidden_act", "silu")
    config.ignore("moe_train_capacity_factor", "moe_eval_capacity_factor", "moe_min_capacity", "moe_token_dropping")
    config.ignore("enable_expert_tensor_parallelism", "enc_index")
    attention = pieces.attention(config, value["d_model"], heads=32)
    config.expect("head_dim", value["d_model"] // attention["heads"])
    top_k = config.count("num_experts_per_tok", 1)
    parts = {
        "attention": attention,
        "dense": {"kind": "feed_forward", "d_ff": value["d_model"]},
        "wide": {"kind": "feed_forward", "d_ff": d_ff},
        "moe": {
            "kind": "experts", "count": config.count("num_local_experts", 8), "top_k": top_k, "d_ff": d_ff,
            "router": {"over": "chosen"} if top_k > 1 else {},
        },
    }  # fmt: skip
    blocks = [
        ["attention", "wide"] if (layer + 1) % every else [BESIDE, "dense"] if beside else ["attention", "moe"]
        for layer in range(depth)
    ]
    return pieces.assemble(config, value, rotary.rope(config, value["context"], theta=1e6), parts, blocks)


def write(arch: Architecture) -> dict:
    kinds = {"attention": Attention, "moe": Experts, "dense": FeedForward | None, "wide": FeedForward | None}
    attention, moe, *_ = pieces.made_of(arch, kinds, layer=())
    routed = [n for n, block in enumerate(arch.sequence, start=1) if any("moe" in step.parts for step in block)]
    beside = any(step.shortcut for block in arch.sequence for step in block)
    return (
        {"architectures": ["ArcticForCausalLM"], "model_type": "arctic", "parallel_attn_mlp_res": beside, "use_residual": beside}
        | pieces.write_sizes(arch)
        | {key: said for key, said in pieces.write_heads(attention).items() if key != "head_dim"}
        | {"intermediate_size": moe.d_ff, "num_local_experts": moe.count, "num_experts_per_tok": moe.top_k}
        | {"attention_bias": attention.bias, "moe_layer_frequency": (*routed, arch.depth + 1)[0]}
        | rotary.write_rope(arch.position, arch.context)
        | pieces.write_precision(arch)
    )  # fmt: skip


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
