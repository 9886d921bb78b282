"""Which cell shows what, so that running a cell again closes the widgets that it replaces."""

import os
import weakref
from typing import Any, Protocol

import ipywidgets
from IPython import get_ipython


class Closable(Protocol):
    """What a cell can show."""

    def close(self) -> object:
        """Close all widgets."""


class _Cells:
    """Listens to one kernel; a cell is known by the id that JupyterLab gives it."""

    def __init__(self, events: Any) -> None:
        self.shown: dict[str, list[Closable]] = {}
        self.replaced: list[Closable] = []
        self.running: str | None = None
        self.is_busy = False
        self.message = ""  # that the newest callback answers
        events.register("pre_run_cell", self.start)
        events.register("post_run_cell", self.end)

    def start(self, info: Any) -> None:
        """Remember what the cell showed before."""
        self.running = info.cell_id
        self.is_busy = True
        self.replaced += self.shown.pop(self.running or "", [])

    def answers(self, parent: dict[str, Any]) -> None:
        """Take note of the message that a callback answers: its widget is like a cell."""
        comm = parent.get("content", {}).get("comm_id")
        if comm is None:  # what a cell left running
            self.running = _cell_of(parent) or self.running
            return
        self.running = comm
        if parent["header"]["msg_id"] != self.message:
            self.message = parent["header"]["msg_id"]
            self.replaced += self.shown.pop(comm, [])
            self.close_replaced()

    def end(self, _result: object) -> None:
        """Close what is shown nowhere any more."""
        self.is_busy = False
        self.close_replaced()

    def close_replaced(self) -> None:
        """Close what was replaced, unless another cell shows it, too."""
        still = [item for items in self.shown.values() for item in items]
        for item in self.replaced:
            if not any(item is other for other in still):
                item.close()
        self.replaced = []


_cells: _Cells | None = None


def _parent() -> dict[str, Any]:
    """Return the message that the kernel answers now, if any."""
    return getattr(get_ipython(), "parent_header", None) or {}


def _cell_of(message: dict[str, Any]) -> str | None:
    cell: str | None = message.get("metadata", {}).get("cellId")
    return cell


def watch() -> None:
    """Begin to listen, once, if there is a kernel."""
    global _cells
    shell = get_ipython()
    if _cells is None and shell is not None:
        _cells = _Cells(shell.events)
        _cells.running = _cell_of(_parent())
        _cells.is_busy = True  # it is a cell that makes the first item


def shown(item: Closable) -> None:
    """Say that the cell, or else the callback, that runs now shows an item."""
    watch()
    if _cells is not None and not _cells.is_busy:
        _cells.answers(_parent())
    if _cells is not None and _cells.running is not None:
        _cells.shown.setdefault(_cells.running, []).append(item)


def is_busy() -> bool:
    """Whether a cell runs now."""
    return _cells is not None and _cells.is_busy


def is_stored() -> bool:
    """Whether the notebook runs to be stored: pictures instead of views that need this kernel."""
    return bool(os.environ.get("NNOPT_LAB_PNG"))


def bundle(item: Closable, widget: ipywidgets.Widget) -> dict[str, Any]:
    """Return what the running cell shows of an item: its live view, and its repr as the text.

    If the notebook is to be stored, the text alone.
    """
    shown(item)
    view = {} if is_stored() else widget._repr_mimebundle_()
    return {**view, "text/plain": repr(item)}


def closer(item: object, widget: ipywidgets.Widget, frames: list[Any] | None = None) -> Any:
    """Return what closes a widget, once: when it is called, or when its item is gone.

    The kernel may hold a closed item for long, as ``Out`` does; its frames are given up.
    """
    close = weakref.finalize(item, _close, widget, [] if frames is None else frames)
    close.atexit = False  # the kernel takes all with it
    return close


def _close(widget: ipywidgets.Widget, frames: list[Any]) -> None:
    close_widgets(widget)
    frames.clear()


def close_widgets(widget: ipywidgets.Widget) -> None:
    """Close a widget with its children, layout, style and bank, and their comms."""
    for child in getattr(widget, "children", ()):
        close_widgets(child)
    for name in ("layout", "style", "bank"):
        part = getattr(widget, name, None)
        if part is not None:
            part.close()
    widget.close()
