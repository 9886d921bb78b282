"""Figures of the lesson on pruning."""

from collections.abc import Mapping, Sequence
from typing import Any

from nnopt_lab.figures import theme

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike, NDArray

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
        Mean test accuracy and half-width of its interval, in percent, by label.
    """
    strips = {
        name: theme.Panel(
            [{"type": "heatmap", "z": _white_zeros(weight), "coloraxis": "coloraxis"}],
            x={"title": "input", "showgrid": False},
            y={"title": "" if number else "neuron", "showgrid": False},
        )
        for number, (name, weight) in enumerate(panels.items())
    }
    heights, half_widths = np.array([*accuracies.values()]).T
    bars = {
        "type": "bar", "x": [*accuracies], "y": heights, "error_y": {"array": half_widths},
        "marker": {"color": theme.COLOURS[1]}, "text": [f"{height:.1f}" for height in heights],
        "insidetextanchor": "middle", "textangle": 0,
    }  # fmt: skip
    accuracy = theme.Panel([bars], x={"tickangle": -45}, y={"range": [0, 75]}, width=0.6)
    colour_bar = {
        "title": {"text": "weight", "side": "right"}, "orientation": "h", "thickness": 12,
        "len": 0.5, "x": 0, "xanchor": "left", "y": -0.42, "tickvals": [-1, 0, 1],
    }  # fmt: skip
    scale = {"colorscale": DIVERGING, "cmin": -1, "cmax": 1, "cmid": 0, "colorbar": colour_bar}
    return theme.side_by_side(
        {**strips, "test accuracy (%)": accuracy},
        title="First layer, a row a neuron: pruned is white",
        height=480, margin_b=120, coloraxis=scale, showlegend=False,
    )  # fmt: skip


def _white_zeros(weight: ArrayLike) -> NDArray[np.float64]:
    return np.where(np.equal(weight, 0), np.nan, weight)


def masks(kept: Mapping[str, ArrayLike]) -> go.Figure:
    """Draw each layer's mask: dark where a weight is kept.

    Parameters
    ----------
    kept : mapping of str to array_like
        Boolean masks (out, in) by the name of their layer.
    """
    scale = {"colorscale": ["#D9D9D9", theme.COLOURS[1]], "zmin": 0, "zmax": 1, "showscale": False}
    panels = {}
    for number, (name, mask) in enumerate(kept.items()):
        picture = np.asarray(mask, dtype=np.int8)
        panels[f"{name}<br>{100 * picture.mean():.1f} % kept"] = theme.Panel(
            [{"type": "heatmap", "z": picture, **scale}],
            x={"title": "input", "showgrid": False},
            y={"title": "" if number else "output", "showgrid": False},
            width=picture.shape[1],
        )
    title = "The masks: blue is kept, grey is pruned"
    return theme.side_by_side(panels, title=title, gap=0.08, height=420, margin_t=100)


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
    bars = [
        {
            "type": "bar", "name": name, "x": centres, "width": edges[1] - edges[0],
            "y": np.histogram(values[chosen].clip(-1, 1), edges)[0],
            "marker": {
                "color": theme.COLOURS[colour],
                "pattern": {"shape": "/" if name == "pruned" else ""},
                "line": {"color": theme.COLOURS[colour], "width": 1},
            },
        }
        for name, chosen, colour in (("pruned", is_cut, 2), ("kept", ~is_cut, 1))
    ]  # fmt: skip
    x = np.asarray(curve[view]) * (100 if view == "kept" else 1)
    y, width = 100 * np.asarray(curve["accuracy"]), 100 * np.asarray(curve["half_width"])
    here = x[np.argmin(np.abs(np.asarray(curve["threshold"]) - threshold))]
    panels = {
        "weights of one network": theme.Panel(
            bars,
            x={"title": "weight, ends: beyond ±1"},
            y={"title": "number of weights"},
            shapes=[theme.vertical(edge, theme.COLOURS[0]) for edge in (-threshold, threshold)],
        ),
        "test accuracy (%)": theme.Panel(
            [{**part, "showlegend": False} for part in theme.line(x, y, "accuracy", 0, width)],
            x={"title": "weights kept (%)" if view == "kept" else "threshold ε", **_padded(x)},
            y={"range": [0, 75]},
            shapes=[theme.vertical(here, theme.COLOURS[2])],
        ),
    }
    return theme.side_by_side(
        panels, title="A threshold cuts small weights; no retraining yet", gap=0.2, height=420,
        barmode="stack", legend={"x": 0.01, "y": 0.98, "font": {"size": 12}},
    )  # fmt: skip


def against_kept(
    curves: Mapping[str, Sequence[ArrayLike]],
    *,
    chosen: float,
    title: str,
    y: str,
    dense: tuple[float, float] | None = None,
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
    dense : (float, float), optional
        Mean and half-width of the dense networks: a point of its own, and a line at 95 % of it.
    **layout
        As for ``Figure.update_layout``.
    """
    lines = {name: (100 * (1 - np.asarray(s)), *values) for name, (s, *values) in curves.items()}
    least = min(float(np.min(kept)) for kept, *_ in lines.values())
    xaxis = {"range": [np.log10(120), np.log10(least / 1.2)], **theme.LOG_TICKS}
    if layout.get("yaxis_type") == "log":
        layout = {"yaxis": theme.LOG_TICKS, **layout}
    if dense is not None:
        mean, half_width = dense
        lines = {"dense": ([100], [mean], [half_width]), **lines}
        layout["shapes"] = [theme.level(0.95 * mean, "dot")]
        layout["annotations"] = [
            {
                "text": "95 % of dense", "x": 0, "xref": "x domain", "xanchor": "left",
                "y": 0.95 * mean, "yanchor": "top", "showarrow": False, "font": {"size": 11},
            }
        ]  # fmt: skip
    return theme.curves(
        lines, title=title, x="weights kept (%), log axis", y=y, chosen=100 * (1 - chosen),
        xaxis=xaxis, **layout,
    )  # fmt: skip


def _padded(values: NDArray[np.float64]) -> dict[str, list[float]]:
    low, high = float(np.min(values)), float(np.max(values))
    return {"range": [low - 0.05 * (high - low), high + 0.05 * (high - low)]}
