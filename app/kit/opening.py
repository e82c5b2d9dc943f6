"""A file of a visitor's disk: a config.json, YAML, or the header of a GGUF file, which the browser reads; the file itself is not sent."""

from collections.abc import Hashable

import core
from core.reading import MAX_TEXT

from .. import actions
from .component import component
from .page import wrong

_open = component(
    "open",
    '<div class="strata-root"><button type="button" title="A config.json, a YAML or a GGUF file, of which only the header is read; '
    'or drop one anywhere on the page">Open a file</button><input type="file" accept=".json,.yaml,.yml,.gguf,.txt" tabindex="-1" '
    'aria-label="Open a file"><div class="drop" aria-hidden="true">Drop a config.json, a YAML or a GGUF file</div></div>',
    ".strata-root",
)


def open_file(of: Hashable, width: int | str = "stretch", key: str = "open") -> core.Architecture | None:
    """A button that opens a file; the architecture of a file that was just chosen or dropped. A refusal belongs to what the page
    shows, `of`, and is said by `refusal`."""
    given = _open(key=key, data={"most": MAX_TEXT}, width=width, on_opened_change=lambda: None).opened
    return actions.opened_file(given, of) if given else None


def refusal(of: Hashable) -> None:
    """Why the last file was refused, if it was."""
    if problem := actions.refused("file", of).get(""):
        wrong(problem.words)
