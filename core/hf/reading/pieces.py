"""What families share beside declared keys: what layers are made of and in which order, and the stored precision.

`model` makes the spec's mapping of what keys said, `write_model` a config.json of an architecture.
"""

from collections.abc import Mapping, Sequence
from types import UnionType
from typing import Any, get_args

from ...blocks import folded
from ...parts.attention import Attention
from ...parts.base import Mixer
from ...parts.experts import Experts
from ...parts.feedforward import Activated, FeedForward
from ...parts.position import Position, Rope
from ...spec import Architecture, Unsupported
from . import keys
from .config import Config
from .keys import Key
from .keys import times as times
from .keys import write_activation as write_activation

_DTYPES = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}


# ---- keys of families whose structure is read by functions ----


def sizes(config: Config, *, vocab_size: int, d_model: int, context: int, tied: bool, eps: float) -> dict:
    """What every llama-like model says once but its depth; the arguments are the family's defaults."""
    entries = keys.sizes(vocab_size, d_model, context, ..., tied=tied, eps=eps)
    return keys.read(config, [entry for entry in entries if getattr(entry, "field", "") != "depth"])


def write_sizes(arch: Architecture) -> dict:
    return keys.write(arch, keys.sizes(..., ..., ..., ...))


def heads(config: Config, d_model: int, *, heads: int, kv_heads: int | None = None, head_dim: int | None = None) -> dict:
    """heads, kv_heads and head_dim; the arguments are the family's defaults, None where they follow from the others."""
    return keys.read(config, keys.heads(heads, kv_heads, head_dim), {"d_model": d_model})["attention"]


def write_heads(part: Attention | None) -> dict:
    return keys.write(None, keys.heads(...), attention=part)


def write_dense(part: FeedForward) -> dict:
    return keys.write(None, keys.feed_forward(...), dense=part)


def activation(config: Config, key: str = "hidden_act", default: str = "silu", gated: bool = True) -> str:
    """The spec's name of the activation that `key` names."""
    form = keys.GATED_ACTIVATION if gated else keys.PLAIN_ACTIVATION
    return keys.read(config, (Key(key, "name", default, form=form),))["name"]


def write_scalar(part: Attention) -> float:
    """query_pre_attn_scalar, by whose root scores are divided."""
    if part.scores.scale and part.scores.scale < 1e-100:
        raise Unsupported(f"scores.scale: {part.scores.scale} is not 1 divided by a root")
    return part.scores.scale**-2 if part.scores.scale else part.head_dim


def unless(default: Any, **field: Any) -> dict:
    """The field, unless it says what holds anyway: `unless(False, bias=bias)`."""
    return {name: value for name, value in field.items() if value != default}


# ---- layers ----

Kind = type | UnionType
# What many families' parts are called: attention that is alike in all layers, or in a window and outside of one.
WINDOWED = {"attention": Attention | None, "local": Attention | None, "global": Attention | None}
FEEDS = {"dense": FeedForward | None, "moe": Experts | None}


def made_of(
    arch: Architecture, kinds: Mapping[str, Kind], position: Kind = Rope, layer: Sequence[Kind | tuple[Kind, ...]] = (Mixer, Activated)
) -> list[Any]:
    """What a family's layers are made of: the parts of these names, in this order, for a writer to read their fields.

    `kinds` gives the class of each name: `Class | None` for a part that a model may do without, which then is None; and
    `local*` for all whose names begin so, which are not given back. `position` is the class of the model's own, and `layer`
    those of the parts of every block, step by step, or () where blocks differ.

    Raises Unsupported for any other architecture: no config.json of the family says it.
    """
    several = {name[:-1]: kind for name, kind in kinds.items() if name.endswith("*")}
    for name, part in arch.parts.items():
        kind = kinds.get(name) or next((kind for begin, kind in several.items() if name.startswith(begin)), None)
        if type(part) not in (get_args(kind) or (kind,)):
            raise Unsupported(f"parts.{name}: this family has no such part")
    found = [arch.parts.get(name) for name in kinds if not name.endswith("*")]
    for name, kind in kinds.items():
        if name not in arch.parts and not name.endswith("*") and not isinstance(None, kind):
            raise Unsupported(f"parts.{name}: is missing; every layer of this family needs it")
    if not isinstance(arch.position, position):
        raise Unsupported(f"position: this family does not have {arch.position.kind}")
    wanted = [step if isinstance(step, tuple) else (step,) for step in layer]
    for steps in {steps for run in arch.layers for steps in run.orders} if layer else ():
        parts = [[arch.parts[name] for name in names] for names in steps]
        if [*map(len, parts)] != [*map(len, wanted)] or not all(isinstance(*pair) for step in zip(parts, wanted) for pair in zip(*step)):
            raise Unsupported("layers: this family has other parts, or another order of them")
    return found


def abreast(arch: Architecture) -> tuple:
    """The layer of a family whose two parts may stand behind one norm."""
    return (Mixer, Activated) if len(arch.sequence[0]) > 1 else ((Mixer, Activated),)


def layer_types(config: Config, depth: int, default: Sequence[str], *known: str) -> list[str]:
    """`layer_types`: one of the `known` words a layer."""
    types = config.listing("layer_types", str)
    types = list(default if types is None else types)
    if len(types) != depth:
        raise config.refuse("layer_types", f"it has {len(types)} entries for {depth} layers")
    for word in types:
        if word not in known:
            raise config.refuse("layer_types", f"{word[:40]!r} is not one of {', '.join(known)}")
    return types


def assemble(
    config: Config, value: dict, position: dict, parts: Mapping[str, dict], blocks: Sequence[Sequence[str]], plain: str = "bf16",
    **more: Any,
) -> dict:  # fmt: skip
    """The spec's mapping: the parts that the blocks use, the pattern of the layers, the stored precision."""
    ahead, segments = more.get("mtp", {}), folded(blocks)
    every = [block for segment in segments for block in segment["blocks"]]
    every += [ahead.get("block", ()), *ahead.get("further", ())]
    steps = [step["parts"] if isinstance(step, dict) else step for block in every for step in block]
    used = {name for step in steps for name in ([step] if isinstance(step, str) else step)}
    parts = {name: part for name, part in parts.items() if name in used}
    return value | {"position": position} | more | {"parts": parts, "layers": segments} | precision(config, parts, plain)


def model(config: Config, said: Mapping[str, Any], blocks: Sequence[Sequence[Any]], plain: str = "bf16", **more: Any) -> dict:
    """The spec's mapping out of what keys said, of the model and of its parts, and the block of every layer; `plain` is the format
    of a model that names none."""
    value = {name: field for name, field in said.items() if name in Architecture.model_fields}
    parts = {name: part for name, part in said.items() if name not in value}
    return assemble(config, value, value["position"], parts, blocks, plain, **more)


def write_model(arch: Architecture, name: str, model_type: str, entries: keys.Keys, **parts: Any) -> dict:
    """A config.json: the class `name`ForCausalLM, what the keys say of the model and its parts, and how it is stored."""
    name = name if name.endswith("Model") else f"{name}ForCausalLM"
    return {"architectures": [name], "model_type": model_type} | keys.write(arch, entries, **parts) | write_precision(arch)


def sight(window: int | None) -> dict[str, dict]:
    """A sliding window, where there is one."""
    return {"sight": {"window": window}} if window else {}


def patterned(config: Config, key: str, depth: int, words: tuple[str, str]) -> list[str] | None:
    """A list of 0 and 1 for each layer, in words; None if the key is absent."""
    given = config.listing(key, int)
    if given is None:
        return None
    if len(given) != depth or not set(given) <= {0, 1}:
        raise config.refuse(key, f"give 0 or 1 for each of the {depth} layers")
    return [words[which] for which in given]


def windowed(
    types: Sequence[str], part: dict, window: int | None, local: Mapping[str, Any] | None = None
) -> tuple[dict[str, dict], list[str]]:
    """The kinds of attention that layer_types asks for, and which one each layer has: `attention` where all are alike,
    else `local` (in a window, with whatever else `local` says) and `global`."""
    sliding = [word == "sliding_attention" for word in types]
    seen = {True: {**part, **sight(window), **(local or {})}, False: part}
    if len(set(sliding)) == 1:
        return {"attention": seen[sliding[0]]}, ["attention"] * len(types)
    return {"local": seen[True], "global": seen[False]}, ["local" if s else "global" for s in sliding]


def named_kinds(attentions: Sequence[dict]) -> tuple[dict[str, dict], list[str]]:
    """A name for every distinct attention of the layers, and which one each layer has: `attention` where all are alike, else
    `local` and `global`, with their heads where there are several of a sort."""
    distinct = [part for n, part in enumerate(attentions) if part not in attentions[:n]]
    sorts = ["local" if part.get("sight") else "global" for part in distinct]
    names = [sort if sorts.count(sort) == 1 else f"{sort}{part['heads']}" for sort, part in zip(sorts, distinct, strict=True)]
    names = names if len(distinct) > 1 else ["attention"]
    return dict(zip(names, distinct, strict=True)), [names[distinct.index(part)] for part in attentions]


def sparse_layers(config: Config, depth: int, first: int, every: int = 1) -> list[bool]:
    """Which layers have experts: as mlp_layer_types says, else all but the `first`, of these each whose number `every` divides."""
    usual = ["sparse" if layer >= first and layer % every == 0 else "dense" for layer in range(depth)]
    words = config.listing("mlp_layer_types", str) or usual
    if len(words) != depth or not set(words) <= {"dense", "sparse"}:
        raise config.refuse("mlp_layer_types", f"give dense or sparse for each of the {depth} layers")
    return [word == "sparse" for word in words]


def write_sparse_layers(arch: Architecture) -> list[str]:
    return ["sparse" if "moe" in block[-1].parts else "dense" for block in arch.sequence]


def first_routed(arch: Architecture) -> int:
    """How many layers stand before the first one with experts."""
    return (*write_sparse_layers(arch), "sparse").index("sparse")


def routed(words: Sequence[str]) -> list[str]:
    """The part that follows attention in each layer, by the words of mlp_layer_types."""
    return ["moe" if word == "sparse" else "dense" for word in words]


def near_and_far(arch: Architecture) -> tuple[Position, Position]:
    """The rope of the layers in a window, and of the others: the model's own where no layer says otherwise."""
    own = {bool(part.sight.window): part.position for part in arch.parts.values() if isinstance(part, Attention) and part.position}
    return own.get(True, arch.position), own.get(False, arch.position)


def mixers(arch: Architecture) -> list[Any]:
    """The attention part of every layer."""
    return [arch.parts[block[0].parts[0]] for block in arch.sequence]


def write_layer_types(arch: Architecture) -> list[str]:
    return ["sliding_attention" if part.sight.window else "full_attention" for part in mixers(arch)]


def window(arch: Architecture) -> int | None:
    """The one window that some layers have."""
    sights = (part.sight for part in arch.parts.values() if hasattr(part, "sight"))
    return next((sight.window for sight in sights if sight.window), None)


# ---- stored precision ----


def precision(config: Config, parts: Mapping[str, Mapping], default: str = "bf16") -> dict:
    """`{precision: ...}` from dtype and quantization_config, {} where everything is bf16; beside it why the bytes of the weights
    cannot be told, where that is so.

    `parts` is the spec's mapping of parts.
    """
    key = "dtype" if config.has("dtype") else "torch_dtype"
    name = config.take(key, (object, bool), None)
    plain = default if name is None else _DTYPES.get(str(name).removeprefix("torch."))
    unsized = {}
    if plain is None:  # the architecture is known all the same
        unsized, plain = {"unsized": str(config.refuse(key, f"the spec stores {', '.join(_DTYPES)}"))[:1_000]}, default
    formats = {"default": plain}
    if config.has("quantization_config"):
        try:
            formats |= _mxfp4(config.nested("quantization_config"), parts, plain)
        except Unsupported as error:
            unsized = {"unsized": str(error)[:1_000]}
    config.ignore("quantization_config")
    for name, part in parts.items():  # the balancing biases are kept wide, whatever the rest is stored in
        if (part.get("router") or {}).get("selection_bias") and plain != "fp32":
            formats[f"{name}.router.selection_bias"] = "fp32"
    return ({} if formats == {"default": "bf16"} else {"precision": formats}) | unsized


def _mxfp4(quantisation: Config, parts: Mapping[str, Mapping], plain: str) -> dict[str, str]:
    """gpt-oss's: whatever stays wide, its routed experts alone are narrow. Every other method is read in quantised.py."""
    quantisation.expect("quant_method", "mxfp4")
    quantisation.ignore("dequantize", "use_kernel")
    for entry in quantisation.listing("modules_to_not_convert", str, ()):
        if entry.removesuffix(".weight").split(".")[-1] not in ("self_attn", "router", "embed_tokens", "lm_head", "norm"):
            raise quantisation.refuse("modules_to_not_convert", f"{entry[:60]!r} is stored in a way that the spec cannot represent")
    quantisation.finish()
    if not (formats := mxfp4_experts(parts, plain)):
        raise quantisation.refuse("quant_method", "it stores only routed experts, and this model has none")
    return formats


def mxfp4_experts(parts: Mapping[str, Mapping], plain: str) -> dict[str, str]:
    """The routed experts' matrices in mxfp4; their biases are matrices too (one row an expert) and stay wide."""
    formats = {}
    for name in (name for name, part in parts.items() if part["kind"] == "experts"):
        formats[f"{name}.experts"] = "mxfp4"
        if parts[name].get("bias"):
            formats |= {f"{name}.experts.{matrix}_bias": plain for matrix in ("gate", "up", "down")}
    return formats


def write_precision(arch: Architecture) -> dict:
    """torch_dtype and quantization_config."""
    plain = arch.precision.get("default", "bf16")
    dtype = next((name for name, fmt in _DTYPES.items() if fmt == plain), None)
    if dtype is None:
        raise Unsupported(f"precision.default: {plain} is not a dtype of a config.json")
    written: dict[str, Any] = {"torch_dtype": dtype}
    narrow = {path: fmt for path, fmt in arch.precision.items() if fmt != plain and not path.endswith(("default", "selection_bias"))}
    if "mxfp4" in narrow.values():
        written["quantization_config"] = {"quant_method": "mxfp4"}
    return written
