"""The workbench's fit to a budget: what is asked for, the candidate and how near it comes, and Apply, which is one edit."""

from collections.abc import Callable

import streamlit as st

import core
from core.budget import Fit, amount, scaled, with_active, with_cache
from core.kept import kept, weight
from core.saying import called, said
from core.words import figure, size, tokens

from .. import actions
from .. import state as page
from ..facts import cost
from .page import lead, notice, table, wrong

MOST_CHANGES = 10  # shown one by one


@kept(8_000_000, lambda found: weight(found.architecture))
def fitted(arch: core.Architecture, what: str, asked: float, start: core.Architecture, w: core.Workload) -> Fit:
    """The candidate for one of the budgets; `asked` counts where the start does not say it."""
    match what:
        case "parameters":
            return scaled(arch, parameters=asked)
        case "active":
            return scaled(arch, active_parameters=asked)
        case "cache":
            return with_cache(arch, asked, w)
        case "same_active":
            return with_active(arch, cost(start, w).active_parameters, start)
    return with_cache(arch, cost(start, w).kept_bytes, w)


def budget(state: page.State) -> None:
    """Choose a budget, see the candidate, apply it."""
    box = st.popover("Fit to a budget", width="content", key="budget", on_change="rerun")
    if not box.open:
        return
    arch, start = state.arch, state.base
    w = state.workload.model_copy(update={"batch": 1})
    now, then = cost(arch, w), cost(start, w)
    at = f"caches at {tokens(w.context)}"
    options: dict[str, tuple[str, str, float | None, Callable[[float], str]]] = {
        "parameters": ("Parameters", "Depth and width change together, in proportion.", now.parameters, figure),
        "active": ("Active parameters", "Depth and width change together, in proportion.", now.active_parameters, figure),
        "cache": (at[0].upper() + at[1:], "Key and value heads, latent ranks or windows change; nothing else.", now.kept_bytes, size),
    }
    if now.active_parameters == now.parameters:
        del options["active"]
    if not now.kept_bytes:
        del options["cache"]
    if arch != start:
        words = f"{start.title} has {figure(then.active_parameters)}. Only the width of experts or feed-forward networks changes, or top_k."
        options["same_active"] = ("The start's active parameters", words, None, figure)
        if now.kept_bytes and then.kept_bytes:
            words = f"{start.title} keeps {size(then.kept_bytes)}. Key and value heads, latent ranks or windows change; nothing else."
            options["same_cache"] = (f"The start's {at}", words, None, size)
    with box:
        if st.session_state.get("fit:what") not in options:
            st.session_state["fit:what"] = "parameters"
        what = st.selectbox("What to fit", list(options), key="fit:what", format_func=lambda name: options[name][0])
        _, about, present, show = options[what]
        lead(about)
        asked = 0.0
        try:
            if present is not None:
                unit = "for example 2 GB" if what == "cache" else "for example 8 B or 500 M"
                asked = amount(st.text_input("Budget", show(present), key=f"fit:{what}", help=unit, max_chars=40))
            found = fitted(arch, what, asked, start, w)
        except core.Unsupported as error:
            wrong(str(error))
            return
        _candidate(state, found, w)


def _candidate(state: page.State, found: Fit, w: core.Workload) -> None:
    """What would change, and the button that does it."""
    arch, after = state.arch, found.architecture
    changes = core.diff(arch, after).changes
    if not changes:
        notice("The model is there already: " + str(found) + ".", "good")
        return
    notice(f"{found}.", "good")
    st.button("Apply", type="primary", width="stretch", on_click=_apply, args=(after,))
    one, two = cost(arch, w), cost(after, w)
    fields = [change for change in changes if not change.path.startswith("layers")]
    rows = {"layers": f"{arch.depth:,} → {after.depth:,}"} if after.depth != arch.depth else {}
    for change in fields[:MOST_CHANGES]:
        rows[" ".join(called(change.path)).strip()] = f"{said(change.before)} → {said(change.after)}"
    rows |= {f"and {len(fields) - MOST_CHANGES} more fields": ""} if len(fields) > MOST_CHANGES else {}
    for words, name, show in (
        ("parameters", "parameters", figure),
        ("active parameters", "active_parameters", figure),
        (f"caches at {tokens(w.context)}", "kept_bytes", size),
    ):
        then, now = getattr(one, name), getattr(two, name)
        if then and (name != "active_parameters" or then != one.parameters):
            rows[words] = f"{show(then)} → {show(now)}" if now != then else f"{show(now)}, as before"
    table(rows)


def _apply(after: core.Architecture) -> None:
    st.session_state["budget"] = False
    actions.show(page.current().holding(after))
