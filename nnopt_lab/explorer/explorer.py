"""``Explorer``: an ordinary function that returns a plotly figure, turned into sliders."""

import gzip
import re
import textwrap
import weakref
from collections.abc import Callable, Iterable
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

from nnopt_lab.explorer import bank, cells, ranges
from nnopt_lab.explorer.stops import Stops

import anywidget
import ipywidgets
import plotly.graph_objects as go
import traitlets
from plotly.offline import get_plotlyjs

MAXIMUM_STOPS = 2000
MAXIMUM_BYTES = 8_000_000

_HERE = Path(__file__).parent


class _Library(anywidget.AnyWidget):
    """plotly.js, gzipped: one widget a kernel, so that it travels once."""

    _esm = "export default { render() {} }"
    code = traitlets.Bytes().tag(sync=True)


class _Plot(anywidget.AnyWidget):
    """The figure: all frames in one bank, and which controls choose among them."""

    _esm = _HERE / "plot.js"
    _css = _HERE / "plot.css"
    controls: Any = traitlets.List().tag(sync=True, **ipywidgets.widget_serialization)
    library = traitlets.Any().tag(sync=True, **ipywidgets.widget_serialization)
    sizes: Any = traitlets.List().tag(sync=True)
    bank = traitlets.Bytes().tag(sync=True)


_library: _Library | None = None


def _shared_library() -> _Library:
    global _library
    if _library is None or _library.comm is None:
        _library = _Library(code=gzip.compress(get_plotlyjs().encode(), mtime=0))
    return _library


class Explorer:
    """Show a figure with a control for each argument of the function that draws it.

    ``draw`` is called at every combination of stops once, here and now; from then on the figure
    moves in the browser, also while the kernel is busy or gone. A figure without controls is
    ``Explorer(draw)``.

    Parameters
    ----------
    draw : callable
        Takes one keyword argument for each control; returns a ``plotly.graph_objects.Figure``.
        Anything may vary from stop to stop. An axis keeps one range over all stops unless ``draw``
        sets it.
    say : callable, optional
        Takes the same arguments; returns the sentence under the figure.
    **stops : iterable or Stops
        The values of each argument, all numbers, all words or all booleans.

    Attributes
    ----------
    controls : dict of str to ipywidgets.Widget
        Set ``controls["delta"].value`` and the figure follows.
    widget : ipywidgets.VBox
        Controls and figure.

    Raises
    ------
    ValueError
        If there are more than 2 000 combinations of stops, or the figures need over 8 MB.
    RuntimeError
        If ``draw`` or ``say`` fails at some stop.
    TypeError
        If ``draw`` does not return a Figure, or ``say`` no text.
    """

    def __init__(
        self,
        draw: Callable[..., go.Figure],
        say: Callable[..., str] | None = None,
        **stops: Iterable[Any] | Stops,
    ) -> None:
        self._stops = {n: s if isinstance(s, Stops) else Stops(s) for n, s in stops.items()}
        sizes = [len(list(s.values)) for s in self._stops.values()]
        if prod(sizes) > MAXIMUM_STOPS:
            raise ValueError(
                f"{' × '.join(map(str, sizes))} stops are {prod(sizes)} figures; at most "
                f"{MAXIMUM_STOPS} can be drawn. Give fewer values, or fewer controls."
            )
        combinations = [
            dict(zip(self._stops, values, strict=True))
            for values in product(*(s.values for s in self._stops.values()))
        ]
        self._figures = [_draw(draw, values) for values in combinations]
        ranges.share(self._figures)
        self._sentences = [_say(say, values) for values in combinations]
        packed = bank.pack(
            [
                {"figure": figure, "words": words}
                for figure, words in zip(self._figures, self._sentences, strict=True)
            ]
        )
        if len(packed) > MAXIMUM_BYTES:
            raise ValueError(
                f"the figures of {len(combinations)} stops need {len(packed) / 1e6:.1f} MB; at "
                f"most {MAXIMUM_BYTES / 1e6:g} MB are sent. Draw fewer points, or give fewer stops."
            )
        self.controls = {name: s.control(name) for name, s in self._stops.items()}
        plot = _Plot(
            controls=[*self.controls.values()], library=_shared_library(), sizes=sizes, bank=packed
        )
        self.widget = ipywidgets.VBox([*self.controls.values(), plot])
        self.close = weakref.finalize(self, cells.close_widgets, self.widget)
        self.close.atexit = False  # the kernel takes all with it

    @property
    def values(self) -> dict[str, Any]:
        """The value of each control now."""
        return {name: control.value for name, control in self.controls.items()}

    @property
    def figure(self) -> go.Figure:
        """The figure that the learner sees now, as a copy."""
        return go.Figure(self._figures[self._position])

    @property
    def sentence(self) -> str:
        """The sentence under the figure now; empty without ``say``."""
        return self._sentences[self._position]

    @property
    def _position(self) -> int:
        position = 0
        for stops, value in zip(self._stops.values(), self.values.values(), strict=True):
            values = list(stops.values)
            position = position * len(values) + values.index(value)
        return position

    def __repr__(self) -> str:
        """Return title and controls: what is the same on any computer."""
        title = self._figures[0]["layout"].get("title", {}).get("text", "")
        lines = [
            re.sub(r"\s*<br>\s*", ": ", title),
            *(s.describe(n) for n, s in self._stops.items()),
        ]
        return "\n  ".join(re.sub(r"<[^>]+>", "", line) for line in lines)

    def _repr_mimebundle_(self, **_: object) -> dict[str, Any]:
        """Return the live view; or, for a notebook that is stored, a picture."""
        if not self.close.alive:
            raise RuntimeError("this Explorer was closed; run the cell that makes it again.")
        cells.shown(self)
        picture = {"image/png": _png(self.figure, self.sentence)} if cells.is_stored() else {}
        return picture | cells.bundle(self.widget, repr(self))


def _draw(draw: Callable[..., go.Figure], values: dict[str, Any]) -> dict[str, Any]:
    figure = _call(draw, "draw", values)
    if not isinstance(figure, go.Figure):
        raise TypeError(
            f"draw returned {type(figure).__name__} at {_words(values)}; it must return a "
            "plotly.graph_objects.Figure."
        )
    drawn: dict[str, Any] = bank.with_arrays(figure.to_plotly_json())
    return drawn


def _say(say: Callable[..., str] | None, values: dict[str, Any]) -> str:
    sentence = "" if say is None else _call(say, "say", values)
    if not isinstance(sentence, str):
        raise TypeError(
            f"say returned {type(sentence).__name__} at {_words(values)}; it must return a text."
        )
    return sentence


def _call(function: Callable[..., Any], role: str, values: dict[str, Any]) -> Any:
    try:
        return function(**values)
    except Exception as error:
        raise RuntimeError(
            f"{role} failed at {_words(values)}: {type(error).__name__}: {error}. Call it with "
            "these values by itself to see where, or leave the stop out."
        ) from error


def _words(values: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in values.items()) or "its only stop"


def _png(figure: go.Figure, sentence: str) -> bytes:
    """Draw a figure with its sentence below, 900 pixels wide; needs kaleido and a Chromium."""
    if sentence:
        lines = textwrap.wrap(sentence, 120)
        room = 10 + 18 * len(lines)
        below = (figure.layout.margin.b or figure.layout.template.layout.margin.b or 80) + room
        height = figure.layout.height or figure.layout.template.layout.height or 450
        figure.update_layout(height=height + room, margin_b=below)
        figure.add_annotation(
            text="<br>".join(lines), font_size=12, showarrow=False, align="left",
            x=0, xref="paper", xanchor="left", xshift=-50,
            y=0, yref="paper", yanchor="bottom", yshift=-below,
        )  # fmt: skip
    picture: bytes = figure.to_image(format="png", width=900)
    return picture
