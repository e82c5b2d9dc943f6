"""An edit as a person says it: "attention: window none → 4,096", "58 layers → 30", "every 4th layer: attention → gated delta net"."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .parts import PARTS
from .parts.position import Rope
from .words import number, tokens

ARROW = " → "
SYMBOLS = ("d_model", "d_ff", "top_k")  # said as the formulas write them
# What a person calls a field, where its own name would need the path around it.
CALLED = {
    "vocab_size": "vocabulary",
    "head": "output head",
    "sight.window": "window",
    "sight.chunk": "chunk",
    "scores.sinks": "sinks",
    "scores.softcap": "softcap",
    "count": "experts",
    "zero": "zero experts",
    "shared.count": "shared experts",
    "mtp.count": "tokens ahead",
} | {f"position.{field}": f"rope {field}" for field in Rope.model_fields}
CALLED |= {"position.kind": "position", "scores.scale": "score scale", "scores.temperature": "score temperature"}
OF_MODEL = ("norm", "position", "residual")  # a part or step without one takes the model's


def change(path: str, before: Any, after: Any) -> str:
    """A change of one field; a side without it is None."""
    of, name = called(path)
    if not name:  # a part or the modules ahead as a whole
        now, then = said(after), said(before)
        if before is None or after is None:
            kind = now if before is None else then
            kind = "" if path == "mtp" or kind == of else f" ({kind})"
            return f"{of}{kind} {'added' if before is None else 'removed'}"
        return swap(of, then, now)
    start = f"{of}: " if of else ""
    if isinstance(after, bool) and isinstance(before, bool | None):
        return f"{start}{name} {said(after)}"
    ends = [side for side in (before, after) if side is not None]
    if len(ends) == 1 and isinstance(ends[0], Mapping) and "kind" not in ends[0]:
        return f"{start}{name} {said(after) if after else 'off'}"
    return f"{start}{name} {ARROW.join(sides(path, before, after))}"


def sides(path: str, before: Any, after: Any) -> tuple[str, str]:
    """Both sides of a field that differs; None is what the field stands for without a value."""
    none = "none"
    if path.startswith("precision."):
        none = "the default"
    elif path.startswith(("parts.", "mtp.")) and path.rpartition(".")[2] in OF_MODEL:
        none = "as in the model"
    show = tokens if path == "context" else said
    return none if before is None else show(before), none if after is None else show(after)


def swap(name: str, then: str, now: str) -> str:
    """A part of another kind: dense → 8 experts (2 per token)."""
    if name.lower() == now.lower():
        return f"{name}: {then}{ARROW}{now}" if name == now else f"{then}{ARROW}{now}"
    return f"{name}{ARROW}{now}"


def called(path: str) -> tuple[str, str]:
    """What a field belongs to (a part's name; nothing for the model's own) and its own name there; a whole part has none."""
    root, _, rest = path.partition(".")
    if root == "parts":
        part, _, inner = rest.partition(".")
        return part, _named(inner)
    if root == "mtp":
        return "multi-token prediction", CALLED.get(path) or _named(rest)
    if root == "precision":
        module, _, layers = rest.partition("@")
        return "", ("weights" if module == "default" else f"{module} weights") + f" in layers {layers}" * bool(layers)
    if root == "layers" and path.endswith(".repeat"):
        return "", f"segment {rest.removesuffix('.repeat')} repeats" if "." in rest else "layers repeat"
    return "", _named(path)


def _named(path: str) -> str:
    """The words of a path within a part or the model."""
    names, words = path.split(".") if path else [], []
    while names:
        both = ".".join(names[:2])
        take = 2 if both in CALLED and len(names) > 1 else 1
        piece = ".".join(names[:take])
        words.append(CALLED.get(piece) or (piece if piece in SYMBOLS else piece.replace("_", " ")))
        names = names[take:]
    return " ".join(words)


def said(value: Any) -> str:
    """A value in words."""
    match value:
        case None:
            return "none"
        case bool():
            return "on" if value else "off"
        case int() | float():
            return number(value)
        case {"kind": str(kind)}:
            return PARTS[kind].in_sentence(PARTS[kind].title) if kind in PARTS else kind.replace("_", " ")
        case Mapping():
            fields = ", ".join(f"{_named(key)} {said(inner)}" for key, inner in value.items() if inner not in (None, False))
            return f"on ({fields})" if fields else "on"
        case []:
            return "none"
        case list():
            return f"({', '.join(map(said, value[:4]))}{', …' if len(value) > 4 else ''})"
    return str(value)


def together(changes: Sequence[str], most: int = 3) -> str:
    """Several changes in one sentence; what they are of is said once: attention: heads 32 → 30, kv heads 8 → 5."""
    of, colon, _ = changes[0].partition(": ")
    return few([changes[0], *(one.removeprefix(of + colon) if colon else one for one in changes[1:])], most)


def few(words: Sequence[str], most: int = 3) -> str:
    """The first ones."""
    return ", ".join(words[:most]) + (f" and {len(words) - most} more" if len(words) > most else "")


def joined(names: Iterable[str]) -> str:
    *others, last = [*names] or [""]
    return f"{', '.join(others)} and {last}" if others else last


def nth(n: int) -> str:
    return f"{n:,}{'th' if 10 <= n % 100 <= 20 else {1: 'st', 2: 'nd', 3: 'rd'}.get(n % 10, 'th')}"
