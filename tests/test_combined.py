"""Effects against a plain analysis of variance, and the front against a search by hand."""

from itertools import combinations, product

from nnopt_lab import combined

import numpy as np
import pytest
import xarray as xr

FACTORS = ["a", "b", "c", "d"]


@pytest.fixture
def values():
    draws = np.random.default_rng(0).normal(size=(2, 2, 2, 2, 8))
    axes = {**{factor: ["no", "yes"] for factor in FACTORS}, "seed": range(8)}
    return xr.DataArray(draws, axes, [*axes], name="test_accuracy")


def test_effects_are_those_of_an_analysis_of_variance(values):
    """Least squares on columns of -1/2 and 1/2, and on their products, seed by seed."""
    cells = np.array([*product([-0.5, 0.5], repeat=4)])
    pairs = [cells[:, i] * cells[:, j] for i, j in combinations(range(4), 2)]
    design = np.column_stack([np.ones(16), cells, *pairs])
    expected, *_ = np.linalg.lstsq(design, values.values.reshape(16, 8), rcond=None)
    found = combined.effects(values, FACTORS)
    assert found.name == "test_accuracy_difference"
    assert found.term.values.tolist()[:5] == ["a", "b", "c", "d", "a × b"]
    assert found.transpose("term", "seed").values == pytest.approx(expected[1:])


def test_an_interaction_is_what_one_gains_more_where_the_other_is_in_use():
    table = xr.DataArray([[10.0, 30.0], [12.0, 50.0]], dims=["a", "b"])
    assert combined.gained(table, "a").values.tolist() == [2, 20]
    assert float(combined.gained(combined.gained(table, "a"), "b")) == 18
    assert float(combined.effects(table, ["a", "b"]).sel(term="a × b")) == 18


def test_a_factor_needs_two_places(values):
    with pytest.raises(
        ValueError, match=r"'seed' has 8 places; give one of \['a', 'b', 'c', 'd'\]"
    ):
        combined.gained(values, "seed")
    with pytest.raises(ValueError, match="'e' has no places"):
        combined.effects(values, ["a", "e"])


def test_the_front_holds_what_no_other_beats():
    costs = [1, 2, 3, 3, 4, 2, np.nan, 1]
    gains = [5, 7, 6, 9, 9, 7, 99, 5]
    assert combined.front(costs, gains).tolist() == [
        True,
        True,
        False,
        True,
        False,
        True,
        False,
        True,
    ]
    draws = np.random.default_rng(1).integers(0, 5, (2, 40))
    found = combined.front(*draws)
    for i, (cost, gain) in enumerate(draws.T):
        others = ((c, g) for c, g in draws.T if (c, g) != (cost, gain))
        assert found[i] == (not any(c <= cost and g >= gain for c, g in others))


ANSWERS = {"budget": "accuracy", "data": "mixed", "layers": "2", "batch": "64", "devices": "one"}


@pytest.mark.parametrize(
    ("changed", "uses"),
    [
        ({}, ["Shuffle", "Let", "No batch norm", "Tune"]),
        ({"layers": "8"}, ["Shuffle", "Let", "Batch norm", "Tune"]),
        ({"layers": "8", "batch": "8"}, ["Shuffle", "Let", "Batch norm over all", "Tune"]),
        ({"budget": "few epochs"}, ["Shuffle", "Let", "Batch norm", "Tune"]),
        ({"budget": "few epochs", "batch": "8"}, ["Shuffle", "Let", "No batch norm", "Tune"]),
        ({"budget": "a small file", "devices": "many"},
         ["Shuffle", "Let", "No batch norm", "The rate in proportion", "Prune", "Tune"]),
    ],
)  # fmt: skip
def test_advice_comes_in_order(changed, uses):
    found = combined.advise(**{**ANSWERS, **changed})
    assert len(found) == len(uses)
    for advice, use in zip(found, uses, strict=True):
        assert advice.use.startswith(use)


def test_each_set_of_answers_has_advice_and_each_advice_answers():
    every = [
        combined.advise(**dict(zip(combined.QUESTIONS, answers, strict=True)))
        for answers in product(*combined.QUESTIONS.values())
    ]
    assert all(any(advice in found for found in every) for advice in combined.ADVICE)
    for found in every:
        assert found[0].use.startswith("Shuffle")
        assert len({advice.use for advice in found}) == len(found)


def test_a_question_without_an_answer_is_named():
    with pytest.raises(ValueError, match="data is 'heaped'; give one of mixed, sorted"):
        combined.advise(**{**ANSWERS, "data": "heaped"})
    with pytest.raises(ValueError, match="budget is None; give one of accuracy"):
        combined.advise()
