"""Charts of labelled arrays: the array's own names say what is drawn, and how.

The dimension ``seed`` becomes a mean with its 95 % interval, the one further dimension names the
lines or rows. How a quantity is shown stands once, in ``QUANTITIES``, by the name of the array or
coordinate. Each chart is a figure and the sentence under it.
"""

import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nnopt_lab.figures import theme
from nnopt_lab.statistics import MINUS, NO_BREAK, Interval, Verdict, over_seeds

import numpy as np
import plotly.graph_objects as go
import xarray as xr


@dataclass(frozen=True)
class Quantity:
    """How a quantity is shown.

    Parameters
    ----------
    words, unit : str
        What it is, and in what it is counted.
    show : callable
        From the array's values to the numbers that are read.
    axis : mapping
        What plotly's axis needs besides a title.
    is_falling : bool
        Whether its axis goes from large to small.
    """

    words: str
    unit: str = ""
    show: Callable[[Any], Any] = field(default=lambda value: value)
    axis: Mapping[str, Any] = field(default_factory=dict)
    is_falling: bool = False

    @property
    def title(self) -> str:
        """The title of its axis."""
        unit = f" ({self.unit})" if self.unit else ""
        return f"{self.words}{unit}{', log axis' if self.axis.get('type') == 'log' else ''}"

    def in_words(self, number: float | Interval) -> str:
        """Return a shown number with its unit, on one line."""
        text = str(number) if isinstance(number, Interval) else theme.number(number)
        return f"{text}{NO_BREAK}{self.unit}".rstrip()


def _percent(share: Any) -> Any:
    return 100 * share


QUANTITIES = {
    "test_accuracy": Quantity("test accuracy", "%", _percent, {"range": [0, 80]}),
    "accuracy": Quantity("accuracy", "%", _percent, {"range": [0, 104]}),
    "test_accuracy_difference": Quantity("difference in test accuracy", "points", _percent),
    "sparsity": Quantity(
        "weights kept", "%", lambda share: 100 * (1 - share), theme.LOG_TICKS, is_falling=True
    ),
    "cut": Quantity("cut", "%", _percent),
    "still_zero": Quantity(
        "pruned weights that are still zero", "%", _percent, {"range": [0, 104]}
    ),
    "step": Quantity("training steps", axis=theme.LOG_TICKS),
    "epsilon": Quantity("threshold ε"),
    "t": Quantity("t, training steps"),
    "rate": Quantity("learning rate", axis={"rangemode": "tozero"}),
    "learning_rate": Quantity("learning rate", axis=theme.DECADES),
    "excess_loss": Quantity("excess loss", axis=theme.DECADES),
    "progress": Quantity("training done", "%"),
    "test_loss": Quantity("test loss"),
    "gap": Quantity("training accuracy minus test accuracy", "points", _percent),
    "lr": Quantity("first learning rate", axis=theme.DECADES),
    "batch_size": Quantity("batch size", axis=theme.LOG_TICKS),
    "epoch": Quantity("epoch"),
    "validation_accuracy": Quantity("validation accuracy", "%", _percent, {"range": [0, 80]}),
    "training_loss": Quantity("training loss", is_falling=True),
    "validation_loss": Quantity("validation loss"),
    "buffer": Quantity("samples in the buffer", axis=theme.LOG_TICKS),
    "shards": Quantity("files"),
    "workers": Quantity("workers"),
    "steps_to_target": Quantity("steps to the target", axis={"rangemode": "tozero"}),
    "devices": Quantity("devices", axis={"type": "log", "tickvals": [*4.0 ** np.arange(6)]}),
    "speed_up": Quantity("times as many samples a second", axis={"rangemode": "tozero"}),
    "efficiency": Quantity("efficiency", "%", _percent, {"range": [0, 112]}),
    "epochs": Quantity("epochs", axis=theme.LOG_TICKS),
    "error": Quantity("squared error", axis=theme.DECADES),
    "n_bytes": Quantity("gzipped file", "bytes", axis=theme.LOG_TICKS),
    "seconds": Quantity("training until 45 %", "s", axis=theme.FINE_LOG_TICKS),
    "size": Quantity("file, compared with the dense one", "%", _percent, theme.LOG_TICKS),
    "folded_time": Quantity("time, compared with before", "%", _percent, {"range": [0, 130]}),
    "time": Quantity("time, compared with dense", "%", _percent, theme.LOG_TICKS),
}


def quantity(name: object) -> Quantity:
    """Return how a quantity is shown.

    Raises
    ------
    KeyError
        If it is not known.
    """
    if name not in QUANTITIES:
        raise KeyError(
            f"nothing is known of {name!r}; rename the array or coordinate to one of "
            f"{[*QUANTITIES]}, or add it to charts.QUANTITIES."
        )
    return QUANTITIES[str(name)]


def _rows(values: xr.DataArray, *kept: str) -> dict[str, xr.DataArray]:
    """Return an array by the places on its one dimension besides ``seed`` and the kept ones."""
    further = [str(name) for name in values.dims if name not in ("seed", *kept)]
    if len(further) > 1 or not set(kept) <= set(values.dims):
        raise ValueError(
            f"the dimensions are {[*values.dims]}; give {[*kept]}, and one more at most besides "
            "'seed': select a place on the others."
        )
    if not further:
        return {quantity(values.name).words: values}
    (name,) = further
    known = QUANTITIES.get(name, Quantity(""))

    def label(place: Any) -> str:
        if isinstance(place, str):
            return place
        return f"{known.words} {known.in_words(known.show(place))}".strip()

    return {label(place): values.sel({name: place}) for place in values[name].values.tolist()}


def _summary(values: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray | None]:
    """Return means and half-widths over seeds, or the values themselves and None."""
    if "seed" not in values.dims:
        return values, None
    found = over_seeds(values)
    return found["mean"], found.half_width


def lines(
    values: xr.DataArray, *, x: str, title: str, mark: float | None = None, **layout: Any
) -> tuple[go.Figure, str]:
    """Draw a quantity along one dimension, a line with its band for each place on another.

    Parameters
    ----------
    values : xarray.DataArray
        Named; dimensions ``x``, and if there are any ``seed`` and one that names the lines.
    x : str
        The dimension of the x axis.
    title : str
    mark : float, optional
        A value of ``x`` to mark; the sentence tells what is found there.
    **layout
        As for ``Figure.update_layout``.

    Raises
    ------
    KeyError
        If it is not known how array or dimension are shown.
    ValueError
        If there is another dimension.
    """
    along, across = quantity(x), quantity(values.name)
    found = {name: _summary(across.show(row)) for name, row in _rows(values, x).items()}
    shown = np.asarray(along.show(values[x].values), dtype=float)
    traces: list[theme.Trace] = []
    for style, (name, (mean, half_width)) in enumerate(found.items()):
        is_there = np.isfinite(mean.values)
        width = None if half_width is None else half_width.values[is_there]
        traces += theme.line(shown[is_there], mean.values[is_there], name, style, width)
    xaxis = {**along.axis, **({"range": _falling(shown, along)} if along.is_falling else {})}
    at = None if mark is None else float(along.show(mark))
    drawn = theme.figure(
        traces, title=title, x=along.title, y=across.title,
        **{
            **theme.LEGEND_ABOVE, "showlegend": len(found) > 1, "xaxis": xaxis,
            "yaxis": dict(across.axis), "shapes": [] if at is None else [theme.vertical(at)],
            **layout,
        },
    )  # fmt: skip
    if mark is None:
        return drawn, ""
    parts = {
        name: _number(mean.sel({x: mark}), None if half is None else half.sel({x: mark}))
        for name, (mean, half) in found.items()
    }
    return drawn, f"{_capital(_place(x, mark))}: {_listed(parts, across)}."


def _place(name: str, value: float) -> str:
    """Return a place on an axis in words, as shown and, where that differs, as it is."""
    known = QUANTITIES.get(name, Quantity(name))
    shown = float(known.show(value))
    here = f"{known.words} {known.in_words(shown)}"
    return here if shown == value else f"{here} ({name} {value:g})"


def _falling(shown: np.ndarray[Any, Any], along: Quantity) -> list[float]:
    ends = np.log10(shown) if along.axis.get("type") == "log" else shown
    pad = 0.04 * (ends.max() - ends.min())
    return [float(ends.max() + pad), float(ends.min() - pad)]


def _number(mean: xr.DataArray, half_width: xr.DataArray | None) -> float | Interval:
    return float(mean) if half_width is None else Interval(float(mean), float(half_width))


def _listed(parts: Mapping[str, float | Interval], shown: Quantity) -> str:
    """Return numbers as a sentence lists them; what is not a number is left out."""
    words = {n: shown.in_words(part) for n, part in parts.items() if np.isfinite(part).all()}
    alone = len(parts) == 1
    listed = ", ".join(word if alone else f"{name} {word}" for name, word in words.items())
    return listed or "not a number"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def intervals(values: xr.DataArray, *, title: str, **layout: Any) -> tuple[go.Figure, str]:
    """Draw the mean over seeds with its interval, a row for each place, the first on top.

    Parameters
    ----------
    values : xarray.DataArray
        Named; dimensions ``seed`` and one that names the rows.
    title : str
    **layout
        As for ``Figure.update_layout``.

    Raises
    ------
    KeyError, ValueError
        As ``lines``.
    """
    across = quantity(values.name)
    found = {name: _number(*_summary(across.show(row))) for name, row in _rows(values).items()}
    means = [part.mean if isinstance(part, Interval) else part for part in found.values()]
    widths = [part.half_width if isinstance(part, Interval) else 0 for part in found.values()]
    names = ["<br>".join(textwrap.wrap(name, 28)) for name in found]
    dots = {
        "type": "scatter", "x": means, "y": names, "mode": "markers+text",
        "text": [f"{mean:.1f}".replace("-", MINUS) for mean in means], "textposition": "top center",
        "error_x": {"array": widths, "thickness": 3, "width": 8},
        "marker": {"color": theme.COLOURS[1], "symbol": "diamond", "size": 10},
    }  # fmt: skip
    drawn = theme.figure(
        [dots], title=title, x=across.title, y="", height=80 + 52 * len(found),
        **{
            "xaxis": dict(across.axis),
            "yaxis": {"range": [len(found) - 0.5, -0.8], "automargin": True}, **layout,
        },
    )  # fmt: skip
    places = {str(x): at.item() for x, at in values.coords.items() if not at.dims}
    here = [
        f", {at}" if isinstance(at, str) else f" at {_place(x, at)}" for x, at in places.items()
    ]
    return drawn, _capital(f"{across.words}{''.join(here)}: {_listed(found, across)}.")


def claims(
    verdicts: Sequence[Verdict], *, title: str, within: tuple[float, float] | None = None
) -> tuple[go.Figure, str]:
    """Draw a row for each claim: its seeds, its interval, its margin, and its outcome in words.

    Parameters
    ----------
    verdicts : sequence of Verdict
        All in one unit.
    title : str
    within : tuple of float, optional
        The range of the axis, where a few large differences would hide the small ones; an arrow
        tells on which side a mean lies outside.

    Raises
    ------
    ValueError
        If there is none, or they have different units.
    """
    units = {verdict.unit for verdict in verdicts}
    if len(units) != 1:
        raise ValueError(f"the units are {sorted(units)}; give verdicts in one unit.")
    places = np.arange(len(verdicts))
    seeds = {
        "type": "scatter", "mode": "markers", "name": "one seed", "opacity": 0.6,
        "x": np.concatenate([v.differences for v in verdicts]),
        "y": np.repeat(places + 0.12, [len(v.differences) for v in verdicts]),
        "marker": {"color": theme.COLOURS[1], "symbol": "circle-open", "size": 7},
    }  # fmt: skip
    means = {
        "type": "scatter", "mode": "markers", "name": f"mean, 95{NO_BREAK}% interval",
        "x": [v.interval.mean for v in verdicts], "y": places - 0.08,
        "error_x": {"array": [v.interval.half_width for v in verdicts], "thickness": 3, "width": 7},
        "marker": {"color": theme.COLOURS[0], "symbol": "diamond", "size": 9},
    }  # fmt: skip
    zones = [
        {
            "type": "rect", "x0": -v.margin, "x1": v.margin, "y0": y - 0.2, "y1": y + 0.3,
            "fillcolor": theme.GREY, "opacity": 0.25, "line": {"width": 0}, "layer": "below",
        }
        for y, v in zip(places, verdicts, strict=True)
    ]  # fmt: skip
    words = [
        {
            "text": f"{v.claim}: <b>{v.outcome}</b> ({v.interval}{_arrow(v, within)})",
            "y": y - 0.48,
            "x": 0, "xref": "x domain", "xanchor": "left", "yanchor": "top",
            "showarrow": False, "font": {"size": 13}, "bgcolor": "rgba(255,255,255,0.85)",
        }
        for y, v in zip(places, verdicts, strict=True)
    ]  # fmt: skip
    margin = {  # for the legend only
        "type": "scatter", "mode": "markers", "name": "margin: does not matter",
        "x": [None], "y": [None],
        "marker": {"color": theme.GREY, "opacity": 0.4, "symbol": "square", "size": 12},
    }  # fmt: skip
    drawn = theme.figure(
        [seeds, means, margin], title=title, x=f"difference ({units.pop()})", y="",
        **theme.LEGEND_ABOVE, height=110 + 62 * len(verdicts), margin_l=20, shapes=zones,
        annotations=words, minreducedwidth=7 * max(len(f"{word['text']}") for word in words),
        xaxis={
            "zeroline": True, "zerolinecolor": theme.GREY, **({"range": within} if within else {}),
        },
        yaxis={"range": [len(verdicts) - 0.6, -0.55], "showticklabels": False, "ticks": "",
               "showgrid": False},
    )  # fmt: skip
    if len(verdicts) == 1:
        (verdict,) = verdicts
        return drawn, f"{verdict.claim}: {verdict.outcome} ({verdict.interval} {verdict.unit})."
    outcomes = [verdict.outcome for verdict in verdicts]
    counted = {outcome: outcomes.count(outcome) for outcome in dict.fromkeys(outcomes)}
    tally = ", ".join(f"{n} × {outcome}" for outcome, n in counted.items())
    return drawn, f"{len(verdicts)} claims: {tally}."


def _arrow(verdict: Verdict, within: tuple[float, float] | None) -> str:
    low, high = within or (-np.inf, np.inf)
    mean = verdict.interval.mean
    return " ←" if mean < low else " →" if mean > high else ""
