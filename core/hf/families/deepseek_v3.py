"""DeepSeek-V3 and R1 (arXiv:2412.19437), and Kimi K2 (arXiv:2507.20534) in the same keys; kimi_k25 wraps it and a model that sees.

The pieces that DeepSeek's other families and GLM-4.5 have in common with it are here too.
"""

from collections.abc import Iterator
from typing import Any

from ...parts.latent import LatentAttention
from ...spec import Architecture
from ..reading import keys, pieces
from ..reading.config import Config, wrapped
from ..reading.keys import Always, Groups, Key, Keys, Only, Unread
from ..reading.rotary import Turning
from ..weights import mtp, tensors
from ..weights.checkpoint import Source, Sources
from ..weights.tensors import ignored as ignored
from ..weights.tensors import one

TYPES = ("deepseek_v3", "kimi_k2", "kimi_k25")


# ---- what other families share ----


def latent(
    heads: Any, ranks: tuple[int | None, int] = (1_536, 512), dims: tuple[int, int, Any] = (128, 64, 128), alike: bool = True,
    **always: Any,
) -> Keys:  # fmt: skip
    """Multi-head latent attention; the ranks' norms have an epsilon of their own, 1e-6.

    The defaults are the ranks of queries and latent, and a head's widths without position, with it, and in values. Each
    query head has a key of its own, and qk_rope_head_dim of its channels turn, whatever else a config.json says; where `alike`,
    the number of keys is written too.
    """
    return (
        Always("attention", **{"kind": "latent_attention"} | always),
        Key("num_attention_heads", "attention.heads", heads),
        Unread("num_key_value_heads head_dim qk_head_dim", written="attention.heads" if alike else ""),
        Key("q_lora_rank", "attention.q_rank", ranks[0], null=None),
        Key("kv_lora_rank", "attention.kv_rank", ranks[1]),
        Key("qk_nope_head_dim", "attention.nope_dim", dims[0]),
        Key("qk_rope_head_dim", "attention.rope_dim", dims[1]),
        Key("v_head_dim", "attention.v_dim", dims[2]),
        Key("attention_bias", "attention.bias", False),
    )


def balanced(groups: Any, top_groups: Any, scale: float, score: str = "sigmoid", written: bool = False) -> Keys:
    """Sigmoid scores and a bias that balances the load in place of a loss (arXiv:2408.15664), or a softmax without one."""
    return (
        Always("moe.router", score=score, selection_bias=score == "sigmoid"),
        Only("scoring_func", score, written=written),
        Only("topk_method", "noaux_tc", written=written),
        Key("norm_topk_prob", "moe.router.normalise", True),
        Key("routed_scaling_factor", "moe.router.scale", scale),
        Groups(groups, top_groups),
    )


class LatentTurning(Turning):
    """The rotary embedding beside a latent, where YaRN's second magnitude scales the softmax."""

    def read(self, config: Config, said: dict) -> None:
        super().read(config, said)
        given = config.raw.get("rope_scaling") or config.raw.get("rope_parameters") or {}
        scaling = said["position"].get("scaling", {"kind": "yarn"})["kind"]
        if given.get("mscale_all_dim") and scaling != "yarn":
            key = "rope_scaling" if config.raw.get("rope_scaling") else "rope_parameters"
            raise config.refuse(key, "the spec scales the softmax by mscale_all_dim with yarn alone")


def leading_dense(config: Config, said: dict, **ahead: Any) -> dict:
    """The spec's mapping of a model whose first layers are dense and whose others have experts."""
    depth, first = said["depth"], said["leading"]
    return pieces.model(config, said, [["attention", "dense" if n < first else "moe"] for n in range(depth)], **ahead)


KEYS = (
    *keys.sizes(129_280, 7_168, 4_096, 61),
    *latent(128),
    *keys.feed_forward(18_432),
    *keys.experts(256, 8, 2_048),
    keys.shared(1),
    *balanced(8, 4, 2.5, written=True),
    LatentTurning(),
    Key("rope_interleave", "position.interleaved", True),
    Key("first_k_dense_replace", "leading", 3, least=0),
    keys.ahead(1),
    Only("moe_layer_freq", 1),
    Unread("ep_size"),
)


def read(config: Config, model_type: str) -> dict:
    if model_type == "kimi_k25":
        config.ignore("use_unified_vision_chunk", "video_placeholder")
        return wrapped(config, read, "deepseek_v3", "kimi_k2", "deepseek_v3")
    said = keys.read(config, KEYS)
    return leading_dense(config, said, **mtp.foretold(said, ["attention", "moe"], copies=("embedding", "head")))


def write(arch: Architecture) -> dict:
    pieces.made_of(arch, {"attention": LatentAttention} | pieces.FEEDS)
    model_type = arch.model_type if arch.model_type in TYPES[:2] else TYPES[0]
    return pieces.write_model(arch, "DeepseekV3", model_type, KEYS, leading=pieces.first_routed(arch))


def sources(arch: Architecture) -> Sources:
    return tensors.llama_sources(arch, mixer=latent_sources)


def latent_sources(path: str, at: str, part: LatentAttention) -> Iterator[tuple[str, list[Source]]]:
    ranked = {"q_down": "q_a_proj", "q_norm": "q_a_layernorm", "q": "q_b_proj"} if part.q_rank else {"q": "q_proj"}
    names = {"kv_down": "kv_a_proj_with_mqa", "kv_norm": "kv_a_layernorm", "kv_up": "kv_b_proj", "o": "o_proj"}
    for ours, theirs in (ranked | names).items():
        yield one(f"{path}.{ours}.weight", f"{at}.self_attn.{theirs}.weight")
        if part.bias and ours in ("q_down", "kv_down", "o"):
            yield one(f"{path}.{ours}.bias", f"{at}.self_attn.{theirs}.bias")


def either(config: Config, key: str, aliases: str, default: Any, least: int = 1, most: int = 4_096) -> int:
    """A count that goes by several names; all may stand there, if they agree."""
    return keys.read(config, (Key(key, "it", default, also=aliases, least=least, most=most),))["it"]


def write_mtp(arch: Architecture) -> int:
    return arch.mtp.count if arch.mtp else 0
