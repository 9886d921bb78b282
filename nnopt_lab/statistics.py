"""From seeds to a statement: means with intervals, and claims with a verdict.

Every interval is a 95 % Student t interval over seeds. It covers other seeds, not other data sets.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

LEVEL = 0.95
MINIMUM_SEEDS = 8


class Interval(NamedTuple):
    """A mean and the half-width of its interval: the mean lies within ``mean`` ± ``half_width``."""

    mean: float
    half_width: float

    @property
    def low(self) -> float:
        """The lower end."""
        return self.mean - self.half_width

    @property
    def high(self) -> float:
        """The upper end."""
        return self.mean + self.half_width

    def __str__(self) -> str:
        """Return the mean with its half-width, to one decimal: ``61.2 ± 0.6``."""
        return f"{self.mean:.1f} ± {self.half_width:.1f}"


def half_width(values: ArrayLike, axis: int = -1) -> NDArray[np.float64]:
    """Return the half-width of the 95 % Student t interval of the mean, along an axis.

    Parameters
    ----------
    values : array_like
        At least two along ``axis``; a NaN makes its interval NaN.

    Raises
    ------
    ValueError
        If there are fewer than two values.

    References
    ----------
    Student, "The probable error of a mean", Biometrika 6 (1908).
    """
    sample = np.asarray(values, dtype=float)
    n = sample.shape[axis] if sample.ndim else 1
    if n < 2:
        raise ValueError(f"an interval needs two values or more; there is {n}. Add seeds.")
    quantile = stdtrit(n - 1, (1 + LEVEL) / 2)
    return np.asarray(quantile * sample.std(axis, ddof=1) / np.sqrt(n))


def interval(values: ArrayLike) -> Interval:
    """Return the mean of some values with its 95 % Student t interval.

    Parameters
    ----------
    values : array_like
        One value a seed, at least two.
    """
    sample = np.asarray(values, dtype=float).ravel()
    return Interval(float(sample.mean()), float(half_width(sample)))


def over_seeds(values: xr.DataArray) -> xr.Dataset:
    """Return ``mean`` and ``half_width`` over the dimension ``seed``, all others kept.

    Raises
    ------
    ValueError
        If there is no dimension ``seed``, or it has fewer than two values.
    """
    if "seed" not in values.dims:
        raise ValueError(f"the dimensions are {[*values.dims]}; there must be one named 'seed'.")
    width = xr.apply_ufunc(half_width, values, input_core_dims=[["seed"]])
    return xr.Dataset({"mean": values.mean("seed", skipna=False), "half_width": width})


def band(values: xr.DataArray, along: str) -> tuple[NDArray[Any], ...]:
    """Return what a figure draws of some values: a coordinate, means, and half-widths over seeds.

    Parameters
    ----------
    values : xarray.DataArray
        Dimensions ``seed`` and ``along``.
    along : str
        The dimension of the x axis.
    """
    found = over_seeds(values)
    return found[along].values, found["mean"].values, found.half_width.values


def in_words(found: Mapping[str, Interval], unit: str = "%") -> str:
    """Return intervals as the sentence under a figure says them: ``dense 62.0 ± 0.7 %, ...``.

    Parameters
    ----------
    found : mapping of str to Interval
        By what was measured.
    """
    return ", ".join(f"{name} {value} {unit}" for name, value in found.items())


def at_crossing(x: ArrayLike, y: ArrayLike, level: float) -> float:
    """Return y where x first reaches a level, interpolated; NaN if it never does.

    As in "the gap when the training loss was 0.5", or "the steps until 60 % were right".

    Parameters
    ----------
    x, y : array_like
        In the order of time, shape (times,) each.
    level : float
        Of x, from either side.

    Raises
    ------
    ValueError
        If the shapes differ or there are no times.
    """
    xs, ys = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if xs.ndim != 1 or xs.shape != ys.shape or not len(xs):
        raise ValueError(f"x has shape {xs.shape}, y {ys.shape}; give (times,) for both.")
    before = (xs - level) * np.sign(xs[0] - level) > 0
    if before.all() or np.isnan(xs[: np.argmin(before) + 1]).any():
        return float("nan")
    i = int(np.argmin(before))
    if i == 0:
        return float(ys[0])
    share = (xs[i - 1] - level) / (xs[i - 1] - xs[i])
    return float(ys[i - 1] + share * (ys[i] - ys[i - 1]))


HOLDS = "holds"
OPPOSITE = "the opposite holds"
NO_DIFFERENCE = "no difference that matters"
CANNOT_TELL = "cannot tell from these runs"


class Verdict:
    """Whether a claim holds, judged by the interval of paired differences over seeds.

    ======================================= ===========================
    the interval lies                        outcome
    ======================================= ===========================
    above ``margin``                         holds
    below ``-margin``                        the opposite holds
    between ``-margin`` and ``margin``       no difference that matters
    elsewhere                                cannot tell from these runs
    ======================================= ===========================

    Parameters
    ----------
    claim : str
        One sentence.
    differences : array_like
        One for each seed, in ``unit``: what the claim says is better minus the other.
    margin : float
        The smallest difference that would matter to a user, chosen before the runs.
    unit : str
        Of differences and margin.

    Attributes
    ----------
    interval : Interval
        Of the mean difference.
    outcome : str
        As in the table.

    Raises
    ------
    ValueError
        If there are fewer than 8 differences, one is not finite, or the margin is negative.
    """

    def __init__(
        self, claim: str, differences: ArrayLike | Sequence[float], *, margin: float, unit: str
    ) -> None:
        self.claim = claim
        self.differences = np.asarray(differences, dtype=float).ravel()
        self.margin = float(margin)
        self.unit = unit
        if len(self.differences) < MINIMUM_SEEDS:
            raise ValueError(
                f"there are {len(self.differences)} differences; a verdict needs "
                f"{MINIMUM_SEEDS} paired seeds or more."
            )
        if not np.isfinite(self.differences).all():
            raise ValueError("a difference is not a finite number; look at history.diverged.")
        if not 0 <= self.margin < np.inf:
            raise ValueError(f"margin is {margin!r}; give a number from 0.")
        self.interval = interval(self.differences)

    @property
    def outcome(self) -> str:
        """What the runs say of the claim."""
        if self.interval.low > self.margin:
            return HOLDS
        if self.interval.high < -self.margin:
            return OPPOSITE
        if -self.margin < self.interval.low and self.interval.high < self.margin:
            return NO_DIFFERENCE
        return CANNOT_TELL

    @property
    def is_clear(self) -> bool:
        """Whether both ends of the interval are a half-width or more away from a margin."""
        ends = np.array([self.interval.low, self.interval.high])
        distances = np.abs(ends[:, None] - np.array([-self.margin, self.margin]))
        return bool(distances.min() > 0 and distances.min() >= self.interval.half_width)

    def __repr__(self) -> str:
        """Return claim, margin and outcome: what is the same on any computer."""
        return (
            f"Claim: {self.claim}\n"
            f"Verdict: {self.outcome} "
            f"(margin {self.margin:g} {self.unit}, {len(self.differences)} paired seeds)"
        )

    def _repr_mimebundle_(self, **_: object) -> tuple[dict[str, str], dict[str, Any]]:
        """Return the text, and as metadata the numbers behind it."""
        numbers = {
            "claim": self.claim,
            "outcome": self.outcome,
            "mean": self.interval.mean,
            "half_width": self.interval.half_width,
            "margin": self.margin,
            "unit": self.unit,
            "n_seeds": len(self.differences),
            "is_clear": self.is_clear,
        }
        return {"text/plain": repr(self)}, {"verdict": numbers}


@dataclass(frozen=True)
class Choice:
    """A setting chosen on validation, and whether a better one may lie beyond those tried."""

    value: float
    at_edge: bool


def choose(history: xr.Dataset, axis: str) -> Choice:
    """Return the value of an axis with the best mean validation accuracy after the last epoch.

    Parameters
    ----------
    history : xarray.Dataset
        What ``train`` returns; dimensions ``axis``, ``seed`` and ``epoch``.
    axis : str
        Such as ``"lr"``.

    Raises
    ------
    ValueError
        If the axis is missing, or there are other axes to choose on.
    """
    accuracy = history["validation_accuracy"].isel(epoch=-1)
    if set(accuracy.dims) != {axis, "seed"}:
        raise ValueError(
            f"the axes are {[*accuracy.dims]}; select a value of each but {axis!r} and 'seed'."
        )
    values = accuracy[axis].values
    best = values[int(accuracy.mean("seed").argmax(axis))]
    return Choice(best.item(), bool(best in (values.min(), values.max())))
