"""Figures of the data sets."""

from nnopt_lab.figures import theme

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike


def series(x: ArrayLike, title: str) -> go.Figure:
    """Draw a few series one above the other.

    Parameters
    ----------
    x : array_like
        Shape (series, length), the first on top.
    title : str
        The same for all that are compared.
    """
    values = np.asarray(x, dtype=float)
    shift = 5.0 * np.arange(len(values))[::-1]
    lines = [
        go.Scatter(y=row + up, mode="lines", line_color=theme.COLOURS[1], showlegend=False)
        for row, up in zip(values, shift, strict=True)
    ]
    drawn = theme.figure(
        lines, title=title, x="position in the series", y="", height=360, margin_l=100
    )
    names = [f"example {i}" for i in range(1, len(values) + 1)]
    return drawn.update_yaxes(tickvals=shift, ticktext=names)
