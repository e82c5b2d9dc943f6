"""Charts: memory by component, cache against context, routing. Colours are the roles of every other picture."""

import numpy as np
import plotly.graph_objects as go

import core
from core.cost import cache_bytes
from core.hardware import ACCELERATORS
from core.routing import LayerRouting, Routing
from core.words import size, tokens

from ..facts import cost
from .theme import FONT, ROLE_WORDS, palette

CONFIG = {"displayModeBar": False, "scrollZoom": False}


def _layout(fig: go.Figure, dark: bool, height: int, **more) -> go.Figure:
    colours = palette(dark)
    fig.update_layout(
        height=height, margin=dict(l=8, r=8, t=8, b=8), paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)",
        font=dict(family=FONT, size=13, color=colours["ink"]), hoverlabel=dict(font_family=FONT), dragmode=False, **more,
    )  # fmt: skip
    fig.update_xaxes(gridcolor=colours["hair"], zeroline=False, automargin=True, tickfont_color=colours["soft"])
    fig.update_yaxes(gridcolor=colours["hair"], zeroline=False, automargin=True, tickfont_color=colours["soft"])
    return fig


def memory(arch: core.Architecture, workload: core.Workload, dark: bool) -> go.Figure:
    """Bytes of weights by role in several formats, the caches at the end of each bar, lines where accelerators end."""
    colours = palette(dark)
    formats = {"as shipped": None, "bf16": "bf16", "fp8": "fp8", "int4": "int4"}
    chosen = workload.weights
    if chosen and chosen not in formats.values():
        formats[chosen] = chosen
    costs = {words: cost(arch, workload.model_copy(update={"weights": fmt})) for words, fmt in formats.items()}
    names = list(costs)
    fig = go.Figure()
    for role in ROLE_WORDS:
        values = [sum(row.weight_bytes for row in c.rows if row.role == role) for c in costs.values()]
        if any(values):
            fig.add_bar(
                y=names, x=values, orientation="h", name=ROLE_WORDS[role], marker_color=colours[role], marker_line_width=0,
                hovertemplate=ROLE_WORDS[role] + " %{customdata}<extra>%{y}</extra>", customdata=[size(v) for v in values],
            )  # fmt: skip
    kept = [c.kv_bytes + c.state_bytes for c in costs.values()]
    fig.add_bar(
        y=names, x=kept, orientation="h", name="KV cache", marker_color=colours["cache"], marker_line_width=0,
        hovertemplate="KV cache %{customdata}<extra>%{y}</extra>", customdata=[size(v) for v in kept],
    )  # fmt: skip
    whole = [c.weight_bytes + k for c, k in zip(costs.values(), kept, strict=True)]
    for name, total in zip(names, whole, strict=True):
        fig.add_annotation(
            y=name,
            x=total,
            text=size(total),
            showarrow=False,
            xanchor="left",
            xshift=6,
            font=dict(color=colours["ink"], size=12.5),
        )
    most = max(whole) * 1.18
    _accelerators(fig, colours, most, vertical=True)
    fig.update_xaxes(range=[0, most], tickvals=(ticks := _ticks(most)), ticktext=[size(t) for t in ticks])
    fig.update_yaxes(autorange="reversed", showgrid=False, tickfont_size=13)
    return _layout(
        fig,
        dark,
        84 + 46 * len(names),
        barmode="stack",
        bargap=0.38,
        legend=dict(orientation="h", y=-0.2, x=0, traceorder="normal", font_size=12.5),
    )


def _ticks(most: float) -> list[float]:
    """About five round values up to `most`."""
    raw = most / 5
    step = 10 ** np.floor(np.log10(raw))
    step *= next(m for m in (1, 2, 5, 10) if raw <= m * step)
    return [float(t) for t in np.arange(0, most, step)]


def _accelerators(fig: go.Figure, colours: dict, most: float, vertical: bool, least: float = 0) -> None:
    """Dotted lines at what common accelerators hold, those within the chart; names that would meet are left out."""
    last = None
    for item in ACCELERATORS:
        if not least < item.memory < most:
            continue
        line = dict(color=colours["accent"], width=1, dash="dot")
        close = last is not None and ((item.memory - last) / most < 0.13 if vertical else item.memory / last < 1.9)
        label = "" if close else f"{item.name} {item.memory / 1e9:,.0f} GB"
        last = last if close else item.memory
        font = dict(size=11, color=colours["accent"])
        if vertical:
            fig.add_vline(
                x=item.memory, line=line, annotation_text=label, annotation_position="top", annotation_font=font
            )
        else:
            fig.add_hline(
                y=item.memory, line=line, annotation_text=label, annotation_position="top left", annotation_font=font
            )


def cache_curve(arch: core.Architecture, workload: core.Workload, dark: bool) -> go.Figure:
    """Bytes of caches against context, beside what they would be without windows, latents and shared heads."""
    colours = palette(dark)
    top = max(arch.context, 2048)
    contexts = sorted(
        {*(int(n) for n in np.unique(np.geomspace(256, top, 40).astype(int))), min(workload.context, top)}
    )
    kept, plain = cache_bytes(arch, workload, contexts)
    fig = go.Figure()
    if plain[-1] > kept[-1]:
        fig.add_scatter(
            x=contexts, y=plain, mode="lines", name="every head's keys and values, no window", line=dict(color=colours["soft"], width=1.6, dash="dash"),
            hovertemplate="%{customdata}<extra>plain multi-head</extra>", customdata=[size(v) for v in plain],
        )  # fmt: skip
    fig.add_scatter(
        x=contexts, y=kept, mode="lines", name="as built", line=dict(color=colours["cache"], width=3), fill="tonexty" if plain[-1] > kept[-1] else None,
        fillcolor=colours["cache-tint"], hovertemplate="%{customdata}<extra>as built</extra>", customdata=[size(v) for v in kept],
    )  # fmt: skip
    if workload.context <= top:
        at = contexts.index(workload.context)
        fig.add_scatter(
            x=[contexts[at]],
            y=[kept[at]],
            mode="markers",
            marker=dict(size=10, color=colours["cache"], line=dict(color=colours["page"], width=2)),
            showlegend=False,
            hoverinfo="skip",
        )
    positive = [v for v in (*kept, *plain) if v > 0] or [1]
    low, high = np.log10(min(positive)), np.log10(max(positive))
    decades = [10.0**d for d in range(int(np.floor(low)), int(np.ceil(high)) + 1)]
    marks = [n for n in (1 << k for k in range(8, 31, 2)) if n <= top]
    fig.update_xaxes(
        type="log",
        tickvals=marks,
        ticktext=[tokens(n) for n in marks],
        title=dict(text="context, tokens", font_size=12.5),
    )
    fig.update_yaxes(type="log", tickvals=decades, ticktext=[size(t) for t in decades], range=[low - 0.15, high + 0.3])
    _accelerators(fig, colours, 10**high * 1.5, vertical=False, least=10**low)
    return _layout(fig, dark, 330, legend=dict(orientation="h", y=-0.28, x=0, font_size=12.5), hovermode="x unified")


def routing_layers(routing: Routing, dark: bool) -> go.Figure:
    """Load of every expert in every MoE layer: 1 is an even share."""
    experts = routing.heatmap.shape[1]
    even = routing.heatmap * experts
    fig = go.Figure(
        go.Heatmap(
            z=even, colorscale=_scale(dark), zmin=0, zmax=max(2.0, float(np.nanpercentile(even, 99))), xgap=0.5 if experts <= 128 else 0,
            ygap=1 if len(routing.layers) <= 40 else 0, hovertemplate="layer %{y}, expert %{x}: %{z:.2f} × even<extra></extra>",
            y=[str(layer.layer) for layer in routing.layers], colorbar=dict(thickness=10, title=dict(text="× even", side="right"), outlinewidth=0),
        )
    )  # fmt: skip
    fig.update_yaxes(
        title=dict(text="layer", font_size=12.5), autorange="reversed", type="category", showgrid=False, nticks=12
    )
    fig.update_xaxes(title=dict(text="expert", font_size=12.5), showgrid=False)
    _untrained(fig, routing, dark)
    return _layout(fig, dark, int(min(440, max(220, 110 + 13 * len(routing.layers)))))


def routing_tokens(routing: Routing, layer: LayerRouting, dark: bool, most: int = 48) -> go.Figure:
    """Which experts each token was sent to in one layer, and with what weight; the words stay readable."""
    words = [f"{i} {word}" for i, word in enumerate(routing.tokens[:most])]
    weight = np.zeros((len(words), len(layer.load)))
    np.put_along_axis(weight, layer.chosen[:most], layer.weights[:most], axis=1)
    fig = go.Figure(
        go.Heatmap(
            z=np.where(weight == 0, np.nan, weight), y=words, colorscale=_scale(dark, low=True), showscale=False, ygap=1,
            hovertemplate="%{y} → expert %{x}, weight %{z:.3f}<extra></extra>", xgap=0.5 if weight.shape[1] <= 128 else 0,
        )
    )  # fmt: skip
    fig.update_yaxes(
        autorange="reversed",
        type="category",
        showgrid=False,
        tickfont_size=11.5,
        ticktext=[w.split(" ", 1)[1] for w in words],
        tickvals=words,
    )
    fig.update_xaxes(title=dict(text="expert", font_size=12.5), range=[-0.5, weight.shape[1] - 0.5], showgrid=False)
    _untrained(fig, routing, dark)
    return _layout(fig, dark, 90 + 15 * len(words))


def routing_load(layer: LayerRouting, dark: bool) -> go.Figure:
    """Each expert's share of the tokens in one layer against an even one."""
    colours = palette(dark)
    even = layer.load * len(layer.load)
    fig = go.Figure(
        go.Bar(
            y=even,
            marker_color=colours["experts"],
            marker_line_width=0,
            hovertemplate="expert %{x}: %{y:.2f} × even<extra></extra>",
        )
    )
    fig.add_hline(y=1, line=dict(color=colours["line"], width=1, dash="dash"))
    fig.update_yaxes(title=dict(text="× even", font_size=12), rangemode="tozero", nticks=4)
    fig.update_xaxes(showgrid=False, range=[-0.5, len(even) - 0.5])
    return _layout(fig, dark, 150, bargap=0.15)


def _untrained(fig: go.Figure, routing: Routing, dark: bool) -> None:
    """The picture itself says that its weights are random."""
    if not routing.trained:
        colours = palette(dark)
        fig.add_annotation(
            text="random weights", xref="paper", yref="paper", x=1, y=1, xanchor="right", yanchor="bottom", showarrow=False,
            font=dict(size=11.5, color=colours["accent"]), yshift=2,
        )  # fmt: skip
        fig.update_layout(margin_t=24)


def _scale(dark: bool, low: bool = False) -> list:
    colours = palette(dark)
    start = colours["experts-tint"] if not low else colours["experts-line"]
    return [[0, start], [0.5, colours["experts"]], [1, colours["router"]]]
