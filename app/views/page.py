"""What every page has: the logo, the style sheet, and the small HTML pieces that figures are shown in."""

from html import escape

import streamlit as st

from .theme import FONT, variables

LOGO = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 104 26'%3E%3Cg fill='{ink}'%3E%3Crect y='3' width='22' height='5' rx='1.5'/%3E"
    "%3Crect y='10.5' width='22' height='5' rx='1.5' opacity='.75'/%3E%3Crect y='18' width='22' height='5' rx='1.5' fill='%23f08354'/%3E"
    "%3Ctext x='31' y='21' font-family='Source Sans 3, Inter, sans-serif' font-size='22' font-weight='700'%3EStrata%3C/text%3E%3C/g%3E%3C/svg%3E"
)

CSS = f"""
.st-key-strata-style{{display:none}}
.block-container,[data-testid="stMainBlockContainer"]{{padding:4.4rem 2rem 3rem;max-width:1480px}}
.figures{{display:grid;grid-template-columns:repeat(auto-fit,minmax(168px,1fr));gap:12px;font-family:{FONT}}}
.figure{{border:1px solid var(--hair);border-radius:12px;padding:12px 16px 11px;color:var(--ink);min-width:0}}
.figure .k{{font-size:13px;color:var(--soft)}} .figure .v{{font-size:23px;font-weight:700;line-height:1.3;white-space:nowrap}}
.figure .d{{font-size:12.5px;color:var(--soft);white-space:nowrap;overflow:hidden;text-overflow:ellipsis}} .d.up,.d.down{{color:var(--accent);font-weight:600}}
.edits{{font-family:{FONT};font-size:14px;color:var(--ink);line-height:1.9;padding:2px 0}} .pill{{background:var(--accent-soft);color:var(--accent);
font-weight:650;border-radius:20px;padding:4px 12px;margin-right:10px;white-space:nowrap}} .edits .e{{margin-right:14px;white-space:nowrap}} .edits s{{color:var(--soft)}}
.facts{{width:100%;border-collapse:collapse;font-family:{FONT};font-size:13.5px;color:var(--ink);margin:2px 0 6px}} .facts td{{padding:6px 0;border-bottom:1px solid var(--hair);vertical-align:top}}
.facts td:last-child{{text-align:right;font-variant-numeric:tabular-nums;overflow-wrap:anywhere;padding-left:14px}} .facts tr:last-child td{{border:0}}
.lead{{font-family:{FONT};font-size:14.5px;line-height:1.5;color:var(--soft);margin:0}} .lead b{{color:var(--ink)}} .how{{font-family:{FONT};font-size:12.5px;line-height:1.55;color:var(--soft);overflow-wrap:anywhere}}
.wrong{{font-family:{FONT};font-size:13px;line-height:1.4;color:var(--bad);margin:-8px 0 2px}} h4.t{{font-family:{FONT};font-size:17px;font-weight:700;margin:0;color:var(--ink)}}
h4.t small{{font-weight:400;color:var(--soft);font-size:13px;margin-left:4px}}
@media (max-width:640px){{[data-testid="stMainBlockContainer"]{{padding:4rem 1rem 2rem}} .figures{{grid-template-columns:1fr 1fr;gap:8px}} .figure{{padding:9px 12px}} .figure .v{{font-size:19px}}}}
@media print{{header,.stButton,.stPopover{{display:none!important}}}}
"""


def dark() -> bool:
    return st.context.theme.type == "dark"


def frame() -> None:
    """The logo and the style sheet, in the theme that the visitor's browser shows."""
    st.logo(LOGO.format(ink="%23eef1f7" if dark() else "%231b2130"), size="large", link=None)
    with st.container(key="strata-style"):
        st.html(f"<style>{variables(':root', dark())}{CSS}</style>")


def figures(rows: list[tuple[str, str, str, str]]) -> None:
    """Cards of (words, figure, note, direction); direction is up, down or nothing."""
    cards = "".join(
        f'<div class="figure"><div class="k">{escape(k)}</div><div class="v">{escape(v)}</div><div class="d {way}" title="{escape(note)}">{escape(note)}</div></div>'
        for k, v, note, way in rows
    )
    st.html(f'<div class="figures">{cards}</div>')


def table(rows: dict[str, str]) -> None:
    cells = "".join(f"<tr><td>{escape(k)}</td><td>{escape(v)}</td></tr>" for k, v in rows.items())
    st.html(f'<table class="facts">{cells}</table>')


def title(words: str, small: str = "") -> None:
    st.html(f'<h4 class="t">{escape(words)}<small>{escape(small)}</small></h4>')


def lead(words: str) -> None:
    st.html(f'<p class="lead">{escape(words)}</p>')


def wrong(words: str) -> None:
    """Why an edit could not be made, under its control."""
    st.html(f'<p class="wrong" role="alert">{escape(words)}</p>')
