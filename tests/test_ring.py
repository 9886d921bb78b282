import re

from nnopt_lab.distributed.ring import Message, n_sent, ring, run

import numpy as np
import pytest


@pytest.mark.parametrize("n", [1, 2, 3, 4, 7])
def test_all_ranks_end_with_the_sum(n):
    numbers = np.random.default_rng(n).normal(size=(n, n, 5))
    *_, last = run(ring(n), numbers)
    np.testing.assert_allclose(last, np.broadcast_to(numbers.sum(0), (n, n, 5)))


@pytest.mark.parametrize("n", [2, 5, 16])
def test_how_many_messages_and_how_much(n):
    steps = ring(n)
    assert len(steps) == 2 * (n - 1)
    assert (n_sent(steps, n) == 2 * (n - 1)).all()  # chunks of 1 / n: 2 (n - 1) / n of the numbers


def test_who_sends_nothing_counts_too():
    assert n_sent([[Message(0, 1, 0, True)]], 3).tolist() == [1, 0, 0]


def test_half_way_each_rank_holds_one_whole_chunk():
    n, numbers = 4, np.arange(16).reshape(4, 4)
    half = [*run(ring(n), numbers)][n - 1]
    whole = np.isclose(half, numbers.sum(0))
    assert whole.sum(0).tolist() == whole.sum(1).tolist() == [1] * n


def test_messages_of_a_step_leave_before_one_arrives():
    swap = [[Message(0, 1, 0, False), Message(1, 0, 0, False)]]
    before, after = run(swap, [[1], [2]])
    assert before.tolist() == [[1], [2]]
    assert after.tolist() == [[2], [1]]


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([Message(0, 2, 0, True)], "receiver must be from 0 to 1."),
        ([Message(-1, 1, 0, True)], "sender must be from 0 to 1."),
        ([Message(0, 1, 5, True)], "chunk must be from 0 to 2."),
        ([Message(1, 1, 0, True)], "a rank needs no message to itself."),
        (
            [Message(0, 1, 0, True)] * 2,
            "another message of this step goes to the same chunk there.",
        ),
    ],
)
def test_what_cannot_be_sent_is_said(messages, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        [*run([messages], np.zeros((2, 3)))]


def test_no_rank_is_no_ring():
    with pytest.raises(ValueError, match="n is 0; give a whole number of ranks from 1"):
        ring(0)
