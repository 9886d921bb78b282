import copy
from concurrent.futures import ThreadPoolExecutor

from nnopt_lab import costs, networks, pruning, schedules
from nnopt_lab.arguments import above_zero, from_zero, whole
from nnopt_lab.data import Data, mnist1d
from nnopt_lab.grid import grid
from nnopt_lab.networks import BatchNorm, GroupNorm, mlp, single
from nnopt_lab.normalization import accuracy_in_batches, recalibrate
from nnopt_lab.recording import Recorder
from nnopt_lab.shuffling import class_entropy, expected_class_entropy
from nnopt_lab.training import evaluate, n_steps, train

import numpy as np
import pytest
import torch
from torch import nn

ONE = grid(seed=[0])
TWO = grid(rate=[0.1, 0.2], seed=[0])


def random_data(n: int = 200, n_features: int = 6) -> Data:
    generator = torch.Generator().manual_seed(0)
    parts = []
    for size in (n, 100, 100):
        parts.append(torch.randn(size, n_features, generator=generator))
        parts.append(torch.randint(0, 3, (size,), generator=generator))
    return Data(*parts)


DATA = random_data()


def fit(model=None, data=DATA, runs=ONE, **arguments):
    model = mlp([6, 4, 3], runs) if model is None else model
    return train(model, data, runs, **{"epochs": 1, "lr": 0.1, **arguments})


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3), torch.tensor(3), np.array(3)])
def test_a_whole_number_is_whole_whatever_library_made_it(value):
    assert type(whole("n", value)) is int
    assert whole("n", value) == 3
    assert type(whole("n", np.int64(0), 0)) is int


@pytest.mark.parametrize(
    "value",
    [True, np.True_, torch.tensor(True), 2.0, np.float64(2), "2", None, [2], torch.tensor([1, 2])],
)
def test_what_is_no_whole_number_is_refused(value):
    with pytest.raises(ValueError, match=r"n is .*; give a whole number from 1 to 5\."):
        whole("n", value, most=5)


@pytest.mark.parametrize("ends", [0, 6, -1])
def test_a_whole_number_lies_within_its_ends(ends):
    with pytest.raises(ValueError, match=rf"n is {ends}; give a whole number from 1 to 5\."):
        whole("n", ends, most=5)


@pytest.mark.parametrize("value", [0.5, np.float32(0.5), torch.tensor(0.5), [0.5, 0.5], (0.5, 1)])
def test_a_number_or_one_for_each_network_is_taken(value):
    for check in (above_zero, from_zero):
        assert np.all(np.asarray(check("rate", value)) >= 0.5)
    assert from_zero("rate", 0) == 0


@pytest.mark.parametrize(
    "value",
    ["0.5", True, None, np.nan, np.inf, -1, [0.5, -1], [], [[0.5]], [0.5, [1]], 1j, {0.5},
     torch.tensor([True]), torch.tensor([0.5, torch.nan])],
)  # fmt: skip
def test_what_is_no_number_is_refused(value):
    for check in (above_zero, from_zero):
        with pytest.raises(ValueError, match=r"rate is .*; give a number (above|from) 0"):
            check("rate", value)


LINEAR = nn.Linear(6, 3)
SCORES = pruning.magnitude(mlp([4, 3, 2], ONE))


def with_(**sets: torch.Tensor) -> Data:
    """Return the data with another tensor for some of its sets."""
    names = ("x_train", "y_train", "x_validation", "y_validation", "x_test", "y_test")
    return Data(*(sets.get(name, getattr(DATA, name)) for name in names))


class Pair(nn.Linear):
    def forward(self, x):
        return super().forward(x), x


class Column(nn.Linear):
    def forward(self, x):
        return super().forward(x)[:, 0]


def frozen():
    return nn.Linear(6, 3).requires_grad_(False)


NORMED = mlp([6, 4, 3], ONE, norm=BatchNorm)

# What a user may give by mistake, and the words of the error.
BAD = [
    (lambda: fit(nn.Linear(6, 3)), "the model is Linear; .* single"),
    (lambda: evaluate(LINEAR, DATA.x_test, DATA.y_test), "the model is Linear; .* single"),
    (lambda: fit(single(Pair(6, 3))), "the module returned tuple for 1 samples"),
    (lambda: fit(single(Column(6, 3))), r"the module returned Tensor of shape \(1,\)"),
    (lambda: fit(single(nn.Flatten())), "the model has no parameter to train"),
    (lambda: fit(single(frozen())), "the model has no parameter to train"),
    (lambda: fit(runs=ONE, model=mlp([6, 3], TWO)), "holds 2 networks, the grid names 1"),
    (lambda: fit(epochs=0), "epochs is 0; give a whole number from 1"),
    (lambda: fit(epochs=1.0), "epochs is 1.0; give a whole number from 1"),
    (lambda: fit(batch_size=201), "batch_size is 201; give a whole number from 1 to 200"),
    (lambda: fit(batch_size=True), "batch_size is True; give a whole number from 1 to 200"),
    (lambda: fit(first_epoch=-1), "first_epoch is -1; give a whole number from 0"),
    (lambda: n_steps(DATA, 1, 0), "batch_size is 0; give a whole number from 1 to 200"),
    (lambda: fit(lr=-0.1), "the learning rate is -0.1; give a number from 0"),
    (lambda: fit(lr="0.1"), "the learning rate is '0.1'; give a number from 0"),
    (lambda: fit(lr=True), "the learning rate is True; give a number from 0"),
    (lambda: fit(lr=lambda step: np.nan), "the learning rate is nan; give a number from 0"),
    (lambda: fit(lr=[0.1, 0.2]), r"the learning rate has shape \(2,\)"),
    (lambda: fit(momentum=-1), "momentum is -1; give a number from 0"),
    (lambda: fit(weight_decay=-1), "weight_decay is -1; give a number from 0"),
    (lambda: fit(weight_decay=TWO["rate"]), "weight_decay is .*; give one number for all"),
    (lambda: fit(order=lambda e: torch.arange(201)), "order holds .* to 200; .* from 0 to 199"),
    (lambda: fit(order=lambda e: torch.arange(-1, 9)), "order holds .* from -1 .* from 0 to 199"),
    (lambda: fit(order=lambda e: torch.rand(200)), "order holds torch.float32"),
    (lambda: fit(order=lambda e: torch.arange(0)), r"order has shape \(0,\)"),
    (lambda: fit(order=lambda e: torch.zeros(2, 9, dtype=int)), r"order has shape \(2, 9\)"),
    (lambda: fit(data=with_(y_test=DATA.y_test[:9])), r"in test have shapes .* and \(9,\)"),
    (lambda: fit(data=with_(y_train=DATA.y_train[:9])), r"in train have shapes .* and \(9,\)"),
    (
        lambda: fit(data=with_(x_validation=DATA.x_test[:0], y_validation=DATA.y_test[:0])),
        r"in validation have shapes \(0, 6\) and \(0,\)",
    ),
    (lambda: fit(data=with_(x_test=DATA.x_test[:, :5])), r"a sample in test has shape \(5,\)"),
    (lambda: fit(data=with_(x_test=DATA.x_test.double())), "a sample in test .* torch.float64"),
    (lambda: fit(data=with_(y_test=DATA.y_test + 1)), "a class is 3; the model has 3 outputs"),
    (lambda: fit(data=with_(y_test=DATA.y_test - 1)), "a class in test is -1"),
    (lambda: fit(data=with_(y_test=DATA.y_test[:, None])), r"in test have shape \(100, 1\)"),
    (lambda: fit(data=with_(y_test=DATA.y_test.float())), "in test have .* torch.float32"),
    (lambda: fit(data=with_(y_test=DATA.y_test.numpy())), "in test are Tensor and ndarray"),
    (
        lambda: fit(mlp([6, 4, 3], ONE, norm=BatchNorm), random_data(65)),
        "65 samples in batches of 64 leave one alone",
    ),
    (
        lambda: fit(single(nn.Sequential(LINEAR, nn.BatchNorm1d(3))), batch_size=199),
        "200 samples in batches of 199 leave one alone",
    ),
    (lambda: fit(mlp([6, 3, 3], ONE, norm=BatchNorm), batch_size=1), "in batches of 1 leave one"),
    (lambda: accuracy_in_batches(NORMED, DATA.x_test, DATA.y_test[1:], 9), "give equally many"),
    (lambda: accuracy_in_batches(NORMED, DATA.x_test, DATA.y_test, 0), "batch_size is 0"),
    (lambda: recalibrate(NORMED, DATA.x_test, 2.5), "batch_size is 2.5"),
    (lambda: class_entropy(torch.tensor([0, -1]), torch.arange(2), 1), "a class is -1"),
    (lambda: class_entropy(DATA.y_test, torch.arange(9), 10), "batch_size is 10; .* 1 to 9"),
    (lambda: expected_class_entropy(DATA.y_test.float(), 2), "give whole numbers of shape"),
    (lambda: mnist1d(0), "n_train is 0; give a whole number from 1 to 20000"),
    (lambda: mlp([6, 2.5, 3], ONE), "a width is 2.5"),
    (lambda: GroupNorm(4, ONE, True), "n_groups is True"),
    (lambda: Recorder(dict, [1.5]), "a number of updates is 1.5"),
    (lambda: grid(seed=[True]), "a seed is True"),
    (lambda: grid(seed=[2**31]), "a seed is 2147483648; give a whole number from 0 to 2147483647"),
    (lambda: schedules.linear(0.1, 5.0), "n is 5.0; give a whole number from 1"),
    (lambda: schedules.linear("0.1", 5), "alpha0 is '0.1'; give a number above 0"),
    (lambda: schedules.cosine([0.1, 0], 5), r"alpha0 is \[0.1, 0\]; give a number above 0"),
    (lambda: pruning.keep_largest(SCORES, [0.1, 0.2]), "2 numbers were given for 1 networks"),
    (lambda: pruning.keep_neurons(SCORES, [0.1, 0.2]), "2 numbers were given for 1 networks"),
    (lambda: pruning.keep_above(SCORES, [0.1, 0.2]), "2 numbers were given for 1 networks"),
    (lambda: pruning.keep_largest(SCORES, "half"), "sparsity is 'half'"),
    (lambda: pruning.keep_neurons(SCORES, 0.5, output="head"), r"output is 'head'; .*'2\.weight'"),
    (lambda: pruning.keep_largest({}, 0.5), "there is no layer"),
    (lambda: pruning.keep_largest({"w": torch.ones(2, 2)}, 0.5), r"'w' has shape \(2, 2\)"),
    (lambda: pruning.sparsity({"w": torch.ones(2, 2)}), r"'w' has shape \(2, 2\)"),
    (lambda: pruning.shuffled({"w": torch.ones(2, 2)}, [0]), r"'w' has shape \(2, 2\)"),
    (lambda: pruning.magnitude(nn.LSTM(3, 4)), "LSTM has no linear or convolutional layer"),
    (lambda: pruning.random(nn.LSTM(3, 4), [0]), "LSTM has no linear or convolutional layer"),
    (lambda: costs.csr(nn.Sequential(LINEAR))(torch.ones(6)), r"inputs have shape \(6,\)"),
    (lambda: costs.seconds({"a": int}, rounds=1.0), "rounds is 1.0"),
    (lambda: costs.seconds({"a": lambda: (i for i in [1])}), "a call returned generator"),
]


@pytest.mark.parametrize(("call", "said"), BAD, ids=[said for _, said in BAD])
def test_what_does_not_fit_is_said_before_anything_is_done(call, said):
    with pytest.raises((ValueError, TypeError), match=said):
        call()


@pytest.mark.parametrize("name", ["test", "validation"])
def test_a_set_that_does_not_fit_is_found_before_the_first_step(name):
    seen = []
    data = with_(**{f"y_{name}": DATA.y_test[:-1]})
    with pytest.raises(ValueError, match=f"in {name} have shapes"):
        fit(data=data, watch=[lambda step, model, loss: seen.append(step)])
    assert seen == []


def test_a_call_whose_work_goes_on_is_not_timed():
    with ThreadPoolExecutor(1) as pool, pytest.raises(TypeError, match="a call returned Future"):
        costs.seconds({"a": lambda: pool.submit(int)})


def test_numbers_of_numpy_train_as_those_of_python_do():
    sizes = {"epochs": np.int64(2), "batch_size": np.int32(50), "first_epoch": np.uint8(1)}
    mine = fit(mlp([6, np.int64(4), 3], ONE), lr=np.float32(0.25), **sizes)
    plain = fit(lr=0.25, epochs=2, batch_size=50, first_epoch=1)
    assert mine.equals(plain)


@pytest.mark.parametrize("kind", [list, np.array, torch.tensor, np.uint8])
def test_an_order_may_be_a_list_or_an_array(kind):
    def order(epoch):
        return np.random.default_rng(epoch).permutation(200).tolist()

    assert fit(order=lambda e: kind(order(e))).equals(fit(order=lambda e: torch.tensor(order(e))))


def test_a_grid_can_be_copied():
    assert repr(copy.deepcopy(TWO)) == repr(TWO)


def test_networks_are_float32_whatever_the_default_is():
    torch.set_default_dtype(torch.float64)
    try:
        model = mlp([6, 4, 3], ONE, norm=BatchNorm)
        normed = mlp([6, 4, 3], ONE, norm=lambda f, runs: GroupNorm(f, runs, 2))
    finally:
        torch.set_default_dtype(torch.float32)
    kinds = {p.dtype for m in (model, normed) for p in [*m.parameters(), *m.buffers()]}
    assert kinds == {torch.float32, torch.int64}
    assert fit(model).test_loss.dtype == np.float32
    networks.check_model(model)
