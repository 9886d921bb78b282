"""Simulated ranks, to see what an all-reduce does with a program: each rank is a thread."""

import ctypes
import threading
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from typing import Any

AllReduce = Callable[[Any], Any]


class HangError(RuntimeError):
    """Ranks wait in an all-reduce to which the others never come; the message names them."""


def run(program: Callable[[int, AllReduce], Any], n: int) -> list[Any]:
    """Run a program on n ranks, and return what it returns on each.

    The first all-reduce of a rank is paired with the first of every other, the second with the
    second, whatever they are meant for: so do gloo and NCCL.

    Parameters
    ----------
    program : callable
        ``program(rank, all_reduce)``; ``all_reduce(value)`` returns the sum over all ranks.
    n : int
        Ranks, from 1.

    Raises
    ------
    HangError
        If a rank waits for others that have ended; real ones would wait until their time limit.
    Exception
        What the first rank that failed raised.
    """
    if n < 1:
        raise ValueError(f"n is {n}; give a whole number of ranks from 1.")
    meeting, results, errors = _Meeting(n), [None] * n, {}

    def body(rank: int) -> None:
        try:
            results[rank] = program(rank, partial(meeting.all_reduce, rank))
        except (Exception, SystemExit) as error:  # it is raised again, where it is seen
            errors[rank] = error
        meeting.leave(rank)

    threads = [threading.Thread(target=body, args=[rank], daemon=True) for rank in range(n)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    except BaseException:  # an interrupt, or a time limit: no thread goes on
        for rank, thread in enumerate(threads):
            meeting.leave(rank)
            if thread.is_alive():
                _end(thread)
        raise
    failed = [rank for rank, error in errors.items() if not isinstance(error, HangError)]
    for rank in failed or sorted(errors):
        raise errors[rank]
    return results


def _end(thread: threading.Thread) -> None:
    """Raise SystemExit in a thread, at its next line of Python."""
    number = ctypes.c_ulong(thread.ident or 0)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(number, ctypes.py_object(SystemExit))


class _Meeting:
    """Where the values of each all-reduce come together."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.n_calls = [0] * n
        self.values: dict[int, dict[int, Any]] = {}  # by all-reduce and rank
        self.ended: set[int] = set()
        self.changed = threading.Condition()

    def all_reduce(self, rank: int, value: Any) -> Any:
        with self.changed:
            call = self.n_calls[rank]
            self.n_calls[rank] += 1
            mine = self.values.setdefault(call, {})
            mine[rank] = deepcopy(value)  # whatever the rank does with it later
            self.changed.notify_all()
            while len(mine) < self.n:
                if any(other not in mine for other in self.ended):
                    raise HangError(
                        f"rank {rank} waits in its all-reduce number {call + 1} for ever."
                    )
                self.changed.wait()
        return sum(mine[other] for other in range(self.n))

    def leave(self, rank: int) -> None:
        with self.changed:
            self.ended.add(rank)
            self.changed.notify_all()
