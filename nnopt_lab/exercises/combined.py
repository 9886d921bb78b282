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
    return {
        "predict": Prediction(
            "Four techniques are switched on and off in all combinations. One pair helps each "
            "other: together they gain more than one by one. Which?",
            [*words.values()],
            words[most],
            "In sorted data a batch holds one class. Batch norm then learns means of single "
            "classes, which are those of no test sample; without a shuffle it harms.",
        ),
        "shows": Findings(
            {
                "Shuffling gains more than 20 points.": (found.sel(term="shuffle") - 20),
                "With batch norm it gains over 5 points more than without.": (
                    found.sel(term="shuffle × batch_norm") - 5
                ),
                "Decay and batch norm together gain over 2 points less than one by one.": (
                    -2 - found.sel(term="decay × batch_norm")
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
            "Shuffled data, a rate that decays. At one rate for all, batch norm gains "
            f"{float(at_one.mean()):.1f} points. Now each recipe gets a rate of its own, the best "
            "of three on validation. What becomes of the gain?",
            [*answers],
            next(answer for answer, is_so in answers.items() if is_so),
            "The one rate suits batch norm. What it was compared with could do better, and nobody "
            "had looked.",
        ),
        "shows": Findings(
            {
                "At one rate for all, batch norm gains more than 2 points.": at_one - 2,
                "At its own rate each, it does not.": 2 - at_own,
            }
        ),
    }


def taken_away(seconds: xr.DataArray, sizes: dict[str, int]) -> dict[str, Any]:
    """Ask what a sample takes in the network that leaves the notebook.

    Parameters
    ----------
    seconds : xarray.DataArray
        Dimensions ``call`` (whole, cut, folded, small) and ``round``.
    sizes : dict of str to int
        Bytes of their files, gzipped.
    """
    middle = seconds.median("round")
    ratio = {name: float(middle.sel(call=name) / middle.sel(call="whole")) for name in sizes}
    small = ratio["small"]
    answers = {
        "about a fifth": small < 0.3,
        "about half": 0.3 <= small < 0.7,
        "about as much": 0.7 <= small < 1.3,
        "more": small >= 1.3,
    }
    return {
        "predict": Prediction(
            "80 % of the weights are cut, batch norm is folded away, neurons that are dead are "
            "dropped. What does one sample take, against the same network with all its weights?",
            [*answers],
            next(answer for answer, is_so in answers.items() if is_so),
            "A processor multiplies by a zero as long as by any number, and hardly a neuron lost "
            "all its weights: cutting saves no time. For one sample it counts how many layers "
            "there are, and two of seven were batch norm.",
            words=f"{100 * small:.0f} %",
        ),
        "shows": [
            Findings(
                {"Folding batch norm away saves time.": ratio["folded"] < ratio["cut"]},
                compare=False,
            ),
            Findings(
                {
                    "The file that leaves is less than 40 % of that with all weights.": (
                        sizes["small"] < 0.4 * sizes["whole"]
                    ),
                    "Dropping dead neurons saves less than a tenth of that.": (
                        sizes["folded"] - sizes["small"] < 0.1 * sizes["folded"]
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
        claim("All four beat three, without batch norm",
              final.sel(batch_norm=NORMED, drop=True), final.sel(batch_norm=PLAIN, drop=True)),
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
        [[1.0, 2.0], [3.0, 4.0]],
    ):
        (neither, second), (first, both) = table
        right = _solve_gains(table)
        mistakes = {
            both - neither: "That is what both gain together.",
            both - max(first, second): "That is what the second gains over the better one alone.",
            right / 2: "Statisticians often halve it; here it is the whole difference.",
            -right: "The sign: positive where they help each other.",
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
        [[9.0, 5.0], [7.0, 8.0]],
    )  # fmt: skip
    for table in tables:
        right = _solve_search(table)
        mistakes = {
            max(map(max, table)) - table[0][0]: "That is what the best gains over both off.",
            max(map(max, table)) - table[1][0]: "The first stays on only if it is better so.",
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
    cases = [([1, 2, 3], [5, 7, 6]), ([2, 2, 1], [7, 7, 7]), ([1], [0])]
    cases += [tuple(generator.integers(0, 6, (2, 12)).tolist()) for _ in range(3)]
    for costs, gains in cases:
        given = my_front(list(costs), list(gains))
        try:
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
        (2.5, 4000, 64, 0.0005),
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
    return "It does not know what loading and validation take."
