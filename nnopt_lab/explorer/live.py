"""``Live``: type any values, press Train, and watch the curves grow."""

import html
import math
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from queue import SimpleQueue
from typing import Any

from nnopt_lab.explorer import bank, cells
from nnopt_lab.explorer.plot import Plot, frame
from nnopt_lab.explorer.progress import bar
from nnopt_lab.explorer.stops import Stops, plain

import ipywidgets
import plotly.graph_objects as go

MAXIMUM_RUNS = 4  # that stay in the figure
SECONDS_BETWEEN_SIGNS = 20.0  # of life from the page; browsers slow hidden pages down to 60
SIGNS_MISSED = 5  # until the page counts as left
SECONDS_BETWEEN_DRAWINGS = 0.1  # at least, or a page drowns in a fast run


class Live:
    """Show a panel in which a learner trains with any values, and can stop.

    Nothing is trained before Train is pressed. All panels share one worker thread, so that cells
    and sliders stay alive; the newest press of Train ends what was running, in any panel. So does
    running the cell again, and so does leaving the page, once it has given no sign for some time.

    Parameters
    ----------
    run : callable
        ``run(report, stop, **values)``, called in the worker thread. It calls ``report(result,
        share)`` whenever there is something new to draw, with the share of the work that is done
        (the panel draws some of them, and the last), and ends soon after ``stop()`` is true. It
        returns the sentence under the figure, such as how many networks diverged. What it raises
        is said in the panel.
    draw : callable
        Takes the newest result of each of the last runs, by name; returns a Figure. Called with
        an empty mapping first.
    **inputs : int, float or Stops
        By the name of the argument: the first value of a field to type in, for whole numbers if
        it is one; or stops to choose from. What is typed and is no such number is refused.

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
        self._stopped = threading.Event()  # whether the newest run is to end
        self.controls = {name: _control(name, value) for name, value in inputs.items()}
        self._train = ipywidgets.Button(description="Train", icon="play", button_style="primary")
        self._stop = ipywidgets.Button(description="Stop", icon="stop", disabled=True)
        self._bar = ipywidgets.HTML()
        self._fill(0)
        self._status = ipywidgets.HTML()
        named = [*self.controls.values()]
        self._plot = Plot(self._packed(""), named, seconds_between_signs=SECONDS_BETWEEN_SIGNS)
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
        """What is typed or chosen now; a ValueError, if a field holds no such number."""
        return {name: _read(name, control) for name, control in self.controls.items()}

    def train(self) -> None:
        """Ask the worker to run with these values; what it does meanwhile is stopped."""
        try:
            values = self.values
        except ValueError as error:
            self._say(f"{error}", is_error=True)
            return
        self._stopped = threading.Event()
        self._say("Waiting for another run to stop.")
        _worker.submit(partial(self._work, values, self._stopped), self._stopped)

    def stop(self) -> None:
        """Ask the run of this panel to stop."""
        self._stopped.set()

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

    def _is_left(self) -> bool:
        """Whether the page has given no sign for long."""
        if cells.is_busy():
            self._see()  # signs may have to wait for the cell
        return time.monotonic() - self._seen > SIGNS_MISSED * SECONDS_BETWEEN_SIGNS

    def _packed(self, words: str) -> bytes:
        self._frame = frame(self._draw(self.results), "these results", words)
        return bank.pack([self._frame])

    def _say(self, words: str, is_error: bool = False) -> None:
        style = "nnopt-lab-trouble" if is_error else "nnopt-lab-sentence"
        self._status.value = f'<p role="status" class="{style}">{html.escape(words)}</p>'

    def _fill(self, share: float) -> None:
        self._share = share
        self._bar.value = bar("done", share)

    def _show(self, name: str, words: str) -> None:
        """Draw all results; if that fails, give up that of this run, or later runs would fail."""
        try:
            self._plot.bank.value = self._packed(words)
        except Exception:
            self.results.pop(name, None)
            raise

    def _work(self, values: Mapping[str, Any], stopped: threading.Event) -> None:
        """Run in the worker thread, and say in the panel what came of it."""
        name = _name(values)
        is_error, drawn = False, -math.inf  # when it was drawn last

        def is_stopped() -> bool:
            if self._is_left():
                stopped.set()
            return stopped.is_set()

        def report(result: Any, share: float) -> None:
            nonlocal drawn
            if stopped.is_set():
                return
            if name not in self.results and len(self.results) == MAXIMUM_RUNS:
                del self.results[next(iter(self.results))]
            self.results[name] = result
            if time.monotonic() - drawn > SECONDS_BETWEEN_DRAWINGS:
                self._fill(share)
                self._show(name, "")
                drawn = time.monotonic()

        try:
            self._stop.disabled = False
            self._fill(0)
            self._say("Training.")
            if not stopped.is_set():
                self._show(name, _sentence(self._run(report, is_stopped, **values)))
            words = f"Stopped at {100 * self._share:.0f} %."
            if not stopped.is_set():
                self._fill(1)
                words = "Done."
        except (Exception, SystemExit, KeyboardInterrupt) as error:
            words, is_error = f"{type(error).__name__}: {error}", True
        self._stop.disabled = True
        self._say(words, is_error)

    def __repr__(self) -> str:
        """Return the inputs: what is the same on any computer."""
        inputs = ", ".join(f"{name} {control.value}" for name, control in self.controls.items())
        return f"Train live: {inputs}\n  nothing is trained before Train is pressed"

    def _repr_mimebundle_(self, **_: object) -> dict[str, Any]:
        """Return the panel; a notebook that is stored keeps its text."""
        return cells.bundle(self, self.widget)


class _Worker:
    """One thread for all panels, started when it is first needed."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self.stopped = threading.Event()  # whether the newest work is to end

    def submit(self, work: Callable[[], None], stopped: threading.Event) -> None:
        """Stop what was asked for before, and work on this next."""
        self.stopped.set()
        self.stopped = stopped
        self._queue.put(work)
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._loop, name="nnopt_lab live", daemon=True)
            self._thread.start()

    def _loop(self) -> None:
        while True:
            self._queue.get()()


_worker = _Worker()


def _name(values: Mapping[str, Any]) -> str:
    """Return how a run is called in the figure."""
    words = {name: f"{v}" if isinstance(v, str) else f"{v:g}" for name, v in values.items()}
    return ", ".join(f"{name} {word}" for name, word in words.items())


def _sentence(said: object) -> str:
    if not isinstance(said, str):
        raise TypeError(
            f"run returned {type(said).__name__}; it must return the sentence under the figure."
        )
    return said


class _Field(ipywidgets.Text):  # type: ignore[misc]  # it has no types
    """A field for a number that keeps what is typed: those of ipywidgets drop keys, 2.7 is 27."""

    def __init__(self, text: str, kind: type, **traits: Any) -> None:
        super().__init__(text, **traits)
        self.kind = kind


def _read(name: str, control: ipywidgets.Widget) -> Any:
    """Return what is typed or chosen."""
    if not isinstance(control, _Field):
        return control.value
    try:
        return control.kind(control.value)
    except ValueError:
        asked = "a whole number, such as 3" if control.kind is int else "a number, such as 0.5"
        raise ValueError(f"{name} is {control.value!r}; type {asked}.") from None


def _control(name: str, value: Any) -> ipywidgets.Widget:
    """Return the field or the choice of one input."""
    if isinstance(value, Stops):
        return value.control(name)
    number = plain(value)
    if type(number) in (int, float):
        look = {"description": name, "style": {"description_width": "initial"}}
        return _Field(f"{number}", **look, layout={"width": "12rem"}, kind=type(number))
    raise TypeError(f"input {name!r} is {value!r}; give a whole number, a float, or Stops.")
