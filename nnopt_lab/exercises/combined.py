"""The lesson that combines all techniques: its questions with their findings, and its exercises."""

import math
from collections.abc import Callable
from itertools import combinations
from typing import Any

from nnopt_lab.combined import effects, front, gained
from nnopt_lab.exercises.checks import expect, number
from nnopt_lab.exercises.exercise import Exercise, Wrong
from nnopt_lab.explorer import Prediction
from nnopt_lab.statistics import Findings, Verdict, paired

import numpy as np
import xarray as xr

Rule = Callable[..., Any]
FACTORS = ["shuffle", "decay", "batch_norm", "pruning"]
SORTED, SHUFFLED = "sorted", "shuffled"
CONSTANT, DECAYED = "constant", "decayed"
PLAIN, NORMED = "plain", "batch norm"
WHOLE, PRUNED = "all weights", "80 % pruned"


def helping(accuracy: xr.DataArray) -> dict[str, Any]:
    """Ask which pair of techniques helps each other.

    Parameters
    ----------
    accuracy : xarray.DataArray
        Test accuracy in [0, 1], each recipe at its own rate; dimensions of the factors and
        ``seed``.
    """
    found = 100 * effects(accuracy, FACTORS)
    pairs = [" × ".join(pair) for pair in combinations(FACTORS[:3], 2)] + ["decay × pruning"]
    most = max(pairs, key=lambda pair: float(found.sel(term=pair).mean()))
    words = {pair: pair.replace("_", " ").replace(" × ", " and ") for pair in pairs}
    normed, pruned = (
        100 * gained(accuracy, factor).mean([name for name in rest if name != "shuffle"])
        for factor, rest in (("batch_norm", [*FACTORS[:2], "pruning"]), ("pruning", FACTORS[:3]))
    )
    return {
        "predict": Prediction(
            "Four techniques are switched on and off in all combinations. In one pair, one gains "
            "much more where the other is in use. Which?",
            [*words.values()],
            words[most],
            "In sorted data a batch holds one class, and batch norm subtracts what that class has "
            "in common; in use, averages over all classes are subtracted, which it never met.",
        ),
        "shows": Findings(
            {
                "Shuffling gains more than 20 points.": found.sel(term="shuffle") - 20,
                "In sorted data batch norm loses more than 5 points.": (
                    -5 - normed.sel(shuffle=SORTED, drop=True)
                ),
                "Pruning costs more than 5 points in shuffled data.": (
                    -5 - pruned.sel(shuffle=SHUFFLED, drop=True)
                ),
                "Decay and pruning change each other's gain by less than 3 points.": bool(
                    abs(found.sel(term="decay × pruning").mean()) < 3
                ),
            }
        ),
    }


def _gain_of_batch_norm(accuracy: xr.DataArray, **where: str) -> xr.DataArray:
    return 100 * gained(accuracy.sel(where, drop=True), "batch_norm")


def flipped(own: xr.DataArray, common: xr.DataArray) -> dict[str, Any]:
    """Ask what the rate that all share does to what batch norm seems to gain.

    Parameters
    ----------
    own, common : xarray.DataArray
        Test accuracy in [0, 1], each recipe at its own rate, or all at one; dimensions of the
        factors and ``seed``.
    """
    where = {"shuffle": SHUFFLED, "decay": DECAYED, "pruning": WHOLE}
    at_one, at_own = (_gain_of_batch_norm(found, **where) for found in (common, own))
    change = float(at_own.mean() - at_one.mean())
    answers = {
        "it grows": change > 1,
        "it stays, within a point": abs(change) <= 1,
        "it shrinks, to more than 2 points": change < -1 and float(at_own.mean()) > 2,
        "it is gone, or turns into a loss": change < -1 and float(at_own.mean()) <= 2,
    }
    return {
        "predict": Prediction(
            "Shuffled data, a rate that decays. At one rate for all, batch norm gains some points. "
            "Now each recipe gets a rate of its own, the best of three on validation. What becomes "
            "of the gain?",
            [*answers],
            next(answer for answer, is_so in answers.items() if is_so),
            "The one rate is the best for batch norm. What it was compared with does better at "
            "another, and nobody had looked.",
            words=f"{float(at_own.mean()):.1f} points instead of {float(at_one.mean()):.1f}",
        ),
        "shows": Findings(
            {
                "At one rate for all, batch norm gains more than 2 points.": at_one - 2,
                "At its own rate each, it does not.": 2 - at_own,
            },
            compare=False,
        ),
    }


def cut_once(left: xr.DataArray, again: xr.DataArray) -> tuple[Findings, Findings]:
    """Say what cutting a finished network does to its statistics, and which rate mends it.

    Parameters
    ----------
    left : xarray.DataArray
        Test accuracy in [0, 1] of networks that were cut; dimensions ``statistics`` (plain, batch
        norm, batch norm anew), ``sparsity`` and ``seed``.
    again : xarray.DataArray
        Retrained; dimensions ``batch_norm``, ``rate`` (a tenth, the first again), ``sparsity`` and
        ``seed``.
    """
    plain, normed, anew = (left.sel(statistics=name, drop=True) for name in left.statistics.values)
    small, first = (again.sel(rate=name, drop=True) for name in again.rate.values)
    cut, whole = (100 * (first - small).sel(sparsity=share, drop=True) for share in (0.8, 0))
    return Findings(
        {
            "With 80 % cut, batch norm falls more than 5 points below plain.": (
                100 * (plain - normed).sel(sparsity=0.8) - 5
            ),
            "Statistics anew give it more than 10 points back.": (
                100 * (anew - normed).sel(sparsity=0.8) - 10
            ),
            "With all weights, they give nothing that matters.": (
                2 - 100 * abs(anew - normed).sel(sparsity=0)
            ),
        }
    ), Findings(
        {
            "With 80 % cut, the first rate again gains more than 1 point over a tenth of it.": (
                cut.mean("batch_norm") - 1
            ),
            "That is more than it gains with all weights.": (cut - whole).mean("batch_norm"),
            "Trained on with 80 % cut, batch norm lies less than 5 points from plain.": 5
            - abs(100 * first.sel(sparsity=0.8).diff("batch_norm").squeeze("batch_norm")),
        }
    )


def under_the_roof(layers: xr.Dataset, roof: tuple[float, float]) -> Findings:
    """Say how close layers come to what the machine can do.

    Parameters
    ----------
    layers : xarray.Dataset
        As ``costs.measured`` returns, by ``layer`` (narrow, wide), ``version`` (whole first, zeros
        second, a quarter last) and ``samples`` (one first, many last).
    roof : (float, float)
        Operations and bytes in a second.
    """
    most = np.minimum(roof[0], roof[1] * layers.operations / layers.n_bytes)
    share = (layers.operations / layers.seconds / most).isel(version=0)
    zeros, quarter = (
        layers.seconds.isel(version=i) / layers.seconds.isel(version=0) for i in (1, -1)
    )
    return Findings(
        {
            "One sample through the narrow layer stays below a fifth of the roof.": bool(
                share[{"layer": 0, "samples": 0}] < 0.2
            ),
            "A quarter of its weights saves it less than a third of the time.": bool(
                quarter[{"layer": 0, "samples": 0}] > 2 / 3
            ),
            "Many samples through the wide layer: a quarter of the weights saves more than half.": (
                bool(quarter[{"layer": 1, "samples": -1}] < 0.5)
            ),
            "There zeros take as long as other weights, within a quarter.": bool(
                abs(zeros[{"layer": 1, "samples": -1}] - 1) < 0.25
            ),
        },
        compare=False,
    )


def taken_away(seconds: xr.DataArray, sizes: dict[str, int]) -> dict[str, Any]:
    """Ask what cutting saves of the time that a sample takes.

    Parameters
    ----------
    seconds : xarray.DataArray
        Dimensions ``call`` (whole, folded, cut, small) and ``round``.
    sizes : dict of str to int
        Bytes of their files, gzipped.
    """
    middle = seconds.median("round")
    of = {name: float(middle.sel(call=name)) for name in sizes}
    saved = 1 - of["small"] / of["folded"]
    answers = {
        "about four fifths": saved > 0.65,
        "about half": 0.35 < saved <= 0.65,
        "about a fifth": 0.1 < saved <= 0.35,
        "next to nothing": saved <= 0.1,
    }
    return {
        "predict": Prediction(
            "Batch norm is folded away. Then 80 % of the weights are cut, and neurons that are "
            "dead are dropped. What does the cutting save of the time of a sample?",
            [*answers],
            next(answer for answer, is_so in answers.items() if is_so),
            "A processor multiplies by a zero as long as by any number, and hardly a neuron lost "
            "all its weights.",
            words=f"{round(100 * saved)} %",
        ),
        "shows": [
            Findings(
                {"Folding saves more than a fifth of the time.": of["folded"] < 0.8 * of["whole"]},
                compare=False,
            ),
            Findings(
                {
                    "Zipped, the cut network takes less than 40 % of the whole one's bytes.": (
                        sizes["cut"] < 0.4 * sizes["whole"]
                    ),
                    "Dropping dead neurons saves less than a tenth of that.": (
                        sizes["cut"] - sizes["small"] < 0.1 * sizes["cut"]
                    ),
                }
            ),
        ],
    }


def claims(own: xr.DataArray, common: xr.DataArray) -> list[Verdict]:
    """Return the claims of the lesson with their verdicts.

    Parameters
    ----------
    own, common : xarray.DataArray
        As for ``flipped``.
    """

    def claim(words: str, one: xr.DataArray, other: xr.DataArray, **given: Any) -> Verdict:
        return Verdict(words, 100 * paired(one, other), margin=2, unit="points", **given)

    def normed(accuracy: xr.DataArray, **where: str) -> tuple[xr.DataArray, xr.DataArray]:
        found = accuracy.sel(where, drop=True)
        means = found.mean([dim for dim in found.dims if dim not in ("seed", "batch_norm")])
        return means.sel(batch_norm=NORMED, drop=True), means.sel(batch_norm=PLAIN, drop=True)

    decay = gained(own.sel(shuffle=SHUFFLED), "decay")
    whole, pruned = (decay.sel(pruning=p, drop=True).mean("batch_norm") for p in (WHOLE, PRUNED))
    plain, norm = (decay.sel(batch_norm=n, drop=True).mean("pruning") for n in (PLAIN, NORMED))
    final = own.sel(shuffle=SHUFFLED, decay=DECAYED, pruning=PRUNED)
    return [
        claim("Batch norm gains, sorted data", *normed(own, shuffle=SORTED)),
        claim("Batch norm gains, shuffled data", *normed(own, shuffle=SHUFFLED), compare=False),
        claim("It gains, shuffled and decayed, all at one rate",
              *normed(common, shuffle=SHUFFLED, decay=DECAYED, pruning=WHOLE), compare=False),
        claim("Decay gains more without batch norm, shuffled", plain, norm, compare=False),
        claim("Decay gains more with all weights, shuffled", whole, pruned, compare=False),
        claim("All four beat all but batch norm",
              final.sel(batch_norm=NORMED, drop=True), final.sel(batch_norm=PLAIN, drop=True)),
        claim("All four beat shuffling and decay alone",
              final.sel(batch_norm=NORMED, drop=True),
              own.sel(shuffle=SHUFFLED, decay=DECAYED, pruning=WHOLE, batch_norm=PLAIN)),
    ]  # fmt: skip


def _solve_gains(table: list[list[float]]) -> float:
    (neither, second), (first, both) = table
    return both - first - second + neither


@Exercise(
    "an interaction from four numbers",
    hints=[
        "What does the first technique gain where the second is off, and where it is on?",
        "table[1][0] - table[0][0], and table[1][1] - table[0][1]. How far apart are these?",
    ],
    solution=(_solve_gains,),
)
def interaction(my_interaction: Rule) -> str:
    """Check a difference of differences."""
    for table in (
        [[50.0, 52.0], [54.0, 61.0]],
        [[20.0, 13.0], [55.0, 56.0]],
        [[30.0, 40.0], [35.0, 20.0]],
    ):
        (neither, second), (first, both) = table
        right = _solve_gains(table)
        mistakes = {
            both - neither: "That is what both gain together.",
            both - max(first, second): "That is what the second gains over the better one alone.",
            right / 2: "Statisticians often halve it; here it is the whole difference.",
            -right: "The sign: positive where one gains more beside the other.",
            abs(right): "It may be negative: then one gains less beside the other.",
            max(0.0, right): "It may be negative: then one gains less beside the other.",
            (first - neither + both - second) / 2: "That is the main effect of the first.",
        }
        expect(my_interaction([*map(list, table)]), right, f"With {table}:", mistakes)
    return "0 would mean that gains add up; then one technique at a time would find the best."


def _solve_search(table: list[list[float]]) -> float:
    start = table[0][0]
    first = 1 if table[1][0] > start else 0
    second = 1 if table[first][1] > table[first][0] else 0
    return max(map(max, table)) - table[first][second]


@Exercise(
    "what one at a time misses",
    hints=[
        "Begin with both off. Switch the first on if that is better, and leave it so.",
        "Then the second, from where you are. How much better is the best of the four?",
    ],
    solution=(_solve_search,),
)
def one_at_a_time(my_loss: Rule) -> str:
    """Check what a search one technique at a time leaves behind."""
    tables = (
        [[50.0, 52.0], [54.0, 61.0]], [[20.0, 13.0], [19.0, 56.0]], [[30.0, 40.0], [35.0, 20.0]],
        [[9.0, 5.0], [7.0, 8.0]], [[30.0, 40.0], [20.0, 50.0]], [[10.0, 0.0], [20.0, 15.0]],
    )  # fmt: skip
    for table in tables:
        right = _solve_search(table)
        mistakes = {
            max(map(max, table)) - table[0][0]: "That is what the best gains over both off.",
            max(map(max, table)) - table[1][0]: "The first stays on only if it is better so.",
            max(map(max, table)) - max(table[0][0], table[1][0]): "Then try the second, too.",
        }
        expect(my_loss([*map(list, table)]), right, f"With {table}:", mistakes)
    return "With an interaction one at a time can stop at a place that only two changes leave."


def _solve_front(costs: list[float], gains: list[float]) -> list[int]:
    return [
        i
        for i, (cost, gain) in enumerate(zip(costs, gains, strict=True))
        if not any(
            c <= cost and g >= gain and (c < cost or g > gain)
            for c, g in zip(costs, gains, strict=True)
        )
    ]


@Exercise(
    "which recipes no other beats",
    hints=[
        "One beats another if it costs no more, reaches as much, and is better in one of the two.",
        "For each recipe ask whether any other beats it; keep the numbers of those that none does.",
    ],
    solution=(_solve_front,),
)
def unbeaten(my_front: Rule) -> str:
    """Check a Pareto front."""
    generator = np.random.default_rng(0)
    cases = [([1, 2, 3], [5, 7, 6]), ([2, 2, 1], [7, 7, 7]), ([1], [0]), ([1, 1, 2], [5, 5, 7])]
    cases += [tuple(generator.integers(0, 6, (2, 12)).tolist()) for _ in range(3)]
    for costs, gains in cases:
        given = my_front(list(costs), list(gains))
        try:
            if np.asarray(given).dtype == bool:
                raise Wrong("Return the numbers of recipes, as in [0, 2], not true and false.")
            mine = sorted({int(i) for i in given})
        except (TypeError, ValueError):
            raise Wrong(f"Return the numbers of recipes, not {given!r}.") from None
        right = np.flatnonzero(front(costs, gains)).tolist()
        if mine == right:
            continue
        where = f"Costs {costs}, reached {gains}: you keep {mine}"
        for i in mine:
            if i not in right:
                raise Wrong(f"{where}; another beats number {i}.")
        raise Wrong(f"{where}; none beats number {next(i for i in right if i not in mine)}.")
    return "All else is a matter of what you are ready to pay."


def _solve_time(epochs: float, samples: int, batch_size: int, seconds: float) -> float:
    steps_per_epoch = math.ceil(samples / batch_size)
    return epochs * steps_per_epoch * seconds


@Exercise(
    "from epochs to seconds",
    hints=["How many steps has an epoch, if its last batch may be smaller?", "Round up."],
    solution=(_solve_time,),
)
def training_time(my_seconds: Rule) -> str:
    """Check a training time from the seconds of a step."""
    for epochs, samples, size, seconds in (
        (2.5, 4096, 64, 0.0005),
        (1, 100, 100, 1),
        (3, 10, 4, 2),
    ):
        right = _solve_time(epochs, samples, size, seconds)
        mistakes = {
            seconds * epochs * (samples // size): "The last, short batch is a step, too.",
            seconds * epochs * samples / size: "The last batch is a whole step, though short.",
            seconds * epochs: "That takes an epoch for a step.",
        }
        where = f"{epochs} epochs of {samples} samples in batches of {size}, {seconds} s a step:"
        expect(number(my_seconds(epochs, samples, size, seconds), where), right, where, mistakes)
    return "Loading and validation come on top."
