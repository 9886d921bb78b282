"""The lesson on pruning: its questions with their findings, its exercises and its clinic.

A question returns what ``Explorer`` takes: the prediction that covers its figure, and what the run
showed. Both are computed from the arrays that the lesson measured.
"""

import io
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from nnopt_lab import pruning
from nnopt_lab.data import mnist1d
from nnopt_lab.exercises.core import Exercise, Wrong, diagnosed
from nnopt_lab.explorer import Prediction, Progress, Stops
from nnopt_lab.grid import grid
from nnopt_lab.networks import Population, mlp
from nnopt_lab.statistics import Findings, Verdict, interval, paired
from nnopt_lab.training import n_steps, train

import numpy as np
import torch
import xarray as xr
from torch import Generator, Tensor, nn
from torch.nn.utils import prune

Rule = Callable[..., Any]


def _points(differences: xr.DataArray) -> str:
    """Return a mean difference of accuracies with its interval, as it is read."""
    return f"{interval(100 * differences)} points"


def half_cut(accuracy: xr.DataArray, share: xr.DataArray) -> dict[str, Any]:
    """Ask what is left when half of the weights are cut, and nothing is trained again.

    Parameters
    ----------
    accuracy, share : xarray.DataArray
        Test accuracy and share of weights cut, in [0, 1]; dimensions ``epsilon`` (from 0) and
        ``seed``.
    """
    cut = share.mean("seed")
    dense, half, third, most = (
        accuracy.isel(epsilon=int(np.abs(cut.values - s).argmin()), drop=True)
        for s in (0, 0.5, 0.35, 1)
    )
    left = float(half.mean() / dense.mean())
    reason = "The weights that go are the smallest: together they carry little of the signal."
    return {
        "predict": Prediction(
            "Half of the weights are cut (ε = 0.15), and nothing is trained again. How much of the "
            "accuracy is left?",
            {"about a tenth of it": 0.1, "about half of it": 0.5, "about nine tenths of it": 0.9},
            left,
            [f"That is where it ends, when nearly all are gone. {reason}", reason, reason],
            words=f"{100 * left:.0f} % of the dense accuracy",
        ),
        "shows": Findings(
            {
                "A third of the weights can be cut for less than 3 points.": 0.03 - dense + third,
                "With half of them gone, more than 80 % of the accuracy is left.": half
                - 0.8 * dense,
                "At the largest threshold less than a third is left.": dense / 3 - most,
            }
        ),
    }


def which_stay(tuned: xr.DataArray, constant: xr.DataArray) -> dict[str, Any]:
    """Ask whether it matters which weights stay, if each layer keeps as many.

    Parameters
    ----------
    tuned, constant : xarray.DataArray
        Test accuracy in [0, 1] with a rate of its own for each rule and sparsity, and with one
        rate for all; dimensions ``rule``, ``sparsity`` and ``seed``.
    """

    def at(rule: str, sparsity: float, accuracy: xr.DataArray = tuned) -> xr.DataArray:
        return accuracy.sel(rule=rule, sparsity=sparsity, drop=True)

    lead = at("largest", 0.9) - at("shuffled", 0.9)
    costs = [at("largest", 0, a) - at("largest", 0.8, a) for a in (tuned, constant)]
    reason = "The largest weights, at their own places, hold most of what was learned."
    return {
        "predict": Prediction(
            "One weight in ten stays, and is trained on. Does it matter which ones, if each layer "
            "keeps as many?",
            {"hardly": 0, "by about 5 points": 5, "by more than 10 points": 15},
            100 * float(lead.mean()),
            [
                f"What is held at zero cannot come back, however long one trains. {reason}",
                f"More than that. {reason}",
                reason,
            ],
            words=f"the largest weights are ahead by {_points(lead)}",
        ),
        "shows": Findings(
            {
                "At 90 % sparsity the largest weights are more than 10 points ahead of as many at "
                "random places.": lead - 0.1,
                "Weights at random are more than 10 points behind, too.": at("largest", 0.9)
                - at("random", 0.9)
                - 0.1,
                "A rate that never falls makes pruning look cheaper: at 80 % it seems to cost at "
                "least half a point less.": costs[0] - costs[1] - 0.005,
            }
        ),
    }


def survivors(still_zero: xr.DataArray) -> dict[str, Any]:
    """Ask how many zeros outlive one step that nothing holds.

    Parameters
    ----------
    still_zero : xarray.DataArray
        Share of the pruned weights, in [0, 1]; dimensions ``cut``, ``step`` and ``seed``.
    """
    first = still_zero.sel(cut=0.5, step=1, drop=True)
    last = still_zero.isel(step=-1, drop=True).sel(cut=0.98, drop=True)
    return {
        "predict": Prediction(
            "Half of the weights were cut. What share of them is still zero after a single step?",
            Stops(range(0, 101, 5), unit="%"),
            100 * float(first.mean()),
            "A weight that is zero has a gradient like any other, and moves.",
            words=f"{interval(100 * first)} %",
        ),
        "shows": Findings(
            {
                "Cut at 50 %, fewer than a tenth of the zeros outlive the first step: what is not "
                "held is not pruned.": 0.1 - first,
                "Cut at 98 %, more than half of them stay for the whole epoch.": last - 0.5,
            }
        ),
    }


def lifted(gain: xr.DataArray) -> Findings:
    """Say what became of networks whose zeros were let go.

    Parameters
    ----------
    gain : xarray.DataArray
        Test accuracy minus that of the dense networks, in [0, 1]; dimensions ``masks`` (``kept``,
        ``lifted``), ``sparsity`` and ``seed``.
    """
    kept, let_go = (gain.sel(masks=name, sparsity=0.8, drop=True) for name in ("kept", "lifted"))
    most = gain.sel(masks="lifted", sparsity=0.9, drop=True)
    return Findings(
        {
            "At 80 % sparsity more than a point stays lost while the masks are kept.": -kept - 0.01,
            "At 80 % with the masks lifted, less than 2 points are won or lost.": 0.02
            - abs(let_go),
            "At 90 % more than a point stays lost even so.": -most - 0.01,
        }
    )


def cheaper(size: xr.DataArray, time: xr.DataArray) -> dict[str, Any]:
    """Ask what nine zeros in ten save.

    Parameters
    ----------
    size, time : xarray.DataArray
        Bytes and seconds over those of the dense network, at width 256 and 64 samples; dimensions
        ``kind`` and ``sparsity``.
    """
    file, pace = size.sel(sparsity=0.9), time.sel(sparsity=0.9)
    reason = (
        "A zero is a number like any other: it takes four bytes, and is multiplied. Something has "
        "to leave it out."
    )
    return {
        "predict": Prediction(
            "Nine weights in ten are zero, and stored as they are. What is left of the file, and "
            "of the time for a batch?",
            {"about a tenth of both": 0.1, "about half of both": 0.5, "all of both": 1},
            float(pace.sel(kind="zeros")),
            [reason] * 3,
            words=f"{100 * float(file.sel(kind='zeros')):.0f} % of the file, "
            f"{100 * float(pace.sel(kind='zeros')):.0f} % of the time",
        ),
        "shows": [
            Findings(
                {
                    "Zeros as they are save no byte.": bool(file.sel(kind="zeros") == 1),
                    "At 90 %, width 256, gzip and CSR bring the file below a third.": bool(
                        file.sel(kind=["gzip", "CSR"]).max() < 1 / 3
                    ),
                }
            ),
            Findings(
                {
                    "Zeros as they are save no time (at 90 %, width 256, batch of 64).": bool(
                        abs(pace.sel(kind="zeros") - 1) < 0.2
                    ),
                    "There, with neurons taken out, less than two thirds of it is left.": bool(
                        pace.sel(kind="neurons out") < 2 / 3
                    ),
                },
                compare=False,
            ),
        ],
    }


def claims(accuracy: xr.DataArray) -> list[Verdict]:
    """Return the claims of the lesson with their verdicts, on the seeds of an array.

    Parameters
    ----------
    accuracy : xarray.DataArray
        Test accuracy in [0, 1]; dimensions ``rule``, ``sparsity`` and ``seed``.
    """

    def claim(
        words: str, better: tuple[str, float], other: tuple[str, float], *, compare: bool = True
    ) -> Verdict:
        a, b = (accuracy.sel(rule=rule, sparsity=s) for rule, s in (better, other))
        return Verdict(words, 100 * paired(a, b), margin=2, unit="points", compare=compare)

    dense, half, fifth, tenth = (("largest", share) for share in (0, 0.5, 0.8, 0.9))
    return [
        claim("Half cut and trained again, a network is worse than dense", dense, half),
        claim("With 80 % cut it is worse than dense", dense, fifth),
        claim("With 90 % cut it is worse than dense", dense, tenth),
        claim(
            "At 90 % the largest weights beat as many at random places", tenth, ("shuffled", 0.9)
        ),
        claim("At 95 % bit by bit beats all at once", ("bit by bit", 0.95), ("largest", 0.95)),
        # across the margin: another processor may turn it
        claim("At 80 % single weights beat neurons", fifth, ("neurons", 0.8), compare=False),
    ]


def units(accuracy: xr.DataArray) -> Findings:
    """Say what cutting bit by bit, and whole neurons, are worth.

    Parameters
    ----------
    accuracy : xarray.DataArray
        Test accuracy in [0, 1]; dimensions ``rule``, ``sparsity`` and ``seed``.
    """
    most, some = (accuracy.sel(sparsity=s, drop=True) for s in (0.95, 0.9))
    return Findings(
        {
            "At 95 % sparsity bit by bit is more than 3 points ahead of all at once.": most.sel(
                rule="bit by bit"
            )
            - most.sel(rule="largest")
            - 0.03,
            "At 90 % neurons are ahead of single weights that are cut all at once.": some.sel(
                rule="neurons"
            )
            - some.sel(rule="largest"),
        }
    )


def tickets(accuracy: xr.DataArray) -> Findings:
    """Say what a ticket is worth.

    Parameters
    ----------
    accuracy : xarray.DataArray
        Test accuracy in [0, 1]; dimensions ``start``, ``sparsity`` and ``seed``.
    """
    at = {str(s): accuracy.sel(start=s, sparsity=0.9, drop=True) for s in accuracy.start.values}
    return Findings(
        {
            "At 90 % the ticket, rewound, is ahead of the same mask on other first weights.": at[
                "rewound"
            ]
            - at["fresh start"],
            "That mask is ahead of a shuffled one: part of its worth needs no trained weight.": at[
                "fresh start"
            ]
            - at["shuffled"],
            "It stays more than 8 points behind the dense network.": at["dense"]
            - at["rewound"]
            - 0.08,
        }
    )


def rewinding(accuracy: xr.DataArray) -> Findings:
    """Say what the whole schedule brings once more.

    Parameters
    ----------
    accuracy : xarray.DataArray
        Test accuracy in [0, 1]; dimensions ``schedule`` (short, whole), ``sparsity``, ``seed``.
    """
    gain = accuracy.isel(schedule=1) - accuracy.isel(schedule=0)
    dense, cut = (gain.sel(sparsity=s, drop=True) for s in (0, 0.9))
    return Findings(
        {
            "At 90 % the whole schedule brings more than 1 point.": cut - 0.01,
            "The dense networks gain less than half of that.": cut / 2 - dense,
        }
    )


def sizes(accuracy: xr.DataArray) -> Findings:
    """Say what width is worth at equal epochs.

    Parameters
    ----------
    accuracy : xarray.DataArray
        Test accuracy in [0, 1]; dimensions ``network`` and ``seed``.
    """
    dense, cut, _, small = (accuracy.isel(network=i, drop=True) for i in range(4))
    return Findings(
        {
            "The wide network keeps more than 80 % of its accuracy with 5 % of its weights.": cut
            - 0.8 * dense,
            "The small one is ahead of it after 30 epochs, a sixth of the operations.": small - cut,
        }
    )


def _tensor(result: Any, shape: tuple[int, ...], what: str) -> Tensor:
    """Return a learner's result, a tensor or what can be made one, in the shape it must have."""
    try:
        tensor = torch.as_tensor(result)
    except (TypeError, ValueError, RuntimeError):
        raise Wrong(f"{what} is a {type(result).__name__}; return a tensor.") from None
    if tuple(tensor.shape) != shape:
        raise Wrong(f"{what} has shape {tuple(tensor.shape)}; it must have {shape}.")
    return tensor


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=Generator().manual_seed(seed))


def _check_sparsity(my_sparsity: Rule) -> str:
    quarter = _random(20, 30)
    quarter[:5] = 0
    for weight, expected, what in (
        (quarter, 0.25, "a tensor with a quarter of zeros"),
        (_random(4, 5), 0.0, "a tensor without zeros"),
        (torch.zeros(3, 3), 1.0, "a tensor of zeros"),
        (torch.tensor([0.0, -0.0, -1.0, 1e-30]), 0.5, "[0, -0, -1, 1e-30]"),
    ):
        found = float(my_sparsity(weight))
        if abs(found - expected) > 1e-6:
            hint = " That is the share of weights that are kept." if found == 1 - expected else ""
            hint = " Give a share, not a number of weights." if found > 1 else hint
            raise Wrong(f"For {what} you return {found:g}; {expected:g} is right.{hint}")
    return "Sparsity is a share: it says nothing of how many bytes or microseconds it saves."


def _solve_sparsity(weight: Tensor) -> Tensor:
    return (weight == 0).float().mean()


sparsity = Exercise(
    "sparsity of a tensor",
    _check_sparsity,
    hints=[
        "Comparing a tensor with 0 gives a tensor of true and false.",
        "The mean of true and false, as floats, is the share of true.",
    ],
    solution=(_solve_sparsity,),
)


def _check_mask(my_mask: Rule) -> str:
    ties = torch.ones(40, 200)
    ties[:20] = -2
    for weight, share, what in (
        (_random(40, 200), 0.5, "random weights"),
        (_random(7, 11, seed=1), 0.9, "random weights"),
        (ties, 0.75, "weights of which many are equal"),
        (_random(6, 6), 0.0, "random weights"),
        (_random(6, 6), 1.0, "random weights"),
    ):
        before = weight.clone()
        mask = _tensor(my_mask(weight, share), tuple(weight.shape), "the mask").bool()
        if not torch.equal(weight, before):
            raise Wrong("Your function changes the weights; return a mask and leave them alone.")
        asked, kept = weight.numel() - round(share * weight.numel()), int(mask.sum())
        if kept != asked:
            look = " Look at ties." if weight is ties else ""
            raise Wrong(
                f"For {what} at sparsity {share:g} your mask keeps {kept} of {weight.numel()} "
                f"weights; {asked} were asked.{look}"
            )
        if 0 < kept < weight.numel() and weight.abs()[mask].min() < weight.abs()[~mask].max():
            raise Wrong(
                f"For {what} your mask prunes a weight of size {weight.abs()[~mask].max():.3g} and "
                f"keeps one of size {weight.abs()[mask].min():.3g}; small means near 0."
            )
    return "A rule by count keeps exactly what was asked, whatever the scale of the weights."


def _solve_mask(weight: Tensor, sparsity: float) -> Tensor:
    order = weight.abs().flatten().argsort()
    mask = torch.ones(weight.numel(), dtype=torch.bool)
    mask[order[: round(sparsity * weight.numel())]] = False
    return mask.view_as(weight)


mask = Exercise(
    "magnitude mask",
    _check_mask,
    hints=[
        "A threshold cannot tell equal weights apart. Which function gives an order?",
        "weight.abs().flatten().argsort() lists the positions from the smallest weight on.",
        "Start from a flat mask of ones, and set the first positions of that list to zero.",
    ],
    solution=(_solve_mask,),
)


def _check_control(my_control: Rule) -> str:
    given = _random(64, 40) > 1
    given[:8] = False
    draws = [
        _tensor(my_control(given, Generator().manual_seed(i)), (64, 40), "the control").bool()
        for i in range(20)
    ]
    counts = {int(draw.sum()) for draw in draws}
    if counts != {int(given.sum())}:
        raise Wrong(
            f"The mask keeps {int(given.sum())} weights, your controls {min(counts)} to "
            f"{max(counts)}: shuffle the mask itself, so that the number stays."
        )
    if all(torch.equal(draw, draws[0]) for draw in draws):
        raise Wrong("Twenty generators give the same control; use the one you are handed.")
    counts_by_row = [draw.sum(1).sort().values for draw in [given, *draws]]
    if all(torch.equal(counted, counts_by_row[0]) for counted in counts_by_row):
        raise Wrong("Each row keeps its number of weights: shuffle over the whole layer.")
    share = torch.stack(draws).float().mean(0)
    if share[given].mean() > 2 * share[~given].mean():
        raise Wrong("Your controls keep the mask's own places too often to be random.")
    return "Against this control a gain is due to which weights stay, not to how many."


def _solve_control(mask: Tensor, generator: Generator) -> Tensor:
    return mask.flatten()[torch.randperm(mask.numel(), generator=generator)].view_as(mask)


control = Exercise(
    "shuffled control",
    _check_control,
    hints=[
        "torch.randperm(n, generator=generator) is a random order of n things.",
        "Flatten the mask, index it by a random order, and give it its shape again.",
    ],
    solution=(_solve_control,),
)


def _check_shrink(my_shrink: Rule) -> str:
    first, second, x = nn.Linear(12, 10), nn.Linear(10, 5), _random(50, 12)
    with torch.no_grad():
        for i, parameter in enumerate([*first.parameters(), *second.parameters()]):
            parameter.copy_(_random(*parameter.shape, seed=i))
    kept = torch.arange(10) % 3 != 0
    w1, b1, w2, b2 = (p.detach().clone() for p in [*first.parameters(), *second.parameters()])
    w1[~kept] = 0
    expected = torch.relu(x @ w1.T + b1) @ w2.T + b2
    parts = my_shrink(w1, b1, w2, b2, kept)
    if not isinstance(parts, tuple | list) or len(parts) != 4:
        raise Wrong("Return four tensors: w1, b1, w2, b2 of the smaller network.")
    n = int(kept.sum())
    shapes = {"w1": (n, 12), "b1": (n,), "w2": (5, n), "b2": (5,)}
    s1, c1, s2, c2 = (
        _tensor(part, shape, name).float()
        for part, (name, shape) in zip(parts, shapes.items(), strict=True)
    )
    found = torch.relu(x @ s1.T + c1) @ s2.T + c2
    difference = (found - expected).abs().max()
    if difference > 1e-4:
        reason = ""
        if torch.equal(c2, b2):
            reason = " A pruned neuron still gives relu of its bias: where has that gone?"
        elif torch.allclose(c2, b2 + w2[:, ~kept] @ b1[~kept]):
            reason = " The value of a pruned neuron passes the activation before it goes on."
        raise Wrong(f"The outputs differ by up to {difference:.2g}.{reason}")
    return "Smaller and faster for real, with the same outputs: no zeros, no masks, plain torch."


def _solve_shrink(
    w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, kept: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    constant = torch.relu(b1[~kept])
    return w1[kept], b1[kept], w2[:, kept], b2 + w2[:, ~kept] @ constant


shrink = Exercise(
    "take neurons out",
    _check_shrink,
    hints=[
        "A neuron is a row of w1, an entry of b1, and a column of w2.",
        "With all its inputs pruned it gives the same value for every input. Which one?",
        "That value, relu(b1), times its column of w2 belongs into b2.",
    ],
    solution=(_solve_shrink,),
)


WIDE = grid(seed=range(200, 204))  # seeds that the lesson has not used
EPOCHS = 14  # that the experiment trains with the learner's masks
SHARE = 0.93  # of the dense accuracy that it asks for


@cache
def _wide_start() -> Population:
    """Train the networks that are to be pruned for 8 epochs, once a kernel."""
    data, model = mnist1d(), mlp([40, 256, 256, 10], WIDE)
    watch = Progress("4 wide networks, dense", n_steps(data, 8))
    train(model, data, WIDE, epochs=8, lr=0.05, watch=[watch])
    return model


def _wide_accuracy(model: Population, words: str, masks: Rule | None = None) -> float:
    """Train on while the rate falls to 0; return the mean validation accuracy in percent."""
    data = mnist1d()
    n = n_steps(data, EPOCHS)
    history = train(
        model, data, WIDE, epochs=EPOCHS, lr=lambda step: 0.05 * (1 - step / n), masks=masks,
        first_epoch=8, watch=[Progress(words, n)],
    )  # fmt: skip
    return 100 * float(history.validation_accuracy.isel(epoch=-1).mean())


@cache
def _wide_control() -> float:
    """Return the accuracy of the dense networks after as many epochs, trained once a kernel."""
    rows = torch.arange(len(WIDE))
    return _wide_accuracy(_wide_start().take(rows), "4 wide networks, on without masks")


def _check_wide(my_masks: Rule) -> str:
    network = _wide_start().take(torch.arange(len(WIDE)))
    accuracy = _wide_accuracy(
        network, "4 wide networks, with your masks", lambda epoch, model: my_masks(epoch - 8, model)
    )
    share = pruning.sparsity({name: w != 0 for name, w in pruning.weights(network).items()})
    if share.min() < 0.9495:
        raise Wrong(
            f"At the end {100 * share.min():.1f} % of the weights are zero; 95 % were asked."
        )
    if accuracy < SHARE * _wide_control():
        raise Wrong(
            f"Your networks reach {accuracy:.1f} %, and {_wide_control():.1f} % dense: "
            f"{100 * accuracy / _wide_control():.1f} % of it; {100 * SHARE:g} % were "
            "asked. When is most cut, and how long is trained after the last cut?"
        )
    return (
        f"One in twenty weights, and {100 * SHARE:g} % of the accuracy: what is cut late was "
        "chosen knowing more."
    )


def _solve_wide(epoch: int, model: Population) -> dict[str, Tensor]:
    progress = min((epoch + 1) / 10, 1)
    share = 0.95 * (1 - (1 - progress) ** 3)
    return pruning.keep_largest(pruning.magnitude(model), share)


wide = Exercise(
    f"95 % sparse, {100 * SHARE:g} % as good",
    _check_wide,
    hints=[
        f"Your function is called before each of {EPOCHS} epochs, from epoch 0, with the networks "
        "as they are then.",
        "pruning.keep_largest(pruning.magnitude(model), share) prunes a share of what is there; "
        "weights that are zero already go first.",
        "Let the share grow over the first 10 epochs, fast at first: "
        "0.95 * (1 - (1 - (epoch + 1) / 10) ** 3), and stay at 0.95 from then on.",
    ],
    solution=(_solve_wide,),
    seconds=120,
)


def _check_amounts(diagnosis: Any, mended: Rule) -> str:
    diagnosed(
        diagnosis, "b",
        {
            "a": "L1Unstructured takes the absolute value; signs do not matter.",
            "c": "A mask stays until prune.remove; the next call starts from it.",
        },
    )  # fmt: skip
    for amount, n in ((0.5, 3), (0.9, 3), (0.75, 2)):
        each = float(mended(amount, n))
        left = (1 - each) ** n if 0 <= each <= 1 else 1.0
        if abs(1 - left - amount) > 1e-3:
            hint = " Shares multiply; they do not add." if abs(each * n - amount) < 1e-6 else ""
            raise Wrong(
                f"{n} calls with amount={each:.4g} leave {100 * left:.3g} % of the weights; "
                f"{100 * (1 - amount):g} % were asked.{hint}"
            )
    return "Shares multiply: n calls with amount a leave (1 - a)^n, not 1 - n a, and not 1 - a."


def _solve_amounts(amount: float, n: int) -> float:
    return float(1 - (1 - amount) ** (1 / n))


amounts = Exercise(
    "clinic: one half, three times",
    _check_amounts,
    hints=[
        "How many of 4000 weights are left after one call with amount=0.5? After the second?",
        "After n calls a share (1 - each) ** n is left. Which `each` leaves 1 - amount?",
    ],
    solution=("b", _solve_amounts),
)


def _check_unmasked(diagnosis: Any, mended: Rule) -> str:
    diagnosed(
        diagnosis, "c",
        {
            "a": "Try it: with a rate ten times smaller the zeros are gone after one step as well.",
            "b": "The pruned weights were zero before the first step; the printed share says so.",
        },
    )  # fmt: skip
    data = mnist1d(640)
    network = mlp([40, 32, 10], grid(seed=[0])).unstack(0)
    masks = pruning.keep_largest(pruning.magnitude(network), 0.8)
    pruning.apply(network, masks)
    seen: list[float] = []  # the share of zeros at each forward pass that is trained on

    def look(module: nn.Module, _inputs: object) -> None:
        if torch.is_grad_enabled():
            seen.append(_share_of_zeros(module))

    loss = nn.functional.cross_entropy
    with torch.no_grad():
        before = float(loss(network(data.x_train), data.y_train))
    watched = network.register_forward_pre_hook(look)
    mended(network, masks, data.x_train, data.y_train)
    watched.remove()
    with torch.no_grad():
        after = float(loss(network(data.x_train), data.y_train))
    if len(seen) < 10:
        raise Wrong(f"The network was used for {len(seen)} batches; 640 samples are 10 of 64.")
    if not after < before:
        raise Wrong(
            f"The loss on the training samples went from {before:.3f} to {after:.3f}: the network "
            "must still be trained."
        )
    if min(seen) < 0.799:
        raise Wrong(
            f"At batch {seen.index(min(seen)) + 1} only {100 * min(seen):.1f} % of the weights "
            "were zero, and 80 % must be, at every step: they were trained, then cut again."
        )
    if _share_of_zeros(network) < 0.799:
        raise Wrong("After the last step the pruned weights are no longer zero.")
    return "A pruned weight has a gradient like any other; something must hold it, at every step."


def _share_of_zeros(network: nn.Module) -> float:
    kept = {name: weight != 0 for name, weight in pruning.weights(network).items()}
    return float(pruning.sparsity(kept))


def _solve_unmasked(network: nn.Module, masks: Mapping[str, Tensor], x: Tensor, y: Tensor) -> None:
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    for inputs, targets in zip(x.split(64), y.split(64), strict=True):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(inputs), targets).backward()
        optimizer.step()
        pruning.apply(network, masks)


unmasked = Exercise(
    "clinic: zeros that vanish",
    _check_unmasked,
    hints=[
        "What is the gradient of a weight that happens to be zero?",
        "One line after optimizer.step() is missing: pruning.apply(network, masks).",
    ],
    solution=("c", _solve_unmasked),
)


def _check_file(diagnosis: Any, mended: Rule) -> str:
    diagnosed(
        diagnosis, "a",
        {
            "b": "torch.save packs, but does not compress: zeros take four bytes each.",
            "c": "float32 before and after; the type of the numbers did not change.",
        },
    )  # fmt: skip
    network = nn.Sequential(nn.Linear(40, 64), nn.ReLU(), nn.Linear(64, 10))
    plain = {name: tuple(p.shape) for name, p in network.state_dict().items()}
    for layer in (network[0], network[2]):
        prune.l1_unstructured(layer, "weight", amount=0.9)
    x = _random(20, 40)
    expected = network(x).detach()
    file = io.BytesIO()
    state = mended(network)
    if not isinstance(state, Mapping):
        raise Wrong(f"Return the state_dict; this is a {type(state).__name__}.")
    torch.save(state, file)
    if any(name.endswith(("_orig", "_mask")) for name in state):
        names = [name for name in state if name.endswith(("_orig", "_mask"))]
        raise Wrong(f"The file still holds {', '.join(names)}: {len(file.getvalue())} bytes.")
    if {name: tuple(value.shape) for name, value in state.items()} != plain:
        raise Wrong(f"A plain network needs {[*plain]}; your file holds {[*state]}.")
    fresh = nn.Sequential(nn.Linear(40, 64), nn.ReLU(), nn.Linear(64, 10))
    fresh.load_state_dict(dict(state))
    if not torch.allclose(fresh(x), expected, atol=1e-5):
        raise Wrong("Loaded into a plain network, the weights give other outputs: are they pruned?")
    return "Until prune.remove a pruned module stores every weight and its mask: the file doubles."


def _solve_file(network: nn.Module) -> Mapping[str, Tensor]:
    for module in network.modules():
        if prune.is_pruned(module) and hasattr(module, "weight_mask"):
            prune.remove(module, "weight")
    return network.state_dict()


file = Exercise(
    "clinic: the file that doubled",
    _check_file,
    hints=[
        "Print the names in the state_dict: what is weight_orig?",
        "prune.remove(module, 'weight') makes a pruned weight an ordinary one, for good.",
    ],
    solution=("a", _solve_file),
)
