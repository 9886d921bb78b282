import math

from nnopt_lab import shuffling
from nnopt_lab.data import mnist1d
from nnopt_lab.grid import grid
from nnopt_lab.networks import mlp
from nnopt_lab.training import train

import numpy as np
import pytest
import torch
from torch import Generator
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

SEEDS, N = [3, 1, 3], 50
STREAM = torch.arange(N)


def is_permutation(order: torch.Tensor, n: int = N) -> bool:
    return torch.equal(order.sort(-1).values, torch.arange(n).expand(order.shape))


ORDERS = {
    "reshuffled": shuffling.reshuffled(N, SEEDS),
    "shuffled once": shuffling.shuffled_once(N, SEEDS),
    "shards": shuffling.shards(STREAM, 7, SEEDS),
    "buffered": shuffling.buffered(shuffling.streamed(STREAM), 8, SEEDS),
    "buffered shards": shuffling.buffered(shuffling.shards(STREAM, 7, SEEDS), 8, SEEDS),
    "sampled": shuffling.sampled(N, 5, SEEDS, 10),
    "local": shuffling.local(STREAM, 5, SEEDS, 10),
}


@pytest.mark.parametrize("name", ORDERS)
def test_orders_are_permutations_by_seed_and_can_be_had_again(name):
    order = ORDERS[name]
    first = order(0)
    assert first.shape == (3, N)
    assert is_permutation(first)
    assert torch.equal(first[0], first[2])
    assert not torch.equal(first[0], first[1])
    assert torch.equal(first, order(0))
    assert torch.equal(first, order(1)) == (name == "shuffled once")


def test_a_stream_is_the_same_in_every_epoch_and_the_first_shuffle_is_the_default_orders_first():
    assert torch.equal(shuffling.streamed(STREAM)(5), STREAM)
    assert torch.equal(ORDERS["shuffled once"](9), ORDERS["reshuffled"](0))


def test_with_replacement_covers_as_much_as_chance_does():
    n = 2000
    drawn = shuffling.with_replacement(n, range(8))(0)
    covered = [len(row.unique()) / n for row in drawn]
    assert np.mean(covered) == pytest.approx(1 - (1 - 1 / n) ** n, abs=0.01)


def plain_buffer(stream, size, generator):
    """The oracle: a buffer as one would write it, an item at a time."""
    items, held, out = list(stream), [], []
    n_slots = min(size, len(items))
    slots = torch.randint(n_slots, (len(items) - n_slots,), generator=generator).tolist()
    for item in items:
        if len(held) < n_slots:
            held.append(item)
            continue
        slot = slots.pop(0)
        out.append(held[slot])
        held[slot] = item
    return out + [held[i] for i in torch.randperm(len(held), generator=generator).tolist()]


@pytest.mark.parametrize("size", [1, 2, 8, 49, 50, 51, 500])
def test_a_buffer_gives_out_what_a_plain_one_does(size):
    stream = torch.randperm(N).tolist()
    ours = shuffling.through_buffer(stream, size, Generator().manual_seed(0))
    assert ours == plain_buffer(stream, size, Generator().manual_seed(0))
    assert sorted(ours) == list(range(N))
    if size == 1:
        assert ours == stream
    places = {item: place for place, item in enumerate(stream)}
    assert all(place >= places[item] - size + 1 for place, item in enumerate(ours))


def test_a_buffer_of_everything_is_a_fair_shuffle():
    firsts = [
        shuffling.through_buffer(range(5), 9, Generator().manual_seed(i))[0] for i in range(2000)
    ]
    assert np.bincount(firsts) / 2000 == pytest.approx([0.2] * 5, abs=0.03)


def test_a_buffer_takes_each_network_its_own_stream_also_where_seeds_are_equal():
    streams = torch.stack([STREAM, STREAM.flip(0), STREAM])
    order = shuffling.buffered(shuffling.streamed(streams), 4, [0, 0, 0])(0)
    assert order[0, 0] < 4
    assert order[1, 0] > N - 5
    assert torch.equal(order[0], order[2])


def test_shards_stay_whole():
    order = shuffling.shards(STREAM, 10, [0])(0)[0].view(10, 5)
    assert (order.diff(dim=1) == 1).all()


@pytest.mark.parametrize("set_epoch", [True, False])
@pytest.mark.parametrize(("n", "n_workers"), [(50, 5), (53, 4), (3, 8)])
def test_what_workers_see_is_torchs(n, n_workers, set_epoch):
    each = 2
    order = shuffling.sampled(n, n_workers, [0, 1000], each * n_workers, set_epoch=set_epoch)
    for row, seed in enumerate((0, 1000)):
        samplers = [
            DistributedSampler(range(n), n_workers, rank, seed=seed) for rank in range(n_workers)
        ]
        for epoch in (0, 1):
            if set_epoch:
                for sampler in samplers:
                    sampler.set_epoch(epoch)
            ranks = [list(sampler) for sampler in samplers]
            steps = [
                index
                for start in range(0, len(ranks[0]), each)
                for rank in ranks
                for index in rank[start : start + each]
            ]
            assert order(epoch)[row].tolist() == steps


def test_a_worker_that_keeps_its_part_sees_nothing_else():
    order = shuffling.local(STREAM, 5, [0, 1], 10)(3)
    for batch in order[1].split(10):
        for rank, mine in enumerate(batch.tensor_split(5)):
            assert (mine // 10 == rank).all()
    assert len(shuffling.local(torch.arange(13), 4, [0], 4)(0)[0].unique()) == 12


def test_entropy_by_hand_and_under_a_perfect_shuffle():
    y = torch.tensor([0, 0, 1, 1, 0, 1, 2, 2])
    bits = shuffling.class_entropy(y, torch.arange(8), 4)
    assert bits.tolist() == pytest.approx([1.0, 1.5])
    assert shuffling.class_entropy(y, torch.arange(8), 2)[0] == 0
    many = torch.arange(10).repeat_interleave(200)
    found = shuffling.class_entropy(many, shuffling.reshuffled(2000, range(40))(0), 64)
    assert found.shape == (40, 31)
    expected = shuffling.expected_class_entropy(many, 64)
    assert float(found.mean()) == pytest.approx(expected, abs=0.01)
    assert expected < math.log2(10)
    assert shuffling.expected_class_entropy(torch.tensor([0, 1]), 2) == pytest.approx(1)
    assert shuffling.expected_class_entropy(torch.tensor([0, 0, 0]), 2) == pytest.approx(0)


def test_a_dataloader_that_is_handed_our_order_gives_our_batches():
    data = mnist1d(640)
    order = shuffling.reshuffled(640, [0])(0)[0]
    samples = TensorDataset(data.x_train, data.y_train)
    loader = DataLoader(samples, batch_size=64, sampler=order.tolist())
    for (x, y), indices in zip(loader, order.split(64), strict=True):
        assert torch.equal(x, data.x_train[indices])
        assert torch.equal(y, data.y_train[indices])


def test_sorted_data_teach_the_last_class_only():
    data, runs = mnist1d(1000), grid(seed=range(4))
    by_class = shuffling.streamed(data.y_train.argsort(stable=True))
    accuracy = [
        train(mlp([40, 32, 10], runs), data, runs, epochs=5, lr=0.1, order=order).test_accuracy
        for order in (by_class, None)
    ]
    assert float(accuracy[0].mean()) < 0.2 < 0.3 < float(accuracy[1].mean())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: shuffling.shards(STREAM, 51, [0]), "n_shards is 51; give a whole number from 1"),
        (lambda: shuffling.buffered(shuffling.streamed(STREAM), 0, [0]), "size is 0"),
        (lambda: shuffling.local(STREAM, 0, [0], 4), "n_workers is 0"),
        (lambda: shuffling.local(STREAM, 3, [0], 4), "batch of 4 does not divide among 3 workers"),
        (lambda: shuffling.sampled(9, 4, [0], 2), "give a multiple"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()(0)
