from nnopt_lab import combined, figures
from nnopt_lab.distributed import ring, scaling
from nnopt_lab.figures import charts, theme
from nnopt_lab.statistics import MINUS, Verdict

import numpy as np
import pytest
import xarray as xr


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


def test_a_cut_leaves_gaps_and_counts_every_weight_once():
    weights = {"a": np.random.default_rng(0).normal(0, 0.4, (2, 20, 30)), "b": np.ones((2, 4, 20))}
    for epsilon in (0, 0.02, 0.3):
        drawn, words = figures.pruning.cut(weights, epsilon)
        n = int((np.abs(weights["a"][0]) < epsilon).sum())
        assert np.isnan(drawn.data[0].z).sum() == n
        counts = {bars.name: sum(bars.y) for bars in drawn.data if bars.type == "bar"}
        assert counts == {"cut": n, "kept": 680 - n}
        assert f"cuts {n} of 680 weights" in words


def accuracies(**axes) -> xr.DataArray:
    """Means 0.1, 0.2, ... over two seeds that differ by 0.02."""
    shape = [len(values) for values in axes.values()]
    means = 0.1 * (1 + np.arange(np.prod(shape)).reshape(shape))
    values = np.stack([means - 0.01, means + 0.01], -1)
    return xr.DataArray(values, {**axes, "seed": [0, 1]}, [*axes, "seed"], name="test_accuracy")


def plain(text: str) -> str:
    return text.replace("\xa0", " ")


def test_a_place_in_a_sentence_is_told_as_it_is_shown():
    values = accuracies(rule=["largest", "random"], sparsity=[0.0, 0.9]).sel(sparsity=0.9)
    _, words = charts.intervals(values, title="t")
    assert plain(words).startswith("Test accuracy at weights kept 10 % (sparsity 0.9): largest")


def test_lines_know_their_quantities_and_say_what_stands_at_the_mark():
    values = accuracies(rule=["largest", "random"], sparsity=[0.0, 0.9])
    drawn, words = charts.lines(values, x="sparsity", mark=0.9, title="t")
    shown = {trace.name: trace for trace in drawn.data if trace.name}
    np.testing.assert_allclose(shown["largest"].x, [100, 10])
    np.testing.assert_allclose(shown["random"].y, [30, 40])
    assert drawn.layout.xaxis.title.text == "weights kept (%), log axis"
    assert drawn.layout.yaxis.title.text == "test accuracy (%)"
    left, right = drawn.layout.xaxis.range
    assert left > 2 > 1 > right  # decades of percent, from all to few
    assert drawn.layout.shapes[0].x0 == pytest.approx(10)
    assert (
        plain(words)
        == "Weights kept 10 % (sparsity 0.9): largest 20.0 ± 12.7 %, random 40.0 ± 12.7 %."
    )
    bands = [trace for trace in drawn.data if trace.fill == "toself"]
    assert max(bands[0].y) == pytest.approx(20 + 12.706, abs=0.01)


def test_one_line_needs_no_legend_and_numbers_name_lines_with_their_quantity():
    drawn, words = charts.lines(accuracies(epsilon=[0, 0.1]), x="epsilon", title="t", mark=0.1)
    assert drawn.layout.showlegend is False
    assert plain(words) == "Threshold ε 0.1: 20.0 ± 12.7 %."
    several, _ = charts.lines(accuracies(cut=[0.5, 0.9], step=[1, 2]), x="step", title="t")
    assert [plain(t.name) for t in several.data if t.showlegend is not False] == [
        *("cut 50 %", "cut 90 %")
    ]


def test_without_seeds_there_is_no_band_and_what_is_missing_is_left_out():
    times = xr.DataArray(
        [[1.0, np.nan], [0.5, 0.25]], {"kind": ["a", "b"], "sparsity": [0.5, 0.9]},
        ("kind", "sparsity"), name="time",
    )  # fmt: skip
    drawn, words = charts.lines(times, x="sparsity", title="t", mark=0.9)
    assert [len(trace.x) for trace in drawn.data] == [1, 2]
    assert plain(words) == "Weights kept 10 % (sparsity 0.9): b 25 %."


def test_unknown_quantities_and_further_dimensions_are_refused():
    with pytest.raises(KeyError, match="nothing is known of 'depth'"):
        charts.lines(accuracies(depth=[1, 2]), x="depth", title="t")
    with pytest.raises(KeyError, match="nothing is known of None"):
        charts.lines(accuracies(cut=[1, 2]).rename(None), x="cut", title="t")
    with pytest.raises(ValueError, match="one more at most besides 'seed'"):
        charts.lines(accuracies(rule=["a"], cut=[1], step=[1]), x="step", title="t")
    with pytest.raises(ValueError, match="one more at most"):
        charts.lines(accuracies(rule=["a"]), x="step", title="t")


def test_charts_of_intervals_have_a_row_a_place_from_the_top():
    drawn, words = charts.intervals(accuracies(rule=["first", "second"]), title="t")
    (dots,) = drawn.data
    assert list(dots.y) == ["first", "second"]
    assert list(dots.x) == pytest.approx([10, 20])
    bottom, top = drawn.layout.yaxis.range
    assert bottom > 1 > 0 > top
    assert plain(words) == "Test accuracy: first 10.0 ± 12.7 %, second 20.0 ± 12.7 %."


def verdict(claim: str, differences: list[float], unit: str = "points") -> Verdict:
    return Verdict(claim, differences, margin=1, unit=unit)


def test_claims_show_seeds_interval_margin_and_outcome():
    shown = [verdict("it helps", [4, 5] * 4), verdict("it harms", [-0.1, 0.1] * 4)]
    drawn, words = charts.claims(shown, title="t")
    seeds, means, _legend = drawn.data
    assert list(seeds.x) == [4, 5] * 4 + [-0.1, 0.1] * 4
    assert list(means.x) == pytest.approx([4.5, 0])
    assert [(zone.x0, zone.x1) for zone in drawn.layout.shapes] == [(-1, 1)] * 2
    assert "it helps: <b>holds</b>" in drawn.layout.annotations[0].text
    assert words == "2 claims: 1 × holds, 1 × no difference that matters."
    _, words = charts.claims(shown[:1], title="t")
    assert plain(words) == "it helps: holds (4.5 ± 0.4 points)."
    with pytest.raises(ValueError, match=r"\['%', 'points'\]"):
        charts.claims([*shown, verdict("c", [1, 2] * 4, "%")], title="t")


def test_claims_outside_the_axis_are_pointed_at():
    far = [
        verdict(name, [mean - 1, mean + 1] * 4, "points") for name, mean in (("a", 50), ("b", 3))
    ]
    drawn, _ = charts.claims(far, title="t", within=(-5, 10))
    assert [a.text.count("→") for a in drawn.layout.annotations] == [1, 0]
    assert tuple(drawn.layout.xaxis.range) == (-5, 10)


def test_a_sample_in_company_is_said_right_or_wrong():
    shares = np.full(10, 0.05)
    shares[4] = 0.55
    sample, mates = np.arange(5.0), np.zeros((3, 5))
    drawn, words = figures.normalization.company(sample, mates, shares, 4)
    assert words == "The network says 4, with 55 %, which is right."
    assert drawn.data[2].y[4] == pytest.approx(55)
    assert len(drawn.data[0].x) == 18  # a gap after each
    _, words = figures.normalization.company(sample, mates, shares, 2)
    assert words.endswith("and it is a 2.")


def test_the_numbers_of_a_cell_are_those_of_the_four_steps():
    x = np.array([[2.0, 0], [4, -1], [4, 1], [6, 0]])
    normalised = (x - x.mean(0)) / x.std(0)
    computed = x.mean(0), x.var(0), normalised, 2 * normalised + 1
    drawn, words = figures.normalization.steps(x, computed, (4, 1), (2.0, 1.0, 1e-5))
    assert "mean = (2.00 + 4.00 + 4.00 + 6.00) / 4 = 4.000" in words
    assert f"(6.00 {MINUS} 4.000) / √(2.0000 + 0.00001) = 1.414; y = 2 × 1.414 + 1 = 3.8" in words
    assert [trace.meta for trace in drawn.data] == 3 * [{"x": "neuron", "y": "sample"}]


def test_the_microscope_reads_first_and_last_layer():
    dims = {"layer": [1, 2], "seed": [0, 1]}
    spread = xr.DataArray([[0.2, 0.2], [0.01, 0.03]], dims)
    dead = xr.DataArray([[0.0, 0.0], [0.25, 0.75]], dims)
    shares = xr.DataArray(np.full((2, 2, 3), 1 / 3), {**dims, "decade": [-2.0, -1.0, 0.0]})
    inside = xr.Dataset({"spread": spread, "dead": dead, "histogram": shares})
    change = xr.DataArray(np.full((3, 2), 0.001), {"layer": [1, 2, 3], "seed": [0, 1]})
    drawn, words = figures.normalization.microscope(inside, change)
    assert words.startswith("A neuron differs between samples by 0.2 in layer 1 and by 0.02 in")
    assert "dead in layer 2: 50" in words
    assert len(drawn.data[2].x) == 2  # of the hidden layers only


def test_spread_points_at_one_network_of_all():
    drawn, words = figures.evidence.spread(accuracies(epsilon=[0, 1]).isel(epsilon=1), 1)
    dots, one = drawn.data
    assert list(dots.x) == pytest.approx([19, 21])
    assert list(one.x) == [pytest.approx(21)]
    assert plain(words) == "Seed 1: 21 %. Mean of all: 20 %."


def test_repeats_tell_intervals_that_miss_nothing_from_those_that_do():
    values = xr.DataArray(
        [[-0.01, 0.01], [0.010, 0.0101]], dims=("experiment", "seed"),
        name="test_accuracy_difference",
    )  # fmt: skip
    drawn, words = figures.evidence.repeats(values)
    assert [list(group.x) for group in drawn.data] == [[1], [2]]
    assert words.startswith("1 of 2 intervals miss 0")


def test_numbers_have_three_digits_and_a_true_minus():
    assert [theme.number(x) for x in (0.1234, 12.34, 1234.5, -3.0)] == [
        *("0.123", "12.3", "1234", "\N{MINUS SIGN}3")
    ]


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
    for each in rings:
        heights = (1.0 * each.x**2 + 0.25 * each.y**2) / 2
        np.testing.assert_allclose(heights, heights[0])
    assert list(dots.x) == [1, 0]


def test_the_map_frames_the_chosen_pair_and_can_be_clicked():
    values = np.full((2, 3, 2, 4), 0.5) + 0.01 * np.arange(3)[:, None, None]
    axes = {"delta": [0, 0.1], "alpha0": [0.1, 0.2, 0.4], "seed": [0, 1], "epoch": [1, 2, 3, 4]}
    accuracy = xr.DataArray(values, axes, [*axes], name="validation_accuracy")
    drawn, said = figures.schedules.pairs(accuracy, delta=0.1, alpha0=0.4, epoch=2)
    cells, *_, chosen = drawn.data
    frame, moment = drawn.layout.shapes
    assert (frame.x0, frame.x1, frame.y0, frame.y1) == (1.5, 2.5, 0.5, 1)
    assert [*cells.text[0]] == ["50", "51", "52"]
    assert cells.meta == {"x": "alpha0", "y": "delta"}
    assert (moment.x0, chosen.name) == (2, "δ = 0.1")
    assert "The best pair is then α₀ = 0.4" in said
    only, _ = figures.schedules.pairs(accuracy, delta=0, alpha0=0.4, epoch=2)
    assert [trace.name for trace in only.data if trace.name] == ["δ = 0"]


def test_the_raster_has_a_column_a_step_and_the_known_digits_below():
    digits = np.arange(12).reshape(4, 3) % 10
    steps, known = [0, 2, 4], np.zeros((10, 3, 2))
    known[7, -1] = [0.5, 1.0]
    where = {"digit": range(10), "step": steps}
    drawn, said = figures.shuffling.seen_and_known(
        digits, xr.DataArray(known, where, ["digit", "step", "seed"])
    )
    above, below = drawn.data
    assert np.array_equal(above.z, digits.T)
    assert list(above.x) == [1, 2, 3, 4]
    assert below.z[7][2] == 75
    assert said.startswith("After 4 steps: digit 7 is right in 75\N{NO-BREAK SPACE}% of the cases")
    assert figures.shuffling.raster(digits, title="t").data[0].z.shape == (3, 4)


def test_a_crossed_grid_is_seen_by_either_axis():
    accuracy = xr.DataArray(
        np.add.outer([0.5, 0.6], [0.0, 0.01, 0.02]),
        {"order": [0, 1], "seed": [0, 1, 2]},
        ["order", "seed"],
        name="test_accuracy",
    )
    by_order, said = figures.shuffling.crossed(accuracy, "order")
    by_seed, said_by_seed = figures.shuffling.crossed(accuracy, "seed")
    assert list(by_order.data[1].y) == pytest.approx([51, 61])
    assert len(by_seed.data[1].y) == 3
    assert "in a column: 1.0 points; over the order of the data: 7.1 points" in said
    assert "in a column: 7.1 points; over the first weights: 1.0 points" in said_by_seed


def test_lanes_add_up_and_the_path_follows_the_slowest():
    found = scaling.timeline(0.1, 0.02, devices=4, steps=3, jitter=0.2)
    drawn, said = figures.distributed.lanes(found)
    ends = {bars.name: np.add(bars.base, bars.x) for bars in drawn.data if bars.type == "bar"}
    total = 1000 * float((found.computation + found.wait).max("device").sum() + 3 * 0.02)
    assert ends["all-reduce"].max() == pytest.approx(total)
    assert [*drawn.data[-1].y] == [int(i) + 1 for i in found.slowest for _ in range(2)]
    assert drawn.data[-1].x[-1] == pytest.approx(total)
    share = 1000 * float(found.computation.sum()) / total / 4
    assert f"{100 * share:.0f} % computing" in plain(said)
    assert f"{4 * share:.3g} times as fast as one" in said


def real_run():
    """Return what two processes may have measured, with times that are easy to add up."""
    axes = ["device", "step"]
    return xr.Dataset(
        {
            "start": (axes, [[0.010, 0.020, 0.030], [0.011, 0.021, 0.031]]),
            "computation": (axes, np.full((2, 3), 0.004)),
            "wait": (axes, [[0.002] * 3, [0.001] * 3]),
            "all_reduce": (axes, np.full((2, 3), 0.003)),
            "loop": (["device", "block"], np.full((2, 3), 0.0085)),
            "slowest": ("step", [1, 0, 1]),
        }
    )


def test_real_processes_stand_in_lanes_beside_the_model():
    gained = xr.DataArray(
        [[1.0] * 3, [1.4, 1.5, 1.7]], {"processes": [1, 2]}, ["processes", "block"]
    )
    speeds = xr.Dataset({"measured": gained, "modelled": ("processes", [1.0, 1.8])})
    drawn, said = figures.distributed.real(real_run(), speeds, cores=1)
    bars = {bar.name: bar for bar in drawn.data if bar.type == "bar"}
    assert [*bars["computing"].base] == pytest.approx([0, 1, 10, 11, 20, 21])
    assert [*np.add(bars["all-reduce"].base, bars["all-reduce"].x)][-1] == pytest.approx(29)
    (path,) = [trace for trace in drawn.data if trace.name == "what all wait for"]
    assert [*path.x] == pytest.approx([1, 9, 9, 19, 19, 29])
    (dots,) = [trace for trace in drawn.data if trace.name == "measured"]
    assert [*dots.y] == [1, 1.5]
    assert (dots.error_y.array[1], dots.error_y.arrayminus[1]) == pytest.approx((0.1, 0.05))
    assert "2 processes: 41 % computing" in plain(said)
    assert "12 % the update" in plain(said)
    assert "a step takes 8.5 ms: 1.5 times as many samples" in plain(said)
    assert "the model says 1.8. They take turns on 1 cores" in plain(said)
    assert "turns" not in figures.distributed.real(real_run(), speeds, cores=2)[1]


def test_the_meter_calls_rounding_rounding():
    rows = np.array([[1e-7, 0.0], [0.5, 0.7]])
    distance = xr.DataArray(rows, {"kind": ["plain", "other"], "seed": [0, 1]}, ["kind", "seed"])
    drawn, said = figures.distributed.meter(distance)
    assert min(drawn.data[0].x) == 1e-9
    assert "plain no more than rounding, other 0.6" in said


def test_scaling_tells_where_a_step_goes():
    published = scaling.points()
    some = [published.isel(point=[0, 1]), published.isel(point=[-1])]
    plan = {"link": "NVLink V100", "network": "10 Gbit Ethernet"}
    weak = scaling.predict(25.6e6, 0.1, [1, 8, 64], **plan)
    strong = scaling.predict(25.6e6, 0.1, [1, 8], scaling="strong", **plan)
    drawn, said = figures.distributed.scaling(weak, strong, some, 8)
    bars = [trace for trace in drawn.data if trace.type == "bar"]
    assert np.sum([bar.y for bar in bars], 0) == pytest.approx([100, 100])
    assert f"efficiency {100 * float(weak.efficiency[1]):.0f} %" in plain(said)
    dots = [trace for trace in drawn.data if "published" in trace.name]
    assert dots[0].y == pytest.approx(100 * some[0].efficiency)
    assert "TensorFlow" in dots[0].text[0]
    _, said = figures.distributed.scaling(weak, strong, some, 64)
    assert said.endswith("One batch shared out: there are more devices than samples.")


def test_what_does_not_fit_is_said():
    _, said = figures.distributed.too_large(112e9, 32e9)
    assert "all of its 112 GB" in said


def test_to_target_ends_a_line_where_a_seed_did_not_get_there():
    rules, sizes, seeds = ["tuned", "other"], [32, 128], [0, 1]
    steps = xr.DataArray(
        np.array([[[90.0, 110], [39, 41]], [[100, 100], [40, np.nan]]]),
        {"rule": rules, "batch_size": sizes, "seed": seeds}, ["rule", "batch_size", "seed"],
    )  # fmt: skip
    fast = 100 / steps.rename(batch_size="devices").assign_coords(devices=[1, 4])
    drawn, said = figures.distributed.to_target(steps, fast, target="60 %")
    lines = {
        (trace.name, trace.xaxis): [*trace.x]
        for trace in drawn.data
        if trace.mode == "lines+markers"
    }
    assert lines["tuned", "x"] == [32, 128]
    assert lines["other", "x"] == [32]
    assert lines["other", "x2"] == [1]
    assert "Soonest with 4 devices: 2.5 times as fast" in said
    assert "From 1 to 4 devices" in said


def test_a_ring_shows_whose_numbers_are_where():
    steps = ring.ring(3)
    states = [*ring.run(steps, np.eye(3)[:, None].repeat(3, 1))]
    sends = [(m.sender, m.receiver, m.chunk) for m in steps[1]]
    drawn, said = figures.distributed.ring(states[1], sends, 1)
    assert drawn.data[0].text[1][0] == "A+B"
    assert len(drawn.layout.annotations) == 3
    assert "After 1 step of 4: 0 of 9 chunks" in said
    _, said = figures.distributed.ring(states[-1], [], 4)
    assert "After 4 steps of 4: 9 of 9" in said


def test_the_worst_prediction_is_named():
    published = scaling.points().isel(point=[0, 1, 12])
    off = published.efficiency + np.array([0.01, -0.02, 0.12])
    drawn, said = figures.distributed.predicted(published, off)
    assert drawn.data[1].x == pytest.approx(100 * published.efficiency)
    assert f"Mean error 5.0 points, the worst 12: {published.model[2].item()} on 2" in said


def two_by_two(**rows):
    """Return accuracies of two factors, with a little noise over four seeds."""
    values = np.array([[20.0, 10.0], [50.0, 55.0]])[..., None] / 100 + [-0.01, 0.01] * 2
    places = {"shuffle": ["sorted", "shuffled"], "batch_norm": ["plain", "batch norm"]}
    return xr.DataArray(
        values, {**places, "seed": range(4)}, ["shuffle", "batch_norm", "seed"],
        name="test_accuracy",
    )  # fmt: skip


def test_an_interaction_is_drawn_and_said():
    drawn, said = figures.combined.interplay(two_by_two(), "shuffle", "batch_norm", within=(0, 70))
    assert [trace.name for trace in drawn.data] == ["plain", "batch norm"]
    assert [*drawn.data[1].y] == pytest.approx([10, 55])
    assert drawn.data[0].error_y.array[0] > 0
    assert [*drawn.layout.yaxis.range] == [0, 70]
    assert "From sorted to shuffled: 30.0" in plain(said)
    assert "interaction: 15.0" in plain(said)


def test_effects_stand_beside_the_chosen_pair():
    values = two_by_two()
    found = combined.effects(values, ["shuffle", "batch_norm"])
    drawn, _ = figures.combined.effects(found, values, ["shuffle", "batch_norm"])
    alone, pair, *lines = drawn.data
    assert [*alone.y, *pair.y] == ["shuffle", "batch norm", "shuffle × batch norm"]
    assert [*alone.x, *pair.x] == pytest.approx([37.5, -2.5, 15])
    assert pair.meta == {"y": "pair"}
    assert [line.xaxis for line in lines] == ["x2", "x2"]


def test_recipes_lead_to_their_neighbours():
    values = two_by_two()
    cost = (1000 * (1 + 0 * values.mean("seed"))).rename("n_bytes")
    cost.loc[{"shuffle": "sorted", "batch_norm": "plain"}] = np.nan
    cost.loc[{"batch_norm": "batch norm"}] = 2000
    best = values.mean("seed") > 0.5 - 1e-9
    chosen = {"shuffle": "shuffled", "batch_norm": "plain"}
    drawn, said = figures.combined.recipes(values, cost, best, chosen, within=(100, 10_000))
    dots = {trace.name: trace for trace in drawn.data if trace.customdata is not None}
    assert dots["no other beats it"].meta == {"customdata": ["shuffle", "batch_norm"]}
    assert [[*row] for row in dots["beaten"].customdata] == [["sorted", "batch norm"]]
    (ring,) = [trace for trace in drawn.data if trace.name == "your recipe"]
    assert (ring.x[0], ring.y[0]) == pytest.approx((1000, 50))
    (words,) = [trace for trace in drawn.data if trace.mode == "text"]
    assert [*words.text] == ["batch norm"]
    assert "shuffled, plain: test accuracy 50.0" in plain(said)
    lost = {"shuffle": "sorted", "batch_norm": "plain"}
    drawn, said = figures.combined.recipes(values, cost, best, lost, within=(100, 10_000))
    assert "it never gets there" in said
    assert "your recipe" not in [trace.name for trace in drawn.data]


def test_advice_is_a_table_and_a_sentence():
    rows = [{"use": "this", "because": "of that", "it harms": "there", "lesson": "01"}] * 2
    drawn, said = figures.combined.advice(rows)
    assert [*drawn.data[0].cells.values[1]] == ["of that", "of that"]
    assert said == "this; this."


def test_all_verdicts_stand_in_one_figure_by_outcome():
    row = {"mean": 6.0, "half_width": 2.0, "margin": 2.0, "unit": "points", "remark": ""}
    rows = [
        {**row, "notebook": "01_pruning", "claim": "a", "outcome": "holds"},
        {**row, "notebook": "01_pruning", "claim": "b", "outcome": "holds", "margin": 1.0},
        {**row, "notebook": "05_shuffling", "claim": "a", "outcome": "the opposite holds",
         "mean": -6.0, "remark": "stale"},
    ]  # fmt: skip
    drawn, said = figures.combined.judged(rows)
    holds, opposite, *_ = drawn.data
    np.testing.assert_allclose(np.sinh(holds.x), [3, 6])  # in margins
    np.testing.assert_allclose(np.sinh(np.add(holds.x, holds.error_x.array)), [4, 8])
    np.testing.assert_allclose(np.sinh(np.subtract(holds.x, holds.error_x.arrayminus)), [2, 4])
    assert [*holds.y, *opposite.y] == ["01  a", "01  b", "05  a (stale)"]
    assert {text.text: text.y for text in drawn.layout.annotations} == {
        "pruning": 0.5,
        "shuffling": 2,
    }
    assert said.startswith("3 claims: 2 × holds, 1 × the opposite holds, 0 × no difference")
    assert said.endswith("from these runs. 1 stale.")
    assert holds.text[1] == "6.0 ± 2.0 points, margin 1"


def test_layers_stand_under_the_roof_of_the_machine():
    columns = {
        "operations": [[100.0, 20.0]],
        "n_bytes": [[50.0, 40.0]],
        "seconds": [[1e-6, 2e-6]],
    }
    layers = xr.Dataset(
        {name: (["layer", "version"], values) for name, values in columns.items()},
        {"layer": ["a"], "version": ["whole", "zeros"]},
    )
    drawn, said = figures.combined.roofline(layers, (1e9, 5e8), {"other": (1e12, 1e11)})
    roof, other, whole, zeros = drawn.data
    np.testing.assert_allclose(roof.y[1:], 1)  # billions, from the ridge on
    assert roof.x[1] == 2
    assert other.x[1] == 10
    assert (whole.x[0], whole.y[0]) == pytest.approx((2, 0.1))
    assert (zeros.x[0], zeros.y[0]) == pytest.approx((0.5, 0.01))
    assert said == "Microseconds of a layer. a: whole 1, zeros 2."
