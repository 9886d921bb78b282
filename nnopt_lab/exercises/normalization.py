"""The lesson on batch norm: its questions with their findings, its exercises and its clinic."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

from nnopt_lab.exercises.checks import diagnosed, expect, tensor, two_parts
from nnopt_lab.exercises.exercise import Exercise, Wrong
from nnopt_lab.explorer import Prediction
from nnopt_lab.statistics import Findings, Verdict, interval, paired

import torch
import xarray as xr
from torch import Generator, Tensor, nn

Rule = Callable[..., Any]
WITHOUT, WITH = "without batch norm", "with batch norm"
EVALUATION, OWN, ANEW = "evaluation mode", "training mode", "averages computed anew"
MARGIN = 0.01  # of accuracy: one point


def moved(changed: xr.DataArray) -> Findings:
    """Say how often a network's answer depends on the company of a sample.

    Parameters
    ----------
    changed : xarray.DataArray
        Share of samples answered differently in two companies; dimensions ``mode`` (training,
        evaluation) and ``seed``.
    """
    return Findings(
        {
            "In training mode more than a quarter of the answers change with the batch-mates.": (
                changed.sel(mode="training", drop=True) - 0.25
            ),
            "In evaluation mode none does.": bool((changed.sel(mode="evaluation") == 0).all()),
        }
    )


def inside(seen: xr.Dataset, accuracy: xr.DataArray) -> dict[str, Any]:
    """Ask what reaches the eighth layer, and say what batch norm changes there.

    Parameters
    ----------
    seen : xarray.Dataset
        As ``normalization.inside`` measures it in eight layers; dimensions ``norm``,
        ``initialisation``, ``lr``, ``mode``, ``layer``, ``step`` and ``seed``.
    accuracy : xarray.DataArray
        On the test set, in [0, 1]; dimensions ``norm``, ``initialisation``, ``lr`` and ``seed``.
    """
    lr = 0.1
    here = seen.sel(lr=lr, drop=True)
    start, end = (here.isel(step=i, drop=True) for i in (0, -1))
    plain = start.sel(norm=WITHOUT, mode="training", initialisation="default", drop=True)
    first, last = (plain.spread.isel(layer=i, drop=True) for i in (0, -1))
    normed = end.sel(norm=WITH, mode="training", drop=True)
    cold = start.sel(norm=WITH, mode="evaluation", initialisation="default", drop=True)
    he = end.dead.sel(mode="training", initialisation="he", drop=True).max("layer") > 0.9
    n_lost = {norm: int(he.sel(norm=norm).sum()) for norm in (WITHOUT, WITH)}
    guess = accuracy.sel(norm=WITHOUT, initialisation="default", drop=True)
    return {
        "predict": Prediction(
            "Eight layers with torch's first weights, no batch norm, not trained yet. In layer 1 "
            f"a neuron's value differs between samples by about {float(first.mean()):.2f}. In "
            "layer 8?",
            {
                "by about as much": float(first.mean()),
                "by a tenth of that": float(first.mean()) / 10,
                "by a thousandth of it": float(first.mean()) / 1000,
            },
            float(last.mean()),
            "Each layer passes on less than half of the differences between samples, and seven "
            "layers multiply. What is the same for all samples says nothing about any of them.",
            words=f"{float(last.mean()):.1g}",
        ),
        "shows": Findings(
            {
                "Without batch norm, less than 1/300 of the differences reaches layer 8.": (
                    first / 300 - last
                ),
                "At no rate do these networks learn: all stay below 20 %.": (0.2 - guess.max("lr")),
                "With batch norm every layer ends with a spread between 0.8 and 1.3.": (
                    0.25 - abs(normed.spread - 1.05).max(["layer", "initialisation"])
                ),
                "With He's first weights, at rate 0.1, some networks lose a whole layer; with "
                "batch norm none does.": n_lost[WITHOUT] > 0 and n_lost[WITH] == 0,
                "In evaluation mode, step 0 looks as without: the averages know nothing yet.": (
                    0.01 - abs(cold.spread - plain.spread).max("layer")
                ),
            }
        ),
    }


def rates(accuracy: xr.DataArray) -> dict[str, Any]:
    """Ask how large a rate networks bear.

    Parameters
    ----------
    accuracy : xarray.DataArray
        On the test set, in [0, 1]; dimensions ``depth``, ``norm``, ``initialisation``, ``lr`` and
        ``seed``.
    """
    shallow = accuracy.sel(depth=2, initialisation="default", drop=True)
    largest = {
        norm: max(float(lr) for lr in shallow.lr if _mean(shallow, norm, lr) > 0.9)
        for norm in (WITHOUT, WITH)
    }
    deep = accuracy.sel(depth=8, lr=1, drop=True)
    n_good = (accuracy.sel(depth=8, initialisation="default", drop=True).mean("seed") > 0.9).sum(
        "lr"
    )
    return {
        "predict": Prediction(
            "Two layers, torch's first weights. Of rates that lie a factor of 10 apart, networks "
            f"without batch norm reach 90 % up to {largest[WITHOUT]:g}. And with it?",
            {"up to 0.1": 0.1, "up to 1": 1, "up to 10": 10, "up to 100": 100},
            largest[WITH],
            "Larger weights, smaller gradients: what a step makes too large, the next "
            "normalisation makes small again. But only so far.",
            words=f"up to {largest[WITH]:g}",
        ),
        "shows": Findings(
            {
                "At rate 1, eight layers with batch norm reach more than 75 %, either start.": (
                    deep.sel(norm=WITH, drop=True).min("initialisation") - 0.75
                ),
                "At rate 1, those without it guess: below 20 %.": (
                    0.2 - deep.sel(norm=WITHOUT, drop=True).max("initialisation")
                ),
                "Torch's first weights, eight layers: three rates or more reach 90 % with batch "
                "norm, none without.": bool(n_good.sel(norm=WITH) >= 3)
                and bool(n_good.sel(norm=WITHOUT) == 0),
            }
        ),
    }


def _mean(accuracy: xr.DataArray, norm: str, lr: xr.DataArray) -> float:
    return float(accuracy.sel(norm=norm, lr=lr).mean("seed"))


def ahead(tested: xr.Dataset) -> dict[str, Any]:
    """Ask whether batch norm makes networks of two layers more accurate.

    Parameters
    ----------
    tested : xarray.Dataset
        ``test_accuracy`` in [0, 1], each at its best rate; dimensions ``schedule`` (constant,
        linear decay), ``norm`` and ``seed``; ``training_loss`` after each ``epoch``.
    """
    found = tested[["test_accuracy", "training_loss"]]
    difference = found.sel(norm=WITH, drop=True) - found.sel(norm=WITHOUT, drop=True)
    gain, loss = difference.test_accuracy, difference.training_loss.isel(epoch=-1, drop=True)
    gains = {str(name): gain.sel(schedule=name, drop=True) for name in gain.schedule.values}
    constant, decay = (float(each.mean()) > 0 for each in gains.values())
    answers = {
        (True, True): "yes, with either",
        (True, False): "only with the constant rate",
        (False, True): "only with the rate that falls to 0",
        (False, False): "no, with neither",
    }
    said = (f"{interval(100 * each)} points with {name}" for name, each in gains.items())
    first, second = gains.values()
    return {
        "predict": Prediction(
            "Two layers, each network at the rate that suits it best, the rate constant or falling "
            "to 0. Is the network with batch norm more accurate?",
            [*answers.values()],
            answers[constant, decay],
            "It helps to bear large steps, and brings noise from the batch-mates. A rate that "
            "falls to 0 makes the help superfluous, and the noise remains.",
            words=", ".join(said),
        ),
        "shows": Findings(
            {
                "With a constant rate, batch norm is ahead.": first,
                "With a rate that falls to 0, it is behind.": -second,
                "There the training loss, too, ends lower without it.": (
                    loss.sel(schedule="linear decay", drop=True)
                ),
            }
        ),
    }


def small(accuracy: xr.DataArray) -> dict[str, Any]:
    """Ask what small batches cost.

    Parameters
    ----------
    accuracy : xarray.DataArray
        On the test set, in [0, 1]; dimensions ``measured`` (evaluation mode, training mode,
        averages computed anew), ``norm``, ``batch_size`` and ``seed``.
    """
    normed = accuracy.sel(norm=WITH, drop=True)
    usual, plain = normed.sel(measured=EVALUATION, drop=True), accuracy.sel(norm=WITHOUT, drop=True)
    two, full = usual.sel(batch_size=2, drop=True), usual.sel(batch_size=64, drop=True)
    left = float(two.mean())
    anew = normed.sel(measured=ANEW, batch_size=2, drop=True)
    four = normed.sel(batch_size=4, drop=True)
    return {
        "predict": Prediction(
            f"All make 240 steps, each at its best rate. In batches of 64, networks with batch "
            f"norm reach {100 * float(full.mean()):.0f} %. In batches of 2?",
            {"95 %": 0.95, "75 %": 0.75, "40 %": 0.4, "10 %, guessing": 0.1},
            left,
            "Of two values the mean lies in the middle: one becomes +1, the other -1, whatever "
            "they were. All that is left is which of the two is larger.",
            words=f"{interval(100 * two)} %",
        ),
        "shows": Findings(
            {
                "In batches of 2, networks without batch norm are ahead.": (
                    plain.sel(measured=EVALUATION, batch_size=2, drop=True) - two
                ),
                "From 16 on, those with it are ahead on average.": (
                    (usual - plain.sel(measured=EVALUATION, drop=True))
                    .sel(batch_size=slice(16, None))
                    .mean("batch_size")
                ),
                "New averages win back less than half of what batches of 2 cost.": (
                    (full - two) / 2 - (anew - two)
                ),
                "In training mode, batches of 4 cost 10 points more than in evaluation mode.": (
                    four.sel(measured=EVALUATION) - four.sel(measured=OWN) - 0.1
                ),
            }
        ),
    }


def claims(
    tested: xr.DataArray,
    deep: xr.DataArray,
    early: xr.DataArray,
    gap: xr.DataArray,
    batches: xr.DataArray,
) -> list[Verdict]:
    """Return the claims of the lesson with their verdicts.

    Parameters
    ----------
    tested, deep, batches : xarray.DataArray
        Test accuracy in [0, 1], as for ``ahead``, ``rates`` (each at its best rate, no ``lr``) and
        ``small``.
    early : xarray.DataArray
        Validation accuracy after 3 epochs; dimensions as ``tested``.
    gap : xarray.DataArray
        Training minus validation accuracy at equal training loss; dimensions as ``tested``.
    """

    def claim(
        words: str, found: xr.DataArray, better: str = WITH, *, compare: bool = True, **where: Any
    ) -> Verdict:
        here, other = found.sel(where), WITHOUT if better == WITH else WITH
        pair = paired(here.sel(norm=better), here.sel(norm=other))
        return Verdict(words, 100 * pair, margin=100 * MARGIN, unit="points", compare=compare)

    usual = batches.sel(measured=EVALUATION, drop=True).sel(norm=WITH, drop=True)
    two = paired(usual.sel(batch_size=2), usual.sel(batch_size=64))
    return [
        claim("More accurate, 2 layers, constant rate", tested, schedule="constant"),
        claim("More accurate, 2 layers, linear decay", tested, schedule="linear decay"),
        claim("More accurate, 8 layers, torch's first weights", deep, initialisation="default"),
        claim("More accurate, 8 layers, He's first weights", deep, compare=False,
              initialisation="he"),
        claim("Faster: ahead after 3 epochs, constant rate", early, schedule="constant"),
        claim("Faster: ahead after 3 epochs, linear decay", early, schedule="linear decay"),
        claim("Overfits less: smaller gap, constant rate", gap, WITHOUT, compare=False,
              schedule="constant"),
        claim("Overfits less: smaller gap, linear decay", gap, WITHOUT, compare=False,
              schedule="linear decay"),
        Verdict(
            "Batches of 2 as good as of 64, with batch norm", 100 * two,
            margin=100 * MARGIN, unit="points",
        ),
    ]  # fmt: skip


def faster(steps: xr.DataArray, unfair: xr.DataArray) -> Findings:
    """Say how many steps networks take to an accuracy of 55 %.

    Parameters
    ----------
    steps, unfair : xarray.DataArray
        Each at its best rate, and both at the small rate 0.01; dimensions ``norm`` and ``seed``.
        NaN where it is not reached.
    """
    ratio = steps.sel(norm=WITHOUT) / steps.sel(norm=WITH, drop=True)
    few = unfair.isel(epoch=2, drop=True)
    return Findings(
        {
            "Each at its best rate, networks without batch norm take at least 1.2 times as many "
            "steps to 55 %.": ratio - 1.2,
            "At rate 0.01 for both, batch norm is more than 12 points ahead after 3 epochs.": (
                few.sel(norm=WITH, drop=True) - few.sel(norm=WITHOUT, drop=True) - 0.12
            ),
        }
    )


def folded(seconds: xr.DataArray) -> Findings:
    """Say what folding saves.

    Parameters
    ----------
    seconds : xarray.DataArray
        Dimensions ``batch_size``, ``call`` (with batch norm, folded) and ``round``.
    """
    ratio = seconds.sel(call="folded", drop=True) / seconds.sel(call=WITH, drop=True)
    alone = ratio.sel(batch_size=1, drop=True)
    return Findings({"For one sample, folded takes less time.": 1 - alone}, compare=False)


def placed(accuracy: xr.DataArray) -> Findings:
    """Say whether the place of batch norm matters.

    Parameters
    ----------
    accuracy : xarray.DataArray
        On the test set, in [0, 1]; dimensions ``place`` and ``seed``.
    """
    spread = accuracy.max("place") - accuracy.min("place")
    return Findings({"The three places lie less than 3 points apart.": 0.03 - spread})


def without_mates(accuracy: xr.DataArray) -> Findings:
    """Say how layer norm does in small batches.

    Parameters
    ----------
    accuracy : xarray.DataArray
        On the test set, in [0, 1]; dimensions ``norm``, ``batch_size`` and ``seed``.
    """
    two = accuracy.sel(batch_size=2, drop=True)
    layer = two.sel(norm="with layer norm", drop=True)
    return Findings(
        {
            "In batches of 2, layer norm is ahead of batch norm.": (
                layer - two.sel(norm=WITH, drop=True)
            )
        }
    )


def _solve_norm(x: Tensor, gamma: float, beta: float, eps: float) -> Tensor:
    mean = x.mean(0)
    variance = ((x - mean) ** 2).mean(0)
    return gamma * (x - mean) / torch.sqrt(variance + eps) + beta


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=Generator().manual_seed(seed), dtype=torch.float64)


def _compare(result: Any, expected: Tensor, what: str, mistakes: dict[str, Tensor]) -> None:
    """Check a tensor of a learner's; what is a known mistake gets its own reason."""
    found = tensor(result, tuple(expected.shape), what).double()
    if torch.allclose(found, expected, rtol=1e-5, atol=1e-6):
        return
    for reason, value in mistakes.items():
        if value.shape == found.shape and torch.allclose(found, value, rtol=1e-5, atol=1e-6):
            raise Wrong(reason)
    worst = float((found - expected).abs().max())
    raise Wrong(f"{what} is off by up to {worst:.3g}.")


@Exercise(
    "batch norm in training mode",
    hints=[
        "Mean and variance of each column: over dimension 0.",
        "The variance is the mean of the squared distances: divided by n, not by n - 1; eps stands "
        "under the root.",
    ],
    solution=(_solve_norm,),
)
def forward(my_batch_norm: Rule) -> str:
    """Check the formula, its variance and its axis."""
    for gamma, beta, eps in ((1.0, 0.0, 1e-5), (2.0, -1.0, 0.5)):
        x = 3 * _random(6, 4) + 1
        centred, variance = x - x.mean(0), x.var(0, correction=0)
        by_sample = _solve_norm(x.T, gamma, beta, eps).T
        _compare(
            my_batch_norm(x.clone(), gamma, beta, eps), _solve_norm(x, gamma, beta, eps),
            f"The output for gamma {gamma:g}, beta {beta:g}, eps {eps:g}",
            {
                "That variance is divided by n - 1; in the forward pass torch divides by n.": (
                    gamma * centred / (x.var(0) + eps).sqrt() + beta
                ),
                "That is over the features of each sample: layer norm. Batch norm normalises "
                "each feature over the samples.": by_sample,
                "eps stands under the root, beside the variance.": (
                    gamma * centred / (variance.sqrt() + eps) + beta
                ),
                "You divide by the variance; take its root.": gamma * centred / (variance + eps)
                + beta,
                "gamma and beta are missing: y = gamma * normalised + beta.": (
                    centred / (variance + eps).sqrt()
                ),
                "First gamma, then beta.": gamma * (centred / (variance + eps).sqrt() + beta),
            },
        )  # fmt: skip
    return "As nn.BatchNorm1d in training mode, number for number."


def _solve_running(
    mean: Tensor, variance: Tensor, x: Tensor, momentum: float
) -> tuple[Tensor, Tensor]:
    n = len(x)
    new = ((x - x.mean(0)) ** 2).sum(0) / (n - 1)
    return (
        (1 - momentum) * mean + momentum * x.mean(0),
        (1 - momentum) * variance + momentum * new,
    )


@Exercise(
    "the averages for evaluation mode",
    hints=[
        "new average = (1 - momentum) * old + momentum * that of the batch.",
        "Here torch divides the variance by n - 1, unlike in the forward pass.",
    ],
    solution=(_solve_running,),
)
def running(my_running: Rule) -> str:
    """Check the running averages against torch."""
    for momentum in (0.2, 0.05):
        _check_running(my_running, momentum)
    return "They follow the last ten batches or so; with a batch of 2 that is twenty samples."


def _check_running(my_running: Rule, momentum: float) -> None:
    norm = nn.BatchNorm1d(3, momentum=momentum, dtype=torch.float64)
    mean, variance = torch.zeros(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64)
    for i in range(2):
        x = 2 * _random(5, 3, seed=i) + i + 1
        result = two_parts(
            my_running(mean.clone(), variance.clone(), x.clone(), momentum),
            "two tensors: the new mean and the new variance",
        )
        new = [x.mean(0), x.var(0), x.var(0, correction=0)]
        turned = "torch's momentum is the weight of the new batch; elsewhere it is that of the old."
        mistakes = {turned: (1 - momentum) * new[0] + momentum * mean}
        norm(x)
        _compare(result[0], _there(norm.running_mean), "The mean", mistakes)
        mistakes = {
            turned: (1 - momentum) * new[1] + momentum * variance,
            "That variance is divided by n; for its averages torch divides by n - 1.": (
                (1 - momentum) * variance + momentum * new[2]
            ),
        }
        _compare(result[1], _there(norm.running_var), "The variance", mistakes)
        mean, variance = _there(norm.running_mean).clone(), _there(norm.running_var).clone()


def _there(buffer: Tensor | None) -> Tensor:
    if buffer is None:
        raise TypeError("this batch norm keeps no averages.")
    return buffer


def _solve_fold(
    weight: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, gamma: Tensor, beta: Tensor,
    eps: float,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    scale = gamma / torch.sqrt(variance + eps)
    return weight * scale[:, None], (bias - mean) * scale + beta


@Exercise(
    "fold batch norm into the layer before it",
    hints=[
        "In evaluation mode y = s (W x + b - mean) + beta with s = gamma / sqrt(variance + eps).",
        "So the new weight is s W, row by row (s[:, None] * W), the new bias s (b - mean) + beta.",
    ],
    solution=(_solve_fold,),
)
def folding(my_fold: Rule) -> str:
    """Check that one linear layer computes what two layers did."""
    weight, bias = _random(4, 3), _random(4, seed=1)
    mean, gamma, beta = (_random(4, seed=i) for i in (2, 3, 4))
    variance, x = _random(4, seed=5).exp(), _random(20, 3, seed=6)
    eps = 0.01
    right = gamma * (x @ weight.T + bias - mean) / (variance + eps).sqrt() + beta
    result = two_parts(
        my_fold(*(p.clone() for p in (weight, bias, mean, variance, gamma, beta)), eps),
        "two tensors: the new weight and the new bias",
    )
    new_weight = tensor(result[0], (4, 3), "The weight").double()
    new_bias = tensor(result[1], (4,), "The bias").double()
    found = x @ new_weight.T + new_bias
    scale, without_eps = gamma / (variance + eps).sqrt(), gamma / variance.sqrt()
    _compare(
        found, right, "The output of the folded layer",
        {
            "The bias must be shifted and scaled, too: it goes through batch norm as all else.": (
                (x @ (scale[:, None] * weight).T) + bias
            ),
            "eps is missing: it stands under the root, beside the variance.": (
                without_eps * (x @ weight.T + bias - mean) + beta
            ),
            "The old bias is lost.": (x @ (scale[:, None] * weight).T) - mean * scale + beta,
            "The bias is not scaled: s (b - mean) + beta.": (
                (x @ (scale[:, None] * weight).T) + bias - mean + beta
            ),
        },
    )  # fmt: skip
    return "Batch norm costs nothing in use: it is gone before the network leaves the house."


def _solve_pair(a: float, b: float) -> tuple[float, float]:
    if a == b:
        return 0.0, 0.0
    return (1.0, -1.0) if a > b else (-1.0, 1.0)


@Exercise(
    "a batch of two",
    hints=[
        "The mean lies in the middle, and both are as far from it: the standard deviation is that "
        "distance.",
        "So the larger one becomes +1, the other -1. What if they are equal?",
    ],
    solution=(_solve_pair,),
)
def pair(my_pair: Rule) -> str:
    """Check what two values become."""
    for a, b in ((1.0, 3.0), (7.0, -2.0), (0.1, 0.2), (5.0, 5.0)):
        result = two_parts(my_pair(a, b), "two numbers, one for each value")
        for found, right in zip(result, _solve_pair(a, b), strict=True):
            root = right / 2**0.5
            mistakes = {root: "That is with a variance divided by n - 1."} if right else {}
            # an eps of 1e-5 is as small as was asked
            expect(found, right, f"For {a:g} and {b:g}", mistakes, rel_tol=0.01, abs_tol=1e-3)
    return "Whatever the values were: how far they lay apart is lost."


def _solve_layer_norm(x: Tensor, eps: float) -> Tensor:
    mean = x.mean(1, keepdim=True)
    variance = ((x - mean) ** 2).mean(1, keepdim=True)
    return (x - mean) / torch.sqrt(variance + eps)


@Exercise(
    "layer norm",
    hints=[
        "Mean and variance of each row: x.mean(1, keepdim=True).",
        "No sample looks at another, so nothing has to be averaged for evaluation mode.",
    ],
    solution=(_solve_layer_norm,),
)
def layer_norm(my_layer_norm: Rule) -> str:
    """Check a normalisation that needs no batch-mates."""
    for eps in (1e-3, 0.5):
        _check_layer_norm(my_layer_norm, eps)
    return "It works on one sample, and alike in both modes."


def _check_layer_norm(my_layer_norm: Rule, eps: float) -> None:
    x = 2 * _random(5, 8) + 1
    _compare(
        my_layer_norm(x.clone(), eps), _solve_layer_norm(x, eps), "The output",
        {
            "That is batch norm: over the samples. Layer norm normalises each sample over its "
            "features.": _solve_norm(x, 1.0, 0.0, eps),
            "That is with a variance divided by n - 1.": (
                (x - x.mean(1, keepdim=True)) / (x.var(1, keepdim=True) + eps).sqrt()
            ),
        },
    )  # fmt: skip
    alone = tensor(my_layer_norm(x[:1].clone(), eps), (1, 8), "The output for one sample alone")
    _compare(alone, _solve_layer_norm(x[:1], eps), "The output for one sample alone", {})


def small_network() -> nn.Sequential:
    """Return a fresh network with batch norm and dropout, for the clinic."""
    layers = nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 2)
    return nn.Sequential(*layers)


def _larger_network() -> nn.Sequential:
    """Return one with a batch norm at the top and one further down, its averages moved."""
    net = nn.Sequential(small_network(), nn.BatchNorm1d(2), nn.Linear(2, 2)).train()
    for i in range(3):
        net(_random(8, 4, seed=i).float() + 2)
    return net


def _modes(net: nn.Module) -> list[bool]:
    return [module.training for module in net.modules()]


def _buffers(net: nn.Module) -> list[Tensor]:
    return [buffer.clone() for buffer in net.buffers()]


def _stand(net: nn.Module, before: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(net.buffers(), before, strict=True))


def _solve_validate(net: nn.Module, x: Tensor) -> Tensor:
    modes = {module: module.training for module in net.modules()}
    net.eval()
    with torch.no_grad():
        outputs: Tensor = net(x)
    for module, mode in modes.items():
        module.training = mode
    return outputs


@Exercise(
    "clinic: the averages stand still",
    hints=[
        "Which mode is the network in, in the second epoch?",
        "Remember module.training of each module in net.modules(), call net.eval(), compute, and "
        "put each back: net.train() would wake layers that somebody froze.",
    ],
    solution=("b", _solve_validate),
)
def stand_still(diagnosis: Any, mended: Rule) -> str:
    """Check a validation that leaves the mode as it was."""
    diagnosed(
        diagnosis, "b",
        {
            "a": "The averages have the weight that momentum gives; it is 0.1 all the time.",
            "c": "no_grad keeps gradients from being computed; averages move without any.",
        },
    )  # fmt: skip
    x = _random(6, 4).float() + 2
    for training, is_frozen in ((True, False), (False, False), (True, True)):
        net = _larger_network().train(training)
        net[0][1].train(training and not is_frozen)  # type: ignore[index]
        before, modes = _buffers(net), _modes(net)
        outputs = tensor(mended(net, x), (6, 2), "What it returns")
        if net.training != training:
            said = "training" if training else "evaluation"
            raise Wrong(f"The network came in {said} mode and leaves in the other.")
        if _modes(net) != modes:
            frozen = " One layer, frozen, came in evaluation mode." if is_frozen else ""
            raise Wrong(f"Some module leaves in another mode; put back that of each.{frozen}")
        if not _stand(net, before):
            raise Wrong("Validation moved the averages: call net.eval() before you compute.")
        if not torch.allclose(outputs.detach().float(), net.eval()(x).detach(), atol=1e-5):
            raise Wrong("These are not its outputs in evaluation mode.")
    return "Who changes modes puts them back, that of each module."


def _solve_freeze(net: nn.Module) -> None:
    for module in net.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.eval()
            for parameter in module.parameters():
                parameter.requires_grad_(False)


@Exercise(
    "clinic: frozen, and still it drifts",
    hints=[
        "requires_grad is for parameters. Running averages are buffers: no gradient moves them.",
        "For each nn.BatchNorm1d in net.modules(): module.eval(), and requires_grad_(False) on its "
        "parameters.",
    ],
    solution=("c", _solve_freeze),
)
def drift(diagnosis: Any, mended: Rule) -> str:
    """Check that batch-norm layers are frozen, and nothing else."""
    diagnosed(
        diagnosis, "c",
        {
            "a": "The optimizer does not know of buffers at all.",
            "b": "Dropout has no averages, and changes none.",
        },
    )  # fmt: skip
    net, x = _larger_network(), _random(6, 4).float() + 2
    before, evaluated = _buffers(net), deepcopy(net).eval()
    mended(net)
    if net.state_dict().keys() != evaluated.state_dict().keys():
        raise Wrong("The network has other layers, parameters or averages now: leave them there.")
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm1d)]
    others = [module for module in net.modules() if not isinstance(module, nn.BatchNorm1d)]
    if not all(module.training for module in others):
        raise Wrong("Dropout, or another module, was switched off, too; freeze batch norm alone.")
    net(x)
    if not _stand(net, before):
        raise Wrong(
            "A forward pass moves averages, or they were changed. Which mode is each batch norm "
            "in? There may be one in a part of the network."
        )
    if not torch.allclose(deepcopy(net).apply(_without_dropout)(x), evaluated(x)):
        raise Wrong("The averages stand still, but are not used: it normalises by the batch.")
    if any(parameter.requires_grad for norm in norms for parameter in norm.parameters()):
        raise Wrong("gamma and beta still get gradients: freeze them, too.")
    linear = [module for module in others if isinstance(module, nn.Linear)]
    if not all(parameter.requires_grad for layer in linear for parameter in layer.parameters()):
        raise Wrong("The linear layers were to go on learning.")
    return "Call it again after each net.train(), which puts all layers into training mode."


def _without_dropout(module: nn.Module) -> None:
    if isinstance(module, nn.Dropout):
        module.eval()


@torch.no_grad()
def _solve_average(average: nn.Module, net: nn.Module, decay: float) -> None:
    for mine, new in zip(average.parameters(), net.parameters(), strict=True):
        mine.lerp_(new, 1 - decay)
    for kept, now in zip(average.buffers(), net.buffers(), strict=True):
        kept.copy_(now)


@Exercise(
    "clinic: an average that answers nonsense",
    hints=[
        "What does a network hold besides its parameters?",
        "Copy the buffers: for kept, now in zip(average.buffers(), net.buffers()): "
        "kept.copy_(now).",
    ],
    solution=("a", _solve_average),
)
def left_behind(diagnosis: Any, mended: Rule) -> str:
    """Check an average of weights that takes the running averages along."""
    diagnosed(
        diagnosis, "a",
        {
            "b": "A smaller decay forgets faster; the average would still normalise by nothing.",
            "c": "An average of networks near each other is near them, too.",
        },
    )  # fmt: skip
    for decay in (0.9, 0.5):
        _check_average(mended, decay)
    return "torch.optim.swa_utils.AveragedModel takes them along."


def _check_average(mended: Rule, decay: float) -> None:
    net, average = small_network(), small_network()
    for i in range(3):
        net.train()(_random(8, 4, seed=i).float() + 2)
    before = deepcopy(average)
    mended(average, net, decay)
    parts = zip(average.parameters(), before.parameters(), net.parameters(), strict=True)
    if not all(torch.allclose(p, decay * b + (1 - decay) * n, atol=1e-6) for p, b, n in parts):
        raise Wrong(
            "Each weight of `average` itself becomes decay * average + (1 - decay) * that of `net`."
        )
    for name in ("1.running_mean", "1.running_var"):
        kept, old, new = (each.get_buffer(name) for each in (average, before, net))
        mixed = decay * old + (1 - decay) * new
        if not (torch.equal(kept, new) or torch.allclose(kept, mixed, atol=1e-6)):
            raise Wrong("The running averages of batch norm were left behind: they are buffers.")
        if kept.data_ptr() == new.data_ptr():
            raise Wrong("Both networks share one running average now: copy it.")
