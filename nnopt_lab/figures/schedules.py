"""Figures of the lesson on learning-rate decay."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from nnopt_lab.figures import theme

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike


def cloud(points: ArrayLike, curvatures: tuple[float, float], *, reach: float) -> go.Figure:
    """Draw many runs as points on a bowl, with its level lines, and their mean excess loss.

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


def rates(
    schedules: Mapping[str, ArrayLike],
    *,
    t: ArrayLike,
    unit: str,
    half_life: float | None = None,
    **layout: Any,
) -> go.Figure:
    """Draw learning rates over time, on a log axis, and mark when the first has halved.

    Parameters
    ----------
    schedules : mapping of str to array_like
        Rates by name, shape (times,).
    t : array_like
        The times, shape (times,).
    unit : str
        What t counts.
    half_life : float, optional
        Where the mark stands, if it lies within the axis.
    **layout
        As for ``Figure.update_layout``.
    """
    times = np.asarray(t, dtype=float)
    inside = half_life is not None and times.min() <= half_life <= times.max()
    note = {
        "text": "halved", "x": half_life, "xref": "x", "y": 0, "yref": "paper", "xanchor": "left",
        "yanchor": "bottom", "showarrow": False, "font": {"size": 12},
    }  # fmt: skip
    return theme.curves(
        {name: (times, values) for name, values in schedules.items()},
        title="Learning rates", x=unit, y="learning rate, log axis", yaxis=theme.DECADES,
        chosen=half_life if inside else None,
        annotations=[note] if inside else [], **layout,
    )  # fmt: skip


def learning_curves(
    lines: Mapping[str, Mapping[str, Sequence[ArrayLike]]],
    *,
    x: str,
    title: str,
    log_axes: Mapping[str, Any] = MappingProxyType({}),
) -> go.Figure:
    """Draw several quantities over time in panels side by side, the same lines in each.

    Parameters
    ----------
    lines : mapping
        By the title of the panel, then by the name of the line: (x, y) or (x, y, half-widths).
    x : str
        What all x axes show.
    log_axes : mapping of str to dict, optional
        By the title of the panel, the look of its y axis: ``theme.LOG_TICKS`` or ``theme.DECADES``.
    """
    panels = {
        panel: theme.Panel(
            [
                {**trace, "showlegend": trace.get("showlegend", True) and number == 0}
                for style, (name, (xs, ys, *band)) in enumerate(named.items())
                for trace in theme.line(xs, ys, name, style, *band)
            ],
            x={"title": x},
            y=log_axes.get(panel, {}),
        )
        for number, (panel, named) in enumerate(lines.items())
    }
    above: dict[str, Any] = {"legend": {**theme.LEGEND_ABOVE["legend"], "y": 1.08}}
    return theme.side_by_side(panels, title=title, **above)


def heat_map(
    values: ArrayLike,
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    chosen: tuple[int, int],
    **words: str,
) -> go.Figure:
    """Draw one number for each pair of settings, written into its cell, and frame one of them.

    Parameters
    ----------
    values : array_like
        Shape (rows, columns).
    rows, columns : sequence of str
        Names of the settings.
    chosen : (int, int)
        Row and column of the cell to frame.
    **words
        ``title``, ``x`` and ``y``, as for ``theme.figure``.
    """
    numbers = np.asarray(values, dtype=float)
    row, column = chosen
    cells = {
        "type": "heatmap", "z": numbers, "x": [*columns], "y": [*rows], "showscale": False,
        "colorscale": "Cividis", "text": [[f"{v:.1f}" for v in line] for line in numbers],
        "texttemplate": "%{text}", "zmin": float(np.nanmin(numbers)),
        "zmax": float(np.nanmax(numbers)),
    }  # fmt: skip
    frame = {
        "type": "rect", "x0": column - 0.5, "x1": column + 0.5, "y0": row - 0.5, "y1": row + 0.5,
        "line": {"color": theme.COLOURS[2], "width": 4},
    }  # fmt: skip
    named = {"type": "category"}
    return theme.figure([cells], **words, shapes=[frame], xaxis=named, yaxis=named)


def planned_applied(planned: ArrayLike, applied: ArrayLike, *, steps_per_epoch: int) -> go.Figure:
    """Draw the rate that was applied at each step over the rate that was planned.

    Parameters
    ----------
    planned, applied : array_like
        A rate for each step, shape (steps,) each.
    steps_per_epoch : int
        For the vertical lines between epochs.
    """
    n = len(np.asarray(planned))
    steps = np.arange(n)
    lines = {"planned": (steps, planned), "applied": (steps, applied)}
    ends = [theme.vertical(e, theme.GRID) for e in range(steps_per_epoch, n, steps_per_epoch)]
    return theme.curves(
        lines, title="The learning rate, planned and applied", x="training step",
        y="learning rate", shapes=ends, yaxis_rangemode="tozero",
    )  # fmt: skip
