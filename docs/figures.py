"""`make figures`: figures that others publish or measure (docs/figures.yaml) beside ours, and where they differ, docs/figures.md."""

import re
from collections.abc import Iterator
from pathlib import Path

import yaml

import core
from core.precision import FORMATS
from core.spec import Workload

HERE = Path(__file__).resolve().parent
GROUPS = yaml.safe_load((HERE / "figures.yaml").read_text())
ROWS = [{"source": group["source"]} | row for group in GROUPS for row in group["rows"]]
ABOUT = {"preset", "source", "context", "batch", "cache", "without", "only", "within", "ours", "why"}
CASES = [(row, figure) for row in ROWS for figure in row if figure not in ABOUT]
UNITS = {
    "": 1, "M": 10**6, "B": 10**9, "T": 10**12, " KB": 10**3, " KiB": 2**10, " MiB": 2**20, " GiB": 2**30, " GFLOP": 10**9,
}  # fmt: skip
HEAD = """# Figures that others publish

`make figures` writes this page from [figures.yaml](figures.yaml): parameters, active parameters, bytes of caches and states,
FLOPs, as makers, reports, galleries and logs of servers say them, each with its source and, where its convention is
another, with what it leaves out. `tests/test_figures.py` holds every one of them to its last digit.

| source | figures | as ours |
| --- | ---: | ---: |
"""
CONVENTIONS = """
## Where the source counts less

Ours here is the figure as the app shows it; what the source leaves out is the whole difference.

| model | figure | published | ours | left out | source |
| --- | --- | ---: | ---: | --- | --- |
"""
DIFFERENT = """
## Where ours is another

| model | figure | published | ours | why | source |
| --- | --- | ---: | ---: | --- | --- |
"""


def amount(said: int | str) -> tuple[float, float]:
    """What is said, and the worth of its last digit: "68.6 KiB" is (70246.4, 102.4); an exact number's is nothing."""
    if isinstance(said, int):
        return said, 0
    digits, unit = re.fullmatch(r"([\d.]+)( ?[A-Za-z]*)", said).groups()
    return float(digits) * UNITS[unit], UNITS[unit] / 10 ** len(digits.partition(".")[2])


def computed(row: dict, figure: str) -> int:
    """Our figure by the source's convention: of parts or a tensor alone, or without what the source does not count."""
    arch = core.load(row["preset"])
    workload = Workload(**{"context": 4096} | {name: row[name] for name in ("context", "batch", "cache") if name in row})
    cost, without, only = core.cost(arch, workload), row.get("without", []), row.get("only", [])
    if any("." in name for name in only):
        return sum(kept(arch, workload, name, figure) for name in only)
    names = figure.split("+")
    if not (without or only):
        return sum(getattr(cost, name) for name in names)
    rows = [r for r in cost.rows if r.part not in without and (not only or r.part in only)]
    total = sum(getattr(r, name) for r in rows for name in names)
    return total - sum(kept(arch, workload, name, figure) for name in without if "." in name)


def kept(arch: core.Architecture, workload: Workload, name: str, figure: str) -> int:
    """What one tensor of one part, "attention.index key", has in a figure: bytes in caches, or nothing."""
    if not figure.startswith("kv"):
        return 0
    part, _, tensor = name.partition(".")
    sequences, length = (1, 1) if figure == "kv_bytes_per_token" else (workload.batch, workload.context)
    layers = sum(part in step.parts for block in arch.sequence for step in block)
    return layers * sequences * FORMATS[workload.cache].bytes(arch.part(part).cache(length)[tensor])


def near(row: dict, figure: str, said: int | str, whole: bool = False) -> bool:
    """Whether ours is what is said, to half of its last digit or to a whole one."""
    value, digit = amount(said)
    return abs(computed(row, figure) - value) <= digit / (1 if whole else 2) * 1.000001


def agrees(row: dict, figure: str) -> bool:
    """Whether ours is the source's figure. Makers cut a count of parameters off as often as they round it."""
    if "within" in row:
        return abs(computed(row, figure) - amount(row[figure])[0]) <= amount(row["within"])[0]
    return near(row, figure, row[figure], whole="parameters" in figure)


def page() -> str:
    return HEAD + "".join(summary()) + DIFFERENT + "".join(differences()) + CONVENTIONS + "".join(conventions())


def summary() -> Iterator[str]:
    for group in GROUPS:
        cases = [row for row in group["rows"] for figure in row if figure not in ABOUT]
        yield f"| {group['source']} | {len(cases)} | {sum('ours' not in row for row in cases)} |\n"


def differences() -> Iterator[str]:
    for row, figure in CASES:
        if "ours" in row:
            yield f"| {said(row, figure)} | {row['ours']} | {row['why']} | {row['source']} |\n"


def conventions() -> Iterator[str]:
    for row, figure in CASES:
        whole = {name: value for name, value in row.items() if name != "without"}
        if computed(row, figure) != (ours := computed(whole, figure)):
            unit = re.sub(r"[\d.]+", "", row[figure])
            left = ", ".join(name for name in row["without"] if figure.startswith("kv") == ("." in name)).replace("_", " ")
            yield f"| {said(row, figure)} | {ours / UNITS[unit]:,.1f}{unit} | {left} | {row['source']} |\n"


def said(row: dict, figure: str) -> str:
    """The model, the figure's name and where it is taken, what is published: the first three cells."""
    at = f", {row['context']:,} tokens" if "context" in row else ""
    words = figure.replace("_", " ").replace("+", " + ")
    return f"{core.load(row['preset']).title} | {words}{at} | {row[figure]}"


def main() -> None:
    (HERE / "figures.md").write_text(page())


if __name__ == "__main__":
    main()
