"""Simulated ranks against sums by hand, and what real ones do wrong."""

import signal
import threading
import time

from nnopt_lab.distributed import ranks

import pytest
import torch


def test_each_rank_gets_the_sum_of_each_all_reduce():
    def program(rank, all_reduce):
        return [all_reduce(rank), all_reduce(10 * rank), all_reduce(torch.ones(2)).tolist()]

    for n in (1, 2, 5):
        total = sum(range(n))
        assert ranks.run(program, n) == [[total, 10 * total, [n, n]]] * n


def test_a_rank_may_go_on_with_what_it_gave():
    def program(rank, all_reduce):
        mine = torch.ones(2)
        found = [all_reduce(mine)]
        for _ in range(50):
            mine += 1
            found.append(all_reduce(mine))
        return [each[0].item() for each in found]

    assert ranks.run(program, 3) == [[3.0 * (1 + k) for k in range(51)]] * 3


def test_all_reduces_are_paired_by_their_order():
    def program(rank, all_reduce):
        first = all_reduce(7) if rank == 0 else None
        return first, all_reduce(1 + rank)

    with pytest.raises(ranks.HangError, match="rank 0 waits in its all-reduce number 2 for ever"):
        ranks.run(program, 2)
    met = []

    def watched(rank, all_reduce):
        met.append(all_reduce(7 if rank == 0 else 2))
        return all_reduce(1) if rank == 0 else None

    with pytest.raises(ranks.HangError):
        ranks.run(watched, 2)
    assert met == [9, 9]


def test_what_a_rank_raises_comes_before_those_that_wait_for_it():
    def program(rank, all_reduce):
        if rank == 1:
            raise KeyError("lost")
        return all_reduce(1)

    with pytest.raises(KeyError, match="lost"):
        ranks.run(program, 3)
    with pytest.raises(ValueError, match="n is 0; give a whole number"):
        ranks.run(program, 0)


def test_an_interrupt_ends_all_threads():
    before, caller = threading.active_count(), threading.get_ident()

    def program(rank, all_reduce):
        if rank == 0:
            return all_reduce(1)
        signal.pthread_kill(caller, signal.SIGINT)
        while True:
            pass

    with pytest.raises(KeyboardInterrupt):
        ranks.run(program, 2)
    end = time.monotonic() + 20
    while threading.active_count() > before:
        assert time.monotonic() < end
        time.sleep(0.01)
