"""config.json in and out, and checkpoints in. `reading` reads a config.json and its keys, `weights` has the
tensor names of checkpoints, and `families` has one file per family for what differs.

A family's module has `TYPES` (its model_type values), `KEYS` (the keys that it declares: `reading.keys`; by type where these differ),
`read(config, model_type) -> dict` (the spec's mapping),
`write(arch) -> dict` (the config.json, or Unsupported: it says by `pieces.made_of` what its layers have),
`sources(arch) -> Sources` (where each parameter is in a checkpoint),
`ignored(name) -> bool` (tensors that are no part of the model) and, where it is not `model.` alone,
`ROOTS` (what names begin with; those that do not are below the first); where it stores matrices as no other family does,
`stored(arch, config) -> Architecture` and `write_stored(arch)` read and write its quantization_config.
A module with a table of families has `FAMILIES`, a list of such objects; one without either is what families share.
"""

import difflib
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor

from ..frame import Ahead
from ..model import Model
from ..reading import bounded
from ..spec import METADATA, Architecture, Segment, Unsupported, parse
from ..words import number
from .families import BY_TYPE, FAMILIES, multimodal
from .reading import classes, other_files, quantised
from .reading.config import FILLED, OTHER_NAMES, TEXT_KEYS, Config, shown
from .weights import mtp
from .weights.checkpoint import Reader, fill, misfits, plain_names


def from_hf(config: Mapping[str, Any]) -> Architecture:
    """The Architecture that a config.json describes, exactly; otherwise Unsupported, naming the key."""
    Config(config)  # refuses what is not a mapping of keys
    if other := other_files.named(config):
        raise Unsupported(other)
    bounded(config, "config.json")
    plain, narrow = quantised.taken(config)
    reader = Config(plain)
    model_type = _type(reader)
    family = BY_TYPE.get(model_type)
    if family is None:
        if model_type in other_files.KINDS or plain.get("is_encoder_decoder") is True:
            kind = other_files.KINDS.get(model_type, other_files.KINDS["t5"])
            raise Unsupported(f"model_type: {shown(model_type)} is not supported: it is {kind}; Strata reads only decoders")
        if known := [one for one in classes.types_of(reader) if one in BY_TYPE]:
            raise Unsupported(
                f"model_type: {shown(model_type)} is not one that Strata reads, but {shown(classes.names(reader)[0])} in architectures is "
                f"a class of {' and '.join(known)}; give that as model_type if it is that model"
            )
        near = difflib.get_close_matches(model_type[:64], BY_TYPE, 3, cutoff=0.75) or ["llama", "qwen3", "deepseek_v3"]
        raise Unsupported(
            f"model_type: {shown(model_type)} is not one that Strata reads yet; it reads {len(BY_TYPE)}, among them {', '.join(near)}"
        )
    reader.rename(OTHER_NAMES.get(model_type, {}))
    classes.headed(reader, model_type)
    bare = not reader.left
    value = family.read(reader, model_type)
    classes.agree(reader, model_type, value)
    _sized(reader, model_type, bare)
    multimodal.said_twice(reader, value, lambda raw: family.read(Config(raw), model_type))
    reader.finish(value)
    label = reader.raw.get("_name_or_path")
    label = (label if isinstance(label, str) and label.isprintable() and label else model_type).rstrip("/").split("/")[-1][:64]
    slug = "".join(c if c.isascii() and c.isalnum() or c in "._-" else "-" for c in label.lower()).strip("._-") or "imported"
    meta = {"name": slug, "title": label or "Imported", "family": model_type, "model_type": model_type}
    given = config.get("strata")
    if isinstance(given, Mapping):  # written by `to_hf`: metadata of the model, never its architecture
        meta |= {key: given[key] for key in METADATA if key in given}
    arch = parse(meta | value)
    return quantised.quantised(arch, family, narrow, config) if narrow else arch


@dataclass(frozen=True)
class Default:
    """A key that a config.json leaves out, and what the model's class takes for it."""

    key: str
    value: int | float | str

    @property
    def said(self) -> str:
        return self.value if isinstance(self.value, str) else str(self.value).lower() if self.value in (True, False) else number(self.value)

    def __str__(self) -> str:
        return f"{self.key} is not in the file; {self.said} is the class's default"


def defaults(config: Mapping[str, Any]) -> tuple[Default, ...]:
    """The sizes, counts and kinds that shape the model of a config.json but are not in it, with the class's defaults that `from_hf`
    takes for them. What is off, empty or 1 by default is left out, except whether embeddings are tied."""
    reader = Config(quantised.taken(config)[0])
    model_type = _type(reader)
    reader.rename(OTHER_NAMES.get(model_type, {}))
    filled: dict[str, Any] = {}
    token = FILLED.set(filled)
    try:
        BY_TYPE[model_type].read(reader, model_type)
    finally:
        FILLED.reset(token)
    return shaping(filled)


def shaping(filled: Mapping[str, Any]) -> tuple[Default, ...]:
    """Those of the values that a reading took by default (`FILLED`) that shape the model."""
    return tuple(Default(path, value) for path, value in filled.items() if _shapes(path, value, filled))


def _shapes(path: str, value: Any, filled: Mapping[str, Any]) -> bool:
    where, _, key = path.rpartition(".")
    if not isinstance(value, int | float | str) or not set(where.split(".")) <= {"", *TEXT_KEYS}:
        return False
    if key in ("sliding_window", "max_window_layers") and filled.get(path.removesuffix(key) + "use_sliding_window") is False:
        return False
    return key == "tie_word_embeddings" or value not in (0, 1, -1, "", "auto", "default")


def opened(config: Mapping[str, Any]) -> Architecture:
    """The Architecture of somebody's config.json, whose note lists the defaults in it: a link then says them too. A refusal of a
    number that is a default says that it is one."""
    filled: dict[str, Any] = {}
    token = FILLED.set(filled)
    try:
        arch = from_hf(config)
    except Unsupported as error:
        numbers = set(re.findall(r"[\d,]*\d", str(error))) - {number(n) for n in config.values() if isinstance(n, int | float)}
        said = [str(one) for one in shaping(filled) if one.said in numbers]
        raise Unsupported(". ".join([str(error), *said])) from None
    finally:
        FILLED.reset(token)
    return noted(arch, defaults(config), "Not in the config.json, so defaults of the model's class:")


def noted(arch: Architecture, found: Collection[Default], words: str) -> Architecture:
    """The Architecture with the defaults in it as its note, if it has none."""
    if not found or arch.note:
        return arch
    left = len(found)
    for one in found:
        longer = f"{words}{',' * (left < len(found))} {one.key} {one.said}"
        if len(longer) > MOST_WORDS:
            break
        words, left = longer, left - 1
    return arch.model_copy(update={"note": f"{words}{f' and {left} more' * (left > 0)}."})


MOST_WORDS = 900  # a note's characters


_SIZES = ("hidden_size", "vocab_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
_MAY_BE_NULL = {  # of these types another size says it, or each layer does
    "intermediate_size": ("deci", "falcon_mamba", "gpt_neo", "mamba", "nemotron-nas", "rwkv", "rwkv6", "rwkv7", "zamba2"),
    "num_attention_heads": ("jetmoe", "rwkv7"),
}  # fmt: skip


def _sized(config: Config, model_type: str, bare: bool) -> None:
    """Refuse a file without any key of its class, which transformers always writes, and a size that is null."""
    if bare:
        raise Unsupported(
            f"model_type: {shown(model_type)} is the only key about the model, so every size would be a default; give a "
            "whole config.json (a repository of GGUF files has none: take the model's own)"
        )
    for key in _SIZES:
        null = key in config.raw and config.raw[key] is None and key not in config.left
        if null and model_type not in _MAY_BE_NULL.get(key, ()):
            raise config.refuse(key, "it is a size; give a whole number")


def _type(config: Config) -> str:
    """Its model_type; if it has none, the one type that its class is named after."""
    if config.has("model_type"):
        return config.take("model_type", str)
    if named := classes.type_of(config):
        return named
    raise Unsupported(
        "model_type: is missing, and the model cannot be known without it; give a model's whole config.json, or a preset's YAML"
    )


def families_of(arch: Architecture) -> Iterator[tuple[Any, dict]]:
    """The families whose config.json can represent this architecture, in any stored format, and that config.json; the
    family of its own model_type comes first."""
    tree = arch.model_dump(mode="json", include={*_STRUCTURE} - {"layers"}, exclude_defaults=True)
    for family in sorted(FAMILIES, key=partial(_distance, arch)):
        try:
            config = family.write(arch)
            value = _value(Config(config))
            if not _says(value, tree) or not _repeats(value, arch):
                continue
            read = from_hf(config)
        except Unsupported:
            continue
        if all(getattr(read, name) == getattr(arch, name) for name in _STRUCTURE):
            yield family, config


def _value(config: Config) -> dict:
    """The spec's mapping that a family reads in what it has written itself."""
    model_type = config.raw["model_type"]
    config.rename(OTHER_NAMES.get(model_type, {}))
    return BY_TYPE[model_type].read(config, model_type)


def _repeats(value: Mapping[str, Any], arch: Architecture) -> bool:
    """Whether the spec's mapping has the architecture's layers, step by step."""
    runs = [(run.repeat, len(run.blocks)) for run in arch.layers]
    if [(run["repeat"], len(run["blocks"])) for run in value["layers"]] != runs:
        return False
    return all(Segment.model_validate(run) == own for run, own in zip(value["layers"], arch.layers, strict=True))


def _says(value: Mapping[str, Any], tree: Mapping[str, Any]) -> bool:
    """Whether the spec's mapping has all that a tree without defaults says, and no other number or word: most families are out
    by this already, before their mapping is checked and made an architecture."""
    for key, wanted in tree.items():
        given = value.get(key)
        if isinstance(wanted, Mapping) and isinstance(given, Mapping):
            if not _says(given, wanted):
                return False
        elif key not in value:
            if key != "kind":  # which may go without saying
                return False
        elif isinstance(given, _PLAIN) and isinstance(wanted, _PLAIN) and given != wanted:
            return False
    return True


_PLAIN = (int, float, str)
BESIDE_IT = 4_000  # tensors that a checkpoint may have of what sees, hears and speaks
_STRUCTURE = [name for name in Architecture.model_fields if name not in (*METADATA, "precision")]


def _distance(arch: Architecture, family: Any) -> int:
    """0 for the family of the type that it came from, 1 for the one that bears its family's name, 2 for those whose names begin
    alike, 3 for llama, 4 for others."""
    own, types = _plain(arch.family or ""), [*map(_plain, family.TYPES)]
    if arch.model_type in family.TYPES or own in types:
        return int(arch.model_type not in family.TYPES)
    alike = own and any(name.startswith(own) or own.startswith(name) for name in types)
    return 2 if alike else 3 if "llama" in types else 4


def _plain(name: str) -> str:
    return name.lower().replace("-", "_")


def _metadata(arch: Architecture) -> dict:
    """Metadata that `from_hf` would take from the config.json is written even if it is None."""
    said = arch.model_dump(mode="json", include=set(METADATA), exclude_defaults=True)
    return {"family": arch.family, "model_type": arch.model_type} | said


def to_hf(arch: Architecture) -> dict:
    """The config.json of an architecture, in its family's own keys; `from_hf` reads the same architecture back.

    Raises Unsupported if no family's config.json can represent it.
    """
    for family, config in families_of(arch):
        try:
            said = quantised.written(arch, family)
            read = from_hf(config | {key: value for key, value in said.items() if key not in quantised.KEYS})
            if quantised.read_back(read, family, said) == arch.precision:
                return config | said | {"strata": _metadata(arch)}
        except Unsupported:
            continue
    raise Unsupported(f"{arch.title}: no known config.json can represent this architecture; export it as JSON or YAML instead")


def load_weights(model: Model | Ahead, tensors: Mapping[str, Tensor]) -> None:
    """Fill a built model, or its multi-token-prediction modules (`build_mtp`), from a checkpoint's state dict, with the tensor names of
    the family that fits best.

    Raises Unsupported for any tensor that is missing, left over or of another shape.
    """
    arch = model.arch
    family, names = family_for(arch, tensors)
    if isinstance(model, Ahead):  # only the multi-token-prediction modules
        own = {plain: name for plain, name in names.items() if ahead(plain, arch)}
        repeated = {name for _, name in mtp.copies(family, arch)}
        fill(model, Reader(tensors, own), mtp.sources(family, arch), lambda name: name in repeated or family.ignored(name))
        return
    own = {plain: name for plain, name in names.items() if not ahead(plain, arch)}
    fill(model, Reader(tensors, own), family.sources(arch), family.ignored)


def family_for(arch: Architecture, tensors: Collection[str]) -> tuple[Any, dict[str, str]]:
    """The family whose names fit a checkpoint's tensors best, and its plain names -> the checkpoint's names."""
    fits = []
    named: dict[tuple, tuple[dict[str, str], set[str]]] = {}  # families share their roots and what they pass over
    for family, _ in families_of(arch):
        if not named:
            most = sum(len(way.names) for _, ways in family.sources(arch) for way in ways)
            if len(tensors) > 2 * most + BESIDE_IT:
                raise Unsupported(
                    f"the checkpoint has {len(tensors):,} tensors, but {arch.title} has at most about {most:,}: it belongs to another model"
                )
        key = tuple(getattr(family, "ROOTS", ("model.",))), family.ignored
        if key not in named:
            names = plain_names(tensors, key[0])
            named[key] = names, {plain for plain in names if not ahead(plain, arch)}
            named[key][1].difference_update([plain for plain in named[key][1] if family.ignored(plain)])
        names, own = named[key]
        fits.append((misfits(own, family.sources(arch)), family, names))
        if not fits[-1][0]:
            break
    if not fits:
        raise Unsupported(f"{arch.title}: no known checkpoint format has this architecture")
    _, family, names = min(fits, key=lambda fit: fit[0])
    return family, names


def ahead(name: str, arch: Architecture) -> bool:
    """Whether a tensor belongs to the multi-token-prediction modules, which checkpoints store as further layers or below their
    own name."""
    layer = re.match(r"model\.(?:mtp|layers\.(\d+)\.)", name)
    return bool(arch.mtp and layer and (layer[1] is None or int(layer[1]) >= arch.depth))
