"""Figures of the page on how we know: what one seed says, and what many verdicts do."""

from nnopt_lab.figures import charts, theme
from nnopt_lab.statistics import over_seeds

import numpy as np
import plotly.graph_objects as go
import xarray as xr


def spread(accuracy: xr.DataArray, seed: int) -> tuple[go.Figure, str]:
    """Draw one dot for each network, and point at one of them.

    Parameters
    ----------
    accuracy : xarray.DataArray
        Named; dimension ``seed``.
    seed : int
        Which network to point at.
    """
    shown = charts.quantity(accuracy.name)
    values = shown.show(accuracy)
    chosen, mean = float(values.sel(seed=seed)), float(values.mean())
    dots = {
        "type": "scatter", "mode": "markers", "x": values.values,
        "y": np.random.default_rng(0).uniform(-0.6, 0.6, len(values)),  # so that all can be seen
        "marker": {"color": theme.COLOURS[1], "symbol": "circle-open", "size": 9},
    }  # fmt: skip
    one = {
        "type": "scatter", "mode": "markers", "x": [chosen], "y": [dots["y"][seed]],
        "marker": {"color": theme.COLOURS[2], "symbol": "diamond", "size": 15},
    }  # fmt: skip
    drawn = theme.figure(
        [dots, one], title="Equal but for the seed: a dot a network", x=shown.title, y="",
        height=230, showlegend=False, shapes=[theme.vertical(mean)],
        yaxis={"range": [-1, 1], "showticklabels": False, "ticks": "", "showgrid": False},
    )  # fmt: skip
    return drawn, f"Seed {seed}: {shown.in_words(chosen)}. Mean of all: {shown.in_words(mean)}."


def repeats(differences: xr.DataArray) -> tuple[go.Figure, str]:
    """Draw the intervals of many experiments in which there is nothing to find.

    Parameters
    ----------
    differences : xarray.DataArray
        Named; dimensions ``experiment`` and ``seed``; their true mean is 0.
    """
    shown = charts.quantity(differences.name)
    found = over_seeds(shown.show(differences))
    mean, half_width = found["mean"].values, found["half_width"].values
    misses = np.abs(mean) > half_width
    places = np.arange(1, len(mean) + 1)
    groups = {"holds 0": (~misses, 1, "circle"), "misses 0": (misses, 2, "diamond")}
    dots = [
        {
            "type": "scatter", "mode": "markers", "name": name, "x": places[chosen],
            "y": mean[chosen], "error_y": {"array": half_width[chosen], "thickness": 2},
            "marker": {"color": theme.COLOURS[colour], "symbol": symbol, "size": 8},
        }
        for name, (chosen, colour, symbol) in groups.items()
    ]  # fmt: skip
    drawn = theme.figure(
        dots, title="Equal against equal: the true difference is 0", x="experiment", y=shown.title,
        **theme.LEGEND_ABOVE, shapes=[theme.level(0)], xaxis_range=[0, len(mean) + 1],
    )  # fmt: skip
    n = int(misses.sum())
    return drawn, f"{n} of {len(mean)} intervals miss 0, and there is nothing to find."
