"""What checks of a learner's answer share: each raises ``Wrong`` with a reason, or returns."""

import math
import re
from collections.abc import Mapping
from typing import Any

from nnopt_lab.exercises.exercise import Wrong

import numpy as np
import torch
from torch import Tensor


def number(result: Any, where: str) -> float:
    """Return a learner's result as a finite number.

    Parameters
    ----------
    result : object
    where : str
        Where it was given, as the beginning of a sentence: ``"At t = 3"``.
    """
    try:
        found = float(result)
    except (TypeError, ValueError, RuntimeError):
        raise Wrong(f"{where} you give {result!r}; return a number.") from None
    if not math.isfinite(found):
        raise Wrong(f"{where} you give {found}; return a finite number.")
    return found


def expect(
    result: Any,
    expected: float,
    where: str,
    mistakes: Mapping[float, str] | None = None,
    *,
    otherwise: str = "",
    rel_tol: float = 1e-6,
    abs_tol: float = 1e-12,
) -> None:
    """Check one number of a learner's; what is a known mistake gets its own reason.

    Parameters
    ----------
    result : object
        What the learner's function returned.
    expected : float
    where : str
        For which inputs, as the beginning of a sentence.
    mistakes : mapping of float to str, optional
        By the number that a mistake leads to, why it is one.
    otherwise : str
        The reason for any other number; by default the right one.
    rel_tol, abs_tol : float
        How far a number may lie from another and be the same.
    """
    found = number(result, where)

    def is_close(value: float) -> bool:
        return math.isclose(found, value, rel_tol=rel_tol, abs_tol=abs_tol)

    if is_close(expected):
        return
    for value, reason in (mistakes or {}).items():
        if is_close(value):
            raise Wrong(reason)
    raise Wrong(otherwise or f"{where} you give {found:.5g}; {expected:.5g} is right.")


def two_parts(result: Any, what: str) -> tuple[Any, Any]:
    """Return the two parts of a learner's result, in whatever they come.

    Parameters
    ----------
    result : object
    what : str
        What was asked for: ``"two tensors: the mean and the variance"``.
    """
    try:
        first, second = result
    except (TypeError, ValueError):
        raise Wrong(f"Return {what}; this is a {type(result).__name__}.") from None
    return first, second


def tensor(result: Any, shape: tuple[int, ...], what: str) -> Tensor:
    """Return a learner's result, a tensor or what can be made one, in the shape it must have."""
    try:
        if isinstance(result, list | tuple):  # of rows in any form
            result = torch.stack([torch.as_tensor(row) for row in result])
        if isinstance(result, np.ndarray):
            result = np.ascontiguousarray(result)
        found = torch.as_tensor(result)
    except (TypeError, ValueError, RuntimeError):
        raise Wrong(f"{what} is a {type(result).__name__}; return a tensor.") from None
    if tuple(found.shape) != shape:
        raise Wrong(f"{what} has shape {tuple(found.shape)}; it must have {shape}.")
    return found


def diagnosed(diagnosis: Any, right: str, reasons: Mapping[str, str]) -> None:
    """Raise ``Wrong`` unless a diagnosis of the bug clinic is right.

    Parameters
    ----------
    diagnosis : object
        What the learner gave, in any style: ``"b"``, ``"(B)"``, ``["b"]``, ``"b, c, a"``,
        ``"Patient b"``, ``"(b) and the text of the option"``.
    right : str
        The right letter, or letters in their order.
    reasons : mapping of str to str
        Why each other one is wrong.
    """
    words = re.findall("[a-z]+", str(diagnosis).lower())
    letters = [word for word in words if len(word) == 1]
    given = "".join(letters) or "".join(words)
    if len(right) == 1 and len(words) <= 3 and len({*letters}) > 1:
        given = ""  # more than one
    elif len(right) == 1 and words[:1] == letters[:1]:
        given = "".join(words[:1])  # what follows is the text of the option
    if given != right:
        asked = f"Give one of the letters {sorted([right, *reasons])}."
        if len(right) > 1:
            asked = f"Give {len(right)} letters, in order."
        raise Wrong(f"Diagnosis {diagnosis!r}: {reasons.get(given, asked)}")
