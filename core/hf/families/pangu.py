"""Pangu Pro MoE (arXiv:2505.21411): experts stand in eight groups, one to a device, and each token takes the best of every group; a
learned number of each expert's multiplies its weight. Its class came with its weights; openPangu's later one is another's."""

from ...parts.attention import Attention
from ...parts.experts import Experts
from ...parts.feedforward import FeedForward
from ...spec import Architecture
from ..reading import pieces, rotary
from ..reading.config import Config
from ..weights import tensors
from ..weights.checkpoint import Sources
from ..weights.tensors import ignored as ignored

TYPES = ("PanguProMoE",)
GROUPS = 8


def read(config: Config, model_type: str) -> dict:
    value = pieces.sizes(config, vocab_size=153_376, d_model=5_120, context=131_072, tied=False, eps=1e-5)
    attention = pieces.attention(config, value["d_model"], biased=None, heads=40, kv_heads=8) | {"bias": True}
    config.expect("head_dim", value["d_model"] // attention["heads"])
    depth = config.depth("num_hidden_layers", 48)
    plain = set(config.listing("mlp_only_layers", int, [], most=depth))
    parts = {
        "attention": attention,
        "moe": {
            "kind": "experts", "count": config.count("num_experts", 64), "top_k": config.count("num_experts_per_tok", 8),
            "d_ff": config.count("moe_intermediate_size", 1_344),
            "router": {"groups": GROUPS, "top_groups": GROUPS, "each_group": True, "expert_scale": True},
        },
    }  # fmt: skip
    config.expect("num_experts_per_tok", GROUPS)
    shared = config.count("shared_expert_intermediate_size", 5_376, least=0)
    if shared:
        parts["moe"]["shared"] = {"d_ff": shared}
    if plain:
        parts["dense"] = pieces.dense(config, ...)
    config.expect("hidden_act", "silu")
    config.ignore("intermediate_size")  # of layers that have no experts
    blocks = [["attention", "dense" if layer in plain else "moe"] for layer in range(depth)]
    return pieces.assemble(config, value, rotary.rope(config, value["context"], theta=1.6e7), parts, blocks)


def write(arch: Architecture) -> dict:
    kinds = {"attention": Attention, "moe": Experts, "dense": FeedForward | None}
    attention, moe, dense = pieces.made_of(arch, kinds)
    return (
        {"architectures": ["PanguProMoEForCausalLM"], "model_type": "PanguProMoE"}
        | pieces.write_sizes(arch)
        | {"num_attention_heads": attention.heads, "num_key_value_heads": attention.kv_heads}
        | {"num_experts": moe.count, "num_experts_per_tok": moe.top_k, "moe_intermediate_size": moe.d_ff}
        | {"shared_expert_intermediate_size": moe.shared.d_ff if moe.shared else 0}
        | {"mlp_only_layers": [layer for layer, block in enumerate(arch.sequence) if block[1].parts[0] == "dense"]}
        | (pieces.write_dense(dense) if dense else {})
        | rotary.write_rope(arch.position, arch.context)
        | pieces.write_precision(arch)
    )


def sources(arch: Architecture) -> Sources:
    def ff(path, at, part):
        if part.kind != "experts":
            yield from tensors.dense_sources(path, f"{at}.mlp", part)
            return
        yield from tensors.experts_sources(path, f"{at}.mlp", part, shared="shared_expert")
        yield tensors.one(f"{path}.router.expert_scale", f"{at}.mlp.router_scale", make=lambda scale: scale.flatten())

    return tensors.llama_sources(arch, ff=ff)
