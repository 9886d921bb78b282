"""Figures of the primer: a step of SGD, batches and epochs, and the three arrays of CSR."""

from nnopt_lab.figures import theme
from nnopt_lab.statistics import MINUS

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike, NDArray

START, REACH = 2.0, 3.0  # where the descent begins; the axis goes from -REACH to REACH
BARE = {"showgrid": False, "showline": False, "ticks": "", "showticklabels": False}


def descent(rate: float, momentum: float, steps: int) -> tuple[go.Figure, str]:
    """Draw the way of one weight down the bowl ``loss = weight ** 2 / 2``, whose slope is weight.

    Parameters
    ----------
    rate : float
        Learning rate.
    momentum : float
        Share of the last step that the next one keeps, in [0, 1).
    steps : int
        How many were taken, from 0.
    """
    weight, move, way = START, 0.0, [START]
    for _ in range(steps):
        move = momentum * move - rate * weight
        weight += move
        way.append(weight)
    at = np.array(way)
    bowl = np.linspace(-REACH, REACH, 61)
    curve = {
        "type": "scatter", "mode": "lines", "x": bowl, "y": bowl**2 / 2, "hoverinfo": "skip",
        "line": {"color": theme.GREY, "width": 2},
    }  # fmt: skip
    path = {
        "type": "scatter", "mode": "lines+markers", "x": at, "y": at**2 / 2,
        "line": {"color": theme.COLOURS[1], "dash": "dot"},
        "marker": {"color": theme.COLOURS[1], "size": [7] * steps + [14]},
    }  # fmt: skip
    drawn = theme.figure(
        [curve, path], title="One weight goes down its loss", x="weight", y="loss", height=320,
        showlegend=False, xaxis={"range": [-REACH, REACH]}, yaxis={"range": [-0.3, REACH**2 / 2]},
    )  # fmt: skip
    following = momentum * move - rate * weight
    return drawn, (
        f"After {steps} steps the weight is {_plain(weight)}, and so is the slope. The next step: "
        f"{_kept(momentum, move)}{rate:g} × {_in_brackets(weight)} = {_plain(following)}."
    )


def _kept(momentum: float, move: float) -> str:
    return f"{momentum:g} × {_in_brackets(move)} {MINUS} " if momentum else MINUS


def _plain(value: float) -> str:
    return f"{round(value, 3) + 0.0:.3g}".replace("-", MINUS)


def _in_brackets(value: float) -> str:
    text = _plain(value)
    return f"({text})" if text.startswith(MINUS) else text


def batches(orders: ArrayLike, size: int, step: int) -> tuple[go.Figure, str]:
    """Draw the samples in the order of each epoch, and frame the batch of one step.

    Parameters
    ----------
    orders : array_like of int
        The samples of each epoch, shape (epochs, samples).
    size : int
        Samples of a batch; the last one of an epoch may be shorter.
    step : int
        From 1, counted over all epochs.
    """
    numbers = np.asarray(orders)
    n_epochs, n = numbers.shape
    n_steps = -(-n // size)
    epoch, batch = divmod(step - 1, n_steps)
    cells = {
        "type": "heatmap", "z": np.tile(np.arange(n) // size % 2, (n_epochs, 1)),
        "x": np.arange(n), "y": 1 + np.arange(n_epochs), "text": numbers, "texttemplate": "%{text}",
        "showscale": False, "zmin": 0, "zmax": 1, "xgap": 2, "ygap": 8, "hoverinfo": "none",
        "colorscale": [[0, "#9CC9E8"], [1, "#F5C08A"]], "textfont": {"color": "black"},
    }  # fmt: skip
    first, end = batch * size, min((batch + 1) * size, n)
    frame = {
        "type": "rect", "x0": first - 0.5, "x1": end - 0.5, "y0": epoch + 0.5, "y1": epoch + 1.5,
        "line": {"color": theme.COLOURS[0], "width": 4},
    }  # fmt: skip
    shapes = [frame] if epoch < n_epochs else []
    drawn = theme.figure(
        [cells], title=f"{n} samples, batch by batch", x="samples, in the order of the epoch",
        y="epoch", height=110 + 50 * n_epochs, minreducedwidth=24 * n, shapes=shapes, xaxis=BARE,
        yaxis={"range": [n_epochs + 0.6, 0.4], "dtick": 1, "showgrid": False},
    )  # fmt: skip
    if not shapes:
        return drawn, f"Training has {n_epochs} epochs of {n_steps} steps: it is over."
    samples = ", ".join(map(str, numbers[epoch, first:end]))
    return drawn, (
        f"Step {step}: epoch {epoch + 1}, batch {batch + 1} of {n_steps}, samples {samples}."
    )


def csr(matrix: ArrayLike, row: int) -> tuple[go.Figure, str]:
    """Draw a matrix, and the three arrays in which compressed sparse rows (CSR) keep it.

    Parameters
    ----------
    matrix : array_like
        Shape (rows, columns).
    row : int
        Which row to follow, from 0.
    """
    dense = np.asarray(matrix, dtype=float)
    rows, columns = dense.nonzero()
    starts = np.searchsorted(rows, np.arange(len(dense) + 1))
    first, end = int(starts[row]), int(starts[row + 1])
    arrays = {"values": dense[rows, columns], "columns": columns, "row starts": starts}
    n = max(map(len, arrays.values()))
    padded = np.full((3, n), np.nan)
    for i, array in enumerate(arrays.values()):
        padded[i, : len(array)] = array
    shown = {"range": [2.5, -0.5], "tickvals": [0, 1, 2], "ticktext": [*arrays], "showgrid": False}
    numbered = {"title": "row", "range": [len(dense) - 0.5, -0.5], "dtick": 1, "showgrid": False}
    drawn = theme.side_by_side(
        {
            "the matrix": theme.Panel(
                [_cells(dense)], {"title": "column", "dtick": 1}, numbered,
                shapes=[_frame(-0.5, dense.shape[1] - 0.5, row / len(dense), 1 / len(dense))],
            ),
            "its three arrays": theme.Panel(
                [_cells(padded, is_kept=True)], {"title": "place", "dtick": 1}, shown, width=1.4,
                shapes=[
                    _frame(first - 0.5, end - 0.5, 0, 2 / 3),
                    _frame(row - 0.5, row + 1.5, 2 / 3, 1 / 3),
                ],
            ),
        },
        title="Compressed sparse rows", height=260, gap=0.16,
    )  # fmt: skip
    return drawn, (
        f"Row {row} starts at place {first} and ends before {end}: "
        f"{end - first} of its {dense.shape[1]} numbers are kept, each with its column."
    )


def _cells(values: NDArray[np.float64], *, is_kept: bool = False) -> theme.Trace:
    """Return numbers in cells, those that are kept in blue."""
    text = [["" if np.isnan(v) else f"{v:g}".replace("-", MINUS) for v in row] for row in values]
    return {
        "type": "heatmap", "z": np.where(np.isnan(values), np.nan, (is_kept | (values != 0)) * 1.0),
        "text": text, "texttemplate": "%{text}", "showscale": False, "zmin": 0, "zmax": 1,
        "colorscale": [[0, "#FFFFFF"], [1, "#CFE4F3"]], "xgap": 2, "ygap": 2, "hoverinfo": "none",
        "textfont": {"size": 14, "color": "black"},
    }  # fmt: skip


def _frame(x0: float, x1: float, top: float, height: float) -> theme.Trace:
    """Return a frame in a panel whose rows go down; top and height are shares of it."""
    return {
        "type": "rect", "x0": x0, "x1": x1, "y0": 1 - top - height, "y1": 1 - top,
        "line": {"color": theme.COLOURS[2], "width": 3},
    }  # fmt: skip
