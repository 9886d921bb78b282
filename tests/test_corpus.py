"""Axes under controls, in the browser: figures of every kind, as plotly.js draws them alone."""

import numpy as np
import pytest
from test_browser import run_through

SETUP = """
import numpy as np
import plotly.express as px
import plotly.graph_objects as go
from ipywidgets import VBox
from nnopt_lab.explorer import Explorer

S, B, H = go.Scatter, go.Bar, go.Heatmap
t, days = np.arange(20.0), np.arange("2024-01-01", "2024-01-05", dtype="M8[D]")
def F(*traces, **layout):
    return go.Figure([*traces], layout)
def below(explorers):
    return [explorer.widget for explorer in explorers]
def facets(a, **by):
    return px.line({"x": [0, 1, 0, 1], "y": [0, a, 0, 50 * a], "k": [*"ppqq"]}, "x", "y", **by)
"""

# Of a, which is 1 and 10. Those of the first list need the same range of y at both.
KEPT = {
    "line": "F(S(y=[0, a]))",
    "falling line": "F(S(y=[0, -a]))",
    "points": "F(S(x=[1, 2], y=[1, a], mode='markers'))",
    "single point": "F(S(x=[1], y=[a]))",
    "text": "F(S(y=[1, a], text=['p', 'q'], mode='text'))",
    "integers": "F(S(y=np.arange(4) * a))",
    "hole": "F(S(y=[1, None, a]))",
    "not a number": "F(S(y=[1, np.nan, a]))",
    "many points": "F(go.Scattergl(y=t * a))",
    "px of many points": "px.scatter(x=np.arange(1001), y=np.arange(1001) * a)",
    "error bars": "F(S(y=[1, a], error_y={'array': [1, 2]}))",
    "error bars, skewed": "F(S(y=[1, a], error_y={'array': [1, 2], 'arrayminus': [9, 8]}))",
    "error bars, unused": "F(S(y=[1, a], error_y={'symmetric': True, 'array': [1, 1],"
    " 'arrayminus': [99, 99]}))",
    "error bars, hidden": "F(S(y=[1, a], error_y={'array': [90, 90], 'visible': False}))",
    "area to zero": "F(S(y=[50, 50 + a], fill='tozeroy'))",
    "from zero": "F(S(y=[50, 50 + a])).update_yaxes(rangemode='tozero')",
    "not below zero": "F(S(y=[0, a])).update_yaxes(rangemode='nonnegative')",
    "from zero by template": "F(S(y=[50, 50 + a]),"
    " template={'layout': {'yaxis': {'rangemode': 'tozero'}}})",
    "includes": "F(S(y=[1, a])).update_yaxes(autorangeoptions={'include': [100]})",
    "reversed": "F(S(y=[1, a])).update_yaxes(autorange='reversed')",
    "log": "F(S(y=[1, 10 * a])).update_yaxes(type='log')",
    "log, zeros": "F(S(y=[0, 1, 10 * a])).update_yaxes(type='log')",
    "bars": "F(B(y=[1, a]))",
    "bars below": "F(B(y=[-1, -a]))",
    "bars of words": "F(B(x=['8', '16', '32'], y=[1, a, 3]))",
    "bars of years": "F(B(x=np.array(['2019', '2020']), y=[1, a]))",
    "bars of two levels": "F(B(x=[[1, 1, 2], [1, 2, 1]], y=[1, a, 3]))",
    "stack": "F(B(y=[1, a]), B(y=[3, 4]), barmode='stack')",
    "stack by template": "F(B(y=[10, a]), B(y=[10, 1]), template={'layout': {'barmode': 'stack'}})",
    "relative": "F(B(y=[1, a]), B(y=[-3, -4]), barmode='relative')",
    "hidden curve": "F(S(y=[0, a]), S(y=[0, 1000], visible=False))",
    "curve in the legend": "F(S(y=[0, a]), S(y=[0, 1000], visible='legendonly'))",
    "hidden shape": "F(S(y=[0, a])).add_shape(y0=0, y1=99, x0=0, x1=1, visible=False)",
    "shape": "F(S(y=[0, a])).add_shape(y0=0, y1=2 * a, x0=0, x1=1)",
    "shape in pixels": "F(S(y=[0, a])).add_shape(xsizemode='pixel', xanchor=0, x0=-50, x1=50,"
    " y0=0, y1=1)",
    "annotation": "F(S(y=[1, a])).add_annotation(x=5, y=50, text='here')",
    "annotation on paper": "F(S(y=[1, a])).add_annotation(x=5, xref='paper', y=2, yref='paper')",
    "more x than y": "F(S(x=[0, 1, 99], y=[1, a]))",
    "counted from": "F(S(y=[1, a], x0=10, dx=5))",
    "dates and numbers": "F(S(x=days, y=[1, 2, 3, a]))",
    "decimals": "F(S(y=[__import__('decimal').Decimal(1), a]))",
    "two axes": "F(S(y=[1, a]), S(y=[5, 6], yaxis='y2'), yaxis2={'overlaying': 'y'})",
}
IN_VIEW = {
    "facets": "facets(a, facet_col='k')",
    "facets below": "facets(a, facet_row='k')",
    "matching axes": "F(S(y=[1, a]), S(y=[1, 50 * a], xaxis='x2', yaxis='y2'),"
    " xaxis={'domain': [0, .4]}, xaxis2={'domain': [.6, 1]}, yaxis2={'matches': 'y'})",
    "one scale": "F(S(y=[1, a])).update_yaxes(scaleanchor='x')",
    "words": "F(S(x=['a', 'b'], y=['p', 'q' * a]))",
    "range of a template": "F(S(y=[0, a]), template={'layout': {'yaxis': {'range': [0, 100]}}})",
    "range": "F(S(y=[0, a])).update_yaxes(range=[0, 5])",
    "half a range": "F(S(y=[1, a])).update_yaxes(range=[0, None])",
    "stack with errors": "F(B(y=[a, 2]), B(y=[3, 4], error_y={'array': [5, 5]}), barmode='stack')",
    "error bars in percent": "F(S(y=[1, a], error_y={'type': 'percent', 'value': 50}))",
    "error bars of roots": "F(S(y=[100, 100 * a], error_y={'type': 'sqrt'}))",
    "error bars of one length": "F(S(y=[1, a], error_y={'type': 'constant', 'value': 3}))",
    "big marks": "F(S(x=[1, 2], y=[1, a], mode='markers', marker={'size': [100, 100]}))",
    "big marks, log": "F(S(x=[1, 2], y=[1, a], mode='markers', marker={'size': [100, 100]}))"
    ".update_yaxes(type='log')",
    "text above bars": "F(B(y=[a, 10], text=['p<br>q'] * 2, textposition='outside'))",
    "bars of moving places": "F(B(x=[a, a + 1], y=[1, 2]))",
    "bars to the side": "F(B(x=[1, a]))",
    "bars from a base": "F(B(y=[1, a], base=[5, 6]))",
    "bars with an offset": "F(B(x=[1, a], y=[1, 2], offset=2))",
    "log bars": "F(B(y=[1, 10 * a])).update_yaxes(type='log')",
    "heatmap, rows": "F(H(z=np.ones((1 + a, 3))))",
    "log heatmap": "F(H(x=[1, 10, 100], z=[[1, 2, a]])).update_xaxes(type='log')",
    "heatmap out of order": "F(H(x=[0, 10, 3], z=[[1, 2, a]]))",
    "heatmap, scaled": "F(H(x=[5, 6], xtype='scaled', z=[[1, 2, a]]))",
    "heatmap of words": "F(H(x=['1', '2'], z=[[1, a]]))",
    "empty heatmap": "F(H(z=[]))",
    "no heatmap": "F(H())",
    "contour": "F(go.Contour(z=[[1, 2], [3, a]]))",
    "histogram": "F(go.Histogram(x=[1, 2, a]))",
    "two-way histogram": "F(go.Histogram2d(x=[1, 2, a], y=[1, 2, a]))",
    "box": "F(go.Box(y=[1, 2, a]))",
    "violin": "F(go.Violin(y=[1, 2, a]))",
    "waterfall": "F(go.Waterfall(y=[1, 2, a]))",
    "funnel": "F(go.Funnel(y=['p', 'q'], x=[a, 1]))",
    "candles": "F(go.Candlestick(x=days[:2], open=[1, 2], high=[3, 4 + a], low=[0, 1],"
    " close=[2, 3]))",
    "stacked areas": "F(S(y=[1, a], stackgroup='one'), S(y=[1, 2], stackgroup='one'))",
    "image": "F(go.Image(z=np.zeros((2 + a, 3, 3))))",
    "dates": "F(S(x=days, y=days))",
    "periods": "F(S(x=days, y=[1, 2, 3, a], xperiod=86400000))",
    "path": "F(S(y=[0, a])).add_shape(type='path', path='M 0,0 L 5,40 L 9,0 Z')",
    "nothing": "F()",
    "no points": "F(S(x=[], y=[]))",
    "surface": "F(go.Surface(z=[[1, 2], [3, a]]))",
    "pie": "F(go.Pie(values=[1, a]))",
    "polar": "F(go.Scatterpolar(r=[1, a], theta=[0, 90]))",
    "many dimensions": "F(go.Splom(dimensions=[{'values': [1, a]}, {'values': [2, 3]}]))",
    "log and not": "F(S(y=[1, a])).update_yaxes(type='log' if a == 1 else 'linear')",
    "numbers and words": "F(S(y=[1, 2] if a == 1 else ['p', 'q']))",
}
CORPUS = {**KEPT, **IN_VIEW}

# The ranges of all axes of figure i: as it stands, and drawn alone by plotly.js, equally large.
SHOWN = """async ([i, figure]) => {
    const ranges = (graph) => ["xaxis", "yaxis", "xaxis2", "yaxis2"]
        .map((name) => JSON.parse(JSON.stringify(graph._fullLayout[name]?.range ?? null)));
    const drawing = (graph) => [...graph.querySelectorAll(".main-svg path, .main-svg text")]
        .filter((mark) => !mark.closest(".hoverlayer, .modebar"))
        .map((mark) => `${mark.getAttribute("d") ?? ""} ${mark.textContent}`)
        .map((mark) => mark.replace(/[0-9]+([.][0-9]+)?/g, (n) => Number(n).toFixed(2))).sort();
    const shown = document.querySelectorAll(".nnopt-lab-figure")[i];
    const found = {shown: ranges(shown), moved: drawing(shown)};
    const alone = document.createElement("div");
    shown.parentElement.append(alone);
    alone.style.width = `${shown.offsetWidth}px`;
    const Plotly = await globalThis.nnoptLabPlotly;
    const size = {height: shown._fullLayout.height, width: shown._fullLayout.width};
    const {data, layout} = structuredClone({data: shown.data, layout: shown.layout});
    await Plotly.newPlot(alone, figure.data, {...figure.layout, ...size});
    found.alone = ranges(alone);
    await Plotly.newPlot(alone, data, {...layout, ...size});
    found.anew = drawing(alone);
    Plotly.purge(alone);
    alone.remove();
    return found;
}"""
AT = (1, 10)


@pytest.fixture(scope="module")
def found(tmp_path_factory, browser) -> dict[str, list[dict[str, list]]]:
    """For each figure: its ranges with both stops at the first and the last, and with one."""
    draws = "draws = {" + ", ".join(f"{n!r}: lambda a: {made}" for n, made in CORPUS.items()) + "}"
    sources = [
        SETUP,
        draws,
        "moved = [Explorer(draw, a=[1, 10]) for draw in draws.values()]\nVBox(below(moved))",
        "single = [Explorer(draw, a=[10]) for draw in draws.values()]\nVBox(below(single))",
    ]
    n = len(CORPUS)
    with run_through(tmp_path_factory.mktemp("corpus"), browser, sources, 2 * n) as lab:
        ask = "{n: __import__('json').loads(draw(%d).to_json()) for n, draw in draws.items()}"
        figures = [lab.ask_kernel(ask % a) for a in AT]
        ranges: dict[str, list[dict[str, list]]] = {name: [] for name in CORPUS}
        for a, figure in zip(AT, figures, strict=True):
            lab.ask_kernel(f"[setattr(e.controls['a'], 'value', {a}) for e in moved] and 0")
            lab.page.wait_for_timeout(3000)
            for i, name in enumerate(CORPUS):
                ranges[name].append(lab.page.evaluate(SHOWN, [i, figure[name]]))
        for i, name in enumerate(CORPUS, n):
            ranges[name].append(lab.page.evaluate(SHOWN, [i, figures[1][name]]))
        assert lab.page.locator(".nnopt-lab-trouble:visible").count() == 0
    return ranges


def is_within(inner: list | None, outer: list | None) -> bool:
    """Whether a range lies in another, to a ten-thousandth; equal where it is not of numbers."""
    if inner is None or not all(isinstance(end, int | float) for end in [*inner, *outer]):
        return inner == outer
    slack = 1e-4 * abs(inner[1] - inner[0])
    (low, high), (lowest, highest) = sorted(inner), sorted(outer)
    return lowest - slack <= low and high <= highest + slack


@pytest.mark.parametrize("name", CORPUS)
def test_axes_are_those_of_plotly_alone_and_with_more_stops_hold_them(found, name):
    *moved, single = found[name]
    for shown in moved:
        assert all(map(is_within, shown["alone"], shown["shown"])), shown
    for shown, alone in zip(single["shown"], single["alone"], strict=True):
        assert is_within(shown, alone), single
        assert is_within(alone, shown), single


@pytest.mark.parametrize("name", KEPT)
def test_an_axis_keeps_one_range_over_its_stops(found, name):
    first, last, _ = found[name]
    slack = 0.01 * abs(np.ptp(last["shown"][1]))
    np.testing.assert_allclose(first["shown"][1], last["shown"][1], atol=slack)


# plotly.js writes the other half of a range into the layout that is drawn anew.
@pytest.mark.parametrize("name", [name for name in CORPUS if name != "half a range"])
def test_what_was_moved_to_looks_as_if_drawn_there(found, name):
    for shown in found[name]:
        assert shown["moved"] == shown["anew"]
