"""quantization_config in and out: which matrices a checkpoint stores narrow, and in which of the spec's formats.

A configuration names modules in the checkpoint's own words ("model.layers.3.self_attn.q_proj", "re:.*shared_experts.*"), and
each tool that writes one has its own rule for what such a word means. Each of our matrices is asked under the names that its
family's checkpoints give it; what all layers agree on becomes the spec's `precision`. A format that Strata cannot size, a list
that it cannot read, layers that differ: the architecture is known all the same, and `unsized` says why its bytes are not.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from torch import nn

from ...parts.base import Linear, Part
from ...parts.experts import StackedExperts
from ...precision import FORMATS
from ...spec import Architecture, Segment, Unsupported
from ...trace import trace_part
from ..weights import mtp
from ..weights.module_names import WRAPPED, Names, beginning, globs, is_expression, tells_experts
from .config import Config, shown

KEYS = ("quantization_config", "compression_config", "quantization")  # the second is an older name, the third MLX's
# ChatGLM's quantization_bit, QuIP#'s quip_params and their like; what caches are stored in is no part of a model.
_OTHER_KEYS = re.compile(r"^(?!.*cache)(quant|quip_|aqlm|vptq|hqq|gptq|awq|bnb_|load_in_\dbit)")
ELSEWHERE = ("mxfp4",)  # gpt-oss's, which only its routed experts have: pieces.precision reads it
BESIDE = "hf_quant_config.json"  # where modelopt says it too, or alone
_INSIDE = ("thinker_config", "text_config", "llm_config", "language_config")  # where a wrapper keeps its text model
_ENTRIES = 100_000  # of one list


@dataclass(frozen=True)
class Stored:
    """How a checkpoint stores its matrices: in `usual`, but those for which `said` gives another format by their module's name.
    `head` where the method's own word for all linear maps means the output head too."""

    usual: str
    said: Callable[[str], str | None] = lambda name: None
    head: bool = False


# ---- reading ----


def taken(raw: Mapping[str, Any]) -> tuple[Mapping[str, Any], list[Config]]:
    """A config.json without what it says of stored formats, and that, wherever it stands and is read here."""
    found: list[Config] = []

    def without(level: Mapping[str, Any], where: str) -> dict[str, Any]:
        rest = dict(level)
        for key in (*KEYS, *(key for key in level if key not in KEYS and _OTHER_KEYS.search(key))):
            given = rest.get(key)
            if not given:
                rest.pop(key, None)
                continue
            if key not in KEYS or not isinstance(given, Mapping):
                given = {"name": given}  # MLC's, which no method of ours goes by
            if given.get("quant_method") not in ELSEWHERE:
                del rest[key]
                found.append(Config(given, f"{where}{key}"))
        for key in _INSIDE:
            if isinstance(rest.get(key), Mapping):
                rest[key] = without(rest[key], f"{where}{key}.")
        return rest

    return without(raw, ""), found


def says_none(raw: Mapping[str, Any]) -> bool:
    """Whether a config.json says nothing of stored formats, so that a file beside it may."""
    rest, found = taken(raw)
    levels = [rest, *(rest[key] for key in _INSIDE if isinstance(rest.get(key), Mapping))]
    return not found and not any(level.get(key) for level in levels for key in KEYS)


def quantised(arch: Architecture, family: Any, found: Sequence[Config], raw: Mapping[str, Any]) -> Architecture:
    """The architecture with the stored formats that its config.json's `found` give its matrices: what the family itself says of
    them, where it says it. Where they cannot be told, `unsized` says why."""
    for config in found:
        config.expect("use_rms_norm", False)  # BitNet's further norms, which are no part of the family's model
    try:
        config = found[0]
        for other in found[1:]:
            if dict(other.raw) != dict(config.raw):
                raise Unsupported(f"{other.where}: contradicts {config.where} about how the weights are stored")
        if hasattr(family, "stored"):
            return family.stored(arch, config)
        return narrowed(arch, _family_of_names(family, raw), config)
    except Unsupported as error:
        said = str(error) if str(error).startswith(config.where) else f"{config.where}: {error}"
        return Architecture.model_validate(arch.model_dump() | {"unsized": said[:1_000]})


def narrowed(arch: Architecture, family: Any, config: Config) -> Architecture:
    return Architecture.model_validate(arch.model_dump() | {"precision": _told(arch, family, config)})


def _told(arch: Architecture, family: Any, config: Config) -> dict[str, str]:
    """The spec's `precision`, as this configuration says it."""
    plain = arch.precision.get("default", "bf16")
    stored = _METHODS[_method(config)](config, plain)
    _finish(config)
    found: dict[str, set[str]] = defaultdict(set)  # a matrix's path in its part -> its formats, layer by layer
    for path, ways in _matrices(arch, family, any(map(tells_experts, _words(config.raw)))):
        found[path] |= _formats(ways, stored)
    if stored.head and not arch.tied_embeddings:
        found["head"] = _formats(_head(arch, family), stored)
    _all_known(arch, family, config)
    for path, formats in found.items():
        if len(formats) > 1:
            some, others = sorted(formats)[:2]
            raise Unsupported(
                f"{path} is in {some} in some layers or experts and in {others} in others, and Strata can tell the bytes only where "
                "they are alike"
            )
    one = {path: formats.pop() for path, formats in found.items()}
    head = {"head": one.pop("head")} if one.get("head", plain) != plain else {}
    one.pop("head", None)
    given = {path: fmt for path, fmt in arch.precision.items() if path.endswith("selection_bias")}
    return {"default": plain} | shortest(arch, one, plain) | head | given


# The keys of lists that keep modules wide, and of what names those that are narrow.
_KEPT = ("ignore", "exclude_modules", "modules_to_not_convert", "ignored_layers", "llm_int8_skip_modules", "extra_config")
_CHOSEN = ("quantized_layers", "targets", "modules_in_block_to_quantize")
# What lists name whether a model has it or not: what sees, hears or predicts ahead, and what no tool stores narrow.
_BESIDE = re.compile(
    r"visi|visual|image|audio|speech|sound|video|projector|modality|multi_modal|merger|resampler|connector|aligner|talker|2wav"
    r"|(^|\.)(vpm|apm|tts|vit|mlp1|mtp|nextn|sam_model)($|\.)"
)
_NEVER = re.compile(r"(^|[._])(lm_head|linear|wte|wpe|gate|bias)$|embed|router|norm|conv\dd|rotary|(^|\.)(eh_proj|ln_\w+)$", re.IGNORECASE)


def _all_known(arch: Architecture, family: Any, config: Config) -> None:
    """Refuse an entry that is a plain name, of what this model does not have: the list is another model's, or spells names in a
    way that is not known here. What names narrow modules may name nothing that is never narrow either."""
    levels = [config.raw, config.raw.get("quantization")]
    if _method(config) == "compressed-tensors":
        levels += config.nested("config_groups").raw.values()
    for keys, chosen in ((_KEPT, False), (_CHOSEN, True)):
        listed = [(key, one) for level in levels if isinstance(level, Mapping) for key in keys for one in level.get(key) or ()]
        listed = [(key, entry) for key, one in listed for entry in (one if isinstance(one, list) else [one])]
        listed = [
            (key, entry) for key, entry in listed
            if not (entry.startswith("re:") or is_expression(entry) or chosen and entry == "Linear" or _BESIDE.search(entry))
        ]  # fmt: skip
        listed = [(key, entry) for key, entry in listed if chosen or not _NEVER.search(entry)]
        below, within = _modules(arch, family, chosen) if listed else (set(), set())
        most = max((getattr(part, "count", 1) for part in arch.parts.values()), default=1)
        for key, entry in listed:
            name = entry.strip(".").removeprefix(beginning(entry))
            expert = re.search(r"(?<=experts\.)\d{1,9}(?=\.|$)", name)
            if expert and int(expert[0]) < most:
                name = f"{name[: expert.start()]}0{name[expert.end() :]}"
            if name not in below and name not in within:
                raise config.refuse(key, f"{entry[:100]!r} is no module of this model{' that is stored narrow' if chosen else ''}")


def _modules(arch: Architecture, family: Any, narrow: bool) -> tuple[set[str], set[str]]:
    """Every module's name, and every run of steps within one that says no layer; of all experts the first. `narrow` for those
    alone that may be stored narrow."""
    arch = _with(arch, parts=_of_one_expert(arch))
    if narrow:
        found = [*_matrices(arch, family), *(("head", _head(arch, family)) for _ in _own_head(arch))]
    else:
        found = [*family.sources(arch), *(mtp.sources(family, arch) if arch.mtp else ())]
    names = {name for _, ways in found for way in ways for name in way.names}
    if arch.mtp and not narrow:
        names |= {name for _, name in mtp.copies(family, arch)}
    below, within = set(), set()
    for name in names:
        steps = name.removeprefix(beginning(name)).split(".")
        runs = [steps[at:end] for at in range(len(steps)) for end in range(at + 1, len(steps) + 1)]
        below |= {".".join(run) for run in runs if run[0] in steps[:2]}
        within |= {".".join(run) for run in runs if not any(map(str.isdecimal, run)) or run[0] == "experts"}
    return below, within


def _head(arch: Architecture, family: Any) -> Sequence:
    """The ways in which checkpoints hold the output head."""
    return next(ways for path, ways in family.sources(arch) if path == "head.weight")


def _formats(ways: Sequence, stored: Stored) -> set[str]:
    """The formats of a matrix that checkpoints may hold in several ways, of several tensors: those of a way that is named."""
    named: set[str] = set()
    for way in ways:
        said = {stored.said(name.removesuffix(".weight")) for name in way.names}
        if said != {None}:
            formats = {name or stored.usual for name in said}
            named |= formats
            if len(said) == 1:
                return formats
    return named or {stored.usual}


def _family_of_names(family: Any, raw: Mapping[str, Any]) -> Any:
    """The family whose names a checkpoint's tensors have: a wrapper's are its text model's."""
    from ..families import BY_TYPE, multimodal, multimodal_own_code  # which hold this module

    if family not in (multimodal, multimodal_own_code):
        return family
    kinds: dict[str, Any] = {**multimodal_own_code.BESIDE, **multimodal.WRAPPERS, **multimodal.OWN}
    kinds |= {name: kind for name, (_, kind) in multimodal_own_code.INSIDE.items()}
    said, level = [raw.get("model_type")], raw
    while inner := next((level[key] for key in _INSIDE if isinstance(level.get(key), Mapping)), None):
        level = inner
        said.append(level.get("model_type"))
    for kind in (name for name in reversed(said) if isinstance(name, str)):
        kind = kind if kind in BY_TYPE and BY_TYPE[kind] is not family else kinds.get(kind) or kind
        kind = multimodal.TEXTS[kind].family if kind in multimodal.TEXTS else kind
        if BY_TYPE.get(kind, family) not in (multimodal, multimodal_own_code):
            return BY_TYPE[kind]
    return family


def _matrices(arch: Architecture, family: Any, every: bool = False) -> Iterator[tuple[str, Sequence]]:
    """(path in its part, ways in which checkpoints hold it) for each matrix that may be stored narrow, of every layer and every
    module that predicts ahead; of `every` expert, or of the first alone."""
    asked = arch if every else _with(arch, parts=_of_one_expert(arch))
    yield from _in_parts(arch, family.sources(asked), "layers")
    if arch.mtp:
        yield from _in_parts(arch, mtp.sources(family, asked), "block")


def _words(said: Any) -> Iterator[str]:
    """Every key and every text in a configuration."""
    if isinstance(said, str):
        yield said
    elif isinstance(said, Mapping | list | tuple):
        for inner in said:
            yield from _words(inner)
            yield from _words(said[inner]) if isinstance(said, Mapping) else ()


def _of_one_expert(arch: Architecture) -> dict[str, Part]:
    return {name: part.model_copy(update={"count": 1}) if hasattr(part, "count") else part for name, part in arch.parts.items()}


def _in_short(arch: Architecture) -> Architecture:
    """Each kind of layer once, for the names of its tensors alone: what is written treats all of one kind alike."""
    return _with(arch, layers=tuple(Segment(blocks=(block,)) for block in arch.distinct()))


def _in_parts(arch: Architecture, sources: Iterable[tuple[str, Sequence]], within: str) -> Iterator[tuple[str, Sequence]]:
    narrow = {(name, path) for name in arch.parts for path in _linear(arch, name)}
    for path, ways in sources:
        layer = re.match(r"layers\.\d+\.(.*)" if within == "layers" else r"\d+\.block\.(.*)", path)
        name, _, rest = layer[1].partition(".") if layer else ("", "", "")
        name = name if name in arch.parts else re.sub(r"_\d+$", "", name)
        if (name, rest) in narrow:
            yield f"{name}.{rest}", ways


def _with(arch: Architecture, **fields: Any) -> Architecture:
    """The architecture with other fields, for the names of its tensors alone: it is not checked."""
    return Architecture.model_construct(**{name: getattr(arch, name) for name in type(arch).model_fields} | fields)


def _linear(arch: Architecture, name: str) -> Iterator[str]:
    """Paths of a part's linear maps and stacked experts; routers and gates of one channel stay as they are."""
    traced = trace_part(arch.part(name), arch.d_model)
    for path, shape in traced.parameters.items():
        owner, _, leaf = path.rpartition(".")
        module = traced.boxes.get(owner)
        stacked = isinstance(module, StackedExperts) and not leaf.endswith("_bias")
        if stacked or (isinstance(module, Linear | nn.Linear) and len(shape) == 2 and shape[0] > 1):
            yield path


def shortest(arch: Architecture, formats: Mapping[str, str], plain: str) -> dict[str, str]:
    """The same formats by as few paths as say them: a part's own format, then what differs inside it."""
    said: dict[str, str] = {}
    for name in arch.parts:
        shapes = [(path, shape) for path, shape in _tensors(arch, name) if len(shape) > 1]
        inner = {path: plain for path, shape in shapes if formats.keys().isdisjoint(arch.pieces(path, shape))}
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


# ---- which method it is ----

# What a configuration has that does not name its method, by the first of these that it has.
_TELLING = {
    "load_in_4bit": "bitsandbytes", "load_in_8bit": "bitsandbytes", "quant_algo": "modelopt", "quantization": "modelopt",
    "config_groups": "compressed-tensors", "weight_block_size": "fp8", "w_bit": "awq", "desc_act": "gptq",
}  # fmt: skip


def _method(config: Config) -> str:
    """The name of the method, which files from before quant_method tell by their keys."""
    said = config.take("quant_method", str, None)
    if said is None:
        telling = next((name for key, name in _TELLING.items() if config.raw.get(key)), None)
        if telling:
            return telling
        if config.raw.keys() >= {"bits", "group_size"}:
            raise Unsupported(f"{config.where}: {shown(dict(config.raw))} is the layout of MLX, whose bytes Strata does not know")
        given = config.raw["name"] if config.raw.keys() == {"name"} else dict(config.raw)
        raise Unsupported(f"{config.where}: {shown(given)} does not say how the weights are quantised")
    name = said.lower().replace("compressed_tensors", "compressed-tensors").removeprefix("intel/")
    if name in ("modelopt_fp4", "modelopt_mixed"):
        name = "modelopt"
    if name not in _METHODS:
        raise config.refuse("quant_method", f"Strata can tell the bytes of mxfp4, {', '.join(_METHODS)}")
    return name


# ---- what a list's entries mean, by the rule of each tool ----


def _entries(config: Config, *keys: str) -> list[str]:
    return [entry for key in keys for entry in config.listing(key, str, (), most=_ENTRIES)]


def _as_transformers(config: Config, key: str, entries: Sequence[str]) -> Callable[[str], bool]:
    """`should_convert_module`: a module, what is below it, what ends with these letters, or an expression up to a step's end.
    Where transformers' older versions and SGLang would take an entry for steps within a name, nobody can know which is meant."""
    plain = [entry for entry in entries if not is_expression(entry)]
    steps = [entry for entry in entries if is_expression(entry)]
    below = [entry.rstrip(".") for entry in plain]
    ends = [entry for entry in plain if not entry.startswith(WRAPPED)]  # the others are whole names
    return _agreed(config, key, Names(below=below, ends=ends, steps=steps), Names(within=below, steps=steps))


def _as_autoawq(config: Config, key: str, entries: Sequence[str]) -> Callable[[str], bool]:
    """AutoAWQ and vLLM: an entry's letters anywhere in a name. Where they are not whole steps, readers differ. What is packed are
    linear maps, each expert's own: the names of stacked experts are not asked about."""
    letters = Names(begin=[f".*{re.escape(entry)}" for entry in entries])
    keeps = _agreed(config, key, Names(within=[entry.strip(".") for entry in entries]), letters)
    return lambda name: not _STACKED.search(name) and keeps(name)


_STACKED = re.compile(r"\.experts\.[a-z_]+$")


def _agreed(config: Config, key: str, one: Names, other: Names) -> Callable[[str], bool]:
    @cache
    def keeps(name: str) -> bool:
        found = name in one
        if found != (name in other):
            raise config.refuse(key, f"tools differ in whether {name} is one of these")
        return found

    return keeps


def _as_modelopt(entries: Sequence[str]) -> Names:
    """Globs of whole names; without a * a module, what is below it, or steps within a name, as vLLM and SGLang have it."""
    plain = [entry for entry in entries if not any(c in entry for c in "*?[")]
    return Names(within=plain, **globs(entry for entry in entries if entry not in set(plain)))


def _as_compressed(entries: Sequence[str]) -> Names:
    """A module's whole name, or `re:` and an expression that its beginning matches."""
    expressions = [entry.removeprefix("re:") for entry in entries if entry.startswith("re:")]
    return Names(exact=[entry for entry in entries if not entry.startswith("re:")], begin=expressions)


def _but(usual: str, plain: str, keeps: Callable[[str], bool], **more: Any) -> Stored:
    return Stored(usual, lambda name: plain if keeps(name) else None, **more)


# ---- the methods: what each says of the format, and what stays wide ----


def _fp8(config: Config, plain: str) -> Stored:
    config.ignore("activation_scheme", "scale_fmt", "dequantize", "use_kernel", "fmt", "kv_cache_scheme")
    config.expect("fmt", "e4m3", "float8_e4m3fn")
    config.expect("store_dtype", "fp8")  # MiMo-V2.5; its successor says mxfp4 here
    block = config.listing("weight_block_size", int)
    if block is not None and list(block) != [128, 128]:
        raise config.refuse("weight_block_size", "the spec's fp8 blocks are [128, 128]")
    key = "ignored_layers" if config.has("ignored_layers") else "modules_to_not_convert"
    kept = _entries(config, "modules_to_not_convert", "ignored_layers")
    return _but("fp8_block" if block else "fp8", plain, _as_transformers(config, key, kept))


def _fbgemm(config: Config, plain: str) -> Stored:
    config.ignore("activation_scale_ub")
    return _but("fp8_row", plain, _kept(config))


def _kept(config: Config, key: str = "modules_to_not_convert") -> Callable[[str], bool]:
    return _as_transformers(config, key, _entries(config, key))


def _awq(config: Config, plain: str) -> Stored:
    config.ignore(
        *_ROUNDING, "version", "backend", "do_fuse", "fuse_max_seq_len", "exllama_config", "modules_to_fuse", "format", "sym",
        "batch_size", "dataset",
    )  # fmt: skip
    config.expect("data_type", "int")
    config.expect("zero_point", True)
    config.expect("bits", 4)
    config.expect("w_bit", 4)
    key = "q_group_size" if config.has("q_group_size") else "group_size"
    name = _groups(config, "uint4", config.count(key, 128))
    kept = _entries(config, "modules_to_not_convert")
    return _but(name, plain, _as_autoawq(config, "modules_to_not_convert", kept))


def _gptq(config: Config, plain: str) -> Stored:
    config.ignore(
        "desc_act", "sym", "damp_percent", "dataset", "tokenizer", "true_sequential", "static_groups", "model_name_or_path",
        "model_file_base_name", "backend", "use_exllama", "disable_exllama", "exllama_config", "max_input_length", "cache_block_outputs",
        "block_name_to_quantize", "module_name_preceding_first_block", "batch_size", "pad_token_id", "use_cuda_fp16", "model_seqlen",
        "checkpoint_format", "meta", "format", "act_group_aware", "is_marlin_format", "quantizer", "pack_dtype", "dynamic",
    )  # fmt: skip
    config.ignore(*_ROUNDING)
    config.expect("data_type", "int")
    config.expect("lm_head", None, False, {}, [])
    rules = config.nested("dynamic").raw  # expressions: -: what is not quantised, else what is with other settings
    if others := [rule for rule, changes in rules.items() if not rule.startswith("-:") and changes]:
        raise config.refuse("dynamic", f"{shown(others[0])} has settings of its own")
    wide = Names(begin=[rule.removeprefix("-:") for rule in rules if rule.startswith("-:")])
    inside = config.listing("modules_in_block_to_quantize", (list, str), ())  # those alone, each in one list or in several
    chosen = [name for one in inside for name in (one if isinstance(one, list) else [one])]
    if not all(isinstance(name, str) for name in chosen):
        raise config.refuse("modules_in_block_to_quantize", "expected a list of modules, or of lists of them")
    packed, narrow = _packed(config), Names(within=chosen)
    if chosen:
        return Stored(plain, lambda name: packed if name in narrow and name not in wide else None)
    return _but(packed, plain, wide.__contains__)


def _auto_round(config: Config, plain: str) -> Stored:
    config.ignore(
        *_ROUNDING, "sym", "batch_size", "dataset", "block_name_to_quantize", "backend", "act_bits", "extra_config", "desc_act"
    )  # fmt: skip
    config.expect("data_type", "int")
    config.expect("act_bits", 16, 32)
    config.expect("packing_format", "auto_round:auto_gptq", "auto_round:auto_awq", "auto_round:gptqmodel", "auto_gptq", "auto_awq")
    kept = config.nested("extra_config").raw
    for name, changes in kept.items():
        bits = changes.get("bits") if isinstance(changes, Mapping) else None
        if is_expression(name) or not isinstance(bits, int) or bits < 16:
            raise config.refuse("extra_config", f"{shown(name)} has settings of its own")
    return _but(_packed(config), plain, Names(exact=kept).__contains__)


# How auto-round tuned, which it says in the layouts of others too.
_ROUNDING = (
    "autoround_version", "iters", "nsamples", "seqlen", "lr", "minmax_lr", "low_gpu_mem_usage", "amp", "enable_minmax_tuning",
    "enable_norm_bias_tuning", "enable_quanted_input", "gradient_accumulate_steps", "scale_dtype", "to_quant_block_names",
    "quant_block_list", "act_data_type", "act_group_size", "act_dynamic", "act_sym", "static_kv_dtype", "super_bits",
    "super_group_size", "model_free", "train_bs", "n_samples", "use_quant_input",
)  # fmt: skip


def _packed(config: Config) -> str:
    bits, size = config.count("bits", None), config.take("group_size", int, 128)
    if (bits, size) not in ((4, 32), (4, 64), (4, 128), (8, 128)):
        key = "bits" if bits not in (4, 8) else "group_size"
        raise config.refuse(key, "4 bits in groups of 32, 64 or 128, 8 in 128")
    return "int8_g128" if bits == 8 else _groups(config, "uint4", size)


def _compressed(config: Config, plain: str) -> Stored:
    config.ignore("global_compression_ratio", "quantization_status", "version", "kv_cache_scheme", "run_compressed", "provider")
    sparsity = config.nested("sparsity_config")
    if sparsity.raw:
        sparsity.expect("format", "dense")  # of zeros that are stored like any other value
    config.expect("transform_config", None, {})
    config.expect("format", *_LAYOUTS, *(["dense"] if not config.raw.get("config_groups") else []))
    kept = _entries(config, "ignore")
    wide, every = _as_compressed(kept), "Linear" in kept
    groups = [(fmt, set(targets), _as_compressed(targets)) for fmt, targets in _format_groups(config, plain)]
    linear = {fmt for fmt, targets, _ in groups if "Linear" in targets}
    classes = {name for _, targets, _ in groups for name in targets if re.fullmatch("[A-Z]\\w*", name)} - {"Linear"}
    if classes or len(linear) > 1:
        raise config.refuse("config_groups", f"{shown(sorted(classes) or ['Linear', 'Linear'])} as targets are not read")

    def said(name: str) -> str | None:
        if every or name in wide:
            return plain
        formats = {fmt for fmt, _, names in groups if name in names}
        if len(formats) > 1:
            raise config.refuse("config_groups", f"{name} is a target of several")
        return formats.pop() if formats else None

    return Stored(linear.pop() if linear else plain, said, head=True)


_LAYOUTS = ("pack-quantized", "int-quantized", "float-quantized", "naive-quantized", "nvfp4-pack-quantized", "mxfp4-pack-quantized",
            "mixed-precision")  # fmt: skip


def _finish(config: Config) -> None:
    """Refuse what nobody took, unless it is empty or off."""
    for key in sorted(config.left):
        if config.raw.get(key) not in (None, False, [], {}):
            raise config.refuse(key, "it is no key that Strata knows, and the stored format may depend on it")


def _format_groups(config: Config, plain: str) -> Iterator[tuple[str, list[str]]]:
    """The format of each group of a compressed-tensors configuration, and what it is for."""
    groups = config.nested("config_groups")
    for key in groups.raw:
        group = groups.nested(key)
        group.ignore("input_activations", "output_activations")
        group.expect("format", *_LAYOUTS)
        targets = group.listing("targets", str, ["Linear"], most=_ENTRIES)
        layout = group.raw.get("format") or config.raw.get("format")
        yield (_format(config, group.nested("weights"), layout) if group.has("weights") else plain), targets
        group.take("weights", dict, {})
        _finish(group)


def _format(config: Config, weights: Config, layout: str | None) -> str:
    """The spec's format of a group's weights."""
    weights.ignore("actorder", "observer", "observer_kwargs", "dynamic", "block_structure", "scale_dtype", "zp_dtype")
    bits, kind = weights.count("num_bits", None), weights.take("type", str, "int")
    strategy, size = weights.take("strategy", str, None), weights.count("group_size", None)
    strategy = strategy or ("group" if size else "tensor")
    symmetric = weights.take("symmetric", bool, True)
    block = weights.raw.get("block_structure")
    _finish(weights)
    match bits, kind, strategy:
        case 4, _, _ if layout in ("int-quantized", "float-quantized", "naive-quantized"):
            pass  # a byte for each value
        case 4, "int", "group":
            return _groups(weights, "int4" if symmetric else "uint4", size)
        case 8, "int", "channel" | "tensor":
            return "int8"
        case 8, "float", "channel":
            return "fp8_row"
        case 8, "float", "tensor":
            return "fp8"
        case 8, "float", "block" if block in (None, [128, 128], "128x128"):
            return "fp8_block"
        case 4, "float", "tensor_group" | "group" if size == 16:
            return "nvfp4"
        case 4, "float", "group" if size == 32:
            return "mxfp4"
    raise config.refuse("config_groups", f"{bits} bits of {kind[:20]} by {strategy[:20]} are no format of the spec")


def _modelopt(config: Config, plain: str) -> Stored:
    config.ignore("producer", "config_groups", "quantization")
    own = config.nested("quantization") if config.has("quantization") else config  # hf_quant_config.json's form
    own.ignore("kv_cache_quant_algo", "kv_cache_scheme")
    wide = _as_modelopt(_entries(own, "ignore", "exclude_modules"))
    listed = own.has("ignore") or own.has("exclude_modules")  # older versions give no list, and keep the head wide
    algorithm = str(own.raw.get("quant_algo")).upper()
    if algorithm == "NONE" and (own.has("kv_cache_quant_algo") or own.has("kv_cache_scheme")):
        own.ignore("quant_algo", "group_size")
        stored = Stored(plain)  # only its caches are narrow
    elif algorithm == "MIXED_PRECISION":
        own.ignore("quant_algo", "group_size")
        layers, by_format = own.nested("quantized_layers"), defaultdict(list)
        for name in layers.raw:
            by_format[_algorithm(layers.nested(name))].append(name)
        narrow = [(fmt, Names(below=names)) for fmt, names in by_format.items()]

        def said(name: str) -> str | None:
            return None if name in wide else next((fmt for fmt, names in narrow if name in names), None)

        stored = Stored(plain, said, head=True)
    else:
        stored = _but(_algorithm(own), plain, wide.__contains__, head=listed)
    _finish(own)
    return stored


def _algorithm(config: Config) -> str:
    """The format that one of modelopt's algorithms stores."""
    name = _ALGORITHMS.get(config.take("quant_algo", str, "").upper())
    if name is None:
        raise config.refuse("quant_algo", f"Strata can tell the bytes of {', '.join(_ALGORITHMS)}")
    config.expect("group_size", *((16,) if name == "nvfp4" else (0, 16, 32, 64, 128)))  # the others' is not asked
    config.expect("pre_quant_scale", False)
    config.expect("has_zero_point", False)
    return name


_ALGORITHMS = {
    "FP8": "fp8", "FP8_PER_CHANNEL_PER_TOKEN": "fp8_row", "FP8_PB_WO": "fp8_block", "NVFP4": "nvfp4", "W4A16_NVFP4": "nvfp4",
}  # fmt: skip


def _bitsandbytes(config: Config, plain: str) -> Stored:
    config.ignore(*(key for key in config.raw if key.startswith(("bnb_4bit_compute", "llm_int8", "bnb_4bit_quant_storage"))))
    config.ignore("_load_in_4bit", "_load_in_8bit")
    config.expect("bits", 4 if config.raw.get("load_in_4bit") else 8)
    narrow, wide = config.take("load_in_4bit", bool, False), config.take("load_in_8bit", bool, False)
    config.expect("bnb_4bit_quant_type", "nf4", "fp4")  # the second is the default, and as large
    four = "nf4" if config.take("bnb_4bit_use_double_quant", bool, False) else "nf4_fp32"
    if narrow == wide:
        raise config.refuse("load_in_4bit", "one of load_in_4bit and load_in_8bit is true")
    return _but(four if narrow else "int8", plain, _kept(config, "llm_int8_skip_modules"))


def _bitnet(config: Config, plain: str) -> Stored:
    config.ignore("linear_class", "rms_norm_eps", "use_rms_norm")
    mode = config.take("quantization_mode", str, "offline")
    if mode not in ("offline", "online"):
        raise config.refuse("quantization_mode", "offline stores three values, online makes them of wide ones")
    return _but("ternary" if mode == "offline" else plain, plain, _kept(config))


def _groups(config: Config, kind: str, size: int | None) -> str:
    if size not in (32, 64, 128):
        raise config.refuse("group_size", "the spec's groups are of 32, 64 or 128")
    return kind if (kind, size) == ("int4", 32) else f"{kind}_g{size}"


_METHODS: dict[str, Callable[[Config, str], Stored]] = {
    "fp8": _fp8, "fbgemm_fp8": _fbgemm, "awq": _awq, "gptq": _gptq, "compressed-tensors": _compressed, "modelopt": _modelopt,
    "bitsandbytes": _bitsandbytes, "bitnet": _bitnet, "auto-round": _auto_round,
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
    arch = _in_short(arch)
    formats = {path: arch.format(path, (2, 2)) for path in (*dict(_matrices(arch, family)), *_own_head(arch))}
    plain = arch.precision.get("default", "bf16")
    narrow = set(formats.values()) - {plain}
    if not narrow or narrow <= set(ELSEWHERE) and any(path.endswith("_bias") for path in arch.precision):
        return {}
    if len(narrow) > 1:
        raise Unsupported(f"precision: a config.json has one narrow format, not {' and '.join(sorted(narrow))}")
    name = narrow.pop()
    kept = {_everywhere(way.names[0]) for path, ways in _matrices(arch, family) if formats[path] == plain for way in ways[:1]}
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
    ignore += [_head(arch, family)[0].names[0].removesuffix(".weight") for path in _own_head(arch) if formats[path] == plain]
    return {"quantization_config": {"quant_method": "compressed-tensors", "config_groups": groups, "ignore": ignore}}


def read_back(arch: Architecture, family: Any, said: Mapping[str, Any]) -> Mapping[str, str]:
    """The `precision` of an architecture whose config.json says beside the rest what was `written`: as `from_hf` reads it, of each
    kind of layer once and of one expert."""
    config = said.get(KEYS[0])
    if not config:
        return arch.precision
    if hasattr(family, "stored"):
        return family.stored(arch, Config(config, KEYS[0])).precision
    return _told(_with(_in_short(arch), parts=_of_one_expert(arch)), family, Config(config, KEYS[0]))


def _own_head(arch: Architecture) -> list[str]:
    """The output head, where it has a matrix of its own."""
    return [] if arch.tied_embeddings else ["head"]


def _everywhere(name: str) -> str:
    r"""A module of one layer as an expression for it in every layer: model\.layers\.\d+\.mlp\.up_proj."""
    return re.sub(r"(?<=\\\.)\d+(?=\\\.)", r"\\d+", re.escape(name.removesuffix(".weight")))
