"""Figures that others publish or measure (tests/figures.yaml), against what we compute."""

import re
from pathlib import Path

import pytest
import yaml

import core
from core.precision import FORMATS
from core.spec import Architecture, Workload

GROUPS = yaml.safe_load((Path(__file__).parent / "figures.yaml").read_text())
ROWS = [{"source": group["source"]} | row for group in GROUPS for row in group["rows"]]
ABOUT = {"preset", "source", "context", "batch", "cache", "without", "only", "within", "ours", "why"}
UNITS = {
    "": 1,
    "M": 10**6,
    "B": 10**9,
    "T": 10**12,
    " KB": 10**3,
    " KiB": 2**10,
    " MiB": 2**20,
    " GiB": 2**30,
    " GFLOP": 10**9,
}
CASES = [(row, figure) for row in ROWS for figure in row if figure not in ABOUT]


def amount(said: int | str) -> tuple[float, float]:
    """What is said, and the worth of its last digit: "68.6 KiB" is (70246.4, 102.4); an exact number's is nothing."""
    if isinstance(said, int):
        return said, 0
    digits, unit = re.fullmatch(r"([\d.]+)( ?[A-Za-z]*)", said).groups()
    return float(digits) * UNITS[unit], UNITS[unit] / 10 ** len(digits.partition(".")[2])


def computed(row: dict, figure: str) -> int:
    """Our figure by the source's convention: of one part or tensor alone, or without what the source does not count."""
    arch = core.load(row["preset"])
    workload = Workload(
        **{"context": 4096} | {name: row[name] for name in ("context", "batch", "cache") if name in row}
    )
    cost, without, only = core.cost(arch, workload), row.get("without", []), row.get("only", [])
    if any("." in name for name in only):
        return sum(kept(arch, workload, name, figure) for name in only)
    names = figure.split("+")
    if not (without or only):
        return sum(getattr(cost, name) for name in names)
    rows = [r for r in cost.rows if r.part not in without and (not only or r.part in only)]
    total = sum(getattr(r, name) for r in rows for name in names)
    return total - sum(kept(arch, workload, name, figure) for name in without if "." in name)


def kept(arch: Architecture, workload: Workload, name: str, figure: str) -> int:
    """What one tensor of one part, "attention.index key", has in a figure: bytes in caches, or nothing."""
    if not figure.startswith("kv"):
        return 0
    part, _, tensor = name.partition(".")
    sequences, length = (1, 1) if figure == "kv_bytes_per_token" else (workload.batch, workload.context)
    layers = sum(part in step.parts for block in arch.sequence for step in block)
    return layers * sequences * FORMATS[workload.cache].bytes(arch.part(part).cache(length)[tensor])


@pytest.mark.parametrize(("row", "figure"), CASES, ids=[f"{row['preset']}-{figure}" for row, figure in CASES])
def test_published_figures(row, figure):
    ours = computed(row, figure)
    published, digit = amount(row[figure])
    half = digit if "parameters" in figure else digit / 2  # makers round a count, or cut it off
    allowed = amount(row["within"])[0] if "within" in row else half * 1.000001
    if "ours" in row:
        said, digit = amount(row["ours"])
        assert abs(ours - said) <= digit / 2 * 1.000001 and abs(ours - published) > allowed and row["why"]
    else:
        assert abs(ours - published) <= allowed, f"{row['preset']}: {figure} {ours:,}, {row[figure]} by {row['source']}"


def test_rows_say_what_they_are():
    for row in ROWS:
        assert row["preset"] in core.presets() and row["source"] and set(row) - ABOUT, row
