"""All-reduce on simulated ranks: a schedule of messages, and what each rank holds after each."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Message:
    """One chunk, on its way from a rank to another.

    Parameters
    ----------
    sender, receiver : int
        Ranks, from 0.
    chunk : int
        Which one, from 0.
    adds : bool
        Whether the receiver adds it to its own chunk, or puts it in place of that.
    """

    sender: int
    receiver: int
    chunk: int
    adds: bool


def ring(n: int) -> list[list[Message]]:
    """Return the steps of a ring all-reduce among n ranks: in each, every rank sends one chunk on.

    In n - 1 steps the sums are made (reduce-scatter): then each rank holds one whole chunk. In
    n - 1 steps more they are handed round (all-gather). So a rank sends 2 (n - 1) chunks, each
    1 / n of the numbers: 2 (n - 1) / n of them, however large n is.

    Parameters
    ----------
    n : int
        Ranks, and as many chunks, from 1.

    References
    ----------
    Patarasuk and Yuan 2009, "Bandwidth optimal all-reduce algorithms for clusters of workstations",
    Journal of Parallel and Distributed Computing 69.
    """
    if n < 1:
        raise ValueError(f"n is {n}; give a whole number of ranks from 1.")
    scatter = [[Message(i, (i + 1) % n, (i - s) % n, True) for i in range(n)] for s in range(n - 1)]
    gather = [
        [Message(i, (i + 1) % n, (i + 1 - s) % n, False) for i in range(n)] for s in range(n - 1)
    ]
    return scatter + gather


def run(steps: Sequence[Sequence[Message]], numbers: ArrayLike) -> Iterator[NDArray[np.float64]]:
    """Yield what each rank holds, before the first step and after each.

    All messages of a step leave before one arrives.

    Parameters
    ----------
    steps : sequence of sequences of Message
    numbers : array_like
        Shape (ranks, chunks, ...): what each rank holds at first.

    Raises
    ------
    ValueError
        If a message names a rank or chunk that is not there, goes from a rank to itself, or meets
        another one at the same chunk of the same rank in the same step.
    """
    held = np.array(numbers, dtype=float)
    yield held.copy()
    for number, messages in enumerate(steps, 1):
        before = held.copy()
        taken: set[tuple[int, int]] = set()
        for message in messages:
            _check(message, number, len(held), held.shape[1], taken)
            place = message.receiver, message.chunk
            taken.add(place)
            sent = before[message.sender, message.chunk]
            held[place] = held[place] + sent if message.adds else sent
        yield held.copy()


def _check(
    message: Message, step: int, ranks: int, chunks: int, taken: set[tuple[int, int]]
) -> None:
    where = f"step {step}, {message}"
    limits = {"sender": ranks, "receiver": ranks, "chunk": chunks}
    for name, limit in limits.items():
        if not 0 <= getattr(message, name) < limit:
            raise ValueError(f"{where}: {name} must be from 0 to {limit - 1}.")
    if message.sender == message.receiver:
        raise ValueError(f"{where}: a rank needs no message to itself.")
    if (message.receiver, message.chunk) in taken:
        raise ValueError(f"{where}: another message of this step goes to the same chunk there.")


def n_sent(steps: Sequence[Sequence[Message]], ranks: int) -> NDArray[np.int64]:
    """Return how many chunks each rank sends, shape (ranks,)."""
    senders = [message.sender for messages in steps for message in messages]
    return np.bincount(senders, minlength=ranks).astype(np.int64)
