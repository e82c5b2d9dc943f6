"""The presets: published architectures, one YAML file per model, in the form of the spec."""

import os
import re
import string
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import yaml

from . import hf, hub
from .hf.reading.quantised import BESIDE, says_none
from .reading import MARK, is_gguf, kind_of, read_file, read_value, read_yaml
from .share import PREFIX, decode
from .spec import Architecture, Unsupported, parse

FOLDER = Path(__file__).resolve().parent.parent / "presets"
KNOWN_TO_MANY = ("gpt2", "llama-3-8b", "deepseek-v3", "gpt-oss-20b")  # what to try, for a name that is like none
MAX_LINK = 10_000  # characters
_AROUND = string.whitespace + MARK + "\"'`<>(),;"  # characters that may surround a copied name or link


@lru_cache(maxsize=1)
def _raw() -> dict[str, dict[str, Any]]:
    """Every preset file's mapping, in order of release; those whose date is not known come last."""
    found = {path.stem: _file(path) for path in FOLDER.glob("*.yaml")}
    return dict(sorted(found.items(), key=lambda item: (str(item[1].get("released") or "unknown"), item[0])))


def _file(path: Path) -> dict[str, Any]:
    try:
        return read_yaml(path.read_text(encoding="utf-8"))
    except Unsupported as error:
        raise Unsupported(f"presets/{path.name}: {error}") from None


def presets() -> list[str]:
    """The names of the published architectures, in order of release."""
    return [name for name, value in _raw().items() if "undisclosed" not in value]


def undisclosed() -> list[dict[str, Any]]:
    """Models whose makers have not published an architecture: only what they stated."""
    return [value for value in _raw().values() if "undisclosed" in value]


@lru_cache(maxsize=512)
def preset(name: str) -> Architecture:
    """The published architecture of this name; Unsupported if there is none."""
    value = _raw().get(name) or _raw().get(name.lower())
    if value is None:
        near = get_close_matches(name.lower(), presets(), n=4, cutoff=0.4) or KNOWN_TO_MANY
        raise Unsupported(f"{name[:60]!r} is not a preset; give a name such as {', '.join(near)}")
    if "undisclosed" in value:
        raise Unsupported(f"{value['title']}: its architecture is not disclosed, or cannot be checked, so there is nothing to build")
    return parse(value)


def called(words: str) -> str | None:
    """The preset with this name or title; only letters and digits are compared."""
    return _calls().get(_plain(words)) if len(words) <= 100 else None


@lru_cache(maxsize=1)
def _calls() -> dict[str, str]:
    return {_plain(preset(name).title): name for name in presets()} | {_plain(name): name for name in presets()}


def _plain(words: str) -> str:
    return re.sub(r"[\W_]", "", words.lower())


def load(name: str | Path) -> Architecture:
    """The Architecture of a preset's name, a share token or a link that has either, the path of a YAML, JSON, config.json or GGUF
    file or of the folder of a config.json, or a model on the Hugging Face Hub, `hf:organisation/model` or its page's address, of
    which only the config.json is fetched.

    Raises Unsupported, and nothing else, for what cannot be read or represented.
    """
    if not isinstance(name, str | Path):
        raise Unsupported(f"give a preset's name, a link's token or a file's path, not {type(name).__name__}")
    name = str(name)
    if name in _raw() or not os.path.exists(name):
        if not (found := _named(name.strip(_AROUND))) and re.search(r"[\\/].|\.(json|ya?ml)$", name):
            near = f"; for a model on the Hub give hf:{name}" if re.fullmatch(r"[\w.-]+/[\w.-]+", name) else ""
            raise Unsupported(f"{name[:200]}: there is no such file{near[:120]}")
        return found or preset(name)
    if os.path.isdir(name):
        name = os.path.join(name, "config.json")
        if not os.path.exists(name):
            raise Unsupported(f"{os.path.dirname(name)[:200]}: is a folder without a config.json; give a file")
    beside = os.path.join(os.path.dirname(name), BESIDE)
    if os.path.basename(name) == "config.json" and os.path.exists(beside):
        return hf.opened(read_config(name))
    if is_gguf(name):
        from .hf.gguf import from_gguf  # slow to load

        return from_gguf(name)
    return parse_text(read_file(name))


def read_config(path: str) -> dict[str, Any]:
    """A config.json's keys and values; with the stored formats of hf_quant_config.json beside it, if it has none."""
    value, beside = read_yaml(read_file(path)), os.path.join(os.path.dirname(path), BESIDE)
    if says_none(value) and os.path.exists(beside):
        value["quantization_config"] = read_yaml(read_file(beside))
    return value


def parse_text(text: str) -> Architecture:
    """The Architecture that a text describes: the spec as YAML or JSON, a config.json, or any other input of `load` except files."""
    word = text[: MAX_LINK + 1].strip(_AROUND)
    if len(word) <= MAX_LINK and not re.search(r"\s", word) and (found := _named(word)):
        return found
    value = read_value(text)
    if isinstance(value, str) and not re.search(r"\s", value):
        return preset(value)
    if not isinstance(value, dict):
        raise Unsupported(f"expected a mapping of the spec's fields, such as `d_model: 4096`, not {kind_of(value)}")
    ours = value and value.keys() <= Architecture.model_fields.keys() or {"parts", "layers", "d_model"} & value.keys()
    theirs = {"model_type", "architectures", "ssm_cfg"} & value.keys() and not {"parts", "layers"} & value.keys()
    return parse(value) if ours and not theirs else hf.opened(value)


def _named(word: str) -> Architecture | None:
    """The Architecture of a preset's name, a token, a link or a model on the Hub; None for any other word."""
    if word.lower() in _raw():
        return preset(word)
    if word.startswith(PREFIX):
        return decode(word)
    if hub.is_name(word):
        return hf.opened(hub.config(word))
    if not re.match(r"(\w+://|[\w./:-]*\?)\S+$", word):
        return None
    asked = parse_qs(word.partition("?")[2].partition("#")[0])
    if "a" in asked:
        return decode(asked["a"][-1])
    if "preset" in asked:
        return preset(asked["preset"][-1].strip())
    raise Unsupported(
        f"{word[:60]!r} is not a link to an architecture: it has neither `?preset=` nor `?a=`, and is not an address of the Hub"
    )


def to_yaml(arch: Architecture) -> str:
    """An architecture in the form of a preset file, with one line per part and segment; `load` reads an equal one back."""
    value = arch.model_dump(mode="json", exclude_defaults=True)
    if arch.released:
        value["released"] = arch.released  # as a date, which YAML supports
    for name, key in (("norm", "eps"), ("position", "base")):  # written even if they are the default: readers look for them
        inner = getattr(arch, name)
        said = {"kind": inner.kind} | ({key: getattr(inner, key)} if hasattr(inner, key) else {})
        value[name] = said | inner.model_dump(mode="json", exclude_defaults=True)
    lines = []
    for name in (name for name in Architecture.model_fields if name in value):
        match name:
            case "parts":
                lines += ["parts:", *(_line(f"  {part}: ", inner) for part, inner in value["parts"].items())]
            case "layers":
                lines += ["layers:", *(_line("  - ", segment) for segment in value["layers"])]
            case _:
                lines.append(_line(f"{name}: ", value[name]))
    return "\n".join(lines) + "\n"


def _line(lead: str, value: Any) -> str:
    """A value in flow style after `lead`, with its further lines indented."""
    text = yaml.dump(value, Dumper=_Dumper, default_flow_style=True, sort_keys=False, allow_unicode=True, width=110)
    return lead + text.removesuffix("...\n").strip().replace("\n", "\n    ")


class _Dumper(yaml.SafeDumper):
    """YAML that both of its versions read in the same way: a text that is a number in either version is quoted."""


_NUMBER = re.compile(r"[-+]?([0-9][0-9_]*(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?$")
_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", _NUMBER, list("-+.0123456789"))
_Dumper.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"0o[0-7]+$"), ["0"])
