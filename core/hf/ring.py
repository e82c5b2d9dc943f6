"""Ring-linear 2.0 (arXiv:2510.19338): Ling 2.0 with lightning attention in all but the last layer of every group of layers."""

from dataclasses import replace
from functools import partial

from torch import Tensor

from ..parts.attention import Attention
from ..parts.lightning import LightningAttention
from ..spec import Architecture
from . import kin_moe, remote, tensors
from .common import unless
from .config import Config, layers
from .tensors import one
from .weights import Source, Sources

LING = remote.REMOTE["bailing_moe_v2"]
CLASS = "BailingMoeLinearV2ForCausalLM"  # files of an earlier one, with other attention, say this type too


def _linear(config: Config, value: dict) -> None:
    """Layers in groups of layer_group_size, and softmax attention in each group's last and in what is left over."""
    LING.more(config, value)
    group, groups = config.count("layer_group_size", 1), config.count("group_norm_size", 1)
    blocks = [block for run in value["layers"] for _ in range(run["repeat"]) for block in run["blocks"]]
    whole = len(blocks) // group * group
    linear = [(layer + 1) % group != 0 and layer < whole for layer in range(len(blocks))]
    if not any(linear):
        return
    attention, eps = value["parts"]["attention"], value["norm"]["eps"]
    heads, head_dim = attention["heads"], attention["head_dim"]
    if heads * head_dim != value["d_model"]:
        raise config.refuse("head_dim", "heads of linear attention are together as wide as the stream")
    if heads & (heads - 1):
        raise config.refuse("num_attention_heads", "slopes of linear attention are read for 2, 4, 8, 16, ... heads")
    if value["d_model"] % groups:
        raise config.refuse("group_norm_size", f"{value['d_model']:,} channels do not divide into so many groups")
    lightning = {
        "kind": "lightning_attention", "heads": heads, "head_dim": head_dim, "activation": None, "qk_norm": True,
        "position": value["position"], "scaled": True, "full_at": 1, "wide_state": True,
    }  # fmt: skip
    lightning |= unless(1, groups=groups) | unless({"kind": "rms", "eps": 1e-6}, out_norm={"kind": "rms", "eps": eps})
    value["parts"] = {"lightning": lightning} | value["parts"]
    blocks = [["lightning" if here else mixer, ff] for here, (mixer, ff) in zip(linear, blocks, strict=True)]
    first = 0 if blocks[:group] == blocks[group : 2 * group] else group  # a group with dense layers stands alone
    value["layers"] = layers(blocks[:first]) + layers(blocks[first:])


def _written(arch: Architecture, written: dict) -> dict:
    lightning, first = arch.parts.get("lightning"), [block[0].parts[0] for block in arch.sequence].index("attention")
    own = {"layer_group_size": first + 1, "group_norm_size": lightning.groups if lightning else 1}
    return dict(LING.written(arch, written)) | own


def _mixer(path: str, at: str, part: LightningAttention | Attention, depth: int) -> Sources:
    if not isinstance(part, LightningAttention):
        yield from tensors.attention_sources(path, f"{at}.self_attn", part)
        return

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
    row = replace(ROW.like, mixer=partial(_mixer, depth=arch.depth))
    for path, ways in kin_moe.sources(row, arch):
        yield path, [Source(tuple(tensors.reworded(name, ROW.names) for name in way.names), way.make) for way in ways]


ROW = replace(
    LING,
    like=replace(LING.like, name="BailingMoeLinearV2", ahead=None),
    fixed=dict(LING.fixed, architectures=[CLASS], use_qkv_bias=False, linear_silu=False, num_nextn_predict_layers=0),
    more=_linear,
    written=_written,
    sources=_sources,
)
FAMILIES = [remote.Family("bailing_moe_linear", ROW)]
