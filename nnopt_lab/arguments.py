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
