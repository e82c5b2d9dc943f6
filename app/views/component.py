"""The pieces that Streamlit's own widgets cannot be: the clickable diagram, the gallery's cards, the copy button."""

from collections.abc import Callable

import streamlit as st

from .theme import FONT, variables

_THEME = """
const themed = (el) => {
  const c = document.createElement('canvas').getContext('2d');
  c.fillStyle = getComputedStyle(el).getPropertyValue('--st-background-color') || '#fff';
  const [r, g, b] = c.fillStyle.match(/\\w\\w/g).map((x) => parseInt(x, 16));
  el.dataset.theme = r * 0.299 + g * 0.587 + b * 0.114 < 128 ? 'dark' : 'light';
};
"""
_PALETTES = variables(".strata-root", False) + variables('.strata-root[data-theme="dark"]', True)

_DIAGRAM_JS = (
    _THEME
    + """
export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector('.strata-root');
  themed(root);
  for (const size of ['wide', 'narrow']) {
    const holder = root.querySelector('.' + size);
    if (holder.shown !== data[size]) { holder.innerHTML = data[size]; holder.shown = data[size]; }
  }
  const choose = (event) => {
    const box = event.target.closest('[data-node]');
    if (box) { event.preventDefault(); setTriggerValue('clicked', box.dataset.node); }
  };
  root.onclick = choose;
  root.onkeydown = (event) => { if (event.key === 'Enter' || event.key === ' ') choose(event); };
  root.querySelector('.png').onclick = (event) => {
    event.stopPropagation();
    const svg = root.querySelector('.wide svg').cloneNode(true);
    const own = getComputedStyle(root);
    const names = [...new Set(svg.outerHTML.match(/--[a-z_-]+/g))];
    svg.setAttribute('style', names.map((n) => n + ':' + own.getPropertyValue(n)).join(';') + ';background:' + own.getPropertyValue('--page'));
    const image = new Image();
    image.onload = () => {
      const canvas = document.createElement('canvas');
      canvas.width = image.width * 2; canvas.height = image.height * 2;
      const pen = canvas.getContext('2d');
      pen.fillStyle = own.getPropertyValue('--page'); pen.fillRect(0, 0, canvas.width, canvas.height);
      pen.drawImage(image, 0, 0, canvas.width, canvas.height);
      const link = document.createElement('a');
      link.download = data.name + '.png'; link.href = canvas.toDataURL('image/png'); link.click();
    };
    image.src = 'data:image/svg+xml;charset=utf-8,' + encodeURIComponent(new XMLSerializer().serializeToString(svg));
  };
}
"""
)
_DIAGRAM_CSS = (
    _PALETTES
    + f"""
.strata-root{{container-type:inline-size;font-family:{FONT};color:var(--ink);position:relative}}
.strata-root svg{{display:block;width:100%;height:auto;background:transparent}}
.narrow{{display:none}} .narrow svg{{max-width:560px;margin:0 auto}}
@container (max-width:700px){{.wide{{display:none}} .narrow{{display:block}}}}
.png{{position:absolute;top:6px;right:0;border:1px solid var(--hair);background:transparent;color:var(--soft);font:600 12px {FONT};
border-radius:7px;padding:5px 10px;cursor:pointer}} .png:hover{{color:var(--ink);border-color:var(--box-line)}}
@media print{{.png{{display:none}}}}
"""
)
_diagram = st.components.v2.component(
    "strata_diagram",
    html='<div class="strata-root"><div class="wide"></div><div class="narrow"></div><button class="png" type="button" title="Save the picture">PNG</button></div>',
    css=_DIAGRAM_CSS,
    js=_DIAGRAM_JS,
)

_CARDS_JS = (
    _THEME
    + """
export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector('.strata-root');
  themed(root);
  if (root.shown !== data) { root.innerHTML = data; root.shown = data; }
  root.onclick = (event) => {
    const card = event.target.closest('a[data-name]');
    if (card && !event.ctrlKey && !event.metaKey && !event.shiftKey) { event.preventDefault(); setTriggerValue('opened', card.dataset.name); }
  };
}
"""
)
_CARDS_CSS = (
    _PALETTES
    + f"""
.strata-root{{display:grid;grid-template-columns:repeat(auto-fill,minmax(258px,1fr));gap:16px;font-family:{FONT};color:var(--ink)}}
.card{{display:flex;flex-direction:column;gap:10px;border:1px solid var(--hair);border-radius:14px;padding:16px 16px 14px;text-decoration:none;
color:inherit;background:var(--page);transition:border-color .15s,box-shadow .15s}}
a.card:hover,a.card:focus-visible{{border-color:var(--box-line);box-shadow:0 3px 14px rgb(20 30 60/.09);outline:none}}
.card h3{{font-size:17px;line-height:1.25;font-weight:700;margin:0}} .card .who{{font-size:13px;color:var(--soft);margin:0}}
.card dl{{display:grid;grid-template-columns:repeat(3,1fr);gap:8px;margin:0;padding-top:2px}} .card dt{{font-size:11.5px;color:var(--soft)}}
.card dd{{margin:1px 0 0;font-size:14.5px;font-weight:650;white-space:nowrap}} .card .note{{font-size:13px;line-height:1.42;color:var(--soft);margin:0;
display:-webkit-box;-webkit-line-clamp:3;-webkit-box-orient:vertical;overflow:hidden}} .card svg{{display:block;width:100%;height:54px;border-radius:5px}}
.closed{{border-style:dashed;background:transparent}} .closed ul{{margin:0;padding-left:18px;font-size:13px;line-height:1.42;color:var(--soft)}}
"""
)
_cards = st.components.v2.component(
    "strata_cards", html='<div class="strata-root"></div>', css=_CARDS_CSS, js=_CARDS_JS
)

_COPY_JS = (
    _THEME
    + """
export default function ({ data, parentElement }) {
  const button = parentElement.querySelector('button');
  themed(button);
  button.onclick = async () => {
    const link = new URL(data, location.origin + location.pathname).href;
    try { await navigator.clipboard.writeText(link); }
    catch { const t = document.createElement('textarea'); t.value = link; document.body.append(t); t.select(); document.execCommand('copy'); t.remove(); }
    button.textContent = 'Copied';
    setTimeout(() => { button.textContent = 'Copy link'; }, 1600);
  };
}
"""
)
_COPY_CSS = (
    variables("button", False)
    + variables('button[data-theme="dark"]', True)
    + f"""
button{{width:100%;height:40px;border:0;border-radius:8px;background:var(--ink);color:var(--page);font:600 14.5px {FONT};cursor:pointer;white-space:nowrap}}
button:hover{{opacity:.88}} button:focus-visible{{outline:2px solid var(--accent);outline-offset:2px}}
"""
)
_copy = st.components.v2.component(
    "strata_copy", html='<button type="button">Copy link</button>', css=_COPY_CSS, js=_COPY_JS
)


def show_diagram(wide: str, narrow: str, name: str, on_click: Callable[[str], None]) -> None:
    """The diagram; a clicked box's node goes to `on_click` before the page runs again."""

    def clicked() -> None:
        node = st.session_state["diagram"].clicked
        if node:
            on_click(node)

    _diagram(key="diagram", data={"wide": wide, "narrow": narrow, "name": name}, on_clicked_change=clicked)


def show_cards(html: str) -> str | None:
    """The gallery's cards; the name of the one that was opened, if any."""
    return _cards(key="cards", data=html, on_opened_change=lambda: None).opened


def copy_button(link: str) -> None:
    """A button that copies `link`, made absolute by the browser."""
    _copy(key="copy", data=link)
