"""Figures of the lesson that combines all techniques."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from nnopt_lab.figures import charts, theme
from nnopt_lab.statistics import OUTCOMES, interval, over_seeds

import numpy as np
import plotly.graph_objects as go
import xarray as xr

# How each factor of the lesson is called on an axis.
FACTORS = {
    "shuffle": "order of the data",
    "decay": "learning rate",
    "batch_norm": "normalisation",
    "pruning": "weights",
}


def interplay(
    values: xr.DataArray, along: str, across: str, *, within: Sequence[float] | None = None
) -> tuple[go.Figure, str]:
    """Draw two techniques, a line for each place of the second: parallel, or not.

    Parameters
    ----------
    values : xarray.DataArray
        Named; dimensions ``along`` and ``across``, two places each, and ``seed``.
    along, across : str
        Which factor the x axis holds, and which one tells the lines apart.
    within : (float, float), optional
        The range of the y axis, as shown.
    """
    panel, gains = _interplay(values, along, across)
    y = {**panel.y, **({} if within is None else {"range": [*within]})}
    drawn = theme.figure(
        panel.traces, title="Two techniques together", x=panel.x["title"], y=panel.y["title"],
        height=400, xaxis=panel.x, yaxis=y, **theme.LEGEND_ABOVE,
    )  # fmt: skip
    return drawn, _in_words(gains, [*map(str, values[along].values)])


def _interplay(
    values: xr.DataArray, along: str, across: str
) -> tuple[theme.Panel, dict[str, xr.DataArray]]:
    """Return the lines, and what each gains from left to right, in shown units."""
    shown = charts.quantity(values.name)
    rows = {str(p): shown.show(values.sel({across: p}, drop=True)) for p in values[across].values}
    traces: list[theme.Trace] = []
    for style, (name, row) in enumerate(rows.items(), 1):
        found, shift = over_seeds(row), 0.03 * (style - 1.5)
        (line,) = theme.line([shift, 1 + shift], found["mean"].values, name, style)
        bars = {"array": found.half_width.values.tolist(), "thickness": 2, "width": 7}
        traces.append({**line, "error_y": bars})
    places = [*map(str, values[along].values)]
    x = {
        "title": FACTORS.get(along, along), "range": [-0.3, 1.3], "tickvals": [0, 1],
        "ticktext": places, "showgrid": False,
    }  # fmt: skip
    gains = {name: row.isel({along: 1}) - row.isel({along: 0}) for name, row in rows.items()}
    return theme.Panel(traces, x, {"title": shown.title, **shown.axis}), gains


def _in_words(gains: dict[str, xr.DataArray], places: Sequence[str]) -> str:
    words = [f"{interval(gain)} points with {name}" for name, gain in gains.items()]
    first, second = gains.values()
    return (
        f"From {places[0]} to {places[1]}: {', '.join(words)}. Difference of the two, their "
        f"interaction: {interval(second - first)} points."
    )


def effects(
    found: xr.DataArray, values: xr.DataArray, pair: Sequence[str]
) -> tuple[go.Figure, str]:
    """Draw all effects and interactions with their intervals, and one pair as lines.

    Parameters
    ----------
    found : xarray.DataArray
        As ``combined.effects`` returns; dimensions ``term`` and ``seed``.
    values : xarray.DataArray
        What they are effects on, named; dimensions of the pair, and ``seed``.
    pair : sequence of two str
        A click on a pair's row chooses it, if a control is called "pair".
    """
    shown = charts.quantity(found.name)
    means = over_seeds(shown.show(found))
    terms, chosen = [_spaced(str(term)) for term in found.term.values], _spaced(" × ".join(pair))
    groups = {
        "alone": [i for i, term in enumerate(terms) if " × " not in term],
        "pair": [i for i, term in enumerate(terms) if " × " in term],
    }
    dots: list[theme.Trace] = [
        {
            "type": "scatter", "mode": "markers", "name": name, "meta": {"y": "pair"},
            "x": means["mean"].values[at].tolist(), "y": [terms[i] for i in at],
            "error_x": {"array": means.half_width.values[at].tolist(), "thickness": 2, "width": 6},
            "marker": {
                "color": theme.COLOURS[style], "symbol": theme.SYMBOLS[style], "opacity": 1,
                "size": [14 if terms[i] == chosen else 9 for i in at],
            },
            "hovertemplate": "%{y}: %{x:.1f} points<extra></extra>",
        }
        for style, (name, at) in enumerate(groups.items(), 1)
    ]  # fmt: skip
    lines, gains = _interplay(values, *pair)
    drawn = theme.side_by_side(
        {
            "gains, and how they change": theme.Panel(
                dots, {"title": shown.title, "zeroline": True, "zerolinecolor": theme.GREY},
                {"categoryarray": terms[::-1], "automargin": True}, 1.3,
            ),
            chosen: lines,
        },
        title="Four techniques, sixteen combinations", height=460, gap=0.14,
    )  # fmt: skip
    return drawn, _in_words(gains, [*map(str, values[pair[0]].values)])


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def recipes(
    accuracy: xr.DataArray,
    cost: xr.DataArray,
    unbeaten: xr.DataArray,
    chosen: Mapping[str, str],
    *,
    within: tuple[float, float],
) -> tuple[go.Figure, str]:
    """Draw what every combination costs and reaches, with one of them among its neighbours.

    Parameters
    ----------
    accuracy : xarray.DataArray
        Named; dimensions of the factors, and ``seed``.
    cost : xarray.DataArray
        Named; dimensions of the factors; not a number where it is not known.
    unbeaten : xarray.DataArray
        Whether no other is cheaper and as good; dimensions of the factors.
    chosen : mapping of str to str
        The place on each factor. A click on a dot chooses it, if controls are called so.
    within : (float, float)
        The range of what is paid, as shown.
    """
    names = [*chosen]
    reached, paid = charts.quantity(accuracy.name), charts.quantity(cost.name)
    found = over_seeds(reached.show(accuracy)).stack(recipe=names)
    table = xr.Dataset(
        {
            "x": paid.show(cost).stack(recipe=names), "y": found["mean"],
            "half": found.half_width, "unbeaten": unbeaten.stack(recipe=names),
        }
    )  # fmt: skip
    table = table.isel(recipe=np.flatnonzero(np.isfinite(table.x.values)))
    traces = [
        _dots(table.isel(recipe=np.flatnonzero(table.unbeaten.values == best)), name, style, names)
        for best, name, style in ((True, "no other beats it", 3), (False, "beaten", 6))
    ]
    edge = table.isel(recipe=np.flatnonzero(table.unbeaten.values)).sortby("x")
    steps = {
        "type": "scatter", "mode": "lines", "x": edge.x.values.tolist(),
        "y": edge.y.values.tolist(), "line": {"shape": "hv", "color": theme.COLOURS[3]},
        "hoverinfo": "skip", "showlegend": False,
    }  # fmt: skip
    here, words = _chosen(table, chosen), ", ".join(chosen.values())
    drawn = theme.figure(
        [steps, *traces, *here], title="Sixteen recipes, and what they cost", x=paid.title,
        y=reached.title, height=460, yaxis={"range": [table.y.min() - 5, table.y.max() + 5]},
        xaxis={**paid.axis, "range": [math.log10(0.8 * within[0]), math.log10(1.25 * within[1])]},
        **theme.LEGEND_ABOVE,
    )  # fmt: skip
    accurate = interval(reached.show(accuracy.sel(chosen)))
    price = float(paid.show(cost.sel(chosen)))
    cheap = f"{paid.words} {paid.in_words(price)}" if np.isfinite(price) else "it never gets there"
    return drawn, f"{words}: {reached.words} {reached.in_words(accurate)}; {cheap}."


def _dots(table: xr.Dataset, name: str, style: int, names: Sequence[str]) -> theme.Trace:
    recipes = [[str(place) for place in recipe] for recipe in table.recipe.values]
    return {
        "type": "scatter", "mode": "markers", "name": name, "meta": {"customdata": [*names]},
        "x": table.x.values.tolist(), "y": table.y.values.tolist(), "customdata": recipes,
        "error_y": {"array": table.half.values.tolist(), "thickness": 1.5, "width": 4},
        "text": [", ".join(recipe) for recipe in recipes],
        "hovertemplate": "%{text}<br>%{y:.1f}<extra></extra>",
        "marker": {"color": theme.COLOURS[style], "symbol": theme.SYMBOLS[style], "size": 10},
    }  # fmt: skip


def _chosen(table: xr.Dataset, chosen: Mapping[str, str]) -> list[theme.Trace]:
    """Return a ring around the chosen recipe, and lines to those that differ in one thing."""
    place = {tuple(recipe): i for i, recipe in enumerate(table.recipe.values)}
    mine = tuple(chosen.values())
    if mine not in place:
        return []
    x, y = table.x.values, table.y.values
    here = place[mine]
    near = [
        (i, recipe[k])
        for recipe, i in place.items()
        for k in range(len(mine))
        if recipe[k] != mine[k] and recipe[:k] + recipe[k + 1 :] == mine[:k] + mine[k + 1 :]
    ]
    lines = {
        "type": "scatter", "mode": "lines", "name": "differs in one",
        "x": [v for i, _ in near for v in (float(x[here]), float(x[i]), None)],
        "y": [v for i, _ in near for v in (float(y[here]), float(y[i]), None)],
        "line": {"color": theme.GREY, "dash": "dot"}, "hoverinfo": "skip",
    }  # fmt: skip
    labels = {
        "type": "scatter", "mode": "text", "showlegend": False, "hoverinfo": "skip",
        "x": x[[i for i, _ in near]].tolist(),
        "y": (y - table.half.values)[[i for i, _ in near]].tolist(),
        "text": [f"{place}" for _, place in near], "textposition": "bottom center",
    }  # fmt: skip
    ring = {
        "type": "scatter", "mode": "markers", "name": "your recipe", "hoverinfo": "skip",
        "x": [float(x[here])], "y": [float(y[here])],
        "marker": {"color": theme.COLOURS[2], "symbol": "circle-open", "size": 20,
                   "line": {"width": 3}},
    }  # fmt: skip
    return [lines, labels, ring]


def advice(rows: Sequence[Mapping[str, str]]) -> tuple[go.Figure, str]:
    """Draw what to use as a table, in this order.

    Parameters
    ----------
    rows : sequence of mappings of str to str
        By the title of each column.
    """
    titles = [*rows[0]]
    widths = dict(zip(titles, (24, 34, 34, 8), strict=True))
    columns = [["<br>".join(textwrap.wrap(row[t], widths[t])) for row in rows] for t in titles]
    table = {
        "type": "table", "columnwidth": [2, 3, 3, 1],
        "header": {
            "values": [f"<b>{title}</b>" for title in titles], "align": "left",
            "fill": {"color": theme.GRID}, "font": {"size": 14},
        },
        "cells": {"values": columns, "align": "left", "height": 24, "font": {"size": 13},
                  "fill": {"color": "white"}},
    }  # fmt: skip
    layout = {"template": theme.TEMPLATE, "height": 520, "margin_l": 10, "minreducedwidth": 640}
    drawn = go.Figure([table], {**layout, "title_text": "What to use, in this order"})
    return drawn, "; ".join(row[titles[0]] for row in rows) + "."


_MARGINS = [-30, -10, -3, -1, 0, 1, 3, 10, 30]


def judged(rows: Sequence[Mapping[str, Any]]) -> tuple[go.Figure, str]:
    """Draw all claims of all lessons, each interval in units of the margin that would matter.

    Parameters
    ----------
    rows : sequence of mapping
        As ``combined.judged`` returns.
    """
    remarks = [f" ({row['remark']})" if row["remark"] else "" for row in rows]
    names = [f"{r['notebook'][:2]}  {r['claim']}{r_}" for r, r_ in zip(rows, remarks, strict=True)]
    low, mean, high = (
        np.arcsinh([(row["mean"] + side * row["half_width"]) / row["margin"] for row in rows])
        for side in (-1, 0, 1)
    )
    traces: list[theme.Trace] = []
    counts = {outcome: [row["outcome"] for row in rows].count(outcome) for outcome in OUTCOMES}
    for style, (outcome, n) in enumerate(counts.items(), 1):
        at = [i for i, row in enumerate(rows) if row["outcome"] == outcome]
        traces.append(
            {
                "type": "scatter", "mode": "markers", "name": f"{outcome} ({n})",
                "x": mean[at].tolist(), "y": [names[i] for i in at],
                "error_x": {
                    "array": (high - mean)[at].tolist(), "arrayminus": (mean - low)[at].tolist(),
                    "thickness": 2, "width": 4,
                },
                "marker": {
                    "color": theme.COLOURS[style], "symbol": theme.SYMBOLS[style], "size": 9,
                },
                "text": [
                    f"{rows[i]['mean']:.1f} ± {rows[i]['half_width']:.1f} {rows[i]['unit']}, "
                    f"margin {rows[i]['margin']:g}" for i in at
                ],
                "hovertemplate": "%{y}<br>%{text}<extra></extra>",
            }
        )  # fmt: skip
    lessons = [row["notebook"] for row in rows]
    starts = [i for i in range(len(rows)) if i == 0 or lessons[i] != lessons[i - 1]]
    words = [
        {
            "text": "<br>".join(lessons[i][3:].split("_", 1)).replace("_", " "),
            "textangle": 90, "showarrow": False, "font": {"size": 12},
            "xref": "x domain", "x": 1.01, "xanchor": "left", "y": (i + after - 1) / 2,
        }
        for i, after in pairwise([*starts, len(rows)])
    ]  # fmt: skip
    margin = {
        "type": "rect", "x0": -np.arcsinh(1), "x1": np.arcsinh(1), "y0": 0, "y1": 1,
        "yref": "y domain", "fillcolor": theme.GREY, "opacity": 0.2, "line": {"width": 0},
        "layer": "below",
    }  # fmt: skip
    drawn = theme.figure(
        traces, title="All claims of all lessons",
        x="difference in margins, asinh axis", y="",
        height=150 + 18 * len(rows), minreducedwidth=720,
        shapes=[margin, *(theme.level(i - 0.5) for i in starts)],
        annotations=words, margin_l=int(6.6 * max(map(len, names))), margin_r=50,
        xaxis={
            "tickvals": np.arcsinh(_MARGINS).tolist(),
            "ticktext": [theme.number(tick) for tick in _MARGINS],
        },
        yaxis={
            "type": "category", "categoryarray": names, "range": [len(rows) - 0.5, -0.5],
            "tickfont": {"size": 12}, "dtick": 1,
        },
        **theme.LEGEND_ABOVE,
    )  # fmt: skip
    said = ", ".join(f"{n} × {outcome}" for outcome, n in counts.items())
    found = [row["remark"] for row in rows if row["remark"]]
    after = "".join(f" {found.count(remark)} {remark}." for remark in sorted({*found}))
    return drawn, f"{len(rows)} claims: {said}.{after}"


def roofline(
    layers: xr.Dataset, roof: tuple[float, float], published: Mapping[str, tuple[float, float]]
) -> tuple[go.Figure, str]:
    """Draw how fast some layers are computed under what the machine can do.

    Parameters
    ----------
    layers : xarray.Dataset
        By ``layer`` and ``version``: ``operations``, ``n_bytes`` and ``seconds``.
    roof : (float, float)
        Operations and bytes in a second, measured.
    published : mapping of str to (float, float)
        The same of other machines, from data sheets.
    """
    ends = np.array([0.05, 2000.0])
    roofs = {"this machine, measured": roof, **published}
    traces: list[theme.Trace] = []
    for style, (name, (operations, n_bytes)) in enumerate(roofs.items()):
        x = np.array([ends[0], operations / n_bytes, ends[1]])
        line = {"color": theme.COLOURS[style and 6], "dash": theme.DASHES[style], "width": 3}
        traces.append(
            {
                "type": "scatter", "mode": "lines", "name": name, "x": x, "hoverinfo": "skip",
                "y": np.minimum(operations, n_bytes * x) / 1e9, "line": line,
            }
        )  # fmt: skip
    names = layers.layer.values.tolist()
    for style, version in enumerate(layers.version.values.tolist()):
        found = layers.sel(version=version)
        traces.append(
            {
                "type": "scatter", "mode": "markers+text", "name": version,
                "x": (found.operations / found.n_bytes).values,
                "y": (found.operations / found.seconds / 1e9).values,
                "text": names if style == 0 else None, "textposition": "top center",
                "marker": {
                    "color": theme.COLOURS[style + 1], "symbol": theme.SYMBOLS[style], "size": 11,
                },
            }
        )  # fmt: skip
    said = []
    for layer in names:
        taken = 1e6 * layers.seconds.sel(layer=layer)
        parts = zip(layers.version.values.tolist(), taken.values.tolist(), strict=True)
        said.append(f"{layer}: {', '.join(f'{name} {theme.number(t)}' for name, t in parts)}")
    drawn = theme.figure(
        traces, title="Layers under the roof of a machine",
        x="operations for each byte moved, log axis", height=520,
        y="billion operations a second, log axis",
        xaxis={**theme.DECADES, "range": np.log10(ends).tolist()},
        yaxis={**theme.DECADES, "range": [-2, 6]}, **theme.LEGEND_ABOVE,
    )  # fmt: skip
    return drawn, f"Microseconds of a layer. {'; '.join(said)}."
