import copy
import pickle

from nnopt_lab.data import digits
from nnopt_lab.grid import grid, joined, mixed
from nnopt_lab.networks import mlp
from nnopt_lab.training import train

import numpy as np
import pytest
import torch
import xarray as xr


def test_grid_names_networks():
    runs = grid(delta=[0, 0.5], seed=[7, 9, 11])
    assert len(runs) == 6
    assert runs.shape == (2, 3)
    assert runs.axes["delta"] == (0, 0.5)
    assert runs["delta"].tolist() == [0, 0, 0, 0.5, 0.5, 0.5]
    assert runs["seed"].tolist() == [7, 9, 11, 7, 9, 11]
    assert runs.index(delta=0.5, seed=9) == 4


def test_grid_labels_what_was_measured():
    runs = grid(delta=[0, 0.5], seed=[7, 9])
    found = runs.label(torch.arange(4.0))
    assert found.sel(delta=0.5, seed=7) == 2
    found = runs.label(torch.arange(12.0).view(4, 3), step=[10, 20, 30])
    assert found.dims == ("delta", "seed", "step")
    assert found.sel(delta=0.5, seed=9, step=20) == 10
    with pytest.raises(ValueError, match=r"shape \(3,\); give \(4,\)"):
        runs.label(torch.zeros(3))


def test_bad_grids_are_refused():
    with pytest.raises(ValueError, match="a grid needs seeds"):
        grid(delta=[0, 1])
    with pytest.raises(ValueError, match="each once"):
        grid(delta=[1, 1], seed=[0])
    with pytest.raises(ValueError, match="one or more values"):
        grid(delta=[], seed=[0])
    with pytest.raises(ValueError, match="a whole number from 0"):
        grid(seed=[0.5])
    with pytest.raises(ValueError, match="a whole number from 0"):
        grid(seed=[-1])
    with pytest.raises(ValueError, match="name the axis otherwise"):
        grid(epoch=[1], seed=[0])
    runs = grid(rule=["a", "b"], seed=[0])
    with pytest.raises(KeyError, match="no axis 'delta'"):
        runs["delta"]
    with pytest.raises(TypeError, match="no numbers"):
        runs["rule"]
    with pytest.raises(KeyError, match="a value for each"):
        runs.index(seed=0)
    with pytest.raises(KeyError, match="has no value 'c'"):
        runs.index(rule="c", seed=0)


@pytest.mark.parametrize(
    "name", ["method", "drop", "tolerance", "indexers", "learning_rate", "loss"]
)
def test_names_that_xarray_or_a_history_uses_are_refused(name):
    with pytest.raises(ValueError, match=f"{name}.*name the axis otherwise"):
        grid(**{name: [1], "seed": [0]})


def test_a_word_is_no_list_and_numpy_counts():
    with pytest.raises(ValueError, match="is the word 'abc'"):
        grid(rule="abc", seed=[0])
    assert grid(seed=np.arange(2)).axes["seed"] == (0, 1)
    assert type(grid(seed=np.arange(2)).axes["seed"][0]) is int
    with pytest.raises(ValueError, match="a seed is True"):
        grid(seed=[True])


def test_an_axis_keeps_each_value_as_it_was_given():
    mixture = grid(patience=["never", 3], betas=[(1, 2), (3, 4)], seed=[0])
    found = mixture.label(torch.arange(4.0))
    assert found.sel(patience=3, seed=0).values.tolist() == [2, 3]
    assert found.betas.values.tolist() == [(1, 2), (3, 4)]
    half = grid(seed=[0, 1]).label(torch.ones(2, dtype=torch.bfloat16))
    assert half.dtype == np.float32


def test_a_grid_can_be_copied_and_pickled():
    runs = grid(rule=["a", "b"], seed=[0, 1])
    for again in (copy.deepcopy(runs), pickle.loads(pickle.dumps(runs))):
        assert again.axes == runs.axes
        assert again.index(rule="b", seed=1) == 3
    assert repr(runs) == "grid(rule=['a', 'b'], seed=[0, 1])"


def test_rows_of_finds_the_network_of_the_same_name():
    dense, runs = grid(width=[1, 2], seed=[5, 6, 7]), grid(seed=[7, 5], cut=[0.1, 0.2], width=[2])
    rows = runs.rows_of(dense)
    assert rows.tolist() == [dense.index(width=2, seed=s) for s in (7, 7, 5, 5)]
    with pytest.raises(KeyError, match="no axis 'width'"):
        grid(seed=[5]).rows_of(dense)
    with pytest.raises(KeyError, match="has no value 9"):
        grid(width=[1], seed=[9]).rows_of(dense)


def test_each_spreads_a_labelled_array_over_the_networks():
    runs = grid(rule=["a", "b"], sparsity=[0.5, 0.9], seed=[0, 1])
    best = xr.DataArray(
        [[1.0, 2], [3, 4]], {"sparsity": [0.9, 0.5], "rule": ["b", "a"]}, ("sparsity", "rule")
    )
    expected = {("a", 0.5): 4.0, ("a", 0.9): 2.0, ("b", 0.5): 3.0, ("b", 0.9): 1.0}
    found = runs.each(best)
    for (rule, sparsity), value in expected.items():
        for seed in (0, 1):
            assert found[runs.index(rule=rule, sparsity=sparsity, seed=seed)] == value
    assert runs.each(xr.DataArray(7.0)).tolist() == [7.0] * 8
    with pytest.raises(KeyError):
        runs.each(xr.DataArray([1.0], {"width": [1]}, ["width"]))


def test_mixed_gives_each_network_the_row_of_its_place():
    runs = grid(rule=["a", "b"], seed=[0, 1])
    rate = mixed(runs, "rule", {"a": 0.1, "b": lambda t: torch.arange(4.0) * t})
    assert rate(2).tolist() == pytest.approx([0.1, 0.1, 4, 6])
    orders = torch.arange(20).view(4, 5)
    order = mixed(runs, "rule", {"a": lambda _: torch.arange(5), "b": lambda _: orders})
    assert order(0).tolist() == [[0, 1, 2, 3, 4]] * 2 + orders[2:].tolist()
    some = torch.zeros(4, 3, 2, dtype=torch.bool)
    masks = mixed(runs, "rule", {"b": lambda epoch, model: {"w": some}, "a": {}})(0, None)
    assert masks["w"].float().mean((1, 2)).tolist() == [1, 1, 0, 0]
    with pytest.raises(KeyError, match=r"values \['b'\] without a part"):
        mixed(runs, "rule", {"a": 0.1})


def test_a_mixed_population_equals_its_parts_trained_apart():
    data, runs = digits(), grid(rule=["plain", "masked"], seed=[0, 1])
    model = mlp([64, 16, 10], runs)
    keep = {"0.weight": torch.rand(model[0].weight.shape) < 0.5}
    both = train(
        model, data, runs, epochs=1,
        lr=mixed(runs, "rule", {"plain": 0.1, "masked": lambda step: 0.2 / (1 + step)}),
        masks=mixed(runs, "rule", {"plain": {}, "masked": keep}),
    ).test_loss  # fmt: skip
    seeds = grid(seed=[0, 1])
    plain = train(mlp([64, 16, 10], seeds), data, seeds, epochs=1, lr=0.1).test_loss
    masked = train(
        mlp([64, 16, 10], seeds), data, seeds, epochs=1, lr=lambda step: 0.2 / (1 + step),
        masks={"0.weight": keep["0.weight"][2:]},
    ).test_loss  # fmt: skip
    np.testing.assert_allclose(both.sel(rule="plain"), plain, rtol=1e-5)
    np.testing.assert_allclose(both.sel(rule="masked"), masked, rtol=1e-5)


def test_what_was_found_in_separate_populations_is_joined_along_their_axes():
    runs = grid(seed=range(2))
    found = [runs.label(torch.tensor([a, b])) for a in (1, 2) for b in (10, 20, 30)]
    whole = joined(found, a=[1, 2], b={"x": 0, "y": 0, "z": 0})
    assert whole.dims == ("a", "b", "seed")
    assert whole.sel(a=2, b="z").values.tolist() == [2, 30]
    with pytest.raises(ValueError, match=r"6 results were given; .* 4 combinations"):
        joined(found, a=[1, 2], b=[1, 2])


def test_each_takes_values_along_an_axis_of_booleans_and_of_words():
    runs = grid(flag=[False, True], rule=["a", "b"], seed=[0])
    values = xr.DataArray([[1.0, 2], [3, 4]], {"rule": ["b", "a"], "flag": [True, False]})
    assert runs.each(values.transpose("flag", "rule")).tolist() == [4, 2, 3, 1]
    with pytest.raises(KeyError, match=r"no \['b'\] along 'rule', only \['a'\]"):
        runs.each(xr.DataArray([1.0], {"rule": ["a"]}, "rule"))
    with pytest.raises(KeyError, match="no axis 'lr'"):
        runs.each(xr.DataArray([1.0], {"lr": [0.1]}, "lr"))
