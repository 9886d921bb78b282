"""``Live``: type any values, press Train, and watch the curves grow."""

import html
import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

from nnopt_lab.explorer import bank, cells
from nnopt_lab.explorer.plot import Plot, frame
from nnopt_lab.explorer.stops import Stops

import ipywidgets
import plotly.graph_objects as go

MAXIMUM_RUNS = 4  # that stay in the figure
SECONDS_BETWEEN_SIGNS = 20.0  # of life from the page; browsers slow hidden pages down to 60
SIGNS_MISSED = 5  # until the page counts as left


class Live:
    """Show a panel in which a learner trains with any values, and can stop.

    Nothing is trained before Train is pressed. All panels share one worker thread, so that cells
    and sliders stay alive; the newest press of Train ends what was running, in any panel. So does
    running the cell again, and so does leaving the page, once it has given no sign for some time.

    Parameters
    ----------
    run : callable
        ``run(report, stop, **values)``, called in the worker thread. It calls ``report(result,
        share)`` whenever there is something new to draw, with the share of the work that is done,
        and ends soon after ``stop()`` is true. It returns the sentence under the figure, such as
        how many networks diverged. What it raises is said in the panel.
    draw : callable
        Takes the newest result of each of the last runs, by name; returns a Figure. Called with
        an empty mapping first.
    **inputs : int, float or Stops
        By the name of the argument: the first value of a field to type in, for whole numbers if
        it is one; or stops to choose from.

    Attributes
    ----------
    results : dict
        The newest result of each of the last runs, by name, the oldest first.
    widget : ipywidgets.VBox
        The panel.

    Raises
    ------
    TypeError
        If an input is neither a number nor Stops, or ``draw`` does not return a Figure.
    """

    def __init__(
        self,
        run: Callable[..., str],
        draw: Callable[[Mapping[str, Any]], go.Figure],
        **inputs: float | Stops,
    ) -> None:
        self._run, self._draw = run, draw
        self.results: dict[str, Any] = {}
        self._request: _Request | None = None
        self.controls = {name: _control(name, value) for name, value in inputs.items()}
        self._train = ipywidgets.Button(description="Train", icon="play", button_style="primary")
        self._stop = ipywidgets.Button(description="Stop", icon="stop", disabled=True)
        self._bar = ipywidgets.FloatProgress(max=1, layout={"width": "min(20rem, 98%)"})
        self._status = ipywidgets.HTML()
        self._plot = Plot(self._packed(""), seconds_between_signs=SECONDS_BETWEEN_SIGNS)
        self._say("Nothing has been trained yet: press Train.")
        rows = ([*self.controls.values()], [self._train, self._stop, self._bar])
        boxes = [ipywidgets.HBox(row, layout={"flex_flow": "row wrap"}) for row in rows]
        self.widget = ipywidgets.VBox([*boxes, self._status, self._plot])
        self._train.on_click(self._clicked)
        self._stop.on_click(lambda _button: self.stop())
        self._plot.on_msg(lambda *_message: self._see())
        self._seen = math.inf  # when there was a sign of a page, if ever

    @property
    def values(self) -> dict[str, Any]:
        """What is typed or chosen now."""
        return {name: control.value for name, control in self.controls.items()}

    def train(self) -> None:
        """Ask the worker to run with these values; what it does meanwhile is stopped."""
        self._request = _Request(self, self.values)
        self._say("Waiting for another run to stop.")
        _worker.submit(self._request)

    def stop(self) -> None:
        """Ask the run of this panel to stop."""
        if self._request is not None:
            self._request.stopped.set()

    def close(self) -> None:
        """Stop the run of this panel, and close its widgets."""
        self.stop()
        cells.close_widgets(self.widget)

    @property
    def figure(self) -> go.Figure:
        """The figure that the learner sees now, as a copy."""
        return go.Figure(self._frame["figure"])

    @property
    def sentence(self) -> str:
        """The sentence under the figure now."""
        words: str = self._frame["words"]
        return words

    def _clicked(self, _button: object) -> None:
        self._see()
        self.train()

    def _see(self) -> None:
        self._seen = time.monotonic()

    def _packed(self, words: str) -> bytes:
        self._frame = frame(self._draw(self.results), "these results", words)
        return bank.pack([self._frame])

    def _say(self, words: str, is_error: bool = False) -> None:
        style = "nnopt-lab-trouble" if is_error else "nnopt-lab-sentence"
        self._status.value = f'<p role="status" class="{style}">{html.escape(words)}</p>'

    def __repr__(self) -> str:
        """Return the inputs: what is the same on any computer."""
        inputs = ", ".join(f"{name} {value}" for name, value in self.values.items())
        return f"Train live: {inputs}\n  nothing is trained before Train is pressed"

    def _repr_mimebundle_(self, **_: object) -> dict[str, Any]:
        """Return the panel; a notebook that is stored keeps its text."""
        return cells.bundle(self, self.widget)


@dataclass
class _Request:
    """One press of Train; all but ``stopped`` is touched by the worker only."""

    panel: Live
    values: Mapping[str, Any]
    stopped: threading.Event = field(default_factory=threading.Event)
    share: float = 0.0

    def work(self) -> None:
        """Run, and say in the panel what came of it."""
        panel, words, is_error = self.panel, "", False
        try:
            panel._stop.disabled = False
            panel._bar.value = 0
            panel._say("Training.")
            if not self.stopped.is_set():
                said = panel._run(self.report, self.is_stopped, **self.values)
                if not isinstance(said, str):
                    raise TypeError(
                        f"run returned {type(said).__name__}; it must return the sentence under "
                        "the figure."
                    )
                self._draw(said)
            words = f"Stopped at {100 * self.share:.0f} %."
            if not self.stopped.is_set():
                panel._bar.value, words = 1, "Done."
        except (Exception, SystemExit) as error:
            words, is_error = f"{type(error).__name__}: {error}", True
        panel._stop.disabled = True
        panel._say(words, is_error)

    def is_stopped(self) -> bool:
        """Whether somebody pressed Stop, or the page is gone."""
        if cells.is_busy():
            self.panel._see()  # signs may have to wait for the cell
        elif time.monotonic() - self.panel._seen > SIGNS_MISSED * SECONDS_BETWEEN_SIGNS:
            self.stopped.set()
        return self.stopped.is_set()

    def report(self, result: Any, share: float) -> None:
        """Take up a result, and draw it."""
        if self.stopped.is_set():
            return
        self.share = share
        results = self.panel.results
        name = ", ".join(f"{name} {_text(value)}" for name, value in self.values.items())
        if name not in results and len(results) == MAXIMUM_RUNS:
            del results[next(iter(results))]
        results[name] = result
        self.panel._bar.value = share
        self._draw("")

    def _draw(self, words: str) -> None:
        self.panel._plot.bank = self.panel._packed(words)


class _Worker:
    """One thread for all panels, started when it is first needed."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[_Request] = SimpleQueue()
        self._newest: _Request | None = None
        self._thread: threading.Thread | None = None

    def submit(self, request: _Request) -> None:
        """Stop what was asked for before, and work on this next."""
        if self._newest is not None:
            self._newest.stopped.set()
        self._newest = request
        self._queue.put(request)
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._loop, name="nnopt_lab live", daemon=True)
            self._thread.start()

    def _loop(self) -> None:
        while True:
            self._queue.get().work()


_worker = _Worker()


def _text(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def _control(name: str, value: Any) -> ipywidgets.Widget:
    """Return the field or the choice of one input."""
    if isinstance(value, Stops):
        return value.control(name)
    look = {"description": name, "style": {"description_width": "initial"}}
    narrow = {"width": "12rem"}
    if type(value) is int:
        return ipywidgets.IntText(value, **look, layout=narrow)
    if type(value) is float:
        return ipywidgets.FloatText(value, **look, layout=narrow)
    raise TypeError(f"input {name!r} is {value!r}; give a whole number, a float, or Stops.")
