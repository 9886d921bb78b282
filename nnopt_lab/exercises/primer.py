"""The primer: its question, what its networks show, and an exercise to try."""

import math
from collections.abc import Callable
from typing import Any

from nnopt_lab.exercises.checks import expect
from nnopt_lab.exercises.exercise import Exercise
from nnopt_lab.explorer import Prediction
from nnopt_lab.statistics import Findings

import xarray as xr


def rates(accuracy: xr.DataArray) -> dict[str, Any]:
    """Ask what ten times the learning rate does.

    Parameters
    ----------
    accuracy : xarray.DataArray
        On the validation set, in [0, 1]; dimensions ``lr``, ``seed`` and ``epoch``.
    """
    end = accuracy.isel(epoch=-1, drop=True)
    usual, large = end.sel(lr=0.1, drop=True), end.sel(lr=1, drop=True)
    reached = 100 * float(large.mean())
    return {
        "predict": Prediction(
            "At a learning rate of 0.1 networks get about half of the answers right after six "
            "passes over the data. At 1, with steps ten times as large?",
            {"more than that": 0.75, "about as many": float(usual.mean()), "they guess: 10 %": 0.1},
            float(large.mean()),
            "A step that is too large jumps over the minimum, and lands higher than it began.",
            words=f"{reached:.0f} %",
        ),
        "shows": Findings(
            {
                "At rate 0.1 more than 40 % are right in the end.": usual - 0.4,
                "At rate 1 networks guess: fewer than 15 % are right.": 0.15 - large,
                "At rate 0.001 they are slow: fewer than 30 % are right.": (
                    0.3 - end.sel(lr=0.001, drop=True)
                ),
            }
        ),
    }


def seen_and_new(accuracy: xr.DataArray) -> Findings:
    """Say how far apart accuracy on samples seen in training and on others can lie.

    Parameters
    ----------
    accuracy : xarray.DataArray
        In [0, 1]; dimensions ``samples``, ``measured`` (on training samples, on validation samples)
        and ``seed``.
    """
    gap = accuracy.sel(measured="on training samples") - accuracy.sel(
        measured="on validation samples"
    )
    return Findings(
        {
            "With 250 samples the two lie more than 50 points apart.": gap.sel(samples=250) - 0.5,
            "With 4 000 they lie less than 10 points apart.": 0.1 - gap.sel(samples=4000),
        }
    )


def _solve_steps(samples: int, batch_size: int) -> int:
    return math.ceil(samples / batch_size)


@Exercise(
    "steps in an epoch",
    hints=["How many full batches are there, and is anything left over?", "Round up, not down."],
    solution=(_solve_steps,),
)
def steps(my_steps: Callable[..., Any]) -> str:
    """Check how many steps an epoch takes."""
    for samples, size in ((4000, 64), (24, 6), (24, 10), (5, 64)):
        mistakes = {
            samples // size: "The last, short batch is a step, too: round up.",
            samples / size: "Steps are whole: round up.",
        }
        right = _solve_steps(samples, size)
        if samples % size == 0:
            mistakes = {samples // size + 1: "Nothing is left over here: no short batch."}
        where = f"For {samples} samples in batches of {size}"
        expect(my_steps(samples, size), right, where, mistakes)
    return "4 000 samples in batches of 64 are 63 steps; the last batch has 32 samples."
