"""config.json in and out, and checkpoints in: one file a family where they differ.

A family's module has `TYPES` (its model_type values), `read(config, model_type) -> dict` (the spec's mapping),
`write(arch) -> dict` (the config.json) and `sources(arch) -> Sources` (where each parameter is in a checkpoint).
"""

import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from ..spec import Architecture, Unsupported, parse
from .config import Config
from .weights import fill

_SHARED = {"config", "weights", "common"}
FAMILIES = [
    importlib.import_module(f"{__name__}.{module.name}")
    for module in pkgutil.iter_modules(__path__)
    if module.name not in _SHARED
]
BY_TYPE = {model_type: family for family in FAMILIES for model_type in family.TYPES}
METADATA = ("name", "title", "family", "organisation", "released", "licence", "sources", "note")


def from_hf(config: Mapping[str, Any]) -> Architecture:
    """The Architecture that a config.json describes, exactly; otherwise Unsupported, naming the key."""
    reader = Config(config)
    model_type = reader.take("model_type", str)
    family = BY_TYPE.get(model_type)
    if family is None:
        raise Unsupported(f"model_type: {model_type!r:.60} is not one that Strata reads yet; it reads {', '.join(sorted(BY_TYPE))}")
    value = family.read(reader, model_type)
    reader.finish()
    label = str(config.get("_name_or_path") or model_type).rstrip("/").split("/")[-1][:64]
    slug = "".join(c if c.isalnum() or c in "._-" else "-" for c in label.lower()).strip("._-") or "imported"
    meta = {"name": slug, "title": label or "Imported", "family": model_type}
    given = config.get("strata")
    if isinstance(given, Mapping):  # what `to_hf` wrote: words about the model, never its architecture
        meta |= {key: given[key] for key in METADATA if key in given}
    return parse(meta | value)


def family_of(arch: Architecture):
    """The family whose config.json can say this architecture; Unsupported where none can."""
    for family in FAMILIES:
        try:
            config = family.write(arch)
            if config is not None and _same(from_hf(config | {"strata": _metadata(arch)}), arch):
                return family
        except (Unsupported, KeyError, AttributeError, TypeError, ValueError, IndexError):
            continue
    raise Unsupported(f"{arch.title}: no family's config.json can say this architecture; export it as JSON or YAML instead")


def _same(a: Architecture, b: Architecture) -> bool:
    return a == b


def _metadata(arch: Architecture) -> dict:
    return arch.model_dump(mode="json", include=set(METADATA), exclude_none=True)


def to_hf(arch: Architecture) -> dict:
    """The config.json of an architecture, in its family's own keys; `from_hf` reads the same architecture back.

    Raises Unsupported where no family's config.json can say it.
    """
    return family_of(arch).write(arch) | {"strata": _metadata(arch)}


def load_weights(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Fill a built model from a checkpoint's state dict, by its family's own tensor names.

    Raises Unsupported for any tensor that is missing, left over or of another shape.
    """
    family = family_of(model.arch)
    fill(model, tensors, family.sources(model.arch), family.ignored)
