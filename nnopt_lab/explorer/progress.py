"""A progress bar that training can be watched by."""

import html
import time
from typing import Any

from nnopt_lab.explorer import cells
from nnopt_lab.explorer.stops import plain

import ipywidgets
from IPython.display import display

SECONDS_BETWEEN_UPDATES = 0.25


def bar(label: str, share: float) -> str:
    """Return HTML of a bar, with its name and its share from 0 to 1."""
    name = html.escape(label)
    filled = (
        f'<progress value="{share:.3f}" max="1" style="width: 20rem; max-width: 100%"></progress>'
    )
    look = "display: flex; flex-wrap: wrap; align-items: center; gap: 0 1em"
    return f'<label style="{look}">{name} {filled}</label>'


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
        self.label, self.n_steps = label, plain(n_steps)
        if type(self.n_steps) is not int or self.n_steps < 1:
            raise ValueError(f"n_steps is {n_steps!r}; give a whole number from 1.")
        self._bar = ipywidgets.HTML(bar(label, 0))
        self.close = cells.closer(self, self._bar)
        self._next_update = 0.0
        self._shown = display(self, display_id=True)

    def __call__(self, updates: int, *_: object) -> None:
        """Take note of how many steps were made; the bar closes after the last."""
        if updates >= self.n_steps:
            if self.close.alive and self._shown is not None:  # a text outlives the kernel
                self._shown.update({"text/plain": repr(self)}, raw=True)
            self.close()
        elif time.monotonic() >= self._next_update:
            self._bar.value = bar(self.label, updates / self.n_steps)
            self._next_update = time.monotonic() + SECONDS_BETWEEN_UPDATES

    def __repr__(self) -> str:
        """Return label and length, the same on any computer."""
        return f"{self.label}: {self.n_steps} steps each"

    def _repr_mimebundle_(self, **_: object) -> dict[str, Any]:
        """Return the bar, and a text that stays when it is gone."""
        return cells.bundle(self, self._bar)
