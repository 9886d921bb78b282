"""What is measured on networks while they train."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from nnopt_lab.arguments import whole
from nnopt_lab.grid import Grid
from nnopt_lab.networks import Model
from nnopt_lab.training import evaluate

import torch
import xarray as xr
from torch import Tensor

Measure = Callable[[Model], Mapping[str, Tensor]]


def accuracy_on(x: Tensor, y: Tensor) -> Measure:
    """Return what measures ``loss`` and ``accuracy`` on some samples, shape (K,) each.

    Parameters
    ----------
    x, y : Tensor
        As for ``evaluate``.
    """
    return lambda model: dict(zip(("loss", "accuracy"), evaluate(model, x, y), strict=True))


class Recorder:
    """Measures the networks after some numbers of updates; for ``watch`` of ``train``.

    Parameters
    ----------
    measure : callable
        model -> what is measured, by name: tensors of shape (K, ...).
    at : iterable of int
        The numbers of updates, from 0, which is before the first.

    Raises
    ------
    ValueError
        If a number of updates is no whole number from 0.
    """

    def __init__(self, measure: Measure, at: Iterable[int]) -> None:
        self.measure = measure
        self.at = {whole("a number of updates", updates, 0) for updates in at}
        self._records: dict[int, Mapping[str, Tensor]] = {}
        self._last = -1

    def __call__(self, updates: int, model: Model, _loss: Tensor | None) -> None:
        """Measure, if it is time.

        Raises
        ------
        ValueError
            If a second training has begun.
        """
        if updates <= self._last:
            raise ValueError("this Recorder has watched a training already; make one for each.")
        self._last = updates
        if updates in self.at:
            measured = self.measure(model)
            self._records[updates] = {n: value.detach().clone() for n, value in measured.items()}

    def dataset(self, runs: Grid, **further: Sequence[Any]) -> xr.Dataset:
        """Return what was measured by the axes of the grid, ``further`` ones, and ``step``.

        Parameters
        ----------
        runs : Grid
            Names the K networks.
        **further : sequence
            By name the coordinates of the dimensions that follow the first; a quantity of fewer
            dimensions takes the first of them.

        Raises
        ------
        ValueError
            If nothing was recorded.
        """
        if not self._records:
            raise ValueError(
                f"nothing was recorded: {max(self._last, 0)} updates were watched, and records "
                f"asked for at {sorted(self.at)}."
            )
        found = {}
        for name, first in next(iter(self._records.values())).items():
            values = torch.stack([record[name] for record in self._records.values()], -1)
            named = dict([*further.items()][: first.ndim - 1])
            found[name] = runs.label(values, **named, step=[*self._records])
        return xr.Dataset(found)
