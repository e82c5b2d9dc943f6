"""The components that Streamlit does not have: the clickable diagram, the list of kinds, the copy button."""

from collections.abc import Callable

import streamlit as st

from .theme import ASSETS, variables


def asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


def component(name: str, html: str, root: str) -> Callable:
    """A component from the assets `name`.js and `name`.css, with both palettes as CSS properties of its `root` element."""
    palettes = variables(root, dark=False) + variables(f'{root}[data-theme="dark"]', dark=True)
    return st.components.v2.component(
        f"strata_{name}", html=html, css=palettes + asset(f"{name}.css"), js=asset("theme.js") + asset(f"{name}.js")
    )


_diagram = component(
    "diagram",
    '<div class="strata-root"><div class="picture"></div><button class="png" type="button" title="Save the picture">PNG</button>'
    '<dialog><header><h2></h2><button type="button" aria-label="Close">✕</button></header><p></p><div class="zoomed"></div></dialog></div>',
    ".strata-root",
)
_alongside = component("alongside", '<div class="strata-root"></div>', ".strata-root")
_kinds = component("kinds", '<div class="strata-root"></div>', ".strata-root")
_copy = component("copy", '<button type="button">Copy link</button>', "button")


def show_diagram(
    draw: Callable[[bool], str],
    name: str,
    word: str,
    query: str,
    selected: str,
    zoom: tuple[str, str, str],
    on_click: Callable[[str], None],
    on_zoom: Callable[[str], None],
    key: str = "diagram",
) -> None:
    """The diagram, drawn wide (True) or narrow depending on the browser's width. `on_click` gets a clicked box's node before
    the page runs again. It is saved as `name`, from the server's file for the architecture's `word` and the `query` of a measure.
    `zoom` is what is open over the page, its name, a text and its picture; `on_zoom` gets the node of an inset to open, or nothing."""

    def clicked() -> None:
        if node := st.session_state[key].clicked:
            on_click(node)

    def zoomed() -> None:
        if asked := st.session_state[key].zoomed:
            on_zoom(str(asked["node"])[:200] if isinstance(asked, dict) and "node" in asked else "")

    narrow = bool(st.session_state.get(key, {}).get("narrow"))
    data = {"svg": draw(not narrow), "narrow": narrow, "name": name, "file": word, "query": query, "selected": selected, "zoom": zoom}
    _diagram(key=key, on_clicked_change=clicked, on_zoomed_change=zoomed, on_narrow_change=lambda: None, data=data)


def show_alongside(wide: str, slim: str, key: str = "alongside") -> None:
    """Pictures beside each other, in the layouts of a wide and of a narrow page; without the wide one, the narrow one on all pages."""
    _alongside(key=key, data={"wide": wide, "slim": slim})


def show_kinds(data: dict, key: str, on_choose: Callable[[str], None]) -> None:
    """A part's kind as a heading that opens the list of kinds. `data`: now, role, first, groups, note (see inspector.py)."""

    def chosen() -> None:
        if name := st.session_state[key].chosen:
            on_choose(name)

    _kinds(key=key, data=data, on_chosen_change=chosen)


def copy_button(text: str, key: str = "copy", words: str = "Copy link") -> None:
    """A button that copies a text, or a link of this page, which begins with ? and which the browser makes absolute."""
    _copy(key=key, data={"text": text, "words": words}, width=120 if words == "Copy link" else 150)
