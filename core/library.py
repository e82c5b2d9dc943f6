"""The presets: published architectures, one YAML a model, in the spec's own form."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from .spec import Architecture, Unsupported, parse

FOLDER = Path(__file__).resolve().parent.parent / "presets"
MAX_YAML = 200_000  # characters


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
        near = [known for known in presets() if name.lower()[:4] in known][:4] or presets()[:4]
        raise Unsupported(f"{name[:60]!r} is not a preset; try {', '.join(near)} or see `list`")
    if "undisclosed" in value:
        raise Unsupported(
            f"{value['title']}: {value['organisation']} has not disclosed its architecture, so there is nothing to build"
        )
    return parse(value)


def load(name: str) -> Architecture:
    """The Architecture of a preset's name, a share token, or a YAML, JSON or config.json file's path.

    Raises Unsupported, and nothing else, for what cannot be read or represented.
    """
    from .hf import from_hf
    from .share import PREFIX, decode

    if name in _raw():
        return preset(name)
    if name.startswith(PREFIX):
        return decode(name)
    path = Path(name)
    try:
        if not path.is_file():
            return preset(name)
        if path.stat().st_size > 4 * MAX_YAML:
            raise Unsupported(f"{name[:200]}: is larger than {4 * MAX_YAML:,} bytes, too large for an architecture")
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise Unsupported(f"{name[:200]}: cannot be read ({error})") from None
    value = read_yaml(text)
    return from_hf(value) if "model_type" in value else parse(value)


def read_yaml(text: str) -> dict[str, Any]:
    """A mapping from YAML (or JSON, which is YAML), bounded, without aliases that could grow."""
    if len(text) > MAX_YAML:
        raise Unsupported(f"the text has {len(text):,} characters; at most {MAX_YAML:,} are read")
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=_LOADER)):
            raise Unsupported("YAML aliases (*name) are not read; write the value out")
        value = yaml.load(text, Loader=_LOADER)
    except yaml.YAMLError as error:
        raise Unsupported(f"this is not YAML or JSON: {str(error).splitlines()[0][:200]}") from None
    except (RecursionError, ValueError) as error:
        raise Unsupported(f"this YAML cannot be read: {str(error)[:200]}") from None
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise Unsupported("expected a mapping of the spec's fields, such as `d_model: 4096`")
    return value


_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def to_yaml(arch: Architecture) -> str:
    """An architecture as a preset's file has it, one line a part and a segment; `load` reads back an equal one."""
    value = arch.model_dump(mode="json", exclude_defaults=True)
    # What every reader looks for is said even where it is the default.
    value |= {name: getattr(arch, name).model_dump(mode="json", exclude_none=True) for name in ("norm", "position")}
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
