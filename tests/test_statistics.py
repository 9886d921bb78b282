from nnopt_lab import statistics
from nnopt_lab.statistics import (
    Verdict,
    at_crossing,
    band,
    choose,
    half_width,
    in_words,
    interval,
    over_seeds,
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
    data, metadata = verdict._repr_mimebundle_()
    assert data == {
        "text/plain": f"Claim: it works\nVerdict: {outcome} (margin 2 points, 8 paired seeds)"
    }
    assert metadata["verdict"]["mean"] == pytest.approx(mean)
    assert metadata["verdict"]["outcome"] == outcome


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


def test_choose_takes_the_best_mean_on_validation():
    assert choose(history([0.5, 0.7, 0.6]), "lr") == statistics.Choice(0.2, at_edge=False)
    assert choose(history([0.5, 0.6, 0.7]), "lr") == statistics.Choice(0.3, at_edge=True)


def test_an_interval_reads_as_one():
    assert str(statistics.Interval(61.234, 0.56)) == "61.2 ± 0.6"


def test_an_edge_is_the_smallest_or_largest_value_in_whatever_order():
    mixed = history([0.5, 0.6, 0.7]).assign_coords(lr=[0.1, 0.3, 0.2])
    assert choose(mixed, "lr") == statistics.Choice(0.2, at_edge=False)
    assert choose(mixed.isel(lr=[1, 0]), "lr") == statistics.Choice(0.3, at_edge=True)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="two values or more"):
        interval([1.0])
    with pytest.raises(ValueError, match="named 'seed'"):
        over_seeds(xr.DataArray([1.0, 2.0], dims="lr"))
    with pytest.raises(ValueError, match="select a value of each"):
        choose(history([0.5, 0.7, 0.6]), "delta")
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
    assert at_crossing([4, 2, 1, 3, 0], [0, 10, 20, 30, 40], level=1.5) == pytest.approx(15)
    assert at_crossing([0, 0.5, 0.7], [0, 100, 200], level=0.6) == pytest.approx(150)
    assert at_crossing([1, 2], [7, 8], level=1) == 7
    assert at_crossing([1, 2], [7, 8], level=2) == 8


def test_at_crossing_is_nan_if_the_level_is_never_reached_or_lost_before():
    assert np.isnan(at_crossing([4, 3], [0, 1], level=2))
    assert np.isnan(at_crossing([4, np.nan, 1], [0, 1, 2], level=2))
    assert np.isnan(at_crossing([np.nan, 3, 1], [0, 1, 2], level=2))
    with pytest.raises(ValueError, match="give"):
        at_crossing([1, 2], [1], level=1)


def test_a_band_is_a_coordinate_with_means_and_half_widths():
    values = xr.DataArray([[1.0, 2.0], [3.0, 6.0]], {"epoch": [5, 10]}, ("seed", "epoch"))
    x, mean, width = band(values, "epoch")
    assert list(x) == [5, 10]
    assert list(mean) == [2, 4]
    np.testing.assert_allclose(width, half_width(values.values.T))


def test_intervals_in_words():
    found = {"dense": interval([61, 63]), "random": interval([14, 14])}
    assert in_words(found, "points") == "dense 62.0 ± 12.7 points, random 14.0 ± 0.0 points"
