"""The question and the findings of the page on how we know."""

from nnopt_lab.exercises import evidence

import numpy as np
import pytest
import xarray as xr


def test_the_spread_is_measured_and_said_in_words():
    accuracy = xr.DataArray([0.5, 0.56, 0.53], dims="seed")
    asked = evidence.spread(accuracy)
    assert asked["predict"].measured == "6.0 points"
    assert asked["predict"].answers[asked["predict"].right] == "6 points"
    assert asked["shows"].rows[0]["holds"]
    assert not evidence.spread(accuracy / 10)["shows"].rows[0]["holds"]


def equal_networks(n: int = 64) -> xr.Dataset:
    chance = np.random.default_rng(0)
    test = 0.5 + chance.normal(0, 0.02, n)
    validation = test + chance.normal(0, 0.02, n)
    return xr.Dataset(
        {
            "validation_accuracy": (("seed", "epoch"), validation[:, None]),
            "test_accuracy": ("seed", test),
        }
    )


@pytest.mark.parametrize(("shift", "misses_as_expected"), [(0, True), (3, False)])
def test_intervals_miss_as_often_as_they_should_only_if_there_is_nothing(shift, misses_as_expected):
    chance = np.random.default_rng(1)
    values = chance.normal(shift, 1, (10, 40, 8))
    differences = xr.DataArray(values, dims=("draw", "experiment", "seed"))
    findings = evidence.nothing_to_find(differences, equal_networks())
    assert findings.rows[0]["holds"] == misses_as_expected


def test_the_best_of_forty_flatters_itself_by_what_validation_adds():
    """With noise as large as the true spread, half of the lead is luck."""
    assert evidence._flattery(equal_networks()) > 0.01
    honest = equal_networks()
    honest["validation_accuracy"][:, 0] = honest.test_accuracy
    assert evidence._flattery(honest) == pytest.approx(0)
