"""Pangu Pro MoE (arXiv:2505.21411): experts stand in eight groups, one to a device, and each token takes the best of every group; a
learned number of each expert's multiplies its weight. Its class came with its weights; openPangu's later one is another's."""

from ...parts.attention import Attention
from ...parts.experts import Experts
from ...parts.feedforward import FeedForward
from ...spec import Architecture
from ..reading import keys, pieces
from ..reading.config import Config
from ..reading.keys import Always, Key, Of, Only
from ..reading.rotary import Turning
from ..weights import tensors
from ..weights.checkpoint import Sources
from ..weights.tensors import ignored as ignored

TYPES = ("PanguProMoE",)
GROUPS = 8


KEYS = (
    *keys.sizes(153_376, 5_120, 131_072, 48, eps=1e-5),
    Always("attention", kind="attention", bias=True),
    Key("num_attention_heads", "attention.heads", 40),
    Key("num_key_value_heads", "attention.kv_heads", 8, null=Of("attention.heads")),
    *keys.experts(
        64, 8, 1_344, names="num_experts", act="",
        router={"groups": GROUPS, "top_groups": GROUPS, "each_group": True, "expert_scale": True},
    ),
    Only("num_experts_per_tok", GROUPS),
    Key("shared_expert_intermediate_size", "moe.shared.d_ff", 5_376, none=0, least=0),
    Turning(1.6e7),
)  # fmt: skip
DENSE = keys.feed_forward(...)


def read(config: Config, model_type: str) -> dict:
    said = keys.read(config, KEYS)
    part, depth = said["attention"], said["depth"]
    part["head_dim"] = config.count("head_dim", said["d_model"] // part["heads"], null=None) or said["d_model"] // part["heads"]
    config.expect("head_dim", said["d_model"] // part["heads"])
    plain = set(config.listing("mlp_only_layers", int, [], most=depth))
    if plain:
        keys.read(config, DENSE, said)
    config.expect("hidden_act", "silu")
    config.ignore("intermediate_size")  # of layers that have no experts
    return pieces.model(config, said, [["attention", "dense" if layer in plain else "moe"] for layer in range(depth)])


def write(arch: Architecture) -> dict:
    pieces.made_of(arch, {"attention": Attention, "moe": Experts, "dense": FeedForward | None})
    plain = [layer for layer, block in enumerate(arch.sequence) if block[1].parts[0] == "dense"]
    return pieces.write_model(arch, "PanguProMoE", "PanguProMoE", KEYS + DENSE) | {"mlp_only_layers": plain}


def sources(arch: Architecture) -> Sources:
    def ff(path, at, part):
        if part.kind != "experts":
            yield from tensors.dense_sources(path, f"{at}.mlp", part)
            return
        yield from tensors.experts_sources(path, f"{at}.mlp", part, shared="shared_expert")
        yield tensors.one(f"{path}.router.expert_scale", f"{at}.mlp.router_scale", make=lambda scale: scale.flatten())

    return tensors.llama_sources(arch, ff=ff)
