"""Effects against a plain analysis of variance, and the front against a search by hand."""

import json
import re
from itertools import combinations, product
from pathlib import Path

from nnopt_lab import combined, normalization, pruning
from nnopt_lab.data import mnist1d
from nnopt_lab.networks import single
from nnopt_lab.training import evaluate

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

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
        ({"layers": "8", "batch": "8"}, ["Shuffle", "Let", "Another norm", "Tune"]),
        ({"layers": "8", "batch": "8", "devices": "many"},
         ["Shuffle", "Let", "Batch norm over all", "The rate in proportion", "Tune"]),
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


NOTEBOOKS = Path(__file__).parent.parent / "notebooks"


def test_a_verdict_is_stale_once_code_before_it_has_changed(tmp_path):
    verdict = {"claim": "a", "outcome": "holds", "mean": 3.0}
    cells = [
        {"cell_type": "code", "id": "one", "source": ["a = 1\n", "b = 2"], "outputs": []},
        {"cell_type": "markdown", "id": "two", "source": "words"},
        {"cell_type": "code", "id": "three", "source": "a", "outputs": [{"metadata": {}}]},
        {"cell_type": "code", "id": "four", "source": "later", "outputs": []},
    ]
    digest = combined.code_up_to({"cells": cells})["three"]
    cells[2]["outputs"] = [{"metadata": {"verdicts": [verdict], "code": digest}}, {}]

    def found() -> list:
        (tmp_path / "01_a.ipynb").write_text(json.dumps({"cells": cells}), encoding="utf-8")
        return combined.judged(tmp_path)

    assert found() == [{**verdict, "notebook": "01_a", "cell": "three", "remark": ""}]
    cells[1]["source"], cells[3]["source"] = "other words", "other code"
    cells[0]["source"] = "a = 1\nb = 2"  # as nbformat holds it in memory
    assert found()[0]["remark"] == ""
    cells[0]["source"] = "a = 2\nb = 2"
    assert found()[0]["remark"] == "stale"
    del cells[2]["outputs"][0]["metadata"]["code"]
    assert found()[0]["remark"] == "run by hand"
    with pytest.raises(FileNotFoundError, match="no notebook in"):
        combined.judged(tmp_path / "nowhere")


def test_no_committed_verdict_is_stale_and_every_lesson_has_some():
    rows = combined.judged(NOTEBOOKS)
    assert [row["claim"] for row in rows if row["remark"]] == []
    assert {row["notebook"][:2] for row in rows} == {"01", "02", "03", "04", "05", "06"}


def convolutional() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Unflatten(1, (1, 40)), nn.Conv1d(1, 4, 5), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10)
    )


def test_each_layer_of_any_network_is_cut_alone_and_all_at_one_threshold():
    network, data = convolutional(), mnist1d(100)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    x, y = data.x_validation, data.y_validation
    found = combined.sensitivity(network, data, [0, 0.5, 1])
    assert found.layer.values.tolist() == ["1.weight", "4.weight", "all layers"]
    assert found.sel(sparsity=0).values == pytest.approx(float(evaluate(single(network), x, y)[1]))
    alone = convolutional()
    scores = pruning.magnitude(alone)
    pruning.apply(alone, pruning.keep_largest({"4.weight": scores["4.weight"]}, 0.5))
    expected = float(evaluate(single(alone), x, y)[1])
    assert float(found.sel(layer="4.weight", sparsity=0.5)) == pytest.approx(expected)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    with pytest.raises(ValueError, match="Flatten has no linear or convolutional layer"):
        combined.sensitivity(nn.Flatten(), data, [0.5])


def test_averages_are_not_to_blame_for_what_is_cut():
    torch.manual_seed(0)
    data = mnist1d(500)
    network = nn.Sequential(nn.Linear(40, 30), nn.BatchNorm1d(30), nn.ReLU(), nn.Linear(30, 10))
    with torch.no_grad():
        network[0].bias += torch.randn(30)  # of which its averages, 0 and 1, know nothing
    before = evaluate(single(network), data.x_validation, data.y_validation)[1]
    found = combined.sensitivity(network, data, [0]).sel(layer="0.weight", sparsity=0)
    normalization.recalibrate(single(network), data.x_train)
    expected = evaluate(single(network), data.x_validation, data.y_validation)[1]
    assert float(found) == pytest.approx(float(expected))
    assert float(found) != pytest.approx(float(before))


def test_a_growing_rate_first_lowers_the_loss_and_then_breaks_it():
    network, data = convolutional(), mnist1d(1000)
    before = network[4].weight.clone()
    rates = np.geomspace(1e-3, 100, 60).tolist()
    found = combined.rate_range(network, data, rates)
    assert found.learning_rate.values.tolist() == rates
    start = float(found[:5].mean())
    assert float(found.min()) < start - 0.2
    assert not float(found[-5:].mean()) < start
    assert torch.equal(network[4].weight, before)


def test_what_cannot_be_done_for_a_network_is_said():
    assert combined.refusals(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))) == {}
    found = combined.refusals(convolutional())
    assert [*found] == ["drop dead neurons", "store only what is not zero"]
    assert "not of ['Conv1d']" in found["drop dead neurons"]


class Own(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2)


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (Own(), "takes an nn.Sequential itself, .* was given Own"),
        (nn.Sequential(*[nn.Linear(4, 4)] * 2), "uses a layer or a parameter twice"),
    ],
)
def test_where_the_order_of_layers_is_not_known_nothing_is_done(network, reason):
    found = combined.refusals(network)
    assert len(found) == 3
    for said in found.values():
        assert re.search(reason, said)
