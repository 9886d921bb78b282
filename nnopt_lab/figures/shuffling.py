"""Figures of the lesson on shuffling."""

from typing import Any

from nnopt_lab.figures import charts, theme

import numpy as np
import plotly.graph_objects as go
import xarray as xr
from numpy.typing import ArrayLike
from plotly.colors import sample_colorscale

TOP, BOTTOM = (0.58, 1.0), (0.0, 0.42)  # where the two panels stand


def raster(digits: ArrayLike, *, title: str, **layout: Any) -> go.Figure:
    """Draw which digits stand in each batch, a column a step.

    Parameters
    ----------
    digits : array_like
        Shape (steps, samples of a batch).
    title : str
    **layout
        As for ``Figure.update_layout``.
    """
    return theme.figure(
        [_columns(digits, 1.0)], title=title, x="training step", y="place in the batch",
        **{"height": 330, **layout},
    )  # fmt: skip


def _columns(digits: ArrayLike, length: float) -> theme.Trace:
    columns = np.asarray(digits).T
    return {
        "type": "heatmap", "z": columns, "x": 1 + np.arange(columns.shape[1]),
        "zmin": -0.5, "zmax": 9.5, "colorscale": _steps(),
        "colorbar": {
            "title": {"text": "digit"}, "thickness": 12, "len": length, "y": 1, "yanchor": "top",
            "tickvals": [*range(10)],
        },
    }  # fmt: skip


def _steps() -> list[tuple[float, str]]:
    """Return a colour for each digit, from dark to light, so that it needs no hue."""
    colours = sample_colorscale("Cividis", 10)
    return [(end / 10, colour) for i, colour in enumerate(colours) for end in (i, i + 1)]


def seen_and_known(digits: ArrayLike, accuracy: xr.DataArray) -> tuple[go.Figure, str]:
    """Draw which digits stand in each batch, and below it which the networks know by then.

    Parameters
    ----------
    digits : array_like
        Shape (steps, samples of a batch).
    accuracy : xarray.DataArray
        In [0, 1]; dimensions ``digit``, ``step`` and ``seed``.

    Returns
    -------
    Figure, str
        And what is known best and worst at the end.
    """
    known = 100 * accuracy.mean("seed").transpose("digit", "step")
    cells = {
        "type": "heatmap", "z": known.values, "x": known.step.values, "y": known.digit.values,
        "yaxis": "y2", "zmin": 0, "zmax": 100, "colorscale": "Blues",
        "colorbar": {
            "title": {"text": "right (%)"}, "thickness": 12, "len": 0.45, "y": 0,
            "yanchor": "bottom",
        },
    }  # fmt: skip
    below = {
        "title": {"text": "digit known"}, "domain": BOTTOM, "dtick": 1, "showgrid": False,
        "autorange": "reversed",
    }  # fmt: skip
    drawn = theme.figure(
        [_columns(digits, 0.45), cells], title="What the loop sees, and what the networks know",
        x="training step", y="place in the batch", height=520,
        xaxis={"anchor": "y2"}, yaxis={"domain": TOP}, yaxis2=below,
    )  # fmt: skip
    end = known.isel(step=-1)
    best, worst = int(end.argmax("digit")), int(end.argmin("digit"))
    percent = charts.Quantity("", "%")
    return drawn, (
        f"After {int(end.step)} steps: digit {best} is right in "
        f"{percent.in_words(float(end[best]))} of the cases, digit {worst} in "
        f"{percent.in_words(float(end[worst]))}, all in {percent.in_words(float(end.mean()))}."
    )


def crossed(accuracy: xr.DataArray, by: str) -> tuple[go.Figure, str]:
    """Draw a dot for each network of a crossed grid, in columns of one axis, with their means.

    Parameters
    ----------
    accuracy : xarray.DataArray
        Named; dimensions ``order`` and ``seed``.
    by : {"order", "seed"}
        What the columns share.
    """
    shown = charts.quantity(accuracy.name)
    values = shown.show(accuracy).transpose(by, ...)
    dots = {
        "type": "scatter", "mode": "markers", "name": "one network",
        "x": np.repeat(np.arange(len(values)), values.shape[1]), "y": values.values.ravel(),
        "marker": {"color": theme.COLOURS[1], "symbol": "circle-open", "size": 8},
    }  # fmt: skip
    means = {
        "type": "scatter", "mode": "markers", "name": "mean of the column",
        "x": np.arange(len(values)), "y": values.mean(values.dims[1]).values,
        "marker": {"color": theme.COLOURS[2], "symbol": "diamond", "size": 11},
    }  # fmt: skip
    words = {"order": "order of the data", "seed": "first weights"}
    other = values.dims[1]
    drawn = theme.figure(
        [dots, means], title="Eight orders, eight sets of first weights, each with each",
        x=f"number of the {words[by]}", y=shown.title, **theme.LEGEND_ABOVE, xaxis_dtick=1,
    )  # fmt: skip
    within, between = float(values.std(other, ddof=1).mean()), float(values.std(by, ddof=1).mean())
    return drawn, (
        f"Standard deviation over the {words[str(other)]}, in a column: {within:.1f} points; over "
        f"the {words[by]}: {between:.1f} points."
    )
