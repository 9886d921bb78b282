"""One range for all stops, so that the eye compares heights and not axis labels.

plotly.js chooses every range itself, and is told to include what the other figures need. So nothing
is out of view, whatever a figure draws; for what is not known here an axis keeps no room.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

MARGIN = 0.08  # of what is drawn, on either side: about what plotly.js leaves around markers
LARGEST = 20  # pixels of a marker that this is enough for
POINTS = ("scatter", "scattergl")

Figure = dict[str, Any]
Numbers = NDArray[np.float64]


def share(figures: list[Figure]) -> None:
    """Let each axis of plotly figures (as dicts, changed in place) include what all of them need.

    Figures in which an axis is logarithmic share one range, the others another. Left alone: an axis
    that needs the same in all of them, and one with words, dates or a range set by ``draw`` in any.
    Traces other than scatter and bar count in their own figure only. A log axis, where
    plotly.js includes wrongly, gets its range set, if scatter is all that there is.
    """
    for axis in {name for figure in figures for name in _axes(figure)}:
        drawn = [figure for figure in figures if axis in _axes(figure)]
        kinds = [_kind(figure, axis) for figure in drawn]
        if "words" in kinds or any(_asked(f, axis, "range") is not None for f in drawn):
            continue
        for kind in ("linear", "log"):
            alike = [figure for figure, own in zip(drawn, kinds, strict=True) if own == kind]
            needs = {need for figure in alike if (need := _need(figure, axis, kind))}
            if len(needs) < 2 or (kind == "log" and not all(_is_plain(f, axis) for f in alike)):
                continue
            ends = [min(low for low, _ in needs), max(high for _, high in needs)]
            for figure in alike:
                layout = figure["layout"].setdefault(_key(axis), {})
                if kind == "log":
                    layout["range"] = ends
                else:
                    options = dict(_asked(figure, axis, "autorangeoptions") or {})
                    included = np.ravel(options.get("include", [])).tolist()
                    layout["autorangeoptions"] = {**options, "include": [*included, *ends]}


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
    """Return the traces that are seen along an axis."""
    seen = [trace for trace in figure["data"] if trace.get("visible", True) is True]
    return [trace for trace in seen if _axis(trace, axis[0]) == axis]


def _asked(figure: Figure, axis: str | None, name: str) -> Any:
    """Return what a layout, or else its template, says of an axis, or of all."""
    template = figure["layout"].get("template", {}).get("layout", {})
    for layout, key in ((figure["layout"], axis), (template, axis and axis[0])):
        place = layout.get(_key(key), {}) if key else layout
        if name in place:
            return place[name]
    return None


def _kind(figure: Figure, axis: str) -> str:
    """Return linear or log; words, where what stands there is no number."""
    lists = [trace[axis[0]] for trace in _on(figure, axis) if axis[0] in trace]
    kind = _asked(figure, axis, "type") or "linear"
    are_numbers = all(_numbers(values) is not None for values in lists)
    return kind if kind in ("linear", "log") and are_numbers else "words"


def _is_plain(figure: Figure, axis: str) -> bool:
    """Whether all that takes room along an axis is known here."""
    own = ("autorange", "autorangeoptions", "rangemode", "matches", "scaleanchor")
    paths = [shape for shape in figure["layout"].get("shapes", ()) if shape.get("type") == "path"]
    return not paths and not figure["layout"].get("annotations") and all(
        trace.get("type", "scatter") in POINTS
        and not {"stackgroup", "fill", f"{axis[0]}period"} & trace.keys()
        and np.all(np.asarray(trace.get("marker", {}).get("size", 0), dtype=float) <= LARGEST)
        and trace.get(f"error_{axis[0]}", {}).get("type", "data") == "data"
        for trace in _on(figure, axis)
    ) and all(_asked(figure, axis, name) is None for name in own)  # fmt: skip


def _numbers(values: Any) -> Numbers | None:
    """Return a number, or a list of numbers, as floats; None for whatever else."""
    array = np.atleast_1d(np.asarray(values))
    if array.dtype == object:  # None is not a number
        array = np.asarray([np.nan if value is None else value for value in array.tolist()])
    return array.astype(float) if array.ndim == 1 and array.dtype.kind in "biuf" else None


def _need(figure: Figure, axis: str, kind: str) -> tuple[float, float] | None:
    """Return low and high of all that is known along an axis, in the axis' own units."""
    parts: dict[bool | None, list[float]] = {True: [], False: [], None: []}
    for has_margin, values in _parts(figure, axis):
        finite = values[np.isfinite(values) & ((values > 0) | (kind != "log"))]
        ends = [finite.min(), finite.max()] if len(finite) else []
        parts[has_margin] += np.log10(ends).tolist() if kind == "log" else ends
    mode = _asked(figure, axis, "rangemode")
    if mode == "tozero":
        parts[None].append(0.0)
    every = [value for part in parts.values() for value in part]
    if not every:
        return None
    low, high = min(every), max(every)
    margin = MARGIN * (high - low) or 1.0  # plotly.js draws a single number so
    rests = bool(parts[None]) or mode == "nonnegative"
    if parts[True]:
        low = min(low, max(min(parts[True]) - margin, 0 if rests and low >= 0 else -np.inf))
        high = max(high, min(max(parts[True]) + margin, 0 if rests and high <= 0 else np.inf))
    return float(low), float(high)


def _parts(figure: Figure, axis: str) -> Iterator[tuple[bool | None, Numbers]]:
    """Yield whether it has a margin (None: it ends one), and what takes room along an axis."""
    direction, stacks = axis[0], []
    for trace in _on(figure, axis):
        places, kind = _places(trace, direction), trace.get("type", "scatter")
        if places is None:
            continue
        if kind == "bar" and not _is_upright(trace, direction):
            gaps = np.diff(np.unique(places))
            half = np.asarray(trace.get("width", min(gaps, default=1)), dtype=float) / 2
            yield False, np.concatenate([places - half, places + half])
        else:
            yield True, places
            yield from ((True, end) for end in _errors(trace.get(f"error_{direction}"), places))
            if kind == "bar" or trace.get("fill") == f"tozero{direction}":
                yield None, np.zeros(1)
            if kind == "bar":
                stacks.append((trace.get("xy".replace(direction, ""), range(len(places))), places))
    if _asked(figure, None, "barmode") in ("stack", "relative"):
        yield True, _stacked(stacks)
    yield from _parts_of(figure["layout"], axis)


def _parts_of(layout: Figure, axis: str) -> Iterator[tuple[bool | None, Numbers]]:
    """Yield the same for shapes and annotations."""
    direction = axis[0]
    for shape in layout.get("shapes", ()):
        at = _numbers([shape.get(f"{direction}{end}") for end in "01"])
        is_sized = shape.get(f"{direction}sizemode") == "pixel" or not shape.get("visible", True)
        if shape.get(f"{direction}ref", direction) == axis and not is_sized and at is not None:
            yield False, at
    for note in layout.get("annotations", ()):
        at = _numbers(note.get(direction))
        if note.get(f"{direction}ref", direction) == axis and at is not None:
            yield True, at


def _places(trace: Figure, direction: str) -> Numbers | None:
    """Return where what a trace draws stands, as given or counted; None if it is not known."""
    kind, other = trace.get("type", "scatter"), "xy".replace(direction, "")
    odd = {"stackgroup", "offset", "base", f"{direction}period"}
    if kind not in (*POINTS, "bar") or odd & trace.keys():
        return None
    if direction in trace:
        given = _numbers(trace[direction])
        return given if given is None or other not in trace else given[: len(trace[other])]
    first, step = trace.get(f"{direction}0", 0), trace.get(f"d{direction}", 1)
    is_counted = isinstance(first, int | float) and isinstance(step, int | float)
    return first + step * np.arange(float(len(trace.get(other, ())))) if is_counted else None


def _errors(error: Figure | None, places: Numbers) -> Iterator[Numbers]:
    """Yield the ends of error bars."""
    if error and error.get("visible", True):
        above = _numbers(error.get("array"))
        below = above if error.get("symmetric") else _numbers(error.get("arrayminus", above))
        for sign, length in ((1, above), (-1, below)):
            if length is not None and len(length) == len(places):
                yield places + sign * length


def _is_upright(bar: Figure, direction: str) -> bool:
    """Whether the length of a bar lies along an axis."""
    lies = bar.get("orientation", "h" if "x" in bar and "y" not in bar else "v") == "h"
    return ("x" if lies else "y") == direction


def _stacked(bars: list[tuple[Any, Numbers]]) -> Numbers:
    """Return how high bars stand on each other; what is negative hangs below zero."""
    sums: dict[tuple[str, bool], float] = {}
    for places, lengths in bars:
        for place, length in zip(places, np.nan_to_num(lengths), strict=False):
            key = (str(place), bool(length < 0))
            sums[key] = sums.get(key, 0.0) + float(length)
    return np.array([*sums.values()])
