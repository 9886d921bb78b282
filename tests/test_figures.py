from nnopt_lab import figures
from nnopt_lab.figures import theme

import numpy as np
import pytest


def contrast(colour: str, background: str = "#FFFFFF") -> float:
    """Contrast ratio as the web's guidelines (WCAG 2) define it."""

    def luminance(text: str) -> float:
        channels = np.array([int(text[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        bright = ((channels + 0.055) / 1.055) ** 2.4
        linear = np.where(channels <= 0.04045, channels / 12.92, bright)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    high, low = sorted((luminance(colour), luminance(background)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_no_line_needs_its_colour_to_be_told_apart():
    looks = list(zip(theme.DASHES, theme.SYMBOLS, strict=True))
    assert len(set(looks)) == len(looks) == len(theme.COLOURS)


def test_text_can_be_read():
    assert contrast(theme.TEMPLATE.layout.font.color) > 7
    assert contrast(theme.GREY) > 4.5


def test_a_band_spans_the_interval():
    band, line = theme.line([1, 2], [10, 20], "a", 0, [1, 2])
    assert max(band["y"]) == 22
    assert min(band["y"]) == 9
    assert list(line["y"]) == [10, 20]


def test_filters_leave_pruned_weights_white():
    weight = np.array([[0.0, 0.5], [-0.5, 0.0]])
    drawn = figures.pruning.filters({"pruned": weight, "retrained": weight}, {"dense": (62.5, 1)})
    assert np.isnan(drawn.data[0].z).tolist() == [[True, False], [False, True]]
    assert list(drawn.data[2].y) == [62.5]
    assert list(drawn.data[2].error_y.array) == [1]


def test_histogram_counts_every_weight_once():
    weights = np.random.default_rng(0).normal(0, 0.4, 1000)
    curve = {key: np.linspace(0, 0.5, 6) for key in ("threshold", "kept", "accuracy", "half_width")}
    for threshold in (0.02, 0.06, 0.1):
        drawn = figures.pruning.histogram(weights, threshold, curve, "threshold")
        counts = {bars.name: sum(bars.y) for bars in drawn.data if bars.type == "bar"}
        assert counts["pruned"] == (np.abs(weights) < threshold).sum()
        assert counts["kept"] + counts["pruned"] == 1000


def test_masks_say_what_each_layer_keeps():
    drawn = figures.pruning.masks({"first": np.eye(4, dtype=bool)})
    assert "25.0 % kept" in drawn.layout.annotations[0].text


def test_against_kept_goes_from_all_to_few_on_a_log_axis():
    curves = {"magnitude": ([0.0, 0.99], [60, 30], [1, 2]), "no band": ([0.5], [7])}
    drawn = figures.pruning.against_kept(
        curves, chosen=0.99, title="t", y="accuracy (%)", dense=(60, 1)
    )
    assert drawn.layout.xaxis.type == "log"
    left, right = drawn.layout.xaxis.range
    assert left > 2 > 0 > right  # decades of percent
    marked, reference = drawn.layout.shapes
    assert marked.x0 == marked.x1 == pytest.approx(1)
    assert reference.y0 == reference.y1 == 57
    lines = {trace.name: trace for trace in drawn.data if trace.name}
    np.testing.assert_allclose(lines["magnitude"].x, [100, 1])
    assert list(lines["no band"].y) == [7]
    assert list(lines["dense"].x) == [100]
    assert len(drawn.data) == 5


def test_curves_have_styles_of_their_own_and_a_mark():
    drawn = theme.curves(
        {"a": ([1, 2], [3, 4]), "b": ([1, 2], [5, 6])}, title="t", x="x", y="y", chosen=2
    )
    one, other = drawn.data
    assert one.line.dash != other.line.dash
    assert drawn.layout.shapes[0].x0 == 2


def test_intervals_stand_in_rows_from_the_top():
    drawn = theme.intervals({"first": (10, 1), "second": (20, 2)}, title="t", x="points")
    (dots,) = drawn.data
    assert list(dots.y) == ["first", "second"]
    assert list(dots.error_x.array) == [1, 2]
    bottom, top = drawn.layout.yaxis.range
    assert bottom > 1 > 0 > top


def test_paired_differences_show_all_seeds_and_both_margins():
    drawn = theme.paired_differences(
        [-3, 4, 5], (2, 1), margin=1, unit="points", title="difference"
    )
    low, high = drawn.layout.xaxis.range
    assert low < -3
    assert high > 5
    seeds, mean = drawn.data
    assert list(seeds.x) == [-3, 4, 5]
    assert (mean.x[0], mean.error_x.array[0]) == (2, 1)
    (band,) = drawn.layout.shapes
    assert (band.x0, band.x1) == (-1, 1)


def test_series_stand_one_above_the_other():
    drawn = figures.data.series([[0, 1], [0, 1], [0, 1]], "three")
    assert [line.y[0] for line in drawn.data] == [10, 5, 0]
    assert drawn.layout.yaxis.ticktext[0] == "example 1"


def test_panels_stand_side_by_side_with_their_own_axes():
    lines = theme.line([1, 2], [3, 4], "a", 0)
    drawn = theme.side_by_side(
        {
            "left": theme.Panel(lines, {"title": "p"}, {}, shapes=[theme.vertical(1)]),
            "right": theme.Panel(lines, {"title": "q"}, {}, width=3.0),
        },
        title="t",
    )
    assert [trace.xaxis for trace in drawn.data] == ["x", "x2"]
    (left, right), gap = (drawn.layout[axis].domain for axis in ("xaxis", "xaxis2")), 0.1
    assert left[0] == 0
    assert right == pytest.approx((left[1] + gap, 1))
    assert right[1] - right[0] == pytest.approx(3 * (left[1] - left[0]))
    assert drawn.layout.shapes[0].xref == "x"
    assert [a.text for a in drawn.layout.annotations] == ["left", "right"]


def test_the_cloud_lies_on_level_lines_of_its_bowl():
    points = [[1.0, 0.0], [0.0, 1.0]]
    drawn = figures.schedules.cloud(points, (1.0, 0.25), reach=3)
    *rings, dots, _middle = drawn.data
    for ring in rings:
        heights = (1.0 * ring.x**2 + 0.25 * ring.y**2) / 2
        np.testing.assert_allclose(heights, heights[0])
    assert list(dots.x) == [1, 0]


def test_rates_mark_the_half_life_only_where_it_can_be_seen():
    shown = {"a": [0.1, 0.05, 0.01]}
    inside = figures.schedules.rates(shown, t=[0, 1, 2], unit="step", half_life=1)
    assert inside.layout.shapes[0].x0 == 1
    assert inside.layout.annotations[0].text == "halved"
    for beyond in (5, np.inf, None):
        drawn = figures.schedules.rates(shown, t=[0, 1, 2], unit="step", half_life=beyond)
        assert not drawn.layout.shapes
        assert not drawn.layout.annotations


def test_learning_curves_name_a_line_once_though_it_is_in_each_panel():
    lines = {"a": ([1, 2], [3, 4], [0.1, 0.1]), "b": ([1, 2], [3, 4])}
    axes = {"loss": theme.LOG_TICKS}
    drawn = figures.schedules.learning_curves(
        {"loss": lines, "accuracy": lines}, x="epoch", title="t", log_axes=axes
    )
    assert [trace.name for trace in drawn.data if trace.showlegend] == ["a", "b"]
    assert (drawn.layout.yaxis.type, drawn.layout.yaxis2.type) == ("log", None)


def test_the_heat_map_frames_the_chosen_cell():
    drawn = figures.schedules.heat_map(
        [[1, 2, 3], [4, 5, np.nan]],
        rows=["p", "q"], columns=["a", "b", "c"], chosen=(1, 2), title="t", x="x", y="y",
    )  # fmt: skip
    (frame,) = drawn.layout.shapes
    assert (frame.x0, frame.x1, frame.y0, frame.y1) == (1.5, 2.5, 0.5, 1.5)
    assert list(drawn.data[0].text[0]) == ["1.0", "2.0", "3.0"]
    assert drawn.data[0].zmax == 5


def test_planned_and_applied_rates_lie_over_each_other_with_the_epochs_marked():
    drawn = figures.schedules.planned_applied([0.1] * 6, [0.1] * 3 + [0.2] * 3, steps_per_epoch=2)
    assert [line.x0 for line in drawn.layout.shapes] == [2, 4]
    assert {line.name: line.y[-1] for line in drawn.data} == {"planned": 0.1, "applied": 0.2}
