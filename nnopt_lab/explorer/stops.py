"""The values that a control can take, and the ipywidget that shows them."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any

import ipywidgets
import numpy as np


def plain(value: Any) -> Any:
    """Return a number of numpy's, or a place of an ``Enum``, as Python's own."""
    if isinstance(value, Enum):
        return value.value
    return value.item() if isinstance(value, np.generic) else value


@dataclass(frozen=True)
class Stops:
    """The values of one control.

    Parameters
    ----------
    values : iterable
        All numbers (a slider), all words (toggle buttons, or a drop-down if they are many), or
        False and True (a checkbox).
    label : str
        What stands beside the control; by default its name.
    unit : str
        What follows each number.
    start : optional
        The value to start at; by default the first.

    Raises
    ------
    ValueError
        If there is no value, one occurs twice, kinds are mixed, or ``start`` is no value.
    """

    values: Iterable[Any]
    label: str = ""
    unit: str = ""
    start: Any = None

    def __post_init__(self) -> None:
        if isinstance(self.values, str) or not isinstance(self.values, Iterable):
            raise ValueError(f"the stops are {self.values!r}; give several values in a list.")
        values = tuple(plain(value) for value in self.values)
        kinds = {
            str if isinstance(v, str) else bool if isinstance(v, bool) else float for v in values
        }
        if len(kinds) > 1 or not all(isinstance(v, str | bool | int | float) for v in values):
            raise ValueError(
                f"the stops are {values}; give all numbers, all words, or all booleans."
            )
        looks = {v.strip() if isinstance(v, str) else v for v in values}
        if not values or len(looks) < len(values):
            raise ValueError(f"the stops are {values}; give one or more values, each once.")
        if kinds == {bool}:
            if len(values) < 2:
                raise ValueError(f"the stops are {values}; give both False and True.")
            values = (False, True)
        if self.start is not None and self.start not in values:
            raise ValueError(f"start is {self.start!r}; give one of the stops {values}.")
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "start", values[0] if self.start is None else self.start)

    def words(self, value: Any) -> str:
        """Return a value as the learner reads it, with its unit."""
        digits = self._digits
        text = f"{value:.{digits}g}" if digits else str(value)
        return f"{text} {self.unit}".strip()

    @property
    def _digits(self) -> int | None:
        """As few significant digits, from 4, as tell all numbers apart; None for all they have."""
        values = list(self.values)
        if isinstance(values[0], str):
            return None
        tried = (d for d in range(4, 16) if len({f"{v:.{d}g}" for v in values}) == len(values))
        return next(tried, None)

    def describe(self, name: str) -> str:
        """Return label and range in one line, the same on any computer."""
        label = self.label or name
        values = list(self.values)
        if isinstance(values[0], bool):
            return f"{label}: off or on"
        if isinstance(values[0], str):
            return f"{label}: {' | '.join(values)}"
        return f"{label}: {self.words(values[0])} to {self.words(values[-1])}, {len(values)} stops"

    def control(self, name: str) -> ipywidgets.Widget:
        """Return the ipywidget whose ``value`` is one of the values."""
        values = list(self.values)
        label = self.label or name
        if isinstance(values[0], bool):
            return ipywidgets.Checkbox(value=self.start, description=label, indent=False)
        options = [(self.words(value), value) for value in values]
        shared = {
            "options": options,
            "value": self.start,
            "description": label,
            "style": {"description_width": "initial"},
        }
        wide = {"width": "min(36rem, 98%)"}
        if not isinstance(values[0], str):
            return ipywidgets.SelectionSlider(**shared, layout=wide)
        if len(values) <= 6 and sum(map(len, values)) <= 80:
            shared["style"]["button_width"] = "auto"
            return ipywidgets.ToggleButtons(**shared, _dom_classes=["nnopt-lab-choice"])
        return ipywidgets.Dropdown(**shared, layout=wide)
