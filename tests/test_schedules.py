import math
import warnings
from itertools import pairwise

from nnopt_lab import schedules
from nnopt_lab.data import mnist1d
from nnopt_lab.grid import grid
from nnopt_lab.networks import mlp
from nnopt_lab.schedules import (
    Probe,
    compare,
    constant,
    cosine,
    inverse_sqrt,
    linear,
    per_epoch,
    scheduler,
    stable_then_decay,
    step_decay,
    table,
    warm_up,
)
from nnopt_lab.training import n_steps, train

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import SGD, lr_scheduler

N = 200


def applied_by_torch(make, n=N, lr=0.1):
    """The rates of a torch scheduler stepped n times in an ordinary loop."""
    optimizer = SGD(nn.Linear(1, 1).parameters(), lr=lr)
    planned = make(optimizer)
    rates = []
    for _ in range(n):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        with warnings.catch_warnings():  # SequentialLR steps its parts in a way torch deprecates
            warnings.filterwarnings("ignore", "The epoch parameter", UserWarning)
            planned.step()
    return np.array(rates)


TORCH = {
    "LambdaLR": (
        inverse_sqrt(0.1, 0.03),
        lambda o: lr_scheduler.LambdaLR(o, lambda t: (1 + 0.03 * t) ** -0.5),
    ),
    "StepLR": (step_decay(0.1, 0.5, 10), lambda o: lr_scheduler.StepLR(o, 10, 0.5)),
    "ExponentialLR": (step_decay(0.1, 0.97, 1), lambda o: lr_scheduler.ExponentialLR(o, 0.97)),
    "LinearLR": (linear(0.1, 150), lambda o: lr_scheduler.LinearLR(o, 1, 0, 150)),
    "LinearLR to .02": (
        linear(0.1, 150, end=0.02),
        lambda o: lr_scheduler.LinearLR(o, 1, 0.2, 150),
    ),
    "stable, then LinearLR": (
        stable_then_decay(0.1, N),
        lambda o: lr_scheduler.SequentialLR(
            o,
            [lr_scheduler.ConstantLR(o, 1, 1), lr_scheduler.LinearLR(o, 1, 0, N // 5)],
            milestones=[N - N // 5],
        ),
    ),
    "CosineAnnealingLR": (cosine(0.1, N), lambda o: lr_scheduler.CosineAnnealingLR(o, N)),
    "SequentialLR": (
        warm_up(cosine(0.1, N - 20), 20),
        lambda o: lr_scheduler.SequentialLR(
            o,
            [
                lr_scheduler.LinearLR(o, 1 / 20, 1, 19),
                lr_scheduler.CosineAnnealingLR(o, N - 20),
            ],
            milestones=[20],
        ),
    ),
}


@pytest.mark.parametrize("name", TORCH)
def test_equal_to_torch_over_a_whole_run(name):
    ours, make = TORCH[name]
    np.testing.assert_allclose(table(ours, N), applied_by_torch(make), rtol=0, atol=1e-7)


@pytest.mark.parametrize("name", TORCH)
def test_the_bridge_gives_torch_our_rates(name):
    ours, _ = TORCH[name]
    for lr in (0.1, 3.0):  # whatever the optimizer was made with
        theirs = applied_by_torch(lambda o: scheduler(o, ours), lr=lr)
        np.testing.assert_allclose(theirs, table(ours, N), rtol=1e-12, atol=1e-16)


def test_the_bridge_keeps_the_ratios_of_groups():
    layers = nn.Linear(1, 1), nn.Linear(1, 1)
    groups = [
        {"params": layers[0].parameters(), "lr": 0.1},
        {"params": layers[1].parameters(), "lr": 0.01},
    ]
    optimizer = SGD(groups)  # whose own rate is another
    scheduler(optimizer, constant(0.3))
    scheduler(optimizer, constant(0.3))  # made anew
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.3, 0.03])


def test_the_table_in_the_documentation():
    documented = {
        "constant": constant(0.1),
        "inverse_sqrt": inverse_sqrt(0.1, 0.1),
        "step_decay": step_decay(0.1, 0.5, 10),
        "linear": linear(0.1, 100),
        "cosine": cosine(0.1, 100),
        "stable_then_decay": stable_then_decay(0.1, 100),
        "warm_up(constant, 20)": warm_up(constant(0.1), 20),
    }
    _, head, rows, *_ = schedules.__doc__.split("\n====")
    times = [int(t) for t in head.splitlines()[1].split()[1:]]
    found = {row[:28].strip(): row[28:].split() for row in rows.splitlines()[1:]}
    assert found == {
        name: [f"{schedule(t):.5f}" for t in times] for name, schedule in documented.items()
    }


def test_the_half_life():
    assert inverse_sqrt(0.2, 0.01)(300) == pytest.approx(0.1)


def test_one_rate_for_each_network():
    alpha0, delta = torch.tensor([0.1, 0.2, 0.4]), torch.tensor([0.0, 0.1, 1.0])
    for each in (
        lambda a, d: inverse_sqrt(a, d),
        lambda a, d: warm_up(inverse_sqrt(a, d), 5),
        lambda a, d: step_decay(a, 1 / (1 + d), 3),
        lambda a, _: cosine(a, 30, end=0.01),
        lambda a, _: stable_then_decay(a, 30),
    ):
        together = table(each(alpha0, delta), 40)
        assert together.shape == (40, 3)
        for k in range(3):
            alone = table(each(float(alpha0[k]), float(delta[k])), 40)
            np.testing.assert_allclose(together[:, k], alone, rtol=1e-5)


def test_a_population_is_trained_at_these_rates():
    data, runs = mnist1d(640), grid(delta=[0.0, 0.1], seed=[0])
    history = train(
        mlp([40, 8, 10], runs), data, runs, epochs=2, lr=inverse_sqrt(0.1, runs["delta"])
    )
    last = history.learning_rate.sel(epoch=2, seed=0)
    np.testing.assert_allclose(last, [0.1, 0.1 / math.sqrt(1 + 0.1 * (n_steps(data, 2) - 1))], 1e-6)


def test_per_epoch_keeps_the_rate_within_an_epoch():
    rates = table(per_epoch(inverse_sqrt(0.1, 1.0), 7), 21)
    assert len(set(rates[:7])) == 1
    assert rates[::7] == pytest.approx(table(inverse_sqrt(0.1, 1.0), 3))


def test_the_listing_of_the_chapter_stays_eleven_epochs_in_its_first_stage():
    optimizer = SGD(nn.Linear(1, 1).parameters(), lr=0.1)
    rates = []
    for epoch in range(40):
        rates.append(optimizer.param_groups[0]["lr"])
        for group in optimizer.param_groups:
            group["lr"] = 0.1 * 0.5 ** (epoch // 10)
    assert rates.count(0.1) == 11


def test_no_schedule_rises_but_a_warm_up():
    for ours in (inverse_sqrt(1, 0.1), cosine(1, 50), linear(1, 50), stable_then_decay(1, 50)):
        assert all(a >= b >= 0 for a, b in pairwise(table(ours, 99)))
    rising = table(warm_up(constant(1.0), 10), 12)
    np.testing.assert_allclose(rising, [*np.arange(0.1, 1.05, 0.1), 1, 1])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: inverse_sqrt(0, 0.1), "alpha0 is 0; give a number above 0"),
        (lambda: inverse_sqrt(0.1, -1), "delta is -1; give a number from 0"),
        (lambda: inverse_sqrt(math.inf, 1), "alpha0 is inf"),
        (lambda: inverse_sqrt(torch.tensor([0.1, -0.1]), 1), "alpha0 is tensor"),
        (lambda: step_decay(0.1, 1.5, 10), "factor is 1.5; give a number above 0, at most 1"),
        (lambda: step_decay(0.1, 0.5, 0), "every is 0; give a whole number from 1"),
        (lambda: cosine(0.1, 2.5), "n is 2.5"),
        (lambda: linear(0.1, 10, end=-1), "end is -1"),
        (lambda: stable_then_decay(0.1, 10, share=0), "share is 0; give a number above 0, at most"),
        (lambda: warm_up(constant(0.1), 0), "n is 0"),
        (lambda: per_epoch(constant(0.1), 0), "steps_per_epoch is 0"),
        (lambda: table(constant(0.1), 0), "n is 0"),
        (lambda: schedules.compare([0.1], [0.1, 0.1]), "give"),
    ],
)
def test_bad_values_are_named(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_a_probe_sees_every_step_and_changes_nothing():
    torch.manual_seed(0)
    layers = [nn.Linear(2, 1) for _ in range(2)]
    layers[1].load_state_dict(layers[0].state_dict())
    x = torch.randn(20, 5, 2)
    for layer in layers:
        optimizer = SGD(layer.parameters(), lr=0.1, momentum=0.9)
        plan = scheduler(optimizer, cosine(0.1, 20))
        if layer is layers[0]:
            probe = schedules.Probe(optimizer)
        for batch in x:
            optimizer.zero_grad()
            layer(batch).square().mean().backward()
            optimizer.step()
            plan.step()
    assert torch.equal(layers[0].weight, layers[1].weight)
    np.testing.assert_allclose(probe.rates, table(cosine(0.1, 20), 20), atol=1e-12)
    assert probe.compare(cosine(0.1, 20)) == "Plan and practice agree at all 20 steps."
    assert "part at step 1" in probe.compare(cosine(0.1, 30))
    probe.close()
    optimizer.step()
    assert len(probe.rates) == 20


def test_a_probe_says_where_plan_and_practice_part():
    planned = table(step_decay(0.1, 0.5, 10), 40)
    applied = [planned[0], *planned[:-1]]  # each rate written after its time
    words = schedules.compare(planned, applied)
    assert words.startswith("Plan and practice part at step 10: planned 0.05, applied 0.1.")
    assert "differ at 3 of 40 steps" in words
    optimizer = SGD(nn.Linear(1, 1).parameters(), lr=0.1)
    assert schedules.Probe(optimizer).compare(constant(0.1)).startswith("No step was taken")


def test_a_scheduler_goes_on_beside_an_optimizer_made_with_another_rate():
    plan = inverse_sqrt(0.1, 0.5)

    def made(lr):
        groups = [{"params": nn.Linear(1, 1).parameters(), "lr": r} for r in (lr, 3 * lr)]
        optimizer = SGD(groups)
        return optimizer, scheduler(optimizer, plan)

    first, second = made(0.1), made(0.5)
    for _ in range(3):
        for part in first:
            part.step()
    for old, new in zip(first, second, strict=True):
        new.load_state_dict(old.state_dict())
    for part in second:
        part.step()
    assert [g["lr"] for g in second[0].param_groups] == pytest.approx([plan(4), 3 * plan(4)])


def test_an_optimizer_made_with_a_rate_of_0_is_refused():
    with pytest.raises(ValueError, match=r"the optimizer's rate is 0\.0; give a number above 0"):
        scheduler(SGD(nn.Linear(1, 1).parameters(), lr=0.0), constant(0.1))


def test_another_group_with_another_rate_is_named():
    groups = [{"params": nn.Linear(1, 1).parameters(), "lr": r} for r in (0.1, 0.1, 0.5)]
    optimizer = SGD(groups)
    probe = Probe(optimizer)
    optimizer.step()
    said = probe.compare(constant(0.1))
    assert said.startswith("Plan and practice agree at all 1 steps. This is group 0; groups [2]")


def test_rates_that_differ_are_told_apart():
    assert "planned 0.1, applied 0.100001." in compare([0.1], [0.1 + 1e-6])
    assert compare([0, 0], [0.1, 0.1]).endswith("They differ at 2 of 2 steps.")


@pytest.mark.parametrize("kind", [list, tuple, np.array, torch.tensor])
def test_rates_of_several_networks_may_be_a_list(kind):
    for made in (inverse_sqrt(kind([0.1, 0.2]), kind([0.0, 1.0])), cosine(kind([0.1, 0.2]), 9)):
        assert np.shape(table(made, 4)) == (4, 2)
        np.testing.assert_allclose(table(made, 1), [[0.1, 0.2]], rtol=1e-6)
