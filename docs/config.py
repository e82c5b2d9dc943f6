"""`make keys`: what Strata understands of each config.json, docs/config.md from the keys that the families declare."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import core
from core.hf import families
from core.hf.reading.config import NEUTRAL, Config
from core.hf.reading.keys import Entry

HERE = Path(__file__).resolve().parent
ABOUT = """# Keys of a config.json

`make keys` writes this page from the lists of keys in [core/hf/families](../core/hf/families). One line of code reads,
writes and lists a declared key: its name (and other names), its field in the spec, and the value assumed for the key if it is
absent. `a / b` and `2 × a` are computed from other fields. A part's fields begin with the part's name in the family's file. Words
that are not fields (`leading`, `every`, `windows`) give the order of the parts in the layers.

A key that is not listed refuses the import, unless it means "nothing" (null, false, 0, empty), repeats the value of another
key, or is one of the keys without effect that all families share: {neutral}.
"""


def keys(model_type: str) -> tuple[Entry, ...]:
    """The entries that a family declares of one of its types."""
    declared = getattr(families.BY_TYPE[model_type], "KEYS", ())
    return declared.get(model_type, ()) if isinstance(declared, dict) else declared


def others(model_type: str, declared: set[str]) -> list[str]:
    """What the family's functions ask for beside its declared keys, of a file that says nothing."""
    config = Config({"model_type": model_type})
    with suppress(core.Unsupported):  # where a size has to be said, what is asked for after it stays unknown
        families.BY_TYPE[model_type].read(config, model_type)
    return sorted(config.known - declared - {"architectures", "model_type", "quantization_config", "dtype", "torch_dtype"})


def named(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def section(model_type: str) -> str:
    """What stands below the heading of a type."""
    rows = [row for entry in keys(model_type) for row in entry.rows()]
    fields = dict.fromkeys(row for row in rows if row[1] != "changes nothing")
    idle = {name for names, field, _ in rows if field == "changes nothing" for name in names.split(", ")}
    beside = others(model_type, {name for names, *_ in rows for name in names.split(", ")})
    lines = ["", "| key | field | absent |", "| --- | --- | --- |"]
    lines += [f"| {named(names.split(', '))} | {field} | {usual} |" for names, field, usual in fields]
    lines += [f"\nChange nothing: {named(sorted(idle))}."] if idle else []
    lines += [f"\nRead by the family's own functions: {named(beside)}."] if beside else []
    return "\n".join(lines) + "\n"


def table() -> str:
    alike: dict[str, list[str]] = {}
    for model_type in sorted(filter(keys, families.BY_TYPE), key=str.lower):
        alike.setdefault(section(model_type), []).append(model_type)
    page = ABOUT.format(neutral=named(sorted(NEUTRAL)))
    return page + "".join(f"\n## {', '.join(types)}\n{text}" for text, types in alike.items())


if __name__ == "__main__":
    (HERE / "config.md").write_text(table())
