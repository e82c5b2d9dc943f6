"""The presets: published architectures, one YAML a model, in the spec's own form."""

import json
import re
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from . import hub
from .hf import from_hf
from .share import PREFIX, decode
from .spec import Architecture, Unsupported, parse

FOLDER = Path(__file__).resolve().parent.parent / "presets"
MAX_YAML = 200_000  # characters
MAX_LINK = 10_000
_TOKEN = re.compile(rf"^(?:\S*[?&]a=)?({re.escape(PREFIX)}[\w.-]*)")


@lru_cache(maxsize=1)
def _raw() -> dict[str, dict[str, Any]]:
    """Every preset file's mapping, in order of release."""
    found = {path.stem: read_yaml(path.read_text(encoding="utf-8")) for path in FOLDER.glob("*.yaml")}
    return dict(sorted(found.items(), key=lambda item: (str(item[1].get("released", "")), item[0])))


def presets() -> list[str]:
    """The names of the published architectures, in order of release."""
    return [name for name, value in _raw().items() if "undisclosed" not in value]


def undisclosed() -> list[dict[str, Any]]:
    """Models whose makers have not published an architecture: what they said, and nothing else."""
    return [value for value in _raw().values() if "undisclosed" in value]


@lru_cache(maxsize=512)
def preset(name: str) -> Architecture:
    """The published architecture of this name; Unsupported where there is none."""
    value = _raw().get(name)
    if value is None:
        near = get_close_matches(name.lower(), presets(), n=4, cutoff=0.4) or presets()[:4]
        raise Unsupported(f"{name[:60]!r} is not a preset; try {', '.join(near)} or see `list`")
    if "undisclosed" in value:
        raise Unsupported(
            f"{value['title']}: its architecture is not disclosed, or not where it could be checked, so there is nothing to build"
        )
    return parse(value)


def load(name: str | Path) -> Architecture:
    """The Architecture of a preset's name, a share token, a YAML, JSON or config.json file's path, or a model's id on the
    Hugging Face Hub, `hf:organisation/model`, of which only the config.json is fetched.

    Raises Unsupported, and nothing else, for what cannot be read or represented.
    """
    if not isinstance(name, str | Path):
        raise Unsupported(f"give a preset's name, a link's token or a file's path, not {type(name).__name__}")
    name = str(name)
    if name in _raw():
        return preset(name)
    if name.startswith(PREFIX):
        return decode(name)
    if name.startswith(hub.PREFIX):
        return from_hf(hub.config(name))
    if not _is_file(name):
        return preset(name)
    return parse_text(read_file(name))


def parse_text(text: str) -> Architecture:
    """The Architecture that a text describes: the spec as YAML or JSON, a config.json, a token, a link that has one, or a
    model's id on the Hub."""
    text = text.strip()
    if text.startswith(hub.PREFIX) and "\n" not in text:
        return from_hf(hub.config(text))
    if token := _TOKEN.search(text[:MAX_LINK]):
        return decode(token[1])
    value = read_yaml(text)
    return from_hf(value) if {"model_type", "architectures"} & value.keys() else parse(value)


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False


def read_file(name: str) -> str:
    """The text of a small file; Unsupported where it cannot be read."""
    try:
        with open(name, encoding="utf-8") as file:
            text = file.read(MAX_YAML + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise Unsupported(f"{name[:200]}: cannot be read ({reason})") from None
    return text


def read_yaml(text: str) -> dict[str, Any]:
    """A mapping from YAML or JSON, bounded, without aliases that could grow."""
    if len(text) > MAX_YAML:
        raise Unsupported(f"the text has more than {MAX_YAML:,} characters, too many for an architecture")
    try:
        # JSON apart: 1e-06 is a number there, and a word in YAML.
        value = json.loads(text) if text.lstrip().startswith("{") else _yaml(text)
    except json.JSONDecodeError as error:
        raise Unsupported(f"this is not JSON: {error}") from None
    except yaml.YAMLError as error:
        raise Unsupported(f"this is not YAML or JSON: {str(error).splitlines()[0][:200]}") from None
    except (RecursionError, ValueError) as error:
        raise Unsupported(f"this text cannot be read: {str(error)[:200]}") from None
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise Unsupported("expected a mapping of the spec's fields, such as `d_model: 4096`")
    return value


def _yaml(text: str) -> Any:
    if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=_LOADER)):
        raise Unsupported("YAML aliases (*name) are not read; write the value out")
    return yaml.load(text, Loader=_LOADER)


_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def to_yaml(arch: Architecture) -> str:
    """An architecture as a preset's file has it, one line a part and a segment; `load` reads back an equal one."""
    value = arch.model_dump(mode="json", exclude_defaults=True)
    if arch.released:
        value["released"] = arch.released  # a date, which YAML has
    for name, key in (
        ("norm", "eps"),
        ("position", "base"),
    ):  # said even where they are the default: readers look for them
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
    """A value in flow style behind `lead`, its further lines indented."""
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=110)
    return lead + text.removesuffix("...\n").strip().replace("\n", "\n    ")
