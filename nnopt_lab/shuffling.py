"""Shuffling: in which order the samples of an epoch are seen.

An order is a function epoch -> indices of training samples, (m,) for all networks or (K, m): a
value for the argument ``order`` of ``train``.

================= ==============================================================================
by chance         ``reshuffled`` (the default), ``shuffled_once``, ``with_replacement``
of a stream       ``streamed`` as it stands, ``shards`` in random order, both through ``buffered``
across workers    ``sampled``, torch's rule, and ``local``, each in its part; ``rank_by_rank``
how mixed         ``class_entropy`` of each batch, ``expected_class_entropy`` of a perfect shuffle
================= ==============================================================================
"""

import math
from collections.abc import Callable, Sequence

from nnopt_lab.arguments import check_samples, whole

import numpy as np
import torch
from torch import Generator, Tensor

Order = Callable[[int], Tensor]


def _by_seed(seeds: Sequence[int], draw: Callable[[Generator], Tensor], *stream: int) -> Order:
    """Return an order that draws anew for each seed and epoch; equal seeds see equal orders."""
    distinct, rows = np.unique(np.asarray(seeds), return_inverse=True)

    def order(epoch: int) -> Tensor:
        return torch.stack([draw(_generator(seed, epoch, *stream)) for seed in distinct])[rows]

    return order


def _generator(*numbers: int) -> Generator:
    stream = np.random.SeedSequence([int(number) for number in numbers])
    return Generator().manual_seed(int(stream.generate_state(1)[0]))


def reshuffled(n: int, seeds: Sequence[int]) -> Order:
    """Return the default order: a new permutation for each seed and epoch.

    Parameters
    ----------
    n : int
        How many samples there are.
    seeds : sequence of int
        One for each network.

    Returns
    -------
    callable
        epoch -> indices, shape (K, n); networks of equal seed see equal orders.
    """
    return _by_seed(seeds, lambda generator: torch.randperm(n, generator=generator))


def shuffled_once(n: int, seeds: Sequence[int]) -> Order:
    """Return the first permutation of ``reshuffled``, the same in every epoch, shape (K, n)."""
    first = reshuffled(n, seeds)(0)
    return lambda _epoch: first


def with_replacement(n: int, seeds: Sequence[int]) -> Order:
    """Return n independent draws for each seed and epoch, shape (K, n): some often, some not."""
    return _by_seed(seeds, lambda generator: torch.randint(n, (n,), generator=generator))


def streamed(indices: Tensor) -> Order:
    """Return the same sequence in every epoch, as a file is read from its beginning.

    Parameters
    ----------
    indices : Tensor
        Shape (m,); ``y.argsort(stable=True)`` is data sorted by class.
    """
    return lambda _epoch: indices


def shards(indices: Tensor, n_shards: int, seeds: Sequence[int]) -> Order:
    """Return a sequence in ``n_shards`` pieces, the pieces in a new random order each epoch.

    As files of a large data set are read: each from its beginning to its end.

    Parameters
    ----------
    indices : Tensor
        Shape (m,).
    n_shards : int
        From 1 to m.
    seeds : sequence of int
        One for each network.

    Returns
    -------
    callable
        epoch -> indices, shape (K, m).

    Raises
    ------
    ValueError
        If there are not so many samples.
    """
    n_shards = whole("n_shards", n_shards, most=len(indices))
    pieces = indices.tensor_split(n_shards)

    def draw(generator: Generator) -> Tensor:
        return torch.cat([pieces[i] for i in torch.randperm(n_shards, generator=generator)])

    return _by_seed(seeds, draw, 1)


def buffered(order: Order, size: int, seeds: Sequence[int]) -> Order:
    """Return an order as a shuffle buffer gives it out: a random one of those it holds at a time.

    Parameters
    ----------
    order : callable
        What streams in, (m,) or (K, m).
    size : int
        How many samples the buffer holds, from 1, which changes nothing; from m on it shuffles all.
    seeds : sequence of int
        One for each network.

    Returns
    -------
    callable
        epoch -> indices, shape (K, m).

    Raises
    ------
    ValueError
        If ``size`` is no whole number from 1.

    References
    ----------
    As the buffers of ``torch.utils.data``, ``tf.data`` and WebDataset do, each with an end of its
    own: here what is left at the end of the stream comes out in random order.
    """
    size = whole("size", size)

    def shuffled(epoch: int) -> Tensor:
        stream = order(epoch)
        rows = stream.expand(len(seeds), -1)
        known: dict[tuple[int, bytes], Tensor] = {}  # equal streams of equal seeds come out equal
        given = []
        for row, seed in zip(rows, seeds, strict=True):
            key = int(seed), row.numpy().tobytes()
            if key not in known:
                chance = _generator(seed, epoch, 2)
                known[key] = torch.tensor(through_buffer(row.tolist(), size, chance))
            given.append(known[key])
        return torch.stack(given)

    return shuffled


def through_buffer(stream: Sequence[int], size: int, generator: Generator) -> list[int]:
    """Return a sequence in the order in which a shuffle buffer of some size gives it out."""
    held, rest = [*stream[:size]], stream[size:]
    slots = torch.randint(len(held), (len(rest),), generator=generator).tolist()
    given = []
    for new, slot in zip(rest, slots, strict=True):
        given.append(held[slot])
        held[slot] = new
    last = torch.randperm(len(held), generator=generator).tolist()
    return given + [held[slot] for slot in last]


def sampled(
    n: int, n_workers: int, seeds: Sequence[int], batch_size: int, *, set_epoch: bool = True
) -> Order:
    """Return what workers with torch's ``DistributedSampler(shuffle=True)`` see, rank by rank.

    Parameters
    ----------
    n : int
        How many samples there are. What does not divide among the workers is filled up from the
        beginning, so that some are seen twice.
    n_workers : int
        From 1.
    seeds : sequence of int
        Of the samplers, one for each network. Torch seeds by seed + epoch: take them far apart.
    batch_size : int
        Of all workers together.
    set_epoch : bool
        Whether ``sampler.set_epoch`` is called before each epoch.

    Returns
    -------
    callable
        epoch -> indices, shape (K, m): m is n, filled up.

    Raises
    ------
    ValueError
        If the batch does not divide among the workers.
    """

    def order(epoch: int) -> Tensor:
        rows = []
        for seed in seeds:
            generator = Generator().manual_seed(int(seed) + epoch * set_epoch)
            shuffled = torch.randperm(n, generator=generator)
            total = math.ceil(n / n_workers) * n_workers
            filled = shuffled.repeat(math.ceil(total / n))[:total]
            rows.append(filled.view(-1, n_workers).T)
        return rank_by_rank(torch.stack(rows), batch_size)

    return order


def local(indices: Tensor, n_workers: int, seeds: Sequence[int], batch_size: int) -> Order:
    """Return what workers see that keep a part of the data each, and reshuffle that alone.

    Parameters
    ----------
    indices : Tensor
        Shape (m,): the first worker holds the first part of it, and so on. What does not divide
        among the workers is left out.
    n_workers : int
        From 1 to m.
    seeds : sequence of int
        One for each network.
    batch_size : int
        Of all workers together.

    Returns
    -------
    callable
        epoch -> indices, shape (K, m), rank by rank in each step.

    Raises
    ------
    ValueError
        If there are more workers than samples, or the batch does not divide among them.
    """
    n_workers = whole("n_workers", n_workers, most=len(indices))
    parts = indices[: len(indices) // n_workers * n_workers].view(n_workers, -1)

    def draw(generator: Generator) -> Tensor:
        rows = [part[torch.randperm(len(part), generator=generator)] for part in parts]
        return rank_by_rank(torch.stack(rows), batch_size)

    return _by_seed(seeds, draw, 3)


def rank_by_rank(parts: Tensor, batch_size: int) -> Tensor:
    """Return what N workers see as one sequence: in each batch the share of each worker in turn.

    Parameters
    ----------
    parts : Tensor
        Shape (..., N, m). ``tensor_split(N)`` of a batch is what each worker has of it.
    batch_size : int
        Of all workers together.

    Returns
    -------
    Tensor
        Shape (..., N m).

    Raises
    ------
    ValueError
        If the batch does not divide among the workers.
    """
    n_workers = parts.shape[-2]
    if batch_size % n_workers or batch_size < n_workers:
        raise ValueError(
            f"a batch of {batch_size} does not divide among {n_workers} workers; give a multiple."
        )
    steps = parts.split(batch_size // n_workers, dim=-1)
    return torch.cat([step.flatten(-2) for step in steps], -1)


def class_entropy(y: Tensor, order: Tensor, batch_size: int) -> Tensor:
    """Return how mixed the classes of each batch are, in bits: 0 for a single class.

    Parameters
    ----------
    y : Tensor
        Classes, whole numbers from 0, shape (samples,).
    order : Tensor
        Indices, shape (..., m).
    batch_size : int
        A last, short batch is left out.

    Returns
    -------
    Tensor
        Shape (..., batches).

    Raises
    ------
    TypeError, ValueError
        If the classes are none, or there is no whole batch.
    """
    check_samples(y, y)
    batch_size = whole("batch_size", batch_size, most=order.shape[-1])
    classes = y[order].unfold(-1, batch_size, batch_size)
    counts = (classes.unsqueeze(-1) == torch.arange(int(y.max()) + 1)).sum(-2)
    share = counts.double() / batch_size
    return -torch.xlogy(share, share).sum(-1) / math.log(2)


def expected_class_entropy(y: Tensor, batch_size: int) -> float:
    """Return the mean ``class_entropy`` of batches of a perfect shuffle, in bits.

    It is less than that of the whole: a batch is a small sample. The number of each class in a
    batch is hypergeometric.

    Parameters
    ----------
    y : Tensor
        Classes, whole numbers from 0, shape (samples,).
    batch_size : int
    """
    check_samples(y, y)
    batch_size = whole("batch_size", batch_size, most=len(y))
    drawn = torch.arange(batch_size + 1, dtype=torch.float64)
    share = drawn / batch_size
    bits = -torch.xlogy(share, share) / math.log(2)
    total = 0.0
    for count in torch.bincount(y).double():
        possible = (drawn <= count) & (batch_size - drawn <= len(y) - count)
        logs = _log_choose(count, drawn) + _log_choose(len(y) - count, batch_size - drawn)
        logs = logs - _log_choose(torch.tensor(float(len(y))), torch.tensor(float(batch_size)))
        total += float((logs.exp() * bits)[possible].sum())
    return total


def _log_choose(n: Tensor, k: Tensor) -> Tensor:
    return torch.lgamma(n + 1) - torch.lgamma(k + 1) - torch.lgamma(n - k + 1)
