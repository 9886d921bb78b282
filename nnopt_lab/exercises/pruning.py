"""The lesson on pruning: its questions with their findings, its exercises and its clinic.

A question returns what ``Explorer`` takes: the prediction that covers its figure, and what the run
showed. Both are computed from the arrays that the lesson measured.
"""

import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

from nnopt_lab import networks, pruning
from nnopt_lab.data import Data, mnist1d
from nnopt_lab.exercises.checks import diagnosed, expect, number, tensor
from nnopt_lab.exercises.exercise import Exercise, Wrong
from nnopt_lab.explorer import Prediction, Progress, Stops
from nnopt_lab.grid import grid
from nnopt_lab.networks import Masks, Population, mlp
from nnopt_lab.statistics import Findings, Verdict, interval, paired
from nnopt_lab.training import n_steps, train

import torch
import xarray as xr
from torch import Generator, Tensor, nn
from torch.nn.utils import prune

Rule = Callable[..., Any]


def half_cut(accuracy: xr.DataArray, share: xr.DataArray) -> dict[str, Any]:
    """Ask what is left when half of the weights are cut, and nothing is trained again.

    Parameters
    ----------
    accuracy, share : xarray.DataArray
        Test accuracy and share of weights cut, in [0, 1]; dimensions ``epsilon`` (from 0) and
        ``seed``.
    """
    dense, third, half, most = (
        accuracy.isel(epsilon=abs(share.mean("seed") - cut).argmin("epsilon"), drop=True)
        for cut in (0, 0.35, 0.5, 1)
    )
    left = float(half.mean() / dense.mean())
    reason = "The weights that go are the smallest: together they carry little of the signal."
    showed = {
        "A third of the weights can be cut for less than 3 points.": third - dense + 0.03,
        "With half of them gone, more than four fifths of the accuracy is left.": half
        - 0.8 * dense,
        "At the largest threshold less than a third of the accuracy is left.": dense / 3 - most,
    }
    return {
        "predict": Prediction(
            "Half of the weights are cut, and nothing is trained again. How much of the "
            "accuracy is left?",
            {"about a tenth of it": 0.1, "about half of it": 0.5, "about nine tenths of it": 0.9},
            left,
            [f"That is where it ends, when nearly all are gone. {reason}", reason, reason],
            words=f"{100 * left:.0f} % of the dense accuracy",
        ),
        "shows": Findings(showed),
    }


def which_stay(tuned: xr.DataArray, constant: xr.DataArray) -> dict[str, Any]:
    """Ask whether it matters which weights stay, if each layer keeps as many.

    Parameters
    ----------
    tuned, constant : xarray.DataArray
        Test accuracy in [0, 1] with a rate of its own for each rule and sparsity, and with one
        rate for all; dimensions ``rule``, ``sparsity`` and ``seed``.
    """
    tenth = tuned.sel(sparsity=0.9)
    lead, at_random = (
        tenth.sel(rule="largest", drop=True) - tenth.sel(rule=rule, drop=True)
        for rule in ("shuffled", "random")
    )
    largest = [accuracy.sel(rule="largest") for accuracy in (tuned, constant)]
    cost, seeming = (a.sel(sparsity=0, drop=True) - a.sel(sparsity=0.8, drop=True) for a in largest)
    reason = "The largest weights, at their own places, hold most of what was learned."
    showed = {
        "At 90 % sparsity the largest weights are more than 10 points ahead of as many at random "
        "places.": lead - 0.1,
        "Weights at random are more than 10 points behind, too.": at_random - 0.1,
        "A rate that never falls makes pruning look cheaper: at 80 % it seems to cost at least "
        "half a point less.": cost - seeming - 0.005,
    }
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
            words=f"the largest weights are ahead by {interval(100 * lead)} points",
        ),
        "shows": Findings(showed),
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
    showed = {
        "Cut at 50 %, fewer than a tenth of the zeros outlive the first step: what is not held is "
        "not pruned.": 0.1 - first,
        "Cut at 98 %, more than half of them stay for the whole epoch.": last - 0.5,
    }
    return {
        "predict": Prediction(
            "Half of the weights were cut. What share of them is still zero after a single step?",
            Stops(range(0, 101, 5), unit="%"),
            100 * float(first.mean()),
            "A weight that is zero has a gradient like any other, and moves.",
            words=f"{interval(100 * first)} %",
        ),
        "shows": Findings(showed),
    }


def lifted(gain: xr.DataArray) -> Findings:
    """Say what became of networks whose zeros were let go.

    Parameters
    ----------
    gain : xarray.DataArray
        Test accuracy minus that of the dense networks, in [0, 1]; dimensions ``masks`` (``kept``,
        ``lifted``), ``sparsity`` and ``seed``.
    """
    kept, free = (gain.sel(masks=masks, drop=True) for masks in ("kept", "lifted"))
    at_80, most = free.sel(sparsity=0.8, drop=True), free.sel(sparsity=0.9, drop=True)
    lost = -kept.sel(sparsity=0.8, drop=True)
    return Findings(
        {
            "At 80 % sparsity more than a point stays lost while the masks are kept.": lost - 0.01,
            "At 80 % with the masks lifted, less than 2 points are won or lost.": 0.02 - abs(at_80),
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
    file, pace = (
        {str(kind): float(cost.sel(sparsity=0.9, kind=kind)) for kind in cost.kind.values}
        for cost in (size, time)
    )
    saves_file = {
        "Zeros as they are save no byte.": file["zeros"] == 1,
        "At 90 %, width 256, gzip and CSR bring the file below a third.": (
            max(file["gzip"], file["CSR"]) < 1 / 3
        ),
        "At 50 % CSR saves no byte.": bool(size.sel(sparsity=0.5, kind="CSR") >= 1),
    }
    saves_time = {
        "Zeros as they are save no time (at 90 %, width 256, batch of 64).": (
            abs(pace["zeros"] - 1) < 0.2
        ),
        "There, with neurons taken out, less than two thirds of it is left.": (
            pace["neurons out"] < 2 / 3
        ),
    }
    return {
        "predict": Prediction(
            "Nine weights in ten are zero, and stored as they are. What is left of the file, and "
            "of the time for a batch?",
            {"about a tenth of both": 0.1, "about half of both": 0.5, "all of both": 1},
            pace["zeros"],
            "A zero is a number like any other: it takes four bytes, and is multiplied. Something "
            "has to leave it out.",
            words=f"{100 * file['zeros']:.0f} % of the file, {100 * pace['zeros']:.0f} % of the "
            "time",
        ),
        "shows": [Findings(saves_file), Findings(saves_time, compare=False)],
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
        a, b = (accuracy.sel(rule=rule, sparsity=share) for rule, share in (better, other))
        return Verdict(words, 100 * paired(a, b), margin=2, unit="points", compare=compare)

    dense, half, fifth, tenth, last = (("largest", share) for share in (0, 0.5, 0.8, 0.9, 0.95))
    return [
        claim("Half cut and trained again, a network is worse than dense", dense, half),
        claim("With 80 % cut it is worse than dense", dense, fifth),
        claim("With 90 % cut it is worse than dense", dense, tenth),
        claim(
            "At 90 % the largest weights beat as many at random places", tenth, ("shuffled", 0.9)
        ),
        claim("At 95 % bit by bit beats all at once", ("bit by bit", 0.95), last),
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
    lead = accuracy - accuracy.sel(rule="largest", drop=True)
    bits = lead.sel(rule="bit by bit", sparsity=0.95, drop=True)
    neurons = lead.sel(rule="neurons", sparsity=0.9, drop=True)
    return Findings(
        {
            "At 95 % sparsity bit by bit is more than 3 points ahead of all at once.": bits - 0.03,
            "At 90 % neurons are ahead of single weights that are cut all at once.": neurons,
        }
    )


def tickets(accuracy: xr.DataArray) -> Findings:
    """Say what a ticket is worth.

    Parameters
    ----------
    accuracy : xarray.DataArray
        Test accuracy in [0, 1]; dimensions ``start``, ``sparsity`` and ``seed``.
    """
    dense, rewound, fresh, shuffled = (
        accuracy.sel(start=start, sparsity=0.9, drop=True)
        for start in ("dense", "rewound", "fresh start", "shuffled")
    )
    return Findings(
        {
            "At 90 % the ticket, rewound, is ahead of the same mask on other first weights.": (
                rewound - fresh
            ),
            "That mask is ahead of a shuffled one: part of its worth needs no trained weight.": (
                fresh - shuffled
            ),
            "It stays more than 8 points behind the dense network.": dense - rewound - 0.08,
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
    kept = cut - 0.8 * dense
    return Findings(
        {
            "The wide network keeps more than 80 % of its accuracy with 5 % of its weights.": kept,
            "The small one is ahead of it after 30 epochs, a sixth of the operations.": small - cut,
        }
    )


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=Generator().manual_seed(seed))


def _solve_sparsity(weight: Tensor) -> Tensor:
    return (weight == 0).float().mean()


@Exercise(
    "sparsity of a tensor",
    hints=[
        "Comparing a tensor with 0 gives a tensor of true and false.",
        "The mean of true and false, as floats, is the share of true.",
    ],
    solution=(_solve_sparsity,),
)
def sparsity(my_sparsity: Rule) -> str:
    """Check the share of zeros."""
    quarter = _random(20, 30)
    quarter[:5] = 0
    for weight, share, what in (
        (quarter, 0.25, "a tensor with a quarter of zeros"),
        (_random(4, 5), 0.0, "a tensor without zeros"),
        (torch.zeros(3, 3), 1.0, "a tensor of zeros"),
        (torch.tensor([0.0, -0.0, -1.0, 1e-30]), 0.5, "[0, -0, -1, 1e-30]"),
    ):
        mistakes = {
            1 - share: "That is the share of weights that are kept.",
            share * weight.numel(): "Give a share, not a number of weights.",
        }
        before = weight.clone()
        expect(my_sparsity(weight), share, f"For {what}", mistakes)
        if not torch.equal(weight, before):
            raise Wrong("Your function changes the weights; count, and leave them alone.")
    return "Sparsity is a share: it says nothing of how many bytes or microseconds it saves."


def _solve_mask(weight: Tensor, sparsity: float) -> Tensor:
    order = weight.abs().flatten().argsort()
    mask = torch.ones(weight.numel(), dtype=torch.bool)
    mask[order[: round(sparsity * weight.numel())]] = False
    return mask.view_as(weight)


@Exercise(
    "magnitude mask",
    hints=[
        "A threshold cannot tell equal weights apart. Which function gives an order?",
        "weight.abs().flatten().argsort() lists the positions from the smallest weight on.",
        "Start from a flat mask of ones, and set the first positions of that list to zero.",
    ],
    solution=(_solve_mask,),
)
def mask(my_mask: Rule) -> str:
    """Check a mask of the largest weights."""
    ties = torch.ones(40, 200)
    ties[:20] = -2
    for weight, share, what in (
        (_random(40, 200), 0.5, "random weights"),
        (_random(7, 11, seed=1), 0.7, "random weights"),
        (ties, 0.75, "weights of which many are equal"),
        (_random(6, 6), 0.0, "random weights"),
        (_random(6, 6), 1.0, "random weights"),
    ):
        before = weight.clone()
        found = tensor(my_mask(weight, share), tuple(weight.shape), "The mask")
        if not torch.equal(weight, before):
            raise Wrong("Your function changes the weights; return a mask and leave them alone.")
        kept = found.bool()
        if not torch.equal(kept.to(found.dtype), found):
            raise Wrong("A mask holds 1 or true where a weight is kept, and 0 or false elsewhere.")
        asked = weight.numel() - round(share * weight.numel())
        if int(kept.sum()) != asked:
            look = " Look at ties." if weight is ties else ""
            raise Wrong(
                f"For {what} at sparsity {share:g} your mask keeps {int(kept.sum())} of "
                f"{weight.numel()} weights; {asked} were asked.{look}"
            )
        size = weight.abs()
        if 0 < asked < weight.numel() and size[kept].min() < size[~kept].max():
            raise Wrong(
                f"For {what} your mask prunes a weight of size {size[~kept].max():.3g} and keeps "
                f"one of size {size[kept].min():.3g}; small means near 0."
            )
    return "A rule by count keeps exactly what was asked, whatever the scale of the weights."


def _solve_control(mask: Tensor, generator: Generator) -> Tensor:
    return mask.flatten()[torch.randperm(mask.numel(), generator=generator)].view_as(mask)


@Exercise(
    "shuffled control",
    hints=[
        "torch.randperm(n, generator=generator) is a random order of n things.",
        "Flatten the mask, index it by a random order, and give it its shape again.",
    ],
    solution=(_solve_control,),
)
def control(my_control: Rule) -> str:
    """Check masks that keep as many weights at other places."""
    given = _random(64, 40) > 1
    given[:8] = False
    before = given.clone()
    *draws, again = (
        tensor(my_control(given, Generator().manual_seed(i)), (64, 40), "The control").bool()
        for i in [*range(20), 0]
    )
    if not torch.equal(given, before):
        raise Wrong("Your function changes the mask; return another and leave it alone.")
    counts = {int(draw.sum()) for draw in draws}
    if counts != {int(given.sum())}:
        raise Wrong(
            f"The mask keeps {int(given.sum())} weights, your controls {min(counts)} to "
            f"{max(counts)}: shuffle the mask itself, so that the number stays."
        )
    if all(torch.equal(draw, draws[0]) for draw in draws):
        raise Wrong("Twenty generators give the same control; use the one you are handed.")
    if not torch.equal(draws[0], again):
        raise Wrong("The same generator must give the same control: draw from it alone.")
    # how often a kept weight stands beside a pruned one: a shifted mask keeps that, a block has two
    ends = torch.stack([given, *draws]).flatten(1).int().diff(dim=1).abs().sum(1)
    if int(ends.max() - ends.min()) <= 2 or int(ends[1:].max()) <= 2:
        raise Wrong("The order of the places stays, and is only shifted: draw each place anew.")
    for dim, name in ((1, "row"), (0, "column")):
        counts_by_line = [draw.sum(dim).sort().values for draw in [given, *draws]]
        if all(torch.equal(counted, counts_by_line[0]) for counted in counts_by_line):
            raise Wrong(f"Each {name} keeps its number of weights: shuffle over the whole layer.")
    share = torch.stack(draws).float().mean(0)
    if not 0.5 < share[given].mean() / share[~given].mean() < 2:
        raise Wrong(
            "Your controls keep the mask's own places too often, or too rarely, for chance."
        )
    return "Against this control a gain is due to which weights stay, not to how many."


def _solve_shrink(
    w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, kept: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    constant = torch.relu(b1[~kept])
    return w1[kept], b1[kept], w2[:, kept], b2 + w2[:, ~kept] @ constant


@Exercise(
    "take neurons out",
    hints=[
        "A neuron is a row of w1, an entry of b1, and a column of w2.",
        "With all its inputs pruned it gives the same value for every input. Which one?",
        "That value, relu(b1), times its column of w2 belongs into b2.",
    ],
    solution=(_solve_shrink,),
)
def shrink(my_shrink: Rule) -> str:
    """Check a smaller network with the same outputs."""
    x, kept = _random(50, 12), torch.arange(10) % 3 != 0
    sizes = ((10, 12), (10,), (5, 10), (5,))
    w1, b1, w2, b2 = (_random(*shape, seed=i) for i, shape in enumerate(sizes))
    w1[~kept] = 0
    expected = torch.relu(x @ w1.T + b1) @ w2.T + b2
    parts = my_shrink(w1.clone(), b1.clone(), w2.clone(), b2.clone(), kept)
    if not isinstance(parts, tuple | list) or len(parts) != 4:
        raise Wrong("Return four tensors: w1, b1, w2, b2 of the smaller network.")
    n = int(kept.sum())
    shapes = {"w1": (n, 12), "b1": (n,), "w2": (5, n), "b2": (5,)}
    s1, c1, s2, c2 = (
        tensor(part, shape, name).float()
        for part, (name, shape) in zip(parts, shapes.items(), strict=True)
    )
    difference = (torch.relu(x @ s1.T + c1) @ s2.T + c2 - expected).abs().max()
    if not difference <= 1e-4:
        reason = ""
        if torch.equal(c2, b2):
            reason = " A pruned neuron still gives relu of its bias: where has that gone?"
        elif torch.allclose(c2, b2 + w2[:, ~kept] @ b1[~kept]):
            reason = " The value of a pruned neuron passes the activation before it goes on."
        raise Wrong(f"The outputs differ by up to {difference:.2g}.{reason}")
    return "Smaller and faster for real, with the same outputs: no zeros, no masks, plain torch."


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


def _solve_wide(epoch: int, model: Population) -> Masks:
    progress = min((epoch + 1) / 10, 1)
    share = 0.95 * (1 - (1 - progress) ** 3)
    return pruning.keep_largest(pruning.magnitude(model), share)


@Exercise(
    f"95 % sparse, {100 * SHARE:g} % as good",
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
def wide(my_masks: Rule) -> str:
    """Train wide networks with the learner's masks."""
    network = _wide_start().take(torch.arange(len(WIDE)))

    def masks(epoch: int, model: Population) -> Masks:
        given = my_masks(epoch - 8, model)
        if not isinstance(given, Mapping):
            raise Wrong(f"Return masks by the names of the weights; a {type(given).__name__} came.")
        return {name: torch.as_tensor(mask) for name, mask in given.items()}

    accuracy = _wide_accuracy(network, "4 wide networks, with your masks", masks)
    zeros = _share_of_zeros(network)
    if zeros < 0.9495:
        raise Wrong(f"At the end {100 * zeros:.1f} % of the weights are zero; 95 % were asked.")
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


def _share_of_zeros(network: nn.Module) -> float:
    """Return the share of weights that are zero, of the network with the fewest.

    Whoever holds them there: torch's own pruning may.
    """
    layers = (m for m in network.modules() if isinstance(m, nn.Linear | networks.Linear))
    kept = {f"{i}": (m.weight != 0).view(-1, *m.weight.shape[-2:]) for i, m in enumerate(layers)}
    return float(pruning.sparsity(kept).min())


def _solve_amounts(amount: float, n: int) -> float:
    return float(1 - (1 - amount) ** (1 / n))


@Exercise(
    "clinic: one half, three times",
    hints=[
        "How many of 4000 weights are left after one call with amount=0.5? After the second?",
        "After n calls a share (1 - each) ** n is left. Which `each` leaves 1 - amount?",
    ],
    solution=("b", _solve_amounts),
)
def amounts(diagnosis: Any, mended: Rule) -> str:
    """Check what each of n calls must prune."""
    diagnosed(
        diagnosis, "b",
        {
            "a": "L1Unstructured takes the absolute value; signs do not matter.",
            "c": "A mask stays until prune.remove; the next call starts from it.",
        },
    )  # fmt: skip
    for amount, n in ((0.5, 3), (0.9, 3), (0.75, 2)):
        each = number(mended(amount, n), f"For amount = {amount:g} and {n} calls")
        if not 0 < each < 1:
            raise Wrong(f"amount={each:.4g} is no share; give one between 0 and 1.")
        left = (1 - each) ** n
        asked = f"{100 * (1 - amount):g} % were asked."
        words = f"{n} calls with amount={each:.4g} leave {100 * left:.3g} % of the weights; {asked}"
        mistakes = {amount / n: f"{words} Shares multiply; they do not add."}
        expect(each, _solve_amounts(amount, n), "", mistakes, otherwise=words, rel_tol=3e-3)
    return "Shares multiply: n calls with amount a leave (1 - a)^n, not 1 - n a, and not 1 - a."


class _Batch(NamedTuple):
    """What was seen of a batch that a network was trained on."""

    inputs: Tensor
    n_loose: int  # weights that were to be zero and were not
    has_old_gradients: bool


@contextmanager
def _watched(network: nn.Sequential, masks: Masks) -> Iterator[list[_Batch]]:
    """Note each batch whose loss is propagated back."""
    seen: list[_Batch] = []
    inputs: list[Tensor] = []

    def begin(_layer: nn.Module, given: tuple[Tensor, ...]) -> None:
        inputs[:] = given

    def end(_layer: nn.Module, _given: object, outputs: Tensor) -> None:
        if not outputs.requires_grad:
            return
        weights = _weights(network)
        n_loose = sum(int((w != 0)[masks[name][0] == 0].sum()) for name, w in weights.items())

        def propagated(_gradient: Tensor, batch: Tensor = inputs[0]) -> None:
            gradients = [p.grad for p in network.parameters() if p.grad is not None]
            seen.append(_Batch(batch, n_loose, any(bool(g.any()) for g in gradients)))

        outputs.register_hook(propagated)

    hooks = network[0].register_forward_pre_hook(begin), network[-1].register_forward_hook(end)
    yield seen
    for hook in hooks:
        hook.remove()


def _check_batches(seen: list[_Batch]) -> None:
    """Check one epoch of 640 samples, pruned weights held at zero in every batch."""
    if len(seen) != 10 or any(len(batch.inputs) != 64 for batch in seen):
        sizes = sorted({len(batch.inputs) for batch in seen})
        raise Wrong(
            f"The network was trained on {len(seen)} batches, of sizes {sizes}; one epoch of 640 "
            "samples is 10 of 64."
        )
    if len(torch.cat([batch.inputs for batch in seen]).unique(dim=0)) < 640:
        raise Wrong("Not all samples were trained on: an epoch takes each of them once.")
    for place, batch in enumerate(seen, 1):
        if batch.n_loose:
            raise Wrong(
                f"At batch {place} {batch.n_loose} of the pruned weights were not zero; they must "
                "be at every step, and were trained."
            )
        if batch.has_old_gradients:
            raise Wrong(f"At batch {place} the gradients of the batch before were still there.")


def _weights(network: nn.Sequential) -> dict[str, Tensor]:
    """Return copies of the weights that are in use, whoever makes them: torch's own pruning may."""
    layers = {name: layer for name, layer in network.named_children() if hasattr(layer, "weight")}
    return {f"{n}.weight": torch.as_tensor(m.weight).detach().clone() for n, m in layers.items()}


@torch.no_grad()
def _loss(network: nn.Module, data: Data) -> float:
    return float(nn.functional.cross_entropy(network(data.x_train), data.y_train))


def _solve_unmasked(network: nn.Module, masks: Masks, x: Tensor, y: Tensor) -> None:
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    for inputs, targets in zip(x.split(64), y.split(64), strict=True):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(inputs), targets).backward()
        optimizer.step()
        pruning.apply(network, masks)


@Exercise(
    "clinic: zeros that vanish",
    hints=[
        "What is the gradient of a weight that happens to be zero?",
        "One line after optimizer.step() is missing: pruning.apply(network, masks).",
    ],
    solution=("c", _solve_unmasked),
    seconds=20,  # the first optimizer of a process takes some
)
def unmasked(diagnosis: Any, mended: Rule) -> str:
    """Check that zeros are held at every step of a training."""
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
    before, loss_before = _weights(network), _loss(network, data)
    with _watched(network, masks) as seen:
        mended(network, masks, data.x_train, data.y_train)
    _check_batches(seen)
    now = _loss(network, data)
    if not now < loss_before:
        raise Wrong(
            f"The loss on the training samples went from {loss_before:.3f} to {now:.3f}: the "
            "network must still be trained."
        )
    for name, weight in _weights(network).items():
        kept = masks[name][0].bool()
        if weight[~kept].any():
            raise Wrong("After the last step the pruned weights are no longer zero.")
        if (weight == before[name])[kept].float().mean() > 0.5:
            raise Wrong(f"The weights that are kept in {name} were not trained.")
        if (weight == 0)[kept].float().mean() > 0.05:
            raise Wrong(f"More weights of {name} are zero than the masks cut.")
    return "A pruned weight has a gradient like any other; something must hold it, at every step."


def _solve_file(network: nn.Module) -> Mapping[str, Tensor]:
    for module in network.modules():
        if prune.is_pruned(module) and hasattr(module, "weight_mask"):
            prune.remove(module, "weight")
    return network.state_dict()


@Exercise(
    "clinic: the file that doubled",
    hints=[
        "Print the names in the state_dict: what is weight_orig?",
        "prune.remove(module, 'weight') makes a pruned weight an ordinary one, for good.",
    ],
    solution=("a", _solve_file),
)
def file(diagnosis: Any, mended: Rule) -> str:
    """Check a file without masks."""
    diagnosed(
        diagnosis, "a",
        {
            "b": "torch.save packs, but does not compress: zeros take four bytes each.",
            "c": "float32 before and after; the type of the numbers did not change.",
        },
    )  # fmt: skip
    network, fresh = (
        nn.Sequential(nn.Linear(40, 64), nn.ReLU(), nn.Linear(64, 10)) for _ in range(2)
    )
    for layer in (network[0], network[2]):
        prune.l1_unstructured(layer, "weight", amount=0.9)
    x, saved = _random(20, 40), io.BytesIO()
    expected = network(x).detach()
    state = mended(network)
    if not isinstance(state, Mapping):
        raise Wrong(f"Return the state_dict; this is a {type(state).__name__}.")
    torch.save(state, saved)
    names = [name for name in state if name.endswith(("_orig", "_mask"))]
    if names:
        raise Wrong(f"The file still holds {', '.join(names)}: {len(saved.getvalue())} bytes.")
    if not all(isinstance(value, Tensor) for value in state.values()):
        raise Wrong("The values of a state_dict are tensors.")
    plain = {name: tuple(value.shape) for name, value in fresh.state_dict().items()}
    if {name: tuple(value.shape) for name, value in state.items()} != plain:
        raise Wrong(f"A plain network needs {[*plain]}; your file holds {[*state]}.")
    kinds = {str(value.dtype) for value in state.values()}
    if kinds != {"torch.float32"}:
        raise Wrong(f"The weights are float32; your file holds {sorted(kinds)}.")
    usual = io.BytesIO()
    torch.save(fresh.state_dict(), usual)
    if len(saved.getvalue()) > 1.1 * len(usual.getvalue()):
        raise Wrong(
            f"The file has {len(saved.getvalue())} bytes, that of a plain network "
            f"{len(usual.getvalue())}: are your tensors parts of larger ones?"
        )
    fresh.load_state_dict(dict(state))
    if not torch.allclose(fresh(x), expected, atol=1e-5):
        raise Wrong("Loaded into a plain network, the weights give other outputs: are they pruned?")
    return "Until prune.remove a pruned module stores every weight and its mask: the file doubles."
