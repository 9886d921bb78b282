import os
import signal
import subprocess
import sys
import textwrap
import time

from nnopt_lab.data import Data, digits, mnist1d
from nnopt_lab.grid import grid
from nnopt_lab.networks import BatchNorm, mlp, single
from nnopt_lab.shuffling import reshuffled
from nnopt_lab.training import backpropagate, evaluate, n_steps, train

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn
from torch.nn import functional

STEPS = 100
WIDTHS = [40, 16, 12, 10]


def small(n=6400):
    return mnist1d(n).to(torch.float64)


def train_alone(network, data, order, lr, mask=None, momentum=0.9, weight_decay=0.0):
    """The oracle: one network, torch's own layers and optimizer, 64 samples a step."""
    optimizer = torch.optim.SGD(
        network.parameters(), lr=lr, momentum=momentum, weight_decay=weight_decay
    )
    for batch in order.split(64):
        optimizer.zero_grad()
        loss = functional.cross_entropy(network(data.x_train[batch]), data.y_train[batch])
        loss.backward()
        optimizer.step()
        for name, parameter in network.named_parameters():
            if mask and name in mask:
                with torch.no_grad():
                    parameter.mul_(mask[name])
    return network


@pytest.mark.parametrize("norm", [None, BatchNorm])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("weight_decay", [0.0, 1e-3])
def test_a_row_equals_the_network_trained_alone(norm, masked, weight_decay):
    data = small()
    runs = grid(lr=[0.01, 0.3, 1e8], seed=[0, 4])  # the last two diverge beside the others
    model = mlp(WIDTHS, runs, norm=norm).double()
    alone = {i: model.unstack(i) for i in range(4)}
    generator = torch.Generator().manual_seed(0)
    masks = {}
    if masked:
        shape = (len(runs), WIDTHS[1], WIDTHS[0])
        masks = {"0.weight": torch.rand(shape, generator=generator) < 0.5}
        for i, network in alone.items():
            with torch.no_grad():
                network[0].weight.mul_(masks["0.weight"][i])
    history = train(
        model, data, runs, epochs=1, lr=runs["lr"].double(), masks=masks, weight_decay=weight_decay
    )
    orders = reshuffled(len(data.x_train), runs["seed"].tolist())(0)
    assert len(orders[0].split(64)) == STEPS
    assert history.diverged.values.tolist()[:2] == [[False, False], [False, False]]
    for i, network in alone.items():
        mask = {name: stacked[i] for name, stacked in masks.items()}
        lr = runs["lr"].double()[i].item()
        train_alone(network, data, orders[i], lr, mask, weight_decay=weight_decay)
        row = model.unstack(i)
        for ours, theirs in zip(row.parameters(), network.parameters(), strict=True):
            assert torch.allclose(ours, theirs, rtol=0, atol=1e-10)
        for mode in (True, False):
            ours, theirs = row.train(mode), network.train(mode)
            x = data.x_test[:100]
            assert torch.allclose(ours(x), theirs(x), rtol=0, atol=1e-9)


def test_single_trains_like_a_row():
    data, runs = small(), grid(seed=[4])
    row = mlp(WIDTHS, runs).double()
    alone = single(row.unstack(0))
    ours = train(row, data, runs, epochs=2, lr=0.05)
    theirs = train(alone, data, runs, epochs=2, lr=0.05)
    for name in ours:
        np.testing.assert_allclose(ours[name], theirs[name], atol=1e-10)


def test_a_diverging_neighbour_does_no_harm_and_is_reported():
    data = mnist1d(640)
    alone_runs, runs = grid(lr=[0.05], seed=[1]), grid(lr=[0.05, 1e10], seed=[1])
    alone = train(mlp(WIDTHS, alone_runs), data, alone_runs, epochs=3, lr=0.05)
    history = train(mlp(WIDTHS, runs), data, runs, epochs=3, lr=runs["lr"])
    assert history.diverged.values.ravel().tolist() == [False, True]
    lost = history.sel(lr=1e10, seed=1)
    assert np.isnan(lost.training_loss.values).all()
    assert np.isnan(lost.test_loss.values)
    assert lost.test_accuracy == pytest.approx(0.1)
    assert (lost.validation_accuracy.values == np.float32(0.1)).all()
    kept = history.sel(lr=0.05, seed=1).validation_loss
    np.testing.assert_allclose(kept, alone.validation_loss.values[0, 0], rtol=1e-5)


def test_what_diverged_once_is_lost_for_good():
    data, runs, calls = digits(), grid(seed=range(2)), []

    def gradient(model, x, y):
        loss, accuracy = backpropagate(model, x, y)
        calls.append(loss)
        if len(calls) == 20:  # in the second of three epochs
            loss = torch.stack([loss[0], torch.tensor(torch.inf)])
        return loss, accuracy

    history = train(mlp([64, 16, 10], runs), data, runs, epochs=3, lr=0.1, gradient=gradient)
    assert history.diverged.values.tolist() == [False, True]
    lost = np.isnan(history.training_loss)
    assert lost.values.tolist() == [[False] * 3, [False, True, True]]
    assert history.test_accuracy.values[1] == pytest.approx(0.1)


def test_guessing_counts_the_classes_of_all_samples():
    data = mnist1d(3)  # three samples hold at most three classes
    assert data.n_classes == 10
    runs = grid(lr=[1e30], seed=[0])
    history = train(mlp(WIDTHS, runs), data, runs, epochs=3, lr=1e30, batch_size=1)
    assert history.test_accuracy.item() == pytest.approx(0.1)


def test_published_accuracy_of_a_wide_network():
    """68 % (Greydanus and Kobak 2020), within two points."""
    runs = grid(seed=range(5))
    history = train(mlp([40, 256, 256, 10], runs), mnist1d(), runs, epochs=60, lr=0.05)
    assert history.test_accuracy.mean().item() == pytest.approx(0.68, abs=0.02)


def test_history_says_what_happened():
    data, runs = digits(), grid(lr=[0.01, 0.1], seed=range(3))
    model = mlp([64, 16, 10], runs)
    history = train(model, data, runs, epochs=2, lr=runs["lr"], batch_size=64, first_epoch=5)
    assert history.validation_loss.dims == ("lr", "seed", "epoch")
    assert history.test_accuracy.dims == ("lr", "seed")
    assert history.epoch.values.tolist() == [6, 7]
    assert history.step.values.tolist() == [16, 32]  # 1 000 / 64: the short last batch counts
    assert history.attrs["steps"] == 32 == n_steps(data, 2)
    np.testing.assert_allclose(history.learning_rate.sel(lr=0.1), 0.1, rtol=1e-6)
    loss, accuracy = evaluate(model, data.x_test, data.y_test)
    np.testing.assert_allclose(history.test_loss.values.ravel(), loss)
    np.testing.assert_allclose(history.test_accuracy.values.ravel(), accuracy)
    assert not model.training


def test_training_loss_is_the_mean_over_samples_seen():
    data, runs = digits(), grid(seed=[0])
    seen = []
    history = train(
        mlp([64, 16, 10], runs), data, runs, epochs=1, lr=0.05, batch_size=300,
        watch=[lambda updates, _model, loss: updates and seen.append(loss.item())],
    )  # fmt: skip
    expected = np.average(seen, weights=[300, 300, 300, 100])
    assert history.training_loss.item() == pytest.approx(expected, rel=1e-6)


def test_evaluate_agrees_with_torch():
    data, model = digits(), mlp([64, 16, 10], grid(seed=range(2)))
    loss, accuracy = evaluate(model, data.x_test, data.y_test)
    outputs = model.unstack(1)(data.x_test)
    assert loss[1].item() == pytest.approx(functional.cross_entropy(outputs, data.y_test).item())
    assert accuracy[1].item() == pytest.approx((outputs.argmax(1) == data.y_test).double().mean())


def test_values_handed_in_may_be_numbers_tensors_or_functions():
    data, runs = digits(), grid(seed=range(2))
    results = []
    for lr in (0.1, torch.tensor([0.1, 0.1]), lambda _: 0.1, lambda _: torch.tensor([0.1, 0.1])):
        model = mlp([64, 16, 10], runs)
        keep = {"0.weight": torch.ones_like(model[0].weight)}
        keep["0.weight"][:, 0] = 0
        for masks in (keep, lambda _epoch, _model, keep=keep: keep):
            history = train(model, data, runs, epochs=1, lr=lr, masks=masks)
            assert model[0].weight[:, 0].abs().max() == 0
        results.append(history.test_loss.values)
    assert all((result == results[0]).all() for result in results)


def test_shared_order_equals_the_same_order_for_each():
    data, runs = digits(), grid(seed=range(2))
    order = torch.arange(1000)
    losses = [
        train(mlp([64, 16, 10], runs), data, runs, epochs=1, lr=0.1, order=given).test_loss
        for given in (lambda _: order, lambda _: order.expand(2, -1))
    ]
    np.testing.assert_allclose(*losses, rtol=1e-5)


def test_gradient_is_a_seam():
    data, runs = digits(), grid(seed=range(2))
    calls = []

    def gradient(model, x, y):
        calls.append(x.shape)
        return backpropagate(model, x, y)

    train(mlp([64, 16, 10], runs), data, runs, epochs=1, lr=0.1, gradient=gradient)
    assert calls[0] == (2, 64, 64)
    assert len(calls) == 16


def test_watchers_are_called_before_the_first_update_and_after_each():
    data, runs, seen = digits(), grid(seed=range(2)), []
    model = mlp([64, 16, 10], runs)
    first = model[0].weight.detach().clone()

    def watch(updates, network, loss):
        moved = not torch.equal(network[0].weight, first)
        seen.append((updates, moved, None if loss is None else tuple(loss.shape)))

    train(model, data, runs, epochs=1, lr=0.1, watch=[watch])
    assert seen == [(0, False, None), *((updates, True, (2,)) for updates in range(1, 17))]


def test_stop_ends_between_two_steps():
    data, runs, seen = digits(), grid(seed=range(2)), []
    history = train(
        mlp([64, 16, 10], runs), data, runs, epochs=5, lr=0.1,
        watch=[lambda updates, _model, _loss: seen.append(updates)], stop=lambda: seen[-1] == 20,
    )  # fmt: skip
    assert seen == list(range(21))
    assert history.epoch.values.tolist() == [1]
    assert history.attrs["steps"] == 20
    assert np.isfinite(history.test_loss).all()


def test_stop_before_the_first_epoch_ends():
    data, runs = digits(), grid(seed=range(2))
    history = train(mlp([64, 16, 10], runs), data, runs, epochs=5, lr=0.1, stop=lambda: True)
    assert history.sizes["epoch"] == 0
    assert history.test_accuracy.shape == (2,)


def test_ctrl_c_ends_training_at_once():
    """In a process of its own, as a kernel is interrupted."""
    code = """
        import signal, time
        signal.signal(signal.SIGINT, signal.default_int_handler)  # as a kernel does
        from nnopt_lab.data import mnist1d
        from nnopt_lab.networks import mlp
        from nnopt_lab.grid import grid
        from nnopt_lab.training import train
        runs = grid(seed=range(8))
        steps = []
        def watch(updates, model, loss):
            steps.append(time.monotonic())
            if updates == 50:
                print("training", flush=True)
        try:
            train(mlp([40, 64, 10], runs), mnist1d(), runs, epochs=10_000, lr=.05, watch=[watch])
        except KeyboardInterrupt:
            print("interrupted after", len(steps))
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "training\n"
        time.sleep(0.2)
        os.kill(process.pid, signal.SIGINT)
        assert process.stdout.readline().startswith("interrupted after")
        assert process.wait(10) == 0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"epochs": 0}, "epochs is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"batch_size": 1001}, "from 1 to 1000"),
        ({"first_epoch": -1}, "first_epoch is -1"),
        ({"lr": torch.ones(3)}, "learning rate has shape"),
        ({"masks": {"9.weight": torch.ones(2)}}, "no parameter '9.weight'"),
        ({"masks": {"0.weight": torch.ones(2)}}, "the mask of '0.weight' has shape"),
        ({"order": lambda _: torch.zeros(3, 5, dtype=torch.long)}, "the order has shape"),
    ],
)
def test_bad_arguments_are_refused(wrong, message):
    data, runs = digits(), grid(seed=range(2))
    with pytest.raises(ValueError, match=message):
        train(mlp([64, 16, 10], runs), data, runs, **{"epochs": 1, "lr": 0.1, **wrong})


def test_model_grid_and_samples_must_fit():
    data, runs = digits(), grid(seed=range(2))
    with pytest.raises(ValueError, match="holds 2 networks, the grid names 3"):
        train(mlp([64, 16, 10], runs), data, grid(seed=range(3)), epochs=1, lr=0.1)
    with pytest.raises(ValueError, match=r"shapes \(5, 64\) and \(4,\); give equally many"):
        evaluate(mlp([64, 16, 10], runs), data.x_test[:5], data.y_test[:4])


def test_single_learns_a_parameter_without_dimensions():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(64, 10)
            self.scale = nn.Parameter(torch.tensor(1.0))

        def forward(self, x):
            return self.scale * self.layer(x)

    scaled = Scaled()
    train(single(scaled), digits(), grid(seed=[0]), epochs=1, lr=0.1)
    assert scaled.scale.item() != 1


def test_single_learns_with_a_convolution():
    data, runs = digits(), grid(seed=[0])
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10)
    )
    history = train(single(network), data, runs, epochs=5, lr=0.05)
    assert history.test_accuracy.item() > 0.9


def test_retraining_goes_on_with_new_orders_and_training_statistics():
    data, runs, asked = digits(), grid(seed=[0]), []
    model = mlp([64, 16, 10], runs, norm=BatchNorm)
    train(model, data, runs, epochs=1, lr=0.1)
    before = model[1].running_mean.clone()

    def order(epoch):
        asked.append(("order", epoch))
        return torch.arange(1000)

    def masks(epoch, _model):
        asked.append(("masks", epoch))
        return {}

    train(model, data, runs, epochs=2, lr=0.1, order=order, masks=masks, first_epoch=1)
    assert asked == [("masks", 1), ("order", 1), ("masks", 2), ("order", 2)]
    assert not torch.equal(model[1].running_mean, before)


def test_each_module_is_left_in_the_mode_it_was_in():
    network = nn.Sequential(nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Linear(8, 10))
    network[1].eval()
    data = digits()
    evaluate(single(network), data.x_test, data.y_test)
    assert [layer.training for layer in network] == [True, False, True]
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        evaluate(single(network), data.x_test[:, :5], data.y_test)
    assert [layer.training for layer in network] == [True, False, True]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_the_mean_over_many_samples_does_not_depend_on_the_type_of_the_inputs(dtype):
    drawn = torch.rand(60_000, generator=torch.Generator().manual_seed(0)) < 0.97
    x, y = torch.eye(2)[drawn.long()].to(dtype), torch.ones(60_000, dtype=torch.long)
    network = nn.Linear(2, 2, bias=False).to(dtype)
    network.weight.data.copy_(4 * torch.eye(2))
    loss, accuracy = evaluate(single(network), x, y)
    share = drawn.double().mean().item()
    wrong, right = np.log1p(np.exp([4.0, -4.0]))
    assert accuracy.item() == pytest.approx(share, rel=1e-6)
    assert loss.item() == pytest.approx(share * right + (1 - share) * wrong, rel=1e-4)


@pytest.mark.parametrize("kind", [torch.uint8, torch.int16, torch.int32])
def test_classes_are_whole_numbers_of_any_size(kind):
    x, y, network = torch.randn(20, 4), torch.arange(20) % 3, single(nn.Linear(4, 3))
    expected = evaluate(network, x, y)
    assert all(map(torch.equal, evaluate(network, x, y.to(kind)), expected))
    runs = grid(seed=[0])
    first, second = mlp([4, 3], runs), mlp([4, 3], runs)
    small = Data(x, y.to(kind), x, y.to(kind), x, y.to(kind))
    plain = train(first, Data(x, y, x, y, x, y), runs, epochs=2, lr=0.1, batch_size=8)
    assert train(second, small, runs, epochs=2, lr=0.1, batch_size=8).equals(plain)


def test_inputs_may_be_whole_numbers_and_gradients_sparse():
    class Words(nn.Module):
        def __init__(self, sparse):
            super().__init__()
            torch.manual_seed(0)
            self.words = nn.EmbeddingBag(9, 3, sparse=sparse)

        def forward(self, x):
            return self.words(x)

    x = torch.randint(0, 9, (60, 4), generator=torch.Generator().manual_seed(0))
    data = Data(*[x, x.sum(1) % 3] * 3)
    runs = grid(seed=[0])
    dense, sparse = (
        train(single(Words(kind)), data, runs, epochs=5, lr=0.5, batch_size=20)
        for kind in (False, True)
    )
    xr.testing.assert_allclose(sparse, dense)
