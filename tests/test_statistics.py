from nnopt_lab import statistics
from nnopt_lab.statistics import (
    Findings,
    Verdict,
    at_crossing,
    choose,
    half_width,
    interval,
    over_seeds,
    paired,
)

import numpy as np
import pytest
import xarray as xr
from scipy import stats

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize("n", [2, 3, 8, 30])
def test_interval_is_scipys(n):
    values = RANDOM.normal(3, 2, n)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    found = interval(values)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-10)


def test_interval_covers_what_it_says():
    """20 000 samples of 8 with a known mean: 95 % of the intervals hold it."""
    samples = RANDOM.normal(1.5, 4, (20_000, 8))
    covered = np.abs(samples.mean(1) - 1.5) <= half_width(samples)
    assert covered.mean() == pytest.approx(0.95, abs=0.005)  # three standard errors


def test_over_seeds_reduces_the_seeds_only():
    values = xr.DataArray(RANDOM.normal(size=(4, 8, 3)), dims=("lr", "seed", "epoch"))
    found = over_seeds(values)
    assert found["mean"].dims == found["half_width"].dims == ("lr", "epoch")
    assert found["half_width"].values[2, 1] == pytest.approx(
        interval(values[2, :, 1]).half_width, rel=1e-12
    )


def around(mean: float, half_width: float) -> np.ndarray:
    """Eight differences whose interval is as asked."""
    sample = np.array([-1.0, 1, -1, 1, -1, 1, -1, 1])
    return mean + sample * half_width / interval(sample).half_width


@pytest.mark.parametrize(
    ("mean", "width", "outcome"),
    [
        (5, 2, statistics.HOLDS),
        (-5, 2, statistics.OPPOSITE),
        (0, 0.5, statistics.NO_DIFFERENCE),
        (0, 5, statistics.CANNOT_TELL),
        (1.5, 1, statistics.CANNOT_TELL),
        (3, 1.5, statistics.CANNOT_TELL),  # better for sure, by enough not for sure
    ],
)
def test_outcomes(mean, width, outcome):
    verdict = Verdict("it works", around(mean, width), margin=2, unit="points")
    assert verdict.interval.half_width == pytest.approx(width)
    assert verdict.outcome == outcome
    assert repr(verdict) == f"it works: {outcome} (margin 2 points, 8 paired seeds)"
    (numbers,) = verdict.metadata["verdicts"]
    assert numbers["mean"] == pytest.approx(mean)
    assert numbers["outcome"] == outcome


def test_paired_differences_find_what_unpaired_ones_miss():
    seeds = RANDOM.normal(0, 10, 8)
    better, worse = seeds + 3 + RANDOM.normal(0, 0.3, 8), seeds
    paired = Verdict("better", better - worse, margin=1, unit="points")
    unpaired = Verdict("better", better - RANDOM.permutation(worse), margin=1, unit="points")
    assert paired.outcome == statistics.HOLDS
    assert unpaired.outcome == statistics.CANNOT_TELL


def test_a_verdict_of_no_effect_is_rarely_holds():
    """With a true difference of exactly the margin, ``holds`` is wrong in 2.5 % of trials."""
    trials = [Verdict("c", RANDOM.normal(2, 3, 8), margin=2, unit="u") for _ in range(4000)]
    wrong = np.mean([trial.outcome == statistics.HOLDS for trial in trials])
    assert wrong == pytest.approx(0.025, abs=0.0075)


@pytest.mark.parametrize(("mean", "is_clear"), [(6, True), (4.1, True), (3.9, False), (-3.9, 0)])
def test_is_clear_needs_a_half_width_of_room(mean, is_clear):
    assert Verdict("c", around(mean, 1), margin=2, unit="u").is_clear == is_clear


def history(accuracies: list[float]) -> xr.Dataset:
    values = np.array(accuracies)[:, None, None] + np.zeros((1, 8, 2))
    values[:, :, 0] = 0.9  # the first epoch does not count
    return xr.Dataset(
        {"validation_accuracy": (("lr", "seed", "epoch"), values)},
        {"lr": [0.1, 0.2, 0.3]},
    )


def chosen(tried: xr.Dataset) -> tuple[object, bool]:
    best = choose(tried, "lr")
    return best.value.item(), best.at_edge.item()


def crossing(x: list[float], y: list[float], level: float) -> float:
    labelled = (xr.DataArray(np.array(v, dtype=float), dims="time") for v in (x, y))
    return at_crossing(*labelled, level, along="time").item()


def test_choose_takes_the_best_mean_on_validation():
    assert chosen(history([0.5, 0.7, 0.6])) == (0.2, False)
    assert chosen(history([0.5, 0.6, 0.7])) == (0.3, True)


@pytest.mark.parametrize(
    ("mean", "half_width", "text"),
    [
        (61.234, 0.56, "61.2 ± 0.6"),
        (62, 12.7, "62.0 ± 12.7"),
        (0.0124, 0.0002, "0.0124 ± 0.0002"),
        (-2.64, 0.5, "\N{MINUS SIGN}2.6 ± 0.5"),
        (14, 0, "14.0 ± 0.0"),
        (1, np.nan, "1.0 ± nan"),
    ],
)
def test_an_interval_reads_as_one_in_as_many_digits_as_it_has(mean, half_width, text):
    assert str(statistics.Interval(mean, half_width)).replace("\xa0", " ") == text
    assert " " not in str(statistics.Interval(mean, half_width))


def test_an_edge_is_the_smallest_or_largest_value_in_whatever_order():
    mixed = history([0.5, 0.6, 0.7]).assign_coords(lr=[0.1, 0.3, 0.2])
    assert chosen(mixed) == (0.2, False)
    assert chosen(mixed.isel(lr=[1, 0])) == (0.3, True)


def test_choose_keeps_all_other_axes_and_takes_words():
    tried = xr.concat([history([0.5, 0.7, 0.6]), history([0.5, 0.6, 0.7])], "rule")
    best = choose(tried.assign_coords(rule=["a", "b"]), "lr")
    assert best.value.values.tolist() == [0.2, 0.3]
    assert best.at_edge.values.tolist() == [False, True]
    words = history([0.5, 0.6, 0.7]).assign_coords(lr=["p", "q", "r"])
    assert chosen(words) == ("r", False)


def test_a_setting_that_lost_a_seed_is_not_chosen():
    tried = history([0.9, 0.7, 0.6])
    tried.validation_accuracy[0, 0, 1] = np.nan
    assert chosen(tried) == (0.2, False)
    tried.validation_accuracy[:, 0, 1] = np.nan
    with pytest.raises(ValueError, match="for every seed"):
        choose(tried, "lr")


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="two values or more"):
        interval([1.0])
    with pytest.raises(ValueError, match="named 'seed'"):
        over_seeds(xr.DataArray([1.0, 2.0], dims="lr"))
    with pytest.raises(ValueError, match="no axis 'delta' to choose on"):
        choose(history([0.5, 0.7, 0.6]), "delta")
    with pytest.raises(ValueError, match=r"shape \(2, 8\); give one a seed"):
        interval(np.ones((2, 8)))
    with pytest.raises(ValueError, match="8 paired seeds"):
        Verdict("c", [1.0] * 7, margin=1, unit="u")
    with pytest.raises(ValueError, match="not a finite number"):
        Verdict("c", [np.nan] * 8, margin=1, unit="u")
    with pytest.raises(ValueError, match="margin is -1"):
        Verdict("c", [1.0] * 8, margin=-1, unit="u")


def test_a_diverged_seed_is_not_left_out_of_the_mean():
    values = xr.DataArray([1.0, np.nan, 3.0], dims="seed")
    found = over_seeds(values)
    assert np.isnan(found["mean"])
    assert np.isnan(found["half_width"])


def test_at_crossing_interpolates_the_first_crossing_from_either_side():
    assert crossing([4, 2, 1, 3, 0], [0, 10, 20, 30, 40], level=1.5) == pytest.approx(15)
    assert crossing([0, 0.5, 0.7], [0, 100, 200], level=0.6) == pytest.approx(150)
    assert crossing([1, 2], [7, 8], level=1) == 7
    assert crossing([1, 2], [7, 8], level=2) == 8


def test_at_crossing_keeps_all_other_dimensions():
    x = xr.DataArray([[3.0, 1], [4, 0]], dims=("seed", "epoch"))
    found = at_crossing(x, xr.DataArray([0.0, 10], dims="epoch"), 2, along="epoch")
    assert found.dims == ("seed",)
    assert found.values.tolist() == [5, 5]


def test_at_crossing_is_nan_if_the_level_is_never_reached_or_lost_before():
    assert np.isnan(crossing([4, 3], [0, 1], level=2))
    assert np.isnan(crossing([4, np.nan, 1], [0, 1, 2], level=2))
    assert np.isnan(crossing([np.nan, 3, 1], [0, 1, 2], level=2))
    with pytest.raises(ValueError, match="level is nan"):
        crossing([4, 2], [0, 1], level=np.nan)
    with pytest.raises(ValueError, match="no dimension 'epoch'"):
        at_crossing(xr.DataArray([1.0], dims="t"), xr.DataArray([1.0], dims="t"), 1, along="epoch")


def named(values: list[float], name: str = "test_accuracy") -> xr.DataArray:
    return xr.DataArray(values, {"seed": range(len(values))}, ["seed"], name=name)


def test_paired_names_the_difference_and_checks_that_seeds_and_quantities_agree():
    found = paired(named([3, 5]).assign_coords(rule="a"), named([1, 1]).assign_coords(rule="b"))
    assert found.name == "test_accuracy_difference"
    assert found.values.tolist() == [2, 4]
    assert set(found.coords) == {"seed"}
    with pytest.raises(ValueError, match="give one quantity, named"):
        paired(named([3, 5]), named([1, 1], "training_loss"))
    with pytest.raises(ValueError, match="cannot align"):
        paired(named([3, 5]), named([1, 1]).assign_coords(seed=[1, 2]))


def test_findings_say_what_holds_on_this_run_and_stop_nothing():
    findings = Findings({"so it is": np.array([2.0, 2.1]), "so <not>": False, "hardly": [3, -2]})
    assert repr(findings).splitlines() == [
        "✓ so it is",
        "  ✗ Not on this run: so <not>",
        "  ✓ hardly",
    ]
    assert "so &lt;not&gt;" in findings.view
    rows = findings.metadata["findings"]
    assert [row["holds"] for row in rows] == [True, False, True]
    assert [row["is_clear"] for row in rows] == [True, False, False]
    assert rows[0]["mean"] == pytest.approx(2.05)


def test_what_is_not_compared_has_a_view_and_no_text():
    findings = Findings({"it is fast": [3, -2]}, compare=False)
    assert repr(findings) == ""
    assert "it is fast" in findings.view
    assert findings.metadata["findings"][0]["is_clear"]
    verdict = Verdict("c", around(3, 1.5), margin=2, unit="points", compare=False)
    assert repr(verdict) == "c: see the figure (margin 2 points, 8 paired seeds)"
    assert verdict.metadata["verdicts"][0]["outcome"] == statistics.CANNOT_TELL
    assert verdict.metadata["verdicts"][0]["is_clear"]


@pytest.mark.parametrize(("mean", "is_clear"), [(2.1, True), (1.9, False)])
def test_a_finding_is_clear_with_a_half_width_of_room(mean, is_clear):
    (row,) = Findings({"so": around(mean, 1)}).metadata["findings"]
    assert row["is_clear"] == is_clear
