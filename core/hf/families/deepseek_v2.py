"""DeepSeek-V2 (arXiv:2405.04434): latent attention, softmax routing that may be limited to some groups of experts."""

from ...parts.latent import LatentAttention
from ...spec import Architecture
from ..reading import keys, pieces
from ..reading.config import Config
from ..reading.keys import Groups, Key, Unread
from . import deepseek_v3 as v3

TYPES = ("deepseek_v2",)
sources, ignored = v3.sources, v3.ignored


KEYS = (
    *keys.sizes(102_400, 4_096, 2_048, 32),
    *v3.latent(32),
    *keys.feed_forward(11_008),
    *keys.experts(64, ..., 1_407, names="n_routed_experts/num_experts"),
    keys.shared(2),
    Key("routed_scaling_factor", "moe.router.scale", 1.0),
    v3.LatentTurning(interleaved=True),
    Key("first_k_dense_replace", "leading", 0, least=0),
    Key("mlp_bias", "biased", False),
    *keys.only(moe_layer_freq=1, scoring_func="softmax"),
    Unread("norm_topk_prob ep_size"),  # chosen weights are never renormalised, whatever is said
)


def read(config: Config, model_type: str) -> dict:
    said = keys.read(config, KEYS)
    groups(config, said)
    if said["biased"]:
        if "shared" not in said["moe"]:
            raise config.refuse("mlp_bias", "its class would keep a bias of shared experts that there are none of")
        said["dense"]["bias"] = said["moe"]["shared"]["bias"] = True
    return v3.leading_dense(config, said)


def groups(config: Config, said: dict) -> None:
    """Whether a token's experts are of a few groups, as topk_method says."""
    method = config.take("topk_method", str, "greedy", null="")
    if method == "group_limited_greedy":
        keys.read(config, (Groups(..., ..., "max"),), said)
    elif method == "greedy":
        config.ignore("n_group", "topk_group")
    else:
        raise config.refuse("topk_method", "only 'greedy' and 'group_limited_greedy' are supported")


def write_groups(arch: Architecture) -> dict:
    written = keys.write(arch, (Groups(..., ...),))
    return written | {"topk_method": "group_limited_greedy" if written.get("n_group", 1) > 1 else "greedy"}


def write(arch: Architecture) -> dict:
    pieces.made_of(arch, {"attention": LatentAttention} | pieces.FEEDS)
    written = {"num_experts_per_tok": 1}  # asked for even where no layer has experts
    written |= pieces.write_model(arch, "DeepseekV2", "deepseek_v2", KEYS, leading=pieces.first_routed(arch), biased=biased(arch))
    return written | write_groups(arch) | {"norm_topk_prob": False, "scoring_func": "softmax"}


def biased(arch: Architecture) -> bool:
    dense, moe = arch.parts.get("dense"), arch.parts.get("moe")
    return dense.bias if dense else bool(moe.shared and moe.shared.bias)
