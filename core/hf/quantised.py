"""quantization_config in and out: which matrices a checkpoint stores narrow, and in which of the spec's formats.

A configuration names modules in the checkpoint's own words ("model.layers.3.self_attn.q_proj", "re:.*shared_experts.*").
Each of our matrices is asked under the names that its family's checkpoints give it; what all layers agree on becomes
the spec's `precision`, and what they do not agree on is refused.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from torch import nn

from ..parts.base import Linear
from ..parts.experts import StackedExperts
from ..precision import FORMATS
from ..spec import Architecture, Segment, Unsupported
from ..trace import trace_part
from .config import Config, shown

KEYS = ("quantization_config", "compression_config")  # the second is an older name
ELSEWHERE = ("mxfp4",)  # gpt-oss's, which only its routed experts have: common.precision reads it
_SPELLED = ("model.", "language_model.model.", "model.language_model.")  # how names begin, alone and in wrappers
_PATTERNS = 64  # expressions that one configuration may have


# ---- reading ----


def taken(raw: Mapping[str, Any]) -> tuple[Mapping[str, Any], Config | None]:
    """A config.json without its quantization_config, and that, where it is read here."""
    for key in KEYS:
        for inner in (None, "text_config"):
            level = raw if inner is None else raw.get(inner)
            given = level.get(key) if isinstance(level, Mapping) else None
            if not isinstance(given, Mapping) or given.get("quant_method") in ELSEWHERE:
                continue
            rest = {name: value for name, value in level.items() if name != key}
            return (rest if inner is None else {**raw, inner: rest}), Config(given, f"{inner}.{key}" if inner else key)
    return raw, None


def quantised(arch: Architecture, family: Any, config: Config) -> Architecture:
    """The architecture with the stored formats that a quantization_config gives its matrices: what the family itself says
    of them, where it says it."""
    if hasattr(family, "stored"):
        return family.stored(arch, config)
    older = config.raw.get("load_in_4bit") or config.raw.get("load_in_8bit")  # files from before quant_method
    method = config.take("quant_method", str, "bitsandbytes" if older else ...)
    reader = _METHODS.get(method)
    if reader is None:
        raise config.refuse("quant_method", f"Strata reads mxfp4, {', '.join(_METHODS)}")
    name, key, kept = reader(config)
    keeps = _matcher(config, key, kept)
    config.finish()
    found: dict[str, set[str]] = defaultdict(set)  # a matrix's path in its part -> its formats, layer by layer
    plain = arch.precision.get("default", "bf16")
    for path, ways in matrices(arch, family):
        found[path].add(plain if any(keeps(way.names[0].removesuffix(".weight")) for way in ways) else name)
    for path, formats in found.items():
        if len(formats) > 1:
            raise config.refuse(key, f"{path} would be stored otherwise in some layers than in others")
    said = _shortest(arch, {path: next(iter(formats)) for path, formats in found.items()}, plain)
    given = {path: fmt for path, fmt in arch.precision.items() if path.endswith("selection_bias")}
    return Architecture.model_validate(arch.model_dump() | {"precision": {"default": plain} | said | given})


def matrices(arch: Architecture, family: Any) -> Iterator[tuple[str, Sequence]]:
    """(path in its part, ways in which checkpoints hold it) for every matrix of every layer that may be stored narrow."""
    narrow = {(name, path) for name in arch.parts for path in _linear(arch, name)}
    one = {name: part.model_copy(update={"count": 1}) for name, part in arch.parts.items() if hasattr(part, "count")}
    for path, ways in family.sources(_with(arch, parts=dict(arch.parts) | one)):  # all experts are stored alike
        layer, _, inner = path.partition(".")[2].partition(".")
        name, _, rest = inner.partition(".")
        name = name if name in arch.parts else re.sub(r"_\d+$", "", name)
        if path.startswith("layers.") and layer.isdigit() and (name, rest) in narrow:
            yield f"{name}.{rest}", ways


def _with(arch: Architecture, **fields: Any) -> Architecture:
    """The architecture with other fields, for the names of its tensors alone: it is not checked."""
    return Architecture.model_construct(**{name: getattr(arch, name) for name in type(arch).model_fields} | fields)


def _linear(arch: Architecture, name: str) -> Iterator[str]:
    """Paths of a part's linear maps and stacked experts; routers and gates of one channel stay as they are."""
    traced = trace_part(arch.part(name), arch.d_model)
    for path, shape in traced.parameters.items():
        owner, _, leaf = path.rpartition(".")
        module = traced.modules.get(owner)
        stacked = isinstance(module, StackedExperts) and not leaf.endswith("_bias")
        if stacked or (isinstance(module, Linear | nn.Linear) and len(shape) == 2 and shape[0] > 1):
            yield path


def _shortest(arch: Architecture, formats: Mapping[str, str], plain: str) -> dict[str, str]:
    """The same formats by as few paths as say them: a part's own format, then what differs inside it."""
    said: dict[str, str] = {}
    for name in arch.parts:
        inner = {path: plain for path, shape in _tensors(arch, name) if len(shape) > 1}
        inner |= {path: fmt for path, fmt in formats.items() if path.partition(".")[0] == name}
        common = [fmt for path, fmt in inner.items() if path in formats]
        if not common or set(common) == {plain}:
            continue
        usual = max(sorted(set(common)), key=common.count)
        said |= {name: usual}
        _differing(inner, name, usual, said)
    return said


def _differing(inner: Mapping[str, str], prefix: str, above: str, said: dict[str, str]) -> None:
    """Say what below `prefix` is not `above`, at the highest place where all below it agree."""
    children: dict[str, dict[str, str]] = defaultdict(dict)
    for path, fmt in inner.items():
        step = path.removeprefix(f"{prefix}.").split(".")[0]
        children[f"{prefix}.{step}"][path] = fmt
    for child, below in children.items():
        formats = set(below.values())
        if formats == {above}:
            continue
        if len(formats) == 1:
            said[child] = formats.pop()
        else:
            _differing(below, child, above, said)


def _tensors(arch: Architecture, name: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    for path, shape in trace_part(arch.part(name), arch.d_model).parameters.items():
        yield f"{name}.{path}", shape


def _matcher(config: Config, key: str, entries: Sequence[str]) -> Callable[[str], bool]:
    """Whether a module is one of those that the entries keep wide: the beginning or the end of its name, or an expression."""
    plain = [e for e in entries if not (e.startswith("re:") or "*" in e or "\\" in e)]
    expressions = [_expression(config, key, e) for e in entries if e not in plain]
    if len(expressions) > _PATTERNS:
        raise config.refuse(key, f"at most {_PATTERNS} expressions are read")
    starts, ends = set(plain), tuple(plain)

    def keeps(name: str) -> bool:
        rest = name.removeprefix("model.")
        for spelled in (begin + rest for begin in _SPELLED):
            pieces = spelled.split(".")
            if spelled.endswith(ends) or any(".".join(pieces[:n]) in starts for n in range(1, len(pieces) + 1)):
                return True
            if any(expression.match(spelled) for expression in expressions):
                return True
        return False

    return keeps


def _expression(config: Config, key: str, entry: str) -> re.Pattern:
    """An entry as an expression, if it is one that no name can make slow: few repeats, and none of a group."""
    text = entry.removeprefix("re:")
    simple = (
        len(text) <= 200 and len(re.findall(r"[*+{?]", text)) <= 3 and not re.search(r"\)[*+{?]|\(\?|\\[1-9]", text)
    )
    try:
        return re.compile(text if simple else None)
    except (re.error, TypeError):
        raise config.refuse(key, f"{shown(entry)} is not an expression that Strata reads") from None


# ---- the methods: what each says of the format, and which key names what stays wide ----


def _fp8(config: Config) -> tuple[str, str, Sequence[str]]:
    config.ignore("activation_scheme", "scale_fmt", "dequantize", "use_kernel", "fmt", "kv_cache_scheme")
    config.expect("fmt", "e4m3", "float8_e4m3fn")
    config.expect("store_dtype", "fp8")  # MiMo-V2.5; its successor says mxfp4 here
    block = config.listing("weight_block_size", int)
    if block is not None and list(block) != [128, 128]:
        raise config.refuse("weight_block_size", "the spec's fp8 blocks are [128, 128]")
    kept = [*config.listing("modules_to_not_convert", str, ()), *config.listing("ignored_layers", str, ())]
    key = "ignored_layers" if config.has("ignored_layers") else "modules_to_not_convert"
    return "fp8_block" if block else "fp8", key, kept


def _fbgemm(config: Config) -> tuple[str, str, Sequence[str]]:
    config.ignore("activation_scale_ub")
    return "fp8_row", "modules_to_not_convert", config.listing("modules_to_not_convert", str, ())


def _awq(config: Config) -> tuple[str, str, Sequence[str]]:
    config.ignore(
        "version", "backend", "do_fuse", "fuse_max_seq_len", "exllama_config", "modules_to_fuse", "format", "sym"
    )
    config.expect("zero_point", True)
    config.expect("bits", 4)
    config.expect("w_bit", 4)
    return _groups(config, "uint4", config.count("group_size", 128)), "modules_to_not_convert", config.listing(
        "modules_to_not_convert", str, ()
    )  # fmt: skip


def _gptq(config: Config) -> tuple[str, str, Sequence[str]]:
    config.ignore(
        "desc_act", "sym", "damp_percent", "dataset", "tokenizer", "true_sequential", "static_groups", "model_name_or_path",
        "model_file_base_name", "backend", "use_exllama", "disable_exllama", "exllama_config", "max_input_length", "cache_block_outputs",
        "block_name_to_quantize", "module_name_preceding_first_block", "batch_size", "pad_token_id", "use_cuda_fp16", "model_seqlen",
        "checkpoint_format", "meta", "format", "act_group_aware", "is_marlin_format", "quantizer", "pack_dtype",
    )  # fmt: skip
    for key in ("dynamic", "modules_in_block_to_quantize", "lm_head"):
        config.expect(key, None, False, {}, [])
    bits, size = config.count("bits"), config.take("group_size", int, 128)
    if (bits, size) not in ((4, 32), (4, 64), (4, 128), (8, 128)):
        raise config.refuse(
            "bits" if bits not in (4, 8) else "group_size", "4 bits in groups of 32, 64 or 128, 8 in 128"
        )
    return ("int8_g128" if bits == 8 else _groups(config, "uint4", size)), "modules_to_not_convert", ()


def _compressed(config: Config) -> tuple[str, str, Sequence[str]]:
    config.ignore(
        "format", "global_compression_ratio", "quantization_status", "version", "kv_cache_scheme", "transform_config"
    )
    for key in ("sparsity_config", "transform_config"):
        config.expect(key, None, {})
    groups = config.nested("config_groups")
    if len(groups.raw) != 1:
        raise config.refuse("config_groups", "Strata reads one group")
    group = groups.nested(next(iter(groups.raw)))
    group.ignore("input_activations", "output_activations", "format")
    group.expect("targets", ["Linear"])
    weights = group.nested("weights")
    group.finish()
    weights.ignore("actorder", "observer", "observer_kwargs", "dynamic", "block_structure", "scale_dtype", "zp_dtype")
    bits, kind = weights.count("num_bits"), weights.take("type", str, "int")
    strategy, size = weights.take("strategy", str, "tensor"), weights.count("group_size", None)
    symmetric = weights.take("symmetric", bool, True)
    block = weights.listing("block_structure", int)
    weights.finish()
    ignore = config.listing("ignore", str, ())
    match bits, kind, strategy:
        case 4, "int", "group":
            return _groups(weights, "int4" if symmetric else "uint4", size), "ignore", ignore
        case 8, "int", "channel" | "tensor":
            return "int8", "ignore", ignore
        case 8, "float", "channel":
            return "fp8_row", "ignore", ignore
        case 8, "float", "tensor":
            return "fp8", "ignore", ignore
        case 8, "float", "block" if block in (None, [128, 128]):
            return "fp8_block", "ignore", ignore
        case 4, "float", "tensor_group" | "group" if size == 16:
            return "nvfp4", "ignore", ignore
        case 4, "float", "group" if size == 32:
            return "mxfp4", "ignore", ignore
    raise config.refuse("config_groups", f"{bits} bits of {kind[:20]} by {strategy[:20]} are no format of the spec")


def _modelopt(config: Config) -> tuple[str, str, Sequence[str]]:
    config.ignore("producer", "config_groups", "kv_cache_scheme", "kv_cache_quant_algo", "group_size")
    algorithm = config.take("quant_algo", str)
    name = {"FP8": "fp8", "NVFP4": "nvfp4", "FP8_PB_WO": "fp8_block"}.get(algorithm)
    if name is None:
        raise config.refuse("quant_algo", "Strata reads FP8, FP8_PB_WO and NVFP4")
    return name, "ignore", config.listing("ignore", str, ())


def _bitsandbytes(config: Config) -> tuple[str, str, Sequence[str]]:
    config.ignore(
        *(key for key in config.raw if key.startswith(("bnb_4bit_compute", "llm_int8", "bnb_4bit_quant_storage")))
    )
    config.ignore("bnb_4bit_use_double_quant", "_load_in_4bit", "_load_in_8bit")
    kept = config.listing("llm_int8_skip_modules", str, ())
    narrow, wide = config.take("load_in_4bit", bool, False), config.take("load_in_8bit", bool, False)
    config.expect("bnb_4bit_quant_type", *(("nf4",) if narrow else ("nf4", "fp4")))
    if narrow == wide:
        raise config.refuse("load_in_4bit", "one of load_in_4bit and load_in_8bit is true")
    return "nf4" if narrow else "int8", "llm_int8_skip_modules", kept


def _bitnet(config: Config) -> tuple[str, str, Sequence[str]]:
    config.ignore("linear_class", "rms_norm_eps")
    config.expect("use_rms_norm", False)
    mode = config.take("quantization_mode", str, "offline")
    if mode not in ("offline", "online"):
        raise config.refuse("quantization_mode", "offline stores three values, online makes them of wide ones")
    kept = config.listing("modules_to_not_convert", str, ())
    return "ternary" if mode == "offline" else "bf16", "modules_to_not_convert", kept


def _groups(config: Config, kind: str, size: int | None) -> str:
    if size not in (32, 64, 128):
        raise config.refuse("group_size", "the spec's groups are of 32, 64 or 128")
    return kind if (kind, size) == ("int4", 32) else f"{kind}_g{size}"


_METHODS: dict[str, Callable[[Config], tuple[str, str, Sequence[str]]]] = {
    "fp8": _fp8, "fbgemm_fp8": _fbgemm, "awq": _awq, "gptq": _gptq, "compressed-tensors": _compressed, "modelopt": _modelopt,
    "bitsandbytes": _bitsandbytes, "bitnet": _bitnet,
}  # fmt: skip


# ---- writing ----

_WEIGHTS = {
    "int4": dict(num_bits=4, type="int", strategy="group", group_size=32),
    "int4_g64": dict(num_bits=4, type="int", strategy="group", group_size=64),
    "int4_g128": dict(num_bits=4, type="int", strategy="group", group_size=128),
    "uint4_g32": dict(num_bits=4, type="int", strategy="group", group_size=32, symmetric=False),
    "uint4_g64": dict(num_bits=4, type="int", strategy="group", group_size=64, symmetric=False),
    "uint4_g128": dict(num_bits=4, type="int", strategy="group", group_size=128, symmetric=False),
    "int8": dict(num_bits=8, type="int", strategy="channel"),
    "fp8": dict(num_bits=8, type="float", strategy="tensor"),
    "fp8_row": dict(num_bits=8, type="float", strategy="channel"),
    "nvfp4": dict(num_bits=4, type="float", strategy="tensor_group", group_size=16),
    "mxfp4": dict(num_bits=4, type="float", strategy="group", group_size=32),
}


def written(arch: Architecture, family: Any) -> dict:
    """The quantization_config of an architecture's stored formats, {} where nothing is narrow or the family says it itself."""
    if hasattr(family, "write_stored"):
        return family.write_stored(arch)
    if not any(FORMATS[name].matrices_only for name in arch.precision.values()):
        return {}
    arch = _with(arch, layers=tuple(Segment(blocks=(block,)) for block in arch.distinct()))  # alike in all of one kind
    formats = {path: arch.format(path, (2, 2)) for path in dict(matrices(arch, family))}
    plain = arch.precision.get("default", "bf16")
    narrow = set(formats.values()) - {plain}
    if not narrow or narrow <= set(ELSEWHERE) and any(path.endswith("_bias") for path in arch.precision):
        return {}
    if len(narrow) > 1:
        raise Unsupported(f"precision: a config.json has one narrow format, not {' and '.join(sorted(narrow))}")
    name = narrow.pop()
    kept = {
        _everywhere(way.names[0]) for path, ways in matrices(arch, family) if formats[path] == plain for way in ways[:1]
    }
    if name == "fp8_block":
        config = {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": [128, 128]}
        return {"quantization_config": config | ({"modules_to_not_convert": sorted(kept)} if kept else {})}
    if name == "ternary":
        config = {"quant_method": "bitnet", "linear_class": "autobitlinear", "quantization_mode": "offline"}
        return {"quantization_config": config | ({"modules_to_not_convert": sorted(kept)} if kept else {})}
    if name not in _WEIGHTS:
        raise Unsupported(f"precision: no quantization_config is written for {name}")
    groups = {"group_0": {"targets": ["Linear"], "weights": {"symmetric": True} | _WEIGHTS[name]}}
    ignore = sorted(f"re:{pattern}" for pattern in kept)
    return {"quantization_config": {"quant_method": "compressed-tensors", "config_groups": groups, "ignore": ignore}}


def _everywhere(name: str) -> str:
    r"""A module of one layer as an expression for it in every layer: model\.layers\.\d+\.mlp\.up_proj."""
    return re.sub(r"(?<=\\\.)\d+(?=\\\.)", r"\\d+", re.escape(name.removesuffix(".weight")))
