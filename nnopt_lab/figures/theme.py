"""One look for all figures: colours that everybody can tell apart, never colour alone."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike

# Okabe and Ito, "Color universal design" (2008), black first.
COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "solid")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "triangle-down", "star")
GREY = "#666666"
GRID = "#E2E2E2"

_AXIS = {
    "showline": True,
    "linecolor": GREY,
    "ticks": "outside",
    "tickfont": {"size": 13},
    "gridcolor": GRID,
    "zeroline": False,
    "title": {"standoff": 8, "font": {"size": 14}},
}


_UPRIGHT = {"autotickangles": [0, 90], "automargin": "bottom"}  # room for them on a narrow page


def _log_ticks(*digits: float) -> dict[str, Any]:
    """Return a log axis with labels in full; plotly would leave out their powers of ten."""
    ticks = [digit * 10.0**power for power in range(-4, 6) for digit in digits]
    words = [f"{tick:g}" for tick in ticks]
    return {"type": "log", "tickvals": ticks, "ticktext": words, **_UPRIGHT}


LOG_TICKS = _log_ticks(1, 2, 5)
FINE_LOG_TICKS = _log_ticks(1, 1.5, 2, 3, 4, 5, 7)  # for an axis over less than a decade
# For an axis over several.
DECADES = {"type": "log", "dtick": 1, "exponentformat": "power", **_UPRIGHT}

# plotly.js makes as much room above or below the axes as its rows need, on a narrow page more.
LEGEND_ABOVE: dict[str, Any] = {
    "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "font": {"size": 13}},
}
_LEGEND_BELOW = {"orientation": "h", "x": 0, "y": -0.18, "yanchor": "top", "font": {"size": 13}}

TEMPLATE = go.layout.Template(
    layout={
        "colorway": COLOURS,
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "font": {
            "family": "system-ui, Helvetica, Arial, sans-serif",
            "size": 13,
            "color": "#222222",
        },
        "title": {"x": 0.01, "xanchor": "left", "font": {"size": 16}},
        "margin": {"l": 70, "r": 20, "t": 12, "b": 50},
        "height": 380,
        "hovermode": "closest",
        "xaxis": _AXIS,
        "yaxis": _AXIS,
        "legend": {"bgcolor": "rgba(255,255,255,0.8)"},
    }
)


Trace = dict[str, Any]  # plotly's own words for a trace or a shape


def number(value: float) -> str:
    """Return a number as it is read: three digits or all before the point, and a true minus."""
    text = f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return text.replace("-", "\N{MINUS SIGN}")


def figure(traces: Sequence[Any], *, title: str, x: str, y: str, **layout: Any) -> go.Figure:
    """Return a figure in the common look.

    All is handed to plotly in one go, since it takes some milliseconds for each later change.

    Parameters
    ----------
    traces : sequence of plotly traces, or dicts
        What is drawn.
    title : str
        The same at every stop: numbers that vary belong into the sentence below.
    x, y : str
        Axis titles, with units.
    **layout
        As for ``Figure.update_layout``.
    """
    words = {"title_text": title, "xaxis_title_text": x, "yaxis_title_text": y}
    return go.Figure(list(traces), {"template": TEMPLATE, **layout, **words})


class Panel(NamedTuple):
    """One of several pairs of axes in a row: what is drawn there, and how the axes look."""

    traces: Sequence[Trace]
    x: Mapping[str, Any]
    y: Mapping[str, Any]
    width: float = 1.0
    shapes: Sequence[Trace] = ()


def side_by_side(
    panels: Mapping[str, Panel], *, title: str, gap: float = 0.1, **layout: Any
) -> go.Figure:
    """Return a figure of panels in a row in the common look, with their legend below.

    Parameters
    ----------
    panels : mapping of str to Panel
        By the title of each; only the ratios of their widths count.
    gap : float
        Between two panels, as a share of the whole.
    **layout
        As for ``Figure.update_layout``.
    """
    widths = np.array([panel.width for panel in panels.values()])
    widths = widths / widths.sum() * (1 - gap * (len(widths) - 1))
    starts = np.concatenate([[0.0], np.cumsum(widths + gap)[:-1]])
    ends = np.minimum(starts + widths, 1.0)
    traces: list[Trace] = []
    axes: dict[str, Any] = {"annotations": [], "shapes": []}
    for i, (name, panel) in enumerate(panels.items()):
        n, domain = "" if i == 0 else str(i + 1), (starts[i], ends[i])
        traces += [{**trace, "xaxis": f"x{n}", "yaxis": f"y{n}"} for trace in panel.traces]
        axes["shapes"] += [{**s, "xref": f"x{n}", "yref": f"y{n} domain"} for s in panel.shapes]
        axes[f"xaxis{n}"] = {**panel.x, "domain": domain, "anchor": f"y{n}"}
        axes[f"yaxis{n}"] = {**panel.y, "anchor": f"x{n}"}
        axes["annotations"].append(
            {
                "text": name, "x": sum(domain) / 2, "y": 1, "xref": "paper", "yref": "paper",
                "xanchor": "center", "yanchor": "bottom", "showarrow": False, "font": {"size": 13},
            }
        )  # fmt: skip
    common = {
        "template": TEMPLATE, "title_text": title, "margin_t": 34, "legend": _LEGEND_BELOW,
    }  # fmt: skip
    return go.Figure(traces, {**common, **axes, **layout})


def vertical(x: float, colour: str = GREY) -> Trace:
    """Return a dashed line from the bottom to the top at ``x``."""
    return {
        "type": "line", "x0": x, "x1": x, "xref": "x", "y0": 0, "y1": 1, "yref": "y domain",
        "line": {"color": colour, "dash": "dash"},
    }  # fmt: skip


def level(y: float, dash: str = "solid") -> Trace:
    """Return a grey line from the left to the right at height ``y``."""
    return {
        "type": "line", "x0": 0, "x1": 1, "xref": "x domain", "y0": y, "y1": y, "yref": "y",
        "line": {"color": GREY, "dash": dash},
    }  # fmt: skip


def line(
    x: ArrayLike, y: ArrayLike, name: str, style: int, half_width: ArrayLike | None = None
) -> list[Trace]:
    """Return a line with markers, and its band if it has one.

    Parameters
    ----------
    x, y : array_like
        Shape (points,).
    name : str
        In the legend.
    style : int
        Position in colours, dashes and symbols.
    half_width : array_like, optional
        Of the interval at each point.
    """
    colour = COLOURS[style]
    traces: list[Trace] = []
    if half_width is not None:
        low, high = np.subtract(y, half_width), np.add(y, half_width)
        traces.append(
            {
                "type": "scatter", "mode": "lines", "legendgroup": name, "showlegend": False,
                "x": np.concatenate([x, np.flip(x)]), "y": np.concatenate([high, np.flip(low)]),
                "fill": "toself", "fillcolor": colour, "opacity": 0.2, "line": {"width": 0},
                "hoverinfo": "skip",
            }
        )  # fmt: skip
    traces.append(
        {
            "type": "scatter", "mode": "lines+markers", "name": name, "legendgroup": name,
            "x": np.asarray(x), "y": np.asarray(y),
            "line": {"color": colour, "dash": DASHES[style]},
            # few markers tell lines apart as well as many, and are drawn in half the time
            "marker": {"color": colour, "symbol": SYMBOLS[style], "size": 7, "maxdisplayed": 15},
        }
    )  # fmt: skip
    return traces
