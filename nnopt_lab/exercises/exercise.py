"""What an exercise is: a question, a check of behaviour with reasons, hints, and a solution."""

import _thread
import ast
import html
import inspect
import signal
import threading
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

SECONDS = 5.0  # that an answer may take, unless its exercise allows more

RIGHT, WRONG, NOT_ATTEMPTED = "right", "wrong", "not attempted"


class Wrong(Exception):
    """Raised by a check, with the reason why an answer is wrong."""


class _NotAttempted(Exception):
    """Raised when an answer is still the starter's ``...``."""


@dataclass(frozen=True)
class Feedback:
    """What a check says: an outcome, and the reason or what the exercise shows."""

    outcome: str
    words: str

    def __repr__(self) -> str:
        """Return outcome and words."""
        return f"{self.outcome.capitalize()}. {self.words}".strip()

    def _repr_html_(self) -> str:
        """Return the same with a mark; what the learner wrote is escaped."""
        mark = {RIGHT: "✔", WRONG: "✘"}.get(self.outcome, "")
        words = html.escape(self.words).replace("\n", "<br>")
        return f"<p><b>{mark} {self.outcome.capitalize()}.</b> {words}</p>"


outcomes: dict[str, Feedback] = {}  # the last of each exercise, as long as the kernel lives


class Exercise:
    """A question that checks its answers by what they do.

    It decorates its check: a function that takes the answers by the names that the notebook uses,
    calls them on inputs of its own, and raises ``Wrong`` with the reason, or returns one sentence
    on what the exercise shows.

    Parameters
    ----------
    name : str
        In the table of answers.
    hints : sequence of str
        From the gentlest to the plainest.
    solution : tuple
        An answer for each parameter of the check: functions, whose source is shown, or values.
    seconds : float
        How long a check may take. Python code is stopped then, a call into native code only when
        it returns.
    """

    def __init__(
        self,
        name: str,
        *,
        hints: Sequence[str],
        solution: tuple[Any, ...],
        seconds: float = SECONDS,
    ) -> None:
        self.name = name
        self._hints, self._n_hints = hints, 0
        self._solution = solution
        self._seconds = seconds

    def __call__(self, *given: Any) -> Any:
        """Take the check that answers are judged by; once there is one, judge answers by it."""
        if hasattr(self, "_check"):
            return self.check(*given)
        (self._check,) = given
        return self

    def check(self, *answers: Any) -> Feedback:
        """Say whether the answers are right, and if not, why; keep the outcome for the table.

        Raises
        ------
        TypeError
            If there are not as many answers as the exercise asks for.
        """
        feedback = self._judge(answers, self._seconds)
        if feedback.outcome != NOT_ATTEMPTED or self.name not in outcomes:
            outcomes[self.name] = feedback
        return feedback

    def hint(self) -> Feedback:
        """Return one hint more at each call; the last one stays."""
        self._n_hints = min(self._n_hints + 1, len(self._hints))
        return Feedback(
            f"hint {self._n_hints} of {len(self._hints)}", self._hints[self._n_hints - 1]
        )

    def solution(self) -> "Solution":
        """Return the solution, run and checked; it does not count as an answer."""
        patient = 10 * self._seconds  # it ends; a busy machine must not make it wrong
        feedback = self._judge(self._solution, patient)
        return Solution(_source(self._names, self._solution), feedback)

    @property
    def _names(self) -> list[str]:
        return [*inspect.signature(self._check).parameters]

    def _judge(self, answers: Sequence[Any], seconds: float) -> Feedback:
        if len(answers) != len(self._names):
            raise TypeError(
                f"{self.name!r} takes {len(self._names)} answers ({', '.join(self._names)}); "
                f"{len(answers)} were given."
            )
        limit = _TimeLimit(seconds)
        try:
            with limit:
                return Feedback(RIGHT, self._check(*map(_attempted, answers)))
        except KeyboardInterrupt:
            if not limit.was_late:
                raise
            return Feedback(
                WRONG, f"It was stopped after {seconds:g} seconds. Look for an endless loop."
            )
        except _NotAttempted:
            return Feedback(NOT_ATTEMPTED, "Replace the ... and run the cell again.")
        except Wrong as reason:
            return Feedback(WRONG, str(reason))
        except Exception as error:
            return Feedback(WRONG, _in_the_learners_lines(error, answers))


@dataclass(frozen=True)
class Solution:
    """The source of a solution, and what its check says of it."""

    source: str
    feedback: Feedback

    def __repr__(self) -> str:
        """Return both."""
        return f"{self.source}\n\n{self.feedback}"

    def _repr_html_(self) -> str:
        """Return both, folded."""
        source = f"<pre>{html.escape(self.source)}</pre>"
        return (
            f"<details><summary>Solution</summary>{source}{self.feedback._repr_html_()}</details>"
        )


def _source(names: Sequence[str], solution: Sequence[Any]) -> str:
    parts = [
        _plain(answer, name) if callable(answer) else f"{name} = {answer!r}"
        for name, answer in zip(names, solution, strict=True)
    ]
    return "\n\n".join(parts)


def _plain(function: Callable[..., Any], name: str) -> str:
    """Return the source of a function under another name, without what its types would import."""
    (tree,) = ast.parse(inspect.getsource(function).strip()).body
    if not isinstance(tree, ast.FunctionDef):
        raise TypeError(f"{function.__name__} is no plain function.")
    tree.name, tree.returns = name, None
    for argument in tree.args.args:
        argument.annotation = None
    return ast.unparse(tree)


def _attempted(answer: Any) -> Any:
    """Return an answer, a function so that ``...`` as its result ends the check."""
    if answer is ...:
        raise _NotAttempted
    if not callable(answer):
        return answer

    def attempted(*inputs: Any, **named: Any) -> Any:
        result = answer(*inputs, **named)
        if result is ... or (isinstance(result, tuple) and any(part is ... for part in result)):
            raise _NotAttempted
        return result

    return attempted


def _in_the_learners_lines(error: Exception, answers: Sequence[Any]) -> str:
    """Say what was raised, and at which line of the learner's."""
    files = {answer.__code__.co_filename for answer in answers if inspect.isfunction(answer)}
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename in files]
    said = f"{type(error).__name__}: {error}"
    if not frames:
        return f"It cannot be used: {said}"
    return f"Line {frames[-1].lineno} raises an error: {frames[-1].line}\n{said}"


class _TimeLimit:
    """Ends a block after some seconds, as Ctrl-C does; ``was_late`` tells it from a real Ctrl-C.

    Only the main thread can be interrupted; on others there is no limit. Where Ctrl-C is ignored,
    as in what a shell starts with ``&``, it is not while the block runs.
    """

    def __init__(self, seconds: float) -> None:
        self.was_late = False
        self._is_over = False
        self._lock = threading.Lock()
        self._timer = threading.Timer(seconds, self._interrupt)
        self._timer.daemon = True

    def _interrupt(self) -> None:
        with self._lock:
            if self._is_over:
                return
            self.was_late = True
            if hasattr(signal, "pthread_kill"):
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            else:  # Windows
                _thread.interrupt_main()

    def __enter__(self) -> None:
        self._is_main = threading.current_thread() is threading.main_thread()
        if self._is_main:
            self._before = signal.getsignal(signal.SIGINT)
            if self._before is signal.SIG_IGN:
                signal.signal(signal.SIGINT, signal.default_int_handler)
            self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        with self._lock:
            self._is_over = True
        if self._is_main and self._before is signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
