from nnopt_lab import figures
from nnopt_lab.figures import theme

import numpy as np
import plotly.graph_objects as go
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
    assert max(band.y) == 22
    assert min(band.y) == 9
    assert list(line.y) == [10, 20]


def test_filters_leave_pruned_weights_white():
    weight = np.array([[0.0, 0.5], [-0.5, 0.0]])
    drawn = figures.pruning.filters(
        {"pruned": weight, "retrained": weight}, {"dense": (0.625, 0.01)}
    )
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


@pytest.mark.parametrize("axis", ["log", "linear"])
def test_accuracy_against_kept_goes_from_all_to_few(axis):
    curves = {"magnitude": ([0.6, 0.3], [0.01, 0.02])}
    drawn = figures.pruning.accuracy_against_kept(
        [0.0, 0.99], curves, dense=0.6, chosen=0.99, axis=axis
    )
    assert isinstance(drawn, go.Figure)
    left, right = drawn.layout.xaxis.range
    assert left > right
    assert drawn.layout.xaxis.type == axis
    reference, chosen = drawn.layout.shapes
    assert reference.y0 == reference.y1 == pytest.approx(57)
    assert chosen.x0 == chosen.x1 == pytest.approx(1)
    assert list(drawn.data[-1].y) == [60, 30]


def test_paired_differences_show_all_seeds_and_both_margins():
    drawn = theme.paired_differences([-3, 4, 5], 2, 1, margin=1, unit="points", title="difference")
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
