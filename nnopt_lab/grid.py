"""The names of K networks, and what each network gets by its name.

A grid names K networks by every combination of the values of some axes. ``mixed`` gives each
network the rate, order or masks of its place on an axis; ``each`` one value of a labelled array;
``rows_of`` the network of another grid that it starts from; ``joined`` brings grids together.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product
from typing import Any

from nnopt_lab.arguments import whole

import numpy as np
import torch
import xarray as xr
from torch import Tensor

# What an axis cannot be called: arguments of xarray's ``sel``, and what a history measures.
TAKEN = {
    *("self", "method", "tolerance", "drop", "indexers"),
    *("epoch", "step", "learning_rate", "diverged", "loss", "accuracy"),
    *(
        f"{which}_{what}"
        for which in ("training", "validation", "test", "final_training")
        for what in ("loss", "accuracy")
    ),
}


class Grid:
    """The names of K networks: every combination of the values of some axes.

    Attributes
    ----------
    axes : dict of str to tuple
        The values of each axis, in order; the last axis varies fastest.
    """

    def __init__(self, axes: Mapping[str, tuple[Any, ...]]) -> None:
        self.axes = dict(axes)
        self._rows = tuple(product(*self.axes.values()))

    def __repr__(self) -> str:
        """Return the call that makes it."""
        return f"grid({', '.join(f'{name}={list(values)}' for name, values in self.axes.items())})"

    def __len__(self) -> int:
        """Return K, the number of networks."""
        return len(self._rows)

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of values of each axis."""
        return tuple(len(values) for values in self.axes.values())

    def column(self, name: str) -> list[Any]:
        """Return one axis' value for each network, as it was given.

        Raises
        ------
        KeyError
            If there is no such axis.
        """
        if name not in self.axes:
            raise KeyError(f"there is no axis {name!r}; the axes are {[*self.axes]}.")
        position = [*self.axes].index(name)
        return [row[position] for row in self._rows]

    def __getitem__(self, name: str) -> Tensor:
        """Return one axis' value for each network, shape (K,).

        Raises
        ------
        KeyError
            If there is no such axis.
        TypeError
            If its values are no numbers.
        """
        column = self.column(name)
        try:
            values = torch.tensor(column)
        except (TypeError, ValueError, RuntimeError):
            raise TypeError(f"the values of axis {name!r} are no numbers.") from None
        return values.float() if values.is_floating_point() else values

    def index(self, **values: Any) -> int:
        """Return which network has these values, one for each axis.

        Raises
        ------
        KeyError
            If an axis is missing or unknown, or has no such value.
        """
        if values.keys() != self.axes.keys():
            raise KeyError(f"give a value for each of the axes {[*self.axes]}, not {[*values]}.")
        for name, value in values.items():
            if value not in self.axes[name]:
                raise KeyError(f"axis {name!r} has no value {value!r}, only {self.axes[name]}.")
        return self._rows.index(tuple(values[name] for name in self.axes))

    def rows_of(self, other: "Grid") -> Tensor:
        """Return which network of another grid each network starts from, shape (K,).

        As in ``dense.take(runs.rows_of(seeds))``: that of the same seed, and of the same value of
        each further axis of the other grid.

        Raises
        ------
        KeyError
            If this grid lacks an axis of the other, or the other a value of this.
        """
        columns = {name: self.column(name) for name in other.axes}
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        return torch.tensor([other.index(**row) for row in rows])

    def each(self, values: xr.DataArray) -> Tensor:
        """Return one number for each network from an array over some of the axes, shape (K,).

        Raises
        ------
        KeyError
            If the array has a dimension or lacks a value that the networks have.
        """
        places = {}
        for name in map(str, values.dims):
            known = values[name].values.tolist()
            missing = [value for value in self.axes.get(name, ()) if value not in known]
            if missing:
                raise KeyError(f"the array has no {missing} along {name!r}, only {known}.")
            column = [known.index(value) for value in self.column(name)]
            places[name] = xr.DataArray(column, dims="network")
        return torch.as_tensor(
            values.isel(places)
            .broadcast_like(xr.DataArray(np.empty(len(self)), dims="network"))
            .values.copy()
        )

    def label(self, values: Tensor, **further: Sequence[Any]) -> xr.DataArray:
        """Return something measured on each network by the axes of the grid.

        Parameters
        ----------
        values : Tensor
            Shape (K, ...).
        **further : sequence
            The coordinates of each dimension after the first, by name.

        Raises
        ------
        ValueError
            If the shape is not that of the grid and the further dimensions.
        """
        shape = (len(self), *map(len, further.values()))
        if values.shape != shape:
            raise ValueError(f"the values have shape {tuple(values.shape)}; give {shape}.")
        coordinates = {name: _coordinate(axis) for name, axis in self.axes.items()}
        plain = values.float() if values.dtype == torch.bfloat16 else values
        array = plain.detach().cpu().unflatten(0, self.shape).numpy()
        return xr.DataArray(array, coordinates | further, [*coordinates, *further])


def _coordinate(axis: Sequence[Any]) -> Any:
    """Return the values of an axis as xarray's coordinate, each as it was given."""
    if len({isinstance(value, str) for value in axis}) == 1 and not isinstance(axis[0], tuple):
        return list(axis)
    values = np.empty(len(axis), dtype=object)
    values[:] = axis
    return values


def grid(**axes: Iterable[Any]) -> Grid:
    """Name K networks by every combination of some axes' values.

    Parameters
    ----------
    **axes : iterable
        Values by the name of the axis, as in ``grid(delta=[0, .1], seed=range(8))``. The axis
        ``seed`` is required: it alone fixes a network's first weights and the order of its data,
        so that networks that differ in another axis are paired.

    Raises
    ------
    ValueError
        If there is no ``seed``, a seed is not a whole number from 0, an axis is empty, names a
        value twice or is one word, or has a name that xarray or a history uses itself.
    """
    for name, given in axes.items():
        if isinstance(given, str):
            raise ValueError(f"axis {name!r} is the word {given!r}; give a list of values.")
    values = {name: tuple(given) for name, given in axes.items()}
    if "seed" not in values:
        raise ValueError("a grid needs seeds; add seed=range(8), say.")
    taken = TAKEN & values.keys()
    if taken:
        raise ValueError(
            f"{sorted(taken)} are names that xarray or a training's history uses itself; name the "
            "axis otherwise, such as 'rule' or 'lr'."
        )
    for name, given in values.items():
        if not given or len(set(given)) < len(given):
            raise ValueError(f"axis {name!r} is {given}; give one or more values, each once.")
    values["seed"] = tuple(whole("a seed", seed, 0, 2**31 - 1) for seed in values["seed"])
    return Grid(values)


def joined(found: Iterable[Any], **axes: Iterable[Any]) -> Any:
    """Join what was found in separate populations along the axes that tell them apart.

    Parameters
    ----------
    found : iterable of xarray.DataArray or Dataset
        One for each combination of the axes' values; the last axis varies fastest.
    **axes : iterable
        The values of each axis, in order; of a mapping its keys.

    Returns
    -------
    xarray.DataArray or Dataset
        As those found, with the axes in front; NaN where one has a coordinate that another lacks.

    Raises
    ------
    ValueError
        If there are not as many as combinations.
    """
    results, names = [*found], [*axes]
    columns = [[*values] for values in axes.values()]
    if len(results) != math.prod(map(len, columns)):
        raise ValueError(
            f"{len(results)} results were given; the axes {names} have "
            f"{math.prod(map(len, columns))} combinations."
        )
    for name, column in reversed([*zip(names, columns, strict=True)]):
        n = len(column)
        parts = [results[i : i + n] for i in range(0, len(results), n)]
        results = [xr.concat(part, xr.Variable(name, column), join="outer") for part in parts]
    return results[0]


def mixed(runs: Grid, axis: str, parts: Mapping[Any, Any]) -> Callable[..., Any]:
    """Give each network the rate, order or masks of its place on an axis.

    As in ``lr=mixed(runs, "rule", {"constant": constant(0.1), "cosine": cosine(0.1, n)})``.

    Parameters
    ----------
    runs : Grid
        Names the K networks.
    axis : str
    parts : mapping
        For each value of the axis what ``train`` takes for all networks as ``lr``, ``order`` or
        ``masks``. Each part is made for all networks, and a network takes its own row.

    Returns
    -------
    callable
        What ``train`` takes: step -> rates, epoch -> orders, or (epoch, model) -> masks.

    Raises
    ------
    KeyError
        If there is no such axis, or a value of it has no part.
    """
    column = runs.column(axis)
    missing = {*column} - {*parts}
    if missing:
        raise KeyError(f"axis {axis!r} has the values {sorted(missing, key=str)} without a part.")
    names = [*parts]
    place = torch.tensor([names.index(value) for value in column])

    def value(*arguments: Any) -> Any:
        return _mix([p(*arguments) if callable(p) else p for p in parts.values()], place)

    return value


def _mix(made: Sequence[Any], place: Tensor) -> Any:
    """Take row i from the part that network i has its place at."""
    if isinstance(made[0], Mapping):
        names = {name: mask for part in made for name, mask in part.items()}
        return {
            name: _mix([part.get(name, torch.ones_like(mask)) for part in made], place)
            for name, mask in names.items()
        }
    rows = []
    for part in map(torch.as_tensor, made):
        is_order = part.ndim == 1 and not part.is_floating_point()
        whole = part.unsqueeze(0) if is_order else part
        rows.append(whole.expand(len(place), *whole.shape[1:]))
    stacked = torch.stack(rows)
    return stacked[place.to(stacked.device), torch.arange(len(place), device=stacked.device)]
