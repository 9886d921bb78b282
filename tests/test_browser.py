"""JupyterLab in headless Chromium, as a learner uses it: press, drag, look."""

import base64
import io
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from lab import Lab, open_lab
from PIL import Image

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"

# What stands in the browser: data and layout of each figure, its sentence, and any trouble.
STATE = """() => [...document.querySelectorAll('.nnopt-lab-sheet')].map(sheet => {
    const [paper, sentence] = [sheet.firstChild, sheet.nextSibling];
    const trouble = sentence.nextSibling;
    return {
        data: paper.data, ranges: [paper.layout.xaxis?.range, paper.layout.yaxis?.range],
        sentence: sentence.textContent,
        trouble: trouble.hidden ? '' : trouble.textContent,
        pixels: paper.querySelector('.main-svg') ? paper.offsetWidth : 0}})"""

# What stands in Python, in the order of the page.
EXPLORERS = (
    "[e for items in __import__('nnopt_lab.explorer.cells').explorer.cells._cells.shown.values()"
    " for e in items if hasattr(e, 'figure')]"
)
FIGURES = (
    f"[{{'data': e.figure.to_plotly_json()['data'], 'sentence': e.sentence,"
    f" 'ranges': [list(e.figure.layout[a].range or ()) or None for a in ('xaxis', 'yaxis')]}}"
    f" for e in {EXPLORERS}]"
)
COMMS = "len(__import__('comm').get_comm_manager().comms)"


def lab_with(folder: Path, sources: list[str], name: str = "lesson.ipynb") -> None:
    """Write a notebook."""
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3 (ipykernel)"}
    nbformat.write(notebook, folder / name)


def numbers(value: object) -> object:
    """Bring plotly's typed arrays and plain lists to one form."""
    if isinstance(value, dict) and "bdata" in value:
        array = np.frombuffer(base64.b64decode(value["bdata"]), value["dtype"]).astype(float)
        return array.tolist()
    if isinstance(value, dict):
        return {key: numbers(item) for key, item in value.items() if key != "uid"}
    if isinstance(value, list):
        return [numbers(item) for item in value]
    return value


def assert_same(browser: object, python: object, where: str) -> None:
    """Compare nested data; floats travel with 24 bits, and not a number as null."""
    if isinstance(python, dict):
        for key, item in python.items():
            assert_same(browser[key], item, f"{where}.{key}")
    elif isinstance(python, list) and all(isinstance(x, int | float | None) for x in python):
        one, other = (np.array(side, dtype=float) for side in (browser, python))
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-9, err_msg=where)
    elif isinstance(python, list):
        assert len(browser) == len(python), where
        for i, (one, other) in enumerate(zip(browser, python, strict=True)):
            assert_same(one, other, f"{where}[{i}]")
    elif isinstance(python, float):
        assert browser == pytest.approx(python, rel=1e-6), where
    else:
        assert browser == python, where


def assert_browser_shows_what_python_has(lab: Lab) -> None:
    shown, expected = lab.page.evaluate(STATE), lab.ask_kernel(FIGURES)
    assert len(shown) == len(expected) > 0
    for i, (one, other) in enumerate(zip(shown, expected, strict=True)):
        assert one["trouble"] == ""
        assert one["pixels"] > 300
        assert one["sentence"] == other["sentence"]
        assert_same(numbers(one["data"]), numbers(other["data"]), f"figure {i}")
        for browser, python in zip(one["ranges"], other["ranges"], strict=True):
            if python is not None:
                assert browser == pytest.approx(python, rel=1e-6)


def move_every_control(lab: Lab, to: str) -> int:
    """Move all sliders and toggles to an end, by keys and clicks; return how many there are."""
    page = lab.page
    sliders = page.locator(".jp-OutputArea .noUi-handle")
    for i in range(sliders.count()):
        sliders.nth(i).focus()
        sliders.nth(i).press("End" if to == "end" else "Home")
    groups = page.locator(".jp-OutputArea .widget-toggle-buttons")
    for i in range(groups.count()):
        buttons = groups.nth(i).locator("button")
        buttons.nth(buttons.count() - 1 if to == "end" else 0).click()
    boxes = page.locator(".jp-OutputArea .widget-checkbox input")
    for i in range(boxes.count()):
        boxes.nth(i).set_checked(to == "end")
    lists = page.locator(".jp-OutputArea .widget-dropdown select")
    for i in range(lists.count()):
        options = lists.nth(i).locator("option")
        lists.nth(i).select_option(index=options.count() - 1 if to == "end" else 0)
    page.wait_for_timeout(500)
    kinds = (sliders, groups, boxes, lists)
    return sum(kind.count() for kind in kinds)


def assert_accessible(lab: Lab) -> None:
    """By the rules of axe-core, for all that cells show."""
    found = Axe().run(lab.page, {"include": [[".jp-OutputArea-output"]]}).response
    assert len(found["passes"]) > 10
    assert [
        (rule["help"], [n["html"] for n in rule["nodes"]]) for rule in found["violations"]
    ] == []


def assert_silent(lab: Lab) -> None:
    """Nothing in the console, no request to another host."""
    assert lab.console == []
    local = (lab.url, lab.url.replace("http", "ws"), "data:", "blob:")
    assert [url for url in lab.requests if not url.startswith(local)] == []


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("[0-9]*.ipynb")), ids=lambda p: p.stem)
def test_a_notebook_from_run_all_to_both_ends_of_every_control(path, tmp_path, browser):
    shutil.copy(path, tmp_path)
    cells = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    with open_lab(tmp_path, browser, NNOPT_LAB_OPEN="1") as lab:
        lab.open(path.name)
        lab.run_all()
        lab.wait_for_cell(len(cells), seconds=480)
        assert lab.page.locator("text=Jupyter news").count() == 0
        lab.unfold()
        lab.wait_until_drawn(lab.ask_kernel(f"len({EXPLORERS})"))
        assert_browser_shows_what_python_has(lab)
        assert_accessible(lab)
        for end in ("end", "start", "end"):
            n_controls = move_every_control(lab, end)
            assert n_controls >= 4
            assert_browser_shows_what_python_has(lab)
        moved = f"[e for e in {EXPLORERS} if hasattr(e, '_stops')]"
        sliders = lab.ask_kernel(f"[[*e.values.values()] for e in {moved}]")
        last = lab.ask_kernel(f"[[[*s.values][-1] for s in e._stops.values()] for e in {moved}]")
        assert sliders == last
        errors = lab.page.locator(".jp-OutputArea-output[data-mime-type*=stderr]").count()
        assert errors == sum("raises-exception" in c.metadata.get("tags", []) for c in cells)
        assert_silent(lab)


LESSON = [
    """
import numpy as np
import plotly.graph_objects as go
from nnopt_lab.explorer import Explorer, Stops
x = np.linspace(0, 10, 30)
def draw(a, kind="line", grid=True):
    traces = [go.Scatter(x=x, y=a * x, name=f"a is {a}"), go.Scatter(x=x, y=x)]
    if kind == "bars":
        traces = [go.Bar(x=["p", "q"], y=[a, 2 * a], text=["one", f"{a}"])]
    if kind == "heat":
        where = {"x": [0, 1, 2, 3], "y": ["bars", "heat"], "meta": {"x": "a", "y": "kind"}}
        traces = [go.Heatmap(z=np.outer([1, 2], range(4)) * a, zmin=0, zmax=18, **where)]
    if kind == "dots":
        recipes = [[3, "line"], [0, "heat"]]
        where = {"customdata": recipes, "meta": {"customdata": ["a", "kind"]}}
        traces = [go.Scatter(x=[1, 2], y=[1, 2], mode="markers", marker_size=90, **where)]
    figure = go.Figure(traces, layout={"title": {"text": "A line"}, "xaxis_showgrid": grid})
    return figure.add_annotation(text=f"a = {a}", x=0, y=0) if grid else figure
""",
    """
explorer = Explorer(
    lambda a, kind, grid: (draw(a, kind, grid), f"It rises by {a}."),
    a=Stops([0, 1, 2, 3], unit="per step"), kind=["line", "bars", "dots", "heat"],
    grid=[False, True])
explorer""",
    "other = Explorer(lambda b: draw(b), b=range(5))\nother",
    "explorer",
]


@contextmanager
def run_through(folder: Path, browser, sources: list[str], n_figures: int) -> Iterator[Lab]:
    """Open a notebook of these cells, run all, and wait for its figures."""
    lab_with(folder, sources)
    with open_lab(folder, browser) as lab:
        lab.open("lesson.ipynb")
        lab.run_all()
        lab.wait_for_cell(len(sources))
        lab.wait_until_drawn(n_figures)
        yield lab


@pytest.fixture(scope="module")
def lesson(tmp_path_factory, browser) -> Iterator[Lab]:
    with run_through(tmp_path_factory.mktemp("lesson"), browser, LESSON, 3) as lab:
        yield lab


def test_controls_and_figures_have_names_and_values_in_words(lesson):
    page = lesson.page
    for place in (3, 1):
        lesson.set_values("explorer", a=place, kind="bars", grid=False)
        slider = page.get_by_role("slider", name="a", exact=True).first
        assert slider.get_attribute("aria-valuetext") == f"{place} per step"
    kinds = page.get_by_role("group", name="kind").get_by_role("button")
    assert [b.get_attribute("aria-pressed") for b in kinds.all()][:4] == [
        "false", "true", "false", "false",
    ]  # fmt: skip
    assert not page.get_by_role("checkbox", name="grid").first.is_checked()
    assert page.get_by_role("figure", name="A line. It rises by 1.").count() == 2
    assert_accessible(lesson)


def sentences(lab: Lab) -> list[str]:
    return [figure["sentence"] for figure in lab.page.evaluate(STATE)]


def test_anything_may_change_between_stops(lesson):
    for kind in ("line", "bars", "heat"):
        for grid in (True, False):
            for a in (3, 0):
                lesson.set_values("explorer", a=a, kind=kind, grid=grid)
                assert_browser_shows_what_python_has(lesson)
    assert lesson.console == []


def test_values_set_in_python_move_every_view(lesson):
    lesson.set_values("explorer", a=2, kind="line", grid=False)
    assert sentences(lesson) == ["It rises by 2.", "", "It rises by 2."]


def test_a_click_on_a_cell_chooses_the_values_of_its_axes(lesson):
    lesson.set_values("explorer", a=1, kind="line", grid=False)
    assert lesson.page.locator(".nnopt-lab-clickable").count() == 0
    lesson.set_values("explorer", kind="heat")
    cells = lesson.page.locator(".nnopt-lab-clickable .nsewdrag").first
    box = cells.bounding_box()
    corner = {"x": 0.85 * box["width"], "y": 0.75 * box["height"]}
    cells.hover(position=corner)
    lesson.page.wait_for_timeout(500)
    cells.click(position=corner)
    lesson.page.wait_for_timeout(1000)
    assert lesson.ask_kernel("explorer.values") == {"a": 3, "kind": "bars", "grid": False}
    assert sentences(lesson) == ["It rises by 3.", "", "It rises by 3."]
    assert_browser_shows_what_python_has(lesson)


def test_a_click_on_a_dot_chooses_all_that_it_names(lesson):
    lesson.set_values("explorer", a=1, kind="dots", grid=False)
    dot = lesson.page.locator(".nnopt-lab-clickable .nsewdrag").first
    box = dot.bounding_box()
    lower_left = {"x": 0.08 * box["width"], "y": 0.92 * box["height"]}
    dot.hover(position=lower_left)
    lesson.page.wait_for_timeout(500)
    dot.click(position=lower_left)
    lesson.page.wait_for_timeout(1000)
    assert lesson.ask_kernel("explorer.values") == {"a": 3, "kind": "line", "grid": False}


KEPT = [
    """
import plotly.graph_objects as go
from nnopt_lab.explorer import Explorer, Stops
S, fs = go.Scatter, {}
def figure(*traces, **layout):
    return go.Figure(traces, {"height": 300, **layout})
def rising(a, **layout):
    return figure(S(x=[0, 1, 2, 3], y=[0, a, 2 * a, 3 * a]), **layout)
draws = {
    "zoom": rising,
    "ranged": lambda a: rising(a, xaxis_range=[0, a]),
    "kinds": lambda a: rising(10) if a == 1 else figure(go.Bar(x=["p", "q"], y=[3, 4])),
    "legend": lambda a: figure(*[S(y=[0, 1], name=n) for n in ("ABC" if a == 1 else "BCD")]),
    "reversed": lambda a: rising(1, yaxis_autorange=True if a == 1 else "reversed"),
    "polar": lambda a: figure(go.Scatterpolar(r=[0, a, 2 * a], theta=[0, 90, 180])),
    "half": lambda a: rising(a, yaxis_range=[0, None]),
    "high": lambda a: figure(S(y=[1, 2]), height=300 if a == 1 else 500),
    "row": lambda a: figure(S(y=[1, a], xaxis="x2"), S(y=[1, 2]), S(y=[1], xaxis="x3"),
        xaxis_domain=[0, 0.3], xaxis2={"domain": [0.35, 0.65]}, xaxis3={"domain": [0.7, 1]}),
    "wide": lambda a: figure(S(y=[1, 10.0 ** (5 * a)], stackgroup="one"), margin_l=0,
        yaxis={"automargin": True, "tickformat": "f"}),
    "free": lambda a: go.Figure(S(y=[1, 2]), {"height": 700} if a == 2 else {}),
}""",
    "moved = {n: Explorer(d, a=[1, 2]) for n, d in draws.items()}\ndisplay(*moved.values())",
    "alone = {n: Explorer(d, a=Stops([1, 2], start=2)) for n, d in draws.items()}\n"
    "display(*alone.values())",
]
KEPT_LOOK = """([i]) => {
  const l = document.querySelectorAll('.nnopt-lab-figure')[i]._fullLayout;
  const axis = l.polar ? l.polar.radialaxis : null;
  const found = [l.xaxis?.range, l.yaxis?.range, axis?.range, l.height, l._size.l];
  return JSON.parse(JSON.stringify(found));
}"""


@pytest.fixture(scope="module")
def state(tmp_path_factory, browser) -> Iterator[Lab]:
    with run_through(tmp_path_factory.mktemp("state"), browser, KEPT, 22) as lab:
        lab.names = lab.ask_kernel("[*draws]")
        yield lab
        assert_silent(lab)


def look(lab: Lab, name: str, *, alone: bool = False) -> list:
    """Return the ranges of x, y and radius, height and left margin, as plotly.js has them now."""
    return lab.page.evaluate(KEPT_LOOK, [lab.names.index(name) + alone * len(lab.names)])


def move(lab: Lab, name: str, a: int) -> None:
    lab.ask_kernel(f"setattr(moved[{name!r}].controls['a'], 'value', {a})")
    lab.page.wait_for_timeout(400)


def drag(lab: Lab, name: str) -> None:
    """Zoom into a part of a figure, as with the mouse."""
    area = lab.page.locator(".nnopt-lab-figure").nth(lab.names.index(name)).locator(".nsewdrag")
    area.scroll_into_view_if_needed()
    box = area.bounding_box()
    at = [(box["x"] + s * box["width"], box["y"] + s * box["height"]) for s in (0.3, 0.6)]
    lab.page.mouse.move(*at[0])
    lab.page.mouse.down()
    lab.page.mouse.move(*at[1], steps=5)
    lab.page.mouse.up()
    lab.page.wait_for_timeout(400)


def width(found: list) -> float:
    return found[0][1] - found[0][0]


def test_a_zoom_outlives_a_move_and_a_reset_is_one(state):
    whole = look(state, "zoom")
    drag(state, "zoom")
    zoomed = look(state, "zoom")
    assert width(zoomed) < 0.5 * width(whole)
    move(state, "zoom", 2)
    assert look(state, "zoom") == zoomed
    area = state.page.locator(".nnopt-lab-figure").nth(0).locator(".nsewdrag")
    area.dblclick()
    state.page.wait_for_timeout(500)
    assert look(state, "zoom")[0] == whole[0]
    for a in (1, 2):
        move(state, "zoom", a)
        assert look(state, "zoom")[0] == whole[0]


@pytest.mark.parametrize("name", ["ranged", "kinds"])
def test_a_zoom_does_not_outlive_another_kind_of_axis(state, name):
    drag(state, name)
    move(state, name, 2)
    assert look(state, name) == look(state, name, alone=True)


@pytest.mark.parametrize("name", ["reversed", "polar", "half", "high", "free", "wide"])
def test_each_stop_looks_as_it_does_alone(state, name):
    before = look(state, name)
    for a in (2, 1, 2):
        move(state, name, a)
        assert look(state, name) == (before if a == 1 else look(state, name, alone=True))


@pytest.mark.parametrize(("name", "n_panels"), [("row", 3), ("zoom", 1)])
def test_panels_in_a_row_stay_readable_on_a_narrow_page(state, name, n_panels):
    sizes = """sheet => [sheet.clientWidth, sheet.scrollWidth,
        sheet.querySelector('.main-svg').clientWidth]"""
    sheet = state.page.locator(".nnopt-lab-sheet").nth(state.names.index(name))
    state.page.set_viewport_size({"width": 468, "height": 900})
    sheet.scroll_into_view_if_needed()  # what is out of view is not drawn anew
    wait_until(state, lambda: sheet.evaluate(sizes)[2] == 320 * n_panels)
    seen, whole, _ = sheet.evaluate(sizes)
    assert seen < 320  # beside the list of files
    assert whole == 320 * n_panels
    state.page.set_viewport_size({"width": 1400, "height": 900})
    wait_until(state, lambda: sheet.evaluate(sizes)[2] == sheet.evaluate(sizes)[0] > 900)


def test_a_curve_is_hidden_by_its_name(state):
    page, i = state.page, state.names.index("legend")
    toggles = page.locator(".nnopt-lab-figure").nth(i).locator(".legendtoggle")
    toggles.nth(1).click()
    page.wait_for_timeout(800)
    shown = """i => document.querySelectorAll('.nnopt-lab-figure')[i]._fullData
        .filter(t => t.visible === true).map(t => t.name)"""
    assert page.evaluate(shown, i) == ["A", "C"]
    move(state, "legend", 2)
    assert page.evaluate(shown, i) == ["C", "D"]


def test_sliders_live_with_the_kernel_stopped(lesson):
    lesson.set_values("explorer", a=0, kind="line", grid=False)
    pid = lesson.kernel_pid()
    os.kill(pid, signal.SIGSTOP)
    try:
        slider = lesson.page.locator(".jp-OutputArea .noUi-handle").first
        slider.focus()
        for a in (1, 2, 3):
            slider.press("ArrowRight")
            assert sentences(lesson)[0] == f"It rises by {a}."
    finally:
        os.kill(pid, signal.SIGCONT)
    lesson.page.wait_for_timeout(1000)
    assert lesson.ask_kernel("explorer.values['a']") == 3
    assert_browser_shows_what_python_has(lesson)


def test_the_figure_is_drawn_again_after_a_reload_where_it_was(lesson):
    lesson.set_values("explorer", a=3, kind="bars", grid=False)
    lesson.page.keyboard.press("Control+s")
    lesson.page.wait_for_timeout(1000)
    lesson.page.reload()
    lesson.wait_for_kernel()
    lesson.wait_until_drawn(3)
    assert sentences(lesson)[0] == "It rises by 3."
    assert_browser_shows_what_python_has(lesson)


def test_running_again_leaves_no_comm_and_no_dead_widget(lesson):
    lesson.run_all()
    lesson.wait_for_cell(8)
    lesson.wait_until_drawn(3)
    before = lesson.ask_kernel(COMMS)
    for count in (12, 16):
        lesson.run_all()
        lesson.wait_for_cell(count)
        lesson.wait_until_drawn(3)
    assert lesson.ask_kernel(COMMS) == before
    lesson.set_values("explorer", a=1, kind="line", grid=False)
    assert sentences(lesson) == ["It rises by 1.", "", "It rises by 1."]
    assert_browser_shows_what_python_has(lesson)
    assert_silent(lesson)


LIVE = [
    """
import plotly.graph_objects as go
from nnopt_lab.data import mnist1d
from nnopt_lab.explorer import Explorer, Live, Stops
from nnopt_lab.networks import mlp
from nnopt_lab.grid import grid
from nnopt_lab.training import train
data, runs = mnist1d(640), grid(seed=range(3))
def run(report, stop, lr, epochs, width):
    losses = []
    def watch(updates, model, loss):
        losses.append(0 if loss is None else loss.mean().item())
        if updates and updates % 10 == 0:
            report(losses[1::10], updates / (10 * epochs))
    history = train(mlp([40, width, 10], runs), data, runs, epochs=epochs, lr=lr,
                    watch=[watch], stop=stop)
    return f"{int(history.diverged.sum())} of 3 networks diverged."
def draw(results):
    return go.Figure([go.Scatter(y=losses, name=name) for name, losses in results.items()])
""",
    "one = Live(run, draw, lr=0.1, epochs=3, width=Stops([8, 16]))\none",
    "two = Live(run, draw, lr=0.1, epochs=3, width=Stops([8, 16]))\ntwo",
    "explorer = Explorer(lambda a: draw({'line': [0, a]}), a=range(5))\nexplorer",
    "import threading\nheld = threading.Event()",
]


@pytest.fixture
def live(tmp_path, browser) -> Iterator[Lab]:
    lab_with(tmp_path, LIVE)
    with open_lab(tmp_path, browser) as lab:
        lab.open("lesson.ipynb")
        lab.run_all()
        lab.wait_for_cell(len(LIVE))
        lab.wait_until_drawn(3)
        yield lab


def press(lab: Lab, label: str, panel: int = 0) -> None:
    lab.page.locator(f".jupyter-button:has-text('{label}')").nth(panel).click()


def wait_for_status(lab: Lab, words: str, panel: int = 0) -> None:
    lab.page.wait_for_function(
        "([words, i]) => document.querySelectorAll('[role=status]')[i]?.innerText.includes(words)",
        arg=[words, panel],
        timeout=30_000,
    )


def wait_until(lab: Lab, condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        lab.page.wait_for_timeout(100)


def wait_for_sentence(lab: Lab, words: str, panel: int = 0) -> None:
    wait_until(lab, lambda: sentences(lab)[panel] == words)


def n_points(lab: Lab, panel: int = 0) -> int:
    curves = numbers(lab.page.evaluate(STATE)[panel]["data"])
    return max((len(curve["y"]) for curve in curves), default=0)


def wait_for_points(lab: Lab, more_than: int, panel: int = 0) -> None:
    wait_until(lab, lambda: n_points(lab, panel) > more_than)


def type_in(lab: Lab, name: str, value: float, panel: int = 0) -> None:
    field = lab.page.locator(f".widget-text:has-text('{name}') input").nth(panel)
    field.fill(str(value))
    field.press("Tab")
    lab.page.wait_for_timeout(300)


def test_nothing_is_trained_before_train_is_pressed(live):
    assert live.ask_kernel("[one.results, two.results]") == [{}, {}]
    assert "Nothing has been trained yet" in live.page.inner_text(".jp-Notebook")
    assert_accessible(live)
    assert not live.ask_kernel("[t.name for t in threading.enumerate() if 'live' in t.name]")


def test_curves_grow_to_the_end_and_the_last_runs_stay(live):
    for lr in (0.1, 0.2, 0.3, 0.4, 1e9):
        type_in(live, "lr", lr)
        press(live, "Train")
        live.page.wait_for_function(
            "name => document.querySelector('.nnopt-lab-figure').data.at(-1)?.name.includes(name)",
            arg=f"lr {lr:g}",
        )
        wait_for_status(live, "Done")
        if lr == 0.1:
            wait_for_sentence(live, "0 of 3 networks diverged.")
            assert n_points(live) == 3
    wait_for_sentence(live, "3 of 3 networks diverged.")
    assert live.ask_kernel("[name.split(',')[0] for name in one.results]") == [
        *("lr 0.2", "lr 0.3", "lr 0.4", "lr 1e+09")
    ]
    assert_silent(live)


def test_while_it_trains_cells_and_sliders_live_and_stop_stops(live):
    type_in(live, "epochs", 1_000_000)
    press(live, "Train")
    wait_for_points(live, 2)
    live.page.locator(".jp-OutputArea .noUi-handle").last.press("ArrowRight")
    assert live.ask_kernel("explorer.values['a']") == 1
    live.replace_cell(4, "40 + 2")
    live.wait_for_cell(len(LIVE) + 1)
    wait_for_points(live, n_points(live))
    press(live, "Stop")
    wait_for_status(live, "Stopped at")
    assert live.ask_kernel("one.results") != {}
    press(live, "Train")  # and again
    wait_for_status(live, "Training")
    press(live, "Stop")
    wait_for_status(live, "Stopped at")
    assert_silent(live)


def test_a_panel_says_that_its_kernel_is_gone(live):
    assert live.page.locator(".nnopt-lab-trouble:visible").count() == 0
    live.page.click("[data-command='notebook:restart-kernel'], [title^='Restart the kernel']")
    live.page.locator(".jp-Dialog button.jp-mod-accept").click()
    gone = live.page.locator(".nnopt-lab-trouble:visible:has-text('kernel that trains for it')")
    gone.first.wait_for()
    assert gone.count() == 2  # the panels; the figure of an Explorer needs no kernel
    live.wait_for_kernel()
    assert live.ask_kernel("40 + 2") == 42


def test_stop_stops_while_a_cell_blocks_the_kernel(live):
    type_in(live, "epochs", 1_000_000)
    press(live, "Train")
    wait_for_points(live, 2)
    live.replace_cell(4, "held.wait()")
    live.page.wait_for_timeout(500)
    press(live, "Stop")
    wait_for_status(live, "Stopped at")


def test_of_two_panels_the_newest_press_wins(live):
    type_in(live, "epochs", 1_000_000)
    press(live, "Train")
    wait_for_points(live, 2)
    press(live, "Train", panel=1)
    wait_for_status(live, "Stopped at", panel=0)
    wait_for_status(live, "Done", panel=1)
    wait_for_sentence(live, "0 of 3 networks diverged.", panel=1)
    assert live.ask_kernel("len([t for t in threading.enumerate() if 'live' in t.name])") == 1


def test_a_panel_lives_on_a_page_too_busy_to_load_its_code_at_once(tmp_path, browser):
    lab_with(tmp_path, LIVE)
    with open_lab(tmp_path, browser) as lab:
        lab.page.add_init_script("""
            const timeout = AbortSignal.timeout;
            AbortSignal.timeout = () => timeout.call(AbortSignal, 0);  // as if 2 s had passed
        """)
        lab.open("lesson.ipynb")
        lab.run_all()
        lab.wait_until_drawn(3)
        press(lab, "Train")
        wait_for_sentence(lab, "0 of 3 networks diverged.")
        assert_silent(lab)


def test_a_bad_value_is_said_in_the_panel(live):
    type_in(live, "epochs", -3)
    press(live, "Train")
    wait_for_status(live, "ValueError: epochs is -3; give a whole number from 1.")
    type_in(live, "epochs", 2)
    press(live, "Train")
    wait_for_status(live, "Done")
    assert_silent(live)


STOPPED = "__import__('nnopt_lab.explorer.live').explorer.live._worker.stopped.is_set()"


def test_running_the_cell_again_ends_the_work_and_leaves_nothing(live):
    comms = live.ask_kernel(COMMS)
    type_in(live, "epochs", 1_000_000)
    press(live, "Train")
    wait_for_points(live, 2)
    live.run_all()
    live.wait_for_cell(2 * len(LIVE))
    assert live.ask_kernel(STOPPED)
    assert live.ask_kernel(COMMS) == comms
    assert_silent(live)


def test_leaving_the_page_ends_the_work(live):
    live.replace_cell(4, "import nnopt_lab.explorer.live as m\nm.SECONDS_BETWEEN_SIGNS = 0.5")
    live.replace_cell(1, LIVE[1])
    live.wait_for_cell(len(LIVE) + 2)
    live.wait_until_drawn(3)
    type_in(live, "epochs", 1_000_000)
    press(live, "Train")
    wait_for_points(live, 2)
    assert not live.ask_kernel(STOPPED)
    live.page.locator(".jp-CodeCell").nth(4).scroll_into_view_if_needed()
    live.page.wait_for_timeout(4000)
    assert not live.ask_kernel(STOPPED)  # looking elsewhere is not leaving
    live.page.keyboard.press("Control+s")
    live.page.wait_for_timeout(500)
    live.page.locator(".lm-TabBar-tab.lm-mod-current .lm-TabBar-tabCloseIcon").last.click()
    wait_until(live, lambda: live.ask_kernel(STOPPED))


EXERCISES = [
    """
from nnopt_lab import exercises
def my_sparsity(weight):
    return ...


exercises.pruning.sparsity.check(my_sparsity)""",
    "exercises.answers()",
]


def test_a_wrong_and_a_right_answer_are_typed_and_judged(tmp_path, browser):
    lab_with(tmp_path, EXERCISES)
    with open_lab(tmp_path, browser) as lab:
        lab.open("lesson.ipynb")
        lab.run_all()
        lab.wait_for_cell(len(EXERCISES))
        feedback = lab.page.locator(".jp-CodeCell").nth(0).locator(".jp-OutputArea-output").last
        assert "Not attempted" in feedback.inner_text()
        for answer, words in (
            ("(weight != 0).float().mean()", "share of weights that are kept"),
            ("weight / no_such_name", "no_such_name"),
            ("(weight == 0).float().mean()", "Right. Sparsity is a share"),
        ):
            lab.replace_cell(0, EXERCISES[0].strip().replace("...", answer))
            lab.page.wait_for_function(
                "words => document.querySelectorAll('.jp-CodeCell')[0].innerText.includes(words)",
                arg=words,
            )
        assert "Traceback" not in lab.page.inner_text(".jp-Notebook")
        assert_silent(lab)


COVERED = [
    """
import plotly.graph_objects as go
from nnopt_lab import exercises
from nnopt_lab.explorer import Explorer, Prediction, Stops
from nnopt_lab.statistics import Findings
def draw(a):
    figure = go.Figure([go.Scatter(y=[0, a])], layout={"title": {"text": f"A line {a}"}})
    return figure, f"It rises by {a}."
choice = Prediction("Which is better?", ["this", "that"], "that", ["It is not.", "It is."])
number = Prediction("How much?", Stops(range(0, 101, 10), unit="%"), 80, "So it was.")""",
    "one = Explorer(draw, predict=choice, shows=Findings({'that is it': True}), a=range(3))\none",
    "two = Explorer(draw, predict=number, a=range(3))\ntwo",
    "one",
]


@pytest.fixture
def covered(tmp_path, browser) -> Iterator[Lab]:
    lab_with(tmp_path, COVERED)
    with open_lab(tmp_path, browser) as lab:
        lab.open("lesson.ipynb")
        lab.run_all()
        lab.wait_for_cell(len(COVERED))
        lab.page.wait_for_function("document.querySelectorAll('.nnopt-lab-cover').length === 3")
        yield lab


def answer(lab: Lab, words: str, cover: int = 0) -> None:
    lab.page.locator(".nnopt-lab-cover").nth(cover).locator(f"button:text-is('{words}')").click()


def told(lab: Lab, cover: int = 0) -> str:
    return lab.page.locator(".nnopt-lab-told").nth(cover).inner_text()


def are_seen(lab: Lab) -> list[bool]:
    """Whether each figure is on the page, at the width of its cell."""
    return [
        figure.is_visible() and figure.bounding_box()["width"] > 500
        for figure in lab.page.locator(".nnopt-lab-figure").all()
    ]


def test_a_cover_hides_figure_controls_sentence_and_findings(covered):
    assert are_seen(covered) == [False] * 3
    page = covered.page
    for hidden in (".noUi-handle", ".nnopt-lab-sentence", ".nnopt-lab-findings"):
        assert page.locator(hidden).count() > 0
        assert not any(part.is_visible() for part in page.locator(hidden).all())
    assert "✓ that is it" not in page.inner_text(".jp-Notebook")
    seen_by_screen_readers = page.get_by_role("slider").all()
    assert len(seen_by_screen_readers) == 1  # the guess of the second question
    page.locator(".nnopt-lab-cover button").first.focus()
    reached = set()
    for _ in range(8):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.className.toString()"))
    assert not any("noUi" in name or "modebar" in name for name in reached)
    assert_accessible(covered)


def test_an_answer_opens_both_views_says_what_was_measured_and_is_kept(covered):
    answer(covered, "this")
    assert are_seen(covered) == [True, False, True]
    assert told(covered).startswith("You said: this. ✗ Not on this run. Measured: that.")
    assert "It is not." in told(covered)
    assert told(covered, 2) == told(covered)
    locked = covered.page.locator(".nnopt-lab-cover button:text-is('that')").first
    locked.click(force=True)
    assert told(covered).startswith("You said: this.")
    covered.page.wait_for_timeout(300)
    kept = covered.ask_kernel("[list(row[:2]) for row in exercises.answers().rows]")
    assert kept == [["Which is better?", "answered"], ["How much?", "not attempted"]]
    covered.page.locator(".jp-OutputArea .noUi-handle").first.press("ArrowRight")
    assert sentences(covered)[0] == "It rises by 1."
    assert_silent(covered)


def test_a_number_is_guessed_on_a_slider_that_starts_in_the_middle(covered):
    cover = covered.page.locator(".nnopt-lab-cover").nth(1)
    assert cover.locator("output").inner_text() == "50 %"
    slider = cover.locator("input[type=range]")
    slider.focus()
    for _ in range(2):
        slider.press("ArrowRight")
    assert slider.get_attribute("aria-valuetext") == "70 %"
    assert are_seen(covered) == [False] * 3  # moving is not answering
    answer(covered, "That is my guess", 1)
    assert are_seen(covered) == [False, True, False]
    assert told(covered, 1).startswith("You said 70 %. Measured: 80 %.")
    assert slider.is_disabled()


def test_a_cover_is_answered_from_the_keyboard(covered):
    covered.page.locator(".nnopt-lab-cover button").first.focus()
    covered.page.keyboard.press("Tab")
    covered.page.keyboard.press("Enter")
    assert told(covered).startswith("You said: that. ✓")
    assert covered.page.evaluate("document.activeElement.textContent") == "that"


def test_waived_then_answered_is_told_apart(covered):
    answer(covered, "Show anyway")
    assert are_seen(covered) == [True, False, True]
    assert told(covered).startswith("Measured: that. You can still answer")
    answer(covered, "that")
    assert told(covered).startswith("After seeing, you said: that. ✓")
    covered.page.wait_for_timeout(300)
    outcomes = covered.ask_kernel("[row[1] for row in exercises.answers().rows]")
    assert outcomes == ["answered after seeing", "not attempted"]


def test_a_cover_opens_with_the_kernel_stopped_and_stays_open_after_a_reload(covered):
    pid = covered.kernel_pid()
    os.kill(pid, signal.SIGSTOP)
    try:
        answer(covered, "that")
        assert are_seen(covered) == [True, False, True]
        assert told(covered).startswith("You said: that. ✓")
    finally:
        os.kill(pid, signal.SIGCONT)
    covered.page.wait_for_timeout(1000)
    covered.page.keyboard.press("Control+s")
    covered.page.wait_for_timeout(1000)
    covered.page.reload()
    covered.wait_for_kernel()
    covered.page.wait_for_function("document.querySelectorAll('.nnopt-lab-cover').length === 3")
    covered.wait_until_drawn(3)
    assert are_seen(covered) == [True, False, True]
    assert told(covered).startswith("You said: that. ✓")


def test_a_cover_opens_while_the_kernel_is_busy_and_with_no_kernel_at_all(covered):
    covered.replace_cell(3, "__import__('time').sleep(3600)")
    covered.page.wait_for_timeout(500)
    answer(covered, "that")
    assert are_seen(covered)[:2] == [True, False]
    os.kill(covered.kernel_pid(), signal.SIGSTOP)
    answer(covered, "Show anyway", 1)
    assert are_seen(covered)[:2] == [True, True]


def test_running_the_cells_again_keeps_the_answer_and_leaves_nothing(covered):
    answer(covered, "that")
    covered.page.wait_for_timeout(500)
    before = covered.ask_kernel(COMMS)
    for count in (2, 3):
        covered.run_all()
        covered.wait_for_cell(count * len(COVERED))
        covered.wait_until_drawn(3)
    assert covered.ask_kernel(COMMS) == before
    assert are_seen(covered) == [True, False, True]
    assert told(covered).startswith("You said: that. ✓")
    assert_silent(covered)


def test_where_the_cover_fails_nothing_is_shown_bare(tmp_path, browser):
    broken = "import nnopt_lab.explorer.prediction as p\np.Cover._esm = 'export default 1 +;'"
    lab_with(tmp_path, [broken, *COVERED])
    with open_lab(tmp_path, browser) as lab:
        lab.open("lesson.ipynb")
        lab.run_all()
        lab.wait_for_cell(1 + len(COVERED))
        lab.page.wait_for_timeout(1500)
        assert not any(are_seen(lab))


def test_all_covers_are_open_where_that_is_asked_for(tmp_path, browser):
    lab_with(tmp_path, COVERED)
    with open_lab(tmp_path, browser, NNOPT_LAB_OPEN="1") as lab:
        lab.open("lesson.ipynb")
        lab.run_all()
        lab.wait_for_cell(len(COVERED))
        lab.wait_until_drawn(3)
        assert are_seen(lab) == [True] * 3
        assert_browser_shows_what_python_has(lab)


def test_an_opened_lesson_shows_of_a_covered_cell_the_question_only(tmp_path, browser):
    path = NOTEBOOKS / "01_pruning.ipynb"
    shutil.copy(path, tmp_path)
    covers = [
        cell.outputs[0].data["text/plain"].splitlines()[0]
        for cell in nbformat.read(path, 4).cells
        if cell.metadata.get("jupyter", {}).get("outputs_hidden")
    ]
    assert covers
    with open_lab(tmp_path, browser) as lab:
        lab.page.set_viewport_size({"width": 1400, "height": 20_000})
        lab.open(path.name)
        lab.page.wait_for_function(
            "n => document.querySelectorAll('.jp-Cell-outputWrapper .jp-Placeholder').length === n",
            arg=len(covers),
        )
        texts = lab.page.locator(".jp-Cell-outputWrapper .jp-Placeholder").all_inner_texts()
        for question in covers:
            assert any(question[:40] in text for text in texts), (question, texts)


def test_the_dark_theme_can_be_read(lesson):
    colour = (
        "() => getComputedStyle(document.querySelector('.nnopt-lab-sentence')).color"
        ".match(/[\\d.]+/g).slice(0, 3).map(Number)"
    )
    assert max(lesson.page.evaluate(colour)) < 100
    lesson.page.click(".lm-MenuBar-itemLabel:text-is('Settings')")
    lesson.page.click(".lm-Menu-itemLabel:text-is('Theme')")
    lesson.page.click(".lm-Menu-itemLabel:text-is('JupyterLab Dark')")
    lesson.page.wait_for_selector("body[data-jp-theme-light=false]", state="attached")
    assert min(lesson.page.evaluate(colour)) > 155
    figure = lesson.page.locator(".nnopt-lab-figure").first.screenshot()
    shades = np.sort(np.asarray(Image.open(io.BytesIO(figure)).convert("L")).ravel())
    assert shades[len(shades) // 2] < 40  # its ground
    assert shades[-len(shades) // 1000] > 120  # its words


def test_an_error_in_the_browser_is_said_in_words(tmp_path, browser):
    lab_with(
        tmp_path,
        [
            *LESSON[:1],
            "e = Explorer(draw, a=[0, 1])\ne.widget.children[-1].bank.value = b'no gzip'\ne",
        ],
    )
    with open_lab(tmp_path, browser) as lab:
        lab.open("lesson.ipynb")
        lab.run_all()
        lab.page.wait_for_selector(".nnopt-lab-trouble:not([hidden])")
        said = lab.page.locator(".nnopt-lab-trouble").inner_text()
        assert "could not be drawn" in said
        assert "Run its cell again" in said


def test_the_first_figure_is_drawn_before_a_later_cell_ends(tmp_path, browser):
    lab_with(tmp_path, [*LESSON[:2], "import time\ntime.sleep(3600)"])
    with open_lab(tmp_path, browser) as lab:
        lab.open("lesson.ipynb")
        lab.run_all()
        lab.wait_until_drawn(1)  # the last cell never ends: what is drawn is drawn before
        slider = lab.page.locator(".jp-OutputArea .noUi-handle").first
        slider.focus()
        slider.press("ArrowRight")
        assert sentences(lab) == ["It rises by 1."]


def test_the_stop_button_ends_training_and_the_kernel_lives(tmp_path, browser):
    train = """
from nnopt_lab.data import mnist1d
from nnopt_lab.explorer import Progress
from nnopt_lab.networks import mlp
from nnopt_lab.grid import grid
from nnopt_lab.training import n_steps, train
runs = grid(seed=range(8))
data = mnist1d()
train(mlp([40, 64, 10], runs), data, runs, epochs=100_000, lr=0.05,
      watch=[Progress("eight networks", n_steps(data, 100_000))])"""
    lab_with(tmp_path, [train, "40 + 2"])
    with open_lab(tmp_path, browser) as lab:
        lab.open("lesson.ipynb")
        lab.run_all()
        lab.page.get_by_role("progressbar", name="eight networks").wait_for()
        lab.page.wait_for_timeout(500)
        lab.page.click(
            "[data-command='notebook:interrupt-kernel'], [title*='Interrupt the kernel']"
        )
        lab.page.wait_for_selector(".jp-OutputArea-output[data-mime-type*=stderr]", timeout=5000)
        assert lab.ask_kernel("40 + 2") == 42


def test_make_lab_prints_the_address_of_the_first_page_where_there_is_no_display():
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "MAKEFLAGS")}
    process = subprocess.Popen(
        ["make", "lab", "LAB_OPTIONS=--port=0 --port-retries=50"],
        cwd=NOTEBOOKS.parent, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        env=environment, start_new_session=True,
    )  # fmt: skip
    deadline = threading.Timer(60, os.killpg, (process.pid, signal.SIGKILL))
    deadline.start()
    try:
        log = ""
        for line in process.stderr:
            log += line
            if "running at" in log and "/lab/tree/notebooks/00_start_here.ipynb?token=" in line:
                break
        assert "http://127.0.0.1" in log or "http://localhost" in log, log
        assert "00_start_here.ipynb?token=" in line
    finally:
        deadline.cancel()
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stderr.close()
