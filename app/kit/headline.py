"""The workbench's answer: what this architecture is, five figures at the workload, and what the edits did to each."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import core
from core.about import about
from core.cost import Cost
from core.precision import FORMATS
from core.words import change, figure, percent, size, tokens

from .. import state as page
from ..facts import cost, edited
from .page import Card, figures

SHORT = ("Parameters", "Active", "Weights", "Caches", "Decode")  # the figures on a phone


@dataclass(frozen=True)
class Figure:
    """One figure, now and at the start (None: not known). `noun` is its name within a sentence; `elsewhere` says what moved that
    the figure itself does not show, such as the caches of longer contexts."""

    words: str
    noun: str
    note: str
    show: Callable[[float | None], str]
    now: int | None
    then: int | None
    elsewhere: Callable[[], Iterator[str]] = lambda: iter(())

    @property
    def moved(self) -> str:
        return change(self.now, self.then, self.show)

    def card(self, edited: bool) -> Card:
        card = Card(self.words, self.show(self.now), self.note)
        if not edited:
            return card
        if self.now == self.then and self.now is not None:
            return card._replace(moved="", was=next(self.elsewhere(), ""))
        return card._replace(moved=self.moved or "—", was=f"was {self.show(self.then)}")

    @property
    def phrase(self) -> str:
        """The move within a sentence: "0.26× the caches at 32K", "1.8 M more parameters", "1.4 GFLOP less per decoded token"."""
        if self.moved.endswith("×"):
            return f"{self.moved} the {self.noun}"
        less = "fewer" if self.noun.endswith("parameters") else "less"
        return f"{self.moved[1:]} {'more' if self.moved[0] == '+' else less} {self.noun.removeprefix('FLOPs ')}"


def headline(state: page.State) -> None:
    """The answer in a sentence, and five figures."""
    found, begun = _figures(state.arch, state.base, state.workload), state.base != state.arch
    figures([one.card(begun) for one in found], _answer(state, found if begun else []))


def _answer(state: page.State, found: list[Figure]) -> str:
    """What the architecture is and, if it is edited, what moved."""
    arch, base = state.arch, state.base
    what = about(arch, f"{arch.title}, edited," if edited(arch) else "")
    if not found:
        return what
    size, moves = found[0].moved, [one for one in found if one.moved]
    phrases = [one.phrase for one in moves if one.noun != "weights" or one.moved != size]  # which grow with the parameters
    if not phrases:
        return f"{what} The edits move none of these figures."
    said = " and ".join(filter(None, (", ".join(phrases[:-1]), phrases[-1])))
    return f"{what} It has {said}{'' if base.title == arch.title else f', against {base.title}'}."


def moves(arch: core.Architecture, before: core.Architecture, w: core.Workload) -> list[tuple[str, str, str]]:
    """The figures that differ, as (words, figure, how it moved), at most four: the weights' follow the parameters."""
    found = [(words, one.show(one.now), one.moved) for words, one in zip(SHORT, _figures(arch, before, w), strict=True) if one.moved]
    return [move for move in found if len(found) <= 4 or move[0] != "Weights"]


def _figures(arch: core.Architecture, base: core.Architecture, w: core.Workload) -> list[Figure]:
    """The five figures at a workload, and what they were."""
    now, then = cost(arch, w), cost(base, w)
    at = f" at {tokens(w.context)}" if w.batch == 1 else f", {w.batch:,} × {tokens(w.context)}"
    formats = sorted(set(arch.precision.values()), key=lambda name: FORMATS[name].bits)
    stored = "see Memory for the reason" if now.unsized else w.weights or ", ".join(formats)
    some = now.active_parameters != now.parameters
    share = f"{percent(now.active_parameters / now.parameters)} of all" if some else "all of them"
    kept = "states" if not now.kv_bytes else "caches and states" if now.state_bytes else "caches"
    token = "token" if w.batch == 1 else f"step of {w.batch:,} tokens"
    longest = w.model_copy(update={"context": max(arch.context, w.context)})

    def further(name: str) -> Iterator[str]:
        """The move at the longest context, if there is none at the page's."""
        yield from _named(getattr(cost(arch, longest), name), getattr(cost(base, longest), name), f"at {tokens(longest.context)}")

    def ahead() -> Iterator[str]:
        yield from _named(now.mtp_parameters, then.mtp_parameters, "of MTP", figure)

    def prompt() -> Iterator[str]:
        yield from _named(now.prefill_flops, then.prefill_flops, "prefill")
        yield from further("decode_flops")

    return [
        Figure("Parameters", "parameters", f"{now.parameters:,}", _count, now.parameters, then.parameters, ahead),
        Figure("Active per token", "active parameters", share, _count, now.active_parameters, then.active_parameters),
        Figure("Weights" if w.weights else "Weights as shipped", "weights", stored, size, now.weight_bytes, then.weight_bytes),
        Figure(
            f"{kept.capitalize() if now.state_bytes else 'All caches'}{at}", f"{kept}{at}", _kept(now), size,
            now.kept_bytes, then.kept_bytes, lambda: further("kept_bytes"),
        ),
        Figure(
            f"Decode per {token}" + (at if w.batch == 1 else ""), f"FLOPs per decoded {token}",
            f"prefill {_flops(now.prefill_flops)}", _flops, now.decode_flops, then.decode_flops, prompt,
        ),
    ]  # fmt: skip


def _count(n: float | None) -> str:
    return figure(n or 0)


def _flops(n: float | None) -> str:
    return figure(n or 0, "FLOP")


def _named(now: int, then: int, words: str, show: Callable[[float], str] = figure) -> Iterator[str]:
    if now != then:
        yield f"{change(now, then, show)} {words}"


def _kept(c: Cost) -> str:
    """Bytes per token, on average where windows limit the caches, and the states."""
    whole, per_token = c.workload.batch * c.workload.context, c.kv_bytes_per_token
    even = c.kv_bytes == whole * per_token
    caches = f"{per_token:,} bytes per token" if even else f"mean {c.kv_bytes / whole:,.0f} bytes per token"
    said = [caches] if c.kv_bytes else []
    return " + ".join([*said, *([f"{size(c.state_bytes)} of states"] if c.state_bytes and said else [])]) or "the same at any length"
