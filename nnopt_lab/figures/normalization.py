"""Figures of the lesson on batch normalization."""

from typing import Any

from nnopt_lab.figures import charts, theme
from nnopt_lab.statistics import MINUS

import numpy as np
import plotly.graph_objects as go
import xarray as xr
from numpy.typing import ArrayLike, NDArray


def company(
    sample: ArrayLike, mates: ArrayLike, shares: ArrayLike, digit: int
) -> tuple[go.Figure, str]:
    """Draw a sample among its batch-mates, and what a network says of it in this company.

    Parameters
    ----------
    sample : array_like
        Shape (features,).
    mates : array_like
        Shape (mates, features).
    shares : array_like
        What the network gives each class, in [0, 1], shape (classes,).
    digit : int
        What the sample is.
    """
    others, values = np.asarray(mates), 100 * np.asarray(shares)
    gap = np.full((len(others), 1), np.nan)
    drawn: list[theme.Trace] = [
        {
            "type": "scatter", "mode": "lines", "hoverinfo": "skip", "showlegend": False,
            "x": np.tile(np.arange(others.shape[1] + 1), len(others)),
            "y": np.hstack([others, gap]).ravel(), "line": {"color": theme.GREY, "width": 1},
            "opacity": 0.5,
        },
        {
            "type": "scatter", "mode": "lines", "showlegend": False, "y": np.asarray(sample),
            "line": {"color": theme.COLOURS[2], "width": 4},
        },
    ]  # fmt: skip
    best = int(values.argmax())
    pattern = ["" if i == digit else "/" for i in range(len(values))]
    bars = {
        "type": "bar", "x": [str(i) for i in range(len(values))], "y": values, "showlegend": False,
        "marker": {
            "color": [theme.COLOURS[2 if i == digit else 1] for i in range(len(values))],
            "pattern": {"shape": pattern},
        },
    }  # fmt: skip
    figure = theme.side_by_side(
        {
            "the sample (thick) and its batch-mates": theme.Panel(
                drawn, {"title": "place in the series"}, {"title": "value"}
            ),
            f"what the network says; it is a {digit}": theme.Panel(
                [bars], {"title": "digit", "type": "category"},
                {"title": "share (%)", "range": [0, 100]},
            ),
        },
        title="One sample, one network, other company",
    )  # fmt: skip
    is_right = "which is right" if best == digit else f"and it is a {digit}"
    return figure, f"The network says {best}, with {values[best]:.0f} %, {is_right}."


def steps(
    x: ArrayLike, computed: tuple[Any, ...], where: tuple[int, int], constants: tuple[float, ...]
) -> tuple[go.Figure, str]:
    """Draw a batch as a table, before and after batch norm, and follow one cell with numbers.

    Parameters
    ----------
    x : array_like
        Shape (samples, neurons).
    computed : tuple
        ``normalization.Steps``: mean, variance, normalised values, output.
    where : tuple of int
        Sample and neuron of the cell, from 1; controls ``sample`` and ``neuron`` choose it, too.
    constants : tuple of float
        gamma, beta and eps.
    """
    mean, variance, normalised, output = (np.asarray(part) for part in computed)
    sample, neuron = where
    gamma, beta, eps = constants
    tables = {"x, what comes in": x, "normalised": normalised, "y, what goes out": output}
    figure = theme.side_by_side(
        {name: _table(np.asarray(table), where) for name, table in tables.items()},
        title="A batch through the four steps", gap=0.06, height=340,
    )  # fmt: skip
    i, j = sample - 1, neuron - 1
    column = " + ".join(_signed(value, 2) for value in np.asarray(x)[:, j])
    value, m, v = float(np.asarray(x)[i, j]), float(mean[j]), float(variance[j])
    n, out = float(normalised[i, j]), float(output[i, j])
    return figure, (
        f"Neuron {neuron}: mean = ({column}) / {len(normalised)} = {_plain(m)}; variance, the mean "
        f"squared distance from it, = {_plain(v, 4)}. Sample {sample}: normalised = "
        f"({_plain(value, 2)} {MINUS} {_signed(m)}) / √({_plain(v, 4)} + "
        f"{f'{eps:.5f}'.rstrip('0')}) = {_plain(n)}; y = {gamma:g} × {_signed(n)} + "
        f"{beta:g} = {_plain(out)}."
    )


def _plain(value: float, decimals: int = 3) -> str:
    return f"{round(value, decimals) + 0.0:.{decimals}f}".replace("-", MINUS)


def _signed(value: float, decimals: int = 3) -> str:
    text = _plain(value, decimals)
    return f"({text})" if text.startswith(MINUS) else text


def _table(values: NDArray[Any], where: tuple[int, int]) -> theme.Panel:
    """Return a panel of numbers that can be clicked: a row a sample, a column a neuron."""
    samples, neurons = values.shape
    cells = {
        "type": "heatmap", "z": values, "x": 1 + np.arange(neurons), "y": 1 + np.arange(samples),
        "text": [[_plain(value, 2) for value in row] for row in values], "texttemplate": "%{text}",
        "textfont": {"size": 14, "color": "black"}, "showscale": False, "xgap": 2, "ygap": 2,
        "zmin": -3, "zmax": 3, "colorscale": [[0, "#9CC9E8"], [0.5, "#FFFFFF"], [1, "#F5C08A"]],
        "meta": {"x": "neuron", "y": "sample"}, "hoverinfo": "none",
    }  # fmt: skip
    sample, neuron = where
    column = {
        "type": "rect", "x0": neuron - 0.5, "x1": neuron + 0.5, "y0": 0, "y1": 1,
        "line": {"color": theme.COLOURS[0], "dash": "dot"},
    }  # fmt: skip
    cell = {
        **column, "y0": 1 - sample / samples, "y1": 1 - (sample - 1) / samples,
        "line": {"color": theme.COLOURS[0], "width": 4},
    }  # fmt: skip
    return theme.Panel(
        [cells], {"title": "neuron", "dtick": 1, "range": [0.5, neurons + 0.5]},
        {"title": "sample", "dtick": 1, "range": [samples + 0.5, 0.5], "showgrid": False},
        shapes=[column, cell],
    )  # fmt: skip


def microscope(inside: xr.Dataset, change: xr.DataArray) -> tuple[go.Figure, str]:
    """Draw what goes into the ReLUs of each layer: spreads as a heat map, dead neurons, changes.

    Parameters
    ----------
    inside : xarray.Dataset
        As ``normalization.inside`` measures it; dimensions ``layer`` and ``seed``, ``histogram``
        also ``decade``.
    change : xarray.DataArray
        Of the weights in one update, over their norm; dimensions ``layer`` and ``seed``.
    """
    layers, depth = inside.layer.values, inside.sizes["layer"]
    shares = 100 * inside.histogram.mean("seed").transpose("layer", "decade").values
    heat = {
        "type": "heatmap", "z": shares, "x": 10.0 ** inside.decade.values, "y": layers,
        "zmin": 0, "zmax": 100, "colorscale": "Blues", "ygap": 3, "showscale": False,
        "hovertemplate": "layer %{y}: %{z:.0f} % of the neurons at %{x:.2g}<extra></extra>",
    }  # fmt: skip
    dead = 100 * inside.dead.mean("seed")
    ratio = change.sel(layer=layers).median("seed")
    bars = {
        "type": "bar", "orientation": "h", "x": dead.values, "y": layers, "showlegend": False,
        "marker": {"color": theme.COLOURS[2], "pattern": {"shape": "/"}},
    }  # fmt: skip
    dots = {
        "type": "scatter", "mode": "lines+markers", "x": ratio.values, "y": layers,
        "showlegend": False, "marker": {"color": theme.COLOURS[3], "symbol": "diamond", "size": 8},
    }  # fmt: skip
    rows = {"range": [depth + 0.6, 0.4], "dtick": 1, "showgrid": False}
    decades = {**theme.DECADES, "tickfont": {"size": 11}, "tickangle": 0}
    figure = theme.side_by_side(
        {
            "spread of a neuron over the samples<br>(dark: many neurons)": theme.Panel(
                [heat], {"title": "spread, log axis", **decades, "range": [-5, 2]},
                {"title": "layer", **rows}, 1.8,
            ),
            "dead neurons": theme.Panel(
                [bars], {"title": "share (%)", "range": [0, 100]}, {**rows, "showticklabels": False}
            ),
            "change of the weights<br>in one step": theme.Panel(
                [dots], {"title": "share of their size", **decades, "dtick": 2, "range": [-6, 0.5]},
                {**rows, "showticklabels": False},
            ),
        },
        title="Inside the network, layer by layer", gap=0.05, margin_t=48,
        height=200 + 24 * depth,
    )  # fmt: skip
    first, last = (float(inside.spread.isel(layer=i).median("seed")) for i in (0, -1))
    return figure, (
        f"A neuron differs between samples by {theme.number(first)} in layer 1 and by "
        f"{theme.number(last)} in layer {depth}; dead in layer {depth}: "
        f"{charts.Quantity('', '%').in_words(float(dead[-1]))}."
    )
