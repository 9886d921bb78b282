"""Start worker processes on this machine by torchrun, and take back what each rank found."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

HERE = Path(__file__).parent
BETWEEN_LOOKS = 0.05  # seconds
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
    if isinstance(processes, bool) or not isinstance(processes, int) or processes < 1:
        raise ValueError(f"processes is {processes!r}; give a whole number from 1.")
    with tempfile.TemporaryDirectory(prefix="nnopt_lab-") as name:
        folder = Path(name)
        (folder / "settings.json").write_text(json.dumps(dict(settings)))
        torchrun = [*options, f"--nproc-per-node={processes}", str(program), name]
        agent = [sys.executable, "-m", "nnopt_lab.distributed.launch", name, *torchrun]
        with (folder / "said").open("wb") as said:
            supervisor = subprocess.Popen(
                [sys.executable, str(HERE / "supervise.py"), *agent],
                stdin=subprocess.PIPE, stdout=said, stderr=said,
                start_new_session=True,  # an interrupt of the kernel is not one of theirs
                env={**os.environ, "OMP_NUM_THREADS": "1"},
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
    steps: int = 20,
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
        That are measured.
    report, stop : callable
        As for ``launch``.

    Returns
    -------
    xarray.Dataset, or None if it was stopped
        By ``width``, ``batch``, ``rank`` and ``step``, in seconds: ``start``, ``computation``,
        ``wait`` (for the slowest) and ``all_reduce`` of a step in which one follows the other, and
        ``overlapped``, a step of ``DistributedDataParallel``. By ``width``, ``batch`` and ``rank``:
        ``apart`` and ``apart_without_sync``, the distance of the gradient from that of one process
        on the samples of all, as a share of its length.

    Raises
    ------
    ValueError, RankError
        As ``launch``.
    """
    cases = [{"width": width, "batch": batch} for width in widths for batch in batches]
    if not cases or min(min(case.values()) for case in cases) < 1 or steps < 1:
        raise ValueError(
            f"widths is {[*widths]}, batches is {[*batches]}, steps is {steps}; give whole numbers "
            "from 1."
        )
    settings = {"cases": cases, "steps": steps}
    found = launch(HERE / "worker.py", processes, settings, report=report, stop=stop)
    if not found:
        return None
    named = {"width": list(widths), "batch": list(batches), "rank": range(processes)}
    axes, shape = [*named, "step"], [len(axis) for axis in named.values()]

    def by_case(name: str) -> NDArray[np.float64]:
        rows = np.array([[case[name] for case in rank] for rank in found])  # by rank and case
        return np.moveaxis(rows, 0, 1).reshape(*shape, *rows.shape[2:])

    times = by_case("phases")
    parts = dict(
        zip(("computation", "wait", "all_reduce"), np.moveaxis(np.diff(times), -1, 0), strict=True)
    )
    return xr.Dataset(
        {
            "start": (axes, times[..., 0] - times[..., 0].min((2, 3), keepdims=True)),
            **{name: (axes, part) for name, part in parts.items()},
            "overlapped": (axes, by_case("step")),
            **{name: (axes[:-1], by_case(name)) for name in ("apart", "apart_without_sync")},
        },
        named,
    )


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


def _agent(folder: str, arguments: Sequence[str]) -> int:
    """Be ``torch.distributed.run``, and write which rank failed first, if one did."""
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    try:
        run.main(list(arguments))
    except ChildFailedError as error:
        Path(folder, "failed.json").write_text(json.dumps(_first(error)))
        return 1
    return 0


def _first(error: Any) -> str:
    """Return which rank failed first, and how.

    One that was killed comes before those that raised, which may have missed it; torchrun itself
    sends SIGTERM to those that are left.
    """
    order = {-signal.SIGTERM: 2}
    rank, first = min(
        error.failures.items(),
        key=lambda item: (order.get(item[1].exitcode, item[1].exitcode > 0), item[1].timestamp),
    )
    if first.exitcode < 0:
        return f"rank {rank} was ended by {first.signal_name()}."
    return f"rank {rank} raised {_words(first.message)}"


def _words(message: Any) -> str:
    """Return what a rank raised; one that recorded it did so with its traceback."""
    return str(message["message"] if isinstance(message, dict) else message)


if __name__ == "__main__":
    sys.exit(_agent(sys.argv[1], sys.argv[2:]))
