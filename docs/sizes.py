"""`make sizes`: the weights of presets as shipped beside what is published, docs/sizes.md from docs/sizes.yaml."""

from pathlib import Path

import yaml

import core

HERE = Path(__file__).resolve().parent
ENTRIES = yaml.safe_load((HERE / "sizes.yaml").read_text())
ABOUT = """# Weights as shipped

`make sizes` writes this table from [sizes.yaml](sizes.yaml). "Ours" are the bytes of every tensor that the preset describes,
with scales and multi-token-prediction modules; "published" are those of the checkpoint's files; "beside" are those that are
not part of the text model. `tests/test_sizes.py` checks that the difference is under 1 %.

| model | formats | ours, GB | published, GB | beside, GB | difference | source |
| --- | --- | ---: | ---: | ---: | ---: | --- |
"""


def stored(entry: dict) -> core.Architecture:
    """The preset, in the precision that the entry's checkpoint stores where it is another."""
    arch = core.load(entry["preset"])
    if "precision" not in entry:
        return arch
    return core.Architecture.model_validate(arch.model_dump() | {"precision": entry["precision"]})


def difference(entry: dict) -> float:
    """How far ours is from what is published for the text model, as a part of it."""
    published = entry["bytes"] - entry.get("beside", 0)
    return core.cost(stored(entry)).weight_bytes / published - 1


def row(entry: dict) -> str:
    arch = stored(entry)
    formats = ", ".join(sorted(set(arch.precision.values())))
    beside = f"{entry['beside'] / 1e9:.3f}" if "beside" in entry else ""
    source = entry["source"] + (f"; {entry['note']}" if "note" in entry else "")
    ours = core.cost(arch).weight_bytes
    return (
        f"| {arch.title} | {formats} | {ours / 1e9:,.3f} | {entry['bytes'] / 1e9:,.3f} | {beside} | {difference(entry):+.3%} | {source} |\n"
    )


def table() -> str:
    order = core.presets()  # by release
    entries = sorted(ENTRIES, key=lambda entry: order.index(entry["preset"]))
    return ABOUT + "".join(map(row, entries))


def main() -> None:
    (HERE / "sizes.md").write_text(table())


if __name__ == "__main__":
    main()
