"""The lesson on batch norm: checks with typical wrong answers, questions answered by the run."""

from nnopt_lab.exercises import normalization as LESSON

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

SEEDS = np.array([-0.001, 0.001] * 4)


def norm(x, gamma, beta, eps, *, dim=0, correction=0):
    mean = x.mean(dim, keepdim=True)
    return (x - mean) / (x.var(dim, correction=correction, keepdim=True) + eps).sqrt()


def outside(x, gamma, beta, eps):
    return gamma * (x - x.mean(0)) / (x.std(0, correction=0) + eps) + beta


def running(momentum_of_new=True, correction=1):
    def rule(mean, variance, x, momentum):
        new = momentum if momentum_of_new else 1 - momentum
        newest = x.var(0, correction=correction)
        return (1 - new) * mean + new * x.mean(0), (1 - new) * variance + new * newest

    return rule


def folded(bias_of):
    def rule(weight, bias, mean, variance, gamma, beta, eps):
        scale = gamma / (variance + eps).sqrt()
        return weight * scale[:, None], bias_of(bias, mean, scale, beta)

    return rule


def validated(ends, *, in_training=False):
    def rule(net, x):
        net.train(in_training)
        outputs = net(x).detach()
        net.train(ends)
        return outputs

    return rule


def batch_norms(net):
    return [module for module in net.modules() if isinstance(module, nn.BatchNorm1d)]


def frozen_parameters(net):
    for norm in batch_norms(net):
        norm.requires_grad_(False)


def frozen_without_averages(net):
    for norm in batch_norms(net):
        norm.track_running_stats = False
    frozen_parameters(net)


def forgotten(net):
    LESSON._solve_freeze(net)
    net[1].reset_running_stats()


def frozen_last(net):
    LESSON._solve_freeze(net)
    net[2].requires_grad_(False)


def frozen_all(net):
    net.requires_grad_(False)
    for norm in batch_norms(net):
        norm.eval()


def frozen_too_much(net):
    LESSON._solve_freeze(net)
    net[0][3].eval()


def weights_only(average, net, decay):
    with torch.no_grad():
        for mine, new in zip(average.parameters(), net.parameters(), strict=True):
            mine.lerp_(new, 1 - decay)


def turned(average, net, decay):
    LESSON._solve_average(average, net, 1 - decay)


def shared(average, net, decay):
    weights_only(average, net, decay)
    average[1]._buffers = net[1]._buffers


def wakes_the_frozen(net, x):
    was_training = net.training
    outputs = net.eval()(x)
    net.train(was_training)
    return outputs


WRONG = [
    ("forward", (lambda x, g, b, e: g * norm(x, g, b, e, correction=1) + b,), "n - 1"),
    ("forward", (lambda x, g, b, e: g * norm(x, g, b, e, dim=1) + b,), "layer norm"),
    ("forward", (outside,), "under the root"),
    ("forward", (lambda x, g, b, e: g * (x - x.mean(0)) / (x.var(0, correction=0) + e) + b,),
     "take its root"),
    ("forward", (norm,), "gamma and beta are missing"),
    ("forward", (lambda x, g, b, e: g * (norm(x, g, b, e) + b),), "First gamma"),
    ("forward", (lambda x, g, b, e: x,), "off by up to"),
    ("forward", (lambda x, g, b, e: x[0],), "it must have (6, 4)"),
    ("running", (running(False),), "weight of the new batch"),
    ("running", (running(correction=0),), "n - 1"),
    ("running", (lambda m, v, x, momentum: LESSON._solve_running(m, v, x, 0.2),), "off by"),
    ("layer_norm", (lambda x, eps: LESSON._solve_layer_norm(x, 1e-3),), "off by"),
    ("running", (lambda mean, variance, x, momentum: x.mean(0),), "Return two tensors"),
    ("folding", (folded(lambda b, m, s, beta: b),), "goes through batch norm"),
    ("folding", (folded(lambda b, m, s, beta: beta - m * s),), "old bias is lost"),
    ("folding", (folded(lambda b, m, s, beta: b - m + beta),), "not scaled"),
    ("folding", (lambda *parts: LESSON._solve_fold(*parts[:-1], 0.0),), "eps is missing"),
    ("folding", (lambda w, b, *rest: w,), "Return two tensors"),
    ("pair", (lambda a, b: (2**-0.5, -(2**-0.5)) if a > b else (-(2**-0.5), 2**-0.5),), "n - 1"),
    ("pair", (lambda a, b: (1.0, -1.0),), "-1 is right"),
    ("pair", (lambda a, b: (1.0, -1.0) if a > b else (-1.0, 1.0),), "0 is right"),
    ("pair", (lambda a, b: 1.0,), "Return two numbers"),
    ("layer_norm", (lambda x, eps: norm(x, 1, 0, eps),), "batch norm"),
    ("layer_norm", (lambda x, eps: norm(x, 1, 0, eps, dim=1, correction=1),), "n - 1"),
    ("stand_still", ("a", LESSON._solve_validate), "all the time"),
    ("stand_still", ("c", LESSON._solve_validate), "without any"),
    ("stand_still", ("b", validated(True)), "leaves in the other"),
    ("stand_still", ("b", validated(False)), "leaves in the other"),
    ("stand_still", ("b", wakes_the_frozen), "put back that of each"),
    ("stand_still", ("b", validated(True, in_training=True)), "moved the averages"),
    ("stand_still", ("b", lambda net, x: torch.zeros(6, 2)), "not its outputs"),
    ("drift", ("a", LESSON._solve_freeze), "does not know"),
    ("drift", ("b", LESSON._solve_freeze), "no averages"),
    ("drift", ("c", frozen_parameters), "moves averages"),
    ("drift", ("c", lambda net: [norm.eval() for norm in batch_norms(net)]), "still get gradients"),
    ("drift", ("c", lambda net: net[1].eval().requires_grad_(False)), "in a part of the network"),
    ("drift", ("c", forgotten), "in a part of the network"),
    ("drift", ("c", lambda net: net.__setitem__(1, nn.Identity())), "has other layers"),
    ("drift", ("c", frozen_all), "go on learning"),
    ("drift", ("c", frozen_last), "go on learning"),
    ("drift", ("c", frozen_without_averages), "normalises by the batch"),
    ("drift", ("c", frozen_too_much), "Dropout"),
    ("left_behind", ("b", LESSON._solve_average), "normalise by nothing"),
    ("left_behind", ("c", LESSON._solve_average), "near them"),
    ("left_behind", ("a", weights_only), "left behind"),
    ("left_behind", ("a", turned), "decay * average"),
    ("left_behind", ("a", lambda a, n, d: LESSON._solve_average(a, n, 0.9)), "decay * average"),
    ("left_behind", ("a", shared), "share one running average"),
]  # fmt: skip


def labelled(name="test_accuracy", **axes):
    """Return an array of zeros, with a little noise over eight seeds."""
    shape = [len(values) for values in axes.values()]
    values = np.zeros([*shape, 8]) + SEEDS
    return xr.DataArray(values, {**axes, "seed": np.arange(8)}, [*axes, "seed"], name=name)


NORMS = [LESSON.WITHOUT, LESSON.WITH]


def test_a_network_that_minds_its_company_is_found_out():
    changed = labelled(mode=["training", "evaluation"])
    changed.loc[{"mode": "training"}] += 0.4
    changed.loc[{"mode": "evaluation"}] = 0
    assert [row["holds"] for row in LESSON.moved(changed).rows] == [True, True]
    changed.loc[{"mode": "evaluation"}] = 0.1
    changed.loc[{"mode": "training"}] = 0.1
    assert [row["holds"] for row in LESSON.moved(changed).rows] == [False, False]


def seen(last: float, dead: float):
    axes = {
        "norm": NORMS, "initialisation": ["default", "he"], "lr": [0.01, 0.1],
        "mode": ["training", "evaluation"], "layer": [1, 8], "step": [0, 9],
    }  # fmt: skip
    spread, gone = labelled("spread", **axes), labelled("dead", **axes)
    spread += 1
    spread.loc[{"norm": LESSON.WITHOUT}] = 0.2
    spread.loc[{"norm": LESSON.WITHOUT, "layer": 8}] = last
    cold = {"norm": LESSON.WITH, "mode": "evaluation", "step": 0}
    spread.loc[cold] = spread.sel(norm=LESSON.WITHOUT, mode="evaluation", step=0)
    gone.loc[{"norm": LESSON.WITHOUT, "initialisation": "he", "seed": 3, "lr": 0.1}] = dead
    return xr.Dataset({"spread": spread, "dead": gone})


@pytest.mark.parametrize(
    ("last", "dead", "accuracy", "answer", "holds"),
    [
        (0.0002, 1.0, 0.1, "by a thousandth of it", [True] * 5),
        (0.02, 0.5, 0.9, "by a tenth of that", [False, False, True, False, True]),
        (0.2, 0.0, 0.1, "by about as much", [False, True, True, False, True]),
    ],
)
def test_what_reaches_the_last_layer(last, dead, accuracy, answer, holds):
    reached = labelled(norm=NORMS, initialisation=["default", "he"], lr=[0.01, 0.1]) + accuracy
    asked = LESSON.inside(seen(last, dead), reached)
    assert asked["predict"].answers[asked["predict"].right] == answer
    assert [row["holds"] for row in asked["shows"].rows] == holds


@pytest.mark.parametrize(
    ("good", "answer", "holds"),
    [(1, "up to 1", [True, True, False]), (0.1, "up to 0.1", [False, True, False])],
)
def test_how_large_a_rate_is_borne(good, answer, holds):
    axes = {"depth": [2, 8], "norm": NORMS, "initialisation": ["default", "he"], "lr": [0.1, 1.0]}
    accuracy = labelled(**axes) + 0.1
    accuracy.loc[{"lr": 0.1, "depth": 2}] += 0.85
    accuracy.loc[{"norm": LESSON.WITH, "lr": accuracy.lr[accuracy.lr <= good]}] = 0.95 + SEEDS
    asked = LESSON.rates(accuracy)
    assert asked["predict"].answers[asked["predict"].right] == answer
    assert [row["holds"] for row in asked["shows"].rows] == holds


@pytest.mark.parametrize(
    ("gains", "answer", "holds"),
    [
        ((0.02, -0.03), "only with the constant rate", [True, True]),
        ((0.02, 0.03), "yes, with either", [True, False]),
        ((-0.02, 0.03), "only with the rate that falls to 0", [False, False]),
        ((-0.02, -0.03), "no, with neither", [False, True]),
    ],
)
def test_whether_it_is_ahead(gains, answer, holds):
    accuracy = labelled(schedule=["constant", "linear decay"], norm=NORMS)
    accuracy.loc[{"norm": LESSON.WITH}] += np.array(gains)[:, None]
    loss = labelled("training_loss", schedule=["constant", "linear decay"], norm=NORMS, epoch=[1])
    loss.loc[{"norm": LESSON.WITH}] += 0.1
    asked = LESSON.ahead(xr.Dataset({"test_accuracy": accuracy, "training_loss": loss}))
    assert asked["predict"].answers[asked["predict"].right] == answer
    assert [row["holds"] for row in asked["shows"].rows] == [*holds, True]


@pytest.mark.parametrize(
    ("two", "anew", "answer", "holds"),
    [
        (0.35, 0.40, "40 %", [True, True, True, True]),
        (0.75, 0.90, "75 %", [False, True, False, True]),
    ],
)
def test_what_small_batches_cost(two, anew, answer, holds):
    axes = {"measured": [LESSON.EVALUATION, LESSON.OWN, LESSON.ANEW], "norm": NORMS}
    accuracy = labelled(**axes, batch_size=[2, 4, 16, 64]) + 0.95
    accuracy.loc[{"norm": LESSON.WITHOUT}] -= 0.03
    accuracy.loc[{"norm": LESSON.WITHOUT, "batch_size": 2}] = 0.7
    accuracy.loc[{"norm": LESSON.WITH, "batch_size": 2}] = two + SEEDS
    accuracy.loc[{"norm": LESSON.WITH, "batch_size": 2, "measured": LESSON.ANEW}] = anew
    accuracy.loc[{"norm": LESSON.WITH, "batch_size": 4, "measured": LESSON.OWN}] = 0.7
    asked = LESSON.small(accuracy)
    assert asked["predict"].answers[asked["predict"].right] == answer
    assert [row["holds"] for row in asked["shows"].rows] == holds


def test_claims_read_the_right_differences():
    schedules = {"schedule": ["constant", "linear decay"], "norm": NORMS}
    tested, early, gap = (labelled(**schedules) for _ in range(3))
    tested.loc[{"norm": LESSON.WITH}] += np.array([0.03, -0.04])[:, None]
    early.loc[{"norm": LESSON.WITH}] += 0.1
    gap.loc[{"norm": LESSON.WITH}] -= 0.05
    deep = labelled(norm=NORMS, initialisation=["default", "he"])
    deep.loc[{"norm": LESSON.WITH}] += 0.5
    batches = labelled(measured=[LESSON.EVALUATION], norm=NORMS, batch_size=[2, 64])
    batches.loc[{"batch_size": 64}] += 0.6
    verdicts = LESSON.claims(tested, deep, early, gap, batches)
    assert [round(v.interval.mean) for v in verdicts] == [3, -4, 50, 50, 10, 10, 5, 5, -60]
    assert {v.margin for v in verdicts} == {1}


@pytest.mark.parametrize("lead", [True, False])
def test_what_is_said_further_down(lead):
    sign = 1 if lead else -1
    steps, few = labelled(norm=NORMS) + 300, labelled(norm=NORMS, epoch=[1, 2, 3])
    steps.loc[{"norm": LESSON.WITHOUT}] += 200 * sign
    few.loc[{"norm": LESSON.WITH}] += 0.2 * sign
    assert [row["holds"] for row in LESSON.faster(steps, few).rows] == [lead, lead]
    seconds = labelled(call=[LESSON.WITH, "folded"], batch_size=[1]).rename(seed="round") + 1
    seconds.loc[{"call": "folded"}] -= 0.4 * sign
    assert [row["holds"] for row in LESSON.folded(seconds).rows] == [lead]
    places = labelled(place=["a", "b"])
    places.loc[{"place": "b"}] += 0.02 if lead else 0.04
    assert [row["holds"] for row in LESSON.placed(places).rows] == [lead]
    kinds = labelled(norm=[*NORMS, "with layer norm"], batch_size=[2])
    kinds.loc[{"norm": "with layer norm"}] += 0.3 * sign
    assert [row["holds"] for row in LESSON.without_mates(kinds).rows] == [lead]


def test_the_sick_networks_are_sick_as_said():
    net = LESSON.small_network()
    assert [type(layer) for layer in net][1:4] == [nn.BatchNorm1d, nn.ReLU, nn.Dropout]
