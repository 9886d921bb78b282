"""The widget that draws: figures in one bank, moved between in the browser by ``plot.js``."""

import gzip
import json
import math
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

# Pixels in a stored picture. In the browser the title stands above the figure, as text of the page.
MARGIN_TOP, TITLE_HEIGHT, LINE_HEIGHT = 30, 34, 18


class _Parcel(ipywidgets.Widget):  # type: ignore[misc]  # it has no types
    """Bytes for the page.

    Not an AnyWidget: where its code takes over 2 s to load, as on a busy page, that one is deaf to
    the kernel from then on.
    """

    value = traitlets.Bytes().tag(sync=True)


_library: _Parcel | None = None


def _shared_library() -> _Parcel:
    """Return plotly.js, gzipped: one widget a kernel, so that it travels once."""
    global _library
    if _library is None or _library.comm is None:
        _library = _Parcel(value=gzip.compress(get_plotlyjs().encode(), mtime=0))
    return _library


class Plot(anywidget.AnyWidget):
    """A figure with its sentence: all frames in one bank, and which controls choose among them.

    A new value of ``bank`` is drawn at once. While it is seen on a page, it sends a message,
    ``"here"``, every ``seconds_between_signs``; 0 for none.

    Parameters
    ----------
    packed : bytes
        Frames as ``bank.pack`` returns them, each with a ``figure`` and its ``words``.
    controls : sequence of widgets
        They get names for who does not see them, and choose the frame, the last fastest,
    stops : mapping of str to sequence
        if their values are given, by the name of each.
    """

    _esm = _HERE / "plot.js"
    _css = _HERE / "plot.css"
    controls: Any = traitlets.List().tag(sync=True, **ipywidgets.widget_serialization)
    library = traitlets.Any().tag(sync=True, **ipywidgets.widget_serialization)
    stops: Any = traitlets.Dict().tag(sync=True)
    bank = traitlets.Any().tag(sync=True, **ipywidgets.widget_serialization)
    seconds_between_signs = traitlets.Float(0).tag(sync=True)

    def __init__(
        self,
        packed: bytes,
        controls: Sequence[ipywidgets.Widget] = (),
        stops: Mapping[str, Sequence[Any]] | None = None,
        **traits: Any,
    ) -> None:
        super().__init__(
            bank=_Parcel(value=packed),
            controls=[*controls],
            stops={name: [*values] for name, values in (stops or {}).items()},
            library=_shared_library(),
            **traits,
        )


def frame(drawn: object, where: str, words: str = "") -> dict[str, Any]:
    """Return a figure and its sentence as a frame of a bank.

    Parameters
    ----------
    drawn : object
        What ``draw`` of a learner returned: a figure, or a figure and its sentence.
    where : str
        For the error: at which values.
    words : str
        The sentence of a figure that came alone.

    Raises
    ------
    TypeError
        If it is neither, or holds what plotly cannot send.
    ValueError
        If the figure holds an animation of its own.
    """
    figure, sentence = drawn if isinstance(drawn, tuple) and len(drawn) == 2 else (drawn, words)
    if not isinstance(figure, go.Figure) or not isinstance(sentence, str):
        kinds = " and ".join(type(part).__name__ for part in (figure, sentence))
        raise TypeError(
            f"draw returned {kinds if isinstance(drawn, tuple) else type(drawn).__name__} at "
            f"{where}; it must return a plotly.graph_objects.Figure, or one and its sentence."
        )
    if figure.frames:
        raise ValueError(
            f"the figure at {where} holds {len(figure.frames)} frames of an animation, which would "
            "not play; draw one of them, and let a control of Explorer choose which."
        )
    try:
        sent = json.loads(figure.to_json(validate=False))  # dates and all, as plotly sends them
    except TypeError as error:
        raise TypeError(f"the figure at {where} holds what plotly cannot send: {error}.") from error
    return {"figure": bank.with_arrays(sent), "words": sentence}


def png(drawn: Mapping[str, Any], below: Sequence[str] = ()) -> bytes:
    """Draw a frame with its title above and its sentence below, 900 pixels wide.

    Parameters
    ----------
    drawn : mapping
        A frame.
    below : sequence of str
        Further lines below the sentence.

    It needs kaleido and a Chromium.
    """
    figure = go.Figure(drawn["figure"])
    size = {**figure.layout.template.layout.to_plotly_json(), **figure.layout.to_plotly_json()}
    margin = {"t": MARGIN_TOP, "b": 80, "l": 80, **size.get("margin", {})}
    above = TITLE_HEIGHT * bool(figure.layout.title.text) + _legend_height(figure, "bottom")
    beneath = max(_legend_height(figure, "top") - 22, 0)  # the margin holds one row
    margin["b"] += beneath
    texts = [drawn["words"], *below]
    lines = [line for text in texts for line in textwrap.wrap(text, 120)]
    room = 10 + LINE_HEIGHT * len(lines) if lines else 0
    if lines:
        figure.add_annotation(
            text="<br>".join(lines), font_size=12, showarrow=False, align="left",
            x=0, xref="paper", xanchor="left", xshift=10 - margin["l"],
            y=0, yref="paper", yanchor="bottom", yshift=-margin["b"] - room,
        )  # fmt: skip
    figure.update_layout(
        height=size.get("height", 450) + above + beneath + room,
        margin={"t": margin["t"] + above, "b": margin["b"] + room},
        title={"y": 1, "yref": "container", "yanchor": "top", "pad": {"t": 12}},
    )
    picture: bytes = figure.to_image(format="png", width=900)
    return picture


def _legend_height(figure: go.Figure, anchor: str) -> int:
    """Return about how much room a legend needs that is anchored above ("bottom") or below."""
    names = [t.name for t in figure.data if t.name and t.showlegend is not False]
    if len(names) < 2 or figure.layout.legend.yanchor != anchor:
        return 0
    lines = [name.split("<br>") for name in names]
    rows = math.ceil(sum(60 + 7 * max(map(len, parts)) for parts in lines) / 800)
    return 22 * rows + 18 * (max(map(len, lines)) - 1)
