"""Ring-linear 2.0 (arXiv:2510.19338): Ling 2.0 with lightning attention in all but the last layer of every group of layers."""

from dataclasses import replace

from torch import Tensor

from ...blocks import folded
from ...parts.lightning import LightningAttention
from ...spec import Architecture
from ..reading.config import Config
from ..reading.pieces import unless
from ..weights import tensors
from ..weights.checkpoint import Source, Sources
from ..weights.tensors import one
from . import like_llama_moe, own_code

LING = own_code.MODELS["bailing_moe_v2"]
CLASS = "BailingMoeLinearV2ForCausalLM"  # files of an earlier one, with other attention, say this type too


def _linear(config: Config, value: dict) -> None:
    """Layers in groups of layer_group_size, and softmax attention in each group's last and in what is left over."""
    LING.more(config, value)
    group = config.count("layer_group_size", 1)
    config.ignore("group_norm_size")  # of linear layers alone
    blocks = [block for run in value["layers"] for _ in range(run["repeat"]) for block in run["blocks"]]
    whole = len(blocks) // group * group
    linear = [(layer + 1) % group != 0 and layer < whole for layer in range(len(blocks))]
    if not any(linear):
        return
    attention = value["parts"]["attention"]
    part = lightning(config, value, attention["heads"], attention["head_dim"], value["position"])
    value["parts"] = {"lightning": part} | value["parts"]
    blocks = [["lightning" if here else mixer, ff] for here, (mixer, ff) in zip(linear, blocks, strict=True)]
    first = 0 if blocks[:group] == blocks[group : 2 * group] else group  # a group with dense layers stands alone
    value["layers"] = folded(blocks[:first]) + folded(blocks[first:])


def lightning(config: Config, value: dict, heads: int, head_dim: int, position: dict) -> dict:
    """What Ling 2.0's, 2.5's and 2.6's linear layers say."""
    d_model, groups = value["d_model"], config.count("group_norm_size", 1)
    if heads * head_dim != d_model:
        raise config.refuse("head_dim", "heads of linear attention are together as wide as the stream")
    if heads & (heads - 1):
        raise config.refuse("num_attention_heads", "slopes of linear attention are read for 2, 4, 8, 16, ... heads")
    if d_model % groups:
        raise config.refuse("group_norm_size", f"{d_model:,} channels do not divide into so many groups")
    norm = {"kind": "rms", "eps": value["norm"]["eps"]}
    return {
        "kind": "lightning_attention", "heads": heads, "head_dim": head_dim, "activation": None, "qk_norm": True, "position": position,
        "scaled": True, "full_at": 1, "wide_state": True,
    } | unless(1, groups=groups) | unless({"kind": "rms", "eps": 1e-6}, out_norm=norm)  # fmt: skip


def _written(arch: Architecture, written: dict) -> dict:
    part, mixers = arch.parts.get("lightning"), [block[0].parts[0] for block in arch.sequence]
    own = {"layer_group_size": (*mixers, "attention").index("attention") + 1, "group_norm_size": part.groups if part else 1}
    return dict(LING.written(arch, written)) | own


def lightning_sources(path: str, at: str, part: LightningAttention, depth: int) -> Sources:
    def by_head(rows: Tensor) -> Tensor:
        """All queries, all keys, all values -> each head's three."""
        return rows.unflatten(0, (3, part.heads, part.head_dim)).transpose(0, 1).flatten(0, 2)

    yield one(f"{path}.qkv.weight", f"{at}.self_attn.qkv_proj.weight", make=by_head)
    for ours, theirs in {"q_norm": "q_norm", "k_norm": "k_norm", "gate": "g_proj", "o": "o_proj"}.items():
        yield one(f"{path}.{ours}.weight", f"{at}.self_attn.{theirs}.weight")
    groups = (part.groups, -1) if part.groups > 1 else (-1,)
    yield one(f"{path}.out_norm.weight", f"{at}.self_attn.g_norm.weight", make=lambda weight: weight.view(groups))
    layer = int(at.split(".")[-1])
    yield f"{path}.sum.slopes", [Source((), lambda: part.slopes(layer, depth))]


def _sources(arch: Architecture) -> Sources:
    def mixer(path, at, part):
        if isinstance(part, LightningAttention):
            return lightning_sources(path, at, part, arch.depth)
        return tensors.attention_sources(path, f"{at}.self_attn", part)

    for path, ways in like_llama_moe.sources(replace(ROW.like, mixer=mixer), arch):
        yield path, [Source(tuple(tensors.reworded(name, ROW.names) for name in way.names), way.make) for way in ways]


ROW = replace(
    LING,
    like=replace(LING.like, name="BailingMoeLinearV2", ahead=None, others={"lightning": LightningAttention | None}),
    fixed=dict(LING.fixed, architectures=[CLASS], use_qkv_bias=False, linear_silu=False, num_nextn_predict_layers=0),
    more=_linear,
    written=_written,
    sources=_sources,
)
FAMILIES = [own_code.Family("bailing_moe_linear", ROW)]
