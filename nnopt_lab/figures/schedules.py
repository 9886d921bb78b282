"""Figures of the lesson on learning-rate decay."""

from nnopt_lab.figures import charts, theme
from nnopt_lab.statistics import Interval, over_seeds

import numpy as np
import plotly.graph_objects as go
import xarray as xr
from numpy.typing import ArrayLike


def cloud(points: ArrayLike, curvatures: tuple[float, float], *, reach: float) -> go.Figure:
    """Draw many runs as points on a bowl, with its level lines.

    Parameters
    ----------
    points : array_like
        Where each run stands, shape (runs, 2).
    curvatures : (float, float)
        Of the loss ``sum(curvature * w ** 2) / 2`` along both axes.
    reach : float
        The axes go from -reach to reach.
    """
    at = np.asarray(points, dtype=float)
    angle = np.linspace(0, 2 * np.pi, 61)
    rings = [
        {
            "type": "scatter", "mode": "lines", "line": {"color": theme.GRID, "width": 2},
            "x": np.sqrt(2 * level / curvatures[0]) * np.cos(angle),
            "y": np.sqrt(2 * level / curvatures[1]) * np.sin(angle),
            "hoverinfo": "skip", "showlegend": False,
        }
        for level in reach**2 * np.array([0.01, 0.05, 0.2, 0.5, 1.0])
    ]  # fmt: skip
    dots = {
        "type": "scatter", "mode": "markers", "x": at[:, 0], "y": at[:, 1], "showlegend": False,
        "marker": {"color": theme.COLOURS[1], "size": 5, "opacity": 0.6},
    }  # fmt: skip
    middle = {
        "type": "scatter", "mode": "markers", "x": [0], "y": [0], "showlegend": False,
        "marker": {"color": theme.COLOURS[2], "symbol": "x", "size": 10},
    }  # fmt: skip
    square = {"range": [-reach, reach], "constrain": "domain"}
    return theme.figure(
        [*rings, dots, middle],
        title="Many runs of SGD on a bowl, after the same number of steps",
        x="weight 1", y="weight 2", height=480, xaxis=square, yaxis={**square, "scaleanchor": "x"},
    )  # fmt: skip


def pairs(accuracy: xr.DataArray, delta: float, alpha0: float, epoch: int) -> tuple[go.Figure, str]:
    """Draw how good every pair of settings is after some epochs, and one pair over time.

    Parameters
    ----------
    accuracy : xarray.DataArray
        Named; dimensions ``delta`` (0 among them), ``alpha0``, ``seed`` and ``epoch``.
    delta, alpha0 : float
        The pair whose curve is drawn, beside that of ``delta`` 0; a click on a cell chooses it.
    epoch : int
        When the cells are measured.
    """
    shown = charts.quantity(accuracy.name)
    values = shown.show(accuracy)
    now = values.sel(epoch=epoch).mean("seed").transpose("delta", "alpha0")
    deltas, alphas = ([f"{value:g}" for value in now[name].values] for name in now.dims)
    cells = {
        "type": "heatmap", "z": now.values, "x": alphas, "y": deltas, "showscale": False,
        "colorscale": "Cividis", "text": [[f"{v:.0f}" for v in row] for row in now.values],
        "texttemplate": "%{text}", "meta": {"x": "alpha0", "y": "delta"}, "hoverinfo": "none",
    }  # fmt: skip
    row, column = deltas.index(f"{delta:g}"), alphas.index(f"{alpha0:g}")
    frame = {
        "type": "rect", "x0": column - 0.5, "x1": column + 0.5,
        "y0": row / len(deltas), "y1": (row + 1) / len(deltas),
        "line": {"color": theme.COLOURS[2], "width": 4},
    }  # fmt: skip
    found = {f"δ = {d:g}": over_seeds(values.sel(delta=d, alpha0=alpha0)) for d in (0, delta)}
    curves = [
        trace
        for style, (name, row) in enumerate(found.items())
        for trace in theme.line(row.epoch, row["mean"], name, style, row.half_width)
    ]
    named = {"type": "category"}
    drawn = theme.side_by_side(
        {
            f"{shown.words} (%) after the epoch chosen": theme.Panel(
                [cells], {"title": "first rate α₀", **named},
                {"title": "decay δ per step", **named},
                shapes=[frame],
            ),
            "the framed pair, and δ = 0, over time": theme.Panel(
                curves, {"title": "epoch"}, {"title": shown.title, **shown.axis},
                shapes=[theme.vertical(epoch)],
            ),
        },
        title="Every pair of first rate and decay", height=420,
    )  # fmt: skip
    top = now.isel(now.argmax(...))
    said = ", ".join(
        f"{name}: {shown.in_words(Interval(*map(float, at.to_array())))}"
        for name, at in ((name, row.sel(epoch=epoch)) for name, row in found.items())
    )
    return drawn, (
        f"After epoch {epoch}, from α₀ = {alpha0:g}: {said}. The best pair is then α₀ = "
        f"{float(top.alpha0):g}, δ = {float(top.delta):g}."
    )
