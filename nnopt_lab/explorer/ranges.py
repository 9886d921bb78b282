"""One range for all stops, so that the eye compares heights and not axis labels."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

MARGIN = 0.05  # of the range, on either side
KINDS = ("scatter", "bar", "heatmap")
# What moves a trace in ways that only the browser computes.
UNKNOWN = ("stackgroup", "offset", "xperiod", "yperiod", "transpose")

Figure = dict[str, Any]


def share(figures: list[Figure]) -> None:
    """Give each axis of plotly figures (as dicts, changed in place) the range over all of them.

    Figures in which an axis is logarithmic share one range, the others another. Left alone: an
    axis whose range or direction ``draw`` set in a figure, an axis of words, and an axis with a
    trace whose extent the browser computes (histogram, box, violin).
    """
    for axis in {name for figure in figures for name in _axes(figure)}:
        drawn = [figure for figure in figures if axis in _axes(figure)]
        if any(_is_set(figure, axis) or not _is_known(figure, axis) for figure in drawn):
            continue
        for is_log in (False, True):
            alike = [figure for figure in drawn if (_type(figure, axis) == "log") is is_log]
            extent = _extent(alike, axis, is_log)
            for figure in alike if extent else ():
                figure["layout"].setdefault(_key(axis), {})["range"] = extent


def _key(axis: str) -> str:
    """Return the layout's name of an axis: x2 -> xaxis2."""
    return f"{axis[0]}axis{axis[1:]}"


def _axis(trace: Figure, direction: str) -> str:
    """Return the axis of a trace, such as x2."""
    name: str = trace.get(f"{direction}axis", direction)
    return name


def _axes(figure: Figure) -> set[str]:
    return {_axis(trace, direction) for trace in figure["data"] for direction in "xy"}


def _on(figure: Figure, axis: str) -> list[Figure]:
    return [trace for trace in figure["data"] if _axis(trace, axis[0]) == axis]


def _type(figure: Figure, axis: str) -> str | None:
    kind: str | None = figure["layout"].get(_key(axis), {}).get("type")
    return kind


def _is_set(figure: Figure, axis: str) -> bool:
    layout = figure["layout"].get(_key(axis), {})
    is_ours = any(key in layout for key in ("range", "autorange", "matches"))
    return is_ours or _type(figure, axis) in ("category", "multicategory", "date")


def _is_known(figure: Figure, axis: str) -> bool:
    return all(
        trace.get("type", "scatter") in KINDS
        and not any(key in trace for key in UNKNOWN)
        and "value" not in trace.get(f"error_{axis[0]}", {})
        for trace in _on(figure, axis)
    )


def _extent(figures: list[Figure], axis: str, is_log: bool) -> list[float] | None:
    """Return [low, high] of all that is drawn along an axis, in the axis' own units."""
    low, high = np.inf, -np.inf
    try:
        for values in (v for figure in figures for v in _values(figure, axis)):
            numbers = np.asarray(values, dtype=float).ravel()
            numbers = numbers[np.isfinite(numbers) & ((numbers > 0) | (not is_log))]
            if len(numbers):
                low, high = min(low, numbers.min()), max(high, numbers.max())
    except (TypeError, ValueError):
        return None  # words
    if low > high:
        return None
    if is_log:
        low, high = np.log10(low), np.log10(high)
    padding = MARGIN * (high - low) or MARGIN * abs(high) or MARGIN
    return [float(low - padding), float(high + padding)]


def _values(figure: Figure, axis: str) -> Iterator[ArrayLike]:
    """Yield all that takes room along an axis."""
    direction = axis[0]
    traces = _on(figure, axis)
    bars = [trace for trace in traces if trace.get("type") == "bar"]
    for trace in traces:
        positions = _positions(trace, direction)
        if trace.get("type") == "heatmap":
            yield _edges(positions, np.shape(trace["z"])["yx".index(direction)])
            continue
        if "base" in trace and _is_upright(trace, direction):
            yield np.asarray(trace["base"], dtype=float)
            positions = positions + np.asarray(trace["base"], dtype=float)
        yield positions
        error = trace.get(f"error_{direction}", {})
        if "array" in error:
            yield positions + np.asarray(error["array"], dtype=float)
            yield positions - np.asarray(error.get("arrayminus", error["array"]), dtype=float)
    yield from _room_of_bars(bars, direction, figure["layout"].get("barmode", "group"))
    for shape in figure["layout"].get("shapes", ()):
        if shape.get(f"{direction}ref", direction) == axis:
            yield [shape[f"{direction}0"], shape[f"{direction}1"]]


def _positions(trace: Figure, direction: str) -> NDArray[np.float64]:
    """Return where a trace's points stand: as given, or counted from 0."""
    if direction in trace:
        return np.asarray(trace[direction], dtype=float)
    if trace.get("type") == "heatmap":
        n = np.shape(trace["z"])["yx".index(direction)]
    else:
        n = len(trace.get("xy".replace(direction, ""), ()))
    first, step = float(trace.get(f"{direction}0", 0)), float(trace.get(f"d{direction}", 1))
    return first + step * np.arange(n, dtype=np.float64)


def _edges(positions: NDArray[np.float64], n_cells: int) -> NDArray[np.float64]:
    """Return the outer edges of a heatmap's cells, given their centres or all their edges."""
    if len(positions) > n_cells:
        return positions
    gaps = np.diff(positions) if n_cells > 1 else np.ones(1)
    return np.array([positions[0] - gaps[0] / 2, positions[-1] + gaps[-1] / 2])


def _room_of_bars(bars: list[Figure], direction: str, mode: str) -> Iterable[ArrayLike]:
    upright = [bar for bar in bars if _is_upright(bar, direction)]
    lying = [b for b in bars if b not in upright]
    if upright:
        yield [0.0]
    if mode in ("stack", "relative"):
        yield from _heights_of_stacks(upright, direction)
    for centres, width in _widths(lying, direction):
        yield centres - width / 2
        yield centres + width / 2


def _is_upright(bar: Figure, direction: str) -> bool:
    """Whether the length of a bar lies along an axis."""
    return ("x" if bar.get("orientation") == "h" else "y") == direction


def _heights_of_stacks(bars: list[Figure], direction: str) -> Iterable[ArrayLike]:
    """Yield the sums of what stands on each other; what is negative hangs below zero."""
    along = "xy".replace(direction, "")
    stacks: dict[tuple[Any, bool], float] = {}
    for bar in bars:
        heights = _positions(bar, direction)
        places = bar.get(along, range(len(heights)))
        for place, height in zip(places, heights, strict=True):
            key = (place, bool(height < 0))
            stacks[key] = stacks.get(key, 0.0) + float(height)
    yield [*stacks.values()]


def _widths(
    bars: list[Figure], direction: str
) -> Iterable[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Yield centres and widths of bars; without a width each takes the smallest gap between any."""
    if not bars:
        return
    centres = [_positions(bar, direction) for bar in bars]
    gaps = np.diff(np.unique(np.concatenate(centres)))
    gap = gaps.min() if len(gaps) else 1.0
    for bar, middle in zip(bars, centres, strict=True):
        yield middle, np.asarray(bar.get("width", gap), dtype=float)
