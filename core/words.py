"""Figures as people say them, and tables of them."""

import bisect
import io
import math
import re
import sys
from collections.abc import Callable, Iterable, Sequence


def number(value: float) -> str:
    """12,288, 0.5 and 1e-6."""
    if isinstance(value, int) or value.is_integer() and abs(value) < 1e15:
        return f"{value:,.0f}" if isinstance(value, float) else f"{value:,}"
    return re.sub(r"e([-+])0*", r"e\1", f"{value:g}")


def figure(value: float, unit: str = "") -> str:
    """671.0 B, 37.6 B, 124.4 M; with a unit 74.2 GFLOP."""
    billion = "G" if unit else "B"  # a billion parameters, but a gigaflop
    for size, name in ((1e15, "P"), (1e12, "T"), (1e9, billion), (1e6, "M"), (1e3, "K")):
        if abs(value) >= size:
            return f"{value / size:,.{1 if abs(value) < 1000 * size else 0}f} {name}{unit}"
    return f"{value:,.0f}{' ' + unit if unit else ''}"


def size(n: float | None) -> str:
    """Bytes in decimal units, 10^9 to the gigabyte: 688.6 GB. None is a size that is not known."""
    if n is None:
        return "not known"
    for unit in ("B", "KB", "MB", "GB", "TB"):
        if abs(n) < 1000:
            return f"{n:,.0f} {unit}" if unit == "B" else f"{n:,.1f} {unit}"
        n /= 1000
    return f"{n:,.1f} PB"


def tokens(n: int) -> str:
    """131,072 -> 128K; 10,485,760 -> 10M."""
    for unit_size, unit in ((1 << 20, "M"), (1 << 10, "K")):
        if n >= unit_size and n % (unit_size // 8) == 0:
            return f"{n / unit_size:g}{unit}"
    return f"{n:,}"


def percent(share: float) -> str:
    """99.5 %, 0.26 %."""
    if share >= 0.9995 or share == 0:
        return f"{share * 100:.0f} %"
    return f"{share * 100:.1f} %" if share >= 0.01 else f"{share * 100:.2f} %"


def change(now: float | None, then: float | None, show: Callable[[float], str]) -> str:
    """How a figure moved: 5.45×, 0.26×; a move of less than a tenth as a difference, +1.8 M. Empty if it did not move, or if one
    of the two is not known."""
    if now is None or then is None or now == then:
        return ""
    ratio = now / then if then else 0
    if ratio and abs(ratio - 1) >= 0.1:
        return f"{ratio:,.0f}×" if ratio >= 100 else f"{ratio:.2f}×" if ratio >= 0.1 else f"{ratio:.2g}×"
    return f"{'+' if now > then else '−'}{show(abs(now - then))}"


def rounds(most: float) -> list[float]:
    """About five round values up to `most`."""
    step = 10 ** math.floor(math.log10(most / 5))
    step *= next(m for m in (1, 2, 5, 10) if most / 5 <= m * step)
    return [step * i for i in range(math.ceil(most / step))]


def divisors(whole: int, near: int) -> str:
    """The numbers that divide `whole` into equal groups, as a choice in words: all of them, or those around `near`."""
    found = [n for n in range(1, math.isqrt(whole) + 1) if whole % n == 0]
    found = sorted({*found, *(whole // n for n in found)})
    if len(found) > 12:
        at = bisect.bisect(found, near)
        found = found[max(0, at - 3) : at + 3]
    return " or ".join(filter(None, (", ".join(f"{n:,}" for n in found[:-1]), f"{found[-1]:,}")))


def table(names: Sequence[str], rows: Iterable[Sequence[str]], total: Sequence[str] = ()) -> str:
    """A table as plain text, no wider than the terminal, or than 200 columns in a file or a pipe. A name that ends
    in > marks a column of numbers, aligned to the right."""
    from rich import box  # slow to load, and rarely used
    from rich.console import Console
    from rich.table import Table

    shown = Table(box=box.SIMPLE_HEAD if any(names) else None, pad_edge=False, show_header=any(names))
    for name in names:
        shown.add_column(name.rstrip(">"), justify="right" if name.endswith(">") else "left", overflow="fold")
    for row in rows:
        shown.add_row(*row)
    if total:
        shown.add_section()
        shown.add_row(*total)
    width = None if sys.stdout and sys.stdout.isatty() else 200
    text = io.StringIO()
    page = Console(file=text, width=width, color_system=None, markup=False, emoji=False, highlight=False)
    page.print(shown)
    return "\n".join(line.rstrip() for line in text.getvalue().split("\n")).strip("\n")
