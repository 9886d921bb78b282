"""``Explorer``: an ordinary function that returns a plotly figure, turned into sliders."""

import html
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product
from math import prod
from typing import Any, Protocol

from nnopt_lab.explorer import bank, cells, ranges
from nnopt_lab.explorer.plot import Plot, frame, png
from nnopt_lab.explorer.prediction import Cover, Prediction
from nnopt_lab.explorer.stops import Stops

import ipywidgets
import plotly.graph_objects as go

MAXIMUM_STOPS = 2000
MAXIMUM_BYTES, MAXIMUM_MEMORY = 8_000_000, 100_000_000  # as they travel, and before


class Shown(Protocol):
    """What can stand below a figure: its ``repr`` is the text that is compared, if any."""

    @property
    def metadata(self) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        """What is stored with the output, lists by name."""

    @property
    def view(self) -> str:
        """What is seen, as HTML."""


class Explorer:
    """Show a figure with a control for each argument of the function that draws it.

    ``draw`` is called at every combination of stops once, here and now; from then on the figure
    moves in the browser, also while the kernel is busy or gone. A figure without controls is
    ``Explorer(draw)``. A trace whose ``meta`` names controls, as in ``{"x": "delta", "y": "lr"}``,
    chooses their values where it is clicked; for ``"customdata"`` it names a list of them.

    Parameters
    ----------
    draw : callable
        Takes one keyword argument for each control; returns a ``plotly.graph_objects.Figure``, or
        a figure and the sentence under it. Anything may vary from stop to stop. An axis of numbers
        keeps room for the scatter, bars, shapes and annotations of all stops, unless ``draw`` sets
        its range; for other traces, areas stacked on each other and bars from a base it may move.
        Colours keep their scale only if ``draw`` sets it. A page narrower than 320 pixels a panel,
        or than ``minreducedwidth`` of the layout, scrolls the figure.
    predict : Prediction, optional
        Covers all that is shown until it is answered or waived. Give the cell no other output.
    shows : one or more of what has a text, metadata and a view
        Stands below the figure, such as ``statistics.Findings``.
    **stops : iterable or Stops
        The values of each argument, all numbers, all words or all booleans.

    Attributes
    ----------
    controls : dict of str to ipywidgets.Widget
        Set ``controls["delta"].value`` and the figure follows.

    Raises
    ------
    ValueError
        If there are more than 2 000 combinations of stops, the figures need over 8 MB as they are
        sent or 100 MB in memory, or a trace names a control that is not there.
    RuntimeError
        If ``draw`` fails at some stop.
    TypeError
        If ``draw`` returns neither a Figure nor a Figure and a text.
    """

    def __init__(
        self,
        draw: Callable[..., go.Figure | tuple[go.Figure, str]],
        /,
        *,
        predict: Prediction | None = None,
        shows: Shown | Sequence[Shown] = (),
        **stops: Iterable[Any] | Stops,
    ) -> None:
        self._predict = predict
        self._shows = [*shows] if isinstance(shows, Sequence) else [shows]
        self._stops = {name: _stops(name, given) for name, given in stops.items()}
        values = {name: [*s.values] for name, s in self._stops.items()}
        sizes = [*map(len, values.values())]
        if prod(sizes) > MAXIMUM_STOPS:
            raise ValueError(
                f"{' × '.join(map(str, sizes))} stops are {prod(sizes)} figures; at most "
                f"{MAXIMUM_STOPS} can be drawn. Give fewer values, or fewer controls."
            )
        combinations = [dict(zip(values, at, strict=True)) for at in product(*values.values())]
        self._frames: list[dict[str, Any]] = []
        memory: dict[str, int] = {}
        for at in combinations:
            drawn = frame(_call(draw, at), _words(at))
            self._frames.append(drawn)
            memory[_words(at)] = bank.n_bytes(drawn)
            if sum(memory.values()) > MAXIMUM_MEMORY:
                raise ValueError(_too_large(memory, len(combinations), "in memory", MAXIMUM_MEMORY))
        _check_clicks(self._frames, values)
        ranges.share([drawn["figure"] for drawn in self._frames])
        packed = bank.pack(self._frames)
        if len(packed) > MAXIMUM_BYTES:
            share = len(packed) / sum(memory.values())
            sent = {words: round(share * n) for words, n in memory.items()}
            raise ValueError(_too_large(sent, len(sent), "to be sent", MAXIMUM_BYTES))
        self._title = self._frames[0]["figure"]["layout"].get("title", {}).get("text", "")
        self.controls = {name: s.control(name) for name, s in self._stops.items()}
        controls = [*self.controls.values()]
        longest = max((len(s.label or name) for name, s in self._stops.items()), default=0)
        for control in controls:  # so that all begin at one place
            if hasattr(control.style, "description_width"):
                control.style.description_width = f"{0.55 * longest + 1:.1f}em"
        below = [ipywidgets.HTML(shown.view) for shown in self._shows if shown.view]
        self._widget = ipywidgets.VBox(
            [*controls, Plot(packed, controls, values), *below],
            layout={"width": "100%"},  # or it is as narrow as can be in a row of boxes
        )
        if predict is not None:
            self._widget = ipywidgets.VBox([Cover(predict, self._widget.layout), self._widget])
        self.close = cells.closer(self, self._widget, self._frames)

    @property
    def widget(self) -> ipywidgets.VBox:
        """Controls and figure, to stand in a box or a tab; who holds it holds the Explorer."""
        self._widget.explorer = self
        if cells.is_busy():  # running that cell again closes it
            cells.shown(self)
        return self._widget

    @property
    def values(self) -> dict[str, Any]:
        """The value of each control now."""
        return {name: control.value for name, control in self.controls.items()}

    @property
    def figure(self) -> go.Figure:
        """The figure that the learner sees now, as a copy."""
        return go.Figure(self._frame["figure"])

    @property
    def sentence(self) -> str:
        """The sentence under the figure now, if any."""
        sentence: str = self._frame["words"]
        return sentence

    @property
    def _frame(self) -> dict[str, Any]:
        if not self.close.alive:
            raise RuntimeError("this Explorer was closed; run the cell that makes it again.")
        return self._frames[self._position]

    @property
    def _position(self) -> int:
        position = 0
        for stops, value in zip(self._stops.values(), self.values.values(), strict=True):
            values = list(stops.values)
            position = position * len(values) + values.index(value)
        return position

    def __repr__(self) -> str:
        """Return question, title, controls and what is shown: the same on any computer."""
        title = self._title
        lines = [
            *([] if self._predict is None else [self._predict.describe()]),
            re.sub(r"\s*<br>\s*", ": ", title),
            *(s.describe(n) for n, s in self._stops.items()),
            *filter(None, map(repr, self._shows)),
        ]
        return "\n  ".join(re.sub(r"<[^>]+>", "", line) for line in lines)

    def _repr_mimebundle_(self, **_: object) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the live view, or a picture for a notebook that is stored; and its metadata.

        These are whether it is covered, and the numbers behind what is shown.
        """
        drawn = self._frame
        metadata: dict[str, Any] = {"covered": self._predict is not None}
        for shown in self._shows:
            for name, rows in shown.metadata.items():
                metadata.setdefault(name, []).extend(rows)
        picture = {}
        if cells.is_stored():
            below = [line for shown in self._shows for line in _lines(shown.view)]
            picture = {"image/png": png(drawn, below)}
        return picture | cells.bundle(self, self._widget), metadata


def _stops(name: str, given: Iterable[Any] | Stops) -> Stops:
    try:
        return given if isinstance(given, Stops) else Stops(given)
    except ValueError as error:
        raise ValueError(f"control {name!r}: {error}") from None


def _call(draw: Callable[..., Any], values: dict[str, Any]) -> Any:
    try:
        return draw(**values)
    except Exception as error:
        raise RuntimeError(
            f"draw failed at {_words(values)}: {type(error).__name__}: {error}. Call it with "
            "these values by itself to see where, or leave the stop out."
        ) from error


def _too_large(n_bytes: Mapping[str, int], n_stops: int, where: str, maximum: int) -> str:
    largest, most = max(n_bytes.items(), key=lambda item: item[1])
    return (
        f"the figures of {len(n_bytes)} of {n_stops} stops need {sum(n_bytes.values()) / 1e6:.3g} "
        f"MB {where}; at most {maximum / 1e6:g} MB are allowed. The largest, {most / 1e6:.3g} MB, "
        f"is that of {largest}. Draw fewer points, or give fewer stops."
    )


def _check_clicks(frames: Sequence[Mapping[str, Any]], values: Mapping[str, Any]) -> None:
    named = {
        name
        for drawn in frames
        for trace in drawn["figure"]["data"]
        for names in dict(trace.get("meta") or {}).values()
        for name in ([names] if isinstance(names, str) else names)
    }
    if not named <= values.keys():
        raise ValueError(
            f"a trace's meta names {sorted(named - values.keys())}; the controls are {[*values]}."
        )


def _words(values: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in values.items()) or "its only stop"


def _lines(view: str) -> list[str]:
    """Return HTML as lines of text, for a picture."""
    text = re.sub(r"<[^>]+>", "", view.replace("</li>", "\n"))
    return html.unescape(text).strip().split("\n")
