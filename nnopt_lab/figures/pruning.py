"""Figures of the lesson on pruning."""

from collections.abc import Mapping

from nnopt_lab.figures import theme

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike

# Blue below zero, orange above, grey at zero: what is cut is left white.
DIVERGING = ((0.0, "#0072B2"), (0.5, "#BFBFBF"), (1.0, "#D55E00"))
EDGES = np.linspace(-1, 1, 81)  # of the histogram's bins


def cut(weights: Mapping[str, ArrayLike], epsilon: float) -> tuple[go.Figure, str]:
    """Draw the first layer with gaps where a threshold cuts it, and where it cuts all weights.

    Parameters
    ----------
    weights : mapping of str to array_like
        By name, from the first layer on, (K, out, in); the first network is drawn.
    epsilon : float
        Weights of smaller absolute value are cut.

    Returns
    -------
    Figure, str
        A row of the strips is a neuron; and how many weights are cut.
    """
    layers = [np.asarray(weight, dtype=float)[0] for weight in weights.values()]
    first, whole = layers[0], np.concatenate([np.ravel(layer) for layer in layers])
    is_cut = np.abs(whole) < epsilon
    strips = {
        "type": "heatmap", "z": np.where(np.abs(first) < epsilon, np.nan, first),
        "colorscale": DIVERGING, "zmin": -1, "zmax": 1,
        "colorbar": {"title": {"text": "weight"}, "thickness": 12, "x": 0.41,
                     "tickvals": [-1, 0, 1]},
    }  # fmt: skip
    bars = [
        {
            "type": "bar", "name": name, "x": (EDGES[:-1] + EDGES[1:]) / 2,
            "width": EDGES[1] - EDGES[0],
            "y": np.histogram(whole[chosen].clip(-1, 1), EDGES)[0],
            "marker": {
                "color": theme.COLOURS[colour],
                "pattern": {"shape": "/" if name == "cut" else ""},
                "line": {"color": theme.COLOURS[colour], "width": 1},
            },
        }
        for name, chosen, colour in (("cut", is_cut, 2), ("kept", ~is_cut, 1))
    ]  # fmt: skip
    bare = {"showgrid": False, "showline": False, "ticks": ""}
    panels = {
        f"first layer, {len(first)} neurons": theme.Panel(
            [strips], x={**bare, "title": "input"},
            y={**bare, "title": "neuron", "autorange": "reversed"},
        ),
        f"all {len(whole)} weights": theme.Panel(
            bars, x={"title": "weight, ends: beyond ±1", "range": [-1.03, 1.03]},
            y={"title": "number of weights", "rangemode": "tozero"},
            shapes=[theme.vertical(edge, theme.COLOURS[0]) for edge in (-epsilon, epsilon)],
        ),
    }  # fmt: skip
    drawn = theme.side_by_side(
        panels, title="Weights nearer to zero than the threshold are cut", gap=0.2, height=420,
        barmode="stack",
    )  # fmt: skip
    n = int(is_cut.sum())
    share = f"{100 * n / len(whole):.0f}\N{NO-BREAK SPACE}%"
    return drawn, f"ε = {epsilon:g} cuts {n} of {len(whole)} weights, {share}."
