"""Charts: memory by component, cache against context, routing. Each role has the same colour in all pictures.

They are written as plotly JSON, which takes a tenth of the time of plotly's classes; a test validates them with the classes.
"""

from collections.abc import Iterator
from functools import partial
from html import escape
from math import ceil, floor, log10

import numpy as np
import plotly.graph_objects as go

import core
from core.compare import GROWS, LETTERS
from core.hardware import ACCELERATORS
from core.kept import kept
from core.roles import ROLES
from core.routing import LayerRouting, Routing
from core.words import rounds, size, tokens

from ..facts import compared, cost
from ..picture.layered import spread
from .theme import FONT, palette

FORMATS = ("bf16", "fp8", "int4")  # common formats of weights, besides the shipped one
TOKENS = 48  # rows that are still readable


def legend(roles: dict[str, str]) -> str:
    """A legend as HTML: coloured dots and their names, role -> words."""
    dots = (f'<span class="dot"><i style="background:var(--{role})"></i>{escape(words)}</span>' for role, words in roles.items())
    return f'<div class="legend">{"".join(dots)}</div>'


def weight(chart: go.Figure) -> int:
    """The approximate bytes of a chart, most of them for its cells."""
    return 40_000 + 16 * sum(trace.z.size for trace in chart.data if trace.type == "heatmap")


drawn = partial(kept, 8_000_000, weight)

# ---- memory ----


def memory_roles(arch: core.Architecture) -> dict[str, str]:
    """The roles that an architecture's weights and caches have, in the order of the bars."""
    found = cost(arch).by("role")
    present = {role for role, figures in found.items() if figures["parameters"] or figures["mtp_parameters"]}
    return {role: words for role, words in ROLES.items() if role in present} | {"cache": "caches and states"}


@drawn()
def memory(arch: core.Architecture, workload: core.Workload, dark: bool) -> go.Figure:
    """Bytes of weights by role in several formats, the caches at the end of each bar, lines at the memory of accelerators."""
    colours, roles = palette(dark), memory_roles(arch)
    formats: dict[str, str | None] = {} if arch.unsized else {"as shipped": None}  # not known for some models
    formats |= {name: name for name in dict.fromkeys((*FORMATS, workload.weights or "bf16"))}
    costs = {words: cost(arch, workload.model_copy(update={"weights": fmt})) for words, fmt in formats.items()}
    sums = [c.by("role") for c in costs.values()]
    bars = {role: [found[role]["weight_bytes"] for found in sums] for role in roles if role != "cache"}
    bars["cache"] = [c.kept_bytes for c in costs.values()]
    traces = [
        {
            "type": "bar", "orientation": "h", "y": list(costs), "x": bars[role], "marker": {"color": colours[role], "line": {"width": 0}},
            "customdata": [size(n) for n in bars[role]], "hovertemplate": words + " %{customdata}<extra>%{y}</extra>",
        }
        for role, words in roles.items()
    ]  # fmt: skip
    totals = {name: sum(bars[role][i] for role in roles) for i, name in enumerate(costs)}
    most = max(totals.values()) * 1.4  # leaves room for the label of the longest bar on a phone
    ticks = rounds(most)
    look = {"showarrow": False, "xanchor": "left", "xshift": 4, "bgcolor": colours["page"]}
    look |= {"font": {"color": colours["ink"], "size": 12.5}}
    lines, names = accelerators(colours, 0, most)
    said = "; ".join(f"{name} {size(total)}" for name, total in totals.items())
    above = max((name["yshift"] for name in names), default=0)
    return styled(
        traces, dark, 96 + 44 * len(costs) + above, top=34 + above, meta=f"Weights, caches and states: {said}.", barmode="stack",
        bargap=0.36, shapes=lines,
        annotations=[*({"y": name, "x": total, "text": size(total)} | look for name, total in totals.items()), *names],
        xaxis={"range": [0, most], "tickvals": ticks, "ticktext": [size(t) for t in ticks]},
        yaxis={"autorange": "reversed", "showgrid": False, "tickfont": {"size": 13}},
    )  # fmt: skip


@drawn()
def cache_curve(arch: core.Architecture, workload: core.Workload, dark: bool, start: core.Architecture | None = None) -> go.Figure:
    """Bytes of caches and states against context, what they would be without windows, latents and shared heads, and what they
    were at the start of the edits."""
    colours, at = palette(dark), workload.context
    top = max(arch.context, at, 512)
    contexts = sorted({at, *(int(n) for n in np.geomspace(256, top, 40))})
    held, plain = cost(arch, workload).kept_at(contexts)
    saves = plain[-1] > held[-1]

    def line(values: list[int], words: str, look: dict) -> dict:
        said = {"customdata": [size(n) for n in values], "hovertemplate": "%{customdata}<extra>" + words + "</extra>"}
        return {"type": "scatter", "mode": "lines", "x": contexts, "y": values} | said | look

    traces = [line(plain, "plain multi-head", {"line": {"color": colours["soft"], "width": 1.6, "dash": "dot"}})] if saves else []
    fill = {"fill": "tonexty", "fillcolor": colours["cache-tint"]} if saves else {}
    traces.append(line(held, "as built", {"line": {"color": colours["cache"], "width": 3}} | fill))
    spot = {"size": 11, "color": colours["cache"], "line": {"color": colours["page"], "width": 2}}
    point = {"type": "scatter", "mode": "markers", "x": [at], "y": [held[contexts.index(at)]], "hoverinfo": "skip"}
    traces.append(point | {"marker": spot})
    began = cost(start, workload).kept_at(contexts)[0] if start else []
    if began:
        traces.append(line(began, "at the start", {"line": {"color": colours["line"], "width": 2, "dash": "dash"}}))
    known = [n for n in (*held, *plain, *began) if n] or [1]
    low, high = log10(min(known)), log10(max(known))
    between = (1,) if high - low > 2 else (1, 2, 5)
    rounded = [10.0**d * m for d in range(floor(low), ceil(high) + 1) for m in between]
    marks = [n for n in (1 << k for k in range(8, 31, 2)) if n <= top]
    lines, names = accelerators(colours, 10**low, 10 ** (high + 0.2), logarithmic=True)
    ends = (f"{size(held[contexts.index(n)])} after {n:,} tokens" for n in dict.fromkeys((at, top)))
    return styled(
        traces, dark, 96 + 44 * (len(FORMATS) + 2), top=20, meta=f"Kept: {', '.join(ends)}.",
        hovermode="x unified", shapes=lines, annotations=names,
        xaxis={"type": "log", "tickvals": marks, "ticktext": [tokens(n) for n in marks], "title": words_of_axis("context, tokens")},
        yaxis={"type": "log", "tickvals": rounded, "ticktext": [size(t) for t in rounded], "range": [low - 0.15, high + 0.3]},
    )  # fmt: skip


@drawn()
def compare_curve(archs: tuple[core.Architecture, ...], workload: core.Workload, dark: bool, name: str) -> go.Figure:
    """One of `GROWS` against the context, a line for each architecture with its letter at the end; equal lines are one. Past what a
    model is meant for it is dotted."""
    colours, at, found = palette(dark), workload.context, compared(archs, workload)
    contexts, show, curves = found.contexts, GROWS[name][2], found.curves(name)
    top, logarithmic = contexts[-1], name == "kept_bytes"
    traces, labels = [], []
    for those, values, limit in curves:
        colour, dash = (("ink", "solid"), ("ink", "dash"), ("box-line", "solid"), ("box-line", "dash"))[those[0]]
        letters = " ".join(LETTERS[index] for index in those)
        said = {"customdata": [show(n) for n in values], "hovertemplate": f"%{{customdata}}<extra>{letters}</extra>"}
        inside, past = ([n if (n <= limit) == within else None for n in contexts] for within in (True, False))
        if limit < top:
            past[sum(n <= limit for n in contexts) - 1] = limit  # the two meet
        for xs, style, width in ((inside, dash, 2.4), (past, "dot", 1.6)):
            points = [(x, y) for x, y in zip(xs, values, strict=True) if x is not None]
            line = {"color": colours[colour], "width": width, "dash": style}
            trace = {"type": "scatter", "mode": "lines", "x": [x for x, _ in points], "y": [y for _, y in points], "line": line}
            traces.append(trace | ({"hoverinfo": "skip"} if style == "dot" else said | {"customdata": [show(y) for _, y in points]}))
        here = values[contexts.index(at)]
        spot = {"size": 9, "color": colours[colour], "line": {"color": colours["page"], "width": 2}}
        traces.append({"type": "scatter", "mode": "markers", "x": [at], "y": [here], "hoverinfo": "skip", "marker": spot})
        labels.append((values[-1], letters, colour))
    known = [n for curve in curves for n in curve.values if n] or [1]
    low, high = (log10(min(known)), log10(max(known))) if logarithmic else (0.0, max(known) * 1.06)
    rounded = [10.0**d for d in range(floor(low), ceil(high) + 1)] if logarithmic else rounds(high)[1:]
    names = [
        {
            "text": f"<b>{letters}</b>", "x": 1, "xref": "paper", "xanchor": "left", "xshift": 6, "showarrow": False,
            "y": log10(max(y, 1)) if logarithmic else y, "font": {"size": 13, "color": colours[colour if colour == "ink" else "soft"]},
        }
        for y, letters, colour in _apart(labels, low, high, logarithmic)
    ]  # fmt: skip
    marks = [n for n in (1 << k for k in range(9, 31, 2)) if n <= top]
    rule = {"type": "line", "yref": "paper", "y0": 0, "y1": 1, "x0": at, "x1": at}
    rule["line"] = {"color": colours["line"], "width": 1, "dash": "dot"}
    each = (f"{letters} {show(curve.values[contexts.index(at)])}" for (_, letters, _), curve in zip(labels, curves, strict=True))
    return styled(
        traces, dark, 300, top=14, right=48, meta=f"After {at:,} tokens: {'; '.join(each) or 'not known'}.", hovermode="x unified",
        shapes=[rule], annotations=names,
        xaxis={"type": "log", "tickvals": marks, "ticktext": [tokens(n) for n in marks], "title": words_of_axis("context, tokens")},
        yaxis={
            "type": "log" if logarithmic else "linear", "automargin": True, "tickvals": rounded, "ticktext": [show(t) for t in rounded],
            "range": [low - 0.1, high + 0.15] if logarithmic else [0, high],
        },
    )  # fmt: skip


def _apart(labels: list[tuple[int, str, str]], low: float, high: float, logarithmic: bool) -> list[tuple[float, str, str]]:
    """Labels at the ends of lines, moved apart where they would touch."""
    labels = sorted(labels)
    ends = [log10(max(y, 1)) if logarithmic else y for y, _, _ in labels]
    gap = (high - low) * 0.07
    moved = spread(ends, [gap] * (len(ends) - 1))
    return [(10**y if logarithmic else y, letters, colour) for y, (_, letters, colour) in zip(moved, labels, strict=True)]


def accelerators(colours: dict, least: float, most: float, logarithmic: bool = False) -> tuple[list[dict], list[dict]]:
    """Dotted lines at the memory of common accelerators within the chart, each with its name: vertical on an axis of bytes, or horizontal
    on a logarithmic one. A name that would touch another stands in a further row above the chart, or beside it. Lines that would be
    one are left out."""
    lines, names = [], []
    ends: list[float] = []  # of each row, where its last name stands, as a share of the axis
    near, before = (0.06, -1.0) if logarithmic else (0.18, 0.0)
    for item in (item for item in ACCELERATORS if least < item.memory < most):
        at = item.memory
        share = log10(at / least) / log10(most / least) if logarithmic else at / most
        if share - before < 0.02:
            continue
        before, row = share, next((row for row, end in enumerate(ends) if share - end > near), len(ends))
        ends[row : row + 1] = [share]
        look = {"type": "line", "line": {"color": colours["accent"], "width": 1, "dash": "dot"}}
        words = {"text": item.name, "showarrow": False, "font": {"size": 11, "color": colours["accent"]}, "yanchor": "bottom"}
        if logarithmic:  # shapes are placed at the value, texts at its logarithm
            lines.append(look | {"xref": "paper", "x0": 0, "x1": 1, "y0": at, "y1": at})
            words |= {"xref": "paper", "x": 0, "xanchor": "left", "xshift": 4 + 66 * row, "y": log10(at)}
        else:
            lines.append(look | {"yref": "paper", "y0": 0, "y1": 1, "x0": at, "x1": at})
            words |= {"yref": "paper", "y": 1, "x": at, "yshift": 13 * row}
        names.append(words)
    return lines, names


# ---- routing ----


@drawn()
def routing_layers(routing: Routing, dark: bool) -> go.Figure:
    """Load of every expert in every MoE layer; 1 is an equal share."""
    even = routing.heatmap * routing.heatmap.shape[1]
    rows = [str(layer.layer) for layer in routing.layers]
    busiest = ", ".join(f"layer {row} {most:.1f}" for row, most in zip(rows, np.nanmax(even, axis=1), strict=True))
    bar = {"thickness": 10, "title": {"text": "× even", "side": "right"}, "outlinewidth": 0}
    heat = {
        "type": "heatmap", "z": even, "y": rows, "colorscale": scale(dark), "colorbar": bar, "zmin": 0,
        "zmax": max(2.0, float(np.nanpercentile(even, 99))), "xgap": gap(even.shape[1]), "ygap": 1 if len(rows) <= 40 else 0,
        "hovertemplate": "layer %{y}, expert %{x}: %{z:.2f} × even<extra></extra>",
    }  # fmt: skip
    return styled(
        [heat], dark, min(620, max(240, 110 + 16 * len(rows))), top=26, meta=f"The busiest expert, × even: {busiest}.",
        annotations=list(untrained(routing, dark)),
        xaxis={"title": words_of_axis("expert"), "showgrid": False},
        yaxis={"title": words_of_axis("layer"), "autorange": "reversed", "type": "category", "showgrid": False, "nticks": 12},
    )  # fmt: skip


@drawn()
def routing_tokens(routing: Routing, layer: LayerRouting, dark: bool) -> go.Figure:
    """The experts of each token in one layer, and below them the share of tokens of each expert."""
    colours, words = palette(dark), list(routing.tokens[:TOKENS])
    experts = len(layer.load)
    ranked = np.argsort(-layer.load, kind="stable")[:8]
    most = ", ".join(f"expert {i} {layer.load[i] * experts:.1f} × even" for i in ranked)
    weights = np.full((len(words), experts), np.nan)
    np.put_along_axis(weights, layer.chosen[:TOKENS], layer.weights[:TOKENS], axis=1)
    heat = {
        "type": "heatmap", "z": weights, "colorscale": scale(dark, low="experts-line"), "showscale": False, "ygap": 1, "xgap": gap(experts),
        "text": [[word] for word in words], "hovertemplate": "token %{y} → expert %{x}, weight %{z:.3f}<extra></extra>",
    }  # fmt: skip
    load = {
        "type": "bar", "y": layer.load * experts, "yaxis": "y2", "marker": {"color": colours["experts"], "line": {"width": 0}},
        "hovertemplate": "expert %{x}: %{y:.2f} × even<extra></extra>",
    }  # fmt: skip
    even = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "yref": "y2", "y0": 1, "y1": 1}
    even["line"] = {"color": colours["line"], "width": 1, "dash": "dash"}
    return styled(
        [heat, load], dark, 150 + 14 * len(words), top=26, meta=f"Layer {layer.layer}, its busiest experts: {most}.",
        bargap=0.15, shapes=[even], annotations=list(untrained(routing, dark)),
        xaxis={"range": [-0.5, experts - 0.5], "showgrid": False, "anchor": "y2", "title": words_of_axis("expert")},
        yaxis={
            "domain": [0.19, 1], "autorange": "reversed", "showgrid": False, "tickfont": {"size": 11.5}, "ticktext": words,
            "tickvals": list(range(len(words))),
        },
        yaxis2={"domain": [0, 0.15], "rangemode": "tozero", "nticks": 4, "title": words_of_axis("× even")},
    )  # fmt: skip


def gap(cells: int) -> float:
    return 0.5 if cells <= 128 else 0


def untrained(routing: Routing, dark: bool) -> Iterator[dict]:
    """A note inside the chart that its weights are random."""
    if not routing.trained:
        place = {"xref": "paper", "yref": "paper", "x": 1, "y": 1, "xanchor": "right", "yanchor": "bottom", "yshift": 3}
        font = {"size": 11.5, "color": palette(dark)["accent"]}
        yield {"text": "random weights", "showarrow": False, "font": font} | place


def scale(dark: bool, low: str = "experts-tint") -> list:
    colours = palette(dark)
    return [[0, colours[low]], [0.5, colours["experts"]], [1, colours["router"]]]


# ---- all ----


def words_of_axis(text: str) -> dict:
    return {"text": text, "font": {"size": 12.5}}


def styled(traces: list[dict], dark: bool, height: int, top: int, right: int = 8, **layout) -> go.Figure:
    """A figure of these traces in the style of the page; its `meta` describes it in words."""
    colours = palette(dark)
    usual = {
        "gridcolor": colours["hair"], "zeroline": False, "fixedrange": True, "tickfont": {"color": colours["soft"]},
    }  # fmt: skip
    for name in [name for name in layout if "axis" in name]:
        given = layout[name]
        layout[name] = usual | given | {"tickfont": usual["tickfont"] | given.get("tickfont", {})}
    layout |= {
        "height": height, "margin": {"l": 74, "r": right, "b": 44, "t": top}, "showlegend": False, "dragmode": False,
        "paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)", "hoverlabel": {"font": {"family": FONT}},
        "font": {"family": FONT, "size": 13, "color": colours["ink"]},
    }  # fmt: skip
    return go.Figure({"data": traces, "layout": layout}, _validate=False)
