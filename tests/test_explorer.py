import datetime
import decimal
import enum
import gc
import gzip
import json
import time
from types import SimpleNamespace

from nnopt_lab.explorer import (
    Explorer,
    Live,
    Prediction,
    Progress,
    Stops,
    bank,
    cells,
    explorer,
    live,
    prediction,
    predictions,
    ranges,
)

import ipywidgets
import numpy as np
import plotly.graph_objects as go
import pytest

X = np.arange(5.0)


def draw(delta, kind="line"):
    if kind == "bar":
        return go.Figure(go.Bar(x=["a", "b"], y=[delta, 2 * delta]))
    return go.Figure([go.Scatter(x=X, y=delta * X), go.Scatter(x=X, y=X)])


def unpack(packed: bytes) -> list:
    """Read a bank as the browser does."""
    content = json.loads(gzip.decompress(packed))

    def build(i):
        node = content["nodes"][i]
        if "v" in node:
            return node["v"]
        if "l" in node:
            return [build(child) for child in node["l"]]
        return {key: build(child) for key, child in node["d"].items()}

    return [bank.with_arrays(build(frame)) for frame in content["frames"]]


def test_bank_gives_back_what_was_packed():
    frames = [
        {"a": np.arange(6.0).reshape(2, 3), "b": ["x", None, True, 1, 1.5], "c": {"d": []}},
        {"a": np.arange(3), "b": [{"e": np.array([1.0, np.nan])}], "c": float("nan")},
        {"a": np.array(["p", "q"]), "b": np.float64(2.5), "c": np.array([True, False])},
    ]
    first, second, third = unpack(bank.pack(frames))
    np.testing.assert_array_equal(first["a"], frames[0]["a"])
    assert first["b"] == ["x", None, True, 1, 1.5]
    assert first["c"] == {"d": []}
    assert second["a"].tolist() == [0, 1, 2]
    assert second["b"][0]["e"][0] == 1
    assert np.isnan(second["b"][0]["e"][1])
    assert second["c"] is None
    assert third == {"a": ["p", "q"], "b": 2.5, "c": [True, False]}


def test_what_does_not_change_travels_once():
    same = np.random.default_rng(0).normal(size=10_000)
    one = bank.pack([{"x": same, "y": 0}])
    many = bank.pack([{"x": same, "y": i} for i in range(100)])
    assert len(many) < 1.1 * len(one)


def test_controls_are_chosen_by_what_the_stops_are():
    def anything(**_):
        return go.Figure()

    words = [f"a rather long name {i}" for i in range(9)]
    stops = {"n": [1, 2], "word": ["a", "b"], "many": words, "flag": [True, False]}
    controls = Explorer(anything, **stops).controls
    assert isinstance(controls["n"], ipywidgets.SelectionSlider)
    assert isinstance(controls["word"], ipywidgets.ToggleButtons)
    assert isinstance(controls["many"], ipywidgets.Dropdown)
    assert isinstance(controls["flag"], ipywidgets.Checkbox)


def test_figure_and_values_follow_the_controls():
    shown = Explorer(
        lambda delta, kind: (draw(delta, kind), f"{kind} at {delta}"),
        delta=Stops(np.array([0.1, 0.2]), label="decay", unit="per step", start=0.2),
        kind=["line", "bar"],
    )  # fmt: skip
    assert shown.values == {"delta": 0.2, "kind": "line"}
    assert shown.controls["delta"].options[1] == ("0.2 per step", 0.2)
    np.testing.assert_allclose(shown.figure.data[0].y, 0.2 * X)
    shown.controls["kind"].value = "bar"
    shown.controls["delta"].value = 0.1
    assert shown.values == {"delta": 0.1, "kind": "bar"}
    assert len(shown.figure.data) == 1
    assert list(shown.figure.data[0].y) == [0.1, 0.2]
    assert shown.sentence == "bar at 0.1"
    with pytest.raises(Exception, match="Invalid selection"):
        shown.controls["delta"].value = 0.15


def test_figure_is_a_copy():
    shown = Explorer(lambda: go.Figure(go.Scatter(y=[1, 2])))
    shown.figure.data[0].y = [5, 5]
    assert list(shown.figure.data[0].y) == [1, 2]


def test_a_control_may_be_called_draw():
    assert Explorer(lambda draw: go.Figure(), draw=[1, 2]).values == {"draw": 1}


def test_text_is_title_and_controls():
    shown = Explorer(
        lambda **_: go.Figure(layout_title_text="<b>Loss</b><br>over epochs"),
        delta=Stops([0, 0.5, 1], "decay δ", "per step"), kind=["a", "b"], log=[False, True],
    )  # fmt: skip
    assert repr(shown) == (
        "Loss: over epochs\n  decay δ: 0 per step to 1 per step, 3 stops\n  kind: a | b\n"
        "  log: off or on"
    )
    data, metadata = shown._repr_mimebundle_()
    assert metadata == {"covered": False}
    assert data["text/plain"] == repr(shown)
    assert "application/vnd.jupyter.widget-view+json" in data


def test_a_stored_notebook_gets_a_picture_and_no_view(monkeypatch, chromium):
    monkeypatch.setenv("NNOPT_LAB_PNG", "1")
    monkeypatch.setenv("BROWSER_PATH", chromium)
    sentence = "A sentence. " * 30
    shown = Explorer(lambda delta: (draw(delta), sentence), delta=[1, 2], shows=Said("found"))
    data, _ = shown._repr_mimebundle_()
    assert data.keys() == {"text/plain", "image/png"}
    assert data["image/png"].startswith(b"\x89PNG")


def test_axes_keep_one_range_over_all_stops():
    shown = Explorer(draw, delta=[1, 10])
    low, high = included(shown._frames[0]["figure"]["layout"]["yaxis"])
    assert (low, high) == included(shown._frames[1]["figure"]["layout"]["yaxis"])
    assert low < 0
    assert high > 40


def included(axis: dict) -> tuple[float, float]:
    return tuple(axis["autorangeoptions"]["include"][-2:])


def test_a_range_that_draw_sets_is_left_alone():
    shown = Explorer(lambda n: draw(n).update_yaxes(range=[0, n]), n=[1, 2])
    assert shown._frames[1]["figure"]["layout"]["yaxis"]["range"] == [0, 2]


def share(*figures: go.Figure) -> list[dict]:
    plain = [bank.with_arrays(figure.to_plotly_json()) for figure in figures]
    ranges.share(plain)
    return [figure["layout"] for figure in plain]


def test_ranges_of_log_axes_are_in_decades_and_apart_from_linear_ones():
    layouts = [{"xaxis_type": kind} for kind in ("log", "log", "linear", "linear")]
    lines = [go.Scatter(x=[1.0, end], y=[0.0, 1.0]) for end in (10, 100, 10, 100)]
    log, _, linear, _ = share(*map(go.Figure, lines, layouts))
    assert log["xaxis"]["range"] == pytest.approx([-0.16, 2.16])
    assert included(linear["xaxis"]) == pytest.approx([1 - 7.92, 100 + 7.92])


@pytest.mark.parametrize(
    ("traces", "layout", "axis", "ends"),
    [
        ([go.Bar(x=[1, 2], y=[5, 6], error_y={"array": [3, 4]})], {}, "yaxis", (0, 10.8)),
        ([go.Bar(x=[1, 2], y=[5, 10], width=[1, 1])], {}, "xaxis", (0.5, 2.5)),
        ([go.Bar(x=[-4, 6], y=[1, 2], orientation="h")], {}, "xaxis", (-4.8, 6.8)),
        ([go.Bar(x=[-4, 2], y=[1, 3], orientation="h")], {}, "yaxis", (0, 4)),
        ([go.Bar(y=[1, 2]), go.Bar(y=[9, -4])], {"barmode": "stack"}, "yaxis", (-5.12, 11.12)),
        ([go.Bar(y=[1, 2]), go.Bar(y=[6, -4])], {"barmode": "group"}, "yaxis", (-4.8, 6.8)),
        ([go.Scatter(y=[7, 8, 9])], {}, "xaxis", (-0.16, 2.16)),
        ([go.Scatter(y=[5], error_y={"array": [2], "arrayminus": [3]})], {}, "yaxis", (1.6, 7.4)),
        ([go.Scatter(y=[2, 7], fill="tozeroy")], {}, "yaxis", (0, 7.56)),
        ([go.Scatter(y=[2, 7])], {"yaxis_rangemode": "tozero"}, "yaxis", (0, 7.56)),
        ([go.Scatter(y=[0, 10])], {"yaxis_rangemode": "tozero"}, "yaxis", (0, 10.8)),
        ([go.Scatter(y=[0, 10]), go.Scatter(y=[99], visible=False)], {}, "yaxis", (-0.8, 10.8)),
        ([go.Scatter(y=[1])], {"shapes": [{"y0": 0, "y1": 5, "x0": 0, "x1": 1}]}, "yaxis", (0, 5)),
        ([go.Scatter(y=[0])], {"annotations": [{"y": 10, "x": 0}]}, "yaxis", (-0.8, 10.8)),
    ],
)  # fmt: skip
def test_an_axis_keeps_room_for_what_another_figure_draws(traces, layout, axis, ends):
    middle = sum(ends) / 2 + np.array([0, 0.001])
    line = go.Figure(go.Scatter(x=middle, y=middle))
    for figure in share(go.Figure(traces, layout), line):
        assert included(figure[axis]) == pytest.approx(ends)


@pytest.mark.parametrize(
    ("trace", "layout"),
    [
        (go.Histogram(y=[1, 2, 2]), {}),
        (go.Scatter(y=[1, 2], stackgroup="one"), {}),
        (go.Scatter(y=["8", "16"]), {}),
        (go.Scatter(y=["2024-01-01", "2024-01-02"]), {}),
        (go.Bar(y=[[1, 1, 2], [1, 2, 1]], x=[1, 2, 3], orientation="h"), {}),
        (go.Scatter(y=[8, 16]), {"yaxis_type": "category"}),
        (go.Scatter(y=[8, 16], marker_size=90), {"yaxis_type": "log"}),
        (go.Bar(y=[8, 16]), {"yaxis_type": "log"}),
        (go.Scatter(y=[8, 16], error_y={"type": "sqrt"}), {"yaxis_type": "log"}),
        (
            go.Scatter(y=[8, 16]),
            {"yaxis_type": "log", "shapes": [{"type": "path", "path": "M0,1"}]},
        ),
        (go.Scatter(y=[8, 16]), {"yaxis_type": "log", "yaxis_rangemode": "tozero"}),
        (go.Scatter(y=[8, 16]), {"template": {"layout": {"yaxis": {"range": [0, 9]}}}}),
        (go.Scatter(y=[8, 16]), {"yaxis_range": [0, None]}),
        (go.Heatmap(), {}),
        (go.Heatmap(z=np.ones((2, 3))), {}),
        (go.Scatter(y=[5, 500]), {}),
    ],
)
def test_an_axis_that_is_not_known_for_certain_is_left_to_plotly(trace, layout):
    for figure in share(go.Figure(trace, layout), go.Figure(go.Scatter(y=[5, 500]), layout)):
        assert "autorangeoptions" not in figure.get("yaxis", {})
        assert figure.get("yaxis", {}).get("range") == layout.get("yaxis_range")


def test_too_many_stops_are_refused_before_any_is_drawn():
    drawn = []
    with pytest.raises(ValueError, match=r"50 × 41 stops are 2050 figures; at most 2000"):
        Explorer(lambda a, b: drawn.append(a), a=range(50), b=range(41))
    assert not drawn


def test_too_many_bytes_are_refused(monkeypatch):
    monkeypatch.setattr(explorer, "MAXIMUM_BYTES", 10_000)
    noise = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"need 0\.0\d+ MB to be sent.*that of n=3\. Draw fewer"):
        Explorer(lambda n: go.Figure(go.Scatter(y=noise.normal(size=2000 * n))), n=[1, 3, 2])


def test_no_more_is_drawn_once_the_memory_is_too_large(monkeypatch):
    monkeypatch.setattr(explorer, "MAXIMUM_MEMORY", 1_000_000)
    drawn = []

    def large(n: int) -> go.Figure:
        drawn.append(n)
        return go.Figure(go.Heatmap(z=np.zeros((100, 300 if n == 2 else 100))))

    with pytest.raises(ValueError, match=r"need 1\.\d+ MB in memory.*0\.2\d+ MB, is that of n=2"):
        Explorer(large, n=range(100))
    assert len(drawn) < 20


def test_a_click_can_choose_only_what_has_a_control():
    def cells(delta: int, name: str) -> go.Figure:
        return go.Figure({"type": "heatmap", "z": [[delta]], "meta": {"x": name}})

    assert Explorer(lambda delta: cells(delta, "delta"), delta=[1, 2])
    with pytest.raises(ValueError, match=r"\['alpha'\]; the controls are \['delta'\]"):
        Explorer(lambda delta: cells(delta, "alpha"), delta=[1, 2])


def test_a_draw_that_fails_names_the_stop():
    with pytest.raises(RuntimeError, match=r"draw failed at delta=0: ZeroDivisionError.*by itself"):
        Explorer(lambda delta: go.Figure(go.Scatter(y=[1 / delta])), delta=[1, 0])
    with pytest.raises(RuntimeError, match="draw failed at its only stop: ValueError: no"):
        Explorer(lambda: (_ for _ in ()).throw(ValueError("no")))


def test_what_draw_must_return():
    with pytest.raises(TypeError, match=r"draw returned NoneType at n=1; it must return a plotly"):
        Explorer(lambda n: None, n=[1])
    with pytest.raises(TypeError, match=r"draw returned Figure and int at n=1; .* its sentence"):
        Explorer(lambda n: (go.Figure(), n), n=[1])


class Said:
    """What can stand below a figure."""

    def __init__(self, words: str, number: int = 1) -> None:
        self.words, self.view = words, f"<ul><li>{words} &amp; more</li></ul>"
        self.metadata = {"findings": [{"number": number}]}

    def __repr__(self) -> str:
        return self.words


def question(measured: float = 80) -> Prediction:
    return Prediction(
        "How much is left?", {"half": 50, "nearly all": 90}, measured, ["too little", "so it is"],
        words=f"{measured} %",
    )  # fmt: skip


def covered(**more) -> Explorer:
    return Explorer(draw, predict=question(), delta=[1, 2], **more)


@pytest.fixture(autouse=True)
def nothing_predicted(monkeypatch):
    monkeypatch.setattr(prediction, "_kept", {})
    monkeypatch.delenv("NNOPT_LAB_OPEN", raising=False)


def test_a_prediction_hides_all_that_belongs_to_its_figure_until_it_is_answered():
    shown = covered(shows=Said("found"))
    cover, box = shown.widget.children
    assert box.layout.display == "none"
    assert shown.controls["delta"] in box.children
    assert any("found" in getattr(part, "value", "") for part in box.children[1:])
    assert cover.behind is box.layout
    assert cover.right == 1
    cover.set_trait("answer", 0)
    cover.is_open = True
    assert box.layout.display is None
    assert predictions() == [("How much is left?", "answered", "half; measured: 80 %")]


def test_waived_and_answered_after_seeing_are_told_apart():
    cover, _ = covered().widget.children
    assert predictions() == [("How much is left?", "not attempted", "")]
    cover.is_open = True
    assert predictions() == [("How much is left?", "waived", "measured: 80 %")]
    cover.answer, cover.is_after = 1, True
    assert predictions()[0][1:] == ("answered after seeing", "nearly all; measured: 80 %")


def test_running_the_cell_again_keeps_the_answer():
    first = covered()
    first.widget.children[0].answer, first.widget.children[0].is_open = 0, True
    first.close()
    cover, box = covered().widget.children
    assert (cover.answer, cover.is_open, box.layout.display) == (0, True, None)


def test_all_covers_can_be_open_from_the_start(monkeypatch):
    monkeypatch.setenv("NNOPT_LAB_OPEN", "1")
    cover, box = covered().widget.children
    assert cover.is_open
    assert box.layout.display is None
    assert cover.outcome == "not attempted"


def test_the_text_begins_with_the_question_and_tells_neither_answer_nor_number():
    texts = {
        repr(Explorer(draw, predict=question(m), delta=[1, 2], shows=Said("found")))
        for m in (40, 85)
    }
    (text,) = texts
    assert text.startswith("How much is left?\n  half | nearly all\n  ")
    assert text.endswith("found")
    assert "40" not in text
    assert "so it is" not in text
    _, metadata = covered(shows=[Said("a", 1), Said("b", 2)])._repr_mimebundle_()
    assert metadata == {"covered": True, "findings": [{"number": 1}, {"number": 2}]}


def test_the_right_answer_is_computed_from_what_was_measured():
    assert question(60).right == 0
    assert question(75).right == 1
    assert Prediction("Which?", ["a", "b"], "b", ["no", "yes"]).right == 1
    number = Prediction("How much?", Stops([0, 50, 100], unit="%"), 40.0, "since")
    assert (number.is_number, number.right, number.measured) == (True, 1, "40 %")
    assert number.describe() == "How much?\n  a number from 0 % to 100 %"


def test_bad_predictions_are_refused():
    with pytest.raises(ValueError, match="'c' was measured, and is none of"):
        Prediction("Which?", ["a", "b"], "c", ["no", "yes"])
    with pytest.raises(ValueError, match="2 answers and 1 reasons; give a reason for each"):
        Prediction("Which?", ["a", "b"], "a", ["no"])
    assert Prediction("Which?", ["a", "b"], "a", "one for all").reasons == ["one for all"] * 2


def test_bad_stops_are_refused():
    with pytest.raises(ValueError, match="one or more values"):
        Stops([])
    with pytest.raises(ValueError, match="each once"):
        Stops([1, 1.0])
    with pytest.raises(ValueError, match="all numbers, all words"):
        Stops([1, "a"])
    with pytest.raises(ValueError, match="all numbers, all words"):
        Stops([None])
    with pytest.raises(ValueError, match="all numbers, all words"):
        Stops([[1], [2]])
    with pytest.raises(ValueError, match="both False and True"):
        Stops([True])
    with pytest.raises(ValueError, match="start is 3"):
        Stops([1, 2], start=3)


def test_numbers_are_short_but_told_apart():
    assert [label for label, _ in Stops([1 / 3, 1]).control("n").options] == ["0.3333", "1"]
    close = Stops([12000, 12001]).control("n")
    assert [label for label, _ in close.options] == ["12000", "12001"]


def test_closing_closes_every_part():
    shown = Explorer(draw, delta=[1, 2], kind=["line", "bar"], predict=question())
    parts = [shown.widget, *shown.widget.children, *shown.widget.children[1].children]
    parts += [shown.controls["delta"].style, shown.widget.layout]
    assert all(part.comm is not None for part in parts)
    shown.close()
    assert all(part.comm is None for part in parts)


def test_an_explorer_that_nobody_holds_closes_itself():
    shown = Explorer(draw, delta=[1, 2])
    widget = shown._widget
    del shown
    assert widget.comm is None


def test_a_widget_in_a_box_keeps_its_explorer():
    box = ipywidgets.HBox([Explorer(draw, delta=[1, 2]).widget for _ in range(2)])
    gc.collect()
    assert all(child.comm is not None for child in box.children)
    assert box.children[0].explorer.values == {"delta": 1}


def test_what_is_closed_gives_up_its_frames_and_says_so():
    shown = Explorer(draw, delta=[1, 2])
    text = repr(shown)
    shown.close()
    assert shown._frames == []
    assert repr(shown) == text
    for use in (lambda: shown.figure, lambda: shown.sentence, shown._repr_mimebundle_):
        with pytest.raises(RuntimeError, match="was closed; run the cell"):
            use()


class Events:
    """IPython's events, by hand."""

    def __init__(self) -> None:
        self.called = {}

    def register(self, name, function):
        self.called[name] = function

    def run(self, cell_id, *shown):
        info = type("Info", (), {"cell_id": cell_id})
        self.called["pre_run_cell"](info)
        for item in shown:
            cells.shown(item)
        self.called["post_run_cell"](None)


def test_running_a_cell_again_closes_what_it_showed(monkeypatch):
    events = Events()
    monkeypatch.setattr(cells, "_cells", cells._Cells(events))
    first, second = Explorer(draw, delta=[1]), Explorer(draw, delta=[1])
    events.run("a", first)
    events.run("b", first)
    assert first.widget.comm is not None
    events.run("a", second)  # first still stands in cell b
    assert first.widget.comm is not None
    events.run("b", second)
    assert first.widget.comm is None
    assert second.widget.comm is not None
    events.run("a", second)
    assert second.widget.comm is not None


def test_what_a_callback_shows_belongs_to_its_widget(monkeypatch):
    events = Events()
    monkeypatch.setattr(cells, "_cells", cells._Cells(events))
    shell = SimpleNamespace(events=events)
    monkeypatch.setattr(cells, "get_ipython", lambda: shell)

    def click(n: int, *shown: Explorer) -> None:
        shell.parent_header = {"header": {"msg_id": f"{n}"}, "content": {"comm_id": "a button"}}
        for item in shown:
            cells.shown(item)

    of_cell, *clicked = (Explorer(draw, delta=[1]) for _ in range(4))
    events.run("a", of_cell)
    click(1, clicked[0], clicked[1])
    events.run("b")
    events.run("b")
    assert all(item.close.alive for item in (of_cell, clicked[0], clicked[1]))
    click(2, clicked[2])
    assert [item.close.alive for item in (of_cell, *clicked)] == [True, False, False, True]
    shell.parent_header = {"header": {"msg_id": "3"}, "metadata": {"cellId": "a"}}
    late = Explorer(draw, delta=[1])
    cells.shown(late)  # by what cell a left running
    assert of_cell.close.alive
    events.run("a")
    assert [item.close.alive for item in (of_cell, late)] == [False, False]


def test_without_cell_ids_nothing_is_closed(monkeypatch):
    events = Events()
    monkeypatch.setattr(cells, "_cells", cells._Cells(events))
    first = Explorer(draw, delta=[1])
    events.run(None, first)
    events.run(None)
    assert first.widget.comm is not None


def test_progress_moves_and_closes(capsys):
    progress = Progress("eight networks", 3)
    bar = progress._bar
    progress(1)
    assert bar.value.startswith("<label")
    assert 'eight networks <progress value="0.333" max="1"' in bar.value
    said = []
    progress._shown = SimpleNamespace(update=lambda data, raw: said.append(data))
    progress(3)
    progress(3)
    assert bar.comm is None
    assert said == [{"text/plain": "eight networks: 3 steps each"}]  # stays without a kernel
    assert repr(progress) == "eight networks: 3 steps each"
    assert "eight networks" in capsys.readouterr().out
    with pytest.raises(ValueError, match="n_steps is 0"):
        Progress("none", 0)
    assert Progress("one", np.int64(1)).n_steps == 1


def test_not_a_number_travels_as_null_wherever_it_stands():
    frames = [{"z": [[1.0, float("nan")], [2, 3]], "y": np.array([1, None, np.nan], object)}]
    (frame,) = unpack(bank.pack(frames))
    assert frame == {"z": [[1.0, None], [2, 3]], "y": [1, None, None]}


def test_a_closed_explorer_says_so():
    shown = Explorer(draw, delta=[1])
    shown.close()
    with pytest.raises(RuntimeError, match="run the cell that makes it"):
        shown._repr_mimebundle_()


def curves_of(results):
    return go.Figure([go.Scatter(y=y, name=name) for name, y in results.items()])


def wait_for(panel: Live, words: str) -> None:
    deadline = time.monotonic() + 10
    while words not in panel._status.value:
        assert time.monotonic() < deadline, panel._status.value
        time.sleep(0.01)


def growing(report, stop, a, n):
    """Report n times, or until it is stopped."""
    if a < 0:
        raise ValueError(f"a is {a}; give <numbers> from 0.")
    for i in range(n):
        if stop():
            return f"{i} of {n}"
        report([a] * (i + 1), (i + 1) / n)
        time.sleep(0.01)
    return f"all {n}"


def test_live_runs_in_a_thread_and_keeps_the_last_runs():
    panel = Live(growing, curves_of, a=1.0, n=2)
    assert panel.results == {}
    assert len(panel.figure.data) == 0
    for a in range(6):
        panel.controls["a"].value = f"{a}"
        panel.train()
        wait_for(panel, "Done.")
        panel._say("")
    assert list(panel.results) == [f"a {a}, n 2" for a in (2, 3, 4, 5)]
    assert [list(line.y) for line in panel.figure.data] == [[a, a] for a in (2, 3, 4, 5)]
    assert panel.sentence == "all 2"
    assert 'value="1.000"' in panel._bar.value
    assert panel._stop.disabled


def test_live_says_errors_and_goes_on():
    panel = Live(growing, curves_of, a=-1.0, n=2)
    panel.train()
    wait_for(panel, "ValueError: a is -1.0; give &lt;numbers&gt; from 0.")
    panel.controls["a"].value = "1"
    panel.train()
    wait_for(panel, "Done.")


def test_live_stops_when_asked_and_for_a_newer_run_in_any_panel():
    one, other = (Live(growing, curves_of, a=1.0, n=1_000_000) for _ in range(2))
    one.train()
    wait_for(one, "Training.")
    one.stop()
    wait_for(one, "Stopped at")
    one.train()
    wait_for(one, "Training.")
    other.train()
    wait_for(one, "Stopped at")
    wait_for(other, "Training.")
    other.close()
    deadline = time.monotonic() + 10
    while not other._stop.disabled:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_live_stops_when_its_page_gives_no_sign(monkeypatch):
    monkeypatch.setattr(live, "SECONDS_BETWEEN_SIGNS", 0.02)
    panel = Live(growing, curves_of, a=1.0, n=1_000_000)
    panel._see()
    panel.train()
    wait_for(panel, "Stopped at")


def test_a_draw_that_fails_spoils_no_later_run():
    def fussy(results):
        if any(name.startswith("a -") for name in results):
            raise ZeroDivisionError("a broke")
        return curves_of(results)

    panel = Live(lambda report, stop, a: report([a], 1) or "said", fussy, a=-1.0)
    for a, words in ((-1.0, "ZeroDivisionError: a broke"), (1.0, "Done.")):
        panel.controls["a"].value = f"{a}"
        panel.train()
        wait_for(panel, words)
    assert [*panel.results] == ["a 1"]


def test_an_interrupt_within_a_run_is_said():
    def interrupted(report, stop, a):
        raise KeyboardInterrupt("now")

    panel = Live(interrupted, curves_of, a=1.0)
    panel.train()
    wait_for(panel, "KeyboardInterrupt: now")


@pytest.mark.parametrize(
    ("name", "typed", "words"),
    [
        ("n", "2.7", "n is &#x27;2.7&#x27;; type a whole number, such as 3."),
        ("n", "1e3", "n is &#x27;1e3&#x27;; type a whole number"),
        ("a", "0,5", "a is &#x27;0,5&#x27;; type a number, such as 0.5."),
        ("a", "", "a is &#x27;&#x27;; type a number"),
    ],
)
def test_what_is_typed_is_read_as_it_stands_or_refused(name, typed, words):
    panel = Live(growing, curves_of, a=1.0, n=2)
    panel.controls[name].value = typed
    panel.train()
    assert words in panel._status.value
    assert not panel.results
    assert typed in repr(panel)


def test_live_takes_numbers_and_stops_only():
    panel = Live(growing, curves_of, a=1.0, n=2, rule=Stops(["p", "q"]))
    assert panel.values == {"a": 1.0, "n": 2, "rule": "p"}
    assert repr(panel).startswith("Train live: a 1.0, n 2, rule p")
    assert Live(growing, curves_of, a=np.float64(0.1), n=np.int64(2)).values == {"a": 0.1, "n": 2}
    for wrong in ("text", True, None):
        with pytest.raises(TypeError, match="give a whole number, a float, or Stops"):
            Live(growing, curves_of, a=wrong)
    with pytest.raises(TypeError, match="draw returned NoneType"):
        Live(growing, lambda results: None, a=1.0)
    silent = Live(lambda report, stop, a: None, curves_of, a=1.0)
    silent.train()
    wait_for(silent, "TypeError: run returned NoneType; it must return the sentence")


@pytest.mark.parametrize(
    "values",
    [
        1.7e9 + 10 * np.arange(20.0),
        1.7e9 + 200 * np.arange(20.0),
        1 + 1e-9 * np.arange(9),
        np.array([0.1]),
        np.array([np.nan, 1.5, np.inf]),
        np.array([np.nan]),
    ],
)
def test_floats_keep_as_many_bits_as_tell_them_apart(values):
    (found,) = unpack(bank.pack([{"x": values}]))
    finite = values[np.isfinite(values)]
    kept = np.asarray(found["x"], dtype=float)[np.isfinite(values)]
    assert np.abs(kept - finite).max(initial=0) <= 1e-4 * np.ptp(finite) if len(finite) else True
    assert np.unique(kept).size == finite.size


def test_most_floats_travel_in_four_bytes():
    values = np.linspace(0, 1, 1000)
    assert len(bank.pack([{"x": values}])) < len(bank.pack([{"x": 1e9 + values}]))


@pytest.mark.parametrize(
    "values",
    [
        [datetime.datetime(2024, 1, 1), datetime.datetime(2024, 1, 2)],
        np.array(["2024-01-01", "2024-01-02"], dtype="M8[D]"),
        [decimal.Decimal("1.5"), decimal.Decimal(2)],
        [datetime.date(2024, 1, 1), None],
    ],
)
def test_whatever_plotly_sends_is_sent(values):
    alone = json.loads(go.Figure(go.Scatter(x=values, y=[1, 2])).to_json())
    shown = Explorer(lambda: go.Figure(go.Scatter(x=values, y=[1, 2])))
    assert shown._frame["figure"]["data"][0]["x"] == alone["data"][0]["x"]


def test_what_plotly_cannot_send_is_named_with_its_stop():
    def draw(a):
        return go.Figure(go.Scatter(y=[1, complex(a)] if a else [1]))

    with pytest.raises(TypeError, match=r"the figure at a=1 holds what plotly cannot send"):
        Explorer(draw, a=[0, 1])


def test_an_animation_is_refused():
    moving = go.Figure(go.Scatter(y=[1]), frames=[go.Frame(data=go.Scatter(y=[2]))])
    with pytest.raises(ValueError, match="holds 1 frames of an animation, which would not play"):
        Explorer(lambda: moving)


class Rule(enum.StrEnum):
    FIRST = "by size"
    SECOND = "at random"


def test_stops_say_what_they_are():
    assert Stops([2**60, 2**60 + 1]).words(2**60 + 1) == str(2**60 + 1)
    close = Stops([0.3, 0.1 + 0.2])
    assert [close.words(value) for value in close.values] == ["0.3", "0.30000000000000004"]
    assert Stops(Rule).values == ("by size", "at random")
    for bad in (5, "line"):
        with pytest.raises(
            ValueError, match=f"control 'kind': the stops are {bad!r}; give several"
        ):
            Explorer(lambda kind: go.Figure(), kind=bad)
    with pytest.raises(ValueError, match="each once"):
        Stops(["a", "a "])
