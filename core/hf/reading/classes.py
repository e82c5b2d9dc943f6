"""What `architectures` says: the class that a model was saved by. What is read is a language model with its head; a class
without one (an embedding, a classifier, a reward model), a draft for another model, or one that contradicts model_type is refused."""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from ...spec import Architecture, Unsupported, parse
from .config import TEXT_KEYS, Config, shown
from .other_files import KINDS

# How the names of classes end that give a token's logits, and the words of those that read another model's stream.
_HEADS = re.compile(r"(For)?CausalLM$|LMHead\w*Model$|ForConditionalGeneration$|ForVision2Seq$|ForImageTextToText$")
_DRAFTS = re.compile(r"eagle|medusa|draft|speculator|mtp", re.IGNORECASE)
_HEADLESS = re.compile(r"(Model|Encoder|For[A-Z]\w*)$")
# Classes with a head whose names say otherwise.
WHOLE = frozenset(
    "ChatGLMModel H2OVLChatModel InternVLChatModel NVLM_D_Model NemotronH_Omni_Reasoning_V3 Qwen2_5OmniModel "
    "ShieldGemma2ForImageClassification SkyworkChatModel VibeVoiceForASRTraining".split()
)
# Classes that no model_type is spelled like -> the types that have them.
_ALSO = {
    "decilm": ("deci", "nemotron-nas"), "grok1": ("git",), "grok1model": ("grok-1",), "hunyuandensev1": ("hunyuan_v1_dense",),
    "hunyuanmoev1": ("hunyuan_v1_moe",), "inkling": ("inkling_mm_model",), "minimaxm3sparse": ("minimax_m3_vl", "minimax_m3_vl_text"),
    "minimaxm3vl": ("minimax_m3_vl", "minimax_m3_vl_text"), "mixformersequential": ("phi-msft",), "phi": ("phi-msft",),
    "rw": ("falcon", "RefinedWeb", "RefinedWebModel"),
}  # fmt: skip


def names(config: Config) -> list[str]:
    """The classes that a config.json names, none where it names none; some files give one without a list."""
    if isinstance(config.raw.get("architectures"), str):
        return [config.raw["architectures"]]
    return config.listing("architectures", str, [], most=8)


def type_of(config: Config) -> str | None:
    """The one model type that the classes are named after; None where there is no telling."""
    found = types_of(config)
    return found[0] if len(found) == 1 else None


def types_of(config: Config) -> list[str]:
    """The model types that the classes are named after, those that are spelled like them where some are."""
    stems = {_stem(name) for name in names(config)}
    named = {model_type for stem in stems for model_type in _types().get(stem, ())}
    return sorted(model_type for model_type in named if _plain(model_type) in stems) or sorted(named)


def types(name: str) -> frozenset[str]:
    """The model types that a class is named after."""
    return _types().get(_stem(name), frozenset())


@lru_cache(maxsize=1)
def _types() -> dict[str, frozenset[str]]:
    from ..families import BY_TYPE  # which is made of every module here

    found: dict[str, set[str]] = {}
    for model_type in (*BY_TYPE, *KINDS):
        for stem in {model_type, re.sub("_text(_model)?$", "", model_type)}:
            found.setdefault(_plain(stem), set()).add(model_type)
    for stem, several in _ALSO.items():
        found.setdefault(stem, set()).update(several)
    return {stem: frozenset(several) for stem, several in found.items()}


def _stem(name: str) -> str:
    return _plain(_HEADS.sub("", name))


def _plain(name: str) -> str:
    return re.sub("[^a-z0-9]", "", name.lower())


def headed(config: Config, model_type: str) -> None:
    """Refuse a class that gives no token's logits, or gives them for another model."""
    for name in names(config):
        if _DRAFTS.search(name) and not _DRAFTS.search(model_type):
            raise _refused(config, name, "it is a draft for another model; give the config.json of the model that it drafts for")
        if not _HEADS.search(name) and _HEADLESS.search(name) and name not in WHOLE:
            why = "it names a model without a language-model head, or with another; remove the key to read the language model"
            raise _refused(config, name, why)


def agree(config: Config, model_type: str, value: Mapping[str, Any]) -> None:
    """Refuse a class of another family, unless that family reads the file as this one did, which gave `value`."""
    again = set()
    for inner, kind in _inside(config):  # the wrapper has the head, whatever class its text model came from
        again |= set(names(inner))
        if kind:
            for name in names(inner):
                _agree(inner, name, kind, None)
    for name in names(config):
        if name not in again:
            _agree(config, name, model_type, value)
        if not (value.get("tied_embeddings") or _HEADS.search(name) or name in WHOLE or types(name)):  # ColQwen2_5
            why = "nobody can tell by its name whether it has a language-model head; remove the key to read the language model"
            raise _refused(config, name, why)


def _agree(config: Config, name: str, model_type: str, value: Mapping[str, Any] | None) -> None:
    named = types(name)
    if not named or model_type in named:
        return
    read = _whole(value or _read(config.raw, model_type))
    if read is None or not any(_whole(_read(config.raw, other)) == read for other in sorted(named)):
        raise _refused(config, name, f"model_type says {shown(model_type)}, and a model of that class is another; correct one of them")


def _read(raw: Mapping[str, Any], model_type: str) -> dict | None:
    from ..families import BY_TYPE

    try:
        return BY_TYPE[model_type].read(Config(raw), model_type) if model_type in BY_TYPE else None
    except Unsupported:
        return None


def _whole(value: Mapping[str, Any] | None) -> Architecture | None:
    """The architecture that a spec's mapping is, whatever of its defaults it says."""
    try:
        return parse({"name": "read", "title": "Read", **value}) if value else None
    except Unsupported:
        return None


def _inside(config: Config) -> Iterator[tuple[Config, str | None]]:
    """The language models in a wrapper, and the types that they name; None where that is none which is read."""
    from ..families import BY_TYPE

    for key in TEXT_KEYS:
        if isinstance(config.raw.get(key), Mapping):
            inner = Config(config.raw[key], f"{config.where}.{key}" if config.where else key)
            kind = inner.raw.get("model_type")
            yield inner, kind if isinstance(kind, str) and kind in BY_TYPE else None
            if key == "thinker_config":  # which is a wrapper itself
                yield from _inside(inner)


def _refused(config: Config, name: str, why: str) -> Unsupported:
    path = f"{config.where}.architectures" if config.where else "architectures"
    return Unsupported(f"{path}: {name[:64]!r} is not supported: {why}")
