"""DeepSeek-V2 (arXiv:2405.04434): latent attention, softmax routing that may be limited to some groups of experts."""

from ...parts.latent import LatentAttention
from ...spec import Architecture
from ..reading import pieces, rotary
from ..reading.config import Config
from . import deepseek_v3 as v3

TYPES = ("deepseek_v2",)
sources, ignored = v3.sources, v3.ignored


def read(config: Config, model_type: str) -> dict:
    value = pieces.sizes(config, vocab_size=102_400, d_model=4_096, context=2_048, tied=False, eps=1e-6)
    config.expect("moe_layer_freq", 1)
    config.ignore("norm_topk_prob", "ep_size")  # chosen weights are never renormalised, whatever is said
    parts = {
        "attention": v3.latent(config, heads=32),
        "dense": v3.dense(config, 11_008),
        "moe": v3.experts(config, count=64, top_k=..., d_ff=1_407, shared=2, alias="num_experts") | router(config),
    }
    if config.take("mlp_bias", bool, False):
        if "shared" not in parts["moe"]:
            raise config.refuse("mlp_bias", "its class would keep a bias of shared experts that there are none of")
        parts["dense"]["bias"] = parts["moe"]["shared"]["bias"] = True
    value["position"] = v3.rope(config, value["context"]) | {"interleaved": True}
    return value | v3.leading_dense(config, parts, depth=32, first=0)


def router(config: Config) -> dict:
    config.expect("scoring_func", "softmax")
    method = config.take("topk_method", str, "greedy", null="")
    said = pieces.unless(1.0, scale=config.take("routed_scaling_factor", float, 1.0))
    if method == "group_limited_greedy":
        said |= v3.expert_groups(config, ..., ..., "max")
    elif method == "greedy":
        config.ignore("n_group", "topk_group")
    else:
        raise config.refuse("topk_method", "only 'greedy' and 'group_limited_greedy' are supported")
    return {"router": said} if said else {}


def write(arch: Architecture) -> dict:
    attention, *_ = pieces.made_of(arch, {"attention": LatentAttention} | pieces.FEEDS)
    written = v3.write_blocks(arch) | {"norm_topk_prob": False, "scoring_func": "softmax", "topk_method": "greedy"}
    if written.get("n_group", 1) > 1:
        written["topk_method"] = "group_limited_greedy"
    return (
        {"architectures": ["DeepseekV2ForCausalLM"], "model_type": "deepseek_v2"}
        | pieces.write_sizes(arch)
        | v3.write_latent(attention)
        | {"mlp_bias": biased(arch)}
        | {"num_experts_per_tok": 1}  # asked for even where no layer has experts
        | written
        | rotary.write_rope(arch.position, arch.context)
        | pieces.write_precision(arch)
    )


def biased(arch: Architecture) -> bool:
    dense, moe = arch.parts.get("dense"), arch.parts.get("moe")
    return dense.bias if dense else bool(moe.shared and moe.shared.bias)
