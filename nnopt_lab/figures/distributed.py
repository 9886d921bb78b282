"""Figures of the lesson on distributed training."""

from collections.abc import Mapping, Sequence

from nnopt_lab.figures import charts, theme
from nnopt_lab.statistics import NO_BREAK, over_seeds

import numpy as np
import plotly.graph_objects as go
import xarray as xr
from numpy.typing import ArrayLike

# The parts of a step: name, colour and pattern.
PARTS = {
    "computation": ("computing", 6, ""),
    "tax": ("tax", 5, "/"),
    "exposed": ("all-reduce", 4, "x"),
}
ROUNDING = 1e-5  # a distance below it is no more than rounding
MOST_LANES = 16


def _devices(n: int) -> str:
    return f"{n} device" if n == 1 else f"{n} devices"


def lanes(
    found: xr.Dataset, *, title: str = "Four steps on several devices", most: int = MOST_LANES
) -> tuple[go.Figure, str]:
    """Draw what each device does, a lane each, with the path that decides how long it takes.

    Parameters
    ----------
    found : xarray.Dataset
        In seconds, as ``scaling.timeline`` returns; or, of one network and batch, as
        ``launch.measure`` does.
    title : str
    most : int
        For how many devices there is room.

    Returns
    -------
    Figure, str
        And where a device's time goes.
    """
    panel, share, total = _lanes(found, most)
    n = found.sizes["device"]
    drawn = theme.figure(
        panel.traces, title=title, x=panel.x["title"],
        y=panel.y["title"], height=440, **theme.LEGEND_ABOVE, barmode="overlay", yaxis=panel.y,
    )  # fmt: skip
    fast = theme.number(n * share["computing"] / 100)
    return drawn, (
        f"{_devices(n)}, {total:.0f} ms. Of a device's time: {_shares(share)}. "
        f"Together {fast} times as fast as one."
    )


def _shares(share: Mapping[str, float]) -> str:
    return ", ".join(f"{part:.0f}{NO_BREAK}% {name}" for name, part in share.items())


def real(found: xr.Dataset, speeds: xr.Dataset, *, cores: int) -> tuple[go.Figure, str]:
    """Draw what real processes did, and how fast they were together, beside the model.

    Parameters
    ----------
    found : xarray.Dataset
        As ``launch.measure`` returns, of one network and batch, by ``device`` and ``step``.
    speeds : xarray.Dataset
        As ``launch.speed_ups`` returns.
    cores : int
        Of this machine.
    """
    n, at = found.sizes["device"], speeds.processes.values
    panel, share, total = _lanes(found.isel(step=slice(4)), int(at.max()), "process")
    middle = speeds.measured.median("block")
    low, high = (speeds.measured.quantile(q, "block") for q in (0.25, 0.75))
    dots = {
        "type": "scatter", "mode": "markers", "name": "measured", "x": at, "y": middle.values,
        "marker": {"color": theme.COLOURS[2], "symbol": "diamond", "size": 11},
        "error_y": {
            "type": "data", "symmetric": False, "array": (high - middle).values.tolist(),
            "arrayminus": (middle - low).values.tolist(), "color": theme.COLOURS[2],
        },
        "hovertemplate": "%{y:.2f} times<extra>measured</extra>",
    }  # fmt: skip
    (model,) = theme.line(at, speeds.modelled.values, "model", 1)
    ideal = {
        "type": "scatter", "mode": "lines+text", "name": "N times", "x": at, "y": at,
        "text": [*[""] * (len(at) - 1), "N times "], "textposition": "middle left",
        "line": {"color": theme.GREY, "dash": "dot"}, "showlegend": False,
    }  # fmt: skip
    drawn = theme.side_by_side(
        {
            "four steps": panel._replace(x={**panel.x, "range": [0, 1.03 * total]}),
            "against one process": theme.Panel(
                [ideal, model, dots], {"title": "processes", "tickvals": at.tolist()},
                {"title": "times as many samples a second", "rangemode": "tozero"}, 0.7,
                [theme.vertical(n)],
            ),
        },
        title="Real processes on this machine", height=400, barmode="overlay",
        gap=0.12,
    )  # fmt: skip
    is_one, here = n == 1, speeds.sel(processes=n)
    step = 1000 * float(found.loop.max("device").median())
    rest = 100 - sum(share.values())
    words = [f"{n} process{'' if is_one else 'es'}: {_shares({**share, 'the update': rest})}."]
    how = "In a plain loop" if is_one else "Under DistributedDataParallel"
    words.append(f"{how} a step takes {theme.number(step)}{NO_BREAK}ms:")
    words.append(f"{theme.number(float(here.measured.median()))} times as many samples a second")
    words.append(f"as one process; the model says {theme.number(float(here.modelled))}.")
    if n > cores:
        words.append(f"They take turns on {cores} cores, which the model does not know.")
    return drawn, " ".join(words)


def _lanes(
    found: xr.Dataset, most: int, name: str = "device"
) -> tuple[theme.Panel, dict[str, float], float]:
    """Return the lanes of some devices, where their time goes (%), and how long it takes (ms)."""
    shown = 1000 * found.drop_vars("slowest")
    computation, wait = shown.computation, shown.wait
    begin, reduced = (row.broadcast_like(computation) for row in (shown.start, shown.all_reduce))
    begin = begin - begin.min()
    bars = [
        ("computing", 6, "", begin, computation),
        ("waiting for the slowest", 5, "/", begin + computation, wait),
        ("all-reduce", 4, "x", begin + computation + wait, reduced),
    ]
    ends = (begin + computation + wait + reduced).max("device").values
    first = begin.isel(step=0, device=int(found.slowest[0]))
    starts = np.concatenate([[float(first)], ends[:-1]])
    path = {
        "type": "scatter", "mode": "lines", "name": "what all wait for",
        "x": np.stack([starts, ends], 1).ravel(), "y": 1 + found.slowest.values.repeat(2),
        "line": {"color": theme.COLOURS[0], "width": 3}, "hoverinfo": "skip",
    }  # fmt: skip
    total, n = float(ends[-1]), begin.sizes["device"]
    share = {words: 100 * float(part.sum()) / total / n for words, *_, part in bars}
    y = {"title": name, "range": [most + 0.6, 0.4], "dtick": 1, "showgrid": False}
    panel = theme.Panel([*(_lane(*each) for each in bars), path], {"title": "time (ms)"}, y)
    return panel, share, total


def _lane(
    name: str, style: int, pattern: str, begin: xr.DataArray, length: xr.DataArray
) -> theme.Trace:
    steps, devices = (length.sizes[axis] for axis in ("step", "device"))
    begins, lengths = (each.transpose("step", "device").values.ravel() for each in (begin, length))
    return {
        "type": "bar", "orientation": "h", "name": name, "base": begins.tolist(), "x": lengths,
        "y": np.tile(1 + np.arange(devices), steps), "width": 0.8,
        "marker": {"color": theme.COLOURS[style], "pattern": {"shape": pattern}},
        "hovertemplate": f"{name}: %{{x:.3g}} ms<extra>device %{{y}}</extra>",
    }  # fmt: skip


def meter(distance: xr.DataArray) -> tuple[go.Figure, str]:
    """Draw how far gradients lie from one worker's, from rounding to many times its length.

    Parameters
    ----------
    distance : xarray.DataArray
        As a share of the gradient's length; dimensions ``kind`` and ``seed``.
    """
    kinds = [str(kind) for kind in distance.kind.values]
    rows = distance.transpose("kind", "seed")
    dots = {
        "type": "scatter", "mode": "markers",
        "x": np.maximum(rows.values, 1e-9).ravel(),
        "y": np.repeat(kinds, rows.sizes["seed"]).tolist(),
        "marker": {"color": theme.COLOURS[2], "symbol": "diamond-open", "size": 12},
        "hovertemplate": "%{x:.1e}<extra></extra>",
    }  # fmt: skip
    zone = {
        "type": "rect", "x0": 1e-9, "x1": ROUNDING, "y0": 0, "y1": 1, "yref": "y domain",
        "fillcolor": theme.COLOURS[3], "opacity": 0.15, "line": {"width": 0}, "layer": "below",
    }  # fmt: skip
    words = [
        {
            "text": text, "x": x, "y": 1, "xref": "x domain", "yref": "y domain",
            "xanchor": anchor, "yanchor": "bottom", "showarrow": False,
        }
        for text, x, anchor in (
            ("the same, but for rounding", 0, "left"), ("another gradient", 1, "right")
        )
    ]  # fmt: skip
    drawn = theme.figure(
        [dots], title="How far from the gradient of one worker", height=280, margin_t=34,
        minreducedwidth=480,
        x="distance, as a share of the gradient's length, log axis", y="",
        xaxis={**theme.DECADES, "range": [-9, 1.5]}, shapes=[zone], annotations=words,
        yaxis={"automargin": True, "categoryarray": kinds[::-1], "range": [-0.6, len(kinds) - 0.4]},
    )  # fmt: skip
    middle = {kind: float(rows.sel(kind=kind).median()) for kind in kinds}
    parts = (
        f"{kind} {'no more than rounding' if value < ROUNDING else theme.number(value)}"
        for kind, value in middle.items()
    )
    return drawn, f"Distance, the middle one of {rows.sizes['seed']} networks: {', '.join(parts)}."


def scaling(
    weak: xr.Dataset, strong: xr.Dataset, published: Sequence[xr.Dataset], devices: int
) -> tuple[go.Figure, str]:
    """Draw the efficiency over the number of devices, and where a step's time goes.

    Parameters
    ----------
    weak, strong : xarray.Dataset
        As ``scaling.predict`` returns: each device keeps its batch, or one batch is shared out,
        among no more devices than it has samples.
    published : sequence of two xarray.Dataset
        As ``scaling.points`` returns: what the model was fitted to, and others.
    devices : int
        Where the shares of a step are drawn.
    """
    shown, along = charts.quantity("efficiency"), charts.quantity("devices")
    named = {"model: each keeps<br>its batch": weak, "model: one batch<br>shared out": strong}
    curves = [
        trace
        for style, (name, found) in enumerate(named.items(), 1)
        for trace in theme.line(found.devices, shown.show(found.efficiency), name, style)
    ]
    ideal = {
        "type": "scatter", "mode": "lines", "name": "the chapter's T / N",
        "x": weak.devices.values, "y": 100 * np.ones(weak.devices.size),
        "line": {"color": theme.GREY, "dash": "dash"},
    }  # fmt: skip
    dots = [
        _published(name, symbol, found)
        for name, symbol, found in zip(
            ("fitted", "not fitted"), ("star-diamond", "diamond-open"), published,
            strict=True,
        )
    ]  # fmt: skip
    here = {
        name: found.sel(devices=devices)
        for name, found in (("its own", weak), ("shared out", strong))
        if devices in found.devices
    }
    bars = [
        {
            "type": "bar", "name": name, "x": [*here],
            "y": [100 * float(found[part] / found.step) for found in here.values()],
            "marker": {"color": theme.COLOURS[style], "pattern": {"shape": pattern}},
        }
        for part, (name, style, pattern) in PARTS.items()
    ]  # fmt: skip
    drawn = theme.side_by_side(
        {
            "efficiency": theme.Panel(
                [ideal, *curves, *dots], {"title": "devices, log axis", **along.axis},
                {"title": shown.title, **shown.axis}, 2.2, [theme.vertical(devices)],
            ),
            f"a step on {devices}": theme.Panel(
                bars, {"title": "batch", "type": "category"},
                {"title": "time (%)", "range": [0, 104]},
            ),
        },
        title="What N devices make of it", height=440, barmode="stack",
    )  # fmt: skip
    efficiency = float(here["its own"].efficiency)
    fast, hours = theme.number(devices * efficiency), theme.number(100 / devices / efficiency)
    percent = f"{100 * efficiency:.0f}{NO_BREAK}%"
    shared = (
        f"{theme.number(float(here['shared out'].speed_up))} times as fast"
        if "shared out" in here
        else "there are more devices than samples"
    )
    return drawn, (
        f"Model, {_devices(devices)}, each keeps its batch: {fast} times as fast, efficiency "
        f"{percent}. What takes one 100 hours takes {hours}, and "
        f"{theme.number(100 / efficiency)} device-hours. One batch shared out: {shared}."
    )


def _published(name: str, symbol: str, found: xr.Dataset) -> theme.Trace:
    columns = ("implementation", "hardware", "batch", "link", "network", "source")
    rows = zip(*(found[column].values for column in columns), strict=True)
    return {
        "type": "scatter", "mode": "markers", "name": f"published,<br>{name}",
        "x": found.devices.values.tolist(), "y": (100 * found.efficiency).values.tolist(),
        "marker": {"color": theme.COLOURS[3], "symbol": symbol, "size": 10},
        "text": [
            f"{how}, {where}, batch {batch}<br>{' and '.join(filter(None, links))}<br>{source}"
            for how, where, batch, *links, source in rows
        ],
        "hovertemplate": "%{y:.0f} % on %{x}<br>%{text}<extra></extra>",
    }  # fmt: skip


def too_large(memory: float, most: float) -> tuple[go.Figure, str]:
    """Draw what a model needs on each device beside what a device has, in bytes."""
    need, has = memory / 1e9, most / 1e9
    bars = {
        "type": "bar", "orientation": "h", "x": [has, need], "textposition": "auto",
        "y": ["memory of a device", "weights, gradients<br>and Adam's state"],
        "text": [f"{has:.0f} GB", f"{need:.0f} GB"],
        "marker": {"color": theme.COLOURS[6], "pattern": {"shape": ["", "/"]}},
    }  # fmt: skip
    drawn = theme.figure(
        [bars], title="What N devices make of it", x="memory (GB)", y="", height=440,
        yaxis={"automargin": True},
    )  # fmt: skip
    return drawn, (
        f"It does not fit: each device would hold all of its {need:.0f} GB, however many there "
        "are. Weights, gradients or Adam's state must be shared out among them first."
    )


def to_target(steps: xr.DataArray, speed_up: xr.DataArray, *, target: str) -> tuple[go.Figure, str]:
    """Draw the steps to a target over the batch, and how much sooner N devices reach it.

    Parameters
    ----------
    steps : xarray.DataArray
        NaN where it was not reached; dimensions ``rule``, ``batch_size`` and ``seed``.
    speed_up : xarray.DataArray
        Over one device, of the time to the target; dimensions ``rule``, ``devices`` and ``seed``.
    target : str
        In words.
    """
    along = charts.quantity("devices")
    drawn = theme.side_by_side(
        {
            "steps": theme.Panel(
                _rules(steps, "batch_size", falls=True),
                {"title": "batch of all devices, log axis", **theme.LOG_TICKS},
                {"title": f"steps to {target}, log axis", **theme.LOG_TICKS},
            ),
            "speed-up": theme.Panel(
                [{**trace, "showlegend": False} for trace in _rules(speed_up, "devices")],
                {"title": "devices, log axis", **along.axis},
                {"title": "times as fast as one, tuned, log axis", **theme.LOG_TICKS},
            ),
        },
        title="From one batch on one device to many", height=440,
    )  # fmt: skip
    best = speed_up.mean("seed", skipna=False).max("rule").dropna("devices")
    n, last = int(best.idxmax("devices")), best.devices.values[-2:].tolist()
    gain = float(best.sel(devices=last[1]) / best.sel(devices=last[0]))
    return drawn, (
        f"Soonest with {_devices(n)}: {theme.number(float(best.max()))} times as fast as one, for "
        f"{theme.number(n / float(best.max()))} times the device-hours. From {last[0]} to "
        f"{_devices(last[1])}: {theme.number(gain)} times as fast."
    )


def _rules(found: xr.DataArray, x: str, *, falls: bool = False) -> list[theme.Trace]:
    """Return a line for each rule, and what is in proportion to x from the first on."""
    means = over_seeds(found)
    at = found[x].values
    first = float(means["mean"].isel({x: 0})[0])
    ideal = {
        "type": "scatter", "mode": "lines", "name": "in proportion", "x": at,
        "y": first * (at[0] / at if falls else at / at[0]),
        "line": {"color": theme.GREY, "dash": "dash"},
    }  # fmt: skip
    traces = []
    for style, rule in enumerate(found.rule.values.tolist(), 1):
        row = means.sel(rule=rule).dropna(x)
        traces += theme.line(row[x], row["mean"], rule, style, row.half_width)
    return [*traces, ideal]


def ring(
    held: ArrayLike, sends: Sequence[tuple[int, int, int]], step: int
) -> tuple[go.Figure, str]:
    """Draw what each rank holds, and what is sent next.

    Parameters
    ----------
    held : array_like
        Whose numbers are in it, 1 or 0, shape (ranks, chunks, ranks).
    sends : sequence of (int, int, int)
        Sender, receiver and chunk of each message of the next step.
    step : int
        How many steps were made.
    """
    within = np.asarray(held, dtype=bool)
    n = len(within)
    letters = np.array([*"ABCDEFGHIJ"][:n])
    cells = {
        "type": "heatmap", "z": within.sum(-1), "zmin": 0, "zmax": n, "showscale": False,
        "xgap": 4, "ygap": 4,
        "x": np.arange(n), "y": letters.tolist(), "colorscale": "Blues", "hoverinfo": "skip",
        "text": [["+".join(letters[cell]) for cell in row] for row in within],
        "texttemplate": "%{text}",
    }  # fmt: skip
    arrows = [
        {
            "x": chunk + 0.35, "y": int(receiver), "ax": chunk + 0.35, "ay": int(sender),
            "xref": "x", "yref": "y", "axref": "x", "ayref": "y", "showarrow": True,
            "arrowhead": 2, "arrowwidth": 2, "arrowcolor": theme.COLOURS[2], "text": "",
        }
        for sender, receiver, chunk in sends
    ]  # fmt: skip
    drawn = theme.figure(
        [cells], title="A ring all-reduce, chunk by chunk", x="chunk", y="rank", height=380,
        annotations=arrows, xaxis={"dtick": 1, "range": [-0.5, n - 0.5]},
        yaxis={"type": "category", "range": [n - 0.5, -0.5]},
    )  # fmt: skip
    n_done = int(within.all(-1).sum())
    return drawn, (
        f"After {step} step{'s' * (step != 1)} of {2 * (n - 1)}: {n_done} of {n * n} chunks hold "
        f"the sum over all. Each rank has sent {theme.number(step / n)} times what it holds."
    )


def predicted(published: xr.Dataset, efficiency: xr.DataArray) -> tuple[go.Figure, str]:
    """Draw what a model predicts against what was published.

    Parameters
    ----------
    published : xarray.Dataset
        As ``scaling.points`` returns.
    efficiency : xarray.DataArray
        Predicted, in [0, 1], by ``point``.
    """
    there, here = 100 * published.efficiency.values, 100 * efficiency.values
    dots = {
        "type": "scatter", "mode": "markers", "x": there, "y": here, "showlegend": False,
        "marker": {"color": theme.COLOURS[2], "symbol": "diamond-open", "size": 9},
        "text": [
            f"{m}, {i}, {h}, {p}, batch {b}, {n} devices"
            for m, i, h, p, b, n in zip(
                *(
                    published[name].values
                    for name in
                    ("model", "implementation", "hardware", "precision", "batch", "devices")
                ),
                strict=True,
            )
        ],
        "hovertemplate": "published %{x:.0f} %, predicted %{y:.0f} %<br>%{text}<extra></extra>",
    }  # fmt: skip
    ends = [60, 102]
    line = {
        "type": "scatter", "mode": "lines", "x": ends, "y": ends, "showlegend": False,
        "line": {"color": theme.GREY, "dash": "dash"}, "hoverinfo": "skip",
    }  # fmt: skip
    drawn = theme.figure(
        [line, dots], title="Predicted and published", height=440,
        x="efficiency published (%)", y="predicted (%)",
        xaxis={"range": ends}, yaxis={"range": ends},
    )  # fmt: skip
    off = abs(here - there)
    worst = int(off.argmax())
    return drawn, (
        f"Mean error {off.mean():.1f} points, the worst {off[worst]:.0f}: "
        f"{published.model.values[worst]!s} on {published.devices.values[worst]} of "
        f"{published.hardware.values[worst]!s}."
    )
