"""Measures what bench/README.md shows, and writes it: `make bench`."""

import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

import core
from bench import browser, library

torch.set_num_threads(1)
HEAD = """# Measured

Made by `make bench`, on two shared cores without a GPU; every figure of a table is from one run. Times on shared cores
move by a third from run to run, so compare within a table.
"""


def table(head: tuple[str, ...], rows: list[tuple]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def spread(spent: dict[str, float], digits: int = 1) -> str:
    """The median of the presets, and the slowest."""
    slowest = max(spent, key=spent.__getitem__)
    return f"median {statistics.median(spent.values()):.{digits}f} ms, at most {spent[slowest]:.{digits}f} ms ({slowest})"


def p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20)[-1]


def main() -> None:
    cold, pictures, codes, edits, beside, growth, reading = (
        library.cold(),
        library.pictures(),
        library.codes(),
        library.after_an_edit(),
        library.beside_transformers(),
        library.growth(),
        library.reading(),
    )
    app = browser.measure(core.presets())
    runs = app["script runs"]
    count, mean = runs["+Inf"], 1000 * runs[""] / runs["+Inf"]
    bound = next(1000 * float(le) for le, many in runs.items() if le and many >= 0.95 * count)
    before, after = app["memory"]
    painted, stages = [sum(edit) for edit in app["edit to paint"]], zip(browser.STAGES, zip(*app["edit to paint"]))
    least = min(theirs / ours for ours, theirs in beside.values())
    rows = [
        ("full analysis of a preset, cold spec, warm process", "<= 50 ms", spread(cold)),
        ("the same after an edit of one part", "<= 5 ms median",
         f"median {statistics.median(edits['one part']):.1f} ms, p95 {p95(edits['one part']):.1f} ms ({len(edits['one part'])} edits)"),
        ("the same after an edit that touches every part", "<= 20 ms",
         f"median {statistics.median(edits['everywhere']):.1f} ms, at most {max(edits['everywhere']):.1f} ms"),
        ("against transformers on meta with torchinfo", ">= 10 x faster", f"{least:.0f} x and more, see below"),
        ("growth with ten times the layers, the experts", "<= 1.2 x", f"{growth['layers']:.2f} x, {growth['experts']:.2f} x"),
        ("reading the config.json of a preset", "<= 50 ms", spread(reading)),
        ("the picture of a preset, with its trace", "<= 15 ms median", spread(pictures)),
        ("the code of a preset as one file", "<= 1 s", spread(codes, 0)),
        ("`import core`, torch included", "<= 1.5 s", f"{library.import_seconds():.2f} s"),
        ("script run of the workbench on an edit, with its pause of 80 ms for the picture", "<= 130 ms p95",
         f"mean {mean:.0f} ms, 95 % within {bound:.0f} ms ({count:.0f} runs)"),
        ("edit to paint in a browser that draws without a GPU", "<= 100 ms median, 250 ms p95",
         f"median {statistics.median(painted):.0f} ms, p95 {p95(painted):.0f} ms"),
        ("of it, the median of each stage", "", "; ".join(f"{words} {statistics.median(spent):.0f} ms" for words, spent in stages)),
        ("what another visitor waits while slow presets open", "<= 100 ms",
         f"p95 {p95(app['waits']):.0f} ms, at most {max(app['waits']):.0f} ms"),
        ("first paint of the gallery, warm server", "<= 2 s", f"{app['first paint']:.2f} s"),
        (f"server memory with {browser.VISITORS} visitors", "<= 600 MB", f"{after:.0f} MB ({before:.0f} MB with none)"),
    ]  # fmt: skip
    compared = [(name, f"{ours:.1f} ms", f"{theirs:.0f} ms", f"{theirs / ours:.0f} x") for name, (ours, theirs) in beside.items()]
    text = "\n\n".join(
        [
            HEAD + f"\nPython {sys.version.split()[0]}, torch {torch.__version__.split('+')[0]}, {len(cold)} presets.",
            table(("what", "to reach", "measured"), rows),
            "## Beside transformers\n\nOurs: parameters, graph with shapes, FLOPs and memory, from the preset's file. Theirs: the "
            "model on meta and torchinfo's count of its parameters, no FLOPs and no graph; its import is not counted.",
            table(("model", "Strata", "transformers + torchinfo", "ratio"), compared),
            "## Every preset, cold",
            table(("preset", "full analysis"), [(name, f"{spent:.1f} ms") for name, spent in cold.items()]),
        ]
    )
    Path(__file__).with_name("README.md").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
