"""A progress bar that training can be watched by."""

import time
from typing import Any

from nnopt_lab.explorer import cells

import ipywidgets
from IPython.display import display

SECONDS_BETWEEN_UPDATES = 0.25


class Progress:
    """Show how far a training is; for the argument ``watch`` of ``train``.

    Parameters
    ----------
    label : str
        What is trained.
    n_steps : int
        How many steps there will be; ``training.n_steps`` tells.

    Raises
    ------
    ValueError
        If ``n_steps`` is not a whole number from 1.
    """

    def __init__(self, label: str, n_steps: int) -> None:
        if type(n_steps) is not int or n_steps < 1:
            raise ValueError(f"n_steps is {n_steps!r}; give a whole number from 1.")
        self.label = label
        self.n_steps = n_steps
        self._bar = ipywidgets.IntProgress(
            max=n_steps, description=label, style={"description_width": "initial"},
            layout=ipywidgets.Layout(width="min(36rem, 98%)"),
        )  # fmt: skip
        self.close = cells.closer(self, self._bar)
        self._next_update = 0.0
        display(self)

    def __call__(self, updates: int, *_: object) -> None:
        """Take note of how many steps were made; the bar closes after the last."""
        if updates >= self.n_steps:
            self.close()
        elif time.monotonic() >= self._next_update:
            self._bar.value = updates
            self._next_update = time.monotonic() + SECONDS_BETWEEN_UPDATES

    def __repr__(self) -> str:
        """Return label and length, the same on any computer."""
        return f"{self.label}: {self.n_steps} steps each"

    def _repr_mimebundle_(self, **_: object) -> dict[str, Any]:
        """Return the bar, and a text that stays when it is gone."""
        return cells.bundle(self, self._bar)
