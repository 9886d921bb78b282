"""Figures of the lesson on pruning."""

from collections.abc import Mapping, Sequence
from typing import Any

from nnopt_lab.figures import theme

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike
from plotly.subplots import make_subplots

# Blue below zero, orange above, grey at zero: what is pruned is left white.
DIVERGING = ((0.0, "#0072B2"), (0.5, "#BFBFBF"), (1.0, "#D55E00"))

# plotly would label 2 and 5 as digits without their power of ten.
_TICKS = [digit * 10.0**power for power in range(-2, 6) for digit in (1, 2, 5)]
LOG_TICKS = {"tickvals": _TICKS, "ticktext": [f"{tick:g}" for tick in _TICKS]}


def filters(
    panels: Mapping[str, ArrayLike], accuracies: Mapping[str, tuple[float, float]]
) -> go.Figure:
    """Draw first-layer weights as strips, one a neuron, beside test accuracies.

    Parameters
    ----------
    panels : mapping of str to array_like
        Weights (out, in) by the title of their panel; zeros are left white.
    accuracies : mapping of str to (float, float)
        Mean test accuracy and half-width of its interval, in percent, by label.
    """
    widths = [*(1.0 for _ in panels), 0.6]
    drawn = make_subplots(
        cols=len(widths),
        subplot_titles=[*panels, "test accuracy (%)"],
        column_widths=widths,
        horizontal_spacing=0.1,
    )
    for column, weight in enumerate(panels.values(), 1):
        strips = np.where(np.equal(weight, 0), np.nan, weight)
        drawn.add_trace(go.Heatmap(z=strips, coloraxis="coloraxis"), row=1, col=column)
    heights, half_widths = np.array([*accuracies.values()]).T
    bars = go.Bar(
        x=[*accuracies],
        y=heights,
        error_y={"array": half_widths},
        marker_color=theme.COLOURS[1],
        text=[f"{height:.1f}" for height in heights],
        insidetextanchor="middle",
        textangle=0,
    )
    drawn.add_trace(bars, row=1, col=len(widths))
    _finish(drawn, "First layer, a row a neuron: pruned is white", height=480)
    drawn.update_layout(margin_b=120)
    drawn.update_xaxes(title_text="input", showgrid=False)
    drawn.update_yaxes(title_text="neuron", col=1, showgrid=False)
    drawn.update_xaxes(title_text="", col=len(widths))
    drawn.update_yaxes(range=[0, 75], col=len(widths))
    drawn.update_xaxes(tickangle=-45, col=len(widths))
    scale = {"colorscale": DIVERGING, "cmin": -1, "cmax": 1, "cmid": 0}
    colour_bar = {
        "title": {"text": "weight", "side": "right"}, "orientation": "h", "thickness": 12,
        "len": 0.5, "x": 0, "xanchor": "left", "y": -0.42, "tickvals": [-1, 0, 1],
    }  # fmt: skip
    return drawn.update_layout(coloraxis={**scale, "colorbar": colour_bar}, showlegend=False)


def masks(kept: Mapping[str, ArrayLike]) -> go.Figure:
    """Draw each layer's mask: dark where a weight is kept.

    Parameters
    ----------
    kept : mapping of str to array_like
        Boolean masks (out, in) by the name of their layer.
    """
    arrays = {name: np.asarray(mask, dtype=np.int8) for name, mask in kept.items()}
    titles = [f"{name}<br>{100 * a.mean():.1f} % kept" for name, a in arrays.items()]
    drawn = make_subplots(
        cols=len(arrays),
        subplot_titles=titles,
        column_widths=[a.shape[1] for a in arrays.values()],
        horizontal_spacing=0.08,
    )
    for column, mask in enumerate(arrays.values(), 1):
        picture = go.Heatmap(
            z=mask, zmin=0, zmax=1, showscale=False, colorscale=["#D9D9D9", theme.COLOURS[1]]
        )
        drawn.add_trace(picture, row=1, col=column)
    _finish(drawn, "The masks: blue is kept, grey is pruned", height=420)
    drawn.update_layout(margin_t=100)
    drawn.update_xaxes(title_text="input", showgrid=False)
    drawn.update_yaxes(showgrid=False)
    return drawn.update_yaxes(title_text="output", col=1)


def histogram(
    weights: ArrayLike, threshold: float, curve: Mapping[str, ArrayLike], view: str
) -> go.Figure:
    """Draw how the weights are spread, what a threshold cuts, and the accuracy at every threshold.

    Parameters
    ----------
    weights : array_like
        All weights of one network, any shape.
    threshold : float
        Weights of smaller absolute value are cut.
    curve : mapping
        ``"threshold"`` and ``"kept"`` (share in [0, 1]): two names of each cut; ``"accuracy"`` and
        ``"half_width"``, in [0, 1]; shape (cuts,) each.
    view : {"threshold", "kept"}
        What the right panel's axis shows.
    """
    values = np.ravel(weights)
    edges = np.linspace(-1, 1, 61)
    centres = (edges[:-1] + edges[1:]) / 2
    is_cut = np.abs(values) < threshold
    drawn = make_subplots(cols=2, subplot_titles=("weights of one network", "test accuracy (%)"))
    for name, chosen, colour in (("pruned", is_cut, 2), ("kept", ~is_cut, 1)):
        bars = go.Bar(
            x=centres,
            y=np.histogram(values[chosen].clip(-1, 1), edges)[0],
            name=name,
            width=edges[1] - edges[0],
            marker={
                "color": theme.COLOURS[colour],
                "pattern_shape": "/" if name == "pruned" else "",
                "line": {"color": theme.COLOURS[colour], "width": 1},
            },
        )
        drawn.add_trace(bars, row=1, col=1)
    for edge in (-threshold, threshold):
        drawn.add_vline(edge, line_dash="dash", line_color=theme.COLOURS[0], row=1, col=1)
    x = np.asarray(curve[view]) * (100 if view == "kept" else 1)
    y, width = 100 * np.asarray(curve["accuracy"]), 100 * np.asarray(curve["half_width"])
    for trace in theme.line(x, y, "test accuracy", 0, width):
        drawn.add_trace(trace.update(showlegend=False), row=1, col=2)
    here = int(np.argmin(np.abs(np.asarray(curve["threshold"]) - threshold)))
    drawn.add_vline(x[here], line_dash="dash", line_color=theme.COLOURS[2], row=1, col=2)
    _finish(drawn, "A threshold cuts small weights; no retraining yet", height=420)
    drawn.update_layout(barmode="stack", legend={"x": 0.01, "y": 0.98, "font_size": 12})
    drawn.update_xaxes(title_text="weight, ends: beyond ±1", col=1)
    drawn.update_yaxes(title_text="number of weights", col=1)
    label = "weights kept (%)" if view == "kept" else "threshold ε"
    drawn.update_xaxes(title_text=label, range=_padded(x), col=2)
    return drawn.update_yaxes(range=[0, 75], col=2)


def against_kept(
    curves: Mapping[str, Sequence[ArrayLike]],
    *,
    chosen: float,
    title: str,
    y: str,
    reference: tuple[str, float] | None = None,
    **layout: Any,
) -> go.Figure:
    """Draw something against the share of weights kept, on a log axis from all to few.

    Parameters
    ----------
    curves : mapping
        (sparsities in [0, 1), values) or (sparsities, values, half-widths) by name.
    chosen : float
        The sparsity to mark.
    y : str
        What the values are, with their unit.
    reference : (str, float), optional
        Label and height of a dotted line.
    **layout
        Passed on to ``Figure.update_layout``.
    """
    lines = {name: (100 * (1 - np.asarray(s)), *values) for name, (s, *values) in curves.items()}
    least = min(float(np.min(kept)) for kept, *_ in lines.values())
    drawn = theme.curves(
        lines, title=title, x="weights kept (%), log axis", y=y, chosen=100 * (1 - chosen), **layout
    )
    if reference is not None:
        label, height = reference
        drawn.add_hline(
            height, line_dash="dot", line_color=theme.GREY, annotation_text=label,
            annotation_position="bottom left", annotation_font_size=11,
        )  # fmt: skip
    if drawn.layout.yaxis.type == "log":
        drawn.update_yaxes(**LOG_TICKS)
    ends = [np.log10(120), np.log10(least / 1.2)]
    return drawn.update_xaxes(type="log", range=ends, **LOG_TICKS)


def _padded(values: Sequence[float] | np.ndarray) -> list[float]:
    low, high = float(np.min(values)), float(np.max(values))
    return [low - 0.05 * (high - low), high + 0.05 * (high - low)]


def _finish(drawn: go.Figure, title: str, height: int) -> None:
    """Give a figure of several panels the common look, its title above theirs."""
    drawn.update_layout(template=theme.TEMPLATE, title_text=title, height=height, margin_t=90)
    drawn.update_annotations(font_size=13)
