"""Figures of the lesson on pruning."""

from collections.abc import Mapping, Sequence

from nnopt_lab.figures import theme

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike
from plotly.subplots import make_subplots

# Blue below zero, orange above, grey at zero: what is pruned is left white.
DIVERGING = ((0.0, "#0072B2"), (0.5, "#BFBFBF"), (1.0, "#D55E00"))


def filters(
    panels: Mapping[str, ArrayLike], accuracies: Mapping[str, tuple[float, float]]
) -> go.Figure:
    """Draw first-layer weights as strips, one a neuron, beside test accuracies.

    Parameters
    ----------
    panels : mapping of str to array_like
        Weights (out, in) by the title of their panel; zeros are left white.
    accuracies : mapping of str to (float, float)
        Mean test accuracy and half-width of its interval, in [0, 1], by label.
    """
    widths = [*(1.0 for _ in panels), 0.6]
    drawn = make_subplots(
        cols=len(widths),
        subplot_titles=[*panels, "all networks"],
        column_widths=widths,
        horizontal_spacing=0.1,
    )
    for column, weight in enumerate(panels.values(), 1):
        strips = np.where(np.equal(weight, 0), np.nan, weight)
        drawn.add_trace(go.Heatmap(z=strips, coloraxis="coloraxis"), row=1, col=column)
    heights, half_widths = 100 * np.array([*accuracies.values()]).T
    bars = go.Bar(
        x=[*accuracies],
        y=heights,
        error_y={"array": half_widths},
        marker_color=theme.COLOURS[1],
        text=[f"{height:.0f}" for height in heights],
        insidetextanchor="middle",
        textangle=0,
    )
    drawn.add_trace(bars, row=1, col=len(widths))
    _finish(drawn, "First layer, a row a neuron: pruned is white", height=440)
    drawn.update_xaxes(title_text="input", showgrid=False)
    drawn.update_yaxes(title_text="neuron", col=1, showgrid=False)
    drawn.update_xaxes(title_text="", col=len(widths))
    drawn.update_yaxes(title_text="test accuracy (%)", range=[0, 75], col=len(widths))
    scale = {"colorscale": DIVERGING, "cmin": -1, "cmax": 1, "cmid": 0}
    colour_bar = {"title": {"text": "weight"}, "thickness": 12, "len": 0.8, "x": 1.01}
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
    edges = np.linspace(-1, 1, 81)
    centres = (edges[:-1] + edges[1:]) / 2
    is_cut = np.abs(values) < threshold
    drawn = make_subplots(cols=2, subplot_titles=("weights of one network", "accuracy, 8 networks"))
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
    drawn.update_layout(barmode="stack", legend={"x": 0.01, "y": 0.98})
    drawn.update_xaxes(title_text="weight, ends: beyond ±1", col=1)
    drawn.update_yaxes(title_text="number of weights", col=1)
    label = "weights kept (%)" if view == "kept" else "threshold ε"
    drawn.update_xaxes(title_text=label, range=_padded(x), col=2)
    return drawn.update_yaxes(title_text="test accuracy (%)", range=[0, 75], col=2)


def accuracy_against_kept(
    sparsities: ArrayLike,
    curves: Mapping[str, tuple[ArrayLike, ArrayLike]],
    *,
    dense: float,
    chosen: float,
    axis: str,
) -> go.Figure:
    """Draw accuracy against the share of weights kept, for several methods.

    Parameters
    ----------
    sparsities : array_like
        Shares pruned, shape (points,).
    curves : mapping
        (mean accuracy, half-width of its interval) in [0, 1], shape (points,), by method.
    dense : float
        Accuracy of the networks before pruning, for reference.
    chosen : float
        The sparsity to mark.
    axis : {"log", "linear"}
        How the share is drawn.
    """
    kept = 100 * (1 - np.asarray(sparsities))
    traces = []
    for style, (name, (mean, half_width)) in enumerate(curves.items()):
        y, width = 100 * np.asarray(mean), 100 * np.asarray(half_width)
        traces += theme.line(kept, y, name, style, width)
    drawn = theme.figure(
        traces,
        title="Accuracy against weights kept (8 seeds, 95 % intervals)",
        x="weights kept (%)" + (", log axis" if axis == "log" else ""),
        y="test accuracy (%)",
        height=480,
        legend={"x": 1, "xanchor": "right", "y": 0.76, "yanchor": "top"},  # where no curve runs
    )
    drawn.add_hline(
        95 * dense, line_dash="dot", line_color=theme.GREY, annotation_text="95 % of dense",
        annotation_position="top right",
    )  # fmt: skip
    drawn.add_vline(100 * (1 - chosen), line_dash="dash", line_color=theme.GREY)
    ticks = [0.5, 1, 2, 5, 10, 20, 50, 100]
    is_log = axis == "log"
    drawn.update_xaxes(
        type=axis,
        range=[np.log10(120), np.log10(kept.min() / 1.2)] if is_log else [105, -5],
        **({"tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]} if is_log else {}),
    )
    return drawn.update_yaxes(range=[0, 75])


def _padded(values: Sequence[float] | np.ndarray) -> list[float]:
    low, high = float(np.min(values)), float(np.max(values))
    return [low - 0.05 * (high - low), high + 0.05 * (high - low)]


def _finish(drawn: go.Figure, title: str, height: int) -> None:
    """Give a figure of several panels the common look, its title above theirs."""
    drawn.update_layout(template=theme.TEMPLATE, title_text=title, height=height, margin_t=90)
    drawn.update_annotations(font_size=13)
