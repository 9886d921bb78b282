"""A program between a kernel and what it starts, so that nothing is left behind.

``python supervise.py command ...`` runs a command and ends with it. Standard input is a pipe whose
other end the kernel holds: once that is closed, by hand or because the kernel is gone, the command
is asked to end (SIGTERM, on which torchrun ends its ranks), and what is still there after some
seconds is killed. A killed kernel runs no ``finally``, and each rank of torchrun leads a session of
its own, so neither the kernel nor a signal to a group could do it.

It imports no torch, so it is there at once.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress

import psutil

GRACE = 5.0  # seconds, for what was asked to end
SHORT_GRACE = 1.0  # for what it had started
BETWEEN_LOOKS = 0.2  # seconds


def supervise(command: Sequence[str]) -> int:
    """Run a command until it ends or standard input does; return its exit code."""
    started = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    is_let_go = threading.Event()
    threading.Thread(target=_wait_for_the_end, args=[is_let_go], daemon=True).start()
    children: set[psutil.Process] = set()
    while started.poll() is None and not is_let_go.wait(BETWEEN_LOOKS):
        children |= _children(started.pid)
    children |= _children(started.pid)
    if started.poll() is None:
        started.terminate()
    with suppress(subprocess.TimeoutExpired):
        started.wait(GRACE)
    _, alive = psutil.wait_procs(children, timeout=SHORT_GRACE)
    _kill({*alive, *(child for each in alive for child in _children(each.pid))})
    started.kill()
    return started.wait()


def _wait_for_the_end(is_let_go: threading.Event) -> None:
    while os.read(0, 1):
        pass
    is_let_go.set()


def _children(pid: int) -> set[psutil.Process]:
    """Return all that a process started, and they in turn, if it is there."""
    try:
        return set(psutil.Process(pid).children(recursive=True))
    except psutil.NoSuchProcess:
        return set()


def _kill(processes: Iterable[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()


if __name__ == "__main__":
    sys.exit(supervise(sys.argv[1:]))
