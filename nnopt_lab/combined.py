"""What techniques are worth together: effects, interactions, the cheapest of the good, advice."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray


def gained(values: xr.DataArray, factor: str) -> xr.DataArray:
    """Return what the second of two places on an axis gains over the first.

    Twice, it is an interaction: by how much one technique gains more where another is in use.

    Parameters
    ----------
    values : xarray.DataArray
        Any dimensions; two places on ``factor``.
    factor : str

    Raises
    ------
    ValueError
        If the axis is missing, or has not two places.
    """
    if values.sizes.get(factor) != 2:
        raise ValueError(
            f"{factor!r} has {values.sizes.get(factor, 'no')} places; give one of "
            f"{[str(name) for name, size in values.sizes.items() if size == 2]}, which have two."
        )
    without, with_it = (values.isel({factor: i}, drop=True) for i in (0, 1))
    found: xr.DataArray = with_it - without
    return found


def effects(values: xr.DataArray, factors: Sequence[str]) -> xr.DataArray:
    """Return what each factor gains, and how much more where another is in use, seed by seed.

    An effect is a mean over all places of the other factors, so in a full factorial each network
    counts for every one of them.

    Parameters
    ----------
    values : xarray.DataArray
        Dimensions ``seed`` and the factors, two places each.
    factors : sequence of str
        At least one.

    Returns
    -------
    xarray.DataArray
        By ``term``, such as "a" or "a × b", and ``seed``.

    References
    ----------
    Box, Hunter and Hunter 2005, "Statistics for experimenters", chapter 5; an interaction is there
    half as large as here.
    """
    for factor in factors:
        gained(values, factor)  # or it says what is missing
    terms = [*((name,) for name in factors), *combinations(factors, 2)]
    rows = []
    for term in terms:
        found = values
        for factor in term:
            found = gained(found, factor)
        rows.append(found.mean([name for name in factors if name not in term]))
    names = xr.IndexVariable("term", [" × ".join(term) for term in terms])
    together: xr.DataArray = xr.concat(rows, names)
    return together.rename(None if values.name is None else f"{values.name}_difference")


def front(costs: ArrayLike, gains: ArrayLike) -> NDArray[np.bool_]:
    """Return which of some choices no other beats: none is cheaper and at least as good.

    Parameters
    ----------
    costs, gains : array_like
        Shape (choices,). One whose cost or gain is not a number is beaten.
    """
    cost, gain = np.asarray(costs, dtype=float), np.asarray(gains, dtype=float)
    is_no_dearer, is_as_good = cost[:, None] <= cost, gain[:, None] >= gain
    is_better = (cost[:, None] < cost) | (gain[:, None] > gain)
    beaten = (is_no_dearer & is_as_good & is_better).any(0)
    unbeaten: NDArray[np.bool_] = ~beaten & np.isfinite(cost) & np.isfinite(gain)
    return unbeaten


@dataclass(frozen=True)
class Advice:
    """One technique: when to use it, why, and when it harms.

    Parameters
    ----------
    use : str
        What to do.
    when : mapping of str to tuple of str
        For some of ``QUESTIONS`` the answers that it is for; of the others any.
    why, harms : str
        What was measured, in points of test accuracy on small networks, and where it turns round.
    lesson : str
        Where.
    """

    use: str
    when: Mapping[str, tuple[str, ...]]
    why: str
    harms: str
    lesson: str


QUESTIONS = {
    "budget": ("accuracy", "few epochs", "a small file"),
    "data": ("mixed", "sorted"),
    "layers": ("2", "8"),
    "batch": ("64", "8"),
    "devices": ("one", "many"),
}

# In the order in which to use it. The numbers are points of the lessons' small networks.
_READING = "where reading at random is slow: use a buffer"
ADVICE = (
    Advice(
        "Shuffle anew in each epoch", {"data": ("sorted",)},
        "gains 36 points; little helps before", _READING, "06",
    ),
    Advice(
        "Shuffle anew in each epoch", {"data": ("mixed",)},
        "5 points against one shuffle with batch norm, about 1 without", _READING, "05",
    ),
    Advice(
        "Let the rate fall to 0", {},
        "3 points here and 5 to 6 in lesson 02, without batch norm; less than 1 with it",
        "from the same first rate it is slower at first", "06",
    ),
    Advice(
        "Batch norm", {"layers": ("8",), "batch": ("64",)},
        "8 points, 89 with torch's own first weights", "small batches, sorted data", "03",
    ),
    Advice(
        "Batch norm over all workers, or another norm", {"layers": ("8",), "batch": ("8",)},
        "eight workers, each with a batch norm of its own, lose 5 points",
        "a message at each such layer", "04",
    ),
    Advice(
        "Batch norm", {"budget": ("few epochs",), "layers": ("2",), "batch": ("64",)},
        "8 to 12 points ahead after 3 epochs", "in the end it may lose 4, with a rate that falls",
        "03",
    ),
    Advice(
        "No batch norm", {"budget": ("few epochs",), "layers": ("2",), "batch": ("8",)},
        "its averages are noisy: batches of 2 lose 62 points", "training that is slow", "03",
    ),
    Advice(
        "No batch norm", {"budget": ("accuracy", "a small file"), "layers": ("2",)},
        "each at its own rate, it gains nothing that matters",
        "a rate too low for a plain network", "06",
    ),
    Advice(
        "The rate in proportion to the batch, with warm-up", {"devices": ("many",)},
        "without warm-up a batch of 2048 loses 30 points",
        "few epochs: 16 points less with 2048 than with 128", "04",
    ),
    Advice(
        "Prune 80 % bit by bit", {"budget": ("a small file",)},
        "a third of the file for 4 to 9 points", "at 90 % up to 14; it gets no faster", "01",
    ),
    Advice(
        "Tune the rate, for all of this together", {},
        "at one rate for all batch norm seems to gain 4 points, at its own none",
        "each rate tried costs a training", "06",
    ),
)  # fmt: skip


def advise(**answers: str) -> list[Advice]:
    """Return what to use, in this order.

    Parameters
    ----------
    **answers : str
        To each of ``QUESTIONS``.

    Raises
    ------
    ValueError
        If a question is not answered, or by what is no answer to it.
    """
    for question, allowed in QUESTIONS.items():
        if answers.get(question) not in allowed:
            raise ValueError(
                f"{question} is {answers.get(question)!r}; give one of {', '.join(allowed)}."
            )
    return [
        advice
        for advice in ADVICE
        if all(answers[question] in fits for question, fits in advice.when.items())
    ]
