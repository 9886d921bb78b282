from nnopt_lab.data import digits
from nnopt_lab.distributed.gradients import among, distance
from nnopt_lab.grid import grid
from nnopt_lab.networks import BatchNorm, mlp, single
from nnopt_lab.training import backpropagate, train

import pytest
import torch
from torch import nn

DATA, RUNS = digits(), grid(seed=range(2))
BATCH = DATA.x_train[:64].unsqueeze(0).double(), DATA.y_train[:64].expand(2, -1)
EVEN, UNEVEN = [1, 1, 1, 1], [5, 1, 1, 1]


def apart(shares, combine, **options) -> float:
    model = mlp([64, 16, 10], RUNS, **options).double().train()
    other = among(shares, backpropagate, combine=combine)
    return float(distance(model, backpropagate, other, *BATCH).max())


@pytest.mark.parametrize("combine", ["mean", "by samples"])
def test_equal_parts_give_the_gradient_of_the_whole_batch(combine):
    assert apart(EVEN, combine) < 1e-14


def test_uneven_parts_must_be_weighted_by_their_samples():
    assert apart(UNEVEN, "by samples") < 1e-14
    assert apart(UNEVEN, "mean") > 0.05


def test_a_sum_is_as_many_times_too_long_as_there_are_workers():
    assert apart(EVEN, "sum") == pytest.approx(3)
    assert apart([1] * 8, "sum") == pytest.approx(7)


def test_batch_norm_sees_the_workers_samples_only():
    assert apart(EVEN, "mean", norm=BatchNorm) > 0.01


def test_dropout_draws_another_pattern():
    model = single(nn.Sequential(nn.Linear(64, 32), nn.Dropout(0.5), nn.ReLU(), nn.Linear(32, 10)))
    model.double().train()
    x, y = BATCH[0], BATCH[1][:1]
    assert distance(model, backpropagate, among(EVEN, backpropagate), x, y) > 0.01
    model.eval()
    assert distance(model, backpropagate, among(EVEN, backpropagate), x, y) < 1e-14


def test_loss_and_accuracy_are_those_of_the_whole_batch():
    model = mlp([64, 16, 10], RUNS).double()
    whole, parts = backpropagate(model, *BATCH), among(UNEVEN, backpropagate)(model, *BATCH)
    for one, other in zip(whole, parts, strict=True):
        torch.testing.assert_close(one.detach(), other.detach())


def test_running_averages_are_those_of_the_first_worker():
    model, alone = (mlp([64, 16, 10], RUNS, norm=BatchNorm).double().train() for _ in range(2))
    among(EVEN, backpropagate)(model, *BATCH)
    backpropagate(alone, BATCH[0][:, :16], BATCH[1][:, :16])
    for one, other in zip(model.buffers(), alone.buffers(), strict=True):
        assert torch.equal(one, other)


def test_what_is_frozen_gets_no_gradient():
    model = mlp([64, 16, 10], RUNS).double()
    frozen = next(model.parameters()).requires_grad_(False)
    among(EVEN, backpropagate)(model, *BATCH)
    assert frozen.grad is None
    assert distance(model, backpropagate, among(EVEN, backpropagate), *BATCH).max() < 1e-14


def test_each_network_has_its_own_distance():
    model = mlp([64, 16, 10], RUNS, norm=BatchNorm).double().train()
    both = distance(model, backpropagate, among(EVEN, backpropagate), *BATCH)
    second = single(model.unstack(1)).train()
    alone = (BATCH[0], BATCH[1][1:])
    one = distance(second, backpropagate, among(EVEN, backpropagate), *alone)
    torch.testing.assert_close(both[1:], one)


def test_comparing_leaves_the_model_as_it_was():
    model = mlp([64, 16, 10], RUNS, norm=BatchNorm).double().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    distance(model, backpropagate, among(EVEN, backpropagate), *BATCH)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_training_by_four_workers_is_training_by_one():
    histories = []
    for gradient in (backpropagate, among(EVEN, backpropagate, combine="by samples")):
        model = mlp([64, 16, 10], RUNS)
        histories.append(train(model, DATA, RUNS, epochs=1, lr=0.01, gradient=gradient))
    one, four = histories
    for name in ("training_loss", "training_accuracy", "test_loss"):
        torch.testing.assert_close(
            *(torch.tensor(h[name].values) for h in (one, four)), atol=1e-5, rtol=1e-4
        )


def test_bad_input_is_said():
    with pytest.raises(ValueError, match=r"shares is \[\]; give a number above 0 for each worker"):
        among([], backpropagate)
    for bad in (0, float("nan")):
        with pytest.raises(ValueError, match=r"shares is \[1, .*\]; give a number above 0"):
            among([1, bad], backpropagate)
    with pytest.raises(ValueError, match="combine is 'median'; give one of mean, sum, by samples"):
        among([1], backpropagate, combine="median")
    with pytest.raises(
        ValueError, match="a batch of 3 among 4 workers leaves one without a sample"
    ):
        among(EVEN, backpropagate)(
            mlp([64, 16, 10], RUNS), BATCH[0][:, :3].float(), BATCH[1][:, :3]
        )
