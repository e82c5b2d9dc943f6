"""Charts: memory by component, cache against context, routing. Colours are the roles of every other picture."""

from functools import lru_cache
from html import escape

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

import core
from core.cost import cache_bytes
from core.hardware import ACCELERATORS
from core.routing import LayerRouting, Routing
from core.words import size, tokens

from ..facts import cost
from .theme import FONT, ROLE_WORDS, palette

CONFIG = {"displayModeBar": False, "scrollZoom": False}
FORMATS = ("bf16", "fp8", "int4")  # what weights are commonly held in, beside what is shipped
TOKENS = 48  # rows that stay readable


def legend(roles: dict[str, str]) -> str:
    """Coloured dots and what they stand for, role -> words, as HTML."""
    dots = (
        f'<span class="dot"><i style="background:var(--{role})"></i>{escape(words)}</span>'
        for role, words in roles.items()
    )
    return f'<div class="legend">{"".join(dots)}</div>'


def memory_roles(arch: core.Architecture) -> dict[str, str]:
    """The roles that an architecture's weights and caches have, in the order of the bars."""
    present = {row.role for row in cost(arch).rows if row.weight_bytes}
    return {role: words for role, words in ROLE_WORDS.items() if role in present} | {"cache": "caches and states"}


@lru_cache(maxsize=128)
def memory(arch: core.Architecture, workload: core.Workload, dark: bool) -> go.Figure:
    """Bytes of weights by role in several formats, the caches at the end of each bar, lines where accelerators end."""
    colours = palette(dark)
    formats = {"as shipped": None} | {name: name for name in dict.fromkeys((*FORMATS, workload.weights or "bf16"))}
    costs = {words: cost(arch, workload.model_copy(update={"weights": fmt})) for words, fmt in formats.items()}
    bars = {
        role: [sum(r.weight_bytes for r in c.rows if r.role == role) for c in costs.values()]
        for role in memory_roles(arch)
    }
    bars["cache"] = [c.kv_bytes + c.state_bytes for c in costs.values()]
    figure = go.Figure()
    for role, words in memory_roles(arch).items():
        figure.add_bar(
            y=list(costs), x=bars[role], orientation="h", marker_color=colours[role], marker_line_width=0,
            hovertemplate=words + " %{customdata}<extra>%{y}</extra>", customdata=[size(n) for n in bars[role]],
        )  # fmt: skip
    totals = [sum(column) for column in zip(*bars.values(), strict=True)]
    for name, total in zip(costs, totals, strict=True):
        look = dict(font=dict(color=colours["ink"], size=12.5), bgcolor=colours["page"], borderpad=1)
        figure.add_annotation(y=name, x=total, text=size(total), showarrow=False, xanchor="left", xshift=4, **look)
    most = max(totals) * 1.2
    ticks = _ticks(most)
    figure.update_xaxes(range=[0, most], tickvals=ticks, ticktext=[size(t) for t in ticks])
    figure.update_yaxes(autorange="reversed", showgrid=False, tickfont_size=13)
    _accelerators(figure, colours, 0, most, vertical=True)
    return _styled(figure, dark, 96 + 44 * len(costs), barmode="stack", bargap=0.36, showlegend=False, margin_t=34)


@lru_cache(maxsize=128)
def cache_curve(arch: core.Architecture, workload: core.Workload, dark: bool) -> go.Figure:
    """Bytes of caches against context, beside what they would be without windows, latents and shared heads."""
    colours, top = palette(dark), max(arch.context, 512)
    at = min(workload.context, top)
    contexts = sorted({at, *(int(n) for n in np.geomspace(256, top, 40))})
    kept, plain = cache_bytes(arch, workload, contexts)
    figure = go.Figure()
    if saves := plain[-1] > kept[-1]:
        figure.add_scatter(
            x=contexts, y=plain, mode="lines", line=dict(color=colours["soft"], width=1.6, dash="dash"),
            hovertemplate="%{customdata}<extra>plain multi-head</extra>", customdata=[size(n) for n in plain],
        )  # fmt: skip
    figure.add_scatter(
        x=contexts, y=kept, mode="lines", line=dict(color=colours["cache"], width=3), fill="tonexty" if saves else None,
        fillcolor=colours["cache-tint"], hovertemplate="%{customdata}<extra>as built</extra>", customdata=[size(n) for n in kept],
    )  # fmt: skip
    spot = dict(size=11, color=colours["cache"], line=dict(color=colours["page"], width=2))
    figure.add_scatter(x=[at], y=[kept[contexts.index(at)]], mode="markers", marker=spot, hoverinfo="skip")
    low, high = (float(np.log10(f([n for n in (*kept, *plain) if n] or [1]))) for f in (min, max))
    decades = [10.0**d for d in range(int(np.floor(low)), int(np.ceil(high)) + 1)]
    marks = [n for n in (1 << k for k in range(8, 31, 2)) if n <= top]
    figure.update_xaxes(
        type="log",
        tickvals=marks,
        ticktext=[tokens(n) for n in marks],
        title=dict(text="context, tokens", font_size=12.5),
    )
    figure.update_yaxes(
        type="log", tickvals=decades, ticktext=[size(t) for t in decades], range=[low - 0.15, high + 0.3]
    )
    _accelerators(figure, colours, 10**low, 10 ** (high + 0.2), vertical=False)
    return _styled(figure, dark, 96 + 44 * (len(FORMATS) + 2), showlegend=False, hovermode="x unified", margin_t=20)


def _ticks(most: float) -> list[float]:
    """About five round values up to `most`."""
    step = 10 ** np.floor(np.log10(most / 5))
    step *= next(m for m in (1, 2, 5, 10) if most / 5 <= m * step)
    return [float(t) for t in np.arange(0, most, step)]


def _accelerators(figure: go.Figure, colours: dict, least: float, most: float, vertical: bool) -> None:
    """Dotted lines at what common accelerators hold, those within the chart; names that would meet are left out."""
    last, font = None, dict(size=11, color=colours["accent"])
    for item in ACCELERATORS:
        if not least < item.memory < most:
            continue
        line = dict(color=colours["accent"], width=1, dash="dot")
        if vertical:
            figure.add_vline(x=item.memory, line=line)
            place = dict(x=item.memory, y=1, yref="paper", yanchor="bottom")
            close = last is not None and (item.memory - last) / most < 0.2
        else:  # the axis is logarithmic, and so are the places of words on it
            figure.add_hline(y=item.memory, line=line)
            place = dict(x=0, xref="paper", xanchor="left", y=float(np.log10(item.memory)), yanchor="bottom", xshift=4)
            close = last is not None and item.memory / last < 2.4
        if not close:
            figure.add_annotation(text=item.name, showarrow=False, font=font, **place)
            last = item.memory


# ---- routing ----


def routing_layers(routing: Routing, dark: bool) -> go.Figure:
    """Load of every expert in every MoE layer: 1 is an even share."""
    experts = routing.heatmap.shape[1]
    even = routing.heatmap * experts
    bar = dict(thickness=10, title=dict(text="× even", side="right"), outlinewidth=0)
    figure = go.Figure(
        go.Heatmap(
            z=even, y=[str(layer.layer) for layer in routing.layers], colorscale=_scale(dark), colorbar=bar, zmin=0,
            zmax=max(2.0, float(np.nanpercentile(even, 99))), xgap=_gap(experts), ygap=1 if len(routing.layers) <= 40 else 0,
            hovertemplate="layer %{y}, expert %{x}: %{z:.2f} × even<extra></extra>",
        )
    )  # fmt: skip
    figure.update_yaxes(
        title=dict(text="layer", font_size=12.5), autorange="reversed", type="category", showgrid=False, nticks=12
    )
    figure.update_xaxes(title=dict(text="expert", font_size=12.5), showgrid=False)
    _untrained(figure, routing, dark)
    return _styled(figure, dark, min(620, max(240, 110 + 16 * len(routing.layers))), margin_t=26)


def routing_tokens(routing: Routing, layer: LayerRouting, dark: bool) -> go.Figure:
    """Which experts each token was sent to in one layer, and below it each expert's share of all of them."""
    colours, words = palette(dark), list(routing.tokens[:TOKENS])
    weight = np.full((len(words), len(layer.load)), np.nan)
    np.put_along_axis(weight, layer.chosen[:TOKENS], layer.weights[:TOKENS], axis=1)
    figure = make_subplots(rows=2, shared_xaxes=True, row_heights=[0.84, 0.16], vertical_spacing=0.03)
    figure.add_heatmap(
        z=weight, colorscale=_scale(dark, low="experts-line"), showscale=False, ygap=1, xgap=_gap(weight.shape[1]), row=1, col=1,
        customdata=[[word] * weight.shape[1] for word in words],
        hovertemplate="%{customdata} → expert %{x}, weight %{z:.3f}<extra></extra>",
    )  # fmt: skip
    even = layer.load * len(layer.load)
    figure.add_bar(
        y=even, marker_color=colours["experts"], marker_line_width=0, row=2, col=1,
        hovertemplate="expert %{x}: %{y:.2f} × even<extra></extra>",
    )  # fmt: skip
    figure.add_hline(y=1, line=dict(color=colours["line"], width=1, dash="dash"), row=2, col=1)
    figure.update_yaxes(
        autorange="reversed",
        showgrid=False,
        tickfont_size=11.5,
        ticktext=words,
        tickvals=list(range(len(words))),
        row=1,
    )
    figure.update_yaxes(title=dict(text="× even", font_size=12), rangemode="tozero", nticks=4, row=2)
    figure.update_xaxes(range=[-0.5, weight.shape[1] - 0.5], showgrid=False)
    figure.update_xaxes(title=dict(text="expert", font_size=12.5), row=2)
    _untrained(figure, routing, dark)
    return _styled(figure, dark, 150 + 14 * len(words), bargap=0.15, showlegend=False, margin_t=26)


def _gap(cells: int) -> float:
    return 0.5 if cells <= 128 else 0


def _untrained(figure: go.Figure, routing: Routing, dark: bool) -> None:
    """The picture itself says that its weights are random."""
    if not routing.trained:
        figure.add_annotation(
            text="random weights", xref="paper", yref="paper", x=1, y=1, xanchor="right", yanchor="bottom", showarrow=False,
            yshift=3, font=dict(size=11.5, color=palette(dark)["accent"]),
        )  # fmt: skip


def _scale(dark: bool, low: str = "experts-tint") -> list:
    colours = palette(dark)
    return [[0, colours[low]], [0.5, colours["experts"]], [1, colours["router"]]]


def _styled(figure: go.Figure, dark: bool, height: int, **layout) -> go.Figure:
    colours = palette(dark)
    clear = dict(paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)", dragmode=False)
    margins = {"margin_l": 8, "margin_r": 8, "margin_b": 8} | layout
    font = dict(family=FONT, size=13, color=colours["ink"])
    figure.update_layout(height=height, font=font, hoverlabel=dict(font_family=FONT), **clear, **margins)
    for axes in (figure.update_xaxes, figure.update_yaxes):
        axes(
            gridcolor=colours["hair"], zeroline=False, automargin=True, tickfont_color=colours["soft"], fixedrange=True
        )
    return figure
