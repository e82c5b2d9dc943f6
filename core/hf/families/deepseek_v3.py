"""DeepSeek-V3 and R1 (arXiv:2412.19437), and Kimi K2 (arXiv:2507.20534) in the same keys; kimi_k25 wraps it and a model that sees.

The pieces that DeepSeek's other families and GLM-4.5 have in common with it are here too.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from ...parts.latent import LatentAttention
from ...spec import Architecture
from ..reading import pieces, rotary
from ..reading.config import Config, layers, text_config
from ..reading.pieces import unless
from ..weights import mtp, tensors
from ..weights.checkpoint import Source, Sources
from ..weights.tensors import ignored as ignored
from ..weights.tensors import one

TYPES = ("deepseek_v3", "kimi_k2", "kimi_k25")


def read(config: Config, model_type: str) -> dict:
    if model_type == "kimi_k25":
        config.ignore("use_unified_vision_chunk", "video_placeholder")
        text = text_config(config, "kimi_k2", "deepseek_v3")
        value = read(text, "deepseek_v3")
        text.finish(value)
        return value
    value = pieces.sizes(config, vocab_size=129_280, d_model=7_168, context=4_096, tied=False, eps=1e-6)
    interleaved = config.take("rope_interleave", bool, True)
    attention = latent(config, heads=128)
    config.ignore("ep_size")
    parts = {
        "attention": attention,
        "dense": dense(config, 18_432),
        "moe": experts(config, count=256, top_k=8, d_ff=2_048, shared=1) | {"router": noaux_router(config, 8, 4, 2.5)},
    }
    config.expect("moe_layer_freq", 1)
    value["position"] = rope(config, value["context"]) | unless(False, interleaved=interleaved)
    ahead = mtp.modules(read_mtp(config), ["attention", "moe"], copies=("embedding", "head"))
    return value | leading_dense(config, parts, depth=61, first=3, ahead=ahead)


def write(arch: Architecture) -> dict:
    attention, *_ = pieces.made_of(arch, {"attention": LatentAttention} | pieces.FEEDS)
    model_type = arch.model_type if arch.model_type in TYPES[:2] else TYPES[0]
    return (
        {
            "architectures": ["DeepseekV3ForCausalLM"],
            "model_type": model_type,
            "rope_interleave": arch.position.interleaved,
        }
        | pieces.write_sizes(arch)
        | write_latent(attention)
        | write_blocks(arch)
        | {"scoring_func": "sigmoid", "topk_method": "noaux_tc", "num_nextn_predict_layers": write_mtp(arch)}
        | rotary.write_rope(arch.position, arch.context)
        | pieces.write_precision(arch)
    )


def sources(arch: Architecture) -> Sources:
    return tensors.llama_sources(arch, mixer=latent_sources)


# ---- attention ----


def latent(
    config: Config,
    heads: int,
    ranks: tuple[int | None, int] = (1_536, 512),
    dims: tuple[int, int, int] = (128, 64, 128),
) -> dict:
    """Multi-head latent attention; the ranks' norms have an epsilon of their own, 1e-6.

    The defaults are the ranks of queries and latent, and a head's widths without position, with it, and in values. Each
    query head has a key of its own, and qk_rope_head_dim of its channels turn, whatever else a config.json says.
    """
    config.ignore("num_key_value_heads", "head_dim", "qk_head_dim")
    h = config.count("num_attention_heads", heads)
    q_rank = config.count("q_lora_rank", ranks[0], null=None)
    return {
        "kind": "latent_attention",
        "heads": h,
        "kv_rank": config.count("kv_lora_rank", ranks[1]),
        "nope_dim": config.count("qk_nope_head_dim", dims[0]),
        "rope_dim": config.count("qk_rope_head_dim", dims[1]),
        "v_dim": config.count("v_head_dim", dims[2]),
    } | unless(None, q_rank=q_rank) | unless(False, bias=config.take("attention_bias", bool, False))  # fmt: skip


def write_latent(part: LatentAttention) -> dict:
    return {
        "num_attention_heads": part.heads,
        "num_key_value_heads": part.heads,
        "q_lora_rank": part.q_rank,
        "kv_lora_rank": part.kv_rank,
        "qk_nope_head_dim": part.nope_dim,
        "qk_rope_head_dim": part.rope_dim,
        "v_head_dim": part.v_dim,
        "attention_bias": part.bias,
    }


def rope(config: Config, context: int, theta: float = 10_000.0) -> dict:
    """The rotary embedding beside a latent, where YaRN's second magnitude scales the softmax."""
    position = rotary.rope(config, context, theta=theta)
    given = config.raw.get("rope_scaling") or config.raw.get("rope_parameters") or {}
    if given.get("mscale_all_dim") and position.get("scaling", {"kind": "yarn"})["kind"] != "yarn":
        key = "rope_scaling" if config.raw.get("rope_scaling") else "rope_parameters"
        raise config.refuse(key, "the spec scales the softmax by mscale_all_dim with yarn alone")
    return position


def latent_sources(path: str, at: str, part: LatentAttention) -> Iterator[tuple[str, list[Source]]]:
    ranked = {"q_down": "q_a_proj", "q_norm": "q_a_layernorm", "q": "q_b_proj"} if part.q_rank else {"q": "q_proj"}
    names = {"kv_down": "kv_a_proj_with_mqa", "kv_norm": "kv_a_layernorm", "kv_up": "kv_b_proj", "o": "o_proj"}
    for ours, theirs in (ranked | names).items():
        yield one(f"{path}.{ours}.weight", f"{at}.self_attn.{theirs}.weight")
        if part.bias and ours in ("q_down", "kv_down", "o"):
            yield one(f"{path}.{ours}.bias", f"{at}.self_attn.{theirs}.bias")


# ---- feed-forward and experts ----


def dense(config: Config, d_ff: int) -> dict:
    return {"kind": "feed_forward", "d_ff": config.count("intermediate_size", d_ff)} | unless(
        "swiglu", activation=pieces.activation(config)
    )


def experts(
    config: Config, count: Any, top_k: Any, d_ff: int, shared: int | None, alias: str = "num_local_experts"
) -> dict:
    """Routed and shared experts without their router. Several shared ones are one network of their summed width."""
    width = config.count("moe_intermediate_size", d_ff)
    n = either(config, "n_shared_experts", "num_shared_experts", shared, least=0)
    both = {"shared": {"d_ff": n * width} | unless(1, count=n)} if n else {}
    return {
        "kind": "experts",
        "count": either(config, "n_routed_experts", alias, count),
        "top_k": config.count("num_experts_per_tok", top_k),
        "d_ff": width,
    } | unless("swiglu", activation=pieces.activation(config)) | both  # fmt: skip


def noaux_router(config: Config, groups: int, top_groups: int, scale: float, score: str = "sigmoid") -> dict:
    """Sigmoid scores and a bias that balances the load in place of a loss (arXiv:2408.15664), or a softmax without one."""
    config.expect("scoring_func", score)
    config.expect("topk_method", "noaux_tc")
    normalise = config.take("norm_topk_prob", bool, True)
    scale = config.take("routed_scaling_factor", float, scale)
    router = unless("softmax", score=score) | unless(False, normalise=normalise) | unless(1.0, scale=scale)
    balanced = {"selection_bias": True} if score == "sigmoid" else {}
    return router | expert_groups(config, groups, top_groups, "top2") | balanced


def expert_groups(config: Config, groups: int | None, top_groups: int | None, score: str) -> dict:
    """What limits a token to some groups of experts, {} where they are one group."""
    groups, top_groups = config.count("n_group", groups), config.count("topk_group", top_groups)
    return {} if groups == top_groups == 1 else {"groups": groups, "top_groups": top_groups, "group_score": score}


def either(config: Config, key: str, aliases: str, default: Any, least: int = 1, most: int = 4_096) -> int:
    """A count that goes by several names; all may stand there, if they agree."""
    names = [key, *aliases.split()]
    value = config.count(next(filter(config.has, names), key), default, least=least, most=most)
    for name in names:
        config.expect(name, value)
    return value


# ---- layers ----


def read_mtp(config: Config) -> int:
    """How many multi-token-prediction modules there are; each is a layer with experts."""
    return either(config, "num_nextn_predict_layers", "num_mtp_layers", 1, least=0, most=16)


def leading_dense(
    config: Config, parts: dict[str, Mapping], depth: int, first: int, ahead: Mapping[str, Any] = MappingProxyType({})
) -> dict:
    """Parts, layers and precision of a model whose first layers are dense and whose others have experts."""
    depth = config.depth("num_hidden_layers", depth)
    first = min(config.count("first_k_dense_replace", first, least=0), depth)
    return blocks(config, parts, ["dense"] * first + ["moe"] * (depth - first), ahead)


def blocks(
    config: Config,
    parts: dict[str, Mapping],
    feeds: list[str],
    ahead: Mapping[str, Any] = MappingProxyType({}),
    moe: Any = "moe",
    mixers: list[str] | None = None,
) -> dict:
    """The same, for the part that follows attention in every layer; `ahead` is what `mtp.modules` gives, `moe` the step of one
    with experts, `mixers` are the attentions where they differ."""
    mixers = mixers or ["attention"] * len(feeds)
    used = {*mixers, *feeds} | ({"attention", "moe"} if ahead else set())
    parts = {name: part for name, part in parts.items() if name in used}
    pairs = zip(mixers, feeds, strict=True)
    return (
        {"parts": parts, "layers": layers([[mixer, moe if feed == "moe" else feed] for mixer, feed in pairs])}
        | ahead
        | pieces.precision(config, parts)
    )


def write_blocks(arch: Architecture) -> dict:
    """Widths, counts and the router; what no layer has stays out."""
    feeds = [block[-1].parts[0] for block in arch.sequence]
    written: dict[str, Any] = {"first_k_dense_replace": feeds.index("moe") if "moe" in feeds else arch.depth}
    if dense := arch.parts.get("dense"):
        written |= {"hidden_act": pieces.write_activation(dense.activation), "intermediate_size": dense.d_ff}
    if moe := arch.parts.get("moe"):
        written |= {
            "hidden_act": pieces.write_activation(moe.activation),
            "n_routed_experts": moe.count,
            "num_experts_per_tok": moe.top_k,
            "n_shared_experts": moe.shared.count if moe.shared else 0,
            "moe_intermediate_size": moe.d_ff,
            "n_group": moe.router.groups,
            "topk_group": moe.router.top_groups,
            "norm_topk_prob": moe.router.normalise,
            "routed_scaling_factor": moe.router.scale,
        }
    return written


def write_mtp(arch: Architecture) -> int:
    return arch.mtp.count if arch.mtp else 0
