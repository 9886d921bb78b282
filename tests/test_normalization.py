"""Batch norm against torch's own, and a microscope that leaves no trace."""

from copy import deepcopy

from nnopt_lab import normalization
from nnopt_lab.data import digits
from nnopt_lab.grid import grid
from nnopt_lab.networks import BatchNorm, mlp, single
from nnopt_lab.recording import Recorder
from nnopt_lab.training import evaluate, train

import pytest
import torch
from torch import nn

X = torch.randn(6, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
DIGITS = digits()
RUNS = grid(seed=range(3))


def trained(**options):
    """Return three small networks with batch norm, trained for an epoch."""
    model = mlp([64, 12, 12, 10], RUNS, norm=BatchNorm, **options)
    train(model, DIGITS, RUNS, epochs=1, lr=0.1)
    return model


def state(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def test_forward_gradients_and_running_averages_are_those_of_torch():
    theirs = nn.BatchNorm1d(3, dtype=torch.float64)
    nn.init.normal_(theirs.weight, generator=torch.Generator().manual_seed(1))
    nn.init.normal_(theirs.bias, generator=torch.Generator().manual_seed(2))
    gamma, beta = (p.detach().clone().requires_grad_() for p in (theirs.weight, theirs.bias))
    x, y = (X.clone().requires_grad_() for _ in range(2))
    running = normalization.Running(theirs.running_mean.clone(), theirs.running_var.clone())
    for scale in (1, 3):
        ours, right = normalization.batch_norm(scale * x, gamma, beta).output, theirs(scale * y)
        torch.testing.assert_close(ours, right, rtol=0, atol=1e-6)
        for output in (ours, right):
            (output**3).sum().backward()
        running = running.after(scale * X)
    torch.testing.assert_close(x.grad, y.grad, rtol=0, atol=1e-6)
    torch.testing.assert_close(gamma.grad, theirs.weight.grad, rtol=0, atol=1e-6)
    torch.testing.assert_close(beta.grad, theirs.bias.grad, rtol=0, atol=1e-6)
    torch.testing.assert_close(running.mean, theirs.running_mean, rtol=0, atol=1e-6)
    torch.testing.assert_close(running.variance, theirs.running_var, rtol=0, atol=1e-6)


def test_the_four_steps_by_hand():
    steps = normalization.batch_norm(torch.tensor([[2.0], [4], [4], [6]]), 3.0, 1.0, eps=0.0)
    assert (steps.mean.item(), steps.variance.item()) == (4, 2)
    root = 2**0.5
    torch.testing.assert_close(steps.normalised, torch.tensor([[-root], [0], [0], [root]]))
    torch.testing.assert_close(steps.output, 3 * steps.normalised + 1)


@pytest.mark.parametrize("shape", [(1, 3), (3,), (2, 3, 4)])
def test_what_is_no_batch_is_refused(shape):
    with pytest.raises(ValueError, match="two samples at least"):
        normalization.batch_norm(torch.zeros(shape))


@pytest.mark.parametrize("training", [True, False])
def test_a_mode_ends_with_its_block_and_leaves_no_trace(training):
    model = trained()
    model[1].train()  # modes may be mixed
    before, modes = state(model), [module.training for module in model.modules()]

    def use():
        with normalization.in_mode(model, training=training):
            assert all(module.training == training for module in model.modules())
            assert not model(DIGITS.x_test[None, :20]).requires_grad
            raise KeyError

    with pytest.raises(KeyError):
        use()
    torch.testing.assert_close(state(model), before, rtol=0, atol=0)
    assert [module.training for module in model.modules()] == modes


def test_the_microscope_against_one_network_by_hand():
    model, x = trained(), DIGITS.x_validation[:40]
    before = state(model)
    found = normalization.inside(x)(model)
    torch.testing.assert_close(state(model), before, rtol=0, atol=0)
    alone = model.unstack(1).train()
    for layer in range(2):
        values = alone[: 3 * layer + 2](x)
        spread = values.std(0, correction=0)
        assert found["mean"][1, layer].item() == pytest.approx(values.mean().item(), abs=1e-5)
        assert found["spread"][1, layer].item() == pytest.approx(spread.mean().item(), rel=1e-4)
        dead = (values <= 0).all(0).float().mean().item()
        assert found["dead"][1, layer].item() == pytest.approx(dead)
        counts = found["histogram"][1, layer] * 12
        assert counts.sum().item() == pytest.approx(12)
        middle = (normalization.DECADES * counts).sum() / 12
        assert abs(middle - spread.log10().mean()) < 1 / normalization.BINS_A_DECADE


def test_evaluation_mode_shows_what_the_averages_make_of_it():
    model, x = mlp([64, 12, 12, 10], RUNS, norm=BatchNorm), DIGITS.x_validation[:40]
    by_batch = normalization.inside(x)(model)["spread"]
    by_averages = normalization.inside(x, training=False)(model)["spread"]
    torch.testing.assert_close(by_batch, torch.ones(3, 2), rtol=0.01, atol=0)
    assert (by_averages < 0.5).all()  # they know nothing yet: mean 0, variance 1


class Own(nn.Module):
    """A network of a learner's own, that fails when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.norm, self.relu = nn.Conv1d(1, 4, 3), nn.BatchNorm1d(4), nn.GELU()
        self.out, self.is_broken = nn.Linear(4 * 62, 10), False

    def forward(self, x):
        x = self.relu(self.norm(self.convolution(x.unsqueeze(1))))
        if self.is_broken:
            raise KeyError("broken")
        return self.out(x.flatten(1))


def test_the_microscope_on_a_network_of_ones_own_and_its_hooks_go_after_an_error():
    own, x = Own(), DIGITS.x_validation[:40]
    measure = normalization.inside(x, before=nn.GELU)
    found = measure(single(own))
    values = own.train().norm(own.convolution(x.unsqueeze(1)))
    assert {name: tuple(value.shape) for name, value in found.items()} == {
        "mean": (1, 1), "spread": (1, 1), "dead": (1, 1),
        "histogram": (1, 1, len(normalization.DECADES)),
    }  # fmt: skip
    spread = values.std((0, 2), correction=0).mean().item()
    assert found["spread"].item() == pytest.approx(spread, rel=1e-4)
    own.is_broken, before = True, state(own)
    with pytest.raises(KeyError):
        measure(single(own))
    assert not any(module._forward_pre_hooks for module in own.modules())
    torch.testing.assert_close(state(own), before, rtol=0, atol=0)
    with pytest.raises(ValueError, match="no ReLU"):
        normalization.inside(x)(single(own))


def test_a_recorder_watches_both_and_training_is_not_disturbed():
    recorder = Recorder(normalization.inside(DIGITS.x_validation[:40]), at=[0, 5])
    mover = Recorder(normalization.changes(), at=[0, 1, 5])
    watched, alone = (mlp([64, 12, 12, 10], RUNS, norm=BatchNorm) for _ in range(2))
    train(watched, DIGITS, RUNS, epochs=1, lr=0.1, watch=[recorder, mover])
    train(alone, DIGITS, RUNS, epochs=1, lr=0.1)
    torch.testing.assert_close(state(watched), state(alone), rtol=0, atol=0)
    spread = recorder.dataset(RUNS, layer=[1, 2], decade=normalization.DECADES.tolist()).spread
    assert spread.dims == ("seed", "layer", "step")
    found = mover.dataset(RUNS, layer=[1, 2, 3]).change
    assert bool(found.sel(step=0).isnull().all())
    assert bool((found.sel(step=5) > found.sel(step=1)).all())


def test_changes_by_hand():
    model = single(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)))
    measure = normalization.changes()
    with torch.no_grad():
        model.module[0].weight.copy_(torch.tensor([[3.0, 0], [0, 4]]))
        measure(model)
        model.module[0].weight += torch.tensor([[0, 0.3], [0.4, 0]])
    assert measure(model)["change"].item() == pytest.approx(0.1)


def test_accuracy_in_batches_is_that_of_each_mode():
    model, x, y = trained(), DIGITS.x_test, DIGITS.y_test
    _, accuracy = evaluate(model, x, y)
    found = normalization.accuracy_in_batches(model, x, y, 100, training=False)
    torch.testing.assert_close(found, accuracy)
    alone = model.unstack(0).train()
    right = [alone(x[i : i + 4]).argmax(1) == y[i : i + 4] for i in range(0, 500, 4)]
    found = normalization.accuracy_in_batches(model, x, y, 4)
    assert found[0].item() == pytest.approx(torch.cat(right).float().mean().item(), abs=0.005)
    with pytest.raises(ValueError, match="from 1 to 500"):
        normalization.accuracy_in_batches(model, x, y, 501)


def test_recalibrating_leaves_dropout_off_and_every_mode_as_it_was():
    torch.manual_seed(0)
    layers = [nn.Dropout(0.5), nn.BatchNorm1d(64), nn.BatchNorm1d(64, track_running_stats=False)]
    network, x = nn.Sequential(*layers, nn.Linear(64, 10)), DIGITS.x_train
    network[1].eval()
    normalization.recalibrate(single(network), x, 100)
    torch.testing.assert_close(network[1].running_mean, x.mean(0), rtol=1e-4, atol=1e-5)
    assert [module.training for module in network] == [True, False, True, True]


def test_recalibrated_averages_are_those_of_all_batches():
    model, x = trained(), DIGITS.x_train
    weights = state(model)
    normalization.recalibrate(model, x, 100)
    assert not model.training
    assert model[1].momentum == 0.1
    values = model[0](x[None].mT)
    batches = values.unflatten(-1, (-1, 100))
    torch.testing.assert_close(model[1].running_mean, batches.mean((-2, -1)), rtol=1e-4, atol=1e-5)
    variance = batches.var(-1).mean(-1)
    torch.testing.assert_close(model[1].running_var, variance, rtol=1e-4, atol=1e-5)
    assert all(torch.equal(p, weights[name]) for name, p in model.named_parameters())


@pytest.mark.parametrize("place", ["before layer", "before relu", "after relu"])
def test_a_folded_network_gives_the_same_outputs(place):
    network, x = trained(norm_at=place).unstack(0), DIGITS.x_test
    before = state(network)
    folded = normalization.fold(network)
    assert [type(layer) for layer in folded] == [
        nn.Linear, nn.ReLU, nn.Linear, nn.ReLU, nn.Linear,
    ]  # fmt: skip
    right = network(x)
    assert (folded(x) - right).abs().max() <= 1e-6 * right.abs().max()
    torch.testing.assert_close(state(network), before, rtol=0, atol=0)


def test_a_linear_layer_without_bias_is_folded_too():
    network = nn.Sequential(nn.Linear(3, 4, bias=False), nn.BatchNorm1d(4, affine=False)).double()
    network(X)
    network.eval()
    torch.testing.assert_close(normalization.fold(network)(X), network(X))


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.BatchNorm1d(4)), "number 2"),
        (
            nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4, track_running_stats=False)),
            "no running",
        ),
    ],
)
def test_what_cannot_be_folded_is_refused(network, message):
    with pytest.raises(ValueError, match=message):
        normalization.fold(deepcopy(network))


def test_after_an_error_the_averages_follow_as_fast_as_before():
    model = mlp([5, 7, 3], grid(seed=[0]), norm=BatchNorm)
    with pytest.raises(ValueError, match="more than 1 value"):
        normalization.recalibrate(model, torch.randn(5, 5), 2)
    assert model[1].momentum == 0.1
    assert all(layer.training for layer in model)
