"""The lesson on shuffling: checks with typical wrong answers, and questions answered by the run."""

from nnopt_lab.exercises import shuffling as LESSON

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Generator

SEEDS = np.array([-0.001, 0.001] * 4)


def apart(x, y, g):
    return x[torch.randperm(len(x), generator=g)], y[torch.randperm(len(y), generator=g)]


def often(x, y, g):
    order = torch.randint(len(x), (len(x),), generator=g)
    return x[order], y[order]


def in_place(x, y, g):
    order = torch.randperm(len(x), generator=g)
    x[:] = x[order]
    return x, y[order]


def unseeded(x, y, g):
    order = torch.randperm(len(x), generator=Generator().manual_seed(0))
    return x[order], y[order]


def by_chance(x, y, g):
    order = torch.randperm(len(x))
    return x[order], y[order]


def turned(x, y, g):
    by = int(torch.randint(len(x), (1,), generator=g))
    return x.roll(by, 0), y.roll(by)


def larger(stream, size, g):
    return LESSON._solve_buffer(stream, size + 1, g)


def smaller(stream, size, g):
    return LESSON._solve_buffer(stream, min(size, 5), g)


def one_smaller(stream, size, g):
    return LESSON._solve_buffer(stream, max(size - 1, 1), g)


def never_the_first(stream, size, g):
    """As it should, but for the place that is never drawn."""
    held, out = list(stream[:size]), []
    for new in stream[size:]:
        slot = int(torch.randint(min(1, size - 1), size, (1,), generator=g))
        out.append(held[slot])
        held[slot] = new
    return out + [held[i] for i in torch.randperm(len(held), generator=g)]


def larger_blocks(stream, size, g):
    return stream if size == 1 else blocks(stream, size - 1, g)


def blocks(stream, size, g):
    out = []
    for start in range(0, len(stream), size):
        block = stream[start : start + size]
        out += [block[i] for i in torch.randperm(len(block), generator=g).tolist()]
    return out


def without_end(stream, size, g):
    return LESSON._solve_buffer(stream, size, g)[: max(len(stream) - size + 1, 0)]


def fully(stream, size, g):
    return [stream[i] for i in torch.randperm(len(stream), generator=g).tolist()]


def permutation(n, seed):
    return torch.randperm(n, generator=Generator().manual_seed(seed)).tolist()


def in_a_row(n, rank, n_workers, seed, epoch):
    order, each = permutation(n, seed + epoch), -(-n // n_workers)
    return order[rank * each : (rank + 1) * each]


def unfilled(n, rank, n_workers, seed, epoch):
    return permutation(n, seed + epoch)[rank::n_workers]


def no_epoch(n, rank, n_workers, seed, epoch):
    return LESSON._solve_rank(n, rank, n_workers, seed, 0)


def in_nats(labels):
    share = torch.bincount(labels).double() / len(labels)
    share = share[share > 0]
    return -(share * share.log()).sum()


def with_nan(labels):
    share = torch.bincount(labels).double() / len(labels)
    return -(share * share.log2()).sum()


def seeded_inside(n, seed, epochs):
    return [permutation(n, seed) for _ in range(epochs)]


def unrepeatable(n, seed, epochs):
    return [torch.randperm(n).tolist() for _ in range(epochs)]


def turned_orders(n, seed, epochs):
    order = permutation(n, seed)
    return [order[i:] + order[:i] for i in range(epochs)]


def digits_of_nine(seed, epoch, worker):
    return Generator().manual_seed(9 * seed + 3 * epoch + worker)


def sums(seed, epoch, worker):
    return Generator().manual_seed(seed + epoch + worker)


WRONG = [
    ("together", (apart,), "use one for both"),
    ("together", (often,), "Each label must come out once"),
    ("together", (in_place,), "changes the tensors"),
    ("together", (unseeded,), "from it alone"),
    ("together", (by_chance,), "from it alone"),
    ("together", (turned,), "only begin elsewhere"),
    ("together", (lambda x, y, g: (x, y),), "as they went in"),
    ("together", (lambda x, y, g: x,), "two tensors"),
    ("covered", (lambda n: 1 - np.exp(-1),), "without end"),
    ("covered", (lambda n: (1 - 1 / n) ** n,), "*not* seen"),
    ("covered", (lambda n: 0.5,), "For n = 2 you give 0.5; 0.75"),
    ("buffer", (blocks,), "block by block"),
    ("buffer", (without_end,), "at the end of the stream"),
    ("buffer", (larger_blocks,), "block by block"),
    ("buffer", (fully,), "cannot have been in the buffer yet"),
    ("buffer", (larger,), "cannot have been in the buffer yet"),
    ("buffer", (smaller,), "too small"),
    ("buffer", (one_smaller,), "too small"),
    ("buffer", (never_the_first,), "must have a chance"),
    (
        "alike",
        ("a", lambda s, e, w: Generator().manual_seed(s * 10**4 + 50 * e + w)),
        "add them up",
    ),
    ("alike", ("a", lambda *who: np.random.default_rng(who)), "this is a numpy"),
    ("buffer", (lambda stream, size, g: stream,), "from it alone"),
    ("worker", (in_a_row,), "deals them out like cards"),
    ("worker", (unfilled,), "fill the order up"),
    ("worker", (no_epoch,), "add the epoch to the seed"),
    ("entropy", (in_nats,), "in nats"),
    ("entropy", (with_nan,), "p log p = 0"),
    ("entropy", (lambda labels: -LESSON._solve_entropy(labels),), "The sign"),
    ("same_order", ("a", seeded_inside), "in a lifetime"),
    ("same_order", ("b", seeded_inside), "the same order"),
    ("same_order", ("b", turned_orders), "begins elsewhere"),
    ("same_order", ("b", unrepeatable), "repeat this run"),
    ("twice", ("a", lambda n, i, k: range(n)), "does not repeat"),
    ("twice", ("c", lambda n, i, k: range(n)), "some come twice"),
    ("twice", ("c", lambda n, i, k: range(0, n, k)), "some come twice"),
    ("twice", ("c", lambda n, i, k: range(n) if i == 0 else ()), "one gets all of them"),
    ("alike", ("a", digits_of_nine), "Do you add them up"),
    ("alike", ("c", sums), "this is another one"),
    ("alike", ("a", sums), "Do you add them up"),
    ("alike", ("a", lambda *_: 3), "Return a torch.Generator"),
]


def outcomes(findings: object) -> list[bool]:
    return [row["holds"] for row in findings.rows]


@pytest.mark.parametrize(("left", "right"), [(0.2, 0), (0.55, 1), (0.75, 2)])
def test_what_sorted_data_leave_is_what_was_measured(left, right):
    levels = np.array([[left / 2, 0.4, 0.48, 0.5], [0.1, 0.3, 0.48, 0.5]])
    where = {"norm": [LESSON.WITHOUT, LESSON.WITH], "buffer": [1, 64, 1024, 2048]}
    best = xr.DataArray(levels[..., None] + SEEDS, where, ["norm", "buffer", "seed"])
    asked = LESSON.straight(best, best)
    assert asked["predict"].right == right
    assert outcomes(asked["shows"]) == [left < 0.5, True, True, True, True]


@pytest.mark.parametrize(
    ("plain", "normed", "right"), [(0, 0, 0), (0.05, 0, 1), (0, 0.05, 2), (0.05, 0.05, 3)]
)
def test_whether_one_shuffle_will_do_is_what_was_measured(plain, normed, right):
    rules = ["reshuffled", "shuffled once", "with replacement"]
    levels = np.array([[0.5, 0.5 - plain, 0.5], [0.5, 0.5 - normed, 0.5]])
    where = {"norm": [LESSON.WITHOUT, LESSON.WITH], "rule": rules}
    tested = xr.DataArray(levels[:, :, None] + SEEDS, where, ["norm", "rule", "seed"])
    asked = LESSON.once_or_again(tested, tested.sel(norm=LESSON.WITH) - 0.4)
    assert asked["predict"].right == right
    assert outcomes(asked["shows"])[0] == (normed > 0.02)


def test_what_was_learned_by_heart_and_what_workers_have_left_is_what_was_measured():
    on = {"on": ["training samples", "test samples"]}
    learned = xr.DataArray(np.array([[0.8], [0.1]]) + SEEDS, on, ["on", "seed"])
    asked = LESSON.apart(learned)
    assert asked["predict"].answers[asked["predict"].right] == "80 %"
    assert outcomes(asked["shows"]) == [False, True]
    kinds = [LESSON.WITHOUT, LESSON.OWN, LESSON.OVER_ALL]
    where = {"norm": kinds, "way": ["global", "local"], "workers": [8]}
    levels = np.array([[[0.5], [0.5]], [[0.4], [0.31]], [[0.5], [0.5]]])[..., None] + SEEDS
    asked = LESSON.shared_out(xr.DataArray(levels, where, ["norm", "way", "workers", "seed"]))
    assert asked["predict"].right == 1
    assert outcomes(asked["shows"]) == [True, False, True]
