"""One range for all stops, so that the eye compares heights and not axis labels."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

MARGIN = 0.05  # of the range, on either side

Figure = dict[str, Any]


def share(figures: list[Figure]) -> None:
    """Give each axis of plotly figures (as dicts, changed in place) the range over all of them.

    Figures in which an axis is logarithmic share one range, the others another. Left alone: an
    axis whose range or direction ``draw`` set in a figure, an axis of words, and what the browser
    computes itself (histogram, box, violin).
    """
    for axis in {name for figure in figures for name in _axes(figure)}:
        drawn = [figure for figure in figures if axis in _axes(figure)]
        if any(_is_set(figure, axis) for figure in drawn):
            continue
        for is_log in (False, True):
            alike = [figure for figure in drawn if (_type(figure, axis) == "log") is is_log]
            extent = _extent(alike, axis, is_log)
            for figure in alike if extent else ():
                figure["layout"].setdefault(_key(axis), {})["range"] = extent


def _key(axis: str) -> str:
    """Return the layout's name of an axis: x2 -> xaxis2."""
    return f"{axis[0]}axis{axis[1:]}"


def _axes(figure: Figure) -> set[str]:
    drawn = [t for t in figure["data"] if t.get("type", "scatter") in ("scatter", "bar", "heatmap")]
    return {trace.get(f"{d}axis", d) for trace in drawn for d in "xy"}


def _type(figure: Figure, axis: str) -> str | None:
    kind: str | None = figure["layout"].get(_key(axis), {}).get("type")
    return kind


def _is_set(figure: Figure, axis: str) -> bool:
    layout = figure["layout"].get(_key(axis), {})
    is_ours = any(key in layout for key in ("range", "autorange", "matches"))
    return is_ours or _type(figure, axis) in ("category", "multicategory", "date")


def _extent(figures: list[Figure], axis: str, is_log: bool) -> list[float] | None:
    """Return [low, high] of all that is drawn along an axis, in the axis' own units."""
    low, high = np.inf, -np.inf
    for values in _values(figures, axis):
        try:
            numbers = np.asarray(values, dtype=float).ravel()
        except (TypeError, ValueError):
            return None  # words
        numbers = numbers[np.isfinite(numbers) & ((numbers > 0) | (not is_log))]
        if len(numbers):
            low, high = min(low, numbers.min()), max(high, numbers.max())
    if low > high:
        return None
    if is_log:
        low, high = np.log10(low), np.log10(high)
    padding = MARGIN * (high - low) or MARGIN * abs(high) or MARGIN
    return [float(low - padding), float(high + padding)]


def _values(figures: list[Figure], axis: str) -> Iterator[Any]:
    """Yield all that takes room along an axis: data, error bars, and where bars stand."""
    for figure in figures:
        for trace in figure["data"]:
            direction = axis[0]
            if trace.get(f"{direction}axis", direction) != axis or direction not in trace:
                continue
            values = trace[direction]
            yield values
            error = trace.get(f"error_{direction}", {}).get("array")
            if error is not None:
                middle = np.asarray(values, dtype=float)
                yield middle + np.asarray(error, dtype=float)
                yield middle - np.asarray(error, dtype=float)
            yield from _room_of_bars(trace, direction, values)


def _room_of_bars(trace: Figure, direction: str, values: Any) -> Iterable[Any]:
    if trace.get("type") != "bar":
        return
    along = "x" if trace.get("orientation") == "h" else "y"
    if direction == along:
        yield [0.0]
    elif "width" in trace:
        try:
            half = np.asarray(trace["width"], dtype=float) / 2
            middle = np.asarray(values, dtype=float)
        except ValueError:
            return  # words
        yield middle - half
        yield middle + half
