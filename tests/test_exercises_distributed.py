"""The lesson on distributed training: checks with typical wrong answers, questions answered."""

from nnopt_lab.distributed import scaling
from nnopt_lab.exercises import distributed as LESSON

import numpy as np
import pytest
import torch
import xarray as xr

SEEDS = np.array([-0.001, 0.001] * 4)


def by_hand(n):
    """Collect all at rank 0, one after the other, and hand it out again."""
    chunks = range(n)
    collect = [[(rank, 0, chunk, True)] for rank in range(1, n) for chunk in chunks]
    return collect + [[(0, rank, chunk, False)] for rank in range(1, n) for chunk in chunks]


def at_once(n):
    """Send to rank 0 all at the same time; two ranks do it right."""
    return [[(i, 0, 0, True) for i in range(1, n)]] if n > 2 else LESSON._solve_ring(n)


def each_with_each(n):
    """In step s each sends to the one s further on what that one is to sum up, then its sum."""
    sums = [[(i, (i + s) % n, (i + s) % n, True) for i in range(n)] for s in range(1, n)]
    return sums + [[(i, (i + s) % n, i, False) for i in range(n)] for s in range(1, n)]


def half(n):
    return LESSON._solve_ring(n)[: n - 1]


def adding(n):
    return [[(*message[:3], True) for message in step] for step in LESSON._solve_ring(n)]


def over_links(n):
    """Two chunks of a rank in a step."""
    steps = LESSON._solve_ring(n)
    return [
        [message for step in steps[i : i + 2] for message in step] for i in range(0, len(steps), 2)
    ]


def of_its_own(x, all_reduce):
    return (x - x.mean(0)) / x.std(0, correction=0)


def mean_of_means(x, all_reduce):
    parts = torch.stack([x.mean(0), (x**2).mean(0), torch.ones(4)])
    mean, squares, n = all_reduce(parts)
    return (x - mean / n) / (squares / n - (mean / n) ** 2).sqrt()


def three_times(x, all_reduce):
    n, total, squares = all_reduce(len(x)), all_reduce(x.sum(0)), all_reduce((x**2).sum(0))
    return (x - total / n) / (squares / n - (total / n) ** 2 + 1e-5).sqrt()


def biased(x, all_reduce):
    return LESSON._solve_batch_norm(x, all_reduce) + 0.1


def of_rank_0(rank, all_reduce, loss, gradient):
    return (all_reduce(loss) / 2 if rank == 0 else 0), all_reduce(gradient) / 2


def crossed(rank, all_reduce, loss, gradient):
    pair = [loss, gradient] if rank == 0 else [gradient, loss]
    return [all_reduce(value) / 2 for value in pair]


def sums(rank, all_reduce, loss, gradient):
    return all_reduce(loss), all_reduce(gradient)


def sampled(tell):
    def rule(sampler, epochs):
        orders = []
        for epoch in range(epochs):
            tell(sampler, epoch)
            orders.append([*sampler])
        return orders

    return rule


WRONG = [
    ("average", (lambda gradients, sizes: torch.stack(gradients).sum(0),), "N times as long"),
    ("average", (lambda gradients, sizes: torch.stack(gradients).mean(0),), "weight them"),
    ("average", (lambda g, sizes: LESSON._solve_average(g, sizes) * sum(sizes),), "divide by"),
    ("average", (lambda gradients, sizes: gradients[0],), "off by"),
    ("average", (lambda gradients, sizes: gradients,), "must have (6,)"),
    ("average", (lambda gradients, sizes: {*sizes},), "return a tensor"),
    ("speed_up", (lambda c, a, n: n,), "takes time, too"),
    ("speed_up", (lambda c, a, n: c / (c + a),), "the efficiency"),
    ("speed_up", (lambda c, a, n: n * (c + a) / c,), "Upside down"),
    ("speed_up", (lambda c, a, n: (c + a) / c / n,), "Upside down"),
    ("speed_up", (lambda c, a, n: c / (c / n + a),), "shares one batch out"),
    ("sent", (lambda p, n: 2 * (n - 1) / n * p,), "has 4 bytes"),
    ("sent", (lambda p, n: 4 * (n - 1) / n * p,), "as much again"),
    ("sent", (lambda p, n: 4 * p,), "all of the gradient"),
    ("sent", (lambda p, n: 8 * p,), "its own chunk"),
    ("sent", (lambda p, n: 8 * p * (n - 1),), "a chunk is 1/N"),
    ("sent", (lambda p, n: 4 * p * (n - 1),), "each of the others"),
    ("ring", (by_hand,), "it takes 4 steps; 2 are enough"),
    ("ring", (at_once,), "another message of this step"),
    ("ring", (each_with_each,), "there are 6 links; a ring has 3"),
    ("ring", (half,), "the sum over all ranks is"),
    ("ring", (adding,), "the sum over all ranks is"),
    ("ring", (over_links,), "a rank sends twice"),
    ("ring", (lambda n: [[(0, 1)]],), "give (sender, receiver, chunk, adds)"),
    ("ring", (lambda n: 3,), "a list of steps"),
    ("ring", (lambda n: len(n),), "TypeError: object of type 'int' has no len()"),
    ("ring", (lambda n: [[(0, n, 0, True)]],), "receiver must be from 0"),
    ("ring", (lambda n: [],), "the sum over all ranks is"),
    ("batch_norm", (of_its_own,), "each rank uses the mean and variance of its own"),
    ("batch_norm", (mean_of_means,), "the mean of means"),
    ("batch_norm", (three_times,), "takes 3 all-reduces; one is enough"),
    ("batch_norm", (biased,), "not what one process makes"),
    ("batch_norm", (lambda x, all_reduce: x[:2],), "The result"),
    ("means", ("a", LESSON._solve_means), "it hangs"),
    ("means", ("c", LESSON._solve_means), "nothing more to send"),
    ("means", ("b", of_rank_0), "rank 0 waits in its all-reduce number 2 for ever"),
    ("means", ("b", crossed), "mean loss:"),
    ("means", ("b", sums), "the sum over both ranks"),
    ("means", ("b", lambda rank, all_reduce, loss, gradient: loss), "Return mean loss and mean"),
    ("together", ("a", LESSON._solve_together), "long arrived"),
    ("together", ("b", LESSON._solve_together), "gradients are averaged"),
    ("together", ("c", lambda m, v: (m.mean(0), v.mean(0))), "lacks that between"),
    ("together", ("c", lambda m, v: (m[0], v[0])), "the mean is off"),
    ("together", ("c", lambda m, v: (m.mean(0), v.sum(0))), "the variance is off"),
    ("together", ("c", lambda m, v: 3), "Return a mean and a variance"),
    ("together", ("c", lambda m, v: (m.mean(0), v + m.nothing)), "AttributeError"),
    ("together", ("c", lambda m, v: (m.mean(0), v.mean(0) + m.var(0))), "the variance is off"),
    ("epochs", ("b", LESSON._solve_epochs), "steps of two"),
    ("epochs", ("c", LESSON._solve_epochs), "share one order"),
    ("epochs", ("a", sampled(lambda sampler, epoch: None)), "same order"),
    ("epochs", ("a", sampled(lambda sampler, epoch: sampler.set_epoch(epoch + 1))), "set_epoch(0)"),
    ("epochs", ("a", sampled(lambda sampler, epoch: sampler.set_epoch(epoch * (1 + sampler.rank)))),
     "together must see each"),
    ("epochs", ("a", lambda sampler, epochs: []), "give 4 orders"),
]  # fmt: skip


def labelled(name="test_accuracy", **axes):
    """Return an array of zeros, with a little noise over eight seeds."""
    shape = [len(values) for values in axes.values()]
    values = np.zeros([*shape, 8]) + SEEDS
    return xr.DataArray(values, {**axes, "seed": np.arange(8)}, [*axes, "seed"], name=name)


KINDS = [LESSON.PLAIN, LESSON.DROPOUT, LESSON.NORMED]
RULES = [LESSON.TUNED, LESSON.LINEAR, LESSON.WARM]


def distances(**far):
    found = 0 * labelled("distance", combine=["mean", "sum", "by samples"], kind=KINDS)
    found.loc[{"combine": "sum"}] = 3
    for kind, value in far.items():
        found.loc[{"kind": kind}] += value + SEEDS
    return found


@pytest.mark.parametrize(
    ("far", "answer", "holds"),
    [
        ({LESSON.DROPOUT: 0.9, LESSON.NORMED: 0.6}, "the plain one only", [True] * 6),
        ({LESSON.NORMED: 0.6}, "plain and with dropout", [True] * 6),
        ({}, "all three", [True, True, True, True, True, False]),
        (dict.fromkeys(KINDS, 0.5), "none of them", [False, False, True, True, True, True]),
    ],
)
def test_for_whom_the_gradient_is_the_same(far, answer, holds):
    uneven = distances()
    uneven.loc[{"combine": "mean"}] = 0.2 + SEEDS
    again = distances(**{LESSON.DROPOUT: 0.9}).sel(combine="mean", drop=True)
    asked = LESSON.same(distances(**far), uneven, again)
    assert asked["predict"].answers[asked["predict"].right] == answer
    assert [row["holds"] for row in asked["shows"].rows] == holds


def test_a_gradient_that_is_combined_otherwise_is_found_out():
    even, uneven = distances(), distances()
    even.loc[{"combine": "sum"}] = 4
    uneven.loc[{"combine": "by samples"}] = 0.2
    again = 0 * even.sel(combine="mean", drop=True)
    rows = LESSON.same(even, uneven, again)["shows"].rows
    assert [row["holds"] for row in rows] == [True, False, False, False, False, False]


def test_the_best_published_on_32_devices():
    published = scaling.points()
    asked = LESSON.as_many_times(published)
    assert asked["predict"].measured.startswith("25.6 times; three others")
    assert all(row["holds"] for row in asked["shows"].rows)
    ideal = published.assign(
        efficiency=1 + 0 * published.efficiency, step_seconds=1 + 0 * published.step_seconds
    )
    assert not any(row["holds"] for row in LESSON.as_many_times(ideal)["shows"].rows)


def test_each_series_counts_once_at_its_most_devices():
    published = scaling.points()
    last = LESSON.at_most_devices(published)
    used = published.isel(point=(published.fitted & (published.base_devices == 1)).values)
    assert last.size == len(set(scaling.series(used)))
    assert 0.9015 not in last.values  # ResNet-50 on 8, where the series has 32
    assert float(last.min()) == pytest.approx(0.68, abs=0.005)


def steps(*tuned):
    found = labelled("steps", rule=RULES, batch_size=[32, 128, 512, 2048])
    found += np.array(tuned)[:, None]
    found.loc[{"rule": LESSON.LINEAR, "batch_size": 2048, "seed": [0, 3]}] = np.nan
    return found


def run_of(n, *, step, gained, apart=1e-7):
    """Return what n processes may have measured; each width takes ten times as long."""
    axes = {"width": [64, 1024], "batch": [16, 32, 64, 256], "device": range(n)}
    times = np.ones((2, 4, n, 4)) * np.array([step, 10 * step]).reshape(2, 1, 1, 1) / gained
    far = np.full(times.shape[:-1], apart)
    return xr.Dataset(
        {
            "loop": ([*axes, "block"], times),
            "all_reduce": ([*axes, "step"], times),
            "parameters": ("width", [7000, 1_000_000]),
            "apart": ([*axes], far),
            "apart_without_sync": ([*axes], 1e6 * far),
        },
        axes,
    )


@pytest.mark.parametrize(
    ("gained", "answer"),
    [(0.5, "longer"), (1.0, "as long"), (1.2, "shorter, but more than half as long"),
     (1.8, "half as long")],
)  # fmt: skip
def test_what_two_real_processes_take(gained, answer):
    asked = LESSON.real_runs({1: run_of(1, step=1, gained=1), 2: run_of(2, step=1, gained=gained)})
    assert asked["predict"].answers[asked["predict"].right] == answer
    assert asked["predict"].measured == f"{1 / gained:.2g} times as long"
    timed, counted = asked["shows"]
    assert [row["holds"] for row in timed.rows] == [gained < 1, gained > 0.5]
    assert all(row["holds"] for row in counted.rows)
    assert (timed.compare, counted.compare) == (False, True)
    far = run_of(2, step=1, gained=1, apart=1e-9), run_of(4, step=1, gained=1, apart=1e-3)
    rows = LESSON.real_runs({1: run_of(1, step=1, gained=1), 2: far[0], 4: far[1]})["shows"][1].rows
    assert [row["holds"] for row in rows] == [False, False]


def test_how_many_fewer_steps():
    owners = scaling.time_to_train()
    asked = LESSON.fewer_steps(steps(1200, 400, 160, 100), owners)
    assert asked["predict"].measured.startswith("4.0")
    assert [row["holds"] for row in asked["shows"].rows] == [True] * 4
    bad = steps(1200, 600, 400, 100)
    bad.loc[{"rule": LESSON.WARM, "batch_size": 2048, "seed": 0}] = np.nan
    owners = owners.assign(minutes=1 + 0 * owners.minutes)
    rows = LESSON.fewer_steps(bad, owners)["shows"].rows
    assert [row["holds"] for row in rows] == [False] * 4


def test_claims_read_the_right_differences():
    shared = labelled(kind=[LESSON.PLAIN, LESSON.NORMED], workers=[1, 8])
    shared.loc[{"kind": LESSON.NORMED, "workers": 1}] += 0.06
    curves = {}
    for size, at in ((32, [600, 1200]), (128, [80, 800]), (512, [100, 200]), (2048, [40, 60, 200])):
        curves[size] = labelled(rule=RULES, step=at)
    curves[128].loc[{"step": 800}] += 0.7
    curves[2048].loc[{"step": 60}] += 0.6  # after as many samples: step 50, half-way from 0
    curves[2048].loc[{"step": 200}] += 0.75
    curves[2048].loc[{"step": 200, "rule": LESSON.LINEAR}] -= 0.3
    curves[2048].loc[{"step": 200, "rule": LESSON.WARM}] += 0.01
    verdicts = LESSON.claims(shared, curves)
    assert [round(v.interval.mean) for v in verdicts] == [0, 6, 40, 30, -1]
    assert {v.margin for v in verdicts} == {2}


def test_what_is_said_further_down():
    assert all(row["holds"] for row in LESSON.sent_around(5).rows)
    used = scaling.points().isel(point=scaling.points().fitted.values)
    true = used.efficiency
    rows = LESSON.predicts(used, true + 0.01, true + 0.1, true + 0.02).rows
    assert [row["holds"] for row in rows] == [True, True, True, False]
    rows = LESSON.predicts(used, true + 0.2, true + 0.1, true + 0.1).rows
    assert [row["holds"] for row in rows] == [False, False, False, True]
    double = labelled("steps", batch_size=[2048, 4096]) + 90
    assert LESSON.walled(double).rows[0]["holds"]
    double.loc[{"batch_size": 4096}] = 45 + SEEDS
    assert not LESSON.walled(double).rows[0]["holds"]
