"""Start worker processes on this machine by torchrun, and take back what each rank found."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nnopt_lab.arguments import whole
from nnopt_lab.distributed.scaling import BYTES, FITTED, Free, link_of, predict
from nnopt_lab.distributed.worker import FAULTS, SAMPLES, network

import numpy as np
import xarray as xr
from numpy.typing import NDArray

HERE = Path(__file__).parent
BETWEEN_LOOKS = 0.05  # seconds
# One thread a process; and a group that starts again must not find the addresses of its last life
# (pytorch issue 135712, still so in 2.13).
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
LAST_LINES = 20  # of what the processes said, in an error


class RankError(RuntimeError):
    """A rank raised, was killed, or never arrived; the message names it."""


def launch(
    program: Path | str,
    processes: int,
    settings: Mapping[str, Any],
    *,
    report: Callable[[float], object] = lambda share: None,
    stop: Callable[[], bool] = lambda: False,
    options: Sequence[str] = ("--standalone",),
) -> list[Any]:
    """Run a program in several processes by torchrun, one thread each, and return their results.

    Whatever ends this call, an exception, an interrupt, the death of this process, ends them, too.

    Parameters
    ----------
    program : path
        Run as ``program folder`` in each process: it reads ``folder/settings.json``, writes what it
        finds to ``folder/<rank>.json``, and may write the share of the work that is done, from 0
        to 1, to ``folder/share``.
    processes : int
        How many, from 1.
    settings : mapping
        For the program; what JSON can hold.
    report : callable
        Called with the share of the work that is done, whenever there is news.
    stop : callable
        Asked all the time; once it is true, all end.
    options : sequence of str
        Of ``torch.distributed.run``, besides the number of processes.

    Returns
    -------
    list
        What each rank wrote; empty if it was stopped.

    Raises
    ------
    ValueError
        If ``processes`` is no whole number from 1.
    RankError
        If a rank failed.
    """
    processes = whole("processes", processes)
    with tempfile.TemporaryDirectory(prefix="nnopt_lab-") as name:
        folder = Path(name)
        (folder / "settings.json").write_text(json.dumps(dict(settings)))
        torchrun = [*options, f"--nproc-per-node={processes}", str(program), name]
        agent = [sys.executable, "-m", "nnopt_lab.distributed.agent", name, *torchrun]
        with (folder / "said").open("wb") as said:
            supervisor = subprocess.Popen(
                [sys.executable, str(HERE / "supervise.py"), *agent],
                stdin=subprocess.PIPE, stdout=said, stderr=said,
                start_new_session=True,  # an interrupt of the kernel is not one of theirs
                env={**os.environ, **ENVIRONMENT},
            )  # fmt: skip
        try:
            is_stopped = _follow(supervisor, folder, report, stop)
        finally:
            if supervisor.stdin is not None:
                supervisor.stdin.close()  # it ends all, and then itself
            code = supervisor.wait()
        if is_stopped:
            return []
        if code:
            raise RankError(_why(folder))
        return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(processes)]


def measure(
    processes: int,
    widths: Sequence[int],
    batches: Sequence[int],
    *,
    steps: int = 10,
    fault: str | None = None,
    report: Callable[[float], object] = lambda share: None,
    stop: Callable[[], bool] = lambda: False,
) -> xr.Dataset | None:
    """Train small networks in several processes, and return how long each phase of a step took.

    Parameters
    ----------
    processes : int
        How many, from 1; each takes one core.
    widths, batches : sequence of int
        Neurons a layer, and samples of a process, from 1 each: every pair is run.
    steps : int
        Whose phases are measured.
    fault : {None, "raises", "is killed", "never arrives"}
        What the last of several processes does instead of its work.
    report, stop : callable
        As for ``launch``.

    Returns
    -------
    xarray.Dataset, or None if it was stopped
        In seconds, by ``width``, ``batch`` and ``device`` (a process), of each ``step`` in which an
        all-reduce follows the computation: ``start``, ``computation``, ``wait`` (for the slowest)
        and ``all_reduce``; without ``device``, ``slowest``, the one that all wait for. Of each
        ``block`` of steps, ``loop``: their mean in an ordinary loop or, if there are several
        processes, under ``DistributedDataParallel``. ``apart`` and ``apart_without_sync``: how far
        the gradient is from that of one process on the samples of all, as a share of its length.
        By ``width``: ``parameters``.

    Raises
    ------
    ValueError, RankError
        As ``launch``.
    """
    widths = [whole("a width", width) for width in widths]
    batches = [whole("a batch", batch) for batch in batches]
    steps = whole("steps", steps)
    cases = [{"width": width, "batch": batch} for width in widths for batch in batches]
    if not cases:
        raise ValueError(f"widths is {widths}, batches is {batches}; give whole numbers from 1.")
    needed = processes * max(batches)
    if needed > SAMPLES:
        raise ValueError(
            f"{processes} processes with {max(batches)} samples each need {needed}; there are "
            f"{SAMPLES}: give smaller batches or fewer processes."
        )
    if fault is not None and (fault not in FAULTS or processes == 1):
        raise ValueError(
            f"fault is {fault!r} with processes = {processes}; give one of {', '.join(FAULTS)}, or "
            "None, and from 2 processes on: one fails, the others notice."
        )
    settings = {"cases": cases, "steps": steps, "fault": fault}
    found = launch(HERE / "worker.py", processes, settings, report=report, stop=stop)
    if not found:
        return None
    named = {"width": list(widths), "batch": list(batches), "device": range(processes)}
    axes, shape = [*named, "step"], [len(axis) for axis in named.values()]

    def by_case(name: str) -> NDArray[np.float64]:
        rows = np.array([[case[name] for case in rank] for rank in found])  # by device and case
        return np.moveaxis(rows, 0, 1).reshape(*shape, *rows.shape[2:])

    begin, computed, reduced = np.moveaxis(by_case("phases"), -1, 0)
    ready = computed.max(2, keepdims=True)  # the clock is the machine's
    parts = {
        "start": begin - begin.min((2, 3), keepdims=True),
        "computation": computed - begin,
        "wait": ready - computed,
        "all_reduce": reduced - ready,
    }
    return xr.Dataset(
        {
            **{name: (axes, part) for name, part in parts.items()},
            "slowest": ([*axes[:2], "step"], computed.argmax(2)),
            "parameters": ("width", [_n_parameters(width) for width in widths]),
            "loop": ([*axes[:-1], "block"], by_case("block")),
            **{name: (axes[:-1], by_case(name)) for name in ("apart", "apart_without_sync")},
        },
        named,
    )


def speed_ups(
    runs: Mapping[int, xr.Dataset], width: int, batch: int, *, scaling: str
) -> xr.Dataset:
    """Return how many times as many samples a second as one process, measured and modelled.

    Parameters
    ----------
    runs : mapping of int to xarray.Dataset
        By the number of processes, 1 and 2 among them, what ``measure`` returned, of this batch
        and, to share it out, its parts.
    width, batch : int
        Of the network, and of one process's step.
    scaling : {"weak", "strong"}
        Whether each process keeps its batch, or the batch is shared out.

    Returns
    -------
    xarray.Dataset
        ``measured``, by ``processes`` and ``block``, against the median block of one; ``modelled``
        by ``processes``: the model knows what a process takes for its batch alone, and the link
        that the all-reduces of two processes tell of, those of the smallest and of the largest
        network. Nothing hides: what sends needs the cores that compute.
    """
    ends = runs[2].isel(width=[0, -1])
    n_bytes, reduced = BYTES * ends.parameters, ends.all_reduce.median(["batch", "device", "step"])
    link = link_of(tuple(n_bytes.values.tolist()), tuple(reduced.values.tolist()), 2)
    nothing_hides = Free(tax=FITTED.tax, hidden=0)
    parameters, shared = float(runs[1].parameters.sel(width=width)), scaling == "strong"

    def seconds(n: int, size: int) -> xr.DataArray:
        found: xr.DataArray = runs[n].loop.sel(width=width, batch=size, drop=True).max("device")
        return found

    one, measured, modelled = float(seconds(1, batch).median()), [], []
    for n in runs:
        size, gain = (batch // n, 1) if shared else (batch, n)
        alone = float(seconds(1, size).median())
        model = predict(parameters, alone, [n], link=link, free=nothing_hides)
        measured.append(gain * one / seconds(n, size))
        modelled.append(gain * one / model.step.item())
    processes = xr.IndexVariable("processes", [*runs])
    return xr.Dataset(
        {"measured": xr.concat(measured, processes), "modelled": ("processes", modelled)}
    )


def _n_parameters(width: int) -> int:
    return sum(parameter.numel() for parameter in network(width).parameters())


def _follow(
    supervisor: subprocess.Popen[bytes],
    folder: Path,
    report: Callable[[float], object],
    stop: Callable[[], bool],
) -> bool:
    """Report until the processes end, or return true once they are to be stopped."""
    news, last = folder / "share", ""
    while supervisor.poll() is None:
        if stop():
            return True
        now = news.read_text() if news.exists() else ""
        if now != last and now:
            last = now
            report(float(now))
        time.sleep(BETWEEN_LOOKS)
    return False


def _why(folder: Path) -> str:
    """Return which rank failed, and how."""
    failed = folder / "failed.json"
    if failed.exists():
        return str(json.loads(failed.read_text()))
    lines = (folder / "said").read_text(errors="replace").splitlines()
    return "\n".join(["the processes did not start; they said:", *lines[-LAST_LINES:]])
