"""A question that covers the figure which answers it, until it is answered or waived."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nnopt_lab.explorer.stops import Stops

import anywidget
import ipywidgets
import traitlets

_HERE = Path(__file__).parent

NOT_ATTEMPTED, ANSWERED = "not attempted", "answered"
AFTER_SEEING, WAIVED = "answered after seeing", "waived"

_kept: dict[str, "Cover"] = {}  # the newest cover of each question, as long as the kernel lives


class Prediction:
    """A question to answer before a figure is seen; the answer then stands beside what was found.

    Handed to ``Explorer`` as ``predict``, it covers the figure with all that belongs to it.

    Parameters
    ----------
    question : str
        What will be found.
    answers : mapping of str to float, sequence of str, or Stops
        A choice: each answer with the number that it stands for, or the answers alone. Or, as
        ``Stops`` of numbers, a slider.
    measured : float or str
        What came true on this run. The right answer is the nearest one in number, or this one.
    why : sequence of str, or str
        A reason for each answer, in their order: what it overlooks, or why it is right; or one
        for all.
    words : str
        How what was measured is read; by default itself, with the unit of ``Stops``.

    Raises
    ------
    ValueError
        If ``measured`` is none of the answers, or there is not one reason for each answer.
    """

    def __init__(
        self,
        question: str,
        answers: Mapping[str, float] | Sequence[str] | Stops,
        measured: float | str,
        why: Sequence[str] | str,
        *,
        words: str = "",
    ) -> None:
        self.question = question
        self.is_number = isinstance(answers, Stops)
        if isinstance(answers, Stops):
            values = [float(value) for value in answers.values]
            self.answers = [answers.words(value) for value in answers.values]
            words = words or answers.words(float(measured))
        else:
            self.answers = [*answers]
            values = [*answers.values()] if isinstance(answers, Mapping) else []
        self.reasons = [why] * len(self.answers) if isinstance(why, str) else [*why]
        if len(self.reasons) != len(self.answers):
            raise ValueError(
                f"{question!r} has {len(self.answers)} answers and {len(self.reasons)} reasons; "
                "give a reason for each."
            )
        self.right = _right(question, self.answers, values, measured)
        self.measured = words or f"{measured}"

    def describe(self) -> str:
        """Return question and answers: what is the same on any computer, and tells no result."""
        if self.is_number:
            return f"{self.question}\n  a number from {self.answers[0]} to {self.answers[-1]}"
        return f"{self.question}\n  {' | '.join(self.answers)}"


def _right(
    question: str, answers: list[str], values: Sequence[float], measured: float | str
) -> int:
    """Return which answer came true."""
    if values:
        distances = [abs(value - float(measured)) for value in values]
        return distances.index(min(distances))
    if measured not in answers:
        raise ValueError(f"{question!r}: {measured!r} was measured, and is none of {answers}.")
    return answers.index(str(measured))


def _all_open() -> bool:
    """Whether all covers are open from the start, as for teachers and tests."""
    return bool(os.environ.get("NNOPT_LAB_OPEN"))


class Cover(anywidget.AnyWidget):
    """The view of a prediction; opening it shows what was hidden, in the browser, at once.

    Parameters
    ----------
    prediction : Prediction
    layout : ipywidgets.Layout
        Of the box behind: hidden here, in Python, and shown by ``cover.js``, so that nothing
        stands bare for a frame, or if that code fails.
    """

    _esm = _HERE / "cover.js"
    _css = _HERE / "cover.css"
    question = traitlets.Unicode().tag(sync=True)
    answers: Any = traitlets.List().tag(sync=True)
    reasons: Any = traitlets.List().tag(sync=True)
    right = traitlets.Int().tag(sync=True)
    measured = traitlets.Unicode().tag(sync=True)
    is_number = traitlets.Bool().tag(sync=True)
    behind = traitlets.Any().tag(sync=True, **ipywidgets.widget_serialization)
    is_open = traitlets.Bool(False).tag(sync=True)
    answer = traitlets.Int(-1).tag(sync=True)  # the position of the answer given
    is_after = traitlets.Bool(False).tag(sync=True)  # whether it was given after seeing

    def __init__(self, prediction: Prediction, layout: ipywidgets.Layout) -> None:
        names = ("question", "answers", "reasons", "right", "measured", "is_number")
        before = _kept.get(prediction.question)
        state: dict[str, Any] = {"is_open": _all_open()}
        if before is not None and before.is_open and before.answers == prediction.answers:
            state = {name: getattr(before, name) for name in ("is_open", "answer", "is_after")}
        if not state["is_open"]:
            layout.display = "none"
        super().__init__(
            behind=layout, **{name: getattr(prediction, name) for name in names}, **state
        )
        _kept[prediction.question] = self
        self.observe(self._show, "is_open")

    def _show(self, _change: object) -> None:
        self.behind.display = None

    @property
    def outcome(self) -> str:
        """Whether it was answered, and when."""
        if self.answer >= 0:
            return AFTER_SEEING if self.is_after else ANSWERED
        return WAIVED if self.is_open and not _all_open() else NOT_ATTEMPTED

    @property
    def words(self) -> str:
        """What was answered and what was measured, once it may be seen."""
        said = f"{self.answers[self.answer]}; measured: " if self.answer >= 0 else "measured: "
        return said + self.measured if self.is_open else ""


def predictions() -> list[tuple[str, str, str]]:
    """Return question, outcome and words of each prediction since the kernel started."""
    return [(question, cover.outcome, cover.words) for question, cover in _kept.items()]
