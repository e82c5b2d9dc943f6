"""The workbench's picture, and the switch above it that colours its boxes."""

from urllib.parse import urlencode

import streamlit as st

import core
from core.shares import MEASURES

from .. import actions
from .. import state as page
from ..facts import graph, picture_of, shares_of, zoom_of
from .component import show_diagram
from .page import still
from .widgets import late, put

COLOURS = {"": "role"} | {name: measure.title for name, measure in MEASURES.items()}


def shading(state: page.State) -> tuple[str, str]:
    """The measure that shades the picture, and why it does not, if its figures are not known."""
    try:
        if state.by:
            shares_of(state.arch, state.by, state.workload)
    except core.Unsupported as error:
        why = str(error)
        return "", why[0].upper() + why[1:]
    return state.by, ""


def picture(state: page.State) -> None:
    """The picture, by role or by cost; a click on a box selects it, one on an inset opens it over the page."""
    arch, (by, why) = state.arch, shading(state)
    put("by", state.by)

    def choose() -> None:
        if not late("by"):
            actions.shade(st.session_state["by"] or "")

    st.segmented_control("Colour by", list(COLOURS), key="by", format_func=COLOURS.__getitem__, required=True, on_change=choose)
    if why:
        still(why)
    asked = page.write(state) if by else {}
    query = urlencode({name: asked[name] for name in ("by", *core.Workload.model_fields) if name in asked})

    def draw(wide: bool) -> str:
        return picture_of(arch, state.selected, wide, by, state.workload if by else None)

    opened = zoom_of(arch, state.zoom, state.selected)
    part = graph(arch).nodes[state.zoom] if opened else {"label": "", "explain": ""}
    zoom = part["label"], part["explain"], opened
    show_diagram(draw, arch.name, page.word(arch), query, state.selected, zoom, actions.select, actions.zoom)
