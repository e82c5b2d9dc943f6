"""config.json in and out, and checkpoints in: one file a family where they differ.

A family's module has `TYPES` (its model_type values), `read(config, model_type) -> dict` (the spec's mapping),
`write(arch) -> dict` (the config.json), `sources(arch) -> Sources` (where each parameter is in a checkpoint),
`ignored(name) -> bool` (tensors that are no part of the model) and, where it is not `model.` alone,
`ROOTS` (what names begin with; those that do not are below the first); where it stores matrices as no other family does,
`stored(arch, config) -> Architecture` and `write_stored(arch)` read and write its quantization_config.
A module with a table of families has `FAMILIES`, a list of such objects; one without either is what families share.
"""

import difflib
import importlib
import pkgutil
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from ..model import Ahead
from ..spec import METADATA, Architecture, Unsupported, parse
from . import classes, files, mtp, quantised, wrappers
from .config import OTHER_NAMES, Config, shown
from .weights import Reader, fill, misfits, plain_names

_MODULES = [importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)]
FAMILIES = [f for module in _MODULES for f in getattr(module, "FAMILIES", [module] if hasattr(module, "TYPES") else [])]
BY_TYPE = {model_type: family for family in FAMILIES for model_type in family.TYPES}


def from_hf(config: Mapping[str, Any]) -> Architecture:
    """The Architecture that a config.json describes, exactly; otherwise Unsupported, naming the key."""
    Config(config)  # refuses what is no mapping of keys
    if other := files.named(config):
        raise Unsupported(other)
    plain, narrow = quantised.taken(config)
    reader = Config(plain)
    model_type = _type(reader)
    family = BY_TYPE.get(model_type)
    if family is None:
        if model_type in files.KINDS or plain.get("is_encoder_decoder") is True:
            kind = files.KINDS.get(model_type, files.KINDS["t5"])
            raise Unsupported(
                f"model_type: {shown(model_type)} is not supported: it is {kind}; Strata reads decoders alone"
            )
        near = difflib.get_close_matches(model_type[:64], BY_TYPE, 3) or ["llama", "qwen3", "deepseek_v3"]
        raise Unsupported(
            f"model_type: {shown(model_type)} is not one that Strata reads yet; it reads {len(BY_TYPE)}, among them {', '.join(near)}"
        )
    reader.rename(OTHER_NAMES.get(model_type, {}))
    classes.headed(reader, model_type)
    value = family.read(reader, model_type)
    classes.agree(reader, model_type, value)
    wrappers.said_twice(reader, value, lambda raw: family.read(Config(raw), model_type))
    reader.finish(value)
    label = reader.raw.get("_name_or_path")
    label = (label if isinstance(label, str) and label else model_type).rstrip("/").split("/")[-1][:64]
    slug = (
        "".join(c if c.isascii() and c.isalnum() or c in "._-" else "-" for c in label.lower()).strip("._-")
        or "imported"
    )
    meta = {"name": slug, "title": label or "Imported", "family": model_type}
    given = config.get("strata")
    if isinstance(given, Mapping):  # what `to_hf` wrote: words about the model, never its architecture
        meta |= {key: given[key] for key in METADATA if key in given}
    arch = parse(meta | value)
    return quantised.quantised(arch, family, narrow, config) if narrow else arch


def _type(config: Config) -> str:
    """Its model_type; where it says none, the one type that its class is named after."""
    if config.has("model_type"):
        return config.take("model_type", str)
    if named := classes.type_of(config):
        return named
    raise Unsupported(
        "model_type: is missing, and what this is cannot be known without it; give a model's config.json, whole, or a preset's YAML"
    )


def families_of(arch: Architecture) -> Iterator[tuple[Any, dict]]:
    """The families whose config.json can say this architecture, and that config.json; its own family first."""
    own = (arch.family or "").lower().replace("-", "_")
    for family in sorted(FAMILIES, key=lambda family: _distance(own, family)):
        try:
            config = (family.write(arch) or {}) | quantised.written(arch, family) | {"strata": _metadata(arch)}
            if from_hf(config) == arch:
                yield family, config
        except (Unsupported, LookupError, AttributeError, TypeError, ValueError, ArithmeticError, StopIteration):
            continue  # a writer may take for granted what only its own family has


def _distance(own: str, family: Any) -> int:
    """0 for the family of that type, 1 for those whose types begin with it, 2 for llama, 3 for others."""
    types = [model_type.lower().replace("-", "_") for model_type in family.TYPES]
    return 0 if own in types else 1 if own and any(t.startswith(own) for t in types) else 2 if "llama" in types else 3


def _metadata(arch: Architecture) -> dict:
    return arch.model_dump(mode="json", include=set(METADATA), exclude_defaults=True)


def to_hf(arch: Architecture) -> dict:
    """The config.json of an architecture, in its family's own keys; `from_hf` reads the same architecture back.

    Raises Unsupported where no family's config.json can say it.
    """
    for _, config in families_of(arch):
        return config
    raise Unsupported(
        f"{arch.title}: no family's config.json can say this architecture; export it as JSON or YAML instead"
    )


def load_weights(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Fill a built model, or its modules that predict ahead (`build_mtp`), from a checkpoint's state dict, by the tensor names of
    the family that fits them best.

    Raises Unsupported for any tensor that is missing, left over or of another shape.
    """
    arch = model.arch
    family, names = family_for(arch, tensors)
    if isinstance(model, Ahead):  # the modules that predict ahead alone
        own = {plain: name for plain, name in names.items() if ahead(plain, arch)}
        repeated = {name for _, name in mtp.copies(family, arch)}
        fill(
            model,
            Reader(tensors, own),
            mtp.sources(family, arch),
            lambda name: name in repeated or family.ignored(name),
        )
        return
    own = {plain: name for plain, name in names.items() if not ahead(plain, arch)}
    fill(model, Reader(tensors, own), family.sources(arch), family.ignored)


def family_for(arch: Architecture, tensors: Collection[str]) -> tuple[Any, dict[str, str]]:
    """The family whose names fit a checkpoint's tensors best, and its plain names -> the checkpoint's own."""
    fits = []
    for family, _ in families_of(arch):
        names = plain_names(tensors, getattr(family, "ROOTS", ("model.",)))
        own = [plain for plain in names if not ahead(plain, arch)]
        fits.append((misfits(own, family.sources(arch), family.ignored), family, names))
    if not fits:
        raise Unsupported(f"{arch.title}: no family's checkpoints are known to hold this architecture")
    _, family, names = min(fits, key=lambda fit: fit[0])
    return family, names


def ahead(name: str, arch: Architecture) -> bool:
    """Whether a tensor is of the multi-token-prediction modules, which checkpoints keep as further layers or below a name of
    their own."""
    layer = re.match(r"model\.(?:mtp|layers\.(\d+)\.)", name)
    return bool(arch.mtp and layer and (layer[1] is None or int(layer[1]) >= arch.depth))
