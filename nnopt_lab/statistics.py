"""From seeds to a statement: means with intervals, findings, and claims with a verdict.

Every interval is a 95 % Student t interval over seeds. It covers other seeds, not other data sets.
"""

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

LEVEL = 0.95
MINIMUM_SEEDS = 8
MINUS, NO_BREAK = "\N{MINUS SIGN}", "\N{NO-BREAK SPACE}"


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
        """Return the mean with its half-width, in as many digits as that has: ``61.2 ± 0.6``."""
        small = 0 < self.half_width < 0.095
        decimals = min(-math.floor(math.log10(self.half_width)), 9) if small else 1
        parts = (f"{round(part, decimals) + 0.0:.{decimals}f}" for part in self)  # no minus zero
        return f"{NO_BREAK}±{NO_BREAK}".join(parts).replace("-", MINUS)


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

    Raises
    ------
    ValueError
        If there are fewer than two values, or they are more than a row.
    """
    sample = np.asarray(values, dtype=float)
    if sample.ndim != 1:
        raise ValueError(
            f"the values have shape {sample.shape}; give one a seed, so select or average the rest."
        )
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


def paired(a: xr.DataArray, b: xr.DataArray) -> xr.DataArray:
    """Return a - b seed by seed, under a name of its own: that of a, and ``_difference``.

    Parameters
    ----------
    a, b : xarray.DataArray
        The same quantity, of the same seeds.

    Raises
    ------
    ValueError
        If they are not, or differ in a coordinate.
    """
    if a.name != b.name or a.name is None:
        raise ValueError(f"{a.name!r} and {b.name!r} are subtracted; give one quantity, named.")
    first, second = xr.align(a, b.reset_coords(drop=True), join="exact")
    return (first.reset_coords(drop=True) - second).rename(f"{a.name}_difference")


def at_crossing(x: xr.DataArray, y: xr.DataArray, level: float, *, along: str) -> xr.DataArray:
    """Return y where x first reaches a level, interpolated; NaN if it never does.

    As in "the gap when the training loss was 0.5", or "the steps until 60 % were right".

    Parameters
    ----------
    x, y : xarray.DataArray
        In the order of time along ``along``; all other dimensions are kept.
    level : float
        Of x, from either side.
    along : str
        The dimension of time.

    Raises
    ------
    ValueError
        If the level is not finite, or a dimension ``along`` is missing.
    """
    if not np.isfinite(level):
        raise ValueError(f"level is {level!r}; give a finite number.")
    if along not in x.dims or along not in y.dims:
        raise ValueError(f"there is no dimension {along!r} in {[*x.dims]} and {[*y.dims]}.")
    found: xr.DataArray = xr.apply_ufunc(
        lambda xs, ys: _at_crossing(xs, ys, level), x, y,
        input_core_dims=[[along], [along]], vectorize=True,
    )  # fmt: skip
    return found


def _at_crossing(x: ArrayLike, y: ArrayLike, level: float) -> float:
    xs, ys = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    before = (xs - level) * np.sign(xs[0] - level) > 0
    if before.all() or np.isnan(xs[: np.argmin(before) + 1]).any():
        return float("nan")
    i = int(np.argmin(before))
    if i == 0:
        return float(ys[0])
    share = (xs[i - 1] - level) / (xs[i - 1] - xs[i])
    return float(ys[i - 1] + share * (ys[i] - ys[i - 1]))


class Findings:
    """Sentences that are checked on this very run; one that is false says so and stops nothing.

    A sentence holds round bounds, never a measured number, so that it is the same on any computer.

    Parameters
    ----------
    slacks : mapping of str to bool, or array_like
        For each sentence whether it is so, if it is counted; or for each seed a number that is
        above 0 where it is so. It is true if their mean is.
    compare : bool
        Whether another run must find the same: not where a time is measured.
    """

    def __init__(self, slacks: Mapping[str, bool | ArrayLike], *, compare: bool = True) -> None:
        self.compare = compare
        self.rows = [self._row(sentence, slack) for sentence, slack in slacks.items()]

    def _row(self, sentence: str, slack: bool | ArrayLike) -> dict[str, Any]:
        if isinstance(slack, bool | np.bool_):
            return {"sentence": sentence, "holds": bool(slack), "is_clear": bool(slack)}
        mean, half = interval(slack)
        return {
            "sentence": sentence, "holds": mean > 0, "mean": mean, "half_width": half,
            "is_clear": (mean >= 2 * half and mean > 0) or not self.compare,
        }  # fmt: skip

    @property
    def metadata(self) -> dict[str, list[dict[str, Any]]]:
        """The numbers behind the sentences."""
        return {"findings": self.rows}

    def _lines(self) -> list[str]:
        return [
            f"✓ {row['sentence']}" if row["holds"] else f"✗ Not on this run: {row['sentence']}"
            for row in self.rows
        ]

    @property
    def view(self) -> str:
        """All sentences, as HTML."""
        items = "".join(f"<li>{html.escape(line)}</li>" for line in self._lines())
        return f'<ul class="nnopt-lab-findings">{items}</ul>'

    def __repr__(self) -> str:
        """Return what is the same on any computer: sentences and whether they hold."""
        return "\n  ".join(self._lines()) if self.compare else ""


HOLDS = "holds"
OPPOSITE = "the opposite holds"
NO_DIFFERENCE = "no difference that matters"
CANNOT_TELL = "cannot tell from these runs"
OUTCOMES = (HOLDS, OPPOSITE, NO_DIFFERENCE, CANNOT_TELL)


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
    compare : bool
        Whether another processor must come to the same outcome: not where an end of the interval
        lies so close to a margin that it could flip, as it does where one cannot tell.

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
        self,
        claim: str,
        differences: ArrayLike | Sequence[float],
        *,
        margin: float,
        unit: str,
        compare: bool = True,
    ) -> None:
        self.claim = claim
        self.compare = compare
        self.differences = np.atleast_1d(np.asarray(differences, dtype=float))
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
        """Return claim, outcome and margin: what is the same on any computer."""
        said = self.outcome if self.compare else "see the figure"
        return (
            f"{self.claim}: {said} (margin {self.margin:g} {self.unit}, "
            f"{len(self.differences)} paired seeds)"
        )

    @property
    def view(self) -> str:
        """Nothing: the figure says it."""
        return ""

    @property
    def metadata(self) -> dict[str, list[dict[str, Any]]]:
        """The numbers behind the outcome."""
        numbers = {
            "claim": self.claim,
            "outcome": self.outcome,
            "mean": self.interval.mean,
            "half_width": self.interval.half_width,
            "margin": self.margin,
            "unit": self.unit,
            "n_seeds": len(self.differences),
            "is_clear": self.is_clear or not self.compare,
        }
        return {"verdicts": [numbers]}


def choose(history: xr.Dataset, axis: str) -> xr.Dataset:
    """Return the value of an axis with the best mean validation accuracy after the last epoch.

    Parameters
    ----------
    history : xarray.Dataset
        What ``train`` returns; dimensions ``axis``, ``seed``, ``epoch``, and any others.
    axis : str
        Such as ``"lr"``.

    Returns
    -------
    xarray.Dataset
        By all other dimensions: ``value``, that of the axis, and ``at_edge``, whether it is the
        smallest or largest number tried, so that a better one may lie beyond. A value that lost a
        seed is not chosen.

    Raises
    ------
    ValueError
        If the axis is missing, or each of its values lost a seed.
    """
    accuracy = history["validation_accuracy"].isel(epoch=-1, drop=True)
    if axis not in accuracy.dims:
        raise ValueError(f"there is no axis {axis!r} to choose on, only {[*accuracy.dims]}.")
    means = accuracy.mean("seed", skipna=False)
    if bool(means.isnull().all(axis).any()):
        raise ValueError(f"no value of {axis!r} has a validation accuracy for every seed.")
    best = means[axis].isel({axis: means.fillna(-np.inf).argmax(axis)}).drop_vars(axis)
    tried = means[axis].values
    is_number = tried.dtype.kind in "fiu"
    edges = [tried.min(), tried.max()] if is_number else []
    return xr.Dataset({"value": best, "at_edge": best.isin(edges)})
