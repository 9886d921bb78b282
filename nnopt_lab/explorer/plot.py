"""The widget that draws: figures in one bank, moved between in the browser by ``plot.js``."""

import gzip
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nnopt_lab.explorer import bank

import anywidget
import ipywidgets
import plotly.graph_objects as go
import traitlets
from plotly.offline import get_plotlyjs

_HERE = Path(__file__).parent


class _Library(anywidget.AnyWidget):
    """plotly.js, gzipped: one widget a kernel, so that it travels once."""

    _esm = "export default { render() {} }"
    code = traitlets.Bytes().tag(sync=True)


_library: _Library | None = None


def _shared_library() -> _Library:
    global _library
    if _library is None or _library.comm is None:
        _library = _Library(code=gzip.compress(get_plotlyjs().encode(), mtime=0))
    return _library


class Plot(anywidget.AnyWidget):
    """A figure with its sentence: all frames in one bank, and which controls choose among them.

    A new bank is drawn at once. While it is seen on a page, it sends a message, ``"here"``, every
    ``seconds_between_signs``; 0 for none.

    Parameters
    ----------
    packed : bytes
        Frames as ``bank.pack`` returns them, each with a ``figure`` and its ``words``.
    controls : sequence of widgets
        What chooses the frame; the last varies fastest.
    sizes : sequence of int
        The number of values of each control.
    """

    _esm = _HERE / "plot.js"
    _css = _HERE / "plot.css"
    controls: Any = traitlets.List().tag(sync=True, **ipywidgets.widget_serialization)
    library = traitlets.Any().tag(sync=True, **ipywidgets.widget_serialization)
    sizes: Any = traitlets.List().tag(sync=True)
    bank = traitlets.Bytes().tag(sync=True)
    seconds_between_signs = traitlets.Float(0).tag(sync=True)

    def __init__(
        self,
        packed: bytes,
        controls: Sequence[ipywidgets.Widget] = (),
        sizes: Sequence[int] = (),
        **traits: Any,
    ) -> None:
        super().__init__(
            bank=packed, controls=[*controls], sizes=[*sizes], library=_shared_library(), **traits
        )


def frame(figure: object, words: object, where: str) -> dict[str, Any]:
    """Return a figure and its sentence as a frame of a bank.

    Parameters
    ----------
    figure, words : object
        What ``draw`` and ``say`` of a learner returned.
    where : str
        For the error: at which values.

    Raises
    ------
    TypeError
        If they are no Figure and no text.
    """
    if not isinstance(figure, go.Figure):
        raise TypeError(
            f"draw returned {type(figure).__name__} at {where}; it must return a "
            "plotly.graph_objects.Figure."
        )
    if not isinstance(words, str):
        raise TypeError(f"say returned {type(words).__name__} at {where}; it must return a text.")
    return {"figure": bank.with_arrays(figure.to_plotly_json()), "words": words}


def png(drawn: Mapping[str, Any]) -> bytes:
    """Draw a frame with its sentence below, 900 pixels wide; needs kaleido and a Chromium."""
    figure = go.Figure(drawn["figure"])
    if drawn["words"]:
        lines = textwrap.wrap(drawn["words"], 120)
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
