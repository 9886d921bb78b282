"""What an argument may be, and the error if it is not: one form for all of the package."""

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor


def whole(name: str, value: Any, least: int = 1, most: int | None = None) -> int:
    """Return a whole number, whatever library made it, as Python's own.

    Parameters
    ----------
    name : str
        Of the argument, for the error.
    value : object
    least, most : int
        The ends of what is allowed.

    Raises
    ------
    ValueError
        If it is no whole number within the ends; true and false are none.
    """
    try:
        is_bool = isinstance(value, bool) or str(getattr(value, "dtype", "")).endswith("bool")
        number = None if is_bool else operator.index(value)
    except TypeError:
        number = None
    if number is None or number < least or (most is not None and number > most):
        limit = "" if most is None else f" to {most}"
        raise ValueError(f"{name} is {value!r}; give a whole number from {least}{limit}.")
    return number


def above_zero(name: str, value: Any, most: float = math.inf) -> float | Tensor:
    """Return a finite number above 0, or one for each network, shape (K,), as a tensor.

    Raises
    ------
    ValueError
        If it is neither, or above ``most``.
    """
    limit = "" if math.isinf(most) else f", at most {most:g}"
    return _checked(name, value, operator.gt, most, f"above 0{limit}")


def from_zero(name: str, value: Any, most: float = math.inf) -> float | Tensor:
    """Return a finite number from 0, or one for each network, shape (K,), as a tensor.

    Raises
    ------
    ValueError
        If it is neither, or above ``most``.
    """
    limit = "" if math.isinf(most) else f" to {most:g}"
    return _checked(name, value, operator.ge, most, f"from 0{limit}")


def holds_whole(numbers: Tensor) -> bool:
    """Whether the type of a tensor is one of whole numbers; true and false are none."""
    kind = numbers.dtype
    return not (kind.is_floating_point or kind.is_complex or kind == torch.bool)


def check_samples(x: Tensor, y: Tensor, where: str = "") -> None:
    """Check inputs (samples, ...) and classes (samples,) of a set.

    Parameters
    ----------
    x, y : Tensor
    where : str
        Which set, for the error: ``" in test"``.

    Raises
    ------
    TypeError
        If they are no tensors.
    ValueError
        If there are no samples, not as many classes as inputs, or a class is no whole number from
        0.
    """
    if not (isinstance(x, Tensor) and isinstance(y, Tensor)):
        kinds = f"{type(x).__name__} and {type(y).__name__}"
        raise TypeError(f"inputs and classes{where} are {kinds}; give tensors.")
    if x.ndim == 0 or y.ndim == 0 or not 0 < len(x) == len(y):
        raise ValueError(
            f"inputs and classes{where} have shapes {tuple(x.shape)} and {tuple(y.shape)}; give "
            "equally many, and one or more."
        )
    if y.ndim != 1 or not holds_whole(y):
        raise ValueError(
            f"the classes{where} have shape {tuple(y.shape)} and type {y.dtype}; give whole "
            "numbers of shape (samples,)."
        )
    if int(y.min()) < 0:
        raise ValueError(f"a class{where} is {int(y.min())}; give whole numbers from 0.")


def _checked(
    name: str, value: Any, compare: Callable[[Any, Any], Any], most: float, allowed: str
) -> float | Tensor:
    numbers = _numbers(value)
    if numbers is None or not bool((compare(numbers, 0) & (numbers <= most)).all()):
        raise ValueError(f"{name} is {value!r}; give a number {allowed}.")
    return value if isinstance(value, int | float) else numbers


def _numbers(value: Any) -> Tensor | None:
    """Return finite numbers as a tensor of at most one dimension; None for whatever else."""
    if not isinstance(value, Tensor):
        try:
            array = np.asarray(value)
        except ValueError:  # lists of unequal length
            return None
        if array.dtype.kind not in "iuf":
            return None
        value = torch.tensor(array.tolist(), dtype=torch.float64)
    is_number = value.dtype != torch.bool and not value.is_complex() and value.ndim <= 1
    return value if is_number and value.numel() and bool(torch.isfinite(value).all()) else None
