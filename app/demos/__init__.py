"""Demonstrations: a small thing to play with for each idea, computed by core's own modules. A new one is one file here.

A file has a `DEMO`: its title, its controls, and a function that gives what the chosen values show, as HTML with the colours of the page
(`var(--ink)`). What it says is computed from the same values, and stands above the picture. `_draw.py` has panels, bars and curves: a panel
is drawn 300 wide, so that its letters keep their size on a phone, and two stand beside each other where there is room.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from core import Unsupported
from core.saying import joined


class Control(NamedTuple):
    """One of a few values: its name in a link, its label, what can be chosen, and what is chosen at first."""

    name: str
    label: str
    options: tuple[int | float | str, ...]
    first: int | float | str


@dataclass(frozen=True)
class Demo:
    """A demonstration. `draw` gets a value for each control and gives a sentence and HTML."""

    title: str
    controls: tuple[Control, ...]
    draw: Callable[..., tuple[str, str]]

    def checked(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """A value for each control, the first one where none is given; Unsupported if a value cannot be chosen."""
        known = {control.name: control for control in self.controls}
        for name, value in given.items():
            if name not in known:
                raise Unsupported(f"{name[:40]!r} is no control of {self.title!r}; give {joined(known)}")
            if value not in known[name].options:
                raise Unsupported(f"{name}: {str(value)[:40]!r} cannot be chosen; give one of {joined(map(str, known[name].options))}")
        return {name: given.get(name, control.first) for name, control in known.items()}

    def drawn(self, given: Mapping[str, Any]) -> tuple[str, str]:
        return _drawn(self, tuple(self.checked(given).items()))


@cache  # a few hundred small answers at most: each control has a few options
def _drawn(demo: Demo, values: tuple[tuple[str, Any], ...]) -> tuple[str, str]:
    return demo.draw(**dict(values))


DEMOS: dict[str, Demo] = {
    path.stem: import_module(f"{__name__}.{path.stem}").DEMO for path in sorted(Path(__file__).parent.glob("[a-z]*.py"))
}
